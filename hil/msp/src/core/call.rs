//! One call of a CMP: the same call again gets the same answer, and nothing is done twice (AID.02 §5.1). Effect and
//! answer are changes of one decision.

use aid_aid1::error_code::{ApiError, ErrorCode};
use aid_aid1::headers::PartyId;
use aid_aid1::operation::Operation;
use uuid::Uuid;

use super::model::Onboarding;
use super::{Change, Decision};

/// How long a call whose effect needs the SM-DP+ is left to the task that has claimed it, ms: longer than any synchronous
/// answer takes. Afterwards whoever repeats the call works on it.
pub(crate) const LEASE: i64 = 15_000;

/// What makes a call the same call: who calls, `CMP-request-id`, and a digest of method, path and body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// Who calls.
    pub(crate) client: PartyId,
    /// `CMP-request-id`
    pub(crate) id: Uuid,
    /// SHA-256 of method, path and body, hexadecimal.
    pub(crate) digest: String,
}

/// An answer: HTTP status and JSON, empty if there is no body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// HTTP status, 200 to 299 where it is stored.
    pub(crate) status: u16,
    /// JSON, or nothing.
    pub(crate) body: String,
}

impl Answer {
    /// The success of an operation.
    #[must_use]
    pub(crate) fn success<O: Operation>(answer: &O::Answer) -> Self {
        let (status, body) = O::success(answer);
        Self {
            status: status.as_u16(),
            body,
        }
    }
}

/// What is stored of an earlier call with the same id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Earlier {
    /// The digest of that call.
    pub(crate) digest: String,
    /// Its answer; none while it is being answered.
    pub(crate) answer: Option<Answer>,
    /// Until when it is being answered, ms since 1970.
    pub(crate) leased_until: i64,
}

/// What every operation looks at first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CallView {
    /// The onboarding behind the token, of this CMP and not refused.
    pub(crate) onboarding: Option<Onboarding>,
    /// The earlier call with the same id.
    pub(crate) earlier: Option<Earlier>,
}

/// What becomes of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// It is answered so; stored, if the operation changes anything.
    Answer(Answer),
    /// It is refused, and nothing was changed.
    Refused(ApiError),
    /// The same call is being answered at this moment.
    Running,
}

impl Said {
    /// A refusal.
    pub(crate) fn refused(error: ApiError) -> Decision<Self> {
        Decision::nothing(Self::Refused(error))
    }
}

/// Whether a lease holds. One that ends later than any lease can was made under a wrong clock.
#[must_use]
pub(crate) fn is_leased(until: i64, now: i64) -> bool {
    until > now && until <= now.saturating_add(LEASE)
}

impl CallView {
    /// The onboarding of a call that was not answered before; otherwise what the call is answered with.
    ///
    /// # Errors
    /// What becomes of the call: 404 with 20 for a token that is unknown or another CMP's, the stored answer, 422 with 91
    /// for an id that another call had, or a wait.
    pub(crate) fn first(&self, key: &Key, now: i64) -> Result<&Onboarding, Said> {
        let unknown = || Said::Refused(ApiError::new(ErrorCode::TokenNotFound));
        let onboarding = self.onboarding.as_ref().ok_or_else(unknown)?;
        let Some(earlier) = &self.earlier else {
            return Ok(onboarding);
        };
        if earlier.digest != key.digest {
            let detail = "this CMP-request-id was used for another request";
            return Err(Said::Refused(ApiError::because(ErrorCode::Syntax, detail)));
        }
        match &earlier.answer {
            Some(answer) => Err(Said::Answer(answer.clone())),
            None if is_leased(earlier.leased_until, now) => Err(Said::Running),
            None => Ok(onboarding),
        }
    }
}

/// A call's effect together with its answer.
pub(crate) fn answered(
    mut changes: Vec<Change>,
    key: &Key,
    answer: Answer,
    now: i64,
) -> Decision<Said> {
    changes.push(Change::CallAnswered {
        key: key.clone(),
        answer: answer.clone(),
        at: now,
    });
    Decision::of(changes, Said::Answer(answer))
}
