//! A throw-away PostgreSQL from the machine's binaries: its own folder and port on loopback, gone with
//! the test. It refuses to run as root, so then it runs as `nobody`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot set its server up has failed"
)]

use crate::{Need, missing};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// User and group that run it instead of root.
const NOBODY: u32 = 65534;

/// A server of PostgreSQL with an empty database `postgres`; stopped and removed when it is dropped.
#[derive(Debug)]
pub struct Postgres {
    folder: TempDir,
    binaries: PathBuf,
    port: u16,
    root: bool,
    /// Settings of the server, each as `name=value`.
    settings: &'static [&'static str],
}

impl Postgres {
    /// Makes and starts one; none, and a line that says so, where the machine has no PostgreSQL.
    ///
    /// # Panics
    /// As [`missing`], or it does not start.
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// As [`Postgres::start`], with these settings, each as `name=value`.
    ///
    /// # Panics
    /// As [`missing`], or it does not start.
    #[must_use]
    pub fn start_with(settings: &'static [&'static str]) -> Option<Self> {
        let Some(binaries) = binaries() else {
            missing(
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
            settings,
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
            match server.try_start() {
                Ok(()) => return Some(server),
                Err(said) => assert!(said.contains("Address already in use"), "{said}"),
            }
        }
        panic!("no port is free for PostgreSQL");
    }

    /// Starts it, and waits until it serves.
    fn try_start(&self) -> Result<(), String> {
        let data = self.data();
        let mut options = format!(
            "-c listen_addresses=127.0.0.1 -c port={} -c unix_socket_directories='' \
             -c max_connections=100 -c shared_buffers=16MB",
            self.port
        );
        for setting in self.settings {
            options.push_str(&format!(" -c {setting}"));
        }
        let log = format!("{data}/log");
        let started = self.run(
            "pg_ctl",
            &[
                "-D", &data, "-l", &log, "-o", &options, "-w", "-t", "120", "start",
            ],
        );
        if started.status.success() {
            return Ok(());
        }
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        Err(format!("{}{log}", text(&started)))
    }

    /// Starts it again after [`Postgres::stop`] or [`Postgres::kill`], on the same port.
    ///
    /// # Panics
    /// It does not start.
    pub fn start_again(&self) {
        if let Err(said) = self.try_start() {
            panic!("{said}");
        }
    }

    /// Stops it at once, as a crash does: connections are cut, and the next start recovers.
    ///
    /// # Panics
    /// It does not stop.
    pub fn stop(&self) {
        let data = self.data();
        let stopped = self.run("pg_ctl", &["-D", &data, "-m", "immediate", "-w", "stop"]);
        assert!(stopped.status.success(), "{}", text(&stopped));
    }

    /// Lets it answer nobody new: its main process is stopped, those of connections go on.
    ///
    /// # Panics
    /// It does not run.
    pub fn pause(&self) {
        assert!(self.signal("-STOP"), "PostgreSQL does not run");
    }

    /// Ends [`Postgres::pause`].
    ///
    /// # Panics
    /// It does not run.
    pub fn resume(&self) {
        assert!(self.signal("-CONT"), "PostgreSQL does not run");
    }

    /// The number of its main process.
    fn process(&self) -> String {
        let file = format!("{}/postmaster.pid", self.data());
        let content = std::fs::read_to_string(file).unwrap_or_default();
        content.lines().next().unwrap_or_default().to_owned()
    }

    fn signal(&self, signal: &str) -> bool {
        let mut kill = Command::new("kill");
        let done = kill.args([signal, &self.process()]).output();
        done.is_ok_and(|done| done.status.success())
    }

    /// Kills its main process (SIGKILL) and waits until the others have noticed.
    ///
    /// # Panics
    /// It does not run.
    pub fn kill(&self) {
        let process = self.process();
        let children = format!("/proc/{process}/task/{process}/children");
        let children = std::fs::read_to_string(children).unwrap_or_default();
        assert!(self.signal("-9"), "PostgreSQL does not run");
        for child in children.split_whitespace() {
            // It may have noticed by itself.
            let _ = Command::new("kill").args(["-9", child]).output();
        }
        let deadline = Instant::now() + Duration::from_secs(60);
        for process in children.split_whitespace().chain([process.as_str()]) {
            // A zombie holds nothing any more.
            let lives = || {
                let stat = std::fs::read_to_string(format!("/proc/{process}/stat"));
                stat.is_ok_and(|stat| !stat.contains(") Z"))
            };
            while lives() {
                assert!(Instant::now() < deadline, "{process} does not end");
                std::thread::yield_now();
            }
        }
        // Where nobody collects orphans, the next start would take the dead process for a running server.
        let _ = std::fs::remove_file(format!("{}/postmaster.pid", self.data()));
    }

    /// How a store names it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://cmp@127.0.0.1:{}/postgres", self.port)
    }

    /// What the server has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(format!("{}/log", self.data())).unwrap_or_default()
    }

    /// Processor time of all its processes so far, those that have ended included; in steps of 10 ms.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        let main = self.process();
        let children = format!("/proc/{main}/task/{main}/children");
        let children = std::fs::read_to_string(children).unwrap_or_default();
        let processes = children.split_whitespace().chain([main.as_str()]);
        let ticks = processes.map(|process| {
            let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
            // The name in parentheses may have spaces; fields 14 to 17 of all: its own time, and that of children
            // that have ended.
            let (_, rest) = stat.rsplit_once(')').unwrap_or_default();
            let times = rest.split_whitespace().skip(11).take(4);
            times
                .filter_map(|time| time.parse::<u64>().ok())
                .sum::<u64>()
        });
        Duration::from_millis(ticks.sum::<u64>() * 10)
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
        // One that a test has stopped already stays as it is.
        if Path::new(&data).join("postmaster.pid").exists() {
            self.signal("-CONT");
            self.run("pg_ctl", &["-D", &data, "-m", "immediate", "-w", "stop"]);
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
