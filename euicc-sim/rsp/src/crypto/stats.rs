//! Counts of the expensive operations, so that a bench can state the pure cryptographic cost.
//! Written by implementations of [`super::Crypto`], read by the shells.

use core::sync::atomic::{AtomicU32, Ordering};

/// Counters of one [`super::Crypto`] instance; they wrap at 2³².
#[derive(Debug, Default)]
pub struct CryptoStats {
    sign: AtomicU32,
    verify: AtomicU32,
    ecdh: AtomicU32,
    keygen: AtomicU32,
}

/// The counters at one moment.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct OpCounts {
    /// ECDSA signatures made.
    pub sign: u32,
    /// ECDSA signatures verified (or refused).
    pub verify: u32,
    /// ECDH key agreements.
    pub ecdh: u32,
    /// Key pairs made, and public keys computed.
    pub keygen: u32,
}

impl CryptoStats {
    /// All counters at zero.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            sign: AtomicU32::new(0),
            verify: AtomicU32::new(0),
            ecdh: AtomicU32::new(0),
            keygen: AtomicU32::new(0),
        }
    }

    /// Counts one signature made.
    pub fn count_sign(&self) {
        self.sign.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one verification.
    pub fn count_verify(&self) {
        self.verify.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one key agreement.
    pub fn count_ecdh(&self) {
        self.ecdh.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one key pair made.
    pub fn count_keygen(&self) {
        self.keygen.fetch_add(1, Ordering::Relaxed);
    }

    /// The counters now.
    #[must_use]
    pub fn counts(&self) -> OpCounts {
        OpCounts {
            sign: self.sign.load(Ordering::Relaxed),
            verify: self.verify.load(Ordering::Relaxed),
            ecdh: self.ecdh.load(Ordering::Relaxed),
            keygen: self.keygen.load(Ordering::Relaxed),
        }
    }
}

impl OpCounts {
    /// What happened between an earlier reading and this one.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            sign: self.sign.wrapping_sub(earlier.sign),
            verify: self.verify.wrapping_sub(earlier.verify),
            ecdh: self.ecdh.wrapping_sub(earlier.ecdh),
            keygen: self.keygen.wrapping_sub(earlier.keygen),
        }
    }
}
