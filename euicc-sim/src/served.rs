//! The card that all transports share: one command at a time, traced, and counted.
//! Whoever wants to know of it is told when the card asks to be fetched from, or was reset.
//! Called by [`crate::transport`] and [`crate::at`].

use crate::port::{Gone, Port};
use crate::trace;
use aid_cli::cli;
use aid_rsp::crypto::{CryptoStats, OpCounts};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a modem wants to know of what others did to the card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notice {
    /// 91xx: a proactive command waits.
    Proactive,
    /// Somebody reset the card.
    Reset,
}

/// Who is told; [`Served::watch`] gives one out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Watcher(usize);

/// The card, shared.
pub(crate) struct Served {
    port: Mutex<Box<dyn Port>>,
    stats: Arc<CryptoStats>,
    watchers: Mutex<Vec<Tell>>,
    /// How often the card began anew: logical channels of before are gone.
    starts: AtomicU64,
    stopped: (Mutex<bool>, Condvar),
}

/// Tells a watcher.
type Tell = Box<dyn Fn(Notice) + Send>;

impl Served {
    pub(crate) fn new(port: Box<dyn Port>, stats: Arc<CryptoStats>) -> Self {
        Self {
            port: Mutex::new(port),
            stats,
            watchers: Mutex::new(Vec::new()),
            starts: AtomicU64::new(0),
            stopped: (Mutex::new(false), Condvar::new()),
        }
    }

    /// From now on `tell` is called with what others do; it must not wait for anything.
    pub(crate) fn watch(&self, tell: impl Fn(Notice) + Send + 'static) -> Watcher {
        let mut watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        watchers.push(Box::new(tell));
        Watcher(watchers.len() - 1)
    }

    fn tell(&self, by: Option<Watcher>, notice: Notice) {
        let watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        for (at, watcher) in watchers.iter().enumerate() {
            if by != Some(Watcher(at)) {
                watcher(notice);
            }
        }
    }

    /// Resets the card; the answer to reset.
    pub(crate) fn reset(&self, by: Option<Watcher>, why: &str) -> io::Result<Vec<u8>> {
        let mut port = self.lock()?;
        tracing::trace!(target: cli::TRACE, "<- {why}");
        let atr = port.reset();
        self.starts.fetch_add(1, Ordering::Relaxed);
        drop(port);
        self.tell(by, Notice::Reset);
        Ok(atr)
    }

    /// Another number than before: whatever channels there were are closed, or somebody else's.
    pub(crate) fn start(&self) -> u64 {
        self.starts.load(Ordering::Relaxed)
    }

    /// The answer to reset, without a reset.
    pub(crate) fn atr(&self) -> io::Result<Vec<u8>> {
        let atr = self.lock()?.atr();
        tracing::trace!(target: cli::TRACE, "-> ATR {}", hex::encode(&atr));
        Ok(atr)
    }

    /// Executes one command APDU.
    pub(crate) fn transmit(&self, by: Option<Watcher>, apdu: &[u8]) -> io::Result<Vec<u8>> {
        let mut port = self.lock()?;
        let before = self.stats.counts();
        let answer = port.transmit(apdu);
        figures(self.stats.counts().since(before));
        // Under the lock, so that the lines of several clients come in the card's order.
        match &answer {
            Ok(answer) => trace::exchange(apdu, answer),
            Err(Gone) => {
                self.starts.fetch_add(1, Ordering::Relaxed);
                tracing::warn!("the card's power was cut; it starts again");
            }
        }
        drop(port);
        match answer {
            Ok(answer) => {
                if answer.len() >= 2 && answer[answer.len() - 2] == 0x91 {
                    self.tell(by, Notice::Proactive);
                }
                Ok(answer)
            }
            Err(Gone) => {
                self.tell(by, Notice::Reset);
                let gone = io::ErrorKind::ConnectionReset;
                Err(io::Error::new(gone, "the card's power was cut"))
            }
        }
    }

    /// Waits for the card to be stopped, so long at most.
    pub(crate) fn is_stopped_within(&self, time: Duration) -> bool {
        let (stopped, event) = &self.stopped;
        let guard = stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = event.wait_timeout_while(guard, time, |stopped| !*stopped);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// No command begins after this; what was buffered is written.
    pub(crate) fn stop(&self) -> io::Result<()> {
        let (stopped, event) = &self.stopped;
        *stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        event.notify_all();
        // The lock is never released again.
        let mut port = self.port.lock().unwrap_or_else(PoisonError::into_inner);
        let flushed = port.flush();
        std::mem::forget(port);
        flushed
    }

    fn lock(&self) -> io::Result<MutexGuard<'_, Box<dyn Port>>> {
        self.port
            .lock()
            .map_err(|_| io::Error::other("the card has failed; start it again"))
    }
}

/// Counted by benchmarks: what a command cost in cryptography.
fn figures(new: OpCounts) {
    if new != OpCounts::default() {
        let (sign, verify, ecdh, keygen) = (new.sign, new.verify, new.ecdh, new.keygen);
        tracing::debug!(target: "figures", sign, verify, ecdh, keygen, "cryptography");
    }
}
