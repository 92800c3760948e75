//! Verdicts, and how many there are of each.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What a case, or a step of one, came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The subject did what the requirement says.
    Pass,
    /// Not run: an option that is not declared, or something that this rig lacks. The reason is given.
    Skipped,
    /// The subject may do so, and should not: a SHOULD, or a habit that other implementations stumble over.
    Warning,
    /// It can't be said: another cause (the network, a precondition, another party) hid the answer.
    Inconclusive,
    /// The subject broke the requirement, and the messages prove it.
    Fail,
}

impl Verdict {
    /// All of them, best first.
    pub const ALL: [Self; 5] = [
        Self::Pass,
        Self::Skipped,
        Self::Warning,
        Self::Inconclusive,
        Self::Fail,
    ];

    /// Its word in reports: `pass`, `skipped`, `warning`, `inconclusive`, `fail`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Skipped => "skipped",
            Self::Warning => "warning",
            Self::Inconclusive => "inconclusive",
            Self::Fail => "fail",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// Number of cases per verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// [`Verdict::Pass`].
    pub pass: u32,
    /// [`Verdict::Skipped`].
    pub skipped: u32,
    /// [`Verdict::Warning`].
    pub warning: u32,
    /// [`Verdict::Inconclusive`].
    pub inconclusive: u32,
    /// [`Verdict::Fail`].
    pub fail: u32,
}

impl Tally {
    /// Counts `verdicts`.
    #[must_use]
    pub fn of(verdicts: impl IntoIterator<Item = Verdict>) -> Self {
        let mut tally = Self::default();
        for verdict in verdicts {
            let place = match verdict {
                Verdict::Pass => &mut tally.pass,
                Verdict::Skipped => &mut tally.skipped,
                Verdict::Warning => &mut tally.warning,
                Verdict::Inconclusive => &mut tally.inconclusive,
                Verdict::Fail => &mut tally.fail,
            };
            *place = place.saturating_add(1);
        }
        tally
    }

    /// The summary line: `3 pass, 1 skipped, 0 warning, 0 inconclusive, 1 fail`.
    #[must_use]
    pub fn line(&self) -> String {
        format!(
            "{} pass, {} skipped, {} warning, {} inconclusive, {} fail",
            self.pass, self.skipped, self.warning, self.inconclusive, self.fail
        )
    }
}
