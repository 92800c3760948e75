//! What a store has done so far, counted by whichever thread did it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Shared by a store and its threads.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Statements that read.
    reads: AtomicU64,
    /// Transactions that were committed.
    commits: AtomicU64,
    /// The database failed since the last check that had room to spare.
    failed: AtomicBool,
}

impl Counters {
    pub(crate) fn read(&self, statements: u64) {
        self.reads.fetch_add(statements, Ordering::Relaxed);
    }

    pub(crate) fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    pub(crate) fn committed(&self) {
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    pub(crate) fn failed(&self) {
        self.failed.store(true, Ordering::Release);
    }

    /// Whether it failed, which is forgotten then.
    pub(crate) fn take_failed(&self) -> bool {
        self.failed.swap(false, Ordering::AcqRel)
    }
}
