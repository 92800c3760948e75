//! Prints what an operator asks and does on the command line: a table on a terminal, `key=value` elsewhere, JSON for
//! scripts. The deeds themselves are in `operator`.

use super::table::Reader;
use crate::operator::{Listed, Operator, Refusal, account, id_text};
use crate::service::now;
use crate::store::{Store, Tx};
use aid_cli::cli::{Failure, line_to_stderr, print};
use aid_cli::printable::printable;
use clap::Args;
use serde_json::{Value, json};
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

pub(super) struct Admin<'a> {
    pub(super) operator: Operator<'a>,
    pub(super) json: bool,
    /// Irreversible commands do not ask.
    pub(super) yes: bool,
    /// Irreversible commands say what they would do, and do nothing.
    pub(super) dry_run: bool,
}

/// A row as one line of text.
fn line(row: &Value) -> String {
    let fields = row.as_object().into_iter().flatten();
    let fields: Vec<String> = fields
        .filter(|(_, v)| !v.is_null())
        .map(|(k, v)| {
            let text = v.as_str().map_or_else(|| v.to_string(), str::to_owned);
            format!("{k}={text}")
        })
        .collect();
    printable(&fields.join("  ")).into_owned()
}

/// Prints one row.
pub(super) fn show(row: Value, json: bool) -> Result<(), Failure> {
    if json || !io::stdout().is_terminal() {
        return show_all(&[], vec![row], json);
    }
    print(&Reader::here(now()).card(&row))
}

/// Prints rows; `columns` are those that come first in a table.
pub(super) fn show_all(columns: &[&str], rows: Vec<Value>, json: bool) -> Result<(), Failure> {
    let mut list = List::new(columns, json);
    list.print(rows)?;
    list.end()
}

/// A list on stdout whose rows come in parts: a table on a terminal, JSON as one array, otherwise one line each.
pub(super) struct List<'a> {
    columns: &'a [&'a str],
    json: bool,
    table: Option<Reader>,
    is_empty: bool,
}

impl<'a> List<'a> {
    pub(super) fn new(columns: &'a [&'a str], json: bool) -> Self {
        let is_read = !json && io::stdout().is_terminal();
        Self {
            columns,
            json,
            table: is_read.then(|| Reader::here(now())),
            is_empty: true,
        }
    }

    pub(super) fn print(&mut self, rows: Vec<Value>) -> Result<(), Failure> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut out = String::new();
        if let Some(reader) = &self.table {
            out = reader.table(self.columns, &rows, self.is_empty);
            self.is_empty = false;
            return print(&out);
        }
        for row in rows {
            if self.json {
                out.push_str(if self.is_empty { "[" } else { ",\n" });
                out.push_str(&row.to_string());
            } else {
                out.push_str(&line(&row));
                out.push('\n');
            }
            self.is_empty = false;
        }
        print(&out)
    }

    /// The end of the list. Where nothing was printed, JSON is an empty array, and a terminal shows "none".
    pub(super) fn end(self) -> Result<(), Failure> {
        match (self.json, self.is_empty) {
            (true, true) => print("[]\n"),
            (true, false) => print("]\n"),
            (false, true) if self.table.is_some() => print("none\n"),
            (false, _) => Ok(()),
        }
    }
}

/// Which part of a list.
#[derive(Debug, Default, Args)]
pub struct PageArgs {
    /// At most so many; stderr says where to go on if there are more. Without it all.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Those behind this one: what stderr named when the last part ended.
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
}

impl PageArgs {
    /// All behind this place.
    pub(super) fn after(after: Option<String>) -> Self {
        Self { limit: None, after }
    }
}

/// Rows that a list reads at once.
const PAGE: u32 = 500;

impl Admin<'_> {
    pub(super) fn store(&self) -> &Store {
        self.operator.store
    }

    /// Prints the row that came of a deed or question.
    pub(super) fn show(&self, row: Result<Value, Refusal>) -> Result<(), Failure> {
        show(row?, self.json)
    }

    /// Asks before something that can't be taken back: `what` says it in one sentence. False: it must not be done, because
    /// this is a dry run.
    ///
    /// # Errors
    /// The answer is no, or nobody can be asked.
    pub(super) fn confirm(&self, what: &str) -> Result<bool, Failure> {
        if self.dry_run {
            let row = json!({"dry_run": true, "would": what});
            show(row, self.json)?;
            return Ok(false);
        }
        // A script has said what it wants.
        if self.yes || !io::stdin().is_terminal() {
            return Ok(true);
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
            "y" | "yes" => Ok(true),
            _ => Err(Failure::new("nothing was done")),
        }
    }

    /// Prints a list in pages, so that its length costs no memory. `read` yields at most so many rows behind a place, each
    /// with its own place; those without a row are passed over.
    pub(super) async fn list(
        &self,
        columns: &[&str],
        page: &PageArgs,
        read: impl AsyncFn(Option<String>, u32) -> Result<Vec<Listed>, Refusal>,
    ) -> Result<(), Failure> {
        let mut after = page.after.clone();
        let mut left = page.limit.unwrap_or(u64::MAX);
        let mut list = List::new(columns, self.json);
        loop {
            let rows = read(after.clone(), PAGE).await?;
            let is_last = rows.len() < PAGE as usize;
            let mut printed = Vec::new();
            for (key, row) in rows {
                let Some(row) = row else {
                    after = Some(key);
                    continue;
                };
                if left == 0 {
                    list.print(printed)?;
                    list.end()?;
                    if let Some(after) = after {
                        line_to_stderr(&format!("there are more: --after {after}"));
                    }
                    return Ok(());
                }
                left -= 1;
                after = Some(key);
                printed.push(row);
            }
            list.print(printed)?;
            if is_last {
                return list.end();
            }
        }
    }

    /// Removes the ended links of which nothing is left to do; says of the others what is.
    pub(super) async fn purge(&self) -> Result<(), Failure> {
        let (mut after, mut list) = (None, List::new(&["federation", "purged"], self.json));
        loop {
            let read = async move |tx: &Tx<'_>| tx.purge_due(u64::MAX, after, PURGED).await;
            let ended = self.store().read(read).await?;
            after = ended.last().map(|f| (f.ended_at.unwrap_or_default(), f.id));
            if after.is_none() {
                return list.end();
            }
            for id in ended.into_iter().map(|f| f.id) {
                let kept = self.operator.purge(id).await?;
                list.print(vec![json!({
                    "federation": id_text(id), "purged": kept.is_none(), "kept_because": kept,
                })])?;
            }
        }
    }

    /// The name of a user as it is stored, where there is one.
    pub(super) async fn user_name(&self, name: &str) -> Result<String, Failure> {
        let name = name.to_owned();
        let look = async move |tx: &Tx<'_>| Ok(account(tx, &name).await?.name);
        Ok(self.operator.look(look).await?)
    }
}

/// Ended links that are read at once.
const PURGED: u32 = 100;
