//! Command line of a program: parsing, logs on stderr, one sentence and an exit code on failure.
//! `--trace` lets events with the target `trace` through: every message, decoded on one line.

use crate::manual::{self, Asked};
use crate::printable::{printable, printable_lines};
use crate::private;
use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};
use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt;
use std::io::Write as _;
use std::process::ExitCode;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Exit code of a wrong command line.
pub const USAGE: u8 = 2;

/// Target of the events that `--trace` shows: `tracing::trace!(target: cli::TRACE, ...)`.
pub const TRACE: &str = "trace";

/// Heading of the logging options in every `--help`.
const LOGGING: &str = "Logging options";

/// Logging options, the same for all programs.
#[derive(Args, Debug, Clone)]
pub struct LogArgs {
    /// What is logged on stderr, e.g. info or aid_cmp=debug.
    #[arg(
        long,
        global = true,
        env = "AID_LOG",
        default_value = "info",
        value_name = "LEVEL",
        help_heading = LOGGING
    )]
    pub log: String,
    /// Log what our own programs decide, too, such as which configuration file is used; --log says more exactly what.
    #[arg(short, long, global = true, help_heading = LOGGING)]
    pub verbose: bool,
    /// Form of the logs.
    #[arg(long, global = true, default_value = "text", value_name = "FORM", help_heading = LOGGING)]
    pub log_format: LogFormat,
    /// Show every APDU, HTTP and MQTT message, decoded on one line each; secrets as lengths.
    #[arg(long, global = true, env = "AID_TRACE", value_parser = FalseyValueParser::new(), help_heading = LOGGING)]
    pub trace: bool,
}

/// Form of the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Why a program ends: one sentence for stderr, and its exit code.
///
/// Any error becomes a failure with exit code 1 by `?`; its text must be that sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What is wrong, which file or value, and what to do.
    pub text: String,
    /// Exit code: 1, or 2 for a wrong command line.
    pub code: u8,
}

impl Failure {
    /// A failure with exit code 1.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { text, code: 1 }
    }

    /// A wrong command line, exit code 2.
    #[must_use]
    pub fn usage(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { text, code: USAGE }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(error.to_string())
    }
}

/// A program's parsed arguments, which have the logging options among them.
pub trait Arguments: clap::Parser {
    /// The flattened [`LogArgs`].
    fn logs(&self) -> &LogArgs;
}

/// Installs logging on stderr and, with the feature `tls`, ring as the process's TLS provider.
///
/// A second call in one process (tests, the bench) keeps what the first installed.
///
/// # Errors
/// `--log` is no filter.
pub fn init(logs: &LogArgs) -> Result<(), Failure> {
    let wrong = |e: tracing_subscriber::filter::ParseError| {
        Failure::usage(format!("--log {:?} is no filter: {e}", logs.log))
    };
    // Levels by target, without the regular expressions of EnvFilter, which a car's flash has no room for.
    let mut filter: Targets = logs.log.parse().map_err(wrong)?;
    if logs.verbose {
        filter = filter.with_targets(["aid", "euicc"].map(|ours| (ours, LevelFilter::DEBUG)));
    }
    let messages = match logs.trace {
        true => LevelFilter::TRACE,
        false => LevelFilter::OFF,
    };
    filter = filter.with_target(TRACE, messages);
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        // A disk that is full of logs must not stop what is logged: the subscriber would report an event that
        // it can't write on stderr, which is where it could not write, and panic.
        .log_internal_errors(false)
        .with_writer(|| OneLine(std::io::stderr()));
    let registry = tracing_subscriber::registry().with(filter);
    let _ = match logs.log_format {
        LogFormat::Text => registry.with(layer).try_init(),
        LogFormat::Json => registry.with(layer.json()).try_init(),
    };
    #[cfg(feature = "tls")]
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(())
}

/// Writes each event as one line: what a peer sent may hold line breaks and terminal escapes, and must
/// not look like an event of its own. The subscriber writes an event with one call, its end included.
struct OneLine<W>(W);

impl<W: std::io::Write> std::io::Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> std::io::Result<usize> {
        let line = event.strip_suffix(b"\n").unwrap_or(event);
        let text = String::from_utf8_lossy(line);
        self.0.write_all(printable(&text).as_bytes())?;
        if line.len() < event.len() {
            self.0.write_all(b"\n")?;
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// Parses the arguments (the first is the program's name), installs logging, runs `f`, and turns
/// its failure into one sentence on stderr and an exit code. `--help` and `--version` end with 0. What the program writes
/// is its owner's alone, whatever umask it was started with.
#[must_use]
pub fn main<A: Arguments>(
    program: &str,
    args: Vec<OsString>,
    f: impl FnOnce(A) -> Result<(), Failure>,
) -> ExitCode {
    let done = match manual::parse::<A>(args) {
        Ok(Asked::Program(args)) => {
            private::umask();
            init(args.logs()).and_then(|()| f(args))
        }
        Ok(Asked::Manual(manual)) => manual.print(),
        Err(error) => {
            // What was typed may have come from elsewhere, by a script.
            let text = error.render().to_string();
            match printable_lines(&text) {
                Cow::Borrowed(_) => drop(error.print()),
                Cow::Owned(text) => line_to_stderr(&text),
            }
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE));
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            line_to_stderr(&format!("{program}: {failure}"));
            ExitCode::from(failure.code)
        }
    }
}

/// Runs a future on one thread: for a program with few peers, where a request that wakes another
/// thread at each step waits longer than it works.
///
/// # Errors
/// The future's failure, or the operating system gives no event queue.
pub fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    run(tokio::runtime::Builder::new_current_thread(), future)
}

/// Runs a future on all cores: for a server with thousands of peers.
///
/// # Errors
/// The future's failure, or the operating system gives no threads.
pub fn block_on_all_cores<T>(
    future: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    run(tokio::runtime::Builder::new_multi_thread(), future)
}

fn run<T>(
    mut builder: tokio::runtime::Builder,
    future: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let runtime = builder
        .enable_all()
        .build()
        .map_err(|e| Failure::new(format!("cannot start threads: {e}")))?;
    let result = runtime.block_on(future);
    // A thread that is stuck in a blocking call must not keep a stopped program alive.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    result
}

/// Writes one line to stderr, for people; whatever is in it, it stays one line.
pub fn line_to_stderr(text: &str) {
    // Written with one call, so that lines of several threads do not mix. Where stderr is closed, nobody
    // reads it.
    let line = format!("{}\n", printable(text));
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Writes text to stdout, e.g. an example configuration. Lines and tabs stay, other control characters
/// are escaped; a part that comes from outside has to be [`printable()`] before, or it could add lines.
///
/// # Errors
/// Stdout is closed.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(printable_lines(text).as_bytes())
        .and_then(|()| out.flush())
        .map_err(|e| Failure::new(format!("cannot write to stdout: {e}")))
}

/// Says that something is done: the sentence for people, under `--json` a list of this one row.
///
/// # Errors
/// As [`print()`].
pub fn say(sentence: &str, row: serde_json::Value, json: bool) -> Result<(), Failure> {
    if json {
        print(&format!("{}\n", serde_json::Value::from(vec![row])))
    } else {
        print(&format!("{sentence}\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::printable::is_unprintable;
    use clap::Parser;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        logs: LogArgs,
    }

    impl Arguments for Program {
        fn logs(&self) -> &LogArgs {
            &self.logs
        }
    }

    fn run(args: &[&str], f: impl FnOnce(Program) -> Result<(), Failure>) -> ExitCode {
        main("p", args.iter().map(OsString::from).collect(), f)
    }

    #[test]
    fn failures_are_exit_codes() {
        let code = |code: u8| format!("{:?}", ExitCode::from(code));
        let got = |exit: ExitCode| format!("{exit:?}");
        assert_eq!(got(run(&["p"], |_| Ok(()))), code(0));
        assert_eq!(got(run(&["p", "--no"], |_| Ok(()))), code(2));
        assert_eq!(got(run(&["p", "--log", "a=b=c"], |_| Ok(()))), code(2));
        assert_eq!(got(run(&["p"], |_| Err(Failure::new("x")))), code(1));
        assert_eq!(got(run(&["p", "--help"], |_| Ok(()))), code(0));
    }

    #[derive(Clone, Default)]
    struct Sink(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

    impl std::io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("lock").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// Everything that must be escaped, in one text with a forged event.
    fn evil() -> String {
        let all = (0..0x1_0000).filter_map(char::from_u32);
        let bad: String = all.filter(|c| is_unprintable(*c)).collect();
        format!("a\n2026-01-01T00:00:00Z  INFO aid: all is well\r\u{1b}[2Jé{bad}")
    }

    fn emit(subscriber: impl tracing::Subscriber + Send + Sync) {
        let evil = evil();
        tracing::subscriber::with_default(subscriber, || {
            let error = std::io::Error::other(evil.clone());
            let span = tracing::info_span!("peer", name = %evil);
            let _inside = span.enter();
            tracing::warn!(reason = evil, %evil, ?evil, %error, "told {evil}");
            tracing::info!("plain é");
        });
    }

    // R-7.4-4: whatever a peer sends, an event is one line.
    #[test]
    fn an_event_is_one_line_whatever_is_in_it() {
        let sink = Sink::default();
        let writer = sink.clone();
        let format = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || OneLine(writer.clone()));
        emit(format.finish());
        let text = String::from_utf8(sink.0.lock().expect("lock").clone()).expect("UTF-8");
        assert_eq!(text.matches('\n').count(), 2, "{text:?}");
        assert!(!text.replace('\n', "").contains(is_unprintable), "{text:?}");
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].contains("\\n2026"));
        assert!(lines[1].ends_with("plain é"), "{text:?}");
    }

    #[test]
    fn an_event_in_json_is_one_object_whatever_is_in_it() {
        let sink = Sink::default();
        let writer = sink.clone();
        let format = tracing_subscriber::fmt()
            .json()
            .with_writer(move || OneLine(writer.clone()));
        emit(format.finish());
        let text = String::from_utf8(sink.0.lock().expect("lock").clone()).expect("UTF-8");
        assert_eq!(text.matches('\n').count(), 2, "{text:?}");
        assert!(!text.replace('\n', "").contains(is_unprintable), "{text:?}");
        let line = text.lines().next().expect("line");
        let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(event["fields"]["reason"], evil());
    }

    #[test]
    fn any_error_becomes_a_failure() {
        let f = || -> Result<u8, Failure> { Ok("300".parse::<u8>()?) };
        assert_eq!(f().expect_err("overflow").code, 1);
    }
}
