//! When a try that failed for a passing cause is repeated: after pauses that double up to hours, and
//! soon after the link came back to stay. An outage ends no download (§4.3 steps 7 to 9).
//!
//! A link that comes and goes must not cause more tries than the pauses allow. So "came back to stay"
//! means that the link has been up for [`STEADY_MS`] without a break, and twice as long after each
//! try at a returned link that failed all the same.

use crate::bounds::{Cause, cut};
use crate::event::BootMs;

/// First pause of a download, ms.
pub(crate) const DOWNLOAD_MS: u64 = 1000;
/// First pause of the delivery of notifications, ms.
pub(crate) const NOTIFICATIONS_MS: u64 = 60_000;
/// First pause of a profile whose enabling or deletion fails again and again, ms.
pub(crate) const PROFILE_MS: u64 = 60_000;
/// First pause of a request for a code that failed for a passing cause, ms.
pub(crate) const REQUEST_MS: u64 = 600_000;
/// Longest pause, ms: two hours.
pub(crate) const LONGEST_MS: u64 = 2 * 3600 * 1000;
/// Time without a break after which a link counts as back, ms.
pub(crate) const STEADY_MS: u64 = 15_000;
/// Failed tries that still count after the link came back: the pauses grow on from about four minutes.
pub(crate) const TRIES_KEPT: u16 = 8;
/// Failed tries at a returned link that still count after a restart. Every restart begins with the
/// link coming up; without a limit a car that makes short trips would never try again.
pub(crate) const RETURNS_KEPT: u16 = 3;

/// Pause after this many failed tries in a row: `first`, doubled with each, at most [`LONGEST_MS`].
/// Up to a quarter is taken off, by `spread` and the number of the try, so that cars that failed
/// together do not come back together.
pub(crate) fn pause(first: u64, failures: u16, spread: &[u8; 16]) -> u64 {
    let doublings = u32::from(failures.saturating_sub(1).min(32));
    let whole = first.saturating_mul(1 << doublings).min(LONGEST_MS);
    let drawn = spread.get(usize::from(failures) % spread.len());
    whole - whole / 4 * u64::from(drawn.copied().unwrap_or_default()) / 256
}

/// Waiting for the next try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wait {
    /// When the try that failed was begun; a link that came up later has returned since.
    begun: BootMs,
    /// When the pause ends.
    end: BootMs,
    /// Tries at a returned link that failed.
    returns: u16,
    /// Set once the time has come: how.
    ready: Option<Ready>,
    /// Why the last try failed, one sentence.
    pub(crate) cause: Cause,
}

/// Why the time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ready {
    /// The pause is over.
    Paused,
    /// The link is back.
    LinkBack,
}

impl Wait {
    /// After a try that was begun at `begun` and failed by `now`. `returns` counts the tries at a
    /// returned link that failed, this one included.
    pub(crate) fn new(begun: BootMs, end: BootMs, returns: u16, cause: &str) -> Self {
        Self {
            begun,
            end,
            returns,
            ready: None,
            cause: cut(cause),
        }
    }

    /// When the next try is due, with a link that has been up since `link`.
    fn due(&self, link: Option<BootMs>) -> (BootMs, Ready) {
        let steady = STEADY_MS.saturating_mul(1 << self.returns.min(32));
        let back = link
            .filter(|since| *since >= self.begun)
            .map(|since| since.plus(steady));
        match back {
            Some(back) if back < self.end => (back, Ready::LinkBack),
            _ => (self.end, Ready::Paused),
        }
    }

    /// When the next try is due; `None` when the time has come already.
    pub(crate) fn timeout(&self, link: Option<BootMs>) -> Option<BootMs> {
        self.ready.is_none().then(|| self.due(link).0)
    }

    /// When the next try is or was due.
    pub(crate) fn next(&self, link: Option<BootMs>) -> BootMs {
        self.due(link).0
    }

    /// Notes that the time has come. It stays so when the link goes down again.
    pub(crate) fn ripen(&mut self, now: BootMs, link: Option<BootMs>) {
        let (due, how) = self.due(link);
        if self.ready.is_none() && due <= now {
            self.ready = Some(how);
        }
    }

    /// Ends the pause at this time, if it is not over earlier.
    pub(crate) fn shorten(&mut self, end: BootMs) {
        self.end = self.end.min(end);
    }

    /// Whether the time has come, and how.
    pub(crate) fn ready(&self) -> Option<Ready> {
        self.ready
    }
}
