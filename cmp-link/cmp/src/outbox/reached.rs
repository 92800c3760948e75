//! Whether an MSP answers.

use std::time::{Duration, Instant};

/// Failures one after the other after which an MSP counts as down.
const DOWN: u32 = 3;
/// First and longest pause before an MSP that is down is tried again, ms. It doubles from one to the other.
const DOWN_PAUSE: (u64, u64) = (1000, 15_000);

/// Whether an MSP answers.
#[derive(Debug, Default)]
pub(super) struct Reached {
    /// Calls one after the other to which the MSP was away.
    failures: u32,
    /// Before that it is not tried again.
    pub(super) next: Option<Instant>,
}

impl Reached {
    pub(super) fn is_down(&self) -> bool {
        self.failures >= DOWN
    }

    /// Notes how a call ended.
    pub(super) fn note(&mut self, answered: bool) {
        if answered {
            *self = Self::default();
            return;
        }
        self.failures = self.failures.saturating_add(1);
        if self.is_down() {
            let (first, longest) = DOWN_PAUSE;
            let doubled = first << (self.failures - DOWN).min(8);
            self.next = Some(Instant::now() + Duration::from_millis(doubled.min(longest)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // One failure is no outage, and one answer ends it.
    #[test]
    fn an_msp_is_down_after_failures_in_a_row_and_until_it_answers() {
        let mut msp = Reached::default();
        for _ in 1..DOWN {
            msp.note(false);
            assert!(!msp.is_down());
        }
        msp.note(true);
        for _ in 1..DOWN {
            msp.note(false);
        }
        assert!(!msp.is_down());
        let mut pauses = Vec::new();
        for _ in 0..100 {
            let before = Instant::now();
            msp.note(false);
            assert!(msp.is_down());
            pauses.push(msp.next.map(|next| next - before).unwrap_or_default());
        }
        let (first, longest) = DOWN_PAUSE;
        let near = |pause: Duration, ms: u64| pause.as_millis().abs_diff(u128::from(ms)) < 500;
        assert!(near(pauses[0], first), "{pauses:?}");
        assert!(near(pauses[1], 2 * first), "{pauses:?}");
        assert!(near(pauses[99], longest), "{pauses:?}");
        msp.note(true);
        assert!(!msp.is_down() && msp.next.is_none());
    }
}
