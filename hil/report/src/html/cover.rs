//! The cover: what was run, by whom, with what, what it came to; and the verdict per requirement.

use super::{chip, clipped};
use crate::report::{Kind, Report};
use crate::verdict::Verdict;
use maud::{Markup, html};
use std::collections::BTreeMap;

/// Most programs on the cover.
const MAX_VERSIONS: usize = 50;
/// Most cases that one requirement names.
const MAX_CASES: usize = 8;

/// Title of the page.
pub(super) fn title(report: &Report) -> String {
    let subject = clipped(&report.subject, 100);
    match &report.kind {
        Kind::Scenarios => format!("Scenarios on {subject}"),
        Kind::Judge { target } => format!("{subject} judged as {}", clipped(target, 20)),
        Kind::Fleet => format!("Fleet at {subject}"),
        Kind::Demo => format!("Demo: {subject}"),
    }
}

pub(super) fn cover(report: &Report) -> Markup {
    let laboratory = &report.laboratory;
    let tally = report.tally();
    let counts = [
        (Verdict::Fail, tally.fail),
        (Verdict::Inconclusive, tally.inconclusive),
        (Verdict::Warning, tally.warning),
        (Verdict::Skipped, tally.skipped),
        (Verdict::Pass, tally.pass),
    ];
    let fields = [
        ("Laboratory", &laboratory.name),
        ("Operator", &laboratory.operator),
        ("Device under test", &laboratory.device),
        ("Versions of the device", &laboratory.versions),
        ("Remarks", &laboratory.remarks),
        ("Began", &report.began),
        ("Ended", &report.ended),
    ];
    let of_all = |count: fn(&crate::Counts) -> u64| -> u64 {
        report.cases.iter().map(|case| count(&case.counts)).sum()
    };
    html! {
        h1 { (title(report)) }
        p class="quiet" { (clipped(&crate::table::summary(report), 300)) }
        ul class="tally" {
            @for (verdict, count) in counts {
                @if count > 0 { li { span class={ "chip v-" (verdict) } { (count) " " (verdict) } } }
            }
        }
        dl {
            @for (name, value) in fields {
                @if !value.is_empty() { dt { (name) } dd { (clipped(value, 2_000)) } }
            }
            @for version in report.versions.iter().take(MAX_VERSIONS) {
                dt { (clipped(&version.name, 100)) } dd { (clipped(&version.version, 200)) }
            }
            dt { "Figures" }
            dd { (of_all(|c| c.apdus)) " APDUs, " (of_all(|c| c.bytes)) " bytes" }
            dt { "Seed" } dd { (report.seed) }
            dt { "Repeat" } dd { code { (clipped(&report.command, 2_000)) } }
        }
    }
}

/// What one requirement came to.
struct Proof {
    verdict: Verdict,
    cases: Vec<usize>,
}

/// The table of requirements, in at most `most` bytes.
pub(super) fn requirements(report: &Report, most: usize) -> Markup {
    let mut proofs: BTreeMap<&str, Proof> = BTreeMap::new();
    for (n, case) in report.cases.iter().enumerate() {
        let own = case.requirements.iter().map(|id| (id, case.verdict));
        let steps = case.steps.iter();
        let of_steps = steps.flat_map(|step| step.requirements.iter().map(|id| (id, step.verdict)));
        for (id, verdict) in own.chain(of_steps) {
            let proof = proofs.entry(id.as_str()).or_insert(Proof {
                verdict,
                cases: Vec::new(),
            });
            proof.verdict = proof.verdict.max(verdict);
            if proof.cases.last() != Some(&n) {
                proof.cases.push(n);
            }
        }
    }
    if proofs.is_empty() {
        return html! {};
    }
    let count = proofs.len();
    let mut rows: Vec<(&str, Proof)> = proofs.into_iter().collect();
    rows.sort_by(|a, b| natural(a.0).cmp(&natural(b.0)));
    let mut left = most.saturating_sub(1_000);
    let mut shown = Vec::new();
    // Failed ones have their place before others; the order on the page stays.
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&n| (std::cmp::Reverse(rows[n].1.verdict), n));
    for n in order {
        let (id, proof) = &rows[n];
        let row = requirement(report, id, proof).into_string();
        if row.len() > left {
            break;
        }
        left -= row.len();
        shown.push((n, row));
    }
    shown.sort_unstable_by_key(|(n, _)| *n);
    let left_out = count - shown.len();
    html! {
        h2 { "Requirements" }
        table {
            thead { tr { th { "Id" } th { "Verdict" } th { "Shown by" } } }
            tbody { @for (_, row) in shown { (maud::PreEscaped(row)) } }
        }
        @if left_out > 0 {
            p class="note" { (left_out) " requirements have no place on this page of at most 1 MB. The JSON report has all of them." }
        }
    }
}

fn requirement(report: &Report, id: &str, proof: &Proof) -> Markup {
    html! {
        tr {
            td { (clipped(id, 80)) }
            td { (chip(proof.verdict)) }
            td {
                @for (at, &n) in proof.cases.iter().take(MAX_CASES).enumerate() {
                    @if at > 0 { ", " }
                    a href={ "#case-" (n) } { (clipped(&report.cases[n].name, 100)) }
                }
                @if proof.cases.len() > MAX_CASES { " and " (proof.cases.len() - MAX_CASES) " more" }
            }
        }
    }
}

/// `R-7.3-10` after `R-7.3-9`.
fn natural(id: &str) -> Vec<(u64, &str)> {
    let parts = id.split(['-', '.']);
    parts
        .map(|part| (part.parse().unwrap_or(u64::MAX), part))
        .collect()
}
