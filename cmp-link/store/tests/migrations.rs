//! From whatever is there to today's tables.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stage;

use aid_needs::postgres::Postgres;
use aid_store::{Database, Options, Schema, Sql, Step, Store, StoreError, Tx};
use futures_util::future::join_all;
use stage::{file, server};

const FIRST: Step = Step {
    version: 1,
    name: "parents",
    sql: Sql::Both("CREATE TABLE parent (id BIGINT NOT NULL PRIMARY KEY)"),
};
const SECOND: Step = Step {
    version: 2,
    name: "children",
    sql: Sql::Both(
        "CREATE TABLE child (id BIGINT NOT NULL PRIMARY KEY, parent BIGINT NOT NULL REFERENCES parent (id));
         INSERT INTO parent (id) VALUES (1);
         INSERT INTO child (id, parent) VALUES (1, 1)",
    ),
};
const HALF: Step = Step {
    sql: Sql::Both(
        "CREATE TABLE child (id BIGINT NOT NULL PRIMARY KEY); INSERT INTO absent (id) VALUES (1)",
    ),
    ..SECOND
};
/// Loses the parent of a child.
const BREAKS: Step = Step {
    version: 3,
    name: "breaks",
    sql: Sql::Both("DELETE FROM parent"),
};

static ONE: Schema = Schema::new(&[FIRST]);
static TWO: Schema = Schema::new(&[FIRST, SECOND]);
static INTERRUPTED: Schema = Schema::new(&[FIRST, HALF]);
static BROKEN: Schema = Schema::new(&[FIRST, SECOND, BREAKS]);

async fn open(database: &Database, schema: &'static Schema) -> Result<Store, StoreError> {
    Store::open(database, schema, Options::default()).await
}

async fn rows(store: &Store, sql: &'static str) -> i64 {
    let count = async move |tx: &Tx<'_>| tx.first(sql, &[], |row| row.number()).await;
    store.read(count).await.unwrap().expect("a number")
}

async fn steps(store: &Store) -> i64 {
    rows(store, "SELECT COUNT(*) FROM schema_step").await
}

/// Runs a test with a file, and with a server where there is one.
fn on_both<F: Future<Output = ()>>(test: impl Fn(Database) -> F) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    runtime.block_on(test(file(folder.path())));
    if let Some(postgres) = Postgres::start() {
        runtime.block_on(test(server(&postgres)));
    }
}

#[test]
fn steps_are_made_once() {
    on_both(async |database| {
        open(&database, &ONE).await.unwrap().close().await;
        for _ in 0..3 {
            let store = open(&database, &TWO).await.unwrap();
            assert_eq!(steps(&store).await, 2);
            assert_eq!(rows(&store, "SELECT COUNT(*) FROM child").await, 1);
            store.close().await;
        }
    });
}

#[test]
fn a_step_that_failed_halfway_is_made_again() {
    on_both(async |database| {
        for _ in 0..2 {
            let error = open(&database, &INTERRUPTED).await.unwrap_err();
            assert!(error.to_string().contains("absent"), "{error}");
        }
        let store = open(&database, &TWO).await.unwrap();
        assert_eq!(rows(&store, "SELECT COUNT(*) FROM child").await, 1);
        store.close().await;
    });
}

#[test]
fn a_newer_database_is_refused_and_stays_as_it_is() {
    on_both(async |database| {
        // Its second step is one that we know, so that there would be something to do.
        static NEWER: Schema = Schema::new(&[
            FIRST,
            Step {
                version: 99,
                name: "to come",
                sql: Sql::Both("CREATE TABLE future (id BIGINT)"),
            },
        ]);
        open(&database, &NEWER).await.unwrap().close().await;
        let error = open(&database, &TWO).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("99") && text.contains("newer"), "{text}");
        let store = open(&database, &NEWER).await.unwrap();
        assert_eq!(steps(&store).await, 2, "nothing was made");
        store.close().await;
    });
}

#[test]
fn several_start_at_once() {
    on_both(async |database| {
        let starts = (0..8).map(|_| open(&database, &TWO));
        for store in join_all(starts).await {
            let store = store.unwrap();
            assert_eq!(steps(&store).await, 2);
            assert_eq!(rows(&store, "SELECT COUNT(*) FROM child").await, 1);
        }
    });
}

#[test]
fn several_start_at_once_on_a_serializable_server() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let options = Options {
            serializable: true,
            ..Options::default()
        };
        let database = server(&postgres);
        let starts = (0..2).map(|_| Store::open(&database, &TWO, options));
        for store in join_all(starts).await {
            assert_eq!(steps(&store.unwrap()).await, 2);
        }
    });
}

#[test]
fn a_reference_that_a_step_breaks_is_an_error() {
    on_both(async |database| {
        open(&database, &TWO).await.unwrap().close().await;
        for _ in 0..2 {
            let error = open(&database, &BROKEN).await.unwrap_err();
            let text = error.to_string();
            assert!(text.contains("child") && text.contains("parent"), "{text}");
        }
        let store = open(&database, &TWO).await.unwrap();
        assert_eq!(rows(&store, "SELECT COUNT(*) FROM parent").await, 1);
        store.close().await;
    });
}

/// What earlier releases noted, with another library.
const EARLIER: &str =
    "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL, \
     installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL, \
     checksum TEXT NOT NULL, execution_time BIGINT NOT NULL);
     INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
       VALUES (1, 'parents', TRUE, 'x', 1);
     CREATE TABLE parent (id BIGINT NOT NULL PRIMARY KEY);
     INSERT INTO parent (id) VALUES (77)";
const FAR_AHEAD: &str = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
     VALUES (50, 'to come', TRUE, 'x', 1)";
/// A step of which it is not known how far it came, so it is made again.
const UNFINISHED: &str = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
     VALUES (2, 'children', FALSE, 'x', -1)";

async fn as_it_was(database: &Database, texts: &[&str], postgres: Option<&Postgres>) {
    let Some(postgres) = postgres else {
        let connection = rusqlite::Connection::open(database.to_string()).unwrap();
        for text in texts {
            connection.execute_batch(text).unwrap();
        }
        return;
    };
    let url = postgres.url();
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
        .await
        .unwrap();
    let running = tokio::spawn(connection);
    for text in texts {
        client.batch_execute(text).await.unwrap();
    }
    drop(client);
    running.await.unwrap().unwrap();
}

async fn taken_over(database: Database, postgres: Option<&Postgres>) {
    as_it_was(&database, &[EARLIER, UNFINISHED], postgres).await;
    for _ in 0..2 {
        let store = open(&database, &TWO).await.unwrap();
        assert_eq!(steps(&store).await, 2);
        let old = "SELECT COUNT(*) FROM parent WHERE id = 77";
        assert_eq!(rows(&store, old).await, 1);
        assert_eq!(rows(&store, "SELECT COUNT(*) FROM child").await, 1);
        store.close().await;
    }
}

async fn refused(database: Database, postgres: Option<&Postgres>) {
    as_it_was(&database, &[EARLIER, FAR_AHEAD], postgres).await;
    let error = open(&database, &TWO).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("50") && text.contains("newer"), "{text}");
    // Nothing was changed, so that its own version goes on with it.
    as_it_was(
        &database,
        &["CREATE TABLE schema_step (version BIGINT)"],
        postgres,
    )
    .await;
}

#[test]
fn a_database_of_earlier_releases_is_taken_over() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    runtime.block_on(taken_over(file(folder.path()), None));
    if let Some(postgres) = Postgres::start() {
        runtime.block_on(taken_over(server(&postgres), Some(&postgres)));
    }
}

#[test]
fn a_newer_database_of_earlier_releases_is_refused() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    runtime.block_on(refused(file(folder.path()), None));
    if let Some(postgres) = Postgres::start() {
        runtime.block_on(refused(server(&postgres), Some(&postgres)));
    }
}

/// The first `most` tables of this name can't be made: another instance has just made what this error names.
fn meddler(code: &str, most: u32) -> String {
    format!(
        "CREATE SEQUENCE meddled;
         CREATE FUNCTION meddle() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
           IF nextval('meddled') <= {most} THEN
             RAISE EXCEPTION 'already there' USING ERRCODE = '{code}';
           END IF;
         END $$;
         CREATE EVENT TRIGGER meddler ON ddl_command_start WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION meddle()"
    )
}

#[test]
fn what_another_instance_has_just_made_is_looked_for_again() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // A table, the type of a table's rows, a row of a catalogue.
    for code in ["42P07", "42710", "23505"] {
        for (most, opens) in [(2, true), (1000, false)] {
            let Some(postgres) = Postgres::start() else {
                return;
            };
            let database = server(&postgres);
            runtime.block_on(async {
                let meddler = meddler(code, most);
                as_it_was(&database, &[&meddler], Some(&postgres)).await;
                let opened = open(&database, &TWO).await;
                let tries = "SELECT last_value FROM meddled";
                let tries = async |store: &Store| rows(store, tries).await;
                match opened {
                    Ok(store) => {
                        assert!(opens, "{code}");
                        assert!(tries(&store).await > 2);
                        assert_eq!(steps(&store).await, 2);
                    }
                    // It does not go on for ever.
                    Err(error) => assert!(!opens, "{code}: {error}"),
                }
            });
        }
    }
}

#[test]
fn steps_that_do_not_ascend_are_refused() {
    static BACKWARDS: [&[Step]; 4] = [
        &[SECOND, FIRST],
        &[FIRST, FIRST],
        &[FIRST, SECOND, SECOND],
        &[FIRST, BREAKS, SECOND],
    ];
    for steps in BACKWARDS {
        assert!(std::panic::catch_unwind(|| Schema::new(steps)).is_err());
    }
    for steps in [&[][..], &[FIRST], &[FIRST, BREAKS]] {
        assert!(std::panic::catch_unwind(|| Schema::new(steps)).is_ok());
    }
}
