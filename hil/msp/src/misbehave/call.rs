//! Misbehaviours of our own calls: what is sent, with which headers, how often. They bypass the typed client, because that
//! could not send such things.

use std::time::Duration;

use aid_aid1::client::{Call, Settings};
use aid_aid1::error_code::{ErrorBody, clean};
use aid_aid1::headers::{API_KEY, CLIENT_ID, Credentials, Headers, PartyId, REQUEST_ID, TARGET_ID};
use aid_aid1::strict_json::MAX_BODY;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::answer::twist_text;
use super::code::twist_code;
use super::token::{Customer, twist_token};
use super::{Fired, Name, Place, Stage};
use crate::orders::code_body;

/// A call before it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    /// The operation.
    pub(crate) place: Place,
    /// HTTP method.
    pub(crate) method: Method,
    /// Path, below the CMP's base URL.
    pub(crate) path: String,
    /// The two ids.
    pub(crate) call: Call,
    /// Headers that replace the right ones; an empty value removes one.
    pub(crate) headers: Vec<(HeaderName, String)>,
    /// Body.
    pub(crate) body: Option<String>,
    /// `content-type` of the body.
    pub(crate) content_type: String,
    /// To wait before.
    pub(crate) delay: Duration,
    /// It is not sent.
    pub(crate) dropped: bool,
    /// Calls that follow it.
    pub(crate) then: Vec<Outgoing>,
}

impl Outgoing {
    /// A call as it should be.
    pub(crate) fn new(
        place: Place,
        method: Method,
        path: String,
        call: Call,
        body: String,
    ) -> Self {
        Self {
            place,
            method,
            path,
            call,
            headers: Vec::new(),
            body: Some(body),
            content_type: "application/json".into(),
            delay: Duration::ZERO,
            dropped: false,
            then: Vec::new(),
        }
    }

    /// The same once more, as a call of its own.
    fn again(&self) -> Self {
        let mut next = self.clone();
        next.then.clear();
        next.delay = Duration::ZERO;
        next.call.request_id = Uuid::new_v4();
        next
    }

    fn members(&self) -> Map<String, Value> {
        let text = self.body.as_deref().unwrap_or_default();
        serde_json::from_str(text).unwrap_or_default()
    }

    fn set_members(&mut self, members: Map<String, Value>) {
        self.body = Some(Value::Object(members).to_string());
    }
}

/// An HTTPS client of one CMP that sends whatever it is told.
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

/// Changes a call.
pub(crate) fn twist_call(fired: &Fired, call: &mut Outgoing, customer: &Customer<'_>) {
    let parameters = &fired.parameters;
    let text = |default: &str| parameters.text_or(default).to_owned();
    match fired.name {
        Name::WrongCorrelationId => call.call.correlation_id = Uuid::new_v4(),
        Name::BadRequestId => call.headers.push((REQUEST_ID, text("not-a-uuid"))),
        Name::WrongTargetId => call.headers.push((TARGET_ID, text("SomebodyElse"))),
        Name::WrongClientId => call.headers.push((CLIENT_ID, text("SomebodyElse"))),
        Name::WrongApiKey => call.headers.push((API_KEY, text("wrongkey"))),
        Name::NoApiKey => call.headers.push((API_KEY, String::new())),
        Name::WrongContentType => call.content_type = "text/plain".into(),
        Name::LateCall => call.delay = parameters.delay(5_000),
        Name::NoCall => call.dropped = true,
        Name::EmptyBody => call.body = None,
        Name::SendTwice | Name::DoubleCode => call.then.push(call.again()),
        Name::Repeat => {
            let mut next = call.again();
            next.call = call.call;
            call.then.push(next);
        }
        Name::ReusedRequestId => {
            let mut next = call.again();
            next.call = call.call;
            let mut members = next.members();
            members.insert("x-other".into(), json!(true));
            next.set_members(members);
            call.then.push(next);
        }
        _ => twist_members(fired, call, customer),
    }
}

/// Changes the body of a call.
fn twist_members(fired: &Fired, call: &mut Outgoing, customer: &Customer<'_>) {
    let parameters = &fired.parameters;
    let mut members = call.members();
    match fired.name {
        name if name.stage() == Stage::Code => twist_code(fired, &mut members),
        Name::SecondCode => {
            let mut next = call.again();
            let mut other = members.clone();
            let code = other.get("activationCode").and_then(Value::as_str);
            let code = code.map(|code| format!("{code}-2"));
            other.insert("activationCode".into(), json!(code));
            other.insert("iccid".into(), json!(parameters.iccid_or_nobodys()));
            next.set_members(other);
            call.then.push(next);
        }
        Name::WrongRequestId => {
            let id = Uuid::new_v4().to_string();
            members.insert("activationCodeRequestID".into(), json!(id));
        }
        Name::NullRequestId => {
            members.insert("activationCodeRequestID".into(), Value::Null);
        }
        Name::CodeAndError => {
            members.insert("error".into(), json!(parameters.text_or("49: on purpose")));
        }
        Name::NeitherCodeNorError | Name::NeitherTokenNorError => {
            for (_, value) in &mut members {
                *value = Value::Null;
            }
        }
        Name::ForeignProfile => {
            let foreign = json!({"iccid": parameters.iccid_or_nobodys(), "status": "invalid", "reason": null});
            if let Some(list) = members.get_mut("profiles").and_then(Value::as_array_mut) {
                list.push(foreign);
            }
        }
        Name::EmptyProfiles => {
            members.insert("profiles".into(), json!([]));
        }
        Name::ValidAfterInvalid => {
            let mut next = call.again();
            let mut other = members.clone();
            for profile in other
                .get_mut("profiles")
                .and_then(Value::as_array_mut)
                .into_iter()
                .flatten()
            {
                profile["status"] = json!("valid");
            }
            next.set_members(other);
            call.then.push(next);
        }
        Name::InformWithInvalidation => {
            let mut next = call.again();
            next.place = Place::SendProfileInformation;
            next.path = call.path.replace("/invalidate", "/profiles");
            let list: Vec<_> = customer
                .iccids
                .iter()
                .map(|iccid| json!({"iccid": iccid, "status": "invalid", "reason": null}))
                .collect();
            next.body = Some(json!({"profiles": list}).to_string());
            call.then.push(next);
        }
        Name::CodeAfterInvalidation => {
            let mut next = call.again();
            next.place = Place::SendActivationCode;
            let token = call.path.split('/').rev().nth(1).unwrap_or_default();
            next.path = format!("/cesim/msp/v1/activation-codes/{token}");
            let request = customer.newest_request.unwrap_or_else(Uuid::new_v4);
            next.body = Some(code_body(request));
            call.then.push(next);
        }
        Name::SecondToken => {
            let mut next = call.again();
            let mut other = members.clone();
            other.insert("msp_token".into(), json!(Uuid::new_v4().to_string()));
            next.set_members(other);
            call.then.push(next);
        }
        _ => {
            if twist_token(fired, &mut members, customer) {
                call.set_members(members);
            } else if let Some(body) = twist_text(fired, call.body.as_deref().unwrap_or_default()) {
                call.body = Some(body);
            }
            return;
        }
    }
    call.set_members(members);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::misbehave::{CALLS, Parameters};

    // Each name that can act on a call changes something about it.
    #[test]
    fn no_name_is_without_effect() {
        let body = |place| match place {
            Place::SendMspToken | Place::UpdateSubscriptionInfo => {
                json!({"msp_token": Uuid::new_v4().to_string(), "phoneNumber": "x", "iv": "AAAAAAAAAAAAAAAA",
                    "subscriptionType": "private", "error": null})
            }
            Place::SendProfileInformation => {
                json!({"profiles": [{"iccid": "1", "status": "invalid"}]})
            }
            Place::NotifyTokenInvalid => json!({"reason": "x"}),
            _ => {
                json!({"activationCode": "1$a$b", "iccid": "2", "error": null, "swappedIccid": "3",
                "profileType": "personal", "activationCodeRequestID": Uuid::new_v4().to_string()})
            }
        };
        let customer = Customer {
            phone_key: &[7; 32],
            number: "4915112345678",
            earlier_token: Some("b".into()),
            iccids: vec!["2".into()],
            newest_request: None,
        };
        for name in Name::ALL {
            for place in name.places().iter().filter(|p| CALLS.contains(p)) {
                let path = "/cesim/msp/v1/users/t/invalidate".to_owned();
                let mut call = Outgoing::new(
                    *place,
                    Method::POST,
                    path,
                    Call::new(),
                    body(*place).to_string(),
                );
                let before = format!("{call:?}");
                let fired = Fired {
                    rule: 1,
                    name: *name,
                    parameters: Parameters::default(),
                };
                twist_call(&fired, &mut call, &customer);
                assert_ne!(format!("{call:?}"), before, "{name:?} at {place:?}");
            }
        }
    }
}
