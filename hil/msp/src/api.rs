//! The AID1 server: the four operations that CMPs call (AID.02 Annex B.2), over mutual TLS.
//!
//! One way in for all: limits, who calls, which token, whether the same was asked before; then the operation. Every
//! refusal carries the body of §5.5.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aid_aid1::body::{
    Body as _, ProfileState, ProfileStatus, ProfileStatuses, RequestActivationCode, SendCsimStatus,
};
use aid_aid1::contract::{self, OPENAPI};
use aid_aid1::error_code::{ApiError, ErrorCode};
use aid_aid1::headers::{Credentials, PartyId};
use aid_aid1::server::{
    Caller, Gate, MAX_PATH, Party, Shown, check_content_type, ids, method_not_allowed, not_found,
    path_token, query_iccid, refusal_body, too_many,
};
use aid_aid1::span::{self, Kind, Span};
use aid_aid1::strict_json::{self, MAX_BODY};
use aid_aid1::trace::summary;
use aid_shell::cli::TRACE;
use aid_shell::http::{Cut, Peer, Refusal};
use aid_shell::limit::{Limiter, Rate, retry_after};
use aid_shell::metrics::{Counter, Timer};
use aid_shell::signal::Stop;
use axum::Router;
use axum::body::{Body, HttpBody as _, to_bytes};
use axum::extract::{RawQuery, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::misbehave::{Fired, Name, Order, Place, Reply, Stage, fits, instead, order, twist};
use crate::msp::{Msp, now_ms};
use crate::orders::{self, Outcome, internal, onboarding};
use crate::store::{Earlier, Noted, Onboarding, OnboardingState, ProfilePhase, StoreError};

/// Longest time for a body to arrive.
const BODY_LIMIT: Duration = Duration::from_secs(10);
/// How often, and after which time each, a repeated request looks whether the first is answered.
const REPEAT: (u32, Duration) = (35, Duration::from_millis(100));

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
    Party(usize),
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

/// Who may call with which key; follows the keys that `cmp rotate-key` makes.
pub(crate) struct Keys {
    gate: watch::Sender<Arc<Gate>>,
    own_id: Option<PartyId>,
}

/// How often the keys are looked at.
const LOOK: Duration = Duration::from_secs(1);

impl Keys {
    /// The present keys. `own_id` is our `target-id`; any is accepted if there is none.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn new(msp: &Msp, own_id: Option<PartyId>) -> Result<Self, StoreError> {
        let gate = gate(msp, own_id.as_ref(), &msp.store.api_keys().await?);
        Ok(Self {
            gate: watch::Sender::new(Arc::new(gate)),
            own_id,
        })
    }

    /// Looks for changed keys until stopped.
    pub(crate) async fn follow(&self, msp: &Msp, stop: Stop) {
        let look = async {
            let mut known = None;
            loop {
                match msp.store.api_keys().await {
                    Ok(keys) => {
                        if known.as_ref() != Some(&keys) {
                            let gate = gate(msp, self.own_id.as_ref(), &keys);
                            self.gate.send_replace(Arc::new(gate));
                            known = Some(keys);
                        }
                    }
                    Err(error) => tracing::error!(%error, "API keys"),
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::select! {
            () = look => {}
            () = stop.wait() => {}
        }
    }
}

fn gate(msp: &Msp, own_id: Option<&PartyId>, keys: &[(String, String, i64)]) -> Gate {
    let parties = msp.cmps.iter().map(|cmp| {
        let more = keys
            .iter()
            .filter(|(client, _, _)| client == cmp.client_id.as_str());
        let more = more.filter_map(|(_, key, _)| Credentials::api_key(key).ok());
        Party {
            client_id: cmp.client_id.clone(),
            credentials: cmp.credentials.iter().cloned().chain(more).collect(),
            certificates: cmp.certificates.clone(),
            target_id: own_id.cloned(),
        }
    });
    Gate::new(parties.collect())
}

/// An answer before it is HTTP: status and JSON, empty if there is no body.
type Answer = (StatusCode, String);

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
    let openapi = contract::MSP.openapi().into();
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
    let found = contract::MSP.at(&path).map(|(operation, _)| operation);
    let name = found.map_or("none", |operation| operation.id);
    let caller = admit(&api, &request).ok();
    let mut answer = match limited(&api, &request, caller.as_ref()) {
        Err(wait) => {
            LIMITED.add(&[("listener", "aid1")]);
            let mut answer = json(StatusCode::TOO_MANY_REQUESTS, error_json(&too_many()));
            let wait = HeaderValue::from(retry_after(wait));
            answer.headers_mut().insert(header::RETRY_AFTER, wait);
            answer
        }
        Ok(()) if path == OPENAPI => document(&api, request.method()),
        Ok(()) => {
            let span = found.zip(caller).and_then(|(operation, caller)| {
                Span::begin(
                    operation.name,
                    Kind::Server,
                    caller.headers.correlation_id,
                    span::from_headers(request.headers()),
                    caller.headers.client_id.as_str(),
                )
            });
            let answer = span::within(span.as_ref(), entry(state, query, request)).await;
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

fn admit_parts(api: &Api, headers: &HeaderMap, peer: Option<&Peer>) -> Result<Caller, ApiError> {
    let shown = Shown {
        common_name: peer.and_then(|peer| peer.common_name.as_deref()),
        sha256: peer.map_or([0; 32], |peer| peer.fingerprint),
    };
    let gate = Arc::clone(&api.gate.borrow());
    gate.admit(headers, shown)
}

/// Takes one token of the caller, or of the certificate where nobody was admitted.
fn limited(api: &Api, request: &Request, caller: Option<&Caller>) -> Result<(), Duration> {
    let print = request.extensions().get::<Peer>().map(|p| p.fingerprint);
    let who = caller.map_or(Who::Certificate(print.unwrap_or_default()), |c| {
        Who::Party(c.party)
    });
    api.limiter.take(&who, Instant::now())
}

async fn entry(State(api): State<Api>, RawQuery(query): RawQuery, request: Request) -> Response {
    let allowed = operation_at(request.uri().path())
        .and_then(|(_, method, _)| HeaderValue::from_str(method.as_str()).ok());
    let reply = handle(&api, query.as_deref().unwrap_or_default(), request).await;
    let reply = reply.unwrap_or_else(|error| refused(&error));
    if !reply.delay.is_zero() {
        tokio::time::sleep(reply.delay).await;
    }
    let (status, body) = (reply.status, reply.body);
    tracing::trace!(target: TRACE, "-> AID1 {status} {}", summary(body.as_bytes()));
    let mut response = Response::new(Body::from(body.clone()));
    *response.status_mut() = status;
    if reply.cut {
        response.extensions_mut().insert(Cut);
    }
    if !body.is_empty() {
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(reply.content_type),
        );
    }
    if let Some(seconds) = reply.retry_after {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, seconds.into());
    }
    // RFC 9110 §15.5.6
    if let Some(method) = allowed.filter(|_| status == StatusCode::METHOD_NOT_ALLOWED) {
        response.headers_mut().insert(header::ALLOW, method);
    }
    response
}

fn refused(error: &ApiError) -> Reply {
    Reply::new(error.status, error_json(error))
}

fn error_json(error: &ApiError) -> String {
    // Two strings always serialise.
    serde_json::to_string(&error.body()).unwrap_or_default()
}

/// The operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    RequestActivationCode,
    SendCsimStatus,
    RequestInvalidate,
    RequestProfileStatus,
}

impl Operation {
    /// Its name for misbehaviours.
    fn place(self) -> Place {
        match self {
            Self::RequestActivationCode => Place::RequestActivationCode,
            Self::SendCsimStatus => Place::SendCsimStatus,
            Self::RequestInvalidate => Place::RequestInvalidate,
            Self::RequestProfileStatus => Place::RequestProfileStatus,
        }
    }
}

/// The operation at a path, its method, and the text where the token is.
fn operation_at(path: &str) -> Option<(Operation, Method, &str)> {
    let (folder, token) = path.strip_prefix("/v1/")?.rsplit_once('/')?;
    let (operation, method) = match folder {
        "activation-code-requests" => (Operation::RequestActivationCode, Method::POST),
        "statuses" => (Operation::SendCsimStatus, Method::POST),
        "users" => (Operation::RequestInvalidate, Method::DELETE),
        "profiles/status" => (Operation::RequestProfileStatus, Method::GET),
        _ => return None,
    };
    (!token.is_empty()).then_some((operation, method, token))
}

/// Which operation a path and a method are, and the text where the token is.
fn route<'a>(method: &Method, path: &'a str) -> Result<(Operation, &'a str), ApiError> {
    let (operation, wanted, token) = operation_at(path).ok_or_else(not_found)?;
    if method == wanted {
        Ok((operation, token))
    } else {
        Err(method_not_allowed())
    }
}

/// Lets a request in, and misbehaves where that was asked for.
async fn handle(api: &Api, query: &str, request: Request) -> Result<Reply, ApiError> {
    let (parts, body) = request.into_parts();
    if parts.uri.path().len() + query.len() > MAX_PATH {
        let refusal = ApiError::because(ErrorCode::Syntax, "the path is too long");
        return Err(refusal.with_status(StatusCode::URI_TOO_LONG));
    }
    let (operation, token) = route(&parts.method, parts.uri.path())?;
    let caller = admit_parts(api, &parts.headers, parts.extensions.get::<Peer>())?;
    let (place, client) = (operation.place(), &caller.headers.client_id);
    let early = |name: Name| matches!(name.stage(), Stage::Instead | Stage::Work);
    let fired = api.msp.fire(place, client, early).await;
    if let Some(reply) = fired.iter().find_map(instead) {
        return Ok(reply);
    }
    let wrong = order(&fired);
    let asked = Asked {
        caller: &caller,
        operation,
        token,
        query,
        fired: &fired,
        wrong: &wrong,
    };
    let answer = answer(api, asked, &parts, body).await;
    let mut reply = answer.map_or_else(|e| refused(&e), |(status, body)| Reply::new(status, body));
    if let Some(delay) = wrong.cut_after {
        (reply.delay, reply.cut) = (delay, true);
    }
    for one in api
        .msp
        .fire(place, client, |n| fits(n, place, &reply))
        .await
    {
        twist(&one, &mut reply);
        if one.name == Name::CodeAfterInvalidation {
            orders::code_for_the_dead(&api.msp, client, path_token(token)?).await?;
        }
    }
    Ok(reply)
}

/// A request that was let in.
struct Asked<'a> {
    caller: &'a Caller,
    operation: Operation,
    token: &'a str,
    query: &'a str,
    fired: &'a [Fired],
    wrong: &'a Order,
}

/// Answers a request that was let in; the same request again gets the same answer.
async fn answer(
    api: &Api,
    asked: Asked<'_>,
    parts: &Parts,
    body: Body,
) -> Result<Answer, ApiError> {
    let (caller, operation) = (asked.caller, asked.operation);
    let token = path_token(asked.token)?;
    if operation == Operation::RequestProfileStatus {
        let onboarding = onboarding(&api.msp, caller, token).await?;
        return profile_status(&api.msp, &onboarding, asked.query).await;
    }
    let nothing = body.is_end_stream();
    let body = match timeout(BODY_LIMIT, to_bytes(body, MAX_BODY)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            let refusal = ApiError::because(
                ErrorCode::Syntax,
                format_args!("more than {MAX_BODY} bytes, or cut off"),
            );
            return Err(refusal.with_status(StatusCode::PAYLOAD_TOO_LARGE));
        }
        Err(_) => {
            let refusal = ApiError::because(ErrorCode::Syntax, "the body did not arrive in time");
            return Err(refusal.with_status(StatusCode::REQUEST_TIMEOUT));
        }
    };
    if operation != Operation::RequestInvalidate {
        check_content_type(&parts.headers, nothing)?;
        strict_json::object(&body)?;
    }
    // Only now anything that belongs to somebody.
    let onboarding = onboarding(&api.msp, caller, token).await?;
    tracing::trace!(target: TRACE, "<- AID1 {operation:?} from {} {}", caller.headers.client_id, summary(&body));
    let digest = digest(&parts.method, parts.uri.path(), &body);
    let (client, id) = (&caller.headers.client_id, caller.headers.request_id);
    for _ in 0..REPEAT.0 {
        match api
            .msp
            .store
            .claim(client, id, &digest, now_ms())
            .await
            .map_err(internal)?
        {
            Earlier::None => {
                let answer = perform(&api.msp, &asked, &onboarding, &body).await;
                let answer = answer.unwrap_or_else(|error| (error.status, error_json(&error)));
                api.msp
                    .store
                    .answer(client, id, answer.0.as_u16(), &answer.1)
                    .await
                    .map_err(internal)?;
                return Ok(answer);
            }
            Earlier::Answered(status, body) => {
                let status =
                    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                return Ok((status, body));
            }
            Earlier::Different => {
                let detail = "this CMP-request-id was used for another request";
                return Err(ApiError::because(ErrorCode::Syntax, detail));
            }
            Earlier::Running => tokio::time::sleep(REPEAT.1).await,
        }
    }
    let refusal = ApiError::because(
        ErrorCode::Internal,
        "the same request is still being answered",
    );
    Err(refusal.with_status(StatusCode::SERVICE_UNAVAILABLE))
}

fn digest(method: &Method, path: &str, body: &[u8]) -> String {
    let mut hash = Sha256::new();
    // A line break is in neither method nor path, so no two requests give the same input.
    hash.update(format!("{method}\n{path}\n"));
    hash.update(body);
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

async fn perform(
    msp: &Msp,
    asked: &Asked<'_>,
    onboarding: &Onboarding,
    body: &[u8],
) -> Result<Answer, ApiError> {
    let token = onboarding.msp_token;
    let caller = asked.caller;
    match asked.operation {
        Operation::RequestActivationCode => {
            let body = parse_request(body, asked.wrong)?;
            // A withdrawn token never yields another code (§4.4, §7.9).
            if onboarding.state == OnboardingState::Invalidated && !asked.wrong.dead_token {
                return Err(ApiError::new(ErrorCode::TokenInvalidated));
            }
            match orders::request(msp, caller, onboarding, &body, asked.wrong).await? {
                Outcome::Code(code) => Ok((StatusCode::OK, code.to_json().to_string())),
                Outcome::Accepted => Ok((StatusCode::CREATED, String::new())),
            }
        }
        Operation::SendCsimStatus => {
            // Also for a withdrawn token: the deletions that follow are reported with it (§4.4.1 [5]).
            let body = SendCsimStatus::parse(body)?;
            let wrong = |name| asked.fired.iter().any(|fired| fired.name == name);
            let dead = onboarding.state == OnboardingState::Invalidated;
            if dead && wrong(Name::ForgetsDeadToken) {
                return Err(ApiError::new(ErrorCode::TokenInvalidated));
            }
            let correlation = caller.headers.correlation_id;
            let client = &caller.headers.client_id;
            let noted = msp
                .store
                .note_status(client, token, &body, correlation, now_ms())
                .await
                .map_err(internal)?;
            if noted == Noted::UnknownProfile {
                return Err(ApiError::because(ErrorCode::ProfileNotFound, &body.iccid));
            }
            tracing::info!(iccid = %body.iccid, status = %body.status, "status from {client}");
            if wrong(Name::InformOnStatus) {
                orders::inform_about(msp, client, token, &body).await?;
            }
            Ok((StatusCode::CREATED, String::new()))
        }
        Operation::RequestInvalidate => {
            let client = &caller.headers.client_id;
            if msp
                .store
                .invalidate(client, token, None, now_ms())
                .await
                .map_err(internal)?
            {
                tracing::info!(
                    user = onboarding.user,
                    "{client} has withdrawn the onboarding"
                );
                msp.outbox.notify_one();
            }
            Ok((StatusCode::NO_CONTENT, String::new()))
        }
        Operation::RequestProfileStatus => Err(not_found()),
    }
}

/// Reads Request Activation Code. A strange candidate is ignored (§4.3.1), unless that is to go wrong.
fn parse_request(body: &[u8], wrong: &Order) -> Result<RequestActivationCode, ApiError> {
    let parsed = RequestActivationCode::parse(body)?;
    let members = strict_json::object(body)?;
    let named = members.get("replaceIccid").is_some_and(|v| !v.is_null());
    if wrong.minds_candidate && named && parsed.replace_iccid.is_none() {
        let detail = "the member replaceIccid is no ICCID";
        return Err(ApiError::because(ErrorCode::Syntax, detail));
    }
    Ok(parsed)
}

async fn profile_status(
    msp: &Msp,
    onboarding: &Onboarding,
    query: &str,
) -> Result<Answer, ApiError> {
    let mut values = query
        .split('&')
        .filter_map(|member| member.strip_prefix("iccid="));
    let wanted = values.next().map(query_iccid).transpose()?;
    if values.next().is_some() {
        return Err(ApiError::because(ErrorCode::Syntax, "iccid is there twice"));
    }
    let profiles = msp
        .store
        .profiles_of(onboarding.msp_token)
        .await
        .map_err(internal)?;
    let listed = profiles.into_iter().filter(|p| p.phase.is_listed());
    let profiles = listed
        .filter(|p| wanted.as_ref().is_none_or(|wanted| p.iccid == *wanted))
        // enabled and disabled would only be an echo of what the CMP reported itself (§7.10 remark).
        .map(|p| ProfileStatus {
            iccid: p.iccid,
            status: if p.phase == ProfilePhase::Prepared {
                ProfileState::Prepared
            } else {
                ProfileState::Installed
            },
        })
        .collect::<Vec<_>>();
    match wanted {
        Some(iccid) if profiles.is_empty() => {
            Err(ApiError::because(ErrorCode::ProfileNotFound, iccid))
        }
        _ => Ok((
            StatusCode::OK,
            ProfileStatuses { profiles }.to_json().to_string(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // R-5.5-1, R-7.6-5
    #[test]
    fn paths_are_operations_or_refusals_with_a_body() {
        let code = |method: Method, path: &'static str| {
            route(&method, path).map_err(|e| e.status.as_u16())
        };
        assert_eq!(
            code(Method::POST, "/v1/statuses/x"),
            Ok((Operation::SendCsimStatus, "x"))
        );
        assert_eq!(
            code(Method::GET, "/v1/profiles/status/x"),
            Ok((Operation::RequestProfileStatus, "x"))
        );
        assert_eq!(code(Method::GET, "/v1/statuses/x"), Err(405));
        for path in [
            "/",
            "/v1/",
            "/v1/x",
            "/v2/users/x",
            "/v1/statuses/a/b",
            "/V1/users/x",
            "/v1/users/",
        ] {
            assert_eq!(code(Method::POST, path), Err(404), "{path}");
        }
    }

    #[test]
    fn the_digest_tells_method_path_and_body_apart() {
        let a = digest(&Method::POST, "/a", b"b");
        assert_ne!(a, digest(&Method::PUT, "/a", b"b"));
        assert_ne!(a, digest(&Method::POST, "/ab", b""));
        assert_eq!(a, digest(&Method::POST, "/a", b"b"));
    }
}
