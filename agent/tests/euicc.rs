//! The card's port over the LPA, against the LPA's scripted card and server.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

#[path = "../lpa/tests/support/mod.rs"]
#[allow(clippy::duplicate_mod, reason = "the LPA's own tests use it, too")]
mod support;

use aid_agent::LpaEuicc;
use aid_agent::card::Euicc as _;
use aid_agent_core::{EuiccOp, Secret};
use aid_rsp::es10::*;
use support::*;

type Adapter = (LpaEuicc<FakeCard, FakeServer>, FakeCard, FakeServer);

fn adapter() -> Adapter {
    let (lpa, card, server) = fakes(1000);
    (LpaEuicc::new(lpa), card, server)
}

fn profile() -> aid_agent_core::Iccid {
    "8949010000000000001".parse().expect("ICCID")
}

fn download() -> EuiccOp {
    EuiccOp::Download {
        code: Secret::new(format!("1${SERVER}$M-1")),
    }
}

#[test]
fn operational_profiles_are_listed_and_others_left_alone() {
    let (mut euicc, card, _) = adapter();
    let info = |iccid, class, state| ProfileInfo {
        iccid,
        profile_class: class,
        state: Some(state),
        ..ProfileInfo::default()
    };
    let (on, off) = (ProfileState::Enabled, ProfileState::Disabled);
    let list = ProfileInfoListResponse::Ok(vec![
        info(Some(ICCID), Some(ProfileClass::Operational), on),
        info(Some([0x11; 10]), Some(ProfileClass::Test), off),
        info(Some([0x22; 10]), Some(ProfileClass::Provisioning), on),
        info(Some([0xEE; 10]), None, off),
        info(None, None, off),
        info(Some([0x33; 10]), None, off),
    ]);
    card.with(|card| drop(card.answers.insert(0xBF2D, list.to_vec())));
    let list = euicc.list().expect("list");
    let shown: Vec<_> = list.iter().map(|p| (p.iccid.as_str(), p.enabled)).collect();
    let expected = [
        ("8949010000000000001", true),
        ("33333333333333333333", false),
    ];
    assert_eq!(shown, expected);
    assert_eq!(euicc.eid().expect("EID"), "89".repeat(16));
}

// R-4.3-10
#[test]
fn a_download_shows_its_stages_once_and_releases_the_channel() {
    let (mut euicc, card, _) = adapter();
    let mut stages = Vec::new();
    euicc
        .execute(&download(), &mut |s| stages.push(s.to_owned()))
        .expect("installed");
    assert_eq!(
        stages,
        ["authenticating", "preparing", "installing", "notifying"]
    );
    assert!(!card.0.lock().expect("lock").channels.is_empty());
    euicc.release();
    assert!(card.0.lock().expect("lock").channels.is_empty());
}

#[test]
fn what_is_so_already_is_done_and_other_refusals_keep_their_code() {
    let (mut euicc, card, _) = adapter();
    let answer = |tag: u8, code: u8| {
        card.with(|card| {
            let bytes = vec![0xBF, tag, 3, 0x80, 1, code];
            drop(card.answers.insert(0xBF00 | u32::from(tag), bytes));
        });
    };
    let mut run = |what: &EuiccOp| {
        euicc
            .execute(what, &mut |_| {})
            .map_err(|e| (e.code, e.permanent))
    };
    let iccid = profile();
    let enable = EuiccOp::Enable {
        iccid: iccid.clone(),
    };
    let disable = EuiccOp::Disable {
        iccid: iccid.clone(),
    };
    let delete = EuiccOp::Delete { iccid };
    for (tag, what, already) in [(0x31, &enable, 2), (0x32, &disable, 2), (0x33, &delete, 1)] {
        for (code, expected) in [
            (0, Ok(())),
            (already, Ok(())),
            (3, Err((3, true))),
            (127, Err((127, true))),
        ] {
            answer(tag, code);
            assert_eq!(run(what), expected, "{what:?} {code}");
        }
    }
    // catBusy passes.
    answer(0x31, 5);
    assert_eq!(run(&enable), Err((5, false)));
}

// R-4.3-6
#[test]
fn errors_say_whether_another_try_makes_sense() {
    let (mut euicc, _, server) = adapter();
    let mut run = |what: &EuiccOp| euicc.execute(what, &mut |_| {}).expect_err("refused");
    let nonsense = EuiccOp::Download {
        code: Secret::new("hello".into()),
    };
    assert!(run(&nonsense).permanent);
    server.answer("authenticateClient", failed("8.1.1", "3.8"));
    let error = run(&download());
    assert_eq!((error.code, error.permanent), (308, true));
    assert!(error.text.contains("8.1.1"), "{}", error.text);
    // A confirmation code, and nobody there to type it.
    server.answer("authenticateClient", ok(client(&metadata(), true)));
    assert!(run(&download()).permanent);
    server.0.lock().expect("lock").dead.insert(SERVER.into());
    let error = run(&download());
    assert!(
        !error.permanent && error.text.contains(SERVER),
        "{}",
        error.text
    );
}

// R-4.3-12
#[test]
fn notifications_that_a_server_does_not_take_are_tried_again() {
    let (mut euicc, card, server) = adapter();
    let pending = PendingNotification::Installation(Box::new(installation_result(success())));
    card.with(|card| card.notifications = vec![pending]);
    server.0.lock().expect("lock").dead.insert(SERVER.into());
    let run = |euicc: &mut LpaEuicc<_, _>| euicc.execute(&EuiccOp::Notifications, &mut |_| {});
    assert!(!run(&mut euicc).expect_err("unreachable").permanent);
    assert_eq!(card.0.lock().expect("lock").notifications.len(), 1);
    server.0.lock().expect("lock").dead.clear();
    run(&mut euicc).expect("delivered");
    assert!(card.0.lock().expect("lock").notifications.is_empty());
}
