//! Given a card behind a socket and a server behind TLS, when `aid-lpa` is run, then its output, its exit codes and its
//! recordings are those of docs/lpa.md.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

#[path = "support/site.rs"]
mod site;
mod support;

use aid_cli::printable::is_unprintable;
use aid_needs::Need;
use aid_rsp::es10::*;
use serde_json::{Value, json};
use site::{Site, serve_card, serve_https};
use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use support::*;

/// Runs the program; standard input is no terminal.
fn lpa(args: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_aid-lpa"))
        .env_remove("AID_LOG")
        .args(["--log", "warn"])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start");
    let mut stdin = child.stdin.take().expect("stdin");
    // A program that does not read its input has ended before.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("output")
}

/// The envelope on stdout, and the exit code.
fn envelope(args: &[&str]) -> (Value, i32) {
    let output = lpa(&[&["--json"], args].concat(), "");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(text.lines().count(), 1, "{text} {:?}", output.stderr);
    let value = serde_json::from_str(&text).expect("JSON");
    (value, output.status.code().expect("exit code"))
}

fn succeeds(args: &[&str]) -> Value {
    let (mut value, code) = envelope(args);
    assert_eq!((code, &value["ok"]), (0, &json!(true)), "{value}");
    assert!(value["command"].is_string() && value.get("error").is_none());
    value["result"].take()
}

#[track_caller]
fn fails(args: &[&str], class: &str, exit: i32) -> Value {
    let (mut value, code) = envelope(args);
    assert_eq!(value["ok"], json!(false), "{value}");
    assert_eq!(
        (value["error"]["class"].as_str(), code),
        (Some(class), exit),
        "{value}"
    );
    assert!(value.get("result").is_none());
    for member in ["subject", "reason", "message", "hint"] {
        assert!(value["error"].get(member).is_some(), "{member}");
    }
    value["error"].take()
}

/// A card that names this server as its default one, and the server.
fn story() -> (FakeCard, FakeServer, Site, String) {
    let card = FakeCard::new();
    let server = FakeServer::new(3000);
    let site = serve_https(&server);
    server.answer(
        "initiateAuthentication",
        ok(initiate(CHALLENGE, &site.server)),
    );
    let mut result = installation_result(success());
    let mut data = result.data.value().clone();
    data.notification.address.clone_from(&site.server);
    result.data = Signed::new(data);
    card.with(|card| drop(card.answers.insert(0xBF36, result.to_vec())));
    let socket = serve_card(&card);
    (card, server, site, socket)
}

#[test]
fn a_notification_that_is_not_there_is_not_reported_as_done() {
    let socket = serve_card(&FakeCard::new());
    for verb in ["remove", "process", "dump"] {
        let output = lpa(&["--socket", &socket, "notification", verb, "4"], "");
        assert_eq!(output.status.code(), Some(13), "{output:?}");
        assert!(output.stdout.is_empty());
        let text = String::from_utf8(output.stderr).expect("UTF-8");
        assert!(text.contains("no notification 4"), "{text}");
    }
}

#[test]
fn every_command_has_the_same_envelope() {
    let socket = serve_card(&FakeCard::new());
    let on = |args: &[&str]| succeeds(&[&["--socket", &socket], args].concat());
    let iccid = "8949010000000000001";
    let chip = on(&["chip", "info"]);
    assert_eq!(chip["svn"], "2.4.0");
    assert_eq!(chip["rules_authorisation_table"], json!([]));
    assert_eq!(chip["unreadable"], json!([]));
    assert_eq!(on(&["chip", "default-smdp"]), json!({"default_smdp": null}));
    let set = on(&["chip", "default-smdp", "smdp.example.com"]);
    assert_eq!(set, json!({"default_smdp": "smdp.example.com"}));
    assert_eq!(
        on(&["chip", "default-smdp", "--clear"]),
        json!({"default_smdp": null})
    );
    assert_eq!(on(&["--yes", "chip", "purge"])["purged"], json!(true));
    let list = on(&["profile", "list"]);
    assert_eq!(
        (&list[0]["iccid"], &list[0]["state"]),
        (&json!(iccid), &json!("disabled"))
    );
    assert_eq!(
        on(&["profile", "enable", iccid]),
        json!({"iccid": iccid, "state": "enabled"})
    );
    assert_eq!(
        on(&["profile", "disable", "8949 0100 0000 0000 001F"])["state"],
        "disabled"
    );
    assert_eq!(on(&["profile", "delete", iccid])["state"], "deleted");
    assert_eq!(
        on(&["profile", "nickname", iccid, "Mine"])["nickname"],
        "Mine"
    );
    assert_eq!(on(&["notification", "list"]), json!([]));
    assert_eq!(on(&["notification", "process"]), json!({"accepted": []}));
    assert_eq!(
        on(&["notification", "remove", "--all"]),
        json!({"removed": []})
    );
}

#[test]
fn the_refresh_flag_is_that_of_the_command_line_or_of_the_configuration() {
    let card = FakeCard::new();
    let socket = serve_card(&card);
    let folder = tempfile::tempdir().expect("folder");
    let config = |flag: &str| {
        let file = folder.path().join(format!("lpa-{flag}.toml"));
        let text = format!("[euicc]\nport = \"socket:{socket}\"\nrefresh_flag = {flag}\n");
        std::fs::write(&file, text).expect("write");
        file.display().to_string()
    };
    let (on, off) = (config("true"), config("false"));
    let iccid = "8949010000000000001";
    for (verb, tag) in [("enable", 0x31), ("disable", 0x32)] {
        for (config, flag, expected) in [
            (None, None, 0xFF),
            (None, Some("0"), 0),
            (Some(&off), None, 0),
            (Some(&off), Some("1"), 0xFF),
            (Some(&on), Some("0"), 0),
        ] {
            let mut args = match config {
                Some(file) => vec!["--config", file],
                None => vec!["--socket", &socket],
            };
            args.extend(["profile", verb, iccid]);
            args.extend(flag);
            card.with(|card| card.requests.clear());
            succeeds(&args);
            card.with(|card| {
                let of_verb = |request: &&Vec<u8>| request.starts_with(&[0xBF, tag]);
                let request = card.requests.iter().find(of_verb).expect("a request");
                assert!(
                    request.ends_with(&[0x81, 1, expected]),
                    "{args:?}: {request:02X?}"
                );
            });
        }
    }
    fails(
        &["--socket", &socket, "profile", "enable", iccid, "yes"],
        "usage",
        2,
    );
}

#[test]
fn failures_have_their_class_and_exit_code() {
    let card = FakeCard::new();
    let socket = serve_card(&card);
    let iccid = "8949010000000000001";
    // The command line, before anything is parsed, and after.
    let usage = fails(&["profile", "enable"], "usage", 2);
    assert!(!usage["message"].as_str().expect("text").is_empty());
    fails(
        &["--socket", &socket, "profile", "enable", "8949O1"],
        "usage",
        2,
    );
    fails(&["chip", "info"], "usage", 2);
    fails(
        &["--socket", "127.0.0.1:1", "chip", "info"],
        "card_unreachable",
        3,
    );
    fails(&["--socket", &socket, "chip", "purge"], "declined", 12);
    fails(
        &["--socket", &socket, "profile", "download", "hello"],
        "activation_code",
        10,
    );
    fails(&["--socket", &socket, "discover"], "server_unreachable", 6);
    for (code, class, exit) in [
        (1, "not_found", 13),
        (2, "card_refused", 4),
        (3, "not_allowed", 15),
    ] {
        card.with(|card| {
            let answer = vec![0xBF, 0x31, 3, 0x80, 1, code];
            card.answers.insert(0xBF31, answer);
        });
        let error = fails(
            &["--socket", &socket, "profile", "enable", iccid],
            class,
            exit,
        );
        assert_eq!(error["subject"], "EnableProfile");
    }
    card.with(|card| drop(card.answers.insert(0xBF31, vec![0xBF, 0x31, 0])));
    fails(
        &["--socket", &socket, "profile", "enable", iccid],
        "card_answer",
        5,
    );
}

#[test]
fn a_download_from_a_pasted_code_with_progress() {
    let (_, server, site, socket) = story();
    let ci = site.path("ci.der");
    let base = [
        "--socket",
        &socket,
        "--private-smdp",
        "--ci",
        ci.to_str().expect("path"),
    ];
    let code = format!(" lpa:1${}$M-1 \n", site.server);
    let with = |args: &[&'static str]| {
        let mut all: Vec<String> = base.iter().map(|a| (*a).to_owned()).collect();
        all.extend(args.iter().map(|a| (*a).to_owned()));
        all.push(code.clone());
        all
    };
    let run = |args: &[&'static str]| {
        let all = with(args);
        lpa(&all.iter().map(String::as_str).collect::<Vec<_>>(), "")
    };
    let output = run(&["profile", "download"]);
    assert!(output.status.success(), "{output:?}");
    let steps = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(
        steps.starts_with("1/4 authenticating\n2/4 preparing\n3/4 installing: "),
        "{steps}"
    );
    assert!(steps.ends_with("bytes\n4/4 notifying\n"), "{steps}");
    // JSON is quiet unless progress is wanted.
    let quiet = run(&["--json", "profile", "download"]);
    assert!(quiet.stderr.is_empty(), "{quiet:?}");
    let result: Value = serde_json::from_slice(&quiet.stdout).expect("JSON");
    assert_eq!(result["result"]["notification"], 7);
    let loud = run(&["--json", "--progress", "profile", "download"]);
    let lines = String::from_utf8(loud.stderr).expect("UTF-8");
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(line["progress"]["steps"], 4);
    }
    // A look installs nothing, and leaves the order.
    server.0.lock().expect("lock").log.clear();
    let preview = run(&["--json", "profile", "download", "--preview"]);
    let value: Value = serde_json::from_slice(&preview.stdout).expect("JSON");
    assert_eq!(value["result"]["name"], "Test");
    assert_eq!(
        server.functions(),
        [
            "initiateAuthentication",
            "authenticateClient",
            "cancelSession"
        ]
    );
    let found = succeeds(&[&base[..], &["discover", "--smdp", &site.server]].concat());
    assert_eq!(found["found"][0]["iccid"], "8949010000000000001");
}

#[test]
fn what_a_download_can_fail_for() {
    let (card, server, site, socket) = story();
    let (ci, other) = (site.path("ci.der"), site.path("other.der"));
    let (ci, other) = (ci.to_str().expect("path"), other.to_str().expect("path"));
    let code = format!("1${}$M-1", site.server);
    let run = |ci: &str, more: &[&str], class: &str, exit: i32| {
        let args = [
            "--socket",
            &socket,
            "--private-smdp",
            "--ci",
            ci,
            "profile",
            "download",
            &code,
        ];
        fails(&[&args[..], more].concat(), class, exit)
    };
    run(other, &[], "server_untrusted", 7);
    server.answer("authenticateClient", ok(client(&metadata(), true)));
    run(ci, &[], "confirmation_code", 11);
    server.answer("getBoundProfilePackage", failed("8.2.7", "3.8"));
    let wrong = run(ci, &["--confirmation-code", "1"], "confirmation_code", 11);
    assert_eq!(
        (&wrong["subject"], &wrong["reason"]),
        (&json!("8.2.7"), &json!("3.8"))
    );
    server.answer("authenticateClient", failed("8.1.1", "3.8"));
    let refused = run(ci, &[], "server_refused", 9);
    assert!(refused["hint"].as_str().is_some_and(|h| h.contains("EID")));
    server.answer("authenticateClient", (200, b"<html>".to_vec()));
    run(ci, &[], "server_answer", 8);
    // Rules that need the user's consent, and nobody can be asked.
    let owner = OperatorId::from_digits("26201").expect("operator");
    let mut rules = metadata();
    rules.policy_rules = Some(ppr::PPR1);
    rules.profile_owner = Some(owner.clone());
    let table = GetRatResponse {
        rules: vec![(ppr::PPR1, vec![owner], true)],
    };
    card.with(|card| drop(card.answers.insert(0xBF43, table.to_vec())));
    server.answer("authenticateClient", ok(client(&rules, false)));
    server.answer("getBoundProfilePackage", ok(package(&bpp(&rules, 100))));
    run(ci, &[], "declined", 12);
    assert_eq!(
        server.functions().last().map(String::as_str),
        Some("cancelSession")
    );
    let args = [
        "--socket",
        &socket,
        "--private-smdp",
        "--ci",
        ci,
        "--yes",
        "profile",
        "download",
        &code,
    ];
    assert_eq!(succeeds(&args)["iccid"], "8949010000000000001");
    // The notification waits.
    server.answer("handleNotification", (500, vec![]));
    card.with(|card| {
        card.notifications = vec![PendingNotification::Installation(Box::new(
            installation_result(success()),
        ))];
    });
    let args = ["--socket", &socket, "notification", "process"];
    fails(&args, "undelivered", 16);
}

#[test]
fn a_dumped_notification_is_replayed_without_the_card() {
    let (card, server, site, socket) = story();
    let bytes = card.0.lock().expect("lock").answers[&0xBF36].clone();
    let result = ProfileInstallationResult::from_slice(&bytes).expect("result");
    card.with(|card| {
        card.notifications = vec![PendingNotification::Installation(Box::new(result))];
    });
    let dumped = lpa(
        &["--json", "--socket", &socket, "notification", "dump", "7"],
        "",
    );
    assert!(dumped.status.success(), "{dumped:?}");
    let file = site.path("dump.json");
    std::fs::write(&file, &dumped.stdout).expect("write");
    let ci = site.path("ci.der");
    let ci = ci.to_str().expect("path");
    let path = file.to_str().expect("path");
    let args = ["--private-smdp", "--ci", ci, "notification", "replay"];
    let replayed = succeeds(&[&args[..], &[path]].concat());
    assert_eq!(replayed, json!({"server": site.server, "accepted": true}));
    assert_eq!(
        server.last("handleNotification")["pendingNotification"],
        base64(&bytes)
    );
    let text = String::from_utf8(dumped.stdout).expect("UTF-8");
    let output = lpa(&[&args[..], &["-"]].concat(), &text);
    assert!(output.status.success(), "{output:?}");
    for bad in [
        "",
        "{}",
        "[]",
        "{\"server\":\"a\"}",
        "{\"server\":1,\"notification\":\"AA==\"}",
    ] {
        let output = lpa(&[&args[..], &["-"]].concat(), bad);
        assert_eq!(output.status.code(), Some(2), "{bad}: {output:?}");
    }
}

/// Every character that forges lines, moves the cursor or turns the direction of a text, in a short text.
const EVIL: &str = "a\u{1b}[2J\r\nb\u{202e}c\u{2066}d\u{85}e\u{2028}f\u{7f}g\u{9b}h";

/// Nothing but printable characters and the ends of lines that are the program's own.
#[track_caller]
fn clean(output: &Output) -> usize {
    let mut lines = 0;
    for stream in [&output.stdout, &output.stderr] {
        let text = String::from_utf8(stream.clone()).expect("UTF-8");
        assert!(!text.replace('\n', "").contains(is_unprintable), "{text:?}");
        lines += text.lines().count();
    }
    lines
}

#[test]
fn foreign_texts_reach_no_terminal_raw() {
    let (card, server, site, socket) = story();
    let ci = site.path("ci.der");
    let ci = ci.to_str().expect("path");
    let run = |args: &[&str]| {
        let base = ["--socket", &socket, "--private-smdp", "--ci", ci];
        let text = lpa(&[&base[..], args].concat(), "");
        let logs = lpa(
            &[
                &base[..],
                &["--log-format", "json", "--log", "debug", "--trace"],
                args,
            ]
            .concat(),
            "",
        );
        clean(&logs);
        let json = lpa(&[&base[..], &["--json", "--progress"], args].concat(), "");
        clean(&json);
        assert_eq!(String::from_utf8_lossy(&json.stdout).lines().count(), 1);
        serde_json::from_slice::<Value>(&json.stdout).expect("one object");
        (clean(&text), text)
    };
    let profile = ProfileInfo {
        iccid: Some(ICCID),
        nickname: Some(EVIL.into()),
        service_provider_name: Some(EVIL.into()),
        profile_name: Some(EVIL.into()),
        ..ProfileInfo::default()
    };
    let addresses = EuiccConfiguredAddressesResponse {
        default_dp_address: Some(EVIL.into()),
        root_ds_address: EVIL.into(),
    };
    let mut info = EuiccInfo2::from_slice(&answers()[&0xBF22]).expect("info");
    info.sas_accreditation_number = EVIL.into();
    let list = [
        notification(1, NotificationEvent::Install, EVIL),
        notification(2, NotificationEvent::Enable, EVIL),
    ];
    card.with(|card| {
        let profiles = ProfileInfoListResponse::Ok(vec![profile]);
        card.answers.insert(0xBF2D, profiles.to_vec());
        card.answers.insert(0xBF3C, addresses.to_vec());
        card.answers.insert(0xBF22, info.to_vec());
        card.raw_lists
            .insert(0xBF28, ListNotificationResponse::Ok(list.to_vec()).to_vec());
    });
    run(&["chip", "info"]);
    assert_eq!(run(&["profile", "list"]).0, 2, "a head and a row");
    assert_eq!(run(&["notification", "list"]).0, 3);
    run(&["chip", "default-smdp"]);
    run(&["discover"]);
    run(&["notification", "process"]);
    // Somebody else's words on the command line.
    for args in [
        &["profile", "nickname", "8949010000000000001", EVIL][..],
        &["profile", "enable", EVIL],
        &["profile", "download", EVIL],
        &["chip", "default-smdp", EVIL],
        &[EVIL],
    ] {
        clean(&lpa(&[&["--socket", &socket], args].concat(), ""));
    }
    // What servers say.
    let code = format!("1${}$M-1", site.server);
    let mut named = metadata();
    named.service_provider_name = EVIL.chars().take(16).collect();
    named.profile_name = EVIL.into();
    server.answer("authenticateClient", ok(client(&named, true)));
    run(&["profile", "download", "--preview", &code]);
    run(&["profile", "download", &code]);
    let status = json!({"status": "Failed", "statusCodeData": {"subjectCode": EVIL, "reasonCode": EVIL,
        "subjectIdentifier": EVIL, "message": EVIL}});
    let refusal = json!({"header": {"functionExecutionStatus": status}});
    for function in ["authenticateClient", "initiateAuthentication"] {
        server.answer(function, (200, refusal.to_string().into_bytes()));
        let (_, output) = run(&["profile", "download", &code]);
        assert_eq!(output.status.code(), Some(9), "{output:?}");
        let odd = json!({"header": {"functionExecutionStatus": {"status": EVIL}}});
        server.answer(function, (200, odd.to_string().into_bytes()));
        run(&["profile", "download", &code]);
    }
}

#[test]
fn a_recording_is_read_by_wireshark() {
    if Command::new("tshark").arg("--version").output().is_err() {
        return aid_needs::missing(Need::Tshark, "tshark is not in PATH");
    }
    let card = FakeCard::new();
    let socket = serve_card(&card);
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("apdus.pcap");
    let path = file.to_str().expect("path");
    succeeds(&["--socket", &socket, "--pcap", path, "chip", "info"]);
    let count = card.0.lock().expect("lock").apdus;
    let output = Command::new("tshark")
        .args(["-r", path, "-T", "fields", "-e", "frame.protocols"])
        .args(["-e", "gsm_sim.apdu.ins", "-e", "gsm_sim.apdu.sw"])
        .output()
        .expect("tshark");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(
        text.lines().count(),
        count,
        "a packet for each exchange: {text}"
    );
    let instructions: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split('\t').nth(1))
        .collect();
    for line in text.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        assert!(fields[0].contains("gsmtap:gsm_sim"), "{line}");
        assert_eq!(fields.len(), 3, "{line}");
    }
    let has = |ins: &str| instructions.iter().any(|i| i.eq_ignore_ascii_case(ins));
    assert!(has("0x70") && has("0xa4") && has("0xe2"), "{text}");
    assert!(text.contains("0x9000") || text.contains("9000"), "{text}");
}
