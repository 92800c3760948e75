//! What every server needs: HTTP listener with or without TLS and its limits, peers named by their certificates, values
//! that are replaced without a restart, health and metrics, traces, frame and protection of web pages, passwords. No
//! protocol and no decision of AID.02.
#![forbid(unsafe_code)]

pub mod admin;
pub mod console;
pub mod door;
pub mod expiry;
pub mod http;
pub mod json;
pub mod limit;
pub mod live;
pub mod metrics;
pub mod page;
pub mod password;
pub mod peer;
mod proxy;
pub mod slots;
pub mod telemetry;
