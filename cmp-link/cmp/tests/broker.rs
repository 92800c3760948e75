//! The gateway over mosquitto: mutual TLS, the access control list that aid-cmp writes, orders that
//! wait in the database and not in the broker. Skipped where mosquitto is not installed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use aid_cmp::service::{fresh, now, random};
use aid_cmp_core::change::Change;
use aid_cmp_core::decide::{Context, policy::Policy};
use aid_cmp_core::model::OrderState;
use aid_id::{Eid, Iccid};
use aid_needs::Need;
use aid_wire::{Down, LoginOutcome, OrderKind, OrderOutcome, Up, topic_down, topic_up};
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use world::car::{Car, Seen};
use world::{PIN, World, eid};

/// A running mosquitto that says what it does.
struct Mosquitto {
    child: Child,
    log: Option<BufReader<ChildStderr>>,
    address: SocketAddr,
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|folder| folder.join("mosquitto"))
        .find(|file| file.exists())
}

impl Mosquitto {
    /// Writes what it needs with aid-cmp, and starts it with the command that aid-cmp prints.
    fn start(world: &World) -> Option<Self> {
        let Some(program) = program() else {
            aid_needs::missing(Need::Mosquitto, "mosquitto is not installed");
            return None;
        };
        // A port that is free now may be taken a moment later.
        for _ in 0..20 {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = free.local_addr().unwrap();
            drop(free);
            let mut broker = Self::at(&program, world, address);
            match broker.tells("running") {
                Ok(()) => return Some(broker),
                Err(log) => assert!(log.contains("Address already in use"), "{log}"),
            }
        }
        panic!("no port is free for mosquitto");
    }

    /// Starts it once more on the address that it had.
    fn again(&mut self, world: &World) {
        let next = Self::at(&program().unwrap(), world, self.address);
        *self = next;
        self.tells("running").unwrap();
    }

    fn at(program: &Path, world: &World, address: SocketAddr) -> Self {
        let folder = world.folder.path().join("broker");
        let listen = address.to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_aid-cmp"));
        command.args(["gateway", "mosquitto", "--cmp", "cmp", "--listen", &listen]);
        command.arg("--dir").arg(&folder);
        command.arg("--config").arg(world.config());
        command
            .arg("--cert")
            .arg(world.folder.path().join("server.pem"));
        command
            .arg("--key")
            .arg(world.folder.path().join("server.key"));
        if rustix::process::geteuid().is_root() {
            command.args(["--user", "root"]);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let printed = String::from_utf8(output.stdout).unwrap();
        let conf = printed.trim().strip_prefix("mosquitto -c ").unwrap();
        let mut child = Command::new(program)
            .args(["-v", "-c", conf])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Some(BufReader::new(child.stderr.take().unwrap()));
        Self {
            child,
            log,
            address,
        }
    }

    /// Stops it, as a crash would.
    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits until it says so; its log when it ended without.
    fn tells(&mut self, what: &str) -> Result<(), String> {
        let log = self.log.as_mut().unwrap();
        let mut all = String::new();
        loop {
            let mut line = String::new();
            if log.read_line(&mut line).unwrap() == 0 {
                return Err(format!("mosquitto ended: {all}"));
            }
            if line.contains(what) {
                return Ok(());
            }
            all.push_str(&line);
        }
    }

    /// The CMP is subscribed; nobody reads the log from now on, so that mosquitto is never held up.
    fn serves_the_cmp(&mut self) {
        self.tells("Sending SUBACK to cmp\n").unwrap();
        let mut log = self.log.take().unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            while log.read_line(&mut line).is_ok_and(|n| n > 0) {
                if line.ends_with("Sending SUBACK to cmp\n") {
                    let _ = sender.send(());
                }
                line.clear();
            }
        });
        SUBSCRIBED.with(|s| *s.borrow_mut() = Some(receiver));
    }
}

thread_local! {
    static SUBSCRIBED: std::cell::RefCell<Option<std::sync::mpsc::Receiver<()>>> =
        const { std::cell::RefCell::new(None) };
}

/// The CMP subscribed once more, after a restart.
fn subscribed_again() {
    SUBSCRIBED.with(|s| {
        let patience = std::time::Duration::from_secs(60);
        s.borrow().as_ref().unwrap().recv_timeout(patience).unwrap();
    });
}

/// Makes the CMP a client of the broker from its next start on. The section keeps `client_ca`, which mosquitto is written
/// with.
fn meet_at(world: &World, broker: SocketAddr) {
    let text = std::fs::read_to_string(world.config()).unwrap();
    let (head, rest) = text.split_once("[gateway]\n").unwrap();
    let (_, msps) = rest.split_once("[[msp]]").unwrap();
    let gateway = format!(
        "[gateway]\nbroker = \"mqtts://localhost:{}\"\ncert = \"cmp.pem\"\nkey = \"cmp.key\"\nca = \"ca.pem\"\n\
         client_ca = \"ca.pem\"\n",
        broker.port()
    );
    std::fs::write(world.config(), format!("{head}{gateway}[[msp]]{msps}")).unwrap();
}

/// What `/readyz` says: the status and why.
async fn readiness(world: &World) -> (u16, String) {
    let answer = reqwest::get(format!("http://{}/readyz", world.admin))
        .await
        .unwrap();
    let status = answer.status().as_u16();
    let body: serde_json::Value = answer.json().await.unwrap();
    (status, body["why"].as_str().unwrap_or_default().to_owned())
}

/// Waits until `/readyz` has this status; yields why.
async fn becomes(world: &World, status: u16) -> String {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let (got, why) = readiness(world).await;
        if got == status {
            return why;
        }
        assert!(std::time::Instant::now() < end, "{got} {why}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

async fn car(world: &World, broker: &Mosquitto, eid: Eid) -> Car {
    world.pki.issue(eid.as_str(), eid.as_str(), false);
    let tls = world.pki.client(eid.as_str());
    let mut car = Car::dial(broker.address, tls, eid, eid.as_str());
    car.subscribe(&topic_down(&eid)).await;
    assert!(matches!(car.next().await, Seen::Connected));
    assert!(matches!(car.next().await, Seen::Subscribed(_)));
    car
}

async fn hello(car: &mut Car, n: u8) {
    let message_id = [n; 16];
    let software = "test".into();
    let profiles = Vec::new();
    car.send(message_id, Up::Hello { software, profiles }).await;
    assert_eq!(car.message().await.body, Down::Ack { message_id });
}

async fn order(world: &World, n: u32) -> [u8; 16] {
    let (now, policy) = (now(), Policy::default());
    let context = Context {
        now,
        fresh,
        random,
        policy,
    };
    let iccid: Iccid = format!("89{n:017}").parse().unwrap();
    let order = context.order(world.eid, OrderKind::Delete { iccid }, "test");
    let id = order.id;
    world
        .store
        .commit(vec![Change::AddOrder(order)])
        .await
        .unwrap();
    id
}

/// Takes an order, says that it is done, and waits for the acknowledgement.
async fn obey(world: &World, car: &mut Car, id: [u8; 16]) {
    loop {
        if let Down::Order { order_id, .. } = car.message().await.body {
            assert_eq!(order_id, id);
            break;
        }
    }
    let outcome = OrderOutcome::NotFound;
    let order_id = id;
    car.send(id, Up::OrderResult { order_id, outcome }).await;
    while car.message().await.body != (Down::Ack { message_id: id }) {}
    let stored = world.store.order(id).await.unwrap().unwrap();
    assert_eq!(stored.state, OrderState::NotFound);
}

// R-3.2-2 R-3.2-3 R-3.2-4 R-4.3.1-18 R-4.4.1-15 R-2-9
#[tokio::test(flavor = "multi_thread")]
async fn cars_and_the_cmp_meet_at_a_broker() {
    let mut world = World::new().await;
    let Some(mut broker) = Mosquitto::start(&world) else {
        return;
    };
    meet_at(&world, broker.address);
    world.restart().await;
    broker.serves_the_cmp();

    // A login through the broker, AID User Profile and all.
    let mut first = car(&world, &broker, world.eid).await;
    hello(&mut first, 1).await;
    assert!(matches!(
        first.login([2; 16], PIN).await,
        LoginOutcome::Accepted { .. }
    ));
    assert_eq!(first.user_profile().await.display_name, "Eva");
    // An order while it is there.
    let now_id = order(&world, 1).await;
    obey(&world, &mut first, now_id).await;

    // Another car hears nothing of that, and speaks for nobody else.
    let mut second = car(&world, &broker, eid(2)).await;
    second.subscribe(&topic_down(&world.eid)).await;
    while !matches!(second.next().await, Seen::Subscribed(_)) {}
    let account = aid_id::AccountRef([9; 16]);
    let foreign = topic_up(&world.eid);
    second
        .send_to(&foreign, [8; 16], Up::Logout { account })
        .await;
    match second.next().await {
        Seen::Acked(reason) => assert!(reason.contains("NotAuthorized"), "{reason}"),
        other => panic!("{other:?}"),
    }

    // An order while it is away waits in the database, and comes when it is back.
    drop(first);
    let away = order(&world, 2).await;
    let mut first = car(&world, &broker, world.eid).await;
    hello(&mut first, 3).await;
    obey(&world, &mut first, away).await;

    // The CMP starts again while the car is connected and silent: a new order reaches it.
    world.restart().await;
    subscribed_again();
    let later = order(&world, 3).await;
    obey(&world, &mut first, later).await;

    // Nobody without a certificate of the CA.
    world.pki.issue("rogue-car", world.eid.as_str(), true);
    let tls = world.pki.client("rogue-car");
    let mut rogue = Car::dial(broker.address, tls, world.eid, "x");
    assert!(matches!(rogue.next().await, Seen::Lost(_)));
}

// R-3.2-2 R-3.2-3: whatever a car calls itself, it is who its certificate says, and takes nobody's place.
#[tokio::test(flavor = "multi_thread")]
async fn a_car_evicts_nobody_by_its_client_id() {
    let mut world = World::new().await;
    let Some(mut broker) = Mosquitto::start(&world) else {
        return;
    };
    meet_at(&world, broker.address);
    world.restart().await;
    broker.serves_the_cmp();
    let mut victim = car(&world, &broker, world.eid).await;
    hello(&mut victim, 1).await;
    world.pki.issue("attacker", eid(2).as_str(), false);
    for id in [world.eid.as_str(), "cmp", "aid-cmp", "$share", ""] {
        let tls = world.pki.client("attacker");
        let mut attacker = Car::dial(broker.address, tls, eid(2), id);
        // The victim's topics, in the victim's name.
        attacker.subscribe(&topic_down(&world.eid)).await;
        assert!(matches!(attacker.next().await, Seen::Connected), "{id}");
        assert!(matches!(attacker.next().await, Seen::Subscribed(_)), "{id}");
        // What the CMP says to the victim reaches the victim, and the CMP hears it: both kept their connections.
        let id = order(
            &world,
            u32::from(id.as_bytes().first().copied().unwrap_or(7)),
        )
        .await;
        obey(&world, &mut victim, id).await;
        drop(attacker);
    }
    // The victim's own certificate, and only that, takes its place.
    let tls = world.pki.client(world.eid.as_str());
    let mut twin = Car::dial(broker.address, tls, world.eid, "anything");
    assert!(matches!(twin.next().await, Seen::Connected));
    assert!(matches!(victim.next().await, Seen::Lost(_)));
    assert_eq!(readiness(&world).await.0, 200);
}

// The CMP is ready when it can reach vehicles, which is when it is at the broker.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_broker_the_cmp_is_not_ready() {
    let mut world = World::new().await;
    assert_eq!(readiness(&world).await.0, 200, "its own gateway");
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = free.local_addr().unwrap();
    drop(free);
    meet_at(&world, nowhere);
    world.restart().await;
    let why = becomes(&world, 503).await;
    assert!(
        why.contains("broker") && why.contains(&nowhere.port().to_string()),
        "{why}"
    );
    let Some(mut broker) = Mosquitto::start(&world) else {
        return;
    };
    meet_at(&world, broker.address);
    world.restart().await;
    for _ in 0..2 {
        becomes(&world, 200).await;
        broker.kill();
        let why = becomes(&world, 503).await;
        assert!(why.contains("no connection to the broker"), "{why}");
        broker.again(&world);
    }
    becomes(&world, 200).await;
}
