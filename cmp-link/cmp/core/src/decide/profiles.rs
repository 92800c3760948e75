//! What the MSP says about single profiles: Send Profile Information (§4.7, §7.5).
//! All or nothing: one profile that is not the token's, and none is touched (R-7.5-2).
//! Called for the operation.

use super::{Context, Decision, deletion};
use crate::change::{Change, LinkChange};
use crate::model::{Federation, MspVerdict, NoticeKind, Profile};
use aid_aid1::body::{ProfileInformation, ProfileValidity, SendProfileInformation};
use aid_aid1::error_code::{ApiError, ErrorCode};
use aid_wire::OrderKind;

/// Takes Send Profile Information. `own` are the profiles of the token, `known` says of each listed
/// ICCID whether the CMP knows it from any token.
///
/// # Errors
/// Codes 60, 61, 62, 63; 64 where several are listed and none is the token's.
pub fn information(
    context: &Context,
    federation: &Federation,
    own: &[Profile],
    known: &[bool],
    body: SendProfileInformation,
) -> Result<Decision, ApiError> {
    if body.profiles.is_empty() {
        return Err(ErrorCode::BodyEmptyOrNull.into());
    }
    let foreign = |item: &ProfileInformation| own.iter().all(|p| p.iccid != item.iccid);
    if body.profiles.len() > 1 && body.profiles.iter().all(foreign) {
        return Err(ErrorCode::NoProfileProcessed.into());
    }
    let mut decision = Decision::default();
    // Each item is judged against what those before it left.
    let mut own = own.to_vec();
    for (i, item) in body.profiles.into_iter().enumerate() {
        let Some(profile) = own.iter_mut().find(|p| p.iccid == item.iccid) else {
            // A profile of another MSP is unknown to this one (invariant 10).
            let code = if known.get(i) == Some(&true) {
                ErrorCode::ProfileNotLinked
            } else {
                ErrorCode::ProfileNotFound
            };
            return Err(ApiError::naming(code, &[&item.iccid, &federation.token]));
        };
        let verdict = match item.status {
            ProfileValidity::Invalid => MspVerdict::Invalid,
            ProfileValidity::Valid => MspVerdict::Valid,
            ProfileValidity::Suspended => MspVerdict::Suspended,
        };
        if profile.verdict == MspVerdict::Invalid {
            if verdict == MspVerdict::Invalid {
                continue;
            }
            return Err(ApiError::naming(ErrorCode::ProfileInvalid, &[&item.iccid]));
        }
        let reason = item.reason;
        let detail = format!(
            "{} {} {}",
            profile.iccid,
            verdict.as_str(),
            reason.as_deref().unwrap_or_default()
        );
        let actor = federation.msp.clone();
        decision
            .changes
            .push(context.audit(actor, "profile information", detail));
        if profile.verdict == MspVerdict::Swapped {
            continue; // R-7.5-10: its deletion is ordered already.
        }
        let told = told(profile, verdict);
        if profile.verdict != verdict || reason.is_some() {
            decision.changes.push(Change::Link(LinkChange::Judge {
                federation: federation.id,
                iccid: profile.iccid.clone(),
                since: context.now,
                reason,
            }));
        }
        profile.verdict = verdict;
        decision.changes.push(Change::PutProfile(profile.clone()));
        if let Some(kind) = told {
            let told = deletion::notice(context, federation.account, kind, federation.msp.clone());
            decision.changes.push(told);
        }
        // R-7.5-9: with the end of the link its deletion was ordered already.
        let ordered = federation.ended_at.is_some();
        if verdict == MspVerdict::Invalid && profile.status.may_be_on_card() && !ordered {
            let kind = OrderKind::Delete {
                iccid: profile.iccid.clone(),
            };
            let order = context.order(profile.eid, kind, "invalid at the MSP");
            decision.order(order.of(federation.id));
        }
    }
    Ok(decision)
}

/// What the user is told of a new verdict (R-4.7-4).
fn told(profile: &Profile, verdict: MspVerdict) -> Option<NoticeKind> {
    match verdict {
        _ if profile.verdict == verdict => None,
        MspVerdict::Suspended => Some(NoticeKind::Suspended),
        MspVerdict::Invalid => Some(NoticeKind::Invalid),
        MspVerdict::Valid if profile.verdict == MspVerdict::Suspended => Some(NoticeKind::Resumed),
        _ => None,
    }
}
