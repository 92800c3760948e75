//! The outbox: calls that were decided on and have to reach the other side, however often it takes.

use aid_aid1::headers::PartyId;
use aid_id::MspToken;
use aid_store::writer::Transaction;
use sqlx::Row as _;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::{Store, Stored, number, parsed, text, words};
use crate::misbehave::Place;

words! {
    /// What is to be called.
    Kind {
        /// AID.02 §7.3. The body is the account id, a line break, and the JSON.
        SendMspToken = "send-msp-token",
        /// AID.02 §7.4
        NotifyTokenInvalid = "notify-token-invalid",
        /// AID.02 §7.5
        SendProfileInformation = "send-profile-information",
        /// AID.02 §7.6
        UpdateSubscriptionInfo = "update-subscription-info",
        /// AID.02 §7.7.2.1
        SendActivationCode = "send-activation-code",
        /// ES2+.CancelOrder (SGP.22 §5.3.3). The body is the ICCID.
        CancelOrder = "cancel-order",
    }
}

impl Kind {
    /// Its name for misbehaviours; none for ES2+.
    #[must_use]
    pub(crate) fn place(self) -> Option<Place> {
        match self {
            Self::SendMspToken => Some(Place::SendMspToken),
            Self::NotifyTokenInvalid => Some(Place::NotifyTokenInvalid),
            Self::SendProfileInformation => Some(Place::SendProfileInformation),
            Self::UpdateSubscriptionInfo => Some(Place::UpdateSubscriptionInfo),
            Self::SendActivationCode => Some(Place::SendActivationCode),
            Self::CancelOrder => None,
        }
    }
}

/// A call to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    /// The CMP.
    pub(crate) client_id: PartyId,
    /// What to call.
    pub(crate) kind: Kind,
    /// The customer.
    pub(crate) msp_token: MspToken,
    /// `CMP-request-id`, the same on each attempt.
    pub(crate) request_id: Uuid,
    /// The transaction.
    pub(crate) correlation_id: Uuid,
    /// JSON, or what the kind says.
    pub(crate) body: String,
}

impl Job {
    /// A job with a new request id.
    #[must_use]
    pub(crate) fn new(
        client: &PartyId,
        kind: Kind,
        token: MspToken,
        correlation: Uuid,
        body: String,
    ) -> Self {
        Self {
            client_id: client.clone(),
            kind,
            msp_token: token,
            request_id: Uuid::new_v4(),
            correlation_id: correlation,
            body,
        }
    }
}

/// A job with its history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OutboxRow {
    /// Order in which jobs were decided on.
    pub(crate) id: i64,
    /// The call.
    pub(crate) job: Job,
    /// waiting, done or dead
    pub(crate) state: String,
    /// Attempts so far.
    pub(crate) attempts: i64,
    /// Not before.
    pub(crate) next_at: i64,
    /// When it was decided on.
    pub(crate) created_at: i64,
    /// Why the last attempt failed.
    pub(crate) last_error: String,
}

fn read(row: &AnyRow) -> Stored<OutboxRow> {
    Ok(OutboxRow {
        id: number(row, "id")?,
        job: Job {
            client_id: parsed(row, "client_id")?,
            kind: parsed(row, "kind")?,
            msp_token: parsed(row, "msp_token")?,
            request_id: parsed(row, "request_id")?,
            correlation_id: parsed(row, "correlation_id")?,
            body: text(row, "body")?,
        },
        state: text(row, "state")?,
        attempts: number(row, "attempts")?,
        next_at: number(row, "next_at")?,
        created_at: number(row, "created_at")?,
        last_error: text(row, "last_error")?,
    })
}

/// Adds a job inside a transaction, to be done from `next_at` on; yields its id.
pub(super) async fn add_job(
    tx: &mut Transaction,
    job: &Job,
    now: i64,
    next_at: i64,
) -> Stored<i64> {
    let row = sqlx::query(
        "INSERT INTO outbox (client_id, kind, msp_token, request_id, correlation_id, body, state, attempts, next_at, created_at, last_error)
         VALUES ($1, $2, $3, $4, $5, $6, 'waiting', 0, $7, $8, '') RETURNING id",
    )
    .bind(job.client_id.as_str())
    .bind(job.kind.as_str())
    .bind(job.msp_token.to_string())
    .bind(job.request_id.to_string())
    .bind(job.correlation_id.to_string())
    .bind(&job.body)
    .bind(next_at)
    .bind(now)
    .fetch_one(&mut *tx)
    .await?;
    Ok(row.try_get(0)?)
}

impl Store {
    /// Adds a job.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn add_job(&self, job: &Job, now: i64) -> Stored<i64> {
        let mut tx = self.write().await?;
        let id = add_job(&mut tx, job, now, now).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Jobs that are due, oldest first; at most `limit`. Due is also what is put off beyond `latest`, which is later than
    /// any pause ends: the clock was wrong then.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn due_jobs(
        &self,
        now: i64,
        latest: i64,
        limit: i64,
    ) -> Stored<Vec<OutboxRow>> {
        let rows = sqlx::query(
            "SELECT * FROM outbox WHERE state = 'waiting' AND (next_at <= $1 OR next_at > $2) ORDER BY id LIMIT $3",
        )
        .bind(now)
        .bind(latest)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(read).collect()
    }

    /// Whether a job still waits; it may have been withdrawn since it was read.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn is_waiting(&self, id: i64) -> Stored<bool> {
        let row = sqlx::query("SELECT id FROM outbox WHERE id = $1 AND state = 'waiting'")
            .bind(id)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.is_some())
    }

    /// Whether a Send Activation Code of a token has not been taken yet.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn owes_code(&self, token: MspToken) -> Stored<bool> {
        let row = sqlx::query(
            "SELECT id FROM outbox WHERE msp_token = $1 AND kind = 'send-activation-code' AND state = 'waiting'",
        )
        .bind(token.to_string())
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.is_some())
    }

    /// Closes a job: done, or dead with a reason.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn close_job(&self, id: i64, error: Option<&str>) -> Stored<()> {
        sqlx::query("UPDATE outbox SET state = $1, attempts = attempts + 1, last_error = $2 WHERE id = $3 AND state = 'waiting'")
            .bind(if error.is_none() { "done" } else { "dead" })
            .bind(error.unwrap_or_default())
            .bind(id)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Puts a job off until `next_at`.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn put_off(&self, id: i64, next_at: i64, error: &str) -> Stored<()> {
        sqlx::query("UPDATE outbox SET attempts = attempts + 1, next_at = $1, last_error = $2 WHERE id = $3 AND state = 'waiting'")
            .bind(next_at)
            .bind(error)
            .bind(id)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Makes a job due that is waiting or dead; `false` if there is none.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn retry_job(&self, id: i64, now: i64) -> Stored<bool> {
        let done = sqlx::query("UPDATE outbox SET state = 'waiting', next_at = $1 WHERE id = $2 AND state IN ('waiting', 'dead')")
            .bind(now)
            .bind(id)
            .execute(&self.writer)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Gives a job up that is waiting; `false` if there is none.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn drop_job(&self, id: i64, reason: &str) -> Stored<bool> {
        let done = sqlx::query("UPDATE outbox SET state = 'dead', last_error = $1 WHERE id = $2 AND state IN ('waiting', 'dead')")
            .bind(reason)
            .bind(id)
            .execute(&self.writer)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// The whole outbox, oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn outbox(&self) -> Stored<Vec<OutboxRow>> {
        let rows = sqlx::query("SELECT * FROM outbox ORDER BY id")
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(read).collect()
    }
}
