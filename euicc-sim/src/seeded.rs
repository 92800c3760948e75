//! A generator that repeats itself: SHA-256 over a seed and a counter. For recorded sessions, which
//! must find the same challenges and keys again; never for a card that has secrets.

use aid_rsp::crypto::sha256;
use core::convert::Infallible;
use rand_core::{TryCryptoRng, TryRng};

/// The generator that belongs to a seed and a purpose.
pub(crate) struct Seeded {
    seed: [u8; 32],
    counter: u64,
    rest: Vec<u8>,
}

impl Seeded {
    /// Generators with another purpose have nothing in common.
    pub(crate) fn new(seed: u64, purpose: &str) -> Self {
        Self {
            seed: sha256(&[b"euicc-sim", purpose.as_bytes(), &seed.to_be_bytes()]),
            counter: 0,
            rest: Vec::new(),
        }
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let Ok(number) = self.try_next_u64();
        number % bound.max(1)
    }
}

impl TryRng for Seeded {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_be_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_be_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for byte in out {
            if self.rest.is_empty() {
                self.rest = sha256(&[&self.seed, &self.counter.to_be_bytes()]).to_vec();
                self.counter += 1;
            }
            *byte = self.rest.pop().unwrap_or_default();
        }
        Ok(())
    }
}

impl TryCryptoRng for Seeded {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_purposes_differ() {
        let bytes = |seed, purpose| {
            let mut out = [0; 70];
            let Ok(()) = Seeded::new(seed, purpose).try_fill_bytes(&mut out);
            out
        };
        assert_eq!(bytes(7, "card"), bytes(7, "card"));
        assert_ne!(bytes(7, "card"), bytes(8, "card"));
        assert_ne!(bytes(7, "card"), bytes(7, "pki"));
        let mut rng = Seeded::new(1, "quirk");
        assert!((0..1000).all(|_| rng.below(3) < 3));
    }
}
