//! The aggregation layer of AID.02 figure 1: a party deploys one interface, to the hub, and reaches all others through it.
//!
//! `core` decides, `store` is what must not be forgotten, `api` is the listener for the parties, `delivery` works off what
//! was accepted for parties that are away, `console` is for operators. The program is [`run`]; docs/hub.md says what it
//! keeps and why.
#![forbid(unsafe_code)]

mod api;
mod backlog;
mod carriers;
mod config;
mod console;
mod core;
mod delivery;
mod flights;
mod gate;
mod hub;
mod onboarding;
mod program;
mod shown;
mod store;
mod upkeep;

pub use program::run;
