//! `aid-hil replay`: repeats the run of a report with its seed, and says whether the same verdicts came.
//!
//! The command of the report is run with this executable. A report may come from somebody else: only commands that make
//! reports are run, without their options that write files or name programs.

use crate::process::spawn_at_gate;
use aid_cli::cli::{self, Failure};
use aid_cli::printable::printable;
use aid_report::{Case, Change, Comparison, Kind, Report};
use std::io::{BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Options of `aid-hil replay`.
#[derive(Debug, clap::Args)]
pub(crate) struct ReplayArgs {
    /// The report, as --report writes it.
    file: PathBuf,
    /// Repeat this case only.
    case: Option<String>,
    /// One case at a time: show the steps of the report, wait for Enter, run it, and show what came.
    #[arg(long)]
    step: bool,
    /// Print one JSON object on stdout.
    #[arg(long)]
    json: bool,
}

/// Commands that make reports, and how many words name what they run.
const COMMANDS: &[(&str, usize)] = &[
    ("judge", 2),
    ("run", 1),
    ("scenario", 1),
    ("fleet", 1),
    ("demo", 1),
];

/// Options with a value that a repetition keeps.
const VALUES: &[&str] = &[
    "--target",
    "--seed",
    "--dut",
    "--jobs",
    "--vehicles",
    "--rate",
    "--duration",
    "--profile",
    "--lab",
];

/// Options with a value that a repetition has no use for, or must not take from a report: they write files.
const DROPPED: &[&str] = &["--report", "--junit", "--html", "--keep"];

/// Flags that a repetition has no use for.
const DROPPED_FLAGS: &[&str] = &["--json", "--watch", "--trace"];

/// Repeats the run; the exit code is 1 when a verdict differs.
pub(crate) fn run(args: &ReplayArgs) -> Result<(), Failure> {
    let report = aid_report::open(&args.file)?;
    let words = repeatable(&report)?;
    let cases: Vec<&Case> = match &args.case {
        None => report.cases.iter().collect(),
        Some(name) => vec![find(&report, name)?],
    };
    if !args.json {
        say_versions(&report);
    }
    let mut repeated = report.clone();
    repeated.cases.clear();
    if args.step {
        for case in &cases {
            show_before(case, args.json);
            wait_for_enter(args.json)?;
            let again = repeat(&with_case(&words, &report, &case.name), args.json)?;
            let mut own: Vec<Case> = again
                .cases
                .into_iter()
                .filter(|c| c.name == case.name)
                .collect();
            if let Some(seen) = own.first() {
                show_after(case, seen, args.json);
            }
            repeated.cases.append(&mut own);
            repeated.versions = again.versions;
        }
    } else {
        let words = match &args.case {
            Some(name) => with_case(&words, &report, name),
            None => words,
        };
        let again = repeat(&words, args.json)?;
        repeated.versions = again.versions;
        repeated.cases = again.cases;
    }
    let mut expected = report.clone();
    expected.cases = cases.into_iter().cloned().collect();
    repeated
        .cases
        .retain(|case| args.case.as_ref().is_none_or(|name| *name == case.name));
    settle(args, &expected, &repeated)
}

/// Compares the repetition with the report.
fn settle(args: &ReplayArgs, expected: &Report, repeated: &Report) -> Result<(), Failure> {
    let mut comparison = Comparison::of(expected, repeated);
    comparison
        .differences
        .retain(|difference| difference.change != Change::Figures);
    let same = comparison.differences.is_empty();
    if args.json {
        let json =
            serde_json::json!({"same": same, "seed": expected.seed, "comparison": comparison});
        cli::print(&format!("{json}\n"))?;
    } else {
        cli::print(&comparison.table())?;
    }
    if same {
        if !args.json {
            cli::print(&format!(
                "The same verdicts came with seed {}.\n",
                expected.seed
            ))?;
        }
        return Ok(());
    }
    Err(Failure::new(format!(
        "{} verdicts differ from {}",
        comparison.differences.len(),
        args.file.display()
    )))
}

fn find<'a>(report: &'a Report, name: &str) -> Result<&'a Case, Failure> {
    let found = report.cases.iter().find(|case| case.name == name);
    found.ok_or_else(|| {
        let names: Vec<_> = report
            .cases
            .iter()
            .map(|case| printable(&case.name))
            .take(50)
            .collect();
        Failure::usage(format!(
            "the report has no case {name:?}; it has {}",
            names.join(", ")
        ))
    })
}

/// The words of the report's command after `aid-hil`, without what a repetition must not do.
fn repeatable(report: &Report) -> Result<Vec<String>, Failure> {
    let wrong = |why: &str| {
        Failure::new(format!(
            "the command of the report can't be repeated: {why}: {}",
            report.command
        ))
    };
    let words = split(&report.command).ok_or_else(|| wrong("its quotes are not closed"))?;
    let mut words = words.into_iter();
    if words.next().as_deref() != Some("aid-hil") {
        return Err(wrong("it is none of aid-hil"));
    }
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        let (name, has_value) = match word.split_once('=') {
            Some((name, _)) if word.starts_with("--") => (name, true),
            _ => (word.as_str(), false),
        };
        if kept.is_empty() && !COMMANDS.iter().any(|(command, _)| *command == word) {
            return Err(wrong("it makes no report"));
        }
        if name == "--program" {
            return Err(wrong("it runs another program"));
        }
        let takes_value = VALUES.contains(&name) || DROPPED.contains(&name);
        let value = match takes_value && !has_value {
            true => Some(
                words
                    .next()
                    .ok_or_else(|| wrong("an option has no value"))?,
            ),
            false => None,
        };
        if DROPPED.contains(&name) || DROPPED_FLAGS.contains(&name) {
            continue;
        }
        kept.push(word);
        kept.extend(value);
    }
    if kept.is_empty() {
        return Err(wrong("it is empty"));
    }
    Ok(kept)
}

/// The command for one case in place of those that it names.
fn with_case(words: &[String], report: &Report, case: &str) -> Vec<String> {
    let command = COMMANDS
        .iter()
        .find(|(command, _)| words.first().is_some_and(|w| w == command));
    let fixed = command.map_or(1, |(_, fixed)| *fixed);
    let mut made: Vec<String> = words.iter().take(fixed).cloned().collect();
    // A fleet or a demo has cases, and runs as a whole. A scenario of a file is found by the file.
    let is_file =
        |word: &String| !word.starts_with('-') && (word.contains('/') || word.ends_with(".toml"));
    let own = named(words.iter().skip(fixed));
    let keeps = matches!(report.kind, Kind::Scenarios) && own.iter().any(|word| is_file(word));
    if keeps {
        made.extend(own.into_iter().cloned());
    } else if !matches!(report.kind, Kind::Fleet | Kind::Demo) {
        made.push(case.to_owned());
    }
    let mut rest = words.iter().skip(fixed);
    while let Some(word) = rest.next() {
        // One case in place of all.
        if !word.starts_with('-') || word == "--all" {
            continue;
        }
        made.push(word.clone());
        if VALUES.contains(&word.as_str()) {
            made.extend(rest.next().cloned());
        }
    }
    made
}

/// The words that are no options and no values of options.
fn named<'a>(words: impl Iterator<Item = &'a String>) -> Vec<&'a String> {
    let (mut all, mut is_value) = (Vec::new(), false);
    for word in words {
        if !is_value && !word.starts_with('-') {
            all.push(word);
        }
        is_value = !is_value && VALUES.contains(&word.as_str());
    }
    all
}

/// Runs the command with our own executable and reads its report.
fn repeat(words: &[String], quiet: bool) -> Result<Report, Failure> {
    let folder = tempfile::tempdir()
        .map_err(|e| Failure::new(format!("cannot make a folder for the report: {e}")))?;
    let file = folder.path().join("report.json");
    if !quiet {
        cli::line_to_stderr(&format!("repeating: aid-hil {}", words.join(" ")));
    }
    let own = std::env::current_exe()
        .map_err(|e| Failure::new(format!("cannot find our own executable: {e}")))?;
    let mut command = Command::new(own);
    command
        .args(words)
        .arg("--report")
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let run = spawn_at_gate(&mut command).and_then(|mut child| child.wait());
    let status = run.map_err(|e| Failure::new(format!("cannot run the command again: {e}")))?;
    read(&file).map_err(|failure| {
        Failure::new(format!(
            "the command made no report ({status}): {failure}; what it said is above"
        ))
    })
}

fn read(file: &Path) -> Result<Report, Failure> {
    aid_report::open(file)
}

/// Says which programs differ from those of the report, as far as that is known before they run.
fn say_versions(report: &Report) {
    let own = env!("CARGO_PKG_VERSION");
    let mut known = report.versions.iter();
    match known.find(|version| version.name == "aid-hil") {
        Some(version) if version.version == own => {}
        Some(version) => cli::line_to_stderr(&format!(
            "the report was made by aid-hil {}, this is {own}: verdicts may differ",
            version.version
        )),
        None => cli::line_to_stderr("the report does not say which aid-hil made it"),
    }
}

fn show_before(case: &Case, quiet: bool) {
    if quiet {
        return;
    }
    cli::line_to_stderr(&format!("{} ({}): {}", case.name, case.verdict, case.about));
    for step in &case.steps {
        cli::line_to_stderr(&format!("  {} {}", step.verdict, step.title));
    }
    if let Some(failure) = &case.failure {
        cli::line_to_stderr(&format!(
            "  expected {}; seen {}",
            failure.expected, failure.seen
        ));
    }
}

fn show_after(before: &Case, after: &Case, quiet: bool) {
    if quiet {
        return;
    }
    for (n, step) in after.steps.iter().enumerate() {
        let same = before
            .steps
            .get(n)
            .is_some_and(|old| old.title == step.title && old.verdict == step.verdict);
        let mark = if same { "same " } else { "other" };
        cli::line_to_stderr(&format!("  {mark} {} {}", step.verdict, step.title));
    }
    cli::line_to_stderr(&format!("  {} -> {}", before.verdict, after.verdict));
}

/// Waits for Enter where a person is there to press it; the end of stdin ends the replay.
fn wait_for_enter(quiet: bool) -> Result<(), Failure> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() && !quiet {
        cli::line_to_stderr("Press Enter to run it.");
    }
    let mut line = String::new();
    match stdin.lock().read_line(&mut line) {
        Ok(0) => Err(Failure::new("stdin ended: the replay stops here")),
        Ok(_) => Ok(()),
        Err(e) => Err(Failure::new(format!("cannot read stdin: {e}"))),
    }
}

/// Splits a command as a POSIX shell does, without expansions; `None` where a quote is not closed.
fn split(command: &str) -> Option<Vec<String>> {
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let mut chars = command.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => word.push(chars.next()?),
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(chars.next()?),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word.take());
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(command: &str) -> Report {
        Report {
            format: aid_report::FORMAT,
            kind: Kind::Scenarios,
            subject: String::new(),
            command: command.to_owned(),
            seed: 7,
            began: String::new(),
            ended: String::new(),
            laboratory: aid_report::Laboratory::default(),
            versions: Vec::new(),
            cases: Vec::new(),
        }
    }

    #[test]
    fn words_are_split_as_a_shell_does() {
        let words = |command: &str| split(command);
        assert_eq!(
            words("a  'b c' \"d\\\"e\" f\\ g ''").unwrap(),
            ["a", "b c", "d\"e", "f g", ""]
        );
        assert_eq!(words("it'\\''s"), None);
        assert_eq!(words(r"'it'\''s'").unwrap(), ["it's"]);
    }

    #[test]
    fn nothing_but_commands_that_make_reports_is_repeated() {
        for bad in [
            "",
            "rm -rf /",
            "aid-hil",
            "aid-hil part aid-cmp serve",
            "aid-hil init --dir x",
            "aid-hil demo --program aid-cmp=/tmp/x",
            "aid-hil demo --program=aid-cmp=/tmp/x",
            "aid-hil --trace demo",
            "aid-hil judge 'cmp",
            "aid-hil judge cmp --target",
        ] {
            assert!(repeatable(&report(bad)).is_err(), "{bad}");
        }
        let good = repeatable(&report(
            "aid-hil judge cmp R-1 --target 'a b.toml' --keep /x --html=/y --json --seed 7",
        ));
        assert_eq!(
            good.unwrap(),
            ["judge", "cmp", "R-1", "--target", "a b.toml", "--seed", "7"]
        );
    }

    #[test]
    fn a_case_takes_the_place_of_those_that_the_command_names() {
        let judged = report("aid-hil judge cmp R-1 R-2 --target t.toml --strict --seed 7");
        let words = repeatable(&judged).unwrap();
        assert_eq!(
            with_case(&words, &judged, "R-9"),
            [
                "judge", "cmp", "R-9", "--target", "t.toml", "--strict", "--seed", "7"
            ]
        );
    }
}
