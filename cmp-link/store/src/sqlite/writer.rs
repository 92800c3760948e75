//! The thread that writes. Decisions that wait are applied one after the other in one transaction and answered after its
//! commit. If one of them fails, nothing of the transaction is stored; those before it are made again without it, then it
//! alone, then the rest. So one that can't be stored takes no other along. (A SAVEPOINT for each would cost more than all
//! the rest.)
//!
//! After a failure SQLite may have ended the transaction by itself, or not. A connection is used again only where it
//! says that it is outside of any; otherwise it is closed and another opened.

use super::tx::Texts;
use super::{File, Prepared, SqliteTx, at_once, begin, execute, store_error};
use crate::counters::Counters;
use crate::job::{Decide, Ended, Job};
use crate::tx::{Broken, Connection as On, Tx};
use crate::{StoreError, Stored};
use rusqlite::Connection;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use tokio::sync::{mpsc, oneshot};

/// Decisions that wait for the thread; whoever comes later waits to be let in.
const QUEUE: usize = 1024;
/// Decisions of one transaction, at most: who came first shall not wait for all that came later.
const BATCH: usize = 256;
/// After how many decisions for which the database itself fails, each alone, the rest of a batch is given up.
const DOWN: u32 = 2;

/// Why a transaction was not committed.
struct Failure {
    at: At,
    broken: Broken,
    error: StoreError,
}

/// Where it failed.
enum At {
    Begin,
    /// In the decision with this index.
    Job(usize),
    Commit,
}

/// The end of the thread's queue. The thread ends when the last one is dropped.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: mpsc::Sender<Box<dyn Job>>,
    thread: JoinHandle<()>,
}

impl Writer {
    /// Starts the thread on an open connection.
    pub(crate) fn start(
        file: File,
        connection: Connection,
        counters: Arc<Counters>,
        by_index: bool,
    ) -> Stored<Self> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let mut thread = Thread {
            file,
            connection: Some(connection),
            texts: Texts::new(Arc::clone(&counters), by_index),
            counters,
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
        let job = Decide::new(decide, answer, ());
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
    /// None after a failure, until it is opened again.
    connection: Option<Connection>,
    texts: Texts,
    counters: Arc<Counters>,
}

impl Thread {
    fn work(&mut self, mut jobs: mpsc::Receiver<Box<dyn Job>>) {
        let mut batch = Vec::with_capacity(BATCH);
        while let Some(first) = jobs.blocking_recv() {
            batch.push(first);
            while batch.len() < BATCH
                && let Ok(next) = jobs.try_recv()
            {
                batch.push(next);
            }
            self.decide(&mut batch);
        }
    }

    /// Makes and answers all of them, in their order.
    fn decide(&mut self, waiting: &mut Vec<Box<dyn Job>>) {
        let mut size = waiting.len();
        let mut failures = 0;
        while !waiting.is_empty() {
            let (jobs, _) = waiting.split_at_mut(size);
            let Err(failure) = self.transaction(jobs) else {
                waiting.drain(..size).for_each(|job| job.answer(Ok(())));
                size = waiting.len();
                continue;
            };
            let mut error = failure.error;
            let down = failure.broken == Broken::Down;
            let answered = match failure.at {
                At::Begin => waiting.len(),
                // Its frames may be in the log, and a crash would bring them back. So it is not made again.
                At::Commit if down && !matches!(error, StoreError::Full(_)) => {
                    let text =
                        "the disk failed during the commit, and the change may be stored or not";
                    error = StoreError::Failed(format!("{text}: {error}"));
                    size
                }
                _ if size == 1 => {
                    failures += u32::from(down);
                    if failures < DOWN { 1 } else { waiting.len() }
                }
                // Those before it stand; it comes alone after them.
                At::Job(index) => {
                    size = index.max(1);
                    continue;
                }
                // Which of them it was is not known.
                At::Commit => {
                    size = size.div_ceil(2);
                    continue;
                }
            };
            let stored = Err(error);
            let done = waiting.drain(..answered);
            done.for_each(|job| job.answer(stored.clone()));
            size = waiting.len();
        }
    }

    /// All or nothing.
    fn transaction(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<(), Failure> {
        jobs.iter_mut().for_each(|job| job.forget());
        let done = self.attempt(jobs);
        if matches!(&done, Err(failure) if failure.broken == Broken::Down) {
            self.counters.failed();
        }
        done
    }

    fn attempt(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<(), Failure> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.file.writer().map_err(|error| Failure {
                at: At::Begin,
                broken: Broken::Down,
                error,
            })?,
        };
        let running = Cell::new(0);
        let done = catch_unwind(AssertUnwindSafe(|| self.on(&connection, jobs, &running)));
        let done = done.unwrap_or_else(|_| {
            Err(Failure {
                at: At::Job(running.get()),
                broken: Broken::Failed,
                error: StoreError::Failed("a decision panicked".into()),
            })
        });
        if done.is_err() && !connection.is_autocommit() {
            // An error means that it has rolled back by itself.
            let _ = connection.execute_batch("ROLLBACK");
        }
        let down = matches!(&done, Err(failure) if failure.broken == Broken::Down);
        if connection.is_autocommit() && !down {
            self.connection = Some(connection);
        }
        done
    }

    fn on(
        &self,
        connection: &Connection,
        jobs: &mut [Box<dyn Job>],
        running: &Cell<usize>,
    ) -> Result<(), Failure> {
        let failed = |at: At| |(broken, error)| Failure { at, broken, error };
        let done = |sql: &str| {
            let done = execute(connection, sql);
            done.map_err(|error| store_error(&self.file, &error))
        };
        begin(connection, &self.file).map_err(failed(At::Begin))?;
        let alone = jobs.len() == 1;
        let statements = Prepared::new(connection, &self.texts);
        let mut reads = 0;
        for (index, job) in jobs.iter_mut().enumerate() {
            running.set(index);
            let on = On::Sqlite(SqliteTx::new(&statements, &self.file));
            let tx = Tx::new(on);
            let ended = at_once(job.run(&tx)).unwrap_or_else(|| {
                let text = "a decision waits for something else than the database";
                Ended::Broken(Broken::Failed, StoreError::Failed(text.into()))
            });
            reads += tx.reads.get();
            if alone {
                self.counters.read(reads);
            }
            match ended {
                Ended::Well(_) => {}
                // Its refusal is its answer.
                Ended::Badly if alone => return done("ROLLBACK").map_err(failed(At::Commit)),
                Ended::Badly => {
                    return Err(failed(At::Job(index))((Broken::Failed, StoreError::Busy)));
                }
                Ended::Broken(broken, error) => {
                    return Err(failed(At::Job(index))((broken, error)));
                }
            }
        }
        done("COMMIT").map_err(failed(At::Commit))?;
        self.counters.committed();
        if !alone {
            self.counters.read(reads);
        }
        Ok(())
    }
}
