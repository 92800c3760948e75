//! Bodies about activation codes: Request Activation Code and its synchronous answer (§7.7), Send Activation Code
//! (§7.7.2.1).

use aid_id::{ActivationCode, ActivationCodeError, Eid, Iccid};
use http::StatusCode;
use serde_json::{Value, json};
use utoipa::openapi::schema::Schema;
use uuid::Uuid;

use super::Body;
use super::members::{Members, refuse, sent_error};
use crate::contract::schema;
use crate::error_code::{ApiError, ErrorCode};

/// Longest `profileType` and `deviceType`, in characters: `[ASCII]{20}` (AID.02 §7.7).
const MAX_TYPE: usize = 20;

/// The type of a profile; AID.02 §7.7 knows one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProfileType {
    /// `personal`
    #[default]
    Personal,
}

/// Classes that SGP.22 gives to profiles (`profileClass` of StoreMetadata): known types, but none that AID.02 hands out.
const CLASSES: [&str; 3] = ["operational", "provisioning", "test"];

/// Members of Send Activation Code that a receiver demands; we send all. Where `error`, `iccid` or `swappedIccid` is
/// absent, it means what null means.
const CODE_MEMBERS: [&str; 3] = ["activationCode", "profileType", "activationCodeRequestID"];

/// Members of Request Activation Code that a receiver demands; `replaceIccid` is not among them (§4.3.1).
const REQUEST_MEMBERS: [&str; 4] = [
    "profileType",
    "deviceType",
    "eid",
    "activationCodeRequestID",
];

/// Members of its synchronous answer that are always there.
const RESPONSE_MEMBERS: [&str; 3] = ["activationCode", "profileType", "swappedIccid"];

impl ProfileType {
    /// All words.
    pub const WORDS: &'static [&'static str] = &["personal"];

    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        "personal"
    }

    /// The type beside an activation code: any text. Refusing a code for it would lose the profile behind the code, and
    /// there is only one type that it could be. [`crate::deviation`] counts others.
    fn beside_a_code(members: &Members) -> Result<Self, ApiError> {
        members.text("profileType", ErrorCode::ProfileTypeOther)?;
        Ok(Self::Personal)
    }

    fn read(members: &Members) -> Result<Self, ApiError> {
        let text = members.text("profileType", ErrorCode::ProfileTypeOther)?;
        match text {
            "personal" => Ok(Self::Personal),
            _ if CLASSES.contains(&text) => Err(refuse(
                ErrorCode::ProfileTypeUnsupported,
                "profileType",
                "must be personal; a profile class of SGP.22 can't be requested",
            )),
            _ if is_type(text) => Err(refuse(
                ErrorCode::ProfileTypeUnknown,
                "profileType",
                "is not personal",
            )),
            _ => Err(refuse(
                ErrorCode::ProfileTypeOther,
                "profileType",
                "is not 1 to 20 ASCII characters",
            )),
        }
    }
}

/// Request Activation Code (AID.02 §7.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestActivationCode {
    /// Type of the profile.
    pub profile_type: ProfileType,
    /// Kind of device; `tcu` for vehicles.
    pub device_type: String,
    /// The eUICC to which the profile is bound.
    pub eid: Eid,
    /// `activationCodeRequestID`: the same on a retry.
    pub request_id: Uuid,
    /// The least recently used profile of the customer, offered for a swap (§4.3.1).
    pub replace_iccid: Option<Iccid>,
    /// Whether `imei` is there, always empty: "empty but present for compatibility" (§7.7). False by agreement.
    pub imei: bool,
}

impl Body for RequestActivationCode {
    const NAME: &'static str = "RequestActivationCodeBody";

    fn from_members(members: &Members) -> Result<Self, ApiError> {
        let profile_type = ProfileType::read(members)?;
        let device_type = match members.given("deviceType") {
            None => "tcu",
            Some(_) => members.text("deviceType", ErrorCode::Syntax)?,
        };
        if !is_type(device_type) {
            return Err(refuse(
                ErrorCode::Syntax,
                "deviceType",
                "is not 1 to 20 ASCII characters",
            ));
        }
        // "Empty but present for compatibility" (§7.7); its value is not used.
        match members.given("imei") {
            None => {}
            Some(Value::String(imei))
                if imei.len() == 15 && imei.bytes().all(|b| b.is_ascii_digit()) => {}
            Some(_) => {
                return Err(refuse(
                    ErrorCode::Syntax,
                    "imei",
                    "is neither empty nor 15 digits",
                ));
            }
        }
        let request_id = members.uuid("activationCodeRequestID", ErrorCode::RequestOther)?;
        // §4.3.1: neither its presence nor its content may lead to an API error.
        let replace_iccid = members
            .get("replaceIccid")
            .and_then(Value::as_str)
            .and_then(|text| members.iccids().read(text));
        let eid = members.text("eid", ErrorCode::Syntax)?;
        let eid = eid.parse().map_err(|error| {
            refuse(
                ErrorCode::ActivationCodeOther,
                "eid",
                format_args!("is wrong: {error}"),
            )
            .with_status(StatusCode::LOCKED)
        })?;
        Ok(Self {
            profile_type,
            device_type: device_type.to_owned(),
            eid,
            request_id,
            replace_iccid,
            imei: members.get("imei").is_some_and(Value::is_string),
        })
    }

    fn to_json(&self) -> Value {
        let mut json = json!({
            "profileType": self.profile_type.as_str(),
            "deviceType": self.device_type,
            "eid": self.eid.as_str(),
            "activationCodeRequestID": self.request_id.hyphenated().to_string(),
            "replaceIccid": self.replace_iccid.as_ref().map(Iccid::as_str),
        });
        if self.imei {
            json["imei"] = json!("");
        }
        json
    }

    fn schema() -> Schema {
        let device = schema::text("Kind of device, at most 20 characters.");
        let members = [
            ("profileType", schema::text("personal")),
            ("deviceType", device.default(Some(json!("tcu")))),
            ("imei", schema::text("Empty or 15 digits; not used.")),
            ("eid", schema::text("The eUICC, 32 digits (SGP.29).")),
            (
                "activationCodeRequestID",
                schema::uuid("This request; the same on a repetition."),
            ),
            (
                "replaceIccid",
                schema::anything(
                    "The profile to swap, or null; never a reason to refuse (§4.3.1).",
                ),
            ),
        ];
        schema::object(members, &REQUEST_MEMBERS).into()
    }
}

/// The synchronous answer to Request Activation Code (AID.02 §7.7.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivationCodeResponse {
    /// The profile; an MSP may leave it out.
    pub iccid: Option<Iccid>,
    /// What the vehicle downloads with (SGP.22 §4.1).
    pub activation_code: ActivationCode,
    /// Type of the profile.
    pub profile_type: ProfileType,
    /// The profile that the MSP deactivated for this one.
    pub swapped_iccid: Option<Iccid>,
}

impl Body for ActivationCodeResponse {
    const NAME: &'static str = "ActivationCodeResponse";

    fn from_members(members: &Members) -> Result<Self, ApiError> {
        Ok(Self {
            iccid: members.optional_iccid("iccid")?,
            activation_code: activation_code(members)?,
            profile_type: ProfileType::beside_a_code(members)?,
            swapped_iccid: members.optional_iccid("swappedIccid")?,
        })
    }

    fn to_json(&self) -> Value {
        let mut json = json!({
            "activationCode": self.activation_code.to_string(),
            "profileType": self.profile_type.as_str(),
            "swappedIccid": self.swapped_iccid.as_ref().map(Iccid::as_str),
        });
        if let Some(iccid) = &self.iccid {
            json["iccid"] = json!(iccid.as_str());
        }
        json
    }

    fn schema() -> Schema {
        let swapped = schema::text("The profile that was taken for it, or null.");
        let members = [
            ("iccid", schema::text("The profile.")),
            ("activationCode", schema::text("SGP.22 §4.1")),
            (
                "profileType",
                schema::word("Type of the profile.", ProfileType::WORDS),
            ),
            ("swappedIccid", schema::or_null(swapped)),
        ];
        schema::object(members, &RESPONSE_MEMBERS).into()
    }
}

/// Send Activation Code (AID.02 §7.7.2.1): the code, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendActivationCode {
    /// A profile is ready.
    Code {
        /// The request that this answers.
        request_id: Uuid,
        /// What the vehicle downloads with (SGP.22 §4.1).
        activation_code: ActivationCode,
        /// Type of the profile.
        profile_type: ProfileType,
        /// The profile.
        iccid: Iccid,
        /// The profile that the MSP deactivated for this one.
        swapped_iccid: Option<Iccid>,
    },
    /// No profile.
    Failed {
        /// The request that this answers. The text wants it always (§7.7.2.1), the JSON null beside an error: then the
        /// token and the correlation-id must do.
        request_id: Option<Uuid>,
        /// Why, at most [`MAX_ERROR_TEXT`](crate::error_code::MAX_ERROR_TEXT) characters.
        error: String,
    },
}

impl Body for SendActivationCode {
    const NAME: &'static str = "SendActivationCodeBody";

    fn from_members(members: &Members) -> Result<Self, ApiError> {
        members.require(&CODE_MEMBERS)?;
        if let Some(error) = members.error()? {
            if members.given("activationCode").is_some() {
                // Whichever of the two were taken, the other would be lost (§7.7.2.1: one of them is null).
                let what = "is given beside an error; send null for one of them";
                return Err(refuse(ErrorCode::BodyEmptyOrNull, "activationCode", what));
            }
            let request_id = match members.given("activationCodeRequestID") {
                None => None,
                Some(_) => Some(members.uuid("activationCodeRequestID", ErrorCode::RequestOther)?),
            };
            return Ok(Self::Failed { request_id, error });
        }
        Ok(Self::Code {
            request_id: members.uuid("activationCodeRequestID", ErrorCode::RequestOther)?,
            activation_code: activation_code(members)?,
            profile_type: ProfileType::beside_a_code(members)?,
            iccid: members.iccid("iccid")?,
            swapped_iccid: members.optional_iccid("swappedIccid")?,
        })
    }

    fn to_json(&self) -> Value {
        match self {
            Self::Code {
                request_id,
                activation_code,
                profile_type,
                iccid,
                swapped_iccid,
            } => json!({
                "activationCode": activation_code.to_string(),
                "profileType": profile_type.as_str(),
                "activationCodeRequestID": request_id.hyphenated().to_string(),
                "error": null,
                "iccid": iccid.as_str(),
                "swappedIccid": swapped_iccid.as_ref().map(Iccid::as_str),
            }),
            Self::Failed { request_id, error } => json!({
                "activationCode": null, "profileType": null, "iccid": null, "swappedIccid": null,
                "activationCodeRequestID": request_id.map(|id| id.hyphenated().to_string()),
                "error": sent_error(error, ErrorCode::ActivationCodeOther),
            }),
        }
    }

    fn schema() -> Schema {
        let or_null = |about| schema::or_null(schema::text(about));
        let id = schema::uuid("The request; may be null beside an error.");
        let members = [
            (
                "activationCode",
                or_null("SGP.22 §4.1; null beside an error."),
            ),
            ("profileType", or_null("personal; null beside an error.")),
            ("activationCodeRequestID", schema::or_null(id)),
            (
                "error",
                or_null("Why there is no code, at most 512 characters; else null."),
            ),
            ("iccid", or_null("The profile; null beside an error.")),
            (
                "swappedIccid",
                or_null("The profile that was taken for it, or null."),
            ),
        ];
        schema::object(members, &CODE_MEMBERS).into()
    }
}

/// The activation code: 47 where it is not in the format of SGP.22 §4.1, 44 where one of its fields is wrong.
fn activation_code(members: &Members) -> Result<ActivationCode, ApiError> {
    let text = members.text("activationCode", ErrorCode::ActivationCodeFormat)?;
    text.parse().map_err(|error| {
        let code = match error {
            ActivationCodeError::TooLong(_)
            | ActivationCodeError::Format
            | ActivationCodeError::Fields(_) => ErrorCode::ActivationCodeFormat,
            ActivationCodeError::Address
            | ActivationCodeError::MatchingId
            | ActivationCodeError::Oid
            | ActivationCodeError::Flag => ErrorCode::ActivationCodeFormatOther,
        };
        refuse(code, "activationCode", error)
    })
}

fn is_type(text: &str) -> bool {
    (1..=MAX_TYPE).contains(&text.len()) && text.bytes().all(|b| (0x20..0x7f).contains(&b))
}
