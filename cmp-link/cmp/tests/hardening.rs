//! The edges of the AID1 server: refusals of the HTTP layer, rates, rotation with overlap, isolation of
//! MSPs from each other, and what operators see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use aid_aid1::body::{ProfileType, SendActivationCode, SubscriptionType, UpdateSubscriptionInfo};
use aid_aid1::client::{Call, CallError, CmpClient, Settings};
use aid_aid1::headers::{Credentials, Headers};
use aid_aid1::operation::CmpOperation;
use aid_aid1::phone::{EncryptedPhone, PhoneKey};
use aid_aid1::server::Caller;
use aid_cli::signal::Trigger;
use aid_cmp::service::Service;
use aid_cmp::store::Store;
use aid_cmp_core::change::Change;
use aid_cmp_core::model::{CodeRequest, MspVerdict, Profile, ProfileStatus, RequestState};
use aid_id::{Iccid, MspToken};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use uuid::Uuid;
use world::World;

/// A second CMP on the world's database, with its configuration changed.
struct Changed {
    aid1: SocketAddr,
    portal: SocketAddr,
    admin: SocketAddr,
    stop: Trigger,
    task: JoinHandle<()>,
}

fn changed_config(world: &World, change: impl Fn(String) -> String) -> PathBuf {
    let text = change(std::fs::read_to_string(world.config()).unwrap());
    let path = world.folder.path().join("changed.toml");
    std::fs::write(&path, text).unwrap();
    path
}

impl Changed {
    async fn start(world: &World, change: impl Fn(String) -> String) -> Self {
        let path = changed_config(world, change);
        let (stop, stopped) = aid_cli::signal::manual();
        let (tell, hear) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(async move {
            let done = aid_cmp::program::serve_until(&path, stopped, |listen| {
                tell.send(listen.to_vec()).unwrap();
                Ok(())
            });
            done.await.unwrap();
        });
        let listen = hear.await.unwrap();
        let at = |name| listen.iter().find(|(n, _)| *n == name).unwrap().1;
        Self {
            aid1: at("aid1"),
            portal: at("portal"),
            admin: at("admin"),
            stop,
            task,
        }
    }

    fn client(&self, world: &World, credentials: Credentials, certificate: &str) -> CmpClient {
        CmpClient::new(Settings {
            base_url: format!("https://localhost:{}", self.aid1.port()),
            tls: (*world.pki.client(certificate)).clone(),
            own_id: "mspone".parse().unwrap(),
            target_id: "theCmp".parse().unwrap(),
            credentials,
            timeout: Duration::from_secs(10),
            deviations: aid_aid1::deviation::Deviations::default(),
            iccids: aid_aid1::body::Iccids::Standard,
        })
        .unwrap()
    }

    async fn end(self) {
        self.stop.stop();
        self.task.await.unwrap();
    }
}

fn key(text: &str) -> Credentials {
    Credentials::api_key(text).unwrap()
}

fn outcome(result: Result<(), CallError>) -> (u16, String) {
    let error = result.expect_err("a refusal");
    let (status, body) = error.refusal().unwrap_or_else(|| panic!("{error}"));
    (status.as_u16(), body.expect("a body").code.clone())
}

fn unknown() -> MspToken {
    MspToken::from_bytes(Uuid::new_v4().into_bytes())
}

async fn ask(client: &CmpClient, token: MspToken) -> (u16, String) {
    let body = aid_aid1::body::NotifyTokenInvalid::default();
    outcome(client.notify_token_invalid(Call::new(), token, &body).await)
}

/// Sends bytes over mutual TLS; yields what comes back until the end.
async fn raw(world: &World, at: SocketAddr, bytes: &[u8]) -> String {
    let connector = tokio_rustls::TlsConnector::from(world.pki.client("msp"));
    let stream = TcpStream::connect(at).await.unwrap();
    let name = "localhost".try_into().unwrap();
    let mut stream = connector.connect(name, stream).await.unwrap();
    let mut answer = Vec::new();
    // A server that has heard enough may close while we still write.
    let _ = stream.write_all(bytes).await;
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

// R-5.5-1, R-5.5-2, R-B-6: what no handler ever sees is refused in the contract's form too.
#[tokio::test(flavor = "multi_thread")]
async fn the_http_layer_refuses_with_the_contracts_body() {
    let world = World::new().await;
    let long_path = format!(
        "GET /{} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        "a".repeat(9000)
    );
    let large_head = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "a".repeat(200_000));
    let id = "d534080b-9794-4351-88e7-8af9e079ca1e";
    let broken_chunk = format!(
        "PATCH /cesim/msp/v1/subscriptions/{id} HTTP/1.1\r\nhost: a\r\nclient-id: mspone\r\n\
         target-id: theCmp\r\napi-key: mspkey\r\ncmp-request-id: {id}\r\ncorrelation-id: {id}\r\n\
         content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"
    );
    for (request, status) in [
        (broken_chunk.as_str(), 400),
        ("\r\n\r\nnonsense\r\n\r\n", 400),
        ("GET / HTTP/9.9\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nbad header\r\n\r\n", 400),
        (&long_path, 414),
        (&large_head, 431),
        (
            "POST /nothing HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
            404,
        ),
        (
            "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
            404,
        ),
        (
            "OPTIONS * HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
            404,
        ),
        (
            "BREW /cesim/msp/v1/users/x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
            405,
        ),
        (
            "POST /cesim/msp/v1/users/x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
            401,
        ),
    ] {
        let answer = raw(&world, world.aid1, request.as_bytes()).await;
        let short = &request[..request.len().min(60)];
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("{short:?}: {answer:?}"));
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status} ")),
            "{short:?}: {head}"
        );
        assert!(
            head.to_lowercase()
                .contains("content-type: application/json"),
            "{head}"
        );
        let body: Value =
            serde_json::from_str(body).unwrap_or_else(|e| panic!("{short:?} {e}: {body}"));
        let code: u16 = body["code"].as_str().unwrap().parse().unwrap();
        assert!(aid_aid1::error_code::ErrorCode::from_number(code).is_some());
        assert!(body["error"].is_string());
    }
}

// R-5.1-8: header names in any case, and both ids come back.
#[tokio::test(flavor = "multi_thread")]
async fn both_ids_come_back() {
    let world = World::new().await;
    let answer = raw(
        &world,
        world.aid1,
        b"POST /x HTTP/1.1\r\nHOST: a\r\ncmp-REQUEST-id: D534080B-9794-4351-88e7-8af9e079ca1e\r\n\
          CORRELATION-ID: 77096b5d-0f42-4c35-9102-3b3a8d7d57e7\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert!(answer.contains("cmp-request-id: D534080B-9794-4351-88e7-8af9e079ca1e"));
    assert!(answer.contains("correlation-id: 77096b5d-0f42-4c35-9102-3b3a8d7d57e7"));
    // What is no UUID is not reflected.
    let answer = raw(
        &world,
        world.aid1,
        b"POST /x HTTP/1.1\r\nhost: a\r\ncmp-request-id: <b>\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert!(
        answer.starts_with("HTTP/1.1 404") && !answer.contains("<b>"),
        "{answer}"
    );
}

// R-B-7
#[tokio::test(flavor = "multi_thread")]
async fn whoever_calls_too_often_gets_429() {
    let world = World::new().await;
    let limits = "\n[limits]\naid1 = { per_second = 0.01, burst = 3 }\nlogin = { per_second = 0.01, burst = 2 }\n";
    let cmp = Changed::start(&world, |text| text + limits).await;
    let client = cmp.client(&world, key("mspkey"), "msp");
    for _ in 0..3 {
        assert_eq!(ask(&client, unknown()).await, (404, "20".into()));
    }
    let (status, code) = ask(&client, unknown()).await;
    assert_eq!(status, 429);
    assert!(aid_aid1::error_code::ErrorCode::from_number(code.parse().unwrap()).is_some());
    let body = aid_aid1::body::NotifyTokenInvalid::default();
    let refused = client
        .notify_token_invalid(Call::new(), unknown(), &body)
        .await;
    assert!(refused.unwrap_err().is_transient());
    // A stranger's attempts use up that stranger's own rate, nobody else's.
    let get = "GET /openapi.json HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    for expected in ["200", "200", "200", "429"] {
        let answer = raw(&world, cmp.aid1, get.as_bytes()).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {expected} ")),
            "{answer:.60}"
        );
        assert_eq!(
            expected == "429",
            answer.to_lowercase().contains("retry-after: 100")
        );
    }
    // Logins, by address.
    let browser = reqwest::Client::builder()
        .tls_backend_preconfigured((*world.pki.anonymous()).clone())
        .build()
        .unwrap();
    let url = format!("https://localhost:{}/login", cmp.portal.port());
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let form = browser.post(&url).form(&[("name", "x")]);
        let answer = form.send().await.unwrap();
        statuses.push(answer.status());
        // A page as all others.
        assert!(answer.headers().contains_key("content-security-policy"));
        assert!(answer.text().await.unwrap().contains("</html>"));
    }
    assert!(statuses[..2].iter().all(|s| *s != 429), "{statuses:?}");
    assert_eq!(statuses[2], 429);
    assert_eq!(browser.get(&url).send().await.unwrap().status(), 200);
    cmp.end().await;
}

// R-5.1-3, R-5.2-8, R-6-2, R-6-3, R-6-5, R-7.1a-2: two of everything at once while it is replaced.
#[tokio::test(flavor = "multi_thread")]
async fn keys_passwords_and_certificates_overlap() {
    let world = World::new().await;
    world.pki.issue("next", "another name", false);
    let print_of = |file: &str| {
        let chain = aid_cli::tls::certificates(&world.folder.path().join(file)).unwrap();
        hex::encode(aid_serve::peer::fingerprint(&chain[0]))
    };
    let (print, present) = (print_of("next.pem"), print_of("msp.pem"));
    let new_secret = "the newer secret of more than thirty-two bytes";
    let cmp = Changed::start(&world, |text| {
        text.replacen(
            "api_key_in = \"mspkey\"",
            &format!(
                "api_key_in = [\"newkey\", \"mspkey\"]\nbasic_in = \"msp:pass:word\"\n\
                 certificate_sha256 = [\"{print}\", \"{present}\"]"
            ),
            1,
        )
        .replacen(
            "common_name = \"msp\"",
            "common_name = [\"another name\", \"msp\"]",
            1,
        )
        .replacen(
            &format!("account_id_secret = {:?}", world::SECRET),
            &format!("account_id_secret = [{new_secret:?}, {:?}]", world::SECRET),
            1,
        )
    })
    .await;
    let basic = || Credentials::basic("msp", "pass:word").unwrap();
    for (credentials, certificate, expected) in [
        (key("newkey"), "msp", 404),
        (key("mspkey"), "msp", 404),
        (basic(), "msp", 404),
        (key("newkey"), "next", 404),
        (basic(), "next", 404),
        (key("oldkey"), "msp", 401),
        (Credentials::basic("msp", "pass").unwrap(), "msp", 401),
        (key("newkey"), "msp2", 401),
        (key("mspkey2"), "msp2", 401),
    ] {
        let client = cmp.client(&world, credentials, certificate);
        assert_eq!(ask(&client, unknown()).await.0, expected, "{certificate}");
    }
    // Both secrets verify; one that nobody agreed does not.
    let client = cmp.client(&world, key("newkey"), "msp");
    let now = aid_cmp::service::now() / 1000;
    for (secret, expected) in [
        (new_secret, (404, "10")),
        (world::SECRET, (404, "10")),
        ("a third secret, which nobody has agreed upon", (422, "12")),
    ] {
        let id =
            aid_aid1::account_id::issue(&secret.parse().unwrap(), Uuid::new_v4(), None, now, 600);
        let body = world.token_body(unknown());
        let sent = client
            .send_msp_token(Call::new(), &id.unwrap(), &body)
            .await;
        let (status, code) = outcome(sent);
        assert_eq!((status, code.as_str()), expected);
    }
    cmp.end().await;
}

// R-7.3-10, R-7.6-3: under one key an initialisation vector carries one number.
#[tokio::test(flavor = "multi_thread")]
async fn an_initialisation_vector_carries_one_number() {
    let world = World::new().await;
    let token = world.federate().await;
    let client = world.client();
    let phone_key: PhoneKey = world::PHONE_KEY.parse().unwrap();
    let under = |number: &str, iv: u8| {
        phone_key
            .encrypt(&number.parse().unwrap(), [iv; 12])
            .unwrap()
    };
    let update = |phone: EncryptedPhone| {
        let client = client.clone();
        let body = UpdateSubscriptionInfo {
            phone,
            subscription_type: SubscriptionType::Private,
            customer_group: None,
        };
        async move {
            client
                .update_subscription_info(Call::new(), token, &body)
                .await
        }
    };
    // The vector of the onboarding, with its number and with another.
    update(under("491701234567", 9)).await.unwrap();
    assert_eq!(
        outcome(update(under("491701234568", 9)).await),
        (422, "91".into())
    );
    update(under("491701234568", 10)).await.unwrap();
    assert_eq!(
        outcome(update(under("491701234569", 10)).await),
        (422, "91".into())
    );
    assert_eq!(
        outcome(update(under("491701234569", 9)).await),
        (422, "91".into())
    );
}

fn caller(party: usize) -> Caller {
    Caller {
        headers: Headers {
            request_id: Uuid::new_v4(),
            correlation_id: Uuid::from_u128(7),
            client_id: ["mspone", "msptwo"][party].parse().unwrap(),
            target_id: "theCmp".parse().unwrap(),
        },
        party,
    }
}

// R-5.1-5, R-5.2-8, R-7.3-14, R-7.5-2: what is another MSP's is unknown, in body and in looks at the database.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_another_msps_is_as_what_is_nobodys() {
    let world = World::new().await;
    let token = world.federate().await;
    let federation = world
        .read(async move |tx| tx.federation("Mobile One", token).await)
        .await
        .unwrap();
    let foreign_iccid = "8944500805172032953";
    world
        .commit(vec![Change::PutProfile(Profile {
            iccid: foreign_iccid.parse::<Iccid>().unwrap(),
            federation: federation.id,
            eid: world.eid,
            status: ProfileStatus::Enabled,
            verdict: MspVerdict::Valid,
            last_used: 1,
            created_at: 1,
        })])
        .await;
    // Mobile Two has a federation of its own, so that ICCIDs are looked at.
    let other = {
        let browser = world.browser().await;
        let page = browser.get("/").await;
        let form = [("csrf", world::csrf(&page)), ("msp", "Mobile Two".into())];
        let id = world::query(&browser.post("/link", &form).await.1, "id");
        let token = unknown();
        let client = world.client_as("msptwo", "mspkey2", "msp2");
        let sent = client
            .send_msp_token(Call::new(), &id, &world.token_body(token))
            .await;
        sent.unwrap();
        token
    };
    let config = aid_cmp::config::check(&world.config()).unwrap();
    let service = Service::new(
        Store::open(config.fixed.file.database.clone())
            .await
            .unwrap(),
        config,
    );
    let service = std::sync::Arc::new(service);
    let refused = |operation: CmpOperation, variable: String, body: Value| {
        let service = &service;
        async move {
            let before = service.store.looks();
            let error = service
                .operate(
                    &caller(1),
                    operation,
                    &variable,
                    body.to_string().as_bytes(),
                )
                .await
                .expect_err("refused");
            let body = serde_json::to_string(&error.body()).unwrap();
            (error.status, body, service.store.looks() - before)
        }
    };
    let phone = world.phone();
    let number =
        json!({"phoneNumber": phone.phone_number, "iv": phone.iv, "subscriptionType": "private"});
    let code = json!({"activationCode": "1$SMDP.EXAMPLE.COM$X", "profileType": "personal",
        "activationCodeRequestID": Uuid::from_u128(1), "error": null,
        "iccid": foreign_iccid, "swappedIccid": null});
    let (foreign, nobody) = (token.to_string(), unknown().to_string());
    let operations = [
        (CmpOperation::SendActivationCode, code),
        (CmpOperation::UpdateSubscriptionInfo, number),
        (CmpOperation::NotifyTokenInvalid, json!({})),
        (
            CmpOperation::SendProfileInformation,
            json!({"profiles": []}),
        ),
    ];
    for (operation, body) in operations {
        let theirs = refused(operation, foreign.clone(), body.clone()).await;
        assert_eq!(theirs, refused(operation, nobody.clone(), body).await);
    }
    // An ICCID of the other MSP and one that nobody has; the answer names it, so the names are masked.
    let unknown_iccid = "8944500805172032961";
    let information =
        |iccid: &str| json!({"profiles": [{"iccid": iccid, "status": "invalid", "reason": null}]});
    let of = |iccid: &str| {
        refused(
            CmpOperation::SendProfileInformation,
            other.to_string(),
            information(iccid),
        )
    };
    let (a, b) = (of(foreign_iccid).await, of(unknown_iccid).await);
    let mask = |text: &str, iccid: &str| text.replace(iccid, "ICCID");
    assert_eq!(
        (a.0, mask(&a.1, foreign_iccid), a.2),
        (b.0, mask(&b.1, unknown_iccid), b.2)
    );
    assert_eq!(a.0, 404);
    // A request of the other MSP under a token of one's own.
    let request = |id: u128| {
        json!({"activationCode": null, "profileType": null, "activationCodeRequestID": Uuid::from_u128(id),
            "error": "49: none", "iccid": null, "swappedIccid": null})
    };
    let of = |id| {
        refused(
            CmpOperation::SendActivationCode,
            other.to_string(),
            request(id),
        )
    };
    assert_eq!(of(1).await, of(2).await);
    // Account ids: of an onboarding with the other MSP, and of none; both signed with one's own secret.
    let secret = world::SECRET.to_uppercase().parse().unwrap();
    let now = aid_cmp::service::now() / 1000;
    let begun = aid_cmp_core::decide::onboarding::begin(
        &aid_cmp_core::decide::Context {
            now: now * 1000,
            fresh: aid_cmp::service::fresh,
            random: aid_cmp::service::random,
            policy: Default::default(),
        },
        "Mobile One",
        world::EVA,
        "state".into(),
    );
    let (theirs, none) = (Uuid::from_bytes(begun.sid), Uuid::new_v4());
    world.commit(vec![Change::AddOnboarding(begun)]).await;
    let body = || {
        json!({"msp_token": Uuid::from_u128(9), "phoneNumber": phone.phone_number, "iv": phone.iv,
            "subscriptionType": "private", "error": null})
    };
    let id = |sid| {
        aid_aid1::account_id::issue(&secret, sid, None, now, 600)
            .unwrap()
            .to_string()
    };
    let a = refused(CmpOperation::SendMspToken, id(theirs), body()).await;
    let b = refused(CmpOperation::SendMspToken, id(none), body()).await;
    assert_eq!(a, b);
}

async fn get(at: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    (status, text.split_once("\r\n\r\n").unwrap().1.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_health_metrics_and_the_contract() {
    let world = World::new().await;
    let cmp = Changed::start(&world, |text| text).await;
    assert_eq!(
        ask(&cmp.client(&world, key("mspkey"), "msp"), unknown())
            .await
            .0,
        404
    );
    assert_eq!(get(cmp.admin, "/healthz").await.0, 200);
    assert_eq!(
        get(cmp.admin, "/readyz").await,
        (200, "{\"ready\":true}".into())
    );
    let (status, text) = get(cmp.admin, "/metrics").await;
    assert_eq!(status, 200);
    let line = "aid_cmp_aid1_requests_total{operation=\"notifyMspTokenInvalid\",status=\"404\"}";
    assert!(text.contains(line) && text.ends_with("# EOF\n"), "{text}");
    // What is to be done is counted by the clock.
    for gauge in ["aid_cmp_open_orders 0", "aid_cmp_dead_calls 0"] {
        let mut text = String::new();
        for _ in 0..500 {
            text = get(cmp.admin, "/metrics").await.1;
            if text.contains(gauge) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert!(text.contains(gauge), "{text}");
    }
    let (_, admin) = get(cmp.admin, "/openapi.json").await;
    let public = raw(
        &world,
        cmp.aid1,
        b"GET /openapi.json HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert_eq!(public.split_once("\r\n\r\n").unwrap().1, admin);
    assert!(serde_json::from_str::<Value>(&admin).unwrap()["paths"].is_object());
    assert_eq!(get(cmp.admin, "/cesim/msp/v1/users/x").await.0, 404);
    cmp.end().await;
}

// R-5.1-2: whoever knows a correlation-id finds the trace of its call.
#[tokio::test(flavor = "multi_thread")]
async fn spans_reach_a_collector_under_the_correlation_id() {
    let (tell, mut hear) = tokio::sync::mpsc::channel::<String>(64);
    let router = axum::Router::new().route(
        "/v1/traces",
        axum::routing::post(move |body: String| async move {
            let _ = tell.send(body).await;
        }),
    );
    let listener = aid_serve::http::bind("127.0.0.1:0").await.unwrap();
    let collector = listener.local_addr().unwrap();
    tokio::spawn(aid_serve::http::serve(
        listener,
        None,
        router,
        std::future::pending::<()>(),
    ));
    let world = World::new().await;
    let telemetry = format!("\n[telemetry]\notlp_endpoint = \"http://{collector}\"\n");
    let cmp = Changed::start(&world, |text| text + &telemetry).await;
    let client = cmp.client(&world, key("mspkey"), "msp");
    let call = Call::new();
    let body = aid_aid1::body::NotifyTokenInvalid::default();
    let _ = client.notify_token_invalid(call, unknown(), &body).await;
    cmp.end().await;
    let mut spans = Vec::new();
    while let Ok(batch) = hear.try_recv() {
        let batch: Value = serde_json::from_str(&batch).unwrap();
        let of = &batch["resourceSpans"][0];
        assert_eq!(
            of["resource"]["attributes"][0]["value"]["stringValue"],
            "aid-cmp"
        );
        spans.extend(of["scopeSpans"][0]["spans"].as_array().unwrap().clone());
    }
    let trace = call.correlation_id.simple().to_string();
    let own: Vec<_> = spans
        .iter()
        .filter(|s| s["traceId"] == trace.as_str())
        .collect();
    let kind = |kind: u8| own.iter().find(|s| s["kind"] == kind).unwrap();
    // This process is both ends: the caller's span is the parent of the server's.
    assert_eq!(own.len(), 2, "{spans:?}");
    assert_eq!(kind(2)["parentSpanId"], kind(3)["spanId"]);
    let attribute = &kind(2)["attributes"][0];
    assert_eq!(attribute["key"], "correlation-id");
    assert_eq!(
        attribute["value"]["stringValue"],
        call.correlation_id.to_string()
    );
}

fn open_request(world: &World, federation: aid_id::Id, n: u8) -> CodeRequest {
    let now = aid_cmp::service::now();
    CodeRequest {
        id: [n; 16],
        car_request: [n + 100; 16],
        eid: world.eid,
        account: world::EVA,
        federation,
        correlation: Uuid::from_u128(u128::from(n)).into_bytes(),
        replace_iccid: None,
        state: RequestState::Accepted,
        code: None,
        iccid: None,
        swapped: None,
        error_code: None,
        error: None,
        created_at: now,
        expires_at: now + 3_600_000,
        delivered_at: None,
        changed_at: now,
    }
}

fn code_for(n: u8, code: &str, iccid: &str) -> SendActivationCode {
    SendActivationCode::Code {
        request_id: Uuid::from_bytes([n; 16]),
        activation_code: code.parse().unwrap(),
        profile_type: ProfileType::Personal,
        iccid: iccid.parse().unwrap(),
        swapped_iccid: None,
    }
}

// R-7.7.2.1-1, R-7.7.2.1-2, R-7.7.2.1-5, R-7.7.2.1-6, R-7.7.2.1-7: each answer of Send Activation Code.
#[tokio::test(flavor = "multi_thread")]
async fn send_activation_code_answers_by_its_table() {
    let world = World::new().await;
    let token = world.federate().await;
    let federation = world
        .read(async move |tx| tx.federation("Mobile One", token).await)
        .await
        .unwrap();
    let expired = CodeRequest {
        state: RequestState::Expired,
        ..open_request(&world, federation.id, 2)
    };
    let requests = [
        open_request(&world, federation.id, 1),
        expired,
        open_request(&world, federation.id, 3),
    ];
    let changes = requests.into_iter().map(Change::PutRequest).collect();
    world.commit(changes).await;
    let client = world.client();
    let send = |token: MspToken, correlation: u128, body: SendActivationCode| {
        let client = client.clone();
        let call = Call::within(Uuid::from_u128(correlation));
        async move { client.send_activation_code(call, token, &body).await }
    };
    let (iccid, other) = ("8944500805172032953", "8944500805172032961");
    let good = || code_for(1, "1$SMDP.EXAMPLE.COM$A", iccid);
    assert_eq!(
        outcome(send(unknown(), 1, good()).await),
        (404, "20".into())
    );
    assert_eq!(
        outcome(send(token, 1, code_for(9, "1$SMDP.EXAMPLE.COM$A", iccid)).await),
        (422, "30".into())
    );
    assert_eq!(
        outcome(send(token, 2, code_for(2, "1$SMDP.EXAMPLE.COM$A", iccid)).await),
        (422, "31".into())
    );
    // Without the request's id the transaction has to say which request is meant; with it, it says nothing more.
    let failed = SendActivationCode::Failed {
        request_id: None,
        error: "49: none".into(),
    };
    assert_eq!(outcome(send(token, 77, failed).await), (422, "92".into()));
    send(token, 77, good()).await.unwrap();
    // The same once more is harmless, another one is not.
    send(token, 1, good()).await.unwrap();
    assert_eq!(
        outcome(send(token, 1, code_for(1, "1$SMDP.EXAMPLE.COM$B", other)).await),
        (422, "48".into())
    );
    let ended = aid_aid1::body::NotifyTokenInvalid::default();
    client
        .notify_token_invalid(Call::new(), token, &ended)
        .await
        .unwrap();
    let late = send(token, 3, code_for(3, "1$SMDP.EXAMPLE.COM$C", other)).await;
    assert_eq!(outcome(late), (404, "21".into()));
    // Without credentials nothing of this is told.
    let stranger = world.client_as("mspone", "wrongkey", "msp");
    let refused = stranger
        .send_activation_code(Call::new(), token, &good())
        .await;
    assert_eq!(outcome(refused), (401, "104".into()));
}
