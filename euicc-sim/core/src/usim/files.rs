//! SELECT, STATUS and the commands on binary and record files.
//! ETSI TS 102 221 §11.1.1 to §11.1.8. Called by [`super::handle`].

use super::{ChannelState, Command, Response};
use crate::fs::{Access, Change, Kind, MF, ProfileImage, allowed, fcp};
use alloc::vec::Vec;

pub(super) fn select(image: &ProfileImage, state: &mut ChannelState, c: &Command<'_>) -> Response {
    let target = match (c.p1, c.data) {
        (0x04, aid @ [_, _, _, _, _, ..]) => image.application(aid),
        (0x00, []) => Some(MF),
        (0x00, [h, l]) => by_id(image, state, u16::from_be_bytes([*h, *l])),
        (0x01, [h, l]) => image
            .child(state.directory, u16::from_be_bytes([*h, *l]))
            .filter(|f| image.node(*f).is_some_and(|n| n.is_directory())),
        (0x03, []) => image.node(state.directory).map(|n| n.parent),
        (0x08, path) => walk(image, state, MF, path),
        (0x09, path) => walk(image, state, state.directory, path),
        (0x00 | 0x01 | 0x03 | 0x04, _) => return Response::status(0x6700),
        _ => return Response::status(0x6A86),
    };
    let Some((target, node)) = target.and_then(|t| image.node(t).map(|n| (t, n))) else {
        return Response::status(0x6A82);
    };
    state.record = 0;
    if node.is_directory() {
        state.directory = target;
        state.file = None;
        let mut at = target;
        loop {
            match image.node(at) {
                Some(n) if matches!(n.kind, Kind::Adf(_)) => {
                    state.application = Some(at);
                    break;
                }
                Some(n) if at != MF => at = n.parent,
                _ => break,
            }
        }
    } else {
        state.file = Some(target);
        state.directory = node.parent;
    }
    if c.p2 & 0x0C == 0x0C {
        return Response::status(0x9000);
    }
    Response::data(fcp(image, target))
}

/// By file identifier: MF, current application (7FFF), child, sibling directory, the directory itself, parent.
fn by_id(image: &ProfileImage, state: &ChannelState, fid: u16) -> Option<u16> {
    let here = state.directory;
    match fid {
        0x3F00 => return Some(MF),
        0x7FFF => return state.application,
        _ => {}
    }
    let adf = |i: &u16| {
        !image
            .node(*i)
            .is_some_and(|n| matches!(n.kind, Kind::Adf(_)))
    };
    let directory = |i: &u16| image.node(*i).is_some_and(|n| n.is_directory());
    let parent = image.node(here)?.parent;
    image
        .child(here, fid)
        .filter(adf)
        .or_else(|| {
            let own = image.node(here)?.fid == fid;
            own.then_some(here).filter(adf)
        })
        .or_else(|| image.child(parent, fid).filter(directory).filter(adf))
        .or_else(|| {
            (image.node(parent)?.fid == fid)
                .then_some(parent)
                .filter(adf)
        })
}

fn walk(image: &ProfileImage, state: &ChannelState, from: u16, path: &[u8]) -> Option<u16> {
    match path {
        [] => None,
        [0x7F, 0xFF, rest @ ..] => image.walk(state.application?, rest),
        [0x3F, 0x00, rest @ ..] => image.walk(MF, rest),
        path => image.walk(from, path),
    }
}

pub(super) fn status(image: &ProfileImage, state: &ChannelState, c: &Command<'_>) -> Response {
    match c.p2 {
        0x0C => Response::status(0x9000),
        0x00 => Response::data(fcp(image, state.directory)),
        0x01 => match state
            .application
            .and_then(|a| image.node(a))
            .map(|n| &n.kind)
        {
            Some(Kind::Adf(aid)) => {
                let mut data = alloc::vec![0x84, aid.len() as u8];
                data.extend_from_slice(aid);
                Response::data(data)
            }
            _ => Response::status(0x6A88),
        },
        _ => Response::status(0x6A86),
    }
}

/// The file a command means (by SFI or the current one), once its rule allows the access.
fn target(
    image: &ProfileImage,
    state: &mut ChannelState,
    sfi: Option<u8>,
    access: Access,
) -> Result<u16, Response> {
    if let Some(sfi) = sfi {
        let found = image
            .files
            .iter()
            .position(|f| f.parent == state.directory && f.sfi == sfi && !f.is_directory());
        let Some(found) = found.filter(|_| sfi != 0) else {
            return Err(Response::status(0x6A82));
        };
        state.file = Some(found as u16);
        state.record = 0;
    }
    let Some(file) = state.file else {
        return Err(Response::status(0x6986));
    };
    if !allowed(image, &state.verified, file, access) {
        return Err(Response::status(0x6982));
    }
    Ok(file)
}

fn commit(image: &mut ProfileImage, change: Change, data: Vec<u8>) -> Response {
    image.apply(&change);
    Response {
        data,
        sw: 0x9000,
        persist: Some(change),
    }
}

pub(super) fn binary(
    image: &mut ProfileImage,
    state: &mut ChannelState,
    c: &Command<'_>,
) -> Response {
    let (sfi, offset) = if c.p1 & 0x80 != 0 {
        (Some(c.p1 & 0x1F), usize::from(c.p2))
    } else {
        (None, usize::from(c.p1) << 8 | usize::from(c.p2))
    };
    let read = c.ins == 0xB0;
    let access = if read { Access::Read } else { Access::Update };
    let file = match target(image, state, sfi, access) {
        Ok(f) => image.content_of(f),
        Err(r) => return r,
    };
    let Some(node) = image.node(file).filter(|n| n.kind == Kind::Transparent) else {
        return Response::status(0x6981);
    };
    let len = node.data.len();
    if offset >= len {
        return Response::status(0x6B00);
    }
    if read {
        let rest = len - offset;
        let want = match c.ne {
            None | Some(256 | 65536) => rest.min(c.ne.unwrap_or(256)),
            Some(n) if n > rest => return Response::status(wrong_length(rest)),
            Some(n) => n,
        };
        return Response::data(node.data[offset..offset + want].to_vec());
    }
    if c.data.is_empty() || offset + c.data.len() > len {
        return Response::status(0x6700);
    }
    let change = Change::File {
        file,
        offset: offset as u32,
        data: c.data.to_vec(),
    };
    commit(image, change, Vec::new())
}

/// 6Cxx: so many bytes are there.
const fn wrong_length(available: usize) -> u16 {
    0x6C00 | (available & 0xFF) as u16
}

pub(super) fn record(
    image: &mut ProfileImage,
    state: &mut ChannelState,
    c: &Command<'_>,
) -> Response {
    let sfi = (c.p2 >> 3 != 0).then_some(c.p2 >> 3);
    let read = c.ins == 0xB2;
    let access = if read { Access::Read } else { Access::Update };
    let file = match target(image, state, sfi, access) {
        Ok(f) => image.content_of(f),
        Err(r) => return r,
    };
    let Some(node) = image.node(file).filter(|n| n.record_len > 0) else {
        return Response::status(0x6981);
    };
    let len = usize::from(node.record_len);
    let count = node.data.len() / len;
    if node.kind == Kind::Cyclic && !read {
        if c.p2 & 7 != 3 {
            return Response::status(0x6A86);
        }
        if c.data.len() != len {
            return Response::status(wrong_length(len));
        }
        let mut data = c.data.to_vec();
        data.extend_from_slice(&node.data[..len * (count - 1)]);
        state.record = 1;
        return commit(image, Change::Content { file, data }, Vec::new());
    }
    let current = usize::from(state.record);
    let number = match (c.p2 & 7, c.p1) {
        (4, 0) => current,
        (4, n) => usize::from(n),
        (2, _) if current < count => current + 1,
        (3, _) if current == 0 => count,
        (3, _) => current - 1,
        (2, _) => 0,
        _ => return Response::status(0x6A86),
    };
    if number == 0 || number > count {
        return Response::status(0x6A83);
    }
    if c.p2 & 7 != 4 {
        state.record = number as u8;
    }
    let start = (number - 1) * len;
    if read {
        return match c.ne {
            Some(n) if n != 256 && n != 65536 && n != len => Response::status(wrong_length(len)),
            _ => Response::data(node.data[start..start + len].to_vec()),
        };
    }
    if c.data.len() != len {
        return Response::status(0x6700);
    }
    let change = Change::File {
        file,
        offset: start as u32,
        data: c.data.to_vec(),
    };
    commit(image, change, Vec::new())
}

/// SEARCH RECORD, simple search forward.
pub(super) fn search(image: &ProfileImage, state: &mut ChannelState, c: &Command<'_>) -> Response {
    let sfi = (c.p2 >> 3 != 0).then_some(c.p2 >> 3);
    let file = match target(image, state, sfi, Access::Read) {
        Ok(f) => image.content_of(f),
        Err(r) => return r,
    };
    let Some(node) = image.node(file).filter(|n| n.record_len > 0) else {
        return Response::status(0x6981);
    };
    if c.p2 & 7 != 4 {
        return Response::status(0x6A86);
    }
    if c.data.is_empty() {
        return Response::status(0x6700);
    }
    let first = usize::from(c.p1.max(1)) - 1;
    let found: Vec<u8> = node
        .data
        .chunks_exact(usize::from(node.record_len))
        .enumerate()
        .skip(first)
        .filter(|(_, r)| r.windows(c.data.len()).any(|w| w == c.data))
        .map(|(i, _)| (i + 1) as u8)
        .collect();
    match found.first() {
        Some(n) => {
            state.record = *n;
            Response::data(found)
        }
        None => Response::status(0x6282),
    }
}

/// INCREASE on a cyclic file: the new first record is the old one plus the value.
pub(super) fn increase(
    image: &mut ProfileImage,
    state: &mut ChannelState,
    c: &Command<'_>,
) -> Response {
    let sfi = (c.p1 & 0x80 != 0).then_some(c.p1 & 0x1F);
    let file = match target(image, state, sfi, Access::Increase) {
        Ok(f) => image.content_of(f),
        Err(r) => return r,
    };
    let Some(node) = image.node(file).filter(|n| n.kind == Kind::Cyclic) else {
        return Response::status(0x6981);
    };
    let len = usize::from(node.record_len);
    if c.data.is_empty() || c.data.len() > len {
        return Response::status(0x6700);
    }
    let mut sum = node.data[..len].to_vec();
    let mut carry = 0u16;
    let mut add = c.data.iter().rev();
    for b in sum.iter_mut().rev() {
        let n = u16::from(*b) + u16::from(add.next().copied().unwrap_or(0)) + carry;
        *b = n as u8;
        carry = n >> 8;
    }
    if carry != 0 {
        return Response::status(0x9850);
    }
    let mut data = sum.clone();
    data.extend_from_slice(&node.data[..node.data.len() - len]);
    sum.extend_from_slice(&alloc::vec![0; len - c.data.len()]);
    sum.extend_from_slice(c.data);
    state.record = 1;
    commit(image, Change::Content { file, data }, sum)
}
