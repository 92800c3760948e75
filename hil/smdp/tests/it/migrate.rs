//! A database of the version before, with content, is taken over by this one.

use crate::bench::{Bench, EID, EID_DIGITS, ICCID, ICCID2, NOW, OPERATOR, mint};
use crate::card::Card;
use aid_rsp::crypto::sha256;
use aid_rsp::es2::DownloadOrderRequest;
use aid_rsp::es9::Text;
use aid_rsp::es10::{NotificationEvent, PendingNotification, TransactionId};
use aid_smdp::core::{OrderState, Protection};
use aid_smdp::store::Store;
use rusqlite::Connection;
use serde_json::{Value, json};
use std::path::Path;

/// The tables as the version before made them, its own list of steps among them.
pub(crate) const TABLES: &str = "
    CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL,
        installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL,
        checksum BLOB NOT NULL, execution_time BIGINT NOT NULL);
    INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (1, 'start', TRUE, x'00', 1);
    CREATE TABLE orders (iccid TEXT PRIMARY KEY NOT NULL, state TEXT NOT NULL, eid TEXT,
        matching_id TEXT UNIQUE, version BIGINT NOT NULL, body TEXT NOT NULL);
    CREATE INDEX orders_eid ON orders (eid);
    CREATE TABLE bindings (transaction_id TEXT PRIMARY KEY NOT NULL, iccid TEXT NOT NULL,
        eid TEXT NOT NULL, public_key TEXT NOT NULL, created_at BIGINT NOT NULL);
    CREATE TABLE notifications (eid TEXT NOT NULL, seq_number BIGINT NOT NULL, digest TEXT NOT NULL,
        iccid TEXT, outcome TEXT NOT NULL, der TEXT NOT NULL, received_at BIGINT NOT NULL,
        PRIMARY KEY (eid, seq_number, digest));
";
/// A profile that is no longer in the inventory.
const GONE: &str = "8949000000000000034";
const SWAPPED: [u8; 10] = [0x98, 0x94, 0, 0, 0, 0, 0, 0, 0x10, 0xF8];

fn order(db: &Connection, iccid: &str, state: &str, change: impl Fn(&mut Value)) {
    let mut body = json!({
        "iccid": iccid, "profile_type": "aid OP", "state": state, "eid": EID_DIGITS,
        "matching_id": null, "confirmation_code": null, "code_failures": 0, "attempts": 0,
        "binding": null, "operator": OPERATOR, "call": null, "last_error": null, "life": 1,
        "sessions": [], "installed_seq": null, "deleted_seq": null, "changed_at": NOW,
    });
    change(&mut body);
    let sql = "INSERT INTO orders VALUES ($1, $2, $3, $4, 3, $5)";
    let matching_id = body["matching_id"].as_str();
    let values = (iccid, state, EID_DIGITS, matching_id, body.to_string());
    db.execute(sql, values).unwrap();
}

/// The statements that make the tables and indexes.
pub(crate) fn schema(path: &Path) -> Vec<String> {
    let db = Connection::open(path).unwrap();
    let sql = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name";
    let mut statement = db.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

#[tokio::test]
async fn a_database_of_the_version_before_is_taken_over_with_its_content() {
    let pki = mint();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("smdp.db");
    let session = TransactionId::new(&[0xAB; 16]).unwrap();
    let key = pki.euicc.key.public.to_spki();
    let card = Card::new(&pki, EID, pki.euicc.clone());
    let known = card.notify(4, NotificationEvent::Enable, SWAPPED);
    let Ok(PendingNotification::Other(enabled)) = PendingNotification::from_slice(&known) else {
        panic!("another notification");
    };
    let digest = sha256(&[enabled.tbs.bytes()]);

    let db = Connection::open(&path).unwrap();
    db.execute_batch(TABLES).unwrap();
    order(&db, ICCID, "downloaded", |body| {
        body["matching_id"] = json!("M-1");
        body["attempts"] = json!(1);
        body["sessions"] = json!([session.to_string()]);
        let (card, server, keys) = ("04".repeat(65), "05".repeat(65), "06".repeat(48));
        body["binding"] = json!({"euicc_otpk": card, "smdp_otpk": server, "keys": keys});
    });
    order(&db, ICCID2, "linked", |body| {
        body["call"] = json!("1.2.3/call-1");
    });
    order(&db, GONE, "installed", |body| {
        // As still earlier versions wrote them.
        for later in [
            "operator",
            "life",
            "sessions",
            "installed_seq",
            "deleted_seq",
        ] {
            body.as_object_mut().unwrap().remove(later);
        }
    });
    let sql = "INSERT INTO bindings VALUES ($1, $2, $3, $4, $5)";
    let id = session.to_string();
    let values = (id, ICCID, EID_DIGITS, hex::encode_upper(&key), NOW as i64);
    db.execute(sql, values).unwrap();
    let sql = "INSERT INTO notifications VALUES ($1, $2, $3, $4, 'enabled', $5, $6)";
    let digest = hex::encode_upper(digest);
    let der = hex::encode_upper(&known);
    let values = (EID_DIGITS, 4, digest, ICCID, der, NOW as i64);
    db.execute(sql, values).unwrap();
    drop(db);

    let bench = Bench::on(folder, pki, &[], Protection::SessionKeys).await;
    let store = bench.service.store();
    let states = store.orders().await.unwrap().into_iter();
    let states: Vec<_> = states.map(|o| (o.iccid, o.state, o.life)).collect();
    assert_eq!(
        states,
        [
            (ICCID.to_owned(), OrderState::Downloaded, 1),
            (ICCID2.to_owned(), OrderState::Linked, 1),
            (GONE.to_owned(), OrderState::Installed, 0),
        ]
    );
    let bound_to = store.bound_to(&session).await.unwrap().unwrap();
    assert_eq!(
        (bound_to.iccid.as_str(), &*bound_to.eid),
        (ICCID, EID_DIGITS)
    );
    assert_eq!(bound_to.public_key, bench.pki.euicc.key.public);
    let found = store.order_matching("M-1").await.unwrap().unwrap();
    assert!(found.binding.is_some());
    assert_eq!(store.orders_of(EID_DIGITS).await.unwrap().len(), 3);

    // What was known is known, also in another session of the same card.
    bench.notify(known).await.unwrap();
    assert_eq!(store.notifications().await.unwrap().len(), 1);
    bench
        .notify(card.installed(session, 3, SWAPPED))
        .await
        .unwrap();
    assert_eq!(store.notifications().await.unwrap().len(), 2);
    // In parts, each behind the last one, whose place is a text for people.
    let mut after = aid_smdp::store::NoticePlace::default();
    for left in [1, 1, 0] {
        let part = store.notifications_after(after, 1).await.unwrap();
        assert_eq!(part.len(), left);
        after = part.first().map_or(after, |(place, _)| *place);
        assert_eq!(after.to_string().parse(), Ok(after));
    }
    assert_eq!(bench.stored().await.state, OrderState::Installed);
    // A repetition of an order gets its profile again.
    let mut again = DownloadOrderRequest {
        eid: Text::new(EID_DIGITS),
        ..Default::default()
    };
    again.header.function_requester_identifier = Text::new("1.2.3").unwrap();
    again.header.function_call_identifier = Text::new("call-1").unwrap();
    let got = bench.service.download_order(&again, OPERATOR, NOW).await;
    assert_eq!(got.unwrap().iccid.as_str(), ICCID2);

    // The tables are those of a new database: ids are bytes, and a binding is one of an order.
    let other = tempfile::tempdir().unwrap();
    let new = other.path().join("new.db");
    let empty = Store::open(&new).await.unwrap();
    assert_eq!(schema(&bench.folder.path().join("smdp.db")), schema(&new));
    empty.close().await;
    let db = Connection::open(bench.folder.path().join("smdp.db")).unwrap();
    let sql = "SELECT transaction_id, public_key FROM bindings";
    let row: (Vec<u8>, Vec<u8>) = db
        .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    assert_eq!(row, (vec![0xAB; 16], key));
    db.pragma_update(None, "foreign_keys", true).unwrap();
    let orphan = "INSERT INTO bindings VALUES (randomblob(16), '89', '', x'', 1)";
    let error = db.execute(orphan, []).unwrap_err().to_string();
    assert!(error.contains("FOREIGN KEY"), "{error}");
}
