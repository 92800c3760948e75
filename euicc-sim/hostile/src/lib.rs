//! What hostile input may not do: the bodies of the fuzz targets of `euicc-sim/fuzz`.
//!
//! Each target takes any bytes and panics when the code under test does, or when one of its promises is
//! broken: an answer that is none, memory that is used without limit, tampering that is accepted, an
//! object that changes when it is written again. libFuzzer looks for such bytes (docs/FUZZING.md); the
//! committed corpus runs through the same functions in `tests/corpus.rs`, on any toolchain.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a broken promise is a panic: that is what the fuzzer sees"
)]

mod reader;
mod seeded;
pub mod seeds;
mod source;
mod targets;
mod toy;
pub mod world;

pub use reader::{Reader, one_time_key};
pub use seeded::Seeded;
pub use toy::Toy;

/// A fuzz target: its name, and what it does with bytes.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Name of the binary, and of the folder of its corpus.
    pub name: &'static str,
    /// Its body.
    pub run: fn(&[u8]),
}

/// All targets.
pub const TARGETS: [Target; 7] = [
    Target {
        name: "apdu",
        run: targets::apdu::run,
    },
    Target {
        name: "bpp",
        run: targets::bpp::run,
    },
    Target {
        name: "certificate",
        run: targets::certificate::run,
    },
    Target {
        name: "es10",
        run: targets::es10::run,
    },
    Target {
        name: "es9",
        run: targets::es9::run,
    },
    Target {
        name: "saip",
        run: targets::saip::run,
    },
    Target {
        name: "tlv",
        run: targets::tlv::run,
    },
];

/// Runs one input through the target of this name.
///
/// # Panics
/// When there is no such target, or a promise is broken.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|t| t.name == name);
    (target.unwrap_or_else(|| panic!("no target {name}")).run)(data);
}
