//! The contract of one operation as data: what Annex B of AID.02 says of it, without the types of its bodies.
//!
//! Each operation states it once, beside its types ([`crate::operation`]). Servers find the operation of a path in it and
//! take the status of a refusal from it, clients take path, method and statuses from it, and the OpenAPI documents are
//! written from it and from the bodies' own schemas, so that a document says what its server does.

mod document;
pub(crate) mod schema;

use std::fmt;

pub use document::openapi;

use http::{Method, StatusCode};
use utoipa::openapi::schema::Schema;

use crate::body::{Body, Members};
use crate::error_code::{ApiError, ErrorCode};
use crate::redirect::percent_encode;
use crate::server::path_token;
use crate::strict_json;

/// Where both servers serve their document.
pub const OPENAPI: &str = "/openapi.json";

/// Statuses of HTTP itself: whether a request is complete, its size, its rate. They are not about an operation, so every
/// operation has them.
const GENERAL: [StatusCode; 9] = [
    StatusCode::BAD_REQUEST,
    StatusCode::METHOD_NOT_ALLOWED,
    StatusCode::REQUEST_TIMEOUT,
    StatusCode::PAYLOAD_TOO_LARGE,
    StatusCode::URI_TOO_LONG,
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    StatusCode::SERVICE_UNAVAILABLE,
];

/// A named body.
#[derive(Clone, Copy, Debug)]
pub struct Named {
    /// Its name in Annex B.
    pub name: &'static str,
    /// Its schema.
    pub schema: fn() -> Schema,
}

impl Named {
    /// The name and schema of a body.
    #[must_use]
    pub const fn of<B: Body>() -> Self {
        Self {
            name: B::NAME,
            schema: B::schema,
        }
    }
}

/// What stands in the variable segment of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    /// `msp_token` (§5.3)
    MspToken,
    /// `account_id` (§5.2)
    AccountId,
}

impl Variable {
    /// Its name in the path.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::MspToken => "msp_token",
            Self::AccountId => "account_id",
        }
    }
}

/// A path with one variable segment.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    /// What stands before the variable, with the slash.
    pub before: &'static str,
    /// The variable segment.
    pub variable: Variable,
    /// What follows it, with the slash; empty if nothing does.
    pub after: &'static str,
}

impl Path {
    /// The path with this text in the place of the variable.
    #[must_use]
    pub fn with(&self, variable: &str) -> String {
        format!("{}{}{}", self.before, percent_encode(variable), self.after)
    }

    /// The variable's text if `path` has this form and the text is not empty. Escapes stay as they are: tokens and account
    /// ids need none, so a text with escapes is neither.
    #[must_use]
    pub fn variable_of<'p>(&self, path: &'p str) -> Option<&'p str> {
        let text = path.strip_prefix(self.before)?.strip_suffix(self.after)?;
        (!text.is_empty() && !text.contains('/')).then_some(text)
    }

    /// The last fixed segment, such as `profiles`; no other operation of the same API has it.
    #[must_use]
    pub fn resource(&self) -> &'static str {
        let fixed = if self.after.is_empty() {
            self.before
        } else {
            self.after
        };
        let mut segments = fixed.split('/').filter(|segment| !segment.is_empty());
        segments.next_back().unwrap_or_default()
    }
}

/// The path as Annex B writes it, with the variable in braces.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}{{{}}}{}",
            self.before,
            self.variable.name(),
            self.after
        )
    }
}

/// A success of an operation.
#[derive(Clone, Copy, Debug)]
pub struct Success {
    /// HTTP status, 2xx.
    pub status: StatusCode,
    /// When it is given.
    pub when: &'static str,
    /// Body, if there is one.
    pub body: Option<Named>,
}

/// A refusal of an operation; its body is always that of §5.5.
#[derive(Clone, Copy, Debug)]
pub struct Refusal {
    /// HTTP status.
    pub status: StatusCode,
    /// When it is given.
    pub when: &'static str,
    /// The codes that this operation gives under this status.
    pub codes: &'static [ErrorCode],
}

/// What Annex B says of one operation.
pub struct Contract {
    /// `operationId`
    pub id: &'static str,
    /// Its name in chapter 7.
    pub name: &'static str,
    /// Method.
    pub method: Method,
    /// Path.
    pub path: Path,
    /// What it is for.
    pub about: &'static str,
    /// Body of the request, if it has one.
    pub request: Option<Named>,
    /// Optional member of the query.
    pub query: Option<&'static str>,
    /// Successes, the usual one first.
    pub successes: &'static [Success],
    /// Refusals; those of HTTP itself, such as 405 or 413, are possible too.
    pub refusals: &'static [Refusal],
}

impl Contract {
    /// Status of the usual success.
    #[must_use]
    pub const fn success(&self) -> StatusCode {
        match self.successes.first() {
            Some(usual) => usual.status,
            None => StatusCode::OK,
        }
    }

    /// Refuses a request that is wrong by its form alone: a path without a token, a body that is no JSON object. The
    /// servers ask before they look up anything that belongs to somebody. Yields the members of the body, none for an
    /// operation that has no body.
    ///
    /// # Errors
    /// 422 with 60 or 91, 413 for a body that is too large.
    pub fn check_form(&self, variable: &str, body: &[u8]) -> Result<Members, ApiError> {
        if self.path.variable == Variable::MspToken {
            path_token(variable)?;
        }
        let object = self
            .request
            .map(|_| strict_json::object(body))
            .transpose()?;
        Ok(Members::new(object.unwrap_or_default()))
    }

    /// The refusal under a status that this operation has: its own for this code where it does not list the given one. So
    /// a wrong `target-id` is 401 where there is no 403, and an unacceptable body is 400 where there is no 422 (§7.4).
    #[must_use]
    pub fn refusal(&self, error: ApiError) -> ApiError {
        let code = error.code;
        let mut own = self.refusals.iter().filter(|r| r.codes.contains(&code));
        let listed = own.clone().any(|r| r.status == error.status);
        match own.next() {
            Some(own) if !listed && !GENERAL.contains(&error.status) => {
                error.with_status(own.status)
            }
            _ => error,
        }
    }

    /// Whether a refusal with this status and code is the peer's last word about a request.
    ///
    /// It is where the contract has the status for what is wrong with a request, and the code says what that is. All
    /// else can change without a change of the request: the peer's failures, who we are taken for, and whatever a proxy
    /// in front of the peer says.
    #[must_use]
    pub fn refuses(&self, status: StatusCode, code: u16) -> bool {
        let about_us = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        let listed = self.refusals.iter().find(|r| r.status == status);
        let word = |listed: &Refusal| match ErrorCode::from_number(code) {
            Some(
                ErrorCode::Internal
                | ErrorCode::PartyNotFound
                | ErrorCode::Unauthorized
                | ErrorCode::Content
                | ErrorCode::Login
                | ErrorCode::Aborted
                | ErrorCode::Unavailable,
            ) => false,
            // Servers say so of a path that is no operation, too: where the operation does not have it, the address is
            // wrong, not the request.
            Some(code @ ErrorCode::TokenOrProfileNotFound) => listed.codes.contains(&code),
            // Codes of an agreement between two parties are words too (R-5.5-8).
            _ => true,
        };
        status.is_client_error() && !about_us && listed.is_some_and(word)
    }
}

/// Two contracts are the same if their operations are.
impl PartialEq for Contract {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Contract {}

impl fmt::Debug for Contract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Contract").field(&self.id).finish()
    }
}

/// The name in chapter 7.
impl fmt::Display for Contract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name)
    }
}

#[cfg(test)]
mod tests;
