//! The end of a link, from either side, while a car is out of reach (§4.4), and a new link before the
//! old profiles are gone (A.3).

use super::stage::{Stage, expect};
use super::{Entry, Needs};
use aid_cli::cli::Failure;

pub(super) const SCENARIOS: &[Entry] = &[
    (
        "withdraw-at-cmp",
        "the user unlinks in the portal; an offline car deletes when it comes back (§4.4.1)",
        Needs::of(2, 1, 2),
        at_cmp,
    ),
    (
        "withdraw-at-msp",
        "the operator ends the link; an offline car deletes when it comes back (§4.4.2)",
        Needs::of(2, 1, 2),
        at_msp,
    ),
    (
        "link-again",
        "a new link before the old profiles are gone: the old ones go, the new one stays (A.3)",
        Needs::of(2, 1, 3),
        again,
    ),
];

/// Two provisioned cars, of which the second is out of reach, and the driver is in the first.
fn two_cars(stage: &mut Stage) -> Result<(String, String), Failure> {
    stage.link(0)?;
    let second = stage.enter(1, 0)?;
    stage.leave(1)?;
    stage.unplug(1);
    stage.step("car 2 is out of reach");
    let first = stage.enter(0, 0)?;
    Ok((first, second))
}

/// Both cars delete, the second when it is back; a fresh login gets nothing.
fn ends(stage: &mut Stage, first: &str, second: &str) -> Result<(), Failure> {
    // R-4.4.1-9 R-4.4.1-10 R-4.4.1-12 R-4.4.2-3
    stage.wait_deleted(0, first)?;
    expect(
        stage.told(second)?.last().is_some_and(|s| s != "deleted"),
        "nobody says that a profile in an offline car is deleted",
    )?;
    stage.plug(1)?;
    stage.step("car 2 is back");
    // R-4.4.1-15 R-4.4.2-6 R-A.3-2
    stage.wait_deleted(1, second)?;
    stage.wait_no_orders()?;
    stage.car(0)?.logout()?;
    stage.wait_nobody(0)?;
    let (agent, who) = (stage.car(0)?, stage.driver(0));
    let mut events = agent.events()?;
    agent.login(who.name, &who.pin)?;
    events.wait(&["login_accepted"])?;
    // The CMP says no, and the MSP is not asked: the token is never used again (R-4.4.1-5).
    agent.wait_status("a car without a profile", |s| s["phase"] == "no_profile")?;
    // R-4.4.1-5
    expect(stage.card(0)?.is_empty(), "no profile comes any more")
}

fn at_cmp(stage: &mut Stage) -> Result<(), Failure> {
    let (first, second) = two_cars(stage)?;
    stage.portal(0)?.withdraw()?;
    stage.step("the user unlinked the subscription");
    let told = || {
        let users = stage.msp_list("user")?;
        let state = &users[0]["onboardings"][0]["state"];
        Ok(state == "invalidated")
    };
    // R-4.4.1-3 R-2-5
    crate::story::books::poll("the MSP to hear that the token is invalid", told)?;
    ends(stage, &first, &second)
}

fn at_msp(stage: &mut Stage) -> Result<(), Failure> {
    let (first, second) = two_cars(stage)?;
    let user = stage.driver(0).msp_user;
    stage.msp(&["withdraw", "--user", user, "--reason", "contract ended"])?;
    // R-4.4.2-1 R-2-8
    stage.step("the operator ended the link");
    ends(stage, &first, &second)
}

fn again(stage: &mut Stage) -> Result<(), Failure> {
    let (first, second) = two_cars(stage)?;
    stage.portal(0)?.withdraw()?;
    stage.step("the user unlinked the subscription");
    stage.wait_deleted(0, &first)?;
    stage.car(0)?.logout()?;
    stage.wait_nobody(0)?;
    stage.link(0)?;
    let new = stage.enter(0, 0)?;
    expect(new != first && new != second, "a new link, a new profile")?;
    stage.plug(1)?;
    stage.step("car 2 is back");
    stage.wait_deleted(1, &second)?;
    stage.wait_no_orders()?;
    // R-A.3-5
    expect(stage.wait_active(0)? == new, "the new profile stays")
}
