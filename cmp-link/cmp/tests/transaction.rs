//! One correlation-id through all hops: call of the MSP, order to the car, report of the car, call to the
//! MSP; and a trace that has a span for each (AID.02 §5.1).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use aid_aid1::body::{NotifyTokenInvalid, SendActivationCode};
use aid_aid1::client::Call;
use aid_aid1::span;
use aid_wire::{CodeOutcome, Down, OrderOutcome, Status, Up};
use serde_json::{Value, json};
use std::sync::Mutex;
use std::time::Duration;
use uuid::Uuid;
use world::car::Car;
use world::{EVA, PIN, World};

const ICCID: &str = "8944500805172032953";
const CODES: &str = "/v1/activation-code-requests";

static SPANS: Mutex<Vec<Value>> = Mutex::new(Vec::new());

/// Names of the spans of a transaction so far.
fn recorded(transaction: Uuid) -> Vec<String> {
    let trace = transaction.simple().to_string();
    let spans = SPANS.lock().unwrap();
    let own = spans.iter().filter(|s| s["traceId"] == trace.as_str());
    own.map(|s| s["name"].as_str().unwrap().to_owned())
        .collect()
}

/// Names of the spans of a transaction, once there are that many.
async fn spans(transaction: Uuid, count: usize) -> Vec<String> {
    let mut names = recorded(transaction);
    for _ in 0..200 {
        if names.len() >= count {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        names = recorded(transaction);
    }
    names.sort();
    // The MSP of this test is in the same process, and records its end of a call too.
    names.dedup();
    names
}

fn correlation(asked: &world::msp::Asked) -> Uuid {
    let value = asked.headers.get("correlation-id").unwrap();
    value.to_str().unwrap().parse().unwrap()
}

async fn report(car: &mut Car, seq: u64, status: Status) {
    let iccid = Some(ICCID.parse().unwrap());
    let (account, report_seq, code) = (Some(EVA), seq, 0);
    let body = Up::Status {
        report_seq,
        iccid,
        account,
        status,
        code,
    };
    car.send(Uuid::new_v4().into_bytes(), body).await;
    let message = car.message().await;
    assert!(
        matches!(message.body, Down::StatusAck { .. }),
        "{message:?}"
    );
}

// R-5.1-2
#[tokio::test(flavor = "multi_thread")]
async fn one_id_goes_through_all_hops() {
    span::record_with(|span| SPANS.lock().unwrap().push(span));
    let world = World::new().await;
    let token = world.federate().await;
    let mut car = Car::connect(&world).await;
    // Provisioning: the CMP's request, the MSP's answer, the code to the car, the report back out.
    world.msp.answer(CODES, 201, "");
    car.login([1; 16], PIN).await;
    car.ask([2; 16], EVA).await;
    let asked = world.msp.wait(CODES, 1).await.remove(0);
    let transaction = correlation(&asked);
    loop {
        let message = car.message().await;
        let Down::ActivationCode { outcome, .. } = message.body else {
            panic!("{message:?}");
        };
        assert_eq!(Uuid::from_bytes(message.correlation_id), transaction);
        if matches!(outcome, CodeOutcome::Pending) {
            break;
        }
    }
    let body = SendActivationCode::Code {
        activation_code: "1$smdp.example$X".parse().unwrap(),
        profile_type: aid_aid1::body::ProfileType::Personal,
        request_id: asked.body["activationCodeRequestID"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap(),
        iccid: ICCID.parse().unwrap(),
        swapped_iccid: None,
    };
    let call = Call {
        request_id: Uuid::new_v4(),
        correlation_id: transaction,
    };
    let client = world.client();
    client
        .send_activation_code(call, token, &body)
        .await
        .unwrap();
    let message = car.message().await;
    assert_eq!(Uuid::from_bytes(message.correlation_id), transaction);
    let message_id = message.message_id;
    car.send([3; 16], Up::Ack { message_id }).await;
    report(&mut car, 1, Status::Installed).await;
    let told = world.msp.wait("/v1/statuses", 1).await.remove(0);
    assert_eq!(correlation(&told), transaction);
    assert_eq!(
        spans(transaction, 7).await,
        [
            "AID2 ActivationCode",
            "AID2 RequestActivationCode",
            "AID2 Status",
            "Request Activation Code",
            "Send Activation Code",
            "Send CSIM Status",
        ]
    );
    // Withdrawal by the MSP: its call, the order, the report, the status.
    let call = Call::new();
    let body = NotifyTokenInvalid { reason: None };
    let client = world.client();
    client
        .notify_token_invalid(call, token, &body)
        .await
        .unwrap();
    let message = car.message().await;
    let Down::Order { order_id, .. } = message.body else {
        panic!("{message:?}");
    };
    assert_eq!(
        Uuid::from_bytes(message.correlation_id),
        call.correlation_id
    );
    let order = world.store.order(order_id).await.unwrap().unwrap();
    assert_eq!(order.correlation, call.correlation_id.into_bytes());
    report(&mut car, 2, Status::Deleted).await;
    let outcome = OrderOutcome::Done;
    car.send(order_id, Up::OrderResult { order_id, outcome })
        .await;
    let told = world.msp.wait("/v1/statuses", 2).await.remove(1);
    assert_eq!(told.body["status"], json!("deleted"));
    assert_eq!(correlation(&told), call.correlation_id);
    assert_eq!(
        spans(call.correlation_id, 5).await,
        [
            "AID2 Order",
            "AID2 Status",
            "Notify MSP Token Invalid",
            "Send CSIM Status",
        ]
    );
}
