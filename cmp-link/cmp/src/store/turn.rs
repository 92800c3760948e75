//! One decision at a time: what was loaded is still so when it is committed, whichever process decides.
//! In one process by a mutex; beside it by a lock file (SQLite) or an advisory lock (PostgreSQL).
//! Taken by the service and the command line before they load.

use super::{SqlStore, StoreError, Stored};
use crate::store::Database;
use aid_store::writer::Transaction;
use std::fs::{File, TryLockError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedMutexGuard;

/// Names the advisory lock: "aid-cmp" in ASCII.
pub(super) const ADVISORY: i64 = 0x0061_6964_2D63_6D70;
/// Pause between two tries at a lock file that another process holds.
const PAUSE: Duration = Duration::from_millis(1);
/// Tries before the other process is taken for stuck: half a minute.
const TRIES: u32 = 30_000;

/// The right to decide; ends when it is dropped or committed.
#[must_use]
#[derive(Debug)]
pub struct Turn {
    held: Held,
    _first: OwnedMutexGuard<()>,
}

#[derive(Debug)]
enum Held {
    File(#[allow(dead_code, reason = "unlocks when it is dropped")] FileTurn),
    /// The lock ends with the transaction, and the transaction is the one that commits.
    Transaction(Transaction),
}

#[derive(Debug)]
struct FileTurn(Arc<File>);

impl Drop for FileTurn {
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::error!(%error, "the lock file of the database can't be unlocked");
        }
    }
}

impl Turn {
    /// The transaction that has the lock, where the database keeps it so.
    pub(super) fn into_transaction(self) -> (Option<Transaction>, TurnEnd) {
        let Self { held, _first } = self;
        match held {
            Held::Transaction(transaction) => (
                Some(transaction),
                TurnEnd {
                    _file: None,
                    _first,
                },
            ),
            Held::File(file) => (
                None,
                TurnEnd {
                    _file: Some(file),
                    _first,
                },
            ),
        }
    }
}

/// What is still held while the changes are written.
pub(super) struct TurnEnd {
    _file: Option<FileTurn>,
    _first: OwnedMutexGuard<()>,
}

impl SqlStore {
    pub(super) async fn take_turn(&self) -> Stored<Turn> {
        let first = Arc::clone(&self.first).lock_owned().await;
        let held = match (&self.database, &self.lock) {
            (Database::Sqlite(_), Some(file)) => Held::File(lock(Arc::clone(file)).await?),
            _ => {
                let transaction = async {
                    let mut transaction = self.writer.begin().await?;
                    // Until the transaction ends.
                    sqlx::query("SELECT pg_advisory_xact_lock($1)")
                        .bind(ADVISORY)
                        .execute(&mut transaction)
                        .await?;
                    Ok(transaction)
                };
                Held::Transaction(transaction.await.map_err(|e| self.error(&e))?)
            }
        };
        Ok(Turn {
            held,
            _first: first,
        })
    }
}

async fn lock(file: Arc<File>) -> Stored<FileTurn> {
    for _ in 0..TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(FileTurn(file)),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(PAUSE).await,
            Err(TryLockError::Error(error)) => return Err(StoreError::Failed(error.to_string())),
        }
    }
    Err(StoreError::Failed(
        "another process holds the lock of the database for half a minute; is it stopped?".into(),
    ))
}
