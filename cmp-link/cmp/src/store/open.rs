//! Opens the database and brings its tables up to date: SQLite in WAL mode, or PostgreSQL; every commit
//! is on disk before it is acknowledged. Called at the start of each program run.

use super::Database;
use super::{StoreError, Stored};
use aid_cli::private;
use aid_store::sqlite_url as sqlite;
use aid_store::writer::Writer;
use sqlx::any::AnyPoolOptions;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, AnyPool, Connection as _, Executor as _, SqlSafeStr as _};
use std::borrow::Cow;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// Connections to SQLite: one writes, the others read.
const CONNECTIONS: u32 = 4;
/// Connections to PostgreSQL: one of them has the turn.
const SERVER_CONNECTIONS: u32 = 8;
/// Time to wait for another process that has the database, ms.
const BUSY_MS: u32 = 5000;

/// The store in SQL, the same statements on SQLite and PostgreSQL: only simple types.
#[derive(Debug, Clone)]
pub struct SqlStore {
    pub(super) pool: AnyPool,
    /// Makes the transactions on the pool.
    pub(super) writer: Writer,
    pub(super) database: Database,
    /// The turn inside this process.
    pub(super) first: Arc<tokio::sync::Mutex<()>>,
    /// Reads so far.
    pub(super) looks: Arc<AtomicU64>,
    /// The turn between processes, of SQLite.
    pub(super) lock: Option<Arc<File>>,
}

/// The steps from an empty database to today's tables.
fn migrations() -> Migrator {
    let step = |version, name: &'static str, sql: &'static str| {
        let kind = MigrationType::Simple;
        Migration::new(
            version,
            Cow::Borrowed(name),
            kind,
            sql.into_sql_str(),
            false,
        )
    };
    Migrator::with_migrations(vec![
        step(1, "start", include_str!("../../migrations/0001_start.sql")),
        step(
            10,
            "phone iv",
            include_str!("../../migrations/0010_phone_iv.sql"),
        ),
        step(
            30,
            "vehicle",
            include_str!("../../migrations/0030_vehicle.sql"),
        ),
        step(
            31,
            "retired",
            include_str!("../../migrations/0031_retired.sql"),
        ),
        step(20, "work", include_str!("../../migrations/0020_work.sql")),
        step(
            40,
            "portal",
            include_str!("../../migrations/0040_portal.sql"),
        ),
        step(
            50,
            "correlation",
            include_str!("../../migrations/0050_correlation.sql"),
        ),
        step(60, "bound", include_str!("../../migrations/0060_bound.sql")),
    ])
}

/// Opens the database and migrates it.
///
/// # Errors
/// Not writable, no database, full, or written by a newer version.
pub async fn migrate(database: impl Into<Database>) -> Stored<SqlStore> {
    let store = match database.into() {
        Database::Sqlite(path) => SqlStore::connect(&path, CONNECTIONS).await?,
        server @ Database::Postgres(_) => SqlStore::dial(server).await?,
    };
    let failed = |e: sqlx::migrate::MigrateError| match e {
        sqlx::migrate::MigrateError::VersionMissing(version) => {
            StoreError::Unreadable(format!("migration {version}"))
        }
        sqlx::migrate::MigrateError::Execute(e) => store.error(&e),
        sqlx::migrate::MigrateError::ExecuteMigration(e, _) => store.error(&e),
        other => StoreError::Failed(other.to_string()),
    };
    migrations().run(&store.pool).await.map_err(failed)?;
    Ok(store)
}

impl SqlStore {
    async fn connect(path: &Path, connections: u32) -> Stored<Self> {
        sqlx::any::install_default_drivers();
        let name = path.display().to_string();
        let open = |reason: String| StoreError::Open {
            path: name.clone(),
            reason,
        };
        let url = sqlite::url(path).map_err(|e| open(e.to_string()))?;
        private::database(path).map_err(|e| open(e.to_string()))?;
        // A pool would try for seconds what can't be opened.
        let probe = async {
            let mut connection = AnyConnection::connect(&url).await?;
            prepare(&mut connection).await?;
            // The first reading makes the shared memory file, which a full disk has no room for.
            connection
                .execute("SELECT COUNT(*) FROM sqlite_schema;")
                .await?;
            Ok(connection)
        };
        let keeper = probe.await.map_err(|e: sqlx::Error| {
            let code = e.as_database_error().and_then(|e| e.code());
            match code.is_some_and(|code| sqlite::is_full(&code)) {
                true => StoreError::Full(name.clone()),
                false => open(e.to_string()),
            }
        })?;
        let pool = AnyPoolOptions::new()
            .max_connections(connections)
            // Opened now, not while somebody waits; a file does not go away as a server does.
            .min_connections(connections)
            .test_before_acquire(false)
            .acquire_timeout(Duration::from_secs(10))
            .after_connect(|connection, _| Box::pin(prepare(connection)))
            .connect(&url)
            .await
            .map_err(|e| open(e.to_string()))?;
        let lock = private::options()
            .create(true)
            .append(true)
            .open(path.with_added_extension("turn"))
            .map_err(|e| open(format!("its lock file: {e}")))?;
        Ok(Self {
            looks: Arc::default(),
            writer: Writer::sqlite(pool.clone(), keeper),
            pool,
            database: path.into(),
            first: Arc::default(),
            lock: Some(Arc::new(lock)),
        })
    }

    async fn dial(database: Database) -> Stored<Self> {
        sqlx::any::install_default_drivers();
        let Database::Postgres(url) = &database else {
            return Err(StoreError::Failed("not a server".into()));
        };
        let pool = AnyPoolOptions::new()
            .max_connections(SERVER_CONNECTIONS)
            .acquire_timeout(Duration::from_secs(10))
            .after_connect(|connection, _| {
                Box::pin(async move {
                    // Whatever the server's default is: what was acknowledged is on disk.
                    connection.execute("SET synchronous_commit = on").await?;
                    // Not a line on stderr for each command, about tables that are there as they should be.
                    connection
                        .execute("SET client_min_messages = warning")
                        .await?;
                    Ok(())
                })
            })
            .connect(url.expose())
            .await
            .map_err(|e| StoreError::Open {
                path: database.to_string(),
                reason: e.to_string(),
            })?;
        Ok(Self {
            looks: Arc::default(),
            writer: Writer::postgres(pool.clone()),
            pool,
            database,
            first: Arc::default(),
            lock: None,
        })
    }

    /// Whether other instances may work on the same database.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self.database, Database::Postgres(_))
    }

    /// Makes commits cheaper, for a process that will make many; see [`Writer::reserve_log`].
    ///
    /// # Errors
    /// Not writable, or full. Nothing but time is lost.
    pub async fn reserve_log(&self) -> Stored<()> {
        if self.is_shared() {
            return Ok(());
        }
        let reserved = self.writer.reserve_log().await;
        reserved.map_err(|e| self.error(&e))
    }

    /// Empties SQLite's write-ahead log, in which what was removed from the database can still be read. True: it is empty.
    /// False: somebody else reads or writes for so long that it has to be tried again.
    ///
    /// # Errors
    /// The database failed.
    pub async fn empty_log(&self) -> Stored<bool> {
        if self.is_shared() {
            return Ok(true);
        }
        let checkpoint = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)");
        let row = checkpoint.fetch_one(&self.pool).await;
        let busy: Result<i64, _> = row.and_then(|row| sqlx::Row::try_get(&row, 0));
        Ok(busy.map_err(|e| self.error(&e))? == 0)
    }

    /// Ends all connections and folds the write-ahead log into the database.
    pub async fn close(&self) {
        self.writer.close().await;
    }

    /// Our error for the driver's.
    pub(super) fn error(&self, error: &sqlx::Error) -> StoreError {
        if let Some(database) = error.as_database_error() {
            // 53100 is PostgreSQL's disk_full.
            let full = |code: &str| sqlite::is_full(code) || code == "53100";
            if database.code().is_some_and(|code| full(&code)) {
                return StoreError::Full(self.database.to_string());
            }
            if database.is_unique_violation()
                || matches!(database.code().as_deref(), Some("1555" | "2067"))
            {
                return StoreError::Taken;
            }
        }
        StoreError::Failed(error.to_string())
    }
}

/// Settings of a connection.
async fn prepare(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    let busy = format!("PRAGMA busy_timeout = {BUSY_MS};");
    connection
        .execute(sqlx::AssertSqlSafe(busy).into_sql_str())
        .await?;
    for pragma in [
        "PRAGMA journal_mode = WAL;",
        // What was acknowledged is on disk, also after a power cut.
        "PRAGMA synchronous = FULL;",
        // What was removed (`user erase`, `federation purge`) is not left in free space of the file.
        "PRAGMA secure_delete = ON;",
        "PRAGMA foreign_keys = ON;",
    ] {
        connection.execute(pragma).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store as _;
    use aid_cmp_core::change::Change;
    use aid_cmp_core::model::Vehicle;

    // Invariant 8: a full disk stops, loses nothing, and goes on by itself.
    #[tokio::test]
    async fn a_full_disk_is_said_and_survived() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a b%.sqlite");
        migrate(&path).await.unwrap().close().await;
        let store = SqlStore::connect(&path, 1).await.unwrap();
        let vehicle = |n: u32| {
            let eid = aid_id::Eid::with_check_digits(&format!("{n:030}")).unwrap();
            Change::AddVehicle(Vehicle {
                software: Some("x".repeat(4000)),
                ..Vehicle::new(eid, 0)
            })
        };
        let limit = |pages: &str| {
            let sql = format!("PRAGMA max_page_count = {pages}");
            sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&store.pool)
        };
        limit("60").await.unwrap();
        let mut stored = 0;
        let error = loop {
            match store.commit(vec![vehicle(stored)]).await {
                Ok(()) => stored += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(error, StoreError::Full(path.display().to_string()));
        assert!(error.to_string().contains("is full"));
        assert_eq!(store.vehicles().await.unwrap().len(), stored as usize);
        limit("100000").await.unwrap();
        store.commit(vec![vehicle(stored)]).await.unwrap();
        assert_eq!(store.vehicles().await.unwrap().len(), stored as usize + 1);
    }

    #[tokio::test]
    async fn what_is_no_database_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text");
        std::fs::write(
            &path,
            "this is not a database, and it is long enough to be seen as none",
        )
        .unwrap();
        let error = migrate(&path).await.unwrap_err().to_string();
        assert!(error.contains("text"), "{error}");
        let error = migrate(&folder.path().join("no/such/folder"))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("no/such/folder"), "{error}");
    }
}
