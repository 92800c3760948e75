//! What is to be done and what was done: orders, calls, their history, answers, the audit trail.

use crate::store::row::{
    self, select_answered, select_audit, select_call, select_happening, select_order,
};
use crate::store::{AuditFilter, Stored, Tx, Work};
use aid_cmp_core::model::{Answered, Audit, Call, CallState, Happening, Order};
use aid_id::{Eid, Id, MspToken};
use aid_store::{Fields, params};

impl Tx<'_> {
    /// An order.
    ///
    /// # Errors
    /// The database failed.
    pub async fn order(&self, id: Id) -> Stored<Option<Order>> {
        let sql = select_order!("WHERE id = $1");
        self.tx.first(sql, params![id], row::order).await
    }

    /// Orders: of a car or all, open ones or all; oldest first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn orders(&self, of: Option<Eid>, open: bool) -> Stored<Vec<Order>> {
        let eid = of.map(String::from);
        match (&eid, open) {
            (Some(eid), true) => {
                let sql = select_order!("WHERE eid = $1 AND state = 'open' ORDER BY position");
                self.tx.all(sql, params![eid], row::order).await
            }
            (Some(eid), false) => {
                let sql = select_order!("WHERE eid = $1 ORDER BY position");
                self.tx.all(sql, params![eid], row::order).await
            }
            (None, true) => {
                let sql = select_order!("WHERE state = 'open' ORDER BY position");
                self.tx.all(sql, &[], row::order).await
            }
            (None, false) => {
                let sql = select_order!("ORDER BY position");
                self.tx.all(sql, &[], row::order).await
            }
        }
    }

    /// Open orders that were never sent, given since this time.
    ///
    /// # Errors
    /// The database failed.
    pub async fn unsent(&self, since: u64) -> Stored<Vec<Order>> {
        let sql = select_order!(
            "WHERE state = 'open' AND sent_at IS NULL AND created_at >= $1 \
             ORDER BY created_at, position"
        );
        self.tx.all(sql, params![since], row::order).await
    }

    /// When the next call is due.
    ///
    /// # Errors
    /// The database failed.
    pub async fn next_due(&self) -> Stored<Option<u64>> {
        // What somebody has claimed is looked at again when the claim ends.
        let sql = "SELECT MIN(CASE WHEN claimed_until > next_at THEN claimed_until ELSE next_at END) \
             FROM outbox o WHERE state = 'due' AND NOT EXISTS (SELECT 1 FROM outbox e \
             WHERE e.msp = o.msp AND e.lane = o.lane AND e.state = 'due' AND e.position < o.position)";
        let next = self.tx.first(sql, &[], |row| row.maybe_number()).await?;
        Ok(next.flatten())
    }

    /// Calls of this state, or all; oldest first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn calls(&self, state: Option<CallState>) -> Stored<Vec<Call>> {
        let sql = match state {
            // By their indexes.
            Some(CallState::Due) => select_call!("WHERE state = 'due' ORDER BY position"),
            Some(CallState::Dead) => select_call!("WHERE state = 'dead' ORDER BY position"),
            Some(CallState::Done) => select_call!("WHERE state = 'done' ORDER BY position"),
            Some(CallState::Dropped) => select_call!("WHERE state = 'dropped' ORDER BY position"),
            None => select_call!("ORDER BY position"),
        };
        self.tx.all(sql, &[], row::call).await
    }

    /// A call.
    ///
    /// # Errors
    /// The database failed.
    pub async fn call(&self, id: Id) -> Stored<Option<Call>> {
        let sql = select_call!("WHERE id = $1");
        self.tx.first(sql, params![id], row::call).await
    }

    /// The newest call of a lane, closed ones too.
    ///
    /// # Errors
    /// The database failed.
    pub async fn newest_in_lane(&self, msp: &str, lane: &str) -> Stored<Option<Call>> {
        let sql = select_call!("WHERE msp = $1 AND lane = $2 ORDER BY position DESC LIMIT 1");
        self.tx.first(sql, params![msp, lane], row::call).await
    }

    /// Whether a call for this token is due or was given up.
    ///
    /// # Errors
    /// The database failed.
    pub async fn has_calls(&self, msp: &str, token: MspToken) -> Stored<bool> {
        let sql = "SELECT 1 FROM outbox WHERE msp = $1 AND token = $2 \
             AND state IN ('due', 'dead') LIMIT 1";
        self.tx.exists(sql, params![msp, *token.as_bytes()]).await
    }

    /// What happened to an order or a call, oldest first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn history(&self, work: Id) -> Stored<Vec<Happening>> {
        let sql = select_happening!("WHERE work = $1 ORDER BY position");
        self.tx.all(sql, params![work], row::happening).await
    }

    /// The newest entries of the audit trail that the filter lets pass, oldest of them first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn audits(&self, filter: &AuditFilter) -> Stored<Vec<Audit>> {
        // The text is looked for as it is: no wildcard in it has a meaning.
        let about = filter.about.as_deref().unwrap_or_default();
        let about = about.replace('\\', "\\\\");
        let about = about.replace('%', "\\%").replace('_', "\\_");
        let (since, about) = (filter.since, format!("%{about}%"));
        let mut list = match &filter.actor {
            Some(actor) => {
                let sql = select_audit!(
                    "WHERE at >= $1 AND actor = $2 AND detail LIKE $3 ESCAPE '\\' \
                     ORDER BY at DESC, position DESC LIMIT $4"
                );
                let values = params![since, actor, about, filter.limit];
                self.tx.all(sql, values, row::audit).await?
            }
            None => {
                let sql = select_audit!(
                    "WHERE at >= $1 AND detail LIKE $2 ESCAPE '\\' \
                     ORDER BY at DESC, position DESC LIMIT $3"
                );
                let values = params![since, about, filter.limit];
                self.tx.all(sql, values, row::audit).await?
            }
        };
        list.reverse();
        Ok(list)
    }

    /// Number of open pieces of work.
    ///
    /// # Errors
    /// The database failed.
    pub async fn work(&self) -> Stored<Work> {
        let count = async |sql: &'static str| {
            let read =
                |row: &mut Fields<'_>| Ok((row.number::<u64>()?, row.maybe_number::<u64>()?));
            Ok::<_, crate::store::StoreError>(
                self.tx.first(sql, &[], read).await?.unwrap_or_default(),
            )
        };
        let (open_orders, oldest_order) =
            count("SELECT COUNT(*), MIN(created_at) FROM vehicle_order WHERE state = 'open'")
                .await?;
        let (due_calls, oldest_call) =
            count("SELECT COUNT(*), MIN(created_at) FROM outbox WHERE state = 'due'").await?;
        let (dead_calls, _) =
            count("SELECT COUNT(*), MIN(created_at) FROM outbox WHERE state = 'dead'").await?;
        let (open_requests, _) = count(
            "SELECT COUNT(*), MIN(created_at) FROM code_request WHERE state IN ('new', 'accepted')",
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

    /// The first answer to a call of AID1.
    ///
    /// # Errors
    /// The database failed.
    pub async fn answered(&self, client: &str, request_id: Id) -> Stored<Option<Answered>> {
        let sql = select_answered!("WHERE client = $1 AND request_id = $2");
        let values = params![client, request_id];
        self.tx.first(sql, values, row::answered).await
    }
}
