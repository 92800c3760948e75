//! The outbox.

use aid_aid1::headers::PartyId;
use aid_id::{Iccid, MspToken};
use aid_store::{Fields, params};
use uuid::Uuid;

use crate::core::model::{Job, OutboxRow};
use crate::store::tx::flag;
use crate::store::{Stored, Tx};

/// A SELECT of jobs, to be followed by what it is to find.
macro_rules! jobs {
    ($rest:literal) => {
        concat!(
            "SELECT id, client_id, kind, msp_token, request_id, correlation_id, body, state, attempts, next_at,
             created_at, last_error FROM outbox ",
            $rest
        )
    };
}

fn read(row: &mut Fields<'_>) -> Stored<OutboxRow> {
    Ok(OutboxRow {
        id: row.number()?,
        job: Job {
            client_id: row.parsed()?,
            kind: row.parsed()?,
            msp_token: row.parsed()?,
            request_id: row.parsed()?,
            correlation_id: row.parsed()?,
            body: row.text()?,
        },
        state: row.parsed()?,
        attempts: row.number()?,
        next_at: row.number()?,
        created_at: row.number()?,
        last_error: row.text()?,
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

impl Tx<'_> {
    /// The job of this number.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn job(self, id: i64) -> Stored<Option<OutboxRow>> {
        self.first(jobs!("WHERE id = $1"), params![id], read).await
    }

    /// The job with this `CMP-request-id`.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn job_of_call(self, request_id: Uuid) -> Stored<Option<OutboxRow>> {
        let sql = jobs!("WHERE request_id = $1 ORDER BY id DESC LIMIT 1");
        self.first(sql, params![request_id.to_string()], read).await
    }

    /// The lanes that have jobs that are due. Due is also what is put off beyond `latest`, which is later than any pause
    /// ends: the clock was wrong then.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn due_lanes(self, now: i64, latest: i64) -> Stored<Vec<Lane>> {
        let sql = "SELECT DISTINCT kind = 'cancel-order', CASE kind WHEN 'cancel-order' THEN NULL ELSE client_id END
                   FROM outbox WHERE state = 'waiting' AND (next_at <= $1 OR next_at > $2)";
        let lane = |row: &mut Fields<'_>| {
            Ok(match flag(row)? {
                true => Lane::SmDp,
                false => Lane::Cmp(row.parsed()?),
            })
        };
        self.all(sql, params![now, latest], lane).await
    }

    /// The jobs of a lane that are due, oldest first; at most `limit`.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn due_jobs(
        self,
        lane: &Lane,
        now: i64,
        latest: i64,
        limit: i64,
    ) -> Stored<Vec<OutboxRow>> {
        match lane {
            Lane::Cmp(client) => {
                let sql = jobs!(
                    "WHERE state = 'waiting' AND (next_at <= $1 OR next_at > $2)
                     AND kind <> 'cancel-order' AND client_id = $4 ORDER BY id LIMIT $3"
                );
                let values = params![now, latest, limit, client.as_str()];
                self.all(sql, values, read).await
            }
            Lane::SmDp => {
                let sql = jobs!(
                    "WHERE state = 'waiting' AND (next_at <= $1 OR next_at > $2)
                     AND kind = 'cancel-order' ORDER BY id LIMIT $3"
                );
                self.all(sql, params![now, latest, limit], read).await
            }
        }
    }

    /// Whether a Send Activation Code of a token has not been accepted yet.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn owes_code(self, token: MspToken) -> Stored<bool> {
        let sql = "SELECT id FROM outbox WHERE msp_token = $1 AND kind = 'send-activation-code' AND state = 'waiting'";
        self.exists(sql, params![token.to_string()]).await
    }

    /// Whether the order of a profile was cancelled at the SM-DP+, or is to be.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn is_cancelled(self, token: MspToken, iccid: &Iccid) -> Stored<bool> {
        let sql =
            "SELECT id FROM outbox WHERE msp_token = $1 AND kind = 'cancel-order' AND body = $2";
        let values = params![token.to_string(), iccid.as_str()];
        self.exists(sql, values).await
    }

    /// The whole outbox, oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn outbox(self) -> Stored<Vec<OutboxRow>> {
        self.all(jobs!("ORDER BY id"), &[], read).await
    }
}
