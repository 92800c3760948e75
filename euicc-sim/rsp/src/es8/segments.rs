//! Cuts a Bound Profile Package into the pieces that go to the card one after another.
//! SGP.22 §2.5.5.

use super::tags;
use crate::tlv::{Tag, Tlv, TlvError};
use alloc::vec::Vec;

/// Why bytes can't be cut up as a BPP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    /// Not BER.
    #[error("bound profile package: {0}")]
    Tlv(#[from] TlvError),
    /// A sequence that has no place here, or not at this point.
    #[error("bound profile package: data object {got:X} out of place")]
    OutOfPlace {
        /// Its tag.
        got: Tag,
    },
    /// It ends before sequenceOf86.
    #[error("bound profile package: sequenceOf86 missing")]
    Incomplete,
}

/// The pieces, in order; they concatenate to the BPP.
///
/// # Errors
/// The bytes are not a BPP.
pub fn segments(bpp: &[u8]) -> Result<Vec<&[u8]>, SegmentError> {
    let package = Tlv::parse_tag(bpp, tags::BPP)?;
    let (first, _) = Tlv::split(package.value)?;
    if first.tag != 0xBF23 {
        return Err(SegmentError::OutOfPlace { got: first.tag });
    }
    let mut at = bpp.len() - package.value.len() + first.raw.len();
    let mut pieces = Vec::new();
    pieces.push(&bpp[..at]);
    let mut last = 0;
    while at < bpp.len() {
        let (sequence, _) = Tlv::split(&bpp[at..])?;
        // The first sequence comes first, secondSequenceOf87 may be absent, sequenceOf86 ends it.
        let in_order = match sequence.tag {
            tags::FIRST_87 => last == 0,
            tags::SEQUENCE_OF_88 => last == tags::FIRST_87,
            tags::SECOND_87 => last == tags::SEQUENCE_OF_88,
            tags::SEQUENCE_OF_86 => last == tags::SEQUENCE_OF_88 || last == tags::SECOND_87,
            _ => false,
        };
        if !in_order {
            return Err(SegmentError::OutOfPlace { got: sequence.tag });
        }
        last = sequence.tag;
        let header = sequence.raw.len() - sequence.value.len();
        let with_first = matches!(sequence.tag, tags::FIRST_87 | tags::SECOND_87);
        cut(
            &bpp[at..at + sequence.raw.len()],
            header,
            with_first,
            &mut pieces,
        )?;
        at += sequence.raw.len();
    }
    if last == tags::SEQUENCE_OF_86 {
        Ok(pieces)
    } else {
        Err(SegmentError::Incomplete)
    }
}

/// Header of the sequence alone or together with its first element, then the elements one by one.
fn cut<'a>(
    sequence: &'a [u8],
    header: usize,
    with_first: bool,
    pieces: &mut Vec<&'a [u8]>,
) -> Result<(), SegmentError> {
    let mut from = 0;
    let mut to = header;
    if !with_first {
        pieces.push(&sequence[..header]);
        from = header;
    }
    while to < sequence.len() {
        let (element, _) = Tlv::split(&sequence[to..])?;
        to += element.raw.len();
        pieces.push(&sequence[from..to]);
        from = to;
    }
    if from < to {
        // A sequence without elements.
        pieces.push(&sequence[from..to]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(content: &[u8]) -> Vec<u8> {
        let head = [0xBF, 0x36, content.len() as u8];
        head.iter().chain(content).copied().collect()
    }

    // Found by fuzzing: the rest of a sequence went nowhere.
    #[test]
    fn no_byte_gets_lost() {
        let start = [0xBF, 0x23, 0x00, 0xA0, 0x00, 0xA1, 0x02, 0x88, 0x00];
        let empty = package(&[&start[..], &[0xA3, 0x00]].concat());
        assert_eq!(segments(&empty).unwrap().concat(), empty);
        let half = package(&[&start[..], &[0xA3, 0x03, 0x86, 0x00, 0x45]].concat());
        let refused = segments(&half).unwrap_err();
        assert!(matches!(refused, SegmentError::Tlv(_)), "{refused}");
    }
}
