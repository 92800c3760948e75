//! `aid-hil fleet`: many cars in this process, each the agent's core with a software card of its own, against a real CMP,
//! MSP and SM-DP+ over real connections. They log in, get profiles, park; the CMP is killed while the MSP withdraws some
//! drivers; all come back at once. At the end the books of all sides are compared.

mod books;
mod car;
mod card;
mod people;
mod progress;
mod random;
mod tally;
mod verdict;

use crate::figures::{Dialer, open_files};
use crate::leftovers::Workshop;
use crate::process::{Part, Spawn};
use crate::site::{Fleet, Options, Site};
use crate::story::books::output;
use aid_agent::card::Counters;
use aid_cli::cli::{Failure, LogArgs, block_on_all_cores};
use aid_hostile::world::World;
use aid_report::Outputs;
use aid_rsp::crypto::SoftwareCrypto;
use books::Invariant;
pub(crate) use books::{Parked, compare};
use car::{Car, Shared, State, Wish, count};
use card::{CarCard, Clients};
pub(crate) use people::configure;
use progress::Progress;
pub(crate) use random::Random;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tally::{Spread, Tally, What};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

/// Handshakes at once.
const HANDSHAKES: usize = 64;
/// Card operations at once; each has a client for ES9+.
const OPERATIONS: usize = 8;
/// Time that a driver drives.
const DRIVE: Duration = Duration::from_millis(500);
/// Every car of so many is one of a driver whom the MSP withdraws.
const WITHDRAW_ONE_OF: usize = 20;
/// Most drivers who are withdrawn: each is one run of the MSP's command line.
const MOST_WITHDRAWN: usize = 50;
/// Between two looks at the fleet.
const LOOK: Duration = Duration::from_millis(100);

/// Options of `aid-hil fleet`.
#[derive(Debug, clap::Args)]
pub(crate) struct FleetArgs {
    /// Cars; each needs two open files on this machine, in two processes, and about 100 KiB of memory.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    vehicles: u32,
    /// Journeys that begin per second; a car that has not come back yet is passed over.
    #[arg(long, value_name = "N", default_value_t = 20.0, value_parser = rate)]
    rate: f64,
    /// For how long journeys begin, e.g. 90s, 10m or 1h.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    duration: Duration,
    /// Longest wait for each phase that has to come to an end, e.g. 5m.
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = time)]
    patience: Duration,
    /// Repeat the run of this seed: which cars drive when, and who is withdrawn.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Leave state, configurations, keys and logs in this directory, which must be empty or absent.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    #[command(flatten)]
    outputs: Outputs,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 100_000.0 => Ok(rate),
        _ => Err("a rate is a number above 0, at most 100000 a second".to_owned()),
    }
}

fn time(text: &str) -> Result<Duration, String> {
    let wrong = "a time is a number with s, m or h, such as 90s, from 1s to 24h";
    let (number, unit) = match text.char_indices().next_back() {
        Some((at, 's')) => (&text[..at], 1),
        Some((at, 'm')) => (&text[..at], 60),
        Some((at, 'h')) => (&text[..at], 3600),
        _ => (text, 1),
    };
    let number: u64 = number.parse().map_err(|_| wrong.to_owned())?;
    match number.checked_mul(unit) {
        Some(seconds @ 1..=86_400) => Ok(Duration::from_secs(seconds)),
        _ => Err(wrong.to_owned()),
    }
}

/// What a run showed.
#[derive(Debug, Serialize)]
struct Found {
    vehicles: u32,
    /// Cars that were connected before the first journey.
    connected: u64,
    /// Seconds until they were.
    connect_s: f64,
    journeys: u64,
    installed: u64,
    withdrawn: usize,
    /// Cars that were back after the outage.
    returned: usize,
    spreads: Vec<Spread>,
    errors: BTreeMap<String, u64>,
    /// Command APDUs of all cards, bytes of ES9+.
    apdus: u64,
    bytes: u64,
    /// Processor time, seconds: this process with all cars, the servers together.
    cars_cpu_s: f64,
    servers_cpu_s: f64,
    /// Phases that did not come to their end in time.
    stuck: Vec<String>,
    invariants: Vec<Invariant>,
}

/// Runs a fleet; the exit code is 1 when an invariant is broken or a phase got stuck.
pub(crate) fn run(args: &FleetArgs, logs: &LogArgs) -> Result<(), Failure> {
    let laboratory = args.outputs.laboratory()?;
    let seed = match args.seed {
        Some(seed) => seed,
        // Within what every reader of JSON keeps exact.
        None => {
            getrandom::u64()
                .map_err(|e| Failure::new(format!("no random numbers: {e}; give --seed")))?
                >> 11
        }
    };
    let temporary = Workshop::new("fleet", &std::env::temp_dir())?;
    let dir = args.keep.as_deref().unwrap_or(temporary.path());
    open_files(u64::from(args.vehicles) + 512);
    let began = jiff::Timestamp::now();
    let site = Site::create(dir, Options::default())?;
    site.make_logs()?;
    let world = World::mint(Arc::new(SoftwareCrypto::new()), 1);
    world
        .pki
        .write_to(&site.path("pki/rsp"))
        .map_err(|e| Failure::new(format!("cannot write the RSP certificates: {e}")))?;
    people::configure(&site, args.vehicles)?;
    let fleet = Fleet::mint(&site, args.vehicles)?;
    let found = block_on_all_cores(Box::pin(drive(args, &site, &fleet, &world, seed, logs)))?;
    let report = verdict::report(args, &found, seed, began, laboratory)?;
    if !args.outputs.json {
        aid_cli::cli::print(&verdict::text(&found))?;
    }
    args.outputs.publish(&report)?;
    report.verdict(false)
}

/// The servers, those that are called before those that call.
fn servers(site: &Site, log: &str) -> Result<Vec<Part>, Failure> {
    let all = [("aid-smdp", "smdp.toml"), ("aid-msp", "msp.toml")];
    let mut parts = Vec::new();
    for (program, config) in all {
        parts.push(start(site, program, config, log)?);
    }
    Ok(parts)
}

fn start(site: &Site, program: &'static str, config: &str, log: &str) -> Result<Part, Failure> {
    Part::start(Spawn {
        program,
        suffix: "",
        args: &["serve", "--config", config],
        dir: &site.dir,
        log,
        trace: false,
        counted: false,
    })
}

/// The fleet while it runs.
struct Running {
    shared: Arc<Shared>,
    states: Vec<Arc<State>>,
    wishes: Vec<mpsc::Sender<Wish>>,
    tasks: JoinSet<()>,
    meter: Arc<Counters>,
}

impl Running {
    fn start(
        site: &Site,
        fleet: &Fleet,
        world: &World,
        drivers: Vec<crate::figures::people::Driver>,
    ) -> Result<Self, Failure> {
        let meter = Arc::new(Counters::default());
        let ci = site.path("pki/rsp/CertificateIssuer/CERT_CI_ECDSA_NIST.der");
        let clients = Clients::new(&ci, OPERATIONS, &meter)?;
        let shared = Arc::new(Shared {
            dialer: Dialer::new(fleet, site.ports.gateway)?,
            tally: Tally::default(),
            handshakes: Semaphore::new(HANDSHAKES),
            operations: Arc::new(Semaphore::new(OPERATIONS)),
            began: Instant::now(),
            outage: AtomicBool::new(false),
            over: AtomicBool::new(false),
        });
        let (mut states, mut wishes, mut tasks) = (Vec::new(), Vec::new(), JoinSet::new());
        let mut progress = Progress::begin("cards", drivers.len() as u64);
        for (number, driver) in drivers.into_iter().enumerate() {
            let eid = &fleet.vehicles[number].eid;
            let card = CarCard::new(world, eid, number as u64, &clients, &meter);
            let (send, receive) = mpsc::channel(4);
            let state = Arc::new(State::new());
            let car = Car::new(number, driver, card, &shared, &state, receive)?;
            tasks.spawn(car.live());
            states.push(state);
            wishes.push(send);
            progress.at(number as u64 + 1, &format!("{} made", number + 1));
        }
        progress.end(&format!("{} cards and agents", states.len()));
        Ok(Self {
            shared,
            states,
            wishes,
            tasks,
            meter,
        })
    }

    fn tally(&self) -> &Tally {
        &self.shared.tally
    }

    fn connected(&self) -> u64 {
        count(&self.states, |state| &state.connected)
    }

    fn idle(&self) -> u64 {
        count(&self.states, |state| &state.idle)
    }

    /// Waits until `so_many` says that all are there; false when that took longer than `patience`.
    async fn wait(
        &self,
        phase: &'static str,
        patience: Duration,
        so_many: impl Fn(&Self) -> u64,
    ) -> bool {
        let (begin, all) = (Instant::now(), self.states.len() as u64);
        let mut progress = Progress::begin(phase, all);
        loop {
            let now = so_many(self);
            progress.at(now, &self.tally().line());
            let over = begin.elapsed() > patience;
            if now >= all || over {
                let seconds = begin.elapsed().as_secs_f64();
                progress.end(&format!(
                    "{now} of {all} after {seconds:.1} s; {}",
                    self.tally().line()
                ));
                return now >= all;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Begins journeys at the rate, until the time is over.
    async fn journeys(&self, args: &FleetArgs, random: &mut Random) {
        let mut progress = Progress::begin("journeys", args.duration.as_secs());
        let begin = Instant::now();
        let mut order: Vec<usize> = (0..self.states.len()).collect();
        random.shuffle(&mut order);
        let (mut next, mut begun) = (0_usize, 0.0_f64);
        while begin.elapsed() < args.duration {
            let due = begin.elapsed().as_secs_f64() * args.rate;
            // At most one round over the fleet: all others are on the road.
            let mut left = order.len();
            while begun < due && left > 0 {
                let car = order[next % order.len()];
                next += 1;
                left -= 1;
                if self.states[car].idle.load(Ordering::Relaxed)
                    && self.wishes[car].try_send(Wish::Drive(DRIVE)).is_ok()
                {
                    self.states[car].idle.store(false, Ordering::Relaxed);
                    begun += 1.0;
                }
            }
            // Who can't begin now does not begin all at once later.
            begun = begun.max(due - 1.0);
            progress.at(begin.elapsed().as_secs(), &self.tally().line());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        progress.end(&self.tally().line());
    }
}

async fn drive(
    args: &FleetArgs,
    site: &Site,
    fleet: &Fleet,
    world: &World,
    seed: u64,
    logs: &LogArgs,
) -> Result<Found, Failure> {
    let drivers = people::enrol(site, fleet).await?;
    let names: Vec<String> = drivers.iter().map(|driver| driver.name.clone()).collect();
    let parts = servers(site, &logs.log)?;
    let mut cmp = start(site, "aid-cmp", "cmp.toml", &logs.log)?;
    let mut random = Random(seed);
    let mut stuck = Vec::new();
    let own_cpu = crate::process::own_cpu();
    let begin = Instant::now();
    let mut running = Running::start(site, fleet, world, drivers)?;
    if !running
        .wait("connecting", args.patience, Running::connected)
        .await
    {
        stuck.push("connecting: not every car was connected in time".to_owned());
    }
    let (connected, connect_s) = (running.connected(), begin.elapsed().as_secs_f64());
    running.journeys(args, &mut random).await;
    if !running.wait("parking", args.patience, Running::idle).await {
        stuck.push("parking: not every car came to rest in time".to_owned());
    }
    let drove: Vec<bool> = running
        .states
        .iter()
        .map(|s| !s.profiles().is_empty())
        .collect();
    let mut servers_cpu = cmp.cpu();
    let withdrawn = choose(&drove, &mut random);
    running.shared.outage.store(true, Ordering::Relaxed);
    cmp.kill();
    withdraw(site, &names, &withdrawn)?;
    let back = Instant::now();
    cmp = start(site, "aid-cmp", "cmp.toml", &logs.log)?;
    for wish in &running.wishes {
        // A car that is stuck has said so above.
        let _ = wish.try_send(Wish::Returned(back));
    }
    let returned = |running: &Running| running.tally().count(What::Return) as u64;
    if !running.wait("returning", args.patience, returned).await {
        stuck.push("returning: not every car was back in time".to_owned());
    }
    running.shared.outage.store(false, Ordering::Relaxed);
    if !settled(site, &running, &withdrawn, args.patience).await? {
        stuck.push("settling: orders or reports were still open".to_owned());
    }
    let cars_cpu_s = (crate::process::own_cpu() - own_cpu).as_secs_f64();
    servers_cpu += cmp.cpu();
    servers_cpu += parts.iter().map(Part::cpu).sum::<Duration>();
    let cars = parked(fleet, &running, &drove, &withdrawn);
    running.shared.over.store(true, Ordering::Relaxed);
    running.wishes.clear();
    while running.tasks.join_next().await.is_some() {}
    let invariants = compare(site, &cars)?;
    let (apdus, received, sent) = running.meter.read();
    let tally = running.tally();
    Ok(Found {
        vehicles: args.vehicles,
        connected,
        connect_s,
        journeys: tally.journeys.load(Ordering::Relaxed),
        installed: tally.installed.load(Ordering::Relaxed),
        withdrawn: withdrawn.len(),
        returned: tally.count(What::Return),
        spreads: tally.spreads(),
        errors: tally.errors(),
        apdus,
        bytes: received + sent,
        cars_cpu_s,
        servers_cpu_s: servers_cpu.as_secs_f64(),
        stuck,
        invariants,
    })
}

/// Drivers with a profile whom the MSP withdraws.
fn choose(drove: &[bool], random: &mut Random) -> Vec<usize> {
    let mut all: Vec<usize> = (0..drove.len()).filter(|n| drove[*n]).collect();
    random.shuffle(&mut all);
    let wanted = drove.len().div_ceil(WITHDRAW_ONE_OF).min(MOST_WITHDRAWN);
    all.truncate(wanted);
    all
}

fn withdraw(site: &Site, names: &[String], withdrawn: &[usize]) -> Result<(), Failure> {
    let mut progress = Progress::begin("withdrawing", withdrawn.len() as u64);
    for (done, n) in withdrawn.iter().enumerate() {
        let args = [
            "withdraw",
            "--user",
            &names[*n],
            "--reason",
            "contract ended",
            "--config",
            "msp.toml",
        ];
        output(site, "aid-msp", &args, "")?;
        progress.at(done as u64 + 1, "the CMP is down meanwhile");
    }
    progress.end(&format!(
        "{} drivers while the CMP is down",
        withdrawn.len()
    ));
    Ok(())
}

/// Waits until the withdrawn profiles are gone, and nothing is open at the cars, the CMP and the MSP.
async fn settled(
    site: &Site,
    running: &Running,
    withdrawn: &[usize],
    patience: Duration,
) -> Result<bool, Failure> {
    let (begin, all) = (Instant::now(), running.states.len() as u64);
    let mut progress = Progress::begin("settling", all);
    let is_settled = loop {
        let idle = running.idle();
        progress.at(idle, &running.tally().line());
        let gone = withdrawn
            .iter()
            .all(|n| running.states[*n].profiles().is_empty());
        if gone && idle == all && nothing_open(site)? {
            break true;
        }
        if begin.elapsed() > patience {
            break false;
        }
        tokio::time::sleep(LOOK * 5).await;
    };
    progress.end(&running.tally().line());
    Ok(is_settled)
}

/// Has the CMP no open order and no call to make?
pub(crate) fn nothing_open(site: &Site) -> Result<bool, Failure> {
    let args = ["summary", "--json", "--config", "cmp.toml"];
    let text = output(site, "aid-cmp", &args, "")?;
    let summary: serde_json::Value = serde_json::from_str(&text)?;
    let row = summary.get(0).unwrap_or(&summary);
    let is_zero = |name: &str| row[name].as_u64().unwrap_or(0) == 0;
    Ok(["open_orders", "due_calls", "open_requests"]
        .iter()
        .all(|name| is_zero(name)))
}

fn parked(fleet: &Fleet, running: &Running, drove: &[bool], withdrawn: &[usize]) -> Vec<Parked> {
    let cars = fleet.vehicles.iter().zip(&running.states).enumerate();
    cars.map(|(n, (vehicle, state))| Parked {
        eid: vehicle.eid.as_str().to_owned(),
        profiles: state.profiles(),
        withdrawn: withdrawn.contains(&n),
        drove: drove[n],
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_rates_are_read() {
        assert_eq!(time("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(time("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(time("1h"), Ok(Duration::from_secs(3600)));
        assert_eq!(time("7"), Ok(Duration::from_secs(7)));
        for bad in [
            "",
            "s",
            "0s",
            "-1s",
            "25h",
            "1d",
            "1.5s",
            "99999999999999999999h",
            "é",
        ] {
            assert!(time(bad).is_err(), "{bad}");
        }
        assert_eq!(rate("0.5"), Ok(0.5));
        for bad in ["0", "-1", "NaN", "inf", "x", "1e9"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }
}
