//! Statements on a connection of SQLite.

use super::store_error;
use crate::row::Fields;
use crate::tx::Broken;
use crate::{StoreError, Stored, Value};
use rusqlite::{CachedStatement, Connection, params_from_iter};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};
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

/// Statements that stay prepared while decisions or a reader are at work, so that each is looked for by its text once and
/// not by everybody who runs it.
pub(crate) struct Prepared<'c> {
    connection: &'c Connection,
    texts: &'c Texts,
    /// By the place of the text in memory.
    ready: RefCell<BTreeMap<(usize, usize), CachedStatement<'c>>>,
}

impl<'c> Prepared<'c> {
    pub(crate) fn new(connection: &'c Connection, texts: &'c Texts) -> Self {
        Self {
            connection,
            texts,
            ready: RefCell::default(),
        }
    }
}

impl Debug for Prepared<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared").finish_non_exhaustive()
    }
}

/// What [`Prepared`] does for a transaction, which need not know how long the connection lives.
trait Statements: Debug {
    /// Runs `work` on the statement of this text.
    fn with(&self, sql: &'static str, work: &mut Work<'_>) -> rusqlite::Result<()>;
    fn script(&self, sql: &str) -> rusqlite::Result<()>;
}

type Work<'w> = dyn FnMut(&mut rusqlite::Statement<'_>) -> rusqlite::Result<()> + 'w;

impl Statements for Prepared<'_> {
    fn with(&self, sql: &'static str, work: &mut Work<'_>) -> rusqlite::Result<()> {
        let key = (sql.as_ptr() as usize, sql.len());
        let ready = self.ready.borrow_mut().remove(&key);
        let mut statement = match ready {
            Some(statement) => statement,
            None => self.connection.prepare_cached(&self.texts.of(sql))?,
        };
        work(&mut statement)?;
        self.ready.borrow_mut().insert(key, statement);
        Ok(())
    }

    fn script(&self, sql: &str) -> rusqlite::Result<()> {
        self.ready.borrow_mut().clear();
        self.connection.execute_batch(sql)
    }
}

/// A connection inside a transaction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SqliteTx<'a> {
    statements: &'a dyn Statements,
    name: &'a str,
}

impl<'a> SqliteTx<'a> {
    pub(crate) fn new(statements: &'a Prepared<'_>, name: &'a str) -> Self {
        Self { statements, name }
    }

    fn judged<T>(&self, done: rusqlite::Result<T>) -> Done<T> {
        done.map_err(|error| store_error(self.name, &error))
    }

    /// The outer error is the database's, the inner one of `read`.
    pub(crate) fn all<T>(
        &self,
        sql: &'static str,
        values: &[Value<'_>],
        read: &impl Fn(&mut Fields<'_>) -> Stored<T>,
    ) -> Done<Stored<Vec<T>>> {
        let mut found = Ok(Vec::new());
        let done = self.statements.with(sql, &mut |statement| {
            let mut rows = statement.query(params_from_iter(values))?;
            while let (Ok(list), Some(row)) = (&mut found, rows.next()?) {
                match read(&mut Fields::sqlite(row)) {
                    Ok(value) => list.push(value),
                    Err(error) => found = Err(error),
                }
            }
            Ok(())
        });
        self.judged(done.map(|()| found))
    }

    pub(crate) fn first<T>(
        &self,
        sql: &'static str,
        values: &[Value<'_>],
        read: &impl Fn(&mut Fields<'_>) -> Stored<T>,
    ) -> Done<Stored<Option<T>>> {
        let mut found = Ok(None);
        let done = self.statements.with(sql, &mut |statement| {
            let mut rows = statement.query(params_from_iter(values))?;
            if let Some(row) = rows.next()? {
                found = read(&mut Fields::sqlite(row)).map(Some);
            }
            Ok(())
        });
        self.judged(done.map(|()| found))
    }

    pub(crate) fn run(&self, sql: &'static str, values: &[Value<'_>]) -> Done<u64> {
        let mut count = 0;
        let done = self.statements.with(sql, &mut |statement| {
            count = statement.execute(params_from_iter(values))?;
            Ok(())
        });
        self.judged(done.map(|()| u64::try_from(count).unwrap_or(u64::MAX)))
    }

    pub(crate) fn script(&self, sql: &str) -> Done<()> {
        self.judged(self.statements.script(sql))
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
