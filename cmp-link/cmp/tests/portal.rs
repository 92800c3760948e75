//! The portal over HTTPS, as a browser without scripts uses it (AID6).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use aid_cmp::store::AuditFilter;
use aid_cmp_core::change::Change;
use aid_cmp_core::model::{Account, Federation};
use aid_id::AccountRef;
use world::car::Car;
use world::postgres::Postgres;
use world::{Browser, PASSWORD, PIN, World, csrf, query};

fn login(csrf: String, next: &str, name: &str, password: &str) -> Vec<(&'static str, String)> {
    vec![
        ("csrf", csrf),
        ("next", next.into()),
        ("name", name.into()),
        ("password", password.into()),
    ]
}

// R-4.1-2 R-4.1-3 R-4.1-4 R-4.1-7 R-7.1a-1 R-7.1a-3 R-5.2-5 R-7.3-7
#[tokio::test(flavor = "multi_thread")]
async fn a_user_links_a_subscription_and_sees_it() {
    let world = World::new().await;
    let browser = world.browser().await;
    let page = browser.get("/").await;
    assert!(
        page.contains("Hello Eva") && page.contains("Link Mobile One"),
        "{page}"
    );
    let mut seen = std::collections::BTreeSet::new();
    for msp in ["Mobile One", "Mobile One", "Mobile Two"] {
        let form = [("csrf", csrf(&page)), ("msp", msp.into())];
        let (status, to) = browser.post("/link", &form).await;
        assert_eq!(status, 303);
        assert!(to.starts_with("https://msp.example/authorize?id="), "{to}");
        assert!(query(&to, "redirect_uri").starts_with("https://localhost:1/linked?state="));
        assert!(seen.insert(query(&to, "id")), "each account id is new");
        // R-4.1-5: nothing in it names the user.
        assert!(!to.to_lowercase().contains("eva"));
    }
    let form = [("csrf", csrf(&page)), ("msp", "Mobile Three".into())];
    assert_eq!(browser.post("/link", &form).await.0, 404);
    world.federate().await;
    let page = browser.get("/subscriptions").await;
    assert!(
        page.contains("*********567") && page.contains("private"),
        "{page}"
    );
}

// R-4.1-18
#[tokio::test(flavor = "multi_thread")]
async fn the_return_page_believes_the_token_and_not_the_browser() {
    let world = World::new().await;
    let browser = world.browser().await;
    let page = browser.get("/").await;
    let form = [("csrf", csrf(&page)), ("msp", "Mobile One".into())];
    let (_, to) = browser.post("/link", &form).await;
    let state = query(&query(&to, "redirect_uri"), "state");
    let back = |more: &str| format!("/linked?state={state}{more}");
    assert!(browser.get(&back("")).await.contains("Not linked yet"));
    assert!(
        browser
            .get(&back("&code=102&error=x"))
            .await
            .contains("You did not agree")
    );
    assert!(
        browser
            .get("/linked?state=guess")
            .await
            .contains("not begun here")
    );
    let token = aid_id::MspToken::from_bytes([7; 16]);
    let call = aid_aid1::client::Call::new();
    let sent = world.client();
    sent.send_msp_token(call, &query(&to, "id"), &world.token_body(token))
        .await
        .unwrap();
    assert!(
        browser
            .get(&back(""))
            .await
            .contains("Your subscription is linked")
    );
    // Somebody else's browser learns nothing.
    assert_eq!(
        Browser::new(&world).visit(&back("")).await,
        (303, "/login".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_need_their_token_and_sessions_end() {
    let world = World::new().await;
    let stranger = Browser::new(&world);
    assert_eq!(stranger.visit("/").await, (303, "/login".into()));
    let forged = login("00".repeat(32), "/", "eva", PASSWORD);
    assert_eq!(stranger.post("/login", &forged).await.0, 403);
    for (next, to) in [
        ("/", "/"),
        ("//evil.example", "/"),
        ("https://evil.example", "/"),
        ("/a?b", "/a?b"),
        ("/\\evil", "/"),
    ] {
        let browser = Browser::new(&world);
        let page = browser.get("/login").await;
        let form = login(csrf(&page), next, "eva", PASSWORD);
        assert_eq!(
            browser.post("/login", &form).await,
            (303, to.into()),
            "{next}"
        );
    }
    let browser = world.browser().await;
    let page = browser.get("/").await;
    let form = [("csrf", "00".repeat(32)), ("msp", "Mobile One".into())];
    assert_eq!(browser.post("/link", &form).await.0, 403);
    assert_eq!(stranger.post("/link", &form).await.0, 401);
    let form = [("csrf", csrf(&page))];
    assert_eq!(browser.post("/logout", &form).await, (303, "/login".into()));
    assert_eq!(browser.visit("/").await, (303, "/login".into()));
}

// R-4.1-1
#[tokio::test(flavor = "multi_thread")]
async fn passwords_are_limited_and_answers_hardened() {
    let world = World::new().await;
    let browser = Browser::new(&world);
    for n in 0..7 {
        let page = browser.get("/login").await;
        let form = login(
            csrf(&page),
            "/",
            if n < 6 { "eva" } else { "nobody" },
            "wrong password",
        );
        assert_eq!(browser.post("/login", &form).await.0, 401);
    }
    let page = browser.get("/login").await;
    let form = login(csrf(&page), "/", "eva", PASSWORD);
    assert_eq!(
        browser.post("/login", &form).await.0,
        401,
        "locked, also for the right one"
    );
    let url = format!("https://localhost:{}/login", world.portal.port());
    let answer = browser.client.get(url).send().await.unwrap();
    let headers = answer.headers();
    let cookie = headers["set-cookie"].to_str().unwrap();
    for part in ["__Host-", "Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(
        headers["content-security-policy"]
            .to_str()
            .unwrap()
            .contains("default-src 'none'")
    );
    assert_eq!(headers["cache-control"], "no-store");
    assert_eq!(headers["x-content-type-options"], "nosniff");
}

// R-4.4.1-1 R-4.4.1-3 R-4.4.1-8 R-7.9-1
#[tokio::test(flavor = "multi_thread")]
async fn a_user_unlinks_his_own_subscription_only() {
    let world = World::new().await;
    let token = world.federate().await;
    let browser = world.browser().await;
    let page = browser.get("/subscriptions").await;
    assert!(page.contains("cancelled at the operator only"));
    let id = uuid::Uuid::from_bytes(
        world
            .read(async move |tx| tx.all_federations(None, 1000).await)
            .await[0]
            .id,
    )
    .to_string();
    let form = |id: &str| {
        let confirmed = ("confirmed", "yes".to_owned());
        [
            ("csrf", csrf(&page)),
            ("federation", id.to_owned()),
            confirmed,
        ]
    };
    // First it is asked, and nothing is done.
    let question = format!("/unlink?federation={id}");
    let asked = browser.post("/unlink", &form(&id)[..2]).await;
    assert_eq!(asked, (303, question.clone()));
    assert!(browser.get(&question).await.contains("Please confirm"));
    let page = browser.get("/subscriptions").await;
    assert!(!page.contains("This link has ended") && page.contains(&question));
    assert_eq!(
        browser
            .post("/unlink", &form(&uuid::Uuid::nil().to_string()))
            .await
            .0,
        404
    );
    assert_eq!(browser.post("/unlink", &form("x")).await.0, 400);
    // Another user's link is as good as none, whatever the form says.
    let other = Account {
        id: AccountRef([0xB0; 16]),
        name: "bob".into(),
        display_name: "Bob".into(),
        password: aid_cmp::password::hash(PASSWORD).unwrap(),
        pin_mac: None,
        created_at: 0,
    };
    let foreign = Federation {
        id: [0xB1; 16],
        msp: "Mobile One".into(),
        token: aid_id::MspToken::from_bytes([0xB2; 16]),
        account: other.id,
        phone: world.phone(),
        kind: aid_aid1::body::SubscriptionType::Private,
        customer_group: None,
        since: 1,
        ended_at: None,
        ended_reason: None,
    };
    let added = vec![Change::AddAccount(other), Change::AddFederation(foreign)];
    world.commit(added).await;
    let theirs = uuid::Uuid::from_bytes([0xB1; 16]).to_string();
    assert_eq!(browser.post("/unlink", &form(&theirs)).await.0, 404);
    let lasts = world.read(async |tx| tx.federation_by_id([0xB1; 16]).await);
    assert!(lasts.await.unwrap().ended_at.is_none());
    assert_eq!(
        browser.post("/unlink", &form(&id)).await,
        (303, "/subscriptions?done=unlinked".into())
    );
    let asked = world.msp.wait(&format!("/v1/users/{token}"), 1).await;
    assert_eq!(asked[0].method, "DELETE");
    let page = browser.get("/subscriptions").await;
    assert!(page.contains("This link has ended") && page.contains("<details id=\"ended\">"));
    assert_eq!(browser.visit(&question).await.0, 404);
}

// R-4.2-3 R-4.2-4 R-4.2-5 R-4.2-6 R-7.1b-1 R-7.1b-4 R-7.1b-5 R-7.2.1-1 R-7.2.2-3
#[tokio::test(flavor = "multi_thread")]
async fn onboarding_may_begin_at_the_msp() {
    let world = World::new().await;
    let browser = world.browser().await;
    let visit = |uri: &str| {
        let uri = aid_aid1::redirect::percent_encode(uri);
        format!("/touchpoint?redirect_uri={uri}")
    };
    let back = "https://www.mspone.example/back?foo=bar";
    // The page names the account before anything leaves; nobody is sent on by a link alone (R-4.1-7).
    let page = browser.get(&visit(back)).await;
    assert!(
        page.contains("Eva") && page.contains("Mobile One"),
        "{page}"
    );
    let form = |decision: &str, uri: &str| {
        let uri = ("redirect_uri", uri.to_owned());
        [
            ("csrf", csrf(&page)),
            uri,
            ("decision", decision.to_owned()),
        ]
    };
    let denied = browser.post("/touchpoint", &form("deny", back)).await;
    assert!(
        denied.1.starts_with(&format!("{back}&code=102&error=")),
        "{denied:?}"
    );
    let evil = browser
        .post("/touchpoint", &form("allow", "https://evil.example/"))
        .await;
    assert_eq!(evil, (400, String::new()));
    let (status, to) = browser.post("/touchpoint", &form("allow", back)).await;
    assert_eq!(status, 303);
    assert!(
        to.starts_with("https://www.mspone.example/back?foo=bar&id=ey"),
        "{to}"
    );
    for bad in [
        "https://evil.example/",
        "https://mspone.example.evil.example/",
        "http://www.mspone.example/",
        "",
    ] {
        assert_eq!(
            browser.visit(&visit(bad)).await,
            (400, String::new()),
            "{bad}"
        );
    }
    let stranger = Browser::new(&world);
    let (status, to) = stranger
        .visit(&visit("https://www.mspone.example/back"))
        .await;
    assert_eq!(status, 303);
    assert!(to.starts_with("/login?next=%2Ftouchpoint"), "{to}");
}

// R-7.2.2-1 R-7.2.2-2: where the CMP itself fails the visitor is not kept: they go back with 100.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_of_ours_sends_a_visitor_back_with_100() {
    let Some(server) = Postgres::start() else {
        return;
    };
    let world = World::on(Some(&server.url())).await;
    let browser = world.browser().await;
    let back = "https://www.mspone.example/back?foo=bar";
    let uri = aid_aid1::redirect::percent_encode(back);
    let path = format!("/touchpoint?redirect_uri={uri}");
    let page = browser.get(&path).await;
    let form = [
        ("csrf", csrf(&page)),
        ("redirect_uri", back.to_owned()),
        ("decision", "allow".to_owned()),
    ];
    drop(server);
    let expected = format!("{back}&code=100&error=Unspecified%20CMP%20content%20error");
    assert_eq!(browser.visit(&path).await, (303, expected.clone()));
    assert_eq!(browser.post("/touchpoint", &form).await, (303, expected));
    // Nobody is sent to an address that was not agreed, not even then.
    let evil = "/touchpoint?redirect_uri=https%3A%2F%2Fevil.example%2F";
    assert_eq!(browser.visit(evil).await, (400, String::new()));
}

// R-4.1-4 R-4.1-5 R-4.1-6: the touchpoint gets an account id for the user and the MSP, and who got one is in the audit
// trail.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_id_is_issued_and_audited() {
    let world = World::new().await;
    let browser = world.browser().await;
    let page = browser.get("/").await;
    let mut ids = std::collections::BTreeSet::new();
    for msp in ["Mobile One", "Mobile Two", "Mobile One"] {
        let form = [("csrf", csrf(&page)), ("msp", msp.to_owned())];
        let (status, location) = browser.post("/link", &form).await;
        assert_eq!(status, 303);
        let id = world::query(&location, "id");
        assert_eq!(id.split('.').count(), 3, "{id}");
        assert!(!id.to_lowercase().contains("eva"));
        ids.insert(id);
    }
    assert_eq!(ids.len(), 3);
    let filter = AuditFilter {
        since: 0,
        actor: None,
        about: None,
    };
    let trail = world.store.audits(&filter, 100).await.unwrap();
    let issued: Vec<_> = trail
        .iter()
        .filter(|entry| entry.action == "account id issued")
        .map(|entry| (entry.actor.as_str(), entry.detail.as_str()))
        .collect();
    let eva = format!("account {}", hex::encode(world::EVA.0));
    assert_eq!(
        issued,
        [
            (eva.as_str(), "for Mobile One"),
            (&eva, "for Mobile Two"),
            (&eva, "for Mobile One")
        ]
    );
}

// R-7.2.2-1 R-7.2.2-2 R-7.2.2-3: the login page of a visitor from an MSP leads back there; no other does.
#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_who_does_not_sign_in_returns_to_the_msp() {
    let world = World::new().await;
    let stranger = Browser::new(&world);
    let back = "https://www.mspone.example/back?foo=bar&x=1";
    let uri = aid_aid1::redirect::percent_encode(back);
    let (_, to) = stranger
        .visit(&format!("/touchpoint?redirect_uri={uri}"))
        .await;
    let page = stranger.get(&to).await;
    let leave = format!("/touchpoint/leave?redirect_uri={uri}");
    assert!(page.contains(&format!("href=\"{leave}\"")), "{page}");
    let expected = format!("{back}&code=101&error=User%20login%20not%20possible%20on%20CMP%20side");
    assert_eq!(stranger.visit(&leave).await, (303, expected));
    // Still there after a wrong password.
    let form = [
        ("csrf", csrf(&page)),
        ("next", format!("/touchpoint?redirect_uri={uri}")),
        ("name", "eva@example.com".into()),
        ("password", "wrong password".into()),
    ];
    let login = format!("https://localhost:{}/login", world.portal.port());
    let answer = stranger.client.post(login).form(&form).send().await;
    let answer = answer.unwrap();
    assert_eq!(answer.status(), 401);
    assert!(answer.text().await.unwrap().contains(&leave));
    assert!(!stranger.get("/login").await.contains("/touchpoint/leave"));
    for bad in ["", "?redirect_uri=https%3A%2F%2Fevil.example%2F"] {
        let left = stranger.visit(&format!("/touchpoint/leave{bad}")).await;
        assert_eq!(left, (400, String::new()), "{bad}");
    }
}

// R-4.5-2 R-4.5-3 R-4.5-4
#[tokio::test(flavor = "multi_thread")]
async fn a_user_deletes_his_own_profile_only() {
    let world = World::new().await;
    world.federate().await;
    let federation = world
        .read(async move |tx| tx.all_federations(None, 1000).await)
        .await
        .remove(0);
    let iccid: aid_id::Iccid = "8944500805172032953".parse().unwrap();
    let profile = |iccid: &aid_id::Iccid, federation| aid_cmp_core::model::Profile {
        iccid: iccid.clone(),
        federation,
        eid: world.eid,
        status: aid_cmp_core::model::ProfileStatus::Disabled,
        verdict: aid_cmp_core::model::MspVerdict::Valid,
        last_used: 1,
        created_at: 1,
    };
    let foreign: aid_id::Iccid = "8944500805172032961".parse().unwrap();
    let other = Account {
        id: AccountRef([9; 16]),
        name: "otto".into(),
        display_name: "Otto".into(),
        password: aid_id::Secret::new("none".into()),
        pin_mac: None,
        created_at: 1,
    };
    let link = Federation {
        id: [9; 16],
        token: aid_id::MspToken::from_bytes([9; 16]),
        account: other.id,
        ..federation.clone()
    };
    let changes = vec![
        Change::AddAccount(other),
        Change::AddFederation(link),
        Change::PutProfile(profile(&iccid, federation.id)),
        Change::PutProfile(profile(&foreign, [9; 16])),
    ];
    world.commit(changes).await;
    let browser = world.browser().await;
    let page = browser.get("/").await;
    assert!(page.contains(iccid.as_str()) && !page.contains(foreign.as_str()));
    let form = |iccid: &str| {
        let confirmed = ("confirmed", "yes".to_owned());
        [
            ("csrf", csrf(&page)),
            ("iccid", iccid.to_owned()),
            confirmed,
        ]
    };
    let question = format!("/delete?iccid={iccid}&eid={}", world.eid);
    assert_eq!(
        browser.post("/delete", &form(iccid.as_str())[..2]).await,
        (303, question.clone())
    );
    assert!(browser.get(&question).await.contains("Please confirm"));
    let theirs = format!("/delete?iccid={foreign}");
    assert_eq!(browser.visit(&theirs).await.0, 404);
    assert!(
        world
            .read(async move |tx| world::book::orders(tx, None, true).await)
            .await
            .is_empty(),
        "asked first"
    );
    // A car that the profile is not in (R-4.5-3).
    let mut mixed = form(iccid.as_str()).to_vec();
    mixed.push(("eid", world::eid(2).to_string()));
    assert_eq!(browser.post("/delete", &mixed).await.0, 404);
    assert_eq!(
        browser.post("/delete", &form(foreign.as_str())).await.0,
        404
    );
    assert_eq!(browser.post("/delete", &form("1")).await.0, 400);
    for _ in 0..2 {
        let done = browser.post("/delete", &form(iccid.as_str())).await;
        assert_eq!(done, (303, "/?done=deleted".into()));
    }
    let orders = world
        .read(async move |tx| world::book::orders(tx, None, true).await)
        .await;
    assert_eq!(orders.len(), 1);
    let kind = aid_wire::OrderKind::Delete { iccid };
    assert_eq!((orders[0].eid, &orders[0].kind), (world.eid, &kind));
}

// R-4.1-5 R-4.1-7: the account is named before the user leaves, with the code that the MSP shows too.
#[tokio::test(flavor = "multi_thread")]
async fn the_account_is_named_before_the_user_leaves() {
    let world = World::new().await;
    let browser = world.browser().await;
    let page = browser.get("/link?msp=Mobile%20One").await;
    assert!(page.contains("Eva") && page.contains("(eva)"), "{page}");
    let field = |name: &str| {
        let mark = format!("name=\"{name}\" value=\"");
        let at = page.find(&mark).unwrap() + mark.len();
        page[at..].split('"').next().unwrap().to_owned()
    };
    let sid: uuid::Uuid = field("sid").parse().unwrap();
    assert!(page.contains(&aid_aid1::check_code::check_code(sid)));
    let form = [
        ("csrf", csrf(&page)),
        ("msp", field("msp")),
        ("sid", field("sid")),
    ];
    let (status, to) = browser.post("/link", &form).await;
    assert_eq!(status, 303);
    let secrets = [world::SECRET.parse().unwrap()];
    let now = aid_cmp::service::now() / 1000;
    let policy = aid_aid1::account_id::Policy::default();
    let claims = aid_aid1::account_id::verify(&query(&to, "id"), &secrets, &policy, now);
    assert_eq!(claims.unwrap().sid, sid);
    assert_eq!(
        browser.post("/link", &form).await.0,
        409,
        "each link has its own number"
    );
    assert_eq!(browser.visit("/link?msp=Nobody").await.0, 404);
    let stranger = Browser::new(&world);
    let (status, to) = stranger.visit("/link?msp=Mobile%20One").await;
    assert_eq!(
        (status, to.as_str()),
        (303, "/login?next=%2Flink%3Fmsp%3DMobile%2520One")
    );
}

// R-4.3-5 R-2-11
#[tokio::test(flavor = "multi_thread")]
async fn a_user_chooses_which_subscription_serves() {
    let world = World::new().await;
    world.federate().await;
    let browser = world.browser().await;
    assert!(
        !browser
            .get("/subscriptions")
            .await
            .contains("Use Mobile One in cars"),
        "there is no choice yet"
    );
    world.federate().await;
    let page = browser.get("/subscriptions").await;
    assert_eq!(page.matches("Use Mobile One in cars").count(), 1);
    let both = world
        .read(async move |tx| tx.all_federations(None, 1000).await)
        .await;
    let second = uuid::Uuid::from_bytes(both[1].id).to_string();
    let form = |id: &str| [("csrf", csrf(&page)), ("federation", id.to_owned())];
    assert_eq!(
        browser
            .post("/serve", &form(&uuid::Uuid::nil().to_string()))
            .await
            .0,
        404
    );
    assert_eq!(
        browser.post("/serve", &form(&second)).await,
        (303, "/subscriptions?done=serves".into())
    );
    let chosen = world
        .read(async move |tx| tx.preference(world::EVA, None).await)
        .await;
    assert_eq!(chosen, Some(both[1].id));
    let page = browser.get("/subscriptions?done=serves").await;
    assert!(page.contains("Your choice is saved"), "{page}");
    assert!(!browser.get("/?done=<b>").await.contains("<b>"));
}

// R-4.1-1 R-4.1-2: password and PIN change with the present password only; other sessions end.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_changes_password_and_pin() {
    let world = World::new().await;
    let (browser, other) = (world.browser().await, world.browser().await);
    let page = browser.get("/settings").await;
    assert!(page.contains("You have a PIN"), "{page}");
    let page = browser.get("/sessions").await;
    assert!(page.contains("End all other sessions"), "{page}");
    let password = |old: &str, new: &str, again: &str| {
        [
            ("csrf", csrf(&page)),
            ("old", old.into()),
            ("new", new.into()),
            ("again", again.into()),
        ]
    };
    for (old, new, again, status) in [
        ("wrong password", "battery staple", "battery staple", 401),
        (PASSWORD, "short", "short", 422),
        (PASSWORD, "battery staple", "battery stable", 422),
    ] {
        let form = password(old, new, again);
        assert_eq!(browser.post("/password", &form).await.0, status);
    }
    let form = password(PASSWORD, "battery staple", "battery staple");
    let done = browser.post("/password", &form).await;
    assert_eq!(done, (303, "/settings?done=password".into()));
    assert_eq!(
        other.visit("/").await,
        (303, "/login".into()),
        "other sessions end"
    );
    assert_eq!(browser.visit("/").await.0, 200, "this one goes on");
    let page = browser.get("/settings").await;
    let pin = |secret: &str, pin: &str| {
        [
            ("csrf", csrf(&page)),
            ("password", secret.into()),
            ("pin", pin.into()),
        ]
    };
    assert_eq!(
        browser.post("/pin", &pin(PASSWORD, "1234")).await.0,
        401,
        "the old password"
    );
    assert_eq!(
        browser.post("/pin", &pin("battery staple", "12ab")).await.0,
        422
    );
    let done = browser.post("/pin", &pin("battery staple", "9876")).await;
    assert_eq!(done, (303, "/settings?done=pin".into()));
    let stored = world
        .read(async move |tx| tx.account(world::EVA).await)
        .await
        .unwrap();
    let mac = aid_cmp_core::decide::login::pin_mac(&world::PIN_KEY, world::EVA, "9876");
    assert_eq!(stored.pin_mac.as_deref(), Some(mac.as_str()));
    browser.post("/pin", &pin("battery staple", "")).await;
    assert!(browser.get("/settings").await.contains("You have no PIN"));
    let filter = aid_cmp::store::AuditFilter {
        ..Default::default()
    };
    let audits = world.store.audits(&filter, 100).await.unwrap();
    let actions: Vec<_> = audits.iter().map(|a| a.action.to_string()).collect();
    for action in ["password changed", "PIN changed", "PIN removed"] {
        assert!(actions.iter().any(|a| a == action), "{actions:?}");
    }
}

// A session is renewed by a login, and the limit is no oracle for names.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_renewed_and_names_stay_unknown() {
    let world = World::new().await;
    let browser = world.browser().await;
    let sign_in = async |browser: &Browser, name: &str, password: &str| {
        let page = browser.get("/login").await;
        let form = login(csrf(&page), "/", name, password);
        let url = format!("https://localhost:{}/login", world.portal.port());
        let answer = browser.client.post(url).form(&form).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    // Who is signed in is not asked again.
    assert_eq!(
        browser.visit("/login?next=/settings").await,
        (303, "/settings".into())
    );
    let mut seen = Vec::new();
    for name in ["eva", "nobody"] {
        let stranger = Browser::new(&world);
        let mut answers = Vec::new();
        for _ in 0..7 {
            let (status, page) = sign_in(&stranger, name, "wrong password").await;
            answers.push((status, page.contains("Too many attempts")));
        }
        seen.push(answers);
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0].last(), Some(&(401, true)));
}

// Pages for whatever goes wrong; nobody may register unless that is configured.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_addresses_and_forms_are_pages() {
    let world = World::new().await;
    let browser = world.browser().await;
    for (path, status) in [
        ("/nothing", 404),
        ("/register", 404),
        ("/logout", 405),
        ("/link", 400),
    ] {
        let url = format!("https://localhost:{}{path}", world.portal.port());
        let answer = browser.client.get(url).send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        assert!(
            answer.headers()["content-security-policy"]
                .to_str()
                .unwrap()
                .contains("frame-ancestors 'none'")
        );
        let page = answer.text().await.unwrap();
        assert!(
            page.contains("Not possible") && page.contains("viewport"),
            "{page}"
        );
    }
    for path in [
        "/unlink",
        "/delete",
        "/serve",
        "/again",
        "/dismiss",
        "/car",
        "/car/logout",
        "/password",
        "/pin",
    ] {
        assert_eq!(browser.post(path, &[]).await.0, 400, "{path}");
    }
}

// The shape of RFC 8628 §3.3: the page names the car before it is approved.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_approved_by_the_code_that_a_car_shows() {
    let world = World::new().await;
    let browser = world.browser().await;
    let mut car = world::car::Car::connect(&world).await;
    car.send([7; 16], aid_wire::Up::LoginByCode { login_id: [7; 16] })
        .await;
    let code = loop {
        if let aid_wire::Down::LoginCode { code, url, .. } = car.message().await.body {
            assert!(url.ends_with("/car"), "{url}");
            break code;
        }
    };
    let page = browser.get("/car").await;
    let form = |code: &str, decision: &str| {
        let mut form = vec![("csrf", csrf(&page)), ("code", code.to_owned())];
        if !decision.is_empty() {
            form.push(("decision", decision.to_owned()));
        }
        form
    };
    assert_eq!(browser.post("/car", &form("WRONG", "")).await.0, 422);
    // Nothing was typed here yet.
    assert_eq!(browser.visit("/car/confirm").await, (303, "/car".into()));
    let typed = browser.post("/car", &form(&code, "")).await;
    assert_eq!(typed, (303, "/car/confirm".into()));
    let named = browser.get("/car/confirm").await;
    assert!(
        named.contains(world.eid.as_str()) && named.contains("Log me in"),
        "{named}"
    );
    let approved = browser.post("/car", &form(&code, "approve")).await;
    assert_eq!(approved, (303, "/car/done?in=yes".into()));
    loop {
        if let aid_wire::Down::LoginResult { login_id, outcome } = car.message().await.body {
            assert_eq!(login_id, [7; 16]);
            assert!(
                matches!(outcome, aid_wire::LoginOutcome::Accepted { account, .. } if account == world::EVA)
            );
            break;
        }
    }
    assert_eq!(
        browser.post("/car", &form(&code, "approve")).await.0,
        422,
        "once"
    );
    // The car's QR code fills the code in, and does nothing else: the car is named, and the user says yes (RFC 8628 §5.4).
    let page = browser.get(&format!("/car?code={code}")).await;
    assert!(page.contains(&format!("value=\"{code}\"")), "{page}");
    let attack = browser.get("/car?code=%22%3E%3Cscript%3E").await;
    assert!(!attack.contains("<script>") && !attack.contains("value=\"&quot;"));
    let stranger = Browser::new(&world);
    let (_, to) = stranger.visit(&format!("/car?code={code}")).await;
    assert_eq!(to, format!("/login?next=%2Fcar%3Fcode%3D{code}"));
}

// R-4.4.2-7
#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_told_that_the_msp_ended_the_link() {
    let world = World::new().await;
    let token = world.federate().await;
    let call = aid_aid1::client::Call::new();
    let body = aid_aid1::body::NotifyTokenInvalid {
        reason: Some("<i>contract</i>".into()),
    };
    world
        .client()
        .notify_token_invalid(call, token, &body)
        .await
        .unwrap();
    let browser = world.browser().await;
    let page = browser.get("/").await;
    assert!(
        page.contains("The operator ended the link") && !page.contains("<i>"),
        "{page}"
    );
    let notice = world
        .read(async move |tx| tx.notices(world::EVA).await)
        .await
        .remove(0);
    let id = uuid::Uuid::from_bytes(notice.id).to_string();
    let form = [("csrf", csrf(&page)), ("notice", id)];
    assert_eq!(browser.post("/dismiss", &form).await, (303, "/".into()));
    assert!(
        !browser
            .get("/")
            .await
            .contains("The operator ended the link")
    );
}

// R-2-3 R-2-9
#[tokio::test(flavor = "multi_thread")]
async fn a_user_sets_what_he_prefers_in_cars() {
    let world = World::new().await;
    let browser = world.browser().await;
    let set = async |name: &str, value: &str| {
        let page = browser.get("/settings").await;
        let form = [
            ("csrf", csrf(&page)),
            ("name", name.to_owned()),
            ("value", value.to_owned()),
        ];
        browser.post("/preference", &form).await
    };
    let saved = "/settings?done=preference".to_owned();
    assert_eq!(set("language", "de").await, (303, saved.clone()));
    assert_eq!(set("two words", "x").await.0, 422);
    let page = browser.get("/settings").await;
    assert!(page.contains("<dd>German</dd>"), "{page}");
    let mut car = Car::connect(&world).await;
    car.login([1; 16], PIN).await;
    let expected = [("language".to_owned(), "de".to_owned())];
    assert_eq!(car.user_profile().await.preferences, expected);
    // A car where the user is logged in hears of a change at once.
    assert_eq!(set("language", "").await, (303, saved));
    assert!(car.user_profile().await.preferences.is_empty());
    let forged = [
        ("csrf", "x".into()),
        ("name", "a".into()),
        ("value", "b".into()),
    ];
    assert_eq!(browser.post("/preference", &forged).await.0, 403);
}

// R-5.2-4 R-5.2-11
#[tokio::test(flavor = "multi_thread")]
async fn a_user_says_what_was_agreed_when_an_id_is_issued() {
    let world = World::new().await;
    let file = world.config();
    let text = std::fs::read_to_string(&file).unwrap();
    let asks = "name = \"Mobile One\"\naccount_id_ver = \"the last four digits of your number\"";
    std::fs::write(&file, text.replace("name = \"Mobile One\"", asks)).unwrap();
    let browser = world.browser().await;
    let mut page = String::new();
    for _ in 0..60 {
        page = browser.get("/link?msp=Mobile%20One").await;
        if page.contains("the last four digits of your number") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
    }
    assert!(page.contains("name=\"ver\""), "{page}");
    let link = async |ver: Option<&str>| {
        let page = browser.get("/").await;
        let mut form = vec![("csrf", csrf(&page)), ("msp", "Mobile One".to_owned())];
        form.extend(ver.map(|v| ("ver", v.to_owned())));
        browser.post("/link", &form).await
    };
    // Without it, and with what is no such thing, no id is issued.
    assert_eq!(link(None).await.0, 422);
    assert_eq!(link(Some("")).await.0, 422);
    let (status, location) = link(Some("4567")).await;
    assert_eq!(status, 303);
    let id = query(&location, "id");
    let secret = world::SECRET.parse().unwrap();
    let now = aid_cmp::service::now() / 1000;
    let policy = aid_aid1::account_id::Policy::default();
    let claims = aid_aid1::account_id::verify(&id, &[secret], &policy, now).unwrap();
    assert_eq!(claims.ver.as_deref(), Some("4567"));
    // The other MSP did not agree on it: it is neither asked for nor sent.
    let page = browser.get("/link?msp=Mobile%20Two").await;
    assert!(!page.contains("name=\"ver\""));
}
