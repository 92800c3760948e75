//! Given a card that takes test profiles, when one is enabled, disabled or deleted, then the profile
//! whose place it took comes back, whatever its policy rules say: SGP.21 TPRO1 to TPRO10.
use super::host::*;
use aid_rsp::es10::*;
use aid_rsp::saip::builder::{Algorithm, ProfileBuilder};
use std::vec::Vec;

fn class(n: u8, profile_class: ProfileClass) -> StoreMetadataRequest {
    StoreMetadataRequest {
        profile_class,
        ..metadata(n)
    }
}

fn load(host: &mut Host, metadata: &StoreMetadataRequest, upp: &[u8]) {
    let result = host.download(metadata, upp, &Tamper::default());
    assert!(
        matches!(result, Ok(Some(FinalResult::Success { .. }))),
        "{result:?}"
    );
}

/// Profiles 1 and 2 operational, 3 and 4 test; 1 is enabled, with PPR1.
fn host() -> Host {
    let mut host = Host::new();
    host.card.options.test_profiles = true;
    let ruled = StoreMetadataRequest {
        policy_rules: Some(ppr::PPR1),
        ..metadata(1)
    };
    load(&mut host, &ruled, &package(1));
    host.install(2);
    load(&mut host, &class(3, ProfileClass::Test), &package(3));
    load(&mut host, &class(4, ProfileClass::Test), &package(4));
    assert_eq!(host.enable(1), EnableResult::Ok);
    host
}

fn enabled(host: &mut Host) -> Option<u8> {
    let on = |p: &ProfileInfo| p.state == Some(ProfileState::Enabled);
    let iccid = host.profiles().into_iter().find(on)?.iccid?;
    (1..9).find(|n| metadata(*n).iccid == iccid)
}

#[test]
fn a_test_profile_takes_a_place_and_gives_it_back() {
    let mut host = host();
    let info: EuiccInfo2 = host.call(&GetEuiccInfo2Request);
    assert_ne!(
        info.rsp_capability & rsp_capability::TEST_PROFILE_SUPPORT,
        0
    );
    // PPR1 of the enabled profile holds against others, not against a test profile.
    assert_eq!(host.enable(2), EnableResult::DisallowedByPolicy);
    assert_eq!(host.enable(3), EnableResult::Ok);
    assert_eq!(enabled(&mut host), Some(3));
    // Another test profile may follow; of the operational ones only the one that was there.
    assert_eq!(host.enable(4), EnableResult::Ok);
    assert_eq!(host.enable(2), EnableResult::WrongProfileReenabling);
    // It is remembered over a restart.
    let mut host = Host::with(host.card.nvm().clone());
    assert_eq!(host.disable(4), DisableResult::Ok);
    assert_eq!(enabled(&mut host), Some(1));
    assert_eq!(host.enable(3), EnableResult::Ok);
    assert_eq!(host.enable(1), EnableResult::Ok);
    assert_eq!(enabled(&mut host), Some(1));
    assert_eq!(host.disable(1), DisableResult::DisallowedByPolicy);
}

#[test]
fn without_a_predecessor_any_profile_may_follow() {
    let mut host = Host::new();
    host.card.options.test_profiles = true;
    load(&mut host, &class(3, ProfileClass::Test), &package(3));
    host.install(2);
    assert_eq!(host.enable(3), EnableResult::Ok);
    assert_eq!(host.enable(2), EnableResult::Ok);
    assert_eq!(host.enable(3), EnableResult::Ok);
    // Deleting the predecessor leaves nothing to come back.
    assert_eq!(host.delete(2), DeleteResult::Ok);
    assert_eq!(host.disable(3), DisableResult::Ok);
    assert_eq!(enabled(&mut host), None);
}

fn reset(host: &mut Host, options: u32) -> ResetResult {
    let request = EuiccMemoryResetRequest { options };
    host.call::<_, EuiccMemoryResetResponse>(&request).result
}

#[test]
fn memory_reset_deletes_what_its_options_name() {
    use reset_options as o;
    let left = |host: &mut Host| -> Vec<u8> {
        let profiles = host.profiles();
        let iccids: Vec<_> = profiles.iter().filter_map(|p| p.iccid).collect();
        (1..9)
            .filter(|n| iccids.contains(&metadata(*n).iccid))
            .collect()
    };
    let address = |host: &mut Host| {
        let answer: EuiccConfiguredAddressesResponse = host.call(&EuiccConfiguredAddressesRequest);
        answer.default_dp_address
    };
    let all = o::DELETE_OPERATIONAL_PROFILES
        | o::DELETE_FIELD_LOADED_TEST_PROFILES
        | o::RESET_DEFAULT_SMDP_ADDRESS;
    let table: [(u32, &[u8], bool); 5] = [
        (o::DELETE_OPERATIONAL_PROFILES, &[3, 4, 5], true),
        (o::DELETE_FIELD_LOADED_TEST_PROFILES, &[1, 2, 5], true),
        (o::RESET_DEFAULT_SMDP_ADDRESS, &[1, 2, 3, 4, 5], false),
        (all, &[5], false),
        (
            o::DELETE_OPERATIONAL_PROFILES | o::RESET_DEFAULT_SMDP_ADDRESS,
            &[3, 4, 5],
            false,
        ),
    ];
    for (options, expected, kept) in table {
        let mut host = host();
        // A provisioning profile is nobody's to reset.
        load(
            &mut host,
            &class(5, ProfileClass::Provisioning),
            &package(5),
        );
        let set = SetDefaultDpAddressRequest {
            address: "dp.example.com".into(),
        };
        let _: SetDefaultDpAddressResponse = host.call(&set);
        assert_eq!(host.enable(3), EnableResult::Ok);
        assert_eq!(reset(&mut host, options), ResetResult::Ok);
        assert_eq!(left(&mut host), expected, "{options:08x}");
        assert_eq!(address(&mut host).is_some(), kept);
        // When the enabled test profile goes, its predecessor comes back if it is still there.
        let back = match expected {
            [1, ..] if !expected.contains(&3) => Some(1),
            _ if expected.contains(&3) => Some(3),
            _ => None,
        };
        assert_eq!(enabled(&mut host), back, "{options:08x}");
        let mut host = Host::with(host.card.nvm().clone());
        assert_eq!(left(&mut host), expected);
        assert_eq!(enabled(&mut host), back);
    }
}

#[test]
fn only_keys_that_everybody_knows_are_test_keys() {
    let upp = |algorithm| {
        ProfileBuilder::new(iccid_digits(1), imsi(1), algorithm)
            .build()
            .unwrap()
    };
    let milenage = |k| Algorithm::Milenage { k, opc: [1; 16] };
    let published = core::array::from_fn(|i| (i * 0x11) as u8);
    let counted = core::array::from_fn(|i| i as u8);
    let secret: [u8; 16] = core::array::from_fn(|i| (i * i) as u8 + 3);
    for (algorithm, taken) in [
        (milenage([0; 16]), true),
        (
            milenage(core::array::from_fn(|i| if i == 0 { 7 } else { 0 })),
            true,
        ),
        (
            milenage(core::array::from_fn(|i| if i == 1 { 7 } else { 0 })),
            false,
        ),
        (milenage(published), true),
        (milenage(counted), true),
        (milenage(secret), false),
        (Algorithm::UsimTest { k: secret }, true),
    ] {
        let mut host = Host::new();
        host.card.options.test_profiles = true;
        let result = host.download(
            &class(1, ProfileClass::Test),
            &upp(algorithm),
            &Tamper::default(),
        );
        let success = matches!(result, Ok(Some(FinalResult::Success { .. })));
        assert_eq!(success, taken, "{result:?}");
    }
}
