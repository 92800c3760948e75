//! Everything random of a run comes from one number, so that the run can be repeated.

/// Pseudo-random numbers from a seed (SplitMix64). They make test data differ between runs; nothing secret comes of
/// them.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The sequence of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 if `end` is 0.
    pub const fn below(&mut self, end: u64) -> u64 {
        match self.next().checked_rem(end) {
            Some(number) => number,
            None => 0,
        }
    }

    /// Sixteen bytes.
    pub fn bytes16(&mut self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.next().to_le_bytes());
        bytes[8..].copy_from_slice(&self.next().to_le_bytes());
        bytes
    }

    /// `count` decimal digits, the first not 0.
    pub fn digits(&mut self, count: usize) -> String {
        (0..count)
            .map(|place| {
                let digit = if place == 0 {
                    1 + self.below(9)
                } else {
                    self.below(10)
                };
                char::from(b'0'.wrapping_add(u8::try_from(digit).unwrap_or(0)))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn a_seed_is_a_sequence() {
        let (mut a, mut b, mut c) = (Random::new(7), Random::new(7), Random::new(8));
        let first = a.bytes16();
        assert_eq!(first, b.bytes16());
        assert_ne!(first, c.bytes16());
        assert_ne!(first, a.bytes16());
        let digits = a.digits(32);
        assert!(digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_digit()));
        assert!((0..100).all(|_| a.below(3) < 3));
        assert_eq!(a.below(0), 0);
    }
}
