//! Reports as commands make and read them: fleet, demo with its live page, compare, replay.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set itself up has failed"
)]

use aid_report::{Kind, MAX_PAGE, Report, Verdict};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

fn hil(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aid-hil"));
    command
        .args(args)
        .env_remove("AID_TRACE")
        .env_remove("AID_LOG")
        .stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> Output {
    hil(args).output().unwrap()
}

fn said(output: &Output) -> String {
    format!(
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_str().unwrap().to_owned()
}

/// Fifty cars with cards of their own: all journeys, the outage and the withdrawals end, and all books agree.
#[test]
fn a_small_fleet_keeps_all_books_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let (json, html) = (path(folder.path(), "f.json"), path(folder.path(), "f.html"));
    let output = run(&[
        "fleet",
        "--vehicles",
        "50",
        "--rate",
        "25",
        "--duration",
        "5s",
        "--patience",
        "3m",
        "--seed",
        "7",
        "--report",
        &json,
        "--html",
        &html,
    ]);
    assert!(output.status.success(), "{}", said(&output));
    let report = aid_report::open(Path::new(&json)).unwrap();
    assert_eq!((&report.kind, report.seed), (&Kind::Fleet, 7));
    let verdicts: Vec<(&str, Verdict)> = report
        .cases
        .iter()
        .map(|case| (case.name.as_str(), case.verdict))
        .collect();
    for (name, verdict) in &verdicts {
        // What was tried again and succeeded is a warning.
        let may = *name == "fleet/errors" && *verdict == Verdict::Warning;
        assert!(
            *verdict == Verdict::Pass || may,
            "{verdicts:?} {}",
            said(&output)
        );
    }
    for wanted in [
        "fleet/phases",
        "fleet/withdrawn",
        "fleet/books-of-cmp",
        "fleet/books-of-msp",
        "fleet/books-of-smdp",
    ] {
        assert!(verdicts.iter().any(|(name, _)| *name == wanted), "{wanted}");
    }
    let text = String::from_utf8_lossy(&output.stdout);
    for measured in ["login", "provisioning", "parking", "return", "withdrawal"] {
        assert!(text.contains(measured), "{text}");
    }
    let page = std::fs::read_to_string(&html).unwrap();
    assert!(page.len() <= MAX_PAGE && page.contains("fleet/withdrawn"));
}

#[test]
fn wrong_options_of_a_fleet_are_named_before_anything_runs() {
    for (args, wanted) in [
        (&["fleet", "--vehicles", "0"][..], "--vehicles"),
        (&["fleet", "--rate", "0"], "--rate"),
        (&["fleet", "--duration", "1d"], "--duration"),
        (&["fleet", "--lab", "/absent.toml"], "/absent.toml"),
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).contains(wanted), "{}", said(&output));
    }
}

/// What the set-up of a demo keeps secret, as its files have it.
fn secrets(site: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for file in ["cmp.toml", "msp.toml"] {
        let text = std::fs::read_to_string(site.join(file)).unwrap();
        for line in text.lines() {
            let Some((name, value)) = line.split_once(" = \"") else {
                continue;
            };
            let secret = [
                "api_key_out",
                "api_key_in",
                "account_id_secret",
                "phone_key",
                "account_pin_key",
            ];
            if secret.contains(&name) {
                all.push(value.trim_end_matches('"').to_owned());
            }
        }
    }
    let msp = rusqlite::Connection::open(site.join("state/msp.sqlite")).unwrap();
    for (sql, column) in [
        ("SELECT msp_token FROM onboarding", 0),
        (
            "SELECT activation_code FROM ac_request WHERE activation_code IS NOT NULL",
            0,
        ),
        ("SELECT matching_id FROM profile", 0),
        ("SELECT msisdn FROM subscription", 0),
    ] {
        let mut rows = msp.prepare(sql).unwrap();
        let rows = rows
            .query_map([], |row| row.get::<_, String>(column))
            .unwrap();
        all.extend(rows.map(Result::unwrap));
    }
    all
}

/// The report of a demo shows the messages of all parties, and no secret of any of them. It compares with itself, and its
/// run can be repeated.
#[test]
fn a_demo_makes_a_report_without_secrets_that_can_be_compared_and_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let (json, html) = (path(folder.path(), "r.json"), path(folder.path(), "r.html"));
    let (junit, keep) = (path(folder.path(), "r.xml"), path(folder.path(), "site"));
    let output = run(&[
        "demo", "--report", &json, "--html", &html, "--junit", &junit, "--keep", &keep,
    ]);
    assert!(output.status.success(), "{}", said(&output));
    let report = aid_report::open(Path::new(&json)).unwrap();
    let case = &report.cases[0];
    assert_eq!(case.verdict, Verdict::Pass);
    assert!(case.steps.len() > 8);
    let ways: std::collections::BTreeSet<(&str, &str)> = case
        .messages
        .iter()
        .map(|message| (message.from.as_str(), message.to.as_str()))
        .collect();
    for way in [
        ("car-1", "cmp"),
        ("cmp", "car-1"),
        ("cmp", "msp"),
        ("msp", "cmp"),
        ("msp", "smdp"),
        ("car-1", "smdp"),
        ("smdp", "car-1"),
        ("car-1", "card-1"),
        ("driver", "cmp"),
        ("driver", "msp"),
    ] {
        assert!(ways.contains(&way), "{way:?} in {ways:?}");
    }
    let secrets = secrets(Path::new(&keep));
    assert!(secrets.len() >= 9, "{}", secrets.len());
    for file in [&json, &html, &junit] {
        let text = std::fs::read_to_string(file).unwrap();
        for secret in &secrets {
            assert!(!text.contains(secret.as_str()), "{file} has {secret}");
        }
    }

    let same = run(&["compare", &json, &json]);
    assert!(same.status.success(), "{}", said(&same));
    let mut worse: Report = report.clone();
    worse.cases[0].verdict = Verdict::Fail;
    let other = path(folder.path(), "worse.json");
    std::fs::write(&other, worse.to_json().unwrap()).unwrap();
    let compared = run(&["compare", &json, &other, "--json"]);
    assert_eq!(compared.status.code(), Some(1), "{}", said(&compared));
    let shown: serde_json::Value = serde_json::from_slice(&compared.stdout).unwrap();
    assert_eq!(shown["worse"], true);
    assert_eq!(shown["differences"][0]["name"], "demo/provisioning");
    let better = run(&["compare", &other, &json]);
    assert!(better.status.success(), "{}", said(&better));

    let replayed = run(&["replay", &json]);
    assert!(replayed.status.success(), "{}", said(&replayed));
    assert!(said(&replayed).contains("The same verdicts came"));
    // The report of a failure does not come again.
    let replayed = run(&["replay", &other, "--json"]);
    assert_eq!(replayed.status.code(), Some(1), "{}", said(&replayed));
}

const PLAYED: &str = r#"title = "a driver who has linked nothing gets no profile"
clause = "AID.02 §4.3"
steps = [
  { when = "Ada, who has linked nothing, logs in", do = "car.login", user = "ada" },
  { then = "she gets no profile", see = "car.status", is = { phase = "no_profile" }, within = "20 s" },
]
"#;

/// A run of scenarios is published in all forms, and repeated with its seed, case by case.
#[test]
fn a_run_of_scenarios_is_published_and_replayed_case_by_case() {
    let folder = tempfile::tempdir().unwrap();
    let (json, html) = (path(folder.path(), "s.json"), path(folder.path(), "s.html"));
    let (junit, lab) = (
        path(folder.path(), "s.xml"),
        path(folder.path(), "lab.toml"),
    );
    let file = path(folder.path(), "nobody.toml");
    std::fs::write(&file, PLAYED).unwrap();
    std::fs::write(&lab, "name = \"Test House 9\"\n").unwrap();
    let output = run(&[
        "run", &file, "--seed", "5", "--report", &json, "--html", &html, "--junit", &junit,
        "--lab", &lab,
    ]);
    assert!(output.status.success(), "{}", said(&output));
    let report = aid_report::open(Path::new(&json)).unwrap();
    assert_eq!((&report.kind, report.seed), (&Kind::Scenarios, 5));
    assert!(
        std::fs::read_to_string(&html)
            .unwrap()
            .contains("Test House 9")
    );
    assert!(
        std::fs::read_to_string(&junit)
            .unwrap()
            .contains("Test House 9")
    );
    let mut child = hil(&["replay", &json, "--step"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let replayed = child.wait_with_output().unwrap();
    assert!(replayed.status.success(), "{}", said(&replayed));
    assert!(
        said(&replayed).contains("she gets no profile"),
        "{}",
        said(&replayed)
    );
    // Without a person who goes on, it stops before the first case.
    let stopped = run(&["replay", &json, "--step"]);
    assert_eq!(stopped.status.code(), Some(1), "{}", said(&stopped));
    let unknown = run(&["replay", &json, "absent"]);
    assert_eq!(unknown.status.code(), Some(2), "{}", said(&unknown));
}

#[test]
fn what_is_no_report_of_ours_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = path(folder.path(), "r.json");
    for (text, wanted) in [
        ("{\"format\":99}", "newer aid-hil"),
        ("{}", "not a report"),
        ("", "not a report"),
    ] {
        std::fs::write(&file, text).unwrap();
        for args in [&["compare", &file, &file][..], &["replay", &file]] {
            let output = run(args);
            assert_eq!(output.status.code(), Some(1));
            assert!(said(&output).contains(wanted), "{}", said(&output));
        }
    }
    let text = r#"{"format":1,"kind":"demo","subject":"","command":"aid-hil part aid-cmp serve","seed":0,"began":"","ended":"","versions":[],"cases":[]}"#;
    std::fs::write(&file, text).unwrap();
    let output = run(&["replay", &file]);
    assert!(
        said(&output).contains("makes no report"),
        "{}",
        said(&output)
    );
}

/// A request to the live page; the whole answer.
fn get(port: &str, host: &str, target: &str, cookie: &str) -> String {
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    write!(
        stream,
        "GET {target} HTTP/1.1\r\nhost: {host}\r\ncookie: {cookie}\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

#[test]
fn the_live_page_is_for_one_browser_and_shows_all_messages() {
    let mut child = hil(&["demo", "--watch", "--pace", "0"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = loop {
        let line = lines.next().unwrap().unwrap();
        if let Some(address) = line.strip_prefix("Watch at http://127.0.0.1:") {
            break address.to_owned();
        }
    };
    // The rest is read, or a full pipe would stop the demo.
    let rest = std::thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<_>>());
    let (port, target) = address.split_once('/').unwrap();
    let (host, target) = (format!("127.0.0.1:{port}"), format!("/{target}"));
    let status = |answer: &str| answer.split(' ').nth(1).unwrap_or_default().to_owned();

    assert_eq!(status(&get(port, &host, "/", "")), "403", "without a token");
    assert_eq!(status(&get(port, &host, "/?token=x", "")), "403");
    for path in ["/events", "/live.js", "/style.css", "/x"] {
        assert_eq!(status(&get(port, &host, path, "")), "403", "{path}");
    }
    assert_eq!(
        status(&get(port, "evil.example", &target, "")),
        "421",
        "DNS rebinding uses no token"
    );
    let first = get(port, &host, &target, "");
    assert_eq!(status(&first), "303", "{first}");
    let cookie = first
        .lines()
        .find_map(|line| line.strip_prefix("set-cookie: "))
        .unwrap();
    for word in ["HttpOnly", "SameSite=Strict"] {
        assert!(cookie.contains(word), "{cookie}");
    }
    let cookie = cookie.split(';').next().unwrap();
    assert_eq!(
        status(&get(port, &host, &target, "")),
        "403",
        "the token is good once"
    );

    let page = get(port, &host, "/", cookie);
    for wanted in [
        "http-equiv=\"refresh\"",
        "/live.js",
        "script-src 'self'",
        "frame-ancestors 'none'",
        "no-store",
    ] {
        assert!(page.contains(wanted), "{wanted}: {page}");
    }
    // The page is open, so the demo begins; the events end with it.
    let events = get(port, &host, "/events?after=0", cookie);
    assert!(events.contains("event: end"), "{events}");
    assert!(
        events.matches("event: row").count() > 50,
        "{}",
        events.len()
    );
    for wanted in [
        "ES9+.initiateAuthentication",
        "RequestActivationCode",
        "<svg",
    ] {
        assert!(events.contains(wanted), "{wanted}");
    }
    let over = get(port, &host, "/", cookie);
    assert!(over.contains("The demo is over.") && !over.contains("http-equiv=\"refresh\""));
    drop(stdin);
    assert!(
        child.wait().unwrap().success(),
        "{:?}",
        rest.join().unwrap()
    );
}
