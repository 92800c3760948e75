use aid_id::{Iccid, MspToken};
use uuid::Uuid;

use super::*;
use crate::core::model::{
    AcRequest, Delivery, Order, OrderState, Subscription, SubscriptionState, SwapPolicy,
};

const EID: &str = "89049032000001000000000831934057";
const NOW: i64 = 1_000_000;

fn iccid() -> Iccid {
    "8944500805172032953".parse().unwrap()
}

fn token() -> MspToken {
    MspToken::from_bytes([7; 16])
}

fn profile(phase: ProfilePhase) -> Profile {
    Profile {
        iccid: iccid(),
        msp_token: token(),
        eid: EID.parse().unwrap(),
        matching_id: "M".into(),
        phase,
        network: true,
        created_at: 1,
        used_at: 1,
    }
}

fn view(kind: Kind, body: String, phase: ProfilePhase, onboarding: OnboardingState) -> JobView {
    let client: aid_aid1::headers::PartyId = "CmpOne".parse().unwrap();
    let request = AcRequest {
        client_id: client.clone(),
        request_id: Uuid::from_u128(77),
        msp_token: token(),
        correlation_id: Uuid::from_u128(5),
        eid: EID.parse().unwrap(),
        replace_iccid: None,
    };
    JobView {
        row: Some(OutboxRow {
            id: 1,
            job: Job {
                client_id: client.clone(),
                kind,
                msp_token: token(),
                request_id: Uuid::from_u128(1),
                correlation_id: Uuid::from_u128(5),
                body,
            },
            state: JobState::Waiting,
            attempts: 3,
            next_at: 1,
            created_at: 1,
            last_error: String::new(),
        }),
        onboarding: Some(Onboarding {
            msp_token: token(),
            client_id: client,
            user: "alice".into(),
            subscription: "one".into(),
            sid: Uuid::from_u128(9),
            state: onboarding,
            created_at: 1,
            changed_at: 1,
        }),
        profiles: vec![profile(phase)],
        refused: Some(RefusedView {
            order: Order {
                request,
                delivery: Delivery::Async,
                state: OrderState::Done,
                iccid: Some(iccid()),
                activation_code: Some("1$smdp.example$M".parse().unwrap()),
                swapped: None,
                error: None,
                created_at: 1,
                leased_until: 0,
            },
            subscription: Some(Subscription {
                id: "one".into(),
                user: "alice".into(),
                label: None,
                msisdn: "4915112345678".into(),
                kind: "private".parse().unwrap(),
                customer_group: None,
                max_profiles: 1,
                swap: SwapPolicy::Candidate,
                fee: None,
                eligible: true,
                state: SubscriptionState::Active,
            }),
            slots: vec![profile(phase)],
            swapped_is_cancelled: false,
        }),
    }
}

fn settled(view: &JobView, attempt: &Attempt) -> Decision<bool> {
    settle(view, attempt, 0, &mut || Uuid::from_u128(3), NOW)
}

fn row(decision: &Decision<bool>) -> &OutboxRow {
    match &decision.changes[0] {
        Change::JobSet(row) => row,
        other => panic!("{other:?}"),
    }
}

fn refused(code: Option<ErrorCode>) -> Attempt {
    Attempt::Refused {
        reason: "no".into(),
        code,
    }
}

// R-7.7.2.1-7
#[test]
fn a_code_that_the_cmp_will_never_use_gives_back_profile_and_slot() {
    let of = |phase| {
        let state = OnboardingState::Active;
        view(Kind::SendActivationCode, "{}".into(), phase, state)
    };
    for number in [21, 30, 31, 92] {
        let code = ErrorCode::from_number(number);
        let found = settled(&of(ProfilePhase::Prepared), &refused(code));
        assert_eq!(row(&found).state, JobState::Dead, "{number}");
        let freed = found.changes.iter().find_map(|change| match change {
            Change::ProfileSet(profile) => Some(profile),
            _ => None,
        });
        let freed = freed.unwrap();
        assert!(!freed.phase.is_listed() && !freed.network, "{number}");
        let job = found.changes.iter().find_map(|change| match change {
            Change::JobAdded { job, .. } => Some(job),
            _ => None,
        });
        let job = job.unwrap();
        assert_eq!(
            (job.kind, job.body.clone()),
            (
                Kind::CancelOrder,
                Job::cancel_body(&iccid(), &EID.parse().unwrap())
            )
        );
        let failed = |change: &Change| matches!(change, Change::OrderPut(order) if order.response().is_none());
        assert!(found.changes.iter().any(failed), "{number}");
        // What was downloaded meanwhile stays.
        let installed = settled(&of(ProfilePhase::Installed), &refused(code));
        assert_eq!(installed.changes.len(), 1, "{number}");
    }
    // Another refusal may concern this call alone.
    for code in [None, Some(ErrorCode::ActivationCodeFormat)] {
        let found = settled(&of(ProfilePhase::Prepared), &refused(code));
        assert_eq!(found.changes.len(), 1, "{code:?}");
    }
    // Once the order is cancelled the profile can be ordered again; earlier versions stored no EID with the job.
    for body in [
        Job::cancel_body(&iccid(), &EID.parse().unwrap()),
        iccid().as_str().to_owned(),
    ] {
        let cancel = view(
            Kind::CancelOrder,
            body,
            ProfilePhase::Returned,
            OnboardingState::Active,
        );
        let found = settled(&cancel, &Attempt::Sent);
        let cancelled = Profile {
            network: false,
            ..profile(ProfilePhase::Cancelled)
        };
        assert_eq!(found.changes[1], Change::ProfileSet(cancelled));
    }
}

// The CMP never heard of the swap: the profile that was given up is still in its vehicle.
#[test]
fn a_profile_that_was_given_up_for_a_refused_code_returns() {
    let old = Profile {
        iccid: "8944500805172032961".parse().unwrap(),
        phase: ProfilePhase::Swapped,
        network: false,
        ..profile(ProfilePhase::Swapped)
    };
    let swapped = |change: &dyn Fn(&mut RefusedView)| {
        let body = "{}".into();
        let state = OnboardingState::Active;
        let mut view = view(
            Kind::SendActivationCode,
            body,
            ProfilePhase::Prepared,
            state,
        );
        view.profiles.push(old.clone());
        let refused = view.refused.as_mut().unwrap();
        refused.order.swapped = Some(old.iccid.clone());
        change(refused);
        let found = settled(&view, &refused_with(31));
        let of_old = found.changes.into_iter().find_map(|change| match change {
            Change::ProfileSet(profile) if profile.iccid == old.iccid => Some(profile),
            _ => None,
        });
        of_old.map(|profile| (profile.phase, profile.network))
    };
    let back = ProfilePhase::Installed;
    assert_eq!(swapped(&|_| ()), Some((back, true)));
    let suspended = |view: &mut RefusedView| {
        view.subscription.as_mut().unwrap().state = SubscriptionState::Suspended;
    };
    assert_eq!(swapped(&suspended), Some((back, false)));
    // It had not been downloaded, the slot has been taken since, or the link has ended.
    assert_eq!(swapped(&|view| view.swapped_is_cancelled = true), None);
    let other = Profile {
        iccid: "8949000000000000018".parse().unwrap(),
        ..profile(ProfilePhase::Prepared)
    };
    assert_eq!(swapped(&|view| view.slots.push(other.clone())), None);
    assert_eq!(swapped(&|view| view.subscription = None), None);
}

fn refused_with(number: u16) -> Attempt {
    refused(ErrorCode::from_number(number))
}

#[test]
fn pauses_grow_up_to_the_longest_and_heed_the_other_side() {
    let mut last = 0;
    for attempts in 0..70 {
        let pause = pause(attempts, 255);
        assert!((last..=MAX_PAUSE * 5 / 4).contains(&pause), "{attempts}");
        last = pause;
    }
    let mut view = view(
        Kind::NotifyTokenInvalid,
        "{}".into(),
        ProfilePhase::Prepared,
        OnboardingState::Active,
    );
    let later = |wait| Attempt::Later {
        reason: "away".into(),
        wait,
    };
    let found = settled(&view, &later(0));
    assert_eq!((row(&found).next_at, row(&found).attempts), (NOW + 8000, 4));
    assert_eq!(row(&settled(&view, &later(60_000))).next_at, NOW + 60_000);
    // What was withdrawn while it was sent stays so.
    view.row.as_mut().unwrap().state = JobState::Dead;
    assert_eq!(settled(&view, &Attempt::Sent), Decision::nothing(false));
}

#[test]
fn the_cmps_word_about_a_token_settles_the_onboarding_once() {
    let of = |state| {
        view(
            Kind::SendMspToken,
            "id\n{}".into(),
            ProfilePhase::Prepared,
            state,
        )
    };
    let pending = of(OnboardingState::Pending);
    for (attempt, state) in [
        (Attempt::Sent, OnboardingState::Active),
        (refused(None), OnboardingState::Refused),
    ] {
        let set = Change::OnboardingSet {
            token: token(),
            state,
            at: NOW,
        };
        assert_eq!(settled(&pending, &attempt).changes[1], set);
        // A token that the CMP has used meanwhile stays alive.
        let active = of(OnboardingState::Active);
        assert_eq!(settled(&active, &attempt).changes.len(), 1);
    }
    assert_eq!(settled(&pending, &Attempt::later("away")).changes.len(), 1);
}
