//! Databases of earlier versions, with content.

use super::*;
use crate::core::call::Key;
use crate::core::model::{Delivery, OrderState};

/// What a version before leases had stored when it was killed: an answer, a claim, an order that somebody waits for, one
/// that is owed, and a job.
const CONTENT: [&str; 6] = [
    "INSERT INTO onboarding (msp_token, client_id, user_name, sid, state, created_at, changed_at, subscription)
     VALUES ('07070707-0707-0707-0707-070707070707', 'CmpOne', 'alice', '00000000-0000-0000-0000-000000000009', 'active', 1, 1, '')",
    "INSERT INTO answered (client_id, request_id, digest, status, body, at)
     VALUES ('CmpOne', '00000000-0000-0000-0000-000000000001', 'd', 200, '{}', 5)",
    "INSERT INTO answered (client_id, request_id, digest, status, body, at)
     VALUES ('CmpOne', '00000000-0000-0000-0000-000000000002', 'd', 0, '', 5)",
    "INSERT INTO ac_request (client_id, request_id, msp_token, correlation_id, eid, delivery, state, created_at)
     VALUES ('CmpOne', '00000000-0000-0000-0000-000000000003', '07070707-0707-0707-0707-070707070707',
     '00000000-0000-0000-0000-000000000005', '89049032000001000000000831934057', 'sync', 'open', 5)",
    "INSERT INTO ac_request (client_id, request_id, msp_token, correlation_id, eid, delivery, state, iccid, created_at)
     VALUES ('CmpOne', '00000000-0000-0000-0000-000000000004', '07070707-0707-0707-0707-070707070707',
     '00000000-0000-0000-0000-000000000005', '89049032000001000000000831934057', 'async', 'open', '8949000000000000018', 5)",
    "INSERT INTO outbox (client_id, kind, msp_token, request_id, correlation_id, body, state, attempts, next_at, created_at, last_error)
     VALUES ('CmpOne', 'notify-token-invalid', '07070707-0707-0707-0707-070707070707',
     '00000000-0000-0000-0000-000000000006', '00000000-0000-0000-0000-000000000005', '{}', 'waiting', 2, 7, 5, 'away')",
];

fn key(n: u128) -> Key {
    Key {
        client: client(),
        id: Uuid::from_u128(n),
        digest: "d".into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_from_before_leases_keeps_its_content() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.sqlite");
    sqlx::any::install_default_drivers();
    let mut old = another(&path).await;
    let mut earlier = migrations();
    earlier.migrations.to_mut().truncate(3);
    earlier.run(&mut old).await.unwrap();
    for sql in CONTENT {
        old.execute(sql).await.unwrap();
    }
    old.close().await.unwrap();

    let store = start(&path).await.unwrap();
    let mut tx = store.read().await.unwrap();
    let answered = tx.earlier(&key(1)).await.unwrap().unwrap();
    assert_eq!(answered.answer.unwrap().status, 200);
    // Nobody works on the claim any more: the repetition does.
    let claimed = tx.earlier(&key(2)).await.unwrap().unwrap();
    assert_eq!((claimed.answer, claimed.leased_until), (None, 0));
    let orders = tx.orders().await.unwrap();
    let [owed] = orders.as_slice() else {
        panic!("{orders:?}");
    };
    assert_eq!(owed.request.request_id, Uuid::from_u128(4));
    assert_eq!(
        (owed.delivery, owed.state, owed.iccid.is_some()),
        (Delivery::Async, OrderState::Open, true)
    );
    let jobs = tx.outbox().await.unwrap();
    assert_eq!((jobs[0].attempts, jobs[0].last_error.as_str()), (2, "away"));
    let lanes = tx.due_lanes(8, 9).await.unwrap();
    assert_eq!(lanes, [Lane::Cmp(client())]);
    drop(tx);
    store.close().await;
}
