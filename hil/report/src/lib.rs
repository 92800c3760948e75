//! What a run of the bench or of the judge showed: a verdict per case, the requirements that each case
//! proves, the messages that were really seen, and what is needed to repeat the run.
//!
//! A [`Report`] is one JSON document; every other form (table, JUnit, HTML) is made from it alone. A [`Recorder`] makes
//! its messages, and masks the secrets in them. [`Outputs`] are the options of a command that publishes a report.

mod case;
mod compare;
mod document;
mod html;
mod junit;
mod mask;
mod message;
mod node;
mod outputs;
mod record;
mod report;
mod table;
mod verdict;

pub use case::{Case, Counts, Failure, Step};
pub use compare::{Change, Comparison, Difference, VersionChange};
pub use document::{MAX_DOCUMENT, ReadError};
pub use html::{MAX_PAGE, STYLE, page, sequence, sequence_row};
pub use mask::{MASK, Mask};
pub use message::{Field, Message, Protocol};
pub use outputs::{Outputs, open, show, summary};
pub use record::{
    MAX_BYTES, MAX_FIELDS, MAX_MESSAGES, MAX_NAME, MAX_TITLE, MAX_VALUE, Recorder, Request,
    Response, Route, instruction, status_word,
};
pub use report::{FORMAT, Kind, Laboratory, Report, Version};
pub use table::{Colours, case_lines, first_line, heading, table};
pub use verdict::{Tally, Verdict};
