//! Opens the database and brings its tables up to date; SQLite in WAL mode, every commit on disk.
//! Called at the start of each program run.

use super::{Store, StoreError, Stored, is_full};
use aid_cli::private;
use aid_store::sqlite_url as sqlite;
use aid_store::writer::Writer;
use sqlx::any::AnyPoolOptions;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, Connection as _, Executor as _, SqlSafeStr as _};
use std::borrow::Cow;
use std::path::Path;
use std::time::Duration;

/// One connection: writes are one after another anyway, and reads are short.
const CONNECTIONS: u32 = 1;

fn migrations() -> Migrator {
    let start = include_str!("../../migrations/0001_start.sql").into_sql_str();
    let kind = MigrationType::Simple;
    Migrator::with_migrations(vec![Migration::new(
        1,
        Cow::Borrowed("start"),
        kind,
        start,
        false,
    )])
}

impl Store {
    /// Opens the database, creating it where there is none, and migrates it.
    ///
    /// # Errors
    /// Not writable, no database, full, or written by a newer version.
    pub async fn open(path: &Path) -> Stored<Self> {
        sqlx::any::install_default_drivers();
        let name = path.display().to_string();
        let failed = |e: &sqlx::Error| match is_full(e) {
            true => StoreError::Full(name.clone()),
            false => StoreError::Open {
                path: name.clone(),
                reason: e.to_string(),
            },
        };
        let url = sqlite::url(path).map_err(|e| StoreError::Open {
            path: name.clone(),
            reason: e.to_string(),
        })?;
        private::database(path).map_err(|e| StoreError::Open {
            path: name.clone(),
            reason: e.to_string(),
        })?;
        // A pool hides why it cannot connect behind a timeout, one connection says it.
        let probe = async {
            let mut first = AnyConnection::connect(&url).await?;
            prepare(&mut first).await?;
            // The first reading makes the shared memory file, which a full disk has no room for.
            first.execute("SELECT COUNT(*) FROM sqlite_schema;").await?;
            Ok(first)
        };
        let keeper = probe.await.map_err(|e| failed(&e))?;
        let pool = AnyPoolOptions::new()
            .max_connections(CONNECTIONS)
            // Opened now, not while somebody waits; a file does not go away as a server does.
            .min_connections(CONNECTIONS)
            .test_before_acquire(false)
            .acquire_timeout(Duration::from_secs(10))
            .after_connect(|connection, _| Box::pin(prepare(connection)))
            .connect(&url)
            .await
            .map_err(|e| failed(&e))?;
        let store = Self {
            writer: Writer::sqlite(pool.clone(), keeper),
            pool,
            path: name,
        };
        migrations().run(&store.pool).await.map_err(|e| match e {
            MigrateError::VersionMissing(version) => {
                StoreError::Unreadable(format!("migration {version}"))
            }
            MigrateError::Execute(e) | MigrateError::ExecuteMigration(e, _) => store.error(&e),
            other => StoreError::Open {
                path: store.path.clone(),
                reason: other.to_string(),
            },
        })?;
        Ok(store)
    }

    /// Makes commits cheaper, for a process that will make many; see [`Writer::reserve_log`].
    ///
    /// # Errors
    /// Not writable, or full. Nothing but time is lost.
    pub async fn reserve_log(&self) -> Stored<()> {
        let reserved = self.writer.reserve_log().await;
        reserved.map_err(|e| self.error(&e))
    }

    /// Writes something, to find out whether the database can be written now.
    ///
    /// # Errors
    /// Not writable, or full.
    pub async fn check(&self) -> Stored<()> {
        self.writer.check().await.map_err(|e| self.error(&e))
    }

    /// Ends all connections and folds the write-ahead log into the database.
    pub async fn close(&self) {
        self.writer.close().await;
    }
}

/// Settings of a connection.
async fn prepare(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    for pragma in [
        "PRAGMA busy_timeout = 5000;",
        "PRAGMA journal_mode = WAL;",
        // What was acknowledged is on disk, also after a power cut.
        "PRAGMA synchronous = FULL;",
    ] {
        connection.execute(pragma).await?;
    }
    Ok(())
}
