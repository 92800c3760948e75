//! Statements on a connection of SQLite.

use super::{File, store_error};
use crate::row::Fields;
use crate::tx::Broken;
use crate::{StoreError, Stored, Value};
use rusqlite::{CachedStatement, Connection, params_from_iter};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

type Done<T> = Result<T, (Broken, StoreError)>;

/// The texts of statements as SQLite wants them: `?1` where PostgreSQL has `$1`, which SQLite would take for a name and
/// number by its first appearance. By the place of a text in memory, so that a long one is not read to find it.
#[derive(Debug, Default)]
pub(crate) struct Texts(RefCell<BTreeMap<(usize, usize), Arc<str>>>);

impl Texts {
    fn of(&self, sql: &'static str) -> Arc<str> {
        let mut texts = self.0.borrow_mut();
        let text = texts.entry((sql.as_ptr() as usize, sql.len()));
        Arc::clone(text.or_insert_with(|| numbered(sql).into()))
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
    file: &'a File,
}

impl<'a> SqliteTx<'a> {
    pub(crate) fn new(connection: &'a Connection, texts: &'a Texts, file: &'a File) -> Self {
        Self {
            connection,
            texts,
            file,
        }
    }

    fn judged<T>(&self, done: rusqlite::Result<T>) -> Done<T> {
        done.map_err(|error| store_error(self.file, &error))
    }

    fn prepare(&self, sql: &'static str) -> rusqlite::Result<CachedStatement<'a>> {
        self.connection.prepare_cached(&self.texts.of(sql))
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
            let Some(row) = rows.next()? else {
                return Ok(Ok(None));
            };
            Ok(read(&mut Fields::sqlite(row)).map(Some))
        })();
        self.judged(done)
    }

    pub(crate) fn run(&self, sql: &'static str, values: &[Value<'_>]) -> Done<u64> {
        let done = (|| {
            let mut statement = self.prepare(sql)?;
            let count = statement.execute(params_from_iter(values))?;
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
