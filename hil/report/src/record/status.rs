//! Names of instructions and status words: ISO/IEC 7816-4, ETSI TS 102 221, TS 31.102.

/// Name of an instruction byte.
pub(super) const fn instruction(ins: u8) -> &'static str {
    match ins {
        0x10 => "TERMINAL PROFILE",
        0x12 => "FETCH",
        0x14 => "TERMINAL RESPONSE",
        0x20 => "VERIFY PIN",
        0x24 => "CHANGE PIN",
        0x26 => "DISABLE PIN",
        0x28 => "ENABLE PIN",
        0x2C => "UNBLOCK PIN",
        0x32 => "INCREASE",
        0x44 => "ACTIVATE FILE",
        0x70 => "MANAGE CHANNEL",
        0x88 => "AUTHENTICATE",
        0xA2 => "SEARCH RECORD",
        0xA4 => "SELECT",
        0xAA => "TERMINAL CAPABILITY",
        0xB0 => "READ BINARY",
        0xB2 => "READ RECORD",
        0xC0 => "GET RESPONSE",
        0xC2 => "ENVELOPE",
        0xCA => "GET DATA",
        0xD6 => "UPDATE BINARY",
        0xDC => "UPDATE RECORD",
        0xE2 => "STORE DATA",
        0xF2 => "STATUS",
        _ => "unknown instruction",
    }
}

/// Meaning of a status word.
pub(super) const fn status(word: u16) -> &'static str {
    match word {
        0x9000 => "ok",
        0x6700 => "wrong length",
        0x6881 => "channel not open",
        0x6982 => "security status not satisfied",
        0x6983 => "blocked",
        0x6985 => "conditions of use not satisfied",
        0x6A80 => "wrong data",
        0x6A82 => "file or application not found",
        0x6A83 => "record not found",
        0x6A84 => "not enough memory",
        0x6A86 => "wrong P1 or P2",
        0x6A88 => "referenced data not found",
        0x9862 => "authentication error, incorrect MAC",
        _ => match word >> 8 {
            0x61 => "more data waits",
            0x62 => "warning",
            0x63 => "verification failed",
            0x65 => "memory failure",
            0x68 => "class not supported",
            0x69 => "command not allowed",
            0x6A => "wrong parameters",
            0x6B => "offset out of range",
            0x6C => "wrong Le",
            0x6D => "instruction not supported",
            0x6E => "class not supported",
            0x91 => "ok, a proactive command waits",
            _ => "error",
        },
    }
}
