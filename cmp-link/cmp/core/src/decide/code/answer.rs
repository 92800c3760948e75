//! What an MSP answers to a request for an activation code: at once, or by Send Activation Code (§7.7.1, §7.7.2).

use super::super::policy::SwapCandidate;
use super::super::question::{Question, query};
use super::super::sync::{self, Listing};
use super::super::{Context, Decision, deletion, order};
use super::message;
use crate::change::{Change, LinkChange};
use crate::model::{
    Call, CodeRequest, Doubt, Federation, MspVerdict, NoticeKind, Order, Profile, ProfileStatus,
    RequestState,
};
use aid_aid1::error_code::ErrorCode;
use aid_id::{ActivationCode, Eid, Iccid, Secret};
use aid_wire::OrderKind;
use uuid::Uuid;

/// What the MSP says about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// An activation code.
    Code {
        /// The code.
        code: ActivationCode,
        /// The profile, where the MSP said so.
        iccid: Option<Iccid>,
        /// The profile that it took for it.
        swapped: Option<Iccid>,
    },
    /// 201.
    Later,
    /// There is none.
    Failed {
        /// Code of §5.5, or 0.
        code: u16,
        /// The reason, for a person.
        reason: String,
    },
}

/// What the store says beside an answer of the MSP.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known<'a> {
    /// The profiles of the federation.
    pub profiles: &'a [Profile],
    /// The open orders of the car that asked.
    pub orders: &'a [Order],
    /// The new ICCID is on a card for somebody else.
    pub foreign: bool,
}

impl Known<'_> {
    /// Whether the new profile can't be the one of this car: another subscription's, or the same one's in another car,
    /// which is deleted there first.
    #[must_use]
    pub fn is_taken(&self, iccid: &Iccid, eid: Eid) -> bool {
        let elsewhere =
            |p: &Profile| p.iccid == *iccid && p.eid != eid && p.status.may_be_on_card();
        self.foreign || self.profiles.iter().any(elsewhere)
    }
}

/// The MSP said that it does not know the token: the link is doubtful until a synchronisation settles it, its user sees that,
/// and the MSP is asked once. `doubt` is there where that was done already.
#[must_use]
pub fn doubted(
    context: &Context,
    federation: &Federation,
    doubt: Option<Doubt>,
    code: u16,
) -> Decision {
    let mut decision = Decision::default();
    let unknown = [ErrorCode::TokenNotFound, ErrorCode::TokenInvalidated];
    let unknown = unknown.iter().any(|c| c.number() == code);
    if !unknown || doubt.is_some() || federation.ended_at.is_some() {
        return decision;
    }
    let doubt = Doubt {
        federation: federation.id,
        since: context.now,
        code,
    };
    let detail = format!("federation {} code {code}", Uuid::from_bytes(federation.id));
    let (account, msp) = (federation.account, federation.msp.clone());
    decision.changes = vec![
        Change::Link(LinkChange::Doubt(doubt)),
        context.audit(msp.clone(), "link doubtful", detail),
        deletion::notice(context, account, NoticeKind::Doubtful, msp),
        Change::AddCall(query(context, federation, &Question::All)),
    ];
    decision
}

/// Takes the MSP's answer.
#[must_use]
pub fn answered(
    context: &Context,
    request: &CodeRequest,
    federation: &Federation,
    known: Known<'_>,
    answer: Answer,
) -> Decision {
    let profiles = known.profiles;
    let mut decision = Decision::default();
    if !request.state.is_open() {
        return decision; // The code overtook the 201, or the request ended meanwhile.
    }
    let mut request = CodeRequest {
        changed_at: context.now,
        ..request.clone()
    };
    let answer = match answer {
        // R-4.4.1-13: nothing for a token that was withdrawn meanwhile.
        Answer::Code { .. } if federation.ended_at.is_some() => Answer::Failed {
            code: ErrorCode::TokenInvalidated.number(),
            reason: "the subscription was unlinked meanwhile".into(),
        },
        Answer::Code {
            iccid: Some(iccid), ..
        } if known.is_taken(&iccid, request.eid) => Answer::Failed {
            code: ErrorCode::ActivationCodeOther.number(),
            reason: "the MSP named a profile that belongs to another subscription or vehicle"
                .into(),
        },
        other => other,
    };
    match answer {
        Answer::Later => {
            if request.state == RequestState::Accepted {
                return decision;
            }
            request.state = RequestState::Accepted;
        }
        Answer::Failed { code, reason } => {
            request.state = RequestState::Failed;
            request.error_code = Some(code);
            request.error = Some(reason);
        }
        Answer::Code {
            code,
            iccid,
            swapped,
        } => {
            request.state = RequestState::Answered;
            request.code = Some(Secret::new(code.to_string()));
            request.iccid.clone_from(&iccid);
            request.swapped.clone_from(&swapped);
            if let Some(swapped) = &swapped {
                swap(context, &mut decision, profiles, swapped, iccid.as_ref());
                other_than_asked(context, &mut decision, &request, federation, profiles);
            }
            if let Some(iccid) = iccid {
                // What was ordered about an installation that is gone does not concern this one.
                let before = profiles.iter().find(|p| p.iccid == iccid);
                if before.is_none_or(|p| !p.status.may_be_on_card()) {
                    let overtaken = order::overtaken(context, known.orders, &iccid, context.now);
                    decision.changes.extend(overtaken);
                }
                let change = match before {
                    Some(_) => Change::PutProfile,
                    None => Change::AddProfile,
                };
                decision.changes.push(change(Profile {
                    iccid,
                    federation: federation.id,
                    eid: request.eid,
                    status: ProfileStatus::Prepared,
                    verdict: MspVerdict::Valid,
                    last_used: context.now,
                    created_at: context.now,
                }));
            }
        }
    }
    decision.down.insert(0, message(&request, context.fresh));
    decision.changes.push(Change::PutRequest(request));
    decision
}

/// The MSP took a profile away: its car deletes it (R-4.3.1-16).
fn swap(
    context: &Context,
    decision: &mut Decision,
    profiles: &[Profile],
    swapped: &Iccid,
    new: Option<&Iccid>,
) {
    let known = profiles.iter().find(|p| p.iccid == *swapped);
    let Some(profile) = known.filter(|_| new != Some(swapped)) else {
        // Logged for support; the code is good all the same (R-4.3.1-16).
        let detail = format!("swappedIccid {swapped} is not an old profile of this subscription");
        let change = context.audit("cmp", "swap refused", detail);
        return decision.changes.push(change);
    };
    decision.changes.push(Change::PutProfile(Profile {
        verdict: MspVerdict::Swapped,
        ..profile.clone()
    }));
    if profile.status.may_be_on_card() {
        let kind = OrderKind::Delete {
            iccid: swapped.clone(),
        };
        let order = context.order(profile.eid, kind, "swapped by the MSP");
        decision.order(order.of(profile.federation));
    }
}

/// The MSP took another profile than the candidate: what becomes of the candidate is lost in the text
/// of §4.3.1, so it is a choice (R-4.3.1-17).
fn other_than_asked(
    context: &Context,
    decision: &mut Decision,
    request: &CodeRequest,
    federation: &Federation,
    profiles: &[Profile],
) {
    let Some(candidate) = request.replace_iccid.clone() else {
        return;
    };
    if request.swapped.as_ref() == Some(&candidate) {
        return;
    }
    let profile = profiles.iter().find(|p| p.iccid == candidate);
    match context.policy.swap_candidate {
        SwapCandidate::Keep => {}
        SwapCandidate::Ask => {
            let call = query(context, federation, &Question::Candidate(candidate));
            decision.changes.push(Change::AddCall(Call {
                correlation: request.correlation,
                ..call
            }));
        }
        SwapCandidate::Delete => {
            let gone = Listing::NoSuchProfile;
            decision.merge(sync::candidate(context, federation, profile, &gone));
        }
    }
}
