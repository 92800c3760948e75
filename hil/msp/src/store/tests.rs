mod booking;
mod migration;

use std::path::Path;
use std::pin::pin;
use std::task::Poll;

use aid_aid1::headers::PartyId;
use aid_id::MspToken;
use rusqlite::Connection;
use uuid::Uuid;

use super::*;
use crate::core::model::{
    Job, JobState, Kind, Onboarding, OnboardingState, Subscription, SubscriptionState, SwapPolicy,
};
use crate::core::onboarding::begin;
use crate::core::{Change, account, order};

/// Gives a future up after it was woken so often.
async fn abandoned<F: Future>(future: F, wakes: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut polls = 0;
    std::future::poll_fn(|context| {
        if polls == wakes {
            return Poll::Ready(None);
        }
        polls += 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

fn subscription(id: &str) -> Subscription {
    Subscription {
        id: id.into(),
        user: "alice".into(),
        label: None,
        msisdn: "4915112345678".into(),
        kind: "private".parse().unwrap(),
        customer_group: None,
        max_profiles: 1,
        swap: SwapPolicy::Candidate,
        fee: None,
        eligible: true,
        state: SubscriptionState::Active,
    }
}

/// All that `serve` does with the database before it serves.
async fn start(path: &Path) -> Stored<Store> {
    let store = Store::open(path).await?;
    let customer = account::put_customer(None, "alice", "hash", 1);
    store.put(customer).await?;
    let pool = ["8949000000000000018", "8949000000000000026"].map(|i| i.parse().unwrap());
    for id in ["one", "two"] {
        let added = account::add_subscription(false, &subscription(id), &pool, 1);
        store.put(Decision::of(added.changes, ())).await?;
    }
    // Only time is lost where this fails.
    let _ = store.reserve_log().await;
    let owed = store.decide(async move |tx| {
        let open = tx.open_orders().await?;
        Ok(order::resume(open, &mut Uuid::new_v4, 1))
    });
    owed.await?;
    store.read(async |tx| tx.api_keys().await).await?;
    Ok(store)
}

fn job(token: MspToken) -> Job {
    Job {
        client_id: client(),
        kind: Kind::CancelOrder,
        msp_token: token,
        request_id: Uuid::new_v4(),
        correlation_id: Uuid::new_v4(),
        body: "x".into(),
    }
}

fn client() -> PartyId {
    "CmpOne".parse().unwrap()
}

/// A start, a write, and an end.
async fn works(path: &Path) {
    let store = start(path).await.unwrap();
    let job = job(MspToken::from_bytes([7; 16]));
    let added = Decision::of(vec![Change::job(job.clone(), 1)], ());
    store.put(added).await.unwrap();
    let id = job.request_id;
    let read = store.read(async move |tx| {
        let row = tx.job_of_call(id).await?.unwrap();
        let pool = tx.pool_of("one").await?.len();
        Ok((row, pool, tx.subscriptions_of("alice").await?.len()))
    });
    let (row, pool, subscriptions) = read.await.unwrap();
    assert_eq!((row.job, row.state), (job, JobState::Waiting));
    assert_eq!((pool, subscriptions), (2, 2));
    store.check().await.unwrap();
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_ends_at_any_step_can_be_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let later = folder.path().join("later.sqlite");
    works(&later).await;
    for steps in 0.. {
        let first = folder.path().join(format!("{steps}.sqlite"));
        let ended = abandoned(start(&first), steps).await;
        works(&first).await;
        let _ = abandoned(start(&later), steps).await;
        works(&later).await;
        if let Some(done) = ended {
            done.unwrap();
            assert!(steps > 5, "{steps} steps are no start");
            break;
        }
    }
}

/// Lets SQLite end each transaction that writes to this table, as a full disk does, until the trigger is dropped.
fn fault(other: &Connection, table: &str, on: bool) {
    for event in ["INSERT", "UPDATE", "DELETE"] {
        let sql = if on {
            format!(
                "CREATE TRIGGER fault_{event} BEFORE {event} ON {table} \
                 BEGIN SELECT RAISE(ROLLBACK, 'no space'); END"
            )
        } else {
            format!("DROP TRIGGER fault_{event}")
        };
        other.execute_batch(&sql).unwrap();
    }
}

fn onboarding(token: MspToken) -> Onboarding {
    Onboarding {
        msp_token: token,
        client_id: client(),
        user: "alice".into(),
        subscription: "one".into(),
        sid: Uuid::new_v4(),
        state: OnboardingState::Active,
        created_at: 1,
        changed_at: 1,
    }
}

async fn onboard(store: &Store, token: MspToken) -> Stored<bool> {
    let begun = store.decide(async move |tx| {
        let new = onboarding(token);
        let used = tx.sid_is_used(&new.client_id, new.sid).await?;
        Ok(begin(used, &new, &job(token)))
    });
    begun.await
}

fn another(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(Duration::from_secs(5)).unwrap();
    connection
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_the_database_ended_leaves_nothing_and_harms_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.sqlite");
    let store = start(&path).await.unwrap();
    let other = another(&path);
    for n in 0..4_u8 {
        // The second statement of the transaction: the first must not stay.
        fault(&other, "outbox", true);
        let writes = (0..8).map(|i| {
            let (store, token) = (store.clone(), MspToken::from_bytes([n * 8 + i; 16]));
            tokio::spawn(async move { onboard(&store, token).await })
        });
        for write in writes.collect::<Vec<_>>() {
            assert!(write.await.unwrap().is_err());
        }
        fault(&other, "outbox", false);
        // What is acknowledged on any connection is what a program finds that opens the file now.
        for i in 0..8 {
            let token = MspToken::from_bytes([n * 8 + i; 16]);
            assert!(onboard(&store, token).await.unwrap());
        }
        let fresh = Store::open(&path).await.unwrap();
        let stored = usize::from(n + 1) * 8;
        let read = fresh.read(async |tx| {
            let all = Page::newest(1000);
            Ok((
                tx.onboardings(&all).await?.len(),
                tx.outbox(None, &all).await?.len(),
            ))
        });
        assert_eq!(read.await.unwrap(), (stored, stored));
        fresh.close().await;
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_changed_outside_a_decision() {
    let folder = tempfile::tempdir().unwrap();
    let store = start(&folder.path().join("x.sqlite")).await.unwrap();
    let audits = async || {
        store
            .read(async |tx| tx.audits(&Page::newest(1000)).await)
            .await
            .unwrap()
    };
    let before = audits().await;
    let mut statements = Vec::new();
    Change::audit("nobody", "wrote", "x", 1).write(&mut statements);
    // Not even by the way that `Tx` hides.
    let open = store.opened().await.unwrap();
    let written = open.read(async move |tx| tx.write(&statements).await).await;
    assert!(matches!(written, Err(StoreError::Failed(_))));
    drop(open);
    assert_eq!(audits().await, before);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_that_panics_changes_nothing_and_harms_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let store = start(&folder.path().join("x.sqlite")).await.unwrap();
    let panics = store.decide(async |tx| {
        let known = tx.onboardings(&Page::newest(1000)).await?;
        assert!(!known.is_empty(), "on purpose");
        Ok(Decision::<_, Change>::nothing(()))
    });
    assert!(panics.await.is_err());
    assert!(
        onboard(&store, MspToken::from_bytes([1; 16]))
            .await
            .unwrap()
    );
    store.close().await;
    let closed = store
        .read(async |tx| tx.onboardings(&Page::newest(1000)).await)
        .await;
    assert!(matches!(closed, Err(StoreError::Failed(_))));
}
