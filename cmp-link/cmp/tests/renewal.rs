//! Keys, secrets and certificates change while the CMP runs: both hold for a time, then the new one only.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use aid_aid1::account_id::{Policy, Secret, verify};
use aid_aid1::body::{SubscriptionType, UpdateSubscriptionInfo};
use aid_aid1::client::{Call, CmpClient};
use aid_id::MspToken;
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use world::{World, csrf, query};

/// Runs a command of the operator; yields its rows.
fn rotate(world: &World, args: &[&str]) -> Value {
    let done = Command::new(env!("CARGO_BIN_EXE_aid-cmp"))
        .args(["--json", "--config"])
        .arg(world.config())
        .args(["msp", "rotate-key", "Mobile One"])
        .args(args)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{text}");
    serde_json::from_slice(&done.stdout).unwrap()
}

/// The status that a call is answered with; 201 where it is taken.
async fn status(world: &World, client: &CmpClient, token: MspToken) -> u16 {
    let body = UpdateSubscriptionInfo {
        phone: world.phone(),
        subscription_type: SubscriptionType::Business,
        customer_group: None,
    };
    let done = client
        .update_subscription_info(Call::new(), token, &body)
        .await;
    match done {
        Ok(()) => 201,
        Err(error) => error.refusal().map_or(0, |(status, _)| status.as_u16()),
    }
}

/// Waits until a call is answered so.
async fn becomes(world: &World, client: &CmpClient, token: MspToken, wanted: u16) {
    let mut last = 0;
    for _ in 0..60 {
        last = status(world, client, token).await;
        if last == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    panic!("answered {last}, not {wanted}");
}

// R-6-2
#[tokio::test(flavor = "multi_thread")]
async fn an_api_key_is_replaced_while_the_cmp_runs() {
    let world = World::new().await;
    let token = world.federate().await;
    let row = rotate(&world, &["--key", "api-key"]);
    let new = row[0]["new"].as_str().unwrap().to_owned();
    let (old, new) = (world.client(), world.client_as("mspone", &new, "msp"));
    becomes(&world, &new, token, 201).await;
    assert_eq!(status(&world, &old, token).await, 201, "both hold");
    // A file that is no configuration changes nothing.
    let file = world.config();
    let good = std::fs::read(&file).unwrap();
    std::fs::write(&file, "database = 7\n").unwrap();
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(status(&world, &old, token).await, 201);
    std::fs::write(&file, good).unwrap();
    rotate(&world, &["--key", "api-key", "--finish"]);
    becomes(&world, &old, token, 401).await;
    assert_eq!(status(&world, &new, token).await, 201);
    // The other MSP noticed nothing.
    let other = world.client_as("msptwo", "mspkey2", "msp2");
    assert_eq!(status(&world, &other, token).await, 404);
}

// R-5.2-8
#[tokio::test(flavor = "multi_thread")]
async fn the_secret_of_account_ids_is_replaced_while_the_cmp_runs() {
    let world = World::new().await;
    let browser = world.browser().await;
    let issue = async || {
        let page = browser.get("/").await;
        let form = [("csrf", csrf(&page)), ("msp", "Mobile One".into())];
        query(&browser.post("/link", &form).await.1, "id")
    };
    let signed_with = |id: &str, secret: &str| {
        let secret: Secret = secret.parse().unwrap();
        verify(
            id,
            &[secret],
            &Policy::default(),
            aid_cmp::service::now() / 1000,
        )
        .is_ok()
    };
    let before = issue().await;
    assert!(signed_with(&before, world::SECRET));
    let row = rotate(&world, &["--key", "account-id-secret"]);
    let new = row[0]["new"].as_str().unwrap();
    let mut after = issue().await;
    for _ in 0..60 {
        if signed_with(&after, new) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
        after = issue().await;
    }
    assert!(signed_with(&after, new) && !signed_with(&after, world::SECRET));
    // An id of before is still taken, one of another secret is not.
    let client = world.client();
    for id in [&before, &after] {
        let token = MspToken::from_bytes(uuid::Uuid::new_v4().into_bytes());
        let body = world.token_body(token);
        let sent = client.send_msp_token(Call::new(), id, &body).await;
        sent.unwrap();
    }
}

// R-6-4 R-6-5
#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_replaced_while_the_cmp_runs() {
    let mut world = World::new().await;
    let mut text = std::fs::read_to_string(world.config()).unwrap();
    text += "[admin]\ncert = \"server.pem\"\nkey = \"server.key\"\n";
    std::fs::write(world.config(), text).unwrap();
    world.restart().await;
    let token = world.federate().await;
    // The MSP's: another name is nobody's until its certificate is known.
    world.pki.issue("next", "msp-2027", false);
    let next = world.client_as("mspone", "mspkey", "next");
    assert_eq!(status(&world, &next, token).await, 401);
    let file = world.folder.path().join("next.pem");
    let file = file.to_str().unwrap();
    rotate(&world, &["--key", "certificate", "--certificate", file]);
    becomes(&world, &next, token, 201).await;
    assert_eq!(
        status(&world, &world.client(), token).await,
        201,
        "both hold"
    );
    // Ours: a new connection sees another one, a running one goes on.
    let seen = async || server_certificate(&world, world.aid1).await;
    let before = seen().await;
    world.pki.issue("server", "server", false);
    let mut after = before.clone();
    for _ in 0..60 {
        after = seen().await;
        if after != before {
            break;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    assert_ne!(after, before);
    let pem = std::fs::read(world.folder.path().join("server.pem")).unwrap();
    assert!(world::pki::same(&pem, &after));
    // All listeners take theirs at once.
    assert_eq!(server_certificate(&world, world.admin).await, after);
    assert_eq!(status(&world, &next, token).await, 201);
}

/// The certificate that a listener shows now.
async fn server_certificate(world: &World, at: std::net::SocketAddr) -> Vec<u8> {
    let connector = tokio_rustls::TlsConnector::from(world.pki.client("msp"));
    let stream = tokio::net::TcpStream::connect(at).await.unwrap();
    let name = "localhost".try_into().unwrap();
    let stream = connector.connect(name, stream).await.unwrap();
    let chain = stream.get_ref().1.peer_certificates().unwrap();
    chain[0].to_vec()
}

#[test]
fn mistakes_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str], config: &Path| {
        let done = Command::new(env!("CARGO_BIN_EXE_aid-cmp"))
            .arg("--config")
            .arg(config)
            .args(["msp", "rotate-key", "X"])
            .args(args)
            .output()
            .unwrap();
        (
            done.status.code(),
            String::from_utf8_lossy(&done.stderr).into_owned(),
        )
    };
    let nowhere = folder.path().join("none.toml");
    let (code, text) = run(&["--key", "api-key"], &nowhere);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("none.toml"), "{text}");
    let (code, text) = run(&["--key", "colour"], &nowhere);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("account-id-secret"), "{text}");
}
