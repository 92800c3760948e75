//! A link ends, from either side, and the MSP does it wrongly (§4.4, §7.4, §7.9): whatever it does, the profile
//! leaves the car once, and no code follows.

use super::{Verdict, answers, at_cmp, count, misbehave, newest, unlink};
use crate::scenario::stage::{Stage, expect};
use crate::story::books::poll;
use aid_cli::cli::Failure;
use serde_json::{Value, json};

/// Notify MSP Token Invalid, done wrongly; what the CMP answers.
const BY_MSP: [(&str, &str); 3] = [
    ("send-twice", "204, 204"),
    ("inform-with-invalidation", "204, 200"),
    ("code-after-invalidation", "204, 404/21"),
];

/// Request Invalidate MSP Token or the statuses after it, answered wrongly: where, and how the CMP's call ends.
const BY_USER: [(&str, &str, &str, &str); 4] = [
    ("server-error", "request-invalidate", "invalidate", "done"),
    ("lost-answer", "request-invalidate", "invalidate", "done"),
    ("refuse", "request-invalidate", "invalidate", "dead"),
    ("forgets-dead-token", "send-csim-status", "status", "dead"),
];

/// The names of these tables, and of [`unheard`].
#[cfg(test)]
pub(super) fn names() -> Vec<&'static str> {
    let by_msp = BY_MSP.iter().map(|row| row.0);
    by_msp
        .chain(BY_USER.iter().map(|row| row.0))
        .chain(["takes-dead-token"])
        .collect()
}

pub(super) fn play(stage: &mut Stage) -> Result<(), Failure> {
    let mut verdict = Verdict::default();
    by_msp(stage, &mut verdict)?;
    by_user(stage, &mut verdict)?;
    late_code(stage)?;
    unheard(stage)?;
    verdict.given()
}

/// Links, and has a profile on the card.
fn provisioned(stage: &mut Stage) -> Result<String, Failure> {
    stage.link(0)?;
    let iccid = stage.enter(0, 0)?;
    stage.leave(0)?;
    Ok(iccid)
}

/// The MSP ends the link.
fn withdraw(stage: &Stage) -> Result<(), Failure> {
    let path = format!("subscriptions/{}/withdraw", stage.driver(0).msp_user);
    stage.control()?.act(&path, &json!({}))
}

fn by_msp(stage: &mut Stage, verdict: &mut Verdict) -> Result<(), Failure> {
    for (name, wanted) in BY_MSP {
        let iccid = provisioned(stage)?;
        let before = newest(stage)?;
        let orders = stage.cmp_list("order")?.len();
        misbehave(stage, name, "notify-token-invalid")?;
        withdraw(stage)?;
        let got = answers(stage, before, name, count(wanted))?;
        verdict.judge(stage, name, &got, wanted);
        stage.control()?.behave()?;
        stage.wait_deleted(0, &iccid)?;
        // R-7.4-6 R-7.5-9
        expect(
            stage.cmp_list("order")?.len() == orders + 1,
            format!("{name}: one order"),
        )?;
    }
    Ok(())
}

/// How many calls of this kind the CMP has made, and how many it gave up.
fn calls(stage: &Stage, kind: &str) -> Result<[usize; 2], Failure> {
    let mut counts = [0; 2];
    for (state, count) in ["done", "dead"].iter().zip(&mut counts) {
        let text = stage.cmp(&["outbox", "list", "--state", state, "--json"])?;
        let list: Vec<Value> = serde_json::from_str(&text)?;
        *count = list.iter().filter(|c| c["kind"] == kind).count();
    }
    Ok(counts)
}

fn by_user(stage: &mut Stage, verdict: &mut Verdict) -> Result<(), Failure> {
    for (name, operation, kind, wanted) in BY_USER {
        let iccid = provisioned(stage)?;
        stage.wait_told(&iccid, "disabled")?;
        let before = calls(stage, kind)?;
        misbehave(stage, name, operation)?;
        unlink(stage)?;
        if kind == "status" {
            stage.wait_gone(0, &iccid)?;
            stage.wait_at_cmp(&iccid, "deleted")?;
        } else {
            stage.wait_deleted(0, &iccid)?;
        }
        let mut after = before;
        poll(&format!("the end of the call after {name}"), || {
            after = calls(stage, kind)?;
            Ok(after != before)
        })?;
        let got = match [after[0] - before[0], after[1] - before[1]] {
            [1, 0] => "done",
            [0, 1] => "dead",
            _ => "several calls",
        };
        verdict.judge(stage, name, got, wanted);
        stage.control()?.behave()?;
    }
    Ok(())
}

/// The user ends the link, and the MSP sends a code for the dead token afterwards.
fn late_code(stage: &mut Stage) -> Result<(), Failure> {
    provisioned(stage)?;
    misbehave(stage, "code-after-invalidation", "request-invalidate")?;
    unlink(stage)?;
    poll("the CMP to refuse the code", || {
        let list = stage.control()?.list("outbox")?;
        let refused = |j: &Value| j["last_error"].as_str().is_some_and(|e| e.contains("21"));
        let code = |j: &Value| j["kind"] == "send-activation-code" && j["state"] == "dead";
        Ok(list.iter().any(|j| code(j) && refused(j)))
    })?;
    stage.control()?.behave()?;
    // R-7.7.2.1-7
    poll("an empty card", || Ok(stage.card(0)?.is_empty()))?;
    stage.step("code-after-invalidation: refused with 21, the card stays empty");
    Ok(())
}

/// The MSP ends the link without saying so: the CMP asks with the dead token, which it can't know.
fn unheard(stage: &mut Stage) -> Result<(), Failure> {
    stage.link(0)?;
    // Always: a link whose end the MSP refused to hear of above is withdrawn with this one.
    let mute = json!({"name": "no-call", "operation": "notify-token-invalid", "times": null});
    stage.control()?.misbehave(&mute)?;
    withdraw(stage)?;
    poll("the MSP to believe that it has told", || {
        let list = stage.control()?.list("outbox")?;
        let open = |j: &Value| j["kind"] == "notify-token-invalid" && j["state"] == "waiting";
        Ok(!list.iter().any(open))
    })?;
    stage.control()?.behave()?;
    expect(
        stage.active(stage.driver(0).name)? == 1,
        "no-call: the CMP knows nothing",
    )?;
    let (agent, who) = (stage.car(0)?, stage.driver(0));
    let mut events = agent.events()?;
    agent.login(who.name, &who.pin)?;
    let refused = events.wait(&["enabled", "activation_code_failed"])?;
    expect(
        refused["code"] == 21,
        format!("no-call: the car hears that the token is dead: {refused}"),
    )?;
    stage.step("no-call: the car shows a failure with code 21");
    agent.logout()?;
    stage.wait_nobody(0)?;
    // The link is doubtful, and no code is requested until an operator has compared both sides.
    stage.cmp(&["sync", "run", "--user", who.name])?;
    expect(
        stage
            .cmp_list("federation")?
            .iter()
            .all(|f| f["doubtful_since"].is_null()),
        "no-call: the operator settled the doubt",
    )?;
    misbehave(stage, "takes-dead-token", "request-activation-code")?;
    let iccid = stage.enter(0, 0)?;
    expect(
        at_cmp(stage, &iccid)? == "enabled, valid",
        "takes-dead-token: the CMP takes what it is given",
    )?;
    stage.step("takes-dead-token: the driver's profile is enabled");
    stage.leave(0)?;
    unlink(stage)?;
    stage.wait_deleted(0, &iccid)
}
