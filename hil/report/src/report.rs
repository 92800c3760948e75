//! A whole run.

use crate::case::Case;
use crate::verdict::{Tally, Verdict};
use serde::{Deserialize, Serialize};

/// Revision of the JSON document; a reader refuses one that is newer.
pub const FORMAT: u32 = 1;

/// What kind of run it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Kind {
    /// Scenarios on a device under test.
    Scenarios,
    /// The judge on somebody's system.
    Judge {
        /// `cmp`, `msp`, `smdp`, `lpa`, `card` or `vehicle`.
        target: String,
    },
    /// Many cars at once, and the books of all sides at the end.
    Fleet,
    /// One car's story from onboarding to the second logout.
    Demo,
}

/// A program that took part, and its version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// `aid-hil`, `aid-cmp`, the name in the target file.
    pub name: String,
    /// As it says itself.
    pub version: String,
}

/// What a laboratory puts on the cover of a report; every field may be empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Laboratory {
    /// Name of the laboratory.
    pub name: String,
    /// Who ran it.
    pub operator: String,
    /// Device under test: maker, model, serial number.
    pub device: String,
    /// Hardware and software versions of the device.
    pub versions: String,
    /// Anything else: order number, remarks.
    pub remarks: String,
}

/// A run: what was tried, what it came to, and how to repeat it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// What kind of run it was.
    #[serde(flatten)]
    pub kind: Kind,
    /// Name of the device or target, from its file.
    pub subject: String,
    /// The command line that repeats the run, seed included.
    pub command: String,
    /// All randomness of the run comes from it.
    pub seed: u64,
    /// RFC 3339, UTC.
    pub began: String,
    /// RFC 3339, UTC.
    pub ended: String,
    /// The cover.
    #[serde(default)]
    pub laboratory: Laboratory,
    /// The programs that took part.
    pub versions: Vec<Version>,
    /// In the order they ran.
    pub cases: Vec<Case>,
}

impl Report {
    /// Number of cases per verdict.
    #[must_use]
    pub fn tally(&self) -> Tally {
        Tally::of(self.cases.iter().map(|case| case.verdict))
    }

    /// Did no case fail? (Warnings and inconclusive cases fail a run only where the caller is strict.)
    #[must_use]
    pub fn ok(&self) -> bool {
        self.cases.iter().all(|case| case.verdict != Verdict::Fail)
    }
}
