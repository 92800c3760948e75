//! Onboarding and provisioning: §4.1, §4.3.

use super::stage::{Stage, expect};
use super::{Entry, Needs};
use aid_cli::cli::Failure;

pub(super) const SCENARIOS: &[Entry] = &[
    (
        "onboarding",
        "a driver links his subscription on the pages of both sides (§4.1)",
        Needs::of(1, 2, 1),
        onboarding,
    ),
    (
        "provisioning",
        "login, code at once, download, enable; logout; login again without a download (§4.3)",
        Needs::of(1, 1, 1),
        provisioning,
    ),
    (
        "provisioning-later",
        "the same with a code that comes later (§7.7.2)",
        Needs::of(1, 1, 1).answered_later(),
        provisioning,
    ),
    (
        "login-by-code",
        "the car shows a code, the user approves it in the portal, and drives (§4.3)",
        Needs::of(1, 1, 1),
        login_by_code,
    ),
    (
        "power-cut",
        "the car's unit loses power during a download, and a server dies (§4.3)",
        Needs::of(1, 1, 2),
        power_cut,
    ),
];

fn onboarding(stage: &mut Stage) -> Result<(), Failure> {
    stage.link(0)?;
    stage.link(1)?;
    let (cmp, msp) = (stage.cmp_list("federation")?, stage.msp_list("user")?);
    for driver in &stage.site.drivers {
        let token = cmp
            .iter()
            .find(|f| f["user"] == driver.name)
            .map(|f| f["msp_token"].clone());
        let there = msp
            .iter()
            .find(|u| u["user"] == driver.msp_user)
            .map(|u| u["onboardings"][0]["msp_token"].clone());
        expect(
            token.is_some() && token == there,
            format!("both sides have one token for {}", driver.name),
        )?;
    }
    let tokens: std::collections::BTreeSet<_> =
        cmp.iter().map(|f| f["msp_token"].to_string()).collect();
    expect(tokens.len() == 2, "two users have two tokens")
}

fn provisioning(stage: &mut Stage) -> Result<(), Failure> {
    stage.link(0)?;
    let iccid = stage.enter(0, 0)?;
    stage.wait_at_cmp(&iccid, "enabled")?;
    stage.wait_told(&iccid, "enabled")?;
    stage.leave(0)?;
    stage.wait_told(&iccid, "disabled")?;
    let again = stage.enter(0, 0)?;
    expect(again == iccid, "the second login uses the same profile")?;
    stage.wait_told(&iccid, "enabled")?;
    let told = stage.told(&iccid)?;
    expect(
        told == ["installed", "enabled", "disabled", "enabled"],
        format!("the MSP heard each status once and in order, it heard {told:?}"),
    )
}

fn login_by_code(stage: &mut Stage) -> Result<(), Failure> {
    stage.link(0)?;
    let agent = stage.car(0)?;
    let mut events = agent.events()?;
    agent.login_by_code()?;
    let event = events.wait(&["login_code"])?;
    let code = event["code"].as_str().unwrap_or_default().to_owned();
    stage.step(format!("the car shows {code}"));
    stage.portal(0)?.approve(&code)?;
    let iccid = stage.wait_active(0)?;
    stage.wait_told(&iccid, "enabled")?;
    stage.leave(0)?;
    stage.wait_told(&iccid, "disabled")
}

fn power_cut(stage: &mut Stage) -> Result<(), Failure> {
    stage.link(0)?;
    let (agent, who) = (stage.car(0)?, stage.driver(0));
    let mut events = agent.events()?;
    agent.login(who.name, &who.pin)?;
    events.wait(&["download_progress"])?;
    stage.cut_power(0);
    stage.step("the car lost power during the download");
    stage.crash("aid-cmp")?;
    stage.step("the CMP died and came back");
    stage.plug(0)?;
    stage.wait_nobody(0)?;
    let iccid = stage.enter(0, 0)?;
    let card = stage.card(0)?;
    expect(
        card == [iccid.clone()],
        format!("one profile on the card, there are {card:?}"),
    )?;
    stage.cut_power(0);
    stage.step("the car lost power with the driver in it");
    stage.plug(0)?;
    stage.wait_nobody(0)?;
    stage.wait_told(&iccid, "disabled")?;
    let told = stage.told(&iccid)?;
    expect(
        told == ["installed", "enabled", "disabled"],
        format!("the MSP heard each status once and in order, it heard {told:?}"),
    )
}
