//! An earlier release of aid-cmp beside this one, on one PostgreSQL and in turn on one SQLite file. The earlier program is
//! `AID_OLD_CMP`; `.ci/skew` builds it and runs this. Skipped without it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use aid_aid1::body::{SubscriptionType, UpdateSubscriptionInfo};
use aid_aid1::client::{Call, CmpClient};
use aid_cmp::store::Database;
use aid_id::MspToken;
use std::io::{BufRead as _, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use world::World;
use world::book::Book;
use world::postgres::Postgres;

/// Calls of each caller in each phase.
const CALLS: usize = 25;

fn old() -> Option<PathBuf> {
    let old = std::env::var_os("AID_OLD_CMP").map(PathBuf::from);
    if old.is_none() {
        eprintln!(
            "skipped: AID_OLD_CMP names no aid-cmp of an earlier release; just skew builds one"
        );
    }
    old
}

struct Program {
    child: Child,
    aid1: SocketAddr,
    portal: SocketAddr,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    fn start(program: &Path, world: &World) -> Result<Self, String> {
        let mut child = Command::new(program)
            .args(["serve", "--config"])
            .arg(world.config())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let mut stderr = child.stderr.take().unwrap();
        if line.is_empty() {
            let mut said = String::new();
            stderr.read_to_string(&mut said).unwrap();
            child.wait().unwrap();
            return Err(said);
        }
        // It must not wait for somebody who reads its log.
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
        let at = |name: &str| ready["listen"][name].as_str().unwrap().parse().unwrap();
        let (aid1, portal) = (at("aid1"), at("portal"));
        Ok(Self {
            child,
            aid1,
            portal,
        })
    }

    fn client(&self, world: &World) -> CmpClient {
        world.client_of(self.aid1, "mspone", "mspkey", "msp")
    }
}

/// Makes the database with the earlier program, and Eva in it.
fn add_user(program: &Path, world: &World) {
    let mut child = Command::new(program)
        .args(["user", "add", "eva", "--password-stdin", "--config"])
        .arg(world.config())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{}", world::PASSWORD).unwrap();
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

fn update(world: &World, group: &str) -> UpdateSubscriptionInfo {
    UpdateSubscriptionInfo {
        phone: world.phone(),
        subscription_type: SubscriptionType::Business,
        customer_group: Some(group.to_owned()),
    }
}

async fn call(client: &CmpClient, token: MspToken, body: &UpdateSubscriptionInfo) -> Call {
    let call = Call::new();
    let done = client.update_subscription_info(call, token, body).await;
    done.unwrap();
    call
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_release_serves_on_while_this_one_migrates_and_serves() {
    let (Some(old), Some(server)) = (old(), Postgres::start()) else {
        return;
    };
    let new = Path::new(env!("CARGO_BIN_EXE_aid-cmp"));
    let mut world = World::new().await;
    world.halt().await;
    world.move_to(&server.url());
    add_user(&old, &world);
    let earlier = Program::start(&old, &world).unwrap();
    (world.aid1, world.portal) = (earlier.aid1, earlier.portal);
    let token = world.federate().await;

    // Load on the earlier one before, while and after this one starts and migrates.
    let (client, body) = (earlier.client(&world), update(&world, "old"));
    let stop = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn({
        let stop = Arc::clone(&stop);
        async move {
            let mut calls = Vec::new();
            while calls.len() < CALLS || !stop.load(Ordering::SeqCst) {
                calls.push(call(&client, token, &body).await);
            }
            calls
        }
    });
    let later = Program::start(new, &world).unwrap();
    let (client, body) = (later.client(&world), update(&world, "new"));
    let mut calls = Vec::new();
    for _ in 0..CALLS {
        calls.push(call(&client, token, &body).await);
    }
    stop.store(true, Ordering::SeqCst);
    let earlier_calls = load.await.unwrap();

    // Each has the other's answers: a repetition is answered, and another body under the same id is refused.
    for (client, calls, body, other) in [
        (later.client(&world), &earlier_calls, "old", "new"),
        (earlier.client(&world), &calls, "new", "old"),
    ] {
        for call in calls.iter().take(CALLS) {
            let (body, other) = (update(&world, body), update(&world, other));
            let done = client.update_subscription_info(*call, token, &body).await;
            done.unwrap();
            let other = client.update_subscription_info(*call, token, &other).await;
            assert!(other.is_err());
        }
    }
    let store = Book::open(server.url().parse::<Database>().unwrap())
        .await
        .unwrap();
    for call in earlier_calls.iter().chain(&calls) {
        let id = call.request_id.into_bytes();
        let answered = store.answered("mspone", id).await.unwrap();
        assert_eq!(answered.map(|a| a.status), Some(201), "an answer was lost");
    }

    // The earlier one does not begin on the later tables, says why, and changes nothing.
    drop(earlier);
    let refused = Program::start(&old, &world).map(drop).unwrap_err();
    assert!(refused.contains("newer"), "{refused}");
    call(&later.client(&world), token, &update(&world, "after")).await;
    drop(later);
    store.0.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_release_refuses_a_file_of_this_one() {
    let Some(old) = old() else {
        return;
    };
    let mut world = World::new().await;
    world.halt().await;
    let refused = Program::start(&old, &world).map(drop).unwrap_err();
    assert!(refused.contains("newer"), "{refused}");
    world.resume().await;
    world.federate().await;
}
