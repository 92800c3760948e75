//! The connections to a server, and the threads that make decisions on them. A decision borrows from its transaction
//! across its waits, so it stays on one thread; several run there side by side.

use super::tls;
use super::tx::{PostgresTx, store_error};
use super::url::{Server, chain};
use crate::tx::{Broken, Connection, Tx};
use crate::{Schema, StoreError, Stored};
use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime,
};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;
use tokio_postgres::IsolationLevel;

/// Threads that make decisions; the server does most of the work.
const THREADS: usize = 2;
/// Connections of each thread, which is also how many decisions it makes side by side.
const CONNECTIONS: usize = 8;
/// Decisions that wait for a thread; whoever comes later waits to be let in.
const QUEUE: usize = 1024;
/// Time to wait for a connection.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a decision is made at most, until it is committed.
const TRIES: u32 = 24;
/// Of these, how often for a value that was taken or a row that was gone: once to see what others wrote, and once more.
const CONSTRAINT_TRIES: u32 = 3;
/// The longest pause between two tries, ms.
const LONGEST_PAUSE_MS: u64 = 100;

type Task = Box<dyn FnOnce(Rc<Worker>) -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// A server and the threads that work with it.
#[derive(Debug)]
pub(crate) struct Postgres {
    queues: Vec<mpsc::Sender<Task>>,
    next: std::sync::atomic::AtomicUsize,
    threads: Vec<JoinHandle<()>>,
}

/// What a thread works with.
struct Worker {
    pool: Pool,
    name: String,
    serializable: bool,
}

/// How a try ended that was not committed.
enum Failure<E> {
    /// Make it again.
    Again(StoreError),
    /// So often at most.
    Constraint(E),
    /// That is its end.
    Final(E),
}

impl Postgres {
    /// Reaches the server once, and starts the threads.
    pub(crate) async fn open(server: &Server, name: String, serializable: bool) -> Stored<Self> {
        let (mut queues, mut threads) = (Vec::new(), Vec::new());
        for number in 0..THREADS {
            let (queue, tasks) = mpsc::channel(QUEUE);
            let pool = pool(server, &name)?;
            let name = name.clone();
            let thread = thread::Builder::new().name(format!("store-{number}"));
            let thread = thread.spawn(move || {
                let worker = Worker {
                    pool,
                    name,
                    serializable,
                };
                work(worker, tasks);
            });
            threads.push(thread.map_err(|e| StoreError::Failed(e.to_string()))?);
            queues.push(queue);
        }
        let opened = Self {
            queues,
            next: std::sync::atomic::AtomicUsize::default(),
            threads,
        };
        let reached = opened
            .on_thread(async |worker| worker.connect().await.map(|_| ()))
            .await?;
        reached?;
        Ok(opened)
    }

    /// Runs something on one of the threads.
    async fn on_thread<T: Send + 'static>(
        &self,
        task: impl AsyncFnOnce(Rc<Worker>) -> T + Send + 'static,
    ) -> Stored<T> {
        let (answer, answered) = oneshot::channel();
        let task: Task = Box::new(|worker| {
            Box::pin(async move {
                // Whoever asked may be gone; the decision stands.
                let _ = answer.send(task(worker).await);
            })
        });
        let next = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let gone = || StoreError::Failed("the database is closed".into());
        let queue = self.queues.get(next % THREADS).ok_or_else(gone)?;
        queue.send(task).await.map_err(|_| gone())?;
        // A decision that panics takes its answer along, and nothing else.
        answered
            .await
            .map_err(|_| StoreError::Failed("a decision was not made".into()))
    }

    /// Makes a decision; yields its result when it is on the server's disk.
    pub(crate) async fn decide<T, E>(
        &self,
        decide: impl for<'t> AsyncFn(&'t Tx<'t>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.on_thread(async move |worker| worker.decide(decide).await)
            .await?
    }

    /// Runs `look` on one state of the database; yields its result and how many reads it made.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        look: impl for<'t> AsyncFnOnce(&'t Tx<'t>) -> Stored<T> + Send + 'static,
    ) -> Stored<(T, u64)> {
        self.on_thread(async move |worker| worker.read(look).await)
            .await?
    }

    /// Brings the tables up to date.
    pub(crate) async fn migrate(&self, schema: &'static Schema) -> Stored<()> {
        for step in schema.steps() {
            self.decide(async move |tx| schema.migrate_postgres(tx, step).await)
                .await?;
        }
        self.decide(async move |tx| schema.refuse_newer(tx).await)
            .await
    }

    /// Waits until all that was asked for is done.
    pub(crate) fn close(self) {
        drop(self.queues);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the database panicked");
            }
        }
    }
}

fn pool(server: &Server, name: &str) -> Stored<Pool> {
    let not_opened = |reason: String| StoreError::Open {
        path: name.to_owned(),
        reason,
    };
    let connector = tls::connector(&server.encryption).map_err(&not_opened)?;
    let mut config = server.config.clone();
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(PATIENCE);
    }
    let recycling_method = RecyclingMethod::Fast;
    let manager = Manager::from_config(config, connector, ManagerConfig { recycling_method });
    let built = Pool::builder(manager)
        .max_size(CONNECTIONS)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(PATIENCE))
        .create_timeout(Some(PATIENCE))
        .post_create(Hook::async_fn(|client, _| {
            Box::pin(async move {
                // Whatever the server's default is: what was acknowledged is on disk. And not a notice for each table
                // that is there as it should be.
                let text = "SET synchronous_commit = on; SET client_min_messages = warning";
                client.batch_execute(text).await.map_err(HookError::Backend)
            })
        }))
        .build();
    built.map_err(|e| not_opened(e.to_string()))
}

fn work(worker: Worker, mut tasks: mpsc::Receiver<Task>) {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "a thread of the database can't start");
            return;
        }
    };
    let worker = Rc::new(worker);
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        let mut running = tokio::task::JoinSet::new();
        loop {
            // As many as there are connections: the rest waits in the queue, in its order.
            tokio::select! {
                _ = running.join_next(), if running.len() >= CONNECTIONS => {}
                task = tasks.recv(), if running.len() < CONNECTIONS => {
                    let Some(task) = task else { break };
                    running.spawn_local(task(Rc::clone(&worker)));
                    while running.try_join_next().is_some() {}
                }
            }
        }
        while running.join_next().await.is_some() {}
    });
}

impl Worker {
    async fn connect(&self) -> Stored<deadpool_postgres::Object> {
        self.pool.get().await.map_err(|error| {
            let reason = match &error {
                PoolError::Backend(error) => chain(error),
                PoolError::PostCreateHook(error) => chain(error),
                PoolError::Timeout(_) => "the server does not answer".into(),
                other => other.to_string(),
            };
            StoreError::Open {
                path: self.name.clone(),
                reason,
            }
        })
    }

    fn error(&self, error: &tokio_postgres::Error) -> (Broken, StoreError) {
        store_error(&self.name, error)
    }

    async fn decide<T, E: From<StoreError>>(
        &self,
        decide: impl for<'t> AsyncFn(&'t Tx<'t>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut tries = 0;
        loop {
            tries += 1;
            let error = match self.attempt(&decide).await {
                Ok(value) => return Ok(value),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Constraint(error)) if tries >= CONSTRAINT_TRIES => return Err(error),
                Err(Failure::Constraint(_)) => StoreError::Busy,
                Err(Failure::Again(error)) => error,
            };
            if tries >= TRIES {
                return Err(error.into());
            }
            tokio::time::sleep(pause(tries)).await;
        }
    }

    async fn attempt<T, E: From<StoreError>>(
        &self,
        decide: &impl for<'t> AsyncFn(&'t Tx<'t>) -> Result<T, E>,
    ) -> Result<T, Failure<E>> {
        let failed = |(broken, error): (Broken, StoreError)| match broken {
            Broken::Conflict => Failure::Again(error),
            Broken::Constraint => Failure::Constraint(error.into()),
            Broken::Failed => Failure::Final(error.into()),
        };
        let client = self.connect().await;
        let mut client = client.map_err(|error| Failure::Final(error.into()))?;
        let level = match self.serializable {
            true => IsolationLevel::Serializable,
            false => IsolationLevel::ReadCommitted,
        };
        let begun = client
            .build_transaction()
            .isolation_level(level)
            .start()
            .await;
        let transaction = begun.map_err(|e| failed(self.error(&e)))?;
        let (result, broken, wrote) = {
            let tx = Tx::new(Connection::Postgres(PostgresTx::new(
                &transaction,
                &self.name,
            )));
            let result = decide(&tx).await;
            (result, tx.broken.take(), tx.wrote.get())
        };
        let ended = match (result, broken) {
            (_, Some((Broken::Conflict, error))) => Err(Failure::Again(error)),
            (Err(own), Some((Broken::Constraint, _))) => Err(Failure::Constraint(own)),
            (Err(own), _) => Err(Failure::Final(own)),
            (Ok(_), Some(broken)) => Err(failed(broken)),
            // SERIALIZABLE says at the commit whether what was read was true.
            (Ok(value), None) if wrote || self.serializable => match transaction.commit().await {
                Ok(()) => return Ok(value),
                // The transaction is over, one way or the other: its end was reported, or the connection is gone.
                Err(error) => return Err(failed(self.error(&error))),
            },
            (Ok(value), None) => Ok(value),
        };
        // A connection that can't even roll back is closed by the pool, and the server does it.
        if let Err(error) = transaction.rollback().await {
            tracing::debug!(error = %chain(&error), "a transaction was not rolled back");
        }
        ended
    }

    async fn read<T>(
        &self,
        look: impl for<'t> AsyncFnOnce(&'t Tx<'t>) -> Stored<T>,
    ) -> Stored<(T, u64)> {
        let mut client = self.connect().await?;
        let transaction = client
            .build_transaction()
            .isolation_level(IsolationLevel::RepeatableRead)
            .read_only(true)
            .start()
            .await
            .map_err(|e| self.error(&e).1)?;
        let (result, reads) = {
            let tx = Tx::new(Connection::Postgres(PostgresTx::new(
                &transaction,
                &self.name,
            )));
            (look(&tx).await, tx.reads.get())
        };
        transaction.rollback().await.map_err(|e| self.error(&e).1)?;
        Ok((result?, reads))
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
