//! The servers as packages: what is staged for them fits the programs, their units are hardened, and each says to systemd
//! when it serves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const SERVERS: [(&str, &str); 4] = [
    ("aid-cmp", "cmp"),
    ("aid-hub", "hub"),
    ("aid-msp", "msp"),
    ("aid-smdp", "smdp"),
];

/// Exposure of a unit, tenths, as `systemd-analyze security` counts it: 20 is 2.0.
const MOST_EXPOSED: &str = "20";

/// Stages everything but the program itself, as the package script does.
fn stage(program: &str, dir: &Path) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cmp-link/dist/stage.sh");
    let binary = format!("{} part {program}", env!("CARGO_BIN_EXE_aid-hil"));
    let output = Command::new(script)
        .args([program, &binary])
        .arg(dir)
        .output()
        .unwrap();
    assert!(output.status.success(), "{program}: {output:?}");
}

#[test]
fn what_is_staged_fits_the_program() {
    let folder = tempfile::tempdir().unwrap();
    for (program, name) in SERVERS {
        let dir = folder.path().join(program);
        stage(program, &dir);
        let read = |file: &str| std::fs::read_to_string(dir.join(file)).unwrap();
        let unit = read(&format!("{program}.service"));
        assert!(
            !unit.contains('@') || unit.contains("@system-service"),
            "{unit}"
        );
        for line in [
            format!("ConditionPathExists=/etc/aid/{name}.toml"),
            format!("ExecStart=/usr/bin/{program} serve --config /etc/aid/{name}.toml"),
            format!("StateDirectory={program}"),
            format!("User={program}"),
        ] {
            assert!(unit.lines().any(|l| l == line), "{program}: {line}");
        }
        assert!(read(&format!("{program}.conf")).contains(&format!("\nu {program} ")));
        // Whatever a server writes is in the folder that its unit makes.
        let example: toml::Table = read(&format!("{name}.example.toml")).parse().unwrap();
        for key in ["database", "inventory"] {
            if let Some(path) = example.get(key) {
                let path = path.as_str().unwrap();
                assert!(
                    path.starts_with(&format!("/var/lib/{program}/")),
                    "{program}: {key} = {path}"
                );
            }
        }
        assert!(example.contains_key("database"), "{program}");
        assert!(
            dir.join(format!("man/{program}.1.gz")).exists(),
            "{program}"
        );
        assert!(dir.join(format!("completions/zsh/_{program}")).exists());
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cmp-link/dist/stage.sh");
    let output = Command::new(script)
        .args(["aid-agent", "true"])
        .arg(folder.path().join("other"))
        .output()
        .unwrap();
    assert!(
        !output.status.success(),
        "the agent has a package of its own"
    );
}

#[test]
fn the_units_of_the_servers_are_hardened() {
    let folder = tempfile::tempdir().unwrap();
    for (program, _) in SERVERS {
        stage(program, folder.path());
        let analyzed = Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--no-pager", "--threshold"])
            .arg(MOST_EXPOSED)
            .arg(folder.path().join(format!("{program}.service")))
            .output();
        let Ok(output) = analyzed else {
            return aid_needs::missing(
                aid_needs::Need::Systemd,
                "systemd-analyze is not installed",
            );
        };
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{program}: {text}");
    }
}

/// A server that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn each_server_notifies_systemd_once_it_serves() {
    let folder = tempfile::tempdir().unwrap();
    let site = folder.path().join("site");
    let output = Command::new(env!("CARGO_BIN_EXE_aid-hil"))
        .args(["init", "--hub", "--dir"])
        .arg(&site)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    for (program, name) in SERVERS {
        let path = folder.path().join(format!("{program}.sock"));
        let socket = UnixDatagram::bind(&path).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(120)))
            .unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_aid-hil"))
            .args(["part", program, "serve", "--config"])
            .arg(site.join(format!("{name}.toml")))
            .env("NOTIFY_SOCKET", &path)
            // A supervisor reads neither; readiness does not depend on it.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let _server = Running(child.unwrap());
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).expect(program);
        assert_eq!(&buffer[..length], b"READY=1\n", "{program}");
    }
}
