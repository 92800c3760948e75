//! Certificates and keys from a hostile server. SGP.22 §4.5.2.
//! Structure of an input: what it is, then its bytes. Kind 0: a certificate as it is; 1: the same with
//! a valid signature of the CI (what a CI might be made to sign); 2: one with a signature of the EUM;
//! 3: keys, PEM, signatures, times; 4: a revocation list as it is; 5: one with a signature of the CI.

use super::world;
use aid_rsp::cert::{
    Certificate, RevocationList, Role, TrustAnchor, signature_from_der, signature_to_der,
    time_from_tlv, time_to_der,
};
use aid_rsp::crypto::{Curve, PrivateKey, PublicKey, pem_blocks};
use aid_rsp::pki::Identity;
use aid_rsp::tlv::{Tlv, Writer, universal};
use std::sync::OnceLock;

const ROLES: [Role; 8] = [
    Role::Ci,
    Role::Euicc,
    Role::Eum,
    Role::DpTls,
    Role::DpAuth,
    Role::DpPb,
    Role::DsTls,
    Role::DsAuth,
];

/// ecdsa-with-SHA256.
const ALGORITHM: [u8; 12] = [
    0x30, 0x0A, 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02,
];

/// The target.
pub(crate) fn run(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else {
        return;
    };
    let pki = &world().pki;
    match kind % 6 {
        0 => {
            if let Some(accepted) = judge(bytes) {
                let known = [&pki.dp_auth, &pki.dp_pb, &pki.dp_tls, &pki.eum, &pki.euicc];
                assert!(
                    known.iter().any(|i| i.certificate == accepted.as_der()),
                    "a certificate was accepted that nobody issued"
                );
            }
        }
        1 => drop(judge(&signed_by(&pki.ci, bytes))),
        2 => drop(judge(&signed_by(&pki.eum, bytes))),
        3 => keys(bytes),
        4 => revocation(bytes),
        _ => revocation(&signed_by(&pki.ci, bytes)),
    }
}

fn anchor() -> &'static TrustAnchor {
    static ANCHOR: OnceLock<TrustAnchor> = OnceLock::new();
    ANCHOR.get_or_init(|| {
        let ci = Certificate::from_der(&world().pki.ci.certificate).expect("minted");
        TrustAnchor::new(ci, &*world().crypto).expect("minted")
    })
}

/// The certificate when somebody would accept it for something.
fn judge(der: &[u8]) -> Option<Certificate> {
    let certificate = Certificate::from_der(der).ok()?;
    assert_eq!(certificate.as_der(), der);
    let crypto = &*world().crypto;
    let name = (certificate.subject(), certificate.issuer());
    for name in [name.0, name.1] {
        let _ = (
            name.common_name(),
            name.organization(),
            name.serial_number(),
        );
    }
    let _ = (
        certificate.spki(),
        certificate.serial_number(),
        certificate.registered_id(),
    );
    let _ = TrustAnchor::new(certificate.clone(), crypto);
    let minted = Certificate::from_der(&world().pki.eum.certificate).expect("minted");
    let euicc = Certificate::from_der(&world().pki.euicc.certificate).expect("minted");
    let mut accepted = TrustAnchor::find(core::slice::from_ref(anchor()), &certificate).is_ok()
        && ROLES.iter().any(|role| {
            anchor()
                .verify_leaf(&certificate, *role, crypto, None)
                .is_ok()
        });
    accepted |= anchor()
        .verify_eum(&certificate, crypto, Some(1_800_000_000))
        .is_ok();
    accepted |= anchor()
        .verify_euicc(&minted, &certificate, crypto, None)
        .is_ok();
    let _ = TrustAnchor::verify_euicc_under(&certificate, &euicc, crypto, None);
    accepted.then_some(certificate)
}

/// The certificate with another signature; as it is when it is none.
fn signed_by(issuer: &Identity, der: &[u8]) -> Vec<u8> {
    let inner = |der| Some(Tlv::parse_tag(der, universal::SEQUENCE).ok()?.children());
    let Some(Ok(Some(tbs))) = inner(der).map(|mut r| r.read()) else {
        return der.to_vec();
    };
    let signature = world().crypto.sign(&issuer.key.private, &[tbs.raw]);
    let mut value = vec![0];
    value.extend_from_slice(&signature_to_der(&signature.expect("a signature")));
    let mut w = Writer::new();
    w.constructed(universal::SEQUENCE, |w| {
        w.raw(tbs.raw).raw(&ALGORITHM);
        w.primitive(universal::BIT_STRING, &value);
    });
    w.into_vec()
}

fn revocation(der: &[u8]) {
    let Ok(tlv) = Tlv::parse_tag(der, universal::SEQUENCE) else {
        return;
    };
    if let Ok(list) = RevocationList::from_fields(tlv.value) {
        let ci = anchor().certificate();
        assert!(list.entries.len() <= tlv.value.len());
        assert!(list.part.is_none_or(|(n, total)| (1..=total).contains(&n)));
        let _ = (list.authority_key_id(), list.is_issuer(ci));
        let _ = list.verify(ci, &*world().crypto);
    }
}

fn keys(bytes: &[u8]) {
    if let Ok(key) = PublicKey::from_spki(bytes) {
        assert_eq!(PublicKey::from_spki(&key.to_spki()), Ok(key));
    }
    for curve in [Curve::NistP256, Curve::BrainpoolP256r1] {
        let _ = PublicKey::from_bytes(curve, bytes);
    }
    if let Ok(key) = PrivateKey::from_pem_or_der(bytes)
        && let Ok(public) = world().crypto.public_key(&key)
    {
        let der = key.to_pkcs8_der(&public);
        let again = PrivateKey::from_der(&der).expect("as it was written");
        assert_eq!(again.expose(), key.expose());
    }
    if let Ok(text) = core::str::from_utf8(bytes) {
        assert!(pem_blocks(text).count() <= text.len());
    }
    if let Ok(signature) = signature_from_der(bytes) {
        assert_eq!(
            signature_to_der(&signature),
            bytes,
            "a signature has one form"
        );
    }
    if let Ok(tlv) = Tlv::parse(bytes)
        && let Some(seconds) = time_from_tlv(&tlv)
    {
        let mut w = Writer::new();
        time_to_der(&mut w, seconds);
        let der = w.into_vec();
        let again = Tlv::parse(&der).expect("as it was written");
        assert_eq!(time_from_tlv(&again), Some(seconds));
    }
}
