//! TLS to a server elsewhere.

use super::url::Encryption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::sync::Arc;
use tokio_postgres_rustls::MakeRustlsConnect;

/// What connects with this encryption.
pub(super) fn connector(encryption: &Encryption) -> Result<MakeRustlsConnect, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?;
    let config = match encryption {
        Encryption::Any(_) => {
            let any = Anybody { provider };
            let builder = builder.dangerous();
            builder.with_custom_certificate_verifier(Arc::new(any))
        }
        Encryption::Verified { roots, host } => {
            let mut store = RootCertStore::empty();
            match roots {
                Some(file) => {
                    let certificates = CertificateDer::pem_file_iter(file)
                        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                        .map_err(|e| format!("sslrootcert {}: {e}", file.display()))?;
                    for certificate in certificates {
                        let added = store.add(certificate);
                        added.map_err(|e| format!("sslrootcert {}: {e}", file.display()))?;
                    }
                }
                None => {
                    let found = rustls_native_certs::load_native_certs();
                    store.add_parsable_certificates(found.certs);
                }
            }
            if store.is_empty() {
                return Err(
                    "there is no CA to verify the server with; name one with sslrootcert=FILE"
                        .into(),
                );
            }
            let store = Arc::new(store);
            if *host {
                let verifier = WebPkiServerVerifier::builder_with_provider(store, provider)
                    .build()
                    .map_err(|e| e.to_string())?;
                builder.with_webpki_verifier(verifier)
            } else {
                let of_ca = OfCa { store, provider };
                let builder = builder.dangerous();
                builder.with_custom_certificate_verifier(Arc::new(of_ca))
            }
        }
    };
    Ok(MakeRustlsConnect::new(config.with_no_client_auth()))
}

/// Encrypts without knowing to whom; only for a server on this machine (`sslmode` prefer and require).
#[derive(Debug)]
struct Anybody {
    provider: Arc<CryptoProvider>,
}

/// Takes any certificate of the CAs, whatever host it names (`sslmode=verify-ca`).
#[derive(Debug)]
struct OfCa {
    store: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

macro_rules! signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            let algorithms = &self.provider.signature_verification_algorithms;
            rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            let algorithms = &self.provider.signature_verification_algorithms;
            rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            let algorithms = &self.provider.signature_verification_algorithms;
            algorithms.supported_schemes()
        }
    };
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    signatures!();
}

impl ServerCertVerifier for OfCa {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let parsed = ParsedCertificate::try_from(certificate)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.store,
            intermediates,
            now,
            algorithms,
        )?;
        Ok(ServerCertVerified::assertion())
    }

    signatures!();
}
