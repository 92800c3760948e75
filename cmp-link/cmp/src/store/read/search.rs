//! What an operator looks for: vehicles by the beginning of a name, and all that belongs to one transaction.

use crate::store::row::{self, select_call, select_order, select_request, select_vehicle};
use crate::store::{Stored, Tx};
use aid_cmp_core::model::{Call, CodeRequest, Order, Vehicle};
use aid_id::Id;
use aid_store::{Engine, params};

/// Rows of one transaction that are shown at most.
const ROWS: u32 = 500;

impl Tx<'_> {
    /// Vehicles whose EID begins with these digits, by EID, at most `limit`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn vehicles_like(&self, digits: &str, limit: u32) -> Stored<Vec<Vehicle>> {
        let sql = select_vehicle!("WHERE eid >= $1 AND eid < $2 ORDER BY eid LIMIT $3");
        // Behind every digit.
        let values = params![digits, format!("{digits}:"), limit];
        self.tx.all(sql, values, row::vehicle).await
    }

    /// Vehicles whose VIN begins with these capital letters and digits, by VIN, at most `limit`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn vehicles_with_vin_like(&self, vin: &str, limit: u32) -> Stored<Vec<Vehicle>> {
        // SQLite compares bytes; PostgreSQL as the database's language does, in which Z is behind all that a VIN has, too.
        let sql = match self.tx.engine() {
            Engine::Sqlite => {
                select_vehicle!("WHERE vin >= $1 AND vin < $2 ORDER BY vin, eid LIMIT $3")
            }
            Engine::Postgres => {
                select_vehicle!("WHERE vin >= $1 AND vin <= $2 ORDER BY vin LIMIT $3")
            }
        };
        let values = params![vin, format!("{vin}{}", "Z".repeat(17)), limit];
        self.tx.all(sql, values, row::vehicle).await
    }

    /// The orders of a transaction, oldest first; the first five hundred.
    ///
    /// # Errors
    /// The database failed.
    pub async fn orders_of(&self, correlation: Id) -> Stored<Vec<Order>> {
        let sql = select_order!("WHERE correlation = $1 LIMIT $2");
        let mut list = self
            .tx
            .all(sql, params![correlation, ROWS], row::order)
            .await?;
        list.sort_by_key(|o| (o.created_at, o.id));
        Ok(list)
    }

    /// The calls to MSPs of a transaction, oldest first; the first five hundred.
    ///
    /// # Errors
    /// The database failed.
    pub async fn calls_of(&self, correlation: Id) -> Stored<Vec<Call>> {
        let sql = select_call!("WHERE correlation = $1 LIMIT $2");
        let mut list = self
            .tx
            .all(sql, params![correlation, ROWS], row::call)
            .await?;
        list.sort_by_key(|c| (c.created_at, c.id));
        Ok(list)
    }

    /// The requests for activation codes of a transaction, oldest first; the first five hundred.
    ///
    /// # Errors
    /// The database failed.
    pub async fn requests_of(&self, correlation: Id) -> Stored<Vec<CodeRequest>> {
        let sql = select_request!("WHERE correlation = $1 LIMIT $2");
        let mut list = self
            .tx
            .all(sql, params![correlation, ROWS], row::request)
            .await?;
        list.sort_by_key(|r| (r.created_at, r.id));
        Ok(list)
    }
}
