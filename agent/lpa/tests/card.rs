//! Logical channels, chains of STORE DATA, and cards that are not where the LPA left them.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

mod support;

use aid_lpa::{BLOCK, CardError, Http as _, blocks};
use aid_rsp::es10::*;
use proptest::prelude::*;
use support::*;

#[test]
fn one_channel_serves_many_operations_until_it_is_released() {
    let mut fakes = fakes(0);
    fakes.0.eid().expect("EID");
    fakes.0.profiles().expect("profiles");
    fakes.0.release();
    fakes.0.release();
    fakes.0.eid().expect("EID");
    let log = ["open 1", "BF3E", "BF2D", "close 1", "open 1", "BF3E"];
    assert_eq!(fakes.1.log(), log);
}

#[test]
fn a_channel_that_was_taken_away_is_opened_again() {
    let mut fakes = fakes(0);
    fakes.0.eid().expect("EID");
    // A reset by somebody else; then another application selected on our channel.
    fakes.1.with(|card| {
        card.channels.clear();
        card.selected.clear();
    });
    fakes.0.eid().expect("after a reset");
    fakes.1.with(|card| card.selected.clear());
    fakes.0.eid().expect("after another SELECT");
    let log = ["open 1", "BF3E", "open 1", "BF3E", "open 2", "BF3E"];
    assert_eq!(fakes.1.log(), log);
}

#[test]
fn channels_that_a_dead_lpa_left_open_are_closed() {
    let mut fakes = fakes(0);
    fakes.1.with(|card| card.channels.extend([1, 2, 3]));
    fakes.0.eid().expect("EID");
    assert_eq!(
        fakes.1.log(),
        ["close 1", "close 2", "close 3", "open 1", "BF3E"]
    );
}

#[test]
fn a_card_without_channels_or_isdr_is_an_error_with_a_remedy() {
    let mut fakes = fakes(0);
    fakes.1.with(|card| card.max_channel = 0);
    let error = fakes.0.eid().expect_err("no channel").to_string();
    assert!(
        error.contains("6A81") && error.contains("reset the card"),
        "{error}"
    );
    let card = FakeCard::new();
    let meter = std::sync::Arc::new(aid_lpa::Tally::default());
    let mut odd = aid_lpa::Card::new(card.clone(), meter).with_isdr(&[0xA0; 16]);
    let error = odd.open().expect_err("no ISD-R").to_string();
    assert!(error.contains("6A82") && error.contains("ISD-R"), "{error}");
    assert_eq!(card.log(), ["open 1", "close 1"], "no channel stays open");
}

#[test]
fn long_answers_are_collected_and_a_wrong_le_is_corrected() {
    let mut fakes = fakes(0);
    let many: Vec<ProfileInfo> = (0..40)
        .map(|n| ProfileInfo {
            iccid: Some([n; 10]),
            nickname: Some("a nickname of some length".into()),
            ..ProfileInfo::default()
        })
        .collect();
    let answer = ProfileInfoListResponse::Ok(many.clone()).to_vec();
    assert!(answer.len() > 1500);
    fakes.1.with(|card| {
        card.answers.insert(0xBF2D, answer);
        card.wrong_le = true;
    });
    assert_eq!(fakes.0.profiles().expect("profiles"), many);
}

#[test]
fn refusals_carry_code_and_name() {
    let mut fakes = fakes(0);
    let iccid = "8949010000000000001".parse().expect("ICCID");
    fakes.1.with(|card| {
        for tag in [0x31, 0x32, 0x33, 0x29] {
            card.answers
                .insert(0xBF00 | u32::from(tag), vec![0xBF, tag, 3, 0x80, 1, 1]);
        }
    });
    let code = |result: Result<(), CardError>| match result {
        Err(CardError::Refused { code, name, .. }) => (code, name),
        other => panic!("{other:?}"),
    };
    assert_eq!(code(fakes.0.enable(&iccid)), (1, "iccidOrAidNotFound"));
    assert_eq!(code(fakes.0.disable(&iccid)), (1, "iccidOrAidNotFound"));
    assert_eq!(code(fakes.0.delete(&iccid)), (1, "iccidOrAidNotFound"));
    assert_eq!(
        code(fakes.0.set_nickname(&iccid, "n")),
        (1, "iccidNotFound")
    );
    // 22 digits are an ICCID of AID.02, but fit on no card.
    let long = "8949010000000000001234".parse().expect("ICCID");
    assert_eq!(code(fakes.0.enable(&long)), (1, "iccidOrAidNotFound"));
}

fn other(seq_number: u64, event: NotificationEvent, address: &str) -> PendingNotification {
    PendingNotification::Other(Box::new(OtherSignedNotification {
        tbs: Signed::new(notification(seq_number, event, address)),
        signature: signature(),
        euicc_certificate: certificate(520),
        eum_certificate: certificate(560),
    }))
}

// Invariant 7: in sequence order, and none removed before it was accepted.
#[test]
fn notifications_are_delivered_in_order_and_removed_after_acceptance() {
    use NotificationEvent::{Disable, Enable, Install};
    let mut fakes = fakes(0);
    let pending = [
        other(0, Install, "a.example"),
        other(4, Enable, "b.example"),
        other(2, Disable, "a.example"),
        other(3, Enable, "b.example"),
    ];
    fakes.1.with(|card| card.notifications = pending.to_vec());
    fakes
        .2
        .0
        .lock()
        .expect("lock")
        .dead
        .insert("b.example".into());
    let delivered = fakes.0.deliver(None).expect("card");
    assert_eq!(delivered.accepted, [0, 2]);
    let waiting: Vec<u64> = delivered.waiting.iter().map(|(n, _)| *n).collect();
    assert_eq!(waiting, [3, 4], "what b did not get stays, in order");
    assert!(delivered.error.is_some_and(|e| !e.permanent()));
    let asked: Vec<String> = {
        let mut server = fakes.2.0.lock().expect("lock");
        server.dead.clear();
        server.log.drain(..).map(|(to, _, _)| to).collect()
    };
    assert_eq!(
        asked,
        ["a.example", "a.example", "b.example"],
        "one try for a dead server"
    );
    // The server says 200 with a failure: not accepted.
    fakes.2.answer("handleNotification", failed("8.1", "6.1"));
    let delivered = fakes.0.deliver(None).expect("card");
    assert_eq!((delivered.accepted.len(), delivered.waiting.len()), (0, 2));
    fakes.2.answer("handleNotification", (204, vec![]));
    assert_eq!(fakes.0.deliver(Some(4)).expect("card").accepted, [4]);
    assert_eq!(fakes.0.deliver(None).expect("card").accepted, [3]);
    assert!(fakes.0.notifications().expect("card").is_empty());
    assert!(fakes.2.post("x", "/gsma/rsp2/es9plus/none", b"{}").is_ok());
}

#[test]
fn an_address_that_is_no_host_name_gets_into_no_url() {
    let mut fakes = fakes(0);
    for address in ["a.example/x?", "", "user@a.example", "a b"] {
        fakes.1.with(|card| {
            card.notifications = vec![other(1, NotificationEvent::Enable, address)];
        });
        let delivered = fakes.0.deliver(None).expect("card");
        assert_eq!(delivered.waiting.len(), 1, "{address}");
    }
    assert!(fakes.2.functions().is_empty());
}

proptest! {
    #[test]
    fn blocks_carry_the_request_whole_and_in_order(
        request in proptest::collection::vec(any::<u8>(), 0..70_000),
        channel in 0u8..=19,
    ) {
        let commands: Vec<Vec<u8>> = blocks(channel, &request).collect();
        let mut data = Vec::new();
        for (n, command) in commands.iter().enumerate() {
            let last = n + 1 == commands.len();
            let class = if channel < 4 { 0x80 | channel } else { 0xC0 | (channel - 4) };
            let lc = command[4] as usize;
            prop_assert_eq!(&command[..4], &[class, 0xE2, if last { 0x91 } else { 0x11 }, n as u8]);
            prop_assert_eq!(command.len(), 5 + lc + usize::from(last));
            prop_assert!(last || lc == BLOCK);
            data.extend_from_slice(&command[5..5 + lc]);
        }
        prop_assert_eq!(commands.len(), request.len().div_ceil(BLOCK).max(1));
        prop_assert_eq!(data, request);
    }
}
