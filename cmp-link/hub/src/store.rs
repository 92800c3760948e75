//! What the hub must not forget: parties and pairs, whose a token is, calls that it has accepted, answers for
//! repetitions, the audit trail and the meter. SQLite, or PostgreSQL for several instances.

mod audit;
mod begin;
mod book;
mod call;
mod due;
mod end;
mod meter;
mod prune;
mod row;

use std::path::Path;

use aid_store::{Database, Options, Schema, Sql, Step};

pub(crate) use aid_store::Stored;
pub(crate) use audit::AuditRow;
pub(crate) use begin::{Begun, NewCall, Ownership};
pub(crate) use book::{Book, Edit};
pub(crate) use call::CallFilter;
pub(crate) use due::Due;
pub(crate) use end::{Ended, Success, TokenEnd};
pub(crate) use meter::{Meter, MeterFilter, MeterKey, MeterRow};
pub(crate) use prune::Retention;
pub(crate) use row::{CallRow, CallState};

/// The steps from an empty database to today's tables.
static SCHEMA: Schema = Schema::new(&STEPS).by_index();

const STEPS: [Step; 1] = [Step {
    version: 1,
    name: "start",
    sql: Sql::Each {
        sqlite: include_str!("../migrations/0001_start.sqlite.sql"),
        postgres: include_str!("../migrations/0001_start.postgres.sql"),
    },
}];

/// The database. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Store(aid_store::Store);

impl Store {
    /// Opens the database and brings its tables up to date.
    ///
    /// # Errors
    /// Not reachable, not writable, no database, full, or written by a newer version.
    pub(crate) async fn open(database: &Database) -> Stored<Self> {
        let open = aid_store::Store::open(database, &SCHEMA, Options::default());
        open.await.map(Self)
    }

    /// Copies a SQLite database into a new file, while others work on it.
    ///
    /// # Errors
    /// The copy exists already, a file is not accessible, the disk is full, or the database is PostgreSQL's.
    pub(crate) async fn copy(database: &Database, to: &Path) -> Stored<()> {
        aid_store::Store::copy(database, to).await
    }

    /// Whether other instances may work on the same database.
    #[must_use]
    pub(crate) fn is_shared(&self) -> bool {
        self.0.is_shared()
    }

    /// Statements that read so far. What a caller may not tell apart must cost the same number.
    #[cfg(test)]
    pub(crate) fn reads(&self) -> u64 {
        self.0.reads()
    }

    /// Transactions that were committed so far.
    #[cfg(test)]
    pub(crate) fn commits(&self) -> u64 {
        self.0.commits()
    }

    /// Writes something, to find out whether changes can be stored now.
    ///
    /// # Errors
    /// They can't.
    pub(crate) async fn check(&self) -> Stored<()> {
        self.0.check().await
    }

    /// Makes commits cheaper, for a process that will make many.
    ///
    /// # Errors
    /// Not writable, or full. Nothing but time is lost.
    pub(crate) async fn reserve_log(&self) -> Stored<()> {
        self.0.reserve_log().await
    }

    /// Empties SQLite's write-ahead log, in which what was erased can still be read.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) async fn empty_log(&self) -> Stored<bool> {
        self.0.empty_log().await
    }

    /// Ends all connections and folds the write-ahead log into the database.
    pub(crate) async fn close(self) {
        self.0.close().await;
    }
}

#[cfg(test)]
mod tests;
