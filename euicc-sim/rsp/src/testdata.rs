//! Optional public test material: `$AID_SHARED`, or `../shared` beside the workspace.
//! A test that needs what is absent says that it was skipped, or fails where that is required.

/// The bytes of a file of the shared material.
#[track_caller]
pub(crate) fn bytes(path: &str) -> Option<Vec<u8>> {
    aid_needs::shared_bytes(path)
}

/// The text of a file of the shared material.
#[track_caller]
pub(crate) fn text(path: &str) -> Option<String> {
    aid_needs::shared_text(path)
}

/// A generator that repeats itself, for keys in tests.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }
}

impl rand_core::TryRng for Rng {
    type Error = core::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok((self.try_next_u64()? >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Ok(z ^ (z >> 31))
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Self::Error> {
        for chunk in dst.chunks_mut(8) {
            let bytes = self.try_next_u64()?.to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Rng {}
