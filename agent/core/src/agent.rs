//! The agent's one struct: events in, effects out (ARCHITECTURE §3). Sessions, codes, orders and
//! the outbox are here; `decide` chooses the card's next operation, `settle` judges its result.
//! Called by the daemon's loop and by simulations.

use crate::durable::{Download, Durable, Record, Report, RestoreError};
use crate::event::{BootMs, CardProfile, Effect, EuiccOp, Event, Notice, Timer};
use crate::ids::{AccountRef, Iccid, Id, Secret};
use crate::message::{Aup, CodeOutcome, Down, LoginOutcome, OrderKind, ProfileState, Status, Up};
use alloc::{
    collections::{BTreeSet, VecDeque},
    string::String,
    vec::Vec,
};

/// Time the CMP has for a login, ms.
const LOGIN_MS: u64 = 30_000;
/// Time the CMP has to acknowledge reports before they are sent again, ms.
const RESEND_MS: u64 = 30_000;

/// Who is logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The account.
    pub account: AccountRef,
    /// What the HMI shows.
    pub aup: Aup,
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
    /// The journal failed.
    Stopped,
}

#[derive(Debug)]
pub(crate) struct PendingLogin {
    id: Id,
    user: String,
    pin: Secret,
    deadline: BootMs,
}

/// The core. See the crate's page for how to drive it.
#[derive(Debug)]
pub struct Agent {
    software: String,
    pub(crate) durable: Durable,
    effects: VecDeque<Queued>,
    /// Ticket of the persist that is under way.
    awaiting: Option<u64>,
    next_ticket: u64,
    pub(crate) stopped: bool,
    pub(crate) link_up: bool,
    pub(crate) session: Option<Session>,
    login: Option<PendingLogin>,
    /// What is on the card; `None` before it was read.
    pub(crate) card: Option<Vec<CardProfile>>,
    /// The operation under way.
    pub(crate) op: Option<(u64, EuiccOp)>,
    next_op: u64,
    pub(crate) card_retry: Option<BootMs>,
    pub(crate) card_failures: u32,
    pub(crate) download_retry: Option<BootMs>,
    pub(crate) notifications_due: bool,
    pub(crate) notifications_retry: Option<BootMs>,
    resend: Option<BootMs>,
    /// Requests that the CMP answered with "later" in this life.
    pending_answers: BTreeSet<Id>,
    /// Random base of request ids, moved on with each.
    request_id: u128,
    /// Accounts that get no code in this session.
    pub(crate) refused: Option<AccountRef>,
}

#[derive(Debug)]
enum Queued {
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
        Ok(Self {
            software,
            durable: Durable::restore(snapshot, records)?,
            effects: VecDeque::new(),
            awaiting: None,
            next_ticket: 0,
            stopped: false,
            link_up: false,
            session: None,
            login: None,
            card: None,
            op: None,
            next_op: 0,
            card_retry: None,
            card_failures: 0,
            download_retry: None,
            notifications_due: true,
            notifications_retry: None,
            resend: None,
            pending_answers: BTreeSet::new(),
            request_id: 0,
            refused: None,
        })
    }

    /// Takes an event. Poll effects and the timeout afterwards.
    pub fn handle(&mut self, now: BootMs, event: Event) {
        if self.stopped {
            return;
        }
        match event {
            Event::Boot => {}
            Event::LinkUp => self.link_is_up(now),
            Event::LinkDown => {
                self.link_up = false;
                self.resend = None;
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
            } => self.log_in(now, login_id, user, pin),
            Event::Logout => self.log_out(),
            Event::Inbound { message_id, body } => self.inbound(now, message_id, body),
            Event::Persisted { ticket } => {
                if self.awaiting == Some(ticket) {
                    self.awaiting = None;
                }
            }
            Event::PersistFailed { text } => {
                // Never ahead of the disk: what waited behind the record does not happen.
                self.stopped = true;
                self.awaiting = None;
                self.effects.clear();
                self.notify(Notice::Error { text });
                return;
            }
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
        if self.stopped {
            return;
        }
        let due = |at: &Option<BootMs>| at.is_some_and(|at| at <= now);
        if self.login.as_ref().is_some_and(|l| l.deadline <= now) {
            self.refuse_login(String::from("the CMP did not answer"));
        }
        if due(&self.resend) {
            self.send_outstanding(now);
        }
        for timer in [
            &mut self.card_retry,
            &mut self.download_retry,
            &mut self.notifications_retry,
        ] {
            if due(timer) {
                *timer = None;
            }
        }
        self.decide(now);
    }

    /// When to call `handle_timeout` at the latest, and why. Changes with every `handle`.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(BootMs, Timer)> {
        if self.stopped {
            return None;
        }
        let timers = [
            (self.login.as_ref().map(|l| l.deadline), Timer::Login),
            (self.card_retry, Timer::Card),
            (self.download_retry, Timer::Download),
            (self.notifications_retry, Timer::Notifications),
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
                    self.stopped = true;
                    self.effects.clear();
                    let text = String::from("the agent's records can't be encoded");
                    Some(Effect::Notify(Notice::Error { text }))
                }
            },
        }
    }

    /// The durable state for a journal snapshot; `None` while records are on their way to disk.
    #[must_use]
    pub fn snapshot(&self) -> Option<Vec<u8>> {
        let open = self.awaiting.is_some()
            || self.stopped
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
        if self.stopped {
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
                } else if self.durable.requests.iter().any(|(_, a)| *a == s.account) {
                    Phase::AwaitingCode
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
        if self.link_up {
            self.effects
                .push_back(Queued::Other(Effect::Send { message_id, body }));
        }
    }

    pub(crate) fn start(&mut self, what: EuiccOp) {
        self.next_op += 1;
        self.op = Some((self.next_op, what.clone()));
        self.effects.push_back(Queued::Other(Effect::Euicc {
            op: self.next_op,
            what,
        }));
    }

    /// Journals a report and sends it; it stays in the outbox until the CMP has it.
    pub(crate) fn report(&mut self, now: BootMs, iccid: Option<Iccid>, status: Status, code: u16) {
        let account = iccid.as_ref().and_then(|i| self.durable.owner(i));
        self.report_for(now, account, iccid, status, code);
    }

    pub(crate) fn report_for(
        &mut self,
        now: BootMs,
        account: Option<AccountRef>,
        iccid: Option<Iccid>,
        status: Status,
        code: u16,
    ) {
        let report = Report {
            seq: self.durable.report_seq + 1,
            iccid,
            account,
            status,
            code,
        };
        self.record(Record::Report(report.clone()));
        self.send(None, status_message(report));
        self.arm_resend(now);
    }

    pub(crate) fn arm_resend(&mut self, now: BootMs) {
        if self.link_up && self.resend.is_none() {
            self.resend = Some(now.plus(RESEND_MS));
        }
    }

    // ---- link -----------------------------------------------------------------------------

    fn link_is_up(&mut self, now: BootMs) {
        self.link_up = true;
        self.notifications_retry = None;
        self.download_retry = None;
        self.notify(Notice::LinkUp);
        let profiles = self.card.iter().flatten().map(|p| ProfileState {
            iccid: p.iccid.clone(),
            state: if p.enabled {
                Status::Enabled
            } else {
                Status::Disabled
            },
            owner: self.durable.owner(&p.iccid),
        });
        let hello = Up::Hello {
            software: self.software.clone(),
            profiles: profiles.collect(),
        };
        self.send(None, hello);
        self.send_login();
        self.send_outstanding(now);
    }

    /// Sends again what the CMP has not acknowledged, in order.
    fn send_outstanding(&mut self, now: BootMs) {
        self.resend = None;
        for report in self.durable.outbox.clone() {
            self.send(None, status_message(report));
        }
        for order in self.durable.orders.clone() {
            if let Some(outcome) = order.outcome {
                let body = Up::OrderResult {
                    order_id: order.order_id,
                    outcome,
                };
                self.send(Some(order.order_id), body);
            }
        }
        for (request_id, account) in self.durable.requests.clone() {
            if !self.pending_answers.contains(&request_id) {
                self.send(
                    Some(request_id),
                    Up::RequestActivationCode {
                        request_id,
                        account,
                    },
                );
            }
        }
        if self.has_outstanding() {
            self.arm_resend(now);
        }
    }

    fn has_outstanding(&self) -> bool {
        !self.durable.outbox.is_empty()
            || self.durable.orders.iter().any(|o| o.outcome.is_some())
            || self
                .durable
                .requests
                .iter()
                .any(|(id, _)| !self.pending_answers.contains(id))
    }

    // ---- sessions -------------------------------------------------------------------------

    fn log_in(&mut self, now: BootMs, id: Id, user: String, pin: Secret) {
        if self.login.is_some() {
            self.refuse_login(String::from("another login was begun"));
        }
        self.request_id = u128::from_be_bytes(id);
        self.login = Some(PendingLogin {
            id,
            user,
            pin,
            deadline: now.plus(LOGIN_MS),
        });
        self.send_login();
    }

    fn send_login(&mut self) {
        if let Some(login) = &self.login {
            let (user, pin) = (login.user.clone(), login.pin.clone());
            let body = Up::Login {
                login_id: login.id,
                user,
                pin,
            };
            self.send(Some(login.id), body);
        }
    }

    fn refuse_login(&mut self, reason: String) {
        if let Some(login) = self.login.take() {
            self.notify(Notice::LoginRefused {
                login_id: login.id,
                reason,
            });
        }
    }

    pub(crate) fn log_out(&mut self) {
        self.refuse_login(String::from("the user logged out"));
        if let Some(session) = self.session.take() {
            self.refused = None;
            // The disable that follows waits for no pause of an earlier failure.
            self.card_retry = None;
            self.send(
                None,
                Up::Logout {
                    account: session.account,
                },
            );
            self.notify(Notice::LoggedOut {
                account: session.account,
            });
        }
    }

    fn login_result(&mut self, login_id: Id, outcome: LoginOutcome) {
        if self.login.as_ref().is_none_or(|l| l.id != login_id) {
            return; // late, or a repetition
        }
        let (account, aup, profiles) = match outcome {
            LoginOutcome::Accepted {
                account,
                aup,
                profiles,
            } => (account, aup, profiles),
            LoginOutcome::Refused { reason } => return self.refuse_login(reason),
        };
        self.login = None;
        if self.session.as_ref().is_some_and(|s| s.account != account) {
            self.log_out();
        }
        for iccid in profiles {
            let here = self.card.iter().flatten().any(|p| p.iccid == iccid);
            if here && self.durable.owner(&iccid).is_none() {
                self.record(Record::Owner(iccid, account));
            }
        }
        self.refused = None;
        self.session = Some(Session {
            account,
            aup: aup.clone(),
            held: BTreeSet::new(),
        });
        self.notify(Notice::LoginAccepted {
            login_id,
            account,
            aup,
        });
    }

    /// Asks for a code, once per account (R-4.3-4).
    pub(crate) fn request_code(&mut self, now: BootMs, account: AccountRef) {
        self.request_id = self.request_id.wrapping_add(1);
        let request_id = self.request_id.to_be_bytes();
        self.record(Record::Requested(request_id, account));
        self.send(
            Some(request_id),
            Up::RequestActivationCode {
                request_id,
                account,
            },
        );
        self.notify(Notice::CodeRequested);
        self.arm_resend(now);
    }

    // ---- messages of the CMP ----------------------------------------------------------------

    fn inbound(&mut self, now: BootMs, message_id: Id, body: Down) {
        match body {
            Down::LoginResult { login_id, outcome } => return self.login_result(login_id, outcome),
            Down::StatusAck { report_seq } => return self.report_acked(report_seq),
            Down::Ack { message_id } => return self.result_acked(message_id),
            Down::ActivationCode {
                request_id,
                account,
                outcome,
            } => {
                self.activation_code(request_id, account, outcome);
            }
            Down::Order { order_id, kind } => self.order(now, order_id, kind),
        }
        self.effects
            .push_back(Queued::Other(Effect::AckInbound { message_id }));
    }

    fn activation_code(&mut self, request_id: Id, account: AccountRef, outcome: CodeOutcome) {
        if !self.durable.requests.contains(&(request_id, account)) {
            // Late, twice, or never asked for: installs nothing (R-4.3-8, R-4.4.1-13).
            return self.notify(Notice::CodeRefused);
        }
        match outcome {
            CodeOutcome::Pending => {
                self.pending_answers.insert(request_id);
                self.notify(Notice::CodePending);
            }
            CodeOutcome::Failed { code, reason } => {
                self.pending_answers.remove(&request_id);
                self.record(Record::RequestClosed(request_id));
                self.refused = Some(account);
                self.notify(Notice::CodeFailed { code, reason });
            }
            CodeOutcome::Code { code, iccid } => {
                self.pending_answers.remove(&request_id);
                self.record(Record::RequestClosed(request_id));
                let before = Vec::new();
                let download = Download {
                    request_id,
                    account,
                    code,
                    iccid,
                    before,
                    attempts: 0,
                };
                self.record(Record::Download(download));
                self.notify(Notice::CodeReceived);
            }
        }
    }

    fn order(&mut self, now: BootMs, order_id: Id, kind: OrderKind) {
        let known = self.durable.orders.iter().find(|o| o.order_id == order_id);
        if let Some(outcome) = known.map(|o| o.outcome) {
            if let Some(outcome) = outcome {
                self.send(Some(order_id), Up::OrderResult { order_id, outcome });
            }
        } else if !self.durable.closed.contains(&order_id) {
            self.record(Record::OrderAccepted(order_id, kind));
        }
        self.arm_resend(now);
    }

    fn report_acked(&mut self, seq: u64) {
        if self.durable.outbox.iter().any(|r| r.seq == seq) {
            self.record(Record::ReportAcked(seq));
            self.notify(Notice::Reported(seq));
        }
        self.disarm_resend();
    }

    fn result_acked(&mut self, id: Id) {
        if self
            .durable
            .orders
            .iter()
            .any(|o| o.order_id == id && o.outcome.is_some())
        {
            self.record(Record::OrderClosed(id));
        }
        self.disarm_resend();
    }

    fn disarm_resend(&mut self) {
        if !self.has_outstanding() {
            self.resend = None;
        }
    }
}

fn status_message(report: Report) -> Up {
    let Report {
        seq,
        iccid,
        account,
        status,
        code,
    } = report;
    Up::Status {
        report_seq: seq,
        iccid,
        account,
        status,
        code,
    }
}
