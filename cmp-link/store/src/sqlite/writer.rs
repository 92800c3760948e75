//! The thread that writes. Decisions that wait are applied one after the other in one transaction and answered after its
//! commit. If one of them fails, nothing of the transaction is stored, and each of them is tried again alone: so one that
//! can't be stored takes no other along. (A SAVEPOINT for each would cost more than all the rest.)
//!
//! After a failure SQLite may have ended the transaction by itself, or not. A connection is used again only where it
//! says that it is outside of any; otherwise it is closed and another opened.

use super::tx::Texts;
use super::{File, SqliteTx, at_once, store_error};
use crate::tx::{Broken, Connection as On, Tx};
use crate::{StoreError, Stored};
use rusqlite::Connection;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Decisions that wait for the thread; whoever comes later waits to be let in.
const QUEUE: usize = 1024;
/// Decisions of one transaction, at most: who came first shall not wait for all that came later.
const BATCH: usize = 256;
/// How long another process that writes is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a decision ended on a transaction.
pub(crate) enum Ended {
    /// It can be committed, beside others.
    Well,
    /// It has written, and must not be committed.
    Badly,
    /// The database failed.
    Broken(StoreError),
}

/// A decision that waits. It may be run several times.
pub(crate) trait Job: Send {
    /// Runs it, and keeps what it yields.
    fn run(&mut self, tx: &Tx<'_>) -> Ended;
    /// Answers whoever waits: what it yielded last, or why it was not stored.
    fn answer(self: Box<Self>, stored: Stored<()>);
}

/// A decision as a function.
pub(crate) struct Decide<F, T, E> {
    decide: F,
    result: Option<Result<T, E>>,
    answer: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Job for Decide<F, T, E>
where
    F: for<'t> AsyncFn(&'t Tx<'t>) -> Result<T, E> + Send,
    T: Send,
    E: From<StoreError> + Send,
{
    fn run(&mut self, tx: &Tx<'_>) -> Ended {
        let result = at_once((self.decide)(tx));
        let Some(result) = result else {
            let text = "a decision waits for something else than the database";
            return Ended::Broken(StoreError::Failed(text.into()));
        };
        let refused = result.is_err();
        self.result = Some(result);
        match tx.broken.take() {
            Some((_, error)) => Ended::Broken(error),
            None if refused && tx.wrote.get() => Ended::Badly,
            None => Ended::Well,
        }
    }

    fn answer(self: Box<Self>, stored: Stored<()>) {
        let result = match (stored, self.result) {
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => Err(StoreError::Failed("the decision was not made".into()).into()),
            // What it made of the failure of a statement says more than we can.
            (Err(_), Some(Err(own))) => Err(own),
            (Err(error), _) => Err(error.into()),
        };
        // Whoever asked may be gone; the decision stands.
        let _ = self.answer.send(result);
    }
}

/// The end of the thread's queue. The thread ends when the last one is dropped.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: mpsc::Sender<Box<dyn Job>>,
    thread: JoinHandle<()>,
}

impl Writer {
    /// Starts the thread on an open connection.
    pub(crate) fn start(file: File, connection: Connection) -> Stored<Self> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let mut thread = Thread {
            name: file.name(),
            file,
            connection: Some(connection),
            texts: Texts::default(),
        };
        let thread = thread::Builder::new()
            .name("store".into())
            .spawn(move || thread.work(jobs))
            .map_err(|error| StoreError::Failed(error.to_string()))?;
        Ok(Self { queue, thread })
    }

    /// Makes a decision; yields its result when it is on disk.
    pub(crate) async fn decide<T, E>(
        &self,
        decide: impl for<'t> AsyncFn(&'t Tx<'t>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job = Decide {
            decide,
            result: None,
            answer,
        };
        let gone = || StoreError::Failed("the database is closed".into());
        self.queue.send(Box::new(job)).await.map_err(|_| gone())?;
        // Whoever stops waiting here stops nothing: the thread goes on.
        answered.await.map_err(|_| gone())?
    }

    /// Waits until all that was asked for is done and the connection is closed.
    pub(crate) fn close(self) {
        let Self { queue, thread } = self;
        drop(queue);
        if thread.join().is_err() {
            tracing::error!("the thread of the database panicked");
        }
    }
}

struct Thread {
    file: File,
    name: String,
    /// None after a failure, until it is opened again.
    connection: Option<Connection>,
    texts: Texts,
}

impl Thread {
    fn work(&mut self, mut jobs: mpsc::Receiver<Box<dyn Job>>) {
        while let Some(first) = jobs.blocking_recv() {
            let mut batch = vec![first];
            while batch.len() < BATCH
                && let Ok(next) = jobs.try_recv()
            {
                batch.push(next);
            }
            self.decide(batch);
        }
    }

    fn decide(&mut self, mut batch: Vec<Box<dyn Job>>) {
        match self.transaction(&mut batch) {
            Ok(()) => batch.into_iter().for_each(|job| job.answer(Ok(()))),
            Err(error) if batch.len() < 2 || matches!(error, StoreError::Full(_)) => {
                batch
                    .into_iter()
                    .for_each(|job| job.answer(Err(error.clone())));
            }
            Err(_) => {
                for job in batch {
                    let mut alone = [job];
                    let stored = self.transaction(&mut alone);
                    let [job] = alone;
                    job.answer(stored);
                }
            }
        }
    }

    /// All or nothing. An error of a batch says nothing about each of its jobs.
    fn transaction(&mut self, jobs: &mut [Box<dyn Job>]) -> Stored<()> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.file.writer()?,
        };
        let done = catch_unwind(AssertUnwindSafe(|| self.on(&connection, jobs)));
        let done = done.unwrap_or_else(|_| Err(StoreError::Failed("a decision panicked".into())));
        if done.is_err() && !connection.is_autocommit() {
            // An error means that it has rolled back by itself.
            let _ = connection.execute_batch("ROLLBACK");
        }
        if connection.is_autocommit()
            && !matches!(done, Err(StoreError::Full(_) | StoreError::Failed(_)))
        {
            self.connection = Some(connection);
        }
        done
    }

    fn on(&self, connection: &Connection, jobs: &mut [Box<dyn Job>]) -> Stored<()> {
        let failed = |error: rusqlite::Error| store_error(&self.name, &error);
        let began = Instant::now();
        // The write lock from the first moment, so that nothing fails halfway for want of it.
        while let Err(error) = connection.execute_batch("BEGIN IMMEDIATE") {
            match failed(error) {
                (Broken::Conflict, _) if began.elapsed() < PATIENCE => {}
                (Broken::Conflict, _) => {
                    let text = "another process writes for half a minute; is it stopped?";
                    return Err(StoreError::Failed(text.into()));
                }
                (_, error) => return Err(error),
            }
        }
        let many = jobs.len() > 1;
        for job in jobs {
            let tx = Tx::new(On::Sqlite(SqliteTx::new(
                connection,
                &self.texts,
                &self.name,
            )));
            match job.run(&tx) {
                Ended::Well => {}
                Ended::Badly if many => return Err(StoreError::Busy),
                Ended::Badly => {
                    // Its refusal is its answer.
                    return connection
                        .execute_batch("ROLLBACK")
                        .map_err(|error| failed(error).1);
                }
                Ended::Broken(error) => return Err(error),
            }
        }
        connection
            .execute_batch("COMMIT")
            .map_err(|error| failed(error).1)
    }
}
