//! What is refused, as problem details (RFC 9457), with the headers that say what to do.

use crate::operator::Refusal;
use aid_cmp_core::model::Role;
use aid_serve::limit::retry_after;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use std::time::Duration;

/// Why a request was refused.
pub(super) enum Refused {
    /// No key, or one that opens nothing.
    Key,
    /// The key may not do this.
    Role(Role),
    /// Too many requests.
    Rate(Duration),
    /// There is no such path.
    Path,
    /// The path has other methods.
    Method(&'static str),
    /// The body has another type or is too long.
    Body(StatusCode),
    /// The operator's answer.
    Operator(Refusal),
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self::Operator(refusal)
    }
}

pub(super) fn answer(status: StatusCode, kind: &'static str, value: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, kind)], value.to_string()).into_response()
}

/// Problem details (RFC 9457).
pub(super) fn refusal(refused: &Refused) -> Response {
    let (status, detail) = match refused {
        Refused::Key => (
            StatusCode::UNAUTHORIZED,
            "send Authorization: Bearer KEY with a key that `aid-cmp key add` has made".to_owned(),
        ),
        Refused::Role(least) => (
            StatusCode::FORBIDDEN,
            format!("this needs a key with the role {}", least.as_str()),
        ),
        Refused::Rate(_) => (
            StatusCode::TOO_MANY_REQUESTS,
            "too many requests; see Retry-After".to_owned(),
        ),
        Refused::Path => (
            StatusCode::NOT_FOUND,
            "there is no such path; see /v1/openapi.json".to_owned(),
        ),
        Refused::Method(_) => (
            StatusCode::METHOD_NOT_ALLOWED,
            "this path has another method; see /v1/openapi.json".to_owned(),
        ),
        Refused::Body(status) => (*status, "the body has the wrong type or size".to_owned()),
        Refused::Operator(refusal) => match refusal {
            Refusal::Unknown(text) => (StatusCode::NOT_FOUND, text.clone()),
            Refusal::Conflict(text) => (StatusCode::CONFLICT, text.clone()),
            Refusal::Forbidden(text) => (StatusCode::FORBIDDEN, text.clone()),
            Refusal::Invalid(text) => (StatusCode::UNPROCESSABLE_ENTITY, text.clone()),
            Refusal::Lines(_) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "nothing was stored, because lines of the file are wrong".to_owned(),
            ),
            Refusal::Store(error) => {
                tracing::error!(%error, "a request of the admin API failed");
                (
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the database does not answer; try again".to_owned(),
                )
            }
        },
    };
    let mut problem = json!({
        "type": "about:blank", "title": status.canonical_reason(), "status": status.as_u16(),
        "detail": detail,
    });
    if let Refused::Operator(Refusal::Lines(lines)) = refused {
        let lines = lines
            .iter()
            .map(|w| json!({"line": w.line, "text": w.text}));
        problem["lines"] = lines.collect::<Vec<_>>().into();
    }
    let mut answer = answer(status, "application/problem+json", &problem);
    let headers = answer.headers_mut();
    match refused {
        Refused::Key => {
            let how = HeaderValue::from_static("Bearer realm=\"aid-cmp\"");
            headers.insert(header::WWW_AUTHENTICATE, how);
        }
        Refused::Rate(wait) => {
            let seconds = HeaderValue::from(retry_after(*wait));
            headers.insert(header::RETRY_AFTER, seconds);
        }
        Refused::Method(allowed) => {
            headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
        }
        Refused::Operator(Refusal::Store(_)) => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        _ => {}
    }
    answer
}
