//! Two instances on one PostgreSQL server, each of the three killed while an MSP and cars work with them: what was
//! acknowledged is stored, an older call never overwrites a newer one, and no report reaches the MSP under two ids.
//! `aid-hil cluster` is the same with a broker and a database that fail over (docs/cluster.md).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use aid_aid1::body::{SubscriptionType, UpdateSubscriptionInfo};
use aid_aid1::client::{Call, CmpClient};
use aid_cmp_core::change::Change;
use aid_cmp_core::model::{CallState, Federation, MspVerdict, Profile, ProfileStatus};
use aid_id::{Eid, Iccid, Id, MspToken};
use aid_wire::{Down, Envelope, Status, Up, WIRE_VERSION, topic_down, topic_up};
use rumqttc::{PublishOptions, QoS};
use std::collections::BTreeSet;
use std::io::BufRead as _;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;
use world::car::{Car, Seen};
use world::postgres::Postgres;
use world::{EVA, World, eid};

const MSP: &str = "Mobile One";
/// MSPs' connections at once, each with a subscription of its own.
const PARTNERS: usize = 4;
/// Rounds; in each of them each instance and the database are killed once.
const ROUNDS: usize = 3;
/// Acknowledgements between two kills.
const STEP: usize = 40;
/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a car waits for an answer before it repeats its message.
const REPEAT: Duration = Duration::from_secs(3);
/// Pause before another attempt.
const PAUSE: Duration = Duration::from_millis(20);

/// Where an instance listens.
#[derive(Clone, Copy)]
struct Place {
    aid1: SocketAddr,
    gateway: SocketAddr,
}

struct Program {
    child: Child,
    place: Place,
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
        let at = |name: &str| ready["listen"][name].as_str().unwrap().parse().unwrap();
        let place = Place {
            aid1: at("aid1"),
            gateway: at("gateway"),
        };
        Self { child, place }
    }

    /// SIGKILL: nothing in the program hears of it.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the load shares with whoever kills.
struct Stage {
    world: World,
    places: Mutex<[Place; 2]>,
    /// Acknowledgements so far.
    done: watch::Sender<usize>,
    over: AtomicBool,
}

impl Stage {
    fn place(&self, turn: usize) -> Place {
        self.places.lock().unwrap()[turn % 2]
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn acknowledged(&self) {
        self.done.send_modify(|count| *count += 1);
    }
}

fn update(world: &World, group: &str) -> UpdateSubscriptionInfo {
    UpdateSubscriptionInfo {
        phone: world.phone(),
        subscription_type: SubscriptionType::Business,
        customer_group: Some(group.to_owned()),
    }
}

/// An MSP's connection: one update after the other, each repeated at the other instance until it is acknowledged.
async fn partner(stage: Arc<Stage>, token: MspToken, mut turn: usize) -> Vec<(Call, String)> {
    let mut known: Option<(SocketAddr, CmpClient)> = None;
    let mut list = Vec::new();
    while !stage.is_over() {
        let (call, group) = (Call::new(), format!("{turn}-{}", list.len()));
        loop {
            let at = stage.place(turn).aid1;
            let client = match &known {
                Some((address, client)) if *address == at => client,
                _ => {
                    let client = stage.world.client_of(at, "mspone", "mspkey", "msp");
                    &known.insert((at, client)).1
                }
            };
            let body = update(&stage.world, &group);
            match client.update_subscription_info(call, token, &body).await {
                Ok(()) => break,
                Err(error) => {
                    assert!(error.is_transient(), "{error}");
                    turn += 1;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        list.push((call, group));
        stage.acknowledged();
    }
    list
}

/// What became of a report that was sent.
enum Sent {
    Acknowledged,
    Again,
    Lost,
}

async fn send(car: &mut Car, seq: u64, iccid: &Iccid) -> Sent {
    let status = match seq % 2 {
        1 => Status::Enabled,
        _ => Status::Disabled,
    };
    let message_id: Id = *uuid::Uuid::new_v4().as_bytes();
    let envelope = Envelope {
        version: WIRE_VERSION,
        message_id,
        correlation_id: message_id,
        sequence: seq,
        expires_at: None,
        body: Up::Status {
            report_seq: seq,
            iccid: Some(iccid.clone()),
            account: Some(EVA),
            status,
            code: 0,
        },
    };
    let options = PublishOptions::new(QoS::AtLeastOnce);
    let bytes = envelope.encode().unwrap();
    let sent = car.client.publish(topic_up(&car.eid), bytes, options);
    if sent.await.is_err() {
        return Sent::Lost;
    }
    loop {
        match timeout(REPEAT, car.seen.recv()).await {
            Ok(Some(Seen::Message(m))) if m.body == Down::StatusAck { report_seq: seq } => {
                return Sent::Acknowledged;
            }
            Ok(Some(Seen::Acked(reason))) if reason != "Success" => return Sent::Again,
            Ok(Some(Seen::Lost(_)) | None) => return Sent::Lost,
            Ok(Some(_)) => {}
            Err(_) => return Sent::Again,
        }
    }
}

/// A car that reports one status after the other, each repeated until it is acknowledged; yields how many were.
async fn reports(stage: Arc<Stage>, eid: Eid, iccid: Iccid, mut turn: usize) -> u64 {
    stage.world.pki.issue(eid.as_str(), eid.as_str(), false);
    let tls = stage.world.pki.client(eid.as_str());
    let mut seq = 0;
    loop {
        let at = stage.place(turn).gateway;
        let mut car = Car::dial(at, Arc::clone(&tls), eid, eid.as_str());
        let down = topic_down(&eid);
        let mut connected = car.client.subscribe(down, QoS::AtLeastOnce).await.is_ok();
        while connected {
            match send(&mut car, seq + 1, &iccid).await {
                Sent::Acknowledged => {
                    seq += 1;
                    stage.acknowledged();
                    if stage.is_over() {
                        return seq;
                    }
                }
                Sent::Again => tokio::time::sleep(PAUSE).await,
                Sent::Lost => connected = false,
            }
        }
        turn += 1;
        tokio::time::sleep(PAUSE).await;
    }
}

/// A subscription of Eva's.
async fn federation(world: &World) -> Federation {
    let federation = Federation {
        id: aid_cmp::service::fresh(),
        msp: MSP.into(),
        token: MspToken::from_bytes(aid_cmp::service::fresh()),
        account: EVA,
        phone: world.phone(),
        kind: SubscriptionType::Private,
        customer_group: None,
        since: 1,
        ended_at: None,
        ended_reason: None,
    };
    let add = Change::AddFederation(federation.clone());
    world.commit(vec![add]).await;
    federation
}

/// Eva's profile in a car that she is logged in to.
async fn profile(world: &World, eid: Eid, iccid: &Iccid) {
    let profile = Profile {
        iccid: iccid.clone(),
        federation: federation(world).await.id,
        eid,
        status: ProfileStatus::Installed,
        verdict: MspVerdict::Valid,
        last_used: 1,
        created_at: 1,
    };
    let changes = vec![Change::PutProfile(profile), Change::LoggedIn(eid, EVA, 1)];
    world.commit(changes).await;
}

/// Kills each instance and the database in turn, with load before, between and after.
async fn kill_all(stage: &Stage, server: &Postgres, programs: &mut [Program; 2]) {
    let mut done = stage.done.subscribe();
    let mut more = async || {
        let target = *done.borrow_and_update() + STEP;
        let goes_on = timeout(PATIENCE, done.wait_for(|count| *count >= target)).await;
        goes_on.expect("the load goes on").unwrap();
    };
    for _ in 0..ROUNDS {
        for (n, program) in programs.iter_mut().enumerate() {
            more().await;
            program.kill();
            // The other one serves alone.
            more().await;
            *program = tokio::task::block_in_place(|| Program::start(&stage.world));
            stage.places.lock().unwrap()[n] = program.place;
        }
        more().await;
        tokio::task::block_in_place(|| {
            server.kill();
            server.start_again();
        });
    }
    more().await;
}

/// Every call that was acknowledged is stored, and what holds is the last one of each subscription.
async fn compare_partners(stage: &Stage, books: &[(MspToken, Vec<(Call, String)>)]) {
    for (token, list) in books {
        for (call, group) in list {
            let id = call.request_id.into_bytes();
            let answered = stage.world.store.answered("mspone", id).await.unwrap();
            assert_eq!(answered.map(|a| a.status), Some(201), "{group} was lost");
        }
        let last = list.last().map(|(_, group)| group.clone());
        let holds = async || {
            let link = stage.world.store.federation(MSP, *token).await.unwrap();
            link.unwrap().customer_group
        };
        assert_eq!(holds().await, last);
        // Repetitions at either instance get their answers again and change nothing.
        for (turn, (call, group)) in list.iter().take(6).enumerate() {
            let at = stage.place(turn).aid1;
            let client = stage.world.client_of(at, "mspone", "mspkey", "msp");
            let body = update(&stage.world, group);
            let again = client.update_subscription_info(*call, *token, &body).await;
            again.unwrap();
        }
        assert_eq!(holds().await, last);
    }
}

/// The MSP knows of each acknowledged report once, however often it was called, and in their order.
fn compare_reports(stage: &Stage, iccid: &Iccid, acknowledged: u64) {
    let mut ids = BTreeSet::new();
    let mut statuses = Vec::new();
    for asked in stage.world.msp.asked("/v1/statuses") {
        if asked.body["iccid"] == iccid.as_str()
            && ids.insert(asked.headers["cmp-request-id"].clone())
        {
            statuses.push(asked.body["status"].as_str().unwrap().to_owned());
        }
    }
    let sent = (1..=acknowledged).map(|seq| match seq % 2 {
        1 => "enabled".to_owned(),
        _ => "disabled".to_owned(),
    });
    assert_eq!(statuses, sent.collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_of_either_instance_and_of_the_database_lose_and_double_nothing() {
    let Some(server) = Postgres::start() else {
        return;
    };
    let mut world = World::on(Some(&server.url())).await;
    world.halt().await;
    let cars: Vec<(Eid, Iccid)> = (1..=2)
        .map(|n| (eid(n), format!("89000000000000000{n:02}").parse().unwrap()))
        .collect();
    for (eid, iccid) in &cars {
        profile(&world, *eid, iccid).await;
    }
    let mut tokens = Vec::new();
    for _ in 0..PARTNERS {
        tokens.push(federation(&world).await.token);
    }
    let mut programs = [Program::start(&world), Program::start(&world)];
    let places = Mutex::new([programs[0].place, programs[1].place]);
    let stage = Arc::new(Stage {
        world,
        places,
        done: watch::Sender::new(0),
        over: AtomicBool::new(false),
    });
    let partners: Vec<_> = tokens
        .iter()
        .enumerate()
        .map(|(n, token)| tokio::spawn(partner(Arc::clone(&stage), *token, n)))
        .collect();
    let driven: Vec<_> = cars
        .iter()
        .enumerate()
        .map(|(n, (eid, iccid))| tokio::spawn(reports(Arc::clone(&stage), *eid, iccid.clone(), n)))
        .collect();
    kill_all(&stage, &server, &mut programs).await;
    stage.over.store(true, Ordering::Relaxed);
    let mut books = Vec::new();
    for (task, token) in partners.into_iter().zip(tokens) {
        books.push((token, task.await.unwrap()));
    }
    let mut counts = Vec::new();
    for task in driven {
        counts.push(task.await.unwrap());
    }
    // What a killed instance was calling, another calls when the lease is over.
    let drained = async {
        loop {
            let due = stage.world.store.calls(CallState::Due).await.unwrap();
            if due.is_empty() {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    timeout(PATIENCE, drained).await.expect("the outbox drains");
    compare_partners(&stage, &books).await;
    for ((_, iccid), count) in cars.iter().zip(counts) {
        assert!(count > 0);
        compare_reports(&stage, iccid, count);
    }
    drop(programs);
}
