//! The clients over real mutual TLS, against a server that records what arrives and answers what the test wants.
// A test that cannot set itself up has failed.
#![allow(clippy::unwrap_used)]

mod peer;

use aid_aid1::account_id::{Secret, issue};
use aid_aid1::body::{
    Body as _, CsimStatus, NotifyTokenInvalid, ProfileType, RequestActivationCode, SendCsimStatus,
};
use aid_aid1::client::{Activation, Call, CallError, CmpClient, MspClient};
use aid_aid1::error_code::ErrorCode;
use peer::{answer, ca, client_tls, server, settings};

const TOKEN: &str = "3d8db5e5-dd84-40bf-836c-bb686f9f707e";

fn ac_request() -> RequestActivationCode {
    RequestActivationCode {
        profile_type: ProfileType::Personal,
        device_type: "tcu".into(),
        eid: "89049032000001000000000831934057".parse().unwrap(),
        request_id: "14abc1e2-338f-11e6-ac61-9e71128cae77".parse().unwrap(),
        replace_iccid: None,
        imei: true,
    }
}

// R-5.1-1 to R-5.1-6, R-7.7-1, R-7.7-2, R-7.7-9
#[tokio::test]
async fn request_activation_code_has_three_kinds_of_answers() {
    let ca = ca();
    let now = r#"{"activationCode":"1$SMDP.EXAMPLE.COM$ABC","profileType":"personal","swappedIccid":null}"#;
    let bad = now.replace("1$", "7$");
    let (url, server) = server(
        &ca,
        vec![
            answer("200 OK", now),
            answer("201 Created", ""),
            answer("423 Locked", r#"{"code":"49","error":"<b>no such\neid"}"#),
            answer("200 OK", &bad),
            answer("503 Service Unavailable", "<html>"),
            answer("302 Found", ""),
            answer("200 OK", &" ".repeat(70_000)),
        ],
    )
    .await;
    let client = MspClient::new(settings(&url, client_tls(&ca, Some(&ca)))).unwrap();
    let call = Call::new();
    let mut outcomes = Vec::new();
    for _ in 0..7 {
        outcomes.push(
            client
                .request_activation_code(call, TOKEN.parse().unwrap(), &ac_request())
                .await,
        );
    }
    assert!(
        matches!(&outcomes[0], Ok(Activation::Now(code)) if code.activation_code.matching_id() == "ABC")
    );
    assert_eq!(outcomes[1], Ok(Activation::Later));
    let (status, body) = outcomes[2].as_ref().unwrap_err().refusal().unwrap();
    assert_eq!(
        (status.as_u16(), body.unwrap().known()),
        (423, Some(ErrorCode::ActivationCodeOther))
    );
    assert!(!body.unwrap().error.contains(['<', '\n']));
    let code = Some(ErrorCode::ActivationCodeFormat);
    assert!(matches!(&outcomes[3], Err(CallError::Contract { code: c, .. }) if *c == code));
    assert!(outcomes[4].as_ref().unwrap_err().is_transient());
    assert!(
        outcomes[4]
            .as_ref()
            .unwrap_err()
            .refusal()
            .unwrap()
            .1
            .is_none()
    );
    assert!(matches!(&outcomes[5], Err(CallError::Contract { .. })));
    assert!(matches!(&outcomes[6], Err(CallError::Contract { .. })));

    let requests = server.await.unwrap();
    let (head, body) = requests[0].split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with(&format!(
        "POST /base/v1/activation-code-requests/{TOKEN} HTTP/1.1\r\n"
    )));
    let head = head.to_ascii_lowercase();
    for line in [
        format!("cmp-request-id: {}", call.request_id),
        format!("correlation-id: {}", call.correlation_id),
        "client-id: dk3kdwkef1".into(),
        "target-id: gkl32ko4".into(),
        "api-key: 1234abcdefghij0123456789".into(),
        "content-type: application/json".into(),
    ] {
        assert!(head.lines().any(|l| l == line), "{line}");
    }
    assert!(!head.contains("authorization"));
    assert_eq!(
        RequestActivationCode::parse(body.as_bytes()).unwrap(),
        ac_request()
    );
}

// R-7.3-1, R-7.4-1, R-7.8-1, R-7.9-1, R-7.10-1: path, method and success status of the others.
#[tokio::test]
async fn each_operation_has_its_path_method_and_status() {
    let ca = ca();
    let profiles = r#"{"profiles":[{"iccid":"8944500805172032953","status":"installed"}]}"#;
    let answers = [
        ("201 Created", ""),
        ("204 No Content", ""),
        ("200 OK", profiles),
        ("204 No Content", ""),
        ("200 OK", ""),
    ];
    let (url, server) = server(&ca, answers.iter().map(|(s, b)| answer(s, b)).collect()).await;
    let msp = MspClient::new(settings(&url, client_tls(&ca, Some(&ca)))).unwrap();
    let cmp = CmpClient::new(settings(&url, client_tls(&ca, Some(&ca)))).unwrap();
    let (call, token) = (Call::new(), TOKEN.parse().unwrap());
    let iccid = "8944500805172032953".parse().unwrap();
    let status = SendCsimStatus {
        iccid,
        eid: ac_request().eid.into(),
        status: CsimStatus::Enabled,
    };
    msp.send_csim_status(call, token, &status).await.unwrap();
    msp.request_invalidate(call, token).await.unwrap();
    let got = msp
        .request_profile_status(call, token, Some(&status.iccid))
        .await
        .unwrap();
    assert_eq!(got.profiles.len(), 1);
    cmp.notify_token_invalid(call, token, &NotifyTokenInvalid::default())
        .await
        .unwrap();
    let id = issue(&Secret::new(&[7; 32]).unwrap(), call.request_id, None, 1, 1).unwrap();
    let failed = aid_aid1::body::SendMspToken::Failed { error: "19".into() };
    // 200 is not what §7.3 says, but it says that it is done.
    assert_eq!(cmp.send_msp_token(call, &id, &failed).await, Ok(()));
    let lines: Vec<String> = server
        .await
        .unwrap()
        .iter()
        .map(|r| r.lines().next().unwrap().to_owned())
        .collect();
    assert_eq!(lines[0], format!("POST /base/v1/statuses/{TOKEN} HTTP/1.1"));
    assert_eq!(lines[1], format!("DELETE /base/v1/users/{TOKEN} HTTP/1.1"));
    assert_eq!(
        lines[2],
        format!("GET /base/v1/profiles/status/{TOKEN}?iccid=8944500805172032953 HTTP/1.1")
    );
    assert_eq!(
        lines[3],
        format!("POST /base/cesim/msp/v1/users/{TOKEN}/invalidate HTTP/1.1")
    );
    assert_eq!(
        lines[4],
        format!("POST /base/cesim/msp/v1/users/{id} HTTP/1.1")
    );
}

// R-6-4, R-6-7
#[tokio::test]
async fn without_the_right_certificates_there_is_no_call() {
    let (ca, other) = (ca(), peer::ca());
    let (url, server) = server(&ca, vec![answer("204 No Content", ""); 4]).await;
    let call = |tls| {
        let client = MspClient::new(settings(&url, tls)).unwrap();
        async move {
            client
                .request_invalidate(Call::new(), TOKEN.parse().unwrap())
                .await
        }
    };
    assert!(
        call(client_tls(&ca, None))
            .await
            .unwrap_err()
            .is_transient()
    );
    assert!(call(client_tls(&ca, Some(&other))).await.is_err());
    assert!(matches!(
        call(client_tls(&other, Some(&ca))).await,
        Err(CallError::Connect { .. })
    ));
    call(client_tls(&ca, Some(&ca))).await.unwrap();
    assert_eq!(server.await.unwrap().len(), 1);
    for bad in ["http://localhost:1", "localhost", "https://x/?a=b"] {
        assert!(matches!(
            MspClient::new(settings(bad, client_tls(&ca, None))),
            Err(CallError::Settings(_))
        ));
    }
}

#[tokio::test]
async fn silence_ends_in_a_timeout_and_nothing_leaks() {
    let ca = ca();
    let (url, _server) = server(&ca, vec!["hang".into()]).await;
    let client = MspClient::new(settings(&url, client_tls(&ca, Some(&ca)))).unwrap();
    let error = client
        .request_invalidate(Call::new(), TOKEN.parse().unwrap())
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::Timeout { seconds: 2, .. }));
    assert!(error.is_transient() && !error.to_string().contains(TOKEN));
    assert!(!format!("{client:?}").contains("1234abcdefghij"));
}
