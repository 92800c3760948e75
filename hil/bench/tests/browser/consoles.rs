//! The operators' consoles of aid-cmp and aid-msp, while the story's car, link and orders are there.

use super::browser::Browser;
use super::parts::Parts;
use thirtyfour::prelude::*;

const PASSWORD: &str = "correct horse battery";

/// Signs in by keyboard alone, on the sign-in page.
async fn sign_in(browser: &Browser) {
    let name = browser
        .driver
        .find(By::Css("main input[name='name']"))
        .await;
    name.unwrap().send_keys("kim").await.unwrap();
    browser.key(Key::Tab).await;
    assert_eq!(browser.focus().await, "password");
    let active = browser.driver.active_element().await.unwrap();
    active.send_keys(PASSWORD).await.unwrap();
    browser.key(Key::Tab).await;
    assert_eq!(browser.focus().await, "Sign in");
    browser.key(Key::Enter).await;
}

/// Follows the first link of the page's tables that leads below this path.
async fn open(browser: &Browser, path: &str) {
    let link = By::Css(format!("main td a[href^='{path}']"));
    let link = browser.driver.find(link).await;
    link.unwrap_or_else(|e| panic!("nothing leads to {path}: {e}"))
        .click()
        .await
        .unwrap();
}

/// A session that ends leads to the sign-in, and on to the page that was wanted.
async fn expires(browser: &Browser, base: &str, cookie: &str, path: &str, title: &str) {
    browser.goto(&format!("{base}/console")).await;
    browser.driver.delete_cookie(cookie).await.unwrap();
    browser.goto(&format!("{base}{path}")).await;
    browser.sees("Sign in to the console").await;
    sign_in(browser).await;
    browser.sees(title).await;
    assert_eq!(browser.path().await, path);
}

/// A deed that is sent twice is done once: the second answer says so, or shows the same. Back leads to its question.
async fn twice(browser: &Browser, label: &str) {
    browser.press(label).await;
    browser.fill("reason", "the customer called").await;
    let twice =
        "const f = document.querySelector('main form'); f.requestSubmit(); f.requestSubmit();";
    browser.js(twice).await;
}

/// The console of the CMP.
pub(crate) async fn of_the_cmp(browser: &Browser, parts: &Parts) {
    parts.add_member("aid-cmp", "cmp.toml", PASSWORD);
    let base = parts.console("aid-cmp");
    browser.goto(&format!("{base}/console")).await;
    browser.show("60-console-sign-in").await;
    browser.fill("name", "kim").await;
    browser.fill("password", "not the password").await;
    browser.press("Sign in").await;
    browser.sees("The name or the password is wrong").await;
    browser.show("61-console-sign-in-wrong").await;
    browser.goto(&format!("{base}/console/login")).await;
    sign_in(browser).await;
    browser.sees("Problems").await;
    browser.show("62-console-problems").await;
    browser.press("Vehicles").await;
    browser.show("63-console-vehicles").await;
    open(browser, "/console/vehicles/").await;
    browser.show("64-console-vehicle").await;
    browser.press("Orders").await;
    open(browser, "/console/orders/").await;
    browser.show("65-console-order").await;
    browser.press("Orders").await;
    open(browser, "/console/correlations/").await;
    browser.show("66-console-transaction").await;
    browser.press("Users").await;
    open(browser, "/console/users/").await;
    let erase = format!("Erase the user {}", parts.text("user"));
    browser.press(&erase).await;
    browser.fill("reason", "asked for it").await;
    browser.fill("confirm", "somebody else").await;
    browser.press("Erase the user").await;
    browser.sees("Nothing was done").await;
    browser.show("67-console-deed-wrong").await;
    browser.press("Cancel").await;
    browser.press("Users").await;
    open(browser, "/console/users/").await;
    twice(browser, "Unlock the user").await;
    browser.sees("Display name").await;
    browser.driver.back().await.unwrap();
    browser.sees("Reason, for the audit trail").await;
    for (path, name) in [
        ("/console", "problems"),
        ("/console/audit", "audit"),
        ("/console/msps", "msps"),
        ("/console/calls", "calls"),
    ] {
        browser.goto(&format!("{base}{path}")).await;
        browser
            .show_plain(&format!("68-console-{name}-plain"))
            .await;
    }
    expires(
        browser,
        &base,
        "__Host-aid-desk",
        "/console/orders?state=open",
        "Orders",
    )
    .await;
}

/// The console of the MSP.
pub(crate) async fn of_the_msp(browser: &Browser, parts: &Parts) {
    parts.add_member("aid-msp", "msp.toml", PASSWORD);
    let base = parts.console("aid-msp");
    browser.goto(&format!("{base}/console")).await;
    browser.show("70-msp-console-sign-in").await;
    sign_in(browser).await;
    browser.sees("Overview").await;
    browser.show("71-msp-console-overview").await;
    browser.press("Subscriptions").await;
    browser.show("72-msp-console-subscriptions").await;
    open(browser, "/console/subscriptions/").await;
    browser.show("73-msp-console-subscription").await;
    twice(browser, "Suspend the subscription").await;
    browser.sees("Resume the subscription").await;
    browser.driver.back().await.unwrap();
    browser.sees("no activation codes are given").await;
    browser.press("Subscriptions").await;
    open(browser, "/console/subscriptions/").await;
    browser.press("Resume the subscription").await;
    browser.fill("reason", "  ").await;
    browser.press("Resume the subscription").await;
    browser.sees("Write 1 to").await;
    browser.show("74-msp-console-deed-wrong").await;
    browser.fill("reason", "the bill is paid").await;
    browser.press("Resume the subscription").await;
    browser.sees("Suspend the subscription").await;
    browser.press("Orders").await;
    browser.show("75-msp-console-orders").await;
    open(browser, "/console/correlations/").await;
    browser.sees("Request Activation Code received").await;
    browser.show("76-msp-console-transaction").await;
    for (path, name) in [
        ("/console", "overview"),
        ("/console/links", "links"),
        ("/console/profiles", "profiles"),
        ("/console/calls?state=done", "calls"),
        ("/console/audit", "audit"),
    ] {
        browser.goto(&format!("{base}{path}")).await;
        browser
            .show_plain(&format!("77-msp-console-{name}-plain"))
            .await;
    }
    expires(
        browser,
        &base,
        "__Host-aid-msp-desk",
        "/console/links",
        "Links",
    )
    .await;
}
