//! What a decision may read: only on the transaction that stores what it decides.

use super::{StoreError, Stored};
use crate::core::{Known, Notice, Order, call_of, plain_iccid};
use aid_rsp::es2::DownloadOrderRequest;
use aid_store::{Fields, Tx, Value, params};

/// The books as they are at the moment of a decision.
#[derive(Debug, Clone, Copy)]
pub struct Books<'t>(&'t Tx<'t>);

/// Reads an order of a row that has its body alone.
pub(super) fn order(row: &mut Fields<'_>) -> Stored<Order> {
    let body = row.text()?;
    serde_json::from_str(&body).map_err(|e| StoreError::Unreadable(format!("an odd order: {e}")))
}

/// Sequence numbers: the database knows signed numbers only, the bits stay the same.
pub(super) const fn seq_number(n: u64) -> Value<'static> {
    Value::Int(n.cast_signed())
}

const BY_ICCID: &str = "SELECT body FROM orders WHERE iccid = $1";
const BY_MATCHING_ID: &str = "SELECT body FROM orders WHERE matching_id = $1";
const IN_INVENTORY: &str = "SELECT body FROM orders WHERE iccid = $1 AND in_inventory = 1";
const BY_CALL: &str = "SELECT body FROM orders WHERE call = $1 AND eid IS $2 AND in_inventory = 1";
const FIRST: &str = "SELECT body FROM orders WHERE in_inventory = 1 AND state = 'available' \
     ORDER BY iccid LIMIT 1";
const FIRST_OF_TYPE: &str = "SELECT body FROM orders WHERE in_inventory = 1 AND state = 'available' \
     AND profile_type = $1 ORDER BY iccid LIMIT 1";
const ANY_OF_TYPE: &str =
    "SELECT body FROM orders WHERE in_inventory = 1 AND profile_type = $1 LIMIT 1";
const KNOWN: &str =
    "/* reads all: the inventory, at a start */ SELECT iccid, in_inventory FROM orders";
const NOTICE: &str =
    "SELECT 1 FROM notifications WHERE eid = $1 AND seq_number = $2 AND digest = $3";

impl<'t> Books<'t> {
    pub(super) const fn new(tx: &'t Tx<'t>) -> Self {
        Self(tx)
    }

    /// The order of a profile.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn order(self, iccid: &str) -> Stored<Option<Order>> {
        self.0.first(BY_ICCID, params![iccid], order).await
    }

    /// The order with this MatchingID.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn order_matching(self, matching_id: &str) -> Stored<Option<Order>> {
        let values = params![matching_id];
        self.0.first(BY_MATCHING_ID, values, order).await
    }

    /// The orders that count for a DownloadOrder, by ICCID: the same decision is made on them as on all of them. What
    /// was taken out of the inventory can't be delivered, so it does not count.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn candidates(self, request: &DownloadOrderRequest) -> Stored<Vec<Order>> {
        let mut found = Vec::new();
        if let Some(call) = call_of(&request.header) {
            let eid: Option<&str> = request.eid.as_ref().map(AsRef::as_ref);
            found = self.0.all(BY_CALL, params![&call, eid], order).await?;
        }
        let kind: Option<&str> = request.profile_type.as_ref().map(AsRef::as_ref);
        match (&request.iccid, kind) {
            (Some(iccid), _) => {
                let values = params![plain_iccid(iccid.as_ref())];
                found.extend(self.0.first(IN_INVENTORY, values, order).await?);
            }
            (None, None) => found.extend(self.0.first(FIRST, &[], order).await?),
            (None, Some(kind)) => {
                found.extend(self.0.first(FIRST_OF_TYPE, params![kind], order).await?);
                // Tells a type of which none is left from one that never was.
                found.extend(self.0.first(ANY_OF_TYPE, params![kind], order).await?);
            }
        }
        found.sort_by(|a, b| a.iccid.cmp(&b.iccid));
        found.dedup_by(|a, b| a.iccid == b.iccid);
        Ok(found)
    }

    /// All profiles that were ever in the inventory.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn known(self) -> Stored<Known> {
        let read = |row: &mut Fields<'_>| Ok((row.text()?, row.number::<i64>()? != 0));
        Ok(self.0.all(KNOWN, &[], read).await?.into_iter().collect())
    }

    /// Whether a notification is stored already.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn is_known(self, notice: &Notice) -> Stored<bool> {
        let values = [
            Value::from(&notice.eid),
            seq_number(notice.seq_number),
            Value::from(&notice.digest[..]),
        ];
        self.0.exists(NOTICE, &values).await
    }
}
