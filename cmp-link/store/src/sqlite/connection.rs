//! Connections to a file, and what their errors mean.

use super::disk;
use crate::tx::Broken;
use crate::{Schema, StoreError, Stored};
use aid_cli::private;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// How long SQLite itself waits for another process, before it reports that the database is busy.
const BUSY: Duration = Duration::from_secs(5);
/// How long another process that writes is waited for in all.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pause before a connection is opened again whose file another process is just setting up: SQLite does not wait there.
const PAUSE: Duration = Duration::from_millis(5);
/// Different statements that a connection keeps prepared.
const STATEMENTS: usize = 256;
/// Page cache of the writer, KiB.
const CACHE_KIB: i64 = 64 * 1024;
/// The write-ahead log is folded into the database when it has so many pages: rarer is faster at the 99th percentile.
const CHECKPOINT_PAGES: i64 = 8000;

/// A database file.
#[derive(Debug, Clone)]
pub(crate) struct File(PathBuf);

/// Our error for the driver's, about this database.
pub(crate) fn store_error(file: &File, error: &rusqlite::Error) -> (Broken, StoreError) {
    let other = || StoreError::Failed(error.to_string());
    let rusqlite::Error::SqliteFailure(cause, _) = error else {
        return (Broken::Failed, other());
    };
    match (cause.code, cause.extended_code) {
        (ErrorCode::DiskFull, _) => (Broken::Down, StoreError::Full(file.name())),
        // SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE and SQLITE_CONSTRAINT_ROWID.
        (_, 1555 | 2067 | 2579) => (Broken::Constraint, StoreError::Taken),
        (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _) => (Broken::Conflict, other()),
        (
            ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::ReadOnly
            | ErrorCode::PermissionDenied,
            code,
        ) => (Broken::Down, file.cause(code, error)),
        (
            ErrorCode::DatabaseCorrupt
            | ErrorCode::NotADatabase
            | ErrorCode::FileLockingProtocolFailed
            | ErrorCode::OutOfMemory,
            _,
        ) => (Broken::Down, other()),
        _ => (Broken::Failed, other()),
    }
}

/// Runs a statement that is needed for each transaction, prepared once.
pub(crate) fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(|_| ())
}

/// Begins a transaction with the write lock from its first moment, so that nothing fails halfway for want of it. Waits
/// for another process that writes.
pub(crate) fn begin(connection: &Connection, file: &File) -> Result<(), (Broken, StoreError)> {
    let began = Instant::now();
    while let Err(error) = execute(connection, "BEGIN IMMEDIATE") {
        match store_error(file, &error) {
            (Broken::Conflict, _) if began.elapsed() < PATIENCE => {}
            (Broken::Conflict, _) => {
                let text = format!(
                    "another process has been writing to {} for {} s without a break; is it stopped?",
                    file.name(),
                    PATIENCE.as_secs()
                );
                return Err((Broken::Conflict, StoreError::Failed(text)));
            }
            other => return Err(other),
        }
    }
    Ok(())
}

impl File {
    /// The file, made with mode 0600 where it is absent.
    pub(crate) fn new(path: &Path) -> Stored<Self> {
        let mut file = Self(path.to_owned());
        if path.file_name().is_none() {
            return Err(file.not_opened("the path names no file"));
        }
        private::database(path).map_err(|e| match disk::is_full(&e) {
            true => StoreError::Full(file.name()),
            false => file.not_opened(e),
        })?;
        // SQLite takes names such as `:memory:` for something else than a file, unless a folder stands before them.
        // A program that changes its folder keeps its database, too.
        file.0 = std::path::absolute(path).map_err(|e| file.not_opened(e))?;
        Ok(file)
    }

    /// How errors name it.
    pub(crate) fn name(&self) -> String {
        self.0.display().to_string()
    }

    fn not_opened(&self, reason: impl Display) -> StoreError {
        StoreError::Open {
            path: self.name(),
            reason: format!("{reason}; check path and permissions"),
        }
    }

    /// Opens a connection and sets it up. Waits where another process is just setting the file up.
    fn open(&self, set: impl Fn(&Connection) -> rusqlite::Result<()>) -> Stored<Connection> {
        let began = Instant::now();
        loop {
            let opened = self.connect().and_then(|connection| {
                set(&connection)?;
                Ok(connection)
            });
            let error = match opened {
                Ok(connection) => return Ok(connection),
                Err(error) => error,
            };
            match store_error(self, &error) {
                (Broken::Conflict, _) if began.elapsed() < PATIENCE => thread::park_timeout(PAUSE),
                (_, StoreError::Failed(reason)) => return Err(self.not_opened(reason)),
                (_, other) => return Err(other),
            }
        }
    }

    /// Writes one state of the database into an empty file.
    pub(crate) fn copy_into(&self, to: &Path) -> Stored<()> {
        let connection = self.open(|_| Ok(()))?;
        let text = to
            .to_str()
            .ok_or_else(|| StoreError::Failed(format!("the name {} is not UTF-8", to.display())))?;
        // A name alone may mean something else to SQLite, such as `:memory:`.
        let absolute = std::path::absolute(text).map_err(|e| self.not_opened(e))?;
        let absolute = absolute.to_string_lossy();
        let copied = connection.execute("VACUUM INTO ?1", [&absolute]);
        copied.map_err(|error| store_error(&Self(to.to_owned()), &error).1)?;
        Ok(())
    }

    /// What an error of SQLite with this result code means, whose cause is the disk or the folder.
    fn cause(&self, code: i32, error: &rusqlite::Error) -> StoreError {
        let (what, may_be_full) = match code {
            // SQLITE_IOERR_WRITE and SQLITE_IOERR_SHMSIZE.
            778 | 4874 => (" while writing", true),
            // SQLITE_IOERR_FSYNC and SQLITE_IOERR_DIR_FSYNC: what was written before is on disk or not, whatever the reason.
            1034 | 1290 => (" while bringing it to disk", false),
            // SQLITE_IOERR_READ and SQLITE_IOERR_SHORT_READ.
            266 | 522 => (" while reading", false),
            // SQLITE_CANTOPEN: no room for a log.
            14 => ("", true),
            _ => ("", false),
        };
        match disk::probe(&self.0) {
            Err(cause) if may_be_full && disk::is_full(&cause) => StoreError::Full(self.name()),
            Err(cause) => StoreError::Failed(format!("{error}{what} (its folder: {cause})")),
            Ok(()) => StoreError::Failed(format!("{error}{what}")),
        }
    }

    fn connect(&self) -> rusqlite::Result<Connection> {
        // Without SQLITE_OPEN_URI: a path is a path, whatever it begins with.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.0, flags)?;
        #[cfg(test)]
        let connection = crate::faults::watched(connection);
        connection.busy_timeout(BUSY)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        // A statement is planned once, not anew for each value: otherwise `a = $1 OR b = $2` is prepared at each use.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        let mode: String =
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
        if mode != "wal" {
            // Such as on a network file system. Readers and the writer would block each other.
            return Err(rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN),
                Some("its file system cannot do SQLite's write-ahead log".into()),
            ));
        }
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
        self.open(|connection| {
            connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
            connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)
        })
    }

    /// Folds the write-ahead log into the file and cuts it to nothing; false: others were at work for too long.
    pub(crate) fn empty_log(&self) -> Stored<bool> {
        let connection = self.writer()?;
        let busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
            row.get::<_, i64>(0)
        });
        let busy = busy.map_err(|error| store_error(self, &error).1)?;
        Ok(busy == 0)
    }

    /// A connection that only reads.
    pub(crate) fn reader(&self) -> Stored<Connection> {
        self.open(|connection| connection.pragma_update(None, "query_only", true))
    }

    /// Brings the tables up to date.
    pub(crate) fn migrate(&self, connection: &Connection, schema: &Schema) -> Stored<()> {
        schema.migrate_sqlite(connection, self)
    }
}
