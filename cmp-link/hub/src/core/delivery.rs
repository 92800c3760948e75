//! What becomes of a call once its target has answered or has not: passed on, kept for later, or given up.

use std::time::Duration;

use http::StatusCode;

use super::answer::Outcome;
use super::operation::{Delivery, Operation};

/// What an outcome means for the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The target has carried it out.
    Done,
    /// The target's last word: a refusal that a repetition does not change.
    Refused,
    /// It may succeed later; the target's own wish for the pause.
    Later(Duration),
}

/// What a caller gets for a call that it has just made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The answer, which is final: it is stored for repetitions.
    Answer,
    /// The answer, which may be another one next time: the caller repeats, and the call is carried on again.
    Pass,
    /// The operation's success: the hub delivers the call later.
    Keep,
}

/// Judges an outcome. Only a refusal in the words of §5.5, under a status that the operation has for what is wrong with a
/// request, is a last word ([`aid_aid1::contract::Contract::refuses`]).
#[must_use]
pub(crate) fn judge(operation: Operation, outcome: &Outcome) -> Verdict {
    let Outcome::Answered(answer) = outcome else {
        return Verdict::Later(Duration::ZERO);
    };
    if answer.status.is_success() {
        return Verdict::Done;
    }
    match answer.code() {
        Some(code) if operation.contract().refuses(answer.status, code) => Verdict::Refused,
        _ => Verdict::Later(Duration::from_secs(answer.retry_after.unwrap_or_default())),
    }
}

/// Decides what the caller hears. `keep`: the hub may accept calls of this pair for a target that is away. What a target
/// says about the call or its caller (4xx) goes back, in whatever words: the caller knows best whether it repeats.
#[must_use]
pub(crate) fn decide(operation: Operation, keep: bool, outcome: &Outcome) -> Decision {
    let waits = [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT];
    let speaks = |status: StatusCode| status.is_client_error() && !waits.contains(&status);
    match judge(operation, outcome) {
        Verdict::Done | Verdict::Refused => Decision::Answer,
        Verdict::Later(_) if !keep || operation.delivery() != Delivery::Kept => Decision::Pass,
        Verdict::Later(_) => match outcome {
            Outcome::Answered(answer) if speaks(answer.status) => Decision::Pass,
            _ => Decision::Keep,
        },
    }
}

/// How long the hub waits between attempts, and when it gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    /// The first pause; each later one is twice as long.
    pub(crate) first: Duration,
    /// The longest pause, also where a target wishes a longer one.
    pub(crate) longest: Duration,
    /// How long a call is tried.
    pub(crate) give_up: Duration,
}

/// What becomes of a kept call after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// Delivered.
    Done,
    /// Tried again at this time, ms since 1970.
    Again(i64),
    /// Not tried, because its pair is suspended; looked at again at this time, ms since 1970. The time in which it may be
    /// tried begins afterwards.
    Held(i64),
    /// A dead letter: an operator replays or drops it.
    Dead,
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Patience {
    /// The pause after this many attempts, with up to a quarter more, so that many calls do not come back together.
    #[must_use]
    pub(crate) fn pause(&self, attempts: u32, random: u8) -> Duration {
        let doubled = self.first.saturating_mul(1 << attempts.min(20));
        let base = doubled.min(self.longest);
        base + base * u32::from(random) / 1024
    }

    /// Settles a kept call that could be tried since `since`, after `attempts` attempts before this one. A token that a target
    /// does not know any more has ended, which is what the call wanted (R-7.9-4).
    #[must_use]
    pub(crate) fn settle(
        &self,
        operation: Operation,
        outcome: &Outcome,
        (attempts, since): (u32, i64),
        random: u8,
        now: i64,
    ) -> Settled {
        let gone = matches!(outcome, Outcome::Answered(a) if a.status == StatusCode::NOT_FOUND);
        match judge(operation, outcome) {
            Verdict::Done => Settled::Done,
            Verdict::Refused if gone && operation.ends_token() => Settled::Done,
            Verdict::Refused => Settled::Dead,
            Verdict::Later(_) if now.saturating_sub(since) >= ms(self.give_up) => Settled::Dead,
            Verdict::Later(wish) => {
                let pause = self.pause(attempts, random).max(wish.min(self.longest));
                Settled::Again(now.saturating_add(ms(pause)))
            }
        }
    }
}
