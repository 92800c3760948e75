//! `aid-hil power-cut`: the power of the car goes at random moments, that of agent, card and disk together; the servers go on.
//! Cuts are made in batches, each with a car of its own; each that came to its end is a line of a file, so that a run
//! can be interrupted and goes on with the next batch.

use super::books::{self, Verdict};
use super::disk::Cut;
use super::drivers::Drivers;
use super::machine::Machine;
use super::world::World;
use super::{pause, relay, seed};
use crate::fleet::Random;
use crate::leftovers::Workshop;
use crate::site::Site;
use crate::story::agent::Agent;
use aid_cli::cli::{self, Failure, LogArgs};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Longest time between the car's answer after power on and the cut, ms.
const LONG: u64 = 3000;
/// Longest time between power on and a cut in the start, ms.
const START: u64 = 8000;
/// Longest wait for a flush.
const FLUSH: Duration = Duration::from_secs(3);
/// One cut of so many is in the start.
const IN_START: u64 = 5;

/// The calls that make a write durable, doing nothing.
const NO_SYNC: &str =
    "int fsync(int f) { (void)f; return 0; }\nint fdatasync(int f) { (void)f; return 0; }\n";

/// Options of `aid-hil power-cut`.
#[derive(Debug, clap::Args)]
pub(crate) struct PowerArgs {
    /// Cuts to reach, those of earlier runs in --results among them.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    cuts: u32,
    /// Cuts of one car; afterwards the books are compared.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    batch: u32,
    /// Folder of the image, which `just image` makes.
    #[arg(long, value_name = "DIR", default_value = "target/image")]
    image: PathBuf,
    /// File of finished batches, a line of JSON each; those that are there count.
    #[arg(long, value_name = "FILE", default_value = "target/power-cut.jsonl")]
    results: PathBuf,
    /// Where moments, losses and what the drivers do come from; default: drawn.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Take the journal its sync (fsync and fdatasync of the agent do nothing): the run succeeds if the books differ.
    #[arg(long)]
    without_sync: bool,
    /// Leave set-up, disk and console of the last batch in this directory, which must be empty or absent.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Print the batches as JSON.
    #[arg(long)]
    json: bool,
}

/// A finished batch.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Batch {
    /// When it ended (RFC 3339).
    time: String,
    seed: u64,
    without_sync: bool,
    cuts: u32,
    /// Sectors that were not flushed at the cuts, and those of them that were lost.
    cached: u64,
    lost: u64,
    flushes: u64,
    logins: u64,
    profiles: usize,
    operations: usize,
    reports: usize,
    /// What does not agree.
    broken: Vec<String>,
}

/// Runs it; the exit code is 1 when the books differ, or agree where they must not.
pub(crate) fn run(args: &PowerArgs, logs: &LogArgs) -> Result<(), Failure> {
    let first = seed(args.seed)?;
    let mut batches = read(&args.results, args.without_sync)?;
    let done = |batches: &[Batch]| batches.iter().map(|b| b.cuts).sum::<u32>();
    let differs = |batches: &[Batch]| batches.iter().any(|b| !b.broken.is_empty());
    while done(&batches) < args.cuts && !(args.without_sync && differs(&batches)) {
        let cuts = args.batch.min(args.cuts - done(&batches));
        let seed = first.wrapping_add(batches.len() as u64);
        let temporary = Workshop::new("power-cut", &std::env::temp_dir())?;
        let last = args
            .keep
            .as_deref()
            .filter(|_| done(&batches) + cuts >= args.cuts);
        let dir = last.unwrap_or(temporary.path());
        let batch = play(args, dir, seed, cuts, logs)?;
        write(&args.results, &batch)?;
        let (so_far, all) = (done(&batches) + cuts, args.cuts);
        cli::line_to_stderr(&format!(
            "{so_far} of {all} cuts; this car: {} operations of the card, {} reports at the MSP, {} of {} unflushed sectors lost",
            batch.operations, batch.reports, batch.lost, batch.cached
        ));
        let is_broken = !batch.broken.is_empty();
        batches.push(batch);
        if is_broken && !args.without_sync {
            break;
        }
    }
    show(args, &batches)
}

/// One car, cut so often; then the books.
fn play(
    args: &PowerArgs,
    dir: &Path,
    seed: u64,
    cuts: u32,
    logs: &LogArgs,
) -> Result<Batch, Failure> {
    let mut random = Random(seed);
    let world = World::start(dir, logs)?;
    let site = &world.site;
    let files = disk_content(site, args.without_sync)?;
    let mut car = Machine::new(&args.image, &site.dir, &files)?;
    let socket = site.path("car.sock");
    relay::start(&socket, car.port)?;
    let agent = Agent::at(&socket);
    car.on()?;
    car.wait(&agent)?;
    let crowd = Random(random.below(u64::MAX));
    let drivers = Drivers::start(socket, site.drivers.clone(), crowd);
    let mut all = Cut::default();
    for n in 0..cuts {
        let at_start = n > 0 && random.below(IN_START) == 0;
        if !at_start {
            car.wait(&agent)?;
        }
        let longest = if at_start { START } else { LONG };
        pause(Duration::from_millis(random.below(longest)));
        // Every other one hits a flush, whose sectors are in the cache then.
        let cut = match random.below(2) {
            0 => car.cut(&mut random)?,
            _ => car.cut_in_flush(FLUSH, &mut random)?,
        };
        all.cached += cut.cached;
        all.lost += cut.lost;
        car.on()?;
        cli::line_to_stderr(&format!("cut {} of {cuts} of this car", n + 1));
    }
    car.wait(&agent)?;
    let logins = drivers.end();
    let verdict = books::settle(site, &agent)?;
    let flushes = car.flushes();
    drop(car);
    world.stop();
    let Verdict {
        profiles,
        operations,
        reports,
        broken,
    } = verdict;
    Ok(Batch {
        time: format!("{:.0}", jiff::Timestamp::now()),
        seed,
        without_sync: args.without_sync,
        cuts,
        cached: all.cached,
        lost: all.lost,
        flushes,
        logins,
        profiles,
        operations,
        reports,
        broken,
    })
}

/// What agent and card of the set-up need, in a folder of its own.
fn disk_content(site: &Site, without_sync: bool) -> Result<PathBuf, Failure> {
    let folder = site.path("car-disk");
    fs::create_dir(&folder)?;
    fs::create_dir(folder.join("state"))?;
    let mut copy = Command::new("cp");
    copy.args(["-r", "--parents", "pki", "agent.toml", "euicc.toml"])
        .arg(&folder)
        .current_dir(&site.dir);
    run_tool(&mut copy, "cp")?;
    if without_sync {
        let source = folder.join("nosync.c");
        fs::write(&source, NO_SYNC)?;
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-o"])
            .arg(folder.join("nosync.so"))
            .arg(&source);
        run_tool(&mut cc, "cc")?;
    }
    Ok(folder)
}

fn run_tool(command: &mut Command, name: &str) -> Result<(), Failure> {
    let output = command
        .output()
        .map_err(|e| Failure::new(format!("cannot run {name}: {e}")))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(format!("{name}: {}", text.trim())))
}

/// The finished batches of this kind.
fn read(results: &Path, without_sync: bool) -> Result<Vec<Batch>, Failure> {
    let text = match fs::read_to_string(results) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Failure::new(format!("{}: {e}", results.display()))),
    };
    let mut batches = Vec::new();
    for line in text.lines() {
        let batch: Batch = serde_json::from_str(line).map_err(|e| {
            let file = results.display();
            Failure::new(format!("{file}: {e}; give another file to --results"))
        })?;
        if batch.without_sync == without_sync {
            batches.push(batch);
        }
    }
    Ok(batches)
}

fn write(results: &Path, batch: &Batch) -> Result<(), Failure> {
    let wrong = |e: std::io::Error| Failure::new(format!("{}: {e}", results.display()));
    let line = format!("{}\n", serde_json::to_string(batch)?);
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .create(true)
        .append(true)
        .open(results)
        .map_err(wrong)?;
    file.write_all(line.as_bytes()).map_err(wrong)
}

fn show(args: &PowerArgs, batches: &[Batch]) -> Result<(), Failure> {
    let sum = |of: fn(&Batch) -> u64| batches.iter().map(of).sum::<u64>();
    let cuts = sum(|b| u64::from(b.cuts));
    let text = match args.json {
        true => format!("{}\n", serde_json::to_string(batches)?),
        false => format!(
            "{cuts} cuts of {} cars, {} logins begun, {} profiles, {} operations of the cards, {} reports at the MSP;\n\
             {} flushes, {} of {} unflushed sectors lost\n",
            batches.len(),
            sum(|b| b.logins),
            sum(|b| b.profiles as u64),
            sum(|b| b.operations as u64),
            sum(|b| b.reports as u64),
            sum(|b| b.flushes),
            sum(|b| b.lost),
            sum(|b| b.cached),
        ),
    };
    cli::print(&text)?;
    let broken: Vec<String> = batches
        .iter()
        .flat_map(|b| {
            b.broken
                .iter()
                .map(|text| format!("seed {}: {text}", b.seed))
        })
        .collect();
    match (broken.is_empty(), args.without_sync) {
        (true, false) => Ok(()),
        (false, true) => {
            cli::line_to_stderr(&format!(
                "without its sync the journal lost:\n{}",
                broken.join("\n")
            ));
            Ok(())
        }
        (false, false) => Err(Failure::new(format!(
            "the books differ:\n{}",
            broken.join("\n")
        ))),
        (true, true) => Err(Failure::new(
            "the books agree without the journal's sync: the cuts have proved nothing",
        )),
    }
}
