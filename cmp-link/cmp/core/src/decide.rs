//! What the CMP decides: views of the store in, changes and messages out; no I/O, no clock, no store.
//! AID.02 §4 and §7, the CMP's part.

pub mod call;
pub mod car_login;
pub mod certificate;
pub mod code;
pub mod deletion;
pub mod hello;
pub mod login;
pub mod logout;
pub mod offline;
pub mod onboarding;
pub mod order;
pub mod policy;
pub mod profiles;
pub mod question;
pub mod registration;
pub mod removal;
pub mod serving;
pub mod session;
pub mod status;
pub mod sync;
pub mod tries;
pub mod withdraw;

use crate::change::{Change, FleetChange};
use crate::model::{Audit, Call, CallKind, CallState, Federation, Order, OrderState};
use aid_id::{Eid, Id};
use aid_wire::{Down, OrderKind};

pub use policy::Policy;

/// Time, fresh ids and the operator's choices, from outside.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// Unix milliseconds.
    pub now: u64,
    /// An id that was never used. It may be guessed: it need not be random.
    pub fresh: fn() -> Id,
    /// 16 random bytes, for what must not be guessed.
    pub random: fn() -> Id,
    /// What the specification leaves open.
    pub policy: Policy,
}

impl Context {
    /// An entry of the audit trail.
    #[must_use]
    pub fn audit(&self, actor: impl Into<String>, action: &'static str, detail: String) -> Change {
        self.audit_because(actor, action, detail, None)
    }

    /// An entry of the audit trail with the reason that somebody gave.
    #[must_use]
    pub fn audit_because(
        &self,
        actor: impl Into<String>,
        action: &'static str,
        detail: String,
        reason: Option<String>,
    ) -> Change {
        Change::Audit(Audit {
            at: self.now,
            actor: actor.into(),
            action: action.into(),
            detail,
            reason,
        })
    }

    /// A new call to the MSP of a federation, due now.
    #[must_use]
    pub fn call(&self, federation: &Federation, kind: CallKind, lane: String) -> Call {
        Call {
            id: (self.fresh)(),
            msp: federation.msp.clone(),
            lane,
            kind,
            token: federation.token,
            correlation: (self.fresh)(),
            body: String::new(),
            attempts: 0,
            next_at: self.now,
            state: CallState::Due,
            last_error: None,
            created_at: self.now,
            closed_at: None,
        }
    }

    /// A new order to a car.
    #[must_use]
    pub fn order(&self, eid: Eid, kind: OrderKind, reason: &str) -> Order {
        Order {
            id: (self.fresh)(),
            eid,
            kind,
            reason: reason.to_owned(),
            federation: None,
            correlation: (self.fresh)(),
            state: OrderState::Open,
            code: None,
            attempts: 0,
            created_at: self.now,
            sent_at: None,
            closed_at: None,
        }
    }
}

/// A message to a car. A car that is not connected gets it when it comes back, where it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The car.
    pub eid: Eid,
    /// Id of the message.
    pub message_id: Id,
    /// The transaction that it belongs to; none: it is one by itself.
    pub correlation: Option<Id>,
    /// The message.
    pub body: Down,
}

/// What to store, and what to say once it is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// One transaction.
    pub changes: Vec<Change>,
    /// Sent after it.
    pub down: Vec<Outgoing>,
}

impl Decision {
    /// Both, as one.
    pub fn merge(&mut self, other: Self) {
        self.changes.extend(other.changes);
        self.down.extend(other.down);
    }

    /// All of it is one transaction: its orders, calls and messages carry this id (R-5.1-2).
    pub fn belongs_to(&mut self, correlation: Id) {
        for change in &mut self.changes {
            match change {
                Change::AddOrder(order) => order.correlation = correlation,
                Change::AddCall(call) => call.correlation = correlation,
                _ => {}
            }
        }
        for message in &mut self.down {
            message.correlation = Some(correlation);
        }
    }

    /// Leaves sessions in cars as they are.
    pub fn keep_session(&mut self) {
        let begins = |c: &Change| matches!(c, Change::Fleet(FleetChange::Session(..)));
        self.changes.retain(|change| !begins(change));
    }

    /// Adds an order and its message.
    pub fn order(&mut self, order: Order) {
        self.down.push(order::message(&order));
        self.changes.push(Change::AddOrder(order));
    }
}
