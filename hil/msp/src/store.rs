//! What the MSP must not forget: SQLite through sqlx, one file, WAL, every commit on disk before anyone acts on it.
//!
//! [`Store::decide`] is the only way to change anything: it loads, lets `core` decide, writes and commits. [`Tx`] has the
//! reads, `write` the changes. Several processes may have the file open: `serve` and the command line.

mod misbehaviour;
mod read;
mod tx;
mod views;
mod write;

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aid_cli::private;
use aid_store::sqlite_url as sqlite;
use aid_store::writer::Writer;
use sqlx::any::AnyPoolOptions;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, AnyPool, Connection as _, Executor as _, SqlSafeStr as _};
use tokio::sync::Mutex;

use crate::core::Decision;

pub(crate) use read::outbox::Lane;
pub(crate) use tx::{Deciding, Tx};
pub(crate) use views::Target;
pub(crate) use write::Write;

/// Pause before a write is tried again that has to succeed at last, such as after a full disk.
pub(crate) const STORE_AGAIN: Duration = Duration::from_secs(1);

/// Connections: one writes, others read meanwhile.
const CONNECTIONS: u32 = 4;

/// Set on each connection: readers and one writer at once, every commit on disk, five seconds' patience with others.
const PRAGMAS: &str =
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000";

/// The steps from an empty database to today's tables.
fn migrations() -> Migrator {
    let steps = [
        ("start", include_str!("../migrations/0001_start.sql")),
        (
            "misbehave",
            include_str!("../migrations/0002_misbehave.sql"),
        ),
        (
            "subscriptions",
            include_str!("../migrations/0003_subscriptions.sql"),
        ),
        ("leases", include_str!("../migrations/0004_leases.sql")),
    ];
    let steps = steps.into_iter().zip(1..).map(|((name, sql), version)| {
        let kind = MigrationType::Simple;
        Migration::new(
            version,
            Cow::Borrowed(name),
            kind,
            sql.into_sql_str(),
            false,
        )
    });
    Migrator::with_migrations(steps.collect())
}

/// The database does not do what it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// It cannot be opened.
    #[error(
        "cannot open the database {path}: {reason}; check the path, its permissions and the free space"
    )]
    Open {
        /// The file.
        path: String,
        /// What SQLite says.
        reason: String,
    },
    /// A statement failed, such as on a full disk.
    #[error("the database failed: {0}; check the free space and the file's permissions")]
    Sql(#[from] sqlx::Error),
    /// A row that no version of this program has written.
    #[error("the database has an unknown {column} {value:?}; it was written by another version")]
    Value {
        /// The column.
        column: &'static str,
        /// What is there.
        value: String,
    },
    /// A change outside a decision, which is a mistake of this program.
    #[error("nothing is written outside a decision")]
    ReadOnly,
}

/// Result of a store operation.
pub(crate) type Stored<T> = Result<T, StoreError>;

/// The database.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pool: AnyPool,
    /// Makes the transactions on the pool.
    writer: Writer,
    /// Held by the decision that is being made: SQLite lets the others wait by asking again and again, in no order.
    turn: Arc<Mutex<()>>,
}

impl Store {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// [`StoreError::Open`]
    pub(crate) async fn open(path: &Path) -> Stored<Self> {
        sqlx::any::install_default_drivers();
        let name = path.display().to_string();
        let failed = |reason: String| StoreError::Open {
            path: name.clone(),
            reason,
        };
        let url = sqlite::url(path).map_err(|e| failed(e.to_string()))?;
        private::database(path).map_err(|e| failed(e.to_string()))?;
        // By hand first: a pool would try a file that is no database again and again.
        let first = async {
            let mut first = AnyConnection::connect(&url).await?;
            first.execute(sqlx::raw_sql(PRAGMAS)).await?;
            // The first reading makes the shared memory file, which a full disk has no room for.
            first.execute("SELECT COUNT(*) FROM sqlite_schema").await?;
            Ok(first)
        };
        let keeper = first
            .await
            .map_err(|e: sqlx::Error| failed(e.to_string()))?;
        let pool = AnyPoolOptions::new()
            .max_connections(CONNECTIONS)
            // Opened now, not while somebody waits; a file does not go away as a server does.
            .min_connections(CONNECTIONS)
            .test_before_acquire(false)
            .after_connect(|connection, _| {
                Box::pin(
                    async move { connection.execute(sqlx::raw_sql(PRAGMAS)).await.map(|_| ()) },
                )
            })
            .connect(&url)
            .await
            .map_err(|e| failed(e.to_string()))?;
        migrations()
            .run(&pool)
            .await
            .map_err(|e| failed(e.to_string()))?;
        let writer = Writer::sqlite(pool.clone(), keeper);
        Ok(Self {
            pool,
            writer,
            turn: Arc::default(),
        })
    }

    /// Writes something, to find out whether the database can be written now.
    ///
    /// # Errors
    /// [`StoreError`]
    pub(crate) async fn check(&self) -> Stored<()> {
        Ok(self.writer.check().await?)
    }

    /// Ends all connections and folds the write-ahead log into the database.
    pub(crate) async fn close(&self) {
        self.writer.close().await;
    }

    /// Makes commits cheaper, for a process that will make many; see [`Writer::reserve_log`].
    ///
    /// # Errors
    /// The database fails. Nothing but time is lost.
    pub(crate) async fn reserve_log(&self) -> Stored<()> {
        Ok(self.writer.reserve_log().await?)
    }

    /// Changes what is stored, in one transaction that no other decision can come between: `decide` loads what the
    /// decision stands on and yields it, its changes are written and committed. Only then the outcome is there to be
    /// acted on.
    ///
    /// # Errors
    /// The database fails; then nothing has changed.
    pub(crate) async fn decide<T, C, F>(&self, decide: F) -> Stored<T>
    where
        T: Send,
        C: Write,
        F: for<'t> FnOnce(&'t mut Tx) -> Deciding<'t, T, C> + Send,
    {
        let _turn = self.turn.lock().await;
        let mut tx = Tx::writing(self.writer.begin().await?);
        let Decision { changes, outcome } = decide(&mut tx).await?;
        if changes.is_empty() {
            // Rolled back when it is dropped.
            return Ok(outcome);
        }
        for change in changes {
            change.write(&mut tx).await?;
        }
        tx.commit().await?;
        Ok(outcome)
    }

    /// Changes what is stored by a decision that stands on nothing.
    ///
    /// # Errors
    /// As [`Store::decide`].
    pub(crate) async fn put<C: Write + 'static>(&self, decision: Decision<(), C>) -> Stored<()> {
        self.decide(|_| Box::pin(async move { Ok(decision) })).await
    }

    /// Reads, for what is shown. What a decision stands on is read by [`Store::decide`].
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn read(&self) -> Stored<Tx> {
        Ok(Tx::reading(self.pool.acquire().await?))
    }
}

#[cfg(test)]
mod tests;
