//! A database in which one kind of row can't be written for a while: the call is refused as a failure of ours, nothing of
//! it is stored, and it succeeds when it is made again.

use crate::bench::{Bench, EID_DIGITS, ICCID, NOW, OPERATOR, refused};
use crate::card::DP_OID;
use aid_rsp::es2::{
    CancelOrderRequest, ConfirmOrderRequest, DownloadOrderRequest, FinalProfileStatus,
    ReleaseProfileRequest,
};
use aid_rsp::es9::{Base64, CancelSessionRequest, Hex, RequestHeader, Text};
use aid_rsp::es10::{CancelSessionReason, TransactionId};
use aid_smdp::core::OrderState;
use rusqlite::Connection;

const INTERNAL: (&str, &str) = ("1.2", "4.2");

/// Lets every write of this kind fail until it is dropped.
struct Fault(Connection);

impl Fault {
    fn on(bench: &Bench, write: &str) -> Self {
        let db = Connection::open(bench.folder.path().join("smdp.db")).unwrap();
        let sql = "BEGIN SELECT RAISE(ABORT, 'no such luck'); END";
        db.execute_batch(&format!("CREATE TRIGGER fault BEFORE {write} {sql}"))
            .unwrap();
        Self(db)
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        self.0.execute_batch("DROP TRIGGER fault").unwrap();
    }
}

/// Makes a call while a write fails, sees that the order stayed as it was, and makes it again.
macro_rules! fails_then_succeeds {
    ($bench:ident, $write:literal, $call:expr) => {{
        let before = $bench.stored().await;
        let notices = $bench.service.store().notifications().await.unwrap();
        let fault = Fault::on(&$bench, $write);
        refused($call.await, INTERNAL);
        assert_eq!($bench.stored().await, before, "{}", $write);
        let after = $bench.service.store().notifications().await.unwrap();
        assert_eq!(after, notices, "{}", $write);
        drop(fault);
        let done = $call.await.unwrap();
        assert_ne!($bench.stored().await, before, "{}", $write);
        done
    }};
}

#[tokio::test]
async fn what_is_not_stored_is_refused_and_can_be_done_again() {
    let bench = Bench::new().await;
    let s = &bench.service;
    let iccid = Text::new(ICCID).unwrap();
    let download = DownloadOrderRequest {
        eid: Text::new(EID_DIGITS),
        iccid: Text::new(ICCID),
        ..Default::default()
    };
    let confirm = ConfirmOrderRequest {
        iccid: iccid.clone(),
        ..Default::default()
    };
    let release = ReleaseProfileRequest {
        iccid: iccid.clone(),
        ..Default::default()
    };
    fails_then_succeeds!(
        bench,
        "UPDATE ON orders",
        s.download_order(&download, OPERATOR, NOW)
    );
    let confirmed = fails_then_succeeds!(
        bench,
        "UPDATE ON orders",
        s.confirm_order(&confirm, OPERATOR, NOW)
    );
    fails_then_succeeds!(
        bench,
        "UPDATE ON orders",
        s.release_profile(&release, OPERATOR, NOW)
    );

    // The order is changed first, then the binding is refused: neither is stored.
    let mut card = bench.card();
    let matching_id = confirmed.matching_id.as_str();
    let offer = bench.authenticate(&card, Some(matching_id)).await.unwrap();
    let id = offer.transaction_id.as_bytes();
    let prepared = card.prepare(&offer, None);
    fails_then_succeeds!(bench, "INSERT ON bindings", bench.bpp(id, prepared.clone()));
    assert_eq!(bench.stored().await.attempts, 1);

    let session = TransactionId::new(id).unwrap();
    let cancel = CancelSessionRequest {
        transaction_id: Hex::new(id).unwrap(),
        cancel_session_response: Base64::new(card.cancel(
            session,
            &DP_OID,
            CancelSessionReason::Postponed,
        ))
        .unwrap(),
    };
    fails_then_succeeds!(bench, "UPDATE ON orders", s.cancel_session(&cancel, NOW));
    assert_eq!(bench.stored().await.state, OrderState::Released);

    // The notification is stored first, then the order is refused.
    let (session, _) = bench.download(&mut card, matching_id).await;
    let der = card.installed(session, 0, [0x98; 10]);
    fails_then_succeeds!(bench, "UPDATE ON orders", bench.notify(der.clone()));
    assert_eq!(bench.stored().await.state, OrderState::Installed);
    assert_eq!(s.store().notifications().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_cancellation_that_is_not_stored_can_be_repeated() {
    let bench = Bench::new().await;
    bench.order(Some(EID_DIGITS), None).await;
    let s = &bench.service;
    let cancel = CancelOrderRequest {
        header: RequestHeader::default(),
        eid: Text::new(EID_DIGITS),
        iccid: Text::new(ICCID).unwrap(),
        matching_id: None,
        final_profile_status_indicator: FinalProfileStatus::Available,
    };
    fails_then_succeeds!(
        bench,
        "UPDATE ON orders",
        s.cancel_order(&cancel, OPERATOR, NOW)
    );
    assert_eq!(bench.stored().await.state, OrderState::Available);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_cards_that_ask_at_once_one_gets_the_profile() {
    let bench = Bench::new().await;
    for _ in 0..10 {
        let matching_id = bench.order(None, None).await;
        let (mut one, mut two) = (bench.card(), bench.other_card());
        let first = bench.authenticate(&one, Some(&matching_id)).await.unwrap();
        let second = bench.authenticate(&two, Some(&matching_id)).await.unwrap();
        let (a, b) = (one.prepare(&first, None), two.prepare(&second, None));
        let (a, b) = tokio::join!(
            bench.bpp(first.transaction_id.as_bytes(), a),
            bench.bpp(second.transaction_id.as_bytes(), b)
        );
        let (won, lost) = if a.is_ok() { (a, b) } else { (b, a) };
        won.unwrap();
        refused(lost, ("8.1.1", "3.8"));
        assert_eq!(bench.stored().await.attempts, 1);
        bench.cancel().await;
    }
}
