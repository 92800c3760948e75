//! ProfileInfo (SGP.22 §5.7.15) and StoreMetadataRequest (§5.5.3), whose fields have the same tags.

use super::{Unread, bits, entries, iccid, keep, text};
use aid_rsp::es10::{DataObject as _, ProfileClass, ProfileInfo, StoreMetadataRequest};
use aid_rsp::tlv::{Tlv, TlvError, Writer};

/// A profile on the card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedProfile {
    /// What could be read.
    pub info: ProfileInfo,
    /// What could not.
    pub unread: Vec<Unread>,
}

/// The list of ProfileInfoListResponse, or the code of its error.
pub(crate) fn profiles(answer: &[u8]) -> Result<Result<Vec<ListedProfile>, u64>, TlvError> {
    let answer = Tlv::parse_tag(answer, 0xBF2D)?;
    let list = entries(&answer, &[0xE3])?;
    Ok(list.map(|list| list.iter().map(profile).collect()))
}

/// The metadata that a server announces or a package holds.
///
/// # Errors
/// It is no such object, or a field that the LPA decides by (ICCID, owner, Profile Policy Rules) is missing or not
/// readable; the error names it.
pub(crate) fn metadata(bytes: &[u8]) -> Result<(StoreMetadataRequest, Vec<Unread>), Unread> {
    const DECIDING: [&str; 4] = [
        "iccid",
        "profileOwner",
        "profilePolicyRules",
        "StoreMetadataRequest",
    ];
    let whole = |e: TlvError| Unread::new("StoreMetadataRequest", e);
    let object = Tlv::parse_tag(bytes, StoreMetadataRequest::TAG).map_err(whole)?;
    let ListedProfile { info, unread } = profile(&object);
    if let Some(first) = unread.iter().find(|u| DECIDING.contains(&u.field)) {
        return Err(first.clone());
    }
    let iccid = info.iccid.ok_or_else(|| Unread::new("iccid", "missing"))?;
    let metadata = StoreMetadataRequest {
        iccid,
        service_provider_name: info.service_provider_name.unwrap_or_default(),
        profile_name: info.profile_name.unwrap_or_default(),
        icon_type: info.icon_type,
        icon: info.icon,
        profile_class: info.profile_class.unwrap_or(ProfileClass::Operational),
        notifications: info.notifications,
        profile_owner: info.profile_owner,
        policy_rules: info.policy_rules,
    };
    Ok((metadata, unread))
}

fn profile(object: &Tlv<'_>) -> ListedProfile {
    let mut info = ProfileInfo::default();
    let mut unread = Vec::new();
    for field in object.children() {
        match field {
            Ok(field) => read_field(&field, &mut info, &mut unread),
            Err(error) => {
                let name = match object.tag {
                    StoreMetadataRequest::TAG => "StoreMetadataRequest",
                    _ => "ProfileInfo",
                };
                unread.push(Unread::new(name, error));
            }
        }
    }
    ListedProfile { info, unread }
}

fn read_field(field: &Tlv<'_>, info: &mut ProfileInfo, unread: &mut Vec<Unread>) {
    match field.tag {
        0x5A => info.iccid = keep(iccid(field), "iccid", unread),
        0x4F => {
            let aid = field.bytes(1, 16).map(<[u8]>::to_vec);
            info.isdp_aid = keep(aid, "isdpAid", unread);
        }
        0x90 => info.nickname = Some(text(field, "profileNickname", unread)),
        0x91 => info.service_provider_name = Some(text(field, "serviceProviderName", unread)),
        0x92 => info.profile_name = Some(text(field, "profileName", unread)),
        0x94 => info.icon = Some(field.value.to_vec()),
        0x99 => info.policy_rules = keep(bits(field), "profilePolicyRules", unread),
        0x9F70 | 0x93 | 0x95 | 0xB6 | 0xB7 | 0xB8 => read_strictly(field, info, unread),
        _ => {}
    }
}

/// Reads one field as the whole object has it.
fn read_strictly(field: &Tlv<'_>, info: &mut ProfileInfo, unread: &mut Vec<Unread>) {
    let name = match field.tag {
        0x9F70 => "profileState",
        0x93 => "iconType",
        0x95 => "profileClass",
        0xB6 => "notificationConfigurationInfo",
        0xB7 => "profileOwner",
        _ => "dpProprietaryData",
    };
    let mut w = Writer::new();
    w.constructed(ProfileInfo::TAG, |w| {
        w.raw(field.raw);
    });
    let Some(one) = keep(ProfileInfo::from_slice(&w.into_vec()), name, unread) else {
        return;
    };
    match field.tag {
        0x9F70 => info.state = one.state,
        0x93 => info.icon_type = one.icon_type,
        0x95 => info.profile_class = one.profile_class,
        0xB6 => info.notifications = one.notifications,
        0xB7 => info.profile_owner = one.profile_owner,
        _ => info.dp_proprietary_data = one.dp_proprietary_data,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aid_rsp::es10::ProfileState;

    const ICCID: &[u8] = &[0x5A, 10, 0x98, 0x94, 0x10, 0, 0, 0, 0, 0, 0, 0xF1];

    fn wrap(tag: &[u8], inside: &[u8]) -> Vec<u8> {
        assert!(inside.len() < 128);
        [tag, &[inside.len() as u8], inside].concat()
    }

    #[test]
    fn lists_are_read_however_their_entries_are_wrapped() {
        let one = wrap(&[0xE3], &[ICCID, &[0x9F, 0x70, 1, 1]].concat());
        let two = [one.clone(), one].concat();
        for inside in [
            wrap(&[0xA0], &two),
            wrap(&[0xA0], &wrap(&[0x30], &two)),
            wrap(&[0x30], &two),
            two.clone(),
        ] {
            let list = profiles(&wrap(&[0xBF, 0x2D], &inside));
            let list = list.expect("form").expect("list");
            assert_eq!(list.len(), 2, "{inside:02X?}");
            assert_eq!(list[1].info.state, Some(ProfileState::Enabled));
            assert!(list[1].unread.is_empty());
        }
        let refused = profiles(&[0xBF, 0x2D, 3, 0x81, 1, 1]).expect("form");
        assert_eq!(refused, Err(1));
        let empty = profiles(&[0xBF, 0x2D, 2, 0xA0, 0]).expect("form");
        assert_eq!(empty, Ok(vec![]));
    }

    #[test]
    fn one_field_that_is_not_readable_is_named_and_hides_no_other() {
        let bad: [(&[u8], &str); 9] = [
            (&[0x5A, 3, 1, 2, 3], "iccid"),
            (&[0x4F, 0], "isdpAid"),
            (&[0x90, 2, 0xC3, 0x28], "profileNickname"),
            (&[0x91, 1, 0xFF], "serviceProviderName"),
            (&[0x92, 1, 0x80], "profileName"),
            (&[0x9F, 0x70, 0], "profileState"),
            (&[0xB7, 2, 0x80, 0], "profileOwner"),
            (&[0x99, 2, 9, 0], "profilePolicyRules"),
            (&[0x90, 200, 0], "ProfileInfo"),
        ];
        for (field, name) in bad {
            let mut fields = vec![0x92, 4, b'N', b'a', b'm', b'e'];
            let mut expect_name = true;
            if name == "profileName" {
                fields.clear();
                expect_name = false;
            }
            fields.extend_from_slice(field);
            let answer = wrap(&[0xBF, 0x2D], &wrap(&[0xA0], &wrap(&[0xE3], &fields)));
            let list = profiles(&answer).expect("form").expect("list");
            assert!(Unread::names(&list[0].unread, &[name]), "{name}: {list:?}");
            let got = list[0].info.profile_name.as_deref();
            assert_eq!(got == Some("Name"), expect_name, "{name}");
        }
    }

    #[test]
    fn names_that_are_too_long_and_fillers_that_are_missing_are_no_errors() {
        let name = [&[0x91, 100][..], &[b'a'; 100]].concat();
        let entry = wrap(
            &[0xBF, 0x25],
            &[&[0x5A, 9, 0x98, 0x94, 0x10, 0, 0, 0, 0, 0, 0x10][..], &name].concat(),
        );
        let (read, unread) = metadata(&entry).expect("metadata");
        assert!(unread.is_empty());
        assert_eq!(read.service_provider_name.len(), 100);
        assert_eq!(read.iccid[9], 0xFF);
    }

    #[test]
    fn what_decides_must_be_readable() {
        for (field, name) in [
            (&[0x5A, 1, 1][..], "iccid"),
            (&[0x99, 2, 9, 0][..], "profilePolicyRules"),
            (&[0xB7, 2, 0x80, 0][..], "profileOwner"),
            (&[0x90, 90][..], "StoreMetadataRequest"),
        ] {
            let bytes = wrap(&[0xBF, 0x25], &[ICCID, field].concat());
            assert_eq!(metadata(&bytes).expect_err(name).field, name);
        }
        let without = wrap(&[0xBF, 0x25], &[0x91, 1, b'A']);
        assert_eq!(metadata(&without).expect_err("iccid").field, "iccid");
    }
}
