use super::*;
use crate::crypto::{Curve, PrivateKey, SoftwareCrypto};
use crate::testdata;
use crate::tlv::{Tlv, Writer};
use proptest::prelude::*;

/// 2026-11-01.
const NOW: u64 = 1_793_491_200;
const EID: [u8; 16] = [
    0x89, 0x04, 0x90, 0x32, 0x12, 0x34, 0x51, 0x23, 0x45, 0x12, 0x34, 0x56, 0x78, 0x90, 0x12, 0x35,
];

fn sgp26(path: &str) -> Option<Vec<u8>> {
    testdata::bytes(&std::format!("data/sgp26/{path}"))
}

struct Published {
    anchor: TrustAnchor,
    eum: Vec<u8>,
    euicc: Vec<u8>,
    crypto: SoftwareCrypto,
}

fn published(folder: &[&str; 3]) -> Option<Published> {
    let crypto = SoftwareCrypto::new();
    let ci = Certificate::from_der(&sgp26(folder[0])?).unwrap();
    Some(Published {
        anchor: TrustAnchor::new(ci, &crypto).unwrap(),
        eum: sgp26(folder[1])?,
        euicc: sgp26(folder[2])?,
        crypto,
    })
}

const V2: [&str; 3] = [
    "CertificateIssuer/CERT_CI_ECDSA_NIST.der",
    "EUM/CERT_EUM_ECDSA_NIST.der",
    "eUICC/CERT_EUICC_ECDSA_NIST.der",
];
const BRAINPOOL: [&str; 3] = [
    "CertificateIssuer/CERT_CI_ECDSA_BRP.der",
    "EUM/CERT_EUM_ECDSA_BRP.der",
    "eUICC/CERT_EUICC_ECDSA_BRP.der",
];
const VARIANT_O: [&str; 3] = [
    "reissued-v3.0.2/CERT_CI_SIG_NIST.der",
    "reissued-v3.0.2/CERT_EUM_SIG_NIST.der",
    "reissued-v3.0.2/CERT_EUICC_SIG_NIST.der",
];

fn verify(p: &Published, eum: &[u8], euicc: &[u8]) -> Result<[u8; 16], CertError> {
    let eum = Certificate::from_der(eum)?;
    let euicc = Certificate::from_der(euicc)?;
    p.anchor.verify_euicc(&eum, &euicc, &p.crypto, Some(NOW))
}

#[test]
fn the_published_chains_are_valid() {
    for folder in [V2, VARIANT_O] {
        let Some(p) = published(&folder) else { return };
        assert_eq!(
            p.anchor.key_id(),
            hex::decode("F54172BDF98A95D65CBEB88A38A1C11D800A85C3").unwrap()
        );
        assert_eq!(verify(&p, &p.eum, &p.euicc), Ok(EID));
        for (file, role, other) in [
            (
                "DPauth/CERT_S_SM_DPauth_ECDSA_NIST.der",
                Role::DpAuth,
                Role::DpPb,
            ),
            (
                "DPpb/CERT_S_SM_DPpb_ECDSA_NIST.der",
                Role::DpPb,
                Role::DpAuth,
            ),
        ] {
            let leaf = Certificate::from_der(&sgp26(file).unwrap()).unwrap();
            assert_eq!(
                p.anchor.verify_leaf(&leaf, role, &p.crypto, Some(NOW)),
                Ok(())
            );
            assert_eq!(
                p.anchor.verify_leaf(&leaf, other, &p.crypto, Some(NOW)),
                Err(CertError::Role { expected: other })
            );
            assert_eq!(leaf.registered_id(), Some(&[0x88, 0x37, 0x0A][..]));
        }
    }
}

#[test]
fn the_published_keys_belong_to_the_certificates() {
    for (certificate, key) in [
        (V2[2], "eUICC/SK_EUICC_ECDSA_NIST.pem"),
        (VARIANT_O[2], "reissued-v3.0.2/SK_EUICC_SIG_NIST.pem"),
        (BRAINPOOL[2], "eUICC/SK_EUICC_ECDSA_BRP.pem"),
    ] {
        let (Some(certificate), Some(key)) = (sgp26(certificate), sgp26(key)) else {
            return;
        };
        let key = PrivateKey::from_pem_or_der(&key).unwrap();
        let public = crate::crypto::Crypto::public_key(&SoftwareCrypto::new(), &key).unwrap();
        assert_eq!(
            Certificate::from_der(&certificate).unwrap().public_key(),
            &public
        );
    }
}

#[test]
fn time_is_judged_only_with_a_clock() {
    let Some(p) = published(&V2) else { return };
    let leaf = sgp26("DPauth/CERT_S_SM_DPauth_ECDSA_NIST.der").unwrap();
    let leaf = Certificate::from_der(&leaf).unwrap();
    // 2020-04-01 08:31:30 and 2030-03-30 08:31:30, from openssl.
    assert_eq!(leaf.not_before(), 1_585_729_890);
    assert_eq!(leaf.not_after(), 1_901_089_890);
    let at = |now| p.anchor.verify_leaf(&leaf, Role::DpAuth, &p.crypto, now);
    assert_eq!(at(None), Ok(()));
    assert_eq!(at(Some(leaf.not_after())), Ok(()));
    assert!(matches!(
        at(Some(leaf.not_after() + 1)),
        Err(CertError::Expired { .. })
    ));
    assert!(matches!(
        at(Some(leaf.not_before() - 1)),
        Err(CertError::NotYetValid { .. })
    ));
}

#[test]
fn every_altered_byte_of_a_chain_is_refused() {
    let Some(p) = published(&V2) else { return };
    for i in 0..p.eum.len() {
        let mut eum = p.eum.clone();
        eum[i] ^= 1 << (i % 8);
        assert!(verify(&p, &eum, &p.euicc).is_err(), "EUM byte {i}");
    }
    for i in 0..p.euicc.len() {
        let mut euicc = p.euicc.clone();
        euicc[i] ^= 1 << (i % 8);
        assert!(verify(&p, &p.eum, &euicc).is_err(), "eUICC byte {i}");
    }
}

#[test]
fn a_certificate_cannot_take_anothers_place() {
    let Some(p) = published(&V2) else { return };
    assert!(matches!(
        verify(&p, &p.euicc, &p.euicc),
        Err(CertError::Role { .. })
    ));
    assert!(matches!(
        verify(&p, &p.eum, &p.eum),
        Err(CertError::Role { .. })
    ));
    let dp = sgp26("DPauth/CERT_S_SM_DPauth_ECDSA_NIST.der").unwrap();
    let dp = Certificate::from_der(&dp).unwrap();
    assert!(matches!(
        TrustAnchor::new(dp.clone(), &p.crypto),
        Err(CertError::Role { .. })
    ));
    assert_eq!(TrustAnchor::find(&[], &dp), Err(CertError::UnknownCi));
}

#[test]
fn the_published_brainpool_chain_is_valid() {
    let Some(p) = published(&BRAINPOOL) else {
        return;
    };
    assert_eq!(verify(&p, &p.eum, &p.euicc), Ok(EID));
    for (file, role) in [
        ("DPauth/CERT_S_SM_DPauth_ECDSA_BRP.der", Role::DpAuth),
        ("DPpb/CERT_S_SM_DPpb_ECDSA_BRP.der", Role::DpPb),
    ] {
        let leaf = Certificate::from_der(&sgp26(file).unwrap()).unwrap();
        assert_eq!(leaf.public_key().curve(), Curve::BrainpoolP256r1);
        assert_eq!(
            p.anchor.verify_leaf(&leaf, role, &p.crypto, Some(NOW)),
            Ok(())
        );
    }
    // The chains of the two CIs don't mix.
    let nist = sgp26(V2[1]).unwrap();
    assert!(verify(&p, &nist, &p.euicc).is_err());
}

#[test]
fn another_curve_is_refused_as_such() {
    let Some(mut der) = sgp26("EUM/CERT_EUM_ECDSA_BRP.der") else {
        return;
    };
    // 1.3.36.3.3.2.8.1.1.7 becomes ….9, brainpoolP320r1.
    let curve = Curve::BrainpoolP256r1.parameters();
    let at = der.windows(curve.len()).position(|w| w == curve).unwrap();
    der[at + curve.len() - 1] = 9;
    assert_eq!(Certificate::from_der(&der), Err(CertError::KeyAlgorithm));
}

#[test]
fn a_signature_has_one_der_form_only() {
    let mut raw = [0x11; 64];
    raw[0] = 0x80;
    raw[32] = 0;
    let der = signature_to_der(&raw);
    assert_eq!(signature_from_der(&der).unwrap(), raw);
    let mut long_form = std::vec![0x30, 0x81, der[1]];
    long_form.extend_from_slice(&der[2..]);
    assert!(signature_from_der(&long_form).is_err());
    assert!(signature_from_der(&[0x30, 0x06, 0x02, 0x01, 0, 0x02, 0x01, 1]).is_err());
    assert!(signature_from_der(&[0x30, 0x07, 0x02, 0x02, 0, 1, 0x02, 0x01, 1]).is_err());
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = Certificate::from_der(&bytes);
    }

    #[test]
    fn dates_survive(seconds in 0u64..253_402_300_800) {
        let mut w = Writer::new();
        time_to_der(&mut w, seconds);
        let der = w.into_vec();
        prop_assert_eq!(time_from_tlv(&Tlv::parse(&der).unwrap()), Some(seconds));
    }
}
