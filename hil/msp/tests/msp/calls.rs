//! Misbehaviours of the program's own calls to a CMP.

use crate::stage::*;

// R-4.1-12, R-7.3-4 to R-7.3-6, R-7.3-9 to R-7.3-12, R-5.3-1: a token that is wrong in each of its ways.
#[tokio::test]
async fn tokens_and_numbers_are_wrong_as_asked() {
    let stage = Stage::new("", "").await;
    let back = "https://cmp.example/return";
    let key: PhoneKey = PHONE_KEY.parse().unwrap();
    let send = async |name: &str| {
        stage.msp.misbehave(json!({"name": name})).await;
        let before = stage.cmp.got().len();
        let to = visit(&stage, &account_id(None), back, "wonder & land", "allow").await;
        (to, stage.cmp.got().split_off(before))
    };
    let number = |body: &Value| {
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        let phone = EncryptedPhone {
            phone_number: text("phoneNumber"),
            iv: text("iv"),
        };
        key.decrypt(&phone).ok()
    };
    for name in [
        "plain-phone",
        "plus-phone",
        "wrong-iv",
        "short-iv",
        "wrong-phone-key",
    ] {
        let (_, got) = send(name).await;
        assert_eq!(number(&got[0].body), None, "{name}");
    }
    let (_, got) = send("fixed-iv").await;
    let first = got[0].body["iv"].clone();
    assert!(number(&got[0].body).is_some());
    assert_eq!(send("fixed-iv").await.1[0].body["iv"], first);
    let (to, got) = send("onboarding-error").await;
    assert_eq!(
        (&got[0].body["error"], &got[0].body["msp_token"]),
        (&json!("1000: Customer not eligible"), &Value::Null)
    );
    assert!(to.starts_with(&format!("{back}?code=19&")), "{to}");
    assert_eq!(
        send("long-error").await.1[0].body["error"]
            .as_str()
            .unwrap()
            .len(),
        513
    );
    let (_, got) = send("token-and-error").await;
    assert!(got[0].body["error"].is_string() && got[0].body["msp_token"].is_string());
    assert_eq!(send("bad-token").await.1[0].body["msp_token"], "not-a-uuid");
    let (_, got) = send("second-token").await;
    assert_eq!((got.len(), &got[0].path), (2, &got[1].path));
    assert_ne!(got[0].body["msp_token"], got[1].body["msp_token"]);
    let (_, got) = send("duplicate-token").await;
    let used: Vec<_> = stage
        .cmp
        .got()
        .iter()
        .map(|g| g.body["msp_token"].clone())
        .collect();
    assert!(
        used.iter()
            .filter(|token| **token == got[0].body["msp_token"])
            .count()
            > 1
    );
    assert_eq!(
        send("wrong-subscription-type").await.1[0].body["subscriptionType"],
        "platinum"
    );
    assert!(send("no-call").await.1.is_empty());
}

// R-5.1-1 to R-5.1-6, R-7.3-16
#[tokio::test]
async fn headers_and_repetitions_are_wrong_as_asked() {
    let stage = Stage::new("", "").await;
    stage.onboard().await;
    let send = async |name: &str, n: usize| {
        stage.msp.misbehave(json!({"name": name})).await;
        let before = stage.cmp.got().len();
        stage.msp.command(&["update", "--user", "alice"]);
        stage.cmp.wait_for("/", before + n).await.split_off(before)
    };
    for (name, header, value) in [
        ("bad-request-id", "cmp-request-id", Some("not-a-uuid")),
        ("wrong-target-id", "target-id", Some("SomebodyElse")),
        ("wrong-client-id", "client-id", Some("SomebodyElse")),
        ("wrong-api-key", "api-key", Some("wrongkey")),
        ("no-api-key", "api-key", None),
        ("wrong-content-type", "content-type", Some("text/plain")),
    ] {
        let got = send(name, 1).await;
        assert_eq!(
            got[0].headers.get(header).map(String::as_str),
            value,
            "{name}"
        );
    }
    let id = |got: &crate::peers::Got| got.headers["cmp-request-id"].clone();
    let got = send("send-twice", 2).await;
    assert!(id(&got[0]) != id(&got[1]) && got[0].body == got[1].body);
    let got = send("repeat", 2).await;
    assert!(id(&got[0]) == id(&got[1]) && got[0].body == got[1].body);
    let got = send("reused-request-id", 2).await;
    assert!(id(&got[0]) == id(&got[1]) && got[0].body != got[1].body);
    for name in ["not-json", "empty-body", "oversized-body"] {
        // The recorder makes null of what is no JSON, or too long.
        let got = send(name, 1).await;
        assert!(
            got[0].body.is_null() || got[0].body["filler"].is_string(),
            "{name}"
        );
    }
}

// R-7.7.2.1-2 to R-7.7.2.1-6, R-5.1-2
#[tokio::test]
async fn activation_codes_are_sent_wrongly() {
    let stage = Stage::new("mode = \"async\"", "").await;
    let token = stage.onboard().await;
    let client = stage.client();
    let send = async |name: &str, n: usize| {
        stage
            .msp
            .misbehave(json!({"name": name, "operation": "send-activation-code"}))
            .await;
        let before = stage.cmp.got().len();
        let (call, body) = (Call::new(), ac_request());
        client
            .request_activation_code(call, token, &body)
            .await
            .unwrap();
        let got = stage.cmp.wait_for("/", before + n).await.split_off(before);
        (got, call, body.request_id.to_string())
    };
    let (got, _, id) = send("double-code", 2).await;
    assert_eq!(
        (&got[0].body, &got[0].body["activationCodeRequestID"]),
        (&got[1].body, &json!(id))
    );
    let (got, _, _) = send("second-code", 2).await;
    assert_ne!(got[0].body["activationCode"], got[1].body["activationCode"]);
    assert_eq!(
        got[0].body["activationCodeRequestID"],
        got[1].body["activationCodeRequestID"]
    );
    let (got, call, _) = send("wrong-correlation-id", 1).await;
    assert_ne!(
        got[0].headers["correlation-id"],
        call.correlation_id.to_string()
    );
    let (got, _, id) = send("wrong-request-id", 1).await;
    assert_ne!(got[0].body["activationCodeRequestID"], id);
    assert!(send("null-request-id", 1).await.0[0].body["activationCodeRequestID"].is_null());
    let (got, _, _) = send("code-and-error", 1).await;
    assert!(got[0].body["error"].is_string() && got[0].body["activationCode"].is_string());
    let (got, _, _) = send("neither-code-nor-error", 1).await;
    assert!(got[0].body["error"].is_null() && got[0].body["activationCode"].is_null());
    let (got, _, _) = send("foreign-iccid", 1).await;
    assert_eq!(got[0].body["iccid"], "8999999999999999995");
}

// R-7.5-6, R-7.5-8 to R-7.5-10: what a CMP says to a call is an event.
#[tokio::test]
async fn profile_information_is_wrong_and_the_answer_is_known() {
    let stage = Stage::new("", "").await;
    let token = stage.onboard().await;
    let client = stage.client();
    let body = ac_request();
    let iccid = order(&client, token, &body).await.iccid.unwrap();
    let inform = async |name: &str, n: usize| {
        stage.msp.misbehave(json!({"name": name})).await;
        let before = stage.cmp.got().len();
        stage.msp.command(&[
            "profile",
            "inform",
            "--iccid",
            iccid.as_str(),
            "--status",
            "suspended",
        ]);
        stage.cmp.wait_for("/", before + n).await.split_off(before)
    };
    assert_eq!(
        inform("foreign-profile", 1).await[0].body["profiles"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(
        inform("empty-profiles", 1).await[0].body["profiles"],
        json!([])
    );
    assert_eq!(
        inform("valid-after-invalid", 2).await[1].body["profiles"][0]["status"],
        "valid"
    );
    stage
        .msp
        .misbehave(json!({"name": "inform-on-status"}))
        .await;
    let before = stage.cmp.got().len();
    let status = SendCsimStatus {
        iccid: iccid.clone(),
        eid: body.eid.into(),
        status: CsimStatus::Enabled,
    };
    client
        .send_csim_status(Call::new(), token, &status)
        .await
        .unwrap();
    assert!(
        stage.cmp.wait_for("/", before + 1).await[before]
            .path
            .ends_with("/profiles")
    );

    stage
        .cmp
        .answer(|_, _| (422, json!({"code": "60", "error": "empty"})));
    inform("empty-profiles", 1).await;
    let answered = async || {
        let events = stage.msp.ask("/v1/events").await;
        events
            .as_array()
            .unwrap()
            .iter()
            .rev()
            .find(|e| !e["status"].is_null())
            .cloned()
    };
    let mut last = answered().await;
    while last.as_ref().is_none_or(|e| e["status"] != 422) {
        tokio::time::sleep(Duration::from_millis(20)).await;
        last = answered().await;
    }
    assert_eq!(
        (
            &last.as_ref().unwrap()["code"],
            &last.as_ref().unwrap()["name"]
        ),
        (&json!("60"), &json!("empty-profiles"))
    );
}

// R-7.1a-4, R-7.2.2-1: the browser goes where it should not.
#[tokio::test]
async fn the_way_back_is_wrong_as_asked() {
    let stage = Stage::new("", "").await;
    let back = "https://cmp.example/return?state=1";
    let go = async |wish: Value, decision: &str| {
        stage.msp.misbehave(wish).await;
        visit(&stage, &account_id(None), back, "wonder & land", decision).await
    };
    assert_eq!(
        go(json!({"name": "wrong-return"}), "allow").await,
        "https://elsewhere.invalid/"
    );
    assert_eq!(go(json!({"name": "return-success"}), "deny").await, back);
    assert!(
        go(json!({"name": "return-error", "code": 103}), "allow")
            .await
            .starts_with(&format!("{back}&code=103&"))
    );
    assert!(
        go(json!({"name": "quoted-error"}), "allow")
            .await
            .contains("error=%22")
    );
}

// A call of the bench's own making, and what the CMP said to it.
#[tokio::test]
async fn any_call_can_be_made() {
    let stage = Stage::new("", "").await;
    let http = reqwest::Client::new();
    let send = async |call: Value| {
        let url = format!("{}/v1/calls", stage.msp.control);
        http.post(url).json(&call).send().await.unwrap()
    };
    let answer = send(json!({
        "cmp": "CmpOne", "method": "PATCH", "path": "/cesim/msp/v1/subscriptions/abc", "body": {"iv": 1},
        "headers": {"api-key": ""},
    }))
    .await;
    assert_eq!(answer.json::<Value>().await.unwrap()["status"], 201);
    let got = &stage.cmp.got()[0];
    assert_eq!(
        (got.method.as_str(), &got.body),
        ("PATCH", &json!({"iv": 1}))
    );
    assert!(!got.headers.contains_key("api-key") && got.headers.contains_key("client-id"));
    for bad in [
        json!({"cmp": "Nobody", "method": "GET", "path": "/"}),
        json!({"cmp": "CmpOne", "method": "G T", "path": "/"}),
        json!({"cmp": "CmpOne", "method": "GET", "path": "x"}),
    ] {
        assert_eq!(send(bad).await.status(), 422);
    }
}
