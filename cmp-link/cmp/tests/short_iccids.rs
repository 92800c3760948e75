//! ICCIDs of 18 digits: refused, unless they were agreed with the MSP that names them (AID.02 §5.4).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use aid_aid1::body::{
    ProfileInformation, ProfileType, ProfileValidity, SendActivationCode, SendProfileInformation,
};
use aid_aid1::client::{Call, CallError, CmpClient};
use aid_cmp_core::model::{CallKind, MspVerdict};
use aid_id::{Iccid, MspToken};
use aid_wire::{CodeOutcome, Down, Status, Up};
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;
use world::car::Car;
use world::{EVA, PIN, World, csrf, query};

const CODES: &str = "/v1/activation-code-requests";
const STATUSES: &str = "/v1/statuses";
const SHORT: &str = "894450080517203295";
const SHORT_TOO: &str = "894450080517203296";

fn iccid(text: &str) -> Iccid {
    text.parse().unwrap()
}

/// The line for the first MSP, or its absence, from the next start on.
async fn configure(world: &mut World, short: bool) {
    let text = std::fs::read_to_string(world.config()).unwrap();
    let line = "every_use = true\nshort_iccids = true\n";
    let text = text.replace(line, "every_use = true\n");
    let text = match short {
        true => text.replacen("every_use = true\n", line, 1),
        false => text,
    };
    std::fs::write(world.config(), text).unwrap();
    world.restart().await;
}

fn answer(named: &str) -> String {
    json!({"activationCode": "1$smdp.example$N1", "profileType": "personal", "swappedIccid": null,
        "iccid": named})
    .to_string()
}

async fn code(car: &mut Car, id: u8) -> CodeOutcome {
    car.ask([id; 16], EVA).await;
    loop {
        match car.message().await.body {
            Down::ActivationCode { outcome, .. } => return outcome,
            Down::UserProfile { .. } | Down::Order { .. } => {}
            other => panic!("expected a code, got {other:?}"),
        }
    }
}

/// Links Eva with the second MSP; yields the token.
async fn link_other(world: &World, client: &CmpClient) -> MspToken {
    let browser = world.browser().await;
    let page = browser.get("/").await;
    let form = [("csrf", csrf(&page)), ("msp", "Mobile Two".into())];
    let (status, location) = browser.post("/link", &form).await;
    assert_eq!(status, 303, "{location}");
    let id = query(&location, "id");
    let token = MspToken::from_bytes(Uuid::new_v4().into_bytes());
    let body = world.token_body(token);
    let sent = client.send_msp_token(Call::new(), &id, &body);
    sent.await.unwrap();
    token
}

/// Whether the operator sees that the first MSP named such an ICCID.
fn is_counted(world: &World) -> bool {
    let done = std::process::Command::new(env!("CARGO_BIN_EXE_aid-cmp"))
        .args(["msp", "list", "--json", "--config"])
        .arg(world.config())
        .output()
        .unwrap();
    let rows: Value = serde_json::from_slice(&done.stdout).unwrap();
    let mut seen = rows[0]["deviations"].as_array().unwrap().iter();
    seen.any(|d| d["kind"] == "short-iccid")
}

fn refused(answer: Result<(), CallError>) -> (u16, String, String) {
    let error = answer.unwrap_err();
    let (status, body) = error.refusal().unwrap();
    let body = body.unwrap();
    (status.as_u16(), body.code.clone(), body.error.clone())
}

/// Every call of an MSP that names an ICCID.
async fn named(client: &CmpClient, token: MspToken, short: &str) -> Vec<Result<(), CallError>> {
    let request_id = Uuid::new_v4();
    let long = "8944500805172032953";
    let code = |first: &str, swapped: Option<&str>| SendActivationCode::Code {
        request_id,
        activation_code: "1$smdp.example$N2".parse().unwrap(),
        profile_type: ProfileType::Personal,
        iccid: iccid(first),
        swapped_iccid: swapped.map(iccid),
    };
    let information = |iccids: &[&str]| SendProfileInformation {
        profiles: iccids
            .iter()
            .map(|text| ProfileInformation {
                iccid: iccid(text),
                status: ProfileValidity::Suspended,
                reason: None,
            })
            .collect(),
    };
    let mut answers = Vec::new();
    for body in [code(short, None), code(long, Some(short))] {
        answers.push(client.send_activation_code(Call::new(), token, &body).await);
    }
    for body in [information(&[short]), information(&[long, short])] {
        let call = client.send_profile_information(Call::new(), token, &body);
        answers.push(call.await);
    }
    answers
}

// R-5.4-1
#[tokio::test(flavor = "multi_thread")]
async fn short_iccids_are_taken_from_whom_they_were_agreed_with() {
    let mut world = World::new().await;
    let token = world.federate().await;
    // By default nobody may name one: not in a call, not in an answer.
    for answer in named(&world.client(), token, SHORT).await {
        let (status, code, text) = refused(answer);
        assert_eq!((status, code.as_str()), (422, "91"), "{text}");
        assert!(text.contains("ccid") && text.contains("19 to 22"), "{text}");
    }
    let mut car = Car::connect(&world).await;
    car.login([1; 16], PIN).await;
    world.msp.answer(CODES, 200, &answer(SHORT));
    let got = code(&mut car, 2).await;
    assert!(!matches!(got, CodeOutcome::Code { .. }), "{got:?}");
    drop(car);

    configure(&mut world, true).await;
    // The other MSP has no such agreement; what is refused of it is refused for its form.
    let other = world.client_as("msptwo", "mspkey2", "msp2");
    let its = link_other(&world, &other).await;
    for answer in named(&other, its, SHORT).await {
        let (status, code, text) = refused(answer);
        assert_eq!((status, code.as_str()), (422, "91"), "{text}");
    }
    // The first may: what is refused now is not its form.
    for answer in named(&world.client(), token, SHORT_TOO).await {
        let (_, code, text) = refused(answer);
        assert_ne!(code, "91", "{text}");
    }
    // The answer that was refused is asked for again, and is used.
    let mut car = Car::connect(&world).await;
    car.login([3; 16], PIN).await;
    let got = tokio::time::timeout(Duration::from_secs(120), async {
        loop {
            if let got @ CodeOutcome::Code { .. } = code(&mut car, 2).await {
                return got;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let CodeOutcome::Code { iccid: named, .. } = got.await.unwrap() else {
        panic!("no code");
    };
    assert_eq!(named, Some(iccid(SHORT)));
    // Its report reaches the MSP, also where the line is taken away before.
    world.msp.answer(STATUSES, 503, "");
    let report = Up::Status {
        report_seq: 1,
        iccid: Some(iccid(SHORT)),
        account: Some(EVA),
        status: Status::Installed,
        code: 0,
    };
    car.send([4; 16], report).await;
    loop {
        match car.message().await.body {
            Down::StatusAck { report_seq: 1 } => break,
            Down::UserProfile { .. } | Down::ActivationCode { .. } | Down::Ack { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    drop(car);
    // It may say of the profile what it may say of any.
    let suspended = SendProfileInformation {
        profiles: vec![ProfileInformation {
            iccid: iccid(SHORT),
            status: ProfileValidity::Suspended,
            reason: None,
        }],
    };
    let call = Call::new();
    let client = world.client();
    let told = client.send_profile_information(call, token, &suspended);
    told.await.unwrap();
    let found = world.store.profiles_with(&iccid(SHORT)).await.unwrap();
    assert_eq!(found[0].verdict, MspVerdict::Suspended);
    // The operator sees that it came.
    let seen = async {
        while !is_counted(&world) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let seen = tokio::time::timeout(Duration::from_secs(60), seen);
    seen.await.expect("the operator sees it");
    configure(&mut world, false).await;
    world.msp.answer(STATUSES, 201, "");
    let told = |got: &Value| got["iccid"] == SHORT && got["status"] == "installed";
    tokio::time::timeout(Duration::from_secs(120), async {
        loop {
            let calls = world.store.all_calls().await.unwrap();
            let mut open = calls.iter().filter(|c| c.kind == CallKind::Status);
            if open.all(|c| c.state == aid_cmp_core::model::CallState::Done) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("the report reaches the MSP");
    assert!(world.msp.asked(STATUSES).iter().any(|a| told(&a.body)));
}
