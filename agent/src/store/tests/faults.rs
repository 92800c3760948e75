//! Every operation of the device fails, with every error and for every time.

use super::*;
use aid_journal::sim::Fault;

type Act = fn(&mut Car);

/// A day, with every kind of record in it.
const DAY: [Act; 8] = [
    Car::log_in,
    |car| car.event(Event::Logout),
    Car::log_in,
    |car| {
        let order_id = [0xD1; 16];
        let kind = OrderKind::Disable { iccid: iccid(1) };
        car.inbound(order_id, Down::Order { order_id, kind });
    },
    |car| car.event(Event::Logout),
    Car::log_in,
    |car| {
        car.event(Event::LinkDown);
        car.event(Event::Logout);
        car.event(Event::LinkUp);
    },
    |car| {
        let order_id = [0xD2; 16];
        let kind = OrderKind::DeleteAll;
        car.inbound(order_id, Down::Order { order_id, kind });
    },
];

fn faults() -> Vec<(SimError, u64, bool)> {
    let mut faults = Vec::new();
    for error in [SimError::Io, SimError::Full] {
        for count in [1, 2, 5, 40] {
            for unreadable in [false, true] {
                faults.push((error, count, unreadable));
            }
        }
    }
    faults
}

// R-4.3-12 R-4.3-14: whichever write or sync fails, with whatever error and for however long.
#[test]
fn a_device_that_fails_at_any_operation_and_works_again() {
    let mut failed = 0;
    for (error, count, unreadable) in faults() {
        for after in 0.. {
            let device = Device::new(7 + after, SEGMENT);
            let mut car = Car::new(device.clone(), BTreeMap::new());
            device.0.borrow_mut().fail(Fault {
                error,
                after,
                count,
                unreadable,
            });
            let case = format!("{error:?} after {after}, {count} times, unreadable {unreadable}");
            for act in DAY {
                act(&mut car);
                assert!(car.is_safe(), "{case}: enabled for nobody");
                if car.agent.has_failed_journal() {
                    failed += 1;
                    assert_eq!(car.agent.session(), None, "{case}");
                    car.recover();
                }
            }
            let finished = device.0.borrow_mut().heal();
            // Every acknowledged order has its result: none was forgotten.
            for id in car.taken.clone().iter().filter(|id| id[0] >= 0xD1) {
                assert!(car.results.contains(id), "{case}: an order was lost");
            }
            assert_eq!(car.reported(), car.history, "{case}");
            car.log_in();
            assert!(car.agent.session().is_some(), "{case}: no login");
            car.event(Event::Logout);
            if finished {
                break;
            }
            // Then power is cut: what was not synced is lost, and nothing of it was promised.
            let before = car.agent.durable().clone();
            device.0.borrow_mut().restart();
            let car = car.restart();
            assert_eq!(*car.agent.durable(), before, "{case}");
            assert!(car.store.aside().is_none(), "{case}");
        }
    }
    assert!(failed > 300, "{failed} failures");
}

// R-4.3-14: the device fails from the start on, in every operation of the start.
#[test]
fn a_start_on_a_device_that_fails() {
    for (error, count, unreadable) in faults() {
        for after in 0..6 {
            let (device, card) = cut_while_active();
            device.0.borrow_mut().fail(Fault {
                error,
                after: if unreadable { 0 } else { after },
                count,
                unreadable,
            });
            let mut car = Car::new(device.clone(), card);
            let case = format!("{error:?} after {after}, {count} times, unreadable {unreadable}");
            assert!(car.is_safe(), "{case}");
            car.recover();
            assert_eq!(car.reported().last(), Some(&(iccid(1), Status::Disabled)));
            assert!(car.store.failure().is_none(), "{case}");
            car.log_in();
            assert_eq!(car.card, BTreeMap::from([(iccid(1), true)]), "{case}");
        }
    }
}

// However long the disk is bad; and who waits at the HMI waits for a second.
#[test]
fn pauses_between_tries_grow_to_twenty_seconds() {
    let (device, card) = cut_while_active();
    device.0.borrow_mut().fail(Fault {
        error: SimError::Io,
        after: 0,
        count: u64::MAX,
        unreadable: true,
    });
    let mut car = Car::new(device, card);
    let start = car.now;
    let mut last = start;
    let mut pauses = Vec::new();
    for _ in 0..10 {
        car.tend();
        let next = car.store.next_try().expect("failing").0;
        pauses.push(next - last.max(car.now));
        last = next;
    }
    assert_eq!(
        pauses,
        [
            1000, 2000, 4000, 8000, 16_000, 20_000, 20_000, 20_000, 20_000, 20_000
        ]
    );
    let failure = car.store.failure().expect("failing");
    assert!(failure.since.0 <= start && failure.text.contains("input/output"));
    assert!(car.agent.is_unread() && car.is_safe());
    for _ in 0..2 {
        car.store.hurry();
        assert_eq!(car.store.next_try(), Some(BootMs(car.now + 1000)));
    }
}

// A disk that can't give the records back, but takes new ones, is not waited for for ever.
#[test]
fn unreadable_records_on_a_working_disk_are_put_aside_in_the_end() {
    let (device, card) = cut_while_active();
    let mut car = Car::new(device.clone(), card);
    // given a failure in memory only, and segments that never read again
    car.store.fail(BootMs(car.now), "input/output error".into());
    let text = "input/output error".to_owned();
    car.event(Event::PersistFailed { text });
    for _ in 0..PATIENCE {
        device.0.borrow_mut().fail(Fault {
            error: SimError::Io,
            after: 0,
            count: 1,
            unreadable: true,
        });
        car.tend();
        assert!(car.agent.has_failed_journal());
        assert!(car.store.aside().is_none());
    }
    device.0.borrow_mut().fail(Fault {
        error: SimError::Io,
        after: 0,
        count: 1,
        unreadable: true,
    });
    car.tend();
    assert!(!car.agent.has_failed_journal());
    assert_eq!(device.0.borrow().aside.len(), 1);
    assert_eq!(car.agent.durable().owner(&iccid(1)), Some(USER));
}

// Somebody asks again and again: that shortens the pauses, not the time that the disk is given.
#[test]
fn impatience_puts_no_journal_aside() {
    let (device, card) = cut_while_active();
    let mut car = Car::new(device.clone(), card);
    let began = car.now;
    car.store.fail(BootMs(car.now), "input/output error".into());
    let text = "input/output error".to_owned();
    car.event(Event::PersistFailed { text });
    while car.now < began + 30_000 {
        device.0.borrow_mut().fail(Fault {
            error: SimError::Io,
            after: 0,
            count: 1,
            unreadable: true,
        });
        car.store.hurry();
        car.tend();
        assert!(car.agent.has_failed_journal());
        assert!(car.store.aside().is_none());
    }
    car.tend();
    assert!(!car.agent.has_failed_journal());
    assert_eq!(device.0.borrow().aside.len(), 0);
}

// A snapshot that can't be written costs no session as long as the journal opens again.
#[test]
fn a_failed_compaction_is_repaired_or_ends_the_session() {
    for count in [1, 2, 30] {
        let device = Device::new(1, 2 * SNAPSHOT_AT);
        let mut car = Car::new(device.clone(), BTreeMap::new());
        car.log_in();
        let mut acts = 0;
        while car
            .store
            .journal
            .as_ref()
            .is_some_and(|j| j.used() < SNAPSHOT_AT)
        {
            let order_id = car.id();
            let kind = OrderKind::Delete { iccid: iccid(9) };
            car.inbound(order_id, Down::Order { order_id, kind });
            acts += 1;
            assert!(acts < 5000);
        }
        // The next record is written and synced; then comes the snapshot.
        device.0.borrow_mut().fail(Fault {
            error: SimError::Io,
            after: 2,
            count,
            unreadable: false,
        });
        let order_id = car.id();
        let kind = OrderKind::Delete { iccid: iccid(9) };
        car.inbound(order_id, Down::Order { order_id, kind });
        assert_eq!(car.agent.session().is_some(), count == 1, "{count}");
        assert!(car.is_safe());
        car.recover();
        car.event(Event::Logout);
        let before = car.agent.durable().clone();
        device.0.borrow_mut().restart();
        assert_eq!(*car.restart().agent.durable(), before);
    }
}
