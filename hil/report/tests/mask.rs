//! Secrets in texts: by value, in any spelling.

use aid_report::{MASK, Mask};
use proptest::prelude::*;

#[test]
fn matching_ids_of_activation_codes_are_found_in_any_text() {
    for text in [
        "code 1$smdp.example:8443$SECRET-1 is here",
        "LPA:1$smdp.example$SECRET-1$1.3.6.1$1",
        r#"{"note":"LPA:1$smdp.example$SECRET-1"}"#,
        "<p>1$smdp.example$SECRET-1</p> and SECRET-1 again",
    ] {
        let mut mask = Mask::new();
        let shown = mask.text(text);
        assert!(!shown.contains("SECRET-1"), "{shown}");
        assert!(
            shown.contains("smdp.example"),
            "the address is no secret: {shown}"
        );
    }
}

#[test]
fn a_pin_is_masked_as_a_word_and_not_inside_of_numbers() {
    let mut mask = Mask::new();
    mask.learn("1234");
    assert_eq!(
        mask.text("pin 1234, iccid 8912345"),
        "pin [masked], iccid 8912345"
    );
    assert_eq!(mask.text("(1234)12345"), "([masked])12345");
    // As a card is given it.
    assert_eq!(
        mask.text("0020000108 31323334FFFFFFFF"),
        "0020000108 [masked]FFFFFFFF"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A secret between any two texts is gone, and what is no secret stays.
    #[test]
    fn no_spelling_survives(secret in "[A-Za-z0-9+/=$.!-]{8,40}", before in "[a-z ]{0,20}", after in "[a-z ]{0,20}") {
        let mut mask = Mask::new();
        mask.learn(&secret);
        for spelling in [secret.clone(), hex::encode(&secret), hex::encode_upper(&secret)] {
            let shown = mask.text(&format!("{before}{spelling}{after}"));
            prop_assert!(!shown.contains(&spelling), "{}", shown);
            prop_assert!(shown.starts_with(&before) || shown.starts_with(MASK));
        }
    }
}
