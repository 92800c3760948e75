//! Activation codes: orders a profile at the SM-DP+ and answers the CMP, at once or later (AID.02 §7.7, §4.3 [4]).
//!
//! The request is stored before anything is ordered; what was reserved is stored before it is confirmed; profile, swap and
//! answer are stored in one step. `core::order` decides each of them.

use std::sync::Arc;
use std::time::Duration;

use aid_aid1::body::RequestActivationCode;
use aid_aid1::error_code::{ApiError, ErrorCode};
use aid_id::{Iccid, MspToken};
use tokio::time::timeout;
use uuid::Uuid;

use crate::api::Call;
use crate::config::Mode;
use crate::core::call::{Key, Said};
use crate::core::model::{AcRequest, Delivery, Order, Ordered};
use crate::core::order::{self, Begun, Choice, Failure, Ordering, Request, Reserved, Usual};
use crate::es2::Es2Error;
use crate::msp::{Msp, now_ms};
use crate::store::{STORE_AGAIN, StoreError, Stored};

/// Longest time for a synchronous answer; AID.02 §7.7.1 allows three seconds.
const SYNC_LIMIT: Duration = Duration::from_millis(2500);

/// How long an asynchronous order waits, so that the 201 is out before Send Activation Code can be (§7.7.2 Note).
const AFTER_THE_ANSWER: Duration = Duration::from_millis(200);

/// Further attempts of an asynchronous order while the SM-DP+ does not answer; about a day, which is how long a CMP
/// usually waits for a code.
const ATTEMPTS: u32 = 340;
/// The longest pause between two of them is two to the power of this, in seconds: about four minutes.
const LONGEST: u32 = 8;

/// Answers Request Activation Code.
///
/// # Errors
/// The database fails, or the CMP is not in the configuration any more.
pub(crate) async fn request(
    msp: &Msp,
    call: &Call,
    key: &Key,
    token: MspToken,
    body: Result<RequestActivationCode, ApiError>,
    rules: Arc<dyn Ordering>,
) -> Result<Said, ApiError> {
    let cmp = msp
        .cmp(&key.client)
        .ok_or_else(|| ApiError::new(ErrorCode::Unauthorized))?;
    let id = body.as_ref().ok().map(|body| body.request_id);
    let sync = match cmp.mode {
        Mode::Sync => true,
        Mode::Async => false,
        Mode::Mixed => id.is_none_or(|id| id.as_bytes()[15].is_multiple_of(2)),
    };
    let delivery = if sync {
        Delivery::Sync
    } else {
        Delivery::Async
    };
    let correlation = call.caller.headers.correlation_id;
    let (shared, of_call, of_order) = (msp.clone(), key.clone(), Arc::clone(&rules));
    let begun = msp.store.decide(async move |tx| {
        let view = tx.request_view(&of_call, token, id).await?;
        let asked = Request {
            key: &of_call,
            body: body.clone(),
            correlation,
            delivery,
            eligibility: &shared.eligibility,
            rules: &*of_order,
            now: now_ms(),
        };
        Ok(order::request(&view, asked))
    });
    match begun.await.map_err(internal)? {
        Begun::Said(said) => Ok(said),
        Begun::Started(order) => {
            tokio::spawn(work(msp.clone(), *order, None, rules));
            Ok(Said::Answer(order::code_later()))
        }
        Begun::Wait(order) => wait(msp, *order, key, rules).await,
    }
}

/// Waits for an order as long as a synchronous answer may take, and hands it over to Send Activation Code then.
async fn wait(
    msp: &Msp,
    order: Order,
    key: &Key,
    rules: Arc<dyn Ordering>,
) -> Result<Said, ApiError> {
    let request = order.request.clone();
    let broken = |_| ApiError::new(ErrorCode::Internal);
    let mut worker = tokio::spawn(work(msp.clone(), order, Some(key.clone()), rules));
    if let Ok(said) = timeout(SYNC_LIMIT, &mut worker).await {
        return said.map_err(broken);
    }
    let key = key.clone();
    let later = msp.store.decide(async move |tx| {
        let view = tx.wait_view(&request, Some(&key)).await?;
        Ok(order::answer_later(&view, &key, now_ms()))
    });
    match later.await.map_err(internal)? {
        Some(said) => Ok(said),
        None => worker.await.map_err(broken),
    }
}

/// Works on an order until it is done or has failed; yields what the call is answered with that waits for it.
async fn work(msp: Msp, order: Order, waiting: Option<Key>, rules: Arc<dyn Ordering>) -> Said {
    let request = order.request;
    if order.delivery == Delivery::Async {
        tokio::time::sleep(rules.pause(AFTER_THE_ANSWER)).await;
    }
    for attempt in 0_u32.. {
        let failure = match step(&msp, &request, waiting.as_ref(), &rules).await {
            Ok(said) => {
                msp.outbox.notify_one();
                return said;
            }
            Err(failure) => failure,
        };
        tracing::warn!(request = %request.request_id, eid = %request.eid, error = %failure.error, "no activation code");
        let last = attempt >= ATTEMPTS;
        if let Some(said) = failed(&msp, &request, &failure, last, waiting.as_ref()).await {
            msp.outbox.notify_one();
            return said;
        }
        tokio::time::sleep(Duration::from_secs(1 << attempt.min(LONGEST))).await;
    }
    Said::Refused(ApiError::new(ErrorCode::Internal))
}

/// Stores a failure as soon as the database accepts it: an order that stayed open would be worked on again only after a
/// restart. Nothing is yielded where the order is to be tried again.
async fn failed(
    msp: &Msp,
    request: &AcRequest,
    failure: &Failure,
    last: bool,
    waiting: Option<&Key>,
) -> Option<Said> {
    loop {
        let (request, failure, waiting) = (request.clone(), failure.clone(), waiting.cloned());
        let id = request.request_id;
        let stored = msp.store.decide(async move |tx| {
            let view = tx.wait_view(&request, waiting.as_ref()).await?;
            let ids = &mut Uuid::new_v4;
            let waiting = waiting.as_ref();
            Ok(order::fail(&view, &failure, last, waiting, ids, now_ms()))
        });
        match stored.await {
            Ok(said) => return said,
            Err(error) => {
                tracing::error!(%error, request = %id, "the failure cannot be stored yet");
                tokio::time::sleep(STORE_AGAIN).await;
            }
        }
    }
}

/// One attempt: chooses a profile, reserves it, confirms it, and finishes the order.
async fn step(
    msp: &Msp,
    request: &AcRequest,
    waiting: Option<&Key>,
    rules: &Arc<dyn Ordering>,
) -> Result<Said, Failure> {
    if let Some(text) = rules.refusal() {
        return Err(Failure {
            error: ApiError::because(ErrorCode::ActivationCodeOther, &text),
            text,
            transient: false,
        });
    }
    let iccid = reserved(msp, request).await?;
    let agreed = msp.agreed();
    let confirmed = agreed
        .es2
        .confirm_order(request.request_id, &request.eid, &iccid);
    let ordered = Ordered {
        activation_code: confirmed.await.map_err(|e| refusal(&e))?,
        iccid,
    };
    let (iccid, eid) = (ordered.iccid.clone(), request.eid);
    let (request, waiting, rules) = (request.clone(), waiting.cloned(), Arc::clone(rules));
    let finished = msp.store.decide(async move |tx| {
        let waiting = waiting.as_ref();
        let view = tx.finish_view(&request, waiting).await?;
        let ids = &mut Uuid::new_v4;
        Ok(order::finish(
            &view,
            &ordered,
            waiting,
            &*rules,
            ids,
            now_ms(),
        ))
    });
    let said = finished.await.map_err(passing)?;
    match &said {
        Said::Refused(error) => {
            tracing::warn!(%iccid, %eid, %error, "the order is cancelled");
        }
        Said::Answer(_) | Said::Running => tracing::info!(%iccid, %eid, "profile ordered"),
    }
    Ok(said)
}

/// A profile that is reserved for the order at the SM-DP+.
async fn reserved(msp: &Msp, request: &AcRequest) -> Result<Iccid, Failure> {
    let of_choice = request.clone();
    let choice = msp
        .store
        .decide(async move |tx| Ok(order::choose(&tx.choice_view(&of_choice).await?)));
    let wanted = match choice.await.map_err(passing)? {
        Choice::None(error) => return Err(Failure::last(error)),
        Choice::Reserved(iccid) => return Ok(iccid),
        Choice::This(iccid) => Some(iccid),
        Choice::Any => None,
    };
    let agreed = msp.agreed();
    // What this CMP can't name is not ordered for it.
    let cmp = msp.cmp(&request.client_id);
    let iccids = cmp.map(|cmp| cmp.iccids).unwrap_or_default();
    if let Some(iccid) = wanted.as_ref().filter(|iccid| !iccids.allow(iccid)) {
        return Err(short(iccid));
    }
    let reserved = agreed
        .es2
        .download_order(request.request_id, &request.eid, wanted.as_ref());
    let iccid = reserved.await.map_err(|e| refusal(&e))?;
    if !iccids.allow(&iccid) {
        let eid = Some(request.eid.as_str());
        let cancelled = agreed.es2.cancel_order(Uuid::new_v4(), iccid.as_str(), eid);
        if let Err(error) = cancelled.await {
            tracing::warn!(%iccid, %error, "a profile that can't be used stays reserved");
        }
        return Err(short(&iccid));
    }
    let (request, of_order) = (request.clone(), iccid.clone());
    let noted = msp.store.decide(async move |tx| {
        let order = tx.order(&request.client_id, request.request_id).await?;
        let ids = &mut Uuid::new_v4;
        let order = order.as_ref();
        Ok(order::reserve(order, &request, &of_order, ids, now_ms()))
    });
    match noted.await.map_err(passing)? {
        Reserved::Ours => Ok(iccid),
        // The order is over: storing the failure finds what it was answered with.
        Reserved::NotNeeded => Err(Failure::last(ApiError::new(ErrorCode::Internal))),
    }
}

/// Goes on with orders that were accepted with 201 before the program stopped, and lets go of what its callers waited for.
///
/// # Errors
/// The database fails.
pub(crate) async fn resume(msp: &Msp) -> Stored<()> {
    let owed = msp.store.decide(async move |tx| {
        let open = tx.open_orders().await?;
        Ok(order::resume(open, &mut Uuid::new_v4, now_ms()))
    });
    for order in owed.await? {
        tracing::info!(request = %order.request.request_id, "an activation code is still owed");
        tokio::spawn(work(msp.clone(), order, None, Arc::new(Usual)));
    }
    Ok(())
}

fn short(iccid: &Iccid) -> Failure {
    tracing::error!(%iccid, "a profile whose ICCID has fewer than 19 digits can't be named on AID1 (AID.02 §5.4), unless short_iccids = true stands in [[cmp]]");
    let detail = format!("the profile {iccid} has an ICCID of fewer than 19 digits");
    Failure::last(ApiError::because(ErrorCode::ActivationCodeOther, detail))
}

fn refusal(error: &Es2Error) -> Failure {
    tracing::warn!(%error, "SM-DP+");
    match error {
        Es2Error::Unreachable { .. } => {
            let detail = "the SM-DP+ does not answer";
            Failure::passing(ApiError::because(ErrorCode::Internal, detail))
        }
        Es2Error::Refused {
            subject, reason, ..
        } => {
            let detail = format!("the SM-DP+ refuses (subject {subject}, reason {reason})");
            Failure::last(ApiError::because(ErrorCode::ActivationCodeOther, detail))
        }
    }
}

fn passing(error: StoreError) -> Failure {
    Failure::passing(internal(error))
}

/// A failure of the database; the log has the details.
#[expect(clippy::needless_pass_by_value, reason = "used with map_err")]
pub(crate) fn internal(error: StoreError) -> ApiError {
    tracing::error!(%error, "store");
    ApiError::new(ErrorCode::Internal)
}
