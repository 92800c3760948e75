//! The operations of a Mobile Service Provider, which Car Mobility Providers call (AID.02 Annex B.2).

use aid_id::{Iccid, MspToken};
use http::{Method, StatusCode};

use super::{
    Activation, FAILED, Operation, TOKEN_UNKNOWN, UNAUTHORIZED, api, done, not_found, of_token,
    unprocessable, with, wrong,
};
use crate::body::{
    ActivationCodeResponse, Body as _, Iccids, ProfileStatuses, RequestActivationCode,
    SendCsimStatus,
};
use crate::contract::{Contract, Named, Refusal};
use crate::error_code::{ApiError, ErrorCode as Code};

api! {
    /// What an MSP serves (Annex B.2).
    MspOperation, "AID1 at the MSP",
    "Operations of a Mobile Service Provider that Car Mobility Providers call (AID.02 §7.7 to §7.10).",
    RequestActivationCode: "§7.7",
    SendCsimStatus: "§7.8",
    RequestInvalidate: "§7.9",
    RequestProfileStatus: "§7.10",
}

impl Operation for RequestActivationCode {
    type Api = MspOperation;
    type Variable = MspToken;
    type Answer = Activation;

    const CONTRACT: &'static Contract = &Contract {
        id: "requestActivationCode",
        name: "Request Activation Code",
        method: Method::POST,
        path: of_token("/v1/activation-code-requests/", ""),
        about: "Wants a profile for an eUICC: the code comes at once (200) or later (201) (§7.7).",
        request: Some(Named::of::<Self>()),
        query: None,
        successes: &[
            with::<ActivationCodeResponse>(StatusCode::OK, "The activation code."),
            done(StatusCode::CREATED, "It comes by Send Activation Code."),
        ],
        refusals: &[
            UNAUTHORIZED,
            TOKEN_UNKNOWN,
            unprocessable(
                "There can be no activation code.",
                &[
                    Code::RequestOther,
                    Code::ActivationCodeOther,
                    Code::ProfileTypeUnknown,
                    Code::ProfileTypeUnsupported,
                    Code::ProfileTypeOther,
                    Code::BodyEmptyOrNull,
                    Code::Syntax,
                ],
            ),
            Refusal {
                status: StatusCode::LOCKED,
                when: "The EID is not acceptable.",
                codes: &[Code::ActivationCodeOther],
            },
            FAILED,
        ],
    };

    fn body(&self) -> Option<Vec<u8>> {
        Some(self.to_bytes())
    }
}

impl Operation for SendCsimStatus {
    type Api = MspOperation;
    type Variable = MspToken;
    type Answer = ();

    const CONTRACT: &'static Contract = &Contract {
        id: "sendCsimStatus",
        name: "Send CSIM Status",
        method: Method::POST,
        path: of_token("/v1/statuses/", ""),
        about: "Reports what became of a profile in a vehicle (§7.8).",
        request: Some(Named::of::<Self>()),
        query: None,
        successes: &[done(StatusCode::CREATED, "The status was noted.")],
        refusals: &[
            UNAUTHORIZED,
            not_found(
                TOKEN_UNKNOWN.when,
                &[
                    Code::TokenNotFound,
                    Code::TokenInvalidated,
                    Code::ProfileNotFound,
                    Code::TokenOrProfileNotFound,
                ],
            ),
            wrong(&[Code::BodyEmptyOrNull, Code::Syntax]),
            FAILED,
        ],
    };

    fn body(&self) -> Option<Vec<u8>> {
        Some(self.to_bytes())
    }
}

/// Request Invalidate MSP Token (AID.02 §7.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestInvalidate;

impl Operation for RequestInvalidate {
    type Api = MspOperation;
    type Variable = MspToken;
    type Answer = ();

    const CONTRACT: &'static Contract = &Contract {
        id: "requestInvalidateFederatedID",
        name: "Request Invalidate MSP Token",
        method: Method::DELETE,
        path: of_token("/v1/users/", ""),
        about: "Ends a federation at the CMP; the MSP takes its profiles off the network at once (§7.9).",
        request: None,
        query: None,
        successes: &[done(StatusCode::NO_CONTENT, "The federation has ended.")],
        refusals: &[UNAUTHORIZED, TOKEN_UNKNOWN, wrong(&[Code::Syntax]), FAILED],
    };
}

/// Request Profile Status (AID.02 §7.10).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestProfileStatus {
    /// The profile that is asked about; all of the token if absent.
    pub iccid: Option<Iccid>,
}

impl RequestProfileStatus {
    /// Reads the query of a request, without the question mark, of somebody who may name these ICCIDs. Other members than
    /// `iccid` are ignored.
    ///
    /// # Errors
    /// 404 with 61 for an ICCID of another form, 422 with 91 if it is there twice.
    pub fn from_query(query: &str, iccids: Iccids) -> Result<Self, ApiError> {
        // Names and values may be escaped: `%69ccid` is `iccid`.
        let mut values = form_urlencoded::parse(query.as_bytes())
            .filter_map(|(name, value)| (name == "iccid").then_some(value));
        let wanted = values.next();
        if values.next().is_some() {
            return Err(ApiError::because(Code::Syntax, "iccid is there twice"));
        }
        let iccid = wanted.map(|value| iccid(&value, iccids)).transpose()?;
        Ok(Self { iccid })
    }
}

/// An ICCID. The contract's schema allows any text there; one of another form is nobody's.
fn iccid(text: &str, iccids: Iccids) -> Result<Iccid, ApiError> {
    iccids.read(text).ok_or_else(|| {
        let detail = format_args!("an ICCID has {}", iccids.form());
        ApiError::naming(Code::ProfileNotFound, &[&text]).detail(detail)
    })
}

impl Operation for RequestProfileStatus {
    type Api = MspOperation;
    type Variable = MspToken;
    type Answer = ProfileStatuses;

    const CONTRACT: &'static Contract = &Contract {
        id: "requestProfileStatus",
        name: "Request Profile Status",
        method: Method::GET,
        path: of_token("/v1/profiles/status/", ""),
        about: "Lists the profiles that the MSP has not deleted, or one of them (§7.10).",
        request: None,
        query: Some("iccid"),
        successes: &[with::<ProfileStatuses>(StatusCode::OK, "The profiles.")],
        refusals: &[
            UNAUTHORIZED,
            not_found(
                "The token or the profile is unknown.",
                &[
                    Code::TokenNotFound,
                    Code::ProfileNotFound,
                    Code::TokenOrProfileNotFound,
                ],
            ),
            wrong(&[Code::Syntax]),
            FAILED,
        ],
    };

    fn query(&self) -> Option<String> {
        let iccid = self.iccid.as_ref()?;
        Some(format!("iccid={iccid}"))
    }
}
