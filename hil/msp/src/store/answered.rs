//! Idempotency: what was answered to a `CMP-request-id` of a CMP, keyed together with a digest of method, path and body.

use aid_aid1::headers::PartyId;
use uuid::Uuid;

use super::{Store, Stored, number, text};

/// What a request finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Earlier {
    /// Nothing: it is ours to answer now.
    None,
    /// The same request is being answered at this moment.
    Running,
    /// The same request was answered with this status and body.
    Answered(u16, String),
    /// Another request had this id.
    Different,
}

impl Store {
    /// Claims a request id, or tells what became of it before.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn claim(
        &self,
        client: &PartyId,
        id: Uuid,
        digest: &str,
        now: i64,
    ) -> Stored<Earlier> {
        let mut tx = self.write().await?;
        let row = sqlx::query(
            "SELECT digest, status, body FROM answered WHERE client_id = $1 AND request_id = $2",
        )
        .bind(client.as_str())
        .bind(id.to_string())
        .fetch_optional(&mut tx)
        .await?;
        if let Some(row) = row {
            if text(&row, "digest")? != digest {
                return Ok(Earlier::Different);
            }
            return Ok(match u16::try_from(number(&row, "status")?) {
                Ok(status) if status != 0 => Earlier::Answered(status, text(&row, "body")?),
                _ => Earlier::Running,
            });
        }
        sqlx::query("INSERT INTO answered (client_id, request_id, digest, status, body, at) VALUES ($1, $2, $3, 0, '', $4)")
            .bind(client.as_str())
            .bind(id.to_string())
            .bind(digest)
            .bind(now)
            .execute(&mut tx)
            .await?;
        tx.commit().await?;
        Ok(Earlier::None)
    }

    /// Stores the answer to a claimed request. A refusal changed nothing and is forgotten, so that a retry is worked on
    /// again, corrected or not.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn answer(
        &self,
        client: &PartyId,
        id: Uuid,
        status: u16,
        body: &str,
    ) -> Stored<()> {
        let (client, id) = (client.as_str(), id.to_string());
        let query = if !(200..300).contains(&status) {
            sqlx::query("DELETE FROM answered WHERE client_id = $1 AND request_id = $2")
                .bind(client)
                .bind(id)
        } else {
            sqlx::query("UPDATE answered SET status = $1, body = $2 WHERE client_id = $3 AND request_id = $4")
                .bind(i64::from(status))
                .bind(body)
                .bind(client)
                .bind(id)
        };
        query.execute(&self.writer).await?;
        Ok(())
    }

    /// Forgets answers older than `before`. The newest ten thousand stay unless their time was over within the last day:
    /// under a clock that is wrong by years everything is old.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn forget_answers(&self, before: i64) -> Stored<()> {
        sqlx::query(
            "DELETE FROM answered WHERE at < $1 AND (at >= $1 - 86400000 OR at <
             (SELECT at FROM answered ORDER BY at DESC LIMIT 1 OFFSET 9999))",
        )
        .bind(before)
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// Forgets claims that a stopped program left open. Only before anything is served.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn forget_claims(&self) -> Stored<()> {
        sqlx::query("DELETE FROM answered WHERE status = 0")
            .execute(&self.writer)
            .await?;
        Ok(())
    }
}
