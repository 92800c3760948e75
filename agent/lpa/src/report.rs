//! What `aid-lpa` prints: JSON values, and the same as lines and tables for people. docs/lpa.md describes the values.

use crate::read::{
    ListedNotification, ListedProfile, POLICY_RULES, RSP_CAPABILITIES, UICC_CAPABILITIES, Unread,
    bit_names,
};
use crate::{ChipInfo, Downloaded, Offer, Tally};
use aid_cli::printable::printable;
use aid_id::Iccid;
use aid_rsp::es10::{NotificationEvent, OperatorId, SubjectKeyIdentifier, Version};
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

fn version(version: Option<Version>) -> Value {
    version.map_or(Value::Null, |v| Value::from(v.to_string()))
}

fn unread(list: &[Unread]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

/// Names of Profile Policy Rules.
pub(crate) fn rules(bits: u32) -> Vec<String> {
    bit_names(bits, &POLICY_RULES)
}

/// MCC and MNC as people write them, with the group identifiers where there are some.
fn operator(owner: &OperatorId) -> String {
    let [a, b, c] = owner.mcc_mnc;
    let digits = [a & 15, a >> 4, b & 15, c & 15, c >> 4, b >> 4];
    let mut text: String = digits
        .iter()
        .filter(|d| **d != 15)
        .map(|d| format!("{d:X}"))
        .collect();
    for (name, gid) in [("gid1", &owner.gid1), ("gid2", &owner.gid2)] {
        if let Some(gid) = gid {
            text.push_str(&format!(" {name} {}", hex(gid)));
        }
    }
    text
}

pub(crate) fn chip(chip: &ChipInfo) -> Value {
    let info = &chip.info;
    let keys = |ids: &[SubjectKeyIdentifier]| ids.iter().map(|id| hex(id)).collect::<Vec<_>>();
    let names = |bits: Option<u32>, names: &[&str]| match bits {
        None => Value::Null,
        Some(bits) => json!(bit_names(bits, names)),
    };
    let category = info.category.map(|category| match category {
        0 => "other".to_owned(),
        1 => "basicEuicc".to_owned(),
        2 => "mediumEuicc".to_owned(),
        3 => "contactlessEuicc".to_owned(),
        other => other.to_string(),
    });
    let table = chip.rules.as_ref().map(|table| {
        let entry = |(pprs, operators, consent): &(u32, Vec<OperatorId>, bool)| {
            let operators: Vec<String> = operators.iter().map(operator).collect();
            json!({"rules": rules(*pprs), "operators": operators, "consent_required": consent})
        };
        table.rules.iter().map(entry).collect::<Vec<_>>()
    });
    let certification = info.certification.as_ref();
    json!({
        "eid": chip.eid,
        "svn": version(info.svn),
        "profile_version": version(info.profile_version),
        "firmware": version(info.firmware),
        "installed_applications": info.installed_applications,
        "free_nvm_bytes": info.free_nvm,
        "free_ram_bytes": info.free_ram,
        "uicc_capabilities": names(info.uicc_capability, &UICC_CAPABILITIES),
        "ts102241_version": version(info.ts102241_version),
        "globalplatform_version": version(info.globalplatform_version),
        "rsp_capabilities": names(info.rsp_capability, &RSP_CAPABILITIES),
        "ci_key_ids": keys(&info.ci_for_verification),
        "ci_key_ids_for_signing": keys(&info.ci_for_signing),
        "category": category,
        "forbidden_rules": names(info.forbidden_rules, &POLICY_RULES),
        "pp_version": version(info.pp_version),
        "sas": info.sas_accreditation_number,
        "platform_label": certification.map(|c| &c.0),
        "discovery_base_url": certification.map(|c| &c.1),
        "default_smdp": chip.default_smdp,
        "root_smds": chip.root_smds,
        "rules_authorisation_table": table,
        "unreadable": unread(&chip.unread),
    })
}

pub(crate) fn profiles(list: &[ListedProfile]) -> Value {
    let one = |p: &ListedProfile| {
        let info = &p.info;
        json!({
            "iccid": iccid(info.iccid),
            "state": info.state.map(|s| s.name()),
            "class": info.profile_class.map(|c| c.name()),
            "provider": info.service_provider_name,
            "name": info.profile_name,
            "nickname": info.nickname,
            "isdp_aid": info.isdp_aid.as_deref().map(hex),
            "rules": info.policy_rules.map(rules),
            "unreadable": unread(&p.unread),
        })
    };
    list.iter().map(one).collect()
}

/// What a server offers, before anybody has agreed.
pub(crate) fn offer(offer: &Offer) -> Value {
    let metadata = &offer.metadata;
    json!({
        "server": offer.server(),
        "iccid": offer.iccid.as_str(),
        "provider": metadata.service_provider_name,
        "name": metadata.profile_name,
        "class": metadata.profile_class.name(),
        "operator": metadata.profile_owner.as_ref().map(operator),
        "rules": rules(metadata.policy_rules.unwrap_or(0)),
        "rules_need_consent": offer.rules_need_consent,
        "confirmation_code_required": offer.confirmation_code_required(),
    })
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
        "remark": done.remark,
        "apdus": figure(&tally.apdus),
        "bytes_received": figure(&tally.received),
        "bytes_sent": figure(&tally.sent),
    })
}

pub(crate) fn notification(n: &ListedNotification) -> Value {
    let event = n.event.map(|event| match event {
        NotificationEvent::Install => "install",
        NotificationEvent::Enable => "enable",
        NotificationEvent::Disable => "disable",
        NotificationEvent::Delete => "delete",
    });
    json!({
        "sequence": n.seq_number,
        "event": event,
        "server": n.address,
        "iccid": iccid(n.iccid),
        "unreadable": unread(&n.unread),
    })
}

pub(crate) fn notifications(list: &[ListedNotification]) -> Value {
    list.iter().map(notification).collect()
}

/// What cards and servers chose, on one line.
fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => printable(text).into_owned(),
        Value::Null => "-".into(),
        Value::Array(items) => items.iter().map(scalar).collect::<Vec<_>>().join(" "),
        other => printable(&other.to_string()).into_owned(),
    }
}

/// Text for people: `key: value` of an object, a table of a list of objects. Lists that are empty, and values that are
/// absent everywhere, are left out.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter(|(_, value)| !matches!(value, Value::Array(items) if items.is_empty()))
            .map(|(key, value)| match value {
                Value::Array(items) if items.iter().any(Value::is_object) => {
                    let rows = table(items).unwrap_or_default();
                    let rows = rows.lines().map(|row| format!("  {row}\n"));
                    format!("{key}:\n{}", rows.collect::<String>())
                }
                value => format!("{key}: {}\n", scalar(value)),
            })
            .collect(),
        Value::Array(items) if items.is_empty() => "none\n".into(),
        Value::Array(items) => table(items).unwrap_or_else(|| {
            let lines = items.iter().map(|item| format!("{}\n", scalar(item)));
            lines.collect()
        }),
        value => format!("{}\n", scalar(value)),
    }
}

/// A table whose columns are the members of its objects; `None` where one is no object.
fn table(items: &[Value]) -> Option<String> {
    let objects: Option<Vec<_>> = items.iter().map(Value::as_object).collect();
    let objects = objects?;
    let mut keys: Vec<&String> = Vec::new();
    for (key, value) in objects.iter().flat_map(|object| object.iter()) {
        let absent = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
        if !absent && !keys.contains(&key) {
            keys.push(key);
        }
    }
    let heads: Vec<String> = keys
        .iter()
        .map(|key| scalar(&json!(key.to_uppercase())))
        .collect();
    let mut rows = vec![heads];
    for object in &objects {
        let cell = |key: &&String| {
            let text = object.get(*key).map_or_else(|| "-".into(), scalar);
            if text.is_empty() { "-".into() } else { text }
        };
        rows.push(keys.iter().map(cell).collect());
    }
    let widths: Vec<usize> = (0..keys.len())
        .map(|column| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let line = |row: Vec<String>| {
        let cells = row.into_iter().zip(&widths).map(|(cell, width)| {
            let pad = width - cell.chars().count();
            format!("{cell}{:pad$}", "")
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        format!("{}\n", line.trim_end())
    };
    Some(rows.into_iter().map(line).collect())
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
            for (value, expected) in [
                (json!(evil), 1),
                (json!({"name": evil, "list": [evil, {"deep": evil}]}), 2),
                (json!({"name": evil, "list": [{"deep": evil}]}), 4),
                (json!({"name": evil, "in": {"deep": evil}}), 2),
                (json!([{"name": evil, "deep": [evil]}, evil]), 2),
                (json!([{"name": evil}, {"name": [evil], "more": evil}]), 3),
                (json!([{evil.clone(): evil}]), 2),
            ] {
                let lines = text(&value);
                assert!(
                    !lines.replace('\n', "").contains(is_unprintable),
                    "{lines:?}"
                );
                assert_eq!(lines.lines().count(), expected, "{lines:?}");
            }
        }
    }

    #[test]
    fn lists_are_tables() {
        let list = json!([
            {"iccid": "8949010000000000001", "name": "Ä", "nickname": null, "rules": []},
            {"iccid": "89", "name": null, "nickname": null, "rules": ["ppr1", "ppr2"]},
        ]);
        let expected = "ICCID                NAME  RULES\n8949010000000000001  Ä     -\n89                   -     ppr1 ppr2\n";
        assert_eq!(text(&list), expected);
        assert_eq!(text(&json!([])), "none\n");
    }

    #[test]
    fn operators_are_written_as_people_do() {
        for digits in ["26201", "310260", "EEEEEE"] {
            let owner = OperatorId::from_digits(digits).expect("operator");
            assert_eq!(operator(&owner), digits);
        }
    }
}
