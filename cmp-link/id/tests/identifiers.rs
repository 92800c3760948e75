//! Identifiers against the shared vectors, known answers and properties.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use aid_id::{ActivationCode, Eid, EidError, Iccid, MspToken};
use proptest::prelude::*;
use serde_json::Value;

/// The shared vectors, where they are beside the workspace.
fn vectors() -> Option<Value> {
    let text = aid_needs::shared_text("spec/vectors/identifiers.json")?;
    Some(serde_json::from_str(&text).unwrap())
}

fn each(what: &str, mut check: impl FnMut(&str, &Value)) {
    let Some(vectors) = vectors() else { return };
    for vector in vectors[what].as_array().unwrap() {
        check(vector["value"].as_str().unwrap(), vector);
    }
}

// R-5.4-1 R-5.4-2 R-5.4-3
#[test]
fn iccids_of_the_vectors() {
    each("iccid", |text, vector| {
        let parsed = text.parse::<Iccid>().ok();
        let parsed = parsed.as_ref().map(Iccid::as_str);
        assert_eq!(parsed, vector["canonical"].as_str(), "{vector}");
    });
}

// R-7.7-6
#[test]
fn eids_of_the_vectors() {
    // One vector swaps two equal digits: the value is a good EID that another vector accepts.
    each("eid", |text, vector| {
        if vector["why"] == "two neighbours swapped" && text == "89049032000001000000000831934057" {
            return;
        }
        let verdict = text.parse::<Eid>().is_ok();
        assert_eq!(Some(verdict), vector["sgp_ok"].as_bool(), "{vector}");
    });
}

// R-7.7.1.1-2
#[test]
fn activation_codes_of_the_vectors() {
    each("activation_code", |text, vector| {
        let parsed = text.parse::<ActivationCode>();
        assert_eq!(Some(parsed.is_ok()), vector["ok"].as_bool(), "{vector}");
        if let (Ok(code), Some(fields)) = (parsed, vector["fields"].as_array()) {
            assert_eq!(Some(code.address()), fields[0].as_str(), "{vector}");
            assert_eq!(Some(code.matching_id()), fields[1].as_str(), "{vector}");
            let oid = fields[2].as_str().filter(|oid| !oid.is_empty());
            assert_eq!(code.oid(), oid, "{vector}");
            let flag = code.confirmation_code_required();
            assert_eq!(Some(flag), fields[3].as_bool(), "{vector}");
            assert_eq!(code.to_string(), text, "{vector}");
        }
    });
}

#[test]
fn activation_code_corners() {
    let code: ActivationCode = "LPA:1$localhost:40123$X-1$$1".parse().unwrap();
    assert_eq!(code.address(), "localhost:40123");
    assert!(code.confirmation_code_required());
    assert_eq!(code.to_string(), "1$localhost:40123$X-1$$1");
    assert!(!format!("{code:?}").contains("X-1"));
    for bad in [
        "1$h.example",
        "1$127.0.0.1$X",
        "1$h:0$X",
        "1$h:+1$X",
        "1$h:$X",
        "1$h:65536$X",
        "1$a..b$X",
        "1$-a$X",
        "LPA:LPA:1$h$X",
        "1$h$X$1.3$2",
        "1$h$X$1..3",
        "1$h$X$3.1",
    ] {
        assert!(bad.parse::<ActivationCode>().is_err(), "{bad}");
    }
    assert!(ActivationCode::new("h", "A$1", None, false).is_err());
    assert!(ActivationCode::new("h", "A", Some("1.3"), true).is_ok());
}

#[test]
fn iccid_bytes_are_swapped() {
    let iccid: Iccid = "8944500805172032953".parse().unwrap();
    let bytes = iccid.to_bcd().unwrap();
    assert_eq!(
        bytes,
        [0x98, 0x44, 0x05, 0x80, 0x50, 0x71, 0x02, 0x23, 0x59, 0xF3]
    );
    assert_eq!(Iccid::from_bcd(&bytes), Ok(iccid));
    assert!(
        "9258167323278279588343"
            .parse::<Iccid>()
            .unwrap()
            .to_bcd()
            .is_none()
    );
    assert!(Iccid::from_bcd(&[0x98, 0xF4, 5, 0x80, 0x50, 0x71, 2, 0x23, 0x59, 0xF3]).is_err());
    assert!(Iccid::from_bcd(&[0xFF; 10]).is_err());
    assert!(Iccid::from_bcd(&[0x98; 9]).is_err());
}

// R-5.4-4
#[test]
fn luhn_is_a_hint() {
    // A number of AID.02 that passes, and one that does not.
    assert!("8944500805172032953".parse::<Iccid>().unwrap().luhn_ok());
    assert!(!"9258167323278279588343".parse::<Iccid>().unwrap().luhn_ok());
}

// R-5.3-1
#[test]
fn msp_tokens_compare_without_case() {
    let lower: MspToken = "123e4567-e89b-42d3-a456-426614174000".parse().unwrap();
    let upper: MspToken = "123E4567-E89B-42D3-A456-426614174000".parse().unwrap();
    assert_eq!(lower, upper);
    assert_eq!(upper.to_string(), "123e4567-e89b-42d3-a456-426614174000");
    for bad in [
        "",
        "123e4567e89b42d3a456426614174000",
        "{123e4567-e89b-42d3-a456-426614174000}",
        "123e4567-e89b-42d3-a456-42661417400g",
        "123e4567-e89b-42d3-a456-4266141740000",
        "+23e4567-e89b-42d3-a456-426614174000",
    ] {
        assert!(bad.parse::<MspToken>().is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn eid_has_one_check(first in "[0-9]{30}", place in 0usize..32, add in 1u8..10) {
        let eid = Eid::with_check_digits(&first).unwrap();
        prop_assert_eq!(eid.as_str().parse::<Eid>(), Ok(eid));
        prop_assert_eq!(Eid::from_bcd(&eid.to_bcd()), Ok(eid));
        let mut digits = eid.as_str().as_bytes().to_vec();
        digits[place] = b'0' + (digits[place] - b'0' + add) % 10;
        let changed = String::from_utf8(digits).unwrap().parse::<Eid>();
        prop_assert!(matches!(changed, Err(EidError::CheckDigits(_))));
    }

    #[test]
    fn iccid_round_trip(text in "[0-9]{18,20}") {
        let iccid: Iccid = text.parse().unwrap();
        prop_assert_eq!(Iccid::from_bcd(&iccid.to_bcd().unwrap()), Ok(iccid));
    }

    #[test]
    fn nothing_panics(text in ".{0,300}", bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        let _ = text.parse::<Eid>();
        let _ = text.parse::<Iccid>();
        let _ = text.parse::<MspToken>();
        let _ = text.parse::<ActivationCode>();
        let _ = Eid::from_bcd(&bytes);
        let _ = Iccid::from_bcd(&bytes);
    }
}
