//! Known answers and properties of the TLV layer.
use super::*;
use alloc::vec::Vec;
use proptest::prelude::*;

#[test]
fn reads_tags_and_lengths_of_every_size() {
    let h = |hex: &str| parse_header(&hex::decode(hex).unwrap()).unwrap();
    let header = |tag, header_len, value_len| {
        Some(Header {
            tag,
            header_len,
            value_len,
        })
    };
    assert_eq!(h("5a0a"), header(0x5A, 2, 10));
    assert_eq!(h("bf3881c0"), header(0xBF38, 4, 192));
    assert_eq!(h("5f378203fc"), header(0x5F37, 5, 1020));
    assert_eq!(h("9f700101"), header(0x9F70, 3, 1));
    assert_eq!(h("bf"), None);
    assert_eq!(h("bf36"), None);
    assert_eq!(h("bf3682ff"), None);
    assert_eq!(
        parse_header(&[0x30, 0x80]),
        Err(TlvError::LengthForm { got: 0x80 })
    );
    assert_eq!(
        parse_header(&[0x3F, 0x81, 0x81, 0x81, 0x01]),
        Err(TlvError::TagTooLong)
    );
}

#[test]
fn a_value_longer_than_the_input_is_refused() {
    assert_eq!(
        Tlv::parse(&[0x04, 3, 1, 2]),
        Err(TlvError::Truncated { needed: 3, got: 2 })
    );
    assert_eq!(
        Tlv::parse(&[0x04, 0x84, 0xFF, 0xFF, 0xFF, 0xFF]),
        Err(TlvError::Truncated {
            needed: 0xFFFF_FFFF,
            got: 0
        })
    );
}

#[test]
fn writer_patches_lengths_at_every_level() {
    let mut w = Writer::new();
    w.constructed(0xBF36, |w| {
        w.constructed(0xA0, |w| {
            w.primitive(0x87, &[7; 300]);
        });
    });
    let bytes = w.into_vec();
    assert_eq!(
        &bytes[..13],
        &hex::decode("bf36820134a08201308782012c").unwrap()[..]
    );
    validate(&bytes).unwrap();
}

#[test]
fn named_bits_are_minimal() {
    assert_eq!(bits_value(0), [0]);
    assert_eq!(bits_value(0x8000_0000), [7, 0x80]);
    assert_eq!(bits_value(0x1000_0000), [4, 0x10]);
    assert_eq!(bits_value(0x7F36_0080), [7, 0x7F, 0x36, 0x00, 0x80]);
    assert_eq!(bits_from(&[6, 0xFF]), Some(0xC000_0000));
    assert_eq!(bits_from(&[]), None);
    assert_eq!(bits_from(&[1]), None);
}

#[test]
fn integers_are_minimal_and_non_negative() {
    assert_eq!(uint_value(0), [0]);
    assert_eq!(uint_value(127), [127]);
    assert_eq!(uint_value(128), [0, 128]);
    assert_eq!(uint_from(&[0x80]), None);
    assert_eq!(uint_from(&[]), None);
    assert_eq!(
        uint_from(&[0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]),
        Some(u64::MAX)
    );
}

fn any_tag() -> impl Strategy<Value = Tag> {
    prop_oneof![
        (0u32..8, 0u32..31).prop_map(|(class, n)| class << 5 | n),
        (0u32..8, 31u32..128).prop_map(|(class, n)| (class << 5 | 0x1F) << 8 | n),
    ]
    .prop_filter("a primitive tag is not zero", |t| *t != 0)
}

proptest! {
    #[test]
    fn any_bytes_never_panic(input in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = validate(&input);
        for tlv in Reader::new(&input).flatten() {
            let _ = (tlv.uint(), tlv.bits(), tlv.boolean(), tlv.text(64), tlv.array::<16>());
            prop_assert!(tlv.raw.ends_with(tlv.value));
        }
    }

    #[test]
    fn what_is_written_is_read_back(
        tag in any_tag(),
        value in proptest::collection::vec(any::<u8>(), 0..70_000),
    ) {
        let mut w = Writer::new();
        w.primitive(tag, &value);
        let mut nested = Writer::new();
        nested.constructed(0xBF38, |n| { n.raw(w.as_slice()); });
        prop_assert_eq!(w.as_slice().len(), tlv_len(tag, value.len()));
        let outer = nested.into_vec();
        let inner = Tlv::parse_tag(&outer, 0xBF38).unwrap().children().any().unwrap();
        prop_assert_eq!(inner.tag, tag);
        prop_assert_eq!(inner.value, &value[..]);
    }

    #[test]
    fn numbers_round_trip(n in any::<u64>(), bits in any::<u32>(), flag in any::<bool>()) {
        let mut w = Writer::new();
        w.uint(0x80, n).bits(0x81, bits).boolean(0x01, flag);
        let bytes: Vec<u8> = w.into();
        let mut r = Reader::new(&bytes);
        prop_assert_eq!(r.expect(0x80).unwrap().uint().unwrap(), n);
        prop_assert_eq!(r.expect(0x81).unwrap().bits().unwrap(), bits);
        prop_assert_eq!(r.expect(0x01).unwrap().boolean().unwrap(), flag);
        r.finish().unwrap();
    }
}
