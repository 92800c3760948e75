//! One call to a CMP, and what its answer means for the job (AID.02 §7.3 to §7.7).

use std::time::Duration;

use aid_aid1::body::{
    Body, Iccids, NotifyTokenInvalid, SendActivationCode, SendMspToken, SendProfileInformation,
    UpdateSubscriptionInfo,
};
use aid_aid1::client::{Call, CallError};
use aid_aid1::deviation::Deviation;
use aid_aid1::error_code::ApiError;
use aid_aid1::headers::PartyId;
use aid_serve::metrics::Counter;
use axum::http::StatusCode;

use crate::config::CmpParty;
use crate::core::model::{Job, Kind};
use crate::core::outbox::{Attempt, MAX_PAUSE};

static UNAUTHORIZED: Counter = Counter::new(
    "aid_msp_outbox_unauthorized",
    "Calls that a CMP answered with 401 or 403, by CMP: an operator has to look at keys and certificates",
);

static DEVIATIONS: Counter = Counter::new(
    "aid_msp_deviations",
    "What CMPs did otherwise than AID.02 has it and was tolerated, by CMP and kind",
);

/// Counts what a CMP did otherwise than AID.02 has it.
pub(crate) fn deviated(client: &PartyId, kind: Deviation, count: u64) {
    DEVIATIONS.add_many(&[("cmp", client.as_str()), ("kind", kind.as_str())], count);
}

/// Makes the call of a job.
pub(crate) async fn send(cmp: &CmpParty, job: &Job) -> Attempt {
    let called = call(cmp, job).await;
    for (kind, count) in cmp.settings.deviations.take() {
        deviated(&cmp.client_id, kind, count);
    }
    match called {
        Ok(()) => Attempt::Sent,
        Err(Failed::Body(error)) => Attempt::refused(error.to_string()),
        Err(Failed::Call(error)) => judged(&cmp.client_id, &error),
    }
}

/// Why a call did not succeed.
enum Failed {
    /// The job's own body is not usable.
    Body(ApiError),
    /// The CMP, or the way to it.
    Call(CallError),
}

impl From<ApiError> for Failed {
    fn from(error: ApiError) -> Self {
        Self::Body(error)
    }
}

impl From<CallError> for Failed {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

async fn call(cmp: &CmpParty, job: &Job) -> Result<(), Failed> {
    let call = call_of(job);
    let (client, token, body) = (&cmp.client, job.msp_token, job.body.as_bytes());
    match job.kind {
        Kind::SendMspToken => {
            let (id, body) = token_job(job).unwrap_or_default();
            let body = SendMspToken::parse(body.as_bytes())?;
            client.send_msp_token(call, id, &body).await?;
        }
        Kind::NotifyTokenInvalid => {
            let body = NotifyTokenInvalid::parse(body)?;
            client.call(call, &token, &body).await?;
        }
        Kind::SendProfileInformation => {
            let body = SendProfileInformation::parse_with(body, Iccids::Short)?;
            client.call(call, &token, &body).await?;
        }
        Kind::UpdateSubscriptionInfo => {
            let body = UpdateSubscriptionInfo::parse(body)?;
            client.call(call, &token, &body).await?;
        }
        Kind::SendActivationCode => {
            let body = SendActivationCode::parse_with(body, Iccids::Short)?;
            client.call(call, &token, &body).await?;
        }
        // Not a call to a CMP; `outbox` makes it.
        Kind::CancelOrder => {}
    }
    Ok(())
}

/// What a failed call means. Only a clear refusal is final.
fn judged(client: &PartyId, error: &CallError) -> Attempt {
    let refusal = error.refusal();
    if let Some((status, _)) = refusal {
        unauthorized(client, status.as_u16());
    }
    if !error.is_transient() {
        let code = refusal.and_then(|(_, body)| body?.known());
        return Attempt::Refused {
            reason: error.to_string(),
            code,
        };
    }
    let longest = Duration::from_millis(MAX_PAUSE.unsigned_abs());
    let wait = error.retry_after(longest).unwrap_or_default();
    Attempt::Later {
        reason: error.to_string(),
        wait: i64::try_from(wait.as_millis()).unwrap_or(MAX_PAUSE),
    }
}

/// Raises the alarm where a CMP does not accept our key, certificate or name: whether a status is one of those. Such a
/// call is repeated, because only an operator can mend what is wrong.
pub(crate) fn unauthorized(client: &PartyId, status: u16) -> bool {
    let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
    let refused = refused.iter().any(|s| s.as_u16() == status);
    if refused {
        UNAUTHORIZED.add(&[("cmp", client.as_str())]);
        tracing::error!(%client, status, "the CMP does not accept our key, certificate or name; compare them with what was agreed");
    }
    refused
}

/// The ids of the call of a job.
pub(crate) fn call_of(job: &Job) -> Call {
    Call {
        request_id: job.request_id,
        correlation_id: job.correlation_id,
    }
}

/// Account id and body of a Send MSP Token job.
pub(crate) fn token_job(job: &Job) -> Option<(&str, &str)> {
    job.body.split_once('\n')
}

/// A Send MSP Token job: the account id and the body.
#[must_use]
pub(crate) fn token_job_body(id: &str, body: &SendMspToken) -> String {
    format!("{id}\n{}", body.to_json())
}
