//! Given several terminals at one card, then a proactive command belongs to the one whose command
//! caused it; and a TERMINAL RESPONSE answers the command that was fetched, or none.
use super::host::*;
use crate::card::Terminal;
use aid_rsp::es10::*;
use std::{format, string::String, vec::Vec};

const MODEM: Terminal = Terminal(1);
const READER: Terminal = Terminal(2);
const PROFILE: &str = "8010000003010080";

fn send(host: &mut Host, from: Terminal, apdu: &str) -> String {
    let apdu: String = apdu.split_whitespace().collect();
    hex::encode(host.card.transmit_from(from, &hex::decode(apdu).unwrap()))
}

/// EnableProfile with refreshFlag of profile 2 by a terminal.
fn enable(host: &mut Host, from: Terminal) -> String {
    let request = EnableProfileRequest {
        profile: ProfileIdentifier::Iccid(metadata(2).iccid),
        refresh: true,
    };
    let request = request.to_vec();
    let apdu = format!(
        "{:02x}e29100{:02x}{}",
        host.cla,
        request.len(),
        hex::encode(request)
    );
    send(host, from, &apdu)
}

fn enabled(host: &Host) -> Option<[u8; 10]> {
    host.card.store.state().enabled().map(|p| p.iccid())
}

fn host() -> Host {
    let mut host = Host::new();
    host.install(1);
    host.install(2);
    host.enable(1);
    host
}

#[test]
fn a_proactive_command_belongs_to_the_terminal_that_caused_it() {
    let mut host = host();
    assert_eq!(send(&mut host, MODEM, PROFILE), "9000");
    assert_eq!(send(&mut host, READER, PROFILE), "9000");
    assert_eq!(enable(&mut host, READER), "bf3103800100910b");
    // The other one is told nothing, and can neither fetch nor answer it.
    assert_eq!(send(&mut host, MODEM, "00a4000c023f00"), "9000");
    assert_eq!(send(&mut host, MODEM, "8012000000"), "6985");
    let response = "801400000c810301010402028281030100";
    assert_eq!(send(&mut host, MODEM, response), "6985");
    // But it can't begin a switch either.
    assert_eq!(enable(&mut host, MODEM), "bf31038001059000");
    assert_eq!(send(&mut host, READER, "00a4000c023f00"), "910b");
    assert_eq!(
        send(&mut host, READER, "801200000b"),
        "d0098103010104820281829000"
    );
    assert_eq!(send(&mut host, MODEM, response), "6985");
    assert_eq!(enabled(&host), Some(metadata(1).iccid));
    assert_eq!(send(&mut host, READER, response), "9000");
    assert_eq!(enabled(&host), Some(metadata(2).iccid));
    assert_eq!(host.card.profile_switches(), 2);
}

#[test]
fn a_terminal_without_a_toolkit_switches_at_once_beside_one_that_has_one() {
    let mut host = host();
    assert_eq!(send(&mut host, MODEM, PROFILE), "9000");
    assert_eq!(enable(&mut host, READER), "bf31038001009000");
    assert_eq!(enabled(&host), Some(metadata(2).iccid));
    assert_eq!(send(&mut host, MODEM, "00a4000c023f00"), "9000");
    // Each terminal is asked in the mode that it knows.
    assert_eq!(host.disable(2), DisableResult::Ok);
    let both = format!("8010000022010080{}20", "00".repeat(30));
    assert_eq!(send(&mut host, READER, &both), "9000");
    assert_eq!(enable(&mut host, READER), "bf3103800100910b");
    assert_eq!(
        send(&mut host, READER, "801200000b"),
        "d0098103010109820281829000"
    );
}

#[test]
fn a_terminal_that_leaves_owes_nothing() {
    for fetched in [false, true] {
        let mut host = host();
        assert_eq!(send(&mut host, MODEM, PROFILE), "9000");
        assert_eq!(send(&mut host, READER, PROFILE), "9000");
        assert_eq!(enable(&mut host, READER), "bf3103800100910b");
        if fetched {
            assert!(send(&mut host, READER, "801200000b").starts_with("d009"));
        }
        host.card.terminal_left(MODEM);
        assert_eq!(enabled(&host), Some(metadata(1).iccid));
        host.card.terminal_left(READER);
        // As after a reset: the switch has happened, and the card is free.
        assert_eq!(enabled(&host), Some(metadata(2).iccid));
        assert_eq!(host.disable(2), DisableResult::Ok);
        // It is forgotten what it knew.
        assert_eq!(enable(&mut host, READER), "bf31038001009000");
    }
}

/// TS 102 223 §6.8.1: command details are those of the command; device identities are mandatory.
#[test]
fn a_terminal_response_answers_the_command_that_was_fetched() {
    let details = "8103010104";
    let devices = "02028281";
    let result = "030100";
    let refused: Vec<String> = [
        // Another number, type, qualifier; too short, too long, illegible.
        "8103020104",
        "8103010304",
        "8103010100",
        "8103010109",
        "8103000104",
        "8103000004",
        "81020101",
        "810401010404",
    ]
    .iter()
    .map(|wrong| format!("{wrong}{devices}{result}"))
    .chain([
        format!("{details}{result}"),
        format!("{devices}{result}"),
        format!("{details}{devices}"),
        format!("{details}02028182{result}"),
        format!("{details}020182{result}"),
        format!("{details}0203828100{result}"),
        format!("{details}{devices}0300"),
        format!("{details}{devices}{result}83"),
    ])
    .collect();
    for data in refused {
        let mut host = host();
        host.expect(PROFILE, "9000");
        assert_eq!(host.enable(2), EnableResult::Ok);
        host.expect("801200000b", "d0098103010104820281829000");
        let apdu = format!("80140000{:02x}{data}", data.len() / 2);
        host.expect(&apdu, "6a80");
        // Nothing has happened, and the answer may still come.
        assert_eq!(enabled(&host), Some(metadata(1).iccid), "{data}");
        let right = format!("{details}{devices}{result}");
        host.expect(&format!("801400000c{right}"), "9000");
        assert_eq!(enabled(&host), Some(metadata(2).iccid), "{data}");
    }
}
