//! Decisions that come at the same time share a transaction on PostgreSQL: none harms another, whatever becomes of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stage;

use aid_store::{Options, Statement, Store, StoreError, Stored, Tx, Value, params};
use futures_util::future::{join_all, try_join_all};
use stage::{
    Refusal, add, begin, client, count, ids, insert, open, open_as, server, until, waiting,
    with_server,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Stores an item, together with others.
async fn add_together(store: &Store, id: i64) -> Result<i64, Refusal> {
    let change = store.change_together(async move |tx: &Tx<'_>| insert(tx, id).await);
    change.await
}

/// Locks a row as a decision does that may share its transaction.
async fn lock(tx: &Tx<'_>, id: i64) -> Stored<()> {
    tx.hold(&id.to_be_bytes()).await;
    let text = "SELECT id FROM item WHERE id = $1 FOR NO KEY UPDATE";
    tx.exists(text, params![id]).await?;
    Ok(())
}

/// Adds one to a row that is locked.
async fn add_one(tx: &Tx<'_>, id: i64) -> Stored<i64> {
    let text = "SELECT count FROM item WHERE id = $1";
    let values = &[Value::from(id)];
    let count = tx.first(text, values, |row| row.number::<i64>()).await?;
    let count = count.expect("the row is there") + 1;
    let write = Statement {
        sql: "UPDATE item SET count = $2 WHERE id = $1",
        values: vec![Value::from(id), Value::from(count)],
    };
    tx.write(&[write]).await?;
    Ok(count)
}

#[test]
fn those_that_come_together_share_commits() {
    with_server(async |postgres| {
        let store = open(&server(&postgres)).await;
        let before = store.commits();
        let stored = try_join_all((0..300).map(|id| add_together(&store, id))).await;
        assert_eq!(stored.unwrap(), (0..300).collect::<Vec<_>>());
        let commits = store.commits() - before;
        assert!(commits < 150, "{commits} commits of 300 changes");
        assert_eq!(ids(&store).await.len(), 300);
    });
}

#[test]
fn each_gets_its_own_rows() {
    with_server(async |postgres| {
        let store = open(&server(&postgres)).await;
        let fill = async |tx: &Tx<'_>| -> Stored<()> {
            for id in 0..50_i64 {
                let text = "INSERT INTO item (id, count) VALUES ($1, $2)";
                tx.run(text, params![id, id % 7]).await?;
            }
            Ok(())
        };
        store.change(fill).await.unwrap();
        for _ in 0..10 {
            let looks = (0..100_i64).map(|n| {
                store.change_together(async move |tx: &Tx<'_>| -> Stored<Vec<i64>> {
                    let text = "SELECT id FROM item WHERE count = $1 ORDER BY id DESC";
                    let own = tx.all(text, params![n % 9], |row| row.number()).await?;
                    // Values that stand twice, limits, numbers of rows, and no value at all.
                    let text = "SELECT COUNT(*) FROM item WHERE count = $1 OR count = $1";
                    let counted = tx
                        .first(text, params![n % 9], |row| row.number::<usize>())
                        .await?;
                    assert_eq!(counted, Some(own.len()));
                    let text = "SELECT id FROM item WHERE count = $1 ORDER BY id LIMIT $2";
                    let few = tx
                        .all(text, params![n % 9, 2_i64], |row| row.number::<i64>())
                        .await?;
                    let least = own.iter().rev().take(2).copied().collect::<Vec<_>>();
                    assert_eq!(few, least);
                    let all = tx.first("SELECT COUNT(*) FROM item", &[], |row| row.number::<i64>());
                    assert_eq!(all.await?, Some(50));
                    Ok(own)
                })
            });
            for (n, own) in (0..).zip(try_join_all(looks).await.unwrap()) {
                let expected: Vec<_> = (0..50).rev().filter(|id| id % 7 == n % 9).collect();
                assert_eq!(own, expected);
            }
        }
    });
}

#[test]
fn one_that_fails_takes_no_other_along() {
    with_server(async |postgres| {
        let store = open(&server(&postgres)).await;
        add(&store, 0).await.unwrap();
        for round in 1..=5_i64 {
            let changes = (0..100_i64).map(|n| {
                let id = round * 1000 + n;
                store.change_together(async move |tx: &Tx<'_>| -> Result<i64, Refusal> {
                    match n {
                        // It sees what it is refused for.
                        10 => Err(Refusal::No("unasked".into())),
                        // It has written when it is refused.
                        30 => {
                            insert(tx, id).await?;
                            Err(Refusal::No("written".into()))
                        }
                        // What it inserts is there, and it makes something of that, or nothing.
                        50 => insert(tx, 0).await.map_err(|_| Refusal::No("taken".into())),
                        51 => {
                            let _ = insert(tx, 0).await;
                            Ok(id)
                        }
                        70 => {
                            insert(tx, id).await?;
                            panic!("an intended panic")
                        }
                        // A statement that the server does not understand.
                        90 => {
                            tx.run("DELETE FROM nothing", &[]).await?;
                            Ok(id)
                        }
                        // A reference to nothing, which the commit finds.
                        91 => {
                            let text = "INSERT INTO part (id, item) VALUES ($1, -1)";
                            tx.run(text, params![id]).await?;
                            Ok(id)
                        }
                        _ => insert(tx, id).await,
                    }
                })
            });
            for (n, answer) in (0..).zip(join_all(changes).await) {
                let failed = |text: &str| {
                    let error = answer.clone().unwrap_err();
                    assert!(format!("{error:?}").contains(text), "{error:?}");
                };
                match n {
                    10 => failed("unasked"),
                    30 => failed("written"),
                    50 => failed("taken"),
                    51 => failed("Taken"),
                    70 => failed("panicked"),
                    90 => failed("nothing"),
                    91 => failed("part"),
                    n => assert_eq!(answer, Ok(round * 1000 + n)),
                }
            }
        }
        assert_eq!(ids(&store).await.len(), 1 + 5 * 93);
        assert_eq!(store.check().await, Ok(()));
    });
}

#[test]
fn those_about_the_same_row_are_made_one_after_the_other() {
    with_server(async |postgres| {
        let (one, two) = (
            open(&server(&postgres)).await,
            open(&server(&postgres)).await,
        );
        for id in 0..3 {
            add(&one, id).await.unwrap();
        }
        let changes = (0..600_i64).map(|n| {
            let store = if n % 2 == 0 { &one } else { &two };
            store.change_together(async move |tx: &Tx<'_>| -> Stored<i64> {
                lock(tx, n % 3).await?;
                add_one(tx, n % 3).await
            })
        });
        let answers = try_join_all(changes).await.unwrap();
        for id in 0..3_usize {
            let mut own: Vec<_> = answers.iter().skip(id).step_by(3).copied().collect();
            own.sort_unstable();
            assert_eq!(own, (1..=200).collect::<Vec<_>>(), "row {id}");
        }
    });
}

#[test]
fn those_that_lock_the_same_rows_in_any_order_come_to_an_end() {
    with_server(async |postgres| {
        let (one, two) = (
            open(&server(&postgres)).await,
            open(&server(&postgres)).await,
        );
        for id in 0..8 {
            add(&one, id).await.unwrap();
        }
        let changes = (0..160_i64).map(|n| {
            let store = if n % 2 == 0 { &one } else { &two };
            // Two of eight rows, in both orders.
            let (first, second) = (n % 8, (n % 8 + 1 + n % 7) % 8);
            store.change_together(async move |tx: &Tx<'_>| -> Stored<()> {
                lock(tx, first).await?;
                lock(tx, second).await?;
                add_one(tx, first).await?;
                add_one(tx, second).await.map(|_| ())
            })
        });
        let answers = tokio::time::timeout(2 * stage::PATIENCE, join_all(changes)).await;
        let answers = answers.expect("they come to an end");
        let stored = answers.iter().filter(|answer| answer.is_ok()).count();
        for answer in answers.iter().filter(|answer| answer.is_err()) {
            assert_eq!(answer, &Err(StoreError::Busy));
        }
        let mut sum = 0;
        for id in 0..8 {
            sum += count(&one, id).await;
        }
        assert_eq!(sum, 2 * i64::try_from(stored).unwrap());
        assert!(stored > 80, "{stored} of 160");
    });
}

#[test]
fn nothing_is_acknowledged_whose_commit_is_refused() {
    with_server(async |postgres| {
        open(&server(&postgres)).await.close().await;
        let never = Options {
            refuse_commit: Some(|| true),
            ..Options::default()
        };
        let store = open_as(&server(&postgres), never).await;
        let answers = join_all((0..20).map(|id| add_together(&store, id))).await;
        for answer in answers {
            assert_eq!(answer, Err(Refusal::Store(StoreError::Busy)));
        }
        assert!(ids(&store).await.is_empty());
    });
}

#[test]
fn a_lock_that_is_held_elsewhere_holds_up_its_own_only() {
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
        let one_more = |id: i64| {
            store.change_together(async move |tx: &Tx<'_>| -> Stored<i64> {
                lock(tx, id).await?;
                add_one(tx, id).await
            })
        };
        let mut stuck = Box::pin(one_more(0));
        begin(&mut stuck).await;
        let others = try_join_all((1..40).map(one_more)).await;
        assert_eq!(others, Ok(vec![1; 39]));
        begin(&mut stuck).await;
        held.rollback().await.unwrap();
        assert_eq!(stuck.await, Ok(1));
    });
}

#[test]
fn a_lock_that_is_held_for_long_is_an_answer() {
    with_server(async |postgres| {
        let store = open(&server(&postgres)).await;
        add(&store, 0).await.unwrap();
        let mut holder = client(&postgres).await;
        let held = holder.transaction().await.unwrap();
        held.execute("SELECT 1 FROM item WHERE id = 0 FOR UPDATE", &[])
            .await
            .unwrap();
        let tries = Arc::new(AtomicU32::new(0));
        let tried = Arc::clone(&tries);
        let change = store.change_together(async move |tx: &Tx<'_>| -> Stored<i64> {
            tried.fetch_add(1, Ordering::SeqCst);
            lock(tx, 0).await?;
            add_one(tx, 0).await
        });
        assert_eq!(change.await, Err(StoreError::Busy));
        assert!((5..=8).contains(&tries.load(Ordering::SeqCst)));
        held.rollback().await.unwrap();
        assert_eq!(count(&store, 0).await, 0);
    });
}

#[test]
fn what_is_acknowledged_survives_a_server_that_is_killed_in_a_burst() {
    with_server(async |postgres| {
        let store = open(&server(&postgres)).await;
        for round in 0..3_i64 {
            let done = AtomicU32::new(0);
            let work = join_all((0..64).map(|caller| {
                let (store, done) = (&store, &done);
                async move {
                    let mut stored = Vec::new();
                    for n in 0..10_000 {
                        match add_together(store, (round * 64 + caller) * 10_000 + n).await {
                            Ok(id) => stored.push(id),
                            Err(_) => break,
                        }
                        done.fetch_add(1, Ordering::SeqCst);
                    }
                    stored
                }
            }));
            let kill = async {
                until("it is at work", async || done.load(Ordering::SeqCst) > 1000).await;
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
fn what_may_be_stored_is_not_made_again() {
    with_server(async |postgres| {
        let store = open(&server(&postgres)).await;
        let client = client(&postgres).await;
        // The server's end of the connection dies in the commit.
        let die = "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END'; \
             CREATE CONSTRAINT TRIGGER die AFTER INSERT ON item DEFERRABLE INITIALLY DEFERRED \
             FOR EACH ROW EXECUTE FUNCTION die()";
        client.batch_execute(die).await.unwrap();
        for many in [1, 20] {
            let tries = Arc::new(AtomicU32::new(0));
            let changes = (0..many).map(|id| {
                let tried = Arc::clone(&tries);
                store.change_together(async move |tx: &Tx<'_>| {
                    tried.fetch_add(1, Ordering::SeqCst);
                    insert(tx, id).await
                })
            });
            for answer in join_all(changes).await {
                let error = format!("{:?}", answer.unwrap_err());
                assert!(error.contains("may be stored or not"), "{error}");
            }
            assert_eq!(i64::from(tries.load(Ordering::SeqCst)), many);
        }
        assert!(ids(&store).await.is_empty());
    });
}

#[test]
fn reads_go_on_however_many_wait_for_a_row() {
    with_server(async |postgres| {
        let store = open(&server(&postgres)).await;
        add(&store, 0).await.unwrap();
        let mut holder = client(&postgres).await;
        let held = holder.transaction().await.unwrap();
        held.execute("SELECT 1 FROM item WHERE id = 0 FOR UPDATE", &[])
            .await
            .unwrap();
        // More than an instance has connections, of both kinds.
        let answered = AtomicU32::new(0);
        let note = async |change: Stored<i64>| {
            answered.fetch_add(1, Ordering::SeqCst);
            change
        };
        let one_more = async |tx: &Tx<'_>| -> Stored<i64> {
            lock(tx, 0).await?;
            add_one(tx, 0).await
        };
        let together = (0..40).map(|_| async { note(store.change_together(one_more).await).await });
        let alone = (0..40).map(|_| async { note(store.change(one_more).await).await });
        let mut stuck = Box::pin(async { tokio::join!(join_all(together), join_all(alone)) });
        begin(&mut stuck).await;
        let other = client(&postgres).await;
        let all_wait = async || waiting(&other).await >= 16;
        tokio::select! {
            _ = &mut stuck => panic!("they wait"),
            () = until("they wait for the row", all_wait) => {}
        }
        let reads = async {
            for _ in 0..20 {
                assert_eq!(ids(&store).await, [0]);
            }
        };
        tokio::select! {
            _ = &mut stuck => panic!("they wait"),
            () = reads => {}
        }
        assert_eq!(answered.load(Ordering::SeqCst), 0, "the reads waited");
        held.rollback().await.unwrap();
        let (together, alone) = stuck.await;
        let done = together.iter().chain(&alone).filter(|done| done.is_ok());
        assert_eq!(count(&store, 0).await, done.count() as i64);
    });
}
