//! What the MSP says about profiles and subscriptions while they are used (§4.7, §4.8).

use super::stage::{Stage, expect};
use super::{Entry, Needs};
use crate::story::books::poll;
use aid_cli::cli::Failure;
use serde_json::Value;

pub(super) const SCENARIOS: &[Entry] = &[
    (
        "suspended",
        "the operator blocks a profile for a time: the car shows it, nothing is deleted (§4.7)",
        Needs::of(1, 1, 1),
        suspended,
    ),
    (
        "preferences",
        "the car takes on the user's preferences at login, and has none of them after logout (§2)",
        Needs::of(1, 2, 2),
        preferences,
    ),
    (
        "synchronisation",
        "both sides compare their profiles and agree (§4.6)",
        Needs::of(2, 1, 2),
        synchronisation,
    ),
    (
        "subscription-update",
        "another phone number reaches the portal and the car where the user is (§4.8)",
        Needs::of(1, 1, 1),
        update,
    ),
];

/// Waits until the AID User Profile in the first car's first subscription is so.
fn wait_view(stage: &Stage, what: &str, is: impl Fn(&Value) -> bool) -> Result<(), Failure> {
    let agent = stage.car(0)?;
    agent.wait_status(what, |s| is(&s["session"]["profile"]["subscriptions"][0]))
}

fn suspended(stage: &mut Stage) -> Result<(), Failure> {
    stage.link(0)?;
    let iccid = stage.enter(0, 0)?;
    wait_view(stage, "an AID User Profile", |s| s["suspended"] == false)?;
    for (status, blocked) in [("suspended", true), ("valid", false)] {
        stage.msp(&["profile", "inform", "--iccid", &iccid, "--status", status])?;
        poll(&format!("the profile to be {status} at the CMP"), || {
            let list = stage.cmp_list("profile")?;
            Ok(list.iter().any(|p| p["msp_state"] == status))
        })?;
        // R-4.7-2 R-4.7-4
        wait_view(stage, "the block in the car", |s| s["suspended"] == blocked)?;
        stage.step(format!("the operator said that the profile is {status}"));
    }
    // R-7.5-7
    expect(
        stage.wait_active(0)? == iccid && stage.cmp_list("order")?.is_empty(),
        "nothing is deleted",
    )
}

fn preferences(stage: &mut Stage) -> Result<(), Failure> {
    for (driver, seat) in [(0, "high"), (1, "low")] {
        stage.link(driver)?;
        let name = stage.driver(driver).name;
        stage.cmp(&["user", "preference", "set", name, "seat.position", seat])?;
    }
    for (driver, seat) in [(0, "high"), (1, "low")] {
        stage.enter(0, driver)?;
        let agent = stage.car(0)?;
        // R-2-14
        agent.wait_status("the user's preferences", |s| {
            s["session"]["profile"]["preferences"]["seat.position"] == seat
        })?;
        stage.step(format!("the seat is {seat}"));
        stage.leave(0)?;
        let left = stage.car(0)?.status()?.to_string();
        // R-2-14
        expect(
            !left.contains("seat.position") && !left.contains(seat),
            "nothing of the user's preferences is left after logout",
        )?;
    }
    Ok(())
}

fn synchronisation(stage: &mut Stage) -> Result<(), Failure> {
    stage.link(0)?;
    for car in 0..2 {
        let iccid = stage.enter(car, 0)?;
        stage.leave(car)?;
        stage.wait_told(&iccid, "disabled")?;
    }
    let user = stage.driver(0).name;
    for _ in 0..2 {
        let text = stage.cmp(&["sync", "run", "--user", user, "--json"])?;
        let runs: Value = serde_json::from_str(&text)?;
        expect(
            runs[0]["outcome"] == "agreed",
            format!("both sides agree: {runs}"),
        )?;
    }
    stage.step("both sides agree, twice");
    expect(stage.cmp_list("order")?.is_empty(), "nothing is deleted")
}

fn update(stage: &mut Stage) -> Result<(), Failure> {
    stage.link(0)?;
    stage.enter(0, 0)?;
    wait_view(stage, "the masked number", |s| {
        s["masked_number"]
            .as_str()
            .is_some_and(|n| n.ends_with("001"))
    })?;
    let user = stage.driver(0).msp_user;
    stage.msp(&["subscription", "update", user, "--msisdn", "491700000777"])?;
    stage.step("the customer got another number");
    // R-4.8-2
    wait_view(stage, "the new masked number", |s| {
        s["masked_number"]
            .as_str()
            .is_some_and(|n| n.ends_with("777"))
    })?;
    let page = stage.portal(0)?.account()?;
    // R-4.8-3
    expect(page.contains("777"), "the portal shows the new number")
}
