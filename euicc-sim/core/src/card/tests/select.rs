//! Given applications of a profile and the card's own, when they are selected by their AID, whole or
//! its beginning, then the right one answers on the right channel.
use super::host::*;
use crate::install::tests::{element, with_elements};
use std::vec::Vec;

/// Our profile with an ISIM beside the USIM.
fn with_isim() -> Vec<u8> {
    let isim = element(0xB5, true, 71, |w| {
        w.primitive(0x81, &[0x67, 0x81, 0x0F, 0x01, 0x02, 8]);
        w.constructed(0xA2, |w| {
            w.constructed(0xA1, |w| {
                w.primitive(0x83, &[0x7F, 0xB0]);
                w.primitive(0x84, &hex::decode("a0000000871004ff49ff0589").unwrap());
                w.primitive(0xC6, &[0x01]);
            });
        });
        for (n, content) in [(0xA3, &b"impi"[..]), (0xA5, b"domain"), (0xA6, &[0; 14])] {
            w.constructed(n, |w| {
                w.primitive(0x83, content);
            });
        }
        for n in [0xA4, 0xA8] {
            w.constructed(n, |w| {
                w.constructed(0xA1, |w| {
                    w.primitive(0x82, &[0x42, 0x21, 0, 4]).primitive(0x80, &[4]);
                });
            });
        }
    });
    with_elements(&package(1), &[isim])
}

fn host() -> Host {
    let mut host = Host::new();
    let result = host.download(&metadata(1), &with_isim(), &Tamper::default());
    assert!(matches!(result, Ok(Some(_))), "{result:?}");
    host.enable(1);
    host
}

const USIM: &str = "840ca0000000871002ff49ff0589";
const ISIM: &str = "840ca0000000871004ff49ff0589";

#[test]
fn a_partial_aid_finds_the_first_next_last_and_previous() {
    let mut host = host();
    let select = |host: &mut Host, p2: &str, aid: &str| {
        let apdu = std::format!("00a404{p2}{:02x}{aid}00", aid.len() / 2);
        hex::encode(host.apdu(&apdu))
    };
    let is = |answer: &str, tlv: &str| answer.contains(tlv) && answer.ends_with("9000");
    assert!(is(&select(&mut host, "04", "a000000087"), USIM));
    assert!(is(&select(&mut host, "06", "a000000087"), ISIM));
    assert_eq!(select(&mut host, "06", "a000000087"), "6a82");
    // The failed selection left the ISIM.
    host.expect("80f2000100", &std::format!("{ISIM}9000"));
    assert!(is(&select(&mut host, "07", "a000000087"), USIM));
    assert_eq!(select(&mut host, "07", "a000000087"), "6a82");
    assert!(is(&select(&mut host, "05", "a000000087"), ISIM));
    assert!(is(&select(&mut host, "04", "a0000000871004"), ISIM));
    // One byte: everything, the card's own at the end.
    assert!(is(&select(&mut host, "04", "a0"), USIM));
    assert!(is(&select(&mut host, "06", "a0"), ISIM));
    let isdr = "8410a0000005591010ffffffff8900000100";
    assert!(is(&select(&mut host, "06", "a0"), isdr));
    let ecasd = "8410a0000005591010ffffffff8900000200";
    assert!(is(&select(&mut host, "06", "a0"), ecasd));
    assert_eq!(select(&mut host, "06", "a0"), "6a82");
    assert!(is(&select(&mut host, "04", "a000000559"), isdr));
    // Longer than any, nothing, too long, reserved bits.
    assert_eq!(
        select(&mut host, "04", "a0000000871002ff49ff058901"),
        "6a82"
    );
    host.expect("00a40404", "6700");
    let long = std::format!("00a4040411{}", "a0".repeat(17));
    host.expect(&long, "6700");
    host.expect("00a4049405a000000087", "6a86");
    host.expect("80a4040405a000000087", "6e00");
}

#[test]
fn an_application_session_ends_when_it_is_told_to() {
    let mut host = host();
    host.expect("00a4040c07a0000000871002", "9000");
    host.expect("0028000108 30303030ffffffff", "9000");
    host.expect("0020008108 30303030ffffffff", "9000");
    host.expect("00a4044c07a0000000871002", "9000");
    host.expect("80f20001", "6a88");
    host.expect("00a4000c027fff", "6a82");
    host.expect("00a4000c022fe2", "9000");
    // The global PIN counts still; the local one is to be verified again.
    host.expect("00a4040c07a0000000871002", "9000");
    host.expect("00b0870009", "0809101021436587109000");
    host.expect("0020008108 31313131ffffffff", "63c2");
    host.expect("0020008108 30303030ffffffff", "9000");
}

#[test]
fn each_channel_has_its_own_place() {
    let mut host = host();
    // Channel 1 has the ISD-R. 2 to 19 get an application each, 4 and above by the further class bytes.
    for n in 2..=19u8 {
        let opened = hex::encode(host.apdu("0070000001"));
        assert_eq!(opened, std::format!("{n:02x}9000"));
        let cla = crate::apdu::Class::interindustry(n);
        let aid = if n % 2 == 0 {
            "a0000000871002"
        } else {
            "a0000000871004"
        };
        host.expect(&std::format!("{cla:02x}a4040c07{aid}"), "9000");
    }
    host.expect("0070000001", "6a81");
    for n in 2..=19u8 {
        let cla = crate::apdu::Class::interindustry(n) | 0x80;
        let tlv = if n % 2 == 0 { USIM } else { ISIM };
        host.expect(
            &std::format!("{cla:02x}f2000100"),
            &std::format!("{tlv}9000"),
        );
    }
    // A channel that is opened from another begins in its directory, without its file.
    host.expect("0070801300", "9000");
    host.expect("02a4000c026f07", "9000");
    host.expect("0270000001", "139000");
    host.expect("4fb00000", "6986");
    host.expect("4fa4000c026f07", "9000");
    // From the basic channel it begins at the MF.
    host.expect("0070801300", "9000");
    host.expect("0070000001", "139000");
    host.expect("4fa4000c026f07", "6a82");
}

#[test]
fn the_terminal_may_choose_the_number_of_a_channel() {
    let mut host = host();
    // As pySim-shell does, in T=0 and without Le; the basic channel, one that is in use, one that is not there.
    host.expect("0070000700", "9000");
    host.expect("00700013", "9000");
    for taken in ["00700007", "00700013", "00700001", "00700014", "007000ff"] {
        host.expect(taken, "6a86");
    }
    host.expect("43a4040c07a0000000871002", "9000");
    host.expect("43a4000c026f07", "9000");
    // From there it begins in the same directory; the next free one is still the lowest.
    host.expect("4370000300", "9000");
    host.expect("03a4000c026f07", "9000");
    host.expect("0070000001", "029000");
    host.expect("0070800700", "9000");
    host.expect("43a4000c026f07", "6881");
}

#[test]
fn classes_that_are_not_served_are_refused() {
    let mut host = host();
    for (apdu, sw) in [
        // 2G, reserved, secure messaging in each form, chaining, a channel that is closed.
        ("a0a40000023f00", "6e00"),
        ("20a4000c023f00", "6e00"),
        ("ffa4000c023f00", "6e00"),
        ("04a4000c023f00", "6882"),
        ("08a4000c023f00", "6882"),
        ("0ca4000c023f00", "6882"),
        ("60a4000c023f00", "6882"),
        ("10a4000c023f00", "6884"),
        ("50a4000c023f00", "6884"),
        ("03a4000c023f00", "6881"),
        // The right instruction in the wrong class, and unknown ones.
        ("80b0000000", "6e00"),
        ("00f2000000", "6e00"),
        ("0032000001 01", "6e00"),
        ("80a2010401 00", "6e00"),
        ("8070000001", "6e00"),
        ("00010000", "6d00"),
        ("80010000", "6d00"),
        // Lengths.
        ("00a4000c023f", "6700"),
        ("00a4000c0000023f00", "6700"),
        ("00700000", "6700"),
        ("0070000002", "6700"),
        ("007000000101", "6700"),
        ("0070001401", "6a86"),
        ("0070000101", "6a86"),
        ("0070810100", "6a86"),
    ] {
        host.expect(apdu, sw);
    }
}

#[test]
fn the_answer_to_reset_says_what_there_is() {
    let mut host = host();
    let atr = host.card.reset();
    // Card capabilities (73): selection by whole and partial AID and by identifier; channels numbered by
    // the card or the terminal, eight or more; no extended length.
    let at = atr.windows(2).position(|w| w == [0x73, 0xFE]).unwrap();
    let third = atr[at + 3];
    assert_eq!(third & 0x40, 0);
    assert_eq!((third >> 3 & 3, third & 7), (3, 7));
}

#[test]
fn a_challenge_is_as_long_as_it_is_wanted() {
    let mut host = host();
    let first = host.apdu("0084000008");
    assert_eq!((first.len(), &first[8..]), (10, &[0x90, 0][..]));
    assert_ne!(host.apdu("0084000008"), first);
    assert_eq!(host.apdu("0084000000").len(), 258);
    host.expect("00840000", "6700");
    host.expect("0084000108", "6a86");
    host.expect("8084000008", "6e00");
}
