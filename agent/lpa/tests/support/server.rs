//! The server's half: answers per function, requests written down.

use super::{CHALLENGE, SERVER, bpp, certificate, metadata, signature, transaction};
use aid_lpa::{Http, HttpAnswer, HttpError};
use aid_rsp::es10::*;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// The server: answers per function, requests written down.
#[derive(Default)]
pub(crate) struct Server {
    /// Function, JSON; a function that is missing answers 204.
    pub(crate) answers: BTreeMap<&'static str, (u16, Vec<u8>)>,
    pub(crate) log: Vec<(String, String, Value)>,
    /// Servers that can't be reached.
    pub(crate) dead: BTreeSet<String>,
    /// Revocation lists by URL; one that is missing can't be reached.
    pub(crate) lists: BTreeMap<String, (u16, Vec<u8>)>,
    /// URLs of lists that were asked for.
    pub(crate) lists_asked: Vec<String>,
}

#[derive(Clone)]
pub(crate) struct FakeServer(pub(crate) Arc<Mutex<Server>>);

pub(crate) fn base64(bytes: &[u8]) -> Value {
    serde_json::to_value(aid_rsp::es9::Base64::<2_000_000>::new(bytes.to_vec())).expect("base64")
}

pub(crate) fn ok(mut fields: Value) -> (u16, Vec<u8>) {
    fields["header"] = json!({"functionExecutionStatus": {"status": "Executed-Success"}});
    (200, fields.to_string().into_bytes())
}

pub(crate) fn failed(subject: &str, reason: &str) -> (u16, Vec<u8>) {
    let value = json!({"header": {"functionExecutionStatus": {"status": "Failed",
        "statusCodeData": {"subjectCode": subject, "reasonCode": reason, "message": "no"}}}});
    (200, value.to_string().into_bytes())
}

pub(crate) fn initiate(challenge: [u8; 16], address: &str) -> Value {
    let signed = Signed::new(ServerSigned1 {
        transaction_id: transaction(),
        euicc_challenge: challenge,
        server_address: address.into(),
        server_challenge: [9; 16],
    });
    json!({
        "transactionId": "ABABABABABABABAB",
        "serverSigned1": base64(signed.bytes()),
        "serverSignature1": base64(&signature().to_tlv()),
        "euiccCiPKIdToBeUsed": base64(&[&[4, 20][..], &[1; 20]].concat()),
        "serverCertificate": base64(&certificate(540)),
    })
}

pub(crate) fn client(metadata: &StoreMetadataRequest, cc_required: bool) -> Value {
    let signed = Signed::new(SmdpSigned2 {
        transaction_id: transaction(),
        cc_required,
        bpp_euicc_otpk: None,
    });
    json!({
        "transactionId": "ABABABABABABABAB",
        "profileMetadata": base64(&metadata.to_vec()),
        "smdpSigned2": base64(signed.bytes()),
        "smdpSignature2": base64(&signature().to_tlv()),
        "smdpCertificate": base64(&certificate(540)),
    })
}

pub(crate) fn package(bpp: &[u8]) -> Value {
    json!({"transactionId": "ABABABABABABABAB", "boundProfilePackage": base64(bpp)})
}

impl FakeServer {
    pub(crate) fn new(profile_bytes: usize) -> Self {
        let answers = BTreeMap::from([
            ("initiateAuthentication", ok(initiate(CHALLENGE, SERVER))),
            ("authenticateClient", ok(client(&metadata(), false))),
            (
                "getBoundProfilePackage",
                ok(package(&bpp(&metadata(), profile_bytes))),
            ),
            ("cancelSession", ok(json!({}))),
        ]);
        Self(Arc::new(Mutex::new(Server {
            answers,
            ..Server::default()
        })))
    }

    pub(crate) fn answer(&self, function: &'static str, answer: (u16, Vec<u8>)) {
        self.0
            .lock()
            .expect("lock")
            .answers
            .insert(function, answer);
    }

    pub(crate) fn functions(&self) -> Vec<String> {
        self.0
            .lock()
            .expect("lock")
            .log
            .iter()
            .map(|(_, f, _)| f.clone())
            .collect()
    }

    pub(crate) fn last(&self, function: &str) -> Value {
        let server = self.0.lock().expect("lock");
        let found = server.log.iter().rev().find(|(_, f, _)| f == function);
        found.expect("called").2.clone()
    }
}

impl Http for FakeServer {
    fn post(&mut self, server: &str, path: &str, body: &[u8]) -> Result<HttpAnswer, HttpError> {
        let mut inside = self.0.lock().expect("lock");
        let function = path.strip_prefix("/gsma/rsp2/es9plus/").expect("path");
        let value = serde_json::from_slice(body).expect("JSON");
        inside
            .log
            .push((server.to_owned(), function.to_owned(), value));
        if inside.dead.contains(server) {
            return Err(HttpError::Unreachable {
                server: server.to_owned(),
                what: "connection refused".into(),
            });
        }
        let answer = inside.answers.get(function).cloned();
        let (status, body) = answer.unwrap_or((204, vec![]));
        Ok(HttpAnswer { status, body })
    }

    fn get(&mut self, url: &str, max: usize) -> Result<HttpAnswer, HttpError> {
        let mut inside = self.0.lock().expect("lock");
        inside.lists_asked.push(url.to_owned());
        let unreachable = || HttpError::Unreachable {
            server: url.to_owned(),
            what: "connection refused".into(),
        };
        let (status, body) = inside.lists.get(url).cloned().ok_or_else(unreachable)?;
        if body.len() > max {
            let server = url.to_owned();
            return Err(HttpError::TooLong { server, max });
        }
        Ok(HttpAnswer { status, body })
    }
}
