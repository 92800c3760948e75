//! Changes a second on PostgreSQL, each in a transaction of its own and together, and their processor time here and in
//! the server: the reads and writes of a call of AID1 on tables of their form. A server is started for it.
//!
//! `cargo run --release -p aid-store --example bursts`
#![allow(clippy::print_stdout, reason = "it prints its figures")]

use aid_needs::postgres::Postgres;
use aid_store::{
    Options, Schema, Sql, Statement, Step, Store, StoreError, Stored, Tx, Value, params,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

static SCHEMA: Schema = Schema::new(&[Step {
    version: 1,
    name: "rows",
    sql: Sql::Both(
        "CREATE TABLE account (id BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL UNIQUE);
         CREATE TABLE federation (id BIGINT NOT NULL PRIMARY KEY, account BIGINT NOT NULL REFERENCES account (id),
           token TEXT NOT NULL UNIQUE, phone TEXT NOT NULL);
         CREATE TABLE request (id BIGINT NOT NULL PRIMARY KEY, federation BIGINT NOT NULL REFERENCES federation (id),
           state TEXT NOT NULL, code TEXT, changed_at BIGINT NOT NULL);
         CREATE INDEX request_federation ON request (federation);
         CREATE INDEX request_changed ON request (changed_at);
         CREATE TABLE profile (iccid TEXT NOT NULL, federation BIGINT NOT NULL REFERENCES federation (id),
           state TEXT NOT NULL, PRIMARY KEY (iccid, federation));
         CREATE INDEX profile_federation ON profile (federation);
         CREATE TABLE profile_lock (iccid TEXT NOT NULL PRIMARY KEY);
         CREATE TABLE answered (client TEXT NOT NULL, request BIGINT NOT NULL, digest TEXT NOT NULL,
           PRIMARY KEY (client, request))",
    ),
}]);
/// How long each figure is measured.
const SPAN: Duration = Duration::from_secs(5);
/// Users, each with a subscription and a request: as many as calls in all, at most.
const USERS: i64 = 200_000;

/// Processor time of this process so far: user and system.
fn processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in parentheses may have spaces; 14th and 15th field of all, in ticks of 10 ms.
    let (_, rest) = stat.rsplit_once(')').unwrap_or_default();
    let ticks = rest.split_whitespace().skip(11).take(2);
    let ticks = ticks.filter_map(|field| field.parse::<u64>().ok());
    Duration::from_millis(ticks.sum::<u64>() * 10)
}

async fn fill(tx: &Tx<'_>) -> Stored<()> {
    for sql in [
        "INSERT INTO account SELECT n, 'user-' || n FROM generate_series(1::BIGINT, $1) n",
        "INSERT INTO federation SELECT n, n, 'token-' || n, repeat('x', 60) FROM generate_series(1::BIGINT, $1) n",
        "INSERT INTO request SELECT n, n, 'accepted', NULL, n FROM generate_series(1::BIGINT, $1) n",
    ] {
        tx.run(sql, params![USERS]).await?;
    }
    Ok(())
}

/// One call.
async fn call(tx: &Tx<'_>, id: i64) -> Stored<()> {
    let (token, iccid) = (format!("token-{id}"), format!("8988{id:015}"));
    let text = "SELECT digest FROM answered WHERE client = $1 AND request = $2";
    if tx.exists(text, params!["the MSP", id]).await? {
        return Ok(());
    }
    let text = "SELECT id FROM account WHERE id = (SELECT account FROM federation WHERE token = $1) \
         FOR NO KEY UPDATE";
    let account = tx
        .first(text, params![&token], |row| row.number::<i64>())
        .await?;
    tx.hold(&account.unwrap_or_default().to_be_bytes()).await;
    let text = "SELECT id, account, token, phone FROM federation WHERE token = $1";
    let federation = tx
        .first(text, params![&token], |row| row.number::<i64>())
        .await?;
    let text = "SELECT id, federation, state, code, changed_at FROM request WHERE id = $1";
    tx.exists(text, params![id]).await?;
    let text = "SELECT iccid, state FROM profile WHERE federation = $1 ORDER BY iccid";
    tx.all(text, params![federation], |row| row.text()).await?;
    let lock = |sql| Statement {
        sql,
        values: vec![Value::from(iccid.clone())],
    };
    tx.lock(&[
        lock("INSERT INTO profile_lock (iccid) VALUES ($1)"),
        lock("DELETE FROM profile_lock WHERE iccid = $1"),
    ])
    .await?;
    let text = "SELECT federation, state FROM profile WHERE iccid = $1";
    tx.all(text, params![&iccid], |row| row.number::<i64>())
        .await?;
    tx.write(&[
        Statement {
            sql: "INSERT INTO profile (iccid, federation, state) VALUES ($1, $2, $3) \
                 ON CONFLICT (iccid, federation) DO UPDATE SET state = excluded.state",
            values: vec![iccid.into(), federation.into(), "expected".into()],
        },
        Statement {
            sql: "INSERT INTO request (id, federation, state, code, changed_at) VALUES ($1, $2, $3, $4, $5) \
                 ON CONFLICT (id) DO UPDATE SET state = excluded.state, code = excluded.code, \
                 changed_at = excluded.changed_at",
            values: vec![
                id.into(),
                federation.into(),
                "answered".into(),
                "LPA:1$smdp.example$0123456789ABCDEF".into(),
                (id + USERS).into(),
            ],
        },
        Statement {
            sql: "INSERT INTO answered (client, request, digest) VALUES ($1, $2, $3)",
            values: vec!["the MSP".into(), id.into(), "0".repeat(64).into()],
        },
    ])
    .await
}

async fn caller(store: Store, together: bool, next: Arc<AtomicI64>, until: Instant) -> Stored<u64> {
    let mut made = 0;
    while Instant::now() < until {
        let id = next.fetch_add(1, Ordering::Relaxed) % USERS + 1;
        let change = async move |tx: &Tx<'_>| call(tx, id).await;
        match together {
            true => store.change_together(change).await?,
            false => store.change(change).await?,
        }
        made += 1;
    }
    Ok(made)
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), StoreError> {
    let Some(server) = Postgres::start_with(&["shared_buffers=128MB"]) else {
        return Ok(());
    };
    let failed = |error: &dyn std::fmt::Display| StoreError::Failed(error.to_string());
    let database = server.url().parse().map_err(|error| failed(&error))?;
    let store = Store::open(&database, &SCHEMA, Options::default()).await?;
    store.change(async |tx: &Tx<'_>| fill(tx).await).await?;
    let next = Arc::new(AtomicI64::new(0));
    println!("          callers  changes/s  commits/s  CPU us/change: here  server  together");
    for (callers, together) in [1, 16, 64]
        .into_iter()
        .flat_map(|n| [(n, false), (n, true)])
    {
        let (used, served, commits) = (processor(), server.cpu(), store.commits());
        let began = Instant::now();
        let tasks = (0..callers)
            .map(|_| {
                let (store, next) = (store.clone(), Arc::clone(&next));
                tokio::spawn(caller(store, together, next, began + SPAN))
            })
            .collect::<Vec<_>>();
        let mut made = 0;
        for task in tasks {
            made += task.await.map_err(|error| failed(&error))??;
        }
        let seconds = began.elapsed().as_secs_f64();
        let each = |used: Duration| used.as_micros() as f64 / made as f64;
        let here = each(processor() - used);
        let server = each(server.cpu().saturating_sub(served));
        println!(
            "{}  {callers:7}  {:9.0}  {:9.0}  {here:19.0}  {server:6.0}  {:8.0}",
            if together { "together" } else { "alone   " },
            made as f64 / seconds,
            (store.commits() - commits) as f64 / seconds,
            here + server,
        );
    }
    store.close().await;
    Ok(())
}
