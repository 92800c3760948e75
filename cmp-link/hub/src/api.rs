//! The AID1 listener: all nine operations, called by MSPs and CMPs (AID.02 chapter 7), over mutual TLS.
//!
//! One way in for all: limits, who calls, whom it is for; then the call is carried on (`through`), or stored first
//! (`stored`). The hub's own refusals carry the body of §5.5.

mod call;
mod directory;
mod stored;
mod through;

use std::time::{Duration, Instant};

use aid_aid1::error_code::{ApiError, ErrorCode};
use aid_aid1::server::{Shown, ids, refusal_body, too_many};
use aid_aid1::span::{self, Kind, Span};
use aid_serve::http::{Peer, Refusal};
use aid_serve::metrics::{Counter, Timer};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;

use crate::core::answer::Answer;
use crate::core::operation::{Delivery, Operation};
use crate::hub::Hub;

pub(crate) use stored::token_end;

static REQUESTS: Counter = Counter::new(
    "aid_hub_requests",
    "Calls of parties by operation and status",
);
static TIMES: Timer = Timer::new(
    "aid_hub_request_seconds",
    "Time to answer a call of a party",
);
static LIMITED: Counter = Counter::new("aid_hub_rate_limited", "Requests answered with 429");

/// A refusal, and how long the caller has to wait before it calls again.
#[derive(Debug)]
struct Refused {
    error: ApiError,
    wait: Option<Duration>,
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self { error, wait: None }
    }
}

fn limited(wait: Duration) -> Refused {
    LIMITED.add(&[("listener", "aid1")]);
    Refused {
        wait: Some(wait),
        ..too_many().into()
    }
}

/// A failure of the hub's own; the log says which.
fn internal(error: impl std::fmt::Display) -> ApiError {
    tracing::error!(%error, "a call was not answered");
    ApiError::new(ErrorCode::Internal)
}

/// What the HTTP layer refuses by itself, in the contract's form.
#[must_use]
pub(crate) fn refuse(status: StatusCode) -> Refusal {
    Refusal {
        content_type: "application/json",
        body: refusal_body(status),
    }
}

/// The paths of both APIs, and the directory.
pub(crate) fn router(hub: Hub) -> Router {
    // The paths are taken apart here and not by the router, so that a bad token is our refusal and not a framework's.
    Router::new().fallback(handle).with_state(hub)
}

async fn handle(State(hub): State<Hub>, request: Request) -> Response {
    let start = Instant::now();
    let ids = ids(request.headers());
    let found = Operation::at(request.uri().path()).map(|(operation, _)| operation);
    let contract = found.map(Operation::contract);
    let name = contract.map_or("none", |contract| contract.id);
    let answered = answered(&hub, start, request).await;
    let mut response = match answered {
        Ok(answer) => response(answer),
        Err(Refused { error, wait }) => {
            let error = match contract {
                Some(contract) => contract.refusal(error),
                None => error,
            };
            tracing::info!(%error, operation = name, "a call was refused");
            let refusal = Answer::refusal(&error);
            response(match wait {
                Some(wait) => refusal.after(wait),
                None => refusal,
            })
        }
    };
    let status = response.status();
    let headers = response.headers_mut();
    headers.extend(ids);
    // RFC 9110 §15.5.2, §15.5.6
    if status == StatusCode::UNAUTHORIZED {
        let value = HeaderValue::from_static("Basic realm=\"AID1\", charset=\"UTF-8\"");
        headers.insert(header::WWW_AUTHENTICATE, value);
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        let method = contract.map_or("GET", |contract| contract.method.as_str());
        if let Ok(value) = HeaderValue::from_str(method) {
            headers.insert(header::ALLOW, value);
        }
    }
    REQUESTS.add(&[("operation", name), ("status", status.as_str())]);
    TIMES.took(&[("operation", name)], start.elapsed());
    response
}

fn shown(peer: Option<&Peer>) -> Shown<'_> {
    let nobody = Shown {
        common_name: None,
        sha256: [0; 32],
    };
    peer.map_or(nobody, Peer::shown)
}

async fn answered(hub: &Hub, start: Instant, request: Request) -> Result<Answer, Refused> {
    let path = request.uri().path();
    if path == directory::PATH {
        return directory::answer(hub, &request);
    }
    let call = call::receive(hub, start, request).await?;
    let contract = call.operation.contract();
    let span = Span::begin(
        contract.name,
        Kind::Server,
        call.headers.correlation_id,
        span::from_headers(&call.map),
        call.headers.client_id.as_str(),
    );
    let place = span.as_ref();
    let answer = match call.operation.delivery() {
        Delivery::Through => span::within(place, through::answer(hub, call)).await,
        Delivery::Answered | Delivery::Kept => span::within(place, stored::answer(hub, call)).await,
    };
    if let Some(span) = span {
        let refused = answer.as_ref().map(|answer| answer.status);
        span.end(Some(
            refused.unwrap_or_else(|error| error.error.status).as_u16(),
        ));
    }
    answer
}

fn response(answer: Answer) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    if !answer.kind.is_empty()
        && let Ok(kind) = HeaderValue::from_str(&answer.kind)
    {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    if let Some(seconds) = answer.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
