//! A connection at work, and what begins a transaction on it.
//!
//! Whatever a transaction is set to is set by its own first statements and ends with it, so that a pooler in transaction
//! mode may stand between.

use crate::Options;
use deadpool_postgres::{ClientWrapper, Object};
use std::borrow::Cow;
use std::time::Duration;
use tokio::sync::SemaphorePermit;

/// How long decisions that share a transaction wait for a lock: all of them wait then, though it concerns one. Each is
/// made alone afterwards.
const SHARED_LOCK: Duration = Duration::from_millis(50);
/// How long one that is alone waits for a lock at first; each time that was not enough, it is made again and waits twice
/// as long. Where two wait for each other, that ends it before the server notices (`deadlock_timeout`, 1 s).
const LOCK: Duration = Duration::from_millis(100);
/// The longest that a statement takes.
const STATEMENT: Duration = Duration::from_secs(30);
/// After how long without a statement the server ends a transaction, so that one whose client is gone holds no locks.
const IDLE: Duration = Duration::from_secs(30);
/// What was acknowledged is on disk, whatever the server's default is; a default that promises more, such as
/// `remote_apply`, stays.
const DURABLE: &str = "SELECT set_config('synchronous_commit', 'on', true) \
     WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')";

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Several decisions, or one that others may join.
    Together,
    /// One decision, which waited in vain for a lock so many times.
    Alone(u32),
    /// The same, of a decision that shared a transaction in vain.
    Returned(u32),
    /// New tables: it takes as long as it takes.
    Upgrade,
    /// Reads of one state.
    Read,
}

/// How transactions begin.
#[derive(Debug)]
pub(super) struct Begin {
    together: String,
    alone: String,
    upgrade: String,
    read: String,
}

impl Begin {
    pub(super) fn new(options: Options) -> Self {
        let level = match options.serializable {
            true => "SERIALIZABLE",
            false => "READ COMMITTED",
        };
        let idle = set("idle_in_transaction_session_timeout", IDLE);
        let statement = set("statement_timeout", STATEMENT);
        let write = format!("BEGIN ISOLATION LEVEL {level}; {DURABLE}{idle}");
        Self {
            together: format!("{write}{statement}{}", set("lock_timeout", SHARED_LOCK)),
            alone: format!("{write}{statement}"),
            read: format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY{idle}{statement}"),
            upgrade: write,
        }
    }

    pub(super) fn text(&self, purpose: Purpose) -> Cow<'_, str> {
        Cow::Borrowed(match purpose {
            Purpose::Together => &self.together,
            Purpose::Alone(waits) | Purpose::Returned(waits) => {
                let lock = set("lock_timeout", LOCK * (1 << waits.min(8)));
                return Cow::Owned(format!("{}{lock}", self.alone));
            }
            Purpose::Upgrade => &self.upgrade,
            Purpose::Read => &self.read,
        })
    }
}

fn set(name: &str, time: Duration) -> String {
    format!("; SET LOCAL {name} = {}", time.as_millis())
}

/// A connection. Unless it is given back outside of any transaction, it is closed.
pub(super) struct Line<'a> {
    /// There until it is given back or dropped.
    object: Option<Object>,
    /// One of the places for those that are not in a burst.
    _place: Option<SemaphorePermit<'a>>,
}

impl<'a> Line<'a> {
    pub(super) fn new(object: Object, place: Option<SemaphorePermit<'a>>) -> Self {
        Self {
            object: Some(object),
            _place: place,
        }
    }

    /// The connection.
    pub(super) fn client(&self) -> Option<&ClientWrapper> {
        self.object.as_deref()
    }

    /// It is outside of any transaction, and may be used again.
    pub(super) fn give_back(mut self) {
        self.object.take();
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        // Taken from the pool, which would give it to the next.
        drop(self.object.take().map(Object::take));
    }
}
