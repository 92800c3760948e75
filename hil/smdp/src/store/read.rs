//! Reads. Whatever is in the database is checked again.

use super::{Store, StoreError, Stored, StoredNotice, Versioned};
use crate::core::BoundTo;
use aid_rsp::crypto::PublicKey;
use aid_rsp::es10::TransactionId;
use sqlx::Row as _;
use sqlx::any::AnyRow;

fn unreadable(what: &str) -> StoreError {
    StoreError::Unreadable(format!("an odd value in {what}"))
}

fn order(row: &AnyRow) -> Stored<Versioned> {
    let body: String = row.try_get("body").map_err(|_| unreadable("orders"))?;
    Ok(Versioned {
        order: serde_json::from_str(&body).map_err(|e| unreadable(&format!("orders: {e}")))?,
        version: row.try_get("version").map_err(|_| unreadable("orders"))?,
    })
}

impl Store {
    /// All orders, by ICCID.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn orders(&self) -> Stored<Vec<Versioned>> {
        self.select("SELECT version, body FROM orders ORDER BY iccid", None)
            .await
    }

    /// The order of a profile.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn order(&self, iccid: &str) -> Stored<Option<Versioned>> {
        let sql = "SELECT version, body FROM orders WHERE iccid = $1";
        Ok(self.select(sql, Some(iccid)).await?.pop())
    }

    /// The order with this MatchingID.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn order_matching(&self, matching_id: &str) -> Stored<Option<Versioned>> {
        let sql = "SELECT version, body FROM orders WHERE matching_id = $1";
        Ok(self.select(sql, Some(matching_id)).await?.pop())
    }

    /// The orders of an eUICC, by ICCID.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn orders_of(&self, eid: &str) -> Stored<Vec<Versioned>> {
        let sql = "SELECT version, body FROM orders WHERE eid = $1 ORDER BY iccid";
        self.select(sql, Some(eid)).await
    }

    async fn select(&self, sql: &'static str, value: Option<&str>) -> Stored<Vec<Versioned>> {
        let mut query = sqlx::query(sql);
        if let Some(value) = value {
            query = query.bind(value.to_owned());
        }
        let rows = query
            .fetch_all(&self.pool)
            .await
            .map_err(|e| self.error(&e))?;
        rows.iter().map(order).collect()
    }

    /// Whom the BPP of a session was given to.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn bound_to(&self, id: &TransactionId) -> Stored<Option<BoundTo>> {
        let row =
            sqlx::query("SELECT eid, public_key, iccid FROM bindings WHERE transaction_id = $1")
                .bind(id.to_string())
                .fetch_optional(&self.pool)
                .await
                .map_err(|e| self.error(&e))?;
        let Some(row) = row else { return Ok(None) };
        let text = |column| {
            row.try_get::<String, _>(column)
                .map_err(|_| unreadable("bindings"))
        };
        let key = hex::decode(text("public_key")?).map_err(|_| unreadable("bindings"))?;
        Ok(Some(BoundTo {
            eid: text("eid")?,
            public_key: PublicKey::from_spki(&key).map_err(|_| unreadable("bindings"))?,
            iccid: text("iccid")?,
        }))
    }

    /// All notifications, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn notifications(&self) -> Stored<Vec<StoredNotice>> {
        let rows = sqlx::query(
            "SELECT eid, seq_number, iccid, outcome, received_at FROM notifications \
             ORDER BY received_at, eid, seq_number",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(|e| self.error(&e))?;
        let odd = |_| unreadable("notifications");
        rows.iter()
            .map(|row| {
                Ok(StoredNotice {
                    eid: row.try_get("eid").map_err(odd)?,
                    seq_number: row
                        .try_get::<i64, _>("seq_number")
                        .map_err(odd)?
                        .cast_unsigned(),
                    iccid: row.try_get("iccid").map_err(odd)?,
                    outcome: row.try_get("outcome").map_err(odd)?,
                    received_at: row
                        .try_get::<i64, _>("received_at")
                        .map_err(odd)?
                        .cast_unsigned(),
                })
            })
            .collect()
    }
}
