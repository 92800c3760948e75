//! A disk on which nothing can be written, for a while; and starts that are cut short at any moment.

use crate::bench::{EID_DIGITS, package};
use crate::migrate::{TABLES, schema};
use crate::program::{client, site};
use aid_needs::disk::Fault;
use aid_needs::shim::{Calls, Effect, Environment, Errno, Rule, Shim};
use aid_rsp::es2::DownloadOrderRequest;
use aid_rsp::es9::{Function, Response, Text};
use aid_smdp::core::{Decided, OrderState, Stock};
use aid_smdp::store::{Store, Stored};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::pin::pin;
use std::process::{Child, Command, Stdio};
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longest time that anything is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

struct Program {
    child: Child,
    es2: String,
    admin: String,
}

impl Program {
    /// Begins to start; the limit of file sizes is an error to it, and no signal.
    fn spawn(dir: &Path, environment: Environment) -> Child {
        Command::new("sh")
            .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
            .arg(env!("CARGO_BIN_EXE_aid-smdp"))
            .args(["serve", "--config", "smdp.toml"])
            .current_dir(dir)
            .envs(environment)
            .stdout(Stdio::piped())
            .stderr(full())
            .spawn()
            .unwrap()
    }

    fn start(dir: &Path) -> Self {
        Self::with(dir, Environment::new())
    }

    fn with(dir: &Path, environment: Environment) -> Self {
        let mut child = Self::spawn(dir, environment);
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let ready: serde_json::Value = serde_json::from_str(&line).expect("it has started");
        let port = |name: &str| {
            let address = ready["listen"][name].as_str().unwrap();
            address.rsplit(':').next().unwrap().to_owned()
        };
        Self {
            es2: format!("localhost:{}", port("es2")),
            admin: format!("127.0.0.1:{}", port("admin")),
            child,
        }
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.admin).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        (text.split(' ').nth(1).unwrap().parse().unwrap(), text)
    }

    async fn is_ready(&self) -> bool {
        let (status, text) = self.get("/readyz").await;
        assert!(matches!(status, 200 | 503), "{status} {text}");
        status == 200
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the program logs: nothing fits on that disk either.
fn full() -> Stdio {
    let full = std::fs::File::options().write(true).open("/dev/full");
    full.map_or_else(|_| Stdio::null(), Stdio::from)
}

/// Waits for something.
async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The ICCID of this number, with its check digit.
pub(crate) fn iccid(n: usize) -> String {
    let body = format!("894901000000{n:06}");
    let digits = body.bytes().rev().enumerate().map(|(i, b)| {
        let d = u32::from(b - b'0') * if i % 2 == 0 { 2 } else { 1 };
        d / 10 + d % 10
    });
    let check = (10 - digits.sum::<u32>() % 10) % 10;
    format!("{body}{check}")
}

async fn order(client: &reqwest::Client, es2: &str, iccid: &str) -> bool {
    let request = DownloadOrderRequest {
        eid: Text::new(EID_DIGITS),
        iccid: Text::new(iccid),
        ..Default::default()
    };
    let url = format!("https://{es2}{}", DownloadOrderRequest::PATH);
    let answer = client.post(url).json(&request).send().await.unwrap();
    type Answer = Response<<DownloadOrderRequest as Function>::Output>;
    let answer: Answer = answer.json().await.unwrap();
    answer.output.is_some()
}

async fn what_is_acknowledged_is_stored(fault: Fault) {
    const PROFILES: usize = 600;
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    site(dir);
    for n in 0..PROFILES {
        std::fs::write(dir.join(format!("profiles/{n}.der")), package(&iccid(n))).unwrap();
    }
    let mut database = dir.join("smdp.db");
    if let Some(folder) = fault.folder() {
        database = folder.join("smdp.db");
    }
    let text = std::fs::read_to_string(dir.join("smdp.toml")).unwrap();
    let line = text.lines().find(|l| l.starts_with("database")).unwrap();
    let text = text.replacen(line, &format!("database = {database:?}"), 1);
    std::fs::write(dir.join("smdp.toml"), text).unwrap();
    let program = Program::with(dir, fault.environment());
    let (cert, key) = (dir.join("client.pem"), dir.join("client.key"));
    let operator = client(&dir.join("ca.pem"), Some((&cert, &key)));
    assert!(program.is_ready().await);
    assert_eq!(program.get("/healthz").await.0, 200);
    assert_eq!(program.get("/openapi.json").await.0, 404);
    let mut acknowledged = Vec::new();
    let mut free = 0..PROFILES;
    for _ in 0..3 {
        fault.begin(program.child.id());
        // Until nothing fits any more; many at once.
        let mut failed = Vec::new();
        while failed.len() < 20 {
            let some: Vec<String> = free.by_ref().take(10).map(iccid).collect();
            assert!(!some.is_empty(), "all of it could be written");
            let tries = some.iter().map(|iccid| {
                let (operator, es2, iccid) = (operator.clone(), program.es2.clone(), iccid.clone());
                tokio::spawn(async move { order(&operator, &es2, &iccid).await })
            });
            let tries: Vec<_> = tries.collect();
            for (iccid, done) in some.into_iter().zip(tries) {
                if done.await.unwrap() {
                    acknowledged.push(iccid);
                } else {
                    failed.push(iccid);
                }
            }
        }
        // A small write may still find room, but not for long.
        until("it says that writes fail", async || {
            !program.is_ready().await
        })
        .await;
        assert_eq!(program.get("/healthz").await.0, 200);
        fault.end(program.child.id());
        until("it is ready by itself", async || program.is_ready().await).await;
        for iccid in failed {
            assert!(order(&operator, &program.es2, &iccid).await, "{iccid}");
            acknowledged.push(iccid);
        }
    }
    drop(program);
    let store = Store::open(&database).await.unwrap();
    let orders = store.orders().await.unwrap();
    let mut changed: Vec<_> = orders
        .iter()
        .filter(|o| o.state != OrderState::Available)
        .map(|o| o.iccid.clone())
        .collect();
    acknowledged.sort();
    changed.sort();
    assert_eq!(changed, acknowledged);
    store.close().await;
}

// Invariant 8: a full disk stops, loses nothing, and goes on by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_loses_nothing_and_is_over_by_itself() {
    if let Some(fault) = Fault::disk("8m") {
        what_is_acknowledged_is_stored(fault).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_writes_lose_nothing_and_are_over_by_themselves() {
    if let Some(fault) = Fault::limit() {
        what_is_acknowledged_is_stored(fault).await;
    }
}

/// Writes, or what brings them to disk, fail for a while.
async fn calls_fail(calls: Calls, effect: Effect) {
    if let Some(fault) = Fault::calls(Rule::always(calls, "smdp.db", effect)) {
        what_is_acknowledged_is_stored(fault).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_disk_loses_nothing_and_is_over_by_itself() {
    calls_fail(Calls::WRITE, Effect::ShortThenFail(Errno::Io)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_failing_sync_drops_was_not_acknowledged() {
    calls_fail(Calls::SYNC, Effect::Lose(Errno::Io)).await;
}

/// Gives a future up after it was woken so often.
async fn abandoned<F: Future>(future: F, wakes: usize) -> Option<F::Output> {
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

/// All that `serve` does with the database before it serves.
async fn start(path: &Path) -> Stored<Store> {
    let store = Store::open(path).await?;
    // Only time is lost where this fails.
    let _ = store.reserve_log().await;
    let stock = (0..3).map(|n| Stock {
        iccid: iccid(n),
        file: n.to_string(),
        profile_type: "t".into(),
        name: "n".into(),
    });
    store.offer(stock.collect(), 1).await?;
    Ok(store)
}

/// A start, a write, and an end.
async fn works(path: &Path) {
    let store = start(path).await.unwrap();
    assert_eq!(store.orders().await.unwrap().len(), 3);
    let changed = store.decide(async |books| {
        let order = books.order(&iccid(1)).await?.unwrap();
        Ok(Decided::about(order, |order| {
            order.attempts += 1;
            Ok(order.attempts)
        }))
    });
    let attempts = changed.await.unwrap().result.unwrap();
    let order = store.order(&iccid(1)).await.unwrap().unwrap();
    assert_eq!(order.attempts, attempts);
    store.check().await.unwrap();
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_ends_at_any_step_can_be_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let later = folder.path().join("later.sqlite");
    works(&later).await;
    for steps in 0.. {
        let first = folder.path().join(format!("{steps}.sqlite"));
        let ended = abandoned(start(&first), steps).await;
        works(&first).await;
        let _ = abandoned(start(&later), steps).await;
        works(&later).await;
        if let Some(done) = ended {
            done.unwrap();
            assert!(steps > 3, "{steps} steps are no start");
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_was_killed_at_any_moment_is_followed_by_one_that_succeeds() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    site(dir);
    let begin = Instant::now();
    drop(Program::start(dir));
    let whole = begin.elapsed();
    for first in [true, false] {
        for n in 0..20 {
            if first {
                remove(dir);
            }
            let mut child = Program::spawn(dir, Environment::new());
            tokio::time::sleep(whole * n / 20).await;
            child.kill().unwrap();
            child.wait().unwrap();
            assert!(Program::start(dir).is_ready().await, "{n}");
        }
    }
}

/// Removes the database.
fn remove(folder: &Path) {
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap().path();
        if file.to_string_lossy().contains("smdp.db") {
            std::fs::remove_file(file).unwrap();
        }
    }
}

/// Starts with one disk error, at each call about the database in turn: those later on are alike, so fewer of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_after_one_that_met_a_disk_error_succeeds() {
    let Some(shim) = Shim::new() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    site(dir);
    for first in [true, false] {
        let mut n = 0;
        loop {
            n += 1 + n / 8;
            if first {
                remove(dir);
            }
            let rule = Rule::nth(n, Calls::ALL, "smdp.db", Effect::Fail(Errno::Io));
            shim.begin(&rule);
            let mut child = Program::spawn(dir, shim.environment());
            let mut line = String::new();
            let mut out = BufReader::new(child.stdout.take().unwrap());
            out.read_line(&mut line).unwrap();
            let hit = shim.hit() > 0;
            assert!(hit || !line.is_empty(), "{n}: it starts without a fault");
            if line.is_empty() {
                assert!(!child.wait().unwrap().success(), "{n}");
            } else {
                child.kill().unwrap();
                child.wait().unwrap();
            }
            shim.end();
            assert!(Program::start(dir).is_ready().await, "{n}");
            if !hit {
                assert!(n > 20, "{n} calls are not all");
                break;
            }
        }
    }
}

/// What versions before this one did at each start.
const OLD_RESERVE: [&str; 4] = [
    "CREATE TABLE log_reserve (filler BLOB)",
    "INSERT INTO log_reserve VALUES (zeroblob(524288))",
    "DROP TABLE log_reserve",
    "PRAGMA wal_checkpoint(RESTART)",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_a_start_of_an_earlier_version_left_is_no_obstacle() {
    let folder = tempfile::tempdir().unwrap();
    for done in 1..=OLD_RESERVE.len() {
        let path = folder.path().join(format!("{done}.sqlite"));
        let old = rusqlite::Connection::open(&path).unwrap();
        old.execute_batch(TABLES).unwrap();
        for sql in &OLD_RESERVE[..done] {
            old.execute_batch(sql).unwrap();
        }
        old.close().unwrap();
        works(&path).await;
        assert!(!schema(&path).iter().any(|sql| sql.contains("log_reserve")));
    }
}
