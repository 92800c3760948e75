//! Several people, and what belongs to each (§2, R-2-10, R-2-11).

use super::stage::{Stage, expect};
use super::{Entry, Needs};
use aid_cli::cli::Failure;

pub(super) const SCENARIOS: &[Entry] = &[
    (
        "second-user",
        "two users of one car: each has his own profile, nobody sees the other's (§2)",
        Needs::of(1, 2, 2),
        second_user,
    ),
    (
        "logout-by-cmp",
        "the operator ends a session from afar; the profile is disabled (§4.3)",
        Needs::of(1, 1, 1),
        logout_by_cmp,
    ),
];

fn second_user(stage: &mut Stage) -> Result<(), Failure> {
    stage.link(0)?;
    stage.link(1)?;
    let ada = stage.enter(0, 0)?;
    // Bob takes over without a logout: her profile is off before his comes.
    let (agent, who) = (stage.car(0)?, stage.driver(1));
    agent.login(who.name, &who.pin)?;
    agent.wait_status("the other user's session", |s| {
        s["session"]["display_name"] == who.name && s["phase"] == "active"
    })?;
    let bob = stage.wait_active(0)?;
    stage.step(format!("bob entered car 1: {bob}"));
    // R-2-10 R-2-11 R-4.3-15
    expect(ada != bob, "two users have two profiles")?;
    stage.wait_told(&ada, "disabled")?;
    // R-4.3-14 R-4.3-15
    stage.wait_told(&bob, "enabled")?;
    let page = stage.portal(1)?.account()?;
    // R-2-10 R-4.5-2
    expect(
        page.contains(&bob) && !page.contains(&ada),
        "nobody sees the profiles of others",
    )?;
    expect(
        agent.delete(&ada).is_err(),
        "nobody deletes the profiles of others",
    )?;
    stage.leave(0)?;
    // R-4.3-4 R-2-11
    expect(stage.enter(0, 0)? == ada, "her own profile is still there")
}

fn logout_by_cmp(stage: &mut Stage) -> Result<(), Failure> {
    stage.link(0)?;
    let iccid = stage.enter(0, 0)?;
    let (eid, who) = (stage.site.eid.clone(), stage.driver(0));
    stage.cmp(&["order", "add", &eid, "logout", who.name])?;
    stage.wait_nobody(0)?;
    stage.step("the operator ended the session");
    stage.wait_told(&iccid, "disabled")?;
    stage.wait_no_orders()
}
