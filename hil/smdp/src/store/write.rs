//! Writes; each function is one transaction.

use super::{Store, StoreError, Stored, Versioned};
use crate::core::{Euicc, Notice, Order};
use aid_rsp::es10::TransactionId;
use aid_store::writer::Transaction;

fn body(order: &Order) -> Stored<String> {
    serde_json::to_string(order).map_err(|e| StoreError::Unreadable(e.to_string()))
}

/// Unix seconds, sequence numbers: the database knows signed numbers only, the bits stay the same.
const fn number(n: u64) -> i64 {
    n.cast_signed()
}

impl Store {
    /// Adds profiles that are not there yet; those that are keep their order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn add_profiles(&self, orders: &[Order]) -> Stored<()> {
        let mut tx = self.begin().await?;
        for order in orders {
            sqlx::query(
                "INSERT INTO orders (iccid, state, version, body) VALUES ($1, $2, 1, $3) \
                 ON CONFLICT (iccid) DO NOTHING",
            )
            .bind(order.iccid.clone())
            .bind(order.state.as_str())
            .bind(body(order)?)
            .execute(&mut tx)
            .await
            .map_err(|e| self.error(&e))?;
        }
        self.commit(tx).await
    }

    /// Saves a changed order.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when somebody else saved it since it was read.
    pub async fn save(&self, order: &Versioned) -> Stored<()> {
        let mut tx = self.begin().await?;
        self.update(&mut tx, order).await?;
        self.commit(tx).await
    }

    /// Saves an order whose BPP is about to be given to a card.
    ///
    /// # Errors
    /// As [`Store::save`].
    pub async fn save_bound(
        &self,
        order: &Versioned,
        id: &TransactionId,
        euicc: &Euicc,
    ) -> Stored<()> {
        let mut tx = self.begin().await?;
        self.update(&mut tx, order).await?;
        sqlx::query(
            "INSERT INTO bindings (transaction_id, iccid, eid, public_key, created_at) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (transaction_id) DO NOTHING",
        )
        .bind(id.to_string())
        .bind(order.order.iccid.clone())
        .bind(euicc.eid.clone())
        .bind(hex::encode_upper(euicc.public_key.to_spki()))
        .bind(number(order.order.changed_at))
        .execute(&mut tx)
        .await
        .map_err(|e| self.error(&e))?;
        self.commit(tx).await
    }

    /// Stores a notification, and the order that it changed. `false`: it was there already, and
    /// nothing changed.
    ///
    /// # Errors
    /// As [`Store::save`].
    pub async fn save_notice(
        &self,
        notice: &Notice,
        der: &[u8],
        order: Option<&Versioned>,
        now: u64,
    ) -> Stored<bool> {
        let mut tx = self.begin().await?;
        let inserted = sqlx::query(
            "INSERT INTO notifications (eid, seq_number, digest, iccid, outcome, der, received_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (eid, seq_number, digest) DO NOTHING",
        )
        .bind(notice.eid.clone())
        .bind(number(notice.seq_number))
        .bind(hex::encode_upper(notice.digest))
        .bind(notice.iccid.clone())
        .bind(notice.outcome.text())
        .bind(hex::encode_upper(der))
        .bind(number(now))
        .execute(&mut tx)
        .await
        .map_err(|e| self.error(&e))?
        .rows_affected()
            > 0;
        if inserted && let Some(order) = order {
            self.update(&mut tx, order).await?;
        }
        self.commit(tx).await?;
        Ok(inserted)
    }

    async fn begin(&self) -> Stored<Transaction> {
        self.writer.begin().await.map_err(|e| self.error(&e))
    }

    async fn commit(&self, tx: Transaction) -> Stored<()> {
        tx.commit().await.map_err(|e| self.error(&e))
    }

    async fn update(&self, tx: &mut Transaction, versioned: &Versioned) -> Stored<()> {
        let order = &versioned.order;
        // Orders that are found by EID alone have no MatchingID to be found by.
        let matching_id = order.matching_id.clone().filter(|m| !m.is_empty());
        let changed = sqlx::query(
            "UPDATE orders SET state = $1, eid = $2, matching_id = $3, body = $4, \
             version = version + 1 WHERE iccid = $5 AND version = $6",
        )
        .bind(order.state.as_str())
        .bind(order.eid.clone())
        .bind(matching_id)
        .bind(body(order)?)
        .bind(order.iccid.clone())
        .bind(versioned.version)
        .execute(&mut *tx)
        .await
        .map_err(|e| match e.as_database_error() {
            // Another order got the MatchingID in between.
            Some(d) if d.is_unique_violation() => StoreError::Conflict(order.iccid.clone()),
            _ => self.error(&e),
        })?
        .rows_affected();
        if changed == 1 {
            Ok(())
        } else {
            Err(StoreError::Conflict(order.iccid.clone()))
        }
    }
}
