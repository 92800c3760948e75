//! AUTHENTICATE: keys, sequence numbers, the response of the 3G security context.
//! TS 31.102 §7.1.2, TS 33.102 §6.3 and Annex C. Called by [`crate::usim::handle`].

mod milenage;
mod xor;

#[cfg(test)]
mod tests;

pub use milenage::Milenage;
pub use xor::TestAlgorithm;

use crate::fs::Change;
use alloc::{boxed::Box, vec::Vec};
use core::fmt;
use serde::{Deserialize, Serialize};

/// An algorithm with its secrets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// Milenage.
    Milenage(Box<Milenage>),
    /// The test algorithm of TS 34.108.
    Test(TestAlgorithm),
}

/// The authentication key of one application.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Index of the application's directory.
    pub directory: u16,
    /// Algorithm and secrets.
    pub algorithm: Algorithm,
    /// The 32 highest sequence numbers accepted, by IND (5 bits), without it.
    pub seq: [u64; 32],
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key(of {}, ****)", self.directory)
    }
}

/// What f1 to f5 give for a challenge.
pub(crate) struct Vector {
    pub(crate) res: Vec<u8>,
    pub(crate) ck: [u8; 16],
    pub(crate) ik: [u8; 16],
    pub(crate) ak: [u8; 6],
    pub(crate) ak_star: [u8; 6],
}

impl Algorithm {
    fn vector(&self, rand: &[u8; 16]) -> Vector {
        match self {
            Self::Milenage(m) => m.f2345(rand),
            Self::Test(t) => t.vector(rand),
        }
    }

    /// f1 and f1*.
    fn mac(&self, rand: &[u8; 16], sqn: &[u8; 6], amf: &[u8; 2]) -> ([u8; 8], [u8; 8]) {
        match self {
            Self::Milenage(m) => m.f1(rand, sqn, amf),
            Self::Test(t) => {
                let mac = t.mac(rand, sqn, amf);
                (mac, mac)
            }
        }
    }
}

/// Result of AUTHENTICATE: data, status word, what to store.
pub(crate) type Answer = (Vec<u8>, u16, Option<Change>);

/// 3G context: `with_kc` adds the GSM key (UST service 27).
pub(crate) fn authenticate(index: u16, key: &Key, data: &[u8], with_kc: bool) -> Answer {
    let fail = |sw| (Vec::new(), sw, None);
    let parsed = (|| {
        let (len, rest) = data.split_first()?;
        let (rand, rest) = rest.split_first_chunk::<16>().filter(|_| *len == 16)?;
        let (len, rest) = rest.split_first()?;
        let (autn, _) = rest.split_first_chunk::<16>().filter(|_| *len == 16)?;
        Some((rand, autn))
    })();
    let Some((rand, autn)) = parsed else {
        return fail(0x6700);
    };
    let v = key.algorithm.vector(rand);
    let mut sqn = [0u8; 6];
    for ((s, a), k) in sqn.iter_mut().zip(autn).zip(v.ak) {
        *s = a ^ k;
    }
    let amf = [autn[6], autn[7]];
    if key.algorithm.mac(rand, &sqn, &amf).0 != autn[8..] {
        return fail(0x9862);
    }
    let full = sqn.iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
    let (ind, seq) = ((full & 31) as usize, full >> 5);
    let fresh = match key.algorithm {
        // TS 34.108 §8.1.2: this AMF asks for a resynchronisation; sequence numbers are not checked.
        Algorithm::Test(_) => amf != [0xFF, 0xFF],
        Algorithm::Milenage(_) => seq > key.seq[ind],
    };
    if !fresh {
        return (resynchronise(key, rand, &v), 0x9000, None);
    }
    let mut out = Vec::with_capacity(54);
    out.extend_from_slice(&[0xDB, v.res.len() as u8]);
    out.extend_from_slice(&v.res);
    for k in [&v.ck, &v.ik] {
        out.push(16);
        out.extend_from_slice(k);
    }
    if with_kc {
        out.push(8);
        out.extend((0..8).map(|i| v.ck[i] ^ v.ck[i + 8] ^ v.ik[i] ^ v.ik[i + 8]));
    }
    let change = Change::Sequence {
        key: index,
        index: ind as u8,
        seq,
    };
    (out, 0x9000, Some(change))
}

fn resynchronise(key: &Key, rand: &[u8; 16], v: &Vector) -> Vec<u8> {
    let highest = key
        .seq
        .iter()
        .enumerate()
        .map(|(i, s)| s << 5 | i as u64)
        .max()
        .unwrap_or(0);
    let bytes = highest.to_be_bytes();
    let mut sqn = [0; 6];
    sqn.copy_from_slice(&bytes[2..]);
    let mac = key.algorithm.mac(rand, &sqn, &[0, 0]).1;
    let mut out = alloc::vec![0xDC, 14];
    out.extend(sqn.iter().zip(v.ak_star).map(|(s, k)| s ^ k));
    out.extend_from_slice(&mac);
    out
}
