//! What happens at the bounds of what is on the card (`aid_agent_core::bounds`).
#![allow(clippy::expect_used, reason = "a failed expectation is a failed test")]

mod car;

use aid_agent_core::bounds::*;
use aid_agent_core::*;
use car::*;

fn delete(n: u64) -> OrderKind {
    OrderKind::Delete { iccid: iccid(n) }
}

// More profiles than the agent follows: all are deleted all the same, and nobody's OP stays enabled.
#[test]
fn more_profiles_than_are_followed() {
    for enabled in [0, 1, 33, 69] {
        let profiles: Vec<(u64, bool)> = (0..70).map(|n| (n, n == enabled)).collect();
        let mut car = Car::online(&profiles);
        assert_eq!(car.agent.profiles().map(<[_]>::len), Some(MAX_PROFILES));
        assert!(!car.card.iter().any(|p| p.enabled), "nobody is there");
        car.order(1, OrderKind::DeleteAll);
        car.run();
        assert!(car.card.is_empty(), "{} are left", car.card.len());
        let done = |up: &Up| {
            matches!(
                up,
                Up::OrderResult {
                    outcome: OrderOutcome::Done,
                    ..
                }
            )
        };
        assert_eq!(car.sent(done), 1);
    }
}

// One that is not seen is found when an order names it.
#[test]
fn an_order_for_a_profile_that_is_not_seen() {
    let of = |number| OrderKind::DeleteOf {
        account: EVA,
        iccid: iccid(number),
    };
    for kind in [delete, of] {
        finds_what_is_not_seen(kind);
    }
}

fn finds_what_is_not_seen(kind: impl Fn(u64) -> OrderKind) {
    let profiles: Vec<(u64, bool)> = (0..70).map(|n| (n, false)).collect();
    let mut car = Car::online(&profiles);
    let seen = car
        .agent
        .profiles()
        .unwrap_or_default()
        .iter()
        .any(|p| p.iccid == iccid(69));
    assert!(!seen);
    car.order(1, kind(69));
    car.run();
    assert_eq!(car.card.len(), 69);
    let done = |up: &Up| {
        matches!(
            up,
            Up::OrderResult {
                outcome: OrderOutcome::Done,
                ..
            }
        )
    };
    assert_eq!(car.sent(done), 1);
    car.order(2, kind(200));
    car.run();
    let none = |up: &Up| {
        matches!(
            up,
            Up::OrderResult {
                outcome: OrderOutcome::NotFound,
                ..
            }
        )
    };
    assert_eq!(car.sent(none), 1);
}

// What comes could not be told from what is not seen: the CMP is asked for space instead.
#[test]
fn no_download_where_it_would_not_be_seen() {
    for (count, begins) in [(MAX_PROFILES - 1, true), (MAX_PROFILES, false), (70, false)] {
        let profiles: Vec<(u64, bool)> = (0..count as u64).map(|n| (n, false)).collect();
        let mut car = Car::online(&profiles);
        car.log_in(EVA, &[]);
        car.run();
        let (request_id, account) = car.agent.durable().requests()[0];
        let code = Secret::new("1$smdp.example$M".into());
        let outcome = CodeOutcome::Code { code, iccid: None };
        car.inbound(Down::ActivationCode {
            request_id,
            account,
            outcome,
        });
        car.run();
        let begun = car.asked(|what| matches!(what, EuiccOp::Download { .. }));
        assert_eq!(begun, usize::from(begins), "{count} profiles");
        let asked = car.sent(|up| matches!(up, Up::CardFull { .. }));
        assert_eq!(asked, usize::from(!begins), "{count} profiles");
        if count == MAX_PROFILES {
            // Space is made, and it comes.
            car.inbound(Down::Space {
                request_id,
                granted: true,
            });
            car.order(1, delete(5));
            car.run();
            let begun = car.asked(|what| matches!(what, EuiccOp::Download { .. }));
            assert_eq!(begun, 1);
            assert_eq!(car.agent.phase(), Phase::Active);
        }
    }
}

// The owner of a profile that is gone makes room; one that is here stays.
#[test]
fn more_owners_than_fit() {
    let mut car = Car::online(&[(1, false)]);
    car.log_in(EVA, &[1]);
    car.run();
    car.event(Event::Logout);
    car.run();
    for n in 2..2 * MAX_OWNERS as u64 {
        // Somebody deletes the last one at a workshop, and installs another.
        car.card.retain(|p| p.iccid == iccid(1));
        car.card.push(CardProfile {
            iccid: iccid(n),
            enabled: false,
        });
        car.event(Event::LinkDown);
        car.event(Event::LinkUp);
        car.order(200, OrderKind::Disable { iccid: iccid(1) });
        car.inbound(Down::Ack {
            message_id: [200; 16],
        });
        car.run();
        car.log_in(ADA, &[n]);
        car.run();
        car.event(Event::Logout);
        car.run();
    }
    assert!(car.agent.durable().owners().count() <= MAX_OWNERS);
    assert_eq!(car.agent.durable().owner(&iccid(1)), Some(EVA));
}
