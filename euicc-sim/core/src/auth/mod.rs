//! Authentication keys and AKA: what AUTHENTICATE computes, in the 3G and the GSM context.
//! TS 31.102 §7.1.2, TS 31.103 §7.1.2, TS 33.102 §6.3, §6.8.1.

mod milenage;
mod sequence;
mod tuak;
mod xor;

#[cfg(test)]
mod tests;

pub use milenage::Milenage;
pub use sequence::Sequence;
pub use tuak::{Lengths, Tuak};
pub use xor::TestAlgorithm;

use crate::apdu::sw;
use alloc::{boxed::Box, vec::Vec};
use core::fmt;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

/// An algorithm with its secrets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// Milenage.
    Milenage(Box<Milenage>),
    /// TUAK.
    Tuak(Box<Tuak>),
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
    /// Sequence numbers that were accepted.
    pub sequence: Sequence,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key(of {}, ****)", self.directory)
    }
}

/// What f2 to f5 and f5* give for a challenge.
pub(crate) struct Vector {
    pub(crate) res: Vec<u8>,
    pub(crate) ck: Vec<u8>,
    pub(crate) ik: Vec<u8>,
    pub(crate) ak: [u8; 6],
    pub(crate) ak_star: [u8; 6],
}

/// K of 3GPP's test USIM (TS 34.108 §8.1.2).
const TEST_USIM: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
/// K of the Generic Test Profile (GSMA TS.48).
const GENERIC_TEST_PROFILE: [u8; 16] = [
    0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF,
];

/// Is this key public? One byte of choice and zeros, published test keys, and a byte repeated, which is
/// as good as none.
fn is_test_key(k: &[u8]) -> bool {
    let zeros = k.iter().skip(1).all(|b| *b == 0);
    let repeated = |bytes: &[u8]| k.chunks(bytes.len().max(1)).all(|part| part == bytes);
    zeros
        || repeated(&TEST_USIM)
        || repeated(&GENERIC_TEST_PROFILE)
        || repeated(&k[..k.len().min(1)])
}

impl Algorithm {
    /// May a test profile have it? No operator's network may let it in (SGP.21 TPRO2): the test
    /// algorithm, or a key that everybody knows.
    pub(crate) fn is_for_tests(&self) -> bool {
        match self {
            Self::Milenage(m) => is_test_key(&m.k),
            Self::Tuak(t) => is_test_key(&t.k),
            Self::Test(_) => true,
        }
    }

    pub(crate) fn vector(&self, rand: &[u8; 16]) -> Vector {
        match self {
            Self::Milenage(m) => m.f2345(rand),
            Self::Tuak(t) => t.f2345(rand),
            Self::Test(t) => t.vector(rand),
        }
    }

    /// f1 and f1*: the MACs of network and card.
    pub(crate) fn mac(&self, rand: &[u8; 16], sqn: &[u8; 6], amf: &[u8; 2]) -> (Vec<u8>, Vec<u8>) {
        match self {
            Self::Milenage(m) => {
                let (a, s) = m.f1(rand, sqn, amf);
                (a.to_vec(), s.to_vec())
            }
            Self::Tuak(t) => (t.f1(rand, sqn, amf), t.f1_star(rand, sqn, amf)),
            Self::Test(t) => {
                let mac = t.mac(rand, sqn, amf).to_vec();
                (mac.clone(), mac)
            }
        }
    }
}

/// A sequence number that the network has used now: it must not be accepted again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Accepted {
    /// IND.
    pub(crate) index: u8,
    /// SEQ.
    pub(crate) seq: u64,
}

/// Result of AUTHENTICATE: data, status word, the sequence number to store.
pub(crate) type Answer = (Vec<u8>, u16, Option<Accepted>);

/// RAND and AUTN, each with its length before it.
fn challenge(data: &[u8]) -> Option<(&[u8; 16], &[u8])> {
    let (len, rest) = data.split_first()?;
    let (rand, rest) = rest.split_first_chunk::<16>().filter(|_| *len == 16)?;
    let (len, autn) = rest.split_first()?;
    (autn.len() == usize::from(*len)).then_some((rand, autn))
}

/// 3G context (EPS and 5G too): `with_kc` adds the GSM key (UST service 27).
pub(crate) fn authenticate(key: &Key, data: &[u8], with_kc: bool) -> Answer {
    let fail = |sw| (Vec::new(), sw, None);
    let Some((rand, autn)) = challenge(data) else {
        return fail(sw::WRONG_LENGTH);
    };
    let Some((head, mac)) = autn.split_first_chunk::<8>().filter(|(_, m)| m.len() >= 8) else {
        return fail(sw::WRONG_LENGTH);
    };
    let v = key.algorithm.vector(rand);
    let mut sqn = [0u8; 6];
    for ((s, a), k) in sqn.iter_mut().zip(head).zip(v.ak) {
        *s = a ^ k;
    }
    let amf = [head[6], head[7]];
    if !bool::from(key.algorithm.mac(rand, &sqn, &amf).0.ct_eq(mac)) {
        return fail(sw::WRONG_MAC);
    }
    let accepted = match key.algorithm {
        // TS 34.108 §8.1.2.2: this AMF asks for a resynchronisation; sequence numbers are not checked.
        Algorithm::Test(_) => (amf != [0xFF, 0xFF]).then_some(None),
        _ => key.sequence.check(sqn).map(Some),
    };
    let Some(accepted) = accepted else {
        return (resynchronise(key, rand, &v), sw::OK, None);
    };
    let mut out = Vec::with_capacity(54);
    out.push(0xDB);
    for part in [&v.res, &v.ck, &v.ik] {
        out.push(part.len() as u8);
        out.extend_from_slice(part);
    }
    if with_kc {
        out.push(8);
        out.extend_from_slice(&gsm_key(&v));
    }
    let accepted = accepted.map(|(index, seq)| Accepted { index, seq });
    (out, sw::OK, accepted)
}

/// GSM context: SRES and Kc from the conversion functions c2 and c3 (TS 33.102 §6.8.1.2).
pub(crate) fn authenticate_gsm(key: &Key, data: &[u8]) -> Answer {
    let rand = match data.split_first() {
        Some((16, rand)) => <&[u8; 16]>::try_from(rand).ok(),
        _ => None,
    };
    let Some(rand) = rand else {
        return (Vec::new(), sw::WRONG_LENGTH, None);
    };
    let v = key.algorithm.vector(rand);
    let mut sres = [0u8; 4];
    for (i, b) in v.res.iter().enumerate() {
        sres[i % 4] ^= b;
    }
    let mut out = alloc::vec![4];
    out.extend_from_slice(&sres);
    out.push(8);
    out.extend_from_slice(&gsm_key(&v));
    (out, sw::OK, None)
}

/// c3: CK and IK folded to 8 bytes.
fn gsm_key(v: &Vector) -> [u8; 8] {
    let mut kc = [0u8; 8];
    for (i, b) in v.ck.iter().chain(&v.ik).enumerate() {
        kc[i % 8] ^= b;
    }
    kc
}

/// AUTS: the highest sequence number that was accepted (TS 33.102 §6.3.3), for AMF 0000.
fn resynchronise(key: &Key, rand: &[u8; 16], v: &Vector) -> Vec<u8> {
    let sqn = key.sequence.highest();
    let mac = key.algorithm.mac(rand, &sqn, &[0, 0]).1;
    let mut out = alloc::vec![0xDC, 6 + mac.len() as u8];
    out.extend(sqn.iter().zip(v.ak_star).map(|(s, k)| s ^ k));
    out.extend_from_slice(&mac);
    out
}
