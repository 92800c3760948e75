//! aid-cmp among many: what a tick, a login and calls of AID1 cost with a thousand vehicles, users, links and profiles in
//! the database, and with a million.
//!
//! The service runs in this process, without its listeners: TLS and sockets would hide what is measured. Both databases
//! take turns, so that whatever else the machine does disturbs both. Steps are those of SQLite's virtual machine: they are
//! the same on every machine, and equal where nothing has to look at more rows.

use super::aid1::people::{self, PIN, Waiting, first};
use super::{BenchArgs, Figures, commit, say};
use crate::leftovers::Workshop;
use crate::site::{Options, Site};
use aid_aid1::agreed;
use aid_aid1::body::{
    Body as _, ProfileType, SendActivationCode, SubscriptionType, UpdateSubscriptionInfo,
};
use aid_aid1::headers::Headers;
use aid_aid1::operation::CmpOperation;
use aid_aid1::server::Caller;
use aid_cli::cli::{Failure, block_on_all_cores};
use aid_cmp::config::{File, check};
use aid_cmp::service::{Purged, Service, fresh, now};
use aid_cmp::store::{Kept, Store, Tx};
use aid_cmp_core::change::Change;
use aid_id::{Eid, Secret};
use aid_wire::{Envelope, Up, WIRE_VERSION};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Vehicles of the small database.
const FEW: u32 = 1000;
/// Users who log in, and get a code, one after the other.
const PEOPLE: usize = 50;
/// Of each kind of work so much is due in a busy tick.
const DUE: usize = 100;
/// Quiet ticks.
const TICKS: usize = 20;
/// At most so many times the cost among few.
const LIMIT: f64 = 1.2;

/// What one piece of work took: medians.
#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Cost {
    wall_ms: f64,
    cpu_ms: f64,
    steps: f64,
}

/// What was found about one kind of work.
#[derive(Debug, Clone, Serialize)]
struct Line {
    work: &'static str,
    few: Cost,
    many: Cost,
    wall_ratio: f64,
    cpu_ratio: f64,
    steps_ratio: f64,
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
struct Found {
    few: u32,
    many: u32,
    few_bytes: u64,
    many_bytes: u64,
    /// Time to make the large database, and to open it, s.
    fill_s: f64,
    open_s: f64,
    lines: Vec<Line>,
    limit: f64,
}

/// Runs the suite.
pub(super) fn run(args: &BenchArgs) -> Result<Figures, Failure> {
    let place = args.state.clone().unwrap_or_else(std::env::temp_dir);
    let temporary = Workshop::new("upkeep", &place)?;
    let site = Site::create(temporary.path(), Options::default())?;
    let found = block_on_all_cores(measure(&site, args.stored))?;
    Ok(Figures {
        text: text(&found),
        json: serde_json::to_value(&found)?,
    })
}

/// A service on a database of its own.
struct Side {
    file: PathBuf,
    cmp: Arc<Service>,
    config: File,
    people: Vec<Waiting>,
    costs: Vec<(&'static str, Vec<Cost>)>,
    opened: Duration,
}

impl Side {
    async fn new(site: &Site, count: u32) -> Result<Self, Failure> {
        let file = site.path(&format!("upkeep-{count}.sqlite"));
        Store::open(&file).await?.close().await;
        let mut config = check(&site.path("cmp.toml"))?;
        config.fixed.file.policy.sync_hours = 24;
        let policy = config.fixed.file.clone();
        fill(&file, count, &first(&policy)?.name)?;
        let began = Instant::now();
        let store = Store::open(&file).await?;
        let opened = began.elapsed();
        store.reserve_log().await?;
        Ok(Self {
            file,
            cmp: Arc::new(Service::new(store, config)),
            config: policy,
            people: Vec::new(),
            costs: Vec::new(),
            opened,
        })
    }

    /// Measures one piece of work.
    async fn time<T>(
        &mut self,
        work: &'static str,
        done: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let (steps, cpu, began) = (self.cmp.store.steps(), cpu(), Instant::now());
        let done = done.await?;
        let cost = Cost {
            wall_ms: began.elapsed().as_secs_f64() * 1e3,
            cpu_ms: cpu_since(cpu).as_secs_f64() * 1e3,
            steps: (self.cmp.store.steps() - steps) as f64,
        };
        match self.costs.iter_mut().find(|(of, _)| *of == work) {
            Some((_, costs)) => costs.push(cost),
            None => self.costs.push((work, vec![cost])),
        }
        Ok(done)
    }

    /// What the workers of `serve` do at each look.
    async fn tick(&mut self, work: &'static str) -> Result<(), Failure> {
        let cmp = Arc::clone(&self.cmp);
        let ticked = async {
            let since = now().saturating_sub(60_000);
            cmp.cut_off(since).await?;
            cmp.remind(since).await?;
            cmp.follow_codes().await?;
            cmp.expire().await?;
            cmp.synchronise().await?;
            let look = async |tx: &Tx<'_>| tx.due_lanes(now()).await;
            cmp.store.read(look).await?;
            Ok(())
        };
        self.time(work, ticked).await
    }

    /// What is done once an hour.
    async fn remove(&mut self, work: &'static str) -> Result<(), Failure> {
        let cmp = Arc::clone(&self.cmp);
        let removed = async {
            let (mut kept, mut purged) = (Kept::default(), Purged::default());
            while cmp.prune(&mut kept).await? {}
            while cmp.purge(&mut purged).await? {}
            Ok(())
        };
        self.time(work, removed).await
    }

    /// People who will log in and get a code.
    async fn invite(&mut self) -> Result<(), Failure> {
        let (people, changes) = people::waiting(&self.config, PEOPLE)?;
        commit(&self.cmp.store, changes).await?;
        self.people = people;
        Ok(())
    }

    /// So much of each kind of work is due.
    async fn make_due(&self) -> Result<(), Failure> {
        let (_, mut changes) = people::waiting(&self.config, PEOPLE + DUE)?;
        // The first of them are there already.
        let each = changes.len() / (PEOPLE + DUE);
        let mut changes = changes.split_off(PEOPLE * each);
        for change in &mut changes {
            match change {
                Change::PutRequest(request) => request.expires_at = now().saturating_sub(1),
                Change::AddFederation(federation) => federation.ended_at = None,
                _ => {}
            }
        }
        let ended = changes.iter().filter_map(|change| match change {
            Change::AddFederation(federation) => {
                let mut ended = federation.clone();
                ended.id = fresh();
                ended.token = aid_id::MspToken::from_bytes(fresh());
                ended.ended_at = Some(1);
                Some(Change::AddFederation(ended))
            }
            _ => None,
        });
        let ended: Vec<_> = ended.collect();
        changes.extend(ended);
        commit(&self.cmp.store, changes).await
    }

    async fn person(&mut self, n: usize) -> Result<(), Failure> {
        let none = || Failure::new("there is nobody to log in");
        let person = self.people.get(n).ok_or_else(none)?;
        let msp = first(&self.config)?;
        let caller = Caller {
            headers: Headers {
                request_id: Uuid::new_v4(),
                correlation_id: Uuid::from_bytes(person.correlation),
                client_id: msp.client_id.clone(),
                target_id: msp.own_client_id.clone(),
            },
            party: 0,
        };
        let again = Caller {
            headers: Headers {
                request_id: Uuid::new_v4(),
                ..caller.headers.clone()
            },
            ..caller.clone()
        };
        let code = SendActivationCode::Code {
            request_id: Uuid::from_bytes(person.request),
            activation_code: format!("1$smdp.example$N{n}").parse()?,
            profile_type: ProfileType::Personal,
            iccid: person.iccid.clone(),
            swapped_iccid: None,
        };
        let mut iv = [1; 12];
        iv[..8].copy_from_slice(&(n as u64).to_be_bytes());
        let key = agreed::phone_key(&msp.phone_key).map_err(Failure::new)?;
        let number = format!("49171{n:08}").parse()?;
        let update = UpdateSubscriptionInfo {
            phone: key.encrypt(&number, iv)?,
            subscription_type: SubscriptionType::Business,
            customer_group: None,
        };
        let token = person.token.to_string();
        let eid = Eid::with_check_digits(&format!("89049033{n:022}"))?;
        let login = Envelope {
            version: WIRE_VERSION,
            message_id: fresh(),
            correlation_id: fresh(),
            sequence: 1,
            expires_at: None,
            body: Up::Login {
                login_id: fresh(),
                user: format!("user-{n}"),
                pin: Secret::new(PIN.into()),
            },
        };
        let cmp = Arc::clone(&self.cmp);
        let logged_in = async { Ok(cmp.up(eid, None, login).await?) };
        self.time("login", logged_in).await?;
        for (work, caller, operation, body) in [
            (
                "Send Activation Code",
                &caller,
                CmpOperation::SendActivationCode,
                code.to_bytes(),
            ),
            (
                "Update Subscription",
                &again,
                CmpOperation::UpdateSubscriptionInfo,
                update.to_bytes(),
            ),
        ] {
            let done = async { Ok(cmp.operate(caller, operation, &token, &body).await?) };
            self.time(work, done).await?;
        }
        Ok(())
    }
}

/// Processor time of this process.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

fn cpu_since(before: Duration) -> Duration {
    cpu().saturating_sub(before)
}

/// Fills the tables that a migration has made.
pub(super) fn fill(file: &Path, count: u32, msp: &str) -> Result<(), Failure> {
    let text = include_str!("../../../../cmp-link/cmp/tests/crowd.sql");
    let text = text.replace("{count}", &count.to_string());
    let text = text.replace("{now}", &now().to_string());
    // 89049034 and 22 zeros, modulo 97.
    let text = text.replace("{remainder}", "93").replace("Mobile One", msp);
    fill_with(file, &text)
}

/// Runs these statements as one, without waiting for a disk.
pub(super) fn fill_with(file: &Path, sql: &str) -> Result<(), Failure> {
    let connection = rusqlite::Connection::open(file)?;
    // If this process is killed, so is what it measures.
    let fast = "PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF; PRAGMA cache_size = -1000000;
         PRAGMA temp_store = MEMORY; BEGIN;";
    connection.execute_batch(fast)?;
    connection.execute_batch(sql)?;
    connection.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)")?;
    Ok(())
}

async fn measure(site: &Site, many: u32) -> Result<Found, Failure> {
    say(&format!("making databases of {FEW} and {many} vehicles"));
    let mut sides = Vec::new();
    let mut fill_s = 0.0;
    for count in [FEW, many] {
        let began = Instant::now();
        let side = Side::new(site, count).await?;
        fill_s = (began.elapsed() - side.opened).as_secs_f64();
        sides.push(side);
    }
    for n in 0..=TICKS {
        for side in &mut sides {
            // At the first one statements are prepared.
            let (tick, remove) = match n {
                0 => ("first tick", "first removal of old rows"),
                _ => ("quiet tick", "removal of old rows, none there"),
            };
            side.tick(tick).await?;
            side.remove(remove).await?;
        }
    }
    for side in &mut sides {
        side.invite().await?;
    }
    for n in 0..PEOPLE {
        for side in &mut sides {
            side.person(n).await?;
        }
    }
    for side in &mut sides {
        side.make_due().await?;
        side.tick("tick with 100 due of each kind").await?;
        side.remove("removal of 100 ended links").await?;
    }
    let mut ends = Vec::new();
    for side in sides {
        let cmp = Arc::into_inner(side.cmp);
        if let Some(cmp) = cmp {
            cmp.store.close().await;
        }
        let bytes = std::fs::metadata(&side.file)?.len();
        ends.push((side.costs, side.opened, bytes));
    }
    let (Some(large), Some(small)) = (ends.pop(), ends.pop()) else {
        return Err(Failure::new("nothing was measured"));
    };
    let lines = small.0.into_iter().zip(large.0);
    let lines = lines.map(|((work, few), (_, many))| line(work, &few, &many));
    Ok(Found {
        few: FEW,
        many,
        few_bytes: small.2,
        many_bytes: large.2,
        fill_s,
        open_s: large.1.as_secs_f64(),
        lines: lines.collect(),
        limit: LIMIT,
    })
}

fn line(work: &'static str, few: &[Cost], many: &[Cost]) -> Line {
    let (few, many) = (medians(few), medians(many));
    let ratio = |of: fn(&Cost) -> f64| of(&many) / of(&few).max(f64::MIN_POSITIVE);
    Line {
        work,
        wall_ratio: ratio(|c| c.wall_ms),
        cpu_ratio: ratio(|c| c.cpu_ms),
        steps_ratio: ratio(|c| c.steps),
        few,
        many,
    }
}

fn medians(costs: &[Cost]) -> Cost {
    let median = |of: fn(&Cost) -> f64| {
        let mut values: Vec<f64> = costs.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    Cost {
        wall_ms: median(|c| c.wall_ms),
        cpu_ms: median(|c| c.cpu_ms),
        steps: median(|c| c.steps),
    }
}

fn text(found: &Found) -> String {
    let mib = |bytes: u64| bytes as f64 / 1024.0 / 1024.0;
    let mut text = format!(
        "aid-cmp on SQLite with {} vehicles, users, links and profiles ({:.0} MiB), and with {} ({:.0} MiB, made in \
         {:.0} s, opened in {:.3} s); limit: {} times\n{:34} {:>22} {:>22} {:>22}\n",
        found.few,
        mib(found.few_bytes),
        found.many,
        mib(found.many_bytes),
        found.fill_s,
        found.open_s,
        found.limit,
        "work, median",
        "wall ms (ratio)",
        "processor ms (ratio)",
        "steps (ratio)",
    );
    for line in &found.lines {
        let Line {
            work, few, many, ..
        } = line;
        let pair = |a: f64, b: f64, ratio: f64, digits: usize| {
            format!("{a:.digits$} {b:.digits$} ({ratio:.2})")
        };
        let _ = writeln!(
            text,
            "{work:34} {:>22} {:>22} {:>22}",
            pair(few.wall_ms, many.wall_ms, line.wall_ratio, 3),
            pair(few.cpu_ms, many.cpu_ms, line.cpu_ratio, 3),
            pair(few.steps, many.steps, line.steps_ratio, 0),
        );
    }
    text
}
