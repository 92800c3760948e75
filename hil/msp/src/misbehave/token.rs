//! Misbehaviours about the token and the phone number: Send MSP Token, Update Subscription Info (AID.02 §7.3, §7.6).

use aes_gcm::aead::{Aead as _, KeyInit as _};
use aes_gcm::{Aes256Gcm, Nonce};
use aid_aid1::phone::IV_LENGTH;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::Name;
use super::rules::Fired;

/// Longest `error` that AID.02 §7.3 allows, plus one.
const TOO_LONG: usize = 513;

/// What a call is about.
#[derive(Clone, Debug)]
pub(crate) struct Customer<'a> {
    /// Key of the phone numbers.
    pub(crate) phone_key: &'a [u8; 32],
    /// The number.
    pub(crate) number: &'a str,
    /// The token of another onboarding.
    pub(crate) earlier_token: Option<String>,
    /// The profiles of the token.
    pub(crate) iccids: Vec<String>,
    /// The newest request for a code.
    pub(crate) newest_request: Option<Uuid>,
}

/// Changes the members of a body with a token or a phone number. `false` if the name is not about those.
pub(super) fn twist_token(
    fired: &Fired,
    members: &mut Map<String, Value>,
    customer: &Customer<'_>,
) -> bool {
    let parameters = &fired.parameters;
    let number = customer.number;
    let mut set = |name: &str, value: Value| {
        members.insert(name.into(), value);
    };
    let error = |text: &str| json!(text);
    match fired.name {
        Name::OnboardingError | Name::LongError => {
            for name in ["msp_token", "phoneNumber", "subscriptionType", "iv"] {
                set(name, Value::Null);
            }
            let long = "x".repeat(TOO_LONG);
            let default = "1000: Customer not eligible";
            let text = if fired.name == Name::LongError {
                &long
            } else {
                parameters.text_or(default)
            };
            set("error", error(text));
        }
        Name::TokenAndError => set(
            "error",
            error(parameters.text_or("1000: Customer not eligible")),
        ),
        Name::BadToken => set("msp_token", json!(parameters.text_or("not-a-uuid"))),
        Name::DuplicateToken => {
            let earlier = customer.earlier_token.clone();
            set(
                "msp_token",
                json!(earlier.unwrap_or_else(|| Uuid::nil().to_string())),
            );
        }
        Name::WrongSubscriptionType => {
            set("subscriptionType", json!(parameters.text_or("platinum")));
        }
        Name::PlainPhone => set("phoneNumber", json!(number)),
        Name::WrongIv => set("iv", json!(STANDARD.encode(random_iv()))),
        Name::ShortIv => set("iv", json!(STANDARD.encode([0x11; 8]))),
        Name::PlusPhone | Name::FixedIv | Name::WrongPhoneKey => {
            let iv = if fired.name == Name::FixedIv {
                [0x11; IV_LENGTH]
            } else {
                random_iv()
            };
            let text = if fired.name == Name::PlusPhone {
                format!("+{number}")
            } else {
                number.to_owned()
            };
            let other = customer.phone_key.map(|byte| !byte);
            let key = if fired.name == Name::WrongPhoneKey {
                &other
            } else {
                customer.phone_key
            };
            set("phoneNumber", json!(encrypt(key, iv, &text)));
            set("iv", json!(STANDARD.encode(iv)));
        }
        _ => return false,
    }
    true
}

/// AES-256-GCM of any text, which the typed cipher would refuse.
fn encrypt(key: &[u8; 32], iv: [u8; IV_LENGTH], text: &str) -> String {
    let cipher = Aes256Gcm::new(key.into());
    let bytes = cipher.encrypt(&Nonce::from(iv), text.as_bytes());
    STANDARD.encode(bytes.unwrap_or_default())
}

fn random_iv() -> [u8; IV_LENGTH] {
    let mut iv = [0; IV_LENGTH];
    for (byte, random) in iv.iter_mut().zip(Uuid::new_v4().into_bytes()) {
        *byte = random;
    }
    iv
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::misbehave::Parameters;
    use aid_aid1::phone::{EncryptedPhone, PhoneKey};

    fn twisted(name: Name) -> EncryptedPhone {
        let customer = Customer {
            phone_key: &[7; 32],
            number: "4915112345678",
            earlier_token: None,
            iccids: Vec::new(),
            newest_request: None,
        };
        let key = PhoneKey::new([7; 32]);
        let good = key
            .encrypt(&"4915112345678".parse().unwrap(), [1; 12])
            .unwrap();
        let body = json!({"phoneNumber": good.phone_number, "iv": good.iv});
        let Value::Object(mut members) = body else {
            panic!()
        };
        let fired = Fired {
            rule: 1,
            name,
            parameters: Parameters::default(),
        };
        assert!(twist_token(&fired, &mut members, &customer));
        let text = |name: &str| members[name].as_str().unwrap().to_owned();
        EncryptedPhone {
            phone_number: text("phoneNumber"),
            iv: text("iv"),
        }
    }

    // R-7.3-8, R-7.3-9, R-7.3-11: none of these is taken by the cipher of the other side.
    #[test]
    fn wrong_numbers_are_wrong_and_a_fixed_iv_is_not() {
        let key = PhoneKey::new([7; 32]);
        for name in [
            Name::PlainPhone,
            Name::PlusPhone,
            Name::WrongIv,
            Name::ShortIv,
            Name::WrongPhoneKey,
        ] {
            assert!(key.decrypt(&twisted(name)).is_err(), "{name:?}");
        }
        assert_eq!(
            key.decrypt(&twisted(Name::FixedIv)).unwrap().as_str(),
            "4915112345678"
        );
        assert_eq!(twisted(Name::FixedIv), twisted(Name::FixedIv));
    }
}
