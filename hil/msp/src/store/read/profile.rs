//! Profiles, and what was reported about them.

use aid_id::{Iccid, MspToken};
use aid_store::{Fields, params};

use crate::core::model::{Profile, Progress, StatusRow};
use crate::store::tx::flag;
use crate::store::{Stored, Tx};

/// A SELECT of profiles, to be followed by what it is to find.
macro_rules! profiles {
    ($rest:literal) => {
        concat!(
            "SELECT iccid, msp_token, eid, matching_id, state, network, created_at, used_at FROM profile ",
            $rest
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

    /// All profiles, oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn profiles(self) -> Stored<Vec<Profile>> {
        let sql = profiles!("ORDER BY created_at, iccid /* reads all: an operator's list */");
        self.all(sql, &[], read).await
    }

    /// All reports of CMPs in the order of their arrival.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn statuses(self) -> Stored<Vec<StatusRow>> {
        let sql = "/* reads all: an operator's list */ SELECT seq, at, client_id, msp_token, iccid, eid, status, correlation_id FROM status ORDER BY seq";
        let read = |row: &mut Fields<'_>| {
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
        };
        self.all(sql, &[], read).await
    }

    /// The progress of downloads, oldest first, with when it came (ms since 1970).
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn progress(self) -> Stored<Vec<(i64, Progress)>> {
        let sql = "/* reads all: an operator's list */ SELECT at, iccid, eid, point, status, message FROM progress ORDER BY seq";
        let read = |row: &mut Fields<'_>| {
            let at = row.number()?;
            let progress = Progress {
                iccid: row.parsed()?,
                eid: row.maybe_text()?,
                point: row.number()?,
                status: row.text()?,
                message: row.maybe_text()?,
            };
            Ok((at, progress))
        };
        self.all(sql, &[], read).await
    }
}
