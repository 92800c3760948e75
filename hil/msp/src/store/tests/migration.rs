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

/// What sqlx, which earlier releases had, noted of the steps that it made.
const NOTES: &str = "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL, checksum BLOB NOT NULL,
    execution_time BIGINT NOT NULL)";

/// A database as an earlier release left it that had this many steps.
fn earlier(path: &Path, steps: usize, content: &[&str]) {
    let old = another(path);
    old.pragma_update(None, "journal_mode", "WAL").unwrap();
    old.execute_batch(NOTES).unwrap();
    for step in &STEPS[..steps] {
        let (Sql::Both(sql) | Sql::Each { sqlite: sql, .. }) = step.sql;
        old.execute_batch(sql).unwrap();
        let note =
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
            VALUES (?1, ?2, TRUE, x'00', 1)";
        old.execute(note, (step.version, step.name)).unwrap();
    }
    for sql in content {
        old.execute_batch(sql).unwrap();
    }
    old.close().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_any_earlier_release_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    for steps in 0..=STEPS.len() {
        let path = folder.path().join(format!("{steps}.sqlite"));
        earlier(&path, steps, &[]);
        works(&path).await;
        // A step that was made again would have failed, or emptied what it made.
        works(&path).await;
        let notes = "SELECT COUNT(*), MAX(version) FROM schema_step";
        let count = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let noted: (i64, i64) = another(&path).query_row(notes, [], count).unwrap();
        assert_eq!(noted, (6, 11), "{steps} steps");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_a_later_release_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.sqlite");
    earlier(
        &path,
        STEPS.len(),
        &[
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
           VALUES (5, 'later', TRUE, x'00', 1)",
        ],
    );
    let refused = Store::open(&path).await.unwrap_err();
    assert!(refused.to_string().contains("step 5"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_from_before_leases_keeps_its_content() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.sqlite");
    earlier(&path, 3, &CONTENT);
    let store = start(&path).await.unwrap();
    let read = store.read(async |tx| {
        Ok((
            tx.earlier(&key(1)).await?.unwrap(),
            tx.earlier(&key(2)).await?.unwrap(),
            tx.orders(None, &Page::newest(1000)).await?,
            tx.outbox(None, &Page::newest(1000)).await?,
            tx.due_lanes(8, 9).await?,
        ))
    });
    let (answered, claimed, orders, jobs, lanes) = read.await.unwrap();
    assert_eq!(answered.answer.unwrap().status, 200);
    // Nobody works on the claim any more: the repetition does.
    assert_eq!((claimed.answer, claimed.leased_until), (None, 0));
    let [owed] = orders.as_slice() else {
        panic!("{orders:?}");
    };
    assert_eq!(owed.request.request_id, Uuid::from_u128(4));
    assert_eq!(
        (owed.delivery, owed.state, owed.iccid.is_some()),
        (Delivery::Async, OrderState::Open, true)
    );
    assert_eq!((jobs[0].attempts, jobs[0].last_error.as_str()), (2, "away"));
    assert_eq!(lanes, [Lane::Cmp(client())]);
    store.close().await;
}
