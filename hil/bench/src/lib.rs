//! The bench: one command that starts every part as a process of its own, drives them as a driver, an
//! operator and a lab would, and reports what it saw.
//!
//! It alone may depend on all the parts; it talks to them as anybody else would: over their sockets,
//! their pages and their command lines.
#![forbid(unsafe_code)]

mod cluster;
mod compare;
mod conformance;
mod cuts;
mod demo;
mod dut;
mod figures;
mod fleet;
mod leftovers;
mod link;
mod part;
mod process;
mod replay;
mod report;
mod scenario;
mod site;
mod story;
mod watch;

use aid_cli::cli::{self, Arguments, Failure, LogArgs};
use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::process::ExitCode;

/// Provisions a car on loopback and shows it; writes set-ups, figures and the conformance table.
#[derive(Debug, Parser)]
#[command(name = "aid-hil", version)]
struct Args {
    #[command(flatten)]
    logs: LogArgs,
    #[command(subcommand)]
    action: Action,
}

impl Arguments for Args {
    fn logs(&self) -> &LogArgs {
        &self.logs
    }
}

#[derive(Debug, Subcommand)]
enum Action {
    /// One command provisions a car: starts all parts, onboards a driver, logs in, downloads, logs out.
    Demo(demo::DemoArgs),
    /// Play the procedures of AID.02 §4 from end to end with the real programs.
    Scenario(scenario::ScenarioArgs),
    /// Show the scenarios that there are, the JSON Schema of their files, or all steps.
    List(scenario::ListArgs),
    /// Say what a device under test needs of this machine, what is missing, and how to get it.
    Doctor(dut::DoctorArgs),
    /// Play scenarios on a device under test.
    Run(scenario::RunArgs),
    /// Write keys, certificates, configurations and a profile for running the parts by hand.
    Init(site::InitArgs),
    /// Measure what the parts need, beside limits and named peers.
    Bench(figures::BenchArgs),
    /// Kill every part of a cluster under load, and compare the books (docs/cluster.md).
    Cluster(cluster::ClusterArgs),
    /// Kill the agent of a car at random moments of logins and downloads, and compare the books of all sides (docs/POWER.md).
    Kills(cuts::KillArgs),
    /// Cut the power of a car, a virtual machine, at such moments, and compare the books of all sides (docs/POWER.md).
    PowerCut(cuts::PowerArgs),
    /// Drive many cars against a real CMP, MSP and SM-DP+, and compare the books of all sides at the end (docs/fleet.md).
    Fleet(fleet::FleetArgs),
    /// Show what changed between two reports; the exit code is 1 when something got worse (docs/report.md).
    Compare(compare::CompareArgs),
    /// Repeat the run of a report with its seed, and say whether the same verdicts came (docs/report.md).
    Replay(replay::ReplayArgs),
    /// Judge somebody else's CMP, MSP, SM-DP+, LPA, card or vehicle, one test per requirement (docs/judge.md, docs/judge-rsp.md, docs/judge-vehicle.md).
    Judge(aid_judge::JudgeArgs),
    /// Write or check docs/CONFORMANCE.md from the requirement ids on the tests.
    Conformance(conformance::ConformanceArgs),
    /// Run one cryptographic operation some times: what `bench --instructions` counts.
    #[command(hide = true)]
    CryptoOperation(figures::OperationArgs),
    /// Run one of the parts in this process, e.g. `aid-hil part aid-smdp serve --config smdp.toml`.
    #[command(disable_help_flag = true)]
    Part {
        /// aid-agent, aid-hmi, aidctl, aid-lpa, euicc-sim, aid-cmp, aid-hub, aid-msp or aid-smdp.
        program: String,
        /// Its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
}

/// Runs `aid-hil` with these arguments (the first is the program's name).
#[must_use]
pub fn run(args: Vec<OsString>) -> ExitCode {
    // A part takes its arguments, --help and --trace included, for itself.
    if args.get(1).is_some_and(|a| a == "part") && args.len() > 2 {
        return part::run(args.into_iter().skip(2).collect());
    }
    cli::main("aid-hil", args, |args: Args| {
        let done = act(&args);
        // A run that is being ended says so itself.
        drop(leftovers::gate());
        done
    })
}

fn act(args: &Args) -> Result<(), Failure> {
    if matches!(
        args.action,
        Action::Demo(_)
            | Action::Scenario(_)
            | Action::Run(_)
            | Action::Init(_)
            | Action::Bench(_)
            | Action::Cluster(_)
            | Action::Kills(_)
            | Action::PowerCut(_)
            | Action::Fleet(_)
            | Action::Replay(_)
    ) {
        leftovers::watch()?;
        leftovers::sweep(&std::env::temp_dir());
    }
    match &args.action {
        Action::Demo(demo) => demo::run(demo, &args.logs),
        Action::Scenario(scenario) => scenario::scenario(scenario, &args.logs),
        Action::List(list) => scenario::list(list),
        Action::Doctor(doctor) => dut::doctor(doctor),
        Action::Run(run) => scenario::run(run, &args.logs),
        Action::Init(init) => site::init(init),
        Action::Bench(bench) => figures::run(bench, &args.logs),
        Action::Cluster(cluster) => cluster::run(cluster, &args.logs),
        Action::Kills(kills) => cuts::kill(kills, &args.logs),
        Action::PowerCut(cuts) => cuts::cut(cuts, &args.logs),
        Action::Fleet(fleet) => fleet::run(fleet, &args.logs),
        Action::Compare(compare) => compare::run(compare),
        Action::Replay(replay) => replay::run(replay),
        Action::Judge(judge) => judge.run(),
        Action::CryptoOperation(operation) => figures::run_operation(operation),
        Action::Conformance(conformance) => conformance::run(conformance),
        Action::Part { program, .. } => Err(Failure::usage(format!(
            "part {program:?} must come first on the command line: aid-hil part {program} ..."
        ))),
    }
}
