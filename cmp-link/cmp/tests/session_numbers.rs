//! The CMP's book of sessions follows the numbers that a car gives to them (AID2 rule 1), over MQTT and mutual TLS.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use aid_cmp_core::change::Change;
use aid_cmp_core::decide::login::pin_mac;
use aid_cmp_core::model::Account;
use aid_id::{AccountRef, Id, Secret};
use aid_wire::{Down, LoginOutcome, LoginWay, Up};
use world::car::Car;
use world::{EVA, PIN, PIN_KEY, World};

const BOB: AccountRef = AccountRef([0xB0; 16]);

async fn world() -> World {
    let world = World::new().await;
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
    world
}

async fn hello(car: &mut Car, id: Id, software: &str) -> Down {
    let hello = Up::Hello {
        software: software.into(),
        profiles: Vec::new(),
    };
    car.send(id, hello).await;
    car.message().await.body
}

fn numbered(number: u64, account: Option<AccountRef>, id: Id, user: &str) -> Up {
    Up::NumberedLogin {
        number,
        account,
        login_id: id,
        way: LoginWay::Pin {
            user: user.into(),
            pin: Secret::new(if user == "bob" { "1234" } else { PIN }.into()),
        },
    }
}

async fn is_in(world: &World) -> Option<AccountRef> {
    let vehicle = world.store.vehicle(world.eid).await.unwrap();
    vehicle.unwrap().session
}

// R-2-10 R-4.3-14: the book follows the numbers of the car, not the order in which its messages come.
#[tokio::test(flavor = "multi_thread")]
async fn the_highest_number_of_a_car_says_who_is_in() {
    let world = world().await;
    let mut car = Car::connect(&world).await;
    // A car of the first revision gets nothing that it does not know.
    let ack = Down::Ack {
        message_id: [1; 16],
    };
    assert_eq!(hello(&mut car, [1; 16], "aid-agent 0.1.0").await, ack);
    let Down::Welcome {
        message_id,
        revision: 2,
        session,
    } = hello(&mut car, [2; 16], "aid-agent 0.2.0 AID2/2").await
    else {
        panic!("no welcome");
    };
    assert_eq!(message_id, [2; 16]);
    let accepted = |message: &Down| {
        let Down::LoginResult { outcome, .. } = message else {
            return false;
        };
        matches!(outcome, LoginOutcome::Accepted { .. })
    };
    car.send([3; 16], numbered(session + 3, None, [3; 16], "eva"))
        .await;
    assert!(accepted(&car.message().await.body));
    assert_eq!(is_in(&world).await, Some(EVA));
    // Bob's login of before that comes late: it is not even judged, and the car hears from where to count.
    let late = numbered(session + 2, None, [4; 16], "bob");
    car.send([4; 16], late).await;
    let welcome = |message_id, session| Down::Welcome {
        message_id,
        revision: 2,
        session,
    };
    assert_eq!(car.message().await.body, welcome([4; 16], session + 3));
    // So does the end of the session before.
    let state = |number, account| Up::Session { number, account };
    car.send([5; 16], state(session + 1, None)).await;
    assert_eq!(car.message().await.body, welcome([5; 16], session + 3));
    assert_eq!(is_in(&world).await, Some(EVA));
    // Bob logs in, and the car gives that up: Eva is in again.
    let login = numbered(session + 4, Some(EVA), [6; 16], "bob");
    car.send([6; 16], login).await;
    assert!(accepted(&car.message().await.body));
    assert_eq!(is_in(&world).await, Some(BOB));
    for _ in 0..2 {
        car.send([7; 16], state(session + 5, Some(EVA))).await;
        let ack = Down::Ack {
            message_id: [7; 16],
        };
        assert_eq!(car.message().await.body, ack);
        assert_eq!(is_in(&world).await, Some(EVA));
    }
    // Power goes. The next life knows no numbers, and says that nobody is in; Bob is not, because the car says so.
    let Down::Welcome { session: next, .. } = hello(&mut car, [8; 16], "x AID2/9").await else {
        panic!("no welcome");
    };
    assert!(next > session + 5);
    assert_eq!(is_in(&world).await, Some(EVA));
    car.send([9; 16], state(next + 1, Some(BOB))).await;
    car.message().await;
    assert_eq!(is_in(&world).await, None);
    // A repetition of a login in a later connection leaves its session, and begins none that has ended.
    car.send([10; 16], numbered(next + 2, None, [10; 16], "eva"))
        .await;
    assert!(accepted(&car.message().await.body));
    let Down::Welcome { session: last, .. } = hello(&mut car, [11; 16], "x AID2/2").await else {
        panic!("no welcome");
    };
    car.send([10; 16], numbered(last + 1, None, [10; 16], "eva"))
        .await;
    assert!(accepted(&car.message().await.body));
    assert_eq!(is_in(&world).await, Some(EVA));
    car.send([12; 16], state(last + 2, None)).await;
    car.message().await;
    // The answer follows the book.
    car.send([10; 16], numbered(last + 3, None, [10; 16], "eva"))
        .await;
    assert!(!accepted(&car.message().await.body));
    assert_eq!(is_in(&world).await, None);
}

fn is_accepted(message: &Down) -> bool {
    let Down::LoginResult { outcome, .. } = message else {
        panic!("{message:?}");
    };
    matches!(outcome, LoginOutcome::Accepted { .. })
}

// R-2-10: whatever number a login has, by whichever way: who is told that they are in, is.
#[tokio::test(flavor = "multi_thread")]
async fn no_login_is_accepted_that_begins_no_session() {
    const LAST: u64 = u64::MAX >> 1;
    let world = world().await;
    let mut car = Car::connect(&world).await;
    let mut next = 1_u8;
    let mut id = || {
        next += 1;
        [next; 16]
    };
    for absurd in [1 << 50, LAST - 1, LAST, LAST + 1, u64::MAX] {
        let hello_id = id();
        let Down::Welcome { session, .. } = hello(&mut car, hello_id, "x AID2/2").await else {
            panic!("no welcome");
        };
        for way in [true, false] {
            let login_id = id();
            let mut login = numbered(absurd, None, login_id, "eva");
            if let (Up::NumberedLogin { way, .. }, false) = (&mut login, way) {
                *way = LoginWay::Code;
            }
            car.send(login_id, login).await;
            assert!(!is_accepted(&car.message().await.body), "{absurd}");
        }
        let (message_id, number) = (id(), absurd);
        let account = Some(EVA);
        car.send(message_id, Up::Session { number, account }).await;
        let known = Down::Welcome {
            message_id,
            revision: 2,
            session,
        };
        assert_eq!(car.message().await.body, known);
        assert_eq!(is_in(&world).await, None);
        // Another login with a number that was given already.
        let bob = id();
        car.send(bob, numbered(session + 1, None, bob, "bob")).await;
        assert!(is_accepted(&car.message().await.body));
        let eva = id();
        car.send(eva, numbered(session + 1, None, eva, "eva")).await;
        assert!(!is_accepted(&car.message().await.body));
        assert_eq!(is_in(&world).await, Some(BOB));
        // The car is not shut out.
        let eva = id();
        car.send(eva, numbered(session + 2, Some(BOB), eva, "eva"))
            .await;
        assert!(is_accepted(&car.message().await.body));
        assert_eq!(is_in(&world).await, Some(EVA));
        let (message_id, number) = (id(), session + 3);
        let account = None;
        car.send(message_id, Up::Session { number, account }).await;
        assert_eq!(car.message().await.body, Down::Ack { message_id });
        assert_eq!(is_in(&world).await, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_that_is_repeated_raises_no_number() {
    let world = world().await;
    let mut car = Car::connect(&world).await;
    let mut numbers = Vec::new();
    for id in [1, 1, 1, 2, 2, 1] {
        let Down::Welcome { session, .. } = hello(&mut car, [id; 16], "x AID2/2").await else {
            panic!("no welcome");
        };
        numbers.push(session);
    }
    let next = |n: u64| numbers[0] + (n << 32);
    let expected = [next(0), next(0), next(0), next(1), next(1), next(2)];
    assert_eq!(numbers, expected);
}

// R-2-10: whom a login had replaced is in again when the car gives the login up, but not who was erased meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn an_erased_user_is_not_given_a_session_back() {
    for erased in [false, true] {
        let world = world().await;
        let mut car = Car::connect(&world).await;
        let Down::Welcome { session, .. } = hello(&mut car, [1; 16], "x AID2/2").await else {
            panic!("no welcome");
        };
        for (n, before, user) in [(2, None, "eva"), (3, Some(EVA), "bob")] {
            let login = numbered(session + u64::from(n), before, [n; 16], user);
            car.send([n; 16], login).await;
            let answer = car.message().await.body;
            assert!(matches!(answer, Down::LoginResult { .. }), "{answer:?}");
        }
        assert_eq!(is_in(&world).await, Some(BOB));
        if erased {
            let erase = vec![Change::EraseAccount(EVA)];
            world.store.commit(erase).await.unwrap();
        }
        let back = Up::Session {
            number: session + 4,
            account: Some(EVA),
        };
        car.send([4; 16], back).await;
        let ack = Down::Ack {
            message_id: [4; 16],
        };
        assert_eq!(car.message().await.body, ack);
        assert_eq!(is_in(&world).await, (!erased).then_some(EVA));
    }
}

// A login by code that the car has given up begins no session, however late the user approves it.
#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_the_car_has_given_up_is_void() {
    let world = world().await;
    let mut car = Car::connect(&world).await;
    let Down::Welcome { session, .. } = hello(&mut car, [1; 16], "x AID2/2").await else {
        panic!("no welcome");
    };
    let login = Up::NumberedLogin {
        number: session + 1,
        account: None,
        login_id: [2; 16],
        way: LoginWay::Code,
    };
    car.send([2; 16], login).await;
    let Down::LoginCode { code, .. } = car.message().await.body else {
        panic!("no code");
    };
    let state = Up::Session {
        number: session + 2,
        account: None,
    };
    car.send([3; 16], state).await;
    car.message().await;
    let config = aid_cmp::config::check(&world.config()).unwrap();
    let service = aid_cmp::service::Service::new(world.store.0.clone(), config);
    let eva = world.store.account(EVA).await.unwrap().unwrap();
    let judged = std::sync::Arc::new(service)
        .approve_login(&eva, &code, true)
        .await
        .unwrap();
    assert_eq!(judged, aid_cmp::service::Judged::Unknown);
    assert_eq!(is_in(&world).await, None);
}
