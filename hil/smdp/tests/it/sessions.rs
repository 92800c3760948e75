//! Sessions outlive a restart, and no stranger ends another's.

use crate::bench::{Bench, EID_DIGITS, ICCID, ICCID2, NOW, OPERATOR, dp, refused};
use crate::card::{Card, DP_OID, ok_response, without_signature};
use aid_rsp::es2::{CancelOrderRequest, FinalProfileStatus};
use aid_rsp::es9::{Base64, CancelSessionRequest, GetBoundProfilePackageRequest, Hex, Text};
use aid_rsp::es10::{CancelSessionReason, NotificationEvent, TransactionId};
use aid_smdp::core::{
    Limits, OrderState, Protection, SESSION_SECONDS, SESSIONS_PER_EUICC, StoredSession,
};
use aid_smdp::inventory::load;
use aid_smdp::service::Service;
use aid_smdp::store::{Pruned, Retention, Store};
use std::sync::Arc;

const DAY: u64 = 86_400;

/// The same server after a restart: another process on the same files.
async fn restarted(mut bench: Bench) -> Bench {
    let profiles = bench.folder.path().join("profiles");
    let inventory = load(&profiles, crate::bench::ADDRESS, Protection::SessionKeys).unwrap();
    let store = Store::open(&bench.folder.path().join("smdp.db"))
        .await
        .unwrap();
    let limits = Limits::default();
    let service = Service::start(dp(&bench.pki), inventory, store, limits, NOW).await;
    bench.service = Arc::new(service.unwrap());
    bench
}

#[tokio::test]
async fn a_session_goes_on_after_a_restart_at_every_step() {
    let bench = Bench::new().await;
    let matching_id = bench.order(Some(EID_DIGITS), Some("1234")).await;
    let mut card = bench.card();
    let ok = bench.initiate(&card);
    let bench = restarted(bench).await;
    let id = ok.transaction_id.as_bytes().to_vec();
    let response = ok_response(card.authenticate(&ok, Some(&matching_id)));
    let offer = bench.authenticate_client(&id, response.clone(), NOW).await;
    let offer = offer.unwrap();
    let bench = restarted(bench).await;
    // It has begun, and does not begin again.
    refused(
        bench.authenticate_client(&id, response, NOW).await,
        ("8.10.1", "3.9"),
    );
    let wrong = card.prepare(&offer, Some("1235"));
    refused(bench.bpp(&id, wrong).await, ("8.2.7", "3.8"));
    let bench = restarted(bench).await;
    let right = card.prepare(&offer, Some("1234"));
    let first = bench.bpp(&id, right.clone()).await.unwrap();
    let bench = restarted(bench).await;
    let again = bench.bpp(&id, right).await.unwrap();
    let [first, again] =
        [first, again].map(|ok| without_signature(&ok.bound_profile_package.into_bytes()));
    assert_eq!(first, again, "the answer was lost, the package is the same");
    let bench = restarted(bench).await;
    let session = TransactionId::new(&id).unwrap();
    let cancel = CancelSessionRequest {
        transaction_id: Hex::new(&id).unwrap(),
        cancel_session_response: Base64::new(card.cancel(
            session,
            &DP_OID,
            CancelSessionReason::Postponed,
        ))
        .unwrap(),
    };
    bench.service.cancel_session(&cancel, NOW).await.unwrap();
    let bench = restarted(bench).await;
    refused(
        bench.service.cancel_session(&cancel, NOW).await,
        ("8.10.1", "3.9"),
    );
    assert_eq!(bench.stored().await.state, OrderState::Released);
}

/// A stranger who begins sessions without end takes nothing away: there is nothing to fill.
#[tokio::test]
async fn a_stranger_ends_no_session_of_a_card() {
    let bench = Bench::new().await;
    let matching_id = bench.order(Some(EID_DIGITS), None).await;
    let mut card = bench.card();
    let begun = bench.initiate(&card);
    let offer = bench.authenticate(&card, Some(&matching_id)).await.unwrap();
    let request = card.initiate(crate::bench::ADDRESS);
    let before = bench.service.store().count_sessions().await.unwrap();
    for n in 0..12_000 {
        // Whatever the stranger's clock makes of it, too.
        let now = NOW + n % SESSION_SECONDS;
        bench
            .service
            .initiate_authentication(&request, now)
            .unwrap();
    }
    // Forged ones end nothing either, whether they name another's session or one of their own.
    for id in [begun.transaction_id.as_bytes(), &[7; 16]] {
        let mut forged = card.authenticate(&begun, Some(&matching_id));
        forged.euicc_signature1 = aid_rsp::es10::Signature::from([1; 64]);
        let got = bench
            .authenticate_client(id, ok_response(forged), NOW)
            .await;
        assert!(got.is_err());
    }
    let after = bench.service.store().count_sessions().await.unwrap();
    assert_eq!(before, after, "a stranger leaves nothing behind");
    let prepared = card.prepare(&offer, None);
    let id = offer.transaction_id.as_bytes().to_vec();
    bench.bpp(&id, prepared).await.unwrap();
    let response = ok_response(card.authenticate(&begun, Some(&matching_id)));
    let id = begun.transaction_id.as_bytes();
    bench.authenticate_client(id, response, NOW).await.unwrap();
}

/// A real card has a few sessions; one that begins more ends its own oldest, and nobody else's.
#[tokio::test]
async fn a_card_has_its_own_share_of_sessions() {
    let bench = Bench::new().await;
    let matching_id = bench.order(None, None).await;
    let (mut victim, greedy) = (bench.card(), bench.other_card());
    let offer = bench
        .authenticate(&victim, Some(&matching_id))
        .await
        .unwrap();
    let mut begun = Vec::new();
    for n in 0..50 {
        let request = greedy.initiate(crate::bench::ADDRESS);
        let ok = bench
            .service
            .initiate_authentication(&request, NOW + n)
            .unwrap();
        let response = ok_response(greedy.authenticate(&ok, Some(&matching_id)));
        let id = ok.transaction_id.as_bytes();
        let got = bench.authenticate_client(id, response, NOW + n).await;
        begun.push(got.unwrap());
    }
    let mut live = 0;
    for offer in &begun {
        let mut greedy = Card::new(&bench.pki, greedy.eid, greedy.identity.clone());
        let mut prepared = greedy.prepare(offer, None);
        // Not signed by the card: a live session says so, one that is over is unknown.
        let last = prepared.len() - 1;
        prepared[last] ^= 1;
        let refusal = bench
            .bpp(offer.transaction_id.as_bytes(), prepared)
            .await
            .unwrap_err();
        live += usize::from(refusal.subject != "8.10.1");
    }
    assert_eq!(live, SESSIONS_PER_EUICC);
    let prepared = victim.prepare(&offer, None);
    bench
        .bpp(offer.transaction_id.as_bytes(), prepared)
        .await
        .unwrap();
}

/// LPAs say "the user rejected" where the code was missing or mistyped; the order is open for another try. A rejection
/// of a profile without a code ends it, and so does any once the package was given out (SGP.22 §5.6.5).
#[tokio::test]
async fn a_missing_code_is_no_rejection() {
    for (code, bound, reason, state) in [
        (
            Some("1234"),
            false,
            CancelSessionReason::EndUserRejection,
            OrderState::Released,
        ),
        (
            Some("1234"),
            false,
            CancelSessionReason::UndefinedReason,
            OrderState::Released,
        ),
        (
            Some("1234"),
            false,
            CancelSessionReason::PprNotAllowed,
            OrderState::Error,
        ),
        (
            Some("1234"),
            true,
            CancelSessionReason::EndUserRejection,
            OrderState::Error,
        ),
        (
            None,
            false,
            CancelSessionReason::EndUserRejection,
            OrderState::Error,
        ),
    ] {
        let bench = Bench::new().await;
        let matching_id = bench.order(Some(EID_DIGITS), code).await;
        let mut card = bench.card();
        let offer = bench.authenticate(&card, Some(&matching_id)).await.unwrap();
        let id = offer.transaction_id.as_bytes().to_vec();
        if bound {
            let prepared = card.prepare(&offer, code);
            bench.bpp(&id, prepared).await.unwrap();
        }
        let session = TransactionId::new(&id).unwrap();
        let cancel = CancelSessionRequest {
            transaction_id: Hex::new(&id).unwrap(),
            cancel_session_response: Base64::new(card.cancel(session, &DP_OID, reason)).unwrap(),
        };
        bench.service.cancel_session(&cancel, NOW).await.unwrap();
        assert_eq!(
            bench.stored().await.state,
            state,
            "{code:?} {bound} {reason}"
        );
    }
}

#[tokio::test]
async fn what_is_over_is_removed_in_time() {
    let limits = Limits {
        expire_after_days: Some(1),
        ..Limits::default()
    };
    let bench = Bench::with_limits(limits).await;
    let store = bench.service.store();
    let retention = Retention {
        orders_days: 10,
        bindings_days: 20,
        notifications_days: 20,
    };
    let at = |days: u64| bench.service.prune(retention, NOW + days * DAY);
    let mut card = bench.card();
    let swapped = [0x98, 0x94, 0, 0, 0, 0, 0, 0, 0x10, 0xF8];

    // An order that nobody took: its profile is available again.
    bench.order(None, None).await;
    assert_eq!(at(10).await.unwrap(), Pruned::default());
    assert_eq!(at(11).await.unwrap().orders, 1);
    assert_eq!(bench.stored().await.state, OrderState::Available);

    // One that a card was given and never reported is the operator's to decide; its binding stays as long as it waits.
    let matching_id = bench.order(None, None).await;
    let (session, _) = bench.download(&mut card, &matching_id).await;
    assert_eq!(at(0).await.unwrap(), Pruned::default());
    let pruned = at(11).await.unwrap();
    assert_eq!((pruned.orders, pruned.sessions, pruned.bindings), (1, 1, 0));
    assert_eq!(bench.stored().await.state, OrderState::Error);
    assert_eq!(at(19).await.unwrap(), Pruned::default());
    bench.cancel().await;

    // A life to its end; then its file goes.
    let matching_id = bench.order(None, None).await;
    let (second, _) = bench.download(&mut card, &matching_id).await;
    bench
        .notify(card.installed(second, 1, swapped))
        .await
        .unwrap();
    let deleted = card.notify(2, NotificationEvent::Delete, swapped);
    bench.notify(deleted).await.unwrap();
    assert_eq!(bench.stored().await.state, OrderState::Deleted);
    let pruned = at(20).await.unwrap();
    assert_eq!((pruned.bindings, pruned.notifications), (2, 2));
    assert!(store.bound_to(&session).await.unwrap().is_none());
    let profiles = bench.folder.path().join("profiles");
    std::fs::remove_file(profiles.join(format!("{ICCID}.der"))).unwrap();
    let inventory = load(&profiles, crate::bench::ADDRESS, Protection::SessionKeys).unwrap();
    // It is kept for ten days from when the file went, not from when the order was over.
    bench
        .service
        .renew(inventory, NOW + 20 * DAY)
        .await
        .unwrap();
    assert_eq!(at(29).await.unwrap().orders, 0);
    assert!(store.order(ICCID).await.unwrap().is_some());
    assert_eq!(at(30).await.unwrap().orders, 1);
    assert!(store.order(ICCID).await.unwrap().is_none());
}

/// A folder that is not mounted, or has files that can't be read, says nothing about what is gone.
#[tokio::test]
async fn no_profile_is_forgotten_while_the_inventory_is_empty_or_broken() {
    let bench = Bench::new().await;
    let retention = Retention {
        orders_days: 10,
        ..Retention::default()
    };
    let at = |days: u64| bench.service.prune(retention, NOW + days * DAY);
    let profiles = bench.folder.path().join("profiles");
    let reread = async |days: u64| {
        let inventory = load(&profiles, crate::bench::ADDRESS, Protection::SessionKeys).unwrap();
        let now = NOW + days * DAY;
        bench.service.renew(inventory, now).await.unwrap();
    };
    let file = |iccid: &str| profiles.join(format!("{iccid}.der"));
    for iccid in [ICCID, ICCID2] {
        std::fs::remove_file(file(iccid)).unwrap();
    }
    reread(1).await;
    assert_eq!(at(400).await.unwrap(), Pruned::default(), "empty");
    std::fs::write(file(ICCID2), crate::bench::package(ICCID2)).unwrap();
    std::fs::write(file(ICCID), "damaged").unwrap();
    reread(401).await;
    assert_eq!(at(800).await.unwrap(), Pruned::default(), "broken");
    // It came back, and went again: that is when its time begins.
    std::fs::write(file(ICCID), crate::bench::package(ICCID)).unwrap();
    reread(801).await;
    assert_eq!(at(1200).await.unwrap(), Pruned::default(), "all there");
    std::fs::remove_file(file(ICCID)).unwrap();
    reread(1200).await;
    assert_eq!(at(1209).await.unwrap(), Pruned::default());
    assert_eq!(at(1210).await.unwrap().orders, 1);
    let store = bench.service.store();
    assert!(store.order(ICCID).await.unwrap().is_none());
    assert!(store.order(ICCID2).await.unwrap().is_some());
}

/// A profile that a card may have, or that must not be ordered again, would be available when its file came back.
#[tokio::test]
async fn a_profile_that_was_given_out_is_not_forgotten() {
    for (given_out, unavailable, forgotten) in [
        (false, false, true),
        (true, false, false),
        (false, true, false),
        (true, true, false),
    ] {
        let bench = Bench::new().await;
        let matching_id = bench.order(None, None).await;
        let mut card = bench.card();
        let offer = bench.authenticate(&card, Some(&matching_id)).await.unwrap();
        let id = offer.transaction_id.as_bytes().to_vec();
        if given_out {
            let prepared = card.prepare(&offer, None);
            bench.bpp(&id, prepared).await.unwrap();
        }
        let reason = CancelSessionReason::EndUserRejection;
        let session = TransactionId::new(&id).unwrap();
        let cancel = CancelSessionRequest {
            transaction_id: Hex::new(&id).unwrap(),
            cancel_session_response: Base64::new(card.cancel(session, &DP_OID, reason)).unwrap(),
        };
        bench.service.cancel_session(&cancel, NOW).await.unwrap();
        assert_eq!(bench.stored().await.state, OrderState::Error);
        if unavailable {
            let cancel = CancelOrderRequest {
                header: Default::default(),
                eid: None,
                iccid: Text::new(ICCID).unwrap(),
                matching_id: None,
                final_profile_status_indicator: FinalProfileStatus::Unavailable,
            };
            let s = &bench.service;
            s.cancel_order(&cancel, OPERATOR, NOW).await.unwrap();
        }
        let before = bench.stored().await;
        let profiles = bench.folder.path().join("profiles");
        std::fs::remove_file(profiles.join(format!("{ICCID}.der"))).unwrap();
        let reread = async || {
            let inventory = load(&profiles, crate::bench::ADDRESS, Protection::SessionKeys);
            bench.service.renew(inventory.unwrap(), NOW).await.unwrap();
        };
        reread().await;
        // Also when the bindings are over.
        bench
            .service
            .prune(Retention::default(), NOW + 1000 * DAY)
            .await
            .unwrap();
        let kept = bench.service.store().order(ICCID).await.unwrap();
        assert_eq!(kept.is_none(), forgotten, "{given_out} {unavailable}");
        let file = profiles.join(format!("{ICCID}.der"));
        std::fs::write(file, crate::bench::package(ICCID)).unwrap();
        reread().await;
        if !forgotten {
            assert_eq!(bench.stored().await, before);
        }
    }
}

/// Whatever is sent to a session that is over, it stays over; and what names another session ends none.
#[tokio::test]
async fn a_refused_call_revives_no_session() {
    let bench = Bench::new().await;
    let matching_id = bench.order(None, Some("1234")).await;
    for _ in 0..8 {
        let mut card = bench.card();
        let offer = bench.authenticate(&card, Some(&matching_id)).await.unwrap();
        let id = offer.transaction_id.as_bytes().to_vec();
        let session = TransactionId::new(&id).unwrap();
        let wrong_session = {
            let signed = aid_rsp::es10::EuiccSigned2 {
                transaction_id: TransactionId::new(&[1; 16]).unwrap(),
                euicc_otpk: vec![4; 65],
                hash_cc: None,
            };
            card.prepared(signed, offer.smdp_signature2.as_bytes())
        };
        let stored = async || {
            let found = bench.service.store().session(&session, NOW + 1).await;
            found.unwrap()
        };
        let before = stored().await;
        refused(
            bench.bpp(&id, wrong_session.clone()).await,
            ("8.10.1", "3.9"),
        );
        assert_eq!(stored().await, before, "neither ended nor changed");
        let mut forged = card.prepare(&offer, Some("1234"));
        let last = forged.len() - 1;
        forged[last] ^= 1;
        let reason = CancelSessionReason::Postponed;
        let cancel = CancelSessionRequest {
            transaction_id: Hex::new(&id).unwrap(),
            cancel_session_response: Base64::new(card.cancel(session, &DP_OID, reason)).unwrap(),
        };
        // Calls that are refused, and the cancellation in the midst of them.
        let calls = [forged.clone(), wrong_session.clone(), vec![0x30]].map(|response| {
            let (service, id) = (Arc::clone(&bench.service), id.clone());
            tokio::spawn(async move {
                let request = GetBoundProfilePackageRequest {
                    transaction_id: Hex::new(&id).unwrap(),
                    prepare_download_response: Base64::new(response).unwrap(),
                };
                let got = service.get_bound_profile_package(&request, NOW).await;
                assert!(got.is_err());
            })
        });
        bench.service.cancel_session(&cancel, NOW).await.unwrap();
        for call in calls {
            call.await.unwrap();
        }
        assert_eq!(stored().await, Some(StoredSession::Over));
        refused(bench.bpp(&id, forged).await, ("8.10.1", "3.9"));
        assert_eq!(stored().await, Some(StoredSession::Over));
    }
}
