//! What is to be delivered: found by an index, claimed for a time, settled after each attempt.

use aid_aid1::headers::PartyId;
use aid_store::{Tx, params};

use super::begin::lock;
use super::end::{TokenEnd, close_token};
use super::meter::{self, Meter};
use super::row::{self, CallRow, calls};
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
                // Those that only their callers make are released: their content is not here.
                let sql = match call.path.is_empty() {
                    true => {
                        "UPDATE call SET state = 'released', leased_until = 0, changed_at = $2 WHERE id = $1"
                    }
                    false => {
                        "UPDATE call SET state = 'waiting', leased_until = 0, next_at = $2, changed_at = $2 WHERE id = $1"
                    }
                };
                tx.run(sql, params![call.id, now]).await?;
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

/// The next call of the lane is due, once nothing of it waits.
pub(super) async fn promote(tx: &Tx<'_>, call: &CallRow, now: i64) -> Stored<()> {
    let Some(lane) = call.lane else {
        return Ok(());
    };
    let sql = calls!(
        "WHERE lane = $1 AND target = $2 AND state IN ('waiting', 'queued') ORDER BY id LIMIT 1"
    );
    let next = tx
        .first(sql, params![lane.0, call.target.as_str()], row::read)
        .await?;
    if let Some(next) = next {
        let sql =
            "UPDATE call SET state = 'waiting', next_at = $2 WHERE id = $1 AND state = 'queued'";
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
    /// Ends the claims of an instance that is gone, where there is no other: what it had claimed is due at once.
    ///
    /// # Errors
    /// The database failed.
    pub(crate) async fn release(&self) -> Stored<()> {
        let release = async |tx: &Tx<'_>| {
            let sql =
                "UPDATE call SET leased_until = 0 WHERE state = 'waiting' AND leased_until > 0";
            tx.run(sql, &[]).await.map(|_| ())
        };
        self.0.change(release).await
    }
}
