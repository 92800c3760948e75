//! Known answers of an independent implementation, round trips, and refusals.
use super::*;
use crate::testdata;
use crate::tlv::Tlv;

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text.replace(' ', "")).unwrap()
}

#[track_caller]
fn same<T: DataObject + PartialEq + core::fmt::Debug>(value: &T, expected: &str) {
    assert_eq!(hex::encode(value.to_vec()), expected.replace(' ', ""));
    assert_eq!(&T::from_slice(&bytes(expected)).unwrap(), value);
}

#[test]
fn requests_are_the_bytes_that_cards_in_the_field_take() {
    let iccid = [0x98, 0x88, 0, 0, 0, 0, 0, 0, 0, 0xF1];
    same(&GetEuiccChallengeRequest, "bf2e00");
    same(&GetEuiccDataRequest, "bf3e035c015a");
    same(
        &RetrieveNotificationsListRequest {
            search: Some(NotificationSearch::SeqNumber(5)),
        },
        "bf2b05 a003800105",
    );
    same(
        &EnableProfileRequest {
            profile: ProfileIdentifier::Iccid(iccid),
            refresh: true,
        },
        "bf3111 a00c 5a0a988800000000000000f1 8101ff",
    );
    same(
        &DeleteProfileRequest {
            profile: ProfileIdentifier::Iccid(iccid),
        },
        "bf330c 5a0a988800000000000000f1",
    );
    same(
        &EuiccMemoryResetRequest {
            options: reset_options::DELETE_OPERATIONAL_PROFILES
                | reset_options::DELETE_FIELD_LOADED_TEST_PROFILES
                | reset_options::RESET_DEFAULT_SMDP_ADDRESS,
        },
        "bf3404 820205e0",
    );
    same(&NotificationSentRequest { seq_number: 0 }, "bf3003 800100");
    same(
        &EnableProfileResponse {
            result: EnableResult::CatBusy,
        },
        "bf3103 800105",
    );
    same(
        &SetDefaultDpAddressRequest {
            address: "a.b".into(),
        },
        "bf3f05 8003612e62",
    );
    same(&ProfileInfoListResponse::Ok(Vec::new()), "bf2d02 a000");
}

#[test]
fn an_answer_of_a_card_can_be_read_without_one_sequence_too_many() {
    let info = ProfileInfo {
        iccid: Some([0x98; 10]),
        isdp_aid: Some(bytes("A0000005591010FFFFFFFF8900001000")),
        state: Some(ProfileState::Enabled),
        nickname: Some("car".into()),
        profile_class: Some(ProfileClass::Operational),
        notifications: vec![NotificationConfigurationInformation {
            events: NotificationEvent::ALL,
            address: "smdp.example".into(),
        }],
        ..ProfileInfo::default()
    };
    let list = ProfileInfoListResponse::Ok(vec![info]);
    let raw = list.to_vec();
    assert_eq!(raw[3..5], [0xA0, raw.len() as u8 - 5]);
    assert_eq!(raw[5], 0xE3);
    assert_eq!(ProfileInfoListResponse::from_slice(&raw).unwrap(), list);
}

#[test]
fn codes_that_we_do_not_know_are_the_undefined_ones() {
    let raw = bytes("bf3103800163");
    let read = EnableProfileResponse::from_slice(&raw).unwrap();
    assert_eq!(read.result, EnableResult::UndefinedError);
    assert_eq!(read.result.to_string(), "undefinedError (127)");
}

#[test]
fn recorded_objects_are_read_and_written_back() {
    let file = |name: &str| testdata::bytes(&format!("data/vectors/euicc-rsp-session/{name}"));
    let Some(info1) = file("euicc-info1.der") else {
        return;
    };
    assert_eq!(EuiccInfo1::from_slice(&info1).unwrap().to_vec(), info1);
    let prepared = file("prepare-download-response.der").unwrap();
    assert_eq!(
        PrepareDownloadResponse::from_slice(&prepared)
            .unwrap()
            .to_vec(),
        prepared
    );
    let answer = file("auth-server-response.der").unwrap();
    let response = AuthenticateServerResponse::from_slice(&answer).unwrap();
    assert_eq!(response.to_vec(), answer);
    let AuthenticateServerResponse::Ok(ok) = response else {
        panic!("an error");
    };
    let signed = ok.euicc_signed1.value();
    assert_eq!(signed.transaction_id.as_bytes().len(), 16);
    // Its empty capability lists are BIT STRINGs with a superfluous zero byte: not ours to correct.
    assert_ne!(signed.to_vec(), ok.euicc_signed1.bytes());
    let cut = &answer[..answer.len() - 1];
    assert!(AuthenticateServerResponse::from_slice(cut).is_err());
}

#[test]
fn a_signed_object_keeps_its_bytes() {
    // A BIT STRING with trailing zero bits is not DER, yet its signature covers it as it is.
    let raw = bytes("bf2f13 800101 81020080 0c0161 5a0a98000000000000000010");
    let raw = [&raw[..2], &[raw.len() as u8 - 3], &raw[3..]].concat();
    let signed = Signed::<NotificationMetadata>::from_slice(&raw).unwrap();
    assert_eq!(signed.bytes(), raw);
    assert_ne!(signed.value().to_vec(), raw);
    assert_eq!(signed.value().event, NotificationEvent::Install);
}

#[test]
fn limits_are_kept() {
    let too_long = format!("bf2914 5a0a98000000000000000010 90{:02x}", 65);
    let mut raw = bytes(&too_long);
    raw.extend_from_slice(&[b'a'; 65]);
    raw[2] = raw.len() as u8 - 3;
    assert!(SetNicknameRequest::from_slice(&raw).is_err());
    assert!(TransactionId::new(&[]).is_none());
    assert!(TransactionId::new(&[0; 17]).is_none());
    assert!(EuiccInfo1::from_slice(&bytes("bf2004 82020102")).is_err());
}

#[test]
fn an_eid_has_32_digits() {
    let text = "89049032123451234512345678901235";
    assert_eq!(eid_digits(&eid_from_digits(text).unwrap()), text);
    assert_eq!(eid_from_digits("8904903212345123451234567890123A"), None);
    assert_eq!(eid_from_digits("8904"), None);
}

proptest::proptest! {
    #[test]
    fn garbage_never_panics(raw in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let _ = AuthenticateServerRequest::from_slice(&raw);
        let tlv = Tlv { tag: 0, value: &raw, raw: &raw };
        let mut r = tlv.children();
        let _ = AuthenticateServerRequest::read_value(&mut r.clone());
        let _ = AuthenticateServerResponse::read_value(&mut r.clone());
        let _ = PrepareDownloadRequest::read_value(&mut r.clone());
        let _ = PrepareDownloadResponse::read_value(&mut r.clone());
        let _ = EuiccInfo2::read_value(&mut r.clone());
        let _ = StoreMetadataRequest::read_value(&mut r.clone());
        let _ = ProfileInfoListRequest::read_value(&mut r.clone());
        let _ = ProfileInfoListResponse::read_value(&mut r.clone());
        let _ = ProfileInstallationResult::read_value(&mut r.clone());
        let _ = RetrieveNotificationsListResponse::read_value(&mut r.clone());
        let _ = CancelSessionResponse::read_value(&mut r.clone());
        let _ = GetRatResponse::read_value(&mut r);
    }
}
