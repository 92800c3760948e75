//! READ, UPDATE, SEARCH RECORD and INCREASE.
use super::{Sim, create_file, records_of};
use alloc::format;

/// Linear 6F94 (5 records of 4), cyclic 6F91 (3 of 3, rule with INCREASE).
fn sim() -> Sim {
    let mut s = Sim::with(|w| {
        create_file(w, &records_of(4, 0x42), 0x6F94, 3, 20);
        w.primitive(
            0x81,
            &hex::decode("00010203 10111213 20212223 00313233".replace(' ', "")).unwrap(),
        );
        create_file(w, &records_of(3, 0x46), 0x6F91, 1, 9);
        w.primitive(0x81, &[0, 0, 0, 0, 0, 1, 0, 0, 2]);
        // Its own rules: read, update and increase always.
        w.constructed(0x62, |w| {
            w.primitive(0x82, &records_of(16, 0x42))
                .primitive(0x83, &[0x6F, 0x92]);
            w.primitive(0x8B, &[0x6F, 0x06, 1]).primitive(0x80, &[16]);
        });
        w.primitive(0x81, &hex::decode("80010390008401329000").unwrap());
    });
    let adf = s.state.directory;
    let file = s.image.child(adf, 0x6F91).unwrap();
    s.image.files[usize::from(file)].rule = (0x6F92, 1);
    s
}

#[test]
fn records_are_read_by_number_and_in_order() {
    let mut s = sim();
    s.expect("00a4000c", "6f94", "", 0x9000);
    s.expect("00b20104", "", "00010203", 0x9000);
    s.expect("00b20404", "", "00313233", 0x9000);
    s.expect("00b20604", "", "", 0x6a83);
    // No current record yet; then next and previous move it, current does not.
    s.expect("00b20004", "", "", 0x6a83);
    s.expect("00b20002", "", "00010203", 0x9000);
    s.expect("00b20002", "", "10111213", 0x9000);
    s.expect("00b20004", "", "10111213", 0x9000);
    s.expect("00b20003", "", "00010203", 0x9000);
    s.expect("00b20003", "", "", 0x6a83);
    s.expect("00a4000c", "6f94", "", 0x9000);
    s.expect("00b20003", "", "ffffffff", 0x9000);
    s.expect("00b20002", "", "", 0x6a83);
    assert_eq!(s.with_le("00b20104", "", Some(5)).1, 0x6c04);
    s.expect("00b20103", "", "", 0x6a86);
    s.expect("00b20105", "", "", 0x6a86);
    s.expect("00b001fc", "", "", 0x6981);
    s.expect("00b201fc", "", "", 0x6a86);
    // By short identifier: 6F94 ends in 14.
    s.expect("00b201a4", "", "00010203", 0x9000);
    s.expect("00dc0204", "aabbccdd", "", 0x9000);
    s.expect("00b20204", "", "aabbccdd", 0x9000);
    s.expect("00dc0204", "aabbcc", "", 0x6700);
    s.expect("00dc0604", "aabbccdd", "", 0x6a83);
}

#[test]
fn a_cyclic_file_has_its_newest_record_first() {
    let mut s = sim();
    s.expect("00a4000c", "6f91", "", 0x9000);
    s.expect("00b20104", "", "000000", 0x9000);
    s.expect("00dc0003", "0000aa", "", 0x9000);
    s.expect("00b20004", "", "0000aa", 0x9000);
    s.expect("00b20304", "", "000001", 0x9000);
    // Next of the last is the first, previous of the first the last.
    s.expect("00b20003", "", "000001", 0x9000);
    s.expect("00b20002", "", "0000aa", 0x9000);
    s.expect("00dc0104", "000000", "", 0x6a86);
    s.expect("00dc0003", "0000", "", 0x6700);
}

#[test]
fn increase_adds_and_stops_at_the_maximum() {
    let mut s = sim();
    s.expect("80320000", "01", "", 0x6986);
    s.expect("00a4000c", "6f91", "", 0x9000);
    s.expect("80320000", "0001ff", "0001ff 0001ff", 0x9000);
    s.expect("80329100", "01", "000200 01", 0x9000);
    s.expect("00b20104", "", "000200", 0x9000);
    s.expect("00b20204", "", "0001ff", 0x9000);
    s.expect("00b20304", "", "000000", 0x9000);
    s.expect("80320000", "ffffff", "", 0x9850);
    s.expect("80320000", "00000001", "", 0x6700);
    s.expect("80320000", "", "", 0x6700);
    s.expect("80320001", "01", "", 0x6a86);
    s.expect("80324000", "01", "", 0x6a86);
    s.expect("00320000", "01", "", 0x6e00);
    s.expect("00a4000c", "6f94", "", 0x9000);
    s.expect("80320000", "01", "", 0x6982);
    let linear = s.state.file.unwrap();
    s.image.files[usize::from(linear)].rule = (0x6F92, 1);
    s.expect("80320000", "01", "", 0x6981);
}

#[test]
fn records_are_searched() {
    let mut s = sim();
    s.expect("00a4000c", "6f94", "", 0x9000);
    // Simple: forward and backward from a record.
    s.expect("00a20104", "00", "0104", 0x9000);
    s.expect("00a20204", "00", "04", 0x9000);
    s.expect("00a20405", "00", "0401", 0x9000);
    s.expect("00a20104", "1213", "02", 0x9000);
    s.expect("00b20004", "", "10111213", 0x9000);
    s.expect("00a20004", "13", "02", 0x9000);
    s.expect("00a20104", "77", "", 0x6282);
    s.expect("00a20604", "00", "", 0x6a83);
    s.expect("00a20104", "", "", 0x6700);
    s.expect("00a20107", "00", "", 0x6a86);
    // Enhanced: at an offset, behind a byte; from the next or previous record.
    s.expect("00a20106", "0401 0001", "", 0x6282);
    s.expect("00a20106", "0402 0203", "01", 0x9000);
    s.expect("00a20106", "0c31 32", "04", 0x9000);
    s.expect("00a20006", "0700 00", "01", 0x9000);
    s.expect("00a20006", "0600 00", "04", 0x9000);
    s.expect("00a20506", "0500 00", "0401", 0x9000);
    s.expect("00a20106", "04", "", 0x6700);
    s.expect("00a20106", "0300 00", "", 0x6a80);
    // By short identifier.
    s.expect(
        &format!("00a201{:02x}", 0x14 << 3 | 4),
        "2122",
        "03",
        0x9000,
    );
}
