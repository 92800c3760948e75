//! Given certificates and a key, when they make a card, then they belong together.
use super::host::*;
use crate::card::{Chain, Credentials, Identity, IdentityError};
use aid_rsp::cert::Certificate;
use aid_rsp::crypto::{PrivateKey, SoftwareCrypto};
use std::vec::Vec;

fn own() -> Credentials {
    let pki = &pki().0;
    let cert = |i: &aid_rsp::pki::Identity| Certificate::from_der(&i.certificate).unwrap();
    let chain = Chain {
        euicc: cert(&pki.euicc),
        eum: cert(&pki.eum),
        key: pki.euicc.key.private.clone(),
    };
    Credentials {
        chains: std::vec![chain],
        ci: std::vec![cert(&pki.ci)],
    }
}

#[test]
fn parts_that_do_not_belong_together_are_refused() {
    let refused = |eid, parts| Identity::new(eid, parts, &SoftwareCrypto::new()).unwrap_err();
    let mut eid = EID;
    eid[15] = 0x36;
    let text = std::format!("{}", refused(eid, own()));
    assert!(
        text.contains("12345678901235") && text.contains("12345678901236"),
        "{text}"
    );
    let mut parts = own();
    parts.chains[0].key = pki().0.eum.key.private.clone();
    assert_eq!(refused(EID, parts), IdentityError::Key);
    let mut parts = own();
    parts.chains.clear();
    assert_eq!(refused(EID, parts), IdentityError::NoChain);
    let mut parts = own();
    parts.chains.push(parts.chains[0].clone());
    assert!(matches!(refused(EID, parts), IdentityError::SameCi { .. }));
    let mut parts = own();
    parts.ci.clear();
    assert_eq!(refused(EID, parts), IdentityError::NoCi);
    let mut parts = own();
    parts.ci = std::vec![parts.chains[0].eum.clone()];
    assert!(matches!(
        refused(EID, parts),
        IdentityError::Ci { number: 1, .. }
    ));
    let mut parts = own();
    parts.chains[0].eum = parts.ci[0].clone();
    assert!(matches!(refused(EID, parts), IdentityError::Chain(_)));
}

#[test]
fn the_test_certificates_of_sgp_26_make_a_card() {
    let read = |name: &str| aid_needs::shared_bytes(&std::format!("data/sgp26/{name}"));
    let sets = [
        [
            "CertificateIssuer/CERT_CI_ECDSA_NIST.der",
            "EUM/CERT_EUM_ECDSA_NIST.der",
            "eUICC/CERT_EUICC_ECDSA_NIST.der",
            "eUICC/SK_EUICC_ECDSA_NIST.pem",
        ],
        [
            "CertificateIssuer/CERT_CI_ECDSA_BRP.der",
            "EUM/CERT_EUM_ECDSA_BRP.der",
            "eUICC/CERT_EUICC_ECDSA_BRP.der",
            "eUICC/SK_EUICC_ECDSA_BRP.pem",
        ],
        [
            "reissued-v3.0.2/CERT_CI_SIG_NIST.der",
            "reissued-v3.0.2/CERT_EUM_SIG_NIST.der",
            "reissued-v3.0.2/CERT_EUICC_SIG_NIST.der",
            "reissued-v3.0.2/SK_EUICC_SIG_NIST.pem",
        ],
    ];
    for set in sets {
        let files: Vec<Vec<u8>> = set.iter().filter_map(|name| read(name)).collect();
        let [ci, eum, euicc, key] = &files[..] else {
            return;
        };
        let cert = |der: &[u8]| Certificate::from_der(der).unwrap();
        let chain = Chain {
            euicc: cert(euicc),
            eum: cert(eum),
            key: PrivateKey::from_pem_or_der(key).unwrap(),
        };
        let parts = Credentials {
            chains: std::vec![chain],
            ci: std::vec![cert(ci)],
        };
        let identity =
            Identity::new(EID, parts, &SoftwareCrypto::new()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(identity.eid(), &EID);
    }
}
