//! A life as a text that a person reads and `aid-sim replay` lives again; and what is left of a failing one without what
//! it does not need.
//!
//! ```text
//! life 17 days 10
//! 1800000000000 0 backup
//! 1800025200000 1 arm switching cut-after
//! # invariant 1: ...
//! #   0d 07:03:12.004 car 1: starts
//! ```
//! Lines that begin with `#` say what came of it, and are not read.

use crate::life::{End, Life};
use crate::plan::Deed;
use std::fmt::Write as _;

/// Most lives that are lived to shorten one.
const TRIES: usize = 80;
/// Largest text that is read, bytes.
pub const LARGEST: u64 = 4 << 20;
/// Longest life that is read, days.
const DAYS: u64 = 10_000;

impl Life {
    /// The life as a text, with what came of it.
    #[must_use]
    pub fn to_text(&self, end: &End) -> String {
        let mut text = format!("life {} days {}\n", self.seed, self.days);
        for step in &self.plan {
            // Writing to a text does not fail.
            let _ = writeln!(text, "{step}");
        }
        if let Some(violation) = &end.violation {
            let _ = writeln!(text, "# {violation}");
        }
        for line in &end.lines {
            let _ = writeln!(text, "# {line}");
        }
        text
    }

    /// The life of a text.
    ///
    /// # Errors
    /// The line that is wrong, and why.
    pub fn from_text(text: &str) -> Result<Self, String> {
        let lines = text.lines().enumerate();
        let mut lines = lines.filter(|(_, l)| !l.trim().is_empty() && !l.starts_with('#'));
        let (_, first) = lines.next().ok_or("the file is empty")?;
        let words: Vec<&str> = first.split_whitespace().collect();
        let wrong = || format!("line 1 is {first:?}, not `life SEED days DAYS`");
        let ["life", seed, "days", days] = words[..] else {
            return Err(wrong());
        };
        let seed = seed.parse().map_err(|_| wrong())?;
        let days = days.parse().map_err(|_| wrong())?;
        if days > DAYS {
            return Err(format!("{days} days are more than {DAYS}"));
        }
        let step = |(number, line): (usize, &str)| {
            let read = line.parse();
            read.map_err(|error: String| format!("line {}: {error}", number + 1))
        };
        Ok(Self {
            seed,
            days,
            plan: lines.map(step).collect::<Result<_, _>>()?,
            sabotage: None,
        })
    }

    /// A shorter life that breaks the same invariant: faults are left out as long as it still does.
    #[must_use]
    pub fn shortened(&self) -> Self {
        let invariant = |life: &Self| life.live(0).violation.map(|v| v.invariant);
        let Some(broken) = invariant(self) else {
            return self.clone();
        };
        let mut best = self.clone();
        let mut at = 0;
        for _ in 0..TRIES {
            let faults = best.plan.iter().enumerate().skip(at);
            let mut faults = faults.filter(|(_, s)| matches!(s.deed, Deed::Arm(..)));
            let Some((next, _)) = faults.next() else {
                break;
            };
            let mut shorter = best.clone();
            shorter.plan.remove(next);
            if invariant(&shorter) == Some(broken) {
                (best, at) = (shorter, next);
            } else {
                at = next + 1;
            }
        }
        best
    }
}
