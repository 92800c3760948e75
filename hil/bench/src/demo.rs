//! `aid-hil demo`: one command provisions a car.

use crate::hmi;
use crate::leftovers::Workshop;
use crate::part::PROGRAMS;
use crate::process;
use crate::report::Report;
use crate::site::{Options, Site};
use crate::story::{self, Telling};
use aid_cli::cli::{self, Failure, LogArgs};
use std::io::Write as _;
use std::path::PathBuf;

/// Options of `aid-hil demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// The MSP answers 201 and sends the activation code later (AID.02 §4.3 steps 4 to 6).
    #[arg(long)]
    async_ac: bool,
    /// SAIP profile package in DER to install; default: one that our own builder makes.
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// Run this executable as the part of this name, such as aid-cmp of another version; may be repeated.
    #[arg(long = "program", value_name = "NAME=FILE", value_parser = program)]
    programs: Vec<(String, PathBuf)>,
    /// Print one JSON object on stdout; everything else goes to stderr.
    #[arg(long)]
    json: bool,
    /// Serve the page of the car's screen (aid-hmi) while the demo runs, and print its address.
    #[arg(long)]
    watch: bool,
    /// Leave state, configurations, keys and logs in this directory, which must be empty or absent.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// Reads `NAME=FILE`.
fn program(text: &str) -> Result<(String, PathBuf), String> {
    let (name, file) = text.split_once('=').ok_or("use NAME=FILE")?;
    if !PROGRAMS.contains(&name) {
        return Err(format!("the parts are {}", PROGRAMS.join(", ")));
    }
    let file = std::path::absolute(file).map_err(|e| format!("{file}: {e}"))?;
    Ok((name.to_owned(), file))
}

/// Runs the demo; a failure is one sentence.
pub(crate) fn run(args: &DemoArgs, logs: &LogArgs) -> Result<(), Failure> {
    process::replace(&args.programs)?;
    let temporary = Workshop::new("demo", &std::env::temp_dir())?;
    let dir = args.keep.as_deref().unwrap_or(temporary.path());
    let options = Options {
        profile: args.profile.as_deref(),
        async_ac: args.async_ac,
        ..Options::default()
    };
    let site = match Site::create(dir, options) {
        Ok(site) => site,
        Err(failure) => {
            if args.json {
                let report = Report::not_begun(&failure.text);
                cli::print(&format!("{}\n", serde_json::to_string(&report)?))?;
            }
            return Err(failure);
        }
    };
    let screen = args.watch.then(|| hmi::start(dir, &logs.log)).transpose()?;
    if let Some((_, address)) = &screen {
        cli::line_to_stderr(&format!("The car's screen is at {address}"));
    }
    let report = story::tell(
        &site,
        Telling {
            log: &logs.log,
            trace: logs.trace,
            aloud: true,
            counted: false,
        },
    );
    if args.json {
        cli::print(&format!("{}\n", serde_json::to_string(&report)?))?;
        let _ = write!(std::io::stderr(), "\n{}", report.table());
    } else {
        cli::print(&format!("\n{}", report.table()))?;
    }
    if let Some(dir) = &args.keep {
        cli::line_to_stderr(&format!("State and logs are in {}", dir.display()));
    }
    match report.error {
        None => {
            let text = "One car provisioned: the driver's own subscription was the SIM, and is disabled again.";
            let _ = writeln!(std::io::stderr(), "{text}");
            Ok(())
        }
        Some(error) if args.keep.is_some() => Err(Failure::new(error)),
        Some(error) => Err(Failure::new(format!(
            "{error} (run again with --keep DIR to have the logs, with --trace to see every message)"
        ))),
    }
}
