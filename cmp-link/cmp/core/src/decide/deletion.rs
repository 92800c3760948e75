//! Deletion of operational profiles for each trigger of A.4: the user, an operator, a full eUICC, the
//! end of a rental, a workshop, an exchanged unit, a retired car (§4.5). The MSP's are in `profiles`.

use super::policy::Workshop;
use super::{Context, Decision, status};
use crate::change::Change;
use crate::model::{
    CodeRequest, Federation, Happening, Hold, NoticeKind, Order, OrderState, Profile,
    ProfileStatus, RequestState, UserNotice, Vehicle,
};
use aid_aid1::body::CsimStatus;
use aid_aid1::error_code::ErrorCode;
use aid_id::{AccountRef, Eid, Id};
use aid_wire::OrderKind;

/// Why a profile has to go (A.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// Its user wants it.
    User,
    /// An operator wants it.
    Operator,
    /// The eUICC is full and another user wants a profile.
    CardFull,
    /// The rental ended.
    RentalEnd,
    /// The car is in a workshop.
    Workshop,
}

impl Trigger {
    /// For support.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "deleted by the user",
            Self::Operator => "deleted by the operator",
            Self::CardFull => "the eUICC is full",
            Self::RentalEnd => "the rental ended",
            Self::Workshop => "workshop",
        }
    }
}

fn delete_order(context: &Context, profile: &Profile, reason: &str) -> Order {
    let kind = OrderKind::Delete {
        iccid: profile.iccid.clone(),
    };
    context
        .order(profile.eid, kind, reason)
        .of(profile.federation)
}

/// Tells a user.
#[must_use]
pub fn notice(context: &Context, account: AccountRef, kind: NoticeKind, detail: String) -> Change {
    Change::AddNotice(UserNotice {
        id: (context.fresh)(),
        account,
        at: context.now,
        kind,
        detail,
    })
}

/// Deletes one profile and no other (§4.5, R-A.4-1); `open` says that its deletion is ordered already.
/// What the user deleted does not come back by itself (R-4.5-10).
#[must_use]
pub fn delete(
    context: &Context,
    profile: &Profile,
    open: bool,
    trigger: Trigger,
    reason: Option<String>,
) -> Decision {
    let mut decision = Decision::default();
    if !profile.status.may_be_on_card() {
        return decision;
    }
    if trigger == Trigger::User {
        decision.changes.push(Change::SetHold(Hold {
            federation: profile.federation,
            eid: profile.eid,
            since: context.now,
        }));
    }
    if !open {
        let actor = if trigger == Trigger::User {
            "user"
        } else {
            "operator"
        };
        let detail = format!("{} in {}", profile.iccid, profile.eid);
        let audit = context.audit_because(actor, "profile deletion", detail, reason);
        decision.changes.push(audit);
        decision.order(delete_order(context, profile, trigger.as_str()));
    }
    decision
}

/// What the store says about a car.
#[derive(Debug, Clone)]
pub struct Car {
    /// The car.
    pub vehicle: Vehicle,
    /// What was given to it.
    pub profiles: Vec<Profile>,
    /// The owners of these.
    pub federations: Vec<Federation>,
    /// Its open orders.
    pub orders: Vec<Order>,
    /// Who logged in to it.
    pub users: Vec<AccountRef>,
    /// Its requests that have no end yet: open, or answered and not used.
    pub requests: Vec<CodeRequest>,
    /// The federations whose MSP wants to hear of a deletion (R-7.8-3).
    pub wanted: Vec<Id>,
}

impl Car {
    fn eid(&self) -> Eid {
        self.vehicle.eid
    }

    fn owner(&self, profile: &Profile) -> Option<&Federation> {
        self.federations.iter().find(|f| f.id == profile.federation)
    }

    fn deleting(&self, profile: &Profile) -> bool {
        self.orders.iter().any(|o| o.deletes(&profile.iccid))
    }

    fn on_card(&self) -> impl Iterator<Item = &Profile> {
        self.profiles.iter().filter(|p| p.status.may_be_on_card())
    }

    /// One notice for each user who has something in the car.
    fn tell_owners(&self, context: &Context, decision: &mut Decision, why: &str) {
        let mut told: Vec<AccountRef> = Vec::new();
        for owner in self.on_card().filter_map(|p| self.owner(p)) {
            if !told.contains(&owner.account) {
                told.push(owner.account);
                let kind = NoticeKind::CarCleared;
                decision
                    .changes
                    .push(notice(context, owner.account, kind, why.to_owned()));
            }
        }
    }

    fn log_out(&self, context: &Context, decision: &mut Decision, reason: &str) {
        for account in &self.users {
            let kind = OrderKind::Logout { account: *account };
            decision.order(context.order(self.eid(), kind, reason));
        }
    }
}

/// A rental ends, or the car is in a workshop: its users are logged out, and their profiles go where
/// that is the policy (R-A.4-4, R-A.4-5).
#[must_use]
pub fn clear(context: &Context, car: &Car, trigger: Trigger, reason: Option<String>) -> Decision {
    let mut decision = Decision::default();
    let what = match (trigger, context.policy.workshop) {
        (Trigger::Workshop, what) => what,
        _ => Workshop::Delete,
    };
    let detail = format!("{} {}", car.eid(), trigger.as_str());
    let audit = context.audit_because("operator", "vehicle cleared", detail, reason);
    decision.changes.push(audit);
    if what == Workshop::Keep {
        return decision;
    }
    car.log_out(context, &mut decision, trigger.as_str());
    for profile in car.on_card().filter(|p| !car.deleting(p)) {
        if what == Workshop::Delete {
            decision.order(delete_order(context, profile, trigger.as_str()));
        } else {
            let kind = OrderKind::Disable {
                iccid: profile.iccid.clone(),
            };
            let order = context.order(car.eid(), kind, trigger.as_str());
            decision.order(order.of(profile.federation));
        }
    }
    if what == Workshop::Delete {
        car.tell_owners(context, &mut decision, trigger.as_str());
    }
    // Who rented it yesterday asks for no code today.
    decision.changes.push(Change::ForgetLogins(car.eid()));
    decision
}

/// The car can't be reached any more: its unit was exchanged (R-A.4-6), or it is retired. Its orders
/// are closed with the reason, its profiles are lost, its requests fail; the MSPs hear of it where that
/// is the policy.
#[must_use]
pub fn gone(context: &Context, car: &Car, by: Option<Vehicle>, reason: &str) -> Decision {
    let mut decision = Decision::default();
    let (event, why) = match &by {
        Some(new) => (
            "vehicle exchanged",
            format!("unit replaced by {}: {reason}", new.eid),
        ),
        None => ("vehicle retired", format!("vehicle retired: {reason}")),
    };
    let detail = match &by {
        Some(new) => format!("{} by {}", car.eid(), new.eid),
        None => car.eid().to_string(),
    };
    let audit = context.audit_because("operator", event, detail, Some(reason.to_owned()));
    decision.changes.push(audit);
    let replaced_by = by.as_ref().map(|v| v.eid);
    let retired = Change::RetireVehicle(car.eid(), context.now, why.clone(), replaced_by);
    decision.changes.push(retired);
    if let Some(new) = by {
        decision.changes.push(Change::AddVehicle(new));
    }
    for order in car.orders.iter().filter(|o| o.state == OrderState::Open) {
        decision.changes.extend(close(context, order, &why));
    }
    for request in &car.requests {
        let failed = CodeRequest {
            state: RequestState::Failed,
            code: None,
            error_code: Some(ErrorCode::ActivationCodeOther.number()),
            error: Some(why.clone()),
            changed_at: context.now,
            ..request.clone()
        };
        decision.changes.push(Change::PutRequest(failed));
        let dropped = crate::model::CallState::Dropped;
        let call = Change::CloseCall(request.id, dropped, context.now);
        decision.changes.push(call);
    }
    car.tell_owners(context, &mut decision, &why);
    for profile in car.on_card() {
        decision.changes.push(Change::PutProfile(Profile {
            status: ProfileStatus::Lost,
            ..profile.clone()
        }));
        if let Some(owner) = car.owner(profile)
            && context.policy.report_lost_units
            && (car.wanted.contains(&owner.id) || owner.ended_at.is_some())
        {
            let call = status::told(context, owner, profile, CsimStatus::Deleted);
            decision.changes.push(Change::AddCall(call));
        }
    }
    decision.changes.push(Change::ForgetLogins(car.eid()));
    decision
}

/// Closes an order without a result (R-4.3.1-18).
#[must_use]
pub fn close(context: &Context, order: &Order, why: &str) -> [Change; 2] {
    [
        Change::CloseOrder(order.id, OrderState::Closed, None, context.now),
        Change::Happened(Happening {
            work: order.id,
            at: context.now,
            event: "why".into(),
            detail: why.to_owned(),
        }),
    ]
}

/// The card is full and a user wants a profile: another user's that was not used for longest goes, never
/// an enabled one (R-A.4-3). True if place is being made.
#[must_use]
pub fn make_space(context: &Context, car: &Car, wanting: Id) -> (Decision, bool) {
    let mut decision = Decision::default();
    if car.on_card().any(|p| car.deleting(p)) {
        return (decision, true); // Something goes already; it may suffice.
    }
    if !context.policy.make_space {
        return (decision, false);
    }
    let may_go = |p: &&Profile| {
        p.federation != wanting
            && matches!(p.status, ProfileStatus::Installed | ProfileStatus::Disabled)
    };
    let Some(victim) = car.on_card().filter(may_go).min_by_key(|p| p.last_used) else {
        return (decision, false);
    };
    let detail = format!("{} in {} makes place", victim.iccid, car.eid());
    decision
        .changes
        .push(context.audit("cmp", "eUICC full", detail));
    decision.order(delete_order(context, victim, Trigger::CardFull.as_str()));
    if let Some(owner) = car.owner(victim) {
        let text = Trigger::CardFull.as_str().to_owned();
        let told = notice(context, owner.account, NoticeKind::CardFull, text);
        decision.changes.push(told);
    }
    (decision, true)
}
