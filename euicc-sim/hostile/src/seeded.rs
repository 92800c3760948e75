//! Random numbers that repeat: the fuzzer's findings must be reproducible.

use aid_rsp::crypto::sha256;
use core::convert::Infallible;

/// A generator whose output depends on its seed alone.
#[derive(Debug, Clone)]
pub struct Seeded(u64);

impl Seeded {
    /// A generator at the beginning of its sequence.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed << 32)
    }
}

impl rand_core::TryRng for Seeded {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.try_next_u64()? as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_be_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), Infallible> {
        for chunk in to.chunks_mut(32) {
            self.0 = self.0.wrapping_add(1);
            chunk.copy_from_slice(&sha256(&[&self.0.to_be_bytes()])[..chunk.len()]);
        }
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Seeded {}
