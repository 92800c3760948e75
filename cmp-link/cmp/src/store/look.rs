//! Reads of the outbox and for the operator: claims, the audit trail, synchronisations, what is to do.
//! Called by `read`.

use super::read::{MAX_ROWS, Statement, at};
use super::row::{Columns, id_text};
use super::{SqlStore, Stored};
use aid_cmp_core::decide::call::{CLAIM as CLAIM_MS, MAX_PAUSE};
use aid_cmp_core::model::{Audit, Call, CallState, SyncRun};
use aid_id::Id;
use sqlx::any::AnyRow;

/// Which entries of the audit trail.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Not older than this, Unix milliseconds.
    pub since: u64,
    /// By this actor only.
    pub actor: Option<String>,
    /// Whose detail has this text, such as an EID, an ICCID or a reference.
    pub about: Option<String>,
    /// At most so many; the newest.
    pub limit: u32,
}

/// How much is to be done, for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Orders without a result.
    pub open_orders: u64,
    /// When the oldest of them was given, Unix milliseconds.
    pub oldest_order: Option<u64>,
    /// Calls to MSPs that are due.
    pub due_calls: u64,
    /// When the oldest of them was made.
    pub oldest_call: Option<u64>,
    /// Calls that were given up.
    pub dead_calls: u64,
    /// Requests for activation codes without a result.
    pub open_requests: u64,
}

/// The first call of each lane that is due; a call in front that waits, waits for all behind it. Due is also what a
/// wrong clock put off for longer than any pause.
const DUE: &str = "SELECT * FROM outbox o WHERE state = 'due' AND (next_at <= $1 OR next_at > $3) AND NOT EXISTS \
     (SELECT 1 FROM outbox e WHERE e.msp = o.msp AND e.lane = o.lane AND e.state = 'due' \
     AND e.position < o.position) ORDER BY position LIMIT $2";

/// The same, taken for one instance of several. The lane's order holds because a claimed call is
/// still due: those behind it wait. A claim that is longer than any was made under a wrong clock.
const CLAIM: &str = "UPDATE outbox SET claimed_by = $1, claimed_until = $2 WHERE id IN \
     (SELECT o.id FROM outbox o WHERE o.state = 'due' AND (o.next_at <= $3 OR o.next_at > $5) \
     AND (o.claimed_until <= $3 OR o.claimed_until > $6) AND NOT EXISTS (SELECT 1 FROM outbox e WHERE e.msp = o.msp AND e.lane = o.lane \
     AND e.state = 'due' AND e.position < o.position) ORDER BY o.position LIMIT $4 \
     FOR UPDATE SKIP LOCKED) RETURNING *";

impl SqlStore {
    pub(super) async fn claim_calls(
        &self,
        who: &str,
        now: u64,
        until: u64,
        limit: u32,
    ) -> Stored<Vec<Call>> {
        let limit = i64::from(limit);
        let latest = at(now.saturating_add(MAX_PAUSE));
        if !self.is_shared() {
            let q = sqlx::query(DUE).bind(at(now)).bind(limit).bind(latest);
            return self.many(q, Columns::call).await;
        }
        let q = sqlx::query(CLAIM).bind(who.to_owned()).bind(at(until));
        let q = q.bind(at(now)).bind(limit).bind(latest);
        let q = q.bind(at(now.saturating_add(2 * CLAIM_MS)));
        self.claimed(q).await
    }

    /// What a claim yields once it is committed.
    async fn claimed(&self, claim: Statement<'_>) -> Stored<Vec<Call>> {
        let rows: Vec<AnyRow> = claim
            .fetch_all(&self.writer)
            .await
            .map_err(|e| self.error(&e))?;
        rows.into_iter().map(|row| Columns(row).call()).collect()
    }

    pub(super) async fn next_call(&self) -> Stored<Option<u64>> {
        // What somebody has claimed is looked at again when the claim ends.
        let q = sqlx::query(
            "SELECT MIN(CASE WHEN claimed_until > next_at THEN claimed_until ELSE next_at END) \
             AS next_at FROM outbox o WHERE state = 'due' AND NOT EXISTS \
             (SELECT 1 FROM outbox e WHERE e.msp = o.msp AND e.lane = o.lane AND e.state = 'due' \
             AND e.position < o.position)",
        );
        let next = self.one(q, |row| row.maybe_number("next_at")).await?;
        Ok(next.flatten())
    }

    pub(super) async fn list_calls(&self, state: Option<CallState>) -> Stored<Vec<Call>> {
        let q = match state {
            Some(state) => {
                sqlx::query("SELECT * FROM outbox WHERE state = $1 ORDER BY position LIMIT $2")
                    .bind(state.as_str())
            }
            None => sqlx::query("SELECT * FROM outbox ORDER BY position LIMIT $1"),
        };
        self.many(q.bind(MAX_ROWS), Columns::call).await
    }

    pub(super) async fn audit_trail(&self, filter: &AuditFilter) -> Stored<Vec<Audit>> {
        let (actor, any) = (
            filter.actor.clone().unwrap_or_default(),
            filter.actor.is_none(),
        );
        let about = filter.about.as_deref().unwrap_or_default();
        // The text is looked for as it is: no wildcard in it has a meaning.
        let like = about
            .replace('\\', "\\\\")
            .replace('%', "\\%")
            .replace('_', "\\_");
        let q = sqlx::query(
            "SELECT * FROM audit WHERE at >= $1 AND (actor = $2 OR $3 = 1) \
             AND detail LIKE $4 ESCAPE '\\' ORDER BY at DESC, id DESC LIMIT $5",
        );
        let q = q.bind(at(filter.since)).bind(actor).bind(i64::from(any));
        let q = q.bind(format!("%{like}%")).bind(i64::from(filter.limit));
        let mut list = self.many(q, Columns::audit).await?;
        list.reverse();
        Ok(list)
    }

    pub(super) async fn list_sync_runs(&self, of: Option<Id>) -> Stored<Vec<SyncRun>> {
        let q = match of {
            Some(federation) => sqlx::query(
                "SELECT * FROM sync_run WHERE federation = $1 ORDER BY at DESC, id LIMIT $2",
            )
            .bind(id_text(federation)),
            None => sqlx::query(
                "SELECT * FROM sync_run r WHERE NOT EXISTS (SELECT 1 FROM sync_run n \
                 WHERE n.federation = r.federation AND n.at > r.at) ORDER BY at DESC, id LIMIT $1",
            ),
        };
        self.many(q.bind(MAX_ROWS), Columns::sync_run).await
    }

    pub(super) async fn count_work(&self) -> Stored<Work> {
        let count = async |sql: &'static str| {
            let q: Statement<'_> = sqlx::query(sql);
            let row = self.one(q, |row| {
                Ok((row.number::<u64>("n")?, row.maybe_number::<u64>("oldest")?))
            });
            Ok::<_, super::StoreError>(row.await?.unwrap_or_default())
        };
        let (open_orders, oldest_order) = count(
            "SELECT COUNT(*) AS n, MIN(created_at) AS oldest FROM vehicle_order WHERE state = 'open'",
        )
        .await?;
        let (due_calls, oldest_call) = count(
            "SELECT COUNT(*) AS n, MIN(created_at) AS oldest FROM outbox WHERE state = 'due'",
        )
        .await?;
        let (dead_calls, _) = count(
            "SELECT COUNT(*) AS n, MIN(created_at) AS oldest FROM outbox WHERE state = 'dead'",
        )
        .await?;
        let (open_requests, _) = count(
            "SELECT COUNT(*) AS n, MIN(created_at) AS oldest FROM code_request \
             WHERE state IN ('new', 'accepted')",
        )
        .await?;
        Ok(Work {
            open_orders,
            oldest_order,
            due_calls,
            oldest_call,
            dead_calls,
            open_requests,
        })
    }
}
