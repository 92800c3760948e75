//! Command line of a program: parsing, logs on stderr, one sentence and an exit code on failure.
//! `--trace` lets events with the target `trace` through: every message, decoded on one line.
//! Called by each program's `run`.

use crate::private;
use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};
use std::ffi::OsString;
use std::fmt;
use std::io::Write as _;
use std::process::ExitCode;

/// Exit code of a wrong command line.
pub const USAGE: u8 = 2;

/// Target of the events that `--trace` shows: `tracing::trace!(target: cli::TRACE, ...)`.
pub const TRACE: &str = "trace";

/// Logging options, the same for all programs.
#[derive(Args, Debug, Clone)]
pub struct LogArgs {
    /// What is logged on stderr, e.g. info or aid_cmp=debug.
    #[arg(
        long,
        global = true,
        env = "AID_LOG",
        default_value = "info",
        value_name = "LEVEL"
    )]
    pub log: String,
    /// Form of the logs.
    #[arg(long, global = true, default_value = "text", value_name = "FORM")]
    pub log_format: LogFormat,
    /// Show every APDU, HTTP and MQTT message, decoded on one line each; secrets as lengths.
    #[arg(long, global = true, env = "AID_TRACE", value_parser = FalseyValueParser::new())]
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

/// Installs logging on stderr and ring as the process's TLS provider.
///
/// A second call in one process (tests, the bench) keeps what the first installed.
///
/// # Errors
/// `--log` is no filter.
pub fn init(logs: &LogArgs) -> Result<(), Failure> {
    let wrong = |e| Failure::usage(format!("--log {:?} is no filter: {e}", logs.log));
    let mut filter = tracing_subscriber::EnvFilter::try_new(&logs.log).map_err(wrong)?;
    let switch = if logs.trace {
        "trace=trace"
    } else {
        "trace=off"
    };
    if let Ok(directive) = switch.parse() {
        filter = filter.add_directive(directive);
    }
    let layer = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(|| OneLine(std::io::stderr()));
    let _ = match logs.log_format {
        LogFormat::Text => layer.try_init(),
        LogFormat::Json => layer.json().try_init(),
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(())
}

/// Writes each event as one line: what a peer sent may hold line breaks and terminal escapes, and must
/// not look like an event of its own. The subscriber writes an event with one call, its end included.
struct OneLine<W>(W);

impl<W: std::io::Write> std::io::Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> std::io::Result<usize> {
        let line = event.strip_suffix(b"\n").unwrap_or(event);
        match std::str::from_utf8(line) {
            Ok(text) if !text.chars().any(is_unsafe) => self.0.write_all(event)?,
            _ => {
                let text = String::from_utf8_lossy(line);
                let mut safe = String::with_capacity(text.len() + 16);
                for c in text.chars() {
                    if is_unsafe(c) {
                        safe.extend(c.escape_default());
                    } else {
                        safe.push(c);
                    }
                }
                if line.len() < event.len() {
                    safe.push('\n');
                }
                self.0.write_all(safe.as_bytes())?;
            }
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// Control characters (line breaks and terminal escapes among them), Unicode's own line ends, and what
/// changes the direction of a text.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
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
    let args = match A::try_parse_from(args) {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE));
        }
    };
    private::umask();
    match init(args.logs()).and_then(|()| f(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Where stderr is closed there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "{program}: {failure}");
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

/// Writes text to stdout, e.g. an example configuration.
///
/// # Errors
/// Stdout is closed.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
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

    // R-7.4-4: whatever a peer sends, an event is one line.
    #[test]
    fn an_event_is_one_line_whatever_is_in_it() {
        use std::sync::{Arc, Mutex};
        #[derive(Clone, Default)]
        struct Sink(Arc<Mutex<Vec<u8>>>);
        impl std::io::Write for Sink {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().expect("lock").extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || OneLine(writer.clone()))
            .finish();
        let evil = "a\n2026-01-01T00:00:00Z  INFO aid: all is well\r\u{1b}[2J\u{2028}\u{202e}\0é";
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(reason = evil, %evil, "told {evil}");
            tracing::info!("plain é");
        });
        let text = String::from_utf8(sink.0.lock().expect("lock").clone()).expect("UTF-8");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text:?}");
        assert!(!lines[0].chars().any(is_unsafe) && lines[0].contains("\\n2026"));
        assert!(lines[1].ends_with("plain é"));
    }

    #[test]
    fn any_error_becomes_a_failure() {
        let f = || -> Result<u8, Failure> { Ok("300".parse::<u8>()?) };
        assert_eq!(f().expect_err("overflow").code, 1);
    }
}
