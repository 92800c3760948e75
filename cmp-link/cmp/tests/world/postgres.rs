//! A throw-away PostgreSQL, and one that refuses a tenth of all commits.
#![allow(
    unused_imports,
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "not every test uses it; a failed expectation is a failed test"
)]

pub use aid_needs::postgres::Postgres;
use tokio_postgres::NoTls;

/// With `AID_POSTGRES=refusing` the tests' transactions are SERIALIZABLE, and the server answers a random tenth of them
/// with 40001 at their commit, as distributed engines do at any time.
const MODE: &str = "AID_POSTGRES";

/// A trigger of every table that is run at the commit, and decides once for each transaction.
const REFUSE: &str = "
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF current_setting('aid.judged', true) IS DISTINCT FROM pg_current_xact_id()::text THEN
            PERFORM set_config('aid.judged', pg_current_xact_id()::text, true);
            IF random() < 0.1 THEN
                RAISE EXCEPTION 'refused for a test' USING ERRCODE = '40001';
            END IF;
        END IF;
        RETURN NULL;
    END $$;
    DO $$
    DECLARE made text;
    BEGIN
        FOR made IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
            EXECUTE format('CREATE CONSTRAINT TRIGGER refuse AFTER INSERT OR UPDATE OR DELETE ON %I \
                DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()', made);
        END LOOP;
    END $$";

/// How the tests' servers name a database that is at this URL.
pub fn location(url: &str) -> String {
    match refuses() {
        true => format!("{url}?isolation=serializable"),
        false => url.to_owned(),
    }
}

/// Whether that is asked for.
pub fn refuses() -> bool {
    std::env::var(MODE).is_ok_and(|mode| mode == "refusing")
}

/// Lets the server refuse commits from now on, where that is asked for. Its tables are there already.
pub async fn refuse(url: &str) {
    if !refuses() {
        return;
    }
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    client.batch_execute(REFUSE).await.unwrap();
    drop(client);
    driver.await.unwrap().unwrap();
}
