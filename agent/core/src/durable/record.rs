//! The records that the journal holds, and what they are made of (docs/journal/format.md).

use super::Verifier;
use crate::bounds::MAX_PROFILES;
use aid_id::{AccountRef, Iccid, Id, Secret};
use aid_wire::{OrderKind, OrderOutcome, Status};
use alloc::{boxed::Box, vec::Vec};
use serde::{Deserialize, Serialize};

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
    /// What is about to be done to the card.
    pub operation: Operation,
    /// On which profile.
    pub iccid: Iccid,
    /// Times it was begun, this one included.
    pub attempts: u16,
}

/// A download that is to be done or under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredDownload")]
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
    pub before: heapless::Vec<Iccid, MAX_PROFILES>,
    /// Times it was begun in a row; fewer count after the link came back.
    pub attempts: u16,
}

/// As [`Download`], of any length: agents without bounds wrote it, too.
#[derive(Deserialize)]
struct StoredDownload {
    request_id: Id,
    account: AccountRef,
    code: Secret,
    iccid: Option<Iccid>,
    before: Vec<Iccid>,
    attempts: u16,
}

impl From<StoredDownload> for Download {
    fn from(stored: StoredDownload) -> Self {
        Self {
            request_id: stored.request_id,
            account: stored.account,
            code: stored.code,
            iccid: stored.iccid,
            before: stored.before.into_iter().take(MAX_PROFILES).collect(),
            attempts: stored.attempts,
        }
    }
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

/// The records of one write of the journal.
///
/// # Errors
/// This version can't read them.
pub fn read_records(bytes: &[u8]) -> Result<Vec<Record>, postcard::Error> {
    postcard::from_bytes(bytes)
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
    Download(Box<Download>),
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
    /// The CMP lets this user in without a connection; replaces what was kept of the account.
    Verifier(Box<Verifier>),
    /// A PIN is about to be compared with the verifier of the account, at this time, Unix seconds.
    VerifierTried(AccountRef, u64),
    /// It fitted.
    VerifierFitted(AccountRef),
    /// The verifier of the account is void.
    VerifierDropped(AccountRef),
    /// It was at least as late as this, Unix seconds.
    Clock(u64),
    /// The open order of this id is a factory reset that was begun at the car.
    OwnReset(Id),
    /// Everything but the fact that the car is being reset is forgotten.
    Wiped,
    /// The journal was rewritten, and the keys are gone.
    Erased,
    /// The car has keys again.
    SetUp,
}

/// How far a factory reset is, once everything is deleted and the CMP has the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reset {
    /// The last reports and notifications leave the car.
    Closing,
    /// The journal is rewritten, then the keys are removed.
    Erasing,
    /// Nothing is left. The car waits to be set up.
    Done,
}
