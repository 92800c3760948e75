//! Wall clocks that jump: deliveries, locks, codes, sessions and the memory against repetitions, when the clock was
//! wrong while something was stored and is right again, or the other way round. On SQLite, and on PostgreSQL where its
//! binaries are on the machine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use aid_aid1::body::SubscriptionType;
use aid_cmp::service::{Service, fresh, now, random};
use aid_cmp::store::{Database, Store};
use aid_cmp_core::change::{Change, FleetChange};
use aid_cmp_core::decide::call::{MAX_PAUSE, pause};
use aid_cmp_core::decide::car_login;
use aid_cmp_core::decide::code::{WAIT_MS, request};
use aid_cmp_core::decide::login::{MAX_ATTEMPTS, WINDOW_MS, counted, locked};
use aid_cmp_core::decide::{Context, Policy, code};
use aid_cmp_core::model::{
    Answered, Attempts, Call, CallKind, CallState, CodeRequest, Federation, LoginCode,
    LoginCodeState, PortalSession, Report, RequestState, Vehicle,
};
use aid_id::{MspToken, Secret};
use aid_wire::{CodeOutcome, Down, Status};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use world::book::Book;
use world::postgres::Postgres;
use world::{EVA, World, eid};

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// The right time.
const T: u64 = 1_800_000_000_000;

/// Jumps, ms, both ways: from a leap second to a clock without a battery.
const JUMPS: [u64; 12] = [
    0,
    SECOND,
    MINUTE,
    16 * MINUTE,
    HOUR,
    13 * HOUR,
    DAY,
    3 * DAY,
    10 * DAY,
    91 * DAY,
    365 * DAY,
    3650 * DAY,
];

fn jumped(up: bool, jump: u64) -> u64 {
    if up { T + jump } else { T - jump }
}

fn each(mut test: impl FnMut(u64, String)) {
    for jump in JUMPS {
        for up in [true, false] {
            let sign = if up { '+' } else { '-' };
            test(jumped(up, jump), format!("{sign}{} s", jump / 1000));
        }
    }
}

fn call(n: u8, at: u64, next_at: u64) -> Call {
    Call {
        id: [n; 16],
        msp: "Mobile One".into(),
        lane: format!("lane {n}"),
        kind: CallKind::Status,
        token: MspToken::from_bytes([7; 16]),
        correlation: [8; 16],
        body: "{}".into(),
        attempts: 3,
        next_at,
        state: CallState::Due,
        last_error: None,
        created_at: at,
        closed_at: None,
    }
}

async fn due(store: &Book, at: u64) -> usize {
    let due = store.claim("me", at, at, 32).await.unwrap();
    due.len()
}

// R-7.8-5, R-4.4.1-3: whatever the clock said when a call was put off, it is made again within the longest pause.
async fn deliveries_go_on(store: &Book) {
    for (n, jump) in JUMPS.into_iter().enumerate() {
        for up in [true, false] {
            let wrong = jumped(up, jump);
            let id = u8::try_from(2 * n + usize::from(up)).unwrap() + 1;
            // Put off under a wrong clock, by a first and by the longest pause.
            for attempts in [1, 40] {
                let until = wrong + pause(attempts, u64::MAX / 3);
                let name = format!("jump {jump} {up}, attempts {attempts}");
                store
                    .commit(vec![Change::AddCall(call(id, wrong, until))])
                    .await
                    .unwrap();
                // Looked at when the clock is right again, and for as long as the longest pause.
                let soon = due(store, T).await;
                let late = due(store, T + MAX_PAUSE).await;
                assert!(soon + late > 0, "{name}");
                if up && jump > MAX_PAUSE {
                    assert_eq!(soon, 1, "at once: {name}");
                }
                // And while the clock is wrong the other way round.
                assert_eq!(due(store, until).await, 1, "{name}");
                let closed = Change::CloseCall([id; 16], CallState::Done, T);
                store.commit(vec![closed]).await.unwrap();
                store.prune(T + 7300 * DAY).await.unwrap();
            }
        }
    }
    // An ordinary pause is one.
    let later = call(200, T, T + MINUTE);
    store.commit(vec![Change::AddCall(later)]).await.unwrap();
    assert_eq!(due(store, T).await, 0);
    assert_eq!(due(store, T + MINUTE - 1).await, 0);
    assert_eq!(due(store, T + MINUTE).await, 1);
    let closed = Change::CloseCall([200; 16], CallState::Done, T);
    store.commit(vec![closed]).await.unwrap();
}

fn answered(n: u8, at: u64) -> Answered {
    Answered {
        client: "mspone".into(),
        request_id: [n; 16],
        digest: "d".into(),
        status: 201,
        body: String::new(),
        at,
    }
}

fn report(seq: u64, received_at: u64) -> Report {
    Report {
        eid: eid(1),
        seq,
        iccid: None,
        account: None,
        status: Status::Installed,
        code: 0,
        received_at,
    }
}

// R-7.3-16, R-7.7.2.1-6: what was taken is not forgotten because the clock was wrong when old rows were removed.
async fn repetitions_are_remembered(store: &Book) {
    store
        .commit(vec![
            Change::AddVehicle(Vehicle::new(eid(1), 0)),
            Change::Remember(answered(1, T - 6 * DAY)),
            Change::Remember(answered(2, T)),
            Change::AddReport(report(1, T - 60 * DAY)),
            Change::AddReport(report(2, T)),
        ])
        .await
        .unwrap();
    for (n, jump) in JUMPS.into_iter().enumerate() {
        // Jumps of less than the week do not make young what is old, and in the days around the week only the running
        // program can tell.
        if (DAY..=10 * DAY).contains(&jump) || jump == 91 * DAY {
            continue;
        }
        for up in [true, false] {
            let wrong = jumped(up, jump);
            let id = u8::try_from(10 + 2 * n + usize::from(up)).unwrap();
            // Something is taken while the clock is wrong, and old rows are removed.
            store
                .commit(vec![Change::Remember(answered(id, wrong))])
                .await
                .unwrap();
            store.prune(wrong).await.unwrap();
            // Right again.
            store.prune(T + n as u64).await.unwrap();
            for known in [1, 2, id] {
                let found = store.answered("mspone", [known; 16]).await.unwrap();
                assert!(found.is_some(), "{known} after {up} {jump}");
            }
            for seq in [1, 2] {
                assert!(store.has_report(&report(seq, T)).await.unwrap(), "{seq}");
            }
        }
    }
    // A journal that was made anew counts in another epoch, by chance a lower one: neither outdates the other.
    let (old, new) = (9 << 32, 5 << 32);
    let first = [
        report(old + 1, T - 200 * DAY),
        report(new + 1, T - 200 * DAY),
    ];
    let others = (2..=90).flat_map(|n| [report(old + n, T), report(new + n, T)]);
    let all = first.clone().into_iter().chain(others);
    store
        .commit(all.map(Change::AddReport).collect())
        .await
        .unwrap();
    store.prune(T).await.unwrap();
    for first in &first {
        assert!(store.has_report(first).await.unwrap(), "{}", first.seq);
    }
    let hundredth = Change::AddReport(report(new + 101, T));
    store.commit(vec![hundredth]).await.unwrap();
    store.prune(T).await.unwrap();
    assert!(store.has_report(&first[0]).await.unwrap());
    assert!(!store.has_report(&first[1]).await.unwrap());
    // In their time they go.
    store.prune(T + DAY + HOUR).await.unwrap();
    let found = store.answered("mspone", [1; 16]).await.unwrap();
    assert!(found.is_none());
    assert!(store.answered("mspone", [2; 16]).await.unwrap().is_some());
}

#[tokio::test]
async fn a_store_outlives_a_wrong_clock() {
    let folder = tempfile::tempdir().unwrap();
    let store = Book::open(&folder.path().join("cmp.sqlite")).await.unwrap();
    deliveries_go_on(&store).await;
    repetitions_are_remembered(&store).await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_outlives_a_wrong_clock_on_postgresql() {
    let Some(server) = Postgres::start() else {
        return;
    };
    let url: Database = server.url().parse().unwrap();
    let store = Book::open(&url).await.unwrap();
    deliveries_go_on(&store).await;
    repetitions_are_remembered(&store).await;
    // A claim of an instance whose clock was wrong does not last.
    let late = call(201, T, T);
    store.commit(vec![Change::AddCall(late)]).await.unwrap();
    let wrong = T + 3650 * DAY;
    let taken = store.claim("wrong", wrong, wrong + MINUTE, 1).await;
    assert_eq!(taken.unwrap().len(), 1);
    assert_eq!(
        store.claim("right", T, T + MINUTE, 1).await.unwrap().len(),
        1
    );
    assert_eq!(
        store.claim("other", T, T + MINUTE, 1).await.unwrap().len(),
        0
    );
    store.close().await;
}

// What a wrong clock put into the future is removed with the next old rows.
#[tokio::test]
async fn attempts_of_the_future_are_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let store = Book::open(&folder.path().join("cmp.sqlite")).await.unwrap();
    for (key, since, kept) in [
        ("future", T + 2 * DAY, false),
        ("decade", T + 3650 * DAY, false),
        ("now", T, true),
        ("before", T - HOUR, true),
        ("past", T - 2 * DAY, false),
    ] {
        let attempts = Some(failures(since));
        let counted = Change::SetAttempts(key.into(), attempts);
        store.commit(vec![counted]).await.unwrap();
        store.prune(T).await.unwrap();
        let found = store.attempts(key).await.unwrap();
        assert_eq!(found.is_some(), kept, "{key}");
    }
    store.close().await;
}

/// As many wrong attempts as lock, the last at this time.
fn failures(at: u64) -> Attempts {
    (0..MAX_ATTEMPTS).fold(
        Attempts {
            count: 0,
            since: at,
            last: None,
        },
        |a, _| counted(Some(&a), None, at),
    )
}

// R-2-9: a lock ends.
#[test]
fn a_lock_ends_whatever_the_clock_said_when_it_began() {
    each(|wrong, name| {
        let attempts = failures(wrong);
        assert_eq!(locked(Some(&attempts), wrong), Some(15), "{name}");
        // No wait is longer than a window, and two windows later nothing is left.
        let minutes = locked(Some(&attempts), T).unwrap_or(0);
        assert!(minutes <= WINDOW_MS / MINUTE, "{name}: {minutes}");
        let end = if wrong < T + 2 * WINDOW_MS {
            wrong.max(T + WINDOW_MS) + WINDOW_MS
        } else {
            T + 2 * WINDOW_MS
        };
        assert_eq!(locked(Some(&attempts), end), None, "{name}");
        if wrong.abs_diff(T) >= WINDOW_MS {
            assert_eq!(locked(Some(&attempts), T), None, "{name}");
        }
        // Attempts go on being counted, and the limit still holds.
        let mut more = attempts;
        for _ in 0..MAX_ATTEMPTS {
            more = counted(Some(&more), None, T);
            assert!(more.since <= T, "{name}");
        }
        assert!(locked(Some(&more), T).is_some(), "{name}");
        assert_eq!(locked(Some(&more), T + WINDOW_MS), None, "{name}");
    });
    // A step of a second does not open it.
    assert_eq!(locked(Some(&failures(T)), T - SECOND), Some(15));
}

proptest! {
    #[test]
    fn no_lock_is_longer_than_its_window(
        count in 0_u32..20, since in any::<u64>(), at in any::<u64>(),
    ) {
        let attempts = Attempts { count, since, last: None };
        let minutes = locked(Some(&attempts), at);
        prop_assert!(minutes.is_none_or(|m| m <= WINDOW_MS / MINUTE));
        prop_assert!(count >= MAX_ATTEMPTS || minutes.is_none());
        let more = counted(Some(&attempts), None, at);
        prop_assert!(more.since <= at && more.count >= 1);
    }

    #[test]
    fn no_code_lives_longer_than_codes_do(expires_at in any::<u64>(), at in any::<u64>()) {
        let code = LoginCode {
            code: "BCDFGHJK".into(),
            eid: eid(1),
            login_id: [1; 16],
            state: LoginCodeState::Open,
            account: None,
            created_at: 0,
            expires_at,
        };
        let lives = car_login::lives(&code, at);
        prop_assert!(!lives || expires_at - at <= 2 * car_login::LIFE_MS);
    }
}

fn at(now: u64) -> Context {
    Context {
        now,
        fresh,
        random,
        policy: Policy::default(),
    }
}

fn federation() -> Federation {
    Federation {
        id: [3; 16],
        msp: "Mobile One".into(),
        token: MspToken::from_bytes([7; 16]),
        account: EVA,
        phone: aid_aid1::phone::EncryptedPhone {
            phone_number: String::new(),
            iv: String::new(),
        },
        kind: SubscriptionType::Private,
        customer_group: None,
        since: 1,
        ended_at: None,
        ended_reason: None,
    }
}

fn requested(n: u8, state: RequestState, at: u64) -> CodeRequest {
    CodeRequest {
        id: [n; 16],
        car_request: [n; 16],
        eid: eid(1),
        account: EVA,
        federation: [3; 16],
        correlation: [n; 16],
        replace_iccid: None,
        state,
        code: (state == RequestState::Answered).then(|| Secret::new("1$old$CODE".into())),
        iccid: None,
        swapped: None,
        error_code: None,
        error: None,
        created_at: at,
        expires_at: at + WAIT_MS,
        delivered_at: None,
        changed_at: at,
    }
}

// R-4.3-4: requests that were counted, and codes that were given, under a wrong clock are no reason to refuse for years.
#[test]
fn requests_of_another_time_do_not_stand_in_the_way() {
    for jump in JUMPS.into_iter().filter(|j| *j > 8 * DAY) {
        for up in [true, false] {
            let wrong = jumped(up, jump);
            for state in [RequestState::Failed, RequestState::Answered] {
                let view = code::View {
                    logged_in: true,
                    federation: Some(federation()),
                    requests: (1..12).map(|n| requested(n, state, wrong)).collect(),
                    ..code::View::default()
                };
                let decision = request(&at(T), view, eid(1), [99; 16], EVA);
                let asks = |c: &Change| matches!(c, Change::AddCall(_));
                assert!(decision.changes.iter().any(asks), "{up} {jump} {state:?}");
            }
        }
    }
}

/// A service on the world's database, whose own CMP is stopped.
async fn service() -> (World, Arc<Service>) {
    let mut world = World::new().await;
    world.halt().await;
    let config = aid_cmp::config::check(&world.config()).unwrap();
    let store = Store::open(&config.fixed.file.database).await.unwrap();
    (world, Arc::new(Service::new(store, config)))
}

// A request that was made under a wrong clock ends like any other.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_request_ends_within_its_time() {
    let (_world, cmp) = service().await;
    let store = Book::of(cmp.store.clone());
    let mut far = requested(1, RequestState::Accepted, now() + 3650 * DAY);
    far.federation = federation().id;
    let near = requested(2, RequestState::Accepted, now());
    let over = requested(3, RequestState::Accepted, now() - WAIT_MS - SECOND);
    let changes = vec![
        Change::AddFederation(federation()),
        Change::PutRequest(far),
        Change::PutRequest(near.clone()),
        Change::PutRequest(over),
    ];
    store.commit(changes).await.unwrap();
    cmp.expire().await.unwrap();
    let stored = async |n: u8| store.request([n; 16]).await.unwrap().unwrap();
    let far = stored(1).await;
    assert_eq!(far.state, RequestState::Accepted);
    assert!(far.expires_at <= now() + WAIT_MS);
    assert_eq!(stored(2).await, near);
    assert_eq!(stored(3).await.state, RequestState::Expired);
}

// R-2-9: cookies and codes of a wrong clock open nothing for years.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_and_codes_of_another_time_are_over() {
    let (_world, cmp) = service().await;
    let store = Book::of(cmp.store.clone());
    let hash = |cookie: &str| hex::encode(Sha256::digest(cookie));
    for (cookie, until, lives) in [
        ("far", now() + 3650 * DAY, false),
        ("near", now() + 12 * HOUR + MINUTE, true),
        ("over", now() - SECOND, false),
    ] {
        let session = PortalSession {
            token_hash: hash(cookie),
            account: EVA,
            expires_at: until,
        };
        store
            .commit(vec![Change::AddSession(session)])
            .await
            .unwrap();
        let found = cmp.signed_in(cookie).await.unwrap();
        assert_eq!(found.is_some(), lives, "{cookie}");
    }
    let code = LoginCode {
        code: "BCDFGHJK".into(),
        eid: eid(1),
        login_id: [1; 16],
        state: LoginCodeState::Open,
        account: None,
        created_at: now() + 3650 * DAY,
        expires_at: now() + 3650 * DAY + car_login::LIFE_MS,
    };
    let change = Change::Fleet(FleetChange::PutLoginCode(code));
    store.commit(vec![change]).await.unwrap();
    let eva = store.account(EVA).await.unwrap().unwrap();
    let judged = cmp.approve_login(&eva, "BCDF-GHJK", true).await.unwrap();
    assert_eq!(judged, aid_cmp::service::Judged::Unknown);
}

// R-4.3-4: a step of a second makes no second request.
#[test]
fn a_pending_answer_stays_one() {
    let view = code::View {
        logged_in: true,
        federation: Some(federation()),
        requests: vec![requested(1, RequestState::Accepted, T)],
        ..code::View::default()
    };
    let decision = request(&at(T - SECOND), view, eid(1), [9; 16], EVA);
    assert!(matches!(
        &decision.down[0].body,
        Down::ActivationCode {
            outcome: CodeOutcome::Pending,
            ..
        }
    ));
}
