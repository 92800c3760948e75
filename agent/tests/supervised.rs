//! The agent under a supervisor: what it says to systemd, and a configuration that is read again while it runs.
#![allow(clippy::expect_used, reason = "a failed expectation is a failed test")]

mod support;

use aid_agent::keys::KeyName;
use std::collections::BTreeSet;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::broker::{Broker, serve};
use support::*;
use tokio::net::TcpListener;

/// The program, with the supervisor's end of the notification socket.
struct Supervised {
    process: Child,
    socket: UnixDatagram,
    /// Everything that was said, in order.
    said: Vec<String>,
}

impl Drop for Supervised {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Supervised {
    fn start(folder: &Path) -> Self {
        let path = folder.join("notify.sock");
        let socket = UnixDatagram::bind(&path).expect("bind");
        let patience = Some(Duration::from_secs(120));
        socket.set_read_timeout(patience).expect("time-out");
        let process = Command::new(env!("CARGO_BIN_EXE_aid-agent"))
            .args(["run", "--config"])
            .arg(folder.join("agent.toml"))
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", "200000")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self {
            process: process.expect("starts"),
            socket,
            said: vec![],
        }
    }

    /// Listens until one line begins with this.
    fn until(&mut self, start: &str) {
        loop {
            let mut buffer = [0; 4096];
            let length = self.socket.recv(&mut buffer).expect(start);
            let text = String::from_utf8_lossy(buffer.get(..length).expect("length")).into_owned();
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            let found = lines.iter().any(|line| line.starts_with(start));
            self.said.extend(lines);
            if found {
                return;
            }
        }
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.process.id()).expect("pid");
        let pid = rustix::process::Pid::from_raw(pid).expect("pid");
        rustix::process::kill_process(pid, signal).expect("signal");
    }
}

#[test]
fn the_supervisor_hears_of_readiness_progress_reloads_and_the_stop() {
    let folder = tempfile::tempdir().expect("folder");
    let folder = folder.path();
    configure(folder, NO_CMP, EID);
    let file = folder.join("agent.toml");
    let text = std::fs::read_to_string(&file).expect("read");
    let no_card = folder.join("card.sock");
    let good = text.replace("127.0.0.1:7816", &no_card.display().to_string());
    std::fs::write(&file, &good).expect("write");
    let mut agent = Supervised::start(folder);
    agent.until("READY=1");
    // Without a card and without a CMP it runs, and says what is missing.
    agent.until("STATUS=link down; card cannot reach");
    agent.until("WATCHDOG=1");
    agent.until("WATCHDOG=1");

    agent.said.clear();
    agent.signal(rustix::process::Signal::HUP);
    agent.until("RELOADING=1");
    agent.until("READY=1");

    // A configuration that can't be used changes nothing, and ends nothing.
    std::fs::write(&file, format!("colour = 1\n{good}")).expect("write");
    agent.said.clear();
    agent.signal(rustix::process::Signal::HUP);
    agent.until("WATCHDOG=1");
    agent.until("WATCHDOG=1");
    assert!(!agent.said.iter().any(|line| line == "RELOADING=1"));
    std::fs::write(&file, good).expect("write");
    agent.signal(rustix::process::Signal::HUP);
    agent.until("RELOADING=1");
    agent.until("READY=1");

    agent.signal(rustix::process::Signal::TERM);
    agent.until("STOPPING=1");
    assert!(agent.process.wait().expect("ended").success());
    // A line of the protocol is never made of what a card or a server said.
    let known = [
        "READY",
        "STATUS",
        "WATCHDOG",
        "RELOADING",
        "STOPPING",
        "MONOTONIC_USEC",
    ];
    let names: BTreeSet<&str> = agent
        .said
        .iter()
        .map(|line| line.split_once('=').expect("an assignment").0)
        .collect();
    assert!(names.iter().all(|name| known.contains(name)), "{names:?}");
}

// R-3.2-3
#[tokio::test]
async fn a_renewed_certificate_is_used_without_a_restart_and_another_cars_is_not() {
    let folder = tempfile::tempdir().expect("folder");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address").to_string();
    let config = configure(folder.path(), &address, EID);
    let broker = Arc::new(Mutex::new(Broker::default()));
    serve(listener, folder.path(), &broker);
    let connections = || broker.lock().expect("lock").connections;
    let card = TestCard::new(false);
    let (sender, reload) = tokio::sync::mpsc::channel(1);
    let work = async {
        let is_up = |s: &serde_json::Value| s["link"] == "up";
        wait(&config.api, "up", is_up).await;
        assert_eq!(connections(), 1);

        // Certificate and key of another car: the link stays as it is.
        let other = tempfile::tempdir().expect("folder");
        let mut foreign = config.clone();
        foreign.cmp = configure(other.path(), &address, "89049032000000000000000000000002").cmp;
        sender.send(foreign).await.expect("sent");
        // A file that is gone: likewise.
        let mut absent = config.clone();
        absent.cmp.key = KeyName::File(folder.path().join("absent.pem"));
        sender.send(absent).await.expect("sent");
        let status = wait(&config.api, "up", is_up).await;
        assert_eq!(connections(), 1, "{status}");

        // The car's own, at other paths: the next connection has it.
        let mut renewed = config.clone();
        let (cert, key) = (
            folder.path().join("new.pem"),
            folder.path().join("new.key.pem"),
        );
        std::fs::copy(&config.cmp.cert, &cert).expect("copy");
        std::fs::copy(config.cmp.cert.with_file_name("vehicle.key.pem"), &key).expect("copy");
        (renewed.cmp.cert, renewed.cmp.key) = (cert, KeyName::File(key));
        sender.send(renewed).await.expect("sent");
        wait(&config.api, "up again", |s| is_up(s) && connections() == 2).await;
    };
    with_reload(&config, &card, reload, work)
        .await
        .expect("daemon");
}
