//! Downloads that work, and those that are repeated or cancelled.

use crate::bench::{Bench, EID_DIGITS, ICCID, NOW, mint, mint_on, refused};
use crate::card::{DP_OID, without_signature};
use aid_rsp::crypto::Curve;
use aid_rsp::es9::{Base64, CancelSessionRequest, Hex};
use aid_rsp::es10::{CancelSessionReason, Signed, TransactionId};
use aid_rsp::tlv::{Tlv, Writer, universal};
use aid_smdp::core::{MAX_ATTEMPTS, OrderState, Protection};

#[tokio::test]
async fn a_profile_arrives_as_it_was_ordered() {
    let bench = Bench::new().await;
    let matching_id = bench.order(Some(EID_DIGITS), None).await;
    let mut card = bench.card();
    let (_, bpp) = bench.download(&mut card, &matching_id).await;
    let opened = card.open(&bpp, &bench.pki.dp_pb.key.public);
    assert_eq!(opened.package, bench.package);
    assert_eq!(opened.metadata.notifications[0].address, "localhost:8443");
    let order = bench.stored().await;
    assert_eq!(order.state, OrderState::Downloaded);
    assert_eq!(order.attempts, 1);
}

// R-4.3-6
#[tokio::test]
async fn an_order_without_eid_belongs_to_the_first_card() {
    let bench = Bench::new().await;
    let matching_id = bench.order(None, None).await;
    let mut card = bench.card();
    let other = bench.other_card();
    // Both are offered the profile; who comes first with a key gets it.
    let offer = bench
        .authenticate(&other, Some(&matching_id))
        .await
        .unwrap();
    bench.download(&mut card, &matching_id).await;
    assert_eq!(bench.stored().await.eid.as_deref(), Some(EID_DIGITS));
    let mut other = other;
    let prepared = other.prepare(&offer, None);
    let got = bench.bpp(offer.transaction_id.as_bytes(), prepared).await;
    refused(got, ("8.1.1", "3.8"));
    let got = bench.authenticate(&other, Some(&matching_id)).await;
    refused(got, ("8.1.1", "3.8"));
}

// SGP.22 §3.1.1.2: an order is found without a MatchingID only if it was confirmed with an empty one.
#[tokio::test]
async fn without_matching_id_the_eid_finds_a_default_order() {
    let bench = Bench::new().await;
    let card = bench.card();
    let matching_id = bench.order(Some(EID_DIGITS), None).await;
    for without in [None, Some("")] {
        let got = bench.authenticate(&card, without).await;
        refused(got, ("8.1.1", "3.8"));
    }
    bench.authenticate(&card, Some(&matching_id)).await.unwrap();
    bench.cancel().await;
    bench.default_order().await;
    for matching_id in [None, Some("")] {
        bench.authenticate(&card, matching_id).await.unwrap();
        let other = bench.other_card();
        let got = bench.authenticate(&other, matching_id).await;
        refused(got, ("8.1.1", "3.8"));
    }
}

#[tokio::test]
async fn the_same_one_time_key_gets_the_same_package() {
    let bench = Bench::new().await;
    let matching_id = bench.order(Some(EID_DIGITS), None).await;
    let mut card = bench.card();
    let open = |card: &crate::card::Card, bpp: &[u8]| {
        card.open(bpp, &bench.pki.dp_pb.key.public).after_initialise
    };
    let (_, first) = bench.download(&mut card, &matching_id).await;
    let first = open(&card, &first);
    let (_, again) = bench.download(&mut card, &matching_id).await;
    assert_eq!(open(&card, &again), first);
    // A card that has lost its key gets a package for a new one.
    card.otk = None;
    let (_, new) = bench.download(&mut card, &matching_id).await;
    assert_ne!(open(&card, &new), first);
}

#[tokio::test]
async fn a_lost_answer_can_be_fetched_again() {
    let bench = Bench::new().await;
    let matching_id = bench.order(Some(EID_DIGITS), None).await;
    let mut card = bench.card();
    let offer = bench.authenticate(&card, Some(&matching_id)).await.unwrap();
    let prepared = card.prepare(&offer, None);
    let id = offer.transaction_id.as_bytes();
    let first = bench.bpp(id, prepared.clone()).await.unwrap();
    let again = bench.bpp(id, prepared).await.unwrap();
    let [first, again] = [first, again].map(|ok| ok.bound_profile_package.into_bytes());
    assert_eq!(without_signature(&again), without_signature(&first));
    for bpp in [first, again] {
        let opened = card.open(&bpp, &bench.pki.dp_pb.key.public);
        assert_eq!(opened.package, bench.package);
    }
}

#[tokio::test]
async fn downloads_are_limited() {
    let bench = Bench::new().await;
    let matching_id = bench.order(Some(EID_DIGITS), None).await;
    let mut card = bench.card();
    for _ in 0..MAX_ATTEMPTS {
        bench.download(&mut card, &matching_id).await;
    }
    let got = bench.authenticate(&card, Some(&matching_id)).await;
    refused(got, ("8.8.5", "6.4"));
}

#[tokio::test]
async fn a_confirmation_code_is_asked_for_and_counted() {
    let bench = Bench::new().await;
    let matching_id = bench.order(Some(EID_DIGITS), Some("12345678")).await;
    let mut card = bench.card();
    let offer = bench.authenticate(&card, Some(&matching_id)).await.unwrap();
    let id = offer.transaction_id.as_bytes().to_vec();
    let none = card.prepare(&offer, None);
    refused(bench.bpp(&id, none).await, ("8.2.7", "2.2"));
    let wrong = card.prepare(&offer, Some("1234567"));
    refused(bench.bpp(&id, wrong.clone()).await, ("8.2.7", "3.8"));
    let right = card.prepare(&offer, Some("12345678"));
    bench.bpp(&id, right.clone()).await.unwrap();
    refused(bench.bpp(&id, wrong.clone()).await, ("8.2.7", "3.8"));
    refused(bench.bpp(&id, wrong).await, ("8.2.7", "6.4"));
    assert_eq!(bench.stored().await.state, OrderState::Error);
    assert!(bench.bpp(&id, right).await.is_err());
}

#[tokio::test]
async fn an_empty_hash_of_a_confirmation_code_is_none() {
    for (code, codes) in [(None, None), (Some("1234"), Some(("8.2.7", "2.2")))] {
        let bench = Bench::new().await;
        let matching_id = bench.order(Some(EID_DIGITS), code).await;
        let mut card = bench.card();
        let offer = bench.authenticate(&card, Some(&matching_id)).await.unwrap();
        let id = offer.transaction_id.as_bytes().to_vec();
        card.prepare(&offer, None);
        let otpk = card.otk.as_ref().unwrap().public.as_bytes().to_vec();
        let prepared = |hash: &[u8]| {
            let mut w = Writer::new();
            w.constructed(universal::SEQUENCE, |w| {
                w.primitive(0x80, &id).primitive(0x5F49, &otpk);
                w.primitive(universal::OCTET_STRING, hash);
            });
            let signed = Tlv::parse(w.as_slice()).unwrap();
            // A length that no hash has can't be read by our own types: signed as it is.
            let signed = Signed::read(&signed).ok()?;
            Some(card.prepared_signed(signed, offer.smdp_signature2.as_bytes()))
        };
        for length in [1, 31, 33] {
            assert_eq!(prepared(&vec![7; length]), None, "{length}");
        }
        let got = bench.bpp(&id, prepared(&[]).unwrap()).await;
        match codes {
            None => drop(got.unwrap()),
            Some(codes) => refused(got, codes),
        }
    }
}

#[tokio::test]
async fn the_card_can_end_a_session() {
    for (reason, state) in [
        (CancelSessionReason::Postponed, OrderState::Released),
        (CancelSessionReason::Timeout, OrderState::Released),
        (CancelSessionReason::EndUserRejection, OrderState::Error),
        (
            CancelSessionReason::LoadBppExecutionError,
            OrderState::Error,
        ),
    ] {
        let bench = Bench::new().await;
        let matching_id = bench.order(Some(EID_DIGITS), None).await;
        let mut card = bench.card();
        let (id, _) = bench.download(&mut card, &matching_id).await;
        let cancel = |der: Vec<u8>| CancelSessionRequest {
            transaction_id: Hex::new(id.as_bytes()).unwrap(),
            cancel_session_response: Base64::new(der).unwrap(),
        };
        let service = &bench.service;
        let other_dp = cancel(card.cancel(id, &[0x88, 0x37, 0x0B], reason));
        let got = service.cancel_session(&other_dp, NOW).await;
        refused(got, ("8.8", "3.10"));
        let other_id = TransactionId::new(&[1; 16]).unwrap();
        let other_session = cancel(card.cancel(other_id, &DP_OID, reason));
        let got = service.cancel_session(&other_session, NOW).await;
        refused(got, ("8.10.1", "3.9"));
        let mut forged = card.cancel(id, &DP_OID, reason);
        let last = forged.len() - 1;
        forged[last] ^= 1;
        let got = service.cancel_session(&cancel(forged), NOW).await;
        refused(got, ("8.1", "6.1"));

        let real = cancel(card.cancel(id, &DP_OID, reason));
        service.cancel_session(&real, NOW).await.unwrap();
        assert_eq!(bench.stored().await.state, state, "{reason}");
        let got = service.cancel_session(&real, NOW).await;
        refused(got, ("8.10.1", "3.9"));
    }
}

#[tokio::test]
async fn a_mistyped_confirmation_code_leaves_the_order_open() {
    let bench = Bench::new().await;
    let matching_id = bench.order(Some(EID_DIGITS), Some("1234")).await;
    let mut card = bench.card();
    let offer = bench.authenticate(&card, Some(&matching_id)).await.unwrap();
    let id = offer.transaction_id.as_bytes();
    let wrong = card.prepare(&offer, Some("4321"));
    refused(bench.bpp(id, wrong).await, ("8.2.7", "3.8"));
    // As lpac does.
    let reason = CancelSessionReason::EndUserRejection;
    let der = card.cancel(TransactionId::new(id).unwrap(), &DP_OID, reason);
    let cancel = CancelSessionRequest {
        transaction_id: Hex::new(id).unwrap(),
        cancel_session_response: Base64::new(der).unwrap(),
    };
    bench.service.cancel_session(&cancel, NOW).await.unwrap();
    let offer = bench.authenticate(&card, Some(&matching_id)).await.unwrap();
    let right = card.prepare(&offer, Some("1234"));
    let got = bench.bpp(offer.transaction_id.as_bytes(), right).await;
    got.unwrap();
}

#[tokio::test]
async fn orders_survive_a_restart() {
    let bench = Bench::new().await;
    let matching_id = bench.order(Some(EID_DIGITS), None).await;
    let store = aid_smdp::store::Store::open(&bench.folder.path().join("smdp.db"))
        .await
        .unwrap();
    let found = store.order_matching(&matching_id).await.unwrap().unwrap();
    assert_eq!(found.iccid, ICCID);
    assert_eq!(found.state, OrderState::Released);
}

#[tokio::test]
async fn a_profile_may_travel_under_keys_of_its_own() {
    let bench = Bench::with(mint(), &[], Protection::OwnKeys).await;
    let matching_id = bench.order(Some(EID_DIGITS), None).await;
    let mut card = bench.card();
    let key = bench.pki.dp_pb.key.public;
    let (_, bpp) = bench.download(&mut card, &matching_id).await;
    let opened = card.open(&bpp, &key);
    assert!(opened.own_keys);
    assert_eq!(opened.package, bench.package);
    // Asked again for the same one-time key, the server sends the same.
    let (_, again) = bench.download(&mut card, &matching_id).await;
    assert_eq!(
        card.open(&again, &key).after_initialise,
        opened.after_initialise
    );
}

#[tokio::test]
async fn a_server_of_several_cis_uses_the_one_that_the_card_knows() {
    let (nist, brainpool) = (mint(), mint_on(Curve::BrainpoolP256r1));
    for (pki, other) in [(brainpool.clone(), nist.clone()), (nist, brainpool)] {
        let bench = Bench::with(pki, &[&other], Protection::SessionKeys).await;
        let matching_id = bench.order(Some(EID_DIGITS), None).await;
        let mut card = bench.card();
        let (id, bpp) = bench.download(&mut card, &matching_id).await;
        let opened = card.open(&bpp, &bench.pki.dp_pb.key.public);
        assert_eq!(opened.package, bench.package);
        assert!(!opened.own_keys);
        // The card's report counts, and its key is remembered with its curve.
        let iccid = opened.metadata.iccid;
        bench.notify(card.installed(id, 0, iccid)).await.unwrap();
        assert_eq!(bench.stored().await.state, OrderState::Installed);
    }
}
