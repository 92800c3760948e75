//! `aidctl journal dump` and `aidctl diagnostics`: what the agent knows, as JSON without secrets.

use super::{open, value_of};
use crate::diagnostics;
use aid_agent_core::Durable;
use aid_cli::cli::{Failure, print};
use aid_cli::printable::printable_lines;
use aid_cli::private;
use aid_journal::FileMedia;
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// What is done with the journal.
#[derive(Subcommand)]
pub(super) enum Action {
    /// Print the state behind the journal as JSON, activation codes removed. Asks the running agent, or reads a folder.
    Dump {
        /// Folder of the journal of an agent that does not run: prints its records, too. Nothing is changed.
        #[arg(long, value_name = "DIR")]
        folder: Option<PathBuf>,
    },
}

/// Asks the agent for a JSON object, and writes it to stdout or to a file.
pub(super) fn ask(api: &Path, path: &str, output: Option<&Path>) -> Result<(), Failure> {
    let answer = open(api, "GET", path, "").and_then(|(status, answer)| value_of(&status, answer));
    write(&answer.map_err(Failure::new)?, output)
}

fn write(value: &Value, output: Option<&Path>) -> Result<(), Failure> {
    let text = format!("{value:#}\n");
    let text = printable_lines(&text);
    let Some(file) = output else {
        return print(&text);
    };
    let name = file.display();
    private::write(file, text.as_bytes())
        .map_err(|e| Failure::new(format!("cannot write {name}: {e}; choose another file")))
}

/// Prints the state and the records of a journal that no agent has open.
pub(super) fn dump_folder(folder: &Path) -> Result<(), Failure> {
    let name = folder.display();
    if !folder.join("lock").exists() {
        return Err(Failure::new(format!("{name} is no folder of a journal")));
    }
    let media = FileMedia::open(folder).map_err(|e| {
        let hint = "without --folder the running agent is asked";
        Failure::new(if e.is_in_use() {
            format!("{e}; {hint}")
        } else {
            e.to_string()
        })
    })?;
    let found = aid_journal::read(media, aid_journal::Config::default())?;
    let state = Durable::restore(found.snapshot.as_deref(), &found.records)?;
    let value = json!({"state": diagnostics::journal(&state), "records": diagnostics::records(&found.records),
                       "begins_with_snapshot": found.snapshot.is_some()});
    write(
        &diagnostics::scrubbed(value, &diagnostics::secrets(&state)),
        None,
    )
}
