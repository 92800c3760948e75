//! A fleet at the CMP's gateway (AID2): memory for each idle vehicle, vehicles connected at once, and
//! one order to each of them when all come back together.
//!
//! The gateway is the real program; the vehicles are light MQTT clients in this process, each with a
//! certificate and a TLS session of its own. What stopped them is said where not all of them connect.

use super::vehicle::{Connected, Dialer};
use super::{BenchArgs, Figures, commit, say};
use crate::leftovers::Workshop;
use crate::process::{Part, Spawn};
use crate::site::{Fleet, Options, Site};
use aid_cli::cli::{Failure, LogArgs, block_on_all_cores};
use aid_cmp::store::Store;
use aid_cmp_core::change::Change;
use aid_cmp_core::decide::Context;
use aid_cmp_core::model::Vehicle;
use aid_id::{Eid, Iccid};
use aid_wire::OrderKind;
use serde::Serialize;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Most memory of the gateway for one vehicle that is connected and silent, bytes.
const MAX_IDLE: f64 = 12_000.0;
/// What the issue asks for.
const FLEET: u32 = 10_000;
/// Longest time until all results are on disk when the fleet comes back at once, seconds.
const MAX_SETTLED: f64 = 20.0;
/// Handshakes at once.
const AT_ONCE: usize = 64;
/// Longest time for a phase.
const PHASE: Duration = Duration::from_secs(300);

/// What was found.
#[derive(Debug, Clone, Serialize)]
struct Found {
    /// Vehicles that were to connect.
    vehicles: u32,
    /// Vehicles that were connected at once.
    connected: usize,
    /// What stopped the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped_by: Option<String>,
    /// From the first handshake to the last subscription, seconds.
    connect_s: f64,
    /// Memory of the program before the first vehicle, bytes.
    base_bytes: u64,
    /// Memory of the program for each vehicle that is connected and silent, bytes.
    idle_bytes: f64,
    /// From the first handshake to the last subscription when all come back, seconds.
    reconnect_s: f64,
    /// From the first handshake to the last vehicle that has its order, seconds.
    delivered_s: f64,
    /// From the first handshake to the last result that the CMP acknowledged, seconds.
    settled_s: f64,
    /// Orders that were open before and are closed now.
    closed: usize,
    /// Processor time of the CMP from the first handshake to the last result, seconds.
    cpu_s: f64,
}

/// Runs the suite.
pub(super) fn run(args: &BenchArgs, logs: &LogArgs) -> Result<Figures, Failure> {
    let place = args.state.clone().unwrap_or_else(std::env::temp_dir);
    let temporary = Workshop::new("fleet", &place)?;
    open_files(u64::from(args.vehicles) + 256);
    let site = Site::create(temporary.path(), Options::default())?;
    site.make_logs()?;
    let fleet = Fleet::mint(&site, args.vehicles)?;
    let found = block_on_all_cores(measure(&site, &fleet, logs))?;
    Ok(Figures {
        text: text(&found),
        json: serde_json::to_value(&found)?,
    })
}

/// Raises the limit of open files as far as it may go; what is missing shows when vehicles connect.
pub(crate) fn open_files(needed: u64) {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|c| c < needed) {
        limit.current = limit.maximum.map_or(Some(needed), |m| Some(m.min(needed)));
        let _ = setrlimit(Resource::Nofile, limit);
    }
}

async fn measure(site: &Site, fleet: &Fleet, logs: &LogArgs) -> Result<Found, Failure> {
    let store = Store::open(aid_cmp::config::read(&site.path("cmp.toml"))?.database).await?;
    let add = |eid: &Eid| Change::AddVehicle(Vehicle::new(*eid, 0));
    commit(&store, fleet.vehicles.iter().map(|v| add(&v.eid)).collect()).await?;
    let cmp = Part::start(Spawn {
        program: "aid-cmp",
        suffix: "",
        args: &["serve", "--config", "cmp.toml"],
        dir: &site.dir,
        log: &logs.log,
        trace: false,
        counted: false,
    })?;
    let dialer = Arc::new(Dialer::new(fleet, site.ports.gateway)?);

    say(&format!("connecting {} vehicles", fleet.vehicles.len()));
    let base_bytes = cmp.memory();
    let begin = Instant::now();
    let (connected, stopped_by) = connect(&dialer, fleet).await;
    let connect_s = begin.elapsed().as_secs_f64();
    let count = connected.len();
    if count == 0 {
        let why = stopped_by.unwrap_or_default();
        return Err(Failure::new(format!("no vehicle connected: {why}")));
    }
    let idle_bytes = cmp.memory().saturating_sub(base_bytes) as f64 / count as f64;
    say(&format!(
        "{count} connected in {connect_s:.1} s; all leave, and get one order each"
    ));
    let eids: Vec<Eid> = connected.iter().map(|c| c.eid).collect();
    for vehicle in connected {
        vehicle.leave().await;
    }

    let iccid: Iccid = "8988000000000000003".parse()?;
    let context = Context {
        now: aid_cmp::service::now(),
        fresh: aid_cmp::service::fresh,
        random: aid_cmp::service::random,
        policy: aid_cmp_core::decide::policy::Policy::default(),
    };
    let order = |eid: &Eid| {
        let kind = OrderKind::Delete {
            iccid: iccid.clone(),
        };
        Change::AddOrder(context.order(*eid, kind, "measured"))
    };
    commit(&store, eids.iter().map(order).collect()).await?;

    say("all come back at once");
    let cpu = cmp.cpu();
    let begin = Instant::now();
    let settled = come_back(&dialer, fleet, &eids, begin).await?;
    let cpu_s = (cmp.cpu() - cpu).as_secs_f64();
    let open = store.read(async |tx| tx.work().await).await?.open_orders;
    store.close().await;
    Ok(Found {
        vehicles: u32::try_from(fleet.vehicles.len()).unwrap_or(u32::MAX),
        connected: count,
        stopped_by,
        connect_s,
        base_bytes,
        idle_bytes,
        reconnect_s: settled.connected.as_secs_f64(),
        delivered_s: settled.delivered.as_secs_f64(),
        settled_s: settled.settled.as_secs_f64(),
        closed: eids.len() - usize::try_from(open).map_or(eids.len(), |open| open.min(eids.len())),
        cpu_s,
    })
}

/// Connects all; those that did, and why the first of the others did not.
async fn connect(dialer: &Arc<Dialer>, fleet: &Fleet) -> (Vec<Connected>, Option<String>) {
    let free = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    for n in 0..fleet.vehicles.len() {
        let (dialer, free) = (Arc::clone(dialer), Arc::clone(&free));
        tasks.spawn(async move {
            let _permit = free.acquire_owned().await;
            dialer.connect(n).await
        });
    }
    let (mut connected, mut stopped_by) = (Vec::new(), None);
    let all = async {
        while let Some(done) = tasks.join_next().await {
            match done {
                Ok(Ok(vehicle)) => connected.push(vehicle),
                Ok(Err(error)) => {
                    stopped_by.get_or_insert(error);
                }
                Err(error) => {
                    stopped_by.get_or_insert(error.to_string());
                }
            }
        }
    };
    if tokio::time::timeout(PHASE, all).await.is_err() {
        let seconds = PHASE.as_secs();
        stopped_by.get_or_insert(format!("{seconds} s were over"));
    }
    (connected, stopped_by)
}

/// When the last of the fleet was connected, had its order, and had its result acknowledged.
#[derive(Default)]
struct Settled {
    connected: Duration,
    delivered: Duration,
    settled: Duration,
}

async fn come_back(
    dialer: &Arc<Dialer>,
    fleet: &Fleet,
    eids: &[Eid],
    begin: Instant,
) -> Result<Settled, Failure> {
    let free = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    for n in (0..fleet.vehicles.len()).filter(|n| eids.contains(&fleet.vehicles[*n].eid)) {
        let (dialer, free) = (Arc::clone(dialer), Arc::clone(&free));
        tasks.spawn(async move {
            // A handshake at a time for each permit; the order is waited for without it.
            let permit = free.acquire_owned().await;
            let mut vehicle = dialer.connect(n).await?;
            drop(permit);
            let connected = begin.elapsed();
            let order = vehicle.order().await?;
            let delivered = begin.elapsed();
            vehicle.done(order).await?;
            Ok::<_, String>((connected, delivered, begin.elapsed()))
        });
    }
    let mut last = Settled::default();
    let all = async {
        while let Some(done) = tasks.join_next().await {
            let (connected, delivered, settled) = done
                .map_err(|e| Failure::new(e.to_string()))?
                .map_err(Failure::new)?;
            last.connected = last.connected.max(connected);
            last.delivered = last.delivered.max(delivered);
            last.settled = last.settled.max(settled);
        }
        Ok::<(), Failure>(())
    };
    match tokio::time::timeout(PHASE, all).await {
        Ok(done) => done?,
        Err(_) => {
            return Err(Failure::new(format!(
                "not every vehicle had its order after {} s",
                PHASE.as_secs()
            )));
        }
    }
    Ok(last)
}

fn text(found: &Found) -> String {
    let verdict = |good: bool| if good { "reached" } else { "MISSED" };
    let mut out = String::new();
    let Found {
        vehicles,
        connected,
        ..
    } = found;
    // Writing into a String does not fail.
    let _ = writeln!(
        out,
        "connected vehicles: {connected} of {vehicles} in {:.1} s, {:.0} a second, over mutual TLS (goal {FLEET}: {})",
        found.connect_s,
        *connected as f64 / found.connect_s,
        verdict(*connected >= FLEET as usize)
    );
    if let Some(why) = &found.stopped_by {
        let _ = writeln!(
            out,
            "  what stopped the others: {}",
            aid_cli::printable::printable(why)
        );
    }
    let _ = writeln!(
        out,
        "memory of the CMP for each idle vehicle: {:.1} kB, beside {:.1} MB without any (limit {:.0} kB: {})",
        found.idle_bytes / 1000.0,
        found.base_bytes as f64 / 1e6,
        MAX_IDLE / 1000.0,
        verdict(found.idle_bytes <= MAX_IDLE)
    );
    let _ = writeln!(
        out,
        "one delete order to each of {connected} that come back at once: connected after {:.1} s, delivered after {:.1} s, \
         results on disk after {:.1} s ({} closed; limit {MAX_SETTLED:.0} s for {FLEET}: {}); {:.1} s processor time of the CMP",
        found.reconnect_s,
        found.delivered_s,
        found.settled_s,
        found.closed,
        verdict(found.settled_s <= MAX_SETTLED && found.closed >= FLEET as usize),
        found.cpu_s
    );
    out
}
