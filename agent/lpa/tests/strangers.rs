//! Given what osmo-smdpp answered, and what a card answered in the same sessions, when the LPA goes through them again,
//! then it says what it said, to the byte: to the server and to the card. docs/INTEROP.md says how it was recorded.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

use aid_id::{ActivationCode, Iccid};
use aid_lpa::{
    Apdu, Card, DownloadRequest, Http, HttpAnswer, HttpError, Lpa, Stage, Tally, TransportError,
};
use serde::Deserialize;
use serde_json::Value;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// A session over HTTP as it was recorded: docs/wire/http-recording.md.
#[derive(Deserialize)]
struct Recording {
    server: String,
    calls: VecDeque<Call>,
}

#[derive(Deserialize)]
struct Call {
    path: String,
    request: Request,
    response: Response,
}

#[derive(Deserialize)]
struct Request {
    body: String,
}

#[derive(Deserialize)]
struct Response {
    status: u16,
    body: String,
}

/// The server: the next recorded answer, if the request is the recorded one.
#[derive(Clone)]
struct Server(Arc<Mutex<Recording>>);

impl Http for Server {
    fn post(&mut self, server: &str, path: &str, body: &[u8]) -> Result<HttpAnswer, HttpError> {
        let mut recording = self.0.lock().unwrap();
        assert_eq!(server, recording.server);
        let call = recording.calls.pop_front().expect("a recorded call");
        assert_eq!(path, call.path);
        let sent: Value = serde_json::from_slice(body).unwrap();
        let recorded: Value = serde_json::from_str(&call.request.body).unwrap();
        assert_eq!(sent, recorded, "{path}");
        Ok(HttpAnswer {
            status: call.response.status,
            body: call.response.body.into_bytes(),
        })
    }

    fn get(&mut self, url: &str, _: usize) -> Result<HttpAnswer, HttpError> {
        panic!("nothing was fetched from {url}")
    }
}

/// An APDU script: docs/wire/apdu-script.md.
#[derive(Deserialize)]
struct Script {
    step: VecDeque<Step>,
}

#[derive(Deserialize)]
struct Step {
    send: String,
    expect: Option<String>,
}

/// The card: the next recorded answer, if the command is the recorded one.
#[derive(Clone)]
struct Recorded(Arc<Mutex<VecDeque<Step>>>);

impl Recorded {
    fn next(&self, send: &str) -> Vec<u8> {
        let step = self.0.lock().unwrap().pop_front();
        let step = step.unwrap_or_else(|| panic!("{send} was not recorded"));
        assert_eq!(send, step.send);
        hex::decode(step.expect.unwrap_or_default()).unwrap()
    }
}

impl Apdu for Recorded {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        Ok(self.next(&hex::encode_upper(command)))
    }

    fn reset(&mut self) -> Result<Vec<u8>, TransportError> {
        Ok(self.next("reset"))
    }
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../euicc-sim/strangers/recorded")
}

#[test]
fn sessions_with_osmo_smdpp_repeat() {
    let text = include_str!("recorded/osmo-smdpp.json");
    let recording: Recording = serde_json::from_str(text).unwrap();
    assert_eq!(recording.calls.len(), 6);
    let code = ActivationCode::new(&recording.server, "AID-TEST", None, false).unwrap();
    let server = Server(Arc::new(Mutex::new(recording)));
    let steps: VecDeque<Step> = [
        "osmo-smdpp-1-download.toml",
        "osmo-smdpp-2-notifications.toml",
    ]
    .iter()
    .flat_map(|name| {
        let text = std::fs::read_to_string(scripts().join(name)).unwrap();
        toml::from_str::<Script>(&text).unwrap().step
    })
    .collect();
    let card = Recorded(Arc::new(Mutex::new(steps)));
    let mut lpa = Lpa::new(
        Card::new(card.clone(), Arc::new(Tally::default())),
        server.clone(),
    )
    .with_bench(true);
    // Each run of the program connected anew, which resets the card.
    lpa.card().reset().unwrap();
    let request = DownloadRequest {
        code: Some(code),
        confirmation_code: None,
    };
    let mut stages = Vec::new();
    let done = lpa.download(&request, &mut |stage| match stage {
        Stage::Installing(..) => {}
        stage => stages.push(stage.name()),
    });
    let done = done.expect("installed");
    assert_eq!(stages, ["authenticating", "preparing", "notifying"]);
    assert_eq!(done.iccid.to_string(), "8988000000000000001");
    assert_eq!(done.metadata.service_provider_name, "OsmocomSPN");
    assert_eq!((done.seq_number, done.notification_error), (Some(0), None));
    lpa.release();
    let iccid: Iccid = done.iccid;
    lpa.card().reset().unwrap();
    lpa.enable(&iccid).unwrap();
    lpa.release();
    lpa.card().reset().unwrap();
    lpa.disable(&iccid).unwrap();
    lpa.release();
    lpa.card().reset().unwrap();
    assert_eq!(lpa.deliver(None).unwrap().accepted, [1, 2]);
    lpa.release();
    assert!(
        server.0.lock().unwrap().calls.is_empty(),
        "calls are missing"
    );
    assert!(card.0.lock().unwrap().is_empty(), "commands are missing");
}
