//! The MSP: takes the calls of all instances over mutual TLS, answers each `CMP-request-id` in one way however often it
//! comes, and keeps books of the ids. Every second code it sends later, by a call of its own.

use crate::figures::people::first;
use aid_aid1::agreed;
use aid_aid1::body::{
    ActivationCodeResponse, Body as _, ProfileType, RequestActivationCode, SendCsimStatus,
};
use aid_aid1::error_code::{ApiError, ErrorCode};
use aid_aid1::server::{Caller, Certificate, Gate, Party, Shown, check_content_type};
use aid_cli::cli::Failure;
use aid_cmp::config::File;
use aid_id::{ActivationCode, Iccid, MspToken};
use aid_serve::http::Peer;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;
use uuid::Uuid;

/// A code that is sent later.
#[derive(Debug, Clone)]
pub(super) struct Later {
    pub(super) token: MspToken,
    /// The request that it answers.
    pub(super) request: Uuid,
    /// The transaction.
    pub(super) correlation: Uuid,
    pub(super) code: ActivationCode,
    pub(super) iccid: Iccid,
}

/// What the MSP has in its books.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Statuses by profile, in the order in which their ids came first.
    pub(super) statuses: BTreeMap<String, Vec<String>>,
    /// The codes that were given, by their text: for which request.
    pub(super) codes: BTreeMap<String, Uuid>,
    /// Calls that came again under an id that had an answer.
    pub(super) repeated: u64,
    ids: BTreeSet<Uuid>,
    /// By request.
    given: BTreeMap<Uuid, (u64, ActivationCode, Iccid)>,
}

/// The MSP.
#[derive(Debug)]
pub(super) struct Desk {
    gate: Gate,
    heard: Mutex<Heard>,
    later: mpsc::UnboundedSender<Later>,
}

impl Desk {
    /// That of the CMP's configuration; codes to be sent later go to `later`.
    pub(super) fn new(config: &File, later: mpsc::UnboundedSender<Later>) -> Result<Self, Failure> {
        let msp = first(config)?;
        let out = agreed::credentials_out(msp.api_key_out.as_deref(), msp.basic_out.as_deref());
        let party = Party {
            client_id: msp.own_client_id.clone(),
            credentials: vec![out.map_err(Failure::new)?],
            certificates: vec![Certificate::CommonName("cmp".into())],
            target_id: Some(msp.client_id.clone()),
            operations: None,
        };
        Ok(Self {
            gate: Gate::new(vec![party]),
            heard: Mutex::default(),
            later,
        })
    }

    pub(super) fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(
        &self,
        peer: &Peer,
        uri: &Uri,
        map: &HeaderMap,
        body: &[u8],
    ) -> Result<(StatusCode, Vec<u8>), ApiError> {
        let shown = Shown {
            common_name: peer.common_name.as_deref(),
            sha256: peer.fingerprint,
        };
        let caller = self.gate.admit(map, shown)?;
        check_content_type(map, body.is_empty())?;
        if uri.path().starts_with("/v1/statuses") {
            self.status(&caller, body)?;
            return Ok((StatusCode::CREATED, Vec::new()));
        }
        self.code(&caller, uri, body)
    }

    fn status(&self, caller: &Caller, body: &[u8]) -> Result<(), ApiError> {
        let told = SendCsimStatus::parse(body)?;
        let mut heard = self.heard();
        if heard.ids.insert(caller.headers.request_id) {
            let list = heard.statuses.entry(told.iccid.to_string()).or_default();
            list.push(told.status.to_string());
        } else {
            heard.repeated += 1;
        }
        Ok(())
    }

    fn code(
        &self,
        caller: &Caller,
        uri: &Uri,
        body: &[u8],
    ) -> Result<(StatusCode, Vec<u8>), ApiError> {
        let internal = || ApiError::new(ErrorCode::Internal);
        let asked = RequestActivationCode::parse(body)?;
        let token = uri.path().rsplit('/').next().unwrap_or_default();
        let token: MspToken = token.parse().map_err(|_| internal())?;
        let mut heard = self.heard();
        let known = heard.given.get(&asked.request_id).cloned();
        let is_new = known.is_none();
        let (number, code, iccid) = match known {
            Some(given) => given,
            None => {
                let number = heard.given.len() as u64 + 1;
                let matching_id = asked.request_id.simple().to_string().to_uppercase();
                let code = ActivationCode::new("smdp.example", &matching_id, None, false);
                let iccid = format!("8987{number:015}").parse();
                let given = (
                    number,
                    code.map_err(|_| internal())?,
                    iccid.map_err(|_| internal())?,
                );
                heard.given.insert(asked.request_id, given.clone());
                heard.codes.insert(given.1.to_string(), asked.request_id);
                given
            }
        };
        if !is_new {
            heard.repeated += 1;
        }
        drop(heard);
        if number.is_multiple_of(2) {
            if is_new {
                // Nobody listens any more when the run is over.
                let _ = self.later.send(Later {
                    token,
                    request: asked.request_id,
                    correlation: caller.headers.correlation_id,
                    code,
                    iccid,
                });
            }
            return Ok((StatusCode::CREATED, Vec::new()));
        }
        let answer = ActivationCodeResponse {
            iccid: Some(iccid),
            activation_code: code,
            profile_type: ProfileType::Personal,
            swapped_iccid: None,
        };
        Ok((StatusCode::OK, answer.to_bytes()))
    }
}

/// Answers a call.
pub(super) async fn handle(
    State(desk): State<Arc<Desk>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    uri: Uri,
    map: HeaderMap,
    body: Bytes,
) -> (StatusCode, Vec<u8>) {
    match desk.answer(&peer, &uri, &map, &body) {
        Ok(answer) => answer,
        Err(error) => {
            let body = serde_json::to_vec(&error.body());
            (error.status, body.unwrap_or_default())
        }
    }
}
