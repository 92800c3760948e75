//! What the MSP must not forget: SQLite through sqlx, one file, WAL, every commit on disk before it is acted on.
//!
//! Several processes may have it open: `serve` and the command line. Time is an argument, in milliseconds since 1970.

mod answered;
mod misbehaviour;
mod onboarding;
mod order;
mod outbox;
mod profile;
mod subscription;

use std::borrow::Cow;
use std::path::Path;
use std::time::Duration;

use aid_cli::private;
use aid_store::sqlite_url as sqlite;
use aid_store::writer::{Transaction, Writer};
use sqlx::any::{AnyPoolOptions, AnyRow};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, AnyPool, Connection as _, Executor as _, Row as _, SqlSafeStr as _};

pub(crate) use answered::Earlier;
pub(crate) use misbehaviour::{Event, NewEvent, Rule};
pub(crate) use onboarding::{Onboarding, OnboardingState};
pub(crate) use order::{AcRequest, Begun, Delivery, Finished, OrderRow, Ordered};
pub(crate) use outbox::{Job, Kind, OutboxRow};
pub(crate) use profile::{Noted, Profile, ProfilePhase, StatusRow};

pub(crate) use subscription::{
    Progress, Subscription, SubscriptionChange, SubscriptionState, SwapPolicy,
};

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
}

/// Result of a store operation.
pub(crate) type Stored<T> = Result<T, StoreError>;

/// The database.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pool: AnyPool,
    /// Makes the transactions on the pool.
    writer: Writer,
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
        Ok(Self { pool, writer })
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

    /// A transaction that has the write lock from the beginning, so that it cannot fail half-way for want of it.
    async fn write(&self) -> Stored<Transaction> {
        Ok(self.writer.begin().await?)
    }
}

/// A text column.
fn text(row: &AnyRow, column: &str) -> Stored<String> {
    Ok(row.try_get(column)?)
}

/// A text column that may be NULL.
fn optional(row: &AnyRow, column: &str) -> Stored<Option<String>> {
    Ok(row.try_get(column)?)
}

/// A number column.
fn number(row: &AnyRow, column: &str) -> Stored<i64> {
    Ok(row.try_get(column)?)
}

/// A text column with a form of its own.
fn parsed<T: std::str::FromStr>(row: &AnyRow, column: &'static str) -> Stored<T> {
    let value = text(row, column)?;
    value
        .parse()
        .map_err(|_| StoreError::Value { column, value })
}

/// An enum that is a word in the database.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// The word.
            #[must_use]
            pub(crate) fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl std::str::FromStr for $name {
            type Err = ();

            fn from_str(text: &str) -> Result<Self, ()> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(()),
                }
            }
        }
    };
}
pub(crate) use words;

#[cfg(test)]
mod tests;
