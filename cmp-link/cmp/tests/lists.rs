//! Lists of the command line, in parts and as a whole.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use aid_aid1::body::SubscriptionType;
use aid_cmp::service::fresh;
use aid_cmp_core::change::Change;
use aid_cmp_core::decide::{Context, Policy};
use aid_cmp_core::model::{
    Account, Call, CallKind, CallState, Federation, MspVerdict, Profile, ProfileStatus, SyncRun,
    Vehicle,
};
use aid_id::{AccountRef, MspToken, Secret};
use aid_wire::OrderKind;
use serde_json::Value;
use std::process::{Command, Output};
use world::World;

/// More than a list reads at once.
const MANY: u32 = 1_203;

fn run(world: &World, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aid-cmp"))
        .args(args)
        .arg("--config")
        .arg(world.config())
        .output()
        .unwrap()
}

fn rows(output: &Output) -> Vec<Value> {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Where a part says that the next begins.
fn cursor(output: &Output) -> Option<String> {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    let after = text.trim().strip_prefix("there are more: --after ");
    assert!(after.is_some() || text.is_empty(), "{text}");
    after.map(str::to_owned)
}

/// A user with a car, a link, a profile, an order, a call that was given up, and a synchronisation.
fn someone(world: &World, n: u32) -> Vec<Change> {
    let (eid, account) = (world::eid(100 + n), AccountRef(fresh()));
    let federation = Federation {
        id: fresh(),
        msp: "Mobile One".into(),
        token: MspToken::from_bytes(fresh()),
        account,
        phone: world.phone(),
        kind: SubscriptionType::Private,
        customer_group: None,
        since: 1,
        ended_at: None,
        ended_reason: None,
    };
    let context = Context {
        now: 1_000_000 + u64::from(n),
        fresh,
        random: fresh,
        policy: Policy::default(),
    };
    let call = Call {
        state: CallState::Dead,
        ..context.call(&federation, CallKind::Status, format!("lane {n}"))
    };
    let link = federation.id;
    vec![
        Change::AddVehicle(Vehicle::new(eid, 0)),
        Change::AddAccount(Account {
            id: account,
            name: format!("someone {n:05}"),
            display_name: "Someone".into(),
            password: Secret::new("none".into()),
            pin_mac: None,
            created_at: 0,
        }),
        Change::AddFederation(federation),
        Change::PutProfile(Profile {
            iccid: format!("8988{:015}", n / 2).parse().unwrap(),
            federation: link,
            eid,
            status: ProfileStatus::Disabled,
            verdict: MspVerdict::Valid,
            last_used: 0,
            created_at: 0,
        }),
        Change::AddOrder(context.order(eid, OrderKind::Logout { account }, "test")),
        Change::AddCall(call),
        Change::AddSyncRun(SyncRun {
            id: fresh(),
            federation: link,
            at: 1,
            outcome: "agreed".into(),
            findings: "[]".into(),
        }),
        context.audit("operator", "tested", format!("{n}")),
    ]
}

// No list is cut in silence, and its parts make the whole, in whatever sizes.
#[tokio::test(flavor = "multi_thread")]
async fn parts_of_a_list_make_the_whole() {
    let mut world = World::new().await;
    world.halt().await;
    let all: Vec<u32> = (0..MANY).collect();
    for some in all.chunks(200) {
        let changes = some.iter().flat_map(|n| someone(&world, *n));
        world.commit(changes.collect()).await;
    }
    for (list, fewest) in [
        (&["vehicle", "list"][..], MANY + 2),
        (&["user", "list"], MANY + 1),
        (&["federation", "list"], MANY),
        (&["profile", "list"], MANY),
        (&["order", "list"], MANY),
        (&["order", "list", "--open"], MANY),
        (&["order", "list", "--overdue"], MANY),
        (&["outbox", "list"], MANY),
        (&["outbox", "dead"], MANY),
        (&["outbox", "list", "--state", "dead"], MANY),
        (&["sync", "report"], MANY),
    ] {
        let whole = run(&world, &[list, &["--json"]].concat());
        assert_eq!(cursor(&whole), None, "{list:?}");
        let whole = rows(&whole);
        assert_eq!(whole.len(), fewest as usize, "{list:?}");
        for size in ["1", "701"] {
            let (mut parts, mut after): (Vec<Value>, Option<String>) = (Vec::new(), None);
            loop {
                let place = after.as_deref().map(|after| ["--after", after]);
                let place = place.as_ref().map_or(&[][..], |place| place);
                let part = run(
                    &world,
                    &[list, &["--json", "--limit", size], place].concat(),
                );
                parts.extend(rows(&part));
                after = cursor(&part);
                // The first and the second are enough of the smallest.
                if after.is_none() || (size == "1" && parts.len() == 2) {
                    break;
                }
            }
            let expected = if size == "1" { &whole[..2] } else { &whole };
            assert_eq!(parts, expected, "{list:?} in parts of {size}");
        }
        // A place that no list has is a mistake.
        let wrong = run(&world, &[list, &["--after", "nowhere/at/all"]].concat());
        let is_name = list[0] == "user";
        assert_eq!(
            wrong.status.code(),
            Some(if is_name { 0 } else { 2 }),
            "{list:?}"
        );
        let lines = run(&world, list).stdout;
        let lines = String::from_utf8(lines).unwrap();
        assert_eq!(lines.lines().count(), whole.len(), "{list:?} as text");
    }
    // The audit trail: all, behind a place, and the newest.
    let audit = |more: &[&str]| {
        let days = ["audit", "list", "--json", "--days", "100000"];
        rows(&run(&world, &[&days[..], more].concat()))
    };
    let whole = audit(&[]);
    assert_eq!(whole.len(), MANY as usize);
    assert_eq!(audit(&["--limit", "3"]), whole[whole.len() - 3..]);
    let place = format!(
        "{}/{}",
        whole[600]["at"].as_str().unwrap(),
        whole[600]["position"]
    );
    assert_eq!(audit(&["--after", &place]), whole[601..]);
    assert!(audit(&["--about", "nobody"]).is_empty());
}
