//! Figures of what an LPA costs: C-APDUs and bytes on its connections.
//! Written by `card` and `http`; the agent and the command line show them.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Takes counts; shared between threads.
pub trait Meter: fmt::Debug + Send + Sync {
    /// One C-APDU was sent.
    fn apdu(&self);
    /// TCP payload was received, bytes.
    fn received(&self, bytes: u64);
    /// TCP payload was sent, bytes.
    fn sent(&self, bytes: u64);
}

/// A meter that just adds up.
#[derive(Debug, Default)]
pub struct Tally {
    /// C-APDUs.
    pub apdus: AtomicU64,
    /// TCP payload received, bytes.
    pub received: AtomicU64,
    /// TCP payload sent, bytes.
    pub sent: AtomicU64,
}

impl Meter for Tally {
    fn apdu(&self) {
        self.apdus.fetch_add(1, Ordering::Relaxed);
    }
    fn received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }
    fn sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }
}
