//! Where the card's memory is: a file or the process, with the quirks of a memory around it.

mod file;
mod quirky;

pub use file::{FileNvm, OpenError};
pub(crate) use quirky::{CardNvm, Cut, Enables};
