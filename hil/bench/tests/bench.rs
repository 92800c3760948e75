//! Suites of the bench that are quick when they measure little: what they print, not how fast it was.

use serde_json::Value;
use std::process::Command;

#[test]
fn activation_codes_are_measured_beside_a_bare_server() {
    let output = Command::new(env!("CARGO_BIN_EXE_aid-hil"))
        .args(["bench", "aid1", "--json", "--requests", "100"])
        .args(["--connections", "4"])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = &json["aid1"];
    assert_eq!(found["requests"], 100);
    assert_eq!(found["connections"], 4);
    assert_eq!(found["unlimited"], true);
    for value in [
        &found["cmp"]["per_second"],
        &found["bare"]["per_second"],
        &found["rate_ratio"],
        &found["login"]["login"]["median_ms"],
        &found["login"]["code"]["p99_ms"],
    ] {
        assert!(value.as_f64().unwrap() > 0.0, "{found}");
    }
    // Three transactions of the CMP lie between, so it can't be less than its parts.
    let whole = &found["login"]["login_to_code"]["median_ms"];
    assert!(whole.as_f64() > found["login"]["login"]["median_ms"].as_f64());
}
