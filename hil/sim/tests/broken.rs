//! Each invariant but the 13th is broken once on purpose, by a party that misbehaves, and its check finds it.

use aid_sim::life::Life;
use aid_sim::sabotage::Sabotage;
use aid_sim::soak::DAYS;

/// Lives in which a misbehaviour has to show.
const LIVES: u64 = 40;

/// Lives with this misbehaviour until an invariant does not hold.
fn breaks(sabotage: Sabotage, invariant: u8) {
    let found = (0..LIVES).find_map(|seed| {
        let mut life = Life::of_seed(1 + seed, DAYS);
        life.sabotage = Some(sabotage);
        life.live(0).violation
    });
    let found = found.map(|violation| (violation.invariant, violation.what));
    assert_eq!(
        found.as_ref().map(|f| f.0),
        Some(invariant),
        "{sabotage:?}: {found:?}"
    );
}

#[test]
fn a_card_that_disables_nothing_breaks_1() {
    breaks(Sabotage::StaysEnabled, 1);
}

#[test]
fn two_enabled_profiles_break_2() {
    breaks(Sabotage::TwoEnabled, 2);
}

#[test]
fn reports_that_are_acknowledged_and_not_kept_break_3() {
    breaks(Sabotage::AckUnheard, 3);
}

#[test]
fn a_profile_that_the_cmp_never_sees_breaks_4() {
    breaks(Sabotage::HiddenProfile, 4);
}

#[test]
fn a_code_after_the_links_end_breaks_5() {
    breaks(Sabotage::CodeAfterEnd, 5);
}

#[test]
fn orders_that_are_ignored_or_astray_break_6() {
    breaks(Sabotage::OrderIgnored, 6);
    breaks(Sabotage::OrderAstray, 6);
}

#[test]
fn notifications_out_of_order_or_dropped_break_7() {
    breaks(Sabotage::NotificationsReversed, 7);
    breaks(Sabotage::NotificationsDropped, 7);
}

#[test]
fn a_disk_that_lies_and_a_shell_that_does_not_wait_break_8() {
    breaks(Sabotage::LyingDisk, 8);
    breaks(Sabotage::EagerShell, 8);
}

#[test]
fn a_message_over_the_profiles_own_bearer_breaks_9() {
    breaks(Sabotage::OwnBearer, 9);
}

#[test]
fn an_msp_that_touches_anothers_profile_breaks_10() {
    breaks(Sabotage::ForeignMsp, 10);
}

#[test]
fn a_panic_and_a_circle_break_11() {
    breaks(Sabotage::Panic, 11);
    breaks(Sabotage::Echo, 11);
}

#[test]
fn a_disk_that_never_works_again_breaks_12() {
    breaks(Sabotage::DeadDisk, 12);
}

#[test]
fn a_call_that_is_given_up_in_an_outage_breaks_3() {
    breaks(Sabotage::FinalAnswer, 3);
}

#[test]
fn a_hello_that_lists_nothing_breaks_14() {
    breaks(Sabotage::EmptyHello, 14);
}
