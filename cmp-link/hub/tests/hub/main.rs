//! The hub as a process between parties that are made from the contract, over real mutual TLS.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

mod attacks;
mod console;
mod contract;
mod delivery;
mod kill;
mod life;
mod party;
mod passing;
mod procedures;
mod world;
