//! The overview, and lists: a page at a time, each by an index, the newest first; the same filter yields a file for
//! spreadsheets.

use aid_cli::time::millis_to_text;
use aid_serve::console::form::{choice, text};
use aid_serve::console::list::{Listing, PAGE, whole};
use aid_serve::console::{Answer, Trouble, csv};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::{At, Desk, Seat, cells};
use crate::admin::{self, List};
use crate::core::model::{JobState, OrderState};
use crate::store::{Page, Place};

/// Rows of each list of the overview.
const FEW: u32 = 20;

/// The filter of a list, as it stands in the address.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Filter {
    state: String,
    after: String,
    format: String,
}

type Asked = Result<Query<Filter>, QueryRejection>;

/// A row as it is shown, with its place.
type Placed = (Place, Option<Value>);

/// What a list shows.
struct Shown {
    list: List,
    title: &'static str,
    columns: &'static [&'static str],
    /// Its states with their words, where it can be filtered by them.
    states: &'static [(&'static str, &'static str)],
}

const ORDER_STATES: [(&str, &str); 4] = [
    ("", "All"),
    ("open", "Pending"),
    ("done", "Activation code ready"),
    ("failed", "Failed"),
];
const CALL_STATES: [(&str, &str); 4] = [
    ("", "All"),
    ("waiting", "Pending, also retried"),
    ("done", "Accepted"),
    ("dead", "Rejected or given up"),
];

/// Columns of orders.
const ORDERS: &[&str] = &[
    "request_id",
    "state",
    "client_id",
    "eid",
    "iccid",
    "delivery",
    "error",
    "created_at",
    "correlation_id",
];
/// Columns of calls.
pub(super) const CALLS: &[&str] = &[
    "call",
    "kind",
    "client_id",
    "state",
    "attempts",
    "created_at",
    "next_at",
    "last_error",
    "correlation_id",
];

impl Shown {
    fn of(noun: &str, state: &str) -> Result<Self, Trouble> {
        let shown = |list, title, columns, states| Self {
            list,
            title,
            columns,
            states,
        };
        let unknown = || Trouble::said(StatusCode::UNPROCESSABLE_ENTITY, "There is no such state.");
        Ok(match noun {
            "customers" => shown(
                List::Customers,
                "Customers",
                &["user", "subscriptions", "links", "created_at"],
                &[],
            ),
            "subscriptions" => shown(
                List::Subscriptions,
                "Subscriptions",
                &[
                    "subscription",
                    "user",
                    "state",
                    "msisdn",
                    "subscription_type",
                    "max_profiles",
                    "links",
                ],
                &[],
            ),
            "links" => shown(
                List::Links,
                "Links",
                &[
                    "msp_token",
                    "user",
                    "subscription",
                    "client_id",
                    "state",
                    "created_at",
                    "changed_at",
                ],
                &[],
            ),
            "orders" => {
                let state = match state {
                    "" => None,
                    word => Some(word.parse::<OrderState>().map_err(|()| unknown())?),
                };
                shown(List::Orders(state), "Orders", ORDERS, &ORDER_STATES)
            }
            "calls" => {
                let state = match state {
                    "" => None,
                    word => Some(word.parse::<JobState>().map_err(|()| unknown())?),
                };
                shown(List::Outbox(state), "Calls", CALLS, &CALL_STATES)
            }
            "profiles" => shown(
                List::Profiles,
                "Profiles",
                &[
                    "iccid",
                    "state",
                    "network",
                    "user",
                    "subscription",
                    "eid",
                    "created_at",
                    "used_at",
                ],
                &[],
            ),
            "audit" => shown(
                List::Audit,
                "Audit",
                &["at", "actor", "action", "detail", "reason"],
                &[],
            ),
            _ => {
                return Err(Trouble::said(
                    StatusCode::NOT_FOUND,
                    "There is no such list.",
                ));
            }
        })
    }

    /// Rows as they are shown, each with its place.
    async fn part(&self, desk: &Desk, page: Page) -> Result<Vec<Placed>, Trouble> {
        let part = self.list.part(&desk.msp, page).await;
        let ready = |(place, row)| (place, Some(ready(row)));
        let part = part.map_err(Trouble::database)?;
        Ok(part.into_iter().map(ready).collect())
    }
}

/// States of calls, orders and links as people in the field say them.
const SPOKEN: [(&str, &[(&str, &str)]); 3] = [
    (
        "kind",
        &[
            ("waiting", "pending"),
            ("done", "accepted"),
            ("dead", "rejected or given up"),
        ],
    ),
    (
        "delivery",
        &[("open", "pending"), ("done", "activation code ready")],
    ),
    (
        "changed_at",
        &[("refused", "rejected"), ("invalidated", "ended")],
    ),
];

/// A row as pages show it: times as text, states in words, numbers of calls as links, lists that have pages of their own
/// counted.
pub(super) fn ready(mut row: Value) -> Value {
    millis_to_text(&mut row);
    let spoken = SPOKEN.iter().find(|(of, _)| row.get(*of).is_some());
    let word = spoken.and_then(|(_, words)| {
        let state = row["state"].as_str()?;
        words.iter().find(|(stored, _)| *stored == state)
    });
    if let Some((_, word)) = word {
        row["state"] = (*word).into();
    }
    if row.get("kind").is_some() {
        row["call"] = row["id"].as_i64().map(|id| id.to_string()).into();
    }
    for (name, from) in [("links", "onboardings"), ("subscriptions", "subscriptions")] {
        if let Some(count) = row.get(from).and_then(Value::as_array).map(Vec::len) {
            row[name] = count.into();
        }
    }
    row
}

/// A list as a page or a file.
pub(super) async fn list(
    State(desk): At,
    headers: HeaderMap,
    Path(noun): Path<String>,
    asked: Asked,
) -> Answer {
    let (seat, Query(filter)) = (Seat::of(&*desk, &headers).await?, asked?);
    if noun == "cmps" {
        let rows = admin::cmps(&desk.msp);
        let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
        let columns = ["client_id", "name", "touchpoint", "mode"];
        let content = cells().table("CMPs", &columns, rows);
        return Ok(seat.page("/console/cmps", "CMPs", content));
    }
    let shown = Shown::of(&noun, &filter.state)?;
    let path = format!("/console/{noun}");
    if filter.format == "csv" {
        let read = |after, limit| {
            let page = Page {
                after,
                ..Page::newest(limit)
            };
            shown.part(&desk, page)
        };
        let file = csv::answer(&noun, shown.columns, &whole(read).await?);
        return file.map_err(|text| Trouble::Said(StatusCode::INTERNAL_SERVER_ERROR, text));
    }
    let after = Some(filter.after.trim()).filter(|after| !after.is_empty());
    let after = after.map(str::parse).transpose();
    let page = Page {
        after: after.map_err(|text| Trouble::Said(StatusCode::UNPROCESSABLE_ENTITY, text))?,
        ..Page::newest(PAGE)
    };
    let part = shown.part(&desk, page).await?.into_iter();
    let fields = || choice("state", "Which", &filter.state, shown.states);
    let listing = Listing {
        path: &path,
        title: shown.title,
        columns: shown.columns,
        fields: (!shown.states.is_empty()).then(fields),
        filter: &[("state", &filter.state)],
        part: part.map(|(place, row)| (place.to_string(), row)).collect(),
    };
    Ok(seat.page(&path, shown.title, listing.content(cells())))
}

/// What waits, and what failed: no time window hides it.
pub(super) async fn overview(State(desk): At, headers: HeaderMap) -> Answer {
    let seat = Seat::of(&*desk, &headers).await?;
    let few = async |list: List| {
        let part = list.part(&desk.msp, Page::newest(FEW)).await;
        let part = part.map_err(Trouble::database)?;
        let rows: Vec<Value> = part.into_iter().map(|(_, row)| ready(row)).collect();
        Ok::<_, Trouble>(rows)
    };
    let dead = few(List::Outbox(Some(JobState::Dead))).await?;
    let failed = few(List::Orders(Some(OrderState::Failed))).await?;
    let waiting = few(List::Outbox(Some(JobState::Waiting))).await?;
    let open = few(List::Orders(Some(OrderState::Open))).await?;
    let is_well = dead.is_empty() && failed.is_empty();
    let content = html! {
        form.card method="get" action="/console/find" role="search" {
            (text("text", "Find a customer, a subscription, a phone number, an ICCID, an EID, a token, an order or a correlation id", ""))
            div.actions { button.main { "Find" } }
        }
        @if is_well { p.note.good { "No call was rejected, and no order failed." } }
        (section("Rejected or given up calls", "/console/calls?state=dead", CALLS, &dead))
        (section("Failed orders", "/console/orders?state=failed", ORDERS, &failed))
        (section("Pending calls", "/console/calls?state=waiting", CALLS, &waiting))
        (section("Pending orders", "/console/orders?state=open", ORDERS, &open))
    };
    Ok(seat.page("/console", "Overview", content))
}

/// A part of the overview; nothing where there are no rows.
fn section(title: &str, all: &str, columns: &[&str], rows: &[Value]) -> Markup {
    html! {
        @if !rows.is_empty() {
            h2 { (title) }
            (cells().table(title, columns, rows))
            @if rows.len() >= FEW as usize {
                div.actions { a.button href=(all) { "All: " (title) } }
            }
        }
    }
}
