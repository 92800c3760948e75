//! The files of an installed profile: [`ProfileImage`], its tree of [`Node`]s, FCP, access rules.
//! ETSI TS 102 221 §8, §9, §11.1.1. Called by the installer and by [`crate::usim::handle`].
//!
//! # Contract with the card
//! [`crate::install::ProfileInstaller`] makes an image from profile elements; [`ProfileImage::to_bytes`]
//! is what NVM stores. [`crate::usim::handle`] executes one UICC-level command on the image in memory and
//! returns the [`Change`], when there is one: write [`Change::to_bytes`] to NVM atomically *before* the
//! answer leaves the card, and load the image again when that fails. After a power cut:
//! [`ProfileImage::from_bytes`], then [`ProfileImage::apply`] for every change in order.

mod access;
mod fcp;

use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

pub(crate) use access::{Access, allowed};
pub(crate) use fcp::fcp;

/// Index of the master file in an image.
pub const MF: u16 = 0;

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// MF or DF.
    Df,
    /// An application's directory, with its AID.
    Adf(Vec<u8>),
    /// A sequence of bytes.
    Transparent,
    /// Records, addressed by number.
    Linear,
    /// Records, the newest first.
    Cyclic,
    /// BER-TLV data objects.
    BerTlv,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// File identifier (of an ADF: the temporary one of the package).
    pub fid: u16,
    /// Index of the directory it is in (the MF is its own).
    pub parent: u16,
    /// What it is.
    pub kind: Kind,
    /// Bytes of a record, 0 without records.
    pub record_len: u16,
    /// Short file identifier, 0 for none.
    pub sfi: u8,
    /// Access rule: file identifier of EF.ARR and record number; record 0: no rule.
    pub rule: (u16, u8),
    /// Life cycle status, 05 activated.
    pub lcsi: u8,
    /// PIN references in the status template of a directory.
    pub pin_references: Vec<u8>,
    /// Index of the file whose content this one shares.
    pub link: Option<u16>,
    /// Content.
    pub data: Vec<u8>,
}

impl Node {
    /// Is it a directory?
    #[must_use]
    pub const fn is_directory(&self) -> bool {
        matches!(self.kind, Kind::Df | Kind::Adf(_))
    }
}

/// A small change of an image, to be written to NVM atomically.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Bytes of a file.
    File {
        /// Index of the file.
        file: u16,
        /// Position in its content.
        offset: u32,
        /// New bytes.
        data: Vec<u8>,
    },
    /// The whole content of a file (BER-TLV, cyclic).
    Content {
        /// Index of the file.
        file: u16,
        /// New content.
        data: Vec<u8>,
    },
    /// A PIN: value, state, counters.
    Pin(u16, crate::pin::Pin),
    /// A PUK's counter and, after UNBLOCK, its PIN.
    Unblock {
        /// Index of the PUK.
        puk: u16,
        /// Attempts left.
        left: u8,
        /// The PIN it freed.
        pin: Option<(u16, crate::pin::Pin)>,
    },
    /// A sequence number of an authentication key.
    Sequence {
        /// Index of the key.
        key: u16,
        /// IND.
        index: u8,
        /// SEQ.
        seq: u64,
    },
}

impl Change {
    /// Compact bytes for NVM.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_allocvec(self).unwrap_or_default()
    }

    /// The change back.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }
}

/// An installed profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileImage {
    /// ICCID in the order of EF.ICCID.
    pub iccid: [u8; 10],
    /// profileType of the package.
    pub profile_type: alloc::string::String,
    /// Files; the first is the MF.
    pub files: Vec<Node>,
    /// PINs.
    pub pins: Vec<crate::pin::Pin>,
    /// PUKs.
    pub puks: Vec<crate::pin::Puk>,
    /// Authentication keys of applications.
    pub keys: Vec<crate::auth::Key>,
}

impl ProfileImage {
    /// A new installation.
    #[must_use]
    pub fn installer() -> crate::install::ProfileInstaller {
        crate::install::ProfileInstaller::new()
    }

    /// Compact bytes for NVM (empty only when memory is exhausted).
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_allocvec(self).unwrap_or_default()
    }

    /// The image back; `None` when the bytes are not an image.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let image: Self = postcard::from_bytes(bytes).ok()?;
        let n = image.files.len();
        let sound = n > 0
            && image
                .files
                .iter()
                .all(|f| usize::from(f.parent) < n && f.link.is_none_or(|l| usize::from(l) < n));
        sound.then_some(image)
    }

    /// Applies a change (again). A change that doesn't fit does nothing.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::File { file, offset, data } => {
                let at = *offset as usize;
                if let Some(f) = self.files.get_mut(usize::from(*file))
                    && let Some(slot) = f.data.get_mut(at..at.saturating_add(data.len()))
                {
                    slot.copy_from_slice(data);
                }
            }
            Change::Content { file, data } => {
                if let Some(f) = self.files.get_mut(usize::from(*file)) {
                    f.data.clone_from(data);
                }
            }
            Change::Pin(index, pin) => {
                if let Some(p) = self.pins.get_mut(usize::from(*index)) {
                    p.clone_from(pin);
                }
            }
            Change::Unblock { puk, left, pin } => {
                if let Some(p) = self.puks.get_mut(usize::from(*puk)) {
                    p.left = *left;
                }
                if let Some((index, pin)) = pin
                    && let Some(p) = self.pins.get_mut(usize::from(*index))
                {
                    p.clone_from(pin);
                }
            }
            Change::Sequence { key, index, seq } => {
                if let Some(k) = self.keys.get_mut(usize::from(*key))
                    && let Some(s) = k.seq.get_mut(usize::from(*index))
                {
                    *s = *seq;
                }
            }
        }
    }

    /// The file at an index; the MF when there is none.
    pub(crate) fn node(&self, index: u16) -> Option<&Node> {
        self.files.get(usize::from(index))
    }

    /// A child of a directory.
    #[must_use]
    pub fn child(&self, directory: u16, fid: u16) -> Option<u16> {
        self.files
            .iter()
            .enumerate()
            .skip(1)
            .find(|(_, f)| f.parent == directory && f.fid == fid)
            .map(|(i, _)| i as u16)
    }

    /// The file at a path of file identifiers from a directory.
    #[must_use]
    pub fn walk(&self, mut from: u16, path: &[u8]) -> Option<u16> {
        if !path.len().is_multiple_of(2) {
            return None;
        }
        for fid in path.chunks_exact(2) {
            from = self.child(from, u16::from_be_bytes([fid[0], fid[1]]))?;
        }
        Some(from)
    }

    /// The application whose AID starts with these bytes.
    #[must_use]
    pub fn application(&self, aid: &[u8]) -> Option<u16> {
        self.files
            .iter()
            .position(|f| matches!(&f.kind, Kind::Adf(a) if a.starts_with(aid)))
            .map(|i| i as u16)
    }

    /// The file that holds the content: the target of a link.
    pub(crate) fn content_of(&self, file: u16) -> u16 {
        self.node(file).and_then(|n| n.link).unwrap_or(file)
    }

    /// The IMSI in the first USIM, in digits.
    #[must_use]
    pub fn imsi(&self) -> Option<alloc::string::String> {
        let adf = self.application(&[0xA0, 0, 0, 0, 0x87, 0x10, 0x02])?;
        let data = &self.node(self.child(adf, 0x6F07)?)?.data;
        let len = usize::from(*data.first()?);
        let digits: alloc::string::String = data
            .get(1..=len)?
            .iter()
            .flat_map(|b| [b & 15, b >> 4])
            .skip(1)
            .filter(|d| *d < 10)
            .map(|d| char::from(b'0' + d))
            .collect();
        Some(digits)
    }
}
