//! Full TLS handshakes of cars at the CMP's gateway (AID2, mutual TLS), each up to the CONNACK of MQTT: by then the
//! certificate is verified and its car known to take part.
//!
//! The clients are in this process and take their share of the same processors. It is as small as it can be: they do not
//! verify the gateway's certificate, resume no session, and have their keys and messages ready before the clock runs.

use super::vehicle::{Dialer, text};
use super::{BenchArgs, Figures, commit, say};
use crate::leftovers::Workshop;
use crate::process::{self, Part, Spawn};
use crate::site::{Fleet, Options, Site};
use aid_cli::cli::{Failure, LogArgs, block_on_all_cores};
use aid_cmp::store::Store;
use aid_cmp_core::change::Change;
use aid_cmp_core::model::Vehicle;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use serde::Serialize;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Least handshakes a second.
const GOAL: f64 = 2500.0;
/// Vehicles that take turns. The gateway allows each of them a few connections at once.
const VEHICLES: u32 = 256;
/// Handshakes at once.
const AT_ONCE: usize = 32;

#[derive(Debug, Clone, Serialize)]
struct Found {
    handshakes: usize,
    at_once: usize,
    seconds: f64,
    per_second: f64,
    /// Processor time of the CMP for each, microseconds.
    gateway_us: f64,
    /// Processor time of the clients for each, microseconds.
    clients_us: f64,
    processors: usize,
    goal: f64,
}

/// Runs the suite.
pub(super) fn run(args: &BenchArgs, logs: &LogArgs) -> Result<Figures, Failure> {
    let place = args.state.clone().unwrap_or_else(std::env::temp_dir);
    let temporary = Workshop::new("handshakes", &place)?;
    let site = Site::create(temporary.path(), Options::default())?;
    site.make_logs()?;
    let fleet = Fleet::mint(&site, VEHICLES)?;
    let found = block_on_all_cores(measure(&site, &fleet, args, logs))?;
    Ok(Figures {
        text: verdicts(&found),
        json: serde_json::to_value(&found)?,
    })
}

async fn measure(
    site: &Site,
    fleet: &Fleet,
    args: &BenchArgs,
    logs: &LogArgs,
) -> Result<Found, Failure> {
    let store = Store::open(aid_cmp::config::read(&site.path("cmp.toml"))?.database).await?;
    let add =
        |vehicle: &crate::site::FleetVehicle| Change::AddVehicle(Vehicle::new(vehicle.eid, 0));
    commit(&store, fleet.vehicles.iter().map(add).collect()).await?;
    store.close().await;
    let cmp = Part::start(Spawn {
        program: "aid-cmp",
        suffix: "",
        args: &["serve", "--config", "cmp.toml"],
        dir: &site.dir,
        log: &logs.log,
        trace: false,
        counted: false,
    })?;
    let trust: Arc<dyn ServerCertVerifier> = Arc::new(Unverified);
    let dialer = Dialer::trusting(fleet, site.ports.gateway, &trust)?;
    let dialer = Arc::new(dialer);
    let count = args.requests as usize;
    say(&format!("{count} handshakes"));
    // What is made on first use is made.
    shake(&dialer, VEHICLES as usize).await?;
    let cpu = (cmp.cpu(), process::own_cpu());
    let begin = Instant::now();
    shake(&dialer, count).await?;
    let seconds = begin.elapsed().as_secs_f64();
    let each = |time: Duration| time.as_secs_f64() * 1e6 / count as f64;
    Ok(Found {
        handshakes: count,
        at_once: AT_ONCE,
        seconds,
        per_second: count as f64 / seconds,
        gateway_us: each(cmp.cpu() - cpu.0),
        clients_us: each(process::own_cpu() - cpu.1),
        processors: std::thread::available_parallelism().map_or(1, usize::from),
        goal: GOAL,
    })
}

/// Makes so many connections and leaves each at its CONNACK.
async fn shake(dialer: &Arc<Dialer>, count: usize) -> Result<(), Failure> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (dialer, next) = (Arc::clone(dialer), Arc::clone(&next));
        tasks.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= count {
                    return Ok(());
                }
                dialer.knock(n % VEHICLES as usize).await?;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.map_err(text).flatten().map_err(Failure::new)?;
    }
    Ok(())
}

/// Takes any server for the gateway: nothing is sent that would be worth a check, and the check's time would be measured.
#[derive(Debug)]
struct Unverified;

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

fn verdicts(found: &Found) -> String {
    let verdict = match found.per_second >= found.goal {
        true => "reached",
        false => "MISSED",
    };
    let both = found.gateway_us + found.clients_us;
    let mut out = String::new();
    // Writing into a String does not fail.
    let _ = writeln!(
        out,
        "full handshakes with mutual TLS at the gateway, {} of them, {} at once, each to its CONNACK: {:.0} a second \
         (goal {:.0}: {verdict})",
        found.handshakes, found.at_once, found.per_second, found.goal
    );
    let _ = writeln!(
        out,
        "  processor time of each: {:.0} µs of the gateway, {:.0} µs of the clients on the same {} processors, \
         {:.0} % of both",
        found.gateway_us,
        found.clients_us,
        found.processors,
        100.0 * found.clients_us / both
    );
    let _ = writeln!(
        out,
        "  the gateway's time alone allows {:.0} a second",
        found.processors as f64 * 1e6 / found.gateway_us
    );
    out
}
