//! A login without a connection, and a factory reset, of the whole daemon: what is on its disk afterwards.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

mod support;

use aid_agent::config::Config;
use aid_agent::keys::KeyName;
use aid_agent_core::{AccountRef, Aup, Down, LoginOutcome, OrderOutcome, Up};
use std::path::Path;
use std::sync::{Arc, Mutex};
use support::broker::{Broker, Out, Shared, message, serve};
use support::*;
use tokio::net::TcpListener;

const USER: &str = "eva@cmp.example";
const PIN: &str = "493817";
const ACCOUNT: AccountRef = AccountRef([0xEA; 16]);

/// What a CMP of revision 4 answers.
fn answer(message_id: [u8; 16], up: &Up) -> Option<Down> {
    Some(match up {
        Up::Hello { .. } => Down::Welcome {
            message_id,
            revision: 4,
            session: 1 << 32,
        },
        Up::NumberedLogin { login_id, .. } => Down::LoginResult {
            login_id: *login_id,
            outcome: LoginOutcome::Accepted {
                account: ACCOUNT,
                aup: Aup {
                    display_name: "Eva".into(),
                    msp_name: "M".into(),
                    masked_number: String::new(),
                },
                profiles: vec![ICCID.parse().expect("ICCID")],
            },
        },
        Up::Status { report_seq, .. } => Down::StatusAck {
            report_seq: *report_seq,
        },
        Up::OrderResult { order_id, .. } => Down::Ack {
            message_id: *order_id,
        },
        Up::FactoryReset { reset_id, .. } => Down::Ack {
            message_id: *reset_id,
        },
        Up::Session { .. } | Up::OfflineSession { .. } => Down::Ack { message_id },
        _ => return None,
    })
}

async fn site(folder: &Path) -> (Config, Shared) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address").to_string();
    let config = configure(folder, &address, EID);
    let broker = Arc::new(Mutex::new(Broker {
        answer: Some(answer),
        ..Broker::default()
    }));
    serve(listener, folder, &broker);
    (config, broker)
}

fn send(broker: &Shared, id: u8, body: Down) {
    let out = Out {
        topic: format!("aid/v1/{EID}/down"),
        retain: false,
        payload: message(id, None, body),
    };
    broker.lock().expect("lock").out.push_back(out);
}

async fn log_in(config: &Config) {
    let body = format!(r#"{{"user":"{USER}","pin":"{PIN}"}}"#);
    assert_eq!(post(&config.api, "/v1/login", &body).await.0, 202);
    wait(&config.api, "active", |s| s["phase"] == "active").await;
}

/// All files below a folder that hold this.
fn found(folder: &Path, text: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(self::found(&path, text));
        } else if path.is_file() {
            let bytes = std::fs::read(&path).expect("read");
            if bytes.windows(text.len()).any(|window| window == text) {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sold_car_has_nothing_of_its_users_and_no_keys() {
    let folder = tempfile::tempdir().expect("folder");
    let (config, broker) = site(folder.path()).await;
    let card = TestCard::new(false);
    let verifiers = |path: &Path| found(path, &ACCOUNT.0).len();
    // A login with a PIN, a grant, and the same login where nobody answers.
    let first = with_daemon(&config, &card, async {
        wait(&config.api, "up", |s| s["link"] == "up").await;
        log_in(&config).await;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let grant = Down::Verifier {
            account: ACCOUNT,
            verifier: [3; 16],
            salt: [4; 16],
            now: now.expect("clock").as_secs(),
            valid_s: 86_400,
            attempts: 5,
        };
        send(&broker, 1, grant);
        let secret = config.session.offline_secret.clone();
        wait(&config.api, "granted", |_| secret.exists()).await;
        let journal = "GET /v1/journal HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        let begun = std::time::Instant::now();
        loop {
            let (_, state) = call(&config.api, journal).await;
            if state["verifiers"].as_array().is_some_and(|v| v.len() == 1) {
                break;
            }
            assert!(begun.elapsed().as_secs() < 120, "{state}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    first.await.expect("daemon");
    assert!(verifiers(&config.journal) > 0);
    for secret in [USER, PIN] {
        assert_eq!(
            found(folder.path(), secret.as_bytes()),
            Vec::<String>::new()
        );
    }
    let mut garage = config.clone();
    garage.cmp.address = NO_CMP.into();
    let second = with_daemon(&garage, &card, async {
        log_in(&garage).await;
        let status = status(&garage.api).await;
        assert_eq!(status["session"]["offline"], true);
        assert_eq!(status["login"]["offline"], true);
    });
    second.await.expect("daemon");
    // What an earlier failure kept aside goes, too.
    let aside = config.journal.join("damaged-1");
    std::fs::create_dir(&aside).expect("folder");
    std::fs::write(aside.join("0.seg"), ICCID).expect("write");
    // Sold.
    let third = with_daemon(&config, &card, async {
        wait(&config.api, "up", |s| s["link"] == "up").await;
        let no = post(&config.api, "/v1/factory-reset", r#"{"confirm":false}"#).await;
        assert_eq!(no.0, 400);
        let yes = post(&config.api, "/v1/factory-reset", r#"{"confirm":true}"#).await;
        assert_eq!(yes.0, 202);
        let is_reset = |s: &serde_json::Value| s["phase"] == "factory_reset" && s["link"] == "down";
        let status = wait(&config.api, "reset", is_reset).await;
        assert_eq!(status["profiles"], serde_json::json!([]));
        let again = post(&config.api, "/v1/factory-reset", r#"{"confirm":true}"#).await;
        assert_eq!(again.0, 409);
        let body = format!(r#"{{"user":"{USER}","pin":"{PIN}"}}"#);
        post(&config.api, "/v1/login", &body).await;
        let refused = |s: &serde_json::Value| s["login"]["cause"] == "factory_reset";
        wait(&config.api, "refused", refused).await;
    });
    third.await.expect("daemon");
    let told = broker.lock().expect("lock").seen.iter().any(|up| {
        matches!(
            up,
            Up::FactoryReset {
                outcome: OrderOutcome::Done,
                ..
            }
        )
    });
    assert!(told, "the CMP had the result before");
    assert!(card.with(|card| card.profiles.is_empty()));
    for trace in [
        &ACCOUNT.0[..],
        ICCID.as_bytes(),
        USER.as_bytes(),
        PIN.as_bytes(),
    ] {
        assert_eq!(found(&config.journal, trace), Vec::<String>::new());
    }
    for file in [
        key_file(&config),
        &config.cmp.cert,
        &config.session.offline_secret,
    ] {
        assert!(!file.exists(), "{}", file.display());
    }
    assert!(!aside.exists());
    // It starts without keys, and says what it is, also where a power cut left the certificate; with new ones it works again.
    std::fs::write(&config.cmp.cert, "left by a power cut").expect("write");
    let fourth = with_daemon(&config, &card, async {
        wait(&config.api, "reset", |s| s["phase"] == "factory_reset").await;
    });
    fourth.await.expect("daemon");
    let (config, _broker) = site(folder.path()).await;
    let fifth = with_daemon(&config, &card, async {
        wait(&config.api, "set up", |s| {
            s["link"] == "up" && s["phase"] == "guest"
        })
        .await;
    });
    fifth.await.expect("daemon");
}

fn key_file(config: &Config) -> &Path {
    match &config.cmp.key {
        KeyName::File(file) => file,
        KeyName::Token(uri) => panic!("{uri}"),
    }
}

// A car that was never set up is no car that was reset.
#[tokio::test(flavor = "multi_thread")]
async fn a_car_without_keys_that_was_not_reset_does_not_start() {
    let folder = tempfile::tempdir().expect("folder");
    let config = configure(folder.path(), NO_CMP, EID);
    std::fs::remove_file(key_file(&config)).expect("remove");
    std::fs::remove_file(&config.cmp.cert).expect("remove");
    let ended = with_daemon(&config, &TestCard::new(false), async {}).await;
    let error = ended.expect_err("no keys");
    assert!(error.contains("vehicle"), "{error}");
}
