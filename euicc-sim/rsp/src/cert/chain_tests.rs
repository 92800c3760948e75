//! Given chains of a PKI of our own, altered in one place and signed again by their issuer, then path
//! validation refuses each for its own reason. Every clone has these.
use super::*;
use crate::crypto::{Crypto, KeyPair, SoftwareCrypto};
use crate::pki::{CrlParams, DAY, EumLimit, Identity, MintParams, RspPki};
use crate::testdata::Rng;
use crate::tlv::{Tlv, Writer, universal};
use std::sync::OnceLock;
use std::vec::Vec;

const EID: [u8; 16] = [
    0x89, 0x04, 0x90, 0x32, 0x12, 0x34, 0x51, 0x23, 0x45, 0x12, 0x34, 0x56, 0x78, 0x90, 0x12, 0x35,
];
const FROM: u64 = 1_790_000_000;
const UNTIL: u64 = FROM + 3650 * DAY;

fn pki() -> &'static RspPki {
    static PKI: OnceLock<RspPki> = OnceLock::new();
    PKI.get_or_init(|| mint(EumLimit::NameConstraints))
}

fn mint(eum_limit: EumLimit) -> RspPki {
    let params = MintParams {
        eum_limit,
        ..MintParams::loopback(&EID, FROM, UNTIL)
    };
    RspPki::mint(&params, &SoftwareCrypto::new(), &mut Rng::new(11)).unwrap()
}

/// The data object with those replaced for which `change` has another one.
fn rewritten(tlv: &Tlv<'_>, change: &dyn Fn(&Tlv<'_>) -> Option<Vec<u8>>) -> Vec<u8> {
    if let Some(other) = change(tlv) {
        return other;
    }
    let constructed = matches!(
        tlv.tag,
        universal::SEQUENCE | universal::SET | 0xA0 | 0xA3 | 0xA4
    );
    if !constructed {
        return tlv.raw.to_vec();
    }
    let mut inner = Vec::new();
    for child in tlv.children() {
        inner.extend(rewritten(&child.unwrap(), change));
    }
    let mut w = Writer::new();
    w.primitive(tlv.tag, &inner);
    w.into_vec()
}

/// The certificate with a change in its TBSCertificate, signed again.
fn altered(
    der: &[u8],
    issuer: &KeyPair,
    change: &dyn Fn(&Tlv<'_>) -> Option<Vec<u8>>,
) -> Certificate {
    let whole = Tlv::parse(der).unwrap();
    let tbs = rewritten(&whole.children().next().unwrap().unwrap(), change);
    let signature = SoftwareCrypto::new()
        .sign(&issuer.private, &[&tbs])
        .unwrap();
    let mut bits = std::vec![0];
    bits.extend_from_slice(&signature_to_der(&signature));
    let mut w = Writer::new();
    w.constructed(universal::SEQUENCE, |w| {
        w.raw(&tbs).raw(&ECDSA_SHA256);
        w.primitive(universal::BIT_STRING, &bits);
    });
    Certificate::from_der(&w.into_vec()).unwrap()
}

fn parse(identity: &Identity) -> Certificate {
    Certificate::from_der(&identity.certificate).unwrap()
}

fn anchor() -> TrustAnchor {
    TrustAnchor::new(parse(&pki().ci), &SoftwareCrypto::new()).unwrap()
}

/// The value of an extension, replaced; without one it is taken away.
fn extension<'a>(
    id: &'a [u8],
    value: Option<&'a [u8]>,
) -> impl Fn(&Tlv<'_>) -> Option<Vec<u8>> + 'a {
    move |tlv| {
        let first = tlv.children().next()?.ok()?;
        if tlv.tag != universal::SEQUENCE || first.tag != universal::OID || first.value != id {
            return None;
        }
        let Some(value) = value else {
            return Some(Vec::new());
        };
        let mut w = Writer::new();
        w.constructed(universal::SEQUENCE, |w| {
            w.primitive(universal::OID, id);
            w.boolean(universal::BOOLEAN, true);
            w.primitive(universal::OCTET_STRING, value);
        });
        Some(w.into_vec())
    }
}

/// Validity between these.
fn dates(from: u64, until: u64) -> impl Fn(&Tlv<'_>) -> Option<Vec<u8>> {
    move |tlv| {
        let first = tlv.children().next()?.ok()?;
        if tlv.tag != universal::SEQUENCE || !matches!(first.tag, 0x17 | 0x18) {
            return None;
        }
        let mut w = Writer::new();
        w.constructed(universal::SEQUENCE, |w| {
            time_to_der(w, from);
            time_to_der(w, until);
        });
        Some(w.into_vec())
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Which {
    Ci,
    Eum,
    Euicc,
    Leaf,
}

#[test]
fn the_validity_of_every_certificate_of_a_chain_counts() {
    let (pki, crypto) = (pki(), SoftwareCrypto::new());
    let (from, until) = (FROM + 100 * DAY, FROM + 200 * DAY);
    for which in [Which::Ci, Which::Eum, Which::Euicc, Which::Leaf] {
        let short = dates(from, until);
        let of = |one, identity: &Identity, issuer: &KeyPair| match which == one {
            true => altered(&identity.certificate, issuer, &short),
            false => parse(identity),
        };
        let ci = of(Which::Ci, &pki.ci, &pki.ci.key);
        let anchor = TrustAnchor::new(ci, &crypto).unwrap();
        let eum = of(Which::Eum, &pki.eum, &pki.ci.key);
        let euicc = of(Which::Euicc, &pki.euicc, &pki.eum.key);
        let leaf = of(Which::Leaf, &pki.dp_pb, &pki.ci.key);
        let chain = |now| anchor.verify_euicc(&eum, &euicc, &crypto, now).map(drop);
        let alone = |now| anchor.verify_leaf(&leaf, Role::DpPb, &crypto, now);
        for (now, result) in [
            (None, None),
            (Some(from), None),
            (Some(until), None),
            (Some(from - 1), Some(false)),
            (Some(until + 1), Some(true)),
        ] {
            let judged = |got: Result<(), CertError>| match got {
                Ok(()) => None,
                Err(CertError::NotYetValid { .. }) => Some(false),
                Err(CertError::Expired { .. }) => Some(true),
                Err(CertError::CiNotValid { .. }) => now.map(|now| now > until),
                Err(other) => panic!("{which:?} {now:?}: {other}"),
            };
            let in_chain = if which == Which::Leaf { None } else { result };
            let by_itself = match which {
                Which::Ci | Which::Leaf => result,
                Which::Eum | Which::Euicc => None,
            };
            assert_eq!(judged(chain(now)), in_chain, "{which:?} {now:?}");
            assert_eq!(judged(alone(now)), by_itself, "{which:?} {now:?}");
        }
    }
}

/// nameConstraints with subtrees of organization and IIN.
fn constraints(subtrees: &[(Option<&str>, Option<&str>)], excluded: bool) -> Vec<u8> {
    let subtree = |w: &mut Writer, (organization, iin): (Option<&str>, Option<&str>)| {
        w.constructed(universal::SEQUENCE, |w| {
            w.constructed(0xA4, |w| {
                w.constructed(universal::SEQUENCE, |w| {
                    for (kind, text) in
                        [(oid::ORGANIZATION, organization), (oid::SERIAL_NUMBER, iin)]
                    {
                        let Some(text) = text else { continue };
                        w.constructed(universal::SET, |w| {
                            w.constructed(universal::SEQUENCE, |w| {
                                w.primitive(universal::OID, kind);
                                w.primitive(universal::UTF8_STRING, text.as_bytes());
                            });
                        });
                    }
                });
            });
        });
    };
    let mut w = Writer::new();
    w.constructed(universal::SEQUENCE, |w| {
        w.constructed(0xA0, |w| subtrees.iter().for_each(|s| subtree(w, *s)));
        if excluded {
            w.constructed(0xA1, |w| subtree(w, (Some("Others"), Some("89"))));
        }
    });
    w.into_vec()
}

#[test]
fn an_eum_certifies_what_its_name_constraints_say() {
    const ORG: Option<&str> = Some("AID Test EUM");
    const IIN: Option<&str> = Some("89049032");
    let (pki, crypto) = (pki(), SoftwareCrypto::new());
    let judge = |constraints: &[u8]| {
        let change = extension(oid::NAME_CONSTRAINTS, Some(constraints));
        let eum = altered(&pki.eum.certificate, &pki.ci.key, &change);
        anchor().verify_euicc(&eum, &parse(&pki.euicc), &crypto, None)
    };
    let none = Err(CertError::NameConstraints);
    let form = Err(CertError::NameConstraintsForm);
    for (subtrees, expected) in [
        (&[(ORG, IIN)][..], Ok(EID)),
        // Any organization; the whole EID; one digit.
        (&[(None, IIN)], Ok(EID)),
        (&[(ORG, Some("89049032123451234512345678901235"))], Ok(EID)),
        (&[(ORG, Some("8"))], Ok(EID)),
        // Another organization, another IIN, what is longer than an EID.
        (&[(Some("Another EUM"), IIN)], none.clone()),
        (&[(ORG, Some("89049033"))], none.clone()),
        (
            &[(ORG, Some("890490321234512345123456789012350"))],
            none.clone(),
        ),
        // Of several, one must fit in both.
        (&[(ORG, Some("89049033")), (ORG, IIN)], Ok(EID)),
        (
            &[(ORG, Some("89049033")), (Some("Another EUM"), IIN)],
            none.clone(),
        ),
        (&[], none),
        // An IIN that is missing or empty.
        (&[(ORG, None)], form.clone()),
        (&[(ORG, Some(""))], form.clone()),
    ] {
        assert_eq!(
            judge(&constraints(subtrees, false)),
            expected,
            "{subtrees:?}"
        );
    }
    // excludedSubtrees have no place here, whatever they say.
    assert_eq!(judge(&constraints(&[(ORG, IIN)], true)), form);
    // Neither has a subtree of another kind of name.
    let mut other = constraints(&[(ORG, IIN)], false);
    let at = other.iter().position(|b| *b == 0xA4).unwrap();
    other[at] = 0xA5;
    assert_eq!(judge(&other), form);
    // Without any constraint it may certify nothing.
    let eum = altered(
        &pki.eum.certificate,
        &pki.ci.key,
        &extension(oid::NAME_CONSTRAINTS, None),
    );
    assert_eq!(
        anchor().verify_eum(&eum, &crypto, None),
        Err(CertError::NameConstraintsForm)
    );
}

#[test]
fn permitted_eins_are_prefixes_of_the_eid() {
    let (pki, crypto) = (mint(EumLimit::PermittedEins), SoftwareCrypto::new());
    let anchor = TrustAnchor::new(parse(&pki.ci), &crypto).unwrap();
    let euicc = parse(&pki.euicc);
    assert_eq!(
        anchor.verify_euicc(&parse(&pki.eum), &euicc, &crypto, None),
        Ok(EID)
    );
    for (eins, fits) in [
        (&["89049032"][..], true),
        (&["89049033", "890490321"], true),
        (&["89049033"], false),
        (&[""], false),
        (&[], false),
    ] {
        let mut w = Writer::new();
        w.constructed(universal::SEQUENCE, |w| {
            for ein in eins {
                w.primitive(0x13, ein.as_bytes());
            }
        });
        let value = w.into_vec();
        let change = extension(oid::PERMITTED_EINS, Some(&value));
        let eum = altered(&pki.eum.certificate, &pki.ci.key, &change);
        let got = anchor.verify_euicc(&eum, &euicc, &crypto, None);
        let expected = if fits {
            Ok(EID)
        } else {
            Err(CertError::NameConstraints)
        };
        assert_eq!(got, expected, "{eins:?}");
    }
}

#[test]
fn a_ci_that_may_certify_no_ca_certifies_no_eum() {
    let (pki, crypto) = (pki(), SoftwareCrypto::new());
    for (length, expected) in [
        (0u8, Err(CertError::PathLength)),
        (1, Ok(EID)),
        (2, Ok(EID)),
    ] {
        let value = [0x30, 6, 0x01, 1, 0xFF, 0x02, 1, length];
        let change = extension(oid::BASIC_CONSTRAINTS, Some(&value));
        let ci = altered(&pki.ci.certificate, &pki.ci.key, &change);
        let anchor = TrustAnchor::new(ci, &crypto).unwrap();
        let (eum, euicc) = (parse(&pki.eum), parse(&pki.euicc));
        assert_eq!(anchor.verify_euicc(&eum, &euicc, &crypto, None), expected);
        // SM-DP+ certificates are no CAs.
        let leaf = parse(&pki.dp_auth);
        assert_eq!(
            anchor.verify_leaf(&leaf, Role::DpAuth, &crypto, None),
            Ok(())
        );
    }
}

#[test]
fn each_certificate_may_do_what_it_is_used_for() {
    let (pki, crypto) = (pki(), SoftwareCrypto::new());
    let anchor = anchor();
    let sign = [0x03, 2, 7, 0x80];
    let certify = [0x03, 2, 2, 0x04];
    let crl = [0x03, 2, 1, 0x02];
    let ca = [0x30, 3, 0x01, 1, 0xFF];
    let no_ca = [0x30, 0];
    let missing = Err(CertError::MissingExtension { name: "keyUsage" });
    let usage = |needed| Err(CertError::KeyUsage { needed });
    let certificates = usage("signing certificates");
    let signatures = usage("digital signatures");
    for (id, value, of_eum, of_leaf) in [
        (oid::KEY_USAGE, None, missing.clone(), missing),
        (
            oid::KEY_USAGE,
            Some(&sign[..]),
            certificates.clone(),
            Ok(()),
        ),
        (oid::KEY_USAGE, Some(&certify), Ok(()), signatures.clone()),
        (oid::KEY_USAGE, Some(&crl), certificates, signatures),
        (
            oid::BASIC_CONSTRAINTS,
            Some(&ca),
            Ok(()),
            Err(CertError::UnexpectedCa),
        ),
        (
            oid::BASIC_CONSTRAINTS,
            Some(&no_ca),
            Err(CertError::NotCa),
            Ok(()),
        ),
        (oid::BASIC_CONSTRAINTS, None, Err(CertError::NotCa), Ok(())),
    ] {
        let eum = altered(&pki.eum.certificate, &pki.ci.key, &extension(id, value));
        assert_eq!(
            anchor.verify_eum(&eum, &crypto, None),
            of_eum,
            "{id:?} {value:?}"
        );
        // A leaf has no basicConstraints that could be replaced: the CA's stand in for it.
        if id == oid::KEY_USAGE {
            let leaf = altered(&pki.dp_pb.certificate, &pki.ci.key, &extension(id, value));
            assert_eq!(
                anchor.verify_leaf(&leaf, Role::DpPb, &crypto, None),
                of_leaf
            );
            let euicc = altered(&pki.euicc.certificate, &pki.eum.key, &extension(id, value));
            let got = anchor.verify_euicc(&parse(&pki.eum), &euicc, &crypto, None);
            assert_eq!(got.map(drop), of_leaf);
        }
        let ci = altered(&pki.ci.certificate, &pki.ci.key, &extension(id, value));
        assert_eq!(TrustAnchor::new(ci, &crypto).map(drop), of_eum);
    }
}

#[test]
fn an_anchor_is_signed_by_itself_and_has_a_key_identifier() {
    let (pki, crypto) = (pki(), SoftwareCrypto::new());
    let without = altered(
        &pki.ci.certificate,
        &pki.ci.key,
        &extension(oid::SUBJECT_KEY_ID, None),
    );
    let missing = CertError::MissingExtension {
        name: "subjectKeyIdentifier",
    };
    assert_eq!(TrustAnchor::new(without, &crypto), Err(missing));
    let foreign = altered(&pki.ci.certificate, &pki.eum.key, &|_| None);
    assert!(matches!(
        TrustAnchor::new(foreign, &crypto),
        Err(CertError::Signature(_))
    ));
    // Another name in the place of the issuer, which comes first.
    let seen = core::cell::Cell::new(false);
    let renamed = altered(&pki.ci.certificate, &pki.ci.key, &|tlv| {
        let is_name = tlv.value == b"DE" && !seen.replace(true);
        is_name.then(|| std::vec![0x13, 2, b'F', b'R'])
    });
    assert_eq!(
        TrustAnchor::new(renamed, &crypto),
        Err(CertError::IssuerMismatch)
    );
}

#[test]
fn a_certificate_of_another_issuer_is_refused() {
    let (pki, crypto) = (pki(), SoftwareCrypto::new());
    let other = RspPki::mint(
        &MintParams::loopback(&EID, FROM, UNTIL),
        &crypto,
        &mut Rng::new(99),
    )
    .unwrap();
    let anchor = anchor();
    // The same names, other keys.
    let got = anchor.verify_leaf(&parse(&other.dp_pb), Role::DpPb, &crypto, None);
    assert_eq!(got, Err(CertError::KeyIdMismatch));
    let got = anchor.verify_euicc(&parse(&pki.eum), &parse(&other.euicc), &crypto, None);
    assert_eq!(got, Err(CertError::KeyIdMismatch));
    // The right key identifier, another signature.
    let forged = altered(&pki.dp_pb.certificate, &other.ci.key, &|_| None);
    let got = anchor.verify_leaf(&forged, Role::DpPb, &crypto, None);
    assert!(matches!(got, Err(CertError::Signature(_))), "{got:?}");
    // Every role but its own.
    for role in [
        Role::Ci,
        Role::Eum,
        Role::Euicc,
        Role::DpTls,
        Role::DpAuth,
        Role::DsTls,
        Role::DsAuth,
    ] {
        let got = anchor.verify_leaf(&parse(&pki.dp_pb), role, &crypto, None);
        assert_eq!(got, Err(CertError::Role { expected: role }));
    }
}

#[test]
fn a_revocation_list_is_of_the_ci_that_may_sign_one() {
    let (pki, crypto) = (pki(), SoftwareCrypto::new());
    let params = CrlParams {
        number: 1,
        base: None,
        part: None,
        this_update: FROM,
        entries: &[],
    };
    let read = |der: &[u8]| {
        RevocationList::from_fields(Tlv::parse_tag(der, universal::SEQUENCE).unwrap().value)
            .unwrap()
    };
    let list = read(&pki.ci.revocation_list(&params, &crypto).unwrap());
    let ci = parse(&pki.ci);
    assert!(list.is_issuer(&ci) && list.verify(&ci, &crypto));
    // Another name; a CI that may sign certificates only; another key.
    let eum = parse(&pki.eum);
    assert!(!list.is_issuer(&eum) && !list.verify(&eum, &crypto));
    let certify = [0x03, 2, 2, 0x04];
    let change = extension(oid::KEY_USAGE, Some(&certify));
    assert!(!list.is_issuer(&altered(&pki.ci.certificate, &pki.ci.key, &change)));
    let change = extension(oid::KEY_USAGE, None);
    assert!(!list.is_issuer(&altered(&pki.ci.certificate, &pki.ci.key, &change)));
    let both = [0x03, 2, 1, 0x06];
    let change = extension(oid::KEY_USAGE, Some(&both));
    assert!(list.is_issuer(&altered(&pki.ci.certificate, &pki.ci.key, &change)));
    let renamed = altered(&pki.ci.certificate, &pki.ci.key, &|tlv| {
        (tlv.value == b"DE").then(|| std::vec![0x13, 2, b'F', b'R'])
    });
    assert!(!list.is_issuer(&renamed));
}

/// Seconds by GNU date: `date -u -d '2024-02-29 12:34:56' +%s`.
#[test]
fn dates_are_those_of_the_calendar() {
    for (text, seconds) in [
        ("700101000000Z", Some(0)),
        ("991231235959Z", Some(946_684_799)),
        ("000101000000Z", Some(946_684_800)),
        ("000229000000Z", Some(951_782_400)),
        ("000301000000Z", Some(951_868_800)),
        ("240229123456Z", Some(1_709_210_096)),
        ("491231235959Z", Some(2_524_607_999)),
        ("20500101000000Z", Some(2_524_608_000)),
        ("20991231235959Z", Some(4_102_444_799)),
        ("21000228000000Z", Some(4_107_456_000)),
        ("21000301000000Z", Some(4_107_542_400)),
        ("20000229000000Z", Some(951_782_400)),
        ("99991231235959Z", Some(253_402_300_799)),
        // Before 1970, by two digits and by four.
        ("691231235959Z", None),
        ("500101000000Z", None),
        ("19691231235959Z", None),
        // No such day, month, hour, minute, second.
        ("230229000000Z", None),
        ("21000229000000Z", None),
        ("240230000000Z", None),
        ("240431000000Z", None),
        ("240632000000Z", None),
        ("240931000000Z", None),
        ("241131000000Z", None),
        ("240100000000Z", None),
        ("240001000000Z", None),
        ("241301000000Z", None),
        ("240101240000Z", None),
        ("240101006000Z", None),
        ("240101000060Z", None),
        // Other forms.
        ("2401010000Z", None),
        ("240101000000+0100", None),
        ("24010100000 Z", None),
        ("240101000000z", None),
        ("20240101000000.5Z", None),
        ("", None),
    ] {
        let tag = if text.len() > 13 && !text.contains('+') {
            0x18
        } else {
            0x17
        };
        let mut w = Writer::new();
        w.primitive(tag, text.as_bytes());
        let der = w.into_vec();
        let tlv = Tlv::parse(&der).unwrap();
        assert_eq!(time_from_tlv(&tlv), seconds, "{text}");
        if let Some(seconds) = seconds {
            let mut w = Writer::new();
            time_to_der(&mut w, seconds);
            let again = w.into_vec();
            let again = Tlv::parse(&again).unwrap();
            // UTCTime until 2049 (RFC 5280 §4.1.2.5).
            let form = if seconds < 2_524_608_000 { 0x17 } else { 0x18 };
            assert_eq!(again.tag, form, "{text}");
            assert_eq!(time_from_tlv(&again), Some(seconds), "{text}");
            if tag == form {
                assert_eq!(again.value, text.as_bytes());
            }
        }
    }
    // Each form under the other's tag, and under none.
    for (tag, text) in [
        (0x18, "240101000000Z"),
        (0x17, "20240101000000Z"),
        (0x04, "240101000000Z"),
    ] {
        let mut w = Writer::new();
        w.primitive(tag, text.as_bytes());
        let der = w.into_vec();
        assert_eq!(time_from_tlv(&Tlv::parse(&der).unwrap()), None);
    }
}
