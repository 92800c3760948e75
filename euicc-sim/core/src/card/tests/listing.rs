//! Given profiles with all kinds of metadata, when the LPA asks for them, then it gets what it asks
//! for, once and in the right form; and figures of memory are true.
use super::host::*;
use crate::card::Options;
use crate::nvm::Key;
use aid_rsp::es10::*;
use aid_rsp::tlv::{Reader, Tlv};
use std::vec::Vec;

/// Profile 1 with everything that metadata can have.
fn rich() -> StoreMetadataRequest {
    StoreMetadataRequest {
        icon_type: Some(IconType::Png),
        icon: Some(std::vec![0x89; 900]),
        policy_rules: Some(ppr::PPR2),
        ..metadata(1)
    }
}

fn host() -> Host {
    let mut host = Host::new();
    let result = host.download(&rich(), &package(1), &Tamper::default());
    assert!(
        matches!(result, Ok(Some(FinalResult::Success { .. }))),
        "{result:?}"
    );
    host.install(2);
    let name = SetNicknameRequest {
        iccid: metadata(1).iccid,
        nickname: "Work".into(),
    };
    let _: SetNicknameResponse = host.call(&name);
    host
}

fn ask(host: &mut Host, search: Option<ProfileSearch>, tags: Option<&[u8]>) -> Vec<ProfileInfo> {
    let request = ProfileInfoListRequest {
        search,
        tag_list: tags.map(<[u8]>::to_vec),
    };
    match host.call(&request) {
        ProfileInfoListResponse::Ok(list) => list,
        ProfileInfoListResponse::Error(code) => panic!("{code}"),
    }
}

#[test]
fn every_search_criterion_finds_what_it_names() {
    let mut host = host();
    let count = |host: &mut Host, search| ask(host, Some(search), None).len();
    let aid = |last: u8| {
        let mut aid = crate::card::ISDR_AID.to_vec();
        aid[14] = last;
        aid[13] = 0;
        ProfileSearch::IsdpAid(aid)
    };
    assert_eq!(ask(&mut host, None, None).len(), 2);
    assert_eq!(count(&mut host, aid(0x10)), 1);
    assert_eq!(count(&mut host, aid(0x11)), 1);
    assert_eq!(count(&mut host, aid(0x12)), 0);
    assert_eq!(count(&mut host, ProfileSearch::Iccid(metadata(2).iccid)), 1);
    assert_eq!(count(&mut host, ProfileSearch::Iccid(metadata(3).iccid)), 0);
    assert_eq!(
        count(&mut host, ProfileSearch::Class(ProfileClass::Operational)),
        2
    );
    assert_eq!(
        count(&mut host, ProfileSearch::Class(ProfileClass::Test)),
        0
    );
    assert_eq!(
        count(&mut host, ProfileSearch::Class(ProfileClass::Provisioning)),
        0
    );
}

#[test]
fn every_tag_brings_its_data_object_and_no_other() {
    let mut host = host();
    let search = ProfileSearch::Iccid(metadata(1).iccid);
    let tags: [&[u8]; 12] = [
        &[0x5A],
        &[0x4F],
        &[0x9F, 0x70],
        &[0x90],
        &[0x91],
        &[0x92],
        &[0x93],
        &[0x94],
        &[0x95],
        &[0xB6],
        &[0xB7],
        &[0x99],
    ];
    for tag in tags {
        let request = ProfileInfoListRequest {
            search: Some(search.clone()),
            tag_list: Some(tag.to_vec()),
        };
        let answer = host.es10(&request.to_vec()).unwrap();
        // BF2D, A0, E3: no SEQUENCE too many, and in the E3 one object with this tag.
        let outer = Tlv::parse_tag(&answer, 0xBF2D).unwrap();
        let list = Tlv::parse_tag(outer.value, 0xA0).unwrap();
        let info = Tlv::parse_tag(list.value, 0xE3).unwrap();
        let mut inside = Reader::new(info.value);
        assert!(
            inside.read().unwrap().unwrap().raw.starts_with(tag),
            "{tag:02X?}"
        );
        inside.finish().unwrap();
    }
    // All at once, and nothing for tags that nobody knows.
    let all: Vec<u8> = tags.concat();
    let info = &ask(&mut host, Some(search.clone()), Some(&all))[0];
    assert_eq!(info.icon.as_ref().map(Vec::len), Some(900));
    assert_eq!(info.nickname.as_deref(), Some("Work"));
    assert_eq!(info.policy_rules, Some(ppr::PPR2));
    assert_eq!(info.notifications.len(), 2);
    assert_eq!(info.profile_owner, metadata(1).profile_owner);
    let unknown = &ask(&mut host, Some(search.clone()), Some(&[0xBF, 0x76, 0xC1]))[0];
    assert_eq!(*unknown, ProfileInfo::default());
    // The default list has neither notification addresses nor owner nor rules (§5.7.15).
    let info = &ask(&mut host, Some(search), None)[0];
    assert!(info.icon.is_some() && info.isdp_aid.is_some() && info.state.is_some());
    assert!(info.notifications.is_empty() && info.profile_owner.is_none());
    assert_eq!(info.policy_rules, None);
}

#[test]
fn every_code_of_get_profiles_info_is_there() {
    let mut host = host();
    let error = |answer: Vec<u8>| match ProfileInfoListResponse::from_slice(&answer) {
        Ok(ProfileInfoListResponse::Error(code)) => code,
        other => panic!("{other:?}"),
    };
    let incorrect = ProfileInfoListError::IncorrectInputValues;
    for wrong in [
        // An unknown criterion, a class that is none, a tag cut short, an ICCID of nine bytes.
        &b"\xBF\x2D\x05\xA0\x03\x81\x01\x01"[..],
        b"\xBF\x2D\x05\xA0\x03\x95\x01\x03",
        b"\xBF\x2D\x03\x5C\x01\x9F",
        b"\xBF\x2D\x0D\xA0\x0B\x5A\x09\x98\x88\x12\x34\x56\x78\x90\x12\x34",
    ] {
        assert_eq!(error(host.es10(wrong).unwrap()), incorrect);
    }
    host.card.nvm().refuse_read(Key::Metadata(0));
    let answer = host
        .es10(&ProfileInfoListRequest::default().to_vec())
        .unwrap();
    assert_eq!(error(answer), ProfileInfoListError::UndefinedError);
    assert_eq!(ProfileInfoListError::ALL.len(), 2);
    assert_eq!(ask(&mut host, None, None).len(), 2);
}

#[test]
fn free_memory_goes_with_installations_and_comes_back() {
    let free = |h: &mut Host| {
        let info: EuiccInfo2 = h.call(&GetEuiccInfo2Request);
        let resources = &info.ext_card_resource;
        // Tag 81: installed applications.
        assert_eq!(resources[..2], [0x81, 1]);
        (resources[2], info.free_nvm().unwrap())
    };
    let mut host = Host::new();
    let empty = free(&mut host);
    assert_eq!(empty, (0, u64::from(Options::default().memory)));
    host.install(1);
    let one = free(&mut host);
    let records = host.card.nvm().records();
    let size = |key| records.get(&key).map_or(0, Vec::len) as u64;
    let taken = size(Key::Image(0)) + size(Key::Metadata(0));
    assert_eq!(one, (1, empty.1 - taken));
    host.install(2);
    assert!(free(&mut host).1 < one.1);
    assert_eq!(host.delete(2), DeleteResult::Ok);
    assert_eq!(free(&mut host), one);
    let mut host = Host::with(host.card.nvm().clone());
    assert_eq!(free(&mut host), one);
    assert_eq!(host.delete(1), DeleteResult::Ok);
    assert_eq!(free(&mut host), empty);
}

#[test]
fn an_operator_updates_what_its_enabled_profile_shows() {
    let mut host = host();
    let update = |request: &UpdateMetadataRequest| request.to_vec();
    let name = UpdateMetadataRequest {
        service_provider_name: Some("New".into()),
        ..UpdateMetadataRequest::default()
    };
    assert_eq!(host.card.update_metadata(&update(&name)), Err(0x6985));
    assert_eq!(host.enable(1), EnableResult::Ok);
    assert_eq!(host.card.update_metadata(&update(&name)), Ok(()));
    let info = |host: &mut Host| {
        let tags = [0x91, 0x92, 0x93, 0x94, 0x99];
        ask(
            host,
            Some(ProfileSearch::Iccid(metadata(1).iccid)),
            Some(&tags),
        )
        .remove(0)
    };
    let got = info(&mut host);
    assert_eq!(got.service_provider_name.as_deref(), Some("New"));
    assert_eq!(got.profile_name.as_deref(), Some("Profile 1"));
    assert_eq!(got.icon.as_ref().map(Vec::len), Some(900));
    // An icon needs its type; an empty one takes it away; rules can be given up, not set.
    let icon = |icon: &[u8], icon_type| UpdateMetadataRequest {
        icon: Some(icon.to_vec()),
        icon_type,
        ..UpdateMetadataRequest::default()
    };
    assert_eq!(
        host.card.update_metadata(&update(&icon(&[1], None))),
        Err(0x6A80)
    );
    let jpg = icon(&[1, 2], Some(IconType::Jpg));
    assert_eq!(host.card.update_metadata(&update(&jpg)), Ok(()));
    let got = info(&mut host);
    assert_eq!(
        (got.icon_type, got.icon),
        (Some(IconType::Jpg), Some(std::vec![1, 2]))
    );
    assert_eq!(host.card.update_metadata(&update(&icon(&[], None))), Ok(()));
    assert_eq!(info(&mut host).icon, None);
    let rules = |rules| UpdateMetadataRequest {
        policy_rules: Some(rules),
        ..UpdateMetadataRequest::default()
    };
    // What is not set stays so; pprUpdateControl is for later versions.
    let more = rules(ppr::PPR1 | ppr::PPR2);
    assert_eq!(host.card.update_metadata(&update(&more)), Ok(()));
    let control = rules(ppr::UPDATE_CONTROL);
    assert_eq!(host.card.update_metadata(&update(&control)), Err(0x6A80));
    assert_eq!(info(&mut host).policy_rules, Some(ppr::PPR2));
    assert_eq!(host.card.update_metadata(&update(&rules(0))), Ok(()));
    assert_eq!(
        host.card.update_metadata(b"\xBF\x2A\x02\x91\x05"),
        Err(0x6A80)
    );
    // Too long for what is left.
    let memory = core::mem::replace(&mut host.card.options.memory, 0);
    let longer = UpdateMetadataRequest {
        profile_name: Some("A name that is longer than the one before".into()),
        ..UpdateMetadataRequest::default()
    };
    assert_eq!(host.card.update_metadata(&update(&longer)), Err(0x6A84));
    host.card.options.memory = memory;
    host.card.nvm().refuse_commit(0);
    assert_eq!(host.card.update_metadata(&update(&name)), Err(0x6581));
    let mut host = Host::with(host.card.nvm().clone());
    let got = info(&mut host);
    assert_eq!(
        (got.policy_rules, got.service_provider_name.as_deref()),
        (None, Some("New"))
    );
    assert_eq!(host.disable(1), DisableResult::Ok);
    assert_eq!(host.delete(1), DeleteResult::Ok);
}

#[test]
fn context_parameters_come_back_byte_for_byte() {
    let mut host = Host::new();
    // matchingId, DeviceInfo with a capability of a later release, and fields that nobody knows.
    let raw = hex::decode("a026 8005 544f4b454e a11d 8004 35290611 a10d 8003010000 8b03110000 8f0101 8208 1122334455667788".replace(' ', ""));
    let mut raw = raw.unwrap();
    raw[1] = raw.len() as u8 - 2;
    raw[10] = raw.len() as u8 - 11;
    let swap = |r: &mut AuthenticateServerRequest| {
        r.ctx_params1 = Signed::from_slice(&raw).unwrap();
    };
    let tamper = Tamper {
        auth: Some(&swap),
        ..Tamper::default()
    };
    let AuthenticateServerResponse::Ok(ok) = host.authenticate(&tamper) else {
        panic!()
    };
    let signed = ok.euicc_signed1.value();
    assert_eq!(signed.ctx_params1.bytes(), raw);
    assert!(ok.euicc_signed1.bytes().ends_with(&raw));
    let result = host.prepare(&ok, &Tamper::default());
    assert!(matches!(result, PrepareDownloadResponse::Ok { .. }));
}
