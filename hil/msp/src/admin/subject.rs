//! One customer, subscription, link, order, call or profile, with what belongs to it; what has a name; and what happened in
//! one transaction.

use aid_id::{Eid, Iccid, MspToken};
use serde_json::{Value, json};
use uuid::Uuid;

use super::list::{
    customer_row, job_row, link_row, order_row, profile_row, progress_row, status_row,
    subscription_row,
};
use crate::core::model::{Job, OrderState};
use crate::msp::Msp;
use crate::store::{StoreError, Stored, Tx};

/// What was looked for; none if there is nothing of this name.
type Found = Result<Option<Value>, StoreError>;

/// A customer with their subscriptions and links.
///
/// # Errors
/// The database fails.
pub(crate) async fn customer(msp: &Msp, user: &str) -> Found {
    let user = user.to_owned();
    let read = msp.store.read(async move |tx| {
        let Some(created_at) = tx.customer(&user).await? else {
            return Ok(None);
        };
        customer_row(tx, &user, created_at).await.map(Some)
    });
    read.await
}

/// A subscription with its links, its pool and the profiles of its links.
///
/// # Errors
/// The database fails.
pub(crate) async fn subscription(msp: &Msp, id: &str) -> Found {
    let id = id.to_owned();
    let read = msp.store.read(async move |tx| {
        let Some(subscription) = tx.subscription(&id).await? else {
            return Ok(None);
        };
        let mut row = subscription_row(tx, &subscription).await?;
        let mut profiles = Vec::new();
        for onboarding in tx.onboardings_with(&id).await? {
            let own = tx.profiles_of(onboarding.msp_token).await?;
            profiles.extend(own.iter().map(|p| profile_row(p, Some(&onboarding))));
        }
        row["profiles"] = profiles.into();
        Ok(Some(row))
    });
    read.await
}

/// A link with its profiles, and its newest orders, reports and calls.
///
/// # Errors
/// The database fails.
pub(crate) async fn link(msp: &Msp, token: MspToken) -> Found {
    let read = msp.store.read(async move |tx| {
        let Some(onboarding) = tx.onboarding_with(token).await? else {
            return Ok(None);
        };
        let of = Some(&onboarding);
        let mut row = link_row(&onboarding);
        let profiles = tx.profiles_of(token).await?;
        row["profiles"] = profiles.iter().map(|p| profile_row(p, of)).collect();
        row["orders"] = tx.orders_of(token).await?.iter().map(order_row).collect();
        let statuses = tx.statuses_with(token).await?;
        row["reports"] = statuses.iter().map(|s| status_row(s, of)).collect();
        row["calls"] = tx.jobs_of(token).await?.iter().map(job_row).collect();
        Ok(Some(row))
    });
    read.await
}

/// The orders with this `activationCodeRequestID`; CMPs choose it, so that two may have the same.
///
/// # Errors
/// The database fails.
pub(crate) async fn order(msp: &Msp, request_id: Uuid) -> Found {
    let read = msp.store.read(async move |tx| {
        let rows = tx.orders_with(request_id).await?;
        Ok(rows.iter().map(order_row).collect::<Vec<_>>())
    });
    Ok(Some(read.await?)
        .filter(|rows| !rows.is_empty())
        .map(Value::from))
}

/// A call of the outbox.
///
/// # Errors
/// The database fails.
pub(crate) async fn job(msp: &Msp, id: i64) -> Found {
    let read = msp.store.read(async move |tx| tx.job(id).await);
    Ok(read.await?.as_ref().map(job_row))
}

/// The profiles with an ICCID, with the newest reports about them, and the progress of their downloads.
///
/// # Errors
/// The database fails.
pub(crate) async fn profile(msp: &Msp, iccid: &Iccid) -> Found {
    let iccid = iccid.clone();
    let read = msp.store.read(async move |tx| {
        let profiles = tx.profiles_with(&iccid).await?;
        if profiles.is_empty() {
            return Ok(None);
        }
        let mut rows = Vec::new();
        for profile in &profiles {
            let onboarding = tx.onboarding_with(profile.msp_token).await?;
            rows.push(profile_row(profile, onboarding.as_ref()));
        }
        let statuses = tx.statuses_of(&iccid).await?;
        let steps = tx.progress_of(&iccid).await?;
        Ok(Some(json!({
            "profiles": rows,
            "reports": statuses.iter().map(|s| status_row(s, None)).collect::<Vec<_>>(),
            "downloads": steps.iter().map(|(_, at, p)| progress_row(*at, p)).collect::<Vec<_>>(),
        })))
    });
    read.await
}

/// What happened in a transaction, in one order: `at`, `party`, `event`, `subject`, `detail`.
///
/// # Errors
/// The database fails.
pub(crate) async fn transaction(msp: &Msp, correlation: Uuid) -> Result<Vec<Value>, StoreError> {
    let read = msp.store.read(async move |tx| line(tx, correlation).await);
    read.await
}

async fn line(tx: Tx<'_>, correlation: Uuid) -> Stored<Vec<Value>> {
    let mut line = Vec::new();
    for order in tx.orders_in(correlation).await? {
        let request = &order.request;
        let became = match order.state {
            OrderState::Open => "pending".to_owned(),
            OrderState::Done => "activation code ready".to_owned(),
            OrderState::Failed => order.error.clone().unwrap_or_else(|| "failed".into()),
        };
        line.push((order.created_at, json!({
            "party": request.client_id.as_str(), "event": "Request Activation Code received",
            "order": request.request_id.to_string(), "iccid": order.iccid.as_ref().map(|i| i.as_str()), "detail": became,
        })));
        for (_, at, step) in match &order.iccid {
            Some(iccid) => tx.progress_of(iccid).await?,
            None => Vec::new(),
        } {
            let event = format!("Download: {}", point(step.point));
            line.push((at, json!({
                "party": "SM-DP+", "event": event, "iccid": step.iccid.as_str(), "detail": step.status,
            })));
        }
    }
    for status in tx.statuses_in(correlation).await? {
        line.push((
            status.at,
            json!({
                "party": status.client_id.as_str(), "event": "Profile status reported",
                "iccid": status.iccid.as_str(), "detail": status.status.as_str(),
            }),
        ));
    }
    for row in tx.jobs_in(correlation).await? {
        line.push((row.created_at, json!({
            "party": "MSP", "event": spoken(&row.job), "call": row.id, "detail": row.state.as_str(),
        })));
    }
    // What happened in one millisecond stays as it was read: an order before what followed from it.
    line.sort_by_key(|(at, _)| *at);
    let dated = |(at, mut row): (i64, Value)| {
        row["at"] = at.into();
        row
    };
    Ok(line.into_iter().map(dated).collect())
}

/// A call by its name in AID.02 §7 or SGP.22 §5.3.
fn spoken(job: &Job) -> String {
    let words = job.kind.as_str().split('-').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        match word {
            "msp" => "MSP".to_owned(),
            _ => format!("{}{rest}", first.to_uppercase()),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// A notificationPointId of SGP.22 §5.3.5 in words.
fn point(id: i64) -> &'static str {
    match id {
        1 => "eligibility checked",
        2 => "confirmation code checked",
        3 => "profile package delivered",
        4 => "installation reported",
        _ => "unknown step",
    }
}

/// Where whatever has this name is shown: a path below the console's.
///
/// # Errors
/// The database fails.
pub(crate) async fn found(msp: &Msp, text: &str) -> Result<Option<String>, StoreError> {
    let text = text.to_owned();
    let read = msp.store.read(async move |tx| find(tx, &text).await);
    read.await
}

async fn find(tx: Tx<'_>, text: &str) -> Stored<Option<String>> {
    if let Ok(id) = text.parse::<Uuid>()
        && text.contains('-')
    {
        if let Ok(token) = text.parse::<MspToken>()
            && tx.onboarding_with(token).await?.is_some()
        {
            return Ok(Some(format!("links/{token}")));
        }
        if !tx.orders_with(id).await?.is_empty() {
            return Ok(Some(format!("orders/{id}")));
        }
        if let Some(job) = tx.job_of_call(id).await? {
            return Ok(Some(format!("calls/{}", job.id)));
        }
        return Ok(Some(format!("correlations/{id}")));
    }
    if tx.customer(text).await?.is_some() {
        return Ok(Some(path("customers", text)));
    }
    if tx.subscription(text).await?.is_some() {
        return Ok(Some(path("subscriptions", text)));
    }
    if let Ok(iccid) = text.parse::<Iccid>()
        && !tx.profiles_with(&iccid).await?.is_empty()
    {
        return Ok(Some(format!("profiles/{iccid}")));
    }
    if let Ok(eid) = text.parse::<Eid>()
        && let Some(profile) = tx.profiles_in(&eid).await?.first()
    {
        return Ok(Some(format!("links/{}", profile.msp_token)));
    }
    let number = text.trim_start_matches('+');
    let with_number = tx.subscriptions_with(number).await?;
    Ok(with_number.first().map(|s| path("subscriptions", &s.id)))
}

fn path(noun: &str, name: &str) -> String {
    format!("{noun}/{}", aid_aid1::redirect::percent_encode(name))
}
