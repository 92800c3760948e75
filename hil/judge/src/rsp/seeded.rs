//! Randomness that a seed repeats: what a run chooses (challenges, keys, numbers of profiles) is chosen again when the
//! run is repeated with its seed.

use aid_rsp::crypto::sha256;
use core::convert::Infallible;
use rand_core::{TryCryptoRng, TryRng};

/// A generator whose output depends on its seed alone. It protects nothing: a judge has no secrets.
#[derive(Debug, Clone)]
pub(crate) struct Seeded {
    seed: u64,
    block: u64,
}

impl Seeded {
    /// A generator at the beginning of its sequence.
    pub(crate) const fn new(seed: u64) -> Self {
        Self { seed, block: 0 }
    }

    /// The next `N` bytes.
    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        rand_core::Rng::fill_bytes(self, &mut bytes);
        bytes
    }

    /// A number below `limit`, which is not 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        let number = u64::from_be_bytes(self.bytes());
        usize::try_from(number % (limit.max(1) as u64)).unwrap_or(0)
    }
}

impl TryRng for Seeded {
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
            let hash = sha256(&[&self.seed.to_be_bytes(), &self.block.to_be_bytes()]);
            self.block = self.block.wrapping_add(1);
            chunk.copy_from_slice(&hash[..chunk.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Seeded {}
