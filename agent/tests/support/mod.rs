//! The daemon with a card in memory that can be taken out and put back, and its API's client.
#![allow(dead_code, reason = "each test uses a part")]

pub(crate) mod broker;

use aid_agent::card::{Counters, Euicc};
use aid_agent::{config::Config, daemon};
use aid_agent_core::{CardProfile, EuiccError, EuiccOp};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

pub(crate) const EID: &str = "89049032000000000000000000000001";
pub(crate) const ICCID: &str = "8900000000000000001";
/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a test does to the card and sees of it.
#[derive(Debug)]
pub(crate) struct Inside {
    pub(crate) present: bool,
    pub(crate) eid: String,
    /// Profiles, and whether they are enabled.
    pub(crate) profiles: BTreeMap<String, bool>,
    /// Operations so far.
    pub(crate) done: Vec<String>,
    /// The card goes with the next operation: before it is done, or after it.
    pub(crate) goes: Option<bool>,
}

#[derive(Clone)]
pub(crate) struct TestCard(pub(crate) Arc<Mutex<Inside>>);

impl TestCard {
    /// A card with one profile.
    pub(crate) fn new(enabled: bool) -> Self {
        Self(Arc::new(Mutex::new(Inside {
            present: true,
            eid: EID.into(),
            profiles: BTreeMap::from([(ICCID.into(), enabled)]),
            done: vec![],
            goes: None,
        })))
    }

    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut Inside) -> T) -> T {
        f(&mut self.0.lock().expect("lock"))
    }

    pub(crate) fn is_enabled(&self) -> bool {
        self.with(|card| card.profiles.values().any(|enabled| *enabled))
    }
}

fn gone() -> EuiccError {
    EuiccError {
        code: 0,
        text: "there is no card in the reader".into(),
        permanent: false,
        full: false,
    }
}

impl Euicc for TestCard {
    fn eid(&mut self) -> Result<String, EuiccError> {
        self.with(|card| card.present.then(|| card.eid.clone()).ok_or_else(gone))
    }
    fn list(&mut self) -> Result<Vec<CardProfile>, EuiccError> {
        self.with(|card| {
            let list = card.profiles.iter().map(|(iccid, enabled)| CardProfile {
                iccid: iccid.parse().expect("ICCID"),
                enabled: *enabled,
            });
            card.present.then(|| list.collect()).ok_or_else(gone)
        })
    }
    fn execute(&mut self, what: &EuiccOp, _: &mut dyn FnMut(&str)) -> Result<(), EuiccError> {
        self.with(|card| {
            if card.goes == Some(false) {
                (card.present, card.goes) = (false, None);
            }
            if !card.present {
                return Err(gone());
            }
            card.done.push(format!("{what:?}"));
            match what {
                EuiccOp::Enable { iccid } => {
                    card.profiles.insert(iccid.as_str().into(), true);
                }
                EuiccOp::Disable { iccid } => {
                    card.profiles.insert(iccid.as_str().into(), false);
                }
                EuiccOp::Delete { iccid } => {
                    card.profiles.remove(iccid.as_str());
                }
                EuiccOp::Download { .. } | EuiccOp::List | EuiccOp::Notifications => {}
            }
            if card.goes.take().is_some() {
                card.present = false;
            }
            Ok(())
        })
    }
}

/// A configuration in the folder; the certificates are one that signs itself, for 127.0.0.1.
pub(crate) fn configure(folder: &Path, cmp: &str, eid: &str) -> Config {
    let key = rcgen::KeyPair::generate().expect("key");
    let names = vec!["localhost".into(), "127.0.0.1".into()];
    let mut cert = rcgen::CertificateParams::new(names).expect("params");
    cert.distinguished_name.push(rcgen::DnType::CommonName, eid);
    let cert = cert.self_signed(&key).expect("certificate");
    std::fs::write(folder.join("CERT_CI_ECDSA_NIST.der"), cert.der()).expect("write");
    let cert = cert.pem();
    for (name, text) in [
        ("ca.pem", cert.clone()),
        ("vehicle.pem", cert),
        ("vehicle.key.pem", key.serialize_pem()),
    ] {
        std::fs::write(folder.join(name), text).expect("write");
    }
    let file = folder.join("agent.toml");
    let text = aid_agent::config::EXAMPLE.replace("localhost:8883", cmp);
    std::fs::write(&file, text).expect("write");
    Config::load(&file).expect("config")
}

/// Nothing listens on port 1: the link stays down.
pub(crate) const NO_CMP: &str = "127.0.0.1:1";

pub(crate) async fn call(socket: &Path, request: &str) -> (u16, Value) {
    let mut stream = UnixStream::connect(socket).await.expect("connect");
    stream.write_all(request.as_bytes()).await.expect("write");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("read");
    let (head, body) = text.split_once("\r\n\r\n").expect("answer");
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
    (
        status.expect("status"),
        serde_json::from_str(body).expect("JSON"),
    )
}

pub(crate) async fn post(socket: &Path, path: &str, body: &str) -> (u16, Value) {
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
    call(socket, &request).await
}

pub(crate) async fn status(socket: &Path) -> Value {
    let request = "GET /v1/status HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    call(socket, request).await.1
}

/// Waits until the status is like this.
pub(crate) async fn wait(socket: &Path, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    let start = Instant::now();
    loop {
        let status = status(socket).await;
        if is(&status) {
            return status;
        }
        assert!(start.elapsed() < PATIENCE, "not {what}: {status}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Runs the daemon while `work` runs; returns how it ended.
pub(crate) async fn with_daemon<F: Future<Output = ()>>(
    config: &Config,
    card: &TestCard,
    work: F,
) -> Result<(), String> {
    let no_reload = tokio::sync::mpsc::channel(1).1;
    with_reload(config, card, no_reload, work).await
}

/// The same, with configurations that come while it runs.
pub(crate) async fn with_reload<F: Future<Output = ()>>(
    config: &Config,
    card: &TestCard,
    reload: tokio::sync::mpsc::Receiver<Config>,
    work: F,
) -> Result<(), String> {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let (ready, is_ready) = tokio::sync::oneshot::channel::<()>();
    let run = daemon::run(
        config,
        Box::new(card.clone()),
        Arc::new(Counters::default()),
        move |_| {
            let _ = ready.send(());
        },
        reload,
        async { drop(stopped.await) },
    );
    let client = async {
        if is_ready.await.is_ok() {
            work.await;
        }
        let _ = stop.send(());
    };
    let (ended, ()) = tokio::join!(Box::pin(run), client);
    ended.map_err(|e| e.to_string())
}
