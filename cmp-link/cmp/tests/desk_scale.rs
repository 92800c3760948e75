//! What a page of the console or a list of the admin API looks at does not depend on how many vehicles there are. Counted
//! in steps of SQLite's virtual machine, which are the same on every machine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use aid_cmp::config::File;
use aid_cmp::operator::{Calls, Operator, Orders, Trail};
use aid_cmp::store::Store;
use aid_cmp_core::change::Change;
use aid_cmp_core::decide::{Context, Policy};
use aid_cmp_core::model::Vehicle;
use aid_wire::OrderKind;
use uuid::Uuid;
use world::World;
use world::book::Book;

fn fill(file: &std::path::Path, count: u32) {
    let now = aid_cmp::service::now();
    let text = include_str!("crowd.sql").replace("{count}", &count.to_string());
    let text = text
        .replace("{now}", &now.to_string())
        .replace("{remainder}", "93");
    // Each of them is connected.
    let online = format!(
        "INSERT INTO instance (id, name, started_at, beat_at) VALUES (zeroblob(16), 'one', 1, {now}); \
         INSERT INTO presence (eid, instance, connected_at, heard_at) SELECT eid, zeroblob(16), 1, {now} FROM vehicle;"
    );
    let connection = rusqlite::Connection::open(file).unwrap();
    let fast = "PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF; BEGIN;";
    connection.execute_batch(fast).unwrap();
    connection.execute_batch(&text).unwrap();
    connection.execute_batch(&online).unwrap();
    connection.execute_batch("COMMIT").unwrap();
}

async fn steps(world: &World, file: &File, count: u32) -> Vec<(&'static str, u64)> {
    let path = world.folder.path().join(format!("desk-{count}.sqlite"));
    Store::open(&path).await.unwrap().close().await;
    fill(&path, count);
    let store = Store::open(&path).await.unwrap();
    let context = Context {
        now: 1_000,
        fresh: aid_cmp::service::fresh,
        random: aid_cmp::service::fresh,
        policy: Policy::default(),
    };
    // One vehicle of whom something is wrong.
    let eid = world::eid(1);
    let order = context.order(eid, OrderKind::DeleteAll, "test");
    let transaction = Uuid::from_bytes(order.correlation);
    let vehicle = Vehicle {
        vin: Some("WVWZZZ1KZAW000001".into()),
        ..Vehicle::new(eid, 1)
    };
    let changes = vec![
        Change::AddVehicle(vehicle),
        Change::AddOrder(order),
        context.audit("operator", "tested", eid.to_string()),
    ];
    Book::of(store.clone()).commit(changes).await.unwrap();
    let desk = Operator {
        store: &store,
        file,
        who: "test".into(),
        once: None,
    };
    let mut list = Vec::new();
    macro_rules! of {
        ($what:literal, $work:expr) => {
            let before = store.steps();
            $work.await.unwrap();
            list.push(($what, store.steps() - before));
        };
    }
    let overdue = Orders {
        overdue: true,
        ..Orders::default()
    };
    let own = Orders {
        open: true,
        vehicle: Some(eid.to_string()),
        ..Orders::default()
    };
    let trail = Trail {
        days: 36_500,
        ..Trail::default()
    };
    of!("problems", desk.problems(Vec::new()));
    of!("vehicles", desk.vehicles(None, 50));
    of!("vehicle", desk.show_vehicle(eid.as_str()));
    of!("by EID", desk.search_vehicles(eid.as_str(), 50));
    of!("by VIN", desk.search_vehicles("WVWZZZ", 50));
    of!("by user", desk.search_vehicles("crowd-7", 50));
    of!("users", desk.users(None, 50));
    of!("user", desk.show_user("crowd-7"));
    of!("overdue", desk.orders(&overdue, None, 50));
    of!("orders of one", desk.orders(&own, None, 50));
    of!("calls", desk.outbox(Calls::default(), None, 50));
    of!("transaction", desk.correlation(transaction));
    of!("trail", desk.audit(&trail, None, 50));
    list
}

#[tokio::test(flavor = "multi_thread")]
async fn the_desk_costs_no_more_among_many_vehicles() {
    let mut world = World::new().await;
    world.halt().await;
    let file = aid_cmp::config::read(&world.config()).unwrap();
    let few = steps(&world, &file, 1_000).await;
    let many = steps(&world, &file, 50_000).await;
    assert!(few.iter().all(|(_, steps)| *steps > 0));
    assert_eq!(few, many, "steps among 1,000 and among 50,000");
}
