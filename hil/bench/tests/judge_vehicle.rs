//! `aid-hil judge vehicle` on our own agent with a software eUICC, as real programs over loopback: no failure, every broken
//! variant is found, and mistakes in a target file are named.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

fn hil(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aid-hil"))
        .args(args)
        .output()
        .unwrap()
}

/// The target file of a new set-up.
fn target(folder: &Path) -> String {
    let dir = folder.join("site").display().to_string();
    let done = hil(&["init", "--dir", &dir]);
    assert!(done.status.success(), "{done:?}");
    format!("{dir}/vehicle-target.toml")
}

#[test]
fn our_vehicle_is_judged_without_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let target = target(folder.path());
    // The session of this vehicle ends soon after the ignition went off.
    let agent = folder.path().join("site/agent.toml");
    let text = std::fs::read_to_string(&agent).unwrap();
    std::fs::write(&agent, format!("{text}\n[session]\ngrace_s = 1\n")).unwrap();
    let text = std::fs::read_to_string(&target).unwrap();
    let declared = text.replacen("quiet_ms", "grace_s = 1\nquiet_ms", 1);
    std::fs::write(&target, declared).unwrap();
    let done = hil(&["judge", "vehicle", "--target", &target, "--json"]);
    let report: Value = serde_json::from_slice(&done.stdout).unwrap();
    let cases = report["cases"].as_array().unwrap();
    let of = |verdict: &str| -> Vec<String> {
        let cases = cases.iter().filter(|case| case["verdict"] == verdict);
        cases
            .map(|case| format!("{}: {} {}", case["name"], case["reason"], case["failure"]))
            .collect()
    };
    assert!(of("fail").is_empty(), "{:#?}", of("fail"));
    assert!(of("inconclusive").is_empty(), "{:#?}", of("inconclusive"));
    assert!(of("skipped").is_empty(), "{:#?}", of("skipped"));
    assert!(of("pass").len() >= 57, "{}", of("pass").len());
    assert!(done.status.success());
    // Messages of the link and of the SM-DP+ are the evidence.
    let has = |protocol: &str| {
        cases.iter().any(|case| {
            let messages = case["messages"].as_array().unwrap();
            messages.iter().any(|m| m["protocol"] == protocol)
        })
    };
    assert!(has("aid2") && has("es9") && has("deed"));
}

#[test]
fn broken_vehicles_are_found_and_legal_habits_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let target = target(folder.path());
    // What broken vehicles leave out is not waited for long.
    let text = std::fs::read_to_string(&target).unwrap();
    std::fs::write(&target, text.replacen("patience = 20", "patience = 8", 1)).unwrap();
    let done = hil(&["judge", "vehicle", "--target", &target, "--self-test"]);
    let text = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{text}");
    let found = text.lines().filter(|line| line.starts_with("found"));
    assert!(found.count() >= 18, "{text}");
    assert!(text.lines().any(|line| line.starts_with("quiet")), "{text}");
}

#[test]
fn commands_drive_the_user_where_the_target_file_has_them() {
    let folder = tempfile::tempdir().unwrap();
    let target = target(folder.path());
    let text = std::fs::read_to_string(&target).unwrap();
    let commands = "login = [\"aid-hil\", \"part\", \"aidctl\", \"--api\", \"agent.sock\", \"login\", \"{user}\", \"--pin\", \"{pin}\"]\n\
         logout = [\"aid-hil\", \"part\", \"aidctl\", \"--api\", \"agent.sock\", \"logout\"]\n";
    let text = text.replacen("api = \"agent.sock\"\n", commands, 1);
    std::fs::write(&target, text).unwrap();
    let done = hil(&[
        "judge",
        "vehicle",
        "R-4.3-4",
        "R-4.3-14",
        "R-2-10/refused",
        "R-2-9",
        "--target",
        &target,
        "--json",
    ]);
    let report: Value = serde_json::from_slice(&done.stdout).unwrap();
    let verdict = |name: &str| {
        let cases = report["cases"].as_array().unwrap();
        let case = cases.iter().find(|case| case["name"] == name).unwrap();
        case["verdict"].as_str().unwrap().to_owned()
    };
    for name in ["R-4.3-4", "R-4.3-4/present", "R-4.3-14", "R-2-10/refused"] {
        assert_eq!(verdict(name), "pass", "{report}");
    }
    // Only the vehicle's API shows its user profile.
    assert_eq!(verdict("R-2-9"), "skipped");
}

/// Judges with these arguments; verdict and text of each case by its name.
fn judged(target: &str, tests: &[&str]) -> BTreeMap<String, (String, String)> {
    let args = [
        &["judge", "vehicle"],
        tests,
        &["--target", target, "--json"],
    ];
    let done = hil(&args.concat());
    let report: Value = serde_json::from_slice(&done.stdout).unwrap();
    let cases = report["cases"].as_array().unwrap().iter();
    cases
        .map(|case| {
            let name = case["name"].as_str().unwrap().to_owned();
            let verdict = case["verdict"].as_str().unwrap().to_owned();
            (
                name,
                (verdict, format!("{} {}", case["reason"], case["failure"])),
            )
        })
        .collect()
}

/// Another EID than this one, with check digits of its own.
fn other_eid(eid: &str) -> String {
    let last = eid[29..30].parse::<u128>().unwrap();
    let digits = format!("{}{}00", &eid[..29], (last + 1) % 10);
    let check = 98 - digits.parse::<u128>().unwrap() % 97;
    format!("{}{check:02}", &digits[..30])
}

#[test]
fn false_declarations_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let target = target(folder.path());
    let text = std::fs::read_to_string(&target).unwrap();
    let (_, rest) = text.split_once("eid = \"").unwrap();
    let eid = &rest[..32];
    // The session of this vehicle ends a minute after the ignition went off.
    let declared = text
        .replacen("quiet_ms", "grace_s = 1\nrevision = 2\nquiet_ms", 1)
        .replacen("patience = 20", "patience = 5", 1);
    std::fs::write(&target, &declared).unwrap();
    let names = ["R-3.2-4/eid", "R-3.2-4/revision", "R-4.3-14/parked"];
    let found = judged(&target, &names);
    assert_eq!(found["R-3.2-4/eid"].0, "pass", "{found:?}");
    for name in &names[1..] {
        assert_eq!(found[*name].0, "fail", "{found:?}");
    }
    assert!(
        found["R-3.2-4/revision"].1.contains("revision"),
        "{found:?}"
    );
    std::fs::write(&target, declared.replacen(eid, &other_eid(eid), 1)).unwrap();
    let found = judged(&target, &names[..2]);
    assert_eq!(found["R-3.2-4/eid"].0, "fail", "{found:?}");
    assert!(found["R-3.2-4/eid"].1.contains(eid), "{found:?}");
    assert_eq!(found["R-3.2-4/revision"].0, "inconclusive", "{found:?}");
}

#[test]
fn a_card_with_legal_habits_fails_nothing_and_one_that_never_enables_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let target = target(folder.path());
    let text = std::fs::read_to_string(&target).unwrap();
    let serve = "\"euicc-sim\", \"serve\", ";
    let with = |quirks: &str| text.replacen(serve, &format!("{serve}{quirks}, "), 1);
    let habits = ["61xx", "small-segments", "stale-channel", "cat-busy=1"];
    let habits = habits.map(|quirk| format!("\"--quirk\", \"{quirk}\""));
    std::fs::write(&target, with(&habits.join(", "))).unwrap();
    let found = judged(&target, &["R-4.3-10", "R-4.3-12", "R-4.3-14", "R-4.4.1"]);
    assert!(found.len() > 15, "{found:?}");
    for (name, (verdict, why)) in &found {
        // The target file declares no grace_s.
        let expected = match name.as_str() {
            "R-4.3-14/parked" => "skipped",
            _ => "pass",
        };
        assert_eq!(verdict, expected, "{name}: {why}");
    }
    let stubborn = with("\"--quirk\", \"cat-busy=99\"");
    std::fs::write(
        &target,
        stubborn.replacen("patience = 20", "patience = 5", 1),
    )
    .unwrap();
    let found = judged(&target, &["R-4.3-10", "R-4.3-3"]);
    assert_eq!(found["R-4.3-10"].0, "fail", "{found:?}");
    assert!(found["R-4.3-10"].1.contains("Enabled"), "{found:?}");
    // The login itself is as it should be.
    assert_eq!(found["R-4.3-3"].0, "pass", "{found:?}");
}

#[test]
fn mistakes_are_named_and_a_vehicle_that_does_not_come_is_no_failure_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let target = target(folder.path());
    let text = std::fs::read_to_string(&target).unwrap();
    let file = folder.path().join("site/other.toml").display().to_string();
    for (from, to, says) in [
        ("eid = \"8", "eid = \"7", "eid"),
        ("quiet_ms = 300", "quiet_ms = 3", "quiet_ms"),
        ("[vehicle.user]", "[vehicle.user]\ncolour = 1", "colour"),
        ("pki = \"pki/rsp\"", "pki = \"none\"", "none"),
    ] {
        std::fs::write(&file, text.replacen(from, to, 1)).unwrap();
        let done = hil(&["judge", "vehicle", "--target", &file, "--dry-run"]);
        let error = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(2), "{to}: {error}");
        assert!(error.contains(says), "{says}: {error}");
    }
    let (head, _) = text.split_once("[[vehicle.start]]").unwrap();
    std::fs::write(&file, head.replacen("patience = 20", "patience = 1", 1)).unwrap();
    let done = hil(&["judge", "vehicle", "--target", &file]);
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(said.contains(" 0 pass, "), "{said}");
    assert!(said.contains(" 0 fail"), "{said}");
    let error = String::from_utf8_lossy(&done.stderr);
    assert!(error.contains("nothing could be judged"), "{error}");
    // A dry run starts and contacts nobody.
    let done = hil(&["judge", "vehicle", "--target", &target, "--dry-run"]);
    assert!(done.status.success());
    assert!(!folder.path().join("site/state/euicc.nvm").exists());
}
