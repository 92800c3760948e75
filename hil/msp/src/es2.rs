//! ES2+ towards the SM-DP+: DownloadOrder, ConfirmOrder, ReleaseProfile, CancelOrder as JSON over mutual TLS (SGP.22 §5.3, §6.5).

use std::time::Duration;

use aid_aid1::error_code::clean;
use aid_aid1::trace::summary;
use aid_id::{ActivationCode, Eid, Iccid};
use aid_shell::cli::{Failure, TRACE};
use aid_shell::tls;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::config;

/// Largest answer, bytes.
const MAX_ANSWER: usize = 64 * 1024;
/// Time limit of one function.
const LIMIT: Duration = Duration::from_secs(10);
/// `X-Admin-Protocol` (SGP.22 §6.5.1.1).
const PROTOCOL: &str = "gsma/rsp/v2.4.0";

/// Why the SM-DP+ did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Es2Error {
    /// No answer, or not one of ES2+. The same call may succeed later.
    #[error("the SM-DP+ {url} cannot be used: {reason}")]
    Unreachable {
        /// Base URL.
        url: String,
        /// What happened.
        reason: String,
    },
    /// It refused.
    #[error("{function} was refused with subject {subject}, reason {reason}: {message}")]
    Refused {
        /// The function.
        function: &'static str,
        /// subjectCode (SGP.22 §5.2.6.1).
        subject: String,
        /// reasonCode (SGP.22 §5.2.6.2).
        reason: String,
        /// Its own words.
        message: String,
    },
}

/// A client of one SM-DP+. Cheap to clone; connections are shared.
#[derive(Debug, Clone)]
pub(crate) struct Es2 {
    client: reqwest::Client,
    url: String,
    requester: String,
    address: Option<String>,
    profile_type: Option<String>,
    release_separately: bool,
}

impl Es2 {
    /// A client; it connects when first used.
    ///
    /// # Errors
    /// A certificate or the URL is not usable.
    pub(crate) fn new(config: &config::Smdp) -> Result<Self, Failure> {
        let url = config.url.trim_end_matches('/').to_owned();
        let wrong = |reason: &dyn std::fmt::Display| {
            Failure::new(format!(
                "[smdp] url {url:?}: {reason}; write https://host:port"
            ))
        };
        let parsed = reqwest::Url::parse(&url).map_err(|e| wrong(&e))?;
        if parsed.scheme() != "https" {
            return Err(wrong(&"ES2+ is always encrypted"));
        }
        let tls = tls::client_config(&config.ca, Some((&config.cert, &config.key)))?;
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls.as_ref().clone())
            .https_only(true)
            .http1_only()
            .tcp_nodelay(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(LIMIT)
            .build()
            .map_err(|e| wrong(&e))?;
        Ok(Self {
            client,
            url,
            requester: config.requester.clone(),
            address: config.address.clone(),
            profile_type: config.profile_type.clone(),
            release_separately: config.release_separately,
        })
    }

    /// DownloadOrder: reserves this profile, or any suitable one, for the eUICC (SGP.22 §5.3.1). The same `call` again
    /// gets the same profile from an SM-DP+ that recognises it.
    ///
    /// # Errors
    /// [`Es2Error`]
    pub(crate) async fn download_order(
        &self,
        call: Uuid,
        eid: &Eid,
        iccid: Option<&Iccid>,
    ) -> Result<Iccid, Es2Error> {
        let mut body = json!({ "eid": eid.as_str() });
        match (iccid, &self.profile_type) {
            (Some(iccid), _) => body["iccid"] = json!(iccid.as_str()),
            (None, Some(kind)) => body["profileType"] = json!(kind),
            (None, None) => {}
        }
        let answer = self.call("downloadOrder", call, body).await?;
        let digits = answer
            .get("iccid")
            .and_then(Value::as_str)
            .unwrap_or_default();
        // On ES2+ a filler F may end an ICCID of 19 digits.
        digits
            .trim_end_matches(['F', 'f'])
            .parse()
            .map_err(|e| self.broken(&format!("downloadOrder: {e}")))
    }

    /// ConfirmOrder with releaseFlag, or ReleaseProfile (§5.3.4) after it: the profile can be downloaded from now on (SGP.22 §5.3.2). Yields the activation
    /// code (§4.1).
    ///
    /// # Errors
    /// [`Es2Error`]
    pub(crate) async fn confirm_order(
        &self,
        call: Uuid,
        eid: &Eid,
        iccid: &Iccid,
    ) -> Result<ActivationCode, Es2Error> {
        let flag = !self.release_separately;
        let body = json!({ "iccid": iccid.as_str(), "eid": eid.as_str(), "releaseFlag": flag });
        let answer = self.call("confirmOrder", call, body).await?;
        if self.release_separately {
            let body = json!({ "iccid": iccid.as_str() });
            self.call("releaseProfile", call, body).await?;
        }
        let member = |name| {
            answer
                .get(name)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
        };
        let matching_id =
            member("matchingId").ok_or_else(|| self.broken("confirmOrder: no matchingId"))?;
        let address = member("smdpAddress")
            .or(self.address.as_deref())
            .ok_or_else(|| self.broken("confirmOrder: no smdpAddress; set address in [smdp]"))?;
        ActivationCode::new(address, matching_id, None, false)
            .map_err(|e| self.broken(&format!("confirmOrder: {e}")))
    }

    /// CancelOrder: the profile can be ordered again (SGP.22 §5.3.3).
    ///
    /// # Errors
    /// [`Es2Error`]
    pub(crate) async fn cancel_order(&self, call: Uuid, iccid: &str) -> Result<(), Es2Error> {
        let body = json!({ "iccid": iccid, "finalProfileStatusIndicator": "Available" });
        self.call("cancelOrder", call, body).await.map(|_| ())
    }

    async fn call(
        &self,
        function: &'static str,
        call: Uuid,
        mut body: Value,
    ) -> Result<Map<String, Value>, Es2Error> {
        body["header"] = json!({
            "functionRequesterIdentifier": self.requester,
            "functionCallIdentifier": call.simple().to_string(),
        });
        tracing::trace!(target: TRACE, "-> ES2+ {function} {}", summary(body.to_string().as_bytes()));
        let request = self
            .client
            .post(format!("{}/gsma/rsp2/es2plus/{function}", self.url))
            .header("X-Admin-Protocol", PROTOCOL)
            .header("User-Agent", "gsma-rsp-operator")
            .json(&body);
        let exchange = async {
            let mut response = request.send().await?;
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await? {
                body.extend_from_slice(&chunk);
                if body.len() > MAX_ANSWER {
                    break;
                }
            }
            Ok((response.status(), body))
        };
        let (status, body) = exchange.await.map_err(|e: reqwest::Error| {
            let cause = std::error::Error::source(&e).map(ToString::to_string);
            self.broken(&format!(
                "{function}: {}",
                cause.unwrap_or_else(|| "no answer in time".into())
            ))
        })?;
        tracing::trace!(target: TRACE, "<- ES2+ {function} {status} {}", summary(&body));
        if !status.is_success() || body.len() > MAX_ANSWER {
            return Err(self.broken(&format!(
                "{function}: status {status}, {} bytes",
                body.len()
            )));
        }
        let answer = serde_json::from_slice::<Value>(&body)
            .map_err(|e| self.broken(&format!("{function}: {e}")))?;
        let Value::Object(members) = answer else {
            return Err(self.broken(&format!("{function}: no JSON object")));
        };
        let result = members
            .get("header")
            .and_then(|h| h.get("functionExecutionStatus"));
        match result.and_then(|r| r.get("status")).and_then(Value::as_str) {
            Some("Executed-Success" | "Executed-WithWarning") => Ok(members),
            Some(_) => {
                let data = result.and_then(|r| r.get("statusCodeData"));
                let text = |name| {
                    let text = data.and_then(|d| d.get(name)).and_then(Value::as_str);
                    clean(text.unwrap_or("?"), 200)
                };
                let (subject, reason, message) =
                    (text("subjectCode"), text("reasonCode"), text("message"));
                Err(Es2Error::Refused {
                    function,
                    subject,
                    reason,
                    message,
                })
            }
            None => Err(self.broken(&format!("{function}: no functionExecutionStatus"))),
        }
    }

    fn broken(&self, reason: &str) -> Es2Error {
        Es2Error::Unreachable {
            url: self.url.clone(),
            reason: clean(reason, 300),
        }
    }
}
