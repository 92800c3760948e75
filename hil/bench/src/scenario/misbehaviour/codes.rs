//! Activation codes: Request Activation Code answered wrongly, Send Activation Code done wrongly (§7.7).

use super::{Verdict, answers, count, misbehave, newest, unlink};
use crate::scenario::stage::Stage;
use crate::story::books::poll;
use aid_cli::cli::Failure;

/// Request Activation Code, answered wrongly; what the driver in the car gets.
const ANSWERS: [(&str, &str); 31] = [
    ("asynchronous", "enabled"),
    ("slow-answer", "enabled"),
    ("late-code", "enabled"),
    ("server-error", "enabled"),
    ("rate-limit", "enabled"),
    ("proxy-error", "enabled"),
    ("bare-error", "enabled"),
    ("cut-connection", "enabled"),
    ("no-answer", "enabled"),
    ("lost-answer", "enabled"),
    ("code-before-201", "enabled"),
    ("code-after-timeout", "enabled"),
    ("unknown-members", "enabled"),
    ("wrong-content-type", "enabled"),
    ("no-iccid", "enabled"),
    ("strange-swap", "enabled"),
    ("self-swap", "enabled"),
    ("hidden-swap", "enabled"),
    ("foreign-iccid", "enabled"),
    ("refuse", "failed 49"),
    ("fail-later", "failed 49"),
    ("numeric-code", "enabled"),
    ("wrong-status", "enabled"),
    ("oversized-body", "enabled"),
    ("duplicate-members", "enabled"),
    ("missing-member", "enabled"),
    ("null-member", "enabled"),
    ("not-json", "enabled"),
    ("bad-activation-code", "enabled"),
    ("wrong-profile-type", "enabled"),
    ("never-code", "pending"),
];

/// Send Activation Code, done wrongly; what the CMP answers, and what the driver in the car gets.
const CALLS: [(&str, &str, &str); 6] = [
    ("double-code", "200, 200", "enabled"),
    ("second-code", "200, 422/48", "enabled"),
    ("code-and-error", "422/60", "pending"),
    ("wrong-request-id", "422/30", "pending"),
    ("null-request-id", "422/60", "pending"),
    ("neither-code-nor-error", "422/60", "pending"),
];

/// The names of these tables.
#[cfg(test)]
pub(super) fn names() -> Vec<&'static str> {
    let answers = ANSWERS.iter().map(|row| row.0);
    answers.chain(CALLS.iter().map(|row| row.0)).collect()
}

pub(super) fn play(stage: &mut Stage) -> Result<(), Failure> {
    let mut verdict = Verdict::default();
    for (name, wanted) in ANSWERS {
        stage.link(0)?;
        misbehave(stage, name, "request-activation-code")?;
        let got = driven(stage, wanted == "pending")?;
        verdict.judge(stage, name, &got, wanted);
        settle(stage, &got)?;
    }
    for (name, said, wanted) in CALLS {
        stage.link(0)?;
        let before = newest(stage)?;
        misbehave(stage, "asynchronous", "request-activation-code")?;
        misbehave(stage, name, "send-activation-code")?;
        let got = driven(stage, wanted == "pending")?;
        let answers = answers(stage, before, name, count(said))?;
        let both = format!("{answers}; {got}");
        verdict.judge(stage, name, &both, &format!("{said}; {wanted}"));
        settle(stage, &got)?;
    }
    verdict.given()
}

/// The driver gets into the car; what comes of it.
fn driven(stage: &Stage, pending: bool) -> Result<String, Failure> {
    let (agent, who) = (stage.car(0)?, stage.driver(0));
    let mut events = agent.events()?;
    agent.login(who.name, &who.pin)?;
    let mut ends = vec!["enabled", "activation_code_failed", "installation_failed"];
    if pending {
        ends.push("activation_code_pending");
    }
    let event = events.wait(&ends)?;
    Ok(match event["event"].as_str() {
        Some("activation_code_failed") => format!("failed {}", event["code"]),
        Some("installation_failed") => format!("not installed: {}", event["code"]),
        Some("activation_code_pending") => "pending".to_owned(),
        other => other.unwrap_or_default().to_owned(),
    })
}

/// The books of both sides agree with the card; then everything is as before.
fn settle(stage: &mut Stage, got: &str) -> Result<(), Failure> {
    stage.control()?.behave()?;
    if got.ends_with("enabled") {
        let iccid = stage.wait_active(0)?;
        stage.wait_at_cmp(&iccid, "enabled")?;
        stage.wait_told(&iccid, "enabled")?;
    }
    stage.car(0)?.logout()?;
    stage.wait_nobody(0)?;
    unlink(stage)?;
    poll("an empty card", || Ok(stage.card(0)?.is_empty()))
}
