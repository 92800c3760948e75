//! SELECT, STATUS, READ and UPDATE BINARY, ACTIVATE and DEACTIVATE FILE.
use super::{Sim, create_file, own_sim};
use crate::install::tests::{element, own_with};
use alloc::format;

const IMSI: &str = "080910101032547698";

#[test]
fn files_are_selected_in_every_way() {
    // DF.GSM-ACCESS in the USIM, DF.TELECOM with DF.GRAPHICS beside it.
    let directory = |tag: u32, n: u8, nested: bool| {
        element(tag, true, 50, |w| {
            w.primitive(0x81, &[0x67, 0x81, 0x0F, 0x01, 0x02, n]);
            w.constructed(0xA2, |w| {
                w.constructed(0xA1, |w| {
                    w.primitive(0xC6, &[1]);
                });
            });
            if nested {
                w.constructed(0xA9, |_| {});
                w.constructed(0xAD, |w| {
                    w.primitive(0x83, &[1, 2, 3]);
                });
            } else {
                w.constructed(0xA3, |_| {});
            }
        })
    };
    let der = own_with(&[directory(0xB8, 7, false), directory(0xB2, 3, true)]);
    let mut s = Sim::new(&der);
    // By identifier: child, itself, parent, a directory beside it; not a file of another directory.
    s.expect("00a4000c", "7f10", "", 0x9000);
    s.expect("00a4000c", "5f50", "", 0x9000);
    s.expect("00a4000c", "4f01", "", 0x9000);
    assert!(s.apdu("00a40004", "4f01").0.contains("83024f01"));
    s.expect("00a4000c", "5f50", "", 0x9000);
    s.expect("00a4000c", "7f10", "", 0x9000);
    s.expect("00a4000c", "4f01", "", 0x6a82);
    s.expect("00a4010c", "5f50", "", 0x9000);
    s.expect("00a4010c", "4f01", "", 0x6a82);
    s.expect("00a4030c", "", "", 0x9000);
    s.expect("00a4030c", "", "", 0x9000);
    s.expect("00a4030c", "", "", 0x9000);
    s.expect("00a4000c", "2fe2", "", 0x9000);
    // By path from the MF, from the directory, through the current application.
    s.expect("00a4080c", "7f105f504f01", "", 0x9000);
    s.expect("00a4090c", "4f01", "", 0x9000);
    s.expect("00a4080c", "3f007f10", "", 0x9000);
    s.expect("00a4090c", "5f504f01", "", 0x9000);
    s.expect("00a4080c", "7fff6f07", "", 0x6a82);
    // An ADF has no identifier to the outside.
    s.expect("00a4000c", "7fd0", "", 0x6a82);
    s.expect("00a4080c", "7fd06f07", "", 0x6a82);
    s.open();
    s.expect("00a4080c", "7fff5f3b4f20", "", 0x9000);
    s.expect("00a4000c", "7fff", "", 0x9000);
    s.expect("00a4000c", "3f00", "", 0x9000);
    s.expect("80f20001", "", &format!("840c{}", super::USIM), 0x9000);
    s.expect("00a4000c", "7fff", "", 0x9000);
    // Wrong parameters and lengths.
    for (header, data, sw) in [
        ("00a4020c", "6f07", 0x6a86),
        ("00a40005", "6f07", 0x6a86),
        ("00a4000c", "6f", 0x6700),
        ("00a4030c", "6f07", 0x6700),
        ("00a4080c", "", 0x6700),
        ("00a4080c", "7fff6f", 0x6700),
        ("80a4000c", "6f07", 0x6e00),
        ("00f20000", "", 0x6e00),
        ("80f20003", "", 0x6a86),
        ("80f20300", "", 0x6a86),
        ("00d00000", "", 0x6d00),
    ] {
        s.expect(header, data, "", sw);
    }
    // A file that is missing leaves the current one.
    s.expect("00a4000c", "6f07", "", 0x9000);
    s.expect("00a4000c", "6fff", "", 0x6a82);
    s.expect("00b00000", "", IMSI, 0x9000);
}

#[test]
fn file_control_parameters_are_complete() {
    let mut s = own_sim();
    s.expect(
        "00a40004",
        "3f00",
        "6223 82027821 83023f00 a506800171870101 8a0105 8b032f0601 c609 900140 830101 83010a",
        0x9000,
    );
    s.open();
    s.expect(
        "80f20000",
        "",
        "6228 82027821 840ca0000000871002ff49ff0589 8a0105 8b032f0601 c60c 900160 830101 830181 83010a",
        0x9000,
    );
    s.expect(
        "00a40004",
        "6f07",
        "6217 82024121 83026f07 8a0105 8b036f0602 80020009 880138",
        0x9000,
    );
    s.expect(
        "00a40004",
        "6f3c",
        "6219 82054221 00b00a 83026f3c 8a0105 8b036f0603 800206e0 8800",
        0x9000,
    );
    // STATUS with a length that is too short says which is right.
    assert_eq!(s.with_le("80f20000", "", Some(10)).1, 0x6c2a);
}

#[test]
fn binary_files_are_read_and_updated() {
    let mut s = own_sim();
    s.expect("00b00000", "", "", 0x6986);
    s.open();
    s.expect("00b08700", "", IMSI, 0x9000);
    s.expect("00b00008", "", "98", 0x9000);
    assert_eq!(s.with_le("00b00000", "", Some(2)), ("0809".into(), 0x9000));
    assert_eq!(s.with_le("00b00007", "", Some(3)).1, 0x6c02);
    s.expect("00b00009", "", "", 0x6b00);
    s.expect("00b0a700", "", "", 0x6a86);
    s.expect("00b09f00", "", "", 0x6a82);
    s.expect("00b20104", "", "", 0x6981);
    s.expect("80b00000", "", "", 0x6e00);
    // EF.LOCI by its short identifier.
    s.expect("00d68b00", "0102030405060708090a00", "", 0x9000);
    s.expect("00d68b09", "bbcc", "", 0x9000);
    s.expect("00b08b00", "", "010203040506070809bbcc", 0x9000);
    s.expect("00d68b0a", "0102", "", 0x6700);
    s.expect("00d68b0b", "01", "", 0x6b00);
    s.expect("00d68b00", "", "", 0x6700);
    // Only the administrative key writes EF.IMSI.
    s.expect("00d68708", "97", "", 0x9000);
    s.verified.clear();
    s.expect("00d68708", "98", "", 0x6982);
    s.expect("00b08708", "", "97", 0x9000);
}

#[test]
fn deactivated_files_are_closed_until_they_are_activated() {
    let mut s = Sim::with(|w| {
        create_file(w, &[0x41, 0x21], 0x6F90, 2, 3);
        // Usable when deactivated.
        w.constructed(0x62, |w| {
            w.primitive(0x82, &[0x41, 0x21]);
            w.primitive(0x83, &[0x6F, 0x91]);
            w.primitive(0x8B, &[0x6F, 0x06, 2]).primitive(0x80, &[3]);
            w.constructed(0xA5, |w| {
                w.primitive(0xC0, &[0x40]);
            });
        });
        // Deactivated, and terminated, when it is installed.
        for (fid, status) in [(0x92, 4), (0x93, 0x0C)] {
            w.constructed(0x62, |w| {
                w.primitive(0x82, &[0x41, 0x21]);
                w.primitive(0x83, &[0x6F, fid]).primitive(0x8A, &[status]);
                w.primitive(0x8B, &[0x6F, 0x06, 2]).primitive(0x80, &[3]);
            });
        }
    });
    s.expect("00a4000c", "6f90", "", 0x9000);
    s.expect("00040000", "", "", 0x9000);
    s.expect("00040000", "", "", 0x9000);
    s.expect("00b00000", "", "", 0x6984);
    s.expect("00d60000", "01", "", 0x6984);
    let (fcp, sw) = s.apdu("00a40004", "6f90");
    assert_eq!(sw, 0x6283);
    assert!(fcp.contains("8a0104"), "{fcp}");
    s.expect("00440000", "6f90", "", 0x9000);
    s.expect("00b00000", "", "ffffff", 0x9000);
    s.expect("00040900", "6f91", "", 0x9000);
    s.expect("00b00000", "", "ffffff", 0x9000);
    s.expect("00a4000c", "6f92", "", 0x6283);
    s.expect("00440800", "7fff6f92", "", 0x9000);
    s.expect("00b00000", "", "ffffff", 0x9000);
    s.expect("00a4000c", "6f93", "", 0x6285);
    s.expect("00b00000", "", "", 0x6984);
    s.expect("00440000", "", "", 0x6985);
    s.expect("00040000", "6fff", "", 0x6a82);
    s.expect("00040000", "6f", "", 0x6700);
    s.expect("00040001", "", "", 0x6a86);
    s.expect("00040000", "3f00", "", 0x6981);
    // Without the key that the rule wants.
    s.verified.clear();
    s.expect("00040000", "6f90", "", 0x6982);
}

#[test]
fn links_share_their_content() {
    let mut s = Sim::with(|w| {
        w.constructed(0x62, |w| {
            w.primitive(0x82, &[0x41, 0x21]);
            w.primitive(0x83, &[0x6F, 0x90]);
            w.primitive(0x8B, &[0x6F, 0x06, 2]);
            w.primitive(0xC7, &[0x7F, 0xD0, 0x6F, 0x07]);
        });
    });
    s.expect("00a4000c", "6f90", "", 0x9000);
    s.expect("00d60008", "11", "", 0x9000);
    s.expect("00a4000c", "6f07", "", 0x9000);
    s.expect("00b00008", "", "11", 0x9000);
    assert_eq!(s.apdu("00a40004", "6f90").0.get(12..20), Some("83026f90"));
}
