//! What an operator does: customers, subscriptions, profiles, links (AID.02 §4.4.2, §4.7, §4.8). Each is one decision, with
//! its entry in the audit trail.

use aid_aid1::body::{Body as _, ProfileValidity};
use aid_cli::cli::Failure;
use aid_id::Iccid;
use aid_serve::password;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Refusal;
use crate::config::More;
use crate::core::account::{self, ApiKey};
use crate::core::desk::By;
use crate::core::model::{Onboarding, Subscription, SubscriptionChange, SubscriptionState};
use crate::core::operator::{self, Link, Update};
use crate::core::{Change, Decision, outbox};
use crate::msp::{Msp, now_ms};
use crate::store::{Stored, Target, Tx};

/// A decision that may find that there is nothing to decide: then it says why.
type Refusable<T> = Decision<Result<T, Failure>>;

fn refused<T>(failure: Failure) -> Stored<Refusable<T>> {
    Ok(Decision::nothing(Err(failure)))
}

fn accepted<T>(decision: Decision<T>, by: &By) -> Stored<Refusable<T>> {
    let Decision { changes, outcome } = by.sign(decision);
    Ok(Decision::of(changes, Ok(outcome)))
}

fn no_link(target: &Target) -> Failure {
    let what = match target {
        Target::User(user) => format!("user {user:?}"),
        Target::Subscription(id) => format!("subscription {id:?}"),
    };
    Failure::new(format!(
        "{what} has no live onboarding; `aid-msp customer list` shows what there is"
    ))
}

fn unknown(id: &str) -> Failure {
    Failure::new(format!(
        "there is no subscription {id:?}; `aid-msp subscription list` shows all"
    ))
}

fn shown(o: &Onboarding) -> Value {
    json!({ "msp_token": o.msp_token.to_string(), "client_id": o.client_id.as_str() })
}

fn all_shown(onboardings: &[Onboarding]) -> Value {
    onboardings.iter().map(shown).collect()
}

/// Ends onboardings (AID.02 §4.4.2): profiles off the network, Notify MSP Token Invalid into the outbox.
///
/// # Errors
/// No such subscription or onboarding, or the database fails.
pub(crate) async fn withdraw(
    msp: &Msp,
    target: Target,
    cmp: Option<&str>,
    by: &By,
) -> Result<Value, Refusal> {
    let (cmp, by) = (cmp.map(str::to_owned), by.clone());
    let ended = msp.store.decide(async move |tx| {
        if let Target::Subscription(id) = &target
            && tx.subscription(id).await?.is_none()
        {
            return refused(unknown(id));
        }
        let links = tx.links(&target, cmp.as_deref()).await?;
        if links.is_empty() {
            return refused(no_link(&target));
        }
        let ids = &mut Uuid::new_v4;
        let ended = operator::end_links(&links, by.reason.as_deref(), ids, now_ms());
        accepted(ended, &by)
    });
    Ok(all_shown(&ended.await??))
}

/// Tells the CMPs the present number, kind and group (AID.02 §4.8).
///
/// # Errors
/// No such onboarding, or the database fails.
pub(crate) async fn update(
    msp: &Msp,
    target: Target,
    cmp: Option<&str>,
    by: &By,
) -> Result<Value, Refusal> {
    let (shared, cmp, by) = (msp.clone(), cmp.map(str::to_owned), by.clone());
    let told = msp.store.decide(async move |tx| {
        let links = tx.links(&target, cmp.as_deref()).await?;
        if links.is_empty() {
            return refused(no_link(&target));
        }
        let updates = match updates(&shared, tx, &links, None).await? {
            Ok(updates) => updates,
            Err(failure) => return refused(failure),
        };
        let changes = operator::update(&updates, &mut Uuid::new_v4, now_ms());
        accepted(Decision::of(changes, onboardings(updates)), &by)
    });
    Ok(all_shown(&told.await??))
}

fn onboardings(updates: Vec<Update>) -> Vec<Onboarding> {
    updates.into_iter().map(|u| u.onboarding).collect()
}

/// What each link's CMP has to learn; `changed` is the subscription that is about to be stored.
async fn updates(
    msp: &Msp,
    tx: Tx<'_>,
    links: &[Link],
    changed: Option<&Subscription>,
) -> Stored<Result<Vec<Update>, Failure>> {
    let mut updates = Vec::new();
    for link in links {
        let o = &link.onboarding;
        let stored = match changed {
            Some(changed) => Some(changed.clone()),
            None => tx.subscription_of(o).await?,
        };
        let (Some(subscription), Some(party)) = (stored, msp.cmp(&o.client_id)) else {
            let text = format!(
                "the subscription of {} or cmp {} is not there any more",
                o.user, o.client_id
            );
            return Ok(Err(Failure::new(text)));
        };
        let information = match subscription.information(&party) {
            Ok(information) => information,
            Err(error) => return Ok(Err(error.into())),
        };
        updates.push(Update {
            onboarding: o.clone(),
            body: information.to_json().to_string(),
        });
    }
    Ok(Ok(updates))
}

/// Changes a subscription, and tells the CMPs (AID.02 §4.8).
///
/// # Errors
/// There is none of this name, a value is not usable, or the database fails.
pub(crate) async fn update_subscription(
    msp: &Msp,
    id: &str,
    change: SubscriptionChange,
    by: &By,
) -> Result<Value, Refusal> {
    let (shared, id, by) = (msp.clone(), id.to_owned(), by.clone());
    let told = msp.store.decide(async move |tx| {
        let Some(stored) = tx.subscription(&id).await? else {
            return refused(unknown(&id));
        };
        let changed = match stored.changed(change.clone()) {
            Ok(changed) => changed,
            Err(wrong) => return refused(Failure::new(wrong)),
        };
        let links = tx.links(&Target::Subscription(id.clone()), None).await?;
        let updates = match updates(&shared, tx, &links, Some(&changed)).await? {
            Ok(updates) => updates,
            Err(failure) => return refused(failure),
        };
        let now = now_ms();
        let mut changes = operator::change_subscription(&changed, now);
        changes.extend(operator::update(&updates, &mut Uuid::new_v4, now));
        accepted(Decision::of(changes, onboardings(updates)), &by)
    });
    Ok(all_shown(&told.await??))
}

/// Tells the CMP about one profile (AID.02 §4.7, §7.5): `invalid` takes it out of use for good, `suspended` blocks it.
///
/// # Errors
/// No such profile, its onboarding has ended, or the database fails.
pub(crate) async fn inform(
    msp: &Msp,
    iccid: &Iccid,
    status: ProfileValidity,
    by: &By,
) -> Result<Value, Refusal> {
    let (iccid, by) = (iccid.clone(), by.clone());
    let told = msp.store.decide(async move |tx| {
        let profiles = tx.profiles_with(&iccid).await?;
        let Some(profile) = profiles.into_iter().rev().find(|p| p.phase.is_listed()) else {
            return refused(Failure::new(format!(
                "no customer has the profile {iccid}; `aid-msp profile list` shows what there is"
            )));
        };
        let onboarding = tx.onboarding_with(profile.msp_token).await?;
        let Some(onboarding) = onboarding.filter(|o| o.state.is_live()) else {
            // §7.5: not together with Notify MSP Token Invalid; the CMP deletes the profile by itself then.
            return refused(Failure::new(format!(
                "the onboarding of profile {iccid} has ended; the CMP deletes it without being told"
            )));
        };
        let (ids, now) = (&mut Uuid::new_v4, now_ms());
        let reason = by.reason.as_deref();
        let changes = operator::inform(&onboarding, &[profile], status, reason, ids, now);
        accepted(Decision::of(changes, onboarding), &by)
    });
    Ok(Value::from(vec![shown(&told.await??)]))
}

/// What happens to a profile by a word of the command line.
///
/// # Errors
/// As [`inform`].
pub(crate) async fn fate(msp: &Msp, iccid: &Iccid, word: &str, by: &By) -> Result<Value, Refusal> {
    let status = match word {
        "defect" => ProfileValidity::Invalid,
        "suspend" => ProfileValidity::Suspended,
        _ => ProfileValidity::Valid,
    };
    inform(msp, iccid, status, by).await
}

/// Blocks a subscription for a time: no network, no codes; the CMPs hear of its profiles (§7.5). Or ends a block.
///
/// # Errors
/// There is none, it has ended, or the database fails.
pub(crate) async fn block(msp: &Msp, id: &str, blocked: bool, by: &By) -> Result<Value, Refusal> {
    let (id, by) = (id.to_owned(), by.clone());
    let told = msp.store.decide(async move |tx| {
        let Some(subscription) = tx.subscription(&id).await? else {
            return refused(unknown(&id));
        };
        if subscription.state == SubscriptionState::Ended {
            let text = format!("the subscription {id:?} has ended");
            return refused(Failure::new(text));
        }
        let links = tx.links(&Target::Subscription(id.clone()), None).await?;
        let (ids, now) = (&mut Uuid::new_v4, now_ms());
        let reason = by.reason.as_deref();
        let decided = operator::block(&subscription, &links, blocked, reason, ids, now);
        accepted(decided, &by)
    });
    Ok(all_shown(&told.await??))
}

/// Ends a subscription: its onboardings are withdrawn, and it has no codes any more.
///
/// # Errors
/// There is none, or the database fails.
pub(crate) async fn end_subscription(msp: &Msp, id: &str, by: &By) -> Result<Value, Refusal> {
    let (id, by) = (id.to_owned(), by.clone());
    let ended = msp.store.decide(async move |tx| {
        let Some(subscription) = tx.subscription(&id).await? else {
            return refused(unknown(&id));
        };
        let links = tx.links(&Target::Subscription(id.clone()), None).await?;
        let (ids, now) = (&mut Uuid::new_v4, now_ms());
        let reason = by.reason.as_deref();
        let decided = operator::end_subscription(&subscription, &links, reason, ids, now);
        accepted(decided, &by)
    });
    Ok(all_shown(&ended.await??))
}

/// Makes a customer, or gives them another password.
///
/// # Errors
/// Name or password is not usable, or the database fails.
pub(crate) async fn add_customer(msp: &Msp, user: &str, text: &str) -> Result<Value, Refusal> {
    if user.is_empty()
        || user.chars().count() > 100
        || user.contains(aid_cli::printable::is_unprintable)
    {
        return Err(Failure::usage("a customer's name has 1 to 100 printable characters").into());
    }
    let hash = hash_password(text)?;
    let name = user.to_owned();
    let put = msp.store.decide(async move |tx| {
        let stored = tx.password_of(&name).await?;
        let now = now_ms();
        let mut put = account::put_customer(stored.as_deref(), &name, &hash, now);
        let audit = Change::audit("operator", "customer added", &name, now);
        put.changes.push(audit);
        Ok(put)
    });
    put.await?;
    Ok(json!([{ "user": user }]))
}

/// The hash of a password of usable length.
///
/// # Errors
/// It is too short or too long, or there is no randomness.
pub(crate) fn hash_password(text: &str) -> Result<String, Failure> {
    if !password::LENGTH.contains(&text.len()) {
        let (least, most) = (password::LENGTH.start(), password::LENGTH.end());
        return Err(Failure::usage(format!(
            "the password on stdin must have {least} to {most} bytes, got {}",
            text.len()
        )));
    }
    password::hash(text).ok_or_else(|| Failure::new("the password could not be hashed; try again"))
}

/// Makes a subscription.
///
/// # Errors
/// It exists, a value is not usable, or the database fails.
pub(crate) async fn add_subscription(msp: &Msp, more: &More) -> Result<Value, Refusal> {
    let new = more.checked().map_err(Failure::new)?;
    let (stored, iccids) = (new.clone(), more.iccids.clone());
    let added = msp.store.decide(async move |tx| {
        if tx.password_of(&stored.user).await?.is_none() {
            return refused(Failure::new(format!(
                "there is no customer {:?}; `aid-msp customer add` makes one",
                stored.user
            )));
        }
        if tx.subscription(&stored.id).await?.is_some() {
            return refused(Failure::new(format!(
                "there is a subscription {:?} already; choose another name",
                stored.id
            )));
        }
        let now = now_ms();
        let mut added = account::add_subscription(false, &stored, &iccids, now);
        let audit = Change::audit("operator", "subscription added", &stored.id, now);
        added.changes.push(audit);
        accepted(added, &By::command(None))
    });
    added.await??;
    Ok(json!([{ "subscription": new.id, "user": new.user }]))
}

/// Makes a new API key for a CMP, valid beside those before it; with `only`, the earlier ones of this kind end.
///
/// # Errors
/// There is no such CMP, no randomness, or the database fails.
pub(crate) async fn rotate_key(msp: &Msp, client: &str, only: bool) -> Result<Value, Refusal> {
    let agreed = msp.agreed();
    let cmp = agreed.cmps.iter().find(|c| c.client_id.as_str() == client);
    let cmp = cmp.ok_or_else(|| {
        Failure::new(format!(
            "there is no cmp {client:?}; `aid-msp cmp list` shows all"
        ))
    })?;
    let key = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    let new = ApiKey {
        client: cmp.client_id.clone(),
        key: key.clone(),
        created_at: now_ms(),
    };
    let ended = msp
        .store
        .decide(async move |tx| Ok(account::rotate_key(&tx.api_keys().await?, &new, only)));
    let ended = ended.await?;
    Ok(json!([{ "client_id": client, "api_key": key, "ended": ended }]))
}

/// Lets a job of the outbox be tried now, or ends it without being sent.
///
/// # Errors
/// There is none of this number, or the database fails.
pub(crate) async fn put_outbox(
    msp: &Msp,
    id: i64,
    dropped: bool,
    by: &By,
) -> Result<Value, Refusal> {
    let by = by.clone();
    let done = msp.store.decide(async move |tx| {
        let row = tx.job(id).await?;
        let reason = by.reason.as_deref().unwrap_or_default();
        Ok(by.sign(match dropped {
            false => outbox::retry(row.as_ref(), now_ms()),
            true => outbox::drop(row.as_ref(), reason, now_ms()),
        }))
    });
    if !done.await? {
        return Err(Failure::new(format!(
            "no job {id} is waiting or dead; `aid-msp outbox list` shows all"
        ))
        .into());
    }
    Ok(json!([{ "id": id }]))
}
