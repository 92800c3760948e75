//! The two APIs as data: the nine operations with path, method, statuses and bodies (AID.02 Annex B).
//! Both servers find their operations here, and the OpenAPI documents are written from the same tables
//! and from the bodies' own schemas, so a document says what its server does.
//! Called by the routers of both servers and for `/openapi.json`.

mod document;
pub(crate) mod schema;

use http::{Method, StatusCode};
use utoipa::openapi::schema::Schema;

use crate::body::{
    ActivationCodeResponse, Body as _, NotifyTokenInvalid, ProfileStatuses, RequestActivationCode,
    SendActivationCode, SendCsimStatus, SendMspToken, SendProfileInformation,
    UpdateSubscriptionInfo,
};
use crate::error_code::{ApiError, ErrorCode};

/// Where both servers serve their document.
pub const OPENAPI: &str = "/openapi.json";

/// A named body.
#[derive(Clone, Copy, Debug)]
pub struct Named {
    /// Its name in Annex B.
    pub name: &'static str,
    /// Its schema.
    pub schema: fn() -> Schema,
}

/// An answer of an operation.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// HTTP status.
    pub status: u16,
    /// When it is given.
    pub when: &'static str,
    /// Body; a refusal has always that of §5.5.
    pub body: Option<Named>,
}

/// One operation.
#[derive(Debug)]
pub struct Operation {
    /// `operationId`
    pub id: &'static str,
    /// Its name in chapter 7.
    pub name: &'static str,
    /// Method.
    pub method: Method,
    /// Path with one variable in braces.
    pub path: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// Body of the request.
    pub body: Option<Named>,
    /// Optional member of the query.
    pub query: Option<&'static str>,
    /// Answers; any other refusal is possible too.
    pub outcomes: &'static [Outcome],
}

const fn empty(status: u16, when: &'static str) -> Outcome {
    let body = None;
    Outcome { status, when, body }
}

const fn with(status: u16, when: &'static str, body: Named) -> Outcome {
    let body = Some(body);
    Outcome { status, when, body }
}

const UNAUTHORIZED: Outcome = empty(401, "Credentials or certificate are missing or wrong.");
const FORBIDDEN: Outcome = empty(403, "The target-id names another party.");
const TOKEN_UNKNOWN: Outcome = empty(404, "No such msp_token of this caller, or it has ended.");
const WRONG: Outcome = empty(422, "A header, the path or the body is not acceptable.");
const FAILED: Outcome = empty(
    500,
    "The server failed; the same request may be sent again.",
);

/// One side's API.
#[derive(Debug)]
pub struct Api {
    /// Title of the document.
    pub title: &'static str,
    /// What it is.
    pub about: &'static str,
    /// Its operations.
    pub operations: &'static [Operation],
}

/// What a CMP serves and MSPs call (Annex B.1).
pub static CMP: Api = Api {
    title: "AID1 at the CMP",
    about: "Operations of a Car Mobility Provider that Mobile Service Providers call (AID.02 §7.3 to §7.7).",
    operations: &CMP_OPERATIONS,
};

/// What an MSP serves and CMPs call (Annex B.2).
pub static MSP: Api = Api {
    title: "AID1 at the MSP",
    about: "Operations of a Mobile Service Provider that Car Mobility Providers call (AID.02 §7.7 to §7.10).",
    operations: &MSP_OPERATIONS,
};

static CMP_OPERATIONS: [Operation; 5] = [
    Operation {
        id: "submitActivationCode",
        name: "Send Activation Code",
        method: Method::POST,
        path: "/cesim/msp/v1/activation-codes/{msp_token}",
        about: "Answers an earlier Request Activation Code: the code, or why there is none (§7.7.2.1).",
        body: Some(Named {
            name: "SendActivationCodeBody",
            schema: SendActivationCode::schema,
        }),
        query: None,
        outcomes: &[
            empty(200, "The answer was taken."),
            UNAUTHORIZED,
            TOKEN_UNKNOWN,
            WRONG,
            FAILED,
        ],
    },
    Operation {
        id: "updateSubscriptionInfo",
        name: "Update Subscription Info",
        method: Method::PATCH,
        path: "/cesim/msp/v1/subscriptions/{msp_token}",
        about: "Gives a subscription another number, kind or group (§7.6).",
        body: Some(Named {
            name: "UpdateSubscriptionInfoBody",
            schema: UpdateSubscriptionInfo::schema,
        }),
        query: None,
        outcomes: &[
            empty(201, "The subscription was updated."),
            UNAUTHORIZED,
            FORBIDDEN,
            TOKEN_UNKNOWN,
            WRONG,
            FAILED,
        ],
    },
    Operation {
        id: "sendMspToken",
        name: "Send MSP Token",
        method: Method::POST,
        path: "/cesim/msp/v1/users/{account_id}",
        about: "Ends an onboarding: the token of the subscription, or why there is none (§7.3).",
        body: Some(Named {
            name: "SendMspTokenBody",
            schema: SendMspToken::schema,
        }),
        query: None,
        outcomes: &[
            empty(
                201,
                "The token belongs to the user, or the failure was noted.",
            ),
            UNAUTHORIZED,
            FORBIDDEN,
            empty(404, "No onboarding has this account id."),
            empty(
                422,
                "Account id, token, number or another member is not acceptable.",
            ),
            FAILED,
        ],
    },
    Operation {
        id: "notifyMspTokenInvalid",
        name: "Notify MSP Token Invalid",
        method: Method::POST,
        path: "/cesim/msp/v1/users/{msp_token}/invalidate",
        about: "Ends a federation at the MSP; the CMP deletes its profiles (§7.4).",
        body: Some(Named {
            name: "NotifyTokenInvalidBody",
            schema: NotifyTokenInvalid::schema,
        }),
        query: None,
        outcomes: &[
            empty(204, "The federation has ended."),
            empty(400, "The body is missing or not acceptable."),
            UNAUTHORIZED,
            TOKEN_UNKNOWN,
            FAILED,
        ],
    },
    Operation {
        id: "sendProfileInformation",
        name: "Send Profile Information",
        method: Method::POST,
        path: "/cesim/msp/v1/users/{msp_token}/profiles",
        about: "Says that profiles are invalid, suspended or valid again (§7.5).",
        body: Some(Named {
            name: "SendProfileInformationBody",
            schema: SendProfileInformation::schema,
        }),
        query: None,
        outcomes: &[
            empty(200, "All of it was taken."),
            UNAUTHORIZED,
            FORBIDDEN,
            empty(
                404,
                "The token or one of the profiles is unknown; nothing was changed.",
            ),
            WRONG,
            FAILED,
        ],
    },
];

static MSP_OPERATIONS: [Operation; 4] = [
    Operation {
        id: "requestActivationCode",
        name: "Request Activation Code",
        method: Method::POST,
        path: "/v1/activation-code-requests/{msp_token}",
        about: "Wants a profile for an eUICC: the code comes at once (200) or later (201) (§7.7).",
        body: Some(Named {
            name: "RequestActivationCodeBody",
            schema: RequestActivationCode::schema,
        }),
        query: None,
        outcomes: &[
            with(
                200,
                "The activation code.",
                Named {
                    name: "ActivationCodeResponse",
                    schema: ActivationCodeResponse::schema,
                },
            ),
            empty(201, "It comes by Send Activation Code."),
            UNAUTHORIZED,
            TOKEN_UNKNOWN,
            empty(422, "There can be no activation code."),
            empty(423, "The EID is not acceptable."),
            FAILED,
        ],
    },
    Operation {
        id: "sendCsimStatus",
        name: "Send CSIM Status",
        method: Method::POST,
        path: "/v1/statuses/{msp_token}",
        about: "Reports what became of a profile in a vehicle (§7.8).",
        body: Some(Named {
            name: "SendCsimStatusBody",
            schema: SendCsimStatus::schema,
        }),
        query: None,
        outcomes: &[
            empty(201, "The status was noted."),
            UNAUTHORIZED,
            TOKEN_UNKNOWN,
            WRONG,
            FAILED,
        ],
    },
    Operation {
        id: "requestInvalidateFederatedID",
        name: "Request Invalidate MSP Token",
        method: Method::DELETE,
        path: "/v1/users/{msp_token}",
        about: "Ends a federation at the CMP; the MSP takes its profiles off the network at once (§7.9).",
        body: None,
        query: None,
        outcomes: &[
            empty(204, "The federation has ended."),
            UNAUTHORIZED,
            TOKEN_UNKNOWN,
            WRONG,
            FAILED,
        ],
    },
    Operation {
        id: "requestProfileStatus",
        name: "Request Profile Status",
        method: Method::GET,
        path: "/v1/profiles/status/{msp_token}",
        about: "Lists the profiles that the MSP has not deleted, or one of them (§7.10).",
        body: None,
        query: Some("iccid"),
        outcomes: &[
            with(
                200,
                "The profiles.",
                Named {
                    name: "RequestProfileStatusResponseBody",
                    schema: ProfileStatuses::schema,
                },
            ),
            UNAUTHORIZED,
            empty(404, "The token or the profile is unknown."),
            WRONG,
            FAILED,
        ],
    },
];

impl Api {
    /// The operation at a path, and the text where the variable is: taken as it is, because tokens and
    /// account ids need no percent escapes, and what has some is none.
    #[must_use]
    pub fn at<'p>(&'static self, path: &'p str) -> Option<(&'static Operation, &'p str)> {
        self.operations
            .iter()
            .find_map(|operation| Some((operation, operation.variable(path)?)))
    }
}

/// The operation of either API with this name of chapter 7.
pub(crate) fn named(name: &str) -> Option<&'static Operation> {
    let all = CMP.operations.iter().chain(MSP.operations);
    all.into_iter().find(|operation| operation.name == name)
}

impl Operation {
    /// Whether a refusal with this status and code is the peer's last word about a request.
    ///
    /// It is where the contract has the status for what is wrong with a request, and the code says what that is. All
    /// else can change without a change of the request: the peer's failures, who we are taken for, and whatever a proxy
    /// in front of the peer says.
    #[must_use]
    pub fn refuses(&self, status: StatusCode, code: u16) -> bool {
        let about_us = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        let listed = self.outcomes.iter().any(|o| o.status == status.as_u16());
        let word = match ErrorCode::from_number(code) {
            Some(
                ErrorCode::Internal
                | ErrorCode::PartyNotFound
                | ErrorCode::Unauthorized
                | ErrorCode::Content
                | ErrorCode::Login
                | ErrorCode::Aborted
                | ErrorCode::Unavailable,
            ) => false,
            // Our own servers say so of a path that is no operation: then the address is wrong, not the request.
            Some(ErrorCode::TokenOrProfileNotFound) => matches!(
                self.id,
                "sendProfileInformation" | "sendCsimStatus" | "requestProfileStatus"
            ),
            // Codes of an agreement between two parties are words too (R-5.5-8).
            _ => true,
        };
        status.is_client_error() && listed && !about_us && word
    }

    /// A refusal as this operation gives it: what is wrong with a request is 422, except where the contract has 400 and
    /// no 422 (Notify MSP Token Invalid, §7.4).
    #[must_use]
    pub fn refusal(&self, error: ApiError) -> ApiError {
        let has = |status: StatusCode| self.outcomes.iter().any(|o| o.status == status.as_u16());
        let (usual, other) = (StatusCode::UNPROCESSABLE_ENTITY, StatusCode::BAD_REQUEST);
        if error.status == usual && !has(usual) && has(other) {
            error.with_status(other)
        } else {
            error
        }
    }

    /// The variable's text if the path is this operation's; there is none without a text.
    fn variable<'p>(&self, path: &'p str) -> Option<&'p str> {
        let mut found = None;
        let mut given = path.split('/');
        for wanted in self.path.split('/') {
            let segment = given.next()?;
            if wanted.starts_with('{') {
                found = Some(segment);
            } else if wanted != segment {
                return None;
            }
        }
        found.filter(|text| !text.is_empty() && given.next().is_none())
    }
}

#[cfg(test)]
mod tests;
