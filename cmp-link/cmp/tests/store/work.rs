//! Orders, calls and answers.

use crate::book::Book;
use crate::{EVA, call, eid, iccid, vehicle};
use aid_cmp::store::{Claim, Kept, StoreError};
use aid_cmp_core::change::Change;
use aid_cmp_core::model::{Answered, Call, CallKind, CallState, Order, OrderState};
use aid_id::MspToken;
use aid_wire::OrderKind;

pub(crate) async fn orders(store: &Book) {
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
    let cars = [2, 3, 9].map(|n| Change::AddVehicle(vehicle(n)));
    store.commit(cars.to_vec()).await.unwrap();
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
    let new = store.unsent(2, None, 9).await.unwrap();
    assert_eq!(new.len(), 2);
    let behind = Some((new[0].1.created_at, new[0].0));
    assert_eq!(store.unsent(2, behind, 9).await.unwrap(), new[1..]);
    store
        .commit(vec![Change::OrderSent([2; 16], 9)])
        .await
        .unwrap();
    assert_eq!(store.unsent(2, None, 9).await.unwrap().len(), 1);
    let close = Change::CloseOrder([1; 16], OrderState::Failed, Some(7), 11);
    store.commit(vec![close]).await.unwrap();
    // A result that comes again changes nothing.
    let again = Change::CloseOrder([1; 16], OrderState::Done, None, 12);
    store.commit(vec![again]).await.unwrap();
    assert_eq!(store.orders(None, true).await.unwrap().len(), 2);
    assert_eq!(store.orders(None, false).await.unwrap().len(), 3);
    assert!(store.open_orders(eid(1)).await.unwrap().is_empty());
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
    let got = store.open_orders(eid(9)).await.unwrap();
    assert_eq!(
        got.iter().map(|o| o.id[0]).collect::<Vec<_>>(),
        [99, 98, 97]
    );
}

// R-7.8-5
pub(crate) async fn outbox(store: &Book) {
    assert_eq!(store.next_due(0).await.unwrap(), None);
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
    assert_eq!(store.next_due(5).await.unwrap(), Some(20));
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
    let dead = store.calls(CallState::Dead).await.unwrap();
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

/// A call in front that is put off holds up those behind it, and nobody looks at them meanwhile; another MSP's calls, and
/// those of another kind, are due all the same.
pub(crate) async fn backlog(store: &Book) {
    let next = async |id: u8| store.call([id; 16]).await.unwrap().unwrap().next_at;
    let of = |id, msp: &str, kind, lane| Call {
        msp: msp.into(),
        kind,
        ..call(id, lane, 5)
    };
    let calls = [
        of(60, "slow", CallKind::Status, "a"),
        of(61, "slow", CallKind::Status, "a"),
        of(62, "slow", CallKind::Query, "q"),
        of(63, "other", CallKind::Status, "a"),
    ];
    let calls = calls.map(Change::AddCall);
    store.commit(calls.to_vec()).await.unwrap();
    let lanes = async |now| {
        let lanes = store.0.read(async move |tx| tx.due_lanes(now).await);
        let lanes = lanes.await.unwrap().into_iter();
        lanes.map(|l| (l.msp, l.kind, l.next)).collect::<Vec<_>>()
    };
    let (other, slow) = ("other".to_owned(), "slow".to_owned());
    assert_eq!(
        lanes(5).await,
        [
            (other.clone(), CallKind::Status, Some(5)),
            (slow.clone(), CallKind::Query, Some(5)),
            (slow.clone(), CallKind::Status, Some(5)),
        ]
    );
    let put_off = |id, next_at| Change::RetryCall {
        id: [id; 16],
        attempts: 1,
        at: 6,
        next_at,
        error: "e".into(),
    };
    store.commit(vec![put_off(60, 100)]).await.unwrap();
    assert_eq!((next(61).await, next(63).await), (100, 5));
    // A new one behind it waits as long, too.
    let behind = of(64, "slow", CallKind::Status, "a");
    store.commit(vec![Change::AddCall(behind)]).await.unwrap();
    assert_eq!(next(64).await, 100);
    assert_eq!(
        lanes(50).await[2],
        (slow.clone(), CallKind::Status, Some(100))
    );
    let claim = async |msp: &str, kind| {
        let claim = Claim {
            who: "me".into(),
            msp: msp.into(),
            kind,
            now: 50,
            until: 50,
            limit: 9,
        };
        let claimed = store.0.claim(claim).await.unwrap();
        claimed.into_iter().map(|c| c.id[0]).collect::<Vec<_>>()
    };
    assert!(claim("slow", CallKind::Status).await.is_empty());
    assert_eq!(claim("slow", CallKind::Query).await, [62]);
    assert_eq!(claim("other", CallKind::Status).await, [63]);
    // The end of the one in front lets the next go, and it alone: it is in front now.
    let dropped = Change::CloseCall([60; 16], CallState::Dropped, 51);
    store.commit(vec![dropped]).await.unwrap();
    assert_eq!(claim("slow", CallKind::Status).await, [61]);
    // That it fails afterwards, because it was being made when it was dropped, puts off nobody; nor does one that is done
    // or was given up, or that nobody knows.
    let before = (next(61).await, next(64).await);
    store.commit(vec![put_off(60, 500)]).await.unwrap();
    assert_eq!((next(61).await, next(64).await), before);
    let ends = [
        Change::CloseCall([70; 16], CallState::Done, 51),
        Change::GiveUpCall([71; 16], 51, "e".into()),
    ];
    let ended = [70, 71].map(|id| Change::AddCall(of(id, "slow", CallKind::Status, "b")));
    let waits = Change::AddCall(of(72, "slow", CallKind::Status, "b"));
    let all = ended.into_iter().chain(ends).chain([waits]);
    store.commit(all.collect()).await.unwrap();
    let waits = next(72).await;
    let late = [70, 71, 79].map(|id| put_off(id, 500));
    store.commit(late.to_vec()).await.unwrap();
    assert_eq!((next(72).await, next(61).await), (waits, before.0));
    let over = Change::CloseCall([72; 16], CallState::Dropped, 51);
    store.commit(vec![over]).await.unwrap();
    // So does one that is given up, and one that an operator revives goes before those that came later.
    store
        .commit(vec![Change::GiveUpCall([61; 16], 52, "e".into())])
        .await
        .unwrap();
    assert_eq!(claim("slow", CallKind::Status).await, [64]);
    store.commit(vec![put_off(64, 100)]).await.unwrap();
    let revived = Change::ReviveCall([61; 16], 50);
    store.commit(vec![revived]).await.unwrap();
    assert_eq!(claim("slow", CallKind::Status).await, [61]);
    let done = [61, 62, 63, 64].map(|id| Change::CloseCall([id; 16], CallState::Done, 60));
    store.commit(done.to_vec()).await.unwrap();
    assert!(lanes(1000).await.is_empty());
}

pub(crate) async fn repetitions(store: &Book) {
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
    store.prune(8 * 24 * 3600 * 1000).await.unwrap();
    assert_eq!(store.answered("c", [1; 16]).await.unwrap(), None);
    // What is old goes a limited number at a time, so that others get their turn; with its history, where it has one.
    let old = (0..600_u16).flat_map(|n| {
        let mut id = [0xF0; 16];
        id[..2].copy_from_slice(&n.to_be_bytes());
        let old = Call {
            id,
            ..call(0, &format!("old {n}"), 0)
        };
        [
            Change::AddCall(old),
            Change::GiveUpCall(id, 1, "old".into()),
            Change::CloseCall(id, CallState::Dropped, 1),
        ]
    });
    store.commit(old.collect()).await.unwrap();
    let late = 200 * 24 * 3600 * 1000;
    let closed = async || {
        let calls = store.calls(CallState::Dropped).await.unwrap();
        calls.iter().filter(|c| c.id[2] == 0xF0).count()
    };
    let mut id = [0xF0; 16];
    id[..2].copy_from_slice(&[0, 0]);
    assert_eq!(store.history(id).await.unwrap().len(), 1);
    assert_eq!(closed().await, 600);
    let mut kept = Kept::default();
    assert!(store.0.prune(late, &mut kept).await.unwrap());
    assert_eq!(closed().await, 100);
    assert!(!store.0.prune(late, &mut kept).await.unwrap());
    assert_eq!(closed().await, 0);
    assert!(store.history(id).await.unwrap().is_empty());
}

/// Two instances share the work: no call is taken twice, and one that was lost comes again.
pub(crate) async fn claims(store: &Book, other: &Book) {
    let calls = (100..150).map(|n| Change::AddCall(call(n, &format!("lane {n}"), 0)));
    store.commit(calls.collect()).await.unwrap();
    // Under a new name each time: what an instance has claimed it gets again.
    let take = async |store: &Book, who: &str| {
        let mut got = Vec::new();
        for n in 0.. {
            let list = store
                .claim(&format!("{who}{n}"), 10, 1000, 3)
                .await
                .unwrap();
            if list.is_empty() {
                break;
            }
            got.extend(list.into_iter().map(|c| c.id[0]));
        }
        got
    };
    let (mut a, b) = tokio::join!(take(store, "a"), take(other, "b"));
    a.extend(b);
    a.sort_unstable();
    assert_eq!(a, (100..150).collect::<Vec<u8>>(), "each once");
    assert_eq!(store.next_due(999).await.unwrap(), None, "all are claimed");
    assert_eq!(store.next_due(1000).await.unwrap(), Some(1000));
    // An instance died: its claim ends.
    let claimed = async |who: &str| store.claim(who, 1000, 2000, 100).await.unwrap().len();
    assert_eq!(claimed("b").await, 50);
    // What is its own it gets again, and nobody else.
    assert_eq!((claimed("b").await, claimed("c").await), (50, 0));
    // It lives, and its calls take long: they stay its own beyond the end of its first claim. A claim that another has
    // taken over stays with that one.
    store.renew("b", 4000).await.unwrap();
    store.renew("a", 9000).await.unwrap();
    let later = async |who: &str, now| store.claim(who, now, now + 100, 100).await.unwrap().len();
    assert_eq!((later("c", 3000).await, later("c", 4000).await), (0, 50));
    store.renew("b", 9000).await.unwrap();
    assert_eq!(later("b", 4100).await, 50);
    assert_eq!(claimed("b").await, 50);
    // It stops: others need not wait.
    store.release("b").await.unwrap();
    assert_eq!(claimed("c").await, 50);
}
