//! U+0000 and other characters that no text has: refused at the edge, with the same answer on both databases.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use aid_id::Secret;
use aid_wire::{Down, LoginOutcome, LoginWay, Up};
use world::car::Car;
use world::postgres::Postgres;
use world::{Browser, EVA, PIN, World, csrf};

/// Pages, and the fields that their forms have.
const PAGES: [&str; 14] = [
    "/login",
    "/register",
    "/link",
    "/touchpoint",
    "/unlink",
    "/delete",
    "/serve",
    "/again",
    "/dismiss",
    "/car",
    "/car/logout",
    "/password",
    "/pin",
    "/preference",
];
const FIELDS: [&str; 16] = [
    "csrf",
    "name",
    "password",
    "next",
    "msp",
    "ver",
    "iccid",
    "eid",
    "code",
    "decision",
    "value",
    "federation",
    "display_name",
    "new",
    "state",
    "sid",
];

/// What every page says to every field with such a text, as its user and as a stranger.
async fn pages(world: &World, text: &str) -> Vec<u16> {
    let eva = world.browser().await;
    let stranger = Browser::new(world);
    let mut said = Vec::new();
    for browser in [&eva, &stranger] {
        let page = browser.get("/car").await;
        let token = match page.contains("name=\"csrf\"") {
            true => csrf(&page),
            false => csrf(&browser.get("/login").await),
        };
        for path in PAGES {
            for bad in FIELDS {
                let field = |name: &&'static str| {
                    let value = match (*name == bad, *name) {
                        (true, _) => text.to_owned(),
                        (false, "csrf") => token.clone(),
                        _ => "x".into(),
                    };
                    (*name, value)
                };
                let form: Vec<_> = FIELDS.iter().map(field).collect();
                said.push(browser.post(path, &form).await.0);
            }
        }
        for path in [
            "/",
            "/login",
            "/touchpoint",
            "/linked",
            "/touchpoint/leave",
            "/nothing",
        ] {
            for query in ["state", "next", "redirect_uri", "code", "id", "done"] {
                let escaped = aid_aid1::redirect::percent_encode(text);
                let (status, _) = browser.visit(&format!("{path}?{query}={escaped}")).await;
                said.push(status);
            }
        }
    }
    said
}

/// What a car is told: whether it is welcome, and whether logins are accepted.
async fn car(world: &World, text: &str) -> Vec<bool> {
    let mut car = Car::connect(world).await;
    let mut said = Vec::new();
    for (id, software) in [(1, text.to_owned()), (2, format!("{text} AID2/2"))] {
        let hello = Up::Hello {
            software,
            profiles: Vec::new(),
        };
        car.send([id; 16], hello).await;
        let answer = car.message().await.body;
        said.push(matches!(answer, Down::Ack { .. } | Down::Welcome { .. }));
    }
    let session = world.store.vehicle(world.eid).await.unwrap().unwrap();
    let number = session.mark.number.unwrap();
    let right = (String::from("eva"), PIN.to_owned());
    let logins = [
        (text.to_owned(), PIN.to_owned()),
        (format!("eva{text}"), PIN.to_owned()),
        ("eva".to_owned(), text.to_owned()),
        right,
    ];
    for (n, (user, pin)) in (3_u8..).zip(logins) {
        let login_id = [n; 16];
        let pin = Secret::new(pin);
        let body = Up::NumberedLogin {
            number: number + u64::from(n),
            account: None,
            login_id,
            way: LoginWay::Pin { user, pin },
        };
        car.send(login_id, body).await;
        let Down::LoginResult { outcome, .. } = car.message().await.body else {
            panic!("no result");
        };
        said.push(matches!(outcome, LoginOutcome::Accepted { account, .. } if account == EVA));
    }
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_that_no_database_stores_are_refused_alike() {
    for text in ["\0", "a\0b", "\u{1}\u{7f}", "\0\u{202e}"] {
        let server = Postgres::start();
        let url = server.as_ref().map(|server| server.url());
        let mut both = Vec::new();
        for url in std::iter::once(None).chain(url.as_deref().map(Some)) {
            let mut world = World::on(url).await;
            let said = (pages(&world, text).await, car(&world, text).await);
            world.halt().await;
            world.store.close().await;
            let fails = said.0.iter().any(|status| *status >= 500);
            assert!(!fails, "{text:?} {url:?} {:?}", said.0);
            let expected = [true, true, false, false, false, true];
            assert_eq!(said.1, expected, "{text:?} {url:?}");
            if text.contains('\0') {
                assert!(said.0.contains(&400));
            }
            both.push(said.0);
        }
        if let [one, other] = &both[..] {
            // Who asks too often is told so, by the clock.
            let differ = |(a, b): &(&u16, &u16)| a != b && **a != 429 && **b != 429;
            let differing: Vec<_> = one.iter().zip(other).filter(differ).collect();
            assert!(differing.is_empty(), "{text:?} {differing:?}");
        }
    }
}
