//! The CMP's AID1 API (Annex B.1) as HTTP: finds the operation, admits the caller, reads path and body,
//! answers in the contract's form, errors among it (§5.5: every answer that is not 2xx has a JSON body).
//!
//! The order of the checks is: rate, path, method, caller, content type, form of path and body, and only
//! then anything that belongs to somebody. `/openapi.json` needs the client certificate of an MSP and nothing
//! else: it says no more than the specification does.

use crate::service::Service;
use aid_aid1::contract::{OPENAPI, openapi};
use aid_aid1::error_code::{ApiError, ErrorCode};
use aid_aid1::operation::{Api as _, CmpOperation};
use aid_aid1::server::{
    MAX_PATH, check_content_type, ids, method_not_allowed, not_found, refusal_body, too_many,
};
use aid_aid1::span::{self, Kind, Span};
use aid_aid1::strict_json::MAX_BODY;
use aid_serve::http::{self, BodyError, Peer, Refusal};
use aid_serve::limit::{Limiter, Rate, retry_after};
use aid_serve::metrics::{Counter, Timer};
use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Largest body that is read before it is refused, bytes.
const MAX_READ: usize = 1 << 20;

static REQUESTS: Counter = Counter::new(
    "aid_cmp_aid1_requests",
    "Calls of MSPs by operation and status",
);
static TIMES: Timer = Timer::new(
    "aid_cmp_aid1_request_seconds",
    "Time to answer a call of an MSP",
);
static LIMITED: Counter = Counter::new("aid_cmp_rate_limited", "Requests answered with 429");

/// Whose rate counts: a known caller's, or that of a certificate that proved nothing more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Party(usize),
    Certificate([u8; 32]),
}

struct Api {
    service: Arc<Service>,
    limiter: Limiter<Who>,
    openapi: Arc<str>,
}

/// Every path goes through one handler: what is no operation gets the contract's error too.
pub fn router(service: Arc<Service>, rate: Rate) -> Router {
    let api = Api {
        service,
        limiter: Limiter::new(rate),
        openapi: openapi::<CmpOperation>().into(),
    };
    Router::new().fallback(handle).with_state(Arc::new(api))
}

/// What the HTTP layer refuses by itself, in the contract's form.
#[must_use]
pub fn refuse(status: StatusCode) -> Refusal {
    Refusal {
        content_type: "application/json",
        body: refusal_body(status),
    }
}

/// A refusal, and how long the caller has to wait before it calls again.
struct Refused {
    error: ApiError,
    wait: Option<Duration>,
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self { error, wait: None }
    }
}

async fn handle(
    State(api): State<Arc<Api>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
) -> Response {
    let start = Instant::now();
    let ids = ids(request.headers());
    let path = request.uri().path().to_owned();
    let found = CmpOperation::at(&path);
    let contract = found.map(|(operation, _)| operation.contract());
    let name = contract.map_or("none", |contract| contract.id);
    let mut answer = match operate(&api, &peer, request, found).await {
        Ok(answer) => answer,
        Err(mut refused) => {
            if let Some(contract) = contract {
                refused.error = contract.refusal(refused.error);
            }
            let error = &refused.error;
            tracing::info!(peer = ?peer.common_name, %error, "an AID1 call was refused");
            // At no operation's path there is the document, which allows GET only.
            refusal(&refused, contract.map_or(&Method::GET, |c| &c.method))
        }
    };
    answer.headers_mut().extend(ids);
    let status = answer.status();
    REQUESTS.add(&[("operation", name), ("status", status.as_str())]);
    TIMES.took(&[("operation", name)], start.elapsed());
    answer
}

async fn operate(
    api: &Api,
    peer: &Peer,
    request: Request,
    found: Option<(CmpOperation, &str)>,
) -> Result<Response, Refused> {
    let (parts, body) = request.into_parts();
    let uri = parts.uri.path_and_query().map_or("", |p| p.as_str());
    if uri.len() > MAX_PATH {
        let error = ApiError::because(ErrorCode::Syntax, "the path is too long");
        return Err(error.with_status(StatusCode::URI_TOO_LONG).into());
    }
    if parts.uri.path() == OPENAPI {
        // It says no more than the specification does, but a stranger to all MSPs has no business here.
        limit(api, &certificate(peer))?;
        api.service.agreed().gate.check_known(peer.shown())?;
        return document(api, &parts.method);
    }
    // Wrong keys cost the certificate its tokens, and without one no key is judged, not even the right one.
    let agreed = api.service.agreed();
    let judged = api.limiter.attempt(&certificate(peer), Instant::now(), || {
        agreed.gate.admit(&parts.headers, peer.shown())
    });
    let admitted = judged.map_err(limited)?;
    if let Ok(caller) = &admitted {
        limit(api, &Who::Party(caller.party))?;
    }
    let (operation, variable) = found.ok_or_else(not_found)?;
    let contract = operation.contract();
    if parts.method != contract.method {
        return Err(method_not_allowed().into());
    }
    let caller = admitted?;
    agreed.gate.permit(&caller, contract)?;
    check_content_type(&parts.headers, body.is_end_stream())?;
    let body = whole(&parts.headers, body).await?;
    let span = Span::begin(
        contract.name,
        Kind::Server,
        caller.headers.correlation_id,
        span::from_headers(&parts.headers),
        caller.headers.client_id.as_str(),
    );
    let done = api.service.operate(&caller, operation, variable, &body);
    let done = span::within(span.as_ref(), done).await;
    let done = done.map_err(|error| contract.refusal(error));
    if let Some(span) = span {
        let status = done.as_ref().map_or_else(|e| e.status.as_u16(), |s| *s);
        span.end(Some(status));
    }
    let status = StatusCode::from_u16(done?).unwrap_or(StatusCode::OK);
    Ok(status.into_response())
}

fn certificate(peer: &Peer) -> Who {
    Who::Certificate(peer.fingerprint)
}

/// Takes one token.
fn limit(api: &Api, who: &Who) -> Result<(), Refused> {
    api.limiter.take(who, Instant::now()).map_err(limited)
}

fn limited(wait: Duration) -> Refused {
    LIMITED.add(&[("listener", "aid1")]);
    Refused {
        wait: Some(wait),
        ..too_many().into()
    }
}

fn document(api: &Api, method: &Method) -> Result<Response, Refused> {
    if *method != Method::GET {
        return Err(method_not_allowed().into());
    }
    let json = [(header::CONTENT_TYPE, "application/json")];
    Ok((json, api.openapi.to_string()).into_response())
}

async fn whole(headers: &HeaderMap, body: Body) -> Result<Vec<u8>, ApiError> {
    let too_large = || {
        let text = format!("the body has more than {MAX_BODY} bytes");
        ApiError::because(ErrorCode::Syntax, text).with_status(StatusCode::PAYLOAD_TOO_LARGE)
    };
    // What is a little too large is read to its end: a caller that is cut off while it still writes
    // never sees the answer.
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|n| n > MAX_READ) {
        return Err(too_large());
    }
    match http::whole(body, MAX_READ).await {
        Ok(bytes) if bytes.len() <= MAX_BODY => Ok(bytes),
        Ok(_) | Err(BodyError::TooLarge) => Err(too_large()),
        Err(BodyError::Broken) => {
            let text = "the body ends early, or its chunks can't be read";
            let error = ApiError::because(ErrorCode::Syntax, text);
            Err(error.with_status(StatusCode::BAD_REQUEST))
        }
    }
}

fn refusal(refused: &Refused, allowed: &Method) -> Response {
    let error = &refused.error;
    let body = serde_json::to_vec(&error.body()).unwrap_or_default();
    let json = [(header::CONTENT_TYPE, "application/json")];
    let mut answer = (error.status, json, body).into_response();
    let headers = answer.headers_mut();
    // RFC 9110 §15.5.6: 405 names what is allowed; §15.5.2: 401 names how to authenticate.
    if error.status == StatusCode::METHOD_NOT_ALLOWED
        && let Ok(value) = HeaderValue::from_str(allowed.as_str())
    {
        headers.insert(header::ALLOW, value);
    }
    if error.status == StatusCode::UNAUTHORIZED {
        let value = HeaderValue::from_static("Basic realm=\"AID1\", charset=\"UTF-8\"");
        headers.insert(header::WWW_AUTHENTICATE, value);
    }
    // What is busy now is not for long.
    let busy = (error.status == StatusCode::SERVICE_UNAVAILABLE).then_some(Duration::from_secs(1));
    if let Some(wait) = refused.wait.or(busy) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after(wait)));
    }
    answer
}
