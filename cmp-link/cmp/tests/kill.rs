//! The real program, killed without warning while it works: what it acknowledged is in the database.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use aid_aid1::body::{SubscriptionType, UpdateSubscriptionInfo};
use aid_aid1::client::Call;
use std::io::BufRead as _;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;
use world::World;
use world::postgres::Postgres;

/// Callers at once.
const CALLERS: usize = 4;
/// Answers after which it is killed, each time.
const ANSWERS: usize = 25;

struct Program {
    child: Child,
    aid1: SocketAddr,
}

impl Program {
    fn start(world: &World) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_aid-cmp"))
            .args(["serve", "--config"])
            .arg(world.config())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
        let aid1 = ready["listen"]["aid1"].as_str().unwrap().parse().unwrap();
        Self { child, aid1 }
    }

    /// SIGKILL: nothing in the program hears of it.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn update(world: &World, group: &str) -> UpdateSubscriptionInfo {
    UpdateSubscriptionInfo {
        phone: world.phone(),
        subscription_type: SubscriptionType::Business,
        customer_group: Some(group.to_owned()),
    }
}

async fn nothing_acknowledged_is_lost(world: &mut World) {
    let token = world.federate().await;
    world.halt().await;
    let mut all: Vec<(Call, String)> = Vec::new();
    for round in 0..3 {
        let program = Program::start(world);
        let acknowledged = Arc::new(Mutex::new(Vec::new()));
        let enough = Arc::new(Notify::new());
        let mut callers = Vec::new();
        for caller in 0..CALLERS {
            let client = world.client_of(program.aid1, "mspone", "mspkey", "msp");
            let (acknowledged, enough) = (Arc::clone(&acknowledged), Arc::clone(&enough));
            let body = update(world, "");
            callers.push(tokio::spawn(async move {
                for n in 0.. {
                    let call = Call::new();
                    let group = format!("{round}-{caller}-{n}");
                    let body = UpdateSubscriptionInfo {
                        customer_group: Some(group.clone()),
                        ..body.clone()
                    };
                    if client
                        .update_subscription_info(call, token, &body)
                        .await
                        .is_err()
                    {
                        return; // It was killed.
                    }
                    let mut list = acknowledged.lock().unwrap();
                    list.push((call, group));
                    if list.len() >= ANSWERS {
                        enough.notify_one();
                    }
                }
            }));
        }
        enough.notified().await;
        program.kill();
        for caller in callers {
            caller.await.unwrap();
        }
        all.append(&mut acknowledged.lock().unwrap());
    }
    assert!(all.len() >= 3 * ANSWERS);
    for (call, group) in &all {
        let id = call.request_id.into_bytes();
        let answered = world.store.answered("mspone", id).await.unwrap();
        assert_eq!(answered.map(|a| a.status), Some(201), "{group} was lost");
    }
    // A repetition gets its answer again and changes nothing: an update of the last round holds. Which one can't be told, for
    // PostgreSQL may commit one still that the killed program has sent.
    let program = Program::start(world);
    let client = world.client_of(program.aid1, "mspone", "mspkey", "msp");
    let (call, old) = &all[0];
    let body = update(world, old);
    client
        .update_subscription_info(*call, token, &body)
        .await
        .unwrap();
    program.kill();
    let link = world
        .store
        .federation("Mobile One", token)
        .await
        .unwrap()
        .unwrap();
    let group = link.customer_group.unwrap();
    assert!(group.starts_with("2-"), "{group}");
}

// R-4.1-16 R-7.3-16
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_loses_nothing_that_sqlite_acknowledged() {
    nothing_acknowledged_is_lost(&mut World::new().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_loses_nothing_that_postgresql_acknowledged() {
    let Some(server) = Postgres::start() else {
        return;
    };
    let mut world = World::on(Some(&server.url())).await;
    nothing_acknowledged_is_lost(&mut world).await;
    world.store.close().await;
}
