//! The vehicle-side AID.02 agent for a Linux TCU: a thin tokio shell around `aid-agent-core`.
//! AID2 (link to the CMP), AID3 (through the `Euicc` port) and AID4 (local API).
//! Programs: `aid-agent` (`run`) and `aidctl` (`ctl::run`).
#![forbid(unsafe_code)]

mod api;
mod boot_clock;
pub mod card;
pub mod config;
pub mod ctl;
pub mod daemon;
mod link;
mod program;
mod view;

pub use program::run;
