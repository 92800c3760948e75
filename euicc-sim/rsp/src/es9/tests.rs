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
    assert!(from_str::<Base64<3>>("\"AAA\"").is_err());
    assert!(from_str::<Hex<2>>("\"ABcd\"").is_ok());
    for bad in ["\"\"", "\"ABC\"", "\"ABCDEF\"", "\"+1\"", "\"é\"", "7"] {
        assert!(from_str::<Hex<2>>(bad).is_err(), "{bad}");
    }
    assert!(from_str::<Text<2>>("\"ab\"").is_ok());
    for bad in ["\"abc\"", "\"\\n\"", "null"] {
        assert!(from_str::<Text<2>>(bad).is_err(), "{bad}");
    }
}
