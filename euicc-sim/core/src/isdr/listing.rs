//! GetProfilesInfo: which profiles there are, and what the LPA wants to know of them.
//! SGP.22 §5.7.15.

use super::Outcome;
use crate::apdu::sw;
use crate::card::{Card, Profile};
use crate::nvm::{Key, Nvm};
use aid_rsp::es10::{
    DataObject, ProfileInfo, ProfileInfoListError, ProfileInfoListRequest, ProfileInfoListResponse,
    ProfileSearch, ProfileState, StoreMetadataRequest,
};
use aid_rsp::tlv::Tag;
use alloc::vec::Vec;

/// What GetProfilesInfo answers without a tag list (§5.7.15).
const DEFAULT_TAGS: [Tag; 9] = [0x5A, 0x4F, 0x9F70, 0x90, 0x91, 0x92, 0x93, 0x94, 0x95];

impl<N: Nvm> Card<N> {
    pub(super) fn profiles_info(&mut self, request: &[u8]) -> Outcome {
        let request = ProfileInfoListRequest::from_slice(request).ok();
        let parsed = request.and_then(|r| match &r.tag_list {
            Some(list) => tags_in(list).map(|tags| (r.search, tags)),
            None => Some((r.search, DEFAULT_TAGS.to_vec())),
        });
        let Some((search, tags)) = parsed else {
            let error = ProfileInfoListError::IncorrectInputValues;
            return Ok(ProfileInfoListResponse::Error(error).to_vec());
        };
        let found = self.found(search.as_ref(), &tags);
        let undefined = ProfileInfoListError::UndefinedError;
        let response = found.map(ProfileInfoListResponse::Ok);
        let response = self.or_undefined(response, ProfileInfoListResponse::Error(undefined))?;
        Ok(response.to_vec())
    }

    fn found(
        &mut self,
        search: Option<&ProfileSearch>,
        tags: &[Tag],
    ) -> Result<Vec<ProfileInfo>, u16> {
        let wanted = |p: &Profile| match search {
            None => true,
            Some(ProfileSearch::IsdpAid(aid)) => p.aid() == aid[..],
            Some(ProfileSearch::Iccid(iccid)) => p.iccid() == *iccid,
            Some(ProfileSearch::Class(class)) => p.class() == *class,
        };
        let profiles = self.store.state().profiles.clone();
        let mut found = Vec::new();
        for profile in profiles.iter().filter(|p| wanted(p)) {
            let mut info = info(profile, tags);
            // iconType is there with an icon only.
            let pictured = profile
                .metadata
                .as_ref()
                .is_some_and(|m| m.icon_type.is_some());
            if pictured && tags.contains(&0x94) {
                info.icon = self.stored_metadata(profile.slot)?.icon;
            }
            found.push(info);
        }
        Ok(found)
    }

    /// A profile's metadata from NVM, icon included.
    pub(super) fn stored_metadata(&mut self, slot: u16) -> Result<StoreMetadataRequest, u16> {
        let record = self.store.nvm.get(Key::Metadata(slot));
        let record = record.map_err(|error| self.memory_failed(&error))?;
        let metadata = record.and_then(|r| StoreMetadataRequest::from_slice(&r).ok());
        metadata.ok_or(sw::MEMORY_FAILURE)
    }
}

/// The tags of a tag list; `None` when it ends inside one.
fn tags_in(list: &[u8]) -> Option<Vec<Tag>> {
    let mut tags = Vec::new();
    let mut bytes = list.iter();
    while let Some(first) = bytes.next() {
        let mut tag = Tag::from(*first);
        if first & 0x1F == 0x1F {
            loop {
                let next = bytes.next()?;
                tag = tag.checked_mul(256)? | Tag::from(*next);
                if next & 0x80 == 0 {
                    break;
                }
            }
        }
        tags.push(tag);
    }
    Some(tags)
}

/// What was asked for of one profile.
fn info(profile: &Profile, tags: &[Tag]) -> ProfileInfo {
    let has = |tag: Tag| tags.contains(&tag);
    let metadata = profile.metadata.as_ref();
    let state = if profile.enabled {
        ProfileState::Enabled
    } else {
        ProfileState::Disabled
    };
    let owner = metadata.and_then(|m| m.profile_owner.clone());
    ProfileInfo {
        iccid: has(0x5A).then(|| profile.iccid()),
        isdp_aid: has(0x4F).then(|| profile.aid().to_vec()),
        state: has(0x9F70).then_some(state),
        nickname: profile.nickname.clone().filter(|_| has(0x90)),
        service_provider_name: metadata
            .filter(|_| has(0x91))
            .map(|m| m.service_provider_name.clone()),
        profile_name: metadata
            .filter(|_| has(0x92))
            .map(|m| m.profile_name.clone()),
        icon_type: metadata.filter(|_| has(0x93)).and_then(|m| m.icon_type),
        icon: None,
        profile_class: has(0x95).then(|| profile.class()),
        notifications: metadata
            .filter(|_| has(0xB6))
            .map(|m| m.notifications.clone())
            .unwrap_or_default(),
        profile_owner: owner.filter(|_| has(0xB7)),
        dp_proprietary_data: profile.dp_proprietary.clone().filter(|_| has(0xB8)),
        policy_rules: metadata.filter(|_| has(0x99)).and_then(|m| m.policy_rules),
    }
}
