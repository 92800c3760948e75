//! Answers of cards and servers, read field by field: what is clear is kept, what is not is named.
//!
//! Cards in the field disagree about order, nesting and encodings, and a name that is no UTF-8 must not hide a profile.
//! Decisions stand on few fields (ICCID, state, Profile Policy Rules); whoever decides asks [`Unread::names`] for them.

mod info;
mod notification;
mod outcome;
mod profile;

pub use info::{ChipInfo, EuiccInfo};
pub use notification::ListedNotification;
pub use profile::ListedProfile;

pub(crate) use info::{
    Addresses, POLICY_RULES, RSP_CAPABILITIES, UICC_CAPABILITIES, addresses, bit_names, euicc_info,
};
pub(crate) use notification::{listed, pending, pending_sequence};
pub(crate) use outcome::{Outcome, Refusal, installation, refusal};
pub(crate) use profile::{metadata, profiles};

use aid_rsp::tlv::{Tag, Tlv, TlvError};
use std::fmt;

/// Deepest nesting of lists that is followed: the CHOICE, and a SEQUENCE that some cards put around their entries.
const MAX_NESTING: usize = 3;
/// Entries of a list that are read: more than any card holds.
const MAX_ENTRIES: usize = 1024;

/// A field that could not be read, by its name in RSPDefinitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// Name, e.g. `profileName`.
    pub field: &'static str,
    /// Why it cannot be read, with the name of the field.
    pub reason: String,
}

impl Unread {
    pub(crate) fn new(field: &'static str, reason: impl fmt::Display) -> Self {
        let reason = reason.to_string();
        Self { field, reason }
    }

    /// Whether one of these is among the fields that could not be read.
    #[must_use]
    pub fn names(unread: &[Self], fields: &[&str]) -> bool {
        unread.iter().any(|u| fields.contains(&u.field))
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.reason)
    }
}

/// Text as it is; bytes that are no UTF-8 become U+FFFD, and are named.
fn text(tlv: &Tlv<'_>, field: &'static str, unread: &mut Vec<Unread>) -> String {
    let text = String::from_utf8_lossy(tlv.value);
    if matches!(text, std::borrow::Cow::Owned(_)) {
        unread.push(Unread::new(field, "not UTF-8"));
    }
    text.into_owned()
}

/// A value, or its field among those that could not be read.
fn keep<T>(read: Result<T, TlvError>, field: &'static str, unread: &mut Vec<Unread>) -> Option<T> {
    read.map_err(|e| unread.push(Unread::new(field, e))).ok()
}

/// An ICCID of ten bytes; the filler that some cards leave out at its end is added.
fn iccid(tlv: &Tlv<'_>) -> Result<[u8; 10], TlvError> {
    let mut iccid = [0xFF; 10];
    let value = tlv.bytes(9, 10)?;
    iccid[..value.len()].copy_from_slice(value);
    Ok(iccid)
}

/// A BIT STRING; also one whose octet that counts the unused bits is missing, where nothing else can be meant.
fn bits(tlv: &Tlv<'_>) -> Result<u32, TlvError> {
    match tlv.value {
        [flags] if *flags != 0 && flags & 0x07 == 0 => Ok(u32::from(*flags) << 24),
        _ => tlv.bits(),
    }
}

/// The entries with one of these tags in a list, however deep they are wrapped; the code instead where the card refuses.
fn entries<'a>(answer: &Tlv<'a>, tags: &[Tag]) -> Result<Result<Vec<Tlv<'a>>, u64>, TlvError> {
    let mut found = Vec::new();
    let mut first = answer.children();
    if let Some(tlv) = first.read()?
        && matches!(tlv.tag, 0x81 | 0x02 | 0x80)
        && !tags.contains(&tlv.tag)
    {
        return Ok(Err(tlv.uint()?));
    }
    collect(answer, tags, 0, &mut found)?;
    Ok(Ok(found))
}

fn collect<'a>(
    list: &Tlv<'a>,
    tags: &[Tag],
    depth: usize,
    found: &mut Vec<Tlv<'a>>,
) -> Result<(), TlvError> {
    for tlv in list.children() {
        let tlv = tlv?;
        if tags.contains(&tlv.tag) && !(tlv.tag == 0x30 && wraps(&tlv, tags)) {
            if found.len() == MAX_ENTRIES {
                return Err(TlvError::Value {
                    tag: list.tag,
                    reason: "more than 1024 entries",
                });
            }
            found.push(tlv);
        } else if depth < MAX_NESTING && matches!(tlv.tag, 0xA0 | 0x30) {
            collect(&tlv, tags, depth + 1, found)?;
        }
    }
    Ok(())
}

/// Whether a SEQUENCE holds entries, and is none itself.
fn wraps(sequence: &Tlv<'_>, tags: &[Tag]) -> bool {
    let first = sequence.children().read().ok().flatten();
    first.is_some_and(|tlv| tags.contains(&tlv.tag))
}
