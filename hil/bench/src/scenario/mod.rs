//! `aid-hil scenario`: each procedure of AID.02 §4 from end to end with the real programs, as drivers,
//! operators and workshops would go through it; what counts is in the books of all sides at the end.
//! Called by the command line and by the integration test.

mod access;
mod broker;
mod cars;
mod control;
mod deletion;
mod forms;
mod information;
mod misbehaviour;
mod outage;
mod people;
mod stage;
mod withdrawal;

use crate::leftovers::Workshop;
use crate::site::More;
use aid_cli::cli::{self, Failure, LogArgs};
use aid_needs::Need;
use serde::Serialize;
use stage::Stage;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

/// Options of `aid-hil scenario`.
#[derive(Debug, clap::Args)]
pub(crate) struct ScenarioArgs {
    /// The scenarios to play, by name; `--list` shows them.
    #[arg(required_unless_present_any = ["all", "list"])]
    names: Vec<String>,
    /// Play all of them.
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// Show the names and what each is about.
    #[arg(long, conflicts_with_all = ["names", "all"])]
    list: bool,
    /// CMP and MSP reach each other through aid-hub (docs/hub.md).
    #[arg(long)]
    hub: bool,
    /// Print one JSON object on stdout.
    #[arg(long)]
    json: bool,
    /// Scenarios that are played at once.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    jobs: u8,
    /// Leave each scenario's state, configurations, keys and logs in a folder of its name in here.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// One procedure, as it is played.
struct Scenario {
    /// One word.
    name: &'static str,
    /// What it shows, with the clause.
    about: &'static str,
    /// What it needs.
    needs: Needs,
    /// Plays it.
    play: fn(&mut Stage) -> Result<(), Failure>,
}

/// What a scenario needs of its set-up.
#[derive(Debug, Clone, Copy, Default)]
struct Needs {
    more: More,
    async_ac: bool,
    /// The MSP misbehaves when it is asked to.
    controlled: bool,
    /// CMP and MSP reach each other through aid-hub.
    hub: bool,
}

impl Needs {
    const fn of(cars: usize, drivers: usize, profiles: usize) -> Self {
        Self {
            more: More {
                cars: cars - 1,
                drivers: drivers - 1,
                profiles: profiles - 1,
                pool: None,
                memory: None,
                broker: false,
                instances: 0,
            },
            async_ac: false,
            controlled: false,
            hub: false,
        }
    }

    const fn controlled(mut self) -> Self {
        self.controlled = true;
        self
    }

    /// Cars and CMP meet at a mosquitto; the scenario is skipped where there is none.
    const fn at_a_broker(mut self) -> Self {
        self.more.broker = true;
        self
    }

    const fn with_pool(mut self, pool: u32) -> Self {
        self.more.pool = Some(pool);
        self
    }

    const fn with_memory(mut self, memory: u32) -> Self {
        self.more.memory = Some(memory);
        self
    }

    const fn answered_later(mut self) -> Self {
        self.async_ac = true;
        self
    }
}

/// All of them, in the order of the specification.
fn all() -> Vec<Scenario> {
    [
        access::SCENARIOS,
        cars::SCENARIOS,
        withdrawal::SCENARIOS,
        deletion::SCENARIOS,
        information::SCENARIOS,
        people::SCENARIOS,
        outage::SCENARIOS,
        broker::SCENARIOS,
        misbehaviour::SCENARIOS,
    ]
    .into_iter()
    .flatten()
    .map(|(name, about, needs, play)| Scenario {
        name,
        about,
        needs: *needs,
        play: *play,
    })
    .collect()
}

/// An entry of a list of scenarios.
type Entry = (
    &'static str,
    &'static str,
    Needs,
    fn(&mut Stage) -> Result<(), Failure>,
);

/// How a scenario ended.
#[derive(Debug, Clone, Serialize)]
struct Outcome {
    name: &'static str,
    about: &'static str,
    ok: bool,
    ms: f64,
    /// What happened, in order.
    steps: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Why it was not played; nothing failed then.
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<String>,
}

/// Plays what the command line asks for; a scenario that fails is a failure.
pub(crate) fn run(args: &ScenarioArgs, logs: &LogArgs) -> Result<(), Failure> {
    let mut chosen = choose(args)?;
    for scenario in &mut chosen {
        scenario.needs.hub = args.hub;
    }
    if args.list {
        return list(&chosen, args.json);
    }
    let queue = Mutex::new(chosen.iter().collect::<std::collections::VecDeque<_>>());
    let outcomes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..args.jobs {
            scope.spawn(|| {
                while let Some(next) = queue.lock().ok().and_then(|mut q| q.pop_front()) {
                    let outcome = play(next, args.keep.as_deref(), logs);
                    say(&outcome);
                    if let Ok(mut outcomes) = outcomes.lock() {
                        outcomes.push(outcome);
                    }
                }
            });
        }
    });
    let mut outcomes = outcomes.into_inner().unwrap_or_default();
    outcomes.sort_by_key(|o| chosen.iter().position(|s| s.name == o.name));
    let failed: Vec<&str> = outcomes.iter().filter(|o| !o.ok).map(|o| o.name).collect();
    if args.json {
        let json = serde_json::json!({"ok": failed.is_empty(), "scenarios": outcomes});
        cli::print(&format!("{json}\n"))?;
    }
    if failed.is_empty() {
        return Ok(());
    }
    let hint = if args.keep.is_some() {
        "the logs are in the folder of --keep"
    } else {
        "run it again with --keep DIR to have the logs"
    };
    let (count, names) = (failed.len(), failed.join(", "));
    Err(Failure::new(format!(
        "{count} of {} scenarios failed: {names}; {hint}",
        outcomes.len()
    )))
}

fn choose(args: &ScenarioArgs) -> Result<Vec<Scenario>, Failure> {
    let mut known = all();
    if let Some(unknown) = args
        .names
        .iter()
        .find(|n| known.iter().all(|s| s.name != n.as_str()))
    {
        let names: Vec<&str> = known.iter().map(|s| s.name).collect();
        return Err(Failure::usage(format!(
            "there is no scenario {unknown:?}; there are {}",
            names.join(", ")
        )));
    }
    if !args.names.is_empty() {
        known.retain(|s| args.names.iter().any(|n| n == s.name));
    }
    Ok(known)
}

fn list(scenarios: &[Scenario], json: bool) -> Result<(), Failure> {
    if json {
        let row = |s: &Scenario| serde_json::json!({"name": s.name, "about": s.about});
        let rows: Vec<_> = scenarios.iter().map(row).collect();
        return cli::print(&format!("{}\n", serde_json::Value::from(rows)));
    }
    let row = |s: &Scenario| format!("{:<22} {}\n", s.name, s.about);
    cli::print(&scenarios.iter().map(row).collect::<String>())
}

fn say(outcome: &Outcome) {
    let verdict = match (outcome.ok, &outcome.skipped) {
        (_, Some(_)) => "skip",
        (true, None) => "ok",
        (false, None) => "FAIL",
    };
    cli::line_to_stderr(&format!(
        "{verdict:<4} {:<22} {:>7.1} s",
        outcome.name,
        outcome.ms / 1000.0
    ));
    if let Some(why) = &outcome.skipped {
        cli::line_to_stderr(&format!("       {why}"));
    }
    if let Some(error) = &outcome.error {
        for step in &outcome.steps {
            cli::line_to_stderr(&format!("       {step}"));
        }
        cli::line_to_stderr(&format!("     ! {error}"));
    }
}

/// Plays one scenario in a set-up of its own.
fn play(scenario: &Scenario, keep: Option<&Path>, logs: &LogArgs) -> Outcome {
    let begin = Instant::now();
    let mut steps = Vec::new();
    let lacks = scenario.needs.more.broker && broker::program().is_none();
    let judged = lacks.then(|| aid_needs::skip(Need::Mosquitto, broker::MISSING));
    let (result, skipped) = match judged {
        Some(Ok(why)) => (Ok(()), Some(why)),
        Some(Err(required)) => (Err(Failure::from(required)), None),
        None => (stage(scenario, keep, logs, &mut steps), None),
    };
    Outcome {
        name: scenario.name,
        about: scenario.about,
        ok: result.is_ok(),
        ms: begin.elapsed().as_secs_f64() * 1000.0,
        steps,
        error: result.err().map(|f| f.to_string()),
        skipped,
    }
}

fn stage(
    scenario: &Scenario,
    keep: Option<&Path>,
    logs: &LogArgs,
    steps: &mut Vec<String>,
) -> Result<(), Failure> {
    let temporary = Workshop::new("scenario", &std::env::temp_dir())?;
    let dir = match keep {
        Some(keep) => keep.join(scenario.name),
        None => temporary.path().to_owned(),
    };
    let mut stage = Stage::open(&dir, scenario.needs, logs)?;
    let result = (scenario.play)(&mut stage);
    let result = result.map_err(|failure| stage.explain(&failure));
    *steps = stage.close();
    result
}
