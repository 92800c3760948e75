//! Whole procedures of AID.02 §4 between a CMP, a scripted MSP and cars that come and go.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use aid_aid1::body::{NotifyTokenInvalid, SendActivationCode};
use aid_aid1::client::Call;
use aid_cmp_core::change::Change;
use aid_cmp_core::model::{CallState, NoticeKind, OrderState, ProfileStatus};
use aid_id::{Iccid, Id, MspToken};
use aid_wire::{CodeOutcome, Down, OrderKind, OrderOutcome, Status, Up};
use serde_json::{Value, json};
use uuid::Uuid;
use world::car::Car;
use world::postgres::Postgres;
use world::{EVA, PIN, World, csrf, eid};

const FIRST: &str = "8944500805172032953";
const SECOND: &str = "8944500805172032961";
const CODES: &str = "/v1/activation-code-requests";

fn iccid(text: &str) -> Iccid {
    text.parse().unwrap()
}

fn answer(code: &str, iccid: &str, swapped: Option<&str>) -> String {
    json!({
        "activationCode": format!("1$smdp.example${code}"), "profileType": "personal",
        "swappedIccid": swapped, "iccid": iccid,
    })
    .to_string()
}

async fn code(car: &mut Car, id: u8) -> CodeOutcome {
    car.ask([id; 16], EVA).await;
    match car.message().await.body {
        Down::ActivationCode { outcome, .. } => outcome,
        other => panic!("expected a code, got {other:?}"),
    }
}

async fn tell(car: &mut Car, seq: u64, iccid: &str, status: Status) {
    let report = Up::Status {
        report_seq: seq,
        iccid: Some(iccid.parse().unwrap()),
        account: Some(EVA),
        status,
        code: 0,
    };
    car.send(Uuid::new_v4().into_bytes(), report).await;
    loop {
        match car.message().await.body {
            Down::Order { .. } => {}
            Down::StatusAck { report_seq } => return assert_eq!(report_seq, seq),
            other => panic!("expected an acknowledgement, got {other:?}"),
        }
    }
}

async fn ordered(car: &mut Car) -> (Id, OrderKind) {
    let message = car.message().await;
    match message.body {
        Down::Order { order_id, kind } => (order_id, kind),
        other => panic!("expected an order, got {other:?}"),
    }
}

async fn done(car: &mut Car, order_id: Id) {
    let outcome = OrderOutcome::Done;
    let result = Up::OrderResult { order_id, outcome };
    car.send(order_id, result).await;
    loop {
        match car.message().await.body {
            // It may be sent again before the result is there.
            Down::Order {
                order_id: again, ..
            } => assert_eq!(again, order_id),
            Down::Ack { message_id } => return assert_eq!(message_id, order_id),
            other => panic!("expected an acknowledgement, got {other:?}"),
        }
    }
}

/// Logs in, asks, gets the code and has the profile enabled.
async fn provision(world: &World, car: &mut Car, id: u8, iccid: &str) {
    world.msp.answer(CODES, 200, &answer(iccid, iccid, None));
    car.login([id; 16], PIN).await;
    let got = code(car, id + 1).await;
    assert!(matches!(got, CodeOutcome::Code { .. }), "{got:?}");
    tell(car, 1, iccid, Status::Installed).await;
    tell(car, 2, iccid, Status::Enabled).await;
}

fn delete(iccid: &str) -> OrderKind {
    OrderKind::Delete {
        iccid: iccid.parse().unwrap(),
    }
}

async fn notify_invalid(world: &World, token: MspToken) {
    let body = NotifyTokenInvalid {
        reason: Some("contract ended".into()),
    };
    let client = world.client();
    let told = client.notify_token_invalid(Call::new(), token, &body);
    told.await.unwrap();
}

// R-4.4.1-12 R-4.4.1-13 R-4.4.1-15 R-4.4.2-1 R-4.4.2-2 R-4.4.2-3 R-4.4.2-6 R-4.4.2-7 R-7.4-2 R-A.3-1
// R-A.3-2 R-A.3-5 R-4.4.1-6 R-5.3-2 R-7.7.2.1-7
#[tokio::test(flavor = "multi_thread")]
async fn a_link_ends_while_the_car_is_away_and_another_begins() {
    let mut world = World::new().await;
    let old = world.federate().await;
    let mut car = Car::connect(&world).await;
    provision(&world, &mut car, 1, FIRST).await;
    world.msp.wait(&format!("/v1/statuses/{old}"), 2).await;
    drop(car);

    // 204 at once, although nobody is there; a second time changes nothing.
    notify_invalid(&world, old).await;
    notify_invalid(&world, old).await;
    // A code that comes after the end is refused, whatever request it answers.
    let late = SendActivationCode::Code {
        activation_code: "1$smdp.example$LATE".parse().unwrap(),
        profile_type: aid_aid1::body::ProfileType::Personal,
        request_id: Uuid::new_v4(),
        iccid: iccid(SECOND),
        swapped_iccid: None,
    };
    let client = world.client();
    let refused = client.send_activation_code(Call::new(), old, &late);
    let refused = refused.await.unwrap_err();
    let (_, body) = refused.refusal().expect("an answer");
    assert_eq!(body.map(|b| b.code.as_str()), Some("21"));
    let orders = world
        .read(async move |tx| world::book::orders(tx, None, true).await)
        .await;
    assert_eq!(orders.len(), 1);
    assert_eq!(
        (orders[0].eid, &orders[0].kind),
        (world.eid, &delete(FIRST))
    );
    let notices = world.read(async move |tx| tx.notices(EVA).await).await;
    assert_eq!(notices.len(), 1);
    assert_eq!(notices[0].kind, NoticeKind::UnlinkedByMsp);
    // No code any more, in a car that was never seen; the HMI says why.
    let mut second = Car::connect_as(&world, eid(2)).await;
    second.login([10; 16], PIN).await;
    let asked = world.msp.asked(CODES).len();
    let CodeOutcome::Failed { code: 21, reason } = code(&mut second, 11).await else {
        panic!("a code for an ended link");
    };
    assert!(reason.contains("Mobile One"), "{reason}");
    assert_eq!(world.msp.asked(CODES).len(), asked);

    // Linked anew, before the old deletion is done: nothing is taken over.
    let new = world.federate().await;
    assert_ne!(old, new);
    world.msp.answer(CODES, 200, &answer("B", SECOND, None));
    assert!(matches!(
        code(&mut second, 12).await,
        CodeOutcome::Code { .. }
    ));
    let asked = world.msp.asked(CODES).pop().unwrap();
    assert!(asked.path.ends_with(&new.to_string()), "{}", asked.path);
    assert_eq!(asked.body["replaceIccid"], Value::Null);
    tell(&mut second, 1, SECOND, Status::Installed).await;
    world.msp.wait(&format!("/v1/statuses/{new}"), 1).await;

    // Months later the first car comes back; the CMP was restarted meanwhile.
    drop(second);
    world.restart().await;
    let mut car = Car::connect(&world).await;
    let (order, kind) = ordered(&mut car).await;
    assert_eq!((order, kind), (orders[0].id, delete(FIRST)));
    tell(&mut car, 3, FIRST, Status::Deleted).await;
    done(&mut car, order).await;
    let told = world.msp.wait(&format!("/v1/statuses/{old}"), 3).await;
    assert_eq!(
        told[2].body["status"], "deleted",
        "the dead token still reports"
    );
    let new_profile = world
        .read(async move |tx| tx.profiles_with(&iccid(SECOND)).await)
        .await;
    assert_eq!(new_profile[0].status, ProfileStatus::Installed);
    assert!(
        world
            .read(async move |tx| world::book::orders(tx, None, true).await)
            .await
            .is_empty()
    );
    let history = world.read(async move |tx| tx.history(order).await).await;
    let events: Vec<_> = history.iter().map(|h| h.event.as_str()).collect();
    assert_eq!((events[0], *events.last().unwrap()), ("given", "done"));
    assert!(events.contains(&"sent"), "{events:?}");
}

// R-4.5-7 R-4.5-8 R-4.5-9 R-4.5-10 R-A.4-2 R-4.3.1-23
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_profile_frees_its_slot_and_comes_back_on_demand_only() {
    let world = World::new().await;
    let token = world.federate().await;
    let mut car = Car::connect(&world).await;
    provision(&world, &mut car, 1, FIRST).await;
    let browser = world.browser().await;
    let page = browser.get("/").await;
    let form = [
        ("csrf", csrf(&page)),
        ("iccid", FIRST.to_owned()),
        ("confirmed", "yes".to_owned()),
    ];
    assert_eq!(browser.post("/delete", &form).await.0, 303);
    let (order, kind) = ordered(&mut car).await;
    assert_eq!(kind, delete(FIRST));
    tell(&mut car, 3, FIRST, Status::Disabled).await;
    tell(&mut car, 4, FIRST, Status::Deleted).await;
    done(&mut car, order).await;
    let told = world.msp.wait(&format!("/v1/statuses/{token}"), 4).await;
    let told: Vec<&Value> = told.iter().map(|a| &a.body["status"]).collect();
    assert_eq!(told, ["installed", "enabled", "disabled", "deleted"]);
    // The next login in that car brings none by itself.
    car.login([20; 16], PIN).await;
    let asked = world.msp.asked(CODES).len();
    let silent = code(&mut car, 21).await;
    assert_eq!(silent, CodeOutcome::Ask);
    assert_eq!(world.msp.asked(CODES).len(), asked);
    // Another car is served, and no old profile is offered for a swap: the slot is free.
    let mut second = Car::connect_as(&world, eid(2)).await;
    second.login([22; 16], PIN).await;
    world.msp.answer(CODES, 200, &answer("B", SECOND, None));
    assert!(matches!(
        code(&mut second, 23).await,
        CodeOutcome::Code { .. }
    ));
    assert_eq!(
        world.msp.asked(CODES).pop().unwrap().body["replaceIccid"],
        Value::Null
    );
    // The user wants it again.
    world
        .msp
        .answer(CODES, 200, &answer("C", "8944500805172032979", None));
    let again = Up::RequestAgain {
        request_id: [24; 16],
        account: EVA,
    };
    car.send([24; 16], again).await;
    let Down::ActivationCode { outcome, .. } = car.message().await.body else {
        panic!("no code");
    };
    assert!(matches!(outcome, CodeOutcome::Code { .. }), "{outcome:?}");
    let federation = world
        .read(async move |tx| tx.federations(EVA).await)
        .await
        .remove(0);
    let hold = world
        .read(async move |tx| tx.hold(federation.id, world.eid).await)
        .await;
    assert_eq!(hold, None);
}

// R-4.3.1-14 R-4.3.1-17 R-7.10-1 R-7.10-5
#[tokio::test(flavor = "multi_thread")]
async fn the_msp_swaps_another_profile_than_the_candidate() {
    let world = World::new().await;
    let token = world.federate().await;
    let mut first = Car::connect(&world).await;
    provision(&world, &mut first, 1, FIRST).await;
    let mut second = Car::connect_as(&world, eid(2)).await;
    provision(&world, &mut second, 3, SECOND).await;
    let third = eid(3);
    let vehicle = aid_cmp_core::model::Vehicle::new(third, 0);
    world.commit(vec![Change::AddVehicle(vehicle)]).await;
    let mut third = Car::connect_as(&world, third).await;
    third.login([5; 16], PIN).await;
    // FIRST is offered, SECOND is taken, and the MSP does not list FIRST either.
    let query = format!("/v1/profiles/status/{token}");
    world
        .msp
        .answer(&query, 404, r#"{"code":"61","error":"no such profile"}"#);
    world.msp.answer(
        CODES,
        200,
        &answer("C", "8944500805172032979", Some(SECOND)),
    );
    assert!(matches!(
        code(&mut third, 6).await,
        CodeOutcome::Code { .. }
    ));
    assert_eq!(
        world.msp.asked(CODES).pop().unwrap().body["replaceIccid"],
        FIRST
    );
    assert_eq!(ordered(&mut second).await.1, delete(SECOND));
    let asked = world.msp.wait(&query, 1).await;
    assert_eq!(asked[0].method, "GET");
    assert_eq!(ordered(&mut first).await.1, delete(FIRST));
}

// R-4.3-5 R-7.5-2 R-2-11: two subscriptions of one user at one MSP.
#[tokio::test(flavor = "multi_thread")]
async fn the_chosen_subscription_serves() {
    let world = World::new().await;
    let (private, business) = (world.federate().await, world.federate().await);
    let mut car = Car::connect(&world).await;
    provision(&world, &mut car, 1, FIRST).await;
    let used = world.msp.asked(CODES).pop().unwrap().path;
    assert!(
        used.ends_with(&private.to_string()),
        "the oldest without a choice"
    );
    let list = world.read(async move |tx| tx.federations(EVA).await).await;
    let chosen = list.iter().find(|f| f.token == business).unwrap().id;
    let choose = Change::Prefer(EVA, None, Some(chosen));
    world.commit(vec![choose]).await;
    let mut second = Car::connect_as(&world, eid(2)).await;
    provision(&world, &mut second, 3, SECOND).await;
    let used = world.msp.asked(CODES).pop().unwrap();
    assert!(used.path.ends_with(&business.to_string()));
    assert_eq!(
        used.body["replaceIccid"],
        Value::Null,
        "another subscription's pool"
    );
}

// R-1-1 R-2-1 R-4.1-19 R-4.1-20 R-4.3.1-1 R-2-8
#[tokio::test(flavor = "multi_thread")]
async fn one_link_serves_in_every_car_at_once() {
    let world = World::new().await;
    let token = world.federate().await;
    let link = world
        .read(async move |tx| tx.federations(EVA).await)
        .await
        .remove(0);
    assert_eq!(link.token, token);
    let vehicle = aid_cmp_core::model::Vehicle::new(eid(3), 0);
    let added = Change::AddVehicle(vehicle);
    world.commit(vec![added]).await;
    let mut cars = Vec::new();
    for (n, iccid) in [(1, FIRST), (2, SECOND), (3, "8944500805172032979")] {
        let mut car = Car::connect_as(&world, eid(n)).await;
        let id = u8::try_from(n * 10).unwrap();
        provision(&world, &mut car, id, iccid).await;
        cars.push(car);
    }
    let profiles = world.read(async move |tx| tx.profiles(link.id).await).await;
    let enabled = |p: &aid_cmp_core::model::Profile| p.status == ProfileStatus::Enabled;
    assert!(
        profiles.len() == 3 && profiles.iter().all(enabled),
        "{profiles:?}"
    );
    // No page was opened in between: one onboarding, three cars, three profiles.
    assert_eq!(world.msp.asked(CODES).len(), 3);
}

// R-4.3-2
#[tokio::test(flavor = "multi_thread")]
async fn a_retired_car_is_not_served() {
    let world = World::new().await;
    world.federate().await;
    let mut car = Car::connect(&world).await;
    car.login([1; 16], PIN).await;
    let retired = Change::RetireVehicle(world.eid, 1, "sold".into(), None);
    world.commit(vec![retired]).await;
    car.ask([2; 16], EVA).await;
    loop {
        match car.next().await {
            world::car::Seen::Lost(_) => break,
            world::car::Seen::Message(m) => {
                assert!(matches!(m.body, Down::UserProfile { .. }), "{m:?}");
            }
            _ => {}
        }
    }
    assert!(world.msp.asked(CODES).is_empty());
}

/// Two instances on one PostgreSQL: what one decides reaches the car at the other.
#[tokio::test(flavor = "multi_thread")]
async fn two_instances_serve_on_postgresql() {
    let Some(server) = Postgres::start() else {
        return;
    };
    let mut world = World::on(Some(&server.url())).await;
    let token = world.federate().await;
    let other = world.another().await;
    world.msp.answer(CODES, 201, "");
    let mut car = Car::connect(&world).await;
    car.login([1; 16], PIN).await;
    assert_eq!(code(&mut car, 2).await, CodeOutcome::Pending);
    // Whichever instance asked, it asked once.
    let asked = world.msp.wait(CODES, 1).await;
    let header = |name: &str| asked[0].headers[name].to_str().unwrap().to_owned();
    let body = SendActivationCode::Code {
        activation_code: "1$smdp.example$A".parse().unwrap(),
        profile_type: aid_aid1::body::ProfileType::Personal,
        request_id: asked[0].body["activationCodeRequestID"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap(),
        iccid: iccid(FIRST),
        swapped_iccid: None,
    };
    let call = Call::within(header("correlation-id").parse().unwrap());
    let client = world.client_of(other.aid1, "mspone", "mspkey", "msp");
    client
        .send_activation_code(call, token, &body)
        .await
        .unwrap();
    let Down::ActivationCode { outcome, .. } = car.message().await.body else {
        panic!("no code");
    };
    assert!(matches!(outcome, CodeOutcome::Code { .. }), "{outcome:?}");
    tell(&mut car, 1, FIRST, Status::Installed).await;
    // The other instance gives an order to the car that is here.
    let told = world.client_of(other.aid1, "mspone", "mspkey", "msp");
    let ended = NotifyTokenInvalid { reason: None };
    told.notify_token_invalid(Call::new(), token, &ended)
        .await
        .unwrap();
    let (order, kind) = ordered(&mut car).await;
    assert_eq!(kind, delete(FIRST));
    tell(&mut car, 2, FIRST, Status::Deleted).await;
    done(&mut car, order).await;
    let told = world.msp.wait(&format!("/v1/statuses/{token}"), 2).await;
    assert_eq!(told[1].body["status"], "deleted");
    assert_eq!(world.msp.asked(CODES).len(), 1);
    // A stop waits for the answers to what was asked.
    other.stop().await;
    world.halt().await;
    let due = world
        .read(async move |tx| world::book::calls(tx, CallState::Due).await)
        .await;
    assert!(due.is_empty(), "{due:?}");
    let order = world
        .read(async move |tx| tx.order(order).await)
        .await
        .unwrap();
    assert_eq!(order.state, OrderState::Done);
    world.store.close().await;
}

// R-4.6-1 R-4.6-6 R-4.4.1-14 R-4.4.2-4
#[tokio::test(flavor = "multi_thread")]
async fn the_clock_synchronises_and_removes_where_that_is_wanted() {
    let mut world = World::new().await;
    let (token, ended) = (world.federate().await, world.federate().await);
    let path = "/v1/profiles/status";
    world.msp.answer(path, 200, r#"{"profiles": []}"#);
    notify_invalid(&world, ended).await;
    assert!(world.msp.asked(path).is_empty(), "nobody asked for it");
    let before = world
        .read(async move |tx| tx.all_federations(None, 1000).await)
        .await;
    assert_eq!(before.len(), 2);
    // By default neither happens at a start, which is the first look of the clock.
    world.restart().await;
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    assert!(world.msp.asked(path).is_empty(), "no polling by default");
    assert_eq!(
        world
            .read(async move |tx| tx.all_federations(None, 1000).await)
            .await
            .len(),
        2
    );
    let file = world.config();
    let text = std::fs::read_to_string(&file).unwrap();
    let policy = "[policy]\nsync_hours = 24\nkeep_days = 0\n[aid1]";
    std::fs::write(&file, text.replacen("[aid1]", policy, 1)).unwrap();
    world.restart().await;
    let asked = world.msp.wait(path, 1).await;
    // The link that lives is asked about, the one that ended is removed.
    assert!(asked[0].path.contains(&token.to_string()), "{asked:?}");
    for _ in 0..100 {
        if world
            .read(async move |tx| tx.all_federations(None, 1000).await)
            .await
            .len()
            == 1
        {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let rest = world
        .read(async move |tx| tx.all_federations(None, 1000).await)
        .await;
    assert_eq!(rest.iter().map(|f| f.token).collect::<Vec<_>>(), [token]);
    // Once a day is once: the next start asks nothing.
    world.restart().await;
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    assert_eq!(world.msp.asked(path).len(), 1);
}
