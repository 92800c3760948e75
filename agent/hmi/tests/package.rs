//! What the Debian package installs fits the program: the configuration, the unit and its paths.
#![allow(clippy::expect_used, reason = "a failed expectation is a failed test")]

use std::path::{Path, PathBuf};
use std::process::Command;

fn dist(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../dist")
        .join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(dist(name)).expect("read")
}

#[test]
fn the_installed_configuration_is_valid_and_its_paths_are_those_of_the_units() {
    let file = dist("hmi/hmi.toml");
    let output = Command::new(env!("CARGO_BIN_EXE_aid-hmi"))
        .args(["check-config", "--config"])
        .arg(&file)
        .output()
        .expect("runs");
    assert!(output.status.success(), "{output:?}");
    let (config, unit) = (read("hmi/hmi.toml"), read("aid-hmi.service"));
    assert!(unit.contains("aid-hmi run --config /etc/aid/hmi.toml"));
    assert!(unit.contains("RuntimeDirectory=aid-hmi\n"));
    assert!(config.contains("start_page = \"/run/aid-hmi/"));
    assert!(unit.contains("User=aid-hmi\n"));
    assert!(read("sysusers.d/aid-hmi.conf").contains("\nu aid-hmi "));
    let agent = read("agent.toml");
    assert!(agent.contains("api = \"/run/aid-agent/agent.sock\""));
    assert!(config.contains("agent = \"/run/aid-agent/agent.sock\""));
}
