//! Cars: who is or was logged in, and the codes that they show.

use crate::store::row::{self, select_login_code, select_vehicle};
use crate::store::work::report_digest;
use crate::store::{Stored, Tx};
use aid_cmp_core::model::{LoginCode, Report, Vehicle};
use aid_id::{AccountRef, Eid, Iccid};
use aid_store::{Fields, params};

fn eid(row: &mut Fields<'_>) -> Stored<Eid> {
    row.parsed()
}

impl Tx<'_> {
    /// A car.
    ///
    /// # Errors
    /// The database failed.
    pub async fn vehicle(&self, eid: Eid) -> Stored<Option<Vehicle>> {
        let sql = select_vehicle!("WHERE eid = $1");
        self.tx
            .first(sql, params![eid.as_str()], row::vehicle)
            .await
    }

    /// All cars by EID.
    ///
    /// # Errors
    /// The database failed.
    pub async fn vehicles(&self) -> Stored<Vec<Vehicle>> {
        let sql = select_vehicle!("ORDER BY eid");
        self.tx.all(sql, &[], row::vehicle).await
    }

    /// Cars that stopped taking part, or were bound to a certificate, since this time.
    ///
    /// # Errors
    /// The database failed.
    pub async fn barred_since(&self, since: u64) -> Stored<Vec<Eid>> {
        let sql = "SELECT eid FROM vehicle WHERE retired_at >= $1 OR bound_at >= $1";
        self.tx.all(sql, params![since], eid).await
    }

    /// Cars in which the user is logged in.
    ///
    /// # Errors
    /// The database failed.
    pub async fn sessions(&self, of: AccountRef) -> Stored<Vec<Eid>> {
        let sql = "SELECT eid FROM vehicle WHERE session = $1 ORDER BY eid";
        self.tx.all(sql, params![of.0], eid).await
    }

    /// Whether the user has logged in to the car.
    ///
    /// # Errors
    /// The database failed.
    pub async fn has_logged_in(&self, eid: Eid, account: AccountRef) -> Stored<bool> {
        let sql = "SELECT 1 FROM vehicle_login WHERE eid = $1 AND account = $2";
        self.tx.exists(sql, params![eid.as_str(), account.0]).await
    }

    /// The users that logged in to a car.
    ///
    /// # Errors
    /// The database failed.
    pub async fn users_of(&self, eid: Eid) -> Stored<Vec<AccountRef>> {
        let sql = "SELECT account FROM vehicle_login WHERE eid = $1 ORDER BY account";
        let read = |row: &mut Fields<'_>| row.id().map(AccountRef);
        self.tx.all(sql, params![eid.as_str()], read).await
    }

    /// The cars that a user logged in to.
    ///
    /// # Errors
    /// The database failed.
    pub async fn cars_of(&self, account: AccountRef) -> Stored<Vec<Eid>> {
        let sql = "SELECT eid FROM vehicle_login WHERE account = $1 ORDER BY eid";
        self.tx.all(sql, params![account.0], eid).await
    }

    /// A login code as a user types it.
    ///
    /// # Errors
    /// The database failed.
    pub async fn login_code(&self, code: &str) -> Stored<Option<LoginCode>> {
        let sql = select_login_code!("WHERE code = $1");
        self.tx.first(sql, params![code], row::login_code).await
    }

    /// The login code of a car.
    ///
    /// # Errors
    /// The database failed.
    pub async fn login_code_of(&self, eid: Eid) -> Stored<Option<LoginCode>> {
        let sql = select_login_code!("WHERE eid = $1");
        let values = params![eid.as_str()];
        self.tx.first(sql, values, row::login_code).await
    }

    /// Whether the car has reported of this profile since then, Unix milliseconds.
    ///
    /// # Errors
    /// The database failed.
    pub async fn has_reported(&self, eid: Eid, iccid: &Iccid, since: u64) -> Stored<bool> {
        let sql = "SELECT 1 FROM report WHERE eid = $1 AND iccid = $2 AND received_at >= $3";
        let values = params![eid.as_str(), iccid.as_str(), since];
        self.tx.exists(sql, values).await
    }

    /// Whether this very report came already.
    ///
    /// # Errors
    /// The database failed.
    pub async fn has_report(&self, report: &Report) -> Stored<bool> {
        let sql = "SELECT 1 FROM report WHERE eid = $1 AND seq = $2 AND digest = $3";
        let values = params![report.eid.as_str(), report.seq, report_digest(report)];
        self.tx.exists(sql, values).await
    }
}
