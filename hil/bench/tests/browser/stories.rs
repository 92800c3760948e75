//! The stories.

use super::consoles;
use super::parts::Parts;
use aid_browser::*;

const MSP: &str = "AID Test MSP";

/// Signs in at the portal, on its page for that.
async fn sign_in(browser: &Browser, parts: &Parts) {
    browser.fill("name", parts.text("user")).await;
    browser.fill("password", parts.text("password")).await;
    browser.press("Sign in").await;
}

/// Signs in at the MSP, on its page for that.
async fn sign_in_at_msp(browser: &Browser, parts: &Parts) {
    browser.fill("user", parts.text("msp_user")).await;
    browser.fill("password", parts.text("msp_password")).await;
    browser.press("Sign in").await;
}

/// The check code on the page.
async fn code(browser: &Browser) -> String {
    let code = browser.driver.find(By::Css("dd.code")).await.unwrap();
    code.text().await.unwrap()
}

// R-4.1-1 to R-4.1-7, R-4.1-18, R-4.2-1 to R-4.2-10, R-4.4.1-1, R-4.4.2-7, R-4.5-2, R-4.5-4, R-7.1a-1, R-7.1b-1
#[tokio::test(flavor = "multi_thread")]
async fn a_driver_links_drives_removes_and_unlinks_in_a_browser() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let mut parts = Parts::start();
    let (portal, touchpoint) = (parts.portal(), parts.touchpoint());

    // Signing in: an error stands at its field, and what was typed stays.
    browser.goto(&format!("{portal}/")).await;
    browser.show("01-sign-in").await;
    browser.fill("name", parts.text("user")).await;
    browser.fill("password", "not the password").await;
    browser.press("Sign in").await;
    browser.sees("Name or password is wrong").await;
    assert_eq!(browser.focus().await, "password");
    browser.show("02-sign-in-wrong").await;
    let kept = "return document.querySelector('main input[name=name]').value";
    assert_eq!(browser.js(kept).await, parts.text("user"));
    sign_in(&browser, &parts).await;
    browser.sees("Hello").await;
    browser.show("03-home-empty").await;

    // §4.1: the same check code on both sides.
    browser.press(&format!("Link {MSP}")).await;
    browser.show("04-link").await;
    let shown = code(&browser).await;
    browser.press(&format!("Go to {MSP}")).await;
    browser.sees("wants to connect your car").await;
    browser.show("05-msp-sign-in").await;
    sign_in_at_msp(&browser, &parts).await;
    browser.sees("Do you want to connect").await;
    assert_eq!(code(&browser).await, shown);
    browser.show("06-msp-consent").await;
    browser.press("Connect").await;
    browser.sees("Your subscription is linked").await;
    browser.show("07-linked").await;

    // Home changes by itself while the driver logs in to the car.
    browser.press("Home").await;
    browser.sees("Log in to a car").await;
    browser.js("window.untouched = true").await;
    parts.log_in();
    browser.sees("In use").await;
    browser.sees("Online").await;
    assert_eq!(
        browser.js("return window.untouched").await,
        true,
        "it was not loaded again"
    );
    browser.show("08-home").await;
    browser.press("Cars").await;
    browser.press("Details").await;
    browser.show("09-cars").await;
    let car = format!("/cars/{}", parts.text("eid"));
    browser.goto(&format!("{portal}{car}")).await;
    browser.fill("name", "The blue one").await;
    browser.press("Save the name").await;
    browser.sees("The name of the car is saved").await;
    browser.show("10-car").await;

    // §4.5: a removal that waits for the car is shown as waiting.
    parts.stop_agent();
    browser.sees("Last seen").await;
    browser.press(&format!("Remove {MSP} from this car")).await;
    browser.show("11-remove").await;
    browser.press("Remove it").await;
    browser.sees("Removal waits for the car, ordered").await;
    browser.show("12-removal-waits").await;
    browser.driver.back().await.unwrap();
    browser.sees("Please confirm").await;
    browser.goto(&format!("{portal}/")).await;
    parts.start_agent();
    browser.sees("Removed by you").await;
    browser.goto(&format!("{portal}{car}")).await;
    browser.show("13-removed").await;

    // What operators see of it.
    consoles::of_the_cmp(&browser, &parts).await;
    browser.goto(&format!("{portal}/")).await;

    // §4.4.1: unlinked; what has ended is folded away.
    browser.press("Subscriptions").await;
    browser.show("14-subscriptions").await;
    browser.press(&format!("Unlink {MSP}")).await;
    browser.show("15-unlink").await;
    browser.press("Unlink").await;
    browser.sees("no longer linked").await;
    assert!(!browser.text().await.contains("This link has ended"));
    browser.press("1 link that has ended").await;
    browser.sees("This link has ended").await;
    browser.show("16-unlinked").await;

    // §4.2: it begins at the MSP; no check code here, because the CMP shows none.
    browser.goto(&touchpoint).await;
    sign_in_at_msp(&browser, &parts).await;
    browser.sees("You are signed in as").await;
    browser.show("17-msp-home").await;
    let connect = browser
        .driver
        .find(By::Css("form[action='/connect'] button"))
        .await;
    let connect = connect.unwrap().text().await.unwrap();
    parts.stop_cmp();
    browser.press(&connect).await;
    browser.sees("can't be reached").await;
    browser.show("18-msp-cmp-down").await;
    parts.start_cmp();
    browser.press("Try again").await;
    browser.sees("wants to link your subscription").await;
    browser.show("19-return").await;
    browser.press(&format!("Agree and go back to {MSP}")).await;
    browser.sees("Do you want to connect").await;
    assert!(!browser.text().await.contains("Check code"));
    browser.press("Connect").await;
    browser.sees("Your subscription is connected").await;
    browser.show("20-msp-connected").await;

    // §4.4.2: the MSP's side ends it, and the driver hears of it.
    let end = browser
        .driver
        .find(By::Css("a[href^='/end']"))
        .await
        .unwrap();
    end.click().await.unwrap();
    browser.show("21-msp-end").await;
    browser.press("End the connection").await;
    browser.sees("The connection has ended").await;
    browser.goto(&format!("{portal}/")).await;
    browser.sees("The operator ended the link").await;
    browser.show("22-notice").await;
    browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_keyboard_sessions_and_german() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let parts = Parts::start();
    let portal = parts.portal();

    // With the keyboard alone.
    browser.goto(&format!("{portal}/settings")).await;
    for expected in [
        "Skip to the content",
        "My cars",
        "name",
        "password",
        "Sign in",
    ] {
        browser.key(Key::Tab).await;
        assert_eq!(browser.focus().await, expected);
        match expected {
            "name" => browser
                .driver
                .active_element()
                .await
                .unwrap()
                .send_keys(parts.text("user"))
                .await
                .unwrap(),
            "password" => browser
                .driver
                .active_element()
                .await
                .unwrap()
                .send_keys(parts.text("password"))
                .await
                .unwrap(),
            _ => {}
        }
    }
    browser.key(Key::Enter).await;
    browser.sees("Where you are signed in").await;
    assert_eq!(browser.path().await, "/settings", "back where it began");
    browser.show("30-settings").await;
    for (path, name) in [
        ("/name", "31-name"),
        ("/password", "32-password"),
        ("/pin", "33-pin"),
        ("/preference", "34-preferences"),
        ("/sessions", "35-sessions"),
        ("/delete-account", "36-delete"),
        ("/car", "37-code"),
        ("/nothing", "38-nothing"),
    ] {
        browser.goto(&format!("{portal}{path}")).await;
        browser.show(name).await;
    }

    // Sent twice by an impatient press: one change, and no error page.
    browser.goto(&format!("{portal}/name")).await;
    browser.fill("display_name", "Ada L.").await;
    let twice =
        "const f = document.querySelector('main form'); f.requestSubmit(); f.requestSubmit();";
    browser.js(twice).await;
    browser.sees("Your name is changed").await;
    browser.driver.back().await.unwrap();
    browser.sees("What your cars call you").await;

    // A session that ends leads to the sign-in, and on where it was.
    browser.goto(&format!("{portal}/pin")).await;
    browser.driver.delete_all_cookies().await.unwrap();
    browser.fill("password", "whatever").await;
    browser.fill("pin", "1234").await;
    browser.press("Change the PIN").await;
    browser.sees("Your session has ended").await;
    browser.show("39-session-over").await;
    let link = browser.driver.find(By::Css("main a.main")).await.unwrap();
    link.click().await.unwrap();
    sign_in(&browser, &parts).await;
    browser.sees("You have a PIN").await;
    assert_eq!(browser.path().await, "/pin");

    // The reader's language.
    browser.language("de").await;
    browser.goto(&format!("{portal}/")).await;
    browser.sees("Hallo Ada L.").await;
    assert_eq!(
        browser.js("return document.documentElement.lang").await,
        "de"
    );
    browser.show("40-german").await;
    browser.quit().await;
}

// Everything works without scripts: the same story, by links and forms alone.
#[tokio::test(flavor = "multi_thread")]
async fn the_story_works_without_scripts() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let parts = Parts::start();
    let portal = parts.portal();
    browser.scripts(false).await;
    browser.goto(&format!("{portal}/")).await;
    sign_in(&browser, &parts).await;
    browser.press(&format!("Link {MSP}")).await;
    browser.press(&format!("Go to {MSP}")).await;
    sign_in_at_msp(&browser, &parts).await;
    browser.press("Connect").await;
    browser.sees("Your subscription is linked").await;
    parts.log_in();
    browser.goto(&format!("{portal}/")).await;
    browser.sees("Hello").await;
    let mut looks = 0;
    while !browser.text().await.contains("In use") {
        looks += 1;
        assert!(looks < 200, "{}", browser.text().await);
        browser.press("Reload this page").await;
    }
    browser.press("Subscriptions").await;
    browser.press(&format!("Unlink {MSP}")).await;
    browser.press("Unlink").await;
    browser.sees("no longer linked").await;
    browser.quit().await;
}
