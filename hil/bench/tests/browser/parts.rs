//! A set-up of `aid-hil init` with all its parts as processes.

use serde_json::Value;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A running part, with what it said when it was ready; ended when it is dropped.
pub(crate) struct Part(Child, Value);

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The set-up. The parts end in the order of the fields: the car first.
pub(crate) struct Parts {
    pub(crate) agent: Option<Part>,
    _card: Part,
    pub(crate) cmp: Option<Part>,
    _msp: Part,
    _smdp: Part,
    /// What `init` printed: names, passwords, addresses.
    pub(crate) known: Value,
    dir: PathBuf,
    _folder: TempDir,
}

fn part(dir: &Path, program: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aid-hil"));
    command
        .current_dir(dir)
        .args(["part", program])
        .env("AID_LOG", "warn")
        .stderr(Stdio::null());
    command
}

fn start(dir: &Path, program: &str, args: &[&str]) -> Part {
    let mut command = part(dir, program);
    let mut child = command.args(args).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    assert!(!line.is_empty(), "{program} did not start");
    // What it says later has to go somewhere.
    std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
    let ready = serde_json::from_str(&line).unwrap_or_default();
    Part(child, ready)
}

fn run(dir: &Path, program: &str, args: &[&str], input: &str) -> String {
    let mut command = part(dir, program);
    let mut child = command
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(input.as_bytes()).unwrap();
    drop(pipe);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

impl Parts {
    /// Makes the set-up, enrols car and driver, and starts everything.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let init = Command::new(env!("CARGO_BIN_EXE_aid-hil"))
            .current_dir(folder.path())
            .args(["init", "--json", "--dir", "site"])
            .stderr(Stdio::null())
            .output()
            .unwrap();
        assert!(init.status.success());
        let known: Value = serde_json::from_slice(&init.stdout).unwrap();
        let dir = folder.path().join("site");
        let text = |key: &str| known[key].as_str().unwrap();
        let secrets = format!("{}\n{}\n", text("password"), text("pin"));
        let user = [
            "user",
            "add",
            text("user"),
            "--password-stdin",
            "--pin-stdin",
            "--config",
            "cmp.toml",
        ];
        run(&dir, "aid-cmp", &user, &secrets);
        run(
            &dir,
            "aid-cmp",
            &["vehicle", "add", text("eid"), "--config", "cmp.toml"],
            "",
        );
        let serve = |program, config| start(&dir, program, &["serve", "--config", config]);
        let (smdp, msp, cmp) = (
            serve("aid-smdp", "smdp.toml"),
            serve("aid-msp", "msp.toml"),
            serve("aid-cmp", "cmp.toml"),
        );
        let card = serve("euicc-sim", "euicc.toml");
        let agent = start(&dir, "aid-agent", &["run", "--config", "agent.toml"]);
        Self {
            agent: Some(agent),
            _card: card,
            cmp: Some(cmp),
            _msp: msp,
            _smdp: smdp,
            known,
            dir,
            _folder: folder,
        }
    }

    /// A value of what `init` printed.
    pub(crate) fn text(&self, key: &str) -> &str {
        self.known[key].as_str().unwrap()
    }

    /// Base of the portal.
    pub(crate) fn portal(&self) -> String {
        self.text("portal").trim_end_matches('/').to_owned()
    }

    /// Base of the touchpoint.
    pub(crate) fn touchpoint(&self) -> String {
        let config = std::fs::read_to_string(self.dir.join("msp.toml")).unwrap();
        let line = config.lines().find(|l| l.starts_with("base_url")).unwrap();
        line.split('"').nth(1).unwrap().to_owned()
    }

    /// Base of the CMP's console.
    pub(crate) fn console(&self) -> String {
        let cmp = self.cmp.as_ref().unwrap();
        let address = cmp.1["listen"]["admin"].as_str().unwrap();
        let port = address.rsplit_once(':').unwrap().1;
        format!("http://localhost:{port}")
    }

    /// Lets kim sign in at the CMP's console, as admin.
    pub(crate) fn add_member(&self, password: &str) {
        let args = [
            "member",
            "add",
            "kim",
            "--role",
            "admin",
            "--password-stdin",
            "--config",
            "cmp.toml",
        ];
        run(&self.dir, "aid-cmp", &args, &format!("{password}\n"));
    }

    /// The driver logs in to the car with their PIN, and waits until it is decided.
    pub(crate) fn log_in(&self) {
        let pin = format!("{}\n", self.text("pin"));
        let user = self.text("user").to_owned();
        run(
            &self.dir,
            "aidctl",
            &["--config", "agent.toml", "login", &user],
            &pin,
        );
    }

    /// The car loses its power.
    pub(crate) fn stop_agent(&mut self) {
        self.agent = None;
    }

    /// The car gets it back.
    pub(crate) fn start_agent(&mut self) {
        self.agent = Some(start(
            &self.dir,
            "aid-agent",
            &["run", "--config", "agent.toml"],
        ));
    }

    /// The CMP goes away.
    pub(crate) fn stop_cmp(&mut self) {
        self.cmp = None;
    }

    /// And comes back.
    pub(crate) fn start_cmp(&mut self) {
        self.cmp = Some(start(
            &self.dir,
            "aid-cmp",
            &["serve", "--config", "cmp.toml"],
        ));
    }
}
