//! The listener for operators, over mutual TLS: an API for onboarding and looking, and pages (`pages`).
//!
//! Whoever is named in the configuration may do what the command line does. A body must be `application/json`, which no
//! page of another site can send from an operator's browser.

mod pages;

use aid_aid1::server::check_content_type;
use aid_serve::http::Peer;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Extension, Router};
use serde_json::{Value, json};

use crate::hub::{Hub, day, now_ms};
use crate::onboarding::Description;
use crate::program::add_party;
use crate::shown;
use crate::store::{CallFilter, CallState, Edit, MeterFilter};

/// Most calls that a list shows.
const LIST: i64 = 200;
/// Days of the meter that are shown; the command line has all.
const METER_DAYS: i64 = 31;
/// Largest description of a party, bytes.
const MAX_DESCRIPTION: usize = 64 * 1024;

/// Why a request is not carried out.
struct Wrong(StatusCode, String);

impl<E: std::fmt::Display> From<E> for Wrong {
    fn from(error: E) -> Self {
        Self(StatusCode::UNPROCESSABLE_ENTITY, error.to_string())
    }
}

type Done = Result<Value, Wrong>;

fn answer(done: Done) -> Response {
    let (status, value) = match done {
        Ok(value) => (StatusCode::OK, value),
        Err(Wrong(status, text)) => (status, json!({"error": text})),
    };
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, value.to_string()).into_response()
}

/// The routes.
pub(crate) fn router(hub: Hub) -> Router {
    Router::new()
        .route("/api/v1/parties", get(parties).post(add))
        .route("/api/v1/parties/{id}", get(party))
        .route("/api/v1/pairs", get(pairs))
        .route("/api/v1/calls/{state}", get(calls))
        .route("/api/v1/meter", get(meter))
        .route("/api/v1/audit", get(audit))
        .merge(pages::router())
        .with_state(hub)
}

async fn parties(State(hub): State<Hub>) -> Response {
    let network = hub.network();
    let all = network.directory.parties().iter();
    let all: Vec<Value> = all.map(|party| shown::party(&party.record)).collect();
    answer(Ok(Value::from(all)))
}

async fn party(State(hub): State<Hub>, Path(id): Path<String>) -> Response {
    let network = hub.network();
    let found = id.parse().ok().and_then(|id| network.directory.party(&id));
    let absent = || Wrong(StatusCode::NOT_FOUND, "there is no such party".into());
    answer(
        found
            .map(|party| shown::party(&party.record))
            .ok_or_else(absent),
    )
}

async fn pairs(State(hub): State<Hub>) -> Response {
    let network = hub.network();
    let all: Vec<Value> = network.directory.pairs().iter().map(shown::pair).collect();
    answer(Ok(Value::from(all)))
}

async fn calls(State(hub): State<Hub>, Path(state): Path<String>) -> Response {
    let done = async {
        let unknown = || Wrong(StatusCode::NOT_FOUND, "there is no such state".into());
        let state: CallState = state.parse().map_err(|()| unknown())?;
        let filter = CallFilter {
            state: Some(state),
            pair: None,
            limit: LIST,
        };
        let rows = hub.store.calls(filter).await?;
        Ok(rows.iter().map(shown::call).collect::<Vec<_>>().into())
    };
    answer(done.await)
}

async fn meter(State(hub): State<Hub>) -> Response {
    let done = async {
        let filter = MeterFilter {
            from: day(now_ms() - (METER_DAYS - 1) * 86_400_000),
            to: "9".into(),
            pair: None,
        };
        let rows = hub.store.meter(filter).await?;
        Ok(serde_json::to_value(rows)?)
    };
    answer(done.await)
}

async fn audit(State(hub): State<Hub>) -> Response {
    let done = async {
        let rows = hub.store.audit(0, 1000).await?;
        Ok(rows.iter().map(shown::audit).collect::<Vec<_>>().into())
    };
    answer(done.await)
}

/// Adds a party that a description tells of.
async fn add(
    State(hub): State<Hub>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Response {
    let done = async {
        let (parts, body) = request.into_parts();
        check_content_type(&parts.headers, false)
            .map_err(|error| Wrong(error.status, error.text.into_owned()))?;
        let body = aid_serve::http::whole(body, MAX_DESCRIPTION).await;
        let body = body.map_err(|_| {
            let text = format!("a description has at most {MAX_DESCRIPTION} bytes");
            Wrong(StatusCode::PAYLOAD_TOO_LARGE, text)
        })?;
        let description: Description = serde_json::from_slice(&body)?;
        let onboarded = description.onboard()?;
        let edit = Edit {
            actor: peer.common_name.unwrap_or_default(),
            action: "party added",
            subject: onboarded.record.id.to_string(),
            reason: String::new(),
            at: now_ms(),
        };
        let added = add_party(&hub.store, onboarded, false, edit).await?;
        hub.follow().await?;
        Ok(added)
    };
    answer(done.await)
}
