//! The daemon has its certificate renewed over AID2, tries it, and uses it from then on.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

mod support;

use aid_agent::config::Config;
use aid_agent_core::{CertificateOutcome, Down, Up};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, IsCa, Issuer,
    KeyPair,
};
use serde_json::Value;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime};
use support::broker::{self, Broker, Shared};
use support::{EID, TestCard, configure, wait, with_daemon};
use tokio::net::TcpListener;

const DAY: Duration = Duration::from_secs(86_400);

struct Ca {
    issuer: Issuer<'static, KeyPair>,
    der: Vec<u8>,
}

/// The CA of the cars; answers of the broker are plain functions.
fn ca() -> &'static Ca {
    static CA: OnceLock<Ca> = OnceLock::new();
    CA.get_or_init(|| {
        let mut params = CertificateParams::new(vec![]).expect("params");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("key");
        let der = params.self_signed(&key).expect("CA").der().to_vec();
        let issuer = Issuer::new(params, key);
        Ca { issuer, der }
    })
}

fn params(from: SystemTime, to: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::new(vec![]).expect("params");
    params.distinguished_name.push(DnType::CommonName, EID);
    (params.not_before, params.not_after) = (from.into(), to.into());
    params
}

/// A CMP of revision 4.
fn cmp(message_id: [u8; 16], up: &Up) -> Option<Down> {
    let now = SystemTime::now();
    match up {
        Up::Hello { .. } => Some(Down::Welcome {
            message_id,
            revision: 4,
            session: 1 << 32,
        }),
        Up::RenewCertificate {
            request_id,
            request,
        } => {
            let der = request.as_slice().into();
            let asked = CertificateSigningRequestParams::from_der(&der).expect("signed");
            let own = params(now - DAY, now + 300 * DAY);
            let own = own
                .signed_by(&asked.public_key, &ca().issuer)
                .expect("issued");
            let chain = vec![own.der().to_vec(), ca().der.clone()];
            Some(Down::Certificate {
                request_id: *request_id,
                outcome: CertificateOutcome::Issued { chain },
            })
        }
        _ => Some(Down::Ack { message_id }),
    }
}

/// One of revision 3.
fn earlier_cmp(message_id: [u8; 16], up: &Up) -> Option<Down> {
    match up {
        Up::Hello { .. } => Some(Down::Welcome {
            message_id,
            revision: 3,
            session: 1 << 32,
        }),
        _ => Some(Down::Ack { message_id }),
    }
}

/// A car whose certificate is valid from so many days ago for so many days from now.
async fn car(folder: &Path, answer: broker::Answer, ago: u32, left: i64) -> (Config, Shared) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listener");
    let address = listener.local_addr().expect("address").to_string();
    let config = configure(folder, &address, EID);
    let shared = Arc::new(Mutex::new(Broker {
        answer: Some(answer),
        ..Broker::default()
    }));
    broker::serve(listener, folder, &shared);
    let now = SystemTime::now();
    let key = KeyPair::generate().expect("key");
    let to = match u32::try_from(left) {
        Ok(left) => now + left * DAY,
        Err(_) => now - DAY,
    };
    let own = params(now - ago * DAY, to);
    let own = own.signed_by(&key, &ca().issuer).expect("certificate");
    std::fs::write(folder.join("vehicle.pem"), own.pem()).expect("write");
    std::fs::write(folder.join("vehicle.key.pem"), key.serialize_pem()).expect("write");
    (config, shared)
}

fn asked(shared: &Shared) -> usize {
    let broker = shared.lock().expect("lock");
    let is = |up: &&Up| matches!(up, Up::RenewCertificate { .. });
    broker.seen.iter().filter(is).count()
}

#[tokio::test]
async fn a_certificate_that_is_due_is_renewed_and_used() {
    let folder = tempfile::tempdir().expect("folder");
    let (config, shared) = car(folder.path(), cmp, 300, 65).await;
    let before = std::fs::read(folder.path().join("vehicle.pem")).expect("certificate");
    let ended = with_daemon(&config, &TestCard::new(false), async {
        let renewed = |s: &Value| s["certificate"]["renewed_at"].is_string() && s["link"] == "up";
        let status = wait(&config.api, "renewed", renewed).await;
        let certificate = &status["certificate"];
        assert_eq!(certificate["state"], "valid", "{certificate}");
        assert_eq!(certificate["in_use"], "operational");
        assert_eq!(certificate["renewal"], "none");
        assert_eq!(certificate["error"], Value::Null);
    })
    .await;
    ended.expect("an orderly end");
    let after = std::fs::read(folder.path().join("vehicle.pem")).expect("certificate");
    assert_ne!(before, after);
    let old = std::fs::read(folder.path().join("vehicle.pem.old")).expect("the one before");
    assert_eq!(before, old);
    assert_eq!(asked(&shared), 1);
    // The first one, the one on which the new certificate was tried, and the one with it.
    assert!(shared.lock().expect("lock").connections >= 3);
}

#[tokio::test]
async fn nothing_is_asked_of_a_cmp_that_does_not_know_it_and_before_it_is_due() {
    for (answer, ago, left, state) in [
        (earlier_cmp as broker::Answer, 300, 65, "due"),
        (cmp as broker::Answer, 10, 355, "valid"),
    ] {
        let folder = tempfile::tempdir().expect("folder");
        let (config, shared) = car(folder.path(), answer, ago, left).await;
        let ended = with_daemon(&config, &TestCard::new(false), async {
            wait(&config.api, "up", |s| s["link"] == "up").await;
            // What follows the answer to Hello has come when the state of the session was said.
            let said = |b: &Shared| {
                let broker = b.lock().expect("lock");
                broker
                    .seen
                    .iter()
                    .any(|up| matches!(up, Up::Session { .. }))
            };
            let status = wait(&config.api, "greeted", |_| said(&shared)).await;
            assert_eq!(status["certificate"]["state"], state);
        })
        .await;
        ended.expect("an orderly end");
        assert_eq!(asked(&shared), 0);
        assert!(!folder.path().join("vehicle.key.pem.new").exists());
    }
}

#[tokio::test]
async fn a_car_that_slept_too_long_comes_with_its_bootstrap_certificate() {
    let folder = tempfile::tempdir().expect("folder");
    let (mut config, shared) = car(folder.path(), cmp, 400, -1).await;
    let key = KeyPair::generate().expect("key");
    let now = SystemTime::now();
    let boot = params(now - DAY, now + 3650 * DAY);
    let boot = boot.signed_by(&key, &ca().issuer).expect("certificate");
    let (cert, key_file) = (folder.path().join("b.pem"), folder.path().join("b.key"));
    std::fs::write(&cert, boot.pem()).expect("write");
    std::fs::write(&key_file, key.serialize_pem()).expect("write");
    config.cmp.bootstrap = Some(aid_agent::config::Bootstrap {
        cert,
        key: aid_agent::keys::KeyName::File(key_file),
    });
    let ended = with_daemon(&config, &TestCard::new(false), async {
        let renewed = |s: &Value| s["certificate"]["renewed_at"].is_string() && s["link"] == "up";
        let status = wait(&config.api, "renewed", renewed).await;
        assert_eq!(status["certificate"]["in_use"], "operational");
        assert_eq!(status["certificate"]["state"], "valid");
    })
    .await;
    ended.expect("an orderly end");
    // With the bootstrap certificate nothing was said but Hello and the request.
    let seen = &shared.lock().expect("lock").seen;
    let at = seen
        .iter()
        .position(|up| matches!(up, Up::RenewCertificate { .. }));
    let before = &seen[..at.expect("asked")];
    assert!(
        before.iter().all(|up| matches!(up, Up::Hello { .. })),
        "{before:?}"
    );
}
