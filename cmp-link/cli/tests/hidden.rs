//! A secret that is typed at a terminal, and one that comes through a pipe.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a failed expectation is a failed test; the child says what it does"
)]

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Set for a child; without it the child's test does nothing.
const CHILD: &str = "AID_CLI_TEST_CHILD";
const SECRET: &str = "s3cret & all";

/// Not a test: a program that asks.
#[test]
fn the_child() {
    if std::env::var_os(CHILD).is_some() {
        let secret = aid_cli::hidden::secret("Say it: ").unwrap();
        println!("@{secret}@");
    }
}

fn child(program: &str, before: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .args(before)
        .args(["--exact", "the_child", "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

#[test]
fn nothing_that_is_typed_is_shown() {
    if Command::new("setsid").arg("--version").output().is_err() {
        aid_needs::missing(aid_needs::Need::Prlimit, "there is no setsid");
        return;
    }
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let name = name.to_str().unwrap();
    let open = || File::options().read(true).write(true).open(name).unwrap();
    let this = std::env::current_exe().unwrap();
    // A session of its own, whose terminal this is.
    let mut child = child("setsid", &["--ctty", "--wait", this.to_str().unwrap()])
        .stdin(open())
        .spawn()
        .unwrap();
    let mut terminal = File::from(terminal);
    let mut shown = Vec::new();
    let mut byte = [0];
    while !shown.ends_with(b"Say it: ") {
        terminal.read_exact(&mut byte).expect("it asks");
        shown.push(byte[0]);
    }
    // It asks before it switches the terminal's echo off.
    let end = Instant::now() + Duration::from_secs(60);
    while tcgetattr(&terminal)
        .unwrap()
        .local_modes
        .contains(LocalModes::ECHO)
    {
        assert!(
            Instant::now() < end,
            "the terminal still shows what is typed"
        );
        std::thread::yield_now();
    }
    terminal
        .write_all(format!("{SECRET}\n").as_bytes())
        .unwrap();
    let mut said = String::new();
    let mut out = child.stdout.take().unwrap();
    out.read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(said.contains(&format!("@{SECRET}@")), "{said}");
    // The end of the last one who holds it ends the terminal with an error, after everything that was shown.
    while terminal.read_exact(&mut byte).is_ok() {
        shown.push(byte[0]);
    }
    let shown = String::from_utf8_lossy(&shown);
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[test]
fn a_pipe_is_read_to_its_end_and_is_not_asked() {
    let this = std::env::current_exe().unwrap();
    for (given, expected) in [
        (format!("{SECRET}\r\n"), SECRET.to_owned()),
        ("two\nlines".into(), "two\nlines".into()),
        (String::new(), String::new()),
        ("x".repeat(5000), "x".repeat(4096)),
    ] {
        let mut child = child(this.to_str().unwrap(), &[])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let written = child.stdin.take().unwrap().write_all(given.as_bytes());
        // It stops reading what is too much.
        assert!(written.is_ok() || given.len() > 4096);
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(&format!("@{expected}@")), "{said}");
        assert!(!said.contains("Say it"), "{said}");
        assert!(!String::from_utf8_lossy(&output.stderr).contains("Say it"));
    }
}
