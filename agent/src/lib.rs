//! The vehicle-side AID.02 agent for a Linux TCU: a thin tokio shell around `aid-agent-core`.
//! AID2 (link to the CMP), AID3 (through the `Euicc` port) and AID4 (local API).
//! Programs: `aid-agent` ([`run`]) and `aidctl` ([`run_ctl`]).
#![forbid(unsafe_code)]

mod api;
mod backoff;
mod boot_clock;
#[cfg(feature = "dbus")]
mod bus;
pub mod card;
pub mod config;
mod ctl;
pub mod daemon;
mod diagnostics;
mod dialer;
mod erase;
mod euicc;
mod health;
mod inbox;
mod interfaces;
pub mod keys;
mod last_login;
mod link;
mod pin;
mod program;
mod reload;
mod renewal;
mod signals;
mod store;
mod transactions;
mod view;
mod watchdog;
mod work;

pub use ctl::run as run_ctl;
pub use euicc::LpaEuicc;
pub use program::run;
