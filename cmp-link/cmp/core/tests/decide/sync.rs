//! §4.6 and the candidate of a swap: what the MSP lists beside what the CMP has.

use super::*;
use aid_aid1::body::ProfileState;
use aid_cmp_core::decide::policy::SwapCandidate;
use aid_cmp_core::decide::question::{Question, query};
use aid_cmp_core::decide::serving;
use aid_cmp_core::decide::sync::{self, Listing, compare};

const HOUR: u64 = 3600 * 1000;

fn view(profiles: Vec<Profile>, listing: Listing) -> sync::View {
    sync::View {
        doubtful: false,
        federation: federation(None),
        profiles,
        listing,
        asked: None,
        told: Vec::new(),
        elsewhere: Vec::new(),
        wanted: true,
    }
}

fn listed(list: &[(u32, ProfileState)]) -> Listing {
    Listing::Profiles(list.iter().map(|(n, s)| (iccid(*n), *s)).collect())
}

fn outcome(decision: &Decision) -> (String, String) {
    let run = decision.changes.iter().find_map(|c| match c {
        Change::AddSyncRun(r) => Some((r.outcome.clone(), r.findings.clone())),
        _ => None,
    });
    run.expect("a run")
}

fn verdicts(decision: &Decision) -> Vec<(Iccid, MspVerdict)> {
    let list = decision.changes.iter();
    list.filter_map(|c| match c {
        Change::PutProfile(p) => Some((p.iccid.clone(), p.verdict)),
        _ => None,
    })
    .collect()
}

fn calls(decision: &Decision) -> usize {
    let list = decision.changes.iter();
    list.filter(|c| matches!(c, Change::AddCall(_))).count()
}

// R-4.6-1 R-4.6-4 R-4.6-5 R-A.5-1
#[test]
fn the_matrix_of_what_cmp_and_msp_have() {
    use ProfileState::{Disabled, Enabled, Installed, Prepared};
    let valid = MspVerdict::Valid;
    let nothing = compare(&at(HOUR), &view(Vec::new(), listed(&[])), fresh());
    assert_eq!(
        outcome(&nothing).0,
        "agreed",
        "zero profiles, and [] is right"
    );
    for state in [Enabled, Disabled, Installed, Prepared] {
        // The car is the truth about enabled and disabled: nothing changes.
        for status in [
            ProfileStatus::Enabled,
            ProfileStatus::Disabled,
            ProfileStatus::Installed,
        ] {
            let has = view(vec![profile(1, status, valid)], listed(&[(1, state)]));
            let decision = compare(&at(HOUR), &has, fresh());
            let expected = if state == Prepared {
                "differs"
            } else {
                "agreed"
            };
            assert_eq!(outcome(&decision).0, expected, "{status:?} {state:?}");
            assert!(verdicts(&decision).is_empty() && calls(&decision) == 0);
        }
        // Deleted here, listed there: the MSP missed it, and is told again.
        let deleted = profile(1, ProfileStatus::Deleted, valid);
        let mut missed = view(vec![deleted], listed(&[(1, state)]));
        let decision = compare(&at(HOUR), &missed, fresh());
        assert_eq!(
            (outcome(&decision).0.as_str(), calls(&decision)),
            ("repaired", 1)
        );
        missed.told = vec![iccid(1)];
        assert_eq!(calls(&compare(&at(HOUR), &missed, fresh())), 0, "once");
        // Unknown here.
        let unknown = compare(&at(HOUR), &view(Vec::new(), listed(&[(8, state)])), fresh());
        assert_eq!(outcome(&unknown).0, "differs");
        assert_eq!(unknown.changes.len(), 1, "it is noted, and that is all");
    }
    let prepared = view(
        vec![profile(1, ProfileStatus::Prepared, valid)],
        listed(&[(1, Prepared)]),
    );
    assert_eq!(outcome(&compare(&at(HOUR), &prepared, fresh())).0, "agreed");
}

// R-4.6-4: absence never deletes; a second run changes nothing.
#[test]
fn a_list_without_anything_empties_no_fleet() {
    let valid = MspVerdict::Valid;
    let fleet: Vec<_> = (1..=50)
        .map(|n| profile(n, ProfileStatus::Disabled, valid))
        .collect();
    for (listing, expected) in [
        (listed(&[]), "suspicious"),
        (listed(&[(1, ProfileState::Installed)]), "repaired"),
        (Listing::NoSuchUser, "failed"),
    ] {
        let decision = compare(&at(HOUR), &view(fleet.clone(), listing.clone()), fresh());
        assert!(orders(&decision).is_empty() && calls(&decision) == 0);
        assert!(decision.down.is_empty());
        assert_eq!(outcome(&decision).0, expected);
        // What became of it is compared again.
        let mut after = fleet.clone();
        for (iccid, verdict) in verdicts(&decision) {
            assert_eq!(verdict, MspVerdict::Orphaned);
            let profile = after.iter_mut().find(|p| p.iccid == iccid).unwrap();
            profile.verdict = verdict;
        }
        let again = compare(&at(2 * HOUR), &view(after, listing), fresh());
        assert!(verdicts(&again).is_empty(), "{expected}");
    }
    // The MSP is well again.
    let orphan = profile(1, ProfileStatus::Disabled, MspVerdict::Orphaned);
    let well = view(vec![orphan], listed(&[(1, ProfileState::Enabled)]));
    let decision = compare(&at(HOUR), &well, fresh());
    assert_eq!(verdicts(&decision), [(iccid(1), MspVerdict::Valid)]);
    // A profile whose code has just come may be missing for a moment.
    let young = Profile {
        created_at: HOUR - 1000,
        ..profile(1, ProfileStatus::Prepared, valid)
    };
    assert!(
        verdicts(&compare(
            &at(HOUR),
            &view(vec![young], listed(&[])),
            fresh()
        ))
        .is_empty()
    );
}

// R-4.6-2
#[test]
fn one_profile_is_compared_alone() {
    let both = vec![
        profile(1, ProfileStatus::Disabled, MspVerdict::Valid),
        profile(2, ProfileStatus::Disabled, MspVerdict::Valid),
    ];
    let one = sync::View {
        asked: Some(iccid(2)),
        ..view(both, Listing::NoSuchProfile)
    };
    let decision = compare(&at(HOUR), &one, fresh());
    assert_eq!(verdicts(&decision), [(iccid(2), MspVerdict::Orphaned)]);
    assert_eq!(outcome(&decision).0, "repaired");
}

#[test]
fn questions_survive_being_stored() {
    for question in [
        Question::All,
        Question::One(iccid(1)),
        Question::Candidate(iccid(2)),
    ] {
        let call = query(&at(1), &federation(None), &question);
        assert_eq!(Question::from_text(&call.body), Some(question));
    }
    for odd in ["", "one", "one x", "all 1", "candidate "] {
        assert_eq!(Question::from_text(odd), None, "{odd:?}");
    }
}

/// The MSP took profile 1 although 2 was offered.
fn other_taken(policy: SwapCandidate) -> Decision {
    let list = [
        profile(1, ProfileStatus::Disabled, MspVerdict::Valid),
        profile(2, ProfileStatus::Disabled, MspVerdict::Valid),
    ];
    let open = CodeRequest {
        replace_iccid: Some(iccid(2)),
        ..stored(&asked(Vec::new(), Vec::new(), 0))
    };
    let mut context = at(1);
    context.policy.swap_candidate = policy;
    let answer = code(Some(iccid(1)));
    answered(&context, &open, &federation(None), of(&list), answer)
}

// R-4.3.1-14 R-4.3.1-17
#[test]
fn the_candidate_of_another_swap_goes_only_when_the_msp_lost_it() {
    let gone = |d: &Decision| orders(d).into_iter().map(|o| o.eid).collect::<Vec<_>>();
    let asked = other_taken(SwapCandidate::Ask);
    assert_eq!(gone(&asked), [eid(1)], "what was taken goes at once");
    assert_eq!(calls(&asked), 1, "and the MSP is asked about the other");
    let keep = other_taken(SwapCandidate::Keep);
    assert_eq!((gone(&keep).len(), calls(&keep)), (1, 0));
    let delete = other_taken(SwapCandidate::Delete);
    assert_eq!(gone(&delete), [eid(1), eid(2)]);

    let candidate = profile(2, ProfileStatus::Disabled, MspVerdict::Valid);
    let hear = |listing| sync::candidate(&at(2), &federation(None), Some(&candidate), &listing);
    let good = hear(listed(&[(2, ProfileState::Installed)]));
    assert!(orders(&good).is_empty(), "a good profile stays");
    assert!(
        orders(&hear(Listing::NoSuchUser)).is_empty(),
        "no answer, no deletion"
    );
    for listing in [listed(&[]), Listing::NoSuchProfile] {
        assert_eq!(gone(&hear(listing)), [eid(2)]);
    }
    assert_eq!(
        sync::candidate(&at(2), &federation(None), None, &Listing::NoSuchProfile),
        Decision::default()
    );
}

// R-4.3.1-22
#[test]
fn a_profile_that_is_being_deleted_is_the_best_candidate() {
    let list = vec![
        profile(1, ProfileStatus::Disabled, MspVerdict::Valid),
        profile(2, ProfileStatus::Disabled, MspVerdict::Valid),
        profile(3, ProfileStatus::Enabled, MspVerdict::Valid),
    ];
    let offered = |profiles: Vec<Profile>, deleting: &[u32]| {
        let view = View {
            logged_in: true,
            federation: Some(federation(None)),
            profiles,
            deleting: deleting.iter().map(|n| iccid(*n)).collect(),
            ..View::default()
        };
        stored(&request(&at(1), view, eid(9), fresh(), EVA)).replace_iccid
    };
    assert_eq!(offered(list.clone(), &[]), Some(iccid(1)));
    assert_eq!(offered(list.clone(), &[2]), Some(iccid(2)));
    // One that is in use only if there is no other (n = 1).
    assert_eq!(offered(vec![list[2].clone()], &[]), Some(iccid(3)));
    let old_but_enabled = Profile {
        last_used: 0,
        ..list[2].clone()
    };
    let mut both = vec![old_but_enabled];
    both.extend(list[..1].to_vec());
    assert_eq!(offered(both, &[]), Some(iccid(1)));
}

// R-4.3-5 R-2-11
#[test]
fn the_users_choice_says_which_subscription_serves() {
    let link = |id: u8, ended_at| Federation {
        id: [id; 16],
        ended_at,
        ..federation(None)
    };
    let two = [link(1, None), link(2, None)];
    let id = |list: &[Federation], here: Option<u8>, all: Option<u8>| {
        let id = |n: Option<u8>| n.map(|n| [n; 16]);
        serving::choose(list, id(here), id(all)).map(|f| f.id[0])
    };
    assert_eq!(id(&two, None, None), Some(1), "the oldest without a choice");
    assert_eq!(id(&two, None, Some(2)), Some(2));
    assert_eq!(
        id(&two, Some(1), Some(2)),
        Some(1),
        "this car before all others"
    );
    assert_eq!(
        id(&two, Some(9), Some(2)),
        Some(2),
        "a choice that is gone counts no more"
    );
    assert_eq!(
        id(&[link(1, Some(5)), link(2, None)], Some(1), Some(1)),
        Some(2)
    );
    assert_eq!(id(&[link(1, Some(5))], None, None), None);
}
