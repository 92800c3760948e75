//! READ RECORD, UPDATE RECORD, SEARCH RECORD, INCREASE.
//! ETSI TS 102 221 §11.1.5 to §11.1.8.

use super::{ChannelState, Outcome, Response, content_node, target, wrong_length};
use crate::apdu::{Command, sw};
use crate::fs::{Access, Change, Kind, Node, ProfileImage};
use crate::pin::Verified;
use alloc::vec::Vec;

/// The record file that P2 names.
fn locate<'i>(
    image: &'i ProfileImage,
    state: &mut ChannelState,
    verified: &Verified,
    c: &Command<'_>,
    access: Access,
) -> Result<(u16, &'i Node), u16> {
    let sfi = match c.p2 >> 3 {
        0 => None,
        31 => return Err(sw::WRONG_P1P2),
        sfi => Some(sfi),
    };
    let (file, node) = content_node(image, target(image, state, verified, sfi, access)?)?;
    match node.kind {
        Kind::Linear | Kind::Cyclic => Ok((file, node)),
        _ => Err(sw::INCOMPATIBLE),
    }
}

/// The record that P1 and the mode in P2 name; next and previous move the record pointer.
fn record_number(node: &Node, state: &mut ChannelState, c: &Command<'_>) -> Result<usize, u16> {
    let (count, current) = (node.records(), usize::from(state.record));
    let cyclic = node.kind == Kind::Cyclic;
    let number = match c.p2 & 7 {
        4 if c.p1 == 0 => current,
        4 => usize::from(c.p1),
        _ if c.p1 != 0 => return Err(sw::WRONG_P1P2),
        2 if current < count => current + 1,
        2 if cyclic => 1,
        3 if current == 0 || (current == 1 && cyclic) => count,
        3 => current - 1,
        2 => 0,
        _ => return Err(sw::WRONG_P1P2),
    };
    if number == 0 || number > count {
        return Err(sw::RECORD_NOT_FOUND);
    }
    if c.p2 & 7 != 4 {
        state.record = number as u8;
    }
    Ok(number)
}

pub(super) fn read(
    image: &ProfileImage,
    state: &mut ChannelState,
    verified: &Verified,
    c: &Command<'_>,
) -> Outcome {
    let (_, node) = locate(image, state, verified, c, Access::Read)?;
    let len = usize::from(node.record_len);
    if !c.data.is_empty() {
        return Err(sw::WRONG_LENGTH);
    }
    // The pointer stays where it is when the length is wrong.
    if c.ne.is_some_and(|n| n < 256 && n != len) {
        return Err(wrong_length(len));
    }
    let number = record_number(node, state, c)?;
    let record = node.record(number).ok_or(sw::RECORD_NOT_FOUND)?;
    Ok(Response::data(record))
}

pub(super) fn update(
    image: &mut ProfileImage,
    state: &mut ChannelState,
    verified: &Verified,
    c: &Command<'_>,
) -> Outcome {
    let (file, node) = locate(image, state, verified, c, Access::Update)?;
    if c.data.len() != usize::from(node.record_len) {
        return Err(sw::WRONG_LENGTH);
    }
    if node.kind == Kind::Cyclic {
        // Only PREVIOUS: the oldest record gets the data and becomes the first.
        if (c.p2 & 7, c.p1) != (3, 0) {
            return Err(sw::WRONG_P1P2);
        }
        state.record = 1;
        let record = c.data.to_vec();
        return Ok(Response::changed(
            image,
            Change::Cycle { file, record },
            Vec::new(),
        ));
    }
    let number = record_number(node, state, c)?;
    let change = Change::File {
        file,
        offset: ((number - 1) * c.data.len()) as u32,
        data: c.data.to_vec(),
    };
    Ok(Response::changed(image, change, Vec::new()))
}

/// What SEARCH RECORD looks for and where.
struct Pattern<'a> {
    text: &'a [u8],
    /// Position in each record, or behind the first occurrence of this byte.
    start: Result<usize, u8>,
}

impl Pattern<'_> {
    fn is_in(&self, record: &[u8]) -> bool {
        let start = match self.start {
            Ok(offset) => offset,
            Err(byte) => match record.iter().position(|b| *b == byte) {
                Some(at) => at + 1,
                None => return false,
            },
        };
        let rest = record.get(start..).unwrap_or(&[]);
        rest.windows(self.text.len()).any(|w| w == self.text)
    }
}

/// Simple search forward (P2 mode 4) and backward (5), enhanced search (6).
pub(super) fn search(
    image: &ProfileImage,
    state: &mut ChannelState,
    verified: &Verified,
    c: &Command<'_>,
) -> Outcome {
    let (_, node) = locate(image, state, verified, c, Access::Read)?;
    let (count, current) = (node.records(), usize::from(state.record));
    let named = |p1: u8| match p1 {
        0 if current == 0 => Err(sw::RECORD_NOT_FOUND),
        0 => Ok(current),
        n if usize::from(n) <= count => Ok(usize::from(n)),
        _ => Err(sw::RECORD_NOT_FOUND),
    };
    let (pattern, first, backward) = match (c.p2 & 7, c.data) {
        (4 | 5, []) => return Err(sw::WRONG_LENGTH),
        (mode @ (4 | 5), text) => {
            let pattern = Pattern { text, start: Ok(0) };
            (pattern, named(c.p1)?, mode == 5)
        }
        (6, [mode, at, text @ ..]) if !text.is_empty() => {
            let start = if mode & 0x08 != 0 {
                Err(*at)
            } else {
                Ok(usize::from(*at))
            };
            let (first, backward) = match mode & 0xF7 {
                0x04 => (named(c.p1)?, false),
                0x05 => (named(c.p1)?, true),
                // From the next or previous record; without a current one from the first or last.
                0x06 => (current + 1, false),
                0x07 if current == 0 => (count, true),
                0x07 => (current - 1, true),
                _ => return Err(sw::WRONG_DATA),
            };
            (Pattern { text, start }, first, backward)
        }
        (6, _) => return Err(sw::WRONG_LENGTH),
        _ => return Err(sw::WRONG_P1P2),
    };
    let hit = |n: &usize| node.record(*n).is_some_and(|r| pattern.is_in(&r));
    let found: Vec<u8> = if backward {
        (1..=first).rev().filter(hit).map(|n| n as u8).collect()
    } else {
        (first.max(1)..=count)
            .filter(hit)
            .map(|n| n as u8)
            .collect()
    };
    let Some(first) = found.first() else {
        return Err(sw::NOTHING_FOUND);
    };
    state.record = *first;
    Ok(Response::data(found))
}

/// The new first record of a cyclic file is the old one plus the value.
pub(super) fn increase(
    image: &mut ProfileImage,
    state: &mut ChannelState,
    verified: &Verified,
    c: &Command<'_>,
) -> Outcome {
    let sfi = match c.p1 {
        0 => None,
        p1 @ 0x81..=0x9E => Some(p1 & 0x1F),
        _ => return Err(sw::WRONG_P1P2),
    };
    if c.p2 != 0 {
        return Err(sw::WRONG_P1P2);
    }
    let file = target(image, state, verified, sfi, Access::Increase)?;
    let (file, node) = content_node(image, file)?;
    if node.kind != Kind::Cyclic {
        return Err(sw::INCOMPATIBLE);
    }
    if c.data.is_empty() || c.data.len() > usize::from(node.record_len) {
        return Err(sw::WRONG_LENGTH);
    }
    let mut sum = node.record(1).ok_or(sw::RECORD_NOT_FOUND)?;
    let mut carry = 0u16;
    let mut add = c.data.iter().rev();
    for b in sum.iter_mut().rev() {
        let n = u16::from(*b) + u16::from(add.next().copied().unwrap_or(0)) + carry;
        *b = n as u8;
        carry = n >> 8;
    }
    if carry != 0 {
        return Err(sw::MAXIMUM);
    }
    state.record = 1;
    let mut answer = sum.clone();
    answer.extend_from_slice(c.data);
    let change = Change::Cycle { file, record: sum };
    Ok(Response::changed(image, change, answer))
}
