//! PINs on their way to a verifier or to be compared with one, and the clock that verifiers are judged by.

use crate::durable::Verifier;
use crate::event::BootMs;
use aid_id::{AccountRef, Id, Secret};
use alloc::{boxed::Box, string::String};

/// What is known of logins without a connection, beside the verifiers.
#[derive(Debug, Default)]
pub(crate) struct Offline {
    /// This car lets nobody in without a connection.
    pub(crate) is_off: bool,
    /// What the wall clock last said, Unix seconds, and when.
    pub(crate) clock: Option<(BootMs, u64)>,
    /// When this life began.
    pub(crate) begun: Option<BootMs>,
    /// The last wrong PIN of this life.
    pub(crate) wrong: Option<BootMs>,
    /// The hash that is being computed.
    pub(crate) hashing: Option<Hashing>,
    /// Number of the last hash.
    pub(crate) last_op: u64,
    /// The PIN that the CMP has accepted last, until its verifier comes.
    pub(crate) proven: Option<Proven>,
}

/// A hash that is being computed.
#[derive(Debug)]
pub(crate) struct Hashing {
    pub(crate) op: u64,
    pub(crate) of: Purpose,
}

/// What it is computed for.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// To be compared with the verifier of the account.
    Try(Id, AccountRef),
    /// To become a verifier.
    Grant(Box<Verifier>),
}

/// A PIN that the CMP has accepted.
#[derive(Debug)]
pub(crate) struct Proven {
    pub(crate) account: AccountRef,
    pub(crate) user: String,
    pub(crate) pin: Secret,
    pub(crate) until: BootMs,
}
