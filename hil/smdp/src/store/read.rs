//! Looks at the database, for lists and for what never changes once it is stored.

use super::books::{Books, order};
use super::{Listed, Store, StoreError, Stored, StoredNotice};
use crate::core::{BoundTo, Order};
use aid_rsp::crypto::PublicKey;
use aid_rsp::es10::TransactionId;
use aid_store::{Fields, params};
use std::fmt;
use std::str::FromStr;

const LIST: &str = "SELECT body, profile_type, file, name, in_inventory FROM orders WHERE iccid > $1 ORDER BY iccid LIMIT $2";
const ONE: &str =
    "SELECT body, profile_type, file, name, in_inventory FROM orders WHERE iccid = $1";
const BY_EID: &str = "SELECT body, profile_type FROM orders WHERE eid = $1 ORDER BY iccid";
const BINDING: &str = "SELECT eid, public_key, iccid FROM bindings WHERE transaction_id = $1";
const NOTICES: &str = "SELECT eid, seq_number, iccid, outcome, received_at, rowid FROM notifications \
     WHERE received_at >= $1 AND (received_at > $1 OR rowid > $2) ORDER BY received_at, rowid LIMIT $3";
/// Rows that are read at once where all are wanted.
const PAGE: u32 = 500;

fn listed(row: &mut Fields<'_>) -> Stored<Listed> {
    Ok(Listed {
        order: order(row)?,
        file: row.text()?,
        name: row.text()?,
        in_inventory: row.number::<i64>()? != 0,
    })
}

impl Store {
    /// At most `limit` orders with what lists show, by ICCID, behind the ICCID `after`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(&self, after: Option<&str>, limit: u32) -> Stored<Vec<Listed>> {
        let after = after.unwrap_or_default().to_owned();
        let look = self.0.read(async move |tx| {
            let values = params![&after, i64::from(limit)];
            tx.all(LIST, values, listed).await
        });
        look.await
    }

    /// All orders, by ICCID.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn orders(&self) -> Stored<Vec<Order>> {
        let mut all: Vec<Order> = Vec::new();
        loop {
            let after = all.last().map(|order| order.iccid.clone());
            let part = self.list(after.as_deref(), PAGE).await?;
            let is_last = part.len() < PAGE as usize;
            all.extend(part.into_iter().map(|listed| listed.order));
            if is_last {
                return Ok(all);
            }
        }
    }

    /// One order with what lists show.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn listed(&self, iccid: &str) -> Stored<Option<Listed>> {
        let iccid = iccid.to_owned();
        let look = self
            .0
            .read(async move |tx| tx.first(ONE, params![&iccid], listed).await);
        look.await
    }

    /// The order of a profile.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn order(&self, iccid: &str) -> Stored<Option<Order>> {
        let iccid = iccid.to_owned();
        let look = self
            .0
            .read(async move |tx| Books::new(tx).order(&iccid).await);
        look.await
    }

    /// The order with this MatchingID.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn order_matching(&self, matching_id: &str) -> Stored<Option<Order>> {
        let id = matching_id.to_owned();
        let look = self
            .0
            .read(async move |tx| Books::new(tx).order_matching(&id).await);
        look.await
    }

    /// The orders of an eUICC, by ICCID.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn orders_of(&self, eid: &str) -> Stored<Vec<Order>> {
        let eid = eid.to_owned();
        let look = self
            .0
            .read(async move |tx| tx.all(BY_EID, params![&eid], order).await);
        look.await
    }

    /// Whom the BPP of a session was given to.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn bound_to(&self, id: &TransactionId) -> Stored<Option<BoundTo>> {
        // Ours have 16 bytes; a session of another length is none of ours.
        let Ok(id) = <[u8; 16]>::try_from(id.as_bytes()) else {
            return Ok(None);
        };
        let look = self.0.read(async move |tx| {
            let values = params![id];
            let bound_to = tx.first(BINDING, values, |row| {
                Ok(BoundTo {
                    eid: row.text()?,
                    public_key: PublicKey::from_spki(&row.bytes()?)
                        .map_err(|e| StoreError::Unreadable(format!("an odd public_key: {e}")))?,
                    iccid: row.text()?,
                })
            });
            bound_to.await
        });
        look.await
    }

    /// All notifications, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn notifications(&self) -> Stored<Vec<StoredNotice>> {
        let (mut all, mut after) = (Vec::new(), NoticePlace::default());
        loop {
            let part = self.notifications_after(after, PAGE).await?;
            let is_last = part.len() < PAGE as usize;
            after = part.last().map_or(after, |(place, _)| *place);
            all.extend(part.into_iter().map(|(_, notice)| notice));
            if is_last {
                return Ok(all);
            }
        }
    }

    /// At most `limit` notifications behind a place, oldest first, each with its own place.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn notifications_after(
        &self,
        after: NoticePlace,
        limit: u32,
    ) -> Stored<Vec<(NoticePlace, StoredNotice)>> {
        let look = self.0.read(async move |tx| {
            let NoticePlace(at, row) = after;
            let values = params![at, row, i64::from(limit)];
            let notices = tx.all(NOTICES, values, |row| {
                let notice = StoredNotice {
                    eid: row.text()?,
                    seq_number: row.number::<i64>()?.cast_unsigned(),
                    iccid: row.maybe_text()?,
                    outcome: row.text()?,
                    received_at: row.number()?,
                };
                let at = notice.received_at.cast_signed();
                Ok((NoticePlace(at, row.number()?), notice))
            });
            notices.await
        });
        look.await
    }
}

/// Where a notification stands in the list of all; the first place is before all. Its text is a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoticePlace(i64, i64);

impl Default for NoticePlace {
    fn default() -> Self {
        Self(i64::MIN, i64::MIN)
    }
}

impl fmt::Display for NoticePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl FromStr for NoticePlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('.');
        let read = |text: &str| text.parse().ok();
        let place = parts.and_then(|(at, row)| Some(Self(read(at)?, read(row)?)));
        place.ok_or_else(|| format!("{text:?} is no place in the list of notifications"))
    }
}
