//! Given a card or a server with habits of its own, when the LPA talks to it, then what is clear is understood, and what
//! is not is named and harms nothing else.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

mod support;

use aid_lpa::{CardError, DownloadRequest, Downloaded, LpaError, ServerError};
use aid_rsp::es10::*;
use proptest::prelude::*;
use serde_json::{Value, json};
use support::*;

fn request(code: &str) -> DownloadRequest {
    DownloadRequest {
        code: Some(aid_id::ActivationCode::from_pasted(code).expect("code")),
        confirmation_code: None,
    }
}

fn run(fakes: &mut Fakes) -> Result<Downloaded, LpaError> {
    let request = request(&format!("1${SERVER}$M-1"));
    fakes.0.download(&request, &mut |_| {})
}

fn other(seq_number: u64, address: &str) -> PendingNotification {
    PendingNotification::Other(Box::new(OtherSignedNotification {
        tbs: Signed::new(notification(seq_number, NotificationEvent::Enable, address)),
        signature: signature(),
        euicc_certificate: certificate(520),
        eum_certificate: certificate(560),
    }))
}

/// A definite-length object.
fn object(tag: &[u8], inside: &[u8]) -> Vec<u8> {
    let length = inside.len() as u16;
    [tag, &[0x82], &length.to_be_bytes(), inside].concat()
}

#[test]
fn long_answers_that_come_whole_are_read_up_to_64_kib() {
    for count in [1u32, 12, 40, 1000] {
        let mut fakes = fakes(0);
        let many: Vec<ProfileInfo> = (0..count)
            .map(|n| ProfileInfo {
                iccid: Some([(n % 10) as u8; 10]),
                nickname: Some("a nickname of some length, of forty-one b".into()),
                ..ProfileInfo::default()
            })
            .collect();
        let answer = ProfileInfoListResponse::Ok(many.clone()).to_vec();
        assert!(answer.len() < 65_536, "{}", answer.len());
        fakes.1.with(|card| {
            card.answers.insert(0xBF2D, answer);
            card.whole = true;
        });
        assert_eq!(fakes.0.profiles().expect("profiles"), many);
    }
}

#[test]
fn a_card_that_refuses_one_form_of_a_request_is_asked_in_another() {
    for sw in [0x6700, 0x6985, 0x6A80, 0x6A86, 0x6A88, 0x6D00, 0x6F00] {
        let mut fakes = fakes(0);
        fakes.1.with(|card| {
            // GetProfilesInfo with a tag list, ListNotification without a filter, a search by number.
            let refused = [&[0xBF, 0x2D, 11][..], &[0xBF, 0x28, 0], &[0xBF, 0x2B, 5]];
            card.refuse_form = refused.map(|form| (form.to_vec(), sw)).to_vec();
            card.notifications = vec![other(3, "a.example"), other(4, "b.example")];
        });
        assert_eq!(fakes.0.profiles().expect("profiles").len(), 1, "{sw:04X}");
        let delivered = fakes.0.deliver(None).expect("card");
        assert_eq!(delivered.accepted, [3, 4], "{sw:04X}");
    }
    // A card without a function refuses every form, and is not asked for ever.
    let mut fakes = fakes(0);
    fakes.1.with(|card| card.refuse.extend([(0xBF2D, 0x6A88)]));
    let error = fakes.0.profiles().expect_err("refused");
    assert!(
        matches!(error, CardError::Status { sw: 0x6A88, .. }),
        "{error}"
    );
    let asked = fakes.1.log().iter().filter(|f| *f == "BF2D").count();
    assert!(asked <= 4, "{asked}");
}

#[test]
fn one_unreadable_notification_holds_up_no_other() {
    let good = [
        notification(0, NotificationEvent::Install, "a.example"),
        notification(5, NotificationEvent::Delete, "b.example"),
    ];
    let bad: [&[u8]; 6] = [
        &[0xBF, 0x2F, 0],
        &[0xBF, 0x2F, 3, 0x80, 1, 9],
        &[0xBF, 0x2F, 6, 0x80, 1, 9, 0x0C, 1, 0xFF],
        &[0xBF, 0x2F, 4, 0x81, 2, 4, 0x10],
        &[0xBF, 0x2F, 2, 0x80, 100],
        &[0xBF, 0x2F, 2, 0x80, 0],
    ];
    for bad in bad {
        let list = [good[0].to_vec(), bad.to_vec(), good[1].to_vec()].concat();
        let mut fakes = fakes(0);
        fakes.1.with(|card| {
            card.raw_lists
                .insert(0xBF28, object(&[0xBF, 0x28], &object(&[0xA0], &list)));
            card.notifications = vec![other(0, "a.example"), other(5, "b.example")];
        });
        let listed = fakes.0.notifications().expect("list");
        assert_eq!(listed.len(), 3, "{bad:02X?}");
        assert_eq!(listed.iter().filter(|n| !n.unread.is_empty()).count(), 1);
        let delivered = fakes.0.deliver(None).expect("card");
        assert_eq!(delivered.accepted, [0, 5], "{bad:02X?}");
    }
}

#[test]
fn notifications_go_as_the_card_gave_them() {
    // Something in them that we can't read; lengths that are longer than DER has them.
    let metadata = notification(6, NotificationEvent::Disable, "a.example").to_vec();
    let odd = object(
        &[0x30],
        &[&metadata[..], &[0x5F, 0x37, 1, 7], &[0x04, 2, 1, 2]].concat(),
    );
    let mut fakes = fakes(0);
    fakes.1.with(|card| {
        card.raw_lists
            .insert(0xBF28, object(&[0xBF, 0x28], &object(&[0xA0], &metadata)));
        card.raw_lists
            .insert(0xBF2B, object(&[0xBF, 0x2B], &object(&[0xA0], &odd)));
    });
    assert_eq!(fakes.0.deliver(None).expect("card").accepted, [6]);
    let sent = fakes.2.last("handleNotification");
    assert_eq!(sent["pendingNotification"], base64(&odd));
}

/// Results that say nothing that could be read.
fn unreadable_results() -> Vec<Vec<u8>> {
    vec![
        vec![0xBF, 0x37, 0],
        vec![0xBF, 0x37, 4, 0x30, 2, 1, 1],
        vec![0x30, 0],
        vec![0xFF],
        vec![0xBF, 0x37, 100, 1],
        object(&[0xBF, 0x37], &object(&[0xBF, 0x27], &[0xA2, 2, 0xA7, 0])),
    ]
}

// An unreadable result says nothing about the profile: the order must not end.
#[test]
fn a_result_that_cannot_be_read_cancels_nothing() {
    for answer in unreadable_results() {
        // The card's notification says what became of it.
        for (result, installed) in [
            (success(), true),
            (
                FinalResult::Error {
                    command: BppCommandId::LoadProfileElements,
                    reason: ErrorReason::InsufficientMemory,
                    sima_response: None,
                },
                false,
            ),
        ] {
            let mut fakes = fakes(100);
            let kept = installation_result(result);
            fakes.1.with(|card| {
                card.answers.insert(0xBF36, answer.clone());
                card.notifications = vec![
                    other(1, "a.example"),
                    PendingNotification::Installation(Box::new(kept.clone())),
                ];
            });
            match run(&mut fakes) {
                Ok(done) => {
                    assert!(installed && done.remark.is_some());
                    assert_eq!(done.seq_number, Some(7));
                    assert_eq!(done.notification_error, None);
                }
                Err(error) => assert!(!installed && error.card_full(), "{error}"),
            }
            let sent = fakes.2.last("handleNotification");
            assert_eq!(sent["pendingNotification"], base64(&kept.to_vec()));
            assert!(!fakes.2.functions().contains(&"cancelSession".to_owned()));
        }
        // The list of profiles says it.
        let mut listed = fakes(100);
        listed
            .1
            .with(|card| drop(card.answers.insert(0xBF36, answer.clone())));
        let done = run(&mut listed).expect("installed");
        assert!(done.notification_error.is_some() && done.remark.is_some());
        assert!(!listed.2.functions().contains(&"cancelSession".to_owned()));
        // Nobody does: an error that passes, and still no cancellation.
        let mut nobody = fakes(100);
        nobody.1.with(|card| {
            card.answers.insert(0xBF36, answer.clone());
            let none = ProfileInfoListResponse::Ok(vec![]).to_vec();
            card.answers.insert(0xBF2D, none);
        });
        let error = run(&mut nobody).expect_err("unknown");
        assert!(!error.permanent(), "{error}");
        assert!(!nobody.2.functions().contains(&"cancelSession".to_owned()));
    }
}

#[test]
fn a_result_with_an_odd_part_counts() {
    let metadata = notification(7, NotificationEvent::Install, SERVER).to_vec();
    let result = |metadata: &[u8], last: &[u8]| {
        let inside = [&[0x80, 8][..], transaction().as_bytes(), metadata, last].concat();
        object(&[0xBF, 0x37], &object(&[0xBF, 0x27], &inside))
    };
    for answer in [
        // No AID, no OID, no signature; without metadata; with fields that nobody knows.
        result(&metadata, &[0xA2, 2, 0xA0, 0]),
        result(&[], &[0xA2, 2, 0xA0, 0]),
        result(&metadata, &[0xA2, 5, 0xA0, 3, 0x9F, 0x01, 0, 0x9F, 0x02, 0]),
    ] {
        let mut fakes = fakes(100);
        fakes
            .1
            .with(|card| drop(card.answers.insert(0xBF36, answer.clone())));
        let done = run(&mut fakes).expect("installed");
        assert_eq!(done.notification_error, None);
        let sent = fakes.2.last("handleNotification");
        assert_eq!(sent["pendingNotification"], base64(&answer));
    }
}

#[test]
fn what_the_card_signs_for_the_server_is_the_servers_to_read() {
    for tag in [0xBF38u32, 0xBF21] {
        for inside in [vec![0xA0, 3, 0x80, 1, 1], vec![0xA0, 0], vec![0x30, 0]] {
            let answer = object(&[0xBF, tag as u8], &inside);
            let mut fakes = fakes(100);
            fakes
                .1
                .with(|card| drop(card.answers.insert(tag, answer.clone())));
            run(&mut fakes).expect("installed");
            let (function, field) = match tag {
                0xBF38 => ("authenticateClient", "authenticateServerResponse"),
                _ => ("getBoundProfilePackage", "prepareDownloadResponse"),
            };
            assert_eq!(fakes.2.last(function)[field], base64(&answer));
        }
    }
}

#[test]
fn a_bad_iccid_in_metadata_is_the_servers_fault() {
    for iccid in [
        [0xAB; 10],
        [0xFF; 10],
        [0x98, 0x94, 0x10, 0, 0, 0, 0, 0xF0, 0, 0],
    ] {
        let mut bad = metadata();
        bad.iccid = iccid;
        let mut fakes = fakes(100);
        fakes
            .2
            .answer("authenticateClient", ok(client(&bad, false)));
        let error = run(&mut fakes).expect_err("refused");
        assert!(
            matches!(error, LpaError::Server(ServerError::Json { .. })),
            "{error}"
        );
        let text = error.to_string();
        assert!(
            text.contains(SERVER) && text.contains("profileMetadata.iccid"),
            "{text}"
        );
        assert!(!text.contains("card"), "{text}");
        assert_eq!(
            fakes.2.functions().last().map(String::as_str),
            Some("cancelSession")
        );
    }
}

#[test]
fn iccids_of_18_to_20_digits_are_installed() {
    for digits in [
        "894901000000000001",
        "8949010000000000001",
        "89490100000000000018",
    ] {
        let iccid: aid_id::Iccid = digits.parse().expect("ICCID");
        let mut short = metadata();
        short.iccid = iccid.to_bcd().expect("fits");
        let mut fakes = fakes(100);
        fakes
            .2
            .answer("authenticateClient", ok(client(&short, false)));
        fakes
            .2
            .answer("getBoundProfilePackage", ok(package(&bpp(&short, 100))));
        assert_eq!(run(&mut fakes).expect("installed").iccid, iccid);
    }
}

#[test]
fn refusals_stay_what_they_are_whatever_their_texts() {
    let texts = [
        json!(null),
        json!("a\nb\u{1b}[31m\u{202E}"),
        json!("x".repeat(50_000)),
        json!(894_901_000),
        json!(["list"]),
        json!({"an": "object"}),
    ];
    for (subject, reason) in [
        ("8.2.6", "3.8"),
        ("8.1", "4.8"),
        ("8.2", "1.2"),
        ("8.8.5", "4.10"),
        ("8.10.1", "3.9"),
    ] {
        for text in &texts {
            for function in [
                "initiateAuthentication",
                "authenticateClient",
                "getBoundProfilePackage",
            ] {
                let mut plain = fakes(100);
                plain.2.answer(function, failed(subject, reason));
                let plain = run(&mut plain).expect_err("refused");
                let value = json!({"header": {"functionExecutionStatus": {"status": "Failed",
                    "statusCodeData": {"subjectCode": subject, "reasonCode": reason,
                    "subjectIdentifier": text, "message": text}}}});
                let mut odd = fakes(100);
                odd.2
                    .answer(function, (200, value.to_string().into_bytes()));
                let odd = run(&mut odd).expect_err("refused");
                let facts = |e: &LpaError| (e.code(), e.permanent(), e.card_full());
                assert_eq!(facts(&odd), facts(&plain), "{text} {odd}");
            }
        }
    }
}

#[test]
fn a_matching_id_in_small_letters_is_tried_as_it_is_and_then_in_capitals() {
    let mut fakes = fakes(100);
    fakes.2.answer("authenticateClient", failed("8.2.6", "3.8"));
    let code = request(&format!("lpa:1${SERVER}$abc-1"));
    fakes.0.download(&code, &mut |_| {}).expect_err("unknown");
    let asked = |fakes: &Fakes| -> Vec<String> {
        let inside = fakes.1.0.lock().expect("lock");
        let requests = inside
            .requests
            .iter()
            .filter(|r| r.starts_with(&[0xBF, 0x38]));
        requests
            .map(|r| {
                let request = AuthenticateServerRequest::from_slice(r).expect("request");
                request
                    .ctx_params1
                    .value()
                    .matching_id
                    .clone()
                    .expect("matching id")
            })
            .collect()
    };
    assert_eq!(asked(&fakes), ["abc-1", "ABC-1"]);
    // Known as it is: no second try. In capitals already: none either.
    let mut known = support::fakes(100);
    known.0.download(&code, &mut |_| {}).expect("installed");
    assert_eq!(asked(&known), ["abc-1"]);
    let mut capitals = support::fakes(100);
    capitals
        .2
        .answer("authenticateClient", failed("8.2.6", "3.8"));
    let code = request(&format!("1${SERVER}$ABC-1"));
    capitals
        .0
        .download(&code, &mut |_| {})
        .expect_err("unknown");
    assert_eq!(asked(&capitals), ["ABC-1"]);
}

/// What may be different about an answer without changing what it says.
#[derive(Debug, Clone)]
struct Habits {
    /// White space that is put into base64, every so many characters.
    space: &'static str,
    every: usize,
    /// Members that nobody knows.
    unknown: bool,
    padding: bool,
    url_alphabet: bool,
    small_digits: bool,
    pretty: bool,
    bom: bool,
    status: u16,
    header: bool,
    success: &'static str,
}

fn habits() -> impl Strategy<Value = Habits> {
    let space = prop_oneof![Just(""), Just("\n"), Just("\r\n"), Just(" "), Just("\t ")];
    let success = prop_oneof![
        Just("Executed-Success"),
        Just("executed-success"),
        Just("Executed_Success"),
        Just("Executed-WithWarning")
    ];
    let flags = proptest::array::uniform8(any::<bool>());
    (
        space,
        1usize..80,
        flags,
        prop_oneof![Just(200u16), Just(201)],
        success,
    )
        .prop_map(|(space, every, flags, status, success)| {
            let [
                unknown,
                padding,
                url_alphabet,
                small_digits,
                pretty,
                bom,
                header,
                _,
            ] = flags;
            Habits {
                space,
                every,
                unknown,
                padding,
                url_alphabet,
                small_digits,
                pretty,
                bom,
                status,
                header,
                success,
            }
        })
}

impl Habits {
    fn text(&self, name: &str, text: &str) -> String {
        if name == "transactionId" {
            return match self.small_digits {
                true => text.to_ascii_lowercase(),
                false => text.to_owned(),
            };
        }
        let mut out = text.to_owned();
        if !self.padding {
            out = out.trim_end_matches('=').to_owned();
        }
        if self.url_alphabet {
            out = out.replace('+', "-").replace('/', "_");
        }
        let lines: Vec<&str> = out
            .as_bytes()
            .chunks(self.every)
            .map(|line| std::str::from_utf8(line).expect("ASCII"))
            .collect();
        lines.join(self.space)
    }

    fn apply(&self, answer: &Value) -> (u16, Vec<u8>) {
        let mut value = json!({});
        for (name, member) in answer.as_object().expect("object") {
            value[name] = match member {
                Value::String(text) => self.text(name, text).into(),
                other => other.clone(),
            };
        }
        value["header"] =
            json!({"functionExecutionStatus": {"status": self.success, "statusCodeData": null}});
        if self.header {
            value.as_object_mut().expect("object").remove("header");
        }
        if self.unknown {
            value["aaa"] = json!({"deep": [null, 1.5, "x\u{0}"]});
            value["zzz"] = json!([]);
        }
        let text = match self.pretty {
            true => serde_json::to_string_pretty(&value).expect("JSON"),
            false => value.to_string(),
        };
        let bom = if self.bom { "\u{FEFF}" } else { "" };
        (self.status, format!("{bom}{text}\r\n").into_bytes())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_server_with_habits_is_understood(habits in habits()) {
        let mut fakes = fakes(600);
        for (function, answer) in [
            ("initiateAuthentication", initiate(CHALLENGE, SERVER)),
            ("authenticateClient", client(&metadata(), false)),
            ("getBoundProfilePackage", package(&bpp(&metadata(), 600))),
            ("handleNotification", json!({})),
        ] {
            fakes.2.answer(function, habits.apply(&answer));
        }
        let done = run(&mut fakes);
        let done = done.map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(done.notification_error, None);
        prop_assert!(fakes.0.notifications().expect("card").is_empty());
    }

    /// Fields in another order, unknown ones between them, fillers left out: the same profiles.
    #[test]
    fn a_card_with_habits_is_understood(
        order in Just((0usize..5).collect::<Vec<_>>()).prop_shuffle(),
        unknown in 0usize..6,
        wrapped: bool,
    ) {
        let fields: [&[u8]; 5] = [
            &[0x5A, 10, 0x98, 0x94, 0x10, 0, 0, 0, 0, 0, 0, 0xF1],
            &[0x9F, 0x70, 1, 1],
            &[0x91, 3, b'A', b'I', b'D'],
            &[0x92, 4, b'T', b'e', b's', b't'],
            &[0x95, 1, 2],
        ];
        let mut inside: Vec<Vec<u8>> = order.iter().map(|n| fields[*n].to_vec()).collect();
        inside.insert(unknown.min(5), vec![0xBF, 0x76, 2, 0x80, 0]);
        let mut list = object(&[0xE3], &inside.concat());
        if wrapped {
            list = object(&[0x30], &list);
        }
        let mut fakes = fakes(0);
        fakes.1.with(|card| {
            card.answers.insert(0xBF2D, object(&[0xBF, 0x2D], &object(&[0xA0], &list)));
        });
        let profiles = fakes.0.profile_list().expect("profiles");
        prop_assert_eq!(profiles.len(), 1);
        prop_assert!(profiles[0].unread.is_empty());
        prop_assert_eq!(profiles[0].info.iccid, Some(ICCID));
        prop_assert_eq!(profiles[0].info.state, Some(ProfileState::Enabled));
        prop_assert_eq!(profiles[0].info.profile_name.as_deref(), Some("Test"));
    }
}
