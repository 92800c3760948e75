//! Who is logged in, and who wants to be.

use crate::bounds::{Cause, MAX_PROFILES};
use crate::event::BootMs;
use aid_id::{AccountRef, Iccid, Id};
use aid_wire::{Aup, LoginWay, UserProfile};

/// Time after the ignition was switched off in which the session goes on, ms, where the car has no other: the driver
/// refuels, or buys a paper.
const PARKED_MS: u64 = 10 * 60 * 1000;

/// Who is logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The account.
    pub account: AccountRef,
    /// What the HMI shows.
    pub aup: Aup,
    /// The whole AID User Profile, once it came; gone with the session (R-2-9).
    pub profile: Option<UserProfile>,
    /// The verifier that let the user in without a connection, until the CMP has acknowledged that.
    pub(crate) verifier: Option<Id>,
    /// Whether a code is requested where the user has no OP here.
    pub(crate) wish: Wish,
    /// Failed requests for a code in a row.
    pub(crate) failures: u16,
    /// Profiles that are not to be enabled again in this session.
    pub(crate) held: heapless::Vec<Iccid, MAX_PROFILES>,
}

impl Session {
    /// The user logged in without a connection, and the CMP has not acknowledged that yet.
    #[must_use]
    pub fn is_offline(&self) -> bool {
        self.verifier.is_some()
    }

    /// The user is to be asked before another OP comes (R-4.5-10).
    #[must_use]
    pub fn asking(&self) -> bool {
        self.wish == Wish::Ask
    }
}

/// Whether a code is requested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wish {
    /// As soon as the user has no OP here.
    Request,
    /// After a while: the last request failed for a passing cause.
    Later { until: BootMs, cause: Cause },
    /// Not in this session: it was refused.
    Refused,
    /// After the user has said so.
    Ask,
}

/// A login that the CMP has not judged yet.
#[derive(Debug)]
pub(crate) struct PendingLogin {
    pub(crate) id: Id,
    pub(crate) way: LoginWay,
    pub(crate) deadline: BootMs,
    /// The CMP's code is shown: its life is known.
    pub(crate) shown: bool,
    /// How it stands without the CMP.
    pub(crate) alone: Alone,
}

/// How a login stands without the CMP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Alone {
    /// The CMP has time until then.
    From(BootMs),
    /// The PIN is being hashed.
    Hashing,
    /// The car can't let the user in; why.
    Refused(Cause),
    /// A login by code needs the CMP.
    Never,
}

/// Who is in the car.
#[derive(Debug, Default)]
pub(crate) struct Driver {
    pub(crate) session: Option<Session>,
    pub(crate) login: Option<PendingLogin>,
    /// Number of the last change of the session.
    pub(crate) number: u64,
    /// Since when the ignition has been off, or the user has been in since.
    pub(crate) parked: Option<BootMs>,
    /// Time in which the session goes on then, ms; `None`: [`PARKED_MS`].
    pub(crate) grace: Option<u64>,
}

impl Driver {
    /// The account of who is logged in.
    pub(crate) fn account(&self) -> Option<AccountRef> {
        self.session.as_ref().map(|s| s.account)
    }

    /// The session, where it is this account's.
    pub(crate) fn session_of(&mut self, account: AccountRef) -> Option<&mut Session> {
        self.session.as_mut().filter(|s| s.account == account)
    }

    /// When the session ends because the car is parked (§4.3 step 12).
    pub(crate) fn parked_until(&self) -> Option<BootMs> {
        let since = self.parked.filter(|_| self.session.is_some())?;
        Some(since.plus(self.grace.unwrap_or(PARKED_MS)))
    }

    /// Something happened to the session. Nothing of it is journaled: the CMP says at each connection from where to
    /// count, and after a restart nobody is logged in.
    pub(crate) fn count(&mut self) {
        self.number = self.number.saturating_add(1);
    }
}
