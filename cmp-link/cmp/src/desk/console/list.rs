//! Lists: problems, vehicles, orders, calls, users, MSPs, the audit trail. A page at a time, each by an index; the same
//! filter yields a file for spreadsheets.

use super::{At, Desk, Seat, cells, operator};
use crate::operator::{Calls, Listed, Operator, Orders, Refusal, Trail};
use aid_aid1::redirect::percent_encode;
use aid_cmp_core::model::CallState;
use aid_serve::console::form::{choice, text as field};
use aid_serve::console::list::{Listing, PAGE, whole};
use aid_serve::console::{Answer, Trouble, csv};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

/// The filter of a list, as it stands in the address.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Filter {
    search: String,
    state: String,
    vehicle: String,
    actor: String,
    about: String,
    days: String,
    after: String,
    format: String,
}

fn some(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

impl Filter {
    /// What stands in the addresses of the file and of the next page.
    fn members(&self) -> [(&'static str, &str); 6] {
        [
            ("search", &self.search),
            ("state", &self.state),
            ("vehicle", &self.vehicle),
            ("actor", &self.actor),
            ("about", &self.about),
            ("days", &self.days),
        ]
    }
}

type Asked = Result<Query<Filter>, QueryRejection>;

/// What a list shows.
struct Shown<'a> {
    path: &'a str,
    title: &'a str,
    columns: &'a [&'a str],
    /// The fields of the filter.
    fields: Markup,
}

/// Which list, with what it lets pass.
enum List {
    /// All, or those that a search finds.
    Vehicles(Option<String>),
    Orders(Orders),
    Calls(Calls),
    /// Behind this name.
    Users(Option<String>),
    Audit(Trail),
}

impl List {
    /// Rows behind a place.
    async fn read(
        &self,
        operator: &Operator<'_>,
        after: Option<String>,
        limit: u32,
    ) -> Result<Vec<Listed>, Refusal> {
        match self {
            Self::Vehicles(Some(_)) if after.is_some() => Ok(Vec::new()),
            Self::Vehicles(Some(text)) => {
                let rows = operator.search_vehicles(text, limit).await?;
                Ok(rows
                    .into_iter()
                    .map(|row| (String::new(), Some(row)))
                    .collect())
            }
            Self::Vehicles(None) => operator.vehicles(after, limit).await,
            Self::Orders(orders) => operator.orders(orders, after, limit).await,
            Self::Calls(calls) => operator.outbox(*calls, after, limit).await,
            Self::Users(behind) => {
                let behind = after.or_else(|| behind.clone());
                let rows = operator.users(behind, limit).await?;
                // The name leads to the user.
                let named = |row: Option<Value>| {
                    row.map(|mut row| {
                        row["user"] = row["name"].take();
                        row
                    })
                };
                let rows = rows.into_iter().map(|(place, row)| (place, named(row)));
                Ok(rows.collect())
            }
            Self::Audit(trail) => operator.audit(trail, after, limit).await,
        }
    }
}

/// A list as a page or a file.
async fn answer(
    desk: &Desk,
    seat: &Seat,
    filter: &Filter,
    shown: &Shown<'_>,
    list: &List,
) -> Answer {
    let operator = operator(desk, seat);
    if filter.format == "csv" {
        let rows = whole(|after, limit| list.read(&operator, after, limit)).await?;
        let name = shown.path.rsplit('/').next().unwrap_or("list");
        let file = csv::answer(name, shown.columns, &rows);
        return file.map_err(|text| Trouble::said(StatusCode::INTERNAL_SERVER_ERROR, text));
    }
    let listing = Listing {
        path: shown.path,
        title: shown.title,
        columns: shown.columns,
        fields: Some(shown.fields.clone()),
        filter: &filter.members(),
        part: list.read(&operator, some(&filter.after), PAGE).await?,
    };
    Ok(seat.page(shown.path, shown.title, listing.content(cells())))
}

/// What is wrong now.
pub(super) async fn problems(State(desk): At, headers: HeaderMap) -> Answer {
    let seat = Seat::of(&*desk, &headers).await?;
    let operator = operator(&desk, &seat);
    let rows = operator.problems(desk.certificates.clone()).await?;
    let target = |row: &Value| {
        let id = percent_encode(row["id"].as_str().unwrap_or_default());
        match row["subject"].as_str() {
            Some("call") => Some(format!("/console/calls/{id}")),
            Some("order") => Some(format!("/console/orders/{id}")),
            Some("vehicle") => Some(format!("/console/vehicles/{id}")),
            Some("user") => Some(format!("/console/users/{id}")),
            Some("msp") => Some("/console/msps".to_owned()),
            _ => None,
        }
    };
    let content = html! {
        form.card method="get" action="/console/find" role="search" {
            (field("text", "Find a vehicle (VIN, EID), a user, an order, a call or a correlation id", ""))
            div.actions { button.main { "Find" } }
        }
        @if rows.is_empty() { p.note.good { "Nothing is wrong." } }
        ul.plain {
            @for row in &rows {
                li.row {
                    div {
                        span.chip.bad { (row["kind"].as_str().unwrap_or_default().replace('-', " ")) } " "
                        (row["text"].as_str().unwrap_or_default())
                        div.quiet {
                            @if row["subject"] == "certificate" { "Expires " } @else { "Since " }
                            @if let Some(time) = row["since"].as_str().and_then(|at| cells().time(at)) { (time) }
                        }
                    }
                    @if let Some(target) = target(row) {
                        a.button href=(target) { "Open " (row["subject"].as_str().unwrap_or_default()) }
                    }
                }
            }
        }
    };
    Ok(seat.page("/console", "Problems", content))
}

/// The fleet.
pub(super) async fn vehicles(State(desk): At, headers: HeaderMap, asked: Asked) -> Answer {
    let (seat, Query(filter)) = (Seat::of(&*desk, &headers).await?, asked?);
    let shown = Shown {
        path: "/console/vehicles",
        title: "Vehicles",
        columns: &[
            "eid",
            "vin",
            "online",
            "last_message",
            "software",
            "retired_at",
        ],
        fields: field("search", "VIN, EID or user", &filter.search),
    };
    let list = List::Vehicles(some(&filter.search));
    answer(&desk, &seat, &filter, &shown, &list).await
}

/// Orders.
pub(super) async fn orders(State(desk): At, headers: HeaderMap, asked: Asked) -> Answer {
    let (seat, Query(filter)) = (Seat::of(&*desk, &headers).await?, asked?);
    let choices = [("", "All"), ("open", "Open"), ("overdue", "Overdue")];
    let shown = Shown {
        path: "/console/orders",
        title: "Orders",
        columns: &[
            "order",
            "eid",
            "kind",
            "state",
            "created_at",
            "sent_at",
            "correlation_id",
        ],
        fields: html! {
            (choice("state", "Which", &filter.state, &choices))
            (field("vehicle", "Of the vehicle (EID)", &filter.vehicle))
        },
    };
    let which = Orders {
        overdue: filter.state == "overdue",
        open: filter.state == "open",
        vehicle: some(&filter.vehicle),
    };
    answer(&desk, &seat, &filter, &shown, &List::Orders(which)).await
}

/// Calls to MSPs.
pub(super) async fn calls(State(desk): At, headers: HeaderMap, asked: Asked) -> Answer {
    let (seat, Query(filter)) = (Seat::of(&*desk, &headers).await?, asked?);
    let choices = [
        ("", "Due or given up"),
        ("due", "Due"),
        ("dead", "Given up"),
        ("done", "Answered"),
        ("dropped", "Dropped"),
    ];
    let shown = Shown {
        path: "/console/calls",
        title: "Calls to MSPs",
        columns: &[
            "call",
            "msp",
            "kind",
            "state",
            "attempts",
            "created_at",
            "next_at",
            "last_error",
        ],
        fields: choice("state", "Which", &filter.state, &choices),
    };
    let state = match filter.state.as_str() {
        "" => None,
        word => Some(CallState::from_text(word).ok_or_else(|| Refusal::invalid("no such state"))?),
    };
    let list = List::Calls(Calls { state });
    answer(&desk, &seat, &filter, &shown, &list).await
}

/// Users.
pub(super) async fn users(State(desk): At, headers: HeaderMap, asked: Asked) -> Answer {
    let (seat, Query(filter)) = (Seat::of(&*desk, &headers).await?, asked?);
    let shown = Shown {
        path: "/console/users",
        title: "Users",
        columns: &["user", "display_name", "has_pin", "created_at"],
        fields: field("search", "Behind this name", &filter.search),
    };
    let behind = some(&filter.search).map(|name| name.to_lowercase());
    answer(&desk, &seat, &filter, &shown, &List::Users(behind)).await
}

/// MSPs, with what each does otherwise than AID.02 has it.
pub(super) async fn msps(State(desk): At, headers: HeaderMap) -> Answer {
    let seat = Seat::of(&*desk, &headers).await?;
    let rows = operator(&desk, &seat).msps().await?;
    let content = html! {
        @for row in &rows {
            section.card {
                h2 { (row["name"].as_str().unwrap_or_default()) }
                dl {
                    dt { "Address" } dd { (cells().cell("url", &row["url"])) }
                    dt { "Client id" } dd { (cells().cell("client_id", &row["client_id"])) }
                    dt { "Touchpoint" } dd { (cells().cell("touchpoint", &row["touchpoint"])) }
                }
                h3 { "Deviations from AID.02 that are tolerated" }
                @let list = row["deviations"].as_array().map(Vec::as_slice).unwrap_or_default();
                (cells().table("Deviations", &["kind", "count", "first_at", "last_at"], list))
            }
        }
    };
    Ok(seat.page("/console/msps", "MSPs", content))
}

/// The audit trail.
pub(super) async fn audit(State(desk): At, headers: HeaderMap, asked: Asked) -> Answer {
    let (seat, Query(filter)) = (Seat::of(&*desk, &headers).await?, asked?);
    let days = match filter.days.as_str() {
        "" => 30,
        text => text
            .parse()
            .map_err(|_| Refusal::invalid("days must be a number"))?,
    };
    let trail = Trail {
        days,
        actor: some(&filter.actor),
        about: some(&filter.about),
    };
    let shown = Shown {
        path: "/console/audit",
        title: "Audit",
        columns: &["at", "who", "what", "on", "why"],
        fields: html! {
            (field("actor", "Who", &filter.actor))
            (field("about", "About (EID, ICCID, reference)", &filter.about))
            (field("days", "Of so many days", &days.to_string()))
        },
    };
    answer(&desk, &seat, &filter, &shown, &List::Audit(trail)).await
}
