//! `aid-hil judge` on our own CMP and MSP, as real programs over loopback: no failure, and every broken variant is found.
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

fn init(folder: &Path) -> String {
    init_with(folder, &[])
}

fn init_with(folder: &Path, options: &[&str]) -> String {
    let dir = folder.join("site").display().to_string();
    let done = hil(&[&["init", "--dir", &dir][..], options].concat());
    assert!(done.status.success(), "{done:?}");
    dir
}

/// The verdict of each test.
fn verdicts(report: &Value) -> BTreeMap<&str, &str> {
    let cases = report["cases"].as_array().unwrap().iter();
    cases
        .filter_map(|case| Some((case["name"].as_str()?, case["verdict"].as_str()?)))
        .collect()
}

// R-1.1-1, R-1.1-2: a hub between the judge and the system under test changes no verdict.
fn judged_through_a_hub(kind: &str, directly: &Value) {
    let folder = tempfile::tempdir().unwrap();
    let target = format!(
        "{}/{kind}-target.toml",
        init_with(folder.path(), &["--hub"])
    );
    let done = hil(&["judge", kind, "--target", &target, "--seed", "7", "--json"]);
    let report: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(verdicts(&report), verdicts(directly));
}

/// Judges our own program: no failure, and hardly anything that can't be said.
fn judged(kind: &str, least: usize) {
    let folder = tempfile::tempdir().unwrap();
    let target = format!("{}/{kind}-target.toml", init(folder.path()));
    let done = hil(&["judge", kind, "--target", &target, "--seed", "7", "--json"]);
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
    assert!(of("pass").len() >= least, "{:#?}", of("skipped"));
    assert!(done.status.success());
    judged_through_a_hub(kind, &report);
    // No secret of the set-up is in the report.
    let text = String::from_utf8(done.stdout).unwrap();
    let file = std::fs::read_to_string(&target).unwrap();
    let file: toml::Table = file.parse().unwrap();
    for key in ["account_id_secret", "phone_key"] {
        let secret = file[kind][key].as_str().unwrap();
        assert!(!text.contains(secret), "{key}");
    }
    assert!(!text.contains(file[kind]["judge"]["api_key"].as_str().unwrap()));
}

#[test]
fn our_cmp_is_judged_without_a_failure() {
    judged("cmp", 70);
}

#[test]
fn our_msp_is_judged_without_a_failure() {
    judged("msp", 50);
}

/// Each broken variant is found by the test that is named for it, and unusual habits are not.
fn self_test(kind: &str) {
    let folder = tempfile::tempdir().unwrap();
    let target = format!("{}/{kind}-target.toml", init(folder.path()));
    let done = hil(&["judge", kind, "--target", &target, "--self-test"]);
    let text = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{text}");
    assert!(
        text.lines()
            .filter(|line| line.starts_with("found"))
            .count()
            >= 8,
        "{text}"
    );
    assert!(text.lines().any(|line| line.starts_with("quiet")), "{text}");
}

#[test]
fn broken_cmps_are_found() {
    self_test("cmp");
}

#[test]
fn broken_msps_are_found() {
    self_test("msp");
}

#[test]
fn mistakes_are_those_of_usage() {
    let folder = tempfile::tempdir().unwrap();
    let target = format!("{}/cmp-target.toml", init(folder.path()));
    let wrong = folder.path().join("wrong.toml");
    let text = std::fs::read_to_string(&target).unwrap();
    std::fs::write(&wrong, text.replacen("[cmp]", "[cmp]\ncolour = 1", 1)).unwrap();
    let wrong = wrong.display().to_string();
    for (args, says) in [
        (vec!["judge", "toaster", "--target", &target], "toaster"),
        (vec!["judge", "cmp", "R-0-0", "--target", &target], "R-0-0"),
        (vec!["judge", "msp", "--target", &target], "[cmp]"),
        (vec!["judge", "cmp", "--target", &wrong], "line 1"),
        (vec!["judge", "cmp"], "--target"),
    ] {
        let done = hil(&args);
        let error = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(2), "{args:?}: {error}");
        assert!(error.contains(says), "{says}: {error}");
    }
    // A dry run contacts nobody.
    let done = hil(&["judge", "cmp", "--target", &target, "--dry-run"]);
    assert!(done.status.success());
    assert!(
        !Path::new(&format!(
            "{}/site/state/cmp.sqlite",
            folder.path().display()
        ))
        .exists()
    );
    // Nobody is there: nothing can be judged, and that is no success.
    let absent = text_without_start(&target);
    let file = folder.path().join("site/absent.toml").display().to_string();
    std::fs::write(&file, absent).unwrap();
    let done = hil(&["judge", "cmp", "R-7.4-5", "--target", &file]);
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    assert!(String::from_utf8_lossy(&done.stderr).contains("nothing could be judged"));
}

fn text_without_start(target: &str) -> String {
    let text = std::fs::read_to_string(target).unwrap();
    let (head, _) = text.split_once("[[cmp.start]]").unwrap();
    head.to_owned()
}
