//! Access rules: EF.ARR records against the PINs that were verified.
//! ETSI TS 102 221 §9.2, ISO/IEC 7816-4 expanded format. Called before every file command.

use super::{MF, ProfileImage};
use crate::pin;
use aid_rsp::tlv::{Reader, Tlv};

/// What a command wants to do with an EF (bits of the access mode byte).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// READ, SEARCH.
    Read = 0x01,
    /// UPDATE.
    Update = 0x02,
    /// INCREASE (instruction 32).
    Increase = 0x32,
}

/// Does the rule of the file allow it? A file without a rule allows nothing but reading.
pub(crate) fn allowed(
    image: &ProfileImage,
    verified: &[(u16, u8)],
    file: u16,
    access: Access,
) -> bool {
    let Some(node) = image.node(file) else {
        return false;
    };
    let (arr, record) = node.rule;
    let mut directory = node.parent;
    let rules = loop {
        if let Some(found) = image.child(directory, arr) {
            break image.node(image.content_of(found));
        }
        if directory == MF {
            break None;
        }
        directory = image.node(directory).map_or(MF, |n| n.parent);
    };
    let Some(rules) = rules else {
        return access == Access::Read;
    };
    let len = usize::from(rules.record_len);
    let start = usize::from(record).saturating_sub(1) * len;
    let Some(bytes) = rules.data.get(start..start + len).filter(|_| record > 0) else {
        return false;
    };
    let mut mode = false;
    for tlv in Reader::new(bytes) {
        let Ok(tlv) = tlv else { break };
        match tlv.tag {
            0x80 => {
                mode = access != Access::Increase
                    && tlv.value.first().is_some_and(|b| b & access as u8 != 0);
            }
            0x84 => mode = access == Access::Increase && tlv.value == [0x32],
            _ if mode => return condition(image, verified, file, &tlv, 0),
            _ => {}
        }
    }
    false
}

fn condition(
    image: &ProfileImage,
    verified: &[(u16, u8)],
    file: u16,
    tlv: &Tlv<'_>,
    depth: u8,
) -> bool {
    match tlv.tag {
        0x90 => true,
        0xA4 => tlv
            .children()
            .flatten()
            .find(|t| t.tag == 0x83)
            .and_then(|t| t.value.first().copied())
            .is_some_and(|key| pin::satisfied(image, verified, file, key)),
        0xA0 if depth < 4 => tlv
            .children()
            .flatten()
            .any(|t| condition(image, verified, file, &t, depth + 1)),
        0xAF if depth < 4 => tlv
            .children()
            .flatten()
            .all(|t| condition(image, verified, file, &t, depth + 1)),
        _ => false,
    }
}
