//! What a caller makes of an answer: every operation, every status, every kind of body that a party, a gateway or a proxy
//! can put under it.
// A test that cannot set itself up has failed.
#![allow(clippy::unwrap_used, clippy::panic)]

mod peer;

use std::time::Duration;

use aid_aid1::account_id::{Secret, issue};
use aid_aid1::body::{
    CsimStatus, NotifyTokenInvalid, ProfileInformation, ProfileType, ProfileValidity,
    RequestActivationCode, SendActivationCode, SendCsimStatus, SendMspToken,
    SendProfileInformation, SubscriptionType, UpdateSubscriptionInfo,
};
use aid_aid1::client::{Activation, Call, CallError, CmpClient, MspClient};
use aid_aid1::deviation::{Deviation, Deviations};
use aid_aid1::phone::EncryptedPhone;
use peer::{ca, client_tls, server, settings};
use uuid::Uuid;

const TOKEN: &str = "3d8db5e5-dd84-40bf-836c-bb686f9f707e";
const EID: &str = "89049032000001000000000831934057";
const ICCID: &str = "8944500805172032953";
const CODE: &str = r#"{"activationCode":"1$SMDP.EXAMPLE.COM$SECRET","profileType":"personal","swappedIccid":null}"#;
const PROFILES: &str = r#"{"profiles":[{"iccid":"8944500805172032953","status":"installed"}]}"#;
const PAGE: &str = "<!DOCTYPE html><html><body>We'll be back soon.</body></html>";

/// The operations, with the statuses under which a refusal is the peer's own.
const OPERATIONS: [(&str, &[u16]); 9] = [
    ("Send MSP Token", &[404, 422]),
    ("Notify MSP Token Invalid", &[400, 404]),
    ("Send Profile Information", &[404, 422]),
    ("Update Subscription Info", &[404, 422]),
    ("Send Activation Code", &[404, 422]),
    ("Request Activation Code", &[404, 422, 423]),
    ("Send CSIM Status", &[404, 422]),
    ("Request Invalidate MSP Token", &[404, 422]),
    ("Request Profile Status", &[404, 422]),
];

/// What a caller does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Done,
    /// The code comes by Send Activation Code.
    Later,
    Again,
    Refused,
}
use Verdict::{Again, Done, Later, Refused};

/// Raw answers: type, body.
fn raw(status: u16, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Whatever\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}"
    )
}

fn json(status: u16, body: &str) -> String {
    raw(status, "content-type: application/json\r\n", body)
}

fn refusal(code: &str) -> String {
    format!("{{\"code\":\"{code}\",\"error\":\"because\"}}")
}

/// What its success is in the body.
fn good(operation: &str) -> &'static str {
    match operation {
        "Request Activation Code" => CODE,
        "Request Profile Status" => PROFILES,
        _ => "",
    }
}

async fn call(msp: &MspClient, cmp: &CmpClient, operation: &str) -> Result<Verdict, CallError> {
    let (call, token) = (Call::new(), TOKEN.parse().unwrap());
    let iccid = || ICCID.parse().unwrap();
    let phone = EncryptedPhone {
        phone_number: "AAAA".into(),
        iv: "AAAA".into(),
    };
    match operation {
        "Send MSP Token" => {
            let id = issue(&Secret::new(&[7; 32]).unwrap(), Uuid::new_v4(), None, 1, 1).unwrap();
            let body = SendMspToken::Failed { error: "19".into() };
            cmp.send_msp_token(call, &id, &body).await?;
        }
        "Notify MSP Token Invalid" => {
            let body = NotifyTokenInvalid::default();
            cmp.notify_token_invalid(call, token, &body).await?;
        }
        "Send Profile Information" => {
            let profile = ProfileInformation {
                iccid: iccid(),
                status: ProfileValidity::Valid,
                reason: None,
            };
            let body = SendProfileInformation {
                profiles: vec![profile],
            };
            cmp.send_profile_information(call, token, &body).await?;
        }
        "Update Subscription Info" => {
            let body = UpdateSubscriptionInfo {
                phone,
                subscription_type: SubscriptionType::Private,
                customer_group: None,
            };
            cmp.update_subscription_info(call, token, &body).await?;
        }
        "Send Activation Code" => {
            let body = SendActivationCode::Failed {
                request_id: Some(Uuid::new_v4()),
                error: "49".into(),
            };
            cmp.send_activation_code(call, token, &body).await?;
        }
        "Request Activation Code" => {
            let body = RequestActivationCode {
                profile_type: ProfileType::Personal,
                device_type: "tcu".into(),
                eid: EID.parse().unwrap(),
                request_id: Uuid::new_v4(),
                replace_iccid: None,
                imei: true,
            };
            let answer = msp.request_activation_code(call, token, &body).await?;
            if answer == Activation::Later {
                return Ok(Later);
            }
        }
        "Send CSIM Status" => {
            let body = SendCsimStatus {
                iccid: iccid(),
                eid: EID.into(),
                status: CsimStatus::Enabled,
            };
            msp.send_csim_status(call, token, &body).await?;
        }
        "Request Invalidate MSP Token" => msp.request_invalidate(call, token).await?,
        "Request Profile Status" => {
            msp.request_profile_status(call, token, None).await?;
        }
        other => panic!("{other}"),
    }
    Ok(Done)
}

fn judge(result: Result<Verdict, CallError>) -> (Verdict, Option<CallError>) {
    match result {
        Ok(verdict) => (verdict, None),
        Err(error) if error.is_transient() => (Again, Some(error)),
        Err(error) => (Refused, Some(error)),
    }
}

/// The answers that an operation is given, and what is made of each.
fn cases(operation: &str, own: &[u16]) -> Vec<(String, Verdict)> {
    let good = good(operation);
    let has_body = !good.is_empty();
    let asks_code = operation == "Request Activation Code";
    let mut cases = Vec::new();
    // Success, in its own form and in others: the shape counts.
    for status in [200, 201, 202, 203, 204, 207, 299] {
        if has_body && status != 204 {
            cases.push((json(status, good), Done));
            cases.push((raw(status, "content-type: text/plain\r\n", good), Done));
            cases.push((raw(status, "", good), Done));
        }
        let empty = match (has_body, asks_code) {
            (false, _) => Done,
            (true, true) if status != 200 => Later,
            _ => Again,
        };
        cases.push((raw(status, "", ""), empty));
        if status != 204 {
            let other = match (has_body, asks_code && status == 201) {
                (false, _) => Done,
                (true, true) => Later,
                (true, false) => Again,
            };
            cases.push((json(status, r#"{"x":1}"#), other));
            // A page of whoever stands between.
            for kind in ["text/html; charset=utf-8", "application/json", "text/plain"] {
                let kind = format!("content-type: {kind}\r\n");
                cases.push((raw(status, &kind, PAGE), Again));
            }
            // A failure under a status of success, and a success in the same words.
            cases.push((json(status, &refusal("49")), Again));
            for success in [
                r#"{"code":"0","error":""}"#,
                r#"{"code":0,"error":null}"#,
                r#"{"code":"200","message":"OK"}"#,
            ] {
                cases.push((json(status, success), other));
            }
        }
    }
    if has_body {
        let half = &good[..good.len() / 2];
        for body in [half, "[]", "null", "{}", "{\"activationCode\":5}", "x"] {
            cases.push((json(200, body), Again));
        }
        // More was announced than came.
        let cut = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{half}",
            good.len()
        );
        cases.push((cut, Again));
    }
    cases.push((json(200, &" ".repeat(70_000)), Again));
    // Whatever else a proxy says.
    for status in [
        300, 301, 302, 303, 304, 307, 308, 400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410,
        411, 412, 413, 414, 415, 417, 418, 421, 422, 423, 424, 425, 426, 428, 429, 431, 451, 499,
        500, 501, 502, 503, 504, 505, 507, 511, 520, 599,
    ] {
        cases.push((raw(status, "", ""), Again));
        if status == 304 {
            continue;
        }
        cases.push((raw(status, "content-type: text/html\r\n", PAGE), Again));
        for body in [
            r#"{"message":"no route"}"#,
            r#"{"code":20,"error":"a number"}"#,
            r#"{"code":20,"message":"a gateway"}"#,
            r#"{"code":"20"}"#,
            r#"{"code":null,"error":"no code"}"#,
            r#"{"code":"20","error":5}"#,
            r#"{"code":"NotFound","error":"a gateway"}"#,
            r#"{"code":"","error":""}"#,
            r#"{"code":"20","error":"cut"#,
            "[]",
        ] {
            cases.push((json(status, body), Again));
        }
        // In the words of §5.5: final where the operation has the status, unless the words are of something else.
        for (code, is_word) in [
            ("20", true),
            ("21", true),
            ("49", true),
            ("91", true),
            ("250", true),
            ("1000", true),
            ("90", false),
            ("93", false),
            ("104", false),
            ("100", false),
        ] {
            let is_final = is_word && own.contains(&status);
            let verdict = if is_final { Refused } else { Again };
            cases.push((json(status, &refusal(code)), verdict));
        }
    }
    cases
}

// R-7.3-14, R-7.4-5, R-7.5-11, R-7.6-4, R-7.7-9, R-7.7.2.1-5, R-7.8-5, R-7.9-4, R-7.10-6
#[tokio::test(flavor = "multi_thread")]
async fn only_a_clear_refusal_is_final_and_only_the_right_shape_is_a_success() {
    let ca = ca();
    let all: Vec<_> = OPERATIONS
        .iter()
        .flat_map(|(operation, own)| {
            let cases = cases(operation, own);
            cases.into_iter().map(|case| (*operation, case))
        })
        .collect();
    let answers = all.iter().map(|(_, (raw, _))| raw.clone()).collect();
    let (url, _server) = server(&ca, answers).await;
    let limit = Duration::from_secs(30);
    let msp = MspClient::new(aid_aid1::client::Settings {
        timeout: limit,
        deviations: Deviations::default(),
        ..settings(&url, client_tls(&ca, Some(&ca)))
    });
    let cmp = CmpClient::new(aid_aid1::client::Settings {
        timeout: limit,
        deviations: Deviations::default(),
        ..settings(&url, client_tls(&ca, Some(&ca)))
    });
    let (msp, cmp) = (msp.unwrap(), cmp.unwrap());
    for (operation, (raw, wanted)) in all {
        let (verdict, error) = judge(call(&msp, &cmp, operation).await);
        let start: String = raw.chars().take(300).collect();
        assert_eq!(verdict, wanted, "{operation}: {start:?} {error:?}");
        // The log says what came, and no secret.
        let text = error.map(|e| e.to_string()).unwrap_or_default();
        assert!(!text.contains("SECRET") && !text.contains('\n'), "{text}");
    }
}

// What was wrong in an answer can be read in the log.
#[tokio::test]
async fn an_answer_that_nobody_can_use_is_described() {
    let ca = ca();
    let unusable = CODE.replace("\"personal\"", "null");
    let answers = vec![
        raw(503, "content-type: text/html\r\n", PAGE),
        json(422, r#"{"code":7,"error":"number"}"#),
        json(200, &unusable),
        raw(302, "location: /login\r\n", ""),
        raw(404, "", ""),
    ];
    let (url, _server) = server(&ca, answers).await;
    let msp = MspClient::new(settings(&url, client_tls(&ca, Some(&ca)))).unwrap();
    let cmp = CmpClient::new(settings(&url, client_tls(&ca, Some(&ca)))).unwrap();
    for words in [
        &["503", "text/html", "back soon"][..],
        &["422", "code=7", "application/json"],
        &["200", "profileType", "null"],
        &["302"],
        &["404", "no body"],
    ] {
        let result = call(&msp, &cmp, "Request Activation Code").await;
        let text = result.unwrap_err().to_string();
        for word in words {
            assert!(text.contains(word), "{word}: {text}");
        }
        assert!(!text.contains("SECRET"), "{text}");
    }
}

// Retry-After as RFC 9110 §10.2.3 has it: seconds, or a date, which is measured against the answer's own.
#[tokio::test]
async fn a_peer_says_how_long_to_wait() {
    let ca = ca();
    let date = "date: Mon, 30 Nov 2026 02:00:00 GMT\r\n";
    let cases: [(&str, Option<u64>); 12] = [
        ("retry-after: 120\r\n", Some(120)),
        ("retry-after: 0\r\n", Some(0)),
        ("Retry-After:  7 \r\n", Some(7)),
        ("retry-after: 99999999\r\n", Some(3600)),
        ("retry-after: 18446744073709551615\r\n", Some(3600)),
        ("retry-after: Mon, 30 Nov 2026 02:01:30 GMT\r\n", Some(90)),
        ("retry-after: Monday, 30-Nov-26 02:00:10 GMT\r\n", Some(10)),
        ("retry-after: Mon, 30 Nov 2076 02:00:00 GMT\r\n", Some(3600)),
        ("retry-after: Sun, 29 Nov 2026 02:00:00 GMT\r\n", Some(0)),
        ("retry-after: -5\r\n", None),
        ("retry-after: soon\r\n", None),
        ("", None),
    ];
    let answers = cases
        .iter()
        .map(|(header, _)| raw(503, &format!("{date}{header}"), ""))
        .collect();
    let (url, _server) = server(&ca, answers).await;
    let msp = MspClient::new(settings(&url, client_tls(&ca, Some(&ca)))).unwrap();
    for (header, seconds) in cases {
        let token = TOKEN.parse().unwrap();
        let error = msp.request_invalidate(Call::new(), token).await;
        let wait = error.unwrap_err().retry_after(Duration::from_secs(3600));
        assert_eq!(wait, seconds.map(Duration::from_secs), "{header:?}");
    }
}

// R-B-8: a body with a success that has none is ignored, and counted as a deviation; so is another status of success.
#[tokio::test]
async fn what_a_success_says_too_much_is_ignored_and_counted() {
    let ca = ca();
    let odd = CODE.replace("personal", "operational");
    let odd = odd.replace("null", "\"\"");
    let answers = vec![
        json(204, ""),
        raw(204, "", ""),
        json(200, r#"{"note":"done"}"#),
        json(201, r#"{"note":"noted"}"#),
        json(200, CODE),
        json(200, &odd),
        json(202, CODE),
    ];
    let (url, _server) = server(&ca, answers).await;
    let settings = settings(&url, client_tls(&ca, Some(&ca)));
    let deviations = settings.deviations.clone();
    let msp = MspClient::new(settings).unwrap();
    let cmp = CmpClient::new(peer::settings(&url, client_tls(&ca, Some(&ca)))).unwrap();
    for (operation, found) in [
        ("Request Invalidate MSP Token", &[][..]),
        ("Request Invalidate MSP Token", &[]),
        (
            "Request Invalidate MSP Token",
            &[Deviation::Status, Deviation::Body],
        ),
        ("Send CSIM Status", &[Deviation::Body]),
        ("Request Activation Code", &[]),
        (
            "Request Activation Code",
            &[Deviation::EmptyText, Deviation::ProfileType],
        ),
        ("Request Activation Code", &[Deviation::Status]),
    ] {
        call(&msp, &cmp, operation).await.unwrap();
        let counted: Vec<_> = deviations.take().into_keys().collect();
        let mut found = found.to_vec();
        found.sort_unstable();
        assert_eq!(counted, found, "{operation}");
    }
}
