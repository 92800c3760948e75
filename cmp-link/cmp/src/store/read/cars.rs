//! Cars: who is or was logged in, and the codes that they show.

use crate::store::row::{self, select_login_code, select_vehicle, select_verifier};
use crate::store::work::report_digest;
use crate::store::write::eid_text;
use crate::store::{Bar, Stored, Tx};
use aid_cmp_core::model::{LoginCode, Report, Vehicle, Verifier};
use aid_id::{AccountRef, Eid, Iccid};
use aid_store::{Fields, params};
use std::ops::RangeInclusive;

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

    /// Cars by EID: those behind `after`, at most `limit`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn vehicles(&self, after: Option<Eid>, limit: u32) -> Stored<Vec<Vehicle>> {
        let sql = select_vehicle!("WHERE eid > $1 ORDER BY eid LIMIT $2");
        let values = params![eid_text(after), limit];
        self.tx.all(sql, values, row::vehicle).await
    }

    /// The car that takes part and has this vehicle identification number, other than `but`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn vehicle_with_vin(&self, vin: &str, but: Eid) -> Stored<Option<Vehicle>> {
        let sql = select_vehicle!("WHERE vin = $1 AND eid <> $2 AND retired_at IS NULL LIMIT 1");
        let values = params![vin, but.as_str()];
        self.tx.first(sql, values, row::vehicle).await
    }

    /// Of the cars from `first` to `last`, those with an open order or an answer that they have not journalled; by EID.
    ///
    /// # Errors
    /// The database failed.
    pub async fn waited_for(&self, first: Eid, last: Eid) -> Stored<Vec<Eid>> {
        let orders = "SELECT DISTINCT eid FROM vehicle_order WHERE state = 'open' \
             AND eid >= $1 AND eid <= $2";
        let answers = "SELECT DISTINCT eid FROM code_request WHERE delivered_at IS NULL \
             AND eid >= $1 AND eid <= $2 AND state IN ('answered', 'failed', 'expired')";
        let range = params![first.as_str(), last.as_str()];
        let mut cars = self.tx.all(orders, range, eid).await?;
        cars.extend(self.tx.all(answers, range, eid).await?);
        cars.sort_unstable();
        cars.dedup();
        Ok(cars)
    }

    /// Cars that were barred since this time, with when: those behind `after`, at most `limit`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn barred(
        &self,
        bar: Bar,
        since: u64,
        after: Option<(u64, Eid)>,
        limit: u32,
    ) -> Stored<Vec<(u64, Eid)>> {
        let sql = match bar {
            Bar::Retired => {
                "SELECT retired_at, eid FROM vehicle WHERE retired_at IS NOT NULL \
                 AND (retired_at, eid) > ($1, $2) ORDER BY retired_at, eid LIMIT $3"
            }
            Bar::Bound => {
                "SELECT bound_at, eid FROM vehicle WHERE bound_at IS NOT NULL \
                 AND (bound_at, eid) > ($1, $2) ORDER BY bound_at, eid LIMIT $3"
            }
        };
        let (at, last) = after.map_or((since, None), |(at, eid)| (at, Some(eid)));
        let read = |row: &mut Fields<'_>| Ok((row.number()?, eid(row)?));
        self.tx
            .all(sql, params![at, eid_text(last), limit], read)
            .await
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

    /// What lets this user in to this car without a connection.
    ///
    /// # Errors
    /// The database failed.
    pub async fn verifier(&self, eid: Eid, account: AccountRef) -> Stored<Option<Verifier>> {
        let sql = select_verifier!("WHERE eid = $1 AND account = $2");
        let values = params![eid.as_str(), account.0];
        self.tx.first(sql, values, row::verifier).await
    }

    /// The verifiers that this car has to forget.
    ///
    /// # Errors
    /// The database failed.
    pub async fn revoked_verifiers(&self, eid: Eid) -> Stored<Vec<Verifier>> {
        let sql = select_verifier!("WHERE eid = $1 AND revoked_at IS NOT NULL ORDER BY account");
        let values = params![eid.as_str()];
        self.tx.all(sql, values, row::verifier).await
    }

    /// Verifiers that were revoked after `since`, or behind `after`, in the order of their revocation.
    ///
    /// # Errors
    /// The database failed.
    pub async fn verifiers_revoked(
        &self,
        since: u64,
        after: Option<Verifier>,
        limit: u32,
    ) -> Stored<Vec<Verifier>> {
        let sql = select_verifier!(
            "WHERE revoked_at IS NOT NULL AND (revoked_at, eid, account) > ($1, $2, $3) \
             ORDER BY revoked_at, eid, account LIMIT $4"
        );
        // No EID is below the empty one.
        let from = after.map_or((since, String::new(), [0; 16]), |v| {
            (v.revoked_at.unwrap_or(since), v.eid.into(), v.account.0)
        });
        let values = params![from.0, from.1, from.2, limit];
        self.tx.all(sql, values, row::verifier).await
    }

    /// Whether the car has reported of this profile in that time, Unix milliseconds.
    ///
    /// # Errors
    /// The database failed.
    pub async fn has_reported(
        &self,
        eid: Eid,
        iccid: &Iccid,
        when: RangeInclusive<u64>,
    ) -> Stored<bool> {
        let sql = "SELECT 1 FROM report WHERE eid = $1 AND iccid = $2 AND received_at >= $3 \
             AND received_at <= $4";
        let (from, to) = when.into_inner();
        let values = params![eid.as_str(), iccid.as_str(), from, to];
        self.tx.exists(sql, values).await
    }

    /// Whether a later report of the same profile and journal came already. One without a number, which is made up for a
    /// lost one, is the latest.
    ///
    /// # Errors
    /// The database failed.
    pub async fn has_later_report(&self, report: &Report) -> Stored<bool> {
        let Some(iccid) = report.iccid.as_ref().filter(|_| report.seq != 0) else {
            return Ok(false);
        };
        let sql = "SELECT 1 FROM report WHERE eid = $1 AND iccid = $2 AND seq > $3 AND seq <= $4";
        let last = report.seq | u64::from(u32::MAX);
        let values = params![report.eid.as_str(), iccid.as_str(), report.seq, last];
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
