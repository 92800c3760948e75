//! When calls to MSPs are made again (R-7.8-5, R-4.4.1-3).

use crate::model::CallKind;

/// First pause after a failure, ms; doubles up to `MAX_PAUSE`.
const PAUSE: u64 = 1000;
/// Longest pause, ms: twelve hours. A stored deadline that is further away comes of a clock that was wrong, and counts
/// for nothing.
pub const MAX_PAUSE: u64 = 12 * 3600 * 1000;
/// Longest time that an MSP can put off a call for which somebody waits, ms: five minutes.
const MAX_WAIT: u64 = 5 * 60 * 1000;
/// For how long a claimed call is one instance's alone, ms: the others take over the calls of an instance that was
/// killed after this time. An instance that lives renews its claims every [`RENEW`], however long a call takes.
pub const CLAIM: u64 = 20 * 1000;
/// Pause between two renewals of claims, ms. Three may fail before a claim ends.
pub const RENEW: u64 = 5 * 1000;
/// A claim that ends later than this many ms from now was made under a wrong clock. Releases without renewal claim calls
/// for two minutes.
pub const LONGEST_CLAIM: u64 = 4 * 60 * 1000;

/// Pause before the next try, ms: half fixed, half drawn.
#[must_use]
pub fn pause(attempts: u32, draw: u64) -> u64 {
    let whole = (PAUSE << attempts.clamp(1, 20)).min(MAX_PAUSE);
    whole / 2 + draw % (whole / 2 + 1)
}

/// First pause after a request for a code that was not answered in time, ms; doubles up to `MAX_PAUSE`.
const SILENCE: u64 = 60_000;

/// Pause before a request for a code is made again that was not answered in time, ms: a minute, then growing, each with up
/// to a tenth more. The code may still come by Send Activation Code, so the MSP is not pressed.
#[must_use]
pub fn pause_after_silence(attempts: u32, draw: u64) -> u64 {
    let whole = SILENCE << attempts.saturating_sub(1).min(20);
    let most = MAX_PAUSE - MAX_PAUSE / 10;
    let whole = whole.min(most);
    whole + draw % (whole / 10 + 1)
}

/// The longest `Retry-After` that is obeyed, ms: a driver waits for a code, and a user for the end of a link.
#[must_use]
pub fn longest_wait(kind: CallKind) -> u64 {
    match kind {
        CallKind::Code | CallKind::Invalidate => MAX_WAIT,
        CallKind::Status | CallKind::Query => MAX_PAUSE,
    }
}
