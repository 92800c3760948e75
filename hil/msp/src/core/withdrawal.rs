//! The end of an onboarding, by either side: no new activation codes, all profiles off the network at once, prepared
//! orders cancelled (AID.02 §4.4, §7.9 NOTE).

use aid_aid1::body::{Body as _, NotifyTokenInvalid};
use aid_aid1::operation::RequestInvalidate;

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
            answered(changes, key, Answer::success::<RequestInvalidate>(&()), now)
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
        body: Job::cancel_body(&profile.iccid, &profile.eid),
    };
    Change::job(job, now)
}

#[cfg(test)]
mod tests {
    use aid_id::MspToken;
    use uuid::Uuid;

    use super::*;

    fn onboarding(state: OnboardingState) -> Onboarding {
        Onboarding {
            msp_token: MspToken::from_bytes([7; 16]),
            client_id: "CmpOne".parse().unwrap(),
            user: "alice".into(),
            subscription: "one".into(),
            sid: Uuid::nil(),
            state,
            created_at: 1,
            changed_at: 1,
        }
    }

    fn profile(phase: ProfilePhase) -> Profile {
        Profile {
            iccid: "8944500805172032953".parse().unwrap(),
            msp_token: MspToken::from_bytes([7; 16]),
            eid: "89049032000001000000000831934057".parse().unwrap(),
            matching_id: "M".into(),
            phase,
            network: true,
            created_at: 1,
            used_at: 1,
        }
    }

    // R-4.4.1-3, R-7.9-1
    #[test]
    fn the_end_shuts_out_all_profiles_and_cancels_what_was_not_downloaded() {
        let profiles = [
            profile(ProfilePhase::Prepared),
            profile(ProfilePhase::Installed),
        ];
        let ids = &mut || Uuid::nil();
        let key = Key {
            client: "CmpOne".parse().unwrap(),
            id: Uuid::nil(),
            digest: String::new(),
        };
        let view = |state| CallView {
            onboarding: Some(onboarding(state)),
            earlier: None,
        };
        let live = view(OnboardingState::Pending);
        let ended = request_invalidate(&live, &profiles, &key, ids, 9);
        assert_eq!(
            ended.outcome,
            Said::Answer(Answer::success::<RequestInvalidate>(&()))
        );
        let shut = |change: &&Change| matches!(change, Change::ProfileSet(p) if !p.network);
        assert_eq!(ended.changes.iter().filter(shut).count(), 2);
        let jobs = |changes: &[Change]| -> Vec<Kind> {
            let kind = |change: &Change| match change {
                Change::JobAdded { job, .. } => Some(job.kind),
                _ => None,
            };
            changes.iter().filter_map(kind).collect()
        };
        // The CMP has begun it, so it is not told.
        assert_eq!(jobs(&ended.changes), [Kind::CancelOrder]);
        let ours = withdraw(
            &onboarding(OnboardingState::Active),
            &profiles,
            None,
            ids,
            9,
        );
        assert_eq!(jobs(&ours), [Kind::CancelOrder, Kind::NotifyTokenInvalid]);
        // Once more changes nothing but that it was asked.
        let over = view(OnboardingState::Invalidated);
        let again = request_invalidate(&over, &profiles, &key, ids, 9);
        assert_eq!(again.changes.len(), 1);
        let state = OnboardingState::Invalidated;
        assert!(withdraw(&onboarding(state), &profiles, None, ids, 9).is_empty());
    }
}
