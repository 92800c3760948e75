//! Onboarding at the touchpoint, and what it refuses: AID.02 §4.1, §7.1, §7.2.

use crate::stage::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

// R-4.1-6 to R-4.1-18, R-5.3-1, R-7.1a-1, R-7.3-8, R-7.3-10
#[tokio::test]
async fn onboarding_links_the_accounts() {
    let stage = Stage::new("", "subscription_type = \"business\"").await;
    let id = account_id(Some("5678"));
    let back = "https://cmp.example/return?state=x%20y";
    assert_eq!(
        visit(&stage, &id, back, "wonder & land", "allow").await,
        back
    );
    let got = &stage.cmp.got()[0];
    assert_eq!(
        (got.method.as_str(), got.path.as_str()),
        ("POST", format!("/cesim/msp/v1/users/{id}").as_str())
    );
    assert_eq!(
        (&got.headers["client-id"], &got.headers["target-id"]),
        (&"MspOne".to_owned(), &"CmpOne".to_owned())
    );
    assert_eq!(got.headers["api-key"], "keyOut1");
    let token: Uuid = got.body["msp_token"].as_str().unwrap().parse().unwrap();
    assert_eq!(token.get_version_num(), 4);
    assert_eq!(
        (&got.body["error"], &got.body["subscriptionType"]),
        (&Value::Null, &json!("business"))
    );
    let text = |name: &str| got.body[name].as_str().unwrap().to_owned();
    let phone = EncryptedPhone {
        phone_number: text("phoneNumber"),
        iv: text("iv"),
    };
    assert_eq!(
        PHONE_KEY
            .parse::<PhoneKey>()
            .unwrap()
            .decrypt(&phone)
            .unwrap()
            .as_str(),
        "4915112345678"
    );

    // The same account id is not used twice.
    let location = visit(&stage, &id, back, "wonder & land", "allow").await;
    assert!(
        location.starts_with(&format!("{back}&code=11&error=")),
        "{location}"
    );
    assert_eq!(stage.cmp.got().len(), 1);
    let users = stage.msp.command(&["user", "list", "--json"]);
    assert_eq!(users[0]["onboardings"][0]["state"], "active");
    assert!(!users.to_string().contains("4915112345678"));
    stage.msp.stop();
}

// R-4.1-12, R-5.2-4, R-5.2-10, R-7.2.2-1: the ways back without a link.
#[tokio::test]
async fn onboarding_that_fails_goes_back_with_a_code() {
    let stage = Stage::new("", "").await;
    let back = "https://cmp.example/return";
    let location = visit(&stage, &account_id(None), back, "wonder & land", "deny").await;
    assert_eq!(
        location,
        format!("{back}?code=102&error=Onboarding%20aborted%20by%20user")
    );
    let location = visit(
        &stage,
        &account_id(Some("9999")),
        back,
        "wonder & land",
        "allow",
    )
    .await;
    assert!(location.starts_with(&format!("{back}?code=19&")));
    // A digit that fits proves nothing: every tenth stranger guesses it.
    for short in ["8", "78", "678"] {
        let id = account_id(Some(short));
        let location = visit(&stage, &id, back, "wonder & land", "allow").await;
        assert!(location.starts_with(&format!("{back}?code=19&")), "{short}");
    }
    assert!(stage.cmp.got().is_empty());
    stage
        .cmp
        .answer(|_, _| (422, json!({"code": "24", "error": "x"})));
    let location = visit(&stage, &account_id(None), back, "wonder & land", "allow").await;
    assert!(location.starts_with(&format!("{back}?code=24&")));
    let users = stage.msp.command(&["user", "list", "--json"]);
    assert_eq!(users[0]["onboardings"][0]["state"], "refused");

    // A CMP that answers badly once: the same request id again, and then it works.
    stage.cmp.answer(|_, before| {
        if before == 0 {
            (503, Value::Null)
        } else {
            (201, Value::Null)
        }
    });
    assert_eq!(
        visit(&stage, &account_id(None), back, "wonder & land", "allow").await,
        back
    );
    let got = stage.cmp.got();
    let [.., a, b] = got.as_slice() else { panic!() };
    assert_eq!(
        (&a.headers["cmp-request-id"], &a.body),
        (&b.headers["cmp-request-id"], &b.body)
    );
}

// R-4.1-10, R-4.1-11, R-7.1a-4, R-7.2.2-3
#[tokio::test]
async fn the_door_of_the_touchpoint_is_narrow() {
    let stage = Stage::new("", "").await;
    let browser = stage.browser();
    let id = account_id(None);
    let good = "https://cmp.example/return";
    let open = |url: String| {
        let browser = browser.clone();
        async move { browser.get(url).send().await.unwrap() }
    };
    for back in [
        "https://evil.example/",
        "http://cmp.example/",
        "https://cmp.example@evil.example/",
        "https://cmp.example/?code=1",
    ] {
        let page = open(stage.authorize(id.as_str(), back)).await;
        assert_eq!(
            (page.status().as_u16(), page.headers().get("location")),
            (400, None),
            "{back}"
        );
    }
    let old = issue(
        &SECRET.parse().unwrap(),
        Uuid::new_v4(),
        None,
        now() - 700,
        600,
    )
    .unwrap();
    let forged = issue(
        &Secret::new(&[1; 32]).unwrap(),
        Uuid::new_v4(),
        None,
        now(),
        600,
    )
    .unwrap();
    for (text, code) in [(old.as_str(), 11), (forged.as_str(), 12), ("opaque", 19)] {
        let page = open(stage.authorize(text, good)).await;
        let location = page.headers()["location"].to_str().unwrap();
        assert!(
            location.starts_with(&format!("{good}?code={code}&")),
            "{location}"
        );
    }
    let base = &stage.msp.touchpoint;
    for url in [
        "/authorize",
        "/authorize?id=a",
        &format!("/authorize?id=a&id=b&redirect_uri={good}"),
        "/authorize?%ff",
    ] {
        assert_eq!(open(format!("{base}{url}")).await.status(), 400, "{url}");
    }
    assert_eq!(open(format!("{base}/nothing")).await.status(), 404);
    assert_eq!(open(format!("{base}/logout")).await.status(), 405);

    let page = open(stage.authorize(id.as_str(), good)).await;
    // The account id does not stay in the address bar.
    assert_eq!(
        (page.status().as_u16(), &page.headers()["location"]),
        (303, &"/login".parse().unwrap())
    );
    let page = open(format!("{base}/login")).await;
    let cookie = page.headers()["set-cookie"].to_str().unwrap().to_owned();
    for part in [
        "__Host-aid-msp=",
        "Path=/",
        "Secure",
        "HttpOnly",
        "SameSite=Lax",
    ] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(
        policy.contains("frame-ancestors 'none'")
            && policy.contains("form-action 'self' https://cmp.example")
    );
    let value = csrf(page).await;
    let login = |password: &str, csrf: &str| {
        let form = [("user", "alice"), ("password", password), ("csrf", csrf)];
        browser.post(format!("{base}/login")).form(&form).send()
    };
    assert_eq!(login("wonder & land", "0123").await.unwrap().status(), 403);
    assert_eq!(
        stage
            .browser()
            .post(format!("{base}/login"))
            .form(&[("user", "alice"), ("password", "x"), ("csrf", &value)])
            .send()
            .await
            .unwrap()
            .status(),
        403
    );
    let consent = browser.get(format!("{base}/consent")).send().await.unwrap();
    assert_eq!(consent.status(), 403);
    let mut value = value;
    for _ in 0..10 {
        let wrong = login("wrong", &value).await.unwrap();
        assert_eq!(wrong.status(), 401);
        value = csrf(wrong).await;
    }
    assert_eq!(login("wonder & land", &value).await.unwrap().status(), 429);
}

// R-4.1-17, R-4.1-18, R-7.3-16: a CMP that does not answer well has not refused. The browser hears no failure, and what both
// sides have is the same in the end.
#[tokio::test]
async fn a_link_that_waits_for_the_cmp_is_not_told_as_a_failure() {
    let stage = Stage::new("", "").await;
    let broken = Arc::new(AtomicBool::new(true));
    let is_broken = Arc::clone(&broken);
    stage
        .cmp
        .answer(move |got, _| match is_broken.load(Ordering::SeqCst) {
            true => (500, json!({"code": "90", "error": "x"})),
            false => (
                if got.path.contains("/users/") {
                    201
                } else {
                    200
                },
                Value::Null,
            ),
        });
    let back = "https://cmp.example/return?state=x";
    let id = account_id(None);
    let location = visit(&stage, &id, back, "wonder & land", "allow").await;
    assert_eq!(location, back, "no code: nothing has failed");
    let state =
        || stage.msp.command(&["user", "list", "--json"])[0]["onboardings"][0]["state"].clone();
    assert_eq!(state(), "pending");
    broken.store(false, Ordering::SeqCst);
    let tried = stage.cmp.wait_for("/users/", 4).await;
    let ids: Vec<_> = tried
        .iter()
        .map(|got| &got.headers["cmp-request-id"])
        .collect();
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "{ids:?}");
    let end = Instant::now() + Duration::from_secs(15);
    while state() != "active" {
        assert!(Instant::now() < end, "{}", state());
    }
}
