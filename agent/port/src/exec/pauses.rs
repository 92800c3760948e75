//! How soon a helper that ended is started again: at once the first time, then after pauses that double.

use std::time::Duration;

/// The pause after the second failure in a row.
const FIRST: Duration = Duration::from_secs(1);
/// The longest pause.
const LAST: Duration = Duration::from_secs(60);

/// Failures in a row. Time is counted from an origin of the caller's.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    failures: u32,
    not_before: Duration,
}

impl Pauses {
    /// It ended, or could not be started.
    pub(super) fn failed(&mut self, now: Duration) {
        let pause = match self.failures {
            0 => Duration::ZERO,
            n => (FIRST * 2u32.saturating_pow(n - 1)).min(LAST),
        };
        self.failures = (self.failures + 1).min(16);
        self.not_before = now + pause;
    }

    /// It has answered a command.
    pub(super) const fn worked(&mut self) {
        self.failures = 0;
    }

    /// Time that is left before it may be started.
    pub(super) fn left(&self, now: Duration) -> Option<Duration> {
        self.not_before.checked_sub(now).filter(|d| !d.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_minute_and_begin_anew_after_an_answer() {
        let (mut pauses, now) = (Pauses::default(), Duration::from_secs(100));
        assert_eq!(pauses.left(now), None);
        let mut seen = Vec::new();
        for _ in 0..9 {
            pauses.failed(now);
            seen.push(pauses.left(now).map_or(0, |d| d.as_secs()));
        }
        assert_eq!(seen, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
        for _ in 0..1000 {
            pauses.failed(now);
        }
        assert_eq!(pauses.left(now + LAST), None);
        assert_eq!(pauses.left(now), Some(LAST));
        pauses.worked();
        pauses.failed(now);
        assert_eq!(pauses.left(now), None);
    }
}
