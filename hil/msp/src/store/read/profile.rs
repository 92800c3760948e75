//! Profiles, and what was reported about them.

use aid_id::{Eid, Iccid, MspToken};
use aid_store::{Fields, params};
use uuid::Uuid;

use crate::core::model::{Profile, Progress, StatusRow};
use crate::store::page::{by_number, by_time};
use crate::store::tx::flag;
use crate::store::{Page, Stored, Tx};

/// A SELECT of profiles, to be followed by what it is to find.
macro_rules! profiles {
    ($($rest:tt)*) => {
        concat!(
            "SELECT iccid, msp_token, eid, matching_id, state, network, created_at, used_at FROM profile ",
            $($rest)*
        )
    };
}

fn read(row: &mut Fields<'_>) -> Stored<Profile> {
    Ok(Profile {
        iccid: row.parsed()?,
        msp_token: row.parsed()?,
        eid: row.parsed()?,
        matching_id: row.text()?,
        phase: row.parsed()?,
        network: flag(row)?,
        created_at: row.number()?,
        used_at: row.number()?,
    })
}

/// A SELECT of reports, to be followed by what it is to find.
macro_rules! statuses {
    ($($rest:tt)*) => {
        concat!(
            "SELECT seq, at, client_id, msp_token, iccid, eid, status, correlation_id FROM status ",
            $($rest)*
        )
    };
}

fn status(row: &mut Fields<'_>) -> Stored<StatusRow> {
    Ok(StatusRow {
        seq: row.number()?,
        at: row.number()?,
        client_id: row.parsed()?,
        msp_token: row.parsed()?,
        iccid: row.parsed()?,
        eid: row.text()?.as_str().into(),
        status: row.parsed()?,
        correlation_id: row.parsed()?,
    })
}

/// A SELECT of progress, to be followed by what it is to find.
macro_rules! steps {
    ($($rest:tt)*) => {
        concat!("SELECT seq, at, iccid, eid, point, status, message FROM progress ", $($rest)*)
    };
}

fn step(row: &mut Fields<'_>) -> Stored<(i64, i64, Progress)> {
    let (seq, at) = (row.number()?, row.number()?);
    let progress = Progress {
        iccid: row.parsed()?,
        eid: row.maybe_text()?,
        point: row.number()?,
        status: row.text()?,
        message: row.maybe_text()?,
    };
    Ok((seq, at, progress))
}

impl Tx<'_> {
    /// The newest profile of a token with this ICCID.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn profile(self, token: MspToken, iccid: &Iccid) -> Stored<Option<Profile>> {
        let sql = profiles!("WHERE msp_token = $1 AND iccid = $2 ORDER BY created_at DESC LIMIT 1");
        let values = params![token.to_string(), iccid.as_str()];
        self.first(sql, values, read).await
    }

    /// All profiles of a token, oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn profiles_of(self, token: MspToken) -> Stored<Vec<Profile>> {
        let sql = profiles!("WHERE msp_token = $1 ORDER BY created_at, iccid");
        self.all(sql, params![token.to_string()], read).await
    }

    /// All profiles with this ICCID, oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn profiles_with(self, iccid: &Iccid) -> Stored<Vec<Profile>> {
        let sql = profiles!("WHERE iccid = $1 ORDER BY created_at");
        self.all(sql, params![iccid.as_str()], read).await
    }

    /// The profiles that take a slot of a subscription: of all its live onboardings, and of this token.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn slots(self, token: MspToken, subscription: &str) -> Stored<Vec<Profile>> {
        let sql = profiles!(
            "WHERE state IN ('prepared', 'installed') AND (msp_token = $1 OR msp_token IN
             (SELECT msp_token FROM onboarding WHERE subscription = $2 AND state IN ('pending', 'active')))"
        );
        let values = params![token.to_string(), subscription];
        self.all(sql, values, read).await
    }

    /// A part of the profiles by their time.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn profiles(self, page: &Page) -> Stored<Vec<Profile>> {
        let sql = by_time!(profiles, "created_at", "iccid");
        self.part_by_time(sql, page, None, read).await
    }

    /// The newest profiles of an eUICC, at most 100.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn profiles_in(self, eid: &Eid) -> Stored<Vec<Profile>> {
        let sql = profiles!("WHERE eid = $1 ORDER BY created_at DESC LIMIT 100");
        self.all(sql, params![eid.as_str()], read).await
    }

    /// A part of the reports of CMPs, in the order of their arrival.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn statuses(self, page: &Page) -> Stored<Vec<StatusRow>> {
        let sql = by_number!(statuses, "seq");
        self.part_by_number(sql, page, status).await
    }

    /// The newest reports about a profile, at most 100.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn statuses_of(self, iccid: &Iccid) -> Stored<Vec<StatusRow>> {
        let sql = statuses!("WHERE iccid = $1 ORDER BY seq DESC LIMIT 100");
        self.all(sql, params![iccid.as_str()], status).await
    }

    /// The newest reports about the profiles of a token, at most 100.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn statuses_with(self, token: MspToken) -> Stored<Vec<StatusRow>> {
        let sql = statuses!("WHERE msp_token = $1 ORDER BY seq DESC LIMIT 100");
        self.all(sql, params![token.to_string()], status).await
    }

    /// The reports of a transaction, oldest first, at most 100.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn statuses_in(self, correlation: Uuid) -> Stored<Vec<StatusRow>> {
        let sql = statuses!("WHERE correlation_id = $1 ORDER BY seq LIMIT 100");
        self.all(sql, params![correlation.to_string()], status)
            .await
    }

    /// A part of the progress of downloads, each with its number and when it came (ms since 1970).
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn progress(self, page: &Page) -> Stored<Vec<(i64, i64, Progress)>> {
        let sql = by_number!(steps, "seq");
        self.part_by_number(sql, page, step).await
    }

    /// The newest progress of a profile's downloads, at most 100.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn progress_of(self, iccid: &Iccid) -> Stored<Vec<(i64, i64, Progress)>> {
        let sql = steps!("WHERE iccid = $1 ORDER BY seq DESC LIMIT 100");
        self.all(sql, params![iccid.as_str()], step).await
    }
}
