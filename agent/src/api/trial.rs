//! One connection of the local API without a daemon: bytes in, the answer and the commands that the loop would have got out.
//! For whoever looks at what hostile input does (docs/FUZZING.md); router, limits and checks are those of the daemon.

use super::{Api, Call, Command, Peer, door, router};
use crate::signals::{Refused, Signals};
use axum::Extension;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{broadcast, mpsc};

/// User id of a process that may log users in, and of one that may do nothing; 0 may do everything.
const MEMBER: u32 = 1000;
const STRANGER: u32 = 1001;
/// Bytes of an answer that are read, at most.
const MAX_ANSWER: usize = 1 << 22;
/// Time without a byte after which a stream of events is left.
const QUIET: Duration = Duration::from_millis(10);
/// What the head of its answer has.
const STREAM: &[u8] = b"text/event-stream";

/// Who is at the other end of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Root or the agent's own user.
    Owner,
    /// A user of `api_uids`.
    Member,
    /// Any other.
    Stranger,
}

/// What came of a connection.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What was answered, all requests together.
    pub answer: Vec<u8>,
    /// Names of the commands that the daemon's loop would have got, in order.
    pub commands: Vec<&'static str>,
    /// Users and PINs of the logins among them.
    pub logins: Vec<(String, String)>,
}

/// Serves one connection that sends these bytes and then nothing more.
pub async fn exchange(input: &[u8], who: Who) -> Outcome {
    let (calls, call) = mpsc::channel(16);
    let (events, _) = broadcast::channel(16);
    let api = Api {
        calls,
        events,
        uids: vec![0, MEMBER],
        privileged: [0, 0],
    };
    let uid = match who {
        Who::Owner => 0,
        Who::Member => MEMBER,
        Who::Stranger => STRANGER,
    };
    let router = router(&api).layer(Extension(Peer(Some(uid))));
    drop(api);
    let (server, client) = tokio::io::duplex(64 * 1024);
    let (mut from, mut to) = tokio::io::split(client);
    let client = async {
        // A server that has hung up reads no more.
        let _ = to.write_all(input).await;
        let _ = to.shutdown().await;
    };
    let mut answer = Vec::new();
    let served = async {
        let work = async { tokio::join!(door::connection(server, router), client) };
        let read = read(&mut from, &mut answer);
        tokio::pin!(read);
        tokio::select! {
            () = &mut read => {}
            _ = work => read.await,
        }
    };
    let ((), (commands, logins)) = tokio::join!(served, daemon(call));
    Outcome {
        answer,
        commands,
        logins,
    }
}

/// Reads until the server has hung up, or nothing but a stream of events goes on, which has no end of its own.
async fn read(from: &mut (impl AsyncRead + Unpin), answer: &mut Vec<u8>) {
    let mut part = [0; 4096];
    while answer.len() < MAX_ANSWER {
        match tokio::time::timeout(QUIET, from.read(&mut part)).await {
            Ok(Ok(0) | Err(_)) => return,
            Ok(Ok(count)) => answer.extend_from_slice(&part[..count]),
            Err(_) if answer.windows(STREAM.len()).any(|w| w == STREAM) => return,
            Err(_) => {}
        }
    }
}

/// Answers as the daemon's loop does in a car in which nobody is logged in, until the connection has ended.
async fn daemon(mut calls: mpsc::Receiver<Call>) -> (Vec<&'static str>, Vec<(String, String)>) {
    let (mut commands, mut logins) = (Vec::new(), Vec::new());
    let mut signals = Signals::default();
    while let Some((command, answer)) = calls.recv().await {
        let (name, value) = match command {
            Command::Login { user, pin } => {
                logins.push((user, pin));
                ("login", json!({"login_id": "0"}))
            }
            Command::LoginByCode => ("login-code", json!({"login_id": "0"})),
            Command::Logout => ("logout", json!({})),
            Command::Delete(_) => ("delete", json!({"accepted": false})),
            Command::Provision => ("provision", json!({"accepted": false})),
            Command::FactoryReset => ("factory-reset", json!({"accepted": true})),
            Command::Signal(name, value) => ("signal", set(&mut signals, &name, &value)),
            Command::Status => ("status", json!({"seq": 1, "time": ""})),
            Command::Signals => ("signals", signals.values()),
            Command::Work => ("work", json!([])),
            Command::Journal => ("journal", json!({})),
            Command::Diagnostics => ("diagnostics", json!({})),
            Command::Profiles => ("profiles", json!([])),
            Command::Counters => ("counters", json!({})),
        };
        commands.push(name);
        // Who asked may have gone meanwhile.
        let _ = answer.send(value);
    }
    (commands, logins)
}

fn set(signals: &mut Signals, name: &str, value: &Value) -> Value {
    match signals.set(name, value) {
        Ok(_) => json!({}),
        Err(Refused::Unknown) => json!({"unknown": true}),
        Err(Refused::Value(expected)) => json!({"expected": expected}),
    }
}
