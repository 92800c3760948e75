//! The outbox.

use aid_aid1::headers::PartyId;
use aid_id::{Iccid, MspToken};
use aid_store::{Fields, params};
use uuid::Uuid;

use crate::core::model::{Job, JobState, OutboxRow};
use crate::store::page::by_number;
use crate::store::{Page, StoreError, Stored, Tx};

/// A SELECT of jobs, to be followed by what it is to find.
macro_rules! jobs {
    ($($rest:tt)*) => {
        concat!(
            "SELECT id, client_id, kind, msp_token, request_id, correlation_id, body, state, attempts, next_at,
             created_at, last_error FROM outbox ",
            $($rest)*
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
        // From one CMP to the next by the index, however many jobs lie between them.
        let next = "SELECT client_id FROM outbox WHERE state = 'waiting' AND kind <> 'cancel-order'
                    AND client_id > $1 ORDER BY client_id LIMIT 1";
        let mut lanes = vec![Lane::SmDp];
        let mut last = String::new();
        while let Some(client) = self.first(next, params![&last], |row| row.text()).await? {
            last = client;
            let odd = |_| StoreError::Unreadable("an odd value in the column client_id".into());
            lanes.push(Lane::Cmp(last.parse().map_err(odd)?));
        }
        let mut due = Vec::new();
        for lane in lanes {
            if !self.due_jobs(&lane, now, latest, 1).await?.is_empty() {
                due.push(lane);
            }
        }
        Ok(due)
    }

    /// The jobs of a lane that are due, those that wait for the longest time first; at most `limit`.
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
        let mut jobs = Vec::new();
        for (from, to) in [(i64::MIN, now), (latest, i64::MAX)] {
            if jobs.is_empty() {
                jobs = self.jobs_between(lane, from, to, limit).await?;
            }
        }
        Ok(jobs)
    }

    /// The jobs of a lane whose next attempt is after `from`, and not after `to`.
    async fn jobs_between(
        self,
        lane: &Lane,
        from: i64,
        to: i64,
        limit: i64,
    ) -> Stored<Vec<OutboxRow>> {
        match lane {
            Lane::Cmp(client) => {
                let sql = jobs!(
                    "WHERE state = 'waiting' AND kind <> 'cancel-order' AND client_id = $4
                     AND next_at > $1 AND next_at <= $2 ORDER BY next_at, id LIMIT $3"
                );
                let values = params![from, to, limit, client.as_str()];
                self.all(sql, values, read).await
            }
            Lane::SmDp => {
                let sql = jobs!(
                    "WHERE state = 'waiting' AND kind = 'cancel-order'
                     AND next_at > $1 AND next_at <= $2 ORDER BY next_at, id LIMIT $3"
                );
                self.all(sql, params![from, to, limit], read).await
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

    /// A part of the outbox, all or what is in one state.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn outbox(
        self,
        state: Option<JobState>,
        page: &Page,
    ) -> Stored<Vec<OutboxRow>> {
        // The planner would go through all rows by their number, however few fit.
        let sql = match state {
            None => by_number!(jobs, "id"),
            Some(JobState::Done) => by_number!(jobs, "id", "state = 'done'"),
            Some(JobState::Waiting) => [
                jobs!(
                    "INDEXED BY outbox_waiting WHERE state = 'waiting' AND id > $1 ORDER BY id LIMIT $2"
                ),
                jobs!(
                    "INDEXED BY outbox_waiting WHERE state = 'waiting' AND id < $1 ORDER BY id DESC LIMIT $2"
                ),
            ],
            Some(JobState::Dead) => [
                jobs!(
                    "INDEXED BY outbox_dead WHERE state = 'dead' AND id > $1 ORDER BY id LIMIT $2"
                ),
                jobs!(
                    "INDEXED BY outbox_dead WHERE state = 'dead' AND id < $1 ORDER BY id DESC LIMIT $2"
                ),
            ],
        };
        self.part_by_number(sql, page, read).await
    }

    /// The newest jobs of a token, at most 100.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn jobs_of(self, token: MspToken) -> Stored<Vec<OutboxRow>> {
        let sql = jobs!("WHERE msp_token = $1 ORDER BY id DESC LIMIT 100");
        self.all(sql, params![token.to_string()], read).await
    }

    /// The jobs of a transaction, oldest first, at most 100.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn jobs_in(self, correlation: Uuid) -> Stored<Vec<OutboxRow>> {
        let sql = jobs!("WHERE correlation_id = $1 ORDER BY id LIMIT 100");
        self.all(sql, params![correlation.to_string()], read).await
    }
}
