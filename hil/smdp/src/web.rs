//! HTTP of ES9+ and ES2+: JSON in, decision, JSON out. SGP.22 §6.2, §6.5.

use crate::core::Refusal;
use crate::operators::{Operator, Operators};
use crate::service::Service;
use aid_cli::cli::TRACE;
use aid_rsp::es2::{
    CancelOrderRequest, ConfirmOrderRequest, DownloadOrderRequest, ReleaseProfileRequest,
};
use aid_rsp::es9::{
    ADMIN_PROTOCOL, AuthenticateClientRequest, CONTENT_TYPE, CancelSessionRequest, Empty, Function,
    GetBoundProfilePackageRequest, HandleNotificationRequest, InitiateAuthenticationRequest,
    Response as Answer,
};
use aid_serve::http::Peer;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Largest request, bytes: two certificates, signed data, base64.
const MAX_REQUEST: usize = 64 * 1024;

/// Characters of an unreadable notification that the log gets.
const LOGGED: usize = 512;

/// Unix seconds.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs())
}

/// Registers one function: parse, call, answer.
macro_rules! function {
    ($router:expr, $request:ty, |$service:ident, $body:ident| $call:expr) => {
        $router.route(
            <$request as Function>::PATH,
            post(
                |State($service): State<Arc<Service>>, bytes: Bytes| async move {
                    let $body = match parse::<$request>(&bytes) {
                        Ok(request) => request,
                        Err(response) => return response,
                    };
                    let response = answer::<$request>($call);
                    $service.log_operations();
                    response
                },
            ),
        )
    };
}

/// Where the revocation lists are, each under the name of its file.
const REVOCATION_LISTS: &str = "/crl/{name}";

/// ES9+ for LPAs, and the revocation lists that the distribution points of its certificates name.
pub fn es9(service: Arc<Service>) -> Router {
    let router = Router::new();
    let router = function!(router, InitiateAuthenticationRequest, |s, r| s
        .initiate_authentication(&r, now()));
    let router = function!(router, AuthenticateClientRequest, |s, r| s
        .authenticate_client(&r, now())
        .await);
    let router = function!(router, GetBoundProfilePackageRequest, |s, r| s
        .get_bound_profile_package(&r, now())
        .await);
    let router = function!(router, CancelSessionRequest, |s, r| s
        .cancel_session(&r, now())
        .await
        .map(|()| Empty {}));
    router
        .route(HandleNotificationRequest::PATH, post(notification))
        .route(REVOCATION_LISTS, get(revocation_list))
        .layer(DefaultBodyLimit::max(MAX_REQUEST))
        .with_state(service)
}

/// A list of revoked certificates, DER (RFC 5280 §4.2.1.13, RFC 2585 §4).
async fn revocation_list(
    State(service): State<Arc<Service>>,
    Path(name): Path<String>,
) -> Response {
    match service.revocation_list(&name) {
        Some(list) => {
            let kind = [(header::CONTENT_TYPE, "application/pkix-crl")];
            (StatusCode::OK, kind, list.to_vec()).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Registers one function of ES2+: as `function!`, with the name of the operator that calls, in whose name the request
/// must be.
macro_rules! operator_function {
    ($router:expr, $request:ty, |$service:ident, $body:ident, $operator:ident| $call:expr) => {
        $router.route(
            <$request as Function>::PATH,
            post(
                |State($service): State<Arc<Service>>,
                 Extension(operator): Extension<Operator>,
                 bytes: Bytes| async move {
                    let $body = match parse::<$request>(&bytes) {
                        Ok(request) => request,
                        Err(response) => return response,
                    };
                    let result = match operator.requests(&$body.header) {
                        Ok($operator) => $call,
                        Err(refusal) => Err(refusal),
                    };
                    let response = answer::<$request>(result);
                    $service.log_operations();
                    response
                },
            ),
        )
    };
}

/// ES2+ for these operators, who are recognised by their certificates; anybody else is refused.
pub fn es2(service: Arc<Service>, operators: Operators) -> Router {
    let router = Router::new();
    let router = operator_function!(router, DownloadOrderRequest, |s, r, operator| s
        .download_order(&r, operator, now())
        .await);
    let router = operator_function!(router, ConfirmOrderRequest, |s, r, operator| s
        .confirm_order(&r, operator, now())
        .await);
    let router = operator_function!(router, ReleaseProfileRequest, |s, r, operator| s
        .release_profile(&r, operator, now())
        .await
        .map(|()| Empty {}));
    let router = operator_function!(router, CancelOrderRequest, |s, r, operator| s
        .cancel_order(&r, operator, now())
        .await
        .map(|()| Empty {}));
    router
        .layer(DefaultBodyLimit::max(MAX_REQUEST))
        .with_state(service)
        .layer(from_fn_with_state(Arc::new(operators), identify))
}

/// Finds the operator that a certificate belongs to. A caller that is none learns nothing, whatever it asks for.
async fn identify(
    State(operators): State<Arc<Operators>>,
    mut request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<Peer>();
    if let Some(operator) = peer.and_then(|peer| operators.of(peer)).cloned() {
        request.extensions_mut().insert(operator);
        return next.run(request).await;
    }
    let name = peer.and_then(|peer| peer.common_name.clone());
    let refusal = Refusal::requester_unknown("this client certificate is no operator's");
    tracing::warn!(common_name = name, %refusal, "request refused");
    json(
        StatusCode::FORBIDDEN,
        &Answer::<Empty>::failed(refusal.header()),
    )
}

/// A body that is a notification by its form, whatever it carries.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnyNotification {
    pending_notification: String,
}

/// HandleNotification has no answer but 204 (SGP.22 §6.5.2.9), also where pendingNotification is no base64 or too long:
/// an LPA repeats what is not acknowledged, and this will never be better. A body that is no such JSON may have been cut
/// off on its way, and is refused.
async fn notification(State(service): State<Arc<Service>>, bytes: Bytes) -> Response {
    let request = match parse::<HandleNotificationRequest>(&bytes) {
        Ok(request) => request,
        Err(response) => {
            let Ok(any) = aid_serve::json::read::<AnyNotification>(&bytes) else {
                return response;
            };
            let begin: String = any.pending_notification.chars().take(LOGGED).collect();
            let begin = begin.escape_debug();
            let length = any.pending_notification.len();
            tracing::warn!(length, %begin, "unreadable notification dropped");
            return (StatusCode::NO_CONTENT, PROTOCOL).into_response();
        }
    };
    let result = service.handle_notification(&request, now()).await;
    service.log_operations();
    match result {
        Ok(()) => (StatusCode::NO_CONTENT, PROTOCOL).into_response(),
        Err(refusal) => {
            tracing::warn!(%refusal, "notification not accepted");
            let status = match refusal.subject {
                "1.2" => StatusCode::INTERNAL_SERVER_ERROR,
                _ => StatusCode::BAD_REQUEST,
            };
            (status, PROTOCOL).into_response()
        }
    }
}

const PROTOCOL: [(HeaderName, &str); 1] =
    [(HeaderName::from_static("x-admin-protocol"), ADMIN_PROTOCOL)];

#[allow(
    clippy::result_large_err,
    reason = "the error is the answer, made once per request"
)]
fn parse<F: Function>(body: &[u8]) -> Result<F, Response> {
    let parsed = aid_serve::json::read::<F>(body);
    if let Ok(request) = &parsed {
        tracing::trace!(target: TRACE, "<- {} {}", F::PATH, crate::trace::shown(request));
    }
    parsed.map_err(|e| {
        let refusal = Refusal::invalid_input(format!("{}: {e}", F::PATH));
        tracing::info!(%refusal, "request refused");
        json(
            StatusCode::BAD_REQUEST,
            &Answer::<Empty>::failed(refusal.header()),
        )
    })
}

fn answer<F: Function>(result: Result<F::Output, Refusal>) -> Response {
    let answer = match result {
        Ok(output) => {
            tracing::trace!(target: TRACE, "-> {} {}", F::PATH, crate::trace::shown(&output));
            Answer::ok(output)
        }
        Err(refusal) => {
            tracing::info!(%refusal, function = F::PATH, "request refused");
            Answer::failed(refusal.header())
        }
    };
    let status = &answer.header.function_execution_status;
    tracing::trace!(target: TRACE, "-> {} {status}", F::PATH);
    json(StatusCode::OK, &answer)
}

fn json<T: serde::Serialize>(status: StatusCode, value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => (
            status,
            PROTOCOL,
            [(header::CONTENT_TYPE, CONTENT_TYPE)],
            body,
        )
            .into_response(),
        Err(error) => {
            tracing::error!(%error, "answer not written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
