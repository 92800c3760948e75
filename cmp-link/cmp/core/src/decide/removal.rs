//! What is personal goes when it is of no more use: ended federations once their last profile is deleted
//! and reported, and users who want to be forgotten (R-4.4.1-14, R-4.4.2-4, R-A.3-4).

use super::policy::DAY_MS;
use super::{Context, Decision};
use crate::change::Change;
use crate::model::{Account, Federation, Profile};
use aid_id::Eid;
use aid_wire::OrderKind;
use uuid::Uuid;

/// What is still to be done for a federation.
#[derive(Debug, Clone)]
pub struct Rest {
    /// The federation.
    pub federation: Federation,
    /// Its profiles.
    pub profiles: Vec<Profile>,
    /// Orders without a result.
    pub open_orders: usize,
    /// Whether calls to the MSP are due or were given up.
    pub calls: bool,
}

/// Why a federation stays, or nothing if it can go.
#[must_use]
pub fn why_kept(context: &Context, rest: &Rest) -> Option<&'static str> {
    let Some(ended_at) = rest.federation.ended_at else {
        return Some("it has not ended");
    };
    if rest.profiles.iter().any(|p| p.status.may_be_on_card()) {
        return Some("a car may still have a profile of it");
    }
    if rest.open_orders > 0 {
        return Some("an order for it has no result");
    }
    if rest.calls {
        return Some("its MSP was not told everything");
    }
    let keep = u64::from(context.policy.keep_days).saturating_mul(DAY_MS);
    (context.now < ended_at.saturating_add(keep)).then_some("it ended not long enough ago")
}

/// Removes an ended federation; the audit trail keeps its reference, which says nothing about a person.
#[must_use]
pub fn purge(context: &Context, federation: &Federation) -> Decision {
    let detail = format!("federation {}", Uuid::from_bytes(federation.id));
    Decision {
        changes: vec![
            context.audit("cmp", "purged", detail),
            Change::PurgeFederation(federation.id),
        ],
        ..Decision::default()
    }
}

/// How the name of an erased user begins, until their last federation is purged. No other user has such a name.
pub const ERASED: &str = "erased/";

/// Whether the user was erased: the name is the mark with the account's own id, and the password is none.
#[must_use]
pub fn is_erased(account: &Account) -> bool {
    let id = Uuid::from_bytes(account.id.0).to_string();
    account.name.strip_prefix(ERASED) == Some(id.as_str()) && account.password.expose().is_empty()
}

/// Forgets a user: name, password and PIN at once, the cars forget the user. The federations are
/// withdrawn beside this; the reference stays until they are purged.
#[must_use]
pub fn erase(
    context: &Context,
    account: &Account,
    cars: &[Eid],
    reason: Option<String>,
) -> Decision {
    let mut decision = Decision::default();
    let detail = format!("account {}", hex::encode(account.id.0));
    let audit = context.audit_because("operator", "user erased", detail, reason);
    decision.changes.push(audit);
    for eid in cars {
        let kind = OrderKind::Erase {
            account: account.id,
        };
        decision.order(context.order(*eid, kind, "the account was erased"));
    }
    decision.changes.push(context.revoke_verifiers(account.id));
    decision.changes.push(Change::EraseAccount(account.id));
    decision
}
