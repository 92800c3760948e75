//! ES2+ towards the SM-DP+: DownloadOrder, ConfirmOrder, ReleaseProfile, CancelOrder as JSON over mutual TLS (SGP.22 §5.3, §6.5).

use std::time::Duration;

use aid_aid1::error_code::clean;
use aid_aid1::trace::summary;
use aid_cli::cli::{Failure, TRACE};
use aid_cli::tls;
use aid_id::{ActivationCode, Eid, Iccid};
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
    /// No answer, or not one of ES2+: a proxy's, for instance. The same call may succeed later.
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

    /// CancelOrder: the profile can be ordered again. `eid` is that of the order, which the SM-DP+ demands where it was
    /// ordered for one (SGP.22 §5.3.3).
    ///
    /// # Errors
    /// [`Es2Error`]
    pub(crate) async fn cancel_order(
        &self,
        call: Uuid,
        iccid: &str,
        eid: Option<&str>,
    ) -> Result<(), Es2Error> {
        let mut body = json!({ "iccid": iccid, "finalProfileStatusIndicator": "Available" });
        if let Some(eid) = eid {
            body["eid"] = json!(eid);
        }
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
        match judged(function, &members) {
            Judged::Done => Ok(members),
            Judged::Refused(error) => Err(error),
            Judged::Unclear(reason) => Err(self.broken(&format!("{function}: {reason}"))),
        }
    }

    fn broken(&self, reason: &str) -> Es2Error {
        Es2Error::Unreachable {
            url: self.url.clone(),
            reason: clean(reason, 300),
        }
    }
}

/// What an answer of ES2+ says about its call.
enum Judged {
    Done,
    /// The SM-DP+ refused, and said why.
    Refused(Es2Error),
    /// It may succeed later.
    Unclear(String),
}

/// May it be a subject or reason code: numbers with dots between them (SGP.22 §5.2.6.1, §5.2.6.2)?
fn is_code(text: &str) -> bool {
    let number =
        |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    text.len() <= 16 && text.split('.').all(number)
}

/// Reads the `functionExecutionStatus` (SGP.22 §5.2.6): only `Failed` with its codes is a refusal. A call that was too
/// late (`Expired`), or whose way the SM-DP+ could not go (reason codes 5, transport error), may succeed later; so may
/// a status that SGP.22 does not have.
fn judged(function: &'static str, answer: &Map<String, Value>) -> Judged {
    let result = answer
        .get("header")
        .and_then(|h| h.get("functionExecutionStatus"));
    let status = result.and_then(|r| r.get("status")).and_then(Value::as_str);
    let data = result.and_then(|r| r.get("statusCodeData"));
    let text = |name| {
        let text = data.and_then(|d| d.get(name)).and_then(Value::as_str);
        text.map(|text| clean(text, 200))
    };
    // Codes count whatever the texts beside them are, and however they are written.
    let code = |name| match data.and_then(|d| d.get(name)) {
        Some(Value::String(text)) if is_code(text.trim()) => Some(text.trim().to_owned()),
        Some(Value::Number(number)) => Some(number.to_string()).filter(|text| is_code(text)),
        _ => None,
    };
    match status {
        Some("Executed-Success" | "Executed-WithWarning") => Judged::Done,
        Some("Failed") => match (code("subjectCode"), code("reasonCode")) {
            (Some(subject), Some(reason)) if !reason.starts_with("5.") => {
                Judged::Refused(Es2Error::Refused {
                    function,
                    subject,
                    reason,
                    message: text("message").unwrap_or_else(|| "?".into()),
                })
            }
            (Some(subject), Some(reason)) => {
                Judged::Unclear(format!("failed with subject {subject}, reason {reason}"))
            }
            _ => Judged::Unclear("failed without subject and reason".into()),
        },
        Some(status) => Judged::Unclear(format!("status {}", clean(status, 40))),
        None => Judged::Unclear("no functionExecutionStatus".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Only a refusal with its codes ends an order; all else is asked again.
    #[test]
    fn only_a_clear_refusal_is_final() {
        let failed = |data: Value| json!({"header": {"functionExecutionStatus": {"status": "Failed", "statusCodeData": data}}});
        let status =
            |status: Value| json!({"header": {"functionExecutionStatus": {"status": status}}});
        let final_ones = [
            failed(json!({"subjectCode": "8.2.1", "reasonCode": "1.1", "message": "unknown"})),
            failed(json!({"subjectCode": "8.2.5", "reasonCode": "3.7"})),
        ];
        // Texts change nothing, and a code may be written as a number.
        let odd = [
            json!("two\nlines"),
            json!("x".repeat(10_000)),
            json!(7),
            json!({"de": "unbekannt"}),
            Value::Null,
        ];
        for odd in odd {
            let answer = failed(json!({
                "subjectCode": " 8.2.5 ", "reasonCode": 3.7, "subjectIdentifier": odd, "message": odd,
            }));
            match judged("downloadOrder", answer.as_object().unwrap()) {
                Judged::Refused(Es2Error::Refused {
                    subject,
                    reason,
                    message,
                    ..
                }) => {
                    assert_eq!((subject.as_str(), reason.as_str()), ("8.2.5", "3.7"));
                    assert!(
                        message.len() <= 600 && !message.contains('\n'),
                        "{message:?}"
                    );
                }
                _ => panic!("{answer}"),
            }
        }
        let unclear = [
            failed(json!({"subjectCode": "8.1", "reasonCode": "5.1"})),
            failed(json!({"subjectCode": "8.1", "reasonCode": 5.1})),
            failed(json!({"subjectCode": "", "reasonCode": ""})),
            failed(json!({"subjectCode": "EID", "reasonCode": "3.7"})),
            failed(json!({"subjectCode": "8..1", "reasonCode": "3.7"})),
            failed(json!({"subjectCode": "8.1"})),
            failed(json!({"reasonCode": 3})),
            failed(Value::Null),
            status(json!("Failed")),
            status(json!("Expired")),
            status(json!("busy")),
            status(json!(7)),
            json!({"header": {}}),
            json!({"status": "Failed"}),
            json!({"code": "49", "error": "no"}),
            json!({}),
        ];
        let judge = |answer: &Value| judged("downloadOrder", answer.as_object().unwrap());
        for answer in &final_ones {
            assert!(matches!(judge(answer), Judged::Refused(_)), "{answer}");
        }
        for answer in &unclear {
            assert!(matches!(judge(answer), Judged::Unclear(_)), "{answer}");
        }
        for word in ["Executed-Success", "Executed-WithWarning"] {
            assert!(matches!(judge(&status(json!(word))), Judged::Done));
        }
    }
}
