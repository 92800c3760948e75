//! Outages of link, SM-DP+ and card, from minutes to days: none ends a download. The code and its
//! profile stay the same, the pauses bound the tries, and soon after the outage the profile is there.

use crate::world::*;
use aid_agent_core::*;
use std::collections::BTreeMap;

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// What fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The link, and with it the way to the SM-DP+.
    Link,
    /// The SM-DP+; the CMP is there.
    Server,
    /// The card.
    Card,
}

fn fails(world: &mut World, part: Part, down: bool) {
    match part {
        Part::Link => {
            world.outage = down;
            world.set_link(!down);
        }
        Part::Server => world.outage = down,
        Part::Card => world.away = down,
    }
}

/// Carries everything out that is due until `end`, and lets time pass.
fn run_until(world: &mut World, end: u64) {
    loop {
        while world.effect() {}
        if !world.uplink.is_empty() {
            world.cmp();
            continue;
        }
        let next = world.agent.poll_timeout().map(|(at, _)| at.0);
        match next.filter(|at| *at <= end) {
            Some(at) => {
                world.now = world.now.max(at);
                world.agent.handle_timeout(BootMs(world.now));
            }
            None => {
                world.now = world.now.max(end);
                return;
            }
        }
    }
}

fn run_for(world: &mut World, ms: u64) {
    let end = world.now + ms;
    run_until(world, end);
}

/// A user who is logged in, and a code that was just given; nothing was tried yet.
fn with_a_code() -> World {
    let mut world = World::new();
    world.set_link(true);
    world.settle();
    world.step(&Step::Login(b'a'));
    world.settle();
    world
}

/// The CMP gives a code, and the car has it in its journal.
fn give_code(world: &mut World) {
    let before = world.on_disk().downloads().len();
    world.answer();
    while world.on_disk().downloads().len() == before {
        assert!(world.effect());
    }
}

/// Runs until the profile is there; how long that took, ms.
fn until_installed(world: &mut World, limit: u64) -> u64 {
    let start = world.now;
    while world.card.is_empty() {
        assert!(world.now - start <= limit, "no profile {limit} ms after");
        run_for(world, SECOND);
    }
    world.now - start
}

/// Tries that the pauses allow in this time: they double from one second to two hours, less a quarter.
fn allowed(ms: u64) -> usize {
    let (mut pause, mut at, mut count) = (SECOND, 0, 1);
    while at < ms {
        at += pause * 3 / 4;
        pause = (pause * 2).min(2 * HOUR);
        count += 1;
    }
    count
}

/// One code was given and used, one profile came of it, and nobody was told of a failure.
fn check_the_same(world: &mut World) {
    world.check_reports();
    assert_eq!(world.failed, [], "reported as failed");
    assert_eq!(world.codes_given, 1);
    assert!(world.requests.is_empty(), "asked for another code");
    assert!(world.tries.iter().all(|(_, code)| code == "1$s$M-1"));
    assert_eq!(world.card.keys().collect::<Vec<_>>(), [&iccid(1)]);
}

// R-4.3-9 R-4.3-10
#[test]
fn outages_from_seconds_to_days_end_no_download() {
    let lengths = [
        5 * SECOND,
        MINUTE,
        10 * MINUTE,
        HOUR,
        7 * HOUR,
        DAY,
        9 * DAY,
    ];
    for part in [Part::Link, Part::Server, Part::Card] {
        for length in lengths {
            let mut world = with_a_code();
            fails(&mut world, part, true);
            // The code came in the last moment.
            world.link = true;
            world.answer();
            world.link = part != Part::Link;
            run_for(&mut world, length);
            let tries = world.tries.len();
            assert!(
                tries <= allowed(length),
                "{tries} tries in {length} ms without {part:?}"
            );
            assert_ne!(world.agent.phase(), Phase::NoProfile, "{part:?}");
            fails(&mut world, part, false);
            let soon = match part {
                Part::Link => MINUTE,
                Part::Card => 2 * MINUTE,
                Part::Server => (2 * length).min(2 * HOUR) + 2 * SECOND,
            };
            until_installed(&mut world, soon);
            run_for(&mut world, MINUTE);
            check_the_same(&mut world);
            assert_eq!(world.card, BTreeMap::from([(iccid(1), true)]));
            assert_eq!(world.agent.phase(), Phase::Active);
        }
    }
}

// R-4.3-9: the link comes back, the SM-DP+ some minutes later: nobody waits for hours.
#[test]
fn after_a_long_outage_the_pauses_are_short_again() {
    let mut world = with_a_code();
    world.answer();
    fails(&mut world, Part::Link, true);
    run_for(&mut world, 3 * DAY);
    world.set_link(true);
    run_for(&mut world, 10 * MINUTE);
    world.outage = false;
    until_installed(&mut world, 20 * MINUTE);
    check_the_same(&mut world);
}

/// Lets the link come and go until `end`.
fn flap(world: &mut World, up: u64, down: u64, end: u64, follows: bool) {
    while world.now < end {
        world.set_link(true);
        world.outage = world.outage && !follows;
        run_for(world, up);
        world.set_link(false);
        world.outage = world.outage || follows;
        run_for(world, down);
    }
}

const FLAPS: [(u64, u64); 10] = [
    (300, 100),
    (SECOND, SECOND),
    (5 * SECOND, SECOND),
    (14 * SECOND, 20 * SECOND),
    (16 * SECOND, SECOND),
    (40 * SECOND, 5 * SECOND),
    (90 * SECOND, 10 * SECOND),
    (10 * MINUTE, MINUTE),
    (25 * MINUTE, 25 * MINUTE),
    (3 * HOUR, HOUR),
];

// R-4.3-9: the SM-DP+ is away, and the link does not stay. Tries at a returned link are few: each
// that fails makes the next wait twice as long for a link that stays.
#[test]
fn a_flapping_link_adds_few_tries() {
    for (up, down) in FLAPS {
        let mut world = with_a_code();
        world.answer();
        world.outage = true;
        let begun = world.now;
        // A hundred flaps, at least six hours.
        let end = world.now + (100 * (up + down)).max(6 * HOUR);
        flap(&mut world, up, down, end, false);
        let extra = (1..)
            .take_while(|n| (15 * SECOND) << (n - 1) <= up.min(2 * HOUR))
            .count();
        // After each of them the pauses begin at four minutes again.
        let limit = allowed(world.now - begun) + extra * 6;
        let tries = world.tries.len();
        assert!(tries <= limit, "{tries} tries at {up}/{down}, not {limit}");
        // Not two within the same second after the first seconds.
        let late = world.tries.iter().filter(|(at, _)| *at > begun + MINUTE);
        let times: Vec<u64> = late.map(|(at, _)| *at).collect();
        assert!(times.windows(2).all(|w| w[1] - w[0] >= 10 * SECOND));
        world.outage = false;
        world.set_link(true);
        until_installed(&mut world, 2 * HOUR);
        check_the_same(&mut world);
    }
}

// R-4.3-9: the SM-DP+ can be reached while the link is up, and the link is never up for long.
#[test]
fn a_flapping_link_delays_but_does_not_end_a_download() {
    for (up, down) in FLAPS {
        let mut world = with_a_code();
        world.answer();
        world.outage = true;
        world.set_link(false);
        run_for(&mut world, HOUR);
        let end = world.now + 3 * HOUR;
        while world.now < end && world.card.is_empty() {
            let next = world.now + 1;
            flap(&mut world, up, down, next, true);
        }
        world.outage = false;
        world.set_link(true);
        until_installed(&mut world, MINUTE);
        check_the_same(&mut world);
    }
}

// R-4.3-9 R-4.3-14: the power fails again and again during an outage.
#[test]
fn a_reboot_loop_does_not_hammer_and_keeps_the_code() {
    for life in [SECOND, 20 * SECOND, MINUTE, 5 * MINUTE, HOUR] {
        for happened in [false, true] {
            let mut world = with_a_code();
            world.answer();
            world.outage = true;
            run_for(&mut world, 10 * SECOND);
            let before = world.tries.len();
            for _ in 0..50 {
                world.cut(happened);
                assert_eq!(world.card, BTreeMap::new());
                world.set_link(true);
                run_for(&mut world, life);
            }
            // At most one for the link that came up, and what the pauses allow in one life once
            // there were that many tries.
            let tries = world.tries.len() - before;
            let limit = match life {
                SECOND => 2,
                MINUTE | 20_000 => 8,
                _ => 50 * (1 + allowed(life / 240)),
            };
            assert!(tries <= limit, "{tries} tries in lives of {life} ms");
            // What happened or not while the power failed was never a download.
            world.cut(false);
            world.outage = false;
            world.set_link(true);
            until_installed(&mut world, 5 * MINUTE);
            check_the_same(&mut world);
        }
    }
}

// R-4.3-9 R-4.3-14: a power cut at each point of an outage and of its end.
#[test]
fn a_power_cut_at_any_point_of_an_outage() {
    for cut in 0..60 {
        for happened in [false, true] {
            let mut world = with_a_code();
            world.outage = true;
            give_code(&mut world);
            for n in 0..cut {
                if n == 40 {
                    world.outage = false;
                }
                if !world.effect() {
                    let next = world.agent.poll_timeout().map_or(world.now, |(at, _)| at.0);
                    world.now = world.now.max(next);
                    world.agent.handle_timeout(BootMs(world.now));
                    world.cmp();
                }
            }
            // An operation under way that happened is a download that succeeded.
            let happened = happened && !world.outage;
            world.cut(happened);
            world.outage = false;
            world.set_link(true);
            until_installed(&mut world, 5 * MINUTE);
            check_the_same(&mut world);
        }
    }
}

// R-4.3-4 R-4.3-9: logins during an outage go on with the code that is here.
#[test]
fn each_new_login_goes_on_with_the_same_code() {
    let mut world = with_a_code();
    world.answer();
    world.outage = true;
    for _ in 0..20 {
        run_for(&mut world, 7 * MINUTE);
        world.step(&Step::Logout);
        run_for(&mut world, MINUTE);
        world.step(&Step::Login(b'a'));
        run_for(&mut world, MINUTE);
        assert_eq!(world.agent.phase(), Phase::Downloading);
    }
    assert!(world.tries.len() <= allowed(3 * HOUR));
    world.outage = false;
    until_installed(&mut world, 2 * HOUR);
    run_for(&mut world, MINUTE);
    check_the_same(&mut world);
    assert_eq!(world.agent.phase(), Phase::Active);
}

// R-4.3-4: nobody waits for the SM-DP+ of somebody else, and nobody gets the profile of somebody else,
// whatever is cut off when.
#[test]
fn another_user_is_served_during_the_outage() {
    for cut in 0..12 {
        let mut world = with_a_code();
        world.unreachable.push(account(b'a'));
        world.answer();
        run_for(&mut world, 5 * MINUTE);
        world.step(&Step::Logout);
        world.step(&Step::Login(b'b'));
        while world.requests.is_empty() {
            run_for(&mut world, SECOND);
        }
        give_code(&mut world);
        for _ in 0..cut {
            world.effect();
        }
        world.cut(true);
        world.set_link(true);
        world.step(&Step::Login(b'b'));
        run_for(&mut world, 10 * MINUTE);
        let own: Vec<_> = world.agent.durable().owners().map(|(_, a)| a).collect();
        assert_eq!(own, [account(b'b')], "cut {cut}");
        assert_eq!(world.agent.phase(), Phase::Active);
        // Another restart, with this user's download waiting and another user's profile on the card.
        world.cut(false);
        world.set_link(true);
        run_for(&mut world, MINUTE);
        let own: Vec<_> = world.agent.durable().owners().map(|(_, a)| a).collect();
        assert_eq!(own, [account(b'b')], "cut {cut}");
        world.unreachable.clear();
        world.step(&Step::Login(b'a'));
        run_for(&mut world, 3 * HOUR);
        world.check_reports();
        assert_eq!((world.card.len(), world.codes_given), (2, 2));
        assert_eq!(world.failed, []);
        assert_eq!(world.agent.phase(), Phase::Active);
    }
}

// R-4.3-10: an answer that says so is final, at once.
#[test]
fn a_refusal_that_stays_ends_the_download_at_once() {
    for (code, tries_before) in [(308, 0), (8, 0), (604, 12)] {
        let mut world = with_a_code();
        world.outage = true;
        world.answer();
        while world.tries.len() < tries_before {
            run_for(&mut world, SECOND);
        }
        world.outage = false;
        let permanent = true;
        world.refusal = Some(EuiccError {
            code,
            permanent,
            ..passing()
        });
        run_for(&mut world, 2 * HOUR);
        world.check_reports();
        assert_eq!(world.failed, [code]);
        assert_eq!(world.tries.len(), tries_before + 1);
        assert_eq!(world.agent.phase(), Phase::NoProfile);
        assert_eq!(world.agent.waiting(), None);
        assert!(world.agent.durable().downloads().is_empty());
        // The next login asks for another code, which is used.
        world.refusal = None;
        world.step(&Step::Logout);
        world.step(&Step::Login(b'a'));
        run_for(&mut world, MINUTE);
        world.answer();
        run_for(&mut world, MINUTE);
        assert_eq!(world.agent.phase(), Phase::Active);
        assert_eq!(world.codes_given, 2);
    }
}

// R-4.4.1-13: the CMP says that the code is dead.
#[test]
fn a_code_that_is_withdrawn_is_not_tried_any_more() {
    let mut world = with_a_code();
    let (request_id, account) = world.requests[0];
    world.outage = true;
    world.answer();
    run_for(&mut world, MINUTE);
    let message = |account| Down::ActivationCode {
        request_id,
        account,
        outcome: CodeOutcome::Failed {
            code: 21,
            reason: "the subscription was unlinked".into(),
        },
    };
    // Not by a message about somebody else's request.
    world.inbound(message(AccountRef([9; 16])));
    run_for(&mut world, MINUTE);
    assert_eq!(world.agent.durable().downloads().len(), 1);
    world.inbound(message(account));
    run_for(&mut world, MINUTE);
    assert_eq!(world.failed, [21]);
    let tries = world.tries.len();
    world.outage = false;
    world.cut(false);
    world.set_link(true);
    run_for(&mut world, DAY);
    assert_eq!(world.tries.len(), tries);
    assert!(world.card.is_empty());
}

// R-4.3.1-16 R-4.4.1-10: the deletion of a profile that waits for its download calls that off.
#[test]
fn a_deletion_order_calls_off_a_download_that_waits() {
    let mut world = with_a_code();
    let (request_id, account) = world.requests.remove(0);
    world.outage = true;
    let code = CodeOutcome::Code {
        code: Secret::new("1$s$X".into()),
        iccid: Some(iccid(1)),
    };
    world.inbound(Down::ActivationCode {
        request_id,
        account,
        outcome: code,
    });
    run_for(&mut world, MINUTE);
    let order = |n: u64| Down::Order {
        order_id: [n as u8; 16],
        kind: OrderKind::Delete { iccid: iccid(n) },
    };
    world.inbound(order(2));
    run_for(&mut world, MINUTE);
    assert_eq!(world.agent.durable().downloads().len(), 1);
    world.inbound(order(1));
    run_for(&mut world, MINUTE);
    assert_eq!(world.failed, [CALLED_OFF]);
    assert_eq!(world.outcomes[&[1; 16]], OrderOutcome::NotFound);
    world.outage = false;
    world.step(&Step::Logout);
    run_for(&mut world, DAY);
    assert!(world.card.is_empty(), "it came all the same");
}

// R-3.2-6: what the driver sees meanwhile.
#[test]
fn the_driver_sees_what_is_waited_for() {
    let mut world = with_a_code();
    assert_eq!(world.agent.waiting(), None);
    world.outage = true;
    world.answer();
    run_for(&mut world, 5 * MINUTE);
    assert_eq!(world.agent.phase(), Phase::Downloading);
    let waiting = world.agent.waiting().expect("waiting");
    assert_eq!(waiting.awaited, Awaited::Download);
    assert!(waiting.tries > 5 && waiting.next > BootMs(world.now));
    assert_eq!(waiting.cause, passing().text);
    assert_eq!(
        world.agent.poll_timeout().map(|(at, _)| at),
        Some(waiting.next)
    );
    world.cut(false);
    run_for(&mut world, SECOND);
    world.step(&Step::Logout);
    assert_eq!(world.agent.waiting(), None, "nobody is there to see it");
}

// The link is lost and returns while the journal fails: a download that waits is tried once the link
// proves to stay, not after its whole pause.
#[test]
fn a_link_that_returns_while_the_journal_fails_ends_the_pause() {
    let mut world = World::new();
    world.set_link(true);
    world.settle();
    world.outage = true;
    world.step(&Step::Login(b'a'));
    run_for(&mut world, SECOND);
    world.answer();
    run_for(&mut world, 12 * HOUR);
    world.disk = Disk::Full;
    world.step(&Step::Logout);
    run_for(&mut world, SECOND);
    assert!(world.agent.has_failed_journal());
    world.set_link(false);
    run_for(&mut world, MINUTE);
    world.set_link(true);
    (world.disk, world.outage) = (Disk::Good, false);
    while world.effect() {}
    assert!(world.tend());
    run_for(&mut world, MINUTE);
    assert_eq!(world.card, BTreeMap::from([(iccid(1), false)]));
}
