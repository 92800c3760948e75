//! Faults under SQLite: a full disk, a limit of file sizes, and files that are not databases.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stage;

use aid_needs::disk::{Fault, SmallDisk};
use aid_store::{Database, Options, Store, StoreError, Stored, Tx, Value};
use futures_util::future::{BoxFuture, join_all};
use stage::{PATIENCE, Refusal, SCHEMA, add, begin, child, file, ids, open, until};
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Instant;

fn is_full<T>(answer: &Result<T, Refusal>) -> bool {
    matches!(answer, Err(Refusal::Store(StoreError::Full(_))))
}

/// Names the file of a child; without it the child's test does nothing.
const CHILD: &str = "AID_STORE_TEST_CHILD";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_reported_and_the_store_goes_on_with_space() {
    let Some(disk) = SmallDisk::mount("8m") else {
        return;
    };
    let database = file(disk.path());
    let store = open(&database).await;
    store.reserve_log().await.unwrap();
    let mut next = 0_i64;
    let mut acknowledged = Vec::new();
    for _ in 0..3 {
        assert_eq!(store.check().await, Ok(()));
        for _ in 0..50 {
            acknowledged.push(add(&store, next).await.unwrap());
            next += 1;
        }
        disk.fill();
        // What the log has room for is still stored, and so it is acknowledged.
        let mut refused = 0;
        while refused < 200 {
            let batch = (next..next + 50).map(|id| add(&store, id));
            next += 50;
            for answer in join_all(batch).await {
                match answer {
                    Ok(id) => acknowledged.push(id),
                    Err(_) => {
                        assert!(is_full(&answer), "{answer:?}");
                        refused += 1;
                    }
                }
            }
        }
        let error = store.check().await.unwrap_err();
        assert!(matches!(&error, StoreError::Full(_)), "{error}");
        assert!(error.to_string().contains("full"), "{error}");
        acknowledged.sort_unstable();
        assert_eq!(ids(&store).await, acknowledged, "readers go on");
        disk.free();
        acknowledged.push(add(&store, next).await.unwrap());
        next += 1;
    }
    store.close().await;
    let store = open(&database).await;
    acknowledged.sort_unstable();
    assert_eq!(ids(&store).await, acknowledged);
    store.close().await;
}

#[tokio::test]
async fn one_that_is_too_large_takes_no_small_one_along() {
    let Some(disk) = SmallDisk::mount("8m") else {
        return;
    };
    let database = file(disk.path());
    let store = open(&database).await;
    add(&store, -1).await.unwrap();
    disk.fill();
    let filler = std::fs::File::options()
        .write(true)
        .open(disk.path().join("filler"))
        .unwrap();
    let size = filler.metadata().unwrap().len();
    filler.set_len(size - 1024 * 1024).unwrap();
    drop(filler);
    let large = store.change(async |tx: &Tx<'_>| {
        let bytes = Value::from(vec![7_u8; 3 * 1024 * 1024]);
        let text = "INSERT INTO item (id, bytes) VALUES (1000, $1)";
        tx.run(text, &[bytes]).await?;
        Ok::<_, Refusal>(1000_i64)
    });
    let Database::Sqlite(path) = &database else {
        panic!("a file")
    };
    let lock = rusqlite::Connection::open(path).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut changes: Vec<BoxFuture<'_, _>> = Vec::new();
    changes.extend((0_i64..20).map(|id| Box::pin(add(&store, id)) as BoxFuture<'_, _>));
    changes.push(Box::pin(large));
    changes.extend((20_i64..40).map(|id| Box::pin(add(&store, id)) as BoxFuture<'_, _>));
    for change in &mut changes {
        begin(change).await;
    }
    lock.execute_batch("ROLLBACK").unwrap();
    let answers = join_all(changes).await;
    let small = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(small, 40, "{answers:?}");
    assert!(answers.get(20).is_some_and(is_full));
    assert_eq!(ids(&store).await, (-1..40).collect::<Vec<_>>());
    // It failed, so now a check asks for more room than there is.
    assert!(store.check().await.is_err());
    disk.free();
    assert_eq!(store.check().await, Ok(()));
}

#[tokio::test]
async fn nothing_is_refused_for_what_a_full_disk_did_not_store() {
    let Some(disk) = SmallDisk::mount("4m") else {
        return;
    };
    let database = file(disk.path());
    let store = open(&database).await;
    disk.fill();
    let mut next = 0;
    while add(&store, next).await.is_ok() {
        next += 1;
    }
    let unless_there = store.change(async |tx: &Tx<'_>| {
        if tx.exists("SELECT 1 FROM item WHERE id < 0", &[]).await? {
            return Err(Refusal::No("there is one".into()));
        }
        stage::insert(tx, -2).await
    });
    let Database::Sqlite(path) = &database else {
        panic!("a file")
    };
    let lock = rusqlite::Connection::open(path).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut changes: Vec<BoxFuture<'_, _>> = vec![
        // The writer waits with this one; the others make a batch.
        Box::pin(add(&store, -4)),
        Box::pin(add(&store, -1)),
        Box::pin(add(&store, -3)),
        Box::pin(unless_there),
    ];
    for change in &mut changes {
        begin(change).await;
    }
    lock.execute_batch("ROLLBACK").unwrap();
    for answer in join_all(changes).await {
        assert!(is_full(&answer), "{answer:?}");
    }
    assert_eq!(ids(&store).await, (0..next).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_disk_that_is_full_at_the_start_is_reported() {
    let Some(disk) = SmallDisk::mount("4m") else {
        return;
    };
    let database = file(disk.path());
    disk.fill();
    let error = Store::open(&database, &SCHEMA, Options::default()).await;
    let error = error.unwrap_err();
    assert!(matches!(error, StoreError::Full(_)), "{error}");
    disk.free();
    let store = open(&database).await;
    add(&store, 1).await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn a_read_only_disk_is_reported() {
    let Some(disk) = SmallDisk::mount("4m") else {
        return;
    };
    let database = file(disk.path());
    let store = open(&database).await;
    add(&store, 1).await.unwrap();
    store.close().await;
    let remount = |mode: &str| {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,{mode}")]);
        assert!(mount.arg(disk.path()).status().unwrap().success());
    };
    remount("ro");
    let error = Store::open(&database, &SCHEMA, Options::default()).await;
    let text = error.unwrap_err().to_string();
    assert!(text.contains("store.sqlite"), "{text}");
    assert!(text.to_lowercase().contains("read-only"), "{text}");
    remount("rw");
    let store = open(&database).await;
    assert_eq!(ids(&store).await, [1]);
}

#[tokio::test]
async fn what_is_no_database_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let noise = folder.path().join("noise");
    std::fs::write(&noise, [7; 8192]).unwrap();
    let below = folder.path().join("noise/below");
    let absent = folder.path().join("absent/store.sqlite");
    for path in [folder.path(), &noise, &below, &absent] {
        let opened = Store::open(&Database::from(path), &SCHEMA, Options::default()).await;
        let error = opened.unwrap_err();
        assert!(matches!(error, StoreError::Open { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(path.to_str().unwrap()), "{text}");
    }
}

#[tokio::test]
async fn a_name_that_sqlite_takes_for_something_else_is_a_file() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["file:x?mode=memory", ":memory:", "a?b#c", "ü $1 %20"] {
        let path = folder.path().join(name);
        let store = open(&Database::from(&path)).await;
        add(&store, 1).await.unwrap();
        assert_eq!(ids(&store).await, [1]);
        store.close().await;
        assert!(path.is_file(), "{name}");
    }
}

#[tokio::test]
async fn a_reader_that_fails_does_not_spoil_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&file(folder.path())).await;
    add(&store, 1).await.unwrap();
    for _ in 0..20 {
        let fails = async |tx: &Tx<'_>| -> Stored<bool> { tx.exists("SELECT nothing", &[]).await };
        assert!(store.read(fails).await.is_err());
        let waits = async |_: &Tx<'_>| -> Stored<()> {
            tokio::task::yield_now().await;
            Ok(())
        };
        assert!(store.read(waits).await.is_err());
        // Its caller goes while it reads.
        let look = async |tx: &Tx<'_>| tx.exists("SELECT 1 FROM item", &[]).await;
        let mut gone = Box::pin(store.read(look));
        let _ = futures_util::FutureExt::now_or_never(gone.as_mut());
        drop(gone);
        assert_eq!(ids(&store).await, [1]);
    }
}

/// Not a test: a process that stores what it can, and says what it has stored.
#[tokio::test]
async fn the_child() {
    let Ok(path) = std::env::var(CHILD) else {
        return;
    };
    let store = open(&Database::Sqlite(path.into())).await;
    for id in 0.. {
        match add(&store, id).await {
            Ok(id) => println!("@{id}"),
            Err(Refusal::Store(error)) => println!("@! {error}"),
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_is_acknowledged_around_failing_writes_survives_a_kill() {
    let Some(fault) = Fault::limit() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let database = file(folder.path());
    let path = folder.path().join("store.sqlite");
    let mut process = child("the_child", &[(CHILD, path.to_str().unwrap())])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (sender, lines) = mpsc::channel();
    let out = BufReader::new(process.stdout.take().unwrap());
    let reader = std::thread::spawn(move || {
        for line in out.lines().map_while(Result::ok) {
            // The test harness says something, too.
            if let Some((_, said)) = line.split_once('@') {
                let _ = sender.send(said.to_owned());
            }
        }
    });
    let mut acknowledged: Vec<i64> = Vec::new();
    let mut failures = 0;
    let mut wait = |count: usize, of_failures: bool| {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = 0;
        while seen < count {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = lines.recv_timeout(left).expect("the child goes on");
            match line.strip_prefix('!') {
                Some(error) => {
                    assert!(error.contains("full") || error.contains("I/O"), "{error}");
                    failures += 1;
                    seen += usize::from(of_failures);
                }
                None => {
                    acknowledged.push(line.trim().parse().unwrap());
                    seen += usize::from(!of_failures);
                }
            }
        }
    };
    for _ in 0..3 {
        wait(50, false);
        fault.begin(process.id());
        wait(20, true);
        fault.end(process.id());
    }
    wait(50, false);
    process.kill().unwrap();
    process.wait().unwrap();
    reader.join().unwrap();
    assert!(failures >= 60);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = open(&database).await;
        let there = ids(&store).await;
        for id in &acknowledged {
            assert!(there.binary_search(id).is_ok(), "{id} was acknowledged");
        }
        until("it can store", async || store.check().await.is_ok()).await;
    });
}
