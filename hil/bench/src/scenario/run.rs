//! `aid-hil scenario` and `aid-hil run`: choose scenarios, play them, several at once, and report.

use super::engine::{self, Repeat};
use super::library::{self, Chosen};
use super::stage::Manner;
use crate::dut::Dut;
use aid_cli::cli::{self, Failure, LogArgs};
use aid_report::{Case, FORMAT, Kind, Outputs, Report, Verdict, Version};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Steps that are shown before the one that failed.
const SHOWN: usize = 6;

/// How scenarios are played.
#[derive(Debug, clap::Args)]
struct Playing {
    /// Scenarios that are played at once.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    jobs: u8,
    /// Leave each scenario's state, configurations, keys and logs in a folder of its name in here.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// All randomness of links, cards and misbehaviours comes from this number; default: another one each time, which is
    /// printed.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Keep links from being hostile in legal ways: pieces of odd sizes, small pauses.
    #[arg(long)]
    no_hostility: bool,
    #[command(flatten)]
    outputs: Outputs,
}

/// Options of `aid-hil scenario`.
#[derive(Debug, clap::Args)]
pub(crate) struct ScenarioArgs {
    /// The scenarios to play: names with * and ?, one variant as NAME[VARIANT], files or folders; `--list` shows them.
    #[arg(required_unless_present_any = ["all", "list"])]
    names: Vec<String>,
    /// Play all of them.
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// Show the names and what each is about.
    #[arg(long, conflicts_with = "all")]
    list: bool,
    #[command(flatten)]
    playing: Playing,
}

/// Options of `aid-hil run`.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// The scenarios to play: names with * and ?, one variant as NAME[VARIANT], files or folders; default: all.
    patterns: Vec<String>,
    /// The device under test (docs/scenarios.md); default: the simulated one.
    #[arg(long, value_name = "FILE")]
    dut: Option<PathBuf>,
    #[command(flatten)]
    playing: Playing,
}

/// `aid-hil scenario`.
///
/// # Errors
/// A scenario fails, or none fits a name.
pub(crate) fn scenario(args: &ScenarioArgs, logs: &LogArgs) -> Result<(), Failure> {
    if args.list {
        return library::show(&library::choose(&args.names)?, args.playing.outputs.json);
    }
    let chosen = library::choose_cases(&args.names)?;
    let dut = Dut::load(None)?;
    let report = play(
        &chosen,
        &args.playing,
        "aid-hil scenario",
        &args.names,
        &dut,
        logs,
    )?;
    if args.playing.outputs.json {
        let rows: Vec<_> = report.cases.iter().map(row).collect();
        let json = serde_json::json!({"ok": report.ok(), "seed": report.seed, "scenarios": rows});
        cli::print(&format!("{json}\n"))?;
    }
    verdict(&report, &args.playing)
}

/// `aid-hil run`.
///
/// # Errors
/// A scenario fails, or none fits a pattern, or the device's file has a mistake.
pub(crate) fn run(args: &RunArgs, logs: &LogArgs) -> Result<(), Failure> {
    let dut = Dut::load(args.dut.as_deref())?;
    let chosen = library::choose_cases(&args.patterns)?;
    let command = match &args.dut {
        Some(file) => format!("aid-hil run --dut {}", file.display()),
        None => "aid-hil run".into(),
    };
    let report = play(&chosen, &args.playing, &command, &args.patterns, &dut, logs)?;
    if args.playing.outputs.json {
        cli::print(&report.to_json()?)?;
    }
    verdict(&report, &args.playing)
}

/// A case as `aid-hil scenario --json` shows it.
fn row(case: &Case) -> serde_json::Value {
    let titles: Vec<&str> = case.steps.iter().map(|s| s.title.as_str()).collect();
    let mut row = serde_json::json!({
        "name": case.name, "about": case.about, "ok": case.verdict != Verdict::Fail,
        "ms": case.counts.us / 1000, "steps": titles,
    });
    if let Some(failure) = &case.failure {
        row["error"] = format!("expected {}; seen {}", failure.expected, failure.seen).into();
        row["repeat"] = failure.repeat.clone().into();
    }
    if case.verdict == Verdict::Skipped {
        row["skipped"] = case.reason.clone().into();
    }
    row
}

fn now() -> String {
    jiff::Timestamp::now()
        .round(jiff::Unit::Millisecond)
        .map_or_else(|_| String::new(), |t| t.to_string())
}

fn play(
    chosen: &Chosen,
    playing: &Playing,
    command: &str,
    names: &[String],
    dut: &Dut,
    logs: &LogArgs,
) -> Result<Report, Failure> {
    // Before the run, so that a mistake shows at once.
    let laboratory = match playing.outputs.lab {
        Some(_) => playing.outputs.laboratory()?,
        None => dut.laboratory.clone(),
    };
    let seed = match playing.seed {
        Some(seed) => seed,
        // Short enough to be typed.
        None => u64::from(
            getrandom::u32().map_err(|e| Failure::new(format!("no random numbers: {e}")))?,
        ),
    };
    let manner = Manner {
        logs,
        seed,
        hostile: !playing.no_hostility,
        dut,
    };
    let (began, at) = (Instant::now(), now());
    let repeat = Repeat { command, seed };
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let cases = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..playing.jobs {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some((scenario, variant)) = chosen.get(index) else {
                        return;
                    };
                    let keep = playing.keep.as_deref();
                    let case =
                        engine::play(scenario, variant.as_ref(), keep, manner, began, &repeat);
                    let count = done.fetch_add(1, Ordering::Relaxed) + 1;
                    say(&case, count, chosen.len());
                    if let Ok(mut cases) = cases.lock() {
                        cases.push((index, case));
                    }
                }
            });
        }
    });
    let mut cases = cases.into_inner().unwrap_or_default();
    cases.sort_by_key(|(index, _)| *index);
    let words: Vec<String> = names.iter().map(|n| format!(" '{n}'")).collect();
    let all = if names.is_empty() && command.ends_with("scenario") {
        " --all"
    } else {
        ""
    };
    let hostility = if playing.no_hostility {
        " --no-hostility"
    } else {
        ""
    };
    let report = Report {
        format: FORMAT,
        kind: Kind::Scenarios,
        subject: dut.name.clone(),
        command: format!("{command}{all}{}{hostility} --seed {seed}", words.concat()),
        seed,
        began: at,
        ended: now(),
        laboratory,
        versions: vec![Version {
            name: "aid-hil".into(),
            version: env!("CARGO_PKG_VERSION").into(),
        }],
        cases: cases.into_iter().map(|(_, case)| case).collect(),
    };
    playing.outputs.write(&report)?;
    Ok(report)
}

/// One line, and what went wrong.
fn say(case: &Case, count: usize, of: usize) {
    let word = match case.verdict {
        Verdict::Pass => "ok",
        Verdict::Skipped => "skip",
        _ => "FAIL",
    };
    let seconds = case.counts.us as f64 / 1e6;
    let width = of.to_string().len();
    let mut lines = vec![format!(
        "{word:<4} {count:>width$}/{of} {:<44} {seconds:>6.1} s",
        case.name
    )];
    lines.extend(case.reason.iter().map(|why| format!("       {why}")));
    if let Some(failure) = &case.failure {
        lines.push(format!("     ! {}", aid_report::first_line(failure)));
        let first = case.steps.len().saturating_sub(SHOWN);
        lines.extend(
            case.steps[first..]
                .iter()
                .map(|s| format!("       {} {}", s.verdict, s.title)),
        );
    }
    for line in lines {
        cli::line_to_stderr(&line);
    }
}

/// The summary line; a failure where a case failed.
fn verdict(report: &Report, playing: &Playing) -> Result<(), Failure> {
    let tally = report.tally();
    cli::line_to_stderr(&format!(
        "{} scenarios: {}; seed {}",
        report.cases.len(),
        tally.line(),
        report.seed
    ));
    if report.ok() {
        return Ok(());
    }
    let failed: Vec<&str> = report
        .cases
        .iter()
        .filter(|c| c.verdict == Verdict::Fail)
        .map(|c| c.name.as_str())
        .collect();
    let hint = if playing.keep.is_some() {
        "the logs are in the folder of --keep"
    } else {
        "run it again with --keep DIR to have the logs"
    };
    Err(Failure::new(format!(
        "{} of {} scenarios failed: {}; {hint}",
        failed.len(),
        report.cases.len(),
        failed.join(", ")
    )))
}
