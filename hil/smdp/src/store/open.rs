//! Opens the database and brings its tables up to date; SQLite in WAL mode, every commit on disk.
//! Called at the start of each program run.

use super::{Store, StoreError, Stored};
use aid_shell::sqlite::RESERVE_LOG;
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
        let failed = |reason: String| StoreError::Open {
            path: name.clone(),
            reason,
        };
        let text = path
            .to_str()
            .ok_or_else(|| failed("the path is not UTF-8".into()))?;
        let url = format!("sqlite://{}?mode=rwc", escape(text));
        // A pool hides why it cannot connect behind a timeout, one connection says it.
        let mut first = AnyConnection::connect(&url)
            .await
            .map_err(|e| failed(e.to_string()))?;
        first
            .execute("PRAGMA journal_mode = WAL;")
            .await
            .map_err(|e| failed(e.to_string()))?;
        first.close().await.map_err(|e| failed(e.to_string()))?;
        let pool = AnyPoolOptions::new()
            .max_connections(CONNECTIONS)
            // Opened now, not while somebody waits; a file does not go away as a server does.
            .min_connections(CONNECTIONS)
            .test_before_acquire(false)
            .acquire_timeout(Duration::from_secs(10))
            .after_connect(|connection, _| {
                Box::pin(async move {
                    for pragma in [
                        "PRAGMA busy_timeout = 5000;",
                        "PRAGMA journal_mode = WAL;",
                        // What was acknowledged is on disk, also after a power cut.
                        "PRAGMA synchronous = FULL;",
                    ] {
                        connection.execute(pragma).await?;
                    }
                    Ok(())
                })
            })
            .connect(&url)
            .await
            .map_err(|e| failed(e.to_string()))?;
        let store = Self { pool, path: name };
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

    /// Makes commits cheaper, for a process that will make many; see [`RESERVE_LOG`].
    ///
    /// # Errors
    /// Not writable, or full.
    pub async fn reserve_log(&self) -> Result<(), StoreError> {
        for sql in RESERVE_LOG {
            let done = self.pool.execute(sql).await;
            done.map_err(|e| self.error(&e))?;
        }
        Ok(())
    }

    /// Ends all connections and folds the write-ahead log into the database.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// A path inside a URL.
fn escape(path: &str) -> String {
    path.bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => {
                char::from(b).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}
