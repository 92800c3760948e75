//! A car says what is on its card, and the CMP has it otherwise: a report was lost (§7.8).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use aid_aid1::body::SubscriptionType;
use aid_cmp::service::{Service, fresh, now};
use aid_cmp::store::AuditFilter;
use aid_cmp_core::change::Change;
use aid_cmp_core::decide::hello::SETTLED_MS;
use aid_cmp_core::model::{Federation, MspVerdict, Profile, ProfileStatus};
use aid_id::{Iccid, MspToken};
use aid_wire::{Envelope, ProfileState, Status, Up, WIRE_VERSION};
use std::sync::Arc;
use world::World;

fn iccid(n: u32) -> Iccid {
    format!("8988{n:015}").parse().unwrap()
}

async fn hello(cmp: &Arc<Service>, world: &World, states: &[(u32, Status)]) {
    let id = fresh();
    let listed = states.iter().map(|(n, state)| ProfileState {
        iccid: iccid(*n),
        state: *state,
        owner: Some(world::EVA),
    });
    let envelope = Envelope {
        version: WIRE_VERSION,
        message_id: id,
        correlation_id: id,
        sequence: 0,
        expires_at: None,
        body: Up::Hello {
            software: "test".into(),
            profiles: listed.collect(),
        },
    };
    cmp.up(world.eid, None, envelope).await.unwrap();
}

/// Lets the last Hello be long ago.
async fn time_passes(world: &World) {
    let vehicle = world.store.vehicle(world.eid).await.unwrap().unwrap();
    let seen = Change::Seen {
        eid: world.eid,
        at: now() - 2 * SETTLED_MS,
        software: "test".into(),
        card: vehicle.card.unwrap(),
    };
    world.store.commit(vec![seen]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_card_says_twice_makes_up_for_lost_reports() {
    let mut world = World::new().await;
    world.halt().await;
    let config = aid_cmp::config::check(&world.config()).unwrap();
    let cmp = Arc::new(Service::new(world.store.0.clone(), config));
    let federation = Federation {
        id: fresh(),
        msp: "Mobile One".into(),
        token: MspToken::from_bytes(fresh()),
        account: world::EVA,
        phone: world.phone(),
        kind: SubscriptionType::Private,
        customer_group: None,
        since: 1,
        ended_at: None,
        ended_reason: None,
    };
    let profile = |n, status| {
        Change::PutProfile(Profile {
            iccid: iccid(n),
            federation: federation.id,
            eid: world.eid,
            status,
            verdict: MspVerdict::Valid,
            last_used: 1,
            created_at: 1,
        })
    };
    let changes = vec![
        Change::AddFederation(federation.clone()),
        profile(1, ProfileStatus::Prepared),
        profile(2, ProfileStatus::Disabled),
    ];
    world.store.commit(changes).await.unwrap();
    let status = async |n: u32| {
        let found = world.store.profiles_with(&iccid(n)).await.unwrap();
        found[0].status
    };
    let noted = async || {
        let filter = AuditFilter {
            ..AuditFilter::default()
        };
        let audits = world.store.audits(&filter, 100).await.unwrap();
        let missing = |a: &&aid_cmp_core::model::Audit| a.action == "profile not on its card";
        audits.iter().filter(missing).count()
    };
    let card = [(1, Status::Enabled)];
    // Once, and again at once: its reports may be on their way.
    for _ in 0..2 {
        hello(&cmp, &world, &card).await;
        assert_eq!(status(1).await, ProfileStatus::Prepared);
    }
    time_passes(&world).await;
    hello(&cmp, &world, &card).await;
    assert_eq!(status(1).await, ProfileStatus::Enabled);
    // The other one is noted for the operator, once, and stays.
    assert_eq!(noted().await, 1);
    time_passes(&world).await;
    hello(&cmp, &world, &card).await;
    assert_eq!(noted().await, 1);
    assert_eq!(status(2).await, ProfileStatus::Disabled);
    assert!(world.store.orders(None, false).await.unwrap().is_empty());
    // The MSP hears of what it wants to hear of, each once and in order.
    let calls = world.store.all_calls().await.unwrap();
    let bodies: Vec<&str> = calls.iter().map(|c| c.body.as_str()).collect();
    assert_eq!(calls.len(), 2, "{bodies:?}");
    assert!(bodies[0].to_lowercase().contains("installed"), "{bodies:?}");
    assert!(bodies[1].to_lowercase().contains("enabled"), "{bodies:?}");
}

// A car reconnects twice with a report on its way that says the same both times, as after each login. Its own
// reports in between have said what differed the first time, so that the MSP hears of each once.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_is_on_its_way_at_two_hellos_is_not_made_up() {
    let mut world = World::new().await;
    world.halt().await;
    let config = aid_cmp::config::check(&world.config()).unwrap();
    let cmp = Arc::new(Service::new(world.store.0.clone(), config));
    let federation = Federation {
        id: fresh(),
        msp: "Mobile One".into(),
        token: MspToken::from_bytes(fresh()),
        account: world::EVA,
        phone: world.phone(),
        kind: SubscriptionType::Private,
        customer_group: None,
        since: 1,
        ended_at: None,
        ended_reason: None,
    };
    let profile = Change::PutProfile(Profile {
        iccid: iccid(1),
        federation: federation.id,
        eid: world.eid,
        status: ProfileStatus::Disabled,
        verdict: MspVerdict::Valid,
        last_used: 1,
        created_at: 1,
    });
    let changes = vec![
        Change::AddFederation(federation),
        profile,
        Change::LoggedIn(world.eid, world::EVA, 1),
    ];
    world.store.commit(changes).await.unwrap();
    let report = async |seq: u64, status: Status| {
        let id = fresh();
        let envelope = Envelope {
            version: WIRE_VERSION,
            message_id: id,
            correlation_id: id,
            sequence: seq,
            expires_at: None,
            body: Up::Status {
                report_seq: seq,
                iccid: Some(iccid(1)),
                account: Some(world::EVA),
                status,
                code: 0,
            },
        };
        cmp.up(world.eid, None, envelope).await.unwrap();
    };
    let card = [(1, Status::Enabled)];
    hello(&cmp, &world, &card).await;
    time_passes(&world).await;
    report(1, Status::Enabled).await;
    report(2, Status::Disabled).await;
    hello(&cmp, &world, &card).await;
    report(3, Status::Enabled).await;
    let calls = world.store.all_calls().await.unwrap();
    assert_eq!(calls.len(), 3, "{calls:?}");
}
