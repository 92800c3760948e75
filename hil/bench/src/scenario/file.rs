//! A scenario as it stands in its file (docs/scenarios.md), read with the place of every word: a mistake is named with file,
//! line and what would be right, and all mistakes of a file at once.

use super::catalog::Action;
use super::given::Given;
use super::reader::Reader;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use toml::de::DeTable;

/// Largest file, bytes.
const MAX_FILE: usize = 256 * 1024;

/// A scenario.
#[derive(Clone)]
pub(crate) struct Scenario {
    /// Path below the folder of scenarios, without `.toml`.
    pub(crate) name: String,
    /// What it shows, one sentence.
    pub(crate) title: String,
    /// `AID.02 §4.3`.
    pub(crate) clause: String,
    /// Ids that the whole of it proves.
    pub(crate) requirements: Vec<String>,
    /// Test cases of SGP.23.
    pub(crate) sgp23: Vec<String>,
    /// Its set-up.
    pub(super) given: Given,
    /// What differs each time it is played; empty: it is played once.
    pub(super) variants: Vec<Columns>,
    /// Tables of rows for steps that are repeated.
    pub(super) rows: BTreeMap<String, Vec<Columns>>,
    /// What happens.
    pub(crate) steps: Vec<Step>,
}

/// Values by name; a variant has its own name under `name`.
pub(super) type Columns = BTreeMap<String, String>;

/// A step.
#[derive(Clone)]
pub(crate) struct Step {
    /// Its sentence.
    pub(crate) text: String,
    /// Ids that it proves.
    pub(crate) proves: Vec<String>,
    /// Where it stands.
    pub(super) line: usize,
    /// What it does.
    pub(super) act: Act,
    /// The name that its value is saved under.
    pub(super) save: Option<String>,
    /// The member that is saved.
    pub(super) take: Option<String>,
    /// Deadline of an expectation.
    pub(super) within: Option<String>,
    /// The deed must be refused, with this in the reason.
    pub(super) refused: Option<String>,
}

/// What a step does.
#[derive(Clone)]
pub(super) enum Act {
    /// One deed or one look.
    Run(&'static Action, Map<String, Value>),
    /// Steps for each row of a table.
    Each(String, Vec<Step>),
}

impl Step {
    /// The steps that are played for each row, where it is such a step.
    pub(crate) fn inner(&self) -> &[Step] {
        match &self.act {
            Act::Run(..) => &[],
            Act::Each(_, steps) => steps,
        }
    }
}

/// What is wrong with a file.
#[derive(Debug)]
pub(crate) struct Mistakes {
    file: String,
    list: Vec<(usize, String)>,
}

impl std::fmt::Display for Mistakes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lines = self
            .list
            .iter()
            .map(|(line, text)| format!("{}:{line}: {text}", self.file));
        f.write_str(&lines.collect::<Vec<_>>().join("\n"))
    }
}

impl std::error::Error for Mistakes {}

/// Reads a scenario; `file` is what its mistakes are named by.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) fn read(name: &str, file: &str, text: &str) -> Result<Scenario, Mistakes> {
    let mut reader = Reader::new(text);
    let scenario = if text.len() > MAX_FILE {
        reader.say(0..0, format!("a scenario has at most {MAX_FILE} bytes"));
        None
    } else {
        match DeTable::parse(text) {
            Ok(table) => reader.scenario(name, table.get_ref()),
            Err(error) => {
                let at = error.span().unwrap_or_default();
                reader.say(at, error.message().to_owned());
                None
            }
        }
    };
    match scenario {
        Some(scenario) if reader.is_content() => Ok(scenario),
        _ => Err(Mistakes {
            file: file.to_owned(),
            list: reader.mistakes(),
        }),
    }
}
