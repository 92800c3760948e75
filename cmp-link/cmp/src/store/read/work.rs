//! What is to be done and what was done: orders, calls, their history, answers, the audit trail.

use crate::store::row::{
    self, select_answered, select_audit, select_call, select_happening, select_order,
};
use crate::store::{AuditFilter, DueLane, StoreError, Stored, Tx, Work};
use aid_cmp_core::model::{Answered, Audit, Call, CallKind, CallState, Happening, Order};
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

    /// The open orders of a car, oldest first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn open_orders(&self, of: Eid) -> Stored<Vec<Order>> {
        let sql = select_order!("WHERE eid = $1 AND state = 'open' ORDER BY position");
        self.tx.all(sql, params![of.as_str()], row::order).await
    }

    /// Orders with their positions: of a car or all, open ones or all; oldest first, those behind `after`, at most
    /// `limit`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn orders(
        &self,
        of: Option<Eid>,
        open: bool,
        after: Option<u64>,
        limit: u32,
    ) -> Stored<Vec<(u64, Order)>> {
        macro_rules! orders {
            ($rest:literal) => {
                concat!(
                    "SELECT position, ",
                    select_order!(columns),
                    " FROM vehicle_order ",
                    $rest
                )
            };
        }
        let after = after.unwrap_or_default();
        let read = |row: &mut Fields<'_>| Ok((row.number()?, row::order(row)?));
        if let Some(eid) = of {
            let sql = match open {
                true => orders!(
                    "WHERE state = 'open' AND eid = $1 AND position > $2 ORDER BY position LIMIT $3"
                ),
                false => orders!("WHERE eid = $1 AND position > $2 ORDER BY position LIMIT $3"),
            };
            let values = params![eid.as_str(), after, limit];
            return self.tx.all(sql, values, read).await;
        }
        let sql = match open {
            true => orders!("WHERE state = 'open' AND position > $1 ORDER BY position LIMIT $2"),
            false => orders!("WHERE position > $1 ORDER BY position LIMIT $2"),
        };
        self.tx.all(sql, params![after, limit], read).await
    }

    /// Open orders that were never sent, given since this time, with their positions: those behind `after` (the time and
    /// the position), at most `limit`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn unsent(
        &self,
        since: u64,
        after: Option<(u64, u64)>,
        limit: u32,
    ) -> Stored<Vec<(u64, Order)>> {
        let sql = concat!(
            "SELECT position, ",
            select_order!(columns),
            " FROM vehicle_order WHERE state = 'open' AND sent_at IS NULL \
             AND (created_at, position) > ($1, $2) ORDER BY created_at, position LIMIT $3"
        );
        // No position is below one.
        let (at, position) = after.unwrap_or((since, 0));
        let read = |row: &mut Fields<'_>| Ok((row.number()?, row::order(row)?));
        let values = params![at, position, limit];
        self.tx.all(sql, values, read).await
    }

    /// The MSPs and kinds of calls that have calls that are due or waiting, and when the next call of each can be claimed.
    /// What somebody has claimed is looked at again when the claim ends.
    ///
    /// # Errors
    /// The database failed.
    pub async fn due_lanes(&self, now: u64) -> Stored<Vec<DueLane>> {
        // From one to the next by the index, however many calls lie between them.
        let next_kind = "SELECT msp, kind FROM outbox WHERE state = 'due' AND msp = $1 AND kind > $2 \
             ORDER BY kind LIMIT 1";
        let next_msp = "SELECT msp, kind FROM outbox WHERE state = 'due' AND msp > $1 \
             ORDER BY msp, kind LIMIT 1";
        let unclaimed = "SELECT 1 FROM outbox o WHERE o.state = 'due' AND o.msp = $1 AND o.kind = $2 \
             AND o.next_at <= $3 AND o.claimed_until <= $3 AND NOT EXISTS (SELECT 1 FROM outbox e \
             WHERE e.msp = o.msp AND e.lane = o.lane AND e.state = 'due' AND e.position < o.position) \
             LIMIT 1";
        let later = "SELECT next_at FROM outbox WHERE state = 'due' AND msp = $1 AND kind = $2 \
             AND next_at > $3 ORDER BY next_at LIMIT 1";
        let mut lanes: Vec<DueLane> = Vec::new();
        loop {
            let (msp, kind) = match lanes.last() {
                Some(last) => (last.msp.as_str(), last.kind.as_str()),
                None => ("", ""),
            };
            let read = |row: &mut Fields<'_>| Ok((row.text()?, row.text()?));
            let mut found = self.tx.first(next_kind, params![msp, kind], read).await?;
            if found.is_none() {
                found = self.tx.first(next_msp, params![msp], read).await?;
            }
            let Some((msp, kind)) = found else {
                return Ok(lanes);
            };
            let due = params![&msp, &kind, now];
            let next = match self.tx.exists(unclaimed, due).await? {
                true => Some(now),
                false => self.tx.first(later, due, |row| row.number()).await?,
            };
            let kind = CallKind::from_text(&kind)
                .ok_or_else(|| StoreError::Unreadable(format!("an odd kind of call: {kind}")))?;
            lanes.push(DueLane { msp, kind, next });
        }
    }

    /// Calls of this state with their positions, oldest first: those behind `after`, at most `limit`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn calls(
        &self,
        state: CallState,
        after: Option<u64>,
        limit: u32,
    ) -> Stored<Vec<(u64, Call)>> {
        macro_rules! calls {
            ($state:literal) => {
                concat!(
                    "SELECT position, ",
                    select_call!(columns),
                    " FROM outbox WHERE state = '",
                    $state,
                    "' AND position > $1 ORDER BY position LIMIT $2"
                )
            };
        }
        // By their indexes.
        let sql = match state {
            CallState::Due => calls!("due"),
            CallState::Dead => calls!("dead"),
            CallState::Done => calls!("done"),
            CallState::Dropped => calls!("dropped"),
        };
        let read = |row: &mut Fields<'_>| Ok((row.number()?, row::call(row)?));
        let values = params![after.unwrap_or_default(), limit];
        self.tx.all(sql, values, read).await
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

    /// Entries of the audit trail that the filter lets pass, with their positions, oldest first: those behind `after` (the
    /// time and the position), at most `limit`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn audits(
        &self,
        filter: &AuditFilter,
        after: Option<(u64, u64)>,
        limit: u32,
    ) -> Stored<Vec<(u64, Audit)>> {
        let sql = concat!(
            "SELECT position, ",
            select_audit!(columns),
            " FROM audit WHERE (at, position) > ($1, $2) AND ($3 = '' OR actor = $3) \
             AND detail LIKE $4 ESCAPE '\\' ORDER BY at, position LIMIT $5"
        );
        let (at, position) = after.unwrap_or((filter.since, 0));
        let (actor, about) = patterns(filter);
        let values = params![at, position, actor, about, limit];
        self.tx.all(sql, values, numbered_audit).await
    }

    /// The newest entries of the audit trail that the filter lets pass, oldest of them first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn newest_audits(
        &self,
        filter: &AuditFilter,
        limit: u32,
    ) -> Stored<Vec<(u64, Audit)>> {
        let sql = concat!(
            "SELECT position, ",
            select_audit!(columns),
            " FROM audit WHERE at >= $1 AND ($2 = '' OR actor = $2) \
             AND detail LIKE $3 ESCAPE '\\' ORDER BY at DESC, position DESC LIMIT $4"
        );
        let (actor, about) = patterns(filter);
        let values = params![filter.since, actor, about, limit];
        let mut list = self.tx.all(sql, values, numbered_audit).await?;
        list.reverse();
        Ok(list)
    }

    /// Number of open pieces of work. It looks at all of them, so it is for metrics and operators.
    ///
    /// # Errors
    /// The database failed.
    pub async fn work(&self) -> Stored<Work> {
        let number = async |sql: &'static str| {
            let read = |row: &mut Fields<'_>| row.number::<u64>();
            self.tx.first(sql, &[], read).await
        };
        let count = async |sql| number(sql).await.map(Option::unwrap_or_default);
        Ok(Work {
            open_orders: count(
                "/* reads all: counts, by an index */ \
                 SELECT COUNT(*) FROM vehicle_order WHERE state = 'open'",
            )
            .await?,
            oldest_order: number(
                "SELECT created_at FROM vehicle_order WHERE state = 'open' ORDER BY position LIMIT 1",
            )
            .await?,
            due_calls: count(
                "/* reads all: counts, by an index */ \
                 SELECT COUNT(*) FROM outbox WHERE state = 'due'",
            )
            .await?,
            oldest_call: number(
                "SELECT created_at FROM outbox WHERE state = 'due' ORDER BY position LIMIT 1",
            )
            .await?,
            dead_calls: count(
                "/* reads all: counts, by an index */ \
                 SELECT COUNT(*) FROM outbox WHERE state = 'dead'",
            )
            .await?,
            open_requests: count(
                "/* reads all: counts, by an index */ \
                 SELECT COUNT(*) FROM code_request WHERE state IN ('new', 'accepted')",
            )
            .await?,
        })
    }

    /// How many open orders were given at this time or before.
    ///
    /// # Errors
    /// The database failed.
    pub async fn overdue_orders(&self, before: u64) -> Stored<u64> {
        let sql = "/* reads all: an operator's summary of open orders */ \
             SELECT COUNT(*) FROM vehicle_order WHERE state = 'open' AND created_at <= $1";
        let values = params![before];
        let count = self.tx.first(sql, values, |row| row.number()).await?;
        Ok(count.unwrap_or_default())
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

fn numbered_audit(row: &mut Fields<'_>) -> Stored<(u64, Audit)> {
    Ok((row.number()?, row::audit(row)?))
}

/// The actor, or nothing for all; and the pattern of a text in the detail, which is looked for as it is: no wildcard in it
/// has a meaning.
fn patterns(filter: &AuditFilter) -> (&str, String) {
    let about = filter.about.as_deref().unwrap_or_default();
    let about = about.replace('\\', "\\\\");
    let about = about.replace('%', "\\%").replace('_', "\\_");
    let actor = filter.actor.as_deref().unwrap_or_default();
    (actor, format!("%{about}%"))
}
