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
    /// The user at the HMI deletes his own profile, and says yes to another.
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
fn shown_code(login_id: [u8; 16]) -> Down {
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
            Effect::Notify(Notice::LoggedOut { .. }) => self.ended += 1,
            Effect::AckInbound { .. } | Effect::Notify(_) => {}
        }
    }

    /// Invariant 8: nothing happens on the card that is not in the journal as an intent.
    pub(crate) fn invariant_8_intent(&self, what: &EuiccOp) {
        if self.agent.has_failed_journal() {
            // The one thing that needs no journal, and with nobody logged in.
            let allowed = matches!(what, EuiccOp::Disable { .. } | EuiccOp::List);
            assert!(allowed, "{what:?} without a journal");
            assert!(self.agent.session().is_none());
            return;
        }
        let disk = self.on_disk();
        let wants = |operation, i: &Iccid| {
            disk.intent()
                .as_ref()
                .is_some_and(|t| t.operation == operation && t.iccid == *i)
        };
        let ok = match what {
            EuiccOp::Enable { iccid } => wants(Operation::Enable, iccid),
            EuiccOp::Disable { iccid } => wants(Operation::Disable, iccid),
            EuiccOp::Delete { iccid } => wants(Operation::Delete, iccid),
            EuiccOp::Download { .. } => disk.downloads().first().is_some_and(|d| d.attempts > 0),
            EuiccOp::List | EuiccOp::Notifications => true,
        };
        assert!(ok, "invariant 8: {what:?} is not in the journal");
    }

    /// What an order about many profiles is for is so when its result first leaves the car (A.4).
    fn invariant_reset(&mut self, order_id: [u8; 16], outcome: OrderOutcome) {
        let Some(kind) = self.resets.get(&order_id) else {
            return;
        };
        if self.reset_results.insert(order_id, outcome).is_some() {
            return;
        }
        let owner = |i: &Iccid| self.agent.durable().owner(i);
        match kind {
            OrderKind::DeleteAll => assert!(self.card.is_empty(), "reset: {:?}", self.card),
            OrderKind::Erase { account } => assert!(
                !self.card.keys().any(|i| owner(i) == Some(*account)),
                "erased: {:?}",
                self.card
            ),
            _ => {}
        }
        assert_eq!(outcome, OrderOutcome::Done);
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

    /// The CMP takes what came up and answers.
    pub(crate) fn cmp(&mut self) {
        for (message_id, up) in std::mem::take(&mut self.uplink) {
            match up {
                Up::Login { login_id, user, .. } => {
                    self.inbound(accepted(login_id, user.as_bytes()[0]));
                }
                Up::LoginByCode { login_id } => {
                    let approved = *self.codes.entry(login_id).or_default();
                    self.inbound(match approved {
                        Some(user) => accepted(login_id, user),
                        None => shown_code(login_id),
                    });
                }
                Up::CardFull {
                    request_id,
                    account: _,
                } => {
                    let victim = self.card.iter().find(|(_, e)| !**e).map(|(i, _)| i.clone());
                    let granted = victim.is_some();
                    if let Some(iccid) = victim {
                        let order_id = self.id();
                        let kind = OrderKind::Delete { iccid };
                        self.inbound(Down::Order { order_id, kind });
                    }
                    self.inbound(Down::Space {
                        request_id,
                        granted,
                    });
                }
                Up::RequestAgain {
                    request_id,
                    account,
                } => {
                    self.asked_again += 1;
                    self.asks.retain(|a| *a != account);
                    if !self.requests.contains(&(request_id, account)) {
                        self.requests.push((request_id, account));
                    }
                }
                Up::RequestActivationCode {
                    request_id,
                    account,
                } if self.asks.contains(&account) => {
                    let outcome = CodeOutcome::Ask;
                    self.inbound(Down::ActivationCode {
                        request_id,
                        account,
                        outcome,
                    });
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
                    account,
                    code,
                } => {
                    if status == Status::InstallationFailed
                        && !self.reports.contains_key(&report_seq)
                    {
                        self.failed.push(code);
                    }
                    if let (Status::Deleted, DELETED_BY_USER, Some(account)) =
                        (status, code, account)
                        && !self.asks.contains(&account)
                        && !self.reports.contains_key(&report_seq)
                    {
                        self.asks.push(account);
                    }
                    // Counted without a gap, in each epoch.
                    let first = report_seq as u32 == 1;
                    assert!(
                        first || self.reports.contains_key(&(report_seq - 1)),
                        "invariant 3: gap before report {report_seq}"
                    );
                    let old = self.reports.insert(report_seq, (iccid.clone(), status));
                    assert!(
                        old.is_none_or(|o| o == (iccid, status)),
                        "invariant 3: report changed"
                    );
                    self.inbound(Down::StatusAck { report_seq });
                }
                Up::OrderResult { order_id, outcome } => {
                    self.outcomes.insert(order_id, outcome);
                    self.inbound(Down::Ack {
                        message_id: order_id,
                    });
                }
                Up::Logout { account } => {
                    let message_id = message_id.expect("a logout has an id");
                    let old = self.logouts.insert(message_id, account);
                    assert!(old.is_none_or(|o| o == account), "one id for two logouts");
                    self.inbound(Down::Ack { message_id });
                }
                Up::Hello { software, .. } => {
                    let message_id = message_id.expect("a Hello has an id");
                    let revision = announced(&software);
                    assert_eq!(revision, 2);
                    self.book.0 = ((self.book.0 >> 32) + 1) << 32;
                    self.inbound(match self.numbered {
                        true => Down::Welcome {
                            message_id,
                            revision,
                            session: self.book.0,
                        },
                        false => Down::Ack { message_id },
                    });
                }
                Up::NumberedLogin {
                    number,
                    account,
                    login_id,
                    way,
                } => {
                    if !self.hear(message_id, number, account) {
                        continue;
                    }
                    let approved = match way {
                        LoginWay::Pin { user, .. } => Some(user.as_bytes()[0]),
                        LoginWay::Code => *self.codes.entry(login_id).or_default(),
                    };
                    if let Some(user) = approved {
                        self.enter(number, user);
                        self.inbound(accepted(login_id, user));
                    } else {
                        self.code_numbers.insert(login_id, number);
                        self.inbound(shown_code(login_id));
                    }
                }
                Up::Session { number, account } => {
                    if self.hear(message_id, number, account) {
                        let message_id = message_id.expect("a session's state has an id");
                        self.inbound(Down::Ack { message_id });
                    }
                }
                Up::Ack { .. } => {}
            }
        }
    }

    /// The book takes a number that is higher than its own; false: it is lower, and the car is told.
    fn hear(&mut self, id: Option<[u8; 16]>, number: u64, account: Option<AccountRef>) -> bool {
        if number < self.book.0 {
            self.inbound(Down::Welcome {
                message_id: id.expect("what is about sessions has an id"),
                revision: 2,
                session: self.book.0,
            });
            return false;
        }
        if number > self.book.0 {
            self.book = (number, account);
        }
        true
    }

    fn enter(&mut self, number: u64, user: u8) {
        if number == self.book.0 {
            self.book.1 = Some(account(user));
        }
    }

    pub(crate) fn answer(&mut self) {
        if let Some((request_id, account)) = self.requests.pop() {
            self.codes_given += 1;
            let outcome = CodeOutcome::Code {
                code: Secret::new(format!("1$s$M-{}", self.codes_given)),
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

    pub(crate) fn step(&mut self, step: &Step) {
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
            Step::LoginByCode => {
                let login_id = self.id();
                self.event(Event::LoginByCode { login_id });
            }
            Step::Approve(user) => {
                let open = self.codes.iter_mut().find(|(_, who)| who.is_none());
                if let Some((login_id, who)) = open.map(|(id, who)| (*id, who)) {
                    *who = Some(*user);
                    let message = accepted(login_id, *user);
                    if let Some(number) = self.code_numbers.get(&login_id).copied() {
                        self.enter(number, *user);
                    }
                    self.inbound(message);
                }
            }
            Step::DeleteAll => self.reset(OrderKind::DeleteAll),
            Step::Erase(user) => {
                let account = account(*user);
                self.reset(OrderKind::Erase { account });
            }
            Step::DeleteOwn => {
                let session = self.agent.session().map(|s| s.account);
                let owners = self.agent.durable().owners();
                let own = owners.filter(|(_, a)| Some(*a) == session);
                if let Some(iccid) = own.map(|(i, _)| i.clone()).min() {
                    self.event(Event::DeleteOwn { iccid });
                }
            }
            Step::Provision => self.event(Event::Provision),
            Step::Failures(count) => self.failures = usize::from(*count),
            Step::Full => self.full_next = true,
            Step::Profile(user) => {
                let profile = user_profile(*user);
                let account = account(*user);
                self.inbound(Down::UserProfile { account, profile });
            }
            Step::Disk(disk) => self.disk = *disk,
            Step::Outage(outage) => self.outage = *outage,
            Step::Away(away) => self.away = *away,
            Step::Time => {
                self.now += 40_000;
                self.agent.handle_timeout(BootMs(self.now));
            }
        }
    }

    /// An order about many profiles.
    pub(crate) fn reset(&mut self, kind: OrderKind) {
        if self.link {
            let order_id = self.id();
            self.resets.insert(order_id, kind.clone());
            self.inbound(Down::Order { order_id, kind });
        }
    }

    /// What must hold when nothing is under way.
    pub(crate) fn check_at_rest(&mut self) {
        self.settle();
        let session = self.agent.session().map(|s| s.account);
        let enabled: Vec<_> = self
            .card
            .iter()
            .filter(|(_, e)| **e)
            .map(|(i, _)| i.clone())
            .collect();
        // R-2-9: the AID User Profile is that of who is logged in, and of nobody else.
        if let Some(s) = self.agent.session()
            && let Some(profile) = &s.profile
        {
            let name = char::from(s.account.0[0]).to_string();
            assert_eq!(
                profile.display_name, name,
                "somebody else's AID User Profile"
            );
        }
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
    pub(crate) fn check_reports(&mut self) {
        (self.outage, self.away) = (false, false);
        self.set_link(true);
        // Whatever the disk is like, nothing stays enabled for nobody.
        self.check_at_rest();
        self.disk = Disk::Good;
        self.check_at_rest();
        assert!(!self.agent.has_failed_journal());
        if !self.agent.durable().logouts().is_empty() {
            // A login by code that nobody approves: the CMP learns of the session before when it is over.
            self.now += 3_700_000;
            self.agent.handle_timeout(BootMs(self.now));
            self.check_at_rest();
        }
        let told: Vec<_> = self
            .reports
            .values()
            .filter(|(_, s)| *s != Status::InstallationFailed)
            .map(|(i, s)| (i.clone().expect("iccid"), *s))
            .collect();
        if self.lossy {
            let mut history = self.history.iter();
            let ordered = told.iter().all(|t| history.any(|h| h == t));
            assert!(ordered, "invariant 3: {told:?} of {:?}", self.history);
        } else {
            assert_eq!(told, self.history, "invariant 3");
        }
        assert!(self.agent.durable().outbox().is_empty());
        // Every end of a session that anybody was told of is known to the CMP, too.
        assert!(
            self.agent.durable().logouts().is_empty(),
            "logouts undelivered"
        );
        if self.numbered {
            let session = self.agent.session().map(|s| s.account);
            assert_eq!(self.book.1, session, "the book of sessions");
        } else {
            assert!(
                self.lossy || self.logouts.len() >= self.ended,
                "a logout was lost"
            );
        }
    }
}
