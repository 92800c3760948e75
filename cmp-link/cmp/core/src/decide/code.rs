//! Activation codes: a car asks, the MSP answers at once or later, the car gets it (§4.3 steps 2 to 6,
//! §4.3.1, §7.7). The request is stored before it is sent, so a code that overtakes the 201 finds it.

mod answer;

use super::{Context, Decision, Outgoing};
use crate::change::Change;
use crate::model::{
    Call, CallKind, CodeRequest, Doubt, Federation, Hold, MspVerdict, Profile, ProfileStatus,
    RequestState,
};
use aid_aid1::body::{Body as _, ProfileType, RequestActivationCode};
use aid_aid1::error_code::ErrorCode;
use aid_id::{AccountRef, Eid, Iccid, Id};
use aid_wire::{CodeOutcome, Down};
use uuid::Uuid;

pub use answer::{Answer, Known, answered, doubted};

/// How long a code is waited for, ms (R-7.7.2-1 leaves it open).
pub const WAIT_MS: u64 = 24 * 3600 * 1000;
/// How long a code that the car lost is given again, ms.
const REUSE_MS: u64 = 7 * 24 * 3600 * 1000;

/// Requests of one car for one subscription in `RATE_MS`.
pub const MAX_REQUESTS: usize = 10;
/// Time in which requests are counted, ms.
pub const RATE_MS: u64 = 3600 * 1000;

/// What the store says when a car asks.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// The request, if this is a repetition.
    pub existing: Option<CodeRequest>,
    /// Whether the federation of that one has ended.
    pub existing_ended: bool,
    /// Whether the user is logged in to this car now.
    pub logged_in: bool,
    /// The active federation that the code is for.
    pub federation: Option<Federation>,
    /// Its requests, newest first.
    pub requests: Vec<CodeRequest>,
    /// Its profiles, least recently used first.
    pub profiles: Vec<Profile>,
    /// The user deleted their profile here and did not ask for another (R-4.5-10).
    pub held: Option<Hold>,
    /// The user asks for another now.
    pub again: bool,
    /// Profiles whose deletion is ordered.
    pub deleting: Vec<Iccid>,
    /// Where no federation is active: the one that ended last.
    pub ended: Option<Federation>,
    /// The MSP did not know the token of the federation when it was asked last.
    pub doubt: Option<Doubt>,
    /// It was agreed with the MSP that `imei` is left out (§7.7).
    pub without_imei: bool,
}

/// The answer that the car gets for a request as it stands.
#[must_use]
pub fn message(request: &CodeRequest, fresh: fn() -> Id) -> Outgoing {
    let outcome = match request.state {
        RequestState::New | RequestState::Accepted => CodeOutcome::Pending,
        RequestState::Answered | RequestState::Used => match &request.code {
            Some(code) => CodeOutcome::Code {
                code: code.clone(),
                iccid: request.iccid.clone(),
            },
            None => failed(ErrorCode::ActivationCodeOther),
        },
        RequestState::Failed => CodeOutcome::Failed {
            code: request.error_code.unwrap_or_default(),
            reason: request.error.clone().unwrap_or_default(),
        },
        RequestState::Expired => failed(ErrorCode::RequestExpired),
    };
    // A result carries the car's own id, so that its acknowledgement can't be one of "later".
    let message_id = if request.state.is_open() {
        fresh()
    } else {
        request.car_request
    };
    Outgoing {
        eid: request.eid,
        correlation: Some(request.correlation),
        message_id,
        body: Down::ActivationCode {
            request_id: request.car_request,
            account: request.account,
            outcome,
        },
    }
}

/// For whom a message has an activation code. Only who is logged in to the car gets one (R-2-10); until then the request
/// stays undelivered.
#[must_use]
pub fn holder(message: &Outgoing) -> Option<AccountRef> {
    match &message.body {
        Down::ActivationCode {
            account,
            outcome: CodeOutcome::Code { .. },
            ..
        } => Some(*account),
        _ => None,
    }
}

/// Says "later" instead of a code whose user is not logged in: the car keeps the request.
fn withhold(context: &Context, message: &mut Outgoing) {
    if holder(message).is_none() {
        return;
    }
    if let Down::ActivationCode { outcome, .. } = &mut message.body {
        *outcome = CodeOutcome::Pending;
        // As with every "later": its acknowledgement is not that of the code.
        message.message_id = (context.fresh)();
    }
}

fn failed(code: ErrorCode) -> CodeOutcome {
    CodeOutcome::Failed {
        code: code.number(),
        reason: code.description().to_owned(),
    }
}

/// A car asks for a code. A repetition is answered as the request stands, to its own user; its code only while that one
/// is logged in.
#[must_use]
pub fn request(
    context: &Context,
    view: View,
    eid: Eid,
    car_request: Id,
    account: AccountRef,
) -> Decision {
    let mut decision = Decision::default();
    if let Some(existing) = view.existing.as_ref().filter(|e| e.account == account) {
        let mut existing = existing.clone();
        if view.existing_ended && existing.code.is_some() {
            // Invariant 5: the token yields no code any more, not even an old one.
            existing.state = RequestState::Failed;
            existing.error_code = Some(ErrorCode::TokenInvalidated.number());
            existing.error = Some("the subscription was unlinked".into());
        }
        let mut answer = message(&existing, context.fresh);
        if !view.logged_in {
            withhold(context, &mut answer);
        }
        decision.down.push(answer);
        return decision;
    }
    // The request of another user keeps its id: the car's word that it has this refusal is not one about that.
    let message_id = match &view.existing {
        Some(_) => (context.fresh)(),
        None => car_request,
    };
    let mut refuse = |code: ErrorCode, reason: &str| {
        decision.down.push(Outgoing {
            eid,
            correlation: None,
            message_id,
            body: Down::ActivationCode {
                request_id: car_request,
                account,
                outcome: CodeOutcome::Failed {
                    code: code.number(),
                    reason: reason.to_owned(),
                },
            },
        });
    };
    if view.existing.is_some() {
        refuse(
            ErrorCode::Unauthorized,
            "the request is that of another user",
        );
        return decision;
    }
    if !view.logged_in {
        refuse(
            ErrorCode::Unauthorized,
            "the user is not logged in to this vehicle",
        );
        return decision;
    }
    let Some(federation) = view.federation else {
        // R-4.4.2-7: the HMI says why there is no service any more.
        match view.ended {
            Some(ended) => {
                let text = format!(
                    "the subscription of {} was unlinked; link one in the portal",
                    ended.msp
                );
                refuse(ErrorCode::TokenInvalidated, &text);
            }
            None => refuse(
                ErrorCode::TokenNotFound,
                "no subscription is linked to this account; link one in the portal",
            ),
        }
        return decision;
    };
    if let Some(hold) = view.held {
        if !view.again {
            // The HMI asks the user; a yes comes as `RequestAgain`.
            decision.down.push(Outgoing {
                eid,
                correlation: None,
                message_id: car_request,
                body: Down::ActivationCode {
                    request_id: car_request,
                    account,
                    outcome: CodeOutcome::Ask,
                },
            });
            return decision;
        }
        let allowed = Change::ClearHold(hold.federation, hold.eid);
        decision.changes.push(allowed);
    }
    // R-4.3-4: one request per user and car. A car that lost its journal asks under a new id.
    let latest = view.requests.iter().find(|r| r.eid == eid);
    if let Some(latest) = latest
        && (latest.state.is_open() || reusable(latest, &view.profiles, context.now))
    {
        let request = CodeRequest {
            car_request,
            delivered_at: None,
            changed_at: context.now,
            ..latest.clone()
        };
        decision.down.push(message(&request, context.fresh));
        decision.changes.push(Change::PutRequest(request));
        return decision;
    }
    if let Some(doubt) = view.doubt {
        let code = ErrorCode::from_number(doubt.code).unwrap_or(ErrorCode::TokenInvalidated);
        let text = format!(
            "{} does not recognise the link any more; it is being asked. If this lasts, link the subscription again in the portal",
            federation.msp
        );
        refuse(code, &text);
        return decision;
    }
    // A car that goes wild does not empty the MSP's pool.
    let recent = |r: &&CodeRequest| r.eid == eid && r.created_at.abs_diff(context.now) < RATE_MS;
    if view.requests.iter().filter(recent).count() >= MAX_REQUESTS {
        refuse(
            ErrorCode::ActivationCodeOther,
            "too many requests of this car; try again later",
        );
        return decision;
    }
    let request = CodeRequest {
        id: (context.fresh)(),
        car_request,
        eid,
        account,
        federation: federation.id,
        correlation: (context.fresh)(),
        replace_iccid: candidate(&view.profiles, &view.deleting, eid),
        state: RequestState::New,
        code: None,
        iccid: None,
        swapped: None,
        error_code: None,
        error: None,
        created_at: context.now,
        expires_at: context.now.saturating_add(WAIT_MS),
        delivered_at: None,
        changed_at: context.now,
    };
    let body = RequestActivationCode {
        profile_type: ProfileType::Personal,
        device_type: "tcu".into(),
        eid,
        request_id: Uuid::from_bytes(request.id),
        replace_iccid: request.replace_iccid.clone(),
        imei: !view.without_imei,
    };
    let lane = format!("code/{}", Uuid::from_bytes(request.id));
    decision.changes.push(Change::AddCall(Call {
        id: request.id,
        correlation: request.correlation,
        body: body.to_json().to_string(),
        ..context.call(&federation, CallKind::Code, lane)
    }));
    decision.changes.push(Change::PutRequest(request));
    decision
}

/// Whether the code was given but never used: the profile behind it would be lost.
fn reusable(request: &CodeRequest, profiles: &[Profile], now: u64) -> bool {
    let alive = |iccid: &Iccid| {
        profiles
            .iter()
            .find(|p| p.iccid == *iccid)
            .is_some_and(|p| p.status == ProfileStatus::Prepared && p.verdict == MspVerdict::Valid)
    };
    request.state == RequestState::Answered
        && request.created_at.abs_diff(now) < REUSE_MS
        && request.iccid.as_ref().is_none_or(alive)
}

/// The least recently used profile, offered for a swap from the second car on (R-4.3.1-5, R-4.3.1-6);
/// failed ones too (R-4.3.1-21), those whose deletion is ordered before all others (R-4.3.1-22), one
/// that is enabled or that the MSP did not list only if there is no other. Never one of the car that asks (§7.7: a profile
/// of another vehicle).
fn candidate(profiles: &[Profile], deleting: &[Iccid], asking: Eid) -> Option<Iccid> {
    let rank = |p: &&Profile| {
        (
            !deleting.contains(&p.iccid),
            p.verdict == MspVerdict::Orphaned,
            p.status == ProfileStatus::Enabled,
            p.last_used,
        )
    };
    profiles
        .iter()
        .filter(|p| p.eid != asking)
        .filter(|p| p.status != ProfileStatus::Deleted && !p.verdict.is_final())
        .min_by_key(rank)
        .map(|p| p.iccid.clone())
}

/// The code did not come in time.
#[must_use]
pub fn expired(context: &Context, request: &CodeRequest) -> Decision {
    let mut decision = Decision::default();
    let request = CodeRequest {
        state: RequestState::Expired,
        changed_at: context.now,
        ..request.clone()
    };
    decision.down.push(message(&request, context.fresh));
    decision.changes.push(Change::PutRequest(request));
    decision
}

/// The car has the result in its journal.
#[must_use]
pub fn delivered(context: &Context, request: Option<CodeRequest>) -> Decision {
    let mut decision = Decision::default();
    if let Some(request) = request
        && !request.state.is_open()
        && request.delivered_at.is_none()
    {
        decision.changes.push(Change::PutRequest(CodeRequest {
            delivered_at: Some(context.now),
            ..request
        }));
    }
    decision
}
