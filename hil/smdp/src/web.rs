//! HTTP of ES9+ and ES2+: JSON in, decision, JSON out. SGP.22 §6.2, §6.5.
//! Called by the command line with listeners that are bound already.

use crate::core::Refusal;
use crate::service::Service;
use aid_rsp::es2::{
    CancelOrderRequest, ConfirmOrderRequest, DownloadOrderRequest, ReleaseProfileRequest,
};
use aid_rsp::es9::{
    ADMIN_PROTOCOL, AuthenticateClientRequest, CONTENT_TYPE, CancelSessionRequest, Empty, Function,
    GetBoundProfilePackageRequest, HandleNotificationRequest, InitiateAuthenticationRequest,
    Response as Answer,
};
use aid_shell::cli::TRACE;
use aid_shell::http::Peer;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Router};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Largest request, bytes: two certificates, signed data, base64.
const MAX_REQUEST: usize = 64 * 1024;

/// Unix seconds.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs())
}

/// Registers one function: parse, call, answer. `caller` is who sent it.
macro_rules! function {
    ($router:expr, $request:ty, |$service:ident, $body:ident, $caller:pat_param| $call:expr) => {
        $router.route(
            <$request as Function>::PATH,
            post(
                |State($service): State<Arc<Service>>,
                 Extension(peer): Extension<Peer>,
                 bytes: Bytes| async move {
                    let $body = match parse::<$request>(&bytes) {
                        Ok(request) => request,
                        Err(response) => return response,
                    };
                    let $caller = peer.common_name.as_deref().unwrap_or_default();
                    let response = answer::<$request>($call);
                    $service.log_operations();
                    response
                },
            ),
        )
    };
}

/// ES9+ for LPAs.
pub fn es9(service: Arc<Service>) -> Router {
    let router = Router::new();
    let router = function!(router, InitiateAuthenticationRequest, |s, r, _| s
        .initiate_authentication(&r, now()));
    let router = function!(router, AuthenticateClientRequest, |s, r, _| s
        .authenticate_client(&r, now())
        .await);
    let router = function!(router, GetBoundProfilePackageRequest, |s, r, _| s
        .get_bound_profile_package(&r, now())
        .await);
    let router = function!(router, CancelSessionRequest, |s, r, _| s
        .cancel_session(&r, now())
        .await
        .map(|()| Empty {}));
    router
        .route(HandleNotificationRequest::PATH, post(notification))
        .layer(DefaultBodyLimit::max(MAX_REQUEST))
        .with_state(service)
}

/// ES2+ for operators, who are told apart by the names in their certificates.
pub fn es2(service: Arc<Service>) -> Router {
    let router = Router::new();
    let router = function!(router, DownloadOrderRequest, |s, r, operator| s
        .download_order(&r, operator, now())
        .await);
    let router = function!(router, ConfirmOrderRequest, |s, r, operator| s
        .confirm_order(&r, operator, now())
        .await);
    let router = function!(router, ReleaseProfileRequest, |s, r, operator| s
        .release_profile(&r, operator, now())
        .await
        .map(|()| Empty {}));
    let router = function!(router, CancelOrderRequest, |s, r, operator| s
        .cancel_order(&r, operator, now())
        .await
        .map(|()| Empty {}));
    router
        .layer(DefaultBodyLimit::max(MAX_REQUEST))
        .with_state(service)
}

/// HandleNotification has no answer but 204 (SGP.22 §6.5.2.9).
async fn notification(State(service): State<Arc<Service>>, bytes: Bytes) -> Response {
    let request = match parse::<HandleNotificationRequest>(&bytes) {
        Ok(request) => request,
        Err(response) => return response,
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
    let parsed = serde_json::from_slice::<F>(body);
    if let Ok(request) = &parsed {
        tracing::trace!(target: TRACE, "<- {request:?}");
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
            tracing::trace!(target: TRACE, "-> {output:?}");
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
