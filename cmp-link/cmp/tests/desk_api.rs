//! The admin API: keys and roles, answers as its document says, pages, repeated deeds, files of vehicles, enrolment at the
//! end of the line, and what webhooks hear.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use aid_cmp::config::File;
use aid_cmp::desk::OPERATIONS;
use aid_cmp::operator::Operator;
use aid_cmp_core::change::Change;
use aid_cmp_core::model::Role;
use aid_id::Eid;
use axum::Router;
use axum::extract::State;
use axum::routing::post;
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use world::World;

struct Desk {
    world: World,
    http: Client,
    viewer: String,
    operator: String,
    admin: String,
}

fn file(world: &World) -> File {
    aid_cmp::config::read(&world.config()).unwrap()
}

impl Desk {
    async fn new() -> Self {
        Self::with("").await
    }

    /// With these lines in front of the configuration's sections.
    async fn with(more: &str) -> Self {
        let mut world = World::new().await;
        if !more.is_empty() {
            world.halt().await;
            let text = std::fs::read_to_string(world.config()).unwrap();
            std::fs::write(world.config(), text + more).unwrap();
            world.resume().await;
        }
        let (file, store) = (file(&world), world.store.0.clone());
        let operator = Operator {
            store: &store,
            file: &file,
            who: "test".into(),
            once: None,
        };
        let key = async |role: Role| {
            // "operator" is nobody's name.
            let name = role.as_str().replace("operator", "worker");
            let row = operator.add_key(&name, role).await.unwrap();
            row["key"].as_str().unwrap().to_owned()
        };
        Self {
            viewer: key(Role::Viewer).await,
            operator: key(Role::Operator).await,
            admin: key(Role::Admin).await,
            http: Client::new(),
            world,
        }
    }

    fn call(&self, method: Method, path: &str, key: &str) -> RequestBuilder {
        let url = format!("http://{}{path}", self.world.admin);
        self.http.request(method, url).bearer_auth(key)
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.call(Method::GET, path, &self.viewer).send().await;
        self.judged(answer.unwrap(), &Method::GET, path, 200).await
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let answer = self.call(Method::POST, path, &self.admin).json(body).send();
        self.judged(answer.await.unwrap(), &Method::POST, path, 200)
            .await
    }

    /// The body of an answer, which must be as the document says.
    async fn judged(&self, answer: Response, method: &Method, path: &str, status: u16) -> Value {
        let got = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        assert_eq!(got, status, "{method} {path}: {text}");
        let value: Value = serde_json::from_str(&text).unwrap();
        let document: Value = serde_json::from_str(aid_cmp::desk::OPENAPI).unwrap();
        let path = path.split('?').next().unwrap();
        let fits = |template: &str| {
            let (a, b) = (template.split('/'), path.split('/'));
            a.clone().count() == b.clone().count()
                && a.zip(b).all(|(a, b)| a == b || a.starts_with('{'))
        };
        let found = OPERATIONS.iter().find(|o| o.1 == *method && o.2 == path);
        let found = found.or_else(|| OPERATIONS.iter().find(|o| o.1 == *method && fits(o.2)));
        let template = found.unwrap().2;
        let operation = &document["paths"][template][method.as_str().to_lowercase()];
        let mut response = operation["responses"][status.to_string()].clone();
        if let Some(name) = response["$ref"].as_str() {
            let pointer = name.trim_start_matches('#');
            response = document.pointer(pointer).unwrap().clone();
        }
        let media = response["content"].as_object().unwrap().values().next();
        let mut schema = media.unwrap()["schema"].clone();
        schema["components"] = document["components"].clone();
        let validator = jsonschema::options()
            .should_validate_formats(true)
            .build(&schema)
            .unwrap();
        let wrong: Vec<_> = validator
            .iter_errors(&value)
            .map(|e| e.to_string())
            .collect();
        assert!(wrong.is_empty(), "{method} {path}: {wrong:?}: {value}");
        value
    }
}

#[test]
fn the_document_has_what_the_table_has() {
    let document: Value = serde_json::from_str(aid_cmp::desk::OPENAPI).unwrap();
    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let role = operation["description"].as_str().unwrap();
            described.insert((method.to_uppercase(), path.clone(), role.to_owned()));
        }
    }
    let table = OPERATIONS.iter().map(|(_, method, path, role)| {
        let role = format!("Needs the role {}.", role.as_str());
        (method.to_string(), (*path).to_owned(), role)
    });
    assert_eq!(described, table.collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_question_and_deed_is_answered_as_the_document_says() {
    let desk = Desk::new().await;
    desk.world.federate().await;
    let eid = desk.world.eid.to_string();
    let document: Value = serde_json::from_str(
        &reqwest::get(format!("http://{}/v1/openapi.json", desk.world.admin))
            .await
            .unwrap()
            .text()
            .await
            .unwrap(),
    )
    .unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    // Pages make the whole.
    let first = desk.get("/v1/vehicles?limit=1").await;
    assert_eq!(first["items"].as_array().unwrap().len(), 1);
    let next = first["next"].as_str().unwrap();
    let second = desk
        .get(&format!("/v1/vehicles?limit=1&after={next}"))
        .await;
    assert_ne!(first["items"][0]["eid"], second["items"][0]["eid"]);
    let added = desk
        .post(
            "/v1/vehicles",
            &json!({"eid": world::eid(7), "vin": "wvwzzz1kzaw000001"}),
        )
        .await;
    assert_eq!(added["vin"], "WVWZZZ1KZAW000001");
    for search in ["wvwzzz1k", &world::eid(7).to_string()[..30], "EVA"] {
        let found = desk.get(&format!("/v1/vehicles?search={search}")).await;
        assert!(search == "EVA" || !found["items"].as_array().unwrap().is_empty());
    }
    for path in [
        "summary", "problems", "users", "links", "profiles", "orders", "calls", "msps", "audit",
    ] {
        desk.get(&format!("/v1/{path}")).await;
    }
    desk.get(&format!("/v1/vehicles/{eid}")).await;
    desk.get("/v1/users/Eva").await;
    desk.post(
        "/v1/users",
        &json!({"name": "Zoë/x", "password": "long enough", "pin": "1234"}),
    )
    .await;
    desk.get("/v1/users/zo%C3%AB%2Fx").await;
    let why = json!({"reason": "a test"});
    desk.post("/v1/users/eva/unlock", &why).await;
    let order = json!({"eid": eid, "kind": "logout", "user": "eva", "reason": "a test"});
    let order = desk.post("/v1/orders", &order).await;
    let id = order["order"].as_str().unwrap();
    let shown = desk.get(&format!("/v1/orders/{id}")).await;
    assert_eq!(shown["history"][0]["event"], "given");
    let line = desk
        .get(&format!(
            "/v1/correlations/{}",
            order["correlation_id"].as_str().unwrap()
        ))
        .await;
    assert_eq!(
        (&line["line"][0]["party"], &line["line"][0]["subject"]),
        (&"cmp".into(), &"order".into())
    );
    desk.post(&format!("/v1/orders/{id}/close"), &why).await;
    desk.post(&format!("/v1/orders/{id}/replay"), &why).await;
    let clear = json!({"because": "rental-end", "reason": "a test"});
    desk.post(&format!("/v1/vehicles/{eid}/clear"), &clear)
        .await;
    let other = world::eid(2);
    let exchange = json!({"new": world::eid(9), "reason": "water"});
    desk.post(&format!("/v1/vehicles/{other}/exchange"), &exchange)
        .await;
    desk.post(&format!("/v1/vehicles/{}/retire", world::eid(9)), &why)
        .await;
    let links = desk.get("/v1/links").await;
    let link = links["items"][0]["federation"].as_str().unwrap();
    desk.post(&format!("/v1/links/{link}/withdraw"), &why).await;
    desk.get("/v1/vehicles?limit=500").await;
    desk.post("/v1/users/eva/erase", &why).await;
    // Who did it, and why.
    let trail = desk.get("/v1/audit?actor=api/admin&limit=500").await;
    let reasons = trail["items"].as_array().unwrap().iter();
    assert!(
        reasons.filter(|a| a["why"] == "a test").count() >= 6,
        "{trail}"
    );
}

// Each mistake is a problem of its own kind, and nothing is done.
#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_problems() {
    let desk = Desk::new().await;
    let eid = desk.world.eid;
    let send = async |method: Method, path: &str, body: &str| {
        let request = desk.call(method.clone(), path, &desk.admin);
        let request = request.header("content-type", "application/json");
        let answer = request.body(body.to_owned()).send().await.unwrap();
        let status = answer.status().as_u16();
        assert_eq!(
            answer.headers()["content-type"],
            "application/problem+json",
            "{path}"
        );
        if OPERATIONS.iter().any(|o| o.1 == method && o.2 == path) {
            desk.judged(answer, &method, path, status).await;
        }
        status
    };
    let order = format!(r#"{{"eid": "{eid}", "kind": "delete-all"}}"#);
    let (get, post) = (Method::GET, Method::POST);
    for (method, path, body, status) in [
        (&get, "/v1", "", 404),
        (&get, "/v1/nothing", "", 404),
        (&Method::DELETE, "/v1/vehicles", "", 405),
        (&get, "/v1/vehicles?limit=0", "", 422),
        (&get, "/v1/vehicles?limit=501", "", 422),
        (&get, "/v1/vehicles?limti=5", "", 422),
        (&get, "/v1/vehicles?after=x'--", "", 422),
        (&get, "/v1/vehicles/1", "", 422),
        (&get, "/v1/orders/1", "", 422),
        (
            &get,
            "/v1/orders/00000000-0000-4000-8000-000000000000",
            "",
            404,
        ),
        (&post, "/v1/orders", order.as_str(), 422),
        (&post, "/v1/orders", "{", 422),
        (&post, "/v1/vehicles", r#"{"eid": 1}"#, 422),
        (
            &post,
            "/v1/vehicles",
            r#"{"eid": "1", "colour": "red"}"#,
            422,
        ),
        (&post, "/v1/users/nobody/unlock", r#"{"reason": "x"}"#, 404),
        (&post, "/v1/users/eva/unlock", r#"{"reason": "  "}"#, 422),
        (
            &post,
            "/v1/webhooks",
            r#"{"url": "http://plain.example"}"#,
            422,
        ),
        (
            &post,
            "/v1/vehicles/enrol",
            &format!(r#"{{"eid": "{eid}"}}"#),
            422,
        ),
    ] {
        assert_eq!(
            send(method.clone(), path, body).await,
            status,
            "{method} {path} {body}"
        );
    }
    let answer = desk
        .call(Method::POST, "/v1/vehicles", &desk.admin)
        .body("{}")
        .send()
        .await;
    assert_eq!(answer.unwrap().status(), 415);
    let long = format!(r#"{{"eid": "{}"}}"#, "1".repeat(70_000));
    assert_eq!(send(Method::POST, "/v1/vehicles", &long).await, 413);
    assert!(
        desk.world
            .store
            .orders(None, false)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_opens_what_its_role_may_and_nothing_once_it_is_revoked() {
    let desk = Desk::new().await;
    let body = json!({"reason": "x"});
    for (operation, method, path, least) in OPERATIONS {
        let path = path.replace("{eid}", "1").replace("{name}", "nobody");
        let path = path.replace("{id}", "1").replace("{iccid}", "1");
        let keys = [
            (&desk.viewer, Role::Viewer),
            (&desk.operator, Role::Operator),
        ];
        for (key, role) in keys {
            let request = desk.call(method.clone(), &path, key).json(&body);
            let status = request.send().await.unwrap().status().as_u16();
            assert_eq!(
                status == 403,
                role < least,
                "{operation:?} {role:?}: {status}"
            );
        }
    }
    // Only its hash is stored.
    let keys = desk.world.read(async |tx| tx.api_keys().await).await;
    assert!(
        keys.iter()
            .all(|k| k.hash.len() == 64 && !desk.admin.contains(&k.hash))
    );
    let (file, store) = (file(&desk.world), desk.world.store.0.clone());
    let operator = Operator {
        store: &store,
        file: &file,
        who: "ann".into(),
        once: None,
    };
    let own = keys.iter().find(|k| k.role == Role::Viewer).unwrap();
    operator
        .revoke_key(uuid::Uuid::from_bytes(own.id))
        .await
        .unwrap();
    let answer = desk
        .call(Method::GET, "/v1/summary", &desk.viewer)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 401);
    assert!(
        answer.headers()["www-authenticate"]
            .to_str()
            .unwrap()
            .starts_with("Bearer")
    );
    // Neither does a text that is no key, one in the wrong place, or two of them.
    let url = format!("http://{}/v1/summary", desk.world.admin);
    for request in [
        desk.http.get(&url),
        desk.http.get(&url).header("authorization", &desk.admin),
        desk.http.get(format!("{url}?key={}", desk.admin)),
        desk.http.get(&url).basic_auth("admin", Some(&desk.admin)),
        desk.http
            .get(&url)
            .bearer_auth(&desk.admin)
            .header("authorization", "Bearer x"),
        desk.http.get(&url).bearer_auth(desk.admin.to_uppercase()),
    ] {
        assert_eq!(request.send().await.unwrap().status(), 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_guesses_keys_is_slowed_down_and_a_key_has_its_rate() {
    let desk = Desk::with(
        "[limits]\nlogin = { per_second = 0.001, burst = 3 }\napi = { per_second = 0.001, burst = 4 }\n",
    )
    .await;
    let status = async |key: &str| {
        let answer = desk
            .call(Method::GET, "/v1/summary", key)
            .send()
            .await
            .unwrap();
        let waits = answer.headers().contains_key("retry-after");
        let status = answer.status().as_u16();
        assert_eq!(waits, status == 429);
        status
    };
    for _ in 0..4 {
        assert_eq!(status(&desk.viewer).await, 200);
    }
    assert_eq!(status(&desk.viewer).await, 429);
    // Another one has its own.
    assert_eq!(status(&desk.operator).await, 200);
    for _ in 0..3 {
        assert_eq!(status("aidcmp_guess").await, 401);
    }
    // From here on not even the right one is looked up.
    assert_eq!(status("aidcmp_guess").await, 429);
    assert_eq!(status(&desk.operator).await, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_deed_is_done_once() {
    let desk = Desk::new().await;
    let order = json!({"eid": desk.world.eid, "kind": "delete-all", "reason": "sold"});
    let send = async |key: &str, name: &str, body: &Value| {
        let request = desk.call(Method::POST, "/v1/orders", key).json(body);
        let answer = request
            .header("idempotency-key", name)
            .send()
            .await
            .unwrap();
        (
            answer.status().as_u16(),
            answer.json::<Value>().await.unwrap(),
        )
    };
    let (status, first) = send(&desk.operator, "one", &order).await;
    assert_eq!(status, 200);
    // At the same time, too.
    let (a, b) = tokio::join!(
        send(&desk.operator, "one", &order),
        send(&desk.operator, "one", &order)
    );
    for (status, again) in [a, b] {
        assert_eq!((status, &again["order"]), (200, &first["order"]));
    }
    assert_eq!(desk.world.store.orders(None, false).await.unwrap().len(), 1);
    let other = json!({"eid": world::eid(2), "kind": "delete-all", "reason": "sold"});
    assert_eq!(send(&desk.operator, "one", &other).await.0, 409);
    // Another key's names are its own.
    let (_, second) = send(&desk.admin, "one", &order).await;
    assert_ne!(second["order"], first["order"]);
    assert_eq!(send(&desk.operator, "", &order).await.0, 422);
    assert_eq!(send(&desk.operator, &"x".repeat(129), &order).await.0, 422);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_vehicles_is_stored_whole_or_not() {
    let desk = Desk::new().await;
    let import = async |path: &str, text: String| {
        let request = desk.call(Method::POST, path, &desk.operator);
        let request = request.header("content-type", "text/csv; charset=utf-8");
        let answer = request.body(text).send().await.unwrap();
        let status = answer.status().as_u16();
        (
            status,
            desk.judged(answer, &Method::POST, path, status).await,
        )
    };
    let count = async || desk.world.store.vehicles(None, 10_000).await.unwrap().len();
    let hash = "AB".repeat(32);
    let vin = |n: u32| format!("WVWZZZ1KZAW{n:06}");
    let line = |n: u32| format!("{},{},{hash}\n", world::eid(n), vin(n));
    let heading = "eid,vin,certificate_sha256\n";
    let good: String = (100..705).map(line).collect();
    let before = count().await;
    let (status, problem) = import(
        "/v1/vehicles/import",
        format!("{heading}{good}123,,\n{}", line(100)),
    )
    .await;
    let lines: Vec<_> = problem["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| l["line"].as_u64())
        .collect();
    assert_eq!(
        (status, lines),
        (422, vec![Some(607), Some(608), Some(608)])
    );
    assert_eq!(count().await, before);
    let (status, done) = import(
        "/v1/vehicles/import?dry_run=true",
        format!("{heading}{good}"),
    )
    .await;
    assert_eq!(
        (status, &done["stored"], count().await),
        (200, &false.into(), before)
    );
    for _ in 0..2 {
        let (status, done) = import("/v1/vehicles/import", format!("{heading}{good}")).await;
        assert_eq!((status, &done["lines"]), (200, &605.into()));
        assert_eq!(count().await, before + 605);
    }
    // The second time nothing was to be done, and nothing is in the trail.
    let trail = desk.get("/v1/audit?about=certificate&limit=500").await;
    assert_eq!(trail["items"].as_array().unwrap().len(), 500);
    let next = trail["next"].as_str().unwrap().to_owned();
    let rest = desk
        .get(&format!(
            "/v1/audit?about=certificate&limit=500&after={next}"
        ))
        .await;
    assert_eq!(rest["items"].as_array().unwrap().len(), 105);
    // What the database is against is named, too.
    let held = format!("{heading}{},{},{hash}\n", world::eid(900), vin(100));
    let (status, problem) = import("/v1/vehicles/import", held).await;
    assert_eq!((status, &problem["lines"][0]["line"]), (422, &2.into()));
}

// End of the assembly line: the unit has made its key, the plant asks with EID and VIN, and the car connects.
#[tokio::test(flavor = "multi_thread")]
async fn a_plant_gets_certificates_that_open_the_gateway() {
    let mut desk = Desk::new().await;
    desk.world.halt().await;
    let folder = desk.world.folder.path().to_owned();
    std::fs::write(folder.join("ca.key"), desk.world.pki.ca_key()).unwrap();
    let text = std::fs::read_to_string(desk.world.config()).unwrap();
    let more = "[enrolment]\nca_cert = \"ca.pem\"\nca_key = \"ca.key\"\ndays = 400\n";
    std::fs::write(desk.world.config(), text + more).unwrap();
    desk.world.resume().await;
    let eid = world::eid(41);
    let key = rcgen::KeyPair::generate().unwrap();
    let request = |name: &str| {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        let names = &mut params.distinguished_name;
        names.push(rcgen::DnType::CommonName, name);
        params.serialize_request(&key).unwrap().pem().unwrap()
    };
    let body = json!({"eid": eid, "vin": "WVWZZZ1KZAW000041", "request": request(eid.as_str())});
    let enrol = async |body: &Value| {
        let path = "/v1/vehicles/enrol";
        let sent = desk.call(Method::POST, path, &desk.operator).json(body);
        let answer = sent
            .header("idempotency-key", "unit 41")
            .send()
            .await
            .unwrap();
        let status = answer.status().as_u16();
        (
            status,
            desk.judged(answer, &Method::POST, path, status).await,
        )
    };
    let (status, row) = enrol(&body).await;
    assert_eq!(status, 200);
    let issued = row["issued"].as_str().unwrap().to_owned();
    // The line repeats what it has not heard an answer to: the same certificate, which is the one that is bound.
    assert_eq!(enrol(&body).await.1["issued"], row["issued"]);
    std::fs::write(folder.join("unit.pem"), issued).unwrap();
    std::fs::write(folder.join("unit.key"), key.serialize_pem()).unwrap();
    let tls = desk.world.pki.client("unit");
    let mut car = world::car::Car::dial(desk.world.gateway, tls, eid, eid.as_str());
    assert!(matches!(car.next().await, world::car::Seen::Connected));
    let path = "/v1/vehicles/enrol";
    let wrong = json!({"eid": world::eid(42), "request": request(eid.as_str())});
    let answer = desk
        .call(Method::POST, path, &desk.operator)
        .json(&wrong)
        .send()
        .await
        .unwrap();
    desk.judged(answer, &Method::POST, path, 422).await;
}

// The key of a plant must not put a certificate of its own on somebody's car.
#[tokio::test(flavor = "multi_thread")]
async fn only_an_admin_replaces_what_is_bound() {
    let desk = Desk::new().await;
    let path = "/v1/vehicles/enrol";
    let eid = world::eid(41);
    let certificate = |eid: Eid| {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        let names = &mut params.distinguished_name;
        names.push(rcgen::DnType::CommonName, eid.as_str());
        params.self_signed(&key).unwrap().pem()
    };
    let enrol = async |key: &str, body: &Value, status: u16| {
        let sent = desk.call(Method::POST, path, key).json(body).send().await;
        desk.judged(sent.unwrap(), &Method::POST, path, status)
            .await
    };
    let (first, second) = (certificate(eid), certificate(eid));
    let vin = "WVWZZZ1KZAW000041";
    let bound = json!({"eid": eid, "vin": vin, "certificate": first});
    let row = enrol(&desk.operator, &bound, 200).await;
    // The very same once more.
    enrol(&desk.operator, &bound, 200).await;
    let other = json!({"eid": eid, "vin": vin, "certificate": second});
    enrol(&desk.operator, &other, 403).await;
    let renamed = json!({"eid": eid, "vin": "WVWZZZ1KZAW000042", "certificate": first});
    enrol(&desk.operator, &renamed, 403).await;
    // The VIN of another vehicle.
    let new = world::eid(43);
    let mut taken = json!({"eid": new, "vin": vin, "certificate": certificate(new)});
    enrol(&desk.operator, &taken, 409).await;
    taken["exchange"] = "water".into();
    enrol(&desk.operator, &taken, 403).await;
    // Neither by a file.
    let import = async |line: String| {
        let path = "/v1/vehicles/import";
        let request = desk.call(Method::POST, path, &desk.operator);
        let request = request.header("content-type", "text/csv");
        let text = format!("eid,vin,certificate_sha256\n{line}\n");
        request.body(text).send().await.unwrap().status().as_u16()
    };
    assert_eq!(
        import(format!("{eid},{vin},{}", "ab".repeat(32))).await,
        422
    );
    // A VIN that would be dropped is named, and what is so already stays.
    assert_eq!(import(format!("{eid},WVWZZZ1KZAW000042,")).await, 422);
    assert_eq!(import(format!("{eid},{vin},")).await, 200);
    let shown = desk.get(&format!("/v1/vehicles/{eid}")).await;
    assert_eq!(shown["certificate"], row["certificate"]);
    let replaced = enrol(&desk.admin, &other, 200).await;
    assert_ne!(replaced["certificate"], row["certificate"]);
    enrol(&desk.admin, &taken, 200).await;
    // The old unit is cut off, and gets no order any more.
    let order = json!({"eid": eid, "kind": "delete-all", "reason": "x"});
    let sent = desk.call(Method::POST, "/v1/orders", &desk.operator);
    assert_eq!(sent.json(&order).send().await.unwrap().status(), 409);
    // What must not be remembered is not.
    let user = json!({"name": "ann", "password": "long enough"});
    let hook = json!({"url": "https://localhost/hook"});
    for (path, body) in [("/v1/users", user), ("/v1/webhooks", hook)] {
        let sent = desk.call(Method::POST, path, &desk.admin).json(&body);
        let sent = sent.header("idempotency-key", "one").send().await;
        desk.judged(sent.unwrap(), &Method::POST, path, 422).await;
    }
}

type Heard = Arc<Mutex<Vec<(String, String, String)>>>;

/// An address that hears events, and answers the first one with an error.
async fn listen(
    State(heard): State<Heard>,
    headers: axum::http::HeaderMap,
    body: String,
) -> axum::http::StatusCode {
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    let mut heard = heard.lock().unwrap();
    heard.push((header("aid-event"), header("aid-signature"), body));
    match heard.len() {
        1 => axum::http::StatusCode::INTERNAL_SERVER_ERROR,
        _ => axum::http::StatusCode::NO_CONTENT,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_hear_of_orders_and_alarms_at_least_once() {
    let desk = Desk::with("[webhooks]\nca = \"ca.pem\"\n").await;
    let folder = desk.world.folder.path();
    let (cert, key) = (folder.join("server.pem"), folder.join("server.key"));
    let tls = aid_cli::tls::server_config(&cert, &key, None).unwrap();
    let tcp = aid_serve::http::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let heard = Heard::default();
    let router = Router::new()
        .route("/hook", post(listen))
        .with_state(Arc::clone(&heard));
    let (trigger, stop) = aid_cli::signal::manual();
    let server = tokio::spawn(aid_serve::http::serve(tcp, Some(tls), router, stop));
    let url = json!({"url": format!("https://localhost:{}/hook", address.port())});
    let hook = desk.post("/v1/webhooks", &url).await;
    let secret = hook["secret"].as_str().unwrap();
    assert!(
        desk.call(Method::GET, "/v1/webhooks", &desk.admin)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
            .find(secret)
            .is_none()
    );
    let order = json!({"eid": desk.world.eid, "kind": "delete-all", "reason": "sold"});
    let order = desk.post("/v1/orders", &order).await;
    let id = order["order"].as_str().unwrap().to_owned();
    desk.post(
        &format!("/v1/orders/{id}/close"),
        &json!({"reason": "gone"}),
    )
    .await;
    // Wrong passwords, until the account is locked.
    let browser = world::Browser::new(&desk.world);
    for _ in 0..5 {
        let page = browser.get("/login").await;
        let form = [
            ("csrf", world::csrf(&page)),
            ("next", "/".into()),
            ("name", "eva".into()),
            ("password", "wrong one".into()),
        ];
        browser.post("/login", &form).await;
    }
    let kinds = |list: &[(String, String, String)]| -> BTreeSet<String> {
        let body = |b: &str| serde_json::from_str::<Value>(b).unwrap();
        list.iter()
            .map(|(_, _, b)| body(b)["type"].as_str().unwrap().to_owned())
            .collect()
    };
    let all = async {
        loop {
            let now = heard.lock().unwrap().clone();
            let again = now.iter().filter(|h| h.0 == now[0].0).count();
            if kinds(&now).len() == 3 && again >= 2 {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let now = tokio::time::timeout(Duration::from_secs(40), all)
        .await
        .expect("all is heard");
    assert_eq!(
        kinds(&now).into_iter().collect::<Vec<_>>(),
        ["account.locked", "order.closed", "order.given"]
    );
    let document: Value = serde_json::from_str(aid_cmp::desk::OPENAPI).unwrap();
    let mut schema = document["components"]["schemas"]["Event"].clone();
    schema["components"] = document["components"].clone();
    let schema = jsonschema::validator_for(&schema).unwrap();
    for (event, signature, body) in &now {
        let value: Value = serde_json::from_str(body).unwrap();
        assert!(schema.is_valid(&value), "{body}");
        assert_eq!(value["id"], event.as_str());
        let seconds = signature
            .split(',')
            .next()
            .unwrap()
            .trim_start_matches("t=");
        let expected = aid_cmp::webhooks::signature(secret, seconds.parse().unwrap(), body);
        assert_eq!(*signature, expected);
    }
    trigger.stop();
    server.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_never_answers_keeps_no_other_waiting() {
    let desk = Desk::with("[webhooks]\nca = \"ca.pem\"\n").await;
    let folder = desk.world.folder.path();
    let (cert, key) = (folder.join("server.pem"), folder.join("server.key"));
    let tls = aid_cli::tls::server_config(&cert, &key, None).unwrap();
    let tcp = aid_serve::http::bind("127.0.0.1:0").await.unwrap();
    // The kernel accepts its connections, and nobody ever reads them.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let heard = Heard::default();
    let router = Router::new()
        .route("/hook", post(listen))
        .with_state(Arc::clone(&heard));
    for address in [silent.local_addr().unwrap(), tcp.local_addr().unwrap()] {
        let url = json!({"url": format!("https://localhost:{}/hook", address.port())});
        desk.post("/v1/webhooks", &url).await;
    }
    let (trigger, stop) = aid_cli::signal::manual();
    let server = tokio::spawn(aid_serve::http::serve(tcp, Some(tls), router, stop));
    // Three rounds of what may be sent at once, and more: one after the other they would wait ten seconds each.
    const ORDERS: usize = 30;
    for _ in 0..ORDERS {
        let order = json!({"eid": desk.world.eid, "kind": "delete-all", "reason": "sold"});
        let order = desk.post("/v1/orders", &order).await;
        let close = format!("/v1/orders/{}/close", order["order"].as_str().unwrap());
        desk.post(&close, &json!({"reason": "gone"})).await;
    }
    let all = async {
        let events = || -> BTreeSet<String> {
            let heard = heard.lock().unwrap();
            heard.iter().map(|(event, _, _)| event.clone()).collect()
        };
        while events().len() < 2 * ORDERS {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let all = tokio::time::timeout(Duration::from_secs(25), all).await;
    all.expect("the other address hears everything");
    trigger.stop();
    server.await.unwrap();
}

// A name, a reason or a search is never SQL, a path or a header.
#[tokio::test(flavor = "multi_thread")]
async fn texts_of_others_stay_texts() {
    let desk = Desk::new().await;
    let evil = "x'; DROP TABLE vehicle; --";
    let encoded = "x%27%3B%20DROP%20TABLE%20vehicle%3B%20--";
    for path in [
        format!("/v1/vehicles?search={encoded}"),
        format!("/v1/audit?about={encoded}%25_"),
        format!("/v1/audit?actor={encoded}"),
    ] {
        let found = desk.get(&path).await;
        assert!(found["items"].as_array().unwrap().is_empty(), "{path}");
    }
    desk.post("/v1/users/eva/unlock", &json!({"reason": evil}))
        .await;
    let trail = desk.get("/v1/audit?limit=500").await;
    let kept = trail["items"]
        .as_array()
        .unwrap()
        .iter()
        .any(|a| a["why"] == evil);
    assert!(
        kept && !desk
            .world
            .store
            .vehicles(None, 10_000)
            .await
            .unwrap()
            .is_empty()
    );
    let eid: Eid = desk.world.eid;
    desk.world
        .commit(vec![Change::RetireVehicle(eid, 1, evil.into(), None)])
        .await;
    assert_eq!(
        desk.get(&format!("/v1/vehicles/{eid}")).await["retired_reason"],
        evil
    );
}
