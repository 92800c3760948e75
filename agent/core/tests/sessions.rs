//! What ends a session, and what waits for a call to be over.
#![allow(clippy::expect_used, reason = "a failed expectation is a failed test")]

mod car;

use aid_agent_core::*;
use car::*;

fn active() -> Car {
    let mut car = Car::online(&[(1, false), (2, false)]);
    car.log_in(EVA, &[1]);
    car.run();
    assert_eq!(car.agent.phase(), Phase::Active);
    car
}

/// Lets time pass, without an answer of the CMP to anything.
fn pass(car: &mut Car, ms: u64) {
    let end = car.now + ms;
    while let Some((at, _)) = car.agent.poll_timeout().filter(|(at, _)| at.0 <= end) {
        car.now = car.now.max(at.0);
        car.agent.handle_timeout(BootMs(car.now));
        car.run();
    }
    car.now = end;
    car.agent.handle_timeout(BootMs(car.now));
    car.run();
}

fn switches(car: &Car) -> usize {
    car.asked(|what| matches!(what, EuiccOp::Enable { .. } | EuiccOp::Disable { .. }))
}

// §4.3 step 12: the car is parked.
#[test]
fn a_parked_car_ends_the_session_after_ten_minutes() {
    let mut car = active();
    car.event(Event::Ignition { on: false });
    pass(&mut car, 300_000);
    // Said again: it is the first time that counts.
    car.event(Event::Ignition { on: false });
    pass(&mut car, 299_000);
    assert!(car.agent.session().is_some());
    pass(&mut car, 2_000);
    assert!(car.agent.session().is_none());
    assert!(!car.card[0].enabled);
    let ended = Effect::Notify(Notice::LoggedOut { account: EVA });
    assert!(car.log.contains(&ended));
    // Who logs in then has ten minutes again.
    car.log_in(EVA, &[1]);
    car.run();
    pass(&mut car, 590_000);
    assert_eq!(car.agent.phase(), Phase::Active);
    pass(&mut car, 20_000);
    assert!(car.agent.session().is_none());
}

#[test]
fn a_driver_who_comes_back_in_time_stays_in() {
    let mut car = active();
    for _ in 0..3 {
        car.event(Event::Ignition { on: false });
        pass(&mut car, 590_000);
        car.event(Event::Ignition { on: true });
    }
    pass(&mut car, 3_600_000);
    assert_eq!(car.agent.phase(), Phase::Active);
}

// An emergency call above all: whatever ends or begins meanwhile, no profile is switched before it is over.
#[test]
fn no_profile_is_switched_during_a_call() {
    let endings: [fn(&mut Car); 6] = [
        |car| car.event(Event::Logout),
        |car| car.log_in(ADA, &[2]),
        |car| car.order(1, OrderKind::Delete { iccid: iccid(1) }),
        |car| car.order(1, OrderKind::Disable { iccid: iccid(1) }),
        |car| car.order(1, OrderKind::DeleteAll),
        |car| car.event(Event::DeleteOwn { iccid: iccid(1) }),
    ];
    for (n, end) in endings.iter().enumerate() {
        let mut car = active();
        let before = switches(&car);
        car.event(Event::Call { active: true });
        end(&mut car);
        pass(&mut car, 7_200_000);
        assert_eq!(switches(&car), before, "ending {n}");
        assert!(
            car.card.iter().any(|p| p.enabled && p.iccid == iccid(1)),
            "ending {n}"
        );
        car.event(Event::Call { active: false });
        car.run();
        let still = car.card.iter().any(|p| p.enabled && p.iccid == iccid(1));
        assert!(!still, "ending {n}");
    }
}

// One that failed before the call is not tried again in it; and a login during a call is served after it.
#[test]
fn what_failed_before_a_call_waits_for_its_end() {
    let mut car = Car::online(&[(1, false)]);
    car.log_in(EVA, &[1]);
    car.run_but(|what| matches!(what, EuiccOp::Enable { .. }));
    car.event(Event::Call { active: true });
    car.card_says(Err(failure(false)));
    let before = switches(&car);
    pass(&mut car, 3_600_000);
    assert_eq!(switches(&car), before);
    car.event(Event::Call { active: false });
    car.run();
    assert_eq!(car.agent.phase(), Phase::Active);
    // A disable that failed is an open intent.
    car.event(Event::Logout);
    car.run_but(|what| matches!(what, EuiccOp::Disable { .. }));
    car.event(Event::Call { active: true });
    car.card_says(Err(failure(false)));
    let before = switches(&car);
    pass(&mut car, 3_600_000);
    assert_eq!(switches(&car), before);
    car.event(Event::Call { active: false });
    car.run();
    assert!(!car.card[0].enabled);
}

// Not even the safe state of a failed journal interrupts a call; it is reached when it is over.
#[test]
fn a_failed_journal_interrupts_no_call() {
    let mut car = active();
    let before = switches(&car);
    car.event(Event::Call { active: true });
    let text = "the disk failed".into();
    car.event(Event::PersistFailed { text });
    pass(&mut car, 60_000);
    assert!(car.agent.session().is_none());
    assert_eq!((switches(&car), car.card[0].enabled), (before, true));
    car.event(Event::Call { active: false });
    car.run();
    assert!(!car.card[0].enabled);
}

// What is not switching goes on: a disabled profile is deleted.
#[test]
fn deletions_of_disabled_profiles_go_on_during_a_call() {
    let mut car = active();
    car.event(Event::Call { active: true });
    car.order(1, OrderKind::Delete { iccid: iccid(2) });
    car.run();
    assert_eq!(car.card.len(), 1);
    assert_eq!(car.agent.phase(), Phase::Active);
}

// Whoever reports calls may end in the middle of one: the profile does not stay enabled for ever.
#[test]
fn a_call_that_nobody_reports_any_more_is_over_some_day() {
    for failed in [false, true] {
        let mut car = active();
        let before = switches(&car);
        car.event(Event::Call { active: true });
        car.event(Event::Logout);
        if failed {
            let text = "the disk failed".into();
            car.event(Event::PersistFailed { text });
        }
        pass(&mut car, 3 * 3_600_000);
        assert!(car.agent.waits_for_call());
        // It goes on: four hours from now.
        car.event(Event::Call { active: true });
        pass(&mut car, 4 * 3_600_000 - 1000);
        assert_eq!(switches(&car), before, "{failed}");
        pass(&mut car, 2000);
        assert!(!car.card[0].enabled && !car.agent.waits_for_call());
    }
}

#[test]
fn what_waits_for_a_call_is_told_and_only_that() {
    let mut car = active();
    car.event(Event::Call { active: true });
    assert!(!car.agent.waits_for_call(), "nothing is to be switched");
    car.event(Event::Logout);
    assert!(car.agent.waits_for_call());
    car.event(Event::Call { active: false });
    car.run();
    assert!(!car.agent.waits_for_call());
}
