//! Request Activation Code (AID.02 §7.7): from the request to an open order, and from there to a code or a refusal.
//!
//! `work` has the steps of an open order, `rules` what a test bench may have done differently, `slots` the swap of §4.3.1.

mod rules;
mod slots;
mod work;

use aid_aid1::body::{ActivationCodeResponse, RequestActivationCode};
use aid_aid1::error_code::{ApiError, ErrorCode};
use aid_aid1::operation::Activation;
use http::StatusCode;
use uuid::Uuid;

use super::call::{Answer, CallView, Key, LEASE, Said, answered, is_leased};
use super::model::{AcRequest, Delivery, Order, OrderState, Subscription, SubscriptionState};
use super::{Change, Decision};
use crate::config::{Eligibility, RefusedEid};

pub(crate) use rules::{Ordering, Usual};
pub(crate) use slots::{Full, Slots};
pub(crate) use work::{
    Choice, ChoiceView, Failure, FinishView, Reserved, WaitView, answer_later, choose, fail,
    finish, reserve, resume,
};

/// What a request is judged by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestView {
    /// Its onboarding, and the earlier call with the same id.
    pub(crate) call: CallView,
    /// The subscription of the onboarding.
    pub(crate) subscription: Option<Subscription>,
    /// The order with the same `activationCodeRequestID`.
    pub(crate) order: Option<Order>,
}

/// A request as it came.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    /// The call.
    pub(crate) key: &'a Key,
    /// Its body, or what is wrong with it.
    pub(crate) body: Result<RequestActivationCode, ApiError>,
    /// The transaction.
    pub(crate) correlation: Uuid,
    /// How the answer shall travel.
    pub(crate) delivery: Delivery,
    /// Which cars get a profile.
    pub(crate) eligibility: &'a Eligibility,
    /// How the order is worked on.
    pub(crate) rules: &'a dyn Ordering,
    /// ms since 1970
    pub(crate) now: i64,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    /// Nothing is to be worked on.
    Said(Said),
    /// The caller waits for this order.
    Wait(Box<Order>),
    /// The caller is answered with 201; this order is worked on meanwhile.
    Started(Box<Order>),
}

/// Stores a request, and answers it with 201 or claims it. The same request again finds what became of the first; one
/// that failed, or whose worker is gone, is worked on again.
pub(crate) fn request(view: &RequestView, asked: Request<'_>) -> Decision<Begun> {
    let (key, now) = (asked.key, asked.now);
    let said = |said| Decision::nothing(Begun::Said(said));
    let refused = |error: ApiError| {
        let locked = error.status == StatusCode::LOCKED;
        said(Said::Refused(match asked.eligibility.refused_eid_status {
            RefusedEid::Unprocessable if locked => {
                error.with_status(StatusCode::UNPROCESSABLE_ENTITY)
            }
            _ => error,
        }))
    };
    let onboarding = match view.call.first(key, now) {
        Ok(onboarding) => onboarding,
        Err(done) => return said(done),
    };
    let body = match asked.body {
        Ok(body) => body,
        Err(error) => return refused(error),
    };
    // A withdrawn token never yields another code (§4.4, §7.9).
    if !asked.rules.admits(onboarding.state) {
        return refused(ApiError::new(ErrorCode::TokenInvalidated));
    }
    if let Err(error) = eligible(asked.eligibility, view.subscription.as_ref(), &body) {
        return refused(error);
    }
    let answer = |changes, answer| {
        let Decision { changes, outcome } = answered(changes, key, answer, now);
        Decision::of(changes, Begun::Said(outcome))
    };
    if !asked.rules.is_begun() {
        return answer(Vec::new(), code_later());
    }
    let delivery = asked.rules.delivery(asked.delivery);
    let leased_until = match delivery {
        Delivery::Sync => now + LEASE,
        Delivery::Async => 0,
    };
    let mut order = Order {
        request: AcRequest {
            client_id: onboarding.client_id.clone(),
            request_id: body.request_id,
            msp_token: onboarding.msp_token,
            correlation_id: asked.correlation,
            eid: body.eid,
            replace_iccid: body.replace_iccid,
        },
        delivery,
        state: OrderState::Open,
        iccid: None,
        activation_code: None,
        swapped: None,
        error: None,
        created_at: now,
        leased_until,
    };
    if let Some(earlier) = &view.order {
        let asked = &earlier.request;
        if asked.msp_token != onboarding.msp_token || asked.eid != body.eid {
            let detail = "activationCodeRequestID was used for another msp_token or eid";
            return refused(ApiError::because(ErrorCode::RequestOther, detail));
        }
        if let Some(code) = earlier.response() {
            return answer(Vec::new(), code_now(code));
        }
        if earlier.state == OrderState::Open {
            let abandoned =
                earlier.delivery == Delivery::Sync && !is_leased(earlier.leased_until, now);
            if !abandoned {
                // It is worked on for another call; the code then travels by Send Activation Code.
                let mut order = earlier.clone();
                order.delivery = Delivery::Async;
                return answer(vec![Change::OrderPut(order)], code_later());
            }
            // What was reserved for it is what it gets.
            order.iccid.clone_from(&earlier.iccid);
        }
    }
    let put = Change::OrderPut(order.clone());
    match delivery {
        Delivery::Async => {
            let Decision { changes, .. } = answered(vec![put], key, code_later(), now);
            Decision::of(changes, Begun::Started(Box::new(order)))
        }
        Delivery::Sync => {
            let claim = Change::CallClaimed {
                key: key.clone(),
                until: now + LEASE,
                at: now,
            };
            Decision::of(vec![put, claim], Begun::Wait(Box::new(order)))
        }
    }
}

/// The answer with a code (§7.7.1).
fn code_now(code: ActivationCodeResponse) -> Answer {
    Answer::success::<RequestActivationCode>(&Activation::Now(code))
}

/// The answer that the code comes by Send Activation Code (§7.7.2).
pub(crate) fn code_later() -> Answer {
    Answer::success::<RequestActivationCode>(&Activation::Later)
}

/// Whether this subscription and this car get a profile.
///
/// # Errors
/// 423 with 49 for an eUICC, 422 with 49 for a device or a subscription that gets none (§7.7).
fn eligible(
    rules: &Eligibility,
    subscription: Option<&Subscription>,
    body: &RequestActivationCode,
) -> Result<(), ApiError> {
    let no = |detail: &str| Err(ApiError::because(ErrorCode::ActivationCodeOther, detail));
    let eid = body.eid.as_str();
    let begins = |list: &[String]| list.iter().any(|start| eid.starts_with(start.as_str()));
    if begins(&rules.refused_eids) || !(rules.eids.is_empty() || begins(&rules.eids)) {
        return no("this eid is not eligible")
            .map_err(|e: ApiError| e.with_status(StatusCode::LOCKED));
    }
    if !rules.device_types.is_empty() && !rules.device_types.contains(&body.device_type) {
        return no("this deviceType is not eligible");
    }
    match subscription.map(|s| s.state) {
        Some(SubscriptionState::Active) => Ok(()),
        Some(SubscriptionState::Suspended) => no("the subscription is suspended"),
        Some(SubscriptionState::Ended) | None => no("the subscription has ended"),
    }
}

#[cfg(test)]
mod tests;
