//! Lanes: whatever happens to the calls of a token towards a party, one of them waits and the others queue behind it, until
//! all have left.

use super::*;

/// Numbers that look random and are the same each time.
fn shuffle(seed: u64) -> u64 {
    let mut x = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

fn audit(at: i64) -> AuditRow {
    AuditRow {
        at,
        actor: "operator".into(),
        action: "x".into(),
        subject: "x".into(),
        reason: "x".into(),
    }
}

async fn all(store: &Store) -> Vec<CallRow> {
    let filter = CallFilter {
        state: None,
        pair: None,
        limit: 10_000,
    };
    store.calls(filter).await.unwrap()
}

/// One of the lane waits if any queues, and never more than one.
async fn check(store: &Store, after: &str) {
    let calls = all(store).await;
    let in_state = |state| {
        let calls = calls.iter().filter(|call| call.state == state);
        calls.filter(|call| call.lane.is_some()).count()
    };
    let (waiting, queued) = (in_state(CallState::Waiting), in_state(CallState::Queued));
    let states: Vec<_> = calls.iter().map(|call| (call.id, call.state)).collect();
    assert!(
        waiting <= 1 && (waiting == 1 || queued == 0),
        "after {after}: {states:?}"
    );
}

/// One thing that can happen to a lane; says what it was.
async fn happen(store: &Store, pair: &PairId, key: TokenKey, n: u64, now: i64) -> &'static str {
    let calls = all(store).await;
    let random = shuffle(n);
    let pick = |state| {
        let found: Vec<_> = calls.iter().filter(|call| call.state == state).collect();
        let at = (random >> 32) as usize % found.len().max(1);
        found.get(at).map(|call| (*call).clone())
    };
    let answer = || Ended::Answer(Answer::done(StatusCode::CREATED));
    let end = async |id, ended, token| {
        let ended = store.end(id, ended, token, Meter::default(), now);
        ended.await.unwrap();
    };
    let settle = async |call, settled| {
        let (token, meter) = (TokenEnd::Stays, Meter::default());
        let done = store.settle(call, settled, "x".into(), token, meter, now);
        done.await.unwrap();
    };
    match random % 13 {
        0..=2 => {
            let mut call = new(UPDATE, pair, key, u128::from(n) + 100);
            call.at = now;
            store.begin(call).await.unwrap();
            "a call begins"
        }
        3 => {
            // Repeated by its caller, whatever became of it.
            let at = (random >> 32) as usize % calls.len();
            let mut call = new(UPDATE, pair, key, calls[at].request_id.as_u128());
            call.at = now;
            store.begin(call).await.unwrap();
            "a call is repeated"
        }
        4 => {
            // Also one that was taken over meanwhile, or delivered.
            for state in [CallState::Open, CallState::Waiting, CallState::Queued] {
                if let Some(call) = pick(state) {
                    end(call.id, answer(), TokenEnd::Stays).await;
                    break;
                }
            }
            "an answer is stored"
        }
        5 => {
            if let Some(call) = pick(CallState::Waiting) {
                end(call.id, answer(), TokenEnd::Stays).await;
            }
            "the answer of a call that was taken over is stored"
        }
        6 | 7 => {
            if let Some(call) = pick(CallState::Open) {
                end(call.id, keep(now), TokenEnd::Stays).await;
            }
            "a call is kept"
        }
        8 => {
            if let Some(call) = pick(CallState::Open) {
                end(call.id, Ended::Pass, TokenEnd::Stays).await;
            }
            "a call is passed"
        }
        9 => {
            let far = now + 1_000_000;
            store.adopt(far, now).await.unwrap();
            "open calls are taken over"
        }
        10 => {
            for call in due(store, "c0", now).await {
                let settled = match (random >> 16) % 4 {
                    0 => Settled::Done,
                    1 => Settled::Dead,
                    2 => Settled::Held(now),
                    _ => Settled::Again(now),
                };
                settle(call, settled).await;
            }
            "a call is delivered or not"
        }
        11 => {
            let state = match (random >> 16) % 3 {
                0 => CallState::Waiting,
                1 => CallState::Queued,
                _ => CallState::Dead,
            };
            if let Some(call) = pick(state) {
                store.drop_call(call.id, audit(now)).await.unwrap();
            }
            "a call is dropped"
        }
        _ => {
            for state in [CallState::Dead, CallState::Waiting] {
                if let Some(call) = pick(state) {
                    store.replay(call.id, audit(now)).await.unwrap();
                    break;
                }
            }
            "a call is replayed"
        }
    }
}

#[tokio::test]
async fn no_lane_sticks_whatever_happens_to_its_calls() {
    for place in places().await {
        let store = &place.store;
        let pair = pair("m0/c0");
        let key = token(&pair, 1);
        introduce(store, &pair, key, 1, true).await;
        let mut now = 10_000;
        for n in 0..400 {
            now += 10;
            let what = happen(store, &pair, key, n, now).await;
            check(store, what).await;
        }
        // Everything comes to its end by deliveries alone.
        store.adopt(i64::MAX, now).await.unwrap();
        for _ in 0..1000 {
            now += 100_000;
            let claimed = due(store, "c0", now).await;
            if claimed.is_empty() {
                break;
            }
            for call in claimed {
                let (token, meter) = (TokenEnd::Stays, Meter::default());
                let settled = store.settle(call, Settled::Done, String::new(), token, meter, now);
                settled.await.unwrap();
            }
        }
        let left = all(store).await;
        let stuck = left
            .iter()
            .filter(|call| matches!(call.state, CallState::Waiting | CallState::Queued));
        assert_eq!(stuck.count(), 0);
    }
}

/// A call that waits, and one behind it; both accepted at 1000.
async fn two(store: &Store, pair: &PairId, key: TokenKey) -> (i64, i64) {
    let first = id_of(store.begin(new(UPDATE, pair, key, 2)).await.unwrap());
    let kept = store.end(first, keep(1000), TokenEnd::Stays, Meter::default(), 1000);
    kept.await.unwrap();
    let behind = store.begin(new(UPDATE, pair, key, 3)).await.unwrap();
    assert_eq!(behind, Begun::Kept);
    (first, first + 1)
}

// The time until a call is given up begins when it could first be tried.
#[tokio::test]
async fn a_call_is_given_as_much_time_as_those_before_it() {
    for place in places().await {
        let store = &place.store;
        let pair = pair("m0/c0");
        let key = token(&pair, 1);
        introduce(store, &pair, key, 1, true).await;
        let (first, second) = two(store, &pair, key).await;
        let row = async |id| store.call(id).await.unwrap().unwrap();
        // Out of a suspension: looks at it are no attempts.
        for now in [50_000, 70_000] {
            let claimed = due(store, "c0", now).await.remove(0);
            let held = Settled::Held(now + 15_000);
            let (token, meter) = (TokenEnd::Stays, Meter::default());
            let settled = store.settle(claimed, held, "suspended".into(), token, meter, now);
            settled.await.unwrap();
        }
        let waited = row(first).await;
        assert_eq!((waited.attempts, waited.since), (0, 70_000));
        // Behind another one.
        let claimed = due(store, "c0", 90_000).await.remove(0);
        let (token, meter) = (TokenEnd::Stays, Meter::default());
        let settled = store.settle(claimed, Settled::Done, String::new(), token, meter, 90_000);
        settled.await.unwrap();
        let promoted = row(second).await;
        assert_eq!(
            (promoted.state, promoted.attempts, promoted.since),
            (CallState::Waiting, 0, 90_000)
        );
        // While the hub was down: due at 90,000, looked at 40,000 later.
        store.release(130_000).await.unwrap();
        assert_eq!(row(second).await.since, 130_000);
        // Repeated by its caller, long after it was passed.
        let mut call = new(UPDATE, &pair, TokenKey([9; 16]), 7);
        call.token = Some(key);
        let claimed = due(store, "c0", 140_000).await.remove(0);
        let (token, meter) = (TokenEnd::Stays, Meter::default());
        let settled = store.settle(claimed, Settled::Done, String::new(), token, meter, 140_000);
        settled.await.unwrap();
        let id = id_of(store.begin(call.clone()).await.unwrap());
        let passed = store.end(id, Ended::Pass, TokenEnd::Stays, Meter::default(), 1000);
        passed.await.unwrap();
        call.at = 200_000;
        assert_eq!(id_of(store.begin(call).await.unwrap()), id);
        assert_eq!(row(id).await.since, 200_000);
    }
}

// R-7.4-1, R-7.9-1: nor does a letter that fails after the end of its token keep what it said.
#[tokio::test]
async fn a_letter_of_an_ended_token_is_dropped_where_it_fails() {
    for place in places().await {
        let store = &place.store;
        let pair = pair("m0/c0");
        let key = token(&pair, 1);
        introduce(store, &pair, key, 1, true).await;
        let (first, second) = two(store, &pair, key).await;
        let mut ending = new(NOTIFY, &pair, key, 9);
        ending.keep = false;
        let id = id_of(store.begin(ending).await.unwrap());
        let answer = Ended::Answer(Answer::done(StatusCode::NO_CONTENT));
        let ended = store.end(id, answer, TokenEnd::Ended(key), Meter::default(), 2000);
        ended.await.unwrap();
        let claimed = due(store, "c0", 2000).await.remove(0);
        let (token, meter) = (TokenEnd::Stays, Meter::default());
        let settled = store.settle(claimed, Settled::Dead, "404".into(), token, meter, 2000);
        settled.await.unwrap();
        let dropped = store.call(first).await.unwrap().unwrap();
        assert_eq!((dropped.state, dropped.body), (CallState::Dropped, None));
        let next = store.call(second).await.unwrap().unwrap();
        assert_eq!(next.state, CallState::Waiting);
    }
}

#[tokio::test]
async fn without_room_nothing_is_stored_behind_others() {
    for place in places().await {
        let store = &place.store;
        let pair = pair("m0/c0");
        let key = token(&pair, 1);
        introduce(store, &pair, key, 1, true).await;
        two(store, &pair, key).await;
        let load = store.undelivered().await.unwrap()[&pair];
        assert_eq!((load.calls, load.bytes), (2, 34));
        let mut call = new(UPDATE, &pair, key, 8);
        call.room = false;
        assert_eq!(store.begin(call.clone()).await.unwrap(), Begun::Full);
        assert_eq!(all(store).await.len(), 3);
        // One that was passed before is not accepted by its repetition either.
        call.keep = false;
        let id = id_of(store.begin(call.clone()).await.unwrap());
        let passed = store.end(id, Ended::Pass, TokenEnd::Stays, Meter::default(), 1000);
        passed.await.unwrap();
        call.keep = true;
        assert_eq!(store.begin(call).await.unwrap(), Begun::Full);
    }
}
