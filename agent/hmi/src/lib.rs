//! The page of the car's screen (AID7): who is logged in, whose number is active, login, logout, deletion.
//!
//! It serves one browser in the car, on loopback or on a unix socket, and is a client of the agent's local API (AID4,
//! `docs/wire/aid4.md`): what it shows is what the agent says, and it decides nothing. `docs/hmi.md` describes how it is
//! set up. Program: `aid-hmi` ([`run`]).
#![forbid(unsafe_code)]

mod agent;
mod config;
mod door;
mod language;
mod listen;
mod page;
mod program;
mod routes;
mod session;
mod state;

pub use program::run;
