//! READ BINARY and UPDATE BINARY.
//! ETSI TS 102 221 §11.1.3, §11.1.4.

use super::{ChannelState, Outcome, Response, content_node, target, wrong_length};
use crate::apdu::{Command, sw};
use crate::fs::{Access, Change, Kind, Node, ProfileImage};
use crate::pin::Verified;
use alloc::vec::Vec;

/// The transparent file that P1 and P2 name, and the offset in it.
fn locate<'i>(
    image: &'i ProfileImage,
    state: &mut ChannelState,
    verified: &Verified,
    c: &Command<'_>,
    access: Access,
) -> Result<(u16, &'i Node, usize), u16> {
    let (sfi, offset) = match c.p1 {
        p1 @ 0x80..=0x9F => (Some(p1 & 0x1F), usize::from(c.p2)),
        p1 @ 0x00..=0x7F => (None, usize::from(p1) << 8 | usize::from(c.p2)),
        _ => return Err(sw::WRONG_P1P2),
    };
    let (file, node) = content_node(image, target(image, state, verified, sfi, access)?)?;
    if node.kind != Kind::Transparent {
        return Err(sw::INCOMPATIBLE);
    }
    if offset >= node.data.len() {
        return Err(sw::WRONG_OFFSET);
    }
    Ok((file, node, offset))
}

pub(super) fn read(
    image: &ProfileImage,
    state: &mut ChannelState,
    verified: &Verified,
    c: &Command<'_>,
) -> Outcome {
    let (_, node, offset) = locate(image, state, verified, c, Access::Read)?;
    if !c.data.is_empty() {
        return Err(sw::WRONG_LENGTH);
    }
    let rest = node.data.len() - offset;
    let want = match c.ne {
        None => rest.min(256),
        Some(n) if n >= 256 => rest.min(n),
        Some(n) if n > rest => return Err(wrong_length(rest)),
        Some(n) => n,
    };
    Ok(Response::data(node.data.read(offset, want)))
}

pub(super) fn update(
    image: &mut ProfileImage,
    state: &mut ChannelState,
    verified: &Verified,
    c: &Command<'_>,
) -> Outcome {
    let (file, node, offset) = locate(image, state, verified, c, Access::Update)?;
    if c.data.is_empty() || offset + c.data.len() > node.data.len() {
        return Err(sw::WRONG_LENGTH);
    }
    let change = Change::File {
        file,
        offset: offset as u32,
        data: c.data.to_vec(),
    };
    Ok(Response::changed(image, change, Vec::new()))
}
