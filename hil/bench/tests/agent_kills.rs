//! The real daemon is killed 200 times at random moments of logins, downloads and deletions, with card, gateway, CMP, MSP and
//! SM-DP+ running: no report is lost or doubled. `aid-hil kills` makes more of them, docs/POWER.md cuts the power too.
#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use serde_json::Value;
use std::process::Command;

// R-7.8-4
#[test]
fn two_hundred_kills_lose_and_double_no_report() {
    let output = Command::new(env!("CARGO_BIN_EXE_aid-hil"))
        .args(["--log", "error", "kills", "--kills", "200", "--json"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["kills"], 200);
    let books = &found["books"];
    let count = |what: &str| books[what].as_u64().unwrap();
    // There was something to lose.
    assert!(count("profiles") >= 3, "{found}");
    assert!(count("operations") >= 20, "{found}");
    assert_eq!(count("operations"), count("reports"), "{found}");
}
