//! What pages, reports and metrics ask for beyond the model.

use aid_cmp_core::model::CallKind;
use aid_id::{AccountRef, Eid, Id};

/// Which calls to MSPs an instance takes for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The instance.
    pub who: String,
    /// To this MSP.
    pub msp: String,
    /// Of this kind.
    pub kind: CallKind,
    /// Due at this time, Unix milliseconds.
    pub now: u64,
    /// Until when they are this instance's alone.
    pub until: u64,
    /// At most so many, those that it has claimed before among them.
    pub limit: u32,
}

/// Why a connection of a car may have to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bar {
    /// It does not take part any more.
    Retired,
    /// It was bound to a certificate.
    Bound,
}

/// A user who was erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erased {
    /// What stands in place of the name.
    pub name: String,
    /// The user.
    pub account: AccountRef,
    /// Whether a subscription is left of them.
    pub linked: bool,
}

/// Calls of one MSP and kind that are not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueLane {
    /// The MSP.
    pub msp: String,
    /// The kind.
    pub kind: CallKind,
    /// When the next of them can be claimed, Unix milliseconds: in the past where one can be now.
    pub next: Option<u64>,
}

/// Which entries of the audit trail.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Not older than this, Unix milliseconds.
    pub since: u64,
    /// By this actor only.
    pub actor: Option<String>,
    /// Whose detail has this text, such as an EID, an ICCID or a reference.
    pub about: Option<String>,
}

/// A session of the portal as its user sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// Hash of its cookie.
    pub token_hash: String,
    /// Since when.
    pub created_at: u64,
    /// Until when.
    pub expires_at: u64,
    /// What the browser calls itself.
    pub browser: Option<String>,
}

/// Whether a car is connected, and since when. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    /// The car.
    pub eid: Eid,
    /// Name of the instance that it is or was connected to; none once that instance is gone.
    pub instance: Option<String>,
    /// Begin of the newest connection.
    pub connected_at: u64,
    /// Its newest message that was noted: at most a minute old while messages come.
    pub heard_at: u64,
    /// End of the connection; none: it is connected.
    pub disconnected_at: Option<u64>,
}

impl Presence {
    /// Whether the car is connected.
    #[must_use]
    pub fn is_online(&self) -> bool {
        self.disconnected_at.is_none()
    }
}

/// What an instance stores of a car's connection. Times are Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contact {
    /// The car.
    pub eid: Eid,
    /// Begin of the connection; of a car behind a broker, its first message to this instance.
    pub connected_at: u64,
    /// Whether this is a connection that was not stored before. Otherwise the one that is stored goes on.
    pub is_new: bool,
    /// Its newest message, or the begin of the connection.
    pub heard_at: u64,
    /// End of the connection; none: it lasts.
    pub disconnected_at: Option<u64>,
}

/// A running instance of aid-cmp.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Drawn at its start.
    pub id: Id,
    /// Machine and process, for people.
    pub name: String,
    /// When it started, Unix milliseconds.
    pub started_at: u64,
}

/// Number of open pieces of work, for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Orders without a result.
    pub open_orders: u64,
    /// When the oldest of them was given, Unix milliseconds.
    pub oldest_order: Option<u64>,
    /// Calls to MSPs that are due.
    pub due_calls: u64,
    /// When the oldest of them was made.
    pub oldest_call: Option<u64>,
    /// Calls that were given up.
    pub dead_calls: u64,
    /// Requests for activation codes without a result.
    pub open_requests: u64,
}
