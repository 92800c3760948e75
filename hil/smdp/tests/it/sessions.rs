//! Sessions outlive a restart, and no stranger ends another's.

use crate::bench::{Bench, EID_DIGITS, ICCID, NOW, dp, refused};
use crate::card::{Card, DP_OID, ok_response};
use aid_rsp::es9::{Base64, CancelSessionRequest, Hex};
use aid_rsp::es10::{CancelSessionReason, NotificationEvent, TransactionId};
use aid_smdp::core::{Limits, OrderState, Protection, SESSION_SECONDS, SESSIONS_PER_EUICC};
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
    let at = |days: u64| store.prune(retention, NOW + days * DAY);
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
    bench.service.renew(inventory, NOW).await.unwrap();
    assert_eq!(at(9).await.unwrap().orders, 0);
    assert!(store.order(ICCID).await.unwrap().is_some());
    assert_eq!(at(10).await.unwrap().orders, 1);
    assert!(store.order(ICCID).await.unwrap().is_none());
}
