//! The bytes of a journal as docs/journal/format.md has them, computed by hand: what an earlier release wrote is read,
//! and this one writes the same.
#![allow(clippy::expect_used, reason = "a failed expectation is a failed test")]

use aid_journal::sim::SimMedia;
use aid_journal::{Config, Error, Journal, Recovered};

const SMALL: Config = Config { segment_size: 4096 };
/// Of the first segment, its two records, and the segment of the snapshot with its record.
const FIRST: &str = "4149444a01000000010000000000000001000000000000004b7ea064";
const RECORD_1: &str = "05000000ba37ef930100000000000000010000006669727374";
const RECORD_2: &str = "06000000230aa55f0200000000000000020000007365636f6e64";
const SECOND: &str = "4149444a0100010002000000000000000300000000000000dde649ea";
const SNAPSHOT: &str = "05000000a24a6cd90300000000000000020000007374617465";

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
    (0..hex.len()).step_by(2).map(byte).collect()
}

/// A segment with these parts, each at the start of a sector.
fn segment(parts: &[&str]) -> Vec<u8> {
    let mut out = vec![0; SMALL.segment_size];
    for (sector, part) in parts.iter().enumerate() {
        let part = bytes(part);
        out[sector * 512..][..part.len()].copy_from_slice(&part);
    }
    out
}

#[test]
fn what_is_written_is_what_the_format_says() {
    let mut media = SimMedia::new(1);
    let (mut journal, _) = Journal::open(&mut media, SMALL).expect("new");
    assert_eq!(journal.append(b"first").expect("written"), 1);
    // Opened again: the next epoch.
    let (mut journal, _) = Journal::open(&mut media, SMALL).expect("own");
    assert_eq!(journal.append(b"second").expect("written"), 2);
    assert_eq!(media.segments()[&1], segment(&[FIRST, RECORD_1, RECORD_2]));
}

#[test]
fn what_an_earlier_release_wrote_is_read() {
    let mut media = SimMedia::new(1);
    Journal::open(&mut media, SMALL).expect("new");
    let first = segment(&[FIRST, RECORD_1, RECORD_2]);
    media.segments().insert(1, first);
    let (_, found) = Journal::open(&mut media, SMALL).expect("readable");
    let records = vec![b"first".to_vec(), b"second".to_vec()];
    assert_eq!(
        found,
        Recovered {
            snapshot: None,
            records
        }
    );
    // The snapshot takes the place of what was before it.
    media.segments().insert(2, segment(&[SECOND, SNAPSHOT]));
    let (_, found) = Journal::open(&mut media, SMALL).expect("readable");
    assert_eq!(found.snapshot, Some(b"state".to_vec()));
    assert!(found.records.is_empty());
    assert!(!media.segments().contains_key(&1));
}

// A field of the header that is not right is damage, one at a time; so is each bit of what the checksum covers.
#[test]
fn a_header_of_another_release_is_damage() {
    for byte in 0..28 {
        let mut media = SimMedia::new(1);
        Journal::open(&mut media, SMALL).expect("new");
        let mut other = segment(&[FIRST, RECORD_1]);
        other[byte] ^= 1;
        media.segments().insert(1, other);
        let error = Journal::open(&mut media, SMALL).expect_err("damage");
        let expected = matches!(
            error,
            Error::Damaged {
                segment: 1,
                offset: 0,
                expected: 1
            }
        );
        assert!(expected, "byte {byte}: {error}");
    }
}

// Of a record that is not whole nothing is believed; it was being written when power failed.
#[test]
fn a_record_with_a_wrong_byte_ends_the_log() {
    for byte in 0..26 {
        let mut media = SimMedia::new(1);
        Journal::open(&mut media, SMALL).expect("new");
        let mut torn = segment(&[FIRST, RECORD_1, RECORD_2]);
        torn[1024 + byte] ^= 0x10;
        media.segments().insert(1, torn);
        let (_, found) = Journal::open(&mut media, SMALL).expect("a torn tail");
        assert_eq!(found.records, [b"first".to_vec()], "byte {byte}");
        // It is overwritten before anything is appended.
        assert_eq!(
            media.segments()[&1],
            segment(&[FIRST, RECORD_1]),
            "byte {byte}"
        );
    }
}
