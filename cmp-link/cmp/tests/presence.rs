//! Which cars are connected: kept in the store, across instances, crashes and restarts, and without a write per message.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use aid_cmp::service::{Frame, QUEUE, Service, fresh};
use aid_cmp::store::{LEASE, Presence, Store};
use aid_id::Eid;
use aid_wire::{Envelope, Up, WIRE_VERSION};
use serde_json::Value;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use world::World;
use world::car::Car;

async fn presence(store: &Store, eid: Eid, now: u64) -> Option<Presence> {
    let read = store.read(async move |tx| tx.presence(eid, now).await);
    read.await.unwrap()
}

async fn online(store: &Store, now: u64) -> u64 {
    let read = store.read(async move |tx| tx.online(now).await);
    read.await.unwrap()
}

/// What the command says of the world's car.
fn shown(world: &World, command: &str) -> Value {
    let mut program = Command::new(env!("CARGO_BIN_EXE_aid-cmp"));
    program.args(["vehicle", command]);
    if command == "show" {
        program.arg(world.eid.as_str());
    }
    let output = program
        .args(["--json", "--config"])
        .arg(world.config())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let own = |row: &Value| row["eid"] == world.eid.as_str();
    rows.into_iter().find(own).unwrap()
}

/// Waits until the command line says that the car is connected, or that it is not.
async fn wait_for(world: &World, is_online: bool) -> Value {
    let look = async {
        loop {
            let row = shown(world, "list");
            if row["online"] == is_online && !row["last_message"].is_null() {
                return row;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), look)
        .await
        .expect("the fact is stored within a second or two")
}

async fn metric(world: &World, name: &str) -> i64 {
    let text = reqwest::get(format!("http://{}/metrics", world.admin))
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let line = text.lines().find(|l| l.starts_with(&format!("{name} ")));
    line.and_then(|l| l.rsplit(' ').next()?.parse().ok())
        .unwrap_or(-1)
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_sees_a_car_come_and_go() {
    let mut world = World::new().await;
    let never = shown(&world, "show");
    assert_eq!(
        (&never["online"], &never["last_message"]),
        (&Value::Bool(false), &Value::Null)
    );
    let car = Car::connect(&world).await;
    let row = wait_for(&world, true).await;
    let time = |name: &str| row[name].as_str().unwrap().parse::<jiff::Timestamp>();
    assert_eq!(
        time("connected_since").unwrap(),
        time("last_message").unwrap()
    );
    assert!(row["instance"].as_str().unwrap().contains(':') && row["disconnected_at"].is_null());
    assert_eq!(
        shown(&world, "show")["connected_since"],
        row["connected_since"]
    );
    // Counted at the next look.
    tokio::time::timeout(Duration::from_secs(10), async {
        while metric(&world, "aid_cmp_vehicles_online").await != 1 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .expect("one car");
    drop(car);
    let row = wait_for(&world, false).await;
    assert!(row["disconnected_at"].is_string() && row["connected_since"].is_null());
    // A server that stops has nobody connected.
    let _car = Car::connect(&world).await;
    wait_for(&world, true).await;
    world.halt().await;
    let row = shown(&world, "show");
    assert_eq!(
        (&row["online"], &row["instance"]),
        (&Value::Bool(false), &Value::Null)
    );
    world.resume().await;
}

/// A server without listeners on the world's database.
fn server(world: &World) -> Arc<Service> {
    let config = aid_cmp::config::check(&world.config()).unwrap();
    Arc::new(Service::new(world.store.0.clone(), config))
}

fn queue() -> mpsc::Sender<Box<Frame>> {
    mpsc::channel(QUEUE).0
}

// A process that is killed says goodbye to nobody; its cars are not connected all the same.
#[tokio::test(flavor = "multi_thread")]
async fn the_cars_of_a_killed_instance_are_not_connected() {
    let mut world = World::new().await;
    world.halt().await;
    let (store, eid) = (world.store.0.clone(), world.eid);
    let killed = server(&world);
    let start = aid_cmp::service::now();
    killed.connect(eid, Some([1; 32]), queue());
    killed.attend(start).await.unwrap();
    let found = presence(&store, eid, start).await.unwrap();
    assert!(found.is_online() && found.instance.is_some());
    assert_eq!(online(&store, start).await, 1);
    // Nobody else runs: the one who asks finds out by the lease.
    let later = start + LEASE + 1;
    let found = presence(&store, eid, later).await.unwrap();
    assert!(!found.is_online() && found.instance.is_none());
    assert!(found.disconnected_at.unwrap() >= found.connected_at);
    assert_eq!(online(&store, later).await, 0);
    // The next one that starts on a database of its own stores it at once.
    drop(killed);
    let next = server(&world);
    next.attend(start + 1).await.unwrap();
    let found = presence(&store, eid, start + 1).await.unwrap();
    assert!(!found.is_online(), "{found:?}");
    // The car comes back, to the new one.
    next.connect(eid, Some([1; 32]), queue());
    next.attend(start + 2).await.unwrap();
    assert!(presence(&store, eid, start + 2).await.unwrap().is_online());
}

// A car moves: the old instance's goodbye comes last and must not count.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_goodbye_of_another_instance_changes_nothing() {
    let mut world = World::new().await;
    world.halt().await;
    let (store, eid) = (world.store.0.clone(), world.eid);
    let (old, new) = (server(&world), server(&world));
    let now = aid_cmp::service::now();
    let number = old.connect(eid, Some([1; 32]), queue());
    old.attend(now).await.unwrap();
    new.connect(eid, Some([1; 32]), queue());
    new.attend(now).await.unwrap();
    old.disconnect(eid, number);
    old.attend(now + 1).await.unwrap();
    assert!(presence(&store, eid, now + 1).await.unwrap().is_online());
    // Neither does the end of a connection that another one of the same car has replaced.
    let first = new.connect(eid, Some([1; 32]), queue());
    let _second = new.connect(eid, Some([1; 32]), queue());
    new.disconnect(eid, first);
    new.attend(now + 2).await.unwrap();
    assert!(presence(&store, eid, now + 2).await.unwrap().is_online());
}

async fn says(cmp: &Arc<Service>, eid: Eid, certificate: Option<&[u8; 32]>) {
    let id = fresh();
    let envelope = Envelope {
        version: WIRE_VERSION,
        message_id: id,
        correlation_id: id,
        sequence: 0,
        expires_at: None,
        body: Up::Ack { message_id: id },
    };
    cmp.up(eid, certificate, envelope).await.unwrap();
}

// A fleet that talks costs no write per message; what is only talked of costs none at all.
#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_connected_car_are_noted_once_a_minute() {
    let mut world = World::new().await;
    world.halt().await;
    let (store, eid) = (world.store.0.clone(), world.eid);
    let cmp = server(&world);
    // Known by its certificate and not subscribed: it is not connected to anything that is sent.
    says(&cmp, eid, Some(&[1; 32])).await;
    let now = aid_cmp::service::now();
    cmp.attend(now).await.unwrap();
    assert_eq!(presence(&store, eid, now).await, None);
    cmp.connect(eid, Some([1; 32]), queue());
    cmp.attend(now).await.unwrap();
    let first = presence(&store, eid, now).await.unwrap();
    for _ in 0..20 {
        says(&cmp, eid, Some(&[1; 32])).await;
        cmp.attend(now).await.unwrap();
    }
    assert_eq!(presence(&store, eid, now).await.unwrap(), first);
    // Behind a broker, which says nothing of who comes, a message does.
    let other = world::eid(2);
    says(&cmp, other, None).await;
    cmp.attend(now).await.unwrap();
    let second = presence(&store, other, now).await.unwrap();
    assert!(second.is_online());
    cmp.leave(now + 1).await.unwrap();
    assert_eq!(online(&store, now + 1).await, 0);
}
