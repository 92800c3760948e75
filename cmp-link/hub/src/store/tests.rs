//! The store on both engines: tokens, repetitions, lanes, dead letters, erasure.

use std::sync::Arc;

use aid_needs::postgres::Postgres;
use aid_store::Database;
use http::StatusCode;
use uuid::Uuid;

use super::*;
use crate::core::answer::Answer;
use crate::core::delivery::Settled;
use crate::core::operation::Operation;
use crate::core::pair::PairId;
use crate::core::token::TokenKey;

/// A database of either engine, and what it lives in.
struct Place {
    store: Store,
    folder: tempfile::TempDir,
    _server: Option<Arc<Postgres>>,
}

async fn places() -> Vec<Place> {
    let folder = tempfile::tempdir().unwrap();
    let file = Database::Sqlite(folder.path().join("hub.sqlite"));
    let mut places = vec![Place {
        store: Store::open(&file).await.unwrap(),
        folder,
        _server: None,
    }];
    if let Some(server) = Postgres::start() {
        let url: Database = server.url().parse().unwrap();
        places.push(Place {
            store: Store::open(&url).await.unwrap(),
            folder: tempfile::tempdir().unwrap(),
            _server: Some(Arc::new(server)),
        });
    }
    places
}

fn pair(text: &str) -> PairId {
    text.parse().unwrap()
}

fn token(pair: &PairId, n: u8) -> TokenKey {
    TokenKey::new(pair, aid_id::MspToken::from_bytes([n; 16]))
}

fn new(operation: &str, pair: &PairId, token: TokenKey, request: u128) -> NewCall {
    let operation = Operation::by_id(operation).unwrap();
    NewCall {
        party: pair.msp.clone(),
        request_id: Uuid::from_u128(request),
        correlation_id: Uuid::from_u128(7),
        pair: pair.clone(),
        target: pair.cmp.clone(),
        operation,
        digest: [1; 32],
        client_id: pair.msp.clone(),
        target_id: pair.cmp.clone(),
        token: Some(token),
        path: "/secret-path".into(),
        content_type: "application/json".into(),
        body: Some(b"{\"secret\":\"body\"}".to_vec()),
        keep: true,
        room: true,
        success: operation.contract().success(),
        meter: Meter::default(),
        meter_kept: Meter::default(),
        at: 1000,
    }
}

fn id_of(begun: Begun) -> i64 {
    match begun {
        Begun::Go(id) => id,
        other => panic!("{other:?}"),
    }
}

/// Introduces a token as Send MSP Token does.
async fn introduce(store: &Store, pair: &PairId, key: TokenKey, request: u128, accepted: bool) {
    let id = id_of(
        store
            .begin(new("sendMspToken", pair, key, request))
            .await
            .unwrap(),
    );
    let answer = Answer::done(StatusCode::CREATED);
    let end = if accepted {
        TokenEnd::Confirmed(key)
    } else {
        TokenEnd::Refused(key)
    };
    store
        .end(id, Ended::Answer(answer), end, Meter::default(), 1000)
        .await
        .unwrap();
}

async fn due(store: &Store, target: &str, now: i64) -> Vec<CallRow> {
    let due = Due {
        target: target.parse().unwrap(),
        places: 10,
        now,
        latest: now + 600_000,
    };
    store.claim(due).await.unwrap()
}

fn keep(next: i64) -> Ended {
    Ended::Keep(next, "away".into())
}

const UPDATE: &str = "updateSubscriptionInfo";
const NOTIFY: &str = "notifyMspTokenInvalid";

// R-1.1-1, R-5.3-2
#[tokio::test]
async fn a_foreign_token_is_as_unknown_as_none_and_costs_the_same() {
    for place in places().await {
        let store = &place.store;
        let (ours, theirs) = (pair("m0/c0"), pair("m1/c0"));
        introduce(store, &ours, token(&ours, 1), 1, true).await;
        introduce(store, &theirs, token(&theirs, 2), 2, true).await;
        introduce(store, &ours, token(&ours, 3), 3, false).await;
        assert_eq!(
            store.owns(token(&ours, 1)).await.unwrap(),
            Ownership::Lasting
        );
        // Another pair's, a refused one, one that nobody has.
        for n in [2, 3, 9] {
            let owner = store.owns(token(&ours, n)).await.unwrap();
            assert_eq!(owner, Ownership::None, "{n}");
        }
        let mut costs = Vec::new();
        for (n, request) in [(2, 10), (9, 11), (3, 12)] {
            let (reads, steps) = (store.0.reads(), store.0.steps());
            let owner = store.owns(token(&ours, n)).await.unwrap();
            assert_eq!(owner, Ownership::None);
            let looked = (store.reads() - reads, store.0.steps() - steps);
            let begun = store
                .begin(new(UPDATE, &ours, token(&ours, n), request))
                .await
                .unwrap();
            assert_eq!(begun, Begun::Unknown);
            costs.push(looked);
        }
        assert_eq!(costs[0], costs[1]);
        assert_eq!(costs[0], costs[2]);
        // Nothing of them is stored.
        let filter = CallFilter {
            state: None,
            pair: None,
            limit: 100,
        };
        assert_eq!(store.calls(filter).await.unwrap().len(), 3);
    }
}

// R-5.1-1: the same call again gets the same answer; another call under its id gets none.
#[tokio::test]
async fn repetitions_get_what_was_answered() {
    for place in places().await {
        let store = &place.store;
        let pair = pair("m0/c0");
        let key = token(&pair, 1);
        introduce(store, &pair, key, 1, true).await;
        let call = new(UPDATE, &pair, key, 2);
        let id = id_of(store.begin(call.clone()).await.unwrap());
        assert_eq!(store.begin(call.clone()).await.unwrap(), Begun::Running);
        // The same words to another party are another call.
        let mut elsewhere = call.clone();
        elsewhere.pair = "m0/c1".parse().unwrap();
        assert_eq!(store.begin(elsewhere).await.unwrap(), Begun::Mismatch);
        let mut other = call.clone();
        other.digest = [2; 32];
        assert_eq!(store.begin(other.clone()).await.unwrap(), Begun::Mismatch);
        // An answer that may change is not kept: the call is carried on again.
        let end = store.end(id, Ended::Pass, TokenEnd::Stays, Meter::default(), 1000);
        end.await.unwrap();
        assert_eq!(id_of(store.begin(call.clone()).await.unwrap()), id);
        let answer = Answer {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            kind: "application/json".into(),
            retry_after: None,
            body: b"{\"code\":\"91\"}".to_vec(),
        };
        let end = store.end(
            id,
            Ended::Answer(answer.clone()),
            TokenEnd::Stays,
            Meter::default(),
            1000,
        );
        end.await.unwrap();
        assert_eq!(
            store.begin(call.clone()).await.unwrap(),
            Begun::Answered(answer)
        );
        assert_eq!(store.begin(other).await.unwrap(), Begun::Mismatch);
        // Ids are those of one caller: another's are others.
        let mut theirs = call;
        theirs.party = "m1".parse().unwrap();
        id_of(store.begin(theirs).await.unwrap());
    }
}

#[tokio::test]
async fn kept_calls_of_a_token_go_in_their_order() {
    for place in places().await {
        let store = &place.store;
        let pair = pair("m0/c0");
        let (one, two) = (token(&pair, 1), token(&pair, 2));
        introduce(store, &pair, one, 1, true).await;
        introduce(store, &pair, two, 2, true).await;
        let first = id_of(store.begin(new(UPDATE, &pair, one, 3)).await.unwrap());
        let end = store.end(first, keep(5000), TokenEnd::Stays, Meter::default(), 1000);
        end.await.unwrap();
        // Behind it, without a try; another token is not.
        let behind = new(UPDATE, &pair, one, 4);
        assert_eq!(store.begin(behind.clone()).await.unwrap(), Begun::Kept);
        let repeated = store.begin(behind).await.unwrap();
        assert_eq!(repeated, Begun::Answered(Answer::done(StatusCode::CREATED)));
        id_of(store.begin(new(UPDATE, &pair, two, 5)).await.unwrap());
        assert_eq!(store.targets().await.unwrap(), ["c0".parse().unwrap()]);
        assert!(due(store, "c0", 4999).await.is_empty());
        let claimed = due(store, "c0", 5000).await;
        assert_eq!(claimed.len(), 1);
        assert_eq!(
            claimed[0].body.as_deref(),
            Some(b"{\"secret\":\"body\"}".as_slice())
        );
        // Claimed is claimed.
        assert!(due(store, "c0", 5001).await.is_empty());
        let settle = |call: CallRow, settled| {
            store.settle(
                call,
                settled,
                "later".into(),
                TokenEnd::Stays,
                Meter::default(),
                6000,
            )
        };
        settle(claimed[0].clone(), Settled::Again(7000))
            .await
            .unwrap();
        assert!(due(store, "c0", 6999).await.is_empty());
        let again = due(store, "c0", 7000).await;
        assert_eq!((again.len(), again[0].id), (1, first));
        settle(again[0].clone(), Settled::Done).await.unwrap();
        let second = due(store, "c0", 7001).await;
        assert_eq!(
            (second.len(), second[0].request_id),
            (1, Uuid::from_u128(4))
        );
        settle(second[0].clone(), Settled::Dead).await.unwrap();
        assert!(due(store, "c0", 99_000).await.is_empty());
        // A dead letter keeps its content, and can be replayed or dropped.
        let audit = |action: &str| AuditRow {
            at: 8000,
            actor: "operator".into(),
            action: action.into(),
            subject: second[0].id.to_string(),
            reason: "mended".into(),
        };
        assert!(store.replay(first, audit("x")).await.is_err());
        store
            .replay(second[0].id, audit("call replayed"))
            .await
            .unwrap();
        assert_eq!(due(store, "c0", 8000).await.len(), 1);
        store
            .drop_call(second[0].id, audit("call dropped"))
            .await
            .unwrap();
        let dropped = store.call(second[0].id).await.unwrap().unwrap();
        assert_eq!((dropped.state, dropped.body), (CallState::Dropped, None));
        assert!(store.replay(second[0].id, audit("x")).await.is_err());
        let trail = store.audit(0, 10).await.unwrap();
        let actions: Vec<_> = trail.iter().map(|row| row.action.as_str()).collect();
        assert_eq!(actions, ["call replayed", "call dropped"]);
    }
}

// R-7.4-1, R-7.9-1: once an onboarding has ended, nothing says which token it was.
#[tokio::test]
async fn the_end_of_a_token_erases_its_traces() {
    for place in places().await {
        let store = place.store;
        let pair = pair("m0/c0");
        let key = token(&pair, 1);
        introduce(&store, &pair, key, 1, true).await;
        let dead = id_of(store.begin(new(UPDATE, &pair, key, 2)).await.unwrap());
        let end = store.end(dead, keep(1000), TokenEnd::Stays, Meter::default(), 1000);
        end.await.unwrap();
        let claimed = due(&store, "c0", 1000).await.remove(0);
        let settled = store.settle(
            claimed,
            Settled::Dead,
            "no".into(),
            TokenEnd::Stays,
            Meter::default(),
            1000,
        );
        settled.await.unwrap();
        let end = id_of(store.begin(new(NOTIFY, &pair, key, 3)).await.unwrap());
        let answer = Ended::Answer(Answer::done(StatusCode::NO_CONTENT));
        let ended = store.end(end, answer, TokenEnd::Ended(key), Meter::default(), 2000);
        ended.await.unwrap();
        let filter = CallFilter {
            state: None,
            pair: None,
            limit: 100,
        };
        for call in store.calls(filter).await.unwrap() {
            assert_eq!(
                (call.path.as_str(), call.body, call.lane),
                ("", None, None),
                "{}",
                call.id
            );
        }
        assert_eq!(
            store.call(dead).await.unwrap().unwrap().state,
            CallState::Dropped
        );
        // Cars report deletions for a while.
        assert_eq!(store.owns(key).await.unwrap(), Ownership::Passing);
        let old = |ended_tokens| Retention {
            answers: 0,
            letters: 0,
            ended_tokens,
            pending_tokens: 0,
            audit: 0,
            meter_day: String::new(),
        };
        assert_eq!(store.prune(old(2000)).await.unwrap(), 0);
        assert_eq!(store.prune(old(2001)).await.unwrap(), 1);
        assert_eq!(store.owns(key).await.unwrap(), Ownership::None);
        store.empty_log().await.unwrap();
        store.close().await;
        for file in std::fs::read_dir(place.folder.path()).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            for secret in [b"secret-path".as_slice(), b"secret\":\"body", &key.0] {
                let found = bytes.windows(secret.len()).any(|window| window == secret);
                assert!(!found, "{}", String::from_utf8_lossy(secret));
            }
        }
    }
}

#[tokio::test]
async fn calls_of_an_instance_that_died_are_taken_over() {
    for place in places().await {
        let store = &place.store;
        let pair = pair("m0/c0");
        let key = token(&pair, 1);
        introduce(store, &pair, key, 1, true).await;
        let kept = id_of(store.begin(new(UPDATE, &pair, key, 2)).await.unwrap());
        let mut own = new(UPDATE, &pair, key, 3);
        own.keep = false;
        let own = id_of(store.begin(own).await.unwrap());
        assert_eq!(store.adopt(1000, 1000).await.unwrap(), 0);
        assert_eq!(store.adopt(100_000, 100_000).await.unwrap(), 2);
        assert_eq!(
            store.call(own).await.unwrap().unwrap().state,
            CallState::Released
        );
        let claimed = due(store, "c0", 100_000).await;
        assert_eq!((claimed.len(), claimed[0].id), (1, kept));
        // Its caller repeats it meanwhile: it is accepted, and not made twice.
        assert_eq!(
            store.begin(new(UPDATE, &pair, key, 2)).await.unwrap(),
            Begun::Kept
        );
    }
}

#[tokio::test]
async fn counts_of_a_day_add_up() {
    for place in places().await {
        let key = MeterKey {
            day: "2026-11-30".into(),
            pair: pair("m0/c0"),
            sandbox: false,
            operation: Operation::by_id(UPDATE).unwrap(),
        };
        let mut meter = Meter::one(key.clone(), |counts| counts.calls = 2);
        meter.merge(Meter::one(key.clone(), |counts| counts.kept = 1));
        let sandbox = MeterKey {
            sandbox: true,
            ..key
        };
        meter.merge(Meter::one(sandbox, |counts| counts.calls = 7));
        for _ in 0..2 {
            let counted = place.store.write_back(Vec::new(), meter.clone(), 1000);
            counted.await.unwrap();
        }
        let filter = |day: &str| MeterFilter {
            from: day.into(),
            to: "9".into(),
            pair: Some(pair("m0/c0")),
        };
        let rows = place.store.meter(filter("2026-11-30")).await.unwrap();
        let seen: Vec<_> = rows
            .iter()
            .map(|row| (row.environment.as_str(), row.counts.calls, row.counts.kept))
            .collect();
        assert_eq!(seen, [("live", 4, 2), ("sandbox", 14, 0)]);
        assert!(
            place
                .store
                .meter(filter("2026-12-01"))
                .await
                .unwrap()
                .is_empty()
        );
    }
}

mod commits;
mod lanes;
