//! Calls for operators: lists, one call, replay and drop.

use std::collections::BTreeMap;

use aid_store::{Fields, Tx, params};

use super::audit::{AuditRow, note};
use super::begin::{is_busy, lock};
use super::book::EditError;
use super::due::promote;
use super::row::{self, CallRow, CallState, calls};
use super::{Store, Stored};
use crate::backlog::Load;
use crate::core::pair::PairId;

/// Which calls are wanted.
#[derive(Clone, Debug)]
pub(crate) struct CallFilter {
    pub(crate) state: Option<CallState>,
    pub(crate) pair: Option<PairId>,
    /// The last so many.
    pub(crate) limit: i64,
}

impl Store {
    /// Calls, oldest first.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) async fn calls(&self, filter: CallFilter) -> Stored<Vec<CallRow>> {
        let look = async move |tx: &Tx<'_>| {
            let limit = filter.limit;
            let state = filter.state.map(CallState::as_str);
            let pair = filter.pair.map(|pair| pair.to_string());
            let mut rows = match (state, pair) {
                (None, None) => {
                    tx.all(
                        calls!(
                            "ORDER BY id DESC LIMIT $1 /* reads all: from the end, by the number */"
                        ),
                        params![limit],
                        row::read,
                    )
                    .await?
                }
                (Some(state), None) => {
                    let sql = calls!("WHERE state = $1 ORDER BY id DESC LIMIT $2");
                    tx.all(sql, params![state, limit], row::read).await?
                }
                (None, Some(pair)) => {
                    let sql = calls!("WHERE pair = $1 ORDER BY id DESC LIMIT $2");
                    tx.all(sql, params![pair, limit], row::read).await?
                }
                (Some(state), Some(pair)) => {
                    let sql = calls!("WHERE state = $1 AND pair = $2 ORDER BY id DESC LIMIT $3");
                    tx.all(sql, params![state, pair, limit], row::read).await?
                }
            };
            rows.reverse();
            Ok(rows)
        };
        self.0.read(look).await
    }

    /// One call.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) async fn call(&self, id: i64) -> Stored<Option<CallRow>> {
        let look = async move |tx: &Tx<'_>| {
            tx.first(calls!("WHERE id = $1"), params![id], row::read)
                .await
        };
        self.0.read(look).await
    }

    /// How many calls are in a state, counted to `most`.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) async fn count_calls(&self, state: CallState, most: i64) -> Stored<i64> {
        let look = async move |tx: &Tx<'_>| {
            let sql = "SELECT COUNT(*) FROM (SELECT id FROM call WHERE state = $1 LIMIT $2) AS counted \
                       /* reads all: of the bounded list within */";
            let count = tx
                .first(sql, params![state.as_str(), most], |row| row.number())
                .await?;
            Ok(count.unwrap_or_default())
        };
        self.0.read(look).await
    }

    /// What each pair has that is not delivered, dead letters included.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) async fn undelivered(&self) -> Stored<BTreeMap<PairId, Load>> {
        let look = async |tx: &Tx<'_>| {
            let sql = "SELECT pair, COUNT(*), COALESCE(SUM(LENGTH(body)), 0) FROM call \
                       WHERE state IN ('waiting', 'queued', 'dead') GROUP BY pair";
            let row = |row: &mut Fields<'_>| {
                let (pair, calls) = (row.parsed()?, row.number()?);
                let bytes = row.number()?;
                Ok((pair, Load { calls, bytes }))
            };
            Ok(tx.all(sql, &[], row).await?.into_iter().collect())
        };
        self.0.read(look).await
    }

    /// Has a call delivered again that the hub has given up or that waits: at once, or once the call of its token that
    /// waits has left. Yields the call as it is then.
    ///
    /// # Errors
    /// There is no such call, it is in another state, or the database failed.
    pub(crate) async fn replay(&self, id: i64, audit: AuditRow) -> Result<CallRow, EditError> {
        let replay = async move |tx: &Tx<'_>| {
            let states = [CallState::Dead, CallState::Waiting];
            let call = locked(tx, id, &states, "replayed").await?;
            let behind = match call.lane.filter(|_| call.state == CallState::Dead) {
                Some(lane) => is_busy(tx, lane, &call.target).await?,
                None => false,
            };
            let state = match behind {
                true => CallState::Queued,
                false => CallState::Waiting,
            };
            let sql = "UPDATE call SET state = $3, next_at = $2, leased_until = 0, attempts = 0, since = $2, \
                       changed_at = $2 WHERE id = $1";
            tx.run(sql, params![id, audit.at, state.as_str()]).await?;
            note(tx, &audit).await?;
            Ok::<_, EditError>(CallRow { state, ..call })
        };
        self.0.change(replay).await
    }

    /// Gives a call up that waits or is dead; its content goes.
    ///
    /// # Errors
    /// As [`Store::replay`].
    pub(crate) async fn drop_call(&self, id: i64, audit: AuditRow) -> Result<CallRow, EditError> {
        let drop = async move |tx: &Tx<'_>| {
            let states = [CallState::Dead, CallState::Waiting, CallState::Queued];
            let call = locked(tx, id, &states, "dropped").await?;
            let sql = "UPDATE call SET state = 'dropped', path = '', body = NULL, lane = NULL, leased_until = 0, \
                       last_error = $2, changed_at = $3 WHERE id = $1";
            tx.run(sql, params![id, audit.reason.as_str(), audit.at])
                .await?;
            promote(tx, &call, audit.at).await?;
            note(tx, &audit).await?;
            Ok::<_, EditError>(call)
        };
        self.0.change(drop).await
    }
}

/// The call with its lane locked. It may have ended while others had the lane.
async fn locked(
    tx: &Tx<'_>,
    id: i64,
    states: &[CallState],
    done: &str,
) -> Result<CallRow, EditError> {
    let call = found(tx, id, states, done).await?;
    match call.lane {
        Some(lane) => {
            lock(tx, lane).await?;
            found(tx, id, states, done).await
        }
        None => Ok(call),
    }
}

async fn found(
    tx: &Tx<'_>,
    id: i64,
    states: &[CallState],
    done: &str,
) -> Result<CallRow, EditError> {
    let call = tx
        .first(calls!("WHERE id = $1"), params![id], row::read)
        .await?;
    let call = call.ok_or_else(|| {
        EditError::Refused(format!("there is no call {id}; `call list` shows them"))
    })?;
    if states.contains(&call.state) {
        return Ok(call);
    }
    let words: Vec<_> = states.iter().map(|state| state.as_str()).collect();
    Err(EditError::Refused(format!(
        "call {id} is {}; only calls that are {} can be {done}",
        call.state,
        words.join(" or ")
    )))
}
