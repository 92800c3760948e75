//! `aidctl` shows what cards, servers and users are called; none of it reaches the terminal raw.
#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use aid_cli::printable::is_unprintable;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::process::Command;

fn evil() -> String {
    let all = (0..0x1_0000).filter_map(char::from_u32);
    let bad: String = all.filter(|c| is_unprintable(*c)).collect();
    format!("a\nlink: up\r\u{1b}[2J{bad}b")
}

/// Answers one call with these bytes; what `aidctl` wrote to stdout and stderr.
fn told(args: &[&str], status: u16, body: &str) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("agent.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let body = body.to_owned();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut input = BufReader::new(stream.try_clone().unwrap());
        let (mut line, mut length) = (String::new(), 0);
        while line != "\r\n" {
            line.clear();
            input.read_line(&mut line).unwrap();
            if let Some(n) = line.strip_prefix("content-length: ") {
                length = n.trim().parse().unwrap();
            }
        }
        input.read_exact(&mut vec![0; length]).unwrap();
        write!(stream, "HTTP/1.1 {status} X\r\n\r\n{body}").unwrap();
    });
    let output = Command::new(env!("CARGO_BIN_EXE_aidctl"))
        .args(args)
        .arg("--api")
        .arg(&socket)
        .output()
        .unwrap();
    server.join().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

#[track_caller]
fn is_clean(text: &str, lines: usize) {
    assert!(!text.replace('\n', "").contains(is_unprintable), "{text:?}");
    assert_eq!(text.lines().count(), lines, "{text:?}");
    assert!(!text.lines().any(|l| l == "link: up"), "{text}");
}

#[test]
fn hostile_names_forge_no_line() {
    let evil = evil();
    let status = json!({
        "link_problem": {"since": 1, "error": evil}, "session": {"display_name": evil, "more": [evil]},
        "profiles": [{"name": evil, "deep": {"er": evil}}, evil],
    });
    let (out, err) = told(&["status"], 200, &status.to_string());
    is_clean(&out, 5);
    is_clean(&err, 0);
    let (out, _) = told(
        &["profiles"],
        200,
        &json!([{"name": evil}, evil]).to_string(),
    );
    is_clean(&out, 2);
    let (out, _) = told(&["--json", "status"], 200, &status.to_string());
    is_clean(&out, 1);
    let again: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(again, status);

    let (out, err) = told(&["status"], 500, &json!({"error": evil}).to_string());
    is_clean(&out, 0);
    is_clean(&err, 1);
    let (_, err) = told(&["status"], 200, &evil);
    is_clean(&err, 1);
    let event = format!(
        "data: {}\ndata: \u{1b}]0;x\u{7}\u{9b}31m\u{2028}\n",
        json!({"text": evil})
    );
    let (out, _) = told(&["events"], 200, &event);
    is_clean(&out, 2);
}
