//! What operators are told of downloads, over mutual TLS, again and again until they have it.

use crate::bench::{Bench, EID_DIGITS, ICCID, NOW};
use crate::program::es2_pki;
use aid_cli::{signal, tls};
use aid_rsp::es2::HandleDownloadProgressInfoRequest;
use aid_rsp::es9::Function;
use aid_rsp::es10::{BppCommandId, ErrorReason, FinalResult};
use aid_smdp::progress::{Config, Operators};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::Value;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

#[tokio::test]
async fn an_operator_is_told_of_each_step_once_it_can_be() {
    let bench = Bench::new().await;
    let dir = bench.folder.path();
    es2_pki(dir);
    // An operator's server that fails at first.
    let got: Arc<Mutex<Vec<Value>>> = Arc::default();
    let failures = Arc::new(AtomicU32::new(3));
    let (heard, left) = (Arc::clone(&got), Arc::clone(&failures));
    let answer = post(move |body: axum::body::Bytes| async move {
        if left.load(Ordering::Relaxed) > 0 {
            left.fetch_sub(1, Ordering::Relaxed);
            return StatusCode::INTERNAL_SERVER_ERROR;
        }
        heard
            .lock()
            .unwrap()
            .push(serde_json::from_slice(&body).unwrap());
        StatusCode::NO_CONTENT
    });
    let router = Router::new().route(HandleDownloadProgressInfoRequest::PATH, answer);
    let ca = dir.join("ca.pem");
    let server = tls::server_config(&dir.join("server.pem"), &dir.join("server.key"), Some(&ca));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "https://localhost:{}",
        listener.local_addr().unwrap().port()
    );
    let (_trigger, stop) = signal::manual();
    tokio::spawn(aid_serve::http::serve(
        listener,
        Some(server.unwrap()),
        router,
        stop,
    ));

    let operators = Operators::new(&Config {
        ca,
        cert: dir.join("client.pem"),
        key: dir.join("client.key"),
        requester: "1.2.3".into(),
        operators: [("msp".to_owned(), url)].into(),
    });
    let operators = operators.unwrap();
    let mut bench = bench;
    let service = Arc::into_inner(bench.service).unwrap();
    bench.service = Arc::new(service.telling(Some(operators.clone())));
    let store = bench.service.store().clone();

    // A download with a mistyped code, and its report twice.
    let matching_id = bench.order(Some(EID_DIGITS), Some("1234")).await;
    let mut card = bench.card();
    let offer = bench.authenticate(&card, Some(&matching_id)).await.unwrap();
    let id = offer.transaction_id.as_bytes().to_vec();
    let wrong = card.prepare(&offer, Some("1235"));
    assert!(bench.bpp(&id, wrong).await.is_err());
    let right = card.prepare(&offer, Some("1234"));
    bench.bpp(&id, right).await.unwrap();
    let session = aid_rsp::es10::TransactionId::new(&id).unwrap();
    let report = card.installed(session, 1, [0x98; 10]);
    bench.notify(report.clone()).await.unwrap();
    bench.notify(report).await.unwrap();

    // The first three tries fail; each is tried again when its time has come, and nothing is lost or told twice.
    assert_eq!(operators.deliver(&store, NOW).await.unwrap(), 1);
    assert_eq!(
        operators.deliver(&store, NOW).await.unwrap(),
        0,
        "not due yet"
    );
    assert_eq!(operators.deliver(&store, NOW + 1).await.unwrap(), 3);
    assert_eq!(operators.deliver(&store, NOW + 9999).await.unwrap(), 0);
    let mut told = got.lock().unwrap().clone();
    told.sort_by_key(|t| t["notificationPointId"].as_u64());
    let steps: Vec<_> = told
        .iter()
        .map(|t| {
            (
                t["notificationPointId"].as_u64().unwrap(),
                t["notificationPointStatus"]["status"].as_str().unwrap(),
            )
        })
        .collect();
    let done = "Executed-Success";
    assert_eq!(steps, [(1, done), (2, "Failed"), (3, done), (4, done)]);
    for t in &told {
        assert_eq!(
            (&t["iccid"], &t["eid"]),
            (&ICCID.into(), &EID_DIGITS.into())
        );
        assert_eq!(t["header"]["functionRequesterIdentifier"], "1.2.3");
    }
    assert!(told[3]["resultData"].is_string());

    // An order that nobody is told of fills nothing; a failed installation is told with its reason.
    bench.service.prune(Default::default(), NOW).await.unwrap();
    let (session, _) = {
        let desk = aid_smdp::service::Desk::new(&store, Default::default(), &NONE);
        let to = aid_rsp::es2::FinalProfileStatus::Available;
        desk.put_back(ICCID, to, NOW).await.unwrap().result.unwrap();
        let id = bench.order(None, None).await;
        bench.download(&mut card, &id).await
    };
    let failed = FinalResult::Error {
        command: BppCommandId::LoadProfileElements,
        reason: ErrorReason::PeProcessingError,
        sima_response: None,
    };
    bench
        .notify(card.result(session, 9, [0x98; 10], failed))
        .await
        .unwrap();
    assert_eq!(operators.deliver(&store, NOW + 9999).await.unwrap(), 3);
    let last = got.lock().unwrap().clone();
    let last = last.iter().find(|t| {
        t["notificationPointId"] == 4 && t["notificationPointStatus"]["status"] == "Failed"
    });
    let message = &last.unwrap()["notificationPointStatus"]["statusCodeData"]["message"];
    assert!(message.as_str().is_some_and(|m| !m.is_empty()), "{message}");
}

static NONE: std::sync::LazyLock<Arc<[aid_smdp::template::Template]>> =
    std::sync::LazyLock::new(|| Arc::new([]));
