//! The end of a federation, by the user at the CMP or by the MSP (§4.4.1, §4.4.2, §7.4, §7.9).
//! The token yields no code any more but stays, because reports still need it (R-4.4.1-6).

use super::{Context, Decision, code, deletion};
use crate::change::Change;
use crate::model::{
    CallKind, CallState, CodeRequest, Federation, NoticeKind, Profile, RequestState,
};
use aid_aid1::error_code::ErrorCode;
use aid_wire::OrderKind;
use uuid::Uuid;

/// Who ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The MSP; it knows already.
    Msp,
    /// The user at the CMP; the MSP is told.
    User,
    /// An operator, for a user who can't; the MSP is told.
    Operator,
}

/// Ends a federation: no code, delete orders, and a call to the MSP where it does not know. A
/// repetition changes nothing (R-7.4-6).
#[must_use]
pub fn withdraw(
    context: &Context,
    federation: &Federation,
    profiles: &[Profile],
    requests: &[CodeRequest],
    by: By,
    reason: Option<String>,
) -> Decision {
    let mut decision = Decision::default();
    if federation.ended_at.is_some() {
        return decision;
    }
    let actor = match by {
        By::Msp => federation.msp.as_str(),
        By::User => "user",
        By::Operator => "operator",
    };
    let detail = format!("federation {}", Uuid::from_bytes(federation.id));
    let audit = context.audit_because(actor, "withdrawn", detail, reason.clone());
    decision.changes.push(audit);
    if by == By::Msp {
        // R-4.4.2-7: nobody else tells the user.
        let (kind, msp) = (NoticeKind::UnlinkedByMsp, federation.msp.clone());
        let told = deletion::notice(context, federation.account, kind, msp);
        decision.changes.push(told);
    }
    decision.changes.push(Change::UpdateFederation(Federation {
        ended_at: Some(context.now),
        ended_reason: reason,
        ..federation.clone()
    }));
    decision
        .changes
        .push(context.revoke_verifiers(federation.account));
    for request in requests {
        // A code that the car has already is recalled, too: the car tries it until it is used or dead.
        if !(request.state.is_open() || request.state == RequestState::Answered) {
            continue;
        }
        let closed = CodeRequest {
            state: RequestState::Failed,
            code: None,
            error_code: Some(ErrorCode::TokenInvalidated.number()),
            error: Some("the subscription was unlinked".into()),
            delivered_at: None,
            changed_at: context.now,
            ..request.clone()
        };
        decision.down.push(code::message(&closed, context.fresh));
        let dropped = Change::CloseCall(request.id, CallState::Dropped, context.now);
        decision.changes.push(dropped);
        decision.changes.push(Change::PutRequest(closed));
    }
    let alive = |p: &&Profile| {
        // The deletion of the others was ordered when the MSP gave them up.
        p.status.may_be_on_card() && !p.verdict.is_final()
    };
    for profile in profiles.iter().filter(alive) {
        let kind = OrderKind::Delete {
            iccid: profile.iccid.clone(),
        };
        let order = context.order(profile.eid, kind, "the subscription was unlinked");
        decision.order(order.of(federation.id));
    }
    if by != By::Msp {
        let lane = format!("invalidate/{}", federation.token);
        let call = context.call(federation, CallKind::Invalidate, lane);
        decision.changes.push(Change::AddCall(call));
    }
    decision
}
