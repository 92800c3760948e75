//! Given several clients on channels of their own, then a package belongs to its channel, and a list of
//! notifications that is full keeps what matters most.
use super::host::*;
use crate::card::MAX_NOTIFICATIONS;
use crate::nvm::Key;
use aid_rsp::es10::*;
use std::{format, vec::Vec};

/// A package of which a part was sent on channel 1, and the pieces that are left.
fn half(pieces_sent: usize) -> (Host, Pieces) {
    let mut host = Host::new();
    let tamper = Tamper::default();
    let AuthenticateServerResponse::Ok(ok) = host.authenticate(&tamper) else {
        panic!()
    };
    let prepared = host.prepare(&ok, &tamper);
    let pieces = host.bpp(&prepared, &metadata(1), &package(1), &tamper);
    assert_eq!(host.load(&pieces[..pieces_sent]), Ok(None));
    (host, pieces[pieces_sent..].to_vec())
}

/// Does something on channel 2, with the ISD-R selected there.
fn beside<T>(host: &mut Host, act: impl FnOnce(&mut Host) -> T) -> T {
    let own = host.cla;
    host.open_isdr();
    let done = act(host);
    let number = host.cla & 3;
    host.expect(&format!("007080{number:02x}"), "9000");
    host.cla = own;
    done
}

fn succeeds(host: &mut Host, rest: &[Vec<u8>]) {
    let result = host.load(rest);
    assert!(
        matches!(result, Ok(Some(FinalResult::Success { .. }))),
        "{result:?}"
    );
}

fn interrupted(host: &mut Host, rest: &[Vec<u8>]) {
    assert!(host.es10(&rest[0]).is_err());
    assert_eq!(host.profiles(), []);
    let all = RetrieveNotificationsListRequest::default();
    let RetrieveNotificationsListResponse::Ok(list) = host.call(&all) else {
        panic!()
    };
    let [PendingNotification::Installation(result)] = &list[..] else {
        panic!("{list:?}")
    };
    let FinalResult::Error { reason, .. } = &result.data.value().result else {
        panic!("{result:?}")
    };
    assert_eq!(*reason, ErrorReason::Interruption);
    host.install(1);
}

#[test]
fn functions_on_another_channel_leave_a_package_alone() {
    for sent in [1, 2, 4, 5, 6] {
        let (mut host, rest) = half(sent);
        beside(&mut host, |h| {
            assert_eq!(h.profiles(), []);
            assert_eq!(h.notifications(), []);
            let _: GetEuiccDataResponse = h.call(&GetEuiccDataRequest);
            let sent = NotificationSentRequest { seq_number: 9 };
            let _: NotificationSentResponse = h.call(&sent);
            assert_eq!(h.enable(1), EnableResult::NotFound);
            assert_eq!(h.delete(1), DeleteResult::NotFound);
            // Neither are an unknown function, nor bytes that are none.
            assert_eq!(h.es10(&[0xBF, 0x7E, 0]), Err(0x6A88));
            assert_eq!(h.es10(&[0x86, 1, 0]), Err(0x6A88));
            assert_eq!(h.es10(&[0xBF]), Err(0x6A80));
        });
        succeeds(&mut host, &rest);
        assert_eq!(host.notifications().len(), 1);
    }
}

#[test]
fn a_piece_on_another_channel_is_none_of_the_package() {
    let (mut host, rest) = half(5);
    beside(&mut host, |h| assert_eq!(h.es10(&rest[0]), Err(0x6A88)));
    // In the middle of a segment, too.
    let (first, second) = rest[0].split_at(40);
    assert_eq!(host.es10(first), Ok(Vec::new()));
    beside(&mut host, |h| assert_eq!(h.profiles(), []));
    assert_eq!(host.es10(second), Ok(Vec::new()));
    succeeds(&mut host, &rest[1..]);
}

#[test]
fn another_session_ends_a_package_and_is_not_given_its_result() {
    let (mut host, rest) = half(5);
    let answer = beside(&mut host, |h| h.es10(&GetEuiccChallengeRequest.to_vec()));
    assert!(answer.unwrap().starts_with(&[0xBF, 0x2E]));
    interrupted(&mut host, &rest);
    let (mut host, rest) = half(5);
    let answer = beside(&mut host, |h| h.es10(&[0xBF, 0x36, 0x82, 0x10, 0x00]));
    assert_eq!(answer, Err(0x6985));
    interrupted(&mut host, &rest);
}

#[test]
fn a_package_ends_with_its_channel() {
    // Closed, left for a file, for another application, by the end of its session; a reset is elsewhere.
    for end in [
        "00708001",
        "01a4000c023f00",
        "01a4040c10a0000005591010ffffffff8900000200",
        "01a4044c10a0000005591010ffffffff8900000100",
    ] {
        let (mut host, rest) = half(5);
        host.expect(end, "9000");
        if end.starts_with("0070") {
            host.expect("0070000100", "9000");
        }
        host.expect("01a4040c10a0000005591010ffffffff8900000100", "9000");
        interrupted(&mut host, &rest);
    }
    // A selection that fails, or the same again, ends nothing.
    let (mut host, rest) = half(5);
    host.expect("01a4000c022fff", "6a82");
    host.expect("01a4040c10a0000005591010ffffffff8900000100", "9000");
    succeeds(&mut host, &rest);
}

#[test]
fn a_full_list_gives_up_reports_of_switches_first() {
    let mut host = Host::new();
    host.install(1);
    host.install(2);
    // An enabling makes two notifications, a disabling one.
    let mut made = 2;
    while made < MAX_NOTIFICATIONS {
        assert_eq!(host.enable(1), EnableResult::Ok);
        assert_eq!(host.disable(1), DisableResult::Ok);
        made += 3;
    }
    let over = (made - MAX_NOTIFICATIONS) as u64;
    assert_eq!(host.card.lost_notifications(), over);
    let numbers = |host: &mut Host| -> Vec<u64> {
        host.notifications().iter().map(|n| n.seq_number).collect()
    };
    let kept = numbers(&mut host);
    assert_eq!(kept.len(), MAX_NOTIFICATIONS);
    // The installations are there still; the oldest reports of switches are gone, record and all.
    assert_eq!(kept[..2], [1, 2]);
    assert_eq!(kept[2], 3 + over);
    for lost in 3..kept[2] {
        assert!(
            !host
                .card
                .nvm()
                .records()
                .contains_key(&Key::Notification(lost as u32))
        );
    }
    // Nothing is refused, deletions and installations are kept.
    assert_eq!(host.delete(2), DeleteResult::Ok);
    host.install(3);
    assert_eq!(numbers(&mut host)[..2], [1, 2]);
    assert_eq!(host.card.lost_notifications(), over + 2);
    let records = host.card.nvm().records();
    let stored = records.keys().filter(|k| matches!(k, Key::Notification(_)));
    assert_eq!(stored.count(), MAX_NOTIFICATIONS);
    // Whoever removes one makes room for one; the record goes with it.
    let sent = NotificationSentRequest { seq_number: 2 };
    let _: NotificationSentResponse = host.call(&sent);
    assert!(
        !host
            .card
            .nvm()
            .records()
            .contains_key(&Key::Notification(2))
    );
    let before = host.card.lost_notifications();
    assert_eq!(host.delete(3), DeleteResult::Ok);
    assert_eq!(host.card.lost_notifications(), before);
    assert_eq!(numbers(&mut host)[0], 1);
}

#[test]
fn a_list_of_installations_and_deletions_gives_up_its_oldest() {
    let mut host = Host::new();
    for _ in 0..MAX_NOTIFICATIONS / 2 {
        host.install(1);
        assert_eq!(host.delete(1), DeleteResult::Ok);
    }
    assert_eq!(host.card.lost_notifications(), 0);
    host.install(1);
    let first = host.notifications()[0].seq_number;
    assert_eq!((first, host.card.lost_notifications()), (2, 1));
}

/// RemoveNotificationFromList takes the one that is named, whichever it is, and its record.
#[test]
fn the_notification_that_is_named_is_removed() {
    for named in [1u64, 2, 3, 4] {
        let mut host = Host::new();
        host.install(1);
        host.install(2);
        host.enable(1);
        let sent = NotificationSentRequest { seq_number: named };
        let answer: NotificationSentResponse = host.call(&sent);
        assert_eq!(answer.status, NotificationSentStatus::Ok);
        let left: Vec<u64> = host.notifications().iter().map(|n| n.seq_number).collect();
        let expected: Vec<u64> = (1..=4).filter(|n| *n != named).collect();
        assert_eq!(left, expected);
        let again: NotificationSentResponse = host.call(&sent);
        assert_eq!(again.status, NotificationSentStatus::NothingToDelete);
        for n in 1..=4 {
            let stored = host
                .card
                .nvm()
                .records()
                .contains_key(&Key::Notification(n));
            assert_eq!(stored, u64::from(n) != named);
        }
    }
}

/// A filter by event that nothing passes is an empty list; a number that nothing has is
/// noResultAvailable.
#[test]
fn a_search_that_finds_nothing() {
    let mut host = Host::new();
    let events = |events| RetrieveNotificationsListRequest {
        search: Some(NotificationSearch::Events(events)),
    };
    let number = RetrieveNotificationsListRequest {
        search: Some(NotificationSearch::SeqNumber(1)),
    };
    let empty = RetrieveNotificationsListResponse::Ok(Vec::new());
    let none = RetrieveNotificationsListResponse::Error(1);
    for installed in [false, true] {
        let delete = NotificationEvent::Delete.bit();
        for request in [events(delete), events(0)] {
            let answer: RetrieveNotificationsListResponse = host.call(&request);
            assert_eq!(answer, empty);
        }
        if !installed {
            let answer: RetrieveNotificationsListResponse = host.call(&number);
            assert_eq!(answer, none);
            let all = RetrieveNotificationsListRequest::default();
            let answer: RetrieveNotificationsListResponse = host.call(&all);
            assert_eq!(answer, empty);
            host.install(1);
        }
    }
    let request = ListNotificationRequest {
        events: Some(NotificationEvent::Delete.bit()),
    };
    let answer: ListNotificationResponse = host.call(&request);
    assert_eq!(answer, ListNotificationResponse::Ok(Vec::new()));
}

/// 0 is legal as the first number (SGP.22 §3.5), and a number like any other.
#[test]
fn the_first_notification_has_the_number_that_was_chosen() {
    for first in [0, 1, 77] {
        let mut host = Host::numbered_from(first);
        host.install(1);
        assert_eq!(host.notifications()[0].seq_number, u64::from(first));
        let sent = NotificationSentRequest {
            seq_number: first.into(),
        };
        let answer: NotificationSentResponse = host.call(&sent);
        assert_eq!(answer.status, NotificationSentStatus::Ok);
        assert_eq!(host.notifications(), []);
        // A card that has a memory goes on where it was.
        let mut host = Host::with(host.card.nvm().clone());
        host.install(2);
        assert_eq!(host.notifications()[0].seq_number, u64::from(first) + 1);
    }
}
