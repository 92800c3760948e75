//! Calls of the file system that fail, are cut short or forgotten below SQLite, at each call of a start and under load.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a failed expectation is a failed test; the child says what it does"
)]

mod stage;

use aid_needs::shim::{Calls, Effect, Errno, Rule, Shim};
use aid_store::{Database, Options, Store, StoreError, Tx};
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
const MOST: u64 = 5000;
/// So many calls are each tried.
const DENSE: u64 = 8;

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
    if std::env::var_os(ON).is_some() {
        store_all(&store, 0..).await;
    }
    store_all(&store, 0..CHANGES).await;
    again(async || store.check().await).await;
    let look = async |tx: &Tx<'_>| tx.exists("SELECT 1 FROM item", &[]).await;
    again(async || store.read(look).await).await;
    again(async || store.empty_log().await).await;
    store_all(&store, CHANGES..2 * CHANGES).await;
    // Many calls that are all alike.
    again(async || store.reserve_log().await).await;
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

/// What a child said: what it acknowledged, and its errors.
fn said(output: &str) -> (Vec<i64>, Vec<&str>) {
    let lines = output
        .lines()
        .filter_map(|line| Some(line.split_once('@')?.1));
    let (errors, others): (Vec<&str>, Vec<&str>) = lines.partition(|line| line.starts_with('!'));
    // The test harness says something, too.
    let ids = others.iter().filter_map(|line| line.trim().parse().ok());
    (ids.collect(), errors)
}

/// Errors name the reason: a disk that fails is not full. That it is full can't be known of one that has room again when it is
/// looked at.
fn are_true(errors: &[&str], effect: Effect) -> bool {
    let is_full = |error: &&str| error.contains("is full");
    match effect {
        Effect::Fail(Errno::Io) | Effect::ShortThenFail(Errno::Io) | Effect::Lose(Errno::Io) => {
            !errors.iter().any(is_full)
        }
        _ => true,
    }
}

/// Starts with one fault, at each of these calls in turn, on a new file and on one that is there.
async fn each_call_of_a_start(calls: Calls, effect: Effect) {
    let Some(shim) = Shim::new() else {
        return;
    };
    let mut n = 0;
    loop {
        // The later ones are alike: long rows, page after page.
        n += 1 + n / DENSE;
        assert!(n < MOST, "the child does not end");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.sqlite");
        if n % 2 == 0 {
            open(&file(folder.path())).await.close().await;
        }
        shim.begin(&Rule::nth(n, calls, FILES, effect));
        let output = start(&shim, &path, false).wait_with_output().unwrap();
        assert!(shim.is_loaded());
        let text = String::from_utf8_lossy(&output.stdout);
        let stderr = String::from_utf8_lossy(&output.stderr);
        let name = format!("{calls:?} {effect:?} {n}: {text}{stderr}");
        let hit = shim.hit() > 0;
        let killed = hit && effect == Effect::Kill;
        assert!(killed || text.contains("@done"), "{name}");
        let (acknowledged, errors) = said(&text);
        assert!(are_true(&errors, effect), "{name}");
        // What has no effect on the outcome is no error.
        assert!(effect != Effect::Short || errors.is_empty(), "{name}");
        let there = found(&path).await;
        let kept = |id| there.contains(id);
        assert!(acknowledged.iter().all(kept), "{there:?} {name}");
        let asked = |id| (0..2 * CHANGES).contains(id);
        assert!(there.iter().all(asked), "{there:?} {name}");
        if !hit {
            assert_eq!(acknowledged, (0..2 * CHANGES).collect::<Vec<_>>(), "{name}");
            assert!(n > 1, "no call is affected: {name}");
            break;
        }
    }
}

#[tokio::test]
async fn a_start_goes_on_after_a_disk_error_at_any_call() {
    for calls in Calls::EACH {
        each_call_of_a_start(calls, Effect::Fail(Errno::Io)).await;
    }
}

#[tokio::test]
async fn a_start_goes_on_after_a_full_disk_at_any_write() {
    each_call_of_a_start(Calls::WRITE, Effect::Fail(Errno::Full)).await;
}

#[tokio::test]
async fn a_write_that_is_cut_short_is_no_error_and_one_that_then_fails_is_not_acknowledged() {
    each_call_of_a_start(Calls::WRITE, Effect::Short).await;
    each_call_of_a_start(Calls::WRITE, Effect::ShortThenFail(Errno::Io)).await;
}

#[tokio::test]
async fn a_kill_in_the_middle_of_any_write_or_before_any_sync_loses_nothing() {
    each_call_of_a_start(Calls::WRITE, Effect::Kill).await;
    each_call_of_a_start(Calls::SYNC, Effect::Kill).await;
}

#[tokio::test]
async fn what_any_failing_sync_drops_was_not_acknowledged() {
    each_call_of_a_start(Calls::SYNC, Effect::Lose(Errno::Io)).await;
}

/// Waits until the child has said so many lines of a kind.
fn wait(lines: &Receiver<String>, all: &mut String, count: usize, of_errors: bool) {
    let deadline = Instant::now() + PATIENCE;
    let mut seen = 0;
    while seen < count {
        let left = deadline.saturating_duration_since(Instant::now());
        let line = lines.recv_timeout(left).expect("the child goes on");
        seen += usize::from(line.contains("@!") == of_errors);
        all.push_str(&line);
        all.push('\n');
    }
}

/// A child that stores without end meets the fault three times, goes on by itself, and is killed.
async fn under_load(calls: Calls, effect: Effect, reason: &str) {
    let Some(shim) = Shim::new() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let mut process = start(&shim, &path, true);
    let (sender, lines) = mpsc::channel();
    let out = BufReader::new(process.stdout.take().unwrap());
    let reader = std::thread::spawn(move || {
        let lines = out.lines().map_while(Result::ok);
        for line in lines.filter(|line| line.contains('@')) {
            let _ = sender.send(line);
        }
    });
    let (mut all, mut during) = (String::new(), String::new());
    for _ in 0..3 {
        wait(&lines, &mut all, 50, false);
        shim.begin(&Rule::always(calls, FILES, effect));
        let before = all.len();
        wait(&lines, &mut all, 20, true);
        during.push_str(&all[before..]);
        shim.end();
    }
    wait(&lines, &mut all, 50, false);
    process.kill().unwrap();
    process.wait().unwrap();
    reader.join().unwrap();
    // The cause of an error is looked for after it: one that comes when the fault is over need not name it.
    for error in &said(&during).1 {
        assert!(error.contains(reason), "{error}");
    }
    let (acknowledged, _) = said(&all);
    let there = found(&path).await;
    for id in &acknowledged {
        assert!(there.binary_search(id).is_ok(), "{id} was acknowledged");
    }
}

#[tokio::test]
async fn a_failing_disk_is_no_full_disk_and_loses_nothing() {
    let fail = Effect::ShortThenFail(Errno::Io);
    under_load(Calls::WRITE, fail, "Input/output error").await;
    under_load(Calls::SYNC, Effect::Lose(Errno::Io), "may be stored or not").await;
}

#[tokio::test]
async fn a_quota_that_is_used_up_is_a_full_disk() {
    under_load(Calls::WRITE, Effect::Fail(Errno::Quota), "is full").await;
    under_load(Calls::WRITE, Effect::Fail(Errno::Full), "is full").await;
}
