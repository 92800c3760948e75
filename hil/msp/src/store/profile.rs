//! Operational profiles of our customers, and what CMPs report about them (AID.02 §4.3.1, §7.8, §7.10).

use aid_aid1::body::{CsimStatus, SendCsimStatus};
use aid_aid1::headers::PartyId;
use aid_id::{Eid, Iccid, MspToken};
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::{Store, Stored, number, parsed, words};

words! {
    /// Where a profile stands at the MSP.
    ProfilePhase {
        /// Assigned and ordered, not downloaded as far as we know.
        Prepared = "prepared",
        /// Installed in a vehicle.
        Installed = "installed",
        /// The installation failed.
        Failed = "failed",
        /// Deleted from the vehicle.
        Deleted = "deleted",
        /// Given up for another one (§4.3.1).
        Swapped = "swapped",
        /// The order was cancelled before the download.
        Cancelled = "cancelled",
        /// Dead for good, such as after a defect (§7.5).
        Invalid = "invalid",
    }
}

impl ProfilePhase {
    /// Whether the profile takes one of the customer's slots, and Request Profile Status lists it.
    #[must_use]
    pub(crate) fn is_listed(self) -> bool {
        matches!(self, Self::Prepared | Self::Installed)
    }
}

/// A profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Profile {
    /// Its number.
    pub(crate) iccid: Iccid,
    /// The customer.
    pub(crate) msp_token: MspToken,
    /// The eUICC it is bound to.
    pub(crate) eid: Eid,
    /// Where it stands.
    pub(crate) phase: ProfilePhase,
    /// Whether the network lets it in.
    pub(crate) network: bool,
    /// When it was ordered.
    pub(crate) created_at: i64,
    /// When it was last enabled, or ordered.
    pub(crate) used_at: i64,
}

pub(super) fn read(row: &AnyRow) -> Stored<Profile> {
    Ok(Profile {
        iccid: parsed(row, "iccid")?,
        msp_token: parsed(row, "msp_token")?,
        eid: parsed(row, "eid")?,
        phase: parsed(row, "state")?,
        network: number(row, "network")? != 0,
        created_at: number(row, "created_at")?,
        used_at: number(row, "used_at")?,
    })
}

/// A report of a CMP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StatusRow {
    /// Order of arrival.
    pub(crate) seq: i64,
    /// When it arrived.
    pub(crate) at: i64,
    /// Who sent it.
    pub(crate) client_id: PartyId,
    /// The customer.
    pub(crate) msp_token: MspToken,
    /// The profile.
    pub(crate) iccid: Iccid,
    /// The eUICC.
    pub(crate) eid: Eid,
    /// What happened.
    pub(crate) status: CsimStatus,
    /// The transaction.
    pub(crate) correlation_id: Uuid,
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Noted {
    /// Stored.
    Stored,
    /// This customer never had such a profile.
    UnknownProfile,
}

impl Store {
    /// Stores a report and what follows from it. Reports about profiles that are gone are stored too: they are late.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn note_status(
        &self,
        client: &PartyId,
        token: MspToken,
        body: &SendCsimStatus,
        correlation: Uuid,
        now: i64,
    ) -> Stored<Noted> {
        let mut tx = self.write().await?;
        let (token_text, iccid) = (token.to_string(), body.iccid.as_str());
        let row = sqlx::query("SELECT * FROM profile WHERE msp_token = $1 AND iccid = $2 ORDER BY created_at DESC LIMIT 1")
            .bind(&token_text)
            .bind(iccid)
            .fetch_optional(&mut tx)
            .await?;
        let Some(profile) = row.as_ref().map(read).transpose()? else {
            return Ok(Noted::UnknownProfile);
        };
        sqlx::query(
            "INSERT INTO status (at, client_id, msp_token, iccid, eid, status, correlation_id)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(now)
        .bind(client.as_str())
        .bind(&token_text)
        .bind(iccid)
        .bind(body.eid.as_str())
        .bind(body.status.as_str())
        .bind(correlation.to_string())
        .execute(&mut tx)
        .await?;
        // A swapped, dead or deleted profile stays what it is, whatever arrives late.
        let phase = match body.status {
            CsimStatus::Deleted => ProfilePhase::Deleted,
            CsimStatus::InstallationFailed if profile.phase == ProfilePhase::Prepared => {
                ProfilePhase::Failed
            }
            CsimStatus::Installed | CsimStatus::Enabled | CsimStatus::Disabled
                if matches!(profile.phase, ProfilePhase::Prepared | ProfilePhase::Failed) =>
            {
                ProfilePhase::Installed
            }
            _ => profile.phase,
        };
        let used_at = if body.status == CsimStatus::Enabled {
            now
        } else {
            profile.used_at
        };
        let network = profile.network && phase != ProfilePhase::Deleted;
        sqlx::query("UPDATE profile SET state = $1, network = $2, used_at = $3 WHERE msp_token = $4 AND iccid = $5 AND created_at = $6")
            .bind(phase.as_str())
            .bind(i64::from(network))
            .bind(used_at)
            .bind(&token_text)
            .bind(iccid)
            .bind(profile.created_at)
            .execute(&mut tx)
            .await?;
        tx.commit().await?;
        Ok(Noted::Stored)
    }

    /// All profiles of a token, oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn profiles_of(&self, token: MspToken) -> Stored<Vec<Profile>> {
        let rows =
            sqlx::query("SELECT * FROM profile WHERE msp_token = $1 ORDER BY created_at, iccid")
                .bind(token.to_string())
                .fetch_all(&self.pool)
                .await?;
        rows.iter().map(read).collect()
    }

    /// All profiles, oldest first.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn profiles(&self) -> Stored<Vec<Profile>> {
        let rows = sqlx::query("SELECT * FROM profile ORDER BY created_at, iccid")
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(read).collect()
    }

    /// All reports in the order of their arrival.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn statuses(&self) -> Stored<Vec<StatusRow>> {
        let rows = sqlx::query("SELECT * FROM status ORDER BY seq")
            .fetch_all(&self.pool)
            .await?;
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

    /// The pool's first ICCID that no profile ever had and no open request has reserved.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn first_free(&self, pool: &[Iccid]) -> Stored<Option<Iccid>> {
        for iccid in pool {
            let taken = sqlx::query(
                "SELECT iccid FROM profile WHERE iccid = $1 AND state NOT IN ('cancelled')
                 UNION SELECT iccid FROM ac_request WHERE iccid = $1 AND state = 'open'",
            )
            .bind(iccid.as_str())
            .fetch_optional(&self.pool)
            .await?;
            if taken.is_none() {
                return Ok(Some(iccid.clone()));
            }
        }
        Ok(None)
    }

    /// Takes a profile out of use for good (§7.5 invalid).
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn kill_profile(&self, token: MspToken, iccid: &Iccid) -> Stored<()> {
        sqlx::query("UPDATE profile SET state = 'invalid', network = 0 WHERE msp_token = $1 AND iccid = $2 AND state IN ('prepared', 'installed')")
            .bind(token.to_string())
            .bind(iccid.as_str())
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Notes that an order was cancelled at the SM-DP+.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn note_cancelled(&self, token: MspToken, iccid: &str) -> Stored<()> {
        sqlx::query("UPDATE profile SET state = 'cancelled', network = 0 WHERE msp_token = $1 AND iccid = $2 AND state IN ('prepared', 'swapped')")
            .bind(token.to_string())
            .bind(iccid)
            .execute(&self.writer)
            .await?;
        Ok(())
    }
}

impl Store {
    /// Lets a profile into the network or shuts it out.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn set_network(
        &self,
        token: MspToken,
        iccid: &Iccid,
        allowed: bool,
    ) -> Stored<()> {
        sqlx::query("UPDATE profile SET network = $1 WHERE msp_token = $2 AND iccid = $3 AND state IN ('prepared', 'installed')")
            .bind(i64::from(allowed))
            .bind(token.to_string())
            .bind(iccid.as_str())
            .execute(&self.writer)
            .await?;
        Ok(())
    }
}
