//! Onboarding and provisioning: §4.1, §4.3.

use super::stage::{Stage, expect};
use super::{Entry, Needs};
use crate::story::browser;
use aid_cli::cli::Failure;

pub(super) const SCENARIOS: &[Entry] = &[
    (
        "onboarding",
        "a driver links his subscription on the pages of both sides (§4.1)",
        Needs::of(1, 2, 1),
        onboarding,
    ),
    (
        "onboarding-at-msp",
        "a driver begins at the MSP, is sent to the CMP and back, and drives (§4.2)",
        Needs::of(1, 1, 1),
        onboarding_at_msp,
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
        // R-4.1-15 R-4.1-19
        expect(
            token.is_some() && token == there,
            format!("both sides have one token for {}", driver.name),
        )?;
    }
    let tokens: std::collections::BTreeSet<_> =
        cmp.iter().map(|f| f["msp_token"].to_string()).collect();
    expect(tokens.len() == 2, "two users have two tokens")
}

fn onboarding_at_msp(stage: &mut Stage) -> Result<(), Failure> {
    let who = stage.driver(0);
    let mut steps = Vec::new();
    let done = browser::onboard_at_msp(&stage.site, &who, &mut |step| steps.push(step.to_owned()));
    steps.into_iter().for_each(|step| stage.step(step));
    done?;
    // R-4.2-2 R-4.2-3 R-4.2-4 R-4.2-6 R-4.2-8 R-4.2-10
    stage.step("the MSP says that the subscription is connected, and the driver is still there");
    let (cmp, msp) = (stage.cmp_list("federation")?, stage.msp_list("user")?);
    let there = &msp[0]["onboardings"][0];
    // R-4.2-7 R-4.2-9 R-4.2-11
    expect(
        cmp.len() == 1 && cmp[0]["user"] == who.name && cmp[0]["msp_token"] == there["msp_token"],
        "both sides have one token",
    )?;
    let page = stage.portal(0)?.account()?;
    // R-2-4 R-4.2-10
    expect(
        page.contains("AID Test MSP") && page.contains("001") && page.contains("private"),
        "the portal shows the subscription: operator, masked number and kind",
    )?;
    // R-4.2-11
    let iccid = stage.enter(0, 0)?;
    stage.wait_told(&iccid, "enabled")
}

fn provisioning(stage: &mut Stage) -> Result<(), Failure> {
    stage.link(0)?;
    // R-2-7 R-2-9 R-4.1-20 R-4.3-8 R-4.3-10 R-4.3-11 R-A.1-2 R-A.2-1
    let iccid = stage.enter(0, 0)?;
    // R-4.3-12
    stage.wait_at_cmp(&iccid, "enabled")?;
    stage.wait_told(&iccid, "enabled")?;
    stage.leave(0)?;
    stage.wait_told(&iccid, "disabled")?;
    let again = stage.enter(0, 0)?;
    // R-4.3-4 R-4.3-16
    expect(again == iccid, "the second login uses the same profile")?;
    stage.wait_told(&iccid, "enabled")?;
    let told = stage.told(&iccid)?;
    // R-4.3-13 R-3.2-1
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
    // R-3.2-7 R-3.2-8
    stage.portal(0)?.approve(&code)?;
    // R-1.1-3: without a PIN the same comes of it.
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
