//! Milenage with AES-128: f1, f1*, f2 to f5*.
//! TS 35.206.

use super::Vector;
use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Milenage with K, OPc and its constants.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct Milenage {
    /// K.
    pub k: [u8; 16],
    /// OPc.
    pub opc: [u8; 16],
    /// r1..r5 in bits.
    pub r: [u8; 5],
    /// c1..c5.
    pub c: [[u8; 16]; 5],
}

impl Milenage {
    /// With the constants of TS 35.206 §4.1.
    #[must_use]
    pub fn new(k: [u8; 16], opc: [u8; 16]) -> Self {
        let mut c = [[0; 16]; 5];
        for (c, last) in c.iter_mut().zip([0, 1, 2, 4, 8]) {
            c[15] = last;
        }
        Self {
            k,
            opc,
            r: [64, 0, 32, 64, 96],
            c,
        }
    }

    fn encrypt(cipher: &Aes128, block: u128) -> u128 {
        let mut b = block.to_be_bytes().into();
        cipher.encrypt_block(&mut b);
        u128::from_be_bytes(b.into())
    }

    fn cipher(&self) -> Aes128 {
        Aes128::new(&self.k.into())
    }

    /// f1 and f1*: the MACs of network and card.
    #[must_use]
    pub fn f1(&self, rand: &[u8; 16], sqn: &[u8; 6], amf: &[u8; 2]) -> ([u8; 8], [u8; 8]) {
        let cipher = self.cipher();
        let opc = u128::from_be_bytes(self.opc);
        let temp = Self::encrypt(&cipher, u128::from_be_bytes(*rand) ^ opc);
        let mut half = [0u8; 16];
        half[..6].copy_from_slice(sqn);
        half[6..8].copy_from_slice(amf);
        half.copy_within(..8, 8);
        let rotated = (u128::from_be_bytes(half) ^ opc).rotate_left(u32::from(self.r[0]));
        let input = temp ^ rotated ^ u128::from_be_bytes(self.c[0]);
        let out = (Self::encrypt(&cipher, input) ^ opc).to_be_bytes();
        (
            core::array::from_fn(|i| out[i]),
            core::array::from_fn(|i| out[i + 8]),
        )
    }

    pub(crate) fn f2345(&self, rand: &[u8; 16]) -> Vector {
        let cipher = self.cipher();
        let opc = u128::from_be_bytes(self.opc);
        let temp = Self::encrypt(&cipher, u128::from_be_bytes(*rand) ^ opc);
        let out = |n: usize| {
            let input =
                (temp ^ opc).rotate_left(u32::from(self.r[n])) ^ u128::from_be_bytes(self.c[n]);
            (Self::encrypt(&cipher, input) ^ opc).to_be_bytes()
        };
        let (out2, out5) = (out(1), out(4));
        Vector {
            res: out2[8..].to_vec(),
            ck: out(2).to_vec(),
            ik: out(3).to_vec(),
            ak: core::array::from_fn(|i| out2[i]),
            ak_star: core::array::from_fn(|i| out5[i]),
        }
    }
}
