//! Orders belong to the link and the installation that they were given for, not to the number of a profile alone.

use super::*;
use aid_aid1::body::{ProfileInformation, ProfileValidity, SendProfileInformation};
use aid_cmp_core::decide::{deletion, profiles, sync};

fn delete_order(n: u32, car: u32, created_at: u64) -> Order {
    let context = at(created_at);
    let kind = OrderKind::Delete { iccid: iccid(n) };
    context.order(eid(car), kind, "test").of([1; 16])
}

fn code(n: u32) -> Answer {
    Answer::Code {
        code: "1$h$X".parse().unwrap(),
        iccid: Some(iccid(n)),
        swapped: None,
    }
}

fn closed(decision: &Decision) -> Vec<Id> {
    let list = decision.changes.iter();
    list.filter_map(|c| match c {
        Change::CloseOrder(id, ..) => Some(*id),
        _ => None,
    })
    .collect()
}

// R-4.3.1-22, R-7.7-8: whatever its state, a profile of the car that asks is never offered.
#[test]
fn a_profile_of_the_asking_car_is_never_a_candidate() {
    use ProfileStatus as S;
    for status in [
        S::Prepared,
        S::Installed,
        S::Enabled,
        S::Disabled,
        S::Failed,
        S::Lost,
    ] {
        let here = Profile {
            eid: eid(9),
            last_used: 0,
            ..profile(1, status, MspVerdict::Valid)
        };
        let alone = stored(&asked(vec![here.clone()], Vec::new(), 0));
        assert_eq!(alone.replace_iccid, None, "{status:?}");
        let elsewhere = profile(2, S::Enabled, MspVerdict::Orphaned);
        let both = stored(&asked(vec![here, elsewhere], Vec::new(), 0));
        assert_eq!(both.replace_iccid, Some(iccid(2)), "{status:?}");
    }
}

// R-4.3.1-16: one profile is in one car. What may be on a card is not given to another car, and its entry stays.
#[test]
fn a_profile_that_may_be_on_a_card_is_not_taken_for_another_car() {
    use ProfileStatus as S;
    let open = stored(&asked(Vec::new(), Vec::new(), 0));
    for status in [
        S::Prepared,
        S::Installed,
        S::Enabled,
        S::Disabled,
        S::Failed,
        S::Deleted,
        S::Lost,
    ] {
        for verdict in [
            MspVerdict::Valid,
            MspVerdict::Swapped,
            MspVerdict::Suspended,
        ] {
            let list = [profile(5, status, verdict)];
            let decision = answered(&at(7), &open, &federation(None), of(&list), code(5));
            let refused = matches!(answer_of(&decision), CodeOutcome::Failed { code: 49, .. });
            assert_eq!(refused, status.may_be_on_card(), "{status:?} {verdict:?}");
            let put = decision
                .changes
                .iter()
                .any(|c| matches!(c, Change::PutProfile(_)));
            assert_eq!(put, !refused);
        }
    }
    // The same car may get the same profile again.
    let here = Profile {
        eid: eid(9),
        ..profile(5, S::Prepared, MspVerdict::Valid)
    };
    let again = answered(&at(7), &open, &federation(None), of(&[here]), code(5));
    assert!(matches!(answer_of(&again), CodeOutcome::Code { .. }));
}

// R-A.3-5, R-4.3.1-18: an order about an earlier installation does not delete the present one.
#[test]
fn a_profile_that_is_given_again_outlives_earlier_orders() {
    let open = stored(&asked(Vec::new(), Vec::new(), 0));
    let orders = [delete_order(5, 9, 3), delete_order(6, 9, 3)];
    let with = |status| {
        let here = Profile {
            eid: eid(9),
            ..profile(5, status, MspVerdict::Valid)
        };
        let list = [here];
        let known = Known {
            profiles: &list,
            orders: &orders,
            foreign: false,
        };
        closed(&answered(&at(7), &open, &federation(None), known, code(5)))
    };
    // It is gone from the card: the order has nothing to do any more.
    assert_eq!(with(ProfileStatus::Deleted), [orders[0].id]);
    // It may be there still: the car deletes it before it uses the code.
    assert!(with(ProfileStatus::Disabled).is_empty());

    // The new one is installed, and the result of the old order never came.
    let installed = |created_at, orders: &[Order]| {
        let view = status::View {
            profile: Some(Profile {
                eid: eid(9),
                created_at,
                ..profile(5, ProfileStatus::Prepared, MspVerdict::Valid)
            }),
            federation: Some(federation(None)),
            orders: orders.to_vec(),
            ..status::View::default()
        };
        let report = Report {
            eid: eid(9),
            ..report(Some(iccid(5)), Status::Installed)
        };
        closed(&status::report(&at(10), view, &report))
    };
    assert_eq!(installed(7, &orders), [orders[0].id]);
    // An order of after the code is about this installation.
    assert!(installed(2, &orders).is_empty());
}

// A result that comes late says nothing of another installation, nor of another link.
#[test]
fn a_late_result_is_about_its_own_installation() {
    let gone = |order: &Order, profile: Profile| {
        let outcome = OrderOutcome::NotFound;
        let found = Some(profile);
        let done = order::result(
            &at(9),
            Some(order.clone()),
            found,
            eid(9),
            order.id,
            outcome,
        );
        done.changes
            .iter()
            .any(|c| matches!(c, Change::PutProfile(_)))
    };
    let of = |created_at, federation| Profile {
        eid: eid(9),
        created_at,
        federation,
        ..profile(5, ProfileStatus::Installed, MspVerdict::Valid)
    };
    let order = delete_order(5, 9, 3);
    assert!(gone(&order, of(3, [1; 16])));
    assert!(!gone(&order, of(4, [1; 16])), "given again since");
    assert!(!gone(&order, of(3, [2; 16])), "of another link");
}

// R-4.7-3, R-4.5-4, R-4.4.1-9: whoever wants a profile deleted, and in whatever order, its car has one order for it.
#[test]
fn every_pair_of_deletions_is_one_order() {
    let profile = profile(1, ProfileStatus::Disabled, MspVerdict::Valid);
    let own = [profile.clone()];
    let link = federation(None);
    let invalid = |now| {
        let body = SendProfileInformation {
            profiles: vec![ProfileInformation {
                iccid: iccid(1),
                status: ProfileValidity::Invalid,
                reason: None,
            }],
        };
        profiles::information(&at(now), &link, &own, &[true], body).unwrap()
    };
    let withdrawn = |now| withdraw(&at(now), &link, &own, &[], By::User, None);
    let user = |now| deletion::delete(&at(now), &profile, false, deletion::Trigger::User, None);
    let gone = |now| {
        let gone = sync::Listing::NoSuchProfile;
        sync::candidate(&at(now), &link, Some(&profile), &gone)
    };
    let swapped = |now| {
        let open = stored(&asked(own.to_vec(), Vec::new(), 0));
        let answer = Answer::Code {
            code: "1$h$X".parse().unwrap(),
            iccid: Some(iccid(5)),
            swapped: Some(iccid(1)),
        };
        answered(&at(now), &open, &link, of(&own), answer)
    };
    let all: [&dyn Fn(u64) -> Decision; 5] = [&invalid, &withdrawn, &user, &gone, &swapped];
    for (i, first) in all.iter().enumerate() {
        let before = orders(&first(1));
        assert_eq!(before.len(), 1, "{i}");
        for (j, second) in all.iter().enumerate() {
            let again = second(2);
            assert_eq!(orders(&again).len(), 1, "{j}");
            let kept = again.clone().without_repeated_deletions(&before);
            assert!(orders(&kept).is_empty(), "{i} {j}");
            let sent = |d: &Decision| {
                d.down
                    .iter()
                    .filter(|m| matches!(m.body, Down::Order { .. }))
                    .count()
            };
            assert_eq!(sent(&kept), 0, "{i} {j}");
            // Everything else of the decision stays.
            assert_eq!(kept.changes.len() + 1, again.changes.len());
        }
        // A closed one, one of another car, and one of another link are no reason to leave it out.
        let mut other = before[0].clone();
        for change in 0..3 {
            match change {
                0 => other.state = OrderState::Done,
                1 => (other.state, other.eid) = (OrderState::Open, eid(8)),
                _ => (other.eid, other.federation) = (before[0].eid, Some([9; 16])),
            }
            let kept = first(2).without_repeated_deletions(std::slice::from_ref(&other));
            assert_eq!(orders(&kept).len(), 1, "{i} {change}");
        }
    }
}
