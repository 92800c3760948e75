//! The modem as the card's terminal: TERMINAL PROFILE, FETCH, REFRESH.
//! ETSI TS 102 221 §11.2, TS 102 223 §6.4.7.

use super::card::CardHandle;
use super::error::Cme;
use aid_rsp::tlv::Reader;

/// TERMINAL PROFILE: profile download, and REFRESH (byte 3, bit 8).
const PROFILE: [u8; 8] = [0x80, 0x10, 0x00, 0x00, 0x03, 0x01, 0x00, 0x80];
/// Most proactive commands that follow each other.
const MAX_FETCHES: u8 = 8;
/// Type of the proactive command REFRESH.
const REFRESH: u8 = 0x01;
/// Qualifier "UICC Reset": the reset is the answer.
const UICC_RESET: u8 = 0x04;

/// What the card asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// Nothing that the modem must act on.
    Nothing,
    /// REFRESH by resetting the card.
    Reset,
    /// REFRESH by reading files again.
    Initialise,
}

/// Tells the card what the terminal can do; the status word may say that a command waits.
pub(super) fn announce(card: &CardHandle) -> Result<u16, Cme> {
    Ok(card.whole(&PROFILE)?.1)
}

/// Fetches proactive commands while the status word says 91xx, and answers them.
pub(super) fn serve(card: &CardHandle, mut sw: u16) -> Result<Asked, Cme> {
    let mut asked = Asked::Nothing;
    for _ in 0..MAX_FETCHES {
        if sw >> 8 != 0x91 {
            break;
        }
        let (command, status) = card.whole(&[0x80, 0x12, 0, 0, sw as u8])?;
        let Some([number, kind, qualifier]) = details(&command) else {
            // Somebody else has fetched it, or it is none.
            return Ok(if status >> 8 == 0x91 {
                asked
            } else {
                Asked::Nothing
            });
        };
        if kind == REFRESH && qualifier == UICC_RESET {
            return Ok(Asked::Reset);
        }
        // 00: performed; 30: beyond the terminal's capabilities.
        let result = if kind == REFRESH { 0x00 } else { 0x30 };
        if kind == REFRESH {
            asked = Asked::Initialise;
        }
        let response = [
            0x80, 0x14, 0, 0, 12, 0x81, 3, number, kind, qualifier, 0x82, 2, 0x82, 0x81, 0x83, 1,
            result,
        ];
        sw = card.whole(&response)?.1;
    }
    Ok(asked)
}

/// Number, type and qualifier of a proactive command.
fn details(command: &[u8]) -> Option<[u8; 3]> {
    let mut outer = Reader::new(command);
    let proactive = outer.expect(0xD0).ok()?;
    let mut fields = Reader::new(proactive.value);
    let first = fields.any().ok()?;
    let known = matches!(first.tag, 0x01 | 0x81);
    first.value.try_into().ok().filter(|_| known)
}
