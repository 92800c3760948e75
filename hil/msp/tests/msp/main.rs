//! The program as CMPs and customers meet it: real process, real mutual TLS, a CMP and an SM-DP+ that record.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot set itself up has failed"
)]

mod account;
mod answers;
mod attempts;
mod calls;
mod clock;
mod console;
mod desk;
mod disk;
mod doors;
mod hardening;
mod kill;
mod lanes;
mod misbehave;
mod onboarding;
mod operator;
mod orders;
mod peers;
mod refusals;
mod renewal;
mod stage;
mod withdrawal;
