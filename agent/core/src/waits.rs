//! What waits for its next try after a passing failure.

use crate::bounds::MAX_CODES;
use crate::event::BootMs;
use crate::retry::{NOTIFICATIONS_MS, Ready, TRIES_KEPT, Wait, pause};
use aid_id::Id;
use heapless::{LinearMap, Vec};

/// Downloads and requests for codes.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    /// Downloads that failed for a passing cause, by their requests.
    pub(crate) downloads: LinearMap<Id, Wait, MAX_CODES>,
    /// Times in this life that a profile did not fit, by request.
    pub(crate) full: LinearMap<Id, u16, MAX_CODES>,
    /// The request whose profile the CMP was asked to make space for.
    pub(crate) space: Option<Id>,
    /// Requests that the CMP answered with "later" in this life.
    pub(crate) answered_later: Vec<Id, MAX_CODES>,
    pub(crate) notifications: Deliveries,
}

/// What the shell does of a factory reset.
#[derive(Debug, Default)]
pub(crate) enum Erasure {
    #[default]
    Idle,
    Running,
    /// It failed, and is tried again then.
    Again(BootMs),
}

/// The delivery of notifications.
#[derive(Debug)]
pub(crate) struct Deliveries {
    /// There may be some on the card.
    pub(crate) due: bool,
    pub(crate) wait: Option<Wait>,
    failures: u16,
    returns: u16,
}

impl Default for Deliveries {
    fn default() -> Self {
        Self {
            due: true,
            wait: None,
            failures: 0,
            returns: 0,
        }
    }
}

impl Deliveries {
    /// Failed tries in a row.
    pub(crate) fn failures(&self) -> u16 {
        self.failures
    }

    /// Whether the next try may begin.
    pub(crate) fn may_begin(&self) -> bool {
        self.due && self.wait.as_ref().is_none_or(|w| w.ready().is_some())
    }

    /// A try begins.
    pub(crate) fn begin(&mut self) {
        if self.wait.take().and_then(|w| w.ready()) == Some(Ready::LinkBack) {
            self.returns = self.returns.saturating_add(1);
            self.failures = self.failures.min(TRIES_KEPT / 2);
        }
    }

    /// The try that was begun at `begun` has failed.
    pub(crate) fn failed(&mut self, begun: BootMs, now: BootMs, cause: &str) {
        self.failures = self.failures.saturating_add(1);
        let end = now.plus(pause(NOTIFICATIONS_MS, self.failures, &[0; 16]));
        self.wait = Some(Wait::new(begun, end, self.returns, cause));
    }

    /// Everything is delivered.
    pub(crate) fn delivered(&mut self) {
        *self = Self {
            due: false,
            ..Self::default()
        };
    }

    /// The card has another one. It may be for a server that is there: it does not wait as long as those
    /// before it.
    pub(crate) fn more(&mut self, now: BootMs) {
        self.due = true;
        if let Some(wait) = &mut self.wait {
            wait.shorten(now.plus(NOTIFICATIONS_MS));
        }
    }
}
