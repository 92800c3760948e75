//! Send Activation Code at a CMP whose state is in PostgreSQL, on the same cores: rate, latency, and processor time of
//! both processes. The server is started for it, with `synchronous_commit` and `fsync` on.

use super::{ROUNDS, Sender, Served, Side, UNLIMITED, people, start};
use crate::figures::{BenchArgs, Figures, commit, say};
use crate::leftovers::Workshop;
use crate::site::{Options, Site};
use aid_cli::cli::{Failure, LogArgs, block_on_all_cores};
use aid_cli::tls;
use aid_cmp::store::Store;
use aid_needs::postgres::Postgres;
use serde::Serialize;
use std::time::Duration;

/// Connections, where the command line names none: those that the goals are for.
const CONNECTIONS: u32 = 64;
/// Calls a second to reach.
const GOAL_PER_SECOND: f64 = 6000.0;
/// Processor time of each, aid-cmp and PostgreSQL together, microseconds.
const GOAL_CPU_US: f64 = 250.0;

/// What was found.
#[derive(Debug, Serialize)]
struct Found {
    requests: usize,
    connections: u32,
    /// Rate, latency and the processor time of aid-cmp.
    cmp: Served,
    /// Processor time of all processes of PostgreSQL for each call, microseconds.
    postgres_cpu_us: f64,
    goal_per_second: f64,
    goal_cpu_us: f64,
}

/// Runs the suite.
pub(in crate::figures) fn run(args: &BenchArgs, logs: &LogArgs) -> Result<Figures, Failure> {
    let none = || Failure::new("this machine has no PostgreSQL (initdb)");
    let server = Postgres::start_with(&["shared_buffers=128MB"]).ok_or_else(none)?;
    let place = args.state.clone().unwrap_or_else(std::env::temp_dir);
    let temporary = Workshop::new("aid1", &place)?;
    let site = Site::create(temporary.path(), Options::default())?;
    site.make_logs()?;
    let file = site.path("cmp.toml");
    let text = std::fs::read_to_string(&file)?;
    let mut config: toml::Table = toml::from_str(&text)?;
    config.insert("database".into(), server.url().into());
    std::fs::write(&file, toml::to_string(&config)? + UNLIMITED)?;
    let found = block_on_all_cores(measure(&site, &server, args, logs))?;
    Ok(Figures {
        text: text_of(&found),
        json: serde_json::to_value(&found)?,
    })
}

async fn measure(
    site: &Site,
    server: &Postgres,
    args: &BenchArgs,
    logs: &LogArgs,
) -> Result<Found, Failure> {
    let config = aid_cmp::config::read(&site.path("cmp.toml"))?;
    let requests = args.requests as usize;
    let connections = args.connections.unwrap_or(CONNECTIONS);
    let warm = requests / 10;
    let all = requests + warm;
    say(&format!("filling the database with {all} open requests"));
    let store = Store::open(config.database.clone()).await?;
    let (waiting, changes) = people::waiting(&config, all)?;
    commit(&store, changes).await?;
    store.close().await;

    let pki = |name: &str| site.path("pki/aid").join(name);
    let own = (pki("msp.pem"), pki("msp.key"));
    let tls = tls::client_config(&pki("ca.pem"), Some((&own.0, &own.1)))?;
    let sender = Sender::new(&config, tls, connections)?;
    let serve = ["serve", "--config", "cmp.toml"];
    let part = start("aid-cmp", &serve, site, &logs.log)?;
    let mut cmp = Side::new(part, &sender, site.ports.cmp_aid1, 200).await?;
    say("sending activation codes");
    let (first, calls) = waiting.split_at(warm);
    cmp.round(&sender, first, false).await?;
    let mut used = Duration::ZERO;
    for calls in calls.chunks(calls.len().div_ceil(ROUNDS)) {
        let before = server.cpu();
        cmp.round(&sender, calls, true).await?;
        used += server.cpu().saturating_sub(before);
    }
    Ok(Found {
        requests,
        connections,
        cmp: cmp.served(),
        postgres_cpu_us: used.as_secs_f64() * 1e6 / requests as f64,
        goal_per_second: GOAL_PER_SECOND,
        goal_cpu_us: GOAL_CPU_US,
    })
}

fn text_of(found: &Found) -> String {
    let verdict = |good: bool| if good { "reached" } else { "MISSED" };
    let (cmp, server) = (&found.cmp, found.postgres_cpu_us);
    let both = cmp.cpu_us + server;
    format!(
        "{} Send Activation Code over {} keep-alive connections with mutual TLS; the rate limit of AID1 is configured away\n  \
         aid-cmp, PostgreSQL on the same cores, synchronous_commit on: {:.0} a second (goal {GOAL_PER_SECOND:.0}: {}); \
         median {:.2} ms, 99 % within {:.2} ms\n  \
         processor time each: aid-cmp {:.0} µs, PostgreSQL {server:.0} µs, together {both:.0} µs (goal {GOAL_CPU_US:.0} µs: {})\n",
        found.requests,
        found.connections,
        cmp.per_second,
        verdict(cmp.per_second >= GOAL_PER_SECOND),
        cmp.latency.median_ms,
        cmp.latency.p99_ms,
        cmp.cpu_us,
        verdict(both <= GOAL_CPU_US),
    )
}
