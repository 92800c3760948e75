//! The operations of a Car Mobility Provider, which Mobile Service Providers call (AID.02 Annex B.1).

use aid_id::MspToken;
use http::{Method, StatusCode};

use super::{
    FAILED, FORBIDDEN, Operation, TOKEN_UNKNOWN, UNAUTHORIZED, api, done, not_found, of_token,
    unprocessable, wrong,
};
use crate::body::{
    Body as _, NotifyTokenInvalid, SendActivationCode, SendMspToken, SendProfileInformation,
    UpdateSubscriptionInfo,
};
use crate::contract::{Contract, Named, Path, Refusal, Variable};
use crate::error_code::ErrorCode as Code;

api! {
    /// What a CMP serves (Annex B.1).
    CmpOperation, "AID1 at the CMP",
    "Operations of a Car Mobility Provider that Mobile Service Providers call (AID.02 §7.3 to §7.7).",
    SendActivationCode: "§7.7.2.1",
    UpdateSubscriptionInfo: "§7.6",
    SendMspToken: "§7.3",
    NotifyTokenInvalid: "§7.4",
    SendProfileInformation: "§7.5",
}

impl Operation for SendActivationCode {
    type Api = CmpOperation;
    type Variable = MspToken;
    type Answer = ();

    const CONTRACT: &'static Contract = &Contract {
        id: "submitActivationCode",
        name: "Send Activation Code",
        method: Method::POST,
        path: of_token("/cesim/msp/v1/activation-codes/", ""),
        about: "Answers an earlier Request Activation Code: the code, or why there is none (§7.7.2.1).",
        request: Some(Named::of::<Self>()),
        query: None,
        successes: &[done(StatusCode::OK, "The answer was taken.")],
        refusals: &[
            UNAUTHORIZED,
            TOKEN_UNKNOWN,
            wrong(&[
                Code::RequestNotFound,
                Code::RequestExpired,
                Code::RequestOther,
                Code::ActivationCodeFormatOther,
                Code::ActivationCodeFormat,
                Code::ActivationCodeAssigned,
                Code::ActivationCodeOther,
                Code::ProfileTypeUnknown,
                Code::ProfileTypeUnsupported,
                Code::ProfileTypeOther,
                Code::BodyEmptyOrNull,
                Code::Syntax,
                Code::CorrelationMismatch,
            ]),
            FAILED,
        ],
    };

    fn body(&self) -> Option<Vec<u8>> {
        Some(self.to_bytes())
    }
}

impl Operation for UpdateSubscriptionInfo {
    type Api = CmpOperation;
    type Variable = MspToken;
    type Answer = ();

    const CONTRACT: &'static Contract = &Contract {
        id: "updateSubscriptionInfo",
        name: "Update Subscription Info",
        method: Method::PATCH,
        path: of_token("/cesim/msp/v1/subscriptions/", ""),
        about: "Gives a subscription another number, kind or group (§7.6).",
        request: Some(Named::of::<Self>()),
        query: None,
        successes: &[done(StatusCode::CREATED, "The subscription was updated.")],
        refusals: &[
            UNAUTHORIZED,
            FORBIDDEN,
            TOKEN_UNKNOWN,
            wrong(&[Code::BodyEmptyOrNull, Code::Syntax]),
            FAILED,
        ],
    };

    fn body(&self) -> Option<Vec<u8>> {
        Some(self.to_bytes())
    }
}

impl Operation for SendMspToken {
    type Api = CmpOperation;
    type Variable = str;
    type Answer = ();

    const CONTRACT: &'static Contract = &Contract {
        id: "sendMspToken",
        name: "Send MSP Token",
        method: Method::POST,
        path: Path {
            before: "/cesim/msp/v1/users/",
            variable: Variable::AccountId,
            after: "",
        },
        about: "Ends an onboarding: the token of the subscription, or why there is none (§7.3).",
        request: Some(Named::of::<Self>()),
        query: None,
        successes: &[done(
            StatusCode::CREATED,
            "The token belongs to the user, or the failure was noted.",
        )],
        refusals: &[
            UNAUTHORIZED,
            FORBIDDEN,
            not_found(
                "No onboarding has this account id.",
                &[Code::AccountIdNotFound, Code::UserNotFound],
            ),
            unprocessable(
                "Account id, token, number or another member is not acceptable.",
                &[
                    Code::AccountIdExpired,
                    Code::AccountIdSignature,
                    Code::AccountIdOther,
                    Code::TokenAssigned,
                    Code::UserHasToken,
                    Code::TokenOther,
                    Code::BodyEmptyOrNull,
                    Code::Syntax,
                ],
            ),
            FAILED,
        ],
    };

    fn body(&self) -> Option<Vec<u8>> {
        Some(self.to_bytes())
    }
}

impl Operation for NotifyTokenInvalid {
    type Api = CmpOperation;
    type Variable = MspToken;
    type Answer = ();

    const CONTRACT: &'static Contract = &Contract {
        id: "notifyMspTokenInvalid",
        name: "Notify MSP Token Invalid",
        method: Method::POST,
        path: of_token("/cesim/msp/v1/users/", "/invalidate"),
        about: "Ends a federation at the MSP; the CMP deletes its profiles (§7.4).",
        request: Some(Named::of::<Self>()),
        query: None,
        successes: &[done(StatusCode::NO_CONTENT, "The federation has ended.")],
        refusals: &[
            Refusal {
                status: StatusCode::BAD_REQUEST,
                when: "The body is missing or not acceptable.",
                codes: &[Code::BodyEmptyOrNull, Code::Syntax],
            },
            UNAUTHORIZED,
            TOKEN_UNKNOWN,
            FAILED,
        ],
    };

    fn body(&self) -> Option<Vec<u8>> {
        Some(self.to_bytes())
    }
}

impl Operation for SendProfileInformation {
    type Api = CmpOperation;
    type Variable = MspToken;
    type Answer = ();

    const CONTRACT: &'static Contract = &Contract {
        id: "sendProfileInformation",
        name: "Send Profile Information",
        method: Method::POST,
        path: of_token("/cesim/msp/v1/users/", "/profiles"),
        about: "Says that profiles are invalid, suspended or valid again (§7.5).",
        request: Some(Named::of::<Self>()),
        query: None,
        successes: &[done(StatusCode::OK, "All of it was taken.")],
        refusals: &[
            UNAUTHORIZED,
            FORBIDDEN,
            not_found(
                "The token or one of the profiles is unknown; nothing was changed.",
                &[
                    Code::TokenNotFound,
                    Code::ProfileNotFound,
                    Code::NoProfileProcessed,
                    Code::TokenOrProfileNotFound,
                ],
            ),
            wrong(&[
                Code::BodyEmptyOrNull,
                Code::ProfileNotLinked,
                Code::ProfileInvalid,
                Code::Syntax,
            ]),
            FAILED,
        ],
    };

    fn body(&self) -> Option<Vec<u8>> {
        Some(self.to_bytes())
    }
}
