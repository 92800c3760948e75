//! The judge of SM-DP+ servers on aid-smdp, on one with legal habits, and behind proxies that break one rule each.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot set itself up has failed"
)]

mod support;

use aid_cli::{signal, tls};
use aid_judge::smdp::{Rig, Target};
use aid_judge::{Subject, Test};
use aid_report::Verdict;
use aid_rsp::saip::builder::{Algorithm, ProfileBuilder};
use aid_serve::http;
use aid_smdp::config::Config;
use aid_smdp::service::Service;
use aid_smdp::store::Store;
use aid_smdp::{inventory, web};
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use support::{judge, mint, named, not_passed, setting};

/// A CA with a server and a client certificate for ES2+.
fn es2_pki(dir: &Path) {
    let write = |name: &str, text: String| std::fs::write(dir.join(name), text).unwrap();
    let mut ca = CertificateParams::new(vec![]).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.distinguished_name.push(DnType::CommonName, "ES2+ CA");
    let ca_key = KeyPair::generate().unwrap();
    write("ca.pem", ca.self_signed(&ca_key).unwrap().pem());
    let issuer = Issuer::new(ca, ca_key);
    for (name, common_name) in [("server", "smdp"), ("client", "msp")] {
        let names = vec!["localhost".into(), "127.0.0.1".into()];
        let mut params = CertificateParams::new(names).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        write(&format!("{name}.pem"), certificate.pem());
        write(&format!("{name}.key"), key.serialize_pem());
    }
}

/// What a proxy gets, and may change: an answer, or a request that is not passed on.
struct Passing {
    function: String,
    status: StatusCode,
    headers: HeaderMap,
    json: Value,
}

impl Passing {
    fn status_data(&mut self) -> Option<(&mut Value, String)> {
        let data = &mut self.json["header"]["functionExecutionStatus"]["statusCodeData"];
        let codes = format!(
            "{}/{}",
            data["subjectCode"].as_str()?,
            data["reasonCode"].as_str()?
        );
        Some((data, codes))
    }
}

/// Looks at a request; its own answer, or none where the request is passed on.
type Before = dyn Fn(&str, &mut Value) -> Option<(u16, Value)> + Send + Sync;
/// Looks at an answer.
type After = dyn FnMut(&mut Passing) + Send;

/// A breaking proxy: sees a request first, and answers it itself or changes it; then its answer.
#[derive(Clone)]
struct Proxy {
    before: Arc<Before>,
    after: Arc<Mutex<After>>,
}

impl Proxy {
    fn after(change: impl FnMut(&mut Passing) + Send + 'static) -> Self {
        Self {
            before: Arc::new(|_, _| None),
            after: Arc::new(Mutex::new(change)),
        }
    }

    fn before(
        change: impl Fn(&str, &mut Value) -> Option<(u16, Value)> + Send + Sync + 'static,
    ) -> Self {
        Self {
            before: Arc::new(change),
            after: Arc::new(Mutex::new(|_: &mut Passing| {})),
        }
    }

    /// Replaces a pair of codes.
    fn code(function: &'static str, from: &'static str, to: (&'static str, &'static str)) -> Self {
        Self::after(move |passing| {
            if passing.function != function {
                return;
            }
            if let Some((data, codes)) = passing.status_data()
                && codes == from
            {
                data["subjectCode"] = json!(to.0);
                data["reasonCode"] = json!(to.1);
            }
        })
    }

    /// Executes a function itself instead of the server.
    fn swallow(function: &'static str) -> Self {
        Self::before(move |called, _| {
            (called == function).then(|| {
                let status = json!({"functionExecutionStatus": {"status": "Executed-Success"}});
                (200, json!({"header": status}))
            })
        })
    }

    /// Changes one bit of a field in base64, counted from its end.
    fn bit(function: &'static str, field: &'static str, from_end: usize) -> Self {
        use base64::Engine as _;
        use base64::engine::general_purpose::STANDARD;
        Self::after(move |passing| {
            if passing.function == function
                && let Some(text) = passing.json[field].as_str()
            {
                let mut bytes = STANDARD.decode(text).unwrap();
                let at = bytes.len() - from_end;
                bytes[at] ^= 1;
                passing.json[field] = json!(STANDARD.encode(bytes));
            }
        })
    }

    fn around(self, router: Router) -> Router {
        router.layer(from_fn(move |request: Request, next: Next| {
            let proxy = self.clone();
            async move { proxy.pass(request, next).await }
        }))
    }

    async fn pass(self, request: Request, next: Next) -> Response {
        let (parts, body) = request.into_parts();
        let bytes = to_bytes(body, 1 << 20).await.unwrap();
        let function = parts.uri.path().rsplit('/').next().unwrap().to_owned();
        let mut json: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if let Some((status, answer)) = (self.before)(&function, &mut json) {
            let status = StatusCode::from_u16(status).unwrap();
            return (status, axum::Json(answer)).into_response();
        }
        let body = match json {
            Value::Null => bytes,
            json => Bytes::from(json.to_string()),
        };
        let mut request = Request::from_parts(parts, Body::from(body.clone()));
        let length = HeaderValue::from(body.len());
        request.headers_mut().insert("content-length", length);
        let response = next.run(request).await;
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, 2 << 20).await.unwrap();
        let mut passing = Passing {
            function,
            status: parts.status,
            headers: parts.headers,
            json: serde_json::from_slice(&bytes).unwrap_or_default(),
        };
        passing.headers.remove("content-length");
        (self.after.lock().unwrap())(&mut passing);
        let body = match &passing.json {
            Value::Null => Vec::new(),
            json => serde_json::to_vec_pretty(json).unwrap(),
        };
        (passing.status, passing.headers, body).into_response()
    }
}

/// A server of the test, and its target.
struct Site {
    folder: tempfile::TempDir,
    es9: String,
    es2: String,
    _trigger: signal::Trigger,
    _runtime: tokio::runtime::Runtime,
}

impl Site {
    fn new(proxy: Option<Proxy>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        mint().write_to(dir).unwrap();
        es2_pki(dir);
        std::fs::create_dir(dir.join("profiles")).unwrap();
        let algorithm = Algorithm::Milenage {
            k: [1; 16],
            opc: [2; 16],
        };
        let package = ProfileBuilder::new("8949000000000000018", "001010123456789", algorithm);
        std::fs::write(dir.join("profiles/op.der"), package.build().unwrap()).unwrap();
        let text = aid_smdp::config::EXAMPLE
            .replace("localhost:8443", "localhost:0")
            .replace("es2/", "");
        std::fs::write(dir.join("smdp.toml"), text).unwrap();
        let config = Config::load(&dir.join("smdp.toml")).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (trigger, stop) = signal::manual();
        let (es9, es2) = runtime.block_on(async {
            let es9 = http::bind("127.0.0.1:0").await.unwrap();
            let es2 = http::bind("127.0.0.1:0").await.unwrap();
            let port = |l: &tokio::net::TcpListener| l.local_addr().unwrap().port();
            let (es9_port, es2_port) = (port(&es9), port(&es2));
            let dp = config.identity(es9_port, web::now()).unwrap();
            let inventory = inventory::load(&config.inventory, dp.address(), config.protection);
            let store = Store::open(&config.database).await.unwrap();
            let service = Service::start(dp, inventory.unwrap(), store, config.orders, web::now());
            let service = Arc::new(service.await.unwrap());
            let es9_tls = tls::server_config(&config.es9.cert, &config.es9.key, None).unwrap();
            let own = &config.es2;
            let es2_tls = tls::server_config(&own.cert, &own.key, Some(&own.client_ca)).unwrap();
            let mut routers = [
                web::es9(Arc::clone(&service)),
                web::es2(service, config.operators().unwrap()),
            ];
            if let Some(proxy) = proxy {
                routers = routers.map(|router| proxy.clone().around(router));
            }
            let [es9_router, es2_router] = routers;
            tokio::spawn(http::serve(es9, Some(es9_tls), es9_router, stop.clone()));
            tokio::spawn(http::serve(es2, Some(es2_tls), es2_router, stop));
            (
                format!("localhost:{es9_port}"),
                format!("localhost:{es2_port}"),
            )
        });
        Self {
            folder,
            es9,
            es2,
            _trigger: trigger,
            _runtime: runtime,
        }
    }

    fn target(&self, es2: bool) -> Target {
        let mut text = format!("address = \"{}\"\n[euicc]\npki = \".\"\n", self.es9);
        if es2 {
            text += &format!(
                "[es2]\naddress = \"{}\"\nca = \"ca.pem\"\ncert = \"client.pem\"\nkey = \"client.key\"\n",
                self.es2
            );
        }
        toml::from_str(&text).unwrap()
    }

    fn rig(&self, es2: bool) -> Rig {
        Rig::open(self.target(es2), &setting(self.folder.path())).unwrap()
    }
}

#[test]
fn names_are_unique() {
    let tests: Vec<Test<Rig>> = Rig::tests();
    let names: BTreeSet<&str> = tests.iter().map(|t| t.name).collect();
    assert_eq!(names.len(), tests.len());
    assert!(tests.len() >= 60, "{}", tests.len());
}

#[test]
fn a_correct_server_passes_twice() {
    let site = Site::new(None);
    let mut rig = site.rig(true);
    for _ in 0..2 {
        let cases = judge(&mut rig, &[]);
        assert_eq!(not_passed(&cases), Vec::<String>::new());
        assert!(cases.iter().all(|c| !c.messages.is_empty()));
        let text = serde_json::to_string(&cases).unwrap();
        assert!(
            !text.contains("12345678\\\""),
            "a Confirmation Code in the report"
        );
    }
}

/// Answers as RFC 8259 and RFC 9110 let them be: white space, more members, another order of headers, a charset.
#[test]
fn legal_habits_are_no_failures() {
    let site = Site::new(Some(Proxy::after(|passing| {
        if passing.json.is_object() {
            passing.json["judgeIgnores"] = json!({"this": [1, 2]});
            let kind = HeaderValue::from_static("application/json; charset=UTF-8");
            passing.headers.insert("content-type", kind);
        }
        let more = HeaderValue::from_static("no-store");
        passing.headers.insert("cache-control", more);
    })));
    let cases = judge(&mut site.rig(true), &[]);
    assert_eq!(not_passed(&cases), Vec::<String>::new());
}

#[test]
fn without_orders_the_rest_is_judged() {
    let site = Site::new(None);
    let cases = judge(&mut site.rig(false), &[]);
    assert_eq!(named(&cases, Verdict::Fail), Vec::<&str>::new());
    assert!(named(&cases, Verdict::Pass).len() >= 25);
    assert!(named(&cases, Verdict::Skipped).contains(&"SGP22-5.6.2/opens"));
}

#[test]
fn a_server_that_is_away_is_inconclusive() {
    let mut rig = {
        let site = Site::new(None);
        let rig = site.rig(true);
        drop(site);
        rig
    };
    let cases = judge(&mut rig, &["SGP22-5.6.1"]);
    assert_eq!(
        named(&cases, Verdict::Inconclusive).len(),
        cases.len(),
        "{:?}",
        not_passed(&cases)
    );
}

/// Each variant: the id that finds it, what is wrong with it, and the proxy that breaks the server.
fn variants() -> Vec<(&'static str, &'static str, Proxy)> {
    let mut first = None;
    vec![
        (
            "SGP22-5.6.1/address",
            "another address is refused with another reason",
            Proxy::code("initiateAuthentication", "8.8.1/3.8", ("8.8.1", "3.9")),
        ),
        (
            "SGP22-5.6.1/signature",
            "a bit of serverSignature1 is wrong",
            Proxy::bit("initiateAuthentication", "serverSignature1", 1),
        ),
        (
            "SGP22-5.6.1/ci-key",
            "euiccCiPKIdToBeUsed is another key",
            Proxy::bit("initiateAuthentication", "euiccCiPKIdToBeUsed", 1),
        ),
        (
            "SGP22-5.6.1/unique",
            "every session is the first one again",
            Proxy::after(move |passing| {
                if passing.function == "initiateAuthentication" {
                    passing.json = first.get_or_insert(passing.json.clone()).clone();
                }
            }),
        ),
        (
            "SGP22-6.2/admin-protocol",
            "X-Admin-Protocol is missing",
            Proxy::after(|passing| {
                passing.headers.remove("x-admin-protocol");
            }),
        ),
        (
            "SGP22-6.2/content-type",
            "JSON is called text/html",
            Proxy::after(|passing| {
                let kind = HeaderValue::from_static("text/html");
                passing.headers.insert("content-type", kind);
            }),
        ),
        (
            "SGP22-6.5/hex",
            "transactionId in small letters",
            Proxy::after(|passing| {
                if let Some(id) = passing.json["transactionId"].as_str() {
                    passing.json["transactionId"] = json!(format!("ab{}", id[2..].to_lowercase()));
                }
            }),
        ),
        (
            "SGP22-6.5/status",
            "refusals without reasonCode",
            Proxy::after(|passing| {
                if let Some((data, _)) = passing.status_data() {
                    data.as_object_mut().unwrap().remove("reasonCode");
                }
            }),
        ),
        (
            "SGP22-5.6.3/matching-id",
            "an unknown MatchingID is refused with another reason",
            Proxy::code("authenticateClient", "8.2.6/3.8", ("8.2.6", "3.9")),
        ),
        (
            "SGP22-5.6.3/other-eid",
            "another eUICC is refused as if the MatchingID were unknown",
            Proxy::code("authenticateClient", "8.1.1/3.8", ("8.2.6", "3.8")),
        ),
        (
            "SGP22-5.6.3/euicc-certificate",
            "a forged CERT.EUICC is refused as a wrong signature",
            Proxy::code("authenticateClient", "8.1.3/6.1", ("8.1", "6.1")),
        ),
        (
            "SGP22-5.6.3/signature",
            "a bit of smdpSignature2 is wrong",
            Proxy::bit("authenticateClient", "smdpSignature2", 1),
        ),
        (
            "SGP22-5.6.2/opens",
            "a bit of the package is wrong",
            Proxy::bit("getBoundProfilePackage", "boundProfilePackage", 1),
        ),
        (
            "SGP22-5.6.2/unknown-transaction",
            "an unknown session is refused with another subject",
            Proxy::code("getBoundProfilePackage", "8.10.1/3.9", ("8.2", "3.7")),
        ),
        (
            "SGP22-5.6.2/code-wrong",
            "a wrong Confirmation Code is refused as a missing one",
            Proxy::code("getBoundProfilePackage", "8.2.7/3.8", ("8.2.7", "2.2")),
        ),
        (
            "SGP22-5.6.4/installed",
            "notifications are answered with 200 and a body",
            Proxy::after(|passing| {
                if passing.function == "handleNotification" {
                    passing.status = StatusCode::OK;
                    passing.json = json!({});
                }
            }),
        ),
        (
            "SGP22-5.6.5/ends",
            "CancelSession is executed without effect",
            Proxy::swallow("cancelSession"),
        ),
        (
            "SGP22-5.6.5/flipped-signature",
            "CancelSession is not verified",
            Proxy::swallow("cancelSession"),
        ),
        (
            "SGP22-5.3.1/in-use",
            "a reserved profile is refused as unknown",
            Proxy::code("downloadOrder", "8.2.1/3.3", ("8.2.1", "3.9")),
        ),
        (
            "SGP22-5.3.2/confirms",
            "the operator's MatchingID is not looked at",
            Proxy::before(|called, request| {
                if called == "confirmOrder" {
                    request.as_object_mut().unwrap().remove("matchingId");
                }
                None
            }),
        ),
        (
            "SGP22-5.3.3/cancels",
            "CancelOrder is executed without effect",
            Proxy::swallow("cancelOrder"),
        ),
        (
            "SGP22-5.3.4/unconfirmed",
            "ReleaseProfile of any order is executed",
            Proxy::swallow("releaseProfile"),
        ),
    ]
}

#[test]
fn each_broken_server_is_found_by_its_id() {
    for (id, what, proxy) in variants() {
        let site = Site::new(Some(proxy));
        let cases = judge(&mut site.rig(true), &[id]);
        assert_eq!(
            named(&cases, Verdict::Fail),
            [id],
            "{what}: {:?}",
            not_passed(&cases)
        );
    }
}
