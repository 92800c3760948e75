//! Activation codes are for who is logged in to the car now (R-2-10, R-4.3-3), over MQTT and mutual TLS.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use aid_cmp_core::change::Change;
use aid_cmp_core::decide::login::pin_mac;
use aid_cmp_core::model::{Account, Vehicle};
use aid_id::{AccountRef, Id, Secret};
use aid_wire::{CodeOutcome, Down, LoginOutcome, OrderKind, Up};
use serde_json::json;
use std::time::Duration;
use world::car::Car;
use world::{Browser, EVA, PIN, PIN_KEY, World, csrf};

const BOB: AccountRef = AccountRef([0xB0; 16]);
const CODE: &str = "1$smdp.example$N1";
const ASK: &str = "/v1/activation-code-requests/";

async fn world() -> World {
    let world = World::new().await;
    world.federate().await;
    let bob = Account {
        id: BOB,
        name: "bob".into(),
        display_name: "Bob".into(),
        password: Secret::new(String::new()),
        pin_mac: Some(pin_mac(&PIN_KEY, BOB, "1234")),
        created_at: 0,
    };
    let changes = vec![Change::AddAccount(bob)];
    world.store.commit(changes).await.unwrap();
    let answer = json!({"activationCode": CODE, "profileType": "personal", "swappedIccid": null});
    world.msp.answer(ASK, 200, &answer.to_string());
    world
}

async fn login_as(car: &mut Car, id: Id, user: &str, pin: &str) {
    let outcome = login_outcome(car, id, user, pin).await;
    assert!(matches!(outcome, LoginOutcome::Accepted { .. }));
}

async fn login_outcome(car: &mut Car, id: Id, user: &str, pin: &str) -> LoginOutcome {
    let body = Up::Login {
        login_id: id,
        user: user.into(),
        pin: Secret::new(pin.into()),
    };
    car.send(id, body).await;
    loop {
        match car.message().await.body {
            Down::LoginResult { outcome, .. } => return outcome,
            Down::ActivationCode { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn logout(car: &mut Car, id: Id, account: AccountRef) {
    car.send(id, Up::Logout { account }).await;
    loop {
        match car.message().await.body {
            Down::Ack { message_id } if message_id == id => return,
            // What the car has not acknowledged is sent again when it connects.
            Down::ActivationCode { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn outcome(car: &mut Car, request: Id) -> CodeOutcome {
    loop {
        match car.message().await.body {
            Down::ActivationCode {
                request_id,
                outcome,
                ..
            } if request_id == request => return outcome,
            Down::ActivationCode { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn refused(car: &mut Car, request: Id, account: AccountRef) {
    for again in [false, true] {
        let body = if again {
            Up::RequestAgain {
                request_id: request,
                account,
            }
        } else {
            Up::RequestActivationCode {
                request_id: request,
                account,
            }
        };
        car.send(request, body).await;
        let outcome = outcome(car, request).await;
        assert!(
            matches!(outcome, CodeOutcome::Failed { code: 104, .. }),
            "{outcome:?}"
        );
    }
}

/// Waits until the MSP's answer to a request is stored.
async fn answered(world: &World, request: Id) {
    for _ in 0..1500 {
        let stored = world
            .store
            .request_of_car(world.eid, request)
            .await
            .unwrap();
        if stored.is_some_and(|r| r.code.is_some()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the MSP's answer was not stored");
}

async fn given(car: &mut Car, request: Id, account: AccountRef) {
    car.ask(request, account).await;
    let outcome = outcome(car, request).await;
    assert!(matches!(outcome, CodeOutcome::Code { .. }), "{outcome:?}");
}

// R-2-10, R-4.3-3
#[tokio::test(flavor = "multi_thread")]
async fn a_car_gets_a_code_for_who_is_logged_in_and_for_nobody_else() {
    let world = world().await;
    let mut car = Car::connect(&world).await;
    // Nobody is in, and nobody ever was.
    refused(&mut car, [1; 16], EVA).await;
    // Somebody else is in.
    login_as(&mut car, [2; 16], "bob", "1234").await;
    refused(&mut car, [3; 16], EVA).await;
    // Eva logged in and out again.
    login_as(&mut car, [4; 16], "eva", PIN).await;
    logout(&mut car, [5; 16], EVA).await;
    refused(&mut car, [6; 16], EVA).await;
    // Bob took Eva's place.
    login_as(&mut car, [7; 16], "eva", PIN).await;
    login_as(&mut car, [8; 16], "bob", "1234").await;
    refused(&mut car, [9; 16], EVA).await;
    // Eva is logged in to another car only.
    let mut other = Car::connect_as(&world, world::eid(2)).await;
    login_as(&mut car, [10; 16], "eva", PIN).await;
    refused(&mut other, [11; 16], EVA).await;
    assert!(world.msp.asked(ASK).is_empty(), "the MSP was never asked");
    // In the right car Eva gets it; an earlier refusal of the same request does not count.
    given(&mut car, [6; 16], EVA).await;
    assert_eq!(world.msp.asked(ASK).len(), 1);
}

/// What is sent up to the answer to this, and how often a code is among it.
async fn codes_until_hello(car: &mut Car, id: Id) -> usize {
    let hello = Up::Hello {
        software: "test".into(),
        profiles: Vec::new(),
    };
    car.send(id, hello).await;
    let mut codes = 0;
    loop {
        match car.message().await.body {
            Down::Ack { message_id } if message_id == id => return codes,
            Down::ActivationCode { outcome, .. } => {
                codes += usize::from(matches!(outcome, CodeOutcome::Code { .. }));
            }
            other => panic!("{other:?}"),
        }
    }
}

// R-2-10, R-4.3-4, R-7.7.2-1: what was asked while the user was in is answered when the user is in again, is the same
// request, and is given again after a power cut that did not end the session.
#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_comes_after_the_session_waits_for_the_next_one() {
    let world = world().await;
    world.msp.answer(ASK, 503, "");
    let mut car = Car::connect(&world).await;
    login_as(&mut car, [1; 16], "eva", PIN).await;
    car.ask([2; 16], EVA).await;
    assert!(matches!(
        outcome(&mut car, [2; 16]).await,
        CodeOutcome::Pending
    ));
    logout(&mut car, [3; 16], EVA).await;
    let answer = json!({"activationCode": CODE, "profileType": "personal", "swappedIccid": null});
    world.msp.answer(ASK, 200, &answer.to_string());
    answered(&world, [2; 16]).await;
    // Nobody is in: asked again, and connected again.
    assert_eq!(codes_until_hello(&mut car, [20; 16]).await, 0);
    car.ask([2; 16], EVA).await;
    let later = outcome(&mut car, [2; 16]).await;
    assert_eq!(later, CodeOutcome::Pending);
    drop(car);
    let mut car = Car::connect(&world).await;
    assert_eq!(codes_until_hello(&mut car, [21; 16]).await, 0);
    refused(&mut car, [4; 16], EVA).await;
    // Bob is logged in: Eva's request is not Bob's, whichever account the car names.
    login_as(&mut car, [5; 16], "bob", "1234").await;
    car.ask([2; 16], EVA).await;
    assert_eq!(outcome(&mut car, [2; 16]).await, CodeOutcome::Pending);
    refused(&mut car, [2; 16], BOB).await;
    drop(car);
    let mut car = Car::connect(&world).await;
    assert_eq!(codes_until_hello(&mut car, [22; 16]).await, 0);
    // Eva logs in again: it is sent at once.
    login_as(&mut car, [6; 16], "eva", PIN).await;
    let now = outcome(&mut car, [2; 16]).await;
    assert!(matches!(now, CodeOutcome::Code { .. }), "{now:?}");
    // The car loses power before it has journalled that; Eva's session stands.
    drop(car);
    let mut car = Car::connect(&world).await;
    assert!(codes_until_hello(&mut car, [23; 16]).await > 0);
    given(&mut car, [2; 16], EVA).await;
    // Eva's login, delivered again after the logout, lets nobody in.
    logout(&mut car, [7; 16], EVA).await;
    let again = login_outcome(&mut car, [6; 16], "eva", PIN).await;
    assert!(matches!(again, LoginOutcome::Refused { .. }), "{again:?}");
    let vehicle = world.store.vehicle(world.eid).await.unwrap().unwrap();
    assert_eq!(vehicle.session, None);
    assert_eq!(codes_until_hello(&mut car, [24; 16]).await, 0);
    refused(&mut car, [8; 16], EVA).await;
    let ids: Vec<_> = world.msp.asked(ASK);
    let first = &ids[0].body["activationCodeRequestID"];
    assert!(
        ids.iter()
            .all(|a| &a.body["activationCodeRequestID"] == first)
    );
}

// A message whose end is the end of time is valid, and harms nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_may_be_valid_for_ever() {
    use aid_cmp::service::Service;
    use aid_wire::{Envelope, WIRE_VERSION};
    let mut world = world().await;
    world.halt().await;
    let config = aid_cmp::config::check(&world.config()).unwrap();
    let cmp = std::sync::Arc::new(Service::new(world.store.0.clone(), config));
    for (n, end, taken) in [
        (1, u64::MAX, true),
        (2, u64::MAX / 1000 + 1, true),
        (3, 1, false),
    ] {
        let hello = Up::Hello {
            software: format!("test {n}"),
            profiles: Vec::new(),
        };
        let envelope = Envelope {
            version: WIRE_VERSION,
            message_id: [n; 16],
            correlation_id: [n; 16],
            sequence: 1,
            expires_at: Some(end),
            body: hello,
        };
        cmp.up(world.eid, None, envelope).await.unwrap();
        let vehicle = world.store.vehicle(world.eid).await.unwrap().unwrap();
        assert_eq!(
            vehicle.software == Some(format!("test {n}")),
            taken,
            "{end}"
        );
    }
}

// R-2-10: the end of an earlier session, said late or once more, does not end the present one.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_another_session_is_not_the_end_of_this_one() {
    let mut world = world().await;
    let mut car = Car::connect(&world).await;
    login_as(&mut car, [1; 16], "bob", "1234").await;
    login_as(&mut car, [2; 16], "eva", PIN).await;
    // Bob's logout arrives after Eva's login.
    logout(&mut car, [3; 16], BOB).await;
    given(&mut car, [4; 16], EVA).await;
    // Eva logs out and in; the car repeats the logout, because its acknowledgement was lost.
    logout(&mut car, [5; 16], EVA).await;
    refused(&mut car, [6; 16], EVA).await;
    login_as(&mut car, [7; 16], "eva", PIN).await;
    drop(car);
    world.restart().await;
    let mut car = Car::connect(&world).await;
    logout(&mut car, [5; 16], EVA).await;
    let vehicle = world.store.vehicle(world.eid).await.unwrap().unwrap();
    assert_eq!(vehicle.session, Some(EVA));
    // A new one ends it.
    logout(&mut car, [8; 16], EVA).await;
    let vehicle = world.store.vehicle(world.eid).await.unwrap().unwrap();
    assert_eq!(vehicle.session, None);
    refused(&mut car, [9; 16], EVA).await;
    tokio::time::timeout(Duration::from_secs(30), world.halt())
        .await
        .unwrap();
}

// RFC 8628 §5.4: a user who approved the login of somebody else's car by mistake sees the car by its number and ends the
// session from the portal; the car gets no code from then on.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_logs_out_of_a_car_from_the_portal() {
    const VIN: &str = "WVWZZZ1KZ6W000001";
    let world = world().await;
    let eid = world::eid(3);
    let mut vehicle = Vehicle::new(eid, 0);
    vehicle.vin = Some(VIN.into());
    let added = vec![Change::AddVehicle(vehicle)];
    world.store.commit(added).await.unwrap();
    let mut car = Car::connect_as(&world, eid).await;
    let login_id = [7; 16];
    car.send(login_id, Up::LoginByCode { login_id }).await;
    let code = loop {
        if let Down::LoginCode { code, .. } = car.message().await.body {
            break code;
        }
    };
    let browser = world.browser().await;
    let page = browser.get("/car").await;
    let form = |decision: &str| {
        let code = ("code", code.clone());
        vec![("csrf", csrf(&page)), code, ("decision", decision.into())]
    };
    let asked = browser.post("/car", &form("")).await;
    assert_eq!(asked, (303, "/car/confirm".into()));
    let named = browser.get("/car/confirm").await;
    assert!(
        named.contains(VIN) && !named.contains(eid.as_str()),
        "{named}"
    );
    let approved = browser.post("/car", &form("approve")).await;
    assert_eq!(approved, (303, "/car/done?in=yes".into()));
    let logout = format!("/car/logout?eid={eid}");
    let page = browser.get("/").await;
    assert!(page.contains(VIN) && page.contains(&logout), "{page}");
    assert!(browser.get(&logout).await.contains("Please confirm"));
    let own = [("csrf", csrf(&page)), ("eid", eid.to_string())];
    // Nobody else can: not without the form's value, not under another account, not for a car that they are not in.
    let forged = [("csrf", "x".into()), own[1].clone()];
    assert_eq!(browser.post("/car/logout", &forged).await.0, 403);
    assert_eq!(Browser::new(&world).post("/car/logout", &own).await.0, 401);
    let other = [own[0].clone(), ("eid", world::eid(2).to_string())];
    assert_eq!(browser.post("/car/logout", &other).await.0, 404);
    assert_eq!(
        browser.post("/car/logout", &own).await,
        (303, "/?done=logged-out".into())
    );
    let order = loop {
        if let Down::Order { kind, .. } = car.message().await.body {
            break kind;
        }
    };
    assert_eq!(order, OrderKind::Logout { account: EVA });
    refused(&mut car, [8; 16], EVA).await;
    assert!(!browser.get("/").await.contains(&logout));
    assert_eq!(browser.visit(&logout).await.0, 404);
    assert_eq!(browser.post("/car/logout", &own).await.0, 404);
    let orders = world.store.orders(Some(eid), true).await.unwrap();
    assert_eq!(orders.len(), 1);
}

// The same in the answer to a request: the car hears why, and gets nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_code_of_a_private_network_does_not_reach_the_car() {
    let world = world().await;
    let answer = json!({"activationCode": "1$localhost:8443$N1", "profileType": "personal", "swappedIccid": null});
    world.msp.answer(ASK, 200, &answer.to_string());
    let mut car = Car::connect(&world).await;
    login_as(&mut car, [1; 16], "eva", PIN).await;
    car.ask([2; 16], EVA).await;
    match outcome(&mut car, [2; 16]).await {
        CodeOutcome::Failed { code: 47, reason } => assert!(reason.contains("port"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

// R-2-10: a car that invents a profile gives it to nobody, whoever is logged in there.
#[tokio::test(flavor = "multi_thread")]
async fn a_profile_that_no_request_brought_is_nobodys() {
    let world = world().await;
    let mut car = Car::connect(&world).await;
    login_as(&mut car, [1; 16], "eva", PIN).await;
    let invented: aid_id::Iccid = "8944500805172032953".parse().unwrap();
    let report = Up::Status {
        report_seq: 1,
        iccid: Some(invented.clone()),
        account: Some(EVA),
        status: aid_wire::Status::Installed,
        code: 0,
    };
    car.send([2; 16], report).await;
    assert_eq!(car.message().await.body, Down::StatusAck { report_seq: 1 });
    assert!(
        world
            .store
            .profiles_with(&invented)
            .await
            .unwrap()
            .is_empty()
    );
}

// R-2-10: the MSP named another profile than its code has loaded. The car was given that code, so the profile is its user's.
#[tokio::test(flavor = "multi_thread")]
async fn a_profile_that_a_code_has_loaded_is_its_users_whatever_the_msp_named() {
    let world = world().await;
    let (named, loaded) = ("8944500805172032961", "8944500805172032953");
    let answer = json!({"activationCode": "1$smdp.example$N1", "profileType": "personal", "iccid": named,
        "swappedIccid": null});
    world.msp.answer(ASK, 200, &answer.to_string());
    let mut car = Car::connect(&world).await;
    login_as(&mut car, [1; 16], "eva", PIN).await;
    car.ask([2; 16], EVA).await;
    let given = outcome(&mut car, [2; 16]).await;
    assert!(matches!(given, CodeOutcome::Code { .. }), "{given:?}");
    let report = Up::Status {
        report_seq: 1,
        iccid: Some(loaded.parse().unwrap()),
        account: Some(EVA),
        status: aid_wire::Status::Installed,
        code: 0,
    };
    car.send([3; 16], report).await;
    assert_eq!(car.message().await.body, Down::StatusAck { report_seq: 1 });
    let loaded = loaded.parse().unwrap();
    let profiles = world.store.profiles_with(&loaded).await.unwrap();
    assert_eq!(profiles.len(), 1, "{profiles:?}");
}
