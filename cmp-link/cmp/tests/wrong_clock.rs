//! The running program under a wall clock that jumps by years, and is right again: what it has answered stays answered.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use aid_aid1::body::{SubscriptionType, UpdateSubscriptionInfo};
use aid_aid1::client::Call;
use aid_needs::shim::Shim;
use world::World;
use world::book::Book;
use world::process::Program;

/// Ten years, ms.
const JUMP: i64 = 3650 * 24 * 3600 * 1000;

// R-7.3-16: a repetition changes nothing, whenever it comes.
#[tokio::test(flavor = "multi_thread")]
async fn no_call_is_made_twice_because_the_clock_was_wrong() {
    let Some(shim) = Shim::new() else {
        return;
    };
    let mut world = World::new().await;
    let token = world.federate().await;
    world.halt().await;
    world.close_store().await;
    let start = || Program::with(&world.config(), shim.environment());
    let mut program = start();
    assert!(shim.is_loaded());
    let body = |group: &str| UpdateSubscriptionInfo {
        phone: world.phone(),
        subscription_type: SubscriptionType::Business,
        customer_group: Some(group.to_owned()),
    };
    let mut calls: Vec<(Call, UpdateSubscriptionInfo)> = Vec::new();
    for restarts in [false, true] {
        for ahead in [0, JUMP, 0, -JUMP, 0] {
            shim.set_clock(ahead);
            if restarts {
                drop(program);
                program = start();
            }
            let client = world.client_of(program.aid1, "mspone", "mspkey", "msp");
            calls.push((Call::new(), body(&format!("{restarts} {}", calls.len()))));
            // The new one, and all that were answered already.
            for (call, body) in calls.iter().rev() {
                let done = client.update_subscription_info(*call, token, body).await;
                assert!(done.is_ok(), "{restarts} {ahead}: {done:?}");
            }
        }
    }
    drop(program);
    let store = Book::open(&world.folder.path().join("cmp.sqlite"))
        .await
        .unwrap();
    let link = store.federation("Mobile One", token).await.unwrap();
    let (_, last) = calls.last().unwrap();
    // None of the earlier ones was made again.
    assert_eq!(link.unwrap().customer_group, last.customer_group);
    store.close().await;
}
