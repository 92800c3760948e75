//! A helper process: its standard streams do not block, its stderr goes to the log, its end is certain.

use crate::fd;
use crate::lines::Lines;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest line of a helper's stderr that is kept, bytes.
const MAX_LOG_LINE: usize = 1024;
/// How long a helper may take to end after its stdin was closed.
const FAREWELL: Duration = Duration::from_secs(1);

/// A running helper; ended when dropped.
#[derive(Debug)]
pub(super) struct Helper {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
}

fn no_block(fd: &impl AsFd) -> io::Result<()> {
    let flags = fcntl_getfl(fd)?;
    Ok(fcntl_setfl(fd, flags | OFlags::NONBLOCK)?)
}

impl Helper {
    /// Starts it in a process group of its own.
    pub(super) fn start(words: &[String]) -> io::Result<Self> {
        let (program, arguments) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(in_), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let helper = Self {
            child,
            stdin: Some(in_),
            stdout,
        };
        if let Some(stdin) = &helper.stdin {
            no_block(stdin)?;
        }
        no_block(&helper.stdout)?;
        let name = program.clone();
        std::thread::Builder::new()
            .name("helper-log".into())
            .spawn(move || keep_log(&name, stderr))?;
        Ok(helper)
    }

    pub(super) fn write(&self, line: &str, end: Instant) -> io::Result<()> {
        match &self.stdin {
            Some(stdin) => fd::write(stdin, line.as_bytes(), end),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// As [`fd::read`].
    pub(super) fn read(&self, end: Instant) -> io::Result<Option<Vec<u8>>> {
        fd::read(&self.stdout, end)
    }

    /// How it ended, when it has; a moment is given to it.
    pub(super) fn ending(&mut self) -> String {
        self.stdin = None;
        self.wait(FAREWELL);
        match self.child.try_wait() {
            Ok(Some(status)) => format!("the helper ended ({status})"),
            _ => "the helper closed its output".into(),
        }
    }

    /// Waits for its end, without collecting its status.
    fn wait(&self, limit: Duration) {
        let Some(pid) = self.pid() else { return };
        if let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) {
            // What follows ends it in any case.
            let _ = fd::ready(
                &process,
                rustix::event::PollFlags::IN,
                Instant::now() + limit,
            );
        }
    }

    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.child.id()).ok()?)
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.stdin = None;
        if matches!(self.child.try_wait(), Ok(None)) {
            self.wait(FAREWELL);
        }
        // Whatever it has started goes with it; the group is gone when all have ended.
        if let Some(group) = self.pid() {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// Lines of a helper's stderr, escaped, in the log.
fn keep_log(program: &str, mut stderr: ChildStderr) {
    let mut lines = Lines::new(MAX_LOG_LINE);
    let mut bytes = [0; 1024];
    loop {
        match io::Read::read(&mut stderr, &mut bytes) {
            Ok(0) => return,
            Ok(read) => lines.push(&bytes[..read], |line| {
                let line = line.unwrap_or("(a line that is too long)").escape_debug();
                tracing::info!(program, "helper: {line}");
            }),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}
