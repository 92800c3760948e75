//! `aid-hil judge`: reads the target file, runs the wanted tests, shows and writes what they came to.

use crate::cmp;
use crate::msp;
use crate::run::{Wanted, run};
use crate::subject::{Setting, Subject};
use crate::target;
use aid_cli::cli::{self, Failure};
use aid_cli::printable::printable;
use aid_report::{Case, Colours, FORMAT, Kind, Outputs, Report, Verdict, Version, case_lines};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A kind of target: its name, what judges it, and what judges the judge.
type Judge = (
    &'static str,
    fn(&JudgeArgs) -> Result<Report, Failure>,
    fn(&JudgeArgs) -> Result<(), Failure>,
);

/// The kinds of targets. Each is a [`Subject`]; a line `kind::<S>()` adds one.
const KINDS: &[Judge] = &[
    kind::<cmp::Cmp>(),
    kind::<msp::Msp>(),
    kind::<crate::smdp::Rig>(),
    kind::<crate::lpa::Rig>(),
    kind::<crate::card::Rig>(),
    kind::<crate::vehicle::Rig>(),
];

const fn kind<S: Subject>() -> Judge {
    (S::KIND, judge::<S>, self_test::<S>)
}

/// Width of the names of tests in the table, characters.
const WIDTH: usize = 32;

/// Options of `aid-hil judge`.
#[derive(Debug, clap::Args)]
pub struct JudgeArgs {
    /// What is judged: cmp, msp, smdp, lpa, card or vehicle.
    kind: String,
    /// Requirement ids, names of tests or their beginnings (R-7.3-8, R-7.3); without any, all tests run.
    #[arg(value_name = "IDS")]
    ids: Vec<String>,
    /// Target file: where the system is, what it declares, how the judge starts procedures at it (docs/judge.md; smdp, lpa, card: docs/judge-rsp.md; vehicle: docs/judge-vehicle.md).
    #[arg(long, value_name = "FILE")]
    target: PathBuf,
    /// A SHOULD that the target does not keep fails, instead of a warning.
    #[arg(long)]
    strict: bool,
    /// Run nothing; list the tests, and why those that would not run are skipped.
    #[arg(long)]
    dry_run: bool,
    /// Repeat the run of this seed; a new one without it.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Judge the judge: broken variants of this target, each between it and the judge, have to be found, and unusual
    /// habits of a correct peer must not be; cmp, msp and vehicle only.
    #[arg(long, conflicts_with_all = ["ids", "dry_run", "report", "junit", "html", "strict"])]
    self_test: bool,
    #[command(flatten)]
    outputs: Outputs,
}

impl JudgeArgs {
    /// Judges the target.
    ///
    /// # Errors
    /// Exit code 1: a test failed, or nothing could be judged. Exit code 2: a mistake in the command line or in the
    /// target file.
    pub fn run(&self) -> Result<(), Failure> {
        let kind = KINDS.iter().find(|(name, ..)| *name == self.kind);
        let Some((_, judge, self_test)) = kind else {
            let known: Vec<_> = KINDS.iter().map(|(name, ..)| *name).collect();
            return Err(Failure::usage(format!(
                "there is no judge for {:?}; there is one for {}",
                self.kind,
                known.join(", ")
            )));
        };
        if self.self_test {
            return self_test(self);
        }
        // Before the run, so that a mistake shows at once.
        let laboratory = self.outputs.laboratory()?;
        let mut report = judge(self)?;
        if self.outputs.lab.is_some() {
            report.laboratory = laboratory;
        }
        self.outputs.write(&report)?;
        if self.outputs.json {
            cli::print(&report.to_json()?)?;
        } else {
            cli::print(&format!("{}\n", aid_report::summary(&report)))?;
        }
        verdict(&report)
    }
}

/// The run's exit code.
fn verdict(report: &Report) -> Result<(), Failure> {
    let tally = report.tally();
    if !report.ok() {
        let ran = report.cases.len();
        let fail = tally.fail;
        return Err(Failure::new(format!(
            "{fail} of {ran} tests failed; each has the command that repeats it"
        )));
    }
    if tally.inconclusive > 0 && tally.pass == 0 {
        let reason = report.cases.iter().find_map(|case| case.reason.as_deref());
        return Err(Failure::new(format!(
            "nothing could be judged: {}",
            reason.unwrap_or("no test came to a verdict")
        )));
    }
    Ok(())
}

/// Runs the wanted tests of one kind.
fn judge<S: Subject>(args: &JudgeArgs) -> Result<Report, Failure> {
    let (cover, target) = target::load::<S>(&args.target)?;
    let seed = match args.seed {
        Some(seed) => seed,
        // Within what every JSON reader keeps exact.
        None => {
            let random = getrandom::u64()
                .map_err(|e| Failure::new(format!("no random numbers: {e}; give --seed")))?;
            random >> 11
        }
    };
    let tests = S::tests();
    let wanted = Wanted {
        patterns: args.ids.clone(),
        strict: args.strict,
        dry_run: args.dry_run,
    };
    check_patterns::<S>(&wanted, &tests)?;
    let (began, clock) = (Instant::now(), Timestamp::now());
    let setting = Setting {
        file: args.target.clone(),
        seed,
        began,
        dry_run: args.dry_run,
    };
    let mut subject = S::open(target, &setting)?;
    let repeat = |name: &str| command(S::KIND, Some(name), args, seed);
    let colours = Colours::of_stdout();
    let mut broken_pipe = Ok(());
    let mut done = |case: &Case| {
        if !args.outputs.json && broken_pipe.is_ok() {
            broken_pipe = aid_report::show(&case_lines(case, WIDTH, colours));
        }
    };
    let cases = run(&tests, &mut subject, &wanted, began, &repeat, &mut done);
    let mask = subject.secrets();
    subject.close();
    broken_pipe?;
    let mut report = Report {
        format: FORMAT,
        kind: Kind::Judge {
            target: S::KIND.to_owned(),
        },
        subject: cover.name.clone(),
        command: command(S::KIND, None, args, seed),
        seed,
        began: rfc3339(clock)?,
        ended: rfc3339(Timestamp::now())?,
        laboratory: cover.laboratory,
        versions: vec![
            Version {
                name: "aid-hil".to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
            },
            Version {
                name: cover.name,
                version: cover.version,
            },
        ],
        cases,
    };
    if let Some(mut mask) = mask {
        mask.report(&mut report);
    }
    Ok(report)
}

fn rfc3339(time: Timestamp) -> Result<String, Failure> {
    // Fractions of a second say nothing that the messages' own times don't.
    Ok(Timestamp::from_second(time.as_second())?.to_string())
}

/// Plays the variants of a kind, and says which were found.
fn self_test<S: Subject>(args: &JudgeArgs) -> Result<(), Failure> {
    let (_, target) = target::load::<S>(&args.target)?;
    let (tests, began) = (S::tests(), Instant::now());
    let setting = Setting {
        file: args.target.clone(),
        seed: args.seed.unwrap_or_default(),
        began,
        dry_run: false,
    };
    let mut subject = S::open(target, &setting)?;
    let mut rows = Vec::new();
    let mut missed = 0_usize;
    for (n, (name, finds, about)) in S::variants().into_iter().enumerate() {
        // A prefix selects its siblings, too: the one that is named has to find it.
        let chosen: Vec<_> = tests
            .iter()
            .filter(|t| finds.is_empty() || t.name == finds)
            .collect();
        subject.disguise(Some(n));
        let (mut failed, mut others, mut passed) = (Vec::new(), Vec::new(), 0_usize);
        for test in chosen {
            let wanted = Wanted {
                patterns: vec![test.name.to_owned()],
                ..Wanted::default()
            };
            let one = [crate::test::Test { ..*test }];
            for case in run(
                &one,
                &mut subject,
                &wanted,
                began,
                &|name| name.to_owned(),
                &mut |_| (),
            ) {
                passed += usize::from(case.verdict == Verdict::Pass);
                if case.verdict == Verdict::Fail {
                    let seen = case.failure.map_or_else(String::new, |f| f.seen);
                    failed.push(format!("{}: {seen}", case.name));
                } else if !finds.is_empty() {
                    let reason = case.reason.unwrap_or_default();
                    others.push(format!("{}: {reason}", case.verdict));
                }
            }
        }
        subject.disguise(None);
        let (good, word) = match finds {
            "" => (failed.is_empty() && passed > 0, "quiet"),
            _ => (!failed.is_empty(), "found"),
        };
        missed += usize::from(!good);
        let word = if good { word } else { "MISSED" };
        let row = format!("{word:<7} {name:<18} {finds:<14} {about}");
        if !args.outputs.json {
            cli::print(&format!("{}\n", printable(&row)))?;
            for line in failed.iter().chain(&others).take(5) {
                cli::print(&format!("        {}\n", printable(line)))?;
            }
        }
        rows.push(row);
    }
    subject.close();
    if args.outputs.json {
        let json = serde_json::json!({"ok": missed == 0, "variants": rows});
        cli::print(&format!("{json}\n"))?;
    }
    match (missed, rows.is_empty()) {
        (0, false) => Ok(()),
        (0, true) => Err(Failure::usage(format!(
            "there is no self-test for a {}",
            S::KIND
        ))),
        (missed, _) => Err(Failure::new(format!(
            "{missed} variants were judged wrongly"
        ))),
    }
}

/// A pattern that selects nothing is a mistake, not a run without failures.
fn check_patterns<S: Subject>(
    wanted: &Wanted,
    tests: &[crate::test::Test<S>],
) -> Result<(), Failure> {
    for pattern in &wanted.patterns {
        let alone = Wanted {
            patterns: vec![pattern.clone()],
            ..Wanted::default()
        };
        if !tests.iter().any(|test| alone.selects(test)) {
            let ids: BTreeSet<_> = tests
                .iter()
                .flat_map(|test| test.requirements.iter().copied())
                .collect();
            return Err(Failure::usage(format!(
                "no test of a {} is named {:?} or proves it; --dry-run lists all {} tests, which prove {} requirements",
                S::KIND,
                printable(pattern),
                tests.len(),
                ids.len(),
            )));
        }
    }
    Ok(())
}

/// The command that repeats one test, or the whole run.
fn command(kind: &str, test: Option<&str>, args: &JudgeArgs, seed: u64) -> String {
    let mut line = format!("aid-hil judge {kind}");
    let ids = args.ids.iter().map(String::as_str);
    let ids: Vec<_> = test.map_or_else(|| ids.collect(), |test| vec![test]);
    for id in ids {
        let _ = write!(line, " {}", shell(id));
    }
    let _ = write!(line, " --target {}", shell_path(&args.target));
    if args.strict {
        line.push_str(" --strict");
    }
    let _ = write!(line, " --seed {seed}");
    line
}

fn shell_path(path: &Path) -> String {
    shell(&path.display().to_string())
}

/// A word as a POSIX shell reads it back.
fn shell(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::shell;
    use crate::subject::Subject;

    /// Names are unique, and each variant has its test.
    fn check<S: Subject>() {
        let tests = S::tests();
        let mut names: Vec<_> = tests.iter().map(|test| test.name).collect();
        names.sort_unstable();
        let before = names.len();
        names.dedup();
        assert_eq!(names.len(), before, "{}", S::KIND);
        for test in &tests {
            assert!(!test.requirements.is_empty(), "{}", test.name);
        }
        for (name, finds, _) in S::variants() {
            assert!(
                finds.is_empty() || names.contains(&finds),
                "{name}: {finds}"
            );
        }
    }

    #[test]
    fn tests_have_names_of_their_own_and_variants_their_tests() {
        check::<crate::cmp::Cmp>();
        check::<crate::msp::Msp>();
        check::<crate::vehicle::Rig>();
    }

    #[test]
    fn a_word_is_quoted_for_the_shell() {
        assert_eq!(shell("R-7.3-8"), "R-7.3-8");
        assert_eq!(shell("my target.toml"), "'my target.toml'");
        assert_eq!(shell("it's"), r"'it'\''s'");
        assert_eq!(shell(""), "''");
    }
}
