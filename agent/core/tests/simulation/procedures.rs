//! The car's part of the procedures of §4.4, §4.5 and A.4, one by one: orders in every situation, full
//! card, resets, logins by code, AID User Profile.

use crate::world::*;
use aid_agent_core::*;
use std::collections::BTreeMap;

/// A world where user `a` is logged in with their profile (number 1) enabled.
fn provisioned() -> World {
    let mut world = World::new();
    world.set_link(true);
    world.settle();
    log_in(&mut world, b'a');
    world
}

/// Logs a user in and lets everything come to rest, code included.
fn log_in(world: &mut World, user: u8) {
    world.step(&Step::Login(user));
    world.settle();
    world.answer();
    world.check_reports();
}

fn delete(world: &mut World, id: u8, n: u64) {
    let kind = OrderKind::Delete { iccid: iccid(n) };
    let order_id = [id; 16];
    world.inbound(Down::Order { order_id, kind });
}

/// What happened to a profile, in order.
fn history(world: &World, n: u64) -> Vec<Status> {
    let about = world.history.iter().filter(|(i, _)| *i == iccid(n));
    about.map(|(_, s)| *s).collect()
}

// R-4.4.1-10 R-4.5-4: another user is logged in; their own profile stays enabled.
#[test]
fn a_delete_order_for_a_profile_of_somebody_else() {
    let mut world = provisioned();
    world.step(&Step::Logout);
    log_in(&mut world, b'b');
    delete(&mut world, 9, 1);
    world.check_reports();
    assert_eq!(world.card, BTreeMap::from([(iccid(2), true)]));
    assert_eq!(history(&world, 2), [Status::Installed, Status::Enabled]);
}

// R-4.3.1-18 R-4.4.1-15: the order was given while the car was away for months, and comes twice.
#[test]
fn orders_after_months_and_twice_are_executed_once() {
    let mut world = provisioned();
    world.set_link(false);
    world.step(&Step::Logout);
    world.settle();
    world.cut(false);
    world.now += 200 * 24 * 3600 * 1000;
    world.set_link(true);
    world.settle();
    delete(&mut world, 9, 1);
    delete(&mut world, 9, 1);
    delete(&mut world, 8, 1);
    world.check_reports();
    assert!(world.card.is_empty());
    assert!(world.agent.durable().orders().is_empty());
    let deleted = history(&world, 1);
    assert_eq!(deleted.iter().filter(|s| **s == Status::Deleted).count(), 1);
}

/// A CMP whose database was restored sends an order again whose result it had: it gets one again.
#[test]
fn a_closed_order_gets_its_result_again() {
    let mut world = provisioned();
    delete(&mut world, 9, 1);
    world.settle();
    assert_eq!(world.outcomes.remove(&[9; 16]), Some(OrderOutcome::Done));
    assert!(world.agent.durable().is_closed([9; 16]));
    delete(&mut world, 9, 1);
    world.settle();
    assert_eq!(world.outcomes.get(&[9; 16]), Some(&OrderOutcome::NotFound));
    let deleted = history(&world, 1);
    assert_eq!(deleted.iter().filter(|s| **s == Status::Deleted).count(), 1);
}

// R-4.4.1-10: a reboot at any effect of a deletion; the order is there again, and is executed once.
#[test]
fn a_power_cut_at_any_point_of_a_deletion() {
    for cut in 0..40 {
        for happened in [false, true] {
            let mut world = provisioned();
            delete(&mut world, 9, 1);
            for _ in 0..cut {
                if !world.effect() {
                    world.cmp();
                }
            }
            world.cut(happened);
            world.set_link(true);
            world.settle();
            // What the CMP does with an order without a result, whenever a car connects.
            delete(&mut world, 9, 1);
            world.check_reports();
            assert!(world.card.is_empty(), "cut {cut}");
            assert!(world.agent.durable().orders().is_empty(), "cut {cut}");
        }
    }
}

// R-A.4-4 R-A.4-5: end of a rental: everybody's profiles go, a code that was promised leads to nothing.
#[test]
fn a_reset_deletes_everything_and_ends_the_session() {
    let mut world = provisioned();
    world.step(&Step::Logout);
    log_in(&mut world, b'b');
    world.step(&Step::Login(b'c'));
    world.settle();
    assert_eq!(world.requests.len(), 1);
    world.step(&Step::DeleteAll);
    world.check_reports();
    assert!(world.card.is_empty());
    assert!(world.agent.session().is_none());
    assert_eq!(world.agent.durable().owners().count(), 0);
    world.answer();
    world.check_reports();
    assert!(world.card.is_empty(), "a late code installs nothing");
    assert_eq!(world.reset_results.len(), 1);
    // The car goes on working for the next renter.
    log_in(&mut world, b'd');
    assert_eq!(world.card.len(), 1);
}

// R-A.4-4: a reset while a profile is on its way.
#[test]
fn a_reset_during_a_download() {
    let mut world = World::new();
    world.set_link(true);
    world.settle();
    world.step(&Step::Login(b'a'));
    world.settle();
    world.answer();
    while !matches!(world.op, Some((_, EuiccOp::Download { .. }))) {
        assert!(world.effect());
    }
    world.step(&Step::DeleteAll);
    world.check_reports();
    assert!(world.card.is_empty());
    assert_eq!(history(&world, 1), [Status::Installed, Status::Deleted]);
    assert_eq!(world.reset_results.len(), 1);
}

// R-A.3-4 R-2-9: one user is erased, the others keep theirs.
#[test]
fn an_erased_user_leaves_nothing_behind() {
    let mut world = provisioned();
    world.step(&Step::Profile(b'a'));
    world.settle();
    assert!(world.agent.session().is_some_and(|s| s.profile.is_some()));
    world.step(&Step::Logout);
    log_in(&mut world, b'b');
    world.step(&Step::Erase(b'a'));
    world.check_reports();
    assert_eq!(world.card, BTreeMap::from([(iccid(2), true)]));
    assert_eq!(world.agent.durable().owner(&iccid(1)), None);
    world.step(&Step::Erase(b'b'));
    world.check_reports();
    assert!(world.card.is_empty());
    assert!(world.agent.session().is_none());
    assert_eq!(world.agent.durable().owners().count(), 0);
}

// R-A.4-3: the card is full; the CMP has another profile deleted, then the same code installs.
#[test]
fn a_full_card_makes_space_and_downloads_again() {
    let mut world = provisioned();
    world.step(&Step::Logout);
    world.step(&Step::Full);
    log_in(&mut world, b'b');
    assert_eq!(world.card, BTreeMap::from([(iccid(2), true)]));
    assert_eq!(history(&world, 1).last(), Some(&Status::Deleted));
}

// R-A.4-3: nothing may go: the installation has failed, the CMP hears so, and nothing is asked again.
#[test]
fn a_full_card_with_nothing_that_may_go() {
    let mut world = World::new();
    world.set_link(true);
    world.settle();
    world.step(&Step::Full);
    log_in(&mut world, b'a');
    assert!(world.card.is_empty());
    assert_eq!(world.agent.phase(), Phase::NoProfile);
    let failed = world
        .reports
        .values()
        .any(|(_, s)| *s == Status::InstallationFailed);
    assert!(failed && world.requests.is_empty());
}

// R-A.4-3: the car asks for space until the CMP hears it: without a link that ends no download.
#[test]
fn a_full_card_waits_for_the_cmp() {
    let mut world = provisioned();
    world.step(&Step::Logout);
    world.step(&Step::Login(b'b'));
    world.settle();
    world.answer();
    for _ in 0..8 {
        world.set_link(false);
        world.step(&Step::Full);
        while world.effect() {}
        let (at, _) = world.agent.poll_timeout().expect("another try");
        world.now = world.now.max(at.0);
        world.agent.handle_timeout(BootMs(world.now));
    }
    world.check_reports();
    let failed = |(_, s): &(Option<Iccid>, Status)| *s == Status::InstallationFailed;
    assert!(!world.reports.values().any(failed));
    assert_eq!(world.codes_given, 2);
    assert!(world.card.values().any(|enabled| *enabled));
}

// Somebody else deletes the enabled profile: there is nothing to disable, and the next login works.
#[test]
fn a_profile_that_somebody_else_deleted_blocks_nothing() {
    let mut world = provisioned();
    world.card.clear();
    world.history.push((iccid(1), Status::Deleted));
    world.step(&Step::Logout);
    world.settle();
    assert_eq!(world.agent.durable().intent(), None);
    assert_eq!(world.agent.phase(), Phase::Guest);
    let last = world.reports.values().last().cloned();
    assert_eq!(last, Some((Some(iccid(1)), Status::Deleted)));
    log_in(&mut world, b'a');
    assert_eq!(world.card, BTreeMap::from([(iccid(2), true)]));
}

// R-4.5-10 R-A.4-1: the user deletes their profile at the HMI; none comes back before they say so, not
// even after the next login.
#[test]
fn a_user_deletes_his_own_profile_in_the_car() {
    let mut world = provisioned();
    world.step(&Step::DeleteOwn);
    world.check_reports();
    assert!(world.card.is_empty());
    assert!(world.requests.is_empty(), "it asked for another by itself");
    assert_eq!(world.asks, [account(b'a')], "the CMP knows who deleted it");
    world.step(&Step::Logout);
    world.step(&Step::Login(b'a'));
    world.check_reports();
    assert!(world.agent.session().is_some_and(|s| s.asking()));
    assert!(world.requests.is_empty());
    world.step(&Step::Provision);
    world.settle();
    assert_eq!((world.requests.len(), world.asked_again), (1, 1));
    world.answer();
    world.check_reports();
    assert_eq!(world.card, BTreeMap::from([(iccid(2), true)]));
}

// R-2-10: nobody deletes what is somebody else's.
#[test]
fn a_user_can_not_delete_the_profile_of_another() {
    let mut world = provisioned();
    world.step(&Step::Logout);
    log_in(&mut world, b'b');
    world.event(Event::DeleteOwn { iccid: iccid(1) });
    world.check_reports();
    assert!(world.card.contains_key(&iccid(1)));
    world.step(&Step::Logout);
    world.event(Event::DeleteOwn { iccid: iccid(2) });
    world.check_reports();
    assert_eq!(world.card.len(), 2);
}

// R-1.1-3 R-4.3-3: a login by code, approved on a page; the link drops in between.
#[test]
fn a_login_by_code_survives_a_lost_link() {
    let mut world = World::new();
    world.set_link(true);
    world.settle();
    world.step(&Step::LoginByCode);
    world.settle();
    assert_eq!(world.codes.len(), 1);
    assert_eq!(world.agent.phase(), Phase::LoggingIn);
    world.set_link(false);
    world.step(&Step::Approve(b'a'));
    world.settle();
    assert!(world.agent.session().is_none());
    world.set_link(true);
    world.settle();
    assert_eq!(
        world.agent.session().map(|s| s.account),
        Some(account(b'a'))
    );
    assert_eq!(world.codes.len(), 1, "the same code, not another");
}

// R-1.1-3: a code that nobody approves ends by itself.
#[test]
fn a_login_by_code_ends_with_its_code() {
    let mut world = World::new();
    world.set_link(true);
    world.settle();
    world.step(&Step::LoginByCode);
    world.settle();
    world.now += 590_000;
    world.agent.handle_timeout(BootMs(world.now));
    assert_eq!(world.agent.phase(), Phase::LoggingIn);
    world.now += 20_000;
    world.agent.handle_timeout(BootMs(world.now));
    assert_eq!(world.agent.phase(), Phase::Guest);
}

// R-1.1-3: answers that come after their time, before the timer was looked at (the car slept).
#[test]
fn answers_to_a_login_that_come_too_late_log_nobody_in() {
    for (slept, comes) in [(29_000, true), (30_000, false), (8 * 3_600_000, false)] {
        let mut world = World::new();
        world.set_link(true);
        world.settle();
        world.step(&Step::Login(b'a'));
        while world.effect() {}
        let login_id = (u128::from(world.ids) << 64).to_be_bytes();
        world.now += slept - 1;
        world.event(Event::Inbound {
            message_id: login_id,
            body: accepted(login_id, b'a'),
        });
        assert_eq!(world.agent.session().is_some(), comes, "{slept}");
        assert!(
            world
                .agent
                .poll_timeout()
                .is_none_or(|(_, t)| t != Timer::Login)
        );
        // Nor does a repetition.
        if !comes {
            world.event(Event::Inbound {
                message_id: login_id,
                body: accepted(login_id, b'a'),
            });
            assert!(world.agent.session().is_none());
        }
    }
}

// R-1.1-3: a repetition of the code, or a long life, does not prolong the login.
#[test]
fn a_code_that_is_shown_lives_as_long_as_it_first_said() {
    for (first, later, ends) in [
        (600, 600, 600_u64),
        (600, 60, 160),
        (0, 600, 0),
        (u32::MAX, u32::MAX, 3600),
    ] {
        let mut world = World::new();
        world.set_link(true);
        world.settle();
        let login_id = world.id();
        world.event(Event::LoginByCode { login_id });
        while world.effect() {}
        let code = |expires_in| Down::LoginCode {
            login_id,
            code: "BCDF-GHJK".into(),
            url: "https://cmp.example/car".into(),
            expires_in,
        };
        let start = world.now + 1;
        world.event(Event::Inbound {
            message_id: login_id,
            body: code(first),
        });
        world.now = start + 100_000 - 1;
        world.event(Event::Inbound {
            message_id: login_id,
            body: code(later),
        });
        let deadline = world
            .agent
            .poll_timeout()
            .filter(|(_, t)| *t == Timer::Login);
        let expected = (ends > 0).then_some(start + ends * 1000);
        assert_eq!(deadline.map(|(at, _)| at.0), expected, "{first} {later}");
    }
}

// R-2-9 R-2-3: the profile is there while its user is, is renewed, and goes with them.
#[test]
fn the_user_profile_lives_as_long_as_the_session() {
    let mut world = provisioned();
    world.step(&Step::Profile(b'b'));
    world.settle();
    assert!(world.agent.session().is_some_and(|s| s.profile.is_none()));
    world.step(&Step::Profile(b'a'));
    world.settle();
    let held = world.agent.session().and_then(|s| s.profile.clone());
    assert_eq!(held, Some(user_profile(b'a')));
    world.step(&Step::Logout);
    world.step(&Step::Profile(b'a'));
    world.check_reports();
    assert!(world.agent.session().is_none());
    log_in(&mut world, b'a');
    assert!(world.agent.session().is_some_and(|s| s.profile.is_none()));
    // Nothing of it was ever in the journal.
    let needle = b"seat";
    for record in &world.journal {
        assert!(!record.windows(needle.len()).any(|w| w == needle));
    }
}

// R-4.3-14: logged out by the CMP.
#[test]
fn the_cmp_ends_a_session() {
    let mut world = provisioned();
    let (order_id, account) = ([9; 16], account(b'a'));
    let kind = OrderKind::Logout { account };
    world.inbound(Down::Order { order_id, kind });
    world.check_reports();
    assert!(world.agent.session().is_none());
    assert_eq!(world.card, BTreeMap::from([(iccid(1), false)]));
}

// A snapshot of an older agent, which had fewer fields, is read.
#[test]
fn older_snapshots_are_read() {
    let world = provisioned();
    let snapshot = world.agent.snapshot().expect("at rest");
    for missing in 0..=3 {
        let older = &snapshot[..snapshot.len() - missing];
        let state = Durable::restore(Some(older), &[]).expect("older");
        assert_eq!(&state, world.agent.durable());
    }
}

// R-4.3-14: the user leaves without a link, and somebody begins a login by code that nobody approves.
#[test]
fn a_logout_before_a_login_that_nobody_approves_reaches_the_cmp() {
    let mut world = World::new();
    for step in [
        Step::Login(b'a'),
        Step::Link(true),
        Step::Run(10),
        Step::Link(false),
        Step::Logout,
        Step::LoginByCode,
    ] {
        world.step(&step);
    }
    world.check_reports();
    assert_eq!(world.book.1, None);
}
