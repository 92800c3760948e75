//! The local API (AID4): HTTP over a unix socket, users allowed by their uid, bodies bounded.
//! R-3.2-6. Requests become commands to the daemon's loop, which alone owns the core. `docs/wire/aid4.md` describes it,
//! `api/openapi.json`, which the agent serves, defines it.

mod door;
mod events;
mod request;

#[cfg(feature = "dbus")]
pub(crate) use events::Listener;
pub(crate) use events::Told;
pub(crate) use request::{Refusal, delete, login};

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
    /// The user who is logged in deletes their own profile.
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
        .route("/v1/login", post(log_in))
        .route(
            "/v1/logout",
            post(|State(a): State<Api>| async move { a.call(Command::Logout, 202).await }),
        )
        .route(
            "/v1/login-code",
            post(|State(a): State<Api>| async move { a.call(Command::LoginByCode, 202).await }),
        )
        .route("/v1/profiles/{iccid}/delete", post(delete_profile))
        .route(
            "/v1/provision",
            post(|State(a): State<Api>| async move { a.call(Command::Provision, 202).await }),
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
    /// The answer of the loop with this status, or why there is none.
    async fn call(&self, command: Command, ok: u16) -> Response {
        match self.request(command).await {
            Ok(value) => {
                let status = StatusCode::from_u16(ok).unwrap_or(StatusCode::OK);
                (status, Json(value)).into_response()
            }
            Err(refused) => refused.into_response(),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, text) = match self {
            Self::Invalid(text) => (StatusCode::BAD_REQUEST, text),
            Self::NotFound(text) => (StatusCode::NOT_FOUND, text),
            Self::Conflict(text) => (StatusCode::CONFLICT, text.to_owned()),
            Self::Unavailable(text) => (StatusCode::SERVICE_UNAVAILABLE, text),
        };
        refusal(status, &text)
    }
}

async fn delete_profile(State(api): State<Api>, Path(iccid): Path<String>) -> Response {
    match delete(&iccid) {
        Ok(command) => api.call(command, 202).await,
        Err(refused) => refused.into_response(),
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
    api.call(Command::FactoryReset, 202).await
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
    api.call(Command::Signal(name, value), 200).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LoginBody {
    user: String,
    pin: String,
}

async fn log_in(
    State(api): State<Api>,
    body: Result<Json<Object<LoginBody>>, axum::extract::rejection::JsonRejection>,
) -> Response {
    let Ok(Json(Object(LoginBody { user, pin }))) = body else {
        return refusal(
            StatusCode::BAD_REQUEST,
            r#"expected JSON {"user":"...","pin":"..."}"#,
        );
    };
    match login(user, pin) {
        Ok(command) => api.call(command, 202).await,
        Err(refused) => refused.into_response(),
    }
}
