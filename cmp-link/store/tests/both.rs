//! What holds on either database.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stage;

use aid_store::{Engine, Statement, Store, StoreError, Stored, Tx, Value, params};
use stage::{Refusal, add, count, ids, insert, on_both};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

#[test]
fn values_come_back_as_they_went() {
    on_both(async |store: Store| {
        let bytes = vec![0, 1, 254, 255];
        let uuid = [7_u8; 16];
        let text = "it's $1, ?1 and \"so\" ü";
        let (stored, name) = (bytes.clone(), text.to_owned());
        let write = async move |tx: &Tx<'_>| -> Stored<u64> {
            let sql = "INSERT INTO item (id, name, count, bytes, uuid) VALUES ($1, $2, $3, $4, $5)";
            let values = params![i64::MIN, &name, i64::MAX, stored.as_slice(), uuid];
            tx.run(sql, values).await?;
            let nulls = [Value::from(0_u32), Value::Null, Value::Null, Value::Null];
            let sql = "INSERT INTO item (id, name, bytes, uuid) VALUES ($1, $2, $3, $4)";
            tx.run(sql, &nulls).await
        };
        assert_eq!(store.change(write).await, Ok(1));
        let read = async |tx: &Tx<'_>| {
            let sql = "SELECT id, name, count, bytes, uuid FROM item ORDER BY id";
            tx.all(sql, &[], |row| {
                Ok((
                    row.number::<i64>()?,
                    row.maybe_text()?,
                    row.number::<i64>()?,
                    row.maybe_bytes()?,
                    row.maybe_id()?,
                ))
            })
            .await
        };
        let expected = vec![
            (
                i64::MIN,
                Some(text.to_owned()),
                i64::MAX,
                Some(bytes),
                Some(uuid),
            ),
            (0, None, 0, None, None),
        ];
        assert_eq!(store.read(read).await, Ok(expected));
        // Places that are used twice, or not in their order.
        let read = async |tx: &Tx<'_>| {
            let sql =
                "SELECT COUNT(*) FROM item WHERE (id = $2 OR id = $1 OR id = $2) AND name <> '$1'";
            tx.first(sql, params![5_i64, i64::MIN], |row| row.number::<i64>())
                .await
        };
        assert_eq!(store.read(read).await, Ok(Some(1)));
    });
}

#[test]
fn odd_values_are_errors_that_name_the_column() {
    on_both(async |store: Store| {
        add(&store, 300).await.unwrap();
        let narrow = async |tx: &Tx<'_>| {
            tx.first("SELECT id FROM item", &[], |row| row.number::<u8>())
                .await
        };
        let null = async |tx: &Tx<'_>| {
            tx.first("SELECT name FROM item", &[], |row| row.text())
                .await
        };
        let absent = async |tx: &Tx<'_>| {
            tx.first("SELECT id FROM item", &[], |row| {
                row.number::<i64>()?;
                row.number::<i64>()
            })
            .await
        };
        let text = |error: Option<StoreError>| error.expect("an error").to_string();
        assert!(text(store.read(narrow).await.err()).contains("column id"));
        assert!(text(store.read(null).await.err()).contains("column name"));
        assert!(text(store.read(absent).await.err()).contains("column (none)"));
    });
}

#[test]
fn a_value_that_does_not_fit_is_not_shown() {
    on_both(async |store: Store| {
        let wrong = async |tx: &Tx<'_>| -> Stored<u64> {
            let sql = "UPDATE item SET bytes = $1 WHERE uuid = $2";
            tx.run(sql, params!["a secret", "another secret"]).await
        };
        if let Err(error) = store.change(wrong).await {
            let text = error.to_string();
            assert!(!text.contains("secret"), "{text}");
        }
        assert!(add(&store, 1).await.is_ok());
    });
}

#[test]
fn a_refusal_leaves_nothing_and_is_the_answer() {
    on_both(async |store: Store| {
        let refuse = async |tx: &Tx<'_>| {
            insert(tx, 1).await?;
            Err::<(), _>(Refusal::No("so be it".into()))
        };
        let answer = store.change(refuse).await;
        assert_eq!(answer, Err(Refusal::No("so be it".into())));
        assert!(ids(&store).await.is_empty());
        add(&store, 1).await.unwrap();
    });
}

#[test]
fn a_statement_that_fails_ends_the_change_whatever_is_made_of_it() {
    on_both(async |store: Store| {
        add(&store, 1).await.unwrap();
        let make_light = async |tx: &Tx<'_>| {
            insert(tx, 2).await?;
            let _ = insert(tx, 1).await;
            Ok::<_, Refusal>("done")
        };
        let answer = store.change(make_light).await;
        assert_eq!(answer, Err(Refusal::Store(StoreError::Taken)));
        let own = async |tx: &Tx<'_>| {
            insert(tx, 2).await?;
            let taken = insert(tx, 1).await;
            taken.map_err(|_| Refusal::No("name taken".into()))
        };
        let answer = store.change(own).await;
        assert_eq!(answer, Err(Refusal::No("name taken".into())));
        assert_eq!(ids(&store).await, [1]);
    });
}

#[test]
fn a_broken_reference_is_an_error_at_the_commit() {
    on_both(async |store: Store| {
        let broken = async |tx: &Tx<'_>| -> Result<i64, Refusal> {
            tx.run("INSERT INTO part (id, item) VALUES (1, 9)", &[])
                .await?;
            insert(tx, 8).await
        };
        assert!(store.change(broken).await.is_err());
        let whole = async |tx: &Tx<'_>| -> Result<i64, Refusal> {
            tx.run("INSERT INTO part (id, item) VALUES (1, 9)", &[])
                .await?;
            insert(tx, 9).await
        };
        assert_eq!(store.change(whole).await, Ok(9));
        assert_eq!(ids(&store).await, [9]);
    });
}

#[test]
fn a_panic_is_an_error_and_the_store_goes_on() {
    on_both(async |store: Store| {
        for id in 0..40 {
            let panics = async move |tx: &Tx<'_>| -> Result<i64, Refusal> {
                insert(tx, id).await?;
                panic!("an intended panic")
            };
            let answer = store.change(panics).await;
            assert!(
                matches!(&answer, Err(Refusal::Store(StoreError::Failed(t))) if t.contains("panicked")),
                "{answer:?}"
            );
            let panics = async |_: &Tx<'_>| -> Stored<()> { panic!("an intended panic") };
            assert!(store.read(panics).await.is_err());
        }
        assert!(ids(&store).await.is_empty());
        add(&store, 1).await.unwrap();
        assert_eq!(store.check().await, Ok(()));
    });
}

#[test]
fn a_statement_that_nobody_waits_for_is_not_acknowledged() {
    on_both(async |store: Store| {
        add(&store, 1).await.unwrap();
        let careless = async |tx: &Tx<'_>| -> Result<(), Refusal> {
            insert(tx, 2).await?;
            let mut fails = Box::pin(insert(tx, 1));
            std::future::poll_fn(|context| {
                let _ = fails.as_mut().poll(context);
                std::task::Poll::Ready(())
            })
            .await;
            Ok(())
        };
        let answer = store.change(careless).await;
        assert!(answer.is_err(), "the server rolled it back");
        assert_eq!(ids(&store).await, [1]);
        add(&store, 3).await.unwrap();
        assert_eq!(ids(&store).await, [1, 3]);
    });
}

#[test]
fn statements_keep_their_order() {
    on_both(async |store: Store| {
        let many = async |tx: &Tx<'_>| -> Stored<()> {
            let mut statements = vec![Statement {
                sql: "INSERT INTO item (id, count) VALUES (1, 0)",
                values: vec![],
            }];
            // Each is right only after the one before it.
            statements.extend((1..=100_i64).map(|n| Statement {
                sql: "UPDATE item SET count = $1 WHERE id = 1 AND count = $2",
                values: vec![Value::from(n), Value::from(n - 1)],
            }));
            tx.write(&statements).await?;
            tx.write(&[]).await
        };
        assert_eq!(store.change(many).await, Ok(()));
        assert_eq!(count(&store, 1).await, 100);
        // One in the middle fails: its own error is reported, and nothing is left.
        let fails = async |tx: &Tx<'_>| -> Stored<()> {
            let insert = |id: i64| Statement {
                sql: "INSERT INTO item (id) VALUES ($1)",
                values: vec![Value::from(id)],
            };
            let ids = (100..200).chain([1]).chain(200..300);
            let statements: Vec<_> = ids.map(insert).collect();
            tx.write(&statements).await
        };
        assert_eq!(store.change(fails).await, Err(StoreError::Taken));
        assert_eq!(ids(&store).await, [1]);
    });
}

#[test]
fn a_reader_cannot_write_and_sees_one_state() {
    on_both(async |store: Store| {
        add(&store, 1).await.unwrap();
        let write = async |tx: &Tx<'_>| -> Stored<u64> { tx.run("DELETE FROM item", &[]).await };
        for _ in 0..10 {
            assert!(store.read(write).await.is_err());
        }
        assert_eq!(ids(&store).await, [1]);
        let other = store.clone();
        let twice = async move |tx: &Tx<'_>| -> Stored<(bool, bool)> {
            let sql = "SELECT 1 FROM item WHERE id = 2";
            let before = tx.exists(sql, &[]).await?;
            // Made by another thread while this one reads.
            let made = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build();
                runtime.unwrap().block_on(add(&other, 2))
            });
            made.join().unwrap().unwrap();
            Ok((before, tx.exists(sql, &[]).await?))
        };
        if store.engine() == Engine::Sqlite {
            assert_eq!(store.read(twice).await, Ok((false, false)));
        }
        assert!(store.reads() > 0);
    });
}

#[test]
fn reads_are_counted_before_the_answer() {
    on_both(async |store: Store| {
        let before = store.reads();
        let reads = async |tx: &Tx<'_>| -> Stored<bool> {
            tx.exists("SELECT 1 FROM item", &[]).await?;
            tx.exists("SELECT 1 FROM part", &[]).await
        };
        store.change(reads).await.unwrap();
        assert_eq!(store.reads(), before + 2);
        store.read(reads).await.unwrap();
        assert_eq!(store.reads(), before + 4);
        let refused = async |tx: &Tx<'_>| -> Result<(), Refusal> {
            tx.exists("SELECT 1 FROM item", &[]).await?;
            Err(Refusal::No("no".into()))
        };
        store.change(refused).await.unwrap_err();
        assert_eq!(store.reads(), before + 5);
    });
}

#[test]
fn a_caller_that_goes_stops_no_change() {
    on_both(async |store: Store| {
        let made = Arc::new(AtomicU32::new(0));
        for id in 0..100 {
            let count = Arc::clone(&made);
            let mut change = Box::pin(store.change(async move |tx: &Tx<'_>| {
                count.fetch_add(1, Ordering::SeqCst);
                insert(tx, id).await
            }));
            stage::begin(&mut change).await;
            drop(change);
        }
        stage::until("all are made", async || ids(&store).await.len() == 100).await;
        assert_eq!(made.load(Ordering::SeqCst), 100);
    });
}

#[test]
fn a_check_writes_and_leaves_the_data_alone() {
    on_both(async |store: Store| {
        add(&store, 1).await.unwrap();
        for _ in 0..3 {
            assert_eq!(store.check().await, Ok(()));
        }
        assert_eq!(store.reserve_log().await, Ok(()));
        assert_eq!(ids(&store).await, [1]);
        store.close().await;
    });
}
