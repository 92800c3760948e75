//! The world around the core: a card, a CMP, a link and a journal, and what must hold in it.

use aid_agent_core::*;
use std::collections::BTreeMap;

/// Two users; each user's profile has a fixed number, a second one another.
pub(crate) fn account(user: u8) -> AccountRef {
    AccountRef([user; 16])
}

pub(crate) fn iccid(n: u64) -> Iccid {
    format!("89{n:017}").parse().expect("iccid")
}

#[derive(Debug, Clone)]
pub(crate) enum Step {
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
    /// A login by code begins, and this user approves the one that is shown.
    LoginByCode,
    Approve(u8),
    /// End of a rental, and the erasure of a user.
    DeleteAll,
    Erase(u8),
    /// The user at the HMI deletes their own profile, and says yes to another.
    DeleteOwn,
    Provision,
    /// So many operations on profiles fail before one works again.
    Failures(u8),
    /// The next download does not fit on the card.
    Full,
    /// The CMP sends this user's AID User Profile, whoever is logged in.
    Profile(u8),
    /// From now on the journal's disk is like this.
    Disk(Disk),
    /// No SM-DP+ can be reached, or all can again.
    Outage(bool),
    /// The card can't be reached, or can again.
    Away(bool),
}

/// How the journal's disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disk {
    Good,
    /// Takes no record, and says so already when the journal is opened.
    Full,
    /// Reports a failure although the record got there.
    Torn,
    /// Can't even be read.
    Gone,
}

/// Why downloads fail, and what the card says when it is away.
pub(crate) fn passing() -> EuiccError {
    EuiccError {
        code: 0,
        text: "cannot reach smdp.example: no route".into(),
        permanent: false,
        full: false,
    }
}

/// Epoch of the journal.
pub(crate) const EPOCH: u32 = 0x5EED;

/// The CMP's welcome.
pub(crate) fn accepted(login_id: [u8; 16], user: u8) -> Down {
    let aup = Aup {
        display_name: char::from(user).to_string(),
        msp_name: "M".into(),
        masked_number: "".into(),
    };
    let outcome = LoginOutcome::Accepted {
        account: account(user),
        aup,
        profiles: vec![],
    };
    Down::LoginResult { login_id, outcome }
}

/// The CMP's answer to a login by code that nobody has approved yet.
pub(crate) fn shown_code(login_id: [u8; 16]) -> Down {
    Down::LoginCode {
        login_id,
        code: "BCDF-GHJK".into(),
        url: "https://cmp.example/car".into(),
        expires_in: 600,
    }
}

pub(crate) fn user_profile(user: u8) -> UserProfile {
    UserProfile {
        display_name: char::from(user).to_string(),
        subscriptions: vec![],
        preferences: vec![("seat".into(), "3".into())],
    }
}

pub(crate) struct World {
    pub(crate) agent: Agent,
    pub(crate) now: u64,
    /// The snapshot under the records.
    pub(crate) base: Option<Vec<u8>>,
    pub(crate) journal: Vec<Vec<u8>>,
    pub(crate) disk: Disk,
    /// Power was cut while the journal did not work: what the CMP hears has gaps.
    pub(crate) lossy: bool,
    pub(crate) card: BTreeMap<Iccid, bool>,
    /// What really happened on the card, in order.
    pub(crate) history: Vec<(Iccid, Status)>,
    pub(crate) op: Option<(u64, EuiccOp)>,
    pub(crate) fail_next: bool,
    pub(crate) link: bool,
    pub(crate) uplink: Vec<(Option<[u8; 16]>, Up)>,
    /// Sessions whose end the HMI was told, and those whose end the CMP was told, by message id.
    pub(crate) ended: usize,
    pub(crate) logouts: BTreeMap<[u8; 16], AccountRef>,
    /// The CMP knows numbers of sessions; the highest that it has heard, and who is in.
    pub(crate) numbered: bool,
    pub(crate) book: (u64, Option<AccountRef>),
    /// The numbers of logins by code.
    pub(crate) code_numbers: BTreeMap<[u8; 16], u64>,
    pub(crate) reports: BTreeMap<u64, (Option<Iccid>, Status)>,
    pub(crate) requests: Vec<([u8; 16], AccountRef)>,
    pub(crate) last_code: Option<Down>,
    pub(crate) next_profile: u64,
    pub(crate) ids: u64,
    pub(crate) persists: usize,
    /// Logins by code that the CMP knows, and what it answered to those that are approved.
    pub(crate) codes: BTreeMap<[u8; 16], Option<u8>>,
    pub(crate) full_next: bool,
    /// Orders about many profiles by id; those whose result was seen.
    pub(crate) resets: BTreeMap<[u8; 16], OrderKind>,
    pub(crate) reset_results: BTreeMap<[u8; 16], OrderOutcome>,
    /// Accounts that deleted their profile at the HMI.
    pub(crate) asks: Vec<AccountRef>,
    pub(crate) asked_again: usize,
    /// Downloads fail, deliveries of notifications too.
    pub(crate) outage: bool,
    /// Why downloads fail while there is no outage.
    pub(crate) refusal: Option<EuiccError>,
    /// Downloads of these accounts fail as in an outage.
    pub(crate) unreachable: Vec<AccountRef>,
    /// The card can't be reached.
    pub(crate) away: bool,
    /// Operations on profiles that fail before one works again.
    pub(crate) failures: usize,
    /// Codes that were downloaded with, and when; codes that were given.
    pub(crate) tries: Vec<(u64, String)>,
    pub(crate) codes_given: u64,
    /// Deliveries of notifications, and when.
    pub(crate) deliveries: Vec<u64>,
    /// Outcomes of orders, by the order.
    pub(crate) outcomes: BTreeMap<[u8; 16], OrderOutcome>,
    /// Codes of failed installations, in order.
    pub(crate) failed: Vec<u16>,
    /// The CMP grants verifiers; those that it has granted, by account.
    pub(crate) grants: bool,
    pub(crate) verifiers: BTreeMap<u8, [u8; 16]>,
    /// How often journal and keys were erased.
    pub(crate) erasures: usize,
}

impl World {
    pub(crate) fn new() -> Self {
        let agent = Agent::restore("sim", None, &[]).expect("new");
        let agent = agent.with_epoch(EPOCH);
        let mut world = Self {
            agent,
            now: 0,
            base: None,
            journal: vec![],
            disk: Disk::Good,
            lossy: false,
            card: BTreeMap::new(),
            history: vec![],
            op: None,
            fail_next: false,
            link: false,
            uplink: vec![],
            ended: 0,
            logouts: BTreeMap::new(),
            numbered: true,
            book: (0, None),
            code_numbers: BTreeMap::new(),
            reports: BTreeMap::new(),
            requests: vec![],
            last_code: None,
            next_profile: 1,
            ids: 0,
            persists: 0,
            codes: BTreeMap::new(),
            full_next: false,
            resets: BTreeMap::new(),
            reset_results: BTreeMap::new(),
            asks: vec![],
            asked_again: 0,
            outage: false,
            refusal: None,
            unreachable: vec![],
            away: false,
            failures: 0,
            tries: vec![],
            codes_given: 0,
            deliveries: vec![],
            outcomes: BTreeMap::new(),
            failed: vec![],
            grants: false,
            verifiers: BTreeMap::new(),
            erasures: 0,
        };
        world.event(Event::Boot);
        world
    }

    pub(crate) fn id(&mut self) -> [u8; 16] {
        self.ids += 1;
        (u128::from(self.ids) << 64).to_be_bytes()
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.now += 1;
        let unix = 1_800_000_000 + self.now / 1000;
        self.agent.set_clock(BootMs(self.now), unix);
        self.agent.handle(BootMs(self.now), event);
    }

    pub(crate) fn inbound(&mut self, body: Down) {
        let message_id = self.id();
        if self.link {
            self.event(Event::Inbound { message_id, body });
        }
    }

    pub(crate) fn on_disk(&self) -> Durable {
        Durable::restore(self.base.as_deref(), &self.journal).expect("journal")
    }

    /// What the agent wants to be done next.
    pub(crate) fn next_effect(&mut self) -> Option<Effect> {
        self.agent.poll_effect()
    }

    /// The card does what it was asked; false where it was asked nothing.
    pub(crate) fn card_turn(&mut self) -> bool {
        let op = self.op.take();
        if let Some((op, what)) = &op {
            self.card_works(*op, what);
        }
        op.is_some()
    }

    /// Carries out one effect; false when there is none.
    pub(crate) fn effect(&mut self) -> bool {
        match self.next_effect() {
            Some(effect) => {
                self.carry_out(effect);
                true
            }
            None => self.card_turn(),
        }
    }

    pub(crate) fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Persist { ticket, bytes } => {
                self.persists += 1;
                if matches!(self.disk, Disk::Good | Disk::Torn) {
                    self.journal.push(bytes);
                }
                self.event(match self.disk {
                    Disk::Good => Event::Persisted { ticket },
                    _ => Event::PersistFailed {
                        text: "the disk failed".into(),
                    },
                });
            }
            Effect::Euicc { op, what } => {
                self.invariant_8_intent(&what);
                assert!(self.op.is_none(), "two card operations at once");
                match &what {
                    EuiccOp::Download { code } => {
                        self.tries.push((self.now, code.expose().to_owned()));
                    }
                    EuiccOp::Notifications => self.deliveries.push(self.now),
                    _ => {}
                }
                self.op = Some((op, what));
            }
            Effect::Send { message_id, body } => {
                if let Up::Status { report_seq, .. } = &body {
                    let disk = self.on_disk();
                    assert!(
                        disk.outbox().iter().any(|r| r.seq == *report_seq),
                        "invariant 8: report"
                    );
                }
                if let Up::OrderResult { order_id, outcome } = &body {
                    self.invariant_reset(*order_id, *outcome);
                }
                let first = body.revision() == 1;
                assert!(first || self.numbered, "{body:?} to a CMP of revision 1");
                if self.link {
                    self.uplink.push((message_id, body));
                }
            }
            Effect::HashPin {
                op,
                salt,
                user,
                pin,
            } => {
                let mut hash = [0; 32];
                let bytes = salt.iter().chain(user.as_bytes());
                for (at, byte) in bytes.chain(pin.expose().as_bytes()).enumerate() {
                    hash[at % 32] ^= byte;
                }
                let hash = Some(hash);
                self.event(Event::PinHashed { op, hash });
            }
            Effect::Erase { state } => {
                self.base = Some(state);
                self.journal.clear();
                self.erasures += 1;
                self.event(Event::Erased { result: Ok(()) });
            }
            Effect::Notify(Notice::LoggedOut { .. }) => self.ended += 1,
            Effect::AckInbound { .. } | Effect::Notify(_) => {}
        }
    }

    pub(crate) fn happens(&mut self, what: &EuiccOp) {
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

    /// Whether the SM-DP+ of what is to be done can't be reached.
    fn cut_off(&self, what: &EuiccOp) -> bool {
        match what {
            EuiccOp::Download { .. } => {
                let running = self.on_disk().downloads().first().map(|d| d.account);
                self.outage || running.is_some_and(|a| self.unreachable.contains(&a))
            }
            EuiccOp::Notifications => self.outage,
            _ => false,
        }
    }

    pub(crate) fn card_works(&mut self, op: u64, what: &EuiccOp) {
        if self.away {
            return self.event(Event::EuiccDone {
                op,
                result: Err(passing()),
                profiles: None,
            });
        }
        let download = matches!(what, EuiccOp::Download { .. });
        let on_profile = matches!(what, EuiccOp::Enable { .. } | EuiccOp::Delete { .. });
        let full = download && core::mem::take(&mut self.full_next);
        let refusal = self.refusal.clone().filter(|_| download);
        let gone = match what {
            EuiccOp::Disable { iccid } => !self.card.contains_key(iccid),
            _ => false,
        };
        let result = if self.cut_off(what) {
            Err(passing())
        } else if gone {
            let text = "iccidOrAidNotFound".into();
            Err(EuiccError {
                code: 1,
                text,
                permanent: true,
                full: false,
            })
        } else if let Some(refusal) = refusal {
            Err(refusal)
        } else if on_profile && self.failures > 0 {
            self.failures -= 1;
            Err(passing())
        } else if full {
            let text = "no memory".into();
            Err(EuiccError {
                code: 10,
                text,
                permanent: true,
                full: true,
            })
        } else if core::mem::take(&mut self.fail_next) {
            Err(EuiccError {
                code: 7,
                text: "no".into(),
                permanent: false,
                full: false,
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

    pub(crate) fn set_link(&mut self, up: bool) {
        if self.link != up {
            self.link = up;
            self.uplink.clear();
            self.event(if up { Event::LinkUp } else { Event::LinkDown });
        }
    }

    pub(crate) fn cut(&mut self, happened: bool) {
        if let Some((_, what)) = self.op.take().filter(|_| happened) {
            self.happens(&what);
        }
        self.restart(EPOCH);
    }

    /// The agent starts again with its journal.
    pub(crate) fn restart(&mut self, epoch: u32) {
        self.link = false;
        self.uplink.clear();
        self.lossy |= self.agent.has_failed_journal();
        let base = self.base.as_deref();
        let agent = match self.disk {
            Disk::Gone => Agent::without_journal("sim"),
            _ => Agent::restore("sim", base, &self.journal).expect("restore"),
        };
        self.agent = agent.with_epoch(epoch);
        if self.disk == Disk::Full {
            let text = "the disk is full".into();
            self.event(Event::PersistFailed { text });
        }
        self.event(Event::Boot);
    }

    /// What the shell does for a failed journal; true when it works again.
    pub(crate) fn tend(&mut self) -> bool {
        let failed = self.agent.has_failed_journal() && self.agent.is_secured();
        if !failed || self.disk == Disk::Gone {
            return false;
        }
        let now = BootMs(self.now);
        if self.agent.is_unread() {
            let base = self.base.as_deref();
            let read = self.agent.restore_late(now, base, &self.journal);
            read.expect("readable");
            return true;
        }
        if self.disk != Disk::Good {
            return false;
        }
        self.base = Some(self.agent.unsaved().expect("known"));
        self.journal.clear();
        self.event(Event::JournalRestored);
        true
    }

    /// Lets everything run until nothing is left to do.
    pub(crate) fn settle(&mut self) {
        for _ in 0..10_000 {
            while self.effect() {}
            if self.tend() {
                continue;
            }
            if !self.uplink.is_empty() {
                self.cmp();
            } else if let Some((at, why)) = self
                .agent
                .poll_timeout()
                .filter(|(_, t)| *t != Timer::Login)
            {
                // A request that the CMP never answers is repeated for ever.
                if why == Timer::Resend && self.agent.durable().outbox().is_empty() {
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
}
