//! The USIM test algorithm: everything is K xor RAND.
//! TS 34.108 §8.1.2. Called by [`super::authenticate`]; TS.48 profiles carry it.

use super::Vector;
use serde::{Deserialize, Serialize};

/// The test algorithm with its K.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestAlgorithm {
    /// K.
    pub k: [u8; 16],
}

impl TestAlgorithm {
    fn xdout(&self, rand: &[u8; 16]) -> [u8; 16] {
        core::array::from_fn(|i| self.k[i] ^ rand[i])
    }

    pub(crate) fn vector(&self, rand: &[u8; 16]) -> Vector {
        let x = self.xdout(rand);
        let ak = core::array::from_fn(|i| x[i + 3]);
        Vector {
            res: x.to_vec(),
            ck: core::array::from_fn(|i| x[(i + 1) % 16]),
            ik: core::array::from_fn(|i| x[(i + 2) % 16]),
            ak,
            ak_star: ak,
        }
    }

    pub(crate) fn mac(&self, rand: &[u8; 16], sqn: &[u8; 6], amf: &[u8; 2]) -> [u8; 8] {
        let x = self.xdout(rand);
        core::array::from_fn(|i| x[i] ^ if i < 6 { sqn[i] } else { amf[i - 6] })
    }
}
