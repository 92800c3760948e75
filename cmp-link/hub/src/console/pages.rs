//! The operator's pages: what fails, who is connected, what was carried. They show and change nothing; a change is a
//! command or a call of the API, each of which is in the audit trail.

use aid_serve::page;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use maud::{DOCTYPE, Markup, html};

use crate::core::pair::PairState;
use crate::hub::{Hub, day, now_ms, rfc3339};
use crate::store::{CallFilter, CallRow, CallState, MeterFilter};

/// Most rows of a table.
const ROWS: i64 = 100;
/// Days of traffic that are shown.
const DAYS: i64 = 7;
const DAY: i64 = 86_400_000;

/// Wide tables on wide screens, and nothing from elsewhere.
const STYLE: &str = "\
:root{color-scheme:light dark;font:1rem/1.5 system-ui,sans-serif}
body{margin:0 auto;max-width:72rem;padding:0 1rem 3rem;overflow-wrap:anywhere}
nav{display:flex;flex-wrap:wrap;gap:.25rem;padding:.5rem 0;border-bottom:1px solid #8886}
nav a{padding:.65rem .75rem;border-radius:.5rem;color:inherit;text-decoration:none}
nav a[aria-current]{background:#8882;font-weight:600}
table{border-collapse:collapse;width:100%}caption{text-align:start;padding:.5rem 0;opacity:.8}
th,td{text-align:start;padding:.4rem .75rem .4rem 0;border-top:1px solid #8884;vertical-align:top}
td.number,th.number{text-align:end;font-variant-numeric:tabular-nums}
.wrong{font-weight:600;color:#b3261e}@media(prefers-color-scheme:dark){.wrong{color:#f2b8b5}}
div.scroll{overflow-x:auto}:focus-visible{outline:3px solid #f2a900;outline-offset:2px}
";

/// Names of the pages.
const PAGES: [(&str, &str); 4] = [
    ("/", "Failures"),
    ("/parties", "Parties"),
    ("/pairs", "Pairs"),
    ("/traffic", "Traffic"),
];

/// The routes.
pub(super) fn router() -> Router<Hub> {
    Router::new()
        .route("/", get(failures))
        .route("/parties", get(parties))
        .route("/pairs", get(pairs))
        .route("/traffic", get(traffic))
        .route("/style.css", get(style))
}

async fn style() -> Response {
    let kind = (header::CONTENT_TYPE, "text/css; charset=utf-8");
    let sniff = (header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    ([kind, sniff], STYLE).into_response()
}

fn shown(at: &str, content: &Markup) -> Response {
    let title = PAGES
        .iter()
        .find(|(path, _)| *path == at)
        .map_or("", |(_, title)| title);
    let html = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " – aid-hub" }
                link rel="stylesheet" href="/style.css";
            }
            body {
                nav aria-label="Pages" {
                    @for (path, name) in PAGES {
                        a href=(path) aria-current=[(path == at).then_some("page")] { (name) }
                    }
                }
                main { h1 { (title) } (content) }
            }
        }
    };
    page::answer(StatusCode::OK, html.into_string(), &[])
}

fn unavailable(error: &impl std::fmt::Display) -> Response {
    tracing::error!(%error, "a page was not shown");
    let text = "The database can't be read now. Reload the page; the log says why.";
    let html =
        html! { (DOCTYPE) html lang="en" { head { title { "aid-hub" } } body { p { (text) } } } };
    page::answer(StatusCode::SERVICE_UNAVAILABLE, html.into_string(), &[])
}

fn time(ms: i64) -> Markup {
    let text = rfc3339(ms);
    html! { time datetime=(text) { (text) } }
}

/// A table that can be scrolled by itself; its rows are table rows.
fn table(caption: &str, heads: &[&str], rows: &Markup) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(caption) {
            table {
                caption { (caption) }
                thead { tr { @for head in heads { th scope="col" { (head) } } } }
                tbody { (rows) }
            }
        }
    }
}

fn calls(caption: &str, calls: &[CallRow]) -> Markup {
    let heads = [
        "Call",
        "Pair",
        "Operation",
        "To",
        "Since",
        "Attempts",
        "Next",
        "Last failure",
    ];
    let rows = html! {
        @for call in calls.iter().rev() {
            tr {
                td { (call.id) }
                td { (call.pair) }
                td { (call.operation.contract().name) }
                td { (call.target) }
                td { (time(call.created_at)) }
                td.number { (call.attempts) }
                td { @if call.state == CallState::Waiting { (time(call.next_at)) } }
                td { (call.last_error) }
            }
        }
    };
    html! {
        @if calls.is_empty() { p { (caption) ": none." } } @else { (table(caption, &heads, &rows)) }
    }
}

/// What needs a person: no window of time hides it.
async fn failures(State(hub): State<Hub>) -> Response {
    let list = async |state| {
        let filter = CallFilter {
            state: Some(state),
            pair: None,
            limit: ROWS,
        };
        hub.store.calls(filter).await
    };
    let (dead, waiting) = match (list(CallState::Dead).await, list(CallState::Waiting).await) {
        (Ok(dead), Ok(waiting)) => (dead, waiting),
        (Err(error), _) | (_, Err(error)) => return unavailable(&error),
    };
    let network = hub.network();
    let directory = &network.directory;
    let suspended = directory.parties().iter();
    let suspended =
        suspended.filter_map(|party| Some((party.id(), party.record.suspended.as_ref()?)));
    let content = html! {
        @for (id, reason) in suspended {
            p.wrong { "Party " (id) " is suspended: " (reason) }
        }
        @for pair in directory.pairs().iter().filter(|pair| pair.state == PairState::Suspended) {
            p.wrong { "Pair " (pair.id()) " is suspended." }
        }
        (calls("Dead letters: replay or drop each, with aid-hub call replay or call drop", &dead))
        (calls("Accepted, and not delivered yet", &waiting))
    };
    shown("/", &content)
}

async fn parties(State(hub): State<Hub>) -> Response {
    let network = hub.network();
    let rows = html! {
        @for party in network.directory.parties() {
            @let record = &party.record;
            tr {
                td { (record.id) }
                td { (record.name) }
                td { (record.role.as_str()) }
                td {
                    @match &record.suspended {
                        Some(reason) => span.wrong { "suspended: " (reason) },
                        None => "active",
                    }
                }
                td { (record.url) }
                td { (record.touchpoint.as_deref().unwrap_or("none")) }
                td { (record.common_name.join(", ")) }
                td.number { (record.certificate_sha256.len()) }
            }
        }
    };
    let heads = [
        "client-id",
        "Name",
        "Role",
        "State",
        "Address",
        "Touchpoint",
        "Common names",
        "Pinned",
    ];
    shown("/parties", &table("Who is connected", &heads, &rows))
}

async fn pairs(State(hub): State<Hub>) -> Response {
    let network = hub.network();
    let rows = html! {
        @for pair in network.directory.pairs() {
            tr {
                td { (pair.msp) @if let Some(name) = &pair.msp_as { " (as " (name) ")" } }
                td { (pair.cmp) @if let Some(name) = &pair.cmp_as { " (as " (name) ")" } }
                td {
                    @match pair.state {
                        PairState::Live => "live",
                        PairState::Sandbox => "sandbox",
                        PairState::Suspended => span.wrong { "suspended" },
                    }
                }
                td.number {
                    @match pair.rate {
                        Some(rate) => { (rate.per_second) " per second, " (rate.burst) " at once" },
                        None => "as configured",
                    }
                }
                td { @if pair.keep { "kept" } @else { "passed back" } }
            }
        }
    };
    let heads = [
        "MSP",
        "CMP",
        "State",
        "Rate",
        "Calls for a party that is away",
    ];
    shown("/pairs", &table("Who may call whom", &heads, &rows))
}

async fn traffic(State(hub): State<Hub>) -> Response {
    let filter = MeterFilter {
        from: day(now_ms() - (DAYS - 1) * DAY),
        to: "9".into(),
        pair: None,
    };
    let meter = match hub.store.meter(filter).await {
        Ok(meter) => meter,
        Err(error) => return unavailable(&error),
    };
    let rows = html! {
        @for row in meter.iter().rev() {
            tr {
                td { (row.day) }
                td { (row.pair) @if row.environment == "sandbox" { " (sandbox)" } }
                td { (row.operation) }
                @for number in [row.counts.calls, row.counts.refused, row.counts.failed, row.counts.kept, row.counts.delivered] {
                    td.number { (number) }
                }
            }
        }
    };
    let heads = [
        "Day (UTC)",
        "Pair",
        "Operation",
        "Calls",
        "Refused",
        "Failed",
        "Kept",
        "Delivered",
    ];
    shown("/traffic", &table("The last seven days", &heads, &rows))
}
