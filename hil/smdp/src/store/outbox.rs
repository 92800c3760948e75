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
    /// The request, as it is sent.
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
    /// What is due at `now`, unix seconds: the first page. A row that can't be read is logged and removed: the others
    /// must not wait behind it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn due(&self, now: u64) -> Stored<Vec<Due>> {
        let look = self.0.read(async move |tx| {
            let values = params![now, PAGE];
            let due = tx.all(DUE, values, |row| {
                let (id, operator) = (row.number()?, row.text()?);
                let body = row.text()?;
                let (created_at, attempts) = (row.number()?, row.number()?);
                Ok(match serde_json::from_str(&body) {
                    Ok(request) => Ok(Due {
                        id,
                        operator,
                        request,
                        created_at,
                        attempts,
                    }),
                    Err(error) => Err((id, operator, error.to_string())),
                })
            });
            due.await
        });
        let mut due = Vec::new();
        for row in look.await? {
            match row {
                Ok(row) => due.push(row),
                Err((id, operator, why)) => {
                    tracing::error!(id, operator, why, "an unreadable progress is removed");
                    // Where that fails it is found again the next time.
                    if let Err(error) = self.done(id).await {
                        tracing::warn!(id, %error, "it could not be removed");
                    }
                }
            }
        }
        Ok(due)
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
