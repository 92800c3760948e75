//! ACTIVATE FILE and DEACTIVATE FILE.
//! ETSI TS 102 221 §11.1.14, §11.1.15.

use super::{ChannelState, Outcome, Response, select};
use crate::apdu::{Command, sw};
use crate::fs::{ACTIVATED, Access, Change, DEACTIVATED, MF, ProfileImage, allowed};
use crate::pin::Verified;
use alloc::vec::Vec;

/// Changes the life cycle of an EF: the current one, or that of an identifier or path, which becomes
/// the current one.
pub(super) fn change(
    image: &mut ProfileImage,
    state: &mut ChannelState,
    verified: &Verified,
    c: &Command<'_>,
    access: Access,
) -> Outcome {
    if c.p2 != 0 {
        return Err(sw::WRONG_P1P2);
    }
    let file = match (c.p1, c.data) {
        (0x00, []) => state.file.ok_or(sw::NO_EF)?,
        (0x00, [h, l]) => {
            select::by_id(image, state, u16::from_be_bytes([*h, *l])).ok_or(sw::FILE_NOT_FOUND)?
        }
        (p1 @ (0x08 | 0x09), path) if !path.is_empty() && path.len().is_multiple_of(2) => {
            let from = if p1 == 0x08 { MF } else { state.directory };
            select::walk(image, state, from, path).ok_or(sw::FILE_NOT_FOUND)?
        }
        (0x00 | 0x08 | 0x09, _) => return Err(sw::WRONG_LENGTH),
        _ => return Err(sw::WRONG_P1P2),
    };
    let node = image.node(file).ok_or(sw::FILE_NOT_FOUND)?;
    if node.is_directory() {
        return Err(sw::INCOMPATIBLE);
    }
    if !allowed(image, verified, file, access) {
        return Err(sw::SECURITY);
    }
    if node.is_terminated() {
        return Err(sw::CONDITIONS);
    }
    if state.file != Some(file) {
        state.file = Some(file);
        state.directory = node.parent;
        state.record = 0;
    }
    let status = match access {
        Access::Activate => ACTIVATED,
        _ => DEACTIVATED,
    };
    if node.is_active() == (status == ACTIVATED) {
        return Ok(Response::status(sw::OK));
    }
    Ok(Response::changed(
        image,
        Change::LifeCycle { file, status },
        Vec::new(),
    ))
}
