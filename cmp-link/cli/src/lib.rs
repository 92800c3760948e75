//! What every program needs: command line and logs, configuration files, files that only their owner may read, printable
//! text, readiness line, signals, the supervisor, completions and manual pages, a clock that jumps, dates of certificates. The feature `tls` adds TLS configurations
//! made of certificate and key files; `table` adds lists for people and scripts, with their times. No web server, no database, no protocol and no decision of AID.02.
#![forbid(unsafe_code)]

pub mod certificate;
pub mod cli;
pub mod clock;
pub mod config;
pub mod hidden;
#[cfg(feature = "table")]
pub mod irreversible;
#[cfg(feature = "table")]
pub mod list;
mod manual;
pub mod object;
pub mod printable;
pub mod private;
pub mod ready;
pub mod signal;
pub mod supervisor;
#[cfg(feature = "table")]
pub mod table;
#[cfg(feature = "table")]
pub mod time;
#[cfg(feature = "tls")]
pub mod tls;
pub mod validity;
pub mod weak;
