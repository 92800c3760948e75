//! The end of an onboarding, and the command line: AID.02 §4.4, §7.5, §7.6, §7.9.

use crate::stage::*;

// R-4.4.1-3 to R-4.4.1-6, R-4.4.1-16, R-7.9-1 to R-7.9-4, R-A.3-3
#[tokio::test]
async fn a_withdrawn_token_gives_no_code_but_takes_statuses() {
    let stage = Stage::new("", "").await;
    let token = stage.onboard().await;
    let client = stage.client();
    let body = ac_request();
    let code = order(&client, token, &body).await;
    let prepared = order(&client, token, &ac_request()).await;
    let status = |status| SendCsimStatus {
        iccid: code.iccid.clone().unwrap(),
        eid: body.eid.into(),
        status,
    };
    client
        .send_csim_status(Call::new(), token, &status(CsimStatus::Installed))
        .await
        .unwrap();
    for _ in 0..2 {
        client.request_invalidate(Call::new(), token).await.unwrap();
    }
    let dead = (404, "21".to_owned());
    assert_eq!(
        code_of(
            client
                .request_activation_code(Call::new(), token, &ac_request())
                .await
        ),
        dead
    );
    assert_eq!(
        code_of(
            client
                .request_activation_code(Call::new(), token, &body)
                .await
        ),
        dead
    );
    for profile in stage
        .msp
        .command(&["profile", "list", "--json"])
        .as_array()
        .unwrap()
    {
        assert_eq!(profile["network"], false);
    }
    // The contract goes on: the subscription lives, and can be linked again.
    let subscriptions = stage.msp.command(&["subscription", "list", "--json"]);
    assert_eq!(subscriptions[0]["state"], "active");
    let cancelled = stage.smdp.wait_for("/cancelOrder", 1).await;
    assert_eq!(cancelled[0].body["iccid"], prepared.iccid.unwrap().as_str());
    client
        .send_csim_status(Call::new(), token, &status(CsimStatus::Deleted))
        .await
        .unwrap();
    assert!(
        stage
            .cmp
            .got()
            .iter()
            .all(|g| !g.path.contains("invalidate")),
        "the CMP knows it already"
    );
    let again = stage.onboard().await;
    assert_ne!(again, token);
    order(&client, again, &ac_request()).await;
}

// R-4.4.2-1, R-4.7-2, R-4.8-2, R-7.5-1, R-7.6-1: what the operator does on the command line reaches the CMP.
#[tokio::test]
async fn the_command_line_reaches_the_cmp() {
    let stage = Stage::new("", "customer_group = \"Market_Germany\"").await;
    let token = stage.onboard().await;
    let code = order(&stage.client(), token, &ac_request()).await;
    let iccid = code.iccid.unwrap();
    stage.msp.command(&["update", "--user", "alice"]);
    let got = stage.cmp.wait_for("/subscriptions/", 1).await;
    assert_eq!(
        (got[0].method.as_str(), &got[0].body["customerGroup"]),
        ("PATCH", &json!("Market_Germany"))
    );
    stage.msp.command(&[
        "profile",
        "inform",
        "--iccid",
        iccid.as_str(),
        "--status",
        "suspended",
        "--reason",
        "bill",
    ]);
    let got = stage.cmp.wait_for("/profiles", 1).await;
    assert_eq!(
        got[0].body,
        json!({"profiles": [{"iccid": iccid.as_str(), "status": "suspended", "reason": "bill"}]})
    );
    stage
        .msp
        .command(&["withdraw", "--user", "alice", "--reason", "moved"]);
    let got = stage.cmp.wait_for("/invalidate", 1).await;
    assert_eq!(
        (got[0].path.clone(), &got[0].body["reason"]),
        (
            format!("/cesim/msp/v1/users/{token}/invalidate"),
            &json!("moved")
        )
    );
    assert_eq!(
        code_of(
            stage
                .client()
                .request_activation_code(Call::new(), token, &ac_request())
                .await
        )
        .1,
        "21"
    );
    // The peer has its request before the program has stored that it was answered.
    until("every call is done", async || {
        let outbox = stage.msp.command(&["outbox", "list", "--json"]);
        let mut rows = outbox.as_array().unwrap().iter();
        rows.all(|row| row["state"] == "done")
    })
    .await;
}
