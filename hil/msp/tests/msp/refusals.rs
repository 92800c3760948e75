//! Repetitions, refusals and bad starts: AID.02 §5.1, §5.5, §6.

use crate::stage::*;

// R-5.1-1, R-7.3-16 (other direction), R-B-6: one answer per request id.
#[tokio::test]
async fn a_request_id_has_one_answer() {
    let stage = Stage::new("", "").await;
    let token = stage.onboard().await;
    let (client, call, body) = (stage.client(), Call::new(), ac_request());
    let first = client
        .request_activation_code(call, token, &body)
        .await
        .unwrap();
    let (a, b) = tokio::join!(
        client.request_activation_code(call, token, &body),
        client.request_activation_code(call, token, &body)
    );
    assert_eq!((a.unwrap(), b.unwrap()), (first.clone(), first));
    assert_eq!(stage.smdp.got().len(), 2);
    assert_eq!(
        code_of(
            client
                .request_activation_code(call, token, &ac_request())
                .await
        ),
        (422, "91".into())
    );
    assert_eq!(
        code_of(client.request_invalidate(call, token).await),
        (422, "91".into())
    );

    // Two calls at the same moment are one order.
    let (call, body) = (Call::new(), ac_request());
    stage.smdp.answer(|_, _| (0, json!(300)));
    let (a, b) = tokio::join!(
        client.request_activation_code(call, token, &body),
        client.request_activation_code(call, token, &body)
    );
    assert_eq!(a.unwrap(), b.unwrap());
    assert_eq!(stage.smdp.got().len(), 4);

    // A server error is not remembered.
    stage.smdp.answer(|_, _| (503, Value::Null));
    let (call, body) = (Call::new(), ac_request());
    assert_eq!(
        code_of(client.request_activation_code(call, token, &body).await),
        (500, "90".into())
    );
    stage.smdp.answer(|got, _| (200, smdp(got)));
    assert!(matches!(
        client.request_activation_code(call, token, &body).await,
        Ok(Activation::Now(_))
    ));
}

/// The ways of not giving a member.
fn ways(body: &Value, member: &str) -> [(&'static str, Value); 3] {
    let with = |value: Value| {
        let mut body = body.clone();
        body[member] = value;
        body
    };
    let mut absent = body.clone();
    absent.as_object_mut().unwrap().remove(member);
    [
        ("absent", absent),
        ("null", with(Value::Null)),
        ("empty", with(json!(""))),
    ]
}

// R-7.7-4, R-7.7-5, R-7.7-8, R-4.3.1-20, R-7.8-1: null, an empty text and absence mean the same; a refusal is no answer
// to remember: the corrected request is taken under the same id.
#[tokio::test]
async fn members_are_left_out_in_every_way_and_refusals_are_corrected() {
    let stage = Stage::new("", "max_profiles = 20").await;
    let token = stage.onboard().await;
    let http = reqwest::Client::builder()
        .tls_backend_preconfigured(stage.folder.client_tls(Some("cmp")))
        .build()
        .unwrap();
    let send = async |path: &str, id: Uuid, body: &Value| {
        let answer = http
            .post(format!("{}/v1/{path}/{token}", stage.msp.aid1))
            .header("cmp-request-id", id.to_string())
            .header("correlation-id", Uuid::new_v4().to_string())
            .header("client-id", "CmpOne")
            .header("target-id", "MspOne")
            .header("api-key", "keyIn1")
            .header("content-type", "application/json")
            .body(body.to_string())
            .send()
            .await
            .unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    };
    let mut iccid = String::new();
    for member in ["replaceIccid", "imei", "deviceType"] {
        let request = json!({"profileType": "personal", "deviceType": "tcu", "imei": "", "eid": EID,
            "activationCodeRequestID": Uuid::new_v4(), "replaceIccid": null});
        for (way, mut body) in ways(&request, member) {
            body["activationCodeRequestID"] = json!(Uuid::new_v4());
            let (status, code) = send("activation-code-requests", Uuid::new_v4(), &body).await;
            assert_eq!(status, 200, "{member} {way}: {code}");
            // We send null where the text says null.
            assert_eq!(
                code.get("swappedIccid"),
                Some(&Value::Null),
                "{member} {way}"
            );
            iccid = code["iccid"].as_str().unwrap().to_owned();
        }
    }
    let status = json!({"iccid": iccid, "eid": EID, "status": "installed"});
    for (way, body) in ways(&status, "iccid") {
        let id = Uuid::new_v4();
        let (refused, why) = send("statuses", id, &body).await;
        assert_eq!((refused, &why["code"]), (422, &json!("60")), "{way}");
        assert_eq!(send("statuses", id, &status).await.0, 201, "{way}");
        // What was taken is.
        assert_eq!(send("statuses", id, &status).await.0, 201, "{way}");
        let (refused, why) = send("statuses", id, &body).await;
        assert_eq!((refused, &why["code"]), (422, &json!("91")), "{way}");
    }
}

// R-5.1-5, R-5.1-6, R-5.5-1, R-6-1 to R-6-4, R-7.6-5, R-7.7-9, R-B-6
#[tokio::test]
async fn refusals_have_their_status_and_a_body() {
    let stage = Stage::new("", "").await;
    let token = stage.onboard().await;
    let base = &stage.msp.aid1;
    let tls = |name| {
        reqwest::Client::builder()
            .tls_backend_preconfigured(stage.folder.client_tls(name))
            .build()
            .unwrap()
    };
    assert!(tls(None).get(base).send().await.is_err());
    assert!(tls(Some("other")).get(base).send().await.is_err());

    let good = tls(Some("cmp"));
    let url = format!("{base}/v1/statuses/{token}");
    let send = async |client: &reqwest::Client,
                      method: &str,
                      url: &str,
                      change: &[(&str, &str)],
                      body: &str| {
        let mut headers: Vec<(String, String)> = [
            ("cmp-request-id", Uuid::new_v4().to_string().as_str()),
            ("correlation-id", "77096b5d-0f42-4c35-9102-3b3a8d7d57e7"),
            ("client-id", "CmpOne"),
            ("target-id", "MspOne"),
            ("api-key", "keyIn1"),
            ("content-type", "application/json"),
        ]
        .map(|(n, v)| (n.to_owned(), v.to_owned()))
        .into();
        for (name, value) in change {
            headers.retain(|(n, _)| n != name);
            if !value.is_empty() {
                headers.push(((*name).to_owned(), (*value).to_owned()));
            }
        }
        let mut request = client
            .request(method.parse().unwrap(), url)
            .body(body.to_owned());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        let json: Value = serde_json::from_str(&text)
            .unwrap_or_else(|_| panic!("{status} without a body: {text}"));
        assert!(json["error"].is_string());
        (
            status,
            json["code"].as_str().unwrap().parse::<u16>().unwrap(),
        )
    };
    let other = Uuid::new_v4();
    let of = |path: &str| format!("{base}{path}");
    let huge = format!("{{\"a\":\"{}\"}}", "x".repeat(70_000));
    for (method, url, change, body, expected) in [
        (
            "POST",
            url.clone(),
            &[("api-key", "")][..],
            "{}",
            (401, 104),
        ),
        (
            "POST",
            url.clone(),
            &[("api-key", "keyOut1")],
            "{}",
            (401, 104),
        ),
        (
            "POST",
            url.clone(),
            &[("authorization", "Basic Y21wOnB3")],
            "{}",
            (401, 104),
        ),
        (
            "POST",
            url.clone(),
            &[("client-id", "CmpTwo")],
            "{}",
            (401, 93),
        ),
        (
            "POST",
            url.clone(),
            &[("target-id", "MspTwo")],
            "{}",
            (401, 104),
        ),
        // No operation of an MSP has 403 (Annex B.2).
        (
            "POST",
            of(&format!("/v1/activation-code-requests/{token}")),
            &[("target-id", "MspTwo")],
            "{}",
            (401, 104),
        ),
        (
            "DELETE",
            of(&format!("/v1/users/{token}")),
            &[("target-id", "MspTwo")],
            "",
            (401, 104),
        ),
        (
            "GET",
            of(&format!("/v1/profiles/status/{token}")),
            &[("target-id", "MspTwo")],
            "",
            (401, 104),
        ),
        (
            "POST",
            url.clone(),
            &[("cmp-request-id", "1")],
            "{}",
            (422, 91),
        ),
        (
            "POST",
            url.clone(),
            &[("correlation-id", "")],
            "{}",
            (422, 91),
        ),
        (
            "POST",
            url.clone(),
            &[("content-type", "text/plain")],
            "{}",
            (415, 91),
        ),
        ("POST", url.clone(), &[], "", (422, 60)),
        ("POST", url.clone(), &[], "{\"a\":1,\"a\":1}", (422, 91)),
        ("POST", url.clone(), &[], &huge, (413, 91)),
        ("PUT", url.clone(), &[], "{}", (405, 91)),
        ("POST", of("/v1/statuses/abc"), &[], "{}", (422, 91)),
        (
            "POST",
            of(&format!("/v1/statuses/{other}")),
            &[],
            "{}",
            (404, 20),
        ),
        // What is no JSON is so whosever the token is.
        (
            "POST",
            of(&format!("/v1/statuses/{other}")),
            &[],
            "{",
            (422, 91),
        ),
        (
            "POST",
            of(&format!("/v1/statuses/{other}")),
            &[("content-type", "text/plain")],
            "{}",
            (415, 91),
        ),
        ("POST", of("/openapi.json"), &[], "{}", (405, 91)),
        ("DELETE", of("/v1/users/"), &[], "", (404, 65)),
        (
            "DELETE",
            of(&format!("/v1/users/{other}")),
            &[],
            "",
            (404, 20),
        ),
        ("GET", of("/v1/nothing"), &[], "", (404, 65)),
        ("GET", of("/"), &[], "", (404, 65)),
        (
            "GET",
            of(&format!("/v1/users/{}", "x".repeat(9000))),
            &[],
            "",
            (414, 91),
        ),
        (
            "GET",
            of(&format!("/v1/profiles/status/{token}?iccid=12")),
            &[],
            "",
            (404, 61),
        ),
        // The same name, written in another way.
        (
            "GET",
            of(&format!("/v1/profiles/status/{token}?%69cc%69d=12")),
            &[],
            "",
            (404, 61),
        ),
        (
            "GET",
            of(&format!("/v1/profiles/status/{token}?iccid=12&%69ccid=12")),
            &[],
            "",
            (422, 91),
        ),
    ] {
        assert_eq!(
            send(&good, method, &url, change, body).await,
            expected,
            "{method} {url:.120} {change:?}"
        );
    }
    // The right key with another party's certificate.
    assert_eq!(
        send(&tls(Some("msp")), "POST", &url, &[], "{}").await,
        (401, 104)
    );
    let ac = json!({"profileType": "personal", "deviceType": "tcu", "eid": "123", "activationCodeRequestID": other.to_string()});
    let url = of(&format!("/v1/activation-code-requests/{token}"));
    assert_eq!(
        send(&good, "POST", &url, &[], &ac.to_string()).await,
        (423, 49)
    );
    for (from, to, expected) in [
        ("\"personal\"", "\"test\"", (422, 51)),
        ("\"personal\"", "\"business\"", (422, 50)),
        // Never a reason to refuse, unless it is no JSON value at all.
        ("\"eid\"", "\"replaceIccid\":1e400,\"eid\"", (422, 60)),
    ] {
        let body = ac.to_string().replace(from, to);
        assert_eq!(
            send(&good, "POST", &url, &[], &body).await,
            expected,
            "{body}"
        );
    }
    stage.smdp.answer(|_, _| (200, refused("8.2.1", "3.3")));
    assert_eq!(
        code_of(
            stage
                .client()
                .request_activation_code(Call::new(), token, &ac_request())
                .await
        ),
        (422, "49".into())
    );
}

// Whatever is wrong at the start is one sentence, and the exit code is 1.
#[test]
fn bad_starts_are_one_sentence() {
    let folder = Folder::new();
    let config = Program::configure(
        &folder,
        "https://localhost:1",
        "https://localhost:1",
        ["", "", "", ""],
    );
    let good = std::fs::read_to_string(&config).unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (from, to, part) in [
        (
            "\"msp.sqlite\"",
            "\"no/such/folder/msp.sqlite\"",
            "msp.sqlite",
        ),
        ("\"msp.sqlite\"", "\"ca.pem\"", "ca.pem"),
        ("127.0.0.1:0", address.as_str(), address.as_str()),
        ("\"server.key\"", "\"cmp.key\"", "cmp.key"),
        ("keyOut1", "key-out", "api_key_out"),
        (SECRET, "short", "account_id_secret"),
        (PHONE_KEY, "00", "phone_key"),
        ("url = \"https", "url = \"http", "https"),
    ] {
        std::fs::write(&config, good.replacen(from, to, 1)).unwrap();
        let mut serve = std::process::Command::new(env!("CARGO_BIN_EXE_aid-msp"));
        let output = serve
            .args(["serve", "--config"])
            .arg(&config)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), output.stdout.len()),
            (Some(1), 0),
            "{text}"
        );
        assert!(
            text.contains(part) && text.trim_end().lines().count() == 1,
            "{text}"
        );
    }
}
