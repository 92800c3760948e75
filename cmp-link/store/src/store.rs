//! The store: either database behind one door.

use crate::counters::Counters;
use crate::postgres::{Postgres, Server};
use crate::sqlite::{File, Readers, Writer};
use crate::value::Value;
use crate::{Database, Engine, Schema, StoreError, Stored, Tx};
use std::path::Path;
use std::sync::Arc;

/// Changes with each write: SQLite writes nothing where nothing changes.
const CHECK_ROW: &str = "INSERT INTO write_check (id, count, filler) VALUES (1, 1, $1) \
     ON CONFLICT (id) DO UPDATE SET count = write_check.count + 1, filler = excluded.filler";
/// What a check writes, bytes: about as much as a large transaction.
const CHECK: usize = 32 * 1024;
/// What a check writes after a failure, bytes: with less room the next failure is near.
const CHECK_AFTER_FAILURE: usize = 1024 * 1024;
/// By how much SQLite's write-ahead log grows before a server serves, bytes.
const RESERVE: usize = 512 * 1024;

/// How a store is opened.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// PostgreSQL's transactions are SERIALIZABLE instead of READ COMMITTED with row locks: for engines that know
    /// nothing else. They are repeated more often.
    pub serializable: bool,
    /// For tests of what is built on the store: called before each commit on PostgreSQL; where it yields true the
    /// transaction is rolled back and repeated, as if the server had answered 40001 (serialization failure). Distributed
    /// engines do so at any time.
    pub refuse_commit: Option<fn() -> bool>,
}

/// An open database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    engine: Running,
    counters: Arc<Counters>,
}

#[derive(Debug)]
enum Running {
    Sqlite {
        file: File,
        writer: Writer,
        readers: Arc<Readers>,
    },
    Postgres(Postgres),
}

impl Store {
    /// Opens the database and brings its tables up to date.
    ///
    /// # Errors
    /// Not reachable, not writable, no database, full, or written by a newer version.
    pub async fn open(
        database: &Database,
        schema: &'static Schema,
        options: Options,
    ) -> Stored<Self> {
        let counters = Arc::<Counters>::default();
        let engine = match database {
            Database::Sqlite(path) => {
                let (path, counters) = (path.clone(), Arc::clone(&counters));
                let opened = move || open_file(&path, schema, counters);
                let opened = tokio::task::spawn_blocking(opened).await;
                opened.map_err(|error| StoreError::Failed(error.to_string()))??
            }
            Database::Postgres(url) => {
                let server = Server::parse(url.expose()).map_err(|error| StoreError::Open {
                    path: database.to_string(),
                    reason: error.to_string(),
                })?;
                let server =
                    Postgres::open(&server, database.to_string(), options, &counters).await?;
                server.migrate(schema).await?;
                Running::Postgres(server)
            }
        };
        Ok(Self(Arc::new(Inner {
            name: database.to_string(),
            engine,
            counters,
        })))
    }

    /// Copies one state of a SQLite database into a new file, while others work on it. Its tables stay as they are.
    ///
    /// # Errors
    /// The copy exists already, one of the files is not accessible, the disk is full, or the database is PostgreSQL's,
    /// which has tools of its own.
    pub async fn copy(database: &Database, to: &Path) -> Stored<()> {
        let Database::Sqlite(from) = database else {
            let text = "copy a PostgreSQL database with pg_dump, or base backups and its log";
            return Err(StoreError::Failed(text.to_owned()));
        };
        let (from, to) = (from.clone(), to.to_owned());
        let copied = tokio::task::spawn_blocking(move || crate::sqlite::copy(&from, &to)).await;
        copied.map_err(|error| StoreError::Failed(error.to_string()))?
    }

    /// How errors and logs name it: the file, or the server without its credentials.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Which database it is.
    #[must_use]
    pub fn engine(&self) -> Engine {
        match self.0.engine {
            Running::Sqlite { .. } => Engine::Sqlite,
            Running::Postgres(_) => Engine::Postgres,
        }
    }

    /// Whether other instances may work on the same database.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.engine() == Engine::Postgres
    }

    /// Makes a change: runs `decide` on a transaction, and yields what it yields when that is on disk. Where `decide`
    /// yields an error nothing is stored. It may be run several times, and waits for nothing but its statements.
    ///
    /// # Errors
    /// That of `decide`, or the database failed.
    pub async fn change<T, E>(
        &self,
        decide: impl for<'t> AsyncFn(&'t Tx<'t>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        match &self.0.engine {
            Running::Sqlite { writer, .. } => writer.decide(decide).await,
            Running::Postgres(server) => server.decide(decide).await,
        }
    }

    /// As [`Store::change`], and those that come at the same time share statements and a commit, on PostgreSQL too. One that
    /// fails takes no other along. `decide` holds what it locks ([`Tx::hold`]).
    ///
    /// # Errors
    /// That of `decide`, or the database failed.
    pub async fn change_together<T, E>(
        &self,
        decide: impl for<'t> AsyncFn(&'t Tx<'t>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        match &self.0.engine {
            Running::Sqlite { writer, .. } => writer.decide(decide).await,
            Running::Postgres(server) => server.decide_together(decide).await,
        }
    }

    /// Runs `look` on one state of the database. It can't write.
    ///
    /// # Errors
    /// The database failed.
    pub async fn read<T: Send + 'static>(
        &self,
        look: impl for<'t> AsyncFnOnce(&'t Tx<'t>) -> Stored<T> + Send + 'static,
    ) -> Stored<T> {
        let (value, reads) = match &self.0.engine {
            Running::Sqlite { readers, .. } => readers.read(look).await?,
            Running::Postgres(server) => server.read(look).await?,
        };
        self.0.counters.read(reads);
        Ok(value)
    }

    /// Statements that read so far. What a caller may not tell apart must cost the same number.
    #[must_use]
    pub fn reads(&self) -> u64 {
        self.0.counters.reads()
    }

    /// Steps of SQLite's virtual machine so far, 0 on PostgreSQL: how much its statements had to look at, whatever the
    /// machine. What costs the same in a large database as in a small one takes the same steps.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.0.counters.steps()
    }

    /// Transactions of changes that were committed so far. SQLite commits several changes at once.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.0.counters.commits()
    }

    /// Writes something, so that its success says that changes can be stored now. After a failure it asks for more room,
    /// so that a server does not call itself ready whose next write fails.
    ///
    /// # Errors
    /// Nothing can be written, such as on a full disk, or in a database that is read-only or out of reach.
    pub async fn check(&self) -> Stored<()> {
        let counters = &self.0.counters;
        let failures = counters.failures();
        if !counters.are_open(failures) {
            return self.fill(CHECK).await;
        }
        self.fill(CHECK_AFTER_FAILURE).await?;
        counters.clear(failures);
        Ok(())
    }

    /// Grows SQLite's write-ahead log once, before a server serves; it may be repeated at any time.
    ///
    /// With `synchronous = FULL` each commit waits until the log is on disk. Where that overwrites blocks which the file
    /// system has allocated already, it takes about half as long as where the log grows. No more than that is lost where
    /// this fails, so a server starts all the same.
    ///
    /// # Errors
    /// Nothing can be written, such as on a full disk.
    pub async fn reserve_log(&self) -> Stored<()> {
        let Running::Sqlite { readers, .. } = &self.0.engine else {
            return Ok(());
        };
        self.fill(RESERVE).await?;
        self.fill(0).await?;
        // Earlier releases left it behind when they were killed, or found the disk full, at the wrong moment.
        self.change(async |tx| {
            tx.run("DROP TABLE IF EXISTS log_reserve", &[])
                .await
                .map(|_| ())
        })
        .await?;
        let readers = Arc::clone(readers);
        let done = tokio::task::spawn_blocking(move || readers.rewind_log()).await;
        done.map_err(|error| StoreError::Failed(error.to_string()))?
    }

    async fn fill(&self, bytes: usize) -> Stored<()> {
        self.change(async move |tx| {
            tx.run(CHECK_ROW, &[Value::from("0".repeat(bytes))]).await?;
            Ok(())
        })
        .await
    }

    /// Empties SQLite's write-ahead log, in which what was removed from the database can still be read. False: somebody else
    /// reads or writes for so long that it has to be tried again.
    ///
    /// # Errors
    /// The database failed.
    pub async fn empty_log(&self) -> Stored<bool> {
        let Running::Sqlite { file, .. } = &self.0.engine else {
            return Ok(true);
        };
        let file = file.clone();
        let emptied = tokio::task::spawn_blocking(move || file.empty_log()).await;
        emptied.map_err(|error| StoreError::Failed(error.to_string()))?
    }

    /// Waits until all that was asked for is done and closes the connections, which folds SQLite's write-ahead log into
    /// the database. Does nothing while a clone of the store is in use.
    pub async fn close(self) {
        let Some(inner) = Arc::into_inner(self.0) else {
            return;
        };
        let closed = tokio::task::spawn_blocking(move || match inner.engine {
            Running::Sqlite {
                writer, readers, ..
            } => {
                readers.close();
                writer.close();
            }
            Running::Postgres(server) => server.close(),
        });
        if let Err(error) = closed.await {
            tracing::debug!(%error, "the database was not closed");
        }
    }
}

fn open_file(path: &Path, schema: &Schema, counters: Arc<Counters>) -> Stored<Running> {
    let file = File::new(path)?;
    let connection = file.writer()?;
    file.migrate(&connection, schema)?;
    let readers = Arc::new(Readers::open(
        &file,
        Arc::clone(&counters),
        schema.is_by_index(),
    )?);
    let writer = Writer::start(file.clone(), connection, counters, schema.is_by_index())?;
    Ok(Running::Sqlite {
        file,
        writer,
        readers,
    })
}
