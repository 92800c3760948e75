//! Both ends of a session against each other, and against a recorded session.
use super::*;
use crate::crypto::Curve;
use crate::{
    crypto::{Crypto, PrivateKey, PublicKey, SoftwareCrypto},
    testdata,
    tlv::{Reader, Tag, Tlv},
};
use proptest::prelude::*;

fn pair() -> (Bsp, Bsp) {
    let keys = SessionKeys::new([1; 16], [2; 16], [3; 16]);
    (Bsp::new(&keys), Bsp::new(&keys))
}

#[test]
fn the_longest_segment_is_1020_bytes() {
    let (mut dp, mut card) = pair();
    let mut out = Vec::new();
    dp.protect(0x86, &[0xAA; MAX_PLAIN], &mut out).unwrap();
    assert_eq!(out.len(), MAX_SEGMENT);
    let mut plain = Vec::new();
    card.open(&Tlv::parse(&out).unwrap(), &mut plain).unwrap();
    assert_eq!(plain, [0xAA; MAX_PLAIN]);
    out.clear();
    dp.mac_only(0x88, &[0xBB; MAX_PLAIN_MAC_ONLY], &mut out)
        .unwrap();
    assert_eq!(out.len(), MAX_SEGMENT);
    assert_eq!(
        dp.protect(0x86, &[0; MAX_PLAIN + 1], &mut out),
        Err(BspError::TooLong {
            got: 1008,
            max: 1007
        })
    );
}

#[test]
fn an_altered_or_reordered_segment_is_refused() {
    let (mut dp, mut card) = pair();
    let (mut a, mut b) = (Vec::new(), Vec::new());
    dp.protect(0x87, b"first", &mut a).unwrap();
    dp.protect(0x87, b"second", &mut b).unwrap();
    let mut plain = Vec::new();
    assert_eq!(
        card.open(&Tlv::parse(&b).unwrap(), &mut plain),
        Err(BspError::Mac)
    );
    let last = a.len() - 1;
    a[last] ^= 1;
    assert_eq!(
        card.open(&Tlv::parse(&a).unwrap(), &mut plain),
        Err(BspError::Mac)
    );
    assert_eq!(
        card.open(&Tlv::parse(&[0x86, 1, 0]).unwrap(), &mut plain),
        Err(BspError::Structure { got: 1 })
    );
    assert!(plain.is_empty());
}

/// A whole recorded session: every segment decrypts, and encrypts to the same bytes again.
#[test]
fn the_recorded_session_opens_and_is_reproduced() {
    let dir = "data/vectors/euicc-rsp-session";
    let file = |name: &str| testdata::bytes(&format!("{dir}/{name}"));
    let Some(bpp) = file("bound-profile-package.der") else {
        return;
    };
    let otsk: [u8; 32] = file("otsk-dp.bin").unwrap().try_into().unwrap();
    let response = file("prepare-download-response.der").unwrap();
    let at = response
        .windows(3)
        .position(|w| w == [0x5F, 0x49, 0x41])
        .unwrap()
        + 3;
    let otpk_euicc = PublicKey::from_bytes(Curve::NistP256, &response[at..at + 65]).unwrap();
    let secret = SoftwareCrypto::new()
        .ecdh(&PrivateKey::from_bytes(Curve::NistP256, otsk), &otpk_euicc)
        .unwrap();
    let eid: [u8; 16] = hex::decode("89049032123451234512345678901235")
        .unwrap()
        .try_into()
        .unwrap();
    let keys = SessionKeys::derive(
        &secret,
        KeyAgreementParams {
            host_id: b"euicc-rsp",
            eid: &eid,
        },
    );
    let (mut card, mut dp) = (Bsp::new(&keys), Bsp::new(&keys));

    let mut plains = Vec::new();
    for sequence in Tlv::parse(&bpp).unwrap().children().skip(1) {
        for segment in Reader::new(sequence.unwrap().value) {
            let segment = segment.unwrap();
            let (mut plain, mut again) = (Vec::new(), Vec::new());
            if segment.tag == 0x88 {
                plain.extend_from_slice(card.verify(&segment).unwrap());
                dp.mac_only(0x88, &plain, &mut again).unwrap();
            } else {
                card.open(&segment, &mut plain).unwrap();
                dp.protect(segment.tag, &plain, &mut again).unwrap();
            }
            assert_eq!(again, segment.raw);
            plains.push(plain);
        }
    }
    assert_eq!(plains[0], [0xBF, 0x24, 0x00]);
    assert_eq!(plains[1], file("store-metadata.der").unwrap());
    assert_eq!(plains[2], file("upp.der").unwrap());
}

/// Computed with OpenSSL alone (AES-128-ECB and CMAC), from SGP.22 §2.5.4 and SCP03: chaining value 01…,
/// S-ENC 02…, S-MAC 03…; one session, in this order.
const SEGMENTS: [(Tag, &str, &str); 3] = [
    (
        0x87,
        "6669727374",
        "87181a8e610289f6055cca9c08659c1c79a2080b94b386a19046",
    ),
    (
        0x88,
        "6d65746164617461",
        "88106d65746164617461473d9aaf05da107d",
    ),
    (
        0x86,
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f2021222324252627",
        "8638735a63fea8a569b383505cad6a7409edf6b40b3e1d0d24e73d11899f703f61d54ecd0885d0794d711398b7b05575cad7\
         3e334941ad5ec668",
    ),
];
/// The fourth segment: 200 times AA.
const LONG: &str = "8681d8e3c64c7bd3c654b1d62f131405817f347ce91a9bec458d31a07e62a86d5c4b1a4340ed9b1c06c4a2871b9aa5fd\
    fa8ff3e25dbabab88f30f780320036e33cc9f400c4fdd2533c2f07495cc1fde91e1dcb8f4bfc1e5cc815844cd6e4fc2ea70083dcdf1b201211ceb96b2e9d36\
    0321fea602cbe3bc47d2ea471e219009256bafcd1b20bd0e3f64b90707d45cddb4525e71055a6459417bb0d6a496c486b32653d641aeb24a86e5dbb43010d3\
    5a7739787cbb275d5daea610ce1c150ac2cabd47aad5320f24fbb41d37182b01e662332e66a0f6b68cf5a50eb8";

#[test]
fn a_session_has_the_bytes_of_an_independent_implementation() {
    let (mut dp, mut card) = pair();
    let long = "aa".repeat(200);
    let all = SEGMENTS.into_iter().chain([(0x86, long.as_str(), LONG)]);
    for (tag, plain, expected) in all {
        let plain = hex::decode(plain).unwrap();
        let mut out = Vec::new();
        let mut opened = Vec::new();
        if tag == 0x88 {
            dp.mac_only(tag, &plain, &mut out).unwrap();
            opened.extend_from_slice(card.verify(&Tlv::parse(&out).unwrap()).unwrap());
        } else {
            dp.protect(tag, &plain, &mut out).unwrap();
            card.open(&Tlv::parse(&out).unwrap(), &mut opened).unwrap();
        }
        assert_eq!(hex::encode(&out), expected);
        assert_eq!(opened, plain);
    }
}

/// A segment with a right MAC over these blocks, encrypted as the first of a session.
fn sealed(plain: &[u8]) -> Vec<u8> {
    use aes::cipher::{BlockCipherEncrypt, KeyInit};
    let cipher = aes::Aes128::new(&[2; 16].into());
    let mut chain = 1u128.to_be_bytes();
    cipher.encrypt_block((&mut chain).into());
    let mut data = Vec::new();
    for block in plain.chunks(16) {
        let mut block: [u8; 16] = core::array::from_fn(|i| block[i] ^ chain[i]);
        cipher.encrypt_block((&mut block).into());
        chain = block;
        data.extend_from_slice(&block);
    }
    let mut out = Vec::new();
    pair().0.mac_only(0x86, &data, &mut out).unwrap();
    out
}

#[test]
fn padding_is_one_bit_and_less_than_a_block_of_zeros() {
    let padded = |head: &[u8], len: usize| {
        let mut plain = head.to_vec();
        plain.resize(len, 0);
        plain
    };
    for (plain, expected) in [
        (padded(&[0x80], 16), Ok(0)),
        (padded(&[1, 2, 0x80], 16), Ok(2)),
        (padded(&[[7; 15].as_slice(), &[0x80]].concat(), 16), Ok(15)),
        (padded(&[[7; 16].as_slice(), &[0x80]].concat(), 32), Ok(16)),
        (padded(&[0x80, 0x80], 16), Ok(1)),
        // No bit; another one; a whole block of zeros and more behind it.
        (padded(&[], 16), Err(BspError::Padding)),
        (padded(&[1], 16), Err(BspError::Padding)),
        (padded(&[0x80, 0, 1], 16), Err(BspError::Padding)),
        (padded(&[0x81], 16), Err(BspError::Padding)),
        (
            padded(&[[7; 15].as_slice(), &[0x80]].concat(), 32),
            Err(BspError::Padding),
        ),
        (padded(&[0x80], 32), Err(BspError::Padding)),
    ] {
        let segment = sealed(&plain);
        let mut out = std::vec![0x55];
        let got = pair().1.open(&Tlv::parse(&segment).unwrap(), &mut out);
        match expected {
            Ok(length) => {
                assert_eq!(got, Ok(()), "{plain:02X?}");
                assert_eq!(out[1..], plain[..length]);
            }
            Err(error) => {
                assert_eq!(got, Err(error), "{plain:02X?}");
                assert_eq!(out, [0x55], "nothing of it is left");
            }
        }
    }
}

#[test]
fn a_segment_has_whole_blocks_and_a_mac() {
    for length in [0, 1, 7, 8, 15, 17, 24] {
        let mut out = Vec::new();
        pair()
            .0
            .mac_only(0x86, &std::vec![9; length], &mut out)
            .unwrap();
        let mut plain = Vec::new();
        let got = pair().1.open(&Tlv::parse(&out).unwrap(), &mut plain);
        assert_eq!(
            got,
            Err(BspError::Structure { got: length + 8 }),
            "{length}"
        );
        let got = pair().1.verify(&Tlv::parse(&out).unwrap()).map(<[u8]>::len);
        assert_eq!(got, Ok(length));
    }
    for length in 0..8 {
        let segment = [&[0x86, length as u8][..], &std::vec![0; length]].concat();
        let got = pair().1.verify(&Tlv::parse(&segment).unwrap());
        assert_eq!(got, Err(BspError::Structure { got: length }));
    }
    // The tag and the length are under the MAC.
    let (mut dp, mut card) = pair();
    let mut out = Vec::new();
    dp.mac_only(0x88, b"abc", &mut out).unwrap();
    out[0] = 0x87;
    assert_eq!(card.verify(&Tlv::parse(&out).unwrap()), Err(BspError::Mac));
    let most = std::vec![0; MAX_PLAIN_MAC_ONLY + 1];
    assert!(matches!(
        dp.mac_only(0x88, &most, &mut out),
        Err(BspError::TooLong { .. })
    ));
}

#[test]
fn keys_that_are_replaced_begin_a_new_session() {
    let (mut dp, mut card) = pair();
    let mut out = Vec::new();
    dp.protect(0x87, b"before", &mut out).unwrap();
    card.open(&Tlv::parse(&out).unwrap(), &mut Vec::new())
        .unwrap();
    let keys = SessionKeys::new([1; 16], [2; 16], [3; 16]);
    dp.replace_keys(&keys);
    card.replace_keys(&keys);
    out.clear();
    dp.protect(0x87, &hex::decode(SEGMENTS[0].1).unwrap(), &mut out)
        .unwrap();
    // Counter and chain are those of a beginning.
    assert_eq!(hex::encode(&out), SEGMENTS[0].2);
    let mut plain = Vec::new();
    card.open(&Tlv::parse(&out).unwrap(), &mut plain).unwrap();
    assert_eq!(plain, b"first");
}

proptest! {
    #[test]
    fn segments_of_any_size_round_trip(
        parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..MAX_PLAIN), 1..5)
    ) {
        let (mut dp, mut card) = pair();
        for part in &parts {
            let (mut out, mut plain) = (Vec::new(), Vec::new());
            dp.protect(0x86, part, &mut out).unwrap();
            card.open(&Tlv::parse(&out).unwrap(), &mut plain).unwrap();
            prop_assert_eq!(part, &plain);
        }
    }

    #[test]
    fn garbage_never_panics(value in proptest::collection::vec(any::<u8>(), 0..200)) {
        let (_, mut card) = pair();
        let mut plain = Vec::new();
        let tlv = Tlv { tag: 0x86, value: &value, raw: &value };
        prop_assert!(card.open(&tlv, &mut plain).is_err());
    }
}
