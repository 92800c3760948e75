//! JUnit, for continuous integration. It knows success, failure and skipped: a warning is a success with a note, and an
//! inconclusive case is skipped, because neither fails a run.

use crate::case::Case;
use crate::report::{Kind, Report};
use crate::table::first_line;
use crate::verdict::Verdict;
use quick_junit::{NonSuccessKind, Report as Document, TestCase, TestCaseStatus, TestSuite};
use std::fmt::Write as _;
use std::time::Duration;

/// Longest output of a case, bytes.
const MAX_OUTPUT: usize = 64 * 1024;

impl Report {
    /// The report as JUnit XML.
    ///
    /// # Errors
    /// The XML writer's; characters that XML forbids are left out before.
    pub fn to_junit(&self) -> Result<String, quick_junit::SerializeError> {
        let kind = match &self.kind {
            Kind::Scenarios => "scenarios".to_owned(),
            Kind::Judge { target } => format!("judge.{target}"),
            Kind::Fleet => "fleet".to_owned(),
            Kind::Demo => "demo".to_owned(),
        };
        let mut suite = TestSuite::new(format!("{kind} {}", self.subject));
        let laboratory = &self.laboratory;
        let seed = self.seed.to_string();
        let properties = [
            ("command", &self.command),
            ("seed", &seed),
            ("began", &self.began),
            ("ended", &self.ended),
            ("laboratory", &laboratory.name),
            ("operator", &laboratory.operator),
            ("device", &laboratory.device),
            ("device-versions", &laboratory.versions),
            ("remarks", &laboratory.remarks),
        ];
        for (name, value) in properties {
            if !value.is_empty() {
                suite.add_property((name, value.as_str()));
            }
        }
        for version in &self.versions {
            suite.add_property((format!("version.{}", version.name), version.version.clone()));
        }
        for case in &self.cases {
            suite.add_test_case(of_case(case, &kind));
        }
        let time = self.cases.iter().map(|case| case.counts.us).sum();
        suite.set_time(Duration::from_micros(time));
        let mut document = Document::new("aid-hil");
        document.set_time(Duration::from_micros(time));
        document.add_test_suite(suite);
        document.to_string().map(|xml| well_formed(&xml))
    }
}

/// XML and HTML forbid these two characters, and their writers let them pass.
pub(crate) fn well_formed(text: &str) -> String {
    text.replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}

fn of_case(case: &Case, kind: &str) -> TestCase {
    let mut status = match case.verdict {
        Verdict::Pass | Verdict::Warning => TestCaseStatus::success(),
        Verdict::Skipped | Verdict::Inconclusive => TestCaseStatus::skipped(),
        Verdict::Fail => TestCaseStatus::non_success(NonSuccessKind::Failure),
    };
    status.set_type(case.verdict.word());
    match (&case.failure, &case.reason) {
        (Some(failure), _) => {
            status.set_message(first_line(failure));
            status.set_description(format!(
                "expected: {}\nseen: {}\nrepeat: {}\nclause: {}",
                failure.expected, failure.seen, failure.repeat, case.clause
            ));
        }
        (None, Some(reason)) => {
            status.set_message(reason.as_str());
        }
        (None, None) => {}
    }
    let mut made = TestCase::new(case.name.as_str(), status);
    made.set_classname(format!("aid.{kind}"));
    made.set_time(Duration::from_micros(case.counts.us));
    made.add_property(("clause", case.clause.as_str()));
    for id in &case.requirements {
        made.add_property(("requirement", id.as_str()));
    }
    for id in &case.sgp23 {
        made.add_property(("sgp23", id.as_str()));
    }
    let output = output(case);
    if !output.is_empty() {
        made.set_system_out(output);
    }
    made
}

/// What happened, as lines: a warning, steps, messages.
fn output(case: &Case) -> String {
    let mut out = String::new();
    if case.verdict == Verdict::Warning {
        let _ = writeln!(
            out,
            "warning: {}",
            case.reason.as_deref().unwrap_or_default()
        );
    }
    for step in &case.steps {
        let _ = writeln!(out, "{} {}", step.verdict, step.title);
    }
    for (n, message) in case.messages.iter().enumerate() {
        if out.len() > MAX_OUTPUT {
            let _ = writeln!(out, "({} more messages)", case.messages.len() - n);
            break;
        }
        let _ = writeln!(
            out,
            "{:>10.3} ms {} -> {}: {}",
            message.at_us as f64 / 1000.0,
            message.from,
            message.to,
            message.title
        );
    }
    out
}
