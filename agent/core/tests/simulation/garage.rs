//! A login in a garage, and a factory reset, with power cut after every effect.

use crate::world::*;
use aid_agent_core::*;

/// A life that power is cut in after so many effects.
struct Life {
    world: World,
    left: Option<usize>,
    /// What the card does when power fails is done.
    happens: bool,
}

impl Life {
    fn new(left: Option<usize>, happens: bool) -> Self {
        let mut world = World::new();
        world.grants = true;
        Self {
            world,
            left,
            happens,
        }
    }

    /// Takes these steps, each to its end; false where power was cut.
    fn steps(&mut self, steps: &[fn(&mut World)]) -> bool {
        steps.iter().all(|step| {
            step(&mut self.world);
            self.rest()
        })
    }

    fn rest(&mut self) -> bool {
        for _ in 0..500 {
            if self.left == Some(0) {
                self.world.cut(self.happens);
                self.left = None;
                return false;
            }
            if self.world.effect() {
                self.left = self.left.map(|left| left - 1);
            } else if !self.world.uplink.is_empty() {
                self.world.cmp();
                self.world.answer();
            } else {
                return true;
            }
        }
        panic!("does not come to rest");
    }
}

/// Two users with their profiles; nobody is in at the end.
const USERS: [fn(&mut World); 4] = [
    |w| w.set_link(true),
    |w| w.step(&Step::Login(b'a')),
    |w| w.step(&Step::Login(b'b')),
    |w| w.step(&Step::Logout),
];

/// Cuts at every effect of these steps, until there are no more; `check` looks at the world afterwards.
fn cut_everywhere(steps: &[fn(&mut World)], check: impl Fn(&mut World, bool)) {
    for happens in [false, true] {
        for at in 0.. {
            assert!(at < 500, "endless");
            let mut life = Life::new(Some(at), happens);
            let whole = life.steps(&USERS) && life.steps(steps);
            check(&mut life.world, whole);
            if whole {
                break;
            }
        }
    }
}

#[test]
fn power_is_cut_after_every_effect_of_a_login_in_a_garage() {
    let garage: [fn(&mut World); 4] = [
        |w| w.set_link(false),
        |w| w.step(&Step::Login(b'a')),
        |w| assert_eq!(w.agent.phase(), Phase::Active),
        |w| w.set_link(true),
    ];
    cut_everywhere(&garage, |world, whole| {
        let session = world.agent.session().map(|s| s.account);
        assert_eq!(
            session,
            whole.then_some(account(b'a')),
            "{:?}",
            world.agent.phase()
        );
        if whole {
            assert!(
                !world.agent.session().expect("in").is_offline(),
                "the CMP has it"
            );
            assert_eq!(world.book.1, Some(account(b'a')));
        }
        world.check_reports();
        // No try is lost, and none is left over where the PIN was right.
        let tries = world.agent.durable().verifiers().iter().map(|v| v.tries);
        let tries: Vec<u8> = tries.collect();
        assert!(tries.iter().all(|t| *t <= u8::from(!whole)), "{tries:?}");
    });
}

#[test]
fn a_user_whom_the_cmp_has_revoked_meanwhile_is_out_at_the_next_contact() {
    let mut life = Life::new(None, false);
    assert!(life.steps(&USERS));
    assert!(life.steps(&[|w| w.set_link(false), |w| w.step(&Step::Login(b'a'))]));
    assert_eq!(life.world.agent.phase(), Phase::Active);
    life.world.verifiers.remove(&b'a');
    assert!(life.steps(&[|w| w.set_link(true)]));
    assert!(life.world.agent.session().is_none());
    assert!(life.world.card.values().all(|enabled| !enabled));
    life.world.check_reports();
    // Nor does this user get in again.
    assert!(life.steps(&[|w| w.set_link(false), |w| w.step(&Step::Login(b'a'))]));
    assert!(life.world.agent.session().is_none());
}

fn holds(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

/// What stays of users after a reset: nothing.
fn check_wiped(world: &World) {
    assert_eq!(world.agent.phase(), Phase::FactoryReset);
    assert!(world.card.is_empty() && world.erasures > 0);
    let disk = [
        vec![world.base.clone().expect("rewritten")],
        world.journal.clone(),
    ]
    .concat();
    for bytes in &disk {
        for user in [b'a', b'b'] {
            assert!(!holds(bytes, &account(user).0), "an account");
        }
        assert!(!holds(bytes, b"89000"), "an ICCID");
    }
}

#[test]
fn power_is_cut_after_every_effect_of_a_factory_reset() {
    let resets: [fn(&mut World); 2] = [
        |w| w.reset(OrderKind::FactoryReset),
        |w| {
            let reset_id = w.id();
            w.resets.insert(reset_id, OrderKind::FactoryReset);
            w.event(Event::FactoryReset { reset_id });
        },
    ];
    for reset in resets {
        cut_everywhere(&[reset], |world, whole| {
            let begun = world.agent.is_resetting();
            assert!(begun || !whole);
            world.check_reports();
            if begun {
                check_wiped(world);
                // Nobody gets in, and messages to a car without keys have no effect.
                world.step(&Step::Login(b'a'));
                world.check_at_rest();
                assert!(world.agent.session().is_none());
                world.cut(false);
                world.settle();
                check_wiped(world);
                world.event(Event::SetUp);
                world.settle();
                assert_eq!(world.agent.phase(), Phase::Guest);
            }
        });
    }
}

// Without a connection everything is deleted, and the keys stay until the CMP has heard of it.
#[test]
fn a_reset_without_a_connection_keeps_its_keys_until_the_next_one() {
    let mut life = Life::new(None, false);
    assert!(life.steps(&USERS));
    assert!(life.steps(&[
        |w| w.set_link(false),
        |w| {
            let reset_id = w.id();
            w.event(Event::FactoryReset { reset_id });
        },
    ]));
    assert!(life.world.card.is_empty());
    assert_eq!(
        (life.world.agent.phase(), life.world.erasures),
        (Phase::Resetting, 0)
    );
    assert!(life.steps(&[|w| w.set_link(true)]));
    life.world.check_reports();
    check_wiped(&life.world);
}
