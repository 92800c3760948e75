//! What a pair may claim of the hub at once: calls per second, calls under way towards each side, and the memory of
//! which tokens are its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aid_serve::limit::{Limiter, Rate};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::core::party::Role;
use crate::core::token::TokenKey;

/// How long a caller should wait that has too many calls under way.
const CROWDED: Duration = Duration::from_secs(1);

/// The entrance of a pair.
#[derive(Debug)]
pub(crate) struct Gate {
    rate: Rate,
    limiter: Arc<Limiter<()>>,
    to_msp: Arc<Semaphore>,
    to_cmp: Arc<Semaphore>,
    /// Its tokens that were used of late.
    pub(crate) tokens: RecentTokens,
}

/// A call's place among those that are under way; free again once it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
}

impl Gate {
    /// The gate of a pair with this rate and so many calls under way towards each side. Calls that are under way by
    /// `before` stay counted, and a rate that is the same goes on with the tokens that it has. Which tokens are the pair's
    /// is looked up anew: the pair may have been removed meanwhile.
    #[must_use]
    pub(crate) fn new(rate: Rate, at_once: usize, before: Option<&Self>) -> Self {
        let limiter = before.filter(|before| before.rate == rate);
        let places = |of: fn(&Self) -> &Arc<Semaphore>| match before {
            Some(before) => Arc::clone(of(before)),
            None => Arc::new(Semaphore::new(at_once)),
        };
        Self {
            rate,
            limiter: limiter.map_or_else(
                || Arc::new(Limiter::new(rate)),
                |before| Arc::clone(&before.limiter),
            ),
            to_msp: places(|gate| &gate.to_msp),
            to_cmp: places(|gate| &gate.to_cmp),
            tokens: RecentTokens::default(),
        }
    }

    /// Lets a call of this side in.
    ///
    /// # Errors
    /// The pair calls too often, or a target answers so slowly that too many of its calls are under way: how long to wait.
    pub(crate) fn enter(&self, caller: Role, now: Instant) -> Result<Place, Duration> {
        self.limiter.take(&(), now)?;
        let places = match caller {
            Role::Msp => &self.to_cmp,
            Role::Cmp => &self.to_msp,
        };
        let permit = Arc::clone(places).try_acquire_owned();
        let permit = permit.map_err(|_| CROWDED)?;
        Ok(Place { _permit: permit })
    }
}

/// How long a token counts as known. A token goes at the earliest a day after its onboarding has ended
/// (`retention.ended_tokens_days`), and only those are noted whose onboarding has not: no entry outlives its token,
/// whichever instance removes it. The removal of a pair makes another gate.
const KNOWN: Duration = Duration::from_secs(600);
/// Tokens of a generation; two are kept.
const GENERATION: usize = 4096;

/// Tokens of a pair that were found in the database of late, so that the calls of one procedure cost one lookup.
#[derive(Debug, Default)]
pub(crate) struct RecentTokens(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: BTreeMap<TokenKey, Instant>,
    old: BTreeMap<TokenKey, Instant>,
}

impl RecentTokens {
    /// Whether a token is known to be one of the pair. False says nothing.
    #[must_use]
    pub(crate) fn has(&self, key: TokenKey, now: Instant) -> bool {
        // Entries are written whole, so a panic elsewhere does not matter.
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = all.young.get(&key).or_else(|| all.old.get(&key));
        found.is_some_and(|at| now.saturating_duration_since(*at) < KNOWN)
    }

    /// Notes a token whose onboarding has not ended.
    pub(crate) fn note(&self, key: TokenKey, now: Instant) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.young.len() >= GENERATION {
            all.old = std::mem::take(&mut all.young);
        }
        all.young.insert(key, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFTEN: Rate = Rate::new(1000.0, 1000);

    // A target that answers slowly holds up its pair's calls towards it, and nothing else.
    #[test]
    fn calls_under_way_are_bounded_for_each_side() {
        let now = Instant::now();
        let gate = Gate::new(OFTEN, 2, None);
        let held = [(); 2].map(|()| gate.enter(Role::Cmp, now).unwrap());
        assert_eq!(gate.enter(Role::Cmp, now).unwrap_err(), CROWDED);
        assert!(gate.enter(Role::Msp, now).is_ok());
        // Parties that are read again forget none of them.
        let next = Gate::new(OFTEN, 2, Some(&gate));
        assert!(next.enter(Role::Cmp, now).is_err());
        drop(held);
        assert!(next.enter(Role::Cmp, now).is_ok());
    }

    #[test]
    fn a_rate_that_is_the_same_goes_on_with_its_tokens() {
        let now = Instant::now();
        let gate = Gate::new(Rate::new(0.1, 1), 9, None);
        assert!(gate.enter(Role::Cmp, now).is_ok());
        let same = Gate::new(Rate::new(0.1, 1), 9, Some(&gate));
        assert!(same.enter(Role::Cmp, now).is_err());
        let other = Gate::new(Rate::new(0.2, 1), 9, Some(&gate));
        assert!(other.enter(Role::Cmp, now).is_ok());
    }

    // R-5.3-2: what is remembered of tokens is bounded in number and time, and forgotten where pairs have changed.
    #[test]
    fn tokens_are_known_for_a_while() {
        let now = Instant::now();
        let gate = Gate::new(OFTEN, 1, None);
        let key = |n: usize| {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&n.to_be_bytes());
            TokenKey(bytes)
        };
        for n in 0..GENERATION * 3 {
            gate.tokens.note(key(n), now);
        }
        let last = key(GENERATION * 3 - 1);
        assert!(gate.tokens.has(last, now) && !gate.tokens.has(key(0), now));
        let all = gate.tokens.0.lock().unwrap();
        assert!(all.young.len() + all.old.len() <= GENERATION * 2);
        drop(all);
        assert!(!gate.tokens.has(last, now + KNOWN));
        let next = Gate::new(OFTEN, 1, Some(&gate));
        assert!(!next.tokens.has(last, now));
    }
}
