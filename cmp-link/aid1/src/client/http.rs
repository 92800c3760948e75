//! One HTTPS request with a bounded answer; both clients use it.

use std::error::Error as _;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use http::header::{CONTENT_TYPE, DATE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::{Call, CallError, Carried, Settings};
use crate::body::{ActivationCodeResponse, Body as _, Iccids};
use crate::contract::Contract;
use crate::deviation::{self, Deviation, Deviations};
use crate::error_code::{ApiError, ErrorBody, MAX_ERROR_TEXT, clean};
use crate::headers::{Credentials, Headers, PartyId};
use crate::received::Received;
use crate::span::{self, Kind, Span};
use crate::strict_json::MAX_BODY;
use crate::trace::summary;

/// So much of a body or a content type that nobody can read is shown in the log, bytes.
const MAX_SHOWN: usize = 120;

/// A party's HTTPS client.
#[derive(Clone, Debug)]
pub(super) struct Http {
    client: reqwest::Client,
    base: String,
    own_id: PartyId,
    target_id: PartyId,
    credentials: Credentials,
    seconds: u64,
    deviations: Deviations,
    iccids: Iccids,
}

impl Received {
    /// What an answer means whose status is not 2xx.
    pub(super) fn unexpected(self, operation: &'static Contract) -> CallError {
        if self.status.is_redirection() || self.status.is_informational() {
            let reason = format!("status {}", self.status);
            return CallError::Contract {
                operation,
                reason,
                code: None,
            };
        }
        let body = serde_json::from_slice::<ErrorBody>(&self.body).ok();
        let body = body.map(|b| ErrorBody {
            code: clean(&b.code, 8),
            error: clean(&b.error, MAX_ERROR_TEXT),
        });
        let note = self.describe();
        CallError::Refused {
            operation,
            status: self.status,
            body,
            note,
            retry_after: self.retry_after,
        }
    }

    /// What a 2xx means whose body is not the one that the operation has.
    pub(super) fn unusable(&self, operation: &'static Contract, error: &ApiError) -> CallError {
        CallError::Contract {
            operation,
            reason: format!("{}, {}: {}", self.status, self.describe(), error.text),
            code: Some(error.code),
        }
    }

    /// What is tolerated of a success: a status that is not the one of the contract, or a body where there is none, or
    /// members of the activation code that are not as the text has them.
    pub(super) fn tolerated(
        &self,
        operation: &'static Contract,
        success: StatusCode,
    ) -> Vec<Deviation> {
        let mut found = Vec::new();
        if self.status != success {
            let status = self.status;
            tracing::warn!(%status, "{operation} was answered outside the contract, which has {success}");
            found.push(Deviation::Status);
        }
        let listed = operation.successes.iter().find(|s| s.status == success);
        match listed.and_then(|s| s.body) {
            None if !self.is_empty() => {
                tracing::warn!(
                    "{operation} was answered with a body that the contract does not have"
                );
                found.push(Deviation::Body);
            }
            Some(body) if body.name == ActivationCodeResponse::NAME => {
                found.extend(deviation::of_response(&self.body));
            }
            _ => {}
        }
        found
    }

    /// What came, for the log: its type, and the members of JSON or the beginning of a page. Of anything else no more
    /// than the length: half a body may hold a whole activation code.
    fn describe(&self) -> String {
        let kind = match self.kind.as_str() {
            "" => "no content type",
            kind => kind,
        };
        let body = if self.is_page() {
            let start = self.body.get(..MAX_SHOWN).unwrap_or(&self.body);
            clean(&String::from_utf8_lossy(start), MAX_SHOWN)
        } else {
            summary(&self.body)
        };
        format!("{kind}, {body}")
    }
}

/// `Retry-After` (RFC 9110 §10.2.3): seconds, or a date, which is measured against the `Date` of the same answer, so that
/// our clock does not matter.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = |text: &str| httpdate::parse_http_date(text).ok();
    let until = date(text)?;
    let sent = headers
        .get(DATE)
        .and_then(|value| date(value.to_str().ok()?));
    // A date that has passed: at once.
    let wait = until.duration_since(sent.unwrap_or_else(SystemTime::now));
    Some(wait.unwrap_or_default())
}

impl Http {
    pub(super) fn new(settings: Settings) -> Result<Self, CallError> {
        let base = settings.base_url.trim_end_matches('/').to_owned();
        let parsed = reqwest::Url::parse(&base)
            .map_err(|e| CallError::Settings(format!("{base:?} is no URL: {e}")))?;
        if parsed.scheme() != "https" || parsed.query().is_some() || parsed.fragment().is_some() {
            // AID.02 §6: all communication is encrypted.
            return Err(CallError::Settings(format!(
                "{base:?} must begin with https:// and have no query"
            )));
        }
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(settings.tls)
            .https_only(true)
            .http1_only()
            .tcp_nodelay(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(settings.timeout)
            .build()
            .map_err(|error| CallError::Settings(chain(&error)))?;
        Ok(Self {
            client,
            base,
            own_id: settings.own_id,
            target_id: settings.target_id,
            credentials: settings.credentials,
            seconds: settings.timeout.as_secs(),
            deviations: settings.deviations,
            iccids: settings.iccids,
        })
    }

    /// Where the called party's deviations are counted.
    pub(super) fn deviations(&self) -> &Deviations {
        &self.deviations
    }

    /// Makes one request of our own in a span of its own.
    ///
    /// # Errors
    /// [`CallError`] if no complete answer came.
    pub(super) async fn exchange(
        &self,
        operation: &'static Contract,
        path: &str,
        call: Call,
        body: Option<Vec<u8>>,
    ) -> Result<Received, CallError> {
        let headers = Headers {
            request_id: call.request_id,
            correlation_id: call.correlation_id,
            client_id: self.own_id.clone(),
            target_id: self.target_id.clone(),
        };
        let kind = body
            .as_ref()
            .map(|_| HeaderValue::from_static("application/json"));
        let carried = Carried {
            operation,
            headers,
            path: path.to_owned(),
            kind,
            body,
            traceparent: None,
            limit: None,
        };
        self.carry(carried).await
    }

    /// Makes one request under the names that it brings, in a span of its own.
    ///
    /// # Errors
    /// [`CallError`] if no complete answer came.
    pub(super) async fn carry(&self, carried: Carried) -> Result<Received, CallError> {
        let span = Span::begin(
            carried.operation.name,
            Kind::Client,
            carried.headers.correlation_id,
            None,
            carried.headers.target_id.as_str(),
        );
        let answer = self.ask(carried, span.as_ref());
        let answer = answer.await;
        if let Some(span) = span {
            span.end(answer.as_ref().ok().map(|answer| answer.status.as_u16()));
        }
        answer
    }

    async fn ask(&self, carried: Carried, span: Option<&Span>) -> Result<Received, CallError> {
        let Carried {
            operation,
            headers,
            path,
            kind,
            body,
            traceparent,
            limit,
        } = carried;
        let (request_id, target) = (headers.request_id, &headers.target_id);
        tracing::trace!(
            target: "trace",
            "-> AID1 {operation} to {target} request {request_id} correlation {} {}",
            headers.correlation_id,
            summary(body.as_deref().unwrap_or_default()),
        );
        let mut map = headers.to_map(&self.credentials);
        if let Some(place) = traceparent {
            map.insert(span::TRACEPARENT, place);
        }
        span::to_headers(span, &mut map);
        if let Some(kind) = kind {
            map.insert(CONTENT_TYPE, kind);
        }
        let mut request = self
            .client
            .request(operation.method.clone(), format!("{}{path}", self.base))
            .headers(map);
        if let Some(limit) = limit {
            request = request.timeout(limit);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let outcome = async {
            let mut response = request.send().await?;
            let (status, headers) = (response.status(), response.headers().clone());
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await? {
                if body.len() + chunk.len() > MAX_BODY {
                    return Ok((status, headers, None));
                }
                body.extend_from_slice(&chunk);
            }
            Ok((status, headers, Some(body)))
        };
        let (status, headers, body) = outcome
            .await
            .map_err(|error: reqwest::Error| self.failure(&error, limit))?;
        let Some(body) = body else {
            let reason = format!("{status}, more than {MAX_BODY} bytes");
            return Err(CallError::Contract {
                operation,
                reason,
                code: None,
            });
        };
        tracing::trace!(
            target: "trace",
            "<- AID1 {operation} {status} from {target} request {request_id} {}",
            summary(&body),
        );
        let kind = headers
            .get(CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .unwrap_or_default();
        Ok(Received {
            status,
            body,
            kind: clean(&kind.to_ascii_lowercase(), MAX_SHOWN),
            retry_after: retry_after(&headers),
            iccids: self.iccids,
        })
    }

    fn failure(&self, error: &reqwest::Error, limit: Option<Duration>) -> CallError {
        let url = self.base.clone();
        if error.is_timeout() {
            CallError::Timeout {
                url,
                seconds: limit.map_or(self.seconds, |limit| limit.as_secs()),
            }
        } else if error.is_connect() {
            CallError::Connect {
                url,
                reason: chain(error),
            }
        } else {
            CallError::Broken {
                url,
                reason: chain(error),
            }
        }
    }
}

/// The causes of an error without its URL, which holds tokens.
fn chain(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        if !text.is_empty() {
            text.push_str(": ");
        }
        // Writing into a String does not fail.
        let _ = write!(text, "{error}");
        cause = error.source();
    }
    if text.is_empty() {
        "the request failed".into()
    } else {
        clean(&text, MAX_ERROR_TEXT)
    }
}
