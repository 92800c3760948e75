//! ES10c.eUICCMemoryReset: SGP.22 §5.7.19. Only on a card that has nothing of anybody else on it, and whose target file
//! says that it may be emptied.

use super::installing::install;
use super::{Rig, with_reset};
use crate::rsp::findings::{Checked, one_of, same};
use crate::rsp::table;
use aid_rsp::es10::{
    EuiccMemoryResetRequest, EuiccMemoryResetResponse, ResetResult, reset_options,
};

table! { Rig;
    "SGP22-5.7.19/deletes" [] ["4.2.24"] "SGP.22 §5.7.19" Must, with_reset, deletes,
        "eUICCMemoryReset deletes operational profiles, an enabled one among them.";
    "SGP22-5.7.19/nothing" [] ["4.2.24"] "SGP.22 §5.7.19" Must, with_reset, nothing,
        "eUICCMemoryReset of a card without profiles is nothingToDelete.";
    "SGP22-5.7.19/address" [] ["4.2.24"] "SGP.22 §5.7.19" Must, with_reset, address,
        "eUICCMemoryReset removes the default SM-DP+ address, where asked to, and leaves profiles then.";
}

fn reset(rig: &mut Rig, options: u32) -> Checked<ResetResult> {
    let request = EuiccMemoryResetRequest { options };
    let answer: EuiccMemoryResetResponse = rig.call("eUICCMemoryReset", &request)?;
    Ok(answer.result)
}

fn deletes(rig: &mut Rig) -> Checked {
    let (one, two) = (install(rig)?, install(rig)?);
    super::management::enable(rig, &one)?;
    let result = reset(rig, reset_options::DELETE_OPERATIONAL_PROFILES)?;
    one_of(
        "eUICCMemoryReset of operational profiles",
        &[ResetResult::Ok],
        &result,
    )?;
    for profile in [one, two] {
        rig.await_state(profile.iccid, None)?;
        let state = rig.state(profile.iccid)?;
        same("a profile after eUICCMemoryReset", &None, &state)?;
    }
    Ok(())
}

fn nothing(rig: &mut Rig) -> Checked {
    let result = reset(rig, reset_options::DELETE_OPERATIONAL_PROFILES)?;
    one_of(
        "eUICCMemoryReset of an empty card",
        &[ResetResult::NothingToDelete],
        &result,
    )
}

fn address(rig: &mut Rig) -> Checked {
    let profile = install(rig)?;
    rig.set_default_dp("judge.smdp.example")?;
    let result = reset(rig, reset_options::RESET_DEFAULT_SMDP_ADDRESS)?;
    one_of(
        "eUICCMemoryReset of the address",
        &[ResetResult::Ok],
        &result,
    )?;
    let left = rig.addresses()?.default_dp_address.unwrap_or_default();
    same(
        "no default SM-DP+ address after eUICCMemoryReset",
        "",
        &left,
    )?;
    let there = rig.state(profile.iccid)?.is_some();
    same(
        "profiles after eUICCMemoryReset of the address alone",
        &true,
        &there,
    )
}
