//! Calls to MSPs survive those who make them: a killed process, one that is stopped in the middle of a call, and
//! commands that only note what is to be called. And a database that goes away is reported.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use aid_cmp_core::model::CallState;
use serde_json::Value;
use std::io::BufRead as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use world::World;
use world::postgres::Postgres;

/// Request Invalidate Token at the MSP.
const INVALIDATE: &str = "/v1/users";

/// An MSP that takes connections and says nothing.
struct Silent(TcpListener);

impl Silent {
    /// The configuration of `world` names it from now on, in place of the one that answers.
    async fn instead_of_the_msp(world: &World) -> Self {
        let silent = Self(TcpListener::bind("127.0.0.1:0").await.unwrap());
        silent.swap(world, world.msp.address.port(), silent.port());
        silent
    }

    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    fn swap(&self, world: &World, from: u16, to: u16) {
        let text = std::fs::read_to_string(world.config()).unwrap();
        let (from, to) = (format!("localhost:{from}\""), format!("localhost:{to}\""));
        assert!(text.contains(&from), "{text}");
        std::fs::write(world.config(), text.replace(&from, &to)).unwrap();
    }

    /// The configuration names the other one again.
    fn back(&self, world: &World) {
        self.swap(world, self.port(), world.msp.address.port());
    }

    /// Waits until somebody calls; the call lasts as long as the connection.
    async fn called(&self) -> TcpStream {
        let called = tokio::time::timeout(Duration::from_secs(30), self.0.accept());
        called.await.expect("a call").unwrap().0
    }
}

fn serve(world: &World) -> Child {
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
    assert!(line.contains("listen"), "{line}");
    child
}

async fn ended(child: &mut Child) {
    for _ in 0..1500 {
        if child.try_wait().unwrap().is_some() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it does not end");
}

/// The operator ends the first link of all, in a process of its own.
async fn withdraw(world: &World) {
    let links = world
        .read(async |tx| tx.all_federations(None, 1000).await)
        .await;
    let link = uuid::Uuid::from_bytes(links[0].id).to_string();
    let done = Command::new(env!("CARGO_BIN_EXE_aid-cmp"))
        .args(["federation", "withdraw", &link, "--reason", "test"])
        .arg("--config")
        .arg(world.config())
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
}

// R-7.9-1: a call that a command has added is made, and again after a kill. The lease of the killed process would last
// for minutes.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_takes_its_calls_back_at_the_start() {
    let mut world = World::new().await;
    world.federate().await;
    world.halt().await;
    let silent = Silent::instead_of_the_msp(&world).await;
    let mut process = serve(&world);
    withdraw(&world).await;
    let call = silent.called().await;
    let due = world.read(async |tx| world::book::calls(tx, CallState::Due).await);
    assert_eq!(due.await.len(), 1);
    process.kill().unwrap();
    process.wait().unwrap();
    drop(call);
    silent.back(&world);
    let next = world.another().await;
    let asked = world.msp.wait(INVALIDATE, 1).await;
    assert_eq!(asked.len(), 1);
    next.stop().await;
    let due = world.read(async |tx| world::book::calls(tx, CallState::Due).await);
    assert!(due.await.is_empty());
}

// An instance that is stopped while an MSP does not answer leaves the call to the others at once.
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_stops_leaves_its_calls_to_the_others() {
    let Some(server) = Postgres::start() else {
        return;
    };
    let mut world = World::on(Some(&server.url())).await;
    world.federate().await;
    world.halt().await;
    let silent = Silent::instead_of_the_msp(&world).await;
    let first = world.another().await;
    withdraw(&world).await;
    let _call = silent.called().await;
    silent.back(&world);
    let second = world.another().await;
    assert!(world.msp.asked(INVALIDATE).is_empty(), "it is the first's");
    first.stop().await;
    world.msp.wait(INVALIDATE, 1).await;
    second.stop().await;
    world.store.close().await;
}

// A clean stop closes the database: SQLite's log is folded into the file, which can be copied then.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_folds_the_log_into_the_database() {
    let mut world = World::new().await;
    world.halt().await;
    let log = world.folder.path().join("cmp.sqlite-wal");
    let mut process = serve(&world);
    let World { store, folder, .. } = world;
    store.close().await;
    assert!(log.exists(), "the process has the database");
    let id = process.id().to_string();
    assert!(Command::new("kill").arg(&id).status().unwrap().success());
    ended(&mut process).await;
    assert!(!log.exists(), "{:?}", std::fs::metadata(&log));
    drop(folder);
}

async fn readiness(world: &World) -> (u16, String) {
    let mut stream = TcpStream::connect(world.admin).await.unwrap();
    let request = "GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    (status, text)
}

// A database server that is gone: the reason is given, by a server that runs and by one that would start.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_can_not_be_reached_is_reported() {
    let Some(server) = Postgres::start() else {
        return;
    };
    let mut world = World::on(Some(&server.url())).await;
    assert_eq!(readiness(&world).await.0, 200);
    drop(server);
    let (status, text) = readiness(&world).await;
    assert_eq!(status, 503, "{text}");
    // The connection that was open broke; a new one is refused.
    let (_, text) = readiness(&world).await;
    assert!(text.contains("onnection refused"), "{text}");
    world.halt().await;
    let started = Command::new(env!("CARGO_BIN_EXE_aid-cmp"))
        .args(["--json", "serve", "--config"])
        .arg(world.config())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&started.stderr).into_owned();
    assert!(!started.status.success() && started.stdout.is_empty());
    assert!(said.contains("onnection refused"), "{said}");
    assert!(said.contains("postgres://127.0.0.1"), "{said}");
}

// A command beside a server that runs: what it decided is done once, with the operator's name.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_signed_and_its_call_is_made_once() {
    let world = World::new().await;
    world.federate().await;
    withdraw(&world).await;
    world.msp.wait(INVALIDATE, 1).await;
    let trail = Command::new(env!("CARGO_BIN_EXE_aid-cmp"))
        .args(["audit", "list", "--json", "--config"])
        .arg(world.config())
        .output()
        .unwrap();
    let rows: Value = serde_json::from_slice(&trail.stdout).unwrap();
    let rows = rows.as_array().unwrap();
    let withdrawn: Vec<_> = rows.iter().filter(|r| r["what"] == "withdrawn").collect();
    assert_eq!(withdrawn.len(), 1);
    assert_eq!(
        (&withdrawn[0]["who"], &withdrawn[0]["why"]),
        (&"operator".into(), &"test".into())
    );
    for _ in 0..500 {
        let due = world.read(async |tx| world::book::calls(tx, CallState::Due).await);
        if due.await.is_empty() {
            assert_eq!(world.msp.asked(INVALIDATE).len(), 1);
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the call stays due");
}
