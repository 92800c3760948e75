use std::path::Path;
use std::pin::pin;
use std::task::Poll;

use aid_aid1::headers::PartyId;
use aid_id::MspToken;
use uuid::Uuid;

use super::*;

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
    store.put_customer("alice", "hash", 1).await?;
    let pool = ["8949000000000000018", "8949000000000000026"].map(|i| i.parse().unwrap());
    for id in ["one", "two"] {
        store.add_subscription(&subscription(id), &pool, 1).await?;
    }
    // Only time is lost where this fails.
    let _ = store.reserve_log().await;
    store.forget_claims().await?;
    store.unanswered_orders().await?;
    store.api_keys().await?;
    Ok(store)
}

fn job() -> Job {
    let client: PartyId = "CmpOne".parse().unwrap();
    let token = MspToken::from_bytes([7; 16]);
    Job::new(&client, Kind::CancelOrder, token, Uuid::nil(), "x".into())
}

/// A start, a write, and an end.
async fn works(path: &Path) {
    let store = start(path).await.unwrap();
    let id = store.add_job(&job(), 1).await.unwrap();
    assert!(store.is_waiting(id).await.unwrap());
    assert_eq!(store.pool_of("one").await.unwrap().len(), 2);
    assert_eq!(store.subscriptions(Some("alice")).await.unwrap().len(), 2);
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
        client_id: "CmpOne".parse().unwrap(),
        user: "alice".into(),
        subscription: "one".into(),
        sid: Uuid::new_v4(),
        state: OnboardingState::Active,
        created_at: 1,
        changed_at: 1,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_the_database_ended_leaves_nothing_and_harms_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.sqlite");
    let store = start(&path).await.unwrap();
    let client: PartyId = "CmpOne".parse().unwrap();
    let mut other = AnyConnection::connect(&sqlite::url(&path).unwrap())
        .await
        .unwrap();
    for n in 0..4_u8 {
        // The second statement of the transaction: the first must not stay.
        fault(&mut other, "outbox", true).await;
        let writes = (0..8).map(|i| {
            let (store, token) = (store.clone(), MspToken::from_bytes([n * 8 + i; 16]));
            tokio::spawn(async move { store.add_onboarding(&onboarding(token), &job(), 1).await })
        });
        for write in writes.collect::<Vec<_>>() {
            assert!(write.await.unwrap().is_err());
        }
        // A single statement.
        assert!(
            store.close_job(1, None).await.is_err() || store.outbox().await.unwrap().is_empty()
        );
        fault(&mut other, "outbox", false).await;
        // A row that is yielded.
        fault(&mut other, "answered", true).await;
        let id = Uuid::new_v4();
        assert!(store.claim(&client, id, "digest", 1).await.is_err());
        fault(&mut other, "answered", false).await;
        assert_eq!(
            store.claim(&client, id, "digest", 1).await.unwrap(),
            Earlier::None
        );
        // What is acknowledged on any connection is what a program finds that opens the file now.
        for i in 0..8 {
            let token = MspToken::from_bytes([n * 8 + i; 16]);
            store
                .add_onboarding(&onboarding(token), &job(), 1)
                .await
                .unwrap();
        }
        let fresh = Store::open(&path).await.unwrap();
        let stored = usize::from(n + 1) * 8;
        assert_eq!(fresh.onboardings().await.unwrap().len(), stored);
        assert_eq!(fresh.outbox().await.unwrap().len(), stored);
        assert_eq!(
            fresh.claim(&client, id, "digest", 1).await.unwrap(),
            Earlier::Running
        );
        fresh.close().await;
    }
    store.close().await;
}
