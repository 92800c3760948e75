//! Decisions on the connections of one thread: several in one transaction, or each in its own, repeated where the server
//! asks for it.

use super::burst::Burst;
use super::line::{Begin, Line, Purpose};
use super::tx::{PostgresTx, store_error};
use super::url::chain;
use super::wave::{self, Asked, Forms};
use crate::counters::Counters;
use crate::job::{Ended, Job};
use crate::tx::{Broken, Connection, Tx};
use crate::{Options, StoreError, Stored};
use deadpool_postgres::{Pool, PoolError};
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// How often a decision is made at most that others come in the way of.
const TRIES: u32 = 24;
/// How often where others hold for too long what it locks: it waits for 6 s altogether.
const LOCK_TRIES: u32 = 6;
/// Decisions that share a transaction, at most: whatever one of them locks stays locked until all are stored.
const ROOM: usize = 32;
/// How often for a value that was taken or a row that was gone: once to see what others wrote, and once more.
const CONSTRAINT_TRIES: u32 = 3;
/// How often where the connection fails before the commit.
const CONNECTION_TRIES: u32 = 3;
/// The longest pause between two tries, ms.
const LONGEST_PAUSE_MS: u64 = 100;
/// How long a server that can't be reached is not tried again; decisions fail at once meanwhile.
const DOWN: Duration = Duration::from_millis(250);

/// Something for each kind of transaction that is not shared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places<T> {
    /// Reads.
    pub(super) reads: T,
    /// Decisions that share with nobody.
    pub(super) alone: T,
    /// Decisions that come back from a transaction which they shared.
    pub(super) returned: T,
}

/// What a thread works with.
pub(super) struct Worker {
    pool: Pool,
    /// Connections that transactions which are not shared may use.
    places: Places<Semaphore>,
    begin: Begin,
    forms: Forms,
    /// How many decisions may share a transaction now.
    room: Cell<usize>,
    name: String,
    options: Options,
    counters: Arc<Counters>,
    /// When the server could not be reached last, and why; none once it was reached again.
    unreached: RefCell<Option<(Instant, StoreError)>>,
    /// Somebody tries whether it can be reached again.
    trying: Cell<bool>,
}

/// Why decisions were not stored.
enum Failure {
    /// Another try may succeed.
    Again(Broken, StoreError),
    /// That is its end.
    Final(StoreError),
}

impl Failure {
    fn new(broken: Broken, error: StoreError) -> Self {
        match broken {
            // It would not help to try that again at once.
            Broken::Down if matches!(error, StoreError::Full(_)) => Self::Final(error),
            broken => Self::Again(broken, error),
        }
    }
}

impl Worker {
    /// One with so many connections for transactions that are not shared.
    pub(super) fn new(
        pool: Pool,
        places: Places<usize>,
        name: String,
        options: Options,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            pool,
            places: Places {
                reads: Semaphore::new(places.reads),
                alone: Semaphore::new(places.alone),
                returned: Semaphore::new(places.returned),
            },
            begin: Begin::new(options),
            forms: Forms::default(),
            room: Cell::new(ROOM),
            name,
            options,
            counters,
            unreached: RefCell::default(),
            trying: Cell::default(),
        }
    }

    /// Whether the server can be reached.
    pub(super) async fn reach(&self) -> Stored<()> {
        let line = self.connect(Purpose::Read).await?;
        line.give_back();
        Ok(())
    }

    async fn connect(&self, purpose: Purpose) -> Stored<Line<'_>> {
        let places = match purpose {
            Purpose::Together => None,
            Purpose::Read => Some(&self.places.reads),
            Purpose::Alone(_) | Purpose::Upgrade => Some(&self.places.alone),
            Purpose::Returned(_) => Some(&self.places.returned),
        };
        let place = match places {
            // Never closed.
            Some(places) => places.acquire().await.ok(),
            None => None,
        };
        let unreached = self.unreached.borrow().clone();
        let first = match unreached {
            Some((since, error)) if self.trying.get() || since.elapsed() < DOWN => {
                return Err(error);
            }
            Some(_) => {
                self.trying.set(true);
                true
            }
            None => false,
        };
        let connected = self.pool.get().await;
        if first {
            self.trying.set(false);
        }
        let cause = match connected {
            Ok(client) => {
                self.unreached.take();
                return Ok(Line::new(client, place));
            }
            Err(cause) => cause,
        };
        let reason = match &cause {
            PoolError::Backend(error)
            | PoolError::PostCreateHook(deadpool_postgres::HookError::Backend(error)) => {
                chain(error)
            }
            PoolError::Timeout(_) => "the server does not answer".into(),
            other => other.to_string(),
        };
        let error = StoreError::Open {
            path: self.name.clone(),
            reason,
        };
        // A server that answers with an error, such as "too many connections", may still serve the other connections.
        let answers = matches!(&cause, PoolError::Backend(error) if error.code().is_some());
        if !answers {
            self.counters.failed();
            *self.unreached.borrow_mut() = Some((Instant::now(), error.clone()));
        }
        Err(error)
    }

    /// Closes a connection that failed, and those that wait: they are of the same server.
    fn close(&self, line: Line<'_>) {
        drop(line);
        self.pool.retain(|_, _| false);
    }

    fn error(&self, error: &tokio_postgres::Error) -> (Broken, StoreError) {
        let (broken, error) = store_error(&self.name, error);
        if broken == Broken::Down {
            self.counters.failed();
        }
        (broken, error)
    }

    /// Makes one decision and answers it, repeated where the server asks for it.
    pub(super) async fn alone(&self, mut job: Box<dyn Job>, purpose: Purpose) {
        let (mut conflicts, mut locks, mut constraints, mut connections) = (0, 0, 0, 0);
        let count = |count: &mut u32, most: u32| {
            *count += 1;
            *count < most
        };
        let stored = loop {
            let purpose = match purpose {
                Purpose::Alone(_) => Purpose::Alone(locks),
                Purpose::Returned(_) => Purpose::Returned(locks),
                other => other,
            };
            let failure = match self.attempt(std::slice::from_mut(&mut job), purpose).await {
                Ok(()) => break Ok(()),
                Err(failure) => failure,
            };
            let (again, error) = match failure {
                Failure::Final(error) => (false, error),
                Failure::Again(Broken::Failed, error) => (false, error),
                Failure::Again(Broken::Conflict, error) => (count(&mut conflicts, TRIES), error),
                Failure::Again(Broken::Locked, error) => (count(&mut locks, LOCK_TRIES), error),
                Failure::Again(Broken::Constraint, error) => {
                    (count(&mut constraints, CONSTRAINT_TRIES), error)
                }
                Failure::Again(Broken::Down, error) => {
                    (count(&mut connections, CONNECTION_TRIES), error)
                }
            };
            if !again {
                break Err(error);
            }
            tokio::time::sleep(pause(conflicts + locks + constraints + connections)).await;
        };
        job.answer(stored);
    }

    /// How many decisions may share a transaction now.
    pub(super) fn room(&self) -> usize {
        self.room.get()
    }

    /// Makes several decisions in one transaction and answers them. Yields them where that fails, unanswered: each has to
    /// be made alone.
    pub(super) async fn together(&self, mut jobs: Vec<Box<dyn Job>>) -> Vec<Box<dyn Job>> {
        let size = jobs.len();
        let stored = match self.attempt(&mut jobs, Purpose::Together).await {
            Ok(()) => {
                if size >= self.room.get() {
                    self.room.set((size * 2).min(ROOM));
                }
                Ok(())
            }
            // What may be on disk must not be made again. A full disk may have room for one of several.
            Err(Failure::Final(error)) if size == 1 || !matches!(error, StoreError::Full(_)) => {
                Err(error)
            }
            Err(_) => {
                // Where they are in each other's way, fewer try it next time.
                self.room.set(size.div_ceil(2));
                return jobs;
            }
        };
        for job in jobs {
            job.answer(stored.clone());
        }
        Vec::new()
    }

    /// Makes decisions in one transaction: all are stored, or none.
    async fn attempt(&self, jobs: &mut [Box<dyn Job>], purpose: Purpose) -> Result<(), Failure> {
        // What an earlier attempt yielded is no answer to a failure of this one.
        jobs.iter_mut().for_each(|job| job.forget());
        let line = self.connect(purpose).await.map_err(Failure::Final)?;
        let Some(client) = line.client() else {
            return Err(Failure::Final(StoreError::Failed(
                "the connection is gone".into(),
            )));
        };
        let mut begin = Some(self.begin.text(purpose));
        let burst = Burst::default();
        let run = burst.run(jobs, async |asked: Vec<(usize, Asked)>| {
            let sent = async {
                // What writes is sent when the transaction has begun for certain.
                if !wave::only_reads(&asked)
                    && let Some(text) = begin.take()
                {
                    client.batch_execute(&text).await?;
                }
                let before = begin.take();
                wave::send(client, &self.forms, before.as_deref(), asked).await
            };
            sent.await.map_err(|error| self.error(&error))
        });
        let (ends, reads) = match run.await {
            Ok(ran) => ran,
            Err((broken, error)) => {
                self.end(line, broken, begin.is_none()).await;
                return Err(Failure::new(broken, error));
            }
        };
        // Several are counted when they are stored: otherwise each is made again.
        if jobs.len() == 1 {
            self.counters.read(reads);
        }
        let mut wrote = false;
        for ended in ends {
            match ended {
                Ended::Well(writes) => wrote |= writes,
                // Its refusal is its answer; this is one that is alone.
                Ended::Badly => {
                    self.end(line, Broken::Failed, begin.is_none()).await;
                    return Ok(());
                }
                Ended::Broken(broken, error) => {
                    self.end(line, broken, begin.is_none()).await;
                    return Err(Failure::new(broken, error));
                }
            }
        }
        let begun = begin.is_none();
        // SERIALIZABLE says at the commit whether what was read was true, also for a refusal. Where that has written
        // something it can't be asked: then it is as true as with READ COMMITTED.
        if begun && (wrote || self.options.serializable) {
            self.commit(line).await?;
        } else {
            self.end(line, Broken::Failed, begun).await;
        }
        if jobs.len() > 1 {
            self.counters.read(reads);
        }
        Ok(())
    }

    /// Ends a transaction without storing it.
    async fn end(&self, line: Line<'_>, broken: Broken, begun: bool) {
        if broken == Broken::Down {
            return self.close(line);
        }
        let rolled_back = match line.client() {
            Some(client) if begun => client.batch_execute("ROLLBACK").await,
            _ => Ok(()),
        };
        match rolled_back {
            Ok(()) => line.give_back(),
            Err(error) => {
                tracing::debug!(error = %chain(&error), "a transaction was not rolled back");
                self.close(line);
            }
        }
    }

    async fn commit(&self, line: Line<'_>) -> Result<(), Failure> {
        if self.options.refuse_commit.is_some_and(|refuses| refuses()) {
            self.end(line, Broken::Conflict, true).await;
            return Err(Failure::Again(Broken::Conflict, StoreError::Busy));
        }
        let done = match line.client() {
            Some(client) => client.batch_execute("COMMIT").await,
            None => Ok(()),
        };
        let Err(error) = done else {
            self.counters.committed();
            line.give_back();
            return Ok(());
        };
        match self.error(&error) {
            // The transaction may be on the server's disk, so it must not be made again.
            (Broken::Down, error) => {
                self.close(line);
                let text = format!(
                    "the connection failed during the commit, and the change may be stored or not: {error}"
                );
                Err(Failure::Final(StoreError::Failed(text)))
            }
            (broken, error) => {
                line.give_back();
                Err(Failure::new(broken, error))
            }
        }
    }

    pub(super) async fn read<T>(
        &self,
        look: impl for<'t> AsyncFnOnce(&'t Tx<'t>) -> Stored<T>,
    ) -> Stored<(T, u64)> {
        let mut tries = 0;
        loop {
            tries += 1;
            let line = self.connect(Purpose::Read).await?;
            let Some(client) = line.client() else {
                return Err(StoreError::Busy);
            };
            // Nothing was read yet; the server may have been started anew.
            let begin = self.begin.text(Purpose::Read);
            if let Err(error) = client.batch_execute(&begin).await {
                let (broken, error) = self.error(&error);
                self.end(line, broken, true).await;
                if broken == Broken::Down && tries < CONNECTION_TRIES {
                    continue;
                }
                return Err(error);
            }
            let (result, reads, broken) = {
                let on = PostgresTx::reader(client, &self.name);
                let tx = Tx::new(Connection::Postgres(on));
                let result = look(&tx).await;
                (result, tx.reads.get(), tx.broken())
            };
            let broken = broken.map_or(Broken::Failed, |(broken, _)| broken);
            self.end(line, broken, true).await;
            return result.map(|value| (value, reads));
        }
    }
}

/// A random pause, longer with each try.
fn pause(tries: u32) -> Duration {
    let most = (1_u64 << tries.min(10)).min(LONGEST_PAUSE_MS) * 1000;
    let mut bytes = [0; 8];
    // Without a random number all would wait the longest time.
    let random = match getrandom::fill(&mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes),
        Err(_) => most - 1,
    };
    Duration::from_micros(random % most)
}
