//! Programs that are not ours (etcd, Patroni, the MQTT broker) as child processes: they end with this process, keep a
//! log, and can be killed with all that they have started.

use crate::leftovers::{self, LEASH};
use crate::process::spawn_at_gate;
use aid_cli::cli::Failure;
use aid_cli::private;
use rustix::process::{Pid, Signal, geteuid, kill_process};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// User and group that run what refuses to run as root: nobody.
pub(super) const NOBODY: u32 = 65_534;
/// Pause between two looks at something that has no event.
pub(super) const LOOK: Duration = Duration::from_millis(50);

/// Where a program is; Debian keeps servers away from the PATH of those who are not root.
pub(super) fn find(name: &str, package: &str) -> Result<PathBuf, Failure> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .ok_or_else(|| {
            Failure::new(format!(
                "{name} is not installed; Debian: apt-get install {package}"
            ))
        })
}

/// How to start one.
pub(super) struct Start<'a> {
    /// Name of its log.
    pub(super) name: &'a str,
    pub(super) program: &'a Path,
    pub(super) args: &'a [String],
    pub(super) env: &'a [(&'a str, &'a str)],
    /// Where it works.
    pub(super) dir: &'a Path,
    /// Its log, which is begun anew.
    pub(super) log: &'a Path,
    /// Whether it refuses to run as root.
    pub(super) never_root: bool,
}

/// A running program. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Foreign {
    child: Child,
}

impl Foreign {
    /// Starts it. Linux kills it when the thread ends that calls this, so call it on the main thread.
    pub(super) fn start(start: &Start<'_>) -> Result<Self, Failure> {
        let wrong = |e: std::io::Error| Failure::new(format!("cannot start {}: {e}", start.name));
        let open = leftovers::gate();
        let mut options = private::options();
        let log = options.create(true).write(true).truncate(true);
        let out = log.open(start.log).map_err(wrong)?;
        drop(open);
        let mut command = Command::new(find("setpriv", "util-linux")?);
        command.args(["--pdeathsig", "KILL"]);
        if start.never_root && geteuid().is_root() {
            let id = NOBODY.to_string();
            command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]);
        }
        command
            .arg(start.program)
            .args(start.args)
            .envs(start.env.iter().copied())
            .env(LEASH, "1")
            .current_dir(start.dir)
            .stdin(Stdio::null())
            .stdout(out.try_clone().map_err(wrong)?)
            .stderr(out);
        let child = spawn_at_gate(&mut command).map_err(wrong)?;
        Ok(Self { child })
    }

    /// Whether it has ended by itself.
    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The direct children of a process.
pub(super) fn children(of: i32) -> Vec<i32> {
    let file = format!("/proc/{of}/task/{of}/children");
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

/// Sends a signal; whoever is gone gets none.
pub(super) fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, signal);
    }
}

/// Whether a process is there. A zombie holds nothing any more.
pub(super) fn lives(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z"))
}
