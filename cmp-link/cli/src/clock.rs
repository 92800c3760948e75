//! A wall clock that jumps: noticed by the boot clock beside it, which only ever runs.
//!
//! What a jump makes old in an instant is not removed at once: a wrong clock is mostly right again soon.

use std::time::Duration;

/// What the wall clock may gain or lose between two looks; more is a jump.
const TOLERANCE_MS: u64 = 30_000;
/// How long after a jump the wall clock is not believed.
const SETTLES: Duration = Duration::from_secs(3600);

/// Whether the wall clock can be believed when it says that something is old.
#[derive(Debug, Clone)]
pub struct Steadiness {
    /// The last look: Unix milliseconds, and time since some beginning.
    last: (u64, Duration),
    /// When the last jump was noticed, on the boot clock.
    jumped: Option<Duration>,
}

impl Steadiness {
    /// Begins to look. `wall` is Unix milliseconds, `boot` the time since any fixed moment.
    #[must_use]
    pub fn new(wall: u64, boot: Duration) -> Self {
        Self {
            last: (wall, boot),
            jumped: None,
        }
    }

    /// Looks at both clocks; to be called every few seconds. False for an hour after each jump of the wall clock, forwards
    /// or backwards.
    pub fn look(&mut self, wall: u64, boot: Duration) -> bool {
        let (before, then) = self.last;
        let passed = u64::try_from(boot.saturating_sub(then).as_millis()).unwrap_or(u64::MAX);
        if before.saturating_add(passed).abs_diff(wall) > TOLERANCE_MS {
            self.jumped = Some(boot);
        }
        self.last = (wall, boot);
        self.jumped
            .is_none_or(|at| boot.saturating_sub(at) >= SETTLES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: u64 = 1_800_000_000_000;

    #[test]
    fn a_clock_that_runs_is_believed_from_the_beginning() {
        let mut clock = Steadiness::new(T, Duration::ZERO);
        for s in 1..5000 {
            // A second in a thousand is drift, not a jump.
            assert!(clock.look(T + s * 1001, Duration::from_secs(s)));
        }
        // So is a look that comes late.
        assert!(clock.look(T + 90_005_000, Duration::from_secs(90_000)));
    }

    #[test]
    fn a_jump_is_noticed_whichever_way_it_goes_and_so_is_the_way_back() {
        let day = 24 * 3600 * 1000;
        for jump in [60_000, 3_600_000, day, 3650 * day] {
            for up in [true, false] {
                let mut clock = Steadiness::new(T, Duration::ZERO);
                let wall = if up { T + jump } else { T.saturating_sub(jump) };
                let at = Duration::from_secs;
                assert!(!clock.look(wall + 1000, at(1)), "{jump}");
                assert!(!clock.look(wall + 2000, at(2)), "{jump}");
                // Right again: that is a jump too, and an hour later all is well.
                assert!(!clock.look(T + 3000, at(3)), "{jump}");
                assert!(!clock.look(T + 3_602_000, at(3602)), "{jump}");
                assert!(clock.look(T + 3_603_000, at(3603)), "{jump}");
            }
        }
        // Nothing overflows.
        let mut clock = Steadiness::new(u64::MAX, Duration::MAX);
        assert!(!clock.look(0, Duration::ZERO));
        assert!(clock.look(u64::MAX, Duration::MAX));
    }
}
