//! The contract of a store, run against SQLite, and PostgreSQL where its binaries are on the machine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../world/book.rs"]
mod book;
mod people;
#[path = "../world/postgres.rs"]
mod postgres;
mod subscriptions;
mod together;
mod verifiers;
mod work;

use aid_aid1::body::SubscriptionType;
use aid_aid1::phone::EncryptedPhone;
use aid_cmp::store::Database;
use aid_cmp_core::change::Change;
use aid_cmp_core::model::{
    Account, Call, CallKind, CallState, CodeRequest, Federation, RequestState, Vehicle,
};
use aid_id::{AccountRef, Eid, Iccid, MspToken, Secret};
use book::Book;
use people::{audit, choices, people, retired};
use postgres::Postgres;
use subscriptions::{forgets, subscriptions};
use together::{locks_leave_no_trace, side_by_side, what_is_not_locked_is_not_changed};
use verifiers::verifiers;
use work::{backlog, claims, orders, outbox, repetitions};

const EVA: AccountRef = AccountRef([1; 16]);

fn eid(n: u32) -> Eid {
    Eid::with_check_digits(&format!("{n:030}")).unwrap()
}

fn iccid(n: u32) -> Iccid {
    format!("89{n:017}").parse().unwrap()
}

fn vehicle(n: u32) -> Vehicle {
    Vehicle::new(eid(n), 7)
}

fn account(id: AccountRef, name: &str) -> Account {
    Account {
        id,
        name: name.into(),
        display_name: "Eva Ö'\"; DROP TABLE account".into(),
        password: Secret::new("$argon2id$x".into()),
        pin_mac: None,
        created_at: u64::MAX >> 1,
    }
}

fn federation(id: u8, msp: &str, token: u8) -> Federation {
    Federation {
        id: [id; 16],
        msp: msp.into(),
        token: MspToken::from_bytes([token; 16]),
        account: EVA,
        phone: EncryptedPhone {
            phone_number: "AA==".into(),
            iv: "BB==".into(),
        },
        kind: SubscriptionType::Unknown,
        customer_group: Some("g".into()),
        since: u64::from(id),
        ended_at: None,
        ended_reason: None,
    }
}

fn request(id: u8) -> CodeRequest {
    CodeRequest {
        id: [id; 16],
        car_request: [id + 100; 16],
        eid: eid(1),
        account: EVA,
        federation: [1; 16],
        correlation: [9; 16],
        replace_iccid: Some(iccid(3)),
        state: RequestState::New,
        code: None,
        iccid: None,
        swapped: None,
        error_code: None,
        error: None,
        created_at: u64::from(id),
        expires_at: 1000,
        delivered_at: None,
        changed_at: 0,
    }
}

fn call(id: u8, lane: &str, next_at: u64) -> Call {
    Call {
        id: [id; 16],
        msp: "m".into(),
        lane: lane.into(),
        kind: CallKind::Status,
        token: MspToken::from_bytes([1; 16]),
        correlation: [2; 16],
        body: "{}".into(),
        attempts: 0,
        next_at,
        state: CallState::Due,
        last_error: None,
        created_at: 0,
        closed_at: None,
    }
}

async fn contract(store: &Book) {
    people(store).await;
    subscriptions(store).await;
    orders(store).await;
    outbox(store).await;
    backlog(store).await;
    repetitions(store).await;
    choices(store).await;
    audit(store).await;
    retired(store).await;
    forgets(store).await;
    verifiers(store).await;
}

#[tokio::test]
async fn sqlite_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cmp.sqlite");
    let store: Book = Book::open(&path).await.unwrap();
    contract(&store).await;
    // Another process sees it at once, and it is there after a close.
    let other = Book::open(&path).await.unwrap();
    assert_eq!(other.vehicles(None, 1000).await.unwrap().len(), 5);
    side_by_side(&store, &other).await;
    what_is_not_locked_is_not_changed(&store).await;
    locks_leave_no_trace(&store).await;
    store.close().await;
    other.close().await;
    let again = Book::open(&path).await.unwrap();
    assert_eq!(again.all_federations(None, 1000).await.unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_keeps_the_contract() {
    let Some(server) = Postgres::start() else {
        return;
    };
    let url: Database = server.url().parse().unwrap();
    let scans = Scans::begin(&server.url()).await;
    let store = Book::open(&url).await.unwrap();
    store.close().await;
    let before = scans.look().await;
    let store = Book::open(&url).await.unwrap();
    contract(&store).await;
    let other = Book::open(&url).await.unwrap();
    assert_eq!(other.vehicles(None, 1000).await.unwrap().len(), 5);
    side_by_side(&store, &other).await;
    what_is_not_locked_is_not_changed(&store).await;
    locks_leave_no_trace(&store).await;
    claims(&store, &other).await;
    store.close().await;
    other.close().await;
    let again = Book::open(&url).await.unwrap();
    assert_eq!(again.all_federations(None, 1000).await.unwrap().len(), 3);
    again.close().await;
    assert_eq!(
        scans.look().await,
        before,
        "tables that were read from end to end"
    );
}

/// How often PostgreSQL read which tables from end to end, though it was told to do so only where no index serves. That
/// SQLite does not, is looked at for each statement that any test runs (`Schema::by_index`).
struct Scans(tokio_postgres::Client);

impl Scans {
    async fn begin(url: &str) -> Self {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls)
            .await
            .unwrap();
        tokio::spawn(connection);
        let unless_needed = "ALTER ROLE ALL SET enable_seqscan = off";
        client.batch_execute(unless_needed).await.unwrap();
        Self(client)
    }

    /// Tables with the number of scans. Sessions report them at their end.
    async fn look(&self) -> Vec<(String, i64)> {
        let others = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() \
             AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
        for _ in 0..1500 {
            let others: i64 = self.0.query_one(others, &[]).await.unwrap().get(0);
            if others == 0 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let scans = "SELECT relname::text, seq_scan FROM pg_stat_user_tables \
             WHERE relname NOT IN ('schema_step', 'write_check') ORDER BY relname";
        let rows = self.0.query(scans, &[]).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said_without_its_password() {
    let url: Database = "postgres://cmp:s3cret@127.0.0.1:1/aid".parse().unwrap();
    let error = Book::open(&url).await.unwrap_err().to_string();
    assert!(error.contains("postgres://127.0.0.1:1/aid"), "{error}");
    assert!(!error.contains("s3cret"), "{error}");
}

#[tokio::test]
async fn two_writers_wait_for_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cmp.sqlite");
    let (a, b) = (
        Book::open(&path).await.unwrap(),
        Book::open(&path).await.unwrap(),
    );
    let write = |store: Book, from: u32| async move {
        for n in from..from + 50 {
            store
                .commit(vec![Change::AddVehicle(vehicle(n))])
                .await
                .unwrap();
        }
    };
    tokio::join!(write(a.clone(), 0), write(b, 100), write(a.clone(), 200));
    assert_eq!(a.vehicles(None, 1000).await.unwrap().len(), 150);
}

/// What goes along with a user or a subscription is found by an index. Plans do not show it, because the database looks for
/// it by itself. Vehicles are never removed.
#[tokio::test]
async fn what_goes_along_is_found_by_an_index() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cmp.sqlite");
    Book::open(&path).await.unwrap().close().await;
    let connection = rusqlite::Connection::open(&path).unwrap();
    let texts = |sql: &str, column: usize| -> Vec<String> {
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get(column)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    let keys = "SELECT m.name || '|' || f.\"from\" || '|' || f.\"table\" FROM sqlite_schema m, \
         pragma_foreign_key_list(m.name) f WHERE m.type = 'table' AND f.\"table\" <> 'vehicle'";
    let keys = texts(keys, 0);
    assert!(keys.len() > 10, "{keys:?}");
    for key in keys {
        let parts: Vec<&str> = key.split('|').collect();
        let plan = format!(
            "EXPLAIN QUERY PLAN SELECT 1 FROM {} WHERE {} = x'00'",
            parts[0], parts[1]
        );
        let plan = texts(&plan, 3);
        assert!(
            plan.iter().all(|step| step.starts_with("SEARCH")),
            "{key}: {plan:?}"
        );
    }
}
