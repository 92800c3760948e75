//! Activation codes: orders a profile at the SM-DP+ and answers the CMP, at once or later (AID.02 §7.7, §4.3 [4]).
//!
//! The request is stored before anything is ordered; what was reserved is stored before it is confirmed; profile, swap and
//! answer are stored in one step.

use std::time::Duration;

use aid_aid1::body::{ActivationCodeResponse, CsimStatus, RequestActivationCode, SendCsimStatus};
use aid_aid1::error_code::{ApiError, ErrorCode};
use aid_aid1::headers::PartyId;
use aid_aid1::server::Caller;
use aid_id::MspToken;
use axum::http::StatusCode;
use tokio::time::timeout;
use uuid::Uuid;

use crate::config::Mode;
use crate::es2::Es2Error;
use crate::misbehave::Order;
use crate::msp::{Msp, now_ms};
use crate::store::{
    AcRequest, Begun, Delivery, Finished, Job, Kind, Onboarding, Ordered, STORE_AGAIN, StoreError,
    SubscriptionState,
};

/// Longest time for a synchronous answer; AID.02 §7.7.1 allows three seconds.
const SYNC_LIMIT: Duration = Duration::from_millis(2500);

/// How long an asynchronous order waits, so that the 201 is out before Send Activation Code can be (§7.7.2 Note).
const AFTER_THE_ANSWER: Duration = Duration::from_millis(200);

/// Further attempts of an asynchronous order while the SM-DP+ does not answer; about a day, which is how long a CMP
/// usually waits for a code.
const ATTEMPTS: u32 = 340;
/// The longest pause between two of them is two to the power of this, in seconds: about four minutes.
const LONGEST: u32 = 8;

/// What Request Activation Code is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// 200
    Code(ActivationCodeResponse),
    /// 201
    Accepted,
}

/// Answers Request Activation Code for a token that may have one.
///
/// # Errors
/// What the CMP is told.
pub(crate) async fn request(
    msp: &Msp,
    caller: &Caller,
    onboarding: &Onboarding,
    body: &RequestActivationCode,
    wrong: &Order,
) -> Result<Outcome, ApiError> {
    eligible(msp, onboarding, body).await?;
    if wrong.never {
        return Ok(Outcome::Accepted);
    }
    let client = &onboarding.client_id;
    let cmp = msp
        .cmp(client)
        .ok_or_else(|| ApiError::new(ErrorCode::Unauthorized))?;
    let later_anyway = wrong.later || wrong.before_the_answer || wrong.cut_after.is_some();
    let sync = !later_anyway
        && match cmp.mode {
            Mode::Sync => true,
            Mode::Async => false,
            Mode::Mixed => body.request_id.as_bytes()[15].is_multiple_of(2),
        };
    let delivery = if sync {
        Delivery::Sync
    } else {
        Delivery::Async
    };
    let correlation = caller.headers.correlation_id;
    let begun = msp
        .store
        .begin_order(
            client,
            onboarding.msp_token,
            body,
            correlation,
            delivery,
            now_ms(),
        )
        .await;
    let order = match begun.map_err(internal)? {
        Begun::Done(answer) => return Ok(Outcome::Code(answer)),
        Begun::Conflict => {
            let detail = "activationCodeRequestID was used for another msp_token or eid";
            return Err(ApiError::because(ErrorCode::RequestOther, detail));
        }
        // An earlier call is being worked on; its answer then travels by Send Activation Code.
        Begun::Running => return later(msp, onboarding, body.request_id).await,
        Begun::New(order) => order,
    };
    let worker = tokio::spawn(run(msp.clone(), order, delivery, wrong.clone()));
    if wrong.before_the_answer {
        let _ = worker.await;
        wait_until_sent(msp, onboarding.msp_token).await?;
        return Ok(Outcome::Accepted);
    }
    if !sync {
        return Ok(Outcome::Accepted);
    }
    match timeout(SYNC_LIMIT, worker).await {
        Ok(Ok(result)) => result.map(Outcome::Code),
        Ok(Err(_)) => Err(ApiError::new(ErrorCode::Internal)),
        Err(_) => later(msp, onboarding, body.request_id).await,
    }
}

/// Whether this subscription and this car get a profile.
///
/// # Errors
/// 423 with 49 for an eUICC, 422 with 49 for a device or a subscription that gets none (§7.7).
async fn eligible(
    msp: &Msp,
    onboarding: &Onboarding,
    body: &RequestActivationCode,
) -> Result<(), ApiError> {
    let no = |detail: &str| Err(ApiError::because(ErrorCode::ActivationCodeOther, detail));
    let rules = &msp.eligibility;
    let eid = body.eid.as_str();
    let begins = |list: &[String]| list.iter().any(|start| eid.starts_with(start.as_str()));
    if begins(&rules.refused_eids) || !(rules.eids.is_empty() || begins(&rules.eids)) {
        return no("this eid is not eligible")
            .map_err(|e: ApiError| e.with_status(StatusCode::LOCKED));
    }
    if !rules.device_types.is_empty() && !rules.device_types.contains(&body.device_type) {
        return no("this deviceType is not eligible");
    }
    let found = msp
        .store
        .subscription_of(onboarding)
        .await
        .map_err(internal)?;
    match found.map(|s| s.state) {
        Some(SubscriptionState::Active) => Ok(()),
        Some(SubscriptionState::Suspended) => no("the subscription is suspended"),
        Some(SubscriptionState::Ended) | None => no("the subscription has ended"),
    }
}

/// Turns a request that takes too long into an asynchronous one, unless it is done by now.
async fn later(msp: &Msp, onboarding: &Onboarding, id: Uuid) -> Result<Outcome, ApiError> {
    let client = &onboarding.client_id;
    if msp.store.make_async(client, id).await.map_err(internal)? {
        return Ok(Outcome::Accepted);
    }
    match msp.store.order_answer(client, id).await.map_err(internal)? {
        Some(Ok(answer)) => Ok(Outcome::Code(answer)),
        Some(Err(text)) => Err(ApiError::because(ErrorCode::ActivationCodeOther, text)),
        None => Err(ApiError::new(ErrorCode::Internal)),
    }
}

/// Works on an order until it has an answer, stored or in the outbox.
async fn run(
    msp: Msp,
    order: AcRequest,
    delivery: Delivery,
    wrong: Order,
) -> Result<ActivationCodeResponse, ApiError> {
    if delivery == Delivery::Async && !wrong.before_the_answer {
        let wait = AFTER_THE_ANSWER + wrong.delay + wrong.cut_after.unwrap_or_default();
        tokio::time::sleep(wait).await;
    }
    if let Some((code, text)) = &wrong.fails {
        let text = format!("{code}: {text}");
        fail(&msp, &order, &text).await;
        msp.outbox.notify_one();
        return Err(ApiError::because(ErrorCode::ActivationCodeOther, text));
    }
    let mut result = prepare(&msp, &order, &wrong).await;
    for attempt in 0..ATTEMPTS {
        // A CMP that waits for a synchronous answer decides itself about another attempt. It waits no longer where it
        // got a 201 meanwhile.
        let again = matches!(&result, Err(e) if e.code == ErrorCode::Internal);
        let owed = msp.store.is_owed(&order).await.unwrap_or_else(|error| {
            tracing::error!(%error, "store");
            true
        });
        if !(again && owed) {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1 << attempt.min(LONGEST))).await;
        result = prepare(&msp, &order, &wrong).await;
    }
    if let Err(error) = &result {
        tracing::warn!(request = %order.request_id, eid = %order.eid, %error, "no activation code");
        fail(&msp, &order, &error.concatenated()).await;
    }
    msp.outbox.notify_one();
    result
}

/// Completes an order without a code as soon as the database takes it: an order that stayed open would be worked on
/// again only after a restart.
async fn fail(msp: &Msp, order: &AcRequest, text: &str) {
    while let Err(error) = msp.store.fail_order(order, text, now_ms()).await {
        tracing::error!(%error, request = %order.request_id, "the failure cannot be stored yet");
        tokio::time::sleep(STORE_AGAIN).await;
    }
}

async fn prepare(
    msp: &Msp,
    order: &AcRequest,
    wrong: &Order,
) -> Result<ActivationCodeResponse, ApiError> {
    let onboarding = msp
        .store
        .onboarding(&order.client_id, order.msp_token)
        .await
        .map_err(internal)?;
    let gone = || ApiError::new(ErrorCode::TokenInvalidated);
    let onboarding = onboarding.ok_or_else(gone)?;
    let found = msp
        .store
        .subscription_of(&onboarding)
        .await
        .map_err(internal)?;
    let subscription = found.ok_or_else(|| {
        ApiError::because(ErrorCode::ActivationCodeOther, "the subscription has ended")
    })?;
    let pool = msp
        .store
        .pool_of(&subscription.id)
        .await
        .map_err(internal)?;
    let call = order.request_id;
    let iccid = {
        // One at a time, so that two orders do not take the same profile of a pool.
        let _turn = msp.ordering.lock().await;
        let wanted = msp.store.first_free(&pool).await.map_err(internal)?;
        if wanted.is_none() && !pool.is_empty() {
            let detail = "the subscription has no profile left";
            return Err(ApiError::because(ErrorCode::ActivationCodeOther, detail));
        }
        let iccid = msp
            .agreed()
            .es2
            .download_order(call, &order.eid, wanted.as_ref())
            .await
            .map_err(|e| refusal(&e))?;
        msp.store
            .note_reserved(order, &iccid)
            .await
            .map_err(internal)?;
        iccid
    };
    let activation_code = msp
        .agreed()
        .es2
        .confirm_order(call, &order.eid, &iccid)
        .await
        .map_err(|e| refusal(&e))?;
    let ordered = Ordered {
        iccid,
        activation_code,
    };
    let finished = msp
        .store
        .finish_order(order, &ordered, &subscription, wrong, now_ms())
        .await;
    match finished.map_err(internal)? {
        Finished::Code(answer) => {
            let swapped = answer.swapped_iccid.as_ref().map(ToString::to_string);
            tracing::info!(iccid = %ordered.iccid, eid = %order.eid, swapped, "profile ordered");
            Ok(answer)
        }
        refused @ (Finished::Withdrawn | Finished::Full) => {
            let cancelled = msp
                .agreed()
                .es2
                .cancel_order(Uuid::new_v4(), ordered.iccid.as_str())
                .await;
            if let Err(error) = cancelled {
                tracing::warn!(%error, iccid = %ordered.iccid, "an order that is not needed stays");
            }
            let full = "all profiles of the subscription are in use, and none can be swapped";
            Err(match refused {
                Finished::Full => ApiError::because(ErrorCode::ActivationCodeOther, full),
                _ => gone(),
            })
        }
    }
}

/// Goes on with orders that were accepted with 201 before the program stopped.
///
/// # Errors
/// The database fails.
pub(crate) async fn resume(msp: &Msp) -> Result<(), StoreError> {
    for order in msp.store.unanswered_orders().await? {
        tracing::info!(request = %order.request_id, "an activation code is still owed");
        tokio::spawn(run(msp.clone(), order, Delivery::Async, Order::default()));
    }
    Ok(())
}

/// Waits until nothing is due any more for a token, for an answer that comes too late on purpose.
async fn wait_until_sent(msp: &Msp, token: MspToken) -> Result<(), ApiError> {
    for _ in 0..100 {
        if !msp.store.owes_code(token).await.map_err(internal)? {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Sends a code for the newest request of a token that was invalidated (R-7.7.2.1-7), which a sane MSP does not.
///
/// # Errors
/// The database fails.
pub(crate) async fn code_for_the_dead(
    msp: &Msp,
    client: &PartyId,
    token: MspToken,
) -> Result<(), ApiError> {
    let newest = msp.store.newest_request(token).await.map_err(internal)?;
    let body = code_body(newest.unwrap_or_else(Uuid::new_v4));
    let job = Job::new(
        client,
        Kind::SendActivationCode,
        token,
        Uuid::new_v4(),
        body,
    );
    msp.store.add_job(&job, now_ms()).await.map_err(internal)?;
    msp.outbox.notify_one();
    Ok(())
}

/// A Send Activation Code for a profile that was never ordered.
pub(crate) fn code_body(request_id: Uuid) -> String {
    serde_json::json!({
        "activationCode": "1$smdp.invalid$LATE", "profileType": "personal", "error": null,
        "activationCodeRequestID": request_id.to_string(), "iccid": "8999999999999999995", "swappedIccid": null,
    })
    .to_string()
}

/// Tells a CMP about a profile whose status it has just reported, against §7.5.
///
/// # Errors
/// The database fails.
pub(crate) async fn inform_about(
    msp: &Msp,
    client: &PartyId,
    token: MspToken,
    body: &SendCsimStatus,
) -> Result<(), ApiError> {
    let enabled = body.status == CsimStatus::Enabled;
    let status = if enabled { "valid" } else { "suspended" };
    let profile =
        serde_json::json!({"iccid": body.iccid.as_str(), "status": status, "reason": null});
    let body = serde_json::json!({"profiles": [profile]}).to_string();
    let kind = Kind::SendProfileInformation;
    let job = Job::new(client, kind, token, Uuid::new_v4(), body);
    msp.store.add_job(&job, now_ms()).await.map_err(internal)?;
    msp.outbox.notify_one();
    Ok(())
}

fn refusal(error: &Es2Error) -> ApiError {
    tracing::warn!(%error, "SM-DP+");
    match error {
        Es2Error::Unreachable { .. } => {
            ApiError::because(ErrorCode::Internal, "the SM-DP+ does not answer")
        }
        Es2Error::Refused {
            subject, reason, ..
        } => {
            let detail = format!("the SM-DP+ refuses (subject {subject}, reason {reason})");
            ApiError::because(ErrorCode::ActivationCodeOther, detail)
        }
    }
}

/// A failure of our own; the log has the details.
#[expect(clippy::needless_pass_by_value, reason = "used with map_err")]
pub(crate) fn internal(error: StoreError) -> ApiError {
    tracing::error!(%error, "store");
    ApiError::new(ErrorCode::Internal)
}

/// The onboarding behind a token of this caller.
///
/// # Errors
/// 404 with 20: unknown here, or another CMP's.
pub(crate) async fn onboarding(
    msp: &Msp,
    caller: &Caller,
    token: MspToken,
) -> Result<Onboarding, ApiError> {
    let found = msp
        .store
        .onboarding(&caller.headers.client_id, token)
        .await
        .map_err(internal)?;
    found.ok_or_else(|| ApiError::new(ErrorCode::TokenNotFound))
}
