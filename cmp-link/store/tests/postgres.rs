//! PostgreSQL: decisions in parallel, conflicts, and a server that goes and comes back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stage;

use aid_store::{Options, Store, StoreError, Stored, Tx, Value, params};
use futures_util::future::{join_all, try_join_all};
use stage::{
    Refusal, add, begin, client, count, ids, insert, open, open_as, server, until, waiting,
    with_server,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use tokio_postgres::Client;

/// Adds one, as a decision does: reads the row, locked, and writes what it makes of it.
async fn add_one(tx: &Tx<'_>, id: i64) -> Stored<i64> {
    let lock = "SELECT count FROM item WHERE id = $1 FOR NO KEY UPDATE";
    let values = &[Value::from(id)];
    let count = tx.first(lock, values, |row| row.number::<i64>()).await?;
    let count = count.unwrap_or_default() + 1;
    let write = "UPDATE item SET count = $2 WHERE id = $1";
    tx.run(write, params![id, count]).await?;
    Ok(count)
}

async fn add_one_unlocked(tx: &Tx<'_>, id: i64) -> Stored<i64> {
    let read = "SELECT count FROM item WHERE id = $1";
    let values = &[Value::from(id)];
    let count = tx.first(read, values, |row| row.number::<i64>()).await?;
    let count = count.unwrap_or_default() + 1;
    let write = "UPDATE item SET count = $2 WHERE id = $1";
    tx.run(write, params![id, count]).await?;
    Ok(count)
}

async fn connections(client: &Client) -> i64 {
    let text = "SELECT COUNT(*) FROM pg_stat_activity \
         WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
    client.query_one(text, &[]).await.unwrap().get(0)
}

#[test]
fn two_instances_lose_no_update_of_a_locked_row() {
    with_server(async |postgres| {
        let (one, two) = (
            open(&server(&postgres)).await,
            open(&server(&postgres)).await,
        );
        add(&one, 1).await.unwrap();
        let changes = (0..400).map(|n| {
            let store = if n % 2 == 0 { &one } else { &two };
            store.change(async |tx: &Tx<'_>| add_one(tx, 1).await)
        });
        let mut answers = try_join_all(changes).await.unwrap();
        answers.sort_unstable();
        assert_eq!(answers, (1..=400).collect::<Vec<_>>());
        assert_eq!(count(&two, 1).await, 400);
    });
}

#[test]
fn decisions_about_other_rows_do_not_wait() {
    with_server(async |postgres| {
        let store = open(&server(&postgres)).await;
        for id in 0..40 {
            add(&store, id).await.unwrap();
        }
        let mut holder = client(&postgres).await;
        let held = holder.transaction().await.unwrap();
        held.execute("SELECT 1 FROM item WHERE id = 0 FOR UPDATE", &[])
            .await
            .unwrap();
        // One connection of each thread stays free.
        let stuck: Vec<_> = (0..12)
            .map(|_| Box::pin(store.change(async |tx: &Tx<'_>| add_one(tx, 0).await)))
            .collect();
        let mut stuck = Box::pin(join_all(stuck));
        begin(&mut stuck).await;
        let other = client(&postgres).await;
        until("all wait for the row", async || waiting(&other).await >= 12).await;
        for id in 1..40 {
            let done = store.change(async move |tx: &Tx<'_>| add_one(tx, id).await);
            assert_eq!(done.await, Ok(1));
        }
        begin(&mut stuck).await;
        held.commit().await.unwrap();
        let mut answers: Vec<_> = stuck.await.into_iter().map(Result::unwrap).collect();
        answers.sort_unstable();
        assert_eq!(answers, (1..=12).collect::<Vec<_>>());
    });
}

#[test]
fn one_that_is_stuck_beside_a_full_thread_is_not_given_to_it() {
    with_server(async |postgres| {
        let store = open(&server(&postgres)).await;
        add(&store, 0).await.unwrap();
        add(&store, 1).await.unwrap();
        let mut holder = client(&postgres).await;
        let held = holder.transaction().await.unwrap();
        held.execute("SELECT 1 FROM item WHERE id = 0 FOR UPDATE", &[])
            .await
            .unwrap();
        // Every second one waits: taking turns between the threads, they would fill one of them.
        let mut stuck = Vec::new();
        for n in 1..=12 {
            let mut change = Box::pin(store.change(async |tx: &Tx<'_>| add_one(tx, 0).await));
            begin(&mut change).await;
            stuck.push(change);
            let done = store.change(async |tx: &Tx<'_>| add_one(tx, 1).await);
            assert_eq!(done.await, Ok(n));
        }
        held.rollback().await.unwrap();
        assert!(join_all(stuck).await.iter().all(Result::is_ok));
        assert_eq!(count(&store, 0).await, 12);
    });
}

#[test]
fn a_deadlock_is_repeated_as_a_whole() {
    with_server(async |postgres| {
        let store = open(&server(&postgres)).await;
        add(&store, 0).await.unwrap();
        add(&store, 1).await.unwrap();
        let tries = Arc::new(AtomicU32::new(0));
        let mut holder = client(&postgres).await;
        // Ours is the one that the server ends: it looks for deadlocks first.
        holder
            .batch_execute("SET deadlock_timeout = '1h'")
            .await
            .unwrap();
        let held = holder.transaction().await.unwrap();
        held.execute("UPDATE item SET count = 10 WHERE id = 1", &[])
            .await
            .unwrap();
        let tried = Arc::clone(&tries);
        let mut change = Box::pin(store.change(async move |tx: &Tx<'_>| {
            tried.fetch_add(1, Ordering::SeqCst);
            add_one(tx, 0).await?;
            add_one(tx, 1).await
        }));
        begin(&mut change).await;
        let other = client(&postgres).await;
        until("it waits", async || waiting(&other).await == 1).await;
        held.execute("UPDATE item SET count = 10 WHERE id = 0", &[])
            .await
            .unwrap();
        held.commit().await.unwrap();
        assert_eq!(change.await, Ok(11));
        assert!(tries.load(Ordering::SeqCst) >= 2);
        assert_eq!(count(&store, 0).await, 11);
    });
}

#[test]
fn a_value_that_another_took_meanwhile_is_seen_the_second_time() {
    with_server(async |postgres| {
        let (one, two) = (
            open(&server(&postgres)).await,
            open(&server(&postgres)).await,
        );
        let name = async |tx: &Tx<'_>, id: i64| -> Result<i64, Refusal> {
            if tx
                .exists("SELECT 1 FROM item WHERE name = 'x'", &[])
                .await?
            {
                return Err(Refusal::No("taken by another".into()));
            }
            let text = "INSERT INTO item (id, name) VALUES ($1, 'x')";
            tx.run(text, params![id]).await?;
            Ok(id)
        };
        let changes = (0..32).map(|id| {
            let store = if id % 2 == 0 { &one } else { &two };
            store.change(async move |tx: &Tx<'_>| name(tx, id).await)
        });
        let answers = join_all(changes).await;
        assert_eq!(answers.iter().filter(|a| a.is_ok()).count(), 1);
        for answer in answers.iter().filter_map(|a| a.as_ref().err()) {
            assert_eq!(answer, &Refusal::No("taken by another".into()));
        }
        // A decision that does not look first gets the error, after a bounded number of tries.
        let tries = Arc::new(AtomicU32::new(0));
        let tried = Arc::clone(&tries);
        let blind = one.change(async move |tx: &Tx<'_>| {
            tried.fetch_add(1, Ordering::SeqCst);
            let text = "INSERT INTO item (id, name) VALUES (100, 'x')";
            tx.run(text, &[]).await
        });
        assert_eq!(blind.await, Err(StoreError::Taken));
        assert!((2..=3).contains(&tries.load(Ordering::SeqCst)));
    });
}

static COMMITS: AtomicU64 = AtomicU64::new(0x9e37_79b9_7f4a_7c15);
static REFUSED: AtomicU32 = AtomicU32::new(0);

/// A tenth of all commits, at random.
fn a_tenth() -> bool {
    let step = |n: u64| Some(n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    let n = COMMITS.fetch_update(Ordering::SeqCst, Ordering::SeqCst, step);
    let refuses = (n.unwrap_or_default() >> 33).is_multiple_of(10);
    REFUSED.fetch_add(u32::from(refuses), Ordering::SeqCst);
    refuses
}

#[test]
fn serializable_with_refused_commits_loses_nothing_without_locks() {
    with_server(async |postgres| {
        let options = Options {
            serializable: true,
            refuse_commit: Some(a_tenth),
        };
        let one = open_as(&server(&postgres), options).await;
        let two = open_as(&server(&postgres), options).await;
        for id in 0..10 {
            add(&one, id).await.unwrap();
        }
        let changes = (0..400_i64).map(|n| {
            let store = if n % 3 == 0 { &one } else { &two };
            store.change(async move |tx: &Tx<'_>| add_one_unlocked(tx, n % 10).await)
        });
        let answers = join_all(changes).await;
        let mut stored = 0;
        for answer in &answers {
            match answer {
                Ok(_) => stored += 1,
                Err(error) => assert_eq!(error, &StoreError::Busy),
            }
        }
        let sum = async |tx: &Tx<'_>| {
            let text = "SELECT CAST(SUM(count) AS BIGINT) FROM item";
            tx.first(text, &[], |row| row.number::<i64>()).await
        };
        assert_eq!(one.read(sum).await, Ok(Some(stored)));
        assert!(stored > 200, "{stored}");
        assert!(REFUSED.load(Ordering::SeqCst) > 10);
    });
}

#[test]
fn a_commit_that_is_always_refused_ends() {
    with_server(async |postgres| {
        open(&server(&postgres)).await.close().await;
        let tries = Arc::new(AtomicU32::new(0));
        let never = Options {
            refuse_commit: Some(|| true),
            ..Options::default()
        };
        // Nothing is left to migrate, so opening it needs no commit but the look at the steps.
        let store = open(&server(&postgres)).await;
        store.close().await;
        let opened = Store::open(&server(&postgres), &stage::SCHEMA, never).await;
        let store = opened.expect("it only reads");
        let tried = Arc::clone(&tries);
        let change = store.change(async move |tx: &Tx<'_>| {
            tried.fetch_add(1, Ordering::SeqCst);
            insert(tx, 1).await
        });
        assert_eq!(change.await, Err(Refusal::Store(StoreError::Busy)));
        assert!((5..100).contains(&tries.load(Ordering::SeqCst)));
        assert!(ids(&store).await.is_empty());
    });
}

#[test]
fn connections_that_the_server_ends_are_replaced() {
    with_server(async |postgres| {
        let store = open(&server(&postgres)).await;
        let other = client(&postgres).await;
        for id in 0..20 {
            join_all((0..16).map(|n| add(&store, id * 100 + n))).await;
            assert!(connections(&other).await > 4);
            let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
            other.execute(end, &[]).await.unwrap();
            assert_eq!(add(&store, id * 100 + 50).await, Ok(id * 100 + 50));
            assert!(ids(&store).await.contains(&(id * 100 + 50)));
        }
        assert_eq!(ids(&store).await.len(), 20 * 17);
    });
}

#[test]
fn one_that_is_cut_off_before_its_commit_is_made_again() {
    with_server(async |postgres| {
        let store = open(&server(&postgres)).await;
        add(&store, 0).await.unwrap();
        let mut holder = client(&postgres).await;
        let held = holder.transaction().await.unwrap();
        held.execute("SELECT 1 FROM item WHERE id = 0 FOR UPDATE", &[])
            .await
            .unwrap();
        let mut change = Box::pin(store.change(async |tx: &Tx<'_>| {
            insert(tx, 7).await?;
            Ok::<_, Refusal>(add_one(tx, 0).await?)
        }));
        begin(&mut change).await;
        let other = client(&postgres).await;
        until("it waits", async || waiting(&other).await == 1).await;
        let end = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted";
        other.execute(end, &[]).await.unwrap();
        held.rollback().await.unwrap();
        assert_eq!(change.await, Ok(1));
        assert_eq!(ids(&store).await, [0, 7]);
    });
}

#[test]
fn tables_that_change_under_prepared_statements_are_read_again() {
    with_server(async |postgres| {
        let store = open(&server(&postgres)).await;
        add(&store, 1).await.unwrap();
        let look = async |tx: &Tx<'_>| -> Stored<Option<i64>> {
            let text = "SELECT count FROM item WHERE id = $1";
            tx.first(text, params![1_i64], |row| row.number()).await
        };
        for ty in ["INTEGER", "SMALLINT", "BIGINT"] {
            join_all((0..16).map(|_| store.change(look))).await;
            let other = client(&postgres).await;
            let alter = format!("ALTER TABLE item ALTER COLUMN count TYPE {ty}");
            other.batch_execute(&alter).await.unwrap();
            for answer in join_all((0..16).map(|_| store.change(look))).await {
                assert_eq!(answer, Ok(Some(0)), "{ty}");
            }
        }
    });
}

#[test]
fn a_server_that_is_away_is_reported_and_found_again() {
    with_server(async |postgres| {
        let store = open(&server(&postgres)).await;
        let mut acknowledged = Vec::new();
        for round in 0..3 {
            for id in 0..30 {
                acknowledged.push(add(&store, round * 1000 + id).await.unwrap());
            }
            assert_eq!(store.check().await, Ok(()));
            match round {
                1 => postgres.kill(),
                _ => postgres.stop(),
            }
            // Far more than would fit, if each waited for a timeout.
            let failed = async {
                for answer in join_all((0..3000).map(|id| add(&store, 9000 + id))).await {
                    let text = format!("{:?}", answer.unwrap_err());
                    assert!(text.contains("postgres://127.0.0.1") || text.contains("connection"));
                }
                let error = store.check().await.unwrap_err().to_string();
                assert!(error.contains("refused"), "{error}");
                let looked = async |tx: &Tx<'_>| tx.exists("SELECT 1 FROM item", &[]).await;
                assert!(store.read(looked).await.is_err());
            };
            tokio::time::timeout(stage::PATIENCE, failed)
                .await
                .expect("errors are quick");
            postgres.start_again();
            until("it serves again", async || store.check().await.is_ok()).await;
            assert_eq!(ids(&store).await, acknowledged, "nothing else is stored");
        }
    });
}

#[test]
fn what_is_acknowledged_survives_a_server_that_is_killed_at_work() {
    with_server(async |postgres| {
        let store = open(&server(&postgres)).await;
        for round in 0..3_i64 {
            let done = AtomicU32::new(0);
            let work = join_all((0..8).map(|caller| {
                let (store, done) = (&store, &done);
                async move {
                    let mut stored = Vec::new();
                    for n in 0..10_000 {
                        let id = (round * 8 + caller) * 10_000 + n;
                        match add(store, id).await {
                            Ok(id) => stored.push(id),
                            Err(_) => break,
                        }
                        done.fetch_add(1, Ordering::SeqCst);
                    }
                    stored
                }
            }));
            let kill = async {
                until("it is at work", async || done.load(Ordering::SeqCst) > 200).await;
                let postgres = Arc::clone(&postgres);
                let killed = tokio::task::spawn_blocking(move || postgres.kill());
                killed.await.unwrap();
            };
            let (stored, ()) = tokio::join!(work, kill);
            postgres.start_again();
            until("it serves again", async || store.check().await.is_ok()).await;
            let there = ids(&store).await;
            for id in stored.iter().flatten() {
                assert!(there.binary_search(id).is_ok(), "{id} was acknowledged");
            }
        }
    });
}

#[test]
fn a_server_that_does_not_answer_costs_one_timeout_and_not_one_for_each() {
    with_server(async |postgres| {
        let store = open(&server(&postgres)).await;
        let other = client(&postgres).await;
        add(&store, 1).await.unwrap();
        postgres.pause();
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
        other.execute(end, &[]).await.unwrap();
        let answers = join_all((0..2000).map(|id| add(&store, 100 + id)));
        let answers = tokio::time::timeout(stage::PATIENCE, answers).await;
        for answer in answers.expect("they do not wait one after the other") {
            let text = format!("{:?}", answer.unwrap_err());
            assert!(text.contains("does not answer"), "{text}");
        }
        postgres.resume();
        until("it serves again", async || store.check().await.is_ok()).await;
        assert_eq!(ids(&store).await, [1]);
        add(&store, 2).await.unwrap();
    });
}
