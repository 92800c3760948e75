//! What a run showed: steps with their figures, as a table for people and one object for scripts.

use serde::Serialize;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

/// One step of the story.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Step {
    /// Its name, one word.
    pub(crate) name: &'static str,
    /// Was it as it should be?
    pub(crate) ok: bool,
    /// Duration, milliseconds.
    pub(crate) ms: f64,
    /// C-APDUs to the card.
    pub(crate) apdus: u64,
    /// TCP payload over the car's admin link, both directions, bytes.
    pub(crate) admin_bytes: u64,
}

/// Sums over the steps.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Totals {
    /// Milliseconds.
    pub(crate) ms: f64,
    /// C-APDUs.
    pub(crate) apdus: u64,
    /// Bytes.
    pub(crate) admin_bytes: u64,
}

/// A whole run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    /// Was every step as it should be?
    pub(crate) ok: bool,
    /// The card.
    pub(crate) eid: String,
    /// The profile.
    pub(crate) iccid: String,
    /// In the order they happened.
    pub(crate) steps: Vec<Step>,
    /// Sums.
    pub(crate) totals: Totals,
    /// From the first login to the profile enabled by it.
    #[serde(skip)]
    pub(crate) provisioning: (SystemTime, SystemTime),
    /// Processor time of all parts in it.
    #[serde(skip)]
    pub(crate) cpu: Duration,
    /// Why it failed, in one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

impl Report {
    /// An empty report.
    pub(crate) fn new(eid: &str, iccid: &str) -> Self {
        Self {
            ok: false,
            eid: eid.to_owned(),
            iccid: iccid.to_owned(),
            steps: Vec::new(),
            totals: Totals::default(),
            provisioning: (SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH),
            cpu: Duration::ZERO,
            error: None,
        }
    }

    /// A run that could not begin.
    pub(crate) fn not_begun(error: &str) -> Self {
        Self {
            error: Some(error.to_owned()),
            ..Self::new("", "")
        }
    }

    /// Adds a step; its time is kept in whole microseconds.
    pub(crate) fn push(&mut self, mut step: Step) {
        step.ms = microseconds(step.ms);
        self.totals.ms = microseconds(self.totals.ms + step.ms);
        self.totals.apdus += step.apdus;
        self.totals.admin_bytes += step.admin_bytes;
        self.steps.push(step);
    }

    /// The table for people.
    pub(crate) fn table(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "{:<18} {:>4} {:>10} {:>7} {:>12}",
            "step", "", "ms", "APDUs", "admin bytes"
        );
        for step in &self.steps {
            let verdict = if step.ok { "ok" } else { "FAIL" };
            let _ = writeln!(
                out,
                "{:<18} {:>4} {:>10.1} {:>7} {:>12}",
                step.name, verdict, step.ms, step.apdus, step.admin_bytes
            );
        }
        let totals = self.totals;
        let _ = writeln!(
            out,
            "{:<18} {:>4} {:>10.1} {:>7} {:>12}",
            "total", "", totals.ms, totals.apdus, totals.admin_bytes
        );
        out
    }
}

/// Milliseconds without digits that nobody has measured.
fn microseconds(ms: f64) -> f64 {
    (ms * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_sums_and_json_has_the_promised_shape() {
        let mut report = Report::new("89", "8988");
        for n in 1..=3 {
            report.push(Step {
                name: "download",
                ok: true,
                ms: f64::from(n),
                apdus: 10,
                admin_bytes: 100,
            });
        }
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["totals"]["ms"], 6.0);
        assert_eq!(json["totals"]["apdus"], 30);
        assert_eq!(json["totals"]["admin_bytes"], 300);
        assert_eq!(json["steps"][0]["name"], "download");
        assert!(json.get("error").is_none());
        assert_eq!(report.table().lines().count(), 5);
    }
}
