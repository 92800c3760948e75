//! What passes: every operation in every pairing, byte for byte.

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::*;

/// The nine operations: method, path, body. Bodies are spelt oddly, so that whoever writes them anew is found out.
fn nine(token: Uuid) -> Vec<(&'static str, String, &'static str)> {
    let odd = "{ \"b\" : 1.0,\"a\":[ ], \"\\u00e9\" :null }";
    vec![
        (
            "POST",
            format!("/cesim/msp/v1/activation-codes/{token}"),
            odd,
        ),
        ("PATCH", format!("/cesim/msp/v1/subscriptions/{token}"), odd),
        ("POST", "/cesim/msp/v1/users/aBc-_.%7E.x".into(), odd),
        ("POST", format!("/cesim/msp/v1/users/{token}/profiles"), odd),
        ("POST", format!("/v1/activation-code-requests/{token}"), odd),
        ("POST", format!("/v1/statuses/{token}"), odd),
        (
            "GET",
            format!("/v1/profiles/status/{token}?iccid=8944500805172032953&x=%20"),
            "",
        ),
        (
            "POST",
            format!("/cesim/msp/v1/users/{token}/invalidate"),
            odd,
        ),
        ("DELETE", format!("/v1/users/{token}"), ""),
    ]
}

// R-1.1-1, R-5.1-1, R-5.1-2, R-5.1-6: 3 MSPs and 3 CMPs, all nine operations in every pairing; nothing is written anew.
#[tokio::test(flavor = "multi_thread")]
async fn every_operation_passes_in_every_pairing_byte_for_byte() {
    let world = World::new(3).await;
    // One of each has habits of its own.
    for odd in ["m2", "c2"] {
        world.parties[odd].answer(|got| {
            match got.path.contains("statuses") || got.path.contains("profiles") {
                true => says(422, "{\"code\": 62,\n \"error\":\"mine\", \"more\":{}}"),
                false => Says {
                    headers: vec![("content-type", "application/problem+json".into())],
                    ..success(got)
                },
            }
        });
    }
    for m in 0..3 {
        for c in 0..3 {
            let (msp, cmp) = (format!("m{m}"), format!("c{c}"));
            let token = world.introduce(&msp, &cmp).await;
            for (method, path, body) in nine(token) {
                let (from, to) = match path.starts_with("/cesim") {
                    true => (&msp, &cmp),
                    false => (&cmp, &msp),
                };
                let target = &world.parties[to];
                target.forget();
                let call = world.call(from, to, method, path.clone(), body);
                let answer = world.send(&call).await;
                let got = target.got();
                assert_eq!(got.len(), 1, "{method} {path}: {answer:?}");
                let got = &got[0];
                assert_eq!((got.method.as_str(), &got.path), (method, &path));
                assert_eq!(got.body, body.as_bytes());
                assert_eq!(got.common_name, "hub");
                let names = (got.header("client-id"), got.header("target-id"));
                assert_eq!(names, (from.as_str(), to.as_str()));
                assert_eq!(got.header("cmp-request-id"), call.request_id.to_string());
                assert_eq!(
                    got.header("correlation-id"),
                    call.correlation_id.to_string()
                );
                // The caller's key is the hub's to know; the target has one with the hub.
                assert_eq!(got.header("api-key"), format!("out{to}"));
                if !body.is_empty() {
                    assert_eq!(
                        got.header("content-type"),
                        "application/json; charset=utf-8"
                    );
                }
                let says = match to.as_str() {
                    "m2" | "c2" if path.contains("statuses") || path.contains("profiles") => {
                        says(422, "{\"code\": 62,\n \"error\":\"mine\", \"more\":{}}")
                    }
                    _ => success(got),
                };
                assert_eq!(
                    (answer.status, &answer.body),
                    (says.status, &says.body),
                    "{path}"
                );
                let ids = (call.request_id.to_string(), call.correlation_id.to_string());
                assert_eq!(answer.ids, ids);
            }
        }
    }
}

// R-1.1-1: names are rewritten where a party knows the other under another one, and nothing else is.
#[tokio::test(flavor = "multi_thread")]
async fn another_name_goes_on_as_the_other_knows_it() {
    let world = World::with(1, "", false).await;
    world.cli(&[
        "pair", "add", "m0", "c0", "--msp-as", "Mobile1", "--cmp-as", "Cars1",
    ]);
    let first = world.token_call("m0", "Cars1", Uuid::new_v4());
    world.until_answer("the pair", &first, 201).await;
    let got = world.parties["c0"].got().remove(0);
    assert_eq!(
        (got.header("client-id"), got.header("target-id")),
        ("Mobile1", "c0")
    );
    let token: Value = serde_json::from_slice(&got.body).unwrap();
    let token = token["msp_token"].as_str().unwrap().parse().unwrap();
    let answer = world.send(&world.status_call("c0", "Mobile1", token)).await;
    assert_eq!(answer.status, 201);
    let got = world.parties["m0"].got().remove(0);
    assert_eq!(
        (got.header("client-id"), got.header("target-id")),
        ("Cars1", "m0")
    );
    // Each has one name for the other.
    let answer = world.send(&world.status_call("c0", "m0", token)).await;
    assert_eq!((answer.status, answer.code().as_str()), (401, "104"));
}

// R-7.7.1-3: three seconds, counted from the arrival; a late code is not lost, and asked for once.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_activation_code_goes_to_the_repetition() {
    let world = World::with(
        1,
        "[limits]\nsynchronous_ms = 400\nanswer_ms = 20000\n",
        true,
    )
    .await;
    let token = world.introduce("m0", "c0").await;
    world.parties["m0"].answer(|got| Says {
        after: Duration::from_millis(1500),
        ..success(got)
    });
    let path = format!("/v1/activation-code-requests/{token}");
    let call = world.call("c0", "m0", "POST", path.clone(), "{}");
    let answer = world.send(&call).await;
    assert_eq!((answer.status, answer.code().as_str()), (500, "90"));
    // While the first is under way, and after it.
    let mut codes = 0;
    until("the code", async || world.send(&call).await.status == 200).await;
    for _ in 0..3 {
        let answer = world.send(&call).await;
        assert_eq!(answer.status, 200);
        assert!(
            String::from_utf8(answer.body)
                .unwrap()
                .contains("1$smdp.example$ABC")
        );
        codes += 1;
    }
    assert_eq!((codes, world.parties["m0"].got().len()), (3, 1));
    // Another request under its id is another one.
    let mut other = call.clone();
    other.body = Some(b"{\"a\":1}".to_vec());
    let answer = world.send(&other).await;
    assert_eq!((answer.status, answer.code().as_str()), (422, "91"));
    // Other answers have more time.
    let path = format!("/v1/profiles/status/{token}");
    let answer = world.send(&world.call("c0", "m0", "GET", path, "")).await;
    assert_eq!(answer.status, 200);
}

// R-1.1-1, R-5.5-1: the hub's own answers, for what the target does not say.
#[tokio::test(flavor = "multi_thread")]
async fn the_hubs_own_answers_are_in_the_words_of_the_specification() {
    let world = World::with(1, "[limits]\nanswer_ms = 300\n", true).await;
    let token = world.introduce("m0", "c0").await;
    let path = format!("/v1/profiles/status/{token}");
    let ask = || world.call("c0", "m0", "GET", path.clone(), "");
    let answer = world
        .send(&world.call("c0", "nobody", "GET", path.clone(), ""))
        .await;
    assert_eq!((answer.status, answer.code().as_str()), (401, "104"));
    world.parties["m0"].answer(|got| Says {
        after: Duration::from_secs(2),
        ..success(got)
    });
    let answer = world.send(&ask()).await;
    assert_eq!((answer.status, answer.code().as_str()), (500, "90"));
    // A proxy's page, a redirection, a body that is no object.
    for (status, body) in [
        (502, "<html>"),
        (302, "{}"),
        (200, "<html>"),
        (404, "no"),
        (200, "[1]"),
    ] {
        world.parties["m0"].answer(move |_| says(status, body));
        let answer = world.send(&ask()).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (500, "90"),
            "{status} {body}"
        );
        assert_eq!(answer.kind, "application/json");
    }
    world.parties["m0"].leave().await;
    let answer = world.send(&ask()).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "90"));
    assert!(answer.retry_after.is_some());
    // A token that is to be introduced is no call that the hub accepts in the CMP's place.
    world.parties["c0"].leave().await;
    let answer = world
        .send(&world.token_call("m0", "c0", Uuid::new_v4()))
        .await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "90"));
}

// Browsers go from touchpoint to touchpoint (§7.1, §7.2); each party learns where from the hub.
#[tokio::test(flavor = "multi_thread")]
async fn a_party_learns_where_to_send_browsers() {
    let world = World::with(2, "", false).await;
    world.cli(&["pair", "add", "m0", "c0", "--cmp-as", "Cars1", "--sandbox"]);
    let ask = |who: &str| world.call(who, "any", "GET", "/hub/v1/directory".into(), "");
    until("the pair", async || {
        let answer = world.send(&ask("m0")).await;
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        body["partners"].as_array().unwrap().len() == 1
    })
    .await;
    let answer = world.send(&ask("m0")).await;
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    let partner = json!({
        "id": "Cars1", "role": "cmp", "name": "c0", "logo": null,
        "touchpoint": "https://c0.example/authorize", "redirect_domains": ["c0.example"],
        "state": "sandbox",
    });
    assert_eq!(body, json!({"client_id": "m0", "partners": [partner]}));
    // Nobody else is told of anybody.
    let answer = world.send(&ask("m1")).await;
    assert_eq!(
        serde_json::from_slice::<Value>(&answer.body).unwrap()["partners"],
        json!([])
    );
    let mut stranger = ask("m0");
    stranger.certificate = "nobody".into();
    assert_eq!(world.send(&stranger).await.status, 401);
}
