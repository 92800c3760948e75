//! Account ids (AID.02 §5.2): the vectors beside the workspace where they are, and what they leave out.
// A test that cannot set itself up has failed.
#![allow(clippy::unwrap_used)]

use aid_aid1::account_id::{AccountIdError, MAX_ACCOUNT_ID, Policy, Secret, issue, verify};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use uuid::Uuid;

const NOW: u64 = 1_700_000_000;
const KEY: &[u8] = b"msp1-secret-0123456789abcdef0123456789ab";

fn secret() -> Secret {
    Secret::new(KEY).unwrap()
}

/// Signs whatever is given.
fn forge(header: &str, payload: &str) -> String {
    let text = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(payload)
    );
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY).unwrap();
    mac.update(text.as_bytes());
    format!(
        "{text}.{}",
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    )
}

fn claims() -> Value {
    json!({"exp": NOW + 600, "ver": "6789", "sid": "a625211a-2cba-4136-aa8b-34c390b8a7d7", "iat": NOW - 10})
}

fn with(name: &str, value: Value) -> String {
    let mut claims = claims();
    claims[name] = value;
    forge(r#"{"alg":"HS256","typ":"JWT"}"#, &claims.to_string())
}

fn code(text: &str) -> Option<u16> {
    verify(text, &[secret()], &Policy::default(), NOW)
        .err()
        .map(|e| e.code().number())
}

// R-4.1-10, R-5.2-1, R-5.2-3, R-5.2-5, R-5.2-6, R-5.2-9
#[test]
fn vectors() {
    let Some(text) = aid_needs::shared_text("spec/vectors/account_id.json") else {
        return;
    };
    let all: Value = serde_json::from_str(&text).unwrap();
    let secret = Secret::new(all["msp_secret"].as_str().unwrap().as_bytes()).unwrap();
    let now = all["now"].as_u64().unwrap();
    let policy = Policy {
        max_lifetime: all["max_lifetime_s"].as_u64().unwrap(),
        skew: all["skew_s"].as_u64().unwrap(),
        ..Policy::default()
    };
    for vector in all["vectors"].as_array().unwrap() {
        let got = verify(
            vector["token"].as_str().unwrap(),
            std::slice::from_ref(&secret),
            &policy,
            now,
        );
        match (
            vector["expect"].as_str().unwrap(),
            vector["name"].as_str().unwrap(),
        ) {
            // Whether a sid is known and unused is for the CMP.
            ("accept" | "reject on 2nd use", _) | ("reject", "sid-other-msp") => {
                assert!(got.is_ok(), "{vector}: {got:?}");
            }
            ("policy", _) => {}
            // No token at all, so nothing that could be looked up: malformed, as the second reading decided.
            ("reject", "empty" | "opaque") => assert_eq!(got, Err(AccountIdError::Malformed)),
            (_, _) => assert_eq!(
                got.unwrap_err().code().to_string(),
                vector["code"],
                "{vector}"
            ),
        }
    }
}

// R-5.2-2, R-5.2-7, R-5.2-12
#[test]
fn what_is_issued_verifies_and_is_url_safe() {
    let sid = Uuid::new_v4();
    let id = issue(&secret(), sid, Some("0042"), NOW, 600).unwrap();
    assert_eq!(id.as_str().split('.').count(), 3);
    assert!(
        id.as_str()
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    );
    let header = URL_SAFE_NO_PAD
        .decode(id.as_str().split('.').next().unwrap())
        .unwrap();
    assert_eq!(header, br#"{"alg":"HS256","typ":"JWT"}"#);
    let claims = verify(id.as_str(), &[secret()], &Policy::default(), NOW + 599).unwrap();
    assert_eq!((claims.sid, claims.iat, claims.exp), (sid, NOW, NOW + 600));
    assert!(claims.ver_matches("0042") && !claims.ver_matches("42") && !claims.ver_matches(""));
    assert!(!format!("{claims:?}{:?}{id:?}", secret()).contains("0042"));
    assert!(
        !issue(&secret(), sid, None, NOW, 600)
            .unwrap()
            .as_str()
            .contains("InZlciI")
    );
    for bad in ["", "a b", "é", &"1".repeat(33)] {
        assert!(issue(&secret(), sid, Some(bad), NOW, 600).is_err());
    }
}

// The example of RFC 7515 appendix A.1 fixes the MAC against an independent computation.
#[test]
fn the_mac_is_that_of_rfc_7515() {
    let key = URL_SAFE_NO_PAD
        .decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
        .unwrap();
    let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let key = [Secret::new(&key).unwrap()];
    // The signature holds, so the claims are looked at: it has expired, and before that it lacks what we need.
    assert_eq!(
        verify(token, &key, &Policy::default(), NOW),
        Err(AccountIdError::Expired)
    );
    assert_eq!(
        verify(token, &key, &Policy::default(), 1_300_819_000),
        Err(AccountIdError::Claim("iat"))
    );
}

// R-5.2-3, R-5.2-4, R-5.2-6
#[test]
fn claims_are_checked_one_by_one() {
    for (name, value, expected) in [
        ("exp", json!(NOW), Some(11)),
        ("exp", json!(NOW + 1), None),
        ("exp", json!(NOW as f64 + 0.5), None),
        ("exp", json!(0), Some(11)),
        ("exp", json!(NOW + 86_401), Some(19)),
        ("exp", json!(u64::MAX), Some(19)),
        ("exp", json!(1e300), Some(19)),
        ("exp", json!(true), Some(19)),
        ("exp", Value::Null, Some(19)),
        ("exp", json!((NOW + 600).to_string()), Some(19)),
        ("iat", json!(NOW + 60), None),
        ("iat", json!(NOW + 61), Some(19)),
        ("iat", json!(-5), Some(19)),
        ("iat", json!(NOW - 86_000), Some(19)),
        ("nbf", json!(NOW + 3600), Some(19)),
        ("nbf", json!(NOW), None),
        ("sid", json!("a625211a2cba4136aa8b34c390b8a7d7"), Some(19)),
        (
            "sid",
            json!("{a625211a-2cba-4136-aa8b-34c390b8a7d7}"),
            Some(19),
        ),
        ("sid", Value::Null, Some(19)),
        ("ver", json!(6789), Some(19)),
        ("ver", json!(""), Some(19)),
        ("ver", json!("x".repeat(33)), Some(19)),
        ("extra", json!({"a": [1]}), None),
    ] {
        assert_eq!(code(&with(name, value.clone())), expected, "{name} {value}");
    }
    let huge = claims()
        .to_string()
        .replace(&(NOW + 600).to_string(), "1e400");
    assert_eq!(code(&forge(r#"{"alg":"HS256"}"#, &huge)), Some(19));
    let strings = Policy {
        times_as_strings: true,
        ..Policy::default()
    };
    assert!(
        verify(
            &with("exp", json!((NOW + 600).to_string())),
            &[secret()],
            &strings,
            NOW
        )
        .is_ok()
    );
    assert!(
        verify(
            &with("exp", json!("+1700000600")),
            &[secret()],
            &strings,
            NOW
        )
        .is_err()
    );
    let wanted = Policy {
        ver_required: true,
        ..Policy::default()
    };
    let id = issue(&secret(), Uuid::new_v4(), None, NOW, 60).unwrap();
    assert_eq!(
        verify(id.as_str(), &[secret()], &wanted, NOW),
        Err(AccountIdError::Claim("ver"))
    );
    let without = verify(id.as_str(), &[secret()], &Policy::default(), NOW).unwrap();
    assert_eq!(without.ver, None);
    assert!(!without.ver_matches("") && !without.ver_matches("0042"));
}

// Each limit at its edge: what is just allowed, and one more.
#[test]
fn limits_hold_to_the_second_and_to_the_character() {
    let at = |policy: &Policy, now: u64, name: &str, value: Value| {
        verify(&with(name, value), &[secret()], policy, now).map(|_| ())
    };
    let usual = Policy::default();
    // The life of an id: from iat to exp.
    let longest = NOW - 10 + usual.max_lifetime;
    assert_eq!(at(&usual, NOW, "exp", json!(longest)), Ok(()));
    let exp = Err(AccountIdError::Claim("exp"));
    assert_eq!(at(&usual, NOW, "exp", json!(longest + 1)), exp);
    // And from now to exp, for one that was issued in the future.
    let far = Policy {
        max_lifetime: 600,
        skew: 60,
        ..usual
    };
    let lives = |iat: u64, exp: u64| {
        let mut claims = claims();
        claims["iat"] = json!(iat);
        claims["exp"] = json!(exp);
        let text = forge(r#"{"alg":"HS256"}"#, &claims.to_string());
        verify(&text, &[secret()], &far, NOW).map(|_| ())
    };
    assert_eq!(lives(NOW + 60, NOW + 660), Ok(()));
    assert_eq!(lives(NOW + 60, NOW + 661), exp);
    assert_eq!(
        lives(NOW + 61, NOW + 660),
        Err(AccountIdError::Claim("iat"))
    );
    // 1970 is a time, what is before it is none.
    let any = Policy {
        max_lifetime: 10 * NOW,
        ..usual
    };
    assert_eq!(at(&any, NOW, "iat", json!(0)), Ok(()));
    let iat = Err(AccountIdError::Claim("iat"));
    assert_eq!(at(&any, NOW, "iat", json!(-1)), iat);
    for (nbf, expected) in [
        (NOW + 60, Ok(())),
        (NOW + 61, Err(AccountIdError::Claim("nbf"))),
    ] {
        assert_eq!(at(&usual, NOW, "nbf", json!(nbf)), expected);
    }
    // Times as strings have up to twelve digits.
    let strings = Policy {
        times_as_strings: true,
        max_lifetime: u64::MAX / 4,
        ..usual
    };
    assert_eq!(at(&strings, NOW, "exp", json!("999999999999")), Ok(()));
    assert_eq!(at(&strings, NOW, "exp", json!("0999999999999")), exp);
    assert_eq!(at(&strings, NOW, "exp", json!("")), exp);
    // The secret knowledge has up to 32 characters, the whole id up to MAX_ACCOUNT_ID.
    assert_eq!(at(&usual, NOW, "ver", json!("x".repeat(32))), Ok(()));
    let of_length = |n: usize| {
        let mut pad = n;
        loop {
            let text = with("pad", json!("x".repeat(pad)));
            if text.len() <= n {
                return text;
            }
            pad -= 1;
        }
    };
    let full = of_length(MAX_ACCOUNT_ID);
    assert_eq!(full.len(), MAX_ACCOUNT_ID);
    assert_eq!(code(&full), None);
    let more = of_length(MAX_ACCOUNT_ID + 2);
    assert!(more.len() > MAX_ACCOUNT_ID);
    let malformed = verify(&more, &[secret()], &usual, NOW);
    assert_eq!(malformed, Err(AccountIdError::Malformed));
}

#[test]
fn what_is_shown_says_how_long_it_is_and_nothing_else() {
    let shown = format!("{:?}", secret());
    assert_eq!(shown, format!("Secret({} bytes)", KEY.len()));
    let id = issue(&secret(), Uuid::from_u128(7), Some("0042"), NOW, 60).unwrap();
    let length = id.as_str().len();
    assert_eq!(format!("{id:?}"), format!("AccountId({length} characters)"));
    assert_eq!(id.as_ref() as &str, id.as_str());
    assert_eq!(id.to_string(), id.as_str());
    let claims = verify(id.as_str(), &[secret()], &Policy::default(), NOW).unwrap();
    let shown = format!("{claims:?}");
    assert!(
        shown.contains("<hidden>") && shown.contains(&NOW.to_string()),
        "{shown}"
    );
    assert!(!shown.contains("0042"), "{shown}");
}

// R-5.2-2: one header, whatever else is signed with the right key.
#[test]
fn other_headers_are_refused() {
    for header in [
        r#"{"alg":"hs256","typ":"JWT"}"#,
        r#"{"alg":"HS256","typ":"JWS"}"#,
        r#"{"alg":"HS256","typ":"JWT","kid":"1"}"#,
        r#"{"alg":"HS256","typ":"JWT","crit":["exp"]}"#,
        r#"{"alg":"HS256","alg":"HS256"}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"alg":"none"}"#,
        "[]",
        "x",
    ] {
        assert_eq!(
            code(&forge(header, &claims().to_string())),
            Some(12),
            "{header}"
        );
    }
}

// R-5.2-8: rotation needs two secrets at once; another party's secret never fits.
#[test]
fn any_of_the_agreed_secrets_and_no_other() {
    let new = Secret::new(b"a newer secret that is long enough to use").unwrap();
    let id = with("extra", json!(1));
    assert!(verify(&id, &[new.clone(), secret()], &Policy::default(), NOW).is_ok());
    assert_eq!(
        verify(&id, &[new], &Policy::default(), NOW),
        Err(AccountIdError::Signature)
    );
    assert_eq!(
        verify(&id, &[], &Policy::default(), NOW),
        Err(AccountIdError::Signature)
    );
    assert!(Secret::new(&KEY[..31]).is_err());
}

// R-4.1-5: nothing in it names the user; `ver` only where both sides agreed on it.
#[test]
fn an_issued_id_says_nothing_about_a_person() {
    let sid = Uuid::from_u128(7);
    for (ver, expected) in [
        (None, vec!["exp", "iat", "sid"]),
        (Some("4567"), vec!["exp", "iat", "sid", "ver"]),
    ] {
        let id = issue(&secret(), sid, ver, NOW, 3600).unwrap().to_string();
        let payload = id.split('.').nth(1).unwrap();
        let payload = URL_SAFE_NO_PAD.decode(payload).unwrap();
        let payload: Value = serde_json::from_slice(&payload).unwrap();
        let mut members: Vec<_> = payload.as_object().unwrap().keys().collect();
        members.sort();
        assert_eq!(members, expected);
    }
}

#[test]
fn forms_that_are_no_token() {
    let good = with("extra", json!(1));
    for (text, expected) in [
        (String::new(), 19),
        ("5f2c7a".into(), 19),
        ("..".into(), 12),
        (good.replacen('.', "", 1), 19),
        (good.replacen('.', "%2E", 1), 19),
        (good.replace('.', "%2e"), 19),
        (format!("{good}.x"), 19),
        (format!("{good}="), 12),
        (format!("{good}\n"), 12),
        (good.replace('-', "+").replace('_', "/") + "+", 12),
        ("a.".repeat(5000), 19),
        (format!("{good}{}", "A".repeat(2048)), 19),
    ] {
        assert_eq!(code(&text), Some(expected), "{text:.40}");
    }
}

proptest::proptest! {
    // Every single changed character is noticed.
    #[test]
    fn no_changed_character_passes(at in 0_usize..240, to in "[A-Za-z0-9_.-]") {
        let good = with("extra", json!(1));
        let at = at % good.len();
        let mut bad = good.clone();
        bad.replace_range(at..=at, &to);
        if bad != good {
            proptest::prop_assert!(code(&bad).is_some());
        }
    }
}
