//! The card that all transports share: one command at a time, traced, and counted.
//!
//! Each connection, and the modem, is a [`Host`]: the card has the toolkit of each of them apart, so that
//! a proactive command is fetched and answered by the host whose command caused it. A modem is told when
//! another host has reset the card or enabled another profile.

use crate::port::{Counts, Gone, Port};
use crate::trace;
use aid_cli::cli;
use aid_euicc::card::{MAX_NOTIFICATIONS, Terminal};
use aid_rsp::crypto::{CryptoStats, OpCounts};
use std::io;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a modem wants to know of what other hosts did to the card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notice {
    /// Another profile is enabled, or none: what was read of files is void.
    Switched,
    /// The card was reset.
    Reset,
}

/// One of the hosts of a card; the card forgets it when it is dropped.
pub(crate) struct Host<C: Deref<Target = Served>> {
    card: C,
    terminal: Terminal,
}

impl<C: Deref<Target = Served>> Host<C> {
    /// A host that is told what others do, with a function that must not wait for anything.
    pub(crate) fn watching(card: C, tell: impl Fn(Notice) + Send + 'static) -> Self {
        let host = Self::new(card);
        let watchers = &host.card.watchers;
        let mut watchers = watchers.lock().unwrap_or_else(PoisonError::into_inner);
        watchers.push((host.terminal, Box::new(tell)));
        drop(watchers);
        host
    }

    /// A host that asks when it wants to know something.
    pub(crate) fn new(card: C) -> Self {
        let terminal = Terminal(card.hosts.fetch_add(1, Ordering::Relaxed));
        Self { card, terminal }
    }

    /// Executes one command APDU.
    pub(crate) fn transmit(&self, apdu: &[u8]) -> io::Result<Vec<u8>> {
        self.card.transmit(self.terminal, apdu)
    }

    /// Resets the card; the answer to reset.
    pub(crate) fn reset(&self, why: &str) -> io::Result<Vec<u8>> {
        self.card.reset(self.terminal, why)
    }

    /// The answer to reset, without a reset.
    pub(crate) fn atr(&self) -> io::Result<Vec<u8>> {
        self.card.atr()
    }

    /// Another number than before: whatever channels there were are closed, or somebody else's.
    pub(crate) fn start(&self) -> u64 {
        self.card.starts.load(Ordering::Relaxed)
    }
}

impl<C: Deref<Target = Served>> Drop for Host<C> {
    fn drop(&mut self) {
        self.card.leave(self.terminal);
    }
}

/// The card, shared.
pub(crate) struct Served {
    port: Mutex<Box<dyn Port>>,
    stats: Arc<CryptoStats>,
    watchers: Mutex<Vec<(Terminal, Tell)>>,
    /// The number of the next host; 0 is nobody's.
    hosts: AtomicU64,
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
            hosts: AtomicU64::new(1),
            starts: AtomicU64::new(0),
            stopped: (Mutex::new(false), Condvar::new()),
        }
    }

    fn tell(&self, by: Terminal, notice: Notice) {
        let watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        for (host, tell) in watchers.iter() {
            if *host != by {
                tell(notice);
            }
        }
    }

    /// A host has gone. A switch of profiles for which the card waited for it happens now.
    fn leave(&self, host: Terminal) {
        let watchers = self.watchers.lock();
        let mut watchers = watchers.unwrap_or_else(PoisonError::into_inner);
        watchers.retain(|(terminal, _)| *terminal != host);
        drop(watchers);
        // A card that has failed has nothing to forget.
        let Ok(mut port) = self.lock() else { return };
        let before = port.counts();
        port.leave(host);
        let after = port.counts();
        drop(port);
        self.report(host, before, after);
    }

    fn report(&self, by: Terminal, before: Counts, after: Counts) {
        if after.lost_notifications > before.lost_notifications {
            tracing::warn!(
                lost = after.lost_notifications,
                "{MAX_NOTIFICATIONS} notifications wait; the card gave up an old one, which no SM-DP+ will get"
            );
        }
        if after.switches > before.switches {
            self.tell(by, Notice::Switched);
        }
    }

    /// Resets the card; the answer to reset.
    fn reset(&self, by: Terminal, why: &str) -> io::Result<Vec<u8>> {
        let mut port = self.lock()?;
        tracing::trace!(target: cli::TRACE, "<- {why}");
        let atr = port.reset();
        self.starts.fetch_add(1, Ordering::Relaxed);
        drop(port);
        self.tell(by, Notice::Reset);
        Ok(atr)
    }

    /// The answer to reset, without a reset.
    fn atr(&self) -> io::Result<Vec<u8>> {
        let atr = self.lock()?.atr();
        tracing::trace!(target: cli::TRACE, "-> ATR {}", hex::encode(&atr));
        Ok(atr)
    }

    /// Executes one command APDU.
    fn transmit(&self, by: Terminal, apdu: &[u8]) -> io::Result<Vec<u8>> {
        let mut port = self.lock()?;
        let (before, counts) = (self.stats.counts(), port.counts());
        let answer = port.transmit(by, apdu);
        figures(self.stats.counts().since(before));
        let after = port.counts();
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
                self.report(by, counts, after);
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
