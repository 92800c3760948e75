//! Misbehaviours of answers, asked for by name over the control API and on the command line.

use crate::stage::*;
use aid_aid1::deviation::Deviation;

async fn onboarded(more_user: &str) -> (Stage, MspToken, MspClient) {
    let stage = Stage::new("", more_user).await;
    let token = stage.onboard().await;
    let client = stage.client();
    (stage, token, client)
}

// R-7.7.1-3: slower than three seconds, and still a code; the client that waits has it.
#[tokio::test]
async fn an_answer_comes_late_and_then_in_time() {
    let (stage, token, client) = onboarded("").await;
    stage
        .msp
        .misbehave(json!({"name": "slow-answer", "operation": "request-activation-code"}))
        .await;
    let hurried = MspClient::new(Settings {
        timeout: Duration::from_secs(1),
        ..stage.settings()
    });
    let body = ac_request();
    let hurried = hurried
        .unwrap()
        .request_activation_code(Call::new(), token, &body)
        .await;
    assert!(
        matches!(hurried, Err(CallError::Timeout { .. })),
        "{hurried:?}"
    );
    // The work was done: the repetition has the code, at once, and it is the same.
    let code = order(&client, token, &body).await;
    assert_eq!(order(&client, token, &body).await, code);
    let rules = stage.msp.ask("/v1/misbehaviours").await;
    assert_eq!(
        (&rules[0]["remaining"], &rules[0]["fired"]),
        (&json!(0), &json!(1))
    );
    let events = stage.msp.ask("/v1/events").await;
    assert_eq!(
        (&events[0]["name"], &events[0]["operation"]),
        (&json!("slow-answer"), &json!("request-activation-code"))
    );
}

// R-5.5-1, R-7.8-5: what a CMP has to bear with, each once.
#[tokio::test]
async fn errors_come_as_they_were_asked_for() {
    let (stage, token, client) = onboarded("").await;
    let ask = async || {
        client
            .request_profile_status(Call::new(), token, None)
            .await
    };
    for (wish, status, code) in [
        (json!({"name": "server-error"}), 500, Some("90")),
        (
            json!({"name": "server-error", "status": 503, "code": 104}),
            503,
            Some("104"),
        ),
        (
            json!({"name": "refuse", "status": 404, "code": 20}),
            404,
            Some("20"),
        ),
        (json!({"name": "rate-limit"}), 429, Some("90")),
        (json!({"name": "proxy-error"}), 502, None),
        (json!({"name": "bare-error"}), 500, None),
        (json!({"name": "numeric-code"}), 422, None),
    ] {
        stage.msp.misbehave(wish.clone()).await;
        let error = ask().await.unwrap_err();
        let (got, body) = error.refusal().unwrap_or_else(|| panic!("{wish}: {error}"));
        assert_eq!(
            (got.as_u16(), body.map(|b| b.code.as_str())),
            (status, code),
            "{wish}"
        );
    }
    for name in ["cut-connection", "lost-answer"] {
        stage.msp.misbehave(json!({"name": name})).await;
        assert!(
            matches!(
                ask().await,
                Err(CallError::Broken { .. } | CallError::Connect { .. })
            ),
            "{name}"
        );
    }
    for name in [
        "not-json",
        "oversized-body",
        "null-member",
        "missing-member",
        "duplicate-members",
    ] {
        stage.msp.misbehave(json!({"name": name})).await;
        assert!(
            matches!(ask().await, Err(CallError::Contract { .. })),
            "{name}"
        );
    }
    // A right answer under another 2xx counts.
    stage.msp.misbehave(json!({"name": "wrong-status"})).await;
    assert!(ask().await.unwrap().profiles.is_empty());
    // What the contract lets through.
    stage
        .msp
        .misbehave(json!({"name": "unknown-members"}))
        .await;
    assert!(ask().await.unwrap().profiles.is_empty());
    assert!(ask().await.unwrap().profiles.is_empty());
}

// R-4.6-4, R-7.10-4
#[tokio::test]
async fn the_profile_status_lies() {
    let (stage, token, client) = onboarded("").await;
    let real = order(&client, token, &ac_request()).await.iccid.unwrap();
    let ask = async |name: &str| {
        stage.msp.misbehave(json!({"name": name})).await;
        let all = client
            .request_profile_status(Call::new(), token, None)
            .await;
        all.map(|all| {
            all.profiles
                .into_iter()
                .map(|p| (p.iccid, p.status))
                .collect::<Vec<_>>()
        })
    };
    assert_eq!(ask("empty-profile-status").await.unwrap(), []);
    assert_eq!(ask("hidden-profile").await.unwrap(), []);
    assert_eq!(ask("strange-profile").await.unwrap().len(), 2);
    assert_eq!(
        ask("echoed-status").await.unwrap(),
        [(real, ProfileState::Enabled)]
    );
    assert!(ask("unknown-status").await.is_err());
}

// R-4.3.1-14, R-4.3.1-16, R-4.3.1-24, R-7.7.1.1-1, R-7.7.1.1-2
#[tokio::test]
async fn activation_codes_are_wrong_as_asked() {
    let (stage, token, client) = onboarded("max_profiles = 2").await;
    let ask = async |wish: Value| {
        stage.msp.misbehave(wish).await;
        client
            .request_activation_code(Call::new(), token, &ac_request())
            .await
    };
    let code = async |wish: Value| match ask(wish.clone()).await {
        Ok(Activation::Now(code)) => code,
        other => panic!("{wish}: {other:?}"),
    };
    let nobodys = "8999999999999999995";
    assert_eq!(
        code(json!({"name": "foreign-iccid"}))
            .await
            .iccid
            .unwrap()
            .as_str(),
        nobodys
    );
    assert_eq!(code(json!({"name": "no-iccid"})).await.iccid, None);
    // Both slots are taken now, so each of these swaps.
    assert_eq!(
        code(json!({"name": "hidden-swap"})).await.swapped_iccid,
        None
    );
    assert_eq!(
        code(json!({"name": "strange-swap"}))
            .await
            .swapped_iccid
            .unwrap()
            .as_str(),
        nobodys
    );
    let own = code(json!({"name": "self-swap"})).await;
    assert_eq!(own.swapped_iccid, own.iccid);
    let bad = ask(json!({"name": "bad-activation-code"})).await;
    assert!(matches!(bad, Err(CallError::Contract { .. })), "{bad:?}");
    // Another type beside a code is tolerated, and counted.
    let _ = client.deviations().take();
    code(json!({"name": "wrong-profile-type"})).await;
    let counted = client.deviations().take();
    assert_eq!(
        counted.get(&Deviation::ProfileType),
        Some(&1),
        "{counted:?}"
    );
}

// R-4.3.1-14, R-4.3.1-20
#[tokio::test]
async fn the_swap_is_not_what_the_cmp_expects() {
    let (stage, token, client) = onboarded("max_profiles = 2").await;
    let first = order(&client, token, &ac_request()).await.iccid.unwrap();
    stage.msp.misbehave(json!({"name": "early-swap"})).await;
    let second = order(&client, token, &ac_request()).await;
    assert_eq!(second.swapped_iccid, Some(first));
    let third = order(&client, token, &ac_request()).await.iccid.unwrap();
    stage.msp.misbehave(json!({"name": "own-swap"})).await;
    let wanted = RequestActivationCode {
        replace_iccid: Some(third.clone()),
        ..ac_request()
    };
    let fourth = order(&client, token, &wanted).await;
    assert_eq!(
        fourth.swapped_iccid, second.iccid,
        "the candidate was {third}"
    );
}

// R-7.7.2-1, R-7.7.2-2, R-7.7.2-3
#[tokio::test]
async fn codes_come_at_the_wrong_time() {
    let (stage, token, client) = onboarded("").await;
    let ask = async |wish: Value| {
        stage.msp.misbehave(wish).await;
        let body = ac_request();
        let answer = client
            .request_activation_code(Call::new(), token, &body)
            .await;
        (answer, body.request_id.to_string())
    };
    let codes = || {
        stage
            .cmp
            .got()
            .iter()
            .filter(|g| g.path.contains("/activation-codes/"))
            .count()
    };
    let (answer, _) = ask(json!({"name": "code-before-201"})).await;
    assert_eq!((answer, codes()), (Ok(Activation::Later), 1));
    let (answer, id) = ask(json!({"name": "code-after-timeout"})).await;
    assert!(
        matches!(answer, Err(CallError::Broken { .. })),
        "{answer:?}"
    );
    assert_eq!(
        stage.cmp.wait_for("/activation-codes/", 2).await[1].body["activationCodeRequestID"],
        id
    );
    let (answer, _) = ask(json!({"name": "late-code", "delay_ms": 300})).await;
    assert_eq!(answer, Ok(Activation::Later));
    let (answer, id) = ask(json!({"name": "fail-later", "code": 51, "text": "not today"})).await;
    assert_eq!(answer, Ok(Activation::Later));
    let got = stage.cmp.wait_for("/activation-codes/", 4).await;
    let failed = got
        .iter()
        .find(|g| g.body["activationCodeRequestID"] == id)
        .unwrap();
    assert_eq!(failed.body["error"], "51: not today");
    // It is accepted and then there is nothing, not even a trace of it.
    let (answer, _) = ask(json!({"name": "never-code"})).await;
    assert_eq!(answer, Ok(Activation::Later));
    let (answer, _) = ask(json!({"name": "asynchronous"})).await;
    assert_eq!(answer, Ok(Activation::Later));
    stage.cmp.wait_for("/activation-codes/", 5).await;
    assert_eq!(codes(), 5);
}

// R-4.4.1-5, R-4.4.1-6, R-4.4.1-13, R-7.7.2.1-7
#[tokio::test]
async fn a_dead_token_is_treated_badly() {
    let (stage, token, client) = onboarded("").await;
    let body = ac_request();
    let iccid = order(&client, token, &body).await.iccid.unwrap();
    stage
        .msp
        .misbehave(json!({"name": "code-after-invalidation"}))
        .await;
    client.request_invalidate(Call::new(), token).await.unwrap();
    let late = stage.cmp.wait_for("/activation-codes/", 1).await;
    assert_eq!(
        late[0].body["activationCodeRequestID"],
        body.request_id.to_string()
    );
    let status = SendCsimStatus {
        iccid,
        eid: body.eid.into(),
        status: CsimStatus::Deleted,
    };
    stage
        .msp
        .misbehave(json!({"name": "forgets-dead-token"}))
        .await;
    assert_eq!(
        code_of(client.send_csim_status(Call::new(), token, &status).await),
        (404, "21".into())
    );
    client
        .send_csim_status(Call::new(), token, &status)
        .await
        .unwrap();
    stage
        .msp
        .misbehave(json!({"name": "takes-dead-token"}))
        .await;
    order(&client, token, &ac_request()).await;
}

#[tokio::test]
async fn rules_are_for_one_cmp_and_go_by_number_and_chance() {
    let (stage, token, client) = onboarded("").await;
    let ask = async || {
        client
            .request_profile_status(Call::new(), token, None)
            .await
            .is_ok()
    };
    let set = stage.msp.command(&[
        "misbehave",
        "set",
        "server-error",
        "--always",
        "--skip",
        "2",
        "--cmp",
        "CmpOne",
    ]);
    let seen = [ask().await, ask().await, ask().await, ask().await];
    assert_eq!(seen, [true, true, false, false]);
    let id = set[0]["id"].to_string();
    stage.msp.command(&["misbehave", "clear", &id]);
    assert!(ask().await);
    // The same seed fails at the same places.
    let mut runs = Vec::new();
    for _ in 0..2 {
        stage.msp.command(&[
            "misbehave",
            "set",
            "server-error",
            "--always",
            "--probability",
            "0.5",
            "--seed",
            "7",
        ]);
        let mut run = Vec::new();
        for _ in 0..12 {
            run.push(ask().await);
        }
        runs.push(run);
        assert_eq!(stage.msp.command(&["misbehave", "clear"])[0]["cleared"], 1);
    }
    assert!(runs[0].contains(&true) && runs[0].contains(&false));
    assert_eq!(runs[0], runs[1]);
    assert_eq!(
        stage.msp.command(&["misbehave", "list", "--json"]),
        json!([])
    );
    assert!(
        stage
            .msp
            .command(&["misbehave", "names", "--json"])
            .as_array()
            .unwrap()
            .len()
            > 60
    );
    assert!(
        !stage
            .msp
            .command(&["misbehave", "events", "--json"])
            .as_array()
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn the_control_api_is_for_programs_of_this_machine() {
    let stage = Stage::new("", "").await;
    let url = format!("{}/v1/misbehaviours", stage.msp.control);
    let http = reqwest::Client::new();
    let post = |body: &'static str, kind: &'static str| {
        http.post(&url)
            .header("content-type", kind)
            .body(body)
            .send()
    };
    for (body, kind, status) in [
        (r#"{"name":"slow-answer"}"#, "text/plain", 415),
        (r#"{"name":"nonsense"}"#, "application/json", 422),
        (
            r#"{"name":"slow-answer","colour":1}"#,
            "application/json",
            422,
        ),
        (
            r#"{"name":"slow-answer","cmp":"Nobody"}"#,
            "application/json",
            422,
        ),
        ("{", "application/json", 400),
        (r#"["slow-answer"]"#, "application/json", 422),
        ("null", "application/json", 422),
    ] {
        let answer = post(body, kind).await.unwrap();
        assert_eq!(answer.status(), status, "{body}");
        assert!(answer.json::<Value>().await.unwrap()["error"].is_string());
    }
    // No array is taken for an object, no unknown member passed over, and no member taken twice.
    for (path, bad) in [
        ("calls", r#"["CmpOne","GET","/",null,null,{},null]"#),
        (
            "calls",
            r#"{"cmp":"CmpOne","method":"GET","path":"/","colour":1}"#,
        ),
        ("subscriptions/alice/update", r#"["4915112345678"]"#),
        ("subscriptions/alice/update", r#"{"colour":1}"#),
        ("subscriptions/alice/suspend", r#"["for fun",null]"#),
        ("subscriptions/alice/suspend", r#"{"colour":1}"#),
        ("profiles/8949000000000000001/defect", r#"["for fun",null]"#),
        (
            "profiles/8949000000000000001/defect",
            r#"{"reason":"a","reason":"b"}"#,
        ),
        ("profiles/8949000000000000001/defect", r#"{"colour":1}"#),
    ] {
        let answer = http
            .post(format!("{}/v1/{path}", stage.msp.control))
            .header("content-type", "application/json")
            .body(bad)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 422, "{path} {bad}");
        assert!(answer.json::<Value>().await.unwrap()["error"].is_string());
    }
    let page = http
        .get(&url)
        .header("origin", "https://evil.example")
        .send()
        .await
        .unwrap();
    assert_eq!(page.status(), 403);
    let rebound = http
        .get(&url)
        .header("host", "evil.example")
        .send()
        .await
        .unwrap();
    assert_eq!(rebound.status(), 403);
    assert_eq!(
        http.get(format!("{}/v1/nothing", stage.msp.control))
            .send()
            .await
            .unwrap()
            .status(),
        404
    );
    assert_eq!(stage.msp.ask("/v1/users").await[0]["user"], "alice");
}
