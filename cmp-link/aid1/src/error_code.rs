//! The error codes of AID.02 §5.5 and the body that every answer other than 2xx carries.
//!
//! Which HTTP status carries which code is not in the specification; [`ErrorCode::status`] is our mapping.

use std::borrow::Cow;
use std::fmt;

use http::StatusCode;
use serde::{Deserialize, Serialize};

/// Longest `error` text that is sent or kept, in characters (AID.02 §7.3).
pub const MAX_ERROR_TEXT: usize = 512;

/// Longest value that a description names, in characters.
const MAX_NAMED: usize = 64;

macro_rules! codes {
    ($($code:ident = $number:literal, $text:literal;)+) => {
        /// An error code of AID.02 §5.5 table 10.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ErrorCode { $(#[doc = concat!($number, ": ", $text, ".")] $code,)+ }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$code),+];

            /// The number, as printed in table 10.
            #[must_use]
            pub fn number(self) -> u16 {
                match self { $(Self::$code => $number,)+ }
            }

            /// The description, as printed in table 10; each `%s` stands for a value ([`ApiError::naming`]).
            #[must_use]
            pub fn description(self) -> &'static str {
                match self { $(Self::$code => $text,)+ }
            }

            /// The code with this number, if table 10 has it.
            #[must_use]
            pub fn from_number(number: u16) -> Option<Self> {
                match number {
                    $($number => Some(Self::$code),)+
                    _ => None,
                }
            }
        }
    };
}

codes! {
    AccountIdNotFound = 10, "The account ID was not found";
    AccountIdExpired = 11, "The account ID was found but is no longer valid";
    AccountIdSignature = 12, "The account ID has an invalid signature";
    AccountIdOther = 19, "Other account ID error";
    TokenNotFound = 20, "The msp_token was not found";
    TokenInvalidated = 21, "The msp_token was found but is no longer valid";
    TokenAssigned = 23, "The msp_token is already assigned to a user";
    UserHasToken = 24, "The user already has a msp_token";
    TokenOther = 29, "Other msp_token id error";
    RequestNotFound = 30, "The specified request ID was not found";
    RequestExpired = 31, "The specified Request ID was found but is no longer valid";
    RequestOther = 39, "Other request ID error";
    ActivationCodeFormatOther = 44, "Other format error of activation code";
    ActivationCodeFormat = 47, "The activation code has an invalid format";
    ActivationCodeAssigned = 48, "The msp_token already has an activation code assigned to it";
    ActivationCodeOther = 49, "Other activation code error";
    ProfileTypeUnknown = 50, "Profile type unknown";
    ProfileTypeUnsupported = 51, "The specified profile type is unsupported for this request";
    ProfileTypeOther = 59, "Other profile type error";
    BodyEmptyOrNull = 60, "The request body is empty or contains null values";
    ProfileNotFound = 61, "The profile with the ICCID %s could not be found";
    ProfileNotLinked = 62, "The profile with the ICCID %s is not linked to the MSP token with the federated_id %s";
    ProfileInvalid = 63, "The profile with the ICCID %s is invalid and may not return to a valid state";
    NoProfileProcessed = 64, "None of the profiles could be processed";
    TokenOrProfileNotFound = 65, "The msp_token identified by the federated_id or the profile(s) identified by the ICCID could not be found";
    Internal = 90, "Internal Server Error";
    Syntax = 91, "Invalid request syntax";
    CorrelationMismatch = 92, "The correlation-id does not match";
    PartyNotFound = 93, "The MSP with the MSP identifier %s could not be found";
    UserNotFound = 94, "The user identified by the account id could not be found";
    Content = 100, "Unspecified CMP content error";
    Login = 101, "User login not possible on CMP side";
    Aborted = 102, "Onboarding aborted by user";
    // The last word is spelt so in table 10, and peers may compare texts.
    Unavailable = 103, "CMP onboarding content currently unavailabe";
    // Not in table 10: the example of Annex B for 401 and 403.
    Unauthorized = 104, "The authorization failed";
}

impl ErrorCode {
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
        let description = code.description();
        if description.contains("%s") {
            return Self::naming(code, &[]);
        }
        Self {
            status: code.status(),
            code,
            text: Cow::Borrowed(description),
        }
    }

    /// The code with its usual status and its description, whose `%s` are these values (each is cleaned and bounded).
    #[must_use]
    pub fn naming(code: ErrorCode, values: &[&dyn fmt::Display]) -> Self {
        let mut values = values.iter();
        let mut parts = code.description().split("%s");
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            match values.next() {
                Some(value) => text.push_str(&clean(&value.to_string(), MAX_NAMED)),
                None => text.push_str("(not named)"),
            }
            text.push_str(part);
        }
        Self {
            status: code.status(),
            code,
            text: Cow::Owned(text),
        }
    }

    /// The code with its usual status and the description extended by `detail` (which is cleaned and bounded).
    #[must_use]
    pub fn because(code: ErrorCode, detail: impl fmt::Display) -> Self {
        Self::new(code).detail(detail)
    }

    /// The same with a detail behind its text, separated by a colon; cleaned and bounded.
    #[must_use]
    pub fn detail(mut self, detail: impl fmt::Display) -> Self {
        self.text = Cow::Owned(clean(&format!("{}: {detail}", self.text), MAX_ERROR_TEXT));
        self
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
        for code in ErrorCode::ALL.iter().copied() {
            assert_eq!(ErrorCode::from_number(code.number()), Some(code));
            let body = serde_json::to_value(ApiError::new(code).body()).unwrap();
            assert!(body["code"].is_string());
            assert!(!body["error"].as_str().unwrap().contains("%s"));
        }
        for gap in [0, 13, 22, 40, 43, 45, 46, 66, 99, 105, 1000] {
            assert_eq!(ErrorCode::from_number(gap), None);
        }
    }

    // R-5.5-9: each description is the table's, word for word.
    #[test]
    fn descriptions_are_those_of_the_table() {
        let Some(text) = aid_needs::shared_text("spec/AID.02-v1.1.txt") else {
            return;
        };
        let table = text.split("Following error codes").nth(1).unwrap();
        let table = table.split("Table 10").next().unwrap();
        let rows: Vec<_> = table
            .lines()
            .filter_map(|line| {
                let (number, text) = line.split_once('\t')?;
                Some((number.parse::<u16>().ok()?, text))
            })
            .collect();
        assert_eq!(rows.len(), ErrorCode::ALL.len() - 1, "all but 104");
        for (number, text) in rows {
            let code = ErrorCode::from_number(number).unwrap();
            assert_eq!(code.description(), text, "{number}");
        }
    }

    // R-5.5-6, R-5.5-9
    #[test]
    fn values_stand_where_the_table_has_them() {
        let linked = ApiError::naming(ErrorCode::ProfileNotLinked, &[&"894", &"a<b"]);
        assert_eq!(
            linked.text,
            "The profile with the ICCID 894 is not linked to the MSP token with the federated_id a?b"
        );
        let long = ApiError::naming(ErrorCode::PartyNotFound, &[&"x".repeat(10_000)]);
        assert!(long.text.len() < 150, "{}", long.text);
        let detailed = ApiError::naming(ErrorCode::ProfileNotFound, &[&7]).detail("not\nnow");
        assert_eq!(
            detailed.text,
            "The profile with the ICCID 7 could not be found: not?now"
        );
    }

    // R-5.5-8: 200 to 300 are for agreements of two parties; we have none, so none of our codes lies there.
    #[test]
    fn no_code_of_ours_is_proprietary() {
        assert!(
            ErrorCode::ALL
                .iter()
                .copied()
                .all(|code| (10..=104).contains(&code.number()))
        );
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
