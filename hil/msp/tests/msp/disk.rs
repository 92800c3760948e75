//! A disk on which nothing can be written, for a while; and starts that are killed at any moment.

use crate::peers::Program;
use crate::stage::*;
use aid_needs::disk::Fault;
use aid_needs::shim::{Calls, Effect, Environment, Errno, Rule, Shim};
use rusqlite::Connection;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// What `/readyz` says.
async fn is_ready(program: &Program) -> bool {
    let url = format!("{}/readyz", program.admin.replace("https", "http"));
    let status = reqwest::get(url).await.unwrap().status().as_u16();
    assert!(matches!(status, 200 | 503), "{status}");
    status == 200
}

/// What callers have asked for, and whether it was acknowledged.
#[derive(Default)]
struct Asked {
    all: Mutex<Vec<(Call, SendCsimStatus, bool)>>,
    acknowledged: AtomicUsize,
    failed: AtomicUsize,
    enough: AtomicBool,
}

async fn what_is_acknowledged_is_stored(fault: Fault) {
    let mut stage = Stage::new("", "").await;
    let mut database = stage.folder.path("msp.sqlite");
    if let Some(folder) = fault.folder() {
        database = folder.join("msp.sqlite");
        let there = database.to_str().unwrap();
        stage.msp.reconfigure("msp.sqlite", there);
    }
    stage.msp.kill();
    stage.msp = Program::with(&stage.folder.path("msp.toml"), fault.environment());
    let token = stage.onboard().await;
    let client = Arc::new(stage.client());
    let request = ac_request();
    let profile = order(&client, token, &request).await;
    assert!(is_ready(&stage.msp).await);
    let asked = Arc::new(Asked::default());
    let callers = (0..6).map(|caller| {
        let (asked, client) = (Arc::clone(&asked), Arc::clone(&client));
        let (iccid, eid) = (profile.iccid.clone().unwrap(), request.eid);
        tokio::spawn(async move {
            for n in 0.. {
                if asked.enough.load(Ordering::SeqCst) {
                    return;
                }
                let status = if (n + caller) % 2 == 0 {
                    CsimStatus::Enabled
                } else {
                    CsimStatus::Disabled
                };
                let body = SendCsimStatus {
                    iccid: iccid.clone(),
                    eid: eid.into(),
                    status,
                };
                let call = Call::new();
                let done = client.send_csim_status(call, token, &body).await;
                asked.all.lock().unwrap().push((call, body, done.is_ok()));
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
    });
    let callers: Vec<_> = callers.collect();
    let more = async |count: &AtomicUsize, more: usize, what: &str| {
        let from = count.load(Ordering::SeqCst);
        until(what, async || count.load(Ordering::SeqCst) >= from + more).await;
    };
    more(&asked.acknowledged, 10, "it works").await;
    let orders = Mutex::new(Vec::new());
    for _ in 0..3 {
        fault.begin(stage.msp.id());
        more(&asked.failed, 30, "writes fail").await;
        // A small write may still find room, but not for long.
        until("it says that writes fail", async || {
            !is_ready(&stage.msp).await
        })
        .await;
        until("an order fails", async || {
            let (call, body) = (Call::new(), ac_request());
            let done = client.request_activation_code(call, token, &body).await;
            done.is_err_and(|_| {
                orders.lock().unwrap().push((call, body));
                true
            })
        })
        .await;
        fault.end(stage.msp.id());
        until("it is ready by itself", async || is_ready(&stage.msp).await).await;
        more(&asked.acknowledged, 10, "it works again").await;
    }
    asked.enough.store(true, Ordering::SeqCst);
    for caller in callers {
        caller.await.unwrap();
    }
    // Whatever failed succeeds now, without a restart.
    for (call, body) in &orders.into_inner().unwrap() {
        until("an order that failed can be repeated", async || {
            let done = client.request_activation_code(*call, token, body).await;
            done.is_ok()
        })
        .await;
    }
    let all = std::mem::take(&mut *asked.all.lock().unwrap());
    for (call, body, _) in all.iter().filter(|(_, _, done)| !done) {
        until("a status that failed can be repeated", async || {
            client.send_csim_status(*call, token, body).await.is_ok()
        })
        .await;
    }
    stage.msp.kill();
    let fresh = Connection::open(&database).unwrap();
    for (call, ..) in &all {
        let sql = "SELECT (SELECT status FROM answered WHERE request_id = ?1), \
             (SELECT COUNT(*) FROM status WHERE correlation_id = ?2)";
        let ids = [call.request_id.to_string(), call.correlation_id.to_string()];
        let booked = fresh.query_row(sql, ids, |row| Ok((row.get(0)?, row.get(1)?)));
        assert_eq!(booked.unwrap(), (201, 1), "{call:?}");
    }
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
    if let Some(fault) = Fault::calls(Rule::always(calls, "msp.sqlite", effect)) {
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

/// Removes the database.
fn remove(folder: &Path) {
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap().path();
        if file.to_string_lossy().contains("msp.sqlite") {
            std::fs::remove_file(file).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_was_killed_at_any_moment_is_followed_by_one_that_succeeds() {
    let folder = Folder::new();
    let nobody = "https://localhost:1";
    let config = Program::configure(&folder, nobody, nobody, [""; 4]);
    let begin = Instant::now();
    Program::start(&config).kill();
    let whole = begin.elapsed();
    for first in [true, false] {
        for n in 0..20 {
            if first {
                remove(config.parent().unwrap());
            }
            let mut child = Program::spawn(&config, Stdio::null(), Environment::new());
            tokio::time::sleep(whole * n / 20).await;
            child.kill().unwrap();
            child.wait().unwrap();
            let program = Program::start(&config);
            assert!(is_ready(&program).await, "{n}");
        }
    }
}

/// Starts with one disk error, at each call about the database in turn: those later on are alike, so fewer of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_after_one_that_met_a_disk_error_succeeds() {
    let Some(shim) = Shim::new() else {
        return;
    };
    let folder = Folder::new();
    let nobody = "https://localhost:1";
    let config = Program::configure(&folder, nobody, nobody, [""; 4]);
    for first in [true, false] {
        let mut n = 0;
        loop {
            n += 1 + n / 8;
            if first {
                remove(config.parent().unwrap());
            }
            let rule = Rule::nth(n, Calls::ALL, "msp.sqlite", Effect::Fail(Errno::Io));
            shim.begin(&rule);
            let mut child = Program::spawn(&config, Stdio::null(), shim.environment());
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
            assert!(is_ready(&Program::start(&config)).await, "{n}");
            if !hit {
                assert!(n > 20, "{n} calls are not all");
                break;
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
    for done in 1..=OLD_RESERVE.len() {
        let folder = Folder::new();
        let nobody = "https://localhost:1";
        let config = Program::configure(&folder, nobody, nobody, [""; 4]);
        Program::start(&config).kill();
        let old = Connection::open(folder.path("msp.sqlite")).unwrap();
        for sql in &OLD_RESERVE[..done] {
            old.execute_batch(sql).unwrap();
        }
        old.close().unwrap();
        assert!(is_ready(&Program::start(&config)).await);
    }
}
