//! SELECT and STATUS: where in the file system a channel is.
//! ETSI TS 102 221 §8.4, §8.5, §11.1.1, §11.1.2.

use super::{ChannelState, Outcome, Response};
use crate::apdu::{Command, sw};
use crate::fs::{Kind, MF, ProfileImage, fcp};
use alloc::vec::Vec;

/// SELECT of an ADF that the card has found by its AID. P2 bits 7 and 6: activation, or termination
/// of the application session; whether PINs stay verified then is the card's to say, which knows the
/// other channels.
pub(crate) fn select_application(
    image: &ProfileImage,
    state: &mut ChannelState,
    adf: u16,
    p2: u8,
) -> Response {
    if p2 & 0x60 == 0x40 {
        *state = ChannelState::default();
    } else {
        go_to(image, state, adf);
    }
    answer(image, adf, p2)
}

pub(super) fn select(image: &ProfileImage, state: &mut ChannelState, c: &Command<'_>) -> Outcome {
    // FCI (answered as the FCP), FCP, no data; the rest of ETSI TS 102 221 table 11.2 is reserved, or
    // for selection by AID.
    if !matches!(c.p2, 0x00 | 0x04 | 0x0C) {
        return Err(sw::WRONG_P1P2);
    }
    let fid = |data: &[u8]| match data {
        [h, l] => Ok(u16::from_be_bytes([*h, *l])),
        _ => Err(sw::WRONG_LENGTH),
    };
    let target = match c.p1 {
        0x00 if c.data.is_empty() => Some(MF),
        0x00 => by_id(image, state, fid(c.data)?),
        0x01 => child(image, state.directory, fid(c.data)?)
            .filter(|f| image.node(*f).is_some_and(|n| n.is_directory())),
        0x03 if c.data.is_empty() => image.node(state.directory).map(|n| n.parent),
        0x08 | 0x09 if !c.data.is_empty() && c.data.len().is_multiple_of(2) => {
            let from = if c.p1 == 0x08 { MF } else { state.directory };
            walk(image, state, from, c.data)
        }
        0x03 | 0x08 | 0x09 => return Err(sw::WRONG_LENGTH),
        _ => return Err(sw::WRONG_P1P2),
    };
    let target = target.ok_or(sw::FILE_NOT_FOUND)?;
    go_to(image, state, target);
    Ok(answer(image, target, c.p2))
}

fn go_to(image: &ProfileImage, state: &mut ChannelState, target: u16) {
    let Some(node) = image.node(target) else {
        return;
    };
    state.record = 0;
    if !node.is_directory() {
        state.file = Some(target);
        state.directory = node.parent;
        return;
    }
    state.directory = target;
    state.file = None;
    let root = image.root_of(target);
    if root != MF {
        state.application = Some(root);
    }
}

fn answer(image: &ProfileImage, target: u16, p2: u8) -> Response {
    let data = match p2 & 0x0C {
        0x0C => Vec::new(),
        _ => fcp(image, target),
    };
    let sw = match image.node(target) {
        Some(node) if node.is_terminated() => sw::FILE_TERMINATED,
        Some(node) if !node.is_active() => sw::FILE_DEACTIVATED,
        _ => sw::OK,
    };
    Response {
        sw,
        ..Response::data(data)
    }
}

/// A child that can be selected by its identifier; the one of an ADF is the package's own.
fn child(image: &ProfileImage, directory: u16, fid: u16) -> Option<u16> {
    image.child(directory, fid).filter(|i| is_no_adf(image, *i))
}

fn is_no_adf(image: &ProfileImage, file: u16) -> bool {
    image.node(file).is_some_and(|n| n.kind != Kind::Adf)
}

/// By file identifier: MF, current application (7FFF), child, the directory itself, a directory
/// beside it, its parent (ETSI TS 102 221 §8.4.2).
pub(super) fn by_id(image: &ProfileImage, state: &ChannelState, fid: u16) -> Option<u16> {
    let here = state.directory;
    match fid {
        0x3F00 => return Some(MF),
        0x7FFF => return state.application,
        _ => {}
    }
    let parent = image.node(here)?.parent;
    let named = |i: u16| {
        let own = image.node(i).is_some_and(|n| n.fid == fid);
        (own && is_no_adf(image, i)).then_some(i)
    };
    child(image, here, fid)
        .or_else(|| named(here))
        .or_else(|| {
            child(image, parent, fid).filter(|i| image.node(*i).is_some_and(|n| n.is_directory()))
        })
        .or_else(|| named(parent))
}

/// By path; 7FFF at its start is the current application, 3F00 the MF.
pub(super) fn walk(
    image: &ProfileImage,
    state: &ChannelState,
    from: u16,
    path: &[u8],
) -> Option<u16> {
    let (mut at, rest) = match path {
        [0x7F, 0xFF, rest @ ..] => (state.application?, rest),
        [0x3F, 0x00, rest @ ..] => (MF, rest),
        path => (from, path),
    };
    for fid in rest.chunks(2) {
        at = child(image, at, u16::from_be_bytes(fid.try_into().ok()?))?;
    }
    Some(at)
}

pub(super) fn status(image: &ProfileImage, state: &ChannelState, c: &Command<'_>) -> Outcome {
    // P1: no indication, application initialised, application about to be terminated.
    if c.p1 > 2 {
        return Err(sw::WRONG_P1P2);
    }
    let data = match c.p2 {
        0x00 => fcp(image, state.directory),
        0x01 => {
            let aid = state.application.and_then(|a| image.aid(a));
            let aid = aid.ok_or(sw::NOT_FOUND)?;
            let mut data = alloc::vec![0x84, aid.len() as u8];
            data.extend_from_slice(aid);
            data
        }
        0x0C => Vec::new(),
        _ => return Err(sw::WRONG_P1P2),
    };
    // With a shorter Le the answer says how long it is (§11.1.2).
    match c.ne {
        Some(n) if n < data.len() => Err(super::wrong_length(data.len())),
        _ => Ok(Response::data(data)),
    }
}
