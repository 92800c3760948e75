//! Runs the command of an LPA under test, with a deadline, and gives it the judge's card.

use super::card::JudgeCard;
use super::target::Way;
use std::collections::BTreeMap;
use std::io::{BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Most bytes of an output that are kept.
const MOST: usize = 64 * 1024;

/// How a command ended.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    /// Exit code; none where a signal ended it.
    pub(super) code: Option<i32>,
    /// The judge ended it, as its time was over.
    pub(super) timed_out: bool,
    /// The end of what it wrote, standard error last.
    pub(super) output: String,
}

/// Replaces the names in braces in each word.
pub(super) fn fill(words: &[String], values: &BTreeMap<&str, String>) -> Vec<String> {
    words.iter().map(|word| filled(word, values)).collect()
}

/// Replaces the names in braces.
pub(super) fn filled(word: &str, values: &BTreeMap<&str, String>) -> String {
    let replace =
        |word: String, (name, value): (&&str, &String)| word.replace(&format!("{{{name}}}"), value);
    values.iter().fold(word.to_owned(), replace)
}

/// Runs a command until it ends or `limit` is over.
///
/// # Errors
/// It cannot be started.
pub(super) fn run(
    words: &[String],
    env: &BTreeMap<String, String>,
    folder: &Path,
    way: Way,
    card: &JudgeCard,
    limit: Duration,
) -> Result<Ended, String> {
    let Some((program, arguments)) = words.split_first() else {
        return Err("the command has no words".to_owned());
    };
    let with_lines = way == Way::LpacStdio;
    let mut child = Command::new(program)
        .args(arguments)
        .envs(env)
        .current_dir(folder)
        .stdin(if with_lines {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("{program} cannot be started: {e}"))?;
    let (input, output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let errors = std::thread::spawn(move || errors.map(kept).unwrap_or_default());
    let card = card.clone();
    let output = std::thread::spawn(move || match (input, output) {
        (Some(input), Some(output)) => card.serve_lines(BufReader::new(output), input, MOST),
        (None, Some(output)) => kept(output),
        _ => Vec::new(),
    });
    let timed_out = !waited(&mut child, limit);
    let status = child.wait().map_err(|e| format!("{program}: {e}"))?;
    let mut text = output.join().unwrap_or_default();
    text.extend(errors.join().unwrap_or_default());
    let text = String::from_utf8_lossy(&text).into_owned();
    let tail: Vec<&str> = text.lines().rev().take(5).collect();
    Ok(Ended {
        code: status.code(),
        timed_out,
        output: tail.into_iter().rev().collect::<Vec<_>>().join(" | "),
    })
}

/// The first bytes of a stream, which is read to its end.
fn kept(mut stream: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut chunk) {
        let room = MOST.saturating_sub(bytes.len());
        bytes.extend_from_slice(&chunk[..count.min(room)]);
    }
    bytes
}

/// Waits for a child's end; when its time is over it is killed.
fn waited(child: &mut Child, limit: Duration) -> bool {
    let end = Instant::now() + limit;
    loop {
        match child.try_wait() {
            Ok(Some(_)) | Err(_) => return true,
            Ok(None) if Instant::now() < end => {
                std::thread::park_timeout(Duration::from_millis(10));
            }
            Ok(None) => {
                // One that ended meanwhile needs no signal.
                let _ = child.kill();
                return false;
            }
        }
    }
}
