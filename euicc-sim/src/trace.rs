//! One line per command and response: what it is, how long, the status word. Contents of secrets
//! and of long objects are shown as lengths. ISO/IEC 7816-4 §5.1, SGP.22 §5.7.

use crate::frame;
use aid_cli::cli::TRACE;
use aid_euicc::apdu::{Class, Command};
use aid_rsp::tlv::parse_header;

/// The name of a control code.
pub(crate) const fn control(code: u8) -> &'static str {
    match code {
        frame::OFF => "POWER OFF",
        frame::ON => "POWER ON",
        _ => "RESET",
    }
}

/// Shows a command and its response.
pub(crate) fn exchange(request: &[u8], answer: &[u8]) {
    if !tracing::enabled!(target: TRACE, tracing::Level::TRACE) {
        return;
    }
    tracing::trace!(target: TRACE, "<- APDU {}", command(request));
    tracing::trace!(target: TRACE, "-> APDU {}", response(answer));
}

/// What a command is, on one line.
pub(crate) fn command(apdu: &[u8]) -> String {
    let Ok(c) = Command::parse(apdu) else {
        return format!("malformed, {} bytes", apdu.len());
    };
    let channel = Class::decode(c.cla).map_or_else(|_| "?".into(), |k| k.channel.to_string());
    let name = instruction(c.ins);
    let what = match c.ins {
        0xE2 => store_data(&c),
        0xA4 => format!(" {}", hex::encode(c.data)),
        0x70 if c.p1 == 0x80 => format!(" close {}", c.p2),
        0x70 => " open".into(),
        0x20 | 0x24 | 0x26 | 0x28 | 0x2C => format!(" key {:02X}, secret", c.p2),
        _ => String::new(),
    };
    let (p1, p2, len) = (c.p1, c.p2, c.data.len());
    format!("ch {channel} {name}{what} [P1 {p1:02X} P2 {p2:02X}, {len} bytes]")
}

fn response(answer: &[u8]) -> String {
    let Some((data, [sw1, sw2])) = answer.split_last_chunk::<2>() else {
        return "malformed".into();
    };
    let function = match parse_header(data) {
        Ok(Some(header)) if header.tag & 0xFFFF_FF00 == 0xBF00 => {
            let code = match data.get(header.header_len..) {
                Some([0x80, 1, code]) => format!(", code {code}"),
                _ => String::new(),
            };
            format!(" {}{code}", es10(header.tag))
        }
        _ => String::new(),
    };
    let bytes = data.len();
    format!(
        "{sw1:02X}{sw2:02X} {}{function}, {bytes} bytes",
        status(*sw1, *sw2)
    )
}

fn store_data(c: &Command<'_>) -> String {
    let last = if c.p1 & 0x80 != 0 { ", last" } else { "" };
    let function = match parse_header(c.data) {
        Ok(Some(header)) if c.p2 == 0 => format!(" {}", es10(header.tag)),
        _ => String::new(),
    };
    format!("{function} block {}{last}", c.p2)
}

const fn instruction(ins: u8) -> &'static str {
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

const fn es10(tag: u32) -> &'static str {
    match tag {
        0xBF20 => "GetEUICCInfo1",
        0xBF21 => "PrepareDownload",
        0xBF22 => "GetEUICCInfo2",
        0xBF28 => "ListNotification",
        0xBF29 => "SetNickname",
        0xBF2B => "RetrieveNotificationsList",
        0xBF2D => "GetProfilesInfo",
        0xBF2E => "GetEUICCChallenge",
        0xBF30 => "RemoveNotificationFromList",
        0xBF31 => "EnableProfile",
        0xBF32 => "DisableProfile",
        0xBF33 => "DeleteProfile",
        0xBF34 => "eUICCMemoryReset",
        0xBF36 => "LoadBoundProfilePackage InitialiseSecureChannel",
        0xBF37 => "ProfileInstallationResult",
        0xBF38 => "AuthenticateServer",
        0xBF3C => "GetEuiccConfiguredAddresses",
        0xBF3E => "GetEID",
        0xBF3F => "SetDefaultDpAddress",
        0xBF41 => "CancelSession",
        0xBF43 => "GetRAT",
        0xA0 => "LoadBoundProfilePackage ConfigureISDP",
        0xA1 | 0x88 => "LoadBoundProfilePackage StoreMetadata",
        0xA2 => "LoadBoundProfilePackage ReplaceSessionKeys",
        0xA3 | 0x86 => "LoadBoundProfilePackage LoadProfileElements",
        _ => "unknown function",
    }
}

const fn status(sw1: u8, sw2: u8) -> &'static str {
    match (sw1, sw2) {
        (0x90, 0x00) => "ok",
        (0x61, _) => "more data waits",
        (0x62, _) => "warning",
        (0x63, _) => "verification failed",
        (0x65, _) => "memory failure",
        (0x67, 0x00) => "wrong length",
        (0x68, 0x81) => "channel not open",
        (0x68, _) => "class not supported",
        (0x69, 0x82) => "security status not satisfied",
        (0x69, 0x83) => "blocked",
        (0x69, _) => "conditions of use not satisfied",
        (0x6A, 0x80) => "wrong data",
        (0x6A, 0x82) => "file or application not found",
        (0x6A, 0x83) => "record not found",
        (0x6A, 0x84) => "not enough memory",
        (0x6A, 0x86) => "wrong P1 or P2",
        (0x6A, 0x88) => "referenced data not found",
        (0x6A, _) => "wrong parameters",
        (0x6B, _) => "offset out of range",
        (0x6C, _) => "wrong Le",
        (0x6D, _) => "instruction not supported",
        (0x6E, _) => "class not supported",
        (0x98, 0x62) => "authentication error, incorrect MAC",
        _ => "error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_name_the_function_and_hide_secrets() {
        let line = |apdu: &str| command(&hex::decode(apdu).unwrap());
        assert_eq!(
            line("81e2910006bf3e035c015a00"),
            "ch 1 STORE DATA GetEID block 0, last [P1 91 P2 00, 6 bytes]"
        );
        assert_eq!(
            line("0020000108313233340a0b0c0d"),
            "ch 0 VERIFY PIN key 01, secret [P1 00 P2 01, 8 bytes]"
        );
        assert_eq!(line("00"), "malformed, 1 bytes");
        let line = |apdu: &str| response(&hex::decode(apdu).unwrap());
        assert_eq!(
            line("bf31038001009000"),
            "9000 ok EnableProfile, code 0, 6 bytes"
        );
        assert_eq!(line("6a82"), "6A82 file or application not found, 0 bytes");
    }
}
