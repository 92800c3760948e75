//! Lives of cars with faults: every invariant holds, and a life is the same each time it is lived.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot set itself up has failed"
)]

use aid_sim::life::Life;
use aid_sim::log::KEPT;
use aid_sim::soak::Soak;

/// Lives that are tried.
const LIVES: u64 = 100;

#[test]
fn every_invariant_holds_for_two_thousand_vehicle_days() {
    let mut soak = Soak::new(1);
    for _ in 0..LIVES {
        if let Some(life) = soak.step() {
            let short = life.shortened();
            panic!("{}", short.to_text(&short.live(KEPT)));
        }
    }
    assert_eq!(soak.days, 2000);
    // Faults come where they are wanted.
    assert_eq!(soak.empty_cells(), []);
    assert!(soak.installed > 1000 && soak.repaired > 0);
}

#[test]
fn a_life_is_the_same_each_time_and_from_its_text() {
    let life = Life::of_seed(4, 3);
    let (first, second) = (life.live(KEPT), life.live(KEPT));
    assert_eq!(first.lines, second.lines);
    assert_eq!(first.table, second.table);
    let read = Life::from_text(&life.to_text(&first)).unwrap();
    assert_eq!(read.plan, life.plan);
    assert_eq!(read.live(KEPT).lines, first.lines);
    for wrong in ["", "life", "life 1 days x", "life 1 days 2\n3 0 dance"] {
        assert!(Life::from_text(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_count_is_read_back() {
    let mut soak = Soak::new(9);
    let _ = soak.step();
    assert_eq!(Soak::from_text(&soak.to_text()).unwrap(), soak);
    assert!(Soak::from_text("cell nowhere delay 1").is_err());
}
