//! The same comparison in instructions instead of time, by callgrind: what a busy machine cannot blur.
//! Only work in user space counts: no waits, no kernel.

use super::cost::{Costs, Operation, Workshop};
use super::count::Counts;
use crate::process::spawn_at_gate;
use crate::site::Site;
use aid_cli::cli::Failure;
use clap::ValueEnum as _;
use serde::Serialize;
use std::path::Path;
use std::process::Command;

/// How often an operation runs in the longer of two runs, whose difference counts.
const TIMES: u32 = 9;

/// Instructions from login to enabled.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Instructions {
    /// Of all parts.
    total: u64,
    /// Of the cryptography in it.
    crypto: f64,
    /// Per operation.
    costs: Costs,
    /// Total by cryptography.
    pub(crate) ratio: f64,
}

/// Options of `aid-hil crypto-operation`, which runs one operation for callgrind.
#[derive(Debug, clap::Args)]
pub(crate) struct OperationArgs {
    #[arg(value_enum)]
    operation: Operation,
    times: u32,
    /// A set-up whose keys are used.
    dir: std::path::PathBuf,
}

/// Runs an operation some times.
pub(crate) fn run(args: &OperationArgs) -> Result<(), Failure> {
    let workshop = Workshop::new(&args.dir)?;
    (0..args.times).try_for_each(|_| workshop.once(args.operation))
}

impl Instructions {
    /// Whether valgrind is on this machine.
    pub(crate) fn can_be_counted() -> bool {
        let mut version = Command::new("valgrind");
        let version = version.arg("--version").output();
        version.is_ok_and(|output| output.status.success())
    }

    /// Reads what the parts of a counted story left, and counts its operations alone.
    pub(crate) fn of(site: &Site, counts: &Counts) -> Result<Self, Failure> {
        let mut total = 0;
        for program in ["euicc-sim", "aid-smdp", "aid-msp", "aid-cmp", "aid-agent"] {
            total += read(&site.path(&format!("logs/{program}.callgrind")))?;
        }
        let costs = Costs::collect(|operation| {
            let (few, many) = (
                counted(site, operation, 1)?,
                counted(site, operation, 1 + TIMES)?,
            );
            Ok(many.saturating_sub(few) as f64 / f64::from(TIMES))
        })?;
        let crypto = costs.of(counts);
        Ok(Self {
            total,
            crypto,
            costs,
            ratio: total as f64 / crypto,
        })
    }

    /// Millions: total, and cryptography.
    pub(crate) fn millions(&self) -> (f64, f64) {
        (self.total as f64 / 1e6, self.crypto / 1e6)
    }
}

fn counted(site: &Site, operation: Operation, times: u32) -> Result<u64, Failure> {
    let own = std::env::current_exe()
        .map_err(|e| Failure::new(format!("cannot find our own executable: {e}")))?;
    let name = operation
        .to_possible_value()
        .map(|v| v.get_name().to_owned());
    let file = site.path("logs/operation.callgrind");
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--log-file=/dev/null"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(own)
        .args([
            "crypto-operation",
            &name.unwrap_or_default(),
            &times.to_string(),
        ])
        .arg(&site.dir);
    let status = spawn_at_gate(&mut command)
        .and_then(|mut child| child.wait())
        .map_err(|e| Failure::new(format!("cannot run valgrind: {e}; install it")))?;
    if !status.success() {
        return Err(Failure::new(format!(
            "valgrind failed on {operation:?} ({status})"
        )));
    }
    read(&file)
}

/// The sum over all of a callgrind file.
fn read(file: &Path) -> Result<u64, Failure> {
    let unreadable = |why: &str| Failure::new(format!("cannot read {}: {why}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|e| unreadable(&e.to_string()))?;
    sum(&text).ok_or_else(|| unreadable("it has no totals"))
}

fn sum(text: &str) -> Option<u64> {
    let totals = text.lines().filter_map(|line| line.strip_prefix("totals:"));
    totals.map(|n| n.trim().parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_of_all_parts_of_a_file_add_up() {
        assert_eq!(sum("events: Ir\nfn=main\n1 2\ntotals: 41\n"), Some(41));
        assert_eq!(sum("totals: 41\npart: 2\ntotals: 1\n"), Some(42));
        assert_eq!(sum("totals: many\n"), None);
    }
}
