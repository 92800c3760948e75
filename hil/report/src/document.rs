//! The JSON document.

use crate::report::{FORMAT, Report};
use serde::Deserialize;
use std::fmt;

/// Largest document that is read, bytes.
pub const MAX_DOCUMENT: usize = 512 * 1024 * 1024;

/// Why a text is no report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadError {
    /// More than [`MAX_DOCUMENT`] bytes.
    TooLarge(usize),
    /// A newer revision than this program knows.
    Newer(u32),
    /// No revision at all, so it is no report.
    NoReport(String),
    /// A member is missing, or is of another type.
    Malformed(String),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(bytes) => {
                write!(f, "a report has at most {MAX_DOCUMENT} bytes, got {bytes}")
            }
            Self::Newer(got) => write!(
                f,
                "the report has format {got}, and this program reads formats up to {FORMAT}: read it with a newer aid-hil"
            ),
            Self::NoReport(why) => write!(
                f,
                "not a report: {why}; a report is the file that --report writes"
            ),
            Self::Malformed(why) => write!(f, "the report is damaged: {why}"),
        }
    }
}

impl std::error::Error for ReadError {}

impl Report {
    /// Reads the JSON document.
    ///
    /// # Errors
    /// [`ReadError`]: a newer format, or no report.
    pub fn read(text: &[u8]) -> Result<Self, ReadError> {
        #[derive(Deserialize)]
        struct Revision {
            format: u32,
        }
        if text.len() > MAX_DOCUMENT {
            return Err(ReadError::TooLarge(text.len()));
        }
        let revision: Revision =
            serde_json::from_slice(text).map_err(|e| ReadError::NoReport(e.to_string()))?;
        if revision.format > FORMAT {
            return Err(ReadError::Newer(revision.format));
        }
        if revision.format == 0 {
            return Err(ReadError::NoReport("formats are counted from 1".to_owned()));
        }
        serde_json::from_slice(text).map_err(|e| ReadError::Malformed(e.to_string()))
    }

    /// Writes the JSON document, indented, with a line end.
    ///
    /// # Errors
    /// Never for a report: its values are texts and numbers.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }
}
