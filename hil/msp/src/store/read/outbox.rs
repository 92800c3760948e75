//! The outbox.

use aid_aid1::headers::PartyId;
use aid_id::{Iccid, MspToken};
use sqlx::any::AnyRow;
use sqlx::query;
use uuid::Uuid;

use crate::core::model::{Job, OutboxRow};
use crate::store::tx::{number, parsed, text};
use crate::store::{Stored, Tx};

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
        state: parsed(row, "state")?,
        attempts: number(row, "attempts")?,
        next_at: number(row, "next_at")?,
        created_at: number(row, "created_at")?,
        last_error: text(row, "last_error")?,
    })
}

/// Which jobs of the outbox follow one another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    /// The calls to one CMP.
    Cmp(PartyId),
    /// The calls to the SM-DP+.
    SmDp,
}

impl Tx {
    /// The job of this number.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn job(&mut self, id: i64) -> Stored<Option<OutboxRow>> {
        let sql = query("SELECT * FROM outbox WHERE id = $1").bind(id);
        self.one(sql).await?.as_ref().map(read).transpose()
    }

    /// The job with this `CMP-request-id`.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn job_of_call(&mut self, request_id: Uuid) -> Stored<Option<OutboxRow>> {
        let sql = query("SELECT * FROM outbox WHERE request_id = $1 ORDER BY id DESC LIMIT 1")
            .bind(request_id.to_string());
        self.one(sql).await?.as_ref().map(read).transpose()
    }

    /// The lanes that have jobs that are due. Due is also what is put off beyond `latest`, which is later than any pause
    /// ends: the clock was wrong then.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn due_lanes(&mut self, now: i64, latest: i64) -> Stored<Vec<Lane>> {
        let sql = query(
            "SELECT DISTINCT CASE kind WHEN 'cancel-order' THEN '' ELSE client_id END AS lane FROM outbox
             WHERE state = 'waiting' AND (next_at <= $1 OR next_at > $2)",
        )
        .bind(now)
        .bind(latest);
        let lane = |row: &AnyRow| {
            Ok(match text(row, "lane")?.as_str() {
                "" => Lane::SmDp,
                _ => Lane::Cmp(parsed(row, "lane")?),
            })
        };
        self.all(sql).await?.iter().map(lane).collect()
    }

    /// The jobs of a lane that are due, oldest first; at most `limit`.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn due_jobs(
        &mut self,
        lane: &Lane,
        now: i64,
        latest: i64,
        limit: i64,
    ) -> Stored<Vec<OutboxRow>> {
        let sql = match lane {
            Lane::Cmp(client) => query(
                "SELECT * FROM outbox WHERE state = 'waiting' AND (next_at <= $1 OR next_at > $2)
                 AND kind <> 'cancel-order' AND client_id = $4 ORDER BY id LIMIT $3",
            )
            .bind(now)
            .bind(latest)
            .bind(limit)
            .bind(client.as_str()),
            Lane::SmDp => query(
                "SELECT * FROM outbox WHERE state = 'waiting' AND (next_at <= $1 OR next_at > $2)
                 AND kind = 'cancel-order' ORDER BY id LIMIT $3",
            )
            .bind(now)
            .bind(latest)
            .bind(limit),
        };
        self.all(sql).await?.iter().map(read).collect()
    }

    /// Whether a Send Activation Code of a token has not been accepted yet.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn owes_code(&mut self, token: MspToken) -> Stored<bool> {
        let sql = query(
            "SELECT id FROM outbox WHERE msp_token = $1 AND kind = 'send-activation-code' AND state = 'waiting'",
        )
        .bind(token.to_string());
        Ok(self.one(sql).await?.is_some())
    }

    /// Whether the order of a profile was cancelled at the SM-DP+, or is to be.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn is_cancelled(&mut self, token: MspToken, iccid: &Iccid) -> Stored<bool> {
        let sql = query(
            "SELECT id FROM outbox WHERE msp_token = $1 AND kind = 'cancel-order' AND body = $2",
        )
        .bind(token.to_string())
        .bind(iccid.as_str());
        Ok(self.one(sql).await?.is_some())
    }

    /// The whole outbox, oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn outbox(&mut self) -> Stored<Vec<OutboxRow>> {
        let rows = self.all(query("SELECT * FROM outbox ORDER BY id")).await?;
        rows.iter().map(read).collect()
    }
}
