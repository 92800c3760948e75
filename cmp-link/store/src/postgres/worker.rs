//! Decisions on the connections of one thread: each a transaction, repeated where the server asks for it.

use super::tx::{PostgresTx, store_error};
use super::url::chain;
use crate::counters::Counters;
use crate::tx::{Broken, Connection, Tx};
use crate::{Options, StoreError, Stored};
use deadpool_postgres::{Object, Pool, PoolError, Transaction};
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_postgres::IsolationLevel;

/// How often a decision is made at most that others come in the way of.
const TRIES: u32 = 24;
/// How often for a value that was taken or a row that was gone: once to see what others wrote, and once more.
const CONSTRAINT_TRIES: u32 = 3;
/// How often where the connection fails before the commit.
const CONNECTION_TRIES: u32 = 3;
/// The longest pause between two tries, ms.
const LONGEST_PAUSE_MS: u64 = 100;
/// How long a server that can't be reached is not tried again; decisions fail at once meanwhile.
const DOWN: Duration = Duration::from_millis(250);

/// What a thread works with.
pub(super) struct Worker {
    pool: Pool,
    name: String,
    options: Options,
    counters: Arc<Counters>,
    /// When the server could not be reached last, and why; none once it was reached again.
    unreached: RefCell<Option<(Instant, StoreError)>>,
    /// Somebody tries whether it can be reached again.
    trying: Cell<bool>,
}

/// How a try ended that was not committed.
enum Failure<E> {
    /// Others changed the same: make it again.
    Conflict(StoreError),
    /// A value was taken, or a row gone.
    Constraint(E),
    /// The connection failed before the commit.
    Connection(E),
    /// That is its end.
    Final(E),
}

impl<E: From<StoreError>> Failure<E> {
    fn new((broken, error): (Broken, StoreError)) -> Self {
        match broken {
            Broken::Conflict => Self::Conflict(error),
            Broken::Constraint => Self::Constraint(error.into()),
            // It would not help to try that again at once.
            Broken::Down if matches!(error, StoreError::Full(_)) => Self::Final(error.into()),
            Broken::Down => Self::Connection(error.into()),
            Broken::Failed => Self::Final(error.into()),
        }
    }
}

impl Worker {
    pub(super) fn new(pool: Pool, name: String, options: Options, counters: Arc<Counters>) -> Self {
        Self {
            pool,
            name,
            options,
            counters,
            unreached: RefCell::default(),
            trying: Cell::default(),
        }
    }

    /// Whether the server can be reached.
    pub(super) async fn reach(&self) -> Stored<()> {
        self.connect().await.map(drop)
    }

    async fn connect(&self) -> Stored<Object> {
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
                return Ok(client);
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
    fn close(&self, client: Object) {
        drop(Object::take(client));
        self.pool.retain(|_, _| false);
    }

    fn error(&self, error: &tokio_postgres::Error) -> (Broken, StoreError) {
        let (broken, error) = store_error(&self.name, error);
        if broken == Broken::Down {
            self.counters.failed();
        }
        (broken, error)
    }

    pub(super) async fn decide<T, E: From<StoreError>>(
        &self,
        decide: impl for<'t> AsyncFn(&'t Tx<'t>) -> Result<T, E>,
    ) -> Result<T, E> {
        let (mut conflicts, mut constraints, mut connections) = (0, 0, 0);
        loop {
            let count = |count: &mut u32, most: u32| {
                *count += 1;
                *count >= most
            };
            match self.attempt(&decide).await {
                Ok(value) => return Ok(value),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Conflict(error)) if count(&mut conflicts, TRIES) => {
                    return Err(error.into());
                }
                Err(Failure::Constraint(error)) if count(&mut constraints, CONSTRAINT_TRIES) => {
                    return Err(error);
                }
                Err(Failure::Connection(error)) if count(&mut connections, CONNECTION_TRIES) => {
                    return Err(error);
                }
                Err(_) => {}
            }
            tokio::time::sleep(pause(conflicts + constraints + connections)).await;
        }
    }

    async fn attempt<T, E: From<StoreError>>(
        &self,
        decide: &impl for<'t> AsyncFn(&'t Tx<'t>) -> Result<T, E>,
    ) -> Result<T, Failure<E>> {
        let client = self.connect().await;
        let mut client = client.map_err(|error| Failure::Final(error.into()))?;
        let level = match self.options.serializable {
            true => IsolationLevel::Serializable,
            false => IsolationLevel::ReadCommitted,
        };
        let begun = client.build_transaction().isolation_level(level);
        let (done, usable) = match begun.start().await {
            Ok(transaction) => self.on(transaction, decide).await,
            Err(error) => {
                let (broken, error) = self.error(&error);
                let usable = broken != Broken::Down;
                (Err(Failure::new((broken, error))), usable)
            }
        };
        if !usable {
            self.close(client);
        }
        done
    }

    /// Makes a decision on a transaction; yields whether its connection can be used again, too.
    async fn on<T, E: From<StoreError>>(
        &self,
        transaction: Transaction<'_>,
        decide: &impl for<'t> AsyncFn(&'t Tx<'t>) -> Result<T, E>,
    ) -> (Result<T, Failure<E>>, bool) {
        let (result, broken, wrote) = {
            let on = PostgresTx::new(&transaction, &self.name);
            let tx = Tx::new(Connection::Postgres(on));
            let result = decide(&tx).await;
            self.counters.read(tx.reads.get());
            (result, tx.broken(), tx.wrote.get())
        };
        // SERIALIZABLE says at the commit whether what was read was true, also for a refusal. Where that has written
        // something it can't be asked: then it is as true as with READ COMMITTED.
        let commits = match &result {
            Ok(_) => wrote || self.options.serializable,
            Err(_) => !wrote && self.options.serializable,
        };
        let ended = match (result, broken) {
            (_, Some((Broken::Conflict, error))) => Err(Failure::Conflict(error)),
            (Err(own), Some((Broken::Constraint, _))) => Err(Failure::Constraint(own)),
            (own, Some((Broken::Down, error))) => {
                self.counters.failed();
                // The transaction is dropped unfinished, and its connection closed.
                let again = Failure::new((Broken::Down, error));
                return match (own, again) {
                    (Err(own), Failure::Connection(_)) => (Err(Failure::Connection(own)), false),
                    (Err(own), _) => (Err(Failure::Final(own)), false),
                    (Ok(_), again) => (Err(again), false),
                };
            }
            (Ok(_), Some(broken)) => Err(Failure::new(broken)),
            (own, None) if commits => return self.commit(transaction, own).await,
            (own, _) => own.map_err(Failure::Final),
        };
        let rolled_back = transaction.rollback().await;
        if let Err(error) = &rolled_back {
            tracing::debug!(error = %chain(error), "a transaction was not rolled back");
        }
        (ended, rolled_back.is_ok())
    }

    async fn commit<T, E: From<StoreError>>(
        &self,
        transaction: Transaction<'_>,
        own: Result<T, E>,
    ) -> (Result<T, Failure<E>>, bool) {
        if self.options.refuse_commit.is_some_and(|refuses| refuses()) {
            let rolled_back = transaction.rollback().await.is_ok();
            return (Err(Failure::Conflict(StoreError::Busy)), rolled_back);
        }
        let Err(error) = transaction.commit().await else {
            self.counters.committed();
            return (own.map_err(Failure::Final), true);
        };
        match self.error(&error) {
            // The transaction may be on the server's disk, so it must not be made again.
            (Broken::Down, error) => {
                let text = format!(
                    "the connection failed during the commit, and the change may be stored or not: {error}"
                );
                (Err(Failure::Final(StoreError::Failed(text).into())), false)
            }
            other => (Err(Failure::new(other)), true),
        }
    }

    pub(super) async fn read<T>(
        &self,
        look: impl for<'t> AsyncFnOnce(&'t Tx<'t>) -> Stored<T>,
    ) -> Stored<(T, u64)> {
        let mut look = Some(look);
        let mut tries = 0;
        loop {
            tries += 1;
            let mut client = self.connect().await?;
            let begun = client
                .build_transaction()
                .isolation_level(IsolationLevel::RepeatableRead)
                .read_only(true);
            let (done, usable) = match (begun.start().await, look.take()) {
                (Ok(transaction), Some(look)) => {
                    let (done, usable) = self.look(transaction, look).await;
                    (Some(done), usable)
                }
                // Nothing was read yet; the server may have been started anew.
                (Err(error), unused) => {
                    look = unused;
                    let (broken, error) = self.error(&error);
                    let down = broken == Broken::Down;
                    let again = down && tries < CONNECTION_TRIES;
                    ((!again).then_some(Err(error)), !down)
                }
                (Ok(_), None) => (Some(Err(StoreError::Busy)), true),
            };
            if !usable {
                self.close(client);
            }
            if let Some(done) = done {
                return done;
            }
        }
    }

    async fn look<T>(
        &self,
        transaction: Transaction<'_>,
        look: impl for<'t> AsyncFnOnce(&'t Tx<'t>) -> Stored<T>,
    ) -> (Stored<(T, u64)>, bool) {
        let (result, reads, broken) = {
            let on = PostgresTx::new(&transaction, &self.name);
            let tx = Tx::new(Connection::Postgres(on));
            let result = look(&tx).await;
            (result, tx.reads.get(), tx.broken())
        };
        let down = matches!(broken, Some((Broken::Down, _)));
        let rolled_back = transaction.rollback().await.is_ok();
        (result.map(|value| (value, reads)), rolled_back && !down)
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
