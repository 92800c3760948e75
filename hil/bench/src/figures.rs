//! `aid-hil bench`: figures with their limits and their named peers, in suites.
//!
//! A suite prints absolute values beside ratios and says which limits were reached. Missing one is
//! reported, not a failure: a busy machine is not a defect.

mod aid1;
mod card;
mod cost;
mod count;
mod fleet;
mod handshakes;
mod hub;
mod instructions;
mod pages;
mod provisioning;
mod rsp;
mod size;
mod upkeep;
mod vehicle;

use aid_cli::cli::{self, Failure, LogArgs};
use aid_cmp::store::{Store, StoreError, Tx};
use aid_cmp_core::change::{Behind, Change};
use clap::ValueEnum as _;
use std::path::PathBuf;

pub(crate) use aid1::{UNLIMITED, people, run_bare};
pub(crate) use fleet::open_files;
pub(crate) use instructions::{OperationArgs, run as run_operation};
pub(crate) use vehicle::{Connected, Dialer};

/// Options of `aid-hil bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct BenchArgs {
    /// What to measure; several may be given, all without it.
    #[arg(value_enum, value_name = "SUITE")]
    suites: Vec<Suite>,
    /// Provisionings to run, each in a new set-up; the median counts.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    /// Install this SAIP package instead of one of our own.
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// Where databases, journal and card keep their state; on a tmpfs, the disk costs nothing.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Cards that the suite `card` makes in this process.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    cards: u32,
    /// Fail where instructions can't be counted; without it they are counted where valgrind is there.
    #[arg(long)]
    instructions: bool,
    /// Vehicles of the fleet; each needs two open files on this machine, in two processes.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    vehicles: u32,
    /// Keep-alive connections of the suites `aid1` (16 and then 64 without it) and `hub` (2 without it).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    connections: Option<u32>,
    /// Send Activation Code calls of the suite `aid1`, calls of each operation of the suite `hub`, handshakes of the suite `handshakes`, and downloads of the suite `rsp`.
    #[arg(long, value_name = "N", default_value_t = 5000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    requests: u32,
    /// Let the CMP of the suite `aid1` keep its state in a PostgreSQL that is started for it.
    #[arg(long)]
    postgres: bool,
    /// Vehicles, users, links and profiles in the databases of the suites `upkeep` and `pages`.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1000..=10_000_000))]
    stored: u32,
    /// Print one JSON object on stdout, a member for each suite.
    #[arg(long)]
    json: bool,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Suite {
    /// Login to enabled: APDUs, bytes, time against pure cryptography.
    Provisioning,
    /// The card alone: a download against its cryptography, memory, AUTHENTICATE.
    Card,
    /// Vehicles at the gateway: memory of each, how many at once, an order to each.
    Fleet,
    /// Full TLS handshakes of vehicles at the gateway.
    Handshakes,
    /// AID1 at the CMP: Send Activation Code beside a bare HTTP server, login to activation code.
    Aid1,
    /// aid-hub: time and processor time that it adds to a call, beside haproxy with the same TLS.
    Hub,
    /// The SM-DP+: InitiateAuthentication beside its signature, downloads per core, memory of sessions.
    Rsp,
    /// Lines of the crates that the servers link.
    Size,
    /// A tick, a login and calls of AID1 at the CMP with a thousand and with a million vehicles in its database.
    Upkeep,
    /// Pages of portal, touchpoint and consoles with a million vehicles: time, bytes.
    Pages,
}

/// What a suite found.
pub(crate) struct Figures {
    /// For people: lines with value, ratio, limit and verdict.
    pub(crate) text: String,
    /// The same for scripts.
    pub(crate) json: serde_json::Value,
}

/// Changes in one transaction.
const BATCH: usize = 1000;

/// Fills a database before a measurement.
pub(crate) async fn commit(store: &Store, changes: Vec<Change>) -> Result<(), Failure> {
    let mut changes = changes.into_iter().peekable();
    while changes.peek().is_some() {
        let batch: Vec<Change> = changes.by_ref().take(BATCH).collect();
        let fill = async move |tx: &Tx<'_>| {
            for change in &batch {
                if let Behind::Lock(lock) = change.behind() {
                    tx.lock(lock).await?;
                }
            }
            Ok::<_, StoreError>((batch.clone(), ()))
        };
        store.decide(fill).await?;
    }
    Ok(())
}

/// Tells whoever waits how far a suite is.
fn say(text: &str) {
    cli::line_to_stderr(text);
}

/// Runs the suites one after the other.
pub(crate) fn run(args: &BenchArgs, logs: &LogArgs) -> Result<(), Failure> {
    let all = Suite::value_variants();
    let suites = if args.suites.is_empty() {
        all
    } else {
        &args.suites
    };
    let mut json = serde_json::Map::new();
    for suite in suites {
        let name = suite.to_possible_value().map(|v| v.get_name().to_owned());
        let name = name.unwrap_or_default();
        say(&format!("measuring: {name}"));
        let figures = match suite {
            Suite::Provisioning => provisioning::run(args, logs)?,
            Suite::Card => card::run(args)?,
            Suite::Fleet => fleet::run(args, logs)?,
            Suite::Aid1 if args.postgres => aid1::run_on_postgres(args, logs)?,
            Suite::Handshakes => handshakes::run(args, logs)?,
            Suite::Aid1 => aid1::run(args, logs)?,
            Suite::Hub => hub::run(args, logs)?,
            Suite::Rsp => rsp::run(args)?,
            Suite::Size => size::run()?,
            Suite::Upkeep => upkeep::run(args)?,
            Suite::Pages => pages::run(args, logs)?,
        };
        if !args.json {
            cli::print(&format!("== {name}\n{}", figures.text))?;
        }
        json.insert(name, figures.json);
    }
    if args.json {
        cli::print(&format!("{}\n", serde_json::Value::Object(json)))?;
    }
    Ok(())
}
