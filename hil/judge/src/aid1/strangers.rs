//! Certificates of nobody: from a CA that the judge makes for the run.

use aid_cli::cli::Failure;
use aid_cli::tls;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, ServerConfig};
use std::path::Path;
use std::sync::Arc;

/// A party that the system under test must not accept.
pub(crate) struct Stranger {
    /// As a client: with a foreign certificate of the same common name.
    pub(crate) client: Arc<ClientConfig>,
    /// As a client without a certificate.
    pub(crate) nobody: Arc<ClientConfig>,
    /// As a server on localhost.
    pub(crate) server: Arc<ServerConfig>,
}

impl Stranger {
    /// `common_name` is that of the party whom the stranger claims to be; `ca` is the CA of the target's servers; `host`
    /// the name of the server that the stranger claims to be.
    pub(crate) fn new(common_name: &str, ca: &Path, host: &str) -> Result<Self, Failure> {
        let mut issuer = CertificateParams::new(Vec::<String>::new())?;
        issuer.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        issuer
            .distinguished_name
            .push(DnType::CommonName, "a CA that the judge made");
        let issuer = CertifiedIssuer::self_signed(issuer, KeyPair::generate()?)?;
        let mut params = CertificateParams::new(vec![host.to_owned()])?;
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        let key = KeyPair::generate()?;
        let chain = vec![params.signed_by(&key, &issuer)?.der().clone()];
        let secret = || PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let client = ClientConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(tls::roots(&[ca])?)
            .with_client_auth_cert(chain.clone(), secret())?;
        let server = ServerConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, secret())?;
        Ok(Self {
            client: Arc::new(client),
            nobody: tls::client_config(ca, None)?,
            server: Arc::new(server),
        })
    }
}
