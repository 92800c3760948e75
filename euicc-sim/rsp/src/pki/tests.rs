use super::*;
use crate::cert::{CertError, Certificate, TrustAnchor};
use crate::crypto::{PrivateKey, SoftwareCrypto};
use crate::testdata::Rng;

const NOW: u64 = 1_790_000_000;
const EID: [u8; 16] = [
    0x89, 0x04, 0x90, 0x32, 0x12, 0x34, 0x51, 0x23, 0x45, 0x12, 0x34, 0x56, 0x78, 0x90, 0x12, 0x35,
];

fn mint() -> (RspPki, SoftwareCrypto) {
    let crypto = SoftwareCrypto::new();
    let params = MintParams::loopback(&EID, NOW - DAY, NOW + 3650 * DAY);
    let pki = RspPki::mint(&params, &crypto, &mut Rng::new(7)).unwrap();
    (pki, crypto)
}

#[test]
fn minted_chains_pass_our_validation() {
    let (pki, crypto) = mint();
    let parse = |i: &Identity| Certificate::from_der(&i.certificate).unwrap();
    let anchor = TrustAnchor::new(parse(&pki.ci), &crypto).unwrap();
    for (identity, role) in [
        (&pki.dp_auth, Role::DpAuth),
        (&pki.dp_pb, Role::DpPb),
        (&pki.dp_tls, Role::DpTls),
    ] {
        let certificate = parse(identity);
        anchor
            .verify_leaf(&certificate, role, &crypto, Some(NOW))
            .unwrap();
        assert_eq!(certificate.registered_id(), Some(&[0x88, 0x37, 0x0A][..]));
        assert_eq!(certificate.public_key(), &identity.key.public);
    }
    assert_eq!(
        anchor.verify_euicc(&parse(&pki.eum), &parse(&pki.euicc), &crypto, Some(NOW)),
        Ok(EID)
    );
    let expired = NOW + 3651 * DAY;
    assert!(matches!(
        anchor.verify_leaf(&parse(&pki.dp_auth), Role::DpAuth, &crypto, Some(expired)),
        Err(CertError::Expired { .. })
    ));
}

#[test]
fn an_euicc_outside_the_iin_is_refused() {
    let (pki, crypto) = mint();
    let mut other = EID;
    other[3] = 0x33;
    let params = MintParams::loopback(&other, NOW - DAY, NOW + DAY);
    let euicc = pki.mint_euicc(&params, &crypto, &mut Rng::new(8)).unwrap();
    let parse = |der: &[u8]| Certificate::from_der(der).unwrap();
    let anchor = TrustAnchor::new(parse(&pki.ci.certificate), &crypto).unwrap();
    let got = anchor.verify_euicc(
        &parse(&pki.eum.certificate),
        &parse(&euicc.certificate),
        &crypto,
        Some(NOW),
    );
    assert_eq!(got, Err(CertError::NameConstraints));
}

#[test]
fn an_eum_is_limited_in_one_form_or_the_other() {
    let (pki, crypto) = mint();
    let params = MintParams::loopback(&EID, NOW - DAY, NOW + DAY);
    let mut rng = Rng::new(9);
    let parse = |i: &Identity| Certificate::from_der(&i.certificate).unwrap();
    let anchor = TrustAnchor::new(parse(&pki.ci), &crypto).unwrap();
    let mut verify = |eins: &[&str]| {
        let mut minter = Minter {
            params: &params,
            crypto: &crypto,
            rng: &mut rng,
        };
        let subject = Subject {
            organization: Some(EUM_ORGANIZATION),
            common_name: "EUM",
            serial_number: None,
        };
        let mut profile = Profile::ca(Role::Eum, subject, &[]);
        profile.permitted_eins = eins;
        let eum = minter.identity(Some(&pki.ci), &profile).unwrap();
        let euicc = minter.euicc(&eum, &eid_digits(&EID)).unwrap();
        anchor.verify_euicc(&parse(&eum), &parse(&euicc), &crypto, Some(NOW))
    };
    assert_eq!(verify(&[]), Err(CertError::NameConstraintsForm));
    assert_eq!(verify(&["89049032"]), Ok(EID));
    assert_eq!(verify(&["89033", "8904903212345"]), Ok(EID));
    assert_eq!(verify(&["89033"]), Err(CertError::NameConstraints));
}

#[test]
fn written_files_have_the_layout_of_sgp26_and_openssl_accepts_them() {
    let (pki, crypto) = mint();
    let dir = std::env::temp_dir().join(std::format!("aid-rsp-pki-{}", std::process::id()));
    pki.write_to(&dir).unwrap();
    let key = std::fs::read_to_string(dir.join("eUICC/SK_EUICC_ECDSA_NIST.pem")).unwrap();
    let key = PrivateKey::from_pem(&key).unwrap();
    assert_eq!(crypto.public_key(&key).unwrap(), pki.euicc.key.public);

    let verify = |args: &[&str]| {
        let mut command = std::process::Command::new("openssl");
        command.arg("verify").args(["-attime", &NOW.to_string()]);
        command
            .args(["-CAfile", "CertificateIssuer/CERT_CI_ECDSA_NIST.pem"])
            .args(args)
            .current_dir(&dir);
        command.output()
    };
    for leaf in [
        "DPauth/CERT_S_SM_DPauth_ECDSA_NIST.pem",
        "DPpb/CERT_S_SM_DPpb_ECDSA_NIST.pem",
        "DPtls/CERT_S_SM_DP_TLS_NIST.pem",
    ] {
        match verify(&["-x509_strict", leaf]) {
            Ok(out) => assert!(out.status.success(), "{leaf}: {out:?}"),
            Err(e) => no_openssl(&e),
        }
    }
    // OpenSSL compares name constraints by RFC 5280, which an IIN prefix cannot satisfy: the
    // signature is what it can judge.
    match verify(&["-partial_chain", "EUM/CERT_EUM_ECDSA_NIST.pem"]) {
        Ok(out) => assert!(out.status.success(), "EUM: {out:?}"),
        Err(e) => no_openssl(&e),
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

/// Only a machine without the command may skip it.
#[track_caller]
fn no_openssl(error: &std::io::Error) {
    aid_needs::missing(
        aid_needs::Need::Openssl,
        &std::format!("openssl does not start ({error})"),
    );
}

#[test]
fn minted_revocation_lists_are_read_back_and_bound_to_their_ci() {
    use crate::cert::{RevocationList, Revoked};
    let (pki, crypto) = mint();
    let ci = Certificate::from_der(&pki.ci.certificate).unwrap();
    let entries = [
        Revoked {
            serial: std::vec![0x40, 1, 2],
            expires: Some(NOW + DAY),
            removed: false,
        },
        Revoked {
            serial: std::vec![0x41],
            expires: None,
            removed: true,
        },
    ];
    let params = CrlParams {
        number: 7,
        base: Some(5),
        part: Some((2, 3)),
        this_update: NOW,
        entries: &entries,
    };
    let der = pki.ci.revocation_list(&params, &crypto).unwrap();
    let fields = crate::tlv::Tlv::parse(&der).unwrap().value;
    let list = RevocationList::from_fields(fields).unwrap();
    assert_eq!(
        (list.number, list.base, list.part),
        (7, Some(5), Some((2, 3)))
    );
    assert_eq!(list.next_update, Some(NOW + 30 * DAY));
    assert_eq!(list.entries, entries);
    assert!(list.is_issuer(&ci) && list.verify(&ci, &crypto));
    let eum = Certificate::from_der(&pki.eum.certificate).unwrap();
    assert!(!list.is_issuer(&eum) && !list.verify(&eum, &crypto));
    // One altered byte: not read, another CI's, or with a wrong signature.
    for at in 0..fields.len() {
        let mut altered = fields.to_vec();
        altered[at] ^= 1 << (at % 8);
        if let Ok(list) = RevocationList::from_fields(&altered) {
            assert!(!list.verify(&ci, &crypto), "byte {at}");
        }
    }
    // OpenSSL reads it too.
    let file = std::env::temp_dir().join(std::format!("aid-rsp-crl-{}", std::process::id()));
    std::fs::write(&file, &der).unwrap();
    let out = std::process::Command::new("openssl")
        .args(["crl", "-inform", "der", "-noout", "-crlnumber", "-in"])
        .arg(&file)
        .output();
    match out {
        Ok(out) => assert!(
            out.status.success() && out.stdout.windows(3).any(|w| w == b"=0x"),
            "{out:?}"
        ),
        Err(e) => no_openssl(&e),
    }
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn both_forms_and_both_curves_make_a_chain() {
    for (curve, eum_limit) in [
        (Curve::NistP256, EumLimit::PermittedEins),
        (Curve::BrainpoolP256r1, EumLimit::NameConstraints),
        (Curve::BrainpoolP256r1, EumLimit::PermittedEins),
    ] {
        let crypto = SoftwareCrypto::new();
        let params = MintParams {
            curve,
            eum_limit,
            ..MintParams::loopback(&EID, NOW - DAY, NOW + DAY)
        };
        let pki = RspPki::mint(&params, &crypto, &mut Rng::new(11)).unwrap();
        let parse = |i: &Identity| Certificate::from_der(&i.certificate).unwrap();
        let anchor = TrustAnchor::new(parse(&pki.ci), &crypto).unwrap();
        assert_eq!(
            anchor.verify_euicc(&parse(&pki.eum), &parse(&pki.euicc), &crypto, Some(NOW)),
            Ok(EID)
        );
        let mut other = EID;
        other[3] = 0x33;
        let params = MintParams {
            eid: &other,
            ..params
        };
        let euicc = pki.mint_euicc(&params, &crypto, &mut Rng::new(12)).unwrap();
        assert_eq!(
            anchor.verify_euicc(&parse(&pki.eum), &parse(&euicc), &crypto, Some(NOW)),
            Err(CertError::NameConstraints)
        );
    }
}

#[test]
fn certificates_of_the_server_name_the_revocation_list() {
    const URL: &str = "http://ci.example.com/ci.crl";
    let crypto = SoftwareCrypto::new();
    let params = MintParams {
        crl_url: Some(URL),
        ..MintParams::loopback(&EID, NOW - DAY, NOW + DAY)
    };
    let pki = RspPki::mint(&params, &crypto, &mut Rng::new(11)).unwrap();
    for (identity, names) in [
        (&pki.dp_auth, true),
        (&pki.dp_pb, true),
        (&pki.dp_tls, true),
        (&pki.ci, false),
        (&pki.eum, false),
        (&pki.euicc, false),
    ] {
        let certificate = Certificate::from_der(&identity.certificate).unwrap();
        let urls: Vec<&str> = certificate.crl_urls().collect();
        let expected: &[&str] = if names { &[URL] } else { &[] };
        assert_eq!(urls, expected);
    }
    let anchor = Certificate::from_der(&pki.ci.certificate).unwrap();
    let anchor = TrustAnchor::new(anchor, &crypto).unwrap();
    let auth = Certificate::from_der(&pki.dp_auth.certificate).unwrap();
    let judged = anchor.verify_leaf(&auth, Role::DpAuth, &crypto, Some(NOW));
    assert_eq!(judged, Ok(()));
}
