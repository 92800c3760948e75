//! Requirements that are preconditions, prohibitions and ends: each is proved alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use aid_aid1::body::{ProfileType, SendActivationCode};
use aid_aid1::client::Call;
use aid_aid1::operation::{Api as _, MspOperation};
use aid_cmp_core::change::Change;
use aid_cmp_core::model::{CallState, MspVerdict, Profile, ProfileStatus};
use aid_id::{Iccid, MspToken};
use aid_wire::{CodeOutcome, Down, Status, Up};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;
use uuid::Uuid;
use world::car::Car;
use world::msp::TAKES;
use world::{Browser, EVA, PASSWORD, PIN, World, csrf};

const CODES: &str = "/v1/activation-code-requests";
const LIST: &str = "/v1/profiles/status";
const CODE: &str = "1$smdp.example$N1";

fn iccid() -> Iccid {
    "8944500805172032953".parse().unwrap()
}

fn command(world: &World, args: &[&str]) -> Value {
    let done = Command::new(env!("CARGO_BIN_EXE_aid-cmp"))
        .args(args)
        .args(["--json", "--config"])
        .arg(world.config())
        .output()
        .unwrap();
    assert!(done.status.success(), "{args:?} {done:?}");
    serde_json::from_slice(&done.stdout).unwrap()
}

async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let so = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), so).await;
    waited.expect(what);
}

async fn outcome(car: &mut Car) -> CodeOutcome {
    loop {
        match car.message().await.body {
            Down::ActivationCode { outcome, .. } => return outcome,
            Down::UserProfile { .. }
            | Down::Order { .. }
            | Down::StatusAck { .. }
            | Down::Ack { .. } => {}
            other => panic!("expected a code, got {other:?}"),
        }
    }
}

/// What a login at the portal and the wish to link a subscription are answered with.
async fn link(browser: &Browser) -> (u16, String) {
    let page = browser.get("/login").await;
    let page = match page.contains("name=\"csrf\"") {
        true => page,
        false => browser.get("/").await,
    };
    let form = [("csrf", csrf(&page)), ("msp", "Mobile One".into())];
    browser.post("/link", &form).await
}

async fn sign_in(browser: &Browser, password: &str) -> u16 {
    let page = browser.get("/login").await;
    let form = [
        ("csrf", csrf(&page)),
        ("next", "/".into()),
        ("name", "eva".into()),
        ("password", password.into()),
    ];
    browser.post("/login", &form).await.0
}

// R-4.1-1: an onboarding begins with a living account of the CMP, and with credentials that are valid now.
#[tokio::test(flavor = "multi_thread")]
async fn an_onboarding_needs_an_account_with_valid_credentials() {
    let world = World::new().await;
    let begins = |(status, to): &(u16, String)| {
        *status == 303 && to.starts_with("https://msp.example/authorize")
    };
    // Nobody is signed in.
    let stranger = Browser::new(&world);
    assert!(!begins(&link(&stranger).await));
    // The password is wrong.
    assert_eq!(sign_in(&stranger, "wrong password").await, 401);
    assert!(!begins(&link(&stranger).await));
    // They are right.
    let eva = world.browser().await;
    let page = eva.get("/").await;
    let form = [("csrf", csrf(&page)), ("msp", "Mobile One".into())];
    let answer = eva.post("/link", &form).await;
    assert!(begins(&answer), "{answer:?}");
    // The account is locked by wrong passwords: the right one does not count.
    for _ in 0..6 {
        sign_in(&stranger, "wrong password").await;
    }
    assert_eq!(sign_in(&stranger, PASSWORD).await, 401);
    assert!(!begins(&link(&stranger).await));
    // The account is gone, and with it the session that it had.
    let erase = vec![Change::EraseAccount(EVA)];
    world.store.commit(erase).await.unwrap();
    let answer = eva.post("/link", &form).await;
    assert!(!begins(&answer), "{answer:?}");
}

// R-4.5-1: without a link, and without a profile in a vehicle, there is nothing to delete, and nothing is ordered.
#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_onboarded_and_provisioned_is_deleted() {
    let world = World::new().await;
    let browser = world.browser().await;
    let delete = async |eid: Option<String>| {
        let page = browser.get("/").await;
        let mut form = vec![
            ("csrf", csrf(&page)),
            ("iccid", iccid().to_string()),
            ("confirmed", "yes".into()),
        ];
        form.extend(eid.map(|eid| ("eid", eid)));
        browser.post("/delete", &form).await
    };
    let orders = async || world.store.orders(None, false).await.unwrap().len();
    // Not onboarded.
    assert_eq!(delete(None).await.0, 404);
    world.federate().await;
    // Onboarded, and no vehicle is provisioned.
    assert_eq!(delete(None).await.0, 404);
    let federation = world.store.federations(EVA).await.unwrap().remove(0);
    let profile = |status| Profile {
        iccid: iccid(),
        federation: federation.id,
        eid: world.eid,
        status,
        verdict: MspVerdict::Valid,
        last_used: 1,
        created_at: 1,
    };
    // Its installation has failed, or it is deleted already: there is none.
    for status in [ProfileStatus::Failed, ProfileStatus::Deleted] {
        let put = vec![Change::PutProfile(profile(status))];
        world.store.commit(put).await.unwrap();
        delete(None).await;
        assert_eq!(orders().await, 0, "{status:?}");
    }
    let put = vec![Change::PutProfile(profile(ProfileStatus::Enabled))];
    world.store.commit(put).await.unwrap();
    // In another vehicle there is none.
    assert_eq!(delete(Some(world::eid(2).to_string())).await.0, 404);
    assert_eq!(orders().await, 0);
    let answer = delete(Some(world.eid.to_string())).await;
    assert_eq!(answer, (303, "/?done=deleted".into()));
    assert_eq!(orders().await, 1);
}

/// A profile of Eva's, enabled in the car.
async fn provision(world: &World, car: &mut Car) {
    let answer = json!({"activationCode": CODE, "profileType": "personal", "swappedIccid": null,
        "iccid": iccid().as_str()});
    world.msp.answer(CODES, 200, &answer.to_string());
    car.login([1; 16], PIN).await;
    car.ask([2; 16], EVA).await;
    let got = outcome(car).await;
    assert!(matches!(got, CodeOutcome::Code { .. }), "{got:?}");
    let reports = [Status::Installed, Status::Enabled];
    for (report_seq, status) in (1..).zip(reports) {
        let report = Up::Status {
            report_seq,
            iccid: Some(iccid()),
            account: Some(EVA),
            status,
            code: 0,
        };
        car.send(Uuid::new_v4().into_bytes(), report).await;
        assert_eq!(car.message().await.body, Down::StatusAck { report_seq });
    }
}

// R-7-1: whatever the CMP wants of an MSP by chapter 7 reaches it as an operation of AID1, each of the four, with the
// headers of AID1; and the MSP is sent nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn all_calls_of_chapter_7_are_operations_of_aid1() {
    let world = World::new().await;
    let token = world.federate().await;
    let mut car = Car::connect(&world).await;
    provision(&world, &mut car).await;
    let listed = json!({"profiles": [{"iccid": iccid().as_str(), "status": "enabled"}]});
    world.msp.answer(LIST, 200, &listed.to_string());
    command(&world, &["sync", "run", "--all"]);
    let withdraw = ["federation", "list"];
    let rows = command(&world, &withdraw);
    let id = rows[0]["federation"].as_str().unwrap();
    command(&world, &["federation", "withdraw", id, "--reason", "moved"]);
    until("every call is done", async || {
        let calls = world.store.all_calls().await.unwrap();
        !calls.is_empty() && calls.iter().all(|c| c.state == CallState::Done)
    })
    .await;
    let asked = world.msp.asked("");
    let mut seen = BTreeSet::new();
    for call in &asked {
        let found = MspOperation::at(&call.path);
        let (operation, variable) =
            found.unwrap_or_else(|| panic!("{} is no operation", call.path));
        assert_eq!(call.method, operation.contract().method, "{}", call.path);
        assert_eq!(variable.parse::<MspToken>().unwrap(), token);
        for header in ["cmp-request-id", "correlation-id", "client-id", "target-id"] {
            assert!(
                call.headers.contains_key(header),
                "{header} of {}",
                call.path
            );
        }
        seen.insert(operation);
    }
    let all: BTreeSet<_> = MspOperation::ALL.iter().copied().collect();
    assert_eq!(seen, all);
}

// R-7.7.2-2: the 201 comes before Send Activation Code. A code that overtakes it answers its request all the same, once,
// and is noted; a code for a request that was never made is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_code_before_its_201_is_taken_once_and_noted() {
    let world = World::new().await;
    let token = world.federate().await;
    let mut car = Car::connect(&world).await;
    car.login([1; 16], PIN).await;
    let early = async || {
        let msps = command(&world, &["msp", "list"]);
        let list = msps[0]["deviations"].as_array().unwrap().clone();
        let found = list.iter().find(|d| d["kind"] == "code-before-201");
        found.map_or(0, |row| row["count"].as_u64().unwrap())
    };
    let body = |request_id| SendActivationCode::Code {
        request_id,
        activation_code: CODE.parse().unwrap(),
        profile_type: ProfileType::Personal,
        iccid: iccid(),
        swapped_iccid: None,
    };
    let client = world.client();
    // Nobody has asked for that.
    let never = client
        .send_activation_code(Call::new(), token, &body(Uuid::new_v4()))
        .await;
    assert_eq!(never.unwrap_err().refusal().unwrap().0.as_u16(), 422);
    // The 201 takes its time, and the code is faster.
    world.msp.answer_with(CODES, 201, "", &[(TAKES, "1500")]);
    car.ask([2; 16], EVA).await;
    let asked = world.msp.wait(CODES, 1).await;
    let id = asked[0].body["activationCodeRequestID"].as_str().unwrap();
    let id: Uuid = id.parse().unwrap();
    client
        .send_activation_code(Call::new(), token, &body(id))
        .await
        .unwrap();
    loop {
        match outcome(&mut car).await {
            CodeOutcome::Code { .. } => break,
            CodeOutcome::Pending => {}
            other => panic!("{other:?}"),
        }
    }
    until("it is noted", async || early().await == 1).await;
    // Again it changes nothing, and the 201 that follows brings no other request.
    client
        .send_activation_code(Call::new(), token, &body(id))
        .await
        .unwrap();
    until("the call has ended", async || {
        let calls = world.store.all_calls().await.unwrap();
        calls.iter().all(|c| c.state == CallState::Done)
    })
    .await;
    assert_eq!(world.msp.asked(CODES).len(), 1);
    assert_eq!(early().await, 1);
    let audits = command(&world, &["audit", "list"]);
    let noted = audits.as_array().unwrap().iter();
    assert_eq!(
        noted
            .filter(|row| row["what"] == "code before the 201")
            .count(),
        1
    );
}

// R-A.3-4: after the end both accounts are as they were before: nothing of the MSP's is left here, the account is the
// same, and another use needs another onboarding.
#[tokio::test(flavor = "multi_thread")]
async fn after_the_end_an_account_is_as_before_the_onboarding() {
    let world = World::new().await;
    let account = async || world.store.account(EVA).await.unwrap().unwrap();
    let before = account().await;
    let token = world.federate().await;
    let phone = world.phone();
    let mut car = Car::connect(&world).await;
    provision(&world, &mut car).await;
    drop(car);
    let rows = command(&world, &["federation", "list"]);
    let id = rows[0]["federation"].as_str().unwrap().to_owned();
    command(
        &world,
        &["federation", "withdraw", &id, "--reason", "moved"],
    );
    // The car deletes the profile, and the MSP hears of all.
    let mut car = Car::connect(&world).await;
    let order_id = loop {
        if let Down::Order { order_id, .. } = car.message().await.body {
            break order_id;
        }
    };
    let report = Up::Status {
        report_seq: 3,
        iccid: Some(iccid()),
        account: Some(EVA),
        status: Status::Deleted,
        code: 0,
    };
    car.send([7; 16], report).await;
    let outcome_of = aid_wire::OrderOutcome::Done;
    let result = Up::OrderResult {
        order_id,
        outcome: outcome_of,
    };
    car.send([8; 16], result).await;
    until("nothing is left to do", async || {
        let calls = world.store.all_calls().await.unwrap();
        let orders = world.store.orders(None, true).await.unwrap();
        calls.iter().all(|c| c.state == CallState::Done) && orders.is_empty()
    })
    .await;
    let text = std::fs::read_to_string(world.config()).unwrap();
    let text = text.replacen("[aid1]", "[policy]\nkeep_days = 0\n[aid1]", 1);
    std::fs::write(world.config(), text).unwrap();
    assert_eq!(command(&world, &["federation", "purge"])[0]["purged"], true);
    // The account is as before, and has no subscription.
    assert_eq!(account().await, before);
    assert!(world.store.federations(EVA).await.unwrap().is_empty());
    assert!(world.store.all_profiles(100).await.unwrap().is_empty());
    // Neither token nor number is anywhere in what the operator can list.
    let lists = [
        ["federation", "list"],
        ["profile", "list"],
        ["order", "list"],
        ["outbox", "list"],
        ["audit", "list"],
        ["user", "list"],
    ];
    for list in lists {
        let shown = command(&world, &list).to_string();
        for secret in [
            token.to_string(),
            phone.phone_number.clone(),
            phone.iv.clone(),
        ] {
            assert!(!shown.contains(&secret), "{list:?}: {shown}");
        }
    }
    // The old link gives nothing; a new one does.
    car.ask([20; 16], EVA).await;
    let refused = outcome(&mut car).await;
    assert!(matches!(refused, CodeOutcome::Failed { .. }), "{refused:?}");
    world.federate().await;
    let answer = json!({"activationCode": CODE, "profileType": "personal", "swappedIccid": null,
        "iccid": "8944500805172032961"});
    world.msp.answer(CODES, 200, &answer.to_string());
    car.ask([21; 16], EVA).await;
    let given = outcome(&mut car).await;
    assert!(matches!(given, CodeOutcome::Code { .. }), "{given:?}");
}
