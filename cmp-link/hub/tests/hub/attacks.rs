//! What parties try on each other.

use serde_json::Value;
use uuid::Uuid;

use crate::world::*;

/// The eight operations whose path names a token.
fn eight(token: &str) -> Vec<(&'static str, String, &'static str)> {
    vec![
        (
            "POST",
            format!("/cesim/msp/v1/activation-codes/{token}"),
            "{}",
        ),
        (
            "PATCH",
            format!("/cesim/msp/v1/subscriptions/{token}"),
            "{}",
        ),
        (
            "POST",
            format!("/cesim/msp/v1/users/{token}/profiles"),
            "{}",
        ),
        (
            "POST",
            format!("/cesim/msp/v1/users/{token}/invalidate"),
            "{}",
        ),
        (
            "POST",
            format!("/v1/activation-code-requests/{token}"),
            "{}",
        ),
        ("POST", format!("/v1/statuses/{token}"), "{}"),
        ("GET", format!("/v1/profiles/status/{token}"), ""),
        ("DELETE", format!("/v1/users/{token}"), ""),
    ]
}

// R-1.1-1, R-5.3-2: a token of another pair is as unknown as one that nobody has, and reaches nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_token_is_an_unknown_one() {
    let world = World::new(2).await;
    let token = world.introduce("m0", "c0").await;
    for party in world.parties.values() {
        party.forget();
    }
    // Whoever shares one end of the pair, and who shares none.
    for (msp, cmp) in [("m1", "c0"), ("m0", "c1"), ("m1", "c1")] {
        for ((method, path, body), (_, unknown, _)) in eight(&token.to_string())
            .into_iter()
            .zip(eight(&Uuid::new_v4().to_string()))
        {
            let (from, to) = match path.starts_with("/cesim") {
                true => (msp, cmp),
                false => (cmp, msp),
            };
            let foreign = world
                .send(&world.call(from, to, method, path.clone(), body))
                .await;
            let unknown = world
                .send(&world.call(from, to, method, unknown, body))
                .await;
            assert_eq!(
                (foreign.status, foreign.code().as_str()),
                (404, "20"),
                "{path}"
            );
            let seen = |a: &Answered| {
                (
                    a.status,
                    a.body.clone(),
                    a.kind.clone(),
                    a.retry_after.clone(),
                )
            };
            assert_eq!(seen(&foreign), seen(&unknown), "{path}");
            // Spelt otherwise it is the same, or no token at all.
            let upper = path.replace(&token.to_string(), &token.to_string().to_uppercase());
            let answer = world.send(&world.call(from, to, method, upper, body)).await;
            assert_eq!(answer.status, 404);
            let simple = path.replace(&token.to_string(), &token.simple().to_string());
            let answer = world
                .send(&world.call(from, to, method, simple, body))
                .await;
            assert!(matches!(answer.status, 400 | 422), "{answer:?}");
        }
    }
    for (name, party) in &world.parties {
        assert!(party.got().is_empty(), "{name}: {:?}", party.got());
    }
    // Who claims it for themselves gets what the CMP says of it, and no more.
    world.parties["c1"].answer(|_| says(422, "{\"code\":\"23\",\"error\":\"x\"}"));
    let answer = world.send(&world.token_call("m1", "c1", token)).await;
    assert_eq!((answer.status, answer.code().as_str()), (422, "23"));
    let answer = world.send(&world.status_call("c1", "m1", token)).await;
    assert_eq!(answer.status, 404);
    // Its owners are not disturbed.
    assert_eq!(
        world
            .send(&world.status_call("c0", "m0", token))
            .await
            .status,
        201
    );
}

// R-5.1-5, R-6-5: a name, a key and a certificate that are not of one party open nothing.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_speaks_for_another() {
    let world = World::new(2).await;
    let token = world.introduce("m0", "c0").await;
    world.parties["m0"].forget();
    let right = world.status_call("c0", "m0", token);
    for (change, code) in [
        (
            (|call: &mut Call| call.certificate = "c1".into()) as fn(&mut Call),
            "104",
        ),
        (|call| call.certificate = "m0".into(), "104"),
        (|call| call.certificate = "nobody".into(), "104"),
        (|call| call.certificate = "hub".into(), "104"),
        (|call| call.key = "inc1".into(), "104"),
        (|call| call.key = "outc0".into(), "104"),
        (|call| call.client_id = "c1".into(), "104"),
        (|call| call.client_id = "who".into(), "93"),
        // An MSP's operation from an MSP, and to oneself.
        (|call| call.target_id = "c1".into(), "104"),
        (|call| call.target_id = "c0".into(), "104"),
    ] {
        let mut call = right.clone();
        change(&mut call);
        let answer = world.send(&call).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (401, code),
            "{call:?}"
        );
    }
    // The operation of the other side.
    let path = format!("/v1/statuses/{token}");
    let answer = world
        .send(&world.call("m0", "c0", "POST", path, "{}"))
        .await;
    assert_eq!((answer.status, answer.code().as_str()), (401, "104"));
    assert!(world.parties["m0"].got().is_empty());
}

// R-5.5-1, R-B-5, R-B-6: unknown requests reach nobody, and are refused with a body.
#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_reach_nobody() {
    let world = World::new(1).await;
    let token = world.introduce("m0", "c0").await;
    for party in world.parties.values() {
        party.forget();
    }
    let path = format!("/v1/statuses/{token}");
    let deep = format!("{}1{}", "{\"a\":".repeat(40), "}".repeat(40));
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(70_000));
    let bodies = [
        "[]",
        "{",
        "{\"a\":1,\"a\":2}",
        "null",
        &deep,
        &large,
        "{}{}",
        "\u{feff}{}",
    ];
    for body in bodies {
        let answer = world
            .send(&world.call("c0", "m0", "POST", path.clone(), body))
            .await;
        assert!(
            matches!(answer.status, 413 | 422),
            "{} {:?}",
            answer.status,
            body.get(..20)
        );
        answer.code();
    }
    for (method, path) in [
        ("GET", path.clone()),
        ("POST", "/".into()),
        ("POST", format!("/v1/users/{token}")),
        ("POST", format!("/v1/statuses/{token}/")),
        ("POST", format!("/v1/statuses//{token}")),
        ("POST", "/v1/statuses/../users/x".into()),
        (
            "POST",
            format!("/cesim/msp/v1/users/{token}%2Finvalidate/invalidate"),
        ),
        (
            "GET",
            format!("/v1/profiles/status/{token}?{}", "x".repeat(9000)),
        ),
        ("GET", "/openapi.json".into()),
    ] {
        let answer = world
            .send(&world.call("c0", "m0", method, path.clone(), "{}"))
            .await;
        assert!(
            matches!(answer.status, 400..=422),
            "{method} {path} {answer:?}"
        );
        answer.code();
    }
    // An account id that would lead elsewhere.
    for id in ["%2e%2e", ".%2E"] {
        let mut call = world.token_call("m0", "c0", Uuid::new_v4());
        call.path = format!("/cesim/msp/v1/users/{id}");
        let answer = world.send(&call).await;
        assert!(matches!(answer.status, 404 | 422), "{answer:?}");
    }
    for (name, party) in &world.parties {
        assert!(party.got().is_empty(), "{name} {:?}", party.got());
    }
}

// R-B-7, R-1.1-1: one pair's rate is no other's.
#[tokio::test(flavor = "multi_thread")]
async fn a_pair_that_calls_too_often_holds_up_no_other() {
    let world = World::with(2, "", false).await;
    world.cli(&["pair", "add", "m0", "c0", "--rate", "0.1", "--burst", "3"]);
    world.cli(&["pair", "add", "m1", "c0"]);
    let probe = world.token_call("m1", "c0", Uuid::new_v4());
    world.until_answer("the pairs", &probe, 201).await;
    let mut limited = 0;
    for _ in 0..6 {
        let answer = world
            .send(&world.token_call("m0", "c0", Uuid::new_v4()))
            .await;
        if answer.status == 429 {
            limited += 1;
            assert_eq!(answer.code(), "90");
            assert!(answer.retry_after.unwrap().parse::<u64>().unwrap() >= 1);
        }
    }
    assert!(limited >= 3, "{limited}");
    for _ in 0..6 {
        let answer = world
            .send(&world.token_call("m1", "c0", Uuid::new_v4()))
            .await;
        assert_eq!(answer.status, 201);
    }
    let meter = world.cli(&["meter", "--pair", "m1/c0"]);
    assert!(
        meter
            .as_array()
            .is_some_and(|rows: &Vec<Value>| !rows.is_empty())
    );
}

// A target that answers slowly holds up its own pair in its own direction, and nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_target_holds_few_calls_of_its_pair() {
    let world = World::with(2, "[limits]\nat_once = 2\n", true).await;
    let world = std::sync::Arc::new(world);
    let token = world.introduce("m0", "c0").await;
    let other = world.introduce("m1", "c0").await;
    world.parties["m0"].answer(|got| Says {
        after: std::time::Duration::from_secs(60),
        ..success(got)
    });
    let ask = |msp: &str, token: Uuid| {
        let path = format!("/v1/profiles/status/{token}");
        world.call("c0", msp, "GET", path, "")
    };
    let held: Vec<_> = (0..2)
        .map(|_| {
            let (world, call) = (std::sync::Arc::clone(&world), ask("m0", token));
            tokio::spawn(async move { world.try_send(&call).await })
        })
        .collect();
    world.parties["m0"].wait_for(2).await;
    let answer = world.send(&ask("m0", token)).await;
    assert_eq!((answer.status, answer.code().as_str()), (429, "90"));
    assert_eq!(answer.retry_after.as_deref(), Some("1"));
    assert_eq!(world.parties["m0"].got().len(), 2);
    // Another MSP's, and the other direction.
    assert_eq!(world.send(&ask("m1", other)).await.status, 200);
    let call = world.profile_call("m0", "c0", token);
    assert_eq!(world.send(&call).await.status, 200);
    for task in held {
        task.abort();
    }
}
