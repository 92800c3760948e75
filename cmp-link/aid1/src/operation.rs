//! The nine operations of AID1 (AID.02 chapter 7, Annex B), each stated once: a type with its contract, its path
//! variable and its answer.
//!
//! The type of an operation is what its request carries. Everything else derives from it: the routes of both servers and
//! their dispatch ([`Api`], an enum whose `match` has every operation), the calls of both clients
//! ([`crate::client::Client::call`]), the status of a refusal ([`Contract::refusal`]), the names of spans, and the
//! OpenAPI documents.

mod cmp;
mod msp;

use std::fmt;

use http::StatusCode;
use serde_json::{Map, Value};

use crate::body::{ActivationCodeResponse, Body, ProfileStatuses};
use crate::contract::{Contract, Named, Path, Refusal, Success, Variable};
use crate::error_code::{ApiError, ErrorCode};
use crate::received::Received;

pub use cmp::CmpOperation;
pub use msp::{MspOperation, RequestInvalidate, RequestProfileStatus};

/// An operation of AID1: what a request of it carries, besides the path variable and the headers.
pub trait Operation: Sized {
    /// The API that has it.
    type Api: Api;
    /// What stands in the variable segment of its path.
    type Variable: fmt::Display + ?Sized;
    /// What a success says.
    type Answer: Answer;

    /// What Annex B says of it.
    const CONTRACT: &'static Contract;

    /// The body of the request, if it has one.
    fn body(&self) -> Option<Vec<u8>> {
        None
    }

    /// The query of the request, without the question mark.
    fn query(&self) -> Option<String> {
        None
    }

    /// A success as the server sends it: status and JSON, empty if it has no body.
    fn success(answer: &Self::Answer) -> (StatusCode, String) {
        let (status, body) = answer.to_wire(Self::CONTRACT);
        (
            status,
            body.map(|body| body.to_string()).unwrap_or_default(),
        )
    }
}

/// One side's API: an enum with a variant for each operation that this side serves.
pub trait Api: Copy + Eq + fmt::Debug + 'static {
    /// Title of the OpenAPI document.
    const TITLE: &'static str;
    /// What the API is.
    const ABOUT: &'static str;
    /// Its operations.
    const ALL: &'static [Self];

    /// What Annex B says of the operation.
    fn contract(self) -> &'static Contract;

    /// The operation at a path, and the text where the variable is.
    #[must_use]
    fn at(path: &str) -> Option<(Self, &str)> {
        let mut all = Self::ALL.iter();
        all.find_map(|operation| Some((*operation, operation.contract().path.variable_of(path)?)))
    }
}

/// What an operation says when it succeeds.
pub trait Answer: Sized {
    /// Status and body as the server sends them.
    fn to_wire(&self, contract: &Contract) -> (StatusCode, Option<Value>);

    /// Reads an answer with a status of 2xx, and says which status the contract has for it.
    ///
    /// # Errors
    /// What is wrong with the body: nobody can tell from it that the operation was carried out.
    fn read(contract: &Contract, received: &Received) -> Result<(Self, StatusCode), ApiError>;
}

/// Of an operation whose success has no body. Another 2xx counts with nothing or with JSON in it. What a body says is not
/// looked at (Annex B), unless it is a refusal in the words of §5.5 or nothing that a party of AID1 sends.
impl Answer for () {
    fn to_wire(&self, contract: &Contract) -> (StatusCode, Option<Value>) {
        (contract.success(), None)
    }

    fn read(contract: &Contract, received: &Received) -> Result<((), StatusCode), ApiError> {
        let success = contract.success();
        let json = || serde_json::from_slice::<Map<String, Value>>(received.body()).is_ok();
        let shaped = received.status() == success || received.is_empty() || json();
        if shaped && !received.is_page() && !received.is_refusal() {
            Ok(((), success))
        } else {
            let text = "this is no answer of a party of AID1";
            Err(ApiError::because(ErrorCode::Syntax, text))
        }
    }
}

impl Answer for ProfileStatuses {
    fn to_wire(&self, contract: &Contract) -> (StatusCode, Option<Value>) {
        (contract.success(), Some(self.to_json()))
    }

    fn read(contract: &Contract, received: &Received) -> Result<(Self, StatusCode), ApiError> {
        let statuses = Self::parse_with(received.body(), received.iccids)?;
        Ok((statuses, contract.success()))
    }
}

/// The answer to Request Activation Code (AID.02 §7.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Activation {
    /// 200: the code is here (§7.7.1).
    Now(ActivationCodeResponse),
    /// 201: it comes by Send Activation Code (§7.7.2).
    Later,
}

impl Answer for Activation {
    fn to_wire(&self, _: &Contract) -> (StatusCode, Option<Value>) {
        match self {
            Self::Now(code) => (StatusCode::OK, Some(code.to_json())),
            Self::Later => (StatusCode::CREATED, None),
        }
    }

    /// A code counts under whatever 2xx it comes: it is not sent a second time.
    fn read(_: &Contract, received: &Received) -> Result<(Self, StatusCode), ApiError> {
        let code = ActivationCodeResponse::parse_with(received.body(), received.iccids);
        let unusable = match code {
            Ok(code) => return Ok((Self::Now(code), StatusCode::OK)),
            Err(error) => error,
        };
        let status = received.status();
        let accepted =
            status == StatusCode::CREATED && !received.is_page() && !received.is_refusal()
                || status != StatusCode::OK && received.is_empty();
        if accepted {
            Ok((Self::Later, StatusCode::CREATED))
        } else {
            Err(unusable)
        }
    }
}

/// The enum of an API; its variants are the types of its operations.
macro_rules! api {
    ($(#[$doc:meta])* $api:ident, $title:literal, $about:literal, $($operation:ident: $what:literal,)+) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $api { $(#[doc = $what] $operation,)+ }

        impl $crate::operation::Api for $api {
            const TITLE: &'static str = $title;
            const ABOUT: &'static str = $about;
            const ALL: &'static [Self] = &[$(Self::$operation),+];

            fn contract(self) -> &'static $crate::contract::Contract {
                match self {
                    $(Self::$operation => <$operation as $crate::operation::Operation>::CONTRACT,)+
                }
            }
        }
    };
}
use api;

const UNAUTHORIZED: Refusal = Refusal {
    status: StatusCode::UNAUTHORIZED,
    when: "Credentials or certificate are missing or wrong.",
    codes: &[ErrorCode::Unauthorized, ErrorCode::PartyNotFound],
};
const FORBIDDEN: Refusal = Refusal {
    status: StatusCode::FORBIDDEN,
    when: "The target-id names another party.",
    codes: &[ErrorCode::Unauthorized],
};
const TOKEN_UNKNOWN: Refusal = not_found(
    "No such msp_token of this caller, or it has ended.",
    &[ErrorCode::TokenNotFound, ErrorCode::TokenInvalidated],
);
const FAILED: Refusal = Refusal {
    status: StatusCode::INTERNAL_SERVER_ERROR,
    when: "The server failed; the same request may be sent again.",
    codes: &[ErrorCode::Internal],
};

/// A path whose variable is the token.
const fn of_token(before: &'static str, after: &'static str) -> Path {
    Path {
        before,
        variable: Variable::MspToken,
        after,
    }
}

/// A success without a body.
const fn done(status: StatusCode, when: &'static str) -> Success {
    let body = None;
    Success { status, when, body }
}

/// A success with a body.
const fn with<B: Body>(status: StatusCode, when: &'static str) -> Success {
    let body = Some(Named::of::<B>());
    Success { status, when, body }
}

const fn not_found(when: &'static str, codes: &'static [ErrorCode]) -> Refusal {
    Refusal {
        status: StatusCode::NOT_FOUND,
        when,
        codes,
    }
}

/// Something about the request is not acceptable.
const fn wrong(codes: &'static [ErrorCode]) -> Refusal {
    unprocessable("A header, the path or the body is not acceptable.", codes)
}

const fn unprocessable(when: &'static str, codes: &'static [ErrorCode]) -> Refusal {
    Refusal {
        status: StatusCode::UNPROCESSABLE_ENTITY,
        when,
        codes,
    }
}

#[cfg(test)]
mod tests;
