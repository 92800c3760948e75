//! The judge of cards on a correct card, on one with legal habits, and on cards that break one rule each.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot set itself up has failed"
)]

mod support;

use aid_judge::card::{Rig, Target};
use aid_judge::{Subject, Test};
use aid_port::{Apdu, TransportError};
use aid_report::Verdict;
use aid_rsp::es10::{
    DataObject, DisableProfileRequest, EuiccInfo2, ListNotificationRequest, ProfileIdentifier,
    ProfileInfoListRequest, ProfileInfoListResponse, ProfileState,
    RetrieveNotificationsListRequest, SetDefaultDpAddressRequest, SetNicknameRequest, Version,
};
use aid_rsp::pki::RspPki;
use std::collections::BTreeSet;
use std::path::Path;
use support::{Broken, Sim, Twist, judge, mint, named, not_passed, setting};

fn target(more: &str) -> Target {
    let text = format!(
        "memory_reset = true\neid = \"89049032123451234512345678901235\"\nsvn = \"2.4.0\"\n{more}\n\
         [euicc]\nport = \"socket:127.0.0.1:1\"\n[server]\npki = \"pki\"\n"
    );
    toml::from_str(&text).unwrap()
}

fn rig(folder: &Path, port: impl Apdu + Send + 'static) -> Rig {
    Rig::over(Box::new(port), target(""), &setting(folder)).unwrap()
}

/// A folder with a minted PKI in it.
fn bench() -> (tempfile::TempDir, RspPki) {
    let folder = tempfile::tempdir().unwrap();
    let pki = mint();
    pki.write_to(&folder.path().join("pki")).unwrap();
    (folder, pki)
}

#[test]
fn names_are_unique_and_selectable() {
    let tests: Vec<Test<Rig>> = Rig::tests();
    let names: BTreeSet<&str> = tests.iter().map(|t| t.name).collect();
    assert_eq!(names.len(), tests.len());
    assert!(tests.len() >= 60, "{}", tests.len());
    for test in &tests {
        assert!(test.name.contains('/') && !test.about.is_empty() && !test.clause.is_empty());
    }
}

#[test]
fn a_correct_card_passes_and_is_left_as_it_was() {
    let (folder, pki) = bench();
    let mut rig = rig(folder.path(), Sim::new(&pki));
    let cases = judge(&mut rig, &[]);
    assert_eq!(not_passed(&cases), Vec::<String>::new());
    assert!(cases.iter().all(|c| !c.messages.is_empty()));
    // What a test leaves behind would show in the next run.
    let again = judge(&mut rig, &["SGP22-5.7.19/nothing", "SGP22-5.7.9"]);
    assert_eq!(not_passed(&again), Vec::<String>::new());
}

#[test]
fn without_keys_or_with_foreign_ones_the_rest_is_judged() {
    let (folder, pki) = bench();
    let none: Target = toml::from_str("[euicc]\nport = \"socket:127.0.0.1:1\"\n").unwrap();
    mint().write_to(&folder.path().join("foreign")).unwrap();
    let foreign = "[euicc]\nport = \"socket:127.0.0.1:1\"\n[server]\npki = \"foreign\"\n";
    for target in [none, toml::from_str(foreign).unwrap()] {
        let port = Box::new(Sim::new(&pki));
        let mut rig = Rig::over(port, target, &setting(folder.path())).unwrap();
        let cases = judge(&mut rig, &[]);
        assert_eq!(named(&cases, Verdict::Fail), Vec::<&str>::new());
        assert!(named(&cases, Verdict::Pass).len() >= 20);
        assert!(named(&cases, Verdict::Skipped).contains(&"SGP22-5.7.13/echo"));
    }
}

#[test]
fn a_false_declaration_is_found() {
    let (folder, pki) = bench();
    let text = "eid = \"89049032123451234512345678901299\"\nsvn = \"2.2.0\"\n[euicc]\nport = \"socket:a:1\"\n";
    let target = toml::from_str(text).unwrap();
    let mut rig = Rig::over(Box::new(Sim::new(&pki)), target, &setting(folder.path())).unwrap();
    let cases = judge(&mut rig, &["SGP22-5.7.8", "SGP22-5.7.20"]);
    let failed = named(&cases, Verdict::Fail);
    assert_eq!(
        failed,
        ["SGP22-5.7.8/svn-declared", "SGP22-5.7.20/eid-declared"]
    );
}

/// A card that is not there is nobody's failure.
#[test]
fn an_unreachable_card_is_inconclusive() {
    struct Gone;
    impl Apdu for Gone {
        fn transmit(&mut self, _: &[u8]) -> Result<Vec<u8>, TransportError> {
            self.reset()
        }
        fn reset(&mut self) -> Result<Vec<u8>, TransportError> {
            let source = std::io::ErrorKind::ConnectionRefused.into();
            let address = "nowhere".into();
            Err(TransportError::Connect { address, source })
        }
    }
    let (folder, _) = bench();
    let cases = judge(&mut rig(folder.path(), Gone), &[]);
    let hidden = named(&cases, Verdict::Inconclusive);
    assert_eq!(hidden.len(), cases.len(), "{:?}", not_passed(&cases));
}

const OK: [u8; 2] = [0x90, 0x00];

fn with_ok(object: Vec<u8>) -> Vec<u8> {
    [object, OK.to_vec()].concat()
}

fn tag(request: &[u8]) -> u32 {
    match request {
        [0xBF, second, ..] => 0xBF00 | u32::from(*second),
        _ => 0,
    }
}

/// Replaces the result code of one function, where it is `from`.
fn code(function: u32, from: u8, to: u8) -> Twist {
    Box::new(move |request, card| {
        let mut answer = card(request);
        let at = answer.len().saturating_sub(3);
        if tag(request) == function && answer.get(at) == Some(&from) {
            answer[at] = to;
        }
        answer
    })
}

fn iccid_of(request: &[u8]) -> [u8; 10] {
    let at = request.windows(2).position(|w| w == [0x5A, 0x0A]).unwrap() + 2;
    request[at..at + 10].try_into().unwrap()
}

/// Each variant: the id that finds it, what is wrong with it, and the proxy that breaks the card.
fn variants() -> Vec<(&'static str, &'static str, Twist)> {
    let mut last_challenge = Vec::new();
    let mut asked_before = false;
    vec![
        (
            "SGP22-5.7.7/fresh",
            "a second GetEUICCChallenge in a row repeats the challenge",
            Box::new(move |request, card| {
                let answer = card(request);
                let asked = tag(request) == 0xBF2E;
                let repeated = asked && asked_before;
                asked_before = asked;
                match repeated {
                    true => last_challenge.clone(),
                    false => {
                        if asked {
                            last_challenge.clone_from(&answer);
                        }
                        answer
                    }
                }
            }),
        ),
        (
            "SGP22-5.7.8/info-agree",
            "EUICCInfo2 has another SVN than EUICCInfo1",
            Box::new(|request, card| {
                let answer = card(request);
                if tag(request) != 0xBF22 {
                    return answer;
                }
                let mut info = EuiccInfo2::from_slice(&answer[..answer.len() - 2]).unwrap();
                info.svn = Version([2, 2, 0]);
                with_ok(info.to_vec())
            }),
        ),
        (
            "SGP22-5.7.20/eid",
            "the check digits of the EID are wrong",
            Box::new(|request, card| {
                let mut answer = card(request);
                if tag(request) == 0xBF3E {
                    let at = answer.len() - 3;
                    answer[at] ^= 1;
                }
                answer
            }),
        ),
        (
            "SGP22-H/der",
            "lengths are written with more octets than needed",
            Box::new(|request, card| {
                let answer = card(request);
                match tag(request) {
                    0xBF3E => [&[0xBF, 0x3E, 0x81, 0x12], &answer[3..]].concat(),
                    _ => answer,
                }
            }),
        ),
        (
            "SGP22-5.7.2/unknown-function",
            "an unknown function is answered with 9000",
            Box::new(|request, card| match tag(request) {
                0xBF7E => OK.to_vec(),
                _ => card(request),
            }),
        ),
        (
            "SGP22-5.7.13/signature",
            "a bit of euiccSignature1 is wrong",
            Box::new(|request, card| {
                let mut answer = card(request);
                let place = answer.windows(3).position(|w| w == [0x5F, 0x37, 0x40]);
                if let (0xBF38, Some(at)) = (tag(request), place) {
                    answer[at + 10] ^= 1;
                }
                answer
            }),
        ),
        (
            "SGP22-5.7.13/wrong-challenge",
            "another challenge is undefinedError instead of euiccChallengeMismatch",
            code(0xBF38, 6, 127),
        ),
        (
            "SGP22-5.7.13/flipped-certificate",
            "a forged CERT.DPauth is undefinedError instead of invalidCertificate",
            code(0xBF38, 1, 127),
        ),
        (
            "SGP22-5.7.5/flipped-signature",
            "a forged smdpSignature2 is invalidCertificate",
            code(0xBF21, 2, 1),
        ),
        (
            "SGP22-5.7.14/other-transaction",
            "CancelSession of another session is undefinedError",
            code(0xBF41, 5, 127),
        ),
        (
            "SGP22-5.5.5/flipped-mac",
            "a wrong MAC is installFailedDueToUnknownError",
            Box::new(|request, card| {
                let mut answer = card(request);
                let place = answer.windows(3).position(|w| w == [0x81, 0x01, 0x08]);
                if let (true, Some(at)) = (answer.starts_with(&[0xBF, 0x37]), place) {
                    answer[at + 2] = 127;
                }
                answer
            }),
        ),
        (
            "SGP22-5.7.15/tag-list",
            "the tag list is not looked at",
            Box::new(|request, card| {
                if tag(request) != 0xBF2D {
                    return card(request);
                }
                let mut asked = ProfileInfoListRequest::from_slice(request).unwrap();
                asked.tag_list = None;
                card(&asked.to_vec())
            }),
        ),
        (
            "SGP22-5.7.16/twice",
            "enabling twice is ok",
            code(0xBF31, 2, 0),
        ),
        (
            "SGP22-5.7.17/twice",
            "disabling twice is ok",
            code(0xBF32, 2, 0),
        ),
        (
            "SGP22-5.7.18/enabled",
            "an enabled profile can be deleted",
            Box::new(|request, card| {
                if tag(request) == 0xBF33 {
                    let profile = ProfileIdentifier::Iccid(iccid_of(request));
                    let refresh = false;
                    card(&DisableProfileRequest { profile, refresh }.to_vec());
                }
                card(request)
            }),
        ),
        (
            "SGP22-5.7.18/deletes",
            "a deletion is reported and not done",
            Box::new(|request, card| match tag(request) {
                0xBF33 => with_ok(vec![0xBF, 0x33, 0x03, 0x80, 0x01, 0x00]),
                _ => card(request),
            }),
        ),
        (
            "SGP22-5.7.21/sets",
            "nicknames are cut off after 32 bytes",
            Box::new(|request, card| {
                if tag(request) != 0xBF29 {
                    return card(request);
                }
                let mut asked = SetNicknameRequest::from_slice(request).unwrap();
                asked.nickname = asked.nickname.chars().take(30).collect();
                card(&asked.to_vec())
            }),
        ),
        (
            "SGP22-5.7.9/filter",
            "ListNotification does not look at the events",
            Box::new(|request, card| match tag(request) {
                0xBF28 => card(&ListNotificationRequest { events: None }.to_vec()),
                _ => card(request),
            }),
        ),
        (
            "SGP22-5.7.10/by-number",
            "RetrieveNotificationsList yields all notifications",
            Box::new(|request, card| match tag(request) {
                0xBF2B => card(&RetrieveNotificationsListRequest { search: None }.to_vec()),
                _ => card(request),
            }),
        ),
        (
            "SGP22-5.7.11/removes",
            "RemoveNotificationFromList is ok and removes nothing",
            Box::new(|request, card| match tag(request) {
                0xBF30 => with_ok(vec![0xBF, 0x30, 0x03, 0x80, 0x01, 0x00]),
                _ => card(request),
            }),
        ),
        (
            "SGP22-5.7.19/nothing",
            "eUICCMemoryReset of an empty card is ok",
            code(0xBF34, 1, 0),
        ),
    ]
}

#[test]
fn each_broken_card_is_found_by_its_id() {
    let (folder, pki) = bench();
    for (id, what, twist) in variants() {
        let mut rig = rig(folder.path(), Broken::new(Sim::new(&pki), twist));
        let cases = judge(&mut rig, &[id]);
        assert_eq!(
            named(&cases, Verdict::Fail),
            [id],
            "{what}: {:?}",
            not_passed(&cases)
        );
        let failure = cases[0].failure.as_ref().unwrap();
        assert!(failure.repeat.contains(id), "{what}");
    }
}

#[test]
fn what_does_not_survive_a_reset_is_found() {
    let (folder, pki) = bench();
    let through = || -> Twist { Box::new(|request, card| card(request)) };
    let forgets: fn() -> Vec<u8> = || {
        let address = String::new();
        SetDefaultDpAddressRequest { address }.to_vec()
    };
    let port = Broken::new(Sim::new(&pki), through()).after_reset(forgets);
    let cases = judge(&mut rig(folder.path(), port), &["SGP22-5.7.4"]);
    assert_eq!(named(&cases, Verdict::Fail), ["SGP22-5.7.4/persists"]);
}

/// A card that answers catBusy at first, as one whose toolkit is at work: legal.
#[test]
fn a_busy_card_is_asked_again() {
    let (folder, pki) = bench();
    let mut busy = 2;
    let twist: Twist = Box::new(move |request, card| match tag(request) {
        function @ (0xBF31 | 0xBF32) if busy > 0 => {
            busy -= 1;
            with_ok(vec![0xBF, function as u8, 0x03, 0x80, 0x01, 0x05])
        }
        _ => card(request),
    });
    let mut rig = rig(folder.path(), Broken::new(Sim::new(&pki), twist));
    let cases = judge(&mut rig, &["SGP22-5.7.16", "SGP22-5.7.17"]);
    assert_eq!(not_passed(&cases), Vec::<String>::new());
}

/// The card of a user, with an enabled profile, a default address and notifications: the judge works beside them.
#[test]
fn what_was_on_the_card_stays_as_it_was() {
    let (folder, pki) = bench();
    let sim = Sim::new(&pki);
    // A run whose clean-up is swallowed leaves two profiles, one of them enabled, and its notifications.
    let swallow: Twist = Box::new(|request, card| match tag(request) {
        function @ (0xBF32 | 0xBF33 | 0xBF30) => {
            with_ok(vec![0xBF, function as u8, 0x03, 0x80, 0x01, 0x00])
        }
        _ => card(request),
    });
    let mut user = rig(folder.path(), Broken::new(sim.clone(), swallow));
    judge(&mut user, &["SGP22-5.7.16/enables"]);

    let state = |sim: &Sim| {
        let mut port = sim.clone();
        port.reset().unwrap();
        port.transmit(&[0, 0x70, 0, 0, 1]).unwrap();
        let select = [&[1, 0xA4, 4, 0, 16][..], &aid_lpa::ISDR_AID, &[0]].concat();
        port.transmit(&select).unwrap();
        let list = ProfileInfoListRequest::default().to_vec();
        let notes = ListNotificationRequest::default().to_vec();
        [list, notes].map(|request| support::ask(sim, 0x81, &request))
    };
    let before = state(&sim);
    let mut rig = rig(folder.path(), sim.clone());
    let cases = judge(&mut rig, &[]);
    assert_eq!(
        named(&cases, Verdict::Fail),
        Vec::<&str>::new(),
        "{:?}",
        not_passed(&cases)
    );
    assert!(named(&cases, Verdict::Skipped).contains(&"SGP22-5.7.19/deletes"));
    assert_eq!(state(&sim), before);
    let list = ProfileInfoListResponse::from_slice(&before[0][..before[0].len() - 2]).unwrap();
    let ProfileInfoListResponse::Ok(list) = list else {
        panic!("{list:?}");
    };
    let enabled = list
        .iter()
        .filter(|p| p.state == Some(ProfileState::Enabled));
    assert_eq!((list.len(), enabled.count()), (2, 1));
}
