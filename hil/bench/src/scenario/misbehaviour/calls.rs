//! Calls of the MSP that are wrong: Update Subscription Info, Send MSP Token, and the browser's way back.

use super::{Verdict, answers, count, misbehave, newest, unlink};
use crate::scenario::stage::Stage;
use crate::story::browser;
use aid_cli::cli::Failure;
use serde_json::json;

/// Update Subscription Info, done wrongly; what the CMP answers to each try.
const UPDATES: [(&str, &str); 27] = [
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
    // The second number under the same iv (R-7.3-10).
    ("fixed-iv", "422/91"),
];

/// Send MSP Token, done wrongly; what the CMP answers, and whether the accounts are linked then.
const TOKENS: [(&str, &str, &str); 9] = [
    ("onboarding-error", "201", "not linked"),
    ("long-error", "201", "not linked"),
    ("token-and-error", "201", "not linked"),
    ("neither-token-nor-error", "422/60", "not linked"),
    ("bad-token", "422/29", "not linked"),
    ("duplicate-token", "422/23", "not linked"),
    ("second-token", "201, 422/24", "linked"),
    ("wrong-subscription-type", "422/91", "not linked"),
    ("plain-phone", "422/91", "not linked"),
];

/// The way back, done wrongly: what went wrong before it, whether the accounts are linked then, and what the
/// CMP's page says where the browser comes to it.
const RETURNS: [(&str, &str, &str); 5] = [
    ("wrong-return", "", "linked, elsewhere"),
    ("return-error", "", "linked, Linked"),
    ("quoted-error", "", "linked, Linked"),
    (
        "return-success",
        "onboarding-error",
        "not linked, Not linked",
    ),
    ("return-success", "bad-token", "not linked, Not linked yet"),
];

/// The names of these tables.
#[cfg(test)]
pub(super) fn names() -> Vec<&'static str> {
    let updates = UPDATES.iter().map(|row| row.0);
    let tokens = TOKENS.iter().map(|row| row.0);
    updates
        .chain(tokens)
        .chain(RETURNS.iter().map(|row| row.0))
        .collect()
}

pub(super) fn play(stage: &mut Stage) -> Result<(), Failure> {
    let mut verdict = Verdict::default();
    stage.link(0)?;
    updates(stage, &mut verdict)?;
    unlink(stage)?;
    tokens(stage, &mut verdict)?;
    returns(stage, &mut verdict)?;
    verdict.given()
}

fn updates(stage: &mut Stage, verdict: &mut Verdict) -> Result<(), Failure> {
    let path = format!("subscriptions/{}/update", stage.driver(0).msp_user);
    for (n, (name, wanted)) in UPDATES.into_iter().enumerate() {
        let before = newest(stage)?;
        misbehave(stage, name, "update-subscription-info")?;
        let number = format!("4917000001{n:02}");
        stage.control()?.act(&path, &json!({"msisdn": number}))?;
        let got = answers(stage, before, name, count(wanted))?;
        verdict.judge(stage, name, &got, wanted);
        stage.control()?.behave()?;
    }
    Ok(())
}

/// Whether the driver's accounts are linked.
fn linked(stage: &Stage) -> Result<&'static str, Failure> {
    let linked = stage.active(stage.driver(0).name)? > 0;
    Ok(if linked { "linked" } else { "not linked" })
}

/// Onboarding that goes wrong, each time from the beginning.
fn tokens(stage: &mut Stage, verdict: &mut Verdict) -> Result<(), Failure> {
    let who = stage.driver(0);
    for (name, said, state) in TOKENS {
        let before = newest(stage)?;
        misbehave(stage, name, "send-msp-token")?;
        // The MSP's page may send the browser back with an error: that is not the question here.
        let _ = browser::onboard(&stage.site, &who);
        let answers = answers(stage, before, name, count(said))?;
        let got = format!("{answers}, {}", linked(stage)?);
        verdict.judge(stage, name, &got, &format!("{said}, {state}"));
        stage.control()?.behave()?;
        unlink(stage)?;
    }
    Ok(())
}

/// What the browser says is no proof of anything: only the token counts.
fn returns(stage: &mut Stage, verdict: &mut Verdict) -> Result<(), Failure> {
    let who = stage.driver(0);
    for (name, cause, wanted) in RETURNS {
        misbehave(stage, name, "touchpoint-return")?;
        if !cause.is_empty() {
            misbehave(stage, cause, "send-msp-token")?;
        }
        let page = browser::come_back(&stage.site, &who)?;
        let heading = page.as_deref().map_or("elsewhere", browser::heading);
        let got = format!("{}, {heading}", linked(stage)?);
        verdict.judge(stage, &format!("{name} {cause}"), &got, wanted);
        stage.control()?.behave()?;
        unlink(stage)?;
    }
    Ok(())
}
