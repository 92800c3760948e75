//! Given the card, when a modem talks to it, then channels, selection and the SIM behave.
use super::host::*;
use crate::nvm::Memory;

const USIM: &str = "00a404040c a0000000871002ff49ff0589 00";

#[test]
fn the_answer_to_reset_is_well_formed() {
    let mut host = Host::new();
    let atr = host.card.reset();
    // T0 says 15 historical bytes; the check byte makes the exclusive or zero.
    assert_eq!(atr.len(), 7 + 15 + 1);
    assert_eq!(atr[1] & 15, 15);
    assert_eq!(atr[1..].iter().fold(0, |x, b| x ^ b), 0);
}

#[test]
fn without_a_profile_there_is_only_an_mf() {
    let mut host = Host::new();
    host.expect("00a4000c023f00", "9000");
    host.expect("00a4000c022fe2", "6a82");
    host.expect(USIM, "6a82");
    host.expect("80aa000005a903830180", "9000");
    host.expect("00880081220000", "6700");
}

#[test]
fn security_domains_are_selected_by_their_aid() {
    let mut host = Host::new();
    host.expect(
        "00a4040010a0000005591010ffffffff8900000100 00",
        "6f1f8410a0000005591010ffffffff8900000100a5049f6501ffe0058203020400 9000"
            .replace(' ', "")
            .as_str(),
    );
    host.expect(
        "80e2910006bf3e035c015a00",
        "bf3e125a10890490321234512345123456789012359000",
    );
    host.expect(
        "00a4040010a0000005591010ffffffff8900000200 00",
        "6f188410a0000005591010ffffffff8900000200a5049f6501ff9000",
    );
    host.expect("80ca005a00", "5a10890490321234512345123456789012359000");
    host.expect("80e2910006bf3e035c015a00", "6d00");
    host.expect("00a4040010a0000005591010ffffffff8900000300 00", "6a82");
    // The failed selection left the ECASD selected; selecting a file leaves it.
    host.expect("80ca005a00", "5a10890490321234512345123456789012359000");
    host.expect("00a4000c023f00", "9000");
    host.expect("80ca005a00", "6d00");
    host.expect("00a4040c10a0000005591010ffffffff8900000100", "9000");
    host.expect(
        "80e2910006bf3e035c015a00",
        "bf3e125a10890490321234512345123456789012359000",
    );
}

#[test]
fn no_chain_of_store_data_reaches_over_a_selection() {
    let mut host = Host::new();
    let select = "00a4040c10a0000005591010ffffffff8900000100";
    host.expect(select, "9000");
    host.expect("80e2110003bf3e03", "9000");
    host.expect(
        "80e29101035c015a",
        "bf3e125a10890490321234512345123456789012359000",
    );
    host.expect("80e2110003bf3e03", "9000");
    host.expect(select, "9000");
    host.expect("80e29101035c015a", "6a86");
}

#[test]
fn channels_open_close_and_refuse() {
    let mut host = Host::new();
    // The host has opened channel 1.
    for n in 2..=19 {
        host.expect("0070000001", &std::format!("{n:02x}9000"));
    }
    host.expect("0070000001", "6a81");
    host.expect("4f70801300", "9000");
    host.expect("4fa4000c023f00", "6881");
    host.expect("0070801300", "6881");
    host.expect("0070800000", "6985");
    host.expect("0070010001", "6a86");
    host.expect("4ea4000c023f00", "9000");
    host.expect("cee2910003bf2000", "6d00");
    host.expect("10a4000c023f00", "6884");
    host.expect("0ca4000c023f00", "6882");
    host.expect("20a4000c023f00", "6e00");
    host.expect("00a4000c0002003f00", "6700");
    host.expect("00", "6700");
    // Reset closes what was open.
    host.card.reset();
    host.expect("0070000001", "019000");
}

#[test]
fn long_answers_come_with_get_response() {
    let mut host = Host::new();
    host.install(1);
    host.enable(1);
    let request = raw(0xBF2B, &[0xA0, 3, 0x80, 1, 2]);
    let apdu = std::format!("{:02x}e2910008{}00", host.cla, hex::encode(request));
    let first = host.apdu(&apdu);
    assert_eq!(first.len(), 258);
    // 256 bytes or more wait.
    assert_eq!(first[256..], [0x61, 0]);
    let get = std::format!("{:02x}c00000", host.cla & 0x7F);
    let mut left = 0;
    while left == 0 {
        let more = host.apdu(&std::format!("{get}00"));
        assert_eq!((more.len(), more[256]), (258, 0x61));
        left = more[257];
    }
    // Too much is refused with the right length, which loses nothing.
    let wrong = std::format!("{get}{:02x}", left + 1);
    host.expect(&wrong, &std::format!("6c{left:02x}"));
    host.expect("00c0000010", "6985");
    let rest = host.apdu(&std::format!("{get}{left:02x}"));
    assert_eq!(rest.len(), usize::from(left) + 2);
    assert!(rest.ends_with(&[0x90, 0]));
    host.expect(&std::format!("{get}00"), "6985");
    // Another command drops what waits.
    host.apdu(&apdu);
    host.expect(&std::format!("{:02x}f2000c", host.cla), "9000");
    host.expect(&std::format!("{get}00"), "6985");
    // With a shorter Le the answer comes in as many pieces.
    host.expect("00a40004023f0004", "622382026121");
}

#[test]
fn the_enabled_profile_is_the_sim_on_every_channel() {
    let mut host = Host::new();
    host.install(1);
    host.install(2);
    host.expect(USIM, "6a82");
    assert_eq!(host.enable(1), aid_rsp::es10::EnableResult::Ok);
    host.expect("00a4000c022fe2", "9000");
    let iccid = hex::encode(metadata(1).iccid);
    host.expect("00b0000000", &std::format!("{iccid}9000"));
    host.expect("0070000001", "029000");
    let fcp = host.apdu("02a404000c a0000000871002ff49ff0589");
    assert!(fcp[0] == 0x62 && fcp.ends_with(&[0x90, 0]), "{fcp:02X?}");
    let file = host.apdu("02b08700");
    assert_eq!(file.len(), 11, "{file:02X?}");
    // Switching profiles sends every channel back to the MF; the ISD-R stays selected.
    assert_eq!(host.enable(2), aid_rsp::es10::EnableResult::Ok);
    host.expect("02b08700", "6a82");
    host.expect("00a4000c022fe2", "9000");
    let iccid = hex::encode(metadata(2).iccid);
    host.expect("00b0000000", &std::format!("{iccid}9000"));
    // The state survives a reset and a restart.
    let nvm: Memory = host.card.nvm().clone();
    let mut host = Host::with(nvm);
    host.expect("00a4000c022fe2", "9000");
    host.expect("00b0000000", &std::format!("{iccid}9000"));
    assert_eq!(host.card.store.image.imsi(), Some(imsi(2)));
}

#[test]
fn a_verified_pin_counts_on_every_channel() {
    let mut host = Host::new();
    host.install(1);
    host.enable(1);
    host.expect(USIM.replace("0404", "040c").as_str(), "9000");
    host.expect("0028000108 30303030ffffffff", "9000");
    host.card.reset();
    host.expect(
        "00a404000c a0000000871002ff49ff0589"
            .replace("0400", "040c")
            .as_str(),
        "9000",
    );
    host.expect("00b0870000", "6982");
    host.expect("0070000001", "019000");
    host.expect("01a4040c0c a0000000871002ff49ff0589", "9000");
    host.expect("0120000108 30303030ffffffff", "9000");
    let imsi = host.apdu("00b0870000");
    assert_eq!(imsi.len(), 11, "{imsi:02X?}");
}

#[test]
fn changes_of_the_profile_survive() {
    let mut host = Host::new();
    host.install(1);
    host.enable(1);
    // More updates than the log of changes takes: the image is written anew in between.
    for n in 0..300u16 {
        host.expect("00a4040c0c a0000000871002ff49ff0589", "9000");
        let loci = std::format!("{n:022x}");
        host.expect(&std::format!("00d68b000b{loci}"), "9000");
    }
    let mut host = Host::with(host.card.nvm().clone());
    host.expect("00a4040c0c a0000000871002ff49ff0589", "9000");
    host.expect("00b08b0000", &std::format!("{:022x}9000", 299));
    let records = host.card.nvm().records().len();
    assert!(records < 300, "{records} records");
}

proptest::proptest! {
    #[test]
    fn no_apdu_makes_the_card_panic(apdus in proptest::collection::vec(proptest::collection::vec(proptest::prelude::any::<u8>(), 0..24), 1..20)) {
        let mut host = Host::new();
        for apdu in apdus {
            let answer = host.card.transmit(&apdu);
            proptest::prop_assert!(answer.len() >= 2);
        }
    }

    #[test]
    fn no_store_data_makes_the_card_panic(tag in 0x20u8..0x48, body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..60)) {
        let mut host = Host::new();
        let _ = host.es10(&raw(0xBF00 | u32::from(tag), &body));
        let mut value = raw(0x30, &body);
        value.extend_from_slice(&body);
        let _ = host.es10(&raw(0xBF00 | u32::from(tag), &value));
        // It still works.
        proptest::prop_assert!(host.es10(&raw(0xBF20, &[])).is_ok());
    }
}
