//! The contract of a store, run against SQLite, and PostgreSQL where its binaries are on the machine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "world/postgres.rs"]
mod postgres;

use aid_aid1::body::SubscriptionType;
use aid_aid1::phone::EncryptedPhone;
use aid_cmp::store::{AuditFilter, Database, SqlStore, Store, StoreError, migrate};
use aid_cmp_core::change::Change;
use aid_cmp_core::model::{
    Account, Answered, Attempts, Audit, Call, CallKind, CallState, CodeRequest, Federation, Hold,
    MspVerdict, NoticeKind, Onboarding, OnboardingState, Order, OrderState, PortalSession, Profile,
    ProfileStatus, Report, RequestState, UserNotice, Vehicle,
};
use aid_id::{AccountRef, Eid, Iccid, MspToken, Secret};
use aid_wire::{OrderKind, Status};
use postgres::Postgres;

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

async fn contract<S: Store>(store: &S) {
    people(store).await;
    subscriptions(store).await;
    orders(store).await;
    outbox(store).await;
    repetitions(store).await;
    choices(store).await;
    audit(store).await;
    retired(store).await;
    forgets(store).await;
}

async fn people<S: Store>(store: &S) {
    store
        .commit(vec![Change::AddVehicle(vehicle(1))])
        .await
        .unwrap();
    assert_eq!(store.vehicle(eid(1)).await.unwrap(), Some(vehicle(1)));
    assert_eq!(store.vehicle(eid(2)).await.unwrap(), None);
    // All or nothing: the second change fails, the first did not happen.
    let changes = vec![
        Change::AddVehicle(vehicle(2)),
        Change::AddVehicle(vehicle(1)),
    ];
    assert_eq!(store.commit(changes).await, Err(StoreError::Taken));
    assert_eq!(store.vehicles().await.unwrap(), [vehicle(1)]);
    let seen = Change::Seen {
        eid: eid(1),
        at: 5,
        software: "a".into(),
        card: "[]".into(),
    };
    store.commit(vec![seen]).await.unwrap();
    assert_eq!(
        store.vehicle(eid(1)).await.unwrap().unwrap().last_seen,
        Some(5)
    );

    let eva = account(EVA, "eva");
    store
        .commit(vec![Change::AddAccount(eva.clone())])
        .await
        .unwrap();
    let taken = Change::AddAccount(account(AccountRef([2; 16]), "eva"));
    assert_eq!(store.commit(vec![taken]).await, Err(StoreError::Taken));
    assert_eq!(store.account(EVA).await.unwrap(), Some(eva.clone()));
    assert_eq!(store.account_named("eva").await.unwrap(), Some(eva));
    assert_eq!(store.account_named("' OR 1=1 --").await.unwrap(), None);

    let attempts = |count| Attempts {
        count,
        since: 3,
        last: Some([4; 16]),
    };
    for count in [1, 2] {
        let change = Change::SetAttempts("k".into(), Some(attempts(count)));
        store.commit(vec![change]).await.unwrap();
        assert_eq!(store.attempts("k").await.unwrap(), Some(attempts(count)));
    }
    store
        .commit(vec![Change::SetAttempts("k".into(), None)])
        .await
        .unwrap();
    assert_eq!(store.attempts("k").await.unwrap(), None);

    assert!(!store.has_logged_in(eid(1), EVA).await.unwrap());
    let login = || Change::LoggedIn(eid(1), EVA, 1);
    store.commit(vec![login(), login()]).await.unwrap();
    assert!(store.has_logged_in(eid(1), EVA).await.unwrap());
    assert!(!store.has_logged_in(eid(2), EVA).await.unwrap());

    let session = PortalSession {
        token_hash: "h".into(),
        account: EVA,
        expires_at: 10,
    };
    store
        .commit(vec![Change::AddSession(session.clone())])
        .await
        .unwrap();
    assert_eq!(store.session("h").await.unwrap(), Some(session));
    store
        .commit(vec![Change::RemoveSession("h".into())])
        .await
        .unwrap();
    assert_eq!(store.session("h").await.unwrap(), None);
}

async fn subscriptions<S: Store>(store: &S) {
    let onboarding = Onboarding {
        sid: [5; 16],
        msp: "m".into(),
        account: EVA,
        state: OnboardingState::Open,
        return_state: "s".into(),
        token: None,
        error: None,
        created_at: 1,
        expires_at: 2,
    };
    store
        .commit(vec![Change::AddOnboarding(onboarding.clone())])
        .await
        .unwrap();
    assert_eq!(
        store.onboarding_returning("s").await.unwrap(),
        Some(onboarding)
    );
    let token = MspToken::from_bytes([6; 16]);
    let done = Change::CloseOnboarding([5; 16], OnboardingState::Done, Some(token), None);
    store.commit(vec![done]).await.unwrap();
    assert_eq!(
        store.onboarding([5; 16]).await.unwrap().unwrap().token,
        Some(token)
    );

    let first = federation(1, "m", 1);
    store
        .commit(vec![Change::AddFederation(first.clone())])
        .await
        .unwrap();
    // R-5.3-2: unique per MSP only.
    let other = Change::AddFederation(federation(2, "n", 1));
    store.commit(vec![other]).await.unwrap();
    let same = Change::AddFederation(federation(3, "m", 1));
    assert_eq!(store.commit(vec![same]).await, Err(StoreError::Taken));
    assert_eq!(
        store.federation("m", first.token).await.unwrap(),
        Some(first.clone())
    );
    assert_eq!(store.federations(Some(EVA)).await.unwrap().len(), 2);
    let ended = Federation {
        ended_at: Some(9),
        ended_reason: Some("r".into()),
        ..first
    };
    store
        .commit(vec![Change::UpdateFederation(ended.clone())])
        .await
        .unwrap();
    assert_eq!(store.federation_by_id([1; 16]).await.unwrap(), Some(ended));

    let profile = |n, last_used| Profile {
        iccid: iccid(n),
        federation: [1; 16],
        eid: eid(1),
        status: ProfileStatus::Prepared,
        verdict: MspVerdict::Valid,
        last_used,
        created_at: 1,
    };
    let changes = [profile(1, 20), profile(2, 10)].map(Change::PutProfile);
    store.commit(changes.to_vec()).await.unwrap();
    let order: Vec<_> = store.profiles(Some([1; 16])).await.unwrap();
    assert_eq!(
        order,
        [profile(2, 10), profile(1, 20)],
        "least recently used first"
    );
    let enabled = Profile {
        status: ProfileStatus::Enabled,
        ..profile(2, 30)
    };
    store
        .commit(vec![Change::PutProfile(enabled.clone())])
        .await
        .unwrap();
    assert_eq!(store.profiles_with(&iccid(2)).await.unwrap(), [enabled]);

    let open = request(1);
    store
        .commit(vec![
            Change::PutRequest(open.clone()),
            Change::PutRequest(request(2)),
        ])
        .await
        .unwrap();
    assert_eq!(store.request([1; 16]).await.unwrap(), Some(open.clone()));
    assert_eq!(
        store.requests([1; 16]).await.unwrap(),
        [request(2), request(1)]
    );
    assert_eq!(
        store.request_of_car(eid(1), [101; 16]).await.unwrap(),
        Some(open.clone())
    );
    assert_eq!(store.request_of_car(eid(2), [101; 16]).await.unwrap(), None);
    assert!(store.undelivered(eid(1)).await.unwrap().is_empty());
    assert_eq!(store.overdue(999).await.unwrap().len(), 0);
    assert_eq!(store.overdue(1000).await.unwrap().len(), 2);
    let answered = CodeRequest {
        state: RequestState::Answered,
        code: Some(Secret::new("1$h$X".into())),
        iccid: Some(iccid(1)),
        ..open
    };
    store
        .commit(vec![Change::PutRequest(answered.clone())])
        .await
        .unwrap();
    assert_eq!(
        store.undelivered(eid(1)).await.unwrap(),
        std::slice::from_ref(&answered)
    );
    let delivered = CodeRequest {
        delivered_at: Some(4),
        ..answered
    };
    store
        .commit(vec![Change::PutRequest(delivered)])
        .await
        .unwrap();
    assert!(store.undelivered(eid(1)).await.unwrap().is_empty());

    let report = Report {
        eid: eid(1),
        seq: 1,
        iccid: Some(iccid(1)),
        account: None,
        status: Status::Installed,
        code: 0,
        received_at: 3,
    };
    assert!(!store.has_report(&report).await.unwrap());
    store
        .commit(vec![Change::AddReport(report.clone())])
        .await
        .unwrap();
    assert!(store.has_report(&report).await.unwrap());
    // The same again by a car whose journal was lost: its number has another epoch.
    for epoch in [1, 0x7FFF_FFFF_u64] {
        let report = Report {
            seq: epoch << 32 | 1,
            ..report.clone()
        };
        assert!(!store.has_report(&report).await.unwrap(), "{epoch}");
        store
            .commit(vec![Change::AddReport(report.clone())])
            .await
            .unwrap();
        assert!(store.has_report(&report).await.unwrap());
    }
    // A car that counts from the start again says something else under the same number.
    let again = Report {
        status: Status::Deleted,
        ..report
    };
    assert!(!store.has_report(&again).await.unwrap());
}

async fn orders<S: Store>(store: &S) {
    let order = |id: u8, kind| Order {
        id: [id; 16],
        eid: eid(u32::from(id)),
        kind,
        reason: "r".into(),
        federation: None,
        correlation: [id | 0x40; 16],
        state: OrderState::Open,
        code: None,
        attempts: 0,
        created_at: u64::from(id),
        sent_at: None,
        closed_at: None,
    };
    let kinds = [
        OrderKind::Delete { iccid: iccid(1) },
        OrderKind::Disable { iccid: iccid(1) },
        OrderKind::Logout { account: EVA },
    ];
    for (id, kind) in (1..).zip(kinds) {
        let order = order(id, kind);
        store
            .commit(vec![Change::AddOrder(order.clone())])
            .await
            .unwrap();
        assert_eq!(store.order([id; 16]).await.unwrap(), Some(order));
    }
    assert_eq!(store.unsent(2).await.unwrap().len(), 2);
    store
        .commit(vec![Change::OrderSent([2; 16], 9)])
        .await
        .unwrap();
    assert_eq!(store.unsent(2).await.unwrap().len(), 1);
    let close = Change::CloseOrder([1; 16], OrderState::Failed, Some(7), 11);
    store.commit(vec![close]).await.unwrap();
    // A result that comes again changes nothing.
    let again = Change::CloseOrder([1; 16], OrderState::Done, None, 12);
    store.commit(vec![again]).await.unwrap();
    assert_eq!(store.orders(None, true).await.unwrap().len(), 2);
    assert_eq!(store.orders(None, false).await.unwrap().len(), 3);
    assert!(store.orders(Some(eid(1)), true).await.unwrap().is_empty());
    let closed = store.order([1; 16]).await.unwrap().unwrap();
    assert_eq!((closed.code, closed.closed_at), (Some(7), Some(11)));
    assert_eq!(store.order([2; 16]).await.unwrap().unwrap().attempts, 1);
    let events = |id| async move {
        let list = store.history([id; 16]).await.unwrap();
        list.into_iter().map(|h| h.event).collect::<Vec<_>>()
    };
    assert_eq!(events(2).await, ["given", "sent"]);
    assert_eq!(events(1).await[..2], ["given", "failed"]);
    // What has the same time keeps the order in which it was given.
    let same = |id| Order {
        eid: eid(9),
        created_at: 5,
        ..order(id, OrderKind::Disable { iccid: iccid(1) })
    };
    let list = [99, 98, 97].map(|id| Change::AddOrder(same(id)));
    store.commit(list.to_vec()).await.unwrap();
    let got = store.orders(Some(eid(9)), true).await.unwrap();
    assert_eq!(
        got.iter().map(|o| o.id[0]).collect::<Vec<_>>(),
        [99, 98, 97]
    );
}

// R-7.8-5
async fn outbox<S: Store>(store: &S) {
    assert_eq!(store.next_due().await.unwrap(), None);
    let calls = [call(1, "a", 10), call(2, "a", 0), call(3, "b", 20)].map(Change::AddCall);
    store.commit(calls.to_vec()).await.unwrap();
    // A claim that ends at once is none.
    let due = |now| async move {
        let list = store.claim("me", now, now, 10).await.unwrap();
        let mut ids: Vec<u8> = list.into_iter().map(|c| c.id[0]).collect();
        ids.sort_unstable();
        ids
    };
    // The second of a lane waits for the first, however late that is.
    assert!(due(9).await.is_empty());
    assert_eq!(due(10).await, [1]);
    assert_eq!(due(20).await, [1, 3]);
    let retry = Change::RetryCall {
        id: [1; 16],
        attempts: 1,
        at: 20,
        next_at: 30,
        error: "e".into(),
    };
    store.commit(vec![retry]).await.unwrap();
    assert_eq!(due(20).await, [3]);
    assert_eq!(store.next_due().await.unwrap(), Some(20));
    store
        .commit(vec![Change::GiveUpCall([3; 16], 21, "never".into())])
        .await
        .unwrap();
    let done = |id| Change::CloseCall([id; 16], CallState::Done, 22);
    store.commit(vec![done(1)]).await.unwrap();
    assert_eq!(due(20).await, [2]);
    let state = |id| async move { store.call([id; 16]).await.unwrap().unwrap().state };
    assert_eq!(state(1).await, CallState::Done);
    // What is closed stays so.
    store
        .commit(vec![Change::ReviveCall([1; 16], 0)])
        .await
        .unwrap();
    assert_eq!(state(1).await, CallState::Done);
    let dead = store.calls(Some(CallState::Dead)).await.unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].last_error.as_deref(), Some("never"));
    store
        .commit(vec![Change::ReviveCall([3; 16], 25)])
        .await
        .unwrap();
    assert_eq!(due(25).await, [2, 3]);
    let token = MspToken::from_bytes([1; 16]);
    assert!(store.has_calls("m", token).await.unwrap());
    let work = store.work().await.unwrap();
    assert_eq!((work.due_calls, work.dead_calls), (2, 0));
    store.commit(vec![done(2), done(3)]).await.unwrap();
    assert!(!store.has_calls("m", token).await.unwrap());
    let newest = store.newest_in_lane("m", "a").await.unwrap();
    assert_eq!(newest.map(|c| c.id), Some([2; 16]));
    let history = store.history([3; 16]).await.unwrap();
    let events: Vec<_> = history.iter().map(|h| h.event.as_str()).collect();
    // The first line is that of the order with the same id.
    assert_eq!(events[1..], ["dead", "revived"]);
}

// R-4.3-5 R-4.5-10 R-4.4.2-7
async fn choices<S: Store>(store: &S) {
    let prefer = |eid, id| Change::Prefer(EVA, eid, id);
    store
        .commit(vec![
            prefer(None, Some([1; 16])),
            prefer(Some(eid(1)), Some([1; 16])),
            prefer(Some(eid(1)), Some([2; 16])),
        ])
        .await
        .unwrap();
    assert_eq!(store.preference(EVA, None).await.unwrap(), Some([1; 16]));
    let here = store.preference(EVA, Some(eid(1))).await.unwrap();
    assert_eq!(here, Some([2; 16]));
    store
        .commit(vec![prefer(Some(eid(1)), None)])
        .await
        .unwrap();
    assert_eq!(store.preference(EVA, Some(eid(1))).await.unwrap(), None);
    let hold = Hold {
        federation: [1; 16],
        eid: eid(1),
        since: 3,
    };
    store
        .commit(vec![
            Change::SetHold(hold.clone()),
            Change::SetHold(hold.clone()),
        ])
        .await
        .unwrap();
    assert_eq!(store.hold([1; 16], eid(1)).await.unwrap(), Some(hold));
    assert_eq!(store.hold([1; 16], eid(2)).await.unwrap(), None);
    store
        .commit(vec![Change::ClearHold([1; 16], eid(1))])
        .await
        .unwrap();
    assert_eq!(store.hold([1; 16], eid(1)).await.unwrap(), None);
    let notice = UserNotice {
        id: [7; 16],
        account: EVA,
        at: 1,
        kind: NoticeKind::UnlinkedByMsp,
        detail: "m".into(),
    };
    store
        .commit(vec![Change::AddNotice(notice.clone())])
        .await
        .unwrap();
    let foreign = Change::RemoveNotice(AccountRef([9; 16]), notice.id);
    store.commit(vec![foreign]).await.unwrap();
    let told = store.notices(EVA).await.unwrap();
    assert_eq!(told, std::slice::from_ref(&notice));
    let read = Change::RemoveNotice(EVA, notice.id);
    store.commit(vec![read]).await.unwrap();
    assert!(store.notices(EVA).await.unwrap().is_empty());
}

async fn audit<S: Store>(store: &S) {
    let entry = |at, actor: &str, detail: &str| Audit {
        at,
        actor: actor.into(),
        action: "did".into(),
        detail: detail.into(),
        reason: Some("why".into()),
    };
    let list = [
        entry(1, "a", "x 100%"),
        entry(2, "b", "x 1000"),
        entry(3, "a", "y"),
    ];
    let changes = list.clone().map(Change::Audit);
    store.commit(changes.to_vec()).await.unwrap();
    let filter = |since, actor: Option<&str>, about: Option<&str>, limit| AuditFilter {
        since,
        actor: actor.map(Into::into),
        about: about.map(Into::into),
        limit,
    };
    let get = |f: AuditFilter| async move {
        let got = store.audits(&f).await.unwrap();
        got.into_iter().map(|a| a.at).collect::<Vec<_>>()
    };
    assert_eq!(store.audits(&filter(0, None, None, 9)).await.unwrap(), list);
    assert_eq!(get(filter(0, None, None, 2)).await, [2, 3], "the newest");
    assert_eq!(get(filter(2, Some("a"), None, 9)).await, [3]);
    // A wildcard is a character.
    assert_eq!(get(filter(0, None, Some("100%"), 9)).await, [1]);
}

// R-A.4-6
async fn retired<S: Store>(store: &S) {
    let vehicle = Vehicle {
        vin: Some("WAU1".into()),
        ..vehicle(50)
    };
    store
        .commit(vec![
            Change::AddVehicle(vehicle),
            Change::LoggedIn(eid(50), EVA, 1),
        ])
        .await
        .unwrap();
    assert_eq!(store.users_of(eid(50)).await.unwrap(), [EVA]);
    assert!(store.cars_of(EVA).await.unwrap().contains(&eid(50)));
    let gone = Change::RetireVehicle(eid(50), 9, "r".into(), Some(eid(51)));
    store
        .commit(vec![gone, Change::ForgetLogins(eid(50))])
        .await
        .unwrap();
    let vehicle = store.vehicle(eid(50)).await.unwrap().unwrap();
    assert_eq!(
        (
            vehicle.retired_at,
            vehicle.replaced_by,
            vehicle.vin.as_deref()
        ),
        (Some(9), Some(eid(51)), Some("WAU1"))
    );
    assert!(store.users_of(eid(50)).await.unwrap().is_empty());
}

// R-4.4.1-14 R-A.3-4
async fn forgets<S: Store>(store: &S) {
    let bob = AccountRef([0xB0; 16]);
    let own = Federation {
        account: bob,
        ..federation(60, "m", 60)
    };
    let profile = Profile {
        iccid: iccid(60),
        federation: own.id,
        eid: eid(1),
        status: ProfileStatus::Deleted,
        verdict: MspVerdict::Valid,
        last_used: 1,
        created_at: 1,
    };
    let request = CodeRequest {
        federation: own.id,
        ..request(60)
    };
    let report = Report {
        eid: eid(1),
        seq: 60,
        iccid: Some(iccid(60)),
        account: Some(bob),
        status: Status::Deleted,
        code: 0,
        received_at: 1,
    };
    let told = Call {
        token: own.token,
        ..call(60, "s", 0)
    };
    store
        .commit(vec![
            Change::AddAccount(account(bob, "bob")),
            Change::LoggedIn(eid(1), bob, 1),
            Change::AddFederation(own.clone()),
            Change::PutProfile(profile),
            Change::PutRequest(request),
            Change::AddReport(report.clone()),
            Change::AddCall(told),
            Change::AddFederation(federation(61, "n", 60)),
        ])
        .await
        .unwrap();
    store.commit(vec![Change::EraseAccount(bob)]).await.unwrap();
    let erased = store.account(bob).await.unwrap().unwrap();
    assert!(!format!("{erased:?}").contains("DROP TABLE"), "{erased:?}");
    assert_eq!(store.account_named("bob").await.unwrap(), None);
    assert!(!store.has_logged_in(eid(1), bob).await.unwrap());
    store
        .commit(vec![Change::PurgeFederation(own.id)])
        .await
        .unwrap();
    assert_eq!(store.federation("m", own.token).await.unwrap(), None);
    assert!(store.profiles_with(&iccid(60)).await.unwrap().is_empty());
    assert!(store.requests(own.id).await.unwrap().is_empty());
    assert!(!store.has_report(&report).await.unwrap());
    assert_eq!(store.call([60; 16]).await.unwrap(), None);
    // The same token of another MSP is another's.
    assert!(store.federation("n", own.token).await.unwrap().is_some());
    store
        .commit(vec![Change::RemoveAccount(bob)])
        .await
        .unwrap();
    assert_eq!(store.account(bob).await.unwrap(), None);
}

async fn turns(store: &SqlStore, other: &SqlStore) {
    let count = async |store: SqlStore| {
        for _ in 0..20 {
            let turn = store.turn().await.unwrap();
            let before = store
                .attempts("turns")
                .await
                .unwrap()
                .map_or(0, |a| a.count);
            tokio::task::yield_now().await;
            let after = Attempts {
                count: before + 1,
                since: 0,
                last: None,
            };
            let change = Change::SetAttempts("turns".into(), Some(after));
            store.commit_in(turn, vec![change]).await.unwrap();
        }
    };
    tokio::join!(
        count(store.clone()),
        count(other.clone()),
        count(other.clone())
    );
    let count = store.attempts("turns").await.unwrap().unwrap().count;
    assert_eq!(count, 60, "nobody decided on what another had changed");
    // A turn that is given up is another's, and nothing of it is left.
    drop(store.turn().await.unwrap());
    drop(other.turn().await.unwrap());
}

async fn repetitions<S: Store>(store: &S) {
    let answered = Answered {
        client: "c".into(),
        request_id: [1; 16],
        digest: "d".into(),
        status: 201,
        body: String::new(),
        at: 1,
    };
    store
        .commit(vec![Change::Remember(answered.clone())])
        .await
        .unwrap();
    assert_eq!(
        store.answered("c", [1; 16]).await.unwrap(),
        Some(answered.clone())
    );
    assert_eq!(store.answered("d", [1; 16]).await.unwrap(), None);
    let twice = Change::Remember(answered);
    assert_eq!(store.commit(vec![twice]).await, Err(StoreError::Taken));
    store
        .commit(vec![Change::Prune(8 * 24 * 3600 * 1000)])
        .await
        .unwrap();
    assert_eq!(store.answered("c", [1; 16]).await.unwrap(), None);
}

#[tokio::test]
async fn sqlite_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cmp.sqlite");
    let store: SqlStore = migrate(&path).await.unwrap();
    contract(&store).await;
    // Another process sees it at once, and it is there after a close.
    let other = migrate(&path).await.unwrap();
    assert_eq!(other.vehicles().await.unwrap().len(), 2);
    turns(&store, &other).await;
    store.close().await;
    other.close().await;
    let again = migrate(&path).await.unwrap();
    assert_eq!(again.federations(None).await.unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_keeps_the_contract() {
    let Some(server) = Postgres::start() else {
        return;
    };
    let url: Database = server.url().parse().unwrap();
    let store = migrate(&url).await.unwrap();
    contract(&store).await;
    let other = migrate(&url).await.unwrap();
    assert_eq!(other.vehicles().await.unwrap().len(), 2);
    turns(&store, &other).await;
    claims(&store, &other).await;
    store.close().await;
    other.close().await;
    let again = migrate(&url).await.unwrap();
    assert_eq!(again.federations(None).await.unwrap().len(), 3);
    again.close().await;
}

/// Two instances share the work: no call is taken twice, and one that was lost comes again.
async fn claims(store: &SqlStore, other: &SqlStore) {
    let calls = (100..150).map(|n| Change::AddCall(call(n, &format!("lane {n}"), 0)));
    store.commit(calls.collect()).await.unwrap();
    let take = async |store: &SqlStore, who: &str| {
        let mut got = Vec::new();
        loop {
            let list = store.claim(who, 10, 1000, 3).await.unwrap();
            if list.is_empty() {
                return got;
            }
            got.extend(list.into_iter().map(|c| c.id[0]));
        }
    };
    let (mut a, b) = tokio::join!(take(store, "a"), take(other, "b"));
    a.extend(b);
    a.sort_unstable();
    assert_eq!(a, (100..150).collect::<Vec<u8>>(), "each once");
    assert_eq!(store.next_due().await.unwrap(), Some(1000));
    // An instance died: its claim ends.
    assert_eq!(other.claim("b", 1000, 2000, 100).await.unwrap().len(), 50);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said_without_its_password() {
    let url: Database = "postgres://cmp:s3cret@127.0.0.1:1/aid".parse().unwrap();
    let error = migrate(&url).await.unwrap_err().to_string();
    assert!(error.contains("postgres://127.0.0.1:1/aid"), "{error}");
    assert!(!error.contains("s3cret"), "{error}");
}

#[tokio::test]
async fn two_writers_wait_for_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cmp.sqlite");
    let (a, b) = (migrate(&path).await.unwrap(), migrate(&path).await.unwrap());
    let write = |store: SqlStore, from: u32| async move {
        for n in from..from + 50 {
            store
                .commit(vec![Change::AddVehicle(vehicle(n))])
                .await
                .unwrap();
        }
    };
    tokio::join!(write(a.clone(), 0), write(b, 100), write(a.clone(), 200));
    assert_eq!(a.vehicles().await.unwrap().len(), 150);
}
