//! A copy that was made under load, and a CMP that begins again from it: what was answered since is made up for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use aid_aid1::body::{SubscriptionType, UpdateSubscriptionInfo};
use aid_aid1::client::Call;
use aid_cmp::service::{Service, fresh, now};
use aid_cmp_core::change::Change;
use aid_cmp_core::decide::hello::SETTLED_MS;
use aid_cmp_core::model::{MspVerdict, Profile, ProfileStatus};
use aid_id::{Iccid, MspToken};
use aid_wire::{Envelope, ProfileState, Status, Up, WIRE_VERSION};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use world::World;
use world::book::Book;

/// Calls of each kind that have to be answered.
const CALLS: usize = 20;

fn update(world: &World, group: &str) -> UpdateSubscriptionInfo {
    UpdateSubscriptionInfo {
        phone: world.phone(),
        subscription_type: SubscriptionType::Business,
        customer_group: Some(group.to_owned()),
    }
}

fn backup(world: &World, to: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aid-cmp"))
        .args(["backup", "--config"])
        .arg(world.config())
        .arg(to)
        .output()
        .unwrap()
}

async fn says(cmp: &Arc<Service>, world: &World, body: Up) {
    let id = fresh();
    let envelope = Envelope {
        version: WIRE_VERSION,
        message_id: id,
        correlation_id: id,
        sequence: 0,
        expires_at: None,
        body,
    };
    cmp.up(world.eid, None, envelope).await.unwrap();
}

fn hello(iccid: &Iccid) -> Up {
    Up::Hello {
        software: "test".into(),
        profiles: vec![ProfileState {
            iccid: iccid.clone(),
            state: Status::Enabled,
            owner: Some(world::EVA),
        }],
    }
}

async fn group(world: &World, token: MspToken) -> Option<String> {
    let link = world.store.federation("Mobile One", token).await.unwrap();
    link.unwrap().customer_group
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_under_load_is_a_state_from_which_everything_converges() {
    let mut world = World::new().await;
    let token = world.federate().await;
    let iccid: Iccid = "8988000000000000017".parse().unwrap();
    let link = world.store.federation("Mobile One", token).await.unwrap();
    let profile = Change::PutProfile(Profile {
        iccid: iccid.clone(),
        federation: link.unwrap().id,
        eid: world.eid,
        status: ProfileStatus::Installed,
        verdict: MspVerdict::Valid,
        last_used: 1,
        created_at: 1,
    });
    world.commit(vec![profile]).await;

    // Load from before the copy to after it.
    let copy = world.folder.path().join("copy.sqlite");
    let copied = Arc::new(AtomicBool::new(false));
    let (client, body) = (world.client(), update(&world, ""));
    let load = tokio::spawn({
        let copied = Arc::clone(&copied);
        async move {
            let (mut calls, mut after) = (Vec::new(), 0);
            while after < CALLS || calls.len() < 2 * CALLS {
                after += usize::from(copied.load(Ordering::SeqCst));
                let call = Call::new();
                let group = calls.len().to_string();
                let customer_group = Some(group.clone());
                let body = UpdateSubscriptionInfo {
                    customer_group,
                    ..body.clone()
                };
                let done = client.update_subscription_info(call, token, &body).await;
                done.unwrap();
                calls.push((call, group));
            }
            calls
        }
    });
    let made = backup(&world, &copy);
    assert!(made.status.success(), "{made:?}");
    copied.store(true, Ordering::SeqCst);
    let calls = load.await.unwrap();
    // A copy never replaces anything.
    assert!(!backup(&world, &copy).status.success());
    // After the copy the car reports that its profile is enabled, and is acknowledged.
    let config = aid_cmp::config::check(&world.config()).unwrap();
    let cmp = Arc::new(Service::new(world.store.0.clone(), config));
    let enabled = Up::Status {
        report_seq: 1 << 32 | 1,
        iccid: Some(iccid.clone()),
        account: Some(world::EVA),
        status: Status::Enabled,
        code: 0,
    };
    says(&cmp, &world, enabled).await;
    drop(cmp);

    // The database is lost, and the copy takes its place.
    world.halt().await;
    world.close_store().await;
    let database = world.folder.path().join("cmp.sqlite");
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{end}", database.display()));
    }
    std::fs::rename(&copy, &database).unwrap();
    world.store = Book::open(&database).await.unwrap();
    let answered = async |call: &Call| {
        let id = call.request_id.into_bytes();
        let found = world.store.answered("mspone", id).await.unwrap();
        found.is_some()
    };
    let mut kept = 0;
    while kept < calls.len() && answered(&calls[kept].0).await {
        kept += 1;
    }
    // Without a hole: what is in the copy are the first calls, in their order.
    for (n, (call, _)) in calls.iter().enumerate() {
        assert_eq!(
            answered(call).await,
            n < kept,
            "call {n} of {kept} kept ones"
        );
    }
    assert!(
        kept <= calls.len() - CALLS,
        "calls after the copy are not in it"
    );
    world.resume().await;

    // The MSP repeats all of it. What the copy knows changes nothing, the rest is done, once.
    let client = world.client();
    for (call, group) in &calls {
        let body = update(&world, group);
        let done = client.update_subscription_info(*call, token, &body).await;
        done.unwrap();
    }
    let last = calls.len() - 1;
    assert_eq!(group(&world, token).await, Some(last.to_string()));
    let (call, first) = calls
        .last()
        .map(|(call, _)| (*call, "0".to_owned()))
        .unwrap();
    let other = client
        .update_subscription_info(call, token, &update(&world, &first))
        .await;
    assert!(other.is_err(), "another body under the same id");
    assert_eq!(group(&world, token).await, Some(last.to_string()));

    // The report is gone; the car says at two connections what is on its card.
    world.halt().await;
    let config = aid_cmp::config::check(&world.config()).unwrap();
    let cmp = Arc::new(Service::new(world.store.0.clone(), config));
    let status = async || world.store.profiles_with(&iccid).await.unwrap()[0].status;
    assert_eq!(status().await, ProfileStatus::Installed);
    says(&cmp, &world, hello(&iccid)).await;
    let vehicle = world.store.vehicle(world.eid).await.unwrap().unwrap();
    let long_ago = Change::Seen {
        eid: world.eid,
        at: now() - 2 * SETTLED_MS,
        software: "test".into(),
        card: vehicle.card.unwrap(),
    };
    world.commit(vec![long_ago]).await;
    says(&cmp, &world, hello(&iccid)).await;
    assert_eq!(status().await, ProfileStatus::Enabled);
}
