//! What an MSP does otherwise than AID.02 has it, what it does not say, and what it hears by default: lateness, silence, a
//! token that it does not know, statuses. On real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use aid_aid1::body::{
    ProfileInformation, ProfileValidity, SendActivationCode, SendProfileInformation,
};
use aid_aid1::client::Call;
use aid_cmp::service::now;
use aid_cmp_core::change::Change;
use aid_cmp_core::model::{CallState, MspVerdict, NoticeKind, Profile, ProfileStatus};
use aid_wire::{CodeOutcome, Down, Status, Up};
use serde_json::{Value, json};
use std::process::Command;
use std::time::Duration;
use uuid::Uuid;
use world::car::Car;
use world::msp::TAKES;
use world::{EVA, PIN, World};

const CODES: &str = "/v1/activation-code-requests";
const LIST: &str = "/v1/profiles/status";
const STATUSES: &str = "/v1/statuses";
const ICCID: &str = "8944500805172032953";

fn answer() -> String {
    json!({"activationCode": "1$smdp.example$N1", "profileType": "personal", "swappedIccid": null,
        "iccid": ICCID})
    .to_string()
}

async fn code(car: &mut Car, id: u8) -> CodeOutcome {
    car.ask([id; 16], EVA).await;
    outcome(car).await
}

async fn outcome(car: &mut Car) -> CodeOutcome {
    loop {
        match car.message().await.body {
            Down::ActivationCode { outcome, .. } => return outcome,
            Down::UserProfile { .. } => {}
            other => panic!("expected a code, got {other:?}"),
        }
    }
}

/// Other settings for the MSPs, from the next start on.
fn configure(world: &World, change: impl Fn(&str) -> String) {
    let text = std::fs::read_to_string(world.config()).unwrap();
    let changed = change(&text);
    assert_ne!(text, changed);
    std::fs::write(world.config(), changed).unwrap();
}

fn rows(world: &World, args: &[&str]) -> Vec<Value> {
    let done = Command::new(env!("CARGO_BIN_EXE_aid-cmp"))
        .args(args)
        .args(["--json", "--config"])
        .arg(world.config())
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    let rows: Value = serde_json::from_slice(&done.stdout).unwrap();
    rows.as_array().unwrap().clone()
}

/// How often the first MSP did this, as the operator sees it.
async fn seen(world: &World, kind: &str) -> u64 {
    for _ in 0..500 {
        let msps = rows(world, &["msp", "list"]);
        let list = msps[0]["deviations"].as_array().unwrap();
        if let Some(row) = list.iter().find(|d| d["kind"] == kind) {
            return row["count"].as_u64().unwrap();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the operator sees no {kind}");
}

// R-7.7.1-3: a synchronous code that takes longer than three seconds is used, and an operator finds that in the audit trail
// and among the deviations; one that is in time is not found there.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_synchronous_code_is_used_and_noted() {
    let world = World::new().await;
    world.federate().await;
    let mut car = Car::connect(&world).await;
    car.login([1; 16], PIN).await;
    let late = |rows: &[Value]| {
        rows.iter()
            .filter(|r| r["what"] == "late synchronous answer")
            .count()
    };
    for (id, takes, noted) in [(2, "0", 0), (3, "3200", 1)] {
        let iccid = format!("89880000000000{id:05}");
        let body = answer().replace(ICCID, &iccid);
        world.msp.answer_with(CODES, 200, &body, &[(TAKES, takes)]);
        let got = code(&mut car, id).await;
        assert!(matches!(got, CodeOutcome::Code { .. }), "{takes}: {got:?}");
        let report = Up::Status {
            report_seq: u64::from(id),
            iccid: Some(iccid.parse().unwrap()),
            account: Some(EVA),
            status: Status::InstallationFailed,
            code: 1,
        };
        car.send(Uuid::new_v4().into_bytes(), report).await;
        car.message().await;
        assert_eq!(late(&rows(&world, &["audit", "list"])), noted, "{takes}");
    }
    assert_eq!(seen(&world, "late-synchronous-answer").await, 1);
}

// R-7.7-5, R-7.7-7, R-7.7.1-3: an MSP that says nothing is asked again after a minute, with the same ids; meanwhile the car hears
// "later", and the code may come by Send Activation Code.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_msp_is_asked_again_with_the_same_ids() {
    let mut world = World::new().await;
    configure(&world, |text| {
        text.replace("every_use = true", "every_use = true\nanswer_within = 4")
    });
    world.restart().await;
    let token = world.federate().await;
    world.msp.answer_with(CODES, 500, "", &[(TAKES, "600000")]);
    let mut car = Car::connect(&world).await;
    car.login([1; 16], PIN).await;
    assert_eq!(code(&mut car, 2).await, CodeOutcome::Pending);
    let call = loop {
        let call = world.store.calls(CallState::Due).await.unwrap().remove(0);
        // The car hears of the failure before it is stored.
        if call.attempts == 1 {
            break call;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let pause = call.next_at.saturating_sub(now());
    assert!((50_000..=66_000).contains(&pause), "{pause}");
    let asked = world.msp.asked(CODES);
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].body["imei"], "");

    // An operator has it made at once: the ids are the same.
    let id = Uuid::from_bytes(call.id).to_string();
    world.msp.answer(CODES, 201, "");
    rows(&world, &["outbox", "replay", &id, "--reason", "test"]);
    let asked = world.msp.wait(CODES, 2).await;
    for name in ["cmp-request-id", "correlation-id"] {
        assert_eq!(asked[0].headers[name], asked[1].headers[name]);
    }
    assert_eq!(asked[0].body, asked[1].body);
    // The car asks again, and that is no new request either.
    assert_eq!(code(&mut car, 3).await, CodeOutcome::Pending);
    assert_eq!(world.msp.asked(CODES).len(), 2);
    let sent = SendActivationCode::Code {
        activation_code: "1$smdp.example$N1".parse().unwrap(),
        profile_type: aid_aid1::body::ProfileType::Personal,
        request_id: Uuid::from_bytes(call.id),
        iccid: ICCID.parse().unwrap(),
        swapped_iccid: None,
    };
    let within = Call::within(Uuid::from_bytes(call.correlation));
    let client = world.client();
    client
        .send_activation_code(within, token, &sent)
        .await
        .unwrap();
    // "Later" may be said more than once before.
    let mut got = outcome(&mut car).await;
    while got == CodeOutcome::Pending {
        got = outcome(&mut car).await;
    }
    assert!(matches!(got, CodeOutcome::Code { .. }), "{got:?}");
}

// R-7.7-9, R-4.6-2, R-7.5-12: an MSP that does not know a token any more makes the link doubtful: user and operator see it,
// the MSP is asked once what it has, and it is not asked for codes until it names the token again.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_the_msp_does_not_know_is_doubtful_until_it_does() {
    let world = World::new().await;
    let token = world.federate().await;
    let unknown = r#"{"code":"20","error":"The msp_token was not found"}"#;
    world.msp.answer(CODES, 404, unknown);
    world.msp.answer(LIST, 404, unknown);
    let mut car = Car::connect(&world).await;
    car.login([1; 16], PIN).await;
    let got = code(&mut car, 2).await;
    assert!(
        matches!(got, CodeOutcome::Failed { code: 20, .. }),
        "{got:?}"
    );
    world.msp.wait(LIST, 1).await;
    let notices = world.read(async |tx| tx.notices(EVA).await).await;
    assert!(notices.iter().any(|n| n.kind == NoticeKind::Doubtful));
    let page = world.browser().await.get("/").await;
    assert!(page.contains("does not recognise the link"), "{page}");
    assert!(rows(&world, &["federation", "list"])[0]["doubtful_since"].is_string());
    for id in 3..6 {
        let got = code(&mut car, id).await;
        assert!(
            matches!(got, CodeOutcome::Failed { code: 20, .. }),
            "{got:?}"
        );
    }
    assert_eq!(
        (world.msp.asked(CODES).len(), world.msp.asked(LIST).len()),
        (1, 1)
    );

    // It names the token: it knows it.
    let link = world
        .read(async |tx| tx.all_federations(None, 1).await)
        .await
        .remove(0);
    let profile = Profile {
        iccid: "8944500805172032961".parse().unwrap(),
        federation: link.id,
        eid: world::eid(2),
        status: ProfileStatus::Disabled,
        verdict: MspVerdict::Valid,
        last_used: 1,
        created_at: 1,
    };
    world
        .commit(vec![Change::PutProfile(profile.clone())])
        .await;
    let suspended = SendProfileInformation {
        profiles: vec![ProfileInformation {
            iccid: profile.iccid.clone(),
            status: ProfileValidity::Suspended,
            reason: Some("unpaid".into()),
        }],
    };
    let before = now();
    let client = world.client();
    let told = client.send_profile_information(Call::new(), token, &suspended);
    told.await.unwrap();
    assert!(rows(&world, &["federation", "list"])[0]["doubtful_since"].is_null());
    world.msp.answer(CODES, 200, &answer());
    let got = code(&mut car, 9).await;
    assert!(matches!(got, CodeOutcome::Code { .. }), "{got:?}");
    assert_eq!(world.msp.asked(CODES).len(), 2);

    // Customer care can say since when and why the profile is blocked.
    for shown in [
        rows(&world, &["profile", "list"]),
        rows(&world, &["user", "show", "eva"])[0]["federations"][0]["profiles"]
            .as_array()
            .unwrap()
            .clone(),
        rows(&world, &["vehicle", "show", profile.eid.as_str()])[0]["profiles"]
            .as_array()
            .unwrap()
            .clone(),
    ] {
        let row = shown
            .iter()
            .find(|r| r["iccid"] == profile.iccid.as_str())
            .unwrap();
        assert_eq!(
            (&row["msp_state"], &row["msp_state_reason"]),
            (&"suspended".into(), &"unpaid".into())
        );
        let since: jiff::Timestamp = row["msp_state_since"].as_str().unwrap().parse().unwrap();
        let since = u64::try_from(since.as_millisecond()).unwrap();
        assert!(since >= before && since <= now());
    }
}

// R-7.10-7, R-7.8-3: by default an MSP hears of installation and deletion; of use where that was agreed, once per profile or
// each time.
#[tokio::test(flavor = "multi_thread")]
async fn an_msp_hears_of_use_as_it_was_agreed() {
    let all =
        r#"statuses = ["installed", "enabled", "disabled", "deleted", "installation_failed"]"#;
    let cases: [(&[&str], &[&str]); 3] = [
        (&[all, "every_use = true"], &["installed", "deleted"]),
        (
            &["every_use = true"],
            &["installed", "enabled", "disabled", "deleted"],
        ),
        (
            &[],
            &[
                "installed",
                "enabled",
                "disabled",
                "enabled",
                "disabled",
                "deleted",
            ],
        ),
    ];
    for (removed, told) in cases {
        let mut world = World::new().await;
        if !removed.is_empty() {
            configure(&world, |text| {
                let remove = |text: String, line: &&str| text.replace(*line, "");
                removed.iter().fold(text.to_owned(), remove)
            });
            world.restart().await;
        }
        world.federate().await;
        world.msp.answer(CODES, 200, &answer());
        let mut car = Car::connect(&world).await;
        car.login([1; 16], PIN).await;
        assert!(matches!(code(&mut car, 2).await, CodeOutcome::Code { .. }));
        use Status as S;
        let life = [
            S::Installed,
            S::Enabled,
            S::Disabled,
            S::Enabled,
            S::Disabled,
            S::Deleted,
        ];
        for (seq, status) in (1..).zip(life) {
            let report = Up::Status {
                report_seq: seq,
                iccid: Some(ICCID.parse().unwrap()),
                account: Some(EVA),
                status,
                code: 0,
            };
            car.send(Uuid::new_v4().into_bytes(), report).await;
            car.message().await;
        }
        let asked = world.msp.wait(STATUSES, told.len()).await;
        let words: Vec<_> = asked
            .iter()
            .map(|a| a.body["status"].as_str().unwrap())
            .collect();
        assert_eq!(words, told);
        // Nothing else waits.
        let due = world.store.calls(CallState::Due).await.unwrap();
        assert!(due.is_empty(), "{due:?}");
    }
}

// R-5.1-9: what was not agreed with an MSP is refused, with the status that the operation has for it.
#[tokio::test(flavor = "multi_thread")]
async fn an_msp_calls_only_what_was_agreed() {
    let mut world = World::new().await;
    let token = world.federate().await;
    configure(&world, |text| {
        text.replacen(
            "every_use = true",
            "every_use = true\noperations = [\"sendMspToken\"]",
            1,
        )
    });
    world.restart().await;
    let client = world.client();
    let information = SendProfileInformation {
        profiles: vec![ProfileInformation {
            iccid: ICCID.parse().unwrap(),
            status: ProfileValidity::Invalid,
            reason: None,
        }],
    };
    let refused = client.send_profile_information(Call::new(), token, &information);
    let refused = refused.await.unwrap_err();
    let (status, body) = refused.refusal().unwrap();
    assert_eq!((status.as_u16(), body.unwrap().code.as_str()), (403, "104"));
    let body = aid_aid1::body::NotifyTokenInvalid { reason: None };
    let refused = client.notify_token_invalid(Call::new(), token, &body).await;
    let refused = refused.unwrap_err();
    let (status, body) = refused.refusal().unwrap();
    assert_eq!((status.as_u16(), body.unwrap().code.as_str()), (401, "104"));
    world.federate().await;
}
