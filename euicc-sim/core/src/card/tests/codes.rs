//! Given each function of ES10a, ES10b and ES10c, when it goes wrong in each way that SGP.22 knows,
//! then the answer is the code for that way: one table per function, every code once.
use super::host::*;
use crate::nvm::{Durability, Key, Nvm, Write};
use aid_rsp::es10::*;
use core::fmt::Debug;

/// Produces a code on a new card.
pub(super) type Row<'a, T> = (T, &'a dyn Fn(&mut Host) -> T);

pub(super) fn check<T: PartialEq + Debug + Copy>(all: &[T], table: &[Row<'_, T>]) {
    for code in all {
        let rows = table.iter().filter(|(c, _)| c == code).count();
        assert!(rows > 0, "nothing produces {code:?}");
    }
    for (code, produce) in table {
        assert_eq!(produce(&mut Host::new()), *code);
    }
}

/// A card with profiles 1 (enabled) and 2, with a policy rule on the enabled one.
fn two(host: &mut Host, rules: u32) {
    let m = StoreMetadataRequest {
        policy_rules: Some(rules).filter(|r| *r != 0),
        ..metadata(1)
    };
    let result = host.download(&m, &package(1), &Tamper::default());
    assert!(
        matches!(result, Ok(Some(FinalResult::Success { .. }))),
        "{result:?}"
    );
    host.install(2);
    assert_eq!(host.enable(1), EnableResult::Ok);
}

/// A proactive session is going on: a terminal with a toolkit was offered REFRESH.
fn busy(host: &mut Host) {
    two(host, 0);
    host.expect("8010000003 010080", "9000");
    assert_eq!(host.enable(2), EnableResult::Ok);
}

// R-1.4-1
#[test]
fn every_code_of_enable_profile_is_there() {
    use EnableResult as Code;
    check(
        Code::ALL,
        &[
            (Code::Ok, &|h| {
                two(h, 0);
                h.enable(2)
            }),
            (Code::NotFound, &|h| h.enable(1)),
            (Code::NotInDisabledState, &|h| {
                two(h, 0);
                h.enable(1)
            }),
            (Code::DisallowedByPolicy, &|h| {
                two(h, ppr::PPR1);
                h.enable(2)
            }),
            (Code::WrongProfileReenabling, &|h| {
                h.card.options.test_profiles = true;
                two(h, 0);
                let m = StoreMetadataRequest {
                    profile_class: ProfileClass::Test,
                    ..metadata(3)
                };
                let result = h.download(&m, &package(3), &Tamper::default());
                assert!(
                    matches!(result, Ok(Some(FinalResult::Success { .. }))),
                    "{result:?}"
                );
                assert_eq!(h.enable(3), Code::Ok);
                h.enable(2)
            }),
            (Code::CatBusy, &|h| {
                busy(h);
                h.enable(2)
            }),
            (Code::UndefinedError, &|h| {
                two(h, 0);
                h.card.nvm().refuse_commit(0);
                h.enable(2)
            }),
        ],
    );
}

#[test]
fn every_code_of_disable_profile_is_there() {
    use DisableResult as Code;
    check(
        Code::ALL,
        &[
            (Code::Ok, &|h| {
                two(h, 0);
                h.disable(1)
            }),
            (Code::NotFound, &|h| h.disable(1)),
            (Code::NotInEnabledState, &|h| {
                two(h, 0);
                h.disable(2)
            }),
            (Code::DisallowedByPolicy, &|h| {
                two(h, ppr::PPR1);
                h.disable(1)
            }),
            (Code::CatBusy, &|h| {
                busy(h);
                h.disable(1)
            }),
            (Code::UndefinedError, &|h| {
                two(h, 0);
                h.card.nvm().refuse_commit(0);
                h.disable(1)
            }),
        ],
    );
}

// R-1.4-1, R-4.4.1-10, R-4.5-5
#[test]
fn every_code_of_delete_profile_is_there() {
    use DeleteResult as Code;
    check(
        Code::ALL,
        &[
            (Code::Ok, &|h| {
                two(h, 0);
                h.delete(2)
            }),
            (Code::NotFound, &|h| h.delete(1)),
            (Code::NotInDisabledState, &|h| {
                two(h, 0);
                h.delete(1)
            }),
            (Code::DisallowedByPolicy, &|h| {
                two(h, ppr::PPR2);
                assert_eq!(h.disable(1), DisableResult::Ok);
                h.delete(1)
            }),
            (Code::UndefinedError, &|h| {
                two(h, 0);
                h.card.nvm().refuse_commit(0);
                h.delete(2)
            }),
        ],
    );
}

fn reset(host: &mut Host, options: u32) -> ResetResult {
    let request = EuiccMemoryResetRequest { options };
    host.call::<_, EuiccMemoryResetResponse>(&request).result
}

#[test]
fn every_code_of_memory_reset_is_there() {
    use ResetResult as Code;
    const ALL: u32 = reset_options::DELETE_OPERATIONAL_PROFILES
        | reset_options::DELETE_FIELD_LOADED_TEST_PROFILES
        | reset_options::RESET_DEFAULT_SMDP_ADDRESS;
    check(
        Code::ALL,
        &[
            (Code::Ok, &|h| {
                two(h, ppr::PPR1 | ppr::PPR2);
                reset(h, ALL)
            }),
            (Code::NothingToDelete, &|h| reset(h, ALL)),
            (Code::NothingToDelete, &|h| {
                two(h, 0);
                reset(h, reset_options::DELETE_FIELD_LOADED_TEST_PROFILES)
            }),
            (Code::NothingToDelete, &|h| {
                two(h, 0);
                reset(h, 0)
            }),
            (Code::CatBusy, &|h| {
                busy(h);
                reset(h, ALL)
            }),
            (Code::UndefinedError, &|h| {
                two(h, 0);
                h.card.nvm().refuse_commit(0);
                reset(h, ALL)
            }),
        ],
    );
}

fn nickname(host: &mut Host, n: u8) -> SetNicknameResult {
    let request = SetNicknameRequest {
        iccid: metadata(n).iccid,
        nickname: "Work".into(),
    };
    host.call::<_, SetNicknameResponse>(&request).result
}

fn set_address(host: &mut Host, address: &str) -> SetDefaultDpAddressResult {
    let request = SetDefaultDpAddressRequest {
        address: address.into(),
    };
    host.call::<_, SetDefaultDpAddressResponse>(&request).result
}

#[test]
fn every_code_of_set_nickname_and_set_default_dp_address_is_there() {
    check(
        SetNicknameResult::ALL,
        &[
            (SetNicknameResult::Ok, &|h| {
                two(h, 0);
                nickname(h, 1)
            }),
            (SetNicknameResult::IccidNotFound, &|h| nickname(h, 1)),
            (SetNicknameResult::UndefinedError, &|h| {
                two(h, 0);
                h.card.nvm().refuse_commit(0);
                nickname(h, 1)
            }),
        ],
    );
    check(
        SetDefaultDpAddressResult::ALL,
        &[
            (SetDefaultDpAddressResult::Ok, &|h| {
                set_address(h, "dp.example.com")
            }),
            (SetDefaultDpAddressResult::UndefinedError, &|h| {
                h.card.nvm().refuse_commit(0);
                set_address(h, "dp.example.com")
            }),
        ],
    );
}

#[test]
fn every_code_of_the_notification_functions_is_there() {
    use NotificationSentStatus as Status;
    let remove = |h: &mut Host, seq_number| {
        let request = NotificationSentRequest { seq_number };
        h.call::<_, NotificationSentResponse>(&request).status
    };
    check(
        Status::ALL,
        &[
            (Status::Ok, &|h| {
                h.install(1);
                remove(h, 1)
            }),
            (Status::NothingToDelete, &|h| remove(h, 0)),
            (Status::NothingToDelete, &|h| {
                remove(h, u64::from(u32::MAX) + 1)
            }),
            (Status::UndefinedError, &|h| {
                h.install(1);
                h.card.nvm().refuse_commit(0);
                remove(h, 1)
            }),
        ],
    );
    // Lists: noResultAvailable (1) and undefinedError (127).
    let retrieve = |h: &mut Host, n| {
        h.call(&RetrieveNotificationsListRequest {
            search: Some(NotificationSearch::SeqNumber(n)),
        })
    };
    let mut host = Host::new();
    assert_eq!(
        retrieve(&mut host, 1),
        RetrieveNotificationsListResponse::Error(1)
    );
    host.install(1);
    assert!(matches!(
        retrieve(&mut host, 1),
        RetrieveNotificationsListResponse::Ok(list) if list.len() == 1
    ));
    host.card.nvm().refuse_read(Key::Notification(1));
    assert_eq!(
        retrieve(&mut host, 1),
        RetrieveNotificationsListResponse::Error(127)
    );
    host.card.nvm().refuse_read(Key::Notification(1));
    let list: ListNotificationResponse = host.call(&ListNotificationRequest::default());
    assert_eq!(list, ListNotificationResponse::Error(127));
    // A damaged record is no notification, and says so.
    let damage = Write::Put(Key::Notification(1), &[7]);
    host.card
        .nvm()
        .commit(&[damage], Durability::Flushed)
        .unwrap();
    assert_eq!(
        retrieve(&mut host, 1),
        RetrieveNotificationsListResponse::Error(127)
    );
    // By event: those of other events are not there, an empty list is no error.
    host.install(2);
    let by = |events| RetrieveNotificationsListRequest {
        search: Some(NotificationSearch::Events(events)),
    };
    let count = |answer| match answer {
        RetrieveNotificationsListResponse::Ok(list) => list.len(),
        RetrieveNotificationsListResponse::Error(code) => panic!("{code}"),
    };
    assert_eq!(count(host.call(&by(NotificationEvent::Install.bit()))), 1);
    assert_eq!(count(host.call(&by(NotificationEvent::Delete.bit()))), 0);
}

#[test]
fn a_memory_that_refuses_a_write_changes_nothing() {
    let mut host = Host::new();
    two(&mut host, 0);
    assert_eq!(
        set_address(&mut host, "a.example.com"),
        SetDefaultDpAddressResult::Ok
    );
    let records = host.card.nvm().records().clone();
    let acts: [&dyn Fn(&mut Host); 6] = [
        &|h| assert_eq!(h.enable(2), EnableResult::UndefinedError),
        &|h| assert_eq!(h.disable(1), DisableResult::UndefinedError),
        &|h| assert_eq!(h.delete(2), DeleteResult::UndefinedError),
        &|h| {
            let all = reset_options::DELETE_OPERATIONAL_PROFILES;
            assert_eq!(reset(h, all), ResetResult::UndefinedError);
        },
        &|h| assert_eq!(nickname(h, 1), SetNicknameResult::UndefinedError),
        &|h| {
            let result = set_address(h, "b.example.com");
            assert_eq!(result, SetDefaultDpAddressResult::UndefinedError);
        },
    ];
    for act in acts {
        host.card.nvm().refuse_commit(0);
        act(&mut host);
        assert_eq!(*host.card.nvm().records(), records);
        assert_eq!(host.profiles().len(), 2);
    }
    assert_eq!(host.enable(2), EnableResult::Ok);
}
