//! The portal's pages: what they say of cars and of what waits, names and sessions, export and deletion, languages, weight,
//! live updates, and attacks on all of them (AID6).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use aid_cmp_core::change::Change;
use aid_cmp_core::model::{
    CodeRequest, Hold, MspVerdict, Order, OrderState, Profile, ProfileStatus, RequestState,
};
use aid_id::{Eid, Iccid, Id};
use aid_wire::OrderKind;
use serde_json::Value;
use world::{Browser, EVA, PASSWORD, World, csrf};

const FIRST: &str = "8944500805172032953";
const SECOND: &str = "8944500805172032961";

fn profile(iccid: &str, federation: Id, eid: Eid, status: ProfileStatus) -> Profile {
    Profile {
        iccid: iccid.parse().unwrap(),
        federation,
        eid,
        status,
        verdict: MspVerdict::Valid,
        last_used: 1,
        created_at: 1,
    }
}

/// Eva's only link.
async fn link(world: &World) -> Id {
    world.federate().await;
    let all = world.read(async move |tx| tx.all_federations(None, 1000).await);
    all.await[0].id
}

fn removal(iccid: &str, federation: Id, eid: Eid) -> Order {
    let iccid: Iccid = iccid.parse().unwrap();
    Order {
        id: [0x0D; 16],
        eid,
        kind: OrderKind::Delete { iccid },
        reason: "by the user".into(),
        federation: Some(federation),
        correlation: [1; 16],
        state: OrderState::Open,
        code: None,
        attempts: 0,
        created_at: aid_cmp::service::now() - 600_000,
        sent_at: None,
        closed_at: None,
    }
}

// R-4.5-2 R-4.5-4 R-4.5-10: a pending removal is shown as pending, and each profile is judged by itself.
#[tokio::test(flavor = "multi_thread")]
async fn states_are_told_as_they_are_for_each_profile() {
    let world = World::new().await;
    let federation = link(&world).await;
    let (eid, other) = (world.eid, world::eid(2));
    let changes = vec![
        Change::PutProfile(profile(FIRST, federation, eid, ProfileStatus::Enabled)),
        Change::AddOrder(removal(FIRST, federation, eid)),
        Change::PutProfile(profile(SECOND, federation, other, ProfileStatus::Deleted)),
    ];
    world.commit(changes).await;
    let browser = world.browser().await;
    let page = browser.get("/").await;
    assert!(
        page.contains("Removal waits for the car, ordered <time"),
        "{page}"
    );
    assert!(
        page.contains(">10 minutes ago</time>") && !page.contains("In use"),
        "{page}"
    );
    // It is ordered already: nothing to order again.
    let car = browser.get(&format!("/cars/{eid}")).await;
    assert!(
        car.contains("Removal waits for the car") && !car.contains("/delete?"),
        "{car}"
    );
    // The profile of the other car is gone, and nobody says that its user wants none.
    let gone = browser.get(&format!("/cars/{other}")).await;
    assert!(
        !gone.contains("Removed by you") && !gone.contains("/again"),
        "{gone}"
    );
    let hold = Change::SetHold(Hold {
        federation,
        eid: other,
        since: 1,
    });
    world.commit(vec![hold]).await;
    let held = browser.get(&format!("/cars/{other}")).await;
    assert!(
        held.contains("Removed by you") && held.contains("action=\"/again\""),
        "{held}"
    );
    let first = browser.get(&format!("/cars/{eid}")).await;
    assert!(!first.contains("Removed by you"), "{first}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reason_is_told_where_no_profile_came() {
    let world = World::new().await;
    let federation = link(&world).await;
    let request = CodeRequest {
        id: [0xC0; 16],
        car_request: [0xC1; 16],
        eid: world.eid,
        account: EVA,
        federation,
        correlation: [2; 16],
        replace_iccid: None,
        state: RequestState::Failed,
        code: None,
        iccid: None,
        swapped: None,
        error_code: Some(49),
        error: Some("No profile <left>".into()),
        created_at: 1,
        expires_at: 2,
        delivered_at: None,
        changed_at: aid_cmp::service::now() - 7_200_000,
    };
    world.commit(vec![Change::PutRequest(request)]).await;
    let browser = world.browser().await;
    let home = browser.get("/").await;
    assert!(home.contains("did not get your subscription"), "{home}");
    let page = browser.get(&format!("/cars/{}", world.eid)).await;
    for part in [
        "Mobile One has no profile for this subscription right now",
        "The operator said: No profile &lt;left&gt;",
        "2 hours ago",
        "code 49",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    // A profile that came after all is the last word.
    let came = profile(FIRST, federation, world.eid, ProfileStatus::Enabled);
    world.commit(vec![Change::PutProfile(came)]).await;
    let page = browser.get(&format!("/cars/{}", world.eid)).await;
    assert!(
        !page.contains("No profile came") && page.contains("In use"),
        "{page}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_names_their_own_cars() {
    let world = World::new().await;
    let federation = link(&world).await;
    let own = profile(FIRST, federation, world.eid, ProfileStatus::Disabled);
    world.commit(vec![Change::PutProfile(own)]).await;
    let browser = world.browser().await;
    let page = browser.get(&format!("/cars/{}", world.eid)).await;
    let name = async |eid: Eid, name: &str| {
        let form = [
            ("csrf", csrf(&page)),
            ("eid", eid.to_string()),
            ("name", name.to_owned()),
        ];
        browser.post("/cars/name", &form).await
    };
    let named = (303, format!("/cars/{}?done=car", world.eid));
    assert_eq!(name(world.eid, "<b>Blue</b>").await, named);
    let home = browser.get("/").await;
    assert!(
        home.contains("&lt;b&gt;Blue&lt;/b&gt;") && !home.contains("<b>Blue"),
        "{home}"
    );
    assert_eq!(name(world.eid, &"x".repeat(65)).await.0, 422);
    assert_eq!(name(world.eid, "a\u{202e}b").await.0, 422);
    assert_eq!(name(world::eid(2), "Mine").await.0, 404, "never been in it");
    assert_eq!(name(world.eid, "  ").await, named);
    assert!(browser.get("/").await.contains("Car …"));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_session_can_be_ended_and_only_ones_own() {
    let world = World::new().await;
    let (browser, other) = (world.browser().await, world.browser().await);
    let page = browser.get("/sessions").await;
    let mark = "name=\"session\" value=\"";
    let at = page.find(mark).expect("another session") + mark.len();
    let session = page[at..at + 64].to_owned();
    let form = |csrf: String| [("csrf", csrf), ("session", session.clone())];
    assert_eq!(
        browser.post("/sessions/end", &form("x".into())).await.0,
        403
    );
    assert_eq!(other.visit("/").await.0, 200);
    let ended = browser.post("/sessions/end", &form(csrf(&page))).await;
    assert_eq!(ended, (303, "/sessions?done=session".into()));
    assert_eq!(other.visit("/").await, (303, "/login".into()));
    // A hash is no cookie.
    let cookie = format!("__Host-aid-session={session}");
    let url = format!("https://localhost:{}/", world.portal.port());
    let stranger = Browser::new(&world)
        .client
        .get(url)
        .header("cookie", cookie);
    assert_eq!(stranger.send().await.unwrap().status(), 303);
}

// R-4.4.1-14
#[tokio::test(flavor = "multi_thread")]
async fn a_user_takes_their_data_and_leaves() {
    let world = World::new().await;
    let federation = link(&world).await;
    let own = profile(FIRST, federation, world.eid, ProfileStatus::Enabled);
    world.commit(vec![Change::PutProfile(own)]).await;
    let browser = world.browser().await;
    let url = format!("https://localhost:{}/export", world.portal.port());
    let answer = browser.client.get(url).send().await.unwrap();
    let headers = answer.headers().clone();
    assert!(
        headers["content-disposition"]
            .to_str()
            .unwrap()
            .starts_with("attachment")
    );
    let text = answer.text().await.unwrap();
    let data: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(data["name"], "eva");
    assert_eq!(data["subscriptions"][0]["number"], "491701234567");
    assert_eq!(data["subscriptions"][0]["profiles"][0]["iccid"], FIRST);
    assert!(
        data["subscriptions"][0]["linked_at"]
            .as_str()
            .unwrap()
            .ends_with('Z')
    );
    for secret in ["argon2", "token", "pin_mac"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    assert_eq!(Browser::new(&world).visit("/export").await.0, 303);
    let page = browser.get("/delete-account").await;
    let delete = async |password: &str| {
        let form = [("csrf", csrf(&page)), ("password", password.to_owned())];
        browser.post("/delete-account", &form).await
    };
    assert_eq!(delete("not the password").await.0, 401);
    assert_eq!(browser.visit("/").await.0, 200);
    assert_eq!(delete(PASSWORD).await, (303, "/goodbye".into()));
    assert!(
        browser
            .get("/goodbye")
            .await
            .contains("Your account is deleted")
    );
    assert_eq!(browser.visit("/").await, (303, "/login".into()));
    let stranger = Browser::new(&world);
    let login = stranger.get("/login").await;
    let form = [
        ("csrf", csrf(&login)),
        ("name", "eva".into()),
        ("password", PASSWORD.into()),
    ];
    assert_eq!(stranger.post("/login", &form).await.0, 401);
    let orders = world.store.orders(Some(world.eid), true).await.unwrap();
    assert!(
        orders
            .iter()
            .any(|o| matches!(o.kind, OrderKind::Delete { .. })),
        "{orders:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_speak_the_readers_language_and_are_light() {
    let world = World::new().await;
    let browser = world.browser().await;
    let get = async |path: &str, language: &str| {
        let url = format!("https://localhost:{}{path}", world.portal.port());
        let request = browser.client.get(url).header("accept-language", language);
        request.send().await.unwrap().text().await.unwrap()
    };
    let page = get("/", "de-DE,de;q=0.9,en;q=0.5").await;
    assert!(
        page.contains("<html lang=\"de\"") && page.contains("Hallo Eva"),
        "{page}"
    );
    assert!(
        get("/nothing", "de")
            .await
            .contains("Diese Seite gibt es nicht")
    );
    assert!(get("/", "fr").await.contains("Hello Eva"));
    for path in [
        "/",
        "/cars",
        "/subscriptions",
        "/settings",
        "/preference",
        "/sessions",
    ] {
        let page = get(path, "en").await;
        assert!(page.len() <= 15_000, "{path} has {} bytes", page.len());
        assert_eq!(page.matches("<h1>").count(), 1, "{path}");
        assert!(
            !page.contains(" style=") && !page.contains("<style") && !page.contains(" onclick"),
            "{path}"
        );
        let mut first = page.len();
        for asset in page.split('"').filter(|part| part.starts_with("/assets/")) {
            let url = format!("https://localhost:{}{asset}", world.portal.port());
            let answer = browser.client.get(url).send().await.unwrap();
            let cached = answer.headers()["cache-control"]
                .to_str()
                .unwrap()
                .to_owned();
            assert!(cached.contains("immutable"), "{asset}: {cached}");
            first += answer.bytes().await.unwrap().len();
        }
        assert!(first <= 60_000, "{path} has {first} bytes the first time");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_is_told_when_its_page_changes_and_nobody_else_is() {
    let world = World::new().await;
    let federation = link(&world).await;
    let browser = world.browser().await;
    let page = browser.get("/").await;
    let mark = "data-live=\"";
    let at = page.find(mark).unwrap() + mark.len();
    let live = page[at..].split('"').next().unwrap().replace("&amp;", "&");
    assert_eq!(Browser::new(&world).visit(&live).await.0, 401);
    let url = format!("https://localhost:{}{live}", world.portal.port());
    let mut events = browser.client.get(url).send().await.unwrap();
    assert_eq!(events.headers()["content-type"], "text/event-stream");
    let own = profile(FIRST, federation, world.eid, ProfileStatus::Enabled);
    world.commit(vec![Change::PutProfile(own)]).await;
    let chunk = events.chunk().await.unwrap().unwrap();
    assert!(chunk.starts_with(b"event: change\n"), "{chunk:?}");
    // Nothing of the page goes over it.
    assert!(chunk.len() < 40);
}

/// Every form of the portal that does something.
const DEEDS: [&str; 20] = [
    "/again",
    "/car",
    "/car/logout",
    "/cars/name",
    "/delete",
    "/delete-account",
    "/dismiss",
    "/link",
    "/logout",
    "/name",
    "/openid/link",
    "/openid/unlink",
    "/password",
    "/pin",
    "/preference",
    "/preferences",
    "/serve",
    "/sessions",
    "/sessions/end",
    "/unlink",
];

/// Fields that satisfy any of them, with this token.
fn anything(world: &World, token: &str) -> Vec<(&'static str, String)> {
    let id = uuid::Uuid::nil().to_string();
    let text = |name: &'static str, value: &str| (name, value.to_owned());
    vec![
        text("csrf", token),
        text("eid", world.eid.as_str()),
        text("iccid", FIRST),
        text("federation", &id),
        text("notice", &id),
        text("code", "BDFHJKLM"),
        text("name", "language"),
        text("value", "de"),
        text("display_name", "Mallory"),
        text("old", PASSWORD),
        text("new", "battery staple"),
        text("again", "battery staple"),
        text("password", PASSWORD),
        text("pin", "1234"),
        text("msp", "Mobile One"),
        text("session", "00"),
        text("issuer", "https://id.example"),
        text("subject", "1"),
        text("confirmed", "yes"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn no_form_works_for_another_site_or_without_a_session() {
    let world = World::new().await;
    let browser = world.browser().await;
    let other = world.browser().await;
    let foreign = csrf(&other.get("/").await);
    for path in DEEDS {
        for token in ["", "00", &foreign] {
            let form = anything(&world, token);
            assert_eq!(browser.post(path, &form).await.0, 403, "{path} {token}");
        }
        let form = anything(&world, &foreign);
        let answer = Browser::new(&world).client;
        let url = format!("https://localhost:{}{path}", world.portal.port());
        let answer = answer.post(url).form(&form).send().await.unwrap();
        assert_eq!(answer.status(), 401, "{path}");
        let page = answer.text().await.unwrap();
        assert!(page.contains("href=\"/login?next=%2F"), "{path}: {page}");
    }
    let account = world.read(async move |tx| tx.account(EVA).await).await;
    assert_eq!(account.unwrap().display_name, "Eva");
    assert_eq!(other.visit("/").await.0, 200, "no session ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_refuses_frames_foreign_scripts_and_caches() {
    let world = World::new().await;
    let browser = world.browser().await;
    let car = format!("/cars/{}", world.eid);
    for path in [
        "/",
        "/cars",
        &car,
        "/subscriptions",
        "/settings",
        "/name",
        "/password",
        "/pin",
        "/preference",
        "/sessions",
        "/export",
        "/delete-account",
        "/car",
        "/car/confirm",
        "/car/done",
        "/login",
        "/forgotten",
        "/welcome",
        "/goodbye",
        "/nothing",
        "/unlink",
        "/delete",
        "/openid",
        "/openid/return",
        "/link?msp=%3Cscript%3E",
        "/cars/%3Cscript%3E",
        "/?done=%3Cscript%3E",
        "/car?code=%3Cscript%3E",
    ] {
        let url = format!("https://localhost:{}{path}", world.portal.port());
        let answer = browser.client.get(url).send().await.unwrap();
        let headers = answer.headers().clone();
        let policy = headers["content-security-policy"].to_str().unwrap();
        for part in [
            "default-src 'none'",
            "frame-ancestors 'none'",
            "script-src 'self';",
            "style-src 'self';",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(headers["cache-control"], "no-store", "{path}");
        assert_eq!(headers["x-frame-options"], "DENY", "{path}");
        let page = answer.text().await.unwrap();
        assert!(!page.contains("<script>"), "{path}: {page}");
    }
}
