use super::*;
use aid_needs::disk::SmallDisk;
use sqlx::any::AnyPoolOptions;
use sqlx::{AssertSqlSafe, Row as _};
use std::pin::pin;
use std::sync::atomic::AtomicU32;
use std::task::Poll;
use std::time::Duration;

/// Pages that the database may have, on every connection: SQLite takes its own limit for a full disk.
type Pages = Arc<AtomicU32>;

/// A database with four tables, in which the writes to the table of the same name go wrong.
const TABLES: [&str; 5] = [
    "CREATE TABLE good (n INTEGER PRIMARY KEY, text TEXT NOT NULL DEFAULT '')",
    // SQLite ends the transaction by itself, as on a full disk.
    "CREATE TABLE ends (n INTEGER); \
     CREATE TRIGGER ends_all BEFORE INSERT ON ends BEGIN SELECT RAISE(ROLLBACK, 'no space'); END",
    // The statement fails, the transaction is still open.
    "CREATE TABLE fails (n INTEGER CHECK (n > 1000))",
    // The commit fails.
    "CREATE TABLE late (n INTEGER REFERENCES good (n) DEFERRABLE INITIALLY DEFERRED)",
    "CREATE TABLE log (n INTEGER)",
];

struct Database {
    _folder: tempfile::TempDir,
    url: String,
    pages: Pages,
    pool: AnyPool,
    writer: Writer,
}

async fn pool(url: &str, connections: u32, pages: &Pages) -> AnyPool {
    sqlx::any::install_default_drivers();
    let pages = Arc::clone(pages);
    AnyPoolOptions::new()
        .max_connections(connections)
        .min_connections(connections)
        .test_before_acquire(false)
        .after_connect(|connection, _| {
            Box::pin(async move {
                for pragma in [
                    "PRAGMA journal_mode = WAL",
                    "PRAGMA synchronous = FULL",
                    "PRAGMA foreign_keys = ON",
                ] {
                    connection.execute(pragma).await?;
                }
                Ok(())
            })
        })
        .before_acquire(move |connection, _| {
            let limit = pages.load(Ordering::SeqCst);
            let limit = AssertSqlSafe(format!("PRAGMA max_page_count = {limit}"));
            Box::pin(async move { connection.execute(limit).await.map(|_| true) })
        })
        .connect(url)
        .await
        .expect("pool")
}

async fn keeper(url: &str) -> AnyConnection {
    let mut keeper = AnyConnection::connect(url).await.expect("connect");
    keeper.execute("SELECT n FROM good").await.expect("read");
    keeper
}

async fn database(connections: u32) -> Database {
    let folder = tempfile::tempdir().expect("folder");
    let url = crate::sqlite_url::url(&folder.path().join("x.sqlite")).expect("url");
    let pages = Pages::new(AtomicU32::new(u32::MAX - 1));
    let pool = pool(&url, connections, &pages).await;
    for sql in TABLES {
        pool.execute(sqlx::raw_sql(sql)).await.expect("table");
    }
    let keeper = keeper(&url).await;
    Database {
        _folder: folder,
        url,
        pages,
        writer: Writer::sqlite(pool.clone(), keeper),
        pool,
    }
}

impl Database {
    /// What a program would find that opens the file now.
    async fn stored(&self) -> Vec<i64> {
        let mut fresh = AnyConnection::connect(&self.url).await.expect("connect");
        let rows = fresh.fetch_all("SELECT n FROM good ORDER BY n").await;
        let rows = rows.expect("rows");
        rows.iter().map(|row| row.get::<i64, _>(0)).collect()
    }

    /// Whether every connection of the pool is at rest, and writes are stored.
    async fn is_sound(&self, n: i64) {
        self.writer
            .begin()
            .await
            .expect("begin")
            .commit()
            .await
            .expect("commit");
        good(n).execute(&self.writer).await.expect("write");
        assert!(self.stored().await.contains(&n), "{n} was acknowledged");
    }
}

fn good(n: i64) -> sqlx::query::Query<'static, Any, sqlx::any::AnyArguments> {
    sqlx::query("INSERT INTO good (n) VALUES ($1)").bind(n)
}

#[tokio::test]
async fn a_transaction_that_fails_at_any_statement_leaves_nothing_and_takes_nothing_more() {
    let db = database(1).await;
    let mut next = 0;
    for failing in [
        "INSERT INTO ends VALUES (1)",
        "INSERT INTO fails VALUES (1)",
        "INSERT INTO nowhere VALUES (1)",
    ] {
        for position in 0..4 {
            let before = db.stored().await;
            let mut transaction = db.writer.begin().await.expect("begin");
            for n in 0..4 {
                if n == position {
                    let failed = (&mut transaction).execute(failing).await;
                    assert!(failed.is_err(), "{failing}");
                } else {
                    let done = good(1000 + n).execute(&mut transaction).await;
                    assert_eq!(done.is_ok(), n < position, "{failing} at {position}: {n}");
                    let read = sqlx::query("SELECT n FROM good");
                    let read = read.fetch_all(&mut transaction).await;
                    assert_eq!(read.is_ok(), n < position);
                }
            }
            assert!(
                transaction.commit().await.is_err(),
                "{failing} at {position}"
            );
            assert_eq!(db.stored().await, before, "{failing} at {position}");
            next += 1;
            db.is_sound(next).await;
        }
    }
}

#[tokio::test]
async fn a_commit_that_fails_is_not_acknowledged() {
    let db = database(1).await;
    for n in 0..3 {
        let mut transaction = db.writer.begin().await.expect("begin");
        good(1000).execute(&mut transaction).await.expect("write");
        let late = (&mut transaction)
            .execute("INSERT INTO late VALUES (77)")
            .await;
        assert!(late.is_ok(), "only the commit finds it");
        assert!(transaction.commit().await.is_err());
        db.is_sound(n).await;
    }
    assert_eq!(db.stored().await, [0, 1, 2]);
}

#[tokio::test]
async fn what_a_statement_yields_is_yielded_after_its_commit() {
    let db = database(1).await;
    // Alone on a connection, SQLite yields the row first, and then finds that it can't commit.
    let late = || sqlx::query("INSERT INTO late VALUES (77) RETURNING n");
    assert!(late().fetch_one(&db.writer).await.is_err());
    assert!(late().fetch_optional(&db.writer).await.is_err());
    assert!(late().fetch_all(&db.writer).await.is_err());
    assert!(late().execute(&db.writer).await.is_err());
    let good = sqlx::query("INSERT INTO good (n) VALUES (5) RETURNING n");
    let row = good.fetch_one(&db.writer).await.expect("row");
    assert_eq!(row.get::<i64, _>(0), 5);
    assert_eq!(db.stored().await, [5]);
}

#[tokio::test]
async fn a_transaction_that_is_dropped_is_rolled_back_and_its_connection_used_again() {
    let db = database(1).await;
    let mut transaction = db.writer.begin().await.expect("begin");
    good(1).execute(&mut transaction).await.expect("write");
    drop(transaction);
    db.is_sound(2).await;
    assert_eq!(db.stored().await, [2]);
    assert_eq!(db.writer.shared.failures.load(Ordering::SeqCst), 0);
}

/// Gives a future up after it was woken so often.
async fn abandoned<F: Future>(future: F, wakes: u32) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut polls = 0;
    std::future::poll_fn(|context| {
        if polls == wakes {
            return Poll::Ready(None);
        }
        polls += 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_is_abandoned_at_any_await_happened_whole_or_not_at_all() {
    let db = database(2).await;
    for n in 0..60 {
        let write = async {
            let mut transaction = db.writer.begin().await?;
            good(2 * n).execute(&mut transaction).await?;
            good(2 * n + 1).execute(&mut transaction).await?;
            transaction.commit().await
        };
        let done = abandoned(write, n as u32).await;
        // Waits for the lock of whatever is still being ended.
        let mut after = db.writer.begin().await.expect("begin");
        let sql = sqlx::query("INSERT INTO log VALUES ($1)").bind(n);
        sql.execute(&mut after).await.expect("write");
        after.commit().await.expect("commit");
        let stored = db.stored().await;
        let (one, two) = (stored.contains(&(2 * n)), stored.contains(&(2 * n + 1)));
        assert_eq!(one, two, "half of {n}");
        if let Some(done) = done {
            done.expect("nothing is wrong");
            assert!(one && two, "{n} was acknowledged");
        }
    }
    let mut fresh = AnyConnection::connect(&db.url).await.expect("connect");
    let logged = fresh
        .fetch_one("SELECT COUNT(*) FROM log")
        .await
        .expect("row");
    assert_eq!(logged.get::<i64, _>(0), 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stores_what_it_acknowledges_and_is_over_when_there_is_space() {
    for round in 0..3_i64 {
        // A new one each time: a check leaves free pages behind.
        let db = database(4).await;
        db.writer.check().await.expect("there is space");
        db.pages.store(1, Ordering::SeqCst);
        let writes = (0..40_i64).map(|n| {
            let writer = db.writer.clone();
            tokio::spawn(async move {
                let (first, second) = (round * 1000 + 2 * n, round * 1000 + 2 * n + 1);
                let mut transaction = writer.begin().await.ok()?;
                good(first).execute(&mut transaction).await.ok()?;
                // Too long for the pages that are there.
                let long = sqlx::query("INSERT INTO good VALUES ($1, $2)").bind(second);
                let long = long.bind("x".repeat(usize::try_from(n % 3).ok()? * 100_000));
                long.execute(&mut transaction).await.ok()?;
                transaction.commit().await.ok()?;
                Some([first, second])
            })
        });
        let mut acknowledged = Vec::new();
        for write in writes.collect::<Vec<_>>() {
            acknowledged.extend(write.await.expect("task"));
        }
        let acknowledged: Vec<i64> = acknowledged.into_iter().flatten().collect();
        let stored = db.stored().await;
        let of_round = stored.iter().filter(|n| *n / 1000 == round).count();
        assert_eq!(of_round, acknowledged.len(), "nothing is there by halves");
        assert!(acknowledged.iter().all(|n| stored.contains(n)));
        assert!(acknowledged.len() < 80, "the disk was full");
        assert!(db.writer.check().await.is_err(), "a large write would fail");
        db.pages.store(u32::MAX - 1, Ordering::SeqCst);
        db.writer.check().await.expect("there is space again");
        for n in 0..8 {
            db.is_sound(round * 1000 + 500 + n).await;
        }
    }
}

#[tokio::test]
async fn a_check_writes_each_time_and_asks_for_more_after_a_failure() {
    let db = database(1).await;
    let count = async || {
        let mut fresh = AnyConnection::connect(&db.url).await.expect("connect");
        let row = fresh
            .fetch_one("SELECT count, length(filler) FROM write_check")
            .await;
        let row = row.expect("row");
        (row.get::<i64, _>(0), row.get::<i64, _>(1))
    };
    for n in 1..3 {
        db.writer.check().await.expect("check");
        assert_eq!(count().await, (n, 32 * 1024));
    }
    assert!(
        (&db.writer)
            .execute("INSERT INTO ends VALUES (1)")
            .await
            .is_err()
    );
    db.writer.check().await.expect("check");
    assert_eq!(count().await, (3, 1024 * 1024));
    db.writer.check().await.expect("check");
    assert_eq!(count().await, (4, 32 * 1024));
}

/// What versions before this one did at each start, and where a kill left them.
const OLD_RESERVE: [&str; 4] = [
    "CREATE TABLE log_reserve (filler BLOB)",
    "INSERT INTO log_reserve VALUES (zeroblob(524288))",
    "DROP TABLE log_reserve",
    "PRAGMA wal_checkpoint(RESTART)",
];

#[tokio::test]
async fn the_log_is_reserved_whatever_an_earlier_start_left() {
    for done in 0..=OLD_RESERVE.len() {
        let db = database(2).await;
        for sql in &OLD_RESERVE[..done] {
            db.pool.execute(*sql).await.expect("old");
        }
        for _ in 0..2 {
            db.writer.reserve_log().await.expect("reserve");
        }
        let left = "SELECT COUNT(*) FROM sqlite_schema WHERE name = 'log_reserve'";
        let left = db.pool.fetch_one(left).await.expect("row");
        assert_eq!(left.get::<i64, _>(0), 0);
        db.is_sound(1).await;
    }
}

#[tokio::test]
async fn a_reservation_that_ends_at_any_await_can_be_made_again() {
    let db = database(2).await;
    for polls in 0..40 {
        let _ = abandoned(db.writer.reserve_log(), polls).await;
        db.writer.reserve_log().await.expect("reserve");
    }
    db.is_sound(1).await;
}

#[tokio::test]
async fn a_reservation_that_finds_no_space_can_be_made_again() {
    let db = database(2).await;
    for limit in [1, 20, 60, 120] {
        db.pages.store(limit, Ordering::SeqCst);
        let _ = db.writer.reserve_log().await;
        db.pages.store(u32::MAX - 1, Ordering::SeqCst);
        db.writer.reserve_log().await.expect("reserve");
        db.is_sound(i64::from(limit)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_really_full_is_survived() {
    let Some(disk) = SmallDisk::mount("6m") else {
        return;
    };
    let url = crate::sqlite_url::url(&disk.path().join("x.sqlite")).expect("url");
    let pages = Pages::new(AtomicU32::new(u32::MAX - 1));
    let pool = pool(&url, 4, &pages).await;
    for sql in TABLES {
        pool.execute(sqlx::raw_sql(sql)).await.expect("table");
    }
    let writer = Writer::sqlite(pool.clone(), keeper(&url).await);
    writer.reserve_log().await.expect("reserve");
    let db = Database {
        _folder: tempfile::tempdir().expect("folder"),
        url,
        pages,
        pool,
        writer,
    };
    for round in 0..3_i64 {
        // Whatever is left goes to somebody else.
        disk.fill();
        let mut acknowledged = Vec::new();
        let mut failed = 0;
        for n in 0.. {
            let writes = (0..8_i64).map(|i| {
                let (writer, n) = (db.writer.clone(), round * 1_000_000 + n * 16 + 2 * i);
                tokio::spawn(async move {
                    let mut transaction = writer.begin().await.ok()?;
                    good(n).execute(&mut transaction).await.ok()?;
                    let long = sqlx::query("INSERT INTO good VALUES ($1, $2)").bind(n + 1);
                    let long = long.bind("x".repeat(20_000));
                    long.execute(&mut transaction).await.ok()?;
                    transaction.commit().await.ok()?;
                    Some([n, n + 1])
                })
            });
            for write in writes.collect::<Vec<_>>() {
                match write.await.expect("task") {
                    Some(pair) => acknowledged.extend(pair),
                    None => failed += 1,
                }
            }
            if failed > 20 {
                break;
            }
        }
        assert!(db.writer.check().await.is_err(), "the disk is full");
        db.pool
            .fetch_all("SELECT n FROM good")
            .await
            .expect("what is there can be read");
        disk.free();
        db.writer.check().await.expect("there is space again");
        let stored = db.stored().await;
        let of_round: Vec<i64> = stored
            .into_iter()
            .filter(|n| n / 1_000_000 == round)
            .collect();
        acknowledged.sort_unstable();
        assert_eq!(of_round, acknowledged, "round {round}");
        db.is_sound(round * 1_000_000 + 999_999).await;
        sqlx::query("DELETE FROM good")
            .execute(&db.writer)
            .await
            .expect("delete");
    }
    let close = db.writer.close();
    tokio::time::timeout(Duration::from_secs(60), close)
        .await
        .expect("closed");
    assert!(
        !disk.path().join("x.sqlite-wal").exists(),
        "the log is folded in"
    );
}
