//! What the MSP says about profiles: Request Profile Status answered wrongly (§4.6, §7.10), Send CSIM Status
//! answered wrongly (§7.8), Send Profile Information done wrongly (§4.7, §7.5).

use super::{Verdict, answers, at_cmp, count, misbehave, newest};
use crate::scenario::stage::{Stage, expect};
use crate::story::books::poll;
use aid_cli::cli::Failure;
use serde_json::{Value, json};

/// Request Profile Status, answered wrongly; what the CMP makes of the comparison. The profile is "disabled,
/// valid" in its books all the time: nothing of this deletes anything (R-4.6-4).
const LISTINGS: [(&str, &str); 19] = [
    ("empty-profile-status", "suspicious"),
    ("hidden-profile", "suspicious"),
    ("strange-profile", "differs"),
    ("echoed-status", "agreed"),
    ("unknown-status", "failed"),
    ("unknown-members", "agreed"),
    ("wrong-content-type", "agreed"),
    ("oversized-body", "failed"),
    ("duplicate-members", "failed"),
    ("missing-member", "failed"),
    ("null-member", "failed"),
    ("not-json", "failed"),
    ("wrong-status", "agreed"),
    ("server-error", "failed"),
    ("refuse", "failed"),
    ("numeric-code", "failed"),
    ("bare-error", "failed"),
    ("cut-connection", "failed"),
    ("lost-answer", "failed"),
];

/// Send CSIM Status, answered wrongly; what becomes of the status: it is told once, later, or given up
/// where the MSP refuses it for good.
const STATUSES: [(&str, &str); 6] = [
    ("server-error", "told once"),
    ("rate-limit", "told once"),
    ("cut-connection", "told once"),
    ("lost-answer", "told once"),
    ("refuse", "given up"),
    ("numeric-code", "told once"),
];

/// Send Profile Information, done wrongly: what the MSP wants, what the CMP answers, how the profile is then.
const INFORMATION: [(&str, &str, &str, &str); 6] = [
    ("foreign-profile", "suspend", "404/61", "disabled, valid"),
    ("empty-profiles", "suspend", "422/60", "disabled, valid"),
    ("empty-body", "suspend", "422/60", "disabled, valid"),
    ("send-twice", "suspend", "200, 200", "disabled, suspended"),
    ("repeat", "resume", "200, 200", "disabled, valid"),
    (
        "valid-after-invalid",
        "defect",
        "200, 422/63",
        "deleted, invalid",
    ),
];

/// The names of these tables, and of [`echo`].
#[cfg(test)]
pub(super) fn names() -> Vec<&'static str> {
    let listings = LISTINGS.iter().map(|row| row.0);
    let statuses = STATUSES.iter().map(|row| row.0);
    listings
        .chain(statuses)
        .chain(INFORMATION.iter().map(|row| row.0))
        .chain(["inform-on-status"])
        .collect()
}

pub(super) fn play(stage: &mut Stage) -> Result<(), Failure> {
    let mut verdict = Verdict::default();
    stage.link(0)?;
    let iccid = stage.enter(0, 0)?;
    stage.leave(0)?;
    stage.wait_told(&iccid, "disabled")?;
    listings(stage, &mut verdict, &iccid)?;
    statuses(stage, &mut verdict, &iccid)?;
    echo(stage, &iccid)?;
    information(stage, &mut verdict, &iccid)?;
    verdict.given()
}

fn listings(stage: &mut Stage, verdict: &mut Verdict, iccid: &str) -> Result<(), Failure> {
    let user = stage.driver(0).name;
    for (name, wanted) in LISTINGS {
        misbehave(stage, name, "request-profile-status")?;
        let text = stage.cmp(&["sync", "run", "--user", user, "--json"])?;
        let runs: Value = serde_json::from_str(&text)?;
        let outcome = runs[0]["outcome"].as_str().unwrap_or_default();
        let got = format!("{outcome}; {}", at_cmp(stage, iccid)?);
        verdict.judge(stage, name, &got, &format!("{wanted}; disabled, valid"));
        stage.control()?.behave()?;
    }
    // R-4.6-4
    expect(
        stage.cmp_list("order")?.is_empty() && stage.card(0)? == [iccid],
        "no answer deletes anything",
    )
}

/// How many statuses of the profile the MSP noted, how many the CMP gave up, and how many are on their way.
fn noted(stage: &Stage, iccid: &str) -> Result<[usize; 3], Failure> {
    let outbox = stage.cmp_list("outbox")?;
    let of = |state: &str| {
        let is = |c: &&Value| c["kind"] == "status" && c["state"] == state;
        outbox.iter().filter(is).count()
    };
    let list = stage.control()?.list("statuses")?;
    let noted = list.iter().filter(|s| s["iccid"] == iccid).count();
    Ok([noted, of("dead"), of("due")])
}

fn statuses(stage: &mut Stage, verdict: &mut Verdict, iccid: &str) -> Result<(), Failure> {
    for (n, (name, wanted)) in STATUSES.into_iter().enumerate() {
        let before = noted(stage, iccid)?;
        misbehave(stage, name, "send-csim-status")?;
        // In and out, in turns: each is one status.
        if n % 2 == 0 {
            stage.enter(0, 0)?;
        } else {
            stage.leave(0)?;
        }
        // Until the CMP knows too: a lost answer is noted before that.
        let mut now = before;
        poll(&format!("the end of a status after {name}"), || {
            now = noted(stage, iccid)?;
            Ok(now != before && now[2] == 0)
        })?;
        let got = match [now[0] - before[0], now[1] - before[1]] {
            [1, 0] => "told once",
            [0, 1] => "given up",
            _ => "something else",
        };
        verdict.judge(stage, name, got, wanted);
        stage.control()?.behave()?;
    }
    Ok(())
}

/// The MSP gives statuses back as profile information (against §7.5): it is noted, and nothing else happens.
fn echo(stage: &mut Stage, iccid: &str) -> Result<(), Failure> {
    let always = json!({"name": "inform-on-status", "times": null});
    stage.control()?.misbehave(&always)?;
    for (enter, wanted) in [(true, "enabled, valid"), (false, "disabled, suspended")] {
        if enter {
            stage.enter(0, 0)?;
        } else {
            stage.leave(0)?;
        }
        poll(&format!("inform-on-status: {wanted}"), || {
            Ok(at_cmp(stage, iccid)? == wanted)
        })?;
    }
    stage.control()?.behave()?;
    stage.step("inform-on-status: noted, no more");
    expect(
        stage.cmp_list("order")?.is_empty(),
        "an echo orders nothing",
    )?;
    let resume = format!("profiles/{iccid}/resume");
    stage.control()?.act(&resume, &json!({}))?;
    poll("the profile to be valid again", || {
        Ok(at_cmp(stage, iccid)? == "disabled, valid")
    })
}

fn information(stage: &mut Stage, verdict: &mut Verdict, iccid: &str) -> Result<(), Failure> {
    for (name, verb, said, wanted) in INFORMATION {
        let before = newest(stage)?;
        misbehave(stage, name, "send-profile-information")?;
        let path = format!("profiles/{iccid}/{verb}");
        stage.control()?.act(&path, &json!({}))?;
        let said_now = answers(stage, before, name, count(said))?;
        if verb == "defect" {
            stage.wait_deleted(0, iccid)?;
        }
        let got = format!("{said_now}; {}", at_cmp(stage, iccid)?);
        verdict.judge(stage, name, &got, &format!("{said}; {wanted}"));
        stage.control()?.behave()?;
    }
    // R-7.5-2 R-7.5-6
    expect(
        stage.cmp_list("order")?.len() == 1,
        "one order: to delete what is invalid",
    )
}
