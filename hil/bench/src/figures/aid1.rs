//! AID1 at the CMP: Send Activation Code over keep-alive connections with mutual TLS, beside two bare HTTP
//! servers that answer the same requests with an empty 201, one of which commits a row for each before; and the
//! time from a driver's login to the activation code in the car, without the MSP's.
//!
//! All servers are processes of their own with the same listener and the same certificates; all get the
//! same requests by the same client, which is in this process and takes its share of the processor. They
//! take turns, so that whatever else the machine does disturbs all.

pub(super) mod bare;
pub(super) mod load;
mod login;
pub(crate) mod people;
mod postgres;

use super::{BenchArgs, Figures, commit, say};
use crate::leftovers::Workshop;
use crate::process::{Part, Spawn};
use crate::site::{Fleet, Options, Site};
use aid_cli::cli::{Failure, LogArgs, block_on_all_cores};
use aid_cli::tls;
use aid_cmp::store::Store;
use axum::http::StatusCode;
use load::{Lines, Sender};
use people::Waiting;
use serde::Serialize;
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

pub(crate) use bare::run as run_bare;
pub(super) use postgres::run as run_on_postgres;

/// Least share of the requests per second of the bare server that commits a row for each.
const GOAL: f64 = 0.6;
/// Turns of each server.
const ROUNDS: usize = 5;
/// Drivers that log in, one after the other, each in a car of their own.
const LOGINS: u32 = 200;
/// Requests per second that no limit is in the way of.
pub(crate) const UNLIMITED: &str =
    "\n[limits]\naid1 = { per_second = 1000000.0, burst = 1000000 }\n";

/// Median and 99th percentile, milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Spread {
    pub(super) median_ms: f64,
    pub(super) p99_ms: f64,
}

impl Spread {
    pub(super) fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |share: f64| {
            let last = times.len().saturating_sub(1);
            let time = times.get((last as f64 * share).round() as usize);
            time.copied().unwrap_or_default().as_secs_f64() * 1000.0
        };
        Self {
            median_ms: at(0.5),
            p99_ms: at(0.99),
        }
    }
}

/// What a server did.
#[derive(Debug, Clone, Serialize)]
struct Served {
    per_second: f64,
    /// Processor time of its process for each request, microseconds.
    cpu_us: f64,
    #[serde(flatten)]
    latency: Spread,
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
struct Found {
    requests: usize,
    connections: u32,
    /// Send Activation Code at the CMP.
    cmp: Served,
    /// The bare server that commits a row for each request.
    keeping: Served,
    /// The bare server that stores nothing.
    bare: Served,
    /// Share of the requests per second of the server that commits a row for each.
    rate_ratio: f64,
    /// The same by processor time alone.
    cpu_ratio: f64,
    /// Share of the requests per second of the server that stores nothing.
    bare_ratio: f64,
    goal: f64,
    /// The AID1 rate limit was configured away.
    unlimited: bool,
    login: login::Logins,
}

/// What Send Activation Code is to reach over so many connections: requests a second, processor time of each in
/// microseconds, and the 99th percentile in milliseconds.
const GOALS: [(u32, [f64; 3]); 2] = [(16, [9_000.0, 100.0, 6.0]), (64, [12_000.0, 80.0, 20.0])];

impl Found {
    /// What, value, limit, and whether it holds; none for a number of connections without goals.
    fn goals(&self) -> Vec<(&'static str, f64, f64, bool)> {
        let goals = GOALS.iter().filter(|(count, _)| *count == self.connections);
        let cmp = &self.cmp;
        let rows = goals.flat_map(|(_, [rate, cpu, p99])| {
            [
                (
                    "requests a second",
                    cmp.per_second,
                    *rate,
                    cmp.per_second >= *rate,
                ),
                ("processor time, µs", cmp.cpu_us, *cpu, cmp.cpu_us <= *cpu),
                (
                    "99 % within, ms",
                    cmp.latency.p99_ms,
                    *p99,
                    cmp.latency.p99_ms <= *p99,
                ),
            ]
        });
        rows.collect()
    }
}

/// Runs the suite.
pub(super) fn run(args: &BenchArgs, logs: &LogArgs) -> Result<Figures, Failure> {
    let usual = || GOALS.map(|(count, _)| count).to_vec();
    let (mut out, mut json) = (String::new(), serde_json::Map::new());
    for connections in args.connections.map_or_else(usual, |count| vec![count]) {
        let found = with(connections, args, logs)?;
        out.push_str(&text(&found));
        json.insert(connections.to_string(), serde_json::to_value(&found)?);
    }
    Ok(Figures {
        text: out,
        json: json.into(),
    })
}

/// Measures in a set-up of its own.
fn with(connections: u32, args: &BenchArgs, logs: &LogArgs) -> Result<Found, Failure> {
    let place = args.state.clone().unwrap_or_else(std::env::temp_dir);
    let temporary = Workshop::new("aid1", &place)?;
    let site = Site::create(temporary.path(), Options::default())?;
    site.make_logs()?;
    let fleet = Fleet::mint(&site, LOGINS)?;
    std::fs::File::options()
        .append(true)
        .open(site.path("cmp.toml"))?
        .write_all(UNLIMITED.as_bytes())?;
    let requests = args.requests as usize;
    block_on_all_cores(measure(&site, &fleet, requests, connections, logs))
}

/// A server and the connections to it.
struct Side {
    part: Part,
    lines: Lines,
    answer: StatusCode,
    wall: Duration,
    cpu: Duration,
    times: Vec<Duration>,
}

impl Side {
    async fn new(part: Part, sender: &Sender, port: u16, answer: u16) -> Result<Self, Failure> {
        let lines = sender.open(port).await.map_err(Failure::new)?;
        Ok(Self {
            part,
            lines,
            answer: StatusCode::from_u16(answer)?,
            wall: Duration::ZERO,
            cpu: Duration::ZERO,
            times: Vec::new(),
        })
    }

    /// Sends these; without `counted` to warm up only.
    async fn round(
        &mut self,
        sender: &Sender,
        calls: &[Waiting],
        counted: bool,
    ) -> Result<(), Failure> {
        let requests = calls.iter().map(|call| sender.request(call));
        let requests = requests.collect::<Result<Vec<_>, _>>()?;
        let cpu = self.part.cpu();
        let sent = self.lines.send(requests, self.answer).await;
        let (wall, times) = sent.map_err(Failure::new)?;
        if counted {
            self.cpu += self.part.cpu() - cpu;
            self.wall += wall;
            self.times.extend(times);
        }
        Ok(())
    }

    fn served(self) -> Served {
        let count = self.times.len() as f64;
        Served {
            per_second: count / self.wall.as_secs_f64(),
            cpu_us: self.cpu.as_secs_f64() * 1e6 / count,
            latency: Spread::of(self.times),
        }
    }
}

pub(super) fn start(
    program: &'static str,
    args: &[&str],
    site: &Site,
    log: &str,
) -> Result<Part, Failure> {
    Part::start(Spawn {
        program,
        suffix: "",
        args,
        dir: &site.dir,
        log,
        trace: false,
        counted: false,
    })
}

async fn measure(
    site: &Site,
    fleet: &Fleet,
    requests: usize,
    connections: u32,
    logs: &LogArgs,
) -> Result<Found, Failure> {
    let config = aid_cmp::config::read(&site.path("cmp.toml"))?;
    let warm = requests / 10;
    say(&format!(
        "filling the database with {} open requests",
        requests + warm
    ));
    let store = Store::open(config.database.clone()).await?;
    let (waiting, changes) = people::waiting(&config, requests + warm)?;
    commit(&store, changes).await?;
    let (drivers, changes) = people::drivers(&config, fleet)?;
    commit(&store, changes).await?;
    store.close().await;

    let pki = |name: &str| site.path("pki/aid").join(name);
    let own = (pki("msp.pem"), pki("msp.key"));
    let tls = tls::client_config(&pki("ca.pem"), Some((&own.0, &own.1)))?;
    let sender = Sender::new(&config, tls, connections)?;
    let cmp = start(
        "aid-cmp",
        &["serve", "--config", "cmp.toml"],
        site,
        &logs.log,
    )?;
    // The MSP's touchpoint and the SM-DP+ are not there, so their ports are free.
    let ports = (site.ports.touchpoint, site.ports.es9);
    let listen = |port: u16| format!("127.0.0.1:{port}");
    let (here, there) = (listen(ports.0), listen(ports.1));
    let bare = start(bare::PROGRAM, &bare::arguments(&here), site, &logs.log)?;
    let database = ["--database", "rows.db"];
    let arguments = [&bare::arguments(&there)[..], &database[..]].concat();
    let keeping = start(bare::PROGRAM, &arguments, site, &logs.log)?;
    let mut cmp = Side::new(cmp, &sender, site.ports.cmp_aid1, 200).await?;
    let mut bare = Side::new(bare, &sender, ports.0, 201).await?;
    let mut keeping = Side::new(keeping, &sender, ports.1, 201).await?;
    say("sending activation codes");
    let (first, calls) = waiting.split_at(warm);
    for side in [&mut cmp, &mut keeping, &mut bare] {
        side.round(&sender, first, false).await?;
    }
    for calls in calls.chunks(calls.len().div_ceil(ROUNDS)) {
        for side in [&mut cmp, &mut keeping, &mut bare] {
            side.round(&sender, calls, true).await?;
        }
    }
    say("logging in");
    let login = login::measure(site, fleet, &config, &drivers).await?;
    let (cmp, keeping, bare) = (cmp.served(), keeping.served(), bare.served());
    Ok(Found {
        requests,
        connections,
        rate_ratio: cmp.per_second / keeping.per_second,
        cpu_ratio: keeping.cpu_us / cmp.cpu_us,
        bare_ratio: cmp.per_second / bare.per_second,
        cmp,
        keeping,
        bare,
        goal: GOAL,
        unlimited: true,
        login,
    })
}

fn text(found: &Found) -> String {
    let verdict = |good: bool| if good { "reached" } else { "MISSED" };
    let mut out = String::new();
    // Writing into a String does not fail.
    let _ = writeln!(
        out,
        "{} Send Activation Code over {} keep-alive connections with mutual TLS; the rate limit of AID1 is configured away",
        found.requests, found.connections
    );
    for (name, served) in [
        ("aid-cmp, SQLite", &found.cmp),
        ("bare HTTP server, one row each, SQLite", &found.keeping),
        ("bare HTTP server, empty 201", &found.bare),
    ] {
        let _ = writeln!(
            out,
            "  {name}: {:.0} a second, {:.0} µs processor time each; median {:.2} ms, 99 % within {:.2} ms",
            served.per_second, served.cpu_us, served.latency.median_ms, served.latency.p99_ms
        );
    }
    let _ = writeln!(
        out,
        "share of the bare server that commits a row for each: {:.0} % by requests a second (goal {:.0} %: {}), {:.0} % by \
         processor time; of the one that stores nothing: {:.0} %",
        found.rate_ratio * 100.0,
        GOAL * 100.0,
        verdict(found.rate_ratio >= GOAL),
        found.cpu_ratio * 100.0,
        found.bare_ratio * 100.0,
    );
    for (what, value, limit, holds) in found.goals() {
        let _ = writeln!(
            out,
            "  {what}: {value:.1} (goal {limit}: {})",
            verdict(holds)
        );
    }
    out.push_str(&found.login.text());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_is_of_the_sorted_times() {
        let times = (1..=100).rev().map(Duration::from_millis).collect();
        let spread = Spread::of(times);
        assert!((50.0..=51.0).contains(&spread.median_ms), "{spread:?}");
        assert_eq!(spread.p99_ms, 99.0);
        assert_eq!(Spread::of(Vec::new()).p99_ms, 0.0);
    }
}
