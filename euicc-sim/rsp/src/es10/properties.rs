//! Any value of a type, written, is read as the same value; cut short anywhere, it is refused.
use super::*;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

/// Both promises for one value.
#[track_caller]
fn holds<T: DataObject + PartialEq + core::fmt::Debug>(value: &T) -> Result<(), TestCaseError> {
    let bytes = value.to_vec();
    let again = T::from_slice(&bytes).map_err(|e| TestCaseError::fail(std::format!("{e}")))?;
    prop_assert_eq!(&again, value);
    prop_assert_eq!(&again.to_vec(), &bytes);
    for end in 0..bytes.len() {
        prop_assert!(T::from_slice(&bytes[..end]).is_err(), "cut at {}", end);
    }
    Ok(())
}

fn bytes(min: usize, max: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), min..=max)
}

fn text(max: usize) -> impl Strategy<Value = String> {
    // Two bytes a letter at most, so that the limit in bytes holds.
    proptest::string::string_regex(&std::format!("[a-z .ä]{{0,{}}}", max / 2)).unwrap()
}

fn transaction() -> impl Strategy<Value = TransactionId> {
    bytes(1, 16).prop_map(|id| TransactionId::new(&id).unwrap())
}

fn events() -> impl Strategy<Value = u32> {
    (0u32..16).prop_map(|bits| bits << 28)
}

fn event() -> impl Strategy<Value = NotificationEvent> {
    (0usize..4).prop_map(|n| NotificationEvent::from_bits(1 << (31 - n)).unwrap())
}

fn signature() -> impl Strategy<Value = Signature> {
    any::<[u8; 32]>().prop_map(|half| {
        let mut both = [0; 64];
        both[..32].copy_from_slice(&half);
        both.into()
    })
}

fn owner() -> impl Strategy<Value = OperatorId> {
    (any::<[u8; 3]>(), of(bytes(0, 9)), of(bytes(0, 9))).prop_map(|(mcc_mnc, gid1, gid2)| {
        OperatorId {
            mcc_mnc,
            gid1,
            gid2,
        }
    })
}

fn configurations() -> impl Strategy<Value = Vec<NotificationConfigurationInformation>> {
    let one = (events(), text(40))
        .prop_map(|(events, address)| NotificationConfigurationInformation { events, address });
    vec(one, 0..4)
}

fn notification() -> impl Strategy<Value = NotificationMetadata> {
    (any::<u64>(), event(), text(60), of(any::<[u8; 10]>())).prop_map(
        |(seq_number, event, address, iccid)| NotificationMetadata {
            seq_number,
            event,
            address,
            iccid,
        },
    )
}

fn class() -> impl Strategy<Value = ProfileClass> {
    (0u64..3).prop_map(ProfileClass::from_code)
}

fn icon() -> impl Strategy<Value = Option<IconType>> {
    of((0u64..2).prop_map(IconType::from_code))
}

fn metadata() -> impl Strategy<Value = StoreMetadataRequest> {
    let names = (any::<[u8; 10]>(), text(32), text(64));
    let icon = (icon(), of(bytes(0, 90)), class());
    let rest = (configurations(), of(owner()), of(any::<u32>()));
    (names, icon, rest).prop_map(|(names, icon, rest)| StoreMetadataRequest {
        iccid: names.0,
        service_provider_name: names.1,
        profile_name: names.2,
        icon_type: icon.0,
        icon: icon.1,
        profile_class: icon.2,
        notifications: rest.0,
        profile_owner: rest.1,
        policy_rules: rest.2,
    })
}

fn profile() -> impl Strategy<Value = ProfileIdentifier> {
    prop_oneof![
        bytes(1, 16).prop_map(ProfileIdentifier::IsdpAid),
        any::<[u8; 10]>().prop_map(ProfileIdentifier::Iccid),
    ]
}

fn result() -> impl Strategy<Value = FinalResult> {
    let success = (bytes(5, 16), bytes(0, 30))
        .prop_map(|(aid, sima_response)| FinalResult::Success { aid, sima_response });
    let error = (0u64..6, 1u64..16, of(bytes(0, 30))).prop_map(|(at, why, sima_response)| {
        FinalResult::Error {
            command: BppCommandId::from_code(at),
            reason: ErrorReason::from_code(why),
            sima_response,
        }
    });
    prop_oneof![success, error]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn metadata_survives(value in metadata()) {
        holds(&value)?;
    }

    #[test]
    fn notifications_survive(value in notification(), list in vec(notification(), 0..3)) {
        holds(&value)?;
        holds(&ListNotificationResponse::Ok(list))?;
        holds(&NotificationSentRequest { seq_number: value.seq_number })?;
    }

    #[test]
    fn switches_survive(profile in profile(), refresh: bool) {
        holds(&EnableProfileRequest { profile: profile.clone(), refresh })?;
        holds(&DisableProfileRequest { profile: profile.clone(), refresh })?;
        holds(&DeleteProfileRequest { profile })?;
    }

    #[test]
    fn settings_survive(iccid: [u8; 10], name in text(64), address in of(text(200)), root in text(200)) {
        holds(&SetNicknameRequest { iccid, nickname: name })?;
        holds(&SetDefaultDpAddressRequest { address: root.clone() })?;
        holds(&EuiccConfiguredAddressesResponse { default_dp_address: address, root_ds_address: root })?;
    }

    #[test]
    fn the_rules_authorisation_table_survives(
        rules in vec((any::<u32>(), vec(owner(), 0..3), any::<bool>()), 0..4),
    ) {
        holds(&GetRatResponse { rules })?;
    }

    #[test]
    fn what_servers_sign_survives(
        id in transaction(), euicc_challenge: [u8; 16], server_address in text(200),
        server_challenge: [u8; 16], cc_required: bool, point in of(bytes(1, 133)),
    ) {
        holds(&ServerSigned1 { transaction_id: id, euicc_challenge, server_address, server_challenge })?;
        holds(&SmdpSigned2 { transaction_id: id, cc_required, bpp_euicc_otpk: point })?;
    }

    #[test]
    fn what_the_card_signs_survives(
        transaction_id in transaction(), euicc_otpk in bytes(1, 133), hash_cc in of(any::<[u8; 32]>()),
        smdp_oid in bytes(1, 20), notification in notification(), result in result(),
        signature in signature(),
    ) {
        let signed = EuiccSigned2 { transaction_id, euicc_otpk, hash_cc };
        holds(&signed)?;
        holds(&PrepareDownloadResponse::Ok {
            euicc_signed2: Signed::new(signed),
            euicc_signature2: signature.clone(),
        })?;
        let data = ProfileInstallationResultData { transaction_id, notification, smdp_oid, result };
        holds(&data)?;
        holds(&ProfileInstallationResult { data: Signed::new(data), signature })?;
    }
}
