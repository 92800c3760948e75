//! What each call is answered with (AID.02 §7.7 to §7.10). `core` decides; the same call again gets the same answer.

use std::sync::Arc;
use std::time::Duration;

use aid_aid1::body::{Body as _, Iccids, RequestActivationCode, SendCsimStatus};
use aid_aid1::deviation::Deviation;
use aid_aid1::error_code::{ApiError, ErrorCode};
use aid_aid1::operation::{Api as _, MspOperation, RequestProfileStatus};
use aid_aid1::server::{check_content_type, path_token};
use aid_aid1::strict_json;
use aid_aid1::trace::summary;
use aid_cli::cli::TRACE;
use aid_id::MspToken;
use axum::http::StatusCode;
use uuid::Uuid;

use super::call::Call;
use crate::core::call::{Answer, Key, Said};
use crate::core::order::Ordering;
use crate::core::{report, withdrawal};
use crate::msp::{Msp, now_ms};
use crate::orders::{self, internal};
use crate::outbox::deviated;

/// How often, and after which time each, a repeated call looks whether the first is answered.
const REPEAT: (u32, Duration) = (35, Duration::from_millis(100));

/// Answers a call that was let in; the same call again gets the same answer. `rules` are those of the ordering step.
///
/// # Errors
/// The refusal that the CMP gets, under a status that the operation has.
pub(crate) async fn answer(
    msp: &Msp,
    call: &Call,
    rules: Arc<dyn Ordering>,
) -> Result<Answer, ApiError> {
    let contract = call.operation.contract();
    let answer = decided(msp, call, rules).await;
    answer.map_err(|error| contract.refusal(error))
}

async fn decided(msp: &Msp, call: &Call, rules: Arc<dyn Ordering>) -> Result<Answer, ApiError> {
    let token = path_token(&call.token)?;
    if call.operation == MspOperation::RequestProfileStatus {
        return profile_status(msp, call, token).await;
    }
    if call.operation.contract().request.is_some() {
        check_content_type(&call.headers, call.body.is_none())?;
        strict_json::object(call.bytes())?;
    }
    let client = &call.caller.headers.client_id;
    tracing::trace!(target: TRACE, "<- AID1 {:?} from {client} {}", call.operation, summary(call.bytes()));
    let key = call.key();
    for _ in 0..REPEAT.0 {
        let said = match call.operation {
            MspOperation::RequestActivationCode => {
                let body = RequestActivationCode::parse_with(call.bytes(), iccids(msp, call));
                orders::request(msp, call, &key, token, body, Arc::clone(&rules)).await?
            }
            MspOperation::SendCsimStatus => status(msp, call, &key, token).await?,
            MspOperation::RequestInvalidate => invalidate(msp, &key, token).await?,
            MspOperation::RequestProfileStatus => return profile_status(msp, call, token).await,
        };
        match said {
            Said::Answer(answer) => return Ok(answer),
            Said::Refused(error) => return Err(error),
            Said::Running => tokio::time::sleep(REPEAT.1).await,
        }
    }
    let refusal = ApiError::because(
        ErrorCode::Internal,
        "the same request is still being answered",
    );
    Err(refusal.with_status(StatusCode::SERVICE_UNAVAILABLE))
}

/// Which ICCIDs the caller may name.
fn iccids(msp: &Msp, call: &Call) -> Iccids {
    let cmp = msp.cmp(&call.caller.headers.client_id);
    cmp.map(|cmp| cmp.iccids).unwrap_or_default()
}

/// Send CSIM Status (§7.8).
async fn status(msp: &Msp, call: &Call, key: &Key, token: MspToken) -> Result<Said, ApiError> {
    let body = SendCsimStatus::parse_with(call.bytes(), iccids(msp, call));
    if let Ok(body) = &body {
        tracing::info!(iccid = %body.iccid, status = %body.status, "status from {}", key.client);
        if !body.eid.is_valid() {
            tracing::warn!(
                eid = body.eid.as_str(),
                "a status report of {} names an EID that is none",
                key.client
            );
            deviated(&key.client, Deviation::Eid, 1);
        }
    }
    let (key, correlation) = (key.clone(), call.caller.headers.correlation_id);
    let decided = msp.store.decide(async move |tx| {
        let view = tx.call_view(&key, token).await?;
        let profile = match &body {
            Ok(body) => tx.profile(token, &body.iccid).await?,
            Err(_) => None,
        };
        let profile = profile.as_ref();
        let now = now_ms();
        Ok(report::send_csim_status(
            &view,
            profile,
            &key,
            body.clone(),
            correlation,
            now,
        ))
    });
    decided.await.map_err(internal)
}

/// Request Invalidate (§7.9).
async fn invalidate(msp: &Msp, key: &Key, token: MspToken) -> Result<Said, ApiError> {
    tracing::info!(client = %key.client, "the CMP withdraws an onboarding");
    let key = key.clone();
    let decided = msp.store.decide(async move |tx| {
        let view = tx.call_view(&key, token).await?;
        let profiles = tx.profiles_of(token).await?;
        let ids = &mut Uuid::new_v4;
        let now = now_ms();
        Ok(withdrawal::request_invalidate(
            &view, &profiles, &key, ids, now,
        ))
    });
    let said = decided.await.map_err(internal)?;
    msp.outbox.notify_one();
    Ok(said)
}

/// Request Profile Status (§7.10), which changes nothing.
async fn profile_status(msp: &Msp, call: &Call, token: MspToken) -> Result<Answer, ApiError> {
    let client = call.caller.headers.client_id.clone();
    let read = msp.store.read(async move |tx| {
        Ok(match tx.onboarding(&client, token).await? {
            Some(_) => Some(tx.profiles_of(token).await?),
            None => None,
        })
    });
    let found = read.await.map_err(internal)?;
    let profiles = found.ok_or_else(|| ApiError::new(ErrorCode::TokenNotFound))?;
    let RequestProfileStatus { iccid: wanted } =
        RequestProfileStatus::from_query(&call.query, iccids(msp, call))?;
    report::profile_status(profiles, wanted.as_ref())
}
