//! Writes a minted PKI to a directory, with the layout and the file names of SGP.26.
//! Files get mode 0600, folders 0700: they are their owner's alone.

use super::{Identity, RspPki};
use crate::crypto::pem_block;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Folder of one identity, and the part of its file names between `CERT_` or `SK_` and the curve.
const PLACES: [(&str, &str); 6] = [
    ("CertificateIssuer", "CI_ECDSA"),
    ("EUM", "EUM_ECDSA"),
    ("eUICC", "EUICC_ECDSA"),
    ("DPauth", "S_SM_DPauth_ECDSA"),
    ("DPpb", "S_SM_DPpb_ECDSA"),
    ("DPtls", "S_SM_DP_TLS"),
];

impl RspPki {
    /// Writes every certificate as `.der` and `.pem` and every key as PKCS #8 PEM below `dir`,
    /// which is created: `CertificateIssuer/CERT_CI_ECDSA_NIST.der`, `SK_CI_ECDSA_NIST.pem`, ….
    /// Keys on brainpoolP256r1 end with `BRP`, so that two PKIs fit in one directory.
    ///
    /// # Errors
    /// The first I/O error, with the file in its text.
    pub fn write_to(&self, dir: &Path) -> io::Result<()> {
        let identities = [
            &self.ci,
            &self.eum,
            &self.euicc,
            &self.dp_auth,
            &self.dp_pb,
            &self.dp_tls,
        ];
        for ((folder, name), identity) in PLACES.iter().zip(identities) {
            let folder = dir.join(folder);
            let curve = identity.key.public.curve().file_suffix();
            create_dir_all(&folder).map_err(|e| named(&folder, &e))?;
            identity.write_to(
                &folder.join(std::format!("CERT_{name}_{curve}")),
                &folder.join(std::format!("SK_{name}_{curve}.pem")),
            )?;
        }
        Ok(())
    }
}

impl Identity {
    /// Writes `certificate` with suffixes `.der` and `.pem`, and the key as PKCS #8 PEM.
    ///
    /// # Errors
    /// The first I/O error, with the file in its text.
    pub fn write_to(&self, certificate: &Path, key: &Path) -> io::Result<()> {
        write(&certificate.with_extension("der"), &self.certificate)?;
        let pem = pem_block("CERTIFICATE", &self.certificate);
        write(&certificate.with_extension("pem"), pem.as_bytes())?;
        let pem = self.key.private.to_pkcs8_pem(&self.key.public);
        write(key, pem.as_bytes())
    }
}

fn create_dir_all(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(folder)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use io::Write as _;
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(path).map_err(|e| named(path, &e))?;
    #[cfg(unix)]
    {
        // Also where another PKI was before.
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::Permissions::from_mode(0o600);
        file.set_permissions(mode).map_err(|e| named(path, &e))?;
    }
    file.write_all(bytes).map_err(|e| named(path, &e))
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    let path: PathBuf = path.into();
    io::Error::new(error.kind(), std::format!("{}: {error}", path.display()))
}
