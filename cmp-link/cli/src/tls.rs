//! TLS material from files into rustls configurations; ring is the only provider.
//! Certificates are PEM (one or more) or DER, keys PEM or DER (PKCS#8 or SEC1).

use crate::certificate::common_name;
use crate::cli::Failure;
use crate::config;
use crate::validity::{self, MAX_FILE};
use rustls::client::ResolvesClientCert;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject as _};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{
    CertificateError, CipherSuite, ClientConfig, DigitallySignedStruct, DistinguishedName,
    RootCertStore, ServerConfig, SignatureScheme, SupportedCipherSuite,
};
use std::path::Path;
use std::sync::Arc;

/// The TLS provider of all our connections.
///
/// AES-128 comes before AES-256: its suite derives keys with SHA-256, for which processors have instructions, and not
/// with SHA-384, which costs a handshake a twentieth of its time. The certificates' curve, P-256, is no stronger.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    let mut provider = ring::default_provider();
    let others =
        |suite: &SupportedCipherSuite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256;
    // The order of the others stays as it is.
    provider.cipher_suites.sort_by_key(others);
    Arc::new(provider)
}

/// A server's configuration; with `client_ca`, clients must present a certificate of that CA, at each connection: a
/// session that could be resumed would outlive what is known of its certificate.
///
/// # Errors
/// A file is unreadable, not what it should be, or key and certificate do not fit.
pub fn server_config(
    cert: &Path,
    key: &Path,
    client_ca: Option<&Path>,
) -> Result<Arc<ServerConfig>, Failure> {
    server_config_of(cert, key, client_ca.as_slice())
}

/// As [`server_config`] with clients of several CAs; of none: clients present no certificate.
///
/// # Errors
/// As [`server_config`].
pub fn server_config_of(
    cert: &Path,
    key: &Path,
    client_cas: &[&Path],
) -> Result<Arc<ServerConfig>, Failure> {
    let builder =
        ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let builder = match client_cas {
        [] => builder.with_no_client_auth(),
        cas => builder.with_client_cert_verifier(Arc::new(NamesRefused(client_verifier(cas)?))),
    };
    let mut config = builder
        .with_single_cert(certificates(cert)?, private_key(key)?)
        .map_err(|e| unfit(cert, key, &e))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if !client_cas.is_empty() {
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
    }
    Ok(Arc::new(config))
}

/// Verifies clients' certificates of these CAs: chain, dates, purpose.
///
/// # Errors
/// A file is unreadable, or has no CA.
pub fn client_verifier(cas: &[&Path]) -> Result<Arc<dyn ClientCertVerifier>, Failure> {
    let roots = Arc::new(roots(cas)?);
    let names = || {
        let names: Vec<String> = cas.iter().map(|ca| ca.display().to_string()).collect();
        names.join(", ")
    };
    WebPkiClientVerifier::builder_with_provider(roots, provider())
        .build()
        .map_err(|e| Failure::new(format!("{} verifies no client: {e}", names())))
}

/// A client's configuration that trusts `ca` and no other root; `identity` is certificate and key.
///
/// # Errors
/// As [`server_config`].
pub fn client_config(
    ca: &Path,
    identity: Option<(&Path, &Path)>,
) -> Result<Arc<ClientConfig>, Failure> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(&[ca])?);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => builder
            .with_client_auth_cert(certificates(cert)?, private_key(key)?)
            .map_err(|e| unfit(cert, key, &e))?,
    };
    Ok(Arc::new(config))
}

/// A client's configuration that trusts `ca` and no other root; `identity` yields certificate and key, which may be in a
/// token.
///
/// # Errors
/// The CA can't be used.
pub fn client_config_by(
    ca: &Path,
    identity: Arc<dyn ResolvesClientCert>,
) -> Result<Arc<ClientConfig>, Failure> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(&[ca])?)
        .with_client_cert_resolver(identity);
    Ok(Arc::new(config))
}

/// Trust anchors of all certificates in these files.
///
/// # Errors
/// A file is unreadable or has a certificate that cannot be an anchor.
pub fn roots(files: &[&Path]) -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    for file in files {
        for certificate in certificates(file)? {
            let version = validity::old_version(&certificate);
            roots.add(certificate).map_err(|e| {
                let file = file.display();
                let e = match version {
                    Some(version) => format!("{e}; it is of X.509 version {version}"),
                    None => e.to_string(),
                };
                Failure::new(format!(
                    "{file} is no CA certificate that TLS can use: {e}; give the CA's certificate"
                ))
            })?;
        }
    }
    Ok(roots)
}

/// The certificates of a file, PEM or DER, at least one.
///
/// # Errors
/// Unreadable or no certificate.
pub fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let bytes = config::read(file, MAX_FILE, "certificate")?;
    let wrong = |what: &str| {
        let file = file.display();
        Failure::new(format!("{file} {what}; give a certificate in PEM or DER"))
    };
    // 0x30: a DER SEQUENCE, which no PEM file starts with.
    if bytes.first() == Some(&0x30) {
        return Ok(vec![CertificateDer::from(bytes)]);
    }
    let list: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|e| wrong(&format!("is damaged PEM: {e}")))?;
    if list.is_empty() {
        return Err(wrong("has no certificate"));
    }
    Ok(list)
}

/// The private key of a file, PEM or DER.
///
/// # Errors
/// Unreadable or no key.
pub fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, Failure> {
    let bytes = config::read(file, MAX_FILE, "key")?;
    let wrong = |e: &dyn std::fmt::Display| {
        let file = file.display();
        Failure::new(format!(
            "{file} has no usable private key: {e}; give PKCS#8 or SEC1, PEM or DER, unencrypted"
        ))
    };
    let key = if bytes.first() == Some(&0x30) {
        PrivateKeyDer::try_from(bytes).map_err(|e| wrong(&e))?
    } else {
        PrivateKeyDer::from_pem_slice(&bytes).map_err(|e| wrong(&e))?
    };
    ring::sign::any_supported_type(&key).map_err(|e| match is_brainpool(key.secret_der()) {
        true => Failure::new(format!(
            "{} is on a brainpool curve, which the TLS of this program does not have; give key and certificate on \
             P-256, and let a TLS front that uses OpenSSL serve the brainpool ones, e.g. stunnel",
            file.display()
        )),
        false => wrong(&e),
    })?;
    Ok(key)
}

/// Is an EC key on a brainpool curve (RFC 5639)? PKCS#8 and SEC1 name the curve by its OID, 1.3.36.3.3.2.8.1.1.x.
fn is_brainpool(key: &[u8]) -> bool {
    const CURVES: &[u8] = &[0x06, 0x09, 0x2B, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01];
    key.windows(CURVES.len()).any(|window| window == CURVES)
}

/// Refuses what the verifier within refuses, and logs who came with a certificate whose time is not now:
/// the client itself hears no more than an alert, and nobody else hears its name.
#[derive(Debug)]
struct NamesRefused(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for NamesRefused {
    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verdict = self.0.verify_client_cert(certificate, intermediates, now);
        if let Err(rustls::Error::InvalidCertificate(error)) = &verdict
            && matches!(
                error,
                CertificateError::Expired
                    | CertificateError::ExpiredContext { .. }
                    | CertificateError::NotValidYet
                    | CertificateError::NotValidYetContext { .. }
            )
        {
            // Who it is was not verified. X.520 gives a common name 64 characters.
            let name = common_name(certificate).unwrap_or_default();
            let name: String = name.chars().take(64).collect();
            let reason = validity::complaint_of(certificate, now.as_secs());
            let reason = reason.unwrap_or_else(|| error.to_string());
            tracing::warn!(client = %name, %reason, "client certificate refused");
        }
        verdict
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Checks that TLS can show these certificates, which are those of this file.
///
/// # Errors
/// One is of an X.509 version before 3.
pub fn check_version(cert: &Path, list: &[CertificateDer<'_>]) -> Result<(), Failure> {
    match list.iter().find_map(|c| validity::old_version(c)) {
        None => Ok(()),
        Some(version) => Err(Failure::new(format!(
            "the certificate {} is of X.509 version {version}, TLS needs version 3; issue it again with \
             extensions (openssl x509 -req needs -extfile or -copy_extensions for that)",
            cert.display()
        ))),
    }
}

fn unfit(cert: &Path, key: &Path, error: &rustls::Error) -> Failure {
    let list = certificates(cert).unwrap_or_default();
    if let Err(old) = check_version(cert, &list) {
        return old;
    }
    let (cert, key) = (cert.display(), key.display());
    Failure::new(format!(
        "certificate {cert} and key {key} do not fit each other: {error}; give the pair"
    ))
}
