//! The demo as its user runs it: real processes, its exit code, its JSON, its sentences.
#![allow(clippy::expect_used, reason = "a failed expectation is a failed test")]

use rusqlite::Connection;
use serde_json::Value;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

fn aid_hil(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aid-hil"))
        .args(args)
        .output()
        .expect("aid-hil starts")
}

#[track_caller]
fn demo(args: &[&str]) -> Value {
    let output = aid_hil(&[&["demo", "--json"], args].concat());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    serde_json::from_slice(&output.stdout).expect("one JSON object on stdout")
}

/// A failure is exit code 1 and one sentence on the last line of stderr.
#[track_caller]
fn refusal(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let last = stderr.lines().last().expect("a sentence");
    last.to_owned()
}

fn steps(report: &Value) -> Vec<&str> {
    let steps = report["steps"].as_array().expect("steps");
    steps.iter().filter_map(|s| s["name"].as_str()).collect()
}

// R-4.1-3, R-4.3-3, R-4.3-4, R-4.3-5, R-4.3-9, R-4.3-10, R-4.3-12, R-4.3-13, R-4.3-14, R-7.8-4
#[test]
fn one_command_provisions_a_car() {
    let report = demo(&[]);
    assert_eq!(report["ok"], true);
    assert_eq!(report["eid"].as_str().map(str::len), Some(32));
    let expected = [
        "start",
        "onboarding",
        "login",
        "activation-code",
        "download",
        "enable",
        "status",
        "sim",
        "logout",
        "second-login",
        "second-logout",
    ];
    assert_eq!(steps(&report), expected);
    let steps = report["steps"].as_array().expect("steps");
    for (key, integer) in [("apdus", true), ("admin_bytes", true), ("ms", false)] {
        let sum: f64 = steps.iter().filter_map(|s| s[key].as_f64()).sum();
        let total = report["totals"][key].as_f64().expect("total");
        assert!((sum - total).abs() < 0.01, "{key}: {sum} and {total}");
        assert_eq!(report["totals"][key].is_u64(), integer, "{key}");
    }
    let download = &steps[4];
    assert!(download["apdus"].as_u64().expect("apdus") <= 74);
    assert!(download["admin_bytes"].as_u64().expect("bytes") > 1000);
    // The second login must not download: far fewer bytes than the first one's download.
    assert!(steps[9]["admin_bytes"].as_u64() < Some(2000));
}

// R-4.3-8: synchronously in all the others
#[test]
fn an_activation_code_may_come_later() {
    assert_eq!(demo(&["--async-ac"])["ok"], true);
}

#[test]
fn test_profiles_of_ts48_install_and_are_the_sim() {
    let Some(folder) = aid_needs::shared("data/ts48-v7") else {
        return;
    };
    let files = std::fs::read_dir(folder).expect("folder");
    for file in files.flatten().map(|entry| entry.path()) {
        if file.extension().is_some_and(|e| e == "der") {
            let report = demo(&["--profile", file.to_str().expect("UTF-8")]);
            assert_eq!(report["ok"], true, "{}", file.display());
            assert!(report["steps"][4]["apdus"].as_u64() <= Some(74));
        }
    }
}

#[test]
fn keep_leaves_state_and_logs_and_trace_shows_every_message() {
    let folder = tempfile::tempdir().expect("folder");
    let dir = folder.path().join("kept");
    let output = aid_hil(&["demo", "--trace", "--keep", dir.to_str().expect("UTF-8")]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    for file in [
        "logs/aid-agent.log",
        "logs/aid-cmp.log",
        "state/cmp.sqlite",
        "state/euicc.nvm",
        "state/journal",
        "cmp.toml",
    ] {
        assert!(dir.join(file).exists(), "{file}");
    }
    for shown in [
        "LoadBoundProfilePackage",
        "es9plus/authenticateClient",
        "es2plus/confirmOrder",
        "MQTT",
        "AID1",
        "POST /consent",
    ] {
        assert!(stderr.contains(shown), "{shown} is not in the trace");
    }
    // What is in the configuration as a secret is in no log.
    let config = std::fs::read_to_string(dir.join("cmp.toml")).expect("cmp.toml");
    for secret in config.lines().filter_map(|line| {
        let (key, value) = line.split_once(" = ")?;
        let secret = key.contains("key") && !key.ends_with("key") || key.contains("secret");
        secret.then(|| value.trim_matches('"').to_owned())
    }) {
        assert!(!stderr.contains(&secret), "a secret is in the trace");
    }
    // Nor is what the parts made up on the way: who has it could act for the driver, or take the profile.
    let made = |file: &str, sql: &str| -> Vec<String> {
        let database = Connection::open(dir.join("state").join(file)).expect(file);
        let mut rows = database.prepare(sql).expect(sql);
        let texts = rows.query_map([], |row| row.get(0)).expect(sql);
        texts.collect::<Result<_, _>>().expect(sql)
    };
    let tokens = made("cmp.sqlite", "SELECT lower(hex(token)) FROM federation");
    let matching = made(
        "smdp.sqlite",
        "SELECT matching_id FROM orders WHERE matching_id <> ''",
    );
    assert!(!tokens.is_empty() && !matching.is_empty());
    for secret in matching {
        assert!(!stderr.contains(&secret), "a matchingID is in the trace");
    }
    let without_hyphens = stderr.replace('-', "");
    for secret in tokens {
        assert!(
            !without_hyphens.contains(&secret),
            "an msp_token is in the trace"
        );
    }
}

#[test]
fn a_profile_that_is_none_is_one_sentence_and_nothing_is_left() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("notes.txt");
    std::fs::write(&file, "no profile").expect("write");
    let kept = folder.path().join("kept");
    let (file, kept_arg) = (file.to_str().expect("UTF-8"), kept.to_str().expect("UTF-8"));
    let sentence = refusal(&aid_hil(&["demo", "--profile", file, "--keep", kept_arg]));
    assert!(sentence.contains("notes.txt"), "{sentence}");
    assert!(sentence.contains("SAIP"), "{sentence}");
    assert!(!kept.exists());
    let output = aid_hil(&["demo", "--json", "--profile", "/does/not/exist"]);
    let sentence = refusal(&output);
    assert!(sentence.contains("/does/not/exist"), "{sentence}");
    assert!(sentence.contains("give a SAIP package"), "{sentence}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON on failure, too");
    assert_eq!(report["ok"], false);
    assert!(
        report["error"]
            .as_str()
            .is_some_and(|e| sentence.ends_with(e))
    );
}

/// A set-up in a folder, one thing wrong in it, and what the part says that stumbles over it.
fn part_refuses(part: &str, config: &str, spoil: impl FnOnce(&Path)) -> String {
    let serve = if part == "aid-agent" { "run" } else { "serve" };
    part_refuses_to(serve, part, config, spoil)
}

/// What a part says to this command after its set-up was spoilt.
fn part_refuses_to(command: &str, part: &str, config: &str, spoil: impl FnOnce(&Path)) -> String {
    let folder = tempfile::tempdir().expect("folder");
    let dir = folder.path().join("site");
    let made = aid_hil(&["init", "--json", "--dir", dir.to_str().expect("UTF-8")]);
    assert!(made.status.success());
    spoil(&dir);
    let config = dir.join(config);
    let config = config.to_str().expect("UTF-8");
    refusal(&aid_hil(&["part", part, command, "--config", config]))
}

fn replace(file: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(file).expect("read");
    assert!(text.contains(from), "{} has no {from}", file.display());
    std::fs::write(file, text.replace(from, to)).expect("write");
}

/// The line of a TOML file that sets this key, at its first place.
fn line(file: &Path, key: &str) -> String {
    let text = std::fs::read_to_string(file).expect("read");
    let set = format!("{key} = ");
    let found = text.lines().find(|l| l.starts_with(&set)).expect("the key");
    found.to_owned()
}

#[test]
fn a_wrong_eid_names_both() {
    let sentence = part_refuses("euicc-sim", "euicc.toml", |dir| {
        let file = dir.join("euicc.toml");
        let other = "eid = \"89049032000000000000000000000034\"";
        replace(&file, &line(&file, "eid"), other);
    });
    assert!(
        sentence.contains("89049032000000000000000000000034"),
        "{sentence}"
    );
    assert!(sentence.matches("89049032").count() >= 2, "{sentence}");
}

#[test]
fn an_unreadable_key_is_named_by_every_part() {
    for (part, config, key) in [
        (
            "euicc-sim",
            "euicc.toml",
            "pki/rsp/eUICC/SK_EUICC_ECDSA_NIST.pem",
        ),
        (
            "aid-smdp",
            "smdp.toml",
            "pki/rsp/DPpb/SK_S_SM_DPpb_ECDSA_NIST.pem",
        ),
        ("aid-msp", "msp.toml", "pki/aid/msp-server.key"),
        ("aid-cmp", "cmp.toml", "pki/aid/cmp-server.key"),
        ("aid-agent", "agent.toml", "pki/aid/car.key"),
    ] {
        let name = key.rsplit('/').next().expect("a name");
        let garbage = part_refuses(part, config, |dir| {
            std::fs::write(dir.join(key), "not a key").expect("write");
        });
        assert!(garbage.contains(name), "{part}: {garbage}");
        let absent = part_refuses(part, config, |dir| {
            std::fs::remove_file(dir.join(key)).expect("remove");
        });
        assert!(absent.contains(name), "{part}: {absent}");
    }
}

#[test]
fn a_port_in_use_is_named_with_a_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("address").to_string();
    for (part, config) in [
        ("euicc-sim", "euicc.toml"),
        ("aid-smdp", "smdp.toml"),
        ("aid-msp", "msp.toml"),
        ("aid-cmp", "cmp.toml"),
    ] {
        let sentence = part_refuses(part, config, |dir| {
            let file = dir.join(config);
            let listen = format!("listen = \"{address}\"");
            replace(&file, &line(&file, "listen"), &listen);
        });
        assert!(sentence.contains(&address), "{part}: {sentence}");
        assert!(sentence.contains("choose another"), "{part}: {sentence}");
    }
}

#[test]
fn an_inventory_file_that_is_no_profile_is_named() {
    // Serving goes on without it; the check is where a person asks.
    let sentence = part_refuses_to("check-config", "aid-smdp", "smdp.toml", |dir| {
        std::fs::write(dir.join("inventory/second.der"), b"hello").expect("write");
    });
    assert!(sentence.contains("second.der"), "{sentence}");
}

#[test]
fn every_part_has_help_version_and_an_example_that_it_takes() {
    for part in [
        "aid-agent",
        "aidctl",
        "aid-lpa",
        "euicc-sim",
        "aid-cmp",
        "aid-msp",
        "aid-smdp",
    ] {
        for args in [&["--help"][..], &["--version"], &["example-config"]] {
            let output = aid_hil(&[&["part", part], args].concat());
            assert!(output.status.success(), "{part} {args:?}");
            assert!(!output.stdout.is_empty(), "{part} {args:?}");
        }
        let unknown = aid_hil(&["part", part, "--no-such-option"]);
        assert_eq!(unknown.status.code(), Some(2), "{part}");
    }
}
