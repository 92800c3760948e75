//! AID2 between car and CMP: postcard messages in an envelope, topics, limits (R-3.2-2 to R-3.2-4).
//! Used by the agent's core and the CMP's gateway; no I/O, no clock, no_std.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod envelope;
mod message;
mod revision;
mod topic;
mod user_profile;

pub use envelope::{Envelope, MAX_MESSAGE, MessageError, WIRE_VERSION};
pub use message::{
    Aup, CodeOutcome, DELETED_BY_USER, Down, LoginOutcome, LoginWay, OrderKind, OrderOutcome,
    ProfileState, Status, Up,
};
pub use revision::{
    ACCOUNT_REVISION, FIRST_REVISION, FLEET_REVISION, REVISION, SESSION_REVISION, announce,
    announced,
};
pub use topic::{Direction, parse_topic, topic_down, topic_up};
pub use user_profile::{MAX_ENTRIES, MAX_TEXT, SubscriptionView, UserProfile};
