//! Lists and rows that commands print: a table on a terminal, `key=value` elsewhere, one JSON array for scripts. Long lists
//! are read in pages, so that their length costs no memory.

use crate::cli::{Failure, line_to_stderr, print};
use crate::printable::printable;
use crate::table::Reader;
use clap::Args;
use serde_json::Value;
use std::io::{self, IsTerminal as _};

/// Rows that a list reads at once.
const PAGE: u32 = 500;

/// A row behind its place in a list; none where the place has nothing to show.
pub type Listed = (String, Option<Value>);

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

/// Prints one row: a line for each of its members on a terminal.
///
/// # Errors
/// It cannot be written.
pub fn show(row: Value, json: bool) -> Result<(), Failure> {
    if json || !io::stdout().is_terminal() {
        return show_all(&[], vec![row], json);
    }
    print(&Reader::here().card(&row))
}

/// Prints rows; `columns` are those that come first in a table.
///
/// # Errors
/// They cannot be written.
pub fn show_all(columns: &[&str], rows: Vec<Value>, json: bool) -> Result<(), Failure> {
    let mut list = List::new(columns, json);
    list.print(rows)?;
    list.end()
}

/// A list on stdout whose rows come in parts: a table on a terminal, JSON as one array, otherwise one line each.
#[derive(Debug)]
pub struct List<'a> {
    columns: &'a [&'a str],
    only: bool,
    json: bool,
    table: Option<Reader>,
    is_empty: bool,
}

impl<'a> List<'a> {
    /// An empty list; `columns` come first in a table.
    #[must_use]
    pub fn new(columns: &'a [&'a str], json: bool) -> Self {
        let is_read = !json && io::stdout().is_terminal();
        Self {
            columns,
            only: false,
            json,
            table: is_read.then(Reader::here),
            is_empty: true,
        }
    }

    /// Leaves everything out of a table that is not named: for rows that no screen is wide enough for.
    #[must_use]
    pub fn only_columns(mut self) -> Self {
        self.only = true;
        self
    }

    /// Prints the next rows.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn print(&mut self, rows: Vec<Value>) -> Result<(), Failure> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut out = String::new();
        if let Some(reader) = &self.table {
            out = reader.table(self.columns, self.only, &rows, self.is_empty);
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
    ///
    /// # Errors
    /// It cannot be written.
    pub fn end(self) -> Result<(), Failure> {
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
    #[must_use]
    pub fn after(after: Option<String>) -> Self {
        Self { limit: None, after }
    }
}

impl List<'_> {
    /// Prints a whole list, or the part that `page` names. `read` yields at most so many rows behind a place, each with its
    /// own place; those without a row are passed over.
    ///
    /// # Errors
    /// Reading or printing fails.
    pub async fn paged<E: Into<Failure>>(
        mut self,
        page: &PageArgs,
        read: impl AsyncFn(Option<String>, u32) -> Result<Vec<Listed>, E>,
    ) -> Result<(), Failure> {
        let mut after = page.after.clone();
        let mut left = page.limit.unwrap_or(u64::MAX);
        loop {
            let rows = read(after.clone(), PAGE).await.map_err(Into::into)?;
            let is_last = rows.len() < PAGE as usize;
            let mut printed = Vec::new();
            for (key, row) in rows {
                let Some(row) = row else {
                    after = Some(key);
                    continue;
                };
                if left == 0 {
                    self.print(printed)?;
                    self.end()?;
                    if let Some(after) = after {
                        line_to_stderr(&format!("there are more: --after {after}"));
                    }
                    return Ok(());
                }
                left -= 1;
                after = Some(key);
                printed.push(row);
            }
            self.print(printed)?;
            if is_last {
                return self.end();
            }
        }
    }
}
