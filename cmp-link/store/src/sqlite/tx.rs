//! Statements on a connection of SQLite.

use super::store_error;
use crate::counters::Counters;
use crate::row::Fields;
use crate::tx::Broken;
use crate::{StoreError, Stored, Value};
use rusqlite::{CachedStatement, Connection, StatementStatus, params_from_iter};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

type Done<T> = Result<T, (Broken, StoreError)>;

/// The texts of statements as SQLite wants them: `?1` where PostgreSQL has `$1`, which SQLite would take for a name and
/// number by its first appearance. By the place of a text in memory, so that a long one is not read to find it.
#[derive(Debug)]
pub(crate) struct Texts {
    texts: RefCell<BTreeMap<(usize, usize), Arc<str>>>,
    counters: Arc<Counters>,
    by_index: bool,
}

impl Texts {
    /// `by_index`: debug builds refuse statements that read a whole table.
    pub(crate) fn new(counters: Arc<Counters>, by_index: bool) -> Self {
        Self {
            texts: RefCell::default(),
            counters,
            by_index,
        }
    }

    /// The text, of which `judge` sees the first use.
    fn of(
        &self,
        sql: &'static str,
        judge: impl FnOnce(&str) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<Arc<str>> {
        let mut texts = self.texts.borrow_mut();
        match texts.entry((sql.as_ptr() as usize, sql.len())) {
            Entry::Occupied(text) => Ok(Arc::clone(text.get())),
            Entry::Vacant(place) => {
                let text: Arc<str> = numbered(sql).into();
                judge(&text)?;
                Ok(Arc::clone(place.insert(text)))
            }
        }
    }
}

/// `?1` for `$1`, except in a string or a quoted name.
pub(crate) fn numbered(sql: &str) -> String {
    let mut text = String::with_capacity(sql.len());
    let mut quote = None;
    let mut rest = sql.chars().peekable();
    while let Some(c) = rest.next() {
        match quote {
            Some(open) if c == open => quote = None,
            None if matches!(c, '\'' | '"') => quote = Some(c),
            _ => {}
        }
        let is_place = c == '$' && quote.is_none() && rest.peek().is_some_and(char::is_ascii_digit);
        text.push(if is_place { '?' } else { c });
    }
    text
}

/// A connection inside a transaction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SqliteTx<'a> {
    connection: &'a Connection,
    texts: &'a Texts,
    name: &'a str,
}

impl<'a> SqliteTx<'a> {
    pub(crate) fn new(connection: &'a Connection, texts: &'a Texts, name: &'a str) -> Self {
        Self {
            connection,
            texts,
            name,
        }
    }

    fn judged<T>(&self, done: rusqlite::Result<T>) -> Done<T> {
        done.map_err(|error| store_error(self.name, &error))
    }

    fn prepare(&self, sql: &'static str) -> rusqlite::Result<CachedStatement<'a>> {
        let text = self.texts.of(sql, |text| self.judge(text))?;
        self.connection.prepare_cached(&text)
    }

    /// Refuses, in debug builds, a statement that reads a whole table; see `plan`.
    fn judge(&self, text: &str) -> rusqlite::Result<()> {
        if !(cfg!(debug_assertions) && self.texts.by_index) {
            return Ok(());
        }
        match super::plan::objection(self.connection, text)? {
            Some(why) => Err(rusqlite::Error::ToSqlConversionFailure(why.into())),
            None => Ok(()),
        }
    }

    /// Counts how much a statement has done that is over.
    fn count(&self, statement: &CachedStatement<'_>) {
        let steps = statement.reset_status(StatementStatus::VmStep);
        self.texts
            .counters
            .stepped(u64::try_from(steps).unwrap_or(0));
    }

    /// The outer error is the database's, the inner one of `read`.
    pub(crate) fn all<T>(
        &self,
        sql: &'static str,
        values: &[Value<'_>],
        read: &impl Fn(&mut Fields<'_>) -> Stored<T>,
    ) -> Done<Stored<Vec<T>>> {
        let done = (|| {
            let mut statement = self.prepare(sql)?;
            let mut rows = statement.query(params_from_iter(values))?;
            let mut list = Vec::new();
            while let Some(row) = rows.next()? {
                match read(&mut Fields::sqlite(row)) {
                    Ok(value) => list.push(value),
                    Err(error) => return Ok(Err(error)),
                }
            }
            drop(rows);
            self.count(&statement);
            Ok(Ok(list))
        })();
        self.judged(done)
    }

    pub(crate) fn first<T>(
        &self,
        sql: &'static str,
        values: &[Value<'_>],
        read: &impl Fn(&mut Fields<'_>) -> Stored<T>,
    ) -> Done<Stored<Option<T>>> {
        let done = (|| {
            let mut statement = self.prepare(sql)?;
            let mut rows = statement.query(params_from_iter(values))?;
            let found = rows.next()?.map(|row| read(&mut Fields::sqlite(row)));
            drop(rows);
            self.count(&statement);
            Ok(found.transpose())
        })();
        self.judged(done)
    }

    pub(crate) fn run(&self, sql: &'static str, values: &[Value<'_>]) -> Done<u64> {
        let done = (|| {
            let mut statement = self.prepare(sql)?;
            let count = statement.execute(params_from_iter(values))?;
            self.count(&statement);
            Ok(u64::try_from(count).unwrap_or(u64::MAX))
        })();
        self.judged(done)
    }

    pub(crate) fn script(&self, sql: &str) -> Done<()> {
        self.judged(self.connection.execute_batch(sql))
    }
}

#[cfg(test)]
mod tests {
    use super::numbered;

    #[test]
    fn places_are_numbered_and_strings_stay() {
        for (postgres, sqlite) in [
            ("SELECT $1, $12", "SELECT ?1, ?12"),
            (
                "WHERE a = '$1 it''s $2' AND b = $2",
                "WHERE a = '$1 it''s $2' AND b = ?2",
            ),
            ("\"$1\" = $1", "\"$1\" = ?1"),
            ("json ->> '$.a' $ $", "json ->> '$.a' $ $"),
        ] {
            assert_eq!(numbered(postgres), sqlite);
        }
    }
}
