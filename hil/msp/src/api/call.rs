//! A call that was let in: which operation it is, and its body (AID.02 §7.7 to §7.10).

use std::time::Duration;

use aid_aid1::error_code::{ApiError, ErrorCode};
use aid_aid1::operation::{Api as _, MspOperation};
use aid_aid1::server::{Caller, method_not_allowed, not_found};
use aid_aid1::strict_json::MAX_BODY;
use aid_serve::http::{self, BodyError};
use axum::body::{Body, HttpBody as _};
use axum::http::{HeaderMap, Method, StatusCode};
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;

use crate::core::call::Key;

/// Longest time for a body to arrive.
const BODY_LIMIT: Duration = Duration::from_secs(10);

/// A call that was let in.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// Who calls.
    pub(crate) caller: Caller,
    /// What is called.
    pub(crate) operation: MspOperation,
    /// The text where the token is.
    pub(crate) token: String,
    /// HTTP method.
    pub(crate) method: Method,
    /// Path.
    pub(crate) path: String,
    /// What follows the path.
    pub(crate) query: String,
    /// Headers.
    pub(crate) headers: HeaderMap,
    /// The body; none if there was not even an empty one.
    pub(crate) body: Option<Vec<u8>>,
}

impl Call {
    /// The bytes of the body.
    #[must_use]
    pub(crate) fn bytes(&self) -> &[u8] {
        self.body.as_deref().unwrap_or_default()
    }

    /// What makes the call the same call (§5.1).
    #[must_use]
    pub(crate) fn key(&self) -> Key {
        Key {
            client: self.caller.headers.client_id.clone(),
            id: self.caller.headers.request_id,
            digest: digest(&self.method, &self.path, self.bytes()),
        }
    }
}

/// Which operation a path and a method are, and the text where the token is.
///
/// # Errors
/// 404 and 405.
pub(super) fn route<'a>(
    method: &Method,
    path: &'a str,
) -> Result<(MspOperation, &'a str), ApiError> {
    let (operation, token) = MspOperation::at(path).ok_or_else(not_found)?;
    if *method == operation.contract().method {
        Ok((operation, token))
    } else {
        Err(method_not_allowed())
    }
}

/// Reads a body whole; none if the request has none.
///
/// # Errors
/// 400, 408, 413 with 91.
pub(super) async fn read_body(body: Body) -> Result<Option<Vec<u8>>, ApiError> {
    if body.is_end_stream() {
        return Ok(None);
    }
    let refusal =
        |text: &str, status| ApiError::because(ErrorCode::Syntax, text).with_status(status);
    match timeout(BODY_LIMIT, http::whole(body, MAX_BODY)).await {
        Ok(Ok(body)) => Ok(Some(body.to_vec())),
        Ok(Err(BodyError::TooLarge)) => {
            let text = format!("the body has more than {MAX_BODY} bytes");
            Err(refusal(&text, StatusCode::PAYLOAD_TOO_LARGE))
        }
        Ok(Err(BodyError::Broken)) => {
            let text = "the body ends early, or its chunks can't be read";
            Err(refusal(text, StatusCode::BAD_REQUEST))
        }
        Err(_) => Err(refusal(
            "the body did not arrive in time",
            StatusCode::REQUEST_TIMEOUT,
        )),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_tells_method_path_and_body_apart() {
        let a = digest(&Method::POST, "/a", b"b");
        assert_ne!(a, digest(&Method::PUT, "/a", b"b"));
        assert_ne!(a, digest(&Method::POST, "/ab", b""));
        assert_eq!(a, digest(&Method::POST, "/a", b"b"));
    }

    // R-5.5-1, R-7.6-5
    #[test]
    fn paths_are_operations_or_refusals_with_a_body() {
        let code = |method: Method, path: &'static str| {
            route(&method, path).map_err(|e| e.status.as_u16())
        };
        assert_eq!(
            code(Method::POST, "/v1/statuses/x"),
            Ok((MspOperation::SendCsimStatus, "x"))
        );
        assert_eq!(
            code(Method::GET, "/v1/profiles/status/x"),
            Ok((MspOperation::RequestProfileStatus, "x"))
        );
        assert_eq!(code(Method::GET, "/v1/statuses/x"), Err(405));
        for path in [
            "/",
            "/v1/",
            "/v1/x",
            "/v1/users/",
            "/v2/users/x",
            "/v1/statuses/a/b",
            "/V1/users/x",
        ] {
            assert_eq!(code(Method::POST, path), Err(404), "{path}");
        }
    }
}
