//! The factory reset, by an order of the CMP or at the car: users, profiles, codes, the journal and the keys go, in this
//! order, and the CMP has the result before the keys are gone (docs/wire/aid2.md, rule 14).
//!
//! Profiles are deleted as by `DeleteAll` while its order is open. Once the CMP has the outcome, and all reports and
//! notifications have left the car, the state is wiped and the shell erases the rest. Each step is in the journal before it
//! is made, so that a car that loses power goes on with it.

use crate::agent::Agent;
use crate::bounds::MAX_ORDERS;
use crate::durable::{Record, Reset};
use crate::event::{BootMs, Effect, LoginEnd, Notice};
use crate::link::Peer;
use crate::waits::{Erasure, Waits};
use aid_id::Id;
use aid_wire::{FLEET_REVISION, OrderKind, OrderOutcome, Up};
use alloc::string::String;

/// Pause before an erasure that failed is tried again, ms.
const AGAIN_MS: u64 = 60_000;

/// Said to who wants to log in.
pub(crate) const NO_LOGIN: &str =
    "this car is being reset to its factory state, or was: nobody can log in";

impl Agent {
    /// Whether the car is being reset to its factory state, or was.
    #[must_use]
    pub fn is_resetting(&self) -> bool {
        self.durable().is_resetting()
    }

    /// Whoever holds the car has it wiped.
    pub(crate) fn reset_here(&mut self, now: BootMs, reset_id: Id) {
        if self.is_resetting() || self.durable().orders().len() >= MAX_ORDERS {
            return;
        }
        self.record(Record::OrderAccepted(reset_id, OrderKind::FactoryReset));
        self.record(Record::OwnReset(reset_id));
        self.begin_reset(now);
    }

    /// A factory reset was accepted: nobody stays in, and the card is looked at before anything is believed of it.
    pub(crate) fn begin_reset(&mut self, now: BootMs) {
        self.refuse_login(LoginEnd::Reset, NO_LOGIN);
        self.log_out(now);
        self.card.undeletable.clear();
        self.card.profiles = None;
        self.forget_hashes();
    }

    /// The message about the outcome of an order; none while it can't be sent to this CMP.
    pub(crate) fn result_message(&self, order_id: Id, outcome: OrderOutcome) -> Option<Up> {
        if !self.durable().is_own_reset(order_id) {
            return Some(Up::OrderResult { order_id, outcome });
        }
        self.knows_fleet().then_some(Up::FactoryReset {
            reset_id: order_id,
            outcome,
        })
    }

    /// Whether the CMP understands revision 4.
    fn knows_fleet(&self) -> bool {
        matches!(self.peer(), Some(Peer::Numbered { revision, .. }) if *revision >= FLEET_REVISION)
    }

    /// Goes on with a factory reset; true while nothing else is to be done.
    pub(crate) fn go_on_with_reset(&mut self, now: BootMs) -> bool {
        self.close_unknown_reset();
        match self.durable().reset() {
            None => return false,
            // Whatever else is in the card stays disabled.
            Some(Reset::Done) => return false,
            Some(Reset::Closing) if !self.is_cleared() => return false,
            Some(Reset::Closing) => {
                self.record(Record::Wiped);
                self.waits = Waits::default();
                self.card.set_aside.clear();
                self.card.undeletable.clear();
            }
            Some(Reset::Erasing) => {}
        }
        let due = match self.erasure {
            Erasure::Idle => true,
            Erasure::Again(at) => at <= now,
            Erasure::Running => false,
        };
        if due && let Some(state) = self.ledger.encoded() {
            self.erasure = Erasure::Running;
            self.ledger.demand(Effect::Erase { state });
        }
        true
    }

    /// A CMP that knows no factory resets at the car has its reports, and can't have more.
    fn close_unknown_reset(&mut self) {
        let known = matches!(self.peer(), Some(Peer::Numbered { .. } | Peer::Unnumbered));
        if known && !self.knows_fleet() {
            let mut orders = self.durable().orders().iter();
            let own =
                orders.find(|o| o.outcome.is_some() && self.durable().is_own_reset(o.order_id));
            if let Some(order_id) = own.map(|o| o.order_id) {
                self.record(Record::OrderClosed(order_id));
            }
        }
    }

    /// Whether the last reports and notifications have left the car, and the card is empty, as read after all that.
    fn is_cleared(&self) -> bool {
        let durable = self.durable();
        let left = !durable.outbox().is_empty()
            || !durable.logouts().is_empty()
            || !durable.orders().is_empty()
            || durable.intent().is_some()
            || self.waits.notifications.due
            || self.card.running.is_some();
        if left {
            return false;
        }
        // What somebody else put there meanwhile is deleted first.
        let profiles = self.card.profiles.as_ref();
        profiles.is_some_and(|p| p.as_slice().is_empty())
    }

    /// The shell has erased what is left, or could not.
    pub(crate) fn erased(&mut self, now: BootMs, result: Result<(), String>) {
        if self.durable().reset() != Some(Reset::Erasing) {
            return;
        }
        match result {
            Ok(()) => {
                self.erasure = Erasure::Idle;
                self.record(Record::Erased);
                self.notify(Notice::FactoryReset);
            }
            Err(text) => {
                self.erasure = Erasure::Again(now.plus(AGAIN_MS));
                self.error(&text);
            }
        }
    }

    /// When an erasure that failed is tried again.
    pub(crate) fn reset_timeout(&self) -> Option<BootMs> {
        match self.erasure {
            Erasure::Again(at) => Some(at),
            Erasure::Idle | Erasure::Running => None,
        }
    }

    /// The car has keys again.
    pub(crate) fn set_up(&mut self) {
        if self.durable().reset() == Some(Reset::Done) {
            self.record(Record::SetUp);
        }
    }
}
