//! The local API (AID4): HTTP over a unix socket, users allowed by their uid, bodies bounded.
//! R-3.2-6. Requests become commands to the daemon's loop, which alone owns the core. `docs/wire/aid4.md` describes it,
//! `api/openapi.json`, which the agent serves, defines it.

mod door;
mod events;

pub(crate) use events::Told;

use crate::signals;
use aid_agent_core::Iccid;
use aid_cli::object::Object;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Extension, Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::sync::{broadcast, mpsc, oneshot};

/// Largest request body, bytes.
const MAX_BODY: usize = 4096;
/// Longest time for a request's body to arrive and be answered. The stream of events begins within it.
const REQUEST: Duration = Duration::from_secs(10);
/// The document that defines the API.
const OPENAPI: &str = include_str!("api/openapi.json");

/// What a request asks of the loop.
#[derive(Debug)]
pub(crate) enum Command {
    Login {
        user: String,
        pin: String,
    },
    /// A login by a code that the HMI shows and the user approves on a page of the CMP.
    LoginByCode,
    Logout,
    /// The user who is logged in deletes his own profile.
    Delete(Iccid),
    /// The user wants a profile again in this car.
    Provision,
    /// Users, profiles and keys go: the car is sold.
    FactoryReset,
    /// A signal of the vehicle has this value.
    Signal(String, Value),
    Status,
    Signals,
    /// What the agent does and waits for.
    Work,
    /// What is in the journal.
    Journal,
    Diagnostics,
    Profiles,
    Counters,
}

/// A command with the place for its answer.
pub(crate) type Call = (Command, oneshot::Sender<Value>);

#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) calls: mpsc::Sender<Call>,
    pub(crate) events: broadcast::Sender<Told>,
    /// User ids that may use it.
    pub(crate) uids: Vec<u32>,
    /// Those of them who always get a connection.
    pub(crate) privileged: [u32; 2],
}

/// The user id of who asks, as the kernel says.
#[derive(Clone, Copy)]
struct Peer(Option<u32>);

/// Serves until the task is dropped.
pub(crate) async fn serve(listener: UnixListener, api: Api) -> std::io::Result<()> {
    let router = Router::new()
        .route("/v1/login", post(login))
        .route(
            "/v1/logout",
            post(|State(a): State<Api>| async move { a.call(Command::Logout, 202).await }),
        )
        .route(
            "/v1/login-code",
            post(|State(a): State<Api>| async move { a.call(Command::LoginByCode, 202).await }),
        )
        .route("/v1/profiles/{iccid}/delete", post(delete))
        .route(
            "/v1/provision",
            post(|State(a): State<Api>| async move {
                let no = "nobody is logged in who was asked about another profile";
                a.accepted(Command::Provision, no).await
            }),
        )
        .route("/v1/factory-reset", post(factory_reset))
        .route(
            "/v1/status",
            get(|State(a): State<Api>| async move { a.call(Command::Status, 200).await }),
        )
        .route(
            "/v1/profiles",
            get(|State(a): State<Api>| async move { a.call(Command::Profiles, 200).await }),
        )
        .route(
            "/v1/counters",
            get(|State(a): State<Api>| async move { a.call(Command::Counters, 200).await }),
        )
        .route(
            "/v1/signals",
            get(|State(a): State<Api>| async move { a.call(Command::Signals, 200).await }),
        )
        .route("/v1/signals/{name}", put(signal))
        .route(
            "/v1/work",
            get(|State(a): State<Api>| async move { a.call(Command::Work, 200).await }),
        )
        .route(
            "/v1/journal",
            get(|State(a): State<Api>| async move { a.call(Command::Journal, 200).await }),
        )
        .route(
            "/v1/diagnostics",
            get(|State(a): State<Api>| async move { a.call(Command::Diagnostics, 200).await }),
        )
        .route("/v1/events", get(events::events))
        .route("/v1/openapi.json", get(openapi))
        .fallback(|| async { refusal(StatusCode::NOT_FOUND, "no such path") })
        .method_not_allowed_fallback(|| async {
            refusal(StatusCode::METHOD_NOT_ALLOWED, "no such method")
        })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(api.clone(), allowed))
        .with_state(api.clone());
    door::serve(listener, &api, router).await
}

async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

fn refusal(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({"error": error}))).into_response()
}

async fn allowed(
    State(api): State<Api>,
    Extension(Peer(uid)): Extension<Peer>,
    request: Request,
    next: Next,
) -> Response {
    match uid {
        Some(uid) if api.uids.contains(&uid) => {
            let answer = tokio::time::timeout(REQUEST, next.run(request)).await;
            answer.unwrap_or_else(|_| {
                refusal(
                    StatusCode::REQUEST_TIMEOUT,
                    "the request did not arrive in time",
                )
            })
        }
        _ => refusal(
            StatusCode::FORBIDDEN,
            "this user may not use the agent's API (api_uids)",
        ),
    }
}

impl Api {
    async fn ask(&self, command: Command) -> Option<Value> {
        let (answer, answered) = oneshot::channel();
        self.calls.send((command, answer)).await.ok()?;
        answered.await.ok()
    }

    async fn call(&self, command: Command, ok: u16) -> Response {
        match self.ask(command).await {
            Some(value) if value["unavailable"].is_string() => unavailable(&value),
            Some(value) => {
                let status = StatusCode::from_u16(ok).unwrap_or(StatusCode::OK);
                (status, Json(value)).into_response()
            }
            None => stopping(),
        }
    }

    /// 202 where the loop accepts the command, 409 with this text where not.
    async fn accepted(&self, command: Command, otherwise: &str) -> Response {
        match self.ask(command).await {
            Some(value) if value["unavailable"].is_string() => unavailable(&value),
            Some(value) if value["accepted"] == true => {
                (StatusCode::ACCEPTED, Json(json!({}))).into_response()
            }
            Some(_) => refusal(StatusCode::CONFLICT, otherwise),
            None => stopping(),
        }
    }
}

/// The agent can't do it at present, and says why.
fn unavailable(value: &Value) -> Response {
    let text = value["unavailable"].as_str().unwrap_or_default();
    refusal(StatusCode::SERVICE_UNAVAILABLE, text)
}

fn stopping() -> Response {
    refusal(StatusCode::SERVICE_UNAVAILABLE, "the agent is stopping")
}

async fn delete(State(api): State<Api>, Path(iccid): Path<String>) -> Response {
    match iccid.parse() {
        Ok(iccid) => {
            let no = "this is no profile of the user who is logged in";
            api.accepted(Command::Delete(iccid), no).await
        }
        Err(_) => refusal(StatusCode::BAD_REQUEST, "this is no ICCID"),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResetBody {
    /// True: whoever asks knows that nothing of it comes back.
    confirm: bool,
}

/// Only root and the agent's own user: a process of the car that may log users in must not make a brick of it.
async fn factory_reset(
    State(api): State<Api>,
    Extension(Peer(uid)): Extension<Peer>,
    body: Result<Json<Object<ResetBody>>, axum::extract::rejection::JsonRejection>,
) -> Response {
    if uid.is_none_or(|uid| !api.privileged.contains(&uid)) {
        let text = "only root and the agent's own user may reset the car";
        return refusal(StatusCode::FORBIDDEN, text);
    }
    let Ok(Json(Object(ResetBody { confirm: true }))) = body else {
        return refusal(StatusCode::BAD_REQUEST, r#"expected JSON {"confirm":true}"#);
    };
    let no = "the car is being reset already, or was";
    api.accepted(Command::FactoryReset, no).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignalBody {
    value: Value,
}

async fn signal(
    State(api): State<Api>,
    Path(name): Path<String>,
    body: Result<Json<Object<SignalBody>>, axum::extract::rejection::JsonRejection>,
) -> Response {
    let Ok(Json(Object(SignalBody { value }))) = body else {
        return refusal(StatusCode::BAD_REQUEST, r#"expected JSON {"value":...}"#);
    };
    match api.ask(Command::Signal(name, value)).await {
        Some(answer) if answer["unknown"] == true => {
            let names = signals::SIGNALS.map(|(name, _)| name).join(", ");
            refusal(
                StatusCode::NOT_FOUND,
                &format!("there is no such signal; the signals are {names}"),
            )
        }
        Some(answer) if answer["expected"].is_string() => {
            let expected = answer["expected"].as_str().unwrap_or_default();
            refusal(
                StatusCode::BAD_REQUEST,
                &format!("the value has to be {expected}"),
            )
        }
        Some(_) => Json(json!({})).into_response(),
        None => stopping(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LoginBody {
    user: String,
    pin: String,
}

async fn login(
    State(api): State<Api>,
    body: Result<Json<Object<LoginBody>>, axum::extract::rejection::JsonRejection>,
) -> Response {
    let Ok(Json(Object(LoginBody { user, pin }))) = body else {
        return refusal(
            StatusCode::BAD_REQUEST,
            r#"expected JSON {"user":"...","pin":"..."}"#,
        );
    };
    let digits = (4..=16).contains(&pin.len()) && pin.bytes().all(|b| b.is_ascii_digit());
    if user.is_empty() || user.len() > 128 || user.chars().any(char::is_control) || !digits {
        let text = "user has 1 to 128 bytes without control characters, pin 4 to 16 digits";
        return refusal(StatusCode::BAD_REQUEST, text);
    }
    api.call(Command::Login { user, pin }, 202).await
}
