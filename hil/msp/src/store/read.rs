//! The reads of each table.

mod account;
mod call;
mod desk;
mod onboarding;
mod order;
pub(super) mod outbox;
mod profile;
