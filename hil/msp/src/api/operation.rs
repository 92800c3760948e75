//! What is done for each of the four operations (AID.02 §7.7 to §7.10).

use aid_aid1::body::{
    Body as _, ProfileState, ProfileStatus, ProfileStatuses, RequestActivationCode, SendCsimStatus,
};
use aid_aid1::error_code::{ApiError, ErrorCode};
use aid_aid1::operation::{
    Activation, MspOperation, Operation as _, RequestInvalidate, RequestProfileStatus,
};
use aid_aid1::server::not_found;
use aid_aid1::strict_json;

use super::{Answer, Asked};
use crate::misbehave::{Name, Order, Place};
use crate::msp::{Msp, now_ms};
use crate::orders::{self, Outcome, internal};
use crate::store::{Noted, Onboarding, OnboardingState, ProfilePhase};

/// The name of an operation for misbehaviours.
pub(super) fn place(operation: MspOperation) -> Place {
    match operation {
        MspOperation::RequestActivationCode => Place::RequestActivationCode,
        MspOperation::SendCsimStatus => Place::SendCsimStatus,
        MspOperation::RequestInvalidate => Place::RequestInvalidate,
        MspOperation::RequestProfileStatus => Place::RequestProfileStatus,
    }
}

/// Does what a request wants that was not answered before.
///
/// # Errors
/// What the CMP is told.
pub(super) async fn perform(
    msp: &Msp,
    asked: &Asked<'_>,
    onboarding: &Onboarding,
    body: &[u8],
) -> Result<Answer, ApiError> {
    let token = onboarding.msp_token;
    let caller = asked.caller;
    match asked.operation {
        MspOperation::RequestActivationCode => {
            let body = parse_request(body, asked.wrong)?;
            // A withdrawn token never yields another code (§4.4, §7.9).
            if onboarding.state == OnboardingState::Invalidated && !asked.wrong.dead_token {
                return Err(ApiError::new(ErrorCode::TokenInvalidated));
            }
            let outcome = orders::request(msp, caller, onboarding, &body, asked.wrong).await?;
            let answer = match outcome {
                Outcome::Code(code) => Activation::Now(code),
                Outcome::Accepted => Activation::Later,
            };
            Ok(RequestActivationCode::success(&answer))
        }
        MspOperation::SendCsimStatus => {
            // Also for a withdrawn token: the deletions that follow are reported with it (§4.4.1 [5]).
            let body = SendCsimStatus::parse(body)?;
            let wrong = |name| asked.fired.iter().any(|fired| fired.name == name);
            let dead = onboarding.state == OnboardingState::Invalidated;
            if dead && wrong(Name::ForgetsDeadToken) {
                return Err(ApiError::new(ErrorCode::TokenInvalidated));
            }
            let correlation = caller.headers.correlation_id;
            let client = &caller.headers.client_id;
            let noted = msp
                .store
                .note_status(client, token, &body, correlation, now_ms())
                .await
                .map_err(internal)?;
            if noted == Noted::UnknownProfile {
                return Err(ApiError::naming(ErrorCode::ProfileNotFound, &[&body.iccid]));
            }
            tracing::info!(iccid = %body.iccid, status = %body.status, "status from {client}");
            if wrong(Name::InformOnStatus) {
                orders::inform_about(msp, client, token, &body).await?;
            }
            Ok(SendCsimStatus::success(&()))
        }
        MspOperation::RequestInvalidate => {
            let client = &caller.headers.client_id;
            if msp
                .store
                .invalidate(client, token, None, now_ms())
                .await
                .map_err(internal)?
            {
                tracing::info!(
                    user = onboarding.user,
                    "{client} has withdrawn the onboarding"
                );
                msp.outbox.notify_one();
            }
            Ok(RequestInvalidate::success(&()))
        }
        MspOperation::RequestProfileStatus => Err(not_found()),
    }
}

/// Reads Request Activation Code. A strange candidate is ignored (§4.3.1), unless that is to go wrong.
fn parse_request(body: &[u8], wrong: &Order) -> Result<RequestActivationCode, ApiError> {
    let parsed = RequestActivationCode::parse(body)?;
    let members = strict_json::object(body)?;
    let named = members.get("replaceIccid").is_some_and(|v| !v.is_null());
    if wrong.minds_candidate && named && parsed.replace_iccid.is_none() {
        let detail = "the member replaceIccid is no ICCID";
        return Err(ApiError::because(ErrorCode::Syntax, detail));
    }
    Ok(parsed)
}

/// Request Profile Status (§7.10), which changes nothing.
///
/// # Errors
/// What the CMP is told.
pub(super) async fn profile_status(
    msp: &Msp,
    onboarding: &Onboarding,
    query: &str,
) -> Result<Answer, ApiError> {
    let RequestProfileStatus { iccid: wanted } = RequestProfileStatus::from_query(query)?;
    let profiles = msp
        .store
        .profiles_of(onboarding.msp_token)
        .await
        .map_err(internal)?;
    let listed = profiles.into_iter().filter(|p| p.phase.is_listed());
    let profiles = listed
        .filter(|p| wanted.as_ref().is_none_or(|wanted| p.iccid == *wanted))
        // enabled and disabled would only be an echo of what the CMP reported itself (§7.10 remark).
        .map(|p| ProfileStatus {
            iccid: p.iccid,
            status: if p.phase == ProfilePhase::Prepared {
                ProfileState::Prepared
            } else {
                ProfileState::Installed
            },
        })
        .collect::<Vec<_>>();
    match wanted {
        Some(iccid) if profiles.is_empty() => {
            Err(ApiError::naming(ErrorCode::ProfileNotFound, &[&iccid]))
        }
        _ => Ok(RequestProfileStatus::success(&ProfileStatuses { profiles })),
    }
}
