//! Certificates of a test: one CA, a server, clients; and a CA that nobody trusts.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{ClientConfig, ServerConfig};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub struct Pki {
    folder: PathBuf,
    ca: Issuer<'static, KeyPair>,
    rogue: Issuer<'static, KeyPair>,
}

fn authority(folder: &Path, name: &str) -> Issuer<'static, KeyPair> {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let certificate = params.self_signed(&key).unwrap();
    std::fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
    Issuer::new(params, key)
}

/// Whether a PEM file's certificate is this one.
pub fn same(pem: &[u8], der: &[u8]) -> bool {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    CertificateDer::from_pem_slice(pem).unwrap().as_ref() == der
}

impl Pki {
    pub fn new(folder: &Path) -> Self {
        let pki = Self {
            folder: folder.to_owned(),
            ca: authority(folder, "ca"),
            rogue: authority(folder, "rogue"),
        };
        for name in ["server", "cmp", "msp", "msp2"] {
            pki.issue(name, name, false);
        }
        pki
    }

    /// Makes NAME.pem and NAME.key for a common name.
    pub fn issue(&self, name: &str, common_name: &str, rogue: bool) {
        let key = KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        let issuer = if rogue { &self.rogue } else { &self.ca };
        let certificate = params.signed_by(&key, issuer).unwrap();
        std::fs::write(self.path(name, "pem"), certificate.pem()).unwrap();
        std::fs::write(self.path(name, "key"), key.serialize_pem()).unwrap();
    }

    /// The CA's key, PEM.
    pub fn ca_key(&self) -> String {
        self.ca.key().serialize_pem()
    }

    fn path(&self, name: &str, end: &str) -> PathBuf {
        self.folder.join(format!("{name}.{end}"))
    }

    pub fn client(&self, name: &str) -> Arc<ClientConfig> {
        let (cert, key) = (self.path(name, "pem"), self.path(name, "key"));
        aid_cli::tls::client_config(&self.path("ca", "pem"), Some((&cert, &key))).unwrap()
    }

    pub fn anonymous(&self) -> Arc<ClientConfig> {
        aid_cli::tls::client_config(&self.path("ca", "pem"), None).unwrap()
    }

    pub fn server(&self) -> Arc<ServerConfig> {
        let (cert, key) = (self.path("server", "pem"), self.path("server", "key"));
        let ca = self.path("ca", "pem");
        aid_cli::tls::server_config(&cert, &key, Some(&ca)).unwrap()
    }
}
