use aid_aid1::body::{Body as _, RequestActivationCode};
use aid_id::{Iccid, MspToken};

use super::*;
use crate::core::call::Earlier;
use crate::core::model::{
    Job, Kind, Onboarding, OnboardingState, Ordered, Profile, ProfilePhase, SwapPolicy,
};

const EID: &str = "89049032000001000000000831934057";
const NOW: i64 = 1_000_000;

fn token() -> MspToken {
    MspToken::from_bytes([7; 16])
}

fn iccid(n: u8) -> Iccid {
    let valid = ["8944500805172032953", "8944500805172032961"];
    valid[usize::from(n)].parse().unwrap()
}

fn key(n: u128) -> Key {
    Key {
        client: "CmpOne".parse().unwrap(),
        id: Uuid::from_u128(n),
        digest: format!("digest {n}"),
    }
}

fn onboarding(state: OnboardingState) -> Onboarding {
    Onboarding {
        msp_token: token(),
        client_id: "CmpOne".parse().unwrap(),
        user: "alice".into(),
        subscription: "one".into(),
        sid: Uuid::from_u128(9),
        state,
        created_at: 1,
        changed_at: 1,
    }
}

fn subscription() -> Subscription {
    Subscription {
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
    }
}

fn body() -> RequestActivationCode {
    let json = serde_json::json!({
        "eid": EID, "deviceType": "TCU", "activationCodeRequestID": Uuid::from_u128(77).to_string(),
        "replaceIccid": null, "profileType": "personal",
    });
    RequestActivationCode::parse(json.to_string().as_bytes()).unwrap()
}

fn view(order: Option<Order>, earlier: Option<Earlier>) -> RequestView {
    RequestView {
        call: CallView {
            onboarding: Some(onboarding(OnboardingState::Active)),
            earlier,
        },
        subscription: Some(subscription()),
        order,
    }
}

fn ask(view: &RequestView, key: &Key, delivery: Delivery, now: i64) -> Decision<Begun> {
    let asked = Request {
        key,
        body: Ok(body()),
        correlation: Uuid::from_u128(5),
        delivery,
        eligibility: &Eligibility::default(),
        rules: &Usual,
        now,
    };
    request(view, asked)
}

/// The order that a request of this delivery begins.
fn begun(delivery: Delivery) -> Order {
    match ask(&view(None, None), &key(1), delivery, NOW).outcome {
        Begun::Wait(order) | Begun::Started(order) => *order,
        Begun::Said(said) => panic!("{said:?}"),
    }
}

fn ordered() -> Ordered {
    Ordered {
        iccid: iccid(0),
        activation_code: "1$smdp.example$M-1".parse().unwrap(),
    }
}

fn wait(order: Order, earlier: Option<Answer>) -> WaitView {
    WaitView {
        order: Some(order),
        earlier: Some(Earlier {
            digest: key(1).digest,
            answer: earlier,
            leased_until: NOW + LEASE,
        }),
    }
}

fn finish_view(order: Order, earlier: Option<Answer>) -> FinishView {
    FinishView {
        wait: wait(order, earlier),
        onboarding: Some(onboarding(OnboardingState::Active)),
        subscription: Some(subscription()),
        slots: Vec::new(),
        others: Vec::new(),
    }
}

fn finished(view: &FinishView) -> Decision<Said> {
    let ids = &mut || Uuid::from_u128(3);
    finish(view, &ordered(), Some(&key(1)), &Usual, ids, NOW)
}

fn jobs(changes: &[Change]) -> Vec<&Job> {
    fn job(change: &Change) -> Option<&Job> {
        match change {
            Change::JobAdded { job, .. } => Some(job),
            _ => None,
        }
    }
    changes.iter().filter_map(job).collect()
}

/// The answers that are stored.
fn answers(changes: &[Change]) -> Vec<(u128, u16)> {
    let answer = |change: &Change| match change {
        Change::CallAnswered { key, answer, .. } => Some((key.id.as_u128(), answer.status)),
        _ => None,
    };
    changes.iter().filter_map(answer).collect()
}

fn booked(changes: &[Change]) -> usize {
    let is_profile = |change: &&Change| matches!(change, Change::ProfileAdded(_));
    changes.iter().filter(is_profile).count()
}

#[test]
fn an_accepted_request_is_stored_with_its_answer_or_its_claim() {
    let Decision { changes, outcome } = ask(&view(None, None), &key(1), Delivery::Async, NOW);
    assert!(matches!(outcome, Begun::Started(_)));
    assert_eq!(answers(&changes), [(1, 201)]);
    assert!(matches!(changes[0], Change::OrderPut(_)));
    let Decision { changes, outcome } = ask(&view(None, None), &key(1), Delivery::Sync, NOW);
    assert!(matches!(outcome, Begun::Wait(_)));
    let claim = Change::CallClaimed {
        key: key(1),
        until: NOW + LEASE,
        at: NOW,
    };
    assert!(changes.contains(&claim) && answers(&changes).is_empty());
}

// R-5.1-5: the same id is the same request, or none.
#[test]
fn a_repetition_gets_the_stored_answer_and_changes_nothing() {
    let earlier = |digest: &str, answer: Option<Answer>, leased_until| Earlier {
        digest: digest.into(),
        answer,
        leased_until,
    };
    let stored = Answer {
        status: 200,
        body: "{}".into(),
    };
    let known = key(1).digest;
    let again = |earlier, now| ask(&view(None, Some(earlier)), &key(1), Delivery::Sync, now);
    let found = again(earlier(&known, Some(stored.clone()), 0), NOW);
    assert_eq!(
        found,
        Decision::nothing(Begun::Said(Said::Answer(stored.clone())))
    );
    let other = again(earlier("another", Some(stored), 0), NOW);
    let Begun::Said(Said::Refused(error)) = &other.outcome else {
        panic!("{other:?}");
    };
    assert_eq!((error.code, other.changes.len()), (ErrorCode::Syntax, 0));
    let running = earlier(&known, None, NOW + LEASE);
    let found = again(running.clone(), NOW);
    assert_eq!(found, Decision::nothing(Begun::Said(Said::Running)));
    // Whoever had claimed it is gone; and so is a claim that a clock in the future made.
    for now in [NOW + LEASE, NOW - 1] {
        let found = again(running.clone(), now).outcome;
        assert!(matches!(found, Begun::Wait(_)), "{now}: {found:?}");
    }
}

#[test]
fn an_order_whose_worker_is_gone_is_taken_over_with_its_profile() {
    let order = Order {
        iccid: Some(iccid(1)),
        ..begun(Delivery::Sync)
    };
    // While the lease holds the other call waits for it, and this one is answered by Send Activation Code.
    let found = ask(
        &view(Some(order.clone()), None),
        &key(2),
        Delivery::Sync,
        NOW + 1,
    );
    assert_eq!(answers(&found.changes), [(2, 201)]);
    let found = ask(
        &view(Some(order), None),
        &key(2),
        Delivery::Sync,
        NOW + LEASE,
    );
    let Begun::Wait(taken) = found.outcome else {
        panic!("{found:?}");
    };
    assert_eq!(taken.iccid, Some(iccid(1)));
}

#[test]
fn a_finished_order_is_booked_and_answered_in_one() {
    let Decision { changes, outcome } = finished(&finish_view(begun(Delivery::Sync), None));
    assert!(matches!(&outcome, Said::Answer(answer) if answer.status == 200));
    assert_eq!((booked(&changes), answers(&changes)), (1, vec![(1, 200)]));
    assert!(jobs(&changes).is_empty());
    // Handed over meanwhile: the code travels by Send Activation Code, and the call that waits gets no other answer than
    // the one that was stored for it.
    let later = Order {
        delivery: Delivery::Async,
        ..begun(Delivery::Sync)
    };
    for (stored, new) in [(None, vec![(1, 201)]), (Some(code_later()), vec![])] {
        let found = finished(&finish_view(later.clone(), stored));
        assert_eq!(found.outcome, Said::Answer(code_later()));
        assert_eq!((booked(&found.changes), answers(&found.changes)), (1, new));
        assert_eq!(jobs(&found.changes)[0].kind, Kind::SendActivationCode);
    }
}

#[test]
fn an_order_that_is_over_is_not_booked_again() {
    let done = finished(&finish_view(begun(Delivery::Sync), None));
    let order = done.changes.iter().find_map(|change| match change {
        Change::OrderPut(order) => Some(order.clone()),
        _ => None,
    });
    let again = finished(&finish_view(order.unwrap(), None));
    assert_eq!(booked(&again.changes), 0);
    assert_eq!(again.outcome, done.outcome);
}

#[test]
fn a_withdrawn_token_or_a_full_subscription_cancels_the_order() {
    let mut withdrawn = finish_view(begun(Delivery::Sync), None);
    withdrawn.onboarding = Some(onboarding(OnboardingState::Invalidated));
    let mut full = finish_view(begun(Delivery::Sync), None);
    full.subscription = Some(Subscription {
        swap: SwapPolicy::Refuse,
        ..subscription()
    });
    full.slots = vec![Profile {
        iccid: iccid(1),
        msp_token: token(),
        eid: EID.parse().unwrap(),
        matching_id: "M-2".into(),
        phase: ProfilePhase::Installed,
        network: true,
        created_at: 1,
        used_at: 1,
    }];
    for view in [withdrawn, full] {
        let Decision { changes, outcome } = finished(&view);
        assert!(matches!(outcome, Said::Refused(_)), "{outcome:?}");
        assert_eq!((booked(&changes), answers(&changes)), (0, vec![]));
        let jobs = jobs(&changes);
        assert_eq!((jobs.len(), jobs[0].kind), (1, Kind::CancelOrder));
        assert_eq!(
            jobs[0].body,
            Job::cancel_body(&iccid(0), &EID.parse().unwrap())
        );
        // The same call again is worked on again.
        assert!(changes.contains(&Change::CallForgotten(key(1))));
    }
}

// The moment between "nobody waits any more" and "it has failed" belongs to the database.
#[test]
fn a_failure_that_may_pass_ends_only_an_order_that_somebody_waits_for() {
    let away = Failure::passing(ApiError::new(ErrorCode::Internal));
    let refused = Failure::last(ApiError::new(ErrorCode::ActivationCodeOther));
    let failed = |delivery, failure: &Failure, last| {
        let order = Order {
            delivery,
            ..begun(Delivery::Sync)
        };
        let ids = &mut || Uuid::from_u128(3);
        let view = wait(order, None);
        fail(&view, failure, last, Some(&key(1)), ids, NOW)
    };
    let waited = failed(Delivery::Sync, &away, false);
    assert!(matches!(waited.outcome, Some(Said::Refused(_))));
    assert!(waited.changes.contains(&Change::CallForgotten(key(1))));
    assert!(jobs(&waited.changes).is_empty());
    let handed_over = failed(Delivery::Async, &away, false);
    assert_eq!(handed_over, Decision::nothing(None));
    for (failure, last) in [(&refused, false), (&away, true)] {
        let ended = failed(Delivery::Async, failure, last);
        assert_eq!(ended.outcome, Some(Said::Answer(code_later())));
        assert_eq!(jobs(&ended.changes)[0].kind, Kind::SendActivationCode);
    }
}

#[test]
fn a_profile_is_chosen_once_and_stays() {
    let view = |order: Order, taken: Vec<Iccid>| ChoiceView {
        order: Some(order),
        onboarding: Some(onboarding(OnboardingState::Active)),
        subscription: Some(subscription()),
        pool: vec![iccid(0), iccid(1)],
        taken,
    };
    let open = begun(Delivery::Sync);
    let chosen = choose(&view(open.clone(), vec![iccid(0)]));
    assert_eq!(chosen.outcome, Choice::This(iccid(1)));
    let [Change::OrderPut(order)] = chosen.changes.as_slice() else {
        panic!("{chosen:?}");
    };
    // A second attempt asks for the same one.
    let again = choose(&view(order.clone(), vec![iccid(0), iccid(1)]));
    assert_eq!(again, Decision::nothing(Choice::This(iccid(1))));
    let none = choose(&view(open.clone(), vec![iccid(0), iccid(1)]));
    assert!(matches!(none.outcome, Choice::None(_)));
    // Without a pool the SM-DP+ chooses, and what it reserved is confirmed.
    let no_pool = |order| ChoiceView {
        pool: Vec::new(),
        ..view(order, Vec::new())
    };
    assert_eq!(choose(&no_pool(open.clone())).outcome, Choice::Any);
    let reserved = Order {
        iccid: Some(iccid(1)),
        ..open
    };
    let chosen = choose(&no_pool(reserved)).outcome;
    assert_eq!(chosen, Choice::Reserved(iccid(1)));
}

#[test]
fn a_reservation_that_is_not_needed_is_cancelled() {
    let open = begun(Delivery::Sync);
    let note = |order: Option<&Order>, n| {
        let ids = &mut || Uuid::from_u128(3);
        reserve(order, &open.request, &iccid(n), ids, NOW)
    };
    assert_eq!(note(Some(&open), 0).outcome, Reserved::Ours);
    let other = Order {
        iccid: Some(iccid(1)),
        ..open.clone()
    };
    assert_eq!(note(Some(&other), 1), Decision::nothing(Reserved::Ours));
    for order in [Some(&other), None] {
        let found = note(order, 0);
        assert_eq!(found.outcome, Reserved::NotNeeded);
        let body = &jobs(&found.changes)[0].body;
        assert_eq!(*body, Job::cancel_body(&iccid(0), &EID.parse().unwrap()));
    }
    // Another worker has finished the order with this profile.
    let done = Order {
        state: OrderState::Done,
        ..other
    };
    let found = note(Some(&done), 1);
    assert_eq!(found, Decision::nothing(Reserved::NotNeeded));
}

#[test]
fn a_start_goes_on_with_what_is_owed_and_forgets_what_nobody_waits_for() {
    let owed = begun(Delivery::Async);
    let waited = begun(Delivery::Sync);
    let reserved = Order {
        iccid: Some(iccid(0)),
        ..waited.clone()
    };
    let old = Order {
        created_at: NOW - 25 * 3600 * 1000,
        ..reserved.clone()
    };
    let open = vec![owed.clone(), waited.clone(), reserved, old];
    let Decision { changes, outcome } = resume(open, &mut || Uuid::from_u128(3), NOW);
    assert_eq!(outcome, [owed]);
    assert!(changes.contains(&Change::LeasesEnded));
    let forgotten = Change::OrderForgotten(waited.request);
    assert_eq!(changes.iter().filter(|c| **c == forgotten).count(), 2);
    let jobs = jobs(&changes);
    assert_eq!((jobs.len(), jobs[0].kind), (1, Kind::CancelOrder));
}

// R-4.3.1-13, R-4.3.1-14, R-7.5-6: where another CMP has all the slots of a subscription, its least recently used profile
// makes place. The CMP that asked knows nothing of that one, so it is told of no swap; the other hears `invalid`.
#[test]
fn a_pool_that_another_cmp_has_filled_gives_way() {
    let other = MspToken::from_bytes([8; 16]);
    let profile = |n, msp_token, used_at, phase| Profile {
        iccid: iccid(n),
        msp_token,
        eid: EID.parse().unwrap(),
        matching_id: "M-2".into(),
        phase,
        network: true,
        created_at: 1,
        used_at,
    };
    let view = |swap, slots: Vec<Profile>| {
        let mut view = finish_view(begun(Delivery::Sync), None);
        let max_profiles = u32::try_from(slots.len()).unwrap();
        view.subscription = Some(Subscription {
            swap,
            max_profiles,
            ..subscription()
        });
        view.slots = slots;
        view.others = vec![Onboarding {
            msp_token: other,
            client_id: "CmpTwo".parse().unwrap(),
            ..onboarding(OnboardingState::Active)
        }];
        finished(&view)
    };
    for (phase, cancels) in [(ProfilePhase::Installed, 0), (ProfilePhase::Prepared, 1)] {
        for swap in [SwapPolicy::Candidate, SwapPolicy::Own] {
            let Decision { changes, outcome } = view(swap, vec![profile(1, other, 5, phase)]);
            let Said::Answer(answer) = outcome else {
                panic!("{outcome:?}");
            };
            assert!(
                answer.body.contains(r#""swappedIccid":null"#),
                "{}",
                answer.body
            );
            let dead = Profile {
                phase: ProfilePhase::Invalid,
                network: false,
                ..profile(1, other, 5, phase)
            };
            assert!(changes.contains(&Change::ProfileSet(dead)));
            let jobs = jobs(&changes);
            let told: Vec<_> = jobs
                .iter()
                .filter(|job| job.kind == Kind::SendProfileInformation)
                .collect();
            assert_eq!(told.len(), 1);
            assert_eq!(
                (told[0].client_id.as_str(), told[0].msp_token),
                ("CmpTwo", other)
            );
            assert!(told[0].body.contains("invalid") && told[0].body.contains(iccid(1).as_str()));
            let cancelled = jobs.iter().filter(|job| job.kind == Kind::CancelOrder);
            assert_eq!(cancelled.count(), cancels);
            assert_eq!(booked(&changes), 1);
        }
        // Where the MSP gives up nothing by itself, it does not do so to another CMP either.
        let refused = view(SwapPolicy::Refuse, vec![profile(1, other, 5, phase)]);
        assert!(matches!(refused.outcome, Said::Refused(_)));
    }
    // One of its own goes first, however lately it was used.
    let installed = ProfilePhase::Installed;
    let own = view(
        SwapPolicy::Candidate,
        vec![
            profile(1, other, 5, installed),
            profile(0, token(), 9, installed),
        ],
    );
    let kinds: Vec<_> = jobs(&own.changes).iter().map(|job| job.kind).collect();
    assert!(!kinds.contains(&Kind::SendProfileInformation), "{kinds:?}");
}

// R-7.7-6, R-7.7-9: the text has 423 for an EID, the JSON has not; which one is agreed.
#[test]
fn an_eid_is_refused_with_the_status_that_was_agreed() {
    for (status, number) in [(RefusedEid::Locked, 423), (RefusedEid::Unprocessable, 422)] {
        let eligibility = Eligibility {
            refused_eids: vec!["8904".into()],
            refused_eid_status: status,
            ..Eligibility::default()
        };
        let wrong = serde_json::json!({"eid": "1", "deviceType": "tcu", "replaceIccid": null,
            "activationCodeRequestID": Uuid::from_u128(77).to_string(), "profileType": "personal"});
        let malformed = RequestActivationCode::parse(wrong.to_string().as_bytes());
        for body in [Ok(body()), malformed] {
            let asked = Request {
                key: &key(1),
                body,
                correlation: Uuid::from_u128(5),
                delivery: Delivery::Sync,
                eligibility: &eligibility,
                rules: &Usual,
                now: NOW,
            };
            let refused = request(&view(None, None), asked).outcome;
            let Begun::Said(Said::Refused(error)) = refused else {
                panic!("{refused:?}");
            };
            let got = (error.status.as_u16(), error.code.number());
            assert_eq!(got, (number, 49));
        }
    }
}
