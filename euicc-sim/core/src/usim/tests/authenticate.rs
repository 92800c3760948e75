//! AUTHENTICATE and GET IDENTITY as commands.
use super::{Sim, USIM, own_sim};
use crate::install::tests::{element, own_with, ts48};
use alloc::{format, string::String, vec::Vec};

/// A challenge for K = 01.., OPc = 02.. of our own package.
fn challenge(sqn: u64) -> String {
    let m = crate::auth::Milenage::new([1; 16], [2; 16]);
    let (rand, amf) = ([3; 16], [0x80, 0]);
    let sqn: [u8; 6] = sqn.to_be_bytes()[2..].try_into().unwrap();
    let v = crate::auth::Algorithm::Milenage(alloc::boxed::Box::new(m.clone())).vector(&rand);
    let mut autn: Vec<u8> = sqn.iter().zip(v.ak).map(|(s, k)| s ^ k).collect();
    autn.extend_from_slice(&amf);
    autn.extend_from_slice(&m.f1(&rand, &sqn, &amf).0);
    format!("10{}10{}", "03".repeat(16), hex::encode(autn))
}

#[test]
fn a_usim_authenticates_the_network_once_per_number() {
    let mut s = own_sim();
    s.expect("00880081", &challenge(32), "", 0x6985);
    s.open();
    let (out, sw) = s.apdu("00880081", &challenge(32));
    assert_eq!((&out[..4], out.len(), sw), ("db08", 2 * 44, 0x9000));
    let (out, sw) = s.apdu("00880081", &challenge(32));
    assert_eq!((&out[..4], out.len(), sw), ("dc0e", 32, 0x9000));
    let mut wrong = challenge(64);
    wrong.replace_range(66..68, "00");
    assert!(matches!(s.apdu("00880081", &wrong).1, 0x9862));
    let next = s.apdu("00880081", &challenge(64)).0;
    assert!(next.starts_with("db"));
    // Contexts: GSM is not in the service table, others are not there at all.
    let rand = format!("10{}", "03".repeat(16));
    for p2 in ["80", "82", "84", "85", "86"] {
        s.expect(&format!("008800{p2}"), &rand, "", 0x9864);
    }
    for header in ["00880001", "00880181", "00880083", "00880087", "00880089"] {
        s.expect(header, &rand, "", 0x6a86);
    }
    s.expect("00880081", &rand, "", 0x6700);
    s.expect("80880081", &challenge(96), "", 0x6e00);
    // At the MF the application is not current; in its directories it is.
    s.expect("00a4000c", "3f00", "", 0x9000);
    s.expect("00880081", &challenge(96), "", 0x6985);
    s.open();
    // PIN 1 must be verified when it is enabled.
    s.expect("00280001", "30303030ffffffff", "", 0x9000);
    s.verified.clear();
    s.expect("00880081", &challenge(96), "", 0x6982);
    s.expect("00200001", "30303030ffffffff", "", 0x9000);
    assert!(s.apdu("00880081", &challenge(96)).0.starts_with("db"));
}

#[test]
fn gsm_access_adds_the_gsm_context_and_its_key() {
    let mut s = own_sim();
    s.open();
    // Service 27 in EF.UST.
    s.expect("00d68403", "04", "", 0x9000);
    let (out, sw) = s.apdu("00880081", &challenge(32));
    assert_eq!((out.len(), sw), (2 * 53, 0x9000));
    assert_eq!(&out[88..90], "08");
    let kc = out[90..].to_owned();
    let (gsm, sw) = s.apdu("00880080", &format!("10{}", "03".repeat(16)));
    assert_eq!((&gsm[..2], &gsm[10..12], sw), ("04", "08", 0x9000));
    assert_eq!(gsm[12..], kc);
    s.expect("00880080", "10", "", 0x6700);
}

#[test]
fn ts48_profiles_authenticate_in_usim_and_isim() {
    for (name, der, _) in ts48() {
        let mut s = Sim::new(&der);
        for aid in [USIM, "a0000000871004ff49ff0589"] {
            let adf = s.image.application(&hex::decode(aid).unwrap()).unwrap();
            crate::usim::select_application(&s.image, &mut s.state, adf, 0x0C);
            // K = 00..0f, RAND = 0: XDOUT = K, AK = 03..08; SQN = 1, AMF = 0.
            let x: Vec<u8> = (0..16).collect();
            let sqn = [0, 0, 0, 0, 0, 1u8];
            let mut autn: Vec<u8> = (0..6).map(|i| sqn[i] ^ x[i + 3]).collect();
            autn.extend_from_slice(&[0, 0]);
            autn.extend((0..8).map(|i| x[i] ^ sqn.get(i).copied().unwrap_or(0)));
            let data = format!("10{}10{}", "00".repeat(16), hex::encode(&autn));
            let (out, sw) = s.apdu("00880081", &data);
            assert_eq!(sw, 0x9000, "{name} {aid}");
            let rot = |n: usize| hex::encode([&x[n..], &x[..n]].concat());
            let expected = format!("db10{}10{}10{}", rot(0), rot(1), rot(2));
            // The USIM of TS.48 has GSM access and adds Kc.
            assert_eq!(out[..expected.len()], expected, "{name} {aid}");
            assert_eq!(out.len() > expected.len(), aid == USIM, "{name} {aid}");
        }
    }
}

/// Our own package with EF.SUCI_Calc_Info for the USIM and DF.5GS.
fn private(info: &str) -> Sim {
    let directory = |tag: u32, n: u8, file: u32, content: Vec<u8>| {
        element(tag, true, 50, |w| {
            w.primitive(0x81, &[0x67, 0x81, 0x0F, 0x01, 0x02, n]);
            w.constructed(0xA2, |w| {
                w.constructed(0xA1, |w| {
                    w.primitive(0xC6, &[1]);
                });
            });
            w.constructed(file, |w| {
                w.primitive(0x83, &content);
            });
        })
    };
    let info = hex::decode(info.replace(' ', "")).unwrap();
    let saip = directory(0xBD, 14, 0xA3, info);
    let five = directory(0xBC, 13, 0xAC, alloc::vec![0x21, 0xF3, 0xFF, 0xFF]);
    let mut s = Sim::new(&own_with(&[five, saip]));
    s.open();
    // Our EF.UST has 14 bytes: a longer one has services 124 and 125.
    let ust = usize::from(s.image.child(s.state.directory, 0x6F38).unwrap());
    let mut services = s.image.files[ust].data.to_vec();
    services.resize(17, 0);
    services[15] = 0x18;
    s.image.files[ust].data = crate::fs::Content::new(&services);
    s
}

const KEY_A: &str = "5a8d38864820197c3394b92613b20b91633cbd897119273bf8e4a6f4eec0a650";
const KEY_B: &str = "0272da71976234ce833a6907425867b82e074d44ef907dfb4b3e21c1c2256ebcd1";

#[test]
fn the_usim_conceals_its_identity() {
    // IMSI 001010123456789: MCC 001, MNC 01; routing indicator 123.
    let plain = "01 00f110 21f3";
    let mut s = private("a0020000 a100");
    s.expect(
        "80780001",
        "",
        &format!("a10d {plain} 00 00 1032547698"),
        0x9000,
    );
    s.expect(
        "80780002",
        "",
        &format!("a10d {plain} 00 00 1032547698"),
        0x9000,
    );
    // Profile A with key 27, then B with key 5: ephemeral key, ciphertext of 5 bytes, MAC of 8.
    let keys = format!("80011b8120{KEY_A}8001058121{KEY_B}");
    for (list, id, key_id, ephemeral) in [("0101", "01", "1b", 32), ("0202", "02", "05", 33)] {
        let mut s = private(&format!("a002{list} a14b {keys}"));
        let (out, sw) = s.apdu("80780001", "");
        assert_eq!(sw, 0x9000);
        let length = 8 + ephemeral + 5 + 8;
        let head = format!("a1{length:02x}{}{id}{key_id}", plain.replace(' ', ""));
        assert_eq!(out[..head.len()], head);
        assert_eq!(out.len(), 2 * (2 + length));
        // Each time another one.
        assert_ne!(s.apdu("80780001", "").0, out);
    }
    // A scheme that isn't known is passed over; a key that is missing makes it the null scheme.
    let mut s = private(&format!("a004 0c01 0202 a14b {keys}"));
    assert_eq!(s.apdu("80780001", "").0[16..20], *"0205");
    let mut s = private(&format!("a002 0103 a14b {keys}"));
    assert_eq!(s.apdu("80780001", "").0[16..20], *"0000");
}

#[test]
fn get_identity_is_refused_where_it_must_be() {
    let mut s = private("a0020000 a100");
    s.expect("80780003", "", "", 0x6a86);
    s.expect("80780101", "", "", 0x6a86);
    s.expect("80780001", "00", "", 0x6700);
    s.expect("00780001", "", "", 0x6e00);
    s.expect("00280001", "30303030ffffffff", "", 0x9000);
    s.verified.clear();
    s.expect("80780001", "", "", 0x6982);
    // Without the services; with a list that is none; with a key that is none.
    own_sim().expect("80780001", "", "", 0x6985);
    let mut s = own_sim();
    s.open();
    s.expect("80780001", "", "", 0x6985);
    for info in ["ffff", "a002 0101 a105 8001018100"] {
        private(info).expect("80780001", "", "", 0x6985);
    }
}
