//! AID.02 §4.3 as a car sees it: login, code at once and later, reports, orders; over MQTT and mutual
//! TLS, with the same client that the agent uses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use aid_aid1::body::SendActivationCode;
use aid_aid1::client::Call;
use aid_cmp_core::model::{OrderState, ProfileStatus};
use aid_id::Iccid;
use aid_wire::{
    CodeOutcome, Down, LoginOutcome, OrderKind, OrderOutcome, Status, Up, topic_down, topic_up,
};
use uuid::Uuid;
use world::car::{Car, Seen};
use world::{EVA, PIN, World, eid};

const CODE: &str = "1$smdp.example$ABC-1";
const ICCID: &str = "8944500805172032953";

fn iccid() -> Iccid {
    ICCID.parse().unwrap()
}

fn sync_answer() -> String {
    format!(
        r#"{{"activationCode":"{CODE}","profileType":"personal","swappedIccid":null,"iccid":"{ICCID}"}}"#
    )
}

fn outcome(body: Down) -> CodeOutcome {
    match body {
        Down::ActivationCode { outcome, .. } => outcome,
        other => panic!("expected a code, got {other:?}"),
    }
}

fn report(seq: u64, status: Status) -> Up {
    Up::Status {
        report_seq: seq,
        iccid: Some(iccid()),
        account: Some(EVA),
        status,
        code: 0,
    }
}

// R-2-6 R-4.1-15 R-4.3-3 R-4.3-5 R-4.3-9 R-4.3-12 R-4.3-13 R-7.7.1-1 R-7.8-1 R-5.1-2
#[tokio::test(flavor = "multi_thread")]
async fn a_car_gets_its_code_at_once_and_reports() {
    let world = World::new().await;
    world.federate().await;
    world
        .msp
        .answer("/v1/activation-code-requests", 200, &sync_answer());
    let mut car = Car::connect(&world).await;

    let hello = Up::Hello {
        software: "test 1".into(),
        profiles: Vec::new(),
    };
    car.send([1; 16], hello).await;
    assert_eq!(
        car.message().await.body,
        Down::Ack {
            message_id: [1; 16]
        }
    );

    let LoginOutcome::Accepted {
        account,
        aup,
        profiles,
    } = car.login([2; 16], PIN).await
    else {
        panic!("refused");
    };
    assert_eq!((account, profiles.len()), (EVA, 0));
    assert_eq!(
        (aup.display_name.as_str(), aup.msp_name.as_str()),
        ("Eva", "Mobile One")
    );
    assert_eq!(aup.masked_number, "*********567");

    car.ask([3; 16], EVA).await;
    let first = car.message().await;
    assert_eq!(first.message_id, [3; 16]);
    match outcome(first.body.clone()) {
        CodeOutcome::Code {
            code,
            iccid: Some(got),
        } => {
            assert_eq!((code.expose(), got), (CODE, iccid()));
        }
        other => panic!("{other:?}"),
    }
    // The same request again: the same answer, and the MSP is not asked again.
    car.ask([3; 16], EVA).await;
    assert_eq!(car.message().await.body, first.body);
    // Another request of a car that lost its journal, before the code was used: the same code.
    car.ask([4; 16], EVA).await;
    assert!(matches!(
        outcome(car.message().await.body),
        CodeOutcome::Code { .. }
    ));
    let asked = world.msp.asked("/v1/activation-code-requests");
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].body["eid"], world.eid.as_str());
    assert!(asked[0].body["replaceIccid"].is_null());

    for (seq, status) in [
        (1, Status::Installed),
        (2, Status::Enabled),
        (2, Status::Enabled),
    ] {
        car.send([10 + seq as u8; 16], report(seq, status)).await;
        assert_eq!(
            car.message().await.body,
            Down::StatusAck { report_seq: seq }
        );
    }
    let told = world.msp.wait("/v1/statuses", 2).await;
    car.silence().await;
    let told: Vec<_> = told
        .iter()
        .map(|a| a.body["status"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(told, ["installed", "enabled"]);
    assert_eq!(world.msp.asked("/v1/statuses").len(), 2);
    let correlation = |a: &world::msp::Asked| a.headers["correlation-id"].clone();
    assert_eq!(
        correlation(&asked[0]),
        correlation(&world.msp.asked("/v1/statuses")[0])
    );
    // A second login: the profile is the user's own here.
    let LoginOutcome::Accepted { profiles, .. } = car.login([5; 16], PIN).await else {
        panic!("refused");
    };
    assert_eq!(profiles, [iccid()]);
}

// R-4.3-12 R-4.3-13: cars whose journal was lost count from one again, in another epoch; what they
// report goes to the MSP, what they repeat does not.
#[tokio::test(flavor = "multi_thread")]
async fn reports_of_a_new_journal_are_no_repetitions() {
    let world = World::new().await;
    world.federate().await;
    world
        .msp
        .answer("/v1/activation-code-requests", 200, &sync_answer());
    let mut car = Car::connect(&world).await;
    car.login([2; 16], PIN).await;
    car.ask([3; 16], EVA).await;
    car.message().await;
    let mut count = 0;
    // 0 is that of cars that know no epochs.
    for epoch in [0, 77, 0x7FFF_FFFF, 5] {
        for (number, status) in [
            (1, Status::Installed),
            (2, Status::Enabled),
            (1, Status::Installed),
            (3, Status::Disabled),
            (3, Status::Disabled),
        ] {
            let report_seq = (epoch << 32) + number;
            count += 1;
            car.send([100 + count; 16], report(report_seq, status))
                .await;
            assert_eq!(car.message().await.body, Down::StatusAck { report_seq });
        }
    }
    let told = world.msp.wait("/v1/statuses", 12).await;
    car.silence().await;
    let told: Vec<_> = told.iter().map(|a| a.body["status"].clone()).collect();
    assert_eq!(told, ["installed", "enabled", "disabled"].repeat(4));
    assert_eq!(world.msp.asked("/v1/statuses").len(), 12);
}

/// A report that comes after its successor, such as one whose decision had failed, does not undo that.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_was_overtaken_changes_nothing() {
    let world = World::new().await;
    world.federate().await;
    world
        .msp
        .answer("/v1/activation-code-requests", 200, &sync_answer());
    let mut car = Car::connect(&world).await;
    car.login([2; 16], PIN).await;
    car.ask([3; 16], EVA).await;
    car.message().await;
    for (report_seq, status) in [
        (1, Status::Installed),
        (3, Status::Disabled),
        (2, Status::Enabled),
    ] {
        car.send([100 + report_seq as u8; 16], report(report_seq, status))
            .await;
        assert_eq!(car.message().await.body, Down::StatusAck { report_seq });
    }
    let told = world.msp.wait("/v1/statuses", 2).await;
    car.silence().await;
    let told: Vec<_> = told.iter().map(|a| a.body["status"].clone()).collect();
    assert_eq!(told, ["installed", "disabled"]);
    assert_eq!(world.msp.asked("/v1/statuses").len(), 2);
}

// R-7.7.2-1 R-7.7.2-2 R-7.7.2.1-2 R-7.7.2.1-6 R-4.3-9
#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_comes_later_waits_for_a_car_that_is_away() {
    let mut world = World::new().await;
    let token = world.federate().await;
    world.msp.answer("/v1/activation-code-requests", 201, "");
    let mut car = Car::connect(&world).await;
    car.login([2; 16], PIN).await;
    car.ask([3; 16], EVA).await;
    assert_eq!(outcome(car.message().await.body), CodeOutcome::Pending);
    drop(car);
    world.restart().await;

    let asked = world.msp.asked("/v1/activation-code-requests");
    let request_id: Uuid = asked[0].body["activationCodeRequestID"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let correlation: Uuid = asked[0].headers["correlation-id"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    let body = |code: &str| SendActivationCode::Code {
        request_id,
        activation_code: code.parse().unwrap(),
        profile_type: aid_aid1::body::ProfileType::Personal,
        iccid: iccid(),
        swapped_iccid: None,
    };
    let client = world.client();
    let call = Call::within(correlation);
    client
        .send_activation_code(call, token, &body(CODE))
        .await
        .unwrap();
    client
        .send_activation_code(call, token, &body(CODE))
        .await
        .unwrap();
    // Another call with the same content is harmless, another code is refused.
    client
        .send_activation_code(Call::within(correlation), token, &body(CODE))
        .await
        .unwrap();
    let other = client
        .send_activation_code(Call::within(correlation), token, &body("1$h.example$X"))
        .await;
    assert_eq!(world_code(other), (422, "48".into()));
    // The request's id says what it answers, whatever the transaction is.
    client
        .send_activation_code(Call::new(), token, &body(CODE))
        .await
        .unwrap();

    let mut car = Car::connect(&world).await;
    let message = car.message().await;
    assert_eq!(message.message_id, [3; 16]);
    assert!(matches!(outcome(message.body), CodeOutcome::Code { .. }));
    // Not journalled yet: it comes at the next connection too; then no more.
    drop(car);
    let mut car = Car::connect(&world).await;
    car.message().await;
    car.send(
        [9; 16],
        Up::Ack {
            message_id: [3; 16],
        },
    )
    .await;
    car.silence().await;
    drop(car);
    let mut car = Car::connect(&world).await;
    car.silence().await;
}

fn world_code(result: Result<(), aid_aid1::client::CallError>) -> (u16, String) {
    let error = result.unwrap_err();
    let (status, body) = error.refusal().expect("a refusal");
    (status.as_u16(), body.unwrap().code.clone())
}

// R-7.7.2-3 R-7.7.1-2 R-4.3-1
#[tokio::test(flavor = "multi_thread")]
async fn failures_reach_the_car() {
    let world = World::new().await;
    let mut car = Car::connect(&world).await;
    car.login([1; 16], PIN).await;
    // No subscription is linked.
    car.ask([2; 16], EVA).await;
    assert!(matches!(
        outcome(car.message().await.body),
        CodeOutcome::Failed { code: 20, .. }
    ));
    assert!(world.msp.asked("/v1").is_empty());
    world.federate().await;
    let body = r#"{"code":"49","error":"none left"}"#;
    world.msp.answer("/v1/activation-code-requests", 422, body);
    car.ask([3; 16], EVA).await;
    let failed = outcome(car.message().await.body);
    assert_eq!(
        failed,
        CodeOutcome::Failed {
            code: 49,
            reason: "none left".into()
        }
    );
    // A car may not ask for users who never logged in to it.
    let mut other = Car::connect_as(&world, eid(2)).await;
    other.ask([4; 16], EVA).await;
    assert!(matches!(
        outcome(other.message().await.body),
        CodeOutcome::Failed { code: 104, .. }
    ));
    // The MSP is down: "later", and the code as soon as it is back.
    world.msp.answer("/v1/activation-code-requests", 503, "");
    car.ask([5; 16], EVA).await;
    assert_eq!(outcome(car.message().await.body), CodeOutcome::Pending);
    world
        .msp
        .answer("/v1/activation-code-requests", 200, &sync_answer());
    assert!(matches!(
        outcome(car.message().await.body),
        CodeOutcome::Code { .. }
    ));
    let asked = world.msp.asked("/v1/activation-code-requests");
    let ids: std::collections::BTreeSet<_> = asked[1..]
        .iter()
        .map(|a| a.headers["cmp-request-id"].to_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 1, "a retry keeps its CMP-request-id");
}

// R-2-10
#[tokio::test(flavor = "multi_thread")]
async fn five_wrong_pins_lock_the_account_and_a_repetition_counts_once() {
    let world = World::new().await;
    let mut car = Car::connect(&world).await;
    for n in 0..5 {
        for _ in 0..2 {
            let got = car.login([n; 16], "0000").await;
            assert_eq!(
                got,
                LoginOutcome::Refused {
                    reason: "name or PIN is wrong".into()
                }
            );
        }
    }
    let LoginOutcome::Refused { reason } = car.login([9; 16], PIN).await else {
        panic!("accepted");
    };
    assert!(reason.contains("15 minutes"), "{reason}");
}

// R-4.4.2-3 R-4.3.1-18 R-4.4.1-15
#[tokio::test(flavor = "multi_thread")]
async fn orders_wait_for_the_car_and_are_repeated_until_their_result() {
    let world = World::new().await;
    let token = world.federate().await;
    world
        .msp
        .answer("/v1/activation-code-requests", 200, &sync_answer());
    let mut car = Car::connect(&world).await;
    car.login([2; 16], PIN).await;
    car.ask([3; 16], EVA).await;
    car.message().await;
    car.send([4; 16], report(1, Status::Installed)).await;
    car.message().await;
    drop(car);

    let reason = Some("moved away".into());
    let body = aid_aid1::body::NotifyTokenInvalid { reason };
    world
        .client()
        .notify_token_invalid(Call::new(), token, &body)
        .await
        .unwrap();
    world
        .client()
        .notify_token_invalid(Call::new(), token, &body)
        .await
        .unwrap();
    let orders = world.store.orders(None, true).await.unwrap();
    assert_eq!(orders.len(), 1, "the repetition gives no second order");

    for _ in 0..2 {
        let mut car = Car::connect(&world).await;
        let kind = OrderKind::Delete { iccid: iccid() };
        // Also the code that was never acknowledged comes again, as a failure, before the order.
        let message = loop {
            let message = car.message().await;
            if matches!(message.body, Down::Order { .. }) {
                break message;
            }
        };
        assert_eq!(message.message_id, orders[0].id);
        assert_eq!(
            message.body,
            Down::Order {
                order_id: orders[0].id,
                kind
            }
        );
    }
    let mut car = Car::connect(&world).await;
    car.message().await;
    let id = orders[0].id;
    let outcome = OrderOutcome::Done;
    car.send([5; 16], report(2, Status::Deleted)).await;
    assert_eq!(car.message().await.body, Down::StatusAck { report_seq: 2 });
    car.send(
        id,
        Up::OrderResult {
            order_id: id,
            outcome,
        },
    )
    .await;
    assert_eq!(car.message().await.body, Down::Ack { message_id: id });
    let order = world.store.order(id).await.unwrap().unwrap();
    assert_eq!(order.state, OrderState::Done);
    let profile = world.store.all_profiles(1000).await.unwrap().remove(0);
    assert_eq!(profile.status, ProfileStatus::Deleted);
    let told = world.msp.wait("/v1/statuses", 2).await;
    assert_eq!(told[1].body["status"], "deleted");
    // The token is of no more use.
    car.ask([6; 16], EVA).await;
    assert!(matches!(
        car.message().await.body,
        Down::ActivationCode { .. }
    ));
    assert_eq!(world.msp.asked("/v1/activation-code-requests").len(), 1);
}

// Invariant 10
#[tokio::test(flavor = "multi_thread")]
async fn a_vehicle_touches_only_its_own_topics() {
    let world = World::new().await;
    let mut car = Car::connect(&world).await;
    for topic in [
        topic_down(&eid(2)),
        "aid/v1/+/down".into(),
        "#".into(),
        topic_up(&world.eid),
    ] {
        car.subscribe(&topic).await;
        let seen = car.next().await;
        let Seen::Subscribed(codes) = seen else {
            panic!("{seen:?}")
        };
        assert!(codes.contains("NotAuthorized"), "{topic}: {codes}");
    }
    for topic in [topic_up(&eid(2)), topic_down(&world.eid), "x".into()] {
        let account = EVA;
        car.send_to(&topic, [1; 16], Up::Logout { account }).await;
        let seen = car.next().await;
        let Seen::Acked(reason) = seen else {
            panic!("{seen:?}")
        };
        assert!(reason.contains("NotAuthorized"), "{topic}: {reason}");
    }
}

// Invariant 10, R-2-10
#[tokio::test(flavor = "multi_thread")]
async fn only_known_vehicles_get_in() {
    let world = World::new().await;
    let unknown = eid(99);
    for (file, name, rogue) in [
        ("unknown", unknown.as_str(), false),
        ("nobody", "nobody", false),
        ("rogue", world.eid.as_str(), true),
    ] {
        world.pki.issue(file, name, rogue);
        let mut car = Car::dial(world.gateway, world.pki.client(file), unknown, name);
        let seen = car.next().await;
        assert!(matches!(seen, Seen::Lost(_)), "{file}: {seen:?}");
    }
    // A car may leave the client id to us: it gets its EID.
    world.pki.issue("unnamed", world.eid.as_str(), false);
    let mut car = Car::dial(world.gateway, world.pki.client("unnamed"), world.eid, "");
    assert!(matches!(car.next().await, Seen::Connected));
    // Without any certificate, and under another client id.
    let mut car = Car::dial(world.gateway, world.pki.anonymous(), unknown, "x");
    assert!(matches!(car.next().await, Seen::Lost(_)));
    world.pki.issue("car", world.eid.as_str(), false);
    let mut car = Car::dial(
        world.gateway,
        world.pki.client("car"),
        unknown,
        unknown.as_str(),
    );
    assert!(matches!(car.next().await, Seen::Lost(_)));
}

// Invariant 11
#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_refused_and_the_connection_lives_on() {
    let world = World::new().await;
    let mut car = Car::connect(&world).await;
    let options = || rumqttc::PublishOptions::new(rumqttc::QoS::AtLeastOnce);
    for bytes in [vec![], vec![0; 100], vec![1; 20_000]] {
        let topic = topic_up(&world.eid);
        car.client.publish(topic, bytes, options()).await.unwrap();
        let seen = car.next().await;
        let Seen::Acked(reason) = seen else {
            panic!("{seen:?}")
        };
        assert!(reason.contains("PayloadFormatInvalid"), "{reason}");
    }
    car.login([1; 16], PIN).await;
    // Larger than a packet may be: the connection ends.
    let topic = topic_up(&world.eid);
    let sent = car.client.publish(topic, vec![0; 70_000], options()).await;
    while sent.is_ok() {
        match car.next().await {
            Seen::Lost(_) => break,
            // The user's profile follows the login.
            Seen::Message(m) => assert!(matches!(m.body, Down::UserProfile { .. }), "{m:?}"),
            Seen::Acked(_) => {}
            other => panic!("{other:?}"),
        }
    }
}
