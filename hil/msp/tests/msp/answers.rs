//! What a CMP, an SM-DP+ or a proxy in front of them answers: nothing but a clear refusal ends a job or an order.

use std::time::Instant;

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

// R-7.7.1-3, R-7.7.2-1: an order whose SM-DP+ fails at the very moment at which the CMP stops waiting is either refused or
// goes on; it is never accepted and then failed.
#[tokio::test]
async fn an_order_that_is_handed_over_while_the_sm_dp_is_away_stays_pending() {
    let stage = Stage::new("", "max_profiles = 20").await;
    let token = stage.onboard().await;
    stage.smdp.answer(|got, n| match n {
        _ if !got.path.ends_with("/downloadOrder") => (200, smdp(got)),
        // About the two and a half seconds for which an answer is waited for.
        0..8 => (0, json!({"after": 2400 + 30 * n, "status": 503})),
        _ => (200, smdp(got)),
    });
    let orders = (0..8).map(|_| {
        let client = stage.client();
        tokio::spawn(async move {
            let (call, body) = (Call::new(), ac_request());
            let first = client.request_activation_code(call, token, &body).await;
            (call, body, first)
        })
    });
    let mut accepted = Vec::new();
    for order in orders.collect::<Vec<_>>() {
        let (call, body, first) = order.await.unwrap();
        match first {
            Ok(Activation::Later) => accepted.push(body.request_id.to_string()),
            Ok(Activation::Now(code)) => panic!("{code:?} from an SM-DP+ that is away"),
            // It was refused in time: the same call again is worked on again.
            Err(error) => {
                assert!(error.is_transient(), "{error}");
                let client = stage.client();
                let again = client.request_activation_code(call, token, &body).await;
                assert!(matches!(again, Ok(Activation::Now(_))), "{again:?}");
            }
        }
    }
    assert!(!accepted.is_empty());
    let got = stage
        .cmp
        .wait_for("/activation-codes/", accepted.len())
        .await;
    assert_eq!(got.len(), accepted.len());
    for sent in got {
        assert!(sent.body["activationCode"].is_string(), "{:?}", sent.body);
        let request = sent.body["activationCodeRequestID"].as_str().unwrap();
        accepted.retain(|id| id != request);
    }
    assert!(accepted.is_empty(), "{accepted:?}");
}

// R-7.7.2.1-7: a code that the CMP will never use costs neither a slot nor a profile.
#[tokio::test]
async fn a_code_that_the_cmp_refuses_gives_back_its_profile_and_its_slot() {
    let iccid = "8944500805172032953";
    let pool = format!("iccids = [\"{iccid}\"]\nmax_profiles = 1");
    let stage = Stage::new("mode = \"async\"", &pool).await;
    let token = stage.onboard().await;
    let client = stage.client();
    for (n, (status, code)) in [(404, "21"), (422, "30"), (404, "31"), (422, "92")]
        .into_iter()
        .enumerate()
    {
        stage.cmp.answer(move |_, _| (status, refusal(code)));
        let asked = client
            .request_activation_code(Call::new(), token, &ac_request())
            .await;
        assert_eq!(asked, Ok(Activation::Later), "{code}");
        let got = stage.cmp.wait_for("/activation-codes/", n + 1).await;
        let sent = &got[n].body;
        assert_eq!(
            (&sent["iccid"], &sent["swappedIccid"]),
            (&json!(iccid), &Value::Null),
            "{code}"
        );
        let cancelled = stage.smdp.wait_for("/cancelOrder", n + 1).await;
        assert_eq!(cancelled[n].body["iccid"], iccid, "{code}");
        let end = Instant::now() + Duration::from_secs(15);
        loop {
            let profiles = stage.msp.ask("/v1/profiles").await;
            let states = profiles.as_array().unwrap().iter();
            if states.clone().all(|p| p["state"] == "cancelled") {
                break;
            }
            assert!(Instant::now() < end, "{code}: {profiles}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    stage.cmp.answer(cmp);
    client
        .request_activation_code(Call::new(), token, &ac_request())
        .await
        .unwrap();
    let got = stage.cmp.wait_for("/activation-codes/", 5).await;
    assert_eq!(got[4].body["iccid"], iccid);
    assert_eq!(stage.msp.ask("/v1/profiles").await[4]["state"], "prepared");
}

// A CMP that does not know our key any more is no reason to give a code up, whatever code it says it with.
#[tokio::test]
async fn a_call_that_is_unauthorized_is_repeated_and_raises_an_alarm() {
    let stage = Stage::new("mode = \"async\"", "").await;
    let token = stage.onboard().await;
    stage.cmp.answer(|got, n| match n {
        0 => (401, refusal("104")),
        1 => (403, refusal("21")),
        2 => (401, Value::Null),
        _ => cmp(got, n),
    });
    stage
        .client()
        .request_activation_code(Call::new(), token, &ac_request())
        .await
        .unwrap();
    let got = stage.cmp.wait_for("/activation-codes/", 4).await;
    let id = &got[0].headers["cmp-request-id"];
    assert!(got.iter().all(|g| &g.headers["cmp-request-id"] == id));
    let metrics = crate::attempts::metrics(&stage).await;
    let line = "aid_msp_outbox_unauthorized_total{cmp=\"CmpOne\"} 3";
    assert!(metrics.contains(line), "{metrics}");
    let log = stage.msp.log();
    assert!(log.contains("does not accept our key"), "{log}");
    assert_eq!(stage.msp.ask("/v1/profiles").await[0]["state"], "prepared");
}

// §4.3.1: the CMP never hears of a swap whose code it refuses, so the profile in the other car goes on.
#[tokio::test]
async fn a_swap_whose_code_is_refused_is_taken_back() {
    let stage = Stage::new("mode = \"async\"", "max_profiles = 1").await;
    let token = stage.onboard().await;
    let client = stage.client();
    let request = async || {
        let body = ac_request();
        client
            .request_activation_code(Call::new(), token, &body)
            .await
            .unwrap();
        body
    };
    let first = request().await;
    let sent = stage.cmp.wait_for("/activation-codes/", 1).await;
    let iccid = sent[0].body["iccid"].clone();
    let status = SendCsimStatus {
        iccid: iccid.as_str().unwrap().parse().unwrap(),
        eid: first.eid.into(),
        status: CsimStatus::Installed,
    };
    client
        .send_csim_status(Call::new(), token, &status)
        .await
        .unwrap();
    stage.cmp.answer(|_, _| (422, refusal("31")));
    request().await;
    let sent = stage.cmp.wait_for("/activation-codes/", 2).await;
    assert_eq!(sent[1].body["swappedIccid"], iccid);
    stage.smdp.wait_for("/cancelOrder", 1).await;
    let profiles = stage.msp.ask("/v1/profiles").await;
    assert_eq!(
        (
            &profiles[0]["iccid"],
            &profiles[0]["state"],
            &profiles[0]["network"]
        ),
        (&iccid, &json!("installed"), &json!(true))
    );
}
