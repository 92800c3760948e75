//! `aid-hil demo`: one command provisions a car.

use crate::leftovers::Workshop;
use crate::part::PROGRAMS;
use crate::process;
use crate::report::Report;
use crate::site::{Options, Site};
use crate::story::{self, Telling};
use crate::watch::{Recording, Watch};
use aid_cli::cli::{self, Failure, LogArgs};
use aid_report::Outputs;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

/// Options of `aid-hil demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// The MSP answers 201 and sends the activation code later (AID.02 §4.3 steps 4 to 6).
    #[arg(long)]
    async_ac: bool,
    /// CMP and MSP reach each other through aid-hub (docs/hub.md).
    #[arg(long)]
    hub: bool,
    /// SAIP profile package in DER to install; default: one that our own builder makes.
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// Run this executable as the part of this name, such as aid-cmp of another version; may be repeated.
    #[arg(long = "program", value_name = "NAME=FILE", value_parser = program)]
    programs: Vec<(String, PathBuf)>,
    /// Print one JSON object on stdout; everything else goes to stderr.
    #[arg(long)]
    json: bool,
    /// Leave state, configurations, keys and logs in this directory, which must be empty or absent.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Show the messages as they happen on a page of this machine: its address is printed and is good for one browser.
    #[arg(long)]
    watch: bool,
    /// Seconds between two things that the driver does; 1 with --watch.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(0..=600))]
    pace: Option<u16>,
    /// Write the report as one JSON document (docs/report.md).
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    report: Option<PathBuf>,
    /// Write the report as JUnit XML.
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    junit: Option<PathBuf>,
    /// Write the report, with all messages, as one self-contained HTML page of at most 1 MB.
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    html: Option<PathBuf>,
    /// Take the cover of the report from this TOML file: name, operator, device, versions, remarks.
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    lab: Option<PathBuf>,
}

impl DemoArgs {
    /// The options of a report; `--json` is the demo's own document.
    fn outputs(&self) -> Outputs {
        Outputs {
            report: self.report.clone(),
            junit: self.junit.clone(),
            html: self.html.clone(),
            json: false,
            lab: self.lab.clone(),
        }
    }

    /// The command that repeats the demo.
    fn command(&self) -> String {
        let mut command = "aid-hil demo".to_owned();
        if self.async_ac {
            command.push_str(" --async-ac");
        }
        if self.hub {
            command.push_str(" --hub");
        }
        if let Some(file) = &self.profile {
            command.push_str(&format!(" --profile '{}'", file.display()));
        }
        command
    }
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
    let outputs = args.outputs();
    let laboratory = outputs.laboratory()?;
    let wanted = args.watch || args.report.is_some() || args.junit.is_some() || args.html.is_some();
    let recording = wanted.then(Recording::start);
    let mut watch = match &recording {
        Some(recording) if args.watch => Some(Watch::serve(recording.clone())?),
        _ => None,
    };
    let pace = args.pace.unwrap_or(if args.watch { 1 } else { 0 });
    let options = Options {
        profile: args.profile.as_deref(),
        async_ac: args.async_ac,
        hub: args.hub,
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
    if let Some(watch) = &mut watch {
        watch.wait_for_viewer();
    }
    let report = story::tell(
        &site,
        Telling {
            log: &logs.log,
            trace: logs.trace,
            aloud: true,
            counted: false,
            recording: recording.as_ref(),
            screen: args.watch,
            pace: Duration::from_secs(u64::from(pace)),
        },
    );
    if let Some(recording) = &recording {
        recording.end();
        outputs.write(&recording.report(&report, &args.command(), laboratory)?)?;
    }
    if args.json {
        cli::print(&format!("{}\n", serde_json::to_string(&report)?))?;
        let _ = write!(std::io::stderr(), "\n{}", report.table());
    } else {
        cli::print(&format!("\n{}", report.table()))?;
    }
    if let Some(dir) = &args.keep {
        cli::line_to_stderr(&format!("State and logs are in {}", dir.display()));
    }
    if let Some(watch) = watch {
        watch.wait_for_end();
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
