//! The AID1 server: the four operations that CMPs call (AID.02 Annex B.2), over mutual TLS.
//!
//! One way in for all: limits, who calls, which operation; then a [`Call`] is answered. Every refusal carries the body of
//! §5.5. `keys` knows who may call, `operation` what each call is answered with, once and the same again.

mod call;
mod keys;
mod operation;

use std::sync::Arc;
use std::time::{Duration, Instant};

use aid_aid1::contract::{Contract, OPENAPI, openapi};
use aid_aid1::error_code::{ApiError, ErrorCode};
use aid_aid1::headers::PartyId;
use aid_aid1::operation::{Api as _, MspOperation};
use aid_aid1::server::{
    Caller, Gate, MAX_PATH, Shown, ids, method_not_allowed, refusal_body, too_many,
};
use aid_aid1::span::{self, Kind, Span};
use aid_aid1::trace::summary;
use aid_cli::cli::TRACE;
use aid_serve::http::{Peer, Refusal};
use aid_serve::limit::{Limiter, Rate, retry_after};
use aid_serve::metrics::{Counter, Timer};
use axum::Router;
use axum::body::Body;
use axum::extract::{RawQuery, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use tokio::sync::watch;

use crate::core::call::Answer;
use crate::core::order::Usual;
use crate::msp::Msp;

pub(crate) use call::Call;
use call::{read_body, route};
pub(crate) use keys::Keys;
pub(crate) use operation::answer;

static REQUESTS: Counter = Counter::new(
    "aid_msp_aid1_requests",
    "Calls of CMPs by operation and status",
);
static TIMES: Timer = Timer::new(
    "aid_msp_aid1_request_seconds",
    "Time to answer a call of a CMP",
);
static LIMITED: Counter = Counter::new("aid_msp_rate_limited", "Requests answered with 429");

/// Whose rate counts: a known caller's, or that of a certificate that proved nothing more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Party(PartyId),
    Certificate([u8; 32]),
}

/// What the handlers share.
#[derive(Clone)]
struct Api {
    msp: Msp,
    gate: watch::Receiver<Arc<Gate>>,
    limiter: Arc<Limiter<Who>>,
    openapi: Arc<str>,
}

/// What the HTTP layer refuses by itself, in the contract's form.
#[must_use]
pub(crate) fn refuse(status: StatusCode) -> Refusal {
    Refusal {
        content_type: "application/json",
        body: refusal_body(status),
    }
}

/// The routes of Annex B.2.
pub(crate) fn router(msp: Msp, keys: &Keys, rate: Rate) -> Router {
    let gate = keys.gate.subscribe();
    let limiter = Arc::new(Limiter::new(rate));
    let openapi = openapi::<MspOperation>().into();
    // The paths are taken apart here and not by the router, so that a bad token is our refusal and not a framework's.
    Router::new().fallback(outer).with_state(Api {
        msp,
        gate,
        limiter,
        openapi,
    })
}

/// Counts, limits, serves the document, and gives the caller's ids back (R-5.1-8); the rest is [`entry`]'s.
async fn outer(state: State<Api>, query: RawQuery, request: Request) -> Response {
    let start = Instant::now();
    let api = state.0.clone();
    let ids = ids(request.headers());
    let path = request.uri().path().to_owned();
    let found = MspOperation::at(&path).map(|(operation, _)| operation.contract());
    let name = found.map_or("none", |contract| contract.id);
    let admitted = limited(&api, &request);
    let mut answer = match admitted {
        Err(wait) => {
            LIMITED.add(&[("listener", "aid1")]);
            let mut answer = json(StatusCode::TOO_MANY_REQUESTS, error_json(&too_many()));
            let wait = HeaderValue::from(retry_after(wait));
            answer.headers_mut().insert(header::RETRY_AFTER, wait);
            answer
        }
        // It says no more than the specification does, but a stranger to all CMPs has no business here.
        Ok(_) if path == OPENAPI => match known(&api, &request) {
            Ok(()) => document(&api, request.method()),
            Err(error) => json(error.status, error_json(&error)),
        },
        Ok(caller) => {
            let span = found.zip(caller).and_then(|(contract, caller)| {
                Span::begin(
                    contract.name,
                    Kind::Server,
                    caller.headers.correlation_id,
                    span::from_headers(request.headers()),
                    caller.headers.client_id.as_str(),
                )
            });
            // A task of its own: where the caller hangs up, what was begun is finished and its answer stored, so
            // that the repetition finds it.
            let answering = span::within(span.as_ref(), entry(state, query, request));
            let answer = tokio::spawn(answering).await.unwrap_or_else(|error| {
                tracing::error!(%error, "a request was not answered");
                let error = ApiError::new(ErrorCode::Internal);
                json(error.status, error_json(&error))
            });
            if let Some(span) = span {
                span.end(Some(answer.status().as_u16()));
            }
            answer
        }
    };
    let status = answer.status();
    let headers = answer.headers_mut();
    headers.extend(ids);
    // RFC 9110 §15.5.2
    if status == StatusCode::UNAUTHORIZED {
        let value = HeaderValue::from_static("Basic realm=\"AID1\", charset=\"UTF-8\"");
        headers.insert(header::WWW_AUTHENTICATE, value);
    }
    REQUESTS.add(&[("operation", name), ("status", status.as_str())]);
    TIMES.took(&[("operation", name)], start.elapsed());
    answer
}

/// `/openapi.json`
fn document(api: &Api, method: &Method) -> Response {
    if *method == Method::GET {
        return json(StatusCode::OK, api.openapi.to_string());
    }
    let error = method_not_allowed();
    let mut answer = json(error.status, error_json(&error));
    let get = HeaderValue::from_static("GET");
    answer.headers_mut().insert(header::ALLOW, get);
    answer
}

fn json(status: StatusCode, body: String) -> Response {
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, json);
    answer
}

/// Who calls, by headers and certificate.
fn admit(api: &Api, request: &Request) -> Result<Caller, ApiError> {
    admit_parts(api, request.headers(), request.extensions().get::<Peer>())
}

/// Whether the certificate is that of any CMP.
fn known(api: &Api, request: &Request) -> Result<(), ApiError> {
    let shown = shown(request.extensions().get::<Peer>());
    let gate = Arc::clone(&api.gate.borrow());
    gate.check_known(shown)
}

fn shown(peer: Option<&Peer>) -> Shown<'_> {
    let nobody = Shown {
        common_name: None,
        sha256: [0; 32],
    };
    peer.map_or(nobody, Peer::shown)
}

fn admit_parts(api: &Api, headers: &HeaderMap, peer: Option<&Peer>) -> Result<Caller, ApiError> {
    let gate = Arc::clone(&api.gate.borrow());
    gate.admit(headers, shown(peer))
}

/// Takes one token of the caller, or of the certificate where nobody was admitted. Without a token of the certificate no key
/// is judged, not even the right one.
fn limited(api: &Api, request: &Request) -> Result<Option<Caller>, Duration> {
    let print = request.extensions().get::<Peer>().map(|p| p.fingerprint);
    let certificate = Who::Certificate(print.unwrap_or_default());
    let now = Instant::now();
    let admitted = api
        .limiter
        .attempt(&certificate, now, || admit(api, request))?;
    let caller = admitted.ok();
    if let Some(caller) = &caller {
        let party = Who::Party(caller.headers.client_id.clone());
        api.limiter.take(&party, now)?;
    }
    Ok(caller)
}

async fn entry(State(api): State<Api>, RawQuery(query): RawQuery, request: Request) -> Response {
    let contract =
        MspOperation::at(request.uri().path()).map(|(operation, _)| operation.contract());
    let mut response = match receive(&api, query.as_deref().unwrap_or_default(), request).await {
        Err(error) => response(Err(refusal(contract, error))),
        Ok(call) => match &api.msp.layer {
            Some(layer) => layer.answer(&api.msp, &call).await,
            None => response(answer(&api.msp, &call, Arc::new(Usual)).await),
        },
    };
    // RFC 9110 §15.5.6
    if response.status() == StatusCode::METHOD_NOT_ALLOWED
        && let Some(contract) = contract
        && let Ok(method) = HeaderValue::from_str(contract.method.as_str())
    {
        response.headers_mut().insert(header::ALLOW, method);
    }
    response
}

/// A refusal under a status that the operation has.
fn refusal(contract: Option<&Contract>, error: ApiError) -> ApiError {
    match contract {
        Some(contract) => contract.refusal(error),
        None => error,
    }
}

/// An answer or a refusal as HTTP.
fn response(answer: Result<Answer, ApiError>) -> Response {
    let (status, body) = match answer {
        Ok(answer) => {
            let status = StatusCode::from_u16(answer.status);
            let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, answer.body)
        }
        Err(error) => (error.status, error_json(&error)),
    };
    tracing::trace!(target: TRACE, "-> AID1 {status} {}", summary(body.as_bytes()));
    if body.is_empty() {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        return response;
    }
    json(status, body)
}

pub(crate) fn error_json(error: &ApiError) -> String {
    // Two strings always serialise.
    serde_json::to_string(&error.body()).unwrap_or_default()
}

/// Lets a request in, and reads it whole.
async fn receive(api: &Api, query: &str, request: Request) -> Result<Call, ApiError> {
    let (parts, body) = request.into_parts();
    if parts.uri.path().len() + query.len() > MAX_PATH {
        let refusal = ApiError::because(ErrorCode::Syntax, "the path is too long");
        return Err(refusal.with_status(StatusCode::URI_TOO_LONG));
    }
    let (operation, token) = route(&parts.method, parts.uri.path())?;
    let token = token.to_owned();
    let caller = admit_parts(api, &parts.headers, parts.extensions.get::<Peer>())?;
    api.gate.borrow().permit(&caller, operation.contract())?;
    let body = match operation {
        MspOperation::RequestProfileStatus => None,
        MspOperation::RequestActivationCode
        | MspOperation::SendCsimStatus
        | MspOperation::RequestInvalidate => read_body(body).await?,
    };
    Ok(Call {
        caller,
        operation,
        token,
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: query.to_owned(),
        headers: parts.headers,
        body,
    })
}
