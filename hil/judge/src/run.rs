//! Selects tests, runs them, and makes their verdicts.

use crate::evidence::Evidence;
use crate::test::{Finding, Level, Test};
use aid_report::{Case, Counts, Failure, Message, Protocol, Verdict};
use std::time::Instant;

/// Which tests, and how strictly.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Names, requirement ids, or beginnings of either that end before `/` or `-`; all tests if empty.
    pub patterns: Vec<String>,
    /// A SHOULD that is not kept fails.
    pub strict: bool,
    /// Nothing is run: each test is listed as skipped, with the reason why it would not run where there is one.
    pub dry_run: bool,
}

impl Wanted {
    /// Is this test wanted?
    #[must_use]
    pub fn selects<S>(&self, test: &Test<S>) -> bool {
        self.patterns.is_empty()
            || self.patterns.iter().any(|pattern| {
                let names = std::iter::once(&test.name).chain(test.requirements);
                names.into_iter().any(|name| begins(pattern, name))
            })
    }
}

/// Is this the name or id, or a beginning of it: `R-7.3` of `R-7.3-8`, `R-5.1-5` of `R-5.1-5/sent`? A pattern with a word
/// behind its slash names one test, so that the command that repeats a test repeats no other.
fn begins(pattern: &str, name: &str) -> bool {
    name.strip_prefix(pattern).is_some_and(|rest| {
        rest.is_empty()
            || rest.starts_with('/')
            || (rest.starts_with('-') && !pattern.is_empty() && !pattern.contains('/'))
    })
}

/// Runs the wanted ones of `tests` on `subject`. `repeat` makes the command that repeats one test by its name;
/// `done` is told of each case as it ends.
pub fn run<S>(
    tests: &[Test<S>],
    subject: &mut S,
    wanted: &Wanted,
    began: Instant,
    repeat: &dyn Fn(&str) -> String,
    done: &mut dyn FnMut(&Case),
) -> Vec<Case> {
    let mut cases = Vec::new();
    for test in tests.iter().filter(|test| wanted.selects(test)) {
        let case = one(test, subject, wanted, began, repeat);
        done(&case);
        cases.push(case);
    }
    cases
}

fn one<S>(
    test: &Test<S>,
    subject: &mut S,
    wanted: &Wanted,
    began: Instant,
    repeat: &dyn Fn(&str) -> String,
) -> Case {
    let mut case = Case {
        name: test.name.to_owned(),
        about: test.about.to_owned(),
        clause: test.clause.to_owned(),
        requirements: test.requirements.iter().map(|&id| id.to_owned()).collect(),
        sgp23: test.sgp23.iter().map(|&id| id.to_owned()).collect(),
        verdict: Verdict::Skipped,
        reason: None,
        failure: None,
        steps: Vec::new(),
        messages: Vec::new(),
        counts: Counts::default(),
    };
    if let Err(reason) = (test.applies)(subject) {
        case.reason = Some(reason);
        return case;
    }
    if wanted.dry_run {
        case.reason = Some("would run (--dry-run)".to_owned());
        return case;
    }
    let mut evidence = Evidence::new(began);
    let start = evidence.now_us();
    let outcome = (test.run)(subject, &mut evidence);
    case.counts.us = evidence.now_us().saturating_sub(start);
    (case.steps, case.messages) = evidence.into_parts();
    case.counts.bytes = case.messages.iter().map(|message| message.length).sum();
    let is_command = |message: &&Message| {
        message.protocol == Protocol::Apdu && message.to == "card" && message.from != "card"
    };
    let commands = case.messages.iter().filter(is_command).count();
    case.counts.apdus = u64::try_from(commands).unwrap_or(u64::MAX);
    match outcome {
        Ok(()) => case.verdict = Verdict::Pass,
        Err(Finding::Broken { expected, seen }) => {
            if test.level == Level::Should && !wanted.strict {
                case.verdict = Verdict::Warning;
                case.reason = Some(format!("expected {expected}; seen {seen}"));
            } else {
                case.verdict = Verdict::Fail;
            }
            case.failure = Some(Failure {
                expected,
                seen,
                repeat: repeat(test.name),
            });
        }
        Err(Finding::Odd(reason)) => {
            case.verdict = if wanted.strict && test.level == Level::Should {
                Verdict::Fail
            } else {
                Verdict::Warning
            };
            case.reason = Some(reason);
        }
        Err(Finding::Hidden(reason)) => {
            case.verdict = Verdict::Inconclusive;
            case.reason = Some(reason);
        }
        Err(Finding::Lacking(reason)) => case.reason = Some(reason),
    }
    case
}

#[cfg(test)]
mod tests {
    use super::begins;

    #[test]
    fn a_beginning_ends_before_a_dash_or_a_slash() {
        for (pattern, name, is) in [
            ("R-7.3-8", "R-7.3-8", true),
            ("R-7.3", "R-7.3-8", true),
            ("R-7.3", "R-7.3.1-8", false),
            ("R-7", "R-7.3-8", false),
            ("R-7.3-1", "R-7.3-12", false),
            ("R-5.1-5", "R-5.1-5/sent", true),
            ("SGP22-6.1", "SGP22-6.1/foreign-ci", true),
            ("SGP22-6.1/foreign", "SGP22-6.1/foreign-ci", false),
            ("", "R-7.3-8", false),
        ] {
            assert_eq!(begins(pattern, name), is, "{pattern} {name}");
        }
    }
}
