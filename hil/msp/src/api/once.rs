//! The same request again gets the same answer, and nothing is done twice: a request is what client-id,
//! CMP-request-id and body say (AID.02 §5.1). Called by `api` for requests that were let in.

use std::time::Duration;

use aid_aid1::error_code::{ApiError, ErrorCode};
use aid_aid1::headers::PartyId;
use aid_aid1::operation::{Api as _, MspOperation};
use aid_aid1::server::{check_content_type, path_token};
use aid_aid1::strict_json::{self, MAX_BODY};
use aid_aid1::trace::summary;
use aid_cli::cli::TRACE;
use aid_serve::http::{self, BodyError};
use axum::body::{Body, HttpBody as _};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;
use uuid::Uuid;

use super::operation::{perform, profile_status};
use super::{Answer, Api, Asked, error_json};
use crate::msp::{Msp, now_ms};
use crate::orders::{internal, onboarding};
use crate::store::{Earlier, STORE_AGAIN};

/// Longest time for a body to arrive.
const BODY_LIMIT: Duration = Duration::from_secs(10);
/// How often, and after which time each, a repeated request looks whether the first is answered.
const REPEAT: (u32, Duration) = (35, Duration::from_millis(100));

/// Answers a request that was let in; the same request again gets the same answer.
pub(super) async fn answer(
    api: &Api,
    asked: Asked<'_>,
    parts: &Parts,
    body: Body,
) -> Result<Answer, ApiError> {
    let (caller, operation) = (asked.caller, asked.operation);
    let token = path_token(asked.token)?;
    if operation == MspOperation::RequestProfileStatus {
        let onboarding = onboarding(&api.msp, caller, token).await?;
        return profile_status(&api.msp, &onboarding, asked.query).await;
    }
    let nothing = body.is_end_stream();
    let body = match timeout(BODY_LIMIT, http::whole(body, MAX_BODY)).await {
        Ok(Ok(body)) => body,
        Ok(Err(BodyError::TooLarge)) => {
            let text = format!("the body has more than {MAX_BODY} bytes");
            let refusal = ApiError::because(ErrorCode::Syntax, text);
            return Err(refusal.with_status(StatusCode::PAYLOAD_TOO_LARGE));
        }
        Ok(Err(BodyError::Broken)) => {
            let text = "the body ends early, or its chunks can't be read";
            let refusal = ApiError::because(ErrorCode::Syntax, text);
            return Err(refusal.with_status(StatusCode::BAD_REQUEST));
        }
        Err(_) => {
            let refusal = ApiError::because(ErrorCode::Syntax, "the body did not arrive in time");
            return Err(refusal.with_status(StatusCode::REQUEST_TIMEOUT));
        }
    };
    if operation.contract().request.is_some() {
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
                let answer = answer.unwrap_or_else(|error| {
                    let error = operation.contract().refusal(error);
                    (error.status, error_json(&error))
                });
                let (status, body) = (answer.0.as_u16(), answer.1.as_str());
                let stored = api.msp.store.answer(client, id, status, body).await;
                if let Err(error) = stored {
                    tokio::spawn(answer_later(api.msp.clone(), client.clone(), id, answer));
                    return Err(internal(error));
                }
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

/// Stores an answer as soon as the database takes it. Until then a repetition finds that the request is being
/// answered: what was done for it is not done again.
async fn answer_later(msp: Msp, client: PartyId, id: Uuid, answer: Answer) {
    let (status, body) = (answer.0.as_u16(), answer.1.as_str());
    loop {
        tokio::time::sleep(STORE_AGAIN).await;
        match msp.store.answer(&client, id, status, body).await {
            Ok(()) => break,
            Err(error) => tracing::warn!(%error, request = %id, "an answer is still not stored"),
        }
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
}
