//! One self-contained page: no scripts, no request leaves it, at most [`MAX_PAGE`] bytes.
//!
//! What is most wanted is placed first: the cover and the verdicts, the failed cases, their steps, their messages, then the
//! same of the others. What has no place is left out, and the page says so.

mod cover;
mod sequence;
mod style;

pub use sequence::{sequence, sequence_row};
pub use style::STYLE;

use crate::case::Case;
use crate::report::{Kind, Report};
use crate::verdict::Verdict;
use aid_cli::printable::printable;
use maud::{DOCTYPE, Markup, html};
use sequence::Parties;
use std::cmp::Reverse;

/// Largest page, bytes.
pub const MAX_PAGE: usize = 1_000_000;
/// Place for the frame of the page and for notes of what was left out.
const FRAME: usize = 16_000;
/// Place around each case that is on the page, bytes: its end tags and notes.
const AROUND: usize = 512;
/// Most steps of a case on the page.
const MAX_STEPS: usize = 500;

/// A text as the page shows it: at most so many of its bytes, and printable. Cut first: a text of megabytes costs no more
/// than its beginning.
fn clipped(text: &str, most: usize) -> String {
    printable(&crate::record::clip(text, most)).into_owned()
}

/// What of a case has found a place.
#[derive(Default)]
struct Part {
    head: Option<String>,
    steps: Option<String>,
    begin: String,
    rows: Vec<String>,
    left_out: usize,
}

/// The report as one HTML page.
#[must_use]
pub fn page(report: &Report) -> String {
    let mut left = MAX_PAGE - FRAME - STYLE.len();
    let cover = cover::cover(report).into_string();
    left = left.saturating_sub(cover.len());
    let mut most_wanted: Vec<usize> = (0..report.cases.len()).collect();
    most_wanted.sort_by_key(|&n| (Reverse(report.cases[n].verdict), n));
    let mut parts: Vec<Part> = report.cases.iter().map(|_| Part::default()).collect();
    place_heads(report, &most_wanted, &mut parts, &mut left);
    let requirements = cover::requirements(report, left / 4).into_string();
    left = left.saturating_sub(requirements.len());
    for &n in &most_wanted {
        let steps = steps(&report.cases[n]).into_string();
        if parts[n].head.is_some() && steps.len() <= left {
            left -= steps.len();
            parts[n].steps = Some(steps);
        }
    }
    place_messages(report, &most_wanted, &mut parts, &mut left);
    assemble(report, &cover, &requirements, parts)
}

fn place_heads(report: &Report, order: &[usize], parts: &mut [Part], left: &mut usize) {
    // A quarter stays for steps and messages of the cases that are placed.
    let reserve = *left / 4;
    for &n in order {
        let head = head(n, &report.cases[n]).into_string();
        let needed = head.len() + AROUND;
        if left.saturating_sub(needed) < reserve {
            return;
        }
        *left -= needed;
        parts[n].head = Some(head);
    }
}

fn place_messages(report: &Report, order: &[usize], parts: &mut [Part], left: &mut usize) {
    for &n in order {
        let messages = &report.cases[n].messages;
        if parts[n].head.is_none() || messages.is_empty() {
            continue;
        }
        let parties = Parties::of(messages.iter());
        let begin = format!(
            "{}{}",
            parties.heads().into_string(),
            sequence::list_begin(&parties)
        );
        // One case must not take the place of all others.
        let share = *left / 2;
        let Some(mut share) = share.checked_sub(begin.len()) else {
            parts[n].left_out = messages.len();
            continue;
        };
        *left -= begin.len();
        parts[n].begin = begin;
        for (at, message) in messages.iter().enumerate() {
            let row = sequence::row(&parties, message).into_string();
            if row.len() > share {
                parts[n].left_out = messages.len() - at;
                break;
            }
            share -= row.len();
            *left -= row.len();
            parts[n].rows.push(row);
        }
    }
}

fn assemble(report: &Report, cover: &str, requirements: &str, parts: Vec<Part>) -> String {
    let absent = parts.iter().filter(|part| part.head.is_none()).count();
    let title = cover::title(report);
    let mut out = html! {
        (DOCTYPE)
        (maud::PreEscaped("<html lang=\"en\"><head><meta charset=\"utf-8\">"))
        meta name="viewport" content="width=device-width, initial-scale=1";
        meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'";
        meta name="referrer" content="no-referrer";
        title { (title) }
    }
    .into_string();
    out.push_str("<style>");
    out.push_str(STYLE);
    out.push_str("</style></head><body><main>");
    out.push_str(cover);
    out.push_str(requirements);
    out.push_str("<h2>Cases</h2>");
    if absent > 0 {
        let note = html! {
            p class="note" { (absent) " cases have no place on this page of at most 1 MB, failed ones last. The JSON report (--report) has all of them." }
        };
        out.push_str(&note.into_string());
    }
    // A demo is its sequence.
    let is_open = report.kind == Kind::Demo;
    for (part, case) in parts.into_iter().zip(&report.cases) {
        push_part(&mut out, part, case, is_open);
    }
    out.push_str("</main></body></html>\n");
    crate::junit::well_formed(&out)
}

fn push_part(out: &mut String, part: Part, case: &Case, is_open: bool) {
    let Some(head) = part.head else {
        return;
    };
    out.push_str(&head);
    match part.steps {
        Some(steps) => out.push_str(&steps),
        None => out.push_str("<p class=\"note\">Its steps are in the JSON report.</p>"),
    }
    if !part.rows.is_empty() {
        let opened = if is_open || case.verdict == Verdict::Fail {
            " open=\"\""
        } else {
            ""
        };
        let count = case.messages.len();
        out.push_str(&format!(
            "<details class=\"all\"{opened}><summary>{count} messages</summary>"
        ));
        out.push_str(&part.begin);
        out.extend(part.rows);
        out.push_str("</ol></details>");
    }
    if part.left_out > 0 {
        let note = html! {
            p class="note" { (part.left_out) " of " (case.messages.len()) " messages have no place on this page of at most 1 MB. The JSON report (--report) has all of them." }
        };
        out.push_str(&note.into_string());
    }
    out.push_str("</section>");
}

/// The begin of a case's section, which [`push_part`] ends.
fn head(n: usize, case: &Case) -> Markup {
    let counts = case.counts;
    let head = html! {
        header {
            (chip(case.verdict))
            h3 { (clipped(&case.name, 200)) }
            span class="quiet" { (clipped(&case.clause, 100)) }
        }
        p { (clipped(&case.about, 500)) }
        @if let Some(failure) = &case.failure {
            div class="failure" {
                p { strong { "Expected: " } (clipped(&failure.expected, 1_000)) }
                p { strong { "Seen: " } (clipped(&failure.seen, 1_000)) }
                p { strong { "Repeat: " } code { (clipped(&failure.repeat, 1_000)) } }
            }
        }
        @if let Some(reason) = &case.reason { p { strong { "Reason: " } (clipped(reason, 1_000)) } }
        p class="quiet" {
            (milliseconds(counts.us)) " ms, " (counts.apdus) " APDUs, " (counts.bytes) " bytes"
            @if !case.requirements.is_empty() { ". Proves " (listed(&case.requirements)) }
            @if !case.sgp23.is_empty() { ". SGP.23: " (listed(&case.sgp23)) }
        }
    };
    let verdict = case.verdict;
    let head = head.into_string();
    maud::PreEscaped(format!(
        "<section class=\"case\" id=\"case-{n}\" data-verdict=\"{verdict}\">{head}"
    ))
}

fn steps(case: &Case) -> Markup {
    html! {
        @if !case.steps.is_empty() {
            ol class="steps" {
                @for step in case.steps.iter().take(MAX_STEPS) {
                    li {
                        (chip(step.verdict)) " " (clipped(&step.title, 300))
                        @if let Some(reason) = &step.reason { ": " (clipped(reason, 500)) }
                        span class="quiet" {
                            " at " (milliseconds(step.at_us)) " ms"
                            @if step.counts.us > 0 { ", took " (milliseconds(step.counts.us)) " ms" }
                            @if step.counts.apdus > 0 { ", " (step.counts.apdus) " APDUs" }
                            @if step.counts.bytes > 0 { ", " (step.counts.bytes) " bytes" }
                            @if !step.requirements.is_empty() { ", proves " (listed(&step.requirements)) }
                        }
                    }
                }
            }
            @if case.steps.len() > MAX_STEPS {
                p class="note" { (case.steps.len() - MAX_STEPS) " more steps are in the JSON report." }
            }
        }
    }
}

fn chip(verdict: Verdict) -> Markup {
    html! { span class={ "chip v-" (verdict) } { (verdict) } }
}

/// The first of these names, and how many more there are.
fn listed(names: &[String]) -> String {
    const MOST: usize = 20;
    let shown: Vec<String> = names
        .iter()
        .take(MOST)
        .map(|name| clipped(name, 100))
        .collect();
    match names.len().saturating_sub(MOST) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn milliseconds(us: u64) -> String {
    format!("{:.1}", us as f64 / 1_000.0)
}
