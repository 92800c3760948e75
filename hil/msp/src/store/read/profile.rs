//! Profiles, and what was reported about them.

use aid_id::{Iccid, MspToken};
use sqlx::any::AnyRow;
use sqlx::{Row as _, query};

use crate::core::model::{Profile, Progress, StatusRow};
use crate::store::tx::{number, optional, parsed, text};
use crate::store::{Stored, Tx};

fn read(row: &AnyRow) -> Stored<Profile> {
    Ok(Profile {
        iccid: parsed(row, "iccid")?,
        msp_token: parsed(row, "msp_token")?,
        eid: parsed(row, "eid")?,
        matching_id: text(row, "matching_id")?,
        phase: parsed(row, "state")?,
        network: number(row, "network")? != 0,
        created_at: number(row, "created_at")?,
        used_at: number(row, "used_at")?,
    })
}

impl Tx {
    /// The newest profile of a token with this ICCID.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn profile(
        &mut self,
        token: MspToken,
        iccid: &Iccid,
    ) -> Stored<Option<Profile>> {
        let sql = query(
            "SELECT * FROM profile WHERE msp_token = $1 AND iccid = $2 ORDER BY created_at DESC LIMIT 1",
        )
        .bind(token.to_string())
        .bind(iccid.as_str());
        self.one(sql).await?.as_ref().map(read).transpose()
    }

    /// All profiles of a token, oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn profiles_of(&mut self, token: MspToken) -> Stored<Vec<Profile>> {
        let sql = query("SELECT * FROM profile WHERE msp_token = $1 ORDER BY created_at, iccid")
            .bind(token.to_string());
        self.all(sql).await?.iter().map(read).collect()
    }

    /// All profiles with this ICCID, oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn profiles_with(&mut self, iccid: &Iccid) -> Stored<Vec<Profile>> {
        let sql = query("SELECT * FROM profile WHERE iccid = $1 ORDER BY created_at")
            .bind(iccid.as_str());
        self.all(sql).await?.iter().map(read).collect()
    }

    /// The profiles that take a slot of a subscription: of all its live onboardings, and of this token.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn slots(
        &mut self,
        token: MspToken,
        subscription: &str,
    ) -> Stored<Vec<Profile>> {
        let sql = query(
            "SELECT * FROM profile WHERE state IN ('prepared', 'installed') AND (msp_token = $1 OR msp_token IN
             (SELECT msp_token FROM onboarding WHERE subscription = $2 AND state IN ('pending', 'active')))",
        )
        .bind(token.to_string())
        .bind(subscription);
        self.all(sql).await?.iter().map(read).collect()
    }

    /// All profiles, oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn profiles(&mut self) -> Stored<Vec<Profile>> {
        let sql = query("SELECT * FROM profile ORDER BY created_at, iccid");
        self.all(sql).await?.iter().map(read).collect()
    }

    /// All reports of CMPs in the order of their arrival.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn statuses(&mut self) -> Stored<Vec<StatusRow>> {
        let rows = self.all(query("SELECT * FROM status ORDER BY seq")).await?;
        let read = |row: &AnyRow| {
            Ok(StatusRow {
                seq: number(row, "seq")?,
                at: number(row, "at")?,
                client_id: parsed(row, "client_id")?,
                msp_token: parsed(row, "msp_token")?,
                iccid: parsed(row, "iccid")?,
                eid: parsed(row, "eid")?,
                status: parsed(row, "status")?,
                correlation_id: parsed(row, "correlation_id")?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// The progress of downloads, oldest first, with when it came (ms since 1970).
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn progress(&mut self) -> Stored<Vec<(i64, Progress)>> {
        let rows = self
            .all(query("SELECT * FROM progress ORDER BY seq"))
            .await?;
        let read = |row: &AnyRow| -> Stored<_> {
            let progress = Progress {
                iccid: parsed(row, "iccid")?,
                eid: optional(row, "eid")?,
                point: row.try_get("point")?,
                status: text(row, "status")?,
                message: optional(row, "message")?,
            };
            Ok((number(row, "at")?, progress))
        };
        rows.iter().map(read).collect()
    }
}
