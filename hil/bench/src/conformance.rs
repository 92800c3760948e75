//! `docs/CONFORMANCE.md` from the requirement ids that stand on tests (`// R-4.3-7`).
//! An id belongs to the next test function below it, and in a scenario to its step; the document is generated, never written by hand.
//! `docs/requirements.txt` lists every id, `docs/conformance-reasons.toml` says why one has no test.

use crate::scenario::{self, Step};
use aid_cli::cli::{self, Failure};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Options of `aid-hil conformance`; without `--write` and `--check` the document goes to stdout.
#[derive(Debug, clap::Args)]
pub(crate) struct ConformanceArgs {
    /// Root of the checkout.
    #[arg(long, default_value = ".")]
    root: PathBuf,
    /// Write the document to this file.
    #[arg(long, value_name = "FILE", conflicts_with = "check")]
    write: Option<PathBuf>,
    /// Fail unless this file is what would be written.
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
}

/// Folders of the checkout that have Rust code.
const FOLDERS: [&str; 4] = ["agent", "cmp-link", "euicc-sim", "hil"];

/// A requirement id such as R-4.3-7, R-7.1a-4 or R-B-6: chapter, number, and the id as it is written;
/// ordered as a reader expects, annexes last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Requirement(Vec<(u32, String)>, u32, String);

impl Requirement {
    fn parse(text: &str) -> Option<Self> {
        let (chapter, number) = text.strip_prefix("R-")?.rsplit_once('-')?;
        let chapter = chapter.split('.').map(|part| {
            let letters = part.trim_start_matches(|c: char| c.is_ascii_digit());
            let digits = &part[..part.len() - letters.len()];
            let known = !part.is_empty() && letters.len() <= 1;
            let order = digits.parse().unwrap_or(u32::MAX);
            known.then(|| (order, letters.to_owned()))
        });
        let chapter = chapter.collect::<Option<Vec<_>>>()?;
        Some(Self(chapter, number.parse().ok()?, text.to_owned()))
    }

    /// The ids between this one and a later one of the same chapter.
    fn until(&self, last: &Self) -> Option<Vec<Self>> {
        let text = self.2.strip_suffix(&self.1.to_string())?;
        let near = self.0 == last.0 && last.1 < self.1 + 100;
        near.then(|| {
            let ids = (self.1 + 1)..last.1;
            ids.map(|n| Self(self.0.clone(), n, format!("{text}{n}")))
                .collect()
        })
    }
}

/// Runs the command.
pub(crate) fn run(args: &ConformanceArgs) -> Result<(), Failure> {
    let Conformance { document, faults } = conformance(&args.root)?;
    if let Some(file) = &args.write {
        return std::fs::write(file, document)
            .map_err(|e| Failure::new(format!("cannot write {}: {e}", file.display())));
    }
    let Some(file) = &args.check else {
        return cli::print(&document);
    };
    let there = std::fs::read_to_string(file)
        .map_err(|e| Failure::new(format!("cannot read {}: {e}", file.display())))?;
    if there != document {
        let file = file.display();
        return Err(Failure::new(format!(
            "{file} is not what the tests say; run aid-hil conformance --write {file}"
        )));
    }
    match faults.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(faults.join("; "))),
    }
}

/// The document, and what is wrong with the requirements it speaks of.
struct Conformance {
    document: String,
    faults: Vec<String>,
}

/// Every id, one a line; `#` begins a comment.
const IDS: &str = "docs/requirements.txt";
/// Ids without a test, with the reason.
const REASONS: &str = "docs/conformance-reasons.toml";
/// Tests in here are of all parts together.
const END_TO_END: &str = "hil/bench/";

fn file(root: &Path, name: &str) -> Result<String, Failure> {
    let path = root.join(name);
    std::fs::read_to_string(&path)
        .map_err(|e| Failure::new(format!("cannot read {}: {e}", path.display())))
}

fn ids(text: &str) -> Result<BTreeSet<Requirement>, Failure> {
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|l| !l.is_empty() && !l.starts_with('#'));
    lines
        .map(|line| {
            Requirement::parse(line)
                .ok_or_else(|| Failure::new(format!("{IDS}: {line:?} is no requirement id")))
        })
        .collect()
}

fn reasons(text: &str) -> Result<BTreeMap<Requirement, String>, Failure> {
    let table: BTreeMap<String, String> =
        toml::from_str(text).map_err(|e| Failure::new(format!("{REASONS}: {e}")))?;
    let parse = |(id, reason): (String, String)| {
        let id = Requirement::parse(&id)
            .ok_or_else(|| Failure::new(format!("{REASONS}: {id:?} is no requirement id")))?;
        Ok((id, reason))
    };
    table.into_iter().map(parse).collect()
}

fn conformance(root: &Path) -> Result<Conformance, Failure> {
    let mut proofs = BTreeMap::<Requirement, BTreeSet<String>>::new();
    for folder in FOLDERS {
        walk(root, &root.join(folder), &mut proofs)?;
    }
    if proofs.is_empty() {
        return Err(Failure::new(format!(
            "no requirement id on any test below {}; give the root of the checkout with --root",
            root.display()
        )));
    }
    let (ids, reasons) = (ids(&file(root, IDS)?)?, reasons(&file(root, REASONS)?)?);
    Ok(write(&ids, &proofs, &reasons))
}

fn write(
    ids: &BTreeSet<Requirement>,
    proofs: &Proofs,
    reasons: &BTreeMap<Requirement, String>,
) -> Conformance {
    let mut document = String::from(
        "# Conformance\n\nGenerated by `just docs` from the requirement ids that stand on tests; do not edit.\n\
         Every requirement is here: with the tests that prove it, or with the reason why none does\n\
         (`docs/conformance-reasons.toml`). *End to end only*: it rests on one test of the whole system.\n\n| requirement | proved by |\n|---|---|\n",
    );
    let mut faults = Vec::new();
    let mut open = String::new();
    let (mut proved, mut explained) = (0, 0);
    // Writing to a String cannot fail.
    for id in ids {
        match (proofs.get(id), reasons.get(id)) {
            (Some(tests), _) => {
                let alone = tests.len() == 1 && tests.iter().all(|t| t.starts_with(END_TO_END));
                let tests: Vec<String> = tests.iter().map(|t| format!("`{t}`")).collect();
                let mark = if alone { " (end to end only)" } else { "" };
                let _ = writeln!(document, "| {} | {}{mark} |", id.2, tests.join("<br>"));
                proved += 1;
            }
            (None, Some(reason)) => {
                let _ = writeln!(open, "| {} | {} |", id.2, reason.replace('|', "\\|"));
                explained += 1;
            }
            (None, None) => {
                let _ = writeln!(open, "| {} | **neither a test nor a reason** |", id.2);
                faults.push(format!(
                    "{} has neither a test nor a reason in {REASONS}",
                    id.2
                ));
            }
        }
    }
    for odd in proofs
        .keys()
        .chain(reasons.keys())
        .filter(|id| !ids.contains(id))
    {
        faults.push(format!("{} is not in {IDS}; is it misspelt?", odd.2));
    }
    if !open.is_empty() {
        let _ = write!(
            document,
            "\n## Without a test\n\n| requirement | why |\n|---|---|\n{open}"
        );
    }
    let _ = writeln!(
        document,
        "\n{} requirements: {proved} proved by tests, {explained} with a reason why not.",
        ids.len()
    );
    Conformance { document, faults }
}

type Proofs = BTreeMap<Requirement, BTreeSet<String>>;

fn walk(root: &Path, folder: &Path, proofs: &mut Proofs) -> Result<(), Failure> {
    let wrong = |e: std::io::Error| Failure::new(format!("cannot read {}: {e}", folder.display()));
    for entry in std::fs::read_dir(folder).map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|n| n != "target") {
                walk(root, &path, proofs)?;
            }
            continue;
        }
        let name = path.strip_prefix(root).unwrap_or(&path);
        let name = name.display().to_string();
        let is_scenario = name.starts_with(SCENARIOS) && name.ends_with(".toml");
        if !is_scenario && path.extension().is_none_or(|e| e != "rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path)
            .map_err(|e| Failure::new(format!("cannot read {}: {e}", path.display())))?;
        match is_scenario {
            true => collect_steps(&name, &text, proofs)?,
            false => collect(&name, &text, proofs),
        }
    }
    Ok(())
}

/// Where the scenarios are: an id there belongs to the step that proves it, or to the whole file.
const SCENARIOS: &str = "hil/bench/scenarios/";

/// The ids of a scenario, by the sentences of its steps; the test of all scenarios plays them.
fn collect_steps(file: &str, text: &str, proofs: &mut Proofs) -> Result<(), Failure> {
    let scenario = scenario::read(file, file, text).map_err(|m| Failure::new(m.to_string()))?;
    let mut prove = |ids: &[String], what: &str| {
        for id in ids.iter().filter_map(|id| Requirement::parse(id)) {
            let proof = format!("{file}: {}", what.replace('|', "/").replace('`', "'"));
            proofs.entry(id).or_default().insert(proof);
        }
    };
    prove(&scenario.requirements, &scenario.title);
    let mut steps: Vec<&Step> = scenario.steps.iter().collect();
    while let Some(step) = steps.pop() {
        prove(&step.proves, &step.text);
        steps.extend(step.inner());
    }
    Ok(())
}

/// Ids in comments, given to the next function that is a test.
fn collect(file: &str, text: &str, proofs: &mut Proofs) {
    let mut ids = Vec::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if let Some(comment) = line.strip_prefix("//") {
            ids.extend(named(comment));
        } else if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some(name) = function(line) {
            if is_test {
                for id in &ids {
                    let test = format!("{file}: {name}");
                    proofs.entry(id.clone()).or_default().insert(test);
                }
            }
            ids.clear();
            is_test = false;
        } else if !line.starts_with("#[") {
            // Code between an id and a test: the id spoke of that code.
            ids.clear();
        }
    }
}

/// The ids of a comment; "R-4.3-1 to R-4.3-3" names three.
fn named(comment: &str) -> Vec<Requirement> {
    let words = comment.split(|c: char| !(c.is_ascii_alphanumeric() || ".-".contains(c)));
    let mut ids: Vec<Requirement> = Vec::new();
    let mut range = false;
    for word in words.filter(|w| !w.is_empty()) {
        let Some(id) = Requirement::parse(word.trim_end_matches('.')) else {
            range = word == "to";
            continue;
        };
        let from = ids.last().filter(|_| range);
        let between = from.and_then(|from| from.until(&id)).unwrap_or_default();
        ids.extend(between);
        ids.push(id);
        range = false;
    }
    ids
}

fn function(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("async ").unwrap_or(line);
    rest.strip_prefix("fn ")?.split(['(', '<']).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_and_scenarios_of_the_project_cite_requirements_that_exist() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        assert_eq!(conformance(&root).unwrap().faults, Vec::<String>::new());
    }

    #[test]
    fn every_requirement_is_listed_or_a_fault() {
        let list = ids("# ids\nR-1-1\nR-1-2\nR-1-3\nR-1-4\n").unwrap();
        let reason = reasons("R-1-2 = \"a | b\"\nR-1-1 = \"the test counts more\"\n").unwrap();
        let mut proofs = Proofs::new();
        collect("a.rs", "// R-1-1 R-9-9\n#[test]\nfn t() {}\n", &mut proofs);
        collect(
            "hil/bench/tests/b.rs",
            "// R-1-1 R-1-4\n#[test]\nfn u() {}\n",
            &mut proofs,
        );
        let Conformance { document, faults } = write(&list, &proofs, &reason);
        let both = "| R-1-1 | `a.rs: t`<br>`hil/bench/tests/b.rs: u` |";
        assert!(document.contains(both), "{document}");
        let alone = "| R-1-4 | `hil/bench/tests/b.rs: u` (end to end only) |";
        assert!(document.contains(alone), "{document}");
        assert!(document.contains("| R-1-2 | a \\| b |"), "{document}");
        assert!(document.contains("4 requirements: 2 proved by tests, 1 with a reason"));
        for part in ["R-1-3 has neither", "R-9-9 is not in"] {
            assert!(faults.iter().any(|f| f.contains(part)), "{faults:?}");
        }
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(ids("R-x").is_err() && reasons("R-1-1 = 5").is_err());
    }

    #[test]
    fn an_id_in_a_scenario_belongs_to_its_step() {
        let text = "title = \"all of it\"\nclause = \"§4\"\nrequirements = [\"R-1-1\"]\nsteps = [\n\
                    { when = \"Ada | enters\", do = \"car.login\", user = \"ada\", proves = [\"R-1-2\"] },\n\
                    { then = \"each\", each = \"r\", steps = [{ then = \"`so`\", see = \"car.empty\", proves = [\"R-1-3\"] }] },\n]\n\
                    [rows]\nr = [{ a = 1 }]\n";
        let mut proofs = Proofs::new();
        collect_steps("s.toml", text, &mut proofs).unwrap();
        let got: Vec<String> = proofs
            .iter()
            .map(|(r, t)| format!("{} {}", r.2, t.iter().next().unwrap()))
            .collect();
        assert_eq!(
            got,
            [
                "R-1-1 s.toml: all of it",
                "R-1-2 s.toml: Ada / enters",
                "R-1-3 s.toml: 'so'",
            ]
        );
        assert!(collect_steps("s.toml", "title = 1", &mut proofs).is_err());
    }

    #[test]
    fn an_id_belongs_to_the_test_below_it() {
        let text = "// R-4.3-7, R-2-12: why\n#[test]\nfn first() {}\n\n\
                    // R-9.9-9\nlet code = 1;\n#[test]\nfn second() {}\n\
                    /// R-4.3-10.\n#[tokio::test]\nasync fn third() {}\n// R-1-1\nfn no_test() {}\n";
        let ranges: Vec<String> = named(" R-4.1-9 to R-4.1-11, and R-5.1-2 (to be seen)")
            .into_iter()
            .map(|r| r.2)
            .collect();
        assert_eq!(ranges, ["R-4.1-9", "R-4.1-10", "R-4.1-11", "R-5.1-2"]);
        let mut order: Vec<_> = [
            "R-B-6", "R-7.1b-1", "R-7.10-1", "R-7.1-2", "R-A.3-3", "R-7.1a-9",
        ]
        .into_iter()
        .filter_map(Requirement::parse)
        .collect();
        order.sort();
        let order: Vec<&str> = order.iter().map(|r| r.2.as_str()).collect();
        let expected = [
            "R-7.1-2", "R-7.1a-9", "R-7.1b-1", "R-7.10-1", "R-A.3-3", "R-B-6",
        ];
        assert_eq!(order, expected);
        assert_eq!(Requirement::parse("R-APDU"), None);
        let mut proofs = Proofs::new();
        collect("a.rs", text, &mut proofs);
        let got: Vec<String> = proofs
            .iter()
            .map(|(r, t)| format!("{} {}", r.2, t.iter().next().unwrap()))
            .collect();
        assert_eq!(
            got,
            [
                "R-2-12 a.rs: first",
                "R-4.3-7 a.rs: first",
                "R-4.3-10 a.rs: third"
            ]
        );
    }
}
