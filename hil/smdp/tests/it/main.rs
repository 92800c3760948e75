//! The SM-DP+ against a scripted card that does the real cryptography, and over real TLS.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed unwrap is a failed test"
)]

mod bench;
mod card;
mod defects;
mod desk;
mod disk;
mod doors;
mod download;
mod faults;
mod kill;
mod migrate;
mod notifications;
mod orders;
mod program;
mod progress;
mod refusals;
mod revocations;
mod sessions;
mod strangers;
mod templates;
mod vectors;
