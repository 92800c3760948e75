//! What becomes of a job of the outbox and of what it was about, once the other side has answered or has not.

mod refused;

use aid_aid1::error_code::ErrorCode;

use super::model::{
    Job, JobState, Kind, Onboarding, OnboardingState, OutboxRow, Profile, ProfilePhase,
};
use super::{Change, Decision, NewId};

pub(crate) use refused::RefusedView;
use refused::is_final;

/// Longest pause between two attempts, ms.
pub(crate) const MAX_PAUSE: i64 = 300_000;

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// The other side has accepted it.
    Sent,
    /// It may succeed later.
    Later {
        /// The reason, for the log and the operator.
        reason: String,
        /// The other side's own wish for the pause, ms.
        wait: i64,
    },
    /// The other side's last word.
    Refused {
        /// The reason, for the log and the operator.
        reason: String,
        /// The code of §5.5, if it gave one.
        code: Option<ErrorCode>,
    },
}

impl Attempt {
    /// Again, with no wish of the other side's.
    pub(crate) fn later(reason: impl Into<String>) -> Self {
        Self::Later {
            reason: reason.into(),
            wait: 0,
        }
    }

    /// Never, without a code.
    pub(crate) fn refused(reason: impl Into<String>) -> Self {
        Self::Refused {
            reason: reason.into(),
            code: None,
        }
    }
}

/// A job and what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JobView {
    /// The job.
    pub(crate) row: Option<OutboxRow>,
    /// The onboarding of its token.
    pub(crate) onboarding: Option<Onboarding>,
    /// The profiles of its token.
    pub(crate) profiles: Vec<Profile>,
    /// For a Send Activation Code that was refused: the order that it answers.
    pub(crate) refused: Option<RefusedView>,
}

/// Settles a job: done, put off with growing pauses, or dead; and with it what it was about. `false` if it does not wait
/// any more: it was withdrawn meanwhile. `random` spreads the attempts of many jobs.
pub(crate) fn settle(
    view: &JobView,
    attempt: &Attempt,
    random: u8,
    ids: NewId<'_>,
    now: i64,
) -> Decision<bool> {
    let waiting = view.row.as_ref().filter(|r| r.state == JobState::Waiting);
    let Some(row) = waiting else {
        return Decision::nothing(false);
    };
    let (state, next_at, last_error) = match attempt {
        Attempt::Sent => (JobState::Done, row.next_at, String::new()),
        Attempt::Later { reason, wait } => {
            let next_at = now + pause(row.attempts, random).max(*wait);
            (JobState::Waiting, next_at, reason.clone())
        }
        Attempt::Refused { reason, .. } => (JobState::Dead, row.next_at, reason.clone()),
    };
    let mut changes = vec![Change::JobSet(OutboxRow {
        state,
        attempts: row.attempts + 1,
        next_at,
        last_error,
        ..row.clone()
    })];
    match (row.job.kind, attempt) {
        (Kind::SendMspToken, Attempt::Sent) => {
            changes.extend(confirm(view, OnboardingState::Active, now));
        }
        (Kind::SendMspToken, Attempt::Refused { .. }) => {
            changes.extend(confirm(view, OnboardingState::Refused, now));
        }
        (Kind::CancelOrder, Attempt::Sent) => changes.extend(cancelled(view, &row.job)),
        (Kind::SendActivationCode, Attempt::Refused { code, .. }) => {
            let refused = view.refused.as_ref().filter(|_| is_final(*code));
            changes.extend(
                refused
                    .map(|r| r.give_back(&view.profiles, ids, now))
                    .into_iter()
                    .flatten(),
            );
        }
        _ => {}
    }
    Decision::of(changes, true)
}

/// One, two, four... seconds, each with up to a quarter more, so that many jobs do not come back together.
fn pause(attempts: i64, random: u8) -> i64 {
    // 512 seconds are more than the longest pause; a larger shift would lose bits.
    let base = (1000_i64 << attempts.clamp(0, 9)).min(MAX_PAUSE);
    base + base * i64::from(random) / 1024
}

/// What the CMP said about a token that it has not confirmed yet.
fn confirm(view: &JobView, state: OnboardingState, now: i64) -> Option<Change> {
    let onboarding = view.onboarding.as_ref()?;
    (onboarding.state == OnboardingState::Pending).then_some(Change::OnboardingSet {
        token: onboarding.msp_token,
        state,
        at: now,
    })
}

/// The order was cancelled at the SM-DP+: its profile can be ordered again.
fn cancelled<'a>(view: &'a JobView, job: &'a Job) -> impl Iterator<Item = Change> + use<'a> {
    let of_job = view
        .profiles
        .iter()
        .filter(|p| p.iccid.as_str() == job.to_cancel().0);
    let given_up = of_job.filter(|p| {
        matches!(
            p.phase,
            ProfilePhase::Prepared | ProfilePhase::Swapped | ProfilePhase::Returned
        )
    });
    given_up.map(|p| {
        Change::ProfileSet(Profile {
            phase: ProfilePhase::Cancelled,
            network: false,
            ..p.clone()
        })
    })
}

/// Makes a job due that waits or is dead. `false` if there is none.
pub(crate) fn retry(row: Option<&OutboxRow>, now: i64) -> Decision<bool> {
    put(row, "job tried again", now, |row| OutboxRow {
        state: JobState::Waiting,
        next_at: now,
        ..row.clone()
    })
}

/// Gives up a job that waits or is dead. `false` if there is none.
pub(crate) fn drop(row: Option<&OutboxRow>, reason: &str, now: i64) -> Decision<bool> {
    put(row, "job dropped", now, |row| OutboxRow {
        state: JobState::Dead,
        last_error: reason.to_owned(),
        ..row.clone()
    })
}

fn put(
    row: Option<&OutboxRow>,
    action: &str,
    now: i64,
    change: impl FnOnce(&OutboxRow) -> OutboxRow,
) -> Decision<bool> {
    match row.filter(|row| row.state != JobState::Done) {
        None => Decision::nothing(false),
        Some(row) => {
            let audit = Change::audit("operator", action, &row.id.to_string(), now);
            Decision::of(vec![Change::JobSet(change(row)), audit], true)
        }
    }
}

#[cfg(test)]
mod tests;
