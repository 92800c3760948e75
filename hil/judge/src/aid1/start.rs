//! Starts the programs that a target file names, so that a set-up of ours can be judged at once; runs the commands by which
//! procedures begin at the target.

use crate::subject::Setting;
use aid_cli::cli::Failure;
use serde::Deserialize;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Longest wait for a program to say that it is ready, or for a command to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// Most output of a command that is read, bytes.
const MAX_OUTPUT: u64 = 1 << 20;

/// A command to run before the tests.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StartTarget {
    /// Program and arguments; `aid-hil` is this program itself.
    pub(crate) command: Vec<String>,
    /// Written to its standard input.
    #[serde(default)]
    pub(crate) input: String,
    /// It goes on running although it listens nowhere over TCP; see `serves`.
    #[serde(default)]
    pub(crate) stays: bool,
    /// Where it will listen: it goes on running, and the tests begin when it has written its first line. It is stopped at
    /// the end. Where somebody listens already, it is not started.
    pub(crate) serves: Option<SocketAddr>,
    /// It is not run where this file was before the first command: what it did lasts.
    pub(crate) unless: Option<PathBuf>,
}

/// A command by which a procedure begins at the target; `{token}`, `{iccid}` and `{eid}` are filled in.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct Hook(pub(crate) Vec<String>);

impl Hook {
    /// Runs it, with these in place of the names in braces; its output.
    pub(crate) fn run(&self, folder: &Path, values: &[(&str, &str)]) -> Result<String, String> {
        let filled: Vec<String> = self
            .0
            .iter()
            .map(|word| {
                values.iter().fold(word.clone(), |word, (name, value)| {
                    word.replace(&format!("{{{name}}}"), value)
                })
            })
            .collect();
        let mut child = spawn(&filled, folder, "", false).map_err(|failure| failure.text)?;
        finish(&mut child, &filled)
    }
}

/// Programs that run while the tests do. Dropping them stops them.
#[derive(Default)]
pub(crate) struct Programs {
    running: Vec<Child>,
    /// How each was started, for a start after [`Programs::kill`].
    known: Vec<StartTarget>,
    folder: PathBuf,
}

impl Programs {
    /// Runs the commands in the folder of the target file.
    pub(crate) fn start(targets: &[StartTarget], setting: &Setting) -> Result<Self, Failure> {
        let mut programs = Self {
            running: Vec::new(),
            known: Vec::new(),
            folder: folder(setting),
        };
        let is_done = |target: &&StartTarget| {
            let file = target.unless.as_ref();
            file.is_some_and(|file| setting.beside(file).exists())
        };
        let open: Vec<_> = targets.iter().filter(|target| !is_done(target)).collect();
        for target in open {
            let listens = |at: &SocketAddr| TcpStream::connect_timeout(at, PATIENCE).is_ok();
            if target.serves.as_ref().is_some_and(listens) {
                continue;
            }
            if target.stays || target.serves.is_some() {
                programs.begin(target)?;
                programs.known.push(target.clone());
            } else {
                let mut child = spawn(&target.command, &programs.folder, &target.input, false)?;
                finish(&mut child, &target.command).map_err(Failure::new)?;
            }
        }
        Ok(programs)
    }

    /// Starts a program that goes on running, and waits for its first line.
    fn begin(&mut self, target: &StartTarget) -> Result<(), Failure> {
        let mut child = spawn(&target.command, &self.folder, &target.input, true)?;
        let ready = first_line(&mut child);
        self.running.push(child);
        ready.map_err(|why| Failure::new(format!("{} {why}", target.command.join(" "))))
    }

    /// Ends all of them at once (SIGKILL), as a power cut does.
    pub(crate) fn kill(&mut self) {
        for child in self.running.iter_mut().rev() {
            // One that has ended needs no signal.
            let _ = child.kill();
        }
        for mut child in self.running.drain(..) {
            let _ = child.wait();
        }
    }

    /// Starts again what was killed.
    pub(crate) fn restart(&mut self) -> Result<(), String> {
        for target in self.known.clone() {
            self.begin(&target).map_err(|failure| failure.text)?;
        }
        Ok(())
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        // In reverse: nobody is left calling a program that has gone.
        for mut child in self.running.drain(..).rev() {
            // The end of its input asks a part of ours to stop; others are ended.
            drop(child.stdin.take());
            let ended = waited(&mut child, Duration::from_millis(500));
            if !ended {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

/// The folder of the target file.
pub(crate) fn folder(setting: &Setting) -> PathBuf {
    match setting.file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn spawn(words: &[String], folder: &Path, input: &str, serves: bool) -> Result<Child, Failure> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(Failure::usage(
            "the target file has an empty command; docs/judge.md has the reference",
        ));
    };
    let program = match program.as_str() {
        "aid-hil" => std::env::current_exe()?,
        other => PathBuf::from(other),
    };
    let mut command = Command::new(&program);
    if serves {
        // Parts of ours end with their input when this is set.
        command.env("AID_HIL_LEASH", "1");
    }
    let mut child = command
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| {
            Failure::new(format!(
                "cannot start {}: {e}; see the commands of the target file",
                program.display()
            ))
        })?;
    if !input.is_empty()
        && let Some(stdin) = &mut child.stdin
    {
        // Who has ended already says so itself.
        let _ = stdin.write_all(input.as_bytes());
    }
    Ok(child)
}

/// Waits for the first line of a program that serves; reads the others and throws them away.
fn first_line(child: &mut Child) -> Result<(), String> {
    let Some(out) = child.stdout.take() else {
        return Err("has no output".to_owned());
    };
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            let _ = tell.send(line);
        }
    });
    match told.recv_timeout(PATIENCE) {
        Ok(_) => Ok(()),
        Err(mpsc::RecvTimeoutError::Timeout) => {
            Err(format!("is not ready after {} s", PATIENCE.as_secs()))
        }
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            Err("ended at once; run it by hand to see why".to_owned())
        }
    }
}

/// Waits for the end of a command; its output.
fn finish(child: &mut Child, words: &[String]) -> Result<String, String> {
    drop(child.stdin.take());
    let out = child.stdout.take();
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = Vec::new();
        if let Some(out) = out {
            let _ = out.take(MAX_OUTPUT).read_to_end(&mut text);
        }
        let _ = tell.send(String::from_utf8_lossy(&text).into_owned());
    });
    let program = words.iter().take(4).cloned().collect::<Vec<_>>().join(" ");
    if !waited(child, PATIENCE) {
        let _ = child.kill();
        let _ = child.wait();
        return Err(format!("{program} … does not end"));
    }
    // A process that it left behind may keep its output open.
    let text = told.recv_timeout(PATIENCE).unwrap_or_default();
    match child.wait() {
        Ok(status) if status.success() => Ok(text),
        Ok(status) => Err(format!("{program} … ended with {status}")),
        Err(e) => Err(format!("{program} …: {e}")),
    }
}

/// Waits for an end without blocking for ever: std has no wait with a deadline.
fn waited(child: &mut Child, patience: Duration) -> bool {
    let end = Instant::now() + patience;
    let (_keep, never) = mpsc::channel::<()>();
    loop {
        match child.try_wait() {
            Ok(Some(_)) | Err(_) => return true,
            Ok(None) if Instant::now() >= end => return false,
            Ok(None) => drop(never.recv_timeout(Duration::from_millis(10))),
        }
    }
}
