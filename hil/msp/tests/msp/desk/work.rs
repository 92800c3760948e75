//! Deeds, what browsers repeat, and sessions that end.

use super::*;
use rusqlite::Connection;

/// From a page by its button to the form, with a reason, and `typed` where that is asked for; back at the page.
async fn act(browser: &Browser, path: &str, label: &str, typed: Option<&str>) {
    arrives(browser, path).await;
    browser.press(label).await;
    browser.sees("Cancel").await;
    browser.fill("reason", "customer has called").await;
    if let Some(typed) = typed {
        browser.fill("confirm", typed).await;
    }
    browser.press(label).await;
    arrives(browser, path).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_deed_is_done_in_a_browser() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let staffed = Staffed::new("The number is not known.").await;
    let stage = &staffed.stage;
    for (call, label, typed) in [
        (&staffed.waiting, "Give the call up", true),
        (&staffed.dead, "Call now", false),
    ] {
        let path = format!("/console/calls/{call}");
        open(&browser, stage, &path).await;
        act(&browser, &path, label, typed.then_some(call)).await;
    }
    assert_eq!(
        (
            audited(stage, "job dropped"),
            audited(stage, "job tried again")
        ),
        (1, 1)
    );
    stage.cmp.answer(cmp);
    let path = format!("/console/profiles/{}", staffed.iccid);
    let end = &staffed.iccid[staffed.iccid.len() - 6..];
    open(&browser, stage, &path).await;
    act(&browser, &path, "Suspend the profile", None).await;
    act(&browser, &path, "Resume the profile", None).await;
    act(&browser, &path, "Declare the profile invalid", Some(end)).await;
    let got = stage.cmp.wait_for("/profiles", 3).await;
    let told = got.iter().map(|g| &g.body["profiles"][0]["status"]);
    assert_eq!(
        told.collect::<Vec<_>>(),
        ["suspended", "valid", "invalid"]
            .map(Value::from)
            .iter()
            .collect::<Vec<_>>()
    );
    let path = "/console/subscriptions/alice";
    open(&browser, stage, path).await;
    act(&browser, path, "Suspend the subscription", None).await;
    act(&browser, path, "Resume the subscription", None).await;
    let label = "End the links of the subscription";
    act(&browser, path, label, Some("alice")).await;
    stage.cmp.wait_for("/invalidate", 1).await;
    stage.onboard().await;
    let customer = "/console/customers/alice";
    open(&browser, stage, customer).await;
    let label = "End all links of the customer";
    act(&browser, customer, label, Some("alice")).await;
    stage.cmp.wait_for("/invalidate", 2).await;
    open(&browser, stage, path).await;
    act(&browser, path, "End the subscription", Some("alice")).await;
    browser.sees("ended").await;
    let trail = stage.msp.command(&["audit", "list"]);
    let by_kim = trail
        .as_array()
        .unwrap()
        .iter()
        .filter(|e| e["actor"] == "kim" && e["reason"] == "customer has called");
    assert!(by_kim.count() >= 10, "{trail}");
    browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_browser_repeats_is_done_once() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let staffed = Staffed::new("The number is not known.").await;
    let stage = &staffed.stage;
    stage.cmp.answer(cmp);
    let (path, form) = ("/console/subscriptions/alice", "/console/do/suspend/alice");
    open(&browser, stage, form).await;
    browser.fill("reason", "bill not paid").await;
    let button = browser.driver.find(By::Css("form.card button")).await;
    let twice = browser.driver.action_chain();
    let twice = twice.double_click_element(&button.unwrap());
    twice.perform().await.unwrap();
    arrives(&browser, path).await;
    assert_eq!(audited(stage, "subscription suspended"), 1);
    // Back is the form, asked for anew: nothing is sent again, and the browser does not ask whether it shall be.
    browser.driver.back().await.unwrap();
    arrives(&browser, form).await;
    browser.sees("Suspend the subscription").await;
    browser.driver.refresh().await.unwrap();
    browser.driver.forward().await.unwrap();
    arrives(&browser, path).await;
    browser.driver.refresh().await.unwrap();
    browser.sees("Resume the subscription").await;
    assert_eq!(audited(stage, "subscription suspended"), 1);
    // The same form many times at once: every answer leads to the subscription.
    open(&browser, stage, "/console/do/resume/alice").await;
    browser.fill("reason", "paid").await;
    let send = "const done = arguments[0], form = document.querySelector('form.card');\
        const body = () => new URLSearchParams(new FormData(form));\
        const send = () => fetch(form.action, {method: 'POST', body: body()});\
        Promise.all([...Array(8)].map(send)).then(all => done(all.map(a => a.status + a.url.replace(/^.*?[^/]\\/\\b/, '/'))))";
    let sent = browser.driver.execute_async(send, vec![]).await.unwrap();
    assert_eq!(sent.json(), &json!(vec![format!("200{path}"); 8]));
    assert_eq!(audited(stage, "subscription active"), 1);
    // Another form of the same deed is another deed.
    open(&browser, stage, form).await;
    browser.fill("reason", "bill not paid").await;
    browser.press("Suspend the subscription").await;
    arrives(&browser, path).await;
    assert_eq!(audited(stage, "subscription suspended"), 2);
    browser.quit().await;
}

/// All sessions of the console end, as they do after ten hours.
fn expire(stage: &Stage) {
    let database = Connection::open(stage.folder.path("msp.sqlite")).unwrap();
    database.busy_timeout(PATIENCE).unwrap();
    let sql = "UPDATE desk_session SET expires_at = 1";
    assert!(database.execute(sql, []).unwrap() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_signed_out_comes_back_to_where_they_were() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let staffed = Staffed::new("The number is not known.").await;
    let stage = &staffed.stage;
    let path = "/console/orders?state=done";
    open(&browser, stage, "/console").await;
    browser.sees("Overview").await;
    expire(stage);
    browser.goto(&format!("{}{path}", base(stage))).await;
    browser.sees("Sign in to the console").await;
    // A wrong password does not lose the way.
    browser.fill("name", "kim").await;
    browser.fill("password", "wrong").await;
    browser.press("Sign in").await;
    browser.sees("The name or the password is wrong").await;
    sign_in(&browser, "kim").await;
    arrives(&browser, path).await;
    // A form that was sent after the end does nothing, and its page comes back.
    let form = "/console/do/suspend/alice";
    open(&browser, stage, form).await;
    browser.fill("reason", "bill not paid").await;
    expire(stage);
    browser.press("Suspend the subscription").await;
    browser.sees("Sign in to the console").await;
    sign_in(&browser, "kim").await;
    arrives(&browser, form).await;
    assert_eq!(audited(stage, "subscription suspended"), 0);
    // So is who was given another password.
    add_member(stage, "kim", "viewer");
    open(&browser, stage, "/console/subscriptions/alice").await;
    browser.sees("viewer").await;
    let text = browser.text().await;
    assert!(!text.contains("Suspend the subscription"), "{text}");
    browser.goto(&format!("{}{form}", base(stage))).await;
    browser.sees("Your role does not suffice").await;
    browser.quit().await;
}
