//! What a scenario needs of the machine and of the device under test.

use super::broker;
use super::file::{Act, Scenario, Step};
use crate::dut::Dut;
use aid_cli::cli::Failure;
use aid_needs::Need;

/// What is missing, if something is: the scenario is skipped for this reason.
///
/// # Errors
/// It is missing, and the run requires it (`AID_REQUIRE`).
pub(super) fn missing(scenario: &Scenario, dut: &Dut) -> Result<Option<String>, Failure> {
    if let Some(why) = dut.missing() {
        return Ok(Some(why));
    }
    let uses = |prefix: &str| any(&scenario.steps, &|name| name.starts_with(prefix));
    if !dut.has_power() && uses("power.cut") {
        return Ok(Some(
            "nothing drives the power of this device; [power] by = … in its file".into(),
        ));
    }
    if scenario.given.mosquitto && broker::program().is_none() {
        return Ok(Some(aid_needs::skip(Need::Mosquitto, broker::MISSING)?));
    }
    if !scenario.given.shims.is_empty() && !has_cc() {
        return Ok(Some(aid_needs::skip(
            Need::Cc,
            "there is no C compiler `cc`",
        )?));
    }
    Ok(None)
}

fn any(steps: &[Step], is: &impl Fn(&str) -> bool) -> bool {
    steps.iter().any(|step| match &step.act {
        Act::Run(action, _) => is(action.name),
        Act::Each(_, steps) => any(steps, is),
    })
}

fn has_cc() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join("cc").is_file())
}
