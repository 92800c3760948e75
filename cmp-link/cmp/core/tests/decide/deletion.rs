//! §4.5 and A.4: one profile for each trigger, a whole car, a unit that is gone, a full card.

use super::*;
use aid_cmp_core::decide::deletion::{Car, Trigger, clear, delete, gone, make_space};
use aid_cmp_core::decide::policy::Workshop;
use aid_cmp_core::decide::{profiles, removal};
use aid_cmp_core::model::{CallState, NoticeKind, Vehicle};

const BOB: AccountRef = AccountRef([2; 16]);

/// A profile in car 1.
fn here(n: u32, owner: u8, status: ProfileStatus) -> Profile {
    Profile {
        federation: [owner; 16],
        eid: eid(1),
        ..profile(n, status, MspVerdict::Valid)
    }
}

fn bobs() -> Federation {
    Federation {
        id: [2; 16],
        account: BOB,
        token: MspToken::from_bytes([2; 16]),
        ..federation(None)
    }
}

fn car(profiles: Vec<Profile>) -> Car {
    Car {
        vehicle: Vehicle {
            vin: Some("WAUZZZ4G0DN000001".into()),
            ..Vehicle::new(eid(1), 0)
        },
        profiles,
        federations: vec![federation(None), bobs()],
        orders: Vec::new(),
        users: vec![EVA, BOB],
        requests: Vec::new(),
        wanted: vec![[1; 16], [2; 16]],
    }
}

fn kinds(decision: &Decision) -> Vec<OrderKind> {
    orders(decision).into_iter().map(|o| o.kind).collect()
}

fn removed(n: u32) -> OrderKind {
    OrderKind::Delete { iccid: iccid(n) }
}

fn notices(decision: &Decision) -> Vec<(AccountRef, NoticeKind)> {
    let list = decision.changes.iter();
    list.filter_map(|c| match c {
        Change::AddNotice(n) => Some((n.account, n.kind)),
        _ => None,
    })
    .collect()
}

fn reasons(decision: &Decision) -> Vec<String> {
    let list = decision.changes.iter();
    list.filter_map(|c| match c {
        Change::Audit(a) => Some(a.reason.clone().unwrap_or_default()),
        _ => None,
    })
    .collect()
}

// R-4.5-1 R-4.5-4 R-A.4-1
#[test]
fn one_profile_goes_and_no_other() {
    for trigger in [Trigger::User, Trigger::Operator] {
        let own = here(1, 1, ProfileStatus::Enabled);
        let decision = delete(&at(5), &own, false, trigger, Some("why".into()));
        let given = orders(&decision);
        assert_eq!(given.len(), 1);
        assert_eq!((given[0].eid, &given[0].kind), (eid(1), &removed(1)));
        assert_eq!(given[0].federation, Some([1; 16]));
        assert_eq!(reasons(&decision), ["why"]);
        // Asked twice, ordered once; what is gone is not deleted.
        assert!(orders(&delete(&at(5), &own, true, trigger, None)).is_empty());
        for status in [
            ProfileStatus::Deleted,
            ProfileStatus::Failed,
            ProfileStatus::Lost,
        ] {
            let nothing = delete(&at(5), &here(1, 1, status), false, trigger, None);
            assert_eq!(nothing, Decision::default());
        }
    }
}

// R-4.5-10
#[test]
fn what_the_user_deleted_comes_back_only_when_he_says_so() {
    let own = here(1, 1, ProfileStatus::Disabled);
    let holds = |d: &Decision| {
        d.changes.iter().find_map(|c| match c {
            Change::SetHold(h) => Some(h.clone()),
            _ => None,
        })
    };
    let hold = holds(&delete(&at(5), &own, false, Trigger::User, None)).expect("a hold");
    assert_eq!((hold.federation, hold.eid), ([1; 16], eid(1)));
    let operator = delete(&at(5), &own, false, Trigger::Operator, None);
    assert_eq!(
        holds(&operator),
        None,
        "an operator's deletion holds nothing back"
    );

    let ask = |held, again| {
        let view = View {
            logged_in: true,
            federation: Some(federation(None)),
            held,
            again,
            ..View::default()
        };
        request(&at(9), view, eid(1), fresh(), EVA)
    };
    let silent = ask(Some(hold.clone()), false);
    assert!(silent.changes.is_empty(), "nothing is asked of the MSP");
    assert_eq!(answer_of(&silent), CodeOutcome::Ask);
    let again = ask(Some(hold), true);
    assert!(
        again
            .changes
            .iter()
            .any(|c| matches!(c, Change::ClearHold(f, e) if (*f, *e) == ([1; 16], eid(1))))
    );
    assert!(
        again
            .changes
            .iter()
            .any(|c| matches!(c, Change::AddCall(_)))
    );
    assert!(
        ask(None, false)
            .changes
            .iter()
            .any(|c| matches!(c, Change::AddCall(_)))
    );
}

// R-A.4-4
#[test]
fn the_end_of_a_rental_deletes_all_renters_profiles() {
    let car = car(vec![
        here(1, 1, ProfileStatus::Enabled),
        here(2, 2, ProfileStatus::Disabled),
        here(3, 2, ProfileStatus::Deleted),
    ]);
    let decision = clear(&at(5), &car, Trigger::RentalEnd, None);
    let logout = |account| OrderKind::Logout { account };
    assert_eq!(
        kinds(&decision),
        [logout(EVA), logout(BOB), removed(1), removed(2)]
    );
    assert_eq!(
        notices(&decision),
        [(EVA, NoticeKind::CarCleared), (BOB, NoticeKind::CarCleared)]
    );
    let forget = Change::ForgetLogins(eid(1));
    assert!(
        decision.changes.contains(&forget),
        "yesterday's renter asks for no code"
    );
    // What is ordered already is not ordered again.
    let ordered = Car {
        orders: orders(&decision),
        ..car
    };
    let again = clear(&at(6), &ordered, Trigger::RentalEnd, None);
    assert_eq!(kinds(&again), [logout(EVA), logout(BOB)]);
}

// R-A.4-5
#[test]
fn a_workshop_does_what_the_policy_says() {
    let car = car(vec![here(1, 1, ProfileStatus::Enabled)]);
    let visit = |workshop| {
        let mut context = at(5);
        context.policy.workshop = workshop;
        kinds(&clear(&context, &car, Trigger::Workshop, None))
    };
    assert!(visit(Workshop::Keep).is_empty());
    let disable = OrderKind::Disable { iccid: iccid(1) };
    assert_eq!(visit(Workshop::Disable).last(), Some(&disable));
    assert_eq!(visit(Workshop::Delete).last(), Some(&removed(1)));
}

// R-A.4-6 R-4.3.1-18 R-4.4.2-5
#[test]
fn an_exchanged_unit_closes_what_it_can_not_do_any_more() {
    let mut car = car(vec![
        here(1, 1, ProfileStatus::Enabled),
        here(2, 2, ProfileStatus::Prepared),
        here(3, 2, ProfileStatus::Deleted),
    ]);
    let order = at(0).order(eid(1), removed(1), "r");
    car.orders = vec![order.clone()];
    let open = stored(&asked(Vec::new(), Vec::new(), 0));
    car.requests = vec![CodeRequest {
        eid: eid(1),
        ..open.clone()
    }];
    let new = Vehicle {
        vin: car.vehicle.vin.clone(),
        ..Vehicle::new(eid(7), 5)
    };
    let decision = gone(&at(5), &car, Some(new.clone()), "water damage");
    let changes = &decision.changes;
    assert!(changes.contains(&Change::AddVehicle(new)));
    assert!(
        changes
            .iter()
            .any(|c| matches!(c, Change::RetireVehicle(e, 5, why, by)
        if *e == eid(1) && *by == Some(eid(7)) && why.contains("water damage")))
    );
    assert!(changes.contains(&Change::CloseOrder(order.id, OrderState::Closed, None, 5)));
    assert!(changes.iter().any(|c| matches!(c, Change::Happened(h)
        if h.work == order.id && h.detail.contains("unit replaced"))));
    let lost = changes.iter().filter_map(|c| match c {
        Change::PutProfile(p) => Some((p.iccid.clone(), p.status)),
        _ => None,
    });
    let expected = [iccid(1), iccid(2)].map(|i| (i, ProfileStatus::Lost));
    assert_eq!(lost.collect::<Vec<_>>(), expected);
    assert!(!ProfileStatus::Lost.may_be_on_card());
    assert!(changes.iter().any(|c| matches!(c, Change::PutRequest(r)
        if r.id == open.id && r.state == RequestState::Failed)));
    assert!(changes.contains(&Change::CloseCall(open.id, CallState::Dropped, 5)));
    assert!(
        orders(&decision).is_empty(),
        "nobody is there to do anything"
    );
    let told = |d: &Decision| {
        let list = d.changes.iter();
        list.filter(|c| matches!(c, Change::AddCall(call) if call.body.contains("\"deleted\"")))
            .count()
    };
    assert_eq!(told(&decision), 2, "the MSPs take both off their networks");
    let mut silent = at(5);
    silent.policy.report_lost_units = false;
    assert_eq!(told(&gone(&silent, &car, None, "sold")), 0);
}

// R-A.4-3
#[test]
fn a_full_card_gives_up_the_profile_that_was_not_used_for_longest() {
    let used = |n, owner, status, last_used| Profile {
        last_used,
        ..here(n, owner, status)
    };
    let full = car(vec![
        used(1, 2, ProfileStatus::Enabled, 1),
        used(2, 2, ProfileStatus::Disabled, 9),
        used(3, 2, ProfileStatus::Installed, 5),
        used(4, 1, ProfileStatus::Disabled, 2),
        used(5, 2, ProfileStatus::Prepared, 0),
    ]);
    let (decision, granted) = make_space(&at(10), &full, [1; 16]);
    assert!(granted);
    assert_eq!(kinds(&decision), [removed(3)]);
    assert_eq!(notices(&decision), [(BOB, NoticeKind::CardFull)]);
    // While that is on its way nothing else goes.
    let going = Car {
        orders: orders(&decision),
        ..full.clone()
    };
    let (again, granted) = make_space(&at(11), &going, [1; 16]);
    assert!(granted && orders(&again).is_empty());
    // An enabled profile never goes, nor the asking user's own.
    let tight = car(vec![
        used(1, 2, ProfileStatus::Enabled, 1),
        used(4, 1, ProfileStatus::Disabled, 2),
    ]);
    assert_eq!(
        make_space(&at(10), &tight, [1; 16]),
        (Decision::default(), false)
    );
    let mut kept = at(10);
    kept.policy.make_space = false;
    assert_eq!(
        make_space(&kept, &full, [1; 16]),
        (Decision::default(), false)
    );
}

fn information(
    federation: &Federation,
    own: &[Profile],
    n: u32,
    status: aid_aid1::body::ProfileValidity,
) -> Decision {
    let body = aid_aid1::body::SendProfileInformation {
        profiles: vec![aid_aid1::body::ProfileInformation {
            iccid: iccid(n),
            status,
            reason: Some("bill".into()),
        }],
    };
    profiles::information(&at(5), federation, own, &[true], body).unwrap()
}

// R-4.7-2 R-4.7-3 R-4.7-4 R-7.5-5 R-7.5-7 R-7.5-9 R-7.5-10
#[test]
fn the_msps_word_about_a_profile_has_its_effect() {
    use aid_aid1::body::ProfileValidity::{Invalid, Suspended, Valid};
    let own = [here(1, 1, ProfileStatus::Disabled)];
    let dead = information(&federation(None), &own, 1, Invalid);
    assert_eq!(kinds(&dead), [removed(1)]);
    assert_eq!(notices(&dead), [(EVA, NoticeKind::Invalid)]);
    let blocked = information(&federation(None), &own, 1, Suspended);
    assert!(orders(&blocked).is_empty());
    assert_eq!(notices(&blocked), [(EVA, NoticeKind::Suspended)]);
    let suspended = [Profile {
        verdict: MspVerdict::Suspended,
        ..own[0].clone()
    }];
    let back = information(&federation(None), &suspended, 1, Valid);
    assert!(orders(&back).is_empty());
    assert_eq!(notices(&back), [(EVA, NoticeKind::Resumed)]);
    // With the end of the link its deletion was ordered already.
    let after = information(&federation(Some(1)), &own, 1, Invalid);
    assert!(orders(&after).is_empty());
    let swapped = [Profile {
        verdict: MspVerdict::Swapped,
        ..own[0].clone()
    }];
    assert!(orders(&information(&federation(None), &swapped, 1, Invalid)).is_empty());
}

// R-4.4.1-14 R-4.4.2-4 R-A.3-4
#[test]
fn an_ended_link_goes_after_its_last_profile_and_not_before() {
    let day = aid_cmp_core::decide::policy::DAY_MS;
    let rest = |status, open_orders, calls| removal::Rest {
        federation: federation(Some(day)),
        profiles: vec![here(1, 1, status)],
        open_orders,
        calls,
    };
    let kept = |now, rest: &removal::Rest| removal::why_kept(&at(now), rest);
    let done = rest(ProfileStatus::Deleted, 0, false);
    assert!(kept(2 * day, &done).is_some(), "not long enough ago");
    assert_eq!(kept(31 * day, &done), None);
    // However long ago it ended: a car that is away keeps it.
    for rest in [
        rest(ProfileStatus::Enabled, 0, false),
        rest(ProfileStatus::Prepared, 0, false),
        rest(ProfileStatus::Deleted, 1, false),
        rest(ProfileStatus::Deleted, 0, true),
    ] {
        assert!(kept(4000 * day, &rest).is_some());
    }
    assert_eq!(kept(31 * day, &rest(ProfileStatus::Lost, 0, false)), None);
    let alive = removal::Rest {
        federation: federation(None),
        ..done
    };
    assert!(kept(4000 * day, &alive).is_some());
    let purged = removal::purge(&at(1), &federation(Some(0)));
    assert!(purged.changes.contains(&Change::PurgeFederation([1; 16])));
}

// R-A.3-4
#[test]
fn an_erased_user_is_forgotten_everywhere() {
    let account = Account {
        id: EVA,
        name: "eva".into(),
        display_name: "Eva".into(),
        password: Secret::new(String::new()),
        pin_mac: None,
        created_at: 0,
    };
    let decision = removal::erase(&at(5), &account, &[eid(1), eid(2)], Some("asked".into()));
    let cars: Vec<_> = orders(&decision)
        .into_iter()
        .map(|o| (o.eid, o.kind))
        .collect();
    let erase = OrderKind::Erase { account: EVA };
    assert_eq!(cars, [(eid(1), erase.clone()), (eid(2), erase)]);
    assert!(decision.changes.contains(&Change::EraseAccount(EVA)));
    let text = format!("{:?}", decision.changes);
    assert!(
        !text.contains("eva") && !text.contains("Eva"),
        "the trail names nobody"
    );
}
