mod booking;
mod migration;

use std::path::Path;
use std::pin::pin;
use std::task::Poll;

use aid_aid1::headers::PartyId;
use aid_id::MspToken;
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
    let owed = store.decide(|tx| {
        Box::pin(async move {
            let open = tx.open_orders().await?;
            Ok(order::resume(open, &mut Uuid::new_v4, 1))
        })
    });
    owed.await?;
    store.read().await?.api_keys().await?;
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
    let mut tx = store.read().await.unwrap();
    let row = tx.job_of_call(job.request_id).await.unwrap().unwrap();
    assert_eq!((row.job, row.state), (job, JobState::Waiting));
    assert_eq!(tx.pool_of("one").await.unwrap().len(), 2);
    assert_eq!(tx.subscriptions(Some("alice")).await.unwrap().len(), 2);
    drop(tx);
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
            assert!(steps > 20, "{steps} steps are no start");
            break;
        }
    }
}

/// Lets SQLite end each transaction that writes to this table, as a full disk does, until the trigger is dropped.
async fn fault(other: &mut AnyConnection, table: &str, on: bool) {
    for event in ["INSERT", "UPDATE", "DELETE"] {
        let sql = if on {
            format!(
                "CREATE TRIGGER fault_{event} BEFORE {event} ON {table} \
                 BEGIN SELECT RAISE(ROLLBACK, 'no space'); END"
            )
        } else {
            format!("DROP TRIGGER fault_{event}")
        };
        other.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
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
    let begun = store.decide(move |tx| {
        Box::pin(async move {
            let new = onboarding(token);
            let used = tx.sid_is_used(&new.client_id, new.sid).await?;
            Ok(begin(used, &new, &job(token)))
        })
    });
    begun.await
}

async fn another(path: &Path) -> AnyConnection {
    let url = sqlite::url(path).unwrap();
    AnyConnection::connect(&url).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_the_database_ended_leaves_nothing_and_harms_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.sqlite");
    let store = start(&path).await.unwrap();
    let mut other = another(&path).await;
    for n in 0..4_u8 {
        // The second statement of the transaction: the first must not stay.
        fault(&mut other, "outbox", true).await;
        let writes = (0..8).map(|i| {
            let (store, token) = (store.clone(), MspToken::from_bytes([n * 8 + i; 16]));
            tokio::spawn(async move { onboard(&store, token).await })
        });
        for write in writes.collect::<Vec<_>>() {
            assert!(write.await.unwrap().is_err());
        }
        fault(&mut other, "outbox", false).await;
        // What is acknowledged on any connection is what a program finds that opens the file now.
        for i in 0..8 {
            let token = MspToken::from_bytes([n * 8 + i; 16]);
            assert!(onboard(&store, token).await.unwrap());
        }
        let fresh = Store::open(&path).await.unwrap();
        let stored = usize::from(n + 1) * 8;
        let mut tx = fresh.read().await.unwrap();
        assert_eq!(tx.onboardings().await.unwrap().len(), stored);
        assert_eq!(tx.outbox().await.unwrap().len(), stored);
        drop(tx);
        fresh.close().await;
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_changed_outside_a_decision() {
    let folder = tempfile::tempdir().unwrap();
    let store = start(&folder.path().join("x.sqlite")).await.unwrap();
    let mut tx = store.read().await.unwrap();
    let audits = tx.audits().await.unwrap();
    let entry = Change::audit("nobody", "wrote", "x", 1);
    let written = entry.write(&mut tx).await;
    assert!(matches!(written, Err(StoreError::ReadOnly)));
    assert_eq!(tx.audits().await.unwrap(), audits);
    drop(tx);
    store.close().await;
}
