//! A call that was let in: who makes it, whom it is for, and its bytes.

use std::time::{Duration, Instant};

use aid_aid1::client::Carried;
use aid_aid1::contract::Variable;
use aid_aid1::error_code::{ApiError, ErrorCode};
use aid_aid1::headers::Headers;
use aid_aid1::server::{MAX_PATH, check_content_type, method_not_allowed, not_found, path_token};
use aid_aid1::span::TRACEPARENT;
use aid_aid1::strict_json::MAX_BODY;
use aid_aid1::trace::summary;
use aid_cli::cli::TRACE;
use aid_serve::http::{self, BodyError, Peer};
use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;

use super::{Refused, limited, shown};
use crate::core::directory::Route;
use crate::core::operation::Operation;
use crate::core::token::{TokenKey, introduced};
use crate::flights::Same;
use crate::gate::Place;
use crate::hub::{Hub, day, now_ms};
use crate::store::MeterKey;

/// Longest time for a body to arrive.
const BODY_LIMIT: Duration = Duration::from_secs(10);

/// A call that was let in.
#[derive(Debug)]
pub(super) struct Call {
    /// When its head had arrived.
    pub(super) start: Instant,
    pub(super) operation: Operation,
    /// The ids of AID1, with the names that the caller gave.
    pub(super) headers: Headers,
    /// All headers.
    pub(super) map: HeaderMap,
    pub(super) route: Route,
    /// The token of the path; or, for a Send MSP Token, of the body.
    pub(super) token: Option<TokenKey>,
    /// Path with query, as it came.
    pub(super) path: String,
    /// The body; none if there was not even an empty one.
    pub(super) body: Option<Vec<u8>>,
    /// SHA-256 of method, path and body: what makes the call the same call (§5.1).
    pub(super) digest: [u8; 32],
    /// Its place among the calls of its pair that are under way.
    _place: Option<Place>,
}

impl Call {
    /// `Content-Type`, where there is a body.
    fn kind(&self) -> Option<HeaderValue> {
        let kind = self.map.get(CONTENT_TYPE).cloned();
        kind.filter(|_| self.body.is_some())
    }

    /// The same as text.
    pub(super) fn content_type(&self) -> String {
        let kind = self.kind();
        kind.and_then(|kind| kind.to_str().ok().map(str::to_owned))
            .unwrap_or_default()
    }

    /// The call as it goes on: other names where the target knows others, everything else as it came.
    pub(super) fn carried(&self, limit: Duration) -> Carried {
        Carried {
            operation: self.operation.contract(),
            headers: Headers {
                client_id: self.route.client_id.clone(),
                target_id: self.route.target_id.clone(),
                ..self.headers.clone()
            },
            path: self.path.clone(),
            kind: self.kind(),
            body: self.body.clone(),
            traceparent: self.map.get(TRACEPARENT).cloned(),
            limit: Some(limit),
        }
    }

    /// What makes a call under the same id the same one.
    pub(super) fn same(&self) -> Same {
        Same {
            pair: self.route.pair.clone(),
            digest: self.digest,
        }
    }

    /// Bytes of its body.
    pub(super) fn length(&self) -> usize {
        self.body.as_ref().map_or(0, Vec::len)
    }

    /// What of a time the call has left.
    pub(super) fn left(&self, whole: Duration) -> Duration {
        whole.saturating_sub(self.start.elapsed())
    }

    /// Where it is counted.
    pub(super) fn meter_key(&self) -> MeterKey {
        MeterKey {
            day: day(now_ms()),
            pair: self.route.pair.clone(),
            sandbox: self.route.sandbox,
            operation: self.operation,
        }
    }
}

/// Lets a request in, reads it whole, and finds out where it goes.
///
/// # Errors
/// The refusal that the caller gets.
pub(super) async fn receive(hub: &Hub, start: Instant, request: Request) -> Result<Call, Refused> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
    if path.len() > MAX_PATH {
        let error = ApiError::because(ErrorCode::Syntax, "the path is too long");
        return Err(error.with_status(StatusCode::URI_TOO_LONG).into());
    }
    let network = hub.network();
    let peer = parts.extensions.get::<Peer>();
    let print = peer.map(|peer| peer.fingerprint).unwrap_or_default();
    // Wrong keys cost the certificate its tokens, and without one no key is judged, not even the right one.
    let judged = hub.certificates.attempt(&print, Instant::now(), || {
        network.directory.admit(&parts.headers, shown(peer))
    });
    let admitted = judged.map_err(limited)?;
    let (operation, variable) = Operation::at(parts.uri.path()).ok_or_else(not_found)?;
    let contract = operation.contract();
    if parts.method != contract.method {
        return Err(method_not_allowed().into());
    }
    let caller = admitted?;
    let route = network.directory.route(&caller, operation)?;
    let gate = network.gate(&route.pair);
    let place = gate.map(|gate| gate.enter(operation.caller(), Instant::now()));
    let place = place.transpose().map_err(limited)?;
    if contract.request.is_some() {
        check_content_type(&parts.headers, body.is_end_stream())?;
    }
    let body = whole(body).await?;
    contract.check_form(variable, body.as_deref().unwrap_or_default())?;
    let token = match contract.path.variable {
        Variable::MspToken => Some(path_token(variable)?),
        Variable::AccountId => {
            check_segment(variable)?;
            introduced(body.as_deref().unwrap_or_default())
        }
    };
    tracing::trace!(
        target: TRACE,
        "<- AID1 {contract} from {} for {} {}",
        route.from,
        route.to,
        summary(body.as_deref().unwrap_or_default())
    );
    let mut hash = Sha256::new();
    // A line break is in neither method nor path, so no two requests give the same input.
    hash.update(format!("{}\n{path}\n", parts.method));
    hash.update(body.as_deref().unwrap_or_default());
    Ok(Call {
        start,
        operation,
        headers: caller.headers,
        token: token.map(|token| TokenKey::new(&route.pair, token)),
        route,
        path: path.to_owned(),
        map: parts.headers,
        body,
        digest: hash.finalize().into(),
        _place: place,
    })
}

/// The account id is a secret of the two parties, and goes on as it is. Only a segment that a URL would be changed by is
/// refused: it would lead to another path than the one that was asked for.
fn check_segment(segment: &str) -> Result<(), ApiError> {
    let dots = segment.to_ascii_lowercase().replace("%2e", ".");
    let plain = |b: u8| {
        b.is_ascii_graphic()
            && !matches!(
                b,
                b'"' | b'<' | b'>' | b'`' | b'\\' | b'{' | b'}' | b'^' | b'|'
            )
    };
    if dots == "." || dots == ".." || !segment.bytes().all(plain) {
        return Err(ApiError::new(ErrorCode::AccountIdOther));
    }
    Ok(())
}

/// Reads a body whole; none if the request has none.
async fn whole(body: Body) -> Result<Option<Vec<u8>>, ApiError> {
    if body.is_end_stream() {
        return Ok(None);
    }
    let refusal =
        |text: &str, status| ApiError::because(ErrorCode::Syntax, text).with_status(status);
    match timeout(BODY_LIMIT, http::whole(body, MAX_BODY)).await {
        Ok(Ok(body)) => Ok(Some(body)),
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

#[cfg(test)]
mod tests {
    use super::*;

    // R-5.2-1, R-1.1-1: whatever an account id says, it goes on as it is, unless it would lead elsewhere.
    #[test]
    fn a_segment_leads_nowhere_else() {
        for good in ["a.b.c", "...", "eyJ-_~", "%41", "a%2eb", ".a"] {
            assert_eq!(check_segment(good), Ok(()), "{good}");
        }
        for bad in [".", "..", "%2e", "%2E%2e", ".%2E", "a\\b", "a{b", "\u{e9}"] {
            let refusal = check_segment(bad).unwrap_err();
            assert_eq!(
                (refusal.status.as_u16(), refusal.code.number()),
                (422, 19),
                "{bad}"
            );
        }
    }
}
