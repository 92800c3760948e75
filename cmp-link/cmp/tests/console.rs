//! The operator's console as a browser without scripts sees it: who gets in, what each role may do, what can't be taken
//! back, and that nobody else's text or site does anything there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use aid_cmp::operator::Operator;
use aid_cmp::service::fresh;
use aid_cmp_core::change::Change;
use aid_cmp_core::decide::{Context, Policy};
use aid_cmp_core::model::{Call, CallKind, CallState, OrderState, Role, Vehicle};
use aid_id::Secret;
use aid_wire::OrderKind;
use reqwest::{Client, Response};
use std::collections::BTreeMap;
use world::World;

const PASSWORD: &str = "correct horse battery";

/// A browser that keeps its cookies, whatever the address: the tests' listener has no TLS, as on an operator's own machine.
struct Browser {
    base: String,
    http: Client,
    cookies: BTreeMap<String, String>,
}

struct Seen {
    status: u16,
    location: String,
    kind: String,
    text: String,
}

impl Browser {
    fn new(world: &World) -> Self {
        let http = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self {
            base: format!("http://{}", world.admin),
            http,
            cookies: BTreeMap::new(),
        }
    }

    async fn seen(&mut self, answer: Response) -> Seen {
        for line in answer.headers().get_all("set-cookie") {
            let line = line.to_str().unwrap();
            for part in ["Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
                assert!(line.contains(part), "{line}");
            }
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            match value {
                "" => drop(self.cookies.remove(name)),
                value => drop(self.cookies.insert(name.to_owned(), value.to_owned())),
            }
        }
        let header = |name: &str| {
            let value = answer.headers().get(name);
            value.map_or(String::new(), |v| v.to_str().unwrap().to_owned())
        };
        let (status, location) = (answer.status().as_u16(), header("location"));
        let kind = header("content-type");
        if kind.starts_with("text/html") {
            let policy = header("content-security-policy");
            assert!(
                policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'")
            );
            assert_eq!(
                (
                    header("x-frame-options").as_str(),
                    header("cache-control").as_str()
                ),
                ("DENY", "no-store")
            );
        }
        let text = answer.text().await.unwrap();
        Seen {
            status,
            location,
            kind,
            text,
        }
    }

    fn cookie_line(&self) -> String {
        let pairs: Vec<String> = self
            .cookies
            .iter()
            .map(|(n, v)| format!("{n}={v}"))
            .collect();
        pairs.join("; ")
    }

    async fn get(&mut self, path: &str) -> Seen {
        let request = self.http.get(format!("{}{path}", self.base));
        let answer = request.header("cookie", self.cookie_line()).send().await;
        self.seen(answer.unwrap()).await
    }

    async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Seen {
        let request = self.http.post(format!("{}{path}", self.base)).form(form);
        let answer = request.header("cookie", self.cookie_line()).send().await;
        self.seen(answer.unwrap()).await
    }

    async fn sign_in(&mut self, name: &str, password: &str) -> Seen {
        let page = self.get("/console/login").await;
        let csrf = world::csrf(&page.text);
        let form = [
            ("csrf", csrf.as_str()),
            ("name", name),
            ("password", password),
        ];
        self.post("/console/login", &form).await
    }

    /// The page of a deed, filled in and sent.
    async fn act(&mut self, path: &str, more: &[(&str, &str)]) -> Seen {
        let page = self.get(path).await;
        if page.status != 200 {
            return page;
        }
        let csrf = world::csrf(&page.text);
        let form: Vec<(&str, &str)> = [("csrf", csrf.as_str())]
            .into_iter()
            .chain(more.iter().copied())
            .collect();
        self.post(path, &form).await
    }
}

/// A world where somebody of each role may sign in.
async fn staffed() -> World {
    let world = World::new().await;
    let (store, file) = (
        world.store.0.clone(),
        aid_cmp::config::read(&world.config()).unwrap(),
    );
    let operator = Operator {
        store: &store,
        file: &file,
        who: "test".into(),
        once: None,
    };
    let secret = Secret::new(PASSWORD.into());
    for (name, role) in [
        ("vic", Role::Viewer),
        ("ole", Role::Operator),
        ("ada", Role::Admin),
    ] {
        operator
            .put_member(name, role, Some(&secret), None)
            .await
            .unwrap();
    }
    world
}

async fn seated(world: &World, name: &str) -> Browser {
    let mut browser = Browser::new(world);
    let seen = browser.sign_in(name, PASSWORD).await;
    assert_eq!((seen.status, seen.location.as_str()), (303, "/console"));
    browser
}

fn context() -> Context {
    Context {
        now: 1_000,
        fresh,
        random: fresh,
        policy: Policy::default(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_anything_before_signing_in() {
    let world = staffed().await;
    let mut stranger = Browser::new(&world);
    for path in [
        "/console",
        "/console/vehicles",
        "/console/orders",
        "/console/calls",
        "/console/users",
        "/console/msps",
        "/console/audit",
        "/console/find?text=x",
        "/console/vehicles/1",
        "/console/users/eva",
        "/console/do/retire-vehicle/1",
        "/console/vehicles?format=csv",
        "/console/audit?format=csv",
    ] {
        let seen = stranger.get(path).await;
        assert_eq!((seen.status, seen.text.as_str()), (303, ""), "{path}");
        let to = seen.location.split('?').next();
        assert_eq!(to, Some("/console/login"), "{path}");
    }
    let before = stranger.cookies.clone();
    // A cookie that the browser had before is not the one of the session.
    let wrong = stranger.sign_in("ada", "wrong password").await;
    let unknown = stranger.sign_in("nobody", "wrong password").await;
    assert_eq!((wrong.status, unknown.status), (401, 401));
    // What is said of a name that nobody has is the same.
    let plain = |text: &str| text.replace("nobody", "ada").replace(char::is_numeric, "");
    assert_eq!(plain(&wrong.text).len(), plain(&unknown.text).len());
    stranger
        .cookies
        .insert("__Host-aid-desk".into(), "a".repeat(64));
    let fixed = stranger.cookies["__Host-aid-desk"].clone();
    assert_eq!(stranger.sign_in("Ada ", PASSWORD).await.status, 303);
    assert_ne!(stranger.cookies["__Host-aid-desk"], fixed);
    assert_ne!(stranger.cookies, before);
    assert_eq!(stranger.get("/console").await.status, 200);
    // Signed out, the cookie opens nothing.
    let kept = stranger.cookies.clone();
    let page = stranger.get("/console").await;
    stranger
        .post("/console/logout", &[("csrf", &world::csrf(&page.text))])
        .await;
    stranger.cookies = kept;
    assert_eq!(stranger.get("/console").await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_lock_the_name_and_are_seen() {
    let world = staffed().await;
    let mut browser = Browser::new(&world);
    for _ in 0..5 {
        assert_eq!(browser.sign_in("vic", "wrong password").await.status, 401);
    }
    let seen = browser.sign_in("vic", PASSWORD).await;
    assert!(
        seen.status == 401 && seen.text.contains("Try again in"),
        "{}",
        seen.text
    );
    let mut other = seated(&world, "ada").await;
    let trail = other.get("/console/audit?actor=console").await.text;
    assert_eq!(trail.matches("login refused").count(), 5);
}

// Another site can send a browser's cookies, but has not the token of its forms.
#[tokio::test(flavor = "multi_thread")]
async fn a_form_of_another_site_does_nothing() {
    let world = staffed().await;
    let mut ada = seated(&world, "ada").await;
    let mut ole = seated(&world, "ole").await;
    let theirs = world::csrf(&ole.get("/console").await.text);
    let path = format!("/console/do/retire-vehicle/{}", world.eid);
    let end = &world.eid.as_str()[26..];
    for csrf in ["", "x", theirs.as_str(), &"0".repeat(64)] {
        let form = [("csrf", csrf), ("reason", "x"), ("confirm", end)];
        let seen = ada.post(&path, &form).await;
        assert_eq!(seen.status, 403, "{csrf}");
    }
    assert_eq!(ada.post(&path, &[("reason", "x")]).await.status, 403);
    // Nor can one sign a browser in as somebody else.
    let mut fresh = Browser::new(&world);
    let form = [
        ("csrf", theirs.as_str()),
        ("name", "ole"),
        ("password", PASSWORD),
    ];
    assert_eq!(fresh.post("/console/login", &form).await.status, 403);
    // GET does nothing.
    assert_eq!(
        ada.get(&format!("{path}?reason=x&confirm={end}"))
            .await
            .status,
        200
    );
    let vehicle = world.store.vehicle(world.eid).await.unwrap().unwrap();
    assert_eq!(vehicle.retired_at, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_does_what_it_may_with_a_reason() {
    let world = staffed().await;
    world.federate().await;
    let order = context().order(world.eid, OrderKind::DeleteAll, "test");
    let id = uuid::Uuid::from_bytes(order.id).to_string();
    world.commit(vec![Change::AddOrder(order.clone())]).await;
    let close = format!("/console/do/close-order/{id}");
    let retire = format!("/console/do/retire-vehicle/{}", world.eid);
    let end = id[30..].to_owned();
    let mut vic = seated(&world, "vic").await;
    for path in [
        close.as_str(),
        &retire,
        "/console/do/unlock-user/eva",
        "/console/do/erase-user/eva",
    ] {
        assert_eq!(vic.get(path).await.status, 403, "{path}");
        let csrf = world::csrf(&vic.get("/console").await.text);
        let form = [
            ("csrf", csrf.as_str()),
            ("reason", "x"),
            ("confirm", end.as_str()),
        ];
        assert_eq!(vic.post(path, &form).await.status, 403, "{path}");
    }
    // No buttons either.
    assert!(
        !vic.get(&format!("/console/orders/{id}"))
            .await
            .text
            .contains("/console/do/")
    );
    let mut ole = seated(&world, "ole").await;
    assert!(
        ole.get(&format!("/console/orders/{id}"))
            .await
            .text
            .contains("/console/do/close-order")
    );
    assert_eq!(ole.get(&retire).await.status, 403);
    // What can't be taken back is typed; what was said before stays in the form.
    for confirm in ["", "wrong", &id] {
        let seen = ole
            .act(&close, &[("reason", "scrapped car"), ("confirm", confirm)])
            .await;
        assert!(
            seen.status == 422 && seen.text.contains("value=\"scrapped car\""),
            "{}",
            seen.text
        );
    }
    for reason in ["", "  "] {
        let seen = ole
            .act(&close, &[("reason", reason), ("confirm", &end)])
            .await;
        assert_eq!(seen.status, 422);
    }
    let look = async || {
        world
            .read(async move |tx| tx.order(order.id).await)
            .await
            .unwrap()
    };
    assert_eq!(look().await.state, OrderState::Open);
    let seen = ole
        .act(&close, &[("reason", "scrapped car"), ("confirm", &end)])
        .await;
    assert_eq!(
        (seen.status, seen.location),
        (303, format!("/console/orders/{id}"))
    );
    assert_eq!(look().await.state, OrderState::Closed);
    // A second click finds it done.
    assert_eq!(
        ole.act(&close, &[("reason", "again"), ("confirm", &end)])
            .await
            .status,
        409
    );
    let replay = ole
        .act(
            &format!("/console/do/replay-order/{id}"),
            &[("reason", "it came back")],
        )
        .await;
    assert!(replay.status == 303 && !replay.location.ends_with(&id));
    assert_eq!(
        ole.act("/console/do/unlock-user/eva", &[("reason", "called")])
            .await
            .status,
        303
    );
    let mut ada = seated(&world, "ada").await;
    let car = &world.eid.as_str()[26..];
    assert_eq!(
        ada.act(&retire, &[("reason", "sold"), ("confirm", car)])
            .await
            .status,
        303
    );
    let shown = ada
        .get(&format!("/console/vehicles/{}", world.eid))
        .await
        .text;
    assert!(shown.contains("sold") && !shown.contains("/console/do/retire"));
    // Who did what, and why.
    let trail = ada.get("/console/audit").await.text;
    for part in [
        "ole",
        "scrapped car",
        "it came back",
        "called",
        "ada",
        "vehicle retired",
    ] {
        assert!(trail.contains(part), "{part}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn problems_stay_until_they_are_solved_and_lead_to_their_pages() {
    let world = staffed().await;
    world.federate().await;
    let federation = world
        .read(async |tx| tx.all_federations(None, 1).await)
        .await
        .remove(0);
    let call = Call {
        state: CallState::Dead,
        last_error: Some("<b>no</b>".into()),
        ..context().call(&federation, CallKind::Status, "lane".into())
    };
    let waiting = Call {
        attempts: 7,
        // Later than this test takes, and no later than a right clock puts a call off.
        next_at: aid_cmp::service::now() + 600_000,
        ..context().call(&federation, CallKind::Status, "other".into())
    };
    let order = context().order(world.eid, OrderKind::DeleteAll, "test");
    let (call_id, order_id) = (
        uuid::Uuid::from_bytes(call.id),
        uuid::Uuid::from_bytes(order.id),
    );
    let correlation = uuid::Uuid::from_bytes(order.correlation);
    world
        .commit(vec![
            Change::AddCall(call),
            Change::AddCall(waiting),
            Change::AddOrder(order),
        ])
        .await;
    let mut ada = seated(&world, "ada").await;
    let page = ada.get("/console").await.text;
    for part in [
        "was given up: &lt;b&gt;no&lt;/b&gt;",
        "has not answered 7 tries",
        "has not carried out",
        &format!("/console/calls/{call_id}"),
        &format!("/console/orders/{order_id}"),
        "<time datetime=",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    for (text, to) in [
        (order_id.to_string(), format!("/console/orders/{order_id}")),
        (call_id.to_string(), format!("/console/calls/{call_id}")),
        (
            correlation.to_string(),
            format!("/console/correlations/{correlation}"),
        ),
        ("Eva".into(), "/console/users/Eva".into()),
        (
            world.eid.to_string(),
            format!("/console/vehicles?search={}", world.eid),
        ),
    ] {
        assert_eq!(
            ada.get(&format!("/console/find?text={text}"))
                .await
                .location,
            to
        );
    }
    let line = ada
        .get(&format!("/console/correlations/{correlation}"))
        .await;
    assert!(line.status == 200 && line.text.contains("given"));
    for path in [
        "/console/calls/x",
        "/console/vehicles/1",
        "/console/nothing",
        "/console/users/%00",
        "/console/do/x/y",
    ] {
        assert!(
            matches!(ada.get(path).await.status, 400 | 404 | 422),
            "{path}"
        );
    }
}

// Whoever names cars, users or reasons runs nothing in an operator's browser or spreadsheet.
#[tokio::test(flavor = "multi_thread")]
async fn texts_of_others_run_nothing() {
    let world = staffed().await;
    let attack = "=cmd|' /C calc'!A0\"><script>alert(1)</script>";
    let eid = world::eid(77);
    let vehicle = Vehicle {
        software: Some(attack.into()),
        retired_reason: Some(attack.into()),
        vin: Some(attack.into()),
        ..Vehicle::new(eid, 1)
    };
    let audit = context().audit_because(
        "operator",
        "vehicle added",
        eid.to_string(),
        Some(attack.into()),
    );
    world.commit(vec![Change::AddVehicle(vehicle), audit]).await;
    let mut ada = seated(&world, "ada").await;
    let encoded = "%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E";
    for path in [
        "/console/vehicles".to_owned(),
        format!("/console/vehicles/{eid}"),
        format!("/console/vehicles?search={encoded}"),
        "/console/audit?days=30000".to_owned(),
        format!("/console/audit?about={encoded}&actor={encoded}"),
        format!("/console/users/{encoded}"),
        format!("/console/do/unlock-user/{encoded}"),
        format!("/console/vehicles?after={encoded}"),
    ] {
        let seen = ada.get(&path).await;
        assert!(!seen.text.contains("<script>"), "{path}: {}", seen.text);
    }
    let file = ada.get("/console/vehicles?format=csv").await;
    assert!(
        file.kind.starts_with("text/csv") && file.text.contains("'=cmd|"),
        "{}",
        file.text
    );
    assert!(file.text.lines().count() == 4 && file.text.starts_with("eid,vin,online"));
    let trail = ada.get("/console/audit?days=30000&format=csv").await;
    assert!(!trail.text.contains(",=cmd") && !trail.text.contains("\"=cmd"));
}
