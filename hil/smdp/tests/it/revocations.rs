//! Revocation lists: served as they are replaced, applied to EUM certificates, and refused where no trusted CI signed them.

use crate::bench::{Bench, EID, EID_DIGITS, mint, refused};
use crate::card::Card;
use crate::program::{client, program, site, start};
use aid_rsp::cert::{Certificate, Revoked};
use aid_rsp::crypto::SoftwareCrypto;
use aid_rsp::pki::{CrlParams, Identity, RspPki};
use aid_smdp::revocation::Files;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const FILE: &str = "CertificateIssuer/ci.crl";

fn list(ci: &Identity, number: u64, revoked: &[&Identity]) -> Vec<u8> {
    let entries: Vec<Revoked> = revoked
        .iter()
        .map(|identity| {
            let certificate = Certificate::from_der(&identity.certificate).unwrap();
            Revoked {
                serial: certificate.serial_number().to_vec(),
                expires: Some(certificate.not_after()),
                removed: false,
            }
        })
        .collect();
    let params = CrlParams {
        number,
        base: None,
        part: None,
        this_update: 1_780_000_000,
        entries: &entries,
    };
    ci.revocation_list(&params, &SoftwareCrypto::new()).unwrap()
}

fn open(bench: &Bench, list: &[u8]) -> (PathBuf, Files) {
    let file = bench.folder.path().join("ci.crl");
    std::fs::write(&file, list).unwrap();
    let files = Files::open(std::slice::from_ref(&file), bench.service.dp()).unwrap();
    bench.service.revoke(&files);
    (file, files)
}

/// Writes a file so that its time differs from that of the one before, whatever the clock of the file system.
fn replace(file: &Path, bytes: &[u8]) {
    let before = std::fs::metadata(file).unwrap().modified().unwrap();
    std::fs::write(file, bytes).unwrap();
    let file = std::fs::File::options().write(true).open(file).unwrap();
    file.set_modified(before + Duration::from_secs(2)).unwrap();
}

#[tokio::test]
async fn a_card_whose_eum_is_revoked_is_refused() {
    let bench = Bench::new().await;
    let id = bench.order(Some(EID_DIGITS), None).await;
    let (file, mut files) = open(&bench, &list(&bench.pki.ci, 1, &[]));
    let mut card = bench.card();
    let (transaction, bpp) = bench.download(&mut card, &id).await;
    let iccid = card.open(&bpp, &bench.pki.dp_pb.key.public).metadata.iccid;
    let revoking = list(&bench.pki.ci, 2, &[&bench.pki.eum]);
    replace(&file, &revoking);
    assert!(files.refresh(bench.service.dp()));
    assert!(!files.refresh(bench.service.dp()), "nothing has changed");
    bench.service.revoke(&files);
    assert_eq!(&*bench.service.revocation_list("ci.crl").unwrap(), revoking);
    let answer = bench.authenticate(&card, Some(&id)).await;
    refused(answer, ("8.1.2", "6.1"));
    // What the card reports of the download before counts.
    let result = card.installed(transaction, 0, iccid);
    bench.notify(result).await.unwrap();
    assert_eq!(bench.stored().await.state.as_str(), "installed");
    // A file that is damaged, of another CI or gone changes nothing.
    for bytes in [b"half".to_vec(), list(&mint().ci, 3, &[])] {
        replace(&file, &bytes);
        assert!(!files.refresh(bench.service.dp()));
    }
    std::fs::remove_file(&file).unwrap();
    assert!(!files.refresh(bench.service.dp()));
    assert_eq!(&*files.served().get("ci.crl").unwrap(), revoking);
    // Another list says that it was a mistake.
    std::fs::write(&file, list(&bench.pki.ci, 4, &[])).unwrap();
    assert!(files.refresh(bench.service.dp()));
    bench.service.revoke(&files);
    let other = Card::new(&bench.pki, EID, bench.pki.euicc.clone());
    refused(
        bench.authenticate(&other, Some(&id)).await,
        ("8.2.6", "3.8"),
    );
}

#[tokio::test]
async fn lists_that_no_trusted_issuer_signed_are_refused() {
    let bench = Bench::new().await;
    let write = |name: &str, bytes: &[u8]| {
        let file = bench.folder.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, bytes).unwrap();
        file
    };
    let good = list(&bench.pki.ci, 1, &[]);
    let mut forged = good.clone();
    *forged.last_mut().unwrap() ^= 1;
    let refused = |files: &[PathBuf], why: &str| {
        let failure = Files::open(files, bench.service.dp()).unwrap_err();
        assert!(failure.text.contains(why), "{}", failure.text);
    };
    refused(&[write("forged.crl", &forged)], "not signed by an issuer");
    refused(
        &[write("other.crl", &list(&mint().ci, 1, &[]))],
        "not signed by an issuer",
    );
    refused(&[write("text.crl", b"no list")], "not a revocation list");
    refused(&[write("long.crl", &[0x30; 20_000])], "has more than");
    refused(&[bench.folder.path().join("absent.crl")], "cannot read");
    refused(
        &[write("a/ci.crl", &good), write("b/ci.crl", &good)],
        "name of its own",
    );
}

#[tokio::test]
async fn the_list_is_served_and_followed() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let pki: RspPki = site(dir);
    let first = list(&pki.ci, 1, &[]);
    std::fs::write(dir.join(FILE), &first).unwrap();
    let config = std::fs::read_to_string(dir.join("smdp.toml")).unwrap();
    let config = config.replace("# crl = ", "crl = ");
    std::fs::write(dir.join("smdp.toml"), config).unwrap();
    let check = program(dir)
        .args(["check-config", "--config", "smdp.toml"])
        .output()
        .unwrap();
    assert!(check.status.success(), "{check:?}");
    let (_running, es9, _) = start(dir);
    let lpa = client(&dir.join("CertificateIssuer/CERT_CI_ECDSA_NIST.pem"), None);
    let get = async |name: &str| {
        lpa.get(format!("https://{es9}/crl/{name}"))
            .send()
            .await
            .unwrap()
    };
    let answer = get("ci.crl").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/pkix-crl");
    assert_eq!(answer.bytes().await.unwrap(), first);
    for name in [
        "CERT_CI_ECDSA_NIST.der",
        "..%2fsmdp.toml",
        "%00",
        "smdp.toml",
    ] {
        assert_eq!(get(name).await.status(), 404, "{name}");
    }
    let second = list(&pki.ci, 2, &[&pki.dp_pb]);
    replace(&dir.join(FILE), &second);
    let end = Instant::now() + Duration::from_secs(30);
    while get("ci.crl").await.bytes().await.unwrap() != second {
        assert!(Instant::now() < end, "the new list is not served");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
