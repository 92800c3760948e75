//! Decides when the supervisor's watchdog is fed: only while the agent makes progress.
//!
//! The daemon's loop feeds it itself, so a loop that hangs is noticed. A loop that turns while the card's thread hangs in
//! the kernel (a driver that never returns) is no progress either: then the feeding stops too, and the supervisor's
//! restart finds the open operation in the journal and settles it.

use aid_agent_core::BootMs;

/// Longest time that an operation may wait on the card's thread without an APDU or a byte of the SM-DP+,
/// milliseconds. Each call there has a time-out far below it.
const SILENCE_MS: u64 = 10 * 60 * 1000;

/// When to feed next, and whether.
#[derive(Debug)]
pub(crate) struct Watchdog {
    /// Half of the supervisor's period, milliseconds; `None` without one.
    pause: Option<u64>,
    next: BootMs,
    progress: Progress,
}

/// What the card's thread has done.
#[derive(Debug, Default)]
struct Progress {
    /// Operations that were handed to it and have not ended.
    open: u32,
    /// Figures that grow while it works.
    figures: (u64, u64, u64),
    /// When it last did something, or had nothing to do.
    at: BootMs,
}

impl Watchdog {
    /// `period`: the supervisor's, if it watches.
    pub(crate) fn new(period: Option<std::time::Duration>, now: BootMs) -> Self {
        let half = |p: std::time::Duration| u64::try_from(p.as_millis() / 2).unwrap_or(u64::MAX);
        Self {
            pause: period.map(|p| half(p).max(1)),
            next: now,
            progress: Progress {
                at: now,
                ..Progress::default()
            },
        }
    }

    /// An operation was handed to the card's thread.
    pub(crate) fn began(&mut self, now: BootMs) {
        if self.progress.open == 0 {
            self.progress.at = now;
        }
        self.progress.open += 1;
    }

    /// An operation ended there.
    pub(crate) fn ended(&mut self, now: BootMs) {
        self.progress.open = self.progress.open.saturating_sub(1);
        self.progress.at = now;
    }

    /// When [`Self::due`] wants to be asked again.
    pub(crate) fn next(&self) -> Option<BootMs> {
        self.pause.map(|_| self.next)
    }

    /// Whether to feed now. `figures`: APDUs, bytes received and sent, as far as they have grown.
    pub(crate) fn due(&mut self, now: BootMs, figures: (u64, u64, u64)) -> bool {
        let Some(pause) = self.pause.filter(|_| now >= self.next) else {
            return false;
        };
        self.next = BootMs(now.0.saturating_add(pause));
        if self.progress.open == 0 || figures != self.progress.figures {
            self.progress.figures = figures;
            self.progress.at = now;
        }
        now.0.saturating_sub(self.progress.at.0) < SILENCE_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const PERIOD: Option<Duration> = Some(Duration::from_secs(60));

    #[test]
    fn it_is_fed_twice_in_a_period_while_nothing_is_to_be_done() {
        let mut watchdog = Watchdog::new(PERIOD, BootMs(5_000));
        let fed = (0..600).filter(|s| watchdog.due(BootMs(5_000 + s * 1000), (0, 0, 0)));
        assert_eq!(fed.count(), 20);
        assert_eq!(Watchdog::new(None, BootMs(0)).next(), None);
        assert!(!Watchdog::new(None, BootMs(0)).due(BootMs(u64::MAX), (0, 0, 0)));
    }

    #[test]
    fn an_operation_that_stands_still_stops_the_feeding_and_one_that_works_does_not() {
        let mut watchdog = Watchdog::new(PERIOD, BootMs(0));
        watchdog.began(BootMs(0));
        // A download of an hour, an APDU a minute.
        for minute in 0..60 {
            assert!(
                watchdog.due(BootMs(minute * 60_000), (minute, 0, 0)),
                "{minute}"
            );
        }
        // A driver that does not return.
        let stuck = 60 * 60_000;
        assert!(watchdog.due(BootMs(stuck + SILENCE_MS - 61_000), (59, 0, 0)));
        assert!(!watchdog.due(BootMs(stuck + SILENCE_MS), (59, 0, 0)));
        assert!(!watchdog.due(BootMs(stuck + 2 * SILENCE_MS), (59, 0, 0)));
        // It returned after all.
        watchdog.ended(BootMs(stuck + 3 * SILENCE_MS));
        assert!(watchdog.due(BootMs(stuck + 3 * SILENCE_MS), (59, 0, 0)));
        // One that waits behind another counts from the end of that.
        watchdog.began(BootMs(stuck + 3 * SILENCE_MS));
        watchdog.began(BootMs(stuck + 4 * SILENCE_MS - 2));
        watchdog.ended(BootMs(stuck + 4 * SILENCE_MS - 1));
        assert!(watchdog.due(BootMs(stuck + 4 * SILENCE_MS + 60_000), (59, 0, 0)));
    }

    #[test]
    fn a_clock_that_goes_back_feeds() {
        let mut watchdog = Watchdog::new(PERIOD, BootMs(1_000_000));
        watchdog.began(BootMs(1_000_000));
        assert!(watchdog.due(BootMs(1_000_000), (0, 0, 0)));
        assert!(!watchdog.due(BootMs(0), (0, 0, 0)), "not due yet");
        assert!(watchdog.due(BootMs(1_030_000), (0, 0, 0)));
    }
}
