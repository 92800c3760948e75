//! What survives a power cut: the state, and the records that lead to it.
//! Records are applied the same way when they are made and when the journal is replayed.
//! Written by `agent`, `decide` and `settle`; the bytes go to the journal.

use crate::retry::TRIES_KEPT;
use aid_id::{AccountRef, Iccid, Id, Secret};
use aid_wire::{OrderKind, OrderOutcome, Status};
use alloc::{collections::BTreeMap, vec::Vec};
use serde::{Deserialize, Serialize};

/// Ids of closed orders and requests that are remembered against late repetitions.
const REMEMBERED: usize = 64;

/// An operation on a profile that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// ES10c.EnableProfile.
    Enable,
    /// ES10c.DisableProfile.
    Disable,
    /// ES10c.DeleteProfile.
    Delete,
}

/// An operation that may or may not have happened: settled by looking at the card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// What.
    pub operation: Operation,
    /// On which profile.
    pub iccid: Iccid,
    /// Times it was begun, this one included.
    pub attempts: u16,
}

/// A download that is to be done or under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Download {
    /// The request that the code answered.
    pub request_id: Id,
    /// Whose profile it will be.
    pub account: AccountRef,
    /// The activation code.
    pub code: Secret,
    /// The profile, where the MSP named it.
    pub iccid: Option<Iccid>,
    /// Profiles on the card when it was begun; another one afterwards is the result.
    pub before: Vec<Iccid>,
    /// Times it was begun in a row; fewer count after the link came back.
    pub attempts: u16,
}

/// A report on its way to the CMP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Epoch of the journal (upper 32 bits) and a count without a gap (lower 32 bits).
    pub seq: u64,
    /// The profile.
    pub iccid: Option<Iccid>,
    /// Its owner.
    pub account: Option<AccountRef>,
    /// What happened.
    pub status: Status,
    /// 0, or why it failed.
    pub code: u16,
}

/// An order of the CMP; with its outcome once it has one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The order.
    pub order_id: Id,
    /// What is to be done.
    pub kind: OrderKind,
    /// What became of it.
    pub outcome: Option<OrderOutcome>,
}

/// One change of the durable state. Append-only: the journal of an older agent must replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// A code was requested for this account.
    Requested(Id, AccountRef),
    /// The request is over.
    RequestClosed(Id),
    /// An operation begins.
    Intent(Intent),
    /// The open operation is over, one way or the other.
    IntentClosed,
    /// A download is to be done, or begins again.
    Download(Download),
    /// The download is over, one way or the other.
    DownloadClosed(Id),
    /// A profile belongs to an account.
    Owner(Iccid, AccountRef),
    /// A profile is gone.
    Forget(Iccid),
    /// A report to deliver.
    Report(Report),
    /// The CMP has the report.
    ReportAcked(u64),
    /// An order to execute.
    OrderAccepted(Id, OrderKind),
    /// The order has an outcome.
    OrderDone(Id, OrderOutcome),
    /// The CMP knows the outcome.
    OrderClosed(Id),
    /// A session ended; the id is that of the message about it.
    LoggedOut(Id, AccountRef),
    /// The CMP knows that it ended.
    LogoutAcked(Id),
    /// This request was made after the user had been asked (R-4.5-10).
    Again(Id),
    /// The user deletes this profile at the HMI.
    DeleteWanted(Iccid),
    /// The card does not delete it.
    DeleteGivenUp(Iccid),
    /// The download begins again because the link came back to stay.
    LinkReturned(Id),
}

/// A journal that can't be replayed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("journal record {index} (0 is the snapshot) is not readable by this version: {source}")]
pub struct RestoreError {
    /// Number of the record.
    pub index: usize,
    /// What is wrong with it.
    pub source: postcard::Error,
}

/// Everything that must survive.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Durable {
    /// Number of the last report; its upper 32 bits are the epoch of the journal, 0 before it has one.
    pub report_seq: u64,
    /// Whose profile is whose.
    pub owners: BTreeMap<Iccid, AccountRef>,
    /// Reports that the CMP has not acknowledged, in order.
    pub outbox: Vec<Report>,
    /// The operation under way.
    pub intent: Option<Intent>,
    /// Downloads to do, in order.
    pub downloads: Vec<Download>,
    /// Requests for a code without an answer.
    pub requests: Vec<(Id, AccountRef)>,
    /// Orders whose outcome the CMP does not know yet.
    pub orders: Vec<Order>,
    /// Orders and requests that are over, newest last.
    pub closed: Vec<Id>,
    /// Ends of sessions that the CMP does not know yet, in order.
    pub logouts: Vec<(Id, AccountRef)>,
    /// Open requests that were made after the user had been asked.
    pub again: Vec<Id>,
    /// Profiles that their users delete at the HMI.
    pub wanted: Vec<Iccid>,
    /// Downloads that were begun because the link had come back to stay, and how often.
    pub link_returns: Vec<(Id, u16)>,
}

/// Fields that later versions added at the end of `Durable`; a zero byte is the default of each.
const LATER_FIELDS: [u8; 3] = [0; 3];

impl Durable {
    /// The state behind a journal.
    ///
    /// # Errors
    /// A record is not readable.
    pub fn restore(snapshot: Option<&[u8]>, records: &[Vec<u8>]) -> Result<Self, RestoreError> {
        let at = |index| move |source| RestoreError { index, source };
        let mut state = match snapshot {
            // What a snapshot has no bytes for is empty; what it has none too few for ignores them.
            Some(bytes) => {
                let bytes = [bytes, &LATER_FIELDS].concat();
                postcard::from_bytes(&bytes).map_err(at(0))?
            }
            None => Self::default(),
        };
        for (index, bytes) in records.iter().enumerate() {
            let list: Vec<Record> = postcard::from_bytes(bytes).map_err(at(index + 1))?;
            list.iter().for_each(|record| state.apply(record));
        }
        Ok(state)
    }

    /// Takes over one record.
    pub fn apply(&mut self, record: &Record) {
        match record.clone() {
            Record::Requested(id, account) => self.requests.push((id, account)),
            Record::RequestClosed(id) => {
                self.requests.retain(|(open, _)| *open != id);
                self.again.retain(|open| *open != id);
                self.remember(id);
            }
            Record::Intent(intent) => self.intent = Some(intent),
            Record::IntentClosed => self.intent = None,
            Record::Download(download) => {
                let open = self
                    .downloads
                    .iter()
                    .position(|d| d.request_id == download.request_id);
                match open {
                    // The one that was begun last is the first: after a power cut it is the one that
                    // may have brought a profile.
                    Some(at) => {
                        self.downloads.remove(at);
                        self.downloads.insert(0, download);
                    }
                    None => self.downloads.push(download),
                }
            }
            Record::DownloadClosed(id) => {
                self.downloads.retain(|d| d.request_id != id);
                self.link_returns.retain(|(open, _)| *open != id);
            }
            Record::LinkReturned(id) => {
                for open in self.downloads.iter_mut().filter(|d| d.request_id == id) {
                    open.attempts = open.attempts.min(TRIES_KEPT);
                }
                match self.link_returns.iter_mut().find(|(open, _)| *open == id) {
                    Some((_, count)) => *count = count.saturating_add(1),
                    None => self.link_returns.push((id, 1)),
                }
            }
            Record::Owner(iccid, account) => {
                self.owners.insert(iccid, account);
            }
            Record::Forget(iccid) => {
                self.owners.remove(&iccid);
                self.wanted.retain(|open| *open != iccid);
            }
            Record::Again(id) => self.again.push(id),
            Record::DeleteWanted(iccid) => self.wanted.push(iccid),
            Record::DeleteGivenUp(iccid) => self.wanted.retain(|open| *open != iccid),
            Record::Report(report) => {
                self.report_seq = report.seq;
                self.outbox.push(report);
            }
            Record::ReportAcked(seq) => self.outbox.retain(|r| r.seq != seq),
            Record::OrderAccepted(order_id, kind) => {
                self.orders.push(Order {
                    order_id,
                    kind,
                    outcome: None,
                });
            }
            Record::OrderDone(id, outcome) => {
                for order in self.orders.iter_mut().filter(|o| o.order_id == id) {
                    order.outcome = Some(outcome);
                }
            }
            Record::OrderClosed(id) => {
                self.orders.retain(|o| o.order_id != id);
                self.remember(id);
            }
            Record::LoggedOut(id, account) => {
                // A car that is away for months: what counts is that nobody is logged in now.
                if self.logouts.len() >= REMEMBERED {
                    self.logouts.remove(0);
                }
                self.logouts.push((id, account));
            }
            Record::LogoutAcked(id) => self.logouts.retain(|(open, _)| *open != id),
        }
    }

    /// How often the download was begun because the link had come back to stay.
    pub(crate) fn returns(&self, request_id: Id) -> u16 {
        let own = self.link_returns.iter().find(|(id, _)| *id == request_id);
        own.map_or(0, |(_, count)| *count)
    }

    /// The account that a profile belongs to.
    #[must_use]
    pub fn owner(&self, iccid: &Iccid) -> Option<AccountRef> {
        self.owners.get(iccid).copied()
    }

    fn remember(&mut self, id: Id) {
        if self.closed.len() >= REMEMBERED {
            self.closed.remove(0);
        }
        self.closed.push(id);
    }
}
