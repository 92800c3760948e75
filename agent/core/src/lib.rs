//! The agent's core: events in, effects out, time as an argument; it decides everything, does nothing.
//! AID.02 §4.3 to §4.5, the car's part.
//!
//! ```text
//! loop {
//!     agent.handle(now, event);            // or handle_timeout(now)
//!     while let Some(effect) = agent.poll_effect() { /* carry it out */ }
//!     /* wait until agent.poll_timeout() or the next event */
//! }
//! ```
//! After `Effect::Persist` no effect comes out until `Event::Persisted` said that it is on disk.
//! When that fails the shell says `Event::PersistFailed`, carries out what comes out, and once
//! `Agent::is_secured` writes `Agent::unsaved` as a snapshot, again and again until it is on disk.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod agent;
pub mod bounds;
mod card;
mod decide;
mod drive;
mod driver;
mod durable;
mod event;
mod fault;
mod link;
mod numbering;
mod offline;
mod orders;
mod outbox;
mod proofs;
mod reset;
mod retry;
mod session;
mod settle;
mod waiting;
mod waits;
mod work;

pub use agent::{Agent, Phase};
pub use aid_id::{AccountRef, Iccid, IccidError, Id, Secret};
pub use aid_wire::{
    Aup, CertificateOutcome, CodeOutcome, DELETED_BY_USER, Down, Envelope, FLEET_REVISION,
    LoginOutcome, LoginWay, MAX_MESSAGE, MessageError, OrderKind, OrderOutcome, ProfileState,
    REVISION, Status, SubscriptionView, Up, UserProfile, WIRE_VERSION, announce, announced,
};
pub use driver::Session;
pub use durable::{
    Download, Durable, Intent, Operation, Order, Record, Report, Reset, RestoreError, Verifier,
    read_records,
};
pub use event::{BootMs, CardProfile, Effect, EuiccError, EuiccOp, Event, LoginEnd, Notice, Timer};
pub use orders::CALLED_OFF;
pub use waiting::{Awaited, Waiting};
pub use work::{Doing, Stage, Task};
