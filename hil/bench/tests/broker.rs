//! The recipe of docs/operator.md for a mosquitto, as it is written there, with a set-up of `aid-hil init`. Skipped where
//! mosquitto is not installed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot set itself up has failed"
)]

use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const GUIDE: &str = include_str!("../../../docs/operator.md");
const PATIENCE: Duration = Duration::from_secs(120);

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The commands of the recipe.
fn recipe() -> Vec<&'static str> {
    let (_, rest) = GUIDE
        .split_once("### Behind mosquitto")
        .expect("the section");
    let (_, rest) = rest.split_once("```sh\n").expect("the commands");
    rest.split("```").next().unwrap().lines().collect()
}

/// A shell in the set-up where the programs have their names.
fn shell(dir: &Path, line: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("bash");
    let bin = dir.join("../bin").display().to_string();
    command
        .args(["-e", "-c", &format!("exec {line}")])
        .env("PATH", format!("{bin}:{path}:/usr/sbin:/usr/local/sbin"))
        .current_dir(dir);
    command
}

fn run(dir: &Path, line: &str, input: &str) -> Output {
    let mut child = shell(dir, line)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{line}: {output:?}");
    output
}

/// Starts a part, and waits for its readiness line.
fn start(dir: &Path, line: &str) -> (Running, Value) {
    let mut child = shell(dir, line)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut ready = String::new();
    out.read_line(&mut ready).unwrap();
    let running = Running(child);
    (
        running,
        serde_json::from_str(&ready).expect("the readiness line"),
    )
}

/// Starts mosquitto, and waits until it runs.
fn broker(dir: &Path, line: &str) -> Running {
    let mut child = shell(dir, line)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = BufReader::new(child.stderr.take().unwrap());
    let running = Running(child);
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut all = String::new();
        for line in log.lines().map_while(Result::ok) {
            if line.ends_with(" running") {
                let _ = tell.send(Ok(()));
            }
            all = all + &line + "\n";
        }
        let _ = tell.send(Err(all));
    });
    told.recv_timeout(PATIENCE)
        .expect("mosquitto says something")
        .unwrap();
    running
}

fn readiness(address: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = "GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn wait(what: &str, mut done: impl FnMut() -> Result<(), String>) {
    let end = Instant::now() + PATIENCE;
    while let Err(last) = done() {
        assert!(Instant::now() < end, "{what}: {last}");
        // Nobody says when: asked again in a moment, until the deadline.
        let (_never, told) = std::sync::mpsc::channel::<()>();
        let _ = told.recv_timeout(Duration::from_millis(100));
    }
}

// R-3.2-2 R-3.2-3
#[test]
fn the_recipe_for_mosquitto_works_as_written() {
    let folder = tempfile::tempdir().unwrap();
    let (bin, dir) = (folder.path().join("bin"), folder.path().join("car"));
    std::fs::create_dir(&bin).unwrap();
    std::fs::create_dir(&dir).unwrap();
    for part in ["aid-cmp", "aid-agent", "aidctl", "euicc-sim"] {
        let script = format!(
            "#!/bin/sh\nexec '{}' part {part} \"$@\"\n",
            env!("CARGO_BIN_EXE_aid-hil")
        );
        std::fs::write(bin.join(part), script).unwrap();
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(bin.join(part), executable).unwrap();
    }
    if !shell(&dir, "mosquitto -h")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.code() != Some(127))
    {
        return aid_needs::missing(
            aid_needs::Need::Mosquitto,
            "there is no mosquitto on the PATH",
        );
    }
    let hil = format!("'{}'", env!("CARGO_BIN_EXE_aid-hil"));
    let init = run(&dir, &format!("{hil} init --dir . --json"), "");
    let init: Value = serde_json::from_slice(&init.stdout).unwrap();
    let (eid, password) = (
        init["eid"].as_str().unwrap(),
        init["password"].as_str().unwrap(),
    );
    let pin = init["pin"].as_str().unwrap();
    run(
        &dir,
        "aid-cmp user add ada --password-stdin --pin-stdin --config cmp.toml",
        &format!("{password}\n{pin}\n"),
    );
    run(
        &dir,
        &format!("aid-cmp vehicle add {eid} --config cmp.toml"),
        "",
    );

    let (mut running, mut admin) = (Vec::new(), String::new());
    for line in recipe() {
        if line.starts_with("mosquitto ") {
            running.push(broker(&dir, line));
        } else if line.starts_with("aid-cmp serve ") {
            let (cmp, ready) = start(&dir, line);
            assert!(ready["listen"]["gateway"].is_null(), "{ready}");
            admin = ready["listen"]["admin"].as_str().unwrap().to_owned();
            running.push(cmp);
        } else if line.starts_with("aid-cmp gateway mosquitto ")
            && rustix::process::geteuid().is_root()
        {
            // What the recipe says about a mosquitto that root starts.
            run(&dir, &format!("{line} --user root"), "");
        } else {
            run(&dir, line, "");
        }
    }
    assert_eq!(running.len(), 2, "{:?}", recipe());
    wait("aid-cmp at the broker", || {
        let answer = readiness(&admin);
        answer
            .starts_with("HTTP/1.1 200 ")
            .then_some(())
            .ok_or(answer)
    });
    // A real car comes through it.
    running.push(start(&dir, "euicc-sim serve --config euicc.toml").0);
    running.push(start(&dir, "aid-agent run --config agent.toml").0);
    wait("the car at the broker", || {
        let status = shell(&dir, "aidctl --config agent.toml status")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&status.stdout).into_owned();
        let is_up = |line: &str| line.contains("link") && line.contains("up");
        text.lines().any(is_up).then_some(()).ok_or(text)
    });
    wait("the car's word at the CMP", || {
        let line = format!("aid-cmp vehicle show {eid} --json --config cmp.toml");
        let vehicle = run(&dir, &line, "");
        let rows: Value = serde_json::from_slice(&vehicle.stdout).unwrap();
        let seen = !rows[0]["last_seen"].is_null();
        seen.then_some(()).ok_or(rows.to_string())
    });
}
