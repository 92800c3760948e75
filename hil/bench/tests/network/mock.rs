//! A party that is made from the contract alone, with habits of its own: what it sends and answers is laid out over several
//! lines with members that nobody knows, and its refusals are in no words of AID.02.

use crate::contract::Contract;
use crate::set_up::{Name, Network, key};
use aid_cli::{signal, tls};
use aid_serve::http;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use uuid::Uuid;

/// A call that a mock got.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) client_id: String,
    target_id: String,
    pub(crate) request_id: String,
    pub(crate) body: Value,
    /// Status of the answer.
    pub(crate) answered: u16,
}

/// What a mock has seen and may answer.
#[derive(Default)]
struct Memory {
    got: Vec<Got>,
    complaints: Vec<String>,
    /// Activation codes to give, each with its ICCID, by EID.
    codes: BTreeMap<String, (String, String)>,
    /// The last status of each profile, by token.
    statuses: BTreeMap<String, BTreeMap<String, String>>,
    /// Further calls of this method that are answered with a proxy's page.
    away: BTreeMap<String, u32>,
}

/// The party.
#[derive(Clone)]
pub(crate) struct Mock {
    name: Name,
    own: Contract,
    other: Contract,
    client: reqwest::Client,
    hub: String,
    memory: Arc<Mutex<Memory>>,
}

fn laid_out(body: &str) -> String {
    let Ok(Value::Object(mut members)) = serde_json::from_str(body) else {
        return body.to_owned();
    };
    members.insert("x-house".into(), json!({"rule": 7}));
    serde_json::to_string_pretty(&members).unwrap()
}

impl Mock {
    /// Serves the operations of `own` on this listener, and calls those of `other`.
    pub(crate) fn start(
        network: &Network,
        name: Name,
        (own, other): (Contract, Contract),
        listener: tokio::net::TcpListener,
    ) -> (Self, signal::Trigger) {
        let (cert, key) = network.certificate(name);
        let config = tls::client_config(&network.pki("ca.pem"), Some((&cert, &key))).unwrap();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(config.as_ref().clone())
            .no_proxy()
            .build()
            .unwrap();
        let mock = Self {
            name,
            own,
            other,
            client,
            hub: network.hub.clone(),
            memory: Arc::default(),
        };
        let config = tls::server_config(
            &network.pki("hub-server.pem"),
            &network.pki("hub-server.key"),
            Some(&network.pki("partners-ca.pem")),
        );
        let router = Router::new().fallback(answer).with_state(mock.clone());
        let (trigger, stop) = signal::manual();
        tokio::spawn(http::serve(listener, Some(config.unwrap()), router, stop));
        (mock, trigger)
    }

    /// Calls a partner through the hub, by the name under which it is known; yields status and body of the answer.
    pub(crate) async fn call(
        &self,
        operation: &str,
        to: Name,
        variable: &str,
        with: Value,
    ) -> (u16, Value) {
        let (method, path, body) = self.other.request(operation, variable, with);
        let mut request = self
            .client
            .request(method.parse().unwrap(), format!("{}{path}", self.hub))
            .header("cmp-request-id", Uuid::new_v4().to_string())
            .header("correlation-id", Uuid::new_v4().to_string())
            .header("client-id", self.name.id)
            .header("target-id", to.known_as)
            .header("api-key", key("in", self.name.id));
        if !body.is_empty() {
            request = request
                .header(CONTENT_TYPE, "application/json;charset=UTF-8")
                .body(laid_out(&body));
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.text().await.unwrap();
        (status, serde_json::from_str(&body).unwrap_or(Value::Null))
    }

    /// The code for this car, and its ICCID.
    pub(crate) fn has_code(&self, eid: &str, code: (String, String)) {
        let mut memory = self.memory.lock().unwrap();
        memory.codes.insert(eid.to_owned(), code);
    }

    /// The next calls of this method are answered with a proxy's page.
    pub(crate) fn is_away(&self, method: &str, times: u32) {
        let mut memory = self.memory.lock().unwrap();
        memory.away.insert(method.to_owned(), times);
    }

    /// What it got with this token, or whatever else is in its path.
    pub(crate) fn got(&self, method: &str, with: &str) -> Vec<Got> {
        let memory = self.memory.lock().unwrap();
        let fits = |got: &&Got| got.method == method && got.path.contains(with);
        memory.got.iter().filter(fits).cloned().collect()
    }

    /// The last status that it has of a profile.
    pub(crate) fn status(&self, token: &str, iccid: &str) -> Option<String> {
        let memory = self.memory.lock().unwrap();
        memory.statuses.get(token)?.get(iccid).cloned()
    }

    /// What did not fit the contract or its own name.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let memory = self.memory.lock().unwrap();
        let mut all = memory.complaints.clone();
        let strays = memory
            .got
            .iter()
            .filter(|got| got.target_id != self.name.id);
        all.extend(strays.map(|got| format!("for somebody else: {got:?}")));
        all
    }

    /// What of the contract's example is said otherwise.
    fn members(memory: &Memory, path: &str, body: &Value) -> Value {
        let token = path.rsplit('/').next().unwrap_or_default();
        if path.starts_with("/v1/activation-code-requests/") {
            let eid = body["eid"].as_str().unwrap_or_default();
            return match memory.codes.get(eid) {
                Some((code, iccid)) => {
                    json!({"activationCode": code, "iccid": iccid, "swappedIccid": null})
                }
                None => json!({"swappedIccid": null}),
            };
        }
        let statuses = memory.statuses.get(token).into_iter().flatten();
        let known = statuses.filter(|(_, status)| *status != "deleted");
        let profiles: Vec<Value> = known
            .map(|(iccid, status)| json!({"iccid": iccid, "status": status}))
            .collect();
        match path.starts_with("/v1/profiles/status/") {
            true => json!({"profiles": profiles}),
            false => json!({}),
        }
    }

    fn answer(
        &self,
        method: &str,
        path: &str,
        header: impl Fn(&str) -> String,
        body: &[u8],
    ) -> (u16, &'static str, String) {
        let mut memory = self.memory.lock().unwrap();
        let value: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let ids = ["cmp-request-id", "correlation-id"].map(&header);
        let ids = [ids[0].as_str(), ids[1].as_str()];
        let members = Self::members(&memory, path, &value);
        let judged = self.own.answer((method, path, body), ids, (false, members));
        let away = memory.away.get_mut(method).filter(|left| **left > 0);
        let (status, kind, text) = match judged {
            Err(complaint) => {
                memory
                    .complaints
                    .push(format!("{}: {complaint}", self.name.id));
                (422, "application/json", "{\"code\":91}".into())
            }
            Ok(_) if away.is_some() => {
                away.into_iter().for_each(|left| *left -= 1);
                (503, "text/html", "<h1>Down for tea</h1>".into())
            }
            // A profile that it has never heard of.
            Ok(_) if value["status"] == "installation_failed" => (
                404,
                "application/problem+json",
                "{\"title\":\"Which profile?\", \"code\":61}".into(),
            ),
            Ok((status, text)) => (status, "application/json", laid_out(&text)),
        };
        if status < 300 && path.starts_with("/v1/statuses/") {
            let token = path.rsplit('/').next().unwrap_or_default();
            let text = |member: &str| value[member].as_str().unwrap_or_default().to_owned();
            let statuses = memory.statuses.entry(token.to_owned()).or_default();
            statuses.insert(text("iccid"), text("status"));
        }
        memory.got.push(Got {
            method: method.to_owned(),
            path: path.to_owned(),
            client_id: header("client-id"),
            target_id: header("target-id"),
            request_id: header("cmp-request-id"),
            body: value,
            answered: status,
        });
        (status, kind, text)
    }
}

async fn answer(State(mock): State<Mock>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 100_000).await.unwrap();
    let header = |name: &str| {
        let value = parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let (method, path) = (parts.method.as_str(), parts.uri.path());
    let (status, kind, text) = mock.answer(method, path, header, &body);
    let response = Response::builder().status(status);
    match text.is_empty() {
        true => response.body(Body::empty()),
        false => response.header(CONTENT_TYPE, kind).body(Body::from(text)),
    }
    .unwrap()
}
