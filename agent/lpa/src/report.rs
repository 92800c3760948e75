//! What `aid-lpa` prints: JSON values, and the same as lines for people. Called by `program`.

use crate::{ChipInfo, Downloaded, Tally};
use aid_cli::printable::printable;
use aid_id::Iccid;
use aid_rsp::es10::{NotificationEvent, NotificationMetadata, ProfileInfo};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

/// Digits of an ICCID; where a card has something else, its bytes in hexadecimal digits.
fn iccid(bytes: Option<[u8; 10]>) -> Value {
    match bytes {
        None => Value::Null,
        Some(bytes) => match Iccid::from_bcd(&bytes) {
            Ok(iccid) => Value::from(iccid.as_str()),
            Err(_) => Value::from(hex(&bytes)),
        },
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02X}")).collect()
}

pub(crate) fn chip(chip: &ChipInfo) -> Value {
    let info = &chip.info2;
    let issuers: Vec<String> = info
        .ci_pkid_for_verification
        .iter()
        .map(|id| hex(id))
        .collect();
    json!({
        "eid": chip.eid,
        "svn": info.svn.to_string(),
        "profile_version": info.profile_version.to_string(),
        "firmware": info.firmware.to_string(),
        "free_nvm_bytes": info.free_nvm(),
        "ci_key_ids": issuers,
        "default_smdp": chip.addresses.default_dp_address,
        "root_smds": chip.addresses.root_ds_address,
        "sas": info.sas_accreditation_number,
    })
}

pub(crate) fn profiles(list: &[ProfileInfo]) -> Value {
    let one = |p: &ProfileInfo| {
        json!({
            "iccid": iccid(p.iccid),
            "state": p.state.map(|s| s.name()),
            "class": p.profile_class.map(|c| c.name()),
            "provider": p.service_provider_name,
            "name": p.profile_name,
            "nickname": p.nickname,
        })
    };
    list.iter().map(one).collect()
}

pub(crate) fn download(done: &Downloaded, enabled: bool, tally: &Tally) -> Value {
    let figure = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    json!({
        "iccid": done.iccid.as_str(),
        "state": if enabled { "enabled" } else { "disabled" },
        "provider": done.metadata.service_provider_name,
        "name": done.metadata.profile_name,
        "notification": done.seq_number,
        "notification_error": done.notification_error,
        "apdus": figure(&tally.apdus),
        "bytes_received": figure(&tally.received),
        "bytes_sent": figure(&tally.sent),
    })
}

pub(crate) fn notifications(list: &[NotificationMetadata]) -> Value {
    let one = |n: &NotificationMetadata| {
        let event = match n.event {
            NotificationEvent::Install => "install",
            NotificationEvent::Enable => "enable",
            NotificationEvent::Disable => "disable",
            NotificationEvent::Delete => "delete",
        };
        json!({
            "sequence": n.seq_number,
            "event": event,
            "address": n.address,
            "iccid": iccid(n.iccid),
        })
    };
    list.iter().map(one).collect()
}

/// Lines for people: `key: value` of an object, one line for each item of a list.
pub(crate) fn text(value: &Value) -> String {
    let scalar = |value: &Value| match value {
        // Cards and servers chose these words.
        Value::String(text) => printable(text).into_owned(),
        Value::Null => "-".into(),
        other => printable(&other.to_string()).into_owned(),
    };
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| match value {
                Value::Array(items) => {
                    let items: Vec<String> = items.iter().map(scalar).collect();
                    format!("{key}: {}\n", items.join(" "))
                }
                value => format!("{key}: {}\n", scalar(value)),
            })
            .collect(),
        Value::Array(items) if items.is_empty() => "none\n".into(),
        Value::Array(items) => items
            .iter()
            .map(|item| match item {
                Value::Object(fields) => {
                    let cells: Vec<String> = fields
                        .iter()
                        .filter(|(_, value)| !value.is_null())
                        .map(|(key, value)| format!("{key}={}", scalar(value)))
                        .collect();
                    format!("{}\n", cells.join("  "))
                }
                item => format!("{}\n", scalar(item)),
            })
            .collect(),
        value => format!("{}\n", scalar(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aid_cli::printable::is_unprintable;

    #[test]
    fn what_a_card_or_a_server_says_forges_no_line() {
        for c in (0..0x1_0000).filter_map(char::from_u32) {
            if !is_unprintable(c) {
                continue;
            }
            let evil = format!("a{c}iccid=8949000000000000018");
            for value in [
                json!(evil),
                json!({"name": evil, "list": [evil, {"deep": evil}], "in": {"deep": evil}}),
                json!([{"name": evil, "deep": [evil]}, evil]),
            ] {
                let lines = text(&value);
                assert!(
                    !lines.replace('\n', "").contains(is_unprintable),
                    "{lines:?}"
                );
                let expected = text(&json!(value.to_string().len())).lines().count();
                let expected = value.as_object().map_or(expected, serde_json::Map::len);
                let expected = value.as_array().map_or(expected, Vec::len);
                assert_eq!(lines.lines().count(), expected, "{lines:?}");
            }
        }
    }
}
