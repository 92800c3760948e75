//! Named sets of certificate issuers (CI) that SM-DP+ servers are trusted by. SGP.22 §4.5.2, SGP.26.
//!
//! A set is a list of public keys, by the SHA-1 of the key as RFC 5280 §4.2.1.2 and SGP.22 have it; the certificates
//! themselves come from the user's folder. The live issuers of the GSMA and the test issuers of SGP.26, whose private keys
//! are published, are sets apart: a folder that holds both serves each set its own.

use aid_cli::cli::Failure;
use aid_cli::tls;
use aid_rsp::cert::Certificate;
use aid_rsp::tlv::{Tlv, universal};
use rustls::pki_types::CertificateDer;
use serde::Deserialize;
use sha1::{Digest as _, Sha1};
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Files of a folder that are looked at.
const MAX_FILES: usize = 1000;

/// A certificate issuer by its public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownIssuer {
    /// What it is called.
    pub name: &'static str,
    /// SHA-1 of its public key: its SubjectKeyIdentifier, as EUICCInfo lists it.
    pub key_id: [u8; 20],
}

/// The issuers under which operators' SM-DP+ servers and eUICCs in the field have their certificates: the GSMA's list of
/// Root CIs (<https://www.gsma.com/solutions-and-impact/technologies/esim/gsma-root-ci/>), those of SGP.22.
pub const LIVE: [KnownIssuer; 2] = [
    KnownIssuer {
        name: "GSM Association - RSP2 Root CI1",
        key_id: key_id("81370F5125D0B1D408D4C3B232E6D25E795BEBFB"),
    },
    KnownIssuer {
        name: "OISTE GSMA CI G1",
        key_id: key_id("4C27967AD20C14B391E9601E41E604AD57C0222F"),
    },
];

/// The test issuers of SGP.26, on NIST P-256 and brainpoolP256r1, of its versions 1 and 3.
pub const TEST: [KnownIssuer; 4] = [
    KnownIssuer {
        name: "SGP.26 test CI, NIST P-256",
        key_id: key_id("F54172BDF98A95D65CBEB88A38A1C11D800A85C3"),
    },
    KnownIssuer {
        name: "SGP.26 test CI, brainpoolP256r1",
        key_id: key_id("C0BC70BA36929D43B467FF57570530E57AB8FCD8"),
    },
    KnownIssuer {
        name: "SGP.26 v3 test CI, NIST P-256",
        key_id: key_id("34EECF13156518D48D30BDF06853404D115F955D"),
    },
    KnownIssuer {
        name: "SGP.26 v3 test CI, brainpoolP256r1",
        key_id: key_id("2209F61CD9EC5C9C854E787341FF83ECF9776A5B"),
    },
];

/// The bytes of 40 hexadecimal digits.
const fn key_id(digits: &str) -> [u8; 20] {
    const fn digit(d: u8) -> u8 {
        match d {
            b'0'..=b'9' => d - b'0',
            _ => d - b'A' + 10,
        }
    }
    let digits = digits.as_bytes();
    let mut id = [0; 20];
    let mut n = 0;
    while n < 20 {
        id[n] = digit(digits[2 * n]) << 4 | digit(digits[2 * n + 1]);
        n += 1;
    }
    id
}

/// Whom to trust.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum Trust {
    /// The GSMA's live issuers ([`LIVE`]).
    Live,
    /// The test issuers of SGP.26 ([`TEST`]): for a bench, never for operators' servers.
    Test,
    /// Whatever this file holds, DER or PEM.
    File(PathBuf),
}

impl From<String> for Trust {
    fn from(text: String) -> Self {
        match text.as_str() {
            "live" => Self::Live,
            "test" => Self::Test,
            _ => Self::File(text.into()),
        }
    }
}

impl FromStr for Trust {
    type Err = Infallible;
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::from(text.to_owned()))
    }
}

/// Certificates that are trusted.
#[derive(Debug, Clone, Default)]
pub struct TrustedIssuers(Vec<CertificateDer<'static>>);

impl TrustedIssuers {
    /// All certificates of these files, DER or PEM.
    ///
    /// # Errors
    /// A file is unreadable or has no CA certificate.
    pub fn of_files(files: &[PathBuf]) -> Result<Self, Failure> {
        let mut all = Vec::new();
        for file in files {
            // Says which file is no trust anchor; ureq would leave it out silently.
            tls::roots(&[file])?;
            all.extend(tls::certificates(file)?);
        }
        Ok(Self(all))
    }

    /// The certificates of a set; those of [`Trust::Live`] and [`Trust::Test`] are looked for in this folder by their
    /// keys, and others in it are left alone.
    ///
    /// # Errors
    /// No folder is named, it can't be read, or it has no certificate of the set; the file can't be used.
    pub fn of(trust: &Trust, folder: Option<&Path>) -> Result<Self, Failure> {
        let (set, word) = match trust {
            Trust::File(file) => return Self::of_files(std::slice::from_ref(file)),
            Trust::Live => (&LIVE[..], "live"),
            Trust::Test => (&TEST[..], "test"),
        };
        let names = || set.iter().map(|i| i.name).collect::<Vec<_>>().join(", ");
        let folder = folder.ok_or_else(|| {
            Failure::usage(format!(
                "--trust {word} needs the folder with the issuers' certificates; give --ci-folder DIR with {}",
                names()
            ))
        })?;
        let mut found = Vec::new();
        for file in files_of(folder)? {
            // Whatever else lies in the folder is not ours to judge.
            for certificate in tls::certificates(&file).unwrap_or_default() {
                let id = key_id_of(&certificate);
                if set.iter().any(|issuer| Some(issuer.key_id) == id) {
                    tls::roots(&[&file])?;
                    found.push(certificate);
                }
            }
        }
        if found.is_empty() {
            return Err(Failure::new(format!(
                "{} has no certificate of the {word} issuers; put one of these there: {}",
                folder.display(),
                names()
            )));
        }
        Ok(Self(found))
    }

    /// Both together.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// The certificates, DER.
    pub fn certificates(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|c| c.as_ref())
    }
}

fn files_of(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let wrong = |e: std::io::Error| Failure::new(format!("cannot read {}: {e}", folder.display()));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(wrong)?.take(MAX_FILES) {
        let path = entry.map_err(wrong)?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// SHA-1 of the public key of a certificate.
fn key_id_of(der: &[u8]) -> Option<[u8; 20]> {
    let certificate = Certificate::from_der(der).ok()?;
    let mut spki = Tlv::parse(certificate.spki()).ok()?.children();
    let key = spki.find(universal::BIT_STRING).ok()??;
    // The first octet counts unused bits.
    let (_, key) = key.value.split_first()?;
    Some(Sha1::digest(key).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_of(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("folder");
        for (name, bytes) in files {
            std::fs::write(folder.path().join(name), bytes).expect("write");
        }
        folder
    }

    #[test]
    fn the_sets_are_apart() {
        let mut ids: Vec<[u8; 20]> = LIVE.iter().chain(&TEST).map(|i| i.key_id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), LIVE.len() + TEST.len());
        assert_eq!(
            key_id("000102030405060708090A0B0C0D0E0F10FFFEFD")[17..],
            [0xFF, 0xFE, 0xFD]
        );
        assert_eq!("live".parse(), Ok(Trust::Live));
        assert_eq!("test".parse(), Ok(Trust::Test));
        assert_eq!("./live".parse(), Ok(Trust::File("./live".into())));
    }

    #[test]
    fn a_folder_without_issuers_of_the_set_is_refused_and_says_which_they_are() {
        let own = rcgen::generate_simple_self_signed(vec!["a.example".into()]).expect("own");
        let files: [(&str, &[u8]); 2] = [("own.der", own.cert.der()), ("note.txt", b"hello")];
        let folder = folder_of(&files);
        for trust in [Trust::Live, Trust::Test] {
            let error = TrustedIssuers::of(&trust, Some(folder.path()))
                .expect_err("none")
                .text;
            assert!(error.contains("put one of these there"), "{error}");
            let error = TrustedIssuers::of(&trust, None)
                .expect_err("no folder")
                .text;
            assert!(error.contains("--ci-folder"), "{error}");
        }
    }

    #[test]
    fn the_test_issuers_of_sgp26_serve_the_test_set_alone() {
        let Some(shared) = aid_needs::shared("data/sgp26/CertificateIssuer") else {
            return;
        };
        let test = TrustedIssuers::of(&Trust::Test, Some(&shared)).expect("test issuers");
        let one = std::fs::read(shared.join("CERT_CI_ECDSA_NIST.der")).expect("file");
        assert!(test.certificates().any(|c| c == one));
        let error = TrustedIssuers::of(&Trust::Live, Some(&shared))
            .expect_err("not live")
            .text;
        assert!(error.contains("RSP2 Root CI1"), "{error}");
    }
}
