//! One customer, subscription, link, order, call, profile or transaction, with what can be done about it.

use aid_aid1::redirect::percent_encode;
use aid_cli::time::millis_to_text;
use aid_id::{Iccid, MspToken};
use aid_serve::console::deed::actions;
use aid_serve::console::{Answer, Trouble};
use aid_serve::page;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use maud::html;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::deed::Deed;
use super::list::{CALLS, ready};
use super::{At, Desk, Seat, cells, unknown};
use crate::admin;

pub(super) async fn subject(
    State(desk): At,
    headers: HeaderMap,
    Path((noun, id)): Path<(String, String)>,
) -> Answer {
    let seat = Seat::of(&*desk, &headers).await?;
    let page = match noun.as_str() {
        "customers" => customer(&desk, &seat, &id).await?,
        "subscriptions" => subscription(&desk, &seat, &id).await?,
        "links" => link(&desk, &seat, &id).await?,
        "orders" => orders(&desk, &seat, &id).await?,
        "calls" => call(&desk, &seat, &id).await?,
        "profiles" => profile(&desk, &seat, &id).await?,
        "correlations" => correlation(&desk, &seat, &id).await?,
        _ => None,
    };
    let what = noun.strip_suffix('s').unwrap_or(&noun);
    page.ok_or_else(|| unknown(what, &id))
}

/// The page, or nothing of this name.
type Found = Result<Option<Response>, Trouble>;

/// The rows of a member.
fn rows(row: &mut Value, name: &str) -> Vec<Value> {
    match row.as_object_mut().and_then(|row| row.remove(name)) {
        Some(Value::Array(rows)) => rows.into_iter().map(ready).collect(),
        _ => Vec::new(),
    }
}

const LINKS: [&str; 5] = [
    "msp_token",
    "client_id",
    "state",
    "created_at",
    "changed_at",
];
const PROFILES: [&str; 6] = ["iccid", "state", "network", "eid", "created_at", "used_at"];
const REPORTS: [&str; 5] = ["at", "status", "iccid", "eid", "correlation_id"];

async fn customer(desk: &Desk, seat: &Seat, id: &str) -> Found {
    let Some(mut row) = admin::customer(&desk.msp, id)
        .await
        .map_err(Trouble::database)?
    else {
        return Ok(None);
    };
    let (subscriptions, links) = (
        rows(&mut row, "subscriptions"),
        rows(&mut row, "onboardings"),
    );
    let columns = [
        "subscription",
        "state",
        "msisdn",
        "subscription_type",
        "max_profiles",
    ];
    let content = html! {
        (cells().card(&ready(row), &["user"]))
        h2 { "Subscriptions" }
        (cells().table("Subscriptions", &columns, &subscriptions))
        h2 { "Links" }
        (cells().table("Links", &LINKS, &links))
        (actions::<Desk>(seat, &[Deed::WithdrawCustomer], id))
    };
    Ok(Some(seat.page(
        "/console/customers",
        &format!("Customer {id}"),
        content,
    )))
}

async fn subscription(desk: &Desk, seat: &Seat, id: &str) -> Found {
    let Some(mut row) = admin::subscription(&desk.msp, id)
        .await
        .map_err(Trouble::database)?
    else {
        return Ok(None);
    };
    let (links, profiles) = (rows(&mut row, "onboardings"), rows(&mut row, "profiles"));
    let deeds: &[Deed] = match row["state"].as_str() {
        Some("active") => &[Deed::Suspend, Deed::Withdraw, Deed::End],
        Some("suspended") => &[Deed::Resume, Deed::Withdraw, Deed::End],
        _ => &[],
    };
    let content = html! {
        (cells().card(&ready(row), &["subscription", "user", "state", "msisdn", "subscription_type"]))
        h2 { "Links" }
        (cells().table("Links", &LINKS, &links))
        h2 { "Profiles" }
        (cells().table("Profiles", &PROFILES, &profiles))
        (actions::<Desk>(seat, deeds, id))
    };
    Ok(Some(seat.page(
        "/console/subscriptions",
        &format!("Subscription {id}"),
        content,
    )))
}

async fn link(desk: &Desk, seat: &Seat, id: &str) -> Found {
    let Ok(token) = id.parse::<MspToken>() else {
        return Ok(None);
    };
    let Some(mut row) = admin::link(&desk.msp, token)
        .await
        .map_err(Trouble::database)?
    else {
        return Ok(None);
    };
    let (profiles, orders) = (rows(&mut row, "profiles"), rows(&mut row, "orders"));
    let (reports, calls) = (rows(&mut row, "reports"), rows(&mut row, "calls"));
    let columns = [
        "request_id",
        "state",
        "iccid",
        "error",
        "created_at",
        "correlation_id",
    ];
    let content = html! {
        (cells().card(&ready(row), &["msp_token", "user", "subscription", "client_id", "state"]))
        h2 { "Profiles" }
        (cells().table("Profiles", &PROFILES, &profiles))
        h2 { "Orders" }
        (cells().table("Orders", &columns, &orders))
        h2 { "Reports of the CMP" }
        (cells().table("Reports of the CMP", &REPORTS, &reports))
        h2 { "Calls" }
        (cells().table("Calls", CALLS, &calls))
    };
    Ok(Some(seat.page(
        "/console/links",
        &format!("Link {id}"),
        content,
    )))
}

async fn orders(desk: &Desk, seat: &Seat, id: &str) -> Found {
    let Ok(request_id) = id.parse::<Uuid>() else {
        return Ok(None);
    };
    let Some(rows) = admin::order(&desk.msp, request_id)
        .await
        .map_err(Trouble::database)?
    else {
        return Ok(None);
    };
    let first = [
        "request_id",
        "state",
        "error",
        "client_id",
        "msp_token",
        "eid",
        "iccid",
    ];
    let content = html! {
        @for row in rows.as_array().into_iter().flatten() {
            (cells().card(&ready(row.clone()), &first))
        }
    };
    Ok(Some(seat.page(
        "/console/orders",
        &format!("Order {id}"),
        content,
    )))
}

async fn call(desk: &Desk, seat: &Seat, id: &str) -> Found {
    let Ok(number) = id.parse::<i64>() else {
        return Ok(None);
    };
    let Some(row) = admin::job(&desk.msp, number)
        .await
        .map_err(Trouble::database)?
    else {
        return Ok(None);
    };
    let deeds: &[Deed] = match row["state"].as_str() {
        Some("waiting") => &[Deed::Retry, Deed::Drop],
        Some("dead") => &[Deed::Retry],
        _ => &[],
    };
    // The id of the call itself is no order of that name.
    let mut row = ready(row);
    row["cmp_request_id"] = row["request_id"].take();
    if let Some(row) = row.as_object_mut() {
        row.remove("request_id");
        row.remove("id");
    }
    let first = [
        "call",
        "kind",
        "state",
        "last_error",
        "client_id",
        "msp_token",
    ];
    let content = html! { (cells().card(&row, &first)) (actions::<Desk>(seat, deeds, id)) };
    Ok(Some(seat.page(
        "/console/calls",
        &format!("Call {id}"),
        content,
    )))
}

async fn profile(desk: &Desk, seat: &Seat, id: &str) -> Found {
    let Ok(iccid) = id.parse::<Iccid>() else {
        return Ok(None);
    };
    let Some(mut row) = admin::profile(&desk.msp, &iccid)
        .await
        .map_err(Trouble::database)?
    else {
        return Ok(None);
    };
    let (profiles, reports) = (rows(&mut row, "profiles"), rows(&mut row, "reports"));
    let downloads = rows(&mut row, "downloads");
    let is_in_use = profiles
        .iter()
        .any(|p| matches!(p["state"].as_str(), Some("prepared" | "installed")));
    let has_network = profiles.iter().any(|p| p["network"] == true);
    let deeds: &[Deed] = match (is_in_use, has_network) {
        (true, true) => &[Deed::SuspendProfile, Deed::Defect],
        (true, false) => &[Deed::ResumeProfile, Deed::Defect],
        (false, _) => &[],
    };
    let columns = [
        "state",
        "network",
        "user",
        "subscription",
        "msp_token",
        "eid",
        "created_at",
        "used_at",
    ];
    let content = html! {
        (cells().table("Profile", &columns, &profiles))
        (actions::<Desk>(seat, deeds, id))
        h2 { "Reports of the CMP" }
        (cells().table("Reports of the CMP", &REPORTS, &reports))
        h2 { "Downloads" }
        (cells().table("Downloads", &["at", "point", "status", "message", "eid"], &downloads))
    };
    Ok(Some(seat.page(
        "/console/profiles",
        &format!("Profile {id}"),
        content,
    )))
}

async fn correlation(desk: &Desk, seat: &Seat, id: &str) -> Found {
    let Ok(correlation) = id.parse::<Uuid>() else {
        return Ok(None);
    };
    let mut line = Value::from(
        admin::transaction(&desk.msp, correlation)
            .await
            .map_err(Trouble::database)?,
    );
    millis_to_text(&mut line);
    let text = |row: &Value| {
        let mut row = row.clone();
        row["call"] = row["call"].as_i64().map(|id| id.to_string()).into();
        row
    };
    let rows: Vec<Value> = line.as_array().into_iter().flatten().map(text).collect();
    let columns = ["at", "party", "event", "detail", "order", "iccid", "call"];
    let content = html! {
        p { "What this MSP knows of the transaction, in one order. The CMP's console shows the vehicle's part." }
        (cells().table("Time line", &columns, &rows))
    };
    Ok(Some(seat.page(
        "/console/orders",
        &format!("Transaction {id}"),
        content,
    )))
}

/// What is looked for.
#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    text: String,
}

/// Leads to whatever has this name.
pub(super) async fn find(
    State(desk): At,
    headers: HeaderMap,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Answer {
    let seat = Seat::of(&*desk, &headers).await?;
    let Query(wanted) = wanted?;
    let text = wanted.text.trim();
    if let Some(path) = admin::found(&desk.msp, text)
        .await
        .map_err(Trouble::database)?
    {
        return Ok(page::see_other(&format!("/console/{path}")));
    }
    let content = html! {
        p.note.warn { "Nothing is called " (format!("{text:?}")) "." }
        p {
            "Customers and subscriptions are found by their whole name, the rest by ICCID, EID, phone number, msp_token, \
             request id or correlation id. "
            a href="/console/customers" { "All customers" }
        }
        p { a href=(format!("/console/customers?after=0.{}", percent_encode(text))) { "Customers behind this name" } }
    };
    Ok(seat.page("/console/find", "Not found", content))
}
