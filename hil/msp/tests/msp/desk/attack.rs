//! What other sites, other companies and links of strangers try.

use super::*;
use aid_cli::signal;
use aid_serve::http;
use axum::Router;
use axum::response::Html;
use axum::routing::get;

/// A site of somebody else, as long as the trigger lives; yields its port.
async fn site(console: &str) -> (u16, signal::Trigger) {
    let frame = format!("<iframe src=\"{console}/console\"></iframe><p>bait</p>");
    let fields = "<input name=csrf value=0><input name=once value=0><input name=reason value=fun>";
    let form = format!(
        "<form method=post action=\"{console}/console/do/suspend/alice\">{fields}<button>Win</button></form>"
    );
    let login = format!(
        "<form method=post action=\"{console}/console/login\"><input name=csrf value=0><input name=name value=kim>\
         <input name=password value=\"{PASSWORD}\"><button>Win</button></form>"
    );
    let page = |text: String| get(async move || Html(text));
    let router = Router::new()
        .route("/frame", page(frame))
        .route("/form", page(form))
        .route("/login", page(login));
    let listener = http::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (trigger, stop) = signal::manual();
    tokio::spawn(http::serve(listener, None, router, stop));
    (port, trigger)
}

#[tokio::test(flavor = "multi_thread")]
async fn another_site_does_nothing_with_the_browser_of_a_member() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let staffed = Staffed::new("The number is not known.").await;
    let stage = &staffed.stage;
    let (port, _site) = site(&base(stage)).await;
    open(&browser, stage, "/console").await;
    browser.sees("Overview").await;
    // The second is of the same site for cookies, and sends them.
    for host in ["127.0.0.1", "localhost"] {
        let there = format!("http://{host}:{port}");
        browser.goto(&format!("{there}/form")).await;
        browser.press("Win").await;
        // Without the cookie the form leads by the sign-in, where the browser has it, to the page of the deed.
        let said = match host {
            "localhost" => "The page was too old",
            _ => "Cancel",
        };
        browser.sees(said).await;
        assert_eq!(audited(stage, "subscription suspended"), 0);
        // No clicks are led astray: the console is in no frame of others.
        browser.goto(&format!("{there}/frame")).await;
        browser.sees("bait").await;
        let driver = &browser.driver;
        driver.enter_frame(0).await.unwrap();
        let text = browser.text().await;
        assert!(
            !text.contains("Overview") && !text.contains("Sign in"),
            "{text}"
        );
        driver.enter_default_frame().await.unwrap();
        // Nobody is signed in as somebody else, whose searches they would see.
        let before = audited(stage, "signed in");
        browser.goto(&format!("{there}/login")).await;
        browser.press("Win").await;
        browser.sees("The page was too old").await;
        assert_eq!(audited(stage, "signed in"), before);
    }
    browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_of_a_stranger_leads_nowhere_else() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let stage = Stage::new("", "").await;
    add_member(&stage, "kim", "admin");
    let base = base(&stage);
    for next in [
        "https://evil.example/console",
        "//evil.example/console",
        "/\\evil.example",
        "/console/\\..\\\\evil.example",
        "javascript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "/console@evil.example",
        "/console/login?next=//evil.example",
        "\"><script>window.hacked=1</script>",
    ] {
        let address = format!("{base}/console/login?next={}", percent_encode(next));
        for signed_in in [false, true] {
            browser.goto(&address).await;
            if !signed_in {
                assert_eq!(browser.js("return window.hacked").await, Value::Null);
                sign_in(&browser, "kim").await;
            }
            arrives(&browser, "/console").await;
            let origin = browser.js("return location.origin").await;
            assert_eq!(origin, json!(base), "{next}");
        }
        browser.press("Sign out").await;
        arrives(&browser, "/console/login").await;
    }
    browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_that_was_planted_is_no_session() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let stage = Stage::new("", "").await;
    add_member(&stage, "kim", "admin");
    let session = "__Host-aid-msp-desk";
    browser.goto(&format!("{}/console", base(&stage))).await;
    let planted = "a".repeat(64);
    let mut cookie = Cookie::new(session, planted.clone());
    cookie.set_path("/");
    cookie.set_secure(true);
    browser.driver.add_cookie(cookie.clone()).await.unwrap();
    open(&browser, &stage, "/console").await;
    browser.sees("Overview").await;
    let own = browser.driver.get_named_cookie(session).await.unwrap();
    assert!(own.value != planted && own.value.len() == 64);
    // No script of a page sees it.
    assert_eq!(browser.js("return document.cookie").await, json!(""));
    // After the sign-out it opens nothing, and neither does the planted one.
    browser.press("Sign out").await;
    arrives(&browser, "/console/login").await;
    for value in [own.value.clone(), planted] {
        cookie.value = value;
        browser.driver.add_cookie(cookie.clone()).await.unwrap();
        browser.goto(&format!("{}/console", base(&stage))).await;
        browser.sees("Sign in to the console").await;
    }
    browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cmps_and_customers_are_called_runs_nothing() {
    const ATTACK: &str = "\"'><img src=x onerror=window.hacked=1><script>window.hacked=1</script>";
    let Some(browser) = Browser::start().await else {
        return;
    };
    let staffed = Staffed::new(ATTACK).await;
    let stage = &staffed.stage;
    with_password(stage, &["customer", "add", ATTACK]);
    let attack = percent_encode(ATTACK);
    for path in [
        "/console".to_owned(),
        "/console/calls".into(),
        format!("/console/calls/{}", staffed.dead),
        "/console/customers".into(),
        format!("/console/customers/{attack}"),
        "/console/audit".into(),
        format!("/console/find?text={attack}x"),
        format!("/console/do/end/{attack}"),
        format!("/console/orders/{attack}"),
    ] {
        open(&browser, stage, &path).await;
        browser.sees("onerror").await;
        assert_eq!(browser.js("return window.hacked").await, Value::Null);
        let others = "return document.querySelectorAll('img, script:not([src]), [onerror]').length";
        assert_eq!(browser.js(others).await, json!(0), "{path}");
    }
    // What is typed into a form and comes back in it.
    open(&browser, stage, "/console/do/end/alice").await;
    browser.fill("reason", ATTACK).await;
    browser.fill("confirm", ATTACK).await;
    browser.press("End the subscription").await;
    browser.sees("Nothing was done").await;
    let typed = "return document.querySelector('[name=reason]').value";
    assert_eq!(browser.js(typed).await, json!(ATTACK));
    assert_eq!(browser.js("return window.hacked").await, Value::Null);
    browser.quit().await;
}
