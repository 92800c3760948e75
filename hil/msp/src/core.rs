//! What the MSP decides, as pure functions: loaded views in, a [`Decision`] out (AID.02 §4, §7).
//!
//! Nothing here reads a clock, a socket, a file or a source of randomness: times (milliseconds since 1970) and new ids
//! are arguments. `store` loads the views, writes the changes in the same transaction, and commits before anyone acts
//! on the outcome.

pub(crate) mod account;
pub(crate) mod call;
mod change;
pub(crate) mod model;
pub(crate) mod onboarding;
pub(crate) mod operator;
pub(crate) mod order;
pub(crate) mod outbox;
pub(crate) mod report;
pub(crate) mod withdrawal;

pub(crate) use change::{Change, Decision, NewId};
