//! What is to be delivered: found by an index, claimed for a time, settled after each attempt.

use aid_aid1::headers::PartyId;
use aid_store::{Tx, params};

use super::begin::{is_busy, lock};
use super::end::{TokenEnd, close_token};
use super::meter::{self, Meter};
use super::row::{self, CallRow, CallState, calls};
use super::{Store, Stored};
use crate::core::delivery::Settled;

/// How long a delivery is left to the instance that has claimed it, ms.
const CLAIM: i64 = 60_000;
/// Open calls that are taken over at once.
const BATCH: i64 = 100;

/// A look for work.
#[derive(Clone, Debug)]
pub(crate) struct Due {
    /// The target.
    pub(crate) target: PartyId,
    /// How many at most.
    pub(crate) places: i64,
    /// ms since 1970
    pub(crate) now: i64,
    /// Whatever is put off beyond is due too: the clock was wrong then.
    pub(crate) latest: i64,
}

impl Store {
    /// The targets that calls wait for.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) async fn targets(&self) -> Stored<Vec<PartyId>> {
        // From one target to the next by the index, however many calls lie between them.
        let look = async |tx: &Tx<'_>| {
            let sql = "SELECT target FROM call WHERE state = 'waiting' AND target > $1 ORDER BY target LIMIT 1";
            let mut found: Vec<PartyId> = Vec::new();
            loop {
                let last = found.last().map_or("", PartyId::as_str).to_owned();
                match tx.first(sql, params![last], |row| row.parsed()).await? {
                    Some(next) => found.push(next),
                    None => return Ok(found),
                }
            }
        };
        self.0.read(look).await
    }

    /// Claims calls that are due, those that wait for the longest time first.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) async fn claim(&self, due: Due) -> Stored<Vec<CallRow>> {
        self.0.change(async move |tx| claim(tx, &due).await).await
    }

    /// Takes over calls that were stored and never answered: the instance that had them has died. Their callers repeat
    /// them, too; whoever comes first, the call is made under the same id.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) async fn adopt(&self, before: i64, now: i64) -> Stored<u64> {
        let adopt = async move |tx: &Tx<'_>| {
            let sql =
                calls!("WHERE state = 'open' AND leased_until < $1 ORDER BY leased_until LIMIT $2");
            let left = tx.all(sql, params![before, BATCH], row::read).await?;
            for call in &left {
                let state = adopted(tx, call).await?;
                let sql = "UPDATE call SET state = $3, leased_until = 0, next_at = $2, since = $2, changed_at = $2 \
                           WHERE id = $1 AND state = 'open'";
                tx.run(sql, params![call.id, now, state.as_str()]).await?;
            }
            Ok(left.len() as u64)
        };
        self.0.change(adopt).await
    }

    /// Stores what became of an attempt. A call that an operator has dropped meanwhile stays so.
    ///
    /// # Errors
    /// The database failed: it will be delivered again, under the same id.
    pub(crate) async fn settle(
        &self,
        call: CallRow,
        settled: Settled,
        reason: String,
        token: TokenEnd,
        meter: Meter,
        now: i64,
    ) -> Stored<()> {
        let settle = async move |tx: &Tx<'_>| {
            if let Some(lane) = call.lane {
                lock(tx, lane).await?;
            }
            let touched = match settled {
                Settled::Again(at) => {
                    let sql = "UPDATE call SET attempts = attempts + 1, next_at = $2, leased_until = 0, last_error = $3, \
                               changed_at = $4 WHERE id = $1 AND state = 'waiting'";
                    tx.run(sql, params![call.id, at, reason.as_str(), now])
                        .await?;
                    return Ok(());
                }
                Settled::Held(at) => {
                    let sql = "UPDATE call SET attempts = 0, since = $4, next_at = $2, leased_until = 0, last_error = $3, \
                               changed_at = $4 WHERE id = $1 AND state = 'waiting'";
                    tx.run(sql, params![call.id, at, reason.as_str(), now])
                        .await?;
                    return Ok(());
                }
                Settled::Dead if has_ended(tx, &call).await? => {
                    let sql = "UPDATE call SET state = 'dropped', attempts = attempts + 1, leased_until = 0, path = '', \
                               body = NULL, lane = NULL, last_error = $2, changed_at = $3 \
                               WHERE id = $1 AND state = 'waiting'";
                    tx.run(sql, params![call.id, reason.as_str(), now]).await?
                }
                Settled::Done => {
                    let sql = "UPDATE call SET state = 'done', attempts = attempts + 1, leased_until = 0, path = '', \
                               body = NULL, lane = NULL, last_error = '', changed_at = $2 \
                               WHERE id = $1 AND state = 'waiting'";
                    tx.run(sql, params![call.id, now]).await?
                }
                Settled::Dead => {
                    let sql = "UPDATE call SET state = 'dead', attempts = attempts + 1, leased_until = 0, \
                               last_error = $2, changed_at = $3 WHERE id = $1 AND state = 'waiting'";
                    tx.run(sql, params![call.id, reason.as_str(), now]).await?
                }
            };
            if touched == 0 {
                return Ok(());
            }
            promote(tx, &call, now).await?;
            close_token(tx, token, now).await?;
            meter::add(tx, &meter).await
        };
        self.0.change(settle).await
    }
}

/// What becomes of a call that nobody answers any more. Those that only their callers make are released: their content is
/// not here. Others wait, one of a lane at a time.
async fn adopted(tx: &Tx<'_>, call: &CallRow) -> Stored<CallState> {
    if call.path.is_empty() {
        return Ok(CallState::Released);
    }
    let Some(lane) = call.lane else {
        return Ok(CallState::Waiting);
    };
    lock(tx, lane).await?;
    Ok(match is_busy(tx, lane, &call.target).await? {
        true => CallState::Queued,
        false => CallState::Waiting,
    })
}

/// Whether the onboarding of a call's token has ended: then nothing of what the call says is kept.
async fn has_ended(tx: &Tx<'_>, call: &CallRow) -> Stored<bool> {
    let Some(lane) = call.lane else {
        return Ok(false);
    };
    let sql = "SELECT 1 FROM token WHERE key = $1 AND ended_at IS NOT NULL";
    tx.exists(sql, params![lane.0]).await
}

/// A call leaves its lane: the next one is due, once nothing of the lane waits. The time in which it is tried begins now.
pub(super) async fn promote(tx: &Tx<'_>, call: &CallRow, now: i64) -> Stored<()> {
    let Some(lane) = call.lane else {
        return Ok(());
    };
    let place = params![lane.0, call.target.as_str()];
    let waits = "SELECT 1 FROM call WHERE lane = $1 AND target = $2 AND state = 'waiting' LIMIT 1";
    if tx.exists(waits, place).await? {
        return Ok(());
    }
    let sql = calls!("WHERE lane = $1 AND target = $2 AND state = 'queued' ORDER BY id LIMIT 1");
    if let Some(next) = tx.first(sql, place, row::read).await? {
        let sql = "UPDATE call SET state = 'waiting', next_at = $2, since = $2, attempts = 0 \
                   WHERE id = $1 AND state = 'queued'";
        tx.run(sql, params![next.id, now]).await?;
    }
    Ok(())
}

async fn claim(tx: &Tx<'_>, due: &Due) -> Stored<Vec<CallRow>> {
    let mut claimed = Vec::new();
    for (from, to) in [(i64::MIN, due.now), (due.latest, i64::MAX)] {
        let sql = calls!(
            "WHERE state = 'waiting' AND target = $1 AND next_at > $2 AND next_at <= $3 \
             AND (leased_until <= $4 OR leased_until > $5) ORDER BY next_at, id LIMIT $6"
        );
        let values = params![
            due.target.as_str(),
            from,
            to,
            due.now,
            due.now + CLAIM,
            due.places,
        ];
        for call in tx.all(sql, values, row::read).await? {
            let sql = "UPDATE call SET leased_until = $2 WHERE id = $1 AND state = 'waiting' AND leased_until = $3";
            let values = params![call.id, due.now + CLAIM, call.leased_until];
            if tx.run(sql, values).await? == 1 {
                claimed.push(call);
            }
        }
        if !claimed.is_empty() {
            break;
        }
    }
    Ok(claimed)
}

impl Store {
    /// Ends the claims of an instance that is gone, where there is no other: what it had claimed is due at once. The time
    /// in which nobody could try a call does not count against it.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) async fn release(&self, now: i64) -> Stored<()> {
        let release = async move |tx: &Tx<'_>| {
            let sql =
                "UPDATE call SET leased_until = 0 WHERE state = 'waiting' AND leased_until > 0";
            tx.run(sql, &[]).await?;
            let sql = "UPDATE call SET since = since + ($1 - next_at) WHERE state = 'waiting' AND next_at < $1";
            tx.run(sql, params![now]).await.map(|_| ())
        };
        self.0.change(release).await
    }
}
