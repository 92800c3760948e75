//! Orders, bindings and notifications in SQL; what was acknowledged is on disk.
//! Called by `service`, and by the command line for its lists. Only simple column types.

mod open;
mod read;
mod write;

use crate::core::Order;
use aid_store::writer::Writer;
use serde::Serialize;
use sqlx::AnyPool;

/// The store did not do it; nothing of the change happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No space.
    #[error("the disk of the database {0} is full; free some space, nothing was lost")]
    Full(String),
    /// Not there, not readable, or no database.
    #[error("cannot open the database {path}: {reason}; check path and permissions")]
    Open {
        /// The file.
        path: String,
        /// The driver's words.
        reason: String,
    },
    /// Somebody else changed the order in between: read it again.
    #[error("order {0} changed in between")]
    Conflict(String),
    /// Anything else.
    #[error("the database {path} failed: {reason}")]
    Failed {
        /// The file.
        path: String,
        /// The driver's words.
        reason: String,
    },
    /// A row that this version can't read.
    #[error(
        "the database holds {0}, which this version cannot read; was it written by a newer one?"
    )]
    Unreadable(String),
}

/// A result of the store.
pub type Stored<T> = Result<T, StoreError>;

/// An order as it was read: saved only if nobody else saved it since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// The order.
    pub order: Order,
    version: i64,
}

/// A stored notification, for lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredNotice {
    /// The card.
    pub eid: String,
    /// Counts the card's notifications.
    pub seq_number: u64,
    /// The profile.
    pub iccid: Option<String>,
    /// What happened.
    pub outcome: String,
    /// Unix seconds.
    pub received_at: u64,
}

/// The database.
#[derive(Debug, Clone)]
pub struct Store {
    pool: AnyPool,
    /// Makes the transactions on the pool.
    writer: Writer,
    path: String,
}

impl Store {
    /// Our error for the driver's.
    fn error(&self, error: &sqlx::Error) -> StoreError {
        if is_full(error) {
            return StoreError::Full(self.path.clone());
        }
        StoreError::Failed {
            path: self.path.clone(),
            reason: error.to_string(),
        }
    }
}

/// Is there no space?
fn is_full(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|e| e.code());
    code.is_some_and(|code| aid_store::sqlite_url::is_full(&code))
}

#[cfg(test)]
mod tests;
