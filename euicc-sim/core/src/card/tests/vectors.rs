//! Given the recorded session of an independent SM-DP+, when a card of the same PKI hears it again,
//! then it believes that server as the recorded card did. The material is public and optional.
use super::host::*;
use super::world::{EID, TestRng};
use crate::card::{Card, Chain, Credentials, Identity, Options};
use crate::nvm::Memory;
use aid_rsp::cert::Certificate;
use aid_rsp::crypto::{PrivateKey, SoftwareCrypto};
use aid_rsp::es10::*;
use aid_rsp::tlv::{Tlv, Writer};
use std::boxed::Box;
use std::sync::Arc;
use std::vec::Vec;

fn shared(path: &str) -> Option<Vec<u8>> {
    aid_needs::shared_bytes(&std::format!("data/{path}"))
}

fn session(name: &str) -> Option<Vec<u8>> {
    shared(&std::format!("vectors/euicc-rsp-session/{name}"))
}

/// The card of SGP.26.
fn card() -> Option<Card<Memory>> {
    let cert = |path| shared(path).map(|der| Certificate::from_der(&der).unwrap());
    let chain = Chain {
        euicc: cert("sgp26/eUICC/CERT_EUICC_ECDSA_NIST.der")?,
        eum: cert("sgp26/EUM/CERT_EUM_ECDSA_NIST.der")?,
        key: PrivateKey::from_pem_or_der(&shared("sgp26/eUICC/SK_EUICC_ECDSA_NIST.pem")?).unwrap(),
    };
    let parts = Credentials {
        chains: std::vec![chain],
        ci: std::vec![cert("sgp26/CertificateIssuer/CERT_CI_ECDSA_NIST.der")?],
    };
    let crypto = SoftwareCrypto::new();
    let identity = Arc::new(Identity::new(EID, parts, &crypto).unwrap());
    let rng = Box::new(TestRng(9));
    let options = Options::default();
    Card::new(Memory::new(), Arc::new(crypto), rng, identity, options).ok()
}

#[test]
fn a_recorded_server_is_believed() {
    let (Some(initiated), Some(offered), Some(card)) = (
        session("initiate-response.der"),
        session("authenticate-response.der"),
        card(),
    ) else {
        return;
    };
    let mut host = Host::new();
    host.card = card;
    host.open_isdr();
    // AuthenticateServer: what the server sent, and a context of ours.
    let mut fields = Tlv::parse(&initiated).unwrap().children();
    let transaction_id = fields.any().unwrap();
    let mut w = Writer::new();
    w.constructed(0xBF38, |w| {
        w.raw(fields.rest());
        let context = CtxParams1 {
            matching_id: None,
            device_info: DeviceInfo {
                tac: [0x35, 0x29, 0x06, 0x11],
                capabilities: DeviceCapabilities::default(),
                imei: None,
            },
        };
        context.write(w);
    });
    let challenge = session("euicc-challenge.bin").unwrap().try_into().unwrap();
    host.card.session.challenge = Some(challenge);
    let answer = host.es10(&w.into_vec()).unwrap();
    let AuthenticateServerResponse::Ok(ok) =
        AuthenticateServerResponse::from_slice(&answer).unwrap()
    else {
        panic!("{answer:02X?}")
    };
    let signed = ok.euicc_signed1.value();
    assert_eq!(signed.transaction_id.as_bytes(), transaction_id.value);
    assert_eq!(
        signed.server_challenge[..],
        session("server-challenge.bin").unwrap()
    );
    // PrepareDownload: the recorded smdpSignature2 covers the signature of the recorded card.
    let recorded = session("auth-server-response.der").unwrap();
    let AuthenticateServerResponse::Ok(recorded) =
        AuthenticateServerResponse::from_slice(&recorded).unwrap()
    else {
        panic!()
    };
    let offered = Tlv::parse(&offered).unwrap().children().any().unwrap();
    let mut fields = offered.children();
    fields.any().unwrap();
    let metadata = StoreMetadataRequest::read(&fields.any().unwrap()).unwrap();
    assert_eq!(metadata.to_vec(), session("store-metadata.der").unwrap());
    let mut w = Writer::new();
    w.constructed(0xBF21, |w| {
        w.raw(fields.rest());
    });
    let request = w.into_vec();
    let refused = PrepareDownloadResponse::from_slice(&host.es10(&request).unwrap()).unwrap();
    let code = DownloadErrorCode::InvalidSignature;
    assert!(matches!(refused, PrepareDownloadResponse::Error { code: c, .. } if c == code));
    host.card.session.context.as_mut().unwrap().euicc_signature1 = recorded.euicc_signature1;
    let prepared = PrepareDownloadResponse::from_slice(&host.es10(&request).unwrap()).unwrap();
    assert!(matches!(prepared, PrepareDownloadResponse::Ok { .. }));
}
