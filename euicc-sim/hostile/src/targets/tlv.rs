//! BER-TLV: the reader never leaves its input, and what it read can be written and read again.
//! Structure of an input: the data objects themselves.

use aid_rsp::tlv::{
    Reader, Tlv, Writer, bits_from, bits_value, parse_header, tlv_len, uint_from, uint_value,
    validate,
};

/// The target.
pub(crate) fn run(data: &[u8]) {
    header_is_stable(data);
    values(data);
    if let Ok((tlv, rest)) = Tlv::split(data) {
        assert_eq!(tlv.raw.len() + rest.len(), data.len());
        assert_eq!(&data[..tlv.raw.len()], tlv.raw);
        assert!(tlv.raw.ends_with(tlv.value));
    }
    let mut read = 0;
    for tlv in Reader::new(data) {
        match tlv {
            Ok(tlv) => read += tlv.raw.len(),
            Err(_) => break,
        }
        assert!(read <= data.len());
    }
    if validate(data).is_ok() {
        let mut first = Writer::new();
        copy(data, &mut first);
        let first = first.into_vec();
        assert!(first.len() <= data.len(), "DER is the shortest form");
        validate(&first).expect("what was written is well-formed");
        let mut second = Writer::new();
        copy(&first, &mut second);
        assert_eq!(first, second.into_vec());
    }
}

/// A header doesn't change when more bytes arrive.
fn header_is_stable(data: &[u8]) {
    let whole = parse_header(data);
    for end in 0..data.len().min(9) {
        match parse_header(&data[..end]) {
            Ok(None) => {}
            known => assert_eq!(known, whole, "{end} bytes"),
        }
    }
    if let Ok(Some(h)) = whole {
        assert!(tlv_len(h.tag, h.value_len) <= h.header_len + h.value_len);
    }
}

fn values(data: &[u8]) {
    if let Some(number) = uint_from(data) {
        assert_eq!(uint_from(&uint_value(number)), Some(number));
    }
    if let Some(bits) = bits_from(data) {
        assert_eq!(bits_from(&bits_value(bits)), Some(bits));
    }
}

/// Writes data objects again, level by level.
fn copy(data: &[u8], w: &mut Writer) {
    for tlv in Reader::new(data) {
        let tlv = tlv.expect("validated");
        if tlv.is_constructed() {
            w.constructed(tlv.tag, |w| copy(tlv.value, w));
        } else {
            w.primitive(tlv.tag, tlv.value);
        }
    }
}
