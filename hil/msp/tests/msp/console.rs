//! The operator's console as a browser without scripts sees it: who gets in, what each role may do, what can't be taken
//! back, and that nobody else's text or site does anything there.

mod outage;

use crate::stage::*;

use reqwest::{Client, Response};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

const PASSWORD: &str = "correct horse battery";

/// A browser that keeps its cookies, whatever the address: the tests' listener has no TLS, as on an operator's own machine.
struct Browser {
    base: String,
    http: Client,
    cookies: BTreeMap<String, String>,
}

/// An answer.
struct Seen {
    status: u16,
    location: String,
    /// Seconds after which to ask again.
    retry: String,
    text: String,
}

impl Browser {
    fn new(stage: &Stage) -> Self {
        let http = Client::builder().redirect(reqwest::redirect::Policy::none());
        Self {
            base: stage.msp.admin.replace("https:", "http:"),
            http: http.build().unwrap(),
            cookies: BTreeMap::new(),
        }
    }

    async fn seen(&mut self, answer: Response) -> Seen {
        for line in answer.headers().get_all("set-cookie") {
            let line = line.to_str().unwrap();
            for part in ["__Host-", "Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
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
        let retry = header("retry-after");
        if header("content-type").starts_with("text/html") {
            let policy = header("content-security-policy");
            assert!(
                policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'")
            );
            assert_eq!(header("x-frame-options"), "DENY");
        }
        let text = answer.text().await.unwrap();
        Seen {
            status,
            location,
            retry,
            text,
        }
    }

    fn cookie_line(&self) -> String {
        let pairs = self.cookies.iter().map(|(n, v)| format!("{n}={v}"));
        pairs.collect::<Vec<_>>().join("; ")
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
        let csrf = token(&self.get("/console/login").await.text);
        let form = [
            ("csrf", csrf.as_str()),
            ("name", name),
            ("password", password),
        ];
        self.post("/console/login", &form).await
    }

    /// Signs in as somebody, in a browser of their own.
    async fn sign_in_anew(&self, name: &str) -> Seen {
        let mut other = Self {
            base: self.base.clone(),
            http: self.http.clone(),
            cookies: BTreeMap::new(),
        };
        other.sign_in(name, PASSWORD).await
    }

    /// The page of a deed, filled in and sent.
    async fn act(&mut self, deed: &str, reason: &str, confirm: &str) -> Seen {
        let path = format!("/console/do/{deed}");
        let page = self.get(&path).await;
        if page.status != 200 {
            return page;
        }
        let csrf = token(&page.text);
        let form = [
            ("csrf", csrf.as_str()),
            ("reason", reason),
            ("confirm", confirm),
        ];
        self.post(&path, &form).await
    }
}

/// The token of a page's forms.
fn token(page: &str) -> String {
    let value = page.split("name=\"csrf\" value=\"").nth(1).unwrap();
    value.split('"').next().unwrap().to_owned()
}

/// `aid-msp member add`; the password comes on standard input.
fn add_member(stage: &Stage, name: &str, role: &str) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_aid-msp"))
        .args(["member", "add", name, "--role", role, "--config"])
        .arg(stage.folder.path("msp.toml"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "{PASSWORD}").unwrap();
    drop(input);
    assert!(child.wait().unwrap().success());
}

async fn staffed() -> Stage {
    let stage = Stage::new("", "").await;
    for role in ["viewer", "operator", "admin"] {
        add_member(&stage, &format!("the-{role}"), role);
    }
    stage
}

#[tokio::test]
async fn nobody_gets_in_without_a_password_and_nobody_stays_in_without_access() {
    let stage = staffed().await;
    let mut browser = Browser::new(&stage);
    for path in [
        "/console",
        "/console/orders",
        "/console/customers/alice",
        "/console/do/end/alice",
    ] {
        let seen = browser.get(path).await;
        assert_eq!(seen.status, 303, "{path}");
        assert!(
            seen.location.starts_with("/console/login"),
            "{path}: {}",
            seen.location
        );
    }
    for (name, password) in [
        ("the-viewer", "wrong password"),
        ("nobody", PASSWORD),
        ("", ""),
    ] {
        assert_eq!(browser.sign_in(name, password).await.status, 401);
    }
    // A form of another site has no token of this browser.
    let form = [
        ("csrf", "0".repeat(64)),
        ("name", "the-admin".into()),
        ("password", PASSWORD.into()),
    ];
    let form: Vec<(&str, &str)> = form.iter().map(|(n, v)| (*n, v.as_str())).collect();
    assert_eq!(browser.post("/console/login", &form).await.status, 403);
    let seen = browser.sign_in("The-Admin", PASSWORD).await;
    assert_eq!((seen.status, seen.location.as_str()), (303, "/console"));
    let session = browser.cookies.clone();
    assert_eq!(browser.get("/console").await.status, 200);
    // Signed out, the cookie is worth nothing; so it is after another password, and without access.
    let csrf = token(&browser.get("/console").await.text);
    assert_eq!(
        browser
            .post("/console/logout", &[("csrf", &csrf)])
            .await
            .status,
        303
    );
    browser.cookies = session;
    assert_eq!(browser.get("/console").await.status, 303);
    browser.sign_in("the-admin", PASSWORD).await;
    assert_eq!(browser.get("/console").await.status, 200);
    add_member(&stage, "the-admin", "admin");
    assert_eq!(browser.get("/console").await.status, 303);
    stage.msp.command(&["member", "remove", "the-admin"]);
    assert_eq!(browser.sign_in("the-admin", PASSWORD).await.status, 401);
}

#[tokio::test]
async fn a_wrong_password_is_tried_so_often_and_no_more() {
    let stage = staffed().await;
    let mut browser = Browser::new(&stage);
    let mut statuses = Vec::new();
    for n in 0..12 {
        statuses.push(
            browser
                .sign_in("the-admin", &format!("wrong {n}"))
                .await
                .status,
        );
    }
    assert_eq!(statuses[..10], [401; 10]);
    assert_eq!(statuses[10..], [429; 2]);
    assert_eq!(browser.sign_in("the-admin", PASSWORD).await.status, 429);
}

#[tokio::test]
async fn each_role_does_what_it_may_with_a_reason_and_the_trail_says_who() {
    let stage = staffed().await;
    let link = stage.onboard().await;
    let iccid = order(&stage.client(), link, &ac_request())
        .await
        .iccid
        .unwrap();
    let mut viewer = Browser::new(&stage);
    viewer.sign_in("the-viewer", PASSWORD).await;
    let page = viewer.get("/console/subscriptions/alice").await.text;
    assert!(
        page.contains("active") && !page.contains("/console/do/"),
        "{page}"
    );
    assert_eq!(viewer.act("suspend/alice", "why", "").await.status, 403);

    let mut operator = Browser::new(&stage);
    operator.sign_in("the-operator", PASSWORD).await;
    assert_eq!(operator.act("end/alice", "why", "alice").await.status, 403);
    // Without a reason nothing is done.
    for reason in ["", "  ", "two\u{7}lines"] {
        let refused = operator.act("suspend/alice", reason, "").await;
        assert_eq!(refused.status, 422, "{reason:?}");
        assert!(refused.text.contains("Nothing was done"));
    }
    let done = operator.act("suspend/alice", "bill \"<b>\"", "").await;
    assert_eq!(
        (done.status, done.location.as_str()),
        (303, "/console/subscriptions/alice")
    );
    let got = stage.cmp.wait_for("/profiles", 1).await;
    // What goes to the CMP has no markup.
    assert_eq!(got[0].body["profiles"][0]["reason"], "bill \"?b?\"");
    // Nor without a token of the browser's own session.
    let form = [("csrf", "x"), ("reason", "why")];
    assert_eq!(
        operator
            .post("/console/do/resume/alice", &form)
            .await
            .status,
        403
    );

    let mut admin = Browser::new(&stage);
    admin.sign_in("the-admin", PASSWORD).await;
    assert_eq!(admin.act("end/alice", "moved", "bob").await.status, 422);
    assert_eq!(
        stage.msp.command(&["subscription", "list"])[0]["state"],
        "suspended"
    );
    assert_eq!(admin.act("end/alice", "moved", "alice").await.status, 303);
    let rows = stage.msp.command(&["subscription", "list"]);
    assert_eq!(
        (&rows[0]["state"], &rows[0]["onboardings"][0]["state"]),
        (&json!("ended"), &json!("invalidated"))
    );
    let audit = stage.msp.command(&["audit", "list"]);
    let entries = audit
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (&e["actor"], &e["action"], &e["reason"]));
    let entries: Vec<_> = entries.collect();
    for (who, what, why) in [
        ("the-operator", "subscription suspended", "bill \"<b>\""),
        ("the-admin", "subscription ended", "moved"),
    ] {
        assert!(
            entries.contains(&(&json!(who), &json!(what), &json!(why))),
            "{entries:?}"
        );
    }
    let trail = viewer.get("/console/audit").await.text;
    assert!(
        trail.contains("bill &quot;&lt;b&gt;&quot;") && !trail.contains("<b>"),
        "{trail}"
    );
    assert_eq!(
        viewer
            .get(&format!("/console/profiles/{iccid}"))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn everything_is_found_and_a_transaction_is_one_line() {
    let stage = staffed().await;
    let link = stage.onboard().await;
    let (client, call) = (stage.client(), Call::new());
    let request = ac_request();
    let Activation::Now(code) = client
        .request_activation_code(call, link, &request)
        .await
        .unwrap()
    else {
        panic!("the MSP of the tests answers at once");
    };
    let iccid = code.iccid.unwrap();
    let body = SendCsimStatus {
        iccid: iccid.clone(),
        eid: EID.into(),
        status: CsimStatus::Installed,
    };
    let again = Call {
        request_id: Uuid::new_v4(),
        ..call
    };
    client.send_csim_status(again, link, &body).await.unwrap();
    let mut browser = Browser::new(&stage);
    browser.sign_in("the-viewer", PASSWORD).await;
    for (text, path) in [
        ("alice".to_owned(), "customers/alice".to_owned()),
        (link.to_string(), format!("links/{link}")),
        (
            request.request_id.to_string(),
            format!("orders/{}", request.request_id),
        ),
        (iccid.to_string(), format!("profiles/{iccid}")),
        (EID.to_owned(), format!("links/{link}")),
        (
            "+4915112345678".to_owned(),
            "subscriptions/alice".to_owned(),
        ),
        (
            call.correlation_id.to_string(),
            format!("correlations/{}", call.correlation_id),
        ),
    ] {
        let found = browser
            .get(&format!("/console/find?text={}", percent_encode(&text)))
            .await;
        assert_eq!(
            (found.status, found.location),
            (303, format!("/console/{path}")),
            "{text}"
        );
        assert_eq!(
            browser.get(&format!("/console/{path}")).await.status,
            200,
            "{path}"
        );
    }
    let none = browser.get("/console/find?text=%22%3E%3Cscript%3E").await;
    assert!(
        none.status == 200 && !none.text.contains("<script>"),
        "{}",
        none.text
    );
    let line = browser
        .get(&format!("/console/correlations/{}", call.correlation_id))
        .await
        .text;
    let (asked, reported) = (
        line.find("Request Activation Code received").unwrap(),
        line.find("Profile status reported").unwrap(),
    );
    assert!(asked < reported);
    for noun in [
        "customers",
        "subscriptions",
        "links",
        "orders",
        "calls",
        "profiles",
        "cmps",
        "audit",
    ] {
        let page = browser.get(&format!("/console/{noun}")).await;
        assert_eq!(page.status, 200, "{noun}");
        assert_eq!(page.text.matches("<h1>").count(), 1);
    }
    let file = browser.get("/console/orders?format=csv").await;
    assert!(
        file.text.starts_with("request_id,state,") && file.text.lines().count() == 2,
        "{}",
        file.text
    );
    for (path, status) in [
        ("/console/nothing", 404),
        ("/console/orders/1", 404),
        ("/console/orders?state=odd", 422),
        ("/console/orders?after=odd", 422),
        ("/console/customers/a%00b", 400),
        ("/console/do/odd/alice", 404),
    ] {
        assert_eq!(browser.get(path).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn a_call_that_was_given_up_is_made_once_more() {
    let stage = staffed().await;
    stage.onboard().await;
    stage
        .cmp
        .answer(|_, _| (422, json!({"code": "60", "error": "odd"})));
    stage.msp.command(&["update", "--user", "alice"]);
    let mut browser = Browser::new(&stage);
    browser.sign_in("the-operator", PASSWORD).await;
    let dead = async || {
        stage
            .msp
            .command(&["outbox", "list"])
            .as_array()
            .unwrap()
            .iter()
            .any(|j| j["state"] == "dead")
    };
    until("the call is rejected", dead).await;
    let overview = browser.get("/console").await.text;
    assert!(
        overview.contains("Rejected or given up calls"),
        "{overview}"
    );
    let jobs = stage.msp.command(&["outbox", "list"]);
    let job = jobs
        .as_array()
        .unwrap()
        .iter()
        .find(|j| j["state"] == "dead")
        .unwrap();
    // Scripts read times as everybody writes them.
    assert!(job["created_at"].as_str().unwrap().ends_with('Z'));
    let path = format!("retry/{}", job["id"]);
    stage.cmp.answer(cmp);
    assert_eq!(
        browser.act(&path, "the CMP is mended", "").await.status,
        303
    );
    let none = async || !dead().await;
    until("the call is accepted", none).await;
}
