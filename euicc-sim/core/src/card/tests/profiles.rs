//! Given installed profiles, when they are enabled, disabled, deleted, then states, policy rules and
//! notifications are those of SGP.22.
use super::host::*;
use aid_rsp::es10::*;
use std::vec::Vec;

// R-2-11, R-4.4.1-10, R-4.4.1-11, R-4.5-6
#[test]
fn enable_disable_delete_make_the_configured_notifications() {
    let mut host = Host::new();
    host.install(1);
    host.install(2);
    assert_eq!(host.enable(1), EnableResult::Ok);
    assert_eq!(host.enable(1), EnableResult::NotInDisabledState);
    assert_eq!(host.enable(9), EnableResult::NotFound);
    assert_eq!(host.delete(1), DeleteResult::NotInDisabledState);
    assert_eq!(host.enable(2), EnableResult::Ok);
    assert_eq!(host.disable(1), DisableResult::NotInEnabledState);
    assert_eq!(host.disable(2), DisableResult::Ok);
    assert_eq!(host.delete(1), DeleteResult::Ok);
    assert_eq!(host.delete(1), DeleteResult::NotFound);
    assert_eq!(host.profiles().len(), 1);
    use NotificationEvent as E;
    let notes = host.notifications();
    let got: Vec<_> = notes
        .iter()
        .map(|n| {
            (
                n.seq_number,
                n.event,
                n.iccid,
                n.address.split('.').next().unwrap(),
            )
        })
        .collect();
    let (one, two) = (Some(metadata(1).iccid), Some(metadata(2).iccid));
    let expected = [
        (1, E::Install, one, "smdp"),
        (2, E::Install, two, "smdp"),
        (3, E::Enable, one, "smdp"),
        (4, E::Enable, one, "other"),
        (5, E::Disable, one, "smdp"),
        (6, E::Enable, two, "smdp"),
        (7, E::Enable, two, "other"),
        (8, E::Disable, two, "smdp"),
        (9, E::Delete, one, "smdp"),
    ];
    assert_eq!(got, expected);
    // Each is retrieved alone, with a signature that verifies.
    for sequence in 3..10 {
        let request = RetrieveNotificationsListRequest {
            search: Some(NotificationSearch::SeqNumber(sequence)),
        };
        let RetrieveNotificationsListResponse::Ok(list) = host.call(&request) else {
            panic!("{sequence}");
        };
        let [PendingNotification::Other(note)] = &list[..] else {
            panic!("{list:?}");
        };
        let euicc = aid_rsp::cert::Certificate::from_der(&note.euicc_certificate).unwrap();
        use aid_rsp::crypto::Crypto;
        host.crypto
            .verify(
                euicc.public_key(),
                &[note.tbs.bytes()],
                note.signature.as_bytes(),
            )
            .unwrap();
    }
    let request = RetrieveNotificationsListRequest {
        search: Some(NotificationSearch::SeqNumber(77)),
    };
    assert_eq!(
        host.call::<_, RetrieveNotificationsListResponse>(&request),
        RetrieveNotificationsListResponse::Error(1)
    );
    // Removal, and numbers that go on after a restart.
    let sent = |seq_number| NotificationSentRequest { seq_number };
    assert_eq!(
        host.call::<_, NotificationSentResponse>(&sent(1)).status,
        NotificationSentStatus::Ok
    );
    assert_eq!(
        host.call::<_, NotificationSentResponse>(&sent(1)).status,
        NotificationSentStatus::NothingToDelete
    );
    for n in 2..10 {
        host.call::<_, NotificationSentResponse>(&sent(n));
    }
    let mut host = Host::with(host.card.nvm().clone());
    assert_eq!(host.notifications(), []);
    host.enable(2);
    assert_eq!(host.notifications()[0].seq_number, 10);
}

#[test]
fn policy_rules_forbid_disabling_and_deleting() {
    let mut host = Host::new();
    let mut m = metadata(1);
    m.policy_rules = Some(ppr::PPR1 | ppr::PPR2);
    assert!(matches!(
        host.download(&m, &package(1), &Tamper::default()),
        Ok(Some(FinalResult::Success { .. }))
    ));
    host.install(2);
    assert_eq!(host.enable(1), EnableResult::Ok);
    assert_eq!(host.disable(1), DisableResult::DisallowedByPolicy);
    assert_eq!(host.enable(2), EnableResult::DisallowedByPolicy);
    let reset = |options| EuiccMemoryResetRequest { options };
    let all = reset(reset_options::DELETE_OPERATIONAL_PROFILES);
    assert_eq!(
        host.call::<_, EuiccMemoryResetResponse>(&all).result,
        ResetResult::Ok
    );
    assert_eq!(host.profiles(), []);
    assert_eq!(
        host.call::<_, EuiccMemoryResetResponse>(&all).result,
        ResetResult::NothingToDelete
    );
    host.expect("00a4000c022fe2", "6a82");
}

// R-1.4-1
#[test]
fn the_small_functions_answer() {
    let mut host = Host::new();
    let info: EuiccInfo2 = host.call(&GetEuiccInfo2Request);
    assert_eq!(info.svn, Version([2, 4, 0]));
    assert_eq!(info.free_nvm(), Some(1024 * 1024));
    let info: EuiccInfo1 = host.call(&GetEuiccInfo1Request);
    assert_eq!(info.ci_pkid_for_signing, info.ci_pkid_for_verification);
    let set = SetDefaultDpAddressRequest {
        address: "dp.example.com".into(),
    };
    let _: SetDefaultDpAddressResponse = host.call(&set);
    let addresses: EuiccConfiguredAddressesResponse = host.call(&EuiccConfiguredAddressesRequest);
    assert_eq!(
        addresses.default_dp_address.as_deref(),
        Some("dp.example.com")
    );
    let rat: GetRatResponse = host.call(&GetRatRequest);
    assert_eq!(rat.rules.len(), 1);
    host.install(1);
    let name = |n, nickname: &str| SetNicknameRequest {
        iccid: metadata(n).iccid,
        nickname: nickname.into(),
    };
    assert_eq!(
        host.call::<_, SetNicknameResponse>(&name(1, "Work")).result,
        SetNicknameResult::Ok
    );
    assert_eq!(
        host.call::<_, SetNicknameResponse>(&name(2, "Work")).result,
        SetNicknameResult::IccidNotFound
    );
    assert_eq!(host.profiles()[0].nickname.as_deref(), Some("Work"));
    // Only what was asked for.
    let request = ProfileInfoListRequest {
        search: Some(ProfileSearch::Iccid(metadata(1).iccid)),
        tag_list: Some(std::vec![0x9F, 0x70, 0xB6]),
    };
    let ProfileInfoListResponse::Ok(list) = host.call(&request) else {
        panic!()
    };
    assert_eq!(
        (list[0].iccid, list[0].state),
        (None, Some(ProfileState::Disabled))
    );
    assert_eq!(list[0].notifications.len(), 2);
    // Unknown functions and broken requests.
    assert_eq!(host.es10(&raw(0xBF47, &[])), Err(0x6A88));
    assert_eq!(host.es10(&[0xBF]), Err(0x6A80));
    assert_eq!(host.es10(&raw(0xBF31, &[1, 2, 3])), Err(0x6A80));
    assert_eq!(host.es10(&raw(0xBF36, &[])), Err(0x6985));
}
