//! The gate between the journal and everything else: nothing comes out while a record is on its way to disk, only the
//! record's own ticket opens the gate, and a snapshot has nothing that is not on disk.
#![allow(clippy::expect_used, reason = "a failed expectation is a failed test")]

mod car;

use aid_agent_core::*;
use car::*;

/// A car whose user waits for the request for a code to be on disk.
fn persisting() -> Car {
    let mut car = Car::online(&[]);
    car.log_in(EVA, &[]);
    assert!(matches!(
        car.poll().as_slice(),
        [.., Effect::Persist { .. }]
    ));
    car
}

fn is_request(up: &Up) -> bool {
    matches!(up, Up::RequestActivationCode { .. })
}

#[test]
fn nothing_comes_before_the_record_is_on_disk() {
    let mut car = persisting();
    let ticket = car.ticket.expect("open");
    // Whatever happens meanwhile.
    for _ in 0..3 {
        car.order(1, OrderKind::DeleteAll);
        car.event(Event::LinkUp);
        car.event(Event::Logout);
        car.now += 60_000;
        car.agent.handle_timeout(BootMs(car.now));
        assert_eq!(car.agent.poll_effect(), None);
    }
    for wrong in [ticket.wrapping_sub(1), ticket + 1, 0, u64::MAX] {
        if wrong != ticket {
            car.event(Event::Persisted { ticket: wrong });
            assert_eq!(car.agent.poll_effect(), None, "ticket {wrong} of {ticket}");
        }
    }
    car.event(Event::Persisted { ticket });
    assert!(car.agent.poll_effect().is_some());
}

#[test]
fn the_request_follows_its_record() {
    let mut car = persisting();
    assert_eq!(car.sent(is_request), 0);
    car.persisted();
    car.poll();
    assert_eq!(car.sent(is_request), 1);
}

#[test]
fn no_two_persists_have_the_same_ticket() {
    let mut car = Car::online(&[(1, false)]);
    car.log_in(EVA, &[1]);
    let mut tickets = vec![];
    for n in 0..5 {
        car.order(n, OrderKind::Delete { iccid: iccid(90) });
        car.poll();
        tickets.push(car.ticket.expect("a persist"));
        car.persisted();
        car.run();
    }
    let mut distinct = tickets.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), tickets.len(), "{tickets:?}");
}

// The ticket of an earlier persist is repeated while a later one is open.
#[test]
fn an_earlier_ticket_opens_nothing() {
    let mut car = persisting();
    let first = car.ticket.expect("open");
    car.persisted();
    car.order(1, OrderKind::Delete { iccid: iccid(90) });
    car.poll();
    let second = car.ticket.expect("open");
    assert_ne!(first, second);
    car.event(Event::Persisted { ticket: first });
    assert_eq!(car.agent.poll_effect(), None);
    car.event(Event::Persisted { ticket: second });
    assert!(car.agent.poll_effect().is_some());
}

#[test]
fn a_snapshot_has_nothing_that_is_not_on_disk() {
    let mut car = Car::online(&[]);
    car.run();
    assert!(car.agent.snapshot().is_some());
    car.order(1, OrderKind::Delete { iccid: iccid(90) });
    // Queued, not polled.
    assert_eq!(car.agent.snapshot(), None);
    car.poll();
    // Polled, not on disk.
    assert_eq!(car.agent.snapshot(), None);
    car.persisted();
    car.run();
    let snapshot = car.agent.snapshot().expect("at rest");
    let state = Durable::restore(Some(&snapshot), &[]).expect("own");
    assert_eq!(&state, car.agent.durable());
    let replayed = Durable::restore(None, &car.journal).expect("own");
    assert_eq!(&replayed, car.agent.durable());
    // Nor while the journal does not work.
    let text = "no".into();
    car.event(Event::PersistFailed { text });
    assert_eq!(car.agent.snapshot(), None);
    assert!(car.agent.unsaved().is_some());
}

// R-4.3-12: records that come while another is on its way are the next write, in order, and lose nothing.
#[test]
fn records_that_come_meanwhile_are_the_next_write() {
    let mut car = persisting();
    for n in 1..=9 {
        car.order(n, OrderKind::Delete { iccid: iccid(90) });
    }
    let before = car.journal.len();
    car.persisted();
    car.run();
    assert!(car.journal.len() - before <= 2, "one write for all");
    let replayed = Durable::restore(None, &car.journal).expect("own");
    assert_eq!(&replayed, car.agent.durable());
    assert_eq!(replayed.orders().len(), 9);
}

// R-4.5-5: an order is executed once, whatever is repeated, and its result is said again.
#[test]
fn a_repeated_order_is_executed_once() {
    let mut car = Car::online(&[(1, false)]);
    let order = || OrderKind::Delete { iccid: iccid(1) };
    let result = |up: &Up| {
        matches!(
            up,
            Up::OrderResult {
                outcome: OrderOutcome::Done,
                ..
            }
        )
    };
    car.order(1, order());
    car.order(1, order());
    assert_eq!(car.agent.durable().orders().len(), 1);
    car.run();
    assert_eq!((car.card.len(), car.sent(result)), (0, 1));
    // Somebody installs it again; the CMP repeats the order.
    car.card = vec![CardProfile {
        iccid: iccid(1),
        enabled: false,
    }];
    car.order(1, order());
    car.run();
    assert_eq!((car.card.len(), car.sent(result)), (1, 2));
    car.inbound(Down::Ack {
        message_id: [1; 16],
    });
    car.run();
    assert!(car.agent.durable().orders().is_empty());
    car.order(1, order());
    car.run();
    assert_eq!((car.card.len(), car.sent(result)), (1, 2));
    let acks = |e: &&Effect| {
        matches!(
            e,
            Effect::AckInbound {
                message_id: [1, ..]
            }
        )
    };
    assert_eq!(
        car.log.iter().filter(acks).count(),
        4,
        "each is acknowledged"
    );
    assert!(car.agent.durable().orders().is_empty());
}

// An acknowledgement of something else closes no order, and one without a result stays open.
#[test]
fn only_the_result_s_own_acknowledgement_closes_an_order() {
    let mut car = Car::online(&[(1, false)]);
    car.order(1, OrderKind::Delete { iccid: iccid(1) });
    car.run_but(|what| matches!(what, EuiccOp::Delete { .. }));
    car.inbound(Down::Ack {
        message_id: [1; 16],
    });
    assert_eq!(
        car.agent.durable().orders().len(),
        1,
        "it has no result yet"
    );
    car.run();
    car.inbound(Down::Ack {
        message_id: [2; 16],
    });
    assert_eq!(car.agent.durable().orders().len(), 1);
    car.inbound(Down::Ack {
        message_id: [1; 16],
    });
    assert!(car.agent.durable().orders().is_empty());
}

#[test]
fn the_result_of_another_operation_is_ignored() {
    let mut car = Car::online(&[(1, false)]);
    car.log_in(EVA, &[1]);
    car.run_but(|what| matches!(what, EuiccOp::Enable { .. }));
    let (op, _) = car.op.clone().expect("an enable");
    let enabled = vec![CardProfile {
        iccid: iccid(1),
        enabled: true,
    }];
    for other in [op - 1, op + 1, 0] {
        car.event(Event::EuiccDone {
            op: other,
            result: Ok(()),
            profiles: Some(enabled.clone()),
        });
        assert!(car.agent.durable().intent().is_some());
        assert_eq!(car.agent.phase(), Phase::Switching);
    }
    car.run();
    assert_eq!(car.agent.phase(), Phase::Active);
    // And twice is once.
    let reports = car.agent.durable().outbox().len();
    car.event(Event::EuiccDone {
        op,
        result: Ok(()),
        profiles: Some(vec![]),
    });
    assert_eq!(car.agent.durable().outbox().len(), reports);
    assert_eq!(car.agent.phase(), Phase::Active);
}

// R-4.3-12: what has no acknowledgement is sent again every 30 s, and no more once it has.
#[test]
fn reports_are_sent_again_until_they_are_acknowledged() {
    let mut car = Car::online(&[(1, false)]);
    car.log_in(EVA, &[1]);
    car.run();
    let report = |up: &Up| matches!(up, Up::Status { .. });
    assert_eq!(car.sent(report), 1);
    let first = car.now;
    while car.wait() != Timer::Resend {}
    car.run();
    assert_eq!(car.sent(report), 2);
    assert!(
        (29_000..=31_000).contains(&(car.now - first)),
        "{}",
        car.now - first
    );
    while car.wait() != Timer::Resend {}
    car.run();
    assert_eq!(car.sent(report), 3);
    let seq = car.agent.durable().report_seq();
    assert_eq!(seq, (7 << 32) + 1);
    car.inbound(Down::StatusAck {
        report_seq: seq + 1,
    });
    assert_eq!(car.agent.durable().outbox().len(), 1);
    car.inbound(Down::StatusAck { report_seq: seq });
    car.run();
    assert!(car.agent.durable().outbox().is_empty());
    let session = car.log.iter().rev().find_map(|e| match e {
        Effect::Send {
            message_id,
            body: Up::Session { .. },
        } => *message_id,
        _ => None,
    });
    if let Some(message_id) = session {
        car.inbound(Down::Ack { message_id });
    }
    while let Some((_, why)) = car.agent.poll_timeout() {
        assert_ne!(why, Timer::Resend);
        car.wait();
    }
}

// R-4.3-15: a second user's login ends the first one's session; a profile keeps its owner.
#[test]
fn a_second_user_takes_over() {
    let mut car = Car::online(&[(1, false), (2, false)]);
    car.log_in(EVA, &[1]);
    car.run();
    assert_eq!(car.agent.phase(), Phase::Active);
    // The CMP says that the first one's profile is the second one's, too: it stays whose it is.
    car.log_in(ADA, &[1, 2]);
    car.run();
    assert_eq!(car.agent.session().map(|s| s.account), Some(ADA));
    assert_eq!(car.agent.durable().owner(&iccid(1)), Some(EVA));
    assert_eq!(car.agent.durable().owner(&iccid(2)), Some(ADA));
    let enabled: Vec<_> = car.card.iter().filter(|p| p.enabled).collect();
    assert_eq!(enabled.len(), 1);
    assert_eq!(enabled[0].iccid, iccid(2));
    let ended = Notice::LoggedOut { account: EVA };
    assert!(car.log.contains(&Effect::Notify(ended)));
    // The number of the second login covers the end of the first session.
    assert!(car.agent.durable().logouts().is_empty());
}

// A profile that is not on the card gets no owner.
#[test]
fn a_profile_that_is_not_here_is_nobody_s() {
    let mut car = Car::online(&[(1, false)]);
    car.log_in(EVA, &[1, 5]);
    car.run();
    assert_eq!(car.agent.durable().owner(&iccid(5)), None);
    assert_eq!(car.agent.durable().owners().count(), 1);
}

// The same user again: nothing is switched off and on.
#[test]
fn the_same_user_again_changes_nothing_on_the_card() {
    let mut car = Car::online(&[(1, false)]);
    car.log_in(EVA, &[1]);
    car.run();
    let before = car.asked(|what| !matches!(what, EuiccOp::Notifications));
    car.log_in(EVA, &[1]);
    car.run();
    let after = car.asked(|what| !matches!(what, EuiccOp::Notifications));
    assert_eq!(after, before);
    assert_eq!(car.agent.phase(), Phase::Active);
}

// §4.7: a profile that is blocked stays off for this session, and comes back with the next one.
#[test]
fn a_profile_that_is_held_stays_off_until_the_next_login() {
    let mut car = Car::online(&[(1, false)]);
    car.log_in(EVA, &[1]);
    car.run();
    car.order(1, OrderKind::Disable { iccid: iccid(1) });
    car.run();
    assert!(!car.card[0].enabled);
    assert_eq!(car.agent.phase(), Phase::NoProfile);
    while car
        .agent
        .poll_timeout()
        .is_some_and(|(_, why)| why != Timer::Resend)
    {
        car.wait();
        car.run();
    }
    assert!(!car.card[0].enabled);
    car.log_in(EVA, &[1]);
    car.run();
    assert!(car.card[0].enabled);
}

// A.4: one that the card does not delete fails its own order, stops no other, and is tried again for a new one.
#[test]
fn an_undeletable_profile_stops_no_other() {
    let mut car = Car::online(&[(1, false), (2, false)]);
    car.order(1, OrderKind::DeleteAll);
    for _ in 0..40 {
        car.run_but(|what| matches!(what, EuiccOp::Delete { iccid: i } if *i == iccid(1)));
        match car.op {
            Some(_) => car.card_says(Err(failure(true))),
            None => match car.agent.poll_timeout() {
                Some((_, Timer::Card)) => drop(car.wait()),
                _ => break,
            },
        }
    }
    assert_eq!(car.card.len(), 1);
    let tries =
        |car: &Car| car.asked(|w| matches!(w, EuiccOp::Delete { iccid: i } if *i == iccid(1)));
    assert_eq!(tries(&car), 5);
    let failed = |up: &Up| {
        matches!(
            up,
            Up::OrderResult {
                outcome: OrderOutcome::Failed { code: 9 },
                ..
            }
        )
    };
    assert_eq!(car.sent(failed), 1);
    car.order(2, OrderKind::Delete { iccid: iccid(1) });
    car.run();
    assert!(car.card.is_empty());
    assert_eq!(tries(&car), 6);
}

// R-4.3-9: a passing failure is tried again after pauses that double, and never given up.
#[test]
fn enabling_is_tried_again_and_again() {
    let mut car = Car::online(&[(1, false)]);
    car.log_in(EVA, &[1]);
    let is_enable = |what: &EuiccOp| matches!(what, EuiccOp::Enable { .. });
    let mut times = vec![];
    while times.len() < 12 {
        car.run_but(is_enable);
        if car.op.is_some() {
            times.push(car.now);
            car.card_says(Err(failure(false)));
        } else {
            assert!(matches!(car.wait(), Timer::Card | Timer::Resend));
        }
    }
    let pauses: Vec<u64> = times.windows(2).map(|w| (w[1] - w[0]) / 1000).collect();
    // Four short ones, then it rests; so again, resting longer.
    assert_eq!(pauses, [1, 2, 4, 8, 60, 1, 2, 4, 8, 120, 1]);
    assert_eq!(car.agent.phase(), Phase::Switching);
    car.wait();
    car.run();
    assert_eq!(car.agent.phase(), Phase::Active);
}

// Disabling is never given up: an OP must not stay enabled with nobody there.
#[test]
fn disabling_is_never_given_up() {
    let mut car = Car::online(&[(1, false)]);
    car.log_in(EVA, &[1]);
    car.run();
    car.event(Event::Logout);
    let is_disable = |what: &EuiccOp| matches!(what, EuiccOp::Disable { .. });
    let mut times = vec![];
    while times.len() < 12 {
        car.run_but(is_disable);
        if car.op.is_some() {
            times.push(car.now);
            car.card_says(Err(failure(true)));
        } else {
            car.wait();
        }
    }
    let pauses: Vec<u64> = times.windows(2).map(|w| (w[1] - w[0]) / 1000).collect();
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60]);
    for _ in 0..3 {
        car.wait();
        car.run();
    }
    assert!(!car.card[0].enabled);
}
