//! Each refusal of ES9+ with its codes (SGP.22 §5.6).

use crate::bench::{ADDRESS, Bench, EID_DIGITS, ICCID, NOW, der, dp, refused};
use crate::card::ok_response;
use aid_rsp::es9::{Base64, Text};
use aid_rsp::es10::{
    AuthenticateErrorCode, AuthenticateServerResponse, DownloadErrorCode, EuiccInfo1, EuiccSigned2,
    PrepareDownloadResponse, TransactionId, Version,
};
use aid_rsp::pki::DAY;
use aid_smdp::core::{Limits, Order, OrderState, SESSION_SECONDS, TicketKey};
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;

#[tokio::test]
async fn initiate_authentication() {
    let bench = Bench::new().await;
    let card = bench.card();
    let initiate = |request| bench.service.initiate_authentication(&request, NOW);
    for address in [ADDRESS, "LOCALHOST:8443", "localhost"] {
        initiate(card.initiate(address)).unwrap();
    }
    for address in ["", "other", "localhost:1", "localhost.evil"] {
        refused(initiate(card.initiate(address)), ("8.8.1", "3.8"));
    }
    let info = |svn, verify: &[u8], sign: &[u8]| EuiccInfo1 {
        svn: Version(svn),
        ci_pkid_for_verification: vec![verify.to_vec()],
        ci_pkid_for_signing: vec![sign.to_vec()],
    };
    let own = &card.ci_key_id;
    let with = |info: EuiccInfo1| initiate(card.initiate_with(ADDRESS, &info));
    for svn in [[2, 0, 0], [2, 2, 2], [2, 4, 0]] {
        with(info(svn, own, own)).unwrap();
    }
    for svn in [[1, 0, 0], [3, 0, 0]] {
        refused(with(info(svn, own, own)), ("8.8.3", "3.1"));
    }
    refused(with(info([2, 4, 0], own, &[7; 20])), ("8.8.2", "3.1"));
    refused(with(info([2, 4, 0], &[7; 20], own)), ("8.8.4", "3.7"));

    let mut odd = card.initiate(ADDRESS);
    odd.euicc_challenge = Base64::new(vec![1; 15]).unwrap();
    refused(initiate(odd), ("1.6", "2.1"));
    // The euiccInfo1 that hung another server: any bytes must be answered.
    let whole = card.initiate(ADDRESS).euicc_info1.into_bytes();
    for cut in 0..whole.len() {
        let mut odd = card.initiate(ADDRESS);
        odd.euicc_info1 = Base64::new(whole[..cut].to_vec()).unwrap();
        refused(initiate(odd), ("1.6", "2.1"));
    }
    let mut odd = card.initiate(ADDRESS);
    odd.smdp_address = Text::new("\u{1F697}").unwrap();
    refused(initiate(odd), ("8.8.1", "3.8"));
}

// R-4.3-6: an order for one eUICC yields nothing to another that has its matchingId.
#[tokio::test]
async fn authenticate_client() {
    let bench = Bench::new().await;
    let matching_id = bench.order(Some(EID_DIGITS), None).await;
    let card = bench.card();

    // Sessions: unknown, of another, used twice, too old.
    let ok = bench.initiate(&card);
    let id = ok.transaction_id.as_bytes();
    let response = ok_response(card.authenticate(&ok, Some(&matching_id)));
    let got = bench
        .authenticate_client(&[1; 16], response.clone(), NOW)
        .await;
    refused(got, ("8.10.1", "3.9"));
    let late = NOW + SESSION_SECONDS;
    let got = bench.authenticate_client(id, response.clone(), late).await;
    refused(got, ("8.10.1", "3.9"));
    let ok = bench.initiate(&card);
    let other = bench.initiate(&card);
    let response = ok_response(card.authenticate(&ok, Some(&matching_id)));
    let got = bench
        .authenticate_client(other.transaction_id.as_bytes(), response.clone(), NOW)
        .await;
    refused(got, ("8.10.1", "3.9"));
    let id = ok.transaction_id.as_bytes();
    let got = bench.authenticate_client(id, response.clone(), NOW).await;
    got.unwrap();
    let got = bench.authenticate_client(id, response, NOW).await;
    refused(got, ("8.10.1", "3.9"));

    // MatchingIDs.
    let got = bench.authenticate(&card, Some("NO-SUCH-ORDER")).await;
    refused(got, ("8.2.6", "3.8"));
    let other = bench.other_card();
    let got = bench.authenticate(&other, Some(&matching_id)).await;
    refused(got, ("8.1.1", "3.8"));

    // What the card signed.
    let got = bench
        .authenticate_lying(&card, |s| s.server_challenge[0] ^= 1)
        .await;
    refused(got, ("8.1", "6.1"));
    let got = bench
        .authenticate_lying(&card, |s| s.server_address = "evil".into())
        .await;
    refused(got, ("8.1", "6.1"));
    let got = bench
        .authenticate_lying(&card, |s| {
            s.transaction_id = TransactionId::new(&[1; 16]).unwrap();
        })
        .await;
    refused(got, ("8.10.1", "3.9"));
    let mut impostor = bench.card();
    impostor.identity.key = other.identity.key.clone();
    let got = bench.authenticate(&impostor, Some(&matching_id)).await;
    refused(got, ("8.1", "6.1"));

    // What the card says when it refuses.
    let ok = bench.initiate(&card);
    let id = ok.transaction_id.as_bytes();
    let error = AuthenticateServerResponse::Error {
        transaction_id: TransactionId::new(id).unwrap(),
        code: AuthenticateErrorCode::InvalidSignature,
    };
    let got = bench.authenticate_client(id, der(&error), NOW).await;
    refused(got, ("8.1", "4.2"));

    // An old card.
    let mut old = bench.card();
    old.profile_version = Version([1, 0, 0]);
    let got = bench.authenticate(&old, Some(&matching_id)).await;
    refused(got, ("8.2.5", "4.3"));
}

#[tokio::test]
async fn certificates() {
    let bench = Bench::new().await;
    let matching_id = bench.order(Some(EID_DIGITS), None).await;
    let mut card = bench.card();
    let eum_end = card.eum.len() - 1;
    card.eum[eum_end] ^= 1;
    let got = bench.authenticate(&card, Some(&matching_id)).await;
    refused(got, ("8.1.2", "6.1"));

    let mut card = bench.card();
    let end = card.identity.certificate.len() - 1;
    card.identity.certificate[end] ^= 1;
    let got = bench.authenticate(&card, Some(&matching_id)).await;
    refused(got, ("8.1.3", "6.1"));

    // A server's certificate in the place of the card's, and an EUM's.
    let mut card = bench.card();
    card.identity.certificate = bench.pki.dp_auth.certificate.clone();
    let got = bench.authenticate(&card, Some(&matching_id)).await;
    refused(got, ("8.1.3", "6.1"));
    let mut card = bench.card();
    card.eum = bench.pki.ci.certificate.clone();
    assert!(bench.authenticate(&card, Some(&matching_id)).await.is_err());

    // A whole chain of another CI.
    let foreign = crate::bench::mint();
    let mut card = bench.card();
    card.eum = foreign.eum.certificate.clone();
    card.identity = foreign.euicc;
    let got = bench.authenticate(&card, Some(&matching_id)).await;
    refused(got, ("8.11.1", "3.9"));

    // Ten years on.
    let card = bench.card();
    let late = NOW + 3651 * DAY;
    let request = card.initiate(ADDRESS);
    let ok = bench
        .service
        .initiate_authentication(&request, late)
        .unwrap();
    let response = ok_response(card.authenticate(&ok, Some(&matching_id)));
    let id = ok.transaction_id.as_bytes();
    let got = bench.authenticate_client(id, response, late).await;
    refused(got, ("8.1.2", "6.3"));
}

#[tokio::test]
async fn get_bound_profile_package() {
    let bench = Bench::new().await;
    let matching_id = bench.order(Some(EID_DIGITS), None).await;
    let mut card = bench.card();
    let offer = bench.authenticate(&card, Some(&matching_id)).await.unwrap();
    let id = offer.transaction_id.as_bytes().to_vec();
    let good = card.prepare(&offer, None);

    refused(bench.bpp(&[1; 16], good.clone()).await, ("8.10.1", "3.9"));
    let mut forged = good.clone();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    refused(bench.bpp(&id, forged).await, ("8.1", "6.1"));
    let signed = |id: &[u8], otpk: Vec<u8>| EuiccSigned2 {
        transaction_id: TransactionId::new(id).unwrap(),
        euicc_otpk: otpk,
        hash_cc: None,
    };
    let otpk = card.otk.as_ref().unwrap().public.as_bytes().to_vec();
    let signature = offer.smdp_signature2.as_bytes();
    let other_session = card.prepared(signed(&[1; 16], otpk.clone()), signature);
    refused(bench.bpp(&id, other_session).await, ("8.10.1", "3.9"));
    let other_offer = card.prepared(signed(&id, otpk), &[0; 67]);
    refused(bench.bpp(&id, other_offer).await, ("8.1", "6.1"));
    // A point that is not on the curve: an invalid-curve attack must not reach the key agreement.
    let mut off_curve = card.otk.as_ref().unwrap().public.as_bytes().to_vec();
    off_curve[64] ^= 1;
    let off_curve = card.prepared(signed(&id, off_curve), signature);
    refused(bench.bpp(&id, off_curve).await, ("1.6", "2.1"));
    bench.bpp(&id, good).await.unwrap();

    let error = PrepareDownloadResponse::Error {
        transaction_id: TransactionId::new(&id).unwrap(),
        code: DownloadErrorCode::InvalidSignature,
    };
    refused(bench.bpp(&id, der(&error)).await, ("8.1", "4.2"));
}

#[tokio::test]
async fn every_altered_byte_of_the_cards_answers_is_refused() {
    let bench = Bench::new().await;
    let (dp, mut card, mut rng) = (dp(&bench.pki), bench.card(), UnwrapErr(SysRng));
    let tickets = TicketKey::random(&mut rng);
    let begun = dp.initiate(&card.initiate(ADDRESS), &tickets, &mut rng, NOW);
    let (session, ok) = begun.unwrap();
    let answer = ok_response(card.authenticate(&ok, Some("M")));
    assert_eq!(
        dp.resume(session.transaction_id, &tickets, &answer),
        session
    );
    let authenticated = dp.authenticate(&session, &answer, NOW).unwrap();
    for i in 0..answer.len() {
        let mut altered = answer.clone();
        altered[i] ^= 1 << (i % 8);
        assert!(dp.authenticate(&session, &altered, NOW).is_err(), "{i}");
        let resumed = dp.resume(session.transaction_id, &tickets, &altered);
        assert!(dp.authenticate(&resumed, &altered, NOW).is_err(), "{i}");
        assert!(dp.authenticate(&session, &answer[..i], NOW).is_err(), "{i}");
    }

    let profiles = bench.folder.path().join("profiles");
    let inventory = aid_smdp::inventory::load(&profiles, ADDRESS, Default::default()).unwrap();
    let profile = inventory.get(ICCID, None).unwrap();
    let limits = Limits::default();
    let mut order = Order::available(ICCID.into(), "t".into(), NOW);
    order.enter(OrderState::Released, NOW);
    let (offered, offer) = dp
        .offer(&authenticated, &order, profile, &limits, NOW)
        .unwrap();
    let prepared = card.prepare(&offer, None);
    for i in 0..prepared.len() {
        let mut altered = prepared.clone();
        altered[i] ^= 1 << (i % 8);
        let got = dp.prepare(&offered, profile.protection, &altered, &mut rng);
        assert!(got.is_err(), "{i}");
    }
    let prepared = dp
        .prepare(&offered, profile.protection, &prepared, &mut rng)
        .unwrap();
    order.bind(&offered, &prepared, &limits, NOW).unwrap();
}
