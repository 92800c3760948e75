//! One part as a child process: started with its readiness line awaited, its log kept, stopped kindly.

use crate::leftovers::{self, LEASH};
use aid_cli::cli::{self, Failure};
use aid_cli::printable::printable;
use aid_cli::private;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{OnceLock, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

/// Longest wait for a part to say that it is ready, or to end.
const PATIENCE: Duration = Duration::from_secs(20);
/// The same under callgrind.
const PATIENCE_COUNTED: Duration = Duration::from_secs(120);

/// How to run a part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spawn<'a> {
    /// Program name.
    pub(crate) program: &'static str,
    /// What tells it from another of the same program, in the name of its log.
    pub(crate) suffix: &'a str,
    /// Subcommand and options.
    pub(crate) args: &'a [&'a str],
    /// Directory of the set-up; its configuration files are found by relative name.
    pub(crate) dir: &'a Path,
    /// Log filter.
    pub(crate) log: &'a str,
    /// Does it show every message, and do we pass that on to our stderr?
    pub(crate) trace: bool,
    /// Does it run under callgrind, which counts instructions when [`Part::count`] says so?
    pub(crate) counted: bool,
}

/// What reads a part's log while it is written.
pub(crate) type Tap = Box<dyn Fn(&str) + Send>;

/// What is special about a part.
#[derive(Default)]
pub(crate) struct Extras {
    /// Variables of its environment.
    pub(crate) environment: Vec<(String, std::ffi::OsString)>,
    /// Gets each line of its log; every message is traced into it then.
    pub(crate) tap: Option<Tap>,
}

/// A running part. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct Part {
    program: &'static str,
    child: Child,
    log: PathBuf,
    stderr: Option<JoinHandle<Option<String>>>,
    /// The last sentence that it said about itself, when it has ended.
    sentence: Option<String>,
    /// Where it listens, by name, as it said itself.
    listen: Value,
}

/// The command that runs a part with our own executable.
pub(crate) fn command(program: &str, args: &[&str], dir: &Path) -> Result<Command, Failure> {
    Ok(with_arguments(Command::new(own()?), program, args, dir))
}

/// The same under callgrind, which writes `logs/<program>.callgrind` when the part ends.
fn counted_command(program: &str, args: &[&str], dir: &Path) -> Result<Command, Failure> {
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args([
            "--tool=callgrind",
            "--instr-atstart=no",
            "--log-file=/dev/null",
        ])
        .arg(format!("--callgrind-out-file=logs/{program}.callgrind"))
        .arg(own()?);
    Ok(with_arguments(valgrind, program, args, dir))
}

fn own() -> Result<PathBuf, Failure> {
    std::env::current_exe()
        .map_err(|e| Failure::new(format!("cannot find our own executable: {e}")))
}

/// Executables that run in place of the parts in our own, by program name.
static OTHERS: OnceLock<Vec<(String, PathBuf)>> = OnceLock::new();

/// Parts of this name are this executable from now on: another version of the program. Once in a run.
pub(crate) fn replace(others: &[(String, PathBuf)]) -> Result<(), Failure> {
    for (program, file) in others {
        if !file.is_file() {
            let file = file.display();
            return Err(Failure::usage(format!(
                "{program}: there is no file {file}"
            )));
        }
    }
    let _ = OTHERS.set(others.to_vec());
    Ok(())
}

fn with_arguments(mut command: Command, program: &str, args: &[&str], dir: &Path) -> Command {
    let mut others = OTHERS.get().into_iter().flatten();
    match others.find(|(name, _)| name == program) {
        Some((_, file)) => command = Command::new(file),
        None => {
            command.arg("part").arg(program);
        }
    }
    command.args(args).current_dir(dir).stdin(Stdio::null());
    command
}

/// Processor time of this process's threads so far.
pub(crate) fn own_cpu() -> Duration {
    cpu_of(std::process::id())
}

pub(crate) fn cpu_of(process: u32) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task"));
    let nanoseconds = tasks.into_iter().flatten().flatten().filter_map(|task| {
        let account = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        account.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanoseconds.sum())
}

/// Starts a process, unless the run is being ended.
pub(crate) fn spawn_at_gate(command: &mut Command) -> std::io::Result<Child> {
    let _open = leftovers::gate();
    command.spawn()
}

impl Part {
    /// Starts a part and waits until it says that it is ready.
    pub(crate) fn start(spawn: Spawn<'_>) -> Result<Self, Failure> {
        Self::start_with(spawn, Extras::default())
    }

    /// The same with something special about it.
    pub(crate) fn start_with(spawn: Spawn<'_>, extras: Extras) -> Result<Self, Failure> {
        let Spawn {
            program,
            suffix,
            args,
            dir,
            log: filter,
            trace,
            counted,
        } = spawn;
        let log = dir.join(format!("logs/{program}{suffix}.log"));
        let file = private::options()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(|e| Failure::new(format!("cannot write {}: {e}", log.display())))?;
        let (mut command, patience) = if counted {
            (counted_command(program, args, dir)?, PATIENCE_COUNTED)
        } else {
            (command(program, args, dir)?, PATIENCE)
        };
        command
            .env("AID_LOG", filter)
            .env(
                "AID_TRACE",
                if trace || extras.tap.is_some() {
                    "1"
                } else {
                    "0"
                },
            )
            .envs(extras.environment)
            .env(LEASH, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = spawn_at_gate(&mut command)
            .map_err(|e| Failure::new(format!("cannot start {program}: {e}")))?;
        let stderr = child.stderr.take().map(|pipe| {
            let tap = extras.tap;
            std::thread::spawn(move || {
                keep_log(BufReader::new(pipe), file, program, trace, tap.as_ref())
            })
        });
        let (tell, told) = mpsc::channel();
        if let Some(pipe) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    let _ = tell.send(line);
                }
            });
        }
        let mut part = Self {
            program,
            child,
            log,
            stderr,
            sentence: None,
            listen: Value::Null,
        };
        match told.recv_timeout(patience) {
            Ok(line) => match ready(&line, program) {
                Some(listen) => {
                    part.listen = listen;
                    Ok(part)
                }
                None => Err(part.failed(&format!("said {line:?} instead of being ready"))),
            },
            Err(mpsc::RecvTimeoutError::Timeout) => {
                Err(part.failed(&format!("is not ready after {} s", patience.as_secs())))
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => Err(part.failed("ended at once")),
        }
    }

    /// The address of one of its listeners.
    pub(crate) fn address(&self, name: &str) -> Option<&str> {
        self.listen[name].as_str()
    }

    /// Why it did not start: its own last sentence, where it said one.
    fn failed(&mut self, what: &str) -> Failure {
        self.stop();
        let program = self.program;
        match self.sentence.take() {
            Some(sentence) => Failure::new(sentence),
            None => Failure::new(format!(
                "{program} {what}; its log is {}",
                self.log.display()
            )),
        }
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Processor time of its threads so far; zero where the kernel keeps no account.
    pub(crate) fn cpu(&self) -> Duration {
        cpu_of(self.child.id())
    }

    /// Begins or ends counting instructions in a part that runs under callgrind.
    pub(crate) fn count(&self, on: bool) -> Result<(), Failure> {
        let state = if on { "on" } else { "off" };
        let pid = self.child.id().to_string();
        let run = Command::new("callgrind_control")
            .args(["-i", state, &pid])
            .output();
        let failed = |why: &str| {
            let program = self.program;
            Failure::new(format!(
                "cannot count instructions in {program}: {why}; is valgrind installed?"
            ))
        };
        let output = run.map_err(|e| failed(&e.to_string()))?;
        if output.status.success() {
            Ok(())
        } else {
            Err(failed(&String::from_utf8_lossy(&output.stderr)))
        }
    }

    /// Resident memory, bytes; zero where the kernel does not tell.
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|l| l.trim().split(' ').next()?.parse::<u64>().ok());
        kilobytes.unwrap_or_default() * 1024
    }

    /// Has it ended by itself?
    pub(crate) fn ended(&mut self) -> Option<Failure> {
        match self.child.try_wait() {
            Ok(Some(status)) => Some(self.failed(&format!("ended by itself ({status})"))),
            _ => None,
        }
    }

    /// Ends it at once (SIGKILL), as a power cut would.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to stop (SIGTERM), waits, and kills it if it does not. Its log is complete then.
    pub(crate) fn stop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None))
            && let Some(pid) = Pid::from_raw(self.child.id().cast_signed())
        {
            let _ = kill_process(pid, Signal::TERM);
            if !wait(&mut self.child, PATIENCE) {
                let _ = self.child.kill();
                let _ = self.child.wait();
            }
        }
        if let Some(thread) = self.stderr.take() {
            self.sentence = thread.join().ok().flatten();
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Waits for an end without blocking for ever: std has no wait with a deadline.
fn wait(child: &mut Child, patience: Duration) -> bool {
    let step = Duration::from_millis(5);
    let (_keep, never) = mpsc::channel::<()>();
    let mut left = patience;
    while matches!(child.try_wait(), Ok(None)) {
        if left.is_zero() {
            return false;
        }
        let _ = never.recv_timeout(step);
        left = left.saturating_sub(step);
    }
    true
}

/// What a line that says that the program is ready says of its addresses.
fn ready(line: &str, program: &str) -> Option<Value> {
    let mut said: Value = serde_json::from_str(line).ok()?;
    let ready = said["ready"] == Value::Bool(true) && said["program"] == program;
    ready.then(|| said["listen"].take())
}

/// Writes the log of a part; its last sentence about itself, which a full disk would swallow.
fn keep_log(
    pipe: impl std::io::BufRead,
    mut file: File,
    program: &str,
    trace: bool,
    tap: Option<&Tap>,
) -> Option<String> {
    let mut sentence = None;
    for line in pipe.lines().map_while(Result::ok) {
        let _ = writeln!(file, "{}", printable(&line));
        if let Some(tap) = tap {
            tap(&line);
        }
        if trace {
            cli::line_to_stderr(&format!("[{program}] {line}"));
        }
        if line.starts_with(program) {
            sentence = Some(line);
        }
    }
    sentence
}
