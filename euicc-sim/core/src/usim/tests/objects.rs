//! BER-TLV files: RETRIEVE DATA and SET DATA.
use super::{Sim, create_file};
use alloc::format;

fn sim() -> Sim {
    let mut s = Sim::with(|w| create_file(w, &[0x79, 0x21], 0x6F94, 3, 0x200));
    s.expect("00a4000c", "6f94", "", 0x9000);
    s
}

#[test]
fn objects_are_set_retrieved_listed_and_deleted() {
    let mut s = sim();
    s.expect("80cb0080", "5c", "5c00", 0x9000);
    s.expect("80cb0080", "80", "", 0x6a88);
    s.expect("80db0080", "8003010203", "", 0x9000);
    s.expect("80db0080", "5f2001aa", "", 0x9000);
    s.expect("80cb0080", "5c", "5c03805f20", 0x9000);
    s.expect("80cb0080", "80", "8003010203", 0x9000);
    // By short identifier 14.
    s.expect("80cb1480", "5f20", "5f2001aa", 0x9000);
    // Replaced, deleted.
    s.expect("80db0080", "800109", "", 0x9000);
    s.expect("80cb0080", "80", "800109", 0x9000);
    s.expect("80db0080", "5f20", "", 0x9000);
    s.expect("80db0080", "5f20", "", 0x6a88);
    s.expect("80cb0080", "5c", "5c0180", 0x9000);
    // An empty object is one.
    s.expect("80db0080", "8100", "", 0x9000);
    s.expect("80cb0080", "81", "8100", 0x9000);
}

#[test]
fn long_objects_come_and_go_in_blocks() {
    let mut s = sim();
    let value = "ab".repeat(0x180);
    let object = format!("84820180{value}");
    let (first, rest) = object.split_at(2 * 250);
    s.expect("80db0080", first, "", 0x63f1);
    // Nothing is there before all is.
    let before = s.image.clone();
    s.expect("80db0000", rest, "", 0x9000);
    assert_ne!(before, s.image);
    s.expect("80cb0080", "84", &object[..512], 0x62f1);
    s.expect("80cb0000", "", &object[512..], 0x9000);
    // Again, in blocks of 100, one of them twice.
    let block = |s: &mut Sim, header: &str, data: &str| s.with_le(header, data, Some(100));
    assert_eq!(
        block(&mut s, "80cb0080", "84"),
        (object[..200].into(), 0x62f1)
    );
    assert_eq!(
        block(&mut s, "80cb0000", ""),
        (object[200..400].into(), 0x62f1)
    );
    assert_eq!(
        block(&mut s, "80cb0040", ""),
        (object[200..400].into(), 0x62f1)
    );
    assert_eq!(
        block(&mut s, "80cb0000", ""),
        (object[400..600].into(), 0x62f1)
    );
    // Another command ends the transfer.
    s.expect("00a4000c", "6f94", "", 0x9000);
    s.expect("80cb0000", "", "", 0x6985);
    s.expect("80db0000", "00", "", 0x6985);
    // More than announced, more than fits.
    s.expect("80db0080", "8502010203", "", 0x6700);
    s.expect("80db0080", "8582020001", "", 0x6a84);
    // What isn't an object.
    for (data, sw) in [
        ("", 0x6700),
        ("0001", 0x6a80),
        ("ff01", 0x6a80),
        ("858001", 0x6a80),
        ("5c01", 0x6a80),
    ] {
        s.expect("80db0080", data, "", sw);
    }
    s.expect("80cb0080", "", "", 0x6700);
    s.expect("80cb0010", "84", "", 0x6a86);
    s.expect("80cb4080", "84", "", 0x6a86);
    s.expect("00cb0080", "84", "", 0x6e00);
    s.expect("00b00000", "", "", 0x6981);
    s.expect("00a4000c", "6f07", "", 0x9000);
    s.expect("80cb0080", "84", "", 0x6981);
}

#[test]
fn the_fcp_of_a_ber_tlv_file_says_what_fits() {
    let mut s = sim();
    s.expect(
        "00a40004",
        "6f94",
        "6224 82027921 83026f94 a50b 840101 85020200 86020200 8a0105 8b036f0603 80020000 8801a0",
        0x9000,
    );
}
