//! Renewal of a vehicle's certificate over AID2: the vehicle asks with a request that its new key has signed, the
//! operator's PKI issues. What was issued is stored before the vehicle hears of it, so that a repetition of the request
//! gets the same certificate. The binding before stays beside the new one until the vehicle has used the new one.

use super::{Context, Decision};
use crate::change::{CertificateChange, Change, FleetChange};
use crate::model::{Issued, Vehicle, VehicleCertificate};
use aid_id::Id;
use aid_wire::{CertificateOutcome, MAX_REQUEST};

/// Requests of a vehicle in a day; a repetition is none.
pub const A_DAY: u64 = 5;
/// A day, ms.
pub const DAY_MS: u64 = 24 * 3600 * 1000;
/// When a vehicle asks again that asks too often, seconds.
const OFTEN_S: u32 = 6 * 3600;
/// When a vehicle asks again where nobody issues certificates yet, seconds.
const NOBODY_S: u32 = 24 * 3600;

/// What a request is judged by.
#[derive(Debug, Clone)]
pub struct View {
    /// What is stored under the name of the request.
    pub existing: Option<VehicleCertificate>,
    /// How many requests of the vehicle were stored in the last [`DAY_MS`].
    pub lately: u64,
    /// What is wrong with the request itself: its signature, key or subject.
    pub judged: Result<(), String>,
    /// A PKI is configured.
    pub issues: bool,
}

/// What a vehicle hears now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// This.
    Answer(CertificateOutcome),
    /// The answer of the PKI, which is asked for it now.
    Issue,
}

/// Judges a request of a vehicle. The vehicle is locked.
#[must_use]
pub fn ask(
    context: &Context,
    vehicle: &Vehicle,
    view: View,
    (request_id, request): (Id, &[u8]),
    bootstrap: bool,
) -> (Decision, Asked) {
    let refused = |reason: String| Asked::Answer(CertificateOutcome::Refused { reason });
    let later = |seconds| Asked::Answer(CertificateOutcome::Later { seconds });
    let nothing = Decision::default();
    if request.len() > MAX_REQUEST {
        let reason = format!("a request has at most {MAX_REQUEST} bytes");
        return (nothing, refused(reason));
    }
    if let Some(existing) = view.existing {
        // The same name means the same request, or nobody could tell which of two keys was certified.
        return match existing.request == request {
            true => (nothing, Asked::Issue),
            false => {
                let reason = "another request has this name; draw a new request_id";
                (nothing, refused(reason.into()))
            }
        };
    }
    if let Err(reason) = view.judged {
        return (nothing, refused(reason));
    }
    if !view.issues {
        return (nothing, later(NOBODY_S));
    }
    if view.lately >= A_DAY {
        return (nothing, later(OFTEN_S));
    }
    let asked = VehicleCertificate {
        eid: vehicle.eid,
        request_id,
        request: request.to_vec(),
        asked_at: context.now,
        bootstrap,
        issued: None,
        used_at: None,
    };
    let change = CertificateChange::Ask(asked);
    let mut decision = Decision::default();
    decision.changes.push(certificate(change));
    (decision, Asked::Issue)
}

/// Stores what the PKI issued, and binds it beside what is bound. A vehicle of which any certificate of the gateway's CA is
/// accepted stays one. The vehicle is locked.
#[must_use]
pub fn issued(
    context: &Context,
    vehicle: &Vehicle,
    asked: &VehicleCertificate,
    issued: Issued,
) -> Decision {
    let mut decision = Decision::default();
    let (eid, fingerprint) = (vehicle.eid, issued.certificate.clone());
    let detail = format!(
        "{eid} certificate {fingerprint}{}",
        if asked.bootstrap {
            ", asked for with the bootstrap certificate"
        } else {
            ""
        }
    );
    decision.changes.push(certificate(CertificateChange::Issue(
        eid,
        asked.request_id,
        issued,
    )));
    if vehicle.certificate.is_some() {
        decision
            .changes
            .push(certificate(CertificateChange::Next(eid, fingerprint)));
    }
    let actor = format!("vehicle {eid}");
    decision
        .changes
        .push(context.audit(actor, "vehicle certificate issued", detail));
    decision
}

/// The changes when a vehicle shows a certificate with this SHA-256, hexadecimal. The one that was bound before is accepted
/// no more.
#[must_use]
pub fn shown(context: &Context, vehicle: &Vehicle, fingerprint: &str, begins: bool) -> Vec<Change> {
    let (eid, at) = (vehicle.eid, context.now);
    if vehicle.next_certificate.as_deref() == Some(fingerprint) {
        let used = CertificateChange::Used(eid, fingerprint.into(), at);
        let bound = CertificateChange::Bind(eid, fingerprint.into(), at);
        let detail = format!("{eid} certificate {fingerprint}");
        let actor = format!("vehicle {eid}");
        return vec![
            certificate(used),
            certificate(bound),
            context.audit(actor, "vehicle certificate in use", detail),
        ];
    }
    if begins && vehicle.certificate.is_none() {
        return vec![certificate(CertificateChange::Used(
            eid,
            fingerprint.into(),
            at,
        ))];
    }
    Vec::new()
}

fn certificate(change: CertificateChange) -> Change {
    Change::Fleet(FleetChange::Certificate(change))
}
