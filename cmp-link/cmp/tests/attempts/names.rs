//! Logins in cars tell nothing about names, and no car locks a user out of another.

use super::{Cmp, alone, instance, up};
use crate::world::{PIN, World, eid};
use aid_cmp::service::fresh;
use aid_cmp::store::AuditFilter;
use aid_cmp_core::change::Change;
use aid_cmp_core::decide::login::MAX_ATTEMPTS;
use aid_cmp_core::decide::tries::{CAR, EVERYWHERE};
use aid_cmp_core::model::Vehicle;
use aid_id::{Eid, Secret};
use aid_wire::{Down, Envelope, LoginOutcome, Up};
use tokio::sync::mpsc;

/// One login in a car; none if it is accepted, otherwise what the car is answered.
async fn log_in(cmp: &Cmp, car: Eid, user: &str, pin: &str) -> Option<String> {
    let (queue, mut frames) = mpsc::channel(64);
    cmp.connect(car, None, queue);
    let login_id = fresh();
    let login = Up::Login {
        login_id,
        user: user.into(),
        pin: Secret::new(pin.into()),
    };
    cmp.up(car, None, up(login_id, login)).await.unwrap();
    loop {
        let frame = frames.try_recv().expect("a login is answered");
        let body = Envelope::<Down>::decode(&frame.bytes).unwrap().body;
        if let Down::LoginResult { outcome, .. } = body {
            return match outcome {
                LoginOutcome::Accepted { .. } => None,
                LoginOutcome::Refused { reason } => Some(reason),
            };
        }
    }
}

// R-2-10
#[tokio::test]
async fn a_name_that_nobody_has_is_answered_and_counted_as_one_that_somebody_has() {
    let mut world = World::new().await;
    world.halt().await;
    let cmp = instance(&world).await;
    let written = async || {
        let filter = AuditFilter {
            ..AuditFilter::default()
        };
        world.store.audits(&filter, 1000).await.unwrap().len()
    };
    let mut seen = Vec::new();
    for user in ["eva", "nobody", "EVA ", "x"] {
        let before = written().await;
        let mut answers = Vec::new();
        for n in 0..MAX_ATTEMPTS + 2 {
            answers.push(log_in(&cmp, eid(1), user, &format!("99{n:02}")).await);
        }
        seen.push((user, answers, written().await - before));
    }
    let [
        (_, known, entries),
        (_, unknown, others),
        (_, again, none),
        (_, other, _),
    ] = &seen[..]
    else {
        panic!("{seen:?}");
    };
    assert_eq!((known, entries), (unknown, others));
    assert_eq!(known, other);
    assert!(known[4] != known[5] && known[5].as_ref().unwrap().contains("15 minutes"));
    // However it is written, it is the same name.
    assert!(again.iter().all(|a| *a == known[5]) && *none == 0);
}

// R-2-10
#[tokio::test]
async fn one_car_locks_a_user_out_of_itself_and_of_no_other() {
    let mut world = World::new().await;
    world.halt().await;
    let cmp = instance(&world).await;
    for n in 0..50 {
        assert!(
            log_in(&cmp, eid(2), "eva", &format!("{n:05}"))
                .await
                .is_some()
        );
    }
    let locked = log_in(&cmp, eid(2), "eva", PIN).await.unwrap();
    assert!(locked.contains("too many attempts"), "{locked}");
    assert_eq!(log_in(&cmp, eid(1), "eva", PIN).await, None);
}

// R-2-10: whoever has many cars does not get as many guesses.
#[tokio::test]
async fn many_cars_share_a_limit_which_leaves_the_users_own_cars_alone() {
    let _alone = alone().await;
    let mut world = World::new().await;
    world.halt().await;
    let cmp = instance(&world).await;
    assert_eq!(log_in(&cmp, eid(1), "eva", PIN).await, None);
    let cars: Vec<_> = (100..=100 + EVERYWHERE.most / MAX_ATTEMPTS)
        .map(eid)
        .collect();
    let vehicles = cars
        .iter()
        .map(|car| Change::AddVehicle(Vehicle::new(*car, 0)));
    world.store.commit(vehicles.collect()).await.unwrap();
    let mut judged = 0;
    for car in &cars {
        for n in 0..=MAX_ATTEMPTS {
            let answer = log_in(&cmp, *car, "eva", &format!("{n:05}")).await;
            judged += u32::from(answer.unwrap().contains("wrong"));
        }
    }
    assert_eq!(judged, EVERYWHERE.most);
    let fresh_car = *cars.last().unwrap();
    assert!(log_in(&cmp, fresh_car, "eva", PIN).await.is_some());
    assert_eq!(log_in(&cmp, eid(1), "eva", PIN).await, None);
    // Another PIN, set by the user or an operator, begins anew.
    let eva = world.store.account_named("eva").await.unwrap().unwrap();
    let password = Secret::new(crate::world::PASSWORD.into());
    let pin = Secret::new("12345".into());
    let changed = cmp.change_pin(&eva, &password, Some(&pin)).await.unwrap();
    assert_eq!(changed, aid_cmp::service::Changed::Done);
    assert_eq!(log_in(&cmp, fresh_car, "eva", "12345").await, None);
}

// A car under an attacker's control writes only so much.
#[tokio::test]
async fn a_car_tries_only_so_many_names() {
    let mut world = World::new().await;
    world.halt().await;
    let cmp = instance(&world).await;
    let mut judged = 0;
    for n in 0..CAR.most + 20 {
        let answer = log_in(&cmp, eid(1), &format!("name {n}"), "0000").await;
        judged += u32::from(answer.unwrap().contains("wrong"));
    }
    assert_eq!(judged, CAR.most);
    assert_eq!(log_in(&cmp, eid(2), "eva", PIN).await, None);
}
