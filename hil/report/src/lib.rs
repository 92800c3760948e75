//! What a run of the bench or of the judge showed: a verdict per case, the requirements that each case
//! proves, the messages that were really seen, and what is needed to repeat the run.
//!
//! A [`Report`] is one JSON document; every other form (table, JUnit, HTML) is made from it alone.

mod case;
mod message;
mod report;
mod verdict;

pub use case::{Case, Counts, Failure, Step};
pub use message::{Field, Message, Protocol};
pub use report::{FORMAT, Kind, Laboratory, Report, Version};
pub use verdict::{Tally, Verdict};
