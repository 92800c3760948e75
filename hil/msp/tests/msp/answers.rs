//! What a CMP, an SM-DP+ or a proxy in front of them answers: nothing but a clear refusal ends a job or an order.

use crate::stage::*;

fn refusal(code: &str) -> Value {
    json!({"code": code, "error": "no"})
}

// R-7.6-4, R-7.3-16: one job, asked again with the same id until it is answered.
#[tokio::test]
async fn a_job_outlives_what_a_proxy_says() {
    let stage = Stage::new("", "").await;
    stage.onboard().await;
    let before = stage.cmp.got().len();
    stage.cmp.answer(|got, n| match n {
        0 => (401, refusal("104")),
        1 => (404, json!({"message": "no route"})),
        2 => (302, Value::Null),
        _ => cmp(got, n),
    });
    stage.msp.command(&["update", "--user", "alice"]);
    let got = stage.cmp.wait_for("/subscriptions/", 4).await;
    let id = &got[0].headers["cmp-request-id"];
    assert!(got.iter().all(|g| &g.headers["cmp-request-id"] == id));
    assert_eq!(stage.cmp.got().len(), before + 4);
    // A clear refusal is final: what comes after it is another job.
    stage.cmp.answer(|got, n| match n {
        4 => (422, refusal("91")),
        _ => cmp(got, n),
    });
    stage.msp.command(&["update", "--user", "alice"]);
    stage.cmp.wait_for("/subscriptions/", 5).await;
    stage.msp.command(&["update", "--user", "alice"]);
    let got = stage.cmp.wait_for("/subscriptions/", 6).await;
    assert_ne!(
        got[4].headers["cmp-request-id"],
        got[5].headers["cmp-request-id"]
    );
}

// R-7.7.2-1, R-7.7.2-3: an order that the SM-DP+ has not refused is not over.
#[tokio::test]
async fn an_order_outlives_what_a_proxy_says() {
    let stage = Stage::new("mode = \"async\"", "").await;
    let token = stage.onboard().await;
    stage.smdp.answer(|got, n| match n {
        _ if !got.path.ends_with("/downloadOrder") => (200, smdp(got)),
        0 => (503, Value::Null),
        1 => (200, refused("8.1", "5.1")),
        2 => (
            200,
            json!({"header": {"functionExecutionStatus": {"status": "Failed"}}}),
        ),
        _ => (200, smdp(got)),
    });
    let body = ac_request();
    let answer = stage
        .client()
        .request_activation_code(Call::new(), token, &body)
        .await;
    assert_eq!(answer, Ok(Activation::Later));
    let got = stage.cmp.wait_for("/activation-codes/", 1).await;
    assert_eq!(got[0].body["error"], Value::Null);
    assert!(got[0].body["activationCode"].is_string());
    // With its codes it is.
    stage.smdp.answer(|_, _| (200, refused("8.2.5", "3.7")));
    let answer = stage
        .client()
        .request_activation_code(Call::new(), token, &ac_request())
        .await;
    assert_eq!(answer, Ok(Activation::Later));
    let got = stage.cmp.wait_for("/activation-codes/", 2).await;
    assert!(got[1].body["error"].as_str().unwrap().starts_with("49: "));
}
