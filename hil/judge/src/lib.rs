//! The judge: somebody else's CMP, MSP, SM-DP+, LPA, card or vehicle as a black box. The judge plays all other
//! parties, and each [`Test`] looks at one requirement of the specification.
//!
//! A test knows its subject only by the wire. What it may expect of a subject beyond the specification's duties is
//! declared in the target file; a declaration selects tests, and is itself tested.
//!
//! A kind of target is a [`Subject`]: the type that holds its connections, its part of the target file, and its tests.
//! [`JudgeArgs`] is the command; its table of kinds has one line for each.

mod aid1;
pub mod card;
mod cmp;
mod command;
mod evidence;
pub mod lpa;
mod msp;
mod random;
mod rsp;
mod run;
pub mod smdp;
mod subject;
mod target;
mod test;
mod vehicle;

pub use command::JudgeArgs;
pub use evidence::Evidence;
pub use random::Random;
pub use run::{Wanted, run};
pub use subject::{Setting, Subject};
pub use target::{Cover, MAX_TARGET};
pub use test::{Finding, Level, Test, always};
