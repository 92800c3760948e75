//! A throw-away PostgreSQL from the machine's binaries: its own folder and port on loopback, gone with
//! the test. It refuses to run as root, so then it runs as `nobody`.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test; not every test uses everything"
)]

use aid_needs::Need;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// User and group that run it instead of root.
const NOBODY: u32 = 65534;

pub struct Postgres {
    folder: TempDir,
    binaries: PathBuf,
    port: u16,
    root: bool,
}

impl Postgres {
    /// Starts one; none, and a line that says so, where the machine has no PostgreSQL.
    pub fn start() -> Option<Self> {
        let Some(binaries) = binaries() else {
            aid_needs::missing(
                Need::Postgres,
                "there is no PostgreSQL: initdb is neither on the PATH nor in /usr/lib/postgresql/*/bin",
            );
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let root = std::fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0);
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        if root {
            chown(&data, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let mut server = Self {
            folder,
            binaries,
            port: 0,
            root,
        };
        let data = server.data();
        let made = server.run(
            "initdb",
            &[
                "-D", &data, "-U", "cmp", "-A", "trust", "-E", "UTF8", "--locale", "C", "-N",
            ],
        );
        assert!(made.status.success(), "{}", text(&made));
        // A port that is free now may be taken a moment later.
        for _ in 0..20 {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            server.port = free.local_addr().unwrap().port();
            drop(free);
            let options = format!(
                "-c listen_addresses=127.0.0.1 -c port={} -c unix_socket_directories='' \
                 -c max_connections=40 -c shared_buffers=16MB",
                server.port
            );
            let log = format!("{data}/log");
            let started = server.run(
                "pg_ctl",
                &[
                    "-D", &data, "-l", &log, "-o", &options, "-w", "-t", "120", "start",
                ],
            );
            if started.status.success() {
                return Some(server);
            }
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            assert!(
                log.contains("Address already in use"),
                "{}{log}",
                text(&started)
            );
        }
        panic!("no port is free for PostgreSQL");
    }

    pub fn url(&self) -> String {
        format!("postgres://cmp@127.0.0.1:{}/postgres", self.port)
    }

    fn data(&self) -> String {
        self.folder.path().join("data").to_str().unwrap().to_owned()
    }

    fn run(&self, program: &str, args: &[&str]) -> Output {
        let path = self.binaries.join(program);
        let mut command = if self.root {
            let mut command = Command::new("setpriv");
            let id = NOBODY.to_string();
            command
                .args(["--reuid", &id, "--regid", &id, "--clear-groups"])
                .arg(path);
            command
        } else {
            Command::new(path)
        };
        // The server keeps what it inherits: files, so that nobody waits for an open pipe.
        let out = tempfile::NamedTempFile::new().unwrap();
        let file = || out.reopen().unwrap();
        let status = command
            .args(args)
            .current_dir("/")
            .stdin(std::process::Stdio::null())
            .stdout(file())
            .stderr(file())
            .status()
            .unwrap();
        let said = std::fs::read(out.path()).unwrap_or_default();
        Output {
            status,
            stdout: said,
            stderr: Vec::new(),
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let data = self.data();
        let stopped = self.run("pg_ctl", &["-D", &data, "-m", "immediate", "-w", "stop"]);
        if !stopped.status.success() {
            eprintln!("PostgreSQL did not stop: {}", text(&stopped));
        }
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The folder of `initdb`.
fn binaries() -> Option<PathBuf> {
    let has = |folder: &Path| folder.join("initdb").is_file() && folder.join("pg_ctl").is_file();
    let path = std::env::var_os("PATH").unwrap_or_default();
    if let Some(folder) = std::env::split_paths(&path).find(|f| has(f)) {
        return Some(folder);
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found: Vec<PathBuf> = versions
        .filter_map(|v| Some(v.ok()?.path().join("bin")))
        .filter(|f| has(f))
        .collect();
    found.sort();
    found.pop()
}
