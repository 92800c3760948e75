//! What an operator sees and does on the command line or over the control API; works on the database while `serve` runs.
//!
//! Here are the lists; `act` changes things, `misbehave` asks for what goes wrong.

mod act;
mod misbehave;

use std::sync::Arc;

use aid_cli::cli::Failure;
use serde_json::{Value, json};

use crate::core::model::{
    Onboarding, Order, OutboxRow, Profile, Progress, StatusRow, Subscription,
};
use crate::msp::Msp;

pub(crate) use act::{
    add_customer, add_subscription, block, end_subscription, fate, hash_password, inform,
    put_outbox, rotate_key, update, update_subscription, withdraw,
};
pub(crate) use misbehave::{add_rule, clear_rules, events, misbehaviours, rules};

/// The reports of the CMPs, oldest first. Times are milliseconds since 1970.
///
/// # Errors
/// The database fails.
pub(crate) async fn statuses(msp: &Msp) -> Result<Value, Failure> {
    let mut tx = msp.store.read().await?;
    let onboardings = tx.onboardings().await?;
    let rows = tx.statuses().await?;
    let row = |row: &StatusRow| {
        let user = onboardings
            .iter()
            .find(|o| o.msp_token == row.msp_token)
            .map(|o| o.user.as_str());
        json!({
            "seq": row.seq, "at": row.at, "client_id": row.client_id.as_str(), "msp_token": row.msp_token.to_string(),
            "user": user, "iccid": row.iccid.as_str(), "eid": row.eid.as_str(), "status": row.status.as_str(),
            "correlation_id": row.correlation_id.to_string(),
        })
    };
    Ok(rows.iter().map(row).collect())
}

fn onboarding(o: &Onboarding) -> Value {
    json!({
        "msp_token": o.msp_token.to_string(), "client_id": o.client_id.as_str(), "state": o.state.as_str(),
        "subscription": o.subscription, "created_at": o.created_at, "changed_at": o.changed_at,
    })
}

/// A subscription as it is listed.
fn subscription(s: &Subscription) -> Value {
    json!({
        "subscription": s.id, "user": s.user, "name": s.label, "msisdn": s.masked(), "subscription_type": s.kind.as_str(),
        "customer_group": s.customer_group, "max_profiles": s.max_profiles, "swap": s.swap.as_str(), "fee": s.fee,
        "eligible": s.eligible, "state": s.state.as_str(),
    })
}

/// The customers with their subscriptions and onboardings.
///
/// # Errors
/// The database fails.
pub(crate) async fn users(msp: &Msp) -> Result<Value, Failure> {
    let mut tx = msp.store.read().await?;
    let onboardings = tx.onboardings().await?;
    let subscriptions = tx.subscriptions(None).await?;
    let customers = tx.customers().await?;
    let customer = |(user, created_at): &(String, i64)| {
        let of_user = onboardings.iter().filter(|o| o.user == *user);
        let own = subscriptions.iter().filter(|s| s.user == *user);
        json!({
            "user": user, "created_at": created_at, "subscriptions": own.map(subscription).collect::<Vec<_>>(),
            "onboardings": of_user.map(onboarding).collect::<Vec<_>>(),
        })
    };
    Ok(customers.iter().map(customer).collect())
}

/// The subscriptions with their onboardings.
///
/// # Errors
/// The database fails.
pub(crate) async fn subscriptions(msp: &Msp) -> Result<Value, Failure> {
    let mut tx = msp.store.read().await?;
    let onboardings = tx.onboardings().await?;
    let mut rows = Vec::new();
    for s in tx.subscriptions(None).await? {
        let mut row = subscription(&s);
        let of_it = onboardings.iter().filter(|o| o.subscription == s.id);
        row["onboardings"] = of_it.map(onboarding).collect();
        let pool = tx.pool_of(&s.id).await?;
        row["pool"] = pool.iter().map(|i| i.as_str().to_owned()).collect();
        rows.push(row);
    }
    Ok(rows.into())
}

/// The configured CMPs.
pub(crate) fn cmps(msp: &Msp) -> Value {
    let row = |c: &Arc<crate::config::CmpParty>| {
        json!({
            "client_id": c.client_id.as_str(), "name": c.name, "touchpoint": c.touchpoint,
            "mode": format!("{:?}", c.mode).to_lowercase(), "former_account_id_secrets": c.secrets.len() - 1,
        })
    };
    msp.agreed().cmps.iter().map(row).collect()
}

/// The profiles, oldest first.
///
/// # Errors
/// The database fails.
pub(crate) async fn profiles(msp: &Msp) -> Result<Value, Failure> {
    let mut tx = msp.store.read().await?;
    let onboardings = tx.onboardings().await?;
    let profiles = tx.profiles().await?;
    let row = |p: &Profile| {
        let onboarding = onboardings.iter().find(|o| o.msp_token == p.msp_token);
        json!({
            "iccid": p.iccid.as_str(), "msp_token": p.msp_token.to_string(), "user": onboarding.map(|o| o.user.as_str()),
            "subscription": onboarding.map(|o| o.subscription.as_str()), "eid": p.eid.as_str(),
            "state": p.phase.as_str(), "network": p.network, "created_at": p.created_at, "used_at": p.used_at,
        })
    };
    Ok(profiles.iter().map(row).collect())
}

/// The requests for activation codes, oldest first; without the codes.
///
/// # Errors
/// The database fails.
pub(crate) async fn orders(msp: &Msp) -> Result<Value, Failure> {
    let mut tx = msp.store.read().await?;
    let row = |o: &Order| {
        json!({
            "request_id": o.request.request_id.to_string(), "client_id": o.request.client_id.as_str(),
            "msp_token": o.request.msp_token.to_string(), "eid": o.request.eid.as_str(),
            "correlation_id": o.request.correlation_id.to_string(),
            "replace_iccid": o.request.replace_iccid.as_ref().map(|i| i.as_str()), "delivery": o.delivery.as_str(),
            "state": o.state.as_str(), "iccid": o.iccid.as_ref().map(|i| i.as_str()),
            "swapped_iccid": o.swapped.as_ref().map(|i| i.as_str()), "error": o.error, "created_at": o.created_at,
        })
    };
    Ok(tx.orders().await?.iter().map(row).collect())
}

/// The progress of downloads, as SM-DP+s told it, oldest first.
///
/// # Errors
/// The database fails.
pub(crate) async fn progress(msp: &Msp) -> Result<Value, Failure> {
    let mut tx = msp.store.read().await?;
    let row = |(at, p): &(i64, Progress)| {
        json!({
            "at": at, "iccid": p.iccid.as_str(), "eid": p.eid, "point": p.point, "status": p.status, "message": p.message,
        })
    };
    Ok(tx.progress().await?.iter().map(row).collect())
}

/// The outbox, oldest first; without bodies, which hold account ids and activation codes.
///
/// # Errors
/// The database fails.
pub(crate) async fn outbox(msp: &Msp) -> Result<Value, Failure> {
    let mut tx = msp.store.read().await?;
    let rows = tx.outbox().await?;
    let row = |row: &OutboxRow| {
        json!({
            "id": row.id, "kind": row.job.kind.as_str(), "client_id": row.job.client_id.as_str(),
            "msp_token": row.job.msp_token.to_string(), "request_id": row.job.request_id.to_string(), "state": row.state.as_str(),
            "attempts": row.attempts, "next_at": row.next_at, "created_at": row.created_at, "last_error": row.last_error,
        })
    };
    Ok(rows.iter().map(row).collect())
}

/// The audit trail, oldest first.
///
/// # Errors
/// The database fails.
pub(crate) async fn audits(msp: &Msp) -> Result<Value, Failure> {
    let mut tx = msp.store.read().await?;
    let row = |(at, actor, action, detail): &(i64, String, String, String)| json!({"at": at, "actor": actor, "action": action, "detail": detail});
    Ok(tx.audits().await?.iter().map(row).collect())
}
