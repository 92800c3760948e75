//! The enabled profile is the SIM: [`handle`] executes every UICC-level command.
//! ETSI TS 102 221 §11.1, TS 31.102 §7. Called by the card's dispatcher for what isn't ISD-R's.

mod files;

use crate::auth;
use crate::fs::{Change, Kind, MF, ProfileImage};
use crate::pin;
use alloc::vec::Vec;

/// A command as the ISO 7816-4 layer parsed it.
#[derive(Debug, Clone, Copy)]
pub struct Command<'a> {
    /// Class byte (channel and secure messaging bits are ignored here).
    pub cla: u8,
    /// Instruction.
    pub ins: u8,
    /// P1.
    pub p1: u8,
    /// P2.
    pub p2: u8,
    /// Command data.
    pub data: &'a [u8],
    /// Ne: bytes expected, 256 for Le = 00; `None` without Le.
    pub ne: Option<usize>,
}

/// The answer: data, status word, and what must be in NVM before it leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Response data.
    pub data: Vec<u8>,
    /// SW1 SW2.
    pub sw: u16,
    /// What to store.
    pub persist: Option<Change>,
}

impl Response {
    pub(crate) const fn status(sw: u16) -> Self {
        Self {
            data: Vec::new(),
            sw,
            persist: None,
        }
    }

    pub(crate) const fn data(data: Vec<u8>) -> Self {
        Self {
            data,
            sw: 0x9000,
            persist: None,
        }
    }
}

/// Volatile state of one logical channel; make a new one at reset and when the channel opens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChannelState {
    /// Current directory (MF at first).
    pub directory: u16,
    /// Current application.
    pub application: Option<u16>,
    /// Current EF.
    pub file: Option<u16>,
    /// Current record, 0 for none.
    pub record: u8,
    /// PINs verified: directory and key reference.
    pub verified: Vec<(u16, u8)>,
}

/// Executes a command on the enabled profile.
pub fn handle(image: &mut ProfileImage, state: &mut ChannelState, c: &Command<'_>) -> Response {
    match c.ins {
        0xA4 => files::select(image, state, c),
        0xB0 | 0xD6 => files::binary(image, state, c),
        0xB2 | 0xDC => files::record(image, state, c),
        0xA2 => files::search(image, state, c),
        0x32 => files::increase(image, state, c),
        0xF2 => files::status(image, state, c),
        0x20 | 0x24 | 0x26 | 0x28 | 0x2C => {
            let from = state.directory;
            let (sw, persist) = pin::command(image, &mut state.verified, from, c.ins, c.p2, c.data);
            Response {
                data: Vec::new(),
                sw,
                persist,
            }
        }
        0x88 => authenticate(image, state, c),
        // TERMINAL PROFILE, TERMINAL CAPABILITY: taken note of.
        0x10 | 0xAA => Response::status(0x9000),
        _ => Response::status(0x6D00),
    }
}

fn authenticate(image: &mut ProfileImage, state: &ChannelState, c: &Command<'_>) -> Response {
    let Some(adf) = state.application else {
        return Response::status(0x6985);
    };
    let Some(index) = image.keys.iter().position(|k| k.directory == adf) else {
        return Response::status(0x6985);
    };
    if c.p2 != 0x81 {
        return Response::status(0x6A86);
    }
    if pin::find(image, adf, 1).is_some() && !pin::satisfied(image, &state.verified, adf, 1) {
        return Response::status(0x6982);
    }
    let ust = image.child(adf, 0x6F38).and_then(|f| image.node(f));
    let usim = matches!(
        image.node(adf).map(|n| &n.kind),
        Some(Kind::Adf(a)) if a.starts_with(&[0xA0, 0, 0, 0, 0x87, 0x10, 0x02])
    );
    // Service 27, GSM access: bit 3 of byte 4.
    let with_kc = usim
        && ust
            .and_then(|n| n.data.get(3))
            .is_some_and(|b| b & 0x04 != 0);
    let (data, sw, persist) = auth::authenticate(index as u16, &image.keys[index], c.data, with_kc);
    if let Some(change) = &persist {
        image.apply(change);
    }
    Response { data, sw, persist }
}

/// Is the directory inside the tree of this profile? Used after a profile switch.
#[must_use]
pub fn is_fresh(state: &ChannelState) -> bool {
    state.directory == MF && state.application.is_none()
}
