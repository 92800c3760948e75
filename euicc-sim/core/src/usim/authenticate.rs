//! AUTHENTICATE in the applications of a profile: which key, which context.
//! TS 31.102 §7.1, TS 31.103 §7.1.

use super::{ChannelState, Outcome, Response};
use crate::apdu::{Command, sw};
use crate::auth;
use crate::fs::{Change, ProfileImage, satisfied};
use crate::pin::Verified;

/// RID and application code of the USIM and of the ISIM (ETSI TS 101 220 annex E).
const USIM: [u8; 7] = [0xA0, 0, 0, 0, 0x87, 0x10, 0x02];
const ISIM: [u8; 7] = [0xA0, 0, 0, 0, 0x87, 0x10, 0x04];
/// EF.UST.
pub(super) const UST: u16 = 0x6F38;
/// UST: GSM access, and GSM security context.
const GSM_ACCESS: usize = 27;
const GSM_CONTEXT: usize = 38;

/// What an application is, by its AID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Application {
    Usim,
    Isim,
    Other,
}

pub(super) fn application(image: &ProfileImage, adf: u16) -> Application {
    match image.aid(adf) {
        Some(aid) if aid.starts_with(&USIM) => Application::Usim,
        Some(aid) if aid.starts_with(&ISIM) => Application::Isim,
        _ => Application::Other,
    }
}

/// The application in whose directories the channel is; its PIN, if it has one, is verified.
///
/// # Errors
/// 6985 outside an application, 6982 without the PIN.
pub(super) fn current_application(
    image: &ProfileImage,
    state: &ChannelState,
    verified: &Verified,
) -> Result<u16, u16> {
    let adf = image.root_of(state.directory);
    if state.application != Some(adf) {
        return Err(sw::CONDITIONS);
    }
    // Its PIN is the first global one in its template (ETSI TS 102 221 §9.5.1: 01 to 08).
    let template = image.pin_references(adf).iter();
    let pin = template.copied().find(|key| (1..=8).contains(key));
    match pin {
        Some(key) if !satisfied(image, verified, adf, key) => Err(sw::SECURITY),
        _ => Ok(adf),
    }
}

pub(super) fn authenticate(
    image: &mut ProfileImage,
    state: &ChannelState,
    verified: &Verified,
    c: &Command<'_>,
) -> Outcome {
    // P2: bit 8 set (specific reference data), bits 3 to 1 the context.
    if c.p1 != 0 || c.p2 & 0xF8 != 0x80 {
        return Err(sw::WRONG_P1P2);
    }
    let adf = current_application(image, state, verified)?;
    let index = image.key_of(adf).ok_or(sw::CONDITIONS)?;
    let key = &image.keys[index];
    let usim = application(image, adf) == Application::Usim;
    let has = |service| usim && image.has_service(adf, UST, service);
    let (data, sw, accepted) = match c.p2 & 7 {
        0 if has(GSM_ACCESS) || has(GSM_CONTEXT) => auth::authenticate_gsm(key, c.data),
        // 3G, EPS, 5G and IMS AKA; only a USIM with GSM access gives Kc.
        1 => auth::authenticate(key, c.data, has(GSM_ACCESS)),
        // VGCS/VBS or HTTP digest, GBA, MBMS, local key establishment.
        0 | 2 | 4..=6 => return Err(sw::CONTEXT_NOT_SUPPORTED),
        _ => return Err(sw::WRONG_P1P2),
    };
    let persist = accepted.map(|accepted| Change::Sequence {
        key: index as u16,
        index: accepted.index,
        seq: accepted.seq,
    });
    if let Some(change) = &persist {
        image.apply(change);
    }
    Ok(Response { data, sw, persist })
}
