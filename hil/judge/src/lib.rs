//! The judge: somebody else's CMP, MSP, SM-DP+, LPA, card or vehicle as a black box. The judge plays all other
//! parties, and each [`Test`] looks at one requirement of the specification.
//!
//! A test knows its subject only by the wire. What it may expect of a subject beyond the specification's duties is
//! declared in the target file; a declaration selects tests, and is itself tested.

mod evidence;
mod run;
mod test;

pub use evidence::Evidence;
pub use run::{Wanted, run};
pub use test::{Finding, Level, Test, always};
