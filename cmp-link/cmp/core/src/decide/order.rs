//! Orders to cars and their results (§4.4, §4.5); kept and sent again until the result came (R-4.3.1-18).
//! Called for `Up::OrderResult` and whenever a car connects.

use super::deletion::close;
use super::{Context, Decision, Outgoing};
use crate::change::Change;
use crate::model::{Order, OrderState, Profile, ProfileStatus};
use aid_id::{AccountRef, Eid, Iccid, Id};
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

/// Says in the message of an order whose profile it deletes: EID, account and ICCID go to the car (§4.4.1, step 8).
pub fn name_account(message: &mut Outgoing, account: AccountRef) {
    if let Down::Order { kind, .. } = &mut message.body
        && let OrderKind::Delete { iccid } = kind
    {
        *kind = OrderKind::DeleteOf {
            account,
            iccid: iccid.clone(),
        };
    }
}

/// Closes the open orders to delete this profile that were given before `since`, when the code of its present installation
/// came: they are about an earlier one. An order belongs to an installation, not to the number.
pub fn overtaken<'a>(
    context: &'a Context,
    orders: &'a [Order],
    iccid: &'a Iccid,
    since: u64,
) -> impl Iterator<Item = Change> + use<'a> {
    let earlier = move |o: &&Order| o.deletes(iccid) && o.created_at < since;
    let why = "the profile was given to the car again";
    orders
        .iter()
        .filter(earlier)
        .flat_map(move |order| close(context, order, why))
}

impl Decision {
    /// The decision without the orders to delete what another open order of the same link deletes already; `open` are the
    /// open orders of the cars that it gives orders to.
    #[must_use]
    pub fn without_repeated_deletions(mut self, open: &[Order]) -> Self {
        let closed = |id: Id| {
            let closes = |c: &Change| matches!(c, Change::CloseOrder(order, ..) if *order == id);
            self.changes.iter().any(closes)
        };
        let mut before: Vec<&Order> = open.iter().filter(|o| !closed(o.id)).collect();
        let mut repeated = Vec::new();
        let given = self.changes.iter().filter_map(|change| match change {
            Change::AddOrder(order) => Some(order),
            _ => None,
        });
        for order in given {
            let (OrderKind::Delete { iccid } | OrderKind::DeleteOf { iccid, .. }) = &order.kind
            else {
                continue;
            };
            let same = |o: &&Order| {
                o.eid == order.eid && o.federation == order.federation && o.deletes(iccid)
            };
            match order.federation.is_some() && before.iter().any(same) {
                true => repeated.push(order.id),
                false => before.push(order),
            }
        }
        self.changes
            .retain(|c| !matches!(c, Change::AddOrder(o) if repeated.contains(&o.id)));
        let of = |m: &Outgoing| matches!(&m.body, Down::Order { order_id, .. } if repeated.contains(order_id));
        self.down.retain(|message| !of(message));
        self
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
    // The car looked: what it does not have is gone. An order of another link, or about an earlier installation, says
    // nothing of this one.
    if let (
        OrderKind::Delete { .. } | OrderKind::DeleteOf { .. },
        OrderOutcome::NotFound,
        Some(profile),
    ) = (&order.kind, outcome, profile)
        && profile.status.may_be_on_card()
        && order.federation.is_none_or(|f| f == profile.federation)
        && order.created_at >= profile.created_at
    {
        decision.changes.push(Change::PutProfile(Profile {
            status: ProfileStatus::Deleted,
            ..profile
        }));
    }
    decision
}
