//! What every program's thin shell shares: command line and logs, configuration file, readiness
//! line, TLS material, HTTPS listener, signals, frame and
//! protection of web pages, passwords. No protocol and no decision of AID.02 is here.
//! Called by the programs aid-agent, aidctl, aid-lpa, euicc-sim, aid-cmp, aid-msp, aid-smdp, aid-hil.
#![forbid(unsafe_code)]

#[cfg(feature = "operations")]
pub mod admin;
pub mod cli;
pub mod clock;
pub mod config;
pub mod door;
pub mod http;
pub mod json;
#[cfg(feature = "operations")]
pub mod limit;
pub mod live;
#[cfg(feature = "operations")]
pub mod metrics;
pub mod page;
pub mod password;
pub mod peer;
pub mod printable;
pub mod private;
mod proxy;
pub mod ready;
pub mod signal;
pub mod slots;
pub mod sqlite;
#[cfg(feature = "operations")]
pub mod telemetry;
pub mod tls;
pub mod validity;
pub mod weak;
#[cfg(feature = "database")]
pub mod writer;
