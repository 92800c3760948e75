//! The first provisioning (AID.02 §4.3) against its limits, against pure cryptography measured in the
//! same run, and against a peer chain.
//!
//! Operations are counted, not guessed: card and SM-DP+ log the signatures, verifications, key
//! agreements and key generations of what they just did, and every server logs its TLS handshakes
//! (target `figures`). Their cost is measured here, with the same code, right after the run.

use super::cost::{self, Costs};
use super::count::Counts;
use super::instructions::Instructions;
use super::{BenchArgs, Figures};
use crate::leftovers::Workshop;
use crate::report::Report;
use crate::site::{Options, Site};
use crate::story::{self, Telling};
use aid_cli::cli::{Failure, LogArgs};
use serde::Serialize;
use std::io::Write as _;

/// Most APDUs for one download.
const MAX_APDUS: u64 = 74;
/// APDUs of lpac with YggdraSIM and osmo-smdpp for one download.
const PEER_APDUS: u64 = 131;
/// Warm time of that chain, milliseconds.
const PEER_MS: (f64, f64) = (160.0, 237.0);
/// Most time from login to enabled, as a multiple of the pure cryptography in it.
const MAX_RATIO: f64 = 3.0;

/// What one run showed.
#[derive(Debug, Clone, Serialize)]
struct Run {
    /// Login to enabled, milliseconds.
    ms: f64,
    /// Processor time of all parts in it, milliseconds.
    cpu_ms: f64,
    /// APDUs of the download.
    apdus: u64,
    /// APDUs of enabling and of delivering the notifications after it.
    further_apdus: u64,
    /// Bytes over the admin link, login to enabled.
    admin_bytes: u64,
    /// Operations, login to enabled.
    counts: Counts,
    /// Their cost alone, milliseconds.
    crypto_ms: f64,
    /// One write to disk where the state is, milliseconds.
    sync_ms: f64,
}

/// Provisions `--runs` cars, each in a set-up of its own; the median counts.
pub(super) fn run(args: &BenchArgs, logs: &LogArgs) -> Result<Figures, Failure> {
    let mut runs = Vec::new();
    let mut costs = None;
    for n in 1..=args.runs {
        let (run, cost) = timed(args, logs)?;
        let _ = writeln!(
            std::io::stderr(),
            "run {n} of {}: {:.1} ms, {} APDUs, pure cryptography {:.1} ms",
            args.runs,
            run.ms,
            run.apdus,
            run.crypto_ms
        );
        runs.push(run);
        costs = Some(cost);
    }
    runs.sort_by(|a, b| a.ms.total_cmp(&b.ms));
    let (Some(median), Some(costs)) = (runs.get(runs.len() / 2), costs) else {
        return Err(Failure::usage("--runs must be at least 1"));
    };
    let counted = if args.instructions || Instructions::can_be_counted() {
        let told = told(args, logs, true)?;
        Some(Instructions::of(&told.site, &told.counts()?)?)
    } else {
        None
    };
    let json = serde_json::json!({
        "median": median, "runs": runs, "costs_us": costs,
        "limits": {"apdus": MAX_APDUS, "ratio": MAX_RATIO},
        "ratio": median.ms / median.crypto_ms, "cpu_ratio": median.cpu_ms / median.crypto_ms,
        "instructions": counted,
    });
    let mut text = text(median, &costs);
    if let Some(counted) = counted {
        let (total, crypto) = counted.millions();
        text.push_str(&format!(
            "instructions to those of the cryptography: {:.2} (limit {MAX_RATIO:.1}: {}; {total:.1} and {crypto:.1} million)\n",
            counted.ratio,
            verdict(counted.ratio <= MAX_RATIO)
        ));
    }
    Ok(Figures { text, json })
}

fn verdict(good: bool) -> &'static str {
    if good { "reached" } else { "MISSED" }
}

fn text(run: &Run, costs: &Costs) -> String {
    let ratio = run.ms / run.crypto_ms;
    format!(
        "one download: {apdus} APDUs (limit {MAX_APDUS}: {apdus_verdict}; {apdu_ratio:.2} of the peer chain's {PEER_APDUS}); {further} more to enable and to notify\n\
         login to enabled: {ms:.1} ms ({low:.2} to {high:.2} of the peer chain's {peer_high:.0} to {peer_low:.0} ms for its download alone)\n\
         admin link: {bytes} bytes\n\
         pure cryptography in it: {crypto:.1} ms = {counts} at {costs}\n\
         wall time to cryptography: {ratio:.2} (limit {MAX_RATIO:.1}: {ratio_verdict}), with {sync:.2} ms for each write to disk that must come before an answer\n\
         processor time to cryptography: {cpu_ratio:.2} ({cpu:.1} ms in all parts, kernel included)\n",
        apdus = run.apdus,
        apdus_verdict = verdict(run.apdus <= MAX_APDUS),
        apdu_ratio = run.apdus as f64 / PEER_APDUS as f64,
        further = run.further_apdus,
        ms = run.ms,
        low = run.ms / PEER_MS.1,
        high = run.ms / PEER_MS.0,
        peer_high = PEER_MS.1,
        peer_low = PEER_MS.0,
        bytes = run.admin_bytes,
        crypto = run.crypto_ms,
        counts = run.counts,
        ratio_verdict = verdict(ratio <= MAX_RATIO),
        sync = run.sync_ms,
        cpu_ratio = run.cpu_ms / run.crypto_ms,
        cpu = run.cpu_ms,
    )
}

/// A story that was told in a set-up of its own.
struct Told {
    /// Removes the set-up when it is dropped.
    _folder: Workshop,
    site: Site,
    report: Report,
}

impl Told {
    fn counts(&self) -> Result<Counts, Failure> {
        let (from, to) = self.report.provisioning;
        Counts::between(&self.site, from, to)
    }
}

fn told(args: &BenchArgs, logs: &LogArgs, counted: bool) -> Result<Told, Failure> {
    let place = args.state.clone().unwrap_or_else(std::env::temp_dir);
    let folder = Workshop::new("bench", &place)?;
    let options = Options {
        profile: args.profile.as_deref(),
        ..Options::default()
    };
    let site = Site::create(folder.path(), options)?;
    let filter = format!("{},figures=debug", logs.log);
    let telling = Telling {
        log: &filter,
        trace: false,
        aloud: false,
        recording: None,
        screen: false,
        pace: std::time::Duration::ZERO,
        counted,
    };
    let report = story::tell(&site, telling);
    match report.error {
        Some(error) => Err(Failure::new(error)),
        None => Ok(Told {
            _folder: folder,
            site,
            report,
        }),
    }
}

fn timed(args: &BenchArgs, logs: &LogArgs) -> Result<(Run, Costs), Failure> {
    let told = told(args, logs, false)?;
    let (site, report) = (&told.site, &told.report);
    let sum = |names: &[&str]| {
        let steps = report.steps.iter().filter(|s| names.contains(&s.name));
        steps.fold((0, 0), |(apdus, bytes), s| {
            (apdus + s.apdus, bytes + s.admin_bytes)
        })
    };
    let (_, admin_bytes) = sum(&["login", "activation-code", "download", "enable"]);
    let (apdus, _) = sum(&["download"]);
    let (further_apdus, _) = sum(&["enable", "status"]);
    let (from, to) = report.provisioning;
    let counts = told.counts()?;
    let costs = Costs::measure(site)?;
    let run = Run {
        ms: to.duration_since(from).unwrap_or_default().as_secs_f64() * 1000.0,
        cpu_ms: report.cpu.as_secs_f64() * 1000.0,
        apdus,
        further_apdus,
        admin_bytes,
        crypto_ms: costs.of(&counts) / 1000.0,
        sync_ms: cost::sync(site)? / 1000.0,
        counts,
    };
    Ok((run, costs))
}
