//! Local management of profiles, ES10c: SGP.22 §5.7.15 to §5.7.18, §5.7.21.

use super::installing::{by_iccid, install};
use super::{Rig, with_server};
use crate::rsp::findings::{Checked, must, one_of, same};
use crate::rsp::profile::Profile;
use crate::rsp::table;
use crate::test::{Finding, always};
use aid_rsp::es10::{
    DeleteResult, DisableResult, EnableResult, ProfileClass, ProfileIdentifier, ProfileInfo,
    ProfileInfoListRequest, ProfileInfoListResponse, ProfileSearch, ProfileState,
    SetNicknameRequest, SetNicknameResponse, SetNicknameResult,
};

/// An ICCID that no profile has.
const UNKNOWN: [u8; 10] = [0x98, 0x88, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xF0];

table! { Rig;
    "SGP22-5.7.15/list" [] ["4.2.20"] "SGP.22 §5.7.15" Must, always, list,
        "GetProfilesInfo has ICCID, ISD-P AID and state of each profile.";
    "SGP22-5.7.15/unknown" [] ["4.2.20"] "SGP.22 §5.7.15" Must, always, unknown_search,
        "GetProfilesInfo of an unknown ICCID is an empty list.";
    "SGP22-5.7.15/search" [] ["4.2.20"] "SGP.22 §5.7.15" Must, with_server, search,
        "GetProfilesInfo by ICCID, by ISD-P AID and by class yields the profiles that match, and no other.";
    "SGP22-5.7.15/tag-list" [] ["4.2.20"] "SGP.22 §5.7.15" Must, with_server, tag_list,
        "A tag list yields these tags, and no others.";
    "SGP22-5.7.16/enables" [] ["4.2.21"] "SGP.22 §5.7.16" Must, with_server, enables,
        "A disabled profile is enabled, and the one that was enabled is disabled by that.";
    "SGP22-5.7.16/by-aid" [] ["4.2.21"] "SGP.22 §5.7.16" Must, with_server, by_aid,
        "A profile is enabled and disabled by the AID of its ISD-P, too.";
    "SGP22-5.7.16/twice" [] ["4.2.21"] "SGP.22 §5.7.16" Must, with_server, enabled_twice,
        "EnableProfile of an enabled profile is refused with profileNotInDisabledState.";
    "SGP22-5.7.16/unknown" [] ["4.2.21"] "SGP.22 §5.7.16" Must, always, enable_unknown,
        "EnableProfile of an unknown profile is refused with iccidOrAidNotFound.";
    "SGP22-5.7.16/persists" [] [] "SGP.22 §3.2.1" Must, with_server, persists,
        "An enabled profile is enabled after a reset.";
    "SGP22-5.7.17/disables" [] ["4.2.22"] "SGP.22 §5.7.17" Must, with_server, disables,
        "An enabled profile is disabled, also after a reset.";
    "SGP22-5.7.17/twice" [] ["4.2.22"] "SGP.22 §5.7.17" Must, with_server, disabled_twice,
        "DisableProfile of a disabled profile is refused with profileNotInEnabledState.";
    "SGP22-5.7.17/unknown" [] ["4.2.22"] "SGP.22 §5.7.17" Must, always, disable_unknown,
        "DisableProfile of an unknown profile is refused with iccidOrAidNotFound.";
    "SGP22-5.7.18/deletes" ["R-4.4.1-10"] ["4.2.23"] "SGP.22 §5.7.18" Must, with_server, deletes,
        "A disabled profile is deleted, and is gone from GetProfilesInfo, also after a reset.";
    "SGP22-5.7.18/enabled" [] ["4.2.23"] "SGP.22 §5.7.18" Must, with_server, delete_enabled,
        "DeleteProfile of an enabled profile is refused with profileNotInDisabledState.";
    "SGP22-5.7.18/unknown" [] ["4.2.23"] "SGP.22 §5.7.18" Must, always, delete_unknown,
        "DeleteProfile of an unknown profile is refused with iccidOrAidNotFound.";
    "SGP22-5.7.21/sets" [] ["4.2.26"] "SGP.22 §5.7.21" Must, with_server, nickname,
        "A nickname of up to 64 bytes is set, shown, survives a reset, and is gone when an empty one is set.";
    "SGP22-5.7.21/unknown" [] ["4.2.26"] "SGP.22 §5.7.21" Must, always, nickname_unknown,
        "SetNickname of an unknown profile is refused with iccidNotFound.";
}

fn list(rig: &mut Rig) -> Checked {
    for profile in rig.profiles()? {
        must(
            profile.iccid.is_some() && profile.isdp_aid.is_some() && profile.state.is_some(),
            "GetProfilesInfo without tag list: 5A, 4F and 9F70 of each profile",
            || format!("{profile:?}"),
        )?;
    }
    Ok(())
}

fn find(rig: &mut Rig, request: &ProfileInfoListRequest) -> Checked<Vec<ProfileInfo>> {
    match rig.call("GetProfilesInfo", request)? {
        ProfileInfoListResponse::Ok(list) => Ok(list),
        ProfileInfoListResponse::Error(code) => {
            Err(Finding::broken("profileInfoListOk", code.to_string()))
        }
    }
}

fn searched(rig: &mut Rig, search: ProfileSearch) -> Checked<Vec<[u8; 10]>> {
    let request = ProfileInfoListRequest {
        search: Some(search),
        tag_list: None,
    };
    let list = find(rig, &request)?;
    Ok(list.into_iter().filter_map(|p| p.iccid).collect())
}

fn unknown_search(rig: &mut Rig) -> Checked {
    let found = searched(rig, ProfileSearch::Iccid(UNKNOWN))?;
    same(
        "GetProfilesInfo of an unknown ICCID: an empty list",
        &Vec::new(),
        &found,
    )
}

fn aid_of(rig: &mut Rig, profile: &Profile) -> Checked<Vec<u8>> {
    let list = rig.profiles()?;
    let found = list.into_iter().find(|p| p.iccid == Some(profile.iccid));
    found
        .and_then(|p| p.isdp_aid)
        .ok_or_else(|| Finding::broken("the AID of the profile's ISD-P", "none"))
}

fn search(rig: &mut Rig) -> Checked {
    let (one, _two) = (install(rig)?, install(rig)?);
    let only = vec![one.iccid];
    let found = searched(rig, ProfileSearch::Iccid(one.iccid))?;
    same("GetProfilesInfo by ICCID", &only, &found)?;
    let aid = aid_of(rig, &one)?;
    let found = searched(rig, ProfileSearch::IsdpAid(aid))?;
    same("GetProfilesInfo by ISD-P AID", &only, &found)?;
    let found = searched(rig, ProfileSearch::Class(ProfileClass::Operational))?;
    must(
        found.contains(&one.iccid),
        "GetProfilesInfo by class operational: the profile",
        || format!("{found:02X?}"),
    )?;
    let found = searched(rig, ProfileSearch::Class(ProfileClass::Provisioning))?;
    must(
        !found.contains(&one.iccid),
        "GetProfilesInfo by class provisioning: not the profile",
        || format!("{found:02X?}"),
    )
}

fn tag_list(rig: &mut Rig) -> Checked {
    let profile = install(rig)?;
    let request = ProfileInfoListRequest {
        search: Some(ProfileSearch::Iccid(profile.iccid)),
        tag_list: Some(vec![0x5A, 0x9F, 0x70, 0xB6]),
    };
    let found = find(rig, &request)?;
    let expected = ProfileInfo {
        iccid: Some(profile.iccid),
        state: Some(ProfileState::Disabled),
        notifications: profile.metadata.notifications,
        ..ProfileInfo::default()
    };
    same(
        "GetProfilesInfo with the tag list 5A 9F70 B6",
        &vec![expected],
        &found,
    )
}

/// Enables a profile, which must succeed, and waits until the card shows it.
pub(super) fn enable(rig: &mut Rig, profile: &Profile) -> Checked {
    let answer = rig.enable(&by_iccid(profile))?;
    one_of(
        "EnableProfile of a disabled profile",
        &[EnableResult::Ok],
        &answer.result,
    )?;
    shows(
        rig,
        profile,
        Some(ProfileState::Enabled),
        "the profile after EnableProfile",
    )
}

/// Disables a profile, which must succeed, and waits until the card shows it.
pub(super) fn disable(rig: &mut Rig, profile: &Profile) -> Checked {
    let answer = rig.disable(&by_iccid(profile))?;
    one_of(
        "DisableProfile of an enabled profile",
        &[DisableResult::Ok],
        &answer.result,
    )?;
    shows(
        rig,
        profile,
        Some(ProfileState::Disabled),
        "the profile after DisableProfile",
    )
}

/// Deletes a profile, which must succeed.
pub(super) fn delete(rig: &mut Rig, profile: &Profile) -> Checked {
    let answer = rig.delete(&by_iccid(profile))?;
    one_of(
        "DeleteProfile of a disabled profile",
        &[DeleteResult::Ok],
        &answer.result,
    )?;
    shows(rig, profile, None, "the profile after DeleteProfile")
}

fn shows(rig: &mut Rig, profile: &Profile, wanted: Option<ProfileState>, what: &str) -> Checked {
    if rig.await_state(profile.iccid, wanted)? {
        return Ok(());
    }
    let seen = rig.state(profile.iccid)?;
    same(what, &wanted, &seen)
}

fn enables(rig: &mut Rig) -> Checked {
    let (one, two) = (install(rig)?, install(rig)?);
    enable(rig, &one)?;
    enable(rig, &two)?;
    shows(
        rig,
        &one,
        Some(ProfileState::Disabled),
        "the profile that was enabled before",
    )
}

fn by_aid(rig: &mut Rig) -> Checked {
    let profile = install(rig)?;
    let aid = ProfileIdentifier::IsdpAid(aid_of(rig, &profile)?);
    let answer = rig.enable(&aid)?;
    one_of(
        "EnableProfile by ISD-P AID",
        &[EnableResult::Ok],
        &answer.result,
    )?;
    shows(
        rig,
        &profile,
        Some(ProfileState::Enabled),
        "the profile after EnableProfile by AID",
    )?;
    let answer = rig.disable(&aid)?;
    one_of(
        "DisableProfile by ISD-P AID",
        &[DisableResult::Ok],
        &answer.result,
    )?;
    shows(
        rig,
        &profile,
        Some(ProfileState::Disabled),
        "the profile after DisableProfile by AID",
    )
}

fn enabled_twice(rig: &mut Rig) -> Checked {
    let profile = install(rig)?;
    enable(rig, &profile)?;
    let answer = rig.enable(&by_iccid(&profile))?;
    one_of(
        "EnableProfile of an enabled profile",
        &[EnableResult::NotInDisabledState],
        &answer.result,
    )
}

fn enable_unknown(rig: &mut Rig) -> Checked {
    let answer = rig.enable(&ProfileIdentifier::Iccid(UNKNOWN))?;
    one_of(
        "EnableProfile of an unknown profile",
        &[EnableResult::NotFound],
        &answer.result,
    )
}

fn persists(rig: &mut Rig) -> Checked {
    let profile = install(rig)?;
    enable(rig, &profile)?;
    rig.reset()?;
    shows(
        rig,
        &profile,
        Some(ProfileState::Enabled),
        "an enabled profile after a reset",
    )
}

fn disables(rig: &mut Rig) -> Checked {
    let profile = install(rig)?;
    enable(rig, &profile)?;
    disable(rig, &profile)?;
    rig.reset()?;
    shows(
        rig,
        &profile,
        Some(ProfileState::Disabled),
        "a disabled profile after a reset",
    )
}

fn disabled_twice(rig: &mut Rig) -> Checked {
    let profile = install(rig)?;
    let answer = rig.disable(&by_iccid(&profile))?;
    one_of(
        "DisableProfile of a disabled profile",
        &[DisableResult::NotInEnabledState],
        &answer.result,
    )
}

fn disable_unknown(rig: &mut Rig) -> Checked {
    let answer = rig.disable(&ProfileIdentifier::Iccid(UNKNOWN))?;
    one_of(
        "DisableProfile of an unknown profile",
        &[DisableResult::NotFound],
        &answer.result,
    )
}

fn deletes(rig: &mut Rig) -> Checked {
    let profile = install(rig)?;
    delete(rig, &profile)?;
    rig.reset()?;
    shows(rig, &profile, None, "a deleted profile after a reset")?;
    let again = rig.delete(&by_iccid(&profile))?;
    one_of(
        "DeleteProfile a second time",
        &[DeleteResult::NotFound],
        &again.result,
    )
}

fn delete_enabled(rig: &mut Rig) -> Checked {
    let profile = install(rig)?;
    enable(rig, &profile)?;
    let answer = rig.delete(&by_iccid(&profile))?;
    one_of(
        "DeleteProfile of an enabled profile",
        &[DeleteResult::NotInDisabledState],
        &answer.result,
    )?;
    shows(
        rig,
        &profile,
        Some(ProfileState::Enabled),
        "an enabled profile after DeleteProfile",
    )
}

fn delete_unknown(rig: &mut Rig) -> Checked {
    let answer = rig.delete(&ProfileIdentifier::Iccid(UNKNOWN))?;
    one_of(
        "DeleteProfile of an unknown profile",
        &[DeleteResult::NotFound],
        &answer.result,
    )
}

fn set_nickname(rig: &mut Rig, iccid: [u8; 10], nickname: &str) -> Checked<SetNicknameResult> {
    let request = SetNicknameRequest {
        iccid,
        nickname: nickname.to_owned(),
    };
    let answer: SetNicknameResponse = rig.call("SetNickname", &request)?;
    Ok(answer.result)
}

fn nickname(rig: &mut Rig) -> Checked {
    let profile = install(rig)?;
    // 64 bytes, some of them in characters of two.
    let long = "ä".repeat(8) + &"n".repeat(48);
    for (name, shown) in [("car", Some("car")), (&*long, Some(&*long)), ("", None)] {
        let result = set_nickname(rig, profile.iccid, name)?;
        one_of("SetNickname", &[SetNicknameResult::Ok], &result)?;
        rig.reset()?;
        let list = rig.profiles()?;
        let found = list.iter().find(|p| p.iccid == Some(profile.iccid));
        let seen = found
            .and_then(|p| p.nickname.as_deref())
            .filter(|n| !n.is_empty());
        same(
            "profileNickname after SetNickname and a reset",
            &shown,
            &seen,
        )?;
    }
    Ok(())
}

fn nickname_unknown(rig: &mut Rig) -> Checked {
    let result = set_nickname(rig, UNKNOWN, "car")?;
    one_of(
        "SetNickname of an unknown profile",
        &[SetNicknameResult::IccidNotFound],
        &result,
    )
}
