//! What an MSP knows and hears of a link: doubts, statuses that are told once, judgements, silence.

use super::*;
use aid_aid1::body::{
    CsimStatus, ProfileInformation, ProfileState, ProfileValidity, SendProfileInformation,
};
use aid_cmp_core::change::LinkChange;
use aid_cmp_core::decide::code::doubted;
use aid_cmp_core::decide::{profiles, sync};
use aid_cmp_core::model::{Doubt, NoticeKind};

fn links(decision: &Decision) -> Vec<LinkChange> {
    let list = decision.changes.iter();
    list.filter_map(|c| match c {
        Change::Link(change) => Some(change.clone()),
        _ => None,
    })
    .collect()
}

fn calls(decision: &Decision, kind: CallKind) -> usize {
    let of = |c: &&Change| matches!(c, Change::AddCall(call) if call.kind == kind);
    decision.changes.iter().filter(of).count()
}

fn doubt(code: u16) -> Doubt {
    Doubt {
        federation: [1; 16],
        since: 5,
        code,
    }
}

// R-7.7-9, R-4.6-2: an MSP that does not know the token is asked once, the user is told, and no code is requested until it
// is settled.
#[test]
fn an_unknown_token_makes_a_link_doubtful() {
    for code in [20, 21, 30, 49, 90, 0] {
        let decision = doubted(&at(5), &federation(None), None, code);
        if ![20, 21].contains(&code) {
            assert_eq!(decision, Decision::default(), "{code}");
            continue;
        }
        assert_eq!(links(&decision), [LinkChange::Doubt(doubt(code))]);
        assert_eq!(calls(&decision, CallKind::Query), 1);
        let told = |c: &Change| matches!(c, Change::AddNotice(n) if n.kind == NoticeKind::Doubtful);
        assert!(decision.changes.iter().any(told));
        // Neither twice, nor after the end.
        let again = doubted(&at(6), &federation(None), Some(doubt(code)), code);
        assert_eq!(again, Decision::default());
        let ended = doubted(&at(6), &federation(Some(1)), None, code);
        assert_eq!(ended, Decision::default());

        let ask = |doubt| {
            let view = View {
                logged_in: true,
                federation: Some(federation(None)),
                doubt,
                ..View::default()
            };
            request(&at(9), view, eid(9), fresh(), EVA)
        };
        let refused = ask(Some(doubt(code)));
        assert_eq!(calls(&refused, CallKind::Code), 0);
        assert!(matches!(answer_of(&refused), CodeOutcome::Failed { code: c, .. } if c == code));
        assert_eq!(calls(&ask(None), CallKind::Code), 1);
    }
}

// R-4.6-4: an MSP that lists the profiles of a token knows it.
#[test]
fn a_synchronisation_settles_a_doubt_or_leaves_it() {
    let settled = |listing, doubtful| {
        let view = sync::View {
            federation: federation(None),
            profiles: Vec::new(),
            listing,
            asked: None,
            told: Vec::new(),
            elsewhere: Vec::new(),
            wanted: true,
            doubtful,
        };
        links(&sync::compare(&at(9), &view, fresh())) == [LinkChange::Settle([1; 16])]
    };
    let listed = || sync::Listing::Profiles(vec![(iccid(1), ProfileState::Installed)]);
    assert!(settled(listed(), true));
    assert!(settled(sync::Listing::Profiles(Vec::new()), true));
    assert!(!settled(listed(), false));
    assert!(!settled(sync::Listing::NoSuchUser, true));
    assert!(!settled(sync::Listing::NoSuchProfile, true));
}

// R-7.10-7
#[test]
fn what_is_told_once_is_noted_with_the_call() {
    for (status, word) in [
        (Status::Enabled, CsimStatus::Enabled),
        (Status::Disabled, CsimStatus::Disabled),
    ] {
        let told = |wanted, once| {
            let view = status::View {
                profile: Some(profile(1, ProfileStatus::Installed, MspVerdict::Valid)),
                federation: Some(federation(None)),
                wanted,
                once,
                ..status::View::default()
            };
            let decision = status::report(&at(1), view, &report(Some(iccid(1)), status));
            (calls(&decision, CallKind::Status), links(&decision))
        };
        let noted = LinkChange::Told([1; 16], iccid(1), word);
        assert_eq!(told(true, true), (1, vec![noted]));
        assert_eq!(told(false, true), (0, Vec::new()), "told before");
        assert_eq!(told(true, false), (1, Vec::new()), "each time");
    }
}

// R-7.5-4, R-7.5-12: since when and why is kept with what the MSP says.
#[test]
fn a_judgement_keeps_its_time_and_reason() {
    let own = [profile(1, ProfileStatus::Disabled, MspVerdict::Valid)];
    let say = |status, reason: Option<&str>| {
        let body = SendProfileInformation {
            profiles: vec![ProfileInformation {
                iccid: iccid(1),
                status,
                reason: reason.map(str::to_owned),
            }],
        };
        links(&profiles::information(&at(8), &federation(None), &own, &[true], body).unwrap())
    };
    let judged = |reason: Option<&str>| LinkChange::Judge {
        federation: [1; 16],
        iccid: iccid(1),
        since: 8,
        reason: reason.map(str::to_owned),
    };
    assert_eq!(
        say(ProfileValidity::Suspended, Some("unpaid")),
        [judged(Some("unpaid"))]
    );
    assert_eq!(say(ProfileValidity::Suspended, None), [judged(None)]);
    // Nothing new.
    assert_eq!(say(ProfileValidity::Valid, None), []);
}

// R-7.7.1-3: an MSP that is silent is asked again after a minute, then less and less often.
#[test]
fn pauses_after_silence_begin_at_a_minute_and_grow() {
    for draw in [0, 1, 12_345, u64::MAX] {
        assert!(call::pause_after_silence(1, draw) >= 60_000);
        assert!(call::pause_after_silence(1, draw) <= 66_000);
        for attempts in 1..40 {
            let (this, next) = (
                call::pause_after_silence(attempts, draw),
                call::pause_after_silence(attempts + 1, draw),
            );
            assert!(next <= call::MAX_PAUSE);
            assert!(
                next > this || this >= call::MAX_PAUSE / 2,
                "{attempts} {draw}"
            );
        }
    }
}
