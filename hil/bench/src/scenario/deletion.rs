//! The deletion of one profile, for each who may want it (§4.5, A.4).

use super::stage::{Stage, expect};
use super::{Entry, Needs};
use aid_cli::cli::Failure;

pub(super) const SCENARIOS: &[Entry] = &[
    (
        "delete-in-portal",
        "the user deletes the profile of one car while it is in use; the other stays (§4.5)",
        Needs::of(2, 1, 2),
        in_portal,
    ),
    (
        "delete-by-msp",
        "the operator declares a profile dead (§4.7, A.4)",
        Needs::of(1, 1, 2),
        by_msp,
    ),
    (
        "delete-in-car",
        "the user deletes his profile at the HMI, and gets another when he says so (A.4)",
        Needs::of(1, 1, 2),
        in_car,
    ),
];

fn in_portal(stage: &mut Stage) -> Result<(), Failure> {
    stage.link(0)?;
    let first = stage.enter(0, 0)?;
    let second = stage.enter(1, 0)?;
    // R-4.5-2
    stage.portal(0)?.delete(&first)?;
    stage.step("the user deleted one profile in the portal");
    // R-4.5-4 R-4.5-5 R-4.5-7 R-4.5-8 R-A.4-1
    stage.wait_deleted(0, &first)?;
    stage.wait_no_orders()?;
    expect(
        stage.wait_active(1)? == second,
        "the profile of the other car stays",
    )
}

fn by_msp(stage: &mut Stage) -> Result<(), Failure> {
    stage.link(0)?;
    let iccid = stage.enter(0, 0)?;
    stage.msp(&[
        "profile", "inform", "--iccid", &iccid, "--status", "invalid",
    ])?;
    stage.step("the operator declared the profile dead");
    // R-4.7-3 R-7.5-6
    stage.wait_deleted(0, &iccid)?;
    stage.wait_no_orders()
}

fn in_car(stage: &mut Stage) -> Result<(), Failure> {
    stage.link(0)?;
    let iccid = stage.enter(0, 0)?;
    stage.car(0)?.delete(&iccid)?;
    stage.step("the user deleted his profile in the car");
    stage.wait_deleted(0, &iccid)?;
    expect(
        stage.car(0)?.status()?["session"]["asking"] == true,
        "the car asks before it gets another",
    )?;
    stage.car(0)?.provision()?;
    let another = stage.wait_active(0)?;
    expect(another != iccid, "another profile")
}
