//! What is removed in time: found by an index, in pages, one short transaction each.

use super::books::Books;
use super::{Store, Stored};
use crate::core::{Change, Decided, SESSION_SECONDS};
use aid_rsp::es2::FinalProfileStatus;
use aid_store::{Tx, params};
use serde::Deserialize;

/// Rows of one transaction.
const PAGE: u64 = 200;
/// Seconds of a day.
const DAY: u64 = 86_400;

/// `[retention]`: for how many days what is over is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Orders that have expired; and profiles that the inventory has no more, since they went, whose order is over and
    /// whose bindings are removed.
    pub orders_days: u32,
    /// Whom a BPP was given to: an installation result that comes later is acknowledged, and not counted.
    pub bindings_days: u32,
    /// Notifications.
    pub notifications_days: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            orders_days: 30,
            bindings_days: 365,
            notifications_days: 365,
        }
    }
}

/// What becomes of profiles that the inventory has no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// They stay: the inventory is empty or damaged, so that they may come back.
    Keep,
    /// They are forgotten in time, where no card can have them.
    Forget,
}

/// How much was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Pruned {
    pub sessions: u64,
    pub orders: u64,
    pub bindings: u64,
    pub notifications: u64,
}

const SESSIONS: &str = "DELETE FROM sessions WHERE transaction_id IN \
     (SELECT transaction_id FROM sessions WHERE touched_at <= $1 ORDER BY touched_at LIMIT $2)";
const SESSIONS_AHEAD: &str = "DELETE FROM sessions WHERE transaction_id IN \
     (SELECT transaction_id FROM sessions WHERE touched_at >= $1 ORDER BY touched_at LIMIT $2)";
const NOTIFICATIONS: &str = "DELETE FROM notifications WHERE rowid IN \
     (SELECT rowid FROM notifications WHERE received_at <= $1 ORDER BY received_at LIMIT $2)";
/// One of an order that waits for its installation result stays.
const BINDINGS: &str = "DELETE FROM bindings WHERE rowid IN \
     (SELECT rowid FROM bindings b WHERE created_at <= $1 AND NOT EXISTS \
      (SELECT 1 FROM orders o WHERE o.iccid = b.iccid AND o.state = 'downloaded') \
      ORDER BY created_at LIMIT $2)";
const EXPIRED: &str =
    "SELECT iccid FROM orders WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2";
/// The list of states is that of the index. A profile that must not be ordered again stays, and so does a failed one that
/// a card may have: when its file came back, it would be available. Orders of versions that did not note their sessions
/// count as given out.
const GONE: &str = "SELECT iccid FROM orders o INDEXED BY orders_gone WHERE in_inventory = 0 \
     AND state IN ('available', 'deleted', 'error', 'unavailable') AND changed_at <= $1 AND state <> 'unavailable' \
     AND (state <> 'error' OR CASE WHEN json_valid(body) THEN json_extract(body, '$.sessions') = '[]' ELSE 0 END) \
     AND NOT EXISTS (SELECT 1 FROM bindings b WHERE b.iccid = o.iccid) ORDER BY changed_at LIMIT $2";
const NO_ORDER: &str = "DELETE FROM orders WHERE iccid = $1";

fn before(now: u64, days: u32) -> u64 {
    now.saturating_sub(u64::from(days) * DAY)
}

impl Store {
    /// Removes what is older than it may be; `now` in unix seconds. Others work between its pages. Profiles that the
    /// inventory has no more are forgotten only with [`Gone::Forget`].
    ///
    /// # Errors
    /// The database; what was removed until then is gone.
    pub async fn prune(&self, retention: Retention, gone: Gone, now: u64) -> Stored<Pruned> {
        let over = now.saturating_sub(SESSION_SECONDS);
        let ahead = now.saturating_add(2 * SESSION_SECONDS);
        let notifications = before(now, retention.notifications_days);
        let bindings = before(now, retention.bindings_days);
        let orders = before(now, retention.orders_days);
        // Bindings before profiles, which stay as long as they have one.
        Ok(Pruned {
            sessions: self.pages(SESSIONS, over).await? + self.pages(SESSIONS_AHEAD, ahead).await?,
            notifications: self.pages(NOTIFICATIONS, notifications).await?,
            bindings: self.pages(BINDINGS, bindings).await?,
            orders: self.expire(orders, now).await?
                + match gone {
                    Gone::Keep => 0,
                    Gone::Forget => self.forget(orders).await?,
                },
        })
    }

    /// Runs a statement that removes a page until there is no full one.
    async fn pages(&self, sql: &'static str, limit: u64) -> Stored<u64> {
        let mut total = 0;
        loop {
            let page = self
                .0
                .change(async move |tx| tx.run(sql, params![limit, PAGE]).await);
            let removed = page.await?;
            total += removed;
            if removed < PAGE {
                return Ok(total);
            }
        }
    }

    /// Ends the orders that expired at `before`: a profile that no card was given can be ordered again, another one is
    /// the operator's to decide.
    async fn expire(&self, before: u64, now: u64) -> Stored<u64> {
        let mut total = 0;
        loop {
            let page = self.decide(async move |books| books.expired(before, now).await);
            let ended = page.await?.result.unwrap_or_default();
            total += ended;
            if ended < PAGE {
                return Ok(total);
            }
        }
    }

    /// Forgets profiles that the inventory has no more and that no card can have.
    async fn forget(&self, before: u64) -> Stored<u64> {
        let mut total = 0;
        loop {
            let page = self.0.change(async move |tx: &Tx<'_>| {
                let found = tx
                    .all(GONE, params![before, PAGE], |row| row.text())
                    .await?;
                for iccid in &found {
                    tx.run(NO_ORDER, params![iccid]).await?;
                }
                Ok::<_, super::StoreError>(found.len() as u64)
            });
            let forgotten = page.await?;
            total += forgotten;
            if forgotten < PAGE {
                return Ok(total);
            }
        }
    }
}

impl Books<'_> {
    /// One page of orders that expired at `before`, ended.
    async fn expired(self, before: u64, now: u64) -> Stored<Decided<u64>> {
        let values = params![before, PAGE];
        let found = self.tx().all(EXPIRED, values, |row| row.text()).await?;
        let mut changes = Vec::new();
        for iccid in &found {
            let Some(mut order) = self.order(iccid).await? else {
                continue;
            };
            if order.is_expired(now) {
                match order.sessions.as_deref() {
                    Some([]) => order.put_back(FinalProfileStatus::Available, now),
                    _ => order.fail("the order expired before the card reported", now),
                }
            }
            // Whatever became of it, its time is over.
            order.expires_at = None;
            changes.push(Change::Order(Box::new(order)));
        }
        Ok(Decided {
            changes,
            result: Ok(found.len() as u64),
        })
    }
}
