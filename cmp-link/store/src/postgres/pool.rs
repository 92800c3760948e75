//! The connections to a server, and the threads that make decisions on them. A decision borrows from its transaction
//! across its waits, so it stays on one thread; several run there side by side.

use super::line::Purpose;
use super::tls;
use super::url::Server;
use super::worker::{Places, Worker};
use crate::counters::Counters;
use crate::job::{Decide, Job};
use crate::tx::Tx;
use crate::{Options, Schema, StoreError, Stored};
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinSet, LocalSet};

/// Threads that make decisions; the server does most of the work.
const THREADS: usize = 2;
/// Connections of each thread for transactions that are not shared. Each kind has its own: however many decisions wait
/// for a lock, reads go on.
const PLACES: Places<usize> = Places {
    reads: 3,
    alone: 7,
    returned: 3,
};
/// Connections of each thread for transactions that decisions share. While one is at work the next decisions gather.
const BURSTS: usize = 1;
/// Decisions that wait for a thread; whoever comes later waits to be let in.
const QUEUE: usize = 1024;
/// Time to wait for a connection.
const PATIENCE: Duration = Duration::from_secs(10);
/// After how long without an answer a connection is given up, so that decisions do not wait for a server whose machine
/// is gone.
const SILENCE: Duration = Duration::from_secs(30);

type Task = Box<dyn FnOnce(Rc<Worker>) -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// A server and the threads that work with it.
#[derive(Debug)]
pub(crate) struct Postgres {
    threads: Vec<Thread>,
}

#[derive(Debug)]
struct Thread {
    /// Reads.
    looks: mpsc::Sender<Task>,
    /// Decisions that are made alone.
    alone: mpsc::Sender<Task>,
    /// Decisions that share transactions.
    together: mpsc::Sender<Box<dyn Job>>,
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
        mut options: Options,
        counters: &Arc<Counters>,
    ) -> Stored<Self> {
        options.serializable |= server.serializable;
        let mut threads = Vec::new();
        for number in 0..THREADS {
            let (looks, looking) = mpsc::channel(QUEUE);
            let (alone, deciding) = mpsc::channel(QUEUE);
            let (together, sharing) = mpsc::channel(QUEUE);
            let queues = Queues {
                looks: looking,
                alone: deciding,
                together: sharing,
            };
            let pool = pool(server, &name)?;
            let (name, counters) = (name.clone(), Arc::clone(counters));
            let thread = thread::Builder::new().name(format!("store-{number}"));
            let worker = move || Worker::new(pool, PLACES, name, options, counters);
            let handle = thread.spawn(move || work(worker(), queues));
            threads.push(Thread {
                looks,
                alone,
                together,
                load: Arc::default(),
                handle: handle.map_err(|e| StoreError::Failed(e.to_string()))?,
            });
        }
        let opened = Self { threads };
        let reached = opened.on_thread(async |worker| worker.reach().await);
        reached.await??;
        Ok(opened)
    }

    /// That with the least to do: where all connections of one wait for locks, the other goes on.
    fn thread(&self) -> Stored<&Thread> {
        let threads = self.threads.iter();
        let thread = threads.min_by_key(|thread| thread.load.load(Ordering::Relaxed));
        thread.ok_or_else(closed)
    }

    /// Runs a read on one of the threads.
    async fn on_thread<T: Send + 'static>(
        &self,
        task: impl AsyncFnOnce(Rc<Worker>) -> T + Send + 'static,
    ) -> Stored<T> {
        let thread = self.thread()?;
        let load = Load::new(&thread.load);
        let (answer, answered) = oneshot::channel();
        let task: Task = Box::new(|worker| {
            Box::pin(async move {
                let done = task(worker).await;
                drop(load);
                // Whoever asked may be gone.
                let _ = answer.send(done);
            })
        });
        thread.looks.send(task).await.map_err(|_| closed())?;
        // What panics takes its answer along, and nothing else.
        answered
            .await
            .map_err(|_| StoreError::Failed("a decision panicked".into()))
    }

    /// Makes a decision in a transaction of its own; yields its result when it is on the server's disk.
    pub(crate) async fn decide<T, E>(
        &self,
        decide: impl for<'t> AsyncFn(&'t Tx<'t>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.decide_for(decide, Purpose::Alone(0)).await
    }

    async fn decide_for<T, E>(
        &self,
        decide: impl for<'t> AsyncFn(&'t Tx<'t>) -> Result<T, E> + Send + 'static,
        purpose: Purpose,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let thread = self.thread()?;
        let (answer, answered) = oneshot::channel();
        let job = Box::new(Decide::new(decide, answer, Load::new(&thread.load)));
        let task: Task =
            Box::new(move |worker| Box::pin(async move { worker.alone(job, purpose).await }));
        thread.alone.send(task).await.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }

    /// Makes a decision, in a transaction with others that come at the same time; yields its result when it is on the
    /// server's disk.
    pub(crate) async fn decide_together<T, E>(
        &self,
        decide: impl for<'t> AsyncFn(&'t Tx<'t>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let thread = self.thread()?;
        let (answer, answered) = oneshot::channel();
        let job = Box::new(Decide::new(decide, answer, Load::new(&thread.load)));
        thread.together.send(job).await.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
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
        let prepare = async move |tx: &Tx<'_>| schema.prepare_postgres(tx).await;
        self.decide_for(prepare, Purpose::Upgrade).await?;
        for step in schema.steps() {
            let step = async move |tx: &Tx<'_>| schema.migrate_postgres(tx, step).await;
            self.decide_for(step, Purpose::Upgrade).await?;
        }
        Ok(())
    }

    /// Waits until all that was asked for is done.
    pub(crate) fn close(self) {
        for thread in self.threads {
            let Thread {
                looks,
                alone,
                together,
                handle,
                ..
            } = thread;
            drop((looks, alone, together));
            if handle.join().is_err() {
                tracing::error!("a thread of the database panicked");
            }
        }
    }
}

fn closed() -> StoreError {
    StoreError::Failed("the database is closed".into())
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
        .max_size(PLACES.reads + PLACES.alone + PLACES.returned + BURSTS)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(PATIENCE))
        .create_timeout(Some(PATIENCE))
        .build();
    built.map_err(|e| not_opened(e.to_string()))
}

/// What waits for a thread.
struct Queues {
    looks: mpsc::Receiver<Task>,
    alone: mpsc::Receiver<Task>,
    together: mpsc::Receiver<Box<dyn Job>>,
}

fn work(worker: Worker, queues: Queues) {
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
    LocalSet::new().block_on(&runtime, serve(Rc::new(worker), queues));
}

/// Takes as much from each queue as there are connections for its kind: the rest waits there, in its order.
async fn serve(worker: Rc<Worker>, queues: Queues) {
    let Queues {
        mut looks,
        mut alone,
        mut together,
    } = queues;
    let (mut reads, mut decisions) = (JoinSet::new(), JoinSet::new());
    let (mut bursts, mut returned) = (JoinSet::new(), JoinSet::new());
    let (mut has_looks, mut has_alone, mut has_jobs) = (true, true, true);
    loop {
        tokio::select! {
            Some(_) = reads.join_next() => {}
            Some(_) = decisions.join_next() => {}
            Some(_) = returned.join_next() => {}
            Some(burst) = bursts.join_next() => {
                for job in burst.unwrap_or_default() {
                    let worker = Rc::clone(&worker);
                    returned.spawn_local(async move {
                        worker.alone(job, Purpose::Returned(0)).await;
                    });
                }
            }
            task = looks.recv(), if has_looks && reads.len() < PLACES.reads => match task {
                Some(task) => { reads.spawn_local(task(Rc::clone(&worker))); }
                None => has_looks = false,
            },
            task = alone.recv(), if has_alone && decisions.len() < PLACES.alone => match task {
                Some(task) => { decisions.spawn_local(task(Rc::clone(&worker))); }
                None => has_alone = false,
            },
            job = together.recv(), if has_jobs && bursts.len() < BURSTS && returned.len() < QUEUE => match job {
                Some(first) => {
                    let mut burst = vec![first];
                    while burst.len() < worker.room() && let Ok(next) = together.try_recv() {
                        burst.push(next);
                    }
                    let worker = Rc::clone(&worker);
                    bursts.spawn_local(async move { worker.together(burst).await });
                }
                None => has_jobs = false,
            },
            else => break,
        }
    }
}
