//! A start that is killed at any of its statements, and what the next start finds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::kill_at;
use crate::{Database, Options, Schema, Sql, Step, Store, StoreError, Stored, Tx, params};
use aid_needs::postgres::Postgres;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Output};

/// What a child opens; without it the child's test does nothing.
const CHILD: &str = "AID_STORE_TEST_CHILD";
/// At which statement it is killed.
const AT: &str = "AID_STORE_TEST_AT";
/// More statements than there are.
const MOST: u64 = 1000;
/// Changes of a child.
const CHANGES: i64 = 3;

const FIRST: Step = Step {
    version: 1,
    name: "pairs",
    sql: Sql::Both(
        "CREATE TABLE one (id BIGINT NOT NULL PRIMARY KEY);
         CREATE TABLE two (id BIGINT NOT NULL PRIMARY KEY REFERENCES one (id))",
    ),
};

static EARLIER: Schema = Schema::new(&[FIRST]);
static LATER: Schema = Schema::new(&[
    FIRST,
    Step {
        version: 2,
        name: "renamed",
        sql: Sql::Both(
            "CREATE TABLE anew (id BIGINT NOT NULL PRIMARY KEY);
             INSERT INTO anew (id) SELECT id FROM two;
             DROP TABLE two;
             ALTER TABLE anew RENAME TO two",
        ),
    },
    Step {
        version: 3,
        name: "index",
        sql: Sql::Both("CREATE INDEX one_id ON one (id); INSERT INTO one (id) VALUES (-1)"),
    },
]);

async fn work(database: &Database) -> Stored<()> {
    let store = Store::open(database, &LATER, Options::default()).await?;
    store.reserve_log().await?;
    for id in 100..100 + CHANGES {
        let pair = async move |tx: &Tx<'_>| -> Stored<u64> {
            tx.run("INSERT INTO one (id) VALUES ($1)", params![id])
                .await?;
            tx.run("INSERT INTO two (id) VALUES ($1)", params![id])
                .await
        };
        store.change(pair).await?;
        println!("@stored {id}");
    }
    store.check().await?;
    store.close().await;
    println!("@done");
    Ok(())
}

/// Not a test: the process that is killed.
#[tokio::test]
async fn child() {
    let (Ok(database), Ok(at)) = (std::env::var(CHILD), std::env::var(AT)) else {
        return;
    };
    kill_at(at.parse().unwrap());
    work(&database.parse().unwrap()).await.unwrap();
}

fn run(database: &str, at: u64) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "faults::tests::child", "--nocapture"])
        .env(CHILD, database)
        .env(AT, at.to_string());
    command.output().unwrap()
}

/// What a later start finds after a child that may have been killed; yields whether it was.
async fn found(database: &str, output: &Output, before: i64) -> bool {
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let killed = output.status.signal() == Some(9);
    assert!(killed || said.contains("@done"), "{said}{errors}");
    let stored = i64::try_from(said.matches("@stored").count()).unwrap();
    let database: Database = database.parse().unwrap();
    let opened = Store::open(&database, &LATER, Options::default()).await;
    let store = opened.expect("it opens after any kill");
    let count = async |sql: &'static str| {
        let look = async move |tx: &Tx<'_>| tx.first(sql, &[], |row| row.number::<i64>()).await;
        store.read(look).await.unwrap().expect("a number")
    };
    assert_eq!(count("SELECT COUNT(*) FROM schema_step").await, 3);
    assert_eq!(count("SELECT COUNT(*) FROM one WHERE id = -1").await, 1);
    let one = count("SELECT COUNT(*) FROM one WHERE id >= 0").await;
    assert_eq!(
        one,
        count("SELECT COUNT(*) FROM two").await,
        "half a change"
    );
    let made = one - before;
    // One more may be on disk whose answer was not given any more.
    assert!((stored..=stored + 1).contains(&made), "{stored} {made}");
    assert_eq!(store.check().await, Ok(()));
    store.close().await;
    killed
}

/// The content that a later start finds.
async fn earlier(database: &str) -> Result<i64, StoreError> {
    let database: Database = database.parse().unwrap();
    let store = Store::open(&database, &EARLIER, Options::default()).await?;
    let fill = async |tx: &Tx<'_>| -> Stored<u64> {
        tx.run("INSERT INTO one (id) VALUES (1), (2)", &[]).await?;
        tx.run("INSERT INTO two (id) VALUES (1), (2)", &[]).await
    };
    store.change(fill).await?;
    store.close().await;
    Ok(2)
}

#[tokio::test]
async fn a_file_opens_after_a_kill_at_any_statement() {
    for is_first in [true, false] {
        let mut at = 0;
        loop {
            at += 1;
            assert!(at < MOST, "the child does not end");
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("store.sqlite");
            let path = path.to_str().unwrap();
            let before = match is_first {
                true => 0,
                false => earlier(path).await.unwrap(),
            };
            let output = run(path, at);
            if !found(path, &output, before).await {
                break;
            }
        }
        assert!(at > 50, "{at} statements are not all");
    }
}

#[tokio::test]
async fn a_server_serves_after_a_kill_at_any_statement() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let url = postgres.url();
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
        .await
        .unwrap();
    let running = tokio::spawn(connection);
    for is_first in [true, false] {
        let mut at = 0;
        loop {
            at += 1;
            assert!(at < MOST, "the child does not end");
            let anew = "DROP SCHEMA public CASCADE; CREATE SCHEMA public";
            client.batch_execute(anew).await.unwrap();
            let before = match is_first {
                true => 0,
                false => earlier(&url).await.unwrap(),
            };
            let output = run(&url, at);
            if !found(&url, &output, before).await {
                break;
            }
        }
        assert!(at > 15, "{at} statements are not all");
    }
    drop(client);
    running.await.unwrap().unwrap();
}
