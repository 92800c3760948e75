//! What cars must do and MSPs must be told, with state and history, and what MSPs were answered. Read by `decide`,
//! stored by `store`; times are Unix milliseconds.

use aid_id::{Eid, Iccid, Id, MspToken};
use aid_wire::{OrderKind, OrderOutcome};

text_enum! {
    /// How far an order is.
    OrderState {
        /// To be executed.
        Open = "open",
        /// Executed.
        Done = "done",
        /// There was nothing to do.
        NotFound = "not_found",
        /// Can't be done.
        Failed = "failed",
        /// Closed without a result, by an operator or because the unit is gone (R-4.3.1-18).
        Closed = "closed",
    }
}

impl From<OrderOutcome> for OrderState {
    fn from(outcome: OrderOutcome) -> Self {
        match outcome {
            OrderOutcome::Done => Self::Done,
            OrderOutcome::NotFound => Self::NotFound,
            OrderOutcome::Failed { .. } => Self::Failed,
        }
    }
}

/// Something that a car has to do; kept and sent again until its result came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Names it.
    pub id: Id,
    /// The car.
    pub eid: Eid,
    /// What the car has to do.
    pub kind: OrderKind,
    /// Why, for support.
    pub reason: String,
    /// The onboarding that it belongs to, where there is one.
    pub federation: Option<Id>,
    /// The transaction that it belongs to: the `correlation-id` of the call that wanted it.
    pub correlation: Id,
    /// How far it is.
    pub state: OrderState,
    /// The card's or the agent's code of a failure.
    pub code: Option<u16>,
    /// How often it was sent.
    pub attempts: u32,
    /// When it was given.
    pub created_at: u64,
    /// When it was last sent.
    pub sent_at: Option<u64>,
    /// When its result came.
    pub closed_at: Option<u64>,
}

impl Order {
    /// The order, of a federation's.
    #[must_use]
    pub fn of(mut self, federation: Id) -> Self {
        self.federation = Some(federation);
        self
    }

    /// The profile that it is about.
    #[must_use]
    pub fn iccid(&self) -> Option<&Iccid> {
        match &self.kind {
            OrderKind::Delete { iccid }
            | OrderKind::DeleteOf { iccid, .. }
            | OrderKind::Disable { iccid } => Some(iccid),
            OrderKind::Logout { .. }
            | OrderKind::DeleteAll
            | OrderKind::Erase { .. }
            | OrderKind::FactoryReset => None,
        }
    }

    /// Whether it will delete this profile.
    #[must_use]
    pub fn deletes(&self, profile: &Iccid) -> bool {
        self.state == OrderState::Open
            && matches!(&self.kind, OrderKind::Delete { iccid } | OrderKind::DeleteOf { iccid, .. } if iccid == profile)
    }
}

/// Something that happened to an order or to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    /// The order or call.
    pub work: Id,
    /// Time, milliseconds since 1970.
    pub at: u64,
    /// What: `given`, `sent`, `failed`, `closed` and so on.
    pub event: String,
    /// More, for support.
    pub detail: String,
}

text_enum! {
    /// Kind of a call to an MSP.
    CallKind {
        /// Request Activation Code (§7.7).
        Code = "activation-code-request",
        /// Send CSIM Status (§7.8).
        Status = "status",
        /// Request Invalidate MSP Token (§7.9).
        Invalidate = "invalidate",
        /// Request Profile Status (§7.10).
        Query = "profile-status",
    }
}

text_enum! {
    /// How far a call is.
    CallState {
        /// To be made.
        Due = "due",
        /// Given up; an operator decides.
        Dead = "dead",
        /// Answered.
        Done = "done",
        /// Closed without an answer: overtaken by something else, or by an operator.
        Dropped = "dropped",
    }
}

/// A call to an MSP that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// `CMP-request-id`, the same at each try; of a `Code` call the id of the request.
    pub id: Id,
    /// The MSP's configured name.
    pub msp: String,
    /// Calls of one lane keep their order.
    pub lane: String,
    /// Which call.
    pub kind: CallKind,
    /// For whom.
    pub token: MspToken,
    /// `correlation-id`.
    pub correlation: Id,
    /// JSON body, empty where the call has none.
    pub body: String,
    /// Tries so far.
    pub attempts: u32,
    /// When to try.
    pub next_at: u64,
    /// How far it is.
    pub state: CallState,
    /// What the last try said.
    pub last_error: Option<String>,
    /// When it was made.
    pub created_at: u64,
    /// When it was answered or dropped.
    pub closed_at: Option<u64>,
}

/// The first answer to a call of AID1, given again to its repetition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// `client-id`.
    pub client: String,
    /// `CMP-request-id`.
    pub request_id: Id,
    /// SHA-256 of operation and body, hexadecimal.
    pub digest: String,
    /// HTTP status.
    pub status: u16,
    /// Body, empty where there is none.
    pub body: String,
    /// Time, milliseconds since 1970.
    pub at: u64,
}
