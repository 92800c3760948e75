//! What the fleet has measured so far.

use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    /// From a login to its result.
    Login,
    /// From a login to the profile enabled that it brought: code, download, installation.
    Provisioning,
    /// From a login to the profile enabled that was on the card.
    Enabling,
    /// From a logout to the profile disabled and reported.
    Parking,
    /// From the return of the CMP to the car connected.
    Return,
    /// From the return of the CMP to the withdrawn profile deleted.
    Withdrawal,
}

impl What {
    pub(super) const ALL: [Self; 6] = [
        Self::Login,
        Self::Provisioning,
        Self::Enabling,
        Self::Parking,
        Self::Return,
        Self::Withdrawal,
    ];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Provisioning => "provisioning",
            Self::Enabling => "enabling",
            Self::Parking => "parking",
            Self::Return => "return",
            Self::Withdrawal => "withdrawal",
        }
    }
}

/// Distribution of one kind of measurement, milliseconds.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Spread {
    pub(super) what: &'static str,
    pub(super) count: usize,
    pub(super) p50_ms: f64,
    pub(super) p90_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) max_ms: f64,
}

/// Shared by all cars.
#[derive(Debug, Default)]
pub(super) struct Tally {
    times: Mutex<BTreeMap<What, Vec<Duration>>>,
    errors: Mutex<BTreeMap<String, u64>>,
    pub(super) connected: AtomicU64,
    pub(super) driving: AtomicU64,
    pub(super) journeys: AtomicU64,
    pub(super) installed: AtomicU64,
}

/// Most kinds of errors that are told apart.
const MOST_ERRORS: usize = 100;

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tally {
    pub(super) fn time(&self, what: What, time: Duration) {
        locked(&self.times).entry(what).or_default().push(time);
    }

    pub(super) fn error(&self, text: &str) {
        let mut errors = locked(&self.errors);
        if errors.len() < MOST_ERRORS || errors.contains_key(text) {
            *errors.entry(text.to_owned()).or_default() += 1;
        }
    }

    pub(super) fn errors(&self) -> BTreeMap<String, u64> {
        locked(&self.errors).clone()
    }

    pub(super) fn count(&self, what: What) -> usize {
        locked(&self.times).get(&what).map_or(0, Vec::len)
    }

    pub(super) fn spreads(&self) -> Vec<Spread> {
        let times = locked(&self.times);
        let spread = |what: What| {
            let mut sorted = times.get(&what)?.clone();
            sorted.sort_unstable();
            let at = |part: f64| {
                let n = (sorted.len() as f64 * part).ceil() as usize;
                let time = sorted.get(n.clamp(1, sorted.len()) - 1)?;
                Some((time.as_secs_f64() * 1e6).round() / 1e3)
            };
            Some(Spread {
                what: what.word(),
                count: sorted.len(),
                p50_ms: at(0.5)?,
                p90_ms: at(0.9)?,
                p99_ms: at(0.99)?,
                max_ms: at(1.0)?,
            })
        };
        What::ALL.into_iter().filter_map(spread).collect()
    }

    /// One line about how far the fleet is.
    pub(super) fn line(&self) -> String {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let errors: u64 = locked(&self.errors).values().sum();
        format!(
            "{} connected, {} driving, {} journeys, {} profiles installed, {errors} errors",
            get(&self.connected),
            get(&self.driving),
            get(&self.journeys),
            get(&self.installed)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        let tally = Tally::default();
        assert!(tally.spreads().is_empty());
        for ms in (1..=100).rev() {
            tally.time(What::Login, Duration::from_millis(ms));
        }
        let spread = &tally.spreads()[0];
        assert_eq!((spread.what, spread.count), ("login", 100));
        assert_eq!(
            (spread.p50_ms, spread.p90_ms, spread.p99_ms, spread.max_ms),
            (50.0, 90.0, 99.0, 100.0)
        );
        tally.time(What::Return, Duration::from_millis(3));
        assert_eq!(tally.spreads()[1].p50_ms, 3.0);
    }
}
