//! Command APDUs: cases 1 to 4 with short length, class byte, status words.
//! ISO/IEC 7816-4 §5.1, ETSI TS 102 221 §10.1.

/// Status words that the card answers itself. ISO/IEC 7816-4 §5.1.3, ETSI TS 102 221 §10.2.1.
pub mod sw {
    /// 9000: done.
    pub const OK: u16 = 0x9000;
    /// 6282: the end was reached, or nothing was found.
    pub const NOTHING_FOUND: u16 = 0x6282;
    /// 6283: the selected file is deactivated.
    pub const FILE_DEACTIVATED: u16 = 0x6283;
    /// 6285: the selected file is terminated.
    pub const FILE_TERMINATED: u16 = 0x6285;
    /// 6581: memory problem, the NVM can't be written.
    pub const MEMORY_FAILURE: u16 = 0x6581;
    /// 6700: wrong length.
    pub const WRONG_LENGTH: u16 = 0x6700;
    /// 6881: no such logical channel, or it is not open.
    pub const CHANNEL: u16 = 0x6881;
    /// 6882: secure messaging is not supported.
    pub const SECURE_MESSAGING: u16 = 0x6882;
    /// 6884: command chaining in the class byte is not supported.
    pub const CHAINING: u16 = 0x6884;
    /// 6981: the command doesn't fit the structure of the file.
    pub const INCOMPATIBLE: u16 = 0x6981;
    /// 6982: security status not satisfied.
    pub const SECURITY: u16 = 0x6982;
    /// 6983: PIN or PUK blocked.
    pub const BLOCKED: u16 = 0x6983;
    /// 6984: referenced data invalidated: the PIN is disabled (or enabled), the file deactivated.
    pub const INVALIDATED: u16 = 0x6984;
    /// 6985: conditions of use not satisfied.
    pub const CONDITIONS: u16 = 0x6985;
    /// 6986: no EF selected.
    pub const NO_EF: u16 = 0x6986;
    /// 6A80: wrong data.
    pub const WRONG_DATA: u16 = 0x6A80;
    /// 6A81: function not supported, here: no logical channel left.
    pub const NOT_SUPPORTED: u16 = 0x6A81;
    /// 6A82: file or application not found.
    pub const FILE_NOT_FOUND: u16 = 0x6A82;
    /// 6A83: record not found.
    pub const RECORD_NOT_FOUND: u16 = 0x6A83;
    /// 6A84: not enough memory.
    pub const NO_MEMORY: u16 = 0x6A84;
    /// 6A86: wrong P1 or P2.
    pub const WRONG_P1P2: u16 = 0x6A86;
    /// 6A88: referenced data not found.
    pub const NOT_FOUND: u16 = 0x6A88;
    /// 6B00: the offset is outside the file.
    pub const WRONG_OFFSET: u16 = 0x6B00;
    /// 6D00: instruction not supported.
    pub const INSTRUCTION: u16 = 0x6D00;
    /// 6E00: class not supported.
    pub const CLASS: u16 = 0x6E00;
    /// 9850: INCREASE: the maximum would be exceeded.
    pub const MAXIMUM: u16 = 0x9850;
    /// 9862: authentication error, incorrect MAC (TS 31.102 §7.3.1.6).
    pub const WRONG_MAC: u16 = 0x9862;
    /// 9864: authentication error, security context not supported.
    pub const CONTEXT_NOT_SUPPORTED: u16 = 0x9864;
    /// 6F00: no precise diagnosis; the card can't go on before the next reset.
    pub const UNKNOWN: u16 = 0x6F00;
}

/// Highest logical channel number (ISO/IEC 7816-4 §5.4.1).
pub const MAX_CHANNEL: u8 = 19;

/// The class byte, decoded. ISO/IEC 7816-4 §5.4.1, ETSI TS 102 221 §10.1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Class {
    /// Logical channel, 0 to [`MAX_CHANNEL`].
    pub channel: u8,
    /// Proprietary (8x, Cx, Ex) instead of interindustry (0x, 4x, 6x).
    pub proprietary: bool,
}

impl Class {
    /// Decodes a class byte.
    ///
    /// # Errors
    /// The status word: 6882 secure messaging, 6884 command chaining, 6E00 anything else.
    pub const fn decode(cla: u8) -> Result<Self, u16> {
        let proprietary = cla & 0x80 != 0;
        match cla & 0x7F {
            basic @ 0x00..=0x1F => {
                if basic & 0x10 != 0 {
                    return Err(sw::CHAINING);
                }
                if basic & 0x0C != 0 {
                    return Err(sw::SECURE_MESSAGING);
                }
                Ok(Self {
                    channel: basic & 3,
                    proprietary,
                })
            }
            further @ 0x40..=0x7F if cla != 0xFF => {
                if further & 0x10 != 0 {
                    return Err(sw::CHAINING);
                }
                if further & 0x20 != 0 {
                    return Err(sw::SECURE_MESSAGING);
                }
                Ok(Self {
                    channel: 4 + (further & 0x0F),
                    proprietary,
                })
            }
            _ => Err(sw::CLASS),
        }
    }

    /// The channel that a class byte names, also one that [`Self::decode`] refuses for another reason
    /// (secure messaging, chaining); `None` where its coding is reserved and it names none.
    #[must_use]
    pub const fn channel_of(cla: u8) -> Option<u8> {
        match cla & 0x7F {
            basic @ 0x00..=0x1F => Some(basic & 3),
            further @ 0x40..=0x7F if cla != 0xFF => Some(4 + (further & 0x0F)),
            _ => None,
        }
    }

    /// The interindustry class byte of a channel, as MANAGE CHANNEL's user writes it.
    #[must_use]
    pub const fn interindustry(channel: u8) -> u8 {
        if channel < 4 {
            channel
        } else {
            0x40 | (channel - 4)
        }
    }
}

/// A command APDU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Command<'a> {
    /// Class byte.
    pub cla: u8,
    /// Instruction.
    pub ins: u8,
    /// First parameter.
    pub p1: u8,
    /// Second parameter.
    pub p2: u8,
    /// Command data, at most 255 bytes.
    pub data: &'a [u8],
    /// Ne: bytes expected, 256 for Le = 00; `None` without Le.
    pub ne: Option<usize>,
}

impl<'a> Command<'a> {
    /// Parses a short APDU.
    ///
    /// # Errors
    /// 6700 for anything else, extended length included.
    pub fn parse(apdu: &'a [u8]) -> Result<Self, u16> {
        let Some((&[cla, ins, p1, p2], body)) = apdu.split_first_chunk::<4>() else {
            return Err(sw::WRONG_LENGTH);
        };
        let le = |b: u8| Some(if b == 0 { 256 } else { usize::from(b) });
        let (data, ne) = match body {
            [] => (&[][..], None),
            [b] => (&[][..], le(*b)),
            [0, ..] => return Err(sw::WRONG_LENGTH),
            [lc, rest @ ..] => match rest.split_at_checked(usize::from(*lc)) {
                Some((data, [])) => (data, None),
                Some((data, [b])) => (data, le(*b)),
                _ => return Err(sw::WRONG_LENGTH),
            },
        };
        Ok(Self {
            cla,
            ins,
            p1,
            p2,
            data,
            ne,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_cases_are_parsed() {
        let c = |b| Command::parse(b).map(|c| (c.data, c.ne));
        assert_eq!(c(&[0, 0xA4, 0, 0]), Ok((&[][..], None)));
        assert_eq!(c(&[0, 0xA4, 0, 0, 0]), Ok((&[][..], Some(256))));
        assert_eq!(c(&[0, 0xA4, 0, 0, 2, 0x3F, 0]), Ok((&[0x3F, 0][..], None)));
        assert_eq!(
            c(&[0, 0xA4, 0, 0, 2, 0x3F, 0, 7]),
            Ok((&[0x3F, 0][..], Some(7)))
        );
    }

    #[test]
    fn bad_lengths_and_extended_length_are_refused() {
        for bad in [
            &[][..],
            &[0, 0xA4, 0],
            &[0, 0xA4, 0, 0, 2, 1],
            &[0, 0xA4, 0, 0, 1, 1, 0, 0],
            &[0, 0xA4, 0, 0, 0, 0, 1, 1],
            &[0, 0xB0, 0, 0, 0, 1, 0],
        ] {
            assert_eq!(Command::parse(bad), Err(sw::WRONG_LENGTH), "{bad:02X?}");
        }
    }

    #[test]
    fn class_bytes_name_the_channel() {
        for channel in 0..=MAX_CHANNEL {
            let cla = Class::interindustry(channel);
            for proprietary in [false, true] {
                let cla = if proprietary { cla | 0x80 } else { cla };
                assert_eq!(
                    Class::decode(cla),
                    Ok(Class {
                        channel,
                        proprietary
                    }),
                    "{cla:02X}"
                );
            }
        }
        assert_eq!(Class::channel_of(0x1E), Some(2));
        assert_eq!(Class::channel_of(0xF5), Some(9));
        for reserved in [0x20, 0x3F, 0xA0, 0xBF, 0xFF] {
            assert_eq!(Class::channel_of(reserved), None, "{reserved:02X}");
        }
        assert_eq!(Class::decode(0x10), Err(sw::CHAINING));
        assert_eq!(Class::decode(0x0C), Err(sw::SECURE_MESSAGING));
        assert_eq!(Class::decode(0x60), Err(sw::SECURE_MESSAGING));
        assert_eq!(Class::decode(0x20), Err(sw::CLASS));
        assert_eq!(Class::decode(0xA0), Err(sw::CLASS));
        assert_eq!(Class::decode(0xFF), Err(sw::CLASS));
    }
}
