//! A user ends a session in a car from elsewhere, such as one that they approved by mistake (RFC 8628 §5.4).

use super::{Context, Decision};
use crate::change::{Change, FleetChange};
use aid_id::{AccountRef, Eid};
use aid_wire::OrderKind;

/// Ends the session of an account in a car: at once as far as the CMP is concerned, in the car as soon as it can be
/// reached. `ordered` says that the car has an open order for it already.
#[must_use]
pub fn remote(context: &Context, eid: Eid, account: AccountRef, ordered: bool) -> Decision {
    let mut decision = Decision::default();
    let actor = format!("account {}", hex::encode(account.0));
    let audit = context.audit(actor, "car logged out", eid.to_string());
    let leave = Change::Fleet(FleetChange::Leave(eid, account));
    decision.changes.extend([leave, audit]);
    if !ordered {
        let kind = OrderKind::Logout { account };
        decision.order(context.order(eid, kind, "logged out by the user"));
    }
    decision
}
