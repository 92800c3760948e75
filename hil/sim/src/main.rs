//! `aid-sim`: long runs of the simulation, and lives lived again (docs/SOAK.md).
#![allow(clippy::print_stdout, reason = "a program that prints")]

use aid_sim::life::Life;
use aid_sim::log::KEPT;
use aid_sim::record::LARGEST;
use aid_sim::soak::Soak;
use clap::{Parser, Subcommand};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Seconds between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(10);
/// Events that a replay prints at most.
const ALL: usize = 100_000;
/// Failing lives that are written.
const WRITTEN: usize = 20;

/// The whole system in one thread on virtual time, with faults of every kind.
#[derive(Debug, Parser)]
#[command(name = "aid-sim", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Live life after life for some hours; a run with the same folder goes on where the last one ended
    Soak {
        /// Seed of the first life
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// How long, hours; 0.5 is half an hour
        #[arg(long, default_value_t = 1.0)]
        hours: f64,
        /// Where the count and failing lives are kept
        #[arg(long, default_value = "target/soak")]
        dir: PathBuf,
    },
    /// Live a life again that a soak has written, and print what happens
    Replay {
        /// The file
        file: PathBuf,
        /// Leave out faults that the violation does not need, and print the shorter life
        #[arg(long)]
        shorten: bool,
    },
}

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Soak { seed, hours, dir } => soak(seed, hours, &dir),
        Command::Replay { file, shorten } => replay(&file, shorten),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("aid-sim: {error}");
            ExitCode::from(2)
        }
    }
}

fn soak(seed: u64, hours: f64, dir: &Path) -> Result<bool, String> {
    let time = Duration::try_from_secs_f64(hours * 3600.0)
        .map_err(|_| format!("--hours {hours} is no time"))?;
    let at = |what: &Path| {
        let what = what.display().to_string();
        move |error: std::io::Error| format!("{what}: {error}")
    };
    std::fs::create_dir_all(dir).map_err(at(dir))?;
    let count = dir.join(format!("soak-{seed}.txt"));
    let mut soak = match std::fs::read_to_string(&count) {
        Ok(text) => Soak::from_text(&text).map_err(|e| format!("{}: {e}", count.display()))?,
        Err(_) => Soak::new(seed),
    };
    // A party that panics is a violation, which is reported below.
    std::panic::set_hook(Box::new(|_| ()));
    let (begin, before, mut last) = (Instant::now(), soak.days, Instant::now());
    loop {
        if let Some(life) = soak.step()
            && soak.failed.len() <= WRITTEN
        {
            let short = life.shortened();
            let text = short.to_text(&short.live(KEPT));
            let file = dir.join(format!("life-{}.txt", life.seed));
            std::fs::write(&file, text).map_err(at(&file))?;
            println!("seed {}: see {}", life.seed, file.display());
        }
        let over = begin.elapsed() >= time;
        if over || last.elapsed() >= PROGRESS {
            last = Instant::now();
            // The new count takes the old one's place whole.
            let new = count.with_extension("new");
            std::fs::write(&new, soak.to_text()).map_err(at(&new))?;
            std::fs::rename(&new, &count).map_err(at(&count))?;
            let rate = (soak.days - before) as f64 / begin.elapsed().as_secs_f64();
            let (days, failed) = (soak.days, soak.failed.len());
            println!("{days} vehicle-days, {rate:.0} a second; lives that failed: {failed}");
        }
        if over {
            break;
        }
    }
    println!("\n{}", soak.markdown());
    println!(
        "{} vehicle-days, {} installations, {} lost reports made up for, {} empty cells, {} lives failed",
        soak.days,
        soak.installed,
        soak.repaired,
        soak.empty_cells().len(),
        soak.failed.len()
    );
    Ok(soak.failed.is_empty())
}

fn replay(file: &Path, shorten: bool) -> Result<bool, String> {
    let name = file.display();
    let open = std::fs::File::open(file).map_err(|error| format!("{name}: {error}"))?;
    let mut text = String::new();
    let read = open.take(LARGEST).read_to_string(&mut text);
    read.map_err(|error| format!("{name}: {error}"))?;
    let mut life = Life::from_text(&text).map_err(|error| format!("{name}: {error}"))?;
    if shorten {
        life = life.shortened();
        print!("{}", life.to_text(&life.live(KEPT)));
    }
    let end = life.live(ALL);
    if !shorten {
        end.lines.iter().for_each(|line| println!("{line}"));
    }
    let held = end.violation.is_none();
    match end.violation {
        Some(violation) => println!("{violation}"),
        None => println!(
            "every invariant held for {} vehicle-days",
            life.vehicle_days()
        ),
    }
    Ok(held)
}
