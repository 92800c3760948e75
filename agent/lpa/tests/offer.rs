//! Given a server that offers a profile, when it is looked at, accepted or rejected, then card and server hear the reason
//! that fits, and nothing is installed without an agreement.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

mod support;

use aid_id::ActivationCode;
use aid_lpa::LpaError;
use aid_rsp::es10::*;
use serde_json::json;
use support::*;

fn code() -> ActivationCode {
    format!("1${SERVER}$M-1").parse().expect("code")
}

/// The reason of the last CancelSession that the card got.
fn cancelled(fakes: &Fakes) -> CancelSessionReason {
    let inside = fakes.1.0.lock().expect("lock");
    let is = |r: &&Vec<u8>| r.starts_with(&[0xBF, 0x41]);
    let bytes = inside.requests.iter().rev().find(is);
    let request = CancelSessionRequest::from_slice(bytes.expect("CancelSession"));
    request.expect("request").reason
}

#[test]
fn an_offer_stops_until_it_is_accepted() {
    let mut fakes = fakes(500);
    let offer = fakes.0.offer(Some(&code()), &mut |_| {}).expect("offer");
    assert_eq!(offer.iccid.as_str(), "8949010000000000001");
    assert_eq!(offer.metadata.profile_name, "Test");
    assert!(!offer.rules_need_consent && !offer.confirmation_code_required());
    assert_eq!(
        fakes.1.log(),
        ["open 1", "BF20", "BF2E", "BF38"],
        "nothing is prepared"
    );
    let done = fakes.0.accept(offer, None, &mut |_| {}).expect("installed");
    assert_eq!(done.seq_number, Some(7));
}

#[test]
fn card_and_server_hear_why_an_offer_is_rejected() {
    for reason in CancelSessionReason::ALL.iter().copied() {
        let mut fakes = fakes(500);
        let offer = fakes.0.offer(Some(&code()), &mut |_| {}).expect("offer");
        fakes.0.reject(offer, reason).expect("cancelled");
        assert_eq!(cancelled(&fakes), reason);
        assert_eq!(
            fakes.2.functions().last().map(String::as_str),
            Some("cancelSession")
        );
        let log = fakes.1.log();
        assert!(!log.contains(&"BF21".to_owned()) && !log.contains(&"BF36".to_owned()));
    }
}

#[test]
fn every_2xx_ends_a_session() {
    for (status, body) in [(200, "{}"), (204, ""), (200, "OK"), (202, "")] {
        let mut fakes = fakes(500);
        fakes
            .2
            .answer("cancelSession", (status, body.as_bytes().to_vec()));
        let offer = fakes.0.offer(Some(&code()), &mut |_| {}).expect("offer");
        let rejected = fakes.0.reject(offer, CancelSessionReason::Postponed);
        assert!(rejected.is_ok(), "{status} {body}");
    }
}

#[test]
fn rules_are_allowed_need_consent_or_end_the_session() {
    let owner = OperatorId::from_digits("26201").expect("operator");
    let mut with_rules = metadata();
    with_rules.policy_rules = Some(ppr::PPR1);
    with_rules.profile_owner = Some(owner.clone());
    for (table, expected) in [
        (vec![(ppr::PPR1, vec![owner.clone()], false)], Some(false)),
        (vec![(ppr::PPR1, vec![owner.clone()], true)], Some(true)),
        (vec![(ppr::PPR2, vec![owner], true)], None),
        (vec![], None),
    ] {
        let mut fakes = fakes(500);
        fakes.1.with(|card| {
            let table = GetRatResponse { rules: table };
            card.answers.insert(0xBF43, table.to_vec());
        });
        fakes
            .2
            .answer("authenticateClient", ok(client(&with_rules, false)));
        match (fakes.0.offer(Some(&code()), &mut |_| {}), expected) {
            (Ok(offer), Some(consent)) => {
                assert_eq!(offer.rules_need_consent, consent);
                fakes.0.postpone(offer);
            }
            (Err(LpaError::PolicyRules { rules }), None) => {
                assert_eq!(rules, ppr::PPR1);
                assert_eq!(cancelled(&fakes), CancelSessionReason::PprNotAllowed);
            }
            (other, expected) => panic!("{other:?}, not {expected:?}"),
        }
    }
}

#[test]
fn rules_that_cannot_be_read_are_not_taken_for_none() {
    let mut broken = metadata().to_vec();
    broken.extend_from_slice(&[0x99, 2, 9, 0]);
    broken[2] += 4;
    let mut value = client(&metadata(), false);
    value["profileMetadata"] = base64(&broken);
    let mut fakes = fakes(500);
    fakes.2.answer("authenticateClient", ok(value));
    let error = fakes
        .0
        .offer(Some(&code()), &mut |_| {})
        .expect_err("rules");
    assert!(error.to_string().contains("profilePolicyRules"), "{error}");
}

#[test]
fn a_look_at_the_default_server_leaves_the_order_where_it_is() {
    let mut fakes = fakes(500);
    let error = fakes
        .0
        .discover_smdp(None, &mut |_| {})
        .expect_err("none is set");
    assert!(matches!(error, LpaError::NoAddress), "{error}");
    let addresses = EuiccConfiguredAddressesResponse {
        default_dp_address: Some(SERVER.into()),
        root_ds_address: "ds".into(),
    };
    fakes
        .1
        .with(|card| drop(card.answers.insert(0xBF3C, addresses.to_vec())));
    let offer = fakes.0.discover_smdp(None, &mut |_| {}).expect("asked");
    fakes.0.postpone(offer.expect("something waits"));
    assert_eq!(cancelled(&fakes), CancelSessionReason::Postponed);
    let matching_id = {
        let inside = fakes.1.0.lock().expect("lock");
        let is = |r: &&Vec<u8>| r.starts_with(&[0xBF, 0x38]);
        let bytes = inside.requests.iter().find(is).expect("AuthenticateServer");
        let request = AuthenticateServerRequest::from_slice(bytes).expect("request");
        request.ctx_params1.value().matching_id.clone()
    };
    assert_eq!(
        matching_id.as_deref(),
        Some(""),
        "an empty matching id (SGP.22 §3.1.2)"
    );
    for (subject, reason, nothing) in [
        ("8.2.6", "3.8", true),
        ("8.1.1", "3.8", true),
        ("8.2", "3.7", true),
        ("8.1", "6.1", false),
        ("8.1.2", "6.3", false),
    ] {
        fakes
            .2
            .answer("authenticateClient", failed(subject, reason));
        let result = fakes.0.discover_smdp(Some(SERVER), &mut |_| {});
        assert_eq!(matches!(result, Ok(None)), nothing, "{subject} {reason}");
    }
}

#[test]
fn events_of_an_sm_ds() {
    let answer = |entries: serde_json::Value| {
        ok(json!({"transactionId": "ABABABABABABABAB", "eventEntries": entries}))
    };
    let mut fakes = fakes(500);
    let entries = json!([{"eventId": "E-1", "rspServerAddress": "smdp.example.com"},
        {"eventId": "E-2", "rspServerAddress": "other.example.com", "unknown": 1}]);
    fakes.2.answer("authenticateClient", answer(entries));
    let events = fakes.0.discover_smds(SERVER, &mut |_| {}).expect("events");
    assert_eq!(events.len(), 2);
    assert_eq!(
        (events[1].server.as_str(), events[1].event_id.as_str()),
        ("other.example.com", "E-2")
    );
    fakes.2.answer("authenticateClient", answer(json!([])));
    assert_eq!(
        fakes.0.discover_smds(SERVER, &mut |_| {}).expect("none"),
        []
    );
    fakes.2.answer("authenticateClient", failed("8.9.5", "3.9"));
    assert_eq!(
        fakes.0.discover_smds(SERVER, &mut |_| {}).expect("none"),
        []
    );
    let many: Vec<_> = (0..5000)
        .map(|n| json!({"eventId": format!("E{n}"), "rspServerAddress": "a.b"}))
        .collect();
    fakes.2.answer("authenticateClient", answer(many.into()));
    assert_eq!(
        fakes
            .0
            .discover_smds(SERVER, &mut |_| {})
            .expect("some")
            .len(),
        256
    );
    fakes.2.answer("authenticateClient", answer(json!("none")));
    let error = fakes
        .0
        .discover_smds(SERVER, &mut |_| {})
        .expect_err("no list");
    assert!(error.to_string().contains("eventEntries"), "{error}");
    for address in ["", "a/b", "user@host", "a b"] {
        assert!(
            fakes.0.discover_smds(address, &mut |_| {}).is_err(),
            "{address}"
        );
    }
}

#[test]
fn local_management_that_lpac_has() {
    let mut fakes = fakes(0);
    assert!(fakes.0.purge().expect("reset"));
    let asked = |fakes: &Fakes, tag: u8| {
        let inside = fakes.1.0.lock().expect("lock");
        let is = |r: &&Vec<u8>| r.starts_with(&[0xBF, tag]);
        inside
            .requests
            .iter()
            .rev()
            .find(is)
            .expect("asked")
            .clone()
    };
    let reset = EuiccMemoryResetRequest::from_slice(&asked(&fakes, 0x34)).expect("request");
    assert_eq!(
        reset.options,
        reset_options::DELETE_OPERATIONAL_PROFILES
            | reset_options::DELETE_FIELD_LOADED_TEST_PROFILES
            | reset_options::RESET_DEFAULT_SMDP_ADDRESS
    );
    fakes
        .1
        .with(|card| drop(card.answers.insert(0xBF34, vec![0xBF, 0x34, 3, 0x80, 1, 1])));
    assert!(!fakes.0.purge().expect("nothing to delete"));
    fakes
        .1
        .with(|card| drop(card.answers.insert(0xBF34, vec![0xBF, 0x34, 3, 0x80, 1, 5])));
    assert!(fakes.0.purge().is_err(), "catBusy");
    for address in ["smdp.example.com", ""] {
        fakes.0.set_default_smdp(address).expect("set");
        let request =
            SetDefaultDpAddressRequest::from_slice(&asked(&fakes, 0x3F)).expect("request");
        assert_eq!(request.address, address);
    }
    let chip = fakes.0.chip_info().expect("chip");
    assert!(chip.unread.is_empty(), "{:?}", chip.unread);
    assert_eq!(chip.root_smds.as_deref(), Some("ds"));
    assert!(chip.rules.is_some());
    // A card without addresses and rules still has the rest.
    fakes
        .1
        .with(|card| card.refuse.extend([(0xBF3C, 0x6A88), (0xBF43, 0x6D00)]));
    let chip = fakes.0.chip_info().expect("chip");
    let named: Vec<&str> = chip.unread.iter().map(|u| u.field).collect();
    assert_eq!(
        named,
        ["EuiccConfiguredAddresses", "RulesAuthorisationTable"]
    );
}
