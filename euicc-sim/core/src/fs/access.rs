//! Access rules: EF.ARR records against the PINs that were verified.
//! ETSI TS 102 221 §9.2, ISO/IEC 7816-4 §9.3.3 (expanded format). Called before every file command.

use super::{MF, ProfileImage, satisfied};
use crate::pin::Verified;
use aid_rsp::tlv::{Reader, Tlv};

/// What a command wants to do with an EF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// READ, SEARCH, RETRIEVE DATA.
    Read,
    /// UPDATE, SET DATA.
    Update,
    /// INCREASE.
    Increase,
    /// DEACTIVATE FILE.
    Deactivate,
    /// ACTIVATE FILE.
    Activate,
}

impl Access {
    /// Bit of the access mode byte (ISO/IEC 7816-4 table 32); INCREASE has none.
    const fn bit(self) -> u8 {
        match self {
            Self::Read => 0x01,
            Self::Update => 0x02,
            Self::Deactivate => 0x08,
            Self::Activate => 0x10,
            Self::Increase => 0,
        }
    }

    /// Does an access mode data object name this access? 80 is a byte of bits, 84 an instruction.
    fn is_named_by(self, tlv: &Tlv<'_>) -> bool {
        match (tlv.tag, tlv.value) {
            // With bit 8 the upper bits mean something else.
            (0x80, [mode]) if mode & 0x80 != 0 => mode & self.bit() & 0x07 != 0,
            (0x80, [mode]) => mode & self.bit() != 0,
            (0x84, [instruction]) => self == Self::Increase && *instruction == 0x32,
            _ => false,
        }
    }
}

/// Nesting of OR and AND templates that is looked at.
const MAX_DEPTH: u8 = 4;

/// Does the rule of the file allow it? A file without a rule allows nothing but reading.
pub(crate) fn allowed(
    image: &ProfileImage,
    verified: &Verified,
    file: u16,
    access: Access,
) -> bool {
    let Some(record) = rule(image, file) else {
        return access == Access::Read;
    };
    // Conditions belong to the access mode before them; one that holds is enough.
    let mut named = false;
    for tlv in Reader::new(&record) {
        // Behind the rules comes padding.
        let Ok(tlv) = tlv else { break };
        if matches!(tlv.tag, 0x80..=0x8F) {
            named = access.is_named_by(&tlv);
        } else if named && condition(image, verified, file, &tlv, 0) {
            return true;
        }
    }
    false
}

/// The record of EF.ARR that protects a file; `None` when there is no such rule. EF.ARR is in the
/// directory of the file, or in one above it (ETSI TS 102 221 §9.2.7).
fn rule(image: &ProfileImage, file: u16) -> Option<alloc::vec::Vec<u8>> {
    let node = image.node(file)?;
    let (arr, record) = node.rule;
    if record == 0 {
        return None;
    }
    let mut directory = node.parent;
    let arr = loop {
        if let Some(found) = image.child(directory, arr) {
            break image.node(image.content_of(found))?;
        }
        if directory == MF {
            // A rule that leads nowhere allows nothing.
            return Some(alloc::vec::Vec::new());
        }
        directory = image.node(directory).map_or(MF, |n| n.parent);
    };
    Some(arr.record(usize::from(record)).unwrap_or_default())
}

fn condition(
    image: &ProfileImage,
    verified: &Verified,
    file: u16,
    tlv: &Tlv<'_>,
    depth: u8,
) -> bool {
    let mut children = tlv.children().flatten();
    let holds = |t: Tlv<'_>| condition(image, verified, file, &t, depth + 1);
    match tlv.tag {
        // Always; 97 is never.
        0x90 => true,
        // Security condition byte: 00 is always, what names a security environment isn't met.
        0x9E => tlv.value == [0],
        0xA4 => children
            .find(|t| t.tag == 0x83)
            .and_then(|t| t.value.first().copied())
            .is_some_and(|key| satisfied(image, verified, file, key)),
        0xA0 if depth < MAX_DEPTH => children.any(holds),
        0xAF if depth < MAX_DEPTH => {
            let mut any = false;
            children.all(|t| {
                any = true;
                holds(t)
            }) && any
        }
        0xA7 if depth < MAX_DEPTH => !children.any(holds),
        _ => false,
    }
}
