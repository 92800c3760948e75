//! Given a function that changes the card, when power goes at any write, then the card has its old
//! state or its new one, and works.
use super::host::*;
use crate::nvm::{Cut, Memory};
use aid_rsp::es10::*;
use aid_rsp::pki::CrlParams;
use std::string::String;
use std::vec::Vec;

/// What a host can see: profiles, free memory and address; and how many notifications wait.
type View = ((Vec<ProfileInfo>, Vec<u8>, Option<String>), usize);

fn view(host: &mut Host) -> View {
    let info: EuiccInfo2 = host.call(&GetEuiccInfo2Request);
    let addresses: EuiccConfiguredAddressesResponse = host.call(&EuiccConfiguredAddressesRequest);
    let seen = (
        host.profiles(),
        info.ext_card_resource,
        addresses.default_dp_address,
    );
    (seen, host.notifications().len())
}

fn cut_everywhere(name: &str, prepare: &dyn Fn(&mut Host), act: &dyn Fn(&mut Host)) {
    let mut host = Host::new();
    prepare(&mut host);
    let start: Memory = host.card.nvm().clone();
    let old = view(&mut Host::with(start.clone()));
    act(&mut host);
    let new = view(&mut host);
    assert_ne!(old, new, "{name}");
    let writes = host.card.nvm().commits() - start.commits();
    assert!(writes > 0);
    for n in 0..writes {
        for cut in [Cut::Before, Cut::After] {
            let mut host = Host::with(start.clone());
            host.card.nvm().cut_at(n, cut);
            // The host sees an error, or that the card is gone.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| act(&mut host)));
            assert!(host.card.nvm().is_off());
            // The card in which the write failed does not pretend.
            assert_eq!(
                host.card.transmit(&[0, 0xA4, 0, 0x0C, 2, 0x3F, 0]),
                [0x6F, 0]
            );
            let mut host = Host::with(host.card.into_nvm().power_on());
            let got = view(&mut host);
            assert!(
                got == old || got == new,
                "{name}, write {n}, {cut:?}: {got:?}"
            );
            if n + 1 == writes {
                assert_eq!(got == new, cut == Cut::After, "{name}");
            }
            // Done again it ends in the new state (an install that was done is refused).
            if got == old {
                act(&mut host);
                assert_eq!(view(&mut host).0, new.0, "{name}");
            }
        }
    }
}

#[test]
fn install_enable_disable_delete_are_atomic() {
    let nothing = &|_: &mut Host| {};
    let one = &|h: &mut Host| h.install(1);
    let enabled = &|h: &mut Host| {
        h.install(1);
        h.install(2);
        h.enable(1);
    };
    cut_everywhere("install", nothing, &|h| h.install(1));
    cut_everywhere("enable", one, &|h| {
        h.enable(1);
    });
    cut_everywhere("switch", enabled, &|h| {
        h.enable(2);
    });
    cut_everywhere("disable", enabled, &|h| {
        h.disable(1);
    });
    cut_everywhere("delete", one, &|h| {
        h.delete(1);
    });
    cut_everywhere("reset", enabled, &|h| {
        let _ = h.es10(&raw(0xBF34, &[0x82, 2, 5, 0xE0]));
    });
    cut_everywhere("remove a notification", one, &|h| {
        let _ = h.es10(&raw(0xBF30, &[0x80, 1, 1]));
    });
}

#[test]
fn names_addresses_lists_and_metadata_are_atomic() {
    let one = &|h: &mut Host| h.install(1);
    let enabled = &|h: &mut Host| {
        h.install(1);
        h.enable(1);
    };
    cut_everywhere("nickname", one, &|h| {
        let request = SetNicknameRequest {
            iccid: metadata(1).iccid,
            nickname: "Work".into(),
        };
        let _ = h.es10(&request.to_vec());
    });
    cut_everywhere("address", &|_| {}, &|h| {
        let address = "dp.example.com".into();
        let _ = h.es10(&SetDefaultDpAddressRequest { address }.to_vec());
    });
    cut_everywhere("revocation list", &|_| {}, &|h| {
        let params = CrlParams {
            number: 1,
            base: None,
            part: None,
            this_update: 1_800_000_000,
            entries: &[],
        };
        let crl = h.server.ci.revocation_list(&params, &h.crypto).unwrap();
        let _ = h.es10(&LoadCrlRequest::from_der(&crl).unwrap().to_vec());
    });
    cut_everywhere("metadata", enabled, &|h| {
        let request = UpdateMetadataRequest {
            profile_name: Some("Renamed".into()),
            ..UpdateMetadataRequest::default()
        };
        let _ = h.card.update_metadata(&request.to_vec());
    });
}

#[test]
fn switching_to_a_test_profile_and_back_is_atomic() {
    let with_test = &|h: &mut Host| {
        h.card.options.test_profiles = true;
        h.install(1);
        let m = StoreMetadataRequest {
            profile_class: ProfileClass::Test,
            ..metadata(2)
        };
        let result = h.download(&m, &package(2), &Tamper::default());
        assert!(matches!(result, Ok(Some(FinalResult::Success { .. }))));
        h.enable(1);
    };
    cut_everywhere("to test", with_test, &|h| {
        h.enable(2);
    });
    let testing = &|h: &mut Host| {
        with_test(h);
        h.enable(2);
    };
    cut_everywhere("back", testing, &|h| {
        h.disable(2);
    });
    cut_everywhere("reset of test profiles", testing, &|h| {
        let options = reset_options::DELETE_FIELD_LOADED_TEST_PROFILES;
        let _ = h.es10(&EuiccMemoryResetRequest { options }.to_vec());
    });
}

#[test]
fn an_interruption_is_reported_or_never_was() {
    cut_everywhere("interruption", &|_| {}, &|h| {
        let tamper = Tamper::default();
        let AuthenticateServerResponse::Ok(ok) = h.authenticate(&tamper) else {
            panic!()
        };
        let prepared = h.prepare(&ok, &tamper);
        let pieces = h.bpp(&prepared, &metadata(1), &package(1), &tamper);
        let _ = h.load(&pieces[..5]);
        let _ = h.es10(&GetEuiccInfo1Request.to_vec());
    });
}

#[test]
fn a_failed_installation_result_is_atomic_too() {
    let wrong: StoreMetadataRequest = metadata(3);
    cut_everywhere("refused package", &|_| {}, &|h| {
        let _ = h.download(&wrong, &package(2), &Tamper::default());
    });
}

#[test]
fn a_change_of_the_profile_is_old_or_new() {
    for cut in [Cut::Before, Cut::After] {
        let mut host = Host::new();
        host.install(1);
        host.enable(1);
        host.expect("00a4040c0c a0000000871002ff49ff0589", "9000");
        host.expect("00d68b000b 1111111111111111111111", "9000");
        host.card.nvm().cut_at(0, cut);
        host.expect("00d68b000b 2222222222222222222222", "6581");
        let mut host = Host::with(host.card.into_nvm().power_on());
        host.expect("00a4040c0c a0000000871002ff49ff0589", "9000");
        let digit = if cut == Cut::Before { "1" } else { "2" };
        host.expect("00b08b0000", &std::format!("{}9000", digit.repeat(22)));
    }
}
