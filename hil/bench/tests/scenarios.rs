//! Every scenario from end to end with the real programs, as `aid-hil` plays it; what each proves stands at its steps.
#![allow(clippy::expect_used, reason = "a failed expectation is a failed test")]

use serde_json::Value;
use std::collections::BTreeSet;
use std::process::{Command, Output};

fn aid_hil(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aid-hil"))
        .args(args)
        .output()
        .expect("aid-hil starts")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("one JSON value")
}

/// Scenarios that may need a second try: their deadlines are those of a clock that the whole machine shares.
const MOST_AGAIN: usize = 3;

/// Plays scenarios, three at once; the few that fail are played once more, one after the other, and have to pass then.
fn play(args: &[&str]) -> Value {
    let common = ["scenario", "--json", "--seed", "1", "--jobs"];
    let output = aid_hil(&[&common[..], &["3"], args].concat());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains(" scenarios: "), "a summary line: {stderr}");
    let report = json(&output);
    let rows = report["scenarios"].as_array().into_iter().flatten();
    let failed: Vec<&str> = rows
        .filter(|row| row["ok"] == false)
        .filter_map(|row| row["name"].as_str())
        .collect();
    assert!(failed.len() <= MOST_AGAIN, "{stderr}");
    if !failed.is_empty() {
        eprintln!("once more: {failed:?}\n{stderr}");
        let hub: Vec<&str> = args.iter().copied().filter(|a| *a == "--hub").collect();
        let again = aid_hil(&[&common[..], &["1"], &hub, &failed].concat());
        let stderr = String::from_utf8_lossy(&again.stderr);
        assert!(again.status.success(), "{stderr}");
    }
    report
}

#[test]
fn every_scenario_from_end_to_end() {
    let report = play(&["--all"]);
    let played = report["scenarios"].as_array().into_iter().flatten();
    let played: BTreeSet<&str> = played
        .filter_map(|s| s["name"].as_str()?.split('[').next())
        .collect();
    let listed = json(&aid_hil(&["list", "--json"]));
    let listed = listed.as_array().into_iter().flatten();
    let listed: BTreeSet<&str> = listed.filter_map(|s| s["name"].as_str()).collect();
    assert_eq!(played, listed);
}

/// Each procedure of §4 once: the whole catalogue a second time would take minutes.
const THROUGH_THE_HUB: [&str; 18] = [
    "misbehaving-statuses",
    "onboarding",
    "onboarding-at-msp",
    "provisioning/provisioning",
    "login-by-code",
    "code-twice",
    "swap/swap",
    "withdraw-at-cmp",
    "withdraw-at-msp",
    "delete-by-msp",
    "delete-in-car",
    "delete-in-portal",
    "synchronisation",
    "subscription-update",
    "statuses-of-every-procedure",
    "suspended",
    "link-again",
    "misbehaving-code-calls",
];

// R-1.1-1, R-1.1-2: the same procedures with aid-hub between CMP and MSP, unchanged.
#[test]
fn procedures_pass_through_a_hub_unchanged() {
    let report = play(&[&["--hub"], &THROUGH_THE_HUB[..]].concat());
    let played = report["scenarios"].as_array().map_or(0, Vec::len);
    assert!(played >= THROUGH_THE_HUB.len(), "{report}");
}

#[test]
fn an_unknown_scenario_is_refused_by_name() {
    let output = aid_hil(&["scenario", "no-such-thing"]);
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("no-such-thing") && stderr.contains("withdraw-at-msp"),
        "{stderr}"
    );
    let output = aid_hil(&["run", "withdraw-at-mspp"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("did you mean withdraw-at-msp?"), "{stderr}");
    assert_eq!(aid_hil(&["scenario"]).status.code(), Some(2));
}

const WRONG: &str = r#"title = "a scenario whose expectation is wrong"
clause = "AID.02 §2"
steps = [
  { when = "Ada, who has linked nothing, logs in", do = "car.login", user = "ada" },
  { then = "her profile is enabled", see = "car.status", is = { phase = "active" }, within = "300 ms" },
]
"#;

#[test]
fn a_failure_says_what_was_expected_and_seen_and_how_to_repeat_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("wrong.toml");
    std::fs::write(&file, WRONG).expect("written");
    let file = file.display().to_string();
    let output = aid_hil(&["run", &file, "--json", "--seed", "5"]);
    assert_eq!(output.status.code(), Some(1));
    let report = json(&output);
    let case = &report["cases"][0];
    assert_eq!(case["verdict"], "fail");
    let failure = &case["failure"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    assert!(text(&failure["expected"]).contains("active"), "{failure}");
    assert!(text(&failure["expected"]).contains("line 5"), "{failure}");
    assert!(text(&failure["seen"]).contains("phase"), "{failure}");
    let repeat = text(&failure["repeat"]);
    assert!(
        repeat.contains("wrong") && repeat.contains("--seed 5"),
        "{repeat}"
    );
    // What really passed, with the secrets masked.
    let messages = case["messages"].as_array().expect("messages");
    let has = |from: &str, to: &str| messages.iter().any(|m| m["from"] == from && m["to"] == to);
    assert!(has("car-1", "cmp") && has("cmp", "car-1") && has("car-1", "card-1"));
    assert_eq!(report["seed"], 5);
    // All forms of the report, and the repetition of the run.
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (document, page, junit) = (at("r.json"), at("r.html"), at("r.xml"));
    aid_hil(&[
        "run", &file, "--seed", "5", "--report", &document, "--html", &page, "--junit", &junit,
    ]);
    for form in [&document, &page, &junit] {
        let text = std::fs::read_to_string(form).expect("written");
        assert!(
            text.contains("a scenario whose expectation is wrong") || form == &junit,
            "{form}"
        );
    }
    let again = aid_hil(&["replay", &document]);
    assert!(
        again.status.success(),
        "{}",
        String::from_utf8_lossy(&again.stderr)
    );
    let stderr = String::from_utf8_lossy(&output.stderr);
    for part in ["expected", "seen", "repeat"] {
        assert!(stderr.contains(part), "{stderr}");
    }
    // A mistake is named with its line.
    std::fs::write(&file, WRONG.replace("car.login", "car.logn")).expect("written");
    let output = aid_hil(&["run", &file]);
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("wrong.toml:4: ") && stderr.contains("did you mean \"car.login\"?"),
        "{stderr}"
    );
}

#[test]
fn a_device_says_what_it_lacks_and_what_it_can_not_play_is_skipped() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("device.toml");
    std::fs::write(&file, "name = \"no power\"\n").expect("written");
    let file = file.display().to_string();
    let output = aid_hil(&[
        "run",
        "power-cut-at-logout",
        "not-linked",
        "--dut",
        &file,
        "--json",
    ]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let report = json(&output);
    assert_eq!(report["subject"], "no power");
    assert_eq!(report["cases"][0]["verdict"], "skipped");
    assert!(
        report["cases"][0]["reason"]
            .as_str()
            .is_some_and(|r| r.contains("power")),
        "{report}"
    );
    assert_eq!(report["cases"][1]["verdict"], "pass");
    assert!(aid_hil(&["doctor"]).status.success());
    std::fs::write(
        &file,
        "name = \"far\"\n[agent]\nwhere = \"console\"\ndevice = \"/dev/no-such-tty\"\n",
    )
    .expect("written");
    let output = aid_hil(&["doctor", &file]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("MISSING") && said.contains("/dev/no-such-tty"),
        "{said}"
    );
}
