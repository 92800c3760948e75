//! `aid-agent`: command line, logs on stderr, readiness line on stdout.
//! Called by the thin binary and by the bench, which runs it in a child process.

use crate::config::{Config, EXAMPLE};
use clap::{Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// The vehicle-side AID.02 agent: logs users in, downloads and switches their operational profiles.
#[derive(Parser)]
#[command(name = "aid-agent", version)]
struct Args {
    /// Form of the logs on stderr.
    #[arg(long, global = true, default_value = "text")]
    log_format: LogFormat,
    /// What is logged, e.g. info or aid_agent=debug.
    #[arg(long, global = true, default_value = "info")]
    log: String,
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Subcommand)]
enum Action {
    /// Run the agent until SIGINT or SIGTERM.
    Run {
        /// Configuration file (see example-config).
        #[arg(long)]
        config: PathBuf,
    },
    /// Print a commented example configuration.
    ExampleConfig,
    /// Check a configuration file.
    CheckConfig {
        /// Configuration file.
        #[arg(long)]
        config: PathBuf,
    },
}

/// Runs `aid-agent` with these arguments (the first is the program's name).
#[must_use]
pub fn run(args: Vec<OsString>) -> ExitCode {
    let args = match Args::try_parse_from(args) {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    if let Err(text) = logs(&args) {
        return fail(&text, 2);
    }
    match args.action {
        Action::ExampleConfig => print(EXAMPLE),
        Action::CheckConfig { config } => match Config::load(&config) {
            Ok(_) => print(&format!("{} is valid\n", config.display())),
            Err(error) => fail(&error.to_string(), 2),
        },
        Action::Run { config } => match Config::load(&config) {
            // The LPA's adapter to the `Euicc` port is not written yet; never pretend to have a card.
            Ok(config) => fail(
                &format!(
                    "this build has no LPA for the card at {}; the Euicc port needs its aid-lpa adapter",
                    config.euicc.socket
                ),
                1,
            ),
            Err(error) => fail(&error.to_string(), 2),
        },
    }
}

fn logs(args: &Args) -> Result<(), String> {
    let filter = tracing_subscriber::EnvFilter::try_new(&args.log)
        .map_err(|e| format!("--log {:?} is no filter: {e}", args.log))?;
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A second call in one process (tests) keeps the first subscriber.
    let _ = match args.log_format {
        LogFormat::Text => logs.try_init(),
        LogFormat::Json => logs.json().try_init(),
    };
    Ok(())
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

pub(crate) fn fail(text: &str, code: u8) -> ExitCode {
    // Where stderr is closed there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "error: {text}");
    ExitCode::from(code)
}
