//! Who the card is: certificates and key from files, from a folder in the layout of SGP.26, or minted.
//! SGP.26 §2, SGP.22 §4.5.2.

use crate::seeded::Seeded;
use aid_cli::cli::Failure;
use aid_cli::config;
use aid_euicc::card::{Chain, Credentials};
use aid_rsp::cert::Certificate;
use aid_rsp::crypto::{Curve, PrivateKey, SoftwareCrypto, pem_blocks};
use aid_rsp::pki::{MintParams, RspPki};
use getrandom::SysRng;
use rand_core::UnwrapErr;
use std::fs;
use std::path::{Path, PathBuf};

/// Largest certificate or key file, bytes.
const MAX_FILE: u64 = 64 * 1024;

/// EID of a card that is told none: that of SGP.26's test eUICC.
pub(crate) const TEST_EID: &str = "89049032123451234512345678901235";

/// Validity of minted certificates: 2024 to 2054, always the same so that a seed repeats them.
const VALIDITY: (u64, u64) = (1_704_067_200, 2_650_752_000);

/// The files of a chain.
#[derive(Debug, Clone)]
pub(crate) struct ChainFiles {
    pub(crate) euicc: PathBuf,
    pub(crate) eum: PathBuf,
    pub(crate) key: PathBuf,
}

/// The files that the card's identity is made of.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// One chain for each CI under which the card can sign, the preferred one first.
    pub(crate) chains: Vec<ChainFiles>,
    /// The CIs that the card trusts.
    pub(crate) ci: Vec<PathBuf>,
}

impl Places {
    /// The files of a folder in the layout of SGP.26: those on NIST P-256, and those on
    /// brainpoolP256r1 where they are there.
    ///
    /// # Errors
    /// The folder is not there, or has no CI certificate.
    pub(crate) fn of(dir: &Path) -> Result<Self, Failure> {
        let mut found = Self {
            chains: Vec::new(),
            ci: Vec::new(),
        };
        for curve in [Curve::NistP256, Curve::BrainpoolP256r1] {
            let name = |folder: &str, name: &str| {
                dir.join(folder)
                    .join(name.replace('#', curve.file_suffix()))
            };
            let ci = name("CertificateIssuer", "CERT_CI_ECDSA_#.der");
            if !ci.is_file() {
                continue;
            }
            found.ci.push(ci);
            let chain = ChainFiles {
                euicc: name("eUICC", "CERT_EUICC_ECDSA_#.der"),
                eum: name("EUM", "CERT_EUM_ECDSA_#.der"),
                key: name("eUICC", "SK_EUICC_ECDSA_#.pem"),
            };
            // A CI that is only trusted has no chain; one with a part of a chain is a mistake.
            if [&chain.euicc, &chain.eum, &chain.key]
                .iter()
                .any(|f| f.exists())
            {
                found.chains.push(chain);
            }
        }
        if found.ci.is_empty() {
            return Err(Failure::new(format!(
                "--pki {}: there is no CertificateIssuer/CERT_CI_ECDSA_NIST.der (or _BRP) in it; give a \
                 folder with CertificateIssuer, EUM and eUICC as SGP.26 has them, or make one with \
                 euicc-sim mint-pki",
                dir.display()
            )));
        }
        Ok(found)
    }

    /// Reads the files.
    pub(crate) fn read(&self) -> Result<Credentials, Failure> {
        let chains = self.chains.iter().map(|files| {
            Ok(Chain {
                euicc: certificate(&files.euicc)?,
                eum: certificate(&files.eum)?,
                key: key(&files.key)?,
            })
        });
        let ci = self.ci.iter().map(|path| certificate(path));
        Ok(Credentials {
            chains: chains.collect::<Result<_, Failure>>()?,
            ci: ci.collect::<Result<_, _>>()?,
        })
    }
}

/// Mints a PKI for an EID; the same one again for the same seed.
pub(crate) fn mint(
    eid: &[u8; 16],
    tls_name: &str,
    crl_url: Option<&str>,
    seed: Option<u64>,
) -> Result<RspPki, Failure> {
    let (from, to) = VALIDITY;
    let names = [tls_name];
    let params = MintParams {
        tls_names: &names,
        crl_url,
        ..MintParams::loopback(eid, from, to)
    };
    let crypto = SoftwareCrypto::new();
    let pki = match seed {
        Some(seed) => RspPki::mint(&params, &crypto, &mut Seeded::new(seed, "pki")),
        None => RspPki::mint(&params, &crypto, &mut UnwrapErr(SysRng)),
    };
    pki.map_err(|e| Failure::new(format!("cannot mint a PKI: {e}")))
}

/// Writes a minted PKI to a folder, whole or not at all: it is made beside the folder and takes its
/// place at the end.
///
/// # Errors
/// It cannot be written, or the folder has other things in it.
pub(crate) fn write(pki: &RspPki, folder: &Path) -> Result<(), Failure> {
    let mut beside = folder.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    // Of a program that died while it wrote.
    let _ = fs::remove_dir_all(&beside);
    let done = pki
        .write_to(&beside)
        .map_err(|e| format!("cannot write the PKI {e}; check path, permissions and disk space"))
        .and_then(|()| {
            let folder_name = folder.display();
            fs::rename(&beside, folder).map_err(|e| {
                format!(
                    "cannot make the folder {folder_name}: {e}; name one that is empty or absent"
                )
            })
        });
    done.map_err(|text| {
        let _ = fs::remove_dir_all(&beside);
        Failure::new(text)
    })
}

/// The card's part of a minted PKI.
pub(crate) fn minted(pki: &RspPki) -> Result<Credentials, Failure> {
    let chain = Chain {
        euicc: Certificate::from_der(&pki.euicc.certificate)?,
        eum: Certificate::from_der(&pki.eum.certificate)?,
        key: pki.euicc.key.private.clone(),
    };
    Ok(Credentials {
        chains: vec![chain],
        ci: vec![Certificate::from_der(&pki.ci.certificate)?],
    })
}

fn certificate(path: &Path) -> Result<Certificate, Failure> {
    let bytes = config::read(path, MAX_FILE, "certificate")?;
    let wrong = |e: &dyn std::fmt::Display| {
        let path = path.display();
        Failure::new(format!(
            "the certificate {path} cannot be used: {e}; give an X.509 certificate in DER or PEM"
        ))
    };
    let der = match std::str::from_utf8(&bytes) {
        Ok(text) if text.contains("-----BEGIN") => pem_blocks(text)
            .find_map(|b| b.ok().filter(|(label, _)| *label == "CERTIFICATE"))
            .map(|(_, der)| der)
            .ok_or_else(|| wrong(&"there is no CERTIFICATE block in it"))?,
        _ => bytes,
    };
    Certificate::from_der(&der).map_err(|e| wrong(&e))
}

fn key(path: &Path) -> Result<PrivateKey, Failure> {
    let bytes = config::read(path, MAX_FILE, "private key")?;
    PrivateKey::from_pem_or_der(&bytes).map_err(|e| {
        let path = path.display();
        Failure::new(format!(
            "the private key {path} cannot be used: {e}; give a key on NIST P-256 or brainpoolP256r1 in PEM"
        ))
    })
}
