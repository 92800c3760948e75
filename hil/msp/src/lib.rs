//! A mobile service provider (MSP) as the counterpart of a CMP: touchpoint for customers (AID5), AID1 both ways, profiles
//! ordered at an SM-DP+ over ES2+ (GSMA AID.02 §4, §7; SGP.22 §5.3).
//!
//! `core` decides, `store` is what must not be forgotten, `api` and `touchpoint` are the two servers, `orders` and `outbox`
//! do the work, `admin` is the command line's part, `control` the same over HTTP for test benches. What the MSP can do
//! wrong is in `misbehave`: a `layer` around calls and answers, and the rules of an ordering step. The program is [`run`].
#![forbid(unsafe_code)]

mod admin;
mod agreed;
mod api;
mod attempts;
mod config;
mod control;
mod core;
mod desk;
mod es2;
mod es2_server;
mod layer;
mod misbehave;
mod msp;
mod orders;
mod outbox;
mod program;
mod store;
mod touchpoint;

pub use aid_serve::password::hash as hash_password;
pub use config::EXAMPLE;
pub use program::run;
