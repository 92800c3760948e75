//! The journal's disk fails at every record of a life, in every way: nothing stays enabled for nobody,
//! nothing happens behind a record that is not on disk, and nothing that was acknowledged is lost.

use crate::world::*;
use aid_agent_core::*;
use std::collections::BTreeMap;

const BAD: [Disk; 3] = [Disk::Full, Disk::Torn, Disk::Gone];

/// A day of a car: two users, codes, an order, a user who deletes, a lost link, a reset.
fn day() -> Vec<Step> {
    use Step::*;
    let turn = [Run(60), Answer, Run(60)];
    let mut day = vec![Link(true)];
    for step in [
        Login(b'a'),
        Logout,
        Login(b'b'),
        Link(false),
        Logout,
        Link(true),
        Login(b'a'),
        Delete(2),
        Login(b'b'),
        LoginByCode,
        Approve(b'a'),
        DeleteOwn,
        Provision,
        Fail,
        Login(b'b'),
        DeleteAll,
    ] {
        day.push(step);
        day.extend(turn.clone());
    }
    day
}

/// Lives the day with the disk broken from record number `at` on, for `records` tries; returns false
/// when the day has fewer records.
fn live(at: usize, disk: Disk, then: impl Fn(&mut World)) -> bool {
    let mut world = World::new();
    let mut broken = false;
    for step in day() {
        let count = match step {
            Step::Run(n) => n,
            _ => {
                world.step(&step);
                0
            }
        };
        for _ in 0..count {
            if !broken && world.persists == at {
                (broken, world.disk) = (true, disk);
            }
            if !world.effect() && !world.tend() {
                world.cmp();
            }
            if world.agent.has_failed_journal() && world.disk != Disk::Good {
                world.check_at_rest();
                let enabled = world.card.values().any(|e| *e);
                assert!(!enabled, "record {at}: enabled for nobody");
                assert_eq!(world.agent.phase(), Phase::Stopped);
                then(&mut world);
            }
        }
    }
    world.check_reports();
    // The CMP repeats what has no result; the world's does not.
    world.step(&Step::DeleteAll);
    world.check_reports();
    assert!(world.card.is_empty(), "record {at}: {:?}", world.card);
    broken
}

// R-4.3-12 R-4.3-14
#[test]
fn a_disk_that_fails_at_any_record_and_comes_back() {
    for disk in BAD {
        let mut at = 0;
        while live(at, disk, |world| world.disk = Disk::Good) {
            at += 1;
        }
        assert!(at > 40, "only {at} records");
    }
}

// R-4.3-14: nobody can log in meanwhile, and the CMP's messages are not acknowledged.
#[test]
fn while_the_disk_is_bad_nothing_is_taken() {
    for disk in BAD {
        for at in 0..40 {
            live(at, disk, |world| {
                let before = world.agent.durable().clone();
                world.step(&Step::Login(b'a'));
                world.step(&Step::Delete(1));
                world.step(&Step::Logout);
                world.step(&Step::Time);
                while world.effect() {}
                assert!(world.uplink.is_empty(), "{:?}", world.uplink);
                assert_eq!(world.agent.session(), None);
                assert_eq!(*world.agent.durable(), before);
                world.disk = Disk::Good;
            });
        }
    }
}

// R-4.3-14: the car loses power while its disk is bad, and starts on the same bad disk.
#[test]
fn a_power_cut_and_a_start_on_a_bad_disk() {
    for first in BAD {
        for second in BAD {
            for at in (0..60).step_by(2) {
                live(at, first, |world| {
                    world.disk = second;
                    world.cut(true);
                    world.check_at_rest();
                    assert!(!world.card.values().any(|e| *e));
                    world.disk = Disk::Good;
                });
            }
        }
    }
}

/// A world where user `a` is logged in with the profile enabled, and everything is reported.
fn active() -> World {
    let mut world = World::new();
    world.set_link(true);
    world.settle();
    world.step(&Step::Login(b'a'));
    world.settle();
    world.answer();
    world.check_reports();
    assert_eq!(world.card, BTreeMap::from([(iccid(1), true)]));
    world
}

// R-4.3-14: power fails during a session, and the journal can't be read at the start: the card is
// secured first; once the journal is readable nothing of it is lost, and the disable is reported.
#[test]
fn a_start_without_a_readable_journal_disables_first_and_reports_later() {
    let mut world = active();
    world.disk = Disk::Gone;
    world.cut(false);
    world.check_at_rest();
    assert_eq!(world.card, BTreeMap::from([(iccid(1), false)]));
    assert!(world.agent.is_unread());
    world.check_reports();
    let told: Vec<_> = world.reports.values().map(|(_, s)| *s).collect();
    let expected = [Status::Installed, Status::Enabled, Status::Disabled];
    assert_eq!(told, expected);
    assert_eq!(world.agent.durable().owner(&iccid(1)), Some(account(b'a')));
    // The next login enables at once.
    world.step(&Step::Login(b'a'));
    world.check_reports();
    assert_eq!(world.card, BTreeMap::from([(iccid(1), true)]));
}

// The journal is gone for good: the card is what is left, and the agent works.
#[test]
fn a_start_with_a_lost_journal_goes_on_with_the_card() {
    let mut world = active();
    world.disk = Disk::Gone;
    world.cut(false);
    world.journal.clear();
    world.check_at_rest();
    let now = BootMs(world.now);
    world.agent.restore_late(now, None, &[]).expect("empty");
    world.disk = Disk::Good;
    assert!(world.tend());
    assert_eq!(world.card, BTreeMap::from([(iccid(1), false)]));
    assert_eq!(world.agent.phase(), Phase::Guest);
    let unreadable = world.agent.restore_late(now, Some(&[0xFF; 9]), &[]);
    assert!(unreadable.is_ok(), "nothing is awaited any more");
}

// A journal that this version can't read changes nothing until it is put aside.
#[test]
fn an_unreadable_record_leaves_the_secured_agent_as_it_is() {
    let mut agent = Agent::without_journal("sim");
    agent.handle(BootMs(1), Event::Boot);
    let result = agent.restore_late(BootMs(1), None, &[vec![0xFF; 40]]);
    assert!(result.is_err() && agent.is_unread());
    assert_eq!(agent.unsaved(), None, "nothing may be written over it");
}

// R-4.3-14: the card does not answer while the disk is bad; it is asked until it does.
#[test]
fn a_card_that_is_away_too_is_secured_when_it_comes_back() {
    let mut world = active();
    world.disk = Disk::Full;
    world.step(&Step::Logout);
    // The disable is under way when the card vanishes.
    while world.op.is_none() {
        assert!(world.effect());
    }
    let mut tries = 0;
    while tries < 20 {
        if let Some((op, _)) = world.op.take() {
            tries += 1;
            let result = Err(EuiccError {
                code: 0,
                text: "gone".into(),
                permanent: false,
                full: false,
            });
            world.event(Event::EuiccDone {
                op,
                result,
                profiles: None,
            });
        } else if !world.effect() {
            let (at, _) = world.agent.poll_timeout().expect("another try");
            assert!(at.0 <= world.now + 60_000, "a pause of more than a minute");
            world.now = at.0;
            world.agent.handle_timeout(BootMs(world.now));
        }
    }
    world.check_at_rest();
    assert_eq!(world.card, BTreeMap::from([(iccid(1), false)]));
    world.check_reports();
}

// The HMI learns that the session ended, and why a login is not possible.
#[test]
fn the_hmi_is_told_what_happens() {
    let mut world = active();
    world.disk = Disk::Full;
    let order_id = [9; 16];
    let kind = OrderKind::Delete { iccid: iccid(7) };
    world.inbound(Down::Order { order_id, kind });
    let mut notices = Vec::new();
    loop {
        match world.agent.poll_effect() {
            Some(Effect::Persist { .. }) => world.event(Event::PersistFailed {
                text: "no space".into(),
            }),
            Some(Effect::Notify(notice)) => notices.push(notice),
            Some(Effect::Euicc { op, what }) => {
                assert!(matches!(what, EuiccOp::Disable { .. }));
                world.card_works(op, &what);
            }
            Some(other) => panic!("{other:?} behind a failed record"),
            None => break,
        }
    }
    world.step(&Step::Login(b'a'));
    while let Some(Effect::Notify(notice)) = world.agent.poll_effect() {
        notices.push(notice);
    }
    assert!(matches!(&notices[0], Notice::Error { text } if text == "no space"));
    assert!(notices.contains(&Notice::LoggedOut {
        account: account(b'a')
    }));
    assert!(notices.contains(&Notice::Disabled(iccid(1))));
    assert!(
        matches!(notices.last(), Some(Notice::LoginRefused { reason, .. })
        if reason.contains("journal"))
    );
    world.check_reports();
}
