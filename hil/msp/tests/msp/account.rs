//! The touchpoint as a customer uses it who does not come from a CMP: AID.02 §4.2, §4.4.2.

use crate::stage::*;

const BASE: &str = "https://msp.example";

/// A stage whose CMP has a touchpoint, and whose customer has two subscriptions.
async fn stage() -> Stage {
    let more_user = "subscription_type = \"private\"\nfee = \"2 EUR a month\"\n[[subscription]]\nid = \"alice-work\"\n\
                     user = \"alice\"\nmsisdn = \"4915187654321\"\nsubscription_type = \"business\"\n\
                     [[subscription]]\nid = \"alice-old\"\nuser = \"alice\"\nmsisdn = \"4915100000000\"\neligible = false\n\
                     [limits]\nlogin = { per_second = 100.0, burst = 1000 }\n";
    Stage::with(
        &format!("base_url = \"{BASE}\""),
        "touchpoint = \"https://portal.example/touchpoint\"",
        more_user,
    )
    .await
}

struct Customer<'a> {
    browser: reqwest::Client,
    stage: &'a Stage,
}

impl<'a> Customer<'a> {
    async fn log_in(stage: &'a Stage) -> Self {
        let customer = Self {
            browser: stage.browser(),
            stage,
        };
        let csrf = csrf(customer.get("/login").await).await;
        let form = [
            ("user", "alice"),
            ("password", "wonder & land"),
            ("csrf", &csrf),
        ];
        let answer = customer.post("/login", &form).await;
        assert_eq!(
            (answer.status().as_u16(), to(&answer)),
            (303, "/".to_owned())
        );
        customer
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        let url = format!("{}{path}", self.stage.msp.touchpoint);
        self.browser.get(url).send().await.unwrap()
    }

    async fn page(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        answer.text().await.unwrap()
    }

    async fn post(&self, path: &str, form: &[(&str, &str)]) -> reqwest::Response {
        let url = format!("{}{path}", self.stage.msp.touchpoint);
        self.browser.post(url).form(form).send().await.unwrap()
    }

    async fn csrf(&self, path: &str) -> String {
        csrf(self.get(path).await).await
    }
}

fn to(answer: &reqwest::Response) -> String {
    answer.headers()["location"].to_str().unwrap().to_owned()
}

// R-2-5, R-4.2-1 to R-4.2-3, R-4.2-7 to R-4.2-10, R-7.1b-1, R-7.1b-3, R-4.1-7
#[tokio::test]
async fn onboarding_begins_here_and_ends_here() {
    let stage = stage().await;
    let customer = Customer::log_in(&stage).await;
    let page = customer.page("/").await;
    assert!(
        page.contains("*********678") && page.contains("*********321"),
        "{page}"
    );
    assert!(
        page.contains("private") && page.contains("business") && !page.contains("4915112345678")
    );
    let csrf = customer.csrf("/").await;
    let answer = customer
        .post("/connect", &[("csrf", &csrf), ("cmp", "CmpOne")])
        .await;
    let away = to(&answer);
    let start = "https://portal.example/touchpoint?redirect_uri=https%3A%2F%2Fmsp.example%2Freturn%3Fstate%3D";
    let state = away
        .strip_prefix(start)
        .unwrap_or_else(|| panic!("{away}"))
        .to_owned();

    // An account id that comes with another value is somebody else's idea.
    let id = account_id(None);
    let forged = customer.get(&format!("/return?state=0123&id={id}")).await;
    assert_eq!(forged.status(), 400);
    let back = format!("/return?state={state}&id={id}");
    let stranger = stage
        .browser()
        .get(format!("{}{back}", stage.msp.touchpoint));
    assert_eq!(stranger.send().await.unwrap().status(), 403);
    let answer = customer.get(&back).await;
    assert_eq!(
        (answer.status().as_u16(), to(&answer)),
        (303, "/consent".to_owned())
    );
    assert_eq!(customer.get(&back).await.status(), 400, "once");

    let page = customer.page("/consent").await;
    let sid = aid_aid1::account_id::verify(
        id.as_str(),
        &[SECRET.parse().unwrap()],
        &aid_aid1::account_id::Policy::default(),
        now(),
    );
    let code = aid_aid1::check_code::check_code(sid.unwrap().sid);
    for part in [
        "Test Cars",
        "2 EUR a month",
        "alice-work",
        "the phone number",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    // The CMP showed no code on its page: none is shown here either.
    assert!(!page.contains(&code), "{page}");
    assert!(
        !page.contains("alice-old"),
        "R-A.1-1: the option cannot be booked for it"
    );
    let csrf = customer.csrf("/consent").await;
    let form = [
        ("csrf", csrf.as_str()),
        ("decision", "allow"),
        ("subscription", "alice-work"),
    ];
    let answer = customer.post("/consent", &form).await;
    assert_eq!(
        (answer.status().as_u16(), to(&answer)),
        (303, "/".to_owned())
    );
    let got = &stage.cmp.got()[0];
    assert_eq!(
        (got.path.as_str(), &got.body["subscriptionType"]),
        (
            format!("/cesim/msp/v1/users/{id}").as_str(),
            &json!("business")
        )
    );
    let page = customer.page("/").await;
    assert!(
        page.contains("is connected") && page.contains("0 profiles in use"),
        "{page}"
    );
    assert!(
        !customer.page("/").await.contains("is connected. Log in"),
        "said once"
    );
    let audit = stage.msp.command(&["audit", "list", "--json"]);
    let actions: Vec<_> = audit
        .as_array()
        .unwrap()
        .iter()
        .map(|a| a["action"].as_str().unwrap())
        .collect();
    assert_eq!(actions, ["logged in", "connected"]);
}

// R-7.2.2-1: the CMP's refusals become pages, and nothing is connected.
#[tokio::test]
async fn a_refusal_of_the_cmp_is_a_page() {
    let stage = stage().await;
    let customer = Customer::log_in(&stage).await;
    for (answer, status, says) in [
        ("code=102&error=x", 200, "did not agree"),
        ("code=103&error=x", 200, "could not do it"),
        ("id=not-an-id", 400, "not valid"),
        ("id=a&id=b", 400, "start again"),
    ] {
        let csrf = customer.csrf("/").await;
        let away = to(&customer
            .post("/connect", &[("csrf", &csrf), ("cmp", "CmpOne")])
            .await);
        let state = away.rsplit("%3D").next().unwrap();
        let page = customer
            .get(&format!("/return?state={state}&{answer}"))
            .await;
        assert_eq!(page.status(), status, "{answer}");
        assert!(page.text().await.unwrap().contains(says), "{answer}");
    }
    assert!(stage.cmp.got().is_empty());
    let csrf = customer.csrf("/").await;
    assert_eq!(
        customer
            .post("/connect", &[("csrf", &csrf), ("cmp", "Nobody")])
            .await
            .status(),
        404
    );
}

// R-4.4.2-1, R-4.4.2-6, R-A.1-1
#[tokio::test]
async fn a_customer_ends_his_own_connection_only() {
    let stage = stage().await;
    let token = stage.onboard().await;
    let customer = Customer::log_in(&stage).await;
    assert!(
        customer
            .page("/")
            .await
            .contains(&format!("/end?token={token}"))
    );
    let strange = MspToken::from_bytes([9; 16]);
    assert_eq!(
        customer
            .get(&format!("/end?token={strange}"))
            .await
            .status(),
        404
    );
    assert_eq!(customer.get("/end?token=x").await.status(), 404);
    let ask = format!("/end?token={token}");
    assert!(customer.page(&ask).await.contains("Test Cars"));
    let csrf = customer.csrf(&ask).await;
    let token_text = token.to_string();
    let wrong = [("csrf", "0123"), ("token", token_text.as_str())];
    assert_eq!(customer.post("/end", &wrong).await.status(), 403);
    let form = [("csrf", csrf.as_str()), ("token", token_text.as_str())];
    assert_eq!(customer.post("/end", &form).await.status(), 303);
    let got = stage.cmp.wait_for("/invalidate", 1).await;
    assert!(got[0].path.contains(&token_text));
    assert!(
        customer
            .page("/")
            .await
            .contains("The connection has ended")
    );
    assert_eq!(customer.get(&ask).await.status(), 404, "it is over");
    // Out: the session is gone.
    let csrf = customer.csrf("/").await;
    assert_eq!(
        customer.post("/logout", &[("csrf", &csrf)]).await.status(),
        303
    );
    assert_eq!(to(&customer.get("/").await), "/login");
}

#[tokio::test]
async fn a_login_changes_the_session_and_pages_are_protected() {
    let stage = stage().await;
    let browser = stage.browser();
    let base = &stage.msp.touchpoint;
    let page = browser.get(format!("{base}/login")).send().await.unwrap();
    let cookie = |r: &reqwest::Response| {
        r.headers()["set-cookie"]
            .to_str()
            .unwrap()
            .split(';')
            .next()
            .unwrap()
            .to_owned()
    };
    let before = cookie(&page);
    for (name, value) in [
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "no-store"),
        ("x-frame-options", "DENY"),
    ] {
        assert_eq!(page.headers()[name], value);
    }
    let csrf = csrf(page).await;
    let form = [
        ("user", "alice"),
        ("password", "wonder & land"),
        ("csrf", &csrf),
    ];
    let answer = browser
        .post(format!("{base}/login"))
        .form(&form)
        .send()
        .await
        .unwrap();
    assert_ne!(cookie(&answer), before);
    // Who knew the value of before has nothing.
    let old = stage.browser_without_cookies();
    let answer = old
        .get(format!("{base}/"))
        .header("cookie", before)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.headers()["location"], "/login");
    // A name that nobody has is counted and refused as one that somebody has.
    let mut seen = Vec::new();
    for user in ["nobody", "alice"] {
        let browser = stage.browser();
        let mut value =
            crate::stage::csrf(browser.get(format!("{base}/login")).send().await.unwrap()).await;
        let mut statuses = Vec::new();
        for _ in 0..11 {
            let form = [("user", user), ("password", "wrong"), ("csrf", &value)];
            let answer = browser
                .post(format!("{base}/login"))
                .form(&form)
                .send()
                .await
                .unwrap();
            statuses.push(answer.status().as_u16());
            value = crate::stage::csrf(answer).await;
        }
        seen.push(statuses);
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0].last(), Some(&429));
}
