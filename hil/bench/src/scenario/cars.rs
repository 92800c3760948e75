//! Several cars: swaps from a pool of n (§4.3.1), one user in two cars, a full card, the end of a
//! rental (A.4).

use super::stage::{Stage, expect};
use super::{Entry, Needs};
use aid_cli::cli::Failure;

/// Memory of a card with room for one profile, bytes: the bench's own takes 3 kB installed. What is
/// left is more than the 1.4 kB of its package, so the SM-DP+ sends it and the card refuses.
const ONE_PROFILE: u32 = 5_000;

pub(super) const SCENARIOS: &[Entry] = &[
    (
        "swap",
        "a pool of two, a third car: the least recently used profile goes, its car is offline (§4.3.1)",
        Needs::of(3, 1, 3).with_pool(2),
        swap,
    ),
    (
        "one-user-two-cars",
        "one user has a profile in each of two cars, both in use (§2, §4.3.1)",
        Needs::of(2, 1, 2),
        two_cars,
    ),
    (
        "card-full",
        "a card without space for the second user: the first one's profile goes (A.4)",
        Needs::of(1, 2, 2).with_memory(ONE_PROFILE),
        card_full,
    ),
    (
        "retired",
        "a car is retired while it is connected: it is cut off, its profile is lost (A.4)",
        Needs::of(2, 1, 2),
        retired,
    ),
    (
        "end-of-rental",
        "everything is deleted from a car, its user is logged out (A.4)",
        Needs::of(1, 2, 3),
        end_of_rental,
    ),
];

fn retired(stage: &mut Stage) -> Result<(), Failure> {
    stage.link(0)?;
    let first = stage.enter(0, 0)?;
    stage.leave(0)?;
    let second = stage.enter(1, 0)?;
    let eid = stage.site.eid.clone();
    stage.cmp(&["vehicle", "retire", &eid, "--reason", "sold abroad"])?;
    stage.step("car 1 was retired");
    let agent = stage.car(0)?;
    agent.wait_status("the end of the link", |s| s["link"] == "down")?;
    stage.wait_at_cmp(&first, "lost")?;
    stage.wait_told(&first, "deleted")?;
    stage.wait_no_orders()?;
    expect(
        stage.wait_active(1)? == second,
        "the profile of the other car stays",
    )
}

fn swap(stage: &mut Stage) -> Result<(), Failure> {
    stage.link(0)?;
    let first = stage.enter(0, 0)?;
    stage.leave(0)?;
    let second = stage.enter(1, 0)?;
    stage.leave(1)?;
    // The first is used again: the second is the least recently used one then.
    stage.enter(0, 0)?;
    stage.leave(0)?;
    stage.unplug(1);
    stage.step("car 2 is out of reach");
    let third = stage.enter(2, 0)?;
    // R-4.3.1-4
    expect(third != first && third != second, "a third profile")?;
    let list = stage.msp_list("profile")?;
    let taken = |i: &str| {
        list.iter()
            .find(|p| p["iccid"] == i)
            .map(|p| p["state"].clone())
    };
    // R-4.3.1-5 R-4.3.1-13
    expect(
        taken(&second).is_some_and(|s| s == "swapped"),
        format!("the MSP swapped the least recently used one, {second}: {list:?}"),
    )?;
    stage.plug(1)?;
    stage.step("car 2 is back");
    // R-4.3.1-16 R-4.3.1-18
    stage.wait_deleted(1, &second)?;
    stage.wait_no_orders()?;
    expect(
        stage.card(0)? == [first],
        "the profile of car 1 stays where it is",
    )
}

fn two_cars(stage: &mut Stage) -> Result<(), Failure> {
    stage.link(0)?;
    let first = stage.enter(0, 0)?;
    let second = stage.enter(1, 0)?;
    // R-4.3.1-2
    expect(first != second, "two cars have two profiles")?;
    stage.wait_told(&first, "enabled")?;
    // R-2-1
    stage.wait_told(&second, "enabled")?;
    expect(
        stage.wait_active(0)? == first,
        "the login in car 2 leaves car 1 alone",
    )
}

fn card_full(stage: &mut Stage) -> Result<(), Failure> {
    stage.link(0)?;
    stage.link(1)?;
    let first = stage.enter(0, 0)?;
    stage.leave(0)?;
    let second = stage.enter(0, 1)?;
    stage.wait_deleted(0, &first)?;
    // R-A.4-3
    expect(
        stage.card(0)? == [second],
        "the second user's profile took the place",
    )
}

fn end_of_rental(stage: &mut Stage) -> Result<(), Failure> {
    stage.link(0)?;
    stage.link(1)?;
    let first = stage.enter(0, 0)?;
    stage.leave(0)?;
    let second = stage.enter(0, 1)?;
    let eid = stage.site.eid.clone();
    stage.cmp(&["order", "add", &eid, "delete-all"])?;
    stage.step("the rental ended");
    stage.wait_deleted(0, &first)?;
    // R-A.4-4
    stage.wait_deleted(0, &second)?;
    stage.wait_nobody(0)?;
    stage.wait_no_orders()?;
    stage.enter(0, 0).map(drop)
}
