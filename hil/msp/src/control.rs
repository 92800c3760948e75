//! The control API: misbehaviours, administration and calls outside the contract, for test benches (docs/msp-control.md).
//!
//! Plain HTTP for programs of this machine: it listens on a loopback address only, and refuses what a web page could send.

use axum::extract::{Path, Query, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use aid_aid1::client::Call;
use aid_aid1::headers::PartyId;
use aid_cli::object::Object;

use crate::admin::{self, List};
use crate::core::desk::By;
use crate::misbehave::{Outgoing, Place, Wire, Wish};
use crate::msp::Msp;
use crate::store::Target;

/// A refusal: status and one sentence.
struct Refusal(StatusCode, String);

impl From<admin::Refusal> for Refusal {
    fn from(refusal: admin::Refusal) -> Self {
        match refusal {
            admin::Refusal::Said(failure) => Self(StatusCode::UNPROCESSABLE_ENTITY, failure.text),
            admin::Refusal::Store(error) => {
                tracing::error!(%error, "a request of the control API failed");
                Self(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
            }
        }
    }
}

impl From<axum::extract::rejection::JsonRejection> for Refusal {
    fn from(rejection: axum::extract::rejection::JsonRejection) -> Self {
        Self(rejection.status(), rejection.body_text())
    }
}

impl axum::response::IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(json!({"error": self.1}))).into_response()
    }
}

type Answer = Result<Response, Refusal>;
type Body<T> = Result<Json<Object<T>>, axum::extract::rejection::JsonRejection>;

/// The routes.
pub(crate) fn router(msp: Msp) -> Router {
    let unknown = || async { Refusal(StatusCode::NOT_FOUND, "there is no such resource".into()) };
    let method = || async {
        Refusal(
            StatusCode::METHOD_NOT_ALLOWED,
            "not with this method".into(),
        )
    };
    Router::new()
        .route("/v1/misbehaviours/names", get(names))
        .route("/v1/misbehaviours", get(list).post(add).delete(clear))
        .route("/v1/misbehaviours/{id}", axum::routing::delete(clear_one))
        .route("/v1/events", get(events))
        .route("/v1/calls", post(call))
        .route("/v1/subscriptions/{id}/{verb}", post(subscription))
        .route("/v1/profiles/{iccid}/{verb}", post(profile))
        .route("/v1/{noun}", get(show))
        .fallback(unknown)
        .method_not_allowed_fallback(method)
        .layer(axum::middleware::from_fn(local))
        .with_state(msp)
}

/// Refuses what a web page in somebody's browser could send here: a name of somebody else for this address, a form.
async fn local(request: Request, next: Next) -> Response {
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|v| v.to_str().ok());
    let name = host.map(|h| h.rsplit_once(':').map_or(h, |(name, _)| name));
    if !matches!(name, Some("localhost" | "127.0.0.1" | "[::1]")) {
        return Refusal(StatusCode::FORBIDDEN, "host must be localhost".into()).into_response();
    }
    let from_a_page = request.headers().contains_key(header::ORIGIN);
    if from_a_page {
        return Refusal(StatusCode::FORBIDDEN, "not for web pages".into()).into_response();
    }
    next.run(request).await
}

async fn names() -> Json<Value> {
    Json(admin::misbehaviours())
}

async fn list(State(msp): State<Msp>) -> Answer {
    Ok(Json(admin::rules(&msp).await?).into_response())
}

async fn add(State(msp): State<Msp>, wish: Body<Wish>) -> Answer {
    let Json(Object(wish)) = wish?;
    let rule = admin::add_rule(&msp, wish).await?;
    Ok((StatusCode::CREATED, Json(rule)).into_response())
}

async fn clear(State(msp): State<Msp>) -> Answer {
    Ok(Json(admin::clear_rules(&msp, None).await?).into_response())
}

async fn clear_one(State(msp): State<Msp>, Path(id): Path<i64>) -> Answer {
    Ok(Json(admin::clear_rules(&msp, Some(id)).await?).into_response())
}

/// The part of the events that is asked for.
#[derive(Deserialize)]
struct After {
    #[serde(default)]
    after: i64,
}

async fn events(State(msp): State<Msp>, Query(After { after }): Query<After>) -> Answer {
    Ok(Json(admin::events(&msp, after).await?).into_response())
}

async fn show(State(msp): State<Msp>, Path(noun): Path<String>) -> Answer {
    let list = match noun.as_str() {
        "cmps" => admin::cmps(&msp),
        noun => match List::of(noun) {
            Some(list) => list.all(&msp).await?,
            None => {
                return Err(Refusal(
                    StatusCode::NOT_FOUND,
                    "there is no such resource".into(),
                ));
            }
        },
    };
    Ok(Json(list).into_response())
}

/// Why, and where.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Why {
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    cmp: Option<String>,
}

/// What the command line does with a subscription.
async fn subscription(
    State(msp): State<Msp>,
    Path((id, verb)): Path<(String, String)>,
    body: Body<Map<String, Value>>,
) -> Answer {
    let Json(Object(body)) = body?;
    let body = Value::Object(body);
    let wrong = |e: serde_json::Error| Refusal(StatusCode::UNPROCESSABLE_ENTITY, e.to_string());
    let done = if verb == "update" {
        let change = serde_json::from_value(body).map_err(wrong)?;
        admin::update_subscription(&msp, &id, change, &By::command(None)).await?
    } else {
        let why: Why = serde_json::from_value(body).map_err(wrong)?;
        let by = &By::command(why.reason.as_deref());
        match verb.as_str() {
            "suspend" => admin::block(&msp, &id, true, by).await?,
            "resume" => admin::block(&msp, &id, false, by).await?,
            "end" => admin::end_subscription(&msp, &id, by).await?,
            "withdraw" => {
                let target = Target::Subscription(id);
                admin::withdraw(&msp, target, why.cmp.as_deref(), by).await?
            }
            _ => {
                return Err(Refusal(
                    StatusCode::NOT_FOUND,
                    "there is no such action".into(),
                ));
            }
        }
    };
    msp.outbox.notify_one();
    Ok(Json(done).into_response())
}

/// What the command line does with a profile.
async fn profile(
    State(msp): State<Msp>,
    Path((iccid, verb)): Path<(String, String)>,
    why: Body<Why>,
) -> Answer {
    let Json(Object(why)) = why?;
    if !matches!(verb.as_str(), "defect" | "suspend" | "resume") {
        return Err(Refusal(
            StatusCode::NOT_FOUND,
            "there is no such action".into(),
        ));
    }
    let wrong = |e: aid_id::IccidError| Refusal(StatusCode::UNPROCESSABLE_ENTITY, e.to_string());
    let iccid = iccid.parse().map_err(wrong)?;
    let by = By::command(why.reason.as_deref());
    let done = admin::fate(&msp, &iccid, &verb, &by).await?;
    msp.outbox.notify_one();
    Ok(Json(done).into_response())
}

/// A call to a CMP, right or wrong.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnyCall {
    cmp: PartyId,
    method: String,
    path: String,
    #[serde(default)]
    request_id: Option<Uuid>,
    #[serde(default)]
    correlation_id: Option<Uuid>,
    /// Replace the right ones; an empty text removes one.
    #[serde(default)]
    headers: std::collections::BTreeMap<String, String>,
    /// JSON; a text is sent as it is.
    #[serde(default)]
    body: Option<Value>,
}

async fn call(State(msp): State<Msp>, body: Body<AnyCall>) -> Answer {
    let Json(Object(wanted)) = body?;
    let wrong = |text: String| Refusal(StatusCode::UNPROCESSABLE_ENTITY, text);
    let cmp = msp
        .cmp(&wanted.cmp)
        .ok_or_else(|| wrong(format!("there is no cmp {}", wanted.cmp)))?;
    let method: Method = wanted
        .method
        .parse()
        .map_err(|_| wrong("method is no HTTP method".into()))?;
    if !wanted.path.starts_with('/') {
        return Err(wrong("path must begin with /".into()));
    }
    let ids = Call {
        request_id: wanted.request_id.unwrap_or_else(Uuid::new_v4),
        correlation_id: wanted.correlation_id.unwrap_or_else(Uuid::new_v4),
    };
    let text = wanted.body.map(|body| match body {
        Value::String(text) => text,
        other => other.to_string(),
    });
    let mut outgoing = Outgoing::new(Place::SendMspToken, method, wanted.path, ids, String::new());
    outgoing.body = text;
    for (name, value) in wanted.headers {
        let name = name
            .parse()
            .map_err(|_| wrong(format!("{name:?} is no header name")))?;
        outgoing.headers.push((name, value));
    }
    let wire = Wire::new(&cmp.settings).map_err(|e| wrong(e.to_string()))?;
    let said = wire.send(&outgoing).await;
    Ok(Json(json!({
        "status": said.status, "code": said.code, "error": said.note, "body": said.body,
        "request_id": ids.request_id.to_string(), "correlation_id": ids.correlation_id.to_string(),
    }))
    .into_response())
}
