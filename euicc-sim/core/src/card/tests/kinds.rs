//! Given a modem that bends the rules, then each command is judged as the specification says, on every
//! channel and in every application.
use super::host::*;
use crate::apdu::Class;
use std::{format, string::String};

const ISDR: &str = "a0000005591010ffffffff8900000100";
const ECASD: &str = "a0000005591010ffffffff8900000200";
const ISDR_FCI: &str = "6f1f8410a0000005591010ffffffff8900000100a5049f6501ffe0058203020400";
const ECASD_FCI: &str = "6f188410a0000005591010ffffffff8900000200a5049f6501ff";
const USIM: &str = "a0000000871002ff49ff0589";

fn enabled() -> Host {
    let mut host = Host::new();
    host.install(1);
    host.enable(1);
    host
}

/// ETSI TS 102 221 §11.1.2: STATUS is about the application that is selected on the channel.
#[test]
fn status_is_about_the_selected_application() {
    let mut host = enabled();
    for channel in [0, 2, 3, 4, 19] {
        if channel > 0 {
            host.expect(&format!("007000{channel:02x}"), "9000");
        }
        let cla = Class::interindustry(channel);
        for (aid, fci) in [(ISDR, ISDR_FCI), (ECASD, ECASD_FCI)] {
            host.expect(&format!("{cla:02x}a4040010{aid}00"), &format!("{fci}9000"));
            for p1 in ["00", "01", "02"] {
                let status = format!("{:02x}f2{p1}", cla | 0x80);
                host.expect(&format!("{status}0000"), &format!("{fci}9000"));
                host.expect(&format!("{status}0100"), &format!("8410{aid}9000"));
                host.expect(&format!("{status}0c"), "9000");
                let length = fci.len() / 2;
                host.expect(&format!("{status}0001"), &format!("6c{length:02x}"));
                host.expect(&format!("{status}0111"), "6c12");
                host.expect(&format!("{status}0200"), "6a86");
            }
            host.expect(&format!("{:02x}f2030000", cla | 0x80), "6a86");
            host.expect(&format!("{cla:02x}f2000000"), "6e00");
        }
        // A file leaves the security domain, and so does an application.
        host.expect(&format!("{cla:02x}a4000c023f00"), "9000");
        host.expect(&format!("{:02x}f2000100", cla | 0x80), "6a88");
        let mf = host.apdu(&format!("{:02x}f2000000", cla | 0x80));
        assert_eq!(mf[0], 0x62);
        host.expect(&format!("{cla:02x}a4040c0c{USIM}"), "9000");
        host.expect(
            &format!("{:02x}f2000100", cla | 0x80),
            &format!("840c{USIM}9000"),
        );
    }
    // Without a profile it is no different.
    host.disable(1);
    host.expect(&format!("00a4040c10{ISDR}"), "9000");
    host.expect("80f2000100", &format!("8410{ISDR}9000"));
}

/// ETSI TS 102 221 §8.7, §11.1.17: a channel begins with what is selected where it was opened, but
/// from the basic channel with the MF.
#[test]
fn a_new_channel_has_the_application_of_the_one_that_opened_it() {
    let eid = "bf3e125a10890490321234512345123456789012359000";
    let mut host = enabled();
    let from = host.cla & 0x7F;
    // By the card's choice, and by the terminal's.
    host.expect(&format!("{from:02x}70000001"), "029000");
    host.expect(&format!("{from:02x}70000500"), "9000");
    for cla in [0x82, 0xC1] {
        host.expect(&format!("{cla:02x}e2910006bf3e035c015a00"), eid);
        host.expect(&format!("{cla:02x}f2000100"), &format!("8410{ISDR}9000"));
    }
    // And on from there, for each application.
    host.expect(&format!("02a4040c10{ECASD}"), "9000");
    host.expect("0270000600", "9000");
    host.expect("c2ca005a00", "5a10890490321234512345123456789012359000");
    host.expect(&format!("02a4040c0c{USIM}"), "9000");
    host.expect("0270000700", "9000");
    host.expect("c3f2000100", &format!("840c{USIM}9000"));
    host.expect(&format!("00a4040c10{ISDR}"), "9000");
    host.expect("0070000800", "9000");
    host.expect("c4e2910006bf3e035c015a00", "6d00");
    host.expect("c4f2000100", "6a88");
}

/// A host with an answer of which 33 bytes wait on channel 1.
fn waiting() -> Host {
    let mut host = enabled();
    host.expect("01a40004023f0004", "622382026121");
    host
}

/// ISO/IEC 7816-4 §11.7.1: GET RESPONSE comes right after its command.
#[test]
fn whatever_comes_between_drops_the_answer_that_waits() {
    let rest = |host: &mut Host| hex::encode(host.apdu("01c0000021"));
    assert!(rest(&mut waiting()).ends_with("9000"));
    for between in [
        // Another command; one that is refused for its class, parameters, length, instruction.
        "01a4000c023f00",
        "81a4000c023f00",
        "01a4000f023f00",
        "01a4000c033f00",
        "01a400",
        "0101000000",
        // Secure messaging, chaining, and classes that name no channel.
        "05a4000c023f00",
        "0da4000c023f00",
        "11a4000c023f00",
        "a0a4000c023f00",
        "21a4000c023f00",
        "ffa4000c023f00",
        // GET RESPONSE in a class that is not its own.
        "81c0000021",
    ] {
        let mut host = waiting();
        host.apdu(between);
        assert_eq!(rest(&mut host), "6985", "{between}");
    }
    // Other channels have answers of their own.
    for between in [
        "00a4000c023f00",
        "80b0000000",
        "02a4000c023f00",
        "0ca4000c023f00",
    ] {
        let mut host = waiting();
        host.apdu(between);
        assert!(rest(&mut host).ends_with("9000"), "{between}");
    }
}

/// ETSI TS 102 221 table 10.5: class 0X, 4X, 6X. Where a security domain is selected 8X and CX too,
/// because LPAs go on in the class of STORE DATA.
#[test]
fn get_response_has_the_class_of_its_application() {
    let mut host = waiting();
    host.expect("81c0000021", "6e00");
    host.expect(&format!("01a4040010{ISDR}04"), "6f1f8410611d");
    let rest: String = ISDR_FCI.chars().skip(8).collect();
    host.expect("81c000001d", &format!("{rest}9000"));
    host.expect(&format!("01a4040010{ISDR}04"), "6f1f8410611d");
    host.expect("01c000001d", &format!("{rest}9000"));
}

/// ETSI TS 102 221 table 11.2, by all values of P2: what is reserved gets 6A86.
#[test]
fn reserved_values_of_p2_are_refused() {
    let mut host = enabled();
    for p2 in 0..=255u8 {
        let by_file = matches!(p2, 0x00 | 0x04 | 0x0C);
        for apdu in [
            "00a400P2023f00".into(),
            "00a408P2022fe2".into(),
            String::from("00a403P2"),
        ] {
            let sw = host.apdu(&apdu.replace("P2", &format!("{p2:02x}")));
            assert_eq!(!sw.ends_with(&[0x6A, 0x86]), by_file, "{apdu} {p2:02x}");
        }
        let control = p2 & 0x60;
        let by_aid = p2 & 0x90 == 0 && (control == 0 || control == 0x40) && p2 & 0x0C != 0x08;
        for aid in [ISDR, ECASD, USIM] {
            let apdu = format!("00a404{p2:02x}{:02x}{aid}00", aid.len() / 2);
            let answer = host.apdu(&apdu);
            assert_eq!(!answer.ends_with(&[0x6A, 0x86]), by_aid, "{apdu}");
        }
    }
    // The end of a session leaves a security domain as it leaves an application.
    host.expect(&format!("00a4044c10{ISDR}"), "9000");
    host.expect("80e2910006bf3e035c015a00", "6d00");
    host.expect("80f2000100", "6a88");
}

/// ETSI TS 102 221 §11.1.1.3: the FCP of a directory has security attributes, with a profile or
/// without.
#[test]
fn every_fcp_has_security_attributes() {
    let mut host = Host::new();
    let bare = hex::encode(host.apdu("00a40004023f0000"));
    // Nothing may be done to it: all access modes of a DF, never.
    assert!(bare.contains("ab0580017f9700"), "{bare}");
    assert!(bare.ends_with("9000"));
    host.install(1);
    host.enable(1);
    let mf = hex::encode(host.apdu("00a40004023f0000"));
    assert!(mf.contains("8b032f06"), "{mf}");
    assert!(!mf.contains("ab05"), "{mf}");
    let image = host.card.store.image.clone();
    for file in 0..image.files.len() as u16 {
        let fcp = crate::fs::fcp(&image, file);
        let fcp = aid_rsp::tlv::Tlv::parse(&fcp).unwrap();
        let attributes = fcp.children().flatten();
        let count = attributes.filter(|t| matches!(t.tag, 0x8B | 0x8C | 0xAB));
        assert_eq!(count.count(), 1, "file {file}");
    }
}

/// ETSI TS 102 221 §11.1.5.2: next and previous have P1 = 00; so has UPDATE.
#[test]
fn next_and_previous_record_have_no_number() {
    let mut host = enabled();
    host.expect("00a4000c022f06", "9000");
    for p1 in 1..=255u8 {
        for mode in ["02", "03"] {
            host.expect(&format!("00b2{p1:02x}{mode}00"), "6a86");
        }
    }
    let next = host.apdu("00b2000200");
    assert!(next.ends_with(&[0x90, 0]));
    // A refused one has not moved the pointer: the next is the second.
    host.expect("00b2070200", "6a86");
    let second = host.apdu("00b2000200");
    assert_eq!(second, host.apdu("00b2020400"));
    assert_eq!(next, host.apdu("00b2010400"));
}

/// The PINs of an application stay verified until its last session ends (ETSI TS 102 221 §8.5.3, §9.4).
#[test]
fn a_local_pin_counts_until_the_last_session_of_its_application_ends() {
    let mut host = enabled();
    let close = format!("a4044c0c{USIM}");
    let open = format!("a4040c0c{USIM}");
    let is_verified = |host: &Host| {
        let image = &host.card.store.image;
        let pin = image.pins.iter().find(|p| p.key == 0x81).unwrap();
        host.card.verified.has(pin)
    };
    host.expect(&format!("00{open}"), "9000");
    host.expect("0020008108 30303030ffffffff", "9000");
    host.expect("0070000200", "9000");
    host.expect(&format!("02{open}"), "9000");
    // One of two sessions ends.
    host.expect(&format!("02{close}"), "9000");
    assert!(is_verified(&host));
    // A channel that never had it ends nothing.
    host.expect(&format!("02{close}"), "9000");
    assert!(is_verified(&host));
    // The last one ends.
    host.expect(&format!("00{close}"), "9000");
    assert!(!is_verified(&host));
    // A reset and another profile end it too.
    for end in ["reset", "switch"] {
        host.expect(&format!("00{open}"), "9000");
        host.expect("0020008108 30303030ffffffff", "9000");
        assert!(is_verified(&host));
        if end == "reset" {
            host.card.reset();
            host.open_isdr();
        } else {
            assert_eq!(host.disable(1), aid_rsp::es10::DisableResult::Ok);
            host.enable(1);
        }
        assert!(!is_verified(&host), "{end}");
        host.expect(&format!("00{open}"), "9000");
    }
}
