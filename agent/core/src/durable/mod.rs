//! What survives a power cut. Nothing outside of this module can change it but by a record
//! (`Ledger::record`), which goes to the journal and is applied the same way when that is replayed.

mod ledger;
mod record;
mod snapshot;
mod verifier;

pub(crate) use ledger::{Fault, Ledger};
pub use record::{Download, Intent, Operation, Order, Record, Report, Reset, read_records};
pub use snapshot::RestoreError;
pub use verifier::Verifier;

use crate::bounds::{
    MAX_CLOSED, MAX_CODES, MAX_LOGOUTS, MAX_ORDERS, MAX_OWNERS, MAX_PROFILES, MAX_REPORTS,
    MAX_VERIFIERS, insert, push_newest, put,
};
use crate::retry::TRIES_KEPT;
use aid_id::{AccountRef, Iccid, Id};
use aid_wire::{OrderKind, OrderOutcome};
use heapless::{LinearMap, Vec};
use serde::Serialize;

/// Everything that must survive.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Durable {
    /// Number of the last report; its upper 32 bits are the epoch of the journal, 0 before it has one.
    report_seq: u64,
    /// Whose profile is whose.
    owners: LinearMap<Iccid, AccountRef, MAX_OWNERS>,
    /// Reports that the CMP has not acknowledged, in order.
    outbox: Vec<Report, MAX_REPORTS>,
    /// The operation under way.
    intent: Option<Intent>,
    /// Downloads to do, in order.
    downloads: Vec<Download, MAX_CODES>,
    /// Requests for a code without an answer.
    requests: Vec<(Id, AccountRef), MAX_CODES>,
    /// Orders whose outcome the CMP does not know yet.
    orders: Vec<Order, MAX_ORDERS>,
    /// Orders and requests that are over, newest last.
    closed: Vec<Id, MAX_CLOSED>,
    /// Ends of sessions that the CMP does not know yet, in order.
    logouts: Vec<(Id, AccountRef), MAX_LOGOUTS>,
    /// Open requests that were made after the user had been asked.
    again: Vec<Id, MAX_CODES>,
    /// Profiles that their users delete at the HMI.
    wanted: Vec<Iccid, MAX_PROFILES>,
    /// Downloads that were begun because the link had come back to stay, and how often.
    link_returns: LinearMap<Id, u16, MAX_CODES>,
    /// What lets users in without a connection, granted last at the end.
    verifiers: Vec<Verifier, MAX_VERIFIERS>,
    /// It was at least as late as this, Unix seconds.
    clock: u64,
    /// The open order that is a factory reset which was begun at the car.
    own_reset: Option<Id>,
    /// How far a factory reset is.
    reset: Option<Reset>,
}

impl Durable {
    /// Number of the last report: the epoch of the journal in the upper 32 bits, a count in the lower.
    #[must_use]
    pub fn report_seq(&self) -> u64 {
        self.report_seq
    }

    /// The account that a profile belongs to.
    #[must_use]
    pub fn owner(&self, iccid: &Iccid) -> Option<AccountRef> {
        self.owners.get(iccid).copied()
    }

    /// Whose profile is whose.
    pub fn owners(&self) -> impl Iterator<Item = (&Iccid, AccountRef)> {
        self.owners.iter().map(|(iccid, account)| (iccid, *account))
    }

    /// Reports that the CMP has not acknowledged, in order.
    #[must_use]
    pub fn outbox(&self) -> &[Report] {
        &self.outbox
    }

    /// The operation on a profile that is under way.
    #[must_use]
    pub fn intent(&self) -> Option<&Intent> {
        self.intent.as_ref()
    }

    /// Downloads to do; the one that was begun last is the first.
    #[must_use]
    pub fn downloads(&self) -> &[Download] {
        &self.downloads
    }

    /// Requests for a code without an answer.
    #[must_use]
    pub fn requests(&self) -> &[(Id, AccountRef)] {
        &self.requests
    }

    /// Orders whose outcome the CMP does not know yet.
    #[must_use]
    pub fn orders(&self) -> &[Order] {
        &self.orders
    }

    /// Ends of sessions that the CMP does not know yet, in order.
    #[must_use]
    pub fn logouts(&self) -> &[(Id, AccountRef)] {
        &self.logouts
    }

    /// Profiles that their users delete at the HMI.
    #[must_use]
    pub fn wanted(&self) -> &[Iccid] {
        &self.wanted
    }

    /// Whether the open request was made after the user had been asked.
    #[must_use]
    pub fn is_again(&self, request_id: Id) -> bool {
        self.again.contains(&request_id)
    }

    /// Whether the order or request is over.
    #[must_use]
    pub fn is_closed(&self, id: Id) -> bool {
        self.closed.contains(&id)
    }

    /// What lets users in without a connection.
    #[must_use]
    pub fn verifiers(&self) -> &[Verifier] {
        &self.verifiers
    }

    /// The latest time that is known to have been, Unix seconds; 0 where none is.
    #[must_use]
    pub fn clock(&self) -> u64 {
        self.clock
    }

    /// How far a factory reset is, once everything is deleted and the CMP has the result.
    #[must_use]
    pub fn reset(&self) -> Option<Reset> {
        self.reset
    }

    /// Whether this open order is a factory reset that was begun at the car.
    pub(crate) fn is_own_reset(&self, order_id: Id) -> bool {
        self.own_reset == Some(order_id)
    }

    /// Whether the car is being reset, or was: nobody can log in.
    #[must_use]
    pub fn is_resetting(&self) -> bool {
        let wipes = |o: &Order| {
            o.kind == OrderKind::FactoryReset
                && o.outcome
                    .is_none_or(|outcome| outcome == OrderOutcome::Done)
        };
        self.reset.is_some() || self.orders.iter().any(wipes)
    }

    fn verifier_of(&mut self, account: AccountRef) -> Option<&mut Verifier> {
        self.verifiers.iter_mut().find(|v| v.account == account)
    }

    /// How often the download was begun because the link had come back to stay.
    pub(crate) fn returns(&self, request_id: Id) -> u16 {
        self.link_returns.get(&request_id).copied().unwrap_or(0)
    }

    /// Whether another code can be requested.
    pub(crate) fn has_room_for_code(&self) -> bool {
        self.requests.len() + self.downloads.len() < MAX_CODES
    }

    /// Takes over one record. At a bound, which the agent keeps away from, something old makes room.
    fn apply(&mut self, record: Record) {
        match record {
            Record::Requested(id, account) => push_newest(&mut self.requests, (id, account)),
            Record::RequestClosed(id) => {
                self.requests.retain(|(open, _)| *open != id);
                self.again.retain(|open| *open != id);
                self.remember(id);
            }
            Record::Intent(intent) => self.intent = Some(intent),
            Record::IntentClosed => self.intent = None,
            Record::Download(download) => self.download(*download),
            Record::DownloadClosed(id) => {
                self.downloads.retain(|d| d.request_id != id);
                self.link_returns.remove(&id);
            }
            Record::LinkReturned(id) => {
                for open in self.downloads.iter_mut().filter(|d| d.request_id == id) {
                    open.attempts = open.attempts.min(TRIES_KEPT);
                }
                let count = self.returns(id).saturating_add(1);
                put(&mut self.link_returns, id, count);
            }
            Record::Owner(iccid, account) => put(&mut self.owners, iccid, account),
            Record::Forget(iccid) => {
                self.owners.remove(&iccid);
                self.wanted.retain(|open| *open != iccid);
            }
            Record::Again(id) => insert(&mut self.again, id),
            Record::DeleteWanted(iccid) => insert(&mut self.wanted, iccid),
            Record::DeleteGivenUp(iccid) => self.wanted.retain(|open| *open != iccid),
            Record::Report(report) => {
                self.report_seq = report.seq;
                push_newest(&mut self.outbox, report);
            }
            Record::ReportAcked(seq) => self.outbox.retain(|r| r.seq != seq),
            Record::OrderAccepted(order_id, kind) => push_newest(
                &mut self.orders,
                Order {
                    order_id,
                    kind,
                    outcome: None,
                },
            ),
            Record::OrderDone(id, outcome) => {
                for order in self.orders.iter_mut().filter(|o| o.order_id == id) {
                    order.outcome = Some(outcome);
                }
            }
            Record::OrderClosed(id) => {
                let is_wiped = |o: &Order| {
                    o.order_id == id
                        && o.kind == OrderKind::FactoryReset
                        && o.outcome == Some(OrderOutcome::Done)
                };
                if self.orders.iter().any(is_wiped) {
                    self.reset = Some(Reset::Closing);
                }
                if self.own_reset == Some(id) {
                    self.own_reset = None;
                }
                self.orders.retain(|o| o.order_id != id);
                self.remember(id);
            }
            Record::LoggedOut(id, account) => push_newest(&mut self.logouts, (id, account)),
            Record::LogoutAcked(id) => self.logouts.retain(|(open, _)| *open != id),
            Record::Verifier(verifier) => {
                // The CMP's clock is right, also where the car's stood later for a while.
                self.clock = verifier.granted_at;
                self.verifiers.retain(|v| v.account != verifier.account);
                push_newest(&mut self.verifiers, *verifier);
            }
            Record::VerifierTried(account, unix) => {
                self.clock = self.clock.max(unix);
                if let Some(verifier) = self.verifier_of(account) {
                    verifier.tries = verifier.tries.saturating_add(1);
                }
            }
            Record::VerifierFitted(account) => {
                if let Some(verifier) = self.verifier_of(account) {
                    verifier.tries = 0;
                }
            }
            Record::VerifierDropped(account) => self.verifiers.retain(|v| v.account != account),
            Record::Clock(unix) => self.clock = self.clock.max(unix),
            Record::OwnReset(id) => self.own_reset = Some(id),
            Record::Wiped => {
                *self = Self {
                    reset: Some(Reset::Erasing),
                    ..Self::default()
                };
            }
            Record::Erased => self.reset = Some(Reset::Done),
            Record::SetUp => self.reset = None,
        }
    }

    fn download(&mut self, download: Download) {
        let mut open = self.downloads.iter();
        match open.position(|d| d.request_id == download.request_id) {
            // The one that was begun last is the first: after a power cut it is the one that may have
            // brought a profile.
            Some(at) => {
                self.downloads.remove(at);
                // One place is free.
                let _ = self.downloads.insert(0, download);
            }
            None => push_newest(&mut self.downloads, download),
        }
    }

    fn remember(&mut self, id: Id) {
        push_newest(&mut self.closed, id);
    }
}
