//! Bytes per day over the admin link for what the car repeats by itself: tries of downloads after the first, and deliveries
//! of notifications that nobody's login caused.
//!
//! What was spent is in the journal and drains at an even rate, so that a car that starts again and again spends no more
//! than one that goes on. A try is charged [`TRY_BYTES`] before it begins, and what it really took when it ends: a try that
//! a power cut ends is paid for. What a driver asks for (the first try of a download, the notifications of a login) is
//! charged, and never waits for the budget. A budget that is spent delays a try and ends nothing.

use crate::event::BootMs;

/// Bytes per day where the car has no other budget: 10 MiB, about a hundred tries of a usual profile.
pub const DAILY_BYTES: u64 = 10 * 1024 * 1024;
/// Smallest budget, bytes per day.
pub const MIN_DAILY_BYTES: u64 = 1024 * 1024;
/// Largest budget, bytes per day.
pub const MAX_DAILY_BYTES: u64 = 64 * 1024 * 1024 * 1024;
/// Bytes that a try is charged until it is known what it took.
pub const TRY_BYTES: u64 = 64 * 1024;

pub(crate) const DAY_MS: u64 = 24 * 3600 * 1000;

/// The budget in this life.
#[derive(Debug)]
pub(crate) struct Budget {
    /// Bytes per day.
    pub(crate) daily: u64,
    /// When the durable figure was noted; in an earlier life: at its end, which is the beginning of this one.
    pub(crate) since: BootMs,
    /// Bytes that the operation under way has moved.
    pub(crate) moved: u64,
    /// The operation under way was charged [`TRY_BYTES`].
    pub(crate) reserved: bool,
    /// Something is due that waits for nothing but the budget.
    pub(crate) holds: bool,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            daily: DAILY_BYTES,
            since: BootMs::default(),
            moved: 0,
            reserved: false,
            holds: false,
        }
    }
}

/// The budget of bytes per day and what is left of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Bytes per day.
    pub daily: u64,
    /// Bytes that count at present; more than `daily` where drivers asked for more. They drain by `daily` per day.
    pub spent: u64,
    /// When a try that waits for nothing but the budget goes on; `None` where none waits.
    pub next: Option<BootMs>,
}
