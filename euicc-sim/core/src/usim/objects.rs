//! RETRIEVE DATA and SET DATA: the data objects of BER-TLV files, in blocks.
//! ETSI TS 102 221 §8.2.2.4, §11.3.
//!
//! An object is stored when its last block has arrived; what was there before stays until then.

use super::{ChannelState, Outcome, Response, content_node, target};
use crate::apdu::{Command, sw};
use crate::fs::{Access, Change, Kind, Node, ProfileImage};
use crate::pin::Verified;
use aid_rsp::tlv::{Reader, Tlv, Writer, parse_header};
use alloc::vec::Vec;

/// More data is available.
const MORE_TO_READ: u16 = 0x62F1;
/// More data is expected.
const MORE_TO_WRITE: u16 = 0x63F1;
/// Tag of the list of all tags.
const TAG_LIST: [u8; 1] = [0x5C];

/// An object between two blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Transfer {
    /// Being read: the object, and where the last block began and ended.
    Out(u16, Vec<u8>, usize, usize),
    /// Being written: the object so far, and its length when it is complete.
    In(u16, Vec<u8>, usize),
}

/// The BER-TLV file that P1 names by SFI, or the current one.
fn locate<'i>(
    image: &'i ProfileImage,
    state: &mut ChannelState,
    verified: &Verified,
    c: &Command<'_>,
    access: Access,
) -> Result<(u16, &'i Node), u16> {
    let sfi = match c.p1 {
        0 => None,
        p1 @ 1..=30 => Some(p1),
        _ => return Err(sw::WRONG_P1P2),
    };
    let file = target(image, state, verified, sfi, access)?;
    let (file, node) = content_node(image, file)?;
    if node.kind != Kind::BerTlv {
        return Err(sw::INCOMPATIBLE);
    }
    Ok((file, node))
}

/// The objects of a file. What a package has filled in behind them is padding.
fn objects(content: &[u8]) -> impl Iterator<Item = Tlv<'_>> {
    let mut reader = Reader::new(content);
    core::iter::from_fn(move || match reader.read() {
        Ok(Some(tlv)) if !matches!(tlv.raw.first(), Some(0x00 | 0xFF)) => Some(tlv),
        _ => None,
    })
}

/// The bytes of an object's tag.
fn tag_of<'a>(tlv: &Tlv<'a>) -> &'a [u8] {
    let len = (1..=3).find(|n| tlv.tag < 1 << (8 * n)).unwrap_or(3);
    &tlv.raw[..len.min(tlv.raw.len())]
}

pub(super) fn retrieve(
    image: &ProfileImage,
    state: &mut ChannelState,
    verified: &Verified,
    c: &Command<'_>,
    transfer: Option<Transfer>,
) -> Outcome {
    let (file, node) = locate(image, state, verified, c, Access::Read)?;
    let block = c.ne.unwrap_or(256);
    let (object, start) = match (c.p2, transfer) {
        (0x80, _) => (object(&node.data.to_vec(), c.data)?, 0),
        (0x00, Some(Transfer::Out(of, object, _, end))) if of == file => (object, end),
        (0x40, Some(Transfer::Out(of, object, begin, _))) if of == file => (object, begin),
        (0x00 | 0x40, _) => return Err(sw::CONDITIONS),
        _ => return Err(sw::WRONG_P1P2),
    };
    let end = object.len().min(start + block);
    let data = object[start..end].to_vec();
    let more = end < object.len();
    state.transfer = Some(Transfer::Out(file, object, start, end));
    Ok(Response {
        sw: if more { MORE_TO_READ } else { sw::OK },
        ..Response::data(data)
    })
}

/// The object with this tag, or the list of tags.
fn object(content: &[u8], tag: &[u8]) -> Result<Vec<u8>, u16> {
    if tag.is_empty() || tag.len() > 3 {
        return Err(sw::WRONG_LENGTH);
    }
    if tag == TAG_LIST {
        let tags: Vec<u8> = objects(content).flat_map(|t| tag_of(&t).to_vec()).collect();
        let mut w = Writer::new();
        w.primitive(0x5C, &tags);
        return Ok(w.into_vec());
    }
    let found = objects(content).find(|t| tag_of(t) == tag);
    found.map(|t| t.raw.to_vec()).ok_or(sw::NOT_FOUND)
}

pub(super) fn set(
    image: &mut ProfileImage,
    state: &mut ChannelState,
    verified: &Verified,
    c: &Command<'_>,
    transfer: Option<Transfer>,
) -> Outcome {
    let (file, node) = locate(image, state, verified, c, Access::Update)?;
    let (object, wanted) = match (c.p2, transfer) {
        (_, _) if c.data.is_empty() => return Err(sw::WRONG_LENGTH),
        (0x80, _) => match begin(c.data)? {
            Some(wanted) => (c.data.to_vec(), wanted),
            // A tag alone deletes the object.
            None => return remove(image, file, c.data),
        },
        (0x00, Some(Transfer::In(of, mut object, wanted))) if of == file => {
            object.extend_from_slice(c.data);
            (object, wanted)
        }
        (0x00, _) => return Err(sw::CONDITIONS),
        _ => return Err(sw::WRONG_P1P2),
    };
    if object.len() > wanted {
        return Err(sw::WRONG_LENGTH);
    }
    let old = node.data.to_vec();
    let tag = parse_header(&object)
        .ok()
        .flatten()
        .ok_or(sw::WRONG_DATA)?
        .tag;
    let mut content = without(&old, tag);
    if content.len().saturating_add(wanted) > node.reserved as usize {
        return Err(sw::NO_MEMORY);
    }
    if object.len() < wanted {
        state.transfer = Some(Transfer::In(file, object, wanted));
        return Ok(Response::status(MORE_TO_WRITE));
    }
    content.extend_from_slice(&object);
    let change = Change::Content {
        file,
        data: content,
    };
    Ok(Response::changed(image, change, Vec::new()))
}

/// The length of the object that begins so; `None` when there is only a tag.
fn begin(data: &[u8]) -> Result<Option<usize>, u16> {
    if matches!(data, [0x00 | 0xFF | 0x5C, ..]) {
        return Err(sw::WRONG_DATA);
    }
    let whole_tag = match data {
        [first] => first & 0x1F != 0x1F,
        [first, last] => first & 0x1F == 0x1F && last & 0x80 == 0,
        [first, middle, last] => first & 0x1F == 0x1F && middle & 0x80 != 0 && last & 0x80 == 0,
        _ => false,
    };
    if whole_tag {
        return Ok(None);
    }
    let header = parse_header(data).map_err(|_| sw::WRONG_DATA)?;
    let header = header.ok_or(sw::WRONG_DATA)?;
    Ok(Some(header.header_len.saturating_add(header.value_len)))
}

/// The content without the object with this tag.
fn without(content: &[u8], tag: aid_rsp::tlv::Tag) -> Vec<u8> {
    objects(content)
        .filter(|t| t.tag != tag)
        .flat_map(|t| t.raw.to_vec())
        .collect()
}

fn remove(image: &mut ProfileImage, file: u16, tag: &[u8]) -> Outcome {
    let content = image.node(file).ok_or(sw::NO_EF)?.data.to_vec();
    let found = objects(&content).find(|t| tag_of(t) == tag);
    let tag = found.ok_or(sw::NOT_FOUND)?.tag;
    let change = Change::Content {
        file,
        data: without(&content, tag),
    };
    Ok(Response::changed(image, change, Vec::new()))
}
