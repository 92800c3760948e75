//! The core against a card, a CMP and a journal in one thread on virtual time: random events, power
//! cut at any effect. Invariants 1, 2, 3 and 8 of the architecture are checked after every step.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

mod checks;
mod cmp;
mod disk;
mod epochs;
mod garage;
mod outages;
mod passing;
mod procedures;
mod restarts;
mod steps;
mod world;

use aid_agent_core::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use world::*;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => prop_oneof![Just(b'a'), Just(b'b')].prop_map(Step::Login),
        2 => Just(Step::Logout),
        4 => any::<bool>().prop_map(Step::Link),
        8 => (1u8..12).prop_map(Step::Run),
        4 => Just(Step::Answer),
        1 => (1u8..4).prop_map(Step::Delete),
        1 => Just(Step::Repeat),
        1 => Just(Step::Fail),
        3 => any::<bool>().prop_map(Step::Cut),
        1 => Just(Step::Time),
        1 => Just(Step::LoginByCode),
        1 => prop_oneof![Just(b'a'), Just(b'b')].prop_map(Step::Approve),
        1 => Just(Step::DeleteAll),
        1 => prop_oneof![Just(b'a'), Just(b'b')].prop_map(Step::Erase),
        1 => Just(Step::DeleteOwn),
        1 => Just(Step::Provision),
        1 => Just(Step::Full),
        1 => prop_oneof![Just(b'a'), Just(b'b')].prop_map(Step::Profile),
        2 => prop_oneof![
            2 => Just(Disk::Good),
            1 => Just(Disk::Full),
            1 => Just(Disk::Torn),
            1 => Just(Disk::Gone),
        ].prop_map(Step::Disk),
        2 => any::<bool>().prop_map(Step::Outage),
        2 => any::<bool>().prop_map(Step::Away),
    ];
    proptest::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]
    // R-4.3-4 R-4.3-11 R-4.3-12 R-4.3-14 R-4.3-15
    #[test]
    fn invariants_hold_over_random_lives(steps in steps(), numbered in any::<bool>()) {
        let mut world = World::new();
        world.numbered = numbered;
        for step in &steps {
            world.step(step);
        }
        world.check_reports();
        world.cut(true);
        world.check_reports();
        // Nothing but orders and a full card ends an installation.
        let ends = [CALLED_OFF, 10];
        assert!(world.failed.iter().all(|c| ends.contains(c)), "{:?}", world.failed);
    }
}

/// A first provisioning, cut after `cut` effects. Returns the world and whether it was cut.
fn provision(cut: usize, happened: bool) -> (World, bool) {
    let mut world = World::new();
    world.set_link(true);
    world.settle();
    world.step(&Step::Login(b'a'));
    for n in 0..60 {
        if n == cut {
            world.cut(happened);
            return (world, true);
        }
        if !world.effect() {
            world.cmp();
            world.answer();
        }
    }
    (world, false)
}

// R-4.3-3 R-4.3-4 R-4.3-10 R-4.3-11 R-4.3-12
#[test]
fn a_first_login_ends_with_the_profile_enabled_in_few_persists() {
    let (mut world, _) = provision(1000, false);
    world.check_reports();
    assert_eq!(world.card, BTreeMap::from([(iccid(1), true)]));
    assert_eq!(world.agent.phase(), Phase::Active);
    // request, code + download, installed + enable, enabled, two acknowledgements
    assert!(world.persists <= 7, "{} persists", world.persists);
}

// R-4.3-12, found by the random lives: a report still queued at a link loss overtook the outbox.
#[test]
fn reports_queued_when_the_link_drops_stay_in_order() {
    let mut world = World::new();
    for step in [
        Step::Link(true),
        Step::Login(b'a'),
        Step::Run(7),
        Step::Run(7),
        Step::Answer,
    ] {
        world.step(&step);
    }
    for step in [Step::Run(10), Step::Link(false), Step::Login(b'a')] {
        world.step(&step);
    }
    world.check_reports();
}

// R-4.3-14: the car is in a garage without coverage, and loses power before it is out again.
#[test]
fn a_logout_without_a_link_reaches_the_cmp_after_a_power_cut() {
    let (mut world, _) = provision(1000, false);
    world.settle();
    world.set_link(false);
    // A CMP of revision 1 next time.
    world.numbered = false;
    world.step(&Step::Logout);
    world.settle();
    assert_eq!((world.ended, world.logouts.len()), (1, 0));
    world.cut(false);
    world.check_reports();
    assert_eq!(world.logouts.len(), 1);
    assert!(!world.card.values().any(|e| *e));
}

// R-4.3-14: power goes with somebody logged in.
#[test]
fn the_cmp_learns_at_the_next_connection_that_nobody_is_in() {
    let (mut world, _) = provision(1000, false);
    world.settle();
    assert_eq!(world.book.1, Some(account(b'a')));
    world.cut(false);
    world.set_link(true);
    world.settle();
    assert_eq!(world.book.1, None);
}

// The login is accepted, the answer is late, and the car has given it up.
#[test]
fn a_login_that_was_given_up_leaves_the_session_before_it() {
    let (mut world, _) = provision(1000, false);
    world.settle();
    world.step(&Step::Login(b'b'));
    while world.effect() {}
    world.link = false;
    world.cmp();
    assert_eq!(world.book.1, Some(account(b'b')));
    world.link = true;
    world.step(&Step::Time);
    world.check_reports();
    assert_eq!(world.book.1, Some(account(b'a')));
}

// R-4.3-3: a CMP of revision 1 books sessions in the order in which it hears of them, so the end of one comes before the
// beginning of the next, however long the link was down.
#[test]
fn open_logouts_are_said_before_a_login() {
    let (mut world, _) = provision(1000, false);
    world.settle();
    world.set_link(false);
    world.step(&Step::Logout);
    world.settle();
    world.step(&Step::Login(b'a'));
    world.settle();
    world.numbered = false;
    world.set_link(true);
    let mut said = Vec::new();
    for _ in 0..2 {
        while world.effect() {}
        said.extend(world.uplink.iter().map(|(_, body)| body.clone()));
        world.cmp();
    }
    let logout = said.iter().position(|b| matches!(b, Up::Logout { .. }));
    let login = said.iter().position(|b| matches!(b, Up::Login { .. }));
    assert!(logout.is_some() && login.is_some(), "{said:?}");
    assert!(logout < login, "{said:?}");
    let logouts = said.iter().filter(|b| matches!(b, Up::Logout { .. }));
    assert_eq!(logouts.count(), 1, "{said:?}");
}

// R-4.3-14: a reboot in every state of a provisioning; nobody is logged in after it.
#[test]
fn spontaneous_reboot_in_every_state() {
    for happened in [false, true] {
        for cut in 0.. {
            let (mut world, was_cut) = provision(cut, happened);
            world.check_at_rest();
            world.check_reports();
            if !was_cut {
                break;
            }
            assert!(
                !world.card.values().any(|e| *e),
                "cut {cut}: enabled with nobody there"
            );
            // and the next login ends well
            world.step(&Step::Login(b'a'));
            for _ in 0..3 {
                world.settle();
                world.answer();
            }
            world.check_reports();
            assert_eq!(
                world.card,
                BTreeMap::from([(iccid(1), true)]),
                "cut {cut} {happened}"
            );
        }
    }
}

// R-4.3-11 R-4.3-14
#[test]
fn logout_during_the_download_leaves_the_profile_disabled() {
    let mut world = World::new();
    world.set_link(true);
    world.settle();
    world.step(&Step::Login(b'a'));
    world.settle();
    world.answer();
    while !matches!(world.op, Some((_, EuiccOp::Download { .. }))) {
        assert!(world.effect());
    }
    world.step(&Step::Logout);
    world.check_reports();
    assert_eq!(world.card, BTreeMap::from([(iccid(1), false)]));
    // when the user comes back it is enabled at once, without another request
    world.step(&Step::Login(b'a'));
    world.check_reports();
    assert_eq!(world.card, BTreeMap::from([(iccid(1), true)]));
    assert!(world.requests.is_empty());
}

// R-4.3-8: a code for somebody else's request, or twice, installs nothing.
#[test]
fn codes_that_nobody_asked_for_install_nothing() {
    let mut world = World::new();
    world.set_link(true);
    world.settle();
    let outcome = CodeOutcome::Code {
        code: Secret::new("1$s$m".into()),
        iccid: None,
    };
    world.inbound(Down::ActivationCode {
        request_id: [9; 16],
        account: account(b'a'),
        outcome,
    });
    world.check_reports();
    assert!(world.card.is_empty());
    world.step(&Step::Login(b'a'));
    world.settle();
    world.answer();
    world.settle();
    world.step(&Step::Repeat);
    world.check_reports();
    assert_eq!(world.card.len(), 1);
}

// R-4.4.1-10 R-4.5-5 R-4.5-7: an enabled profile is disabled first, then deleted, then reported.
#[test]
fn a_delete_order_disables_first_and_is_executed_once() {
    let (mut world, _) = provision(1000, false);
    world.check_reports();
    let order = Down::Order {
        order_id: [7; 16],
        kind: OrderKind::Delete { iccid: iccid(1) },
    };
    world.inbound(order.clone());
    world.inbound(order.clone());
    world.check_reports();
    assert!(world.card.is_empty());
    let tail: Vec<_> = world
        .history
        .iter()
        .rev()
        .take(2)
        .map(|(_, s)| *s)
        .collect();
    assert_eq!(tail, [Status::Deleted, Status::Disabled]);
    assert!(world.agent.durable().orders().is_empty());
    world.inbound(order);
    world.check_reports();
}

#[test]
fn messages_round_trip_and_refuse_other_versions() {
    let body = Up::Logout {
        account: account(1),
    };
    let mut envelope = Envelope {
        version: 1,
        message_id: [1; 16],
        correlation_id: [2; 16],
        sequence: 3,
        expires_at: None,
        body,
    };
    let bytes = envelope.encode().expect("encode");
    assert_eq!(Envelope::<Up>::decode(&bytes), Ok(envelope.clone()));
    envelope.version = 2;
    let bytes = envelope.encode().expect("encode");
    assert_eq!(
        Envelope::<Up>::decode(&bytes),
        Err(MessageError::Version(2))
    );
    assert!(Envelope::<Up>::decode(&vec![1; MAX_MESSAGE + 1]).is_err());
    assert_eq!(
        format!("{:?}", Secret::new("123456".into())),
        "<6 characters>"
    );
}
