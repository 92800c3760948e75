//! The layer around calls and answers: where rules act, production code stands inside and does not know of it.

use std::sync::Arc;
use std::time::Duration;

use aid_aid1::body::{Body as _, CsimStatus, Iccids, RequestActivationCode, SendCsimStatus};
use aid_aid1::error_code::{ApiError, ErrorCode};
use aid_aid1::headers::PartyId;
use aid_aid1::operation::{Api as _, CmpOperation, MspOperation};
use aid_aid1::redirect::{RedirectUri, percent_encode};
use aid_aid1::server::path_token;
use aid_aid1::strict_json;
use aid_id::MspToken;
use axum::http::StatusCode;
use axum::response::Response;
use uuid::Uuid;

use super::answer::{Reply, fits, instead, twist};
use super::call::send_wrongly;
use super::code::{Order, code_body, order};
use super::rules::{Fired, Opportunity, fired};
use super::{Name, Place, Stage};
use crate::api::{self, Call};
use crate::config::CmpParty;
use crate::core::model::{Job, Kind, OnboardingState};
use crate::core::outbox::Attempt;
use crate::core::{Change, Decision};
use crate::layer::{Doing, Layer};
use crate::msp::{Msp, now_ms};
use crate::orders::internal;
use crate::outbox;
use crate::store::Stored;

/// How often, and after which time each, a misbehaviour looks whether a code has been sent.
const SENT: (u32, Duration) = (100, Duration::from_millis(50));

/// Misbehaves where a rule says so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Misbehaving;

impl Layer for Misbehaving {
    fn answer<'a>(&'a self, msp: &'a Msp, call: &'a Call) -> Doing<'a, Response> {
        Box::pin(async move {
            let reply = reply(msp, call).await;
            let reply = reply.unwrap_or_else(|error| refused(call, error));
            reply.response().await
        })
    }

    fn send<'a>(&'a self, msp: &'a Msp, cmp: &'a CmpParty, job: &'a Job) -> Doing<'a, Attempt> {
        Box::pin(async move {
            let Some(operation) = operation_of(job.kind) else {
                return outbox::send(cmp, job).await;
            };
            let at = Opportunity::new(place_of_call(operation), &job.client_id, |_| true);
            let fired = fired(msp, at).await;
            if fired.is_empty() {
                return outbox::send(cmp, job).await;
            }
            let sent = send_wrongly(msp, cmp, job, operation, &fired).await;
            sent.unwrap_or_else(|error| Attempt::later(error.to_string()))
        })
    }

    fn way_back<'a>(
        &'a self,
        msp: &'a Msp,
        cmp: &'a PartyId,
        back: &'a RedirectUri,
        right: String,
    ) -> Doing<'a, String> {
        Box::pin(async move {
            let at = Opportunity::new(Place::TouchpointReturn, cmp, |_| true);
            match fired(msp, at).await.first() {
                Some(one) => astray(one, back, right),
                None => right,
            }
        })
    }
}

/// A refusal under a status that the operation has.
fn refused(call: &Call, error: ApiError) -> Reply {
    let error = call.operation.contract().refusal(error);
    Reply::new(error.status, api::error_json(&error))
}

/// The place of an operation that is answered here.
fn place_of(operation: MspOperation) -> Place {
    match operation {
        MspOperation::RequestActivationCode => Place::RequestActivationCode,
        MspOperation::SendCsimStatus => Place::SendCsimStatus,
        MspOperation::RequestInvalidate => Place::RequestInvalidate,
        MspOperation::RequestProfileStatus => Place::RequestProfileStatus,
    }
}

/// The operation that a job calls; none for ES2+.
fn operation_of(kind: Kind) -> Option<CmpOperation> {
    match kind {
        Kind::SendMspToken => Some(CmpOperation::SendMspToken),
        Kind::NotifyTokenInvalid => Some(CmpOperation::NotifyTokenInvalid),
        Kind::SendProfileInformation => Some(CmpOperation::SendProfileInformation),
        Kind::UpdateSubscriptionInfo => Some(CmpOperation::UpdateSubscriptionInfo),
        Kind::SendActivationCode => Some(CmpOperation::SendActivationCode),
        Kind::CancelOrder => None,
    }
}

/// The place of an operation that is called from here.
pub(super) fn place_of_call(operation: CmpOperation) -> Place {
    match operation {
        CmpOperation::SendMspToken => Place::SendMspToken,
        CmpOperation::NotifyTokenInvalid => Place::NotifyTokenInvalid,
        CmpOperation::SendProfileInformation => Place::SendProfileInformation,
        CmpOperation::UpdateSubscriptionInfo => Place::UpdateSubscriptionInfo,
        CmpOperation::SendActivationCode => Place::SendActivationCode,
    }
}

/// Answers a call, and misbehaves before, while and after that is done.
async fn reply(msp: &Msp, call: &Call) -> Result<Reply, ApiError> {
    let (place, client) = (place_of(call.operation), &call.caller.headers.client_id);
    let early = |name: Name| matches!(name.stage(), Stage::Instead | Stage::Work);
    let before = fired(msp, Opportunity::new(place, client, early)).await;
    if let Some(reply) = before.iter().find_map(instead) {
        return Ok(reply);
    }
    let acts = |name| before.iter().any(|fired| fired.name == name);
    let order = order(&before);
    let answer = match refusal(msp, call, &acts).await {
        Ok(()) => api::answer(msp, call, Arc::new(order.clone())).await,
        Err(refusal) => Err(refusal),
    };
    let mut reply = match answer {
        Ok(answer) => {
            let status = StatusCode::from_u16(answer.status);
            let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            Reply::new(status, answer.body)
        }
        Err(error) => refused(call, error),
    };
    twist_work(msp, call, &order, &mut reply).await?;
    if acts(Name::InformOnStatus) && reply.status == StatusCode::CREATED {
        inform_about(msp, call).await?;
    }
    let after = Opportunity::new(place, client, |name| fits(name, place, &reply));
    for one in fired(msp, after).await {
        twist(&one, &mut reply);
        if one.name == Name::CodeAfterInvalidation {
            code_for_the_dead(msp, client, path_token(&call.token)?).await?;
        }
    }
    Ok(reply)
}

/// Refuses what a sane MSP accepts.
async fn refusal(
    msp: &Msp,
    call: &Call,
    acts: &(dyn Fn(Name) -> bool + Sync),
) -> Result<(), ApiError> {
    if acts(Name::MindsCandidate) {
        mind_candidate(call.bytes())?;
    }
    if acts(Name::ForgetsDeadToken) {
        forget_dead_token(msp, call).await?;
    }
    Ok(())
}

/// What the rules of the ordering step make of an answer: it waits until the code is sent, or the connection is closed.
async fn twist_work(
    msp: &Msp,
    call: &Call,
    order: &Order,
    reply: &mut Reply,
) -> Result<(), ApiError> {
    if order.before_the_answer && reply.status == StatusCode::CREATED {
        let request = RequestActivationCode::parse_with(call.bytes(), Iccids::Short)?.request_id;
        let token = path_token(&call.token)?;
        let client = &call.caller.headers.client_id;
        for _ in 0..SENT.0 {
            if is_sent(msp, client, token, request)
                .await
                .map_err(internal)?
            {
                break;
            }
            tokio::time::sleep(SENT.1).await;
        }
    }
    if let Some(delay) = order.cut_after {
        (reply.delay, reply.cut) = (delay, true);
    }
    Ok(())
}

async fn is_sent(msp: &Msp, client: &PartyId, token: MspToken, request: Uuid) -> Stored<bool> {
    let client = client.clone();
    let read = msp.store.read(async move |tx| {
        let order = tx.order(&client, request).await?;
        let owed = order.is_some_and(|order| order.is_owed());
        Ok(!owed && !tx.owes_code(token).await?)
    });
    read.await
}

/// Refuses a candidate that is no ICCID, which a sane MSP ignores (§4.3.1).
fn mind_candidate(body: &[u8]) -> Result<(), ApiError> {
    let parsed = RequestActivationCode::parse_with(body, Iccids::Short)?;
    let members = strict_json::object(body)?;
    let named = members.get("replaceIccid").is_some_and(|v| !v.is_null());
    if named && parsed.replace_iccid.is_none() {
        let detail = "the member replaceIccid is no ICCID";
        return Err(ApiError::because(ErrorCode::Syntax, detail));
    }
    Ok(())
}

/// Refuses a withdrawn token, whose statuses a sane MSP accepts (§4.4.1 [5]).
async fn forget_dead_token(msp: &Msp, call: &Call) -> Result<(), ApiError> {
    let token = path_token(&call.token)?;
    let client = call.caller.headers.client_id.clone();
    let read = msp
        .store
        .read(async move |tx| tx.onboarding(&client, token).await);
    let found = read.await.map_err(internal)?;
    match found.map(|o| o.state) {
        Some(OnboardingState::Invalidated) => Err(ApiError::new(ErrorCode::TokenInvalidated)),
        _ => Ok(()),
    }
}

/// Tells a CMP about a profile whose status it has just reported, against §7.5.
async fn inform_about(msp: &Msp, call: &Call) -> Result<(), ApiError> {
    let body = SendCsimStatus::parse_with(call.bytes(), Iccids::Short)?;
    let enabled = body.status == CsimStatus::Enabled;
    let status = if enabled { "valid" } else { "suspended" };
    let profile =
        serde_json::json!({"iccid": body.iccid.as_str(), "status": status, "reason": null});
    let body = serde_json::json!({"profiles": [profile]}).to_string();
    let client = &call.caller.headers.client_id;
    let kind = Kind::SendProfileInformation;
    let token = path_token(&call.token)?;
    send_later(msp, client, token, kind, body).await
}

/// Sends a code for the newest request of a token that was invalidated (R-7.7.2.1-7), which a sane MSP does not.
async fn code_for_the_dead(msp: &Msp, client: &PartyId, token: MspToken) -> Result<(), ApiError> {
    let read = msp
        .store
        .read(async move |tx| tx.newest_request(token).await);
    let newest = read.await.map_err(internal)?;
    let body = code_body(newest.unwrap_or_else(Uuid::new_v4));
    send_later(msp, client, token, Kind::SendActivationCode, body).await
}

async fn send_later(
    msp: &Msp,
    client: &PartyId,
    token: MspToken,
    kind: Kind,
    body: String,
) -> Result<(), ApiError> {
    let job = Job {
        client_id: client.clone(),
        kind,
        msp_token: token,
        request_id: Uuid::new_v4(),
        correlation_id: Uuid::new_v4(),
        body,
    };
    let added = Decision::of(vec![Change::job(job, now_ms())], ());
    msp.store.put(added).await.map_err(internal)?;
    msp.outbox.notify_one();
    Ok(())
}

/// A way back that is wrong.
fn astray(fired: &Fired, back: &RedirectUri, right: String) -> String {
    let parameters = &fired.parameters;
    let code = parameters.code.and_then(ErrorCode::from_number);
    let code = code.unwrap_or(ErrorCode::Content);
    match fired.name {
        Name::WrongReturn => parameters.text_or("https://elsewhere.invalid/").to_owned(),
        Name::ReturnError => back.with_error(code),
        Name::ReturnSuccess => back.as_str().to_owned(),
        Name::QuotedError => {
            let separator = if back.as_str().contains('?') {
                '&'
            } else {
                '?'
            };
            let text = percent_encode(code.description());
            format!("{}{separator}code={code}&error=%22{text}%22", back.as_str())
        }
        _ => right,
    }
}
