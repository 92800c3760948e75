//! Every door behind which a secret is guessed, attacked in parallel: never more guesses are judged than the limit, never more
//! passwords are hashed at once than the cap, and what is refused is seen. On SQLite with one instance, and on
//! PostgreSQL with two, where its binaries are.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod names;
mod rates;
mod seen;
#[path = "../world/mod.rs"]
mod world;

use aid_cmp::service::{Changed, Frame, Judged, Service, SignIn, fresh};
use aid_cmp::store::Store;
use aid_cmp_core::change::Change;
use aid_cmp_core::decide::login::MAX_ATTEMPTS;
use aid_cmp_core::decide::tries::{self, Keys};
use aid_id::{Eid, Id, Secret};
use aid_serve::password::{self, AT_ONCE};
use aid_wire::{Down, Envelope, LoginOutcome, Up, WIRE_VERSION};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{Mutex, MutexGuard, mpsc};
use tokio::task::JoinSet;
use world::book::Book;
use world::postgres::Postgres;
use world::{EVA, PASSWORD, PIN, PIN_KEY, World, eid};

type Cmp = Arc<Service>;

fn book(cmp: &Cmp) -> Book {
    Book::of(cmp.store.clone())
}

/// The cap on hashes is the process's, and some of these tests use it up.
async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    ALONE.lock().await
}

async fn instance(world: &World) -> Cmp {
    let config = aid_cmp::config::check(&world.config()).unwrap();
    let store = Store::open(config.fixed.file.database.clone())
        .await
        .unwrap();
    Arc::new(Service::new(store, config))
}

/// Where a secret can be guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    /// The portal's sign-in.
    Portal,
    /// The portal's sign-in under a name that nobody has.
    Nobody,
    /// Change of the password.
    Password,
    /// Change of the PIN, which asks for the password.
    Pin,
    /// A PIN in a car.
    Car,
    /// A code that a car shows.
    Code,
}

const DOORS: [Door; 6] = [
    Door::Portal,
    Door::Nobody,
    Door::Password,
    Door::Pin,
    Door::Car,
    Door::Code,
];

/// What became of a guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    In,
    /// It was looked at, and is wrong.
    Judged,
    Locked,
    /// Not looked at, for want of room.
    Busy,
}

fn changed(changed: Changed) -> Outcome {
    match changed {
        Changed::Done => Outcome::In,
        Changed::Wrong => Outcome::Judged,
        Changed::Locked(_) => Outcome::Locked,
        Changed::Busy(_) => Outcome::Busy,
        other => panic!("{other:?}"),
    }
}

fn up(message_id: Id, body: Up) -> Envelope<Up> {
    Envelope {
        version: WIRE_VERSION,
        message_id,
        correlation_id: message_id,
        sequence: 0,
        expires_at: None,
        body,
    }
}

/// A car that shows a code; the code.
async fn shown(cmp: &Cmp, eid: Eid) -> String {
    let (queue, mut frames) = mpsc::channel(8);
    cmp.connect(eid, None, queue);
    let login_id = fresh();
    let begin = up(login_id, Up::LoginByCode { login_id });
    cmp.up(eid, None, begin).await.unwrap();
    let frame = frames.recv().await.unwrap();
    match Envelope::<Down>::decode(&frame.bytes).unwrap().body {
        Down::LoginCode { code, .. } => code,
        other => panic!("{other:?}"),
    }
}

/// One guess; `right` is the secret itself.
async fn guess(cmp: &Cmp, door: Door, right: &str, is_right: bool, n: usize) -> Outcome {
    let wrong = format!("wrong password {n}");
    let text = if is_right { right.to_owned() } else { wrong };
    let account = || async { book(cmp).account(EVA).await.unwrap().unwrap() };
    let secret = Secret::new(text.clone());
    match door {
        Door::Portal | Door::Nobody => {
            let name = if door == Door::Portal {
                "Eva"
            } else {
                "nobody"
            };
            match cmp.sign_in(name, &secret).await.unwrap() {
                SignIn::Welcome(_) => Outcome::In,
                SignIn::Wrong => Outcome::Judged,
                SignIn::Locked(_) => Outcome::Locked,
                SignIn::Busy(_) => Outcome::Busy,
            }
        }
        Door::Password => {
            let new = Secret::new(PASSWORD.into());
            changed(
                cmp.change_password(&account().await, "", &secret, &new)
                    .await
                    .unwrap(),
            )
        }
        Door::Pin => {
            let new = Secret::new(PIN.into());
            changed(
                cmp.change_pin(&account().await, &secret, Some(&new))
                    .await
                    .unwrap(),
            )
        }
        Door::Car => panic!("cars answer by messages"),
        Door::Code => {
            let code = if is_right { text } else { "BBBB-BBBB".into() };
            match cmp
                .approve_login(&account().await, &code, true)
                .await
                .unwrap()
            {
                Judged::Done(_) => Outcome::In,
                Judged::Unknown => Outcome::Judged,
                Judged::Locked(_) => Outcome::Locked,
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Logins in cars, all at once.
async fn in_cars(instances: &[Cmp], guesses: &[bool]) -> Vec<Outcome> {
    let (queue, mut frames) = mpsc::channel::<Box<Frame>>(guesses.len() * 4);
    for cmp in instances {
        for car in [eid(1), eid(2)] {
            cmp.connect(car, None, queue.clone());
        }
    }
    let mut tasks = JoinSet::new();
    for (n, right) in guesses.iter().copied().enumerate() {
        let cmp = Arc::clone(&instances[n % instances.len()]);
        let car = eid(1 + u32::try_from(n % 2).unwrap());
        let pin = if right {
            PIN.to_owned()
        } else {
            format!("{:05}", n)
        };
        let login = Up::Login {
            login_id: fresh(),
            user: "eva".into(),
            pin: Secret::new(pin),
        };
        tasks.spawn(async move { cmp.up(car, None, up(fresh(), login)).await.unwrap() });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let mut outcomes = BTreeMap::new();
    while let Ok(frame) = frames.try_recv() {
        let body = Envelope::<Down>::decode(&frame.bytes).unwrap().body;
        if let Down::LoginResult { login_id, outcome } = body {
            let outcome = match outcome {
                LoginOutcome::Accepted { .. } => Outcome::In,
                LoginOutcome::Refused { reason } if reason.contains("wrong") => Outcome::Judged,
                LoginOutcome::Refused { reason } => {
                    assert!(reason.contains("too many attempts"), "{reason}");
                    Outcome::Locked
                }
            };
            outcomes.insert(login_id, outcome);
        }
    }
    outcomes.into_values().collect()
}

/// Guesses at a door, all at once, in this order where there is one.
async fn at_once(instances: &[Cmp], door: Door, guesses: &[bool]) -> Vec<Outcome> {
    if door == Door::Car {
        return in_cars(instances, guesses).await;
    }
    let right = match door {
        Door::Code => shown(&instances[0], eid(1)).await,
        _ => PASSWORD.to_owned(),
    };
    let mut tasks = JoinSet::new();
    for (n, is_right) in guesses.iter().copied().enumerate() {
        let (cmp, right) = (Arc::clone(&instances[n % instances.len()]), right.clone());
        tasks.spawn(async move { guess(&cmp, door, &right, is_right, n).await });
    }
    let mut outcomes = Vec::new();
    while let Some(done) = tasks.join_next().await {
        outcomes.push(done.unwrap());
    }
    outcomes
}

fn how_many(outcomes: &[Outcome], which: Outcome) -> usize {
    outcomes.iter().filter(|o| **o == which).count()
}

/// Attacks every door of these instances of one CMP.
async fn attack(instances: &[Cmp]) {
    let store = book(&instances[0]);
    let limit = MAX_ATTEMPTS as usize;
    for door in DOORS {
        // In cars each of the two has a limit of its own.
        let limit = if door == Door::Car { 2 * limit } else { limit };
        // Wrong ones only: exactly the limit is looked at.
        let outcomes = at_once(instances, door, &[false; 100]).await;
        assert_eq!(outcomes.len(), 100, "{door:?}");
        assert_eq!(
            how_many(&outcomes, Outcome::Judged),
            limit,
            "{door:?}: {outcomes:?}"
        );
        assert_eq!(how_many(&outcomes, Outcome::In), 0, "{door:?}");
        // Then the right one, as often as anybody likes.
        let outcomes = at_once(instances, door, &[true; 30]).await;
        assert_eq!(
            how_many(&outcomes, Outcome::Locked),
            30,
            "{door:?}: {outcomes:?}"
        );
        let key = match door {
            Door::Car => Keys::new(&tries::prefix(&PIN_KEY, "eva"), eid(1)).0[0].clone(),
            Door::Code => format!("car-code:{}", hex::encode(EVA.0)),
            _ => format!("password:{}", hex::encode(EVA.0)),
        };
        let counted = store.attempts(&key).await.unwrap();
        if door != Door::Nobody {
            assert_eq!(counted.unwrap().count, MAX_ATTEMPTS, "{door:?}");
        }
        let forget = match door {
            Door::Car => Change::ForgetAttempts(tries::prefix(&PIN_KEY, "eva")),
            _ => Change::SetAttempts(key, None),
        };
        store.commit(vec![forget]).await.unwrap();
        // Below the limit the right one is let in, and takes the wrong ones back where it proves who it is.
        if door != Door::Nobody {
            let outcomes = at_once(instances, door, &[true]).await;
            assert_eq!(outcomes, [Outcome::In], "{door:?}");
        }
    }
}

// R-2-10
#[tokio::test(flavor = "multi_thread")]
async fn no_door_judges_more_guesses_than_its_limit_however_many_come_at_once() {
    let _alone = alone().await;
    let mut world = World::new().await;
    world.halt().await;
    attack(&[instance(&world).await]).await;
}

// R-2-10
#[tokio::test(flavor = "multi_thread")]
async fn nor_do_two_instances_together() {
    let _alone = alone().await;
    let Some(server) = Postgres::start() else {
        return;
    };
    let mut world = World::on(Some(&server.url())).await;
    world.halt().await;
    let instances = [instance(&world).await, instance(&world).await];
    attack(&instances).await;
    for cmp in instances {
        cmp.store.clone().close().await;
    }
    world.store.close().await;
}

// The guess that would have been right is not judged either once the limit is reached: it waits behind the wrong ones.
#[tokio::test(flavor = "multi_thread")]
async fn the_right_one_behind_the_limit_is_refused() {
    let _alone = alone().await;
    let mut world = World::new().await;
    world.halt().await;
    let cmp = instance(&world).await;
    for door in [Door::Portal, Door::Password, Door::Pin] {
        let mut held = Vec::new();
        for _ in 0..AT_ONCE {
            held.push(password::permit().await.unwrap());
        }
        let mut tasks = JoinSet::new();
        for n in 0..40 {
            let before = password::load().waiting;
            let cmp = Arc::clone(&cmp);
            tasks.spawn(async move { (n, guess(&cmp, door, PASSWORD, n == 39, n).await) });
            while password::load().waiting == before {
                tokio::task::yield_now().await;
            }
        }
        drop(held);
        let mut judged = 0;
        while let Some(done) = tasks.join_next().await {
            let (n, outcome) = done.unwrap();
            judged += usize::from(outcome == Outcome::Judged);
            if n == 39 {
                assert_eq!(outcome, Outcome::Locked, "{door:?}");
            }
        }
        assert_eq!(judged, MAX_ATTEMPTS as usize, "{door:?}");
        let key = format!("password:{}", hex::encode(EVA.0));
        book(&cmp)
            .commit(vec![Change::SetAttempts(key, None)])
            .await
            .unwrap();
    }
}

// Whoever has a car can let it show codes: entering those takes back no guess at others'.
#[tokio::test(flavor = "multi_thread")]
async fn codes_of_ones_own_car_take_no_guess_back() {
    let mut world = World::new().await;
    world.halt().await;
    let cmp = instance(&world).await;
    let account = book(&cmp).account(EVA).await.unwrap().unwrap();
    for n in 0..MAX_ATTEMPTS {
        let code = shown(&cmp, eid(1)).await;
        let own = cmp
            .approve_login(&account, &code, n % 2 == 0)
            .await
            .unwrap();
        assert!(matches!(own, Judged::Done(_)), "{own:?}");
        let guess = cmp.look_up_login(&account, "BBBB-BBBB").await.unwrap();
        assert_eq!(guess, Judged::Unknown);
    }
    let code = shown(&cmp, eid(1)).await;
    let locked = cmp.look_up_login(&account, &code).await.unwrap();
    assert!(matches!(locked, Judged::Locked(_)), "{locked:?}");
}
