//! SQLite: many changes share commits, and none takes another along.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stage;

use aid_store::{Database, Store, StoreError, Tx, params};
use futures_util::future::{BoxFuture, join_all};
use stage::{Refusal, add, begin, count, file, ids, insert, open};
use std::path::PathBuf;

/// A store whose writer waits, so that everything that is asked for comes into one batch.
struct Held {
    store: Store,
    lock: rusqlite::Connection,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Held {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = file(folder.path());
        let store = open(&database).await;
        let Database::Sqlite(path) = database else {
            panic!("a file")
        };
        let lock = rusqlite::Connection::open(&path).unwrap();
        lock.execute_batch("BEGIN IMMEDIATE").unwrap();
        Self {
            store,
            lock,
            path,
            _folder: folder,
        }
    }

    fn release(&self) {
        self.lock.execute_batch("ROLLBACK").unwrap();
    }

    /// Asks for all of them before the first can be made; yields their answers.
    async fn together<T>(&self, mut changes: Vec<BoxFuture<'_, T>>) -> Vec<T> {
        for change in &mut changes {
            begin(change).await;
        }
        self.release();
        join_all(changes).await
    }
}

#[tokio::test]
async fn changes_that_wait_share_commits_and_have_their_own_answers() {
    let held = Held::open().await;
    let changes = (0..500).map(|id| Box::pin(add(&held.store, id)) as BoxFuture<'_, _>);
    let answers = held.together(changes.collect()).await;
    let expected: Vec<_> = (0_i64..500).map(Ok).collect();
    assert_eq!(answers, expected);
    let commits = held.store.commits();
    assert!((2..=4).contains(&commits), "{commits}");
    assert_eq!(ids(&held.store).await, (0..500).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_answer_comes_after_the_commit() {
    let folder = tempfile::tempdir().unwrap();
    let database = file(folder.path());
    let store = open(&database).await;
    let Database::Sqlite(path) = &database else {
        panic!("a file")
    };
    let other = rusqlite::Connection::open(path).unwrap();
    let seen = |id: i64| {
        let mut statement = other.prepare("SELECT 1 FROM item WHERE id = ?1").unwrap();
        statement.exists([id]).unwrap()
    };
    for id in 0..50 {
        add(&store, id).await.unwrap();
        assert!(seen(id), "{id}");
    }
}

/// Every way to fail, by number.
async fn fail(store: &Store, way: i64) -> Result<i64, Refusal> {
    let id = 1_000_000 + way;
    let refused = move || Refusal::No(way.to_string());
    store
        .change(async move |tx: &Tx<'_>| {
            match way % 8 {
                // Refuses after a write.
                0 => {
                    insert(tx, id).await?;
                    return Err(refused());
                }
                // Refuses before a write.
                1 => return Err(refused()),
                // A value that is taken, for the second one.
                2 => {
                    insert(tx, id).await?;
                    return insert(tx, id).await;
                }
                // Makes light of it.
                3 => {
                    insert(tx, id).await?;
                    let _ = insert(tx, id).await;
                }
                4 => {
                    insert(tx, id).await?;
                    panic!("an intended panic");
                }
                5 => {
                    insert(tx, id).await?;
                    tokio::task::yield_now().await;
                }
                // Fails at the commit.
                6 => {
                    insert(tx, id).await?;
                    tx.run("INSERT INTO part (id, item) VALUES ($1, -1)", params![id])
                        .await?;
                }
                _ => {
                    insert(tx, id).await?;
                    tx.run("INSERT INTO nothing VALUES ($1)", params![id])
                        .await?;
                }
            }
            Ok(id)
        })
        .await
}

#[tokio::test]
async fn one_that_fails_takes_no_other_along() {
    let held = Held::open().await;
    let changes: Vec<BoxFuture<'_, _>> = (0..240)
        .map(|id| match id % 10 {
            3 => Box::pin(fail(&held.store, id / 10)) as BoxFuture<'_, _>,
            _ => Box::pin(add(&held.store, id)),
        })
        .collect();
    let answers = held.together(changes).await;
    for (id, answer) in (0_i64..).zip(&answers) {
        let way = id / 10;
        if id % 10 != 3 {
            assert_eq!(answer, &Ok(id));
            continue;
        }
        let store = |answer: &Result<i64, Refusal>, text: &str| match answer {
            Err(Refusal::Store(StoreError::Failed(said))) => assert!(said.contains(text), "{said}"),
            other => panic!("{way}: {other:?}"),
        };
        match way % 8 {
            0 | 1 => assert_eq!(answer, &Err(Refusal::No(way.to_string()))),
            2 | 3 => assert_eq!(answer, &Err(Refusal::Store(StoreError::Taken))),
            4 => store(answer, "panicked"),
            5 => store(answer, "waits for something else"),
            6 => store(answer, "FOREIGN KEY"),
            _ => store(answer, "nothing"),
        }
    }
    let good: Vec<i64> = (0..240).filter(|id| id % 10 != 3).collect();
    assert_eq!(ids(&held.store).await, good, "a failed one left something");
    // One that fails costs a few commits, and not one for each of the others.
    let commits = held.store.commits();
    assert!(commits < 120, "{commits}");
    assert_eq!(held.store.check().await, Ok(()));
}

#[tokio::test]
async fn nothing_is_refused_for_what_was_never_stored() {
    // The second of each pair refuses if it sees the first, which is rolled back.
    for way in [0, 3, 4, 6] {
        let held = Held::open().await;
        let unless_there = held.store.change(async move |tx: &Tx<'_>| {
            let text = "SELECT 1 FROM item WHERE id >= 1000000";
            if tx.exists(text, &[]).await? {
                return Err(Refusal::No("there is one".into()));
            }
            insert(tx, 7).await
        });
        let changes: Vec<BoxFuture<'_, _>> = vec![
            Box::pin(add(&held.store, 1)),
            Box::pin(fail(&held.store, way)),
            Box::pin(unless_there),
        ];
        let answers = held.together(changes).await;
        assert_eq!(answers.first(), Some(&Ok(1)));
        assert!(answers.get(1).is_some_and(Result::is_err), "{way}");
        assert_eq!(answers.get(2), Some(&Ok(7)), "{way}");
    }
}

#[tokio::test]
async fn a_caller_that_goes_stops_nothing() {
    let held = Held::open().await;
    for id in 0..20 {
        let mut change = Box::pin(add(&held.store, id));
        begin(&mut change).await;
        drop(change);
    }
    held.release();
    add(&held.store, 20).await.unwrap();
    assert_eq!(ids(&held.store).await, (0..=20).collect::<Vec<_>>());
}

#[tokio::test]
async fn closing_waits_for_all_and_folds_the_log() {
    let held = Held::open().await;
    for id in 0..20 {
        let mut change = Box::pin(add(&held.store, id));
        begin(&mut change).await;
        drop(change);
    }
    held.release();
    let Held {
        store,
        lock,
        path,
        _folder,
    } = held;
    drop(lock);
    store.close().await;
    assert!(!path.with_extension("sqlite-wal").exists(), "it is folded");
    let file = rusqlite::Connection::open(&path).unwrap();
    let rows: i64 = file
        .query_row("SELECT COUNT(*) FROM item", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, 20);
}

#[tokio::test]
async fn closing_right_after_an_answer_closes() {
    for _ in 0..50 {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&file(folder.path())).await;
        add(&store, 1).await.unwrap();
        store.close().await;
        let log = folder.path().join("store.sqlite-wal");
        assert!(!log.exists(), "the log is folded");
    }
}

#[tokio::test]
async fn what_was_asked_for_first_is_made_first() {
    let held = Held::open().await;
    let next = async |store: &Store| {
        let value = store.change(async |tx: &Tx<'_>| {
            let text = "INSERT INTO item (id, count) VALUES (1, 1) \
                 ON CONFLICT (id) DO UPDATE SET count = item.count + 1 RETURNING count";
            let rows = tx
                .run_returning(text, &[], |row| row.number::<i64>())
                .await?;
            rows.first().copied().ok_or(Refusal::No("no row".into()))
        });
        value.await
    };
    let changes = (0..300).map(|_| Box::pin(next(&held.store)) as BoxFuture<'_, _>);
    let answers = held.together(changes.collect()).await;
    assert_eq!(answers, (1_i64..=300).map(Ok).collect::<Vec<_>>());
    assert_eq!(count(&held.store, 1).await, 300);
}
