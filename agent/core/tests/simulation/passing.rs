//! Other failures that pass: codes that are refused for now, orders that the card fails to obey, a
//! profile that is not enabled, notifications that their server does not take.

use crate::world::*;
use aid_agent_core::*;
use std::collections::BTreeMap;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

/// A world where user `a` is logged in with a profile (number 1) enabled.
fn provisioned() -> World {
    let mut world = World::new();
    world.set_link(true);
    world.settle();
    world.step(&Step::Login(b'a'));
    world.settle();
    world.answer();
    world.check_reports();
    world
}

/// Carries out what is due for this long.
fn run_for(world: &mut World, ms: u64) {
    let end = world.now + ms;
    loop {
        while world.effect() {}
        if !world.uplink.is_empty() {
            world.cmp();
            continue;
        }
        let next = world.agent.poll_timeout().map(|(at, _)| at.0);
        let Some(at) = next.filter(|at| *at <= end) else {
            world.now = world.now.max(end);
            return;
        };
        world.now = world.now.max(at);
        world.agent.handle_timeout(BootMs(world.now));
    }
}

fn refuse(world: &mut World, code: u16) {
    let (request_id, account) = world.requests.pop().expect("a request");
    let reason = "no".into();
    world.inbound(Down::ActivationCode {
        request_id,
        account,
        outcome: CodeOutcome::Failed { code, reason },
    });
}

// R-4.3-9: refusals of a code that pass are asked again, with pauses; those that stay are not.
#[test]
fn a_request_that_fails_for_a_passing_cause_is_made_again() {
    for (code, again) in [(49, true), (31, true), (90, true), (21, false), (104, true)] {
        let mut world = World::new();
        world.set_link(true);
        world.settle();
        world.step(&Step::Login(b'a'));
        run_for(&mut world, MINUTE);
        let mut asked = 0;
        while let Some(request) = world.requests.first().copied() {
            asked += 1;
            refuse(&mut world, code);
            run_for(&mut world, MINUTE);
            assert_eq!(world.requests, [], "at once after {code}");
            let phase = if again {
                Phase::AwaitingCode
            } else {
                Phase::NoProfile
            };
            assert_eq!(world.agent.phase(), phase);
            let awaited = world.agent.waiting().map(|w| w.awaited);
            assert_eq!(awaited, again.then_some(Awaited::Code));
            run_for(&mut world, 3 * HOUR);
            assert!(!world.requests.contains(&request), "the same id again");
            if asked == 5 {
                world.answer();
                run_for(&mut world, MINUTE);
            }
        }
        assert_eq!(asked, if again { 5 } else { 1 }, "code {code}");
        assert_eq!(world.agent.phase() == Phase::Active, again);
    }
}

// R-4.3-9: whoever logs out and in asks at once, and nobody asks for who is gone.
#[test]
fn a_request_that_waits_ends_with_its_session() {
    let mut world = World::new();
    world.set_link(true);
    world.settle();
    world.step(&Step::Login(b'a'));
    run_for(&mut world, MINUTE);
    refuse(&mut world, 49);
    run_for(&mut world, MINUTE);
    world.step(&Step::Logout);
    run_for(&mut world, 24 * HOUR);
    assert_eq!(world.requests, []);
    world.step(&Step::Login(b'a'));
    run_for(&mut world, MINUTE);
    assert_eq!(world.requests.len(), 1);
}

// R-4.5-4: the card fails for days; the order stays open, others are obeyed, and in the end so is it.
#[test]
fn a_deletion_that_fails_for_a_passing_cause_stays_ordered() {
    let mut world = provisioned();
    world.step(&Step::Logout);
    world.settle();
    world.failures = 40;
    let order_id = [7; 16];
    let kind = OrderKind::Delete { iccid: iccid(1) };
    world.inbound(Down::Order { order_id, kind });
    run_for(&mut world, 2 * HOUR);
    assert_eq!(world.outcomes, BTreeMap::new());
    assert!(world.failures > 0, "without a pause");
    // The card is free for others meanwhile.
    let other = [8; 16];
    let kind = OrderKind::Disable { iccid: iccid(1) };
    world.inbound(Down::Order {
        order_id: other,
        kind,
    });
    run_for(&mut world, 10 * MINUTE);
    assert_eq!(world.outcomes[&other], OrderOutcome::Done);
    run_for(&mut world, 48 * HOUR);
    assert_eq!(world.outcomes[&order_id], OrderOutcome::Done);
    assert!(world.card.is_empty());
}

// R-4.5-4: away is not refused, however long.
#[test]
fn orders_wait_for_a_card_that_is_away() {
    for away in [MINUTE, 5 * HOUR, 100 * HOUR] {
        let mut world = provisioned();
        world.away = true;
        let order_id = [7; 16];
        let kind = OrderKind::Delete { iccid: iccid(1) };
        world.inbound(Down::Order { order_id, kind });
        run_for(&mut world, away);
        assert_eq!(world.outcomes, BTreeMap::new());
        world.away = false;
        run_for(&mut world, 2 * MINUTE);
        assert_eq!(world.outcomes[&order_id], OrderOutcome::Done);
        assert!(world.card.is_empty());
    }
}

// R-4.3-11: the card does not enable the profile for an hour: it is enabled in the same session.
#[test]
fn a_profile_is_enabled_when_the_card_works_again() {
    let mut world = provisioned();
    world.step(&Step::Logout);
    world.settle();
    world.failures = 12;
    world.step(&Step::Login(b'a'));
    run_for(&mut world, MINUTE);
    let waiting = world.agent.waiting().expect("waiting");
    assert_eq!(waiting.awaited, Awaited::Enable);
    assert_eq!(waiting.cause, passing().text);
    run_for(&mut world, HOUR);
    assert_eq!(world.agent.phase(), Phase::Active);
    assert_eq!(world.agent.waiting(), None);
    world.check_reports();
}

// R-4.3-12: the pauses of notifications grow from a minute to hours; a link that is back to stay ends
// them, one that comes and goes does not.
#[test]
fn notifications_wait_longer_each_time_and_until_the_link_is_back() {
    let mut world = provisioned();
    run_for(&mut world, MINUTE);
    world.outage = true;
    world.deliveries.clear();
    world.step(&Step::Logout);
    run_for(&mut world, 72 * HOUR);
    let gaps: Vec<u64> = world.deliveries.windows(2).map(|w| w[1] - w[0]).collect();
    assert!(
        gaps.first()
            .is_some_and(|g| (MINUTE..2 * MINUTE).contains(g))
    );
    assert!(gaps.windows(2).all(|w| w[1] >= w[0]), "{gaps:?}");
    assert!(gaps.last().is_some_and(|g| *g >= HOUR), "{gaps:?}");
    assert!(gaps.len() < 60, "{} deliveries", gaps.len());
    let before = world.deliveries.len();
    for _ in 0..200 {
        world.set_link(false);
        run_for(&mut world, 1000);
        world.set_link(true);
        run_for(&mut world, 5000);
    }
    assert!(world.deliveries.len() <= before + 1, "a flapping link");
    world.outage = false;
    let before = world.deliveries.len();
    run_for(&mut world, MINUTE);
    assert_eq!(world.deliveries.len(), before + 1);
    run_for(&mut world, 24 * HOUR);
    assert_eq!(world.deliveries.len(), before + 1, "nothing is left");
}

// R-4.3-12: one server is away for days; a new notification, perhaps for another, waits a minute.
#[test]
fn a_new_notification_does_not_wait_for_hours() {
    let mut world = provisioned();
    world.outage = true;
    world.step(&Step::Logout);
    run_for(&mut world, 24 * HOUR);
    let before = world.deliveries.len();
    world.step(&Step::Login(b'a'));
    run_for(&mut world, 2 * MINUTE);
    assert_eq!(world.deliveries.len(), before + 1);
}
