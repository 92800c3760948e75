//! An HTTPS client that sends what the typed one could not, and says what came back.

use aid_aid1::client::Settings;
use aid_aid1::error_code::{ErrorBody, clean};
use aid_aid1::headers::{Credentials, Headers, PartyId};
use aid_aid1::strict_json::MAX_BODY;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue};

use super::call::Outgoing;

/// An HTTPS client of one CMP that sends requests unchecked, malformed ones too.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    client: reqwest::Client,
    base: String,
    own_id: PartyId,
    target_id: PartyId,
    credentials: Credentials,
}

/// What a CMP said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// HTTP status; 0 if there was no answer.
    pub(crate) status: u16,
    /// Code of §5.5.
    pub(crate) code: Option<String>,
    /// Its text, or why there was no answer.
    pub(crate) note: String,
    /// The body, cut to 4 kB.
    pub(crate) body: String,
}

impl Wire {
    /// A client with the settings of the typed one.
    ///
    /// # Errors
    /// What the TLS library says.
    pub(crate) fn new(settings: &Settings) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(settings.tls.clone())
            .https_only(true)
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(settings.timeout)
            .build()?;
        Ok(Self {
            client,
            base: settings.base_url.trim_end_matches('/').to_owned(),
            own_id: settings.own_id.clone(),
            target_id: settings.target_id.clone(),
            credentials: settings.credentials.clone(),
        })
    }

    fn headers(&self, call: &Outgoing) -> HeaderMap {
        let headers = Headers {
            request_id: call.call.request_id,
            correlation_id: call.call.correlation_id,
            client_id: self.own_id.clone(),
            target_id: self.target_id.clone(),
        };
        let mut map = headers.to_map(&self.credentials);
        if let Ok(value) = HeaderValue::from_str(&call.content_type) {
            map.insert(CONTENT_TYPE, value);
        }
        for (name, text) in &call.headers {
            map.remove(name);
            if let Ok(value) = HeaderValue::from_str(text)
                && !text.is_empty()
            {
                map.insert(name, value);
            }
        }
        map
    }

    /// Sends one call, without those that follow it.
    pub(crate) async fn send(&self, call: &Outgoing) -> Said {
        tokio::time::sleep(call.delay).await;
        let mut request = self
            .client
            .request(call.method.clone(), format!("{}{}", self.base, call.path))
            .headers(self.headers(call));
        if let Some(body) = &call.body {
            request = request.body(body.clone());
        }
        let exchange = async {
            let mut response = request.send().await?;
            let status = response.status().as_u16();
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await? {
                if body.len() + chunk.len() > MAX_BODY {
                    break;
                }
                body.extend_from_slice(&chunk);
            }
            Ok::<_, reqwest::Error>((status, body))
        };
        match exchange.await {
            Ok((status, body)) => {
                let error = serde_json::from_slice::<ErrorBody>(&body).ok();
                let body = String::from_utf8_lossy(&body).chars().take(4096).collect();
                Said {
                    status,
                    code: error.as_ref().map(|e| clean(&e.code, 8)),
                    note: error.map(|e| clean(&e.error, 512)).unwrap_or_default(),
                    body,
                }
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                Said {
                    status: 0,
                    code: None,
                    note: clean(&cause.unwrap_or_else(|| "no answer in time".into()), 300),
                    body: String::new(),
                }
            }
        }
    }
}
