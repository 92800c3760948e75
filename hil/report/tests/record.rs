//! What the recorder makes of messages: decoded, bounded, printable, and without secrets in any spelling.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot set itself up has failed"
)]

use aid_report::{
    MASK, MAX_BYTES, MAX_FIELDS, MAX_VALUE, Mask, Message, Protocol, Recorder, Request, Response,
    Route,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

fn route(protocol: Protocol) -> Route<'static> {
    Route {
        at_us: 7,
        from: "msp",
        to: "cmp",
        protocol,
    }
}

fn request<'a>(target: &'a str, headers: &'a [(&'a str, &'a str)], body: &'a [u8]) -> Request<'a> {
    Request {
        method: "POST",
        target,
        headers,
        body,
    }
}

fn value<'a>(message: &'a Message, name: &str) -> &'a str {
    let field = message.fields.iter().find(|field| field.name == name);
    &field
        .unwrap_or_else(|| panic!("no {name} in {message:#?}"))
        .value
}

/// Everything that a report could show of these messages.
fn all(messages: &[Message]) -> String {
    serde_json::to_string(messages).unwrap()
}

#[test]
fn an_exchange_is_decoded_in_the_order_of_the_wire() {
    let mut recorder = Recorder::new();
    let headers = [
        ("Content-Type", "application/json"),
        ("correlation-id", "6f1c0e2a-0000-4000-8000-000000000001"),
    ];
    let body = br#"{"eid":"8904","a":{"z":1,"b":[true,null]},"error":null}"#;
    recorder.request(
        &route(Protocol::Aid1),
        &request("/v1/things?x=1", &headers, body),
    );
    let answer = Response {
        status: 201,
        headers: &[],
        body: b"",
    };
    recorder.response(&route(Protocol::Aid1), &answer);
    let messages = recorder.take();
    assert_eq!(messages[0].title, "POST /v1/things");
    assert_eq!(messages[1].title, "201");
    let names: Vec<&str> = messages[0].fields.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "x",
            "Content-Type",
            "correlation-id",
            "eid",
            "a.z",
            "a.b[0]",
            "a.b[1]",
            "error"
        ]
    );
    assert_eq!(
        messages[0].correlation.as_deref(),
        Some("6f1c0e2a-0000-4000-8000-000000000001")
    );
    let bytes = messages[0].bytes.as_deref().unwrap();
    assert!(
        bytes.starts_with("POST /v1/things?x=1\nContent-Type: application/json\n"),
        "{bytes}"
    );
    assert!(
        bytes.ends_with(std::str::from_utf8(body).unwrap()),
        "{bytes}"
    );
    assert!(recorder.take().is_empty(), "taken once");
}

#[test]
fn an_answer_of_es9_says_what_became_of_it() {
    let mut recorder = Recorder::new();
    let body = br#"{"header":{"functionExecutionStatus":{"status":"Failed","statusCodeData":{"subjectCode":"8.2.6","reasonCode":"3.8"}}},"transactionId":"0A0B"}"#;
    let target = "/gsma/rsp2/es9plus/authenticateClient";
    recorder.request(&route(Protocol::Es9), &request(target, &[], b"{}"));
    let answer = Response {
        status: 200,
        headers: &[],
        body,
    };
    recorder.response(&route(Protocol::Es9), &answer);
    let messages = recorder.take();
    assert_eq!(messages[0].title, "ES9+.authenticateClient");
    assert_eq!(messages[1].title, "200 Failed 8.2.6/3.8");
    assert_eq!(messages[1].correlation.as_deref(), Some("0A0B"));
}

/// A secret under each name of the list, in each place where a message has names.
#[test]
fn every_secret_name_is_masked_in_every_place() {
    const SECRET: &str = "s3cret-Value/42+x";
    let names = [
        "pin",
        "PIN",
        "newPin",
        "password",
        "msp_token",
        "mspToken",
        "MSP-Token",
        "account_id",
        "accountId",
        "activationCode",
        "matchingId",
        "matchingID",
        "hashCc",
        "confirmationCode",
        "phoneNumber",
        "iv",
        "api-key",
        "X-Api-Key",
        "Authorization",
        "Cookie",
        "Set-Cookie",
        "access_token",
        "csrf",
        "opc",
        "K",
        "privateKey",
    ];
    for name in names {
        assert!(
            Mask::is_secret(name) && Mask::is_secret(&format!("a.b[3].{name}")),
            "{name}"
        );
        let json = format!(r#"{{"outer":[{{"{name}":"{SECRET}"}}]}}"#);
        let nested = format!(r#"{{"{name}":{{"deep":["{SECRET}"]}}}}"#);
        let percent = "s3cret-Value%2F42%2Bx";
        let form = format!("a=1&{name}={percent}");
        let target = format!("/x?{name}={percent}");
        let html =
            format!(r#"<title>x</title><input type="hidden" name="{name}" value="{SECRET}">"#);
        let form_type = [("content-type", "application/x-www-form-urlencoded")];
        let html_type = [("content-type", "text/html; charset=utf-8")];
        let header = [(name, SECRET)];
        let location_value = format!("https://x/y?{name}={percent}");
        let location = [("location", location_value.as_str())];
        let cases: [Request<'_>; 7] = [
            request("/x", &[], json.as_bytes()),
            request("/x", &[], nested.as_bytes()),
            request("/x", &form_type, form.as_bytes()),
            request(&target, &[], b""),
            request("/x", &html_type, html.as_bytes()),
            request("/x", &header, b""),
            request("/x", &location, b""),
        ];
        for (n, case) in cases.iter().enumerate() {
            let mut recorder = Recorder::new();
            recorder.request(&route(Protocol::Page), case);
            let shown = all(&recorder.take());
            assert!(
                !shown.contains(SECRET) && !shown.contains("s3cret"),
                "{name} {n}: {shown}"
            );
            assert!(shown.contains(MASK), "{name} {n}: {shown}");
        }
    }
}

#[test]
fn a_secret_seen_once_is_masked_before_and_after_in_every_spelling() {
    const SECRET: &str = "MATCHING/ID+ABCDEF\"0123";
    let mut recorder = Recorder::new();
    let hexadecimal = hex::encode(SECRET);
    for offset in 0..3 {
        let mut inside = vec![0x80; offset];
        inside.extend_from_slice(SECRET.as_bytes());
        inside.push(0x55);
        let early = format!(
            "raw {SECRET} {hexadecimal} {} {} %22",
            hexadecimal.to_uppercase(),
            STANDARD.encode(inside)
        );
        recorder.request(
            &route(Protocol::Page),
            &request("/before", &[], early.as_bytes()),
        );
    }
    let body = serde_json::json!({"matchingId": SECRET}).to_string();
    recorder.request(
        &route(Protocol::Es2),
        &request("/es2", &[], body.as_bytes()),
    );
    recorder.deed(9, "car-1", &format!("typed {SECRET}"), &[("text", SECRET)]);
    let shown = all(&recorder.take());
    for spelling in [
        SECRET,
        "MATCHING",
        hexadecimal.as_str(),
        &hexadecimal.to_uppercase(),
    ] {
        assert!(!shown.contains(spelling), "{spelling}: {shown}");
    }
    // The middle of each of the three encodings in base64.
    for offset in 0..3 {
        let mut inside = vec![0x80; offset];
        inside.extend_from_slice(SECRET.as_bytes());
        let encoded = STANDARD.encode(inside);
        assert!(!shown.contains(&encoded[6..20]), "{encoded}: {shown}");
    }
}

#[test]
fn credentials_of_headers_are_known_afterwards() {
    let mut recorder = Recorder::new();
    let basic = format!("Basic {}", STANDARD.encode("user:open sesame"));
    let headers = [
        ("authorization", basic.as_str()),
        ("cookie", "sid=cookie-value-1; theme=dark-theme"),
        (
            "set-cookie",
            "sid=cookie-value-2; Path=/path; SameSite=Strict",
        ),
    ];
    recorder.request(&route(Protocol::Aid1), &request("/x", &headers, b""));
    let echo = b"open sesame cookie-value-1 cookie-value-2 /path Strict user";
    recorder.request(&route(Protocol::Page), &request("/y", &[], echo));
    let messages = recorder.take();
    let shown = all(&messages);
    for secret in ["open sesame", "cookie-value", &basic[6..]] {
        assert!(!shown.contains(secret), "{secret}: {shown}");
    }
    assert!(
        messages[1]
            .bytes
            .as_deref()
            .unwrap()
            .contains("/path Strict user")
    );
}

#[test]
fn a_token_in_the_path_of_aid1_is_masked_and_known_afterwards() {
    const TOKEN: &str = "0ec0e1c6-9a4c-4c1d-8a6e-1f6b1e0a9c11";
    let mut recorder = Recorder::new();
    let target = format!("/v1/msp-tokens/{TOKEN}");
    recorder.request(&route(Protocol::Aid1), &request(&target, &[], b""));
    recorder.deed(9, "cmp", &format!("forgets {TOKEN}"), &[]);
    let messages = recorder.take();
    assert_eq!(messages[0].title, format!("POST /v1/msp-tokens/{MASK}"));
    assert!(!all(&messages).contains(TOKEN));
}

#[test]
fn secrets_that_are_spelt_oddly_or_are_short_are_masked_in_the_bytes() {
    for body in [
        r#"{"pin":"\u0031\u0032\u0033\u0034567"}"#,
        r#"{"pin":"7"}"#,
        r#"{"pin":7,"n":17}"#,
        r#"{"p\u0069n":"1234567"}"#,
        r#"{"pin":"1234567","pin":"7654321"}"#,
    ] {
        let mut recorder = Recorder::new();
        recorder.request(&route(Protocol::Aid1), &request("/x", &[], body.as_bytes()));
        let messages = recorder.take();
        let bytes = messages[0].bytes.as_deref().unwrap();
        assert!(bytes.contains(MASK), "{body}: {bytes}");
        for secret in ["\\u0031", "\"7\"", ":7,", "1234567", "7654321"] {
            assert!(!bytes.contains(secret), "{body}: {bytes}");
        }
    }
}

#[test]
fn whatever_comes_is_bounded_and_printable() {
    let mut recorder = Recorder::new();
    let long = "x\u{1b}[2J\n\u{202e}".repeat(100_000);
    let many: String = (0..10_000).map(|n| format!("\"k{n}\":{n},")).collect();
    let json = format!("{{{many}\"z\":0}}");
    let headers = [("x", long.as_str())];
    recorder.request(
        &route(Protocol::Aid1),
        &request(&long, &headers, long.as_bytes()),
    );
    recorder.request(&route(Protocol::Aid1), &request("/x", &[], json.as_bytes()));
    recorder.request(
        &route(Protocol::Aid1),
        &request("/x", &[], &vec![0xFF; 3_000_000]),
    );
    recorder.apdu(&route(Protocol::Apdu), &[0xFF; 70_000], 9, &[0xEE; 70_000]);
    recorder.aid2_up(&route(Protocol::Aid2), &[0x01; 70_000]);
    let messages = recorder.take();
    assert_eq!(messages.len(), 6);
    for message in &messages {
        assert!(message.fields.len() <= MAX_FIELDS + 1);
        let bytes = message.bytes.as_deref().unwrap_or_default();
        assert!(bytes.len() <= MAX_BYTES + 40, "{}", bytes.len());
        for text in message
            .fields
            .iter()
            .map(|f| f.value.as_str())
            .chain([bytes, &message.title])
        {
            assert!(text.len() <= MAX_BYTES.max(MAX_VALUE) + 40);
            let bad = |c: char| c != '\n' && c != '\t' && aid_cli::printable::is_unprintable(c);
            assert!(!text.contains(bad), "{text:?}");
        }
    }
    assert!(
        messages[1]
            .fields
            .last()
            .unwrap()
            .value
            .contains("more fields")
    );
}

#[test]
fn aid2_is_decoded_and_its_pin_masked() {
    use aid_wire::{Envelope, Up};
    let envelope = Envelope {
        version: 1,
        message_id: [1; 16],
        correlation_id: [2; 16],
        sequence: 3,
        expires_at: Some(4),
        body: Up::Login {
            login_id: [5; 16],
            user: "anna".into(),
            pin: aid_id::Secret::new("1234".into()),
        },
    };
    let mut recorder = Recorder::new();
    recorder.aid2_up(&route(Protocol::Aid2), &envelope.encode().unwrap());
    recorder.aid2_down(&route(Protocol::Aid2), b"\x02");
    let messages = recorder.take();
    assert_eq!(messages[0].title, "Login");
    assert_eq!(value(&messages[0], "user"), "anna");
    assert_eq!(value(&messages[0], "pin"), MASK);
    assert_eq!(
        value(&messages[0], "login_id"),
        "05050505-0505-0505-0505-050505050505"
    );
    assert_eq!(
        messages[0].correlation.as_deref(),
        Some("02020202-0202-0202-0202-020202020202")
    );
    assert!(!messages[0].bytes.as_deref().unwrap().contains("31323334"));
    assert_eq!(messages[1].title, "malformed");
    assert!(
        value(&messages[1], "malformed").contains("version"),
        "{messages:?}"
    );
}

#[test]
fn apdus_are_decoded_over_blocks_and_get_response() {
    let mut recorder = Recorder::new();
    let mut apdu = |command: &str, answer: &str| {
        let bytes = |text: &str| hex::decode(text).unwrap();
        let route = Route {
            at_us: 1,
            from: "lpa",
            to: "card-1",
            protocol: Protocol::Apdu,
        };
        recorder.apdu(&route, &bytes(command), 2, &bytes(answer));
    };
    apdu("80E2910006BF3E035C015A00", "6114");
    apdu(
        "80C0000014",
        "BF3E125A10890490320000000000000000000000189000",
    );
    // EnableProfile in two blocks.
    apdu("80E2110008BF3111A00C5A0A98", "9000");
    apdu("80E291010C8800000000000000108101FF00", "BF31038001009000");
    apdu("0020000108313233340A0B0C0D", "63C2");
    apdu(
        "0088008122101111111111111111111111111111111110222222222222222222222222222222220000",
        "DB08AAAAAAAAAAAAAAAA10BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB9000",
    );
    apdu("00", "");
    let messages = recorder.take();
    let titles: Vec<&str> = messages
        .iter()
        .filter(|m| m.from == "lpa")
        .map(|m| m.title.as_str())
        .collect();
    assert_eq!(
        titles,
        [
            "ES10c.GetEID",
            "GET RESPONSE",
            "ES10c.EnableProfile block 0",
            "ES10c.EnableProfile block 1",
            "VERIFY PIN",
            "AUTHENTICATE",
            "malformed APDU"
        ]
    );
    let shown = all(&messages);
    assert!(
        shown.contains("enableProfile.profileIdentifier.iccid"),
        "{shown}"
    );
    assert!(shown.contains("enableProfile.result"), "{shown}");
    for secret in ["31323334", "BBBBBBBBBBBB", "AAAAAAAAAAAA"] {
        assert!(!shown.contains(secret), "{secret}: {shown}");
    }
    assert!(shown.contains("63C2 verification failed") && shown.contains("no status word"));
}

#[test]
fn the_matching_id_of_authenticate_server_is_masked_in_apdus_and_in_es9() {
    // BF38 with serverSigned1 and ctxParams1 { matchingId "SECRET-ID-1" }.
    let mut object = vec![0xBF, 0x38, 0, 0x30, 4, 0x80, 2, 1, 2, 0xA0, 13, 0x80, 11];
    object.extend_from_slice(b"SECRET-ID-1");
    object[2] = u8::try_from(object.len() - 3).unwrap();
    let mut command = vec![0x81, 0xE2, 0x91, 0, u8::try_from(object.len()).unwrap()];
    command.extend_from_slice(&object);
    let mut recorder = Recorder::new();
    let body =
        serde_json::json!({"authenticateServerResponse": STANDARD.encode(&object)}).to_string();
    recorder.request(
        &route(Protocol::Es9),
        &request("/authenticateClient", &[], body.as_bytes()),
    );
    recorder.apdu(&route(Protocol::Apdu), &command, 9, &[0x90, 0]);
    let messages = recorder.take();
    assert_eq!(
        value(&messages[1], "authenticateServer.ctxParams1.matchingId"),
        MASK
    );
    assert_eq!(
        value(
            &messages[0],
            "authenticateServerResponse.ctxParams1.matchingId"
        ),
        MASK
    );
    assert_eq!(messages[1].correlation.as_deref(), Some("0102"));
    let shown = all(&messages).to_uppercase();
    assert!(
        !shown.contains(&hex::encode_upper("SECRET-ID-1")),
        "{shown}"
    );
    assert!(
        !shown.contains(&STANDARD.encode(&object).to_uppercase()),
        "{shown}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Decoders take any bytes.
    #[test]
    fn any_bytes_are_recorded(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let mut recorder = Recorder::new();
        recorder.apdu(&route(Protocol::Apdu), &bytes, 9, &bytes);
        let mut command = vec![0x80, 0xE2, 0x91, 0, 0, (bytes.len() >> 8) as u8, bytes.len() as u8];
        command.extend_from_slice(&bytes);
        recorder.apdu(&route(Protocol::Apdu), &command, 9, &bytes);
        recorder.aid2_up(&route(Protocol::Aid2), &bytes);
        recorder.aid2_down(&route(Protocol::Aid2), &bytes);
        recorder.request(&route(Protocol::Aid1), &request("/", &[("content-type", "text/html")], &bytes));
        prop_assert_eq!(recorder.take().len(), 7);
    }
}
