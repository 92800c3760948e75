//! Writes to a database that are on disk once they are acknowledged, and happened whole or not at all.
//!
//! SQLite rolls a transaction back by itself when a statement finds the disk full, an I/O error or no memory.
//! A driver that counts transactions does not learn of it: statements that follow are committed one by one,
//! the next transaction becomes a savepoint of one that is not there or never ends, and its COMMIT reports
//! success. PostgreSQL leaves it open whether a COMMIT took place whose answer was lost. So a connection is
//! used again only when the database itself has confirmed the end of its transaction; any other is closed.

use futures_util::TryStreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use sqlx::any::{AnyQueryResult, AnyRow, AnyStatement, AnyTypeInfo};
use sqlx::pool::PoolConnection;
use sqlx::{
    Any, AnyConnection, AnyPool, Connection as _, Either, Error, Execute, Executor, SqlStr,
};
use std::future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::runtime::Handle;
use tokio::sync::Mutex;

/// Begins a transaction that has SQLite's write lock from its first moment, so that it can't fail halfway for
/// want of it.
const BEGIN_SQLITE: &str = "BEGIN IMMEDIATE";
/// Begins a transaction in PostgreSQL.
const BEGIN_POSTGRES: &str = "BEGIN";

/// The row that [`Writer::check`] and [`Writer::reserve_log`] write.
const CHECK_TABLE: &str = "CREATE TABLE IF NOT EXISTS write_check \
     (id INTEGER PRIMARY KEY, count BIGINT NOT NULL, filler TEXT NOT NULL)";
/// Changes with each write: SQLite writes nothing where nothing changes.
const CHECK_ROW: &str = "INSERT INTO write_check (id, count, filler) VALUES (1, 1, $1) \
     ON CONFLICT (id) DO UPDATE SET count = write_check.count + 1, filler = excluded.filler";
/// What a check writes, bytes: about as much as a large transaction.
const CHECK: usize = 32 * 1024;
/// What a check writes after a failure, bytes: with less room the next failure is near.
const CHECK_AFTER_FAILURE: usize = 1024 * 1024;
/// By how much the write-ahead log grows before a server serves, bytes.
const RESERVE: usize = 512 * 1024;

/// Makes the transactions on a pool. Cheap to clone; the clones know of each other's failures.
///
/// As an executor of queries, by `&`, it makes each query a transaction of its own: what the query yields is
/// yielded once that is committed.
#[derive(Debug, Clone)]
pub struct Writer {
    pool: AnyPool,
    begin: &'static str,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Transactions that failed so far.
    failures: AtomicU64,
    /// How many of them were followed by a check that had room to spare.
    cleared: AtomicU64,
    /// One check at a time.
    check: Mutex<()>,
    /// Makes no statement, and is never closed for a failure: as long as SQLite's files are open, another
    /// connection can be opened, and read, where a full disk has no room for new ones.
    keeper: Mutex<Option<AnyConnection>>,
}

impl Writer {
    /// A writer on a pool of connections to a SQLite file; `keeper` is one more to the same file, which has
    /// read something.
    #[must_use]
    pub fn sqlite(pool: AnyPool, keeper: AnyConnection) -> Self {
        let shared = Shared {
            keeper: Mutex::new(Some(keeper)),
            ..Shared::default()
        };
        Self {
            pool,
            begin: BEGIN_SQLITE,
            shared: Arc::new(shared),
        }
    }

    /// A writer on a pool of connections to a PostgreSQL server.
    #[must_use]
    pub fn postgres(pool: AnyPool) -> Self {
        Self {
            pool,
            begin: BEGIN_POSTGRES,
            shared: Arc::default(),
        }
    }

    /// Ends all connections, once nobody uses them; that folds SQLite's write-ahead log into the database.
    pub async fn close(&self) {
        if let Some(keeper) = self.shared.keeper.lock().await.take()
            && let Err(error) = keeper.close().await
        {
            tracing::debug!(%error, "a connection to the database was not closed");
        }
        self.pool.close().await;
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// No connection can be had, or the database does not begin one.
    pub async fn begin(&self) -> Result<Transaction, Error> {
        let acquired = self.pool.acquire().await;
        let connection = acquired.inspect_err(|_| self.shared.failed())?;
        let mut transaction = Transaction {
            connection: Some(connection),
            state: State::Uncertain,
            shared: Arc::clone(&self.shared),
        };
        transaction.say(self.begin).await?;
        transaction.state = State::Open;
        Ok(transaction)
    }

    /// Writes something, so that its success says that a transaction can be committed now. After a failure it
    /// asks for more room, so that a server does not call itself ready whose next write fails.
    ///
    /// # Errors
    /// Nothing can be written, such as on a full disk or in a database that is read-only.
    pub async fn check(&self) -> Result<(), Error> {
        let _one = self.shared.check.lock().await;
        let failures = self.shared.failures.load(Ordering::Acquire);
        let cleared = self.shared.cleared.load(Ordering::Acquire);
        if failures == cleared {
            return self.fill(CHECK).await;
        }
        self.fill(CHECK_AFTER_FAILURE).await?;
        // A failure since then is not cleared by what was found before it.
        self.shared.cleared.store(failures, Ordering::Release);
        Ok(())
    }

    /// Grows SQLite's write-ahead log once, before a server serves; it may be repeated at any time.
    ///
    /// With `synchronous = FULL` each commit waits until the log is on disk. Where that overwrites blocks
    /// which the file system has allocated already, it takes about half as long as where the log grows. No
    /// more than that is lost where this fails, so a server starts all the same.
    ///
    /// # Errors
    /// Nothing can be written, such as on a full disk.
    pub async fn reserve_log(&self) -> Result<(), Error> {
        // Earlier versions left it behind when they were killed, or found the disk full, at the wrong moment.
        self.execute("DROP TABLE IF EXISTS log_reserve").await?;
        self.fill(RESERVE).await?;
        self.fill(0).await?;
        let rewind = "PRAGMA wal_checkpoint(RESTART)";
        self.pool.execute(rewind).await.map(|_| ())
    }

    async fn fill(&self, bytes: usize) -> Result<(), Error> {
        let mut transaction = self.begin().await?;
        (&mut transaction).execute(CHECK_TABLE).await?;
        let row = sqlx::query(CHECK_ROW).bind("0".repeat(bytes));
        row.execute(&mut transaction).await?;
        transaction.commit().await
    }
}

impl<'c> Executor<'c> for &'c Writer {
    type Database = Any;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<AnyQueryResult, AnyRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let whole = async move {
            let mut transaction = self.begin().await?;
            let steps: Vec<_> = (&mut transaction).fetch_many(query).try_collect().await?;
            transaction.commit().await?;
            Ok::<_, Error>(stream::iter(steps.into_iter().map(Ok)))
        };
        stream::once(whole).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<AnyRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        Box::pin(async move {
            let mut transaction = self.begin().await?;
            let row = (&mut transaction).fetch_optional(query).await?;
            transaction.commit().await?;
            Ok(row)
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [AnyTypeInfo],
    ) -> BoxFuture<'e, Result<AnyStatement, Error>>
    where
        'c: 'e,
    {
        Box::pin(async move {
            let mut transaction = self.begin().await?;
            (&mut transaction).prepare_with(sql, parameters).await
        })
    }
}

impl Shared {
    fn failed(&self) {
        self.failures.fetch_add(1, Ordering::AcqRel);
    }
}

/// What is known of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// All statements so far succeeded.
    Open,
    /// A statement runs, failed, or was abandoned: the database may have ended the transaction by itself.
    Uncertain,
    /// The database has confirmed the end.
    Ended,
}

/// A transaction that is committed whole, or not at all. An executor of queries, by `&mut`.
///
/// After the first error, or a statement that was not waited for, it takes no further statement and no commit.
/// Dropped, it is rolled back.
#[must_use]
#[derive(Debug)]
pub struct Transaction {
    /// There until it is dropped.
    connection: Option<PoolConnection<Any>>,
    state: State,
    shared: Arc<Shared>,
}

impl Transaction {
    /// Commits.
    ///
    /// # Errors
    /// A statement failed before, or the commit does; nothing of it happened, unless the connection to a
    /// server broke while it answered.
    pub async fn commit(mut self) -> Result<(), Error> {
        self.start()?;
        self.say("COMMIT").await?;
        self.state = State::Ended;
        Ok(())
    }

    /// From here on it is uncertain what becomes of it.
    fn start(&mut self) -> Result<&mut PoolConnection<Any>, Error> {
        if self.state != State::Open {
            return Err(over());
        }
        self.state = State::Uncertain;
        self.connection.as_mut().ok_or_else(over)
    }

    async fn say(&mut self, statement: &'static str) -> Result<(), Error> {
        let connection = self.connection.as_mut().ok_or_else(over)?;
        (&mut **connection).execute(statement).await.map(|_| ())
    }
}

fn over() -> Error {
    Error::Protocol("the transaction has failed already, nothing of it is stored".into())
}

impl Drop for Transaction {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        match (self.state, Handle::try_current()) {
            // Back into the pool.
            (State::Ended, _) => {}
            (State::Open, Ok(runtime)) => {
                runtime.spawn(async move {
                    if let Err(error) = (&mut *connection).execute("ROLLBACK").await {
                        tracing::warn!(%error, "a transaction was not rolled back; its connection is closed");
                        connection.close_on_drop();
                    }
                });
            }
            _ => {
                self.shared.failed();
                connection.close_on_drop();
            }
        }
    }
}

impl<'c> Executor<'c> for &'c mut Transaction {
    type Database = Any;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<AnyQueryResult, AnyRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        if let Err(error) = self.start() {
            return stream::once(future::ready(Err(error))).boxed();
        }
        let Transaction {
            connection, state, ..
        } = self;
        let Some(connection) = connection else {
            return stream::once(future::ready(Err(over()))).boxed();
        };
        let steps = (&mut **connection).fetch_many(query);
        stream::try_unfold((steps, state), |(mut steps, state)| async move {
            match steps.try_next().await? {
                Some(step) => Ok(Some((step, (steps, state)))),
                None => {
                    *state = State::Open;
                    Ok(None)
                }
            }
        })
        .boxed()
    }

    // To its end: SQLite may report at the last step that a statement failed which has yielded a row.
    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<AnyRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let mut steps = self.fetch_many(query);
        Box::pin(async move {
            let mut first = None;
            while let Some(step) = steps.try_next().await? {
                if let Either::Right(row) = step {
                    first.get_or_insert(row);
                }
            }
            Ok(first)
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [AnyTypeInfo],
    ) -> BoxFuture<'e, Result<AnyStatement, Error>>
    where
        'c: 'e,
    {
        Box::pin(async move {
            let connection = self.start()?;
            let prepared = (&mut **connection).prepare_with(sql, parameters).await?;
            self.state = State::Open;
            Ok(prepared)
        })
    }
}

#[cfg(test)]
mod tests;
