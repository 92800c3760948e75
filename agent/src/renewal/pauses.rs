//! When a renewal goes on, with time as an argument. The journal has the last pause, so that an agent that starts again and
//! again asks no more often than one that goes on.

use aid_agent_core::{BootMs, RenewalPause};

/// Longest pause between two looks at the dates, ms: clocks are set.
const LOOK_MS: u64 = 3600 * 1000;
/// When a request without an answer is sent again, ms. It doubles with each, `RESENDS` times.
const RESEND_MS: u64 = 5 * 60 * 1000;
const RESENDS: u32 = 6;
/// When what failed is tried again, ms: the first time, and at most.
const RETRY_MS: u64 = 30_000;
const RETRY_MAX_MS: u64 = 3600 * 1000;
/// When another request is made after one was refused, ms.
const REFUSED_MS: u64 = 24 * 3600 * 1000;
/// Longest pause that the CMP can ask for, seconds.
const LATER_MAX_S: u32 = 7 * 86_400;

/// The pauses of a renewal.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    /// Tries in a row that came to nothing, those of earlier lives among them: failures, refusals, requests without an
    /// answer, and answers to come later.
    tries: u32,
    /// Not before then.
    next: BootMs,
    /// Nor before then, whatever happens to the link.
    hold: BootMs,
    /// The journal does not have the last pause yet.
    unsaved: bool,
}

impl Pauses {
    pub(super) fn next(&self) -> BootMs {
        self.next
    }

    pub(super) fn is_time(&self, now: BootMs) -> bool {
        self.next <= now
    }

    /// Whether nothing has failed lately.
    pub(super) fn is_clear(&self) -> bool {
        self.tries == 0
    }

    fn hold_for(&mut self, now: BootMs, ms: u64) {
        self.tries = self.tries.saturating_add(1);
        self.hold = now.plus(ms);
        self.next = self.hold;
        self.unsaved = true;
    }

    /// A try failed in the car or on its way.
    pub(super) fn failed(&mut self, now: BootMs) {
        let pause = RETRY_MS << self.tries.min(10);
        self.hold_for(now, pause.min(RETRY_MAX_MS));
    }

    /// A request is about to be sent. The answer to the first one may be lost with the link, so that a new link repeats it
    /// at once; further ones wait, whatever the link does.
    pub(super) fn sends(&mut self, now: BootMs) {
        let hold = match self.tries {
            0 => 0,
            tries => RESEND_MS << (tries - 1).min(RESENDS),
        };
        self.hold_for(now, hold);
        self.next = self.hold.max(now.plus(RESEND_MS));
    }

    /// The CMP wants to be asked again after so many seconds.
    pub(super) fn later(&mut self, now: BootMs, seconds: u32) {
        self.hold_for(now, u64::from(seconds.clamp(1, LATER_MAX_S)) * 1000);
    }

    /// A renewal came to nothing. A car without a certificate that is good for anything can't wait for a day.
    pub(super) fn given_up(&mut self, now: BootMs, can_wait: bool) {
        self.hold_for(now, if can_wait { REFUSED_MS } else { RETRY_MAX_MS });
    }

    /// It can't be begun yet: the card or the keys are not there.
    pub(super) fn not_yet(&mut self, now: BootMs) {
        self.next = now.plus(RETRY_MS);
    }

    /// The CMP has answered, and the next step is due.
    pub(super) fn succeeded(&mut self, now: BootMs) {
        let unsaved = self.unsaved || self.tries > 0;
        *self = Self {
            next: now,
            unsaved,
            ..Self::default()
        };
    }

    /// It is time, unless a pause goes on.
    pub(super) fn hurry(&mut self, now: BootMs) {
        self.next = now.max(self.hold);
    }

    /// Another certificate is used for the link: nothing is good for more than this any more.
    pub(super) fn switched(&mut self, now: BootMs) {
        self.hold = self.hold.min(now.plus(RETRY_MAX_MS));
        self.hurry(now);
    }

    /// Everything was looked at.
    pub(super) fn looked(&mut self, now: BootMs) {
        if self.next <= now {
            self.next = now.plus(LOOK_MS);
        }
    }

    /// Goes on with the pause of an earlier life; `unix`: the wall clock, seconds.
    pub(super) fn resume(&mut self, now: BootMs, pause: RenewalPause, unix: u64) {
        self.tries = self.tries.max(u32::from(pause.tries));
        let left = pause.left(unix).min(LATER_MAX_S);
        self.hold = self.hold.max(now.plus(u64::from(left) * 1000));
        self.next = self.next.max(self.hold);
    }

    /// What the journal is to have, where it has not: tries and seconds from now.
    pub(super) fn take_unsaved(&mut self, now: BootMs) -> Option<(u16, u32)> {
        std::mem::take(&mut self.unsaved).then(|| {
            let left = self.hold.0.saturating_sub(now.0).div_ceil(1000);
            (
                u16::try_from(self.tries).unwrap_or(u16::MAX),
                u32::try_from(left).unwrap_or(u32::MAX),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;
    const UNIX: u64 = 1_800_000_000;

    /// What the journal has after the pause was saved at `at`, and the pauses of the next life, which begins at `now`.
    fn restarted(pauses: &mut Pauses, now: BootMs, unix: u64, later: u64) -> Pauses {
        let (tries, seconds) = pauses.take_unsaved(now).expect("to be saved");
        assert_eq!(pauses.take_unsaved(now), None, "once");
        let at = unix;
        let pause = RenewalPause { tries, at, seconds };
        let mut next = Pauses::default();
        next.resume(BootMs(0), pause, unix + later);
        next
    }

    // The CMP says `Later`; the link breaks and comes back at once, and the agent starts again: it waits all the same.
    #[test]
    fn an_answer_to_come_later_outlives_links_and_restarts() {
        let mut pauses = Pauses::default();
        pauses.sends(BootMs(1000));
        pauses.later(BootMs(2000), 600);
        for now in [2001, 300_000, 601_999] {
            pauses.hurry(BootMs(now));
            assert!(!pauses.is_time(BootMs(now)), "{now}");
        }
        pauses.hurry(BootMs(602_000));
        assert!(pauses.is_time(BootMs(602_000)));
        let mut next = restarted(&mut pauses, BootMs(2000), UNIX, 100);
        next.hurry(BootMs(5));
        assert!(!next.is_time(BootMs(499_999)) && next.is_time(BootMs(500_000)));
        // A CMP can't silence a car for ever.
        pauses.later(BootMs(0), u32::MAX);
        assert_eq!(pauses.next(), BootMs(u64::from(LATER_MAX_S) * 1000));
    }

    // A CMP that never answers, and an agent that starts again a second after each request: the requests become few.
    #[test]
    fn requests_without_an_answer_are_counted_across_restarts() {
        let (mut unix, mut sent) = (UNIX, 0);
        let mut pauses = Pauses::default();
        while unix < UNIX + 24 * 3600 {
            let now = pauses.next();
            unix += now.0 / 1000;
            pauses.sends(now);
            sent += 1;
            pauses = restarted(&mut pauses, now, unix, 1);
            unix += 1;
        }
        assert!((8..=12).contains(&sent), "{sent} requests in a day");
    }

    #[test]
    fn the_first_request_is_repeated_on_a_new_link_and_the_others_wait() {
        let mut pauses = Pauses::default();
        pauses.sends(BootMs(0));
        assert_eq!(pauses.next(), BootMs(5 * MINUTE));
        pauses.hurry(BootMs(10));
        assert!(pauses.is_time(BootMs(10)));
        for (now, pause) in [(10, 5), (20, 10), (30, 20)] {
            pauses.sends(BootMs(now));
            pauses.hurry(BootMs(now + 1));
            assert_eq!(pauses.next(), BootMs(now + pause * MINUTE));
        }
        pauses.succeeded(BootMs(40));
        assert!(pauses.is_time(BootMs(40)) && pauses.is_clear());
        assert_eq!(pauses.take_unsaved(BootMs(40)), Some((0, 0)));
        // What was never saved needs no end.
        pauses.succeeded(BootMs(50));
        assert_eq!(pauses.take_unsaved(BootMs(50)), None);
    }

    #[test]
    fn failures_double_to_an_hour_and_a_refusal_waits_for_a_day() {
        let mut pauses = Pauses::default();
        for seconds in [30, 60, 120, 240, 480, 960, 1920, 3600, 3600] {
            pauses.failed(BootMs(0));
            assert_eq!(pauses.next(), BootMs(seconds * 1000));
        }
        pauses.given_up(BootMs(0), true);
        assert_eq!(pauses.next(), BootMs(REFUSED_MS));
        // The certificate expired meanwhile.
        pauses.switched(BootMs(10));
        assert_eq!(pauses.next(), BootMs(10 + RETRY_MAX_MS));
        pauses.given_up(BootMs(0), false);
        assert_eq!(pauses.next(), BootMs(RETRY_MAX_MS));
        let mut idle = Pauses::default();
        idle.looked(BootMs(0));
        assert_eq!(idle.next(), BootMs(LOOK_MS));
        assert_eq!(idle.take_unsaved(BootMs(0)), None);
        idle.not_yet(BootMs(7));
        assert_eq!(idle.next(), BootMs(7 + RETRY_MS));
    }
}
