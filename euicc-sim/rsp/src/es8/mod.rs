//! ES8+, the channel between SM-DP+ and card that travels inside a Bound Profile Package.
//! SGP.22 §2.5, §5.5.

mod bpp;
mod channel;
mod segments;

pub use bpp::{BoundProfilePackage, build_bpp};
pub use channel::{
    ConfigureIsdpRequest, ControlRefTemplate, InitialiseSecureChannelRequest,
    REMOTE_OP_INSTALL_BPP, ReceivedInitialise, ReplaceSessionKeysRequest,
};
pub use segments::{SegmentError, segments};

/// Tags inside a BoundProfilePackage.
pub mod tags {
    use crate::tlv::Tag;
    /// BoundProfilePackage.
    pub const BPP: Tag = 0xBF36;
    /// firstSequenceOf87.
    pub const FIRST_87: Tag = 0xA0;
    /// sequenceOf88.
    pub const SEQUENCE_OF_88: Tag = 0xA1;
    /// secondSequenceOf87.
    pub const SECOND_87: Tag = 0xA2;
    /// sequenceOf86.
    pub const SEQUENCE_OF_86: Tag = 0xA3;
    /// Encrypted profile elements.
    pub const SEGMENT_86: Tag = 0x86;
    /// Encrypted commands (ConfigureISDP, ReplaceSessionKeys).
    pub const SEGMENT_87: Tag = 0x87;
    /// Commands that are only authenticated (StoreMetadata).
    pub const SEGMENT_88: Tag = 0x88;
}

#[cfg(test)]
mod tests;
