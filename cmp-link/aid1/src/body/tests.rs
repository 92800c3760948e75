use serde_json::json;

use super::*;
use crate::error_code::ErrorCode;
use crate::operation::Operation as _;

const UUID: &str = "14abc1e2-338f-11e6-ac61-9e71128cae77";
const ICCID: &str = "8944500805172032953";
const EID: &str = "89049032000001000000000831934057";

fn read<T: Body>(value: &Value) -> Result<T, ApiError> {
    T::parse(value.to_string().as_bytes())
}

fn code<T: Body + std::fmt::Debug>(value: &Value) -> (u16, u16) {
    let refusal = read::<T>(value).unwrap_err();
    (refusal.status.as_u16(), refusal.code.number())
}

fn token() -> Value {
    json!({"msp_token": UUID, "phoneNumber": "enjzI1TPN4Dtf10uAnpfitDxJzf7SBsXNEDzdA==",
        "subscriptionType": "private", "error": null, "customerGroup": "Market_Germany", "iv": "5FRF9spUpq/25/gr"})
}

fn ac_request() -> Value {
    json!({"profileType": "personal", "deviceType": "tcu", "imei": "", "eid": EID,
        "activationCodeRequestID": UUID, "replaceIccid": ICCID})
}

fn ac() -> Value {
    json!({"activationCode": "1$SMDP.EXAMPLE.COM$ABC", "profileType": "personal", "activationCodeRequestID": UUID,
        "error": null, "iccid": ICCID, "swappedIccid": null})
}

/// What we write is what we read, and reading it again gives the same.
fn round_trip<T: Body + PartialEq + std::fmt::Debug>(value: &Value) {
    let body: T = read(value).unwrap();
    assert_eq!(T::parse(&body.to_bytes()).unwrap(), body);
}

// R-B-3, R-B-5
#[test]
fn bodies_of_the_contract_round_trip_and_unknown_members_are_ignored() {
    let mut with_more = token();
    with_more["somethingElse"] = json!([1, {"a": null}]);
    round_trip::<SendMspToken>(&with_more);
    round_trip::<UpdateSubscriptionInfo>(&token());
    round_trip::<NotifyTokenInvalid>(&json!({}));
    round_trip::<NotifyTokenInvalid>(&json!({"reason": "User subscription ended."}));
    round_trip::<RequestActivationCode>(&ac_request());
    round_trip::<SendActivationCode>(&ac());
    round_trip::<ActivationCodeResponse>(&ac());
    round_trip::<SendCsimStatus>(
        &json!({"iccid": ICCID, "eid": EID, "status": "installation_failed"}),
    );
    round_trip::<ProfileStatuses>(&json!({"profiles": []}));
    round_trip::<ProfileStatuses>(&json!({"profiles": [{"iccid": ICCID, "status": "prepared"}]}));
    let profile = json!({"iccid": ICCID, "status": "suspended", "reason": null});
    round_trip::<SendProfileInformation>(&json!({"profiles": [profile]}));
}

// R-7.3-3, R-B-4: each required member in turn, missing, null and of another type.
#[test]
fn required_members_are_required() {
    fn check<T: Body + std::fmt::Debug>(good: &Value, names: &[&str], nullable: &[&str]) {
        for name in names {
            let mut missing = good.clone();
            missing.as_object_mut().unwrap().remove(*name);
            assert_eq!(code::<T>(&missing).1, 60, "{name} missing");
            for other in [json!(5), json!([1]), json!({}), json!(true)] {
                let mut changed = good.clone();
                changed[*name] = other;
                assert!(read::<T>(&changed).is_err(), "{name} of another type");
            }
            let mut null = good.clone();
            null[*name] = Value::Null;
            assert_eq!(
                read::<T>(&null).is_ok(),
                nullable.contains(name),
                "{name} null"
            );
        }
    }
    check::<SendMspToken>(
        &token(),
        &["msp_token", "phoneNumber", "subscriptionType", "iv"],
        &[],
    );
    check::<UpdateSubscriptionInfo>(&token(), &["phoneNumber", "subscriptionType", "iv"], &[]);
    check::<RequestActivationCode>(
        &ac_request(),
        &["profileType", "eid", "activationCodeRequestID"],
        &[],
    );
    let names = [
        "activationCode",
        "profileType",
        "activationCodeRequestID",
        "iccid",
    ];
    check::<SendActivationCode>(&ac(), &names, &[]);
    check::<ActivationCodeResponse>(&ac(), &["activationCode", "profileType"], &[]);
    check::<SendCsimStatus>(
        &json!({"iccid": ICCID, "eid": EID, "status": "deleted"}),
        &["iccid", "eid", "status"],
        &[],
    );
    check::<ProfileStatuses>(&json!({"profiles": []}), &["profiles"], &[]);
    assert_eq!(code::<SendMspToken>(&json!({})).1, 60);
    assert_eq!(
        SendMspToken::parse(b"").unwrap_err().code,
        ErrorCode::BodyEmptyOrNull
    );
}

/// The three ways of not giving an optional member.
fn ways(body: &Value, name: &str) -> [(&'static str, Value); 3] {
    let mut absent = body.clone();
    absent.as_object_mut().unwrap().remove(name);
    let with = |value: Value| {
        let mut body = body.clone();
        body[name] = value;
        body
    };
    [
        ("absent", absent),
        ("null", with(Value::Null)),
        ("empty", with(json!(""))),
    ]
}

// R-7.3-5, R-7.3-13, R-7.5-4, R-7.6-2, R-7.7-5, R-7.7-8, R-7.7.1.1-1, R-7.7.2.1-3, R-7.7.2.1-4, R-B-4: null, an empty
// text and absence mean the same in every member that may be without a value, and never are a value.
#[test]
fn null_an_empty_text_and_absence_mean_the_same() {
    fn check<T: Body + PartialEq + std::fmt::Debug>(good: &Value, names: &[&str]) {
        for name in names {
            let read = ways(good, name).map(|(way, body)| {
                let read = T::parse(body.to_string().as_bytes());
                (way, read.unwrap_or_else(|e| panic!("{name} {way}: {e}")))
            });
            for (way, body) in &read {
                assert_eq!(body, &read[0].1, "{name} {way}");
                // What we write of it is read as the same, and is no empty text.
                let text = body.to_json();
                assert_ne!(text.get(*name), Some(&json!("")), "{name} {way}");
                assert_eq!(&T::parse(&body.to_bytes()).unwrap(), body, "{name} {way}");
            }
        }
    }
    /// Demanded all the same: the three ways get one refusal.
    fn refused<T: Body + std::fmt::Debug>(good: &Value, name: &str) {
        for (way, body) in ways(good, name) {
            assert_eq!(code::<T>(&body), (422, 60), "{name} {way}");
        }
    }
    check::<SendMspToken>(&token(), &["error", "customerGroup"]);
    check::<UpdateSubscriptionInfo>(&token(), &["customerGroup"]);
    check::<NotifyTokenInvalid>(&json!({"reason": "over"}), &["reason"]);
    check::<RequestActivationCode>(&ac_request(), &["replaceIccid", "deviceType"]);
    // Empty is how we send it, unless it was agreed to leave it out; whichever way it comes, the request is the same.
    for (way, body) in ways(&ac_request(), "imei") {
        let request: RequestActivationCode = read(&body).unwrap();
        assert_eq!(request.imei, way == "empty", "{way}");
        assert_eq!(
            request.to_json().get("imei"),
            request.imei.then(|| json!("")).as_ref()
        );
        let same = RequestActivationCode {
            imei: true,
            ..request
        };
        assert_eq!(same, read(&ac_request()).unwrap(), "{way}");
    }
    check::<SendActivationCode>(&ac(), &["error", "swappedIccid"]);
    check::<ActivationCodeResponse>(&ac(), &["iccid", "swappedIccid"]);
    let failed = json!({"activationCode": null, "profileType": null, "activationCodeRequestID": UUID,
        "error": "49", "iccid": null, "swappedIccid": null});
    check::<SendActivationCode>(&failed, &["iccid", "swappedIccid"]);
    for (way, item) in ways(
        &json!({"iccid": ICCID, "status": "invalid", "reason": "broken"}),
        "reason",
    ) {
        let read: SendProfileInformation = read(&json!({"profiles": [item]})).unwrap();
        assert_eq!(read.profiles[0].reason, None, "{way}");
        assert_eq!(read.to_json()["profiles"][0]["reason"], Value::Null);
    }
    refused::<SendActivationCode>(&ac(), "iccid");
    refused::<SendCsimStatus>(
        &json!({"iccid": ICCID, "eid": EID, "status": "deleted"}),
        "iccid",
    );
    for (way, item) in ways(&json!({"iccid": ICCID, "status": "valid"}), "iccid") {
        let list = json!({"profiles": [item]});
        assert_eq!(code::<SendProfileInformation>(&list), (422, 60), "{way}");
        assert_eq!(code::<ProfileStatuses>(&list), (422, 60), "{way}");
    }
    // Without a result there is no success either, however the error is not given.
    for (way, body) in ways(&failed, "error") {
        assert_eq!(code::<SendActivationCode>(&body), (422, 60), "{way}");
    }
}

// R-7.3-5, R-7.7.2.1-4: white space is neither a value nor none.
#[test]
fn white_space_is_refused_where_it_would_be_taken_for_nothing() {
    for blank in [" ", "\t", "\n", "\u{a0}", "\u{2003}"] {
        let with = |mut body: Value, name: &str| {
            body[name] = json!(blank);
            body
        };
        assert_eq!(code::<SendMspToken>(&with(token(), "error")), (422, 91));
        assert_eq!(code::<SendActivationCode>(&with(ac(), "error")), (422, 91));
        for name in ["swappedIccid", "iccid"] {
            assert_eq!(code::<SendActivationCode>(&with(ac(), name)), (422, 91));
            assert_eq!(code::<ActivationCodeResponse>(&with(ac(), name)), (422, 91));
        }
    }
    for other in [json!(5), json!(true), json!([]), json!({}), json!(["a"])] {
        let with = |mut body: Value, name: &str| {
            body[name] = other.clone();
            body
        };
        assert_eq!(code::<SendMspToken>(&with(token(), "error")), (422, 91));
        assert_eq!(
            code::<SendMspToken>(&with(token(), "customerGroup")),
            (422, 91)
        );
        assert_eq!(code::<SendActivationCode>(&with(ac(), "error")), (422, 91));
        assert_eq!(
            code::<SendActivationCode>(&with(ac(), "swappedIccid")),
            (422, 91)
        );
        assert_eq!(
            code::<NotifyTokenInvalid>(&with(json!({}), "reason")),
            (422, 91)
        );
    }
}

// R-7.7.2.1-4: taken as a failure, the code would be lost.
#[test]
fn a_code_beside_an_error_is_refused() {
    let mut both = ac();
    both["error"] = json!("49: none left");
    assert_eq!(code::<SendActivationCode>(&both), (422, 60));
    for (way, body) in ways(&both, "activationCode") {
        let read = read::<SendActivationCode>(&body);
        match way {
            "absent" => assert!(read.is_err()),
            _ => assert!(
                matches!(read, Ok(SendActivationCode::Failed { .. })),
                "{way}"
            ),
        }
    }
}

// R-7.3-4, R-7.7.2.1-3: what we send as a failure is never read as a success.
#[test]
fn a_failure_without_a_text_is_sent_with_one() {
    for blank in ["", " ", "\n"] {
        let error = blank.to_owned();
        let token = SendMspToken::Failed {
            error: error.clone(),
        };
        let code = SendActivationCode::Failed {
            request_id: None,
            error,
        };
        assert_eq!(token.to_json()["error"], "19: Other account ID error");
        assert_eq!(code.to_json()["error"], "49: Other activation code error");
    }
}

// R-7.3-4, R-7.3-5, R-7.3-6
#[test]
fn an_error_wins_over_everything_else_in_send_msp_token() {
    let failed = json!({"msp_token": null, "phoneNumber": null, "subscriptionType": null, "iv": null,
        "error": "1000: Customer not eligible"});
    assert_eq!(read::<SendMspToken>(&failed).unwrap().to_json(), failed);
    let garbage = json!({"msp_token": 7, "phoneNumber": [], "subscriptionType": "x", "iv": "", "error": "19"});
    assert!(matches!(read(&garbage), Ok(SendMspToken::Failed { error }) if error == "19"));
    let mut long = failed;
    long["error"] = json!("é".repeat(600));
    let Ok(SendMspToken::Failed { error }) = read(&long) else {
        panic!()
    };
    assert_eq!(error.chars().count(), 512);
}

// R-7.3-12, R-7.3-15, R-5.3-1
#[test]
fn wrong_values_have_their_codes() {
    let with = |mut body: Value, name: &str, value: &str| {
        body[name] = json!(value);
        body
    };
    assert_eq!(
        code::<SendMspToken>(&with(token(), "msp_token", "no uuid")),
        (422, 29)
    );
    assert_eq!(
        code::<SendMspToken>(&with(token(), "subscriptionType", "PRIVATE")),
        (422, 91)
    );
    assert!(read::<SendMspToken>(&with(token(), "msp_token", &UUID.to_uppercase())).is_ok());
    assert_eq!(
        code::<SendActivationCode>(&with(ac(), "activationCode", "2$a$b")),
        (422, 47)
    );
    // Of the format of SGP.22, but a field is wrong: another format error.
    for field in [
        "1$no host$A",
        "1$smdp.example$a_b",
        "1$smdp.example$A$x",
        "1$smdp.example$A$$2",
    ] {
        let body = with(ac(), "activationCode", field);
        assert_eq!(code::<SendActivationCode>(&body), (422, 44), "{field}");
        assert_eq!(code::<ActivationCodeResponse>(&body), (422, 44), "{field}");
    }
    for format in ["", "1$", "1$a", "1$a$B$$1$x", "LPA:2$a$B"] {
        let body = with(ac(), "activationCode", format);
        assert_eq!(code::<SendActivationCode>(&body), (422, 47), "{format}");
    }
    assert_eq!(
        code::<RequestActivationCode>(&with(ac_request(), "profileType", "work")),
        (422, 50)
    );
    // What SGP.22 calls a class of profiles is known, but not to be had. Beside a code, where nothing is asked for any
    // more, every type is taken for the only one.
    for class in ["operational", "provisioning", "test"] {
        let body = with(ac_request(), "profileType", class);
        assert_eq!(code::<RequestActivationCode>(&body), (422, 51), "{class}");
    }
    for other in ["work", "operational", "", "\u{1f697}", &"x".repeat(1000)] {
        let body = with(ac(), "profileType", other);
        let code: SendActivationCode = read(&body).unwrap();
        assert!(matches!(code, SendActivationCode::Code { .. }), "{other}");
        let now: ActivationCodeResponse = read(&body).unwrap();
        assert_eq!(now.profile_type, ProfileType::Personal);
    }
    for none in [Value::Null, json!(7)] {
        let mut body = ac();
        body["profileType"] = none;
        assert_eq!(code::<SendActivationCode>(&body).0, 422);
    }
    assert_eq!(
        code::<SendActivationCode>(&with(ac(), "iccid", "894450080517203295")),
        (422, 91)
    );
    assert_eq!(
        code::<SendActivationCode>(&with(ac(), "activationCodeRequestID", "1")),
        (422, 39)
    );
    let status = json!({"iccid": ICCID, "eid": EID, "status": "gone"});
    assert_eq!(code::<SendCsimStatus>(&status), (422, 91));
    assert_eq!(
        code::<SendProfileInformation>(&json!({"profiles": []})),
        (422, 60)
    );
    assert_eq!(
        code::<SendProfileInformation>(&json!({"profiles": [7]})),
        (422, 91)
    );
}

// R-7.8-1: the ICCID identifies the profile, so a report is not lost for its EID.
#[test]
fn a_status_report_may_name_what_is_no_eid() {
    for eid in [
        "",
        "1",
        "89049032000001000000000831934058",
        "x".repeat(2000).as_str(),
        "\u{0}<b>",
    ] {
        let status: SendCsimStatus =
            read(&json!({"iccid": ICCID, "eid": eid, "status": "deleted"})).unwrap();
        assert!(!status.eid.is_valid(), "{eid}");
        assert!(status.eid.as_str().len() <= MAX_TEXT);
        assert!(!status.eid.as_str().contains(['\0', '<']), "{eid}");
    }
    let status: SendCsimStatus =
        read(&json!({"iccid": ICCID, "eid": EID, "status": "deleted"})).unwrap();
    assert_eq!(status.eid, EID.into());
    assert!(status.eid.is_valid());
    for missing in [Value::Null, json!(7), json!({})] {
        let body = json!({"iccid": ICCID, "eid": missing, "status": "deleted"});
        assert_eq!(code::<SendCsimStatus>(&body).0, 422);
    }
    // Where a profile is ordered for it, it is judged.
    let mut order = ac_request();
    order["eid"] = json!("89049032000001000000000831934058");
    assert_eq!(code::<RequestActivationCode>(&order), (423, 49));
}

// R-7.7-3 to R-7.7-8
#[test]
fn request_activation_code_follows_its_table() {
    let with = |name: &str, value: Value| {
        let mut body = ac_request();
        body[name] = value;
        body
    };
    assert_eq!(
        code::<RequestActivationCode>(&with("eid", json!("123"))),
        (423, 49)
    );
    assert_eq!(
        code::<RequestActivationCode>(&with("profileType", json!("business"))),
        (422, 50)
    );
    assert_eq!(
        code::<RequestActivationCode>(&with("profileType", json!("test"))),
        (422, 51)
    );
    assert_eq!(
        code::<RequestActivationCode>(&with("profileType", json!("p".repeat(21)))),
        (422, 59)
    );
    assert_eq!(
        code::<RequestActivationCode>(&with("deviceType", json!("é"))),
        (422, 91)
    );
    for imei in [json!(""), json!("880000862471845")] {
        assert!(read::<RequestActivationCode>(&with("imei", imei)).is_ok());
    }
    assert_eq!(
        code::<RequestActivationCode>(&with("imei", json!("12"))),
        (422, 91)
    );
    let mut without = ac_request();
    for name in ["imei", "deviceType"] {
        without.as_object_mut().unwrap().remove(name);
    }
    assert_eq!(
        read::<RequestActivationCode>(&without).unwrap().device_type,
        "tcu"
    );
}

// R-4.3.1-7, R-4.3.1-20, R-7.7-8: whatever stands there leads to no error, and we always write the member.
#[test]
fn the_replace_candidate_never_leads_to_an_error() {
    for odd in [
        json!(12345),
        json!(8_944_500_805_172_032_953_u64),
        json!(8.9e19),
        json!("abc"),
        json!({}),
        json!([]),
        json!(true),
    ] {
        let mut body = ac_request();
        body["replaceIccid"] = odd;
        let read: RequestActivationCode = read(&body).unwrap();
        assert_eq!(read.replace_iccid, None);
        assert_eq!(read.to_json()["replaceIccid"], Value::Null);
    }
    let text = ac_request()
        .to_string()
        .replace(&format!("\"{ICCID}\""), "89310410106543780000");
    assert!(RequestActivationCode::parse(text.as_bytes()).is_ok());
    // No number at all: whoever reads it as infinity writes null.
    let text = text.replace("89310410106543780000", "1e400");
    let refused = RequestActivationCode::parse(text.as_bytes()).unwrap_err();
    assert_eq!((refused.status.as_u16(), refused.code.number()), (422, 60));
    assert_eq!(
        read::<RequestActivationCode>(&ac_request())
            .unwrap()
            .to_json()["replaceIccid"],
        ICCID
    );
}

// R-7.7.2.1-3, R-7.7.2.1-4
#[test]
fn a_failed_activation_may_lack_its_request_id() {
    let mut failed = json!({"activationCode": null, "profileType": null, "activationCodeRequestID": null,
        "error": "49: none left", "iccid": null, "swappedIccid": null});
    let none = SendActivationCode::Failed {
        request_id: None,
        error: "49: none left".into(),
    };
    assert_eq!(read::<SendActivationCode>(&failed).unwrap(), none);
    failed["activationCodeRequestID"] = json!(UUID);
    round_trip::<SendActivationCode>(&failed);
    failed["error"] = Value::Null;
    assert_eq!(code::<SendActivationCode>(&failed), (422, 60));
}

// R-7.4-3, R-7.4-4, R-7.4-5
#[test]
fn notify_refuses_with_400() {
    let status = |body: &[u8]| {
        let error = NotifyTokenInvalid::parse(body).unwrap_err();
        NotifyTokenInvalid::CONTRACT.refusal(error).status
    };
    assert_eq!(status(b""), 400);
    assert_eq!(status(br#"{"reason": 5}"#), 400);
    assert_eq!(status(b"[]"), 400);
    assert_eq!(status(&[b' '; 70_000]), 413);
    let reason = read::<NotifyTokenInvalid>(&json!({"reason": "a\u{1b}[31mb\n"}))
        .unwrap()
        .reason
        .unwrap();
    assert_eq!(reason, "a?[31mb?");
}

proptest::proptest! {
    // Nothing that a peer sends panics; what is accepted is written back as the same.
    #[test]
    fn arbitrary_members_never_panic(
        names in proptest::collection::vec("(iccid|status|eid|error|msp_token|profiles|reason|iv)", 0..6),
        text in "\\PC{0,30}",
    ) {
        let map: serde_json::Map<String, Value> = names.iter().map(|n| (n.clone(), json!(text))).collect();
        let body = Value::Object(map);
        let _ = read::<SendMspToken>(&body);
        let _ = read::<SendCsimStatus>(&body);
        let _ = read::<SendProfileInformation>(&body);
        if let Ok(read) = read::<NotifyTokenInvalid>(&body) {
            proptest::prop_assert_eq!(NotifyTokenInvalid::parse(&read.to_bytes()).unwrap(), read);
        }
    }
}

// R-5.4-1: wherever a body names an ICCID, 18 digits are taken from whom they were agreed with only, and nothing else is.
#[test]
fn short_iccids_are_read_where_they_were_agreed() {
    fn check<T: Body + std::fmt::Debug>(valid: &Value, pointer: &str) {
        let parse = |text: &str, iccids: Iccids| {
            let mut body = valid.clone();
            *body.pointer_mut(pointer).unwrap() = json!(text);
            T::parse_with(body.to_string().as_bytes(), iccids).map(|body| body.to_json())
        };
        for (digits, standard, short) in [
            (17, false, false),
            (18, false, true),
            (19, true, true),
            (20, true, true),
            (22, true, true),
            (23, false, false),
        ] {
            let text = &"8944500805172032953000"[..22.min(digits)];
            let text = format!("{text:0<digits$}");
            for (iccids, good) in [(Iccids::Standard, standard), (Iccids::Short, short)] {
                let got = parse(&text, iccids);
                assert_eq!(got.is_ok(), good, "{} {pointer} {text} {iccids:?}", T::NAME);
                match got {
                    Ok(body) => assert!(body.to_string().contains(&text)),
                    Err(error) => assert!(error.to_string().contains(iccids.form()), "{error}"),
                }
            }
        }
        for wrong in ["89445008051720329F", " 94450080517203295", "８９４４５０"] {
            assert!(parse(wrong, Iccids::Short).is_err(), "{wrong}");
        }
    }
    let status = json!({"iccid": ICCID, "eid": EID, "status": "installed"});
    let response = json!({"activationCode": "1$smdp.example$M", "profileType": "personal",
        "swappedIccid": ICCID, "iccid": ICCID});
    let information = json!({"profiles": [{"iccid": ICCID, "status": "valid", "reason": null}]});
    let statuses = json!({"profiles": [{"iccid": ICCID, "status": "enabled"}]});
    // What can't be read there is as good as absent (§4.3.1).
    for (iccids, read) in [
        (Iccids::Standard, Value::Null),
        (Iccids::Short, json!("894450080517203295")),
    ] {
        let mut body = ac_request();
        body["replaceIccid"] = json!("894450080517203295");
        let body = RequestActivationCode::parse_with(body.to_string().as_bytes(), iccids);
        assert_eq!(body.unwrap().to_json()["replaceIccid"], read);
    }
    let mut swapped = ac();
    swapped["swappedIccid"] = json!(ICCID);
    check::<SendActivationCode>(&swapped, "/iccid");
    check::<SendActivationCode>(&swapped, "/swappedIccid");
    check::<ActivationCodeResponse>(&response, "/iccid");
    check::<ActivationCodeResponse>(&response, "/swappedIccid");
    check::<SendCsimStatus>(&status, "/iccid");
    check::<SendProfileInformation>(&information, "/profiles/0/iccid");
    check::<ProfileStatuses>(&statuses, "/profiles/0/iccid");
}
