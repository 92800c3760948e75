//! Logins in cars without a connection: granted after a login with a PIN, told later, revoked (AID2 rule 13); and the
//! factory reset (rule 14). Over MQTT and mutual TLS.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use aid_cmp::operator::{Operator, OrderWhat};
use aid_cmp::store::AuditFilter;
use aid_cmp_core::model::OrderState;
use aid_id::{AccountRef, Id, Secret};
use aid_wire::{Down, Envelope, LoginOutcome, LoginWay, OrderKind, OrderOutcome, Up};
use world::car::{Car, Seen};
use world::postgres::Postgres;
use world::{EVA, PIN, World};

const NEW: &str = "aid-agent 0.4.0 AID2/4";
const OLD: &str = "aid-agent 0.3.0 AID2/3";

/// The next message, whatever it is, but the AID User Profile.
async fn next(car: &mut Car) -> Envelope<Down> {
    loop {
        match car.next().await {
            Seen::Message(m) if matches!(m.body, Down::UserProfile { .. }) => {}
            Seen::Message(message) => return message,
            _ => {}
        }
    }
}

/// The car connects; the number from which it counts. What the CMP sends beside is put aside.
async fn hello(car: &mut Car, id: u8, software: &str) -> (u64, Vec<Down>) {
    let hello = Up::Hello {
        software: software.into(),
        profiles: Vec::new(),
    };
    car.send([id; 16], hello).await;
    let mut beside = Vec::new();
    loop {
        match next(car).await.body {
            Down::Welcome { session, .. } => return (session, beside),
            other => beside.push(other),
        }
    }
}

async fn log_in(car: &mut Car, number: u64, id: u8) {
    let login = Up::NumberedLogin {
        number,
        account: None,
        login_id: [id; 16],
        way: LoginWay::Pin {
            user: "eva".into(),
            pin: Secret::new(PIN.into()),
        },
    };
    car.send([id; 16], login).await;
    let Down::LoginResult { outcome, .. } = next(car).await.body else {
        panic!("no result");
    };
    assert!(
        matches!(outcome, LoginOutcome::Accepted { .. }),
        "{outcome:?}"
    );
}

/// What was granted.
async fn granted(car: &mut Car) -> Id {
    let message = next(car).await;
    let Down::Verifier {
        account: EVA,
        verifier,
        salt,
        now,
        valid_s,
        attempts,
    } = message.body
    else {
        panic!("{message:?}");
    };
    let own = aid_cmp::service::now() / 1000;
    assert!(now.abs_diff(own) < 60 && salt != verifier);
    assert_eq!((valid_s, attempts), (30 * 86_400, 5));
    verifier
}

/// The car says that Eva has logged in without a connection; what the CMP answers, and the acknowledgement last.
async fn told(car: &mut Car, number: u64, verifier: Id, id: u8) -> Vec<Down> {
    let account = EVA;
    let session = Up::OfflineSession {
        number,
        account,
        verifier,
    };
    car.send([id; 16], session).await;
    let mut said = Vec::new();
    loop {
        let body = next(car).await.body;
        let last = matches!(body, Down::Ack { .. } | Down::Welcome { .. });
        said.push(body);
        if last {
            return said;
        }
    }
}

fn ack(id: u8) -> Down {
    Down::Ack {
        message_id: [id; 16],
    }
}

async fn is_in(world: &World) -> Option<AccountRef> {
    let vehicle = world.store.vehicle(world.eid).await.unwrap();
    vehicle.unwrap().session
}

/// What an operator does.
async fn operate(world: &World, deed: impl AsyncFnOnce(&Operator<'_>)) {
    let file = aid_cmp::config::read(&world.config()).unwrap();
    let operator = Operator {
        store: &world.store.0,
        file: &file,
        who: "test".into(),
        once: None,
    };
    deed(&operator).await;
}

async fn audits(world: &World, action: &str) -> usize {
    let all = AuditFilter {
        since: 0,
        actor: None,
        about: None,
    };
    let all = world.store.audits(&all, 1000).await.unwrap();
    all.iter().filter(|entry| entry.action == action).count()
}

async fn a_session_is_told_booked_and_revoked(world: &World) {
    let mut car = Car::connect(world).await;
    let (number, _) = hello(&mut car, 1, NEW).await;
    log_in(&mut car, number + 1, 2).await;
    let verifier = granted(&mut car).await;
    // The same login again is granted nothing more: the car forgot its PIN with the first grant.
    log_in(&mut car, number + 1, 2).await;
    let state = Up::Session {
        number: number + 2,
        account: None,
    };
    car.send([3; 16], state).await;
    assert_eq!(next(&mut car).await.body, ack(3));
    drop(car);

    let mut car = Car::connect(world).await;
    let (number, beside) = hello(&mut car, 4, NEW).await;
    assert_eq!(beside, []);
    // An older state is answered as any other; a verifier of nobody lets nobody in.
    let welcome = told(&mut car, number - 1, verifier, 5).await;
    assert!(
        matches!(&welcome[..], [Down::Welcome { .. }]),
        "{welcome:?}"
    );
    let refused = told(&mut car, number + 1, [9; 16], 6).await;
    let revoke = |verifier| Down::Revoke {
        account: EVA,
        verifier,
    };
    assert_eq!(refused, [revoke([9; 16]), ack(6)]);
    assert_eq!(is_in(world).await, None);
    // Said again it is refused again: the answer may have been lost.
    assert_eq!(told(&mut car, number + 1, [9; 16], 6).await, refused);
    for _ in 0..2 {
        assert_eq!(told(&mut car, number + 2, verifier, 7).await, [ack(7)]);
        assert_eq!(is_in(world).await, Some(EVA));
    }
    assert_eq!(audits(world, "login without a connection").await, 1);
    // From then on the car says it as any session.
    let state = Up::Session {
        number: number + 3,
        account: Some(EVA),
    };
    car.send([8; 16], state).await;
    assert_eq!(next(&mut car).await.body, ack(8));
    assert_eq!(is_in(world).await, Some(EVA));

    // Another PIN: the car hears of it at once, until it says that it has.
    operate(world, async |operator: &Operator<'_>| {
        operator.set_pin("eva", None).await.unwrap();
    })
    .await;
    let message = next(&mut car).await;
    assert_eq!(
        (message.message_id, message.body),
        (verifier, revoke(verifier))
    );
    drop(car);
    let mut car = Car::connect(world).await;
    let (number, beside) = hello(&mut car, 10, NEW).await;
    // What is outstanding is sent beside the answer, before or behind it.
    match beside.is_empty() {
        true => assert_eq!(next(&mut car).await.body, revoke(verifier)),
        false => assert_eq!(beside, [revoke(verifier)]),
    }
    let refused = told(&mut car, number + 1, verifier, 11).await;
    assert_eq!(refused, [revoke(verifier), ack(11)]);
    assert_eq!(is_in(world).await, None);
    car.send(
        [12; 16],
        Up::Ack {
            message_id: verifier,
        },
    )
    .await;
    car.send(
        [13; 16],
        Up::Session {
            number: number + 2,
            account: None,
        },
    )
    .await;
    assert_eq!(next(&mut car).await.body, ack(13));
    assert_eq!(world.store.verifier(world.eid, EVA).await.unwrap(), None);
}

// Also on PostgreSQL, where it is on the machine.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_without_a_connection_is_granted_told_and_revoked() {
    a_session_is_told_booked_and_revoked(&World::new().await).await;
    let Some(server) = Postgres::start() else {
        return;
    };
    a_session_is_told_booked_and_revoked(&World::on(Some(&server.url())).await).await;
}

// Neither direction: such a car gets no grant, no revocation and no such order.
#[tokio::test(flavor = "multi_thread")]
async fn a_car_of_an_earlier_revision_gets_none_of_it() {
    let world = World::new().await;
    let mut car = Car::connect(&world).await;
    let (number, _) = hello(&mut car, 1, NEW).await;
    log_in(&mut car, number + 1, 2).await;
    let verifier = granted(&mut car).await;
    drop(car);
    operate(&world, async |operator: &Operator<'_>| {
        let eid = world.eid.to_string();
        let why = "sold".to_owned();
        operator
            .add_order(&eid, OrderWhat::FactoryReset, why)
            .await
            .unwrap();
    })
    .await;
    // The order revokes what was granted, too.
    let revoked = world.store.revoked_verifiers(world.eid).await.unwrap();
    assert_eq!(revoked.iter().map(|v| v.id).collect::<Vec<_>>(), [verifier]);
    // It was put back to an earlier release meanwhile.
    let mut car = Car::connect(&world).await;
    let (number, _) = hello(&mut car, 3, OLD).await;
    log_in(&mut car, number + 1, 4).await;
    car.send(
        [5; 16],
        Up::Session {
            number: number + 2,
            account: None,
        },
    )
    .await;
    assert_eq!(next(&mut car).await.body, ack(5));
    let open = world.store.orders(Some(world.eid), true).await.unwrap();
    assert_eq!(open.len(), 1);
    drop(car);
    // Renewed it gets all of it.
    let mut car = Car::connect(&world).await;
    let (_, mut sent) = hello(&mut car, 6, NEW).await;
    let reset = |d: &Down| {
        matches!(
            d,
            Down::Order {
                kind: OrderKind::FactoryReset,
                ..
            }
        )
    };
    let revoke = |d: &Down| matches!(d, Down::Revoke { account: EVA, .. });
    // What is not acknowledged may come twice.
    while !(sent.iter().any(reset) && sent.iter().any(revoke)) {
        sent.push(next(&mut car).await.body);
    }
    let (order_id, outcome) = (open[0].id, OrderOutcome::Done);
    car.send(order_id, Up::OrderResult { order_id, outcome })
        .await;
    let acked = Down::Ack {
        message_id: order_id,
    };
    while next(&mut car).await.body != acked {}
    let closed = world.store.orders(Some(world.eid), false).await.unwrap();
    assert_eq!(closed[0].state, OrderState::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_that_was_begun_at_the_car_is_noted_once() {
    let world = World::new().await;
    let mut car = Car::connect(&world).await;
    let (number, _) = hello(&mut car, 1, NEW).await;
    log_in(&mut car, number + 1, 2).await;
    let verifier = granted(&mut car).await;
    for _ in 0..2 {
        let reset = Up::FactoryReset {
            reset_id: [3; 16],
            outcome: OrderOutcome::Done,
        };
        car.send([3; 16], reset).await;
        let mut answer = next(&mut car).await.body;
        if matches!(answer, Down::Revoke { .. }) {
            answer = next(&mut car).await.body;
        }
        assert_eq!(answer, ack(3));
    }
    assert_eq!(audits(&world, "factory reset").await, 1);
    let revoked = world.store.verifier(world.eid, EVA).await.unwrap().unwrap();
    assert_eq!(revoked.id, verifier);
    assert!(revoked.revoked_at.is_some());
}
