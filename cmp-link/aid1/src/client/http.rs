//! One HTTPS request with a bounded answer; shared by both clients.

use std::error::Error as _;
use std::fmt::Write as _;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, StatusCode};

use super::{Call, CallError, Settings};
use crate::error_code::{ErrorBody, MAX_ERROR_TEXT, clean};
use crate::headers::{Credentials, Headers, PartyId};
use crate::span::{self, Kind, Span};
use crate::strict_json::MAX_BODY;
use crate::trace::summary;

/// A party's HTTPS client.
#[derive(Clone, Debug)]
pub(super) struct Http {
    client: reqwest::Client,
    base: String,
    own_id: PartyId,
    target_id: PartyId,
    credentials: Credentials,
    seconds: u64,
}

/// A complete answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// What an answer with another status than the expected ones means.
    pub(super) fn unexpected(self, operation: &'static str) -> CallError {
        if self.status.is_success()
            || self.status.is_redirection()
            || self.status.is_informational()
        {
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
        CallError::Refused {
            operation,
            status: self.status,
            body,
        }
    }
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
        })
    }

    /// An operation whose only success is one status without a body that matters.
    pub(super) async fn send(
        &self,
        operation: &'static str,
        method: Method,
        path: &str,
        call: Call,
        body: Option<Vec<u8>>,
        success: StatusCode,
    ) -> Result<(), CallError> {
        let answer = self.exchange(operation, method, path, call, body).await?;
        if answer.status == success {
            Ok(())
        } else {
            Err(answer.unexpected(operation))
        }
    }

    pub(super) async fn exchange(
        &self,
        operation: &'static str,
        method: Method,
        path: &str,
        call: Call,
        body: Option<Vec<u8>>,
    ) -> Result<Answer, CallError> {
        let peer = self.target_id.as_str();
        let span = Span::begin(operation, Kind::Client, call.correlation_id, None, peer);
        let answer = self.ask(operation, method, path, call, body, span.as_ref());
        let answer = answer.await;
        if let Some(span) = span {
            span.end(answer.as_ref().ok().map(|answer| answer.status.as_u16()));
        }
        answer
    }

    async fn ask(
        &self,
        operation: &'static str,
        method: Method,
        path: &str,
        call: Call,
        body: Option<Vec<u8>>,
        span: Option<&Span>,
    ) -> Result<Answer, CallError> {
        let headers = Headers {
            request_id: call.request_id,
            correlation_id: call.correlation_id,
            client_id: self.own_id.clone(),
            target_id: self.target_id.clone(),
        };
        tracing::trace!(
            target: "trace",
            "-> AID1 {operation} to {} request {} correlation {} {}",
            self.target_id, call.request_id, call.correlation_id,
            summary(body.as_deref().unwrap_or_default()),
        );
        let mut headers = headers.to_map(&self.credentials);
        span::to_headers(span, &mut headers);
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.base))
            .headers(headers);
        if let Some(body) = body {
            request = request
                .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
                .body(body);
        }
        let outcome = async {
            let mut response = request.send().await?;
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await? {
                if body.len() + chunk.len() > MAX_BODY {
                    return Ok((response.status(), None));
                }
                body.extend_from_slice(&chunk);
            }
            Ok((response.status(), Some(body)))
        };
        let (status, body) = outcome
            .await
            .map_err(|error: reqwest::Error| self.failure(&error))?;
        let Some(body) = body else {
            let reason = format!("more than {MAX_BODY} bytes");
            return Err(CallError::Contract {
                operation,
                reason,
                code: None,
            });
        };
        tracing::trace!(
            target: "trace",
            "<- AID1 {operation} {status} from {} request {} {}",
            self.target_id, call.request_id, summary(&body),
        );
        Ok(Answer { status, body })
    }

    fn failure(&self, error: &reqwest::Error) -> CallError {
        let url = self.base.clone();
        if error.is_timeout() {
            CallError::Timeout {
                url,
                seconds: self.seconds,
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
