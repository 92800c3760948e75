//! Command and answer as bytes: status word, logical channel. ISO/IEC 7816-4 §5.

/// Data and status word of an answer.
pub(crate) fn split(answer: &[u8]) -> (&[u8], u16) {
    match answer.split_last_chunk::<2>() {
        Some((data, sw)) => (data, u16::from_be_bytes(*sw)),
        None => (&[], 0x6F00),
    }
}

/// A bare status word as an answer.
pub(crate) fn status(sw: u16) -> Vec<u8> {
    sw.to_be_bytes().to_vec()
}

/// The logical channel that a class byte names; the basic one for a class byte without any.
pub(crate) fn channel(cla: u8) -> u8 {
    aid_euicc::apdu::Class::decode(cla).map_or(0, |class| class.channel)
}
