//! What an operator does with subscriptions, profiles and links (AID.02 §4.4.2, §4.7, §4.8), with its entry in the audit
//! trail.

use aid_aid1::body::{Body as _, ProfileInformation, ProfileValidity, SendProfileInformation};
use aid_id::Iccid;

use super::model::{Job, Kind, Onboarding, Profile, ProfilePhase, Subscription, SubscriptionState};
use super::withdrawal::withdraw;
use super::{Change, Decision, NewId};

/// Who is in the audit trail.
const OPERATOR: &str = "operator";

/// A live onboarding with the profiles of its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// The onboarding.
    pub(crate) onboarding: Onboarding,
    /// All profiles of its token.
    pub(crate) profiles: Vec<Profile>,
}

/// An onboarding, and the body of the Update Subscription Info that it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Update {
    /// The onboarding.
    pub(crate) onboarding: Onboarding,
    /// JSON, with the number encrypted for its CMP.
    pub(crate) body: String,
}

fn onboardings(links: &[Link]) -> Vec<Onboarding> {
    links.iter().map(|l| l.onboarding.clone()).collect()
}

/// Ends onboardings: profiles off the network, Notify MSP Token Invalid into the outbox. Yields them.
pub(crate) fn end_links(
    links: &[Link],
    reason: Option<&str>,
    ids: NewId<'_>,
    now: i64,
) -> Decision<Vec<Onboarding>> {
    let mut changes = Vec::new();
    for link in links {
        let onboarding = &link.onboarding;
        changes.extend(withdraw(onboarding, &link.profiles, reason, &mut *ids, now));
        let detail = format!("{} at {}", onboarding.msp_token, onboarding.client_id);
        changes.push(Change::audit(OPERATOR, "withdrawn", &detail, now));
    }
    Decision::of(changes, onboardings(links))
}

/// Ends a subscription: its onboardings are withdrawn, and it has no codes any more.
pub(crate) fn end_subscription(
    subscription: &Subscription,
    links: &[Link],
    reason: Option<&str>,
    ids: NewId<'_>,
    now: i64,
) -> Decision<Vec<Onboarding>> {
    let ended = set_state(subscription, SubscriptionState::Ended, now);
    let mut changes = Vec::from(ended);
    let Decision {
        changes: more,
        outcome,
    } = end_links(links, reason, ids, now);
    changes.extend(more);
    Decision::of(changes, outcome)
}

/// Blocks a subscription for a time, or ends the block: the CMPs hear of its profiles (§7.5).
pub(crate) fn block(
    subscription: &Subscription,
    links: &[Link],
    blocked: bool,
    reason: Option<&str>,
    ids: NewId<'_>,
    now: i64,
) -> Decision<Vec<Onboarding>> {
    let (state, validity) = if blocked {
        (SubscriptionState::Suspended, ProfileValidity::Suspended)
    } else {
        (SubscriptionState::Active, ProfileValidity::Valid)
    };
    let mut changes = Vec::from(set_state(subscription, state, now));
    for link in links {
        let listed = link.profiles.iter().filter(|p| p.phase.is_listed());
        let listed: Vec<_> = listed.cloned().collect();
        changes.extend(inform(
            &link.onboarding,
            &listed,
            validity,
            reason,
            &mut *ids,
            now,
        ));
    }
    Decision::of(changes, onboardings(links))
}

fn set_state(subscription: &Subscription, state: SubscriptionState, now: i64) -> [Change; 2] {
    let action = format!("subscription {}", state.as_str());
    [
        Change::SubscriptionSet(Subscription {
            state,
            ..subscription.clone()
        }),
        Change::audit(OPERATOR, &action, &subscription.id, now),
    ]
}

/// Stores a changed subscription.
pub(crate) fn change_subscription(changed: &Subscription, now: i64) -> Vec<Change> {
    vec![
        Change::SubscriptionSet(changed.clone()),
        Change::audit(OPERATOR, "subscription updated", &changed.id, now),
    ]
}

/// Sends the CMPs the present number, kind and group (§4.8).
pub(crate) fn update(updates: &[Update], ids: NewId<'_>, now: i64) -> Vec<Change> {
    let job = |update: &Update| {
        let kind = Kind::UpdateSubscriptionInfo;
        Change::job(
            job(&update.onboarding, kind, update.body.clone(), &mut *ids),
            now,
        )
    };
    updates.iter().map(job).collect()
}

/// Tells one CMP about profiles of one token, and switches their network (§4.7, §7.5): `invalid` takes them out of use for
/// good, `suspended` blocks them.
pub(crate) fn inform(
    onboarding: &Onboarding,
    profiles: &[Profile],
    validity: ProfileValidity,
    reason: Option<&str>,
    ids: NewId<'_>,
    now: i64,
) -> Vec<Change> {
    if profiles.is_empty() {
        return Vec::new();
    }
    let mut changes = Vec::new();
    for profile in profiles {
        let phase = match validity {
            ProfileValidity::Invalid => ProfilePhase::Invalid,
            _ => profile.phase,
        };
        changes.push(Change::ProfileSet(Profile {
            phase,
            network: validity == ProfileValidity::Valid,
            ..profile.clone()
        }));
        let action = format!("profile {}", validity.as_str());
        let iccid = profile.iccid.as_str();
        changes.push(Change::audit(OPERATOR, &action, iccid, now));
    }
    let information = |iccid: Iccid| ProfileInformation {
        iccid,
        status: validity,
        reason: reason.map(str::to_owned),
    };
    let profiles = profiles.iter().map(|p| information(p.iccid.clone()));
    let body = SendProfileInformation {
        profiles: profiles.collect(),
    };
    let kind = Kind::SendProfileInformation;
    let job = job(onboarding, kind, body.to_json().to_string(), ids);
    changes.push(Change::job(job, now));
    changes
}

fn job(onboarding: &Onboarding, kind: Kind, body: String, ids: NewId<'_>) -> Job {
    Job {
        client_id: onboarding.client_id.clone(),
        kind,
        msp_token: onboarding.msp_token,
        request_id: ids(),
        correlation_id: ids(),
        body,
    }
}
