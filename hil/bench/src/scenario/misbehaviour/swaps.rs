//! Swaps of the MSP's own choice (§4.3.1): the CMP deletes what the MSP names in `swappedIccid`, nothing else.

use super::misbehave;
use crate::scenario::stage::{Stage, expect};
use aid_cli::cli::Failure;
use serde_json::json;

/// What is played here.
#[cfg(test)]
pub(super) fn names() -> Vec<&'static str> {
    vec!["early-swap", "own-swap"]
}

pub(super) fn play(stage: &mut Stage) -> Result<(), Failure> {
    stage.link(0)?;
    early(stage)?;
    own(stage)
}

/// A slot is free, and a profile is swapped all the same.
fn early(stage: &mut Stage) -> Result<(), Failure> {
    let first = stage.enter(0, 0)?;
    stage.leave(0)?;
    misbehave(stage, "early-swap", "request-activation-code")?;
    let second = stage.enter(1, 0)?;
    stage.wait_deleted(0, &first)?;
    stage.wait_no_orders()?;
    expect(stage.card(1)? == [second], "early-swap: the new one stays")?;
    stage.step(format!("early-swap: {first} went although a slot was free"));
    stage.leave(1)
}

/// The candidate is usable, and another profile is swapped.
fn own(stage: &mut Stage) -> Result<(), Failure> {
    let third = stage.enter(0, 0)?;
    stage.leave(0)?;
    let [second] = &stage.card(1)?[..] else {
        return Err(Failure::new("car 2 has one profile"));
    };
    let second = second.clone();
    // The MSP does not learn that the second was used again: for it that is the least recently used one,
    // for the CMP it is the third.
    let deaf = json!({"name": "refuse", "operation": "send-csim-status", "times": null});
    stage.control()?.misbehave(&deaf)?;
    stage.enter(1, 0)?;
    stage.leave(1)?;
    stage.control()?.behave()?;
    misbehave(stage, "own-swap", "request-activation-code")?;
    let fourth = stage.enter(2, 0)?;
    stage.wait_deleted(1, &second)?;
    stage.wait_no_orders()?;
    // R-4.3.1-17
    expect(
        stage.card(0)? == [third.clone()] && stage.card(2)? == [fourth],
        "own-swap: the candidate stays, because the MSP lists it",
    )?;
    let list = stage.msp_list("profile")?;
    let listed = list.iter().find(|p| p["iccid"] == third.as_str());
    expect(
        listed.is_some_and(|p| p["state"] != "swapped"),
        format!("own-swap: the MSP keeps the candidate {third}: {list:?}"),
    )?;
    stage.step(format!(
        "own-swap: {second} went, not the candidate {third}"
    ));
    // It is as good as before.
    stage.leave(2)?;
    let again = stage.enter(0, 0)?;
    expect(again == third, "the candidate is used again")
}
