//! The end of an onboarding, by either side: no new activation codes, all profiles off the network at once, prepared
//! orders cancelled (AID.02 §4.4, §7.9 NOTE).

use aid_aid1::body::{Body as _, NotifyTokenInvalid};

use super::call::{Answer, CallView, Key, Said, answered};
use super::model::{Job, Kind, Onboarding, OnboardingState, Profile, ProfilePhase};
use super::{Change, Decision, NewId};

/// Request Invalidate (§7.9). Repeating it changes nothing. `profiles` are all of the token.
pub(crate) fn request_invalidate(
    view: &CallView,
    profiles: &[Profile],
    key: &Key,
    ids: NewId<'_>,
    now: i64,
) -> Decision<Said> {
    match view.first(key, now) {
        Ok(onboarding) => {
            let changes = invalidate(onboarding, profiles, ids, now);
            answered(changes, key, Answer::empty(204), now)
        }
        Err(said) => Decision::nothing(said),
    }
}

/// The MSP ends an onboarding (§4.4.2), and Notify MSP Token Invalid says so to the CMP. Nothing, if it has ended.
pub(crate) fn withdraw(
    onboarding: &Onboarding,
    profiles: &[Profile],
    reason: Option<&str>,
    ids: NewId<'_>,
    now: i64,
) -> Vec<Change> {
    let mut changes = invalidate(onboarding, profiles, ids, now);
    if !changes.is_empty() {
        let reason = reason.map(str::to_owned);
        let job = Job {
            client_id: onboarding.client_id.clone(),
            kind: Kind::NotifyTokenInvalid,
            msp_token: onboarding.msp_token,
            request_id: ids(),
            correlation_id: ids(),
            body: NotifyTokenInvalid { reason }.to_json().to_string(),
        };
        changes.push(Change::job(job, now));
    }
    changes
}

fn invalidate(
    onboarding: &Onboarding,
    profiles: &[Profile],
    ids: NewId<'_>,
    now: i64,
) -> Vec<Change> {
    if !onboarding.state.is_live() {
        return Vec::new();
    }
    let token = onboarding.msp_token;
    let mut changes = vec![
        Change::OnboardingSet {
            token,
            state: OnboardingState::Invalidated,
            at: now,
        },
        Change::JobsWithdrawn {
            token,
            reason: "the token was withdrawn".into(),
        },
    ];
    for profile in profiles {
        changes.push(Change::ProfileSet(Profile {
            network: false,
            ..profile.clone()
        }));
        if profile.phase == ProfilePhase::Prepared {
            changes.push(cancel(onboarding, profile, ids, now));
        }
    }
    changes
}

fn cancel(onboarding: &Onboarding, profile: &Profile, ids: NewId<'_>, now: i64) -> Change {
    let job = Job {
        client_id: onboarding.client_id.clone(),
        kind: Kind::CancelOrder,
        msp_token: onboarding.msp_token,
        request_id: ids(),
        correlation_id: ids(),
        body: profile.iccid.as_str().to_owned(),
    };
    Change::job(job, now)
}
