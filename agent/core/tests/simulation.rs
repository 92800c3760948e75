//! The core against a card, a CMP and a journal in one thread on virtual time: random events, power
//! cut at any effect. Invariants 1, 2, 3 and 8 of the architecture are checked after every step.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

use aid_agent_core::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Two users; each user's profile has a fixed number, a second one another.
fn account(user: u8) -> AccountRef {
    AccountRef([user; 16])
}

fn iccid(n: u64) -> Iccid {
    format!("89{n:017}").parse().expect("iccid")
}

#[derive(Debug, Clone)]
enum Step {
    Login(u8),
    Logout,
    Link(bool),
    /// Carries out this many effects.
    Run(u8),
    Answer,
    Delete(u8),
    Repeat,
    Fail,
    /// Power fails; the card's operation under way happened or not.
    Cut(bool),
    Time,
}

struct World {
    agent: Agent,
    now: u64,
    journal: Vec<Vec<u8>>,
    card: BTreeMap<Iccid, bool>,
    /// What really happened on the card, in order.
    history: Vec<(Iccid, Status)>,
    op: Option<(u64, EuiccOp)>,
    fail_next: bool,
    link: bool,
    uplink: Vec<Up>,
    reports: BTreeMap<u64, (Option<Iccid>, Status)>,
    requests: Vec<([u8; 16], AccountRef)>,
    last_code: Option<Down>,
    next_profile: u64,
    ids: u64,
    persists: usize,
}

impl World {
    fn new() -> Self {
        let agent = Agent::restore("sim".into(), None, &[]).expect("new");
        let mut world = Self {
            agent,
            now: 0,
            journal: vec![],
            card: BTreeMap::new(),
            history: vec![],
            op: None,
            fail_next: false,
            link: false,
            uplink: vec![],
            reports: BTreeMap::new(),
            requests: vec![],
            last_code: None,
            next_profile: 1,
            ids: 0,
            persists: 0,
        };
        world.event(Event::Boot);
        world
    }

    fn id(&mut self) -> [u8; 16] {
        self.ids += 1;
        (u128::from(self.ids) << 64).to_be_bytes()
    }

    fn event(&mut self, event: Event) {
        self.now += 1;
        self.agent.handle(BootMs(self.now), event);
    }

    fn inbound(&mut self, body: Down) {
        let message_id = self.id();
        if self.link {
            self.event(Event::Inbound { message_id, body });
        }
    }

    fn on_disk(&self) -> Durable {
        Durable::restore(None, &self.journal).expect("journal")
    }

    /// Carries out one effect; false when there is none.
    fn effect(&mut self) -> bool {
        let Some(effect) = self.agent.poll_effect() else {
            return match self.op.take() {
                Some((op, what)) => {
                    self.card_works(op, &what);
                    true
                }
                None => false,
            };
        };
        match effect {
            Effect::Persist { ticket, bytes } => {
                self.persists += 1;
                self.journal.push(bytes);
                self.event(Event::Persisted { ticket });
            }
            Effect::Euicc { op, what } => {
                self.invariant_8_intent(&what);
                assert!(self.op.is_none(), "two card operations at once");
                self.op = Some((op, what));
            }
            Effect::Send { body, .. } => {
                if let Up::Status { report_seq, .. } = &body {
                    let disk = self.on_disk();
                    assert!(
                        disk.outbox.iter().any(|r| r.seq == *report_seq),
                        "invariant 8: report"
                    );
                }
                if self.link {
                    self.uplink.push(body);
                }
            }
            Effect::AckInbound { .. } | Effect::Notify(_) => {}
        }
        true
    }

    /// Invariant 8: nothing happens on the card that is not in the journal as an intent.
    fn invariant_8_intent(&self, what: &EuiccOp) {
        let disk = self.on_disk();
        let wants = |operation, i: &Iccid| {
            disk.intent
                .as_ref()
                .is_some_and(|t| t.operation == operation && t.iccid == *i)
        };
        let ok = match what {
            EuiccOp::Enable { iccid } => wants(Operation::Enable, iccid),
            EuiccOp::Disable { iccid } => wants(Operation::Disable, iccid),
            EuiccOp::Delete { iccid } => wants(Operation::Delete, iccid),
            EuiccOp::Download { .. } => disk.downloads.first().is_some_and(|d| d.attempts > 0),
            EuiccOp::List | EuiccOp::Notifications => true,
        };
        assert!(ok, "invariant 8: {what:?} is not in the journal");
    }

    fn happens(&mut self, what: &EuiccOp) {
        match what {
            EuiccOp::Enable { iccid } => {
                assert!(!self.card.values().any(|e| *e), "invariant 2: two enabled");
                self.card.insert(iccid.clone(), true);
                self.history.push((iccid.clone(), Status::Enabled));
            }
            EuiccOp::Disable { iccid } => {
                self.card.insert(iccid.clone(), false);
                self.history.push((iccid.clone(), Status::Disabled));
            }
            EuiccOp::Delete { iccid } => {
                assert_eq!(
                    self.card.remove(iccid),
                    Some(false),
                    "deleted while enabled or absent"
                );
                self.history.push((iccid.clone(), Status::Deleted));
            }
            EuiccOp::Download { .. } => {
                let new = iccid(self.next_profile);
                self.next_profile += 1;
                self.card.insert(new.clone(), false);
                self.history.push((new, Status::Installed));
            }
            EuiccOp::List | EuiccOp::Notifications => {}
        }
    }

    fn card_works(&mut self, op: u64, what: &EuiccOp) {
        let result = if core::mem::take(&mut self.fail_next) {
            Err(EuiccError {
                code: 7,
                text: "no".into(),
                permanent: false,
            })
        } else {
            self.happens(what);
            Ok(())
        };
        let list = |(i, e): (&Iccid, &bool)| CardProfile {
            iccid: i.clone(),
            enabled: *e,
        };
        let profiles = Some(self.card.iter().map(list).collect());
        self.event(Event::EuiccDone {
            op,
            result,
            profiles,
        });
    }

    /// The CMP takes what came up and answers.
    fn cmp(&mut self) {
        for up in std::mem::take(&mut self.uplink) {
            match up {
                Up::Login { login_id, user, .. } => {
                    let aup = Aup {
                        display_name: user.clone(),
                        msp_name: "M".into(),
                        masked_number: "".into(),
                    };
                    let account = account(user.as_bytes()[0]);
                    let outcome = LoginOutcome::Accepted {
                        account,
                        aup,
                        profiles: vec![],
                    };
                    self.inbound(Down::LoginResult { login_id, outcome });
                }
                Up::RequestActivationCode {
                    request_id,
                    account,
                } => {
                    if !self.requests.contains(&(request_id, account)) {
                        self.requests.push((request_id, account));
                    }
                }
                Up::Status {
                    report_seq,
                    iccid,
                    status,
                    ..
                } => {
                    let next = self.reports.keys().last().copied().unwrap_or(0) + 1;
                    assert!(
                        report_seq <= next,
                        "invariant 3: gap before report {report_seq}"
                    );
                    let old = self.reports.insert(report_seq, (iccid.clone(), status));
                    assert!(
                        old.is_none_or(|o| o == (iccid, status)),
                        "invariant 3: report changed"
                    );
                    self.inbound(Down::StatusAck { report_seq });
                }
                Up::OrderResult { order_id, .. } => self.inbound(Down::Ack {
                    message_id: order_id,
                }),
                Up::Hello { .. } | Up::Logout { .. } | Up::Ack { .. } => {}
            }
        }
    }

    fn answer(&mut self) {
        if let Some((request_id, account)) = self.requests.pop() {
            let outcome = CodeOutcome::Code {
                code: Secret::new("1$s$m".into()),
                iccid: None,
            };
            let code = Down::ActivationCode {
                request_id,
                account,
                outcome,
            };
            self.last_code = Some(code.clone());
            if self.link {
                self.inbound(code);
            } else {
                self.requests.push((request_id, account));
            }
        }
    }

    fn set_link(&mut self, up: bool) {
        if self.link != up {
            self.link = up;
            self.uplink.clear();
            self.event(if up { Event::LinkUp } else { Event::LinkDown });
        }
    }

    fn cut(&mut self, happened: bool) {
        if let Some((_, what)) = self.op.take().filter(|_| happened) {
            self.happens(&what);
        }
        self.link = false;
        self.uplink.clear();
        self.agent = Agent::restore("sim".into(), None, &self.journal).expect("restore");
        self.event(Event::Boot);
    }

    /// Lets everything run until nothing is left to do.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            while self.effect() {}
            if !self.uplink.is_empty() {
                self.cmp();
            } else if let Some((at, why)) = self
                .agent
                .poll_timeout()
                .filter(|(_, t)| *t != Timer::Login)
            {
                // A request that the CMP never answers is repeated for ever.
                if why == Timer::Resend && self.agent.durable().outbox.is_empty() {
                    return;
                }
                self.now = self.now.max(at.0);
                self.agent.handle_timeout(BootMs(self.now));
            } else {
                return;
            }
        }
        panic!("does not come to rest");
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Login(user) => {
                let login_id = self.id();
                let (user, pin) = (char::from(*user).to_string(), Secret::new("123456".into()));
                self.event(Event::Login {
                    login_id,
                    user,
                    pin,
                });
            }
            Step::Logout => self.event(Event::Logout),
            Step::Link(up) => self.set_link(*up),
            Step::Run(n) => {
                for _ in 0..*n {
                    if !self.effect() {
                        self.cmp();
                    }
                }
            }
            Step::Answer => self.answer(),
            Step::Delete(n) => {
                let (order_id, iccid) = (self.id(), iccid(u64::from(*n)));
                self.inbound(Down::Order {
                    order_id,
                    kind: OrderKind::Delete { iccid },
                });
            }
            Step::Repeat => {
                if let Some(code) = self.last_code.clone() {
                    self.inbound(code);
                }
            }
            Step::Fail => self.fail_next = true,
            Step::Cut(happened) => self.cut(*happened),
            Step::Time => {
                self.now += 40_000;
                self.agent.handle_timeout(BootMs(self.now));
            }
        }
    }

    /// What must hold when nothing is under way.
    fn check_at_rest(&mut self) {
        self.settle();
        let session = self.agent.session().map(|s| s.account);
        let enabled: Vec<_> = self
            .card
            .iter()
            .filter(|(_, e)| **e)
            .map(|(i, _)| i.clone())
            .collect();
        // Invariants 1 and 2, R-4.3-15.
        assert!(enabled.len() <= 1, "invariant 2: {enabled:?}");
        for iccid in enabled {
            assert!(
                session.is_some(),
                "invariant 1: {iccid} enabled, nobody logged in"
            );
            assert_eq!(
                self.agent.durable().owner(&iccid),
                session,
                "invariant 2: foreign OP"
            );
        }
    }

    /// Invariant 3: the CMP's list of reports is the card's history, once the car is online.
    fn check_reports(&mut self) {
        self.set_link(true);
        self.check_at_rest();
        let told: Vec<_> = self
            .reports
            .values()
            .map(|(i, s)| (i.clone().expect("iccid"), *s))
            .collect();
        assert_eq!(told, self.history, "invariant 3");
        assert!(self.agent.durable().outbox.is_empty());
    }
}

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
    ];
    proptest::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]
    // R-4.3-4 R-4.3-11 R-4.3-12 R-4.3-14 R-4.3-15
    #[test]
    fn invariants_hold_over_random_lives(steps in steps()) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        world.check_reports();
        world.cut(true);
        world.check_reports();
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
    // when he comes back it is enabled at once, without another request
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
    assert!(world.agent.durable().orders.is_empty());
    world.inbound(order);
    world.check_reports();
}

// Invariant 8: when the disk fails the agent stops and says so.
#[test]
fn nothing_happens_behind_a_failed_persist() {
    let mut world = World::new();
    world.set_link(true);
    world.settle();
    world.step(&Step::Login(b'a'));
    loop {
        match world.agent.poll_effect() {
            Some(Effect::Persist { .. }) => break,
            Some(_) => {}
            None => {
                let message_id = [1; 16];
                let aup = Aup {
                    display_name: "".into(),
                    msp_name: "".into(),
                    masked_number: "".into(),
                };
                let outcome = LoginOutcome::Accepted {
                    account: account(b'a'),
                    aup,
                    profiles: vec![],
                };
                let login_id = (u128::from(world.ids) << 64).to_be_bytes();
                let body = Down::LoginResult { login_id, outcome };
                world.event(Event::Inbound { message_id, body });
            }
        }
    }
    world.event(Event::PersistFailed {
        text: "full".into(),
    });
    assert!(matches!(
        world.agent.poll_effect(),
        Some(Effect::Notify(Notice::Error { .. }))
    ));
    assert_eq!(world.agent.poll_effect(), None);
    assert_eq!(world.agent.phase(), Phase::Stopped);
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
