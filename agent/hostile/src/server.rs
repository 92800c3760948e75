//! The hostile server: data objects as edited, then the JSON around them as edited.
//! SGP.22 §5.6, §6.5.2.

use crate::answers;
use crate::edit::{Edits, JSON};
use aid_lpa::{Http, HttpAnswer, HttpError};
use aid_rsp::es9::Base64;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// Calls of one operation: a session has five, and one a notification.
const MAX_CALLS: usize = 200;

/// A server whose answers are edited.
#[derive(Debug, Clone)]
pub(crate) struct HostileServer {
    edits: Arc<Mutex<Edits>>,
    calls: usize,
}

fn base64(bytes: Vec<u8>) -> Value {
    let written = Base64::<{ 1 << 20 }>::new(bytes).map(serde_json::to_value);
    written.map_or(Value::Null, |value| value.expect("base64"))
}

impl HostileServer {
    pub(crate) fn new(edits: Arc<Mutex<Edits>>) -> Self {
        Self { edits, calls: 0 }
    }

    /// Field values with their places among the edits.
    fn fields(function: &str, edits: &Edits) -> (u8, Value) {
        let object = |place: u8, mut bytes: Vec<u8>| {
            edits.apply(place, &mut bytes);
            base64(bytes)
        };
        let signature = answers::signature().to_tlv().to_vec();
        let ci = [&[4, 20][..], &[1; 20]].concat();
        match function {
            "initiateAuthentication" => {
                let value = json!({
                    "serverSigned1": object(16, answers::server_signed1()),
                    "serverSignature1": object(17, signature),
                    "euiccCiPKIdToBeUsed": object(18, ci),
                    "serverCertificate": object(19, answers::certificate(540)),
                });
                (0, value)
            }
            "authenticateClient" => {
                let value = json!({
                    "profileMetadata": object(20, aid_rsp::es10::DataObject::to_vec(&answers::metadata())),
                    "smdpSigned2": object(21, answers::smdp_signed2()),
                    "smdpSignature2": object(22, signature),
                    "smdpCertificate": object(23, answers::certificate(540)),
                    // Of an SM-DS.
                    "eventEntries": [{"eventId": "E-1", "rspServerAddress": answers::SERVER}],
                });
                (1, value)
            }
            "getBoundProfilePackage" => {
                let value = json!({ "boundProfilePackage": object(24, answers::bpp()) });
                (2, value)
            }
            "handleNotification" => (3, json!({})),
            _ => (4, json!({})),
        }
    }
}

impl Http for HostileServer {
    fn post(&mut self, server: &str, path: &str, body: &[u8]) -> Result<HttpAnswer, HttpError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b':');
        assert!(server.bytes().all(plain) && !server.is_empty(), "{server}");
        let function = path.strip_prefix("/gsma/rsp2/es9plus/").expect("path");
        serde_json::from_slice::<Value>(body).expect("JSON");
        self.calls += 1;
        assert!(self.calls < MAX_CALLS, "calls without end");
        let edits = self.edits.lock().expect("lock");
        let (number, mut value) = Self::fields(function, &edits);
        value["header"] = json!({"functionExecutionStatus": {"status": "Executed-Success"}});
        value["transactionId"] = json!("ABABABABABABABAB");
        let mut body = value.to_string().into_bytes();
        edits.apply(JSON + number, &mut body);
        let status = edits.status(self.calls).unwrap_or(200);
        Ok(HttpAnswer { status, body })
    }

    fn get(&mut self, url: &str, _: usize) -> Result<HttpAnswer, HttpError> {
        Err(HttpError::Unreachable {
            server: url.to_owned(),
            what: "there are no revocation lists here".to_owned(),
        })
    }
}
