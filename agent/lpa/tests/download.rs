//! A whole download against a scripted card and server, and every way in which it can go wrong.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

mod support;

use aid_lpa::{CardError, DownloadRequest, LpaError, ServerError, Stage};
use aid_rsp::es10::*;
use serde_json::json;
use support::*;
use zeroize::Zeroizing;

fn request() -> DownloadRequest {
    DownloadRequest {
        code: Some(format!("1${SERVER}$M-1").parse().expect("code")),
        confirmation_code: None,
    }
}

fn run(fakes: &mut Fakes) -> Result<aid_lpa::Downloaded, LpaError> {
    fakes.0.download(&request(), &mut |_| {})
}

fn fail(fakes: &mut Fakes) -> LpaError {
    run(fakes).expect_err("refused")
}

// R-4.3-10
#[test]
fn a_profile_is_downloaded_and_its_server_told_within_the_budget() {
    let mut fakes = fakes(10_200);
    let mut stages = Vec::new();
    let done = fakes
        .0
        .download(&request(), &mut |s| stages.push(s))
        .expect("installed");
    assert_eq!(done.iccid.as_str(), "8949010000000000001");
    assert_eq!((done.seq_number, done.notification_error), (Some(7), None));
    fakes.0.enable(&done.iccid).expect("enabled");
    fakes.0.release();
    assert_eq!(
        fakes.1.log(),
        [
            "open 1", "BF20", "BF2E", "BF38", "BF21", "BF36", "BF30", "BF31", "close 1"
        ]
    );
    let functions = [
        "initiateAuthentication",
        "authenticateClient",
        "getBoundProfilePackage",
        "handleNotification",
    ];
    assert_eq!(fakes.2.functions(), functions);
    // Nothing the server must verify was touched on its way through.
    let client = fakes.2.last("authenticateClient");
    assert_eq!(
        client["authenticateServerResponse"],
        base64(&answers()[&0xBF38])
    );
    let prepared = fakes.2.last("getBoundProfilePackage");
    assert_eq!(
        prepared["prepareDownloadResponse"],
        base64(&answers()[&0xBF21])
    );
    let told = fakes.2.last("handleNotification");
    assert_eq!(told["pendingNotification"], base64(&answers()[&0xBF36]));
    assert_eq!(stages.first(), Some(&Stage::Authenticating));
    assert!(matches!(stages[stages.len() - 2], Stage::Installing(done, of) if done == of));
    let apdus = fakes.1.0.lock().expect("lock").apdus;
    println!("{apdus} APDUs");
    assert!(apdus <= 74, "{apdus} APDUs");
}

#[test]
fn the_request_carries_matching_id_device_and_what_the_server_signed() {
    let mut fakes = fakes(100);
    run(&mut fakes).expect("installed");
    let inside = fakes.1.0.lock().expect("lock");
    let is = |r: &&Vec<u8>| r.starts_with(&[0xBF, 0x38]);
    let bytes = inside.requests.iter().find(is).expect("AuthenticateServer");
    let request = AuthenticateServerRequest::from_slice(bytes).expect("request");
    assert_eq!(
        request.ctx_params1.value().matching_id.as_deref(),
        Some("M-1")
    );
    assert_eq!(request.server_signed1.value().server_address, SERVER);
    assert_eq!(request.euicc_ci_pkid, [1; 20]);
    assert_eq!(request.server_certificate, certificate(540));
}

#[test]
fn without_a_code_the_cards_default_server_is_asked() {
    let mut fakes = fakes(100);
    let none = DownloadRequest {
        code: None,
        confirmation_code: None,
    };
    let error = fakes
        .0
        .download(&none, &mut |_| {})
        .expect_err("no address");
    assert!(matches!(error, LpaError::NoAddress), "{error}");
    let addresses = EuiccConfiguredAddressesResponse {
        default_dp_address: Some(SERVER.into()),
        root_ds_address: "ds".into(),
    };
    fakes
        .1
        .with(|card| drop(card.answers.insert(0xBF3C, addresses.to_vec())));
    fakes.0.download(&none, &mut |_| {}).expect("installed");
}

#[test]
fn the_card_refuses_the_server_and_the_server_learns_why() {
    let mut fakes = fakes(100);
    let refusal = AuthenticateServerResponse::Error {
        transaction_id: transaction(),
        code: AuthenticateErrorCode::CiPkUnknown,
    };
    fakes
        .1
        .with(|card| drop(card.answers.insert(0xBF38, refusal.to_vec())));
    let error = fail(&mut fakes);
    assert!(
        matches!(error, LpaError::ServerRefused { code: 7, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("ciPKUnknown") && error.permanent());
    let told = fakes.2.last("authenticateClient");
    assert_eq!(
        told["authenticateServerResponse"],
        base64(&refusal.to_vec())
    );
}

// R-4.3-6
#[test]
fn the_servers_refusal_shows_subject_reason_and_text() {
    for function in [
        "initiateAuthentication",
        "authenticateClient",
        "getBoundProfilePackage",
    ] {
        let mut fakes = fakes(100);
        fakes.2.answer(function, failed("8.1.1", "3.8"));
        let error = fail(&mut fakes);
        let LpaError::Server(server) = &error else {
            panic!("{error}");
        };
        assert_eq!(server.subject_reason(), Some(("8.1.1", "3.8")));
        assert_eq!((error.code(), error.permanent()), (308, true));
        assert!(
            error.to_string().contains("subject 8.1.1, reason 3.8: no"),
            "{error}"
        );
        // The server ended the session itself.
        assert!(!fakes.2.functions().contains(&"cancelSession".to_owned()));
    }
}

#[test]
fn a_confirmation_code_is_hashed_or_the_session_postponed() {
    let mut fakes = fakes(100);
    fakes
        .2
        .answer("authenticateClient", ok(client(&metadata(), true)));
    let error = fail(&mut fakes);
    assert!(matches!(error, LpaError::ConfirmationCode), "{error}");
    let reason = |fakes: &Fakes| {
        let inside = fakes.1.0.lock().expect("lock");
        let is = |r: &&Vec<u8>| r.starts_with(&[0xBF, 0x41]);
        let bytes = inside
            .requests
            .iter()
            .rev()
            .find(is)
            .expect("CancelSession");
        CancelSessionRequest::from_slice(bytes)
            .expect("request")
            .reason
    };
    assert_eq!(reason(&fakes), CancelSessionReason::Postponed);
    let cancelled = fakes.2.last("cancelSession");
    assert_eq!(
        cancelled["cancelSessionResponse"],
        base64(&answers()[&0xBF41])
    );
    let mut with_code = request();
    with_code.confirmation_code = Some(Zeroizing::new("1234".into()));
    fakes
        .0
        .download(&with_code, &mut |_| {})
        .expect("installed");

    let mut rules = metadata();
    rules.policy_rules = Some(ppr::PPR1);
    fakes
        .2
        .answer("authenticateClient", ok(client(&rules, false)));
    let error = fail(&mut fakes);
    assert!(matches!(error, LpaError::PolicyRules { .. }));
    assert!(error.to_string().contains("a profile with PPR"), "{error}");
    assert_eq!(reason(&fakes), CancelSessionReason::PprNotAllowed);

    let mut other = metadata();
    other.profile_name = "Another".into();
    fakes
        .2
        .answer("authenticateClient", ok(client(&other, false)));
    assert!(matches!(fail(&mut fakes), LpaError::Metadata { .. }));
    assert_eq!(reason(&fakes), CancelSessionReason::MetadataMismatch);
}

#[test]
fn an_early_result_ends_the_loading_and_is_delivered() {
    let mut fakes = fakes(5000);
    let failure = installation_result(FinalResult::Error {
        command: BppCommandId::LoadProfileElements,
        reason: ErrorReason::Scp03tSecurityError,
        sima_response: None,
    });
    fakes.1.with(|card| {
        card.answers.insert(0xBF36, failure.to_vec());
        card.result_at = Some(7);
    });
    let error = fail(&mut fakes);
    assert!(matches!(error, LpaError::Installation { .. }), "{error}");
    assert_eq!((error.code(), error.permanent()), (8, true));
    assert_eq!(
        fakes.1.0.lock().expect("lock").pieces,
        7,
        "nothing is sent after the result"
    );
    let told = fakes.2.last("handleNotification");
    assert_eq!(told["pendingNotification"], base64(&failure.to_vec()));
    assert!(fakes.1.log().contains(&"BF30".to_owned()));
}

#[test]
fn a_status_in_the_middle_of_the_package_cancels_the_session() {
    let mut fakes = fakes(5000);
    fakes.1.with(|card| card.refuse.extend([(0xBF36, 0x6A84)]));
    let error = fail(&mut fakes);
    assert!(
        matches!(error, LpaError::Card(CardError::Status { sw: 0x6A84, .. })),
        "{error}"
    );
    assert_eq!(
        fakes.2.functions().last().map(String::as_str),
        Some("cancelSession")
    );
    assert_eq!(
        fakes.1.0.lock().expect("lock").pieces,
        3,
        "no piece is sent twice"
    );
}

#[test]
fn an_undelivered_notification_is_no_failed_installation() {
    let mut fakes = fakes(100);
    fakes.2.answer("handleNotification", (500, vec![]));
    let done = run(&mut fakes).expect("installed");
    assert!(done.notification_error.expect("why").contains("500"));
    assert!(
        !fakes.1.log().contains(&"BF30".to_owned()),
        "it stays on the card"
    );
}

#[test]
fn what_belongs_to_another_session_is_refused() {
    for value in [
        initiate([0; 16], SERVER),
        initiate(CHALLENGE, "evil.example.com"),
        {
            let mut value = initiate(CHALLENGE, SERVER);
            value["transactionId"] = json!("00");
            value
        },
    ] {
        let mut fakes = fakes(100);
        fakes.2.answer("initiateAuthentication", ok(value));
        let error = fail(&mut fakes);
        assert!(matches!(error, LpaError::Mismatch { .. }), "{error}");
        assert!(
            !fakes.1.log().contains(&"BF38".to_owned()),
            "the card never sees it"
        );
    }
    for (function, mut value) in [
        ("authenticateClient", client(&metadata(), false)),
        ("getBoundProfilePackage", package(&bpp(&metadata(), 10))),
    ] {
        let mut fakes = fakes(100);
        value["transactionId"] = json!("00");
        fakes.2.answer(function, ok(value));
        let error = fail(&mut fakes);
        assert!(matches!(error, LpaError::Mismatch { .. }), "{error}");
    }
    let mut fakes = fakes(100);
    let code = format!("1${SERVER}$M-1$2.999.10").parse().expect("code");
    let with_oid = DownloadRequest {
        code: Some(code),
        confirmation_code: None,
    };
    let error = fakes
        .0
        .download(&with_oid, &mut |_| {})
        .expect_err("another OID");
    assert!(matches!(error, LpaError::Oid { .. }), "{error}");
}

#[test]
fn hostile_answers_are_errors_that_name_the_server() {
    let big = "A".repeat(3_000_000);
    let bodies: Vec<(u16, Vec<u8>)> = vec![
        (200, vec![]),
        (200, b"{".to_vec()),
        (200, b"[]".to_vec()),
        (200, b"\xff\xfe".to_vec()),
        (200, br#"{"header":7}"#.to_vec()),
        (200, vec![b'['; 100_000]),
        (200, json!({ "header": big }).to_string().into_bytes()),
        ok(json!({})),
        ok(json!({"transactionId": 7})),
        ok(json!({"transactionId": "AB".repeat(1000)})),
        (404, b"not here".to_vec()),
        (500, vec![]),
        (302, vec![]),
    ];
    for function in [
        "initiateAuthentication",
        "authenticateClient",
        "getBoundProfilePackage",
    ] {
        for body in &bodies {
            let mut fakes = fakes(100);
            fakes.2.answer(function, body.clone());
            let error = fail(&mut fakes);
            let text = error.to_string();
            assert!(
                matches!(
                    error,
                    LpaError::Server(ServerError::Json { .. } | ServerError::Status { .. })
                ),
                "{text}"
            );
            assert!(text.contains(SERVER) && text.contains(function), "{text}");
        }
    }
    // Fields of the right type with contents that are none.
    for field in ["serverSigned1", "serverSignature1", "euiccCiPKIdToBeUsed"] {
        let mut value = initiate(CHALLENGE, SERVER);
        value[field] = base64(&[0x30, 0x80]);
        let mut fakes = fakes(100);
        fakes.2.answer("initiateAuthentication", ok(value));
        assert!(
            matches!(fail(&mut fakes), LpaError::Server(ServerError::Json { .. })),
            "{field}"
        );
    }
    for bytes in [vec![], vec![0x30, 0], bpp(&metadata(), 100)[..50].to_vec()] {
        let mut fakes = fakes(100);
        fakes
            .2
            .answer("getBoundProfilePackage", ok(package(&bytes)));
        assert!(matches!(fail(&mut fakes), LpaError::Package(_)));
        assert!(
            !fakes.1.log().contains(&"BF36".to_owned()),
            "the card never sees it"
        );
    }
}

#[test]
fn answers_of_the_card_cut_anywhere_are_errors() {
    for tag in [0xBF2E, 0xBF38, 0xBF21, 0xBF36] {
        let whole = answers()[&tag].clone();
        for end in (1..whole.len()).step_by(whole.len() / 60 + 1) {
            let mut fakes = fakes(100);
            fakes.1.with(|card| {
                card.answers.insert(tag, whole[..end].to_vec());
                // The card has no profile, and no notification that says what became of it.
                let none = ProfileInfoListResponse::Ok(vec![]).to_vec();
                card.answers.insert(0xBF2D, none);
            });
            let error = fail(&mut fakes);
            assert!(
                matches!(error, LpaError::Card(CardError::Answer { .. })),
                "{tag:X}: {error}"
            );
        }
    }
}

#[test]
fn a_break_at_any_command_is_an_error_and_the_next_try_succeeds() {
    let mut at = 1;
    loop {
        let mut fakes = fakes(3000);
        fakes.1.with(|card| card.break_at = Some(at));
        let broke = match run(&mut fakes) {
            Err(error) => {
                assert!(!error.permanent(), "{error}");
                true
            }
            Ok(done) => done.notification_error.is_some(),
        };
        if !broke {
            break;
        }
        // A real card forgets the package with its channel, and so does this one.
        fakes.1.with(|card| {
            card.break_at = None;
            card.loading.clear();
        });
        run(&mut fakes).expect("second try");
        at += 1;
    }
    assert!(at > 30, "only {at} commands");
}

/// The reason of the last CancelSession that the card got.
fn cancelled(fakes: &Fakes) -> CancelSessionReason {
    let inside = fakes.1.0.lock().expect("lock");
    let is = |r: &&Vec<u8>| r.starts_with(&[0xBF, 0x41]);
    let bytes = inside.requests.iter().rev().find(is);
    let request = CancelSessionRequest::from_slice(bytes.expect("CancelSession"));
    request.expect("request").reason
}

// R-4.3-9: what may succeed at the next try leaves the order, and so the code, as it is.
#[test]
fn a_session_that_fails_for_a_passing_cause_is_postponed() {
    for sw in [0x6A84, 0x6F00, 0x6581, 0x6985] {
        let mut fakes = fakes(5000);
        fakes.1.with(|card| card.refuse.extend([(0xBF36, sw)]));
        assert!(!fail(&mut fakes).permanent(), "{sw:04X}");
        assert_eq!(
            cancelled(&fakes),
            CancelSessionReason::Postponed,
            "{sw:04X}"
        );
    }
    let mut fakes = fakes(100);
    let cut = bpp(&metadata(), 100)[..50].to_vec();
    fakes.2.answer("getBoundProfilePackage", ok(package(&cut)));
    assert!(!fail(&mut fakes).permanent());
    assert_eq!(cancelled(&fakes), CancelSessionReason::Postponed);
}

// R-4.3-9
#[test]
fn what_a_proxy_answers_is_no_refusal() {
    for function in [
        "initiateAuthentication",
        "authenticateClient",
        "getBoundProfilePackage",
    ] {
        for status in [302, 400, 403, 404, 407, 410, 429, 500, 502, 503] {
            let mut fakes = fakes(100);
            let page = b"<html>not here</html>".to_vec();
            fakes.2.answer(function, (status, page));
            assert!(!fail(&mut fakes).permanent(), "{function} {status}");
        }
        let mut fakes = fakes(100);
        fakes.2.answer(function, failed("8.10.1", "3.9"));
        assert!(!fail(&mut fakes).permanent(), "{function}: session lost");
    }
    let mut fakes = fakes(100);
    let mut value = initiate(CHALLENGE, SERVER);
    value["transactionId"] = json!("");
    fakes.2.answer("initiateAuthentication", ok(value));
    assert!(!fail(&mut fakes).permanent(), "no transaction");
}
