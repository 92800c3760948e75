//! How the pages look, and that they can be used without scripts and without a mouse.

use super::*;

/// First visit and later ones, bytes.
const WEIGHT: [f64; 2] = [60_000.0, 15_000.0];

impl Staffed {
    /// Each page with a name for its pictures.
    fn pages(&self) -> Vec<(&'static str, String)> {
        let fixed = [
            ("overview", "/console"),
            ("customers", "/console/customers"),
            ("subscriptions", "/console/subscriptions"),
            ("links", "/console/links"),
            ("orders", "/console/orders?state=done"),
            ("calls", "/console/calls?state="),
            ("profiles", "/console/profiles"),
            ("cmps", "/console/cmps"),
            ("audit", "/console/audit"),
            ("customer", "/console/customers/alice"),
            ("subscription", "/console/subscriptions/alice"),
            ("not-found", "/console/find?text=nobody"),
            ("suspend", "/console/do/suspend/alice"),
            ("end", "/console/do/end/alice"),
            ("refused", "/console/do/nothing/alice"),
        ];
        let own = [
            ("link", format!("/console/links/{}", self.link)),
            ("order", format!("/console/orders/{}", self.request)),
            ("call", format!("/console/calls/{}", self.dead)),
            ("profile", format!("/console/profiles/{}", self.iccid)),
            (
                "transaction",
                format!("/console/correlations/{}", self.correlation),
            ),
        ];
        let fixed = fixed.map(|(name, path)| (name, path.to_owned()));
        fixed.into_iter().chain(own).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_readable_in_all_sizes_and_colours() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let staffed = Staffed::new("The number is not known.").await;
    let base = base(&staffed.stage);
    let weight = "return performance.getEntries().filter(e => e.decodedBodySize)\
        .reduce((all, e) => all + e.decodedBodySize, 0)";
    browser.goto(&format!("{base}/console")).await;
    let bytes = browser.js(weight).await.as_f64().unwrap();
    assert!(bytes > 0.0 && bytes <= WEIGHT[0], "{bytes} bytes at first");
    browser.show("70-msp-console-sign-in").await;
    browser.fill("name", "kim").await;
    browser.fill("password", "not the password").await;
    browser.press("Sign in").await;
    browser.sees("The name or the password is wrong").await;
    browser.show("71-msp-console-sign-in-wrong").await;
    sign_in(&browser, "kim").await;
    browser.sees("Overview").await;
    for (name, path) in staffed.pages() {
        open(&browser, &staffed.stage, &path).await;
        let page = "return performance.getEntriesByType('navigation')[0].decodedBodySize";
        let bytes = browser.js(page).await.as_f64().unwrap();
        assert!(bytes <= WEIGHT[1], "{name}: {bytes} bytes");
        browser.show(&format!("72-msp-console-{name}")).await;
    }
    // What was wrong with a form is at its field.
    open(&browser, &staffed.stage, "/console/do/end/alice").await;
    browser.fill("reason", "moved").await;
    browser.fill("confirm", "bob").await;
    browser.press("End the subscription").await;
    browser.sees("Nothing was done").await;
    let reason = "return document.querySelector('[name=reason]').value";
    assert_eq!(browser.js(reason).await, json!("moved"));
    browser.show("73-msp-console-end-wrong").await;
    browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_usable_without_scripts() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let staffed = Staffed::new("The number is not known.").await;
    browser.scripts(false).await;
    open(&browser, &staffed.stage, "/console").await;
    browser.sees("Rejected or given up calls").await;
    for (name, path) in staffed.pages() {
        browser.scripts(false).await;
        open(&browser, &staffed.stage, &path).await;
        // axe is a script, too; those of the page have had their time.
        browser.scripts(true).await;
        browser.show(&format!("74-msp-console-plain-{name}")).await;
    }
    browser.scripts(false).await;
    open(&browser, &staffed.stage, "/console").await;
    browser.press("Subscriptions").await;
    browser.press("alice").await;
    arrives(&browser, "/console/subscriptions/alice").await;
    browser.press("Suspend the subscription").await;
    browser.fill("reason", "bill not paid").await;
    browser.press("Suspend the subscription").await;
    arrives(&browser, "/console/subscriptions/alice").await;
    browser.sees("Resume the subscription").await;
    browser.press("Sign out").await;
    arrives(&browser, "/console/login").await;
    browser.quit().await;
}

/// The key that follows a link or presses a button.
async fn enter(browser: &Browser, wanted: &str) {
    browser.tab_to(wanted).await;
    browser.key(Key::Enter).await;
}

async fn type_into(browser: &Browser, name: &str, text: &str) {
    browser.tab_to(name).await;
    let field = browser.driver.active_element().await.unwrap();
    field.send_keys(text).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_done_by_keyboard_alone() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let staffed = Staffed::new("The number is not known.").await;
    let stage = &staffed.stage;
    browser.goto(&format!("{}/console", base(stage))).await;
    type_into(&browser, "name", "kim").await;
    type_into(&browser, "password", PASSWORD).await;
    enter(&browser, "Sign in").await;
    arrives(&browser, "/console").await;
    // The first stop leads past the navigation.
    browser.key(Key::Tab).await;
    assert_eq!(browser.focus().await, "Skip to the content");
    browser.key(Key::Enter).await;
    type_into(&browser, "text", "alice").await;
    enter(&browser, "Find").await;
    arrives(&browser, "/console/customers/alice").await;
    enter(&browser, "Subscriptions").await;
    arrives(&browser, "/console/subscriptions").await;
    open(&browser, stage, "/console/subscriptions/alice").await;
    enter(&browser, "End the subscription").await;
    arrives(&browser, "/console/do/end/alice").await;
    // Without a reason the browser leads back to the field.
    type_into(&browser, "confirm", "alice").await;
    enter(&browser, "End the subscription").await;
    assert_eq!(browser.focus().await, "reason");
    let field = browser.driver.active_element().await.unwrap();
    field.send_keys("moved").await.unwrap();
    enter(&browser, "End the subscription").await;
    arrives(&browser, "/console/subscriptions/alice").await;
    assert_eq!(audited(stage, "subscription ended"), 1);
    enter(&browser, "Sign out").await;
    arrives(&browser, "/console/login").await;
    browser.quit().await;
}
