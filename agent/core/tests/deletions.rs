//! A profile that its user deleted in the car comes back only after they said so: whatever happens between the button, the
//! card, the report and the next login.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

mod car;

use aid_agent_core::*;
use car::*;

fn is_request(up: &Up) -> bool {
    matches!(up, Up::RequestActivationCode { .. })
}

fn is_again(up: &Up) -> bool {
    matches!(up, Up::RequestAgain { .. })
}

/// Codes of the reports about deletions that the CMP got, repetitions among them.
fn told(car: &Car) -> Vec<u16> {
    let told = car.log.iter().filter_map(|effect| match effect {
        Effect::Send {
            body: Up::Status { status, code, .. },
            ..
        } => (*status == Status::Deleted).then_some(*code),
        _ => None,
    });
    told.collect()
}

fn asks(car: &Car) -> usize {
    let ask = Effect::Notify(Notice::AskProvision);
    car.log.iter().filter(|effect| **effect == ask).count()
}

/// A car whose user is in, their profile enabled.
fn active() -> Car {
    let mut car = Car::online(&[(1, false)]);
    car.log_in(EVA, &[1]);
    car.run();
    assert_eq!(car.agent.phase(), Phase::Active);
    car
}

/// The user presses the button.
fn delete(car: &mut Car) {
    car.event(Event::DeleteOwn { iccid: iccid(1) });
}

/// The link comes, and all that waits for it happens.
fn connect(car: &mut Car) {
    car.event(Event::LinkUp);
    car.run();
}

/// Whoever logs in next is asked, nothing is requested by itself, and a yes is a request that says so.
fn is_remembered(case: &str, mut car: Car) {
    car.log_in(EVA, &[]);
    car.run();
    let session = car.agent.session().expect(case);
    assert!(session.asking(), "{case}: the user is not asked");
    assert!(asks(&car) > 0, "{case}: the screen does not know");
    assert_eq!(car.sent(is_request), 0, "{case}: requested by itself");
    assert!(car.card.is_empty(), "{case}");
    assert!(told(&car).contains(&DELETED_BY_USER), "{case}");
    car.event(Event::Provision);
    car.run();
    assert_eq!((car.sent(is_again), car.sent(is_request)), (1, 0), "{case}");
}

#[test]
fn a_user_who_leaves_at_once_is_asked_at_the_next_login() {
    // Before the card has done anything, while it disables, while it deletes.
    let stops: [fn(&EuiccOp) -> bool; 3] = [
        |_| true,
        |what| matches!(what, EuiccOp::Disable { .. }),
        |what| matches!(what, EuiccOp::Delete { .. }),
    ];
    for (n, stop) in stops.into_iter().enumerate() {
        let mut car = active();
        delete(&mut car);
        car.run_but(stop);
        car.event(Event::Logout);
        is_remembered(&format!("left at {n}"), car);
    }
}

#[test]
fn a_power_cut_forgets_nothing() {
    for effects in 0..12 {
        for happened in [false, true] {
            let mut car = active();
            let before = car.journal.len();
            delete(&mut car);
            // So many steps of disk and card; then power fails in the middle of the next one.
            for _ in 0..effects {
                car.poll();
                if car.ticket.is_some() {
                    car.persisted();
                } else if car.op.is_some() {
                    car.card_says(Ok(()));
                }
            }
            car.poll();
            if happened && let Some((_, what)) = car.op.clone() {
                match what {
                    EuiccOp::Delete { iccid } => car.card.retain(|p| p.iccid != iccid),
                    EuiccOp::Disable { .. } => car.card[0].enabled = false,
                    _ => {}
                }
            }
            assert!(car.journal.len() > before, "nothing is journaled");
            car.restart();
            car.run();
            connect(&mut car);
            is_remembered(&format!("cut after {effects}, {happened}"), car);
        }
    }
}

// The CMP has not acknowledged the report: it may have been lost, and the request be the first that it hears.
#[test]
fn a_report_that_was_lost_brings_no_profile_back() {
    let mut car = active();
    car.event(Event::LinkDown);
    delete(&mut car);
    car.run();
    assert!(car.card.is_empty());
    car.event(Event::Logout);
    car.run();
    car.restart();
    car.run();
    connect(&mut car);
    is_remembered("lost report", car);
}

// Once the CMP has the report it decides: the car asks, and shows what the CMP answers.
#[test]
fn a_cmp_that_has_the_report_decides() {
    let mut car = active();
    delete(&mut car);
    car.run();
    assert_eq!(told(&car), [DELETED_BY_USER]);
    for report in car.agent.durable().outbox().to_vec() {
        car.inbound(Down::StatusAck {
            report_seq: report.seq,
        });
        car.run();
    }
    car.event(Event::Logout);
    car.run();
    car.log_in(EVA, &[]);
    car.run();
    assert_eq!(car.sent(is_request), 1);
    let (request_id, account) = car.agent.durable().requests()[0];
    let outcome = CodeOutcome::Ask;
    car.inbound(Down::ActivationCode {
        request_id,
        account,
        outcome,
    });
    car.run();
    assert!(car.agent.session().is_some_and(Session::asking));
    car.event(Event::Provision);
    car.run();
    assert_eq!(car.sent(is_again), 1);
}

// Somebody at a bench deletes the profile in the moment in which its user does.
#[test]
fn a_deletion_by_somebody_else_is_still_the_users() {
    let mut car = active();
    car.event(Event::Logout);
    car.run();
    car.event(Event::LinkDown);
    car.event(Event::LinkUp);
    car.run();
    car.log_in(EVA, &[1]);
    car.run();
    delete(&mut car);
    car.run_but(|what| matches!(what, EuiccOp::Disable { .. }));
    car.card.clear();
    // The card answers with the list that it has now.
    let (op, _) = car.op.take().expect("an operation");
    car.event(Event::EuiccDone {
        op,
        result: Err(failure(false)),
        profiles: Some(vec![]),
    });
    car.run();
    car.event(Event::Logout);
    is_remembered("deleted by somebody else", car);
    // Nothing had been begun on the card: the order of the CMP came first, and the card was empty when it was read.
    let mut car = active();
    car.event(Event::Logout);
    car.run();
    car.log_in(EVA, &[1]);
    car.run();
    delete(&mut car);
    car.run_but(|_| true);
    car.card.clear();
    car.restart();
    car.run();
    connect(&mut car);
    is_remembered("gone when it was read", car);
}

// What the CMP deleted is no wish of the user: the next login brings it back.
#[test]
fn a_deletion_that_the_cmp_ordered_is_not_the_users() {
    let mut car = active();
    car.order(9, OrderKind::Delete { iccid: iccid(1) });
    car.run();
    assert_eq!(told(&car), [0]);
    car.event(Event::Logout);
    car.run();
    car.log_in(EVA, &[]);
    car.run();
    assert!(car.sent(is_request) > 0);
    assert_eq!(asks(&car), 0);
}
