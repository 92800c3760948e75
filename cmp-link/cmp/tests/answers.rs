//! What MSPs, and proxies in front of them, answer to calls of the CMP: nothing but a clear refusal ends a call or refuses
//! a car. Live, over mutual TLS.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use aid_cmp::service::now;
use aid_cmp_core::change::Change;
use aid_cmp_core::model::{Call, CallKind, CallState};
use aid_id::MspToken;
use aid_wire::{CodeOutcome, Down};
use serde_json::json;
use std::time::Duration;
use world::car::Car;
use world::{EVA, PIN, World};

const PAGE: &str = "<html><body>We are working on it.</body></html>";
const ASK: &str = "/v1/activation-code-requests/";
const CODE: &str =
    r#"{"activationCode":"1$smdp.example$N1","profileType":"personal","swappedIccid":null}"#;

fn refusal(code: &str) -> String {
    json!({"code": code, "error": "no"}).to_string()
}

/// Waits until the call's attempts or state are as wanted.
async fn until(world: &World, id: aid_id::Id, wanted: impl Fn(&Call) -> bool) -> Call {
    for _ in 0..1500 {
        let calls = world.store.all_calls().await.unwrap();
        if let Some(call) = calls.into_iter().find(|c| c.id == id).filter(&wanted) {
            return call;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the call did not get there");
}

fn call(n: u8, kind: CallKind, token: MspToken) -> Call {
    let body = match kind {
        CallKind::Status => {
            json!({"iccid": "8944500805172032953", "eid": world::eid(1).as_str(), "status": "enabled"})
                .to_string()
        }
        CallKind::Query => "all".into(),
        _ => String::new(),
    };
    Call {
        id: [n; 16],
        msp: "Mobile One".into(),
        lane: format!("lane {n}"),
        kind,
        token,
        correlation: [8; 16],
        body,
        attempts: 0,
        next_at: now(),
        state: CallState::Due,
        last_error: None,
        created_at: now(),
        closed_at: None,
    }
}

// R-7.8-5, R-7.9-4, R-7.10-6: at the first attempt no answer of a proxy ends a call, and the next attempt is made with
// the same id.
#[tokio::test(flavor = "multi_thread")]
async fn calls_outlive_what_a_proxy_says() {
    let world = World::new().await;
    let token = world.federate().await;
    let mut n = 0;
    for (kind, path, good) in [
        (CallKind::Status, "/v1/statuses/", (201, "")),
        (CallKind::Invalidate, "/v1/users/", (204, "")),
        (
            CallKind::Query,
            "/v1/profiles/status/",
            (200, r#"{"profiles":[]}"#),
        ),
    ] {
        for (status, body) in [
            (200, PAGE),
            (302, ""),
            (401, ""),
            (403, PAGE),
            (404, ""),
            (404, PAGE),
            (404, r#"{"message":"no route"}"#),
            (407, ""),
            (421, ""),
            (422, PAGE),
            (429, ""),
            (503, PAGE),
        ] {
            n += 1;
            world.msp.answer(path, status, body);
            let made = Change::AddCall(call(n, kind, token));
            world.store.commit(vec![made]).await.unwrap();
            let id = [n; 16];
            let name = format!("{} {status} {body}", kind.as_str());
            let tried = until(&world, id, |c| c.attempts > 0 || c.state != CallState::Due).await;
            assert_eq!(tried.state, CallState::Due, "{name}");
            let error = tried.last_error.expect("what was wrong");
            assert!(error.contains(&status.to_string()), "{name}: {error}");
        }
        // All of them get through, and none is lost.
        world.msp.answer(path, good.0, good.1);
        let due: Vec<_> = world.store.calls(CallState::Due).await.unwrap();
        for call in due.iter().filter(|c| c.kind == kind) {
            until(&world, call.id, |c| c.state == CallState::Done).await;
        }
    }
    assert!(world.store.calls(CallState::Dead).await.unwrap().is_empty());
    // A clear refusal is final.
    world.msp.answer("/v1/statuses/", 422, &refusal("91"));
    let made = Change::AddCall(call(200, CallKind::Status, token));
    world.store.commit(vec![made]).await.unwrap();
    until(&world, [200; 16], |c| c.state == CallState::Dead).await;
    // For the end of a link that is one too, where the MSP does not know the token (R-7.9-4).
    world.msp.answer("/v1/users/", 404, &refusal("20"));
    let made = Change::AddCall(call(201, CallKind::Invalidate, token));
    world.store.commit(vec![made]).await.unwrap();
    until(&world, [201; 16], |c| c.state == CallState::Done).await;
}

// R-7.7-9, R-7.7.1-2: a car's request waits for the MSP's own word.
#[tokio::test(flavor = "multi_thread")]
async fn a_car_is_refused_by_the_msp_alone() {
    let world = World::new().await;
    world.federate().await;
    let mut car = Car::connect(&world).await;
    car.login([1; 16], PIN).await;
    let half = &CODE[..40];
    let bad = CODE.replace("1$smdp", "7$smdp");
    for (n, (status, body)) in (10..).zip([
        (200, PAGE),
        (200, half),
        (200, bad.as_str()),
        (403, ""),
        (404, ""),
        (308, ""),
        (423, ""),
    ]) {
        world.msp.answer(ASK, status, body);
        car.ask([n; 16], EVA).await;
        let mut outcomes = Vec::new();
        while outcomes.len() < 2 {
            let message = car.message().await;
            let Down::ActivationCode { outcome, .. } = message.body else {
                panic!("{:?}", message.body)
            };
            assert!(
                !matches!(outcome, CodeOutcome::Failed { .. }),
                "{status} {body}: {outcome:?}"
            );
            if matches!(outcome, CodeOutcome::Pending) {
                world.msp.answer(ASK, 200, CODE);
            }
            let there = matches!(outcome, CodeOutcome::Code { .. });
            outcomes.push(outcome);
            if there {
                break;
            }
        }
        assert!(
            matches!(outcomes.last(), Some(CodeOutcome::Code { .. })),
            "{status}: {outcomes:?}"
        );
        // The profile is used, so that the next request is a new one.
        let federation = world.store.all_federations(None, 1000).await.unwrap()[0].id;
        for mut request in world.store.requests(federation).await.unwrap() {
            request.state = aid_cmp_core::model::RequestState::Used;
            request.code = None;
            let used = Change::PutRequest(request);
            world.store.commit(vec![used]).await.unwrap();
        }
    }
    // A clear refusal is the car's answer at once.
    world.msp.answer(ASK, 422, &refusal("49"));
    car.ask([99; 16], EVA).await;
    let message = car.message().await;
    assert!(matches!(
        message.body,
        Down::ActivationCode {
            outcome: CodeOutcome::Failed { code: 49, .. },
            ..
        }
    ));
}

// RFC 9110 §10.2.3: the MSP says when it wants to be asked again.
#[tokio::test(flavor = "multi_thread")]
async fn the_msp_says_how_long_to_wait() {
    let world = World::new().await;
    let token = world.federate().await;
    let date = "Mon, 30 Nov 2026 02:00:00 GMT";
    let (report, invalidate) = (CallKind::Status, CallKind::Invalidate);
    for (n, (kind, status, header, least, most)) in (1..).zip([
        (report, 503, "600", 600, 601),
        (report, 429, "Mon, 30 Nov 2026 02:10:00 GMT", 600, 601),
        // Bounded by the longest pause.
        (report, 503, "99999999", 12 * 3600, 12 * 3600 + 1),
        (report, 503, "0", 0, 3),
        // Somebody waits.
        (invalidate, 503, "200", 200, 201),
        (invalidate, 503, "99999999", 300, 301),
    ]) {
        let headers = [("retry-after", header), ("date", date)];
        world.msp.answer_with("/v1/", status, "", &headers);
        let before = now();
        let made = Change::AddCall(call(n, kind, token));
        world.store.commit(vec![made]).await.unwrap();
        let tried = until(&world, [n; 16], |c| c.attempts > 0).await;
        let wait = tried.next_at.saturating_sub(before) / 1000;
        // The call may have been made some seconds after `before`.
        assert!((least..most + 30).contains(&wait), "{header}: {wait} s");
    }
}
