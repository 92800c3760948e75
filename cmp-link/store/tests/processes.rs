//! Two processes on one file, such as a server and the command line.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stage;

use aid_store::{Database, StoreError, Tx};
use futures_util::future::join_all;
use stage::{Refusal, child, file, ids, insert, open};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Names the file and the first number that a child stores; without it the child's test does nothing.
const CHILD: &str = "AID_STORE_TEST_CHILD";
/// Changes of the command line's process.
const OF_CHILD: i64 = 40;
/// How long another writes without a break: longer than SQLite itself waits.
const LONG: Duration = Duration::from_secs(7);

/// Not a test: the other process.
#[tokio::test]
async fn the_other_process() {
    let Ok(path) = std::env::var(CHILD) else {
        return;
    };
    let store = open(&Database::Sqlite(path.into())).await;
    for id in 0..OF_CHILD {
        stage::add(&store, -1 - id).await.unwrap();
    }
    assert!(ids(&store).await.len() as i64 >= OF_CHILD);
    store.close().await;
}

fn other_process(path: &Path) -> std::process::Child {
    let path = path.to_str().unwrap();
    let mut command = child("the_other_process", &[(CHILD, path)]);
    command.stdout(Stdio::null()).spawn().unwrap()
}

fn path(database: &Database) -> &Path {
    match database {
        Database::Sqlite(path) => path,
        Database::Postgres(_) => panic!("a file"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_works_beside_a_busy_server() {
    let folder = tempfile::tempdir().unwrap();
    let database = file(folder.path());
    let store = open(&database).await;
    let mut other = other_process(path(&database));
    // The server never pauses, so that the other one has to get in between.
    let mut next = 0_i64;
    let ended = loop {
        let batch = (next..next + 64).map(|id| stage::add(&store, id));
        for answer in join_all(batch).await {
            answer.expect("the server is not disturbed");
        }
        next += 64;
        if let Some(ended) = other.try_wait().unwrap() {
            break ended;
        }
    };
    assert!(ended.success());
    let expected: Vec<i64> = (-OF_CHILD..next).collect();
    assert_eq!(ids(&store).await, expected);
}

#[tokio::test]
async fn a_long_write_of_another_process_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let database = file(folder.path());
    let store = open(&database).await;
    let lock = rusqlite::Connection::open(path(&database)).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    // One that starts meanwhile, and one that runs.
    let mut other = other_process(path(&database));
    let mut change = Box::pin(stage::add(&store, 1));
    let until = Instant::now() + LONG;
    while Instant::now() < until {
        stage::begin(&mut change).await;
        assert_eq!(other.try_wait().unwrap(), None, "it waits");
        // Readers go on.
        assert!(ids(&store).await.is_empty());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    lock.execute_batch("COMMIT").unwrap();
    assert_eq!(change.await, Ok(1));
    let ended = tokio::task::spawn_blocking(move || other.wait());
    assert!(ended.await.unwrap().unwrap().success());
}

#[tokio::test]
async fn a_refusal_does_not_keep_the_file_locked() {
    let folder = tempfile::tempdir().unwrap();
    let database = file(folder.path());
    let store = open(&database).await;
    for id in 0..20 {
        let refused = store.change(async move |tx: &Tx<'_>| {
            insert(tx, id).await?;
            Err::<(), _>(Refusal::Store(StoreError::Taken))
        });
        refused.await.unwrap_err();
        let other = rusqlite::Connection::open(path(&database)).unwrap();
        other.busy_timeout(Duration::ZERO).unwrap();
        other.execute_batch("BEGIN IMMEDIATE; ROLLBACK").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_processes_make_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let database = file(folder.path());
    // The first few stores are opened at the same moment as one file that is not there.
    let stores = join_all((0..6).map(|_| open(&database))).await;
    for (id, store) in (0..).zip(&stores) {
        stage::add(store, id).await.unwrap();
    }
    let mut other = other_process(path(&database));
    let ended = tokio::task::spawn_blocking(move || other.wait());
    assert!(ended.await.unwrap().unwrap().success());
    for store in &stores {
        assert_eq!(ids(store).await, (-OF_CHILD..6).collect::<Vec<_>>());
    }
}
