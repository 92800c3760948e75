//! Commands that can't be taken back: they ask a person first, and say on request what they would do.

use crate::cli::Failure;
use crate::printable::printable;
use clap::Args;
use serde_json::{Value, json};
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

/// The options of a program that has such commands.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct Irreversible {
    /// Do not ask before what can't be taken back.
    #[arg(long, global = true)]
    pub yes: bool,
    /// Of what can't be taken back, say what would be done, and do nothing.
    #[arg(long, global = true)]
    pub dry_run: bool,
}

impl Irreversible {
    /// Asks before something that can't be taken back: `what` says it in one sentence. Yields a row to print in place of the
    /// result where it must not be done, because this is a dry run. A script, whose standard input is no terminal, has said
    /// what it wants.
    ///
    /// # Errors
    /// The answer is no, or can't be read.
    pub fn confirm(self, what: &str) -> Result<Option<Value>, Failure> {
        if self.dry_run {
            return Ok(Some(json!({"dry_run": true, "would": what})));
        }
        if self.yes || !io::stdin().is_terminal() {
            return Ok(None);
        }
        let mut err = io::stderr().lock();
        let _ = write!(
            err,
            "{}. This can't be taken back. Go on? [y/N] ",
            printable(what)
        );
        let _ = err.flush();
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        match answer.trim().to_lowercase().as_str() {
            "y" | "yes" => Ok(None),
            _ => Err(Failure::new("nothing was done")),
        }
    }
}
