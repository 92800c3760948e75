//! What changed between two runs.

use crate::case::{Case, Counts};
use crate::report::Report;
use crate::verdict::Verdict;
use aid_cli::printable::printable;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// How a case changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Its verdict is worse, in the order of [`Verdict::ALL`].
    Worse,
    /// Its verdict is better.
    Better,
    /// Only the second run has it.
    New,
    /// Only the first run has it.
    Gone,
    /// Its verdict is the same; figures differ.
    Figures,
}

/// A case that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Name of the case.
    pub name: String,
    /// How it changed.
    pub change: Change,
    /// In the first run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Verdict>,
    /// In the second run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Verdict>,
    /// Why the second run's case is not a pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Figures of the first run.
    pub counts_before: Counts,
    /// Figures of the second run.
    pub counts_after: Counts,
}

/// A program whose version differs; absent where it took no part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VersionChange {
    /// Name of the program.
    pub name: String,
    /// In the first run.
    pub before: Option<String>,
    /// In the second run.
    pub after: Option<String>,
}

/// Two runs, compared case by case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Did anything get worse: a verdict, a case that is gone and was not skipped, a new case that fails?
    pub worse: bool,
    /// Cases that are in both runs with the same verdict.
    pub same: usize,
    /// Programs with another version.
    pub versions: Vec<VersionChange>,
    /// Cases that differ, worse ones first.
    pub differences: Vec<Difference>,
}

/// A case whose time differs by less is not reported for that, microseconds.
const MIN_US: u64 = 20_000;

impl Comparison {
    /// Compares the second run with the first.
    #[must_use]
    pub fn of(first: &Report, second: &Report) -> Self {
        let (mut before, after) = (by_name(first), by_name(second));
        let mut differences = Vec::new();
        let mut same = 0;
        for (name, case) in after {
            let Some(old) = before.remove(&name) else {
                differences.push(difference(Change::New, None, Some(case)));
                continue;
            };
            let change = match case.verdict.cmp(&old.verdict) {
                std::cmp::Ordering::Greater => Change::Worse,
                std::cmp::Ordering::Less => Change::Better,
                std::cmp::Ordering::Equal => {
                    same += 1;
                    if !figures_differ(&old.counts, &case.counts) {
                        continue;
                    }
                    Change::Figures
                }
            };
            differences.push(difference(change, Some(old), Some(case)));
        }
        let gone = before.into_values();
        differences.extend(gone.map(|case| difference(Change::Gone, Some(case), None)));
        differences.sort_by_key(|difference| difference.change);
        Self {
            worse: differences.iter().any(is_worse),
            same,
            versions: version_changes(first, second),
            differences,
        }
    }

    /// The table for people, one line per difference and a summary at the end.
    #[must_use]
    pub fn table(&self) -> String {
        let mut out = String::new();
        let word = |verdict: Option<Verdict>| verdict.map_or("-", Verdict::word);
        // Writing into a String does not fail.
        for version in &self.versions {
            let text = |version: &Option<String>| {
                let version = version.as_deref().unwrap_or("absent");
                printable(version).into_owned()
            };
            let _ = writeln!(
                out,
                "version   {}: {} -> {}",
                printable(&version.name),
                text(&version.before),
                text(&version.after)
            );
        }
        for difference in &self.differences {
            let Difference {
                counts_before: old,
                counts_after: new,
                ..
            } = difference;
            let change = match difference.change {
                Change::Worse => "worse",
                Change::Better => "better",
                Change::New => "new",
                Change::Gone => "gone",
                Change::Figures => "figures",
            };
            let _ = writeln!(
                out,
                "{change:<9} {}: {} -> {}; {:.1} -> {:.1} ms, {} -> {} APDUs, {} -> {} bytes",
                printable(&difference.name),
                word(difference.before),
                word(difference.after),
                old.us as f64 / 1000.0,
                new.us as f64 / 1000.0,
                old.apdus,
                new.apdus,
                old.bytes,
                new.bytes
            );
            if let Some(reason) = &difference.reason {
                let _ = writeln!(out, "          {}", printable(reason));
            }
        }
        let count = |change| {
            let all = self.differences.iter();
            all.filter(|difference| difference.change == change).count()
        };
        let _ = writeln!(
            out,
            "{} worse, {} better, {} new, {} gone, {} with the same verdict",
            count(Change::Worse),
            count(Change::Better),
            count(Change::New),
            count(Change::Gone),
            self.same
        );
        out
    }
}

fn by_name(report: &Report) -> BTreeMap<(&str, usize), &Case> {
    // Names are unique in a run of ours; a report of others may repeat one.
    let mut seen = BTreeMap::new();
    let key = |case: &'_ Case, seen: &mut BTreeMap<String, usize>| {
        let count = seen.entry(case.name.clone()).or_insert(0);
        *count += 1;
        *count
    };
    let cases = report.cases.iter();
    cases
        .map(|case| ((case.name.as_str(), key(case, &mut seen)), case))
        .collect()
}

fn difference(change: Change, before: Option<&Case>, after: Option<&Case>) -> Difference {
    let counts = |case: Option<&Case>| case.map(|case| case.counts).unwrap_or_default();
    let reason = after.and_then(|case| match &case.failure {
        Some(failure) if case.verdict != Verdict::Pass => Some(crate::table::first_line(failure)),
        _ => case.reason.clone(),
    });
    Difference {
        name: before
            .or(after)
            .map(|case| case.name.clone())
            .unwrap_or_default(),
        change,
        before: before.map(|case| case.verdict),
        after: after.map(|case| case.verdict),
        reason: reason.filter(|_| change != Change::Figures),
        counts_before: counts(before),
        counts_after: counts(after),
    }
}

fn is_worse(difference: &Difference) -> bool {
    match difference.change {
        Change::Worse => true,
        Change::New => difference.after == Some(Verdict::Fail),
        Change::Gone => difference.before != Some(Verdict::Skipped),
        Change::Better | Change::Figures => false,
    }
}

/// APDUs are counted exactly. Bytes and times vary a little from run to run.
fn figures_differ(old: &Counts, new: &Counts) -> bool {
    let far = |old: u64, new: u64, least: u64| {
        let apart = old.abs_diff(new);
        apart > least && apart > old.max(new) / 4
    };
    old.apdus != new.apdus || far(old.us, new.us, MIN_US) || far(old.bytes, new.bytes, 1_000)
}

fn version_changes(first: &Report, second: &Report) -> Vec<VersionChange> {
    let versions = |report: &Report| -> BTreeMap<String, String> {
        let all = report.versions.iter();
        all.map(|v| (v.name.clone(), v.version.clone())).collect()
    };
    let (before, after) = (versions(first), versions(second));
    let names: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let change = |name: &String| VersionChange {
        name: name.clone(),
        before: before.get(name).cloned(),
        after: after.get(name).cloned(),
    };
    let all = names.into_iter().map(change);
    all.filter(|change| change.before != change.after).collect()
}
