//! A car that was retired is cut off, whatever else the server is kept waiting with.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

use std::time::Duration;
use tokio::time::timeout;
use tokio_postgres::{Client, NoTls};
use world::World;
use world::car::{Car, Seen};
use world::postgres::Postgres;

async fn client(server: &Postgres) -> Client {
    let connected = tokio_postgres::connect(&server.url(), NoTls).await;
    let (client, connection) = connected.unwrap();
    tokio::spawn(connection);
    client
}

async fn waiting(client: &Client) -> i64 {
    let text = "SELECT COUNT(*) FROM pg_locks WHERE NOT granted";
    client.query_one(text, &[]).await.unwrap().get(0)
}

// R-A.4-6: the orders of a large fleet may take long to read, at a start above all.
#[tokio::test(flavor = "multi_thread")]
async fn a_car_is_cut_off_while_the_orders_can_not_be_read() {
    let Some(server) = Postgres::start() else {
        return;
    };
    let mut world = World::on(Some(&server.url())).await;
    let (mut holder, other) = (client(&server).await, client(&server).await);
    let mut car = Car::connect(&world).await;
    let held = holder.transaction().await.unwrap();
    let lock = "LOCK TABLE vehicle_order IN ACCESS EXCLUSIVE MODE";
    held.batch_execute(lock).await.unwrap();
    let waits = async {
        while waiting(&other).await == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let looked = timeout(Duration::from_secs(60), waits).await;
    looked.expect("the server looks for orders");
    let retire = "UPDATE vehicle SET retired_at = $1, retired_reason = 'sold' WHERE eid = $2";
    let at = i64::try_from(aid_cmp::service::now()).unwrap();
    let eid = world.eid.to_string();
    other.execute(retire, &[&at, &eid]).await.unwrap();
    // Sooner than a statement is given up.
    loop {
        if let Seen::Lost(_) = car.next().await {
            break;
        }
    }
    held.rollback().await.unwrap();
    drop(car);
    world.halt().await;
    world.store.close().await;
}
