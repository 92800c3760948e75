//! What a decision wants stored, and what it answers once that is on disk.

use super::{Euicc, Notice, Offered, OfferedOrder, Order, Progress, Refusal, Stock};
use crate::template::Made;
use aid_rsp::es10::TransactionId;

/// One change of the books. `store` writes each of them; one that it does not know does not compile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A profile that the inventory has for the first time.
    Profile(Box<Order>, Stock),
    /// A profile that was made from a template: it can be ordered, and is stored with its package.
    Made(Box<Made>, u64),
    /// The inventory has this package as the first of its ICCID, or no package of it any more: the profile can be
    /// ordered or not. Since when, unix seconds.
    InInventory(Stock, bool, u64),
    /// All packages of the inventory whose ICCID an earlier one has too.
    Further(Vec<Stock>),
    /// An order as it is from now on.
    Order(Box<Order>),
    /// This eUICC gets a BPP: its installation result is verified with this.
    Binding {
        /// The session that gives it out.
        transaction_id: TransactionId,
        /// The profile.
        iccid: String,
        /// The card.
        euicc: Euicc,
        /// Unix seconds.
        created_at: u64,
    },
    /// A session whose card was offered this order; last used at, unix seconds.
    Session(Box<Offered>, OfferedOrder, u64),
    /// What the operator of an order is told.
    Progress(Box<Progress>),
    /// A session that is over.
    SessionOver(TransactionId),
    /// A notification that verified.
    Notification {
        /// What it says.
        notice: Notice,
        /// As it came, with the card's signature.
        der: Vec<u8>,
        /// Unix seconds.
        received_at: u64,
    },
}

/// A decision: what to store, and the answer to give when it is stored. A refusal may have changes, too: a wrong
/// Confirmation Code counts.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Decided<T> {
    /// All of them are stored, or none.
    pub changes: Vec<Change>,
    /// The answer.
    pub result: Result<T, Refusal>,
}

impl<T> Decided<T> {
    /// Changes nothing.
    pub const fn unchanged(result: Result<T, Refusal>) -> Self {
        Self {
            changes: Vec::new(),
            result,
        }
    }

    /// Lets a decision change an order. Nothing is stored where it stays as it was.
    pub fn about(mut order: Order, decide: impl FnOnce(&mut Order) -> Result<T, Refusal>) -> Self {
        let before = order.clone();
        let result = decide(&mut order);
        let changes = match order == before {
            true => Vec::new(),
            false => vec![Change::Order(Box::new(order))],
        };
        Self { changes, result }
    }
}
