//! Limits of PIN attempts in cars (R-2-10). They are counted by the name that was typed, whether or not anybody has it, so
//! that neither an answer nor its time tells which names exist.
//!
//! An attempt counts for the car and the name, for a short and for a long time; so one car locks a user out of itself and
//! of no other car. It counts for the name in all cars as well: whoever has many cars gets a hundred guesses a day, and
//! where that limit is reached only cars know the user that they knew before. And it counts for the car, which bounds what
//! a car can write into the database.

use crate::change::Change;
use crate::model::Attempts;
use aid_id::{Eid, Id};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

const MINUTE_MS: u64 = 60 * 1000;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;

/// Attempts that are allowed in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// How many.
    pub most: u32,
    /// Length of the window, which begins with its first attempt; milliseconds.
    pub window: u64,
}

/// One secret, or one user in one car, for a short time.
pub const SHORT: Limit = Limit {
    most: 5,
    window: 15 * MINUTE_MS,
};
/// One user in one car, for a long time.
pub const LONG: Limit = Limit {
    most: 20,
    window: DAY_MS,
};
/// One user in all cars in which they have not been before.
pub const EVERYWHERE: Limit = Limit {
    most: 100,
    window: DAY_MS,
};
/// All users in one car.
pub const CAR: Limit = Limit {
    most: 30,
    window: 15 * MINUTE_MS,
};

impl Limit {
    /// Whether attempts count at `now`: their window has not ended, and it did not begin under a clock that was wrong by
    /// more than a window.
    fn counts(self, attempts: &Attempts, now: u64) -> bool {
        attempts.since.abs_diff(now) < self.window
    }

    /// Whether the limit is reached at `now`; the minutes to wait, at most those of a window.
    #[must_use]
    pub fn locked(self, attempts: Option<&Attempts>, now: u64) -> Option<u64> {
        let attempts = attempts.filter(|a| a.count >= self.most && self.counts(a, now))?;
        let end = attempts.since.min(now).saturating_add(self.window);
        Some(end.saturating_sub(now).div_ceil(MINUTE_MS))
    }

    /// One more failed attempt.
    #[must_use]
    pub fn counted(self, attempts: Option<&Attempts>, last: Option<Id>, now: u64) -> Attempts {
        match attempts {
            Some(a) if self.counts(a, now) => Attempts {
                count: a.count.saturating_add(1),
                since: a.since.min(now),
                last,
            },
            _ => Attempts {
                count: 1,
                since: now,
                last,
            },
        }
    }
}

/// What all keys of a name's attempts in the store begin with. The name is not readable in it: what users type by mistake,
/// such as a PIN, is not stored.
#[must_use]
pub fn prefix(key: &[u8; 32], name: &str) -> String {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return String::new();
    };
    mac.update(b"name\0");
    mac.update(name.as_bytes());
    let tag: String = hex::encode(mac.finalize().into_bytes());
    format!("pin:{}:", tag.get(..32).unwrap_or(&tag))
}

/// Key of the attempts of a name in all cars, by its [`prefix`]. Whoever changes any attempts of the name locks it first.
#[must_use]
pub fn everywhere(prefix: &str) -> String {
    format!("{prefix}all")
}

/// Keys of the attempts in the store, in the order of [`Tries`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys(pub [String; 4]);

impl Keys {
    /// Of a name, by its [`prefix`], in a car.
    #[must_use]
    pub fn new(prefix: &str, eid: Eid) -> Self {
        Self([
            format!("{prefix}{eid}"),
            format!("{prefix}{eid}:day"),
            everywhere(prefix),
            format!("pins-of:{eid}"),
        ])
    }

    /// The keys in the order in which they are locked: the name first, the car last.
    pub fn in_lock_order(&self) -> impl Iterator<Item = &String> {
        let [short, long, everywhere, car] = &self.0;
        [everywhere, short, long, car].into_iter()
    }
}

/// Failed attempts that the store knows: of the name in this car for a short and a long time, of the name in all cars, of
/// the car.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tries(pub [Option<Attempts>; 4]);

const LIMITS: [Limit; 4] = [SHORT, LONG, EVERYWHERE, CAR];

impl Tries {
    /// The login that was counted last in this car under this name.
    #[must_use]
    pub fn last(&self) -> Option<Id> {
        self.0[0].as_ref().and_then(|a| a.last)
    }

    /// Whether a limit is reached at `now`; the minutes to wait. `known_here`: the user was in this car before.
    #[must_use]
    pub fn locked(&self, known_here: bool, now: u64) -> Option<u64> {
        let all = self.0.iter().zip(LIMITS);
        let judged = all.filter(|(_, limit)| *limit != EVERYWHERE || !known_here);
        judged
            .filter_map(|(attempts, limit)| limit.locked(attempts.as_ref(), now))
            .max()
    }

    /// One more failed attempt.
    #[must_use]
    pub fn failed(&self, keys: &Keys, login_id: Id, now: u64) -> Vec<Change> {
        let all = self.0.iter().zip(LIMITS).zip(&keys.0);
        all.map(|((attempts, limit), key)| {
            let counted = limit.counted(attempts.as_ref(), Some(login_id), now);
            Change::SetAttempts(key.clone(), Some(counted))
        })
        .collect()
    }

    /// The right PIN was given: what was counted of this name in this car goes. What was counted in all cars stays, so that
    /// a user who logs in gives no new guesses to somebody else.
    #[must_use]
    pub fn cleared(&self, keys: &Keys) -> Vec<Change> {
        let here = self.0.iter().zip(&keys.0).take(2);
        here.filter(|(attempts, _)| attempts.is_some())
            .map(|(_, key)| Change::SetAttempts(key.clone(), None))
            .collect()
    }
}
