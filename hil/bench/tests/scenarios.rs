//! Every procedure of AID.02 §4 from end to end with the real programs, as `aid-hil scenario` plays it.
#![allow(clippy::expect_used, reason = "a failed expectation is a failed test")]

use serde_json::Value;
use std::process::{Command, Output};

fn aid_hil(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aid-hil"))
        .args(args)
        .output()
        .expect("aid-hil starts")
}

// R-2-1 R-2-4 R-2-9 R-2-10 R-2-11 R-4.1-15 R-4.1-19 R-4.1-20 R-4.3-4 R-4.3-8 R-4.3-10 R-4.3-11
// R-4.3-12 R-4.3-13 R-4.3-14 R-4.3-15 R-4.3.1-2 R-4.3.1-4 R-4.3.1-5 R-4.3.1-13 R-4.3.1-16 R-4.3.1-18
// R-4.4.1-3 R-4.4.1-5 R-4.4.1-9 R-4.4.1-10 R-4.4.1-12 R-4.4.1-15 R-4.4.2-1 R-4.4.2-3 R-4.4.2-6
// R-4.5-2 R-4.5-4 R-4.5-5 R-4.5-7 R-4.5-8 R-4.7-2 R-4.7-3 R-4.7-4 R-4.8-2 R-4.8-3 R-A.3-2 R-A.3-5
// R-4.3.1-17 R-4.6-4 R-7.4-6 R-7.5-2 R-7.5-6 R-7.5-7 R-7.5-9 R-7.7.2.1-2 R-7.7.2.1-4 R-7.7.2.1-6
// R-7.7.2.1-7 R-7.8-5 R-7.9-4 R-A.4-1 R-A.4-3 R-A.4-4 R-2-5 R-2-7 R-2-8 R-3.2-1 R-3.2-7 R-3.2-8 R-4.3-16 R-A.1-2 R-A.2-1
#[test]
fn every_procedure_from_end_to_end() {
    let output = aid_hil(&["scenario", "--all", "--json", "--jobs", "2"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!(report["ok"], true);
    let listed = aid_hil(&["scenario", "--list", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).expect("a JSON array");
    let count = listed.as_array().map(Vec::len);
    assert_eq!(report["scenarios"].as_array().map(Vec::len), count);
    assert!(count >= Some(15), "{listed}");
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
    assert_eq!(aid_hil(&["scenario"]).status.code(), Some(2));
}
