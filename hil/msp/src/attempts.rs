//! Attempts at passwords of customers and members, in memory: each is charged before the password is judged, and a success clears the
//! charges. So never more than the limit are judged, however many come at once.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Attempts at one name in a window.
pub(crate) const MAX_ATTEMPTS: u32 = 10;
/// Length of a window, which begins with its first attempt.
pub(crate) const WINDOW: Duration = Duration::from_millis(WINDOW_MS.unsigned_abs());
/// The same, ms.
const WINDOW_MS: i64 = 5 * 60 * 1000;

/// Number of a counter. Names share 65,536 counters by a keyed hash, so that memory is bounded and every name is counted,
/// however many others were tried. The key is secret: nobody can choose a name that shares a counter with another. A flood
/// of names locks no others out, because too few passwords are hashed in a window to fill counters at random.
type Slot = u16;

/// Attempts that were charged.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    key: RandomState,
    /// Number of attempts, and when the first was.
    charged: Mutex<BTreeMap<Slot, (u32, i64)>>,
}

impl Attempts {
    fn with<T>(&self, user: &str, f: impl FnOnce(&mut BTreeMap<Slot, (u32, i64)>, Slot) -> T) -> T {
        let [a, b, ..] = self.key.hash_one(user).to_be_bytes();
        // Nothing is left half done in there, so a panic elsewhere does not matter.
        let mut charged = self.charged.lock().unwrap_or_else(PoisonError::into_inner);
        f(&mut charged, Slot::from_be_bytes([a, b]))
    }

    /// Whether an attempt at this name would be charged at `now`, ms.
    pub(crate) fn is_open(&self, user: &str, now: i64) -> bool {
        self.with(user, |charged, slot| {
            charged
                .get(&slot)
                .is_none_or(|(count, first)| *count < MAX_ATTEMPTS || is_over(*first, now))
        })
    }

    /// Charges an attempt at this name, whether or not anybody has it; yields the number of attempts in its window,
    /// including this one. `None`: the limit is reached, and the password must not be judged.
    pub(crate) fn charge(&self, user: &str, now: i64) -> Option<u32> {
        self.with(user, |charged, slot| {
            let (count, first) = charged.entry(slot).or_insert((0, now));
            if is_over(*first, now) {
                (*count, *first) = (0, now);
            }
            if *count >= MAX_ATTEMPTS {
                return None;
            }
            *count += 1;
            Some(*count)
        })
    }

    /// Clears what was charged for this name, because its password was given.
    pub(crate) fn refund(&self, user: &str) {
        self.with(user, |charged, slot| charged.remove(&slot));
    }
}

/// Also where the clock was put back: a window is never longer than it should be.
fn is_over(first: i64, now: i64) -> bool {
    !(0..WINDOW_MS).contains(&now.saturating_sub(first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn only_so_many_are_judged_however_many_come_at_once() {
        let attempts = Arc::new(Attempts::default());
        let guess = || {
            let attempts = Arc::clone(&attempts);
            std::thread::spawn(move || {
                (0..20)
                    .filter(|_| attempts.charge("u", 7).is_some())
                    .count()
            })
        };
        let threads: Vec<_> = (0..8).map(|_| guess()).collect();
        let judged: usize = threads.into_iter().map(|t| t.join().unwrap()).sum();
        assert_eq!(judged, MAX_ATTEMPTS as usize);
        assert!(!attempts.is_open("u", 8) && attempts.charge("u", 8).is_none());
        assert!(attempts.is_open("v", 8) && attempts.charge("v", 8) == Some(1));
        assert_eq!(attempts.charge("u", 7 + WINDOW_MS), Some(1));
        attempts.refund("u");
        assert_eq!(attempts.charge("u", 7 + WINDOW_MS), Some(1));
        // The clock went back.
        assert_eq!(attempts.charge("u", 0), Some(1));
    }

    // However many names were tried, and however long they are.
    #[test]
    fn every_name_is_counted_and_memory_is_bounded() {
        let attempts = Attempts::default();
        for n in 0..200_000 {
            let _ = attempts.charge(&format!("user {n}"), 0);
        }
        assert!(attempts.charged.lock().unwrap().len() <= usize::from(Slot::MAX) + 1);
        for user in ["late", &"long".repeat(200)] {
            let judged = (0..100)
                .filter(|_| attempts.charge(user, 1).is_some())
                .count();
            assert!(judged <= MAX_ATTEMPTS as usize, "{judged}");
            assert!(!attempts.is_open(user, 1));
        }
    }
}
