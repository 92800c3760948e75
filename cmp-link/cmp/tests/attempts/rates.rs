//! What the portal and AID1 do for strangers is bounded: passwords that are hashed, accounts that are made, forms and
//! keys from one place.

use super::{Door, alone, changed, guess, instance};
use crate::world::{self, EVA, PASSWORD, PIN, World};
use aid_cmp::service::fresh;
use aid_id::Secret;
use aid_serve::password::{self, AT_ONCE, QUEUE};
use aid_wire::LoginOutcome;
use std::sync::Arc;
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread")]
async fn no_more_passwords_are_hashed_at_once_than_the_cap() {
    let _alone = alone().await;
    let mut world = World::new().await;
    world.halt().await;
    let cmp = instance(&world).await;
    let mut tasks = JoinSet::new();
    for n in 0..200 {
        let cmp = Arc::clone(&cmp);
        tasks.spawn(async move {
            let secret = Secret::new("wrong password".into());
            if n % 4 == 3 {
                let name = format!("new {n}");
                changed(cmp.register(&name, "New", &secret).await.unwrap())
            } else {
                guess(&cmp, Door::Nobody, "", false, n).await
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let load = password::load();
    assert!(load.most > 0 && load.most <= AT_ONCE, "{load:?}");
    assert_eq!((load.running, load.waiting), (0, 0));
}

// A request that finds the queue full gets 503 and costs no attempt; requests that need no hash are not delayed.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_said_and_counts_nothing() {
    let _alone = alone().await;
    let mut world = World::new().await;
    let text = std::fs::read_to_string(world.config()).unwrap();
    let open = text.replace("[portal]\n", "[portal]\nopen_registration = true\n");
    std::fs::write(world.config(), open).unwrap();
    world.restart().await;
    let browser = world.browser().await;
    let settings = browser.get("/settings").await;
    let stranger = world::Browser::new(&world);
    let mut held = Vec::new();
    for _ in 0..AT_ONCE {
        held.push(password::permit().await.unwrap());
    }
    let mut waiting = JoinSet::new();
    let field = |name: &'static str, text: &str| (name, text.to_owned());
    let token = || field("csrf", &world::csrf(&settings));
    for path in ["/login", "/register", "/password", "/pin"] {
        let (client, form) = match path {
            "/login" | "/register" => {
                let csrf = field("csrf", &world::csrf(&stranger.get(path).await));
                let name = if path == "/login" { "eva" } else { "new" };
                let display = field("display_name", "New");
                let form = vec![
                    csrf,
                    field("name", name),
                    display,
                    field("password", PASSWORD),
                ];
                (&stranger, form)
            }
            "/password" => {
                let new = ["new", "again"].map(|name| field(name, "battery staple"));
                let mut form = vec![token(), field("old", PASSWORD)];
                form.extend(new);
                (&browser, form)
            }
            _ => {
                let form = vec![token(), field("password", PASSWORD), field("pin", "1234")];
                (&browser, form)
            }
        };
        // Again each time: on a slow machine some have waited for too long.
        while password::load().waiting < QUEUE {
            waiting.spawn(async { password::permit().await.map(drop) });
            tokio::task::yield_now().await;
        }
        let url = format!("https://localhost:{}{path}", world.portal.port());
        let answer = client.client.post(url).form(&form).send().await.unwrap();
        assert_eq!(answer.status(), 503, "{path}");
        let wait: u64 = answer.headers()["retry-after"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!(wait > 0, "{path}");
        let page = answer.text().await.unwrap();
        assert!(
            page.contains("try again in a few seconds"),
            "{path}: {page}"
        );
    }
    // AID1 and the cars go on.
    let unknown = aid_id::MspToken::from_bytes(fresh());
    let body = aid_aid1::body::NotifyTokenInvalid::default();
    let call = aid_aid1::client::Call::new();
    let refused = world
        .client()
        .notify_token_invalid(call, unknown, &body)
        .await;
    assert_eq!(refused.unwrap_err().refusal().unwrap().0, 404);
    let mut car = world::car::Car::connect(&world).await;
    let welcome = car.login([1; 16], PIN).await;
    assert!(matches!(welcome, LoginOutcome::Accepted { .. }));
    let key = format!("password:{}", hex::encode(EVA.0));
    assert_eq!(world.store.attempts(&key).await.unwrap(), None);
    assert_eq!(world.store.attempts("registrations").await.unwrap(), None);
    drop(held);
    while waiting.join_next().await.is_some() {}
    world.browser().await;
}

/// A second CMP on the world's database, whose pages anybody may register at, with these limits.
async fn open_to_all(world: &World, limits: &str) -> world::Instance {
    let text = std::fs::read_to_string(world.config()).unwrap();
    let open = text.replace("[portal]\n", "[portal]\nopen_registration = true\n");
    std::fs::write(world.config(), format!("{open}\n[limits]\n{limits}\n")).unwrap();
    world.another().await
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_strangers_register_in_an_hour() {
    let _alone = alone().await;
    let mut world = World::new().await;
    world.halt().await;
    let limits = "login = { per_second = 1000.0, burst = 1000 }\nregistrations_per_hour = 7";
    let cmp = open_to_all(&world, limits).await;
    world.portal = cmp.portal;
    let url = format!("https://localhost:{}/register", cmp.portal.port());
    let mut tasks = JoinSet::new();
    for n in 0..40 {
        let (browser, url) = (world::Browser::new(&world), url.clone());
        tasks.spawn(async move {
            let page = browser.get("/register").await;
            let form = [
                ("csrf", world::csrf(&page)),
                ("name", format!("stranger {n}")),
                ("display_name", "New".into()),
                ("password", PASSWORD.into()),
            ];
            let answer = browser.client.post(url).form(&form).send().await.unwrap();
            let retry = answer.headers().contains_key("retry-after");
            (answer.status().as_u16(), retry)
        });
    }
    let mut made = 0;
    while let Some(done) = tasks.join_next().await {
        match done.unwrap() {
            (303, false) => made += 1,
            (429, true) => {}
            other => panic!("{other:?}"),
        }
    }
    let accounts = world.store.accounts().await.unwrap();
    assert_eq!((made, accounts.len()), (7, 8), "Eva is there too");
    cmp.stop().await;
}

// All forms with a secret or a hash share the tokens of an address.
#[tokio::test(flavor = "multi_thread")]
async fn no_form_is_a_way_around_the_limit_by_address() {
    let mut world = World::new().await;
    world.halt().await;
    let forms = ["/login", "/register", "/password", "/pin", "/car"];
    for path in forms {
        let file = world.config();
        let before = std::fs::read_to_string(&file).unwrap();
        let cmp = open_to_all(&world, "login = { per_second = 0.001, burst = 5 }").await;
        std::fs::write(&file, before).unwrap();
        world.portal = cmp.portal;
        let browser = world::Browser::new(&world);
        for other in forms {
            assert_ne!(browser.post(other, &[]).await.0, 429, "{other}");
        }
        assert_eq!(browser.post(path, &[]).await.0, 429, "{path}");
        assert_eq!(
            browser.visit("/login").await.0,
            200,
            "looking costs nothing"
        );
        cmp.stop().await;
    }
}

// R-6-2: without a token no key is judged, not even the right one.
#[tokio::test(flavor = "multi_thread")]
async fn keys_of_msps_are_not_guessed_faster_than_the_limit() {
    let mut world = World::new().await;
    world.halt().await;
    let cmp = open_to_all(&world, "aid1 = { per_second = 0.001, burst = 4 }").await;
    let ask = |key: &str| {
        let client = world.client_of(cmp.aid1, "mspone", key, "msp");
        tokio::spawn(async move {
            let body = aid_aid1::body::NotifyTokenInvalid::default();
            let call = aid_aid1::client::Call::new();
            let unknown = aid_id::MspToken::from_bytes(fresh());
            let refused = client.notify_token_invalid(call, unknown, &body).await;
            refused.unwrap_err().refusal().unwrap().0.as_u16()
        })
    };
    assert_eq!(
        ask("mspkey").await.unwrap(),
        404,
        "the right key costs no guess"
    );
    let guesses = ["a", "b", "c", "d", "e", "f", "g", "h"].map(ask);
    let mut statuses = Vec::new();
    for guess in guesses {
        statuses.push(guess.await.unwrap());
    }
    assert_eq!(
        statuses.iter().filter(|s| **s == 401).count(),
        4,
        "{statuses:?}"
    );
    assert_eq!(
        statuses.iter().filter(|s| **s == 429).count(),
        4,
        "{statuses:?}"
    );
    assert_eq!(ask("mspkey").await.unwrap(), 429);
    cmp.stop().await;
}
