//! The files of an installed profile: [`ProfileImage`], its tree of [`Node`]s, FCP, access rules.
//! ETSI TS 102 221 §8, §9, §11.1.1.
//!
//! # Contract with the card
//! [`crate::install::ProfileInstaller`] makes an image from profile elements; [`ProfileImage::to_bytes`]
//! is what NVM stores. [`crate::usim::handle`] executes one UICC-level command on the image in memory and
//! returns the [`Change`], when there is one: write [`Change::to_bytes`] to NVM atomically *before* the
//! answer leaves the card, and load the image again when that fails. After a power cut:
//! [`ProfileImage::from_bytes`], then [`ProfileImage::apply`] for every change in order.

mod access;
mod change;
mod content;
mod fcp;
mod pins;

use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

pub(crate) use access::{Access, allowed};
pub use change::Change;
pub use content::Content;
pub(crate) use fcp::fcp;
pub(crate) use pins::{find_pin, satisfied};

/// Index of the master file in an image.
pub const MF: u16 = 0;

/// Largest content of one EF, in bytes.
pub(crate) const MAX_FILE: usize = 32_767;

/// Version of the image in NVM; the first byte of [`ProfileImage::to_bytes`].
const VERSION: u8 = 2;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// MF or DF.
    Df,
    /// An application's directory; its AID is in [`ProfileImage::applications`].
    Adf,
    /// A sequence of bytes.
    Transparent,
    /// Records, addressed by number.
    Linear,
    /// Records, the newest first.
    Cyclic,
    /// BER-TLV data objects, one after another.
    BerTlv,
}

/// LCSI of a file in operational state, activated (ETSI TS 102 221 §11.1.1.4.9).
pub const ACTIVATED: u8 = 0x05;
/// LCSI of a file in operational state, deactivated.
pub const DEACTIVATED: u8 = 0x04;

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// File identifier (of an ADF: the temporary one of the package).
    pub fid: u16,
    /// Index of the directory it is in (the MF is its own).
    pub parent: u16,
    /// What it is.
    pub kind: Kind,
    /// First byte of its file descriptor: type, structure, shareable.
    pub descriptor: u8,
    /// Bytes of a record, 0 without records.
    pub record_len: u8,
    /// Short file identifier, 0 for none.
    pub sfi: u8,
    /// Access rule: file identifier of EF.ARR and record number; record 0: no rule.
    pub rule: (u16, u8),
    /// Life cycle status, 05 activated.
    pub lcsi: u8,
    /// Special file information: bit 8 high update activity, bit 7 usable when deactivated.
    pub special: u8,
    /// Index of the file whose content (or children) this one shares.
    pub link: Option<u16>,
    /// Bytes reserved for a BER-TLV file.
    pub reserved: u32,
    /// Content.
    pub data: Content,
}

impl Node {
    /// Is it a directory?
    #[must_use]
    pub const fn is_directory(&self) -> bool {
        matches!(self.kind, Kind::Df | Kind::Adf)
    }

    /// How many records the content has.
    #[must_use]
    pub const fn records(&self) -> usize {
        if self.record_len == 0 {
            return 0;
        }
        self.data.len() / self.record_len as usize
    }

    /// A record, counted from 1.
    #[must_use]
    pub fn record(&self, number: usize) -> Option<Vec<u8>> {
        let len = usize::from(self.record_len);
        (1..=self.records())
            .contains(&number)
            .then(|| self.data.read((number - 1) * len, len))
    }

    /// Operational and activated? Other states forbid access (ETSI TS 102 221 §11.1.14).
    #[must_use]
    pub const fn is_active(&self) -> bool {
        // 0000 01x1 is activated; creation and initialisation states keep the rules of activated.
        !matches!(self.lcsi, 0x04 | 0x06) && !self.is_terminated()
    }

    /// Terminated for good?
    #[must_use]
    pub const fn is_terminated(&self) -> bool {
        self.lcsi & 0x0C == 0x0C
    }
}

/// An installed profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileImage {
    /// ICCID in the order of EF.ICCID.
    pub iccid: [u8; 10],
    /// profileType of the package.
    pub profile_type: String,
    /// Files; the first is the MF.
    pub files: Vec<Node>,
    /// AIDs of the ADFs: index of the directory, and the AID, in the order of installation.
    pub applications: Vec<(u16, Vec<u8>)>,
    /// PIN status templates: index of the directory, and key references in order.
    pub pin_templates: Vec<(u16, Vec<u8>)>,
    /// Directories that have the PINs of another one.
    pub shared_pins: Vec<(u16, u16)>,
    /// PINs.
    pub pins: Vec<crate::pin::Pin>,
    /// PUKs.
    pub puks: Vec<crate::pin::Puk>,
    /// Authentication keys of applications.
    pub keys: Vec<crate::auth::Key>,
    /// Applications that use the key of another one: directory, and index of the key.
    pub shared_keys: Vec<(u16, u16)>,
}

impl ProfileImage {
    /// The file system without a profile: only the MF (SGP.22 §3.1.3.3, default file system).
    #[must_use]
    pub fn bare() -> Self {
        Self {
            iccid: [0xFF; 10],
            profile_type: String::new(),
            files: alloc::vec![Node {
                fid: 0x3F00,
                parent: MF,
                kind: Kind::Df,
                descriptor: 0x78,
                record_len: 0,
                sfi: 0,
                rule: (0, 0),
                lcsi: ACTIVATED,
                special: 0,
                link: None,
                reserved: 0,
                data: Content::default(),
            }],
            applications: Vec::new(),
            pin_templates: Vec::new(),
            shared_pins: Vec::new(),
            pins: Vec::new(),
            puks: Vec::new(),
            keys: Vec::new(),
            shared_keys: Vec::new(),
        }
    }

    /// Compact bytes for NVM (empty only when memory is exhausted).
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_extend(self, alloc::vec![VERSION]).unwrap_or_default()
    }

    /// The image back; `None` when the bytes are not an image of this version.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (version, bytes) = bytes.split_first()?;
        if *version != VERSION {
            return None;
        }
        let image: Self = postcard::from_bytes(bytes).ok()?;
        image.is_sound().then_some(image)
    }

    /// Do all indices lead somewhere, upwards in the tree, and links to what isn't a link?
    fn is_sound(&self) -> bool {
        let n = self.files.len();
        let known = |i: u16| usize::from(i) < n;
        let files = self.files.iter().enumerate().all(|(i, f)| {
            // A parent stands before its children, so that every walk upwards ends at the MF.
            let parent = usize::from(f.parent) < i || (i == 0 && f.parent == MF);
            let link = f.link.is_none_or(|l| {
                self.files
                    .get(usize::from(l))
                    .is_some_and(|t| t.link.is_none())
            });
            parent && link && f.data.is_sound()
        });
        n > 0
            && n < usize::from(u16::MAX)
            && files
            && self.applications.iter().all(|(i, _)| known(*i))
            && self.pin_templates.iter().all(|(i, _)| known(*i))
            && self.shared_pins.iter().all(|(a, b)| known(*a) && known(*b))
            && self.pins.iter().all(|p| known(p.directory))
            && self.keys.iter().all(|k| known(k.directory))
            && self.shared_keys.iter().all(|(i, _)| known(*i))
    }

    /// The file at an index.
    #[must_use]
    pub fn node(&self, index: u16) -> Option<&Node> {
        self.files.get(usize::from(index))
    }

    /// A child of a directory; a linked directory has those of its target.
    #[must_use]
    pub fn child(&self, directory: u16, fid: u16) -> Option<u16> {
        let directory = self.content_of(directory);
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

    /// The first application whose AID starts with these bytes.
    #[must_use]
    pub fn application(&self, aid: &[u8]) -> Option<u16> {
        let mut all = self.applications.iter();
        all.find(|(_, a)| a.starts_with(aid)).map(|(i, _)| *i)
    }

    /// The AID of an ADF.
    #[must_use]
    pub fn aid(&self, directory: u16) -> Option<&[u8]> {
        let mut all = self.applications.iter();
        all.find(|(i, _)| *i == directory)
            .map(|(_, aid)| aid.as_slice())
    }

    /// The key references of a directory's PIN status template.
    #[must_use]
    pub fn pin_references(&self, directory: u16) -> &[u8] {
        let mut all = self.pin_templates.iter();
        all.find(|(i, _)| *i == directory)
            .map_or(&[], |(_, keys)| keys.as_slice())
    }

    /// The index of an application's authentication key.
    #[must_use]
    pub fn key_of(&self, application: u16) -> Option<usize> {
        let own = self.keys.iter().position(|k| k.directory == application);
        own.or_else(|| {
            let mut shared = self.shared_keys.iter();
            let (_, key) = shared.find(|(d, _)| *d == application)?;
            Some(usize::from(*key)).filter(|i| *i < self.keys.len())
        })
    }

    /// The ADF (or the MF) that a directory is in.
    #[must_use]
    pub fn root_of(&self, mut directory: u16) -> u16 {
        while let Some(node) = self.node(directory) {
            if node.kind == Kind::Adf || directory == MF {
                return directory;
            }
            directory = node.parent;
        }
        MF
    }

    /// The file that holds the content: the target of a link.
    #[must_use]
    pub fn content_of(&self, file: u16) -> u16 {
        self.node(file).and_then(|n| n.link).unwrap_or(file)
    }

    /// The content of an EF of the first USIM.
    #[must_use]
    pub fn usim_file(&self, fid: u16) -> Option<Vec<u8>> {
        let adf = self.application(&[0xA0, 0, 0, 0, 0x87, 0x10, 0x02])?;
        Some(self.content(self.child(adf, fid)?)?.to_vec())
    }

    /// The content of a file of an application.
    #[must_use]
    pub fn content(&self, file: u16) -> Option<&Content> {
        self.node(self.content_of(file)).map(|n| &n.data)
    }

    /// Is a service of EF.UST or EF.IST (6F38, 6F07) available in this application?
    #[must_use]
    pub fn has_service(&self, application: u16, table: u16, number: usize) -> bool {
        let byte = number.checked_sub(1).and_then(|bit| {
            let table = self.content(self.child(application, table)?)?;
            table.byte(bit / 8).map(|b| b >> (bit % 8) & 1)
        });
        byte == Some(1)
    }

    /// The IMSI in the first USIM, in digits.
    #[must_use]
    pub fn imsi(&self) -> Option<String> {
        imsi_digits(&self.usim_file(0x6F07)?)
    }
}

/// The digits in the content of EF.IMSI (TS 31.102 §4.2.2).
pub(crate) fn imsi_digits(data: &[u8]) -> Option<String> {
    let len = usize::from(*data.first()?);
    let digits = data
        .get(1..=len)?
        .iter()
        .flat_map(|b| [b & 15, b >> 4])
        .skip(1)
        .filter(|d| *d < 10)
        .map(|d| char::from(b'0' + d))
        .collect();
    Some(digits)
}
