//! A database of the release before identifiers became bytes, with rows in every table, comes up to date on both engines:
//! what could be read before is read afterwards.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "world/book.rs"]
mod book;
#[path = "world/postgres.rs"]
mod postgres;

use aid_cmp::store::{AuditFilter, Database};
use aid_cmp_core::change::Change;
use aid_cmp_core::model::{
    CallKind, CallState, LoginCodeState, MspVerdict, NoticeKind, OnboardingState, OrderState,
    ProfileStatus, Report, RequestState, Vehicle,
};
use aid_id::{AccountRef, Eid, Iccid, MspToken};
use aid_store::{Options, Schema, Sql, Step, Store, StoreError};
use aid_wire::{OrderKind, Status};
use book::Book;
use postgres::Postgres;

const fn step(version: i64, name: &'static str, sql: &'static str) -> Step {
    Step {
        version,
        name,
        sql: Sql::Both(sql),
    }
}

const BEFORE: [Step; 7] = [
    step(1, "start", include_str!("../migrations/0001_start.sql")),
    step(
        10,
        "phone iv",
        include_str!("../migrations/0010_phone_iv.sql"),
    ),
    step(20, "work", include_str!("../migrations/0020_work.sql")),
    step(
        30,
        "vehicle",
        include_str!("../migrations/0030_vehicle.sql"),
    ),
    step(
        31,
        "retired",
        include_str!("../migrations/0031_retired.sql"),
    ),
    step(40, "portal", include_str!("../migrations/0040_portal.sql")),
    step(
        50,
        "correlation",
        include_str!("../migrations/0050_correlation.sql"),
    ),
];

static OLD: Schema = Schema::new(&BEFORE);

/// The new step, and then an error: as if the process had been killed just before the commit.
static CUT_SHORT: Schema = Schema::new(&[
    BEFORE[0],
    BEFORE[1],
    BEFORE[2],
    BEFORE[3],
    BEFORE[4],
    BEFORE[5],
    BEFORE[6],
    Step {
        version: 60,
        name: "ids",
        sql: Sql::Each {
            sqlite: concat!(
                include_str!("../migrations/0060_ids.sqlite.sql"),
                "\nSELECT * FROM nothing;"
            ),
            postgres: concat!(
                include_str!("../migrations/0060_ids.postgres.sql"),
                "\nSELECT * FROM nothing;"
            ),
        },
    },
]);

fn eid(n: u32) -> Eid {
    Eid::with_check_digits(&format!("{n:030}")).unwrap()
}

fn iccid() -> Iccid {
    "8944500805172032953".parse().unwrap()
}

/// The text of an id as it was stored.
fn id(n: u8) -> String {
    uuid::Uuid::from_bytes([n; 16]).to_string()
}

/// Rows of every table. 1 is Eva, 2 her subscription, 0xEE whoever is gone.
fn rows() -> Vec<String> {
    let (car, gone_car) = (eid(1), eid(99));
    let iccid = iccid();
    let (eva, federation, gone) = (id(1), id(2), id(0xEE));
    let token = id(0xA2);
    let mut list = vec![
        format!(
            "INSERT INTO vehicle (eid, added_at, last_seen, software, card, vin, retired_at, retired_reason, \
             replaced_by, certificate, session) VALUES ('{car}', 1, 2, 'agent', '[]', 'WAU1', NULL, NULL, NULL, \
             'cert', '{eva}')"
        ),
        format!(
            "INSERT INTO vehicle (eid, added_at, retired_at, retired_reason, replaced_by, session) \
             VALUES ('{}', 1, 5, 'crash', '{gone_car}', '{gone}')",
            eid(2)
        ),
        format!("INSERT INTO account VALUES ('{eva}', 'eva', 'Eva Ö', 'hash', 'mac', 3)"),
        format!("INSERT INTO attempt VALUES ('k', 4, 5, '{}')", id(6)),
        "INSERT INTO attempt VALUES ('l', 1, 2, NULL)".into(),
        format!(
            "INSERT INTO onboarding VALUES ('{}', 'm', '{eva}', 'done', 's', '{token}', NULL, 1, 2)",
            id(7)
        ),
        format!(
            "INSERT INTO onboarding VALUES ('{}', 'm', '{gone}', 'done', 't', NULL, 'e', 1, 2)",
            id(8)
        ),
        format!(
            "INSERT INTO federation VALUES ('{federation}', 'm', '{token}', '{eva}', 'AA==', 'BB==', 'private', 'g', \
             10, NULL, NULL)"
        ),
        // Nobody knows its user any more; the MSP does.
        format!(
            "INSERT INTO federation VALUES ('{}', 'm', '{}', '{}', 'AA==', 'BB==', 'private', NULL, 11, 12, 'r')",
            id(3),
            id(0xA3),
            id(0xE1)
        ),
        format!(
            "INSERT INTO report VALUES ('{car}', 1, 'installed||{eva}|0', NULL, '{eva}', 'installed', 0, 3)"
        ),
        format!("INSERT INTO report VALUES ('{gone_car}', 1, 'd', NULL, NULL, 'installed', 0, 3)"),
        format!(
            "INSERT INTO idempotency VALUES ('c', '{}', 'd', 201, 'body', 9)",
            id(9)
        ),
        "INSERT INTO phone_iv VALUES ('m', 'k', 'iv', 'd', 1)".into(),
        format!(
            "INSERT INTO notice VALUES ('{}', '{eva}', 4, 'suspended', 'm')",
            id(10)
        ),
        format!(
            "INSERT INTO notice VALUES ('{}', '{gone}', 4, 'suspended', 'm')",
            id(11)
        ),
        format!(
            "INSERT INTO sync_run VALUES ('{}', '{federation}', 4, 'agreed', '[]')",
            id(12)
        ),
        format!(
            "INSERT INTO sync_run VALUES ('{}', '{gone}', 4, 'agreed', '[]')",
            id(13)
        ),
        format!(
            "INSERT INTO login_code VALUES ('{car}', 'ABCDEFGH', '{}', 'approved', '{eva}', 1, 2)",
            id(14)
        ),
        format!(
            "INSERT INTO login_code VALUES ('{}', 'HGFEDCBA', '{}', 'open', NULL, 1, 2)",
            eid(2),
            id(15)
        ),
    ];
    list.push(format!(
        "INSERT INTO vehicle_login VALUES ('{car}', '{eva}', 6), ('{car}', '{gone}', 6)"
    ));
    list.push(format!(
        "INSERT INTO hold VALUES ('{federation}', '{car}', 6), ('{gone}', '{car}', 6)"
    ));
    for (account, hash) in [(&eva, "h"), (&gone, "i")] {
        list.push(format!(
            "INSERT INTO portal_session (token_hash, account, expires_at, created_at, browser) \
             VALUES ('{hash}', '{account}', 7, 8, 'b')"
        ));
        list.push(format!(
            "INSERT INTO user_preference VALUES ('{account}', 'lang', 'de')"
        ));
    }
    for (eid, of) in [(String::new(), &federation), (car.to_string(), &gone)] {
        list.push(format!(
            "INSERT INTO preference VALUES ('{eva}', '{eid}', '{of}')"
        ));
    }
    for of in [&federation, &gone] {
        list.push(format!(
            "INSERT INTO profile VALUES ('{iccid}', '{of}', '{car}', 'enabled', 'valid', 7, 8)"
        ));
    }
    for (n, of) in [(20, &federation), (21, &gone)] {
        list.push(format!(
            "INSERT INTO code_request (id, car_request, eid, account, federation, correlation, replace_iccid, state, code, \
             iccid, swapped, error_code, error, created_at, expires_at, delivered_at, changed_at) VALUES ('{}', '{}', \
             '{car}', '{eva}', '{of}', '{}', NULL, 'answered', 'code', '{iccid}', NULL, 3, 'e', 1, 2, NULL, 4)",
            id(n),
            id(22),
            id(23)
        ));
    }
    // Orders of before there were positions and correlations, in the order of their time; one of a subscription that is
    // gone.
    for (n, kind, at, of) in [(31, "delete", 2, &gone), (30, "disable", 1, &federation)] {
        list.push(format!(
            "INSERT INTO vehicle_order (id, eid, kind, iccid, account, reason, state, code, created_at, federation) \
             VALUES ('{}', '{car}', '{kind}', '{iccid}', NULL, 'r', 'open', NULL, {at}, '{of}')",
            id(n)
        ));
    }
    list.push(format!(
        "INSERT INTO vehicle_order (id, position, eid, kind, account, reason, state, created_at, correlation) \
         VALUES ('{}', 7, '{car}', 'erase', '{gone}', 'r', 'open', 0, '{}')",
        id(32),
        id(33)
    ));
    for (n, position, kind, state) in [
        (41, 3, "profile-status", "due"),
        (40, 2, "status", "due"),
        (42, 9, "code", "dead"),
    ] {
        let kind = if kind == "code" {
            "activation-code-request"
        } else {
            kind
        };
        list.push(format!(
            "INSERT INTO outbox (id, position, msp, lane, kind, token, correlation, body, attempts, next_at, last_error, \
             created_at, state, closed_at, claimed_by, claimed_until) VALUES ('{}', {position}, 'm', 'lane {n}', '{kind}', \
             '{token}', '{}', '{{}}', 1, 2, 'e', {n}, '{state}', NULL, 'who', 0)",
            id(n),
            id(43)
        ));
    }
    for (n, work) in [(51, 30), (50, 40), (52, 40), (53, 0xEE)] {
        list.push(format!(
            "INSERT INTO history VALUES ('{}', {}, '{}', {n}, 'event {n}', 'd')",
            id(n),
            100 - n,
            id(work)
        ));
    }
    for (n, at) in [(60, 2), (61, 1)] {
        list.push(format!(
            "INSERT INTO audit (id, at, actor, action, detail, reason) VALUES ('{}', {at}, 'a', 'did {n}', 'd', NULL)",
            id(n)
        ));
    }
    list
}

async fn run(store: &Store, list: Vec<String>) {
    // A statement is a text for good.
    let list: Vec<&'static str> = list.into_iter().map(|text| &*text.leak()).collect();
    let all = async move |tx: &aid_store::Tx<'_>| {
        for sql in &list {
            tx.run(sql, &[]).await?;
        }
        Ok::<_, StoreError>(())
    };
    store.change(all).await.unwrap();
}

/// As the release before left it.
async fn fill(database: &Database) {
    let store = Store::open(database, &OLD, Options::default())
        .await
        .unwrap();
    run(&store, rows()).await;
    let noted = [
        "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL, success BOOLEAN NOT NULL)",
        "INSERT INTO _sqlx_migrations SELECT version, name, TRUE FROM schema_step",
        "DROP TABLE schema_step",
    ];
    run(&store, noted.map(Into::into).into()).await;
    store.close().await;
}

async fn comes_up_to_date(database: &Database) {
    fill(database).await;
    for _ in 0..2 {
        let error = Store::open(database, &CUT_SHORT, Options::default()).await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains("nothing"), "{error}");
    }
    let store = Book::open(database).await.unwrap();
    cars_and_users(&store).await;
    subscriptions(&store).await;
    work(&store).await;
    goes_on(&store).await;
    store.close().await;
    // It is made once.
    let again = Book::open(database).await.unwrap();
    assert_eq!(again.vehicles(None, 1000).await.unwrap().len(), 2);
    again.close().await;
}

async fn cars_and_users(store: &Book) {
    let (eva, car) = (AccountRef([1; 16]), eid(1));
    let first = Vehicle {
        last_seen: Some(2),
        software: Some("agent".into()),
        card: Some("[]".into()),
        certificate: Some("cert".into()),
        session: Some(eva),
        vin: Some("WAU1".into()),
        ..Vehicle::new(car, 1)
    };
    let second = Vehicle {
        retired_at: Some(5),
        retired_reason: Some("crash".into()),
        replaced_by: Some(eid(99)),
        ..Vehicle::new(eid(2), 1)
    };
    let cars = store.vehicles(None, 1000).await.unwrap();
    assert_eq!(cars.len(), 2);
    assert!(cars.contains(&first) && cars.contains(&second), "{cars:?}");
    let account = store.account_named("eva").await.unwrap().unwrap();
    assert_eq!((account.id, account.display_name.as_str()), (eva, "Eva Ö"));
    assert_eq!(account.password.expose(), "hash");
    assert_eq!(
        (account.pin_mac.as_deref(), account.created_at),
        (Some("mac"), 3)
    );
    let attempts = store.attempts("k").await.unwrap().unwrap();
    assert_eq!(
        (attempts.count, attempts.since, attempts.last),
        (4, 5, Some([6; 16]))
    );
    assert_eq!(store.attempts("l").await.unwrap().unwrap().last, None);
    assert_eq!(store.users_of(car).await.unwrap(), [eva]);
    assert_eq!(store.session("h").await.unwrap().unwrap().account, eva);
    assert_eq!(store.session("i").await.unwrap(), None);
    let sessions = store.portal_sessions(eva).await.unwrap();
    assert_eq!(
        (sessions[0].created_at, sessions[0].browser.as_deref()),
        (8, Some("b"))
    );
    assert_eq!(
        store.preferences(eva).await.unwrap(),
        [("lang".to_owned(), "de".to_owned())]
    );
    let code = store.login_code_of(car).await.unwrap().unwrap();
    assert_eq!((code.login_id, code.account), ([14; 16], Some(eva)));
    assert_eq!(code.state, LoginCodeState::Approved);
    assert_eq!(
        store.login_code("HGFEDCBA").await.unwrap().unwrap().account,
        None
    );
    let notices = store.notices(eva).await.unwrap();
    assert_eq!(
        (notices[0].id, notices[0].kind),
        ([10; 16], NoticeKind::Suspended)
    );
}

async fn subscriptions(store: &Book) {
    let (eva, car, token) = (
        AccountRef([1; 16]),
        eid(1),
        MspToken::from_bytes([0xA2; 16]),
    );
    let onboarding = store.onboarding([7; 16]).await.unwrap().unwrap();
    assert_eq!(
        (onboarding.token, onboarding.state),
        (Some(token), OnboardingState::Done)
    );
    assert_eq!(store.onboarding([8; 16]).await.unwrap(), None);
    let federation = store.federation("m", token).await.unwrap().unwrap();
    assert_eq!(
        (federation.id, federation.account, federation.since),
        ([2; 16], eva, 10)
    );
    assert_eq!(federation.phone.iv, "BB==");
    // One without its user is kept, and its user is one that was erased.
    let lost = store.federation_by_id([3; 16]).await.unwrap().unwrap();
    let user = store.account(lost.account).await.unwrap().unwrap();
    assert_eq!(user.name, format!("erased/{}", id(0xE1)));
    assert_eq!(
        store.synced("m", 0..=100).await.unwrap(),
        [(41, federation)]
    );
    assert_eq!(store.preference(eva, None).await.unwrap(), Some([2; 16]));
    assert_eq!(store.preference(eva, Some(car)).await.unwrap(), None);
    let profiles = store.all_profiles(1000).await.unwrap();
    assert_eq!(profiles.len(), 1);
    let first = &profiles[0];
    assert_eq!(
        (&first.iccid, first.federation, first.eid),
        (&iccid(), [2; 16], car)
    );
    assert_eq!(
        (first.status, first.verdict),
        (ProfileStatus::Enabled, MspVerdict::Valid)
    );
    let request = store.request([20; 16]).await.unwrap().unwrap();
    assert_eq!(
        (request.car_request, request.correlation),
        ([22; 16], [23; 16])
    );
    assert_eq!((request.account, request.error_code), (eva, Some(3)));
    assert_eq!(
        (request.state, request.changed_at),
        (RequestState::Answered, 4)
    );
    assert_eq!(store.request([21; 16]).await.unwrap(), None);
    assert_eq!(store.hold([2; 16], car).await.unwrap().unwrap().since, 6);
    let runs = store.sync_runs([2; 16]).await.unwrap();
    assert_eq!(runs.iter().map(|r| r.id).collect::<Vec<_>>(), [[12; 16]]);
    let report = Report {
        eid: car,
        seq: 1,
        iccid: None,
        account: Some(eva),
        status: Status::Installed,
        code: 0,
        received_at: 0,
    };
    assert!(store.has_report(&report).await.unwrap());
    assert_eq!(
        store.iv_used("m", "k", "iv").await.unwrap().as_deref(),
        Some("d")
    );
}

async fn work(store: &Book) {
    let orders = store.orders(None, true).await.unwrap();
    let ids: Vec<u8> = orders.iter().map(|o| o.id[0]).collect();
    assert_eq!(ids, [30, 31, 32]);
    assert_eq!(
        (orders[0].federation, orders[1].federation),
        (Some([2; 16]), None)
    );
    assert_eq!(
        (orders[0].correlation, orders[2].correlation),
        ([30; 16], [33; 16])
    );
    let account = AccountRef([0xEE; 16]);
    assert_eq!(
        (&orders[2].kind, orders[2].state),
        (&OrderKind::Erase { account }, OrderState::Open)
    );
    let calls = store.all_calls().await.unwrap();
    let ids: Vec<u8> = calls.iter().map(|c| c.id[0]).collect();
    assert_eq!(ids, [40, 41, 42]);
    assert_eq!(
        (calls[1].kind, calls[2].state),
        (CallKind::Query, CallState::Dead)
    );
    assert_eq!(calls[0].correlation, [43; 16]);
    let events = async |work: u8| {
        let list = store.history([work; 16]).await.unwrap();
        list.into_iter().map(|h| h.event).collect::<Vec<_>>()
    };
    assert_eq!(events(40).await, ["event 52", "event 50"], "by position");
    assert_eq!(events(30).await, ["event 51"]);
    assert!(events(0xEE).await.is_empty());
    let audits = store.audits(&AuditFilter::default(), 9).await.unwrap();
    assert_eq!(
        audits.iter().map(|a| &*a.action).collect::<Vec<_>>(),
        ["did 61", "did 60"]
    );
    let answered = store.answered("c", [9; 16]).await.unwrap().unwrap();
    assert_eq!(
        (answered.status, answered.body.as_str(), answered.at),
        (201, "body", 9)
    );
}

/// What is added comes behind what was there.
async fn goes_on(store: &Book) {
    let mut order = store.order([30; 16]).await.unwrap().unwrap();
    let mut call = store.call([40; 16]).await.unwrap().unwrap();
    (order.id, call.id) = ([130; 16], [140; 16]);
    store
        .commit(vec![Change::AddOrder(order), Change::AddCall(call)])
        .await
        .unwrap();
    let orders = store.orders(Some(eid(1)), false).await.unwrap();
    assert_eq!(orders.last().unwrap().id, [130; 16]);
    assert_eq!(
        store.all_calls().await.unwrap().last().unwrap().id,
        [140; 16]
    );
    // What belongs to a subscription goes along with it; an order stays.
    store
        .commit(vec![Change::PurgeFederation([2; 16])])
        .await
        .unwrap();
    assert!(store.all_profiles(1000).await.unwrap().is_empty());
    assert_eq!(store.request([20; 16]).await.unwrap(), None);
    assert_eq!(
        store.order([30; 16]).await.unwrap().unwrap().federation,
        None
    );
}

#[tokio::test]
async fn a_file_comes_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cmp.sqlite");
    // What a start of an earlier release leaves that was cut short.
    let file = rusqlite::Connection::open(&path).unwrap();
    file.execute_batch("CREATE TABLE log_reserve (filler BLOB)")
        .unwrap();
    drop(file);
    comes_up_to_date(&Database::from(&path)).await;
    let file = rusqlite::Connection::open(&path).unwrap();
    let left = "SELECT group_concat(name) FROM sqlite_schema WHERE name LIKE 'old_%' OR name = 'log_reserve'";
    let left: Option<String> = file.query_row(left, [], |row| row.get(0)).unwrap();
    assert_eq!(left, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_comes_up_to_date() {
    let Some(server) = Postgres::start() else {
        return;
    };
    comes_up_to_date(&server.url().parse().unwrap()).await;
}
