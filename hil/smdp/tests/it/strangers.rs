//! Given what lpac sent in sessions that were recorded, when it is sent again at the times of then, then the server answers
//! as it did, and its orders end as they did. The card's signatures are real: the server has the keys and the secret of the
//! recording, and signs without randomness. docs/wire/http-recording.md has the form.

use crate::bench::{EID, package};
use aid_rsp::cert::Certificate;
use aid_rsp::crypto::{SoftwareCrypto, sha256};
use aid_rsp::es2::{ConfirmOrderRequest, DownloadOrderRequest};
use aid_rsp::es9::{
    AuthenticateClientRequest, CancelSessionRequest, Empty, Function,
    GetBoundProfilePackageRequest, HandleNotificationRequest, InitiateAuthenticationRequest,
    Response, Secret, Text,
};
use aid_rsp::pki::{Identity, MintParams, RspPki};
use aid_smdp::core::{Dp, Limits, Protection, Refusal, Signer, Signers, TicketKey};
use aid_smdp::service::Service;
use aid_smdp::store::Store;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::routing::post;
use rand_core::{TryCryptoRng, TryRng};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

const SERVER: &str = "testsmdpplus1.example.com";
/// Validity of the certificates: 2024 to 2054.
const VALIDITY: (u64, u64) = (1_704_067_200, 2_650_752_000);
/// When the orders were placed, before any call.
const ORDERED: u64 = 1_790_000_000;
const OPERATOR: &str = "msp";
/// ICCID, MatchingID and Confirmation Code of the orders.
const ORDERS: [(&str, &str, Option<&str>); 2] = [
    ("8988000000000000001", "LPAC-1", None),
    ("8988000000000000019", "LPAC-2", Some("1234")),
];

/// Keys that repeat themselves.
struct Repeating(u64);

impl TryRng for Repeating {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.try_next_u64()? as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_be_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for chunk in out.chunks_mut(32) {
            self.0 += 1;
            let block = sha256(&[b"strangers", &self.0.to_be_bytes()]);
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Repeating {}

/// A session over HTTP.
#[derive(Serialize, Deserialize)]
struct Recording {
    peer: String,
    server: String,
    calls: Vec<Call>,
}

#[derive(Serialize, Deserialize)]
struct Call {
    /// Unix seconds.
    at: u64,
    path: String,
    request: Message,
    response: Message,
}

#[derive(Serialize, Deserialize)]
struct Message {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    headers: Vec<(String, String)>,
    body: String,
}

fn recording() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded/lpac.json")
}

fn pki() -> RspPki {
    let names = [SERVER];
    let params = MintParams {
        tls_names: &names,
        ..MintParams::loopback(&EID, VALIDITY.0, VALIDITY.1)
    };
    RspPki::mint(&params, &SoftwareCrypto::new(), &mut Repeating(0)).unwrap()
}

/// A server with the keys and the secret of the recording, and its orders.
async fn server(folder: &Path, pki: &RspPki) -> Arc<Service> {
    let certificate = |i: &Identity| Certificate::from_der(&i.certificate).unwrap();
    let signer = |i: &Identity| Signer {
        certificate: certificate(i),
        key: i.key.private.clone(),
    };
    let signers = Signers {
        auth: signer(&pki.dp_auth),
        binding: signer(&pki.dp_pb),
    };
    let crypto = Arc::new(SoftwareCrypto::new());
    let ci = vec![certificate(&pki.ci)];
    let dp = Dp::new(crypto, ci, vec![signers], SERVER.into(), ORDERED).unwrap();
    let profiles = folder.join("profiles");
    std::fs::create_dir(&profiles).unwrap();
    for (iccid, ..) in ORDERS {
        std::fs::write(profiles.join(format!("{iccid}.der")), package(iccid)).unwrap();
    }
    let inventory = aid_smdp::inventory::load(&profiles, SERVER, Protection::SessionKeys).unwrap();
    let store = Store::open(&folder.join("smdp.db")).await.unwrap();
    store.ticket_key(TicketKey::new([7; 32])).await.unwrap();
    let service = Service::start(dp, inventory, store, Limits::default(), ORDERED);
    let service = service.await.unwrap();
    for (iccid, matching_id, code) in ORDERS {
        let download = DownloadOrderRequest {
            iccid: Text::new(iccid),
            ..Default::default()
        };
        let ordered = service.download_order(&download, OPERATOR, ORDERED).await;
        let confirm = ConfirmOrderRequest {
            iccid: ordered.unwrap().iccid,
            matching_id: Text::new(matching_id),
            confirmation_code: code.and_then(Secret::new),
            release_flag: true,
            ..Default::default()
        };
        let confirmed = service.confirm_order(&confirm, OPERATOR, ORDERED).await;
        confirmed.unwrap();
    }
    Arc::new(service)
}

fn request<F: Function>(call: &Call) -> F {
    aid_serve::json::read(call.request.body.as_bytes()).unwrap()
}

fn answer<T: Serialize>(result: Result<T, Refusal>) -> Value {
    let answer = match result {
        Ok(output) => Response::ok(output),
        Err(refusal) => Response::failed(refusal.header()),
    };
    serde_json::to_value(&answer).unwrap()
}

/// Blanks out what is random in an answer, and keeps its length.
fn without(mut value: Value, fields: &[&str]) -> Value {
    for field in fields {
        if let Some(text) = value[*field].as_str() {
            value[*field] = Value::from(text.len());
        }
    }
    value
}

#[tokio::test]
async fn sessions_of_lpac_repeat() {
    let text = std::fs::read_to_string(recording()).unwrap();
    let recording: Recording = serde_json::from_str(&text).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let service = server(folder.path(), &pki()).await;
    let mut seen = std::collections::BTreeMap::new();
    for (n, call) in recording.calls.iter().enumerate() {
        let function = call.path.rsplit('/').next().unwrap();
        let (now, mut random) = (call.at, Vec::new());
        let answered = match function {
            "initiateAuthentication" => {
                let request = request::<InitiateAuthenticationRequest>(call);
                random = vec!["transactionId", "serverSigned1", "serverSignature1"];
                answer(service.initiate_authentication(&request, now))
            }
            "authenticateClient" => {
                let request = request::<AuthenticateClientRequest>(call);
                answer(service.authenticate_client(&request, now).await)
            }
            "getBoundProfilePackage" => {
                let request = request::<GetBoundProfilePackageRequest>(call);
                random = vec!["boundProfilePackage"];
                answer(service.get_bound_profile_package(&request, now).await)
            }
            "cancelSession" => {
                let request = request::<CancelSessionRequest>(call);
                answer(
                    service
                        .cancel_session(&request, now)
                        .await
                        .map(|()| Empty {}),
                )
            }
            "handleNotification" => {
                let request = request::<HandleNotificationRequest>(call);
                service.handle_notification(&request, now).await.unwrap();
                assert_eq!(
                    (call.response.status, call.response.body.as_str()),
                    (Some(204), "")
                );
                Value::Null
            }
            other => panic!("{other}"),
        };
        let recorded = match call.response.body.as_str() {
            "" => Value::Null,
            body => serde_json::from_str(body).unwrap(),
        };
        let refused = answered["header"]["functionExecutionStatus"]["status"] == "Failed";
        *seen.entry((function, refused)).or_insert(0) += 1;
        assert_eq!(
            without(answered, &random),
            without(recorded, &random),
            "call {n}: {function}"
        );
    }
    // Two downloads; an unknown MatchingID, a code that is missing, and one that is wrong.
    let expected = [
        (("authenticateClient", false), 4),
        (("authenticateClient", true), 1),
        (("cancelSession", false), 2),
        // Of the session that the unknown MatchingID has ended.
        (("cancelSession", true), 1),
        (("getBoundProfilePackage", false), 2),
        (("getBoundProfilePackage", true), 1),
        (("handleNotification", false), 5),
        (("initiateAuthentication", false), 5),
    ];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), expected);
    let mut states = Vec::new();
    for (iccid, ..) in ORDERS {
        let order = service.store().order(iccid).await.unwrap().unwrap();
        states.push((order.state.as_str().to_owned(), order.code_failures));
    }
    assert_eq!(
        states,
        [("deleted".to_owned(), 0), ("installed".to_owned(), 1)]
    );
}

/// Serves at port 443 until something is posted to `/done`, and writes down what was said. `AID_RECORD` is a folder, for
/// the PKI that the card needs.
#[tokio::test]
#[ignore = "records anew, with lpac; docs/INTEROP.md says how"]
async fn record() {
    let folder = PathBuf::from(std::env::var_os("AID_RECORD").expect("AID_RECORD is a folder"));
    let pki = pki();
    pki.write_to(&folder.join("pki")).unwrap();
    let state = tempfile::tempdir().unwrap();
    let service = server(state.path(), &pki).await;
    let file = |name: &str| folder.join("pki/DPtls").join(name);
    let (certificate, key) = (
        file("CERT_S_SM_DP_TLS_NIST.pem"),
        file("SK_S_SM_DP_TLS_NIST.pem"),
    );
    let tls = aid_cli::tls::server_config(&certificate, &key, None).unwrap();
    let calls = Arc::new(Mutex::new(Vec::new()));
    let writing = Arc::clone(&calls);
    let write = from_fn(move |request: Request, next: Next| {
        let calls = Arc::clone(&writing);
        async move {
            let at = aid_smdp::web::now();
            let path = request.uri().path().to_owned();
            let (head, body) = request.into_parts();
            let asked = message(None, &head.headers, &to_bytes(body, 1 << 20).await.unwrap());
            let body = Body::from(asked.body.clone());
            let (head, body) = next.run(Request::from_parts(head, body)).await.into_parts();
            let body: Bytes = to_bytes(body, 4 << 20).await.unwrap();
            let answered = message(Some(head.status.as_u16()), &head.headers, &body);
            calls.lock().unwrap().push(Call {
                at,
                path,
                request: asked,
                response: answered,
            });
            axum::response::Response::from_parts(head, Body::from(body))
        }
    });
    let (trigger, stop) = aid_cli::signal::manual();
    let trigger = Arc::new(Mutex::new(Some(trigger)));
    let done = move || {
        drop(trigger.lock().unwrap().take());
        async {}
    };
    let router = aid_smdp::web::es9(service).layer(write);
    let router = Router::new().merge(router).route("/done", post(done));
    let listener = aid_serve::http::bind("127.0.0.1:443").await.unwrap();
    aid_serve::http::serve(listener, Some(tls), router, stop).await;
    let recorded = Recording {
        peer: "lpac 8f68d5c".into(),
        server: SERVER.into(),
        calls: std::mem::take(&mut *calls.lock().unwrap()),
    };
    let text = serde_json::to_string_pretty(&recorded).unwrap();
    std::fs::write(recording(), text + "\n").unwrap();
}

fn message(status: Option<u16>, headers: &axum::http::HeaderMap, body: &[u8]) -> Message {
    let headers = headers.iter().map(|(name, value)| {
        let value = value.to_str().unwrap().to_owned();
        (name.as_str().to_owned(), value)
    });
    Message {
        status,
        headers: headers.collect(),
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}
