//! The enabled profile is the SIM: [`handle`] executes every UICC-level command.
//! ETSI TS 102 221 §11.1, §11.3; TS 31.102 §7.

mod authenticate;
mod identity;
mod life_cycle;
mod objects;
mod pins;
mod read_write;
mod records;
mod select;
mod suci;

#[cfg(test)]
pub(crate) mod tests;

use crate::apdu::{Command, sw};
use crate::fs::{Access, Change, MF, Node, ProfileImage, allowed};
use crate::pin::Verified;
use alloc::vec::Vec;
use pins::Action;
use rand_core::CryptoRng;

pub(crate) use select::select_application;
pub use suci::{Protection, Scheme, SuciError, conceal};

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
            sw: sw::OK,
            persist: None,
        }
    }

    /// The change is made in memory, and to be stored before the answer leaves.
    fn changed(image: &mut ProfileImage, change: Change, data: Vec<u8>) -> Self {
        image.apply(&change);
        Self {
            data,
            sw: sw::OK,
            persist: Some(change),
        }
    }
}

/// Data or the answer that refuses.
type Outcome = Result<Response, u16>;

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
    /// A data object on its way in or out of a BER-TLV file.
    transfer: Option<objects::Transfer>,
}

impl ChannelState {
    /// Where a channel begins that was opened from this one: in its directory (ETSI TS 102 221 §8.7).
    pub(crate) fn for_new_channel(&self) -> Self {
        Self {
            directory: self.directory,
            application: self.application,
            ..Self::default()
        }
    }
}

/// Executes a command on the enabled profile. `rng` is for what the USIM conceals.
pub fn handle(
    image: &mut ProfileImage,
    state: &mut ChannelState,
    verified: &mut Verified,
    c: &Command<'_>,
    rng: &mut dyn CryptoRng,
) -> Response {
    let transfer = state.transfer.take();
    execute(image, state, verified, c, rng, transfer).unwrap_or_else(Response::status)
}

fn execute(
    image: &mut ProfileImage,
    state: &mut ChannelState,
    verified: &mut Verified,
    c: &Command<'_>,
    rng: &mut dyn CryptoRng,
    transfer: Option<objects::Transfer>,
) -> Outcome {
    let proprietary = match c.ins {
        0xA4 | 0xB0 | 0xD6 | 0xB2 | 0xDC | 0xA2 | 0x20 | 0x24 | 0x26 | 0x28 | 0x2C | 0x88
        | 0x04 | 0x44 => false,
        0xF2 | 0x32 | 0xCB | 0xDB | 0x78 => true,
        _ => return Err(sw::INSTRUCTION),
    };
    if proprietary != (c.cla & 0x80 != 0) {
        return Err(sw::CLASS);
    }
    match c.ins {
        0xA4 => select::select(image, state, c),
        0xF2 => select::status(image, state, c),
        0xB0 => read_write::read(image, state, verified, c),
        0xD6 => read_write::update(image, state, verified, c),
        0xB2 => records::read(image, state, verified, c),
        0xDC => records::update(image, state, verified, c),
        0xA2 => records::search(image, state, verified, c),
        0x32 => records::increase(image, state, verified, c),
        0xCB => objects::retrieve(image, state, verified, c, transfer),
        0xDB => objects::set(image, state, verified, c, transfer),
        0x04 => life_cycle::change(image, state, verified, c, Access::Deactivate),
        0x44 => life_cycle::change(image, state, verified, c, Access::Activate),
        0x88 => authenticate::authenticate(image, state, verified, c),
        0x78 => identity::get_identity(image, state, verified, c, rng),
        _ => pin_command(image, state, verified, c),
    }
}

fn pin_command(
    image: &mut ProfileImage,
    state: &ChannelState,
    verified: &mut Verified,
    c: &Command<'_>,
) -> Outcome {
    let action = match c.ins {
        0x20 => Action::Verify,
        0x24 => Action::Change,
        0x26 => Action::Disable,
        0x28 => Action::Enable,
        _ => Action::Unblock,
    };
    // P1 of DISABLE may name the universal PIN as replacement; no profile element can define one.
    match (action, c.p1) {
        (_, 0) => {}
        (Action::Disable, p1) if p1 & 0x80 != 0 => return Err(sw::NOT_FOUND),
        _ => return Err(sw::WRONG_P1P2),
    }
    let from = state.directory;
    let (sw, persist) = pins::command(image, verified, from, action, c.p2, c.data);
    Ok(Response {
        data: Vec::new(),
        sw,
        persist,
    })
}

/// The file that a command means: by SFI, which also selects it, or the current one. Checked: it may
/// be accessed so. The index is that of the file itself, not of a link's target.
fn target(
    image: &ProfileImage,
    state: &mut ChannelState,
    verified: &Verified,
    sfi: Option<u8>,
    access: Access,
) -> Result<u16, u16> {
    if let Some(sfi) = sfi {
        let directory = image.content_of(state.directory);
        let found = image
            .files
            .iter()
            .position(|f| f.parent == directory && f.sfi == sfi && !f.is_directory());
        let found = found.filter(|_| (1..=30).contains(&sfi));
        let found = found.ok_or(sw::FILE_NOT_FOUND)? as u16;
        if state.file != Some(found) {
            state.record = 0;
        }
        state.file = Some(found);
    }
    let file = state.file.ok_or(sw::NO_EF)?;
    let node = image.node(file).ok_or(sw::NO_EF)?;
    if !allowed(image, verified, file, access) {
        return Err(sw::SECURITY);
    }
    // Bit 7 of the special file information: readable and updatable when deactivated.
    let usable = node.is_active() || (node.special & 0x40 != 0 && !node.is_terminated());
    if !usable {
        return Err(sw::INVALIDATED);
    }
    Ok(file)
}

/// The node that has a file's content.
fn content_node(image: &ProfileImage, file: u16) -> Result<(u16, &Node), u16> {
    let file = image.content_of(file);
    image.node(file).map(|n| (file, n)).ok_or(sw::NO_EF)
}

/// 6Cxx: so many bytes are there.
const fn wrong_length(available: usize) -> u16 {
    0x6C00 | (available & 0xFF) as u16
}

/// Is it at the MF of a profile, with no application? So after a profile switch.
#[must_use]
pub fn is_fresh(state: &ChannelState) -> bool {
    state.directory == MF && state.application.is_none()
}
