//! What a store has done so far, counted by whichever thread did it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Shared by a store and its threads.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Statements that read.
    reads: AtomicU64,
    /// Transactions that were committed.
    commits: AtomicU64,
    /// Steps of SQLite's virtual machine.
    steps: AtomicU64,
    /// Failures of the database.
    failures: AtomicU64,
    /// How many of them were followed by a check that had room to spare.
    cleared: AtomicU64,
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

    pub(crate) fn stepped(&self, steps: u64) {
        self.steps.fetch_add(steps, Ordering::Relaxed);
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    pub(crate) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Acquire)
    }

    /// Whether one of so many failures was not followed by a check that had room to spare.
    pub(crate) fn are_open(&self, failures: u64) -> bool {
        self.cleared.load(Ordering::Acquire) < failures
    }

    /// A check that began after so many failures had room to spare. Later ones are not cleared by it.
    pub(crate) fn clear(&self, failures: u64) {
        self.cleared.fetch_max(failures, Ordering::AcqRel);
    }
}
