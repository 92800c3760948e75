//! A test that lacks something, run as a process of its own with and without `AID_REQUIRE`.
#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use std::process::{Command, Output};

/// What the child process below looks for.
const NOWHERE: &str = "no/such/file";
const CHILD: &str = "AID_NEEDS_CHILD";

/// Not a test by itself: lacks a file when it is started by the test below.
#[test]
fn lacks_something() {
    if std::env::var_os(CHILD).is_some() {
        assert!(aid_needs::shared_text(NOWHERE).is_none());
    }
}

fn child(required: Option<&str>) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "lacks_something", "--nocapture"])
        .env(CHILD, "1")
        .env_remove(aid_needs::REQUIRE);
    if let Some(required) = required {
        command.env(aid_needs::REQUIRE, required);
    }
    command.output().unwrap()
}

#[test]
fn a_skipped_test_passes_unless_its_need_is_required() {
    for required in [None, Some("postgres,mosquitto,openssl")] {
        let output = child(required);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        assert!(
            stderr.contains("skipped: ") && stderr.contains(NOWHERE),
            "{stderr}"
        );
    }
    for required in ["shared", "postgres,shared", "everything"] {
        let output = child(Some(required));
        assert!(!output.status.success(), "{required}: {output:?}");
    }
}
