//! Looks at the database, for lists and for what never changes once it is stored.

use super::books::{Books, order};
use super::{Listed, Store, StoreError, Stored, StoredNotice};
use crate::core::{BoundTo, Order};
use aid_rsp::crypto::PublicKey;
use aid_rsp::es10::TransactionId;
use aid_store::{Fields, params};

const ALL: &str = "/* reads all: an operator's list */ SELECT body, profile_type, file, name, in_inventory FROM orders ORDER BY iccid";
const ONE: &str =
    "SELECT body, profile_type, file, name, in_inventory FROM orders WHERE iccid = $1";
const BY_EID: &str = "SELECT body, profile_type FROM orders WHERE eid = $1 ORDER BY iccid";
const BINDING: &str = "SELECT eid, public_key, iccid FROM bindings WHERE transaction_id = $1";
const NOTICES: &str = "/* reads all: an operator's list */ SELECT eid, seq_number, iccid, outcome, received_at FROM notifications \
     ORDER BY received_at, eid, seq_number";

fn listed(row: &mut Fields<'_>) -> Stored<Listed> {
    Ok(Listed {
        order: order(row)?,
        file: row.text()?,
        name: row.text()?,
        in_inventory: row.number::<i64>()? != 0,
    })
}

impl Store {
    /// All orders with what lists show, by ICCID.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(&self) -> Stored<Vec<Listed>> {
        let look = self.0.read(async |tx| tx.all(ALL, &[], listed).await);
        look.await
    }

    /// All orders, by ICCID.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn orders(&self) -> Stored<Vec<Order>> {
        let listed = self.list().await?.into_iter();
        Ok(listed.map(|listed| listed.order).collect())
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
        let look = self.0.read(async |tx| {
            let notices = tx.all(NOTICES, &[], |row| {
                Ok(StoredNotice {
                    eid: row.text()?,
                    seq_number: row.number::<i64>()?.cast_unsigned(),
                    iccid: row.maybe_text()?,
                    outcome: row.text()?,
                    received_at: row.number()?,
                })
            });
            notices.await
        });
        look.await
    }
}
