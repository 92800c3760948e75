//! What an operator does: customers, subscriptions, profiles, links (AID.02 §4.4.2, §4.7, §4.8). Each is in the audit trail.

use aid_aid1::body::{
    Body as _, NotifyTokenInvalid, ProfileInformation, ProfileValidity, SendProfileInformation,
};
use aid_aid1::phone::PhoneNumber;
use aid_cli::cli::Failure;
use aid_id::{Iccid, MspToken};
use aid_serve::password;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::config::More;
use crate::msp::{Msp, now_ms};
use crate::store::{
    Job, Kind, Onboarding, OnboardingState, Subscription, SubscriptionChange, SubscriptionState,
};

/// Whose links are meant: all of a customer, or those of one subscription; at all CMPs or at one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target<'a> {
    /// A customer.
    User(&'a str),
    /// A subscription.
    Subscription(&'a str),
}

async fn note(msp: &Msp, action: &str, detail: &str) -> Result<(), Failure> {
    Ok(msp
        .store
        .audit("operator", action, detail, now_ms())
        .await?)
}

/// The live onboardings of a target.
async fn live(
    msp: &Msp,
    target: Target<'_>,
    cmp: Option<&str>,
) -> Result<Vec<Onboarding>, Failure> {
    let mut found = Vec::new();
    for o in msp.store.onboardings().await? {
        let fits = match target {
            Target::User(user) => o.user == user,
            Target::Subscription(id) => msp
                .store
                .subscription_of(&o)
                .await?
                .is_some_and(|s| s.id == id),
        };
        let lives = matches!(o.state, OnboardingState::Active | OnboardingState::Pending);
        if fits && lives && cmp.is_none_or(|cmp| o.client_id.as_str() == cmp) {
            found.push(o);
        }
    }
    Ok(found)
}

async fn some_live(
    msp: &Msp,
    target: Target<'_>,
    cmp: Option<&str>,
) -> Result<Vec<Onboarding>, Failure> {
    let found = live(msp, target, cmp).await?;
    if found.is_empty() {
        let what = match target {
            Target::User(user) => format!("user {user:?}"),
            Target::Subscription(id) => format!("subscription {id:?}"),
        };
        return Err(Failure::new(format!(
            "{what} has no live onboarding; `aid-msp customer list` shows what there is"
        )));
    }
    Ok(found)
}

fn shown(o: &Onboarding) -> Value {
    json!({ "msp_token": o.msp_token.to_string(), "client_id": o.client_id.as_str() })
}

/// Ends onboardings (AID.02 §4.4.2): profiles off the network, Notify MSP Token Invalid into the outbox.
///
/// # Errors
/// No such onboarding, or the database fails.
pub(crate) async fn withdraw(
    msp: &Msp,
    target: Target<'_>,
    cmp: Option<&str>,
    reason: Option<&str>,
) -> Result<Value, Failure> {
    let mut done = Vec::new();
    for o in some_live(msp, target, cmp).await? {
        invalidate(msp, &o, reason).await?;
        done.push(shown(&o));
    }
    Ok(done.into())
}

async fn invalidate(msp: &Msp, o: &Onboarding, reason: Option<&str>) -> Result<(), Failure> {
    let reason = reason.map(str::to_owned);
    let body = NotifyTokenInvalid { reason }.to_json().to_string();
    let kind = Kind::NotifyTokenInvalid;
    let job = Job::new(&o.client_id, kind, o.msp_token, Uuid::new_v4(), body);
    msp.store
        .invalidate(&o.client_id, o.msp_token, Some(job), now_ms())
        .await?;
    note(
        msp,
        "withdrawn",
        &format!("{} at {}", o.msp_token, o.client_id),
    )
    .await
}

/// As [`withdraw`], of one subscription that exists.
///
/// # Errors
/// As [`withdraw`].
pub(crate) async fn withdraw_subscription(
    msp: &Msp,
    id: &str,
    cmp: Option<&str>,
    reason: Option<&str>,
) -> Result<Value, Failure> {
    known(msp, id).await?;
    withdraw(msp, Target::Subscription(id), cmp, reason).await
}

async fn known(msp: &Msp, id: &str) -> Result<Subscription, Failure> {
    msp.store.subscription(id).await?.ok_or_else(|| {
        Failure::new(format!(
            "there is no subscription {id:?}; `aid-msp subscription list` shows all"
        ))
    })
}

/// Tells the CMPs the present number, kind and group (AID.02 §4.8).
///
/// # Errors
/// No such onboarding, or the database fails.
pub(crate) async fn update(
    msp: &Msp,
    target: Target<'_>,
    cmp: Option<&str>,
) -> Result<Value, Failure> {
    let found = some_live(msp, target, cmp).await?;
    tell(msp, found).await
}

async fn tell(msp: &Msp, onboardings: Vec<Onboarding>) -> Result<Value, Failure> {
    let mut done = Vec::new();
    for o in onboardings {
        let subscription = msp.store.subscription_of(&o).await?;
        let (Some(subscription), Some(party)) = (subscription, msp.cmp(&o.client_id)) else {
            let text = format!(
                "the subscription of {} or cmp {} is not there any more",
                o.user, o.client_id
            );
            return Err(Failure::new(text));
        };
        let body = subscription.information(&party)?.to_json().to_string();
        let kind = Kind::UpdateSubscriptionInfo;
        let job = Job::new(&o.client_id, kind, o.msp_token, Uuid::new_v4(), body);
        msp.store.add_job(&job, now_ms()).await?;
        done.push(shown(&o));
    }
    Ok(done.into())
}

/// Changes a subscription, and tells the CMPs (AID.02 §4.8).
///
/// # Errors
/// There is none of this name, a value is not usable, or the database fails.
pub(crate) async fn update_subscription(
    msp: &Msp,
    id: &str,
    change: SubscriptionChange,
) -> Result<Value, Failure> {
    let mut s = known(msp, id).await?;
    let wrong = |what: &str, e: &dyn std::fmt::Display| Failure::new(format!("{what}: {e}"));
    if let Some(msisdn) = change.msisdn {
        msisdn
            .parse::<PhoneNumber>()
            .map_err(|e| wrong("msisdn", &e))?;
        s.msisdn = msisdn;
    }
    if let Some(kind) = change.kind {
        s.kind = kind.parse().map_err(|e| wrong("kind", &e))?;
    }
    if let Some(max) = change.max_profiles {
        if max == 0 {
            return Err(Failure::new(
                "max_profiles must be at least 1 (AID.02 §4.3.1)",
            ));
        }
        s.max_profiles = max;
    }
    if let Some(swap) = change.swap {
        s.swap = swap
            .parse()
            .map_err(|()| Failure::new("swap is candidate, own or refuse"))?;
    }
    s.customer_group = change.customer_group.or(s.customer_group);
    s.fee = change.fee.or(s.fee);
    s.eligible = change.eligible.unwrap_or(s.eligible);
    msp.store.update_subscription(&s).await?;
    note(msp, "subscription updated", id).await?;
    let found = live(msp, Target::Subscription(id), None).await?;
    tell(msp, found).await
}

/// Tells one CMP about profiles of one token, and switches their network.
async fn inform_all(
    msp: &Msp,
    o: &Onboarding,
    iccids: Vec<Iccid>,
    status: ProfileValidity,
    reason: Option<&str>,
) -> Result<(), Failure> {
    if iccids.is_empty() {
        return Ok(());
    }
    for iccid in &iccids {
        if status == ProfileValidity::Invalid {
            msp.store.kill_profile(o.msp_token, iccid).await?;
        } else {
            let network = status == ProfileValidity::Valid;
            msp.store.set_network(o.msp_token, iccid, network).await?;
        }
        let what = format!("profile {}", status.as_str());
        note(msp, &what, iccid.as_str()).await?;
    }
    let profile = |iccid| ProfileInformation {
        iccid,
        status,
        reason: reason.map(str::to_owned),
    };
    let profiles = iccids.into_iter().map(profile).collect();
    let body = SendProfileInformation { profiles }.to_json().to_string();
    let kind = Kind::SendProfileInformation;
    let job = Job::new(&o.client_id, kind, o.msp_token, Uuid::new_v4(), body);
    msp.store.add_job(&job, now_ms()).await?;
    Ok(())
}

/// Tells the CMP about one profile (AID.02 §4.7, §7.5): `invalid` takes it out of use for good, `suspended` blocks it.
///
/// # Errors
/// No such profile, its onboarding has ended, or the database fails.
pub(crate) async fn inform(
    msp: &Msp,
    iccid: &Iccid,
    status: ProfileValidity,
    reason: Option<&str>,
) -> Result<Value, Failure> {
    let profiles = msp.store.profiles().await?;
    let found = profiles
        .iter()
        .rev()
        .find(|p| p.iccid == *iccid && p.phase.is_listed());
    let token = found.map(|p| p.msp_token).ok_or_else(|| {
        Failure::new(format!(
            "no customer has the profile {iccid}; `aid-msp profile list` shows what there is"
        ))
    })?;
    let onboardings = msp.store.onboardings().await?;
    let live = onboardings
        .iter()
        .find(|o| o.msp_token == token && o.state != OnboardingState::Invalidated);
    let o = live.ok_or_else(|| {
        // §7.5: not together with Notify MSP Token Invalid; the CMP deletes the profile by itself then.
        Failure::new(format!(
            "the onboarding of profile {iccid} has ended; the CMP deletes it without being told"
        ))
    })?;
    inform_all(msp, o, vec![iccid.clone()], status, reason).await?;
    Ok(Value::from(vec![shown(o)]))
}

/// What happens to a subscription or a profile by a word of the command line.
pub(crate) async fn fate(
    msp: &Msp,
    iccid: &Iccid,
    word: &str,
    reason: Option<&str>,
) -> Result<Value, Failure> {
    let status = match word {
        "defect" => ProfileValidity::Invalid,
        "suspend" => ProfileValidity::Suspended,
        _ => ProfileValidity::Valid,
    };
    inform(msp, iccid, status, reason).await
}

async fn listed(msp: &Msp, token: MspToken) -> Result<Vec<Iccid>, Failure> {
    let profiles = msp.store.profiles_of(token).await?;
    let listed = profiles.into_iter().filter(|p| p.phase.is_listed());
    Ok(listed.map(|p| p.iccid).collect())
}

async fn set_state(
    msp: &Msp,
    id: &str,
    state: SubscriptionState,
    validity: ProfileValidity,
    reason: Option<&str>,
) -> Result<Value, Failure> {
    let mut s = known(msp, id).await?;
    if s.state == SubscriptionState::Ended {
        return Err(Failure::new(format!("the subscription {id:?} has ended")));
    }
    s.state = state;
    msp.store.update_subscription(&s).await?;
    note(msp, &format!("subscription {}", state.as_str()), id).await?;
    let mut done = Vec::new();
    for o in live(msp, Target::Subscription(id), None).await? {
        let iccids = listed(msp, o.msp_token).await?;
        inform_all(msp, &o, iccids, validity, reason).await?;
        done.push(shown(&o));
    }
    Ok(done.into())
}

/// Blocks a subscription for a time: no network, no codes; the CMPs hear of its profiles (§7.5).
///
/// # Errors
/// There is none, it has ended, or the database fails.
pub(crate) async fn suspend(msp: &Msp, id: &str, reason: Option<&str>) -> Result<Value, Failure> {
    let state = SubscriptionState::Suspended;
    set_state(msp, id, state, ProfileValidity::Suspended, reason).await
}

/// Ends a block.
///
/// # Errors
/// As [`suspend`].
pub(crate) async fn resume(msp: &Msp, id: &str, reason: Option<&str>) -> Result<Value, Failure> {
    let state = SubscriptionState::Active;
    set_state(msp, id, state, ProfileValidity::Valid, reason).await
}

/// Ends a subscription: its onboardings are withdrawn, and it has no codes any more.
///
/// # Errors
/// There is none, or the database fails.
pub(crate) async fn end_subscription(
    msp: &Msp,
    id: &str,
    reason: Option<&str>,
) -> Result<Value, Failure> {
    let mut s = known(msp, id).await?;
    s.state = SubscriptionState::Ended;
    msp.store.update_subscription(&s).await?;
    note(msp, "subscription ended", id).await?;
    let mut done = Vec::new();
    for o in live(msp, Target::Subscription(id), None).await? {
        invalidate(msp, &o, reason).await?;
        done.push(shown(&o));
    }
    Ok(done.into())
}

/// Makes a customer, or gives him another password.
///
/// # Errors
/// Name or password is not usable, or the database fails.
pub(crate) async fn add_customer(msp: &Msp, user: &str, text: &str) -> Result<Value, Failure> {
    if user.is_empty()
        || user.chars().count() > 100
        || user.contains(aid_cli::printable::is_unprintable)
    {
        return Err(Failure::usage(
            "a customer's name has 1 to 100 printable characters",
        ));
    }
    let hash = hash_password(text)?;
    msp.store.put_customer(user, &hash, now_ms()).await?;
    note(msp, "customer added", user).await?;
    Ok(json!([{ "user": user }]))
}

/// The hash of a password of usable length.
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
pub(crate) async fn add_subscription(msp: &Msp, more: &More) -> Result<Value, Failure> {
    let new = more.checked().map_err(Failure::new)?;
    if msp.store.password_of(&new.user).await?.is_none() {
        return Err(Failure::new(format!(
            "there is no customer {:?}; `aid-msp customer add` makes one",
            new.user
        )));
    }
    if !msp
        .store
        .add_subscription(&new, &more.iccids, now_ms())
        .await?
    {
        return Err(Failure::new(format!(
            "there is a subscription {:?} already; choose another name",
            new.id
        )));
    }
    note(msp, "subscription added", &new.id).await?;
    Ok(json!([{ "subscription": new.id, "user": new.user }]))
}

/// Makes a new API key for a CMP, valid beside those before it; with `only`, the earlier ones of this kind end.
///
/// # Errors
/// There is no such CMP, no randomness, or the database fails.
pub(crate) async fn rotate_key(msp: &Msp, client: &str, only: bool) -> Result<Value, Failure> {
    let agreed = msp.agreed();
    if !agreed.cmps.iter().any(|c| c.client_id.as_str() == client) {
        return Err(Failure::new(format!(
            "there is no cmp {client:?}; `aid-msp cmp list` shows all"
        )));
    }
    let key = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    msp.store.add_api_key(client, &key, now_ms()).await?;
    let ended = if only {
        msp.store.drop_old_keys(client).await?
    } else {
        0
    };
    note(msp, "API key added", client).await?;
    Ok(json!([{ "client_id": client, "api_key": key, "ended": ended }]))
}

/// Lets a job of the outbox be tried now, or ends it without being sent.
///
/// # Errors
/// There is none of this number, or the database fails.
pub(crate) async fn put_outbox(msp: &Msp, id: i64, drop: Option<&str>) -> Result<Value, Failure> {
    let done = match drop {
        None => msp.store.retry_job(id, now_ms()).await?,
        Some(reason) => msp.store.drop_job(id, reason).await?,
    };
    if !done {
        return Err(Failure::new(format!(
            "no job {id} is waiting or dead; `aid-msp outbox list` shows all"
        )));
    }
    let action = if drop.is_some() {
        "job dropped"
    } else {
        "job tried again"
    };
    note(msp, action, &id.to_string()).await?;
    Ok(json!([{ "id": id }]))
}
