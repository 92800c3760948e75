//! What the hub accepts for a party that is away, and what becomes of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::world::*;

/// Quick pauses.
const QUICK: &str = "[delivery]\nfirst_pause_ms = 50\nlongest_pause_s = 1\n";

fn bodies(party: &Party) -> Vec<String> {
    party
        .got()
        .iter()
        .map(|got| String::from_utf8(got.body.clone()).unwrap())
        .collect()
}

fn first(rows: &Value) -> Value {
    rows.as_array()
        .and_then(|rows| rows.first())
        .cloned()
        .unwrap_or_default()
}

// R-1.1-1: accepted for a target that is away, delivered once it is back, in the order of each token.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_accepted_arrives_in_order_and_once() {
    let mut world = World::with(1, QUICK, true).await;
    let tokens = [
        world.introduce("m0", "c0").await,
        world.introduce("m0", "c0").await,
    ];
    world.parties["c0"].leave().await;
    world.parties["c0"].forget();
    let mut calls = Vec::new();
    for n in 0..4 {
        for token in tokens {
            let path = format!("/cesim/msp/v1/users/{token}/profiles");
            let call = world.call("m0", "c0", "POST", path, &format!("{{ \"n\":{n}}}"));
            let answer = world.send(&call).await;
            assert_eq!((answer.status, answer.body.len()), (200, 0));
            calls.push(call);
        }
    }
    // Repeated while it waits: the same answer, and no second call.
    for call in &calls {
        assert_eq!(world.send(call).await.status, 200);
    }
    let listed = world.cli(&["call", "list", "--pair", "m0/c0", "--limit", "8"]);
    assert_eq!(listed.as_array().unwrap().len(), 8);
    // Nor does a restart forget them.
    world.kill();
    world.start();
    world.parties["c0"].come_back(&world.folder).await;
    let got = world.parties["c0"].wait_for(8).await;
    for token in tokens {
        let of_token: Vec<_> = got
            .iter()
            .filter(|got| got.path.contains(&token.to_string()))
            .collect();
        let order: Vec<_> = of_token.iter().map(|got| got.body.clone()).collect();
        let sent = (0..4)
            .map(|n| format!("{{ \"n\":{n}}}").into_bytes())
            .collect::<Vec<_>>();
        assert_eq!(order, sent);
    }
    let ids: std::collections::BTreeSet<_> = got
        .iter()
        .map(|got| got.header("cmp-request-id").to_owned())
        .collect();
    assert_eq!((ids.len(), got.len()), (8, 8));
    until("all are done", async || {
        world.cli(&["call", "list", "--state", "waiting"]) == Value::from(Vec::<Value>::new())
    })
    .await;
    // The content is gone, the answer stays for repetitions.
    for call in &calls {
        assert_eq!(world.send(call).await.status, 200);
    }
    assert_eq!(world.parties["c0"].got().len(), 8);
    assert!(first(&world.cli(&["call", "list"]))["bytes"].is_null());
    let meter = world.cli(&["meter"]);
    let row = meter
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["operation"] == "sendProfileInformation");
    let row = row.unwrap();
    assert_eq!(
        (&row["kept"], &row["delivered"]),
        (&8.into(), &8.into()),
        "{row}"
    );
}

// R-B-7: Retry-After is obeyed; a refusal makes a dead letter, which a person replays or drops with a reason.
#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_replayed_with_a_reason() {
    let world = World::with(1, QUICK, true).await;
    let token = world.introduce("m0", "c0").await;
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tries);
    world.parties["c0"].answer(move |_| match counted.fetch_add(1, Ordering::SeqCst) {
        0 => Says {
            headers: vec![("retry-after", "1".into())],
            ..says(503, "{\"code\":\"90\",\"error\":\"busy\"}")
        },
        1 => says(500, "{\"code\":\"90\",\"error\":\"x\"}"),
        _ => says(404, "{\"code\":\"61\",\"error\":\"no such profile\"}"),
    });
    assert_eq!(
        world
            .send(&world.profile_call("m0", "c0", token))
            .await
            .status,
        200
    );
    // A refusal that comes at once is the caller's.
    until("a dead letter", async || {
        world
            .cli(&["call", "list", "--state", "dead"])
            .as_array()
            .unwrap()
            .len()
            == 1
    })
    .await;
    assert_eq!(tries.load(Ordering::SeqCst), 3);
    let refused = world.send(&world.profile_call("m0", "c0", token)).await;
    assert_eq!((refused.status, refused.code().as_str()), (404, "61"));
    let dead = first(&world.cli(&["call", "list", "--state", "dead"]));
    assert!(
        dead["last_error"].as_str().unwrap().contains("code 61"),
        "{dead}"
    );
    let id = dead["id"].to_string();
    let (ok, _, complaint) = world.command(&["call", "replay", &id]);
    assert!(!ok && complaint.contains("--reason"), "{complaint}");
    let (ok, _, complaint) = world.command(&["call", "replay", &id, "--reason", " "]);
    assert!(
        !ok && complaint.contains("must not be empty"),
        "{complaint}"
    );
    world.parties["c0"].answer(success);
    world.cli(&[
        "call",
        "replay",
        &id,
        "--reason",
        "the profile is there now",
    ]);
    until("it is done", async || {
        world.cli(&["call", "show", &id])[0]["state"] == "done"
    })
    .await;
    let audit = world.cli(&["audit"]);
    let last = audit.as_array().unwrap().last().unwrap().clone();
    assert_eq!(last["action"], "call replayed");
    assert_eq!(last["reason"], "the profile is there now");
    let (ok, _, complaint) = world.command(&["call", "drop", &id, "--reason", "x"]);
    assert!(!ok && complaint.contains("done"), "{complaint}");
}

// R-7.4-1, R-7.9-1: an end that could not be delivered at once is delivered, and the token is no more.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_an_onboarding_is_delivered_later() {
    let world = World::with(1, QUICK, true).await;
    let token = world.introduce("m0", "c0").await;
    world.parties["m0"].leave().await;
    let end = world.call("c0", "m0", "DELETE", format!("/v1/users/{token}"), "");
    assert_eq!(world.send(&end).await.status, 204);
    // A target that has not heard of it either says 404, which is what was wanted.
    world.parties["m0"].answer(|_| says(404, "{\"code\":\"20\",\"error\":\"x\"}"));
    world.parties["m0"].come_back(&world.folder).await;
    until("it is done", async || {
        let calls = world.cli(&["call", "list"]);
        let end = calls.as_array().unwrap().last().unwrap().clone();
        end["state"] == "done" && end["operation"] == "requestInvalidateFederatedID"
    })
    .await;
    assert_eq!(world.send(&end).await.status, 204);
}

// A pair without it: the caller hears that the target is away, and repeats by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_pair_may_do_without_it() {
    let world = World::with(1, QUICK, true).await;
    world.cli(&["pair", "set", "m0", "c0", "--keep", "false"]);
    let token = world.introduce("m0", "c0").await;
    world.parties["c0"].leave().await;
    world.parties["c0"].forget();
    let call = world.profile_call("m0", "c0", token);
    world.until_answer("the terms", &call, 503).await;
    assert_eq!(world.send(&call).await.status, 503);
    world.parties["c0"].come_back(&world.folder).await;
    assert_eq!(world.send(&call).await.status, 200);
    assert_eq!(bodies(&world.parties["c0"]).len(), 1);
    let one = world.parties["c0"].got().remove(0);
    assert_eq!(one.header("cmp-request-id"), call.request_id.to_string());
}

// A pair may have so many undelivered calls, and so many bytes of them; beyond, its callers repeat.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_for_a_pair_is_bounded() {
    let bound =
        "[delivery]\nfirst_pause_ms = 50\nlongest_pause_s = 1\nkept_calls = 3\nkept_mb = 1\n";
    let world = World::with(1, bound, true).await;
    let (mut tokens, mut full) = (Vec::new(), 0);
    for _ in 0..3 {
        tokens.push(world.introduce("m0", "c0").await);
    }
    world.parties["c0"].leave().await;
    world.parties["c0"].forget();
    let mut accepted = Vec::new();
    // Behind another one of its token, and first of its token.
    for token in [tokens[0], tokens[0], tokens[1], tokens[1], tokens[2]] {
        let call = world.profile_call("m0", "c0", token);
        let answer = world.send(&call).await;
        if answer.status == 200 {
            accepted.push(call);
            continue;
        }
        assert_eq!((answer.status, answer.code().as_str()), (503, "90"));
        let text = String::from_utf8(answer.body).unwrap();
        assert!(text.contains("too many calls of this pair"), "{text}");
        assert_eq!(answer.retry_after.as_deref(), Some("60"));
        full += 1;
    }
    assert_eq!((accepted.len(), full), (3, 2));
    // Room comes back by itself.
    world.parties["c0"].come_back(&world.folder).await;
    assert_eq!(world.parties["c0"].wait_for(3).await.len(), 3);
    world.parties["c0"].leave().await;
    let call = world.profile_call("m0", "c0", tokens[2]);
    world.until_answer("room", &call, 200).await;
}
