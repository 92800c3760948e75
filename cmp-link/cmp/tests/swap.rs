//! Several cars of one user: the swap of §4.3.1, answers without an ICCID, failed installations.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use aid_cmp_core::model::{MspVerdict, ProfileStatus};
use aid_id::Iccid;
use aid_wire::{CodeOutcome, Down, OrderKind, OrderOutcome, Status, Up};
use serde_json::{Value, json};
use world::car::Car;
use world::{EVA, PIN, World, eid};

const FIRST: &str = "8944500805172032953";
const SECOND: &str = "8944500805172032961";

fn iccid(text: &str) -> Iccid {
    text.parse().unwrap()
}

fn answer(code: &str, iccid: Option<&str>, swapped: Option<&str>) -> String {
    let mut body = json!({
        "activationCode": format!("1$smdp.example${code}"), "profileType": "personal",
        "swappedIccid": swapped,
    });
    if let Some(iccid) = iccid {
        body["iccid"] = iccid.into();
    }
    body.to_string()
}

fn report(seq: u64, iccid: Option<&str>, status: Status) -> Up {
    Up::Status {
        report_seq: seq,
        iccid: iccid.map(|i| i.parse().unwrap()),
        account: Some(EVA),
        status,
        code: 0,
    }
}

async fn code(car: &mut Car, id: u8) -> CodeOutcome {
    car.ask([id; 16], EVA).await;
    match car.message().await.body {
        Down::ActivationCode { outcome, .. } => outcome,
        other => panic!("expected a code, got {other:?}"),
    }
}

async fn tell(car: &mut Car, id: u8, report: Up) {
    car.send([id; 16], report).await;
    assert!(matches!(car.message().await.body, Down::StatusAck { .. }));
}

// R-4.3.1-2 R-4.3.1-6 R-4.3.1-13 R-4.3.1-16 R-4.3.1-24 R-7.7-8
#[tokio::test(flavor = "multi_thread")]
async fn the_second_car_takes_the_profile_of_the_first() {
    let world = World::new().await;
    world.federate().await;
    let path = "/v1/activation-code-requests";
    // The MSP does not say which profile it is: the card does.
    world.msp.answer(path, 200, &answer("A", None, None));
    let mut first = Car::connect(&world).await;
    first.login([1; 16], PIN).await;
    let CodeOutcome::Code { iccid: None, .. } = code(&mut first, 2).await else {
        panic!("no code, or an ICCID from nowhere");
    };
    tell(&mut first, 3, report(1, Some(FIRST), Status::Installed)).await;
    let profile = world.store.all_profiles(1000).await.unwrap().remove(0);
    assert_eq!((profile.iccid, profile.eid), (iccid(FIRST), world.eid));
    assert_eq!(profile.status, ProfileStatus::Installed);

    world
        .msp
        .answer(path, 200, &answer("B", Some(SECOND), Some(FIRST)));
    let mut second = Car::connect_as(&world, eid(2)).await;
    second.login([4; 16], PIN).await;
    assert!(matches!(
        code(&mut second, 5).await,
        CodeOutcome::Code { .. }
    ));
    assert_eq!(world.msp.asked(path)[1].body["replaceIccid"], FIRST);
    // The first car, which is connected, hears of it at once.
    let message = first.message().await;
    let Down::Order { order_id, kind } = message.body else {
        panic!("{message:?}");
    };
    assert_eq!(
        kind,
        OrderKind::Delete {
            iccid: iccid(FIRST)
        }
    );
    tell(&mut first, 6, report(2, Some(FIRST), Status::Deleted)).await;
    let outcome = OrderOutcome::Done;
    first
        .send(order_id, Up::OrderResult { order_id, outcome })
        .await;
    assert_eq!(
        first.message().await.body,
        Down::Ack {
            message_id: order_id
        }
    );
    let profiles = world.store.profiles_with(&iccid(FIRST)).await.unwrap();
    assert_eq!(profiles[0].verdict, MspVerdict::Swapped);
    assert_eq!(profiles[0].status, ProfileStatus::Deleted);
    let told = world.msp.wait("/v1/statuses", 2).await;
    let told: Vec<&Value> = told.iter().map(|a| &a.body["status"]).collect();
    assert_eq!(told, ["installed", "deleted"]);
}

// R-7.8-2 R-7.8-6
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_installation_is_told_and_another_code_may_be_asked_for() {
    let world = World::new().await;
    world.federate().await;
    let path = "/v1/activation-code-requests";
    world.msp.answer(path, 200, &answer("A", Some(FIRST), None));
    let mut car = Car::connect(&world).await;
    car.login([1; 16], PIN).await;
    code(&mut car, 2).await;
    // The car does not know which profile it was; the request does.
    tell(&mut car, 3, report(1, None, Status::InstallationFailed)).await;
    let told = world.msp.wait("/v1/statuses", 1).await;
    assert_eq!(told[0].body["status"], "installation_failed");
    assert_eq!(told[0].body["iccid"], FIRST);
    assert_eq!(told[0].body["eid"], world.eid.as_str());
    world
        .msp
        .answer(path, 200, &answer("B", Some(SECOND), None));
    assert!(matches!(code(&mut car, 4).await, CodeOutcome::Code { .. }));
    // What could not be installed here is no profile of another car (§7.7).
    let replaced = &world.msp.asked(path)[1].body["replaceIccid"];
    assert_eq!(*replaced, serde_json::Value::Null);
}

// Invariants 5 and 10
#[tokio::test(flavor = "multi_thread")]
async fn a_car_can_not_claim_the_profile_of_another() {
    let world = World::new().await;
    world.federate().await;
    let path = "/v1/activation-code-requests";
    world.msp.answer(path, 200, &answer("A", Some(FIRST), None));
    let mut first = Car::connect(&world).await;
    first.login([1; 16], PIN).await;
    code(&mut first, 2).await;
    tell(&mut first, 3, report(1, Some(FIRST), Status::Enabled)).await;
    let mut second = Car::connect_as(&world, eid(2)).await;
    second.login([4; 16], PIN).await;
    tell(&mut second, 5, report(1, Some(FIRST), Status::Deleted)).await;
    let profile = world.store.all_profiles(1000).await.unwrap().remove(0);
    assert_eq!(
        (profile.eid, profile.status),
        (world.eid, ProfileStatus::Enabled)
    );
    world.msp.wait("/v1/statuses", 1).await;
    second.silence().await;
    assert_eq!(world.msp.asked("/v1/statuses").len(), 1);
}
