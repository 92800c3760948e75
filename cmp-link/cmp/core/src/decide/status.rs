//! Status reports of cars: stored once, and passed on to the MSP in order (§4.3 step 11, §7.8,
//! invariant 3). The report, the profile's state and the call to the MSP are one transaction.
//! Called for `Up::Status`.

use super::{Context, Decision, Outgoing, order};
use crate::change::{Change, LinkChange};
use crate::model::{
    Call, CallKind, CodeRequest, Federation, MspVerdict, Order, Profile, ProfileStatus, Report,
    RequestState,
};
use aid_aid1::body::{Body as _, CsimStatus, SendCsimStatus};
use aid_id::{Iccid, Id};
use aid_wire::{Down, OrderKind, Status};

/// What the store says about a report.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// This very report was stored before.
    pub known: bool,
    /// A later report of this profile was stored before: what this one says is not so any more.
    pub overtaken: bool,
    /// The profile of that ICCID in this car.
    pub profile: Option<Profile>,
    /// The request that brought it, or the newest answered one of this car and user.
    pub request: Option<CodeRequest>,
    /// Whose it is.
    pub federation: Option<Federation>,
    /// Whether the MSP wants to hear of this status (R-7.8-3).
    pub wanted: bool,
    /// The MSP hears of this status once per profile (R-7.10-7).
    pub once: bool,
    /// The transaction of the order that the car obeyed.
    pub ordered: Option<Id>,
    /// The car's open orders.
    pub orders: Vec<Order>,
}

/// The word of §7.8.
#[must_use]
pub fn word(status: Status) -> CsimStatus {
    match status {
        Status::Installed => CsimStatus::Installed,
        Status::Enabled => CsimStatus::Enabled,
        Status::Disabled => CsimStatus::Disabled,
        Status::Deleted => CsimStatus::Deleted,
        Status::InstallationFailed => CsimStatus::InstallationFailed,
    }
}

/// Takes a report.
#[must_use]
pub fn report(context: &Context, view: View, report: &Report) -> Decision {
    let mut decision = Decision::default();
    decision.down.push(Outgoing {
        eid: report.eid,
        correlation: None,
        message_id: (context.fresh)(),
        body: Down::StatusAck {
            report_seq: report.seq,
        },
    });
    if view.known {
        return decision;
    }
    decision.changes.push(Change::AddReport(report.clone()));
    let request = view.request;
    // A failed installation may not know its ICCID: then it is the request's (R-7.8-6).
    let iccid = report
        .iccid
        .clone()
        .or_else(|| request.as_ref().and_then(|r| r.iccid.clone()));
    let ends = matches!(
        report.status,
        Status::Installed | Status::InstallationFailed
    );
    if let Some(request) = &request
        && ends
        && request.state == RequestState::Answered
    {
        decision.changes.push(Change::PutRequest(CodeRequest {
            state: RequestState::Used,
            delivered_at: request.delivered_at.or(Some(context.now)),
            ..request.clone()
        }));
    }
    let (Some(iccid), Some(federation)) = (iccid, view.federation) else {
        let detail = format!(
            "{} report {} names no known profile",
            report.eid, report.seq
        );
        decision
            .changes
            .push(context.audit("cmp", "report without owner", detail));
        return decision;
    };
    let before = view.profile.unwrap_or_else(|| Profile {
        iccid: iccid.clone(),
        federation: federation.id,
        eid: report.eid,
        status: ProfileStatus::Prepared,
        verdict: MspVerdict::Valid,
        last_used: context.now,
        created_at: context.now,
    });
    let used = matches!(report.status, Status::Installed | Status::Enabled);
    let profile = Profile {
        eid: report.eid,
        status: report.status.into(),
        last_used: if used { context.now } else { before.last_used },
        ..before
    };
    if report.status == Status::Installed {
        let overtaken = order::overtaken(context, &view.orders, &iccid, profile.created_at);
        decision.changes.extend(overtaken);
    }
    // R-4.4.1-13: installed after the subscription ended.
    if report.status == Status::Installed
        && (federation.ended_at.is_some() || profile.verdict.is_final())
    {
        let kind = OrderKind::Delete {
            iccid: iccid.clone(),
        };
        let order = context.order(report.eid, kind, "installed after the subscription ended");
        decision.order(order.of(federation.id));
    }
    // Its successor said what is so, here and at the MSP: a report that comes late, such as after a failed write, must not
    // undo that.
    if view.overtaken {
        return decision;
    }
    decision.changes.push(Change::PutProfile(profile));
    // After the end each deletion is told, whatever else the MSP wants to hear of (R-4.4.1-12).
    let due = report.status == Status::Deleted && federation.ended_at.is_some();
    if view.wanted || due {
        if view.once {
            let status = word(report.status);
            let told = LinkChange::Told(federation.id, iccid.clone(), status);
            decision.changes.push(Change::Link(told));
        }
        let asked = request.map(|r| r.correlation);
        let correlation = view.ordered.or(asked).unwrap_or_else(context.fresh);
        let call = call(context, &federation, report, iccid, correlation);
        decision.changes.push(Change::AddCall(call));
    }
    decision
}

/// The call that tells the MSP of a profile what no car reported.
#[must_use]
pub fn told(
    context: &Context,
    federation: &Federation,
    profile: &Profile,
    status: CsimStatus,
) -> Call {
    let lane = lane(&profile.iccid);
    let body = SendCsimStatus {
        iccid: profile.iccid.clone(),
        eid: profile.eid.into(),
        status,
    };
    Call {
        body: body.to_json().to_string(),
        ..context.call(federation, CallKind::Status, lane)
    }
}

/// Statuses of one profile keep their order (R-7.8-2).
#[must_use]
pub fn lane(iccid: &Iccid) -> String {
    format!("status/{iccid}")
}

/// The call that passes a report on.
fn call(
    context: &Context,
    federation: &Federation,
    report: &Report,
    iccid: Iccid,
    correlation: Id,
) -> Call {
    let lane = lane(&iccid);
    let body = SendCsimStatus {
        iccid,
        eid: report.eid.into(),
        status: word(report.status),
    };
    Call {
        correlation,
        body: body.to_json().to_string(),
        ..context.call(federation, CallKind::Status, lane)
    }
}
