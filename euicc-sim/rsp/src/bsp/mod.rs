//! BSP, the protection of bound profile packages: SGP.22 §2.5.4 and Annex G (from SCP03t).
//! AES-128-CBC with a counter ICV, AES-CMAC chained over all segments, 8 bytes of MAC sent.

mod channel;
mod keys;

pub use channel::{Bsp, BspError};
pub use keys::{KeyAgreementParams, SessionKeys};

/// Bytes of C-MAC sent with each segment (the first half of the AES-CMAC).
pub const MAC_LEN: usize = 8;

/// Longest protected data object, tag and length included (SGP.22 §2.5.5).
pub const MAX_SEGMENT: usize = 1020;

/// Most plaintext in one encrypted segment (tag 0x86 or 0x87): 1020 bytes less tag (1), length (3)
/// and MAC (8) is 1008 bytes of ciphertext, which has at least one byte of padding.
pub const MAX_PLAIN: usize = 1007;

/// Most bytes in one segment that is only authenticated (tag 0x88).
pub const MAX_PLAIN_MAC_ONLY: usize = 1008;

/// Key type byte for AES (GlobalPlatform Card Specification, table 11-16).
pub const KEY_TYPE_AES: u8 = 0x88;

/// Key length in bytes.
pub const KEY_LEN: u8 = 0x10;

#[cfg(test)]
mod tests;
