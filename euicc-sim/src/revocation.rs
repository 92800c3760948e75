//! `mint-crl`: signs the next revocation list of a test CI. SGP.22 §4.6.

use aid_cli::cli::Failure;
use aid_cli::{config, private};
use aid_rsp::cert::{Certificate, MAX_CRL_LEN, RevocationList, Revoked};
use aid_rsp::crypto::{Crypto as _, Curve, KeyPair, PrivateKey, SoftwareCrypto};
use aid_rsp::pki::{CrlParams, Identity};
use std::path::{Path, PathBuf};

/// Largest certificate or key file, bytes.
const MAX_FILE: u64 = 64 * 1024;

/// The list of a folder in the layout of SGP.26.
pub(crate) fn usual_file(pki: &Path) -> PathBuf {
    pki.join("CertificateIssuer").join("ci.crl")
}

/// Signs a list that revokes what the list in `out` revokes, and these certificates; `now` in Unix seconds. Returns its
/// number and how many certificates it revokes.
///
/// # Errors
/// A file can't be used, or the list is too long for a card.
pub(crate) fn mint(
    pki: &Path,
    revoke: &[PathBuf],
    out: &Path,
    now: u64,
) -> Result<(u64, usize), Failure> {
    let crypto = SoftwareCrypto::new();
    let ci = issuer(pki, &crypto)?;
    let (mut number, mut entries) = previous(out)?;
    for file in revoke {
        let der = config::read(file, MAX_FILE, "certificate")?;
        let certificate = Certificate::from_der(&der).map_err(|e| {
            let file = file.display();
            Failure::new(format!(
                "{file} is not an RSP certificate: {e}; give it in DER"
            ))
        })?;
        let of_ci = Certificate::from_der(&ci.certificate)?;
        if certificate.verify_issued_by(&of_ci, &crypto).is_err() {
            let (file, pki) = (file.display(), pki.display());
            return Err(Failure::new(format!(
                "{file} is not of the CI in {pki}, which alone can revoke it; give --pki the folder of its issuer"
            )));
        }
        let revoked = Revoked {
            serial: certificate.serial_number().to_vec(),
            expires: Some(certificate.not_after()),
            removed: false,
        };
        if !entries.iter().any(|e| e.serial == revoked.serial) {
            entries.push(revoked);
        }
    }
    number += 1;
    let params = CrlParams {
        number,
        base: None,
        part: None,
        this_update: now,
        entries: &entries,
    };
    let list = ci.revocation_list(&params, &crypto)?;
    if list.len() > MAX_CRL_LEN {
        return Err(Failure::new(format!(
            "the list would have {} bytes, and cards take {MAX_CRL_LEN}; begin another one with --out",
            list.len()
        )));
    }
    replace(out, &list).map_err(|e| {
        let out = out.display();
        Failure::new(format!("cannot write {out}: {e}; choose another --out"))
    })?;
    Ok((number, entries.len()))
}

fn issuer(pki: &Path, crypto: &SoftwareCrypto) -> Result<Identity, Failure> {
    let folder = pki.join("CertificateIssuer");
    let suffix = Curve::NistP256.file_suffix();
    let certificate = folder.join(format!("CERT_CI_ECDSA_{suffix}.der"));
    let certificate = config::read(&certificate, MAX_FILE, "CI certificate")?;
    let key = folder.join(format!("SK_CI_ECDSA_{suffix}.pem"));
    let bytes = config::read(&key, MAX_FILE, "CI key")?;
    let private = PrivateKey::from_pem_or_der(&bytes).map_err(|e| {
        let key = key.display();
        Failure::new(format!("{key} has no usable key: {e}; give PKCS#8 in PEM"))
    })?;
    let public = crypto.public_key(&private)?;
    Ok(Identity {
        certificate,
        key: KeyPair { private, public },
    })
}

/// Number and entries of the list that is there; 0 and none where there is no file.
fn previous(file: &Path) -> Result<(u64, Vec<Revoked>), Failure> {
    if !file.exists() {
        return Ok((0, Vec::new()));
    }
    let der = config::read(file, MAX_FILE, "revocation list")?;
    let list = RevocationList::from_der(&der).map_err(|e| {
        let file = file.display();
        Failure::new(format!(
            "{file} is not a revocation list: {e}; move it away, or choose another --out"
        ))
    })?;
    Ok((list.number, list.entries))
}

/// Puts a complete file in the place of another, so that a server never reads half of one.
fn replace(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    private::write(&beside, bytes)?;
    std::fs::rename(&beside, file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials;
    use aid_rsp::es10::eid_from_digits;

    #[test]
    fn each_list_goes_on_from_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let eid = eid_from_digits(credentials::TEST_EID).unwrap();
        let pki = credentials::mint(&eid, "localhost", None, Some(3)).unwrap();
        let dir = folder.path().join("pki");
        credentials::write(&pki, &dir).unwrap();
        let out = usual_file(&dir);
        let file = |name: &str| dir.join(name);
        assert_eq!(mint(&dir, &[], &out, 1_790_000_000).unwrap(), (1, 0));
        let auth = file("DPauth/CERT_S_SM_DPauth_ECDSA_NIST.der");
        let pb = file("DPpb/CERT_S_SM_DPpb_ECDSA_NIST.der");
        assert_eq!(
            mint(&dir, std::slice::from_ref(&auth), &out, 1_790_000_001).unwrap(),
            (2, 1)
        );
        assert_eq!(
            mint(&dir, &[auth, pb], &out, 1_790_000_002).unwrap(),
            (3, 2)
        );
        let list = RevocationList::from_der(&std::fs::read(&out).unwrap()).unwrap();
        let ci = Certificate::from_der(&pki.ci.certificate).unwrap();
        assert!(list.is_issuer(&ci) && list.verify(&ci, &SoftwareCrypto::new()));
        let serials: Vec<&[u8]> = list.entries.iter().map(|e| &e.serial[..]).collect();
        let revoked =
            [&pki.dp_auth, &pki.dp_pb].map(|i| Certificate::from_der(&i.certificate).unwrap());
        assert_eq!(serials, revoked.each_ref().map(Certificate::serial_number));
        // The EUM issued it, not the CI.
        let euicc = file("eUICC/CERT_EUICC_ECDSA_NIST.der");
        let error = mint(&dir, &[euicc], &out, 1_790_000_003).unwrap_err().text;
        assert!(error.contains("is not of the CI"), "{error}");
        assert_eq!(previous(&out).unwrap().0, 3);
    }
}
