//! Given the known answers of 3GPP and an independent implementation, then our algorithms agree; and
//! sequence numbers are judged as TS 33.102 Annex C.2 says.
mod milenage;

use super::*;
use std::format;

fn h<const N: usize>(s: &str) -> [u8; N] {
    hex::decode(s).unwrap().try_into().unwrap()
}

/// TS 35.233 §6.3 to §6.8: K, RAND, SQN, AMF, TOP, iterations, TOPc, f1, f1*, f2, f3, f4, f5, f5*.
const TUAK: [[&str; 14]; 6] = [
    [
        "abababababababababababababababab",
        "42424242424242424242424242424242",
        "111111111111",
        "ffff",
        "5555555555555555555555555555555555555555555555555555555555555555",
        "1",
        "bd04d9530e87513c5d837ac2ad954623a8e2330c115305a73eb45d1f40cccbff",
        "f9a54e6aeaa8618d",
        "e94b4dc6c7297df3",
        "657acd64",
        "d71a1e5c6caffe986a26f783e5c78be1",
        "be849fa2564f869aecee6f62d4337e72",
        "719f1e9b9054",
        "e7af6b3d0e38",
    ],
    [
        "fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0efeeedecebeae9e8e7e6e5e4e3e2e1e0",
        "0123456789abcdef0123456789abcdef",
        "0123456789ab",
        "abcd",
        "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
        "1",
        "305425427e18c503c8a4b294ea72c95d0c36c6c6b29d0c65de5974d5977f8524",
        "c0b8c2d4148ec7aa5f1d78a97e4d1d58",
        "ef81af7290f7842c6ceafa537fa0745b",
        "e9d749dc4eea0035",
        "a4cb6f6529ab17f8337f27baa8234d47",
        "2274155ccf4199d5e2abcbf621907f90",
        "480a9345cc1e",
        "f84eb338848c",
    ],
    [
        "fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0efeeedecebeae9e8e7e6e5e4e3e2e1e0",
        "0123456789abcdef0123456789abcdef",
        "0123456789ab",
        "abcd",
        "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
        "1",
        "305425427e18c503c8a4b294ea72c95d0c36c6c6b29d0c65de5974d5977f8524",
        "d97b75a1776065271b1e212bc3b1bf173f438b21e6c64a55a96c372e085e5cc5",
        "427bbf07c6e3a86c54f8c5216499f3909a6fd4a164c9fe235b1550258111b821",
        "07021c73e7635c7d",
        "4d59ac796834eb85d11fa148a5058c3c",
        "126d47500136fdc5ddfd14f19ebf16749ce4b6435323fbb5715a3a796a6082bd",
        "1d6622c4e59a",
        "f84eb338848c",
    ],
    [
        "b8da837a50652d6ac7c97da14f6acc61",
        "6887e55425a966bd86c9661a5fa72be8",
        "0dea2ee2c5af",
        "df1e",
        "0952be13556c32ebc58195d9dd930493e12a9003669988ffde5fa1f0fe35cc01",
        "1",
        "2bc16eb657a68e1f446f08f57c0efb1d493527a2e652ce281eb6ca0e4487760a",
        "749214087958dd8f58bfcdf869d8ae3f",
        "619e865afe80e382aee13063f9dfb56d",
        "4041ce438e3e38e8aa96562eed83ac43",
        "3e3bc01bea0cd914c4c2c83ce2d92757",
        "666a8e6f577b1aa77b7fd53cebb8a3d6",
        "1f880d005119",
        "45e617d77fe5",
    ],
    [
        "1574ca56881d05c189c82880f789c9cd4244955f4426aa2b69c29f15770e5aa5",
        "c570aac68cde651fb1e3088322498bef",
        "c89bb71f3a41",
        "297d",
        "e59f6eb10ea406813f4991b0b9e02f181edf4c7e17b480f66d34da35ee88c95e",
        "1",
        "3c6052e41532a28a47aa3cbb89f223e8f3aaa976aecd48bc3e7d6165a55eff62",
        "d7340dad02b4cb01",
        "c6021e2e66accb15",
        "84d89b41db1867ffd4c7ba1d82163f4d526a20fbae5418fbb526940b1eeb905c",
        "d419676afe5ab58c1d8bee0d43523a4d2f52ef0b31a4676a0c334427a988fe65",
        "205533e505661b61d05cc0eac87818f4",
        "d7b3d2d4980a",
        "ca9655264986",
    ],
    [
        "1574ca56881d05c189c82880f789c9cd4244955f4426aa2b69c29f15770e5aa5",
        "c570aac68cde651fb1e3088322498bef",
        "c89bb71f3a41",
        "297d",
        "e59f6eb10ea406813f4991b0b9e02f181edf4c7e17b480f66d34da35ee88c95e",
        "2",
        "b04a66f26c62fcd6c82de22a179ab65506ecf47f56245cd149966cfa9cec7a51",
        "90d2289ed1ca1c3dbc2247bb480d431ac71d2e4a7677f6e997cfddb0cbad88b7",
        "427355dbac30e825063aba61b556e87583abac638e3ab01c4c884ad9d458dc2f",
        "d67e6e64590d22eecba7324afa4af4460c93f01b24506d6e12047d789a94c867",
        "ede57edfc57cdffe1aae75066a1b7479bbc3837438e88d37a801cccc9f972b89",
        "48ed9299126e5057402fe01f9201cf25249f9c5c0ed2afcf084755daff1d3999",
        "6aae8d18c448",
        "8c5f33b61f4e",
    ],
];

fn tuak(set: &[&str; 14]) -> Tuak {
    let bytes = |hex: &str| (hex.len() / 2) as u8;
    Tuak {
        k: hex::decode(set[0]).unwrap(),
        topc: h(set[6]),
        lengths: Lengths {
            mac: bytes(set[7]),
            res: bytes(set[9]),
            ck: bytes(set[10]),
            ik: bytes(set[11]),
        },
        iterations: set[5].parse().unwrap(),
    }
}

#[test]
fn tuak_gives_the_known_answers() {
    for (n, set) in TUAK.iter().enumerate() {
        let t = tuak(set);
        let topc = Tuak::topc(&t.k, &h(set[4]), t.iterations);
        assert_eq!(hex::encode(topc), set[6], "set {}", n + 1);
        let rand = h(set[1]);
        let (sqn, amf) = (h(set[2]), h(set[3]));
        let v = t.f2345(&rand);
        let got = [
            hex::encode(t.f1(&rand, &sqn, &amf)),
            hex::encode(t.f1_star(&rand, &sqn, &amf)),
            hex::encode(v.res),
            hex::encode(v.ck),
            hex::encode(v.ik),
            hex::encode(v.ak),
            hex::encode(v.ak_star),
        ];
        assert_eq!(got, set[7..], "set {}", n + 1);
    }
}

/// A challenge as the network makes it.
fn challenge_for(algorithm: &Algorithm, rand: [u8; 16], sqn: u64, amf: [u8; 2]) -> Vec<u8> {
    let sqn: [u8; 6] = sqn.to_be_bytes()[2..].try_into().unwrap();
    let v = algorithm.vector(&rand);
    let mac = algorithm.mac(&rand, &sqn, &amf).0;
    let mut data = alloc::vec![16];
    data.extend_from_slice(&rand);
    data.push(8 + mac.len() as u8);
    data.extend(sqn.iter().zip(v.ak).map(|(s, k)| s ^ k));
    data.extend_from_slice(&amf);
    data.extend_from_slice(&mac);
    data
}

fn key(algorithm: Algorithm) -> Key {
    Key {
        directory: 1,
        algorithm,
        sequence: Sequence::new([0; 32]),
    }
}

#[test]
fn a_challenge_is_answered_with_every_algorithm_and_length() {
    let mut all = alloc::vec![
        Algorithm::Milenage(Box::new(Milenage::new([1; 16], [2; 16]))),
        Algorithm::Test(TestAlgorithm::new([7; 16])),
    ];
    all.extend(TUAK.iter().map(|set| Algorithm::Tuak(Box::new(tuak(set)))));
    for algorithm in all {
        let key = key(algorithm);
        let data = challenge_for(&key.algorithm, [3; 16], 0x25, [0x80, 0]);
        let v = key.algorithm.vector(&[3; 16]);
        let (out, sw, _) = authenticate(&key, &data, false);
        let lengths = [v.res.len(), v.ck.len(), v.ik.len()];
        let expected = format!(
            "db{:02x}{}{:02x}{}{:02x}{}",
            lengths[0],
            hex::encode(&v.res),
            lengths[1],
            hex::encode(&v.ck),
            lengths[2],
            hex::encode(&v.ik)
        );
        assert_eq!((hex::encode(out), sw), (expected, 0x9000));
        // The GSM key is the last 9 bytes when the service is there.
        let (with_kc, _, _) = authenticate(&key, &data, true);
        let kc = &with_kc[with_kc.len() - 9..];
        let gsm = authenticate_gsm(&key, &data[..17]).0;
        assert_eq!((kc[0], &kc[1..]), (8, &gsm[6..]));
        assert_eq!((gsm[0], gsm[5], gsm.len()), (4, 8, 14));
        // A byte of the MAC.
        let mut wrong = data.clone();
        *wrong.last_mut().unwrap() ^= 1;
        assert_eq!(authenticate(&key, &wrong, false).1, 0x9862);
        // Lengths that are none.
        for bad in [&data[..data.len() - 1], &data[..33], &[], &[16]] {
            assert_eq!(authenticate(&key, bad, false).1, 0x6700);
        }
        assert_eq!(authenticate_gsm(&key, &data[..16]).1, 0x6700);
    }
}

#[test]
fn the_test_algorithm_is_that_of_ts_34_108() {
    // K = 00..0f and RAND = 0 give XDOUT = K: RES, CK, IK, AK are rotations of it (§8.1.2.1).
    let k: [u8; 16] = core::array::from_fn(|i| i as u8);
    let t = TestAlgorithm::new(k);
    let v = t.vector(&[0; 16]);
    assert_eq!(hex::encode(v.res), "000102030405060708090a0b0c0d0e0f");
    assert_eq!(hex::encode(v.ck), "0102030405060708090a0b0c0d0e0f00");
    assert_eq!(hex::encode(v.ik), "02030405060708090a0b0c0d0e0f0001");
    assert_eq!(hex::encode(v.ak), "030405060708");
    // CDOUT = SQN, AMF; XMAC = XDOUT xor CDOUT.
    let mac = t.mac(&[0; 16], &h("010203040506"), &h("8001"));
    assert_eq!(hex::encode(mac), "0103010701038606");
    // AMF FFFF asks for a resynchronisation.
    let key = key(Algorithm::Test(t));
    let data = challenge_for(&key.algorithm, [0; 16], 1, [0xFF, 0xFF]);
    let (out, sw, change) = authenticate(&key, &data, false);
    assert_eq!((out[0], out[1], sw, change), (0xDC, 14, 0x9000, None));
    let short = TestAlgorithm { k, res_len: 8 };
    assert_eq!(short.vector(&[0; 16]).res.len(), 8);
}

#[test]
fn a_replayed_challenge_resynchronises_with_the_highest_number() {
    for algorithm in [
        Algorithm::Milenage(Box::new(Milenage::new([1; 16], [2; 16]))),
        Algorithm::Tuak(Box::new(tuak(&TUAK[4]))),
    ] {
        let mut key = key(algorithm);
        let rand = [3; 16];
        // SEQ 9, IND 4.
        let data = challenge_for(&key.algorithm, rand, 9 << 5 | 4, [0x80, 0]);
        let change = authenticate(&key, &data, false).2;
        let expected = Accepted { index: 4, seq: 9 };
        assert_eq!(change, Some(expected));
        key.sequence.array[4] = 9;
        key.sequence.array[2] = 7;
        let (out, sw, change) = authenticate(&key, &data, false);
        assert_eq!((out[0], out[1], sw, change), (0xDC, 14, 0x9000, None));
        // What the network does with AUTS: AK*, then MAC-S for AMF 0000.
        let v = key.algorithm.vector(&rand);
        let sqn: Vec<u8> = out[2..8]
            .iter()
            .zip(v.ak_star)
            .map(|(a, k)| a ^ k)
            .collect();
        assert_eq!(sqn, [0, 0, 0, 0, 1, 0x24]);
        let sqn: [u8; 6] = sqn.try_into().unwrap();
        assert_eq!(out[8..], key.algorithm.mac(&rand, &sqn, &[0, 0]).1);
    }
}

#[test]
fn sequence_numbers_are_judged_as_annex_c_says() {
    let sqn =
        |seq: u64, ind: u64| -> [u8; 6] { (seq << 5 | ind).to_be_bytes()[2..].try_into().unwrap() };
    let mut s = Sequence::new([0; 32]);
    s.array[3] = 100;
    // Each index has its own number.
    assert_eq!(s.check(sqn(101, 3)), Some((3, 101)));
    assert_eq!(s.check(sqn(100, 3)), None);
    assert_eq!(s.check(sqn(1, 4)), Some((4, 1)));
    assert_eq!(s.check(sqn(0, 4)), None);
    // Without Δ any leap is taken, up to 43 bits.
    assert_eq!(s.check(sqn((1 << 43) - 1, 31)), Some((31, (1 << 43) - 1)));
    s.delta = Some(1000);
    assert_eq!(s.check(sqn(1100, 5)), Some((5, 1100)));
    assert_eq!(s.check(sqn(1101, 5)), None);
    s.age_limit = Some(60);
    assert_eq!(s.check(sqn(40, 6)), Some((6, 40)));
    assert_eq!(s.check(sqn(39, 6)), None);
    assert_eq!(s.highest(), sqn(100, 3));
}

proptest::proptest! {
    #[test]
    fn milenage_agrees_with_an_independent_implementation(k: [u8; 16], opc: [u8; 16], rand: [u8; 16], sqn: [u8; 6], amf: [u8; 2]) {
        let m = Milenage::new(k, opc);
        let mut other = ::milenage::Milenage::new_with_opc(k, opc);
        let v = m.f2345(&rand);
        let (res, ck, ik, ak) = other.f2345(&rand);
        assert_eq!((&v.res[..], &v.ck[..], &v.ik[..], v.ak), (&res[..], &ck[..], &ik[..], ak));
        assert_eq!(m.f1(&rand, &sqn, &amf).0, other.f1(&rand, &sqn, &amf));
    }
}
