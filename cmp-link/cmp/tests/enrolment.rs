//! Vehicles come, get another certificate, go, and are exchanged (A.4); logins by a code that they show.
//! Over the real gateway and the real command line.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use aid_cmp::service::{Judged, Service};
use aid_cmp_core::model::{OrderState, ProfileStatus};
use aid_id::Eid;
use aid_wire::{Down, LoginOutcome, Up, topic_down};
use rcgen::{CertificateParams, DnType, KeyPair};
use serde_json::Value;
use std::process::{Command, Output};
use std::sync::Arc;
use world::car::{Car, Seen};
use world::{EVA, World, eid};

const VIN: &str = "WVWZZZ1KZ6W000001";

fn aid_cmp(world: &World, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aid-cmp"))
        .args(args)
        .arg("--json")
        .arg("--config")
        .arg(world.config())
        .current_dir(world.folder.path())
        .output()
        .unwrap()
}

fn ok(world: &World, args: &[&str]) -> Value {
    let output = aid_cmp(world, args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {stderr}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn refused(world: &World, args: &[&str]) -> String {
    let output = aid_cmp(world, args);
    assert!(!output.status.success(), "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// Dials with a certificate file of the world; true when it is let in.
async fn let_in(world: &World, certificate: &str, eid: Eid) -> Option<Car> {
    let tls = world.pki.client(certificate);
    let mut car = Car::dial(world.gateway, tls, eid, eid.as_str());
    match car.next().await {
        Seen::Connected => Some(car),
        Seen::Lost(_) => None,
        other => panic!("{other:?}"),
    }
}

async fn lost(car: &mut Car) {
    while !matches!(car.next().await, Seen::Lost(_)) {}
}

// R-3.2-3 R-4.3-2: one certificate of a vehicle, and no other of the same CA.
#[tokio::test(flavor = "multi_thread")]
async fn a_vehicle_is_enrolled_with_its_certificate() {
    let world = World::new().await;
    let car = eid(7);
    let text = car.to_string();
    for name in ["seven", "other"] {
        world.pki.issue(name, &text, false);
    }
    assert!(
        let_in(&world, "seven", car).await.is_none(),
        "before it is enrolled"
    );
    let row = ok(
        &world,
        &[
            "vehicle",
            "enrol",
            "--eid",
            &text,
            "--vin",
            VIN,
            "--cert",
            "seven.pem",
        ],
    );
    assert_eq!(
        (&row[0]["eid"], &row[0]["vin"]),
        (&text.clone().into(), &VIN.into())
    );
    assert!(let_in(&world, "seven", car).await.is_some());
    assert!(let_in(&world, "other", car).await.is_none());
    // Another certificate from now on.
    ok(
        &world,
        &["vehicle", "enrol", "--eid", &text, "--cert", "other.pem"],
    );
    assert!(let_in(&world, "seven", car).await.is_none());
    assert!(let_in(&world, "other", car).await.is_some());
    // A certificate of somebody else, and another EID for the VIN.
    let why = refused(
        &world,
        &["vehicle", "enrol", "--eid", &text, "--cert", "msp.pem"],
    );
    assert!(why.contains("msp.pem") && why.contains(&text), "{why}");
    let new = eid(8).to_string();
    world.pki.issue("eight", &new, false);
    let args = [
        "vehicle",
        "enrol",
        "--eid",
        &new,
        "--vin",
        VIN,
        "--cert",
        "eight.pem",
    ];
    let why = refused(&world, &args);
    assert!(why.contains(&text) && why.contains("--exchange"), "{why}");
}

// R-4.3-2: the CMP's operator issues the certificate from the vehicle's request.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_issued_from_a_request() {
    let world = World::new().await;
    let car = eid(7);
    let text = car.to_string();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["evil.example".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, &text);
    let csr = params.serialize_request(&key).unwrap().pem().unwrap();
    let file = |name: &str| world.folder.path().join(name);
    std::fs::write(file("seven.csr"), &csr).unwrap();
    std::fs::write(file("seven.key"), key.serialize_pem()).unwrap();
    std::fs::write(file("ca.key"), world.pki.ca_key()).unwrap();
    let issue = |csr: &str, eid: &str, out: &str| {
        let args = [
            "vehicle",
            "enrol",
            "--eid",
            eid,
            "--csr",
            csr,
            "--ca-cert",
            "ca.pem",
            "--ca-key",
            "ca.key",
            "--out",
            out,
        ];
        aid_cmp(&world, &args)
    };
    let output = issue("seven.csr", &text, "seven.pem");
    assert!(output.status.success(), "{output:?}");
    assert!(let_in(&world, "seven", car).await.is_some());
    // What the request wishes for beside its key is not taken over.
    let pem = std::fs::read(file("seven.pem")).unwrap();
    assert!(!pem.windows(12).any(|w| w == b"evil.example"));
    // Not for another EID, not over a file that is there, not with a broken signature.
    let other = eid(8).to_string();
    assert!(!issue("seven.csr", &other, "eight.pem").status.success());
    assert!(!issue("seven.csr", &text, "seven.pem").status.success());
    let damaged = csr.replacen("MII", "MIH", 1);
    std::fs::write(file("bad.csr"), damaged).unwrap();
    assert!(!issue("bad.csr", &text, "bad.pem").status.success());
    // What the database refuses leaves no certificate behind that nobody accepts.
    ok(&world, &["vehicle", "retire", &text, "--reason", "sold"]);
    let output = issue("seven.csr", &text, "again.pem");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("retired"));
    assert!(!file("again.pem").exists());
}

// R-A.4-6 R-4.3.1-18: retired while it is connected; nothing of it is taken from then on.
#[tokio::test(flavor = "multi_thread")]
async fn a_retired_vehicle_is_cut_off_at_once() {
    let world = World::new().await;
    let mut car = Car::connect(&world).await;
    let text = world.eid.to_string();
    let iccid = "8988000000000000003";
    ok(
        &world,
        &["order", "add", &text, "delete", iccid, "--reason", "test"],
    );
    assert!(matches!(car.message().await.body, Down::Order { .. }));
    ok(
        &world,
        &["vehicle", "retire", &text, "--reason", "sold abroad"],
    );
    lost(&mut car).await;
    assert!(let_in(&world, &text, world.eid).await.is_none());
    let orders = world
        .read(async move |tx| world::book::orders(tx, Some(world.eid), false).await)
        .await;
    assert!(orders.iter().all(|o| o.state == OrderState::Closed));
    let why = refused(
        &world,
        &[
            "vehicle",
            "enrol",
            "--eid",
            &text,
            "--cert",
            &format!("{text}.pem"),
        ],
    );
    assert!(why.contains("retired"), "{why}");
}

// Whoever has the old certificate, such as a thief of the old unit, is out: what is open ends, what is sent is not taken.
#[tokio::test(flavor = "multi_thread")]
async fn another_certificate_ends_the_connections_of_the_old_one() {
    let world = World::new().await;
    let text = world.eid.to_string();
    let bind = |name: &str| {
        let file = format!("{name}.pem");
        ok(
            &world,
            &["vehicle", "enrol", "--eid", &text, "--cert", &file],
        );
    };
    for name in ["old", "new"] {
        world.pki.issue(name, &text, false);
    }
    bind("old");
    let mut silent = let_in(&world, "old", world.eid).await.unwrap();
    let mut idle = let_in(&world, "old", world.eid).await.unwrap();
    idle.subscribe(&topic_down(&world.eid)).await;
    assert!(matches!(idle.next().await, Seen::Subscribed(_)));
    bind("new");
    let login = Up::Login {
        login_id: [3; 16],
        user: "Eva".into(),
        pin: aid_id::Secret::new(world::PIN.into()),
    };
    silent.send([3; 16], login).await;
    lost(&mut silent).await;
    lost(&mut idle).await;
    let vehicle = world.store.vehicle(world.eid).await.unwrap().unwrap();
    assert_eq!(vehicle.session, None, "the login was not taken");
    assert!(let_in(&world, "old", world.eid).await.is_none());
    let mut car = let_in(&world, "new", world.eid).await.unwrap();
    car.subscribe(&topic_down(&world.eid)).await;
    assert!(matches!(car.next().await, Seen::Subscribed(_)));
    assert!(matches!(
        car.login([4; 16], world::PIN).await,
        LoginOutcome::Accepted { .. }
    ));
    // Bound again to the certificate that it has: it stays connected.
    bind("new");
    assert!(matches!(
        car.login([5; 16], world::PIN).await,
        LoginOutcome::Accepted { .. }
    ));
}

// R-A.4-6: the unit was exchanged: another EID for the VIN, the old one is cut off.
#[tokio::test(flavor = "multi_thread")]
async fn an_exchanged_unit_takes_the_place_of_the_old_one() {
    let world = World::new().await;
    let (old, new) = (world.eid, eid(9));
    let (old_text, new_text) = (old.to_string(), new.to_string());
    let mut car = Car::connect(&world).await;
    let cert = format!("{old_text}.pem");
    ok(
        &world,
        &[
            "vehicle", "enrol", "--eid", &old_text, "--vin", VIN, "--cert", &cert,
        ],
    );
    world.pki.issue("new", &new_text, false);
    ok(
        &world,
        &[
            "vehicle",
            "enrol",
            "--eid",
            &new_text,
            "--vin",
            VIN,
            "--cert",
            "new.pem",
            "--exchange",
            "unit was broken",
        ],
    );
    lost(&mut car).await;
    assert!(let_in(&world, &old_text, old).await.is_none());
    assert!(let_in(&world, "new", new).await.is_some());
    let profiles = world.read(async move |tx| tx.profiles_in(old).await).await;
    assert!(profiles.iter().all(|p| p.status == ProfileStatus::Lost));
}

// A second connection of the same car ends the first.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_connection_ends_the_first() {
    let world = World::new().await;
    let mut first = Car::connect(&world).await;
    let mut second = let_in(&world, world.eid.as_str(), world.eid).await.unwrap();
    second.subscribe(&topic_down(&world.eid)).await;
    assert!(matches!(second.next().await, Seen::Subscribed(_)));
    lost(&mut first).await;
}

/// Another instance, without listeners.
fn service(world: &World) -> Arc<Service> {
    let config = aid_cmp::config::check(&world.config()).unwrap();
    Arc::new(Service::new(world.store.0.clone(), config))
}

async fn code(car: &mut Car, login_id: [u8; 16]) -> (String, String) {
    car.send(login_id, Up::LoginByCode { login_id }).await;
    match car.message().await.body {
        Down::LoginCode {
            login_id: id,
            code,
            url,
            expires_in,
        } => {
            assert!(id == login_id && (500..=600).contains(&expires_in));
            (code, url)
        }
        other => panic!("{other:?}"),
    }
}

// R-1.1-3 R-2-9 R-2-10 R-4.3-3: a login that is approved on a page, through whatever instance.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_approved_by_the_code_that_the_car_shows() {
    let world = World::new().await;
    let service = service(&world);
    let eva = world
        .read(async move |tx| tx.account(EVA).await)
        .await
        .unwrap();
    let mut car = Car::connect(&world).await;
    let (shown, url) = code(&mut car, [1; 16]).await;
    assert!(
        url.starts_with("https://") && url.ends_with("/car"),
        "{url}"
    );
    // The same attempt shows the same code.
    assert_eq!(code(&mut car, [1; 16]).await.0, shown);
    let typed = shown.to_lowercase().replace('-', " ");
    let Judged::Open(seen) = service.look_up_login(&eva, &typed).await.unwrap() else {
        panic!("the code is open");
    };
    assert_eq!((seen.eid, seen.code.as_str()), (world.eid, shown.as_str()));
    assert!(matches!(
        service.approve_login(&eva, &typed, true).await.unwrap(),
        Judged::Done(_)
    ));
    let result = car.message().await;
    assert_eq!(result.message_id, [1; 16]);
    match result.body {
        Down::LoginResult {
            outcome: LoginOutcome::Accepted { account, .. },
            ..
        } => assert_eq!(account, EVA),
        other => panic!("{other:?}"),
    }
    assert_eq!(car.user_profile().await.display_name, "Eva");
    assert_eq!(
        world
            .read(async move |tx| tx.vehicle(world.eid).await)
            .await
            .unwrap()
            .session,
        Some(EVA)
    );
    // It is used up, and a denied one is told.
    assert_eq!(
        service.look_up_login(&eva, &shown).await.unwrap(),
        Judged::Unknown
    );
    let (next, _) = code(&mut car, [2; 16]).await;
    assert_ne!(next, shown);
    service.approve_login(&eva, &next, false).await.unwrap();
    assert!(matches!(
        car.message().await.body,
        Down::LoginResult {
            outcome: LoginOutcome::Refused { .. },
            ..
        }
    ));
}

// R-2-10: codes are not guessed.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_codes_lock_the_account() {
    let world = World::new().await;
    let service = service(&world);
    let eva = world
        .read(async move |tx| tx.account(EVA).await)
        .await
        .unwrap();
    for n in 0..5 {
        let wrong = if n == 0 { "no code" } else { "BCDF-GHJK" };
        assert_eq!(
            service.approve_login(&eva, wrong, true).await.unwrap(),
            Judged::Unknown
        );
    }
    let mut car = Car::connect(&world).await;
    let (shown, _) = code(&mut car, [1; 16]).await;
    assert!(matches!(
        service.approve_login(&eva, &shown, true).await.unwrap(),
        Judged::Locked(_)
    ));
}
