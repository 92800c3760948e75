//! Operational profiles of customers, and what CMPs and SM-DP+s report about them (AID.02 §4.3.1, §7.8; SGP.22 §5.3.5).

use aid_aid1::body::{CsimStatus, ReportedEid};
use aid_aid1::headers::PartyId;
use aid_id::{Eid, Iccid, MspToken};
use uuid::Uuid;

use super::words;

words! {
    /// Where a profile stands at the MSP.
    ProfilePhase {
        /// Assigned and ordered, not downloaded as far as the MSP knows.
        Prepared = "prepared",
        /// Installed in a vehicle.
        Installed = "installed",
        /// The installation failed.
        Failed = "failed",
        /// Deleted from the vehicle.
        Deleted = "deleted",
        /// Given up for another one (§4.3.1).
        Swapped = "swapped",
        /// The CMP refused its activation code; the order is being cancelled.
        Returned = "returned",
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
    /// Names the order at the SM-DP+ (SGP.22 §4.1).
    pub(crate) matching_id: String,
    /// Where it stands.
    pub(crate) phase: ProfilePhase,
    /// Whether the network lets it in.
    pub(crate) network: bool,
    /// When it was ordered, ms since 1970.
    pub(crate) created_at: i64,
    /// When it was last enabled, or ordered, ms since 1970.
    pub(crate) used_at: i64,
}

/// A report of a CMP (AID.02 §7.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StatusRow {
    /// Order of arrival; assigned when it is stored.
    pub(crate) seq: i64,
    /// When it arrived, ms since 1970.
    pub(crate) at: i64,
    /// Who sent it.
    pub(crate) client_id: PartyId,
    /// The customer.
    pub(crate) msp_token: MspToken,
    /// The profile.
    pub(crate) iccid: Iccid,
    /// The eUICC.
    pub(crate) eid: ReportedEid,
    /// What happened.
    pub(crate) status: CsimStatus,
    /// The transaction.
    pub(crate) correlation_id: Uuid,
}

/// A step of a download, as an SM-DP+ reports it (SGP.22 §5.3.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The profile.
    pub(crate) iccid: Iccid,
    /// The eUICC.
    pub(crate) eid: Option<String>,
    /// notificationPointId: 1 eligibility, 2 confirmation code, 3 download, 4 installation.
    pub(crate) point: i64,
    /// notificationPointStatus.
    pub(crate) status: String,
    /// The SM-DP+'s words.
    pub(crate) message: Option<String>,
}
