//! The USIM test algorithm: everything is K xor RAND.
//! TS 34.108 §8.1.2.

use super::Vector;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The test algorithm with its K.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct TestAlgorithm {
    /// K.
    pub k: [u8; 16],
    /// Bytes of RES, 4 to 16.
    pub res_len: u8,
}

impl TestAlgorithm {
    /// With a RES of 16 bytes.
    #[must_use]
    pub const fn new(k: [u8; 16]) -> Self {
        Self { k, res_len: 16 }
    }

    fn xdout(&self, rand: &[u8; 16]) -> [u8; 16] {
        core::array::from_fn(|i| self.k[i] ^ rand[i])
    }

    pub(crate) fn vector(&self, rand: &[u8; 16]) -> Vector {
        let x = self.xdout(rand);
        let rotated = |n: usize| (0..16).map(|i| x[(i + n) % 16]).collect();
        let ak = core::array::from_fn(|i| x[i + 3]);
        Vector {
            res: x[..usize::from(self.res_len.clamp(4, 16))].to_vec(),
            ck: rotated(1),
            ik: rotated(2),
            ak,
            ak_star: ak,
        }
    }

    pub(crate) fn mac(&self, rand: &[u8; 16], sqn: &[u8; 6], amf: &[u8; 2]) -> [u8; 8] {
        let x = self.xdout(rand);
        core::array::from_fn(|i| x[i] ^ if i < 6 { sqn[i] } else { amf[i - 6] })
    }
}
