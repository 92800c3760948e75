//! One vehicle, order, call, user or transaction, with what can be done about it.

use super::deed::Deed;
use super::{At, Desk, Seat, cells, operator};
use crate::operator::{Orders, Refusal};
use aid_aid1::redirect::percent_encode;
use aid_serve::console::Answer;
use aid_serve::console::deed::actions;
use aid_serve::page;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use maud::html;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

fn uuid(text: &str) -> Result<Uuid, Refusal> {
    text.parse()
        .map_err(|_| Refusal::unknown(format!("nothing is called {text:?}")))
}

pub(super) async fn vehicle(State(desk): At, headers: HeaderMap, Path(id): Path<String>) -> Answer {
    let seat = Seat::of(&*desk, &headers).await?;
    let operator = operator(&desk, &seat);
    let row = operator.show_vehicle(&id).await?;
    let open = Orders {
        open: true,
        vehicle: Some(id.clone()),
        ..Orders::default()
    };
    let orders = operator.orders(&open, None, 50).await?;
    let orders: Vec<Value> = orders.into_iter().filter_map(|(_, row)| row).collect();
    let certificates = operator.vehicle_certificates(&id).await?;
    let deeds: &[Deed] = match row["retired_at"].is_null() {
        true => &[
            Deed::ClearVehicle,
            Deed::RetireVehicle,
            Deed::ExchangeVehicle,
        ],
        false => &[],
    };
    let first = [
        "eid",
        "vin",
        "online",
        "last_message",
        "connected_since",
        "disconnected_at",
        "instance",
    ];
    let audit = format!("/console/audit?about={}", percent_encode(&id));
    let content = html! {
        (cells().card(&row, &first))
        h2 { "Orders that are open" }
        (cells().table("Open orders", &["order", "kind", "iccid", "created_at", "sent_at"], &orders))
        h2 { "Certificates" }
        (cells().table("Certificates", &["state", "not_after", "issued_at", "used_at", "bootstrap", "certificate"], &certificates))
        (actions::<Desk>(&seat, deeds, &id))
        @for profile in row["profiles"].as_array().into_iter().flatten() {
            @if let Some(iccid) = profile["iccid"].as_str() {
                (actions::<Desk>(&seat, &[Deed::DeleteProfile], iccid))
            }
        }
        p { a href=(audit) { "Audit trail of this vehicle" } }
    };
    Ok(seat.page("/console/vehicles", &format!("Vehicle {id}"), content))
}

pub(super) async fn order(State(desk): At, headers: HeaderMap, Path(id): Path<String>) -> Answer {
    let seat = Seat::of(&*desk, &headers).await?;
    let row = operator(&desk, &seat).show_order(uuid(&id)?).await?;
    let deeds: &[Deed] = match row["state"] == "open" {
        true => &[Deed::CloseOrder],
        false => &[Deed::ReplayOrder],
    };
    let first = ["order", "eid", "kind", "state", "reason", "correlation_id"];
    let content = html! { (cells().card(&row, &first)) (actions::<Desk>(&seat, deeds, &id)) };
    Ok(seat.page("/console/orders", &format!("Order {id}"), content))
}

pub(super) async fn call(State(desk): At, headers: HeaderMap, Path(id): Path<String>) -> Answer {
    let seat = Seat::of(&*desk, &headers).await?;
    let row = operator(&desk, &seat).show_call(uuid(&id)?).await?;
    let deeds: &[Deed] = match row["state"].as_str() {
        Some("due" | "dead") => &[Deed::ReplayCall, Deed::DropCall],
        _ => &[],
    };
    let first = [
        "call",
        "msp",
        "kind",
        "state",
        "last_error",
        "correlation_id",
    ];
    let content = html! { (cells().card(&row, &first)) (actions::<Desk>(&seat, deeds, &id)) };
    Ok(seat.page("/console/calls", &format!("Call {id}"), content))
}

pub(super) async fn user(State(desk): At, headers: HeaderMap, Path(id): Path<String>) -> Answer {
    let seat = Seat::of(&*desk, &headers).await?;
    let row = operator(&desk, &seat).show_user(&id).await?;
    let name = row["name"].as_str().unwrap_or_default();
    let content = html! {
        (cells().card(&row, &["name", "display_name", "account"]))
        (actions::<Desk>(&seat, &[Deed::UnlockUser, Deed::EraseUser], name))
        @for link in row["federations"].as_array().into_iter().flatten() {
            @if let (Some(id), true) = (link["federation"].as_str(), link["ended_at"].is_null()) {
                (actions::<Desk>(&seat, &[Deed::WithdrawLink], id))
            }
        }
    };
    Ok(seat.page("/console/users", &format!("User {name}"), content))
}

pub(super) async fn correlation(
    State(desk): At,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Answer {
    let seat = Seat::of(&*desk, &headers).await?;
    let row = operator(&desk, &seat).correlation(uuid(&id)?).await?;
    let rows = |name: &str| row[name].as_array().cloned().unwrap_or_default();
    let line = ["at", "party", "event", "subject", "detail"];
    let content = html! {
        h2 { "What happened" }
        (cells().table("Time line", &line, &rows("line")))
        h2 { "Orders" }
        (cells().table("Orders", &["order", "eid", "kind", "state", "created_at"], &rows("orders")))
        h2 { "Calls to MSPs" }
        (cells().table("Calls", &["call", "msp", "kind", "state", "last_error"], &rows("calls")))
    };
    Ok(seat.page("/console/orders", &format!("Transaction {id}"), content))
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
    let operator = operator(&desk, &seat);
    // The digits of an EID are as many as those of a UUID.
    if let (true, Ok(id)) = (text.contains('-'), text.parse::<Uuid>()) {
        let path = if operator.show_order(id).await.is_ok() {
            "orders"
        } else if operator.show_call(id).await.is_ok() {
            "calls"
        } else {
            "correlations"
        };
        return Ok(page::see_other(&format!("/console/{path}/{id}")));
    }
    let encoded = percent_encode(text);
    if operator.show_user(text).await.is_ok() {
        return Ok(page::see_other(&format!("/console/users/{encoded}")));
    }
    Ok(page::see_other(&format!(
        "/console/vehicles?search={encoded}"
    )))
}
