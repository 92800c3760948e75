//! The SM-DP+ that the judge plays for an LPA: it follows a script, right or wrong. SGP.22 §5.6, §6.5.

use super::events::{Events, Http};
use crate::rsp::dp::{Dp, Fault, Package, pieces};
use crate::rsp::profile::Profile;
use crate::rsp::seeded::Seeded;
use aid_rsp::es9::{
    AuthenticateClientRequest, Base64, GetBoundProfilePackageRequest,
    InitiateAuthenticationRequest, ResponseHeader,
};
use aid_rsp::es10::{
    AuthenticateServerResponse, DataObject, PrepareDownloadResponse, ServerSigned1, Signature,
    Signed, SmdpSigned2, TransactionId,
};
use aid_rsp::tlv::{Writer, universal};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};

/// What the server does otherwise than right.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    /// serverAddress of serverSigned1, instead of the one that was asked for.
    pub(crate) address: Option<&'static str>,
    /// serverSigned1 answers another challenge.
    pub(crate) wrong_challenge: bool,
    /// The answer to authenticateClient has another transactionId.
    pub(crate) wrong_transaction: bool,
    /// Function that is refused, with subject and reason.
    pub(crate) refuse: Option<(&'static str, &'static str, &'static str)>,
    /// The package has other metadata than were announced.
    pub(crate) other_metadata: bool,
    /// What is wrong with the package.
    pub(crate) fault: Fault,
    /// The profile has this rule.
    pub(crate) policy_rules: Option<u32>,
    /// The order has a Confirmation Code.
    pub(crate) needs_code: bool,
    /// HTTP status to handleNotification.
    pub(crate) notified: u16,
    /// Answers have members that nobody knows, and white space.
    pub(crate) with_more: bool,
    /// It is out of order: HTTP 503 to everything.
    pub(crate) down: bool,
}

impl Default for Script {
    /// A right server.
    fn default() -> Self {
        Self {
            address: None,
            wrong_challenge: false,
            wrong_transaction: false,
            refuse: None,
            other_metadata: false,
            fault: Fault::None,
            policy_rules: None,
            needs_code: false,
            notified: 204,
            with_more: false,
            down: false,
        }
    }
}

/// A server in the middle of its script.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) dp: Dp,
    pub(crate) script: Script,
    pub(crate) profile: Profile,
    pub(crate) eid: [u8; 16],
    pub(crate) rng: Seeded,
    pub(crate) events: Events,
    session: Option<TransactionId>,
}

/// Why a call is not executed: subject and reason.
type Refused = (&'static str, &'static str);

impl Server {
    pub(crate) fn new(
        dp: Dp,
        script: Script,
        mut profile: Profile,
        eid: [u8; 16],
        rng: Seeded,
        events: Events,
    ) -> Self {
        profile.metadata.policy_rules = script.policy_rules;
        Self {
            dp,
            script,
            profile,
            eid,
            rng,
            events,
            session: None,
        }
    }

    /// Answers a request: HTTP status and body.
    pub(crate) fn answer(
        &mut self,
        path: &str,
        headers: Vec<(String, String)>,
        body: &[u8],
    ) -> (u16, Option<String>) {
        let function = path.rsplit('/').next().unwrap_or_default().to_owned();
        let request: Value = serde_json::from_slice(body).unwrap_or_default();
        let (status, answer) = self.call(&function, &request);
        self.events.http(Http {
            function,
            headers,
            request,
            status,
            answer: answer.clone(),
        });
        let text = match &answer {
            Value::Null => None,
            value if self.script.with_more => serde_json::to_string_pretty(value).ok(),
            value => Some(value.to_string()),
        };
        (status, text)
    }

    fn call(&mut self, function: &str, request: &Value) -> (u16, Value) {
        if self.script.down {
            return (503, Value::Null);
        }
        if let Some((refused, subject, reason)) = self.script.refuse
            && refused == function
        {
            return (200, refusal(subject, reason));
        }
        let output = match function {
            "initiateAuthentication" => self.initiate(request),
            "authenticateClient" => self.authenticate(request),
            "getBoundProfilePackage" => self.package(request),
            "cancelSession" => Ok(json!({})),
            "handleNotification" => return (self.script.notified, Value::Null),
            _ => return (404, Value::Null),
        };
        match output {
            Ok(mut output) => {
                output["header"] = json!(ResponseHeader::success());
                if self.script.with_more {
                    output["judgeUnknown"] = json!({"deep": [1, {"er": null}]});
                }
                (200, output)
            }
            Err((subject, reason)) => (200, refusal(subject, reason)),
        }
    }

    fn initiate(&mut self, request: &Value) -> Result<Value, Refused> {
        let request: InitiateAuthenticationRequest = read(request)?;
        let id = TransactionId::new(&self.rng.bytes::<16>()).ok_or(("1.2", "4.2"))?;
        self.session = Some(id);
        let bytes = request.euicc_challenge.as_bytes();
        let mut challenge: [u8; 16] = bytes.try_into().map_err(|_| ("1.6", "2.1"))?;
        if self.script.wrong_challenge {
            challenge[0] ^= 1;
        }
        let asked = request.smdp_address.as_str();
        let signed = Signed::new(ServerSigned1 {
            transaction_id: id,
            euicc_challenge: challenge,
            server_address: self.script.address.unwrap_or(asked).to_owned(),
            server_challenge: self.rng.bytes(),
        });
        let signature = self.sign(false, &[signed.bytes()])?;
        let mut key = Writer::new();
        key.primitive(universal::OCTET_STRING, &self.dp.ci_key_id);
        Ok(json!({
            "transactionId": id.to_string(),
            "serverSigned1": base64(signed.bytes()),
            "serverSignature1": base64(&signature.to_tlv()),
            "euiccCiPKIdToBeUsed": base64(key.as_slice()),
            "serverCertificate": base64(&self.dp.auth.certificate),
        }))
    }

    fn authenticate(&mut self, request: &Value) -> Result<Value, Refused> {
        let request: AuthenticateClientRequest = read(request)?;
        let id = self.session(request.transaction_id.as_bytes())?;
        let response = request.authenticate_server_response.as_bytes();
        let response =
            AuthenticateServerResponse::from_slice(response).map_err(|_| ("1.6", "2.1"))?;
        let AuthenticateServerResponse::Ok(ok) = response else {
            return Err(("8.1", "4.2"));
        };
        let signed = Signed::new(SmdpSigned2 {
            transaction_id: id,
            cc_required: self.script.needs_code,
            bpp_euicc_otpk: None,
        });
        let covered = ok.euicc_signature1.to_tlv();
        let signature = self.sign(true, &[signed.bytes(), &covered])?;
        let shown = match self.script.wrong_transaction {
            true => crate::rsp::dp::other_transaction(id),
            false => id,
        };
        Ok(json!({
            "transactionId": shown.to_string(),
            "profileMetadata": base64(&self.profile.metadata.to_vec()),
            "smdpSigned2": base64(signed.bytes()),
            "smdpSignature2": base64(&signature.to_tlv()),
            "smdpCertificate": base64(&self.dp.binding.certificate),
        }))
    }

    fn package(&mut self, request: &Value) -> Result<Value, Refused> {
        let request: GetBoundProfilePackageRequest = read(request)?;
        let id = self.session(request.transaction_id.as_bytes())?;
        let response = request.prepare_download_response.as_bytes();
        let response = PrepareDownloadResponse::from_slice(response).map_err(|_| ("1.6", "2.1"))?;
        let PrepareDownloadResponse::Ok { euicc_signed2, .. } = response else {
            return Err(("8.1", "4.2"));
        };
        let value = euicc_signed2.value();
        if self.script.needs_code && value.hash_cc.is_none() {
            return Err(("8.2.7", "2.2"));
        }
        let mut metadata = self.profile.metadata.clone();
        if self.script.other_metadata {
            metadata.profile_name = "another profile".to_owned();
        }
        let package = Package {
            metadata,
            elements: self.profile.elements.clone(),
            own_keys: false,
            fault: self.script.fault,
        };
        let bpp = self.dp.bind(value, &self.eid, &package, &mut self.rng);
        let bpp = bpp.map_err(|_| ("1.6", "2.1"))?;
        let bpp = pieces(&bpp, package.fault)
            .map_err(|_| ("8.2", "3.7"))?
            .concat();
        Ok(json!({"transactionId": id.to_string(), "boundProfilePackage": base64(&bpp)}))
    }

    fn session(&self, id: &[u8]) -> Result<TransactionId, Refused> {
        let given = TransactionId::new(id);
        given
            .filter(|_| given == self.session)
            .ok_or(("8.10.1", "3.9"))
    }

    fn sign(&self, binding: bool, parts: &[&[u8]]) -> Result<Signature, Refused> {
        let with = if binding {
            &self.dp.binding
        } else {
            &self.dp.auth
        };
        self.dp.sign(with, parts).map_err(|_| ("1.2", "4.2"))
    }
}

fn refusal(subject: &str, reason: &str) -> Value {
    json!({"header": ResponseHeader::failed(subject, reason, None, "the judge refuses")})
}

fn read<T: serde::de::DeserializeOwned>(request: &Value) -> Result<T, Refused> {
    serde_json::from_value(request.clone()).map_err(|_| ("1.6", "2.1"))
}

fn base64(bytes: &[u8]) -> Value {
    let field = Base64::<{ 2 << 20 }>::new(bytes.to_vec());
    json!(field)
}

/// Serves the functions of this server.
pub(crate) fn router(server: Arc<Mutex<Server>>) -> Router {
    Router::new().fallback(answer).with_state(server)
}

/// Answers a request of the LPA by the script.
async fn answer(
    State(server): State<Arc<Mutex<Server>>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let headers = headers
        .iter()
        .map(|(name, value)| {
            let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), text)
        })
        .collect();
    let mut server = server.lock().unwrap_or_else(PoisonError::into_inner);
    let (status, text) = server.answer(uri.path(), headers, &body);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let protocol = [("x-admin-protocol", aid_rsp::es9::ADMIN_PROTOCOL)];
    match text {
        Some(text) => {
            let kind = [(header::CONTENT_TYPE, aid_rsp::es9::CONTENT_TYPE)];
            (status, protocol, kind, text).into_response()
        }
        None => (status, protocol).into_response(),
    }
}
