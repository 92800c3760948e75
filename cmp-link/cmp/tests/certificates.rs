//! Vehicles have their certificates renewed over AID2: with the one that is bound, with the bootstrap certificate, by our
//! own CA and by a command.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use aid_id::{Eid, Id};
use aid_wire::{CertificateOutcome, Down, LoginWay, Up, topic_down};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use world::car::{Car, Seen};
use world::{World, eid};

const KEY: &[u8] = b"-----BEGIN CERTIFICATE-----\n";

fn aid_cmp(world: &World, args: &[&str]) -> Vec<Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_aid-cmp"))
        .args(args)
        .args(["--json", "--config"])
        .arg(world.config())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {stderr}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Adds to the configuration, and starts the CMP with it.
async fn configure(world: &mut World, gateway: &str, more: &str) {
    let text = std::fs::read_to_string(world.config()).unwrap();
    let text = text.replace("[gateway]\n", &format!("[gateway]\n{gateway}"));
    std::fs::write(world.config(), format!("{text}{more}")).unwrap();
    world.restart().await;
}

/// A world whose CMP issues certificates with the test's CA.
async fn issuing() -> World {
    let mut world = World::new().await;
    let key = world.folder.path().join("ca.key");
    std::fs::write(key, world.pki.ca_key()).unwrap();
    let more = "[vehicle_ca]\ncert = \"ca.pem\"\nkey = \"ca.key\"\ndays = 90\n";
    configure(&mut world, "", more).await;
    world
}

fn request(key: &KeyPair, name: &str) -> Vec<u8> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serialize_request(key).unwrap().der().to_vec()
}

async fn ask(car: &mut Car, request_id: Id, request: &[u8]) -> CertificateOutcome {
    let request = request.to_vec();
    let body = Up::RenewCertificate {
        request_id,
        request,
    };
    car.send(request_id, body).await;
    loop {
        if let Down::Certificate {
            request_id: of,
            outcome,
        } = car.message().await.body
        {
            assert_eq!(of, request_id);
            return outcome;
        }
    }
}

fn chain(outcome: CertificateOutcome) -> Vec<Vec<u8>> {
    match outcome {
        CertificateOutcome::Issued { chain } => chain,
        other => panic!("{other:?}"),
    }
}

fn refused(outcome: CertificateOutcome) -> String {
    match outcome {
        CertificateOutcome::Refused { reason } => reason,
        other => panic!("{other:?}"),
    }
}

/// Writes NAME.pem and NAME.key.
fn keep(folder: &Path, name: &str, chain: &[Vec<u8>], key: &KeyPair) {
    std::fs::write(folder.join(format!("{name}.pem")), &chain[0]).unwrap();
    std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
}

/// Dials with a certificate file of the world; the car, where it is let in.
async fn let_in(world: &World, name: &str, eid: Eid) -> Option<Car> {
    let mut car = Car::dial(world.gateway, world.pki.client(name), eid, eid.as_str());
    match car.next().await {
        Seen::Connected => {}
        Seen::Lost(_) => return None,
        other => panic!("{other:?}"),
    }
    car.subscribe(&topic_down(&eid)).await;
    assert!(matches!(car.next().await, Seen::Subscribed(_)));
    Some(car)
}

async fn hello(car: &mut Car, id: u8) {
    let software = "x AID2/4".into();
    let profiles = Vec::new();
    car.send([id; 16], Up::Hello { software, profiles }).await;
    loop {
        if matches!(car.message().await.body, Down::Welcome { .. }) {
            return;
        }
    }
}

/// A car that takes part with `first.pem`.
async fn enrolled(world: &World, car: Eid) {
    let text = car.to_string();
    world.pki.issue("first", &text, false);
    let pem = world.folder.path().join("first.pem");
    let pem = pem.to_str().unwrap();
    let args = ["vehicle", "enrol", "--eid", &text, "--cert", pem];
    aid_cmp(world, &args);
}

fn states(world: &World, car: Eid) -> Vec<String> {
    let rows = aid_cmp(world, &["vehicle", "certificates", car.as_str()]);
    let state = |row: &Value| row["state"].as_str().unwrap().to_owned();
    rows.iter().map(state).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_certificate_is_accepted_until_the_new_one_was_used() {
    let mut world = issuing().await;
    let folder = world.folder.path().to_owned();
    let car = eid(7);
    enrolled(&world, car).await;
    assert_eq!(states(&world, car), ["enrolled"]);
    let mut first = let_in(&world, "first", car).await.expect("enrolled");
    hello(&mut first, 1).await;
    let key = KeyPair::generate().unwrap();
    let request = request(&key, car.as_str());
    let issued = chain(ask(&mut first, [3; 16], &request).await);
    assert_eq!(issued.len(), 2, "the car's and that of the CA");
    // A repetition gets the same, also from the CMP after a restart.
    assert_eq!(chain(ask(&mut first, [3; 16], &request).await), issued);
    world.restart().await;
    let mut first = let_in(&world, "first", car).await.expect("still bound");
    assert_eq!(chain(ask(&mut first, [3; 16], &request).await), issued);
    assert_eq!(states(&world, car), ["issued", "enrolled"]);
    keep(&folder, "second", &issued, &key);
    // One that is not used changes nothing.
    drop(let_in(&world, "second", car).await.expect("bound beside"));
    assert!(let_in(&world, "first", car).await.is_some());
    let mut second = let_in(&world, "second", car).await.expect("bound beside");
    hello(&mut second, 2).await;
    assert!(let_in(&world, "first", car).await.is_none(), "it ended");
    assert!(let_in(&world, "second", car).await.is_some());
    assert_eq!(states(&world, car), ["bound"]);
    let audit = aid_cmp(&world, &["audit", "list"]);
    let issues = audit.iter().filter(|row| {
        let detail = row["on"].as_str().unwrap_or_default();
        row["what"] == "vehicle certificate issued" && detail.contains(car.as_str())
    });
    assert_eq!(issues.count(), 1);
    // An operator's binding ends what was issued.
    let mut second = let_in(&world, "second", car).await.expect("bound");
    let third = KeyPair::generate().unwrap();
    let third_request = self::request(&third, car.as_str());
    let issued = chain(ask(&mut second, [4; 16], &third_request).await);
    keep(&folder, "third", &issued, &third);
    enrolled(&world, car).await;
    assert!(let_in(&world, "third", car).await.is_none());
    assert!(let_in(&world, "first", car).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_prove_nothing_get_no_certificate() {
    let world = issuing().await;
    let car = eid(7);
    enrolled(&world, car).await;
    let mut first = let_in(&world, "first", car).await.expect("enrolled");
    let key = KeyPair::generate().unwrap();
    let good = request(&key, car.as_str());
    let mut forged = good.clone();
    *forged.last_mut().unwrap() ^= 1;
    let foreign = request(&key, eid(8).as_str());
    let edwards = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let cases = [
        (forged, "can't be used"),
        (foreign, "not for"),
        (request(&edwards, car.as_str()), "P-256"),
        (vec![0x30; 2049], "2048 bytes"),
        (Vec::new(), "can't be used"),
    ];
    for (n, (bytes, expected)) in (10..).zip(cases) {
        let reason = refused(ask(&mut first, [n; 16], &bytes).await);
        assert!(reason.contains(expected), "{expected}: {reason}");
    }
    // None of them is kept. A name is one request's.
    assert_eq!(states(&world, car), ["enrolled"]);
    chain(ask(&mut first, [20; 16], &good).await);
    let other = request(&KeyPair::generate().unwrap(), car.as_str());
    let reason = refused(ask(&mut first, [20; 16], &other).await);
    assert!(reason.contains("another request"), "{reason}");
    // Five a day; those that it has asked for are answered all the same.
    for n in 21..25 {
        let request = request(&KeyPair::generate().unwrap(), car.as_str());
        chain(ask(&mut first, [n; 16], &request).await);
    }
    let often = ask(&mut first, [25; 16], &other).await;
    assert!(matches!(often, CertificateOutcome::Later { seconds } if seconds > 3600));
    chain(ask(&mut first, [20; 16], &good).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_bootstrap_certificate_a_car_may_only_renew() {
    let mut world = issuing().await;
    let folder = world.folder.path().to_owned();
    let car = eid(7);
    enrolled(&world, car).await;
    // A CA of the factory, and a certificate of it.
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(DnType::CommonName, "factory");
    let ca_key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&ca_key).unwrap();
    std::fs::write(folder.join("factory.pem"), ca.pem()).unwrap();
    let issuer = Issuer::new(params, ca_key);
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, car.as_str());
    let key = KeyPair::generate().unwrap();
    let factory = params.signed_by(&key, &issuer).unwrap().der().to_vec();
    keep(&folder, "boot", &[factory], &key);
    assert!(
        let_in(&world, "boot", car).await.is_none(),
        "not configured"
    );
    configure(&mut world, "bootstrap_ca = \"factory.pem\"\n", "").await;

    let mut operational = let_in(&world, "first", car).await.expect("enrolled");
    hello(&mut operational, 1).await;
    let mut boot = let_in(&world, "boot", car).await.expect("bootstrap");
    hello(&mut boot, 2).await;
    // It did not take the place of the connection that is there.
    hello(&mut operational, 3).await;
    let login = Up::NumberedLogin {
        number: 1,
        account: None,
        login_id: [5; 16],
        way: LoginWay::Code,
    };
    boot.send([5; 16], login).await;
    loop {
        if let Seen::Acked(reason) = boot.next().await
            && reason != "Success"
        {
            assert_eq!(reason, "NotAuthorized");
            break;
        }
    }
    let key = KeyPair::generate().unwrap();
    let request = request(&key, car.as_str());
    let issued = chain(ask(&mut boot, [6; 16], &request).await);
    keep(&folder, "second", &issued, &key);
    let rows = aid_cmp(&world, &["vehicle", "certificates", car.as_str()]);
    assert_eq!(rows[0]["bootstrap"], true);
    let mut second = let_in(&world, "second", car).await.expect("operational");
    hello(&mut second, 7).await;
    assert_eq!(states(&world, car), ["bound"]);
    // A vehicle that was retired gets nothing.
    let args = [
        "vehicle",
        "retire",
        car.as_str(),
        "--reason",
        "sold",
        "--yes",
    ];
    aid_cmp(&world, &args);
    assert!(let_in(&world, "boot", car).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_of_the_operators_pki_issues() {
    let mut world = World::new().await;
    let folder = world.folder.path().to_owned();
    let (script, answer) = (folder.join("issue.sh"), folder.join("answer.pem"));
    let command = format!(
        "[vehicle_ca]\ncommand = [\"/bin/sh\", {:?}]\ncommand_s = 1\n",
        script.display()
    );
    configure(&mut world, "", &command).await;
    let car = eid(7);
    enrolled(&world, car).await;
    let mut first = let_in(&world, "first", car).await.expect("enrolled");
    let key = KeyPair::generate().unwrap();
    let der = request(&key, car.as_str());
    let ca_key = KeyPair::from_pem(&world.pki.ca_key()).unwrap();
    let ca_pem = std::fs::read_to_string(folder.join("ca.pem")).unwrap();
    assert!(ca_pem.as_bytes().starts_with(KEY));
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "ca");
    let issuer = Issuer::new(params, ca_key);
    let certify = |key: &KeyPair| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, car.as_str());
        params.signed_by(key, &issuer).unwrap()
    };
    let later = |outcome| matches!(outcome, CertificateOutcome::Later { .. });
    // What does not work now is tried again: no answer, one in time, for another key.
    let foreign = certify(&KeyPair::generate().unwrap());
    std::fs::write(&answer, foreign.pem()).unwrap();
    for script_text in ["sleep 30", "exit 1", "echo nonsense", "cat answer.pem"] {
        let text = format!("cd {}\n{script_text}\n", folder.display());
        std::fs::write(&script, text).unwrap();
        assert!(later(ask(&mut first, [1; 16], &der).await), "{script_text}");
    }
    std::fs::write(&script, "echo not this car >&2; exit 65\n").unwrap();
    let reason = refused(ask(&mut first, [1; 16], &der).await);
    assert!(reason.contains("not this car"), "{reason}");
    // It gets the request, the EID and the name of the request.
    let own = certify(&key);
    std::fs::write(&answer, format!("{}{ca_pem}", own.pem())).unwrap();
    let text = format!(
        "cd {}\ncat > request.pem\necho $AID_EID $AID_REQUEST_ID > names\ncat answer.pem\n",
        folder.display()
    );
    std::fs::write(&script, text).unwrap();
    let issued = chain(ask(&mut first, [1; 16], &der).await);
    assert_eq!(issued[0], own.der().to_vec());
    let names = std::fs::read_to_string(folder.join("names")).unwrap();
    assert_eq!(
        names.trim(),
        format!("{car} 01010101-0101-0101-0101-010101010101")
    );
    let asked = std::fs::read_to_string(folder.join("request.pem")).unwrap();
    assert!(
        asked.starts_with("-----BEGIN CERTIFICATE REQUEST-----"),
        "{asked}"
    );
    // The command is not run again.
    std::fs::write(&script, "exit 1\n").unwrap();
    assert_eq!(chain(ask(&mut first, [1; 16], &der).await), issued);
}
