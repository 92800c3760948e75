//! What the Debian package installs fits the programs: the configuration, the unit and its paths.
#![allow(clippy::expect_used, reason = "a failed expectation is a failed test")]

use aid_agent::config::Config;
use std::path::{Path, PathBuf};
use std::process::Command;

const UNIT: &str = include_str!("../dist/aid-agent.service");

fn dist(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("dist")
        .join(name)
}

#[test]
fn the_installed_configuration_is_valid_and_its_paths_are_those_of_the_unit() {
    // The package's programs are built with D-Bus; those of this test may be not.
    let text = std::fs::read_to_string(dist("agent.toml")).expect("read");
    assert!(text.contains("\ndbus = \"system\""));
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("agent.toml");
    let text = match cfg!(feature = "dbus") {
        true => text,
        false => text.replace("\ndbus = \"system\"", "\n#"),
    };
    std::fs::write(&file, text).expect("write");
    let config = Config::load(&file).expect("valid");
    // The folders that the unit makes, for the user that it makes.
    assert!(UNIT.contains("StateDirectory=aid-agent\n"));
    assert!(config.journal.starts_with("/var/lib/aid-agent"));
    assert!(UNIT.contains("RuntimeDirectory=aid-agent\n"));
    assert_eq!(config.api, Path::new("/run/aid-agent/agent.sock"));
    let mut etc = std::iter::once(&config.cmp.ca).chain(&config.rsp.ci);
    assert!(etc.all(|path| path.starts_with("/etc/aid")));
    // What the agent renews is where it may write.
    let aid_agent::keys::KeyName::File(key) = &config.cmp.key else {
        panic!("{}", config.cmp.key);
    };
    assert!(
        [&config.cmp.cert, key]
            .iter()
            .all(|path| path.starts_with("/var/lib/aid-agent"))
    );
    let user = std::fs::read_to_string(dist("sysusers.d/aid-agent.conf")).expect("read");
    assert!(UNIT.contains("User=aid-agent\n") && user.contains("\nu aid-agent "));
    // A readable key would be refused at the start.
    assert!(UNIT.contains("aid-agent check-config --no-dates --config /etc/aid/agent.toml"));
}

#[test]
fn the_programs_look_where_the_package_puts_things() {
    let output = Command::new(env!("CARGO_BIN_EXE_aid-agent"))
        .args(["run", "--help"])
        .output();
    let help = String::from_utf8(output.expect("runs").stdout).expect("text");
    assert!(help.contains("or /etc/aid/agent.toml"), "{help}");
    let output = Command::new(env!("CARGO_BIN_EXE_aidctl"))
        .arg("--help")
        .output();
    let help = String::from_utf8(output.expect("runs").stdout).expect("text");
    assert!(help.contains("/run/aid-agent/agent.sock"), "{help}");
}

/// Exposure of the unit, tenths, as `systemd-analyze security` counts it: 20 is 2.0.
const MOST_EXPOSED: &str = "20";

#[test]
fn systemd_finds_the_units_hardened() {
    let analyze = |file: &Path, most: &str| {
        Command::new("systemd-analyze")
            .args([
                "security",
                "--offline=true",
                "--no-pager",
                "--threshold",
                most,
            ])
            .arg(file)
            .output()
    };
    for unit in ["aid-agent.service", "aid-hmi.service"] {
        let Ok(output) = analyze(&dist(unit), MOST_EXPOSED) else {
            return aid_needs::missing(
                aid_needs::Need::Systemd,
                "systemd-analyze is not installed",
            );
        };
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{unit}: {text}");
    }
    // It does judge: a unit without any of it is refused.
    let folder = tempfile::tempdir().expect("folder");
    let bare = folder.path().join("bare.service");
    std::fs::write(&bare, "[Service]\nExecStart=/usr/bin/aid-agent run\n").expect("write");
    let output = analyze(&bare, MOST_EXPOSED).expect("runs");
    assert!(!output.status.success());
}
