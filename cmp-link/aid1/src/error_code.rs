//! The error codes of AID.02 §5.5 and the body that every answer other than 2xx carries.
//!
//! Which HTTP status carries which code is not in the specification; [`ErrorCode::status`] is our mapping.

use std::borrow::Cow;
use std::fmt;

use http::StatusCode;
use serde::{Deserialize, Serialize};

/// Longest `error` text that is sent or kept, in characters (AID.02 §7.3).
pub const MAX_ERROR_TEXT: usize = 512;

/// An error code of AID.02 §5.5 table 10.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ErrorCode {
    /// 10: the account ID was not found.
    AccountIdNotFound,
    /// 11: the account ID was found but is no longer valid.
    AccountIdExpired,
    /// 12: the account ID has an invalid signature.
    AccountIdSignature,
    /// 19: other account ID error.
    AccountIdOther,
    /// 20: the msp_token was not found.
    TokenNotFound,
    /// 21: the msp_token was found but is no longer valid.
    TokenInvalidated,
    /// 23: the msp_token is already assigned to a user.
    TokenAssigned,
    /// 24: the user already has a msp_token.
    UserHasToken,
    /// 29: other msp_token error.
    TokenOther,
    /// 30: the specified request ID was not found.
    RequestNotFound,
    /// 31: the specified request ID was found but is no longer valid.
    RequestExpired,
    /// 39: other request ID error.
    RequestOther,
    /// 44: other format error of activation code.
    ActivationCodeFormatOther,
    /// 47: the activation code has an invalid format.
    ActivationCodeFormat,
    /// 48: the msp_token already has an activation code assigned to it.
    ActivationCodeAssigned,
    /// 49: other activation code error.
    ActivationCodeOther,
    /// 50: profile type unknown.
    ProfileTypeUnknown,
    /// 51: the specified profile type is unsupported for this request.
    ProfileTypeUnsupported,
    /// 59: other profile type error.
    ProfileTypeOther,
    /// 60: the request body is empty or contains null values.
    BodyEmptyOrNull,
    /// 61: the profile with the ICCID %s could not be found.
    ProfileNotFound,
    /// 62: the profile with the ICCID %s is not linked to the MSP token %s.
    ProfileNotLinked,
    /// 63: the profile with the ICCID %s is invalid and may not return to a valid state.
    ProfileInvalid,
    /// 64: none of the profiles could be processed.
    NoProfileProcessed,
    /// 65: the msp_token or the profile(s) could not be found.
    TokenOrProfileNotFound,
    /// 90: internal server error.
    Internal,
    /// 91: invalid request syntax.
    Syntax,
    /// 92: the correlation-id does not match.
    CorrelationMismatch,
    /// 93: the MSP with the MSP identifier %s could not be found.
    PartyNotFound,
    /// 94: the user identified by the account id could not be found.
    UserNotFound,
    /// 100: unspecified CMP content error (redirects).
    Content,
    /// 101: user login not possible on CMP side (redirects).
    Login,
    /// 102: onboarding aborted by user (redirects).
    Aborted,
    /// 103: CMP onboarding content currently unavailable (redirects).
    Unavailable,
    /// 104: authorization failed. Not in table 10; the example of Annex B for 401 and 403.
    Unauthorized,
}

/// Every code with its number and its text; `%s` of table 10 is left out, callers say the value themselves.
const TABLE: [(ErrorCode, u16, &str); 35] = [
    (
        ErrorCode::AccountIdNotFound,
        10,
        "The account ID was not found",
    ),
    (
        ErrorCode::AccountIdExpired,
        11,
        "The account ID was found but is no longer valid",
    ),
    (
        ErrorCode::AccountIdSignature,
        12,
        "The account ID has an invalid signature",
    ),
    (ErrorCode::AccountIdOther, 19, "Other account ID error"),
    (ErrorCode::TokenNotFound, 20, "The msp_token was not found"),
    (
        ErrorCode::TokenInvalidated,
        21,
        "The msp_token was found but is no longer valid",
    ),
    (
        ErrorCode::TokenAssigned,
        23,
        "The msp_token is already assigned to a user",
    ),
    (
        ErrorCode::UserHasToken,
        24,
        "The user already has a msp_token",
    ),
    (ErrorCode::TokenOther, 29, "Other msp_token error"),
    (
        ErrorCode::RequestNotFound,
        30,
        "The specified request ID was not found",
    ),
    (
        ErrorCode::RequestExpired,
        31,
        "The specified request ID was found but is no longer valid",
    ),
    (ErrorCode::RequestOther, 39, "Other request ID error"),
    (
        ErrorCode::ActivationCodeFormatOther,
        44,
        "Other format error of activation code",
    ),
    (
        ErrorCode::ActivationCodeFormat,
        47,
        "The activation code has an invalid format",
    ),
    (
        ErrorCode::ActivationCodeAssigned,
        48,
        "The msp_token already has an activation code assigned to it",
    ),
    (
        ErrorCode::ActivationCodeOther,
        49,
        "Other activation code error",
    ),
    (ErrorCode::ProfileTypeUnknown, 50, "Profile type unknown"),
    (
        ErrorCode::ProfileTypeUnsupported,
        51,
        "The specified profile type is unsupported for this request",
    ),
    (ErrorCode::ProfileTypeOther, 59, "Other profile type error"),
    (
        ErrorCode::BodyEmptyOrNull,
        60,
        "The request body is empty or contains null values",
    ),
    (
        ErrorCode::ProfileNotFound,
        61,
        "The profile with this ICCID could not be found",
    ),
    (
        ErrorCode::ProfileNotLinked,
        62,
        "The profile with this ICCID is not linked to the MSP token",
    ),
    (
        ErrorCode::ProfileInvalid,
        63,
        "The profile with this ICCID is invalid and may not return to a valid state",
    ),
    (
        ErrorCode::NoProfileProcessed,
        64,
        "None of the profiles could be processed",
    ),
    (
        ErrorCode::TokenOrProfileNotFound,
        65,
        "The msp_token or the profile(s) could not be found",
    ),
    (ErrorCode::Internal, 90, "Internal Server Error"),
    (ErrorCode::Syntax, 91, "Invalid request syntax"),
    (
        ErrorCode::CorrelationMismatch,
        92,
        "The correlation-id does not match",
    ),
    (
        ErrorCode::PartyNotFound,
        93,
        "The party with this client-id could not be found",
    ),
    (
        ErrorCode::UserNotFound,
        94,
        "The user identified by the account id could not be found",
    ),
    (ErrorCode::Content, 100, "Unspecified CMP content error"),
    (ErrorCode::Login, 101, "User login not possible on CMP side"),
    (ErrorCode::Aborted, 102, "Onboarding aborted by user"),
    (
        ErrorCode::Unavailable,
        103,
        "CMP onboarding content currently unavailable",
    ),
    (ErrorCode::Unauthorized, 104, "The authorization failed"),
];

impl ErrorCode {
    /// The number, as printed in table 10.
    #[must_use]
    pub fn number(self) -> u16 {
        self.row().1
    }

    /// The description, as printed in table 10 (without its `%s` placeholders).
    #[must_use]
    pub fn description(self) -> &'static str {
        self.row().2
    }

    /// The code with this number, if table 10 has it.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Self> {
        TABLE.iter().find(|row| row.1 == number).map(|row| row.0)
    }

    /// Every code.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.0)
    }

    /// The HTTP status that carries this code, unless an operation says otherwise (our mapping; AID.02 §5.5 is silent).
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::Unauthorized | Self::PartyNotFound => StatusCode::UNAUTHORIZED,
            Self::AccountIdNotFound
            | Self::TokenNotFound
            | Self::TokenInvalidated
            | Self::ProfileNotFound
            | Self::NoProfileProcessed
            | Self::TokenOrProfileNotFound
            | Self::UserNotFound => StatusCode::NOT_FOUND,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }

    fn row(self) -> &'static (Self, u16, &'static str) {
        // The table has every variant (checked by a test); a missing one would read as an internal error.
        TABLE.iter().find(|row| row.0 == self).unwrap_or(&TABLE[25])
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number())
    }
}

/// The body of every answer that is not 2xx (AID.02 §5.5 table 9).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// Code, a string such as `"10"`.
    pub code: String,
    /// Description.
    pub error: String,
}

impl ErrorBody {
    /// The code as one of table 10; `None` if the peer uses another.
    #[must_use]
    pub fn known(&self) -> Option<ErrorCode> {
        self.code.parse().ok().and_then(ErrorCode::from_number)
    }
}

impl fmt::Display for ErrorBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}",
            clean(&self.code, 8),
            clean(&self.error, MAX_ERROR_TEXT)
        )
    }
}

/// A refusal by one of our servers: status, code and a text for the peer's log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status} {code}: {text}")]
pub struct ApiError {
    /// HTTP status.
    pub status: StatusCode,
    /// Code of §5.5.
    pub code: ErrorCode,
    /// Description; no markup, no control characters, at most [`MAX_ERROR_TEXT`] characters.
    pub text: Cow<'static, str>,
}

impl ApiError {
    /// The code with its usual status and its description from the table.
    #[must_use]
    pub fn new(code: ErrorCode) -> Self {
        Self {
            status: code.status(),
            code,
            text: Cow::Borrowed(code.description()),
        }
    }

    /// The code with its usual status and the description extended by `detail` (which is cleaned and bounded).
    #[must_use]
    pub fn because(code: ErrorCode, detail: impl fmt::Display) -> Self {
        let text = clean(&format!("{}: {detail}", code.description()), MAX_ERROR_TEXT);
        Self {
            status: code.status(),
            code,
            text: Cow::Owned(text),
        }
    }

    /// The same with another status.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// What goes onto the wire.
    #[must_use]
    pub fn body(&self) -> ErrorBody {
        ErrorBody {
            code: self.code.to_string(),
            error: self.text.clone().into_owned(),
        }
    }

    /// The text for the `error` member of Send MSP Token and Send Activation Code, such as
    /// `19: Other account ID error` (AID.02 §5.5).
    #[must_use]
    pub fn concatenated(&self) -> String {
        clean(&format!("{}: {}", self.code, self.text), MAX_ERROR_TEXT)
    }
}

impl From<ErrorCode> for ApiError {
    fn from(code: ErrorCode) -> Self {
        Self::new(code)
    }
}

/// The text without control characters and markup, cut to `max` characters: what a peer sends ends up in logs and pages.
#[must_use]
pub fn clean(text: &str, max: usize) -> String {
    text.chars()
        .take(max)
        .map(|c| {
            if c.is_control() || matches!(c, '<' | '>' | '&') {
                '?'
            } else {
                c
            }
        })
        .collect()
}

/// The `error` member of Send MSP Token and Send Activation Code, split into its code and its text (AID.02 §5.5 writes
/// `19: text`, §7.3 `1000:text`; free text has no code).
#[must_use]
pub fn split_error(text: &str) -> (Option<u16>, &str) {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    match (number.parse(), rest.strip_prefix(':')) {
        (Ok(code), Some(rest)) => (Some(code), rest.trim_start()),
        (Ok(code), None) if rest.is_empty() => (Some(code), ""),
        _ => (None, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // R-5.5-2, R-5.5-4
    #[test]
    fn every_code_is_in_the_table_once_and_reads_back() {
        for code in ErrorCode::all() {
            assert_eq!(ErrorCode::from_number(code.number()), Some(code));
            let body = serde_json::to_value(ApiError::new(code).body()).unwrap();
            assert!(body["code"].is_string());
            assert!(!body["error"].as_str().unwrap().contains("%s"));
        }
        for gap in [13, 22, 40, 43, 45, 46, 66, 99, 105, 1000] {
            assert_eq!(ErrorCode::from_number(gap), None);
        }
    }

    // R-5.5-8: 200 to 300 are for agreements of two parties; we have none, so none of our codes lies there.
    #[test]
    fn no_code_of_ours_is_proprietary() {
        assert!(ErrorCode::all().all(|code| (10..=104).contains(&code.number())));
        for proprietary in [200, 250, 300] {
            let body = ErrorBody {
                code: proprietary.to_string(),
                error: "agreed".into(),
            };
            assert_eq!(body.known(), None);
        }
    }

    // R-5.5-5
    #[test]
    fn statuses_follow_our_mapping() {
        for (number, status) in [
            (104, 401),
            (93, 401),
            (10, 404),
            (21, 404),
            (94, 404),
            (11, 422),
            (23, 422),
            (49, 422),
            (90, 500),
        ] {
            assert_eq!(
                ErrorCode::from_number(number).unwrap().status().as_u16(),
                status
            );
        }
    }

    // R-5.5-3
    #[test]
    fn error_texts_are_split_in_all_spellings() {
        assert_eq!(
            split_error("19: Other account ID error."),
            (Some(19), "Other account ID error.")
        );
        assert_eq!(
            split_error("1000:Customer not eligible"),
            (Some(1000), "Customer not eligible")
        );
        assert_eq!(split_error("19"), (Some(19), ""));
        assert_eq!(split_error("19 x"), (None, "19 x"));
        assert_eq!(split_error("sorry"), (None, "sorry"));
        assert_eq!(split_error("99999999: x"), (None, "99999999: x"));
    }

    // R-5.5-6
    #[test]
    fn nothing_dangerous_is_reflected() {
        let error = ApiError::because(ErrorCode::Syntax, "<script>\r\n\u{7}");
        assert!(!error.text.contains(['<', '>', '\r', '\n', '\u{7}']));
        assert!(
            ApiError::because(ErrorCode::Syntax, "x".repeat(10_000))
                .text
                .chars()
                .count()
                <= MAX_ERROR_TEXT
        );
    }
}
