//! Given a command that changes the enabled profile, when power goes at any write, then the profile is
//! in its old state or its new one; and two profiles keep their files apart.
use super::host::*;
use crate::fs::ProfileImage;
use crate::install::tests::{gfm, with_elements};
use crate::nvm::{Cut, Memory};
use std::vec::Vec;

const USIM: &str = "00a4040c0c a0000000871002ff49ff0589";
const PIN: &str = "30303030ffffffff";
const BAD: &str = "39393939ffffffff";

/// Profile `n` of the host with a linear, a cyclic and a BER-TLV file: 6F94, 6F95, 6F96, and an EF.ARR
/// of their own that lets everybody do everything.
fn package_with_files(n: u8) -> Vec<u8> {
    let files = gfm(|w| {
        w.primitive(0x80, &[0x7F, 0xD0]);
        w.constructed(0x62, |w| {
            w.primitive(0x82, &[0x42, 0x21, 0, 12])
                .primitive(0x83, &[0x6F, 0x97]);
            w.primitive(0x8B, &[0x6F, 0x06, 1]).primitive(0x80, &[12]);
        });
        w.primitive(0x81, &[0x80, 1, 0x1B, 0x90, 0, 0x84, 1, 0x32, 0x90, 0]);
        for (descriptor, fid, size) in [
            (&[0x42, 0x21, 0, 4][..], 0x94, 12u8),
            (&[0x46, 0x21, 0, 3], 0x95, 9),
            (&[0x79, 0x21], 0x96, 120),
        ] {
            w.constructed(0x62, |w| {
                w.primitive(0x82, descriptor).primitive(0x83, &[0x6F, fid]);
                w.primitive(0x8B, &[0x6F, 0x97, 1]).primitive(0x80, &[size]);
            });
            match fid {
                0x95 => w.primitive(0x81, &[0; 9]),
                0x94 => w.primitive(0x81, &[n; 12]),
                _ => w.primitive(0x81, &[0x80, 1, n]),
            };
        }
    });
    with_elements(&package(n), &[files])
}

fn enabled() -> Host {
    let mut host = Host::new();
    for n in [1, 2] {
        let result = host.download(&metadata(n), &package_with_files(n), &Tamper::default());
        assert!(matches!(result, Ok(Some(_))), "{result:?}");
    }
    host.enable(1);
    host
}

fn image(host: &Host) -> ProfileImage {
    host.card.store.image.clone()
}

/// A challenge for the keys of profile 1 of the host.
fn challenge(sqn: u64) -> std::string::String {
    let m = crate::auth::Milenage::new([1; 16], [2; 16]);
    let algorithm = crate::auth::Algorithm::Milenage(std::boxed::Box::new(m.clone()));
    let (rand, amf) = ([3; 16], [0x80, 0]);
    let sqn: [u8; 6] = sqn.to_be_bytes()[2..].try_into().unwrap();
    let mut autn: Vec<u8> = sqn
        .iter()
        .zip(algorithm.vector(&rand).ak)
        .map(|(s, k)| s ^ k)
        .collect();
    autn.extend_from_slice(&amf);
    autn.extend_from_slice(&m.f1(&rand, &sqn, &amf).0);
    std::format!("10{}10{}", "03".repeat(16), hex::encode(autn))
}

/// What is done once before, what must be done again after a reset, and the command that is cut.
fn cut(name: &str, once: &[&str], again: &[&str], command: &str) {
    let prepare = |host: &mut Host, apdus: &[&str]| {
        host.expect(USIM, "9000");
        for apdu in apdus {
            let _ = host.apdu(apdu);
        }
    };
    let mut host = enabled();
    prepare(&mut host, once);
    prepare(&mut host, again);
    let old = image(&host);
    let start: Memory = host.card.nvm().clone();
    let answer = host.apdu(command);
    let new = image(&host);
    assert!(old != new, "{name}: {answer:02X?}");
    let writes = host.card.nvm().commits() - start.commits();
    assert_eq!(writes, 1, "{name}");
    for (at, expected) in [(Cut::Before, &old), (Cut::After, &new)] {
        let mut host = Host::with(start.clone());
        prepare(&mut host, again);
        assert!(image(&host) == old, "{name}");
        host.card.nvm().cut_at(0, at);
        host.expect(command, "6581");
        assert!(host.card.nvm().is_off());
        // The card doesn't go on with what it couldn't store.
        host.expect("00a4000c023f00", "6f00");
        let host = Host::with(host.card.into_nvm().power_on());
        assert!(image(&host) == *expected, "{name} {at:?}");
    }
}

#[test]
fn every_change_of_the_profile_is_old_or_new() {
    let loci = "00d68b000b 0102030405060708090a0b";
    cut("update binary", &[], &[], loci);
    let linear = "00a4000c026f94";
    cut("update record", &[], &[linear], "00dc0204 04 aabbccdd");
    let cyclic = "00a4000c026f95";
    cut("update cyclic", &[], &[cyclic], "00dc0003 03 aabbcc");
    cut("increase", &[], &[cyclic], "80320000 03 000001");
    let tlv = "00a4000c026f96";
    cut("set data", &[], &[tlv], "80db0080 05 8103010203");
    cut("delete data", &[], &[tlv], "80db0080 01 80");
    let long = std::format!("80db008032 8240{}", "ab".repeat(48));
    let rest = std::format!("80db000010 {}", "ab".repeat(16));
    cut("set data in blocks", &[], &[tlv, &long], &rest);
    cut("deactivate", &[], &[linear], "00040000");
    cut("activate", &[linear, "00040000"], &[linear], "00440000");
    let next = challenge(32);
    cut(
        "sequence number",
        &[],
        &[],
        &std::format!("0088008122 {next}"),
    );
}

#[test]
fn writing_the_image_anew_is_old_or_new() {
    // The log of changes is full after 256: the next one replaces it by a new image.
    let mut host = enabled();
    host.expect(USIM, "9000");
    for n in 0..256u16 {
        host.expect(&std::format!("00d68b0002 {n:04x}"), "9000");
    }
    let old = image(&host);
    let start: Memory = host.card.nvm().clone();
    let logged = start.records().len();
    for at in [Cut::Before, Cut::After] {
        let mut host = Host::with(start.clone());
        host.expect(USIM, "9000");
        host.card.nvm().cut_at(0, at);
        host.expect("00d68b0002 abcd", "6581");
        let mut host = Host::with(host.card.into_nvm().power_on());
        let whole = image(&host) == old;
        assert_eq!(whole, at == Cut::Before);
        let records = host.card.nvm().records().len();
        assert_eq!(
            records == logged,
            at == Cut::Before,
            "{records} of {logged}"
        );
        host.expect(USIM, "9000");
        host.expect("00d68b0002 abcd", "9000");
        host.expect("00b08b0002", "abcd9000");
    }
}

#[test]
fn every_change_of_a_pin_is_old_or_new() {
    let enable = std::format!("0028000108{PIN}");
    let right = std::format!("0020000108{PIN}");
    let wrong = std::format!("0020000108{BAD}");
    let puk = hex::encode("12345678");
    cut("enable", &[], &[], &enable);
    cut("verify wrong", &[&enable], &[], &wrong);
    cut("verify right after wrong", &[&enable, &wrong], &[], &right);
    let change = std::format!("0024000110{PIN}{BAD}");
    cut("change", &[&enable], &[], &change);
    let disable = std::format!("0026000108{PIN}");
    cut("disable", &[&enable], &[], &disable);
    let refused = std::format!("002c000110{BAD}{BAD}");
    cut("unblock wrong", &[], &[], &refused);
    let unblock = std::format!("002c000110{puk}{BAD}");
    cut("unblock", &[&enable, &wrong, &wrong, &wrong], &[], &unblock);
}

#[test]
fn a_lost_attempt_is_not_given_back() {
    let mut host = enabled();
    host.expect(USIM, "9000");
    host.expect(&std::format!("0028000108{PIN}"), "9000");
    for sw in ["63c2", "63c1"] {
        host.expect(&std::format!("0020000108{BAD}"), sw);
        // Whoever saw the answer has lost the attempt, by reset or by power cut.
        host = Host::with(host.card.nvm().clone());
        host.expect(USIM, "9000");
        host.expect("00200001", sw);
        host.card.reset();
        host.expect(USIM, "9000");
        host.expect("00200001", sw);
    }
}

// R-2-11
#[test]
fn two_profiles_keep_their_files_apart() {
    let mut host = enabled();
    host.expect(USIM, "9000");
    host.expect("00a4000c026f94", "9000");
    host.expect("00dc010404 11111111", "9000");
    host.expect("00d68b000b 0102030405060708090a0b", "9000");
    host.expect(&std::format!("0028000108{PIN}"), "9000");
    let one = image(&host);
    host.enable(2);
    host.expect(USIM, "9000");
    host.expect("00a4000c026f94", "9000");
    host.expect("00b2010404", "020202029000");
    host.expect("00dc010404 22222222", "9000");
    // PIN 1 of the second profile is disabled still, its IMSI another.
    host.expect(&std::format!("0020000108{PIN}"), "6984");
    assert_eq!(host.card.store.image.imsi(), Some(imsi(2)));
    let two = image(&host);
    assert!(one != two);
    // Back and forth, over a power cut.
    for _ in 0..2 {
        host.enable(1);
        assert!(image(&host) == one);
        host.enable(2);
        host = Host::with(host.card.nvm().clone());
        assert!(image(&host) == two);
    }
    // Deleting the other one leaves this.
    host.delete(1);
    assert!(image(&host) == two);
    host.expect(USIM, "9000");
    host.expect("00a4000c026f94", "9000");
    host.expect("00b2010404", "222222229000");
}
