//! The steps of an open order: a profile is chosen, reserved, and the order finished or failed. Each looks at what the
//! order is now: it may have been answered, or handed over to Send Activation Code, since the step began.

use aid_aid1::body::{Body as _, ProfileType, ProfileValidity, SendActivationCode};
use aid_aid1::error_code::{ApiError, ErrorCode};
use aid_id::Iccid;

use super::rules::Ordering;
use super::slots::Slots;
use super::{code_later, code_now};
use crate::core::call::{Answer, Earlier, Key, Said};
use crate::core::model::{
    AcRequest, Delivery, Job, Kind, Onboarding, OnboardingState, Order, OrderState, Ordered,
    Profile, ProfilePhase, Subscription,
};
use crate::core::operator::inform;
use crate::core::{Change, Decision, NewId};

/// Why a step did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What a caller that waits is answered with.
    pub(crate) error: ApiError,
    /// The error of Send Activation Code.
    pub(crate) text: String,
    /// The same step may succeed later: the SM-DP+ or the database can't be reached.
    pub(crate) transient: bool,
}

impl Failure {
    /// A refusal that stays one.
    #[must_use]
    pub(crate) fn last(error: ApiError) -> Self {
        Self {
            text: error.concatenated(),
            error,
            transient: false,
        }
    }

    /// A failure that may pass.
    #[must_use]
    pub(crate) fn passing(error: ApiError) -> Self {
        Self {
            transient: true,
            ..Self::last(error)
        }
    }
}

/// An order, and the call that waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WaitView {
    /// As it is now.
    pub(crate) order: Option<Order>,
    /// What is stored of the waiting call.
    pub(crate) earlier: Option<Earlier>,
}

impl WaitView {
    fn open(&self) -> Option<&Order> {
        self.order.as_ref().filter(|o| o.state == OrderState::Open)
    }

    /// Answers the waiting call, unless it has an answer.
    fn answer(
        &self,
        mut changes: Vec<Change>,
        waiting: Option<&Key>,
        answer: Answer,
        now: i64,
    ) -> Decision<Said> {
        let earlier = self.earlier.as_ref().and_then(|e| e.answer.clone());
        if let Some(answer) = earlier {
            return Decision::of(changes, Said::Answer(answer));
        }
        if let Some(key) = waiting {
            changes.push(Change::CallAnswered {
                key: key.clone(),
                answer: answer.clone(),
                at: now,
            });
        }
        Decision::of(changes, Said::Answer(answer))
    }

    /// The order is over: what the waiting call is answered with.
    fn over(&self, waiting: Option<&Key>, otherwise: ApiError, now: i64) -> Decision<Said> {
        if let Some(code) = self.order.as_ref().and_then(Order::response) {
            return self.answer(Vec::new(), waiting, code_now(code), now);
        }
        if let Some(answer) = self.earlier.as_ref().and_then(|e| e.answer.clone()) {
            return Decision::nothing(Said::Answer(answer));
        }
        let forgotten = waiting.cloned().map(Change::CallForgotten);
        Decision::of(forgotten.into_iter().collect(), Said::Refused(otherwise))
    }
}

/// What a profile is chosen by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChoiceView {
    /// The order.
    pub(crate) order: Option<Order>,
    /// Its onboarding.
    pub(crate) onboarding: Option<Onboarding>,
    /// The subscription of the onboarding.
    pub(crate) subscription: Option<Subscription>,
    /// The subscription's own profiles, in the order of their use.
    pub(crate) pool: Vec<Iccid>,
    /// Those of the pool that a profile has, or another open order.
    pub(crate) taken: Vec<Iccid>,
}

/// What to ask the SM-DP+ for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// DownloadOrder for this profile.
    This(Iccid),
    /// DownloadOrder for any suitable profile.
    Any,
    /// ConfirmOrder: this profile is reserved.
    Reserved(Iccid),
    /// Nothing: the order is over, or there is no profile for it.
    None(ApiError),
}

/// Chooses a profile. One of the subscription's own belongs to the order from now on, so no other order chooses it.
pub(crate) fn choose(view: &ChoiceView) -> Decision<Choice> {
    let none = |error| Decision::nothing(Choice::None(error));
    let ended = || ApiError::because(ErrorCode::ActivationCodeOther, "the subscription has ended");
    let Some(order) = view.order.as_ref().filter(|o| o.state == OrderState::Open) else {
        return none(ApiError::new(ErrorCode::Internal));
    };
    if view.onboarding.is_none() {
        return none(ApiError::new(ErrorCode::TokenInvalidated));
    }
    if view.subscription.is_none() {
        return none(ended());
    }
    match &order.iccid {
        // The SM-DP+ may not have heard of it: the choice is stored before it is asked.
        Some(iccid) if view.pool.contains(iccid) => {
            return Decision::nothing(Choice::This(iccid.clone()));
        }
        Some(iccid) => return Decision::nothing(Choice::Reserved(iccid.clone())),
        None if view.pool.is_empty() => return Decision::nothing(Choice::Any),
        None => {}
    }
    let free = view.pool.iter().find(|iccid| !view.taken.contains(iccid));
    let Some(iccid) = free else {
        let detail = "the subscription has no profile left";
        return none(ApiError::because(ErrorCode::ActivationCodeOther, detail));
    };
    let put = Order {
        iccid: Some(iccid.clone()),
        ..order.clone()
    };
    let choice = Choice::This(iccid.clone());
    Decision::of(vec![Change::OrderPut(put)], choice)
}

/// Whether a reservation belongs to the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reserved {
    /// It does: confirm it.
    Ours,
    /// The order is over, or has another profile.
    NotNeeded,
}

/// Notes which profile the SM-DP+ reserved before it is confirmed, so that a second attempt confirms the same. One that is
/// not needed is cancelled.
pub(crate) fn reserve(
    order: Option<&Order>,
    request: &AcRequest,
    iccid: &Iccid,
    ids: NewId<'_>,
    now: i64,
) -> Decision<Reserved> {
    let open = order.filter(|o| o.state == OrderState::Open);
    match open {
        Some(order) if order.iccid.as_ref() == Some(iccid) => Decision::nothing(Reserved::Ours),
        Some(order) if order.iccid.is_none() => {
            let put = Order {
                iccid: Some(iccid.clone()),
                ..order.clone()
            };
            Decision::of(vec![Change::OrderPut(put)], Reserved::Ours)
        }
        _ => {
            let mut changes = Vec::new();
            // The same call of ES2+ yields the same profile: the order may be done with this one.
            if order.and_then(|o| o.iccid.as_ref()) != Some(iccid) {
                changes.push(cancel(request, iccid, ids, now));
            }
            Decision::of(changes, Reserved::NotNeeded)
        }
    }
}

/// What an order is finished by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FinishView {
    /// The order and the call that waits for it.
    pub(crate) wait: WaitView,
    /// Its onboarding.
    pub(crate) onboarding: Option<Onboarding>,
    /// The subscription of the onboarding.
    pub(crate) subscription: Option<Subscription>,
    /// The profiles of the subscription that take a slot.
    pub(crate) slots: Vec<Profile>,
    /// The customer's other onboardings, whose profiles may be among these.
    pub(crate) others: Vec<Onboarding>,
}

/// Finishes an order in one step: a swap if the subscription has no slot left (§4.3.1), the new profile, and the answer,
/// to the caller that waits or by Send Activation Code. Where the token was withdrawn meanwhile, or nothing can be
/// swapped, the order fails and is cancelled at the SM-DP+.
pub(crate) fn finish(
    view: &FinishView,
    ordered: &Ordered,
    waiting: Option<&Key>,
    rules: &dyn Ordering,
    ids: NewId<'_>,
    now: i64,
) -> Decision<Said> {
    let Some(order) = view.wait.open() else {
        return view.wait.over(waiting, gone(), now);
    };
    let request = &order.request;
    let give_up = |error, ids: NewId<'_>| {
        let mut changes = vec![cancel(request, &ordered.iccid, &mut *ids, now)];
        let Decision {
            changes: more,
            outcome,
        } = end(&view.wait, order, &Failure::last(error), waiting, ids, now);
        changes.extend(more);
        Decision::of(changes, outcome)
    };
    let admitted = view.onboarding.as_ref().filter(|o| rules.admits(o.state));
    let (Some(onboarding), Some(subscription)) = (admitted, &view.subscription) else {
        return give_up(gone(), ids);
    };
    let slots = Slots {
        profiles: &view.slots,
        token: request.msp_token,
        candidate: request.replace_iccid.as_ref(),
        subscription,
    };
    let Ok(swapped) = rules.to_swap(&slots) else {
        let full = "all profiles of the subscription are in use, and none can be swapped";
        return give_up(ApiError::because(ErrorCode::ActivationCodeOther, full), ids);
    };
    let mut changes = Vec::new();
    // That the CMP uses a token shows that it has it, even if its 201 was lost.
    if onboarding.state == OnboardingState::Pending {
        changes.push(Change::OnboardingSet {
            token: onboarding.msp_token,
            state: OnboardingState::Active,
            at: now,
        });
    }
    let of_another = |old: &Profile| old.msp_token != request.msp_token;
    if let Some(old) = swapped.filter(|old| of_another(old)) {
        // Its own CMP hears of it: the one that asked knows nothing of that profile.
        let owner = view.others.iter().find(|o| o.msp_token == old.msp_token);
        if let Some(owner) = owner {
            let (invalid, why) = (
                ProfileValidity::Invalid,
                Some("swapped for another car brand"),
            );
            changes.extend(inform(
                owner,
                std::slice::from_ref(old),
                invalid,
                why,
                &mut *ids,
                now,
            ));
        }
        if old.phase == ProfilePhase::Prepared {
            changes.push(cancel(request, &old.iccid, &mut *ids, now));
        }
    }
    let swapped = swapped.filter(|old| !of_another(old));
    if let Some(old) = swapped {
        changes.push(Change::ProfileSet(Profile {
            phase: ProfilePhase::Swapped,
            network: false,
            ..old.clone()
        }));
        if old.phase == ProfilePhase::Prepared {
            changes.push(cancel(request, &old.iccid, &mut *ids, now));
        }
    }
    changes.push(Change::ProfileAdded(Profile {
        iccid: ordered.iccid.clone(),
        msp_token: request.msp_token,
        eid: request.eid,
        matching_id: ordered.activation_code.matching_id().to_owned(),
        phase: ProfilePhase::Prepared,
        network: true,
        created_at: now,
        used_at: now,
    }));
    let swapped = swapped.map(|old| old.iccid.clone());
    let done = Order {
        state: OrderState::Done,
        iccid: Some(ordered.iccid.clone()),
        activation_code: Some(ordered.activation_code.clone()),
        swapped: swapped.clone(),
        error: None,
        leased_until: 0,
        ..order.clone()
    };
    let answer = match (order.delivery, done.response()) {
        (Delivery::Sync, Some(code)) => code_now(code),
        _ => {
            let body = SendActivationCode::Code {
                request_id: request.request_id,
                activation_code: ordered.activation_code.clone(),
                profile_type: ProfileType::Personal,
                iccid: ordered.iccid.clone(),
                swapped_iccid: swapped,
            };
            changes.push(send(request, &body, ids, now));
            code_later()
        }
    };
    changes.push(Change::OrderPut(done));
    view.wait.answer(changes, waiting, answer, now)
}

/// Ends an order without a code; the CMP learns why. An order that was handed over to Send Activation Code, and whose
/// failure may pass, stays open: then nothing is yielded, and the caller tries again. `last` ends it all the same.
pub(crate) fn fail(
    view: &WaitView,
    failure: &Failure,
    last: bool,
    waiting: Option<&Key>,
    ids: NewId<'_>,
    now: i64,
) -> Decision<Option<Said>> {
    let Some(order) = view.open() else {
        let Decision { changes, outcome } = view.over(waiting, failure.error.clone(), now);
        return Decision::of(changes, Some(outcome));
    };
    if order.is_owed() && failure.transient && !last {
        return Decision::nothing(None);
    }
    let Decision { changes, outcome } = end(view, order, failure, waiting, ids, now);
    Decision::of(changes, Some(outcome))
}

/// Turns an order that takes too long into one that is answered by Send Activation Code, and the call's answer into 201.
/// Nothing is yielded where the order is over: then its worker knows the answer.
pub(crate) fn answer_later(view: &WaitView, key: &Key, now: i64) -> Decision<Option<Said>> {
    let Some(order) = view.open() else {
        let earlier = view.earlier.as_ref().and_then(|e| e.answer.clone());
        return Decision::nothing(earlier.map(Said::Answer));
    };
    let put = Order {
        delivery: Delivery::Async,
        leased_until: 0,
        ..order.clone()
    };
    let changes = vec![Change::OrderPut(put)];
    let Decision { changes, outcome } = view.answer(changes, Some(key), code_later(), now);
    Decision::of(changes, Some(outcome))
}

fn end(
    view: &WaitView,
    order: &Order,
    failure: &Failure,
    waiting: Option<&Key>,
    ids: NewId<'_>,
    now: i64,
) -> Decision<Said> {
    let failed = Order {
        state: OrderState::Failed,
        iccid: None,
        error: Some(failure.text.clone()),
        leased_until: 0,
        ..order.clone()
    };
    let mut changes = vec![Change::OrderPut(failed)];
    match order.delivery {
        Delivery::Async => {
            let body = SendActivationCode::Failed {
                request_id: Some(order.request.request_id),
                error: failure.text.clone(),
            };
            changes.push(send(&order.request, &body, ids, now));
            view.answer(changes, waiting, code_later(), now)
        }
        Delivery::Sync => {
            changes.extend(waiting.cloned().map(Change::CallForgotten));
            Decision::of(changes, Said::Refused(failure.error.clone()))
        }
    }
}

fn gone() -> ApiError {
    ApiError::new(ErrorCode::TokenInvalidated)
}

fn send(request: &AcRequest, body: &SendActivationCode, ids: NewId<'_>, now: i64) -> Change {
    let body = body.to_json().to_string();
    Change::job(job(request, Kind::SendActivationCode, body, ids), now)
}

fn cancel(request: &AcRequest, iccid: &Iccid, ids: NewId<'_>, now: i64) -> Change {
    let body = Job::cancel_body(iccid, &request.eid);
    Change::job(job(request, Kind::CancelOrder, body, ids), now)
}

fn job(request: &AcRequest, kind: Kind, body: String, ids: NewId<'_>) -> Job {
    Job {
        client_id: request.client_id.clone(),
        kind,
        msp_token: request.msp_token,
        request_id: ids(),
        correlation_id: request.correlation_id,
        body,
    }
}

/// How long a synchronous order with a profile is kept for the CMP's repetition after its worker is gone, ms: a day.
const KEEP: i64 = 24 * 3600 * 1000;

/// Sorts the open orders when the program starts. Those that are answered by Send Activation Code are yielded, to be worked
/// on. Of the synchronous ones nobody waits any more, and the CMP asks again: one without a profile is forgotten, one with
/// a profile kept for the repetition, and cancelled where that has not come for a day.
pub(crate) fn resume(open: Vec<Order>, ids: NewId<'_>, now: i64) -> Decision<Vec<Order>> {
    let mut changes = vec![Change::LeasesEnded];
    let mut owed = Vec::new();
    for order in open {
        if order.delivery == Delivery::Async {
            owed.push(order);
            continue;
        }
        match &order.iccid {
            None => changes.push(Change::OrderForgotten(order.request)),
            Some(iccid) if order.created_at < now - KEEP => {
                changes.push(cancel(&order.request, iccid, &mut *ids, now));
                changes.push(Change::OrderForgotten(order.request));
            }
            Some(_) => {}
        }
    }
    Decision::of(changes, owed)
}
