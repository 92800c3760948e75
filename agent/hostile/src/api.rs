//! What a hostile process in the car may not do to the local API (AID4): the body of the fuzz target `api`.
//!
//! The first byte says who is at the other end of the connection, the rest is what it sends. Promises: no panic and an end;
//! answers are HTTP with a status, never one of 500; nobody but the owner resets the car, a stranger does nothing at all; a
//! login has a user of 1 to 128 bytes without control characters and a PIN of 4 to 16 digits.

use aid_agent::trial::{self, Outcome, Who};
use std::time::Duration;

/// A connection that lasts longer has no end: what is sent is there at once.
const END: Duration = Duration::from_secs(60);

/// The target.
///
/// # Panics
/// When a promise is broken.
pub fn run(data: &[u8]) {
    let Some((who, input)) = data.split_first() else {
        return;
    };
    let who = [Who::Owner, Who::Member, Who::Stranger][usize::from(who % 3)];
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let outcome =
        runtime.block_on(async { tokio::time::timeout(END, trial::exchange(input, who)).await });
    check(&outcome.expect("an end"), who);
}

fn check(outcome: &Outcome, who: Who) {
    let Outcome {
        answer,
        commands,
        logins,
    } = outcome;
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1."),
        "{answer:?}"
    );
    if let Some(status) = answer.get(9..12) {
        assert!(status.iter().all(u8::is_ascii_digit), "{answer:?}");
        assert_ne!(status[0], b'5', "{}", String::from_utf8_lossy(answer));
        if who == Who::Stranger {
            assert_eq!(status[0], b'4', "a stranger is answered");
        }
    }
    assert!(answer.len() < 1 << 22, "an answer without end");
    match who {
        Who::Owner => {}
        Who::Member => assert!(!commands.contains(&"factory-reset"), "a member resets"),
        Who::Stranger => assert!(commands.is_empty(), "a stranger does {commands:?}"),
    }
    for (user, pin) in logins {
        assert!((1..=128).contains(&user.len()), "{user:?}");
        assert!(!user.chars().any(char::is_control), "{user:?}");
        assert!((4..=16).contains(&pin.len()), "{pin:?}");
        assert!(pin.bytes().all(|b| b.is_ascii_digit()), "{pin:?}");
    }
}

/// A request with its body.
fn request(method: &str, path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: agent\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Valid inputs: every request of the API by everybody, several on one connection, and a body in chunks.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let gets = [
        "status",
        "profiles",
        "counters",
        "events",
        "signals",
        "work",
        "journal",
        "diagnostics",
        "openapi.json",
    ];
    let puts = [
        ("Vehicle.Speed", "3.5"),
        ("Vehicle.IsMoving", "true"),
        ("Vehicle.LowVoltageSystemState", "\"OFF\""),
        ("Vehicle.Connectivity.IsCallActive", "false"),
        ("Vehicle.Unknown", "null"),
    ];
    let posts = [
        ("login", r#"{"user":"ada","pin":"123456"}"#),
        ("login-code", ""),
        ("logout", ""),
        ("provision", ""),
        ("factory-reset", r#"{"confirm":true}"#),
        ("profiles/8944500805172032979/delete", ""),
    ];
    let mut requests: Vec<Vec<u8>> = Vec::new();
    requests.extend(gets.map(|path| request("GET", &format!("/v1/{path}"), "")));
    requests.extend(puts.map(|(name, value)| {
        let body = format!("{{\"value\":{value}}}");
        request("PUT", &format!("/v1/signals/{name}"), &body)
    }));
    requests.extend(posts.map(|(path, body)| request("POST", &format!("/v1/{path}"), body)));
    requests.push(
        b"POST /v1/login HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
          transfer-encoding: chunked\r\n\r\n1d\r\n{\"user\":\"a\",\"pin\":\"123456789\"}\r\n0\r\n\r\n"
            .to_vec(),
    );
    let all: Vec<u8> = [&requests[0], &requests[1], &requests[16]]
        .into_iter()
        .flatten()
        .copied()
        .collect();
    requests.push(all);
    let by_everybody =
        |request: Vec<u8>| (0..3_u8).map(move |who| [[who].as_slice(), &request].concat());
    requests.into_iter().flat_map(by_everybody).collect()
}
