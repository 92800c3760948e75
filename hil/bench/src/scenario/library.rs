//! The scenarios that there are: those of this program, and files that a user names.

use super::file::{self, Columns, Scenario};
use super::kind::nearest;
use super::{schema, shipped};
use aid_cli::cli::{self, Failure};
use std::path::Path;

/// Options of `aid-hil list`.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Names with * and ?, a folder's name with /*, or files; default: all.
    patterns: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Print the JSON Schema of scenario files.
    #[arg(long, conflicts_with_all = ["patterns", "steps"])]
    schema: bool,
    /// Print the table of all steps, in Markdown.
    #[arg(long, conflicts_with = "patterns")]
    steps: bool,
}

/// Shows what there is.
///
/// # Errors
/// A pattern fits nothing.
pub(crate) fn list(args: &ListArgs) -> Result<(), Failure> {
    if args.schema {
        let text = serde_json::to_string_pretty(&schema::schema())?;
        return cli::print(&format!("{text}\n"));
    }
    if args.steps {
        return cli::print(&schema::reference());
    }
    show(&choose(&args.patterns)?, args.json)
}

/// Names and titles.
pub(super) fn show(chosen: &[Scenario], json: bool) -> Result<(), Failure> {
    if json {
        let row = |s: &Scenario| {
            let variants: Vec<&String> = s.variants.iter().filter_map(|v| v.get("name")).collect();
            serde_json::json!({"name": s.name, "about": s.title, "clause": s.clause, "variants": variants})
        };
        let rows: Vec<_> = chosen.iter().map(row).collect();
        return cli::print(&format!("{}\n", serde_json::Value::from(rows)));
    }
    let row = |s: &Scenario| {
        let variants: Vec<&str> = s
            .variants
            .iter()
            .filter_map(|v| v.get("name").map(String::as_str))
            .collect();
        let variants = if variants.is_empty() {
            String::new()
        } else {
            format!(" [{}]", variants.join(", "))
        };
        format!("{:<40} {} ({}){variants}\n", s.name, s.title, s.clause)
    };
    cli::print(&chosen.iter().map(row).collect::<String>())
}

/// A scenario, and the variants of it that are played; none: all of it.
pub(super) type Chosen = Vec<(Scenario, Option<Columns>)>;

/// All scenarios of this program.
fn own() -> Result<Vec<Scenario>, Failure> {
    let read = |(name, text): &(&str, &str)| {
        file::read(name, &format!("{name}.toml"), text).map_err(|m| Failure::new(m.to_string()))
    };
    shipped::FILES.iter().map(read).collect()
}

/// The scenarios that patterns and files name, each once; all of ours where there is none.
pub(super) fn choose(patterns: &[String]) -> Result<Vec<Scenario>, Failure> {
    let mut chosen: Vec<Scenario> = Vec::new();
    for (scenario, _) in choose_cases(patterns)? {
        if chosen.iter().all(|s| s.name != scenario.name) {
            chosen.push(scenario);
        }
    }
    Ok(chosen)
}

/// The same with each variant by itself; a pattern may name one: `provisioning/power-cut[installing]`.
pub(super) fn choose_cases(patterns: &[String]) -> Result<Chosen, Failure> {
    let own = own()?;
    let mut chosen = Chosen::new();
    if patterns.is_empty() {
        own.iter().for_each(|s| add(&mut chosen, s, None));
    }
    for pattern in patterns {
        if pattern.ends_with(".toml") || Path::new(pattern).is_dir() {
            for scenario in from_disk(Path::new(pattern))? {
                add(&mut chosen, &scenario, None);
            }
            continue;
        }
        let (name, variant) = match pattern.strip_suffix(']').and_then(|p| p.split_once('[')) {
            Some((name, variant)) => (name, Some(variant)),
            None => (pattern.as_str(), None),
        };
        let before = chosen.len();
        let mut known = false;
        for scenario in own.iter().filter(|s| fits(name, &s.name)) {
            known = true;
            add(&mut chosen, scenario, variant);
        }
        if chosen.len() == before && !(known && variant.is_none()) {
            return Err(unknown(pattern, &own));
        }
    }
    Ok(chosen)
}

fn add(chosen: &mut Chosen, scenario: &Scenario, variant: Option<&str>) {
    let mut push = |columns: Option<Columns>| {
        let is = |(s, c): &(Scenario, Option<Columns>)| s.name == scenario.name && *c == columns;
        if !chosen.iter().any(is) {
            chosen.push((scenario.clone(), columns));
        }
    };
    if scenario.variants.is_empty() {
        if variant.is_none() {
            push(None);
        }
        return;
    }
    for columns in &scenario.variants {
        let name = columns.get("name").map(String::as_str);
        if variant.is_none() || variant == name {
            push(Some(columns.clone()));
        }
    }
}

/// A pattern fits a whole name, or its last part.
fn fits(pattern: &str, name: &str) -> bool {
    let last = name.rsplit('/').next().unwrap_or(name);
    glob(pattern.as_bytes(), name.as_bytes()) || glob(pattern.as_bytes(), last.as_bytes())
}

/// `*` stands for any text, `?` for one character.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            glob(rest, text)
                || text
                    .split_first()
                    .is_some_and(|(_, left)| glob(pattern, left))
        }
        (Some((b'?', rest)), Some((_, left))) => glob(rest, left),
        (Some((a, rest)), Some((b, left))) => a == b && glob(rest, left),
        _ => false,
    }
}

fn unknown(pattern: &str, own: &[Scenario]) -> Failure {
    let names = own
        .iter()
        .flat_map(|s| [s.name.as_str(), s.name.rsplit('/').next().unwrap_or("")]);
    let hint = nearest(pattern, names)
        .map(|n| format!("did you mean {n}? "))
        .unwrap_or_default();
    let all: Vec<&str> = own.iter().map(|s| s.name.as_str()).collect();
    Failure::usage(format!(
        "there is no scenario {pattern:?}; {hint}There are {}",
        all.join(", ")
    ))
}

/// The scenario of a file, or those of a folder and the folders in it.
fn from_disk(place: &Path) -> Result<Vec<Scenario>, Failure> {
    let wrong = |e: std::io::Error| Failure::usage(format!("cannot read {}: {e}", place.display()));
    if !place.is_dir() {
        let text = std::fs::read_to_string(place).map_err(wrong)?;
        let name = place.with_extension("").display().to_string();
        let scenario = file::read(&name, &place.display().to_string(), &text)
            .map_err(|m| Failure::usage(m.to_string()))?;
        return Ok(vec![scenario]);
    }
    let mut entries: Vec<_> = std::fs::read_dir(place)
        .map_err(wrong)?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<_, _>>()
        .map_err(wrong)?;
    entries.sort();
    let mut list = Vec::new();
    for entry in entries {
        if entry.is_dir() || entry.extension().is_some_and(|e| e == "toml") {
            list.extend(from_disk(&entry)?);
        }
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn patterns_name_scenarios_by_their_last_part_too() {
        assert!(fits("swap", "provisioning/swap") && fits("provisioning/*", "provisioning/swap"));
        assert!(fits("*-cut", "provisioning/power-cut") && fits("s?ap", "a/swap"));
        assert!(!fits("swa", "a/swap") && !fits("provisioning", "provisioning/swap"));
    }

    /// What no CMP that keeps to AID.02 can see of an MSP; docs/msp-control.md says why.
    const UNSEEN: [&str; 1] = ["minds-candidate"];

    #[test]
    fn every_misbehaviour_is_played_and_its_outcome_documented() {
        /// The words in backquotes that begin a row of a table.
        fn rows(text: &str) -> Vec<&str> {
            let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
            rows.filter_map(|row| row.split('`').next()).collect()
        }
        let document = include_str!("../../../../docs/msp-control.md");
        let parts = document
            .split_once("## What our CMP does")
            .and_then(|(names, outcomes)| {
                let (_, names) = names.split_once("## Names")?;
                Some((rows(names), rows(outcomes)))
            });
        let (names, outcomes) = parts.unwrap_or_default();
        assert!(names.len() > 50, "{names:?}");
        for name in names {
            let quoted = format!("\"{name}\"");
            let played = shipped::FILES
                .iter()
                .any(|(file, text)| file.starts_with("misbehaviour/") && text.contains(&quoted));
            assert_ne!(played, UNSEEN.contains(&name), "{name}");
            assert!(outcomes.contains(&name), "{name}: its outcome");
        }
    }

    #[test]
    fn last_parts_are_unique_and_there_are_enough() {
        let own = own().unwrap_or_else(|e| panic!("{e}"));
        let last: BTreeSet<&str> = own
            .iter()
            .filter_map(|s| s.name.rsplit('/').next())
            .collect();
        assert_eq!(last.len(), own.len());
        assert!(own.len() >= 80, "{}", own.len());
        let one = choose_cases(&["no-such-thing".to_owned()]).err();
        assert_eq!(one.map(|f| f.code), Some(2));
    }
}
