//! Both ends of a session against each other, and against a recorded session.
use super::*;
use crate::crypto::Curve;
use crate::{
    crypto::{Crypto, PrivateKey, PublicKey, SoftwareCrypto},
    testdata,
    tlv::{Reader, Tlv},
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
