//! Test certificates and keys: a folder in the layout of SGP.26, as `euicc-sim mint-pki` and `aid-hil init` write it, or
//! single files that the target file names.

use aid_rsp::cert::Certificate;
use aid_rsp::crypto::{Crypto, KeyPair, PrivateKey, SoftwareCrypto, pem_blocks};
use aid_rsp::pki::Identity;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// A certificate and its key in files of their own.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertifiedKey {
    /// The certificate, DER or PEM.
    pub cert: PathBuf,
    /// Its private key, PEM or DER.
    pub key: PathBuf,
}

/// The curve whose files of an SGP.26 folder are used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TestCurve {
    /// NIST P-256.
    #[default]
    Nist,
    /// brainpoolP256r1.
    Brainpool,
}

impl TestCurve {
    const fn suffix(self) -> &'static str {
        match self {
            Self::Nist => "NIST",
            Self::Brainpool => "BRP",
        }
    }
}

/// A folder in the layout of SGP.26.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    dir: PathBuf,
    curve: TestCurve,
}

impl Folder {
    /// The files of this curve below `dir`.
    pub(crate) fn new(dir: &Path, curve: TestCurve) -> Self {
        let dir = dir.to_owned();
        Self { dir, curve }
    }

    fn file(&self, folder: &str, kind: &str, name: &str, end: &str) -> PathBuf {
        let curve = self.curve.suffix();
        self.dir
            .join(folder)
            .join(format!("{kind}_{name}_{curve}.{end}"))
    }

    /// Path of the CI's certificate.
    pub(crate) fn ci_file(&self) -> PathBuf {
        self.file("CertificateIssuer", "CERT", "CI_ECDSA", "der")
    }

    /// The CI's certificate.
    pub(crate) fn ci(&self) -> Result<Certificate, String> {
        certificate(&self.ci_file())
    }

    /// The CI with its key, which only test PKIs have.
    pub(crate) fn ci_identity(&self) -> Result<Identity, String> {
        self.identity("CertificateIssuer", "CI_ECDSA")
    }

    /// A certificate with its key.
    pub(crate) fn identity(&self, folder: &str, name: &str) -> Result<Identity, String> {
        identity(
            &self.file(folder, "CERT", name, "der"),
            &self.file(folder, "SK", name, "pem"),
        )
    }

    /// The EUM's certificate.
    pub(crate) fn eum(&self) -> Result<Certificate, String> {
        certificate(&self.file("EUM", "CERT", "EUM_ECDSA", "der"))
    }

    /// The EUM with its key, which few have.
    pub(crate) fn eum_identity(&self) -> Result<Identity, String> {
        self.identity("EUM", "EUM_ECDSA")
    }

    /// The eUICC.
    pub(crate) fn euicc(&self) -> Result<Identity, String> {
        self.identity("eUICC", "EUICC_ECDSA")
    }

    /// The SM-DP+ for authentication.
    pub(crate) fn dp_auth(&self) -> Result<Identity, String> {
        self.identity("DPauth", "S_SM_DPauth_ECDSA")
    }

    /// The SM-DP+ for profile package binding.
    pub(crate) fn dp_pb(&self) -> Result<Identity, String> {
        self.identity("DPpb", "S_SM_DPpb_ECDSA")
    }

    /// Certificate and key of the SM-DP+'s TLS server, as files.
    pub(crate) fn dp_tls(&self) -> (PathBuf, PathBuf) {
        let file = |kind, end| self.file("DPtls", kind, "S_SM_DP_TLS", end);
        let pem = file("CERT", "pem");
        let cert = if pem.exists() {
            pem
        } else {
            file("CERT", "der")
        };
        (cert, file("SK", "pem"))
    }
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(file).map_err(|e| format!("cannot read {}: {e}", file.display()))
}

/// Reads a certificate, DER or PEM.
///
/// # Errors
/// A sentence that names the file.
pub(crate) fn certificate(file: &Path) -> Result<Certificate, String> {
    let bytes = read(file)?;
    let wrong = |why: String| format!("{} is not a certificate: {why}", file.display());
    let der = match std::str::from_utf8(&bytes) {
        Ok(text) if text.contains("-----BEGIN") => {
            let block = pem_blocks(text).next();
            let block = block.ok_or_else(|| wrong("it has no PEM block".to_owned()))?;
            block.map_err(|e| wrong(e.to_string()))?.1
        }
        _ => bytes,
    };
    Certificate::from_der(&der).map_err(|e| wrong(e.to_string()))
}

/// Reads a certificate and its key, which must belong together.
///
/// # Errors
/// A sentence that names the file.
pub(crate) fn identity(cert: &Path, key: &Path) -> Result<Identity, String> {
    let certificate = certificate(cert)?;
    let private = PrivateKey::from_pem_or_der(&read(key)?)
        .map_err(|e| format!("{} is not a private key: {e}", key.display()))?;
    let public = SoftwareCrypto::new()
        .public_key(&private)
        .map_err(|e| format!("{}: {e}", key.display()))?;
    if public != *certificate.public_key() {
        return Err(format!(
            "{} is not the key of {}; name the key that belongs to the certificate",
            key.display(),
            cert.display()
        ));
    }
    Ok(Identity {
        certificate: certificate.as_der().to_vec(),
        key: KeyPair { private, public },
    })
}
