//! TUAK with Keccak-f[1600]: TOPc, f1, f1*, f2 to f5*.
//! TS 35.231.

use super::Vector;
use alloc::vec::Vec;
use keccak::Keccak;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes of the permutation's state.
const STATE: usize = 200;

/// Bits of INSTANCE (TS 35.231 §6.2 to §6.5), as a byte: function, lengths, key length.
mod instance {
    pub(super) const F1_STAR: u8 = 0x80;
    pub(super) const F2345: u8 = 0x40;
    pub(super) const F5_STAR: u8 = 0xC0;
    pub(super) const CK_256: u8 = 0x04;
    pub(super) const IK_256: u8 = 0x02;
    pub(super) const KEY_256: u8 = 0x01;
}

/// How long the outputs are, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Zeroize)]
pub struct Lengths {
    /// MAC: 8, 16 or 32.
    pub mac: u8,
    /// RES: 4, 8, 16 or 32.
    pub res: u8,
    /// CK: 16 or 32.
    pub ck: u8,
    /// IK: 16 or 32.
    pub ik: u8,
}

/// TUAK with its key, TOPc and choices.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct Tuak {
    /// K, 16 or 32 bytes.
    pub k: Vec<u8>,
    /// TOPc.
    pub topc: [u8; 32],
    /// Output lengths.
    pub lengths: Lengths,
    /// Iterations of the permutation, 1 to 255.
    pub iterations: u8,
}

/// The length bits of INSTANCE: 8, 16, 32 bytes are 1, 2, 4.
const fn length_bits(bytes: u8) -> u8 {
    (bytes / 8) << 3
}

impl Tuak {
    /// TOPc of the operator's TOP for this key (§6.1).
    #[must_use]
    pub fn topc(k: &[u8], top: &[u8; 32], iterations: u8) -> [u8; 32] {
        let state = run(0, k, top, None, None, iterations);
        let mut topc = [0; 32];
        topc.copy_from_slice(&pull(&state, 0, 32));
        topc
    }

    /// f1: MAC-A.
    #[must_use]
    pub fn f1(&self, rand: &[u8; 16], sqn: &[u8; 6], amf: &[u8; 2]) -> Vec<u8> {
        self.mac(0, rand, sqn, amf)
    }

    /// f1*: MAC-S.
    #[must_use]
    pub fn f1_star(&self, rand: &[u8; 16], sqn: &[u8; 6], amf: &[u8; 2]) -> Vec<u8> {
        self.mac(instance::F1_STAR, rand, sqn, amf)
    }

    fn mac(&self, function: u8, rand: &[u8; 16], sqn: &[u8; 6], amf: &[u8; 2]) -> Vec<u8> {
        let instance = function | length_bits(self.lengths.mac);
        let state = self.run(instance, rand, Some((sqn, amf)));
        pull(&state, 0, self.lengths.mac)
    }

    pub(crate) fn f2345(&self, rand: &[u8; 16]) -> Vector {
        let l = self.lengths;
        let mut instance = instance::F2345 | length_bits(l.res);
        if l.ck == 32 {
            instance |= instance::CK_256;
        }
        if l.ik == 32 {
            instance |= instance::IK_256;
        }
        let state = self.run(instance, rand, None);
        let star = self.run(instance::F5_STAR, rand, None);
        let ak = |state: &[u8; STATE]| core::array::from_fn(|i| state[96 + 5 - i]);
        Vector {
            res: pull(&state, 0, l.res),
            ck: pull(&state, 32, l.ck),
            ik: pull(&state, 64, l.ik),
            ak: ak(&state),
            ak_star: ak(&star),
        }
    }

    fn run(
        &self,
        instance: u8,
        rand: &[u8; 16],
        sqn_amf: Option<(&[u8; 6], &[u8; 2])>,
    ) -> [u8; STATE] {
        run(
            instance,
            &self.k,
            &self.topc,
            Some(rand),
            sqn_amf,
            self.iterations,
        )
    }
}

/// Fills the state as §6 says, each value with its last byte first, and permutes it.
fn run(
    instance: u8,
    k: &[u8],
    top: &[u8; 32],
    rand: Option<&[u8; 16]>,
    sqn_amf: Option<(&[u8; 6], &[u8; 2])>,
    iterations: u8,
) -> [u8; STATE] {
    let mut state = [0u8; STATE];
    let mut push = |at: usize, value: &[u8]| {
        for (slot, b) in state[at..].iter_mut().zip(value.iter().rev()) {
            *slot = *b;
        }
    };
    let key_bit = if k.len() > 16 { instance::KEY_256 } else { 0 };
    push(0, top);
    push(32, &[instance | key_bit]);
    push(33, b"TUAK1.0");
    if let Some(rand) = rand {
        push(40, rand);
    }
    if let Some((sqn, amf)) = sqn_amf {
        push(56, amf);
        push(58, sqn);
    }
    push(64, &k[..k.len().min(32)]);
    push(96, &[0x1F]);
    push(135, &[0x80]);
    let mut lanes: [u64; 25] = core::array::from_fn(|i| {
        let lane = state[8 * i..].iter().take(8).rev();
        lane.fold(0, |n, b| n << 8 | u64::from(*b))
    });
    Keccak::new().with_f1600(|permute| {
        for _ in 0..iterations.max(1) {
            permute(&mut lanes);
        }
    });
    for (bytes, lane) in state.chunks_exact_mut(8).zip(lanes) {
        bytes.copy_from_slice(&lane.to_le_bytes());
    }
    state
}

/// Takes a value out, its last byte first.
fn pull(state: &[u8; STATE], at: usize, len: u8) -> Vec<u8> {
    state[at..at + usize::from(len)]
        .iter()
        .rev()
        .copied()
        .collect()
}
