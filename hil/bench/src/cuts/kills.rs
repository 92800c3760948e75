//! `aid-hil kills`: the agent's process ends (SIGKILL) at random moments; card and servers go on.

use super::books::{self, Verdict};
use super::drivers::Drivers;
use super::world::{self, World};
use super::{pause, seed};
use crate::fleet::Random;
use crate::leftovers::Workshop;
use crate::story::agent::Agent;
use aid_cli::cli::{self, Failure, LogArgs};
use std::path::PathBuf;
use std::time::Duration;

/// Longest life of an agent between two kills, ms: longer than a login with a download takes.
const LONG: u64 = 400;
/// The same of every other one, which dies in its start or soon after.
const SHORT: u64 = 60;

/// One agent of so many lives until a driver is in the car, so that there is always something to lose.
const DRIVES: u32 = 5;
/// Longest wait for that.
const PATIENCE: Duration = Duration::from_secs(20);

/// Options of `aid-hil kills`.
#[derive(Debug, clap::Args)]
pub(crate) struct KillArgs {
    /// Kills.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    kills: u32,
    /// Where the moments and what the drivers do come from; default: drawn.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Leave state, configurations, keys and logs in this directory, which must be empty or absent.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs it; the exit code is 1 when the books differ.
pub(crate) fn run(args: &KillArgs, logs: &LogArgs) -> Result<(), Failure> {
    let seed = seed(args.seed)?;
    cli::line_to_stderr(&format!("seed {seed}"));
    let mut random = Random(seed);
    let temporary = Workshop::new("kills", &std::env::temp_dir())?;
    let world = World::start(args.keep.as_deref().unwrap_or(temporary.path()), logs)?;
    let site = &world.site;
    let serve = ["serve", "--config", "euicc.toml"];
    let mut card = world::start(site, "euicc-sim", &serve, logs)?;
    let start = || world::start(site, "aid-agent", &["run", "--config", "agent.toml"], logs);
    let mut agent = start()?;
    let socket = site.path("agent.sock");
    let drivers = Drivers::start(
        socket.clone(),
        site.drivers.clone(),
        Random(random.below(u64::MAX)),
    );
    for n in 0..args.kills {
        if n % DRIVES == 0 {
            drivers.wait_for_drive(PATIENCE);
        }
        let longest = if n % 2 == 0 { LONG } else { SHORT };
        pause(Duration::from_millis(random.below(longest)));
        agent.kill();
        agent = start()?;
    }
    let logins = drivers.end();
    let verdict = books::settle(site, &Agent::at(&socket))?;
    agent.stop();
    card.stop();
    world.stop();
    show(args, seed, logins, &verdict)
}

fn show(args: &KillArgs, seed: u64, logins: u64, verdict: &Verdict) -> Result<(), Failure> {
    let kills = args.kills;
    let text = match args.json {
        true => {
            let all = serde_json::json!({"seed": seed, "kills": kills, "logins": logins, "books": verdict});
            format!("{all}\n")
        }
        false => format!(
            "{kills} kills, {logins} logins begun, {} profiles, {} operations of the card, {} reports at the MSP\n",
            verdict.profiles, verdict.operations, verdict.reports
        ),
    };
    cli::print(&text)?;
    if verdict.broken.is_empty() {
        return Ok(());
    }
    let all = verdict.broken.join("; ");
    Err(Failure::new(format!(
        "the books differ (repeat with --seed {seed}, look with --keep DIR): {all}"
    )))
}
