//! Attacks on the door of the page: foreign hosts and origins, used tokens, other users, forged cookies.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a failed expectation is a failed test"
)]

mod support;

use serde_json::json;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use support::*;

#[test]
fn a_token_lets_one_browser_in_and_the_start_page_has_the_next_one() {
    let hmi = Hmi::loopback();
    let start = std::fs::read_to_string(hmi.start_page()).expect("the start page");
    assert!(start.contains(hmi.token()), "{start}");
    // The line is written to a journal, which more people read than the start page.
    assert_eq!(hmi.announced, format!("http://{}/", hmi.host()));
    let mode = std::fs::metadata(hmi.start_page())
        .expect("file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    for no in [
        "/",
        "/name",
        "/pin",
        "/events",
        "/delete",
        "/?token=",
        "/?token=00",
        "/nothing",
    ] {
        assert_eq!(hmi.get(no, "").status, 403, "{no}");
    }
    let cookie = hmi.enter();
    let used = hmi.get(&format!("/?token={}", hmi.token()), "");
    assert_eq!(used.status, 403);
    assert!(used.header("set-cookie").is_none());
    // Neither does the token itself work as a cookie.
    let forged = format!("cookie: aid_hmi_{}={}\r\n", port(&hmi), hmi.token());
    assert_eq!(hmi.get("/", &forged).status, 403);
    assert_eq!(hmi.get("/", &cookie).status, 200);
    // Twice is none: which one is right?
    let value = cookie.trim_start_matches("cookie: ").trim();
    assert_eq!(
        hmi.get("/", &format!("cookie: {value}; {value}\r\n"))
            .status,
        403
    );
    let next = std::fs::read_to_string(hmi.start_page()).expect("the start page");
    assert!(!next.contains(hmi.token()));
    let address = led_to(&next);
    let path = address.split_once("/?").expect("a token").1;
    // From a file: browsers call that cross-site.
    let second = hmi.get(&format!("/?{path}"), "sec-fetch-site: cross-site\r\n");
    assert_eq!(second.status, 200);
    assert_eq!(hmi.get("/", &cookie).status, 200, "the first one stays");
}

fn port(hmi: &Hmi) -> &str {
    hmi.host().rsplit(':').next().expect("a port")
}

#[test]
fn a_page_of_somebody_else_gets_nothing_and_changes_nothing() {
    let hmi = Hmi::loopback();
    let cookie = hmi.enter();
    let (host, port) = (hmi.host().to_owned(), port(&hmi).to_owned());
    // A foreign name that leads to this address.
    for other in [
        "evil.example".to_owned(),
        format!("evil.example:{port}"),
        "127.0.0.1".to_owned(),
        format!("127.0.0.1.:{port}"),
        format!("{host}@evil.example"),
        format!("[::1]:{port}"),
        String::new(),
    ] {
        for path in [
            "/",
            "/style.css",
            "/events",
            &format!("/?token={}", hmi.token()),
        ] {
            let request = format!(
                "GET {path} HTTP/1.1\r\nhost: {other}\r\nconnection: close\r\n{cookie}\r\n"
            );
            assert!(
                matches!(hmi.raw(&request).status, 400 | 403),
                "{other} {path}"
            );
        }
    }
    let twice = format!(
        "GET / HTTP/1.1\r\nhost: {host}\r\nhost: evil.example\r\nconnection: close\r\n{cookie}\r\n"
    );
    assert!(matches!(hmi.raw(&twice).status, 400 | 403));
    // Forms and scripts of other pages.
    let post = |lines: &str| {
        hmi.raw(&format!(
            "POST /logout HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{cookie}{lines}content-length: 0\r\n\r\n"
        ))
    };
    for lines in [
        String::new(),
        "origin: null\r\n".to_owned(),
        "origin: http://evil.example\r\n".to_owned(),
        format!("origin: https://{host}\r\n"),
        "origin: http://127.0.0.1\r\n".to_owned(),
        "origin: http://127.0.0.1:1\r\n".to_owned(),
        format!("origin: http://{host}\r\norigin: http://evil.example\r\n"),
        format!("origin: http://{host}\r\nsec-fetch-site: cross-site\r\n"),
        format!("origin: http://{host}\r\nsec-fetch-site: same-site\r\n"),
    ] {
        assert_eq!(post(&lines).status, 403, "{lines}");
    }
    for lines in [
        "origin: http://evil.example\r\n",
        "sec-fetch-site: cross-site\r\n",
    ] {
        for path in ["/", "/events", "/hmi.js"] {
            assert_eq!(
                hmi.get(path, &format!("{cookie}{lines}")).status,
                403,
                "{path} {lines}"
            );
        }
    }
    // Not even with the right origin, without the cookie.
    assert_eq!(hmi.post("/logout", "", "").status, 403);
    assert!(hmi.agent.script(|s| s.posts.is_empty()));
    assert_eq!(hmi.post("/logout", &cookie, "").status, 303);
    assert_eq!(hmi.agent.script(|s| s.posts.len()), 1);
}

#[test]
fn every_answer_forbids_frames_foreign_content_and_sniffing() {
    let hmi = Hmi::loopback();
    let cookie = hmi.enter();
    for path in [
        "/",
        "/name",
        "/pin",
        "/delete",
        "/nothing",
        "/style.css",
        "/hmi.js",
    ] {
        for head in [cookie.as_str(), ""] {
            let answer = hmi.get(path, head);
            let policy = answer.header("content-security-policy").expect(path);
            for part in [
                "default-src 'none'",
                "frame-ancestors 'none'",
                "base-uri 'none'",
                "form-action 'self'",
            ] {
                assert!(policy.contains(part), "{path}: {policy}");
            }
            assert!(
                !policy.contains("unsafe") && !policy.contains('*') && !policy.contains("http")
            );
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
            assert_eq!(answer.header("x-frame-options"), Some("DENY"));
            let kept = answer.header("cache-control").expect(path);
            assert_eq!(
                kept == "no-store",
                !matches!(path, "/style.css" | "/hmi.js"),
                "{path}"
            );
        }
    }
    let set = hmi.get("/", "");
    assert!(set.header("set-cookie").is_none());
    // Nothing of a page is inline or elsewhere: the policy would stop it.
    let page = hmi.get("/", &cookie).body;
    for bad in [
        "<style",
        " style=",
        " onclick=",
        "javascript:",
        "src=\"http",
        "href=\"http",
    ] {
        assert!(!page.contains(bad), "{bad}");
    }
    let script = hmi.get("/hmi.js", "").body;
    assert!(script.len() + hmi.get("/style.css", "").body.len() < 30_000);
    assert!(!script.contains("http"));
}

#[test]
fn the_cookie_is_for_this_page_alone() {
    let hmi = Hmi::loopback();
    let entered = hmi.get(&format!("/?token={}", hmi.token()), "");
    let set = entered.header("set-cookie").expect("a cookie");
    for part in ["HttpOnly", "SameSite=Strict", "Path=/", port(&hmi)] {
        assert!(set.contains(part), "{set}");
    }
    assert!(!set.contains("Domain"));
}

#[test]
fn requests_that_are_too_large_or_malformed_change_nothing() {
    let hmi = Hmi::loopback();
    let cookie = hmi.enter();
    let long = format!("user={}&key=go", "x".repeat(10_000));
    let name = format!("user={}&key=go", "x".repeat(129));
    for (path, form) in [
        ("/name", long.as_str()),
        ("/name", &name),
        ("/name", "user=%00&key=go"),
        ("/name", "user=a%0d%0ab&key=go"),
        ("/name", "user=a&key=xyz"),
        ("/name", "known=a%1b"),
        ("/pin", "key=12"),
        ("/pin", "key="),
        ("/pin", "pin=1234"),
        ("/pin", "key=%F0%9F"),
        ("/look", "language=%FF"),
    ] {
        let status = hmi.post(path, &cookie, form).status;
        assert!(
            matches!(status, 303 | 400 | 413 | 422),
            "{path} {form}: {status}"
        );
        assert!(status != 303 || path == "/look", "{path} {form}");
    }
    let head = format!("x-long: {}\r\n{cookie}", "x".repeat(40_000));
    assert_ne!(hmi.get("/", &head).status, 200);
    assert!(hmi.agent.script(|s| s.posts.is_empty()));
    assert_eq!(hmi.get("/", &cookie).status, 200);
}

/// Far below the wait for a head, far above what a slow machine needs for a request.
const SOON: Duration = Duration::from_secs(20);

/// Asks on a connection that stays open; yields what came first.
fn ask(stream: &mut TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).expect("write");
    let mut bytes = [0; 64];
    let count = stream.read(&mut bytes).expect("read");
    String::from_utf8_lossy(&bytes[..count]).into_owned()
}

#[test]
fn connections_that_say_nothing_keep_nobody_out() {
    let hmi = Hmi::loopback();
    let start = Instant::now();
    let idle = || -> Vec<TcpStream> {
        let all = (0..100).map(|_| TcpStream::connect(hmi.host()).expect("connect"));
        all.collect()
    };
    let first = idle();
    let cookie = hmi.enter();
    let head = format!("GET /style.css HTTP/1.1\r\nhost: {}\r\n", hmi.host());
    let mut own = TcpStream::connect(hmi.host()).expect("connect");
    own.set_read_timeout(Some(SOON)).expect("patience");
    let known = format!("HEAD {}{cookie}\r\n", head.trim_start_matches("GET "));
    assert!(ask(&mut own, &known).starts_with("HTTP/1.1 200"));
    let second = idle();
    assert_eq!(hmi.get("/", &cookie).status, 200);
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    // They are ended, also one that has asked for what needs no cookie.
    let mut stranger = TcpStream::connect(hmi.host()).expect("connect");
    stranger.set_read_timeout(Some(SOON)).expect("patience");
    let answer = ask(&mut stranger, &format!("{head}\r\n"));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    for mut stream in first.into_iter().chain(second).chain([stranger]) {
        stream.set_read_timeout(Some(SOON)).expect("patience");
        let ended = stream.read_to_end(&mut Vec::new()).map_err(|e| e.kind());
        assert_ne!(ended, Err(ErrorKind::WouldBlock), "it is still open");
    }
    // The one that was let in stays.
    let mut rest = vec![0; 4096];
    own.set_nonblocking(true).expect("nonblocking");
    while own.read(&mut rest).is_ok_and(|count| count > 0) {}
    own.set_nonblocking(false).expect("blocking");
    assert!(ask(&mut own, &known).starts_with("HTTP/1.1 200"));
}

// Whoever has a cookie, such as a program that read it in the driver's profile, takes its own places only.
#[test]
fn one_browser_keeps_no_other_out() {
    let hmi = Hmi::loopback();
    let greedy = hmi.enter();
    let page = std::fs::read_to_string(hmi.start_page()).expect("the start page");
    let address = led_to(&page);
    let token = address.split_once("/?").expect("a token").1;
    let open = |cookie: &str| {
        let mut stream = TcpStream::connect(hmi.host()).expect("connect");
        stream.set_read_timeout(Some(SOON)).expect("patience");
        let request = format!(
            "HEAD /style.css HTTP/1.1\r\nhost: {}\r\n{cookie}\r\n",
            hmi.host()
        );
        assert!(ask(&mut stream, &request).starts_with("HTTP/1.1 200"));
        stream
    };
    let start = Instant::now();
    let mut all: Vec<TcpStream> = (0..40).map(|_| open(&greedy)).collect();
    let answer = hmi.get(&format!("/?{token}"), "");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let driver = cookie(&answer);
    let mut own = open(&driver);
    all.extend((0..40).map(|_| open(&greedy)));
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    // The greedy one's oldest are ended; the driver's is not.
    let ended = all[0].read_to_end(&mut Vec::new()).map_err(|e| e.kind());
    assert_ne!(ended, Err(ErrorKind::WouldBlock), "it is still open");
    let mut rest = vec![0; 4096];
    own.set_nonblocking(true).expect("nonblocking");
    while own.read(&mut rest).is_ok_and(|count| count > 0) {}
    own.set_nonblocking(false).expect("blocking");
    let again = format!(
        "HEAD /style.css HTTP/1.1\r\nhost: {}\r\n{driver}\r\n",
        hmi.host()
    );
    assert!(ask(&mut own, &again).starts_with("HTTP/1.1 200"));
}

#[test]
fn a_form_that_does_not_come_is_given_up() {
    let hmi = Hmi::loopback();
    let (cookie, host) = (hmi.enter(), hmi.host().to_owned());
    let start = Instant::now();
    let answer = hmi.raw(&format!(
        "POST /name HTTP/1.1\r\nhost: {host}\r\norigin: http://{host}\r\n{cookie}\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: 20\r\n\r\nuser="
    ));
    assert_eq!(answer.status, 408);
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
}

#[test]
fn at_a_socket_users_are_judged_by_their_id() {
    use std::os::unix::process::CommandExt as _;
    let hmi = Hmi::start("socket = \"hmi.sock\"");
    let socket = std::path::Path::new(&hmi.address);
    let get = "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let answer = exchange(UnixStream::connect(socket).expect("connect"), get);
    assert_eq!(answer.status, 200);
    let cookie = cookie(&answer);
    assert!(cookie.contains("aid_hmi="));
    for host in ["evil.example", "127.0.0.1"] {
        let other = get.replace("localhost", host);
        let answer = exchange(UnixStream::connect(socket).expect("connect"), &other);
        assert_eq!(answer.status, 403, "{host}");
    }
    if !rustix::process::geteuid().is_root() {
        return aid_needs::missing(aid_needs::Need::Mount, "this is not root");
    }
    // Another user: the kernel says who connects.
    let all = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(hmi.folder.path(), all.clone()).expect("mode");
    let program = hmi.folder.path().join("stranger");
    std::fs::copy(std::env::current_exe().expect("path"), &program).expect("copy");
    std::fs::set_permissions(&program, all).expect("mode");
    let done = std::process::Command::new(&program)
        .args(["--ignored", "--exact", "stranger", "--nocapture"])
        .env("STRANGER", socket)
        .uid(65_534)
        .output()
        .expect("starts");
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stdout)
    );
}

/// Asks the socket that the environment names, as another user; started by the test above.
#[test]
#[ignore = "a part of the test of the socket"]
fn stranger() {
    let socket = std::env::var("STRANGER").expect("socket");
    let get = "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let stream = UnixStream::connect(socket).expect("the socket is open; who asks is judged");
    let answer = exchange(stream, get);
    assert_eq!((answer.status, answer.body.as_str()), (0, ""));
}

#[test]
fn the_program_has_what_programs_have() {
    let run = |args: &[&str]| {
        let done = std::process::Command::new(env!("CARGO_BIN_EXE_aid-hmi"))
            .args(args)
            .output();
        let done = done.expect("aid-hmi runs");
        let text = [done.stdout, done.stderr].concat();
        (done.status.code(), String::from_utf8(text).expect("UTF-8"))
    };
    for (args, word) in [
        (&["example-config"][..], "start_page"),
        (&["completions", "bash"], "aid-hmi"),
        (&["man"], "aid-hmi"),
        (&["--help"], "example-config"),
    ] {
        let (code, text) = run(args);
        assert_eq!(code, Some(0), "{args:?}");
        assert!(text.contains(word), "{text}");
    }
    let (code, text) = run(&["run", "--config", "/nonexistent/hmi.toml"]);
    assert_eq!(code, Some(1));
    assert!(text.contains("/nonexistent/hmi.toml"), "{text}");
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("hmi.toml");
    // Found in the folder where it starts.
    std::fs::write(&file, run(&["example-config"]).1).expect("write");
    let found = std::process::Command::new(env!("CARGO_BIN_EXE_aid-hmi"))
        .arg("check-config")
        .env_remove("AID_HMI_CONFIG")
        .current_dir(folder.path())
        .output();
    let found = found.expect("aid-hmi runs");
    assert_eq!(
        String::from_utf8_lossy(&found.stdout),
        "hmi.toml is valid\n"
    );
    std::fs::write(&file, json!("not TOML").to_string()).expect("write");
    let (code, _) = run(&["check-config", "--config", file.to_str().expect("path")]);
    assert_eq!(code, Some(1));
}
