//! Sequence numbers: which are fresh.
//! TS 33.102 §6.3.3, Annex C.2; TCA eUICC Profile Package §8.5 (sqnOptions, sqnDelta, sqnAgeLimit,
//! sqnInit).

use serde::{Deserialize, Serialize};

/// Bits of IND, the index at the end of SQN: the array has 32 entries.
const IND_BITS: u32 = 5;

/// The array of Annex C.2.1: for each IND the highest SEQ that was accepted.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// SEQ by IND.
    pub array: [u64; 32],
    /// Δ of C.2.1: the largest step above the highest SEQ; `None` without this check.
    pub delta: Option<u64>,
    /// L of C.2.2: the largest step below the highest SEQ; `None` without this check.
    pub age_limit: Option<u64>,
}

impl Sequence {
    /// With these checks only: the array, no Δ, no L.
    #[must_use]
    pub const fn new(array: [u64; 32]) -> Self {
        Self {
            array,
            delta: None,
            age_limit: None,
        }
    }

    /// IND and SEQ when the number is fresh.
    #[must_use]
    pub fn check(&self, sqn: [u8; 6]) -> Option<(u8, u64)> {
        let full = sqn.iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
        let (ind, seq) = (full & ((1 << IND_BITS) - 1), full >> IND_BITS);
        let highest = self.array.iter().copied().max().unwrap_or(0);
        let stored = self.array.get(ind as usize).copied()?;
        let leap = self.delta.is_some_and(|d| seq > highest.saturating_add(d));
        let old = self
            .age_limit
            .is_some_and(|l| highest.saturating_sub(seq) > l);
        (seq > stored && !leap && !old).then_some((ind as u8, seq))
    }

    /// SQN_MS: the highest number accepted, with its index.
    #[must_use]
    pub fn highest(&self) -> [u8; 6] {
        let numbers = self.array.iter().zip(0u64..);
        let highest = numbers.map(|(seq, ind)| seq << IND_BITS | ind).max();
        let bytes = highest.unwrap_or(0).to_be_bytes();
        [bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]]
    }
}
