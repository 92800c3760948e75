//! PINs and access rules.
use super::{ChannelState, Sim, USIM, own_sim};
use crate::install::tests::{element, own_with};
use alloc::format;

const GOOD: &str = "30303030ffffffff";
const BAD: &str = "31313131ffffffff";

fn reset(s: &mut Sim) {
    s.state = ChannelState::default();
    s.verified.clear();
    let adf = s.image.application(&hex::decode(USIM).unwrap()).unwrap();
    crate::usim::select_application(&s.image, &mut s.state, adf, 0x0C);
}

#[test]
fn pins_count_down_block_and_unblock() {
    let mut s = own_sim();
    s.open();
    s.expect("00200001", GOOD, "", 0x6984);
    s.expect("00280001", GOOD, "", 0x9000);
    s.expect("00280001", GOOD, "", 0x6984);
    reset(&mut s);
    s.expect("00b08700", "", "", 0x6982);
    s.expect("00200001", "", "", 0x63c3);
    // A right one sets the counter back.
    s.expect("00200001", BAD, "", 0x63c2);
    s.expect("00200001", GOOD, "", 0x9000);
    s.expect("00b08700", "", "080910101032547698", 0x9000);
    // A wrong one takes the verification away.
    s.expect("00200001", BAD, "", 0x63c2);
    s.expect("00b08700", "", "", 0x6982);
    for sw in [0x63c1, 0x63c0, 0x6983, 0x6983] {
        s.expect("00200001", BAD, "", sw);
    }
    for ins in ["24", "26", "28"] {
        let data = if ins == "24" {
            format!("{GOOD}{BAD}")
        } else {
            GOOD.into()
        };
        s.expect(&format!("00{ins}0001"), &data, "", 0x6983);
    }
    let puk = hex::encode("12345678");
    s.expect("002c0001", "", "", 0x63ca);
    s.expect(
        "002c0001",
        &format!("{}{BAD}", hex::encode("00000000")),
        "",
        0x63c9,
    );
    s.expect("002c0001", &puk, "", 0x6700);
    s.expect("002c0001", &format!("{puk}{BAD}"), "", 0x9000);
    s.expect("002c0001", "", "", 0x63ca);
    s.expect("00b08700", "", "080910101032547698", 0x9000);
    s.expect("00240001", &format!("{BAD}{GOOD}"), "", 0x9000);
    s.expect("00240001", &format!("{BAD}{GOOD}"), "", 0x63c2);
    s.expect("00260001", GOOD, "", 0x9000);
    s.expect("00260001", GOOD, "", 0x6984);
    // PUKs block too.
    for left in (0..10).rev() {
        s.expect("002c0001", &format!("{BAD}{BAD}"), "", 0x63c0 | left);
    }
    s.expect("002c0001", &format!("{puk}{GOOD}"), "", 0x6983);
}

#[test]
fn parameters_of_pin_commands_are_checked() {
    let mut s = own_sim();
    s.open();
    for (header, data, sw) in [
        ("00200101", GOOD, 0x6a86),
        ("00200002", GOOD, 0x6a88),
        ("00200001", "3030", 0x6700),
        ("00240001", GOOD, 0x6700),
        ("80200001", GOOD, 0x6e00),
        // The administrative key can't be disabled; it has no PUK.
        ("0026000a", "3535353535353535", 0x6985),
        ("002c000a", "", 0x6a88),
        // There is no universal PIN to stand in.
        ("00269101", GOOD, 0x6a88),
        ("00260101", GOOD, 0x6a86),
    ] {
        s.expect(header, data, "", sw);
    }
    // PIN 2 is local: it is found below the USIM, not at the MF. It may not be disabled.
    s.expect("00200081", "", "", 0x63c3);
    s.expect("00260081", GOOD, "", 0x6985);
    s.expect("00a4000c", "3f00", "", 0x9000);
    s.expect("00200081", "", "", 0x6a88);
}

#[test]
fn shared_pins_have_one_counter() {
    // DF.TELECOM has the PINs of the USIM.
    let telecom = element(0xB2, true, 50, |w| {
        w.primitive(0x81, &[0x67, 0x81, 0x0F, 0x01, 0x02, 3]);
        w.constructed(0xA2, |w| {
            w.constructed(0xA1, |w| {
                w.primitive(0xC6, &[0x81]);
            });
        });
    });
    let shared = element(0xA2, true, 51, |w| {
        w.constructed(0xA1, |w| {
            w.primitive(0x81, &[0x7F, 0xD0]);
        });
    });
    let mut s = Sim::new(&own_with(&[telecom, shared]));
    s.expect("00a4000c", "7f10", "", 0x9000);
    s.expect("00200081", BAD, "", 0x63c2);
    reset(&mut s);
    s.expect("00200081", "", "", 0x63c2);
    s.expect("00200081", GOOD, "", 0x9000);
    let (fcp, _) = s.apdu("00a40004", "3f00");
    assert!(!fcp.is_empty());
    s.expect("00a4000c", "7f10", "", 0x9000);
    s.expect("00200081", "", "", 0x63c3);
}

#[test]
fn access_rules_are_followed() {
    // Rules in EF.ARR 6F06 of the file's directory, one a record.
    let rules = [
        // Never; always in every way to say it.
        ("8001039700", false, true),
        ("8001039000", true, true),
        ("8001039e0100", true, true),
        ("8001039e01ff", false, true),
        // PIN 1 (disabled: satisfied), the administrative key (verified), a key that isn't there.
        ("800103a406830101950108", true, true),
        ("800103a40683010a950108", true, true),
        ("800103a40683010b950108", false, true),
        // Or, and, not.
        ("800103a0109700a40683010b9501089000", true, true),
        ("800103af0aa406830101950108 9700", false, true),
        ("800103af0aa406830101950108 9000", true, true),
        ("800103a7029700", true, true),
        ("800103a7029000", false, true),
        ("800103af00", false, true),
        // Two conditions behind one mode: one is enough.
        ("80010397009000", true, true),
        // Another mode comes first; the mode isn't named at all; rules by instruction.
        ("8001029700 8001019000", true, true),
        ("8001189000", false, true),
        ("8401b09000", false, true),
        ("8001819000", true, true),
        ("8001909000", false, true),
        ("ffffffff", false, true),
    ];
    for (rule, readable, _) in rules {
        let mut s = own_sim();
        s.open();
        let adf = s.state.directory;
        let arr = usize::from(s.image.child(adf, 0x6F06).unwrap());
        let mut bytes = hex::decode(rule.replace(' ', "")).unwrap();
        bytes.resize(26, 0xFF);
        assert!(s.image.files[arr].data.write(0, &bytes));
        let file = usize::from(s.image.child(adf, 0x6F07).unwrap());
        s.image.files[file].rule = (0x6F06, 1);
        let sw = if readable { 0x9000 } else { 0x6982 };
        assert_eq!(s.apdu("00b08700", "").1, sw, "{rule}");
    }
    // A rule that leads nowhere allows nothing, no rule allows reading.
    let mut s = own_sim();
    s.open();
    let file = usize::from(s.image.child(s.state.directory, 0x6F07).unwrap());
    for (rule, read, update) in [
        ((0x6F06, 99), 0x6982, 0x6982),
        ((0x6F66, 1), 0x6982, 0x6982),
        ((0x6F06, 0), 0x9000, 0x6982),
    ] {
        s.image.files[file].rule = rule;
        assert_eq!(s.apdu("00b08700", "").1, read, "{rule:?}");
        assert_eq!(s.apdu("00d68700", "08").1, update, "{rule:?}");
    }
}
