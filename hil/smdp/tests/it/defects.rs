//! Each defect of an EUM or eUICC certificate, and the codes that it is refused with (SGP.22 §5.6.3, §4.5.2.2).

use crate::bench::{ADDRESS, Bench, NOW, refused};
use crate::card::{Card, ok_response};
use aid_rsp::cert::{Certificate, signature_to_der, time_to_der};
use aid_rsp::crypto::{Crypto, KeyPair, SoftwareCrypto};
use aid_rsp::pki::{DAY, Identity};
use aid_rsp::tlv::{Tlv, Writer, universal};

const SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1D, 0x0E];
const KEY_USAGE: &[u8] = &[0x55, 0x1D, 0x0F];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1D, 0x13];
const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1D, 0x1E];
const POLICIES: &[u8] = &[0x55, 0x1D, 0x20];
const AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1D, 0x23];
/// policyConstraints: critical, and of no use here.
const UNKNOWN: &[u8] = &[0x55, 0x1D, 0x24];
/// dp-pb: a role that neither an EUM nor an eUICC has.
const WRONG_ROLE: &[u8] = &[0x67, 0x81, 0x12, 0x01, 0x02, 0x01, 0x05];

/// A certificate taken apart, to be signed again.
struct Draft {
    version: Vec<u8>,
    serial: Vec<u8>,
    issuer: Vec<u8>,
    validity: (u64, u64),
    subject: Vec<u8>,
    spki: Vec<u8>,
    extensions: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Draft {
    fn of(der: &[u8]) -> Self {
        let parsed = Certificate::from_der(der).unwrap();
        let tbs = Tlv::parse_tag(parsed.tbs(), universal::SEQUENCE).unwrap();
        let fields: Vec<_> = tbs.children().map(|f| f.unwrap().raw.to_vec()).collect();
        let [version, serial, _, issuer, _, subject, spki, extensions] =
            <[_; 8]>::try_from(fields).unwrap();
        let list = Tlv::parse_tag(&extensions, 0xA3).unwrap().value;
        let list = Tlv::parse_tag(list, universal::SEQUENCE).unwrap();
        let extensions = list.children().map(|extension| {
            let extension = extension.unwrap();
            let id = extension.children().expect(universal::OID).unwrap().value;
            (id.to_vec(), extension.raw.to_vec())
        });
        Self {
            version,
            serial,
            issuer,
            validity: (parsed.not_before(), parsed.not_after()),
            subject,
            spki,
            extensions: extensions.collect(),
        }
    }

    fn without(&mut self, id: &[u8]) {
        let before = self.extensions.len();
        self.extensions.retain(|(own, _)| own != id);
        assert_eq!(self.extensions.len(), before - 1, "it had {id:02X?}");
    }

    fn add(&mut self, id: &[u8], critical: bool, fill: impl FnOnce(&mut Writer)) {
        let mut w = Writer::new();
        w.constructed(universal::SEQUENCE, |w| {
            w.primitive(universal::OID, id);
            if critical {
                w.boolean(universal::BOOLEAN, true);
            }
            w.constructed(universal::OCTET_STRING, fill);
        });
        self.extensions.push((id.to_vec(), w.into_vec()));
    }

    fn with(&mut self, id: &[u8], fill: impl FnOnce(&mut Writer)) {
        self.without(id);
        self.add(id, true, fill);
    }

    fn wrong_role(&mut self) {
        self.with(POLICIES, |w| {
            w.constructed(universal::SEQUENCE, |w| {
                w.constructed(universal::SEQUENCE, |w| {
                    w.primitive(universal::OID, WRONG_ROLE);
                });
            });
        });
    }

    fn authority(&mut self, key_id: &[u8]) {
        self.without(AUTHORITY_KEY_ID);
        self.add(AUTHORITY_KEY_ID, false, |w| {
            w.constructed(universal::SEQUENCE, |w| {
                w.primitive(0x80, key_id);
            });
        });
    }

    fn expire(&mut self) {
        self.validity = (NOW - 20 * DAY, NOW - 10 * DAY);
    }

    /// Replaces a text that occurs in the subject by one of the same length.
    fn rename(&mut self, from: &str, to: &str) {
        assert_eq!(from.len(), to.len());
        let at = self.subject.windows(from.len());
        let at = at.clone().position(|w| w == from.as_bytes()).unwrap();
        self.subject[at..at + to.len()].copy_from_slice(to.as_bytes());
    }

    fn sign(&self, key: &KeyPair) -> Vec<u8> {
        let algorithm = [
            0x30, 0x0A, 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02,
        ];
        let mut tbs = Writer::new();
        tbs.constructed(universal::SEQUENCE, |w| {
            w.raw(&self.version).raw(&self.serial).raw(&algorithm);
            w.raw(&self.issuer);
            w.constructed(universal::SEQUENCE, |w| {
                time_to_der(w, self.validity.0);
                time_to_der(w, self.validity.1);
            });
            w.raw(&self.subject).raw(&self.spki);
            w.constructed(0xA3, |w| {
                w.constructed(universal::SEQUENCE, |w| {
                    for (_, extension) in &self.extensions {
                        w.raw(extension);
                    }
                });
            });
        });
        let signature = SoftwareCrypto::new().sign(&key.private, &[tbs.as_slice()]);
        let mut bits = vec![0];
        bits.extend_from_slice(&signature_to_der(&signature.unwrap()));
        let mut out = Writer::new();
        out.constructed(universal::SEQUENCE, |w| {
            w.raw(tbs.as_slice()).raw(&algorithm);
            w.primitive(universal::BIT_STRING, &bits);
        });
        out.into_vec()
    }
}

/// A defect, by name, and what it changes.
type Defect = (&'static str, fn(&mut Draft));

/// What may be wrong with either certificate, dates aside.
const OF_BOTH: &[Defect] = &[
    ("no authorityKeyIdentifier", |d| d.without(AUTHORITY_KEY_ID)),
    ("no policy", |d| d.without(POLICIES)),
    ("another role", Draft::wrong_role),
    ("no keyUsage", |d| d.without(KEY_USAGE)),
    ("keyUsage without a use", |d| {
        d.with(KEY_USAGE, |w| {
            w.bits(universal::BIT_STRING, 1 << 30);
        });
    }),
    ("an unknown critical extension", |d| {
        d.add(UNKNOWN, true, |w| {
            w.constructed(universal::SEQUENCE, |_| {});
        });
    }),
    ("an extension twice", |d| {
        let first = d.extensions[0].clone();
        d.extensions.push(first);
    }),
    ("another issuer", |d| {
        let end = d.issuer.len() - 1;
        d.issuer[end] ^= 1;
    }),
    ("version 1", |d| d.version = vec![0xA0, 3, 2, 1, 0]),
    ("not valid yet", |d| {
        d.validity = (NOW + DAY, NOW + 2 * DAY);
    }),
    ("a key on no curve", |d| {
        let end = d.spki.len() - 1;
        d.spki[end] ^= 1;
    }),
];

const OF_EUM: &[Defect] = &[
    ("no CA", |d| {
        d.with(BASIC_CONSTRAINTS, |w| {
            w.constructed(universal::SEQUENCE, |_| {});
        });
    }),
    ("no basicConstraints", |d| d.without(BASIC_CONSTRAINTS)),
    ("no limit of EIDs", |d| d.without(NAME_CONSTRAINTS)),
];

const OF_EUICC: &[Defect] = &[
    ("a CA", |d| {
        d.add(BASIC_CONSTRAINTS, true, |w| {
            w.constructed(universal::SEQUENCE, |w| {
                w.boolean(universal::BOOLEAN, true);
            });
        });
    }),
    ("an EID outside of the EUM's", |d| {
        d.rename("89049032", "89049033");
    }),
    ("an EID of other characters", |d| {
        d.rename("89049032", "8904903A");
    }),
    ("another organization", |d| {
        d.rename("AID Test EUM", "AID Test MUE");
    }),
    ("the key identifier of another EUM", |d| {
        d.authority(&[7; 20]);
    }),
];

/// Which certificate of the chain is defective.
#[derive(Clone, Copy)]
enum Which {
    Eum,
    Euicc,
}

/// What a card hears whose certificates are right: nobody ordered anything.
const NO_ORDER: (&str, &str) = ("8.1.1", "3.8");

/// What the SM-DP+ says to a card with this certificate, whose own signatures are right.
async fn judge(bench: &Bench, which: Which, der: Vec<u8>) -> Result<(), aid_smdp::core::Refusal> {
    let mut card = bench.card();
    *certificate(&mut card, which) = der;
    bench.authenticate(&card, None).await.map(|_| ())
}

fn certificate(card: &mut Card, which: Which) -> &mut Vec<u8> {
    match which {
        Which::Eum => &mut card.eum,
        Which::Euicc => &mut card.identity.certificate,
    }
}

#[tokio::test]
async fn each_defect_of_a_certificate_has_its_code() {
    let bench = Bench::new().await;
    let both = |of: &'static [Defect]| OF_BOTH.iter().chain(of);
    for (which, subject, issuer, defects) in [
        (Which::Eum, "8.1.2", &bench.pki.ci, both(OF_EUM)),
        (Which::Euicc, "8.1.3", &bench.pki.eum, both(OF_EUICC)),
    ] {
        let good = certificate(&mut bench.card(), which).clone();
        let signed = |change: &dyn Fn(&mut Draft), by: &Identity| {
            let mut draft = Draft::of(&good);
            change(&mut draft);
            draft.sign(&by.key)
        };
        let unchanged = judge(&bench, which, signed(&|_| (), issuer)).await;
        refused(unchanged, NO_ORDER);
        for (name, change) in defects {
            let refusal = judge(&bench, which, signed(change, issuer)).await;
            let refusal = refusal.expect_err(name);
            let codes = (refusal.subject, refusal.reason);
            assert_eq!(codes, (subject, "6.1"), "{name}: {refusal}");
            // Its time is over: that is said, whatever else is wrong with it, unless it can't be read.
            let expired = |draft: &mut Draft| {
                change(draft);
                draft.expire();
            };
            let refusal = judge(&bench, which, signed(&expired, issuer)).await;
            let refusal = refusal.expect_err(name);
            assert_eq!(refusal.subject, subject, "{name}: {refusal}");
            let readable = Certificate::from_der(&signed(&expired, issuer)).is_ok();
            let names_ci = *name != "no authorityKeyIdentifier" || matches!(which, Which::Euicc);
            let reason = if readable && names_ci { "6.3" } else { "6.1" };
            assert_eq!(refusal.reason, reason, "{name}: {refusal}");
        }
        // Signed by somebody else.
        let forged = judge(&bench, which, signed(&|_| (), &bench.pki.dp_pb)).await;
        refused(forged, (subject, "6.1"));
        // Bytes that are missing.
        for damaged in [&good[..good.len() - 1], &good[..40], &good[..0]] {
            let refusal = judge(&bench, which, damaged.to_vec()).await;
            let refusal = refusal.expect_err("damaged");
            let codes = (refusal.subject, refusal.reason);
            // Where the eUICC's takes bytes of the EUM's that follows it, that one is read as damaged.
            let expected = [(subject, "6.1"), ("8.1.2", "6.1"), ("1.6", "2.1")];
            assert!(expected.contains(&codes), "{refusal}");
        }
    }
}

#[tokio::test]
async fn the_eum_is_judged_before_the_euicc_and_its_ci_first() {
    let bench = Bench::new().await;
    let eum = certificate(&mut bench.card(), Which::Eum).clone();
    // A CI that nobody knows, even where the certificate is over.
    let mut draft = Draft::of(&eum);
    draft.authority(&[7; 20]);
    draft.expire();
    let got = judge(&bench, Which::Eum, draft.sign(&bench.pki.ci.key)).await;
    refused(got, ("8.11.1", "3.9"));
    // Both certificates are wrong.
    let mut card = bench.card();
    let mut draft = Draft::of(&card.eum);
    draft.expire();
    card.eum = draft.sign(&bench.pki.ci.key);
    let mut draft = Draft::of(&card.identity.certificate);
    draft.without(SUBJECT_KEY_ID);
    draft.wrong_role();
    draft.version = vec![0xA0, 3, 2, 1, 0];
    card.identity.certificate = draft.sign(&bench.pki.eum.key);
    refused(bench.authenticate(&card, None).await, ("8.1.2", "6.3"));

    // The CI's own certificate is over: no fault of the certificate below, which can't be verified.
    let late = NOW + 3651 * DAY;
    let mut card = bench.card();
    let mut draft = Draft::of(&card.eum);
    draft.validity.1 = late + DAY;
    card.eum = draft.sign(&bench.pki.ci.key);
    let request = card.initiate(ADDRESS);
    let ok = bench.service.initiate_authentication(&request, late);
    let ok = ok.unwrap();
    let response = ok_response(card.authenticate(&ok, None));
    let id = ok.transaction_id.as_bytes();
    let got = bench.authenticate_client(id, response, late).await;
    refused(got, ("8.1.2", "6.1"));
}
