//! Tables, errors and servers of the tests.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test; not every test uses everything"
)]

use aid_needs::postgres::Postgres;
use aid_store::{Database, Options, Schema, Sql, Step, Store, StoreError, Tx, params};
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio_postgres::{Client, NoTls};

/// Longest time that anything is waited for.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub static SCHEMA: Schema = Schema::new(&[Step {
    version: 1,
    name: "rows",
    sql: Sql::Each {
        sqlite: "CREATE TABLE item (id BIGINT NOT NULL PRIMARY KEY, name TEXT UNIQUE, \
                   count BIGINT NOT NULL DEFAULT 0, bytes BLOB, uuid BLOB);
                 CREATE TABLE part (id BIGINT NOT NULL PRIMARY KEY, item BIGINT NOT NULL \
                   REFERENCES item (id) DEFERRABLE INITIALLY DEFERRED)",
        postgres: "CREATE TABLE item (id BIGINT NOT NULL PRIMARY KEY, name TEXT UNIQUE, \
                   count BIGINT NOT NULL DEFAULT 0, bytes BYTEA, uuid UUID);
                   CREATE TABLE part (id BIGINT NOT NULL PRIMARY KEY, item BIGINT NOT NULL \
                   REFERENCES item (id) DEFERRABLE INITIALLY DEFERRED)",
    },
}]);

/// What a decision of a test yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    Store(StoreError),
    No(String),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

pub async fn open(database: &Database) -> Store {
    open_as(database, Options::default()).await
}

pub async fn open_as(database: &Database, options: Options) -> Store {
    Store::open(database, &SCHEMA, options).await.unwrap()
}

pub fn file(folder: &Path) -> Database {
    Database::Sqlite(folder.join("store.sqlite"))
}

pub fn server(postgres: &Postgres) -> Database {
    postgres.url().parse().unwrap()
}

/// Runs a test with a server, where there is one.
pub fn with_server<F: Future<Output = ()>>(test: impl FnOnce(Arc<Postgres>) -> F) {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(test(Arc::new(postgres)));
}

/// A connection of the test's own.
pub async fn client(postgres: &Postgres) -> Client {
    let connected = tokio_postgres::connect(&postgres.url(), NoTls).await;
    let (client, connection) = connected.unwrap();
    tokio::spawn(connection);
    client
}

/// How many wait for a lock.
pub async fn waiting(client: &Client) -> i64 {
    let text = "SELECT COUNT(*) FROM pg_locks WHERE NOT granted";
    client.query_one(text, &[]).await.unwrap().get(0)
}

/// Runs a test on a new file, and on a new server where there is one.
pub fn on_both<F: Future<Output = ()>>(test: impl Fn(Store) -> F) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    runtime.block_on(async { test(open(&file(folder.path())).await).await });
    if let Some(postgres) = Postgres::start() {
        runtime.block_on(async { test(open(&server(&postgres)).await).await });
    }
}

pub async fn insert(tx: &Tx<'_>, id: i64) -> Result<i64, Refusal> {
    tx.run("INSERT INTO item (id) VALUES ($1)", params![id])
        .await?;
    Ok(id)
}

/// Stores an item and yields its number.
pub async fn add(store: &Store, id: i64) -> Result<i64, Refusal> {
    store.change(async move |tx| insert(tx, id).await).await
}

/// The ids of all items.
pub async fn ids(store: &Store) -> Vec<i64> {
    let all = async |tx: &Tx<'_>| {
        tx.all("SELECT id FROM item ORDER BY id", &[], |row| row.number())
            .await
    };
    store.read(all).await.unwrap()
}

pub async fn count(store: &Store, id: i64) -> i64 {
    let one = async move |tx: &Tx<'_>| {
        let text = "SELECT count FROM item WHERE id = $1";
        tx.first(text, params![id], |row| row.number()).await
    };
    store.read(one).await.unwrap().expect("the item is there")
}

/// Lets a future begin, once.
pub async fn begin<F: Future + ?Sized>(future: &mut Pin<Box<F>>) {
    // Without the share of time that tokio gives to a task: a queue with room would make it wait.
    let future = &mut std::pin::pin!(tokio::task::coop::unconstrained(future.as_mut()));
    std::future::poll_fn(|context| {
        assert!(future.as_mut().poll(context).is_pending(), "it waits");
        Poll::Ready(())
    })
    .await;
}

/// Waits until something is so.
pub async fn until<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A test of this binary that runs in a process of its own; its variables say what it does.
pub fn child(test: &str, variables: &[(&str, &str)]) -> std::process::Command {
    // The limit of file sizes is an error to it, and no signal.
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .envs(variables.iter().copied());
    command
}
