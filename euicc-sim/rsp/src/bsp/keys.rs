//! Session keys: SGP.22 Annex G (X9.63 over the ECKA shared secret), or ReplaceSessionKeys.

use super::{KEY_LEN, KEY_TYPE_AES};
use crate::crypto::{SharedSecret, x963_kdf};
use core::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// S-ENC, S-MAC and the initial MAC chaining value, 16 bytes each.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SessionKeys {
    pub(super) chaining: [u8; 16],
    pub(super) enc: [u8; 16],
    pub(super) mac: [u8; 16],
}

/// What enters the key derivation beside the shared secret.
#[derive(Debug, Clone, Copy)]
pub struct KeyAgreementParams<'a> {
    /// Host id of the control reference template, 1..=16 bytes.
    pub host_id: &'a [u8],
    /// The EID as 16 bytes.
    pub eid: &'a [u8; 16],
}

impl SessionKeys {
    /// Keys that were given (ReplaceSessionKeys, tests).
    #[must_use]
    pub const fn new(chaining: [u8; 16], enc: [u8; 16], mac: [u8; 16]) -> Self {
        Self { chaining, enc, mac }
    }

    /// Derives the keys; shared info is keyType ‖ keyLen ‖ HostID-LV ‖ EID-LV.
    #[must_use]
    pub fn derive(secret: &SharedSecret, params: KeyAgreementParams<'_>) -> Self {
        let mut okm = [0u8; 48];
        x963_kdf(
            secret.expose(),
            &[
                &[KEY_TYPE_AES, KEY_LEN, params.host_id.len() as u8],
                params.host_id,
                &[params.eid.len() as u8],
                params.eid,
            ],
            &mut okm,
        );
        let part = |at: usize| core::array::from_fn(|i| okm[at + i]);
        let keys = Self {
            chaining: part(0),
            enc: part(16),
            mac: part(32),
        };
        okm.zeroize();
        keys
    }

    /// The initial MAC chaining value (for ReplaceSessionKeys).
    #[must_use]
    pub const fn initial_chaining(&self) -> &[u8; 16] {
        &self.chaining
    }

    /// S-ENC or PPK-ENC: handle with care.
    #[must_use]
    pub const fn expose_enc(&self) -> &[u8; 16] {
        &self.enc
    }

    /// S-MAC or PPK-CMAC: handle with care.
    #[must_use]
    pub const fn expose_mac(&self) -> &[u8; 16] {
        &self.mac
    }
}

impl fmt::Debug for SessionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKeys(…)")
    }
}
