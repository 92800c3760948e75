//! Who is logged in to a car: the CMP's book of it follows the numbers that the car gives to the states of its session
//! (AID2 rule 1), whatever is lost, repeated or overtaken on the way. Cars of revision 1 give none; their messages count
//! as they come.

use crate::model::{SessionMark, Vehicle};
use aid_id::{AccountRef, Id};

/// Where in a number the count of connections begins, bits.
const CONNECTION_SHIFT: u32 = 32;
/// Highest number: bit 63 is not used.
const LAST: u64 = u64::MAX >> 1;
/// How many connections a car may be ahead of the book, such as after a database was restored from a backup. A number
/// beyond is a mistake of the car, which must not use up the numbers of all connections to come.
const AHEAD: u64 = 1 << 16;

/// The book of one car's session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Book {
    /// Who is logged in, as far as is known.
    pub account: Option<AccountRef>,
    /// What is known of the car's numbers.
    pub mark: SessionMark,
}

impl Book {
    /// That of a car.
    #[must_use]
    pub fn of(vehicle: &Vehicle) -> Self {
        Self {
            account: vehicle.session,
            mark: vehicle.mark,
        }
    }

    /// The car connects and sends this `Hello`: whatever it said before is older than what it says from now on. The same
    /// `Hello` again is the same connection. After the last number it begins anew.
    #[must_use]
    pub fn connected(&self, hello: Id) -> Self {
        if self.mark.number.is_some() && self.mark.hello == Some(hello) {
            return *self;
        }
        let next = ((self.number() >> CONNECTION_SHIFT) + 1) << CONNECTION_SHIFT;
        let number = if next > LAST {
            1 << CONNECTION_SHIFT
        } else {
            next
        };
        Self {
            mark: SessionMark {
                number: Some(number),
                hello: Some(hello),
                ..self.mark
            },
            ..*self
        }
    }

    /// Whether a car that follows this book may give this number to a state.
    #[must_use]
    pub fn allows(&self, number: u64) -> bool {
        let connections =
            (number >> CONNECTION_SHIFT).saturating_sub(self.number() >> CONNECTION_SHIFT);
        number <= LAST && connections <= AHEAD
    }

    /// The highest number that is known; 0: none.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.mark.number.unwrap_or_default()
    }

    /// The car says who is logged in. `None`: an older state, or a number that it may not give; that changes nothing.
    ///
    /// A car can keep or end a session of this book, and return to the one that a login would have replaced which it
    /// gave up. It can't begin one: who was here once may be anywhere now (R-2-10).
    #[must_use]
    pub fn state(&self, number: u64, account: Option<AccountRef>) -> Option<Self> {
        if number <= self.number() || !self.allows(number) {
            return None;
        }
        let known = |a: &AccountRef| [self.account, self.mark.before].contains(&Some(*a));
        Some(Self {
            account: account.filter(known),
            mark: SessionMark {
                number: Some(number),
                before: None,
                ..self.mark
            },
        })
    }

    /// The car says that this user has logged in without a connection, and the CMP lets them in. `None`: an older state,
    /// one that is known, or a number that the car may not give.
    #[must_use]
    pub fn entered_alone(&self, number: u64, account: AccountRef) -> Option<Self> {
        let state = self.state(number, None)?;
        Some(Self {
            account: Some(account),
            ..state
        })
    }

    /// A login was accepted: this account is in. Whom it replaces may be in again, if the car gave the login up.
    #[must_use]
    pub fn entered(&self, account: AccountRef) -> Self {
        Self {
            account: Some(account),
            mark: SessionMark {
                before: self.account,
                ..self.mark
            },
        }
    }
}
