//! Calls of the file system that fail, are cut short or forgotten below SQLite, at each call of a start and under load.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stage;

use aid_needs::shim::{Calls, Effect, Errno, Rule, Shim};
use aid_store::{Database, Options, Store, StoreError, Stored, Tx};
use rusqlite::Connection;
use stage::{PATIENCE, Refusal, SCHEMA, add, child, file, ids, open};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Instant;

/// Names the file of a child; without it the child's test does nothing.
const CHILD: &str = "AID_STORE_TEST_CHILD";
/// Whether it stores until it is killed.
const ON: &str = "AID_STORE_TEST_ON";
/// All files of a database.
const FILES: &str = "store.sqlite";
/// Changes of a start.
const CHANGES: i64 = 3;
/// More calls than a start makes.
const MOST: u64 = 1000;

/// Repeats what failed, as an operator or a caller does.
async fn again<T>(what: impl AsyncFn() -> Result<T, StoreError>) -> T {
    for _ in 0..3 {
        match what().await {
            Ok(value) => return value,
            Err(error) => println!("@! {error}"),
        }
    }
    panic!("one fault is no reason to fail three times");
}

async fn store_all(store: &Store, ids: impl Iterator<Item = i64>) {
    for id in ids {
        match add(store, id).await {
            Ok(id) => println!("@{id}"),
            Err(Refusal::Store(error)) => println!("@! {error}"),
            Err(other) => panic!("{other:?}"),
        }
    }
}

/// Not a test: a process whose calls are affected. It says what it has stored.
#[tokio::test]
async fn the_child() {
    let Ok(path) = std::env::var(CHILD) else {
        return;
    };
    let database = Database::Sqlite(path.into());
    let store = again(async || Store::open(&database, &SCHEMA, Options::default()).await).await;
    again(async || store.reserve_log().await).await;
    if std::env::var_os(ON).is_some() {
        store_all(&store, 0..).await;
    }
    store_all(&store, 0..CHANGES).await;
    again(async || store.check().await).await;
    let look = async |tx: &Tx<'_>| tx.exists("SELECT 1 FROM item", &[]).await;
    again(async || store.read(look).await).await;
    again(async || store.empty_log().await).await;
    store_all(&store, CHANGES..2 * CHANGES).await;
    store.close().await;
    println!("@done");
}

fn start(shim: &Shim, path: &Path, on: bool) -> Child {
    let mut command = child("the_child", &[(CHILD, path.to_str().unwrap())]);
    if on {
        command.env(ON, "1");
    }
    command
        .envs(shim.environment())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What the file holds: checked by SQLite itself, and by a store that opens it.
async fn found(path: &Path) -> Vec<i64> {
    let database = Database::Sqlite(path.to_owned());
    let store = open(&database).await;
    let ids = ids(&store).await;
    assert_eq!(store.check().await, Ok(()));
    store.close().await;
    let connection = Connection::open(path).unwrap();
    let sound = connection.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0));
    assert_eq!(sound.unwrap(), "ok");
    ids
}

/// Whether an error names the reason.
fn is_true(error: &str, effect: Effect) -> bool {
    match effect {
        Effect::Fail(Errno::Io) | Effect::ShortThenFail(Errno::Io) | Effect::Lose(Errno::Io) => {
            !error.contains("full")
        }
        // One failure of a quota may be over before anybody can look.
        _ => true,
    }
}

/// Starts with one fault, at each of these calls in turn.
async fn each_call_of_a_start(calls: Calls, effect: Effect) {
    let Some(shim) = Shim::new() else {
        return;
    };
    let mut last = 0;
    for later in [false, true] {
        for n in 1.. {
            assert!(n < MOST, "the child does not end");
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("store.sqlite");
            if later {
                open(&file(folder.path())).await.close().await;
            }
            shim.begin(&Rule::nth(n, calls, FILES, effect));
            let output = start(&shim, &path, false).wait_with_output().unwrap();
            assert!(shim.is_loaded());
            let said = String::from_utf8_lossy(&output.stdout);
            let errors = String::from_utf8_lossy(&output.stderr);
            let name = format!("{calls:?} {effect:?} {n} {later}: {said}{errors}");
            let hit = shim.hit() > 0;
            let killed = hit && effect == Effect::Kill;
            assert!(killed || said.contains("@done"), "{name}");
            let lines = said.lines().filter_map(|line| line.split_once('@'));
            let mut acknowledged = Vec::new();
            for (_, line) in lines {
                match line.strip_prefix('!') {
                    Some(error) => assert!(is_true(error, effect), "{name}"),
                    None => acknowledged.extend(line.trim().parse::<i64>().ok()),
                }
            }
            let there = found(&path).await;
            for id in &acknowledged {
                assert!(there.contains(id), "{id} was acknowledged: {name}");
            }
            assert!(
                there.iter().all(|id| (0..2 * CHANGES).contains(id)),
                "{name}"
            );
            if !hit {
                assert_eq!(acknowledged.len(), 6, "{name}");
                last = n;
                break;
            }
        }
    }
    assert!(last > 1, "{calls:?}: no call was affected");
}

#[tokio::test]
async fn a_start_goes_on_after_a_disk_error_at_any_call() {
    for calls in Calls::EACH {
        each_call_of_a_start(calls, Effect::Fail(Errno::Io)).await;
    }
}
