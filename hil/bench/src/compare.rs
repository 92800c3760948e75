//! `aid-hil compare`: what changed between two reports.

use aid_cli::cli::{self, Failure};
use aid_report::Comparison;
use std::path::PathBuf;

/// Options of `aid-hil compare`.
#[derive(Debug, clap::Args)]
pub(crate) struct CompareArgs {
    /// Report of the first run, as --report writes it.
    #[arg(value_name = "A")]
    first: PathBuf,
    /// Report of the second run.
    #[arg(value_name = "B")]
    second: PathBuf,
    /// Print one JSON object on stdout.
    #[arg(long)]
    json: bool,
}

/// Shows the differences; the exit code is 1 when something got worse.
pub(crate) fn run(args: &CompareArgs) -> Result<(), Failure> {
    let first = aid_report::open(&args.first)?;
    let second = aid_report::open(&args.second)?;
    let comparison = Comparison::of(&first, &second);
    if args.json {
        cli::print(&format!("{}\n", serde_json::to_string(&comparison)?))?;
    } else {
        cli::print(&comparison.table())?;
    }
    if comparison.worse {
        return Err(Failure::new(format!(
            "{} is worse than {}",
            args.second.display(),
            args.first.display()
        )));
    }
    Ok(())
}
