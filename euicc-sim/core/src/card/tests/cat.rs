//! Given a terminal with a toolkit, when profiles are switched with refreshFlag, then REFRESH comes
//! first and the switch after the terminal's answer or a reset.
use super::host::*;
use crate::nvm::{Cut, Memory};
use aid_rsp::es10::*;

/// A TERMINAL PROFILE with PROFILE DOWNLOAD and REFRESH.
const PROFILE: &str = "8010000003 010080";
const REFRESH: &str = "d009810301010482028182";

fn toolkit() -> Host {
    let mut host = Host::new();
    host.install(1);
    host.install(2);
    host.enable(1);
    host.expect(PROFILE, "9000");
    host
}

fn enabled(host: &mut Host) -> Option<u8> {
    let on = |p: &ProfileInfo| p.state == Some(ProfileState::Enabled);
    let iccid = host.profiles().into_iter().find(on)?.iccid?;
    (1..9).find(|n| metadata(*n).iccid == iccid)
}

fn fetch(host: &mut Host) {
    host.expect("8012000000", &std::format!("{REFRESH}9000"));
}

#[test]
fn enabling_waits_for_the_terminals_answer() {
    let mut host = toolkit();
    host.expect("8012000000", "6985");
    let notes = host.notifications().len();
    assert_eq!(host.enable(2), EnableResult::Ok);
    // Every answer says now that a command of 11 bytes waits.
    host.expect("00a4000c023f00", "910b");
    assert_eq!(enabled(&mut host), Some(1));
    assert_eq!(host.notifications().len(), notes);
    host.expect("8012000005", "6c0b");
    host.expect("801200010b", "6a86");
    fetch(&mut host);
    host.expect("00a4000c023f00", "9000");
    // The session goes on: no other switch, no reset of the memory.
    assert_eq!(host.enable(2), EnableResult::CatBusy);
    assert_eq!(host.disable(1), DisableResult::CatBusy);
    let reset = EuiccMemoryResetRequest {
        options: reset_options::DELETE_OPERATIONAL_PROFILES,
    };
    let response: EuiccMemoryResetResponse = host.call(&reset);
    assert_eq!(response.result, ResetResult::CatBusy);
    // An answer to another command is none.
    host.expect("801400000c 810307010402028281030100", "6a80");
    host.expect("8014000003 810301", "6a80");
    host.expect("801400000c 810301010402028281030100", "9000");
    assert_eq!(enabled(&mut host), Some(2));
    assert_eq!(host.notifications().len(), notes + 3);
    host.expect("801400000c 810301010402028281030100", "6985");
}

#[test]
fn a_terminal_that_knows_euiccs_is_asked_for_a_profile_state_change() {
    let mut host = toolkit();
    // 34 bytes, the last one with bit 6.
    let profile = std::format!("8010000022 010080{}20", "00".repeat(30));
    host.expect(&profile, "9000");
    assert_eq!(host.enable(2), EnableResult::Ok);
    host.expect("8012000000", "d0098103010109820281829000");
    host.expect("801400000c 810301010902028281030100", "9000");
    assert_eq!(enabled(&mut host), Some(2));
    // Without the bit it is the reset that every terminal knows.
    let profile = std::format!("8010000022 010080{}df", "00".repeat(30));
    host.expect(&profile, "9000");
    assert_eq!(host.enable(1), EnableResult::Ok);
    host.expect("8012000000", "d0098103020104820281829000");
}

#[test]
fn a_busy_terminal_is_asked_again_and_a_refusal_changes_nothing() {
    let mut host = toolkit();
    assert_eq!(host.enable(2), EnableResult::Ok);
    for _ in 0..2 {
        fetch(&mut host);
        host.expect("801400000c 810301010402028281030120", "910b");
    }
    fetch(&mut host);
    host.expect("801400000c 810301010402028281030120", "9000");
    assert_eq!(enabled(&mut host), Some(1));
    assert_eq!(host.card.store.state().switch, None);
    // The next one has another number; without effect at once, as with permanent problems.
    assert_eq!(host.enable(2), EnableResult::Ok);
    host.expect(
        "801200000b",
        "d009810302010482028182 9000".replace(' ', "").as_str(),
    );
    host.expect("801400000d 81030201040202828103023001", "9000");
    assert_eq!(enabled(&mut host), Some(1));
    host.card.reset();
    host.open_isdr();
    assert_eq!(enabled(&mut host), Some(1));
}

#[test]
fn a_reset_or_a_power_cut_does_what_the_terminal_did_not() {
    for power in [false, true] {
        let mut host = toolkit();
        assert_eq!(host.enable(2), EnableResult::Ok);
        if power {
            host = Host::with(host.card.nvm().clone());
        } else {
            host.card.reset();
            host.open_isdr();
        }
        assert_eq!(enabled(&mut host), Some(2));
        // The terminal has to say again what it can.
        assert_eq!(host.enable(1), EnableResult::Ok);
        assert_eq!(enabled(&mut host), Some(1));
    }
}

#[test]
fn without_refresh_flag_or_without_a_toolkit_the_switch_is_at_once() {
    let mut host = toolkit();
    assert_eq!(host.disable(1), DisableResult::Ok);
    assert_eq!(enabled(&mut host), None);
    // A terminal that does not announce REFRESH.
    host.expect("8010000003 010000", "9000");
    assert_eq!(host.enable(1), EnableResult::Ok);
    assert_eq!(enabled(&mut host), Some(1));
    host.expect("00a4000c023f00", "9000");
}

#[test]
fn disabling_waits_too_and_a_profile_deleted_meanwhile_is_not_missed() {
    let mut host = toolkit();
    let request = DisableProfileRequest {
        profile: ProfileIdentifier::Iccid(metadata(1).iccid),
        refresh: true,
    };
    let answer: DisableProfileResponse = host.call(&request);
    assert_eq!(answer.result, DisableResult::Ok);
    assert_eq!(enabled(&mut host), Some(1));
    fetch(&mut host);
    // Number 0 is the last command; extended results count by their first byte.
    host.expect("801400000c 810300000082028281830101", "9000");
    assert_eq!(enabled(&mut host), None);
    assert_eq!(host.enable(2), EnableResult::Ok);
    assert_eq!(host.delete(2), DeleteResult::Ok);
    host.card.reset();
    host.open_isdr();
    assert_eq!(enabled(&mut host), None);
}

#[test]
fn a_switch_with_refresh_is_atomic() {
    let mut host = toolkit();
    host.enable(2);
    fetch(&mut host);
    let waiting: Memory = host.card.nvm().clone();
    for cut in [Cut::Before, Cut::After] {
        let mut host = toolkit();
        host.card.nvm().cut_at(0, cut);
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| host.enable(2)));
        let mut host = Host::with(host.card.into_nvm().power_on());
        let expected = if cut == Cut::Before { 1 } else { 2 };
        assert_eq!(enabled(&mut host), Some(expected));
        // Power fails again while the card does at power-on what it owes.
        let mut nvm = waiting.clone();
        nvm.cut_at(0, cut);
        let again = Host::power_on(nvm, &host.crypto);
        let mut host = Host::with(again.into_nvm().power_on());
        assert_eq!(enabled(&mut host), Some(2));
    }
}

#[test]
fn commands_of_the_toolkit_are_checked() {
    let mut host = toolkit();
    host.expect("8010000000", "6700");
    host.expect("80aa000000", "6700");
    host.expect("80aa000005a903830180", "9000");
    host.expect("80aa000005a903830580", "6a80");
    host.expect("80aa000002a803", "6a80");
    host.expect("80aa010005a903830180", "6a86");
    host.expect("80c2000000", "6700");
    // Event download is noted; an SMS for a toolkit application finds none.
    host.expect("80c2000009 d607 990103 82028281", "9000");
    host.expect("80c2000002 d100", "6985");
    host.expect("80c2000003 d10500", "6a80");
    host.expect("80c2000002 3000", "6a80");
    host.expect("8014000003 830100", "6985");
    // They are UICC commands whatever is selected, in class 80 only.
    host.expect("8110000003 010080", "9000");
    for apdu in [
        "0010000003 010080",
        "0012000000",
        "00140000 03 830100",
        "00c2000002 d600",
        "00aa000002 a900",
    ] {
        host.expect(apdu, "6e00");
    }
}
