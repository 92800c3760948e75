//! One call to an MSP, and what its answer means.

use crate::gauges;
use crate::service::{Service, now};
use crate::store::{StoreError, Stored, Tx};
use aid_aid1::body::{Body as _, Iccids, ProfileStatuses, RequestActivationCode, SendCsimStatus};
use aid_aid1::client::{self, Activation, CallError, MspClient};
use aid_aid1::deviation::Deviation;
use aid_aid1::error_code::ErrorCode;
use aid_cmp_core::change::Change;
use aid_cmp_core::decide::call::{longest_wait, pause, pause_after_silence};
use aid_cmp_core::decide::code::Answer;
use aid_cmp_core::decide::question::Question;
use aid_cmp_core::decide::sync::Listing;
use aid_cmp_core::decide::{Context, Decision};
use aid_cmp_core::model::{Call, CallKind, CallState};
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Within this time an MSP may answer with a code (R-7.7.1-3).
const SYNCHRONOUS: Duration = Duration::from_secs(3);
/// What a call's result means.
enum Done {
    Yes(Option<Answer>),
    Listed(Question, Listing),
    Again {
        /// What went wrong, for the log and the operator.
        error: String,
        /// How long the MSP wants us to wait, ms.
        wait: u64,
        /// Other calls would fail too.
        is_away: bool,
    },
    /// A request for a code was not answered in time; why.
    Silent(String),
    Never(String),
}

/// A call that is worth repeating.
fn again(kind: CallKind, error: &CallError) -> Done {
    let longest = longest_wait(kind);
    let wait = error.retry_after(Duration::from_millis(longest));
    let wait = wait.map_or(0, |wait| u64::try_from(wait.as_millis()).unwrap_or(longest));
    match (kind, error) {
        // The code may be on its way: the MSP is not pressed.
        (CallKind::Code, CallError::Timeout { .. }) => Done::Silent(error.to_string()),
        _ => Done::Again {
            error: error.to_string(),
            wait,
            is_away: is_away(error),
        },
    }
}

/// Whether a failure says that the MSP is away or overloaded, and not something about this one call.
fn is_away(error: &CallError) -> bool {
    match error {
        CallError::Connect { .. } | CallError::Timeout { .. } | CallError::Broken { .. } => true,
        CallError::Refused { status, .. } => matches!(status.as_u16(), 429 | 502..=504),
        CallError::Contract { .. } | CallError::Settings(_) => false,
    }
}

/// Stores what came of a call.
pub(super) async fn ended(service: &Arc<Service>, change: Change) -> Stored<()> {
    let ended = async move |_: &Service, _: &Tx<'_>, _: &Context| {
        let decision = Decision {
            changes: vec![change.clone()],
            ..Decision::default()
        };
        Ok((decision, ()))
    };
    service.decide(ended).await
}

/// Makes one call and stores what came of it; yields whether the MSP is there.
pub(super) async fn make(service: &Arc<Service>, call: Call) -> Result<bool, StoreError> {
    let Some(msp) = service.msp(&call.msp) else {
        let text = format!("no [[msp]] is called {:?} any more", call.msp);
        ended(service, Change::GiveUpCall(call.id, now(), text)).await?;
        return Ok(true);
    };
    let begin = Instant::now();
    let mut done = send(&msp.client, &call).await;
    let took = begin.elapsed();
    gauges::took(call.kind.as_str(), &call.msp, took);
    let mut late = None;
    if took > SYNCHRONOUS && matches!(done, Done::Yes(Some(Answer::Code { .. }))) {
        msp.deviations.note(Deviation::LateAnswer);
        late = Some(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    }
    if let Done::Yes(Some(Answer::Code { code, .. })) = &done
        && let Err(error) = service.check_smdp(code).await
    {
        done = Done::Yes(Some(Answer::Failed {
            code: ErrorCode::ActivationCodeFormat.number(),
            reason: format!("the MSP's activation code can't be used: {error}"),
        }));
    }
    let (id, kind, msp) = (Uuid::from_bytes(call.id), call.kind.as_str(), &call.msp);
    let result = match &done {
        Done::Yes(_) | Done::Listed(..) => "answered",
        Done::Again { .. } | Done::Silent(_) => "again",
        Done::Never(_) => "dead",
    };
    gauges::called(kind, result);
    let answered = !matches!(done, Done::Again { is_away: true, .. } | Done::Silent(_));
    match done {
        Done::Yes(Some(answer)) => service.called(call.id, answer, late).await?,
        Done::Listed(question, listing) => service.listed(&call, &question, listing).await?,
        Done::Yes(None) => {
            let closed = Change::CloseCall(call.id, CallState::Done, now());
            ended(service, closed).await?;
        }
        Done::Again { .. } | Done::Silent(_) => {
            let attempts = call.attempts.saturating_add(1);
            let draw = Uuid::new_v4().as_u64_pair().1;
            let at = now();
            let (error, pause) = match done {
                Done::Again { error, wait, .. } => (error, pause(attempts, draw).max(wait)),
                Done::Silent(error) => (error, pause_after_silence(attempts, draw)),
                _ => return Ok(answered),
            };
            let next_at = at.saturating_add(pause);
            tracing::warn!(%id, kind, %msp, attempts, %error, "a call failed; it is made again");
            if call.kind == CallKind::Code && attempts == 1 {
                service.delayed(call.id).await?;
            }
            let retry = Change::RetryCall {
                id: call.id,
                attempts,
                at,
                next_at,
                error,
            };
            ended(service, retry).await?;
        }
        Done::Never(error) => {
            tracing::error!(%id, kind, %msp, %error, "a call is given up; see the outbox");
            ended(service, Change::GiveUpCall(call.id, now(), error)).await?;
        }
    }
    Ok(answered)
}

async fn send(client: &MspClient, call: &Call) -> Done {
    let ids = client::Call {
        request_id: Uuid::from_bytes(call.id),
        correlation_id: Uuid::from_bytes(call.correlation),
    };
    let damaged = || Done::Never("the stored call can't be read".into());
    match call.kind {
        CallKind::Code => {
            let Ok(body) = RequestActivationCode::parse_with(call.body.as_bytes(), Iccids::Short)
            else {
                return damaged();
            };
            match client.request_activation_code(ids, call.token, &body).await {
                Ok(Activation::Now(answer)) => Done::Yes(Some(Answer::Code {
                    code: answer.activation_code,
                    iccid: answer.iccid,
                    swapped: answer.swapped_iccid,
                })),
                Ok(Activation::Later) => Done::Yes(Some(Answer::Later)),
                Err(error) if error.is_transient() => again(call.kind, &error),
                Err(error) => Done::Yes(Some(refusal(&error))),
            }
        }
        CallKind::Status => {
            let Ok(body) = SendCsimStatus::parse_with(call.body.as_bytes(), Iccids::Short) else {
                return damaged();
            };
            finish(
                call.kind,
                client.send_csim_status(ids, call.token, &body).await,
            )
        }
        CallKind::Query => {
            let Some(question) = Question::from_text(&call.body) else {
                return damaged();
            };
            let answer = client
                .request_profile_status(ids, call.token, question.iccid())
                .await;
            match listing(answer, question.iccid().is_some()) {
                Ok(listing) => Done::Listed(question, listing),
                Err(error) => match finish(call.kind, Err(error)) {
                    Done::Yes(_) => damaged(),
                    other => other,
                },
            }
        }
        CallKind::Invalidate => {
            let done = client.request_invalidate(ids, call.token).await;
            // R-7.9-4: a token that the MSP does not have any more is as good as ended. A 404 that is not the MSP's
            // own says nothing of it.
            let gone = |e: &CallError| {
                !e.is_transient() && e.refusal().is_some_and(|(status, _)| status == 404)
            };
            match done {
                Err(error) if gone(&error) => Done::Yes(None),
                other => finish(call.kind, other),
            }
        }
    }
}

/// What an answer to Request Profile Status says; a clear refusal with 404 is an answer too (R-7.10-6).
///
/// # Errors
/// Any other refusal, and calls that were not answered.
pub fn listing(
    answer: Result<ProfileStatuses, CallError>,
    one_profile: bool,
) -> Result<Listing, CallError> {
    let error = match answer {
        Ok(list) => {
            let pairs = list.profiles.into_iter().map(|p| (p.iccid, p.status));
            return Ok(Listing::Profiles(pairs.collect()));
        }
        Err(error) => error,
    };
    let Some((status, body)) = error.refusal() else {
        return Err(error);
    };
    if status != 404 || error.is_transient() {
        return Err(error);
    }
    let profile = ErrorCode::ProfileNotFound.number().to_string();
    let names_profile = body.is_some_and(|b| b.code == profile);
    Ok(if one_profile && names_profile {
        Listing::NoSuchProfile
    } else {
        Listing::NoSuchUser
    })
}

/// A call without an answer's body: done, worth repeating, or refused for good.
fn finish(kind: CallKind, result: Result<(), CallError>) -> Done {
    match result {
        Ok(()) => Done::Yes(None),
        Err(error) if error.is_transient() => again(kind, &error),
        Err(error) => Done::Never(error.to_string()),
    }
}

/// A refused request as the car hears of it.
fn refusal(error: &CallError) -> Answer {
    match error.refusal().and_then(|(_, body)| body) {
        Some(body) => Answer::Failed {
            code: body.code.parse().unwrap_or_default(),
            reason: body.error.clone(),
        },
        None => Answer::Failed {
            code: ErrorCode::ActivationCodeOther.number(),
            reason: "the MSP refused".into(),
        },
    }
}
