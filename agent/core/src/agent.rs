//! The agent's one struct: events in, effects out (ARCHITECTURE §3). Sessions, codes, orders and
//! the outbox are here; `decide` chooses the card's next operation, `settle` judges its result.
//! Called by the daemon's loop and by simulations.

use crate::durable::{Durable, Record, RestoreError};
use crate::event::{BootMs, CardProfile, Effect, EuiccOp, Event, LoginEnd, Notice, Timer};
use crate::fault::Fault;
use crate::numbering::Peer;
use crate::retry::Wait;
use crate::waiting::{CodeWait, Deliveries, SetAside};
use aid_id::{AccountRef, Iccid, Id};
use aid_wire::{Aup, Down, LoginWay, OrderKind, Up, UserProfile};
use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    string::String,
    vec::Vec,
};

/// Who is logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The account.
    pub account: AccountRef,
    /// What the HMI shows.
    pub aup: Aup,
    /// The whole AID User Profile, once it came; gone with the session (R-2-9).
    pub profile: Option<UserProfile>,
    /// The user is to be asked before another OP comes (R-4.5-10).
    pub asking: bool,
    /// Profiles that are not to be enabled again in this session.
    pub(crate) held: BTreeSet<Iccid>,
}

/// Where the agent stands, for the HMI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The card was not read yet.
    Starting,
    /// Nobody is logged in.
    Guest,
    /// The CMP is asked about a login.
    LoggingIn,
    /// A code is awaited.
    AwaitingCode,
    /// A profile is downloaded.
    Downloading,
    /// A profile is enabled or disabled.
    Switching,
    /// The user's profile is enabled.
    Active,
    /// The user has a profile that can't be enabled, or gets none.
    NoProfile,
    /// The journal can't be written or read: nobody is logged in, and no OP stays enabled.
    Stopped,
}

#[derive(Debug)]
pub(crate) struct PendingLogin {
    pub(crate) id: Id,
    pub(crate) way: LoginWay,
    pub(crate) deadline: BootMs,
    /// The CMP's code is shown: its life is known.
    pub(crate) shown: bool,
}

/// The core. See the crate's page for how to drive it.
#[derive(Debug)]
pub struct Agent {
    pub(crate) software: String,
    pub(crate) durable: Durable,
    /// Epoch of a journal that has none yet.
    pub(crate) epoch: u32,
    pub(crate) effects: VecDeque<Queued>,
    /// Ticket of the persist that is under way.
    pub(crate) awaiting: Option<u64>,
    pub(crate) next_ticket: u64,
    /// Why nothing is journaled at present; `None` while the journal works.
    pub(crate) fault: Option<Fault>,
    pub(crate) link_up: bool,
    /// The CMP behind the link.
    pub(crate) peer: Peer,
    /// Number of the last change of the session.
    pub(crate) session_number: u64,
    pub(crate) session: Option<Session>,
    pub(crate) login: Option<PendingLogin>,
    /// What is on the card; `None` before it was read.
    pub(crate) card: Option<Vec<CardProfile>>,
    /// The operation under way.
    pub(crate) op: Option<(u64, EuiccOp)>,
    pub(crate) next_op: u64,
    pub(crate) card_retry: Option<BootMs>,
    pub(crate) card_failures: u32,
    /// Since when the link has been up.
    pub(crate) link_since: Option<BootMs>,
    /// When the operation under way, or the last one, was begun.
    pub(crate) begun: BootMs,
    /// The download that runs, by its request.
    pub(crate) running: Option<Id>,
    /// Downloads that failed for a passing cause, by their requests.
    pub(crate) waits: BTreeMap<Id, Wait>,
    /// Times in this life that a profile did not fit, by request.
    pub(crate) full: BTreeMap<Id, u16>,
    /// What an earlier life left open was looked at.
    pub(crate) resumed: bool,
    pub(crate) notifications_due: bool,
    pub(crate) notifications: Deliveries,
    /// Profiles whose enabling or deletion fails again and again for a passing cause.
    pub(crate) set_aside: BTreeMap<Iccid, SetAside>,
    /// A request for a code that failed for a passing cause.
    pub(crate) code_wait: Option<CodeWait>,
    pub(crate) resend: Option<BootMs>,
    /// Requests that the CMP answered with "later" in this life.
    pub(crate) pending_answers: BTreeSet<Id>,
    /// Random base of request ids, moved on with each.
    pub(crate) request_id: u128,
    /// Accounts that get no code in this session.
    pub(crate) refused: Option<AccountRef>,
    /// The request whose profile the CMP was asked to make space for.
    pub(crate) space: Option<Id>,
    /// Profiles that the card does not delete, and its code: they don't stop the deletion of others.
    pub(crate) undeletable: BTreeMap<Iccid, u16>,
}

#[derive(Debug)]
pub(crate) enum Queued {
    Persist(Vec<Record>),
    Other(Effect),
}

impl Agent {
    /// The agent after a start: nobody is logged in. Give it `Event::Boot` next.
    ///
    /// # Errors
    /// The journal holds a record that this version can't read.
    pub fn restore(
        software: String,
        snapshot: Option<&[u8]>,
        records: &[Vec<u8>],
    ) -> Result<Self, RestoreError> {
        let durable = Durable::restore(snapshot, records)?;
        Ok(Self::with(software, durable, None))
    }

    pub(crate) fn with(software: String, durable: Durable, fault: Option<Fault>) -> Self {
        Self {
            software,
            durable,
            epoch: 0,
            effects: VecDeque::new(),
            awaiting: None,
            next_ticket: 0,
            fault,
            link_up: false,
            peer: Peer::default(),
            session_number: 0,
            session: None,
            login: None,
            card: None,
            op: None,
            next_op: 0,
            card_retry: None,
            card_failures: 0,
            link_since: None,
            begun: BootMs::default(),
            running: None,
            waits: BTreeMap::new(),
            full: BTreeMap::new(),
            resumed: false,
            notifications_due: true,
            notifications: Deliveries::default(),
            set_aside: BTreeMap::new(),
            code_wait: None,
            resend: None,
            pending_answers: BTreeSet::new(),
            request_id: 0,
            refused: None,
            space: None,
            undeletable: BTreeMap::new(),
        }
    }

    /// Gives a random epoch to a journal that has none yet: to a new one, and to one of an agent that
    /// knew no epochs. It becomes part of the numbers of the reports and is on disk with the first of
    /// them. So the CMP does not take the reports of a journal for repetitions when that one was lost
    /// and another begins to count from the start. The topmost bit is not used; 0 is no epoch.
    #[must_use]
    pub fn with_epoch(mut self, random: u32) -> Self {
        self.epoch = (random & (u32::MAX >> 1)).max(1);
        // Ids before the first login differ from those of earlier lives.
        self.request_id = u128::from(random) << 96;
        self
    }

    /// Takes an event. Poll effects and the timeout afterwards.
    pub fn handle(&mut self, now: BootMs, event: Event) {
        if self.fault.is_some() {
            return self.handle_in_fault(now, event);
        }
        match event {
            Event::Boot | Event::JournalRestored => {}
            Event::LinkUp => self.link_is_up(now),
            Event::LinkDown => {
                self.link_up = false;
                self.link_since = None;
                self.resend = None;
                self.peer = Peer::default();
                // What waits here would overtake the outbox, which LinkUp sends again in order.
                self.effects.retain(|queued| {
                    !matches!(
                        queued,
                        Queued::Other(Effect::Send { .. } | Effect::AckInbound { .. })
                    )
                });
                self.notify(Notice::LinkDown);
            }
            Event::Login {
                login_id,
                user,
                pin,
            } => self.log_in(now, login_id, LoginWay::Pin { user, pin }),
            Event::LoginByCode { login_id } => self.log_in(now, login_id, LoginWay::Code),
            Event::Logout => self.log_out(now),
            Event::DeleteOwn { iccid } => self.delete_own(iccid),
            Event::Provision => self.provision(now),
            Event::Inbound { message_id, body } => self.inbound(now, message_id, body),
            Event::Persisted { ticket } => {
                if self.awaiting == Some(ticket) {
                    self.awaiting = None;
                }
            }
            Event::PersistFailed { text } => return self.fail(text),
            Event::EuiccDone {
                op,
                result,
                profiles,
            } => {
                if self.op.as_ref().is_some_and(|(open, _)| *open == op) {
                    self.euicc_done(now, result, profiles);
                }
            }
        }
        self.decide(now);
    }

    /// Takes the passing of time; call at `poll_timeout`, or at any time.
    pub fn handle_timeout(&mut self, now: BootMs) {
        let due = |at: &Option<BootMs>| at.is_some_and(|at| at <= now);
        if self.fault.is_some() {
            if due(&self.card_retry) {
                self.card_retry = None;
            }
            return self.secure();
        }
        if self.login.as_ref().is_some_and(|l| l.deadline <= now) {
            let reason = String::from("the CMP did not answer");
            self.refuse_login(LoginEnd::NoAnswer, reason);
        }
        if due(&self.hello_again()) {
            self.send_hello(now);
        }
        if due(&self.resend) {
            self.send_outstanding(now);
        }
        if due(&self.card_retry) {
            self.card_retry = None;
        }
        self.decide(now);
    }

    /// When to call `handle_timeout` at the latest, and why. Changes with every `handle`.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(BootMs, Timer)> {
        if self.fault.is_some() {
            return self.card_retry.map(|at| (at, Timer::Card));
        }
        let timers = [
            (self.login.as_ref().map(|l| l.deadline), Timer::Login),
            (self.card_retry, Timer::Card),
            (self.set_aside_timeout(), Timer::Card),
            (self.download_timeout(), Timer::Download),
            (self.code_timeout(), Timer::Download),
            (self.notifications_timeout(), Timer::Notifications),
            (self.hello_again(), Timer::Hello),
            (self.resend, Timer::Resend),
        ];
        timers
            .into_iter()
            .filter_map(|(at, why)| at.map(|at| (at, why)))
            .min()
    }

    /// The next thing to do; `None` until the next event. Nothing comes while a persist is open.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        if self.awaiting.is_some() {
            return None;
        }
        match self.effects.pop_front()? {
            Queued::Other(effect) => Some(effect),
            Queued::Persist(records) => match postcard::to_allocvec(&records) {
                Ok(bytes) => {
                    let ticket = self.next_ticket;
                    self.next_ticket += 1;
                    self.awaiting = Some(ticket);
                    Some(Effect::Persist { ticket, bytes })
                }
                Err(_) => {
                    self.fail(String::from("the agent's records can't be encoded"));
                    self.poll_effect()
                }
            },
        }
    }

    /// The durable state for a journal snapshot; `None` while records are on their way to disk.
    #[must_use]
    pub fn snapshot(&self) -> Option<Vec<u8>> {
        let open = self.awaiting.is_some()
            || self.fault.is_some()
            || self.effects.iter().any(|e| matches!(e, Queued::Persist(_)));
        if open {
            None
        } else {
            postcard::to_allocvec(&self.durable).ok()
        }
    }

    /// What is on disk or on its way there.
    #[must_use]
    pub fn durable(&self) -> &Durable {
        &self.durable
    }

    /// Who is logged in.
    #[must_use]
    pub fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// What is on the card, as last read.
    #[must_use]
    pub fn profiles(&self) -> Option<&[CardProfile]> {
        self.card.as_deref()
    }

    /// Where the agent stands.
    #[must_use]
    pub fn phase(&self) -> Phase {
        if self.fault.is_some() {
            return Phase::Stopped;
        }
        let Some(card) = &self.card else {
            return Phase::Starting;
        };
        match (&self.op, &self.session, &self.login) {
            (Some((_, EuiccOp::Enable { .. } | EuiccOp::Disable { .. })), ..) => Phase::Switching,
            (_, _, Some(_)) => Phase::LoggingIn,
            (_, None, None) => Phase::Guest,
            (_, Some(s), None) => {
                let own = |p: &&CardProfile| self.durable.owner(&p.iccid) == Some(s.account);
                if card.iter().filter(own).any(|p| p.enabled) {
                    Phase::Active
                } else if self
                    .durable
                    .downloads
                    .iter()
                    .any(|d| d.account == s.account)
                {
                    Phase::Downloading
                } else if self.durable.requests.iter().any(|(_, a)| *a == s.account)
                    || self.code_wait_of(s.account).is_some()
                {
                    Phase::AwaitingCode
                } else if self.set_aside_of(s.account).is_some() {
                    Phase::Switching
                } else {
                    Phase::NoProfile
                }
            }
        }
    }

    // ---- queueing -------------------------------------------------------------------------

    /// Applies a record and queues it. It joins a persist that has not left yet: being on disk
    /// earlier than needed is always right, and a list is one fdatasync.
    pub(crate) fn record(&mut self, record: Record) {
        self.durable.apply(&record);
        if self.fault.is_some() {
            // The snapshot that ends the fault carries it.
            return;
        }
        let open = self
            .effects
            .iter_mut()
            .rev()
            .find_map(|queued| match queued {
                Queued::Persist(list) => Some(list),
                Queued::Other(_) => None,
            });
        match open {
            Some(list) => list.push(record),
            None => self.effects.push_back(Queued::Persist(alloc::vec![record])),
        }
    }

    pub(crate) fn notify(&mut self, notice: Notice) {
        self.effects
            .push_back(Queued::Other(Effect::Notify(notice)));
    }

    pub(crate) fn send(&mut self, message_id: Option<Id>, body: Up) {
        if self.link_up && self.fault.is_none() {
            self.effects
                .push_back(Queued::Other(Effect::Send { message_id, body }));
        }
    }

    pub(crate) fn start(&mut self, now: BootMs, what: EuiccOp) {
        self.begun = now;
        self.start_op(what);
    }

    /// As `start`, for operations that nobody asks when they were begun: all but downloads and the
    /// delivery of notifications.
    pub(crate) fn start_op(&mut self, what: EuiccOp) {
        self.next_op += 1;
        self.op = Some((self.next_op, what.clone()));
        self.effects.push_back(Queued::Other(Effect::Euicc {
            op: self.next_op,
            what,
        }));
    }

    // ---- messages of the CMP ----------------------------------------------------------------

    fn inbound(&mut self, now: BootMs, message_id: Id, body: Down) {
        match body {
            Down::LoginResult { login_id, outcome } => {
                return self.login_result(now, login_id, outcome);
            }
            Down::LoginCode {
                login_id,
                code,
                url,
                expires_in,
            } => return self.login_code(now, login_id, code, url, expires_in),
            Down::UserProfile { account, profile } => return self.user_profile(account, profile),
            Down::Space {
                request_id,
                granted,
            } => return self.space_answered(now, request_id, granted),
            Down::StatusAck { report_seq } => return self.report_acked(report_seq),
            Down::Ack { message_id } => return self.result_acked(message_id),
            Down::Welcome {
                message_id,
                revision,
                session,
            } => return self.welcomed(message_id, revision, session),
            Down::ActivationCode {
                request_id,
                account,
                outcome,
            } => {
                if !self.activation_code(now, request_id, account, outcome) {
                    return;
                }
            }
            Down::Order { order_id, kind } => self.order(now, order_id, kind),
        }
        self.effects
            .push_back(Queued::Other(Effect::AckInbound { message_id }));
    }

    fn order(&mut self, now: BootMs, order_id: Id, kind: OrderKind) {
        let known = self.durable.orders.iter().find(|o| o.order_id == order_id);
        if let Some(outcome) = known.map(|o| o.outcome) {
            if let Some(outcome) = outcome {
                self.send(Some(order_id), Up::OrderResult { order_id, outcome });
            }
        } else if !self.durable.closed.contains(&order_id) {
            // What the card refused before is tried again for a new order.
            self.undeletable.clear();
            self.record(Record::OrderAccepted(order_id, kind));
        }
        self.arm_resend(now);
    }
}
