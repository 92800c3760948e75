//! Notifications: SGP.22 §3.5, §5.7.9 to §5.7.11.

use super::installing::install;
use super::management::{delete, disable, enable};
use super::{Rig, with_server};
use crate::rsp::findings::{Checked, must, one_of, same};
use crate::rsp::table;
use crate::test::{Finding, always};
use aid_rsp::cert::Certificate;
use aid_rsp::crypto::{Crypto as _, SoftwareCrypto};
use aid_rsp::es10::{
    ListNotificationRequest, ListNotificationResponse, NotificationEvent as Event,
    NotificationMetadata, NotificationSearch, NotificationSentStatus, PendingNotification,
    RetrieveNotificationsListRequest, RetrieveNotificationsListResponse,
};

table! { Rig;
    "SGP22-3.5/events" [] ["4.2.14"] "SGP.22 §3.5, §5.7.9" Must, with_server, events,
        "Installation, enabling, disabling and deletion make a notification each, with ascending numbers.";
    "SGP22-3.5/numbers" [] [] "SGP.22 §3.5" Must, with_server, numbers,
        "A sequence number is not used again after its notification was removed and the card was reset.";
    "SGP22-3.5/survive" [] [] "SGP.22 §3.5" Must, with_server, survive,
        "Notifications survive a reset.";
    "SGP22-5.7.9/filter" [] ["4.2.14"] "SGP.22 §5.7.9" Must, with_server, filter,
        "ListNotification of some events has these and no others.";
    "SGP22-5.7.10/by-number" [] ["4.2.15"] "SGP.22 §5.7.10" Must, with_server, by_number,
        "RetrieveNotificationsList by number yields this notification, with the metadata of ListNotification.";
    "SGP22-5.7.10/by-event" [] ["4.2.15"] "SGP.22 §5.7.10" Must, with_server, by_event,
        "RetrieveNotificationsList by event yields those of this event.";
    "SGP22-5.7.10/unknown-number" [] ["4.2.15"] "SGP.22 §5.7.10" Must, always, unknown_number,
        "RetrieveNotificationsList of a number that no notification has is noResultAvailable, or an empty list.";
    "SGP22-5.7.10/signature" [] ["4.2.15"] "SGP.22 §5.7.10" Must, with_server, signature,
        "A notification is signed by the key of the CERT.EUICC that comes with it.";
    "SGP22-5.7.11/removes" [] ["4.2.16"] "SGP.22 §5.7.11" Must, with_server, removes,
        "RemoveNotificationFromList removes this notification and no other, also after a reset.";
    "SGP22-5.7.11/unknown" [] ["4.2.16"] "SGP.22 §5.7.11" Must, always, remove_unknown,
        "RemoveNotificationFromList of a number that no notification has is nothingToDelete.";
}

/// A number that no card has reached.
const FAR: u64 = 0x7FFF_FFF0;

fn events(rig: &mut Rig) -> Checked {
    let profile = install(rig)?;
    enable(rig, &profile)?;
    disable(rig, &profile)?;
    delete(rig, &profile)?;
    let own = |n: &&NotificationMetadata| n.iccid == Some(profile.iccid);
    let list = rig.new_notifications()?;
    let seen: Vec<Event> = list.iter().filter(own).map(|n| n.event).collect();
    let expected = vec![Event::Install, Event::Enable, Event::Disable, Event::Delete];
    same(
        "notifications of one profile, in the order of ListNotification",
        &expected,
        &seen,
    )?;
    let numbers: Vec<u64> = list.iter().map(|n| n.seq_number).collect();
    must(
        numbers.windows(2).all(|pair| pair[0] < pair[1]),
        "ascending sequence numbers in ListNotification",
        || format!("{numbers:?}"),
    )?;
    for n in list.iter().filter(own) {
        same(
            "the address of a notification",
            rig.address.as_str(),
            n.address.as_str(),
        )?;
    }
    Ok(())
}

fn numbers(rig: &mut Rig) -> Checked {
    let profile = install(rig)?;
    let before = rig.new_notifications()?;
    let highest = before.iter().map(|n| n.seq_number).max();
    for n in &before {
        rig.remove_notification(n.seq_number)?;
    }
    rig.reset()?;
    delete(rig, &profile)?;
    let after = rig.new_notifications()?;
    must(
        after.iter().all(|n| Some(n.seq_number) > highest),
        "a higher sequence number than before",
        || {
            format!(
                "{:?} after {highest:?}",
                after.iter().map(|n| n.seq_number).collect::<Vec<_>>()
            )
        },
    )?;
    must(!after.is_empty(), "a notification of the deletion", || {
        "none".to_owned()
    })
}

fn survive(rig: &mut Rig) -> Checked {
    install(rig)?;
    let before = rig.notifications()?;
    rig.reset()?;
    let after = rig.notifications()?;
    same("notifications after a reset", &before, &after)
}

fn filtered(rig: &mut Rig, events: u32) -> Checked<Vec<NotificationMetadata>> {
    let request = ListNotificationRequest {
        events: Some(events),
    };
    match rig.call("ListNotification", &request)? {
        ListNotificationResponse::Ok(list) => Ok(list),
        ListNotificationResponse::Error(code) => Err(Finding::broken(
            "a list of notifications",
            format!("error {code}"),
        )),
    }
}

fn filter(rig: &mut Rig) -> Checked {
    let profile = install(rig)?;
    delete(rig, &profile)?;
    let all = rig.notifications()?;
    for event in [Event::Install, Event::Delete, Event::Enable] {
        let expected: Vec<_> = all.iter().filter(|n| n.event == event).cloned().collect();
        let seen = filtered(rig, event.bit())?;
        same("ListNotification of one event", &expected, &seen)?;
    }
    let two = Event::Install.bit() | Event::Delete.bit();
    let expected: Vec<_> = all
        .iter()
        .filter(|n| n.event.bit() & two != 0)
        .cloned()
        .collect();
    let seen = filtered(rig, two)?;
    same("ListNotification of two events", &expected, &seen)
}

fn retrieve(
    rig: &mut Rig,
    search: NotificationSearch,
) -> Checked<RetrieveNotificationsListResponse> {
    let request = RetrieveNotificationsListRequest {
        search: Some(search),
    };
    rig.call("RetrieveNotificationsList", &request)
}

fn found(answer: RetrieveNotificationsListResponse) -> Checked<Vec<PendingNotification>> {
    match answer {
        RetrieveNotificationsListResponse::Ok(list) => Ok(list),
        RetrieveNotificationsListResponse::Error(code) => {
            Err(Finding::broken("notificationList", format!("error {code}")))
        }
    }
}

fn by_number(rig: &mut Rig) -> Checked {
    let profile = install(rig)?;
    delete(rig, &profile)?;
    for listed in rig.new_notifications()? {
        let list = found(retrieve(
            rig,
            NotificationSearch::SeqNumber(listed.seq_number),
        )?)?;
        let seen: Vec<&NotificationMetadata> =
            list.iter().map(PendingNotification::metadata).collect();
        same("RetrieveNotificationsList by number", &vec![&listed], &seen)?;
    }
    Ok(())
}

fn by_event(rig: &mut Rig) -> Checked {
    let profile = install(rig)?;
    delete(rig, &profile)?;
    let all = rig.notifications()?;
    for event in [Event::Install, Event::Delete] {
        let expected: Vec<_> = all.iter().filter(|n| n.event == event).cloned().collect();
        let list = found(retrieve(rig, NotificationSearch::Events(event.bit()))?)?;
        let seen: Vec<_> = list.iter().map(|n| n.metadata().clone()).collect();
        same("RetrieveNotificationsList by event", &expected, &seen)?;
    }
    Ok(())
}

fn unknown_number(rig: &mut Rig) -> Checked {
    const NO_RESULT: u8 = 1;
    match retrieve(rig, NotificationSearch::SeqNumber(FAR))? {
        RetrieveNotificationsListResponse::Error(NO_RESULT) => Ok(()),
        RetrieveNotificationsListResponse::Ok(list) if list.is_empty() => Ok(()),
        other => Err(Finding::broken(
            "RetrieveNotificationsList of an unknown number: noResultAvailable (1)",
            match other {
                RetrieveNotificationsListResponse::Ok(list) => {
                    format!("{} notifications", list.len())
                }
                RetrieveNotificationsListResponse::Error(code) => format!("error {code}"),
            },
        )),
    }
}

fn signature(rig: &mut Rig) -> Checked {
    let profile = install(rig)?;
    delete(rig, &profile)?;
    let crypto = SoftwareCrypto::new();
    for listed in rig.new_notifications()? {
        let list = found(retrieve(
            rig,
            NotificationSearch::SeqNumber(listed.seq_number),
        )?)?;
        for notification in list {
            let PendingNotification::Other(other) = notification else {
                continue;
            };
            let certificate = Certificate::from_der(&other.euicc_certificate).map_err(|e| {
                Finding::broken("CERT.EUICC.ECDSA in a notification", e.to_string())
            })?;
            let signature = other.signature.as_bytes();
            let verified = crypto.verify(certificate.public_key(), &[other.tbs.bytes()], signature);
            must(
                verified.is_ok(),
                "euiccNotificationSignature by the key of CERT.EUICC",
                || "a signature that does not verify".to_owned(),
            )?;
            let eid = certificate.eid().map_err(|e| {
                Finding::broken("the EID in CERT.EUICC of a notification", e.to_string())
            })?;
            same(
                "CERT.EUICC of a notification: the card's EID",
                &rig.eid,
                &eid,
            )?;
        }
    }
    Ok(())
}

fn removes(rig: &mut Rig) -> Checked {
    let profile = install(rig)?;
    delete(rig, &profile)?;
    let mut expected = rig.notifications()?;
    let new = rig.new_notifications()?;
    let first = new
        .first()
        .ok_or_else(|| Finding::broken("a notification", "none"))?;
    let answer = rig.remove_notification(first.seq_number)?;
    one_of(
        "RemoveNotificationFromList",
        &[NotificationSentStatus::Ok],
        &answer.status,
    )?;
    expected.retain(|n| n.seq_number != first.seq_number);
    let seen = rig.notifications()?;
    same("notifications after one was removed", &expected, &seen)?;
    rig.reset()?;
    let seen = rig.notifications()?;
    same(
        "notifications after one was removed and a reset",
        &expected,
        &seen,
    )?;
    let again = rig.remove_notification(first.seq_number)?;
    one_of(
        "RemoveNotificationFromList a second time",
        &[NotificationSentStatus::NothingToDelete],
        &again.status,
    )
}

fn remove_unknown(rig: &mut Rig) -> Checked {
    let answer = rig.remove_notification(FAR)?;
    one_of(
        "RemoveNotificationFromList of an unknown number",
        &[NotificationSentStatus::NothingToDelete],
        &answer.status,
    )
}
