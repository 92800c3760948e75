//! The operator's console of aid-cmp, while the story's car, link and orders are there.

use super::parts::Parts;
use aid_browser::*;

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

/// The console of the CMP.
pub(crate) async fn of_the_cmp(browser: &Browser, parts: &Parts) {
    parts.add_member(PASSWORD);
    let base = parts.console();
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
}
