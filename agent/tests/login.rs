//! `aidctl login` and `login-code` against an API that says what a test wants: result, words and exit code.
#![allow(clippy::expect_used, reason = "a failed expectation is a failed test")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::mpsc::channel;

/// An agent that begins login `01` and says these lines to whoever listens for events; `login` is in its status.
fn agent(folder: &Path, lines: &'static str, status: &'static str) -> PathBuf {
    let socket = folder.join("agent.sock");
    let listener = UnixListener::bind(&socket).expect("bind");
    std::thread::spawn(move || {
        let (begin, begun) = channel::<()>();
        let mut begun = Some(begun);
        for stream in listener.incoming() {
            let stream = stream.expect("a connection");
            let mut request = BufReader::new(stream.try_clone().expect("clone"));
            let (mut line, mut length) = (String::new(), 0);
            request.read_line(&mut line).expect("request");
            let path = line.split(' ').nth(1).expect("a path").to_owned();
            while !line.trim().is_empty() {
                line.clear();
                request.read_line(&mut line).expect("head");
                if let Some(value) = line.strip_prefix("content-length: ") {
                    length = value.trim().parse().expect("length");
                }
            }
            let mut body = vec![0; length];
            request.read_exact(&mut body).expect("body");
            match path.as_str() {
                "/v1/events" => {
                    let begun = begun.take().expect("one listener");
                    std::thread::spawn(move || events(stream, &begun, lines));
                }
                "/v1/status" => answer(stream, 200, status),
                "/v1/login" | "/v1/login-code" => {
                    let id = "{\"login_id\":\"01\"}";
                    answer(stream, 202, id);
                    let _ = begin.send(());
                }
                _ => answer(stream, 404, "{\"error\":\"no such path\"}"),
            }
        }
    });
    socket
}

fn answer(mut stream: UnixStream, status: u16, body: &str) {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n");
    let _ = stream.write_all(format!("{head}{body}").as_bytes());
}

/// What is said comes after the login began; then the agent ends.
fn events(mut stream: UnixStream, begun: &std::sync::mpsc::Receiver<()>, lines: &str) {
    let _ = stream.write_all(b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n");
    let _ = begun.recv();
    for line in lines.lines() {
        let line = line.trim();
        let chunk = format!("{:x}\r\n{line}\n\n\r\n", line.len() + 2);
        let _ = stream.write_all(chunk.as_bytes());
    }
}

fn aidctl(socket: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aidctl"));
    command.arg("--api").arg(socket).args(args);
    command.output().expect("aidctl runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

const UP: &str =
    r#"{"link":"up","phase":"logging_in","login":{"login_id":"01","state":"pending"}}"#;

// What the agent says, what aidctl ends with, and what is on stdout and stderr.
#[test]
fn a_login_ends_with_its_reason_and_an_exit_code() {
    let accepted = r#"data: {"event":"login_refused","login_id":"00","cause":"replaced","reason":"of another login"}
        data: {"event":"login_accepted","login_id":"01","display_name":"Eva","msp_name":"Mobile One","masked_number":"***67"}"#;
    let refused = r#"data: {"event":"login_refused","login_id":"01","cause":"refused","reason":"name or PIN is wrong"}"#;
    let no_answer = r#"data: {"event":"login_refused","login_id":"01","cause":"no_answer","reason":"the CMP did not answer"}"#;
    let replaced = r#"data: {"event":"login_refused","login_id":"01","cause":"replaced","reason":"the user logged out"}"#;
    // The event was lost; a sign of life makes aidctl look.
    let missed = r#"{"link":"up","phase":"guest","login":{"login_id":"01","state":"refused","cause":"refused","reason":"too many attempts"}}"#;
    let stopped = r#"{"link":"up","phase":"stopped","login":{"login_id":"01","state":"pending"}}"#;
    let down = r#"{"link":"down","phase":"logging_in","login":null}"#;
    let later = r#"{"link":"up","phase":"guest","login":{"login_id":"02","state":"refused","cause":"refused","reason":"no"}}"#;
    let cases: [(&str, &str, i32, &str, &str); 9] = [
        (
            accepted,
            UP,
            0,
            "Eva is logged in (Mobile One ***67)",
            "waiting for the CMP",
        ),
        (refused, UP, 3, "", "name or PIN is wrong"),
        (no_answer, down, 4, "", "no connection to its CMP"),
        (no_answer, UP, 4, "", "the CMP did not answer"),
        (replaced, UP, 5, "", "the user logged out"),
        (":", missed, 3, "", "too many attempts"),
        (":", later, 5, "", "another login took its place"),
        (":", stopped, 1, "", "nobody can log in"),
        ("", UP, 1, "", "the agent ended"),
    ];
    for (says, status, code, stdout, stderr) in cases {
        for json in [false, true] {
            let folder = tempfile::tempdir().expect("folder");
            let socket = agent(folder.path(), says, status);
            let args = ["login", "eva", "--pin", "4711", "--json"];
            let output = aidctl(&socket, if json { &args } else { &args[..4] });
            let (out, err) = (text(&output.stdout), text(&output.stderr));
            assert_eq!(output.status.code(), Some(code), "{says}: {out}{err}");
            assert!(err.contains(stderr), "{says}: {err}");
            assert!(!err.contains("4711") && !out.contains("4711"));
            if !json {
                assert_eq!(out.trim(), stdout, "{says}");
            } else if matches!(code, 0 | 3..=5) {
                let value: serde_json::Value = serde_json::from_str(&out).expect("one object");
                assert_eq!(value["login_id"], "01");
            }
        }
    }
}

#[test]
fn a_login_by_code_shows_the_code_where_to_enter_it_and_its_end() {
    let folder = tempfile::tempdir().expect("folder");
    let says = r#"data: {"event":"login_code","login_id":"01","code":"BCDF-GHJK","url":"https://cmp.example/car","expires_in":600}
        data: {"event":"login_refused","login_id":"01","cause":"refused","reason":"the login was denied"}"#;
    let socket = agent(folder.path(), says, UP);
    let output = aidctl(&socket, &["login-code"]);
    let err = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{err}");
    let shown = "BCDF-GHJK at https://cmp.example/car within 10 minutes";
    assert!(err.contains(shown) && err.contains("denied"), "{err}");
}

#[test]
fn whoever_does_not_wait_gets_the_id() {
    for args in [
        &["login", "eva", "--pin", "4711", "--no-wait"][..],
        &["login-code", "--no-wait"],
    ] {
        let folder = tempfile::tempdir().expect("folder");
        let socket = agent(folder.path(), "", UP);
        let output = aidctl(&socket, args);
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(text(&output.stdout), "login_id: 01\n");
    }
    let nowhere = aidctl(Path::new("/nonexistent/agent.sock"), &["login-code"]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(text(&nowhere.stderr).contains("is it running?"));
}
