//! The table for a terminal.

use crate::case::{Case, Failure};
use crate::report::Report;
use crate::verdict::Verdict;
use aid_cli::printable::printable;
use std::fmt::Write as _;
use std::io::IsTerminal as _;

/// Does the table have colours?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colours {
    /// SGR sequences around verdicts.
    On,
    /// Plain text.
    Off,
}

impl Colours {
    /// On if stdout is a terminal, `NO_COLOR` is absent or empty, and `TERM` is not `dumb`.
    #[must_use]
    pub fn of_stdout() -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        if std::io::stdout().is_terminal() && !no_color && !dumb {
            Self::On
        } else {
            Self::Off
        }
    }

    /// A verdict's word in its colour.
    #[must_use]
    pub fn verdict(self, verdict: Verdict) -> String {
        let code = match verdict {
            Verdict::Pass => 32,
            Verdict::Skipped => 36,
            Verdict::Warning => 33,
            Verdict::Inconclusive => 35,
            Verdict::Fail => 31,
        };
        match self {
            Self::On => format!("\u{1b}[{code}m{verdict:<13}\u{1b}[0m"),
            Self::Off => format!("{verdict:<13}"),
        }
    }
}

/// Widest column of names.
const WIDEST: usize = 56;

/// One line per case, the failure of each under it, and the summary at the end. Texts of others are printable in it.
#[must_use]
pub fn table(report: &Report, colours: Colours) -> String {
    let width = report.cases.iter().map(|case| case.name.chars().count());
    let width = width.max().unwrap_or(0).clamp(4, WIDEST);
    let mut out = heading(width);
    for case in &report.cases {
        out.push_str(&case_lines(case, width, colours));
    }
    // Writing into a String does not fail.
    let _ = writeln!(out, "{}", summary(report));
    out
}

/// The heading of a table whose names have this width, characters.
#[must_use]
pub fn heading(width: usize) -> String {
    format!(
        "{:<13}{:<width$} {:>10} {:>7}  clause\n",
        "verdict", "case", "ms", "APDUs"
    )
}

/// The lines of one case: for a table that grows while the run goes on.
#[must_use]
pub fn case_lines(case: &Case, width: usize, colours: Colours) -> String {
    let ms = case.counts.us as f64 / 1000.0;
    let mut out = format!(
        "{}{:<width$} {ms:>10.1} {:>7}  {}\n",
        colours.verdict(case.verdict),
        printable(&case.name),
        case.counts.apdus,
        printable(&case.clause)
    );
    if let Some(line) = why(case) {
        // Writing into a String does not fail.
        let _ = writeln!(out, "             {line}");
    }
    out
}

/// Why a case is not a pass, one line.
fn why(case: &Case) -> Option<String> {
    match (&case.failure, &case.reason) {
        (Some(failure), _) if case.verdict != Verdict::Pass => Some(first_line(failure)),
        (_, Some(reason)) if case.verdict != Verdict::Pass => Some(printable(reason).into_owned()),
        _ => None,
    }
}

/// The first line of a failure: expected, seen, and the command that repeats it.
#[must_use]
pub fn first_line(failure: &Failure) -> String {
    format!(
        "expected {}; seen {}; repeat: {}",
        printable(&failure.expected),
        printable(&failure.seen),
        printable(&failure.repeat)
    )
}

/// The summary: number of cases, sum of their times, number per verdict.
pub(crate) fn summary(report: &Report) -> String {
    let us: u64 = report.cases.iter().map(|case| case.counts.us).sum();
    let seconds = us as f64 / 1e6;
    let count = report.cases.len();
    let cases = if count == 1 { "case" } else { "cases" };
    format!(
        "{count} {cases} in {seconds:.1} s: {}",
        report.tally().line()
    )
}
