//! The SM-DP+ in this process, without TLS: what its functions cost beside their cryptography, how many downloads a core
//! serves, and what sessions leave behind. A card in a script does the other half; its time is not counted.

mod lab;

use super::card::resident_kib;
use super::{BenchArgs, Figures, say};
use aid_cli::cli::{self, Failure};
use aid_rsp::crypto::Crypto as _;
use aid_rsp::es10::CancelSessionReason;
use aid_smdp::crypto::ServerCrypto;
use lab::Lab;

/// Most processor time of InitiateAuthentication, as a multiple of its one signature.
const MAX_RATIO: f64 = 1.5;
/// Fewest whole downloads per second and core.
const MIN_DOWNLOADS: f64 = 1000.0;
/// Most growth of memory over all sessions, KiB.
const MAX_GROWTH_KIB: f64 = 4096.0;
/// Sessions for each of `--requests`: 100,000 where nothing else is said.
const SESSIONS: u32 = 20;
/// InitiateAuthentication per second of other servers.
const PEERS: [(&str, f64); 2] = [("osmo-smdpp", 833.0), ("euicc-smdp", 2420.0)];

/// Processor time of this process, microseconds: that of the thread which writes the database, too.
fn processor_us() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

/// Measures the SM-DP+.
pub(super) fn run(args: &BenchArgs) -> Result<Figures, Failure> {
    cli::block_on(measure(args))
}

/// One signature of ServerSigned1's length, microseconds.
fn signature_us(lab: &Lab, times: u32) -> Result<f64, Failure> {
    let crypto = ServerCrypto::new();
    let key = lab.signing_key();
    let message = [7; 90];
    crypto.sign(key, &[&message])?;
    let before = processor_us();
    for _ in 0..times {
        crypto.sign(key, &[&message])?;
    }
    Ok((processor_us() - before) / f64::from(times))
}

async fn measure(args: &BenchArgs) -> Result<Figures, Failure> {
    let requests = args.requests;
    let sessions = requests.saturating_mul(SESSIONS);
    let mut lab = Lab::new(args.state.as_deref(), requests).await?;
    let request = lab.initiate_request();

    say(&format!("rsp: {sessions} InitiateAuthentication"));
    let before = processor_us();
    for _ in 0..sessions {
        lab.initiate(&request)?;
    }
    let initiate_us = (processor_us() - before) / f64::from(sessions);
    let signature_us = signature_us(&lab, sessions)?;

    say(&format!("rsp: {requests} whole downloads"));
    let mut download_us = 0.0;
    for n in 0..requests {
        download_us += lab.download(u64::from(n)).await?;
    }
    download_us /= f64::from(requests);

    say(&format!("rsp: {sessions} sessions, half of them abandoned"));
    let matching_id = lab.order().await?;
    let mut warm = 0.0;
    for n in 0..sessions {
        // A tenth fills the pools that stay.
        if n == sessions / 10 {
            warm = resident_kib()?;
        }
        match n % 2 {
            0 => drop(lab.initiate(&request)?),
            _ => {
                lab.cancelled(&matching_id, CancelSessionReason::Postponed)
                    .await?;
            }
        }
    }
    let growth_kib = resident_kib()? - warm;
    let ratio = initiate_us / signature_us;
    let downloads = 1e6 / download_us;
    let stored = lab.stored_sessions().await?;
    let verdict = |good: bool| if good { "reached" } else { "MISSED" };
    let peers: Vec<String> = PEERS
        .iter()
        .map(|(name, rate)| format!("{:.1} times {name}'s {rate:.0}", 1e6 / initiate_us / rate))
        .collect();
    Ok(Figures {
        text: format!(
            "InitiateAuthentication: {initiate_us:.1} µs of processor time, {rate:.0} a second and core ({peers})\n\
             to its signature ({signature_us:.1} µs): {ratio:.2} (limit {MAX_RATIO:.1}: {ratio_verdict})\n\
             one whole download (InitiateAuthentication, AuthenticateClient, GetBoundProfilePackage, HandleNotification; \
             a profile of {bytes} bytes): {download_us:.0} µs, {downloads:.0} a second and core (limit {MIN_DOWNLOADS:.0}: {downloads_verdict})\n\
             memory after {sessions} sessions, half of them abandoned: {growth_kib:+.0} KiB from a tenth of them on \
             (limit {MAX_GROWTH_KIB:.0} KiB: {growth_verdict}); {stored} rows of sessions are kept for ten minutes\n",
            rate = 1e6 / initiate_us,
            peers = peers.join(", "),
            ratio_verdict = verdict(ratio <= MAX_RATIO),
            bytes = lab.package_bytes(),
            downloads_verdict = verdict(downloads >= MIN_DOWNLOADS),
            growth_verdict = verdict(growth_kib <= MAX_GROWTH_KIB),
        ),
        json: serde_json::json!({
            "initiate_us": initiate_us,
            "signature_us": signature_us,
            "ratio": ratio,
            "download_us": download_us,
            "downloads_per_second_and_core": downloads,
            "profile_bytes": lab.package_bytes(),
            "sessions": sessions,
            "growth_kib": growth_kib,
            "stored_sessions": stored,
            "limits": {"ratio": MAX_RATIO, "downloads": MIN_DOWNLOADS, "growth_kib": MAX_GROWTH_KIB},
        }),
    })
}
