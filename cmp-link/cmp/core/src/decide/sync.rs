//! Profile status synchronisation (§4.6, A.5): what the MSP lists beside what the CMP has.
//! The car is the truth about its card, the MSP about the subscription. Absence from a list never
//! deletes by itself: a faulty MSP that answers `[]` must not empty a fleet (R-4.6-4).
//! Called with the answers to Request Profile Status, of the outbox and of `sync run`.

use super::{Context, Decision, status};
use crate::change::{Change, LinkChange};
use crate::model::{Federation, MspVerdict, Profile, ProfileStatus, SyncRun};
use aid_aid1::body::{CsimStatus, ProfileState};
use aid_id::{Iccid, Id};
use aid_wire::OrderKind;
use serde::Serialize;

/// What the MSP answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listing {
    /// Its profiles of this token.
    Profiles(Vec<(Iccid, ProfileState)>),
    /// 404 for the profile that was asked for.
    NoSuchProfile,
    /// 404 for the token.
    NoSuchUser,
}

impl Listing {
    /// Whether the MSP has the profile; none where it does not say.
    #[must_use]
    pub fn has(&self, iccid: &Iccid) -> Option<bool> {
        match self {
            Self::Profiles(list) => Some(list.iter().any(|(i, _)| i == iccid)),
            Self::NoSuchProfile => Some(false),
            Self::NoSuchUser => None,
        }
    }
}

/// How long after its code a profile may be missing at the MSP without being noticed, ms.
const YOUNG_MS: u64 = 10 * 60 * 1000;

/// What the store says beside the answer.
#[derive(Debug, Clone)]
pub struct View {
    /// Whose profiles.
    pub federation: Federation,
    /// All that the CMP has of them.
    pub profiles: Vec<Profile>,
    /// The answer.
    pub listing: Listing,
    /// The profile that was asked for; none: all.
    pub asked: Option<Iccid>,
    /// Profiles whose last status is on its way to the MSP, or was told within a day.
    pub told: Vec<Iccid>,
    /// Listed profiles that belong to another token.
    pub elsewhere: Vec<Iccid>,
    /// Whether the MSP wants to hear of deletions (R-7.8-3).
    pub wanted: bool,
    /// The MSP did not know the token when it was asked for a code.
    pub doubtful: bool,
}

/// A difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    #[serde(skip_serializing_if = "Option::is_none")]
    iccid: Option<String>,
    cmp: &'static str,
    msp: &'static str,
    finding: &'static str,
    action: &'static str,
}

/// Compares, and changes what may be changed: the MSP's verdict, and a `deleted` that the MSP missed.
/// A second comparison with the same answer changes nothing (R-4.6-5).
#[must_use]
pub fn compare(context: &Context, view: &View, run: Id) -> Decision {
    let mut decision = Decision::default();
    let mut findings = Vec::new();
    let mut outcome = "agreed";
    if matches!(view.listing, Listing::Profiles(_)) && view.doubtful {
        // The MSP knows the token after all.
        let settled = LinkChange::Settle(view.federation.id);
        decision.changes.push(Change::Link(settled));
    }
    match &view.listing {
        Listing::NoSuchUser => {
            outcome = "failed";
            findings.push(Finding {
                iccid: None,
                cmp: if view.federation.ended_at.is_some() {
                    "ended"
                } else {
                    "linked"
                },
                msp: "unknown",
                finding: "the MSP does not know the token",
                action: "none",
            });
        }
        listing => {
            let list: &[(Iccid, ProfileState)] = match listing {
                Listing::Profiles(list) => list,
                _ => &[],
            };
            for profile in &view.profiles {
                if view.asked.as_ref().is_some_and(|a| *a != profile.iccid) {
                    continue;
                }
                let listed = list.iter().find(|(i, _)| *i == profile.iccid);
                let found = one(
                    context,
                    view,
                    profile,
                    listed.map(|(_, s)| *s),
                    &mut decision,
                );
                findings.extend(found);
            }
            for (iccid, state) in list {
                if view.profiles.iter().any(|p| p.iccid == *iccid) {
                    continue;
                }
                let elsewhere = view.elsewhere.contains(iccid);
                findings.push(Finding {
                    iccid: Some(iccid.to_string()),
                    cmp: "absent",
                    msp: state.as_str(),
                    finding: if elsewhere {
                        "it belongs to another token"
                    } else {
                        "no car told of it"
                    },
                    action: "none",
                });
            }
            let here = view.profiles.iter().filter(|p| p.status.may_be_on_card());
            let missing = here
                .clone()
                .filter(|p| listing.has(&p.iccid) == Some(false));
            if view.asked.is_none() && list.is_empty() && missing.count() > 0 {
                outcome = "suspicious";
            } else if !findings.is_empty() {
                outcome = if findings.iter().all(|f| f.action != "none") {
                    "repaired"
                } else {
                    "differs"
                };
            }
        }
    }
    decision.changes.push(Change::AddSyncRun(SyncRun {
        id: run,
        federation: view.federation.id,
        at: context.now,
        outcome: outcome.into(),
        findings: serde_json::to_string(&findings).unwrap_or_default(),
    }));
    decision
}

/// One profile of the CMP beside what the MSP says of it.
fn one(
    context: &Context,
    view: &View,
    profile: &Profile,
    listed: Option<ProfileState>,
    decision: &mut Decision,
) -> Option<Finding> {
    let mut put = |verdict| {
        decision.changes.push(Change::PutProfile(Profile {
            verdict,
            ..profile.clone()
        }));
    };
    let here = profile.status.may_be_on_card();
    let (finding, action) = match (listed, here) {
        (Some(_), _) if profile.verdict.is_final() => {
            ("the MSP lists a profile that it gave up", "none")
        }
        (Some(_), true) if profile.verdict == MspVerdict::Orphaned => {
            put(MspVerdict::Valid);
            ("the MSP lists it again", "noted as valid")
        }
        // The car is the truth about enabled and disabled; the MSP may know less (R-7.10-4).
        (Some(ProfileState::Prepared), true) if profile.status != ProfileStatus::Prepared => {
            ("the MSP believes that it was never downloaded", "none")
        }
        (Some(_), true) => return None,
        // A failed installation is still the subscription's.
        (Some(_), false) if profile.status == ProfileStatus::Failed => return None,
        (Some(_), false) if view.told.contains(&profile.iccid) || !view.wanted => {
            ("the MSP still lists a deleted profile", "none")
        }
        (Some(_), false) => {
            let call = status::told(context, &view.federation, profile, CsimStatus::Deleted);
            decision.changes.push(Change::AddCall(call));
            ("the MSP still lists a deleted profile", "told again")
        }
        (None, false) => return None,
        (None, true) if profile.verdict.is_final() => return None,
        (None, true) if context.now < profile.created_at.saturating_add(YOUNG_MS) => return None,
        (None, true) if profile.verdict == MspVerdict::Orphaned => {
            ("the MSP does not list it", "none")
        }
        (None, true) => {
            put(MspVerdict::Orphaned);
            (
                "the MSP does not list it",
                "noted as orphaned; nothing is deleted",
            )
        }
    };
    Some(Finding {
        iccid: Some(profile.iccid.to_string()),
        cmp: profile.status.as_str(),
        msp: listed.map_or("absent", ProfileState::as_str),
        finding,
        action,
    })
}

/// The MSP swapped another profile than the candidate: the candidate is deleted only if the MSP, asked
/// about it, does not have it any more (R-4.3.1-17).
#[must_use]
pub fn candidate(
    context: &Context,
    federation: &Federation,
    profile: Option<&Profile>,
    listing: &Listing,
) -> Decision {
    let mut decision = Decision::default();
    let Some(profile) = profile.filter(|p| !p.verdict.is_final()) else {
        return decision;
    };
    let gone = listing.has(&profile.iccid) == Some(false);
    let detail = format!(
        "candidate {} {}",
        profile.iccid,
        if gone { "is gone" } else { "stays" }
    );
    let audit = context.audit(federation.msp.clone(), "swap of another profile", detail);
    decision.changes.push(audit);
    if gone {
        decision.changes.push(Change::PutProfile(Profile {
            verdict: MspVerdict::Swapped,
            ..profile.clone()
        }));
        if profile.status.may_be_on_card() {
            let kind = OrderKind::Delete {
                iccid: profile.iccid.clone(),
            };
            let order = context.order(profile.eid, kind, "candidate of a swap, gone at the MSP");
            decision.order(order.of(federation.id));
        }
    }
    decision
}
