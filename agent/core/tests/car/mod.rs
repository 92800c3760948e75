//! One agent whose effects the test carries out by hand: nothing is persisted or answered by itself.
#![allow(
    dead_code,
    clippy::expect_used,
    clippy::panic,
    reason = "each test uses its part; a failed expectation is a failed test"
)]

use aid_agent_core::*;

pub(crate) const EVA: AccountRef = AccountRef([b'e'; 16]);
pub(crate) const ADA: AccountRef = AccountRef([b'a'; 16]);

pub(crate) fn iccid(n: u64) -> Iccid {
    format!("89{n:017}").parse().expect("iccid")
}

pub(crate) fn aup() -> Aup {
    Aup {
        display_name: "Eva".into(),
        msp_name: "M".into(),
        masked_number: String::new(),
    }
}

pub(crate) struct Car {
    pub(crate) agent: Agent,
    pub(crate) now: u64,
    /// Every effect so far.
    pub(crate) log: Vec<Effect>,
    /// The persist that waits.
    pub(crate) ticket: Option<u64>,
    /// What is on disk.
    pub(crate) journal: Vec<Vec<u8>>,
    /// The operation that waits.
    pub(crate) op: Option<(u64, EuiccOp)>,
    pub(crate) card: Vec<CardProfile>,
    /// What the CMP announces.
    pub(crate) revision: u8,
    /// What the wall clock said when the boot clock began, Unix seconds; none: nobody has asked it.
    pub(crate) wall: Option<u64>,
    /// What was left of the journal, by erasures.
    pub(crate) erased: Vec<Vec<u8>>,
    messages: u8,
}

/// What the shell makes of a PIN.
pub(crate) fn hash(salt: Id, user: &str, pin: &str) -> [u8; 32] {
    let mut hash = [0xA5_u8; 32];
    let bytes = salt.iter().chain(user.as_bytes()).chain(&[0]);
    for (at, byte) in bytes.chain(pin.as_bytes()).enumerate() {
        let place = &mut hash[at % 32];
        *place = place.wrapping_mul(31).wrapping_add(*byte);
    }
    hash
}

impl Car {
    pub(crate) fn new(profiles: &[(u64, bool)]) -> Self {
        let agent = Agent::restore("test", None, &[]).expect("an empty journal");
        let card = profiles.iter().map(|(n, enabled)| CardProfile {
            iccid: iccid(*n),
            enabled: *enabled,
        });
        Self {
            agent: agent.with_epoch(7),
            now: 0,
            log: vec![],
            ticket: None,
            journal: vec![],
            op: None,
            card: card.collect(),
            revision: 2,
            wall: Some(1_800_000_000),
            erased: vec![],
            messages: 0,
        }
    }

    /// A car whose card was read and whose link stands, to a CMP that numbers sessions.
    pub(crate) fn online(profiles: &[(u64, bool)]) -> Self {
        let mut car = Self::new(profiles);
        car.event(Event::Boot);
        car.run();
        car.event(Event::LinkUp);
        car.run();
        car
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.now += 1;
        self.set_clock();
        self.agent.handle(BootMs(self.now), event);
    }

    fn set_clock(&mut self) {
        if let Some(wall) = self.wall {
            self.agent
                .set_clock(BootMs(self.now), wall + self.now / 1000);
        }
    }

    /// The agent starts again with what is on disk; the boot clock goes on.
    pub(crate) fn restart(&mut self) {
        let base = self.erased.last().map(Vec::as_slice);
        let agent = Agent::restore("test", base, &self.journal).expect("own");
        self.agent = agent.with_epoch(8);
        (self.ticket, self.op) = (None, None);
        self.event(Event::Boot);
    }

    pub(crate) fn inbound(&mut self, body: Down) {
        self.messages = self.messages.wrapping_add(1);
        let message_id = [self.messages; 16];
        self.event(Event::Inbound { message_id, body });
    }

    /// Polls until nothing comes, and carries out nothing.
    pub(crate) fn poll(&mut self) -> Vec<Effect> {
        let mut new = vec![];
        while let Some(effect) = self.agent.poll_effect() {
            match &effect {
                Effect::Persist { ticket, bytes } => {
                    assert_eq!(self.ticket.replace(*ticket), None, "two persists at once");
                    self.journal.push(bytes.clone());
                }
                Effect::Euicc { op, what } => {
                    assert_eq!(self.op.replace((*op, what.clone())), None, "two operations");
                }
                _ => {}
            }
            new.push(effect);
        }
        self.log.extend(new.clone());
        new
    }

    pub(crate) fn persisted(&mut self) {
        let ticket = self.ticket.take().expect("a persist");
        self.event(Event::Persisted { ticket });
    }

    /// The operation under way ends.
    pub(crate) fn card_says(&mut self, result: Result<(), EuiccError>) {
        let (op, what) = self.op.take().expect("an operation");
        if result.is_ok() {
            let set = |card: &mut Vec<CardProfile>, iccid: &Iccid, enabled| {
                let own = card.iter_mut().find(|p| p.iccid == *iccid);
                own.expect("on the card").enabled = enabled;
            };
            match &what {
                EuiccOp::Enable { iccid } => set(&mut self.card, iccid, true),
                EuiccOp::Disable { iccid } => set(&mut self.card, iccid, false),
                EuiccOp::Delete { iccid } => self.card.retain(|p| p.iccid != *iccid),
                EuiccOp::Download { .. } => self.card.push(CardProfile {
                    iccid: iccid(1000 + op),
                    enabled: false,
                }),
                EuiccOp::List | EuiccOp::Notifications => {}
            }
        }
        let profiles = Some(self.card.clone());
        self.event(Event::EuiccDone {
            op,
            result,
            profiles,
        });
    }

    /// Carries out everything: what is persisted is on disk, the card does what it is asked, and the CMP
    /// welcomes.
    pub(crate) fn run(&mut self) {
        self.run_but(|_| false);
    }

    /// As `run`, but stops before a card operation that `stop` names.
    pub(crate) fn run_but(&mut self, stop: impl Fn(&EuiccOp) -> bool) {
        for _ in 0..1000 {
            let new = self.poll();
            let hello = new.iter().find_map(|effect| match effect {
                Effect::Send {
                    message_id,
                    body: Up::Hello { .. },
                } => *message_id,
                _ => None,
            });
            let hashed = new.iter().find_map(|effect| match effect {
                Effect::HashPin {
                    op,
                    salt,
                    user,
                    pin,
                } => Some((*op, hash(*salt, user, pin.expose()))),
                _ => None,
            });
            let erased = new.iter().find_map(|effect| match effect {
                Effect::Erase { state } => Some(state.clone()),
                _ => None,
            });
            if let Some((op, hash)) = hashed {
                let hash = Some(hash);
                self.event(Event::PinHashed { op, hash });
            } else if let Some(state) = erased {
                self.erased.push(state);
                self.journal.clear();
                self.event(Event::Erased { result: Ok(()) });
            } else if let Some(message_id) = hello {
                self.inbound(Down::Welcome {
                    message_id,
                    revision: self.revision,
                    session: 1 << 32,
                });
            } else if self.ticket.is_some() {
                self.persisted();
            } else if let Some((_, what)) = &self.op {
                if stop(what) {
                    return;
                }
                self.card_says(Ok(()));
            } else if new.is_empty() {
                return;
            }
        }
        panic!("does not come to rest");
    }

    /// This user logs in.
    pub(crate) fn log_in(&mut self, account: AccountRef, profiles: &[u64]) {
        let login_id = [self.messages.wrapping_add(100); 16];
        let (user, pin) = ("eva".into(), Secret::new("1234".into()));
        self.event(Event::Login {
            login_id,
            user,
            pin,
        });
        self.run();
        let outcome = LoginOutcome::Accepted {
            account,
            aup: aup(),
            profiles: profiles.iter().map(|n| iccid(*n)).collect(),
        };
        self.inbound(Down::LoginResult { login_id, outcome });
    }

    pub(crate) fn sent(&self, is: impl Fn(&Up) -> bool) -> usize {
        let sends = self.log.iter().filter(|effect| match effect {
            Effect::Send { body, .. } => is(body),
            _ => false,
        });
        sends.count()
    }

    pub(crate) fn asked(&self, is: impl Fn(&EuiccOp) -> bool) -> usize {
        let asked = self.log.iter().filter(|effect| match effect {
            Effect::Euicc { what, .. } => is(what),
            _ => false,
        });
        asked.count()
    }

    pub(crate) fn order(&mut self, n: u8, kind: OrderKind) {
        let (order_id, message_id) = ([n; 16], [n; 16]);
        let body = Down::Order { order_id, kind };
        self.event(Event::Inbound { message_id, body });
    }

    /// The next timeout comes.
    pub(crate) fn wait(&mut self) -> Timer {
        let (at, why) = self.agent.poll_timeout().expect("a timeout");
        self.now = self.now.max(at.0);
        self.set_clock();
        self.agent.handle_timeout(BootMs(self.now));
        why
    }
}

pub(crate) fn failure(permanent: bool) -> EuiccError {
    EuiccError {
        code: 9,
        text: "the card says no".into(),
        permanent,
        full: false,
    }
}
