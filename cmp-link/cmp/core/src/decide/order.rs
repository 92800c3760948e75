//! Orders to cars and their results (§4.4, §4.5); kept and sent again until the result came (R-4.3.1-18).
//! Called for `Up::OrderResult` and whenever a car connects.

use super::{Context, Decision, Outgoing};
use crate::change::Change;
use crate::model::{Order, OrderState, Profile, ProfileStatus};
use aid_id::{Eid, Id};
use aid_wire::{Down, OrderKind, OrderOutcome};

/// The message of an order.
#[must_use]
pub fn message(order: &Order) -> Outgoing {
    Outgoing {
        eid: order.eid,
        correlation: Some(order.correlation),
        message_id: order.id,
        body: Down::Order {
            order_id: order.id,
            kind: order.kind.clone(),
        },
    }
}

/// Takes a result. `profile` is the one that a delete order names. An order of another car, or one
/// that nobody gave, changes nothing; the car gets its acknowledgement all the same and forgets it.
#[must_use]
pub fn result(
    context: &Context,
    order: Option<Order>,
    profile: Option<Profile>,
    eid: Eid,
    order_id: Id,
    outcome: OrderOutcome,
) -> Decision {
    let mut decision = Decision::default();
    decision.down.push(Outgoing {
        eid,
        correlation: None,
        message_id: (context.fresh)(),
        body: Down::Ack {
            message_id: order_id,
        },
    });
    let Some(order) = order.filter(|o| o.eid == eid && o.state == OrderState::Open) else {
        return decision;
    };
    let code = match outcome {
        OrderOutcome::Failed { code } => Some(code),
        _ => None,
    };
    let state = OrderState::from(outcome);
    decision
        .changes
        .push(Change::CloseOrder(order.id, state, code, context.now));
    // The car looked: what it does not have is gone.
    if let (OrderKind::Delete { .. }, OrderOutcome::NotFound, Some(profile)) =
        (&order.kind, outcome, profile)
        && profile.status.may_be_on_card()
    {
        decision.changes.push(Change::PutProfile(Profile {
            status: ProfileStatus::Deleted,
            ..profile
        }));
    }
    decision
}
