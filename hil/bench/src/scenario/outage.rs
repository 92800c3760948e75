//! What goes on by itself: an SM-DP+ that is away while a code is used (§4.3 steps 7 to 9), a unit
//! that loses its journal (§4.3 steps 11 and 12).

use super::stage::{Stage, expect};
use super::{Entry, Needs};
use crate::story::books::poll;
use aid_cli::cli::Failure;
use serde_json::json;

pub(super) const SCENARIOS: &[Entry] = &[
    (
        "outage",
        "the SM-DP+ is away, the driver leaves and returns, the car loses power: the same profile comes (§4.3)",
        Needs::of(1, 1, 2).controlled(),
        outage,
    ),
    (
        "lost-journal",
        "a car loses its journal and reports the same again: the MSP hears of it (§4.3)",
        Needs::of(1, 1, 1),
        lost_journal,
    ),
];

fn outage(stage: &mut Stage) -> Result<(), Failure> {
    stage.link(0)?;
    let who = stage.driver(0);
    // The code is made while the car is off, so that the SM-DP+ is away before it is tried.
    stage.control()?.misbehave(&json!({
        "name": "late-code", "operation": "request-activation-code", "delay_ms": 2000,
    }))?;
    let agent = stage.car(0)?;
    let mut events = agent.events()?;
    agent.login(who.name, &who.pin)?;
    events.wait(&["activation_code_pending"])?;
    stage.cut_power(0);
    poll("a code for the car", || {
        Ok(stage.cmp_list("profile")?.len() == 1)
    })?;
    stage.halt("aid-smdp");
    stage.step("a code waits for the car, and the SM-DP+ is away");
    stage.plug(0)?;
    let waits = |stage: &Stage| {
        stage.car(0)?.wait_status("a download that waits", |s| {
            s["phase"] == "downloading" && s["waiting"]["for"] == "download"
        })
    };
    stage.car(0)?.login(who.name, &who.pin)?;
    waits(stage)?;
    // As many as once ended a download.
    stage.car(0)?.wait_status("the fourth try to fail", |s| {
        s["waiting"]["failed_tries"].as_u64() >= Some(4)
    })?;
    stage.leave(0)?;
    stage.car(0)?.login(who.name, &who.pin)?;
    waits(stage)?;
    stage.cut_power(0);
    stage.plug(0)?;
    stage.step("the car lost power meanwhile");
    stage.car(0)?.login(who.name, &who.pin)?;
    waits(stage)?;
    stage.crash("aid-smdp")?;
    stage.step("the SM-DP+ is back");
    let iccid = stage.wait_active(0)?;
    stage.wait_told(&iccid, "enabled")?;
    let told = stage.told(&iccid)?;
    expect(
        told == ["installed", "enabled"],
        format!("nobody was told of a failure: {told:?}"),
    )?;
    let used: Vec<_> = stage.cmp_list("profile")?;
    expect(used.len() == 1, format!("one profile was used: {used:?}"))
}

fn lost_journal(stage: &mut Stage) -> Result<(), Failure> {
    stage.link(0)?;
    let iccid = stage.enter(0, 0)?;
    stage.wait_told(&iccid, "enabled")?;
    expect(
        stage.told(&iccid)? == ["installed", "enabled"],
        "two reports of the first journal",
    )?;
    stage.cut_power(0);
    stage.lose_journal(0)?;
    stage.plug(0)?;
    stage.step("the car lost its journal, with the profile enabled");
    // The first report of the second journal; the next one is what the second of the first was.
    stage.wait_told(&iccid, "disabled")?;
    stage.enter(0, 0)?;
    stage.wait_told(&iccid, "enabled")?;
    stage.leave(0)?;
    stage.wait_told(&iccid, "disabled")?;
    let told = stage.told(&iccid)?;
    expect(
        told == ["installed", "enabled", "disabled", "enabled", "disabled"],
        format!("all reports of the second journal: {told:?}"),
    )
}
