//! SIGTERM and SIGINT as a clean stop, SIGHUP as the wish to read the configuration again.
//! Called once by a serving program; clones of the result stop its listeners and workers.

use crate::cli::Failure;
use std::future::IntoFuture;
use std::pin::Pin;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Resolves when the program shall stop. Clones resolve together; await it or call [`Stop::wait`].
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

/// Catches SIGTERM and SIGINT from now on. Needs a tokio runtime.
///
/// # Errors
/// The operating system refuses a handler.
pub fn stop() -> Result<Stop, Failure> {
    let wrong = |e| Failure::new(format!("cannot catch SIGTERM and SIGINT: {e}"));
    let mut term = signal(SignalKind::terminate()).map_err(wrong)?;
    let mut int = signal(SignalKind::interrupt()).map_err(wrong)?;
    let (trigger, stop) = manual();
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        tracing::info!("stopping");
        trigger.stop();
    });
    Ok(stop)
}

/// Yields each SIGHUP; those that come while nobody waits are one.
#[derive(Debug)]
pub struct Hangup(tokio::signal::unix::Signal);

/// Catches SIGHUP from now on, which would end the process. Needs a tokio runtime.
///
/// # Errors
/// The operating system refuses a handler.
pub fn hangup() -> Result<Hangup, Failure> {
    signal(SignalKind::hangup())
        .map(Hangup)
        .map_err(|e| Failure::new(format!("cannot catch SIGHUP: {e}")))
}

impl Hangup {
    /// Waits for the next one; false when none can come any more.
    pub async fn wait(&mut self) -> bool {
        self.0.recv().await.is_some()
    }
}

/// Stops by hand what [`Stop`] guards; dropping it stops too.
#[derive(Debug)]
pub struct Trigger(watch::Sender<bool>);

impl Trigger {
    /// Resolves all clones.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

/// A stop without signals, for tests and for programs in one process.
#[must_use]
pub fn manual() -> (Trigger, Stop) {
    let (sender, receiver) = watch::channel(false);
    (Trigger(sender), Stop(receiver))
}

impl Stop {
    /// Resolves when the program shall stop.
    pub async fn wait(mut self) {
        // An error means that the trigger is gone, which stops as well.
        let _ = self.0.wait_for(|stop| *stop).await;
    }

    /// Whether it shall stop already.
    #[must_use]
    pub fn is_set(&self) -> bool {
        *self.0.borrow()
    }
}

impl IntoFuture for Stop {
    type Output = ();
    type IntoFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.wait())
    }
}
