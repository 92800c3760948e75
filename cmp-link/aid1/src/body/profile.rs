//! Bodies about profiles: Send Profile Information (§7.5), Send CSIM Status (§7.8), Request Profile Status (§7.10).

use aid_id::{Eid, Iccid};
use serde_json::{Value, json};
use utoipa::openapi::schema::Schema;

use super::members::{Members, refuse, sent_text, words};
use super::{Body, MAX_TEXT};
use crate::contract::schema;
use crate::error_code::{ApiError, ErrorCode, clean};

words! {
    /// What an MSP says about a profile (AID.02 §7.5).
    ProfileValidity {
        /// Dead for good: the CMP deletes it.
        Invalid = "invalid",
        /// Usable again after `suspended`.
        Valid = "valid",
        /// Blocked for a limited time.
        Suspended = "suspended",
    }
}

words! {
    /// What a CMP reports about a profile in a vehicle (AID.02 §7.8).
    CsimStatus {
        /// Deleted from the eUICC.
        Deleted = "deleted",
        /// Enabled.
        Enabled = "enabled",
        /// Disabled.
        Disabled = "disabled",
        /// Downloaded and installed.
        Installed = "installed",
        /// Download or installation failed for good.
        InstallationFailed = "installation_failed",
    }
}

words! {
    /// What an MSP knows about a profile of its customer (AID.02 §7.10). These are not the states of SGP.22.
    ProfileState {
        /// Installed and enabled, by the MSP's own knowledge.
        Enabled = "enabled",
        /// Installed and disabled, by the MSP's own knowledge.
        Disabled = "disabled",
        /// Installed; nothing more is known.
        Installed = "installed",
        /// Assigned, not downloaded yet.
        Prepared = "prepared",
    }
}

/// One profile of Send Profile Information.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileInformation {
    /// The profile.
    pub iccid: Iccid,
    /// Its new status.
    pub status: ProfileValidity,
    /// For customer care; null if none.
    pub reason: Option<String>,
}

/// Send Profile Information (AID.02 §7.5): at least one profile, all of one token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendProfileInformation {
    /// The profiles.
    pub profiles: Vec<ProfileInformation>,
}

impl Body for SendProfileInformation {
    const NAME: &'static str = "SendProfileInformationBody";

    fn from_members(members: &Members) -> Result<Self, ApiError> {
        let read = |profile: &Members| {
            Ok(ProfileInformation {
                iccid: profile.iccid("iccid")?,
                status: profile.parsed("status", ErrorCode::Syntax)?,
                reason: profile.optional_text("reason")?,
            })
        };
        let profiles = members
            .objects("profiles")?
            .iter()
            .map(read)
            .collect::<Result<Vec<_>, ApiError>>()?;
        if profiles.is_empty() {
            return Err(refuse(ErrorCode::BodyEmptyOrNull, "profiles", "is empty"));
        }
        Ok(Self { profiles })
    }

    fn to_json(&self) -> Value {
        let profile = |p: &ProfileInformation| json!({ "iccid": p.iccid.as_str(), "status": p.status.as_str(), "reason": sent_text(p.reason.as_deref()) });
        json!({ "profiles": self.profiles.iter().map(profile).collect::<Vec<_>>() })
    }

    fn schema() -> Schema {
        let reason = schema::text("For customer care, or null.");
        let members = [
            ("iccid", schema::text("The profile.")),
            (
                "status",
                schema::word("Its status.", ProfileValidity::WORDS),
            ),
            ("reason", schema::or_null(reason)),
        ];
        let item = schema::object(members, &["iccid", "status"]);
        schema::list("profiles", "At least one, all of this token.", item)
    }
}

/// Send CSIM Status (AID.02 §7.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendCsimStatus {
    /// The profile.
    pub iccid: Iccid,
    /// The eUICC it is or was on.
    pub eid: ReportedEid,
    /// Its new status.
    pub status: CsimStatus,
}

/// The eUICC of a status report. The ICCID identifies the profile, so a malformed EID is no reason to lose the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportedEid {
    /// As SGP.29 has it.
    Eid(Eid),
    /// Not an EID: cleaned and cut to [`MAX_TEXT`] characters, for the record.
    Malformed(String),
}

impl ReportedEid {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Eid(eid) => eid.as_str(),
            Self::Malformed(text) => text,
        }
    }

    /// Whether it is an EID.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        matches!(self, Self::Eid(_))
    }
}

impl From<Eid> for ReportedEid {
    fn from(eid: Eid) -> Self {
        Self::Eid(eid)
    }
}

impl From<&str> for ReportedEid {
    fn from(text: &str) -> Self {
        match text.parse() {
            Ok(eid) => Self::Eid(eid),
            Err(_) => Self::Malformed(clean(text, MAX_TEXT)),
        }
    }
}

impl Body for SendCsimStatus {
    const NAME: &'static str = "SendCsimStatusBody";

    fn from_members(members: &Members) -> Result<Self, ApiError> {
        Ok(Self {
            iccid: members.iccid("iccid")?,
            eid: members.text("eid", ErrorCode::Syntax)?.into(),
            status: members.parsed("status", ErrorCode::Syntax)?,
        })
    }

    fn to_json(&self) -> Value {
        json!({ "iccid": self.iccid.as_str(), "eid": self.eid.as_str(), "status": self.status.as_str() })
    }

    fn schema() -> Schema {
        let members = [
            ("iccid", schema::text("The profile.")),
            ("eid", schema::text("The eUICC, 32 digits.")),
            (
                "status",
                schema::word("What became of it.", CsimStatus::WORDS),
            ),
        ];
        schema::object(members, &["iccid", "status", "eid"]).into()
    }
}

/// One profile of Request Profile Status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileStatus {
    /// The profile.
    pub iccid: Iccid,
    /// Its state at the MSP.
    pub status: ProfileState,
}

/// The answer to Request Profile Status (AID.02 §7.10): the profiles that are not deleted at the MSP; perhaps none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProfileStatuses {
    /// The profiles.
    pub profiles: Vec<ProfileStatus>,
}

impl Body for ProfileStatuses {
    const NAME: &'static str = "RequestProfileStatusResponseBody";

    fn from_members(members: &Members) -> Result<Self, ApiError> {
        let read = |profile: &Members| {
            Ok(ProfileStatus {
                iccid: profile.iccid("iccid")?,
                status: profile.parsed("status", ErrorCode::Syntax)?,
            })
        };
        Ok(Self {
            profiles: members
                .objects("profiles")?
                .iter()
                .map(read)
                .collect::<Result<_, ApiError>>()?,
        })
    }

    fn to_json(&self) -> Value {
        let profile =
            |p: &ProfileStatus| json!({ "iccid": p.iccid.as_str(), "status": p.status.as_str() });
        json!({ "profiles": self.profiles.iter().map(profile).collect::<Vec<_>>() })
    }

    fn schema() -> Schema {
        let members = [
            ("iccid", schema::text("The profile.")),
            (
                "status",
                schema::word("Its state at the MSP.", ProfileState::WORDS),
            ),
        ];
        let item = schema::object(members, &["iccid", "status"]);
        schema::list(
            "profiles",
            "Those that are not deleted; perhaps none.",
            item,
        )
    }
}
