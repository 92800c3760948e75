//! Logins without a connection, by what the car was granted.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

mod car;

use aid_agent_core::*;
use car::*;

const VERIFIER: Id = [9; 16];
const DAY: u64 = 86_400_000;

fn grant(car: &mut Car, account: AccountRef, verifier: Id) {
    let now = car.wall.expect("a clock") + car.now / 1000;
    car.inbound(Down::Verifier {
        account,
        verifier,
        salt: [8; 16],
        now,
        valid_s: 30 * 86_400,
        attempts: 3,
    });
    car.run();
}

/// A car that Eva has logged in to and out of, and that has no connection now.
fn garage() -> Car {
    let mut car = Car::new(&[(1, false), (2, false)]);
    car.revision = FLEET_REVISION;
    car.event(Event::Boot);
    car.run();
    car.event(Event::LinkUp);
    car.run();
    car.log_in(EVA, &[1]);
    car.run();
    grant(&mut car, EVA, VERIFIER);
    car.event(Event::Logout);
    car.run();
    car.event(Event::LinkDown);
    car.run();
    car.log.clear();
    car
}

fn begin(car: &mut Car, user: &str, pin: &str) {
    let user = user.to_owned();
    let (login_id, pin) = ([0x77; 16], Secret::new(pin.to_owned()));
    car.event(Event::Login {
        login_id,
        user,
        pin,
    });
}

fn log_in(car: &mut Car, pin: &str) {
    begin(car, "eva", pin);
    car.run();
}

/// Why the last login failed.
fn refusal(car: &Car) -> Option<(LoginEnd, String)> {
    car.log.iter().rev().find_map(|effect| match effect {
        Effect::Notify(Notice::LoginRefused { cause, reason, .. }) => {
            Some((*cause, reason.clone()))
        }
        _ => None,
    })
}

fn is_in(car: &Car) -> bool {
    car.agent.session().is_some()
}

/// The connection stands; yields what was said of the session.
fn connect(car: &mut Car) -> Vec<(Id, Up)> {
    let before = car.log.len();
    car.event(Event::LinkUp);
    car.run();
    let said = car.log[before..].iter().filter_map(|effect| match effect {
        Effect::Send {
            message_id: Some(id),
            body: body @ (Up::Session { .. } | Up::OfflineSession { .. }),
        } => Some((*id, body.clone())),
        _ => None,
    });
    said.collect()
}

#[test]
fn an_installed_profile_is_enabled_without_a_connection_and_the_cmp_hears_of_it() {
    let mut car = garage();
    let journal = car.journal.concat();
    for secret in [&b"eva"[..], b"1234"] {
        assert!(!journal.windows(secret.len()).any(|w| w == secret));
    }
    // As the CMP compares names.
    begin(&mut car, " EVA ", "1234");
    car.run();
    assert_eq!(car.agent.phase(), Phase::Active);
    assert!(car.card[0].enabled && car.agent.session().expect("in").is_offline());
    let accepted = car.log.iter().any(|effect| {
        matches!(effect, Effect::Notify(Notice::LoginAccepted { offline: true, aup, .. }) if aup.display_name == "EVA")
    });
    assert!(accepted);
    assert_eq!(car.sent(|_| true), 0);
    let said = connect(&mut car);
    let [
        (
            id,
            Up::OfflineSession {
                number,
                account: EVA,
                verifier: VERIFIER,
            },
        ),
    ] = &said[..]
    else {
        panic!("{said:?}");
    };
    assert!(*number > 1 << 32);
    car.inbound(Down::Ack { message_id: *id });
    car.run();
    assert!(!car.agent.session().expect("in").is_offline());
    // From now on it is as any other.
    car.event(Event::LinkDown);
    let said = connect(&mut car);
    assert!(
        matches!(
            &said[..],
            [(
                _,
                Up::Session {
                    account: Some(EVA),
                    ..
                }
            )]
        ),
        "{said:?}"
    );
}

#[test]
fn a_try_is_on_disk_before_the_pin_is_looked_at_and_a_restart_gives_none_back() {
    let mut car = garage();
    begin(&mut car, "eva", "0000");
    let new = car.poll();
    let Some(Effect::Persist { bytes, .. }) = new.last() else {
        panic!("{new:?}");
    };
    let records = read_records(bytes).expect("own");
    assert!(
        records
            .iter()
            .any(|r| matches!(r, Record::VerifierTried(EVA, _))),
        "{records:?}"
    );
    assert!(!new.iter().any(|e| matches!(e, Effect::HashPin { .. })));
    // Power is cut before the hash is known.
    car.restart();
    car.run();
    assert_eq!(car.agent.durable().verifiers()[0].tries, 1);
    // It counts as a wrong one: the pause goes on, and is that of this life.
    log_in(&mut car, "1234");
    assert!(!is_in(&car));
    car.now += 10_000;
    log_in(&mut car, "1234");
    assert!(is_in(&car));
    assert_eq!(car.agent.durable().verifiers()[0].tries, 0);
}

#[test]
fn wrong_pins_have_growing_pauses_and_use_the_verifier_up() {
    let mut car = garage();
    for (left, pause) in [(2, 10_000), (1, 20_000)] {
        log_in(&mut car, "0000");
        let (cause, reason) = refusal(&car).expect("refused");
        assert_eq!(cause, LoginEnd::Offline);
        assert!(
            reason.contains(&format!("{left} tries are left")),
            "{reason}"
        );
        // The right one is not looked at before its time.
        car.now += pause - 2000;
        log_in(&mut car, "1234");
        assert!(!is_in(&car));
        assert_eq!(
            car.agent.durable().verifiers()[0].tries,
            3 - left,
            "not counted"
        );
        car.event(Event::Logout);
        car.run();
        car.now += 3000;
    }
    log_in(&mut car, "0000");
    assert!(refusal(&car).expect("refused").1.contains("too often"));
    assert!(car.agent.durable().verifiers().is_empty());
    car.now += DAY;
    log_in(&mut car, "1234");
    assert!(!is_in(&car));
}

#[test]
fn a_verifier_ends_and_a_clock_that_was_set_back_makes_none_live_longer() {
    for (shift, in_time) in [(29 * DAY, true), (30 * DAY, false)] {
        let mut car = garage();
        car.now += shift;
        log_in(&mut car, "1234");
        assert_eq!(is_in(&car), in_time, "{shift}");
    }
    // Parked for 31 days; the clock is looked at now and then. Then it stands at 1970, or where it was before.
    for wall in [0, 1_800_000_000 - 2 * DAY / 1000, 1_800_000_000] {
        let mut car = garage();
        while car.now < 20 * DAY {
            assert_eq!(car.wait(), Timer::Offline);
            car.run();
        }
        let elapsed = car.now / 1000;
        car.wall = Some(wall.max(elapsed) - elapsed);
        car.restart();
        car.run();
        log_in(&mut car, "1234");
        assert!(!is_in(&car), "{wall}");
        while car
            .agent
            .poll_timeout()
            .is_some_and(|(_, why)| why != Timer::Login)
        {
            car.wait();
            car.run();
        }
        car.wait();
        car.run();
        let (cause, reason) = refusal(&car).expect("refused");
        assert_eq!(cause, LoginEnd::NoAnswer);
        assert!(reason.contains("clock of the car is not set"), "{reason}");
        // Set again it works.
        car.wall = Some(1_800_000_000);
        log_in(&mut car, "1234");
        assert!(is_in(&car), "{wall}");
    }
    // A clock that nobody has read says nothing.
    let mut car = garage();
    car.wall = None;
    car.restart();
    car.run();
    log_in(&mut car, "1234");
    assert!(!is_in(&car));
}

#[test]
fn a_revocation_ends_the_verifier_and_a_session_that_the_cmp_does_not_know() {
    let revoke = |car: &mut Car, verifier| {
        car.inbound(Down::Revoke {
            account: EVA,
            verifier,
        });
        car.run();
    };
    let mut car = garage();
    log_in(&mut car, "1234");
    let said = connect(&mut car);
    revoke(&mut car, [1; 16]);
    assert!(is_in(&car), "another verifier");
    revoke(&mut car, VERIFIER);
    assert!(!is_in(&car) && !car.card[0].enabled);
    assert!(car.agent.durable().verifiers().is_empty());
    assert_eq!(
        car.log
            .iter()
            .filter(|e| matches!(e, Effect::AckInbound { .. }))
            .count(),
        2
    );
    assert_eq!(said.len(), 1);
    // One that the CMP has let in goes on: it has orders for that.
    let mut car = garage();
    log_in(&mut car, "1234");
    let said = connect(&mut car);
    car.inbound(Down::Ack {
        message_id: said[0].0,
    });
    car.run();
    revoke(&mut car, VERIFIER);
    assert!(is_in(&car) && car.agent.durable().verifiers().is_empty());
}

#[test]
fn a_cmp_of_an_earlier_revision_hears_of_no_such_session() {
    // Nor does a car keep what such a CMP could not have meant.
    let mut car = Car::online(&[(1, false)]);
    car.log_in(EVA, &[1]);
    car.run();
    grant(&mut car, EVA, VERIFIER);
    assert!(car.agent.durable().verifiers().is_empty());
    let mut car = garage();
    log_in(&mut car, "1234");
    car.revision = FLEET_REVISION - 1;
    let said = connect(&mut car);
    assert!(
        said.iter()
            .all(|(_, up)| matches!(up, Up::Session { account: None, .. })),
        "{said:?}"
    );
    assert!(!is_in(&car) && !car.card[0].enabled);
}

#[test]
fn nobody_gets_in_who_has_no_profile_here_or_where_it_is_switched_off() {
    let waits_in_vain = |car: &mut Car| {
        for _ in 0..10 {
            if car.wait() == Timer::Login {
                break;
            }
            car.run();
        }
        car.run();
        refusal(car).expect("refused").1
    };
    let mut car = garage();
    car.card.remove(0);
    car.restart();
    car.run();
    log_in(&mut car, "1234");
    assert!(waits_in_vain(&mut car).contains("no profile installed"));
    let mut car = garage();
    begin(&mut car, "ada", "1234");
    car.run();
    assert!(waits_in_vain(&mut car).contains("has not logged in here"));
    let mut car = garage();
    let agent = Agent::restore("test", None, &car.journal).expect("own");
    car.agent = agent.with_offline(false);
    car.event(Event::Boot);
    car.run();
    assert!(car.agent.durable().verifiers().is_empty());
    log_in(&mut car, "1234");
    assert!(waits_in_vain(&mut car).contains("switched off"));
}

#[test]
fn a_link_that_is_silent_is_waited_for_ten_seconds() {
    let mut car = garage();
    connect(&mut car);
    log_in(&mut car, "1234");
    assert!(!is_in(&car));
    let begun = car.now;
    while !is_in(&car) {
        car.wait();
        car.run();
    }
    assert!((10_000..11_000).contains(&(car.now - begun)));
    // The answer that comes now is too late, and has a lower number.
    assert_eq!(car.sent(|up| matches!(up, Up::NumberedLogin { .. })), 1);
    assert_eq!(car.sent(|up| matches!(up, Up::OfflineSession { .. })), 1);
    // A wrong PIN leaves the decision to the CMP, which may know a newer one.
    let mut car = garage();
    connect(&mut car);
    car.log.clear();
    log_in(&mut car, "0000");
    while car
        .agent
        .poll_timeout()
        .is_some_and(|(_, why)| why != Timer::Login)
    {
        car.wait();
        car.run();
    }
    assert_eq!(refusal(&car), None);
    car.wait();
    car.run();
    let (cause, reason) = refusal(&car).expect("refused");
    assert_eq!(cause, LoginEnd::NoAnswer);
    assert!(
        reason.contains("did not answer; name or PIN is wrong"),
        "{reason}"
    );
}

type Ending = fn(&mut Car);

#[test]
fn a_login_and_orders_about_users_end_what_the_car_has_of_them() {
    let endings: [(Ending, usize); 4] = [
        (|car| car.log_in(EVA, &[1]), 0),
        (|car| car.order(1, OrderKind::DeleteAll), 0),
        (|car| car.order(1, OrderKind::Erase { account: EVA }), 0),
        (|car| car.order(1, OrderKind::Erase { account: ADA }), 1),
    ];
    for (n, (end, left)) in endings.into_iter().enumerate() {
        let mut car = garage();
        connect(&mut car);
        end(&mut car);
        car.run();
        assert_eq!(car.agent.durable().verifiers().len(), left, "ending {n}");
    }
    // The oldest makes room.
    let mut car = garage();
    connect(&mut car);
    for n in 0..bounds::MAX_VERIFIERS {
        let account = AccountRef([n as u8 + 1; 16]);
        car.log_in(account, &[2]);
        car.run();
        grant(&mut car, account, [n as u8; 16]);
    }
    let kept = car.agent.durable().verifiers();
    assert_eq!(kept.len(), bounds::MAX_VERIFIERS);
    assert!(kept.iter().all(|v| v.account != EVA));
}
