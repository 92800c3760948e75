//! A delete order says whose profile it is, to cars that understand that (§4.4.1 [8]), over MQTT and mutual TLS.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use aid_aid1::body::{ProfileInformation, ProfileValidity, SendProfileInformation};
use aid_aid1::client::Call;
use aid_cmp_core::change::Change;
use aid_cmp_core::model::{MspVerdict, Profile, ProfileStatus};
use aid_id::{Iccid, Id};
use aid_wire::{Down, OrderKind, Up};
use world::car::Car;
use world::{EVA, World};

fn iccid(n: u32) -> Iccid {
    format!("8988{n:015}").parse().unwrap()
}

/// A world in whose car Eva has these profiles.
async fn world(profiles: std::ops::Range<u32>) -> (World, aid_id::MspToken) {
    let world = World::new().await;
    let token = world.federate().await;
    let federation = world.store.federations(EVA).await.unwrap().remove(0);
    let changes = profiles.map(|n| {
        Change::PutProfile(Profile {
            iccid: iccid(n),
            federation: federation.id,
            eid: world.eid,
            status: ProfileStatus::Disabled,
            verdict: MspVerdict::Valid,
            last_used: 1,
            created_at: 1,
        })
    });
    world.store.commit(changes.collect()).await.unwrap();
    (world, token)
}

/// The MSP gives a profile up, so that the CMP orders its deletion.
async fn invalid(world: &World, token: aid_id::MspToken, n: u32) {
    let body = SendProfileInformation {
        profiles: vec![ProfileInformation {
            iccid: iccid(n),
            status: ProfileValidity::Invalid,
            reason: None,
        }],
    };
    let client = world.client();
    let told = client.send_profile_information(Call::new(), token, &body);
    told.await.unwrap();
}

async fn hello(car: &mut Car, id: u8, software: &str) {
    let hello = Up::Hello {
        software: software.into(),
        profiles: Vec::new(),
    };
    car.send([id; 16], hello).await;
    loop {
        match car.message().await.body {
            Down::Ack { .. } | Down::Welcome { .. } => return,
            Down::Order { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn order(car: &mut Car) -> (Id, OrderKind) {
    loop {
        let message = car.message().await;
        if let Down::Order { order_id, kind } = message.body {
            assert_eq!(message.message_id, order_id);
            return (order_id, kind);
        }
    }
}

// R-4.4.1-9: EID, account and ICCID go to a car that knows it, and the ICCID to one that does not: to a car that is there,
// and to one that comes later.
#[tokio::test(flavor = "multi_thread")]
async fn a_delete_order_names_the_account_where_the_car_understands_it() {
    let (world, token) = world(0..8).await;
    let table = [
        ("aid-agent 0.3.0 AID2/3", true),
        ("aid-agent 0.2.0 AID2/2", false),
        ("aid-agent 0.1.0", false),
        ("a car to come AID2/9", true),
    ];
    for (n, (software, names)) in (0..).zip(table) {
        let expected = |n: u32| match names {
            true => OrderKind::DeleteOf {
                account: EVA,
                iccid: iccid(n),
            },
            false => OrderKind::Delete { iccid: iccid(n) },
        };
        let mut car = Car::connect(&world).await;
        hello(&mut car, n as u8 + 1, software).await;
        invalid(&world, token, 2 * n).await;
        let (here, kind) = order(&mut car).await;
        assert_eq!(kind, expected(2 * n), "{software}");
        drop(car);
        // It has not done that yet, and is away when the next is given.
        invalid(&world, token, 2 * n + 1).await;
        let mut car = Car::connect(&world).await;
        let both = [order(&mut car).await, order(&mut car).await];
        assert_eq!(both[0], (here, expected(2 * n)), "{software}");
        assert_eq!(both[1].1, expected(2 * n + 1), "{software}");
        for (order_id, _) in both {
            let outcome = aid_wire::OrderOutcome::Done;
            car.send(order_id, Up::OrderResult { order_id, outcome })
                .await;
            assert!(matches!(car.message().await.body, Down::Ack { .. }));
        }
    }
    // The MSP's token is in none of it.
    let orders = world.store.orders(Some(world.eid), false).await.unwrap();
    assert_eq!(orders.len(), 8);
    assert_ne!(&EVA.0, token.as_bytes());
}

// An order that the car got in one form is the same order in the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_car_that_was_renewed_or_put_back_gets_the_same_order_in_its_form() {
    let (world, token) = world(0..1).await;
    let mut first = None;
    let words = ["x AID2/2", "x AID2/3", "x", "x AID2/3"];
    for (n, software) in (1..).zip(words) {
        let mut car = Car::connect(&world).await;
        hello(&mut car, n, software).await;
        drop(car);
        if first.is_none() {
            invalid(&world, token, 0).await;
        }
        let mut car = Car::connect(&world).await;
        let (id, kind) = order(&mut car).await;
        assert_eq!(*first.get_or_insert(id), id);
        let names = matches!(kind, OrderKind::DeleteOf { .. });
        assert_eq!(names, software.ends_with('3'), "{software}: {kind:?}");
    }
}
