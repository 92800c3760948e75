//! Answers: those of targets, which are passed on as they are, and the hub's own in the words of §5.5.

use std::time::Duration;

use aid_aid1::error_code::{ApiError, ErrorBody, ErrorCode};
use http::StatusCode;
use serde_json::{Map, Value};

/// An answer as it goes to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// HTTP status.
    pub(crate) status: StatusCode,
    /// `Content-Type`; empty where there is no body.
    pub(crate) kind: String,
    /// `Retry-After`, seconds.
    pub(crate) retry_after: Option<u64>,
    /// The body, as it came.
    pub(crate) body: Vec<u8>,
}

/// How carrying a call to its target once ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The target answered in the form of AID1.
    Answered(Answer),
    /// There is no connection to the target: it has not got the call.
    Unreachable(String),
    /// It did not answer in time, or the connection broke. It may have acted.
    Silent(String),
    /// Something answered, but not as a party of AID1 does: a proxy's page, a redirection, too large a body.
    Strange(String),
}

/// Seconds after which a caller should try again to reach a target that is away.
const AWAY: u64 = 5;
/// The same where many calls wait for it already.
const CROWDED: u64 = 60;

impl Answer {
    /// A success without a body.
    #[must_use]
    pub(crate) fn done(status: StatusCode) -> Self {
        Self {
            status,
            kind: String::new(),
            retry_after: None,
            body: Vec::new(),
        }
    }

    /// A refusal in the words of §5.5.
    #[must_use]
    pub(crate) fn refusal(error: &ApiError) -> Self {
        Self {
            status: error.status,
            kind: "application/json".into(),
            retry_after: None,
            // Two texts always serialise.
            body: serde_json::to_vec(&error.body()).unwrap_or_default(),
        }
    }

    /// The refusal of a call that the hub would keep for a target that is away, if its pair had room.
    #[must_use]
    pub(crate) fn full() -> Self {
        let text = "the target can't be reached, and too many calls of this pair wait for it; try again later";
        let error = ApiError::because(ErrorCode::Internal, text);
        Self::refusal(&error.with_status(StatusCode::SERVICE_UNAVAILABLE))
            .after(Duration::from_secs(CROWDED))
    }

    /// The same with a wish for the pause before a repetition; in whole seconds, at least one.
    #[must_use]
    pub(crate) fn after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(aid_serve::limit::retry_after(wait));
        self
    }

    /// The code of its body, where that is in the words of §5.5.
    #[must_use]
    pub(crate) fn code(&self) -> Option<u16> {
        let body: ErrorBody = serde_json::from_slice(&self.body).ok()?;
        body.code.parse().ok()
    }

    /// Whether a body is something that a party of AID1 sends under a status: nothing or a JSON object beside a success, a
    /// JSON object beside a refusal (R-5.5-1).
    #[must_use]
    pub(crate) fn is_of_aid1(&self) -> bool {
        let empty = self.body.iter().all(u8::is_ascii_whitespace);
        let object = || serde_json::from_slice::<Map<String, Value>>(&self.body).is_ok();
        match self.status.is_success() {
            true => empty || object(),
            false => (self.status.is_client_error() || self.status.is_server_error()) && object(),
        }
    }
}

impl Outcome {
    /// What the caller hears: the target's own answer, or the hub's with a code of §5.5.
    #[must_use]
    pub(crate) fn to_answer(&self) -> Answer {
        let own = |text: &'static str| ApiError::because(ErrorCode::Internal, text);
        match self {
            Self::Answered(answer) => answer.clone(),
            Self::Unreachable(_) => {
                let error =
                    own("the target can't be reached").with_status(StatusCode::SERVICE_UNAVAILABLE);
                Answer::refusal(&error).after(Duration::from_secs(AWAY))
            }
            Self::Silent(_) => Answer::refusal(&own("the target did not answer in time")),
            Self::Strange(_) => {
                Answer::refusal(&own("the answer of the target is not one of AID1"))
            }
        }
    }

    /// What happened, for the operator: no tokens, no bodies.
    #[must_use]
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Answered(answer) => match answer.code() {
                Some(code) => format!("answered with {}, code {code}", answer.status.as_u16()),
                None => format!("answered with {}", answer.status.as_u16()),
            },
            Self::Unreachable(reason) | Self::Silent(reason) | Self::Strange(reason) => {
                reason.clone()
            }
        }
    }
}
