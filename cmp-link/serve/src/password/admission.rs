//! How many passwords a process hashes at the same time, whoever wants them hashed: a few, on threads of their own, so that
//! neither memory nor the runtime's threads are at the mercy of strangers. Some more callers may wait; the rest is turned
//! away at once.

use super::{fits, hash};
use crate::metrics::{Counter, Gauge};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// Passwords that a process hashes at the same time; each takes 19 MiB.
pub const AT_ONCE: usize = 2;
/// Callers that may wait for one of them to end.
pub const QUEUE: usize = 64;
/// Longest wait.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// When whoever was turned away should come again: about as long as a full queue takes.
const COME_AGAIN: Duration = Duration::from_secs(5);

static FREE: Semaphore = Semaphore::const_new(AT_ONCE);
static ROOM: Semaphore = Semaphore::const_new(QUEUE);
static RUNNING: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

static HASHES: Gauge = Gauge::new("aid_password_hashes", "Passwords that are being hashed");
static REFUSED: Counter = Counter::new(
    "aid_password_hashes_refused",
    "Passwords that were not hashed because too many others waited",
);

/// Too many others wait. This says nothing about the password, and must not count as an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy {
    /// When to try again.
    pub retry_after: Duration,
}

/// What the process does with passwords at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Passwords that are being hashed.
    pub running: usize,
    /// The most that were being hashed at the same time since the start; never more than [`AT_ONCE`].
    pub most: usize,
    /// Callers that wait.
    pub waiting: usize,
}

/// What the process does with passwords at the moment.
#[must_use]
pub fn load() -> Load {
    Load {
        running: RUNNING.load(Ordering::SeqCst),
        most: MOST.load(Ordering::SeqCst),
        waiting: QUEUE.saturating_sub(ROOM.available_permits()),
    }
}

/// Waits until the process may hash one more password.
///
/// # Errors
/// [`QUEUE`] others wait already, or the wait took [`PATIENCE`].
pub async fn permit() -> Result<Permit, Busy> {
    let waited = async {
        if let Ok(free) = FREE.try_acquire() {
            return Some(free);
        }
        let _room = ROOM.try_acquire().ok()?;
        timeout(PATIENCE, FREE.acquire()).await.ok()?.ok()
    };
    let free = waited.await.ok_or_else(|| {
        REFUSED.add(&[]);
        Busy {
            retry_after: COME_AGAIN,
        }
    })?;
    Ok(Permit(Arc::new(free)))
}

/// The right to hash one password after the other.
#[derive(Debug)]
pub struct Permit(Arc<SemaphorePermit<'static>>);

impl Permit {
    /// Whether the password fits the hash, as [`super::hash`] makes them. Takes the same time where there is no hash.
    pub async fn verify(&mut self, hash: Option<String>, password: String) -> bool {
        let done = self.run(move || fits(hash.as_deref(), &password)).await;
        done.unwrap_or(false)
    }

    /// The hash of a password. `None` if there is no randomness or the library refuses.
    pub async fn hash(&mut self, password: String) -> Option<String> {
        self.run(move || hash(&password)).await.flatten()
    }

    /// `&mut self`: one password at a time. The thread keeps the permit to its end, also where the caller has gone.
    async fn run<T: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let permit = Arc::clone(&self.0);
        let run = move || {
            let _permit = permit;
            let _running = Running::begin();
            work()
        };
        tokio::task::spawn_blocking(run).await.ok()
    }
}

/// Counts a password while it is being hashed.
struct Running;

impl Running {
    fn begin() -> Self {
        let running = RUNNING.fetch_add(1, Ordering::SeqCst) + 1;
        MOST.fetch_max(running, Ordering::SeqCst);
        HASHES.change(&[], 1);
        Self
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::SeqCst);
        HASHES.change(&[], -1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::sync::mpsc::channel;

    /// The pool is the process's: one test at a time.
    static ALONE: Mutex<()> = Mutex::new(());

    fn alone<T>(test: impl Future<Output = T>) -> T {
        let _alone = ALONE
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(test)
    }

    #[test]
    fn passwords_are_hashed_a_few_at_a_time() {
        alone(async {
            let stored = hash("correct horse").expect("hash");
            let tasks: Vec<_> = (0..AT_ONCE * 4)
                .map(|n| {
                    let stored = Some(stored.clone()).filter(|_| n % 2 == 0);
                    tokio::spawn(async move {
                        let mut permit = permit().await.expect("a permit");
                        permit.verify(stored, "correct horse".into()).await
                    })
                })
                .collect();
            for (n, task) in tasks.into_iter().enumerate() {
                assert_eq!(task.await.expect("a task"), n % 2 == 0);
            }
            let load = load();
            assert!(
                load.running == 0 && load.most > 0 && load.most <= AT_ONCE,
                "{load:?}"
            );
        });
    }

    #[test]
    fn a_full_queue_turns_others_away_and_a_caller_that_goes_leaves_its_place() {
        alone(async {
            let mut held = Vec::new();
            for _ in 0..AT_ONCE {
                held.push(permit().await.expect("a permit"));
            }
            let waiting: Vec<_> = (0..QUEUE).map(|_| tokio::spawn(permit())).collect();
            while load().waiting < QUEUE {
                tokio::task::yield_now().await;
            }
            assert!(permit().await.is_err());
            for task in &waiting {
                task.abort();
            }
            while load().waiting > 0 {
                tokio::task::yield_now().await;
            }
            drop(held);
            assert!(permit().await.is_ok());
        });
    }

    // Whoever hangs up in the middle must not make room for one more hash than there is memory for.
    #[test]
    fn a_permit_lasts_as_long_as_the_work() {
        alone(async {
            let (go, wait) = channel::<()>();
            let mut mine = permit().await.expect("a permit");
            let (begin, begun) = tokio::sync::oneshot::channel();
            let task = tokio::spawn(async move {
                mine.run(move || {
                    let _ = begin.send(());
                    wait.recv()
                })
                .await
            });
            begun.await.expect("it begins");
            task.abort();
            assert!(task.await.expect_err("aborted").is_cancelled());
            assert_eq!(FREE.available_permits(), AT_ONCE - 1);
            drop(go);
            let all = u32::try_from(AT_ONCE).expect("few");
            drop(FREE.acquire_many(all).await.expect("all of them again"));
        });
    }
}
