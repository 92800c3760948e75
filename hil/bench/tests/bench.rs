//! Suites of the bench that are quick when they measure little: what they print, not how fast it was.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set itself up has failed"
)]

use serde_json::Value;
use std::process::Command;

/// Runs suites, and yields what they print as JSON.
fn bench(arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_aid-hil"))
        .args(["bench", "--json"])
        .args(arguments)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn activation_codes_are_measured_beside_bare_servers() {
    let json = bench(&["aid1", "--requests", "100", "--connections", "4"]);
    let found = &json["aid1"]["4"];
    assert_eq!(found["requests"], 100);
    assert_eq!(found["connections"], 4);
    assert_eq!(found["unlimited"], true);
    for value in [
        &found["cmp"]["per_second"],
        &found["keeping"]["per_second"],
        &found["bare"]["per_second"],
        &found["rate_ratio"],
        &found["bare_ratio"],
        &found["login"]["login"]["median_ms"],
        &found["login"]["code"]["p99_ms"],
    ] {
        assert!(value.as_f64().unwrap() > 0.0, "{found}");
    }
    // Three transactions of the CMP lie between, so it can't be less than its parts.
    let whole = &found["login"]["login_to_code"]["median_ms"];
    assert!(whole.as_f64() > found["login"]["login"]["median_ms"].as_f64());
}

#[test]
fn handshakes_cost_both_sides_time() {
    let json = bench(&["handshakes", "--requests", "100"]);
    let found = &json["handshakes"];
    assert_eq!(found["handshakes"], 100);
    for value in ["per_second", "gateway_us", "clients_us"] {
        assert!(found[value].as_f64().unwrap() > 0.0, "{found}");
    }
}

#[test]
fn lines_are_those_of_linked_crates() {
    let json = bench(&["size"]);
    let crates = json["size"]["crates"].as_object().unwrap();
    for linked in [
        "aid-cmp",
        "aid-cmp-core",
        "aid-msp",
        "aid-smdp",
        "aid-store",
    ] {
        assert!(crates[linked].as_u64().unwrap() > 0, "{linked}");
    }
    // Only tests of the servers need it.
    assert!(!crates.contains_key("aid-needs"));
    let sum: u64 = crates.values().filter_map(Value::as_u64).sum();
    assert_eq!(json["size"]["lines"], sum);
}
