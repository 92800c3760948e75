//! ES9+.HandleNotification: SGP.22 §3.5, §5.6.4.

use super::{Rig, with_order};
use crate::rsp::euicc::notification;
use crate::rsp::findings::{Checked, must};
use crate::rsp::http::Answer;
use crate::rsp::table;
use crate::test::{Finding, always};
use aid_rsp::es9::{Function as _, HandleNotificationRequest};
use aid_rsp::es10::{DataObject, NotificationEvent, StoreMetadataRequest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

table! { Rig;
    "SGP22-5.6.4/installed" [] ["TC_SM-DP+_ES9+.HandleNotificationNIST"] "SGP.22 §5.6.4, §6.5.2.9" Must, with_order, installed,
        "The result of an installation is acknowledged with 204 and without a body, and its repetition too.";
    "SGP22-5.6.4/used-up" [] [] "SGP.22 §3.1.3.3" Must, with_order, used_up,
        "An order whose profile was installed is not offered again.";
    "SGP22-5.6.4/events" [] ["TC_SM-DP+_ES9+.HandleNotificationNIST"] "SGP.22 §5.6.4" Must, always, events,
        "Notifications of enabling, disabling and deletion are acknowledged with 204.";
}

fn notify(rig: &mut Rig, der: &[u8]) -> Checked<Answer> {
    let body = json!({"pendingNotification": STANDARD.encode(der)});
    rig.es9_post(HandleNotificationRequest::PATH, &body)
}

fn acknowledged(what: &str, answer: &Answer) -> Checked {
    must(
        answer.status == 204 && answer.body.is_empty(),
        &format!("{what}: 204 without a body"),
        || format!("{} with {} bytes", answer.status, answer.body.len()),
    )
}

/// A download up to the result of its installation; the profile's ICCID and the order's MatchingID.
fn downloaded(rig: &mut Rig) -> Checked<([u8; 10], String, Vec<u8>)> {
    let order = rig.order()?;
    let offered = rig.offer(&order.matching_id)?;
    let key = rig.one_time_key(&offered);
    let said = rig.package(&offered, &key, None)?;
    said.executed("GetBoundProfilePackage of an offer")?;
    let metadata = StoreMetadataRequest::from_slice(offered.ok.profile_metadata.as_bytes());
    let iccid = metadata
        .map_err(|e| Finding::broken("profileMetadata", e.to_string()))?
        .iccid;
    let oid = offered.dppb.registered_id().unwrap_or_default().to_vec();
    let address = rig.address();
    let number = rig.next_notification();
    let note = notification(number, NotificationEvent::Install, &address, iccid);
    let result = rig.euicc.installed(offered.begun.id, note, &oid)?;
    Ok((iccid, order.matching_id, result))
}

/// Reports the deletion, so that the order can be cancelled.
fn give_back(rig: &mut Rig, iccid: [u8; 10]) -> Checked {
    let (number, address) = (rig.next_notification(), rig.address());
    let note = notification(number, NotificationEvent::Delete, &address, iccid);
    let der = rig.euicc.notify(note)?;
    let answer = notify(rig, &der)?;
    acknowledged("the notification of a deletion", &answer)
}

fn installed(rig: &mut Rig) -> Checked {
    let (iccid, _, result) = downloaded(rig)?;
    for what in [
        "ProfileInstallationResult",
        "ProfileInstallationResult, repeated",
    ] {
        let answer = notify(rig, &result)?;
        acknowledged(what, &answer)?;
    }
    give_back(rig, iccid)
}

fn used_up(rig: &mut Rig) -> Checked {
    let (iccid, matching_id, result) = downloaded(rig)?;
    let answer = notify(rig, &result)?;
    acknowledged("ProfileInstallationResult", &answer)?;
    let card = rig.euicc.clone();
    let said = rig.authenticate_as(&card, Some(&matching_id), |_| {}, |_| {})?;
    let checked = said
        .spoken
        .refused_somehow("an order whose profile is installed");
    let given_back = give_back(rig, iccid);
    checked.and(given_back)
}

fn events(rig: &mut Rig) -> Checked {
    // A profile that this server may never have had: it is acknowledged all the same, or the LPA would repeat it.
    let iccid = [0x98, 0x88, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xF0];
    for event in [
        NotificationEvent::Enable,
        NotificationEvent::Disable,
        NotificationEvent::Delete,
    ] {
        let (number, address) = (rig.next_notification(), rig.address());
        let der = rig
            .euicc
            .notify(notification(number, event, &address, iccid))?;
        let answer = notify(rig, &der)?;
        acknowledged(&format!("a notification ({event:?})"), &answer)?;
    }
    Ok(())
}
