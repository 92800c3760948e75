//! GetProfilesInfo: SGP.22 §5.7.15.

use super::code::result_codes;
use super::metadata::{
    IconType, NotificationConfigurationInformation, OperatorId, ProfileClass, read_notifications,
    write_notifications,
};
use super::object::{DataObject, read_list, write_list};
use super::tag;
use crate::tlv::{Reader, Tag, Tlv, TlvError, Writer};
use alloc::{string::String, vec::Vec};

result_codes! {
    /// ProfileState.
    ProfileState otherwise Disabled {
        /// Disabled.
        Disabled = 0 "disabled",
        /// Enabled.
        Enabled = 1 "enabled",
    }
}

/// Which profiles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProfileSearch {
    /// The one in this ISD-P.
    IsdpAid(Vec<u8>),
    /// The one with this ICCID, swapped BCD.
    Iccid([u8; 10]),
    /// Those of this class.
    Class(ProfileClass),
}

/// ProfileInfoListRequest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProfileInfoListRequest {
    /// All, or some.
    pub search: Option<ProfileSearch>,
    /// Tags wanted, concatenated, up to 255 bytes; absent: the default list of §5.7.15.
    pub tag_list: Option<Vec<u8>>,
}

impl DataObject for ProfileInfoListRequest {
    const TAG: Tag = 0xBF2D;
    fn write_value(&self, w: &mut Writer) {
        if let Some(search) = &self.search {
            w.constructed(0xA0, |w| {
                match search {
                    ProfileSearch::IsdpAid(aid) => w.primitive(tag::AID, aid),
                    ProfileSearch::Iccid(iccid) => w.primitive(tag::ICCID, iccid),
                    ProfileSearch::Class(class) => w.uint(0x95, u64::from(class.code())),
                };
            });
        }
        w.optional(tag::TAG_LIST, self.tag_list.as_deref());
    }
    fn read_value(r: &mut Reader<'_>) -> Result<Self, TlvError> {
        let search = match r.optional(0xA0)? {
            None => None,
            Some(choice) => {
                let tlv = choice.children().any()?;
                Some(match tlv.tag {
                    tag::AID => ProfileSearch::IsdpAid(tlv.bytes(1, 16)?.to_vec()),
                    tag::ICCID => ProfileSearch::Iccid(tlv.array()?),
                    0x95 => match tlv.uint()? {
                        class @ 0..=2 => ProfileSearch::Class(ProfileClass::from_code(class)),
                        _ => {
                            return Err(TlvError::Value {
                                tag: 0x95,
                                reason: "not a ProfileClass",
                            });
                        }
                    },
                    got => {
                        return Err(TlvError::UnexpectedTag {
                            expected: tag::ICCID,
                            got,
                        });
                    }
                })
            }
        };
        Ok(Self {
            search,
            tag_list: match r.optional(tag::TAG_LIST)? {
                None => None,
                Some(t) => Some(t.bytes(0, 255)?.to_vec()),
            },
        })
    }
}

/// ProfileInfo: what was asked for, where it is there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProfileInfo {
    /// ICCID, swapped BCD (5A).
    pub iccid: Option<[u8; 10]>,
    /// AID of the ISD-P (4F).
    pub isdp_aid: Option<Vec<u8>>,
    /// State (9F70).
    pub state: Option<ProfileState>,
    /// Nickname, up to 64 bytes (90).
    pub nickname: Option<String>,
    /// Up to 32 bytes (91).
    pub service_provider_name: Option<String>,
    /// Up to 64 bytes (92).
    pub profile_name: Option<String>,
    /// Type of the icon (93).
    pub icon_type: Option<IconType>,
    /// Icon, up to 1024 bytes (94).
    pub icon: Option<Vec<u8>>,
    /// Class (95).
    pub profile_class: Option<ProfileClass>,
    /// Who is notified of what (B6).
    pub notifications: Vec<NotificationConfigurationInformation>,
    /// Operator (B7).
    pub profile_owner: Option<OperatorId>,
    /// Contents of DpProprietaryData (B8).
    pub dp_proprietary_data: Option<Vec<u8>>,
    /// Profile Policy Rules (99).
    pub policy_rules: Option<u32>,
}

fn text(tlv: &Tlv<'_>, max: usize) -> Result<Option<String>, TlvError> {
    Ok(Some(tlv.text(max)?.into()))
}

impl DataObject for ProfileInfo {
    const TAG: Tag = 0xE3;
    fn write_value(&self, w: &mut Writer) {
        w.optional(tag::ICCID, self.iccid.as_ref().map(|i| &i[..]))
            .optional(tag::AID, self.isdp_aid.as_deref());
        if let Some(state) = self.state {
            w.uint(0x9F70, u64::from(state.code()));
        }
        w.optional(0x90, self.nickname.as_ref().map(|t| t.as_bytes()))
            .optional(
                0x91,
                self.service_provider_name.as_ref().map(|t| t.as_bytes()),
            )
            .optional(0x92, self.profile_name.as_ref().map(|t| t.as_bytes()));
        if let Some(kind) = self.icon_type {
            w.uint(0x93, u64::from(kind.code()));
        }
        w.optional(0x94, self.icon.as_deref());
        if let Some(class) = self.profile_class {
            w.uint(0x95, u64::from(class.code()));
        }
        write_notifications(w, &self.notifications);
        if let Some(owner) = &self.profile_owner {
            owner.write(w, 0xB7);
        }
        w.optional(0xB8, self.dp_proprietary_data.as_deref());
        if let Some(rules) = self.policy_rules {
            w.bits(0x99, rules);
        }
    }
    fn read_value(r: &mut Reader<'_>) -> Result<Self, TlvError> {
        // Cards in the field do not agree on the order, so any order is read.
        let mut info = Self::default();
        while let Some(tlv) = r.read()? {
            match tlv.tag {
                tag::ICCID => info.iccid = Some(tlv.array()?),
                tag::AID => info.isdp_aid = Some(tlv.bytes(1, 16)?.to_vec()),
                0x9F70 => info.state = Some(ProfileState::from_code(tlv.uint()?)),
                0x90 => info.nickname = text(&tlv, 64)?,
                0x91 => info.service_provider_name = text(&tlv, 32)?,
                0x92 => info.profile_name = text(&tlv, 64)?,
                0x93 => info.icon_type = Some(IconType::from_code(tlv.uint()?)),
                0x94 => info.icon = Some(tlv.bytes(0, 1024)?.to_vec()),
                0x95 => info.profile_class = Some(ProfileClass::from_code(tlv.uint()?)),
                0xB6 => info.notifications = read_notifications(Some(tlv))?,
                0xB7 => info.profile_owner = Some(OperatorId::read(&tlv)?),
                0xB8 => info.dp_proprietary_data = Some(tlv.bytes(0, 128)?.to_vec()),
                0x99 => info.policy_rules = Some(tlv.bits()?),
                _ => {}
            }
        }
        Ok(info)
    }
}

result_codes! {
    /// ProfileInfoListError.
    ProfileInfoListError otherwise UndefinedError {
        /// The request can't be understood.
        IncorrectInputValues = 1 "incorrectInputValues",
        /// Anything else.
        UndefinedError = 127 "undefinedError",
    }
}

/// ProfileInfoListResponse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProfileInfoListResponse {
    /// The profiles.
    Ok(Vec<ProfileInfo>),
    /// None.
    Error(ProfileInfoListError),
}

impl DataObject for ProfileInfoListResponse {
    const TAG: Tag = 0xBF2D;
    fn write_value(&self, w: &mut Writer) {
        let list = match self {
            Self::Ok(list) => Ok(&list[..]),
            Self::Error(code) => Err(code.code()),
        };
        write_list(w, list, ProfileInfo::write);
    }
    fn read_value(r: &mut Reader<'_>) -> Result<Self, TlvError> {
        Ok(match read_list(r, ProfileInfo::read)? {
            Ok(list) => Self::Ok(list),
            Err(code) => Self::Error(ProfileInfoListError::from_code(code)),
        })
    }
}
