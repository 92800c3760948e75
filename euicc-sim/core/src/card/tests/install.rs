//! Given an authenticated SM-DP+, when a package comes, then it is installed whole or refused with
//! the code of SGP.22, and nothing is left behind.
use super::host::*;
use crate::card::Options;
use aid_rsp::es10::*;
use aid_rsp::saip::builder::{Algorithm, ProfileBuilder};
use std::vec::Vec;

fn failure(result: Result<Option<FinalResult>, u16>) -> (BppCommandId, ErrorReason) {
    match result {
        Ok(Some(FinalResult::Error {
            command, reason, ..
        })) => (command, reason),
        other => panic!("{other:?}"),
    }
}

// R-4.3-10
#[test]
fn a_download_ends_in_a_profile_and_its_notifications() {
    let mut host = Host::new();
    let before = host.crypto.shared_stats().counts();
    host.install(1);
    // The card verifies 5 (two certificates, three signatures) and signs 3; the host verifies the
    // card's 3 and signs 3. Each certificate once.
    let spent = host.crypto.shared_stats().counts().since(before);
    assert_eq!(
        (spent.sign, spent.verify, spent.ecdh, spent.keygen),
        (6, 8, 2, 2)
    );
    let info = host.profiles();
    assert_eq!(info.len(), 1);
    assert_eq!(info[0].iccid, Some(metadata(1).iccid));
    assert_eq!(info[0].state, Some(ProfileState::Disabled));
    assert_eq!(info[0].profile_name.as_deref(), Some("Profile 1"));
    assert_eq!(
        info[0].isdp_aid.as_deref().map(hex::encode).as_deref(),
        Some("a0000005591010ffffffff8900001000")
    );
    let notes = host.notifications();
    assert_eq!(notes.len(), 1);
    assert_eq!(
        (notes[0].seq_number, notes[0].event),
        (1, NotificationEvent::Install)
    );
    assert_eq!(notes[0].address, "smdp.example.com");
}

#[test]
fn a_download_takes_few_apdus() {
    let mut host = Host::new();
    host.install(1);
    // Without LPA overhead such as GetEUICCInfo: the whole must stay below 74.
    std::eprintln!("{} APDUs", host.apdus);
    assert!(host.apdus <= 50, "{} APDUs", host.apdus);
}

#[test]
fn ts48_packages_download_and_enable() {
    let Some(dir) = aid_needs::shared("data/ts48-v7") else {
        return;
    };
    let dir = std::fs::read_dir(dir).unwrap();
    for file in dir
        .flatten()
        .filter(|f| f.path().extension().is_some_and(|e| e == "der"))
    {
        let upp = std::fs::read(file.path()).unwrap();
        let header = aid_rsp::saip::ProfileHeader::of_package(&upp).unwrap();
        let mut m = metadata(1);
        m.iccid = header.iccid_swapped();
        let mut host = Host::new();
        let result = host.download(&m, &upp, &Tamper::default());
        assert!(
            matches!(result, Ok(Some(FinalResult::Success { .. }))),
            "{file:?} {result:?}"
        );
        let request = EnableProfileRequest {
            profile: ProfileIdentifier::Iccid(m.iccid),
            refresh: true,
        };
        assert_eq!(
            host.call::<_, EnableProfileResponse>(&request).result,
            EnableResult::Ok
        );
        assert_eq!(
            host.card.store.image.imsi().as_deref(),
            Some("001010123456789")
        );
    }
}

// R-3.2-5
#[test]
fn a_bad_package_leaves_a_signed_reason_and_nothing_else() {
    use {BppCommandId as C, ErrorReason as R};
    let mut host = Host::new();
    host.install(1);
    let mut refused = |n: u8, m: &StoreMetadataRequest, upp: &[u8], tamper: &Tamper<'_>| {
        let got = failure(host.download(m, upp, tamper));
        assert_eq!(host.profiles().len(), 1);
        assert_eq!(
            host.card.store.nvm.records().len(),
            3 + 1 + usize::from(n),
            "records"
        );
        // The session is over: more pieces are refused.
        assert_eq!(host.es10(&[0x86, 0]), Err(0x6A88));
        got
    };
    let good = (metadata(2), package(2));
    let none = Tamper::default();
    let unsigned = |f| Tamper {
        unsigned: Some(f),
        ..Tamper::default()
    };
    let pieces = |f| Tamper {
        segments: Some(f),
        ..Tamper::default()
    };
    let t = Tamper {
        initialise: Some(&|i| i.smdp_sign = [1; 64].into()),
        ..Tamper::default()
    };
    assert_eq!(
        refused(1, &good.0, &good.1, &t),
        (C::InitialiseSecureChannel, R::InvalidSignature)
    );
    let t = unsigned(&|i| i.transaction_id = TransactionId::new(&[1]).unwrap());
    assert_eq!(
        refused(2, &good.0, &good.1, &t),
        (C::InitialiseSecureChannel, R::InvalidTransactionId)
    );
    let t = unsigned(&|i| i.control_ref_template.key_type = 0x80);
    assert_eq!(
        refused(3, &good.0, &good.1, &t),
        (C::InitialiseSecureChannel, R::UnsupportedCrtValues)
    );
    let t = unsigned(&|i| i.remote_op_id = 2);
    assert_eq!(
        refused(4, &good.0, &good.1, &t),
        (
            C::InitialiseSecureChannel,
            R::UnsupportedRemoteOperationType
        )
    );
    // Altered bytes: in ConfigureISDP, StoreMetadata, profile elements.
    let t = pieces(&|p| *p[1].last_mut().unwrap() ^= 1);
    assert_eq!(
        refused(5, &good.0, &good.1, &t),
        (C::ConfigureIsdp, R::Scp03tSecurityError)
    );
    let t = pieces(&|p| p[3][9] ^= 1);
    assert_eq!(
        refused(6, &good.0, &good.1, &t),
        (C::StoreMetadata, R::Scp03tSecurityError)
    );
    let t = pieces(&|p| *p.last_mut().unwrap().last_mut().unwrap() ^= 1);
    assert_eq!(
        refused(7, &good.0, &good.1, &t),
        (C::LoadProfileElements, R::Scp03tSecurityError)
    );
    let t = pieces(&|p| p.last_mut().unwrap()[0] = 0x87);
    assert_eq!(
        refused(8, &good.0, &good.1, &t),
        (C::LoadProfileElements, R::Scp03tStructureError)
    );
    // Content.
    assert_eq!(
        refused(9, &metadata(1), &package(1), &none),
        (C::StoreMetadata, R::IccidAlreadyExists)
    );
    assert_eq!(
        refused(10, &metadata(3), &package(2), &none),
        (C::LoadProfileElements, R::DataMismatch)
    );
    let mut m = metadata(2);
    m.profile_class = ProfileClass::Test;
    assert_eq!(
        refused(11, &m, &package(2), &none),
        (C::StoreMetadata, R::UnsupportedProfileClass)
    );
    let mut m = metadata(2);
    m.policy_rules = Some(ppr::PPR1);
    assert_eq!(
        refused(12, &m, &package(2), &none),
        (C::StoreMetadata, R::PprNotAllowed)
    );
    assert_eq!(
        refused(13, &good.0, b"\xA0\x03\x80\x01\x02", &none),
        (C::LoadProfileElements, R::PeProcessingError)
    );
    let cut = package(2);
    assert_eq!(
        refused(14, &good.0, &cut[..cut.len() - 9], &none),
        (C::LoadProfileElements, R::PeProcessingError)
    );
    host.install(2);
    assert_eq!(host.profiles().len(), 2);
}

/// Every BppCommandId: what is wrong is found where it is, also in metadata of two segments.
// R-1.4-1
#[test]
fn every_command_of_a_package_is_named() {
    use BppCommandId as C;
    let at = |n: usize| {
        let mut host = Host::new();
        let alter = move |pieces: &mut Pieces| {
            if let Some(byte) = pieces[n].last_mut() {
                *byte ^= 1;
            }
        };
        let tamper = Tamper {
            segments: Some(&alter),
            own_keys: true,
            ..Tamper::default()
        };
        // The metadata comes in two segments then.
        failure(host.download(&metadata(1), &package(1), &tamper)).0
    };
    let found: Vec<_> = [0, 1, 3, 4, 5, 7].map(at).into();
    assert_eq!(found, C::ALL);
    assert_eq!(
        found,
        [
            C::InitialiseSecureChannel,
            C::ConfigureIsdp,
            C::StoreMetadata,
            C::StoreMetadata2,
            C::ReplaceSessionKeys,
            C::LoadProfileElements
        ]
    );
}

/// Why nothing is installed when the memory fails: PEStatus has a name for it.
#[test]
fn a_memory_that_fails_is_a_pe_status() {
    let mut host = Host::new();
    // The first write keeps the one-time key, the second would be the profile.
    host.card.nvm().refuse_commit(1);
    let result = host.download(&metadata(1), &package(1), &Tamper::default());
    let Ok(Some(FinalResult::Error {
        command,
        reason,
        sima_response,
    })) = result
    else {
        panic!("{result:?}")
    };
    assert_eq!(command, BppCommandId::LoadProfileElements);
    assert_eq!(reason, ErrorReason::PeProcessingError);
    // EUICCResponse: peStatus memory-failure(2), profileInstallationAborted.
    let expected = hex::decode("3009a0053003800102 8100".replace(' ', "")).unwrap();
    assert_eq!(sima_response, Some(expected));
}

#[test]
fn a_full_card_refuses_and_says_so() {
    let mut host = Host::new();
    host.card.options = Options {
        memory: 6000,
        ..Options::default()
    };
    let mut n = 0;
    let got = loop {
        n += 1;
        let result = host.download(&metadata(n), &package(n), &Tamper::default());
        match result {
            Ok(Some(FinalResult::Success { .. })) if n < 20 => {}
            other => break failure(other),
        }
    };
    assert_eq!(
        got,
        (
            BppCommandId::LoadProfileElements,
            ErrorReason::InsufficientMemory
        )
    );
    assert!(n > 1);
    assert_eq!(host.delete(1), DeleteResult::Ok);
    host.install(n);
}

#[test]
fn a_package_that_was_cut_off_can_be_bound_to_the_same_key_again() {
    let mut host = Host::new();
    let tamper = Tamper::default();
    let AuthenticateServerResponse::Ok(ok) = host.authenticate(&tamper) else {
        panic!()
    };
    let prepared = host.prepare(&ok, &tamper);
    let pieces = host.bpp(&prepared, &metadata(1), &package(1), &tamper);
    assert_eq!(host.load(&pieces[..5]), Ok(None));
    let otpk = host.otpk.clone();
    let mut host = Host::with(host.card.nvm().clone());
    assert_eq!(host.profiles(), []);
    let tamper = Tamper {
        bpp_euicc_otpk: Some(otpk.clone()),
        ..Tamper::default()
    };
    assert!(matches!(
        host.download(&metadata(1), &package(1), &tamper),
        Ok(Some(FinalResult::Success { .. }))
    ));
    assert_eq!(host.otpk, otpk);
    // The key is used up.
    let _ = host.download(&metadata(2), &package(2), &tamper);
    assert_ne!(host.otpk, otpk);
}

#[test]
fn a_package_with_keys_of_its_own_installs() {
    let mut host = Host::new();
    let tamper = Tamper {
        own_keys: true,
        ..Tamper::default()
    };
    let result = host.download(&metadata(1), &package(1), &tamper);
    assert!(matches!(result, Ok(Some(FinalResult::Success { .. }))));
    let altered = Tamper {
        own_keys: true,
        segments: Some(&|p| p[5][9] ^= 1),
        ..Tamper::default()
    };
    let result = host.download(&metadata(2), &package(2), &altered);
    let expected = (
        BppCommandId::ReplaceSessionKeys,
        ErrorReason::Scp03tSecurityError,
    );
    assert_eq!(failure(result), expected);
    assert_eq!(host.profiles().len(), 1);
}

/// A session whose package is ready to be sent.
fn ready(host: &mut Host) -> (TransactionId, Pieces) {
    let tamper = Tamper::default();
    let AuthenticateServerResponse::Ok(ok) = host.authenticate(&tamper) else {
        panic!()
    };
    let prepared = host.prepare(&ok, &tamper);
    let pieces = host.bpp(&prepared, &metadata(1), &package(1), &tamper);
    (ok.euicc_signed1.value().transaction_id, pieces)
}

#[test]
fn a_package_that_the_lpa_cancels_leaves_nothing() {
    let mut host = Host::new();
    let (transaction_id, pieces) = ready(&mut host);
    assert_eq!(host.load(&pieces[..4]), Ok(None));
    let request = CancelSessionRequest {
        transaction_id,
        reason: CancelSessionReason::LoadBppExecutionError,
    };
    let cancelled: CancelSessionResponse = host.call(&request);
    assert!(matches!(cancelled, CancelSessionResponse::Ok { .. }));
    assert_eq!(host.es10(&pieces[4]), Err(0x6A88));
    assert_eq!(host.profiles(), []);
    assert_eq!(host.notifications(), []);
}

/// The reason in the only notification that waits.
fn reported(host: &mut Host) -> (BppCommandId, ErrorReason) {
    let all = RetrieveNotificationsListRequest::default();
    let RetrieveNotificationsListResponse::Ok(list) = host.call(&all) else {
        panic!()
    };
    let [PendingNotification::Installation(result)] = &list[..] else {
        panic!("{list:?}")
    };
    failure(Ok(Some(result.data.value().result.clone())))
}

#[test]
fn an_interrupted_package_is_reported_and_leaves_nothing_else() {
    use {BppCommandId as C, ErrorReason as R};
    // Another function in the middle, a new package in the middle, a reset.
    let again = |host: &mut Host, pieces: &Pieces| {
        assert_eq!(host.es10(&pieces[0]), Err(0x6985));
    };
    let reset = |host: &mut Host, _: &Pieces| {
        host.card.reset();
        host.open_isdr();
    };
    let other = |host: &mut Host, _: &Pieces| assert_eq!(host.profiles(), []);
    for (count, command) in [
        (2, C::ConfigureIsdp),
        (4, C::StoreMetadata),
        (5, C::LoadProfileElements),
    ] {
        for act in [&other as &dyn Fn(&mut Host, &Pieces), &again, &reset] {
            let mut host = Host::new();
            let (_, pieces) = ready(&mut host);
            assert_eq!(host.load(&pieces[..count]), Ok(None));
            act(&mut host, &pieces);
            assert_eq!(reported(&mut host), (command, R::Interruption), "{count}");
            assert_eq!(host.profiles(), []);
            assert!(host.es10(&pieces[count]).is_err());
            // The session is over.
            assert_eq!(host.es10(&pieces[0]), Err(0x6985));
            host.install(1);
        }
    }
    // Before the secure channel there is nothing to interrupt: the session goes on.
    let mut host = Host::new();
    let (_, pieces) = ready(&mut host);
    assert_eq!(host.load(&[pieces[0][..5].to_vec()]), Ok(None));
    assert_eq!(host.profiles(), []);
    assert!(matches!(
        host.load(&pieces),
        Ok(Some(FinalResult::Success { .. }))
    ));
}

#[test]
fn pieces_of_any_size_install_the_same() {
    for size in [2, 5, 7, 255, 300, 1000] {
        let mut host = Host::new();
        let tamper = Tamper::default();
        let AuthenticateServerResponse::Ok(ok) = host.authenticate(&tamper) else {
            panic!()
        };
        let prepared = host.prepare(&ok, &tamper);
        let bpp = host
            .bpp(&prepared, &metadata(1), &package(1), &tamper)
            .concat();
        let pieces: Vec<Vec<u8>> = bpp.chunks(size).map(<[u8]>::to_vec).collect();
        let result = host.load(&pieces);
        assert!(
            matches!(result, Ok(Some(FinalResult::Success { .. }))),
            "{size}: {result:?}"
        );
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]

    // R-3.2-5
    #[test]
    fn one_altered_byte_anywhere_installs_nothing(
        piece: proptest::sample::Index, at: proptest::sample::Index, flip in 1u8..,
    ) {
        let mut host = Host::new();
        let alter = |pieces: &mut Pieces| {
            let piece = piece.get_mut(pieces);
            *at.get_mut(piece) ^= flip;
        };
        let tamper = Tamper {
            segments: Some(&alter),
            ..Tamper::default()
        };
        let result = host.download(&metadata(1), &package(1), &tamper);
        let success = matches!(result, Ok(Some(FinalResult::Success { .. })));
        proptest::prop_assert!(!success);
        proptest::prop_assert_eq!(host.profiles(), []);
        host.install(1);
    }
}

// R-1.4-1
#[test]
fn iccids_of_18_and_19_digits_are_iccids() {
    for (digits, swapped) in [
        ("898812345678901234", "988821436587092143ff"),
        ("8988123456789012345", "988821436587092143f5"),
    ] {
        let algorithm = Algorithm::Milenage {
            k: [1; 16],
            opc: [2; 16],
        };
        let upp = ProfileBuilder::new(digits, imsi(1), algorithm)
            .build()
            .unwrap();
        let mut m = metadata(1);
        m.iccid = hex::decode(swapped).unwrap().try_into().unwrap();
        let mut host = Host::new();
        let result = host.download(&m, &upp, &Tamper::default());
        assert!(
            matches!(result, Ok(Some(FinalResult::Success { .. }))),
            "{result:?}"
        );
        let profile = ProfileIdentifier::Iccid(m.iccid);
        let request = EnableProfileRequest {
            profile,
            refresh: true,
        };
        let response: EnableProfileResponse = host.call(&request);
        assert_eq!(response.result, EnableResult::Ok);
        host.expect("00a4000c022fe2", "9000");
        host.expect("00b0000000", &std::format!("{swapped}9000"));
    }
}

#[test]
fn notifications_and_their_numbers_outlive_a_memory_reset() {
    let mut host = Host::new();
    host.install(1);
    let options = reset_options::DELETE_OPERATIONAL_PROFILES;
    let response: EuiccMemoryResetResponse = host.call(&EuiccMemoryResetRequest { options });
    assert_eq!(response.result, ResetResult::Ok);
    let mut host = Host::with(host.card.nvm().clone());
    host.card.reset();
    host.open_isdr();
    host.install(2);
    let numbers: Vec<_> = host
        .notifications()
        .iter()
        .map(|n| (n.seq_number, n.event))
        .collect();
    use NotificationEvent as E;
    assert_eq!(numbers, [(1, E::Install), (2, E::Delete), (3, E::Install)]);
}
