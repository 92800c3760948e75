//! What a fleet showed, as text and as a report.

use super::{FleetArgs, Found};
use aid_cli::cli::Failure;
use aid_cli::printable::printable;
use aid_report::{Case, Counts, FORMAT, Kind, Laboratory, Report, Step, Verdict, Version};
use std::fmt::Write as _;

/// Most kinds of errors that are written out.
const MOST_ERRORS: usize = 20;

/// The figures for people; the verdicts are in the report's table.
pub(super) fn text(found: &Found) -> String {
    let mut out = String::new();
    // Writing into a String does not fail.
    let _ = writeln!(
        out,
        "{} of {} cars connected in {:.1} s; {} journeys, {} profiles installed, {} drivers withdrawn, {} cars back after the outage",
        found.connected,
        found.vehicles,
        found.connect_s,
        found.journeys,
        found.installed,
        found.withdrawn,
        found.returned
    );
    let _ = writeln!(
        out,
        "{} APDUs, {} bytes of ES9+; processor time {:.1} s in the cars, {:.1} s in the servers",
        found.apdus, found.bytes, found.cars_cpu_s, found.servers_cpu_s
    );
    let _ = writeln!(
        out,
        "\n{:<14}{:>9}{:>12}{:>12}{:>12}{:>12}",
        "ms", "count", "median", "90 %", "99 %", "longest"
    );
    for spread in &found.spreads {
        let _ = writeln!(
            out,
            "{:<14}{:>9}{:>12.1}{:>12.1}{:>12.1}{:>12.1}",
            spread.what, spread.count, spread.p50_ms, spread.p90_ms, spread.p99_ms, spread.max_ms
        );
    }
    for (text, count) in found.errors.iter().take(MOST_ERRORS) {
        let _ = writeln!(out, "error, {count} times: {}", printable(text));
    }
    let _ = writeln!(out);
    out
}

fn case(
    name: &str,
    about: &str,
    clause: &str,
    failures: &[String],
    args: &FleetArgs,
    seed: u64,
) -> Case {
    let failed = !failures.is_empty();
    Case {
        name: name.to_owned(),
        about: about.to_owned(),
        clause: clause.to_owned(),
        requirements: Vec::new(),
        sgp23: Vec::new(),
        verdict: if failed { Verdict::Fail } else { Verdict::Pass },
        reason: None,
        failure: failed.then(|| aid_report::Failure {
            expected: about.to_owned(),
            seen: failures.join("; "),
            repeat: command(args, seed),
        }),
        steps: Vec::new(),
        messages: Vec::new(),
        counts: Counts::default(),
    }
}

fn command(args: &FleetArgs, seed: u64) -> String {
    format!(
        "aid-hil fleet --vehicles {} --rate {} --duration {}s --seed {seed}",
        args.vehicles,
        args.rate,
        args.duration.as_secs()
    )
}

/// The report: one case for what the fleet went through, one for each invariant.
pub(super) fn report(
    args: &FleetArgs,
    found: &Found,
    seed: u64,
    began: jiff::Timestamp,
    laboratory: Laboratory,
) -> Result<Report, Failure> {
    let mut phases = case(
        "fleet/phases",
        "All cars connect, come to rest after their journeys, and are back after the outage of the CMP.",
        "AID.02 §3.2",
        &found.stuck,
        args,
        seed,
    );
    let us = |ms: f64| (ms * 1000.0) as u64;
    phases.steps = found
        .spreads
        .iter()
        .map(|spread| Step {
            title: format!(
                "{} {}: median {:.1} ms, 90 % {:.1}, 99 % {:.1}, longest {:.1}",
                spread.count,
                spread.what,
                spread.p50_ms,
                spread.p90_ms,
                spread.p99_ms,
                spread.max_ms
            ),
            verdict: Verdict::Pass,
            requirements: Vec::new(),
            reason: None,
            at_us: 0,
            counts: Counts {
                us: us(spread.p50_ms),
                ..Counts::default()
            },
        })
        .collect();
    let ended = jiff::Timestamp::now();
    let took = ended.duration_since(began).as_micros();
    phases.counts = Counts {
        us: u64::try_from(took).unwrap_or(0),
        apdus: found.apdus,
        bytes: found.bytes,
    };
    let errors: Vec<String> = found
        .errors
        .iter()
        .take(MOST_ERRORS)
        .map(|(text, count)| format!("{count} times: {text}"))
        .collect();
    let mut clean = case(
        "fleet/errors",
        "No login, code, card operation or installation fails.",
        "AID.02 §4.3",
        &errors,
        args,
        seed,
    );
    if clean.verdict == Verdict::Fail {
        // What is tried again and succeeds is no defect of the books; the invariants decide.
        clean.verdict = Verdict::Warning;
        clean.reason = clean.failure.take().map(|failure| failure.seen);
    }
    let mut cases = vec![phases, clean];
    for rule in &found.invariants {
        let mut failures = rule.examples.clone();
        if rule.broken > failures.len() {
            failures.push(format!("and {} more", rule.broken - failures.len()));
        }
        let mut made = case(rule.name, rule.about, rule.clause, &failures, args, seed);
        if rule.checked == 0 {
            made.verdict = Verdict::Skipped;
            made.reason = Some("there was nothing to check: no car got that far".to_owned());
        } else {
            made.steps.push(Step {
                title: format!("{} checked, {} broken", rule.checked, rule.broken),
                verdict: made.verdict,
                requirements: Vec::new(),
                reason: None,
                at_us: 0,
                counts: Counts::default(),
            });
        }
        cases.push(made);
    }
    let second = |time: jiff::Timestamp| {
        jiff::Timestamp::from_second(time.as_second()).map(|time| time.to_string())
    };
    Ok(Report {
        format: FORMAT,
        kind: Kind::Fleet,
        subject: format!("{} cars", args.vehicles),
        command: command(args, seed),
        seed,
        began: second(began)?,
        ended: second(ended)?,
        laboratory,
        versions: vec![Version {
            name: "aid-hil".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }],
        cases,
    })
}
