//! SGP.22 data objects, BER-TLV, certificates, BSP, SAIP: shared by card, LPA and SM-DP+.
//!
//! Nothing here opens a socket, reads a clock or draws randomness of its own: bytes, times and
//! random generators are arguments. Objects that are signed keep the bytes as they were received.
#![cfg_attr(not(any(feature = "std", test)), no_std)]

extern crate alloc;

pub mod bsp;
pub mod cert;
pub mod crypto;
pub mod es10;
#[cfg(feature = "json")]
pub mod es2;
pub mod es8;
#[cfg(feature = "json")]
pub mod es9;
#[cfg(feature = "mint")]
pub mod pki;
pub mod saip;
pub mod tlv;

#[cfg(test)]
mod testdata;
