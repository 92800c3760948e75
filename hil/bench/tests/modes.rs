//! What every program makes is its owner's alone, whatever the umask: files 0600, folders 0700, and sockets with a mode that
//! is stated.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot set itself up has failed"
)]

use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Every file, folder and socket below a folder, with its mode.
fn walk(folder: &Path) -> BTreeMap<PathBuf, (std::fs::FileType, u32)> {
    let mut all = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            // A running program may remove a temporary file meanwhile.
            let Ok(meta) = std::fs::symlink_metadata(&path) else {
                continue;
            };
            if meta.is_dir() {
                folders.push(path.clone());
            }
            all.insert(path, (meta.file_type(), meta.permissions().mode() & 0o7777));
        }
    }
    all
}

/// Asserts that nothing below a folder is open to others, but for the agent's API; yields the names.
fn all_private(folder: &Path) -> Vec<String> {
    let all = walk(folder);
    for (path, (kind, mode)) in &all {
        let expected = match kind {
            kind if kind.is_dir() => 0o700,
            // Open on purpose: the agent judges each request by the user id of its sender.
            kind if kind.is_socket() && path.ends_with("agent.sock") => 0o666,
            kind if kind.is_symlink() => continue,
            _ => 0o600,
        };
        assert_eq!(*mode, expected, "{} is {mode:04o}", path.display());
    }
    let name = |path: &PathBuf| path.strip_prefix(folder).unwrap().display().to_string();
    all.keys().map(name).collect()
}

/// `aid-hil` under this umask.
fn aid_hil(umask: &str, dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\"")])
        .arg(env!("CARGO_BIN_EXE_aid-hil"))
        .args(args)
        .current_dir(dir)
        .stderr(Stdio::null());
    command
}

fn run(umask: &str, dir: &Path, args: &[&str]) {
    let mut child = aid_hil(umask, dir, args)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"a long password\n123456\n")
        .unwrap();
    assert!(child.wait().unwrap().success(), "{args:?}");
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a part, and waits for its readiness line.
fn start(umask: &str, dir: &Path, args: &[&str]) -> Running {
    let mut child = aid_hil(umask, dir, &[&["part"], args].concat())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    let running = Running(child);
    let ready: Value = serde_json::from_str(&line).expect("the readiness line");
    assert_eq!(ready["ready"], true, "{args:?}");
    running
}

/// All parts of a set-up, and a second card on a unix socket.
fn all_parts(umask: &str, dir: &Path) -> Vec<Running> {
    let socket = "card.sock";
    [
        &["euicc-sim", "serve", "--config", "euicc.toml"][..],
        &[
            "euicc-sim",
            "serve",
            "--nvm",
            "state/second.nvm",
            "--socket",
            socket,
        ],
        &["aid-smdp", "serve", "--config", "smdp.toml"],
        &["aid-msp", "serve", "--config", "msp.toml"],
        &["aid-cmp", "serve", "--config", "cmp.toml"],
        &["aid-agent", "run", "--config", "agent.toml"],
    ]
    .map(|args| start(umask, dir, args))
    .into()
}

#[test]
fn what_the_programs_make_is_private() {
    for umask in ["000", "022"] {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path();
        run(umask, top, &["init", "--dir", "site"]);
        let dir = top.join("site");
        for args in [
            &[
                "aid-cmp",
                "user",
                "add",
                "ada",
                "--password-stdin",
                "--pin-stdin",
                "--config",
                "cmp.toml",
            ][..],
            &[
                "aid-cmp",
                "gateway",
                "mosquitto",
                "--dir",
                "broker/deep",
                "--config",
                "cmp.toml",
            ],
            &["euicc-sim", "mint-pki", "--dir", "pki/other"],
            &["euicc-sim", "test-profile", "--out", "inventory/test.der"],
        ] {
            run(umask, &dir, &[&["part"], args].concat());
        }
        let made = all_private(top);
        for name in [
            "site/inventory/op.der",
            "site/pki/aid/ca.pem",
            "site/broker/deep/aid.acl",
            "site/cmp.toml",
        ] {
            assert!(made.iter().any(|m| m == name), "{name}: {made:?}");
        }

        let parts = all_parts(umask, &dir);
        let made = all_private(top);
        // Those of SQLite too, which the library makes.
        for name in [
            "state/cmp.sqlite",
            "state/cmp.sqlite-wal",
            "state/cmp.sqlite-shm",
            "state/msp.sqlite-wal",
            "state/smdp.sqlite-wal",
            "state/euicc.nvm",
            "state/second.nvm",
            "state/journal/lock",
            "agent.sock",
            "card.sock",
        ] {
            let name = format!("site/{name}");
            assert!(made.contains(&name), "{name}: {made:?}");
        }
        drop(parts);

        // A set-up of before: what is open is narrowed when the programs start.
        for path in walk(&dir.join("state")).into_keys() {
            let mode = if path.is_dir() { 0o755 } else { 0o644 };
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let parts = all_parts(umask, &dir);
        // The keys that the second card had minted beside its memory are read only: they are the operator's by now.
        let minted = dir.join("state/second.nvm.pki");
        for (path, (kind, mode)) in walk(&dir.join("state")) {
            if !path.starts_with(&minted) && !kind.is_symlink() {
                assert_eq!(mode & 0o077, 0, "{} is {mode:04o}", path.display());
            }
        }
        drop(parts);
    }
}

#[test]
fn what_the_demo_keeps_is_private() {
    for umask in ["000", "022"] {
        let folder = tempfile::tempdir().unwrap();
        run(
            umask,
            folder.path(),
            &["demo", "--json", "--keep", "kept/deep"],
        );
        let made = all_private(folder.path());
        for name in [
            "logs/aid-cmp.log",
            "state/cmp.sqlite",
            "state/euicc.nvm",
            "inventory/op.der",
            "cmp.toml",
        ] {
            let name = format!("kept/deep/{name}");
            assert!(made.contains(&name), "{name}: {made:?}");
        }
    }
}
