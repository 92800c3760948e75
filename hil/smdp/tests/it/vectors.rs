//! A recorded session of an independent implementation, under the SGP.26 test PKI: what its card
//! signed must convince this server.

use aid_rsp::cert::{Certificate, TrustAnchor};
use aid_rsp::crypto::{Crypto as _, PrivateKey, SoftwareCrypto};
use aid_rsp::es10::{
    AuthenticateServerResponse, DataObject, PendingNotification, ServerSigned1, Signed,
    TransactionId, eid_digits,
};
use aid_rsp::tlv::Tlv;
use aid_smdp::core::{
    BoundTo, Dp, Euicc, Initiated, Limits, NotCounted, Offered, Order, OrderState, Signer, Signers,
};
use aid_smdp::inventory;
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use std::sync::Arc;

/// 2026-11-01.
const NOW: u64 = 1_793_491_200;

fn shared(path: &str) -> Option<Vec<u8>> {
    aid_needs::shared_bytes(&format!("data/{path}"))
}

fn session(name: &str) -> Vec<u8> {
    shared(&format!("vectors/euicc-rsp-session/{name}")).unwrap()
}

fn signer(name: &str) -> Option<Signer> {
    let file = |kind: &str, end: &str| {
        shared(&format!("sgp26/{name}/{kind}_S_SM_{name}_ECDSA_NIST.{end}"))
    };
    Some(Signer {
        certificate: Certificate::from_der(&file("CERT", "der")?).unwrap(),
        key: PrivateKey::from_pem_or_der(&file("SK", "pem")?).unwrap(),
    })
}

#[test]
fn a_recorded_card_is_believed() {
    let Some(ci) = shared("sgp26/CertificateIssuer/CERT_CI_ECDSA_NIST.der") else {
        return;
    };
    let ci = Certificate::from_der(&ci).unwrap();
    let crypto = SoftwareCrypto::new();
    let anchor = TrustAnchor::new(ci.clone(), &crypto).unwrap();
    let signers = Signers {
        auth: signer("DPauth").unwrap(),
        binding: signer("DPpb").unwrap(),
    };
    let address = "smdp.example.com".to_owned();
    let dp = Dp::new(Arc::new(crypto), vec![ci], vec![signers], address, NOW).unwrap();

    // What the other server had sent.
    let sent = session("initiate-response.der");
    let mut sent = Tlv::parse(&sent).unwrap().children();
    let transaction_id = TransactionId::new(sent.any().unwrap().value).unwrap();
    let signed: Signed<ServerSigned1> = Signed::read(&sent.any().unwrap()).unwrap();
    let initiated = Initiated {
        transaction_id,
        server_address: signed.value().server_address.clone(),
        server_challenge: signed.value().server_challenge,
        ci_key_id: Some(anchor.key_id().to_vec()),
        signers: 0,
    };
    let response = session("auth-server-response.der");
    let AuthenticateServerResponse::Ok(ok) =
        AuthenticateServerResponse::from_slice(&response).unwrap()
    else {
        panic!("an error");
    };
    // The key is that of the CI, but the EUM certificate is older and names it otherwise.
    let refusal = dp.authenticate(&initiated, &response, NOW).unwrap_err();
    assert_eq!((refusal.subject, refusal.reason), ("8.1.2", "6.1"));
    let parse = |der: &[u8]| Certificate::from_der(der).unwrap();
    let (eum, certificate) = (parse(&ok.eum_certificate), parse(&ok.euicc_certificate));
    let crypto = SoftwareCrypto::new();
    let eid_bytes =
        TrustAnchor::verify_euicc_under(&eum, &certificate, &crypto, Some(NOW)).unwrap();
    let euicc = Euicc {
        eid: eid_digits(&eid_bytes),
        eid_bytes,
        public_key: *certificate.public_key(),
    };
    let covered = ok.euicc_signed1.bytes();
    crypto
        .verify(
            &euicc.public_key,
            &[covered],
            ok.euicc_signature1.as_bytes(),
        )
        .unwrap();
    let challenge = ok.euicc_signed1.value().server_challenge;
    assert_eq!(challenge, initiated.server_challenge);

    // Its PrepareDownloadResponse covers the other server's smdpSignature2.
    let offer = session("authenticate-response.der");
    let offer = Tlv::parse(&offer).unwrap().children().any().unwrap();
    let signature = offer.children().find(0x5F37).unwrap().unwrap();
    let offered = Offered {
        transaction_id,
        euicc: euicc.clone(),
        iccid: crate::bench::ICCID.into(),
        package: None,
        smdp_signature2: signature.raw.to_vec(),
        refused: false,
        signers: 0,
    };
    let folder = tempfile::tempdir().unwrap();
    let package = crate::bench::package(crate::bench::ICCID);
    std::fs::write(folder.path().join("p.der"), package).unwrap();
    let inventory = inventory::load(folder.path(), "smdp.example.com", Default::default()).unwrap();
    let profile = inventory.get(crate::bench::ICCID, None).unwrap();
    let mut order = Order::available(profile.iccid.clone(), "t".into(), NOW);
    order.enter(OrderState::Released, NOW);
    let prepared = session("prepare-download-response.der");
    let mut rng = UnwrapErr(SysRng);
    let prepared = dp
        .prepare(&offered, profile.protection, &prepared, &mut rng)
        .unwrap();
    let binding = order
        .bind(&offered, &prepared, &Limits::default(), NOW)
        .unwrap();
    dp.package(&offered, profile, &binding).unwrap();
    assert_eq!(order.state, OrderState::Downloaded);

    // Its installation result is genuine, but names the OID of another server.
    let pending = PendingNotification::from_slice(&session("pending-notification.der")).unwrap();
    let mut bound = BoundTo {
        eid: euicc.eid.clone(),
        public_key: euicc.public_key,
        iccid: profile.iccid.clone(),
    };
    let got = dp.notice(&pending, Some(&bound), NOW);
    assert_eq!(got, Err(NotCounted::OtherServer));
    bound.public_key = *anchor.certificate().public_key();
    let got = dp.notice(&pending, Some(&bound), NOW);
    assert!(matches!(got, Err(NotCounted::Unverified(_))));
}
