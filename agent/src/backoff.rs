//! When the link is tried again: pauses double with each break, and begin anew only after a link that
//! was good for a while. What breaks soon after its start, for whatever reason, is a failed try.

use aid_agent_core::BootMs;

/// First pause, ms; doubles up to `MAX_PAUSE`.
const PAUSE: u64 = 250;
/// Longest pause, ms.
const MAX_PAUSE: u64 = 60_000;
/// Time that a link stands before it counts as good, ms.
const GOOD: u64 = 60_000;

/// Pauses between connections.
#[derive(Debug)]
pub(crate) struct Backoff {
    pause: u64,
    up_since: Option<BootMs>,
}

impl Backoff {
    pub(crate) const fn new() -> Self {
        Self {
            pause: PAUSE,
            up_since: None,
        }
    }

    /// The link stands, subscription included.
    pub(crate) fn up(&mut self, now: BootMs) {
        self.up_since.get_or_insert(now);
    }

    /// The link broke, or did not come up: how long to wait, ms. Half of it is fixed, half drawn with
    /// `random`, so that a fleet does not come back in step.
    pub(crate) fn down(&mut self, now: BootMs, random: u64) -> u64 {
        let good = |up: BootMs| now.0.saturating_sub(up.0) >= GOOD;
        if self.up_since.take().is_some_and(good) {
            self.pause = PAUSE;
        }
        let half = self.pause / 2;
        self.pause = (self.pause * 2).min(MAX_PAUSE);
        half + random % (half + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pauses of connections that stand for so many ms each (`None`: never), drawn with `random`.
    fn pauses(lives: &[Option<u64>], random: u64) -> Vec<u64> {
        let (mut backoff, mut now) = (Backoff::new(), 1_000_000);
        let mut pauses = Vec::new();
        for life in lives {
            if let Some(life) = life {
                backoff.up(BootMs(now));
                now += life;
            }
            let pause = backoff.down(BootMs(now), random);
            now += pause;
            pauses.push(pause);
        }
        pauses
    }

    #[test]
    fn pauses_grow_unless_the_link_was_good_for_a_while() {
        let growing = [
            125, 250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000,
        ];
        for life in [None, Some(0), Some(300), Some(59_999)] {
            assert_eq!(pauses(&[life; 10], 0), growing, "{life:?}");
        }
        assert_eq!(pauses(&[Some(60_000); 3], 0), [125; 3]);
        let lives = [None, None, None, Some(300), Some(3_600_000), None, Some(1)];
        let expected = [125, 250, 500, 1000, 125, 250, 500];
        assert_eq!(pauses(&lives, 0), expected);
    }

    #[test]
    fn the_drawn_half_stays_within_the_pause() {
        for random in [0, 1, 125, 126, u64::MAX] {
            for (pause, longest) in pauses(&[None; 12], random)
                .into_iter()
                .zip([250, 500, 1000, 2000, 4000, 8000, 16_000, 32_000])
            {
                assert!((longest / 2..=longest).contains(&pause), "{pause}");
            }
            let last = pauses(&[None; 30], random);
            assert!(last.iter().all(|p| *p <= MAX_PAUSE));
        }
        assert_eq!(pauses(&[None; 30], 60_000)[29], 30_000 + 60_000 % 30_001);
    }

    // A second SUBACK, or a clock that stands still, makes no link good.
    #[test]
    fn the_first_moment_counts() {
        let mut backoff = Backoff::new();
        backoff.up(BootMs(0));
        backoff.up(BootMs(59_000));
        assert_eq!(backoff.down(BootMs(60_000), 0), 125);
        backoff.up(BootMs(90_000));
        assert_eq!(backoff.down(BootMs(80_000), 0), 250, "the clock went back");
    }
}
