//! What the CMP makes of an MSP that does not keep to AID.02: each misbehaviour of `aid-msp` by its name,
//! against the real CMP, and what came of it. The tables are those of docs/msp-control.md.

use super::stage::Stage;
use super::{Entry, Needs};
use crate::story::books::poll;
use crate::story::browser;
use aid_shell::cli::Failure;
use serde_json::Value;

pub(super) const SCENARIOS: &[Entry] = &[
    (
        "misbehaving-calls",
        "the MSP calls wrongly: the CMP refuses by the contract, or does what can be done (§5, §7.3, §7.6)",
        Needs::of(1, 1, 1).controlled(),
        calls,
    ),
    (
        "misbehaving-codes",
        "the MSP answers wrongly: a car gets its profile all the same, or hears why not (§7.7)",
        Needs::of(1, 1, 40).controlled(),
        codes,
    ),
];

/// Update Subscription Info, done wrongly; what the CMP answers to each try.
const UPDATES: [(&str, &str); 26] = [
    ("unknown-members", "201"),
    ("wrong-correlation-id", "201"),
    ("send-twice", "201, 201"),
    ("repeat", "201, 201"),
    ("reused-request-id", "201, 422/91"),
    ("late-call", "201"),
    ("no-call", ""),
    ("bad-request-id", "422/91"),
    ("wrong-target-id", "403/104"),
    ("wrong-client-id", "401/93"),
    ("wrong-api-key", "401/104"),
    ("no-api-key", "401/104"),
    ("empty-body", "422/60"),
    ("not-json", "422/91"),
    ("oversized-body", "413/91"),
    ("duplicate-members", "422/91"),
    ("missing-member", "422/60"),
    ("null-member", "422/60"),
    ("wrong-content-type", "415/91"),
    ("wrong-subscription-type", "422/91"),
    ("plain-phone", "422/91"),
    ("plus-phone", "422/91"),
    ("wrong-iv", "422/91"),
    ("short-iv", "422/91"),
    ("wrong-phone-key", "422/91"),
    ("fixed-iv", "201"),
];

/// Send MSP Token, done wrongly; what the CMP answers, and whether the accounts are linked then.
const TOKENS: [(&str, &str); 8] = [
    ("onboarding-error", "201, not linked"),
    ("long-error", "201, not linked"),
    ("token-and-error", "201, not linked"),
    ("neither-token-nor-error", "422/60, not linked"),
    ("bad-token", "422/29, not linked"),
    ("second-token", "201, 422/24, linked"),
    ("wrong-subscription-type", "422/91, not linked"),
    ("plain-phone", "422/91, not linked"),
];

/// Request Activation Code, answered wrongly; what the driver in the car gets.
const CODES: [(&str, &str); 24] = [
    ("asynchronous", "enabled"),
    ("slow-answer", "enabled"),
    ("server-error", "enabled"),
    ("rate-limit", "enabled"),
    ("proxy-error", "enabled"),
    ("bare-error", "enabled"),
    ("cut-connection", "enabled"),
    ("lost-answer", "enabled"),
    ("code-before-201", "enabled"),
    ("code-after-timeout", "enabled"),
    ("double-code", "enabled"),
    ("second-code", "enabled"),
    ("unknown-members", "enabled"),
    ("no-iccid", "enabled"),
    ("strange-swap", "enabled"),
    ("self-swap", "enabled"),
    ("hidden-swap", "enabled"),
    ("foreign-iccid", "enabled"),
    ("refuse", "failed 49"),
    ("fail-later", "failed 49"),
    ("numeric-code", "failed 49"),
    ("bad-activation-code", "failed 47"),
    ("wrong-profile-type", "failed 50"),
    ("never-code", "pending"),
];

/// The newest event of the MSP.
fn newest(stage: &Stage) -> Result<i64, Failure> {
    let events = events(stage, 0)?;
    Ok(events.last().and_then(|e| e["seq"].as_i64()).unwrap_or(0))
}

fn events(stage: &Stage, after: i64) -> Result<Vec<Value>, Failure> {
    let after = after.to_string();
    let text = stage.msp(&["misbehave", "events", "--after", &after, "--json"])?;
    Ok(serde_json::from_str(&text)?)
}

/// What the CMP answered to the calls after an event, once there are `count`.
fn answers(stage: &Stage, after: i64, name: &str, count: usize) -> Result<String, Failure> {
    let mut said = Vec::new();
    poll(&format!("what the CMP says to {name}"), || {
        said = events(stage, after)?
            .iter()
            .filter(|e| e["name"] == name && e["status"].is_u64())
            .map(|e| match e["code"].as_str() {
                Some(code) if !code.is_empty() => format!("{}/{code}", e["status"]),
                _ => e["status"].to_string(),
            })
            .collect();
        Ok(said.len() >= count)
    })?;
    Ok(said.join(", "))
}

/// Asks for a misbehaviour, as often as it may act in one transaction.
fn misbehave(stage: &Stage, name: &str, operation: &str) -> Result<(), Failure> {
    let mut args = vec!["misbehave", "set", name];
    if !operation.is_empty() {
        args.extend(["--operation", operation]);
    }
    if name == "late-call" {
        args.extend(["--delay-ms", "300"]);
    }
    stage.msp(&args).map(drop)
}

/// One outcome beside what it should be.
fn judge(stage: &mut Stage, wrong: &mut Vec<String>, name: &str, got: &str, wanted: &str) {
    stage.step(format!("{name}: {got}"));
    if got != wanted {
        wrong.push(format!("{name}: {got:?}, not {wanted:?}"));
    }
}

fn verdict(wrong: &[String]) -> Result<(), Failure> {
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(wrong.join("; ")))
    }
}

fn calls(stage: &mut Stage) -> Result<(), Failure> {
    let mut wrong = Vec::new();
    stage.link(0)?;
    let user = stage.driver(0).msp_user;
    for (n, (name, wanted)) in UPDATES.into_iter().enumerate() {
        let before = newest(stage)?;
        misbehave(stage, name, "update-subscription-info")?;
        let number = format!("4917000001{n:02}");
        stage.msp(&["subscription", "update", user, "--msisdn", &number])?;
        let count = wanted.split(", ").filter(|w| !w.is_empty()).count();
        let got = answers(stage, before, name, count)?;
        judge(stage, &mut wrong, name, &got, wanted);
        stage.msp(&["misbehave", "clear"])?;
    }
    unlink(stage)?;
    tokens(stage, &mut wrong)?;
    verdict(&wrong)
}

/// Onboarding that goes wrong, each time from the beginning.
fn tokens(stage: &mut Stage, wrong: &mut Vec<String>) -> Result<(), Failure> {
    let who = stage.driver(0);
    for (name, wanted) in TOKENS {
        let before = newest(stage)?;
        misbehave(stage, name, "send-msp-token")?;
        // The MSP's page may send the browser back with an error: that is not the question here.
        let _ = browser::onboard(&stage.site, &who);
        let count = wanted.matches(", ").count();
        let said = answers(stage, before, name, count)?;
        let linked = stage.active(who.name)? > 0;
        let got = format!("{said}, {}", if linked { "linked" } else { "not linked" });
        judge(stage, wrong, name, &got, wanted);
        stage.msp(&["misbehave", "clear"])?;
        unlink(stage)?;
    }
    Ok(())
}

/// Ends all links of the driver, and waits until his profiles are gone.
fn unlink(stage: &mut Stage) -> Result<(), Failure> {
    for federation in stage.cmp_list("federation")? {
        if let (Some(id), true) = (
            federation["federation"].as_str(),
            federation["ended_at"].is_null(),
        ) {
            stage.cmp(&["federation", "withdraw", id, "--reason", "the next one"])?;
        }
    }
    stage.wait_no_orders()?;
    poll("the MSP to hear of the end", || {
        let open = |f: &Value| f["kind"] == "invalidate" && f["state"] == "due";
        Ok(!stage.cmp_list("outbox")?.iter().any(open))
    })
}

fn codes(stage: &mut Stage) -> Result<(), Failure> {
    let mut wrong = Vec::new();
    for (name, wanted) in CODES {
        stage.link(0)?;
        let sent = ["double-code", "second-code"].contains(&name);
        if sent {
            misbehave(stage, "asynchronous", "")?;
        }
        misbehave(
            stage,
            name,
            if sent {
                "send-activation-code"
            } else {
                "request-activation-code"
            },
        )?;
        let (agent, who) = (stage.car(0)?, stage.driver(0));
        let mut events = agent.events()?;
        agent.login(who.name, &who.pin)?;
        let mut ends = vec!["enabled", "activation_code_failed", "installation_failed"];
        if wanted == "pending" {
            ends.push("activation_code_pending");
        }
        let event = events.wait(&ends)?;
        let got = match event["event"].as_str() {
            Some("activation_code_failed") => format!("failed {}", event["code"]),
            Some("installation_failed") => format!("not installed: {}", event["code"]),
            Some("activation_code_pending") => "pending".to_owned(),
            other => other.unwrap_or_default().to_owned(),
        };
        judge(stage, &mut wrong, name, &got, wanted);
        stage.msp(&["misbehave", "clear"])?;
        let agent = stage.car(0)?;
        agent.logout()?;
        stage.wait_nobody(0)?;
        unlink(stage)?;
        poll("an empty card", || Ok(stage.card(0)?.is_empty()))?;
    }
    verdict(&wrong)
}
