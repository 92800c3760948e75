//! The hub is killed at random moments under load: nothing that it has acknowledged is lost, and nothing arrives twice as
//! something else. `AID_HUB_KILLS` says how often; `just hub-kills` makes it 200.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::RwLock;
use uuid::Uuid;

use crate::world::*;

/// Kills in CI.
const KILLS: u64 = 6;
/// Callers at once.
const CALLERS: u64 = 4;

fn kills() -> u64 {
    let asked = std::env::var("AID_HUB_KILLS")
        .ok()
        .and_then(|text| text.parse().ok());
    asked.unwrap_or(KILLS)
}

/// Numbers that look random and are the same each time.
fn shuffle(seed: u64) -> u64 {
    let mut x = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

// R-1.1-1, R-5.1-1
#[tokio::test(flavor = "multi_thread")]
async fn no_kill_loses_or_doubles_what_was_acknowledged() {
    let more = "[delivery]\nfirst_pause_ms = 20\nlongest_pause_s = 1\n[limits]\npair = { per_second = 100000.0, burst = 100000 }\n";
    let world = World::with(1, more, true).await;
    let tokens: Vec<Uuid> = {
        let mut tokens = Vec::new();
        for _ in 0..CALLERS {
            tokens.push(world.introduce("m0", "c0").await);
        }
        tokens
    };
    world.parties["c0"].forget();
    // Some answers are lost, late or refused for now; those with an odd number are what the hub takes over.
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    world.parties["c0"].answer(move |got| {
        match shuffle(counted.fetch_add(1, Ordering::SeqCst)) % 5 {
            0 => says(500, "{\"code\":\"90\",\"error\":\"x\"}"),
            1 => says(502, "<html>"),
            2 => Says {
                after: Duration::from_millis(15),
                ..success(got)
            },
            _ => success(got),
        }
    });
    let world = Arc::new(RwLock::new(world));
    let stop = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let mut callers = Vec::new();
    for (n, token) in tokens.into_iter().enumerate() {
        let (world, stop, answered) =
            (Arc::clone(&world), Arc::clone(&stop), Arc::clone(&answered));
        callers.push(tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            let mut number = 0_u64;
            while !stop.load(Ordering::SeqCst) {
                number += 1;
                let mut call = world.read().await.profile_call("m0", "c0", token);
                call.body = Some(format!("{{ \"caller\":{n}, \"n\":{number}}}").into_bytes());
                // A caller repeats under the same id until it hears something.
                loop {
                    let answer = world.read().await.try_send(&call).await;
                    if answer.is_some_and(|answer| answer.status == 200) {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                answered.fetch_add(1, Ordering::SeqCst);
                acknowledged.push((call.request_id, call.body.unwrap_or_default()));
            }
            acknowledged
        }));
    }
    for kill in 0..kills() {
        let before = answered.load(Ordering::SeqCst);
        until("the load goes on", async || {
            answered.load(Ordering::SeqCst) > before + 3
        })
        .await;
        tokio::time::sleep(Duration::from_micros(shuffle(kill) % 40_000)).await;
        // The lock is for starting anew only: calls are under way while it is killed.
        let pid = world.read().await.pid();
        let done = std::process::Command::new("kill")
            .args(["-9", &pid.to_string()])
            .status();
        assert!(done.unwrap().success());
        let mut world = world.write().await;
        world.kill();
        world.start();
    }
    stop.store(true, Ordering::SeqCst);
    let mut acknowledged = Vec::new();
    for caller in callers {
        acknowledged.extend(caller.await.unwrap());
    }
    assert!(acknowledged.len() > 10, "{}", acknowledged.len());
    let world = world.read().await;
    world.parties["c0"].answer(success);
    until("all is delivered", async || {
        ["waiting", "queued", "open"].iter().all(|state| {
            let calls = world.cli(&["call", "list", "--state", state]);
            calls.as_array().unwrap().is_empty()
        })
    })
    .await;
    assert!(
        world
            .cli(&["call", "list", "--state", "dead"])
            .as_array()
            .unwrap()
            .is_empty()
    );
    // Whatever arrives under one id is one call, whole.
    let mut arrived: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for got in world.parties["c0"].got() {
        let id = got.header("cmp-request-id").to_owned();
        let body = arrived.entry(id).or_insert_with(|| got.body.clone());
        assert_eq!(*body, got.body);
    }
    for (id, body) in &acknowledged {
        assert_eq!(
            arrived.get(&id.to_string()),
            Some(body),
            "{id} was acknowledged and is lost"
        );
    }
    let sent: std::collections::BTreeSet<_> = acknowledged.iter().map(|(_, body)| body).collect();
    let bodies: std::collections::BTreeSet<_> = arrived.values().collect();
    assert_eq!(
        bodies.len(),
        arrived.len(),
        "something arrived under two ids"
    );
    assert!(sent.len() <= bodies.len());
}
