//! Charges the budget of bytes per day (`budget`), and says when it has room.

use crate::agent::Agent;
use crate::budget::{Allowance, Budget, DAY_MS, MAX_DAILY_BYTES, MIN_DAILY_BYTES, TRY_BYTES};
use crate::durable::Record;
use crate::event::BootMs;
use alloc::{format, string::String};

impl Agent {
    /// Sets the bytes per day for what the car repeats by itself, [`MIN_DAILY_BYTES`] to [`MAX_DAILY_BYTES`]; what is
    /// outside of these counts as the nearer one.
    #[must_use]
    pub fn with_daily_bytes(mut self, bytes: u64) -> Self {
        self.budget.daily = bytes.clamp(MIN_DAILY_BYTES, MAX_DAILY_BYTES);
        self
    }

    /// This life begins.
    pub(crate) fn begin_budget(&mut self, now: BootMs) {
        self.budget.since = now;
    }

    /// The budget at `now`.
    #[must_use]
    pub fn allowance(&self, now: BootMs) -> Allowance {
        let Budget { daily, holds, .. } = self.budget;
        Allowance {
            daily,
            spent: self.spent(now),
            next: holds.then(|| self.affordable_at()),
        }
    }

    /// Time for which the durable figure has drained before [`Budget::since`], by the wall clock, ms: the car was off. A
    /// clock that stands before the figure's time says nothing.
    fn drained_before(&self) -> u64 {
        let Some((at, unix)) = self.offline.clock else {
            return 0;
        };
        let (_, noted) = self.durable().spent();
        if noted == 0 {
            return 0;
        }
        let wall = unix.saturating_sub(noted).saturating_mul(1000);
        wall.saturating_sub(at.0.saturating_sub(self.budget.since.0))
    }

    /// Bytes that count at `now`.
    fn spent(&self, now: BootMs) -> u64 {
        let (bytes, _) = self.durable().spent();
        let elapsed = now
            .0
            .saturating_sub(self.budget.since.0)
            .saturating_add(self.drained_before());
        // After two days nothing is left of anything; the product stays below 2^64.
        let drained = self.budget.daily.saturating_mul(elapsed.min(2 * DAY_MS)) / DAY_MS;
        bytes.saturating_sub(drained)
    }

    /// When one more try fits into the budget; may have passed.
    pub(crate) fn affordable_at(&self) -> BootMs {
        let (bytes, _) = self.durable().spent();
        let over = bytes
            .saturating_add(TRY_BYTES)
            .saturating_sub(self.budget.daily);
        let drains_in = over.saturating_mul(DAY_MS).div_ceil(self.budget.daily);
        let since = self.budget.since;
        since.plus(drains_in.saturating_sub(self.drained_before()))
    }

    /// Whether the car may try something again by itself; notes that something waits where not.
    pub(crate) fn can_afford(&mut self, now: BootMs) -> bool {
        let can = self.affordable_at() <= now;
        self.budget.holds |= !can;
        can
    }

    /// Nothing is known to wait for the budget.
    pub(crate) fn release_budget(&mut self) {
        self.budget.holds = false;
    }

    /// When what waits for the budget goes on.
    pub(crate) fn budget_timeout(&self) -> Option<BootMs> {
        self.budget.holds.then(|| self.affordable_at())
    }

    /// Why a try waits for the budget, with the cause of its last failure.
    pub(crate) fn over_budget(&self, cause: &str) -> String {
        let mib = self.budget.daily / (1024 * 1024);
        format!("the car has used up its {mib} MiB a day for repetitions; before: {cause}")
    }

    /// Charges a try that is about to begin, in the journal.
    pub(crate) fn reserve(&mut self, now: BootMs) {
        self.budget.reserved = true;
        self.charge(now, TRY_BYTES, 0);
    }

    /// The operation under way has moved so many more bytes.
    pub(crate) fn moved(&mut self, bytes: u64) {
        self.budget.moved = self.budget.moved.saturating_add(bytes);
    }

    /// Charges what the operation that has ended really took. Without a reservation it was a driver's and went well, unless
    /// it `counts`.
    pub(crate) fn settle_spent(&mut self, now: BootMs, counts: bool) {
        let moved = core::mem::take(&mut self.budget.moved);
        if core::mem::take(&mut self.budget.reserved) {
            self.charge(now, moved, TRY_BYTES);
        } else if counts && moved > 0 {
            self.charge(now, moved, 0);
        }
    }

    fn charge(&mut self, now: BootMs, add: u64, give_back: u64) {
        let bytes = self.spent(now).saturating_add(add);
        // Whatever drivers asked for, nothing waits for much more than a day.
        let bytes = bytes
            .saturating_sub(give_back)
            .min(self.budget.daily.saturating_mul(2));
        let (_, noted) = self.durable().spent();
        let wall = self.offline.clock.map_or(0, |(at, unix)| {
            unix.saturating_add(now.0.saturating_sub(at.0) / 1000)
        });
        // A clock that was set back, or stands at 1970 at each start, drains nothing.
        self.record(Record::Spent(bytes, wall.max(noted)));
        self.budget.since = now;
    }
}
