//! AUTHENTICATE computed without our card: Milenage by the `milenage` crate, the test algorithm of
//! TS 34.108 §8.1.2 by a few lines of our own.

use crate::site::Aka;
use milenage::Milenage;

/// Authentication management field: separation bit set, as in EPS.
const AMF: [u8; 2] = [0x80, 0x00];

/// What the network sends, and what the card must answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Challenge {
    /// RAND.
    pub(crate) rand: [u8; 16],
    /// AUTN: SQN ⊕ AK, AMF, MAC.
    pub(crate) autn: [u8; 16],
    /// RES expected, 8 or 16 bytes (a card may be configured to send fewer: a prefix).
    pub(crate) res: Vec<u8>,
    /// CK expected.
    pub(crate) ck: [u8; 16],
    /// IK expected.
    pub(crate) ik: [u8; 16],
}

/// The vector for these keys, this RAND and this SQN.
pub(crate) fn challenge(aka: &Aka, rand: [u8; 16], sqn: [u8; 6]) -> Challenge {
    match aka {
        Aka::Milenage { k, opc } => milenage(*k, *opc, rand, sqn),
        Aka::Xor { k } => xor(*k, rand, sqn),
    }
}

fn autn(sqn: [u8; 6], ak: [u8; 6], mac: [u8; 8]) -> [u8; 16] {
    let mut out = [0; 16];
    for at in 0..6 {
        out[at] = sqn[at] ^ ak[at];
    }
    out[6..8].copy_from_slice(&AMF);
    out[8..].copy_from_slice(&mac);
    out
}

fn milenage(k: [u8; 16], opc: [u8; 16], rand: [u8; 16], sqn: [u8; 6]) -> Challenge {
    let mut m = Milenage::new_with_opc(k, opc);
    let mac = m.f1(&rand, &sqn, &AMF);
    let (res, ck, ik, ak) = m.f2345(&rand);
    Challenge {
        rand,
        autn: autn(sqn, ak, mac),
        res: res.to_vec(),
        ck,
        ik,
    }
}

/// TS 34.108 §8.1.2: everything is a rotation of XDOUT = K ⊕ RAND.
fn xor(k: [u8; 16], rand: [u8; 16], sqn: [u8; 6]) -> Challenge {
    let xdout: [u8; 16] = core::array::from_fn(|at| k[at] ^ rand[at]);
    let rotated = |by: usize| core::array::from_fn::<u8, 16, _>(|at| xdout[(at + by) % 16]);
    let ak: [u8; 6] = core::array::from_fn(|at| xdout[at + 3]);
    let cdout: Vec<u8> = sqn.iter().chain(&AMF).copied().collect();
    let mac = core::array::from_fn(|at| xdout[at] ^ cdout[at]);
    Challenge {
        rand,
        autn: autn(sqn, ak, mac),
        res: xdout.to_vec(),
        ck: rotated(1),
        ik: rotated(2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<const N: usize>(text: &str) -> [u8; N] {
        hex::decode(text).unwrap().try_into().unwrap()
    }

    /// Test set 1 of TS 35.208.
    #[test]
    fn milenage_gives_the_published_answers() {
        let got = milenage(
            bytes("465b5ce8b199b49faa5f0a2ee238a6bc"),
            bytes("cd63cb71954a9f4e48a5994e37a02baf"),
            bytes("23553cbe9637a89d218ae64dae47bf35"),
            bytes("ff9bb4d0b607"),
        );
        assert_eq!(got.res, bytes::<8>("a54211d5e3ba50bf"));
        assert_eq!(got.ck, bytes("b40ba9a3c58b2a05bbf0d987b21bf8cb"));
        assert_eq!(got.ik, bytes("f769bcd751044604127672711c6d3441"));
        let concealed: [u8; 6] = core::array::from_fn(|at| {
            bytes::<6>("ff9bb4d0b607")[at] ^ bytes::<6>("aa689c648370")[at]
        });
        assert_eq!(got.autn[..6], concealed);
    }

    #[test]
    fn the_test_algorithm_rotates() {
        let k = core::array::from_fn(|at| at as u8);
        let got = xor(k, [0; 16], [0; 6]);
        assert_eq!(got.ck[0], 1);
        assert_eq!(got.ck[15], 0);
        assert_eq!(got.ik[..2], [2, 3]);
        assert_eq!(got.autn[..6], [3, 4, 5, 6, 7, 8]);
        assert_eq!(got.res, k);
    }
}
