//! Sign-in by OpenID Connect, with a small identity provider that is honest or not (AID6).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use aid_cmp::operator::Operator;
use aid_cmp_core::change::Change;
use aid_cmp_core::model::Attempts;
use aid_id::Secret;
use axum::extract::{Form, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use world::{Browser, Instance, World, csrf, query};

/// What the provider makes of the next token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    None,
    Nonce,
    Audience,
    Issuer,
    Expired,
    Key,
}

struct Provider {
    issuer: String,
    key: EcdsaKeyPair,
    other: EcdsaKeyPair,
    lie: Mutex<Lie>,
    /// By code: nonce and challenge. A code works once.
    codes: Mutex<BTreeMap<String, (String, String)>>,
    subject: Mutex<String>,
}

fn pair() -> EcdsaKeyPair {
    let (kind, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
    EcdsaKeyPair::from_pkcs8(kind, pkcs8.as_ref(), &random).unwrap()
}

type Idp = Arc<Provider>;

impl Provider {
    async fn start(world: &World) -> Idp {
        let listener = aid_serve::http::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!(
            "https://localhost:{}",
            listener.local_addr().unwrap().port()
        );
        let provider = Arc::new(Self {
            issuer,
            key: pair(),
            other: pair(),
            lie: Mutex::new(Lie::None),
            codes: Mutex::default(),
            subject: Mutex::new("subject-1".into()),
        });
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(describe))
            .route("/keys", get(keys))
            .route("/token", post(token))
            .with_state(Arc::clone(&provider));
        let file = |end: &str| world.folder.path().join(format!("server.{end}"));
        let server = aid_cli::tls::server_config(&file("pem"), &file("key"), None).unwrap();
        let server = Some(server);
        let never = std::future::pending::<()>();
        tokio::spawn(aid_serve::http::serve(listener, server, router, never));
        provider
    }

    /// The user signs in there: what the browser is sent back with.
    fn agree(&self, authorize: &str) -> String {
        assert!(
            authorize.starts_with(&format!("{}/authorize?", self.issuer)),
            "{authorize}"
        );
        for (name, value) in [
            ("response_type", "code"),
            ("client_id", "aid"),
            ("code_challenge_method", "S256"),
            ("redirect_uri", "https://localhost:1/openid/return"),
        ] {
            assert_eq!(query(authorize, name), value);
        }
        let code = uuid::Uuid::new_v4().simple().to_string();
        let known = (
            query(authorize, "nonce"),
            query(authorize, "code_challenge"),
        );
        self.codes.lock().unwrap().insert(code.clone(), known);
        format!(
            "/openid/return?code={code}&state={}",
            query(authorize, "state")
        )
    }

    fn sign(&self, body: &Value) -> String {
        let lie = *self.lie.lock().unwrap();
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!(
            "{}.{}",
            part(&json!({"alg": "ES256", "kid": "k"})),
            part(body)
        );
        let key = if lie == Lie::Key {
            &self.other
        } else {
            &self.key
        };
        let signature = key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

async fn describe(State(p): State<Idp>) -> Json<Value> {
    let at = |path: &str| format!("{}{path}", p.issuer);
    Json(json!({
        "issuer": p.issuer, "authorization_endpoint": at("/authorize"), "token_endpoint": at("/token"),
        "jwks_uri": at("/keys"),
    }))
}

async fn keys(State(p): State<Idp>) -> Json<Value> {
    let point = p.key.public_key().as_ref().to_vec();
    let part = |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(&point[range]);
    let key = json!({"kty": "EC", "crv": "P-256", "kid": "k", "x": part(1..33), "y": part(33..65)});
    Json(json!({"keys": [key]}))
}

async fn token(
    State(p): State<Idp>,
    headers: HeaderMap,
    Form(form): Form<BTreeMap<String, String>>,
) -> Response {
    let expected = format!("Basic {}", STANDARD.encode("aid:geheim"));
    let known = p.codes.lock().unwrap().remove(&form["code"]);
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(form["code_verifier"].as_bytes()));
    let Some((nonce, _)) = known.filter(|(_, wanted)| {
        *wanted == challenge && headers["authorization"] == expected.as_str()
    }) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let now = aid_cmp::service::now() / 1000;
    let mut body = json!({
        "iss": p.issuer, "sub": *p.subject.lock().unwrap(), "aud": "aid", "nonce": nonce, "iat": now, "exp": now + 300,
        "preferred_username": "eva", "given_name": "Eva <b>",
    });
    match *p.lie.lock().unwrap() {
        Lie::None | Lie::Key => {}
        Lie::Nonce => body["nonce"] = json!("other"),
        Lie::Audience => body["aud"] = json!("other"),
        Lie::Issuer => body["iss"] = json!("https://evil.example"),
        Lie::Expired => body["exp"] = json!(now - 1000),
    }
    Json(json!({"id_token": p.sign(&body), "access_token": "x", "token_type": "Bearer"}))
        .into_response()
}

/// A CMP whose users may sign in with the provider.
async fn open(world: &mut World, register: bool) -> (Idp, Instance) {
    let provider = Provider::start(world).await;
    let section = format!(
        "\n[portal.openid]\nissuer = {:?}\nname = \"Car ID\"\nclient_id = \"aid\"\nclient_secret = \"geheim\"\nca = \"ca.pem\"\n\
         register = {register}\n",
        provider.issuer
    );
    let text = std::fs::read_to_string(world.config()).unwrap();
    std::fs::write(
        world.config(),
        text.replace("[gateway]", &format!("{section}[gateway]")),
    )
    .unwrap();
    let cmp = world.another().await;
    world.portal = cmp.portal;
    (provider, cmp)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_sign_in_makes_an_account_and_the_next_finds_it() {
    let mut world = World::new().await;
    let (provider, cmp) = open(&mut world, true).await;
    // Strangers who register by a form have used up their budget: that of the provider is another.
    let full = Attempts {
        count: u32::MAX,
        since: aid_cmp::service::now(),
        last: None,
    };
    let full = vec![Change::SetAttempts("registrations".into(), Some(full))];
    world.store.commit(full).await.unwrap();
    let browser = Browser::new(&world);
    assert!(browser.get("/login").await.contains("Sign in with Car ID"));
    let (status, to) = browser.visit("/openid?next=/cars").await;
    assert_eq!(status, 303);
    let back = provider.agree(&to);
    assert_eq!(browser.visit(&back).await, (303, "/cars".into()));
    let home = browser.get("/").await;
    assert!(home.contains("Hello Eva &lt;b&gt;"), "{home}");
    // The name is somebody else's here, and stays that.
    let settings = browser.get("/settings").await;
    assert!(
        settings.contains("eva-2") && !settings.contains("href=\"/password\""),
        "{settings}"
    );
    let again = Browser::new(&world);
    let (_, to) = again.visit("/openid").await;
    assert_eq!(again.visit(&provider.agree(&to)).await, (303, "/".into()));
    assert_eq!(world.store.accounts().await.unwrap().len(), 2);
    // No password fits such an account.
    let stranger = Browser::new(&world);
    let page = stranger.get("/login").await;
    let form = [
        ("csrf", csrf(&page)),
        ("name", "eva-2".into()),
        ("password", "!".into()),
    ];
    assert_eq!(stranger.post("/login", &form).await.0, 401);
    // Its only way in stays, and it can be deleted by its name.
    let page = again.get("/settings").await;
    let form = [
        ("csrf", csrf(&page)),
        ("issuer", provider.issuer.clone()),
        ("subject", "subject-1".into()),
    ];
    assert_eq!(again.post("/openid/unlink", &form).await.0, 409);
    let form = |name: &str| [("csrf", csrf(&page)), ("password", name.to_owned())];
    assert_eq!(again.post("/delete-account", &form("eva")).await.0, 422);
    assert_eq!(
        again.post("/delete-account", &form("eva-2")).await,
        (303, "/goodbye".into())
    );
    cmp.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_gets_an_identity_only_from_its_own_session() {
    let mut world = World::new().await;
    let (provider, cmp) = open(&mut world, false).await;
    let stranger = Browser::new(&world);
    let (_, to) = stranger.visit("/openid").await;
    let back = provider.agree(&to);
    assert_eq!(stranger.visit(&back).await.0, 403, "nobody is made here");
    let browser = world.browser().await;
    let page = browser.get("/settings").await;
    let form = [("csrf", csrf(&page))];
    let (_, to) = browser.post("/openid/link", &form).await;
    let back = provider.agree(&to);
    // Not in another browser, and not in another session of this one.
    let victim = world.browser().await;
    assert_eq!(victim.visit(&back).await.0, 400);
    assert_eq!(
        browser.visit(&back).await,
        (303, "/settings?done=identity".into())
    );
    assert_eq!(browser.visit(&back).await.0, 400, "once");
    let now = Browser::new(&world);
    let (_, to) = now.visit("/openid?next=//evil.example").await;
    assert_eq!(now.visit(&provider.agree(&to)).await, (303, "/".into()));
    assert!(now.get("/").await.contains("Hello Eva"));

    // The operator gives the user another password: whoever added an identity meanwhile is out, unless it shall stay.
    let file = aid_cmp::config::read(&world.config()).unwrap();
    let operator = Operator {
        store: &world.store.0,
        file: &file,
        who: "test".into(),
        once: None,
    };
    let secret = Secret::new("another password".into());
    for (keeps, removed) in [(true, 0), (false, 1)] {
        let set = operator.set_password("eva", &secret, keeps).await.unwrap();
        assert_eq!(set["identities_removed"], removed);
        assert!(!now.get("/").await.contains("Hello Eva"));
        let late = Browser::new(&world);
        let (_, to) = late.visit("/openid").await;
        let status = late.visit(&provider.agree(&to)).await.0;
        assert_eq!(status, if keeps { 303 } else { 403 });
    }
    cmp.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_says_something_else_signs_nobody_in() {
    let mut world = World::new().await;
    let (provider, cmp) = open(&mut world, true).await;
    for lie in [
        Lie::Nonce,
        Lie::Audience,
        Lie::Issuer,
        Lie::Expired,
        Lie::Key,
    ] {
        *provider.lie.lock().unwrap() = lie;
        let browser = Browser::new(&world);
        let (_, to) = browser.visit("/openid").await;
        let back = provider.agree(&to);
        assert_eq!(browser.visit(&back).await.0, 502, "{lie:?}");
        assert_eq!(browser.visit("/").await, (303, "/login".into()), "{lie:?}");
    }
    *provider.lie.lock().unwrap() = Lie::None;
    // Without the cookie, with another state, with an error, with nothing.
    let browser = Browser::new(&world);
    let (_, to) = browser.visit("/openid").await;
    let back = provider.agree(&to);
    assert_eq!(Browser::new(&world).visit(&back).await.0, 400);
    for query in ["", "?state=x&code=y", "?error=access_denied"] {
        let browser = Browser::new(&world);
        browser.visit("/openid").await;
        let returned = browser.visit(&format!("/openid/return{query}")).await;
        assert_eq!(returned, (400, String::new()), "{query}");
    }
    assert_eq!(world.store.accounts().await.unwrap().len(), 1);
    cmp.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_provider_there_is_no_such_way_in() {
    let world = World::new().await;
    let browser = Browser::new(&world);
    assert!(!browser.get("/login").await.contains("/openid"));
    for path in ["/openid", "/openid/return?code=a&state=b"] {
        assert_eq!(browser.visit(path).await.0, 404);
    }
}
