//! The link of a customer's account at a CMP with a subscription (AID.02 §4.1 [8]-[14], §7.3).

use super::model::{Job, Onboarding};
use super::{Change, Decision};

/// How long the outbox leaves Send MSP Token to the touchpoint, ms.
const TOUCHPOINT_FIRST: i64 = 45_000;

/// Stores a new onboarding together with the call that gives the token to the CMP, before anything is sent. The outbox
/// makes the call later, unless the touchpoint has succeeded by then. `false` if the account id was used before.
pub(crate) fn begin(used: bool, new: &Onboarding, job: &Job) -> Decision<bool> {
    if used {
        return Decision::nothing(false);
    }
    let added = Change::JobAdded {
        job: job.clone(),
        next_at: new.created_at + TOUCHPOINT_FIRST,
        at: new.created_at,
    };
    Decision::of(vec![Change::OnboardingAdded(new.clone()), added], true)
}
