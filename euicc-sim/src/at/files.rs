//! What AT commands want from the SIM: ICCID, IMSI, any file by +CRSM, and the PIN.
//! 3GPP TS 27.007 §8.3, §8.18, ETSI TS 102 221 §11.1, 3GPP TS 31.102.

use super::card::CardHandle;
use super::error::Cme;
use aid_rsp::tlv::Tlv;

/// AID of every USIM, without what tells one from another (3GPP TS 31.110).
const USIM: [u8; 7] = [0xA0, 0x00, 0x00, 0x00, 0x87, 0x10, 0x02];
/// EF ICCID, below the MF.
const EF_ICCID: u16 = 0x2FE2;
/// EF DIR, below the MF.
const EF_DIR: u16 = 0x2F00;
/// EF IMSI, below the USIM.
const EF_IMSI: u16 = 0x6F07;
/// The file identifier that stands for the selected application.
const CURRENT_ADF: u16 = 0x7FFF;

/// Where the PIN stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pin {
    /// No profile is enabled.
    Absent,
    /// Verified or disabled.
    Ready,
    /// To be given; so many tries.
    Wanted(u8),
    /// Blocked; the PUK is to be given.
    Blocked,
}

/// Key reference of PIN 1 (ETSI TS 102 221 §9.5.1).
const PIN1: u8 = 0x01;

/// Where the PIN stands.
pub(super) fn pin(card: &CardHandle) -> Result<Pin, Cme> {
    card.on_channel(|card, class| {
        if select_usim(card, class).is_err() {
            return Ok(Pin::Absent);
        }
        // The PIN may be verified already: a file that it protects can be read then.
        let counter = card.whole(&[class, 0x20, 0, PIN1])?.1;
        let readable = || -> Result<bool, Cme> {
            select(card, class, EF_IMSI)?;
            Ok(card.whole(&[class, 0xB0, 0, 0, 1])?.1 == 0x9000)
        };
        Ok(match counter {
            0x9000 => Pin::Ready,
            0x6983 | 0x63C0 => Pin::Blocked,
            _ if readable()? => Pin::Ready,
            sw if sw & 0xFFF0 == 0x63C0 => Pin::Wanted(sw as u8 & 0x0F),
            _ => Pin::Ready,
        })
    })
}

/// What is done with the PIN.
#[derive(Debug, Clone, Copy)]
pub(super) enum PinAction<'a> {
    /// VERIFY
    Verify(&'a str),
    /// UNBLOCK with PUK and new PIN
    Unblock(&'a str, &'a str),
    /// CHANGE from old to new
    Change(&'a str, &'a str),
    /// ENABLE
    Enable(&'a str),
    /// DISABLE
    Disable(&'a str),
}

/// Does it.
pub(super) fn pin_action(card: &CardHandle, action: PinAction<'_>) -> Result<(), Cme> {
    let (ins, first, second) = match action {
        PinAction::Verify(pin) => (0x20, pin, None),
        PinAction::Change(old, new) => (0x24, old, Some(new)),
        PinAction::Disable(pin) => (0x26, pin, None),
        PinAction::Enable(pin) => (0x28, pin, None),
        PinAction::Unblock(puk, new) => (0x2C, puk, Some(new)),
    };
    let mut data = secret(first)?;
    if let Some(second) = second {
        data.extend_from_slice(&secret(second)?);
    }
    card.on_channel(|card, class| {
        select_usim(card, class)?;
        let mut apdu = vec![class, ins, 0, PIN1, data.len() as u8];
        apdu.extend_from_slice(&data);
        match card.whole(&apdu)?.1 {
            sw if sw >> 8 == 0x90 || sw >> 8 == 0x91 => Ok(()),
            0x6983 if ins != 0x2C => Err(Cme::PukRequired),
            0x6983 => Err(Cme::NotAllowed),
            sw if sw & 0xFFF0 == 0x63C0 => Err(Cme::WrongPassword),
            0x6984 | 0x6985 => Err(Cme::NotAllowed),
            _ => Err(Cme::SimFailure),
        }
    })
}

/// Is the PIN switched on? 3GPP TS 27.007 §7.4, facility SC.
pub(super) fn pin_enabled(card: &CardHandle) -> Result<bool, Cme> {
    card.on_channel(|card, class| {
        let fcp = select_usim(card, class)?;
        Ok(enabled_in(&fcp, PIN1).unwrap_or(false))
    })
}

/// Does the PIN status template of an FCP say that a key is switched on? Bit 8 of PS_DO stands for the
/// first key reference, and so on (ETSI TS 102 221 §9.5.2).
fn enabled_in(fcp: &[u8], key: u8) -> Option<bool> {
    let template = Tlv::parse_tag(fcp, 0x62).ok()?;
    let mut fields = template.children().find(0xC6).ok()??.children();
    let status = fields.expect(0x90).ok()?;
    let mut number = 0;
    while let Some(field) = fields.read().ok()? {
        if field.tag != 0x83 {
            continue;
        }
        if field.value == [key] {
            let byte = status.value.get(number / 8)?;
            return Some(byte & 0x80 >> (number % 8) != 0);
        }
        number += 1;
    }
    None
}

fn secret(text: &str) -> Result<Vec<u8>, Cme> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    if !digits || !(4..=8).contains(&text.len()) {
        return Err(Cme::WrongPassword);
    }
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(8, 0xFF);
    Ok(bytes)
}

/// The ICCID, digits.
pub(super) fn iccid(card: &CardHandle) -> Result<String, Cme> {
    card.on_channel(|card, class| {
        select(card, class, EF_ICCID).map_err(|_| Cme::NoSim)?;
        let bytes = read_binary(card, class, 10)?;
        let digits = hex::encode(swapped(&bytes));
        Ok(digits.trim_end_matches('f').to_owned())
    })
}

/// The IMSI, digits.
pub(super) fn imsi(card: &CardHandle) -> Result<String, Cme> {
    card.on_channel(|card, class| {
        select_usim(card, class)?;
        select(card, class, EF_IMSI)?;
        imsi_digits(&read_binary(card, class, 9)?)
    })
}

/// The digits of an EF IMSI, which a profile may fill with anything.
fn imsi_digits(bytes: &[u8]) -> Result<String, Cme> {
    let (len, coded) = bytes.split_first().ok_or(Cme::SimFailure)?;
    let coded = coded.get(..usize::from(*len)).ok_or(Cme::SimFailure)?;
    // The first nibble says whether the number of digits is odd.
    let digits = hex::encode(swapped(coded));
    let digits = digits.get(1..).ok_or(Cme::SimFailure)?;
    Ok(digits.trim_end_matches('f').to_owned())
}

/// EF DIR: the applications on the card, one template after another.
pub(super) fn applications(card: &CardHandle) -> Result<Vec<u8>, Cme> {
    card.on_channel(|card, class| {
        select(card, class, EF_DIR).map_err(|_| Cme::NoSim)?;
        let mut all = Vec::new();
        for record in 1..=20 {
            let (data, sw) = card.whole(&[class, 0xB2, record, 4, 0])?;
            match (data.first(), data.get(1)) {
                (Some(0x61), Some(len)) if sw == 0x9000 => {
                    all.extend(data.iter().take(usize::from(*len) + 2));
                }
                _ if sw == 0x9000 => {}
                _ => break,
            }
        }
        Ok(all)
    })
}

/// A restricted access to a file: +CRSM.
#[derive(Debug, Clone)]
pub(super) struct Restricted {
    pub(super) ins: u8,
    pub(super) file: u16,
    pub(super) p1: u8,
    pub(super) p2: u8,
    pub(super) p3: u8,
    pub(super) data: Vec<u8>,
    /// Path below the MF, file identifiers without the MF's own.
    pub(super) path: Vec<u16>,
}

/// Executes it; data and status word are the card's.
pub(super) fn restricted(card: &CardHandle, r: &Restricted) -> Result<(Vec<u8>, u16), Cme> {
    card.on_channel(|card, class| {
        for step in path(r) {
            let selected = match step {
                CURRENT_ADF => select_usim(card, class).map(|fcp| (fcp, 0x9000)),
                file => select_any(card, class, file),
            };
            match selected {
                Ok((_, 0x9000)) => {}
                Ok((_, sw)) => return Ok((Vec::new(), sw)),
                Err(_) => return Ok((Vec::new(), 0x6A82)),
            }
        }
        let (fcp, sw) = match r.file {
            CURRENT_ADF => (select_usim(card, class)?, 0x9000),
            file => select_any(card, class, file)?,
        };
        if sw != 0x9000 || r.ins == 0xC0 {
            return Ok((fcp, sw));
        }
        let mut apdu = vec![class, r.ins, r.p1, r.p2];
        match r.ins {
            // READ BINARY, READ RECORD
            0xB0 | 0xB2 => apdu.push(r.p3),
            // STATUS
            0xF2 => {
                apdu[0] |= 0x80;
                apdu.push(r.p3);
            }
            // UPDATE BINARY, UPDATE RECORD, SET DATA, RETRIEVE DATA with a tag
            _ if !r.data.is_empty() => {
                apdu.push(r.data.len() as u8);
                apdu.extend_from_slice(&r.data);
            }
            _ => apdu.push(r.p3),
        }
        card.whole(&apdu)
    })
}

/// The way to the file: the one that was given, or the one that its identifier implies.
fn path(r: &Restricted) -> Vec<u16> {
    if !r.path.is_empty() {
        return r.path.clone();
    }
    match r.file >> 8 {
        // MF, its files and its directories.
        0x3F | 0x2F | 0x7F => Vec::new(),
        _ => vec![CURRENT_ADF],
    }
}

/// Selects the USIM of the enabled profile; its FCP.
fn select_usim(card: &CardHandle, class: u8) -> Result<Vec<u8>, Cme> {
    let mut apdu = vec![class, 0xA4, 0x04, 0x04, USIM.len() as u8];
    apdu.extend_from_slice(&USIM);
    match card.whole(&apdu)? {
        (fcp, sw) if sw >> 8 == 0x90 || sw >> 8 == 0x91 => Ok(fcp),
        _ => Err(Cme::NoSim),
    }
}

fn select_any(card: &CardHandle, class: u8, file: u16) -> Result<(Vec<u8>, u16), Cme> {
    let [high, low] = file.to_be_bytes();
    card.whole(&[class, 0xA4, 0x00, 0x04, 2, high, low])
}

fn select(card: &CardHandle, class: u8, file: u16) -> Result<Vec<u8>, Cme> {
    match select_any(card, class, file)? {
        (fcp, 0x9000) => Ok(fcp),
        _ => Err(Cme::NotFound),
    }
}

fn read_binary(card: &CardHandle, class: u8, len: u8) -> Result<Vec<u8>, Cme> {
    match card.whole(&[class, 0xB0, 0, 0, len])? {
        (data, 0x9000) => Ok(data),
        (_, 0x6982) => match pin_blocked(card, class)? {
            true => Err(Cme::PukRequired),
            false => Err(Cme::PinRequired),
        },
        _ => Err(Cme::SimFailure),
    }
}

fn pin_blocked(card: &CardHandle, class: u8) -> Result<bool, Cme> {
    let sw = card.whole(&[class, 0x20, 0, PIN1])?.1;
    Ok(matches!(sw, 0x6983 | 0x63C0))
}

fn swapped(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|b| b.rotate_left(4)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_imsi_that_is_none_is_a_failure() {
        let imsi = [8, 0x09, 0x10, 0x10, 0, 0, 0, 0, 0x10];
        assert_eq!(imsi_digits(&imsi), Ok("001010000000001".into()));
        for bad in [
            &[][..],
            &[0],
            &[0xFF; 9],
            &[9, 1, 2],
            &[0, 0, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert_eq!(imsi_digits(bad), Err(Cme::SimFailure), "{bad:02X?}");
        }
    }

    #[test]
    fn the_template_names_keys_in_any_order() {
        let fcp = |ps: &str| {
            let pins = format!("9001{ps}83010183018195010883010A");
            hex::decode(format!("6211C60F{pins}")).unwrap()
        };
        assert_eq!(enabled_in(&fcp("80"), 0x01), Some(true));
        assert_eq!(enabled_in(&fcp("60"), 0x01), Some(false));
        assert_eq!(enabled_in(&fcp("60"), 0x0A), Some(true));
        assert_eq!(enabled_in(&fcp("60"), 0x0B), None);
        assert_eq!(enabled_in(&[0x62, 0], 0x01), None);
    }
}
