//! What a car does must survive its end at any moment: `aid-hil kills` kills the agent, `aid-hil power-cut` cuts the power of a
//! virtual machine with agent and card, both while drivers log in, download, delete and log out. Afterwards card, SM-DP+,
//! CMP and MSP must tell the same history of each profile (docs/POWER.md).

mod books;
mod disk;
mod drivers;
mod kills;
mod machine;
mod nbd;
mod power;
mod relay;
mod world;

pub(crate) use kills::{KillArgs, run as kill};
pub(crate) use power::{PowerArgs, run as cut};

use aid_cli::cli::Failure;
use std::sync::mpsc;
use std::time::Duration;

/// Waits.
fn pause(time: Duration) {
    let (_keep, never) = mpsc::channel::<()>();
    let _ = never.recv_timeout(time);
}

/// The seed of a run: the one that was given, or one that is drawn, short enough for every reader of JSON.
fn seed(given: Option<u64>) -> Result<u64, Failure> {
    let wrong = |e| Failure::new(format!("no random numbers: {e}; give --seed"));
    match given {
        Some(seed) => Ok(seed),
        None => Ok(getrandom::u64().map_err(wrong)? >> 11),
    }
}
