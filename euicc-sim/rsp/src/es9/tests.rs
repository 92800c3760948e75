use super::*;
use crate::es2::{CancelOrderRequest, ConfirmOrderRequest, DownloadOrderRequest};
use serde_json::{from_str, json, to_value};

#[test]
fn the_names_are_those_of_the_specification() {
    // What lpac sends.
    let request: InitiateAuthenticationRequest = from_str(
        r#"{"smdpAddress":"smdp.example","euiccChallenge":"AAECAwQFBgcICQoLDA0ODw==","euiccInfo1":"vyAA"}"#,
    )
    .unwrap();
    assert_eq!(request.euicc_challenge.as_bytes().len(), 16);
    assert_eq!(request.euicc_info1.as_bytes(), [0xBF, 0x20, 0x00]);

    let answer = Response::ok(InitiateAuthenticationOk {
        transaction_id: Hex::new(&[0xAB, 1]).unwrap(),
        server_signed1: Base64::new(vec![1]).unwrap(),
        server_signature1: Base64::new(vec![2]).unwrap(),
        euicc_ci_pkid_to_be_used: Base64::new(vec![3]).unwrap(),
        server_certificate: Base64::new(vec![4]).unwrap(),
    });
    assert_eq!(
        to_value(&answer).unwrap(),
        json!({
            "header": {"functionExecutionStatus": {"status": "Executed-Success"}},
            "transactionId": "AB01",
            "serverSigned1": "AQ==",
            "serverSignature1": "Ag==",
            "euiccCiPKIdToBeUsed": "Aw==",
            "serverCertificate": "BA==",
        })
    );
    let back: Response<InitiateAuthenticationOk> =
        serde_json::from_value(to_value(&answer).unwrap()).unwrap();
    assert_eq!(back, answer);
}

#[test]
fn a_failure_has_codes_and_no_output() {
    let failed: Response<AuthenticateClientOk> = Response::failed(ResponseHeader::failed(
        "8.1.1",
        "3.8",
        None,
        "EID of another order",
    ));
    let value = to_value(&failed).unwrap();
    assert_eq!(
        value,
        json!({"header": {"functionExecutionStatus": {"status": "Failed", "statusCodeData": {
            "subjectCode": "8.1.1", "reasonCode": "3.8", "message": "EID of another order"}}}})
    );
    let back: Response<AuthenticateClientOk> = serde_json::from_value(value).unwrap();
    assert_eq!(back, failed);
    assert!(!back.header.is_executed());
    assert_eq!(
        back.header.function_execution_status.to_string(),
        "Failed, subject 8.1.1, reason 3.8: EID of another order"
    );
    let empty: Response<Empty> = Response::ok(Empty {});
    assert_eq!(
        to_value(&empty).unwrap(),
        json!({"header": {"functionExecutionStatus": {"status": "Executed-Success"}}})
    );
}

#[test]
fn orders_have_the_names_of_the_specification() {
    let order: DownloadOrderRequest = from_str(
        r#"{"header":{"functionRequesterIdentifier":"1.2.3","functionCallIdentifier":"TX-567"},
            "eid":"89049032123451234512345678901235","profileType":"P"}"#,
    )
    .unwrap();
    assert_eq!(order.header.function_call_identifier.as_str(), "TX-567");
    assert!(order.iccid.is_none());
    let confirm: ConfirmOrderRequest = from_str(
        r#"{"header":{"functionRequesterIdentifier":"","functionCallIdentifier":""},
            "iccid":"8949","matchingId":"A-B","confirmationCode":"1","releaseFlag":true}"#,
    )
    .unwrap();
    assert!(confirm.release_flag);
    let shown = std::format!("{confirm:?}");
    assert!(
        shown.contains("confirmation_code: Some(<1 characters>)"),
        "{shown}"
    );
    let cancel = from_str::<CancelOrderRequest>(
        r#"{"header":{"functionRequesterIdentifier":"","functionCallIdentifier":""},
            "iccid":"8949","finalProfileStatusIndicator":"Installed"}"#,
    );
    assert!(cancel.is_err());
}

#[test]
fn fields_have_limits() {
    assert!(from_str::<Base64<3>>("\"AAAA\"").is_ok());
    assert!(from_str::<Base64<2>>("\"AAAA\"").is_err());
    assert!(from_str::<Base64<3>>("\"AA*A\"").is_err());
    assert!(from_str::<Base64<3>>("\"A\"").is_err());
    let long = std::format!("\"{}\"", "AAAA \\n".repeat(3));
    assert!(
        from_str::<Base64<6>>(&long).is_err(),
        "white space hides no length"
    );
    assert!(from_str::<Hex<2>>("\"ABcd\"").is_ok());
    for bad in ["\"\"", "\"ABC\"", "\"ABCDEF\"", "\"+1\"", "\"é\"", "7"] {
        assert!(from_str::<Hex<2>>(bad).is_err(), "{bad}");
    }
    assert!(from_str::<Text<2>>("\"ab\"").is_ok());
    for bad in ["\"abc\"", "\"\\n\"", "null"] {
        assert!(from_str::<Text<2>>(bad).is_err(), "{bad}");
    }
}

#[test]
fn base64_is_read_in_every_form_that_is_clear() {
    use base64::{Engine as _, engine::general_purpose::*};
    let bytes: Vec<u8> = (0..=255).chain(0..=255).collect();
    for length in [0, 1, 2, 3, 62, 63, 64, 255, 512] {
        let part = &bytes[..length];
        for engine in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD] {
            let text = engine.encode(part);
            let lines: Vec<&str> = text
                .as_bytes()
                .chunks(19)
                .map(|line| core::str::from_utf8(line).unwrap())
                .collect();
            for text in [
                text.clone(),
                std::format!(" {text}\n"),
                lines.join("\r\n"),
                lines.join("\t "),
            ] {
                let json = serde_json::to_string(&text).unwrap();
                let read: Base64<512> = from_str(&json).unwrap_or_else(|e| panic!("{json}: {e}"));
                assert_eq!(read.as_bytes(), part, "{json}");
            }
        }
    }
}

#[test]
fn codes_of_a_refusal_are_read_whatever_the_texts_are() {
    let odd = [
        json!("line\nbreak\r\u{1b}[2J"),
        json!("x".repeat(100_000)),
        json!(""),
        json!(8_949_010_000_000_000_001_u64),
        json!(-1),
        json!(1.5),
        json!(true),
        json!(null),
        json!([1, {"deep": []}]),
        json!({"text": "no"}),
    ];
    for text in odd {
        for (identifier, message) in [
            (Some(text.clone()), None),
            (None, Some(text.clone())),
            (Some(text.clone()), Some(text.clone())),
        ] {
            let mut data = json!({"subjectCode": "8.2.6", "reasonCode": "3.8", "unknown": text});
            if let Some(identifier) = identifier {
                data["subjectIdentifier"] = identifier;
            }
            if let Some(message) = message {
                data["message"] = message;
            }
            let value = json!({"header": {"functionExecutionStatus": {
                "status": "Failed", "statusCodeData": data}}});
            let read: Response<Empty> = serde_json::from_value(value.clone()).unwrap();
            let status = read.header.function_execution_status;
            let codes = status.status_code_data.as_ref().unwrap();
            assert_eq!(codes.subject_code.as_str(), "8.2.6", "{value}");
            assert_eq!(codes.reason_code.as_str(), "3.8", "{value}");
            assert!(!status.to_string().contains(char::is_control));
        }
    }
    let read = |data: serde_json::Value| {
        let status = json!({"status": "FAILED", "statusCodeData": data});
        let status: FunctionExecutionStatus = serde_json::from_value(status).unwrap();
        status.status_code_data.map(|data| {
            (
                std::string::String::from(data.subject_code.as_str()),
                std::string::String::from(data.reason_code.as_str()),
            )
        })
    };
    let codes = |subject: &str, reason: &str| Some((subject.into(), reason.into()));
    assert_eq!(
        read(json!({"subjectCode": "8.1", "reasonCode": 4.8})),
        codes("8.1", "4.8")
    );
    assert_eq!(read(json!({"subjectCode": " 8.1.1 "})), codes("8.1.1", ""));
    assert_eq!(read(json!({"reasonCode": "3.8"})), codes("", "3.8"));
    assert_eq!(read(json!("none")), None);
    assert_eq!(read(json!(null)), None);
}
