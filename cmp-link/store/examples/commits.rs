//! Changes a second and processor time of each, one row a change, on a SQLite file in the current folder.
//!
//! `cargo run --release -p aid-store --example commits`
#![allow(clippy::print_stdout, reason = "it prints its figures")]

use aid_store::{Database, Options, Schema, Sql, Step, Store, StoreError, Stored, Tx, params};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

static SCHEMA: Schema = Schema::new(&[Step {
    version: 1,
    name: "rows",
    sql: Sql::Both("CREATE TABLE item (id BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL)"),
}]);
/// How long each figure is measured.
const SPAN: Duration = Duration::from_secs(5);

/// Processor time of this process so far: user and system.
fn processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in parentheses may have spaces; 14th and 15th field of all, in ticks of 10 ms.
    let (_, rest) = stat.rsplit_once(')').unwrap_or_default();
    let ticks = rest.split_whitespace().skip(11).take(2);
    let ticks = ticks.filter_map(|field| field.parse::<u64>().ok());
    Duration::from_millis(ticks.sum::<u64>() * 10)
}

async fn caller(store: Store, next: Arc<AtomicI64>, until: Instant) -> Stored<u64> {
    let mut made = 0;
    while Instant::now() < until {
        let id = next.fetch_add(1, Ordering::Relaxed);
        let change = async move |tx: &Tx<'_>| -> Stored<u64> {
            let text = "INSERT INTO item (id, name) VALUES ($1, $2)";
            tx.run(text, params![id, "a name of usual length"]).await
        };
        store.change(change).await?;
        made += 1;
    }
    Ok(made)
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), StoreError> {
    let failed = |error: std::io::Error| StoreError::Failed(error.to_string());
    let folder = tempfile::tempdir_in(".").map_err(failed)?;
    let path = folder.path().join("commits.sqlite");
    let store = Store::open(&Database::from(&path), &SCHEMA, Options::default()).await?;
    store.reserve_log().await?;
    let next = Arc::new(AtomicI64::new(0));
    println!("callers  changes/s  commits/s  CPU us/change");
    for callers in [1, 16, 64] {
        let (began, used, commits) = (Instant::now(), processor(), store.commits());
        let until = began + SPAN;
        let tasks = (0..callers)
            .map(|_| tokio::spawn(caller(store.clone(), Arc::clone(&next), until)))
            .collect::<Vec<_>>();
        let mut made = 0;
        for task in tasks {
            let task = task.await;
            made += task.map_err(|e| StoreError::Failed(e.to_string()))??;
        }
        let seconds = began.elapsed().as_secs_f64();
        let used = (processor() - used).as_micros();
        let (changes, commits) = (made as f64 / seconds, (store.commits() - commits) as f64);
        println!(
            "{callers:7}  {changes:9.0}  {:9.0}  {:13.1}",
            commits / seconds,
            used as f64 / made as f64
        );
    }
    store.close().await;
    Ok(())
}
