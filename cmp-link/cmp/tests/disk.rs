//! A disk on which nothing can be written, for a while; and starts that are cut short at any moment.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use aid_aid1::body::{SubscriptionType, UpdateSubscriptionInfo};
use aid_aid1::client::Call;
use aid_cmp::store::{Database, StoreError, Tx};
use aid_cmp_core::change::{Change, Lock};
use aid_cmp_core::model::Vehicle;
use aid_id::MspToken;
use aid_needs::disk::Fault;
use aid_needs::shim::{Calls, Effect, Environment, Errno, Rule, Shim};
use rusqlite::Connection;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio_postgres::NoTls;
use world::World;
use world::book::Book;
use world::postgres::Postgres;
use world::process::Program;

/// Longest time that anything is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for something.
async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What callers have asked for, and whether it was acknowledged.
#[derive(Default)]
struct Asked {
    all: Mutex<Vec<(Call, String, bool)>>,
    acknowledged: AtomicUsize,
    failed: AtomicUsize,
    enough: AtomicBool,
}

fn callers(
    world: &World,
    program: &Program,
    token: MspToken,
    asked: &Arc<Asked>,
) -> Vec<tokio::task::JoinHandle<()>> {
    let caller = |caller: usize| {
        let client = world.client_of(program.aid1, "mspone", "mspkey", "msp");
        let (asked, phone) = (Arc::clone(asked), world.phone());
        tokio::spawn(async move {
            for n in 0.. {
                if asked.enough.load(Ordering::SeqCst) {
                    return;
                }
                let (call, group) = (Call::new(), format!("{caller}-{n}"));
                let body = UpdateSubscriptionInfo {
                    phone: phone.clone(),
                    subscription_type: SubscriptionType::Business,
                    customer_group: Some(group.clone()),
                };
                let done = client.update_subscription_info(call, token, &body).await;
                asked.all.lock().unwrap().push((call, group, done.is_ok()));
                match &done {
                    Ok(_) => asked.acknowledged.fetch_add(1, Ordering::SeqCst),
                    // That it was one of too many says nothing.
                    Err(e) if e.refusal().is_some_and(|(status, _)| status == 429) => 0,
                    Err(_) => asked.failed.fetch_add(1, Ordering::SeqCst),
                };
                if done.is_err() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        })
    };
    (0..6).map(caller).collect()
}

async fn what_is_acknowledged_is_stored(fault: Fault) {
    let mut world = World::new().await;
    let token = world.federate().await;
    world.halt().await;
    world.close_store().await;
    let mut database = world.folder.path().join("cmp.sqlite");
    if let Some(folder) = fault.folder() {
        let there = folder.join("cmp.sqlite");
        std::fs::copy(&database, &there).unwrap();
        let text = std::fs::read_to_string(world.config()).unwrap();
        let text = text.replacen("cmp.sqlite", there.to_str().unwrap(), 1);
        std::fs::write(world.config(), text).unwrap();
        database = there;
    }
    let program = Program::with(&world.config(), fault.environment());
    assert!(program.is_ready().await);
    let asked = Arc::new(Asked::default());
    let callers = callers(&world, &program, token, &asked);
    let more = async |count: &AtomicUsize, more: usize, what: &str| {
        let from = count.load(Ordering::SeqCst);
        until(what, async || count.load(Ordering::SeqCst) >= from + more).await;
    };
    more(&asked.acknowledged, 10, "it works").await;
    for _ in 0..3 {
        fault.begin(program.child.id());
        more(&asked.failed, 30, "writes fail").await;
        // A small write may still find room, but not for long.
        until("it says that writes fail", async || {
            !program.is_ready().await
        })
        .await;
        fault.end(program.child.id());
        until("it is ready by itself", async || program.is_ready().await).await;
        more(&asked.acknowledged, 10, "it works again").await;
    }
    asked.enough.store(true, Ordering::SeqCst);
    for caller in callers {
        caller.await.unwrap();
    }
    drop(program);
    // What a program finds that opens it now.
    let store = Book::open(&database).await.unwrap();
    let all = std::mem::take(&mut *asked.all.lock().unwrap());
    let answered = async |call: &Call| {
        let id = call.request_id.into_bytes();
        store.answered("mspone", id).await.unwrap().is_some()
    };
    for (call, group, done) in &all {
        assert!(!done || answered(call).await, "{group} was acknowledged");
    }
    let link = store.federation("Mobile One", token).await.unwrap();
    let group = link.unwrap().customer_group.unwrap();
    let (call, ..) = all.iter().find(|(_, g, _)| *g == group).unwrap();
    assert!(answered(call).await, "{group} is there by halves");
    store.close().await;
}

// Invariant 8: a full disk stops, loses nothing, and goes on by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_loses_nothing_and_is_over_by_itself() {
    if let Some(fault) = Fault::disk("12m") {
        what_is_acknowledged_is_stored(fault).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_writes_lose_nothing_and_are_over_by_themselves() {
    if let Some(fault) = Fault::limit() {
        what_is_acknowledged_is_stored(fault).await;
    }
}

/// Writes, or what brings them to disk, fail for a while.
async fn calls_fail(calls: Calls, effect: Effect) {
    if let Some(fault) = Fault::calls(Rule::always(calls, "cmp.sqlite", effect)) {
        what_is_acknowledged_is_stored(fault).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_disk_loses_nothing_and_is_over_by_itself() {
    calls_fail(Calls::WRITE, Effect::ShortThenFail(Errno::Io)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_failing_sync_drops_was_not_acknowledged() {
    calls_fail(Calls::SYNC, Effect::Lose(Errno::Io)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_is_used_up_loses_nothing() {
    calls_fail(Calls::WRITE, Effect::Fail(Errno::Quota)).await;
}

async fn start(path: &Path) -> Result<Book, StoreError> {
    let store = Book::open(path).await?;
    // Only time is lost where this fails.
    let _ = store.0.reserve_log().await;
    Ok(store)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_finds_no_space_can_be_repeated() {
    let Some(fault) = Fault::disk("16m") else {
        return;
    };
    let folder = fault.folder().unwrap();
    let (path, filler) = (folder.join("cmp.sqlite"), folder.join("filler"));
    for later in [false, true] {
        for pages in (0..40).step_by(4).chain((40..500).step_by(30)) {
            let mut file = std::fs::File::create(&filler).unwrap();
            while file.write_all(&[1; 4096]).is_ok() {}
            let full = file.metadata().unwrap().len();
            file.set_len(full.saturating_sub(pages * 4096)).unwrap();
            // What is open is not removed.
            drop(file);
            if let Ok(store) = start(&path).await {
                // Ended without a close, as by a kill.
                drop(store);
            }
            aid_needs::disk::release(&filler).unwrap();
            let store = start(&path).await.unwrap();
            store.check().await.unwrap();
            store.close().await;
            if !later {
                for file in std::fs::read_dir(folder).unwrap() {
                    std::fs::remove_file(file.unwrap().path()).unwrap();
                }
            }
        }
    }
}

/// What versions before this one did at each start.
const OLD_RESERVE: [&str; 4] = [
    "CREATE TABLE log_reserve (filler BLOB)",
    "INSERT INTO log_reserve VALUES (zeroblob(524288))",
    "DROP TABLE log_reserve",
    "PRAGMA wal_checkpoint(RESTART)",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_a_start_of_an_earlier_version_left_is_no_obstacle() {
    let world = {
        let mut world = World::new().await;
        world.halt().await;
        world.close_store().await;
        world
    };
    let path = world.folder.path().join("cmp.sqlite");
    for done in 1..=OLD_RESERVE.len() {
        let old = Connection::open(&path).unwrap();
        let before = "DROP TABLE IF EXISTS log_reserve;";
        let left = OLD_RESERVE[..done].join(";");
        old.execute_batch(&format!("{before}{left}")).unwrap();
        old.close().unwrap();
        assert!(Program::start(&world.config()).is_ready().await);
    }
}

/// Removes the database.
fn remove(folder: &Path) {
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap().path();
        if file.to_string_lossy().contains("cmp.sqlite") {
            std::fs::remove_file(file).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_was_killed_at_any_moment_is_followed_by_one_that_succeeds() {
    let mut world = World::new().await;
    world.halt().await;
    world.close_store().await;
    let begin = Instant::now();
    drop(Program::start(&world.config()));
    let whole = begin.elapsed();
    for first in [true, false] {
        for n in 0..20 {
            if first {
                remove(world.folder.path());
            }
            let mut child = Program::spawn(&world.config(), Environment::new());
            tokio::time::sleep(whole * n / 20).await;
            child.kill().unwrap();
            child.wait().unwrap();
            assert!(Program::start(&world.config()).is_ready().await, "{n}");
        }
    }
}

/// Starts with one disk error, at each call about the database in turn: those later on are alike, so fewer of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_after_one_that_met_a_disk_error_succeeds() {
    let Some(shim) = Shim::new() else {
        return;
    };
    let mut world = World::new().await;
    world.halt().await;
    world.close_store().await;
    let config = world.config();
    for first in [true, false] {
        let mut n = 0;
        loop {
            n += 1 + n / 8;
            if first {
                remove(world.folder.path());
            }
            let rule = Rule::nth(n, Calls::ALL, "cmp.sqlite", Effect::Fail(Errno::Io));
            shim.begin(&rule);
            let mut child = Program::spawn(&config, shim.environment());
            let mut line = String::new();
            let mut out = BufReader::new(child.stdout.take().unwrap());
            out.read_line(&mut line).unwrap();
            let hit = shim.hit() > 0;
            assert!(hit || !line.is_empty(), "{n}: it starts without a fault");
            if line.is_empty() {
                assert!(!child.wait().unwrap().success(), "{n}");
            } else {
                child.kill().unwrap();
                child.wait().unwrap();
            }
            shim.end();
            assert!(Program::start(&config).is_ready().await, "{n}");
            if !hit {
                assert!(n > 20, "{n} calls are not all");
                break;
            }
        }
    }
}

/// Ends every other connection to the database.
const END_OTHERS: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
     WHERE datname = current_database() AND pid <> pg_backend_pid()";

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_to_postgresql_that_failed_is_not_used_again() {
    let Some(server) = Postgres::start() else {
        return;
    };
    let url: Database = server.url().parse().unwrap();
    let store = Book::open(&url).await.unwrap();
    let (other, connection) = tokio_postgres::connect(&server.url(), NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let other = Arc::new(other);
    let add = |n| vec![Change::AddVehicle(Vehicle::new(world::eid(n), 0))];
    store.check().await.unwrap();
    for n in 0..10 {
        // The connection ends while it makes a decision, once it has written.
        let ends = Arc::clone(&other);
        let decide = async move |tx: &Tx<'_>| {
            tx.lock(Lock::Attempts("written".into())).await?;
            ends.batch_execute(END_OTHERS).await.unwrap();
            Ok::<_, StoreError>((add(n), ()))
        };
        assert!(store.0.decide(decide).await.is_err());
        // Nothing of it is stored: the same car can be added.
        until("decisions are made again", async || {
            store.commit(add(n)).await.is_ok()
        })
        .await;
        until("it is there once", async || {
            store.commit(add(n)).await == Err(StoreError::Taken)
        })
        .await;
    }
    let again = Book::open(&url).await.unwrap();
    assert_eq!(again.vehicles(None, 1000).await.unwrap().len(), 10);
    again.close().await;
    // A server that takes no writes for a while.
    let read_only = |on: &str| {
        format!(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = {on}', \
             current_database()); END $$"
        )
    };
    other.batch_execute(&read_only("on")).await.unwrap();
    other.batch_execute(END_OTHERS).await.unwrap();
    until("it is read-only", async || store.check().await.is_err()).await;
    assert!(store.commit(add(50)).await.is_err());
    let writes = "SET default_transaction_read_only = off";
    other.batch_execute(writes).await.unwrap();
    other.batch_execute(&read_only("off")).await.unwrap();
    // Connections that were made meanwhile stay as they were.
    other.batch_execute(END_OTHERS).await.unwrap();
    until("writes are possible again", async || {
        store.check().await.is_ok()
    })
    .await;
    until("all connections can write", async || {
        store.commit(add(50)).await.is_ok()
    })
    .await;
    assert_eq!(store.vehicles(None, 1000).await.unwrap().len(), 11);
    store.close().await;
    drop(other);
    connection.await.unwrap().unwrap();
}
