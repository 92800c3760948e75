//! Numbers of reports that no peer takes for those of an earlier journal.

use crate::world::*;
use aid_agent_core::*;

/// Numbers of the reports that the CMP has, in order of their arrival in each epoch.
fn numbers(world: &World) -> Vec<(u32, u32)> {
    let split = |seq: &u64| ((seq >> 32) as u32, *seq as u32);
    world.reports.keys().map(split).collect()
}

fn log_in(world: &mut World) {
    world.step(&Step::Login(b'a'));
    world.settle();
    world.answer();
    world.settle();
}

// R-4.3-12: the journal is lost, and the card does the same things again: no number comes twice.
#[test]
fn a_new_journal_counts_in_an_epoch_of_its_own() {
    let mut world = World::new();
    world.set_link(true);
    world.settle();
    log_in(&mut world);
    assert_eq!(numbers(&world), [(EPOCH, 1), (EPOCH, 2)]);
    for life in 1..=3 {
        world.journal.clear();
        world.restart(EPOCH + life);
        world.set_link(true);
        world.settle();
        // The card's profile was left enabled, with nobody there.
        let all = numbers(&world);
        assert_eq!(all.last(), Some(&(EPOCH + life, 1)));
        // As it was found.
        world.card.insert(iccid(1), true);
    }
    assert_eq!(numbers(&world).len(), 5);
    let last: Vec<_> = world.reports.values().rev().take(3).collect();
    assert!(
        last.iter()
            .all(|r| **r == (Some(iccid(1)), Status::Disabled))
    );
}

// R-4.3-12: the epoch belongs to the journal, not to the life of the agent.
#[test]
fn a_restart_counts_on() {
    let mut world = World::new();
    world.set_link(true);
    world.settle();
    log_in(&mut world);
    for n in 0..5 {
        world.restart(EPOCH + 1000 * n);
        world.set_link(true);
        world.settle();
        world.step(&Step::Login(b'a'));
        world.settle();
        world.step(&Step::Logout);
        world.check_reports();
    }
    let expected: Vec<_> = (1..=world.reports.len() as u32)
        .map(|n| (EPOCH, n))
        .collect();
    assert!(expected.len() > 10);
    assert_eq!(numbers(&world), expected);
    // In a snapshot, too.
    let snapshot = world.agent.snapshot().expect("at rest");
    let agent = Agent::restore("sim", Some(&snapshot), &[]).expect("restored");
    assert_eq!(agent.durable().report_seq() >> 32, u64::from(EPOCH));
}

// R-4.3-12: the journal of an agent without epochs, with reports that wait: they keep their numbers,
// those that follow have an epoch.
#[test]
fn a_journal_without_an_epoch_gets_one() {
    let report = |seq, status| Report {
        seq,
        iccid: Some(iccid(1)),
        account: Some(account(b'a')),
        status,
        code: 0,
    };
    let old = vec![
        Record::Owner(iccid(1), account(b'a')),
        Record::Report(report(6, Status::Installed)),
        Record::ReportAcked(6),
        Record::Report(report(7, Status::Enabled)),
    ];
    let mut world = World::new();
    world.journal = vec![postcard::to_allocvec(&old).expect("records")];
    world.reports.insert(6, (Some(iccid(1)), Status::Installed));
    world.card.insert(iccid(1), true);
    world.restart(0xFFFF_FFFF);
    world.set_link(true);
    world.settle();
    let epoch = 0x7FFF_FFFF;
    assert_eq!(numbers(&world), [(0, 6), (0, 7), (epoch, 1)]);
    world.restart(1);
    world.set_link(true);
    world.settle();
    log_in(&mut world);
    assert_eq!(numbers(&world), [(0, 6), (0, 7), (epoch, 1), (epoch, 2)]);
}

// A shell that draws nothing gets the numbers of old.
#[test]
fn without_an_epoch_the_count_begins_at_one() {
    let mut world = World::new();
    world.agent = Agent::restore("sim", None, &[]).expect("new");
    world.event(Event::Boot);
    world.set_link(true);
    world.settle();
    log_in(&mut world);
    assert_eq!(numbers(&world), [(0, 1), (0, 2)]);
    assert_eq!(world.agent.with_epoch(0).durable().report_seq(), 2);
}
