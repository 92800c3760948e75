//! SM-DP+ of SGP.22 v2.4: the operator orders over ES2+, the LPA downloads over ES9+.
//! [`core`] decides (sans-IO: time, random generator and cryptography are arguments), `store` keeps
//! orders and notifications, `service` ties them together, `web` speaks HTTP.
#![forbid(unsafe_code)]

pub mod config;
pub mod core;
pub mod crypto;
pub mod inventory;
pub mod operators;
mod program;
pub mod progress;
pub mod revocation;
pub mod service;
pub mod store;
pub mod template;
mod trace;
pub mod web;

pub use program::run;
