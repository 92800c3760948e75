//! How much each pair has in the hub that is not delivered: calls that wait, and dead letters. It is counted in the
//! database now and then, and what is accepted meanwhile is added, so that a pair stays within its room although other
//! instances, deliveries and operators change the number, too.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::core::pair::PairId;

/// Calls, and the bytes of their bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) calls: u64,
    pub(crate) bytes: u64,
}

impl Load {
    fn plus(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_add(other.calls),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

/// The undelivered calls of all pairs.
#[derive(Debug)]
pub(crate) struct Backlog {
    /// Most of a pair.
    most: Load,
    loads: Mutex<Loads>,
}

#[derive(Debug, Default)]
struct Loads {
    counted: BTreeMap<PairId, Load>,
    /// Accepted since the count before the last one began.
    before: BTreeMap<PairId, Load>,
    /// Accepted since the last count began.
    since: BTreeMap<PairId, Load>,
}

impl Backlog {
    /// Nothing is undelivered; a pair may have so much.
    #[must_use]
    pub(crate) fn new(most: Load) -> Self {
        Self {
            most,
            loads: Mutex::default(),
        }
    }

    fn loads(&self) -> std::sync::MutexGuard<'_, Loads> {
        // Numbers are added one by one, so a panic elsewhere does not matter.
        self.loads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a pair may have one more call with a body of this length.
    #[must_use]
    pub(crate) fn has_room(&self, pair: &PairId, length: usize) -> bool {
        let loads = self.loads();
        let of = |map: &BTreeMap<PairId, Load>| map.get(pair).copied().unwrap_or_default();
        let now = of(&loads.counted)
            .plus(of(&loads.before))
            .plus(of(&loads.since));
        now.calls < self.most.calls && now.bytes.saturating_add(length as u64) <= self.most.bytes
    }

    /// One more call was accepted.
    pub(crate) fn add(&self, pair: &PairId, length: usize) {
        let more = Load {
            calls: 1,
            bytes: length as u64,
        };
        let mut loads = self.loads();
        let load = loads.since.entry(pair.clone()).or_default();
        *load = load.plus(more);
    }

    /// A count begins: what is accepted from now on may be missing in it.
    pub(crate) fn count_begins(&self) {
        let mut loads = self.loads();
        let since = std::mem::take(&mut loads.since);
        // A count that failed leaves what came before it.
        for (pair, load) in since {
            let before = loads.before.entry(pair).or_default();
            *before = before.plus(load);
        }
    }

    /// The count has ended with this.
    pub(crate) fn counted(&self, counted: BTreeMap<PairId, Load>) {
        let mut loads = self.loads();
        loads.counted = counted;
        loads.before.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_stays_within_its_room() {
        let backlog = Backlog::new(Load {
            calls: 3,
            bytes: 100,
        });
        let (one, other): (PairId, PairId) = ("m0/c0".parse().unwrap(), "m1/c0".parse().unwrap());
        backlog.add(&one, 40);
        backlog.add(&one, 40);
        assert!(backlog.has_room(&one, 20) && !backlog.has_room(&one, 21));
        backlog.add(&one, 0);
        assert!(!backlog.has_room(&one, 0) && backlog.has_room(&other, 100));
        // What is accepted during a count is missing in it, and stays counted.
        backlog.count_begins();
        backlog.add(&one, 0);
        assert!(!backlog.has_room(&one, 0));
        backlog.counted(BTreeMap::from([(
            one.clone(),
            Load {
                calls: 1,
                bytes: 40,
            },
        )]));
        assert!(backlog.has_room(&one, 60));
        backlog.add(&one, 0);
        assert!(!backlog.has_room(&one, 0));
        // A count that fails forgets nothing.
        backlog.count_begins();
        backlog.count_begins();
        assert!(!backlog.has_room(&one, 0));
        backlog.counted(BTreeMap::new());
        assert!(backlog.has_room(&one, 100));
    }
}
