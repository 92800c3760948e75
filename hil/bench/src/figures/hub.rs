//! What aid-hub adds to a call, beside haproxy as a bare reverse proxy: the same client calls the same target directly,
//! through haproxy and through the hub, in turns. The target is the bare HTTP server of the suite `aid1`; all lines have
//! mutual TLS with the same certificates.
//!
//! Request Activation Code is carried through and stored nowhere; Update Subscription Info is on disk before it is carried
//! on, and its answer before it is given. `reach` counts what it takes to reach a hundred CMPs.

mod haproxy;
mod reach;

use super::aid1::bare;
use super::aid1::load::{self, Lines};
use super::aid1::{Spread, start};
use super::{BenchArgs, Figures, say};
use crate::leftovers::Workshop;
use crate::process::Part;
use crate::site::{Options, Site};
use crate::story::books;
use aid_aid1::body::{RequestActivationCode, SendMspToken, UpdateSubscriptionInfo};
use aid_aid1::headers::{Credentials, Headers};
use aid_aid1::operation::Operation;
use aid_cli::cli::{Failure, LogArgs, block_on_all_cores};
use aid_cli::tls;
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::{HeaderValue, Request, StatusCode};
use haproxy::Haproxy;
use reach::Reached;
use rustls::ClientConfig;
use serde::Serialize;
use serde_json::json;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Most that the hub may add at the median, milliseconds.
const ADDED_MS: f64 = 1.0;
/// Most processor time of the hub for a call, microseconds.
const CPU_US: f64 = 100.0;
/// Turns of each way.
const ROUNDS: usize = 5;
/// No rate is in the way.
const UNLIMITED: &str = "\n[limits]\npair = { per_second = 1000000.0, burst = 1000000 }\n";

/// What a way did.
#[derive(Debug, Clone, Serialize)]
struct Way {
    name: &'static str,
    per_second: f64,
    /// Processor time of what stands between for each call, microseconds; none on the direct way.
    cpu_us: Option<f64>,
    /// What it adds to the direct way at the median, milliseconds.
    added_ms: f64,
    #[serde(flatten)]
    latency: Spread,
}

/// What was found of an operation.
#[derive(Debug, Clone, Serialize)]
struct Found {
    operation: &'static str,
    requests: usize,
    connections: u32,
    ways: Vec<Way>,
}

/// Who calls whom, with which key.
struct Caller {
    client_id: String,
    target_id: String,
    credentials: Credentials,
    tls: Arc<ClientConfig>,
}

impl Caller {
    /// The party of a description, with the certificate that it shows.
    fn new(site: &Site, own: &str, other: &str) -> Result<Self, Failure> {
        let text = |role: &str, key: &str| {
            let file = site.path(&format!("hub-{role}.toml"));
            let table: toml::Table = aid_cli::config::load(&file)?;
            let value = table.get(key).and_then(toml::Value::as_str);
            value
                .map(str::to_owned)
                .ok_or_else(|| Failure::new(format!("{} has no {key}", file.display())))
        };
        let pki = |name: &str| site.path("pki/aid").join(name);
        let (cert, key) = (pki(&format!("{own}.pem")), pki(&format!("{own}.key")));
        Ok(Self {
            client_id: text(own, "id")?,
            target_id: text(other, "id")?,
            credentials: Credentials::api_key(&text(own, "api_key_in")?)?,
            tls: tls::client_config(&pki("ca.pem"), Some((&cert, &key)))?,
        })
    }

    fn request<O: Operation>(&self, variable: &str, body: &str) -> Result<Request<Body>, Failure> {
        self.request_to::<O>(&self.target_id, variable, body)
    }

    fn request_to<O: Operation>(
        &self,
        target: &str,
        variable: &str,
        body: &str,
    ) -> Result<Request<Body>, Failure> {
        let headers = Headers {
            request_id: Uuid::new_v4(),
            correlation_id: Uuid::new_v4(),
            client_id: self.client_id.parse()?,
            target_id: target.parse()?,
        };
        let contract = O::CONTRACT;
        let mut request = Request::builder()
            .method(contract.method.clone())
            .uri(contract.path.with(variable))
            .body(Body::from(body.to_owned()))?;
        let map = request.headers_mut();
        *map = headers.to_map(&self.credentials);
        map.insert(HOST, HeaderValue::from_static("localhost"));
        map.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(request)
    }
}

/// Runs the suite.
pub(super) fn run(args: &BenchArgs, logs: &LogArgs) -> Result<Figures, Failure> {
    let place = args.state.clone().unwrap_or_else(std::env::temp_dir);
    let temporary = Workshop::new("hub", &place)?;
    let options = Options {
        hub: true,
        ..Options::default()
    };
    let site = Site::create(temporary.path(), options)?;
    site.make_logs()?;
    books::connect(&site)?;
    let config = std::fs::File::options()
        .append(true)
        .open(site.path("hub.toml"));
    config?.write_all(UNLIMITED.as_bytes())?;
    let (found, reached) = block_on_all_cores(measure(&site, args, logs))?;
    Ok(Figures {
        text: found.iter().map(text).collect::<String>() + &reach::text(&reached),
        json: json!({"operations": found, "reach": reached}),
    })
}

/// A way to the target.
struct Side {
    name: &'static str,
    lines: Lines,
    /// The process between.
    process: Option<u32>,
    wall: Duration,
    cpu: Duration,
    times: Vec<Duration>,
}

impl Side {
    async fn new(
        name: &'static str,
        caller: &Caller,
        connections: u32,
        (port, process): (u16, Option<u32>),
    ) -> Result<Self, Failure> {
        let lines = load::open(&caller.tls, connections, port).await;
        Ok(Self {
            name,
            lines: lines.map_err(Failure::new)?,
            process,
            wall: Duration::ZERO,
            cpu: Duration::ZERO,
            times: Vec::new(),
        })
    }

    async fn round(&mut self, requests: Vec<Request<Body>>, counted: bool) -> Result<(), Failure> {
        let cpu = || self.process.map(crate::process::cpu_of).unwrap_or_default();
        let before = cpu();
        let sent = self.lines.send(requests, StatusCode::CREATED).await;
        let (wall, times) = sent.map_err(Failure::new)?;
        if counted {
            self.cpu += self.process.map(crate::process::cpu_of).unwrap_or_default() - before;
            self.wall += wall;
            self.times.extend(times);
        }
        Ok(())
    }

    fn way(self, direct_ms: f64) -> Way {
        let count = self.times.len() as f64;
        let latency = Spread::of(self.times);
        Way {
            name: self.name,
            per_second: count / self.wall.as_secs_f64(),
            cpu_us: self.process.map(|_| self.cpu.as_secs_f64() * 1e6 / count),
            added_ms: latency.median_ms - direct_ms,
            latency,
        }
    }
}

async fn measure(
    site: &Site,
    args: &BenchArgs,
    logs: &LogArgs,
) -> Result<(Vec<Found>, Reached), Failure> {
    let at = |port: u16| format!("127.0.0.1:{port}");
    let (msp, cmp) = (at(site.ports.msp_aid1), at(site.ports.cmp_aid1));
    let bare = |address: &str| start(bare::PROGRAM, &bare::arguments(address), site, &logs.log);
    let targets = [bare(&msp)?, bare(&cmp)?];
    let hub = start(
        "aid-hub",
        &["serve", "--config", "hub.toml"],
        site,
        &logs.log,
    )?;
    // The touchpoint is not there, so its port is free.
    let proxy = Haproxy::start(site, site.ports.touchpoint, site.ports.msp_aid1)?;
    let (caller, issuer) = (
        Caller::new(site, "cmp", "msp")?,
        Caller::new(site, "msp", "cmp")?,
    );
    let token = Uuid::new_v4().to_string();
    let introduce = format!("{{\"msp_token\":\"{token}\"}}");
    let introduce = issuer.request::<SendMspToken>("a.b.c", &introduce)?;
    let mut line = load::open(&issuer.tls, 1, site.ports.hub)
        .await
        .map_err(Failure::new)?;
    let introduced = line.send(vec![introduce], StatusCode::CREATED).await;
    introduced.map_err(Failure::new)?;
    let connections = args.connections.unwrap_or(2);
    let ways = |direct: u16| {
        [
            ("direct", (direct, None)),
            ("haproxy", (site.ports.touchpoint, Some(proxy.id()))),
            ("aid-hub", (site.ports.hub, Some(hub.id()))),
        ]
    };
    let code = "{\"profileType\":\"personal\",\"deviceType\":\"tcu\"}";
    let update = "{\"subscriptionType\":\"personal\"}";
    let mut found = Vec::new();
    for (operation, party, direct, make) in [
        (
            "Request Activation Code",
            &caller,
            site.ports.msp_aid1,
            &(|| caller.request::<RequestActivationCode>(&token, code)) as Make<'_>,
        ),
        (
            "Update Subscription Info",
            &issuer,
            site.ports.cmp_aid1,
            &|| issuer.request::<UpdateSubscriptionInfo>(&token, update),
        ),
    ] {
        say(&format!("measuring {operation}"));
        let mut sides = Vec::new();
        for (name, way) in ways(direct) {
            sides.push(Side::new(name, party, connections, way).await?);
        }
        let each = (args.requests as usize).div_ceil(ROUNDS);
        for round in 0..=ROUNDS {
            for side in &mut sides {
                let requests = (0..each).map(|_| make()).collect::<Result<Vec<_>, _>>()?;
                side.round(requests, round > 0).await?;
            }
        }
        let direct = Spread::of(sides[0].times.clone()).median_ms;
        found.push(Found {
            operation,
            requests: each * ROUNDS,
            connections,
            ways: sides.into_iter().map(|side| side.way(direct)).collect(),
        });
    }
    say("measuring how an MSP reaches a hundred CMPs");
    let reached = reach::measure(site, &issuer).await?;
    for mut part in [hub].into_iter().chain(targets) {
        Part::stop(&mut part);
    }
    Ok((found, reached))
}

/// Makes the next call.
type Make<'a> = &'a dyn Fn() -> Result<Request<Body>, Failure>;

fn text(found: &Found) -> String {
    let mut out = String::new();
    // Writing into a String does not fail.
    let _ = writeln!(
        out,
        "{} {} over {} keep-alive connections with mutual TLS on both sides",
        found.requests, found.operation, found.connections
    );
    for way in &found.ways {
        let _ = write!(
            out,
            "  {}: {:.0} a second; median {:.2} ms, 99 % within {:.2} ms",
            way.name, way.per_second, way.latency.median_ms, way.latency.p99_ms
        );
        let Some(cpu) = way.cpu_us else {
            out.push('\n');
            continue;
        };
        let _ = write!(
            out,
            "; adds {:.2} ms and {cpu:.0} µs of processor time",
            way.added_ms
        );
        if way.name == "aid-hub" {
            let verdict = |good: bool| if good { "reached" } else { "MISSED" };
            let (time, cpu) = (verdict(way.added_ms <= ADDED_MS), verdict(cpu <= CPU_US));
            let _ = write!(out, " (goals {ADDED_MS} ms: {time}, {CPU_US} µs: {cpu})");
        }
        out.push('\n');
    }
    out
}
