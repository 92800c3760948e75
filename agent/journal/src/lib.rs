//! The agent's durable log: what was acknowledged is there after a power cut, and nothing else.
//! Format in `docs/journal/format.md`; no clause of AID.02 rules it, R-4.3-14 and R-4.3-12 need it.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod crc;
#[cfg(feature = "std")]
mod file;
pub mod format;
mod log;
mod media;
pub mod sim;

#[cfg(feature = "std")]
pub use file::{FileError, FileMedia, KEPT_ASIDE};
pub use log::{Config, Error, Journal, Recovered, read};
pub use media::Media;
