//! What goes wrong on a bus: wrong bits, lost blocks, a card that needs more time. Seeded.

use alloc::vec::Vec;

/// How often things go wrong; 0: never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults {
    /// One of so many blocks has a wrong bit.
    pub wrong_bit: u32,
    /// One of so many blocks is lost.
    pub lost: u32,
    /// One of so many commands makes the card ask for more time.
    pub slow: u32,
    /// Where the randomness begins.
    pub seed: u64,
}

/// Faults as they happen.
#[derive(Debug)]
pub(super) struct Trouble {
    faults: Faults,
    state: u64,
}

impl Trouble {
    pub(super) const fn new(faults: Faults) -> Self {
        let state = faults.seed;
        Self { faults, state }
    }

    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn happens(&mut self, one_in: u32) -> bool {
        one_in != 0 && self.next().is_multiple_of(u64::from(one_in))
    }

    /// What arrives of a block; nothing when it is lost.
    pub(super) fn pass(&mut self, mut block: Vec<u8>) -> Option<Vec<u8>> {
        if self.happens(self.faults.lost) {
            return None;
        }
        if self.happens(self.faults.wrong_bit) && !block.is_empty() {
            let bit = self.next() as usize % (block.len() * 8);
            block[bit / 8] ^= 1 << (bit % 8);
        }
        Some(block)
    }

    /// Does the card ask for time?
    pub(super) fn slow(&mut self) -> bool {
        self.happens(self.faults.slow)
    }
}
