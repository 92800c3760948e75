//! One transaction on either database: the only place where statements are run.

use crate::postgres::PostgresTx;
use crate::row::Fields;
use crate::sqlite::SqliteTx;
use crate::value::Value;
use crate::{StoreError, Stored};
use std::cell::{Cell, RefCell};
use std::future::Future;

/// Which database a transaction is on, for the few statements that differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// A file; one transaction that writes at a time.
    Sqlite,
    /// A server; many at a time.
    Postgres,
}

/// A statement with its values, for [`Tx::write`].
#[derive(Debug, Clone)]
pub struct Statement {
    /// The text; the places of values are `$1`, `$2`, ...
    pub sql: &'static str,
    /// The values.
    pub values: Vec<Value<'static>>,
}

/// A transaction. Statements are run on it one after the other; it is committed or rolled back by the [`Store`] that
/// made it.
///
/// [`Store`]: crate::Store
#[derive(Debug)]
pub struct Tx<'a> {
    pub(crate) connection: Connection<'a>,
    /// What a statement of it ended with, where the whole transaction has to be repeated or given up. Whatever the
    /// caller makes of the statement's error, nothing is committed.
    broken: RefCell<Option<(Broken, StoreError)>>,
    /// A statement wrote something.
    pub(crate) wrote: Cell<bool>,
    pub(crate) reads: Cell<u64>,
    /// Statements whose result nobody has seen yet. A server runs a statement whose caller has stopped waiting, and if
    /// it fails, it answers the COMMIT with a rollback that looks like success.
    under_way: Cell<u64>,
}

#[derive(Debug)]
pub(crate) enum Connection<'a> {
    Sqlite(SqliteTx<'a>),
    Postgres(PostgresTx<'a>),
}

/// Why a transaction can't be committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// Others changed the same: the whole transaction is repeated.
    Conflict,
    /// Others held for too long what it wants to lock: the whole transaction is repeated, a few times.
    Locked,
    /// A unique value or a referenced row was not as the decision had read it. Where transactions run in parallel,
    /// repeating it shows why.
    Constraint,
    /// It failed; others may succeed.
    Failed,
    /// The database failed: its disk, its file, its server or the connection. Nothing more is done on this connection.
    Down,
}

impl<'a> Tx<'a> {
    pub(crate) fn new(connection: Connection<'a>) -> Self {
        Self {
            connection,
            broken: RefCell::default(),
            wrote: Cell::new(false),
            reads: Cell::new(0),
            under_way: Cell::new(0),
        }
    }

    /// Which database it is on.
    #[must_use]
    pub fn engine(&self) -> Engine {
        match self.connection {
            Connection::Sqlite(_) => Engine::Sqlite,
            Connection::Postgres(_) => Engine::Postgres,
        }
    }

    /// What the transaction ended with, where it can't be committed.
    pub(crate) fn broken(&self) -> Option<(Broken, StoreError)> {
        let broken = self.broken.take();
        if broken.is_some() || self.under_way.get() == 0 {
            return broken;
        }
        let text = "a decision stopped waiting for one of its statements";
        Some((Broken::Failed, StoreError::Failed(text.into())))
    }

    /// Waits for a statement of a server.
    async fn seen<T>(
        &self,
        statement: impl Future<Output = Result<T, (Broken, StoreError)>>,
    ) -> Stored<T> {
        self.under_way.set(self.under_way.get() + 1);
        let done = statement.await;
        self.under_way.set(self.under_way.get() - 1);
        self.judged(done)
    }

    fn judged<T>(&self, done: Result<T, (Broken, StoreError)>) -> Stored<T> {
        done.map_err(|(broken, error)| {
            // The first cause counts: PostgreSQL answers everything after it with "transaction is aborted".
            let mut first = self.broken.borrow_mut();
            first.get_or_insert_with(|| (broken, error.clone()));
            error
        })
    }

    /// All rows of a SELECT.
    ///
    /// # Errors
    /// The database failed, or `read` could not read a row.
    pub async fn all<T>(
        &self,
        sql: &'static str,
        values: &[Value<'_>],
        read: impl Fn(&mut Fields<'_>) -> Stored<T>,
    ) -> Stored<Vec<T>> {
        self.reads.set(self.reads.get() + 1);
        match &self.connection {
            Connection::Sqlite(tx) => self.judged(tx.all(sql, values, &read))?,
            Connection::Postgres(tx) => {
                let rows = self.seen(tx.query(sql, values)).await?;
                rows.iter()
                    .map(|row| read(&mut Fields::postgres(row)))
                    .collect()
            }
        }
    }

    /// The first row of a SELECT.
    ///
    /// # Errors
    /// The database failed, or `read` could not read the row.
    pub async fn first<T>(
        &self,
        sql: &'static str,
        values: &[Value<'_>],
        read: impl Fn(&mut Fields<'_>) -> Stored<T>,
    ) -> Stored<Option<T>> {
        self.reads.set(self.reads.get() + 1);
        match &self.connection {
            Connection::Sqlite(tx) => self.judged(tx.first(sql, values, &read))?,
            Connection::Postgres(tx) => {
                let rows = self.seen(tx.query(sql, values)).await?;
                rows.first()
                    .map(|row| read(&mut Fields::postgres(row)))
                    .transpose()
            }
        }
    }

    /// Whether a SELECT yields a row.
    ///
    /// # Errors
    /// The database failed.
    pub async fn exists(&self, sql: &'static str, values: &[Value<'_>]) -> Stored<bool> {
        Ok(self.first(sql, values, |_| Ok(())).await?.is_some())
    }

    /// Runs a statement that writes; yields how many rows it touched.
    ///
    /// # Errors
    /// The database failed; nothing of the transaction is committed.
    pub async fn run(&self, sql: &'static str, values: &[Value<'_>]) -> Stored<u64> {
        self.wrote.set(true);
        match &self.connection {
            Connection::Sqlite(tx) => self.judged(tx.run(sql, values)),
            Connection::Postgres(tx) => self.seen(tx.run(sql, values)).await,
        }
    }

    /// Runs a statement that writes and yields rows (`RETURNING`).
    ///
    /// # Errors
    /// The database failed, or `read` could not read a row; nothing of the transaction is committed.
    pub async fn run_returning<T>(
        &self,
        sql: &'static str,
        values: &[Value<'_>],
        read: impl Fn(&mut Fields<'_>) -> Stored<T>,
    ) -> Stored<Vec<T>> {
        self.wrote.set(true);
        self.all(sql, values, read).await
    }

    /// Runs statements that write, in their order. A server gets all of them without waiting for each.
    ///
    /// # Errors
    /// The database failed; nothing of the transaction is committed.
    pub async fn write(&self, statements: &[Statement]) -> Stored<()> {
        if statements.is_empty() {
            return Ok(());
        }
        self.wrote.set(true);
        match &self.connection {
            Connection::Sqlite(tx) => {
                for statement in statements {
                    self.judged(tx.run(statement.sql, &statement.values))?;
                }
                Ok(())
            }
            Connection::Postgres(tx) => self.seen(tx.write(statements)).await,
        }
    }

    /// Holds `key` until the end of this decision, where it shares its transaction with others: the server locks for the
    /// whole transaction, so that they would not wait for each other. Elsewhere it does nothing. Whoever decides by
    /// [`Store::change_together`] holds what they lock, before they read what is behind the lock.
    ///
    /// [`Store::change_together`]: crate::Store::change_together
    pub async fn hold(&self, key: &[u8]) {
        if let Connection::Postgres(tx) = &self.connection {
            tx.hold(key).await;
        }
    }

    /// Runs statements that lock, in their order. What they write means nothing: a decision that is refused after them may
    /// be committed beside others.
    ///
    /// # Errors
    /// The database failed; nothing of the transaction is committed.
    pub async fn lock(&self, statements: &[Statement]) -> Stored<()> {
        let wrote = self.wrote.get();
        let locked = self.write(statements).await;
        self.wrote.set(wrote);
        locked
    }

    /// Runs a text of several statements without values; for migrations.
    pub(crate) async fn script(&self, sql: &str) -> Stored<()> {
        self.wrote.set(true);
        match &self.connection {
            Connection::Sqlite(tx) => self.judged(tx.script(sql)),
            Connection::Postgres(tx) => self.seen(tx.script(sql)).await,
        }
    }
}
