//! The CMP's API (Annex B.1) over mutual TLS: every operation, and every refusal with its code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use aid_aid1::body::{
    ProfileInformation, ProfileValidity, SendMspToken, SendProfileInformation, SubscriptionType,
    UpdateSubscriptionInfo,
};
use aid_aid1::client::{Call, CallError};
use aid_cmp_core::change::Change;
use aid_cmp_core::model::{MspVerdict, OnboardingState, Profile, ProfileStatus};
use aid_id::{Iccid, MspToken};
use aid_wire::OrderKind;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::{Value, json};
use uuid::Uuid;
use world::{World, csrf, query};

const ICCID: &str = "8944500805172032953";

fn refused(result: Result<(), CallError>) -> (u16, String) {
    let error = result.expect_err("a refusal");
    let (status, body) = error.refusal().unwrap_or_else(|| panic!("{error}"));
    (status.as_u16(), body.expect("a body").code.clone())
}

fn is(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

fn token() -> MspToken {
    MspToken::from_bytes(Uuid::new_v4().into_bytes())
}

/// Begins an onboarding of Eva's; yields the account id.
async fn account_id(world: &World, msp: &str) -> String {
    let browser = world.browser().await;
    let page = browser.get("/").await;
    let form = [("csrf", csrf(&page)), ("msp", msp.to_owned())];
    query(&browser.post("/link", &form).await.1, "id")
}

// R-4.1-15 R-4.1-16 R-5.2-13 R-5.3-2 R-5.3-3 R-7.3-1 R-7.3-2 R-7.3-14 R-7.3-15 R-7.3-16
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_taken_once() {
    let world = World::new().await;
    let client = world.client();
    let id = account_id(&world, "Mobile One").await;
    let (first, call) = (token(), Call::new());
    let body = world.token_body(first);
    // Of another MSP's account id, and with another MSP's credentials.
    let other = world.client_as("msptwo", "mspkey2", "msp2");
    assert_eq!(
        refused(other.send_msp_token(call, &id, &body).await),
        is(422, "12")
    );
    client.send_msp_token(call, &id, &body).await.unwrap();
    // The lost 201: the same request again is the same answer, another body under its id is not.
    client.send_msp_token(call, &id, &body).await.unwrap();
    let changed = client
        .send_msp_token(call, &id, &world.token_body(token()))
        .await;
    assert_eq!(refused(changed), is(422, "91"));
    let again = client.send_msp_token(Call::new(), &id, &body).await;
    assert_eq!(refused(again), is(422, "23"));
    let second = client
        .send_msp_token(Call::new(), &id, &world.token_body(token()))
        .await;
    assert_eq!(refused(second), is(422, "24"));
    let federations = world.store.all_federations(None, 1000).await.unwrap();
    assert_eq!(federations.len(), 1);
    assert_eq!(
        (federations[0].token, federations[0].account),
        (first, world::EVA)
    );
    // The same UUID of another MSP is another token.
    let id = account_id(&world, "Mobile Two").await;
    other.send_msp_token(Call::new(), &id, &body).await.unwrap();
    assert_eq!(
        world.store.all_federations(None, 1000).await.unwrap().len(),
        2
    );
}

// R-5.2-13 R-7.3-2 R-7.3-4 R-7.3-9 R-7.3-11
#[tokio::test(flavor = "multi_thread")]
async fn bad_account_ids_and_numbers_are_refused() {
    let world = World::new().await;
    let client = world.client();
    let body = world.token_body(token());
    let send = |id: String, body: SendMspToken| {
        let client = client.clone();
        async move { client.send_msp_token(Call::new(), &id, &body).await }
    };
    let secret = world::SECRET.parse().unwrap();
    let now = aid_cmp::service::now() / 1000;
    let issue = |at| aid_aid1::account_id::issue(&secret, Uuid::new_v4(), None, at, 600).unwrap();
    let good = issue(now).to_string();
    for malformed in [
        "nonsense",
        "a.b",
        &good.replacen('.', "%2E", 1),
        &format!("{good}.x"),
    ] {
        let sent = send(malformed.to_owned(), body.clone()).await;
        assert_eq!(refused(sent), is(422, "19"), "{malformed}");
    }
    assert_eq!(
        refused(send(issue(now - 601).to_string(), body.clone()).await),
        is(422, "11")
    );
    // Signed, but nobody began it here.
    assert_eq!(refused(send(good, body.clone()).await), is(404, "10"));
    let id = account_id(&world, "Mobile One").await;
    let mut forged = id.clone();
    let last = if forged.pop() == Some('A') { 'B' } else { 'A' };
    forged.insert(forged.len() - 5, last);
    assert_eq!(refused(send(forged, body.clone()).await), is(422, "12"));
    let SendMspToken::Token {
        msp_token,
        mut phone,
        subscription_type,
        customer_group,
    } = body.clone()
    else {
        panic!()
    };
    phone.phone_number = "491701234567".into();
    let plain = SendMspToken::Token {
        msp_token,
        phone,
        subscription_type,
        customer_group,
    };
    assert_eq!(refused(send(id.clone(), plain).await), is(422, "91"));
    // The MSP reports a failure: it is taken, and the onboarding is over.
    let failed = SendMspToken::Failed {
        error: "1000: Customer not eligible".into(),
    };
    send(id.clone(), failed).await.unwrap();
    assert_eq!(refused(send(id.clone(), body).await), is(422, "11"));
    let secret = world::SECRET.parse().unwrap();
    let claims = aid_aid1::account_id::verify(&id, &[secret], &Default::default(), now).unwrap();
    let onboarding = world
        .store
        .onboarding(claims.sid.into_bytes())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(onboarding.state, OnboardingState::Failed);
    assert!(
        world
            .store
            .all_federations(None, 1000)
            .await
            .unwrap()
            .is_empty()
    );
}

// R-7.3-14: a known onboarding whose user was erased meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn the_token_of_an_erased_user_is_refused() {
    let world = World::new().await;
    let id = account_id(&world, "Mobile One").await;
    let send = || async {
        let body = world.token_body(token());
        world.client().send_msp_token(Call::new(), &id, &body).await
    };
    send().await.unwrap();
    assert_eq!(refused(send().await), is(422, "24"));
    let erased = vec![Change::EraseAccount(world::EVA)];
    world.store.commit(erased).await.unwrap();
    assert_eq!(refused(send().await), is(404, "94"));
    assert_eq!(
        world.store.all_federations(None, 1000).await.unwrap().len(),
        1
    );
}

// R-7.6-1 R-7.6-2 R-7.6-4 R-7.6-5 R-4.8-1 R-4.8-3
#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_updated() {
    let world = World::new().await;
    let token = world.federate().await;
    let update = UpdateSubscriptionInfo {
        phone: world.phone(),
        subscription_type: SubscriptionType::Business,
        customer_group: Some("fleet".into()),
    };
    let client = world.client();
    client
        .update_subscription_info(Call::new(), token, &update)
        .await
        .unwrap();
    let federation = world
        .store
        .all_federations(None, 1000)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(federation.kind, SubscriptionType::Business);
    let other = world.client_as("msptwo", "mspkey2", "msp2");
    let foreign = other
        .update_subscription_info(Call::new(), token, &update)
        .await;
    assert_eq!(refused(foreign), is(404, "20"));
}

async fn with_profile(world: &World, status: ProfileStatus) -> (MspToken, Iccid) {
    let token = world.federate().await;
    let federation = world
        .store
        .federation("Mobile One", token)
        .await
        .unwrap()
        .unwrap();
    let iccid: Iccid = ICCID.parse().unwrap();
    let profile = Profile {
        iccid: iccid.clone(),
        federation: federation.id,
        eid: world.eid,
        status,
        verdict: MspVerdict::Valid,
        last_used: 1,
        created_at: 1,
    };
    world
        .store
        .commit(vec![Change::PutProfile(profile)])
        .await
        .unwrap();
    (token, iccid)
}

// R-4.7-1 R-4.7-3 R-4.7-4 R-7.5-1 R-7.5-2 R-7.5-3 R-7.5-4 R-7.5-5 R-7.5-6 R-7.5-7 R-7.5-11
#[tokio::test(flavor = "multi_thread")]
async fn profile_information_is_all_or_nothing() {
    let world = World::new().await;
    let (token, iccid) = with_profile(&world, ProfileStatus::Disabled).await;
    let client = world.client();
    let send = |list: Vec<(&str, ProfileValidity)>| {
        let profiles = list.into_iter().map(|(iccid, status)| ProfileInformation {
            iccid: iccid.parse().unwrap(),
            status,
            reason: None,
        });
        let body = SendProfileInformation {
            profiles: profiles.collect(),
        };
        let client = client.clone();
        async move {
            client
                .send_profile_information(Call::new(), token, &body)
                .await
        }
    };
    let verdict = || async { world.store.all_profiles(1000).await.unwrap()[0].verdict };
    send(vec![(ICCID, ProfileValidity::Suspended)])
        .await
        .unwrap();
    assert_eq!(verdict().await, MspVerdict::Suspended);
    let unknown = "8944500805172032961";
    let mixed = vec![
        (ICCID, ProfileValidity::Invalid),
        (unknown, ProfileValidity::Invalid),
    ];
    assert_eq!(refused(send(mixed).await), is(404, "61"));
    // None of several is the token's.
    let foreign = ["8944500805172032979", unknown].map(|i| (i, ProfileValidity::Invalid));
    assert_eq!(refused(send(foreign.to_vec()).await), is(404, "64"));
    assert_eq!(refused(send(foreign[1..].to_vec()).await), is(404, "61"));
    assert_eq!(verdict().await, MspVerdict::Suspended);
    assert_eq!(refused(send(Vec::new()).await), is(422, "60"));
    assert!(world.store.orders(None, true).await.unwrap().is_empty());
    send(vec![(ICCID, ProfileValidity::Invalid)]).await.unwrap();
    send(vec![(ICCID, ProfileValidity::Invalid)]).await.unwrap();
    let orders = world.store.orders(None, true).await.unwrap();
    assert_eq!(orders.len(), 1);
    assert_eq!(
        (orders[0].eid, &orders[0].kind),
        (world.eid, &OrderKind::Delete { iccid })
    );
    assert_eq!(
        refused(send(vec![(ICCID, ProfileValidity::Valid)]).await),
        is(422, "63")
    );
    // Another MSP learns nothing of it.
    let other = world.client_as("msptwo", "mspkey2", "msp2");
    let body = SendProfileInformation {
        profiles: Vec::new(),
    };
    let foreign = other
        .send_profile_information(Call::new(), token, &body)
        .await;
    assert!(matches!(refused(foreign).0, 404 | 422));
}

struct Raw {
    client: reqwest::Client,
    base: String,
    headers: HeaderMap,
}

impl Raw {
    fn new(world: &World, certificate: &str) -> Self {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured((*world.pki.client(certificate)).clone())
            .build()
            .unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("cmp-request-id", Uuid::new_v4().to_string()),
            ("correlation-id", Uuid::new_v4().to_string()),
            ("client-id", "mspone".into()),
            ("target-id", "theCmp".into()),
            ("api-key", "mspkey".into()),
            ("content-type", "application/json".into()),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        let base = format!("https://localhost:{}/cesim/msp/v1", world.aid1.port());
        Self {
            client,
            base,
            headers,
        }
    }

    /// Status and code; every answer that is not 2xx has the contract's body.
    async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &HeaderMap,
        body: Vec<u8>,
    ) -> (u16, String) {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.client.request(method, format!("{}{path}", self.base));
        let answer = request
            .headers(headers.clone())
            .body(body)
            .send()
            .await
            .unwrap();
        let status = answer.status().as_u16();
        if answer.status().is_success() {
            return (status, String::new());
        }
        assert_eq!(answer.headers()[CONTENT_TYPE], "application/json");
        let body: Value = answer.json().await.unwrap();
        assert!(body["error"].is_string());
        (status, body["code"].as_str().unwrap().to_owned())
    }
}

// R-5.1-1 R-5.1-3 R-5.1-5 R-5.1-6 R-5.5-1 R-7.4-5 R-5.5-2 R-6-1 R-6-2 R-7.4-3 R-7.6-5 R-B-6
#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_has_status_and_code() {
    let world = World::new().await;
    let token = world.federate().await;
    let raw = Raw::new(&world, "msp");
    let path = format!("/users/{token}/invalidate");
    let with = |name: &'static str, value: &str| {
        let mut headers = raw.headers.clone();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
        headers
    };
    let without = |name: &str| {
        let mut headers = raw.headers.clone();
        headers.remove(name);
        headers
    };
    let empty = || json!({}).to_string().into_bytes();
    let ok = raw.headers.clone();
    for (headers, expected) in [
        (without("api-key"), is(401, "104")),
        (with("api-key", "mspkey2"), is(401, "104")),
        (with("authorization", "Basic YTpi"), is(401, "104")),
        (with("client-id", "nobody"), is(401, "93")),
        (with("client-id", "msptwo"), is(401, "104")),
        // Annex B has 403 for three of the five operations, and this is not one of them.
        (with("target-id", "other"), is(401, "104")),
        // Of Notify MSP Token Invalid alone Annex B has 400 and no 422.
        (without("correlation-id"), is(400, "91")),
        (with("cmp-request-id", "1"), is(400, "91")),
        (with("content-type", "text/plain"), is(415, "91")),
    ] {
        assert_eq!(
            raw.call("POST", &path, &headers, empty()).await,
            expected,
            "{headers:?}"
        );
    }
    for (method, path, expected) in [
        ("POST", format!("/activation-codes/{token}"), is(401, "104")),
        ("PATCH", format!("/subscriptions/{token}"), is(403, "104")),
        ("POST", "/users/a.b.c".to_owned(), is(403, "104")),
        ("POST", format!("/users/{token}/profiles"), is(403, "104")),
    ] {
        let wrong = with("target-id", "other");
        let got = raw.call(method, &path, &wrong, empty()).await;
        assert_eq!(got, expected, "{path}");
    }
    let update = format!("/subscriptions/{token}");
    let unknown = format!("/subscriptions/{}", Uuid::new_v4());
    for headers in [without("correlation-id"), with("cmp-request-id", "1")] {
        let got = raw.call("PATCH", &update, &headers, empty()).await;
        assert_eq!(got, is(422, "91"));
    }
    // Without a body there is no type of it: what is missing is the body.
    let got = raw
        .call("POST", &path, &without("content-type"), Vec::new())
        .await;
    assert_eq!(got, is(400, "60"));
    for (method, path, body, expected) in [
        // What is no JSON is so whosever the token is.
        ("PATCH", unknown.clone(), b"{".to_vec(), is(422, "91")),
        ("PATCH", unknown.clone(), Vec::new(), is(422, "60")),
        ("PATCH", unknown.clone(), empty(), is(404, "20")),
        ("PATCH", "/subscriptions/".into(), empty(), is(404, "65")),
        ("POST", "/nothing".into(), empty(), is(404, "65")),
        ("GET", path.clone(), empty(), is(405, "91")),
        (
            "POST",
            "/users/abc/invalidate".into(),
            empty(),
            is(400, "91"),
        ),
        ("PATCH", "/subscriptions/abc".into(), empty(), is(422, "91")),
        (
            "POST",
            format!("/users/{}/invalidate", Uuid::new_v4()),
            empty(),
            is(404, "20"),
        ),
        ("POST", path.clone(), Vec::new(), is(400, "60")),
        ("POST", path.clone(), b"{".to_vec(), is(400, "91")),
        ("POST", path.clone(), vec![b' '; 65_537], is(413, "91")),
        (
            "POST",
            format!("/users/{}", "a".repeat(9000)),
            empty(),
            is(414, "91"),
        ),
    ] {
        let got = raw.call(method, &path, &ok, body).await;
        assert_eq!(got, expected, "{method} {path}");
    }
    // RFC 9110 §15.5.6
    let get = raw
        .client
        .get(format!("{}{path}", raw.base))
        .headers(ok.clone());
    assert_eq!(get.send().await.unwrap().headers()["allow"], "POST");
    // Nothing of all that ended the federation; this does.
    assert!(
        world.store.all_federations(None, 1000).await.unwrap()[0]
            .ended_at
            .is_none()
    );
    assert_eq!(raw.call("POST", &path, &ok, empty()).await, is(204, ""));
    assert!(
        world.store.all_federations(None, 1000).await.unwrap()[0]
            .ended_at
            .is_some()
    );
}

// R-6-4 R-6-5
#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_must_be_the_callers_own() {
    let world = World::new().await;
    let wrong = Raw::new(&world, "msp2");
    let path = format!("/users/{}/invalidate", Uuid::new_v4());
    let got = wrong
        .call("POST", &path, &wrong.headers, b"{}".to_vec())
        .await;
    assert_eq!(got, is(401, "104"));
    world.pki.issue("rogue-msp", "msp", true);
    for tls in [world.pki.client("rogue-msp"), world.pki.anonymous()] {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured((*tls).clone())
            .build()
            .unwrap();
        let url = format!("https://localhost:{}/cesim/msp/v1{path}", world.aid1.port());
        assert!(
            client
                .post(url)
                .headers(wrong.headers.clone())
                .send()
                .await
                .is_err()
        );
    }
}
