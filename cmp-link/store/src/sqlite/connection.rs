//! Connections to a file, and what their errors mean.

use crate::tx::Broken;
use crate::{Schema, StoreError, Stored};
use aid_cli::private;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Time to wait for another process that writes.
const BUSY: Duration = Duration::from_secs(5);
/// Different statements that a connection keeps prepared.
const STATEMENTS: usize = 256;
/// Page cache of the writer, KiB.
const CACHE_KIB: i64 = 64 * 1024;
/// The write-ahead log is folded into the database when it has so many pages: rarer is faster at the 99th percentile.
const CHECKPOINT_PAGES: i64 = 8000;

/// A database file.
#[derive(Debug, Clone)]
pub(crate) struct File(PathBuf);

/// Whether a result code of SQLite says that the disk is full. SQLITE_FULL is 13; SQLITE_IOERR_WRITE (778) and
/// SQLITE_IOERR_SHMSIZE (4874) are how some file systems say the same.
pub(crate) fn is_full(extended_code: i32) -> bool {
    matches!(extended_code, 13 | 778 | 4874)
}

/// Our error for the driver's, about the database of this name.
pub(crate) fn store_error(name: &str, error: &rusqlite::Error) -> (Broken, StoreError) {
    if let rusqlite::Error::SqliteFailure(cause, _) = error {
        if is_full(cause.extended_code) {
            return (Broken::Failed, StoreError::Full(name.to_owned()));
        }
        match (cause.code, cause.extended_code) {
            // SQLITE_CONSTRAINT_PRIMARYKEY and SQLITE_CONSTRAINT_UNIQUE.
            (_, 1555 | 2067) => return (Broken::Constraint, StoreError::Taken),
            (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _) => {
                return (Broken::Conflict, StoreError::Failed(error.to_string()));
            }
            _ => {}
        }
    }
    (Broken::Failed, StoreError::Failed(error.to_string()))
}

impl File {
    /// The file, made with mode 0600 where it is absent.
    pub(crate) fn new(path: &Path) -> Stored<Self> {
        let file = Self(path.to_owned());
        if path.file_name().is_none() {
            return Err(file.not_opened("the path names no file"));
        }
        private::database(path).map_err(|e| file.not_opened(e))?;
        Ok(file)
    }

    /// How errors name it.
    pub(crate) fn name(&self) -> String {
        self.0.display().to_string()
    }

    fn not_opened(&self, reason: impl ToString) -> StoreError {
        StoreError::Open {
            path: self.name(),
            reason: reason.to_string(),
        }
    }

    fn error(&self, error: &rusqlite::Error) -> StoreError {
        match store_error(&self.name(), error).1 {
            full @ StoreError::Full(_) => full,
            _ => self.not_opened(error),
        }
    }

    fn connect(&self) -> rusqlite::Result<Connection> {
        // Without SQLITE_OPEN_URI: a path is a path, whatever it begins with.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.0, flags)?;
        connection.busy_timeout(BUSY)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        // A statement is planned once, not anew for each value: otherwise `a = $1 OR b = $2` is prepared at each use.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // What was acknowledged is on disk, also after a power cut.
        connection.pragma_update(None, "synchronous", "FULL")?;
        // What was removed is not left in free space of the file.
        connection.pragma_update(None, "secure_delete", true)?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        // The first reading makes the shared memory file, which a full disk has no room for.
        connection.query_row("SELECT COUNT(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(connection)
    }

    /// A connection that writes.
    pub(crate) fn writer(&self) -> Stored<Connection> {
        let opened = self.connect().and_then(|connection| {
            connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
            connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
            Ok(connection)
        });
        opened.map_err(|e| self.error(&e))
    }

    /// A connection that only reads.
    pub(crate) fn reader(&self) -> Stored<Connection> {
        let opened = self.connect().and_then(|connection| {
            connection.pragma_update(None, "query_only", true)?;
            Ok(connection)
        });
        opened.map_err(|e| self.error(&e))
    }

    /// Brings the tables up to date.
    pub(crate) fn migrate(&self, connection: &Connection, schema: &Schema) -> Stored<()> {
        schema.migrate_sqlite(connection, &self.name())
    }
}
