//! The programs themselves: `aid-agent` with a card behind a socket that comes late and goes away, and
//! with a damaged journal; `aidctl` shows it.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

#[path = "../lpa/tests/support/mod.rs"]
#[allow(clippy::duplicate_mod, reason = "the LPA's own tests use it, too")]
mod card;

use aid_lpa::Apdu as _;
use aid_rsp::es10::ProfileState;
use aid_rsp::es10::{DataObject as _, ProfileClass, ProfileInfo, ProfileInfoListResponse};
use card::{FakeCard, ICCID};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(120);

fn list(enabled: bool) -> Vec<u8> {
    let state = if enabled {
        ProfileState::Enabled
    } else {
        ProfileState::Disabled
    };
    let info = ProfileInfo {
        iccid: Some(ICCID),
        profile_class: Some(ProfileClass::Operational),
        state: Some(state),
        ..ProfileInfo::default()
    };
    ProfileInfoListResponse::Ok(vec![info]).to_vec()
}

/// Serves the card in vpcd's framing; DisableProfile works.
fn serve(mut stream: UnixStream, card: &mut FakeCard) -> std::io::Result<()> {
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut command = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut command)?;
        if command.len() < 4 {
            continue;
        }
        let answer = card.transmit(&command).map_err(std::io::Error::other)?;
        card.with(|card| {
            if card.log.iter().any(|entry| entry == "BF32") {
                card.answers.insert(0xBF2D, list(false));
            }
        });
        stream.write_all(&(answer.len() as u16).to_be_bytes())?;
        stream.write_all(&answer)?;
    }
}

/// Puts the card into its socket.
fn insert(path: &Path, card: &FakeCard) {
    let listener = UnixListener::bind(path).expect("bind");
    let card = card.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut card = card.clone();
            // The agent hangs up when it likes.
            let _ = serve(stream, &mut card);
        }
    });
}

struct Agent {
    process: Child,
    api: PathBuf,
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Agent {
    fn start(folder: &Path) -> Self {
        Self::run(Command::new(env!("CARGO_BIN_EXE_aid-agent")), folder)
    }

    fn run(mut command: Command, folder: &Path) -> Self {
        let process = command
            .args(["run", "--config"])
            .arg(folder.join("agent.toml"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut process = process.expect("starts");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("stdout"))
            .read_line(&mut line)
            .expect("read");
        assert!(line.contains("\"ready\":true"), "{line:?}");
        let api = folder.join("agent.sock");
        Self { process, api }
    }

    fn aidctl(&self, args: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_aidctl"))
            .arg("--api")
            .arg(&self.api)
            .args(args)
            .output();
        let output = output.expect("aidctl");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    fn wait(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let text = self.aidctl(&["status", "--json"]);
            let status = serde_json::from_str(&text).expect("JSON");
            if is(&status) {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "not {what}: {status}");
        }
    }

    fn pid(&self) -> rustix::process::Pid {
        let pid = i32::try_from(self.process.id()).expect("pid");
        rustix::process::Pid::from_raw(pid).expect("pid")
    }

    /// Ends on SIGTERM, and well.
    fn stop(mut self) {
        rustix::process::kill_process(self.pid(), rustix::process::Signal::TERM).expect("signal");
        let ended = self.process.wait().expect("ended");
        assert!(ended.success(), "{ended}");
    }
}

fn configure(folder: &Path) {
    let key = rcgen::KeyPair::generate().expect("key");
    let mut cert = rcgen::CertificateParams::new(vec!["localhost".into()]).expect("params");
    let eid = "89".repeat(16);
    cert.distinguished_name.push(rcgen::DnType::CommonName, eid);
    let cert = cert.self_signed(&key).expect("certificate");
    for name in ["ca.pem", "vehicle.pem"] {
        std::fs::write(folder.join(name), cert.pem()).expect("write");
    }
    std::fs::write(folder.join("vehicle.key.pem"), key.serialize_pem()).expect("write");
    std::fs::write(folder.join("CERT_CI_ECDSA_NIST.der"), cert.der()).expect("write");
    let socket = folder.join("card.sock");
    let text = aid_agent::config::EXAMPLE
        .replace("localhost:8883", "127.0.0.1:1")
        .replace("127.0.0.1:7816", socket.to_str().expect("path"));
    std::fs::write(folder.join("agent.toml"), text).expect("write");
}

fn is_disabled(status: &Value) -> bool {
    status["phase"] == "guest" && status["profiles"][0]["state"] == "disabled"
}

// R-4.3-14
#[test]
fn a_late_card_and_a_damaged_journal_end_no_agent() {
    let folder = tempfile::tempdir().expect("folder");
    let folder = folder.path();
    configure(folder);
    let card = FakeCard::new();
    card.with(|card| drop(card.answers.insert(0xBF2D, list(true))));

    // given an agent without a card
    let agent = Agent::start(folder);
    let status = agent.wait("missing", |s| s["card"]["state"] == "missing");
    let error = status["card"]["error"].as_str().expect("a reason");
    assert!(error.contains("card.sock"), "{error}");
    assert!(agent.aidctl(&["status"]).contains("card: "));
    // when the card comes
    insert(&folder.join("card.sock"), &card);
    // then the profile that was left enabled is disabled
    let status = agent.wait("disabled", is_disabled);
    assert_eq!(status["card"]["state"], "present");
    assert_eq!(status["pending_reports"], 1);
    agent.stop();

    // given a damaged journal, and a profile that is enabled
    let segment = folder.join("journal/0000000000000001.seg");
    let mut bytes = std::fs::read(&segment).expect("segment");
    bytes.iter_mut().take(2048).for_each(|b| *b = 0x5A);
    std::fs::write(&segment, bytes).expect("write");
    card.with(|card| {
        card.log.clear();
        drop(card.answers.insert(0xBF2D, list(true)));
    });
    let agent = Agent::start(folder);
    let status = agent.wait("disabled", is_disabled);
    assert_eq!(status["journal"]["state"], "ok");
    let text = agent.aidctl(&["status"]);
    let journal = text.lines().find(|line| line.starts_with("journal: "));
    assert!(
        journal.is_some_and(|line| line.contains("damage=")),
        "{text}"
    );
    agent.stop();
}

// R-4.3-14: the process may write no file that is large enough, until somebody lets it.
#[test]
fn a_limit_of_the_file_size_ends_no_agent() {
    use rustix::process::{Resource, Rlimit, getrlimit, prlimit};
    let folder = tempfile::tempdir().expect("folder");
    let folder = folder.path();
    configure(folder);
    let card = FakeCard::new();
    card.with(|card| drop(card.answers.insert(0xBF2D, list(true))));
    insert(&folder.join("card.sock"), &card);

    let mut limited = Command::new("sh");
    let shell = "ulimit -S -f 20 && exec \"$0\" \"$@\"";
    limited.args(["-c", shell, env!("CARGO_BIN_EXE_aid-agent")]);
    let agent = Agent::run(limited, folder);
    let status = agent.wait("secured", |s| {
        s["journal"]["state"] == "failed" && s["profiles"][0]["state"] == "disabled"
    });
    let error = status["journal"]["error"].as_str().expect("a reason");
    assert!(error.contains("File too large"), "{error}");
    let login = Command::new(env!("CARGO_BIN_EXE_aidctl"))
        .arg("--api")
        .arg(&agent.api)
        .args(["login", "ada", "--pin", "123456"])
        .output();
    let login = login.expect("aidctl");
    let text = String::from_utf8_lossy(&login.stderr);
    assert!(
        !login.status.success() && text.contains("journal"),
        "{text}"
    );

    let all = Rlimit {
        current: getrlimit(Resource::Fsize).current,
        maximum: getrlimit(Resource::Fsize).maximum,
    };
    prlimit(Some(agent.pid()), Resource::Fsize, all).expect("raised");
    let status = agent.wait("working", |s| s["journal"]["state"] == "ok");
    assert!(is_disabled(&status), "{status}");
    assert_eq!(status["pending_reports"], 1);
    agent.stop();
}
