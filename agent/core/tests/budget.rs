//! The budget of bytes per day for what the car repeats by itself, and tries that are counted across restarts.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

mod car;

use aid_agent_core::budget::{DAILY_BYTES, MIN_DAILY_BYTES, TRY_BYTES};
use aid_agent_core::*;
use car::*;

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A download that moves so many bytes fails, whatever else happens; everything else works.
fn carry_on(car: &mut Car, bytes: u64) {
    for _ in 0..100 {
        car.run_but(|what| matches!(what, EuiccOp::Download { .. } | EuiccOp::Notifications));
        match &car.op {
            Some((_, EuiccOp::Download { .. })) => {
                car.event(Event::Moved { bytes });
                car.card_says(Err(failure(false)));
            }
            Some((_, EuiccOp::Notifications)) => car.card_says(Ok(())),
            _ => return,
        }
    }
    panic!("does not come to rest");
}

/// Lets time pass until `end`; each download fails after so many bytes.
fn pass(car: &mut Car, end: u64, bytes: u64) {
    carry_on(car, bytes);
    while let Some((at, _)) = car.agent.poll_timeout() {
        if at.0 > end {
            break;
        }
        car.wait();
        carry_on(car, bytes);
    }
    car.now = car.now.max(end);
}

fn is_download(what: &EuiccOp) -> bool {
    matches!(what, EuiccOp::Download { .. })
}

/// A car whose user is in and has a code, before the first try.
fn with_a_code(daily: u64) -> Car {
    let mut car = Car::new(&[]);
    car.agent = Agent::restore("test", None, &[])
        .expect("an empty journal")
        .with_epoch(7)
        .with_daily_bytes(daily);
    car.event(Event::Boot);
    car.run();
    car.event(Event::LinkUp);
    car.run();
    code(&mut car);
    car
}

/// The user logs in and gets a code.
fn code(car: &mut Car) {
    car.log_in(EVA, &[]);
    car.run();
    let requests = car.agent.durable().requests().to_vec();
    let (request_id, account) = *requests.last().expect("a request");
    car.inbound(Down::ActivationCode {
        request_id,
        account,
        outcome: CodeOutcome::Code {
            code: Secret::new("1$smdp.example$M".into()),
            iccid: None,
        },
    });
}

/// The agent starts again, with the budget of its configuration and without a link.
fn boot(car: &mut Car, daily: u64) {
    let agent = Agent::restore("test", None, &car.journal).expect("own");
    car.agent = agent.with_epoch(8).with_daily_bytes(daily);
    (car.ticket, car.op) = (None, None);
    car.event(Event::Boot);
    car.run_but(|what| *what != EuiccOp::List);
}

/// As `boot`, with a link.
fn restart(car: &mut Car, daily: u64) {
    boot(car, daily);
    car.event(Event::LinkUp);
}

#[test]
fn a_budget_is_within_its_bounds() {
    let daily = |bytes| {
        let agent = Agent::restore("test", None, &[]).expect("new");
        let agent = agent.with_daily_bytes(bytes);
        agent.allowance(BootMs(0)).daily
    };
    assert_eq!(daily(0), MIN_DAILY_BYTES);
    assert_eq!(daily(MIN_DAILY_BYTES + 1), MIN_DAILY_BYTES + 1);
    assert_eq!(daily(u64::MAX), budget::MAX_DAILY_BYTES);
    let agent = Agent::restore("test", None, &[]).expect("new");
    let allowance = agent.allowance(BootMs(0));
    assert_eq!(allowance.daily, DAILY_BYTES);
    assert_eq!((allowance.spent, allowance.next), (0, None));
}

// A download of half a MiB that always fails, under a budget of one MiB a day: for a week the bytes stay below the budget of
// a week and a day, the driver sees why, and the code is kept.
#[test]
fn repetitions_stay_within_the_budget_and_go_on_when_it_has_room() {
    let mut car = with_a_code(MIN_DAILY_BYTES);
    let each = 512 * 1024;
    pass(&mut car, 2 * HOUR, each);
    let first = car.asked(is_download) as u64;
    assert!((2..=3).contains(&first), "{first} tries");
    let waiting = car.agent.waiting().expect("something waits");
    assert_eq!(waiting.awaited, Awaited::Download);
    assert!(waiting.cause.contains("1 MiB a day"), "{}", waiting.cause);
    assert!(
        waiting.cause.contains("the card says no"),
        "{}",
        waiting.cause
    );
    let allowance = car.agent.allowance(BootMs(car.now));
    assert_eq!(allowance.next, Some(waiting.next));
    assert!(waiting.next.0 > car.now && waiting.next.0 < car.now + DAY);
    let task = car
        .agent
        .tasks()
        .into_iter()
        .find(|t| t.doing == Doing::Download);
    let task = task.expect("a task");
    assert_eq!(task.stage, Stage::Retry(waiting.next));
    assert_eq!(task.cause, waiting.cause);
    // To the moment, and not before it.
    pass(&mut car, waiting.next.0 - 1, each);
    assert_eq!(car.asked(is_download) as u64, first);
    pass(&mut car, waiting.next.0, each);
    assert_eq!(car.asked(is_download) as u64, first + 1);
    pass(&mut car, 7 * DAY, each);
    let tries = car.asked(is_download) as u64;
    assert!(tries * each <= 8 * MIN_DAILY_BYTES, "{tries} tries");
    assert!(tries * each >= 6 * MIN_DAILY_BYTES, "{tries} tries");
    assert_eq!(car.agent.durable().downloads().len(), 1);
    // It works in the end.
    while car.agent.durable().downloads().len() == 1 {
        if let Some((_, EuiccOp::Download { .. })) = &car.op {
            car.card_says(Ok(()));
        }
        car.run_but(is_download);
        if car.op.is_none() {
            car.wait();
        }
    }
    car.run();
    assert_eq!(car.agent.phase(), Phase::Active);
}

// What a driver asks for is charged, and never waits: the first try of their download goes although nothing is left.
#[test]
fn the_first_try_of_a_driver_does_not_wait_for_the_budget() {
    let mut car = with_a_code(MIN_DAILY_BYTES);
    pass(&mut car, HOUR, 3 * MIN_DAILY_BYTES);
    assert_eq!(car.asked(is_download), 1, "nothing is left");
    let spent = car.agent.allowance(BootMs(car.now)).spent;
    // Nothing waits for more than a day and the time of a try, whatever was spent.
    assert!(spent <= 2 * MIN_DAILY_BYTES, "{spent}");
    let next = car.agent.waiting().expect("waits").next;
    assert!(next.0 <= 30 * HOUR, "{next:?}");
    car.log_in(ADA, &[]);
    car.run();
    let (request_id, account) = car.agent.durable().requests()[0];
    assert_eq!(account, ADA);
    let code = Secret::new("1$smdp.example$A".into());
    let outcome = CodeOutcome::Code { code, iccid: None };
    car.inbound(Down::ActivationCode {
        request_id,
        account,
        outcome,
    });
    car.run_but(is_download);
    assert_eq!(car.asked(is_download), 2, "the driver's own");
    car.card_says(Ok(()));
    car.run();
    assert_eq!(car.agent.phase(), Phase::Active);
}

// The agent ends in the middle of each try, and is started again at once, for a day: the tries are counted, and paid for
// although nobody said what they took.
#[test]
fn a_restart_loop_gets_around_neither_pauses_nor_budget() {
    for wall in [Some(1_800_000_000), None] {
        let mut car = with_a_code(MIN_DAILY_BYTES);
        car.wall = wall;
        let end = car.now + DAY;
        let mut lives = 0;
        while car.now < end {
            car.run_but(is_download);
            if car.op.is_some() {
                // It dies while it downloads.
                restart(&mut car, MIN_DAILY_BYTES);
                lives += 1;
            } else {
                car.wait();
            }
        }
        let tries = car.asked(is_download) as u64;
        // Tries while the link is up: two minutes after it came at the earliest.
        assert!(lives > 5, "{lives} lives with {wall:?}");
        assert!(
            tries * TRY_BYTES <= 2 * MIN_DAILY_BYTES + TRY_BYTES,
            "{tries} tries with {wall:?}"
        );
        let download = &car.agent.durable().downloads()[0];
        assert!(u64::from(download.attempts) <= tries);
        assert!(download.attempts > 2, "the pauses grow across restarts");
    }
}

// A life of a few seconds after another: nothing is tried at once after a start.
#[test]
fn nothing_that_failed_is_tried_right_after_a_start() {
    let mut car = with_a_code(DAILY_BYTES);
    pass(&mut car, MINUTE, 1000);
    let before = car.asked(is_download);
    for _ in 0..200 {
        restart(&mut car, DAILY_BYTES);
        let end = car.now + 10 * SECOND;
        pass(&mut car, end, 1000);
    }
    assert_eq!(car.asked(is_download), before);
}

// The car is off at night: what was spent has drained by the wall clock. A clock of 1970 drains nothing, a later one no
// more than there is.
#[test]
fn a_car_that_was_off_has_room_again_by_its_clock() {
    let spent_after = |clocks: &[u64]| {
        let mut car = with_a_code(MIN_DAILY_BYTES);
        pass(&mut car, MINUTE, MIN_DAILY_BYTES);
        let before = car.agent.allowance(BootMs(car.now)).spent;
        assert!(before > MIN_DAILY_BYTES * 9 / 10);
        for clock in clocks {
            boot(&mut car, MIN_DAILY_BYTES);
            car.wall = Some(*clock);
            car.event(Event::Call { active: false });
        }
        (before, car.agent.allowance(BootMs(car.now)).spent)
    };
    let noon = 1_800_000_000;
    let (before, same) = spent_after(&[noon]);
    assert!(same <= before && same + 4096 > before, "{before} {same}");
    let (before, half) = spent_after(&[noon + 12 * 3600]);
    let drained = before - half;
    assert!(drained.abs_diff(MIN_DAILY_BYTES / 2) < 4096, "{drained}");
    assert_eq!(spent_after(&[noon + 40 * 24 * 3600]).1, 0);
    let (before, wrong) = spent_after(&[0]);
    assert!(before.abs_diff(wrong) < 4096, "{before} {wrong}");
}

// Deliveries of notifications that the car begins by itself are counted in the journal and wait after a restart; those of
// a login are not, and cost the flash nothing.
#[test]
fn deliveries_are_counted_across_restarts() {
    let mut car = Car::new(&[]);
    car.event(Event::Boot);
    car.run();
    car.event(Event::LinkUp);
    let is_delivery = |what: &EuiccOp| *what == EuiccOp::Notifications;
    car.run_but(is_delivery);
    // The process dies in the first delivery, over and over.
    for life in 1..=20_u16 {
        assert!(car.op.is_some(), "a delivery in life {life}");
        // Four count after the link has come back.
        assert_eq!(car.agent.durable().deliveries(), life.min(5));
        let begun = car.now;
        restart(&mut car, DAILY_BYTES);
        car.run_but(is_delivery);
        assert_eq!(car.op, None, "at once after start {life}");
        while car.op.is_none() {
            car.wait();
            car.run_but(is_delivery);
        }
        let pause = car.now - begun;
        assert!(
            pause >= (15 * SECOND) << life.min(3),
            "{pause} ms in life {life}"
        );
    }
    assert!(car.agent.allowance(BootMs(car.now)).spent > 10 * TRY_BYTES);
    car.card_says(Ok(()));
    car.run();
    assert_eq!(car.agent.durable().deliveries(), 0);

    let mut car = Car::online(&[(1, false)]);
    car.log_in(EVA, &[1]);
    let spent = car.agent.durable().spent();
    car.run_but(is_delivery);
    assert!(car.op.is_some());
    assert_eq!(car.agent.durable().deliveries(), 0);
    car.event(Event::Moved { bytes: 5000 });
    car.card_says(Ok(()));
    car.run();
    assert_eq!(car.agent.durable().spent(), spent);
}

// A failed delivery is charged, and the next one counts on.
#[test]
fn failed_deliveries_are_charged() {
    let mut car = Car::online(&[(1, false)]);
    car.log_in(EVA, &[1]);
    car.run_but(|what| *what == EuiccOp::Notifications);
    car.event(Event::Moved { bytes: 70_000 });
    car.card_says(Err(failure(false)));
    car.run();
    assert_eq!(car.agent.allowance(BootMs(car.now)).spent, 70_000);
    assert_eq!(car.agent.durable().deliveries(), 1);
    while !matches!(car.op, Some((_, EuiccOp::Notifications))) {
        car.wait();
        car.run_but(|what| *what == EuiccOp::Notifications);
    }
    assert_eq!(car.agent.durable().deliveries(), 2);
    car.card_says(Ok(()));
    car.run();
    assert_eq!(car.agent.durable().deliveries(), 0);
}

// The pause of a renewal is in the journal before the next message, and is judged by the wall clock.
#[test]
fn the_pause_of_a_renewal_survives_a_restart() {
    let mut car = Car::online(&[]);
    let (tries, seconds) = (3, 3600);
    car.event(Event::RenewalPaused { tries, seconds });
    assert!(matches!(car.poll().as_slice(), [Effect::Persist { .. }]));
    car.persisted();
    restart(&mut car, DAILY_BYTES);
    let pause = car.agent.durable().renewal();
    assert_eq!((pause.tries, pause.seconds), (3, 3600));
    assert_eq!(pause.left(pause.at), 3600);
    assert_eq!(pause.left(pause.at + 3599), 1);
    assert_eq!(pause.left(pause.at + 3600), 0);
    assert_eq!(pause.left(u64::MAX), 0);
    assert_eq!(pause.left(5), 3600, "a clock of 1970");
    // The same again costs nothing; the end is one record.
    car.run();
    let records = car.journal.len();
    let (tries, seconds) = (0, 0);
    car.event(Event::RenewalPaused { tries, seconds });
    car.run();
    car.event(Event::RenewalPaused { tries, seconds });
    car.run();
    assert_eq!(car.journal.len(), records + 1);
    assert_eq!(car.agent.durable().renewal(), RenewalPause::default());
}
