//! What operators are still to be told, in rows.

use super::{Store, StoreError, Stored};
use crate::core::Progress;
use aid_rsp::es2::HandleDownloadProgressInfoRequest;
use aid_store::{Tx, params};

/// What is due at once, at most.
const PAGE: u64 = 32;

const NEW: &str = "INSERT INTO progress (operator, body, created_at, attempts, due_at) VALUES ($1, $2, $3, 0, $3)";
const DUE: &str = "SELECT id, operator, body, created_at, attempts FROM progress WHERE due_at <= $1 \
     ORDER BY due_at, id LIMIT $2";
const LATER: &str = "UPDATE progress SET attempts = attempts + 1, due_at = $2 WHERE id = $1";
const DONE: &str = "DELETE FROM progress WHERE id = $1";

/// Something that an operator is to be told now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Its row.
    pub id: i64,
    /// Whom.
    pub operator: String,
    /// What.
    pub request: HandleDownloadProgressInfoRequest,
    /// When it happened, unix seconds.
    pub created_at: u64,
    /// How often it was tried.
    pub attempts: u32,
}

pub(super) async fn put(tx: &Tx<'_>, progress: &Progress) -> Stored<()> {
    let body = serde_json::to_string(&progress.request)
        .map_err(|e| StoreError::Failed(format!("a progress is not written: {e}")))?;
    tx.run(NEW, params![&progress.operator, body, progress.at])
        .await?;
    Ok(())
}

impl Store {
    /// What is due at `now`, unix seconds: the first page.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn due(&self, now: u64) -> Stored<Vec<Due>> {
        let look = self.0.read(async move |tx| {
            let values = params![now, PAGE];
            let due = tx.all(DUE, values, |row| {
                Ok(Due {
                    id: row.number()?,
                    operator: row.text()?,
                    request: serde_json::from_str(&row.text()?)
                        .map_err(|e| StoreError::Unreadable(format!("an odd progress: {e}")))?,
                    created_at: row.number()?,
                    attempts: row.number()?,
                })
            });
            due.await
        });
        look.await
    }

    /// Notes that an operator was told, or never will be.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn done(&self, id: i64) -> Stored<()> {
        let made = self
            .0
            .change(async move |tx| tx.run(DONE, params![id]).await);
        made.await.map(|_| ())
    }

    /// Notes that an operator could not be told, and when it is tried again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn later(&self, id: i64, due_at: u64) -> Stored<()> {
        let made = self
            .0
            .change(async move |tx| tx.run(LATER, params![id, due_at]).await);
        made.await.map(|_| ())
    }
}
