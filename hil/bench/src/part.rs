//! Runs one of the parts in this process: `aid-hil part aid-smdp serve --config ...`.
//! The demo starts every part this way, as a child process of the same executable, so that one build
//! is enough; the parts are the same code as the programs of their own names.

use crate::leftovers;
use std::ffi::OsString;
use std::process::ExitCode;

/// The parts, by program name.
pub(crate) const PROGRAMS: [&str; 8] = [
    "aid-agent",
    "aidctl",
    "aid-lpa",
    "aid-hmi",
    "euicc-sim",
    "aid-cmp",
    "aid-msp",
    "aid-smdp",
];

/// Runs the part that the first argument names, with all of the arguments.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    leftovers::obey_leash();
    let program = args.first().and_then(|a| a.to_str()).unwrap_or_default();
    match program {
        "aid-agent" => aid_agent::run(args),
        "aidctl" => aid_agent::run_ctl(args),
        "aid-lpa" => aid_lpa::run(args),
        "aid-hmi" => aid_hmi::run(args),
        "euicc-sim" => euicc_sim::run(args),
        "aid-cmp" => aid_cmp::run(args),
        "aid-msp" => aid_msp::run(args),
        "aid-smdp" => aid_smdp::run(args),
        // No part of the system: what `bench aid1` compares with.
        "bare-http" => crate::figures::run_bare(args),
        other => {
            let known = PROGRAMS.join(", ");
            aid_cli::cli::main("aid-hil", args_of_none(), |_: Nothing| {
                Err(aid_cli::cli::Failure::usage(format!(
                    "there is no part {other:?}; there are {known}"
                )))
            })
        }
    }
}

/// Arguments that carry the logging options only.
#[derive(clap::Parser)]
struct Nothing {
    #[command(flatten)]
    logs: aid_cli::cli::LogArgs,
}

impl aid_cli::cli::Arguments for Nothing {
    fn logs(&self) -> &aid_cli::cli::LogArgs {
        &self.logs
    }
}

fn args_of_none() -> Vec<OsString> {
    vec!["aid-hil".into()]
}
