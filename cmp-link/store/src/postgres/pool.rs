//! The connections to a server, and the threads that make decisions on them. A decision borrows from its transaction
//! across its waits, so it stays on one thread; several run there side by side.

use super::tls;
use super::url::Server;
use super::worker::Worker;
use crate::counters::Counters;
use crate::tx::Tx;
use crate::{Options, Schema, StoreError, Stored};
use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

/// Threads that make decisions; the server does most of the work.
const THREADS: usize = 2;
/// Connections of each thread, which is also how many decisions it makes side by side.
const CONNECTIONS: usize = 8;
/// Decisions that wait for a thread; whoever comes later waits to be let in.
const QUEUE: usize = 1024;
/// Time to wait for a connection.
const PATIENCE: Duration = Duration::from_secs(10);
/// After how long without an answer a connection is given up, so that decisions do not wait for a server whose machine
/// is gone.
const SILENCE: Duration = Duration::from_secs(30);
/// What each connection is set to. What was acknowledged is on disk, whatever the server's default is; a default that
/// promises more, such as `remote_apply`, stays.
const SETTINGS: &str = "SELECT set_config('synchronous_commit', 'on', false) \
     WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')";

type Task = Box<dyn FnOnce(Rc<Worker>) -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// A server and the threads that work with it.
#[derive(Debug)]
pub(crate) struct Postgres {
    threads: Vec<Thread>,
}

#[derive(Debug)]
struct Thread {
    queue: mpsc::Sender<Task>,
    /// Decisions that it makes or that wait for it.
    load: Arc<AtomicUsize>,
    handle: JoinHandle<()>,
}

/// A decision that counts as load as long as it is there.
struct Load(Arc<AtomicUsize>);

impl Load {
    fn new(load: &Arc<AtomicUsize>) -> Self {
        load.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(load))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Postgres {
    /// Reaches the server once, and starts the threads.
    pub(crate) async fn open(
        server: &Server,
        name: String,
        options: Options,
        counters: &Arc<Counters>,
    ) -> Stored<Self> {
        let mut threads = Vec::new();
        for number in 0..THREADS {
            let (queue, tasks) = mpsc::channel(QUEUE);
            let pool = pool(server, &name)?;
            let (name, counters) = (name.clone(), Arc::clone(counters));
            let thread = thread::Builder::new().name(format!("store-{number}"));
            let handle =
                thread.spawn(move || work(Worker::new(pool, name, options, counters), tasks));
            threads.push(Thread {
                queue,
                load: Arc::default(),
                handle: handle.map_err(|e| StoreError::Failed(e.to_string()))?,
            });
        }
        let opened = Self { threads };
        let reached = opened.on_thread(async |worker| worker.reach().await);
        reached.await??;
        Ok(opened)
    }

    /// Runs something on one of the threads.
    async fn on_thread<T: Send + 'static>(
        &self,
        task: impl AsyncFnOnce(Rc<Worker>) -> T + Send + 'static,
    ) -> Stored<T> {
        let gone = || StoreError::Failed("the database is closed".into());
        // That with the least to do: where all connections of one wait for locks, the other goes on.
        let threads = self.threads.iter();
        let thread = threads.min_by_key(|thread| thread.load.load(Ordering::Relaxed));
        let thread = thread.ok_or_else(gone)?;
        let load = Load::new(&thread.load);
        let (answer, answered) = oneshot::channel();
        let task: Task = Box::new(|worker| {
            Box::pin(async move {
                let done = task(worker).await;
                drop(load);
                // Whoever asked may be gone; the decision stands.
                let _ = answer.send(done);
            })
        });
        thread.queue.send(task).await.map_err(|_| gone())?;
        // A decision that panics takes its answer along, and nothing else.
        answered
            .await
            .map_err(|_| StoreError::Failed("a decision panicked".into()))
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
        self.decide(async move |tx| schema.prepare_postgres(tx).await)
            .await?;
        for step in schema.steps() {
            self.decide(async move |tx| schema.migrate_postgres(tx, step).await)
                .await?;
        }
        Ok(())
    }

    /// Waits until all that was asked for is done.
    pub(crate) fn close(self) {
        for Thread { queue, handle, .. } in self.threads {
            drop(queue);
            if handle.join().is_err() {
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
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(SILENCE);
    }
    if config.get_keepalives_interval().is_none() {
        config.keepalives_idle(SILENCE / 2);
        config.keepalives_interval(SILENCE / 6);
        config.keepalives_retries(3);
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
                // And not a notice for each table that is there as it should be.
                let text = format!("{SETTINGS}; SET client_min_messages = warning");
                client
                    .batch_execute(&text)
                    .await
                    .map_err(HookError::Backend)
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
