//! What happens at each bound of the agent's state (`aid_agent_core::bounds`).
#![allow(clippy::expect_used, reason = "a failed expectation is a failed test")]

mod car;

use aid_agent_core::bounds::*;
use aid_agent_core::*;
use car::*;

fn delete(n: u64) -> OrderKind {
    OrderKind::Delete { iccid: iccid(n) }
}

fn id(n: usize) -> Id {
    (n as u128 + 1).to_be_bytes()
}

fn acks(car: &Car) -> usize {
    let is = |e: &&Effect| matches!(e, Effect::AckInbound { .. });
    car.log.iter().filter(is).count()
}

#[test]
fn the_agent_has_a_size() {
    let size = size_of::<Agent>();
    assert!(size < 96 * 1024, "{size} bytes");
}

// An order without room is not acknowledged; it is taken when it is repeated once there is room.
#[test]
fn more_orders_than_fit() {
    let mut car = Car::online(&[(1, false)]);
    let order = |n: usize| Event::Inbound {
        message_id: id(n),
        body: Down::Order {
            order_id: id(n),
            kind: delete(90),
        },
    };
    for n in 0..MAX_ORDERS + 3 {
        car.event(order(n));
        car.run();
    }
    assert_eq!(car.agent.durable().orders().len(), MAX_ORDERS);
    assert_eq!(acks(&car), MAX_ORDERS);
    car.inbound(Down::Ack { message_id: id(0) });
    car.event(order(MAX_ORDERS));
    car.run();
    assert_eq!(acks(&car), MAX_ORDERS + 1);
    assert_eq!(car.agent.durable().orders().len(), MAX_ORDERS);
    assert_eq!(
        car.agent.durable().orders().last().map(|o| o.order_id),
        Some(id(MAX_ORDERS))
    );
}

// The oldest closed orders are forgotten, the newest are not.
#[test]
fn more_closed_orders_than_are_remembered() {
    let mut car = Car::online(&[(1, false)]);
    for n in 0..=MAX_CLOSED {
        car.event(Event::Inbound {
            message_id: id(n),
            body: Down::Order {
                order_id: id(n),
                kind: delete(90),
            },
        });
        car.run();
        car.inbound(Down::Ack { message_id: id(n) });
        car.run();
    }
    assert!(!car.agent.durable().is_closed(id(0)));
    assert!((1..=MAX_CLOSED).all(|n| car.agent.durable().is_closed(id(n))));
}

// A car that is away for long and whose users come and go.
#[test]
fn more_ends_of_sessions_than_fit() {
    let mut car = Car::online(&[(1, false)]);
    car.log_in(EVA, &[1]);
    car.run();
    let mut users = vec![];
    for n in 0..MAX_LOGOUTS as u8 + 3 {
        let account = AccountRef([n; 16]);
        // Each takes the place of the one before, while the CMP takes no session.
        car.event(Event::LinkDown);
        car.event(Event::Logout);
        car.run();
        car.event(Event::LinkUp);
        car.log_in(account, &[]);
        car.event(Event::LinkDown);
        car.run();
        users.push(account);
    }
    assert!(car.agent.durable().logouts().len() <= MAX_LOGOUTS);
}

// No code is requested that would have no place; once there is one it is.
#[test]
fn more_users_without_a_profile_than_codes() {
    let mut car = Car::online(&[]);
    let user = |n: usize| AccountRef(id(n));
    for n in 0..MAX_CODES {
        car.log_in(user(n), &[]);
        car.run();
        assert_eq!(car.agent.durable().requests().len(), n + 1);
    }
    // Half of them get a code, which can't be downloaded just now.
    let requests: Vec<_> = car.agent.durable().requests().to_vec();
    for (request_id, account) in &requests[..MAX_CODES / 2] {
        let code = Secret::new("1$smdp.example$M".into());
        car.inbound(Down::ActivationCode {
            request_id: *request_id,
            account: *account,
            outcome: CodeOutcome::Code { code, iccid: None },
        });
        car.run_but(|what| matches!(what, EuiccOp::Download { .. }));
        if car.op.is_some() {
            car.card_says(Err(failure(false)));
        }
    }
    let full =
        |car: &Car| car.agent.durable().requests().len() + car.agent.durable().downloads().len();
    assert_eq!(full(&car), MAX_CODES);
    car.log_in(user(MAX_CODES), &[]);
    car.run_but(|what| matches!(what, EuiccOp::Download { .. }));
    assert_eq!(full(&car), MAX_CODES);
    let mine = |car: &Car| {
        car.agent
            .durable()
            .requests()
            .iter()
            .any(|(_, a)| *a == user(MAX_CODES))
    };
    assert!(!mine(&car));
    // One of the others ends.
    let (request_id, account) = requests[MAX_CODES - 1];
    let (code, reason) = (10, "no".into());
    let outcome = CodeOutcome::Failed { code, reason };
    car.inbound(Down::ActivationCode {
        request_id,
        account,
        outcome,
    });
    assert!(mine(&car));
    assert_eq!(full(&car), MAX_CODES);
}

#[test]
fn an_activation_code_that_is_too_long_fails() {
    for (len, fits) in [(255, true), (256, false), (100_000, false)] {
        let mut car = Car::online(&[]);
        car.log_in(EVA, &[]);
        car.run();
        let (request_id, account) = car.agent.durable().requests()[0];
        let code = Secret::new("1".repeat(len));
        let outcome = CodeOutcome::Code { code, iccid: None };
        car.inbound(Down::ActivationCode {
            request_id,
            account,
            outcome,
        });
        assert_eq!(car.agent.durable().downloads().len(), usize::from(fits));
        if !fits {
            let report = car.agent.durable().outbox().last().expect("a report");
            assert_eq!(
                (report.status, report.code),
                (Status::InstallationFailed, BAD_CODE)
            );
            assert_eq!(report.account, Some(EVA));
            assert!(
                car.agent.durable().requests().is_empty(),
                "not requested again"
            );
            assert_eq!(car.agent.phase(), Phase::NoProfile);
        }
    }
}

#[test]
fn texts_of_a_user_are_cut() {
    let mut car = Car::online(&[(1, false)]);
    let login_id = [9; 16];
    let (user, pin) = ("eva".into(), Secret::new("1".into()));
    car.event(Event::Login {
        login_id,
        user,
        pin,
    });
    car.run();
    let aup = Aup {
        display_name: "ä".repeat(MAX_TEXT),
        msp_name: "x".repeat(10_000),
        masked_number: "y".repeat(MAX_TEXT),
    };
    let outcome = LoginOutcome::Accepted {
        account: EVA,
        aup,
        profiles: vec![],
    };
    car.inbound(Down::LoginResult { login_id, outcome });
    let aup = &car.agent.session().expect("logged in").aup;
    assert_eq!(aup.display_name, "ä".repeat(MAX_TEXT / 2));
    assert_eq!(aup.msp_name.len(), MAX_TEXT);
    assert_eq!(aup.masked_number.len(), MAX_TEXT);
    // An AID User Profile over its bounds is not kept.
    let profile = UserProfile {
        display_name: "x".repeat(MAX_TEXT + 1),
        ..UserProfile::default()
    };
    car.inbound(Down::UserProfile {
        account: EVA,
        profile,
    });
    assert_eq!(car.agent.session().and_then(|s| s.profile.clone()), None);
}

#[test]
fn credentials_that_are_too_long_are_refused() {
    for (user, pin, fits) in [
        (MAX_CREDENTIAL, MAX_CREDENTIAL, true),
        (MAX_CREDENTIAL + 1, 1, false),
        (1, MAX_CREDENTIAL + 1, false),
    ] {
        let mut car = Car::online(&[(1, false)]);
        car.event(Event::Login {
            login_id: [9; 16],
            user: "u".repeat(user),
            pin: Secret::new("1".repeat(pin)),
        });
        car.run();
        let login = car.sent(|up| matches!(up, Up::NumberedLogin { .. }));
        assert_eq!(login, usize::from(fits));
        let refused = |e: &&Effect| {
            matches!(
                e,
                Effect::Notify(Notice::LoginRefused {
                    cause: LoginEnd::Refused,
                    ..
                })
            )
        };
        assert_eq!(car.log.iter().filter(refused).count(), usize::from(!fits));
    }
}

// A cause of any length is shown as far as it fits.
#[test]
fn a_cause_is_cut() {
    let mut car = Car::online(&[]);
    car.log_in(EVA, &[]);
    car.run();
    let (request_id, account) = car.agent.durable().requests()[0];
    let outcome = CodeOutcome::Failed {
        code: 90,
        reason: "ö".repeat(5000),
    };
    car.inbound(Down::ActivationCode {
        request_id,
        account,
        outcome,
    });
    let waiting = car.agent.waiting().expect("tried again later");
    assert_eq!(waiting.cause, "ö".repeat(MAX_CAUSE / 2));
}

/// A car that has had no acknowledgement for so many reports, and whose user is in.
fn reporting() -> Car {
    let mut car = Car::online(&[(1, false)]);
    car.log_in(EVA, &[1]);
    car.run();
    while car.agent.durable().outbox().len() < MAX_REPORTS - REPORTS_RESERVED {
        car.log_in(ADA, &[]);
        car.run();
        car.log_in(EVA, &[1]);
        car.run();
    }
    car
}

// R-4.3-12: with no room for reports nothing is enabled, downloaded or deleted, but what is enabled is disabled.
#[test]
fn more_reports_than_fit() {
    let mut car = reporting();
    // The last one is that of a disable; the enable after it does not begin.
    let waiting = car.agent.durable().outbox().len();
    assert_eq!(waiting, MAX_REPORTS - REPORTS_RESERVED);
    assert!(!car.card[0].enabled);
    let enables = |car: &Car| car.asked(|what| matches!(what, EuiccOp::Enable { .. }));
    car.event(Event::Logout);
    car.run();
    assert!(!car.card[0].enabled);
    let before = enables(&car);
    car.log_in(EVA, &[1]);
    car.order(1, delete(1));
    car.run();
    assert_eq!((enables(&car), car.card.len()), (before, 1));
    assert_eq!(car.agent.durable().orders().len(), 1);
    // Somebody else enables it again and again; it is disabled each time.
    for _ in 0..REPORTS_RESERVED + 10 {
        car.card[0].enabled = true;
        let profiles = Some(car.card.clone());
        car.event(Event::LinkDown);
        car.event(Event::LinkUp);
        car.event(Event::Logout);
        car.run();
        // A list is read where the card did not answer.
        if let Some((op, _)) = car.op.take() {
            car.event(Event::EuiccDone {
                op,
                result: Ok(()),
                profiles,
            });
        }
        car.run();
    }
    assert!(car.agent.durable().outbox().len() <= MAX_REPORTS);
    // The CMP is back: everything that is left goes on, in order.
    let seqs: Vec<u64> = car.agent.durable().outbox().iter().map(|r| r.seq).collect();
    assert!(seqs.windows(2).all(|w| w[0] < w[1]));
    for report_seq in seqs {
        car.inbound(Down::StatusAck { report_seq });
    }
    car.run();
    assert!(car.card.is_empty());
}

// A journal that hangs while everything happens: nothing is lost of what was acknowledged, and no more is taken than
// fits; where even that is too much the agent goes into the safe state.
#[test]
fn more_effects_than_fit() {
    let mut car = Car::online(&[(1, false)]);
    car.log_in(EVA, &[1]);
    car.run_but(|what| matches!(what, EuiccOp::Enable { .. }));
    car.order(1, delete(90));
    car.poll();
    assert!(car.ticket.is_some(), "the journal hangs");
    for n in 0..10 * MAX_EFFECTS {
        let (code, reason) = (90, "later".into());
        let outcome = CodeOutcome::Failed { code, reason };
        car.inbound(Down::ActivationCode {
            request_id: id(n),
            account: ADA,
            outcome,
        });
        car.event(Event::LinkDown);
        car.event(Event::LinkUp);
        car.event(Event::LoginByCode { login_id: id(n) });
        assert!(
            !car.agent.has_failed_journal(),
            "notices and messages are dropped"
        );
    }
    assert_eq!(car.agent.poll_effect(), None);
    car.persisted();
    let came = car.poll();
    assert!(came.len() <= MAX_EFFECTS, "{}", came.len());
    car.run();
    assert_eq!(car.agent.durable().outbox().len(), 1);
}

// Records of one write are bounded: each fits into a record of the journal.
#[test]
fn more_records_than_one_write_has() {
    let mut car = Car::online(&[(1, false)]);
    car.order(100, delete(90));
    car.poll();
    assert!(car.ticket.is_some(), "the journal hangs");
    for n in 0..200 {
        car.event(Event::Inbound {
            message_id: id(n),
            body: Down::Order {
                order_id: id(n),
                kind: delete(90),
            },
        });
        car.inbound(Down::Ack { message_id: id(n) });
    }
    let before = car.journal.len();
    car.persisted();
    car.run();
    let writes = &car.journal[before..];
    assert!(writes.len() > 3, "{} writes", writes.len());
    for bytes in writes {
        let (records, _) = postcard::take_from_bytes::<Vec<Record>>(bytes).expect("records");
        assert!(records.len() <= MAX_RECORDS, "{} records", records.len());
    }
    assert_eq!(
        &Durable::restore(None, &car.journal).expect("own"),
        car.agent.durable()
    );
}

// The journal takes 256 KiB in one record.
#[test]
fn the_largest_state_fits_into_a_snapshot() {
    let mut car = reporting();
    for n in 0..MAX_ORDERS {
        car.event(Event::Inbound {
            message_id: id(n),
            body: Down::Order {
                order_id: id(n),
                kind: delete(90),
            },
        });
        car.run();
    }
    let snapshot = car.agent.snapshot().expect("at rest");
    assert!(snapshot.len() < 64 * 1024, "{} bytes", snapshot.len());
}

// An agent without bounds left more than fits: the newest is kept.
#[test]
fn a_journal_from_before_the_bounds_is_read() {
    let records: Vec<Record> = (0..1000u64)
        .flat_map(|n| {
            let (request_id, order) = (id(n as usize), id(5000 + n as usize));
            let report = Report {
                seq: n + 1,
                iccid: Some(iccid(n)),
                account: None,
                status: Status::Installed,
                code: 0,
            };
            [
                Record::Requested(request_id, EVA),
                Record::Owner(iccid(n), EVA),
                Record::Report(report),
                Record::OrderAccepted(order, OrderKind::DeleteAll),
                Record::LoggedOut(request_id, EVA),
                Record::DeleteWanted(iccid(n)),
                Record::Again(request_id),
                Record::LinkReturned(request_id),
            ]
        })
        .collect();
    let bytes = postcard::to_allocvec(&records).expect("records");
    let state = Durable::restore(None, &[bytes]).expect("older");
    assert_eq!(state.report_seq(), 1000);
    assert_eq!(state.outbox().len(), MAX_REPORTS);
    assert_eq!(state.outbox().last().map(|r| r.seq), Some(1000));
    assert_eq!(state.orders().len(), MAX_ORDERS);
    assert_eq!(state.orders().last().map(|o| o.order_id), Some(id(5999)));
    assert_eq!(state.requests().len(), MAX_CODES);
    assert_eq!(state.logouts().len(), MAX_LOGOUTS);
    assert_eq!(state.owners().count(), MAX_OWNERS);
    assert_eq!(state.owner(&iccid(999)), Some(EVA));
}

/// What comes for free, so many times.
fn flood(car: &mut Car, times: usize) {
    for n in 0..times {
        let (code, reason) = (90, "later".into());
        let outcome = CodeOutcome::Failed { code, reason };
        let request_id = id(n);
        car.inbound(Down::ActivationCode {
            request_id,
            account: ADA,
            outcome,
        });
    }
}

#[test]
fn messages_and_notices_leave_room_for_records() {
    let mut car = Car::online(&[(1, false)]);
    car.order(1, delete(90));
    car.poll();
    assert!(car.ticket.is_some(), "the journal hangs");
    flood(&mut car, MAX_EFFECTS);
    car.persisted();
    assert_eq!(car.poll().len(), MAX_EFFECTS - EFFECTS_RESERVED);
    assert!(!car.agent.has_failed_journal());
}

// R-4.3-12: others that wait are no reason to hold it back.
#[test]
fn a_report_with_room_is_sent_at_once() {
    let mut car = Car::online(&[(1, false)]);
    car.log_in(EVA, &[1]);
    car.run_but(|what| matches!(what, EuiccOp::Enable { .. }));
    car.order(1, delete(90));
    car.poll();
    assert!(car.ticket.is_some(), "the journal hangs");
    flood(&mut car, 10);
    car.card_says(Ok(()));
    car.run();
    assert_eq!(car.sent(|up| matches!(up, Up::Status { .. })), 1);
}

// R-4.3-12: a report whose message had no room is sent with the next repetition.
#[test]
fn a_report_without_room_is_sent_later() {
    let mut car = Car::online(&[(1, false)]);
    car.log_in(EVA, &[1]);
    car.run_but(|what| matches!(what, EuiccOp::Enable { .. }));
    car.order(1, delete(90));
    car.poll();
    assert!(car.ticket.is_some(), "the journal hangs");
    // The record of this one waits, and is joined by that of the report.
    car.order(2, delete(90));
    flood(&mut car, MAX_EFFECTS);
    car.card_says(Ok(()));
    let report = |up: &Up| matches!(up, Up::Status { .. });
    car.run();
    assert_eq!(car.sent(report), 0);
    assert_eq!(car.agent.durable().outbox().len(), 1);
    while car.wait() != Timer::Resend {}
    car.run();
    assert_eq!(car.sent(report), 1);
}
