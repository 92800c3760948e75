//! The edges of the AID1 server: refusals of the HTTP layer, rates, overlap of keys, isolation of CMPs from each other.

use crate::stage::*;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Sends bytes over mutual TLS; yields what comes back until the end.
async fn raw(stage: &Stage, bytes: &[u8]) -> String {
    let tls =
        tokio_rustls::TlsConnector::from(std::sync::Arc::new(stage.folder.client_tls(Some("cmp"))));
    let address = stage.msp.aid1.trim_start_matches("https://");
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut stream = tls
        .connect("localhost".try_into().unwrap(), stream)
        .await
        .unwrap();
    let mut answer = Vec::new();
    // A server that has heard enough may close while we still write.
    let _ = stream.write_all(bytes).await;
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

// R-5.5-1, R-5.5-2, R-B-2, R-B-6: what no handler ever sees is refused in the contract's form too.
#[tokio::test]
async fn the_http_layer_refuses_with_the_contracts_body() {
    let stage = Stage::new("", "").await;
    let large = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "a".repeat(200_000));
    let id = Uuid::new_v4();
    let chunked = format!(
        "POST /v1/statuses/{id} HTTP/1.1\r\nhost: a\r\nconnection: close\r\nclient-id: CmpOne\r\n\
         target-id: MspOne\r\napi-key: keyIn1\r\ncmp-request-id: {id}\r\ncorrelation-id: {id}\r\n\
         content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    let broken = format!("{chunked}zz\r\n");
    let too_large = format!("{chunked}11000\r\n{}\r\n0\r\n\r\n", "a".repeat(0x11000));
    for (request, status) in [
        (broken.as_str(), 400),
        (&too_large, 413),
        ("nonsense\r\n\r\n", 400),
        (&large, 431),
        (
            "OPTIONS * HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
            404,
        ),
        (
            "BREW /v1/users/x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
            405,
        ),
        (
            "DELETE /v1/users/x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
            401,
        ),
    ] {
        let answer = raw(&stage, request.as_bytes()).await;
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("{answer:?}"));
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        assert!(
            head.to_lowercase()
                .contains("content-type: application/json"),
            "{head}"
        );
        let body: Value = serde_json::from_str(body).unwrap();
        assert!(body["code"].is_string() && body["error"].is_string());
    }
    let answer = raw(
        &stage,
        b"GET /openapi.json HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    )
    .await;
    let document: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(document["paths"].as_object().unwrap().len(), 4);
}

// R-B-7
#[tokio::test]
async fn whoever_calls_too_often_gets_429() {
    let stage = Stage::new("", "\n[limits]\naid1 = { per_second = 0.01, burst = 2 }\n").await;
    let token = MspToken::from_bytes(Uuid::new_v4().into_bytes());
    let client = stage.client();
    for _ in 0..2 {
        let refused = client.request_invalidate(Call::new(), token).await;
        assert_eq!(code_of(refused), (404, "20".into()));
    }
    let refused = client.request_invalidate(Call::new(), token).await;
    assert!(refused.clone().unwrap_err().is_transient());
    assert_eq!(code_of(refused).0, 429);
}

// R-5.1-3, R-5.1-5, R-6-3, R-6-6: keys and passwords overlap; another CMP's token is nobody's.
#[tokio::test]
async fn another_cmps_token_is_as_one_that_nobody_has() {
    let second = "[[cmp]]\nclient_id = \"CmpTwo\"\nurl = \"https://localhost:1\"\nca = \"ca.pem\"\ncert = \"msp.pem\"\n\
        key = \"msp.key\"\nbasic_out = \"msp:pw\"\napi_key_in = [\"twoNew\", \"twoOld\"]\nbasic_in = \"two:pass:word\"\n\
        common_name = [\"another\", \"cmp\"]\naccount_id_secret = \"another secret of thirty-two bytes at least\"\n\
        phone_key = \"next:1111111111111111111111111111111111111111111111111111111111111111\"\n\
        redirect_uris = [\"https://two.example\"]";
    let stage = Stage::new(second, "").await;
    let token = stage.onboard().await;
    let nobody = MspToken::from_bytes(Uuid::new_v4().into_bytes());
    let client = |credentials| {
        MspClient::new(Settings {
            own_id: "CmpTwo".parse().unwrap(),
            credentials,
            ..stage.settings()
        })
        .unwrap()
    };
    let refusal = |error: CallError| {
        let (status, body) = error.refusal().unwrap_or_else(|| panic!("{error}"));
        (
            status.as_u16(),
            serde_json::to_string(body.unwrap()).unwrap(),
        )
    };
    for credentials in [
        Credentials::api_key("twoNew").unwrap(),
        Credentials::api_key("twoOld").unwrap(),
        Credentials::basic("two", "pass:word").unwrap(),
    ] {
        let client = client(credentials);
        let request = ac_request();
        let code = |token| client.request_activation_code(Call::new(), token, &request);
        let status = |token| client.request_profile_status(Call::new(), token, None);
        let end = |token| client.request_invalidate(Call::new(), token);
        let foreign = refusal(code(token).await.unwrap_err());
        assert_eq!(foreign.0, 404);
        assert_eq!(foreign, refusal(code(nobody).await.unwrap_err()));
        assert_eq!(
            refusal(status(token).await.unwrap_err()),
            refusal(status(nobody).await.unwrap_err())
        );
        assert_eq!(
            refusal(end(token).await.unwrap_err()),
            refusal(end(nobody).await.unwrap_err())
        );
    }
    let wrong = client(Credentials::api_key("keyIn1").unwrap());
    assert_eq!(
        code_of(wrong.request_invalidate(Call::new(), token).await),
        (401, "104".into())
    );
    // Nothing of it touched the token.
    assert!(
        stage
            .client()
            .request_profile_status(Call::new(), token, None)
            .await
            .is_ok()
    );
}

// A crash must not write keys and passwords into a file.
#[tokio::test]
async fn a_server_writes_no_core_dump() {
    let stage = Stage::new("", "").await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", stage.msp.id())).unwrap();
    let line = limits.lines().find(|l| l.starts_with("Max core file size"));
    let values: Vec<_> = line.unwrap().split_whitespace().skip(4).take(2).collect();
    assert_eq!(values, ["0", "0"]);
}
